"""Multiplication and addition with one rounding, which compiled code gets from an instruction NumPy does not offer."""

from __future__ import annotations

import math

import numpy as np

from ndgrad.base.types import Array

_SPLITTER = 2.0**27 + 1.0
# Beyond these exponents, splitting a product into two halves could overflow or lose its small half.
_SAFE_EXPONENT = 900


def fused_multiply_add(x: Array, scale: float, shift: float) -> Array:
    """`x * scale + shift`, rounded once; float32 or float64, whose `scale` and `shift` are numbers of that dtype.

    Elements of `x` are taken to be neither huge nor tiny (between 2**-100 and 2**60, or 0), as random samples are.
    """
    working = x.dtype.type
    exact = shift == 0 or not (math.isfinite(scale) and math.isfinite(shift)) or abs(math.frexp(scale)[0]) in (0.0, 0.5)
    if exact:
        result: Array = x * working(scale) + working(shift)
        return result
    if working is np.float32:
        product = x.astype(np.float64) * scale
        total = product + shift
        # Rounding twice goes wrong only where the first rounding made a tie of the second.
        tied = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
        return _break_ties(total, product, shift, tied).astype(np.float32)
    exponent = math.frexp(max(abs(scale), abs(shift)))[1]
    if abs(exponent) > _SAFE_EXPONENT:
        inner = fused_multiply_add(x, math.ldexp(scale, -exponent), math.ldexp(shift, -exponent))
        return np.ldexp(inner, exponent)
    product, product_error = _product(x, scale)
    low, low_error = _sum(product_error, shift)
    high, high_error = _sum(product, low)
    rest = low_error + high_error
    # `rest` can only be a tie of the last addition where it is a power of two.
    tied = (rest.view(np.int64) & (2**52 - 1)) == 0
    return high + _break_ties(rest, high_error, low_error, tied)


def _break_ties(total: Array, left: Array, right: Array | float, tied: Array) -> Array:
    """Move the `tied` elements of `total`, the rounded `left + right`, off the tie, to the side of the exact sum."""
    where = np.flatnonzero(tied)
    if where.size:
        addend = right[where] if isinstance(right, np.ndarray) else right
        error = _sum(left[where], addend)[1]
        moved = np.nextafter(total[where], np.copysign(np.inf, error))
        total[where] = np.where(error != 0, moved, total[where])
    return total


def _sum(left: Array, right: Array | float) -> tuple[Array, Array]:
    """The rounded sum and its rounding error (Knuth)."""
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)


def _product(left: Array, right: float) -> tuple[Array, Array]:
    """The rounded product and its rounding error (Dekker)."""
    total = left * right
    top = _SPLITTER * left
    left_high = top - (top - left)
    left_low = left - left_high
    top_scalar = _SPLITTER * right
    right_high = top_scalar - (top_scalar - right)
    right_low = right - right_high
    error = left_high * right_high - total
    error += left_high * right_low
    error += left_low * right_high
    error += left_low * right_low
    return total, error
