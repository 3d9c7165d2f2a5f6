"""Keeping some elements and zeroing the others, without branches and without touching what is kept.

`np.where` takes twenty times as long on a random mask as on a constant one, and a product with the mask turns the nan and inf
that should vanish into nan. The bits of a number times 0 or 1 are exact either way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.kernels.blocks import blockwise

#: Below this size `np.where` is faster whatever the mask.
_SMALL = 1000
#: Above it, a mask is worth doing without.
_LARGE = 1 << 18
_BITS = {2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def masked_keep(g: Any, mask: Any) -> Any:
    """`g` where the mask holds, else 0: new memory, of the shape that both broadcast to."""
    kind = g.dtype
    if kind.kind == "f":
        return np.multiply(g.view(_BITS[kind.itemsize]), mask).view(kind)
    if kind.kind in "iub":
        return np.multiply(g, mask, dtype=kind)
    return np.where(mask, g, kind.type(0))


def keep_positive(g: Any, x: Any) -> Any:
    """`g` where `x` is positive or nan, else 0; on large arrays by blocks, so that no mask of their size is made."""
    if g.size > _LARGE and g.dtype == x.dtype and g.shape == x.shape and g.dtype.kind == "f":
        return blockwise(_keep_positive_block, g, x)
    return masked_keep(g, np.logical_not(np.less_equal(x, 0)))


def _keep_positive_block(g: Any, x: Any, out: Any) -> None:
    mask = np.less_equal(x, 0)
    bits = _BITS[g.dtype.itemsize]
    np.multiply(g.view(bits), np.logical_not(mask, out=mask), out=out.view(bits))


def choose(mask: Any, x: Any, y: Any) -> Any:
    """`x` where the mask holds, else `y`: as `np.where`, but as fast on a random mask as on any other."""
    if getattr(mask, "size", 1) < _SMALL:
        return np.where(mask, x, y)
    like = x if hasattr(x, "dtype") else y
    kind = getattr(like, "dtype", None)
    if kind is None or kind.kind not in "fi" or getattr(y, "dtype", kind) != kind:
        return np.where(mask, x, y)
    bits = np.dtype(np.int8) if kind.itemsize == 1 else _BITS[kind.itemsize]
    x_bits, y_bits = ((value if hasattr(value, "dtype") else kind.type(value)).view(bits) for value in (x, y))
    difference = np.bitwise_xor(x_bits, y_bits)
    out = np.multiply(difference, mask)
    if isinstance(out, np.ndarray) and out.shape == np.broadcast_shapes(out.shape, y_bits.shape):
        return np.bitwise_xor(out, y_bits, out=out).view(kind)
    return np.bitwise_xor(out, y_bits).view(kind)
