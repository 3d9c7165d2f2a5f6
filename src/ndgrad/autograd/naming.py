"""What the caller calls its tensors: names for messages and pictures, read from variables, containers and modules."""

from __future__ import annotations

import inspect
import re
import sys
from collections import deque
from collections.abc import Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

from ndgrad.base.location import inside
from ndgrad.core.tensor import LEAF, Tensor

#: How deep in containers and objects names are looked for, how many values are looked at in all, and by how many ways one is reached.
DEEPEST, MOST, WAYS = 4, 50_000, 3
#: A list's index, or a number between dots as modules have it.
INDEX = re.compile(r"\[|\.\d+(\.|$)")
#: What is never looked into.
CLOSED = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, FunctionType)


class Names:
    """Names of leaves, by the leaf, and of results, by the node (or the node and the number of its output) that they came from."""

    def __init__(self) -> None:
        self.tensors: dict[int, list[str]] = {}
        self.results: dict[tuple[int, int], str] = {}
        self.anonymous: set[str] | None = None

    def add(self, tensor: Tensor, name: str) -> None:
        """Remember a name of a tensor."""
        self.tensors.setdefault(id(tensor), []).append(name)
        self.anonymous = None
        node = tensor._node
        if node is not None and node is not LEAF:
            self.results.setdefault((id(node.node_of()), node.output_nr), name)

    def leaf(self, tensor: Tensor, *, several: bool = False) -> str:
        """The best name: a variable's own, then one with an index; "" without one.

        For one of `several` that belong together an index is best, and where others in the container have no other name: the variable is
        then likely that of a loop over them.
        """
        found = self.tensors.get(id(tensor), [""])
        indexed = [name for name in found if INDEX.search(name)]
        plain = [] if several else [name for name in found if name.isidentifier()]
        if plain and indexed:
            if self.anonymous is None:
                self.anonymous = self.without_variables()
            plain = [name for name in indexed if container(name) in self.anonymous] or plain
        return (plain or indexed or found)[0]

    def without_variables(self) -> set[str]:
        """The containers that hold a tensor which no variable holds."""
        nameless = (names for names in self.tensors.values() if not any(map(str.isidentifier, names)))
        return {container(name) for names in nameless for name in names} - {""}

    def result(self, node: Any, number: int = 0) -> str:
        return self.results.get((id(node), number), "")


def container(name: str) -> str:
    """The expression up to its last index; empty if it has none."""
    return name.rpartition("[")[0]


def caller() -> FrameType | None:
    """The nearest frame that is not ndgrad's."""
    frame: FrameType | None = sys._getframe(1)  # the only way to see a caller
    while frame is not None and inside[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def variables(frame: FrameType) -> dict[str, Any]:
    """A copy of the local variables of a frame."""
    seen = frame.f_locals
    found = dict(seen)
    if sys.version_info < (3, 13) and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        seen.clear()  # which the frame keeps until it returns, and with it what the user deletes meanwhile
    return found


def names_from(given: Any, frame: FrameType | None = None, *, outwards: bool = False) -> Names:
    """The names that were given, or else those of the variables of a frame and of its module.

    Parameters
    ----------
    given : a dict from names to tensors (or to containers of them), an object with `named_parameters`, or None.
    frame : where to look if nothing was given.
    outwards : whether to go on in the frames that called it.
    """
    found = Names()
    if given is not None:
        named = getattr(given, "named_parameters", None)
        if callable(named):
            given = dict(named())
        if not isinstance(given, Mapping):
            raise TypeError(
                f"names must be a dict from names to tensors or an object with named_parameters(), not {type(given).__name__}; "
                "for instance names={'weight': w}"
            )
        search(found, dict(given))
        return found
    modules: list[dict[str, Any]] = []
    while frame is not None:
        if not inside[frame.f_code.co_filename]:
            search(found, variables(frame))
            if frame.f_globals not in modules[-1:]:
                modules.append(frame.f_globals)
        frame = frame.f_back if outwards else None
    for module in modules:
        search(found, dict(module))
    return found


def search(found: Names, namespace: dict[Any, Any]) -> None:
    """Add what the values of a namespace, and what is in them, are called; the shortest way to a tensor comes first."""
    queue: deque[tuple[str, Any, int]] = deque((str(name), value, 0) for name, value in namespace.items())
    queue = deque(sorted(queue, key=lambda entry: entry[0].startswith("_")))
    visits: dict[int, int] = {}
    looked = 0
    while queue and looked < MOST:
        name, value, depth = queue.popleft()
        looked += 1
        if isinstance(value, Tensor):
            found.add(value, name)
        elif depth < DEEPEST and not isinstance(value, CLOSED) and visits.get(id(value), 0) < WAYS:
            visits[id(value)] = visits.get(id(value), 0) + 1
            queue.extend((inner, element, depth + 1) for inner, element in contents(name, value))


def contents(name: str, value: Any) -> list[tuple[str, Any]]:
    """What is in a list, tuple, dict, module or plain object, with the expressions that lead there."""
    if isinstance(value, (list, tuple)):
        return [(f"{name}[{index}]", element) for index, element in enumerate(value[:MOST])]
    if type(value) is dict:
        return [(f"{name}[{key!r}]", element) for key, element in list(value.items())[:MOST]]
    if callable(getattr(type(value), "named_parameters", None)):
        try:
            return [(f"{name}.{inner}", parameter) for inner, parameter in value.named_parameters()]
        except Exception:  # somebody's own, called only because it has the name
            return []
    attributes = getattr(value, "__dict__", None)
    return [(f"{name}.{inner}", element) for inner, element in attributes.items()] if type(attributes) is dict else []
