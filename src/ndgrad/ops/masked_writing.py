"""Writing by a mask: a number or the elements of a tensor, out of place and in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import type_name
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.types import Shape
from ndgrad.core.batches import batch_of, values
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels import scattering
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.assigning import number_in
from ndgrad.ops.declare import general
from ndgrad.ops.scattering import pair, run, twins
from ndgrad.ops.shape import expand_to


def _cleared(xp: Any, g: Any, mask: Any) -> Any:
    return xp.masked_keep(g, xp.logical_not(mask))


@general(
    vjp=[lambda xp, g, mask: _cleared(xp, g, mask), None],
    jvp=lambda xp, tangents, mask: _cleared(xp, tangents[0], mask),
    node_name="MaskedFillBackward0",
    batch=batch_rules.composed(lambda xp, x, mask, value: xp.where(mask, wrap(np.asarray(value, x._a.dtype)), x)),
)
def masked_fill_number(x: Any, mask: Any, *, value: Any) -> Any:
    """A number where the mask holds."""
    return scattering.masked_fill(x, value, mask)


@general(
    vjp=[lambda xp, g, mask: _cleared(xp, g, mask), lambda xp, g, mask: xp.masked_keep(g, mask), None],
    node_name="MaskedFillBackward1",
    batch=batch_rules.composed(lambda xp, x, value, mask: xp.where(mask, value, x)),
)
def masked_fill_tensor(x: Any, value: Any, mask: Any) -> Any:
    """The one element of a tensor where the mask holds."""
    return scattering.masked_fill(x, value, mask)


def _fill_in_memory(x: Any, mask: Any, *, value: Any) -> Any:
    """A number written where the mask holds."""
    np.copyto(x, value, where=mask)
    return x


def _fill_tensor_in_memory(x: Any, value: Any, mask: Any) -> Any:
    """The one element of a tensor written where the mask holds."""
    np.copyto(x, value, where=mask)
    return x


_fill_number_pair = (
    masked_fill_number,
    general(
        _fill_in_memory,
        name="masked_fill_number_in_memory",
        vjp=masked_fill_number.primitive.rules,
        jvp=masked_fill_number.primitive.jvp,
        node_name="MaskedFillBackward0",
    ),
)
_fill_tensor_pair = (
    masked_fill_tensor,
    general(
        _fill_tensor_in_memory, name="masked_fill_tensor_in_memory", vjp=masked_fill_tensor.primitive.rules, node_name="MaskedFillBackward1"
    ),
)


def _masked_fill(in_place: bool, input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """One number in place of the elements where the mask holds."""
    check_tensor(mask, "masked_fill", "mask", 2)
    if mask._a.dtype.kind != "b":
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}")
    shape = broadcast_shapes(mask._a.shape, input._a.shape)
    if in_place and shape != input._a.shape:
        raise RuntimeError(f"output with shape {list(input._a.shape)} doesn't match the broadcast shape {list(shape)}")
    if not isinstance(value, Tensor):
        return run(_fill_number_pair, in_place, "masked_fill_", input, (mask,), value=number_in(value, input))
    if value._a.ndim:
        raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._a.ndim} dimension(s).")
    if value.dtype.is_complex and not input.dtype.is_complex:
        kind = input.dtype.name if input.dtype.is_floating_point else f"{input.dtype.name}_t"
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
    if value._a.dtype != input._a.dtype:
        value = value.to(input.dtype)
    return run(_fill_tensor_pair, in_place, "masked_fill_", input, (value, mask))


def _scatter_masked(x: Any, source: Any, mask: Any) -> Any:
    """The elements of `source`, in order, written where the mask holds."""
    mask = np.broadcast_to(mask, x.shape)
    x[mask] = np.reshape(source, -1)[: np.count_nonzero(mask)]
    return x


def _source_back(xp: Any, g: Any, mask: Any, source_shape: Shape) -> Any:
    taken = xp.index_mask(g, xp.broadcast_mask(mask, shape=g.shape), dim=0)
    size = int(np.prod(source_shape))
    return xp.reshape_to(xp.pad_corner(taken, shape=(size,)), shape=source_shape)


def _taken_in_order(xp: Any, x: Any, source: Any, mask: Any) -> Any:
    """The rule of `masked_scatter`: an element of the mask knows by counting which element of the source it takes."""
    if not source._a.size:
        return xp.clone(x)
    flat = expand_to(mask, shape=x.shape).reshape(-1)
    at = (flat.cumsum(0) - 1).clamp(0, source._a.size - 1)
    return xp.where(flat, xp.index_1(source.reshape(-1), at, dims=(0,)), x.reshape(-1)).reshape(x.shape)


_scatter_masked_pair = pair(
    _scatter_masked,
    vjp=[lambda xp, g, mask: _cleared(xp, g, mask), _source_back, None],
    node_name="MaskedScatterBackward0",
    saved={"source_sym_sizes": "source_shape"},
    batch=batch_rules.composed(_taken_in_order),
)


def _most_true(mask: Any, shape: Shape) -> int:
    """How often a mask that is broadcast to a shape holds; inside `vmap`, for the example with the most."""
    if batch_of(mask) is None:
        return int(np.count_nonzero(np.broadcast_to(mask, shape)))
    held = values(mask)
    counts = np.count_nonzero(held, axis=tuple(range(held.ndim - mask.ndim, held.ndim)))
    size: int = mask.size
    return int(np.max(counts, initial=0)) * (math.prod(shape) // max(size, 1))


def _masked_scatter(in_place: bool, input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The elements of `source`, in order, in place of those where the mask holds."""
    check_tensor(mask, "masked_scatter", "mask", 2)
    check_tensor(source, "masked_scatter", "source", 3)
    if mask._a.dtype.kind != "b":
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {type_name(mask.dtype)}")
    if source._a.dtype != input._a.dtype:
        names = type_name(input.dtype), type_name(source.dtype)
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got {names[0]} and {names[1]}")
    shape = broadcast_shapes(mask._a.shape, input._a.shape)
    if shape != input._a.shape:
        if in_place:
            raise RuntimeError(f"output with shape {list(input._a.shape)} doesn't match the broadcast shape {list(shape)}")
        input = expand_to(input, shape=shape)
    if _most_true(mask._a, shape) > source._a.size:
        raise RuntimeError(f"Number of elements of source < number of ones in mask (source has {source._a.size})")
    return run(_scatter_masked_pair, in_place, "masked_scatter_", input, (source, mask))


twins(_masked_fill, "masked_fill")
twins(_masked_scatter, "masked_scatter")
