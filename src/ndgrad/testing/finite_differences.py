"""Derivatives by central differences in float64, which refuse points where there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.base.types import Array

#: Arrays in, arrays out. Complex arrays are seen as pairs of reals.
Function = Callable[[list[Array]], list[Array]]

STEP = 6e-6


class KinkError(AssertionError):
    """The sample lies where the function has no derivative, so nothing can be compared there."""


def as_reals(array: Any) -> Array:
    """A flat real vector with the same information: the real parts, and for a complex array the imaginary parts after them."""
    flat: Any = np.asarray(array).ravel()
    return np.concatenate([flat.real, flat.imag]) if flat.dtype.kind == "c" else flat.astype(np.float64)


def all_reals(arrays: Sequence[Any]) -> Array:
    return np.concatenate([as_reals(array) for array in arrays]) if arrays else np.zeros(0)


def from_reals(vector: Array, like: Any) -> Array:
    """The inverse of `as_reals`."""
    like = np.asarray(like)
    if like.dtype.kind == "c":
        vector = vector[: like.size] + 1j * vector[like.size :]
    return vector.reshape(like.shape).astype(like.dtype)


def split_reals(vector: Array, likes: Sequence[Any]) -> list[Array]:
    found: list[Array] = []
    start = 0
    for like in likes:
        like = np.asarray(like)
        width = like.size * (2 if like.dtype.kind == "c" else 1)
        found.append(from_reals(vector[start : start + width], like))
        start += width
    return found


def jacobian(function: Function, arrays: Sequence[Array], step: float = STEP) -> Array:
    """The real Jacobian, one column for each real number in `arrays`, one row for each in the outputs.

    Raises
    ------
    KinkError
        Where the slopes to the left and to the right differ.
    """
    point = all_reals(arrays)
    columns = [directional(function, arrays, unit(point.size, i), step) for i in range(point.size)]
    if not columns:
        return np.zeros((all_reals(function(list(arrays))).size, 0))
    return np.stack(columns, axis=1)


def unit(size: int, position: int) -> Array:
    vector = np.zeros(size)
    vector[position] = 1
    return vector


def directional(function: Function, arrays: Sequence[Array], direction: Array, step: float = STEP) -> Array:
    """The derivative of all outputs along one direction of all inputs, both as real vectors."""
    point = all_reals(arrays)
    here = all_reals(function(list(arrays)))
    ahead = all_reals(function(split_reals(point + step * direction, arrays)))
    behind = all_reals(function(split_reals(point - step * direction, arrays)))
    if ahead.shape != here.shape or behind.shape != here.shape:
        raise KinkError("the shape of the output depends on the values: the sample lies on an edge")
    right, left = (ahead - here) / step, (here - behind) / step
    slope = (ahead - behind) / (2 * step)
    scale = 1 + np.abs(slope)
    with np.errstate(invalid="ignore"):
        if not np.all(np.isfinite(slope)) or np.any(np.abs(right - left) > 0.02 * scale):
            worst = int(np.argmax(np.nan_to_num(np.abs(right - left) / scale, nan=np.inf)))
            raise KinkError(
                f"no derivative here: output {worst} has slope {left[worst]:.6g} to the left and {right[worst]:.6g} to the right; "
                "choose another sample"
            )
    return slope
