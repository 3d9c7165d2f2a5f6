"""Views: a tensor that shares another's memory remembers its base and the view primitives that lead to it.

When the base is changed in place, the view's place in the graph is out of date; it is made anew the next time anybody asks
for it. A write through a view becomes one node on the base. No operation knows of any of this.
"""

from __future__ import annotations

import gc
from typing import Any, NoReturn

import numpy as np

from ndgrad.base import modes
from ndgrad.base.shapes import is_contiguous
from ndgrad.core.batches import batch_of
from ndgrad.core.node import Node, entered, keep_retained, plain_name
from ndgrad.core.tensor import LEAF, Tensor, modified_by

#: A view primitive and its parameters: applied to a tensor or to an array, it makes the view.
Step = tuple[Any, dict[str, Any]]
#: The steps from a base to a view: (the steps before, the last step). Linked, so that a chain of n views costs n.
Steps = tuple[Any, Step]

DEFAULT, NO_GRAD, INFERENCE_MADE, MULTI_OUTPUT, CUSTOM = "default", "no_grad", "inference", "multi_output", "custom"
#: What a transform differentiates by, and views of it: for its function that is a leaf.
HANDLE = "handle"


class View:
    """Where a view comes from: its base (never itself a view), the steps from there, and under which circumstances.

    `seen` is the version of the memory for which the view's node is right; its complement once the base has been asked to require
    grad, or no longer to. Further facts are rare, and their slots empty until they are known: `own`, whether `requires_grad_()` was
    called on the view itself; `outdated`, whether the memory has changed since the view was made of a base without history;
    `replays`, whether a new node is to come from the steps themselves, done once more.
    """

    __slots__ = ("base", "origin", "outdated", "own", "replays", "seen", "steps")

    base: Tensor
    steps: Steps
    seen: int
    origin: str
    own: bool
    outdated: bool
    replays: bool

    def __init__(self, base: Tensor, steps: Steps, seen: int, origin: str) -> None:
        self.base = base
        self.steps = steps
        self.seen = seen
        self.origin = origin

    @classmethod
    def made(cls, parent: Tensor, step: Step, version: int, recorded: bool) -> View:
        """The same as `of` for a single view in an ordinary mode."""
        above = parent._view
        origin = DEFAULT if recorded else NO_GRAD
        if above is None:
            return cls(parent, (None, step), version, origin)
        return cls(above.base, (above.steps, step), version, above.origin if recorded else origin)

    @classmethod
    def of(cls, parent: Tensor, step: Step, mode: modes.Modes, *, multi: bool) -> View:
        """The record of a view made of `parent`, which may be a view itself."""
        cell = parent._v
        above = parent._view
        origin = INFERENCE_MADE if mode.inference else NO_GRAD if not mode.grad else MULTI_OUTPUT if multi else DEFAULT
        if above is None:
            return cls(parent, (None, step), cell[0], origin)
        return cls(above.base, (above.steps, step), cell[0], above.origin if origin == DEFAULT else origin)

    def refresh(self, tensor: Tensor, *, always: bool = False) -> None:
        """Give the view the node that follows from what its base has become; in no_grad only if `always`."""
        base = self.base
        base_node, node, version = base._node, tensor._node, tensor._v[0]
        seen = self.seen if self.seen >= 0 else ~self.seen
        changed = seen != version or getattr(self, "outdated", False)
        if node is None or node is LEAF:
            if base_node is None:  # a history out of date is no history yet
                self.outdated = changed
            if base_node is None or not changed:
                tensor._node = LEAF if base_node is not None or getattr(self, "own", False) else None
                self.seen = version
                return
        elif not changed:  # what was recorded stays recorded
            self.seen = version
            return
        if not always and not modes.is_grad_enabled():
            return
        if self.origin != DEFAULT:
            self.refuse(tensor, "its base or another view of its base has been")
        if base_node is None:
            tensor._node = None
        else:
            before = tensor._node
            edge = base if base_node is LEAF else base_node
            if getattr(self, "replays", False) or batch_of(base._a) is not None:
                grad = modes.set_mode("grad", True)
                try:
                    tensor._node = replay_steps(base, self.steps)._node
                finally:
                    modes.set_mode("grad", grad)
            else:
                tensor._node = entered(AsStridedBackward0(), (edge,), tensor, {"known": known_steps(base._a, self.steps)})
            keep_retained(tensor, before)
        self.seen = version
        self.outdated = False

    def refuse(self, tensor: Tensor, what: str) -> NoReturn:
        """Say why this view may not be changed, or used after such a change, where gradients are recorded."""
        if self.origin == HANDLE:
            raise RuntimeError(
                f"a {'' if getattr(self, 'own', False) else 'view of a '}leaf Variable that requires grad is being used in an in-place "
                "operation. It is, or shares memory with, an argument that a transform differentiates by; work on a clone()."
            )
        node = None if tensor._node is LEAF else tensor._node
        origin = NO_GRAD if node is None and self.origin != INFERENCE_MADE else self.origin
        made = "" if node is None else f" It was made by {node.name()} at {node.where()}."
        output = "" if node is None else f"Output {node.output_nr} of {plain_name(node)} is a view"
        if origin in (NO_GRAD, INFERENCE_MADE):
            mode, after = ("no_grad", "with grad mode enabled") if origin == NO_GRAD else ("inference", "in normal mode")
            block = "no_grad" if origin == NO_GRAD else "inference_mode"
            subject = f"{output} of a view which was created in" if output else "A view was created in"
            raise RuntimeError(
                f"{subject} {mode} mode and {what} modified inplace {after}. Given that this use case is ambiguous and error-prone, it is "
                f"forbidden. You can clarify your code by moving both the view and the inplace either both inside the {block} block (if "
                "you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
                f"{made}{_last_change(tensor)}"
            )
        if origin == MULTI_OUTPUT:
            raise RuntimeError(
                f"{output} and {what} modified inplace. This view is the output of a function that returns multiple views. Such functions "
                "do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
                f"{made}{_last_change(tensor)}"
            )
        raise RuntimeError(
            f"{output} and {what} modified inplace. This view was created inside a custom Function (or because an input was returned "
            "as-is) and the autograd logic to handle view+inplace would override the custom backward associated with the custom Function, "
            "leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom "
            f"Function.{made}"
        )


def outdate_views(base: Tensor) -> None:
    """Let the views of a tensor that has been asked to require grad, or no longer to, find that out on next use.

    A base does not know its views, which spares every view the price of being known; they are looked for where this is needed.
    """
    for record in gc.get_referrers(base):
        if type(record) is View and record.seen >= 0:
            record.seen = ~record.seen


def _last_change(tensor: Tensor) -> str:
    changed = modified_by(tensor._v)
    return f" Its memory was last changed by {changed}." if changed else ""


def unrolled(steps: Steps | None) -> list[Step]:
    """The steps in the order in which they were taken."""
    found: list[Step] = []
    while steps is not None:
        steps, step = steps
        found.append(step)
    found.reverse()
    return found


def replay(value: Any, step: Step) -> Any:
    """Apply one view step to a tensor (recorded) or to an array."""
    primitive, params = step
    number = params.get("number")
    if number is not None:
        params = {key: given for key, given in params.items() if key != "number"}
    value = primitive(value, **params) if isinstance(value, Tensor) else primitive.kernel(value, **params)
    return value if number is None else value[number]


def replay_steps(value: Any, steps: Steps) -> Any:
    """Apply view steps to a tensor (recorded) or to an array."""
    for step in unrolled(steps):
        value = replay(value, step)
    return value


def known_steps(array: Any, steps: Steps) -> list[tuple[Any, Any]]:
    """For each step its transpose's arguments, found by walking the steps once over the base's memory."""
    known: list[tuple[Any, Any]] = []
    for step in unrolled(steps):
        primitive, params = step
        known.append((primitive, primitive.transpose_arguments(array, params)))
        array = replay(array, step)
    return known


def memory_order(array: Any) -> tuple[int, ...]:
    """The dims from the one with the longest step in memory to the one with the shortest."""
    return tuple(sorted(range(array.ndim), key=lambda dim: -array.strides[dim]))


def laid_out(array: Any, order: tuple[int, ...]) -> bool:
    """Whether the array is contiguous with its dims in this order."""
    return is_contiguous(tuple(array.shape[dim] for dim in order), tuple(array.strides[dim] // array.itemsize for dim in order))


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

    printed_name = "torch::autograd::CopySlices"

    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        params: Any = self.params
        base, written = parents
        # the view steps work on memory laid out like the base's, so the cotangent must have that layout
        order, steps = params["order"], params["steps"]
        g = np.ascontiguousarray(np.transpose(g, order)).reshape([g.shape[dim] for dim in order]).transpose(inverse(order))
        kept = None
        if base is not None:
            kept = g.copy(order="K")
            replay_steps(kept, steps)[...] = 0
        return kept, None if written is None else replay_steps(g, steps)

    def pull_recorded(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        params: Any = self.params
        base, written = parents
        order, steps = params["order"], params["steps"]
        if not laid_out(g._a, order):
            g = g.permute(order).contiguous().permute(inverse(order))
        kept = None
        if base is not None:
            kept = g.clone()
            replay_steps(kept, steps).zero_()
        return kept, None if written is None else replay_steps(g, steps)


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes another."""
    return tuple(order.index(dim) for dim in range(len(order)))


def write_through(view: Tensor, written: Any) -> None:
    """Record on the base that the memory of `view` now holds what the edge `written` leads to."""
    record: Any = view._view
    base = record.base
    before = base._node
    params = {"steps": record.steps, "order": memory_order(base._a)}
    base._node = entered(CopySlices(), (base if before is LEAF else before, written), base, params)
    keep_retained(base, before)
    if view._node is not None:
        record.refresh(view, always=True)  # what retains the view's gradient must move on before anything else is recorded
