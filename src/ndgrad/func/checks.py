"""`check_grad`: the derivatives of a function against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.base.trees import keystr, tree_flatten, tree_leaves_with_path, tree_unflatten
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.arguments import tensor_outputs
from ndgrad.func.forward import jvp
from ndgrad.func.reverse import vjp

NAME = "check_grad(f, *args)"


class Checked:
    """A function of flat lists of floating arguments: the others stay as they are, and so do outputs that have no derivative."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.func = func
        self.leaves, self.spec = tree_flatten(args)
        self.floating = [at for at, leaf in enumerate(self.leaves) if isinstance(leaf, Tensor) and leaf._a.dtype.kind in "fc"]
        if not self.floating:
            raise ValueError(f"{NAME}: there is no floating point or complex tensor among the arguments, to differentiate by")

    def __call__(self, *values: Tensor) -> tuple[Tensor, ...]:
        leaves = list(self.leaves)
        for at, value in zip(self.floating, values, strict=True):
            leaves[at] = value
        outputs, _ = tensor_outputs(self.func(*tree_unflatten(leaves, self.spec)), NAME)
        return tuple(output for output in outputs if output._a.dtype.kind in "fc")


def check_grad(
    func: Callable[..., Any], *args: Any, directions: int = 3, eps: float | None = None, rtol: float | None = None, seed: int = 0
) -> float:
    """Compare the derivatives of `func` by each of its arguments, in both modes, with central differences along random directions.

    Parameters
    ----------
    args : trees; tensors of integers, and whatever is no tensor, are constants.
    directions : how many are tried for each tensor.
    eps, rtol : step and tolerance; by default what suits the precision of the arguments, 6e-6 and 1.2e-5 in double precision.
    seed : of the directions.

    Returns
    -------
    The largest error that was found, relative to 1 or to the derivative where that is larger.

    Raises
    ------
    AssertionError
        Where they differ by more: says which argument, which mode, and both numbers.
    """
    flat = Checked(func, args)
    primals = tuple(flat.leaves[at].detach() for at in flat.floating)
    paths = tree_leaves_with_path(args)
    names = [f"argument {path[0].idx}{keystr(path[1:])}" for path, _ in (paths[at] for at in flat.floating)]
    coarsest = max(float(np.finfo(x._a.dtype).eps) for x in primals)
    eps = coarsest ** (1 / 3) if eps is None else eps
    rtol = 2 * eps if rtol is None else rtol
    rng = np.random.default_rng(seed)
    outputs, pull = vjp(flat, *primals)
    worst = 0.0
    for number, (x, name) in enumerate(zip(primals, names, strict=True)):
        for _ in range(directions):
            t = direction(rng, x)
            ends = [flat(*(moved(y, t, sign * eps) if at == number else y for at, y in enumerate(primals))) for sign in (1, -1)]
            differences = [(up._a.astype(wide(up)) - down._a) / (2 * eps) for up, down in zip(*ends, strict=True)]
            g = [direction(rng, y) for y in outputs]
            expected = inner(g, differences)
            (*cotangents,) = pull(tuple(wrap(each) for each in g))
            worst = max(worst, compared("reverse", name, inner([cotangents[number]._a], [t]), expected, rtol))
            pushed = forward(flat, primals, number, t)
            if pushed is not None:
                worst = max(worst, compared("forward", name, inner(g, [each._a for each in pushed]), expected, rtol))
    return worst


def forward(flat: Checked, primals: Sequence[Tensor], number: int, t: Array) -> tuple[Tensor, ...] | None:
    """The tangents of the outputs; None if a custom function inside has no `jvp`."""
    tangents = tuple(wrap(t if at == number else np.zeros_like(np.asarray(x._a))) for at, x in enumerate(primals))
    try:
        found: tuple[Tensor, ...] = jvp(flat, tuple(primals), tangents)[1]
    except NotImplementedError:  # a custom function without a jvp, or an operation that has none: there is nothing to check
        return None
    return found


def wide(tensor: Tensor) -> Any:
    return np.result_type(tensor._a.dtype, np.float64)


def direction(rng: np.random.Generator, like: Tensor) -> Array:
    """A random direction of length 1."""
    t = np.asarray(rng.standard_normal(like._a.shape))
    if like._a.dtype.kind == "c":
        t = t + 1j * rng.standard_normal(like._a.shape)
    length = float(np.linalg.norm(t))
    return np.asarray(t / length if length else t, like._a.dtype)


def moved(x: Tensor, t: Array, step: float) -> Tensor:
    return wrap(np.asarray(x._a + step * t, x._a.dtype))


def inner(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The real inner product of two lists of arrays."""
    return float(sum(np.sum(np.conj(a).astype(np.result_type(a.dtype, np.float64)) * b).real for a, b in zip(one, other, strict=True)))


def compared(mode: str, name: str, found: float, expected: float, rtol: float) -> float:
    """The error of a derivative, unless it is too large."""
    error = abs(found - expected) / max(1.0, abs(expected))
    if not error <= rtol:
        raise AssertionError(
            f"{NAME}: in {mode} mode the derivative by {name} along a random direction is {found:.10g}, but differences of the function "
            f"give {expected:.10g}: an error of {error:.3g}, where {rtol:.3g} is tolerated. Kinks and random numbers in the "
            "function have this effect, too."
        )
    return error
