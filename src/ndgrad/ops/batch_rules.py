"""Batching rules that several operations share: what `batch=` in a declaration can be told.

A rule is `(level, mapped, *operands, **params)`. Operands are tensors of the level below; the `mapped` ones have the examples' dim in
front, and so must the results. NotImplemented leaves a case to a loop over the examples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from ndgrad.core.batching import BatchLevel, aligned, lined_up
from ndgrad.core.primitive import recorded
from ndgrad.kernels.losses import MEAN, NONE

BatchRule = Callable[..., Any]


def shifting(name: str) -> BatchRule:
    """Every operand gets the examples' dim, and parameters that name dims or a shape are shifted."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        if operands[0]._a.ndim == mapped[0]:
            return NotImplemented  # a tensor without dims, for which dim 0 means something else
        return getattr(recorded, name)(*level.every(operands, mapped), **level.shifted(params))

    return rule


def same(name: str) -> BatchRule:
    """The operation as it is: it works on the last dims, whatever stands before them."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        return getattr(recorded, name)(*level.every(operands, mapped), **params)

    return rule


def composed(function: Callable[..., Any]) -> BatchRule:
    """`function(xp, *operands, **params)` instead, which says by other operations what this one computes for one example."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        return level.composed(partial(function, recorded, **params), operands, mapped)

    return rule


def on_lined_up(name: str) -> BatchRule:
    """Operands that broadcast, among which the first one has the shape of the result."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        every = level.every(operands, mapped)
        rank = every[0]._a.ndim - 1
        return getattr(recorded, name)(*(lined_up(x, rank) for x in every), **params)

    return rule


def broadcasting(name: str) -> BatchRule:
    """Operands that broadcast to the result, of which some may be missing."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        return aligned(getattr(recorded, name).primitive, list(operands), mapped, params)

    return rule


def of_each(name: str, *missing: Any, reduction: str | None = None) -> BatchRule:
    """A loss with its reduction inside: that of all elements, reduced for each example. `missing` are operands that it is not given."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        how = params.pop("reduction", reduction)
        flags = [*mapped, *(False for _ in missing)]
        return reduced_each(aligned(getattr(recorded, name).primitive, [*operands, *missing], flags, {**params, "reduction": NONE}), how)

    return rule


def reduced_each(x: Any, reduction: str) -> Any:
    """The elements of each example, their sum or their mean."""
    if reduction == NONE:
        return x
    return recorded.mean_dims(flat(x), dims=(1,)) if reduction == MEAN else recorded.sum_dims(flat(x), dims=(1,))


def along(name: str, like: int | None = 0) -> BatchRule:
    """Operands of one rank that are walked along a dim; the result has the shape of one of them, or the one that a parameter says."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        shape = params["shape"] if like is None else operands[like]._a.shape[mapped[like] :]
        every = [viewed(x, 1) for x in level.every(operands, mapped)]
        if like is None:
            params["shape"] = shape or (1,)
        result = getattr(recorded, name)(*every, **level.shifted(params))
        return result if shape else recorded.reshape_to(result, shape=(level.size,))

    return rule


def dynamic(name: str, instead: str) -> BatchRule:
    """Refuse what would have another shape for each example."""

    def rule(level: BatchLevel, mapped: list[bool], *operands: Any, **params: Any) -> Any:
        refuse_dynamic(name, instead)

    return rule


def refuse_dynamic(name: str, instead: str) -> NoReturn:
    raise RuntimeError(
        "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over aten::"
        f"{name}. Each example would have a result of another shape: {instead}."
    )


def flat(x: Any) -> Any:
    """Each example as a vector."""
    shape = x._a.shape
    size = 1
    for width in shape[1:]:
        size *= width
    return recorded.reshape_to(x, shape=(shape[0], size))


def on_flat(name: str, **fixed: Any) -> BatchRule:
    """A reduction of one operand to one number: that of each example as a vector, along dim 1."""

    def rule(level: BatchLevel, mapped: list[bool], x: Any, **params: Any) -> Any:
        return getattr(recorded, name)(flat(x), **fixed, **params)

    return rule


def moved(x: Any, source: int, target: int) -> Any:
    """One dim put elsewhere, the others in order: a view."""
    if source == target:
        return x
    order = [dim for dim in range(x._a.ndim) if dim != source]
    order.insert(target, source)
    return recorded.permute_dims(x, dims=tuple(order))


def viewed(x: Any, rank: int) -> Any:
    """A view with dims of size 1 behind the examples' dim, so that one example has `rank` dims."""
    for _ in range(rank + 1 - x._a.ndim):
        x = recorded.unsqueeze_dim(x, dim=1)
    return x
