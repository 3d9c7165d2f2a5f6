"""Activation functions. Those that PyTorch keeps in `nn.functional` alone are in the table, but neither functions nor methods."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ndgrad.base.dtypes import type_name
from ndgrad.core.saved import constant
from ndgrad.core.tensor import Tensor
from ndgrad.kernels import special
from ndgrad.kernels.distributions import uniform_
from ndgrad.kernels.masking import keep_positive
from ndgrad.kernels.masking import masked_keep as keep
from ndgrad.kernels.scalars import scalar_of
from ndgrad.ops.declare import FLOAT, Operation, elementwise, function, recorded, rule_helper, table
from ndgrad.ops.random_numbers import engine_of
from ndgrad.ops.randomness import drawn_examples, random_levels
from ndgrad.ops.refusals import both, forbidden, unsupported

_no_complex_clamp = forbidden("c", "clamp is not supported for complex types", NotImplementedError)


def _above(xp: Any, x: Any, bound: Any) -> Any:
    """Where `x` is not at or below the bound: nan counts as above, as it does in PyTorch's backward passes."""
    return xp.logical_not(xp.le(x, bound))


def _piece(kernel: Callable[..., Any], name: str, node: str, cpu: str, partial: Any, kinds: str = "buic", **facts: Any) -> Operation:
    """A primitive of one floating operand with parameters."""
    return elementwise(kernel, name=name, node_name=node, public=False, check=unsupported(cpu, kinds), partials=[partial], **facts)


rule_helper("keep_positive", keep_positive, lambda g, x: recorded.masked_keep(g, _above(recorded, x, 0)))


# ---------------------------------------------------------------- cut off
def _relu(x: Any) -> Any:
    # NumPy's clip is three times as fast as its maximum, which of two zeros takes the second: -0 stays -0
    return np.clip(x, 0, np.inf) if x.dtype.kind == "f" and x.size > 1000 else np.maximum(0, x)


relu = elementwise(
    _relu,
    name="relu",
    check=both(_no_complex_clamp, forbidden("b", "Boolean inputs not supported for relu")),
    out=False,
    partials=[lambda xp, g, out: xp.keep_positive(g, out)],
    domain=(0.2, 2),
    doc="Every element, or 0 where it is negative.",
)


def _by_hardtanh(xp: Any, g: Any, x: Any, low: Any, high: Any) -> Any:
    outside = xp.logical_or(xp.le(x, low), xp.ge(x, high))
    return xp.masked_keep(g, xp.logical_not(outside))


@elementwise(
    name="hardtanh_of",
    node_name="HardtanhBackward0",
    saved={"min_val": "low", "max_val": "high"},
    public=False,
    check=both(_no_complex_clamp, forbidden("b", "Bool inputs not supported for hardtanh")),
    partials=[_by_hardtanh],
)
def hardtanh_of(x: Any, *, low: Any, high: Any) -> Any:
    """Every element bounded."""
    return np.clip(x, scalar_of(low, x.dtype), scalar_of(high, x.dtype))


@function(as_function=False, method=False, in_place=True, primitive=hardtanh_of)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Every element bounded; the bounds themselves have gradient 0, unlike those of `clamp`."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val: they are {min_val} and {max_val}")
    if min_val < 0 and input._a.dtype.kind == "u":
        raise RuntimeError(f"cannot do hardtanh on an unsigned type with negative limits: {min_val} and {max_val} for {input.dtype}")
    return hardtanh_of(input, low=min_val, high=max_val)


@function(as_function=False, method=False, in_place=True, primitive=hardtanh_of)
def relu6(input: Tensor) -> Tensor:
    """Every element bounded by 0 and 6."""
    return hardtanh_of(input, low=0, high=6)


@elementwise(
    name="threshold_of",
    node_name="ThresholdBackward0",
    saved={"threshold": "bound"},
    public=False,
    check=unsupported("threshold_cpu", "bc"),
    partials=[lambda xp, g, x, bound: xp.masked_keep(g, _above(xp, x, bound))],
)
def threshold_of(x: Any, *, bound: Any, value: Any) -> Any:
    """`value` where an element is not above the bound."""
    return np.where(x <= scalar_of(bound, x.dtype), scalar_of(value, x.dtype), x)


@function(method=False, in_place=True, primitive=threshold_of)
def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """Every element, or `value` where it is not above `threshold`."""
    return threshold_of(input, bound=threshold, value=value)


def _outside(xp: Any, g: Any, x: Any, lambd: Any) -> Any:
    return xp.masked_keep(g, _above(xp, xp.abs(x), lambd))


hardshrink_of = _piece(
    lambda x, *, lambd: keep(x, ~(np.abs(x) <= lambd)), "hardshrink_of", "HardshrinkBackward0", "hardshrink_cpu", _outside
)
softshrink_of = _piece(
    lambda x, *, lambd: x - np.clip(x, -lambd, lambd), "softshrink_of", "SoftshrinkBackward0", "softshrink_check", _outside
)


@function(out=True, primitive=hardshrink_of)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Every element, or 0 where its size is not above `lambd`."""
    return hardshrink_of(input, lambd=lambd)


@function(as_function=False, method=False, primitive=softshrink_of)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Every element moved towards 0 by `lambd`, but not past it."""
    if not lambd >= 0:
        raise RuntimeError(f"lambda must be in range [0, 3.40282e+38] for input dtype {type_name(input.dtype)}, but found {lambd}")
    return softshrink_of(input, lambd=lambd)


# ---------------------------------------------------------------- leaky
def _by_leak(xp: Any, g: Any, x: Any, slope: Any) -> Any:
    return xp.where(xp.gt(x, 0), g, g * slope)


def _leak(x: Any, *, slope: float) -> Any:
    if 0 < slope <= 1:
        return np.maximum(x, x * slope)
    return np.maximum(x, 0) + np.minimum(x, 0) * slope


leaky_relu_of = _piece(_leak, "leaky_relu_of", "LeakyReluBackward0", "leaky_relu_cpu", _by_leak, saved={"negative_slope": "slope"})
rrelu_middle = _piece(
    _leak,
    "rrelu_middle",
    "RreluWithNoiseBackward0",
    "rrelu_with_noise_out_cpu",
    _by_leak,
    saved={"slope": None, "training": constant(False)},
)


@function(as_function=False, method=False, in_place=True, primitive=leaky_relu_of)
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Every element, negative ones times `negative_slope`."""
    return leaky_relu_of(input, slope=negative_slope)


def _by_slopes(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return xp.where(xp.gt(x, 0), g, g * y)


def _slopes(x: Any, y: Any) -> Any:
    return np.where(x > 0, x, x * y)


prelu_tensors = elementwise(
    _slopes,
    name="prelu_tensors",
    node_name="PreluKernelBackward0",
    saved={"weight": "y"},
    public=False,
    check=unsupported("prelu_cpu", "buic"),
    partials=[_by_slopes, lambda xp, g, x: xp.masked_keep(g * x, xp.logical_not(xp.gt(x, 0)))],
)
rrelu_noise = elementwise(
    _slopes,
    name="rrelu_noise",
    node_name="RreluWithNoiseBackward0",
    saved={"noise": "y", "training": constant(True)},
    public=False,
    partials=[_by_slopes, None],
)


@function(primitive=prelu_tensors)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Every element, negative ones times the weight: one for all, or one for each channel (dim 1)."""
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}")
    shape, count = input._a.shape, weight._a.size
    if weight._a.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight._a.ndim}")
    if count != 1:
        if not shape:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = shape[1] if len(shape) > 1 else 1
        if channels != count:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {count} and channel size = {channels}."
            )
    wanted = (1, count, *(1,) * (len(shape) - 2)) if len(shape) > 1 else (1,) * len(shape)
    if weight._a.shape != wanted:
        weight = table["reshape"].method(weight, wanted)
    return prelu_tensors(input, weight)


@function(method=False, in_place=True, primitive=rrelu_middle)
def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, generator: Any = None) -> Tensor:
    """Every element, negative ones times a random slope between `lower` and `upper`, or times their mean where not training."""
    if not lower <= upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound: they are {lower} and {upper}")
    if not training:
        return rrelu_middle(input, slope=(lower + upper) / 2)
    if not input.dtype.is_floating_point:
        kind = type_name(input.dtype)
        raise NotImplementedError(f"\"rrelu_with_noise_out_cpu\" not implemented for '{kind}'; it takes floating tensors")
    dead = table["le"].method(input, 0)
    levels = random_levels()
    engine = engine_of(generator, "rrelu")
    if levels:
        noise = drawn_examples(levels, input._a.shape, input._a.dtype, engine, partial(_draw_slopes, engine, lower, upper), [dead])
    else:
        noise = table["ones_like"].function(input, dtype=input.dtype, requires_grad=False)
        _draw_slopes(engine, lower, upper, noise._memory(), dead._a)
    return rrelu_noise(input, noise)


def _draw_slopes(engine: Any, lower: float, upper: float, memory: Any, dead: Any) -> None:
    """A slope for each element that is not positive, and a number drawn for no other."""
    dead = np.broadcast_to(dead, memory.shape)
    slopes = np.empty(int(np.count_nonzero(dead)))
    memory[...] = 1
    memory[dead] = uniform_(engine, slopes, lower, upper)


# ---------------------------------------------------------------- exponential below 0
def _elu(x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    # of two zeros NumPy takes the second: -0 stays -0
    return np.maximum(0, x) * scale + np.expm1(np.minimum(0, x) * input_scale) * (alpha * scale)


def _by_elu(xp: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    below = g * (xp.exp(x * input_scale) * (alpha * scale * input_scale))
    return xp.where(xp.le(x, 0), below, g if scale == 1 else g * scale)


elu_of = _piece(_elu, "elu_of", "EluBackward0", "elu_cpu", _by_elu)
celu_of = _piece(_elu, "celu_of", "CeluBackward0", "elu_cpu", _by_elu, saved={"scale": None, "input_scale": None})

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@function(as_function=False, method=False, in_place=True, primitive=elu_of)
def elu(input: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    """Every element, negative ones as alpha * (exp(x) - 1)."""
    return elu_of(input, alpha=alpha, scale=scale, input_scale=input_scale)


@function(method=False, in_place=True, primitive=elu_of)
def selu(input: Tensor) -> Tensor:
    """ELU with the two constants for which networks keep mean 0 and variance 1."""
    return elu_of(input, alpha=_SELU_ALPHA, scale=_SELU_SCALE, input_scale=1.0)


@function(method=False, in_place=True, primitive=celu_of)
def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Every element, negative ones as alpha * (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError(f"ZeroDivisionError: alpha cannot be 0 for CELU: alpha={alpha}")
    return celu_of(input, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)


# ---------------------------------------------------------------- sigmoid and what is made of it
sigmoid = elementwise(
    special.sigmoid,
    policy=FLOAT,
    partials=[lambda xp, g, out: g * ((1 - out) * out)],
    domain=(-3, 3),
    doc="1 / (1 + exp(-x)) of every element.",
)


def _by_silu_slope(xp: Any, g: Any, x: Any) -> Any:
    out = xp.sigmoid(x)
    return g * ((1 - out) * out * (x * (1 - out * 2) + 2))


silu_slope = elementwise(special.silu_slope, name="silu_slope", node_name="SiluBackwardBackward0", public=False, partials=[_by_silu_slope])
silu_of = _piece(special.silu, "silu_of", "SiluBackward0", "silu_cpu", lambda xp, g, x: g * xp.silu_slope(x), "bui")


@function(as_function=False, method=False, in_place=True, primitive=silu_of)
def silu(input: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return silu_of(input)


def _softplus(x: Any, *, beta: float, threshold: float) -> Any:
    steep = x * beta
    smooth = np.log1p(np.exp(np.minimum(steep, threshold))) / x.dtype.type(beta)
    return np.where(steep > threshold, x, smooth)


def _by_softplus(xp: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    steep = x * beta
    return xp.where(xp.gt(steep, threshold), g, g * xp.sigmoid(steep))


softplus_of = _piece(_softplus, "softplus_of", "SoftplusBackward0", "softplus_cpu", _by_softplus)


@function(as_function=False, method=False, primitive=softplus_of)
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x is above `threshold`."""
    return softplus_of(input, beta=beta, threshold=threshold)


def _log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid = _piece(_log_sigmoid, "log_sigmoid", "LogSigmoidBackward0", "log_sigmoid_cpu", lambda xp, g, x: g * xp.sigmoid(-x))


@function(as_function=False, method=False, primitive=log_sigmoid)
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without the overflow of its parts."""
    return log_sigmoid(input)


def _mish(x: Any) -> Any:
    return x * np.tanh(np.log1p(np.exp(x)))


def _by_mish(xp: Any, g: Any, x: Any) -> Any:
    out = xp.tanh(xp.softplus_of(x, beta=1.0, threshold=20.0))
    return g * (out + x * xp.sigmoid(x) * (1 - out * out))


mish_of = _piece(_mish, "mish_of", "MishBackward0", "mish_cpu", _by_mish)


@function(as_function=False, method=False, in_place=True, primitive=mish_of)
def mish(input: Tensor) -> Tensor:
    """x * tanh(softplus(x))."""
    return mish_of(input)


# ---------------------------------------------------------------- GELU
def _by_gelu_slope(xp: Any, g: Any, x: Any) -> Any:
    square = x * x
    return g * (xp.exp(square * -0.5) * (2 - square) * (1 / math.sqrt(2 * math.pi)))


def _by_gelu_tanh_slope(xp: Any, g: Any, x: Any) -> Any:
    root, cubic = math.sqrt(2 / math.pi), 0.044715
    square = x * x
    out = xp.tanh(x * (square * (root * cubic) + root))
    steep = square * (3 * root * cubic) + root
    bend = x * (6 * root * cubic)
    return g * ((1 - out * out) * (steep + x * (bend * 0.5 - out * steep * steep)))


gelu_slope = elementwise(special.gelu_slope, name="gelu_slope", node_name="GeluBackwardBackward0", public=False, partials=[_by_gelu_slope])
gelu_tanh_slope = elementwise(
    special.gelu_tanh_slope, name="gelu_tanh_slope", node_name="GeluBackwardBackward0", public=False, partials=[_by_gelu_tanh_slope]
)
gelu_exact = _piece(
    special.gelu,
    "gelu_exact",
    "GeluBackward0",
    "GeluKernelImpl",
    lambda xp, g, x: g * xp.gelu_slope(x),
    saved={"approximate": constant("none")},
)
gelu_tanh = _piece(
    special.gelu_tanh,
    "gelu_tanh",
    "GeluBackward0",
    "GeluKernelImpl",
    lambda xp, g, x: g * xp.gelu_tanh_slope(x),
    saved={"approximate": constant("tanh")},
)


@function(as_function=False, method=False, primitive=gelu_exact)
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """x times the probability that a standard normal number is below x; `approximate="tanh"` for the older formula."""
    if approximate == "none":
        return gelu_exact(input)
    if approximate == "tanh":
        return gelu_tanh(input)
    raise RuntimeError(f"approximate argument must be either none or tanh. It is {approximate!r}")


# ---------------------------------------------------------------- straight pieces
def _hardsigmoid(x: Any) -> Any:
    return np.clip(x + 3, 0, 6) / 6


def _by_hardsigmoid(xp: Any, g: Any, x: Any) -> Any:
    return xp.masked_keep(g * (1 / 6), xp.logical_and(xp.gt(x, -3), xp.lt(x, 3)))


def _by_hardswish(xp: Any, g: Any, x: Any) -> Any:
    inside = xp.masked_keep(g * (x * (1 / 3) + 0.5), xp.gt(x, -3))
    return xp.where(xp.lt(x, 3), inside, g)


hardsigmoid_of = _piece(_hardsigmoid, "hardsigmoid_of", "HardsigmoidBackward0", "hardsigmoid_cpu", _by_hardsigmoid)
hardswish_of = _piece(lambda x: x * np.clip(x + 3, 0, 6) / 6, "hardswish_of", "HardswishBackward0", "hardswish_cpu", _by_hardswish)


@function(as_function=False, method=False, in_place=True, primitive=hardsigmoid_of)
def hardsigmoid(input: Tensor) -> Tensor:
    """x / 6 + 1 / 2, bounded by 0 and 1."""
    return hardsigmoid_of(input)


@function(as_function=False, method=False, in_place=True, primitive=hardswish_of)
def hardswish(input: Tensor) -> Tensor:
    """x * hardsigmoid(x)."""
    return hardswish_of(input)


@function(as_function=False, method=False)
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    out: Tensor = table["div"].method(input, table["abs"].method(input) + 1)
    return out


@function(as_function=False, method=False)
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    out: Tensor = table["sub"].method(input, table["tanh"].method(input))
    return out
