"""Permutations and draws of categories, from the same words and by the same steps as torch's CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Array
from ndgrad.kernels.distributions import exponential_
from ndgrad.kernels.mersenne import Mersenne

# From this length on, the remainder of a 32-bit word would be visibly skewed, and torch takes another algorithm.
_LONG = (2**32 - 1) // 20
_BLOCK = 1 << 20


def randperm(engine: Mersenne, count: int, dtype: Any = np.int64) -> Array:
    """A random permutation of 0, ..., count - 1."""
    kind = np.dtype(dtype)
    if kind.kind not in "fiu" or kind in (np.uint16, np.uint32, np.uint64):
        raise NotImplementedError(f"randperm: not for {kind}")
    capacity = 2 ** (np.finfo(kind).nmant + 1) + 1 if kind.kind == "f" else int(np.iinfo(kind).max) + 1
    if not 0 <= count <= capacity:
        raise RuntimeError(f"randperm: a permutation of {count} numbers does not exist in {kind}")
    if count >= _LONG:
        return inside_out(_long_targets(engine, count)).astype(kind, copy=False)
    if count < 2:
        return np.zeros(count, kind)
    targets = engine.random32(count - 1)
    targets %= np.arange(count, 1, -1, dtype=np.uint32)
    targets += np.arange(count - 1, dtype=np.uint32)
    return swapped(targets.astype(np.int64)).astype(kind, copy=False)


def swapped(targets: Array) -> Array:
    """What `for step, target in enumerate(targets)` makes of `range(len(targets) + 1)` by swapping the two places.

    Each target must be at or behind its step. A swap settles its own place for good and moves that place's old content to
    the target. So the content of a place is what the last swap that named it brought there, and the places that a value
    came through form chains, which are shortened for all places at once.
    """
    steps = np.arange(targets.size)
    content = np.arange(targets.size + 1)
    proper = np.flatnonzero(targets != steps)
    # Where a target is named more than once, the last assignment stays.
    content[targets[proper]] = proper
    _follow(content)
    result = np.empty(targets.size + 1, np.int64)
    result[:-1] = targets
    result[-1] = content[-1]
    earlier, later = _repetitions(targets)
    result[later] = content[earlier]
    return result


def inside_out(targets: Array) -> Array:
    """What `for step, target in enumerate(targets)` makes by copying `target` to the place `step`, and writing `step` there.

    Each target must be at or before its step.
    """
    steps = np.arange(targets.size)
    earlier, later = _repetitions(targets)
    # A step finds at its target what the last step with that target wrote; failing that, what the target began with.
    origin = targets.copy()
    origin[later] = later
    _follow(origin)
    values = steps.copy()
    values[later] = earlier
    result = values[origin]
    # A later step that names the place overwrites it; again the last assignment stays.
    result[targets] = steps
    return result


def multinomial(engine: Mersenne, weights: Array, count: int, replacement: bool = False) -> Array:
    """`count` category numbers (int64) for each row of `weights`, one or two axes, not necessarily summing to one."""
    if weights.dtype.kind != "f":
        raise RuntimeError(f"multinomial: weights of {weights.dtype} are no floating numbers")
    if weights.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: weights need one or two axes, not {weights.ndim}")
    if count <= 0 or (not replacement and count > weights.shape[-1]):
        raise RuntimeError(f"multinomial: cannot take {count} of {weights.shape[-1]} categories")
    if not np.all(np.isfinite(weights) & (weights >= 0)):
        raise RuntimeError("multinomial: a weight is negative, infinite or NaN")
    if not np.all(weights.sum(-1, dtype=np.float64) > 0):
        raise RuntimeError("multinomial: the weights of a row are all zero")
    if replacement and count > 1:
        return _with_replacement(engine, weights, count)
    # The order of weight over exponential sample is a draw without replacement.
    # In the weights' own order of axes, and row by row where one row stands for all.
    times = exponential_(engine, np.empty_like(weights, order="C" if 0 in weights.strides else "K"))
    with np.errstate(all="ignore"):
        scores = weights / times
    if count == 1:
        winners: Array = scores.argmax(-1, keepdims=True)
        return winners
    return np.argsort(-scores, axis=-1, kind="stable")[..., :count]


def _with_replacement(engine: Mersenne, weights: Array, count: int) -> Array:
    rows = np.atleast_2d(weights)
    cumulative: Array = np.cumsum(rows, axis=1, dtype=np.float64 if weights.dtype == np.float64 else np.float32)
    cumulative /= cumulative[:, -1:].copy()
    cumulative[:, -1] = 1
    numbers = engine.random64(len(rows) * count) & np.uint64(2**53 - 1)
    samples = numbers.reshape(len(rows), count) * 2.0**-53
    low = np.zeros(samples.shape, np.int64)
    high = np.full(samples.shape, rows.shape[1], np.int64)
    while np.any(low < high):
        middle = (low + high) // 2
        below = np.take_along_axis(cumulative, np.minimum(middle, rows.shape[1] - 1), 1) < samples
        open_interval = low < high
        low = np.where(below & open_interval, middle + 1, low)
        high = np.where(~below & open_interval, middle, high)
    return low.reshape((*weights.shape[:-1], count))


def _long_targets(engine: Mersenne, count: int) -> Array:
    targets = np.empty(count, np.int64)
    with engine.lock:
        for begin in range(0, count, _BLOCK):
            end = min(begin + _BLOCK, count)
            targets[begin:end] = engine.random64(end - begin) % np.arange(begin + 1, end + 1, dtype=np.uint64)
    return targets


def _follow(link: Array) -> None:
    """Replace each link by the end of its chain, in place; an end links to itself."""
    active = np.flatnonzero(link != np.arange(link.size))
    while active.size:
        current = link[active]
        following = link[current]
        link[active] = following
        active = active[following != current]


def _repetitions(targets: Array) -> tuple[Array, Array]:
    """Pairs of consecutive steps that have the same target."""
    bits = targets.size.bit_length()
    # Sorting target and step as one number is several times faster than a stable argsort.
    keys = targets << bits
    keys |= np.arange(targets.size)
    keys.sort()
    steps = keys & ((1 << bits) - 1)
    keys >>= bits
    same = np.flatnonzero(keys[1:] == keys[:-1])
    return steps[same], steps[same + 1]
