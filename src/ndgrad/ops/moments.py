"""Variance, standard deviation, covariance."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ndgrad.base.dtypes import FLOATING, type_name
from ndgrad.core.batches import values
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arguments import dims_of, torch_arguments, wrong
from ndgrad.ops.declare import elementwise, function, general, recorded
from ndgrad.ops.reductions import mean_of, reduce_add, spread

Dims = tuple[int, ...]


@elementwise(
    public=False,
    undoes="mul",
    partials=[lambda xp, g, y: xp.div_or_zero(g, y), lambda xp, g, out, y: -xp.div_or_zero(g * out, y)],
)
def div_or_zero(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    quotient: Any = np.where(y == 0, y.dtype.type(0), x / y)
    return quotient


def _free(shape: Any, dims: Dims, correction: float) -> float:
    count = 1
    for dim in dims:
        count *= shape[dim]
    return max(count - correction, 0)


def variance_and_mean(x: Any, dims: Dims, correction: float, keepdim: bool) -> tuple[Any, Any]:
    """Variance and mean in two passes: the sum of squares alone would lose digits."""
    if x.dtype.char == "e":
        wide = variance_and_mean(x.astype(np.float32), dims, correction, keepdim)
        return wide[0].astype(np.float16), wide[1].astype(np.float16)
    middle = mean_of(x, dims, True)
    away = x - middle
    square = away.real * away.real + away.imag * away.imag if away.dtype.kind == "c" else away * away
    total = reduce_add(square, dims, keepdim)
    variance = np.divide(total, total.dtype.type(_free(x.shape, dims, correction)))
    return variance, middle if keepdim else middle.reshape(total.shape)


def _var_back(xp: Any, g: Any, x: Any, x_shape: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    free = math.prod(x_shape[dim] for dim in dims) - correction  # below 0 as well, where the variance itself divides by 0
    away = x - xp.mean_dims(x, dims=dims, keepdim=True)
    scale = 2 / free if free else math.inf
    return xp.restore_dims(g, x_shape, dims, keepdim) * scale * away


def _std_back(xp: Any, g: Any, x: Any, out: Any, x_shape: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    # where all elements are equal the deviation is 0 and its gradient, by convention, too
    return _var_back(xp, xp.div_or_zero(g, out * 2), x, x_shape, dims, correction, keepdim)


@general(vjp=[_var_back], node_name="VarBackward0")
def var_dims(x: Any, *, dims: Dims, correction: float, keepdim: bool = False) -> Any:
    """The variance over some dims."""
    return variance_and_mean(x, dims, correction, keepdim)[0]


@general(vjp=[_std_back], node_name="StdBackward0")
def std_dims(x: Any, *, dims: Dims, correction: float, keepdim: bool = False) -> Any:
    """The standard deviation over some dims."""
    return np.sqrt(variance_and_mean(x, dims, correction, keepdim)[0])


def _mean_back(xp: Any, g: Any, x_shape: Any, dims: Dims, keepdim: bool) -> Any:
    return spread(xp, g / _free(x_shape, dims, 0), x_shape, dims, keepdim)


def _var_mean_back(xp: Any, g: Any, x: Any, x_shape: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    return _var_back(xp, g[0], x, x_shape, dims, correction, keepdim) + _mean_back(xp, g[1], x_shape, dims, keepdim)


def _std_mean_back(xp: Any, g: Any, x: Any, out0: Any, x_shape: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    return _std_back(xp, g[0], x, out0, x_shape, dims, correction, keepdim) + _mean_back(xp, g[1], x_shape, dims, keepdim)


@general(vjp=[_var_mean_back], outputs=2, node_name="VarMeanBackward0")
def var_mean_dims(x: Any, *, dims: Dims, correction: float, keepdim: bool = False) -> Any:
    """Variance and mean over some dims."""
    return variance_and_mean(x, dims, correction, keepdim)


@general(vjp=[_std_mean_back], outputs=2, node_name="StdMeanBackward0")
def std_mean_dims(x: Any, *, dims: Dims, correction: float, keepdim: bool = False) -> Any:
    """Standard deviation and mean over some dims."""
    variance, middle = variance_and_mean(x, dims, correction, keepdim)
    return np.sqrt(variance), middle


def _spread(name: str, primitive: Any, input: Tensor, dim: Any, unbiased: Any, keepdim: Any, correction: Any) -> Any:
    """`var` and its kin: reads `f(unbiased)`, `f(dim, unbiased, keepdim)` and `f(dim, *, correction, keepdim)`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and not isinstance(unbiased, bool):
        wrong(name, "unbiased", "bool", unbiased)
    if correction is not None and unbiased is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: give 'correction' or 'unbiased', not both")
    if input.dtype.category < FLOATING:
        raise RuntimeError(f"{name if '_' in name else 'std and var'} only support floating point and complex dtypes")
    dims = dims_of(dim, input._a.ndim, name)
    less = (1 if unbiased is None or unbiased else 0) if correction is None else correction
    out = primitive(input, dims=dims, correction=less, keepdim=bool(keepdim))
    first: Any = out[0] if isinstance(out, tuple) else out
    if first._a.size and _free(input._a.shape, dims, less) <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel divided by "
            "output numel).",
            UserWarning,
            stacklevel=4,
        )
    return out


@function(out=True, primitive=var_dims)
@torch_arguments
def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """The variance, over all dims or over `dim`; `correction` is taken off the number of elements (1 unless given)."""
    out: Tensor = _spread("var", var_dims, input, dim, unbiased, keepdim, correction)
    return out


@function(out=True, primitive=std_dims)
@torch_arguments
def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """The standard deviation, over all dims or over `dim`; `correction` is taken off the number of elements (1 unless given)."""
    out: Tensor = _spread("std", std_dims, input, dim, unbiased, keepdim, correction)
    return out


@function(method=False, primitive=var_mean_dims)
@torch_arguments
def var_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """Variance and mean, over all dims or over `dim`."""
    return _spread("var_mean", var_mean_dims, input, dim, unbiased, keepdim, correction)


@function(method=False, primitive=std_mean_dims)
@torch_arguments
def std_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """Standard deviation and mean, over all dims or over `dim`."""
    return _spread("std_mean", std_mean_dims, input, dim, unbiased, keepdim, correction)


# ---------------------------------------------------------------- several variables
@function
@torch_arguments
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariance matrix of variables that stand in rows, their observations in columns.

    `fweights` says how often each observation occurred, `aweights` how much it weighs.
    """
    rank = input._a.ndim
    if rank > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {rank} dimensions")
    if input._a.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x: Any = recorded.reshape_to(input, shape=(1, input._a.size)) if rank < 2 else input
    count = x._a.shape[1]
    weights: Any = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        if given._a.ndim > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {given._a.ndim} dimensions")
        wanted, kinds = ("integral", "iu") if name == "fweights" else ("floating point", "f")
        if given._a.dtype.kind not in kinds:
            raise RuntimeError(f"cov(): expected {name} to have {wanted} dtype but got {name} with {type_name(given.dtype)} dtype")
        if given._a.size != count:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the input but got {given._a.size} != {count}"
            )
        if (values(given._a) < 0).any():
            raise RuntimeError(f"cov(): {name} cannot be negative")
        weights = given if weights is None else weights * given
    if weights is None:
        total, free = count, count - correction
        middle = x.sum(1, True) / total
    else:
        total = weights.sum()
        middle = (x * weights).sum(1, True) / total
        second = total if aweights is None or correction == 0 else (weights * aweights).sum() / total
        free = total - correction * second if aweights is not None else total - correction
    if isinstance(free, Tensor):
        free = free.clamp(min=0)
    elif free <= 0:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            UserWarning,
            stacklevel=3,
        )
        free = 0
    away = x - middle
    turned = recorded.t_matrix(away if weights is None else away * weights)
    matrix = recorded.mm(away, recorded.conj(turned)) / free
    return recorded.reshape_to(matrix, shape=()) if x._a.shape[0] == 1 else matrix


@function
@torch_arguments
def corrcoef(input: Tensor) -> Tensor:
    """The correlation coefficients of variables that stand in rows, their observations in columns."""
    if input._a.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input._a.ndim} dimensions")
    matrix = cov(input)
    if matrix._a.ndim == 0:
        return matrix / matrix
    deviation = recorded.real(matrix.diagonal()).sqrt() if matrix.dtype.is_complex else matrix.diagonal().sqrt()
    scaled = matrix / recorded.reshape_to(deviation, shape=(-1, 1)) / deviation
    return scaled if scaled.dtype.is_complex else scaled.clamp(-1, 1)
