"""Copies, casts, `to`, `detach`, and writing one tensor into another."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.devices import check_device, contiguous_format, device, memory_format
from ndgrad.base.dtypes import (
    FLOATING,
    as_dtype,
    bool_,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    from_numpy_dtype,
    int8,
    int16,
    int32,
    int64,
    numpy_dtype,
    type_name,
    uint8,
)
from ndgrad.base.nesting import refuse_requires_grad
from ndgrad.base.references import references
from ndgrad.base.shapes import expands
from ndgrad.core.batches import batch_of, detached
from ndgrad.core.cuts import note
from ndgrad.core.inplace import check_overlap, check_target, shadow, write
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.kernels.striding import dense_copy
from ndgrad.ops import batch_rules
from ndgrad.ops.declare import function, general, linear, recorded, rule_helper


def _cast_back(xp: Any, g: Any, x_dtype: Any) -> Any:
    return g  # the engine converts every cotangent to the dtype of what it belongs to


@general(
    vjp=[_cast_back],
    node_name="ToCopyBackward0",
    jvp=lambda xp, tangents, dtype: xp.to_dtype(tangents[0], dtype=dtype),
    batch=lambda level, mapped, x, dtype: recorded.to_dtype(x, dtype=dtype),
)
def to_dtype(x: Any, *, dtype: dtype) -> Any:
    """The elements in another dtype, in memory of their own."""
    return (
        np.asarray(x).real.astype(numpy_dtype(dtype))
        if x.dtype.kind == "c" and not dtype.is_complex and dtype is not bool_
        else (x.astype(numpy_dtype(dtype)))
    )


@linear(transpose=lambda xp, g: g, node_name="CloneBackward0")
def clone_strided(x: Any, *, order: str = "K") -> Any:
    """A copy in memory of its own: in the operand's order of dims ("K"), or row-major ("C")."""
    return dense_copy(x) if order == "K" else np.array(x, order="C", copy=True, subok=False)


@function(out=False)
def clone(input: Tensor, *, memory_format: memory_format | None = None) -> Tensor:
    """A copy of a tensor, through which gradients flow."""
    return clone_strided(input, order="C" if memory_format is contiguous_format else "K")


rule_helper("clone", lambda x: np.array(x, copy=True), clone)


def _overwritten(xp: Any, tangents: Any) -> Any:
    return xp.zero_map(tangents[0]) if tangents[1] is None else tangents[1]


@general(
    vjp=[lambda xp, g: xp.zero_map(g), lambda xp, g: g],
    node_name="torch::autograd::CopyBackwards",
    jvp=_overwritten,
    batch=batch_rules.on_lined_up("overwrite"),
)
def overwrite(x: Any, y: Any) -> Any:
    """`y` in the shape and dtype of `x`: the value of `x.copy_(y)`."""
    if np.shape(y) != x.shape:
        y = np.broadcast_to(y, x.shape)
    if y.dtype.kind == "c" and x.dtype.kind != "c":
        y = y.real
    return y.astype(x.dtype, copy=False)


@function(as_function=False, name="copy_")
def copy_into(self: Tensor, other: Any, non_blocking: bool = False) -> Tensor:
    """Write the elements of `other`, broadcast and converted, into the tensor."""
    check_target(self, "copy_")
    if isinstance(other, (int, float, complex)):
        other = wrap(np.asarray(other))
    elif not isinstance(other, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    shape, given = self._a.shape, other._a.shape
    if not expands(given, shape):
        if len(given) > len(shape):
            raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape of the source {list(given)} in copy_")
        have, got, dim = _mismatch(shape, given)
        raise RuntimeError(f"The size of tensor a ({have}) must match the size of tensor b ({got}) at non-singleton dimension {dim}")
    check_overlap(self, (other,), "copy_")
    return write(self, overwrite(shadow(self), other), "copy_")


def _mismatch(shape: tuple[int, ...], given: tuple[int, ...]) -> tuple[int, int, int]:
    lead = len(shape) - len(given)
    for axis in range(len(given) - 1, -1, -1):
        if given[axis] not in (1, shape[lead + axis]):
            return shape[lead + axis], given[axis], lead + axis
    raise AssertionError("the shapes do broadcast")


@function
def detach(input: Tensor) -> Tensor:
    """The same memory and version counter without the history: no gradient flows back through it."""
    out = wrap(detached(input._memory()))
    out._v = INFERENCE if input._v is INFERENCE else input._cell()
    if input._node is not None:
        out._cut = note("detach()")
    return out


@function
def detach_(self: Tensor) -> Tensor:
    """Forget the tensor's history."""
    if self._view is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and "
            "gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on these "
            "gradients. To fix this error, please refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
        )
    self._node = None
    self._a = detached(self._a)
    return self


@function(as_function=False)
def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Start (or stop) recording operations on this leaf; returns the tensor."""
    refuse_requires_grad()
    if not isinstance(requires_grad, (bool, np.bool_)):
        raise TypeError(f"requires_grad_(): argument 'requires_grad' (position 1) must be bool, not {type(requires_grad).__name__}")
    if requires_grad and self.dtype.category < FLOATING:
        raise RuntimeError(f"only Tensors of floating point dtype can require gradients; this one is {self.dtype}")
    if requires_grad and self._node is None and self._view is None and self._v is not INFERENCE and references(self) <= UNKNOWN:
        self._node = LEAF  # `x.detach().requires_grad_()`: nobody knows the tensor yet, so it has no views that would have to be told
        if self._cut:
            del self._cut
    elif not requires_grad or self._known_node() in (None, LEAF):
        self.requires_grad = requires_grad
    return self


class _Probe:
    def method(self, unused: bool = True) -> int:
        count: int = references(self)
        return count


#: What is counted in a method of an object that nobody has but its caller, who has no name for it.
UNKNOWN = _Probe().method()


def parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dtype | None, bool, Any]:
    """dtype, copy and memory format out of the overloads of `to`."""
    wanted: dtype | None = None
    copy = bool(kwargs.pop("copy", False))
    form = kwargs.pop("memory_format", None)
    kwargs.pop("non_blocking", None)
    positional = list(args)
    if "other" in kwargs:
        positional.insert(0, kwargs.pop("other"))
    if "device" in kwargs:
        check_device(kwargs.pop("device"))
    if "dtype" in kwargs:
        given = kwargs.pop("dtype")
        wanted = None if given is None else as_dtype(given)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    flags: list[bool] = []
    for value in positional:
        if isinstance(value, Tensor):
            wanted = value.dtype
        elif isinstance(value, dtype) or value in (float, int, bool, complex):
            wanted = as_dtype(value)
        elif isinstance(value, bool):
            flags.append(value)
        elif value is None or isinstance(value, (str, device)):
            check_device(value)
        else:
            raise TypeError(f"to(): expected a dtype, a device or a tensor, not {type(value).__name__}")
    if len(flags) > 1:
        copy = flags[1]
    return wanted, copy, form


@function(as_function=False)
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype (or on another device, of which there is one); itself where nothing changes, unless `copy`."""
    wanted, copy, form = parse_to(args, kwargs)
    if wanted is None or wanted is self.dtype:
        return clone(self, memory_format=form) if copy or (form is contiguous_format and not self.is_contiguous()) else self
    return cast(self, wanted)


def cast(tensor: Tensor, wanted: dtype) -> Tensor:
    """The tensor in the dtype, itself where it has it already."""
    own = from_numpy_dtype[tensor._a.dtype]
    if own is wanted:
        return tensor
    out: Tensor = to_dtype(tensor, dtype=wanted)
    if own.category < FLOATING <= wanted.category:
        out._cut = note(f"a conversion from {own}")
    return out


@function(as_function=False)
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    if not isinstance(other, Tensor):
        raise TypeError(f"type_as(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    return cast(self, other.dtype)


@function(as_function=False, name="type")
def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The legacy name of the tensor's type, or the tensor in another dtype."""
    if dtype is None:
        return f"torch.{LEGACY_NAMES[self.dtype]}"
    if isinstance(dtype, str):
        names = {f"torch.{name}": kind for kind, name in LEGACY_NAMES.items()}
        if dtype not in names:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = names[dtype]
    return cast(self, as_dtype(dtype))


#: What `type()` says, and the names of the old constructors, for the dtypes that have one.
LEGACY_NAMES = {
    kind: f"{type_name(kind)}Tensor" for kind in (float16, float32, float64, complex64, complex128, bool_, uint8, int8, int16, int32, int64)
}


def _cast_method(name: str, wanted: dtype) -> None:
    def method(self: Tensor, memory_format: memory_format | None = None) -> Tensor:
        return cast(self, wanted)

    method.__name__, method.__doc__ = name, f"The tensor as {wanted}; itself if it is that already."
    function(method, as_function=False)


for _name, _dtype in {
    "float": float32,
    "double": float64,
    "half": float16,
    "int": int32,
    "long": int64,
    "short": int16,
    "char": int8,
    "byte": uint8,
    "bool": bool_,
    "cfloat": complex64,
    "cdouble": complex128,
}.items():
    _cast_method(_name, _dtype)


@function(as_function=False)
def contiguous(self: Tensor, memory_format: memory_format = contiguous_format) -> Tensor:
    """The tensor in row-major memory: itself, or a copy."""
    return self if self.is_contiguous() else clone_strided(self, order="C")


@function(method=False)
def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


@function
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input._a.shape == other._a.shape


@function(as_function=False)
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors are the same memory, seen the same way."""
    x, y = self._memory(), tensor._memory()
    if batch_of(x) is not None or batch_of(y) is not None:
        raise RuntimeError(
            "Batching rule not implemented for aten::is_set_to. We could not generate a fallback. Inside vmap a tensor has no memory of "
            "its own; compare the tensors outside."
        )
    return x.__array_interface__["data"] == y.__array_interface__["data"] and x.shape == y.shape and x.strides == y.strides
