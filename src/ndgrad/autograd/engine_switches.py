"""Switches of the engine, of views and of version counters, each for one thread; a function, a context manager and a decorator at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ndgrad.autograd.accumulation import layouts
from ndgrad.autograd.grad_modes import Switch
from ndgrad.base import modes
from ndgrad.core.observers import Observer, forget, observe
from ndgrad.core.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


class ThreadSwitch(Switch):
    """A switch that works from its construction on; as a context manager, until the end of the block."""

    #: What is called where the switch was given something else than a bool.
    argument = "enabled"

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(
                f"{type(self).__name__}(): argument '{self.argument}' (position 1) must be bool, not {type(mode).__name__}"
            )
        self.prev = self.read()
        self.mode = mode
        self.set(mode)

    @staticmethod
    def read() -> bool:
        """What this thread has it at."""
        raise NotImplementedError

    @staticmethod
    def set(mode: bool) -> None:
        """Switch it, for this thread."""
        raise NotImplementedError

    def clone(self) -> Switch:
        """The same switch for one more use."""
        return type(self)(self.mode)

    def __enter__(self) -> None:
        self.set(self.mode)

    def __exit__(self, *details: object) -> None:
        self.set(self.prev)


class DecoratingSwitch(ThreadSwitch):
    """One that, as a decorator, takes effect inside the function alone."""

    def __call__(self, function: F) -> F:
        self.set(self.prev)
        return super().__call__(function)


# ---------------------------------------------------------------- threads
class Threads(threading.local):
    """What a thread has said of threads."""

    several = True


threads = Threads()


def is_multithreading_enabled() -> bool:
    """Whether a backward may use threads of its own. It never does: it runs on the thread that calls it."""
    return threads.several


class set_multithreading_enabled(ThreadSwitch):
    """Let a backward use threads of its own, or not; remembered for programs that ask, as there is no device that has some."""

    read = staticmethod(is_multithreading_enabled)

    @staticmethod
    def set(mode: bool) -> None:
        """Switch it, for this thread."""
        threads.several = mode


# ---------------------------------------------------------------- layouts
class enforce_grad_layout_policy(DecoratingSwitch):
    """Give the first `.grad` of a leaf the leaf's layout, as is usual, or let it keep that of a gradient which nobody else holds."""

    def __init__(self, enable: bool = True) -> None:
        super().__init__(enable)

    @staticmethod
    def read() -> bool:
        """What this thread has it at."""
        return layouts.enforced

    @staticmethod
    def set(mode: bool) -> None:
        """Switch it, for this thread."""
        layouts.enforced = mode


# ---------------------------------------------------------------- views
class Replaying(Observer):
    """Marks views to be made anew, where need be, by the operations that made them."""

    def done(self, primitive: Any, operands: Any, payloads: Any, params: Any, result: Any) -> None:
        for out in result if isinstance(result, tuple) else (result,):
            if out._view is not None:
                out._view.replays = True


replaying = Replaying()


def is_view_replay_enabled() -> bool:
    """Whether views made by this thread remember to be replayed (see `_force_original_view_tracking`)."""
    return replaying in modes.current().observers


class _force_original_view_tracking(DecoratingSwitch):
    """Let views whose base is changed in place get the nodes of the operations that made them, instead of one `AsStridedBackward0`."""

    read = staticmethod(is_view_replay_enabled)

    @staticmethod
    def set(mode: bool) -> None:
        """Switch it, for this thread."""
        forget(replaying)
        if mode:
            observe(replaying)


# ---------------------------------------------------------------- version counters
class _unsafe_preserve_version_counter(Switch):
    """Hide the changes inside the block from the version counters of tensors; gradients may be wrong without a word."""

    def __init__(self, tensors: Tensor | tuple[Tensor, ...]) -> None:
        self.tensors = (tensors,) if isinstance(tensors, Tensor) else tensors
        if not isinstance(self.tensors, tuple):
            raise AssertionError(f"Expected tensors to be a tuple, or one tensor, not {type(tensors).__name__}")
        self.prev_versions = tuple(tensor._version for tensor in self.tensors)

    def clone(self) -> Switch:
        """The same switch for one more use."""
        return type(self)(self.tensors)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: object) -> None:
        for tensor, version in zip(self.tensors, self.prev_versions, strict=True):
            tensor._cell()[0] = version
