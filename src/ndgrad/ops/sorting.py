"""Sorting, the largest few, ranks, medians, modes and quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base import return_types
from ndgrad.base.dtypes import bool_, float32, float64
from ndgrad.core.batches import values
from ndgrad.core.batching import BatchLevel, lined_up
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels import ordering as kernels
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_nonempty, one_dim, torch_arguments, unsupported, wrong
from ndgrad.ops.declare import function, general, nondifferentiable, recorded
from ndgrad.ops.extremes import at_position


def _places_back(xp: Any, g: Any, out1: Any, x_shape: Any, dim: int) -> Any:
    """The cotangent of elements that were moved along a dim, each at most once."""
    if len(x_shape) == 0:
        return xp.reshape_to(xp.sum_dims(g[0], dims=(0,), keepdim=False), shape=()) if g[0].ndim else g[0]
    return xp.put_along(g[0], out1, dim=dim, size=x_shape[dim], unique=True)


# ---------------------------------------------------------------- sorting
@general(vjp=[_places_back], outputs=2, node_name="SortBackward0", saved={"indices": "out1"})
def sort_along(x: Any, *, dim: int, descending: bool) -> Any:
    """The elements in order along a dim, and where they stood."""
    return kernels.sorted_with_positions(x, dim, descending)


@general(vjp=[_places_back], outputs=2, node_name="SortBackward1", saved={"indices": "out1"})
def sort_stable(x: Any, *, dim: int, descending: bool) -> Any:
    """The same under the name that PyTorch gives it when `stable` is passed; both are stable."""
    return kernels.sorted_with_positions(x, dim, descending)


def _check_order(input: Tensor) -> None:
    if input.dtype.is_complex:
        raise RuntimeError("Sort does not support complex dtypes on CPU")


@function(out=True, primitive=sort_along)
@torch_arguments
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = None) -> Any:
    """The elements in order along `dim`, and the positions they had; equal ones keep their order, nan is the largest."""
    axis = one_dim(dim, input._a.ndim, "sort")
    _check_order(input)
    primitive = sort_along if stable is None else sort_stable
    return return_types.sort(primitive(input, dim=axis, descending=bool(descending)))


@nondifferentiable(policy="keep", public=False)
def order_along(x: Any, *, dim: int, descending: bool) -> Any:
    """The positions that would put the elements in order along a dim."""
    return kernels.stable_order(x, dim, descending) if x.ndim else np.zeros((), np.int64)


@function
@torch_arguments
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The positions that would put the elements in order along `dim`."""
    axis = one_dim(dim, input._a.ndim, "argsort")
    _check_order(input)
    return order_along(input, dim=axis, descending=bool(descending))


@function(out=True)
@torch_arguments
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first dim."""
    _check_order(input)
    values: Tensor = sort_along(input, dim=0, descending=False)[0]
    return values


# ---------------------------------------------------------------- the largest few
@general(vjp=[_places_back], outputs=2, node_name="TopkBackward0", saved={"indices": "out1"})
def topk_along(x: Any, *, k: int, dim: int, largest: bool) -> Any:
    """The `k` largest (smallest) elements along a dim, in order, and their positions."""
    return kernels.top(x, k, dim, largest)


@function(out=True, primitive=topk_along)
@torch_arguments
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The `k` largest (or smallest) elements along `dim` and their positions, always in order; of equal ones the first."""
    axis = one_dim(dim, input._a.ndim, "topk")
    if input.dtype.is_complex:
        raise RuntimeError("topk does not support complex dtypes on CPU")
    if input.dtype is bool_:
        raise RuntimeError("topk does not support bool dtypes on CPU")
    count = k.item() if isinstance(k, Tensor) else k
    size = input._a.shape[axis] if input._a.ndim else 1
    if not 0 <= count <= size:
        raise RuntimeError(f"selected index k out of range (k is {count}, dimension {axis} has {size} elements)")
    return return_types.topk(topk_along(input, k=count, dim=axis, largest=bool(largest)))


# ---------------------------------------------------------------- one element of each slice
def _selected_back(xp: Any, g: Any, out1: Any, x_shape: Any, dim: int, keepdim: bool) -> Any:
    return at_position(xp, g[0], out1, x_shape, dim, keepdim)


def _drop(found: tuple[Any, Any], dim: int, keepdim: bool) -> tuple[Any, Any]:
    if keepdim or found[0].ndim == 0:
        return found
    return found[0].squeeze(dim), found[1].squeeze(dim)


@general(vjp=[_selected_back], outputs=2, node_name="KthvalueBackward0", saved={"indices": "out1"})
def kthvalue_along(x: Any, *, k: int, dim: int, keepdim: bool = False) -> Any:
    """The `k`-th smallest elements along a dim, and their positions."""
    return _drop(kernels.ranked(x, k - 1, dim), dim, keepdim)


@general(vjp=[_selected_back], outputs=2, node_name="MedianBackward1", saved={"indices": "out1"})
def median_along(x: Any, *, dim: int, keepdim: bool = False) -> Any:
    """The lower medians along a dim, and their positions."""
    return _drop(kernels.median(x, dim, False), dim, keepdim)


@general(vjp=[_selected_back], outputs=2, node_name="NanmedianBackward1", saved={"indices": "out1"})
def nanmedian_along(x: Any, *, dim: int, keepdim: bool = False) -> Any:
    """The lower medians along a dim, nan left out, and their positions."""
    return _drop(kernels.median(x, dim, True), dim, keepdim)


@general(vjp=[_selected_back], outputs=2, node_name="ModeBackward0", saved={"indices": "out1"})
def mode_along(x: Any, *, dim: int, keepdim: bool = False) -> Any:
    """The most frequent elements along a dim, and their last positions."""
    return _drop(kernels.mode(x, dim), dim, keepdim)


def _median_of_all(x: Any, skip_nan: bool) -> Any:
    if x.size == 0:
        return np.asarray(np.nan if x.dtype.kind == "f" else np.iinfo(x.dtype).min).astype(x.dtype)
    return kernels.median(x.reshape(-1), 0, skip_nan)[0][0]


def _equal_share(xp: Any, g: Any, x: Any, out: Any) -> Any:
    mask = (x == out) | ((x != x) & (out != out))
    return mask * (g / xp.count_true(mask, tuple(range(len(x.shape))), g))


@general(
    vjp=[_equal_share], node_name="MedianBackward0", batch=lambda level, mapped, x: recorded.median_along(batch_rules.flat(x), dim=1)[0]
)
def median_all(x: Any) -> Any:
    """The lower median of all elements."""
    return _median_of_all(x, False)


@general(
    vjp=[_equal_share],
    node_name="NanmedianBackward0",
    batch=lambda level, mapped, x: recorded.nanmedian_along(batch_rules.flat(x), dim=1)[0],
)
def nanmedian_all(x: Any) -> Any:
    """The lower median of all elements but nan."""
    return _median_of_all(x, True)


def _medians(name: str, whole: Any, along: Any, kind: Any, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if input.dtype.is_complex or input.dtype is bool_:
        unsupported("median_cpu" if dim is None else "median_out", input.dtype)
    if dim is None:
        return whole(input)
    axis = one_dim(dim, input._a.ndim, name)
    if input._a.ndim:
        check_nonempty(input._a.shape, (axis,), "median")
    return kind(along(input, dim=axis, keepdim=keepdim))


@function(out=True, primitive=median_along)
@torch_arguments
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median, of two middle elements the lower; nan if there is one. Along `dim`, with positions."""
    return _medians("median", median_all, median_along, return_types.median, input, dim, keepdim)


@function(out=True, primitive=nanmedian_along)
@torch_arguments
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of what is not nan, of two middle elements the lower. Along `dim`, with positions."""
    return _medians("nanmedian", nanmedian_all, nanmedian_along, return_types.nanmedian, input, dim, keepdim)


@function(out=True, primitive=mode_along)
@torch_arguments
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim`, of several the smallest, and its last position."""
    axis = one_dim(dim, input._a.ndim, "mode")
    if input.dtype.is_complex:
        unsupported("mode_cpu", input.dtype)
    if input._a.ndim:
        check_nonempty(input._a.shape, (axis,), "mode")
    return return_types.mode(mode_along(input, dim=axis, keepdim=keepdim))


@function(out=True, primitive=kthvalue_along)
@torch_arguments
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The `k`-th smallest element along `dim` (counted from 1), and its position."""
    axis = one_dim(dim, input._a.ndim, "kthvalue")
    if input.dtype.is_complex or input.dtype is bool_:
        unsupported("kthvalue_cpu", input.dtype)
    if input._a.ndim:
        check_nonempty(input._a.shape, (axis,), "kthvalue")
    if not 1 <= k <= (input._a.shape[axis] if input._a.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis} (k is {k})")
    return return_types.kthvalue(kthvalue_along(input, k=k, dim=axis, keepdim=keepdim))


# ---------------------------------------------------------------- quantiles
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(name: str, input: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool) -> Tensor:
    if input._a.size == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (float32, float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype (it is {input.dtype})")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}")
    if isinstance(q, Tensor):
        if q._a.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor (q is {q.dtype}, the input {input.dtype})")
        levels = q.detach()
        known = values(q._a)
        if not ((known >= 0) & (known <= 1)).all():
            raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    elif isinstance(q, (int, float)):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {float(q):g}")
        levels = wrap(np.asarray(q, input._a.dtype))
    else:
        wrong(name, "q", "float or Tensor", q)
    shape = input._a.shape
    x: Any = input
    if dim is None:
        x, axis = recorded.reshape_to(x, shape=(x._a.size,)), 0
    else:
        axis = one_dim(dim, len(shape), name)
        x = recorded.reshape_to(x, shape=(1,)) if not shape else x
    last = x._a.ndim - 1
    if axis != last:
        x = recorded.transpose_dims(x, dim0=axis, dim1=last)
    found: Any = sort_along(x, dim=last, descending=False)
    flat = recorded.reshape_to(levels, shape=(levels._a.size,))
    out = _at_levels(found[0], flat, interpolation, skip_nan, q if isinstance(q, Tensor) and q.requires_grad else None)
    shape_of_levels = levels._a.shape
    # now (..., level): the level goes in front, the reduced dim back to its place or away
    if axis != last and not shape_of_levels:
        out = recorded.transpose_dims(out, dim0=axis, dim1=last)
    elif axis != last:
        out = recorded.transpose_dims(recorded.reshape_to(out, shape=(*out._a.shape, 1)), dim0=last, dim1=last + 1)
        out = recorded.transpose_dims(out, dim0=axis, dim1=last)
    elif shape_of_levels:
        out = recorded.transpose_dims(recorded.reshape_to(out, shape=(*out._a.shape, 1)), dim0=last, dim1=last + 1)
    if shape_of_levels:
        out = out.movedim(-1, 0)
    kept = [1] * len(shape) if dim is None else [1 if at == axis else size for at, size in enumerate(shape)]
    if not keepdim:
        kept = [] if dim is None else [size for at, size in enumerate(shape) if at != axis]
    return recorded.reshape_to(out, shape=(*shape_of_levels, *kept))


def _places_of_all(level: BatchLevel, mapped: list[bool], ordered: Any, levels: Any, **params: Any) -> Any:
    ordered, levels = level.every((ordered, levels), mapped)
    return recorded.quantile_places(ordered, lined_up(levels, ordered._a.ndim - 1), **params)


@nondifferentiable(policy="keep", public=False, outputs=4, batch=_places_of_all)
def quantile_places(ordered: Any, levels: Any, *, interpolation: str, skip_nan: bool) -> tuple[Any, ...]:
    """For levels in the last dim of `levels`, in a row in order: the positions below and above, the share of that above, and the span."""
    holes = np.isnan(ordered)
    size = ordered.shape[-1]
    valid = size - holes.sum(-1, keepdims=True)
    # torch rounds the rank in the dtype of the elements, which decides ties of "nearest"
    spans = np.maximum(valid - 1, 0).astype(ordered.dtype)
    places: Any = spans * levels
    if not skip_nan:  # a nan anywhere is the answer; the last element is one then
        places = np.where(holes.any(-1, keepdims=True), ordered.dtype.type(size - 1), places)
    if interpolation in ("lower", "higher", "nearest"):
        places = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[interpolation](places)
    below = np.floor(places)
    weight: Any = np.full_like(places, 0.5) if interpolation == "midpoint" else places - below
    return below.astype(np.int64), np.ceil(places).astype(np.int64), weight, spans


def _at_levels(ordered: Any, levels: Any, interpolation: str, skip_nan: bool, tracked: Any) -> Any:
    """The quantiles of elements that are in order along the last dim, which becomes one of levels.

    `tracked` : the levels as a tensor, if a gradient is to flow to them.
    """
    last = ordered._a.ndim - 1
    found: Any = quantile_places(ordered.detach(), levels, interpolation=interpolation, skip_nan=skip_nan)
    below, above, share, spans = found
    low = recorded.take_along(ordered, below, dim=last, unique=False)
    if interpolation in ("lower", "higher", "nearest"):
        return low
    high = recorded.take_along(ordered, above, dim=last, unique=False)
    if tracked is not None and interpolation == "linear":
        moving = spans * recorded.reshape_to(tracked, shape=(levels._a.size,))
        share = share + (moving - moving.detach())
    return low + (high - low) * share


@function(out=True)
@torch_arguments
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """The `q`-th quantiles over all elements or along `dim`; several levels come in a dim in front."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@function(out=True)
@torch_arguments
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """The `q`-th quantiles of the elements that are not nan."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
