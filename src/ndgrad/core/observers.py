"""What watches the operations of a thread: profilers, detectors of bad numbers, whoever wants to see nodes as they are made.

An observer is in the thread's `observers` mode (`ndgrad.base.modes`). Where there is none, nothing here runs: the fast lanes and the
engine stand aside for `apply` and for `pull_specially` only while a mode is special.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Concatenate, ParamSpec

from ndgrad.base import modes

What = ParamSpec("What")


class Observer:
    """Sees whatever happens on its thread; a subclass overrides what it is interested in.

    Those who entered first are innermost: `run` and `pull` of the last one are called first, and call the others by `compute`.
    """

    #: Whether it follows tensors by identity, as forward mode does: a backward then moves tensors, recorded or not.
    follows_tensors = False
    #: Whether it runs common operations itself, by `apply_quickly`, while it is the only one that watches.
    is_quick = False
    #: Whether it is a call of `vmap`, which is not to be left out: the tensors of its examples need it.
    batches = False

    @contextmanager
    def below(self) -> Iterator[None]:
        """While only those watch who entered before this one."""
        mode = modes.current()
        modes.install(mode.observed_by(mode.observers.index(self)))
        try:
            yield
        finally:
            modes.install(mode)

    def apply_quickly(self, primitive: Any, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """The output of an operation, or NotImplemented to have it run as any other."""
        return NotImplemented

    def run(self, primitive: Any, operands: Sequence[Any], params: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Around the kernel of an operation: returns its payload, or a tuple of them for several outputs."""
        return compute()

    def done(self, primitive: Any, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        """After an operation: its operands as given and as the kernel saw them, and the tensor (or tuple of tensors) that it gave."""

    def recorded(self, node: Any) -> None:
        """After a node has been made and filled in, also by a recorded backward."""

    def started(self, node: Any, g: Any) -> None:
        """Before a node of a backward runs, after its pre-hooks: `g` is a list where it has several outputs, None where none came back."""

    def pull(self, node: Any, g: Any, compute: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Around a node of a backward: cotangents of its operands; payloads, or tensors with `create_graph`."""
        return compute()

    def pulled(self, node: Any, g: Any, cotangents: tuple[Any, ...]) -> None:
        """After a node has run and its post-hooks have had their say; what the node saved is still there."""

    def failed(self, node: Any, error: Exception) -> None:
        """After an error in a backward, raised by this node, by its hooks, or by the observers themselves."""

    def call(self, function: Any, args: Sequence[Any], compute: Callable[[], Any]) -> Any:
        """Around the call of a custom function, its forward and its recording."""
        return compute()

    def accumulating(self, leaf: Any, g: Any) -> None:
        """Before a gradient is added to the `.grad` of a leaf."""

    def accumulated(self, leaf: Any, g: Any) -> None:
        """After a gradient has been added to the `.grad` of a leaf."""

    def writes(self, tensor: Any) -> None:
        """Before the memory of a tensor is changed in place, and before what is to be written is computed."""

    def overwrites(self, tensor: Any) -> None:
        """The same, once everything is computed and nothing can refuse it any more: the next thing is the write."""

    def written(self, tensor: Any, name: str, out: Any) -> None:
        """After the in-place operation of this name, `add_`, is done: it wrote the value of `out`."""

    def stands_in(self, tensor: Any, stand_in: Any) -> None:
        """An operation is about to be given another tensor in the place of this one: the same value at this time."""

    def continues(self, tensor: Any, other: Any, change: Callable[[Any], Any]) -> None:
        """Another tensor takes the place of this one, with the same memory; what an observer knows of it, `change` makes fit."""

    def restored(self, node: Any, index: int, tensor: Any) -> None:
        """A residual of a node has been made a tensor again."""

    def called(self, function: Any, context: Any, args: Sequence[Any], inner: Any, result: Any) -> None:
        """After a custom function: its context, arguments and outputs, as its forward gave them and as the caller gets them."""

    def suffix(self, tensor: Any) -> str:
        """What the printed tensor is to say of it."""
        return ""


@contextmanager
def observing(*observers: Observer) -> Iterator[None]:
    """Let observers watch this thread, beside those that do."""
    observe(*observers)
    try:
        yield
    finally:
        forget(*observers)


def observe(*observers: Observer) -> None:
    """Let observers watch this thread until they are to be forgotten."""
    modes.set_mode("observers", modes.current().observers + observers)


def forget(*observers: Observer) -> None:
    """Let observers no longer watch this thread: of each, the one that entered last; whoever else has entered since stays."""
    watching = list(reversed(modes.current().observers))
    for observer in observers:
        if observer in watching:
            watching.remove(observer)
    modes.set_mode("observers", tuple(reversed(watching)))


@contextmanager
def unobserved() -> Iterator[None]:
    """Operations that nobody is to see, such as an observer's own."""
    previous = modes.set_mode("observers", ())
    try:
        yield
    finally:
        modes.set_mode("observers", previous)


def observed_run(
    observers: tuple[Observer, ...], primitive: Any, operands: Sequence[Any], params: dict[str, Any], compute: Callable[[], Any]
) -> Any:
    """Run a kernel with the observers around it."""
    for observer in observers:
        compute = partial(observer.run, primitive, operands, params, compute)
    return compute()


def observed_pull(observers: tuple[Observer, ...], node: Any, g: Any, compute: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """Pull a cotangent through a node with the observers around it."""
    for observer in observers:
        compute = partial(observer.pull, node, g, compute)
    return compute()


def observed_call(observers: tuple[Observer, ...], function: Any, args: Sequence[Any], compute: Callable[[], Any]) -> Any:
    """Call a custom function with the observers around it."""
    for observer in observers:
        compute = partial(observer.call, function, args, compute)
    return compute()


def announce(event: Callable[Concatenate[Any, What], object], *what: What.args, **others: What.kwargs) -> None:
    """Tell this thread's observers of something: `announce(Observer.overwrites, tensor)`."""
    for observer in modes.current().observers:
        getattr(observer, event.__name__)(*what, **others)


def unchanged(known: Any) -> Any:
    """The `change` of `continues` where what is known fits as it is."""
    return known


def follows_tensors() -> bool:
    """Whether somebody on this thread follows tensors by identity."""
    return bool(modes.exceptional) and any(observer.follows_tensors for observer in modes.current().observers)
