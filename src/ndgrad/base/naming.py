"""What the user's program calls its objects: looked for in its variables and in what is in them, for messages and pictures."""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from types import FrameType, FunctionType, ModuleType
from typing import Any

from ndgrad.base.location import inside, users_frame

#: How deep in containers and objects names are looked for, how many values of a namespace are looked at, by how many ways each is reached.
DEEPEST, MOST, WAYS = 4, 50_000, 3
#: For the name of one object: how many frames are searched, how deep, and how many values in all, as an error should not take long.
FRAMES, DEEPER, VALUES = 4, 8, 20_000
#: What is never looked into.
CLOSED = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, FunctionType)


def name_in_program(value: object) -> str:
    """The name of a variable of the calling program that is this object, or of what it is in, such as `model.weights[1]`; or empty."""
    named = islice(named_in_frames(users_frame(), FRAMES, DEEPER), VALUES)
    return next((name for name, held in named if held is value), "")


def named_in_frames(frame: FrameType | None, frames: int, deepest: int = DEEPEST) -> Iterator[tuple[str, Any]]:
    """Whatever has a name in some frames of the program, a frame and those that called it, and then in their modules."""
    modules: list[dict[str, Any]] = []
    while frame is not None and frames:
        if not inside[frame.f_code.co_filename]:
            frames -= 1
            yield from named_in(variables(frame), deepest)
            if not any(frame.f_globals is module for module in modules):
                modules.append(frame.f_globals)
        frame = frame.f_back
    for module in modules:
        yield from named_in(dict(module), deepest)


def variables(frame: FrameType) -> dict[str, Any]:
    """A copy of the local variables of a frame."""
    seen = frame.f_locals
    found = dict(seen)
    if sys.version_info < (3, 13) and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        seen.clear()  # which the frame keeps until it returns, and with it what the user deletes meanwhile
    return found


def named_in(namespace: Mapping[Any, Any], deepest: int = DEEPEST) -> Iterator[tuple[str, Any]]:
    """The values of a namespace and what is in them, each with the expression that leads there, the shortest ones first."""
    named = sorted(((str(name), value, 0) for name, value in namespace.items()), key=lambda entry: entry[0].startswith("_"))
    queue: deque[tuple[str, Any, int]] = deque(named)
    visits: dict[int, int] = {}
    for _ in range(MOST):
        if not queue:
            return
        name, value, depth = queue.popleft()
        yield name, value
        if depth < deepest and not isinstance(value, CLOSED) and visits.get(id(value), 0) < WAYS:
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
    return [(f"{name}.{inner}", element) for inner, element in list(attributes.items())] if type(attributes) is dict else []
