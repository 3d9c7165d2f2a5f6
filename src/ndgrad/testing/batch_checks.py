"""What is checked of every operation inside `vmap`: against a loop over the examples, alone and with derivatives within and around."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ndgrad.core.batching import BatchLevel
from ndgrad.core.observers import observing
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.testing.cases import Case, flatten
from ndgrad.testing.op_checks import require_close

#: How many examples there are.
SIZE = 2


def examples_of(tensor: Tensor) -> list[Tensor]:
    """A tensor and another one that holds the same numbers in reverse: whatever was in the operation's domain still is."""
    array = np.asarray(tensor._a)
    made = [wrap(np.array(array)), wrap(np.array(np.flip(array)))]
    for each in made:
        each.requires_grad = tensor.requires_grad
    return made


def choices(count: int) -> Iterator[tuple[int | None, ...]]:
    """For each tensor the dim in which its examples stand, or None: every combination for a few tensors, else some."""
    if count <= 3:
        combinations = itertools.product((None, 0, -1), repeat=count)
        yield from (each for each in combinations if any(dim is not None for dim in each) and len({*each} - {None}) == 1)
        if count == 2:
            yield (0, -1)
        return
    yield (0,) * count
    yield from (tuple(-1 if other == position else None for other in range(count)) for position in range(count))


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


def check_vmap(case: Case) -> None:
    """The values, for every choice of tensors that differ between the examples."""
    for dims in choices(len(case.sample.tensors())):
        batched = Batched(case, dims)
        expected = [flatten(batched.one(index).call()) for index in range(SIZE)]
        found = batched.run(lambda moved: moved.call(), batched.stacked())
        assert len(found) == len(expected[0]), f"{batched}: {len(found)} outputs, expected {len(expected[0])}"
        for position, each in enumerate(found):
            rows = [np.asarray(row[position]._a) for row in expected]
            assert each._a.dtype == rows[0].dtype, f"{batched}: output {position} is {each.dtype}, expected {rows[0].dtype}"
            require_close(batched, f"output {position}", each._a, np.stack(rows), 1e-9, 1e-10)
