"""Batching rules of indexing: where the examples' dim stands below, and where NumPy puts it in what is read or written.

If index tensors differ between examples, one more of them counts the examples. NumPy puts the dims of index tensors where the first of
them stands if they are neighbours, and in front if they are not; one more index, or one more dim, may change which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ndgrad.core.batches import varies
from ndgrad.core.batching import BatchLevel, lined_up
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels.indexing import result_position
from ndgrad.ops.batch_rules import viewed

BOOLEAN_MASK = (
    "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing with a boolean mask. "
    "Each example would have a result of another length: write torch.where(mask, a, b), or for a sum (x * mask).sum()."
)


class Places:
    """What index tensors name of a tensor below, which has the examples' dim in front if `x_mapped`.

    Attributes
    ----------
    dims, indices : the same places below.
    order : the dims of what is read below, in the order in which the result has them.
    rank : how many dims one example's result has.
    """

    def __init__(
        self, level: BatchLevel, x_rank: int, x_mapped: bool, indices: Sequence[Tensor], mapped: Sequence[bool], dims: tuple[int, ...]
    ) -> None:
        ranks = [index._a.ndim - flag for index, flag in zip(indices, mapped, strict=True)]
        width = max(ranks)
        first = result_position(dims)
        others = x_rank - len(dims)
        self.rank = others + width
        if True in mapped:
            self.indices = [lined_up(index, width) if flag else index for index, flag in zip(indices, mapped, strict=True)]
            self.dims = dims
            start = first
            if x_mapped:
                counter = wrap(np.arange(level.size).reshape(level.size, *(1,) * width))
                self.indices = [counter, *self.indices]
                self.dims = (0, *(dim + 1 for dim in dims))
                start = 0
            named = list(range(start, start + width + 1))
        else:
            self.indices = list(indices)
            self.dims = tuple(dim + 1 for dim in dims)
            start = result_position(self.dims)
            named = [0 if start else width, *range(start, start + width)]
        rest = [dim for dim in range(others + width + 1) if dim not in named]
        self.order = (named[0], *rest[:first], *named[1:], *rest[first:])
        self.usual = self.order == tuple(range(len(self.order)))

    def read(self, found: Any) -> Any:
        """What was read below, with its dims in their places."""
        return found if self.usual else recorded.permute_dims(found, dims=self.order)

    def written(self, level: BatchLevel, value: Any, mapped: bool) -> Any:
        """What is to be written for each example, with its dims as they are below."""
        if self.usual:
            return lined_up(value, self.rank) if mapped else value
        value = viewed(value if mapped else level.spread(value), self.rank)
        return recorded.permute_dims(value, dims=tuple(self.order.index(dim) for dim in range(len(self.order))))


def reading(primitives: Callable[[int], Any]) -> Callable[..., Any]:
    """The rule of what reads at several index tensors; `primitives` knows the primitives for a number of them."""

    def rule(level: BatchLevel, mapped: list[bool], x: Any, *indices: Any, dims: tuple[int, ...]) -> Any:
        places = Places(level, x._a.ndim - mapped[0], mapped[0], indices, mapped[1:], dims)
        return places.read(primitives(len(places.dims))[0](x, *places.indices, dims=places.dims))

    return rule


def adding(primitives: Callable[[int], Any]) -> Callable[..., Any]:
    """The rule of its transpose."""

    def rule(level: BatchLevel, mapped: list[bool], x: Any, *indices: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
        places = Places(level, len(shape), True, indices, mapped[1:], dims)
        x = places.written(level, x, mapped[0])
        return primitives(len(places.dims))[1](x, *places.indices, shape=(level.size, *shape), dims=places.dims)

    return rule


def writing(primitives: Callable[[int], Any]) -> Callable[..., Any]:
    """The rule of what writes there."""

    def rule(level: BatchLevel, mapped: list[bool], x: Any, value: Any, *indices: Any, dims: tuple[int, ...], accumulate: bool) -> Any:
        if not mapped[0]:
            x = level.spread(x)
        places = Places(level, x._a.ndim - 1, True, indices, mapped[2:], dims)
        value = places.written(level, value, mapped[1])
        return primitives(len(places.dims))[2](x, value, *places.indices, dims=places.dims, accumulate=accumulate)

    return rule


# ---------------------------------------------------------------- masks
def refuse_mask() -> NoReturn:
    raise RuntimeError(BOOLEAN_MASK)


def reading_mask(level: BatchLevel, mapped: list[bool], x: Any, mask: Any, dim: int) -> Any:
    if mapped[1]:
        refuse_mask()
    return recorded.index_mask(x, mask, dim=dim + 1)


def adding_mask(level: BatchLevel, mapped: list[bool], x: Any, mask: Any, shape: tuple[int, ...], dim: int) -> Any:
    if mapped[1]:
        refuse_mask()
    return recorded.index_mask_backward(x, mask, shape=(level.size, *shape), dim=dim + 1)


def writing_mask(level: BatchLevel, mapped: list[bool], x: Any, value: Any, mask: Any, dim: int) -> Any:
    if mapped[2]:
        refuse_mask()
    if not mapped[0]:
        x = level.spread(x)
    if mapped[1]:
        value = lined_up(value, x._a.ndim - mask._a.ndim)
    return recorded.index_put_mask(x, value, mask, dim=dim + 1)


def selecting(level: BatchLevel, mapped: list[bool], x: Any, mask: Any) -> Any:
    """The rule of `masked_select`, whose mask has the shape of its operand."""
    if mapped[1]:
        raise RuntimeError(
            "vmap: Attempted to vmap over `mask` in torch.masked_select(self, mask) We cannot support this because for each batch this "
            "would return a differently shaped Tensor. Write torch.where(mask, a, b), or for a sum (x * mask).sum()."
        )
    return recorded.index_mask(x, mask, dim=1)


def masked(x: Tensor, value: Tensor, mask: Tensor, dim: int) -> Tensor | None:
    """`x` with `value` where a mask over the dims from `dim` on holds, if the value is the same for all places that the mask names."""
    rank, own = x._a.ndim - dim - mask._a.ndim, value._a.shape
    behind = len(own) - rank
    if behind > 0:
        if own[behind - 1] != 1:
            return None
        value = value.reshape(*own[: behind - 1], *(1,) * mask._a.ndim, *own[behind:])
    return recorded.where(mask.reshape(*mask._a.shape, *(1,) * rank), value, x)


def differs(tensor: Tensor) -> bool:
    """Whether the tensor is another one for each example of some `vmap`."""
    return varies(tensor._a)
