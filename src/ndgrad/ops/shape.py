"""Views that rearrange dims, and copies that do."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.shapes import as_shape, infer_shape, view_strides, wrap_dim
from ndgrad.base.types import Shape
from ndgrad.core.tensor import Tensor
from ndgrad.ops.declare import function, linear


def strided(x: Any, shape: Shape, strides: tuple[int, ...]) -> Any:
    """The same memory with another shape and other strides, in bytes."""
    return np.lib.stride_tricks.as_strided(x, shape, strides)


# ---------------------------------------------------------------- sums that undo broadcasting
@linear(transpose=lambda xp, g, x_shape: xp.expand_to(g, shape=x_shape), node_name="SumBackward1")
def sum_to(x: Any, *, shape: Shape) -> Any:
    """Sum the dims that broadcasting `shape` to the operand's shape has added or widened."""
    lead = x.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, size in enumerate(shape) if size == 1 != x.shape[lead + i]))
    return np.add.reduce(x, axis=axes, keepdims=True).reshape(shape) if axes else np.reshape(x, shape)


@linear(transpose=lambda xp, g, x_shape: xp.sum_to(g, shape=x_shape), view=True, node_name="ExpandBackward0")
def expand_to(x: Any, *, shape: Shape) -> Any:
    """Broadcast to `shape`, without copying."""
    lead = len(shape) - x.ndim
    strides = (0,) * lead + tuple(0 if size == 1 != wide else step for size, wide, step in zip(x.shape, shape[lead:], x.strides, strict=True))
    return strided(x, shape, strides)


# ---------------------------------------------------------------- one shape to another
@linear(transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape), view=True, node_name="ViewBackward0")
def view_as_shape(x: Any, *, shape: Shape) -> Any:
    """Another shape over the same memory, which must allow it."""
    strides = view_strides(x.shape, tuple(step // x.itemsize for step in x.strides), shape)
    if strides is None:
        raise ValueError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). "
            "Use .reshape(...) instead."
        )
    return strided(x, shape, tuple(step * x.itemsize for step in strides))


@linear(transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape), node_name="UnsafeViewBackward0")
def reshape_to(x: Any, *, shape: Shape) -> Any:
    """Another shape, as a view or a copy: for rules, which do not care."""
    return np.reshape(x, shape)


@linear(transpose=lambda xp, g, dim0, dim1: xp.transpose_dims(g, dim0=dim0, dim1=dim1), view=True, node_name="TransposeBackward0")
def transpose_dims(x: Any, *, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    return np.swapaxes(x, dim0, dim1)


@linear(transpose=lambda xp, g: xp.t_matrix(g), view=True, node_name="TBackward0")
def t_matrix(x: Any) -> Any:
    """A matrix transposed."""
    return x.T


@function(aliases=("swapaxes", "swapdims"))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dims exchanged: a view."""
    rank = input._a.ndim
    first, second = wrap_dim(dim0, rank), wrap_dim(dim1, rank)
    return transpose_dims(input, dim0=first, dim1=second) if rank else transpose_dims(input.reshape(1), dim0=0, dim1=0).reshape(())  # pyright: ignore[reportAttributeAccessIssue]  # bound in ops


@function
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or a number as it is."""
    if input._a.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._a.ndim}D")
    return t_matrix(input)


@function(as_function=False)
def view(self: Tensor, *shape: Any) -> Tensor:
    """Another shape over the same memory."""
    return view_as_shape(self, shape=infer_shape(as_shape(shape, "shape"), self._a.size))


@function
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """Another shape: a view where the memory allows it, else a copy."""
    wanted = infer_shape(as_shape(shape, "shape"), input._a.size)
    array = input._a
    if view_strides(array.shape, tuple(step // array.itemsize for step in array.strides), wanted) is None:
        return reshape_to(input, shape=wanted)
    return view_as_shape(input, shape=wanted)


@function(as_function=False)
def expand(self: Tensor, *size: Any) -> Tensor:
    """Dims of size 1 widened, and new dims in front, without copying; -1 leaves a dim as it is."""
    wanted = as_shape(size)
    shape = self._a.shape
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.{self.dtype.name}{{{list(shape)}}}, size={list(wanted)}): the number of sizes provided ({len(wanted)}) must be greater "
            f"or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    full: list[int] = []
    for axis, width in enumerate(wanted):
        own = shape[axis - lead] if axis >= lead else None
        if width == -1:
            if own is None:
                raise RuntimeError(f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {axis}")
            width = own
        if own is not None and own not in (1, width):
            raise RuntimeError(
                f"The expanded size of the tensor ({width}) must match the existing size ({own}) at non-singleton dimension {axis}.  "
                f"Target sizes: {list(wanted)}.  Tensor sizes: {list(shape)}"
            )
        full.append(width)
    return expand_to(self, shape=tuple(full))
