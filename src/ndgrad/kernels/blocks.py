"""Long elementwise kernels run block by block, so that their temporaries stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.types import Array

# smaller ones would spend their time in the calls, larger ones in main memory
_BLOCK = 1 << 16


def blockwise(kernel: Callable[..., None], *operands: Any) -> Any:
    """The result of `kernel(*blocks, out_block)` on operands of one shape and dtype, laid out in memory like the first."""
    first = np.asarray(operands[0])
    out = np.empty_like(first, subok=False)
    arrays = [np.asarray(operand) for operand in operands]
    if not (out.flags.c_contiguous and all(array.flags.c_contiguous for array in arrays)):
        # the order of the dims in which the result's memory is contiguous
        order = sorted(range(out.ndim), key=lambda axis: (-out.strides[axis], axis))
        arrays = [np.ascontiguousarray(array.transpose(order)) for array in arrays]
        target = out.transpose(order)
    else:
        target = out
    flat = target.reshape(-1)
    columns: list[Array] = [array.reshape(-1) for array in arrays]
    for start in range(0, flat.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        kernel(*(column[part] for column in columns), flat[part])
    if not np.shares_memory(flat, out):
        target[...] = flat.reshape(target.shape)
    return out if isinstance(operands[0], np.ndarray) else out[()]
