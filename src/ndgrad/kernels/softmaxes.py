"""Softmax, its logarithm, logsumexp, and their adjoints: as few passes over memory as NumPy allows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ndgrad.base.types import Array

_largest = np.maximum.reduce
_add: Any = np.add.reduce
# longer rows are summed pairwise, as BLAS does not
_LONGEST_ROW = 4096


@functools.lru_cache(64)
def _ones(count: int, dtype: Any) -> Array:
    return np.ones(count, dtype)


def _total(x: Array, axis: int) -> Array:
    """Sums along an axis, which is kept. Of the rows of a matrix BLAS makes them in a third of the time."""
    if axis == 1 and x.ndim == 2 and x.shape[1] <= _LONGEST_ROW and x.dtype.char in "fd" and x.flags.c_contiguous:
        total: Array = np.dot(x, _ones(x.shape[1], x.dtype))[:, None]
    else:
        total = _add(x, axis=axis, keepdims=True)
    return total


def _shifted(x: Array, axis: int) -> Array:
    """A row-major copy of the elements less the largest of their slice."""
    top = _largest(x, axis=axis, keepdims=True)
    return np.subtract(x, top) if x.flags.c_contiguous else np.subtract(x, top, order="C")


def softmax(x: Any, axis: int) -> Any:
    """`exp(x) / sum(exp(x))` along an axis."""
    if x.ndim == 0:
        return softmax(x.reshape(1), 0).reshape(())
    if x.size == 0:
        return np.empty(x.shape, x.dtype)
    if x.dtype.char == "e":
        return softmax(x.astype(np.float32), axis).astype(np.float16)
    out = _shifted(x, axis)
    np.exp(out, out)
    out /= _total(out, axis)
    return out


def log_softmax(x: Any, axis: int) -> Any:
    """`x - log(sum(exp(x)))` along an axis."""
    if x.ndim == 0:
        return log_softmax(x.reshape(1), 0).reshape(())
    if x.size == 0:
        return np.empty(x.shape, x.dtype)
    if x.dtype.char == "e":
        return log_softmax(x.astype(np.float32), axis).astype(np.float16)
    out = _shifted(x, axis)
    out -= np.log(_total(np.exp(out), axis))
    return out


def softmax_adjoint(g: Any, out: Any, axis: int) -> Any:
    """`out * (g - sum(g * out))`."""
    if out.ndim == 0:
        return np.zeros((), out.dtype)
    kept = g * out
    kept -= out * _total(kept, axis)
    return kept


def log_softmax_adjoint(g: Any, out: Any, axis: int) -> Any:
    """`g - exp(out) * sum(g)`."""
    if out.ndim == 0:
        return np.zeros((), out.dtype)
    kept = np.exp(out)
    kept *= _total(g, axis)
    return np.subtract(g, kept, out=kept)


def logsumexp(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """`log(sum(exp(x)))` over some axes, scaled by the largest element where it is finite."""
    if x.dtype.char == "e":
        return logsumexp(x.astype(np.float32), axes, keepdim).astype(np.float16)
    if x.size == 0:
        return np.log(_add(np.exp(x), axis=axes, keepdims=keepdim))
    top = _largest(x.real, axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))
    work = np.subtract(x, top)
    total = np.log(_add(np.exp(work), axis=axes, keepdims=keepdim))
    out = total + (top if keepdim else top.reshape(total.shape))
    return out if x.flags.c_contiguous else out.copy()
