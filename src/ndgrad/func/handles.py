"""What transforms differentiate by, and how their results leave them.

A transform that works in reverse gives its function a *handle* in the place of each tensor, and lets the ordinary recording go on. Handles
are new for each call, so nothing can be confused with the same tensor in a transform outside or inside of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ndgrad.autograd.following import Follower
from ndgrad.base import modes
from ndgrad.base.nesting import Inside, nesting
from ndgrad.core.batches import Batch, batch_of
from ndgrad.core.batching import at_innermost
from ndgrad.core.node import AccumulateGrad, edge_of, tick
from ndgrad.core.observers import Observer, announce, unchanged
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.core.views import HANDLE


class Mark:
    """What the leaves of one call have in common: `open` while the function is running, when they are live for transforms inside of it."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = True

    def is_passed(self) -> bool:
        """Whether the backward that is running is of this call: its own, or one that its function has started."""
        return nesting.passing is self or (nesting.passing is None and self.open)


class Call(Inside):
    """One call of a function that is differentiated in reverse; a context manager around the function itself, which is recorded.

    Attributes
    ----------
    recording : whether gradients are recorded outside, so that results may keep a history that leads there.
    mark : what leaves of this call are known by.
    """

    def __init__(self) -> None:
        mode = modes.current()
        self.recording = mode.grad and not mode.inference
        self.mark = Mark()
        self.start = tick()
        self.handles: list[Tensor] = []
        #: What each handle stands for, by the handle's identity.
        self.originals: dict[int, Tensor] = {}
        #: Nodes from which nothing but own handles can be reached.
        self.private: set[Any] = set()
        #: Whether backward must be recorded for the sake of a `jvp` around this, whose tangents are.
        self.tangents_recorded = self.recording and tangents_recorded()

    def __enter__(self) -> Call:
        super().__enter__()
        self.around, nesting.call = nesting.call, self
        mode = modes.current()
        self.outside = mode.grad, mode.inference
        if not mode.grad:
            modes.set_mode("grad", True)
        if mode.inference:
            modes.set_mode("inference", False)
        return self

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        nesting.call = self.around
        self.mark.open = False
        grad, inference = self.outside
        modes.set_mode("grad", grad)
        if inference:
            modes.set_mode("inference", True)

    # ---------------------------------------------------------------- in
    def fresh(self, tensor: Any) -> Tensor:
        """A handle for a tensor: a leaf on the same memory, or, where gradients of it are recorded outside, an alias in that graph.

        Inside `vmap` it is a tensor of the innermost level, whatever the given one is: what is recorded there is of single examples.
        """
        if not isinstance(tensor, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(tensor)}")
        if tensor._a.dtype.kind not in "fc":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients; this one is {tensor.dtype}")
        given = at_innermost(tensor)
        if self.recording and given.requires_grad:
            handle: Tensor = recorded.alias(tensor)
            view: Any = handle._view
            view.origin, view.own = HANDLE, True
        else:
            handle = wrap(given._a, LEAF)
            if isinstance(given._a, (np.ndarray, Batch)) and tensor._v is not INFERENCE:
                handle._v = tensor._cell()
            handle._owner = self.mark
            if modes.exceptional:
                announce(Observer.continues, tensor, handle, unchanged)
        self.handles.append(handle)
        self.originals[id(handle)] = tensor
        return handle

    # ---------------------------------------------------------------- hooks
    def made(self, edge: Any) -> bool:
        """Whether what an edge leads to, a leaf or a node, is of this call and not something that its function was given or captured."""
        leaf = edge.variable if isinstance(edge, AccumulateGrad) else edge
        return leaf._owner is self.mark if isinstance(leaf, Tensor) else leaf.node_of().number >= self.start

    # ---------------------------------------------------------------- what is reached
    def leads_outside(self, tensors: Iterable[Tensor]) -> bool:
        """Whether tensors have a history that reaches anything besides one's own handles and those of transforms that are over."""
        private, start, mark = self.private, self.start, self.mark
        edges = [edge_of(tensor) for tensor in tensors]
        seen: set[Any] = set()
        while edges:
            edge = edges.pop()
            if edge is None:
                continue
            if isinstance(edge, Tensor):
                owner = edge._owner
                if owner is None or (owner is not mark and owner.open):
                    return True
                continue
            node = edge.node_of()
            if node in seen or node in private:
                continue
            if node.number < start:
                return True
            seen.add(node)
            edges += node.parents
        private |= seen
        return False

    def must_record(self, outputs: Sequence[Tensor]) -> bool:
        """Whether a backward from here can lead anywhere outside, and so has to be recorded."""
        if not self.recording:
            return False
        if self.tangents_recorded or self.leads_outside(outputs):
            return True
        below = [batch.value for batch in (batch_of(output._a) for output in outputs) if batch is not None]
        return bool(below) and self.must_record(below)

    # ---------------------------------------------------------------- out
    def released(self, value: Tensor) -> Tensor:
        """A result as it is handed out: without history, unless that leads to something outside; a handle is its tensor again."""
        original = self.originals.get(id(value))
        if original is not None:
            return original
        if value._node is None:
            return value
        if self.recording and self.leads_outside((value,)):
            return value
        free = wrap(value._a)
        if isinstance(value._a, (np.ndarray, Batch)):
            free._v = value._cell()
        if modes.exceptional:
            announce(Observer.continues, value, free, self.released)
        return free


@contextmanager
def passing(mark: Any) -> Iterator[None]:
    """While a backward is run for the sake of a call, which has that mark; hooks that belong to others are not called."""
    around, nesting.passing = nesting.passing, mark
    try:
        yield
    finally:
        nesting.passing = around


def tangents_recorded() -> bool:
    """Whether a `jvp` or a `jet` around this follows tangents with a history."""
    if not modes.exceptional:
        return False
    return any(isinstance(observer, Follower) and observer.has_history() for observer in modes.current().observers)
