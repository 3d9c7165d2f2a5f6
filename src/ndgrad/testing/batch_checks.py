"""What is checked of every operation inside `vmap`: against a loop over the examples, alone and with derivatives within and around."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.duals import Level
from ndgrad.autograd.gradients import grad
from ndgrad.core.batching import BatchLevel
from ndgrad.core.observers import observing
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.testing.cases import Case, flatten, no_recording
from ndgrad.testing.op_checks import random_like, require_close

#: How many examples there are.
SIZE = 2

#: How PyTorch begins to say that something cannot be done inside `vmap`.
REFUSALS = ("vmap", "When vmap-ing", "Cannot access data pointer of Tensor that doesn't have storage", "Batching rule not implemented for")


def examples_of(tensor: Tensor) -> list[Tensor]:
    """A tensor and another one that holds the same numbers in reverse: whatever was in the operation's domain still is."""
    array = np.asarray(tensor._a)
    made = [wrap(np.array(array)), wrap(np.array(np.flip(array)))]
    for each in made:
        each.requires_grad = tensor.requires_grad
    return made


def choices(count: int) -> Iterator[tuple[int | None, ...]]:
    """For each tensor the dim in which its examples stand, or None: every combination; of more than three tensors, with one dim for all."""
    dims: tuple[tuple[int | None, ...], ...] = ((None, 0, -1),) if count <= 3 else ((None, 0), (None, -1))
    for each in dims:
        yield from (chosen for chosen in itertools.product(each, repeat=count) if any(dim is not None for dim in chosen))


class Batched:
    """A call of an operation in which some tensors differ between examples."""

    def __init__(self, case: Case, dims: Sequence[int | None]) -> None:
        self.case = case
        self.tensors = case.sample.tensors()
        self.dims = dims
        self.examples = [examples_of(tensor) for tensor in self.tensors]

    def __repr__(self) -> str:
        return f"{self.case} with examples in dims {self.dims}"

    def one(self, index: int) -> Case:
        """The call for one example."""
        chosen = [
            each[index] if dim is not None else tensor for each, dim, tensor in zip(self.examples, self.dims, self.tensors, strict=True)
        ]
        return self.case.moved(self.tensors, chosen)

    def stacked(self) -> list[Tensor]:
        """The tensors with the examples in their dims."""
        found: list[Tensor] = []
        for tensor, dim, examples in zip(self.tensors, self.dims, self.examples, strict=True):
            if dim is None:
                found.append(tensor)
                continue
            out = wrap(np.stack([np.asarray(each._a) for each in examples], axis=dim))
            out.requires_grad = tensor.requires_grad
            found.append(out)
        return found

    def run(self, function: Callable[[Case], Any], stacked: Sequence[Tensor]) -> list[Tensor]:
        """All examples at once: the tensors in what a function of the call gives, examples first."""
        level = BatchLevel(SIZE, "same" if self.case.random else "error")
        with observing(level):
            boxed: list[Tensor] = []
            for tensor, dim in zip(stacked, self.dims, strict=True):
                if dim is None:
                    boxed.append(tensor)
                else:
                    with level.below():
                        first = tensor.movedim(dim, 0)
                    boxed.append(level.box(first))
            result = flatten(function(self.case.moved(self.tensors, boxed)))
            with level.below():
                return [level.all_of(each) for each in result]


def check_vmap(case: Case, dims_tried: Iterable[tuple[int | None, ...]] | None = None) -> None:
    """The values, for every choice of tensors that differ between the examples, or for the choices that are given."""
    for dims in choices(len(case.sample.tensors())) if dims_tried is None else dims_tried:
        batched = Batched(case, dims)
        if case.mutates and dims[0] is None:
            check_refusal(batched, "is not possible because there exists a Tensor `other` in extra_args that has more elements than `self`")
        else:
            check_values(batched)


def check_values(batched: Batched) -> None:
    expected = [flatten(batched.one(index).call()) for index in range(SIZE)]
    found = batched.run(lambda moved: moved.call(), batched.stacked())
    assert len(found) == len(expected[0]), f"{batched}: {len(found)} outputs, expected {len(expected[0])}"
    for position, each in enumerate(found):
        rows = [np.asarray(row[position]._a) for row in expected]
        assert each._a.dtype == rows[0].dtype, f"{batched}: output {position} is {each.dtype}, expected {rows[0].dtype}"
        require_close(batched, f"output {position}", each._a, np.stack(rows), 1e-9, 1e-10)


def check_refusal(batched: Batched, reason: str) -> None:
    """The call raises, and `vmap` gives this reason."""
    try:
        batched.run(lambda moved: moved.call(), batched.stacked())
    except RuntimeError as error:
        assert str(error).startswith("vmap: ") and reason in str(error), f"{batched}: {error}"
        return
    raise AssertionError(f"{batched}: nothing was raised")


def check_vmap_refused(case: Case) -> bool:
    """Each choice gives the right values or an error in torch's words; whether one of them was an error."""
    refused = False
    for dims in choices(len(case.sample.tensors())):
        batched = Batched(case, dims)
        try:
            check_values(batched)
        except RuntimeError as error:
            assert str(error).startswith(REFUSALS), f"{batched}: {error}"
            refused = True
    return refused


# ---------------------------------------------------------------- derivatives around
def derivative_choices(case: Case) -> Iterator[tuple[int | None, ...]]:
    """All tensors differ between the examples, or one of them."""
    count = len(case.sample.tensors())
    yield (0,) * count
    if count > 1:
        for position in range(count):
            if not (case.mutates and position):  # a target that the examples have in common takes nothing that differs
                yield tuple(0 if other == position else None for other in range(count))


def check_vmap_derivatives(case: Case) -> None:
    """Gradients and tangents of what `vmap` gives, for the tensors with all examples and for those that the examples share."""
    for dims in derivative_choices(case):
        batched = Batched(case, dims)
        check_gradient_around(batched)
        check_tangent_around(batched)


def check_gradient_around(batched: Batched) -> None:
    """The gradient of a weighted sum of all examples' results, against those of the examples one by one."""
    stacked = batched.stacked()
    leaves = [tensor for tensor in stacked if tensor.requires_grad]
    singles = [batched.one(index) for index in range(SIZE)]
    outs = [out for out in batched.run(lambda moved: moved.outputs(), stacked) if out._a.dtype.kind in "fc"]
    weights = random_like([out._a for out in outs], 6)
    pairs = [(out, wrap(weight)) for out, weight in zip(outs, weights, strict=True) if out.requires_grad]
    expected = [single.pull([weight[index] for weight in weights]) for index, single in enumerate(singles)]
    assert pairs or not any(np.any(g._a) for row in expected for g in row), f"{batched}: no output requires grad"
    if not pairs:
        return
    found = grad([out for out, _ in pairs], leaves, [weight for _, weight in pairs], materialize_grads=True)
    for position, (leaf, g) in enumerate(zip(leaves, found, strict=True)):
        rows = [np.asarray(row[position]._a) for row in expected]
        shared = batched.dims[[each is leaf for each in stacked].index(True)] is None
        want: Any = sum(rows) if shared else np.stack(rows)
        require_close(batched, f"the gradient of leaf {position}", g._a, want, 1e-8, 1e-9)


def check_tangent_around(batched: Batched) -> None:
    """The tangents of all examples' results, against those of the examples one by one."""
    stacked = batched.stacked()
    leaves = [tensor for tensor in stacked if tensor.requires_grad]
    tangents = random_like([np.asarray(leaf._a) for leaf in leaves], 7)
    shared = [batched.dims[[each is leaf for each in stacked].index(True)] is None for leaf in leaves]
    rows = []
    for index in range(SIZE):
        own = [t if common else np.asarray(t[index]) for t, common in zip(tangents, shared, strict=True)]
        rows.append(batched.one(index).push(own))
    level = Level()
    for leaf, t in zip(leaves, tangents, strict=True):
        level.set_tangent(leaf, wrap(t))
    with observing(level), no_recording():
        outs = batched.run(lambda moved: moved.outputs(), stacked)
        found = [level.tangent(out) for out in outs]
    for position, (out, t) in enumerate(zip(outs, found, strict=True)):
        ours = np.zeros_like(np.asarray(out._a)) if t is None else t._a
        require_close(batched, f"the tangent of output {position}", ours, np.stack([row[position] for row in rows]), 1e-8, 1e-9)
