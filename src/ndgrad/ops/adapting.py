"""Methods that older and everyday code reaches for: sums back to a shape, diagonals filled, functions applied element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.shapes import expands, sizes_given
from ndgrad.core.inplace import check_target, in_place
from ndgrad.core.observers import Observer, announce
from ndgrad.core.tensor import Tensor, mark_modified
from ndgrad.core.tensor import wrap as as_tensor
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.data import legacy_tensor
from ndgrad.ops.declare import elementwise, function
from ndgrad.ops.reductions import sum
from ndgrad.ops.shape import view_as_shape


@function(as_function=False)
def sum_to_size(self: Tensor, *args: Any, size: Any = None) -> Tensor:
    """The sum over the dims that broadcasting `size` to the tensor's shape would add or widen."""
    wanted, shape = sizes_given("sum_to_size", "size", args, size), self._a.shape
    if not expands(wanted, shape):
        raise RuntimeError(f"size {{{list(wanted)}}} is not expandable to size {{{list(shape)}}}.")
    if not wanted:
        return sum(self)
    lead = len(shape) - len(wanted)
    axes = (*range(lead), *(lead + axis for axis, width in enumerate(wanted) if width == 1 != shape[lead + axis]))
    out = sum(self, axes, True) if axes else self
    return view_as_shape(out, shape=wanted) if lead else out


@function(as_function=False)
def new(self: Tensor, *args: Any, device: Any = None, **named: Any) -> Tensor:
    """What the constructors named after the tensor's dtype make: memory of a size, or a copy of data."""
    return legacy_tensor(Tensor, self.dtype, args, named, device)


@function(as_function=False)
def share_memory_(self: Tensor) -> Tensor:
    """The tensor itself: threads share its memory as it is, and for processes there is nothing to prepare."""
    return self


@function(method=False, name="get_device")
def device_index(input: Tensor) -> int:
    """-1, which stands for the CPU."""
    check_tensor(input, "get_device", "input", 1)
    return -1


# ---------------------------------------------------------------- the diagonal
def _on_diagonal(shape: tuple[int, ...], wrap: bool) -> Any:
    mask = np.zeros(shape, bool)
    if len(shape) == 2 and shape[0] > shape[1]:
        rows, columns = shape
        stop = rows * columns if wrap else columns * columns
        mask.reshape(-1)[: stop : columns + 1] = True
    else:
        index = np.arange(min(shape))
        mask[(index,) * len(shape)] = True
    return mask


@elementwise(
    name="diagonal_filled",
    node_name="FillDiagonalBackward0",
    policy="keep",
    public=False,
    partials=[lambda xp, g, wrap: xp.diagonal_filled(g, value=0, wrap=wrap)],
    batch=batch_rules.composed(
        lambda xp, x, value, wrap: xp.where(as_tensor(_on_diagonal(x._a.shape, wrap)), as_tensor(np.asarray(value, x._a.dtype)), x)
    ),
)
def diagonal_filled(x: Any, *, value: Any, wrap: bool) -> Any:
    """`x` with a number on its diagonal."""
    out = np.array(x)
    out[_on_diagonal(x.shape, wrap)] = value
    return out


_fill_diagonal = in_place(lambda self, value, wrap: diagonal_filled(self, value=value, wrap=wrap), "fill_diagonal_")


@function(as_function=False)
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Set the diagonal to a number; with `wrap`, that of a tall matrix starts again below each square."""
    shape = self._a.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    if not isinstance(fill_value, (int, float, complex, np.generic)):
        raise TypeError(f"fill_diagonal_(): argument 'fill_value' (position 1) must be Number, not {type(fill_value).__name__}")
    return _fill_diagonal(self, fill_value, wrap)


# ---------------------------------------------------------------- Python functions, element by element
def _elements_of(self: Tensor, name: str) -> Any:
    if self.requires_grad:
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    check_target(self, name)
    return self._memory()


@function(as_function=False)
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a function makes of it. As slow as Python."""
    memory = _elements_of(self, "apply_")
    values = np.array([callable(element) for element in memory.reshape(-1).tolist()], memory.dtype).reshape(memory.shape)
    announce(Observer.overwrites, self)
    memory[...] = values
    mark_modified(self, "apply_")
    return self


@function(as_function=False)
def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by what a function makes of it and the element of another tensor. As slow as Python."""
    memory = _elements_of(self, "map_")
    check_tensor(tensor, "map_", "tensor", 1)
    if tensor._a.dtype != memory.dtype:
        raise TypeError(f"map_: expected {self.type()} for argument 'other' (got {tensor.type()})")
    other = np.broadcast_to(tensor._a, memory.shape)
    pairs = zip(memory.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True)
    values = np.array([callable(*pair) for pair in pairs], memory.dtype).reshape(memory.shape)
    announce(Observer.overwrites, self)
    memory[...] = values
    mark_modified(self, "map_")
    return self
