"""Activations under the names and with the arguments that `torch.nn.functional` gives them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops
from ndgrad.ops.arguments import check_tensor, one_dim, unsupported
from ndgrad.ops.guarding import guarded
from ndgrad.ops.layers import gated_halves
from ndgrad.ops.random_numbers import drawn_like


def _applied(name: str, input: Tensor, inplace: bool, *args: Any) -> Tensor:
    """The operation, or its in-place twin."""
    if not isinstance(input, Tensor):
        check_tensor(input, name, "input", 1)
    operation: Callable[..., Tensor] = getattr(ops, name + "_" if inplace else name)
    return operation(input, *args)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return _applied("relu", input, inplace)


def relu_(input: Tensor) -> Tensor:
    """In-place `relu`."""
    return _applied("relu", input, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return _applied("hardtanh", input, inplace, 0.0, 6.0)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1)."""
    return _applied("elu", input, inplace, alpha)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place `elu`."""
    return _applied("elu", input, True, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled exponential linear unit."""
    return _applied("selu", input, inplace)


def selu_(input: Tensor) -> Tensor:
    """In-place `selu`."""
    return _applied("selu", input, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""
    return _applied("celu", input, inplace, alpha)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place `celu`."""
    return _applied("celu", input, True, alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope * x."""
    return _applied("leaky_relu", input, inplace, negative_slope)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place `leaky_relu`."""
    return _applied("leaky_relu", input, True, negative_slope)


@guarded
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x clipped to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val ({min_val} and {max_val})")
    return _applied("hardtanh", input, inplace, min_val, max_val)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place `hardtanh`."""
    return hardtanh(input, min_val, max_val, True)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where above the threshold, else the value."""
    return _applied("threshold", input, inplace, threshold, value)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return _applied("silu", input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return _applied("mish", input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    return _applied("hardswish", input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return _applied("hardsigmoid", input, inplace)


def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """A leaky relu whose slope is drawn at random from [lower, upper] in training, and is their mean otherwise."""
    return _applied("rrelu", input, inplace, lower, upper, training)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x, or ("tanh") an approximation of it."""
    return ops.gelu(input, approximate=approximate)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ops.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ops.tanh(input)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return ops.logsigmoid(input)


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x exceeds the threshold."""
    return ops.softplus(input, beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    check_tensor(input, "softsign", "input", 1)
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    check_tensor(input, "tanhshrink", "input", 1)
    return input - input.tanh()


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| exceeds lambd, else 0."""
    return ops.hardshrink(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and no further."""
    return ops.softshrink(input, lambd)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """A leaky relu whose slope, for all channels or for each, is a tensor."""
    return ops.prelu(input, weight)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of a dim times the sigmoid of the second."""
    check_tensor(input, "glu", "input", 1)
    if input._a.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    axis = one_dim(dim, input._a.ndim, "glu")
    size = input._a.shape[axis]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {size}")
    if input._a.dtype.kind != "f":
        unsupported("glu_cpu", input.dtype)
    return gated_halves(input, dim=axis)


# ---------------------------------------------------------------- over a dim
def _implicit_dim(name: str, rank: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=3,
    )
    return 0 if rank in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`."""
    return ops.softmax(input, _implicit_dim("softmax", input._a.ndim) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """x - log(sum(exp(x))) along `dim`."""
    return ops.log_softmax(input, _implicit_dim("log_softmax", input._a.ndim) if dim is None else dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The softmax of -x."""
    return ops.softmax(-input, _implicit_dim("softmin", input._a.ndim) if dim is None else dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A random choice among the logits along `dim` that gradients flow through; `hard` rounds it to one place."""
    check_tensor(logits, "gumbel_softmax", "logits", 1)
    noise = -drawn_like(logits, logits._a.dtype, lambda made: made.exponential_()).log()
    soft = ops.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    chosen = soft.detach()
    rounded = ops.zeros_like(logits).scatter_(dim, chosen.argmax(dim, True), 1.0)
    return rounded - chosen + soft
