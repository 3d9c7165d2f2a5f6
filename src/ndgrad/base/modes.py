"""Per-thread switches: grad mode, inference mode, and whatever else makes an operation unusual.

`exceptional` holds an entry only for threads that left the defaults (grad mode on, nothing else), so an operation pays one
truth test of a dict that is nearly always empty; a `threading.local` read would cost five times that.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from typing import Any


class Modes:
    """The switches of one thread. Never changed once made: setting one makes another instance.

    Attributes
    ----------
    grad, inference : what `no_grad` and `inference_mode` set.
    observers : what watches every operation and every node of a backward (`ndgrad.core.observers`), innermost last.
    saved_hooks : a pair (pack, unpack) for what nodes save; or the message with which such pairs are refused; or None.
    special : whether anything but grad mode is unusual, so that the fast lanes must stand aside.
    """

    __slots__ = ("fewer", "grad", "inference", "observers", "quick", "saved_hooks", "special")

    grad: bool
    inference: bool
    observers: tuple[Any, ...]
    saved_hooks: tuple[Any, Any] | str | None
    special: bool

    def __init__(
        self, grad: bool = True, inference: bool = False, observers: tuple[Any, ...] = (), saved_hooks: tuple[Any, Any] | str | None = None
    ) -> None:
        self.grad = grad
        self.inference = inference
        self.observers = observers
        self.saved_hooks = saved_hooks
        self.fewer: dict[int, Modes] = {}
        #: The only observer, where it has a way of its own for common operations; None otherwise.
        self.quick: Any = None
        if len(observers) == 1 and observers[0].is_quick and not inference and saved_hooks is None:
            self.quick = observers[0]
        self.special = inference or bool(observers) or saved_hooks is not None

    def replace(self, name: str, value: Any) -> Modes:
        """The same switches but one."""
        switches: dict[str, Any] = {
            "grad": self.grad,
            "inference": self.inference,
            "observers": self.observers,
            "saved_hooks": self.saved_hooks,
        }
        switches[name] = value
        return Modes(**switches)

    def observed_by(self, count: int) -> Modes:
        """The same switches with the first observers only; made once for each number of them."""
        found = self.fewer.get(count)
        if found is None:
            found = self.fewer[count] = self.replace("observers", self.observers[:count])
        return found


default = Modes()
not_recording = Modes(grad=False)
exceptional: dict[int, Modes] = {}


class _Farewell:
    """Lives in a thread's local storage and forgets the thread's modes when it ends: thread numbers are used again."""

    def __init__(self, ident: int) -> None:
        self.ident = ident

    def __del__(self) -> None:
        exceptional.pop(self.ident, None)
        _known.discard(self.ident)


_local = threading.local()
_known: set[int] = set()  # threads that have their farewell


def current() -> Modes:
    """This thread's switches, to be read only."""
    return exceptional.get(get_ident(), default) if exceptional else default


def install(modes: Modes) -> None:
    """Take over switches for this thread, where some were set before."""
    ident = get_ident()
    if modes.special or not modes.grad:
        exceptional[ident] = modes
    else:
        exceptional.pop(ident, None)


def set_mode(name: str, value: Any) -> Any:
    """Set one switch of this thread and return its previous value."""
    ident = get_ident()
    modes = exceptional.get(ident, default)
    previous = getattr(modes, name)
    usual = name == "grad" and not modes.special
    modes = (default if value else not_recording) if usual else modes.replace(name, value)
    if modes.grad and not modes.special:
        exceptional.pop(ident, None)
    else:
        exceptional[ident] = modes
        if ident not in _known:
            _known.add(ident)
            _local.farewell = _Farewell(ident)
    return previous


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return exceptional.get(get_ident(), default).grad if exceptional else True


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return exceptional.get(get_ident(), default).inference if exceptional else False
