"""Python numbers as scalars of a dtype, by PyTorch's rules for what fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_C_NAMES = {
    "bool": "bool",
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int",
    "int64": "int64_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "float16": "at::Half",
    "float32": "float",
    "float64": "double",
}


_PYTHON = (float, int)
_LIMITS = {np.dtype(kind): float(np.finfo(kind).max) for kind in (np.float32, np.float64)}


def scalar_of(value: Any, kind: np.dtype[Any]) -> Any:
    """The number as a scalar of the dtype, or as it is where NumPy makes the same of it.

    Raises
    ------
    RuntimeError
        Where an integer is out of the dtype's range, or a complex number meets a real dtype.
    """
    if type(value) in _PYTHON and kind in _LIMITS:
        # the usual case: a Python number, which NumPy takes as it is, among floating ones
        limit = _LIMITS[kind]
        if -limit <= value <= limit:
            return value
    given: Any = np.asarray(value)
    fits = True
    if given.dtype.kind == "c" and kind.kind != "c":
        fits = given.imag == 0
        given = given.real
    if kind.kind in "iu" and given.dtype.kind in "iufO":
        limits = np.iinfo(kind)
        number = given.item()
        number = int(number) if number == number and abs(number) != float("inf") else None
        # negative numbers wrap around in unsigned types
        lowest = limits.min if kind.kind == "i" else -limits.max
        fits = fits and number is not None and lowest <= number <= limits.max
        given = np.asarray(number)
    elif kind.kind == "f" and kind.itemsize > 2 and given.dtype.kind in "iuf":
        number = float(given)
        fits = fits and (not np.isfinite(number) or abs(number) <= float(np.finfo(kind).max))
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {_C_NAMES.get(kind.name, kind.name)} without overflow: {value}")
    return given.astype(kind)[()]


def integer_kernel(ufunc: Any) -> Callable[..., Any]:
    """A ufunc of two integers as a kernel that refuses other numbers with an exception callers take for a refusal."""

    def kernel(x: Any, y: Any) -> Any:
        if x.dtype.kind in "fc":
            raise RuntimeError(f"{ufunc.__name__} is for integers, not for {x.dtype}")
        return ufunc(x, y)

    return kernel
