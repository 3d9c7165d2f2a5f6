"""`as_strided`: a tensor's memory seen with any shape and strides, and what undoes that."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.shapes import as_shape
from ndgrad.base.storage import address, element_strides, owner_of
from ndgrad.base.types import Shape
from ndgrad.core.batches import batch_of, values
from ndgrad.core.batching import BatchLevel
from ndgrad.core.tensor import Tensor
from ndgrad.kernels.striding import strided
from ndgrad.ops.declare import function, linear, recorded


def _gather_strided(xp: Any, g: Any, x_shape: Shape, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    return xp.strided_backward(g, shape=x_shape, size=size, stride=stride, offset=offset, own=own)


def _strided_examples(level: BatchLevel, mapped: list[bool], x: Any, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    lead = element_strides(x._memory())[0]
    return recorded.strided_view(x, size=(level.size, *size), stride=(lead, *stride), offset=offset, own=(lead, *own))


def _strided_sums(level: BatchLevel, mapped: list[bool], x: Any, shape: Shape, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    apart = max(offset + _memory_range(size, stride), _memory_range(shape, own), 1)
    return recorded.strided_backward(
        x, shape=(level.size, *shape), size=(level.size, *size), stride=(apart, *stride), offset=offset, own=(apart, *own)
    )


def _strided_copies(level: BatchLevel, mapped: list[bool], x: Any, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    apart = max(offset + _memory_range(size, stride), _memory_range(x._a.shape[1:], own), 1)
    return recorded.strided_apply(x, size=(level.size, *size), stride=(apart, *stride), offset=offset, own=(apart, *own))


@linear(
    transpose=_gather_strided,
    view=True,
    node_name="AsStridedBackward0",
    saved={"offset": None, "own": None, "self_sym_sizes": None},
    batch=_strided_examples,
)
def strided_view(x: Any, *, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    """Any shape and strides over the memory of `x`, whose strides are `own`; `offset` counts from its first element."""
    if element_strides(x) != own:
        raise ValueError(
            f"as_strided was recorded for memory with strides {list(own)} and cannot be replayed on strides {list(element_strides(x))}"
        )
    return strided(x, size, tuple(step * x.itemsize for step in stride), offset * x.itemsize)


def _memory_range(shape: Shape, strides: Shape) -> int:
    return 0 if 0 in shape else sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + 1


def _memory_positions(shape: Shape, strides: Shape) -> Any:
    """For every element its place in memory."""
    places = np.zeros(shape, np.int64)
    for axis, (size, step) in enumerate(zip(shape, strides, strict=True)):
        places += (np.arange(size) * step).reshape((-1,) + (1,) * (len(shape) - 1 - axis))
    return places


@linear(
    transpose=lambda xp, g, size, stride, offset, own: xp.strided_apply(g, size=size, stride=stride, offset=offset, own=own),
    batch=_strided_sums,
)
def strided_backward(x: Any, *, shape: Shape, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    """The cotangent of the operand of `as_strided`: elements that share memory share what comes back."""
    low = min(offset, 0)
    places = _memory_positions(size, stride) + (offset - low)
    mine = _memory_positions(shape, own) - low
    length = max(offset + _memory_range(size, stride), _memory_range(shape, own), 1) - low
    flat = np.zeros(length, x.dtype)
    np.add.at(flat, places.reshape(-1), np.reshape(x, -1))
    if any(step == 0 and count > 1 for step, count in zip(own, shape, strict=True)):
        counts = np.zeros(length, x.real.dtype)
        np.add.at(counts, mine.reshape(-1), 1)
        flat /= np.maximum(counts, 1)
    return flat[mine]


@linear(
    transpose=lambda xp, g, x_shape, size, stride, offset, own: xp.strided_backward(
        g, shape=x_shape, size=size, stride=stride, offset=offset, own=own
    ),
    batch=_strided_copies,
)
def strided_apply(x: Any, *, size: Shape, stride: Shape, offset: int, own: Shape) -> Any:
    """What `as_strided` gives for a tensor laid out with the strides `own`, as a copy."""
    low = min(offset, 0)
    flat = np.zeros(max(offset + _memory_range(size, stride), _memory_range(x.shape, own), 1) - low, x.dtype)
    flat[(_memory_positions(x.shape, own) - low).reshape(-1)] = np.reshape(x, -1)
    return flat[_memory_positions(size, stride) + (offset - low)]


def _check_example(input: Tensor, shape: Shape, strides: Shape, begin: int, own: int) -> None:
    """Refuse to look from one example of a `vmap` into others."""
    end, last = begin + _memory_range(shape, strides), own + _memory_range(input._a.shape, element_strides(input._memory()))
    if begin < own or end > last:
        raise RuntimeError(
            f"result = tensor.as_strided({list(shape)}, {list(strides)}, {begin}) can access memory outside of `tensor`. `result` can "
            f"access some memory in range [{begin}, {end}], but `tensor` can only access some memory in range [{own}, {last}]. This is not "
            "supported inside of vmap, please try to rewrite the `as_strided` call as a sequence of PyTorch view operations"
        )


@function
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Any shape and strides, in elements, over the tensor's whole storage: a view."""
    shape, strides = as_shape((size,), "size"), as_shape((stride,), "stride")
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(shape)} and {list(strides)}")
    if any(step < 0 for step in strides):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(strides)}")
    if any(width < 0 for width in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    memory = values(input._memory())
    owner = owner_of(memory)
    width = memory.itemsize
    own = (address(memory) - address(owner)) // width
    begin = own if storage_offset is None else storage_offset
    if begin < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {begin}")
    needed = (begin + _memory_range(shape, strides)) * width if 0 not in shape else 0
    if needed > owner.nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {begin}, and itemsize {width} requiring a storage "
            f"size of {needed} are out of bounds for storage of size {owner.nbytes}"
        )
    if batch_of(input._a) is not None:
        _check_example(input, shape, strides, begin, own)
    return strided_view(input, size=shape, stride=strides, offset=begin - own, own=element_strides(input._memory()))
