"""What a backward leaves behind in the nodes whose residuals it has used up, and what it tells whoever comes to them a second time."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from ndgrad.base.location import NOWHERE, Place, caller, describe, place

#: The functions of the engine in whose frames a backward runs, as their `self`.
traversals: set[CodeType] = set()


def running() -> Any:
    """The backward that this thread is running, the innermost one; None outside.

    It is found on the stack: few ask, and no backward has to say that it is there. It has `roots`, pairs of the edges that it began at
    and their g, and `order`, its nodes; where observers watch, also `starts`, the nodes it began at, the `node` whose turn it is, and
    `notes` that they may leave there.
    """
    frame: FrameType | None = caller(1)
    while frame is not None:
        if frame.f_code in traversals:
            return frame.f_locals["self"]
        frame = frame.f_back
    return None


class Freed:
    """Stands in a node for its residuals, once a backward has used them up: one for each call of backward.

    Whoever reads it as residuals finds that they are stale, so no pull has to ask for it, and the error is told which it is.

    Attributes
    ----------
    newest : the number that nodes had reached when the backward began.
    code, lasti : where it was called.
    """

    __slots__ = ("code", "lasti", "newest")

    newest: int
    code: CodeType | None
    lasti: int

    @property
    def place(self) -> Place:
        return self.code, self.lasti

    # a residual is a payload, a version cell and a version; the cell's first entry must be equal to the version
    def __iter__(self) -> Iterator[Any]:
        return iter((None, self, self))

    def __getitem__(self, index: Any) -> Any:
        return self

    def __len__(self) -> int:
        return 3

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "<freed>"


def explain(node: Any, freed: Freed) -> str:
    """Why a node's residuals are gone, and what to do: state carried from an earlier iteration, or two backwards through one graph."""
    by = describe(*freed.place)
    found = f"The first operation found without its saved values is {node.name()}, made at {node.where()}; the backward called at {by} "
    run = running()
    if run is None:
        return f"{found}used them up. Pass retain_graph=True to that call to keep them, or read them before it."
    crossings = boundary([edge.node_of() for edge, _ in run.roots if hasattr(edge, "node_of")], freed)
    again = same_line(place(), freed.place)
    if crossings:
        return f"{found}used them up.\n{carried(crossings)}{'' if again else alternative(by)}"
    if again:
        return (
            f"{found}has used them up already, and nothing was recorded since then: the same graph is run again. Compute what you call "
            "backward() on anew each time, or pass retain_graph=True to all calls but the last."
        )
    return (
        f"{found}used them up.\nTwo results share this graph, which was recorded before either backward(). Add them and call backward() "
        "once, (loss1 + loss2).backward(), or pass retain_graph=True to all calls but the last."
    )


def carried(crossings: list[tuple[Any, Any]]) -> str:
    """The edges by which what was recorded after the first backward depends on what was recorded before it, in words."""
    lines = [
        f"  {newer.name()} at {newer.where()} reads the result of {older.node_of().name()}, of shape {list(older.shape)}, made at "
        f"{older.where()}\n"
        for newer, older in crossings[:3]
    ]
    more = f"  and {len(crossings) - 3} more\n" if len(crossings) > 3 else ""
    return (
        "What was recorded after that backward depends on what was recorded before it, as happens when state is carried from one "
        f"iteration to the next:\n{''.join(lines)}{more}"
        "If the gradient is meant to end there, cut the graph: state = state.detach() before it is used again."
    )


def alternative(by: str) -> str:
    """What else it may be, where the two backwards were called on different lines."""
    return (
        f" If it is not (two losses of one forward pass), call backward() once on their sum, or pass retain_graph=True to the call at {by}."
    )


def same_line(one: Place, other: Place) -> bool:
    return one[0] is other[0] and one != NOWHERE and describe(*one) == describe(*other)


def boundary(roots: list[Any], freed: Freed) -> list[tuple[Any, Any]]:
    """The edges, each as (node, edge), from nodes newer than the backward that freed to those, not newer, that lead to what it freed."""
    seen = set(roots)
    found = list(roots)
    for node in found:  # which grows as we go
        for edge in node.parents:
            if hasattr(edge, "node_of") and edge.node_of() not in seen:
                seen.add(edge.node_of())
                found.append(edge.node_of())
    found.sort(key=lambda node: node.number)
    used: set[Any] = set()  # what was freed, and what leads there
    crossings: list[tuple[Any, Any]] = []
    for node in found:
        for edge in node.parents:
            if hasattr(edge, "node_of") and edge.node_of() in used:
                if node.number > freed.newest >= edge.node_of().number:
                    crossings.append((node, edge))
                else:
                    used.add(node)
        if node.saved is freed:
            used.add(node)
    return crossings
