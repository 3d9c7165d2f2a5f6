"""Sorting and selection along one axis, with positions; nan counts as the largest number."""

from __future__ import annotations

import numpy as np

from ndgrad.base.types import Array


def sorted_with_positions(x: Array, axis: int, descending: bool) -> tuple[Array, Array]:
    """Values in order and where they stood, equal ones in their original order."""
    if x.ndim == 0:
        return np.array(x), np.zeros((), np.int64)
    positions = stable_order(x, axis, descending)
    return laid_out_like(np.take_along_axis(x, positions, axis), x), positions


def laid_out_like(values: Array, x: Array) -> Array:
    """The values in the order of dims in memory that `x` has."""
    if x.flags.c_contiguous:
        return values
    out = np.empty_like(x, values.dtype)
    out[...] = values
    return out


def stable_order(x: Array, axis: int, descending: bool) -> Array:
    """Positions that put the elements in order, equal ones in their original order; laid out like the elements."""
    if not descending:
        return laid_out_like(np.argsort(x, axis=axis, kind="stable"), x)
    # read backwards, an ascending stable sort of the reversed elements is a descending one that keeps ties in order
    back = (slice(None),) * axis + (slice(None, None, -1),)
    order = np.argsort(x[back], axis=axis, kind="stable")[back]
    return laid_out_like(np.subtract(x.shape[axis] - 1, order, order="C"), x)


def top(x: Array, k: int, axis: int, largest: bool) -> tuple[Array, Array]:
    """The first `k` of the sorted elements, with positions."""
    if x.ndim == 0:
        full = np.array(x), np.zeros((), np.int64)
        return full if k else (full[0].reshape(1)[:0], full[1].reshape(1)[:0])
    size = x.shape[axis]
    first = (slice(None),) * axis + (slice(None, k),)
    if not 0 < 8 * k < size or x.dtype.kind not in "fiu":
        positions = stable_order(x, axis, largest)[first].copy()
        return np.take_along_axis(x, positions, axis), positions
    if not largest:
        chosen = np.argpartition(x, k, axis=axis)[first]
    else:
        last = (slice(None),) * axis + (slice(size - k, None),)
        chosen = np.argpartition(x, size - k, axis=axis)[last]
    chosen = np.sort(chosen, axis=axis)
    values = np.take_along_axis(x, chosen, axis)
    order = stable_order(values, axis, largest)
    return np.take_along_axis(values, order, axis), np.take_along_axis(chosen, order, axis)


def ranked(x: Array, rank: int, axis: int) -> tuple[Array, Array]:
    """The element that sorting would put at position `rank`, with its own position; both keep the axis."""
    if x.ndim == 0:
        return np.array(x), np.zeros((), np.int64)
    at = (slice(None),) * axis + (slice(rank, rank + 1),)
    positions = np.argsort(x, axis=axis, kind="stable")[at]
    return np.take_along_axis(x, positions, axis), np.ascontiguousarray(positions)


def median(x: Array, axis: int, skip_nan: bool) -> tuple[Array, Array]:
    """The lower median and its position; of a slice with a nan, its first nan, unless those are to be skipped."""
    if x.ndim == 0:
        return np.array(x), np.zeros((), np.int64)
    size = x.shape[axis]
    order = np.argsort(x, axis=axis, kind="stable")
    if x.dtype.kind != "f":
        rank: Array = np.full([1 if at == axis else n for at, n in enumerate(x.shape)], (size - 1) // 2)
    else:
        valid = size - np.isnan(x).sum(axis=axis, keepdims=True)
        rank = np.maximum(valid - 1, 0) // 2 if skip_nan else np.where(valid < size, np.minimum(valid, size - 1), (size - 1) // 2)
    positions = np.take_along_axis(order, rank, axis)
    return np.take_along_axis(x, positions, axis), positions


def mode(x: Array, axis: int) -> tuple[Array, Array]:
    """The most frequent element, the smallest of several, and its last position; both keep the axis."""
    if x.ndim == 0:
        return np.array(x), np.zeros((), np.int64)
    rows = np.moveaxis(x, axis, -1)
    order = np.argsort(rows, axis=-1, kind="stable")
    ordered = np.take_along_axis(rows, order, -1)
    steps = np.arange(rows.shape[-1])
    starts = np.ones(rows.shape, np.bool_)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    run_start = np.maximum.accumulate(np.where(starts, steps, 0), axis=-1)
    ends = np.argmax(steps - run_start, axis=-1)[..., None]
    positions = np.moveaxis(np.take_along_axis(order, ends, -1), -1, axis)
    return np.take_along_axis(x, positions, axis), np.ascontiguousarray(positions)
