"""The Jacobians of one function, by the engine and by central differences, element by element or in random projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ndgrad.autograd.checks.differences import Function, Moved, as_tuple
from ndgrad.autograd.checks.kinks import examine
from ndgrad.autograd.forward_ad import dual_level, make_dual, unpack_dual
from ndgrad.autograd.gradients import grad
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops import ops as functions
from ndgrad.ops.random_numbers import Generator


class GradcheckError(RuntimeError):
    """What `gradcheck` and `gradgradcheck` raise where a gradient is wrong."""


class Options(NamedTuple):
    """The arguments of `gradcheck` that say how to compare."""

    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    check_grad_dtypes: bool
    kinks: bool
    backward: bool = True
    forward: bool = False


class JacobianCheck:
    """One function with real outputs, what it gave, and which of that is checked.

    Attributes
    ----------
    moved : the function for each input that requires grad.
    wanted : the numbers of the outputs that require grad.
    prefix : for each of those, how a message about it begins.
    """

    def __init__(self, function: Function, results: Sequence[Tensor], inputs: Sequence[Any], options: Options) -> None:
        self.options = options
        self.function, self.inputs = function, inputs
        self.results = results
        self.moved = [Moved(function, inputs, at, options.eps) for at, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        self.targets = [inputs[moved.position] for moved in self.moved]
        self.wanted = [number for number, out in enumerate(results) if out.requires_grad]
        self.prefix = [""] * len(self.wanted)

    # ---------------------------------------------------------------- element by element
    def slow(self) -> None:
        """Compare whole Jacobians; raises GradcheckError at the first that differ."""
        if not self.wanted:
            numbers = self.floating()
            if any(np.any(jacobian != 0) for moved in self.moved for jacobian in moved.jacobians(numbers, self.results)):
                raise GradcheckError("Numerical gradient for function expected to be zero")
            return
        numerical = [moved.jacobians(self.wanted, self.results) for moved in self.moved]
        if self.options.forward:
            for j in range(len(self.targets)):
                for i, analytical in enumerate(self.pushed(j)):
                    self.compare(i, j, analytical, numerical[j][i], " computed with forward mode")
        if self.options.backward:
            for i in range(len(self.wanted)):
                for j, analytical in enumerate(self.analytical(i)):
                    self.compare(i, j, analytical, numerical[j][i])

    def compare(self, i: int, j: int, analytical: Array, numerical: Array, how: str = "") -> None:
        """Raise GradcheckError if two Jacobians of an output and an input differ."""
        if not np.allclose(analytical, numerical, self.options.rtol, self.options.atol):
            accepted, note = self.examine(i, j, analytical, numerical)
            if not accepted:
                raise GradcheckError(self.mismatch(i, j, analytical, numerical, how) + note)

    def floating(self) -> list[int]:
        return [number for number, out in enumerate(self.results) if out._a.dtype.kind in "fc"]

    def analytical(self, i: int) -> list[Array]:
        """The Jacobians of an output, one for each input, each column from one backward."""
        out = self.results[self.wanted[i]]
        return self.pulled_twice(out, np.eye(out._a.size, dtype=out._a.dtype))

    def pulled_twice(self, out: Tensor, cotangents: Array) -> list[Array]:
        """The gradients for each cotangent, computed twice, because a second backward must give the same."""
        first, second = self.pulled(out, cotangents), self.pulled(out, cotangents)
        tolerance = self.options.nondet_tol
        with np.errstate(all="ignore"):
            if any(a.size and np.max(np.abs(a - b)) > tolerance for a, b in zip(first, second, strict=True)):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different "
                    f"values, although analytical gradient matches numerical gradient.The tolerance for nondeterminism was {tolerance}.\n"
                    "If the operation is meant to be random or keeps a state, say how far two runs may be apart: nondet_tol=..."
                )
        return first

    def pulled(self, out: Tensor, cotangents: Array) -> list[Array]:
        found: list[Array] = [np.zeros((moved.memory.size, len(cotangents)), moved.memory.dtype) for moved in self.moved]
        for column, row in enumerate(cotangents):
            g = wrap(row.reshape(out._a.shape).copy())
            gradients = grad(out, self.targets, g, retain_graph=True, allow_unused=True)
            for x, jacobian, gradient in zip(self.targets, found, gradients, strict=True):
                if gradient is None:
                    continue
                if gradient._a.shape != x._a.shape:
                    raise GradcheckError("Analytical gradient has incorrect size")
                if self.options.check_grad_dtypes and gradient._a.dtype != x._a.dtype:
                    raise GradcheckError("Gradient has dtype mismatch")
                jacobian[:, column] = np.ravel(gradient._a)
        return found

    # ---------------------------------------------------------------- in forward mode
    def pushed(self, j: int) -> list[Array]:
        """The Jacobians of all outputs by one input, each row from one run of the function in forward mode, or from two."""
        moved = self.moved[j]
        kinds = [moved.memory.dtype if moved.memory.dtype.kind == "c" else self.results[number]._a.dtype for number in self.wanted]
        found: list[Array] = [
            np.zeros((moved.memory.size, self.results[number]._a.size), kind) for number, kind in zip(self.wanted, kinds, strict=True)
        ]
        for row, index in enumerate(np.ndindex(moved.memory.shape)):
            unit = np.zeros_like(moved.memory)
            unit[index] = 1
            for jacobian, tangent in zip(found, self.combined(j, [unit] * len(moved.directions)), strict=True):
                jacobian[row] = tangent
        return found

    def combined(self, j: int, directions: Sequence[Array]) -> list[Array]:
        """The tangents of the outputs along a direction, flat; for a complex input along the real and the imaginary axis."""
        found = self.along(j, directions[0])
        if len(directions) == 1:
            return found
        return [real + 1j * imag for real, imag in zip(found, self.along(j, directions[1] * 1j), strict=True)]

    def along(self, j: int, direction: Array) -> list[Array]:
        position = self.moved[j].position
        with dual_level():
            dual = make_dual(self.inputs[position], wrap(np.asarray(direction, self.moved[j].memory.dtype)))
            outs = as_tuple(self.function(*self.inputs[:position], dual, *self.inputs[position + 1 :]))
            tangents = [unpack_dual(outs[number]).tangent for number in self.wanted]
        return [
            np.zeros(self.results[number]._a.size) if tangent is None else np.ravel(tangent._a)
            for number, tangent in zip(self.wanted, tangents, strict=True)
        ]

    # ---------------------------------------------------------------- in random projections
    def fast(self) -> None:
        """Compare one number for each pair of an input and an output, and only where it differs whole Jacobians."""
        generator = Generator()
        along = [[direction(moved.memory, generator) for _ in moved.directions] for moved in self.moved]
        weights = [direction(self.results[number]._a, generator) for number in self.wanted]
        eps = self.options.eps
        pushed = [
            moved.combined(..., [eps * u.reshape(moved.memory.shape) for u in us]) for moved, us in zip(self.moved, along, strict=True)
        ]
        if not self.wanted:
            if any(np.any(np.abs(slopes[number]) > self.options.nondet_tol) for slopes in pushed for number in self.floating()):
                raise GradcheckError("Numerical gradient for function expected to be zero")
            return
        if self.options.forward:
            for j, us in enumerate(along):
                tangents = self.combined(j, [u.reshape(self.moved[j].memory.shape) for u in us])
                for i, (v, tangent) in enumerate(zip(weights, tangents, strict=True)):
                    self.compare_projections(i, j, (v * tangent).sum(), (v * pushed[j][self.wanted[i]]).sum(), (v, *us), True)
        if self.options.backward:
            outs = [self.results[number] for number in self.wanted]
            pulled = [self.pulled_twice(out, v[np.newaxis]) for out, v in zip(outs, weights, strict=True)]
            for j, us in enumerate(along):
                for i, v in enumerate(weights):
                    vector = pulled[i][j][:, 0]
                    analytical = vector @ us[0] if len(us) == 1 else vector.real @ us[0] + 1j * (vector.imag @ us[1])
                    self.compare_projections(i, j, analytical, (v * pushed[j][self.wanted[i]]).sum(), (v, *us), False)

    def compare_projections(self, i: int, j: int, analytical: Any, numerical: Any, vectors: tuple[Array, ...], forward: bool) -> None:
        """Look closer if two projections of Jacobians differ, by the vectors of the output and of the input."""
        v, *us = vectors
        atol = self.options.atol * float(sum(u.sum() for u in us)) * float(v.sum())
        if not np.allclose(analytical, numerical, self.options.rtol, atol):
            self.explain(i, j, np.asarray(analytical), np.asarray(numerical), forward)

    def explain(self, i: int, j: int, projected: Array, numerical_projected: Array, forward: bool) -> None:
        """Compute the Jacobians whose projections differ, for the message; kinks may turn out to be all that there is."""
        numerical = self.moved[j].jacobians([self.wanted[i]], self.results)[0]
        analytical = self.pushed(j)[i] if forward else self.analytical(i)[j]
        close = np.allclose(analytical, numerical, self.options.rtol, self.options.atol)
        accepted, note = (False, "") if close else self.examine(i, j, analytical, numerical)
        if accepted:
            return
        with np.errstate(all="ignore"):
            difference = wrap(np.asarray(np.max(np.abs(numerical - analytical))))
        raise GradcheckError(
            self.mismatch(i, j, projected, numerical_projected, " computed with forward mode" if forward else "")
            + "\nThe numbers above are projections of the Jacobians, which fast mode compares. Computed in slow mode they are:\n\n"
            f"Numerical:\n {wrap(numerical)}\nAnalytical:\n{wrap(analytical)}\n\n"
            f"The max per-element difference (slow mode) is: {difference}.\n"
            + (
                "Fast gradcheck failed but element-wise differences are small. This means that the test might've passed in slow_mode! "
                "Call it with fast_mode=False.\n"
                if close
                else note
            )
        )

    # ---------------------------------------------------------------- what is said
    def mismatch(self, i: int, j: int, analytical: Array, numerical: Array, how: str) -> str:
        return (
            f"{self.prefix[i]}Jacobian{how} mismatch for output {i} with respect to input {j},\n"
            f"numerical:{wrap(numerical)}\nanalytical:{wrap(analytical)}\n"
        )

    def examine(self, i: int, j: int, analytical: Array, numerical: Array) -> tuple[bool, str]:
        """Whether what differs is accepted, and what can be said about it."""
        moved, number = self.moved[j], self.wanted[i]
        # numbers count what requires grad, as PyTorch's messages do
        names = (
            f"input {j}" if j == moved.position else f"input {j} (argument {moved.position} of the function)",
            f"output {i}" if i == number else f"output {i} (the function's result {number})",
        )
        finding = examine(moved, number, names, analytical, numerical, self.options.rtol, self.options.atol)
        return finding.between and self.options.kinks, finding.note


def real_valued(function: Function, part: Function) -> Function:
    """The function with one part, real or imaginary, of its complex outputs in their place."""

    def parts(*inputs: Any) -> tuple[Any, ...]:
        return tuple(part(out) if out.is_complex() else out for out in as_tuple(function(*inputs)))

    return parts


def check_jacobians(function: Function, results: Sequence[Tensor], inputs: Sequence[Any], options: Options, fast: bool) -> None:
    """Compare the Jacobians of a function, of one with complex outputs those of the imaginary and of the real parts."""
    is_complex = [out.is_complex() for out in results if out.requires_grad]
    checks = [JacobianCheck(function, results, inputs, options)]
    if any(out.is_complex() for out in results):
        checks.clear()
        for name, part in (("imaginary", functions.imag), ("real", functions.real)):
            function_part = real_valued(function, part)
            check = JacobianCheck(function_part, function_part(*inputs), inputs, options)
            sentence = f"While considering the {name} part of complex outputs only, "
            check.prefix = [sentence if of_complex else "" for of_complex in is_complex]
            checks.append(check)
    for check in checks:
        if fast:
            check.fast()
        else:
            check.slow()


def direction(array: Any, generator: Generator) -> Array:
    """A flat random vector of length 1 without negative elements, as many as the array has, of the real dtype that belongs to it."""
    kind = array.real.dtype
    vector: Array = functions.rand(array.size, generator=generator)._a.astype(kind)
    with np.errstate(all="ignore"):
        vector /= np.linalg.norm(vector)
    return vector
