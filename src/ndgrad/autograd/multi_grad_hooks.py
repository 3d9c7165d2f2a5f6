"""Hooks on several tensors at once: `register_multi_grad_hook`, and what of a running backward it has to know."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

from ndgrad.autograd.handles import RemovableHandle
from ndgrad.autograd.hooks import register_hook
from ndgrad.core.freed import running
from ndgrad.core.node import Port, edge_of
from ndgrad.core.tensor import Tensor


def current_graph_task_id() -> int:
    """The number of the backward that is running in this thread, the innermost one; -1 outside."""
    run = running()
    return -1 if run is None else run.task_id


class MultiHandle(RemovableHandle):
    """Removes one hook from all its tensors."""

    handles: tuple[RemovableHandle, ...]

    def __init__(self, handles: tuple[RemovableHandle, ...]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __getstate__(self) -> Any:
        return self.handles

    def __setstate__(self, state: Any) -> None:
        self.handles = state


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all") -> RemovableHandle:
    """Call `fn` once per backward: with "all", when the gradients of all tensors that it computes are there; with "any", for the first.

    Parameters
    ----------
    tensors : those that require grad; with "any" others are passed over.
    fn : is given, with "all", the list of the gradients, None for those not computed; with "any", the first gradient.

    Returns
    -------
    A handle that removes the hook from all tensors.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if mode == "any":
        first = First(fn)

        @functools.wraps(fn)  # errors about hooks say their names
        def hook(g: Any) -> None:
            first.hook(g)

        return MultiHandle(tuple(register_hook(tensor, hook) for tensor in tensors if tensor.requires_grad))
    for position, tensor in enumerate(tensors):
        if not tensor.requires_grad:
            raise AssertionError(
                f"Expected gradient function to be set. The tensor at position {position} does not require grad, so there will never be a "
                "gradient of it to wait for: leave it out."
            )
    waiting = Waiting(tensors, fn)
    return MultiHandle(
        tuple(register_hook(tensor, functools.partial(waiting.arrived, position)) for position, tensor in enumerate(tensors))
    )


class First:
    """What is called with the first of several gradients in each backward, and which backwards have had theirs."""

    def __init__(self, fn: Callable[[Any], None]) -> None:
        self.fn = fn
        self.lock = threading.Lock()
        self.done: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def hook(self, g: Any) -> None:
        run = running()
        with self.lock:
            if run in self.done:
                return
            self.done[run] = True
        self.fn(g)


class Waiting:
    """The gradients that have arrived, for each backward that is running, and how many more will."""

    def __init__(self, tensors: Sequence[Tensor], fn: Callable[[Any], None]) -> None:
        edges = [edge_of(tensor) for tensor in tensors]
        # weakly, for the nodes have hooks that lead here
        self.ends: list[ref[Any]] = [ref(edge.node if type(edge) is Port else edge) for edge in edges]
        self.fn = fn
        self.lock = threading.Lock()
        self.state: WeakKeyDictionary[Any, tuple[list[Any], list[int]]] = WeakKeyDictionary()

    def arrived(self, position: int, g: Any) -> None:
        run = running()
        with self.lock:
            state = self.state.get(run)
            if state is None:
                ends = [end() for end in self.ends]
                state = self.state[run] = [None] * len(ends), [sum(end is not None and run.will_reach(end) for end in ends)]
            found, left = state
            found[position] = g
            left[0] -= 1
            done = left[0] == 0
        if done:
            self.fn(found)
