"""Elementwise functions of one operand: exponentials, logarithms, trigonometry and special functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.core.inplace import in_place
from ndgrad.core.tensor import Tensor
from ndgrad.kernels import special
from ndgrad.ops.declare import FLOAT, elementwise, function, table
from ndgrad.ops.refusals import forbidden, holds_complex, unsupported

neg = elementwise(
    np.negative,
    name="neg",
    aliases=("negative",),
    partials=[lambda xp, g: -g],
    check=forbidden(
        "b",
        "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` "
        "operator instead.",
    ),
    doc="The negative of every element.",
)


@function
def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    if input._a.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# ---------------------------------------------------------------- exponentials and logarithms
def _exp2(x: Any) -> Any:
    # NumPy has no exp2 of complex numbers
    return np.exp(x * math.log(2)) if x.dtype.kind == "c" else np.exp2(x)


exp = elementwise(np.exp, policy=FLOAT, partials=[lambda xp, g, out: g * out], domain=(-2, 2), doc="e to the power of every element.")
exp2 = elementwise(
    _exp2, name="exp2", policy=FLOAT, partials=[lambda xp, g, out: g * (out * math.log(2))], doc="2 to the power of every element."
)
expm1 = elementwise(np.expm1, policy=FLOAT, partials=[lambda xp, g, out: g * (out + 1)], doc="exp(x) - 1, exact near 0.")
log = elementwise(np.log, policy=FLOAT, partials=[lambda xp, g, x: g / x], domain=(0.3, 3), doc="The natural logarithm.")
log2 = elementwise(
    np.log2, policy=FLOAT, partials=[lambda xp, g, x: g / (x * math.log(2))], domain=(0.3, 3), doc="The logarithm to base 2."
)
log10 = elementwise(
    np.log10, policy=FLOAT, partials=[lambda xp, g, x: g / (x * math.log(10))], domain=(0.3, 3), doc="The logarithm to base 10."
)
log1p = elementwise(
    np.log1p,
    node_name="Log1PBackward0",
    policy=FLOAT,
    partials=[lambda xp, g, x: g / (x + 1)],
    domain=(-0.7, 2),
    doc="log(1 + x), exact near 0.",
)

# ---------------------------------------------------------------- trigonometry
sin = elementwise(np.sin, policy=FLOAT, partials=[lambda xp, g, x: g * xp.cos(x)], doc="Sine of every element, in radians.")
cos = elementwise(np.cos, policy=FLOAT, partials=[lambda xp, g, x: -(g * xp.sin(x))], doc="Cosine of every element, in radians.")
tan = elementwise(
    np.tan, policy=FLOAT, partials=[lambda xp, g, out: g * (out * out + 1)], domain=(-1.3, 1.3), doc="Tangent of every element."
)
asin = elementwise(
    np.arcsin,
    name="asin",
    aliases=("arcsin",),
    policy=FLOAT,
    partials=[lambda xp, g, x: g * xp.rsqrt(1 - x * x)],
    domain=(-0.9, 0.9),
    doc="The angle in radians whose sine the element is.",
)
acos = elementwise(
    np.arccos,
    name="acos",
    aliases=("arccos",),
    policy=FLOAT,
    partials=[lambda xp, g, x: -(g * xp.rsqrt(1 - x * x))],
    domain=(-0.9, 0.9),
    doc="The angle in radians whose cosine the element is.",
)
atan = elementwise(
    np.arctan,
    name="atan",
    aliases=("arctan",),
    policy=FLOAT,
    partials=[lambda xp, g, x: g / (x * x + 1)],
    doc="The angle in radians whose tangent the element is.",
)
sinh = elementwise(np.sinh, policy=FLOAT, partials=[lambda xp, g, x: g * xp.cosh(x)], domain=(-2, 2), doc="Hyperbolic sine.")
cosh = elementwise(np.cosh, policy=FLOAT, partials=[lambda xp, g, x: g * xp.sinh(x)], domain=(-2, 2), doc="Hyperbolic cosine.")
tanh = elementwise(np.tanh, policy=FLOAT, partials=[lambda xp, g, out: g * (1 - out * out)], domain=(-2, 2), doc="Hyperbolic tangent.")
asinh = elementwise(
    np.arcsinh,
    name="asinh",
    aliases=("arcsinh",),
    policy=FLOAT,
    partials=[lambda xp, g, x: g * xp.rsqrt(x * x + 1)],
    doc="Inverse hyperbolic sine.",
)
acosh = elementwise(
    np.arccosh,
    name="acosh",
    aliases=("arccosh",),
    policy=FLOAT,
    # one root of the product is the wrong branch for complex numbers
    partials=[lambda xp, g, x: g * (xp.rsqrt(x - 1) * xp.rsqrt(x + 1) if holds_complex(x) else xp.rsqrt(x * x - 1))],
    domain=(1.2, 3),
    doc="Inverse hyperbolic cosine.",
)
atanh = elementwise(
    np.arctanh,
    name="atanh",
    aliases=("arctanh",),
    policy=FLOAT,
    partials=[lambda xp, g, x: g / (1 - x * x)],
    domain=(-0.9, 0.9),
    doc="Inverse hyperbolic tangent.",
)


def _sinc(x: Any) -> Any:
    angle = x * math.pi
    return np.where(x == 0, x.dtype.type(1), np.sin(angle) / np.where(x == 0, 1, angle)).astype(x.dtype)


def _by_sinc(xp: Any, g: Any, x: Any) -> Any:
    angle = x * math.pi
    square = angle * x
    slope = (angle * xp.cos(angle) - xp.sin(angle)) / square
    return xp.where(xp.eq(square, 0), 0, g * slope)


sinc = elementwise(_sinc, name="sinc", policy=FLOAT, partials=[_by_sinc], domain=(0.2, 3), doc="sin(pi x) / (pi x), and 1 at 0.")


def _angle_scale(name: str, factor: float, node_name: str, doc: str) -> Any:
    def scale(x: Any) -> Any:
        return x * factor

    return elementwise(
        scale,
        name=name,
        node_name=node_name,
        policy=FLOAT,
        partials=[lambda xp, g: g * factor],
        check=forbidden("c", f"{name} is not supported for complex tensors."),
        doc=doc,
    )


deg2rad = _angle_scale("deg2rad", math.pi / 180, "Deg2RadBackward0", "Degrees as radians.")
rad2deg = _angle_scale("rad2deg", 180 / math.pi, "Rad2DegBackward0", "Radians as degrees.")


# ---------------------------------------------------------------- special functions
_BELL = 2 / math.sqrt(math.pi)

erf = elementwise(
    special.erf,
    policy=FLOAT,
    check=unsupported("erf_vml_cpu", "c"),
    partials=[lambda xp, g, x: g * (xp.exp(-(x * x)) * _BELL)],
    doc="The error function.",
)
erfc = elementwise(
    special.erfc,
    policy=FLOAT,
    check=unsupported("erfc_vml_cpu", "c"),
    partials=[lambda xp, g, x: g * (xp.exp(-(x * x)) * -_BELL)],
    doc="1 - erf(x), exact where it is small.",
)
erfinv = elementwise(
    special.erfinv,
    policy=FLOAT,
    check=unsupported("erfinv_vml_cpu", "c"),
    partials=[lambda xp, g, out: g * (xp.exp(out * out) / _BELL)],
    saved={"result": None},
    domain=(-0.8, 0.8),
    doc="The inverse of the error function.",
)
lgamma = elementwise(
    special.lgamma,
    policy=FLOAT,
    check=unsupported("lgamma_vml_cpu", "c"),
    partials=[lambda xp, g, x: g * xp.digamma(x)],
    domain=(0.5, 4),
    doc="The logarithm of the absolute value of the gamma function.",
)
digamma = elementwise(
    special.digamma,
    policy=FLOAT,
    check=unsupported("digamma", "c"),
    partials=[lambda xp, g, x: g * xp.polygamma_of(x, n=1)],
    domain=(0.5, 4),
    doc="The derivative of lgamma.",
)


@elementwise(
    name="polygamma_of",
    node_name="PolygammaBackward0",
    policy=FLOAT,
    check=unsupported("polygamma", "c"),
    public=False,
    partials=[lambda xp, g, x, n: g * xp.polygamma_of(x, n=n + 1)],
)
def polygamma_of(x: Any, *, n: int) -> Any:
    """The n-th derivative of digamma."""
    return special.digamma(x) if n == 0 else special.polygamma(n, x)


_polygamma_written = elementwise(
    polygamma_of.primitive.kernel,
    name="polygamma_written",
    node_name="PolygammaBackward1",
    policy=FLOAT,
    check=unsupported("polygamma", "c"),
    public=False,
    partials=polygamma_of.primitive.rules,
    doc="The same where the result replaces the operand: PyTorch's node has a number of its own.",
)


def _order(n: int) -> int:
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n. It is {n}")
    return int(n)


def _polygamma(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return polygamma_of(self, n=_order(n))


def _polygamma_for_writing(self: Tensor, n: int) -> Tensor:
    return _polygamma_written(self, n=_order(n))


@function(out=True, primitive=polygamma_of)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma."""
    return _polygamma(input, n)


# as a method the tensor comes first
table["polygamma"].method = _polygamma
polygamma_ = function(in_place(_polygamma_for_writing, "polygamma_"), name="polygamma_", as_function=False)


# ---------------------------------------------------------------- logit
def _by_logit(xp: Any, g: Any, x: Any, eps: float | None) -> Any:
    slope = g / (x * (1 - x))
    if eps is None:
        outside = xp.logical_or(xp.lt(x, 0), xp.gt(x, 1))
        return xp.where(outside, math.nan, slope)
    outside = xp.logical_or(xp.lt(x, eps), xp.gt(x, 1 - eps))
    return xp.masked_keep(slope, xp.logical_not(outside))


@elementwise(
    name="logit_of", node_name="LogitBackward0", policy=FLOAT, check=unsupported("logit_cpu", "c"), public=False, partials=[_by_logit]
)
def logit_of(x: Any, *, eps: float | None) -> Any:
    """log(x / (1 - x))."""
    if eps is not None:
        x = np.clip(x, eps, 1 - eps)
    return np.log(x / (1 - x))


@function(in_place=True, out=True, primitive=logit_of, domain=(0.2, 0.8))
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; with `eps`, of x clamped to [eps, 1 - eps]."""
    return logit_of(input, eps=eps)
