"""One program, run by ndgrad and by the functional reference: each value and each gradient must agree, or ndgrad must refuse."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

import ndgrad
from tests.functional_reference import Alias, Jet, OutOfVariables, Reference, fresh
from tests.programs import LEAVES, Machine

#: What ndgrad may refuse because the gradient could not be right; PyTorch must agree, which tests/oracle compares.
REFUSALS = {
    "view made in no_grad": "created in no_grad mode",
    "one of several views": "is a view and (is being|its base or another view of its base has been) modified",
    "changed": "modified by an inplace operation",
    "used up": "a second time",
    "view of a leaf": "a view of a leaf Variable",
    "leaf": "a leaf Variable",
    "no history": "does not require grad",
    "repeated memory": "more than one element of the written-to tensor",
    "overlap": "some elements of the input tensor and the written-to tensor",
}


def refusal(error: Exception) -> str | None:
    return next((name for name, pattern in REFUSALS.items() if re.search(pattern, str(error))), None)


def close(found: Any, expected: Any) -> bool:
    return np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-8, atol=1e-10)


def array(tensor: Any, shape: Any) -> Any:
    """The numbers of a gradient; where there is none, zeros."""
    return np.zeros(shape) if tensor is None else tensor.detach().numpy().copy()


class Checker:
    """Both sides of one program, and what `.grad` and the observing hooks must hold."""

    def __init__(self) -> None:
        self.machine, self.reference = Machine(ndgrad), Reference()
        self.grads: dict[int, Any] = {}
        self.seen: dict[int, Any] = {}
        self.outcomes: Counter[str] = Counter()

    def run(self, program: Any) -> Counter[str]:
        try:
            for number, instruction in enumerate(program):
                where = f"instruction {number}, {instruction}"
                try:
                    if not self.follow(instruction, where):
                        break
                    self.compare(where)
                except (OutOfVariables, NotImplementedError):
                    break
                except AssertionError:
                    raise
                except Exception as error:
                    raise AssertionError(f"{where}: {error!r}") from error
        finally:
            ndgrad.set_grad_enabled(True)
        return self.outcomes

    def follow(self, instruction: Any, where: str) -> bool:
        """Run one instruction on both sides; False ends the program."""
        name, *arguments = instruction
        machine, reference = self.machine, self.reference
        if name in ("backward", "grad"):
            return self.differentiate(name, arguments, where)
        if name == "write" and arguments[2] not in ("zero", "fill") and reference.at(arguments[0]).repeats():
            return True  # which of several writes to one element wins is not what this is about
        error = machine.run(instruction)
        if error is not None:
            self.outcomes[refusal(error) or "other"] += 1
            if refusal(error) is None:  # then there must be something wrong with the shapes
                try:
                    getattr(reference, name)(*arguments)
                except (ValueError, IndexError):
                    return True
                raise AssertionError(f"{where} should be possible") from error
            return True
        if name == "compute":
            arguments = [*arguments, machine.tensors[-1].requires_grad]
        getattr(reference, name)(*arguments)
        self.outcomes[name] += 1
        return True

    def differentiate(self, name: str, arguments: Any, where: str) -> bool:
        machine, reference = self.machine, self.reference
        i = arguments[0]
        loss = reference.loss(i)
        if name == "grad":
            arguments = [i, arguments[1], arguments[2] and loss.h is not None]
        error = machine.run((name, *arguments))
        if error is not None:
            kind = refusal(error)
            self.outcomes[kind or "other"] += 1
            assert kind is not None, f"{where}: {error!r}"
            assert kind != "no history" or not loss.j.any(), f"{where}: there is a gradient"
            return kind == "no history"  # how far a backward came before it raised is nobody's promise
        self.outcomes[name + (" recorded" if name == "grad" and arguments[2] else "")] += 1
        if name == "grad":
            asked = machine.inputs(range(len(LEAVES)) if arguments[1] is None else arguments[1])[0]
            for number, result in zip(asked, machine.results, strict=True):
                plain = reference.gradient(loss, number)
                # what a hook makes of it is given only where the node itself does not run for another input, as in PyTorch
                candidates = [self.scaled(plain, number), plain]
                found = array(result, plain.shape)
                right = next((each for each in candidates if close(found, each.v)), None)
                assert right is not None, f"{where}: by tensor {number}\n{found}\nexpected {plain.v}"
                if result is not None:
                    reference.tensors.append(result_of(right, arguments[2]))
            sure = []
        else:
            asked = range(len(machine.leaves)) if arguments[2] is None else machine.inputs(arguments[2])[0]
            sure = [*asked, *(machine.watched if arguments[2] is None else ())]
        self.accumulate(loss, sure, all_observers=name == "backward" and arguments[2] is None, where=where)
        return True

    def scaled(self, gradient: Jet, number: int) -> Jet:
        """What becomes of a gradient that passes the hook of the value that a tensor was made with."""
        first = len(self.reference.probes[number]) == 1
        return gradient.scaled(self.reference.factors.get(number, 1.0)) if first else gradient

    def accumulate(self, loss: Jet, sure: Any, all_observers: bool, where: str) -> None:
        """What this call must have added to `.grad` of the tensors in `sure`, and may have to others: their nodes need not have run."""
        for number in self.reference.probes:
            watched = number in self.machine.watched
            gradient = self.scaled(self.reference.gradient(loss, number), number).v
            self.settle(self.grads, number, gradient, number in sure, watched, self.machine.tensors[number].grad, f"{where}: .grad")
            if watched:
                gradient = self.reference.gradient(loss, number, newest=False).v
                total = sum(self.machine.watched[number]) if self.machine.watched[number] else None
                self.settle(self.seen, number, gradient, all_observers, True, total, f"{where}: a hook")

    def settle(self, kept: Any, number: int, gradient: Any, sure: bool, possible: bool, found: Any, where: str) -> None:
        found = array(found, gradient.shape) if found is None or isinstance(found, ndgrad.Tensor) else found
        before = kept.get(number, np.zeros(gradient.shape))
        candidates = [before + gradient] if sure else [before, before + gradient] if possible else [before]
        right = next((each for each in candidates if close(found, each)), None)
        assert right is not None, f"{where} of tensor {number} is\n{found}\nexpected {candidates}"
        kept[number] = right

    def compare(self, where: str) -> None:
        """All values; and whatever has a gradient must say so."""
        assert len(self.machine.tensors) == len(self.reference.tensors), where
        for number, (tensor, alias) in enumerate(zip(self.machine.tensors, self.reference.tensors, strict=True)):
            value = alias.read()
            assert close(tensor.detach().numpy(), value.v), f"{where}: tensor {number} is\n{tensor}\nexpected {value.v}"
            assert tensor.requires_grad or not value.j.any(), f"{where}: tensor {number} has lost its gradient"


def result_of(gradient: Jet, recorded: bool) -> Alias:
    return fresh(gradient if recorded else Jet(gradient.v))


def check(program: Any) -> Counter[str]:
    """Raises AssertionError where ndgrad is wrong; returns what happened."""
    return Checker().run(program)
