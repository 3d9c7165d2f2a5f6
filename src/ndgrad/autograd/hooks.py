"""Hooks on tensors and nodes, as the engine calls them."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ndgrad.autograd.handles import Hooks, RemovableHandle
from ndgrad.base.dtypes import type_name
from ndgrad.base.nesting import nesting, refuse_retain_grad
from ndgrad.core.node import AccumulateGrad, Node, edge_of, registration_lock
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import LEAF, Tensor, wrap

#: Held while a gradient is added to `.grad`, so that threads that share a leaf, or a graph, lose nothing.
accumulation_lock = threading.RLock()
# What is looped over is copied with `list`, which even a Python without a global lock does in one step.


def add_hook(hooks: Hooks, hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def of_its_call(hook: Callable[..., Any], edge: Any) -> Callable[..., Any]:
    """A hook on a gradient inside `func.grad` and its kin: transforms around that one, which run over the same nodes, pass it by."""
    call = nesting.call
    if call is None or not call.made(edge):
        return hook
    mark = call.mark  # not the call, which knows its nodes, and they their hooks

    @functools.wraps(hook)
    def in_its_passes(*grads: Any) -> Any:
        return hook(*grads) if mark.is_passed() else None

    return in_its_passes


# ---------------------------------------------------------------- registering
def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` whenever the gradient of this tensor is complete; what it returns, if anything, replaces the gradient."""
    node = edge_of(self)
    if node is None and not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node is self or node is None:
        with registration_lock:
            if self._hooks is None:
                self._hooks = Hooks()
        return add_hook(self._hooks, of_its_call(hook, self))
    return add_hook(hooks_of_outputs(node).setdefault(node.output_nr, Hooks()), of_its_call(hook, node))


def hooks_of_outputs(edge: Any) -> dict[int, Hooks]:
    """The hooks on the gradients of all outputs of the node that an edge leads to, by the number of the output."""
    extra = edge.node_of().more()
    with registration_lock:
        if extra.tensor_hooks is None:
            extra.tensor_hooks = {}
    found: dict[int, Hooks] = extra.tensor_hooks
    return found


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `hook(leaf)` each time a gradient has been added to the leaf's `.grad`."""
    node = edge_of(self)
    if node is None and not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node is not self and node is not None:
        raise RuntimeError(
            f"post accumulate grad hooks cannot be registered on non-leaf tensors; this one was computed by {node.name()} at {node.where()}"
        )
    with registration_lock:
        if self._post_accumulate_hooks is None:
            self._post_accumulate_hooks = Hooks()
    return add_hook(self._post_accumulate_hooks, hook)


def backward_hooks(self: Tensor) -> Hooks | None:
    """The hooks on the gradient of this tensor, by the ids of their handles; None if there never were any."""
    node = self._known_node()
    if node is None or node is LEAF:
        found: Hooks | None = self._hooks
        return found
    extra = node.node_of().extra
    return None if extra is None or extra.tensor_hooks is None else extra.tensor_hooks.get(node.output_nr)


def set_backward_hooks(self: Tensor, hooks: Hooks | None) -> None:
    """Put other hooks in the place of those on the gradient of this tensor."""
    node = self._known_node()
    if node is None or node is LEAF:
        self._hooks = hooks
        return
    if hooks is None:
        hooks_of_outputs(node).pop(node.output_nr, None)
    else:
        hooks_of_outputs(node)[node.output_nr] = hooks


def node_register_hook_dict(self: Node, tensor: Tensor) -> None:
    """Call the hooks in a tensor's `_backward_hooks` when the gradient of the output that the tensor is has arrived."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"_register_hook_dict expected a variable, but got {type(tensor).__name__}")
    hooks = backward_hooks(tensor)
    if hooks is None:
        return
    if isinstance(self, AccumulateGrad):
        self.variable._hooks = hooks
        return
    hooks_of_outputs(self)[tensor.output_nr] = hooks


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this tensor in `.grad` although it is not a leaf."""
    if not self.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    refuse_retain_grad()
    if self._known_node() in (None, LEAF):
        return
    node: Any = edge_of(self)
    extra = node.node_of().more()
    with registration_lock:
        if extra.retain is None:
            extra.retain = {}
    extra.retain[node.output_nr] = weakref.ref(self)


def node_register_hook(self: Node, fn: Callable[..., Any]) -> RemovableHandle:
    """Call `fn(grad_inputs, grad_outputs)` after the node has run; a tuple that it returns replaces the former."""
    extra = self.more()
    with registration_lock:
        if extra.hooks is None:
            extra.hooks = Hooks()
    keep_accumulator(self)
    return add_hook(extra.hooks, of_its_call(fn, self))


def node_register_prehook(self: Node, fn: Callable[..., Any]) -> RemovableHandle:
    """Call `fn(grad_outputs)` before the node runs; a tuple that it returns replaces them."""
    extra = self.more()
    with registration_lock:
        if extra.prehooks is None:
            extra.prehooks = Hooks()
    keep_accumulator(self)
    return add_hook(extra.prehooks, of_its_call(fn, self))


def keep_accumulator(node: Node) -> None:
    """A leaf refers weakly to its `AccumulateGrad`; one with hooks must live as long as the leaf."""
    if isinstance(node, AccumulateGrad):
        node.variable._accumulator = lambda: node


# ---------------------------------------------------------------- calling
def as_tensor(g: Any, create_graph: bool) -> Any:
    return g if create_graph or g is None else wrap(g)


def run_tensor_hooks(hooks: dict[int, Any], g: Any, create_graph: bool) -> Any:
    """Chain hooks on one gradient; raises where one changes its size."""
    value = as_tensor(g, create_graph)
    replaced = False
    for hook in list(hooks.values()):
        result = hook(value)
        if result is None:
            continue
        if value is None:
            refuse_to_replace_none(hook)
        if not isinstance(result, Tensor):
            raise TypeError(
                f"expected Variable, but hook returned '{type(result).__name__}'; hook '{_name(hook)}' may return a Tensor or None"
            )
        check_replacement(hook, result, value)
        value, replaced = result, True
    if create_graph:
        return value
    # a hook may have kept the tensor, or written to it: its payload is what counts
    return None if value is None else value._a if replaced or value._a is not g else g


def refuse_to_replace_none(hook: Any) -> NoReturn:
    raise RuntimeError(
        f"can't replace a None gradient with a non-None value. Hook '{_name(hook)}' was given None, for an output that no gradient came "
        "back to, and may return nothing else"
    )


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def before_node(node: Node, g: Any, create_graph: bool, runs: bool = True) -> Any:
    """Tensor hooks, then retained gradients and, if the node itself `runs`, its pre-hooks."""
    extra: Any = node.extra
    values: list[Any] = [g] if node.outputs == 1 else list(g)
    if extra.tensor_hooks is not None:
        for number, hooks in list(extra.tensor_hooks.items()):
            if hooks:  # with None where nothing came back, while something did to another output of the node
                values[number] = run_tensor_hooks(hooks, values[number], create_graph)
    if extra.retain is not None:
        for number, holder in list(extra.retain.items()):
            tensor = holder()
            if tensor is not None and values[number] is not None:
                value = as_tensor(values[number], create_graph)
                with accumulation_lock:
                    if tensor._grad is not None:
                        tensor._grad = tensor._grad + value
                    else:
                        tensor._grad = recorded.clone(value) if create_graph else wrap(np.array(value._a))
    if extra.prehooks and runs:
        shown = node.shown_outputs()
        for number, value in zip(shown, run_prehooks(extra.prehooks, [values[at] for at in shown], create_graph), strict=True):
            values[number] = value
    if node.outputs == 1:
        return values[0]
    return values


def run_prehooks(hooks: dict[int, Any], values: list[Any], create_graph: bool) -> list[Any]:
    """Chain the pre-hooks of a node on the cotangents of its outputs."""
    outputs = tuple(as_tensor(value, create_graph) for value in values)
    for hook in list(hooks.values()):
        result = hook(outputs)
        if result is not None:
            outputs = replaced(hook, result, outputs, "grad_outputs")
    return [value if create_graph or value is None else value._a for value in outputs]


def replaced(hook: Any, result: Any, before: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """What a hook of a node returned, if it can stand for what it was given."""
    if not isinstance(result, tuple):
        raise TypeError(
            f"expected tuple, but hook returned '{type(result).__name__}'; hook '{_name(hook)}' may return a tuple of {what} or None"
        )
    given: tuple[Any, ...] = result
    if len(given) != len(before):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(given)}, but expected {len(before)}): they "
            f"are the {what}"
        )
    for position, (value, old) in enumerate(zip(given, before, strict=True)):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"expected Variable, but hook returned '{type(value).__name__}' at position {position} of its {what}")
        if value is not None and old is None:
            refuse_to_replace_none(hook)
        if value is not None:
            check_replacement(hook, value, old)
    return given


def check_replacement(hook: Any, value: Tensor, before: Any) -> None:
    """Refuse a gradient from a hook that has not the size and type of the one it was given."""
    if value._a.shape != before._a.shape:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the size of value: it was {list(before._a.shape)} and became {list(value._a.shape)}"
        )
    if value._a.dtype != before._a.dtype:
        was, got = (f"{type_name(tensor.dtype)}Tensor" for tensor in (before, value))
        raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value (was torch.{was} got torch.{got})")


def after_node(node: Node, cotangents: tuple[Any, ...], g: Any, create_graph: bool) -> tuple[Any, ...]:
    """Post-hooks of the node: `hook(grad_inputs, grad_outputs)`, whose result replaces the former."""
    extra: Any = node.extra
    if not extra.hooks:
        return cotangents
    values = [g] if node.outputs == 1 else g
    outputs = tuple(as_tensor(values[number], create_graph) for number in node.shown_outputs())
    shown = range(len(cotangents)) if node.shown is None else node.shown
    inputs = tuple(as_tensor(cotangents[at], create_graph) for at in shown)
    for hook in list(extra.hooks.values()):
        result = hook(inputs, outputs)
        if result is not None:
            inputs = replaced(hook, result, inputs, "grad_inputs")
    found = list(cotangents)
    for at, value in zip(shown, inputs, strict=True):
        found[at] = value if create_graph or value is None else value._a
    return tuple(found)


def before_leaf(leaf: Tensor, g: Any, create_graph: bool) -> Any:
    """The hooks of a leaf."""
    return run_tensor_hooks(leaf._hooks, g, create_graph) if leaf._hooks else g


def before_accumulation(leaf: Tensor, g: Any, create_graph: bool) -> Any:
    """The pre-hooks of a leaf's `AccumulateGrad`."""
    node = leaf._accumulator()
    if node is None or node.extra is None or not node.extra.prehooks:
        return g
    return run_prehooks(node.extra.prehooks, [g], create_graph)[0]


def after_accumulation(leaf: Tensor, g: Any, create_graph: bool) -> None:
    """Hooks that want the leaf once its `.grad` is up to date, then those of its `AccumulateGrad` node."""
    if leaf._post_accumulate_hooks:
        for hook in list(leaf._post_accumulate_hooks.values()):
            result = hook(leaf)
            if result is not None and result is not leaf:
                kind = RuntimeError if isinstance(result, Tensor) else TypeError
                first = "" if isinstance(result, Tensor) else f"expected Variable, but hook returned '{type(result).__name__}': "
                raise kind(f"{first}Tensor post accumulate grad hooks should return None. Hook '{_name(hook)}' did not.")
    node = None if leaf._accumulator is None else leaf._accumulator()
    if node is not None and node.extra is not None and node.extra.hooks:
        for hook in list(node.extra.hooks.values()):
            hook((), (as_tensor(g, create_graph),))
