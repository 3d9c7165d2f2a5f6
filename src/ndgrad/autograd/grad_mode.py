"""`torch.autograd.grad_mode`: switches of recording, and those of the engine, of views and of version counters; each for one thread."""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast, overload

from ndgrad.autograd.accumulation import layouts
from ndgrad.base import modes
from ndgrad.core.cuts import note
from ndgrad.core.observers import Observer, forget, observe
from ndgrad.core.tensor import Tensor

__all__ = ["enable_grad", "enforce_grad_layout_policy", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]

F = TypeVar("F", bound=Callable[..., Any])


class Switch:
    """A context manager that is also a decorator of functions, methods and generator functions."""

    def clone(self) -> Switch:
        """The same switch for one more use: a decorated function may call itself."""
        return type(self)()

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *details: object) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        if not callable(function):
            raise TypeError(f"{type(self).__name__}() decorates functions, not {type(function).__name__} objects")
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions or methods: "
                f"decorate {function.__name__}.__init__ to keep what this does.",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):
            return cast(F, self._wrap_generator(function))

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return cast(F, wrapped)

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            # the mode holds while the generator's own frame runs, never while it is suspended
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, generator)
            try:
                while True:
                    try:
                        with self.clone():
                            produced = resume()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield produced
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        resume = functools.partial(generator.throw, error)
                    else:
                        resume = functools.partial(generator.send, sent)
            finally:
                generator.close()

        return wrapped


class _GradSwitch(Switch):
    value = True

    def __init__(self) -> None:
        self.previous: list[bool] = []

    def __enter__(self) -> None:
        if not self.value:
            note("a block of no_grad()")
        self.previous.append(modes.set_mode("grad", self.value))

    def __exit__(self, *details: object) -> None:
        modes.set_mode("grad", self.previous.pop())


class no_grad(_GradSwitch):
    """Operations inside are not recorded; per thread; a context manager and a decorator."""

    value = False

    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]  # as a bare decorator it gives a function back
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self: Any = super().__new__(cls)
        if function is None:
            return self
        self.__init__()
        return self(function)


class enable_grad(no_grad):
    """Operations inside are recorded, also inside `no_grad`; per thread; a context manager and a decorator."""

    value = True


class set_grad_enabled(Switch):
    """Record or not, from this call on; as a context manager, until the end of the block."""

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}")
        self.mode = mode
        if not mode:
            note("set_grad_enabled(False)")
        self.previous = modes.set_mode("grad", self.mode)

    def __call__(self, function: F) -> F:
        modes.set_mode("grad", self.previous)  # as a decorator it takes effect inside the function alone
        return super().__call__(function)

    def clone(self) -> Switch:
        """The same switch for one more use: a decorated function may call itself."""
        previous = modes.is_grad_enabled()
        copy = set_grad_enabled(self.mode)
        copy.previous = previous
        return copy

    def __enter__(self) -> None:
        modes.set_mode("grad", self.mode)

    def __exit__(self, *details: object) -> None:
        modes.set_mode("grad", self.previous)

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.mode})"


class inference_mode(Switch):
    """Like `no_grad`, and the tensors made inside can never take part in recorded operations: they have no version counter."""

    def __new__(cls, mode: Any = True) -> Any:
        self: Any = super().__new__(cls)
        if isinstance(mode, bool):
            return self
        self.__init__()
        return self(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode
        self.previous: list[tuple[bool, bool]] = []

    def clone(self) -> Switch:
        """The same switch for one more use: a decorated function may call itself."""
        return inference_mode(self.mode)

    def __enter__(self) -> None:
        if self.mode:
            note("a block of inference_mode()")
        self.previous.append((modes.set_mode("inference", self.mode), modes.set_mode("grad", not self.mode)))

    def __exit__(self, *details: object) -> None:
        inference, grad = self.previous.pop()
        modes.set_mode("inference", inference)
        modes.set_mode("grad", grad)


# ---------------------------------------------------------------- switches of the engine
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
        """Mark what an operation gave, as far as it is a view."""
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
