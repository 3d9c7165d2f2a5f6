"""Sizes, signs, rounding, and what numbers are: finite, real, not a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import get_default_dtype
from ndgrad.base.shapes import as_int
from ndgrad.core.inplace import ufunc_in_place
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arithmetic import zero
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import PROMOTE, elementwise, function, general, nondifferentiable
from ndgrad.ops.refusals import both, forbidden, holds_complex, unsupported


# ---------------------------------------------------------------- sizes and signs
def _direction_of(x: Any) -> Any:
    """-1, 0 or 1, and 0 for nan; a complex number divided by its size."""
    kind = x.dtype.kind
    if kind == "f":
        return np.subtract(np.greater(x, 0), np.less(x, 0), dtype=x.dtype)
    if kind == "c":
        size = np.abs(x)
        return np.where(size == 0, x.dtype.type(0), x / np.where(size == 0, 1, size))
    return np.logical_or(x, x) if kind == "b" else np.sign(x)


def _across(xp: Any, g: Any, x: Any, out: Any) -> Any:
    """What of `g` is perpendicular to a complex number's direction, over its size: self-adjoint over the reals. 0 for real numbers."""
    if not holds_complex(x):
        return xp.zero_map(g)
    size = xp.abs(x)
    along = out * xp.real(xp.conj(out) * g)
    return xp.where(xp.eq(size, 0), 0, (g - along) / size)


sgn = general(
    _direction_of,
    name="sgn",
    policy=PROMOTE,
    vjp=[_across],
    jvp=lambda xp, tangents, x, out: _across(xp, tangents[0], x, out),
    doc="The sign of every element: -1, 0 or 1; of a complex one the number of size 1 with its angle, or 0.",
)
sign = elementwise(
    _direction_of,
    name="sign",
    partials=[zero],
    check=forbidden(
        "c", "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.", NotImplementedError
    ),
    doc="-1, 0 or 1, the sign of every element.",
)


def _size_tangent(xp: Any, tangents: Any, x: Any) -> Any:
    direction = xp.sgn(x)
    return xp.real(xp.conj(direction) * tangents[0]) if holds_complex(x) else direction * tangents[0]


_abs = general(
    np.absolute,
    name="abs",
    policy=PROMOTE,
    public=False,
    check=unsupported("abs_cpu", "b"),
    vjp=[lambda xp, g, x: g * xp.sgn(x)],
    jvp=_size_tangent,
    doc="The absolute value of every element.",
)
_abs_in_place = ufunc_in_place(np.absolute, _abs, "abs_")


def _checked_abs_in_place(self: Tensor) -> Tensor:
    """In-place version of `abs`."""
    if self._a.dtype.kind == "c":
        raise RuntimeError(f"In-place abs is not supported for complex tensors. (The tensor's dtype is {self.dtype}; the result is real.)")
    return _abs_in_place(self)


abs = function(_abs, name="abs", aliases=("absolute",), in_place=_checked_abs_in_place, out=True, primitive=_abs)


def _angle(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.arctan2(x.imag, x.real)
    return np.where(np.isnan(x), x, np.less(x, 0) * x.dtype.type(np.pi)).astype(x.dtype)


def _by_angle(xp: Any, g: Any, x: Any) -> Any:
    if not holds_complex(x):
        return xp.zero_map(g)
    size = xp.abs(x)
    return xp.where(xp.eq(size, 0), 0, g * x / (size * size) * 1j)


def _angle_tangent(xp: Any, tangents: Any, x: Any) -> Any:
    if not holds_complex(x):
        return xp.zero_map(tangents[0])
    size = xp.abs(x)
    return xp.where(xp.eq(size, 0), 0, xp.imag(xp.conj(x) * tangents[0]) / (size * size))


angle_of = general(_angle, name="angle_of", node_name="AngleBackward0", vjp=[_by_angle], jvp=_angle_tangent, public=False)


@function(out=True, primitive=angle_of)
def angle(input: Tensor) -> Tensor:
    """The angle of every complex number with the positive reals; 0 or pi for real ones."""
    return angle_of(input if input._a.dtype.kind in "fc" else cast(input, get_default_dtype()))


# ---------------------------------------------------------------- rounding
def _integral(ufunc: Any) -> Any:
    """Integers are round already."""

    def kernel(x: Any) -> Any:
        return ufunc(x) if x.dtype.kind == "f" else np.positive(x)

    return kernel


def _rounding(ufunc: Any, name: str, doc: str, **facts: Any) -> Any:
    check = both(forbidden("c", f"{name} is not supported for complex inputs", NotImplementedError), unsupported(f"{name}_vml_cpu", "b"))
    return elementwise(_integral(ufunc), name=facts.pop("primitive", name), partials=[zero], check=check, doc=doc, **facts)


floor = _rounding(np.floor, "floor", "The largest integer that is not above the element.")
ceil = _rounding(np.ceil, "ceil", "The smallest integer that is not below the element.")
trunc = _rounding(np.trunc, "trunc", "The integer part of every element.", aliases=("fix",))
round_even = _rounding(
    np.rint, "round", "The nearest integer, the even one of two.", primitive="round_even", node_name="RoundBackward0", public=False
)


@elementwise(name="round_decimals", node_name="RoundBackward1", public=False, partials=[zero], check=unsupported("round_cpu", "buic"))
def round_decimals(x: Any, *, decimals: int) -> Any:
    """The nearest multiple of a power of ten."""
    # powers with positive exponents are exact
    power = x.dtype.type(10.0 ** np.abs(decimals))
    return np.rint(x * power) / power if decimals > 0 else np.rint(x / power) * power


@function(in_place=True, out=True, primitive=round_even)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, of two the even one; or the nearest number with that many decimals."""
    if type(decimals) is not int:
        decimals = as_int(decimals, "decimals")
    return round_even(input) if decimals == 0 else round_decimals(input, decimals=decimals)


@elementwise(
    partials=[lambda xp, g: g],
    check=both(forbidden("c", "frac is not supported for complex inputs", NotImplementedError), unsupported("frac_cpu", "bui")),
)
def frac(x: Any) -> Any:
    """What is left of every element without its integer part."""
    return x - np.trunc(x)


# ---------------------------------------------------------------- what numbers are
def _never(ufunc: Any, answer: bool = False) -> Any:
    """Integers are finite, so that only floating numbers need a look."""

    def kernel(x: Any) -> Any:
        return ufunc(x) if x.dtype.kind in "fc" else np.full_like(x, answer, np.bool_)

    return kernel


def _question(kernel: Any, name: str, doc: str, **facts: Any) -> Any:
    return nondifferentiable(kernel, name=name, in_place=False, out=name in ("isposinf", "isneginf", "signbit"), doc=doc, **facts)


def _only_real(name: str) -> Any:
    return forbidden("c", f"{name} does not support complex inputs.")


isnan = _question(_never(np.isnan), "isnan", "Whether each element is nan.")
isinf = _question(_never(np.isinf), "isinf", "Whether each element is infinite.")
isfinite = _question(_never(np.isfinite, True), "isfinite", "Whether each element is finite.")
isposinf = _question(_never(np.isposinf), "isposinf", "Whether each element is plus infinity.", check=_only_real("isposinf"))
isneginf = _question(_never(np.isneginf), "isneginf", "Whether each element is minus infinity.", check=_only_real("isneginf"))
isreal = _question(
    lambda x: np.isreal(x) if x.dtype.kind == "c" else np.full_like(x, True, np.bool_), "isreal", "Whether each imaginary part is 0."
)
signbit = _question(
    lambda x: np.signbit(x) if x.dtype.kind == "f" else np.less(x, 0),
    "signbit",
    "Whether the sign bit of each element is set, as it is for -0.",
    check=forbidden("c", "signbit is not implemented for complex tensors.", NotImplementedError),
)


# ---------------------------------------------------------------- numbers in place of nan and inf
def _finite(x: Any, limits: tuple[Any, ...]) -> Any:
    kind = x.dtype
    largest = np.finfo(kind).max
    nan, posinf, neginf = (default if given is None else given for given, default in zip(limits, (0.0, largest, -largest), strict=True))
    return np.nan_to_num(x, nan=kind.type(nan), posinf=kind.type(posinf), neginf=kind.type(neginf))


@elementwise(
    name="replace_nan",
    node_name="NanToNumBackward0",
    public=False,
    partials=[lambda xp, g, x: xp.masked_keep(g, xp.isfinite(x))],
)
def replace_nan(x: Any, *, limits: tuple[Any, ...]) -> Any:
    """Other numbers for nan, inf and -inf."""
    if x.dtype.kind == "f":
        return _finite(x, limits)
    if x.dtype.kind == "c":
        parts = np.empty(x.shape, x.dtype)
        parts.real, parts.imag = _finite(x.real, limits), _finite(x.imag, limits)
        return parts[()]
    return np.positive(x) if x.dtype.kind != "b" else np.logical_or(x, x)


@function(in_place=True, out=True, primitive=replace_nan)
def nan_to_num(input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """0 (or `nan`) for nan, and the dtype's limits (or `posinf`, `neginf`) for the infinities."""
    limits = (nan, posinf, neginf)
    for name, limit in zip(("nan", "posinf", "neginf"), limits, strict=True):
        if limit is not None and not isinstance(limit, (int, float, np.number)):
            raise TypeError(f"nan_to_num(): argument '{name}' must be float, not {type(limit).__name__}")
    return replace_nan(input, limits=limits)
