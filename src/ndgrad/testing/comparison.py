"""`assert_close`: whether two tensors, or two structures of them, are equal up to rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np

from ndgrad.base.dtypes import bool_, complex32, complex64, complex128, dtype, float16, float32, float64, from_numpy_dtype
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor

#: Relative and absolute tolerance by dtype; types that are not listed must agree exactly.
TOLERANCES: dict[dtype, tuple[float, float]] = {
    float16: (1e-3, 1e-5),
    complex32: (1e-3, 1e-5),
    float32: (1.3e-6, 1e-5),
    complex64: (1.3e-6, 1e-5),
    float64: (1e-7, 1e-7),
    complex128: (1e-7, 1e-7),
}

Message = str | Callable[[str], str] | None


def default_tolerances(*kinds: dtype) -> tuple[float, float]:
    """The widest relative and the widest absolute tolerance of some dtypes."""
    pairs = [TOLERANCES.get(kind, (0.0, 0.0)) for kind in kinds]
    return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Message = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Tensors, arrays, numbers, None and nested sequences and mappings of them can be compared; shapes must agree, and dtypes unless
    `check_dtype` is False. `rtol` and `atol` are given both or neither. `msg` replaces the message, or is called with it.
    """
    if (rtol is None) is not (atol is None):
        missing, given = ("atol", "rtol") if atol is None else ("rtol", "atol")
        raise ValueError(f"rtol and atol must both be specified or both be unspecified, but got no {missing} while {given} was given")
    options = _Options(allow_subclasses, rtol, atol, equal_nan, check_dtype, check_stride)
    try:
        _compare(actual, expected, options, "")
    except AssertionError as error:
        text = msg(str(error)) if callable(msg) else msg or str(error)
        raise AssertionError(text) from None


class _Options:
    def __init__(
        self, allow_subclasses: bool, rtol: float | None, atol: float | None, equal_nan: bool, check_dtype: bool, check_stride: bool
    ) -> None:
        self.allow_subclasses = allow_subclasses
        self.rtol = rtol
        self.atol = atol
        self.equal_nan = equal_nan
        self.check_dtype = check_dtype
        self.check_stride = check_stride

    def tolerances(self, *kinds: dtype) -> tuple[float, float]:
        if self.rtol is None or self.atol is None:
            return default_tolerances(*kinds)
        return self.rtol, self.atol


def _compare(actual: Any, expected: Any, options: _Options, where: str) -> None:
    if isinstance(actual, Tensor) or isinstance(expected, Tensor):
        if not (isinstance(actual, Tensor) and isinstance(expected, Tensor)):
            raise TypeError(f"no comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}{where}")
        if not options.allow_subclasses and type(actual) is not type(expected):
            raise TypeError(f"no comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}{where}")
        _compare_tensors(actual, expected, options, where)
    elif isinstance(actual, (np.ndarray, np.generic)) and isinstance(expected, (np.ndarray, np.generic)):
        _compare_values(np.asarray(actual), np.asarray(expected), options, "Tensor-likes", where)
    elif isinstance(actual, bool) or isinstance(expected, bool):
        if bool(actual) is not bool(expected):
            raise AssertionError(f"Booleans mismatch: {actual} is not {expected}{where}")
    elif isinstance(actual, Number) and isinstance(expected, Number):
        _compare_numbers(actual, expected, options, where)
    elif actual is None or expected is None:
        if actual is not expected:
            raise AssertionError(f"None mismatch: {actual} is not {expected}{where}")
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        _compare_mappings(actual, expected, options, where)
    elif isinstance(actual, Sequence) and isinstance(expected, Sequence) and not isinstance(actual, str):
        if len(actual) != len(expected):
            raise AssertionError(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{where}")
        for position, (one, other) in enumerate(zip(actual, expected, strict=True)):
            _compare(one, other, options, f"{where}\n\nThe failure occurred for item [{position}]")
    else:
        raise TypeError(f"no comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}{where}")


def _compare_mappings(actual: Mapping[Any, Any], expected: Mapping[Any, Any], options: _Options, where: str) -> None:
    if set(actual) != set(expected):
        raise AssertionError(
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {sorted(map(str, set(expected) - set(actual)))}\n"
            f"Additional keys in the actual mapping: {sorted(map(str, set(actual) - set(expected)))}{where}"
        )
    for key in actual:
        _compare(actual[key], expected[key], options, f"{where}\n\nThe failure occurred for item [{key!r}]")


def _compare_tensors(actual: Tensor, expected: Tensor, options: _Options, where: str) -> None:
    if actual.shape != expected.shape:
        raise AssertionError(f"The values for attribute 'shape' do not match: {actual.shape} != {expected.shape}.{where}")
    if options.check_dtype and actual.dtype is not expected.dtype:
        raise AssertionError(f"The values for attribute 'dtype' do not match: {actual.dtype} != {expected.dtype}.{where}")
    if options.check_stride and actual.stride() != expected.stride():
        raise AssertionError(f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}.{where}")
    kind = "Scalars" if actual.ndim == 0 else "Tensor-likes"
    _compare_values(np.asarray(actual._a), np.asarray(expected._a), options, kind, where)


def _compare_numbers(actual: Any, expected: Any, options: _Options, where: str) -> None:
    if options.check_dtype and number_kind(actual) is not number_kind(expected):
        raise AssertionError(f"The (d)types do not match: {type(actual)} != {type(expected)}.{where}")
    options = _Options(True, *options.tolerances(number_kind(actual), number_kind(expected)), options.equal_nan, False, False)
    _compare_values(np.asarray(actual), np.asarray(expected), options, "Scalars", where)


def number_kind(number: Any) -> Any:
    """The dtype a Python number is compared in; ints, which have no tolerance, share bool's."""
    return complex128 if isinstance(number, complex) else float64 if isinstance(number, float) else bool_


def _compare_values(actual: Array, expected: Array, options: _Options, kind: str, where: str) -> None:
    if actual.shape != expected.shape:
        raise AssertionError(f"The values for attribute 'shape' do not match: {actual.shape} != {expected.shape}.{where}")
    if options.check_dtype and actual.dtype != expected.dtype:
        raise AssertionError(f"The values for attribute 'dtype' do not match: {actual.dtype} != {expected.dtype}.{where}")
    kinds = [from_numpy_dtype.get(array.dtype, bool_) for array in (actual, expected)]
    rtol, atol = options.tolerances(*kinds)
    wide = np.complex128 if "c" in actual.dtype.kind + expected.dtype.kind else np.float64
    exact = actual.dtype.kind not in "fc" and expected.dtype.kind not in "fc" and not rtol and not atol
    with np.errstate(all="ignore"):
        x, y = (actual, expected) if exact else (actual.astype(wide), expected.astype(wide))
        if exact:
            wrong = x != y
            difference = np.abs(x.astype(np.float64) - y.astype(np.float64))
        else:
            difference = np.abs(x - y)
            close = (x == y) | (np.isfinite(difference) & (difference <= atol + rtol * np.abs(y)))
            if options.equal_nan:
                close |= np.isnan(x) & np.isnan(y)
            wrong = ~close
        if not wrong.any():
            return
        relative = difference / np.abs(y.astype(wide))
    raise AssertionError(_explain(x, y, wrong, difference, relative, rtol, atol, kind) + where)


def _explain(x: Array, y: Array, wrong: Array, difference: Array, relative: Array, rtol: float, atol: float, kind: str) -> str:
    equality = "equal" if not rtol and not atol else "close"
    if kind == "Scalars":
        return (
            f"Scalars are not {equality}!\n\nExpected {y.item()} but got {x.item()}.\n"
            f"Absolute difference: {difference.item()}{_limit(atol)}\nRelative difference: {relative.item()}{_limit(rtol)}"
        )
    count = int(wrong.sum())
    lines = [f"{kind} are not {equality}!", "", f"Mismatched elements: {count} / {wrong.size} ({100 * count / wrong.size:.1f}%)"]
    for name, distance, limit in (("absolute", difference, atol), ("relative", relative, rtol)):
        at = np.unravel_index(
            int(np.argmax(np.where(np.isnan(distance), math.inf, distance) * wrong.astype(float).clip(1e-300))), wrong.shape
        )
        index = tuple(int(i) for i in at)
        lines.append(f"Greatest {name} difference: {distance[at]} at index {index}{_limit(limit)}")
    at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    lines.append(f"The first mismatch is at index {tuple(int(i) for i in at)}: {x[at]} where {y[at]} was expected")
    return "\n".join(lines)


def _limit(tolerance: float) -> str:
    return f" (up to {tolerance} allowed)" if tolerance else ""
