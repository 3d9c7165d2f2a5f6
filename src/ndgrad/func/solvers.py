"""Solvers of equations in lists of tensors: what `root`, `fixed_point` and their derivatives use where nothing else is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.mapping import vmap

Tensors = Sequence[Tensor]
Map = Callable[[Tensors], Tensors]

#: Up to this many unknowns a linear system is solved as a dense one.
DENSE = 600
NEWTON_STEPS = 60
HALVINGS = 30
FIXED_POINT_STEPS = 5000


class NoConvergence(RuntimeError):
    """A solver has not found a solution."""


# ---------------------------------------------------------------- vectors
def joined(tensors: Tensors) -> Any:
    """The elements of all tensors in one array."""
    return np.concatenate([np.ravel(np.asarray(x._a)) for x in tensors])


def parted(vector: Any, like: Tensors) -> list[Tensor]:
    """Tensors shaped like others from an array of all their elements."""
    found: list[Tensor] = []
    at = 0
    for x in like:
        count = math.prod(x.shape)
        found.append(wrap(np.array(vector[at : at + count], x._a.dtype).reshape(x.shape)))
        at += count
    return found


def size(vector: Any) -> float:
    """The largest element; infinity where one is not a number."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    return largest if math.isfinite(largest) else math.inf


# ---------------------------------------------------------------- linear equations
def matrix_of(linear: Map, like: Tensors) -> Any:
    """The matrix of a linear map of lists of tensors."""
    identity = np.eye(len(joined(like)))
    columns, at = [], 0
    for x in like:
        count = math.prod(x.shape)
        columns.append(wrap(identity[:, at : at + count].astype(x._a.dtype).reshape(-1, *x.shape)))
        at += count
    images = vmap(lambda *v: tuple(linear(v)))(*columns)
    return np.concatenate([np.asarray(y._a).reshape(len(identity), -1) for y in images], axis=1).T


def solve_linear(linear: Map, b: Tensors) -> list[Tensor]:
    """x with linear(x) = b: by elimination, or by GMRES where the matrix would be large."""
    right = joined(b)
    if len(right) > DENSE:
        return parted(by_gmres(linear, b, right), b)
    matrix = matrix_of(linear, b)
    try:
        return parted(np.linalg.solve(matrix, right), b)
    except np.linalg.LinAlgError:
        raise NoConvergence(
            f"the derivative of the equation by its {len(right)} unknowns is singular, so that the solution is not isolated, or not smooth "
            "in the parameters"
        ) from None


def by_gmres(linear: Map, b: Tensors, right: Any) -> Any:
    from scipy.sparse.linalg import LinearOperator, gmres

    count = len(right)
    operator = LinearOperator((count, count), matvec=lambda v: joined(linear(parted(v, b))), dtype=right.dtype)
    tolerance = math.sqrt(np.finfo(right.dtype).eps) * 1e-4
    found, failed = gmres(operator, right, rtol=tolerance, atol=0.0, restart=min(count, 60), maxiter=200)
    if failed:
        raise NoConvergence(
            f"GMRES did not solve the linear system of {count} unknowns; pass linear_solver=, a function (linear_map, b) -> x, with a "
            "method or a preconditioner that suits the equation"
        )
    return found


# ---------------------------------------------------------------- other equations
def newton(residual: Map, start: Tensors, derivative: Callable[[Tensors, Tensors], Tensors], linear_solver: Any) -> list[Tensor]:
    """A root, by Newton's method with steps that are halved until the residual shrinks.

    `derivative(x, v)` is how the residual at x changes along v; `linear_solver` takes such a map and the right side.
    """
    x = list(start)
    remaining = residual(x)
    for _ in range(NEWTON_STEPS):
        before = size(joined(remaining))
        if before == 0.0:
            return x
        here = x
        step = joined(linear_solver(lambda v, here=here: derivative(here, v), remaining))
        point, factor = joined(x), 1.0
        for _ in range(HALVINGS):
            tried = parted(point - factor * step, start)
            remaining = residual(tried)
            if size(joined(remaining)) < before:
                break
            factor /= 2
        else:  # rounding leaves nothing to gain, or the step leads nowhere
            if small(step, point):
                return x
            break
        x = tried
        if factor == 1.0 and small(step, point):
            return x
    raise NoConvergence(
        f"root: Newton's method has not found a root; the largest residual is {size(joined(residual(x))):.3g}. Start nearer to it, or pass "
        "solver=, a function (residual, x0) -> x, with another method"
    )


def small(step: Any, point: Any) -> bool:
    """Whether the next step would not be seen: Newton's steps shrink quadratically."""
    return bool(size(step) <= np.finfo(step.dtype).eps ** 0.6 * (1e-3 + size(point)))


def iterate(function: Map, start: Tensors) -> list[Tensor]:
    """A fixed point, by applying the function until nothing changes."""
    x = list(start)
    change = math.inf
    for _ in range(FIXED_POINT_STEPS):
        following = list(function(x))
        before, after = joined(x), joined(following)
        x, change = following, size(after - before)
        if not math.isfinite(change):
            break
        if change <= 4 * np.finfo(after.dtype).eps * (1e-3 + size(after)):
            return x
    raise NoConvergence(
        f"fixed_point: the function has been applied without coming to rest; its last step was {change:.3g}. If it does not contract, find "
        "the same point with root(lambda x, *theta: f(x, *theta) - x)"
    )
