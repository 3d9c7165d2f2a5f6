"""What becomes of the tensors that nodes save: hooks for them, and leave to change them afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import type_name
from ndgrad.base.storage import owner_of
from ndgrad.base.types import Array
from ndgrad.core.batches import Batch, batch_of
from ndgrad.core.node import advice, output_now
from ndgrad.core.observers import Observer, observing
from ndgrad.core.packing import without_history
from ndgrad.core.tensor import LEAF, Tensor, modified_by, wrap


class saved_tensors_hooks:
    """Pack whatever operations inside save for their backward, and unpack it when a backward needs it.

    Parameters
    ----------
    pack_hook : called once for each saved tensor, when it is saved, with the tensor itself and without recording; returns anything.
    unpack_hook : called with that whenever the tensor is needed; returns a tensor of the same values.

    Hooks belong to a thread, and of several pairs only the innermost applies. A change in place of a saved tensor is noticed only if the
    pack hook returned the tensor itself.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._previous: list[Any] = []

    def __enter__(self) -> None:
        for name, hook in (("pack_hook", self.pack_hook), ("unpack_hook", self.unpack_hook)):
            if not callable(hook):
                raise TypeError(f"saved_tensors_hooks(): {name} must be a function, not {type(hook).__name__}")
        refuse_if_disabled(modes.current().saved_hooks)
        self._previous.append(modes.set_mode("saved_hooks", (self.pack_hook, self.unpack_hook)))

    def __exit__(self, *details: object) -> None:
        modes.set_mode("saved_hooks", self._previous.pop())


def refuse_if_disabled(hooks: Any) -> None:
    if isinstance(hooks, str):
        raise RuntimeError(hooks)


class save_on_cpu(saved_tensors_hooks):
    """Keep saved tensors in main memory, where all tensors of ndgrad are: nothing is copied."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(Kept, Kept.unpack)


def unchanged(tensor: Tensor) -> Tensor:
    return tensor


class Kept:
    """A saved tensor as it is: without its history, or what an operation saves of its own result would keep the operation alive."""

    __slots__ = ("edge", "tensor", "version")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.version = without_history(tensor), tensor._cell()[0]
        node = tensor._node
        self.edge = None if node is None or node is LEAF else weakref.ref(node)

    def unpack(self) -> Tensor:
        """The tensor, unless it has been changed."""
        cell = self.tensor._cell()
        if cell[0] != self.version:
            refuse_change(self.tensor, None if self.edge is None else self.edge(), cell, self.version, "was saved inside save_on_cpu")
        return self.tensor


def refuse_change(tensor: Tensor, edge: Any, cell: Any, version: int, what: str) -> NoReturn:
    """Refuse the value of a tensor that is not what it was when it was saved."""
    changed = modified_by(cell)
    source = "" if edge is None or isinstance(edge, Tensor) else f", which is {output_now(edge, cell)},"
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{type_name(tensor.dtype)}Tensor {list(tensor._a.shape)}]{source} is at version {cell[0]}; expected version {version} "
        "instead.\n"
        f"The value {what}{changed and ' and last changed by '}{changed}.\n{advice(edge)}"
    )


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Refuse hooks of saved tensors inside: whoever sets a pair, or has set one already, gets a RuntimeError with this message."""
    previous = modes.current().saved_hooks
    if isinstance(previous, tuple):
        raise RuntimeError(error_message)
    modes.set_mode("saved_hooks", error_message)
    try:
        yield
    finally:
        modes.set_mode("saved_hooks", previous)


# ---------------------------------------------------------------- changing what has been saved
class Handle:
    """Stands in a node for a saved tensor: another tensor of the same memory until that is about to change, then of a copy."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor


def array_below(tensor: Tensor) -> Array:
    """The array that a tensor is written into, inside `vmap` that of all examples."""
    memory: Any = tensor._memory()
    while type(memory) is Batch:
        memory = memory.value._memory()
    array: Array = memory
    return array


def is_open(tensor: Tensor) -> bool:
    """Whether a tensor is one that can still be used: the `vmap` that it belongs to has not ended."""
    batch = batch_of(tensor._a)
    return batch is None or batch.level.is_open()


class Mutations(Observer):
    """The saved tensors of one `allow_mutation_on_saved_tensors` block, by the memory that they are in.

    Memory is known by the array that owns it, whose id cannot become another's as long as a handle keeps it. Once copied, a handle's
    tensor is in memory of its own, which nobody can write to.
    """

    def __init__(self) -> None:
        self.handles: dict[int, weakref.WeakSet[Handle]] = {}
        self.copied: weakref.WeakSet[Handle] = weakref.WeakSet()

    def pack(self, tensor: Tensor) -> Handle:
        handle = Handle(wrap(tensor._memory()))
        self.handles.setdefault(id(owner_of(array_below(tensor))), weakref.WeakSet()).add(handle)
        return handle

    def unpack(self, handle: Handle) -> Tensor:
        if handle.tensor is None:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' contextin which the graph was originally recorded. "
                "What the graph saved was let go at the end of the block; call backward() inside."
            )
        return handle.tensor

    def overwrites(self, tensor: Any) -> None:
        if not isinstance(tensor._a, (np.ndarray, Batch)):
            return  # a scalar's payload is replaced, never written to
        for handle in self.handles.pop(id(owner_of(array_below(tensor))), ()):
            if handle.tensor is not None and is_open(handle.tensor):
                handle.tensor = wrap(handle.tensor._a.copy(order="K"))
                self.copied.add(handle)

    def clear(self) -> None:
        """Let go of everything that was saved."""
        for handles in (self.copied, *self.handles.values()):
            for handle in handles:
                handle.tensor = None
        self.handles.clear()


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[Mutations]:
    """Copy saved tensors before they are changed in place, so that a backward inside the block has what was saved.

    Both the operations and their backward belong in the block, which is not to be nested.
    """
    if any(isinstance(observer, Mutations) for observer in modes.current().observers):
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    mutations = Mutations()
    try:
        with saved_tensors_hooks(mutations.pack, mutations.unpack), observing(mutations):
            yield mutations
    finally:
        mutations.clear()


# ---------------------------------------------------------------- nodes as they are made
class Announcer(Observer):
    """Hands every new node to a function, but for those that the function itself makes."""

    def __init__(self, callback: Callable[[Any], None]) -> None:
        self.callback = callback
        self.busy = False

    def recorded(self, node: Any) -> None:
        if self.busy:
            return
        self.busy = True
        try:
            result = self.callback(node.face())
        finally:
            self.busy = False
        if result is not None:
            raise RuntimeError(f"a node creation hook must return None, but {self.callback!r} returned {type(result).__name__}")


@contextmanager
def node_creation_hook(callback: Callable[[Any], None]) -> Iterator[None]:
    """Call `callback(node)` with every node that this thread makes inside: in forward, and in a backward with `create_graph`."""
    if not callable(callback):
        raise TypeError(f"node_creation_hook(): the callback must be a function, not {type(callback).__name__}")
    with observing(Announcer(callback)):
        yield
