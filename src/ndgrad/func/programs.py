"""Whether two runs of a function recorded the same program: the same operations in the same order, on the same positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.core.node import Node
from ndgrad.core.tensor import LEAF, Tensor

Program = tuple[Any, ...]


def program_of(y: Tensor) -> Program:
    """The operations that y was computed by, for comparison with those of another run.

    Values are no part of it, positions are: those in parameters (`x[3]`) and those that were saved (`x[index]`).
    """
    nodes = sorted(reachable(y), key=lambda node: node.number)
    order = {id(node): at for at, node in enumerate(nodes)}
    return tuple(
        (type(node), node.shape, repr(node.params or None), positions(node), tuple(order.get(id(source(edge))) for edge in node.parents))
        for node in nodes
    )


def reachable(y: Tensor) -> list[Node]:
    """The nodes that y depends on."""
    found: dict[int, Node] = {}
    waiting: list[Any] = [None if y._node is LEAF else y._node]
    while waiting:
        node = source(waiting.pop())
        if node is not None and id(node) not in found:
            found[id(node)] = node
            waiting += node.parents
    return list(found.values())


def source(edge: Any) -> Node | None:
    """The node behind an edge; None behind that of a leaf."""
    return None if edge is None or isinstance(edge, Tensor) else edge.node_of()


def positions(node: Node) -> tuple[int, ...]:
    """What stands for the arrays of integers that a node saved."""
    saved = node.saved
    if not isinstance(saved, tuple):  # what a backward has freed is none
        return ()
    return tuple(hash(each.tobytes()) for each in saved[::3] if isinstance(each, np.ndarray) and each.dtype.kind in "iu")
