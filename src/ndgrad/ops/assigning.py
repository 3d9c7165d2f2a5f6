"""`x[...] = value` and `index_put`: writing by index, straight into memory where that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import can_cast, type_name
from ndgrad.base.quiet import Quiet, run_quietly
from ndgrad.base.shapes import expands
from ndgrad.base.types import Shape
from ndgrad.core.batches import values
from ndgrad.core.inplace import check_overlap, check_recorded, check_target, check_writable, finish, shadow, write
from ndgrad.core.tensor import INFERENCE, Tensor, mark_modified, plain, wrap
from ndgrad.kernels import indexing as kernels
from ndgrad.kernels.scalars import scalar_of
from ndgrad.ops import index_rules
from ndgrad.ops.conversion import cast, detach, overwrite
from ndgrad.ops.declare import function
from ndgrad.ops.filling import fill_
from ndgrad.ops.indexing import (
    Advanced,
    apply_basic,
    bounds,
    check_mask,
    check_not_empty,
    check_positions,
    checked_index,
    index_primitives,
    index_put_mask,
    index_put_mask_,
    lone_mask,
    qualified_name,
    resolve,
    takes_all,
)
from ndgrad.ops.pieces import slice_range
from ndgrad.ops.shape import expand, reshape, unsqueeze_dim

int64 = np.dtype(np.int64)


# ---------------------------------------------------------------- writing
def _value_tensor(value: Any, target: Tensor) -> Tensor:
    """What is to be assigned, as a tensor; a number in the dtype of the target."""
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, (int, float, complex, np.number, np.bool_)):
        raise TypeError(f"can't assign a {qualified_name(type(value))} to a {target.type()}; use a number or a tensor")
    return wrap(np.asarray(number_in(value, target)))


def number_in(value: Any, target: Tensor) -> Any:
    """A number in the dtype of a tensor; an error where it does not fit."""
    kind = target._a.dtype
    return run_quietly(kind.type, scalar_of(value, kind))


def _without_leading_ones(value: Tensor) -> Tensor:
    shape = value._a.shape
    lead = 0
    while lead < len(shape) and shape[lead] == 1:
        lead += 1
    return reshape(value, shape[lead:]) if lead else value


def _assign(target: Tensor, value: Tensor) -> None:
    """Write into a view made by basic indices, or into the tensor itself."""
    shape = target._a.shape
    if not value._a.ndim and shape and target._view is None:
        _fill(target, value)
        return
    if value._a.shape != shape:
        value = _without_leading_ones(value)
        value = expand(value, shape)
    _overwrite(target, value)


def _fill(target: Tensor, value: Tensor) -> None:
    check_writable(target, target._a.shape, target._a.dtype, "__setitem__")  # fill_ itself does not mind an expanded tensor
    fill_(target, value)


def _overwrite(target: Tensor, value: Tensor) -> None:
    """`target.copy_(value)`; for a view without a way back to the view's own history, which the write cuts off anyway."""
    if target._view is None:
        target.copy_(value)
        return
    check_target(target, "__setitem__")
    check_overlap(target, (value,), "__setitem__")
    write(target, overwrite(detach(target), value), "copy_")


def write_in_memory(target: Tensor, name: str, in_memory: Any, otherwise: Any, operands: tuple[Any, ...], **params: Any) -> Tensor:
    """Run a primitive whose kernel writes into its first operand, after every check that may refuse it.

    `otherwise` computes the same out of place, for where the value before the write is needed too.
    """
    check_target(target, name)
    mode = modes.current()
    recording = (
        mode.grad
        and not mode.inference
        and (target.requires_grad or any(isinstance(each, Tensor) and each.requires_grad for each in operands))
    )
    if recording:
        check_recorded(target, name)
    memory = target._memory()
    check_writable(target, memory.shape, memory.dtype, name)
    operands = tuple(_apart(each, memory) for each in operands)
    primitive = in_memory.primitive
    if mode.observers or mode.saved_hooks or (recording and {primitive.operands[0], "out"} & set(primitive.residuals)):
        # the rules, or whoever watches, need the value before the write, or keep the one after it: both are `write`'s business
        return write(target, otherwise(shadow(target), *operands, **params), name)
    out = in_memory(target, *operands, **params)
    return finish(target, out, name, recording)


def _apart(operand: Any, memory: Any) -> Any:
    """The operand, copied if it shares memory that is about to change."""
    arrays = isinstance(operand, Tensor) and isinstance(operand._a, np.ndarray) and isinstance(memory, np.ndarray)
    if arrays and np.may_share_memory(operand._a, memory):
        return operand.clone()
    return operand


def put_at(target: Tensor, advanced: Advanced, value: Tensor, accumulate: bool, name: str, in_place: bool) -> Tensor:
    """Write (or add) a value at the places that index tensors name."""
    shape = target._a.shape
    masked = lone_mask(advanced)
    if masked and value._a.size == 1 and can_cast(value.dtype, target.dtype):
        value = cast(value, target.dtype)  # PyTorch takes this for masked_fill_, which converts
    if masked and not accumulate and index_rules.differs(advanced[0][1]):
        return _put_where(target, advanced[0], value, name, in_place)
    dims, indices = ((), []) if masked and not accumulate else resolve(shape, advanced)
    if value._a.dtype != target._a.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {type_name(target.dtype)} for the destination and "
            f"{type_name(value.dtype)} for the source."
        )
    if in_place:
        check_overlap(target, (value,), name)
    if masked and not accumulate:
        dim, mask = advanced[0]
        check_mask(mask._a, shape, dim)
        count = int(np.count_nonzero(values(mask._a)))
        _check_value(value, (*shape[:dim], count, *shape[dim + mask._a.ndim :]))
        if in_place:
            return write_in_memory(target, name, index_put_mask_, index_put_mask, (value, mask), dim=dim)
        return index_put_mask(target, value, mask, dim=dim)
    check_not_empty(shape, dims, indices)
    if value._a.ndim:
        value = _beside_numbers(value, shape, dims, indices)
        _check_value(value, kernels.index_shape(shape, [index._a for index in indices], dims))
    check_positions(shape, dims, indices)
    _, _, writing, in_memory = index_primitives(len(dims))
    if in_place:
        return write_in_memory(target, name, in_memory, writing, (value, *indices), dims=dims, accumulate=accumulate)
    return writing(target, value, *indices, dims=dims, accumulate=accumulate)


def _put_where(target: Tensor, place: tuple[int, Tensor], value: Tensor, name: str, in_place: bool) -> Tensor:
    """Write where a mask holds that differs between the examples of a `vmap`, what must not depend on how often it does."""
    dim, mask = place
    check_mask(mask._a, target._a.shape, dim)
    if value._a.dtype != target._a.dtype:
        raise RuntimeError(f"{name}: the value is {value.dtype}, but the tensor is {target.dtype}")
    if in_place:
        check_target(target, name)
    written = index_rules.masked(shadow(target) if in_place else target, value, mask, dim)
    if written is None:
        index_rules.refuse_mask()
    return write(target, written, name) if in_place else written


def _beside_numbers(value: Tensor, shape: Shape, dims: tuple[int, ...], indices: list[Tensor]) -> Tensor:
    """A value whose dims are in their places although index tensors without dims stand between the others.

    Those stand for numbers, which do not count when it is asked whether index tensors are neighbours.
    """
    ranks = [index._a.ndim for index in indices]
    if 0 not in ranks or not any(ranks):
        return value
    numbers = [dim for dim, rank in zip(dims, ranks, strict=True) if not rank]
    counted = tuple(dim - sum(number < dim for number in numbers) for dim in dims if dim not in numbers)
    meant, found = (kernels.result_position(each) for each in (counted, dims))
    if meant == found:
        return value
    width = max(ranks)
    rest = tuple(size for dim, size in enumerate(shape) if dim not in numbers)
    whole = expand(value, kernels.index_shape(rest, [index._a for index in indices if index._a.ndim], counted))
    return whole.movedim(tuple(range(meant, meant + width)), tuple(range(found, found + width)))


def _check_value(value: Tensor, shape: Shape) -> None:
    own = value._a.shape
    if not expands(own, shape):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(own)} cannot be broadcast to indexing result of shape {list(shape)}"
        )


def _is_basic(key: Any) -> bool:
    kind = type(key)
    if kind is tuple:
        return all(_is_basic(item) for item in key if type(item) is not tuple) and not any(type(item) is tuple for item in key)
    if kind is slice:
        return key.step is None or (type(key.step) is int and key.step > 0)
    return kind is int or key is None or key is ...


def _set_quickly(self: Tensor, key: Any, value: Any) -> bool:
    """Let NumPy assign, where nothing is recorded and it means the same; False if this is not such a case."""
    memory = self._a
    if type(memory) is not np.ndarray or type(self) not in plain or 0 in memory.strides:
        return False
    if type(key) in plain:
        key = key._a
        if type(key) is not np.ndarray or not key.ndim:
            return False
        if (key.dtype is not int64 and key.dtype.kind != "b") or np.may_share_memory(key, memory):
            return False
    elif not _is_basic(key):
        return False
    if self._v is INFERENCE or modes.current().special:
        return False
    if isinstance(value, Tensor):
        payload = value._a
        if (
            payload.dtype != memory.dtype
            or np.may_share_memory(payload, memory)
            or ((self.requires_grad or value.requires_grad) and modes.is_grad_enabled())
        ):
            return False
    else:
        payload = value
        if not (type(value) in (int, float) and memory.dtype.kind == "f") or (self.requires_grad and modes.is_grad_enabled()):
            return False
    try:
        with Quiet():
            memory[key] = payload
    except (ValueError, IndexError, TypeError, OverflowError):
        return False  # the other way says what is wrong
    mark_modified(self, "__setitem__")
    return True


def set_item(self: Tensor, key: Any, value: Any) -> None:
    """`self[key] = value`."""
    if _set_quickly(self, key, value):
        return
    value = _value_tensor(value, self)
    if key is False:
        return
    if key is True:
        _assign(unsqueeze_dim(self, dim=0), value)
        return
    if type(key) is slice and self._a.ndim:
        start, stop, step = bounds(key, self._a.shape[0])
        _assign(self if takes_all(key, step, self._a.shape[0]) else slice_range(self, dim=0, start=start, stop=stop, step=step), value)
        return
    tensor, advanced = apply_basic(self, key, writes=True)
    if not advanced:
        _assign(tensor, value)
        return
    put_at(tensor, advanced, _without_leading_ones(value), False, "__setitem__", True)


# ---------------------------------------------------------------- the same as functions
def _index_list(input: Tensor, indices: Any, name: str) -> Advanced:
    if isinstance(indices, Tensor) or not isinstance(indices, (list, tuple)):
        raise TypeError(f"{name}(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}")
    advanced: Advanced = []
    dim = 0
    for item in indices:
        if not isinstance(item, Tensor):
            raise TypeError(
                f"expected Tensor as element {len(advanced)} in argument 0, but got {type(item).__name__} (in {name}, whose "
                "indices are tensors)"
            )
        index = checked_index(item)
        advanced.append((dim, index))
        dim += index._a.ndim if index._a.dtype.kind == "b" else 1
    if dim > input._a.ndim:
        raise IndexError(f"too many indices for tensor of dimension {input._a.ndim} (got {dim})")
    return advanced


@function
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with `values` written (or added) at the places that the index tensors name."""
    return put_at(input, _index_list(input, indices, "index_put"), values, accumulate, "index_put", False)


@function(name="index_put_", as_function=True)
def index_put_in_place(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """Write (or add) `values` at the places that the index tensors name."""
    return put_at(input, _index_list(input, indices, "index_put_"), values, accumulate, "index_put_", True)


function(set_item, name="__setitem__", as_function=False)
