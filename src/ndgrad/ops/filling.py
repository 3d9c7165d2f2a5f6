"""Constants written over a tensor: `zero_`, `fill_`, `fill`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.core.inplace import in_place
from ndgrad.core.tensor import INFERENCE, Tensor, mark_modified, plain, wrap
from ndgrad.kernels.scalars import scalar_of
from ndgrad.ops import batch_rules
from ndgrad.ops.arithmetic import zero
from ndgrad.ops.declare import Operation, elementwise, function


def _number_fill(name: str, node_name: str) -> Operation:
    def kernel(x: Any, *, value: Any) -> Any:
        return np.full_like(x, scalar_of(value, x.dtype))

    return elementwise(kernel, name=name, node_name=node_name, policy="keep", public=False, partials=[zero])


def _tensor_fill(name: str, node_name: str) -> Operation:
    def kernel(x: Any, y: Any) -> Any:
        out = np.empty_like(x, subok=False)
        out[...] = y.astype(x.dtype)
        return out

    return elementwise(
        kernel,
        name=name,
        node_name=node_name,
        policy="keep",
        public=False,
        partials=[zero, lambda xp, g: g],
        batch=batch_rules.on_lined_up(name),
    )


_fill_number = _number_fill("fill_number", "FillBackward0")
_fill_tensor = _tensor_fill("fill_tensor", "FillBackward1")
# PyTorch counts the in-place overloads on
_overwrite_number = _number_fill("fill_number_in_place", "FillBackward2")
_overwrite_tensor = _tensor_fill("fill_tensor_in_place", "FillBackward3")


def _check_value(name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError(f"{name} only supports 0-dimension value tensor but got tensor with {value._a.ndim} dimensions.")
    elif not isinstance(value, (int, float, complex, np.generic)):
        raise TypeError(f"{name}(): argument 'value' must be Number or a 0-d Tensor, not {type(value).__name__}")


@function(method=False)
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like the input with the value everywhere."""
    _check_value("fill", value)
    return _fill_tensor(input, value) if isinstance(value, Tensor) else _fill_number(input, value=value)


def writes_silently(self: Tensor, *others: Any) -> bool:
    """Whether a tensor's memory may be written to unrecorded and unobserved; the other operands are plain tensors of its dtype.

    Read-only memory is left to NumPy, which raises.
    """
    array = self._a
    if type(array) is not np.ndarray or type(self) not in plain or self._v is INFERENCE:
        return False
    records = self._node is not None
    view = self._view
    if view is not None:
        if 0 in array.strides:
            return False
        records = records or view.base._node is not None
    for other in others:
        if type(other) not in plain or other._a.dtype is not array.dtype:
            return False
        records = records or other.requires_grad
    if not modes.exceptional:
        return not records
    mode = modes.current()
    return not mode.special and not (records and mode.grad)


_general_zero = in_place(lambda input: wrap(np.zeros(input._a.shape, input._a.dtype)), "zero_")
_general_number = in_place(lambda self, value: _overwrite_number(self, value=value), "fill_")
_general_tensor = in_place(lambda self, value: _overwrite_tensor(self, value), "fill_")


@function(name="zero_")
def zero_(input: Tensor) -> Tensor:
    """Set every element to 0."""
    if not writes_silently(input) or not input._a.flags.writeable:
        return _general_zero(input)
    input._a.fill(0)
    mark_modified(input, "zero_")
    return input


@function(name="fill_")
def fill_(input: Tensor, value: Any) -> Tensor:
    """Set every element to the value."""
    _check_value("fill_", value)
    if isinstance(value, Tensor):
        return _general_tensor(input, value)
    if not writes_silently(input) or not input._a.flags.writeable:
        return _general_number(input, value)
    input._a.fill(scalar_of(value, input._a.dtype))
    mark_modified(input, "fill_")
    return input
