"""`jet`: all derivatives up to an order along a line or a curve, at a cost quadratic in the order."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from ndgrad.base.trees import tree_flatten, tree_unflatten
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.arguments import check_floating, named_after, tensor_outputs
from ndgrad.func.forward import Pushing
from ndgrad.func.series import Expansion
from ndgrad.ops import ops as functions

NAME = "jet(f, order)(x, *derivatives)"


def jet(func: Callable[..., Any], order: int, *, coefficients: bool = False) -> Callable[..., tuple[Any, ...]]:
    """The function that computes the derivatives of `t -> func(x(t))` at t = 0, from the zeroth to that of this order.

    Nested `jvp` or `grad` take a time exponential in the order; this takes one that is quadratic.

    Parameters
    ----------
    order : the highest derivative.
    coefficients : take and give Taylor coefficients, which are derivatives divided by factorials.

    Returns
    -------
    A function of x (a tree of floating point or complex tensors) and of derivatives of the curve x(t), trees like x: the first is the
    direction, all ones if it is not given, and those that are not given are zero. So `jet(f, 3)(x)` gives f, f', f'', f''' for an f of
    one number, and at each point for an elementwise f of many points. The result is a tuple of `order + 1` trees like the output of
    `func`, which have a history where x or what `func` uses has one.

    Raises
    ------
    NotImplementedError
        If `func` calls a custom Function.

    Examples
    --------
    >>> x = torch.tensor(0.5, dtype=torch.float64)
    >>> y, slope, curvature = jet(torch.tanh, 2)(x)
    """
    order = index(order)
    if order < 0:
        raise ValueError(f"jet(f, order): the order of a derivative is not negative, and this one is {order}")

    @named_after(func)
    def wrapper(x: Any, *derivatives: Any) -> tuple[Any, ...]:
        leaves, spec = tree_flatten(x)
        if not leaves:
            raise ValueError(f"{NAME}: x has no tensors")
        for leaf in leaves:
            check_floating(leaf, "x")
        curve = [matching(leaves, spec, derivative) for derivative in derivatives]
        if not curve:
            curve = [[wrap(np.ones(leaf.shape, leaf._a.dtype)) for leaf in leaves]]
        if not coefficients:
            curve = [values if n == 1 else [v / math.factorial(n) for v in values] for n, values in enumerate(curve, 1)]
        expansion = Expansion(order)
        with Pushing(expansion):
            moving = [expansion.start(leaf, [values[at] for values in curve]) for at, leaf in enumerate(leaves)]
            outputs, output_spec = tensor_outputs(func(tree_unflatten(moving, spec)), NAME)
            series = [expansion.find(output) for output in outputs]
        found = [outputs]
        for n in range(1, order + 1):
            terms = zip(outputs, (None if known is None else known[n] for known in series), strict=True)
            found.append([functions.zeros_like(y) if c is None else scaled(c, n, coefficients) for y, c in terms])
        return tuple(tree_unflatten(terms, output_spec) for terms in found)

    return wrapper


def scaled(c: Tensor, n: int, coefficients: bool) -> Tensor:
    return c if coefficients or n == 1 else c * float(math.factorial(n))


def matching(leaves: list[Any], spec: Any, derivative: Any) -> list[Any]:
    """The leaves of a derivative of the curve, which must be those of x."""
    given, given_spec = tree_flatten(derivative)
    if given_spec != spec:
        raise ValueError(f"{NAME}: a derivative of x has the structure of x. x is {spec}, and the derivative is {given_spec}")
    for leaf, v in zip(leaves, given, strict=True):
        check_floating(v, "a derivative of x")
        if v._a.shape != leaf._a.shape:
            raise ValueError(
                f"{NAME}: a derivative of x has the shapes of x. Got {list(v._a.shape)} for a tensor of shape {list(leaf._a.shape)}"
            )
    return given
