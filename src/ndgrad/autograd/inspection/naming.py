"""What the caller calls its tensors, all of them at once: for pictures and reports."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from ndgrad.base.naming import named_in, named_in_frames
from ndgrad.core.tensor import LEAF, Tensor

#: A list's index, or a number between dots as modules have it.
INDEX = re.compile(r"\[|\.\d+(\.|$)")


class Names:
    """Names of leaves, by the leaf, and of results, by the node (or the node and the number of its output) that they came from."""

    def __init__(self, named: Iterable[tuple[str, Any]]) -> None:
        self.tensors: dict[int, list[str]] = {}
        self.results: dict[tuple[int, int], str] = {}
        for name, value in named:
            if not isinstance(value, Tensor):
                continue
            self.tensors.setdefault(id(value), []).append(name)
            node = value._node
            if node is not None and node is not LEAF:
                self.results.setdefault((id(node.node_of()), node.output_nr), name)
        #: The containers that hold a tensor which no variable holds.
        nameless = [names for names in self.tensors.values() if not any(map(str.isidentifier, names))]
        self.anonymous = {container(name) for names in nameless for name in names} - {""}

    def leaf(self, tensor: Tensor, *, several: bool = False) -> str:
        """The best name: a variable's own, then one with an index; "" without one.

        For one of `several` that belong together an index is best, and where others in the container have no other name: the variable is
        then likely that of a loop over them.
        """
        found = self.tensors.get(id(tensor), [""])
        indexed = [name for name in found if INDEX.search(name)]
        plain = [] if several else [name for name in found if name.isidentifier()]
        if plain:
            plain = [name for name in indexed if container(name) in self.anonymous] or plain
        return (plain or indexed or found)[0]

    def result(self, node: Any, number: int = 0) -> str:
        return self.results.get((id(node), number), "")


def container(name: str) -> str:
    """The expression up to its last index; empty if it has none."""
    return name.rpartition("[")[0]


def names_from(given: Any, frame: FrameType | None = None, *, outwards: bool = False) -> Names:
    """The names that were given, or else those of the variables of a frame and of its module.

    Parameters
    ----------
    given : a dict from names to tensors (or to containers of them), an object with `named_parameters`, or None.
    frame : where to look if nothing was given.
    outwards : whether to go on in the frames that called it.
    """
    if given is None:
        return Names(named_in_frames(frame, sys.maxsize if outwards else 1))
    named = getattr(given, "named_parameters", None)
    if callable(named):
        given = dict(named())
    if not isinstance(given, Mapping):
        raise TypeError(
            f"names must be a dict from names to tensors or an object with named_parameters(), not {type(given).__name__}; "
            "for instance names={'weight': w}"
        )
    return Names(named_in(given))
