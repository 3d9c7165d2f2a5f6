"""Special functions: in single precision written out in NumPy where SciPy takes ten times as long, else SciPy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.types import Array
from ndgrad.kernels.blocks import blockwise

# erf(x) = tanh(x * P(x * x)), because tanh forgives errors of a large argument: P was fitted to artanh(erf(x)) / x on [0, 4] so
# that the relative error of erf is least. Against exact values the result is off by at most 3 units in the last place.
_ERF = [
    *(1.786317066487797e-10, -8.465509182542519e-09, 1.5611402659487794e-07, -1.2886866898043081e-06, 1.325410835306684e-06),
    *(6.932357791811228e-05, -0.0005953113432042301, -0.00020665128249675035, 0.10277216136455536, 1.128379225730896),
]
# from here on tanh is exactly 1 in single precision, and beyond it the polynomial is none of erf's business
_ERF_END = 4.4
# and from here on the logistic function of the polynomial is exactly 0 or 1
_PHI_END = 5.0
_FEW = 32
_ROOT_HALF = 0.7071067811865476
_PEAK = 0.3989422804014327  # 1 / sqrt(2 pi), the normal density at 0


def _one_by_one(function: Callable[[float], float], x: Any) -> Any:
    """Few elements are done sooner by Python's own functions, in double precision, than by many NumPy calls."""
    return np.array([function(value) for value in np.ravel(x).tolist()], x.dtype).reshape(x.shape)


def _single(kernel: Any, x: Any) -> Any:
    """Run a blocked kernel in single precision."""
    found = blockwise(kernel, np.asarray(x, np.float32))
    return found.astype(x.dtype)[()] if not isinstance(x, np.ndarray) or x.dtype != np.float32 else found


def _artanh_erf(x: Array, end: float, out: Array) -> None:
    t = np.clip(x, -end, end)
    square = np.square(t)
    np.multiply(square, _ERF[0], out=out)
    out += _ERF[1]
    for coefficient in _ERF[2:]:
        out *= square
        out += coefficient
    out *= t


def _erf_block(x: Array, out: Array) -> None:
    _artanh_erf(x, _ERF_END, out)
    np.tanh(out, out=out)


def erf(x: Any) -> Any:
    """The error function."""
    if x.size <= _FEW:
        return _one_by_one(math.erf, x)
    if x.dtype != np.float64:
        return _single(_erf_block, x)
    from scipy import special

    return special.erf(x)


def _logistic(out: Array) -> None:
    """1 / (1 + exp(-2 t)) in place, which is (1 + tanh(t)) / 2 without the loss of places where tanh is near -1."""
    out *= -2
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def _phi_block(x: Array, out: Array) -> None:
    _artanh_erf(x * np.float32(_ROOT_HALF), _PHI_END, out)
    _logistic(out)


def normal_cdf(x: Any) -> Any:
    """The probability that a standard normal number is below `x`, from erf as PyTorch's GELU has it."""
    if x.size <= _FEW:
        return _one_by_one(lambda value: (math.erf(value * _ROOT_HALF) + 1) * 0.5, x)
    if x.dtype != np.float64:
        return _single(_phi_block, x)
    return (erf(x * _ROOT_HALF) + 1) * 0.5


def _gelu_block(x: Array, out: Array) -> None:
    _phi_block(x, out)
    out *= x


def gelu(x: Any) -> Any:
    """`x` times the probability that a standard normal number is below it."""
    if x.dtype != np.float64 and x.size > _FEW:
        return _single(_gelu_block, x)
    return normal_cdf(x) * x


def _gelu_slope_block(x: Array, out: Array) -> None:
    _phi_block(x, out)
    density = np.square(x)
    density *= -0.5
    np.exp(density, out=density)
    density *= x
    density *= _PEAK
    out += density


def gelu_slope(x: Any) -> Any:
    """The derivative of GELU."""
    if x.dtype != np.float64 and x.size > _FEW:
        return _single(_gelu_slope_block, x)
    return normal_cdf(x) + x * np.exp(np.square(x) * -0.5) * _PEAK


def _sigmoid_block(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), accurate in relative terms on both sides."""
    if x.size < 4096 or x.dtype.kind != "f":
        return np.reciprocal(np.exp(-x) + 1)
    return blockwise(_sigmoid_block, x)


def from_scipy(name: str, x: Any) -> Any:
    """A function of `scipy.special`, loaded when it is first called; half precision goes through single."""
    from scipy import special

    function = getattr(special, name)
    return function(x.astype(np.float32)).astype(np.float16) if x.dtype == np.float16 else function(x)


def erfc(x: Any) -> Any:
    return from_scipy("erfc", x)


def erfinv(x: Any) -> Any:
    return np.copysign(from_scipy("erfinv", x), x)  # of -0 too


def lgamma(x: Any) -> Any:
    found = from_scipy("gammaln", x)
    return np.where(np.isinf(x), np.abs(x), found)


def digamma(x: Any) -> Any:
    """The derivative of lgamma; at 0 minus or plus infinity by the sign of the 0, as its one-sided limits."""
    found = from_scipy("psi", x)
    return np.where(np.equal(x, 0), np.copysign(np.inf, -x), found).astype(x.dtype)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma."""
    from scipy import special

    return special.polygamma(n, x).astype(x.dtype)


_INNER, _CUBIC = 0.7978845608028654, 0.044715  # sqrt(2 / pi), and what GELU's approximation by tanh was fitted with


def _gelu_tanh_block(x: Array, out: Array) -> None:
    np.square(x, out=out)
    out *= _CUBIC * _INNER
    out += _INNER
    out *= x
    _logistic(out)
    out *= x


def gelu_tanh(x: Any) -> Any:
    """GELU by the approximation with tanh."""
    return _in_blocks(_gelu_tanh_block, x)


def _gelu_tanh_slope_block(x: Array, out: Array) -> None:
    square = np.square(x)
    share = square * (_CUBIC * _INNER)
    share += _INNER
    share *= x
    _logistic(share)
    # share + x * share' with share' = 2 * share * (1 - share) * inner'
    square *= 6 * _CUBIC * _INNER
    square += 2 * _INNER
    square *= x
    np.subtract(1, share, out=out)
    out *= square
    out += 1
    out *= share


def gelu_tanh_slope(x: Any) -> Any:
    """The derivative of that approximation."""
    return _in_blocks(_gelu_tanh_slope_block, x)


def _in_blocks(kernel: Any, x: Any) -> Any:
    return blockwise(kernel, x) if x.dtype == np.float64 else _single(kernel, x)


def _silu_block(x: Array, out: Array) -> None:
    _sigmoid_block(x, out)
    out *= x


def silu(x: Any) -> Any:
    """x * sigmoid(x)."""
    return x * sigmoid(x) if x.dtype.kind == "c" else _in_blocks(_silu_block, x)


def _silu_slope_block(x: Array, out: Array) -> None:
    sigmoid = np.empty_like(x)
    _sigmoid_block(x, sigmoid)
    np.subtract(1, sigmoid, out=out)
    out *= x
    out += 1
    out *= sigmoid


def silu_slope(x: Any) -> Any:
    """The derivative of `silu`."""
    if x.dtype.kind == "c":
        out = sigmoid(x)
        return out * (1 + x * (1 - out))
    return _in_blocks(_silu_slope_block, x)
