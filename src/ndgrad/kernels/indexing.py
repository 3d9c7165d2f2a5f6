"""Reading by index tensors, and adding to the places that index tensors name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndgrad.base.types import Array, Shape
from ndgrad.kernels.striding import empty_in_order, memory_order

#: Below this many numbers `np.add.at` is quicker than setting up anything better.
FEW = 2000


def key_of(rank: int, dims: tuple[int, ...], indices: Any) -> tuple[Any, ...]:
    """NumPy's key for index arrays at some dims and everything of the others."""
    last = dims[-1] + 1 if dims else 0
    key: list[Any] = [slice(None)] * last
    for dim, index in zip(dims, indices, strict=True):
        key[dim] = index
    return tuple(key)


def row_major(x: Array) -> Array:
    """The array in row-major memory, with row-major strides even for dims of size 1."""
    x = np.ascontiguousarray(x)
    return x.reshape(-1).reshape(x.shape) if 1 in x.shape else x


def take(x: Array, index: Any, dim: int) -> Any:
    """`x` at the positions `index` of one dim, whose dims take that dim's place."""
    if x.flags.c_contiguous and index.flags.c_contiguous:
        return np.take(x, index, axis=dim)  # three times as fast, but it copies what is not contiguous
    return look_up(x, (index,), (dim,))


def look_up(x: Array, indices: Sequence[Any], dims: tuple[int, ...]) -> Array:
    """What index arrays name of `x`, in memory in the order in which `x` and the index arrays have their dims."""
    found = x[key_of(x.ndim, dims, indices)]
    if not found.size or (x.flags.c_contiguous and all(index.flags.c_contiguous for index in indices)):
        return row_major(found)
    first = result_position(dims)
    rest = [step for dim, step in enumerate(x.strides) if dim not in dims]
    count = found.ndim - len(rest)
    operands = [(*rest[:first], *(0,) * count, *rest[first:])]
    for index in indices:
        steps = (0,) * (count - index.ndim) + tuple(step if size > 1 else 0 for step, size in zip(index.strides, index.shape, strict=True))
        operands.append((*(0,) * first, *steps, *(0,) * (len(rest) - first)))
    return _arranged(found, operands)


def _arranged(found: Array, operands: Sequence[tuple[int, ...]]) -> Array:
    order = memory_order(found.shape, operands)
    if order == list(range(found.ndim))[::-1]:
        return row_major(found)
    out = empty_in_order(found.shape, order, found.dtype)
    out[...] = found
    return out


def look_up_mask(x: Array, mask: Array, dim: int) -> Array:
    """What a mask over the dims from `dim` on leaves of `x`, in memory in the order of the dims of `x`."""
    found = x[(slice(None),) * dim + (mask,)]
    if not found.size or x.flags.c_contiguous:
        return row_major(found)
    steps = (*x.strides[:dim], 0, *x.strides[dim + mask.ndim :])
    return _arranged(found, [steps])


def check_index(index: Any, size: int, dim: int) -> None:
    """Refuse positions that a dim does not have."""
    if index.size and (index.max() >= size or index.min() < -size):
        if not size:
            raise IndexError(f"index is out of bounds for dimension with size 0 (dimension {dim})")
        wrong = index[(index >= size) | (index < -size)].reshape(-1)[0] if index.ndim else index
        raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")


def counted_from_front(index: Any, size: int) -> Any:
    """Negative positions replaced by those they stand for."""
    if index.size and index.min() < 0:
        return np.where(index < 0, index + size, index)
    return index


def add_rows(target: Array, index: Any, rows: Array) -> None:
    """Add the rows (n, w) to the rows of `target` (m, w) that `index` (n) names; one that is named twice receives both."""
    kind = target.dtype
    count, width = rows.shape
    if count * width < FEW or kind.kind not in "fc" or kind.itemsize == 2:
        np.add.at(target, index, rows)
    elif width == 1 and kind.kind == "f":
        target[:, 0] += np.bincount(index, weights=rows[:, 0], minlength=len(target)).astype(kind, copy=False)
    elif width == 1:
        target[:, 0].real += np.bincount(index, weights=rows[:, 0].real, minlength=len(target))
        target[:, 0].imag += np.bincount(index, weights=rows[:, 0].imag, minlength=len(target))
    else:
        from scipy.sparse import csc_matrix

        ones = np.ones(count, rows.dtype)
        target += csc_matrix((ones, index, np.arange(count + 1)), shape=(len(target), count)) @ rows


def add_at_dim(target: Array, index: Any, values: Array, dim: int) -> None:
    """Add `values`, whose dims from `dim` on begin with those of `index`, to the positions `index` of one dim of `target`."""
    size = target.shape[dim]
    flat = counted_from_front(np.reshape(index, -1), size)
    if not target.size or not flat.size:
        return
    values = np.broadcast_to(values, (*target.shape[:dim], *np.shape(index), *target.shape[dim + 1 :]))
    grouped = values.reshape(*target.shape[:dim], flat.size, *target.shape[dim + 1 :])
    if dim == 0 and target.flags.c_contiguous:
        add_rows(target.reshape(size, -1), flat, grouped.reshape(flat.size, -1))
        return
    moved = np.moveaxis(target, dim, 0)
    out = np.zeros(moved.shape, target.dtype)
    add_rows(out.reshape(size, -1), flat, np.moveaxis(grouped, dim, 0).reshape(flat.size, -1))
    moved += out


def add_at_dims(target: Array, indices: Any, values: Any, dims: tuple[int, ...]) -> None:
    """Add `values` at the positions that several index tensors, one for each of `dims`, name together.

    `values` broadcasts to the shape that indexing gives.
    """
    if len(dims) == 1:
        add_at_dim(target, indices[0], values, dims[0])
        return
    sizes = [target.shape[dim] for dim in dims]
    common = np.broadcast_shapes(*(np.shape(index) for index in indices))
    place = np.zeros(common, np.int64)
    for index, size in zip(indices, sizes, strict=True):
        place = place * size + counted_from_front(index, size)
    others = [dim for dim in range(target.ndim) if dim not in dims]
    rest = tuple(target.shape[dim] for dim in others)
    first = result_position(dims)
    shape = (*rest[:first], *common, *rest[first:])
    values = np.broadcast_to(values, shape)
    # the common dims to the front, where the rows are
    front = np.moveaxis(values, range(first, first + len(common)), range(len(common)))
    rows = front.reshape(place.size, -1) if place.size and target.size else np.zeros((0, 0))
    if not rows.size:
        return
    moved = target.transpose(*dims, *others)
    if moved.flags.c_contiguous:
        add_rows(moved.reshape(-1, rows.shape[1]), place.reshape(-1), rows)
        return
    out = np.zeros(moved.shape, target.dtype)
    add_rows(out.reshape(-1, rows.shape[1]), place.reshape(-1), rows)
    moved += out


def result_position(dims: tuple[int, ...]) -> int:
    """Where the dims of the index tensors stand in the result: in place of theirs if those are neighbours, else in front."""
    return dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0


def index_shape(shape: Shape, indices: Any, dims: tuple[int, ...]) -> Shape:
    """The shape that indexing gives."""
    common = np.shape(indices[0]) if len(indices) == 1 else np.broadcast_shapes(*(np.shape(index) for index in indices))
    rest = tuple(size for dim, size in enumerate(shape) if dim not in dims)
    first = result_position(dims)
    return (*rest[:first], *common, *rest[first:])
