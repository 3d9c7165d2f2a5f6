"""`make_tensor`: a tensor of random numbers for a test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.devices import check_device
from ndgrad.base.dtypes import BOOL, INTEGER, dtype, numpy_dtype
from ndgrad.base.shapes import as_shape, check_sizes
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor, wrap

#: Where the numbers come from unless a generator is given; seeded, so that a test gives the same numbers every time it runs alone.
shared = np.random.default_rng(0)


def make_tensor(
    *shape: Any,
    dtype: dtype,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """A tensor with elements drawn uniformly from [low, high), by default [-9, 9), for uint8 [0, 9), for bool both values.

    Parameters
    ----------
    low, high : for complex types the bounds of both parts.
    noncontiguous : every second element of wider memory; without effect on tensors of fewer than two elements.
    exclude_zero : zeros become the smallest positive number of the type, or 1.
    """
    check_device(device)
    sizes = check_sizes(as_shape(shape))
    kind = numpy_dtype(dtype)
    bounds = _bounds(dtype, kind, low, high)
    if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}")
    array = draw(generator or shared, sizes, dtype, kind, *bounds)
    if exclude_zero:
        array = np.where(array == 0, np.finfo(kind).tiny if kind.kind in "fc" else kind.type(1), array).astype(kind)
    if noncontiguous and array.size > 1:
        array = spread(array)
    out = wrap(array)
    if requires_grad:
        out.requires_grad = True
    return out


def _bounds(wanted: dtype, kind: np.dtype[Any], low: float | None, high: float | None) -> tuple[float, float]:
    least: float
    most: float
    if wanted.category == BOOL:
        lowest, highest, least, most = 0, 2, 0, 2
    elif wanted.category == INTEGER:
        whole = np.iinfo(kind)
        least, most = int(whole.min), int(whole.max)
        lowest, highest = (0 if least == 0 else -9), 10
    else:
        limits = np.finfo(kind)
        least, most = float(limits.min), float(limits.max)
        lowest, highest = -9, 9
    first = lowest if low is None else low
    last = highest if high is None else high
    if math.isnan(first) or math.isnan(last):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if first > last or (first == last and wanted.category < 2):
        raise ValueError(f"make_tensor() requires low < high, but got low={low} and high={high}")
    return max(first, least), min(last, most)


def draw(generator: np.random.Generator, sizes: tuple[int, ...], wanted: dtype, kind: np.dtype[Any], low: float, high: float) -> Array:
    if wanted.category == BOOL:
        return generator.integers(0, 2, sizes).astype(kind)
    if wanted.category == INTEGER:
        return generator.integers(math.ceil(low), math.ceil(high), sizes, dtype=kind)
    real = generator.uniform(low, high, sizes)
    if wanted.is_complex:
        return np.asarray(real + 1j * generator.uniform(low, high, sizes), kind)
    return np.asarray(real, kind)


def spread(array: Array) -> Array:
    """The same values as every second element of memory twice as wide."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]
