"""The random programs of tests/programs.py, run by torch and by ndgrad: the same values, gradients and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import ndgrad
from tests.oracle.agreement import agrees, first_sentence, reason
from tests.programs import EXAMPLES, Machine, instructions


class Watching(Machine):
    """Adds what only another library can confirm: hooks registered at any time, what may be asked of anything, and a trace."""

    def __init__(self, lib: Any) -> None:
        super().__init__(lib)
        self.versions: list[int] = []

    def hook(self, i: int, factor: float) -> None:
        self.at(i).register_hook(lambda g: g * factor)

    def node_hook(self, i: int, factor: float) -> None:
        x = self.at(i)
        if x.grad_fn is not None:
            x.grad_fn.register_prehook(lambda given: tuple(None if g is None else g * factor for g in given))

    def retain(self, i: int) -> None:
        self.at(i).retain_grad()

    def data(self, i: int) -> None:
        self.tensors.append(self.at(i).data)

    def of_anything(self, i: int, j: int, create: bool) -> None:
        x = self.at(j)
        self.results = self.lib.autograd.grad(self.root(i), [x], create_graph=create, allow_unused=True)
        self.keep_results()

    def into_anything(self, i: int, j: int, retain: bool) -> None:
        self.root(i).backward(retain_graph=retain, inputs=[self.at(j)])

    def state(self) -> list[Any]:
        self.versions += [tensor._version for tensor in self.tensors[len(self.versions) :]]  # torch's matmul squeezes its result in place
        fired = [len(seen) for seen in self.watched.values()]
        return [self.seen_of(*pair) for pair in zip(self.tensors, self.versions, strict=True)] + fired

    @staticmethod
    def seen_of(tensor: Any, version: int) -> Any:
        try:
            node = tensor.grad_fn
        except RuntimeError as error:
            return ("broken", type(error).__name__, first_sentence(str(error)))
        kept = tensor.retains_grad or (tensor.is_leaf and not tensor._is_view())
        return (
            tuple(tensor.shape),
            tensor.requires_grad,
            tensor._version - version,
            tensor._is_view(),
            None if node is None else node.name(),
            tensor.detach().numpy().copy(),
            None if not kept or tensor.grad is None else tensor.grad.detach().numpy().copy(),
        )


which = st.integers(-6, -1).map(lambda k: -7 - k)
more = [
    st.tuples(st.just("hook"), which, st.sampled_from([2.0, -0.5])),
    st.tuples(st.just("node_hook"), which, st.sampled_from([2.0, -0.5])),
    st.tuples(st.just("retain"), which),
    st.tuples(st.just("data"), which),
    st.tuples(st.just("of_anything"), which, which, st.booleans()),
    st.tuples(st.just("into_anything"), which, which, st.booleans()),
]
BACKWARDS = ("backward", "grad", "of_anything", "into_anything")


def left_out(instruction: Any, machine: Watching) -> bool:
    """Writes that torch carries out or refuses by how cheaply it can tell that operands overlap."""
    name, *arguments = instruction
    if name != "write":
        return False
    target, source = machine.at(arguments[0]), machine.at(arguments[1])
    strides = [step for step, size in zip(target.stride(), target.shape, strict=True) if size > 1]
    repeats = arguments[2] not in ("zero", "fill") and torch.unique(numbered(target)).numel() != target.numel()
    if repeats and (0 not in strides or arguments[2] not in ("double", "mul", "copy")):  # the others only warn in torch, or write once
        return True
    shared = source.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()
    return shared and arguments[2] in ("add", "add_scaled", "mul", "copy", "set", "set_list")


def numbered(tensor: Any) -> Any:
    """The cells of the elements."""
    count = tensor.untyped_storage().nbytes() // 8
    return torch.arange(count).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def follow(program: Any) -> None:
    theirs, ours = Watching(torch), Watching(ndgrad)
    try:
        for number, instruction in enumerate(program):
            if left_out(instruction, theirs):
                continue
            errors = theirs.run(instruction), ours.run(instruction)
            where = f"instruction {number}, {instruction}\ntorch:  {errors[0]!r}\nndgrad: {errors[1]!r}"
            if instruction[0] in BACKWARDS and "more than one element of the written-to tensor" in str(errors[0]):
                return  # torch's CopySlices writes into a gradient that may be expanded; ours copies it first
            assert (errors[0] is None) == (errors[1] is None), where
            if errors[0] is not None:
                name = "backward" if instruction[0] in BACKWARDS else instruction[0]
                kinds = [(name, type(error).__name__, first_sentence(str(error))) for error in errors]
                assert agrees(*kinds), where
                if instruction[0] in BACKWARDS and reason(str(errors[0])) != "no history":
                    return
            else:
                expected, found = ([None if g is None else g.detach().numpy() for g in side.results] for side in (theirs, ours))
                assert agrees(expected, found), f"{where}\n{expected}\n{found}"
            expected, found = theirs.state(), ours.state()
            for at, pair in enumerate(zip(expected, found, strict=True)):
                assert agrees(*pair), f"{where}\ntensor {at}\n{pair[0]}\n{pair[1]}"
    finally:
        for lib in (torch, ndgrad):
            lib.set_grad_enabled(True)


@pytest.mark.parametrize("program", EXAMPLES)
def test_programs_that_are_seldom_drawn(program: Any) -> None:
    follow(program)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])
@given(instructions(more))
def test_random_programs_agree_with_torch(program: Any) -> None:
    follow(program)
