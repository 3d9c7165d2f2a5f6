"""Padding: a constant, reflections, the edge, or the other end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops import ops
from ndgrad.ops.arguments import check_tensor, unsupported
from ndgrad.ops.layers import pad_constant


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """The tensor with elements added before and after along its last dims (or taken away, where the amount is negative).

    Parameters
    ----------
    pad : amounts before and after, two for each dim, from the last dim on.
    mode : "constant", "reflect", "replicate" or "circular".
    value : what to fill with in "constant" mode; 0 if left out.
    """
    check_tensor(input, "pad", "input", 1)
    amounts = [int(amount) for amount in pad]
    shape = input._a.shape
    if len(amounts) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2 (it is {len(amounts)})")
    if len(amounts) > 2 * len(shape):
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got padding length {len(amounts)} and input "
            f"of dimension {len(shape)}"
        )
    pads = [(0, 0)] * len(shape)
    for at in range(len(amounts) // 2):
        pads[-1 - at] = (amounts[2 * at], amounts[2 * at + 1])
    if mode == "constant":
        for size, (before, after) in zip(shape, pads, strict=True):
            if size + before + after < 0:
                raise RuntimeError(f"The input size {size}, plus negative padding {before} and {after}, resulted in a negative output size")
        return pad_constant(input, pads=tuple(pads), value=0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}; the modes are constant, reflect, replicate and circular")
    if len(amounts) // 2 not in (1, 2, 3) or not len(amounts) // 2 <= len(shape) - 1 <= len(amounts) // 2 + 1:
        raise NotImplementedError(
            f"Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now; got {len(amounts)} amounts for {len(shape)} dims"
        )
    if input._a.dtype.kind == "b" and mode != "circular":
        unsupported(f"{'reflection' if mode == 'reflect' else 'replication'}_pad{len(amounts) // 2}d", input.dtype)
    out = input
    for dim, (before, after) in enumerate(pads):
        if before or after:
            out = ops.index_select(out, dim, wrap(_positions(input, dim, before, after, mode)))
    return out


def _positions(input: Tensor, dim: int, before: int, after: int, mode: str) -> Any:
    """Which element of the dim stands at each place of the padded one."""
    size = input._a.shape[dim]
    if mode == "reflect":
        if before >= size or after >= size:
            raise RuntimeError(
                f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({before}, {after}) at "
                f"dimension {dim} of input {list(input._a.shape)}"
            )
    elif mode == "circular" and (before > size or after > size):
        raise RuntimeError(f"Padding value causes wrapping around more than once. (({before}, {after}) at dimension {dim} of size {size})")
    if mode == "circular":  # what is taken away is gone before the rest is repeated
        kept = np.arange(max(-before, 0), size - max(-after, 0))
        return kept[np.arange(-max(before, 0), kept.size + max(after, 0)) % kept.size]
    places = np.arange(-before, size + after)
    if mode == "replicate":
        return np.clip(places, 0, size - 1)
    places = np.abs(places)
    return np.where(places >= size, 2 * (size - 1) - places, places)
