"""What the user's program calls an object: looked for in its frames, when an error is about to speak of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from ndgrad.base.location import caller, inside

#: How many frames are searched, and how many objects in each.
FRAMES, OBJECTS = 4, 5000


def name_in_program(value: object) -> str:
    """The name of a variable of the calling program that is this object, or of what it is in, such as `model.weights[1]`; or empty."""
    frame: FrameType | None = caller(1)
    searched = 0
    while frame is not None and searched < FRAMES:
        if not inside[frame.f_code.co_filename]:
            searched += 1
            found = find(value, frame.f_locals) or (find(value, frame.f_globals) if searched == 1 else "")
            if found:
                return found
        frame = frame.f_back
    return ""


def find(value: object, variables: Mapping[str, Any]) -> str:
    """The shortest way from one of several variables to an object: breadth first, without asking the objects for anything."""
    level = [(name, held) for name, held in list(variables.items()) if not name.startswith("__")]
    seen: set[int] = set()
    while level and len(seen) < OBJECTS:
        for name, held in level:
            if held is value:
                return name
        below: list[tuple[str, Any]] = []
        for name, held in level:
            if id(held) not in seen and len(seen) < OBJECTS:
                seen.add(id(held))
                below += inner(name, held)
        level = below
    return ""


def inner(name: str, held: Any) -> Iterator[tuple[str, Any]]:
    """What a container or an object of a class of the user's holds, each with what to write for it."""
    if type(held) is dict:
        for key, each in list(held.items()):
            yield f"{name}[{key!r}]", each
    elif type(held) in (list, tuple):
        for index, each in enumerate(held):
            yield f"{name}[{index}]", each
    elif type(type(held)) is type and not inside_package(type(held)):
        for key, each in list(getattr(held, "__dict__", {}).items()):
            yield (f"{name}.{key}" if isinstance(key, str) else name), each


def inside_package(kind: type) -> bool:
    """Whether a class is one of Python's or of a package that has no tensors of the user's."""
    return kind.__module__.partition(".")[0] in ("builtins", "types", "numpy", "ndgrad", "sys", "_frozen_importlib")
