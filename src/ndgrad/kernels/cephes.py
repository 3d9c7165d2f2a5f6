"""Single-precision logarithm, sine and cosine that round as the Cephes polynomials do in compiled code with fused products.

NumPy's own differ from them in the last places, and those would show in every normal sample. A fused product of float32
numbers is a double-precision one rounded once more, so the numbers live in float64 arrays and are rounded step by step.
"""

from __future__ import annotations

import numpy as np

from ndgrad.base.types import Array


def _single(*numbers: float) -> list[float]:
    return [float(np.float32(number)) for number in numbers]


_LOG = _single(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG_TWO_LOW, _LOG_TWO_HIGH = _single(-2.12194440e-4, 0.693359375)
_SINE = _single(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = _single(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
# A quarter of pi in three parts, the first two with so few bits that their multiples are exact.
_QUARTER_PI = _single(0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)
_ROOT_HALF = np.float32(0.707106781186547524)
_FOUR_OVER_PI = np.float32(1.27323954473516)


def log(x: Array) -> Array:
    """The natural logarithm of normal positive float32 numbers."""
    bits = x.view(np.int32)
    exponent = (bits >> 23) - 126
    fraction = ((bits & 0x007FFFFF) | 0x3F000000).view(np.float32)
    small = fraction < _ROOT_HALF
    exponent -= small
    power = exponent.astype(np.float64)
    t = fraction.astype(np.float64)
    t += t * small
    t -= 1.0
    rounding = np.empty_like(x)
    square = _round(t * t, rounding)
    y = _polynomial(_LOG, t, rounding)
    _round(np.multiply(y, t, out=y), rounding)
    _step(y, square, _round(power * _LOG_TWO_LOW, rounding), rounding)
    square *= 0.5
    _round(np.subtract(y, square, out=y), rounding)
    _round(np.add(y, t, out=y), rounding)
    power *= _LOG_TWO_HIGH
    y += power
    return y.astype(np.float32)


def sine_and_cosine(x: Array) -> tuple[Array, Array]:
    """Both of non-negative float32 angles below a few thousand."""
    # The nearest even number of eighths of a turn, so that what remains is at most one of them, to either side.
    octant = (x * _FOUR_OVER_PI).astype(np.int32)
    octant += 1
    octant &= ~1
    multiple, t, rounding = octant.astype(np.float64), x.astype(np.float64), np.empty_like(x)
    for part in _QUARTER_PI:
        t -= multiple * part
        _round(t, rounding)
    square = _round(t * t, rounding)

    cosine = _polynomial(_COSINE, square, rounding)
    _round(np.multiply(cosine, square, out=cosine), rounding)
    _step(cosine, square, square * -0.5, rounding)
    cosine += 1.0
    sine = _polynomial(_SINE, square, rounding)
    _round(np.multiply(sine, square, out=sine), rounding)
    sine *= t
    sine += t

    swapped = (octant & 2) != 0
    first, second = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    np.negative(first, out=first, where=(octant & 4) != 0)
    np.negative(second, out=second, where=((octant + 2) & 4) != 0)
    return first.astype(np.float32), second.astype(np.float32)


def _polynomial(coefficients: list[float], t: Array, rounding: Array) -> Array:
    y = t * coefficients[0]
    y += coefficients[1]
    _round(y, rounding)
    for coefficient in coefficients[2:]:
        _step(y, t, coefficient, rounding)
    return y


def _step(y: Array, factor: Array, addend: Array | float, rounding: Array) -> None:
    """`y * factor + addend` in place, rounded once: the product of two float32 numbers is exact in float64."""
    y *= factor
    y += addend
    _round(y, rounding)


def _round(y: Array, rounding: Array) -> Array:
    """Round `y` to single precision in place, by way of the float32 array `rounding`."""
    rounding[...] = y
    y[...] = rounding
    return y
