"""Calling a custom function: its forward without recording, then its outputs' places in the graph."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from ndgrad.autograd.custom_nodes import CustomNode, stashed_places
from ndgrad.base import modes
from ndgrad.core.batches import deepest
from ndgrad.core.inplace import check_recorded
from ndgrad.core.node import edge_of, keep_retained
from ndgrad.core.observers import Observer, announce, observed_call
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import LEAF, Tensor, mark_modified, wrap
from ndgrad.core.views import CUSTOM, MULTI_OUTPUT, write_through


def bind_defaults(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments in the order of the parameters, defaults filled in."""
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs


def positional(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], has_context: bool) -> tuple[Any, ...]:
    """The arguments with those given by keyword in their places: gradients are told apart by position."""
    if not kwargs:
        return args
    parameters = inspect.signature(forward).parameters.values()
    names = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)][has_context:]
    last = len(args)
    for name in kwargs:
        if name not in names:
            raise TypeError(f"forward() got an unexpected keyword argument '{name}'")
        position = names.index(name)
        if position < len(args):
            raise TypeError(f"forward() got multiple values for argument '{name}'")
        last = max(last, position + 1)
    for position, name in enumerate(names[len(args) : last], len(args)):
        if name not in kwargs:
            raise TypeError(f"forward() missing required argument: '{name}' (position {position})")
    return (*args, *(kwargs[name] for name in names[len(args) : last]))


def call_function(function: Any, args: tuple[Any, ...], has_setup: bool, observed: bool = False) -> Any:
    """Run forward, and record the call if an input requires grad and recording is on; `observed` says that observers are around it."""
    mode = modes.current()
    level: Any = None
    observers = mode.observers
    if observers:
        level = deepest(value._a for value in args if isinstance(value, Tensor))
        if level is not None:
            observers = level.above()
    if observers and not observed:
        return observed_call(observers, function, args, partial(call_function, function, args, has_setup, True))
    needs = tuple(isinstance(value, Tensor) and value.requires_grad and (level is None or level.tracks(value)) for value in args)
    recording = True in needs and mode.grad and not mode.inference
    positions: tuple[int, ...] = ()
    parents: tuple[Any, ...] = ()
    if recording:
        positions = tuple(at for at, value in enumerate(args) if isinstance(value, Tensor))
        parents = tuple(edge_of(args[at]) if needs[at] else None for at in positions)
    node: CustomNode = function._node_cls(needs, positions, parents)
    context = node.face()
    modes.set_mode("grad", False)
    if mode.observers:
        modes.set_mode("observers", tuple(observer for observer in mode.observers if observer.batches or not observer.follows_tensors))
    try:
        if level is not None:
            output = with_modes(mode, partial(function._batched_forward, level, args, has_setup))
            function.setup_context(context, args, output)
        elif has_setup:
            output = function.forward(*args)
            function.setup_context(context, args, output)
        else:
            output = function.forward(context, *args)
        inner = tuple(output) if isinstance(output, tuple) else output
        result = Outputs(node, args, output, recording, has_setup).placed()
    finally:
        modes.set_mode("grad", mode.grad)
        if mode.observers:
            modes.set_mode("observers", mode.observers)
    for observer in observers:
        observer.called(function, context, args, inner, result)
    node.state.pop("saved_for_forward", None)
    return result


def with_modes(mode: modes.Modes, compute: Callable[[], Any]) -> Any:
    """Compute something in the modes in which a function was called."""
    inner = modes.current()
    modes.set_mode("grad", mode.grad)
    modes.set_mode("observers", mode.observers)
    try:
        return compute()
    finally:
        modes.set_mode("grad", inner.grad)
        modes.set_mode("observers", inner.observers)


class Outputs:
    """What a forward returned, and what becomes of it."""

    def __init__(self, node: CustomNode, args: tuple[Any, ...], output: Any, recording: bool, has_setup: bool) -> None:
        state = node.state
        self.node, self.output, self.recording = node, output, recording
        self.values: list[Any] = list(output) if isinstance(output, tuple) else [output]
        self.inputs = {id(value) for value in args if isinstance(value, Tensor)}
        self.to_save = tuple(state.pop("to_save", None) or ())
        self.dirty = state.pop("dirty_tensors", None) or ()
        self.fixed = state.pop("non_differentiable", None) or ()
        node.materializes = bool(state.pop("materialize_grads", True))
        self.unsavable = {id(value) for value in self.to_save} if has_setup else set()

    def placed(self) -> Any:
        """The outputs as the caller gets them."""
        node, values = self.node, self.values
        dirty, fixed = self.check_dirty(), self.check_fixed()
        node.outputs = len(values)
        node.formats = tuple((value._a.shape, value._a.dtype) if isinstance(value, Tensor) else None for value in values)
        forms = [form or ((), None) for form in node.formats]
        node.shape, node.dtype = forms[0] if len(forms) == 1 else tuple(zip(*forms, strict=True)) or ((), ())
        views: list[Tensor] = []
        several = 0
        for number, value in enumerate(values):
            if not isinstance(value, Tensor):
                continue
            is_input, is_dirty = id(value) in self.inputs, id(value) in dirty
            if is_input and not is_dirty and id(value) in self.unsavable:
                raise RuntimeError(
                    "An input that has been returned as-is as output is being saved for backward. This is not supported if you override "
                    "setup_context. You should return and save a view of the input instead, e.g. with x.view_as(x) or setup ctx inside the "
                    "forward function itself."
                )
            if not self.recording or id(value) in fixed or value._a.dtype.kind not in "fc":
                values[number] = without_gradient(value, is_input, is_dirty)
                continue
            several += 1
            if is_dirty:
                self.rebase(value, number, is_input)
            else:
                if is_input:  # a new tensor, because the input keeps its own place in the graph
                    value = values[number] = recorded.alias(value)
                value._node = node.edge(number)
            if value._view is not None and not (is_input and is_dirty):
                views.append(value)
        for value in views:
            view: Any = value._view
            view.seen, view.origin = value._v[0], MULTI_OUTPUT if several > 1 else CUSTOM
        if self.recording:
            node.save(self.to_save)
            node.stashed = stashed_places(node.state)
            announce(Observer.recorded, node)
        return tuple(values) if isinstance(self.output, tuple) else values[0]

    def check_dirty(self) -> set[int]:
        """Count the changes of the tensors that were marked, all of which must be returned."""
        for index, tensor in enumerate(self.dirty):
            if not isinstance(tensor, Tensor):
                raise RuntimeError(f"mark_dirty can only accept variables, but argument {index} is of type {type(tensor).__name__}")
            mark_modified(tensor, type(self.node).__name__.removesuffix("Backward"))
        dirty = {id(tensor) for tensor in self.dirty}
        if not dirty <= {id(value) for value in self.values}:
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified "
                "inplace must all be outputs of the Function."
            )
        return dirty

    def check_fixed(self) -> set[int]:
        for tensor in self.fixed:
            if not isinstance(tensor, Tensor):
                raise RuntimeError(f"mark_non_differentiable only accepts variable arguments, but got {type(tensor).__name__}")
        return {id(tensor) for tensor in self.fixed}

    def rebase(self, value: Tensor, number: int, is_input: bool) -> None:
        """Give a tensor that forward has changed its new history."""
        if not is_input:
            warnings.warn(
                "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated should be passed to "
                "ctx.mark_dirty().",
                UserWarning,
                stacklevel=5,
            )
        if value._node is LEAF and value._view is None:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        if value._view is None or not is_input:
            before = value._node
            value._node = self.node.edge(number)
            keep_retained(value, before)
            value._cell()[4:] = (type(self.node),)  # for the error of who saved the old value
            return
        if len(self.values) > 1:
            raise RuntimeError(
                "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more than one "
                "Tensor. This is not supported by the current autograd engine. You should either make sure the input is not a view (using "
                ".clone() for example) or make your Function only return one Tensor (potentially splitting it into two Functions: one "
                "doing the inplace that returns a single Tensor and a second one that does the other operations)."
            )
        check_recorded(value, type(self.node).__name__.removesuffix("Backward"))
        write_through(value, self.node)
        owner: Any = value._view.base
        value._cell()[4:] = (type(owner._node),)


def without_gradient(value: Tensor, is_input: bool, is_dirty: bool) -> Tensor:
    """An output that no gradient comes back to: an input as another tensor, anything else as it is."""
    if not value.requires_grad:
        return recorded.alias(value) if is_input and not is_dirty else value
    if is_input:
        out = wrap(value._memory())
        out._v = value._cell()
        return out
    if value._view is None:
        value._node = None
    return value
