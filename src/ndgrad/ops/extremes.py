"""Largest and smallest elements, and where they stand."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base import return_types
from ndgrad.base.dtypes import bool_
from ndgrad.core.batches import batch_of
from ndgrad.core.batching import BatchLevel
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels.scattering import scatter_add
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_nonempty, dims_of, one_dim, torch_arguments, unsupported, wrong
from ndgrad.ops.declare import Operation, function, general, nondifferentiable, recorded, rule_helper
from ndgrad.ops.reductions import row_major

_largest: Any = np.maximum.reduce
_smallest: Any = np.minimum.reduce


# ---------------------------------------------------------------- elements by their positions along a dim
@general(
    vjp=[lambda xp, g, y, x_shape, dim, unique: xp.put_along(g, y, dim=dim, size=x_shape[dim], unique=unique)],
    jvp=lambda xp, tangents, y, dim, unique: xp.take_along(tangents[0], y, dim=dim, unique=unique),
    batch=batch_rules.along("take_along", 1),
)
def take_along(x: Any, y: Any, *, dim: int, unique: bool = True) -> Any:
    """The elements of `x` at the positions `y` along a dim. `unique`: no position occurs twice in a slice."""
    return np.take_along_axis(x, y, dim)


@general(
    vjp=[lambda xp, g, y, dim, unique: xp.take_along(g, y, dim=dim, unique=unique)],
    jvp=lambda xp, tangents, y, dim, size, unique: xp.put_along(tangents[0], y, dim=dim, size=size, unique=unique),
    batch=batch_rules.shifting("put_along"),
)
def put_along(x: Any, y: Any, *, dim: int, size: int, unique: bool = True) -> Any:
    """Zeros, `size` of them along the dim, with the elements of `x` added at the positions `y`."""
    shape = list(x.shape)
    shape[dim] = size
    out = np.zeros(shape, x.dtype)
    if unique:
        np.put_along_axis(out, y, x, dim)
    else:
        scatter_add(out, y, x, dim)
    return out


def at_position(xp: Any, g: Any, position: Any, x_shape: Any, dim: int, keepdim: bool) -> Any:
    """The cotangent of what was selected at one position along a dim."""
    if len(x_shape) == 0:
        return g
    g, position = (xp.restore_dims(value, x_shape, (dim,), keepdim) for value in (g, position))
    return xp.put_along(g, position, dim=dim, size=x_shape[dim], unique=True)


def _position_back(xp: Any, g: Any, out1: Any, x_shape: Any, dim: int, keepdim: bool) -> Any:
    return at_position(xp, g[0], out1, x_shape, dim, keepdim)


def _without(x: Any, dim: int, keepdim: bool) -> Any:
    return x if keepdim else x.reshape(x.shape[:dim] + x.shape[dim + 1 :])


# ---------------------------------------------------------------- all elements, or one dim
def _is_extreme(x: Any, out: Any) -> Any:
    # a nan is the extreme of whatever holds one
    return (x == out) | ((x != x) & (out != out))


def _shared(xp: Any, g: Any, x: Any, out: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """The cotangent, shared equally among the elements that are the extreme."""
    g, out = (xp.restore_dims(value, x.shape, dims, keepdim) for value in (g, out))
    mask = _is_extreme(x, out)
    return mask * (g / xp.count_true(mask, dims, g))


def _count_true(mask: Any, dims: tuple[int, ...], like: Any) -> Any:
    return np.add.reduce(mask, axis=dims, keepdims=True, dtype=like.dtype)


def _count_true_recorded(mask: Any, dims: tuple[int, ...], like: Any) -> Any:
    if batch_of(mask._a) is None:
        return wrap(_count_true(mask._a, dims, like._a))
    counted = mask.to(like.dtype)
    return recorded.sum_dims(counted, dims=dims, keepdim=True) if dims else counted


# how many hold over the dims, as a number of the other operand's dtype
rule_helper("count_true", _count_true, _count_true_recorded)


def _all_back(xp: Any, g: Any, x: Any, out: Any) -> Any:
    return _shared(xp, g, x, out, tuple(range(len(x.shape))), False)


@general(vjp=[_all_back], node_name="MaxBackward1", batch=batch_rules.on_flat("amax_dims", dims=(1,), keepdim=False))
def max_all(x: Any) -> Any:
    """The largest element."""
    return _largest(x, axis=None)


@general(vjp=[_all_back], node_name="MinBackward1", batch=batch_rules.on_flat("amin_dims", dims=(1,), keepdim=False))
def min_all(x: Any) -> Any:
    """The smallest element."""
    return _smallest(x, axis=None)


def _select(x: Any, finder: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    if x.ndim == 0:
        return np.array(x), np.zeros((), np.int64)
    at = row_major(finder(x, axis=dim, keepdims=True), x)
    return _without(np.take_along_axis(x, at, dim), dim, keepdim), _without(at, dim, keepdim)


@general(vjp=[_position_back], outputs=2, node_name="MaxBackward0", saved={"indices": "out1"})
def max_dim(x: Any, *, dim: int, keepdim: bool = False) -> Any:
    """The largest elements along a dim, and the first position of each."""
    return _select(x, np.argmax, dim, keepdim)


@general(vjp=[_position_back], outputs=2, node_name="MinBackward0", saved={"indices": "out1"})
def min_dim(x: Any, *, dim: int, keepdim: bool = False) -> Any:
    """The smallest elements along a dim, and the first position of each."""
    return _select(x, np.argmin, dim, keepdim)


@general(vjp=[_shared], node_name="AmaxBackward0")
def amax_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """The largest elements over some dims."""
    return row_major(_largest(x, axis=dims, keepdims=keepdim), x)


@general(vjp=[_shared], node_name="AminBackward0")
def amin_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """The smallest elements over some dims."""
    return row_major(_smallest(x, axis=dims, keepdims=keepdim), x)


def _extreme(name: str, given: Any, dim: Any, keepdim: bool, other: Any) -> Any:
    """`max` and `min`: of all elements, along a dim, or of two tensors."""
    if not isinstance(given, Tensor):
        second = "" if dim is None and other is None else f", {type(dim if other is None else other).__name__}"
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({type(given).__name__}{second}), but expected one of: "
            "(Tensor input), (Tensor input, Tensor other), (Tensor input, int dim, bool keepdim)"
        )
    if other is not None or isinstance(dim, Tensor):
        return getattr(recorded, f"{name}imum_tensors")(given, dim if other is None else other)
    kind = given.dtype
    if dim is None:
        if kind.is_complex:
            unsupported(f"{name}_all", kind)
        if given._a.size == 0:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        return (max_all if name == "max" else min_all)(given)
    if isinstance(dim, bool) or getattr(dim, "__index__", None) is None:
        wrong(name, "dim", "int or Tensor", dim)
    axis = one_dim(dim, given._a.ndim, name)
    if kind.is_complex:
        raise RuntimeError(f"{name}(): does not support complex input")
    if given._a.ndim:
        check_nonempty(given._a.shape, (axis,), name)
    found = (max_dim if name == "max" else min_dim)(given, dim=axis, keepdim=keepdim)
    return (return_types.max if name == "max" else return_types.min)(found)


@function(out=True, primitive=max_all)
@torch_arguments
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The largest element; along `dim`, the largest ones and their positions; or, given another tensor, the larger of each pair."""
    return _extreme("max", input, dim, keepdim, other)


@function(out=True, primitive=min_all)
@torch_arguments
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The smallest element; along `dim`, the smallest ones and their positions; or, given another tensor, the smaller of each pair."""
    return _extreme("min", input, dim, keepdim, other)


def _amount(name: str, primitive: Operation, given: Tensor, dim: Any, keepdim: bool) -> Tensor:
    whole = dim is None or dim in ((), [])
    if given.dtype.is_complex:
        unsupported(f"{name[1:]}_values_cpu", given.dtype)
    if whole and given._a.size == 0:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        )
    shape = given._a.shape
    wanted: tuple[Any, ...] = (dim,) if isinstance(dim, int) else tuple(dim or ())
    for one in wanted:
        if shape and -len(shape) <= one < len(shape) and shape[one] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {one} to have non-zero size.")
    dims = dims_of(dim, len(shape), name)
    return primitive(given, dims=dims, keepdim=keepdim)


@function(out=True, primitive=amax_dims)
@torch_arguments
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest elements over `dim`, all dims by default; equal ones share the gradient."""
    return _amount("amax", amax_dims, input, dim, keepdim)


@function(out=True, primitive=amin_dims)
@torch_arguments
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest elements over `dim`, all dims by default; equal ones share the gradient."""
    return _amount("amin", amin_dims, input, dim, keepdim)


def _aminmax_back(xp: Any, g: Any, x: Any, out0: Any, out1: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    return _shared(xp, g[0], x, out0, dims, keepdim) + _shared(xp, g[1], x, out1, dims, keepdim)


def _only_dim(node: Any) -> int | None:
    """The dim that PyTorch keeps: None for all of them."""
    dims = node.params["dims"]
    return dims[0] if len(dims) == 1 else None


@general(vjp=[_aminmax_back], outputs=2, node_name="AminmaxBackward0", saved={"min": "out0", "max": "out1", "dim": _only_dim})
def aminmax_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """The smallest and the largest elements."""
    return row_major(_smallest(x, axis=dims, keepdims=keepdim), x), row_major(_largest(x, axis=dims, keepdims=keepdim), x)


@function(out=True, primitive=aminmax_dims)
@torch_arguments
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest elements, of all or along one dim."""
    shape = input._a.shape
    if input.dtype.is_complex:
        unsupported("aminmax_cpu", input.dtype)
    if dim is None:
        if input._a.size == 0:
            raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
        return return_types.aminmax(aminmax_dims(input, dims=tuple(range(len(shape))), keepdim=keepdim))
    axis = one_dim(dim, len(shape), "aminmax")
    dims = (axis,) if shape else ()
    check_nonempty(shape, dims, "aminmax", colon=":")
    return return_types.aminmax(aminmax_dims(input, dims=dims, keepdim=keepdim))


# ---------------------------------------------------------------- positions
def _position(finder: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
    if x.ndim == 0:
        return np.zeros((), np.int64)
    return row_major(finder(x, axis=dim, keepdims=keepdim), x)


def _finding(name: str) -> batch_rules.BatchRule:
    """The rule of what may be looked for along a dim or in the flat tensor."""

    def rule(level: BatchLevel, mapped: list[bool], x: Any, dim: int | None, keepdim: bool) -> Any:
        find = getattr(recorded, name)
        if dim is not None and x._a.ndim > 1:
            return find(x, dim=dim + 1, keepdim=keepdim)
        shape = (level.size, *(1,) * (x._a.ndim - 1)) if keepdim else (level.size,)
        return recorded.reshape_to(find(batch_rules.flat(x), dim=1, keepdim=False), shape=shape)

    return rule


@nondifferentiable(policy="keep", public=False, batch=_finding("argmax_dim"))
def argmax_dim(x: Any, *, dim: int | None, keepdim: bool = False) -> Any:
    """The first position of the largest element."""
    return _position(np.argmax, x, dim, keepdim)


@nondifferentiable(policy="keep", public=False, batch=_finding("argmin_dim"))
def argmin_dim(x: Any, *, dim: int | None, keepdim: bool = False) -> Any:
    """The first position of the smallest element."""
    return _position(np.argmin, x, dim, keepdim)


def _find(name: str, primitive: Operation, given: Tensor, dim: Any, keepdim: bool) -> Tensor:
    if given.dtype.is_complex or given.dtype is bool_:
        raise RuntimeError(f"{name}(): does not support {'bool' if given.dtype is bool_ else 'complex'} input")
    shape = given._a.shape
    axis = None
    if dim is None:
        if given._a.size == 0:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    else:
        axis = one_dim(dim, len(shape), name)
        if shape:
            check_nonempty(shape, (axis,), name)
    return primitive(given, dim=axis, keepdim=keepdim)


@function(out=True, primitive=argmax_dim)
@torch_arguments
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the largest element, counted row-major over all of them or along `dim`; of equal ones the first."""
    return _find("argmax", argmax_dim, input, dim, keepdim)


@function(out=True, primitive=argmin_dim)
@torch_arguments
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the smallest element, counted row-major over all of them or along `dim`; of equal ones the first."""
    return _find("argmin", argmin_dim, input, dim, keepdim)
