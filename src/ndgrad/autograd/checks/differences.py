"""The derivatives of a function of tensors by central differences, which `gradcheck` compares with.

Inputs are moved in their own memory, unseen by version counters, because a function may use the tensor that it captured instead
of its argument; whatever happens, the old values are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.size import as_size
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor

Function = Callable[..., Any]


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


class Moved:
    """A function of tensors, one of which is moved."""

    def __init__(self, function: Function, inputs: Sequence[Any], position: int, eps: float) -> None:
        self.function, self.inputs, self.position, self.eps = function, inputs, position, eps
        self.memory: Array = inputs[position]._memory()
        self.directions = (1, 1j) if self.memory.dtype.kind == "c" else (1,)

    def here(self) -> list[Array]:
        return [np.array(out._a) for out in as_tuple(self.function(*self.inputs))]

    def at(self, index: Any, displacement: Any) -> list[Array]:
        """The outputs where the elements at an index are moved by a displacement."""
        memory = self.memory
        original = memory[index].copy()
        memory[index] = original + displacement
        try:
            return self.here()
        finally:
            memory[index] = original

    def slopes(self, index: Any, displacement: Any) -> list[Array]:
        """The central difference of each output along a displacement of length eps, flat; empty for an output of integers."""
        behind, ahead = self.at(index, -displacement), self.at(index, displacement)
        found: list[Array] = []
        for a, b in zip(behind, ahead, strict=True):
            self.check_same(a, b, f"on index {index} " if isinstance(index, tuple) else "")
            with np.errstate(all="ignore"):
                found.append(np.ravel(b - a) / (2 * self.eps) if b.dtype.kind in "fc" else np.zeros(0))
        return found

    def combined(self, index: Any, displacements: Sequence[Any]) -> list[Array]:
        """The same, for a complex input along the real and the imaginary axis: the conjugate Wirtinger derivative, twice."""
        found = self.slopes(index, displacements[0])
        if len(displacements) == 1:
            return found
        return [real + 1j * imag for real, imag in zip(found, self.slopes(index, displacements[1] * 1j), strict=True)]

    def jacobians(self, wanted: Sequence[int], outputs: Sequence[Tensor]) -> list[Array]:
        """One for each of the outputs wanted: a row for each element of the input, a column for each of the output."""
        memory = self.memory
        kinds = [memory.dtype if memory.dtype.kind == "c" else outputs[number]._a.dtype for number in wanted]
        found: list[Array] = [np.zeros((memory.size, outputs[number]._a.size), kind) for number, kind in zip(wanted, kinds, strict=True)]
        for row, index in enumerate(np.ndindex(memory.shape)):
            slopes = self.combined(index, [self.eps] * len(self.directions))
            for jacobian, number in zip(found, wanted, strict=True):
                jacobian[row] = slopes[number]
        return found

    def check_same(self, a: Array, b: Array, where: str) -> None:
        """Refuse outputs whose shape or dtype depends on the values."""
        for what, one, other in (("shape", as_size(a.shape), as_size(b.shape)), ("dtype", *map(from_numpy_dtype.get, (a.dtype, b.dtype)))):
            if one != other:
                raise AssertionError(
                    f"Expected `func` to return outputs with the same {what} when inputs are perturbed {where}by {self.eps}, but got: "
                    f"{what}s {one} and {other}."
                )
