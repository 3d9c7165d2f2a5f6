"""Distinct elements, and how often they occur."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import INTEGER, from_numpy_dtype, int64
from ndgrad.core.batches import batch_of, values
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops.arguments import one_dim, torch_arguments, unsupported
from ndgrad.ops.batch_rules import refuse_dynamic
from ndgrad.ops.declare import function


def _several(*parts: Any) -> Any:
    kept = tuple(wrap(part) for part in parts if part is not None)
    return kept[0] if len(kept) == 1 else kept


def _rows(array: Any, dim: int) -> Any:
    """The slices along a dim as the rows of a matrix."""
    moved = np.moveaxis(array, dim, 0)
    return moved.reshape(moved.shape[0], math.prod(moved.shape[1:]))


def _check_empty(function: str, array: Any, dim: int) -> None:
    empty = [axis for axis, size in enumerate(array.shape) if size == 0]
    if dim in empty and len(empty) > 1:
        raise RuntimeError(f"Number of zero sized dimensions is more than one, so {function} cannot be applied ")
    if empty and dim not in empty:
        raise RuntimeError(f"There are 0 sized dimensions, and they aren't selected, so {function} cannot be applied")


def _starts_of_runs(rows: Any) -> Any:
    """Where a row differs from the one before it; nan differs from everything."""
    starts = np.ones(len(rows), np.bool_)
    starts[1:] = (rows[1:] != rows[:-1]).any(1)
    return starts


def _lengths(starts: Any) -> Any:
    return np.diff(np.append(np.flatnonzero(starts), len(starts))).astype(np.int64)


def _row_order(rows: Any) -> Any:
    """The stable order of rows by their first, then second... column."""
    return np.lexsort(rows.T[::-1]) if rows.shape[1] else np.arange(len(rows))


def _slices(array: Any, at: Any, dim: int) -> Any:
    """The slices at some positions of a dim, which comes first in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, dim, 0)[at]), 0, dim)


@function
@torch_arguments
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The distinct elements (or slices along `dim`), in order whether asked for or not; on request with each one's place and count."""
    if batch_of(input._a) is not None:
        refuse_dynamic("_unique2", "sort(), which keeps all elements, has one shape")
    array = np.asarray(input._a)
    if array.dtype.kind == "c":
        unsupported("unique", input.dtype)
    if dim is None:
        flat = array.reshape(-1)
        order = np.argsort(flat, kind="stable")
        rows = flat[order].reshape(-1, 1)
        starts = _starts_of_runs(rows)
        found, shape = rows[starts, 0], array.shape
    else:
        axis = one_dim(dim, array.ndim, "unique")
        _check_empty("unique", array, axis)
        rows = _rows(array, axis)
        order = _row_order(rows)
        starts = _starts_of_runs(rows[order])
        found, shape = _slices(array, order[starts], axis), (array.shape[axis],)
    inverse: Any = None
    if return_inverse:
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.cumsum(starts) - 1
        inverse = inverse.reshape(shape)
    return _several(found, inverse, _lengths(starts) if return_counts else None)


@function
@torch_arguments
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The elements (or slices along `dim`) without immediate repetitions; on request with each one's place and count."""
    if batch_of(input._a) is not None:
        refuse_dynamic("unique_consecutive", "x[1:] != x[:-1] says where a new run begins")
    array = np.asarray(input._a)
    if array.dtype.kind == "c":
        unsupported("unique", input.dtype)
    if dim is None:
        rows, shape = array.reshape(-1, 1), array.shape
        starts = _starts_of_runs(rows)
        found = rows[starts, 0]
    else:
        axis = one_dim(dim, array.ndim, "unique_consecutive")
        _check_empty("unique_consecutive", array, axis)
        starts = _starts_of_runs(_rows(array, axis))
        found, shape = np.ascontiguousarray(np.compress(starts, array, axis)), (array.shape[axis],)
    inverse = (np.cumsum(starts) - 1).reshape(shape) if return_inverse else None
    return _several(found, inverse, _lengths(starts) if return_counts else None)


@function
@torch_arguments
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on occurs in a vector of integers, or the sum of the weights where it does."""
    array = input._a
    if array.dtype.kind not in "iu":
        unsupported("bincount_cpu", input.dtype)
    if minlength < 0:
        raise RuntimeError(f"minlength should be >= 0 (it is {minlength})")
    if array.ndim != 1 or (array.size and values(array).min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights._a.shape != array.shape:
        shapes = f"weights are {list(weights._a.shape)}, input {list(array.shape)}"
        raise RuntimeError(f"weights should be 1-d and have the same length as input ({shapes})")
    if batch_of(array) is not None or (weights is not None and batch_of(weights._a) is not None):
        return _counts_of_examples(input, weights, minlength)
    if weights is None:
        return wrap(np.bincount(array.astype(np.int64), minlength=minlength).astype(np.int64))
    counted = np.bincount(array.astype(np.int64), weights._a, minlength)
    return wrap(counted.astype(np.float32) if weights._a.dtype == np.float32 else counted)


def _counts_of_examples(input: Tensor, weights: Tensor | None, minlength: int) -> Tensor:
    """`bincount` inside `vmap`, where as many numbers must be counted for each example."""
    known = values(input._a)
    lengths = np.unique(np.maximum(known.max(-1, initial=-1) + 1, minlength))
    if lengths.size > 1:
        refuse_dynamic("bincount", f"give all of them one length with minlength={int(lengths[-1])} or more")
    if weights is None:
        wanted: Any = np.dtype(np.int64)
        given = wrap(np.ones((), np.int64))
    else:
        wanted = np.dtype(np.float32 if weights._a.dtype == np.float32 else np.float64)
        given = recorded.to_dtype(weights.detach(), dtype=from_numpy_dtype[wanted])
    return recorded.index_put_1(wrap(np.zeros(int(lengths.max(initial=0)), wanted)), given, input, dims=(0,), accumulate=True)


def _histograms(x: Tensor, bins: int, low: Any, high: Any) -> Tensor:
    """`histc` inside `vmap`."""
    flat = x.detach().reshape(-1)
    if low == high and flat._a.size:
        low, high = flat.min(), flat.max()
        if not np.isfinite(values(low._a)).all() or not np.isfinite(values(high._a)).all():
            raise RuntimeError("torch.histc: the range of an example is not finite")
        equal = low == high
        low, high = recorded.where(equal, low - 1, low), recorded.where(equal, high + 1, high)
    elif low == high:
        low, high = low - 1, high + 1
    inside = (flat >= low) & (flat <= high)
    at = ((flat - low) * bins / (high - low)).to(int64).clamp(0, bins - 1)
    none = wrap(np.zeros(bins, flat._a.dtype))
    return recorded.index_put_1(none, inside.to(flat.dtype), recorded.where(inside, at, 0), dims=(0,), accumulate=True)


def _check_range(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")


@function(out=True)
@torch_arguments
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max]; of the elements' own range if both are 0."""
    if input.dtype.category <= INTEGER or input.dtype.is_complex:
        unsupported("histogram_cpu", input.dtype)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if batch_of(input._a) is not None:
        _check_range(low, high)
        return _histograms(input, bins, low, high)
    array = np.asarray(input._a).reshape(-1)
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    _check_range(low, high)
    if low == high:
        low, high = low - 1, high + 1
    inside = array[(array >= low) & (array <= high)]
    # torch finds the bin by scaling in the dtype of the elements
    scaled = (inside - inside.dtype.type(low)) * inside.dtype.type(bins) / inside.dtype.type(high - low)
    at = np.minimum(scaled.astype(np.int64), bins - 1)
    return wrap(np.bincount(at, minlength=bins).astype(array.dtype))
