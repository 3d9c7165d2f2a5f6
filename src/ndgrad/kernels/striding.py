"""Arrays that see another array's memory with other strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndgrad.base.shapes import contiguous_strides, is_dense
from ndgrad.base.storage import address, owner_of
from ndgrad.base.types import Array, Shape


def strided(x: Any, shape: Shape, strides: tuple[int, ...], offset: int = 0, dtype: Any = None) -> Array:
    """The memory of `x` with another shape, other strides and a first element `offset` further on, all in bytes.

    A new array on the owner's buffer is seven times cheaper than `as_strided`, and keeps the owner as its base.
    """
    if type(x) is not np.ndarray:
        x = np.asarray(x)
    owner = owner_of(x)
    flags = owner.flags
    if x.flags.writeable == flags.writeable and (flags.c_contiguous or flags.f_contiguous) and x.size:
        if owner is not x:
            offset += address(x) - address(owner)
        if 0 in shape:
            offset = min(offset, owner.nbytes)  # where an empty view begins nobody reads, but NumPy looks
        return np.ndarray(shape, dtype or x.dtype, owner, offset, strides)
    if dtype is not None:
        x = x.view(dtype)  # no owner of one piece: NumPy may refuse
    if offset and x.size:
        x = np.lib.stride_tricks.as_strided(x, (2,), (offset,))[1:]
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=x.flags.writeable)


def laid_out(x: Any) -> Any:
    """An empty array that NumPy gave no strides, with row-major ones; any other as it is."""
    if x.size or any(x.strides) or not x.ndim:
        return x
    width = x.itemsize
    return strided(x, x.shape, tuple(step * width for step in contiguous_strides(x.shape)))


def memory_order(shape: Shape, operands: Sequence[tuple[int, ...]]) -> list[int]:
    """The dims of a result, innermost first, in the order in which PyTorch lays it out: that of its operands' strides.

    The first operand that tells two dims apart decides; a stride of 0 tells nothing.
    """
    order = list(range(len(shape)))[::-1]
    for start in range(1, len(shape)):
        at = start
        for other in range(start - 1, -1, -1):
            verdict = _compared(shape, operands, order[other], order[at])
            if verdict < 0:
                break
            if verdict > 0:
                order[other], order[at] = order[at], order[other]
                at = other
    return order


def _compared(shape: Shape, operands: Sequence[tuple[int, ...]], inner: int, outer: int) -> int:
    """Above 0 where the inner dim should change places with the outer one, below 0 where it should not."""
    for strides in operands:
        low, high = strides[inner], strides[outer]
        if low == 0 or high == 0:
            continue
        if low != high:
            return -1 if low < high else 1
        if shape[inner] > shape[outer]:
            return 1
    return 0


def empty_in_order(shape: Shape, order: Sequence[int], dtype: Any) -> Array:
    """Memory for a result whose dims, innermost first, come in this order."""
    outwards = order[::-1]
    return np.empty([shape[dim] for dim in outwards], dtype).transpose(np.argsort(outwards))


def dense_empty(x: Array, dtype: Any = None) -> Array:
    """Memory for a result that is laid out as `x` is; a broadcast dim goes where row-major order has it."""
    kind = np.dtype(dtype or x.dtype)
    if not x.size or (x.flags.c_contiguous and 1 not in x.shape):
        return np.empty(x.shape, kind)
    if is_dense(x.shape, x.strides, x.itemsize):  # dims of size 1 keep their strides too, which NumPy's order="K" makes up anew
        return strided(np.empty(x.size, kind), x.shape, tuple(step // x.itemsize * kind.itemsize for step in x.strides))
    return empty_in_order(x.shape, memory_order(x.shape, [x.strides]), kind)


def dense_copy(x: Any, dtype: Any = None) -> Array:
    """A copy whose dims follow each other in memory as those of `x` do."""
    if not isinstance(x, np.ndarray) or not x.size or x.flags.c_contiguous or is_dense(x.shape, x.strides, x.itemsize):
        out = np.array(x, dtype=dtype, order="K")
        if dtype is None and out.strides != x.strides and out.size:  # of dims of size 1, which NumPy makes up anew
            return strided(out, x.shape, x.strides)
        return out
    out = dense_empty(x, dtype)
    with np.errstate(all="ignore"):
        out[...] = x
    return out
