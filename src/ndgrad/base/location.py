"""Remembering which line of the user's program did something, at the price of a few attribute reads."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
COMMAND_LINE = os.path.join(PACKAGE, "cli") + os.sep

Place = tuple[CodeType | None, int]
NOWHERE: Place = (None, 0)
caller = sys._getframe  # the only way to see a caller


class _Inside(dict[str, bool]):
    """File name -> whether it is ndgrad's own and therefore not the line a user wants to hear of."""

    def __missing__(self, name: str) -> bool:
        found = self[name] = name.startswith(PACKAGE) and not name.startswith(COMMAND_LINE)
        return found


inside = _Inside()
#: The files known not to be ndgrad's own: asked on every operation, because `in` is quicker than the subscript of a dict that learns.
outside: set[str] = set()


def place(depth: int = 1) -> Place:
    """The nearest frame outside ndgrad, as (code, instruction): what `describe` turns into a file and a line."""
    frame: FrameType | None = caller(depth)
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        if name in outside:
            return code, frame.f_lasti
        if not inside[name]:
            outside.add(name)
            return code, frame.f_lasti
        frame = frame.f_back
    return NOWHERE


class Tracing:
    """Whether the places of operations are remembered; those of errors always are."""

    on = True


tracing = Tracing()


def place_of_call(depth: int = 1) -> Place:
    """The same for what is remembered of an operation in case that there will be an error, unless that is switched off."""
    return place(depth + 1) if tracing.on else NOWHERE


def users_frame() -> FrameType | None:
    """The nearest frame outside ndgrad."""
    frame: FrameType | None = caller(1)
    while frame is not None and inside[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def users_frames() -> list[tuple[FrameType, int]]:
    """The frames outside ndgrad and their lines, innermost first, as `traceback.StackSummary` takes them."""
    found: list[tuple[FrameType, int]] = []
    frame = users_frame()
    while frame is not None:
        if not inside[frame.f_code.co_filename]:
            found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found


def users_level() -> int:
    """The `stacklevel` with which the caller's `warnings.warn` points to the user's program."""
    frame: FrameType | None = caller(1)
    level = 1
    while frame is not None and inside[frame.f_code.co_filename]:
        frame = frame.f_back
        level += 1
    return level


def line_of(code: CodeType, instruction: int) -> int | None:
    for start, end, line in code.co_lines():
        if start <= instruction < end:
            return line
    return code.co_firstlineno


def describe(code: CodeType | None, instruction: int) -> str:
    """A place as `file:line`, or "an unknown line"."""
    if code is None or not code.co_filename:
        return "an unknown line" if tracing.on else "an unknown line (trace_lines is off)"
    return f"{code.co_filename}:{line_of(code, instruction)}"
