"""Samples of arithmetic, activations and layers."""

from __future__ import annotations

from ndgrad.testing.inputs import Sample
from ndgrad.testing.samples.registry import (
    OPERATIONS,
    add,
    add_constant,
    add_integer,
    add_random,
    binary,
    unary,
)

_BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")
_SHIFTS = ("bitwise_left_shift", "bitwise_right_shift")

# ---------------------------------------------------------------- arithmetic
unary("abs", "angle", "positive", "sgn", "square")
binary("mul")
binary("add", "sub", "rsub", more=lambda m: [Sample(m(2, 3), m(3), alpha=0.5), Sample(m(2, 3), 1.5, alpha=2)])
add(
    div=lambda m: [
        Sample(m(2, 3), m.positive(3)),
        Sample(m(2, 3), 1.5),
        *(Sample(m.real(2, 3), m.real(3, low=0.6, high=0.7), rounding_mode=how) for how in (None, "floor", "trunc")),
    ],
    copysign=lambda m: [Sample(m.real(2, 3), m.real(3)), Sample(m.real(2, 3), -1.5)],
    round=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), decimals=1)],
    remainder=lambda m: [Sample(m.real(2, 3), m.real(3, low=0.6, high=0.7)), Sample(m.real(2, 3), 0.7)],
    fmod=lambda m: [Sample(m.real(2, 3), m.real(3, low=0.6, high=0.7)), Sample(m.real(2, 3), 0.7)],
    pow=lambda m: [
        *(Sample(m.positive(2, 3), exponent) for exponent in (2, 3, -1.5, 0.5)),
        Sample(m.positive(2, 3), m(3)),
        Sample(1.5, m(2, 3)),
        Sample(m.positive(), m(2)),
    ],
    float_power=lambda m: [Sample(m.positive(2, 3), 2.5), Sample(m.positive(2, 3), m(3))],
    clamp=lambda m: [
        Sample(m.real(2, 3), -0.5, 0.7),
        Sample(m.real(2, 3), min=0.1),
        Sample(m.real(2, 3), max=0.1),
        Sample(m.real(2, 3), min=m.real(3)),
        Sample(m.real(2, 3), max=m.real(3)),
        Sample(m.real(2, 3), m.real(3, low=-1, high=-0.5), m.real(3, low=0.5, high=1)),
    ],
    clamp_min=lambda m: [Sample(m.real(2, 3), 0.1), Sample(m.real(2, 3), m.real(3))],
    clamp_max=lambda m: [Sample(m.real(2, 3), 0.1), Sample(m.real(2, 3), m.real(3))],
    lerp=lambda m: [Sample(m(2, 3), m(3), 0.3), Sample(m(2, 3), m(2, 3), m(3)), Sample(m(2), m(2), 0.8)],
    addcmul=lambda m: [Sample(m(2, 3), m(3), m(2, 1)), Sample(m(2, 3), m(2, 3), m(2, 3), value=0.5)],
    addcdiv=lambda m: [Sample(m(2, 3), m(3), m.positive(2, 1)), Sample(m(2, 3), m(2, 3), m.positive(2, 3), value=0.5)],
    where=lambda m: [Sample(m.mask(2, 3), m(2, 3), m(3)), Sample(m.mask(2, 3), m(2, 3), 1.5), Sample(m.mask(3), 2.0, m(2, 3))],
    xlogy=lambda m: [Sample(m.real(2, 3), m.real(3, low=0.3, high=2)), Sample(1.5, m.real(3, low=0.3, high=2)), Sample(m.real(3), 1.5)],
    logit=lambda m: [Sample(m.real(2, 3, low=0.1, high=0.9)), Sample(m.real(4, low=0.3, high=0.7), eps=0.2)],
    polygamma_=lambda m: [Sample(m.real(2, 3, low=0.3, high=2), n) for n in (0, 1, 2)],
    polygamma=lambda m: [Sample(n, m.real(2, 3, low=0.3, high=2)) for n in (0, 1, 2)],
    fill=lambda m: [Sample(m(2, 3), 1.5), Sample(m(2, 3), m())],
    fill_=lambda m: [Sample(m(2, 3), 1.5), Sample(m(2, 3), m())],
    zero_=lambda m: [Sample(m(2, 3))],
    nan_to_num=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2), nan=1.0)],
    masked_fill=lambda m: [Sample(m(2, 3), m.mask(3), 1.5), Sample(m(2, 3), m.mask(2, 3), m())],
)
add_constant(
    heaviside=lambda m: [Sample(m.constant(2, 3), m.constant(3))],
    floor_divide=lambda m: [Sample(m.real(2, 3, grad=False), m.real(3, low=0.6, high=0.7, grad=False)), Sample(m.real(2, grad=False), 0.7)],
)
add_integer(
    **{
        name: lambda m: [Sample(m.integers(2, 3), m.integers(3)), Sample(m.integers(2), 3), Sample(m.mask(3), m.mask(3))]
        for name in _BITWISE
    },
    **{name: lambda m: [Sample(m.integers(2, 3), m.integers(3)), Sample(m.integers(2), 3)] for name in _SHIFTS},
    **{name: lambda m: [Sample(m.integers(2, 3), m.integers(3)), Sample(m.integers(2), m.integers())] for name in ("gcd", "lcm")},
    bitwise_not=lambda m: [Sample(m.integers(2, 3)), Sample(m.mask(3))],
)

# ---------------------------------------------------------------- activations and layers
unary("relu6", "selu", "softsign", "softplus", "tanhshrink")
add(
    celu=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 0.7)],
    elu=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 0.7), Sample(m.real(2, 3), 0.7, 1.2, 0.9)],
    hardtanh=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), -0.6, 0.4)],
    leaky_relu=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 0.3)],
    prelu=lambda m: [Sample(m.real(2, 3), m.real(1, low=0.1, high=0.5)), Sample(m.real(2, 3, 2), m.real(3, low=0.1, high=0.5))],
    threshold=lambda m: [Sample(m.real(2, 3), 0.1, -1.5)],
    **{name: lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 0.3)] for name in ("hardshrink", "softshrink")},
)
add_random(
    rrelu=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 0.2, 0.4, True)],
    **{
        name: lambda m: [Sample(m.real(2, 3), 0.4, True), Sample(m.real(2, 3), 0.4, False)]
        for name in ("dropout", "dropout_", "native_dropout")
    },
    **{name: lambda m: [Sample(m.real(2, 3), 0.4, True), Sample(m.real(2, 3), 0.4, False)] for name in ("alpha_dropout", "alpha_dropout_")},
    **{
        name: lambda m: [Sample(m.real(2, 3, 2), 0.4, True), Sample(m.real(2, 3, 2), 0.4, False)]
        for name in ("feature_dropout", "feature_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_")
    },
)
OPERATIONS["polygamma"].except_for["in_place"] = "its in-place form takes the operand first: an operation of its own"
add(polygamma_=lambda m: [Sample(m.real(2, 3, low=0.3, high=2), n) for n in (0, 1, 2)])
