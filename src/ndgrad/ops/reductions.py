"""Operations that reduce dims: sums, means, products, counts, truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import FLOATING, as_dtype, bool_, float16, type_name
from ndgrad.base.types import Shape
from ndgrad.core.batches import values
from ndgrad.core.tensor import Tensor
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import dims_of, kept_shape, numpy_of, one_dim, torch_arguments
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import function, general, linear, nondifferentiable, rule_helper
from ndgrad.ops.shape import reshape_to

_add_reduce: Any = np.add.reduce
_multiply_reduce: Any = np.multiply.reduce


def reduce_add(x: Any, dims: tuple[int, ...] | None, keepdim: bool = False, dtype: Any = None) -> Any:
    """`np.add.reduce` with a wider accumulator for float16, and a row-major result."""
    if x.dtype.char == "e" and (dtype is None or dtype.char == "e"):
        return _add_reduce(x, axis=dims, keepdims=keepdim, dtype=np.float32).astype(np.float16)
    return row_major(_add_reduce(x, axis=dims, keepdims=keepdim, dtype=dtype), x)


def row_major(out: Any, x: Any) -> Any:
    """What NumPy reduced `x` to, laid out row by row even where `x` is not: dims of size 1 included, whose strides show as well."""
    return out if x.flags.c_contiguous else out.copy()


def _restore(g: Any, x_shape: Shape, dims: tuple[int, ...], keepdim: bool) -> Any:
    return g if keepdim or g.ndim == len(x_shape) else g.reshape(kept_shape(x_shape, dims))


def _restore_recorded(g: Tensor, x_shape: Shape, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return g if keepdim or g._a.ndim == len(x_shape) else reshape_to(g, shape=kept_shape(x_shape, dims))


# `xp.restore_dims(g, x_shape, dims, keepdim)`: the reduced dims back as dims of size 1
rule_helper("restore_dims", _restore, _restore_recorded)


def spread(xp: Any, g: Any, x_shape: Shape, dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduced cotangent, broadcast to the shape before the reduction."""
    return xp.expand_to(xp.restore_dims(g, x_shape, dims, keepdim), shape=x_shape)


# ---------------------------------------------------------------- sums
@linear(
    transpose=lambda xp, g, x_shape: xp.expand_to(g, shape=x_shape),
    node_name="SumBackward0",
    batch=batch_rules.on_flat("sum_dims", dims=(1,), keepdim=False),
)
def sum_all(x: Any, *, dtype: Any = None) -> Any:
    """The sum of all elements."""
    return reduce_add(x, None, False, dtype)


@linear(transpose=spread, node_name="SumBackward1")
def sum_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False, dtype: Any = None) -> Any:
    """The sum over some dims."""
    return reduce_add(x, dims, keepdim, dtype)


def sum_dtype(input: Tensor, dtype: Any) -> Any:
    """NumPy's dtype in which to sum (or multiply): the one asked for, or int64 for whole numbers, or None for the operand's own."""
    if dtype is not None:
        return numpy_of(dtype)
    return np.dtype(np.int64) if input._a.dtype.kind in "biu" else None


def reducible(input: Tensor, dtype: Any) -> Tensor:
    """The operand, cast first where NumPy cannot do it on the way (a complex one to a real dtype, anything to bool or to float16)."""
    if dtype is not None:
        wanted = as_dtype(dtype)
        if (input.dtype.is_complex and not wanted.is_complex) or wanted is bool_ or wanted is float16:
            return cast(input, wanted)
    return input


@function(out=True, primitive=sum_all)
@torch_arguments
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of the elements, over all dims or over `dim`; integers and bools are summed as int64."""
    kind = None if dtype is None and input._a.dtype.kind in "fc" else sum_dtype(input, dtype)
    if dtype is not None:
        input = reducible(input, dtype)
    if dim is None and not keepdim:
        return sum_all(input, dtype=kind)
    return sum_dims(input, dims=dims_of(dim, input._a.ndim, "sum"), keepdim=keepdim, dtype=kind)


def _without_nan(x: Any) -> Any:
    return np.where(np.isnan(x), x.dtype.type(0), x) if x.dtype.kind == "f" else x


@general(
    vjp=[lambda xp, g, x, x_shape, dims, keepdim: spread(xp, g, x_shape, dims, keepdim) * (x == x)],
    node_name="NansumBackward0",
    jvp=lambda xp, tangents, x, dims, keepdim: xp.sum_dims(tangents[0] * (x == x), dims=dims, keepdim=keepdim),
)
def nansum_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False, dtype: Any = None) -> Any:
    """The sum over some dims, nan counting as 0."""
    return reduce_add(_without_nan(x), dims, keepdim, dtype)


@function(out=True)
@torch_arguments
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of the elements, nan counting as 0."""
    if input.dtype.is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    dims = dims_of(dim, input._a.ndim, "nansum")
    return nansum_dims(reducible(input, dtype), dims=dims, keepdim=keepdim, dtype=sum_dtype(input, dtype))


# ---------------------------------------------------------------- means
def _count(shape: Shape, dims: tuple[int, ...]) -> int:
    return math.prod(shape[dim] for dim in dims)


def _numel(node: Any) -> int:
    return math.prod(node.params["x_shape"])


@linear(
    transpose=lambda xp, g, x_shape: xp.expand_to(g / math.prod(x_shape), shape=x_shape),
    node_name="MeanBackward0",
    saved={"self_sym_numel": _numel},
    batch=batch_rules.on_flat("mean_dims", dims=(1,), keepdim=False),
)
def mean_all(x: Any, *, dtype: Any = None) -> Any:
    """The mean of all elements."""
    return mean_of(x, None, False, dtype)


@linear(
    transpose=lambda xp, g, x_shape, dims, keepdim: spread(xp, g / _count(x_shape, dims), x_shape, dims, keepdim),
    node_name="MeanBackward1",
    saved={"self_sym_numel": _numel},
)
def mean_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False, dtype: Any = None) -> Any:
    """The mean over some dims."""
    return mean_of(x, dims, keepdim, dtype)


def mean_of(x: Any, dims: tuple[int, ...] | None, keepdim: bool, dtype: Any = None) -> Any:
    """Sum over count, nan where there is nothing to count."""
    count = x.size if dims is None else _count(x.shape, dims)
    if x.dtype.char == "e" and (dtype is None or dtype.char == "e"):
        return np.divide(_add_reduce(x, axis=dims, keepdims=keepdim, dtype=np.float32), count).astype(np.float16)
    total: Any = _add_reduce(x, axis=dims, keepdims=keepdim, dtype=dtype)
    if total.ndim == 0:
        return total / count
    np.divide(total, count, out=total)  # the reduction has just made it
    return row_major(total, x)


@function(out=True, primitive=mean_all)
@torch_arguments
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements, over all dims or over `dim`."""
    kind = None
    if dtype is not None:
        kind = numpy_of(dtype)
        input = reducible(input, dtype)
    if (kind or input._a.dtype).kind not in "fc":
        which = f"Input dtype must be either a floating point or complex dtype. Got: {type_name(input.dtype)}"
        if dtype is not None:
            which = f"Optional dtype must be either a floating point or complex dtype. Got: {type_name(as_dtype(dtype))}"
        raise RuntimeError(f"mean(): could not infer output dtype. {which}")
    if dim is None and not keepdim:
        return mean_all(input, dtype=kind)
    return mean_dims(input, dims=dims_of(dim, input._a.ndim, "mean"), keepdim=keepdim, dtype=kind)


@function(out=True)
@torch_arguments
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements that are not nan."""
    if input.dtype.category < FLOATING:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {type_name(input.dtype)}")
    total = nansum(input, dim, keepdim, dtype=dtype)
    return total / sum(input == input, dim, keepdim)


# ---------------------------------------------------------------- products
def _prod_reduce(x: Any, axis: Any, keepdim: bool, dtype: Any) -> Any:
    if x.dtype.char == "e" and (dtype is None or dtype.char == "e"):
        return _multiply_reduce(x, axis=axis, keepdims=keepdim, dtype=np.float32).astype(np.float16)
    return row_major(_multiply_reduce(x, axis=axis, keepdims=keepdim, dtype=dtype), x)


def _others(xp: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    """`g` times, for each element, the product of all others along the dim; `g` and `out` broadcast against `x`."""
    if not xp.has_zero(x):
        return g * xp.conj(out / x)
    before = xp.edge_one(xp.shift_along(xp.cumprod_along(x, dim=dim, reverse=False), dim=dim, by=1), dim=dim)
    after = xp.edge_one(xp.shift_along(xp.cumprod_along(x, dim=dim, reverse=True), dim=dim, by=-1), dim=dim, last=True)
    return g * xp.conj(before * after)


def _prod_all_back(xp: Any, g: Any, x: Any, out: Any) -> Any:
    if len(x.shape) == 0:
        return g
    if not xp.has_zero(x):
        return _others(xp, g, x, out, 0)
    flat = xp.reshape_to(x, shape=(-1,))
    return xp.reshape_to(_others(xp, g, flat, out, 0), shape=tuple(x.shape))


def _prod_dim_back(xp: Any, g: Any, x: Any, out: Any, dim: int, keepdim: bool) -> Any:
    if len(x.shape) == 0:
        return g
    g, out = (xp.restore_dims(value, x.shape, (dim,), keepdim) for value in (g, out))
    return _others(xp, g, x, out, dim)


rule_helper("has_zero", lambda x: not np.all(x), lambda x: not np.all(values(x._a)))


@general(vjp=[_prod_all_back], node_name="ProdBackward0", batch=batch_rules.on_flat("prod_dim", dim=1, keepdim=False))
def prod_all(x: Any, *, dtype: Any = None) -> Any:
    """The product of all elements."""
    return _prod_reduce(x, None, False, dtype)


@general(vjp=[_prod_dim_back], node_name="ProdBackward1")
def prod_dim(x: Any, *, dim: int, keepdim: bool = False, dtype: Any = None) -> Any:
    """The product over one dim."""
    return _prod_reduce(x, dim if x.ndim else (), keepdim, dtype)


@function(out=True, primitive=prod_all)
@torch_arguments
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product of the elements, over all dims or over one; integers and bools are multiplied as int64."""
    kind = sum_dtype(input, dtype)
    if kind is not None and input._a.dtype.kind in "fc" and kind != input._a.dtype:
        input = cast(input, as_dtype(dtype))  # the rule divides by the elements: in the dtype of the product
    if dim is None:
        return prod_all(input, dtype=kind)
    return prod_dim(input, dim=one_dim(dim, input._a.ndim, "prod"), keepdim=keepdim, dtype=kind)


# ---------------------------------------------------------------- counts and truth
@nondifferentiable(policy="keep", public=False, node_name="CountNonzeroBackward0")
def count_nonzero_dims(x: Any, *, dims: tuple[int, ...]) -> Any:
    """How many elements are not 0."""
    return row_major(_add_reduce(x != 0, axis=dims, dtype=np.int64), x)


@function
@torch_arguments
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """The number of elements that are not 0, over all dims or over `dim`."""
    return count_nonzero_dims(input, dims=dims_of(dim, input._a.ndim, "count_nonzero"))


def _truth(ufunc: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    out = row_major(ufunc.reduce(x if x.dtype.kind == "b" else x != 0, axis=dims, keepdims=keepdim), x)
    return out.astype(np.uint8) if x.dtype == np.uint8 else out


@nondifferentiable(policy="keep", public=False, node_name="AllBackward0")
def all_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """Whether every element is true."""
    return _truth(np.logical_and, x, dims, keepdim)


@nondifferentiable(policy="keep", public=False, node_name="AnyBackward0")
def any_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """Whether some element is true."""
    return _truth(np.logical_or, x, dims, keepdim)


@function(out=True)
@torch_arguments
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether every element is true (not 0), over all dims or over `dim`; uint8 gives uint8."""
    return all_dims(input, dims=dims_of(dim, input._a.ndim, "all"), keepdim=keepdim)


@function(out=True)
@torch_arguments
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element is true (not 0), over all dims or over `dim`; uint8 gives uint8."""
    return any_dims(input, dims=dims_of(dim, input._a.ndim, "any"), keepdim=keepdim)
