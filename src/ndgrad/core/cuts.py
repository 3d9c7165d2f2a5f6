"""Where gradients end because the program says so: remembered, thread by thread, for the error of whoever misses one."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from ndgrad.base.location import describe, place_of_call

#: What ended a gradient, and the code and instruction that called it.
Cut = tuple[str, Any, int]


class Recent(threading.local):
    """The last few of this thread."""

    def __init__(self) -> None:
        self.cuts: deque[Cut] = deque(maxlen=12)


recent = Recent()


def note(what: str) -> Cut:
    """Remember that something in the user's program has just ended a gradient, or may have."""
    cut = what, *place_of_call(2)
    recent.cuts.append(cut)
    return cut


def in_words(cut: Cut) -> str:
    what, code, instruction = cut
    return f"{what} at {describe(code, instruction)}"


def latest(beginning: str) -> str:
    """Where something was noted last, as " at file:line"; empty if that is not known."""
    for cut in reversed(recent.cuts):
        if cut[0].startswith(beginning):
            return f" at {describe(*cut[1:])}"
    return ""


def recent_in_words(count: int) -> list[str]:
    """The last different ones, the last first."""
    return list(dict.fromkeys(in_words(cut) for cut in reversed(recent.cuts)))[:count]
