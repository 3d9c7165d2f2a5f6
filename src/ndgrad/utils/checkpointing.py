"""`checkpoint` and what is switched or built around it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ndgrad.utils.recomputing import Contexts, checkpoint_by_hooks, noop_context_fn, settings
from ndgrad.utils.reentrant import CheckpointFunction


def checkpoint(
    function: Callable[..., Any] | None = None,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call `function(*args, **kwargs)`; of what it saves for backward nothing is kept but its inputs, and backward calls it again.

    Without a function, but with `use_reentrant=False`, the result is a decorator.

    Parameters
    ----------
    use_reentrant : False computes again when saved tensors are asked for, and works with everything. True runs a backward inside the
        backward: only for `backward()` without `inputs`, gradients only of tensors among `args`, no keyword arguments.
    context_fn : gives two contexts, for the first run and for the ones that compute again.
    determinism_check : "default" compares shapes and dtypes of what both runs save, "none" nothing.
    debug : list all operations of both runs in an error.
    early_stop : end the second run once all is there that is needed.
    preserve_rng_state : draw the same random numbers in the second run.

    Raises
    ------
    CheckpointError
        In backward, if the second run saves other tensors than the first.
    """
    if function is None:
        if use_reentrant is not False or args or kwargs:
            raise TypeError(
                "checkpoint() missing 1 required positional argument: 'function'. As a decorator it is written "
                "@checkpoint(use_reentrant=False), with no other arguments than the keywords of checkpoint itself."
            )
        return decorator(context_fn, determinism_check, debug, early_stop, preserve_rng_state)
    if use_reentrant is None:
        announcement = "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an exception."
        warn_of_default("torch.utils.checkpoint", announcement)
        use_reentrant = True
    if not use_reentrant:
        return checkpoint_by_hooks(function, args, kwargs, context_fn, determinism_check, debug, early_stop, preserve_rng_state)
    refuse_keywords(kwargs)
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve_rng_state, *args)


def decorator(*how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that makes each call of a function a checkpoint."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def checkpointed(*args: Any, **kwargs: Any) -> Any:
            return checkpoint_by_hooks(function, args, kwargs, *how)

        return checkpointed

    return decorate


def warn_of_default(name: str, announcement: str) -> None:
    warnings.warn(
        f"{name}: the use_reentrant parameter should be passed explicitly. {announcement} use_reentrant=False is recommended, but if you "
        "need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
        "differences between the two variants.",
        UserWarning,
        stacklevel=3,
    )


def refuse_keywords(kwargs: dict[str, Any]) -> None:
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """Call functions one after the other, in segments that are checkpoints, but for the last one.

    Parameters
    ----------
    functions : a sequence of functions, each of one argument; or a module with `children()`.
    segments : how many; what is left over goes to the last.
    preserve_rng_state : as in `checkpoint`.
    """
    if use_reentrant is None:
        announcement = "In version 2.9 we will raise an exception if use_reentrant is not passed."
        warn_of_default("torch.utils.checkpoint.checkpoint_sequential", announcement)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    refuse_keywords(kwargs)
    stages: list[Callable[[Any], Any]] = list(functions.children() if hasattr(functions, "children") else functions)
    size = len(stages) // segments
    if not size and segments > 1:
        raise ValueError(f"range() arg 3 must not be zero: {len(stages)} functions cannot be divided into {segments} segments")
    last = size * (segments - 1)
    for start in range(0, last, size or 1):
        input = checkpoint(chain(stages[start : start + size]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return chain(stages[last:])(input)


def chain(stages: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Several functions as one."""

    def run(value: Any) -> Any:
        for stage in stages:
            value = stage(value)
        return value

    return run


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Checkpoints made inside have `debug` as given here, whatever they are told themselves; None leaves it to them."""
    previous, settings.debug = settings.debug, enabled
    try:
        yield
    finally:
        settings.debug = previous


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Checkpoints made inside have `early_stop` as given here, whatever they are told themselves."""
    previous, settings.early_stop = settings.early_stop, enable
    try:
        yield
    finally:
        settings.early_stop = previous


# ---------------------------------------------------------------- devices
class DefaultDeviceType:
    """The kind of device whose random states checkpoints keep beside the CPU's; ndgrad computes on the CPU alone."""

    _default_device_type: str | None = None

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Say which it is."""
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type() -> str:
        """What was set, or "cpu"."""
        return DefaultDeviceType._default_device_type or "cpu"


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The devices of the tensors among the arguments, but for the CPU, and their random states: there are none."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: str | None = None) -> None:
    """Give devices random states that `get_device_states` returned: it returns none."""
    for device in devices:
        raise RuntimeError(f"ndgrad computes on the CPU alone: there is no device {device} of type {device_type or 'cuda'}")
