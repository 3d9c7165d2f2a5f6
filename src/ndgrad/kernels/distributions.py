"""Random fills that consume a `Mersenne` stream as torch's CPU kernels do, and so produce torch's numbers.

Functions whose name ends in an underscore overwrite `out` and return it. They write in the order of the memory, largest
stride first, not in the order of the indices: a transposed view is filled as its base would be, as torch does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.types import Array
from ndgrad.kernels import cephes
from ndgrad.kernels.fused import fused_multiply_add
from ndgrad.kernels.mersenne import Mersenne

# Temporaries of this many elements stay in the cache; a multiple of 16, the unit of the vectorised normal fill.
_BLOCK = 1 << 14
_LARGEST = {np.dtype(kind): float(np.finfo(kind).max) for kind in (np.float16, np.float32, np.float64)}
_TWO_PI = 2.0 * math.pi
_LOWEST, _WRAP = -(2**63), 2**64 - 1
_DRAWN_32_BITS = 2**28


def uniform_(engine: Mersenne, out: Array, low: float = 0.0, high: float = 1.0) -> Array:
    """Fill with uniform samples of [low, high); a complex array takes them for both parts."""
    kind = _real_kind(out, "uniform_", complex_too=True)
    largest = _LARGEST[kind]
    for name, bound in (("low", low), ("high", high)):
        if not -largest <= bound <= largest:
            raise RuntimeError(f"uniform_: {name}={bound} does not fit in {kind}")
    if low > high or high - low > largest:
        raise RuntimeError(f"uniform_: the interval from {low} to {high} is empty, or too wide for {kind}")
    working = np.dtype(np.float64) if kind == np.float64 else np.dtype(np.float32)
    start, stop = working.type(low), working.type(high)
    width, first, last = float(stop - start), kind.type(low), kind.type(high)
    reaches_end = (low, high) != (0.0, 1.0) or kind == np.float16

    def draw(begin: int, end: int) -> Array:
        values = fused_multiply_add(_unit(engine, end - begin, working), width, float(start))
        if reaches_end:
            values = values.astype(kind, copy=False)
            values[values == last] = first
        return values

    return _emit(engine, out, draw)


def normal_(engine: Mersenne, out: Array, mean: float = 0.0, std: float = 1.0) -> Array:
    """Fill with normal samples; the parts of a complex array have `std / sqrt(2)` each, and both have `mean`.

    From 16 numbers on, a contiguous array is filled in groups of 16 in its own precision; any other array takes pairs in
    double precision, and leaves half a pair to the next such fill.
    """
    kind = _real_kind(out, "normal_", complex_too=True)
    _require(std >= 0, f"normal_: std={std} is negative")
    if np.iscomplexobj(out):
        std = std / math.sqrt(2.0)
    real_size = out.size * (2 if np.iscomplexobj(out) else 1)
    if real_size < 16 or not out.flags.c_contiguous:
        return _emit(engine, out, lambda begin, end: fused_multiply_add(_standard_normals(engine, end - begin), std, mean))
    flat = out.reshape(-1).view(kind)
    working = np.dtype(np.float64) if kind == np.float64 else np.dtype(np.float32)
    rest = real_size % 16
    with engine.lock, np.errstate(all="ignore"):
        for begin in range(0, real_size - rest, _BLOCK):
            end = min(begin + _BLOCK, real_size - rest)
            unit = _unit(engine, end - begin, working)
            if rest and end + rest == real_size:
                # The rest is drawn and thrown away, except in half precision; then the last 16 are made anew.
                if kind == working:
                    engine.skip(rest * (working.itemsize // 4))
                unit = np.concatenate([unit, _unit(engine, 16, working)])
            samples = _sixteens(unit, mean, std)
            flat[begin:end] = samples[: end - begin]
            if samples.size > end - begin:
                flat[-16:] = samples[-16:]
    return out


def normal_elementwise_(engine: Mersenne, out: Array, mean: float | Array, std: float | Array) -> Array:
    """Fill with normal samples of which `mean`, `std` or both are arrays that broadcast to `out`."""
    if not isinstance(std, np.ndarray):
        normal_(engine, out, 0.0, std)
    else:
        _require(not std.size or bool(np.all(std >= 0)), "normal: std has a negative element")
        normal_(engine, out)
        np.multiply(out, std, out=out, casting="same_kind")
    shift = mean if isinstance(mean, np.ndarray) else out.dtype.type(mean)
    return np.add(out, shift, out=out, casting="same_kind")


def log_normal_(engine: Mersenne, out: Array, mean: float = 1.0, std: float = 2.0) -> Array:
    """Fill with the exponentials of normal samples."""
    _real_kind(out, "log_normal_")
    _require(std > 0, f"log_normal_: std={std} is not positive")
    return _emit(engine, out, lambda begin, end: np.exp(fused_multiply_add(_standard_normals(engine, end - begin), std, mean)))


def exponential_(engine: Mersenne, out: Array, rate: float = 1.0) -> Array:
    """Fill with exponential samples of the given rate."""
    _real_kind(out, "exponential_")
    _require(rate > 0, f"exponential_: the rate {rate} is not positive")
    return _emit(engine, out, lambda begin, end: -1.0 / rate * np.log1p(-_unit(engine, end - begin)))


def cauchy_(engine: Mersenne, out: Array, median: float = 0.0, sigma: float = 1.0) -> Array:
    """Fill with Cauchy samples."""
    _real_kind(out, "cauchy_")
    _require(sigma > 0, f"cauchy_: sigma={sigma} is not positive")
    return _emit(
        engine, out, lambda begin, end: fused_multiply_add(np.tan(np.pi * (_unit(engine, end - begin) - 0.5)), sigma, median)
    )


def geometric_(engine: Mersenne, out: Array, probability: float) -> Array:
    """Fill with the number of trials until the first success, in any real dtype but bool; small integers wrap around."""
    if out.dtype.kind not in "fiu":
        raise NotImplementedError(f"geometric_: not for {out.dtype}")
    _require(0 < probability < 1, f"geometric_: the probability {probability} is not inside (0, 1)")
    scale = math.log1p(-probability)

    def draw(begin: int, end: int) -> Array:
        trials = np.ceil(np.log(_unit(engine, end - begin)) / scale)
        return trials if out.dtype.kind == "f" else trials.astype(np.int64)

    return _emit(engine, out, draw)


def bernoulli_(engine: Mersenne, out: Array, probability: float | Array = 0.5) -> Array:
    """Fill with ones and zeros, any real dtype or bool; `probability` may be a floating array that broadcasts to `out`."""
    if out.dtype.kind not in "fiub":
        raise NotImplementedError(f"bernoulli_: not for {out.dtype}")
    if not isinstance(probability, np.ndarray):
        _require(0 <= probability <= 1, f"bernoulli_: the probability {probability} is not in [0, 1]")
        # A sample k / 2**53 lies below p exactly where the integer k lies below ceil(p * 2**53).
        threshold = np.uint64(math.ceil(math.ldexp(probability, 53)))
        return _emit(engine, out, lambda begin, end: _low_bits(engine.random64(end - begin), 53) < threshold)
    if probability.dtype.kind != "f":
        raise NotImplementedError(f"bernoulli_: probabilities of {probability.dtype}")
    _require(bool(np.all((probability >= 0) & (probability <= 1))), "bernoulli_: a probability is not in [0, 1]")
    working = np.dtype(np.float64) if probability.dtype == np.float64 else np.dtype(np.float32)
    spread = np.broadcast_to(probability, out.shape).transpose(_memory_order(out)).reshape(-1)
    return _emit(engine, out, lambda begin, end: _unit(engine, end - begin, working) < spread[begin:end])


def random_(engine: Mersenne, out: Array, low: int | None = None, high: int | None = None) -> Array:
    """Fill with integers: of [low, high), of `low` up to the dtype's largest, or of the dtype's natural range.

    The natural range of a floating dtype ends at the last integer before its first gap. `low = -2**63` without `high` takes
    every value of 64 bits.
    """
    kind = out.dtype
    if kind.kind not in "fiub":
        raise NotImplementedError(f"random_: not for {kind}")
    if low is None:
        _require(high is None, "random_: an upper bound needs a lower one")
        if kind in (np.uint16, np.uint32, np.uint64):
            raise NotImplementedError(f"random_: {kind} needs bounds")
        return _integers(engine, out, kind in (np.int64, np.float64), 0, _largest(kind) + 1)
    if high is None and low == _LOWEST:
        if kind not in (np.int64, np.float64, np.float32):
            raise NotImplementedError(f"random_: {kind} has no full range of 64 bits")
        return _integers(engine, out, True, 0, 2**64)
    if high is not None:
        _require(low < high, f"random_: low={low} is not below high={high}")
    if kind.kind == "f":
        low, high = _representable(kind, low, high)
    last = _largest(kind) if high is None else high - 1
    _require(low <= last, f"random_: no integer from {low} to {last} exists in {kind}")
    _check_range(kind, low, last)
    count = last - low + 1
    return _integers(engine, out, count >= _DRAWN_32_BITS, low, count)


def _integers(engine: Mersenne, out: Array, wide: bool, low: int, count: int) -> Array:
    """Fill with `low` plus the remainder of 32- or 64-bit draws by `count`."""
    base = np.uint64(low & _WRAP)

    def draw(begin: int, end: int) -> Array:
        values = engine.random64(end - begin) if wide else engine.words(end - begin)
        if count & (count - 1) == 0:
            values &= np.uint64(count - 1)
        else:
            # NumPy divides by a scalar with SIMD instructions, but takes the remainder without.
            quotient = values // np.uint64(count)
            quotient *= np.uint64(count)
            values -= quotient
        if low:
            values += base
        return values.view(np.int64)

    return _emit(engine, out, draw)


def _representable(kind: np.dtype[Any], low: int, high: int | None) -> tuple[int, int | None]:
    """Move the bounds inwards to where rounding to `kind` cannot leave the interval."""
    gap = -np.finfo(kind).nmant
    _check_range(kind, low, low if high is None else high - 1)
    after = _rounded(kind, low + 1)
    if after < low:
        low = after + (1 << (abs(low + 1).bit_length() - 1 + gap))
    if high is not None:
        before = _rounded(kind, high - 1)
        if before >= high:
            high = before - (1 << (abs(high - 1).bit_length() - 1 + gap))
        _require(low < high, f"random_: no value of {kind} lies between the bounds")
    return low, high


def _rounded(kind: np.dtype[Any], number: int) -> int:
    rounded = int(kind.type(number))
    # Processors of the x86 family convert what leaves the 64 bits to the lowest integer.
    return rounded if rounded < 2**63 else _LOWEST


def _check_range(kind: np.dtype[Any], low: int, last: int) -> None:
    if kind.kind == "f":
        largest = int(np.finfo(kind).max)
        smallest = -largest
    else:
        smallest = 0 if kind.kind == "b" else int(np.iinfo(kind).min)
        # The bounds are signed 64-bit integers even for uint64.
        largest = 1 if kind.kind == "b" else min(int(np.iinfo(kind).max), 2**63 - 1)
    smallest, largest = max(smallest, _LOWEST), min(largest, 2**63 - 1)
    _require(smallest <= low and last <= largest, f"random_: the interval from {low} to {last} does not fit in {kind}")


def _largest(kind: np.dtype[Any]) -> int:
    """The last integer of the dtype's natural range."""
    if kind.kind == "f":
        last: int = 2 ** (np.finfo(kind).nmant + 1)
        return last
    return 1 if kind.kind == "b" else int(np.iinfo(kind).max)


def _unit(engine: Mersenne, count: int, working: np.dtype[Any] | None = None) -> Array:
    """Multiples of 2**-24 (float32, one word each) or 2**-53 (float64, the default, two words each) in [0, 1)."""
    if working == np.float32:
        numbers = _low_bits(engine.words(count), 24)
        return np.multiply(numbers.view(np.int64), np.float32(2.0**-24), dtype=np.float32, casting="unsafe")
    return np.multiply(_low_bits(engine.random64(count), 53).view(np.int64), 2.0**-53)


def _low_bits(numbers: Array, bits: int) -> Array:
    numbers &= np.uint64((1 << bits) - 1)
    return numbers


def _standard_normals(engine: Mersenne, count: int) -> Array:
    """Box-Muller pairs in double precision, beginning and ending with the half pair that the engine keeps."""
    values = np.empty(count)
    filled = 0
    if count and engine.spare_normal is not None:
        values[0], engine.spare_normal, filled = engine.spare_normal, None, 1
    pairs = (count - filled + 1) // 2
    if pairs:
        unit = _unit(engine, 2 * pairs)
        radius = np.sqrt(-2.0 * np.log1p(-unit[1::2]))
        angle = _TWO_PI * unit[::2]
        # The samples replace the uniforms they were made of.
        np.multiply(radius, np.cos(angle), out=unit[::2])
        np.multiply(radius, np.sin(angle), out=unit[1::2])
        values[filled:] = unit[: count - filled]
        if 2 * pairs > count - filled:
            engine.spare_normal = float(unit[-1])
    return values


def _sixteens(unit: Array, mean: float, std: float) -> Array:
    """Box-Muller in groups of 16 uniforms: the first eight give the radii, the last eight the angles."""
    working = unit.dtype.type
    groups = unit.reshape(-1, 2, 8)
    radius = working(1) - groups[:, 0]
    angle = groups[:, 1] * working(_TWO_PI)
    if working is np.float32:
        radius = cephes.log(radius)
        sine, cosine = cephes.sine_and_cosine(angle)
    else:
        radius = np.log(radius)
        sine, cosine = np.sin(angle), np.cos(angle)
    radius *= working(-2)
    np.sqrt(radius, out=radius)
    np.multiply(radius, cosine, out=groups[:, 0])
    np.multiply(radius, sine, out=groups[:, 1])
    return fused_multiply_add(unit, float(working(std)), float(working(mean)))


def _emit(engine: Mersenne, out: Array, draw: Callable[[int, int], Array]) -> Array:
    """Write `draw(begin, end)` block by block into `out`, in the order of its memory."""
    in_place = out.flags.c_contiguous
    flat = out.reshape(-1) if in_place else np.empty(out.size, out.dtype)
    numbers = flat.view(flat.real.dtype) if out.dtype.kind == "c" else flat
    # What overflows here overflows silently in torch as well.
    with engine.lock, np.errstate(all="ignore"):
        for begin in range(0, numbers.size, _BLOCK):
            end = min(begin + _BLOCK, numbers.size)
            numbers[begin:end] = draw(begin, end)
    if not in_place:
        view = out.transpose(_memory_order(out))
        view[...] = flat.reshape(view.shape)
    return out


def _memory_order(out: Array) -> list[int]:
    """The axes from the largest stride to the smallest."""
    return sorted(range(out.ndim), key=lambda axis: -abs(out.strides[axis]))


def _real_kind(out: Array, name: str, complex_too: bool = False) -> np.dtype[Any]:
    """The floating dtype of the array's numbers, or of the parts of its complex numbers."""
    kind = out.dtype
    if kind.kind == "c" and complex_too:
        kind = out.real.dtype
    if kind.kind != "f":
        raise NotImplementedError(f"{name}: not for {out.dtype}")
    return kind


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(message)
