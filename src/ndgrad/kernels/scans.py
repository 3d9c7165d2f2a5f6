"""Running sums, products, extremes and recurrences along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Array

#: What torch accumulates in, where it is wider than the elements.
_WIDER: dict[str, Any] = {"e": np.float32, "f": np.float64, "F": np.complex128}
# Below this many elements per step NumPy's own accumulate is faster than a loop over steps.
_LOOP_FROM = 64


def running(ufunc: Any, x: Array, axis: int, *, reverse: bool = False, dtype: Any = None) -> Array:
    """`ufunc.accumulate` along an axis, from the end with `reverse`; result row-major."""
    wanted = np.dtype(dtype or x.dtype)
    if x.ndim == 0:
        return np.array(x, wanted)
    out = np.empty(x.shape, wanted)
    if x.size == 0:
        return out
    step = (slice(None),) * axis + (slice(None, None, -1),)
    source, target = (x[step], out[step]) if reverse else (x, out)
    wide = _WIDER.get(wanted.char) if ufunc in (np.add, np.multiply) else None
    inner = out.strides[axis] // out.itemsize
    if inner >= _LOOP_FROM:
        _by_rows(ufunc, np.moveaxis(source, axis, 0), np.moveaxis(target, axis, 0), wide)
        return out
    if wide is None:
        ufunc.accumulate(source, axis=axis, dtype=wanted, out=target)
    else:
        target[...] = ufunc.accumulate(source, axis=axis, dtype=wide)
    return out


def _by_rows(ufunc: Any, source: Array, target: Array, wide: Any) -> None:
    """One ufunc call per step: NumPy's accumulate strides through memory instead."""
    total = source[0].astype(wide or target.dtype)
    target[0] = total
    for at in range(1, source.shape[0]):
        ufunc(total, source[at], out=total)
        target[at] = total


def recurrence(h: Array, a: Array, axis: int, *, reverse: bool = False) -> Array:
    """`r[k] = h[k] + a[k] * r[k - 1]` along an axis, starting from 0 (with `reverse`, `r[k + 1]` and from the end)."""
    out = np.array(h, dtype=np.result_type(h, a), order="C")
    if out.ndim == 0 or out.size == 0:
        return out
    rows, factors = np.moveaxis(out, axis, 0), np.moveaxis(np.broadcast_to(a, out.shape), axis, 0)
    order = range(len(rows) - 2, -1, -1) if reverse else range(1, len(rows))
    behind = 1 if reverse else -1
    for at in order:
        rows[at] += factors[at] * rows[at + behind]
    return out


def shifted(x: Array, axis: int, by: int) -> Array:
    """The elements moved `by` places along an axis, zeros coming in."""
    out = np.zeros(x.shape, x.dtype)
    if x.ndim == 0 or abs(by) >= x.shape[axis]:
        return out
    lead = (slice(None),) * axis
    if by > 0:
        out[(*lead, slice(by, None))] = x[(*lead, slice(None, -by))]
    else:
        out[(*lead, slice(None, by))] = x[(*lead, slice(-by, None))]
    return out


def running_extreme(x: Array, axis: int, largest: bool) -> tuple[Array, Array]:
    """Running maxima (minima) with their positions: of equal elements the last, of nans the latest."""
    if x.ndim == 0:
        return np.array(x), np.zeros((), np.int64)
    ufunc = np.maximum if largest else np.minimum
    values = running(ufunc, x, axis)
    hit = x == values
    if x.dtype.kind == "f":
        hit |= np.isnan(x)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    steps = np.arange(x.shape[axis], dtype=np.int64).reshape(shape)
    positions = np.where(hit, steps, 0)
    return values, running(np.maximum, positions, axis)


def running_logsumexp(x: Array, axis: int, *, reverse: bool = False) -> Array:
    """`log(cumsum(exp(x)))` without overflow."""
    if x.dtype.kind == "c":
        return _running_logsumexp_complex(x, axis, reverse)
    return running(np.logaddexp, x, axis, reverse=reverse)


def _running_logsumexp_complex(x: Array, axis: int, reverse: bool) -> Array:
    if x.ndim == 0 or x.size == 0:
        return np.array(x)
    rows = np.moveaxis(x, axis, 0)
    out = np.empty(x.shape, x.dtype)
    target = np.moveaxis(out, axis, 0)
    order = range(len(rows) - 1, -1, -1) if reverse else range(len(rows))
    total: Any = None
    for at in order:
        total = np.array(rows[at]) if total is None else _log_of_sum(total, rows[at])
        target[at] = total
    return out


def _log_of_sum(x: Any, y: Any) -> Any:
    """`log(exp(x) + exp(y))` of complex numbers; the imaginary part goes on from that of the larger, as it does in PyTorch."""
    swap = x.real < y.real
    low, high = np.where(swap, x, y), np.where(swap, y, x)
    out = high + np.log1p(np.exp(low - high))
    even = (low.real == high.real) & np.isinf(low.real)
    return np.where(even, np.where(low.real < 0, low, np.log(np.exp(low) + np.exp(high))), out)
