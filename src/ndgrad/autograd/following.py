"""Observers that follow tensors by identity: what forward mode, Taylor mode and sparsity patterns share.

A follower knows something of a tensor (its tangent, its power series, its pattern) and works out the same for whatever is computed of it.
It forgets a tensor that dies, and finds again what nodes have saved, so that it can follow a backward as well.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ndgrad.core.node import Node
from ndgrad.core.observers import Observer
from ndgrad.core.primitive import Primitive
from ndgrad.core.tensor import LEAF, Tensor, wrap

Known = TypeVar("Known")


class Follower(Observer, Generic[Known]):
    """What is known of tensors, by their identity; a tensor of which nothing is known is a constant."""

    follows_tensors = True

    def __init__(self) -> None:
        self.followed: dict[int, tuple[Any, Known]] = {}
        #: The same of what nodes have saved: by node and number of the residual.
        self.residuals: weakref.WeakKeyDictionary[Node, dict[int, Known]] = weakref.WeakKeyDictionary()

    def find(self, tensor: Any) -> Known | None:
        """What is known of a tensor; None of a constant."""
        found = self.followed.get(id(tensor))
        return None if found is None else found[1]

    def follow(self, tensor: Tensor, known: Known) -> None:
        """Remember something of a tensor, until it dies."""
        key, followed = id(tensor), self.followed
        followed[key] = (weakref.ref(tensor, lambda dead: followed.pop(key, None)), known)

    def clear(self) -> None:
        """Forget everything."""
        self.followed.clear()
        self.residuals.clear()

    def has_history(self) -> bool:
        """To be overridden: whether anything that is known of a tensor has been recorded."""
        raise NotImplementedError

    def note_residuals(self, primitive: Primitive, operands: Sequence[Any], outs: tuple[Any, ...]) -> None:
        """Remember the same of what the node of an operation has saved, for a backward that is to be followed."""
        made = outs[0]._node
        if made is None or made is LEAF:
            return
        node = made.node_of()
        if node.saved is None or getattr(node, "primitive", None) is not primitive:
            return
        for index, (is_output, position) in enumerate(primitive.sources):
            source = outs[position] if is_output else operands[position]
            known = self.of_residual(source)
            if known is not None:
                self.residuals.setdefault(node, {})[index] = known

    def of_residual(self, source: Any) -> Known | None:
        """What is known of a tensor that a node has saved, if it is one."""
        return self.find(source) if isinstance(source, Tensor) else None

    def restored(self, node: Any, index: int, tensor: Any) -> None:
        saved = self.residuals.get(node)
        if saved is not None and index in saved:
            self.follow(tensor, saved[index])


def in_dtype_of(x: Any, payload: Any) -> Any:
    """An operand in the dtype in which its kernel saw it."""
    return x if not isinstance(x, Tensor) or x._a.dtype == payload.dtype else x.to(wrap(payload).dtype)
