"""Remembering which line of the user's program did something, at the price of a few attribute reads."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

Place = tuple[CodeType | None, int]
NOWHERE: Place = (None, 0)

#: File name -> whether it is ndgrad's own; the fast lanes read it directly.
inside: dict[str, bool] = {}


def is_inside(code: CodeType) -> bool:
    """Whether the code object belongs to ndgrad itself."""
    name = code.co_filename
    found = inside.get(name)
    if found is None:
        found = inside[name] = name.startswith(PACKAGE)
    return found


def place() -> Place:
    """The nearest frame outside ndgrad, as (code, instruction): what `describe` turns into a file and a line."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # the only way to see a caller
    while frame is not None and is_inside(frame.f_code):
        frame = frame.f_back
    return NOWHERE if frame is None else (frame.f_code, frame.f_lasti)


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
