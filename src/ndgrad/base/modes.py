"""Per-thread switches: grad mode, inference mode, and whatever else makes an operation unusual.

`exceptional` holds an entry only for threads that left the defaults (grad mode on, nothing else), so an operation pays one
truth test of a dict that is nearly always empty; a `threading.local` read would cost five times that.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from typing import Any


class Modes:
    """The switches of one thread. `default` is an instance that nobody may change."""

    __slots__ = ("anomaly", "grad", "inference", "interceptors", "saved_hooks", "special")

    grad: bool
    inference: bool
    anomaly: Any
    saved_hooks: tuple[Any, ...]
    interceptors: tuple[Any, ...]
    special: bool  # whether anything but grad mode is unusual, so that the fast lanes must stand aside

    def __init__(self) -> None:
        self.grad = True
        self.inference = False
        self.anomaly = None
        self.saved_hooks = ()
        self.interceptors = ()
        self.special = False


default = Modes()
exceptional: dict[int, Modes] = {}


class _Farewell:
    """Lives in a thread's local storage and forgets the thread's modes when it ends: thread numbers are used again."""

    def __init__(self, ident: int) -> None:
        self.ident = ident

    def __del__(self) -> None:
        exceptional.pop(self.ident, None)


_local = threading.local()


def current() -> Modes:
    """This thread's switches, to be read only."""
    return exceptional.get(get_ident(), default) if exceptional else default


def set_mode(name: str, value: Any) -> Any:
    """Set one switch of this thread and return its previous value."""
    ident = get_ident()
    modes = exceptional.get(ident)
    if modes is None:
        modes = Modes()
        if getattr(_local, "farewell", None) is None:
            _local.farewell = _Farewell(ident)
    previous = getattr(modes, name)
    setattr(modes, name, value)
    modes.special = modes.inference or modes.anomaly is not None or bool(modes.saved_hooks) or bool(modes.interceptors)
    if modes.grad and not modes.special:
        exceptional.pop(ident, None)
    else:
        exceptional[ident] = modes
    return previous


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return exceptional.get(get_ident(), default).grad if exceptional else True


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return exceptional.get(get_ident(), default).inference if exceptional else False
