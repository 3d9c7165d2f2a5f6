"""Hooks on tensors and nodes, as the engine calls them; and the handle that removes one."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from ndgrad.core.node import Node
from ndgrad.core.tensor import LEAF, Tensor, wrap

_next_id = count().__next__


class RemovableHandle:
    """Removes a hook: by `remove()`, any number of times, or at the end of a `with` block."""

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.id = _next_id()
        self._hooks: dict[int, Any] | None = hooks

    def remove(self) -> None:
        if self._hooks is not None:
            self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *details: object) -> None:
        self.remove()

    def __getstate__(self) -> dict[str, int]:
        return {"id": self.id}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.id, self._hooks = state["id"], None


def add_hook(hooks: dict[int, Any], hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


# ---------------------------------------------------------------- registering
def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` whenever the gradient of this tensor is complete; what it returns, if anything, replaces the gradient."""
    node = self._refresh()
    if node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node is LEAF:
        if self._hooks is None:
            self._hooks = {}
        return add_hook(self._hooks, hook)
    extra = node.node_of().more()
    if extra.tensor_hooks is None:
        extra.tensor_hooks = {}
    return add_hook(extra.tensor_hooks.setdefault(node.output_nr, {}), hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `hook(leaf)` each time a gradient has been added to the leaf's `.grad`."""
    node = self._refresh()
    if node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node is not LEAF:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if self._post_accumulate_hooks is None:
        self._post_accumulate_hooks = {}
    return add_hook(self._post_accumulate_hooks, hook)


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this tensor in `.grad` although it is not a leaf."""
    node = self._refresh()
    if node is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if node is LEAF:
        return
    extra = node.node_of().more()
    if extra.retain is None:
        extra.retain = {}
    extra.retain[node.output_nr] = weakref.ref(self)


# ---------------------------------------------------------------- calling
def as_tensor(g: Any, create_graph: bool) -> Any:
    return g if create_graph or g is None else wrap(g)


def run_tensor_hooks(hooks: dict[int, Any], g: Any, create_graph: bool) -> Any:
    """Chain hooks on one gradient; raises where one changes its size."""
    value = as_tensor(g, create_graph)
    replaced = False
    for hook in tuple(hooks.values()):
        result = hook(value)
        if result is None:
            continue
        if not isinstance(result, Tensor):
            raise TypeError(f"expected Tensor, but hook '{_name(hook)}' returned '{type(result).__name__}'")
        if result._a.shape != value._a.shape:
            raise RuntimeError(f"hook '{_name(hook)}' has changed the size of value")
        if result._a.dtype != value._a.dtype:
            raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value")
        value, replaced = result, True
    if create_graph:
        return value
    # a hook may have kept the tensor, or written to it: its payload is what counts
    return value._a if replaced or value._a is not g else g


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def before_node(node: Node, g: Any, create_graph: bool) -> Any:
    """Tensor hooks, then retained gradients, then pre-hooks of the node."""
    extra: Any = node.extra
    values: list[Any] = [g] if node.outputs == 1 else list(g)
    if extra.tensor_hooks is not None:
        for number, hooks in tuple(extra.tensor_hooks.items()):
            if values[number] is not None and hooks:
                values[number] = run_tensor_hooks(hooks, values[number], create_graph)
    if extra.retain is not None:
        for number, holder in tuple(extra.retain.items()):
            tensor = holder()
            if tensor is not None and values[number] is not None:
                value = as_tensor(values[number], create_graph)
                if not create_graph and isinstance(value._a, np.ndarray):
                    value = wrap(value._a.copy())
                tensor._grad = value if tensor._grad is None else tensor._grad + value
    if extra.prehooks:
        outputs = tuple(as_tensor(value, create_graph) for value in values)
        for hook in tuple(extra.prehooks.values()):
            result = hook(outputs)
            if result is not None:
                outputs = result if isinstance(result, tuple) else (result,)
        values = [value if create_graph or value is None else value._a for value in outputs]
    if node.outputs == 1:
        return values[0]
    return values


def after_node(node: Node, cotangents: tuple[Any, ...], g: Any, create_graph: bool) -> tuple[Any, ...]:
    """Post-hooks of the node: `hook(grad_inputs, grad_outputs)`, whose result replaces the former."""
    extra: Any = node.extra
    if not extra.hooks:
        return cotangents
    outputs = tuple(as_tensor(value, create_graph) for value in ([g] if node.outputs == 1 else g))
    inputs = tuple(as_tensor(value, create_graph) for value in cotangents)
    for hook in tuple(extra.hooks.values()):
        result = hook(inputs, outputs)
        if result is not None:
            inputs = result if isinstance(result, tuple) else (result,)
    return tuple(value if create_graph or value is None else value._a for value in inputs)


def before_leaf(leaf: Tensor, g: Any, create_graph: bool) -> Any:
    return run_tensor_hooks(leaf._hooks, g, create_graph) if leaf._hooks else g


def after_accumulation(leaf: Tensor, g: Any, create_graph: bool) -> None:
    """Hooks that want the leaf once its `.grad` is up to date, then those of its `AccumulateGrad` node."""
    if leaf._post_accumulate_hooks:
        for hook in tuple(leaf._post_accumulate_hooks.values()):
            if hook(leaf) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    node = None if leaf._accumulator is None else leaf._accumulator()
    if node is not None and node.extra is not None and node.extra.hooks:
        for hook in tuple(node.extra.hooks.values()):
            hook((), (as_tensor(g, create_graph),))
