"""Operations that run along one dim: cumulative sums, products, extremes; differences and integrals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base import return_types
from ndgrad.base.dtypes import FLOATING, as_dtype, bool_, int64
from ndgrad.core.saved import constant
from ndgrad.core.tensor import Tensor
from ndgrad.kernels import scans as kernels
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import one_dim, torch_arguments, unsupported
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import function, general, linear, nondifferentiable, recorded, rule_helper


# ---------------------------------------------------------------- what the rules of products are made of
@linear(transpose=lambda xp, g, dim, by: xp.shift_along(g, dim=dim, by=-by))
def shift_along(x: Any, *, dim: int, by: int) -> Any:
    """The elements moved `by` places along a dim, zeros coming in."""
    return kernels.shifted(x, dim, by)


def _recurrence_back(xp: Any, g: Any, needs: tuple[bool, ...], y: Any, out: Any, dim: int, reverse: bool) -> Any:
    step = -1 if reverse else 1
    cotangent = xp.recurrence(g, xp.shift_along(xp.conj(y), dim=dim, by=-step), dim=dim, reverse=not reverse)
    return cotangent, cotangent * xp.conj(xp.shift_along(out, dim=dim, by=step)) if needs[1] else None


@general(joint=_recurrence_back, batch=batch_rules.shifting("recurrence"))
def recurrence(x: Any, y: Any, *, dim: int, reverse: bool = False) -> Any:
    """`r[k] = x[k] + y[k] * r[k - 1]` along a dim; with `reverse`, from the end."""
    return kernels.recurrence(x, y, dim, reverse=reverse)


def _edge(shape: tuple[int, ...], dtype: Any, dim: int, last: bool) -> Any:
    edge = np.zeros([n if at == dim else 1 for at, n in enumerate(shape)], dtype)
    edge[(slice(None),) * dim + (slice(-1, None) if last else slice(0, 1),)] = 1
    return edge


def _edge_raw(x: Any, dim: int, last: bool = False) -> Any:
    return x + _edge(x.shape, x.dtype, dim, last)


def _edge_recorded(x: Any, dim: int, last: bool = False) -> Any:
    return x + x.new_tensor(_edge(x.shape, x._a.dtype, dim, last))


# `xp.edge_one(x, dim=, last=)`: 1 where `shift_along` brought in a 0, so that an empty product is 1
rule_helper("edge_one", _edge_raw, _edge_recorded)


# ---------------------------------------------------------------- sums and products
@linear(
    transpose=lambda xp, g, dim, reverse: xp.cumsum_along(g, dim=dim, reverse=not reverse),
    node_name="CumsumBackward0",
    saved={"reverse": None},
)
def cumsum_along(x: Any, *, dim: int, reverse: bool = False) -> Any:
    """Running sums; with `reverse`, from the end."""
    return kernels.running(np.add, x, dim, reverse=reverse)


def _cumprod_back(xp: Any, g: Any, x: Any, out: Any, dim: int, reverse: bool) -> Any:
    if len(x.shape) == 0:
        return g
    if not xp.has_zero(x):
        return xp.cumsum_along(g * xp.conj(out), dim=dim, reverse=not reverse) / xp.conj(x)
    step = -1 if reverse else 1
    ahead = xp.recurrence(g, xp.conj(xp.shift_along(x, dim=dim, by=-step)), dim=dim, reverse=not reverse)
    return ahead * xp.conj(xp.edge_one(xp.shift_along(out, dim=dim, by=step), dim=dim, last=reverse))


@general(vjp=[_cumprod_back], node_name="CumprodBackward0", saved={"reverse": None})
def cumprod_along(x: Any, *, dim: int, reverse: bool = False) -> Any:
    """Running products; with `reverse`, from the end."""
    return kernels.running(np.multiply, x, dim, reverse=reverse)


def _scan_input(input: Tensor, dtype: Any) -> Tensor:
    if dtype is not None:
        return cast(input, as_dtype(dtype))
    return cast(input, int64) if input.dtype.category < FLOATING else input


@function(out=True, in_place=True, copies=True, primitive=cumsum_along)
@torch_arguments
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along `dim`; integers and bools are summed as int64."""
    return cumsum_along(_scan_input(input, dtype), dim=one_dim(dim, input._a.ndim, "cumsum"), reverse=False)


@function(out=True, in_place=True, copies=True, primitive=cumprod_along)
@torch_arguments
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along `dim`; integers and bools are multiplied as int64."""
    return cumprod_along(_scan_input(input, dtype), dim=one_dim(dim, input._a.ndim, "cumprod"), reverse=False)


# ---------------------------------------------------------------- logarithms of sums of exponentials
def _logcumsumexp_back(xp: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    if len(x.shape) == 0:
        return g
    return xp.logcumsumexp_pull(g, x, out, dim=dim)


def _pull_raw(g: Any, x: Any, out: Any, dim: int) -> Any:
    """sum over j >= i of g[j] * exp(x[i] - out[j]), where out grows along the dim: positive and negative parts in logarithms."""
    if x.dtype.kind == "c":
        log = np.log(g.astype(x.dtype)) - np.conj(out)
        return np.exp(kernels.running_logsumexp(log, dim, reverse=True) + np.conj(x))
    log = np.log(np.abs(g)) - out
    up = kernels.running_logsumexp(np.where(g > 0, log, -np.inf), dim, reverse=True)
    down = kernels.running_logsumexp(np.where(g < 0, log, -np.inf), dim, reverse=True)
    return np.exp(up + x) - np.exp(down + x)


def _pull_recorded(g: Any, x: Any, out: Any, dim: int) -> Any:
    weights = g * recorded.conj(recorded.exp(-out))
    return recorded.cumsum_along(weights, dim=dim, reverse=True) * recorded.conj(recorded.exp(x))


rule_helper("logcumsumexp_pull", _pull_raw, _pull_recorded)


@general(vjp=[_logcumsumexp_back], node_name="LogcumsumexpBackward0")
def logcumsumexp_along(x: Any, *, dim: int) -> Any:
    """The logarithms of the running sums of exponentials."""
    return kernels.running_logsumexp(x, dim)


@function(out=True, primitive=logcumsumexp_along)
@torch_arguments
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """The logarithms of the running sums of exponentials along `dim`."""
    if input.dtype.category < FLOATING:
        unsupported("logcumsumexp_out_cpu", input.dtype)
    return logcumsumexp_along(input, dim=one_dim(dim, input._a.ndim, "logcumsumexp"))


# ---------------------------------------------------------------- extremes
def _running_extreme_back(xp: Any, g: Any, out1: Any, x_shape: Any, dim: int) -> Any:
    return g[0] if len(x_shape) == 0 else xp.put_along(g[0], out1, dim=dim, size=x_shape[dim], unique=False)


@general(vjp=[_running_extreme_back], outputs=2, node_name="CummaxBackward0", saved={"indices": "out1", "self_sym_sizes": None})
def cummax_along(x: Any, *, dim: int) -> Any:
    """Running maxima and where they stand."""
    return kernels.running_extreme(x, dim, True)


@general(vjp=[_running_extreme_back], outputs=2, node_name="CumminBackward0", saved={"indices": "out1", "self_sym_sizes": None})
def cummin_along(x: Any, *, dim: int) -> Any:
    """Running minima and where they stand."""
    return kernels.running_extreme(x, dim, False)


def _check_real(input: Tensor, kernel: str) -> None:
    if input.dtype.is_complex:
        unsupported(kernel, input.dtype)


@function(out=True, primitive=cummax_along)
@torch_arguments
def cummax(input: Tensor, dim: int) -> Any:
    """Running maxima along `dim`, and the position of each: of equal elements the last."""
    _check_real(input, "cummax_cpu")
    return return_types.cummax(cummax_along(input, dim=one_dim(dim, input._a.ndim, "cummax")))


@function(out=True, primitive=cummin_along)
@torch_arguments
def cummin(input: Tensor, dim: int) -> Any:
    """Running minima along `dim`, and the position of each: of equal elements the last."""
    _check_real(input, "cummin_cpu")
    return return_types.cummin(cummin_along(input, dim=one_dim(dim, input._a.ndim, "cummin")))


# ---------------------------------------------------------------- differences and integrals
@linear(
    transpose=lambda xp, g, dim: xp.difference_transpose(g, dim=dim), node_name="SubBackward0", saved={"dim": None, "alpha": constant(1)}
)
def difference_along(x: Any, *, dim: int) -> Any:
    """Each element less the one before it."""
    lead = (slice(None),) * dim
    return np.subtract(x[(*lead, slice(1, None))], x[(*lead, slice(None, -1))])


@linear(transpose=lambda xp, g, dim: xp.difference_along(g, dim=dim))
def difference_transpose(x: Any, *, dim: int) -> Any:
    """What undoes the dims of `difference_along`: each element less the one after it, with a 0 at either end."""
    shape = list(x.shape)
    shape[dim] += 1
    out = np.zeros(shape, x.dtype)
    lead = (slice(None),) * dim
    out[(*lead, slice(1, None))] = x
    out[(*lead, slice(None, -1))] -= x
    return out


@nondifferentiable(policy="keep", public=False)
def change_along(x: Any, *, dim: int) -> Any:
    """Whether each bool differs from the one before it."""
    lead = (slice(None),) * dim
    return np.not_equal(x[(*lead, slice(1, None))], x[(*lead, slice(None, -1))])


@function(out=True)
@torch_arguments
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The `n`-th forward difference along `dim`; for bools, where neighbours differ."""
    if input._a.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    axis = one_dim(dim, input._a.ndim, "diff")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts: list[Any] = [part for part in (prepend, input, append) if part is not None]
    for part in parts:
        if part is not input and part._a.ndim != input._a.ndim:
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    if n == 0:
        return recorded.clone(input)  # without what was to be prepended, as in PyTorch
    x = recorded.cat_tensors(parts, dim=axis) if len(parts) > 1 else input
    for _ in range(min(n, x._a.shape[axis])):
        x = change_along(x, dim=axis) if x.dtype is bool_ else difference_along(x, dim=axis)
    return x


def _between(x: Any, dim: int) -> tuple[Any, Any]:
    """All but the first, and all but the last."""
    size = x._a.shape[dim]
    later = recorded.slice_range(x, dim=dim, start=min(1, size), stop=size, step=1)
    return later, recorded.slice_range(x, dim=dim, start=0, stop=max(size - 1, 0), step=1)


def _steps(function: str, y: Any, x: Any, dim: int) -> Any:
    """The widths of the intervals, broadcast against `y`."""
    if x._a.ndim == 1:
        if x._a.size != y._a.shape[dim]:
            raise RuntimeError(f"{function}: There must be one `x` value for each sample point ({x._a.size} for {y._a.shape[dim]})")
        later, earlier = _between(x, 0)
        return recorded.reshape_to(later - earlier, shape=tuple(-1 if axis == dim else 1 for axis in range(y._a.ndim)))
    if x._a.ndim < y._a.ndim:
        x = recorded.reshape_to(x, shape=(*(1,) * (y._a.ndim - x._a.ndim), *x._a.shape))
    later, earlier = _between(x, dim)
    return later - earlier


def _check_steps(function: str, x: Any, dx: Any) -> None:
    if x is not None and dx is not None:
        raise TypeError(f"{function}() received an invalid combination of arguments: give 'x' or 'dx', not both")


@function(method=False, aliases=("trapz",))
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral along `dim` by the trapezoidal rule, of samples `dx` (1 unless given) apart or at the places `x`."""
    _check_steps("trapezoid", x, dx)
    axis = one_dim(dim, y._a.ndim, "trapezoid")
    if y._a.shape[axis : axis + 1] == (0,):
        return recorded.sum_dims(y, dims=(axis,), keepdim=False)
    later, earlier = _between(y, axis)
    if x is None:
        return recorded.sum_dims(later + earlier, dims=(axis,), keepdim=False) * ((1.0 if dx is None else dx) / 2.0)
    return recorded.sum_dims((later + earlier) * _steps("trapezoid", y, x, axis), dims=(axis,), keepdim=False) / 2.0


@function(method=False)
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The running integral along `dim` by the trapezoidal rule."""
    _check_steps("cumulative_trapezoid", x, dx)
    axis = one_dim(dim, y._a.ndim, "cumulative_trapezoid")
    later, earlier = _between(y, axis)
    width = (1.0 if dx is None else dx) if x is None else _steps("cumulative_trapezoid", y, x, axis)
    return recorded.cumsum_along((later + earlier) * width / 2.0, dim=axis, reverse=False)
