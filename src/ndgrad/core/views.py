"""Views: a tensor that shares another's memory remembers its base and the view primitives that lead to it.

When the base is changed in place, the view's place in the graph is out of date; it is made anew the next time anybody asks
for it. A write through a view becomes one node on the base. No operation knows of any of this.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ndgrad.base import modes
from ndgrad.base.location import place
from ndgrad.core.node import Node, tick
from ndgrad.core.tensor import LEAF, Tensor

#: A view primitive and its parameters: applied to a tensor or to an array, it makes the view.
Step = tuple[Any, dict[str, Any]]

DEFAULT, NO_GRAD, INFERENCE_MADE, MULTI_OUTPUT, CUSTOM = "default", "no_grad", "inference", "multi_output", "custom"


class View:
    """Where a view comes from: its base (never itself a view), the steps from there, and under which circumstances.

    `seen` is the version of the memory for which the view's node is right.
    """

    __slots__ = ("base", "origin", "seen", "steps")

    def __init__(self, base: Tensor, steps: tuple[Step, ...], seen: int, origin: str) -> None:
        self.base = base
        self.steps = steps
        self.seen = seen
        self.origin = origin

    @classmethod
    def of(cls, parent: Tensor, step: Step, mode: modes.Modes, *, multi: bool) -> View:
        """The record of a view made of `parent`, which may be a view itself."""
        cell = parent._v
        above = parent._view
        origin = MULTI_OUTPUT if multi else DEFAULT if mode.grad else NO_GRAD
        if above is None:
            return cls(parent, (step,), cell[0], origin)
        if above.origin != DEFAULT and origin != MULTI_OUTPUT:
            origin = above.origin
        return cls(above.base, (*above.steps, step), cell[0], origin)

    def refresh(self, tensor: Tensor, *, always: bool = False) -> None:
        """Give the view the node that follows from what its base has become; in no_grad only if `always`."""
        base = self.base
        base_node = base._node
        if base_node is None and tensor._node is None:
            self.seen = tensor._v[0]
            return
        if not always and not modes.is_grad_enabled():
            return
        if self.origin != DEFAULT:
            self.refuse(tensor, "its base or another view of its base has been modified inplace")
        if base_node is None:
            tensor._node = None
        else:
            node = AsStridedBackward0()
            node.parents = (base if base_node is LEAF else base_node,)
            node.saved = node.extra = None
            node.params = {"steps": self.steps, "known": known_steps(base._a, self.steps)}
            node.shape, node.dtype = tensor._a.shape, tensor._a.dtype
            node.number = tick()
            node.code, node.lasti = place()
            tensor._node = node
        self.seen = tensor._v[0]

    def refuse(self, tensor: Tensor, what: str) -> NoReturn:
        """Say why this view may not be changed, or used after such a change, where gradients are recorded."""
        node = tensor._node
        if self.origin == MULTI_OUTPUT:
            name = "UnbindBackward0" if node is None or node is LEAF else node.name()
            number = 0 if node is None or node is LEAF else node.output_nr
            raise RuntimeError(
                f"Output {number} of {name} is a view and {what}. This view is the output of a function that returns multiple views. Such "
                "functions do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
            )
        if self.origin == CUSTOM:
            name = "a custom Function" if node is None or node is LEAF else node.name()
            raise RuntimeError(
                f"Output 0 of {name} is a view and {what}. This view was created inside a custom Function (or because an input was returned "
                "as-is) and the autograd logic to handle view+inplace would override the custom backward associated with the custom Function, "
                "leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
            )
        mode = "no_grad" if self.origin == NO_GRAD else "inference"
        raise RuntimeError(
            f"A view was created in {mode} mode and {what} with grad mode enabled. Given that this use case is ambiguous and error-prone, it is "
            f"forbidden. You can clarify your code by moving both the view and the inplace either both inside the {mode} block (if you don't want "
            "the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
        )


def replay_steps(value: Any, steps: tuple[Step, ...]) -> Any:
    """Apply view steps to a tensor (recorded) or to an array."""
    raw_side = not isinstance(value, Tensor)
    for primitive, params in steps:
        number = params.get("number")
        if number is not None:
            params = {k: v for k, v in params.items() if k != "number"}
        value = primitive.kernel(value, **params) if raw_side else primitive(value, **params)
        if number is not None:
            value = value[number]
    return value


def known_steps(array: Any, steps: tuple[Step, ...]) -> list[tuple[Any, Any]]:
    """For each step its transpose's arguments, found by walking the steps once over the base's memory."""
    known: list[tuple[Any, Any]] = []
    for primitive, params in steps:
        known.append((primitive, primitive.transpose_arguments(array, params)))
        array = replay_steps(array, ((primitive, params),))
    return known


class AsStridedBackward0(Node):
    """The history of a view that was made anew after its base changed: the transposes of the steps, last one first."""

    __slots__ = ()

    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        params: Any = self.params
        for primitive, arguments in reversed(params["known"]):
            g = primitive.transpose_raw(g, arguments)
        return (g,)

    def pull_recorded(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        params: Any = self.params
        for primitive, arguments in reversed(params["known"]):
            g = primitive.transpose_recorded(g, arguments)
        return (g,)


class CopySlices(Node):
    """A write through a view, on the base: outside the view the base's old history goes on, inside it what was written."""

    __slots__ = ()

    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        params: Any = self.params
        base, written = parents
        kept = None
        if base is not None:
            kept = g.copy()
            replay_steps(kept, params["steps"])[...] = 0
        return kept, None if written is None else replay_steps(g, params["steps"])

    def pull_recorded(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        params: Any = self.params
        base, written = parents
        kept = None
        if base is not None:
            kept = g.clone()
            replay_steps(kept, params["steps"]).zero_()
        return kept, None if written is None else replay_steps(g, params["steps"])


def write_through(view: Tensor, written: Any) -> None:
    """Record on the base that the memory of `view` now holds what the edge `written` leads to."""
    record: Any = view._view
    base = record.base
    base_node = base._refresh()
    node = CopySlices()
    node.parents = (base if base_node is LEAF else base_node, written)
    node.saved = node.extra = None
    node.params = {"steps": record.steps}
    node.shape, node.dtype = base._a.shape, base._a.dtype
    node.number = tick()
    node.code, node.lasti = place()
    base._node = node
