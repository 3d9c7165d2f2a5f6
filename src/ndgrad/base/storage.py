"""Where in memory an array is: whose memory it looks at, where it begins and in which steps it goes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.shapes import contiguous_strides
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


def element_strides(array: Any) -> tuple[int, ...]:
    """Strides in elements; row-major ones for an empty array, to which NumPy may have given none."""
    steps: tuple[int, ...] = array.strides
    if array.size == 0 and not any(steps):
        return contiguous_strides(array.shape)
    width = array.itemsize
    return tuple(step // width for step in steps)
