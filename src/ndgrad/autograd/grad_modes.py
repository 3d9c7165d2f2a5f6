"""Switching recording off and on: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast, overload

from ndgrad.base import modes
from ndgrad.core.cuts import note

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
