"""Making tensors: filled, like others, with given strides; and what all creation functions share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.devices import check_device
from ndgrad.base.dtypes import as_dtype, dtype, get_default_dtype, number_dtype, numpy_dtype, type_name
from ndgrad.base.shapes import check_sizes
from ndgrad.base.types import Array, Payload, Shape
from ndgrad.core.batches import Batch, batch_of
from ndgrad.core.batching import BatchLevel
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.kernels.striding import strided
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.declare import function, rule_helper


def finish(array: Any, requires_grad: bool = False) -> Tensor:
    """A leaf around a new array."""
    out = wrap(array)
    if modes.is_inference_mode_enabled():
        out._v = INFERENCE
    if requires_grad:
        if array.dtype.kind not in "fc":
            raise RuntimeError(f"Only Tensors of floating point and complex dtype can require gradients; {out.dtype} was asked for")
        out._node = LEAF
    return out


# ---------------------------------------------------------------- inside vmap
def levels_of(payload: Any) -> list[BatchLevel]:
    """The calls of `vmap` between whose examples a payload differs, the outermost first."""
    found: list[BatchLevel] = []
    while (batch := batch_of(payload)) is not None:
        if batch.mapped:
            found.append(batch.level)
        payload = batch.value._a
    return found[::-1]


def boxed(payload: Any, levels: Sequence[BatchLevel]) -> Tensor:
    """A tensor with the dims of these levels' examples in front, as one example."""
    out = finish(payload)
    for level in levels:
        batch: Any = Batch(out, level, True)
        out = finish(batch)
    return out


def beside(tensor: Tensor, make: Callable[[Shape], Any], shape: Shape) -> Any:
    """What `make` gives for a shape; with a dim for the examples that another tensor differs between, so that it can take their values."""
    if batch_of(tensor._a) is None:
        return make(shape)
    levels = levels_of(tensor._a)
    return boxed(make((*(level.size for level in levels), *shape)), levels)._a


# ---------------------------------------------------------------- what the functions share
def read_size(name: str, args: Sequence[Any], named: dict[str, Any]) -> Shape:
    """The shape meant by `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`; any other keyword is an error."""
    if "size" in named:
        args = (named.pop("size"),) if not args else (*args, named.pop("size"))
    named.pop("names", None)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    if not args:
        if name in ("rand", "randn"):
            raise TypeError(f"{name}() received an invalid combination of arguments - got (), but a size is needed")
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    first = args[0]
    if len(args) == 1 and isinstance(first, (tuple, list)):
        args = first
    elif not _is_size(first):
        raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(first).__name__}")
    shape: list[int] = []
    for position, value in enumerate(args, 1):
        if not _is_size(value):
            kind = type(value).__name__
            raise TypeError(
                f"{name}(): argument 'size' failed to unpack the object at pos {position} with error \"type must be tuple of ints,but got "
                f'{kind}"'
            )
        shape.append(value.__index__())
    return tuple(shape)


def _is_size(value: Any) -> bool:
    return not isinstance(value, (bool, np.bool_)) and hasattr(value, "__index__")


def factory_dtype(name: str, given: Any, fallback: dtype) -> np.dtype[Any]:
    """NumPy's dtype for the `dtype` that a creation function was given."""
    if given is None:
        return numpy_dtype(fallback)
    try:
        return numpy_dtype(as_dtype(given))
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise TypeError(f"{name}(): {error}") from None


def dtype_of_out(out: Any, name: str) -> dtype:
    """The dtype of the tensor given as `out=`, which the result takes unless it was given another."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    return out.dtype


def out_array(out: Tensor, shape: Shape, wanted: dtype | None, name: str) -> Tensor:
    """The tensor given as `out=`, in the shape that it is to be filled in."""
    dtype_of_out(out, name)
    if wanted is not None and wanted is not out.dtype:
        raise RuntimeError(f"dtype {type_name(wanted)} does not match dtype of out parameter ({type_name(out.dtype)})")
    if out.requires_grad and modes.is_grad_enabled():
        raise RuntimeError(
            f"aten::{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires "
            "grad."
        )
    memory = out._memory()
    if memory.shape != shape:
        if memory.size and name == "arange":  # the others resize it without a word
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(memory.shape)}, which does not match the "
                f"required output shape {list(shape)} of {name}. Give out= an empty tensor (torch.empty(0)) or one of the right shape.",
                UserWarning,
                stacklevel=3,
            )
        out._a = np.empty(shape, memory.dtype)
    return out


def deliver(name: str, array: Array, out: Any, given: Any, requires_grad: bool) -> Tensor:
    """The finished result: a new leaf, or `out` with the result written into it."""
    if out is None:
        return finish(array, requires_grad)
    target = out_array(out, array.shape, None if given is None else as_dtype(given), name)
    before = modes.set_mode("grad", False)
    try:
        return target.copy_(wrap(array))
    finally:
        modes.set_mode("grad", before)


#: How PyTorch's message about overflow names the types.
_C_NAMES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t", "float32": "float"} | {
    "float64": "double",
    "float16": "c10::Half",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def overflow(value: Any, kind: np.dtype[Any]) -> None:
    """Refuse a number that the dtype cannot hold; negative numbers wrap around in unsigned types."""
    name = _C_NAMES.get(kind.name, kind.name)
    if isinstance(value, (complex, np.complexfloating)):
        if kind.kind == "c":
            return
        if value.imag == 0:
            value = value.real
        else:
            raise RuntimeError(f"value cannot be converted to type {name} without overflow: it is {value}")
    if kind.kind in "bc":
        return
    if kind.kind == "f":
        if math.isfinite(value) and abs(value) > np.finfo(kind).max:
            raise RuntimeError(f"value cannot be converted to type {name} without overflow: it is {value}")
        return
    limits = np.iinfo(kind)
    low = -limits.max if kind.kind == "u" else limits.min
    if not (math.isfinite(value) and low <= int(value) <= limits.max):
        raise RuntimeError(f"value cannot be converted to type {name} without overflow: it is {value}")


def read_number(name: str, argument: str, position: int, value: Any) -> Any:
    """A Python number out of a number or a 0-d tensor."""
    if isinstance(value, Tensor) and value._a.ndim == 0:
        return value._a.item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Number):
        return value
    raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Number, not {type(value).__name__}")


def like_payload(array: Any, kind: Any, memory_format: Any = None, value: Any = None) -> Any:
    """Memory of its own for whatever stands behind a payload, laid out alike and filled with a value if there is one."""
    batch = batch_of(array)
    if batch is not None:
        made: Any = Batch(finish(like_payload(batch.value._a, kind, memory_format, value)), batch.level, batch.mapped)
        return made
    like = like_array(array, kind, memory_format)
    if value is not None:
        like[...] = value
    return like


def like_array(array: Payload, kind: Any, memory_format: Any = None) -> Array:
    """Memory laid out as another array is, or row-major where that is asked for."""
    if memory_format is not None and memory_format.name == "contiguous_format":
        return np.empty(array.shape, kind)
    like = np.empty_like(array, dtype=kind, subok=False)
    wanted = tuple(step // array.itemsize * like.itemsize for step in array.strides)
    if wanted != like.strides and all(size == 1 or x == y for size, x, y in zip(like.shape, wanted, like.strides, strict=True)):
        return strided(like, like.shape, wanted)  # only dims of size 1 differ, and PyTorch keeps their strides too
    return like


# ---------------------------------------------------------------- filled
def _filled(name: str, make: Callable[..., Array], doc: str) -> None:
    def filled(
        *size: Any,
        out: Tensor | None = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        **named: Any,
    ) -> Tensor:
        check_device(device)
        shape = read_size(name, size, named)
        check_dims(shape)
        return deliver(name, make(check_sizes(shape), factory_dtype(name, dtype, get_default_dtype())), out, dtype, requires_grad)

    def check_dims(shape: Shape) -> None:
        if name == "zeros" and any(size < 0 for size in shape):
            raise RuntimeError(f"zeros: Dimension size must be non-negative. The size asked for is {list(shape)}.")

    def filled_like(
        input: Tensor,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        check_device(device)
        check_tensor(input, f"{name}_like", "input", 1)
        kind = factory_dtype(f"{name}_like", dtype, input.dtype)
        return finish(like_payload(input._a, kind, memory_format, None if name == "empty" else name == "ones"), requires_grad)

    def new_filled(
        self: Tensor,
        *size: Any,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **named: Any,
    ) -> Tensor:
        check_device(device)
        shape = read_size(f"new_{name}", size, named)
        check_dims(shape)
        kind = factory_dtype(name, dtype, self.dtype)
        return finish(beside(self, lambda whole: make(whole, kind), check_sizes(shape)), requires_grad)

    for made, own, words in (
        (filled, name, f"A tensor of the given size, {doc}."),
        (filled_like, f"{name}_like", f"A tensor of the shape and dtype of another, {doc}."),
        (new_filled, f"new_{name}", f"A tensor of the given size and of this one's dtype, {doc}."),
    ):
        made.__name__ = made.__qualname__ = own
        made.__doc__ = words
    function(filled, method=False)
    function(filled_like, method=False)
    function(new_filled, as_function=False)


_filled("zeros", np.zeros, "filled with 0")
_filled("ones", np.ones, "filled with 1")
_filled("empty", np.empty, "whose elements are whatever is in memory")


def _value_array(name: str, shape: Shape, value: Any, kind: np.dtype[Any]) -> Array:
    overflow(value, kind)
    with np.errstate(all="ignore"):
        return np.full(shape, np.asarray(value.real if isinstance(value, complex) and kind.kind != "c" else value).astype(kind), dtype=kind)


def _read_size_list(name: str, position: int, size: Any) -> Shape:
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"{name}(): argument 'size' (position {position}) must be tuple of ints, not {type(size).__name__}")
    return check_sizes(read_size(name, (size,), {}))


@function(method=False)
def full(
    size: Sequence[int],
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of the given size with every element `fill_value`; the dtype is the value's unless given."""
    check_device(device)
    shape = _read_size_list("full", 1, size)
    value = read_number("full", "fill_value", 2, fill_value)
    fallback = (fill_value.dtype if isinstance(fill_value, Tensor) else number_dtype(value)) if out is None else dtype_of_out(out, "full")
    return deliver("full", _value_array("full", shape, value, factory_dtype("full", dtype, fallback)), out, dtype, requires_grad)


@function(method=False)
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of the shape and dtype of another with every element `fill_value`."""
    check_device(device)
    check_tensor(input, "full_like", "input", 1)
    kind = factory_dtype("full_like", dtype, input.dtype)
    value = _value_array("full_like", (), read_number("full_like", "fill_value", 2, fill_value), kind)
    return finish(like_payload(input._a, kind, memory_format, value), requires_grad)


@function(as_function=False)
def new_full(
    self: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of the given size and of this one's dtype with every element `fill_value`."""
    check_device(device)
    shape = _read_size_list("new_full", 1, size)
    value = read_number("new_full", "fill_value", 2, fill_value)
    kind = factory_dtype("new_full", dtype, self.dtype)
    return finish(beside(self, lambda whole: _value_array("new_full", whole, value, kind), shape), requires_grad)


# ---------------------------------------------------------------- memory with given strides
def _strided(name: str, size: Any, stride: Any, kind: np.dtype[Any]) -> Array:
    shape, strides = tuple(size), tuple(stride)
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides and shape: {name} was given {list(shape)} and {list(strides)}")
    if any(step < 0 for step in strides):
        raise RuntimeError(f"{name}: strides must be non-negative, not {list(strides)}")
    count = 0 if 0 in shape else 1 + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    return np.ndarray(shape, kind, np.empty(max(count, 1), kind).data, 0, tuple(step * kind.itemsize for step in strides))


@function(method=False)
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uninitialised memory with the given strides, in elements."""
    check_device(device)
    return finish(_strided("empty_strided", size, stride, factory_dtype("empty_strided", dtype, get_default_dtype())), requires_grad)


@function(as_function=False)
def new_empty_strided(
    self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uninitialised memory with the given strides and this tensor's dtype."""
    check_device(device)
    kind = factory_dtype("new_empty_strided", dtype, self.dtype)
    one = _strided("new_empty_strided", size, stride, kind)

    def make(whole: Shape) -> Array:
        step = one.nbytes if one.size == 0 else sum((length - 1) * width for length, width in zip(one.shape, one.strides, strict=True))
        extra = len(whole) - one.ndim
        outer = [step // kind.itemsize + 1]
        for length in whole[extra - 1 : 0 : -1] if extra else ():
            outer.insert(0, outer[0] * length)
        return _strided("new_empty_strided", whole, (*outer, *stride), kind) if extra else one

    return finish(beside(self, make, one.shape), requires_grad)


@function(method=False)
def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uninitialised memory in which the dims follow each other in the order `physical_layout`."""
    check_device(device)
    shape, order = tuple(size), tuple(physical_layout)
    if len(order) != len(shape):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; "
            f"i.e. len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}"
        )
    for position, axis in enumerate(order):
        if not 0 <= axis < len(shape):
            last = len(shape) - 1
            raise RuntimeError(f"Dimension out of range (expected to be between 0 and {last}, but got {axis} at index {position}).")
        if axis in order[:position]:
            raise RuntimeError(f"Duplicate dim not allowed: {list(order)}")
    memory = np.empty([shape[axis] for axis in order], factory_dtype("empty_permuted", dtype, get_default_dtype()))
    return finish(memory.transpose([order.index(axis) for axis in range(len(order))]), requires_grad)


rule_helper(
    "zeros",
    lambda shape, like: np.zeros(shape, like.dtype),
    lambda shape, like: wrap(beside(like, lambda whole: np.zeros(whole, like._a.dtype), shape)),
)
