"""Powers: NumPy's general float32 power costs as much as hundreds of multiplications, so the usual exponents get their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_by_exponent: dict[Any, Callable[[Any], Any]] = {
    0: np.ones_like,
    1: np.positive,
    2: np.square,
    3: lambda x: np.square(x) * x,
    4: lambda x: np.square(np.square(x)),
    0.5: np.sqrt,
    -0.5: lambda x: np.reciprocal(np.sqrt(x)),
    -1: np.reciprocal,
    -2: lambda x: np.reciprocal(np.square(x)),
}


def power(x: Any, y: Any) -> Any:
    """`x` to one power, a number (or an array that holds one)."""
    exponent = y.item() if hasattr(y, "item") else y
    kind = x.dtype
    if kind.kind in "fc" and kind.itemsize > 2:
        special = _by_exponent.get(exponent)
        if special is not None:
            return special(x)
    if kind.kind == "b":
        return x.copy() if exponent else np.ones_like(x)
    return np.power(x, y)


def power_of_number(x: Any, y: Any) -> Any:
    """The number `y` to the powers `x`."""
    return integer_power(y, x) if x.dtype.kind in "iu" else np.power(y, x)


def power_of_arrays(x: Any, y: Any) -> Any:
    """Each element to its own power."""
    return integer_power(x, y) if x.dtype.kind == "i" else np.power(x, y)


def integer_power(x: Any, y: Any) -> Any:
    """Integer powers, a negative exponent giving what is left of the fraction: 0 but for bases 1 and -1."""
    negative = np.less(y, 0)
    if not np.any(negative):
        return np.power(x, y)
    found = np.power(x, np.where(negative, 0, y))
    fraction = np.where(np.equal(x, 1), 1, np.where(np.equal(x, -1), 1 - 2 * (np.asarray(y) & 1), 0))
    return np.where(negative, fraction, found).astype(found.dtype)
