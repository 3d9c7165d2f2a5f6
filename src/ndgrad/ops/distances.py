"""Distances between all pairs of rows of two matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import type_name
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.core.saved import constant
from ndgrad.core.tensor import Tensor
from ndgrad.ops import batch_rules
from ndgrad.ops.declare import function, general
from ndgrad.ops.norms import vector_norm
from ndgrad.ops.products import check_tensors
from ndgrad.ops.shape import expand_to

MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def _pull(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    """The cotangent of x: each difference over its length, weighted and summed, without making the differences."""
    ratio = xp.div_or_zero(g, out)
    last = ratio.ndim - 1
    return x * xp.sum_dims(ratio, dims=(last,), keepdim=True) - xp.matmul(ratio, y)


def _flip(xp: Any, x: Any) -> Any:
    return xp.transpose_dims(x, dim0=x.ndim - 2, dim1=x.ndim - 1)


def _tangent(xp: Any, tangents: Any, x: Any, y: Any, out: Any) -> Any:
    """The sum over the columns of difference times difference of tangents, over the length."""
    x_t, y_t = tangents
    parts: list[Any] = []
    for values, others, t, flipped in ((x, y, x_t, False), (y, x, y_t, True)):
        if t is not None:
            last = t.ndim - 1
            own = xp.sum_dims(values * t, dims=(last,), keepdim=True) - xp.matmul(t, _flip(xp, others))
            parts.append(_flip(xp, own) if flipped else own)
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return xp.div_or_zero(total, out)


@general(
    vjp=[lambda xp, g, x, y, out: _pull(xp, g, x, y, out), lambda xp, g, x, y, out: _pull(xp, _flip(xp, g), y, x, _flip(xp, out))],
    jvp=_tangent,
    node_name="CdistBackward0",
    saved={"x1": "x", "x2": "y", "p": constant(2.0)},
    batch=batch_rules.same("euclidean_distances"),
)
def euclidean_distances(x: Any, y: Any, *, by_products: bool) -> Any:
    """Lengths of the differences of all pairs of rows; `by_products`, from |x|^2 + |y|^2 - 2 x.y, which is faster and less exact."""
    if by_products:
        squares = np.einsum("...i,...i->...", x, x)[..., :, None] + np.einsum("...i,...i->...", y, y)[..., None, :]
        squares -= 2 * np.matmul(x, np.swapaxes(y, -1, -2))
        return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    differences = x[..., :, None, :] - y[..., None, :, :]
    return np.sqrt(np.einsum("...i,...i->...", differences, differences))


@function(method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norms of the differences of all pairs of rows of `x1` and `x2`; dims in front are a batch and broadcast."""
    check_tensors("cdist", x1=x1, x2=x2)
    if compute_mode is not None and compute_mode not in MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for name, tensor in (("X1", x1), ("X2", x2)):
        if tensor._a.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {tensor._a.ndim}D")
    shape_x, shape_y = x1._a.shape, x2._a.shape
    if shape_x[-1] != shape_y[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {shape_x[-1]} X2: {shape_y[-1]}")
    for name, tensor in (("X1", x1), ("X2", x2)):
        if tensor._a.dtype.kind != "f":
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {type_name(tensor.dtype)}")
    if p < 0:
        raise RuntimeError(f"cdist only supports non-negative p values; p is {p}")
    batch = broadcast_shapes(shape_x[:-2], shape_y[:-2])
    if x1._a.dtype != x2._a.dtype:
        raise RuntimeError(f"expected scalar type {type_name(x1.dtype)} but found {type_name(x2.dtype)}")
    x, y = (tensor if tensor._a.shape[:-2] == batch else expand_to(tensor, shape=(*batch, *tensor._a.shape[-2:])) for tensor in (x1, x2))
    if p == 2:
        many = shape_x[-2] > 25 or shape_y[-2] > 25
        by_products = compute_mode == MODES[1] or (compute_mode != MODES[2] and many)
        return euclidean_distances(x, y, by_products=by_products)
    return vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)
