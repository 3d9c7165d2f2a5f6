"""Batching rules that several operations share: what `batch=` in a declaration can be told.

A rule is `(level, mapped, *operands, **params)`. Operands are tensors of the level below; the `mapped` ones have the examples' dim in
front, and so must the results. NotImplemented leaves a case to a loop over the examples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ndgrad.core.batching import BatchLevel, lined_up
from ndgrad.core.primitive import recorded

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
        return getattr(recorded, name)(*(lined_up(x, x._a.ndim - 1, rank) for x in every), **params)

    return rule


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
