"""Reading and writing along one dim by an index of the operand's rank, and reductions into named places."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Array, Shape
from ndgrad.kernels.indexing import FEW, add_rows

_REDUCTIONS = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def key_along(index: Array, dim: int) -> tuple[Any, ...]:
    """NumPy's key for the place (i, ..., index[i, ..., k], ..., k) of each element of `index`."""
    rank = index.ndim
    return tuple(
        index if axis == dim else np.arange(size).reshape((-1,) + (1,) * (rank - 1 - axis)) for axis, size in enumerate(index.shape)
    )


def with_dim(x: Any) -> Any:
    """A 0-d array as one of a single element."""
    return x if x.ndim else x.reshape(1)


def gather(x: Any, index: Any, dim: int) -> Any:
    """The elements of `x` that `index` names along a dim."""
    return with_dim(x)[key_along(with_dim(index), dim)].reshape(index.shape)


def corner(x: Any, shape: Shape) -> Any:
    """The part of `x` from its first element on that has the shape."""
    return x if x.shape == shape else x[tuple(slice(size) for size in shape)]


def scatter(target: Any, index: Any, values: Any, dim: int) -> None:
    """Write values at the places that `index` names along a dim; of several for one place the last stays."""
    index, target = with_dim(index), with_dim(target)
    if np.ndim(values):
        values = corner(values, index.shape)
    target[key_along(index, dim)] = values


def scatter_add(target: Any, index: Any, values: Any, dim: int) -> None:
    """Add values at the places that `index` names along a dim."""
    index, target = with_dim(index), with_dim(target)
    if not index.size:
        return
    values = corner(with_dim(values), index.shape) if np.ndim(values) else values
    key = key_along(index, dim)
    if index.size < FEW or target.dtype.kind != "f" or target.dtype.itemsize == 2:
        np.add.at(target, key, values)
        return
    flat = np.ravel_multi_index(tuple(np.broadcast_to(each, index.shape) for each in key), target.shape).reshape(-1)
    rows = np.broadcast_to(values, index.shape).reshape(-1, 1)
    if target.flags.c_contiguous:
        add_rows(target.reshape(-1, 1), flat, rows)
    else:
        out = np.zeros((target.size, 1), target.dtype)
        add_rows(out, flat, rows)
        target += out.reshape(target.shape)


def scatter_reduce(target: Any, index: Any, values: Any, dim: int, reduce: str, include_self: bool) -> None:
    """Combine values with what is at the places that `index` names along a dim, or with each other only."""
    index, target = with_dim(index), with_dim(target)
    if not index.size:
        return
    values = corner(with_dim(values), index.shape)
    key = key_along(index, dim)
    if not include_self:
        target[key] = identity(reduce, target.dtype)
    _REDUCTIONS[reduce].at(target, key, values)
    if reduce == "mean":
        count = counts(target.shape, key, include_self)
        if target.dtype.kind in "iu":
            np.floor_divide(target, count.astype(target.dtype), out=target)
        else:
            np.divide(target, count.astype(target.real.dtype), out=target)


def counts(shape: Shape, key: Any, include_self: bool) -> Array:
    """How many values each place combines, at least 1."""
    count = np.full(shape, int(include_self))
    np.add.at(count, key, 1)
    combined: Array = np.maximum(count, 1)
    return combined


def identity(reduce: str, kind: Any) -> Any:
    """What a reduction starts from."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    low = reduce == "amax"
    if kind.kind == "b":
        return not low
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return limits.min if low else limits.max
    return -np.inf if low else np.inf


def masked_fill(x: Any, value: Any, mask: Any) -> Any:
    """`x` with a number where the mask holds, without branches: `np.where` takes 20 times as long on a random mask."""
    kind = x.dtype
    if kind.kind != "f" or not isinstance(x, np.ndarray):
        return np.where(mask, value.astype(kind), x)
    bits = np.dtype(f"i{kind.itemsize}")
    out = np.multiply(x.view(bits), np.logical_not(mask))
    number = value.astype(kind).view(bits)
    if number:
        out |= np.multiply(number, mask)
    return out.view(kind)
