"""Forward mode: a level knows the tangents of tensors, and pushes them through every operation on its thread.

A level is an observer, so that where there is none nobody pays. Tangents are tensors. They are pushed while only the levels that entered
before are watching; so the tangents of one level can have tangents of another, and be recorded like anything else.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.following import Follower, in_dtype_of
from ndgrad.autograd.quick_pushes import push_quickly
from ndgrad.autograd.transposition import push_any
from ndgrad.base import modes
from ndgrad.base.storage import owner_of
from ndgrad.core.batches import batch_of, holds
from ndgrad.core.batching import widened
from ndgrad.core.primitive import Primitive
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.core.views import replay_steps, unrolled
from ndgrad.ops import ops as functions

#: What the derivative of an in-place function must be as well.
IN_PLACE = (
    "An inplace custom Function is not modifying the forward mode gradients inplace. If the forward is modifying an input inplace, then "
    "the jvp function must modify the corresponding gradient inplace."
)
SIZE = (
    "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. Tensor is of size "
    "{} while the given forward gradient is of size {}."
)


class Level(Follower[Tensor]):
    """The tangents of one level, by the tensors that have one; a tensor that is not among them has tangent zero."""

    is_quick = True

    def __init__(self) -> None:
        super().__init__()
        #: The bases that had no tangent until they were written to: nor had the views of them that were there.
        self.moved: dict[int, weakref.ref[Tensor]] = {}

    def find(self, tensor: Any) -> Tensor | None:
        found = self.followed.get(id(tensor))
        if found is not None:
            return found[1]
        return self.of_base(tensor) if self.moved and isinstance(tensor, Tensor) and tensor._view is not None else None

    def of_base(self, view: Tensor) -> Tensor | None:
        """The tangent of a view whose base got one by being written to, from the base's."""
        record: Any = view._view
        moved = self.moved.get(id(record.base))
        if moved is None or moved() is not record.base or not all(step[0].differentiable for step in unrolled(record.steps)):
            return None
        base: Any = record.base
        whole = self.tangent(base)
        if whole is None:
            return None
        with self.below():
            part: Tensor = replay_steps(whole, record.steps)
        self.set_tangent(view, part)
        return part

    @property
    def tangents(self) -> dict[int, tuple[Any, Tensor]]:
        """The tangents by the identity of their tensors, with a weak reference to each of these."""
        return self.followed

    def tangent(self, tensor: Tensor) -> Tensor | None:
        """The tangent of a tensor; None stands for zero."""
        return self.find(tensor)

    def set_tangent(self, tensor: Tensor, tangent: Tensor) -> None:
        """Give a tensor a tangent, which is forgotten with it."""
        self.follow(tensor, tangent)

    def has_history(self) -> bool:
        return any(tangent.requires_grad for _, tangent in self.followed.values())

    def dual(self, tensor: Tensor, tangent: Tensor) -> Tensor:
        """A view of a tensor that carries a tangent, which is copied only if it is not laid out as the tensor is.

        What is not copied is written to where the dual is.
        """
        with self.below():
            dual: Tensor = tensor.view_as(tensor)
            if batch_of(tangent._a) is None and (tensor.stride() != tangent.stride() or memory_differs(tensor._a, tangent._a)):
                laid_out = functions.empty_like(tensor.detach(), dtype=tangent.dtype)
                tangent = laid_out.copy_(tangent)
        self.set_tangent(dual, tangent)
        return dual

    # ---------------------------------------------------------------- operations
    def apply_quickly(self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        found = NotImplemented if self.moved else push_quickly(self.followed, primitive, operands, params)
        if found is NotImplemented:
            return found
        out, pushed = found
        if pushed is not None:
            self.follow(out, wrap(pushed))
        return out

    def done(self, primitive: Primitive, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        if modes.is_inference_mode_enabled():
            return
        tangents = [self.tangent(x) if isinstance(x, Tensor) else None for x in operands]
        if all(tangent is None for tangent in tangents):
            return
        outs: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
        with self.below():
            given = [in_dtype_of(x, payload) for x, payload in zip(operands, payloads, strict=True)]
            pushed = push_any(primitive, given, tangents, params, result)
        for out, tangent in zip(outs, pushed if isinstance(result, tuple) else (pushed,), strict=True):
            if tangent is not None and out._a.dtype.kind in "fc":
                self.set_tangent(out, tangent)
        self.note_residuals(primitive, operands, outs)

    def stands_in(self, tensor: Any, stand_in: Any) -> None:
        tangent = self.tangent(tensor)
        if tangent is not None:  # a copy, as the stand-in is: the tangent itself will be written to
            with self.below():
                self.set_tangent(stand_in, tangent.clone())

    def continues(self, tensor: Any, other: Any, change: Callable[[Any], Any]) -> None:
        tangent = self.tangent(tensor)
        if tangent is not None:
            self.set_tangent(other, change(tangent))

    def written(self, tensor: Any, name: str, out: Any) -> None:
        """The tangent is written to as its tensor was, because views of it are the tangents of views."""
        own, new = self.tangent(tensor), self.tangent(out)
        if own is None and new is None:
            return
        with self.below():
            if own is None:
                own = self.tangent_to_write(tensor)
            if new is None:
                own.zero_()
                return
            if not holds(own._a, new._a):
                own = self.widened(tensor, new)
            own.copy_(new)

    def widened(self, tensor: Tensor, new: Tensor) -> Any:
        """The tangent of a tensor with memory for what differs between the examples of a `vmap`, and so for all of the same memory."""
        base = tensor if tensor._view is None else tensor._view.base
        known: Any = self.tangent(base)
        self.set_tangent(base, widened(known, new._a))
        for reference, _ in list(self.followed.values()):
            other = reference()
            if other is not None and other._view is not None and other._view.base is base:
                self.set_tangent(other, replay_steps(self.tangent(base), other._view.steps))
        return self.tangent(tensor)

    def tangent_to_write(self, tensor: Tensor) -> Tensor:
        """A tangent for a tensor that has none yet: for a view, the view of its base's."""
        view = tensor._view
        base = tensor if view is None else view.base
        tangent = self.tangent(base)
        if tangent is None:
            tangent = functions.zeros_like(base)
            self.set_tangent(base, tangent)
            self.moved[id(base)] = weakref.ref(base)
        if view is not None:
            tangent = replay_steps(tangent, view.steps)
            self.set_tangent(tensor, tangent)
        return tangent

    def suffix(self, tensor: Any) -> str:
        tangent = self.tangent(tensor)
        return "" if tangent is None else f"tangent={tangent!r}"

    # ---------------------------------------------------------------- custom functions
    def called(self, function: Any, context: Any, args: Sequence[Any], inner: Any, result: Any) -> None:
        """Call the user's `jvp` and check what it gives."""
        tangents = [self.tangent(value) if isinstance(value, Tensor) else None for value in args]
        if all(tangent is None for tangent in tangents) or modes.is_inference_mode_enabled():
            return
        if context.node_of().materializes:
            tangents = [zero_if_missing(value, tangent) for value, tangent in zip(args, tangents, strict=True)]
        with self.below():
            given = context.apply_jvp(*tangents)
        found = given if isinstance(given, tuple) else (given,)
        outs: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
        if len(found) != len(outs):
            raise RuntimeError(
                f"Function's jvp returned an invalid number of forward gradients (expected {len(outs)} but got {len(found)}): "
                f"{function.__name__}.jvp must return one for each output of forward"
            )
        raws: tuple[Any, ...] = inner if isinstance(inner, tuple) else (inner,)
        for number, (out, raw_out, tangent) in enumerate(zip(outs, raws, found, strict=True)):
            if tangent is None:
                continue
            if not isinstance(tangent, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(tangent).__name__}) for grad output {number}.")
            if not isinstance(out, Tensor) or out._a.dtype.kind not in "fc":
                continue
            if tangent._a.shape != out._a.shape:
                raise RuntimeError(SIZE.format(list(out._a.shape), list(tangent._a.shape)))
            self.check_sharing(args, tangents, out, raw_out, tangent)
            self.set_tangent(out, tangent)
        node = context.node_of()
        for index, kept in enumerate(getattr(node.saved, "tensors", ())):
            source = outs[kept] if isinstance(kept, int) else kept
            tangent = self.tangent(source) if isinstance(source, Tensor) else None
            if tangent is not None:
                self.residuals.setdefault(node, {})[index] = tangent

    def check_sharing(self, args: Sequence[Any], tangents: list[Any], out: Tensor, inner: Any, tangent: Tensor) -> None:
        """Refuse a tangent with memory of its own where the output shares an input's, and would be changed with it."""
        for value, before in zip(args, tangents, strict=True):
            if not isinstance(value, Tensor):
                continue
            if inner is value and out is value:
                if tangent is not before:
                    raise RuntimeError(IN_PLACE)
            elif inner is value:
                if tangent._view is None:
                    raise RuntimeError(
                        "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a view. Return "
                        "tangent.view_as(tangent), so that the tangent changes with the output."
                    )
            elif out._view is not None and out._view.base is (value if value._view is None else value._view.base):
                view = tangent._view
                if view is None or before is None or view.base is not (before if before._view is None else before._view.base):
                    raise RuntimeError("A custom Function is returning a view but the jvp is not returning a view of the given grad input.")


def zero_if_missing(value: Any, tangent: Tensor | None) -> Tensor | None:
    """The tangent of an argument, where it can have one: zeros if it has none."""
    if tangent is not None or not isinstance(value, Tensor) or value._a.dtype.kind not in "fc":
        return tangent
    zeros: Tensor = functions.zeros_like(value)
    return zeros


def memory_differs(one: Any, other: Any) -> bool:
    """Whether of two arrays one is a part of some memory where the other is all of its own, or part of more."""
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return False
    return bool(owner_of(one).nbytes // one.itemsize != owner_of(other).nbytes // other.itemsize)
