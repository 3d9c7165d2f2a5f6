"""In-place operations, made from out-of-place ones: compute, check, write into the memory, then move the tensor's history.

Everything that can raise happens before the first byte is written.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import can_cast, from_numpy_dtype, type_name
from ndgrad.base.location import describe, place
from ndgrad.base.quiet import Quiet, quiet_run
from ndgrad.base.shapes import is_dense
from ndgrad.core.batches import Batch, batch_of, holds
from ndgrad.core.freed import Freed
from ndgrad.core.node import Node, backward_name, edge_of, entered, keep_retained
from ndgrad.core.observers import Observer, announce, follows_tensors, unchanged
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, mark_modified, plain, wrap
from ndgrad.core.views import DEFAULT, replay_steps, write_through


def in_place(function: Callable[..., Any], name: str, *, copies: bool = False, zero: bool = False) -> Callable[..., Tensor]:
    """The in-place twin `name` of an operation: its first argument is the tensor that receives the result.

    With `copies`, the operation reads a copy of the target, because more than one node may save its value. With `zero`, the twin of an
    operation that has no derivative has one for all its operands, zero everywhere.
    """

    def twin(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_target(self, name)
        check_overlap(self, args, name)
        out = function(shadow(self, copies), *args, **kwargs)
        if zero and self._a.dtype.kind in "fc" and modes.is_grad_enabled():
            operands = [each for each in (self, *args) if isinstance(each, Tensor)]
            if any(each.requires_grad for each in operands):
                out._node = erasure(self, name, [edge_of(each) for each in operands], overload=len(operands) - 1)
        return write(self, out, name)

    twin.__name__ = twin.__qualname__ = name
    twin.__doc__ = f"In-place version of `{function.__name__}`: writes the result into the tensor and returns it."
    return twin


def ufunc_in_place(
    kernel: Any, function: Callable[..., Any], name: str, *, zero: bool = False, takes_numbers: bool = True
) -> Callable[..., Tensor]:
    """The same for an operation that is one NumPy ufunc: where nothing is recorded the ufunc writes straight into the memory."""
    general = in_place(function, name, zero=zero)
    unary = kernel.nin == 1
    numbers = (float, int) if takes_numbers else ()

    def twin(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        array = self._a
        if (
            type(array) is not np.ndarray
            or self._v is INFERENCE
            or type(self) not in plain
            or len(args) != kernel.nin - 1
            or kwargs
            or (self.requires_grad and modes.is_grad_enabled())
            or (modes.exceptional and modes.current().special)
        ):
            return general(self, *args, **kwargs)
        if unary:
            if array.dtype.kind != "f" or (array.base is not None and 0 in array.strides):
                return general(self)
            arguments: tuple[Any, ...] = (array,)
        else:
            other = args[0]
            if type(other) in plain:
                operand = other._a
                if operand.dtype is not array.dtype or (other.requires_grad and modes.is_grad_enabled()):
                    return general(self, *args)
                if overlaps(array, operand):
                    return general(self, *args)
            elif type(other) in numbers:
                operand = other
            else:
                return general(self, *args)
            if array.dtype.kind != "f" or (array.base is not None and 0 in array.strides):
                return general(self, *args)
            arguments = (array, operand)
        try:
            quiet_run(kernel, *arguments, out=array)
        except (ValueError, TypeError, RuntimeError, OverflowError):
            return general(self, *args)  # which explains what is wrong, or copes
        mark_modified(self, name)
        return self

    twin.__name__ = twin.__qualname__ = name
    twin.__doc__ = general.__doc__
    return twin


def shadow(tensor: Tensor, copies: bool = False) -> Tensor:
    """The tensor as it is now, under another handle: what the operation computes from."""
    node = tensor._refresh()
    if node is LEAF or not (isinstance(tensor._a, (np.ndarray, Batch)) or follows_tensors()):
        return tensor  # a leaf's edge is the leaf itself; a scalar payload is replaced, never written to
    if copies or type(modes.current().saved_hooks) is tuple or follows_tensors():  # others may keep what they are given, too
        copied = wrap(tensor._a.copy(), node)
        announce(Observer.stands_in, tensor, copied)
        return copied
    out = wrap(tensor._a, node)
    out._v = tensor._v if tensor._v is INFERENCE else tensor._cell()
    return out


def check_target(target: Any, name: str) -> None:
    """Refuse a target that may not be written to, whatever the operation."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{name}(): argument 'self' must be Tensor, not {type(target).__name__}")
    mode = modes.current()
    if target._v is INFERENCE and not mode.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a normal tensor before "
            "doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details. "
            f"({name} was called at {describe(*place())}.)"
        )
    if mode.grad and not mode.inference and target.requires_grad:
        check_recorded(target, name)
    if mode.observers:
        announce(Observer.writes, target)


def check_recorded(target: Tensor, name: str) -> None:
    """Refuse a recorded write where the history could not be right."""
    view = target._view
    refused = "a leaf" if target._node is LEAF else None
    if view is not None:
        if view.origin != DEFAULT:
            view.refuse(target, "is being")
        if target.requires_grad and (view.base._node is LEAF or view.base._node is None):
            refused = "a view of a leaf"
    if refused is not None:
        raise RuntimeError(
            f"{refused} Variable that requires grad is being used in an in-place operation. {name} was called at {describe(*place())}; "
            "wrap it in `with no_grad():` to change the value without recording, or work on a clone()."
        )


#: What writes the same number everywhere, so that it does not matter how often an element is written.
FILLS = ("zero_", "fill_")


def check_writable(target: Tensor, shape: tuple[int, ...], kind: Any, name: str) -> None:
    """Refuse a result that does not fit the target's shape, dtype or memory."""
    array: Any = target._a
    if shape != array.shape:
        raise RuntimeError(f"output with shape {list(array.shape)} doesn't match the broadcast shape {list(shape)} (in {name})")
    if kind != array.dtype and not can_cast(from_numpy_dtype[kind], target.dtype):
        names = (type_name(from_numpy_dtype[kind]), type_name(target.dtype))
        raise RuntimeError(f"result type {names[0]} can't be cast to the desired output type {names[1]} (in {name})")
    if isinstance(array, np.ndarray):
        if array.size and name not in FILLS and any(step == 0 and size > 1 for step, size in zip(array.strides, array.shape, strict=True)):
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                f"Please clone() the tensor before performing the operation. ({name} on an expanded tensor of shape {list(array.shape)})"
            )
        if not array.flags.writeable:
            raise RuntimeError(f"{name}: the tensor's memory is read-only (it came from a read-only NumPy array); clone() the tensor first")


#: How PyTorch calls in-place operations that it refuses inside `vmap`, by their names here; filled by `ndgrad.ops`.
refused_as: dict[str, str] = {}


def in_level_of(target: Tensor, out: Tensor) -> Tensor:
    """What is to be written, as one of the tensors that the target is one of: outside of a `vmap`, if all its examples have it in common.

    If it is differentiated inside, it is the target, with the tensor that it is a view of, that becomes one inside.
    """
    batch = batch_of(out._a)
    if batch is None or batch.mapped:
        return out
    own = batch_of(target._a)
    if own is not None and own.level is batch.level:
        return out
    if out._node is not None:
        base = target if target._view is None else target._view.base
        inside: Any = batch.level.box(wrap(base._memory(), base._node), False)._a
        inside.value._v = base._cell()
        base._a = inside
        if target._view is not None:
            target._a = replay_steps(wrap(inside), target._view.steps)._a
        return out
    announce(Observer.continues, out, batch.value, unchanged)
    return in_level_of(target, batch.value)


def check_examples(memory: Any, payload: Any, name: str) -> None:
    """Refuse to write what differs between the examples of a `vmap` into memory that they have in common."""
    if holds(memory, payload):
        return
    called, where = refused_as.get(name), "in a vmap"
    if called is None:
        called, where = f"aten::{name}", f"at level {payload.level.depth}"
    raise RuntimeError(
        f"vmap: {called}(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has more elements "
        f"than `self`. This happened due to `other` being vmapped over but `self` not being vmapped over {where}. Please try to use "
        f"out-of-place operators instead of {called}. Or make `self` with zeros_like(x), x.new_zeros(...) or clone() of a tensor that is "
        "vmapped over."
    )


def check_overlap(target: Tensor, others: tuple[Any, ...], name: str) -> None:
    """Refuse an operand that lies partly, or in another order, in the memory that is about to be written."""
    array = target._a
    if type(array) is not np.ndarray:
        return
    for other in others:
        if isinstance(other, Tensor) and other is not target and overlaps(array, other._a):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. "
                f"Please clone() the tensor before performing the operation. ({name} was called at {describe(*place())}.)"
            )


def overlaps(array: Any, other: Any) -> bool:
    """Whether two dense arrays share memory without being the same elements in the same order."""
    if type(other) is not np.ndarray or (array.base is None and other.base is None) or not np.may_share_memory(array, other):
        return False
    same_place = array.__array_interface__["data"][0] == other.__array_interface__["data"][0]
    if same_place and array.shape == other.shape and array.strides == other.strides:
        return False
    return all(is_dense(each.shape, each.strides, each.itemsize) for each in (array, other))


def write(target: Tensor, out: Tensor, name: str) -> Tensor:
    """Give `target` the value and the history of `out`."""
    mode = modes.current()
    recording = mode.grad and not mode.inference and (target.requires_grad or out.requires_grad)
    if recording:
        check_recorded(target, name)
        if out._node is LEAF:
            out = recorded.clone(out)
    out = in_level_of(target, out)
    payload = out._a
    check_writable(target, payload.shape, payload.dtype, name)
    if modes.exceptional:
        announce(Observer.overwrites, target)
    if recording and payload.dtype != target._a.dtype and out._node is not None:
        out._node.node_of().dtype = target._a.dtype  # the operation is new, and its result is seen in the target's dtype alone
    memory = target._a
    if batch_of(payload) is not None or batch_of(memory) is not None:
        check_examples(memory, payload, name)
    elif not isinstance(memory, np.ndarray):
        if payload.dtype == memory.dtype and not isinstance(payload, np.ndarray):
            keep_residuals(out._node, memory, None, payload, target)
            target._a = payload
            return finish(target, out, name, recording)
        memory = target._memory()
    keep_residuals(out._node, memory, memory, payload, target)
    with Quiet():
        memory[...] = payload
    return finish(target, out, name, recording)


def finish(target: Tensor, out: Tensor, name: str, recording: bool) -> Tensor:
    """After the write: count it, and record where the target's value now comes from."""
    mark_modified(target, name)
    if modes.exceptional:
        announce(Observer.written, target, name, out)
    if not recording:
        return target
    node = out._node
    owner = target
    if target._view is not None:
        owner = target._view.base
        write_through(target, node)
    else:
        before = target._node
        target._node = erasure(target, name, (before,)) if node is None else node
        keep_retained(target, before)
    target._cell()[4:] = (type(owner._node.node_of()),)
    if node is not None:
        node = node.node_of()
        if node.saved is not None:
            _settle(node, target)
    return target


class Erasure(Node):
    """A write of something that has no gradient: what it was made of and the old value still have one, zero everywhere."""

    __slots__ = ()

    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(None if edge is None else np.zeros(self.shape, self.dtype) for edge in parents)

    def pull_recorded(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(None if zeros is None else wrap(zeros) for zeros in self.pull(g, parents))


erasures: dict[tuple[str, int], type[Erasure]] = {}


def erasure(target: Tensor, name: str, edges: Sequence[Any], overload: int = 0) -> Node:
    """The node of a tensor that is overwritten with a constant; its class is named after the operation."""
    kind = erasures.get((name, overload))
    if kind is None:
        copy = name == "copy_"
        own = "CopyBackwards" if copy else backward_name(name, overload)
        members = {"__slots__": (), "__module__": __name__, "printed_name": "torch::autograd::CopyBackwards" if copy else None}
        kind = erasures[name, overload] = type(own, (Erasure,), members)
    return entered(kind(), tuple(edges), target)


class _Settled(list[Any]):
    """Marks a version cell of a residual that lives in the target's memory and takes its version once the write is done."""


def keep_residuals(node: Any, old: Any, memory: Any, new: Any, target: Tensor) -> None:
    """Before the write: a residual that is the target's old value gets memory of its own; one that is the result moves in."""
    if node is None or node is LEAF:
        return
    node = node.node_of()
    saved = node.saved
    if saved is None or type(saved) is Freed:
        return
    kept: list[Any] = list(saved)
    for at in range(0, len(kept), 3):
        payload = kept[at]
        if payload is None:
            continue
        if payload is old:
            kept[at : at + 3] = (payload.copy(), [0], 0)
        elif payload is new and memory is not None and new.dtype == memory.dtype:
            kept[at : at + 3] = (memory, _Settled(), 0)
        elif kept[at + 1] is target._v and not (type(payload) is np.ndarray and np.may_share_memory(payload, old)):
            kept[at + 1 : at + 3] = ([0], 0)  # the old value in another dtype: the write does not reach it
    node.saved = tuple(kept)


def _settle(node: Any, target: Tensor) -> None:
    saved = node.saved
    if type(saved) is Freed or not any(type(entry) is _Settled for entry in saved):
        return
    cell = target._cell()
    kept = list(saved)
    for at in range(1, len(kept), 3):
        if type(kept[at]) is _Settled:
            kept[at : at + 2] = (cell, cell[0])
    node.saved = tuple(kept)


def write_out(target: Any, value: Tensor, name: str) -> Tensor:
    """Write a result into the tensor given as `out=`, which takes the result's shape; never recorded."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(target).__name__}")
    if modes.is_grad_enabled() and (value.requires_grad or target.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        )
    memory = target._memory()
    if memory.shape != value._a.shape:
        if memory.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(memory.shape)}, which does not match the "
                f"required output shape {list(value._a.shape)} of {name}. Give out= an empty tensor (torch.empty(0)) or one of the right "
                "shape.",
                UserWarning,
                stacklevel=3,
            )
        target._a = np.empty(value._a.shape, memory.dtype)
    return write(target, value, name)
