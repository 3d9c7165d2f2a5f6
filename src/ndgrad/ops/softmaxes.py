"""Softmax, log-softmax, logsumexp."""

from __future__ import annotations

from typing import Any

from ndgrad.base.dtypes import FLOATING, as_dtype, get_default_dtype
from ndgrad.core.tensor import Tensor
from ndgrad.kernels import softmaxes as kernels
from ndgrad.ops.arguments import dims_of, one_dim, torch_arguments, unsupported, wrong
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import function, general, recorded, rule_helper


def _softmax_adjoint(g: Any, out: Any, dim: int) -> Any:
    kept = g * out
    return kept - out * recorded.sum_dims(kept, dims=_dims(out, dim), keepdim=True)


def _log_softmax_adjoint(g: Any, out: Any, dim: int) -> Any:
    return g - recorded.exp(out) * recorded.sum_dims(g, dims=_dims(out, dim), keepdim=True)


def _dims(out: Any, dim: int) -> tuple[int, ...]:
    return (dim,) if out._a.ndim else ()


# one kernel in an ordinary backward; spelled out where the backward is recorded
rule_helper("softmax_adjoint", kernels.softmax_adjoint, _softmax_adjoint)
rule_helper("log_softmax_adjoint", kernels.log_softmax_adjoint, _log_softmax_adjoint)


@general(
    vjp=[lambda xp, g, out, dim: xp.softmax_adjoint(g, out, dim)],
    jvp=lambda xp, tangents, out, dim: xp.softmax_adjoint(tangents[0], out, dim),  # its Jacobian is symmetric
    node_name="SoftmaxBackward0",
)
def softmax_along(x: Any, *, dim: int) -> Any:
    """exp(x) / sum(exp(x)) along a dim."""
    return kernels.softmax(x, dim)


@general(vjp=[lambda xp, g, out, dim: xp.log_softmax_adjoint(g, out, dim)], node_name="LogSoftmaxBackward0")
def log_softmax_along(x: Any, *, dim: int) -> Any:
    """x - log(sum(exp(x))) along a dim."""
    return kernels.log_softmax(x, dim)


def _prepare(name: str, input: Tensor, dim: Any, dtype: Any) -> tuple[Tensor, int]:
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    array = input._a
    axis = one_dim(dim, array.ndim, name)
    if array.dtype.kind != "f":
        last = array.ndim <= 1 or axis == array.ndim - 1
        unsupported(f"{name}_{'lastdim_' if last else ''}kernel_impl", input.dtype)
    return input, axis


@function(out=True, primitive=softmax_along)
@torch_arguments
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, after a cast to `dtype` where one is given."""
    input, axis = _prepare("softmax", input, dim, dtype)
    return softmax_along(input, dim=axis)


@function(out=True, primitive=log_softmax_along)
@torch_arguments
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """x - log(sum(exp(x))) along `dim`, after a cast to `dtype` where one is given."""
    input, axis = _prepare("log_softmax", input, dim, dtype)
    return log_softmax_along(input, dim=axis)


def _logsumexp_back(xp: Any, g: Any, x: Any, out: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    g, out = (xp.restore_dims(value, x.shape, dims, keepdim) for value in (g, out))
    return g * xp.conj(xp.exp(x - out))


@general(vjp=[_logsumexp_back], node_name="LogsumexpBackward0")
def logsumexp_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """log(sum(exp(x))) over some dims."""
    return kernels.logsumexp(x, dims, keepdim)


@function(out=True, primitive=logsumexp_dims)
@torch_arguments
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over `dim`, without overflow; integers as the default floating type."""
    if dim is None:
        wrong("logsumexp", "dim", "tuple of ints", dim)
    if input.dtype.category < FLOATING:
        input = cast(input, get_default_dtype())
    return logsumexp_dims(input, dims=dims_of(dim, input._a.ndim, "logsumexp"), keepdim=keepdim)
