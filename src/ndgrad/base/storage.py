"""Which array has the memory that another looks at, and where in memory an array begins: NumPy's side of PyTorch's storages."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Array


def owner_of(array: Array) -> Array:
    """The array whose memory a view looks at: the array itself if it is no view."""
    base: Any = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        elif not isinstance(getattr(base, "base", None), np.ndarray):  # as_strided puts an object in between
            break
        base = base.base
    return array


def address(array: Array) -> int:
    """Where the first element is, in bytes."""
    first: int = array.__array_interface__["data"][0]
    return first
