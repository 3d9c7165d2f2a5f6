"""Tensors from data: numbers, nested sequences, NumPy arrays, buffers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np

from ndgrad.base.devices import check_device
from ndgrad.base.dtypes import as_dtype, dtype, from_numpy_dtype, get_default_dtype, number_dtype, numpy_dtype, promote_types, type_name
from ndgrad.base.shapes import as_shape, check_sizes
from ndgrad.base.types import Array
from ndgrad.core.batches import batch_of
from ndgrad.core.tensor import Tensor
from ndgrad.ops.creation import finish, overflow
from ndgrad.ops.declare import function

_PLAIN: set[type] = {int, float, bool, complex}


def array_of(data: Any, wanted: dtype | None) -> Array:
    """A new array of Python data, in PyTorch's inferred dtype unless one is given."""
    if isinstance(data, Tensor):
        if batch_of(data._a) is not None:
            copied: Tensor = data.detach().clone() if wanted is None else data.detach().to(wanted, copy=True)
            return copied._a
        return np.array(data._a, dtype=None if wanted is None else numpy_dtype(wanted))
    if isinstance(data, np.ndarray):
        return native(data, None if wanted is None else numpy_dtype(wanted), copy=True)
    if not isinstance(data, (list, tuple, Number, np.generic)):
        data = _sequence(data)
    kinds = _leaf_types(data)
    if kinds <= _PLAIN:
        return _of_numbers(data, wanted)
    return _of_mixed(data, wanted)


def _sequence(data: Any) -> Any:
    """Anything that is a sequence, as a list; what has `__array__`, as an array."""
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if hasattr(data, "__array__"):
        return [*np.asarray(data)] if np.ndim(data) else np.asarray(data)[()]
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not hasattr(data, "keys"):
        return list(data)
    raise _refused(data)


def _refused(leaf: Any) -> Exception:
    if isinstance(leaf, (str, bytes)):
        return TypeError(f"new(): invalid data type '{type(leaf).__name__}'")
    return RuntimeError(f"Could not infer dtype of {type(leaf).__name__}")


def _leaf_types(data: Any) -> set[type]:
    """The types of what stands inside of all lists."""
    if not isinstance(data, (list, tuple)):
        return {type(data)}
    kinds = set(map(type, data))
    if kinds <= _PLAIN:
        return kinds
    if any(issubclass(kind, (list, tuple)) for kind in kinds):
        inner: set[type] = set()
        for part in data:
            inner |= _leaf_types(part)
        return inner
    return kinds


def _of_numbers(data: Any, wanted: dtype | None) -> Array:
    shape = _first_shape(data)
    default = get_default_dtype()
    if 0 in shape:
        return np.empty(shape, numpy_dtype(wanted or default))
    target = None if wanted is None else numpy_dtype(wanted)
    try:
        array = np.array(data)
    except ValueError:
        raise _ragged(data, wanted) from None
    kind = array.dtype.kind
    if kind == "O" or kind == "u" or (kind == "f" and target is None and any(kind is int for kind in _leaf_types(data))):
        # whole numbers beyond 64 bits, which a floating type may still hold
        if target is not None and (target.kind in "fc" or target == np.uint64):
            return np.array(data, dtype=target)
        if kind != "f" or _has_huge(data):
            raise ValueError("Overflow when unpacking long long: a number does not fit in 64 bits")
    if target is None:
        if kind == "f":
            target = numpy_dtype(default)
        elif kind == "c":
            target = numpy_dtype(default.to_complex())
        else:
            target = array.dtype
    else:
        _check_fits(array, target)
    with np.errstate(all="ignore"):
        return array.astype(target, copy=False)


def _has_huge(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_has_huge(part) for part in data)
    return isinstance(data, int) and not -(2**63) <= data < 2**63


def _check_fits(array: Array, target: np.dtype[Any]) -> None:
    """Refuse numbers that a whole-number type cannot hold; a negative one wraps around in an unsigned type."""
    kind = array.dtype.kind
    if kind == "c" and target.kind != "c":
        raise TypeError(
            "must be real number, not complex" if target.kind == "f" else "'complex' object cannot be interpreted as an integer"
        )
    if target.kind not in "iu" or kind == "b" or array.size == 0 or (kind == "i" and target.itemsize == 8):
        return
    limits = np.iinfo(target)
    low = -limits.max if target.kind == "u" else limits.min
    if not (np.all(np.isfinite(array)) and np.trunc(array.min()) >= low and np.trunc(array.max()) <= limits.max):
        raise RuntimeError(f"value cannot be converted to type {target.name} without overflow")


def _of_mixed(data: Any, wanted: dtype | None) -> Array:
    """Data among which there are NumPy's numbers, arrays or tensors, which have dtypes of their own."""
    if isinstance(data, (list, tuple)) and isinstance(_first_leaf(data), str):
        raise ValueError(f"too many dimensions '{type(_first_leaf(data)).__name__}'")
    inferred: list[dtype] = []
    plain = _plain_data(data, inferred)
    found = inferred[0]
    for one in inferred[1:]:
        found = promote_types(found, one)
    return _of_numbers(plain, wanted or found)


def _first_leaf(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _plain_data(data: Any, inferred: list[dtype]) -> Any:
    """The same data as Python's numbers; the dtypes of the leaves are collected."""
    if isinstance(data, (list, tuple)):
        return [_plain_data(part, inferred) for part in data]
    if isinstance(data, Tensor):
        inferred.append(data.dtype)
        if data._a.size != 1:
            if data.dtype.is_floating_point or data.dtype.is_complex:
                raise ValueError("only one element tensors can be converted to Python scalars; write torch.stack(list_of_tensors) instead")
            raise TypeError(
                "only integer tensors of a single element can be converted to an index; write torch.stack(list_of_tensors) instead"
            )
        return data._a.item()
    if isinstance(data, (np.generic, np.ndarray)):
        inferred.append(from_numpy_dtype[native(np.asarray(data), None, copy=False).dtype])
        return data.tolist()
    if isinstance(data, range):
        inferred.append(number_dtype(0))
        return list(data)
    if not isinstance(data, Number):
        raise _refused(data)
    inferred.append(number_dtype(data))
    return data


def _first_shape(data: Any) -> tuple[int, ...]:
    """The shape by the first element of each level, which is the one that counts."""
    shape: list[int] = []
    while isinstance(data, (list, tuple)):
        shape.append(len(data))
        if not data:
            break
        data = data[0]
    return tuple(shape)


def _ragged(data: Any, wanted: dtype | None) -> Exception:
    """The error for nested lists of unequal lengths, which names the dim."""
    shape = _first_shape(data)
    real = any(kind in (float, complex) for kind in _leaf_types(data)) if wanted is None else not wanted.category < 2

    def walk(part: Any, depth: int) -> Exception | None:
        if depth == len(shape):
            if isinstance(part, (list, tuple)):
                name = type(part).__name__
                return TypeError(f"must be real number, not {name}" if real else f"'{name}' object cannot be interpreted as an integer")
            return None
        if not isinstance(part, (list, tuple)):
            return TypeError(
                f"not a sequence: element {part!r} of dim {depth} is a number where a sequence of length {shape[depth]} was expected"
            )
        if len(part) != shape[depth]:
            return ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(part)})")
        return next((found for item in part if (found := walk(item, depth + 1)) is not None), None)

    return walk(data, 0) or ValueError("the data are nested unevenly")


_SUPPORTED = "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool"


def native(array: Array, wanted: np.dtype[Any] | None, *, copy: bool) -> Array:
    """The array in a dtype that tensors have, refusing the others."""
    kind = array.dtype
    if not kind.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not "
            "supported. Convert it with array.astype(array.dtype.newbyteorder('='))."
        )
    if kind not in from_numpy_dtype:
        raise TypeError(f"can't convert np.ndarray of type numpy.{kind.type.__name__}. The only supported types are: {_SUPPORTED}.")
    if copy:
        return np.array(array, dtype=wanted, copy=True, order="K", subok=False)
    return array if wanted is None else array.astype(wanted, copy=False)


def _shared(array: Array) -> Array:
    """An array whose memory a tensor can use as it is."""
    if any(step < 0 for step in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
            "(You can probably work around this by making a copy of your array with array.copy().)"
        )
    if any(step % array.itemsize for step in array.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory: "
            "array.copy()."
        )
    return native(np.asarray(array), None, copy=False)


def _dtype_or_none(given: Any, name: str) -> dtype | None:
    if given is None:
        return None
    try:
        return as_dtype(given)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}") from None


# ---------------------------------------------------------------- the public functions
@function(method=False)
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new leaf with a copy of `data`: numbers, nested sequences, arrays.

    Python floats get the default dtype, Python ints int64; NumPy data keep theirs.
    """
    check_device(device)
    if isinstance(data, Tensor):
        _copy_warning()
    return finish(array_of(data, _dtype_or_none(dtype, "tensor")), requires_grad)


def _copy_warning() -> None:
    warnings.warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
        "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
        UserWarning,
        stacklevel=3,
    )


@function(as_function=False)
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of `data` in this tensor's dtype."""
    check_device(device)
    if isinstance(data, Tensor):
        _copy_warning()
    return finish(array_of(data, _dtype_or_none(dtype, "new_tensor") or self.dtype), requires_grad)


@function(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory with an array or a tensor of the right dtype."""
    check_device(device)
    wanted = _dtype_or_none(dtype, "as_tensor")
    if isinstance(data, Tensor):
        return data if wanted is None else data.to(wanted)
    if isinstance(data, np.ndarray):
        array = _shared(data)
        kind = None if wanted is None else numpy_dtype(wanted)
        return _sharing(array) if kind is None or kind == array.dtype else finish(array.astype(kind))
    return finish(array_of(data, wanted))


def _sharing(array: Array) -> Tensor:
    out = finish(array)
    out._v = out._v or [0]
    return out


@function(method=False)
def from_numpy(ndarray: Array) -> Tensor:
    """A tensor that shares the array's memory."""
    if not isinstance(ndarray, np.ndarray):  # users pass anything
        kind = type(ndarray)
        raise TypeError(f"expected np.ndarray (got {'numpy.' if kind.__module__ == 'numpy' else ''}{kind.__name__})")
    return _sharing(_shared(ndarray))


@function(method=False)
def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Tensor:
    """`obj` as a tensor, sharing its memory where that is possible (and, with `copy=False`, only then)."""
    check_device(device)
    wanted = _dtype_or_none(dtype, "asarray")
    made: Tensor | None = None
    if isinstance(obj, Tensor):
        made = obj
    elif isinstance(obj, np.ndarray):
        made = _sharing(_shared(obj))
    elif isinstance(obj, np.generic):
        made = finish(np.asarray(obj))
    elif hasattr(obj, "__dlpack__"):
        made = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        made = frombuffer(obj, dtype=wanted or get_default_dtype())
    if made is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return finish(array_of(obj, wanted), requires_grad)
    if wanted is not None and wanted is not made.dtype:
        if copy is False:
            names = (type_name(made.dtype), type_name(wanted))
            raise ValueError(f"can't alias tensor with dtype '{names[0]}' into dtype '{names[1]}'.")
        made = made.to(wanted)
    elif copy:
        made = made.clone()
    return made.requires_grad_() if requires_grad and not made.requires_grad else made


@function(method=False)
def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A tensor of one dim that shares the memory of an object with Python's buffer protocol."""
    kind = numpy_dtype(as_dtype(dtype))
    try:
        view = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    length = view.nbytes
    size = kind.itemsize
    if length == 0 or count == 0:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) minus 1")
    if count > 0 and offset + count * size > length:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than actual buffer "
            f"length ({length} bytes)"
        )
    if count < 0 and (length - offset) % size:
        raise ValueError(
            f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a multiple of element size ({size})"
        )
    if view.readonly:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means you can write to the "
            "underlying (supposedly non-writable) buffer using the tensor. ndgrad refuses such writes instead.",
            UserWarning,
            stacklevel=2,
        )
    out = _sharing(np.frombuffer(buffer, kind, count, offset))
    if requires_grad:
        out.requires_grad = True
    return out


@function(method=False)
def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of anything that speaks DLPack on the CPU."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    return _sharing(_shared(np.from_dlpack(ext_tensor)))


@function(as_function=False)
def __dlpack__(self: Tensor, **kwargs: Any) -> Any:
    """The tensor's memory as a DLPack capsule."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    memory = self._memory()
    return np.asarray(memory).__dlpack__(**kwargs) if batch_of(memory) is not None else memory.__dlpack__(**kwargs)


@function(as_function=False)
def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    """The CPU, in DLPack's terms."""
    memory = self._memory()
    return np.asarray(memory).__dlpack_device__() if batch_of(memory) is not None else memory.__dlpack_device__()


@function(method=False)
def scalar_tensor(
    s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A 0-d tensor, of the default dtype unless given."""
    check_device(device)
    kind = numpy_dtype(_dtype_or_none(dtype, "scalar_tensor") or get_default_dtype())
    value = s.item() if isinstance(s, Tensor) else s
    overflow(value, kind)
    return finish(np.asarray(np.asarray(value).astype(kind)), requires_grad)


# ---------------------------------------------------------------- the old constructors
def legacy_new(cls: type[Tensor], *args: Any, device: Any = None, **named: Any) -> Tensor:
    """`Tensor(2, 3)` is uninitialised memory of that size, `Tensor([1, 2])` data in the default dtype."""
    return legacy_tensor(cls, get_default_dtype(), args, named, device)


def legacy_tensor(cls: type[Tensor], kind: dtype, args: Sequence[Any], named: dict[str, Any], device: Any, strict: bool = False) -> Tensor:
    """What the constructors named after a dtype make."""
    check_device(device)
    if "size" in named:
        args = (tuple(named.pop("size")),)
    if "data" in named:
        args = (named.pop("data"),)
    only = args[0] if len(args) == 1 else None
    if isinstance(only, Tensor):
        if strict and only.dtype is not kind:
            raise TypeError(
                f"expected TensorOptions(dtype={CPP[kind.name]}, device=cpu) (got TensorOptions(dtype={CPP[only.dtype.name]}, device=cpu))"
            )
        out = only.detach()
    elif isinstance(only, (float, complex)) or (only is not None and isinstance(only, (str, bytes))):
        if isinstance(only, (str, bytes)):
            raise _refused(only)
        raise TypeError(f"new(): data must be a sequence (got {type(only).__name__})")
    elif only is not None and (isinstance(only, np.ndarray) or not hasattr(only, "__index__")) and not _is_size(only):
        out = finish(array_of(only, kind))
    else:
        out = finish(np.zeros(check_sizes(as_shape(args if args else (0,))), numpy_dtype(kind)))
    if cls is not Tensor:
        out.__class__ = cls
    return out


def _is_size(value: Any) -> bool:
    return type(value).__name__ == "Size" and isinstance(value, tuple)


#: C++'s names of types, as the constructors' error has them.
CPP = {"float32": "float", "float64": "double", "float16": "c10::Half", "int32": "int", "int64": "int64_t", "bool": "bool"} | {
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}
