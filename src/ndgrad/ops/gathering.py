"""Reading by position: along a dim, by a mask, from the flat tensor; and the positions themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import int64, type_name
from ndgrad.base.shapes import broadcast_shapes, wrap_dim
from ndgrad.base.types import Shape
from ndgrad.core.batches import values
from ndgrad.core.primitive import recorded
from ndgrad.core.saved import constant
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels import indexing, scattering
from ndgrad.ops import batch_rules, index_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.declare import function, general, linear, nondifferentiable
from ndgrad.ops.pieces import unbind
from ndgrad.ops.shape import expand_to


# ---------------------------------------------------------------- parts from the corner
@linear(transpose=lambda xp, g, x_shape: xp.pad_corner(g, shape=x_shape))
def cut_corner(x: Any, *, shape: Shape) -> Any:
    """The part from the first element on that has the shape."""
    return np.array(scattering.corner(x, shape))


@linear(transpose=lambda xp, g, x_shape: xp.cut_corner(g, shape=x_shape))
def pad_corner(x: Any, *, shape: Shape) -> Any:
    """Zeros of the shape with `x` at their beginning."""
    out = np.zeros(shape, x.dtype)
    out[tuple(slice(size) for size in x.shape)] = x
    return out


# ---------------------------------------------------------------- along a dim
@general(
    vjp=[lambda xp, g, index, x_shape, dim: xp.gather_backward(g, index, shape=x_shape, dim=dim), None],
    jvp=lambda xp, tangents, index, dim: xp.gather_along(tangents[0], index, dim=dim),
    node_name="GatherBackward0",
    saved={"sparse_grad": constant(False), "self_sym_sizes": None},
    batch=batch_rules.along("gather_along", 1),
)
def gather_along(x: Any, index: Any, *, dim: int) -> Any:
    """The elements that an index of the operand's rank names along a dim."""
    return scattering.gather(x, index, dim)


@general(
    vjp=[lambda xp, g, index, dim: xp.gather_along(g, index, dim=dim), None],
    jvp=lambda xp, tangents, index, shape, dim: xp.gather_backward(tangents[0], index, shape=shape, dim=dim),
    node_name="ScatterAddBackward0",
    batch=batch_rules.along("gather_backward", None),
)
def gather_backward(x: Any, index: Any, *, shape: Shape, dim: int) -> Any:
    """Zeros of `shape` to which `x` is added at the places that an index names along a dim."""
    out = np.zeros(shape, x.dtype)
    scattering.scatter_add(out, index, x, dim)
    return out


def integers(index: Any, message: str, error: type[Exception] = RuntimeError, *, only_long: bool = False, position: int = 3) -> Tensor:
    """An index tensor, refused with `message` (which begins with the operation's name) unless its dtype is int64 (or int32)."""
    check_tensor(index, message.partition("(")[0].removesuffix("_"), "index", position)
    kind = index._a.dtype
    if kind == np.int64 or (kind == np.int32 and not only_long):
        found: Tensor = index
        return found
    raise error(message.format(type_name(index.dtype)))


def in_range(
    index: Any, dim: int, size: int, message: str = "index {} is out of bounds for dimension {} with size {}", error: Any = RuntimeError
) -> None:
    """Refuse negative positions and those beyond the end."""
    payload = np.asarray(values(index))
    if payload.size and (payload.min() < 0 or payload.max() >= size):
        raise error(message.format(payload[(payload < 0) | (payload >= size)].reshape(-1)[0], dim, size))


@function(out=True)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """The elements that an index of the tensor's rank names along a dim."""
    shape = input._a.shape
    axis = wrap_dim(dim, len(shape))
    if isinstance(index, Tensor) and not index._a.size:
        return (
            gather_along(input, wrap(np.zeros((*index._a.shape,), np.int64)), dim=axis)
            if len(shape) == index._a.ndim
            else _nothing(input, index)
        )
    index = integers(index, "gather(): Expected dtype int32/int64 for index; got {}")
    own = index._a.shape
    if max(len(own), 1) != max(len(shape), 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as input tensor: {list(own)} and {list(shape)}")
    for other, (have, room) in enumerate(zip(own, shape, strict=False)):
        if other != axis and have > room:
            raise RuntimeError(
                f"Size does not match at dimension {other} expected index {list(own)} to be no larger than self {list(shape)} "
                f"apart from dimension {axis}"
            )
    if np.minimum.reduce(values(index._a), axis=None) < 0:
        in_range(index._a, axis, shape[axis] if shape else 1)
    try:
        return gather_along(input, index, dim=axis)
    except IndexError:
        in_range(index._a, axis, shape[axis] if shape else 1)
        raise


def _nothing(input: Tensor, index: Tensor) -> Tensor:
    return wrap(np.zeros(index._a.shape, input._a.dtype))


@function(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements that an index names along a dim, the other dims broadcast; without a dim, from the flat tensor."""
    if isinstance(indices, Tensor) and indices._a.dtype != np.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {type_name(indices.dtype)}")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    shape, own = input._a.shape, indices._a.shape
    if len(shape) != len(own):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {len(shape)} dimensions for input, and {len(own)} dimensions for indices"
        )
    axis = wrap_dim(dim, len(shape))
    if shape and indices._a.size and values(indices._a).min() < 0:
        indices = recorded.where(indices < 0, indices + shape[axis], indices)
    common = broadcast_shapes((*shape[:axis], 1, *shape[axis + 1 :]), (*own[:axis], 1, *own[axis + 1 :])) if shape else ()
    for_input, for_index = ((*common[:axis], each[axis], *common[axis + 1 :]) if shape else () for each in (shape, own))
    return gather(expand_to(input, shape=for_input), axis, expand_to(indices, shape=for_index))


def _rows_by_index(xp: Any, x: Any, index: Any, dim: int) -> Any:
    return xp.index_1(x, index.reshape(-1), dims=(dim,)) if x.ndim else xp.clone(x)


def _rows_back_by_index(xp: Any, x: Any, index: Any, shape: Shape, dim: int) -> Any:
    return xp.index_1_backward(x, index.reshape(-1), shape=shape, dims=(dim,)) if shape else xp.clone(x.reshape(()))


@general(
    vjp=[lambda xp, g, index, x_shape, dim: xp.index_select_backward(g, index, shape=x_shape, dim=dim), None],
    jvp=lambda xp, tangents, index, dim: xp.select_rows(tangents[0], index, dim=dim),
    node_name="IndexSelectBackward0",
    batch=batch_rules.composed(_rows_by_index),
)
def select_rows(x: Any, index: Any, *, dim: int) -> Any:
    """The positions of one dim that a vector names."""
    if not x.ndim:
        return np.array(x)
    return indexing.take(x, np.reshape(index, -1), dim)


@general(
    vjp=[lambda xp, g, index, dim: xp.select_rows(g, index, dim=dim), None],
    jvp=lambda xp, tangents, index, shape, dim: xp.index_select_backward(tangents[0], index, shape=shape, dim=dim),
    node_name="IndexAddBackward0",
    batch=batch_rules.composed(_rows_back_by_index),
)
def index_select_backward(x: Any, index: Any, *, shape: Shape, dim: int) -> Any:
    """Zeros of `shape` to which `x` is added at the positions of one dim."""
    if not shape:
        return np.array(x).reshape(())
    out = np.zeros(shape, x.dtype)
    indexing.add_at_dim(out, np.reshape(index, -1), x, dim)
    return out


@function(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The positions of one dim that a vector names."""
    shape = input._a.shape
    axis = wrap_dim(dim, len(shape))
    if isinstance(index, Tensor) and index._a.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    index = integers(index, "index_select(): Expected dtype int32 or int64 for index, but got {}")
    if not shape and index._a.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index._a.size} value(s)")
    size = shape[axis] if shape else 1
    in_range(index._a, axis, size, "index out of range in self: {} is not a position of dimension {} with size {}", IndexError)
    return select_rows(input, index, dim=axis)


# ---------------------------------------------------------------- by a mask
@general(
    vjp=[lambda xp, g, mask, x_shape: xp.index_mask_backward(g, mask, shape=x_shape, dim=0), None],
    jvp=lambda xp, tangents, mask: xp.masked_select_same(tangents[0], mask),
    node_name="MaskedSelectBackward0",
    saved={"mask": None, "self_sym_sizes": None},
    batch=index_rules.selecting,
)
def masked_select_same(x: Any, mask: Any) -> Any:
    """The elements where a mask of the same shape holds."""
    return x[mask] if isinstance(x, np.ndarray) else np.reshape(x, 1)[np.reshape(mask, 1)]


@function(out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector."""
    if mask._a.dtype.kind != "b":
        raise RuntimeError(f"masked_select: expected BoolTensor for mask; got {mask.dtype}")
    shape = broadcast_shapes(mask._a.shape, input._a.shape)
    tensors = [each if each._a.shape == shape else expand_to(each, shape=shape) for each in (input, mask)]
    return masked_select_same(*tensors)


# ---------------------------------------------------------------- from the flat tensor
@general(
    vjp=[lambda xp, g, index, x_shape: xp.take_flat_backward(g, index, shape=x_shape), None],
    jvp=lambda xp, tangents, index: xp.take_flat(tangents[0], index),
    node_name="TakeBackward0",
    saved={"self_sym_sizes": None},
    batch=batch_rules.composed(lambda xp, x, index: xp.index_1(x.reshape(-1), index, dims=(0,))),
)
def take_flat(x: Any, index: Any) -> Any:
    """The elements at positions of the flat tensor."""
    return np.take(x, index)


def _flat_back_by_index(xp: Any, x: Any, index: Any, shape: Shape) -> Any:
    flat = xp.index_1_backward(x.reshape(-1), index.reshape(-1), shape=(math.prod(shape),), dims=(0,))
    return flat.reshape(shape)


@general(
    vjp=[lambda xp, g, index: xp.take_flat(g, index), None],
    jvp=lambda xp, tangents, index, shape: xp.take_flat_backward(tangents[0], index, shape=shape),
    node_name="PutBackward0",
    batch=batch_rules.composed(_flat_back_by_index),
)
def take_flat_backward(x: Any, index: Any, *, shape: Shape) -> Any:
    """Zeros of `shape` to which `x` is added at positions of the flat tensor."""
    out = np.zeros(shape, x.dtype)
    indexing.add_at_dim(out.reshape(-1), np.reshape(index, -1), np.reshape(x, -1), 0)
    return out


def flat_positions(input: Tensor, index: Tensor) -> None:
    """Refuse positions outside of the flat tensor."""
    payload, count = np.asarray(values(index._a)), input._a.size
    if payload.size and (payload.min() < -count or payload.max() >= count):
        wrong = payload[(payload < -count) | (payload >= count)].reshape(-1)[0]
        raise IndexError(f"out of range: tried to access index {wrong} on a tensor of {count} elements.")


@function(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at positions of the flat tensor, in the shape of the index."""
    index = integers(index, "take(): Expected a long tensor for index, but got {}", only_long=True, position=2)
    if not input._a.size and index._a.size:
        raise IndexError("take(): tried to take from an empty tensor")
    flat_positions(input, index)
    return take_flat(input, index)


# ---------------------------------------------------------------- positions
NONZERO = "write torch.where(condition, a, b) with both cases, or nonzero_static(input, size=...)"


@nondifferentiable(policy="keep", public=False, batch=batch_rules.dynamic("nonzero", NONZERO))
def positions(x: Any) -> Any:
    """The positions of all elements that are not zero, one per row."""
    return np.transpose(np.nonzero(x)) if x.ndim else np.zeros((int(bool(x)), 0), np.int64)


@function(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of all elements that are not zero: one per row, or with `as_tuple` one tensor per dim."""
    if not as_tuple:
        return positions(input)
    return unbind(positions(input if input._a.ndim else input.detach().reshape(1)), 1)


def _first_of_all(xp: Any, x: Any, size: int, fill_value: int) -> Any:
    """The flat positions with those of what is not zero in front, then their place along each dim."""
    shape = x._a.shape
    if not shape or not x._a.size or not size:
        x = x.reshape(-1)
    found = (x != 0).reshape(-1)
    order = (~found).to(int64).argsort(stable=True)[:size]
    if order._a.size < size:
        order = xp.pad_corner(order, shape=(size,))
    real = wrap(np.arange(size)) < found.sum()
    steps = [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]
    places = [xp.where(real, order // step % width, fill_value) for step, width in zip(steps, shape, strict=True) if x._a.size]
    return xp.stack_tensors(places, dim=1) if places else wrap(np.full((size, len(shape)), fill_value))


@nondifferentiable(policy="keep", public=False, batch=batch_rules.composed(_first_of_all))
def first_positions(x: Any, *, size: int, fill_value: int) -> Any:
    """The positions of the first `size` elements that are not zero, filled up."""
    found = np.argwhere(x)[:size]
    out = np.full((size, x.ndim), fill_value)
    out[: len(found)] = found
    return out


@function
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` positions of elements that are not zero, filled up with `fill_value`."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    return first_positions(input, size=size, fill_value=fill_value)


@function
def argwhere(input: Tensor) -> Tensor:
    """The positions of all elements that are not zero, one per row."""
    return positions(input)
