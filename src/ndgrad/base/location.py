"""Remembering which line of the user's program did something, at the price of a few attribute reads."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
COMMAND_LINE = os.path.join(PACKAGE, "cli") + os.sep

Place = tuple[CodeType | None, int]
NOWHERE: Place = (None, 0)


class _Inside(dict[str, bool]):
    """File name -> whether it is ndgrad's own and therefore not the line a user wants to hear of."""

    def __missing__(self, name: str) -> bool:
        found = self[name] = name.startswith(PACKAGE) and not name.startswith(COMMAND_LINE)
        return found


inside = _Inside()


def place(depth: int = 1) -> Place:
    """The nearest frame outside ndgrad, as (code, instruction): what `describe` turns into a file and a line."""
    frame: FrameType | None = sys._getframe(depth)  # the only way to see a caller
    while frame is not None:
        code = frame.f_code
        if not inside[code.co_filename]:
            return code, frame.f_lasti
        frame = frame.f_back
    return NOWHERE


def users_frames() -> list[tuple[FrameType, int]]:
    """The frames outside ndgrad and their lines, innermost first, as `traceback.StackSummary` takes them."""
    found: list[tuple[FrameType, int]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not inside[frame.f_code.co_filename]:
            found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found


def users_level() -> int:
    """The `stacklevel` with which the caller's `warnings.warn` points to the user's program."""
    frame: FrameType | None = sys._getframe(1)
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
    if code is None:
        return "an unknown line"
    return f"{code.co_filename}:{line_of(code, instruction)}"
