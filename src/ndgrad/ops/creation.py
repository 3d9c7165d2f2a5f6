"""Making tensors: from data, filled, counted, like others."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.devices import check_device
from ndgrad.base.dtypes import (
    COMPLEX,
    as_dtype,
    dtype,
    from_numpy_dtype,
    get_default_dtype,
    int64,
    number_dtype,
    numpy_dtype,
)
from ndgrad.base.shapes import as_int, as_shape, check_sizes
from ndgrad.base.types import Array
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.ops.declare import function, rule_helper


def finish(array: Any, requires_grad: bool = False) -> Tensor:
    """A leaf around a new array."""
    out = wrap(array)
    if modes.is_inference_mode_enabled():
        out._v = INFERENCE
    if requires_grad:
        out.requires_grad = True
    return out


def _factory_dtype(given: Any, fallback: dtype) -> np.dtype[Any]:
    return numpy_dtype(fallback if given is None else as_dtype(given))


# ---------------------------------------------------------------- from data
def array_of(data: Any, wanted: dtype | None, name: str = "tensor") -> Array:
    """A new array of Python data, in PyTorch's inferred dtype unless one is given."""
    if isinstance(data, Tensor):
        return np.array(data._a, dtype=None if wanted is None else numpy_dtype(wanted))
    if isinstance(data, np.ndarray):
        return native(data, None if wanted is None else numpy_dtype(wanted), copy=True)
    if isinstance(data, (list, tuple, range)):
        data = plain_data(data, name)
    elif not isinstance(data, (Number, np.generic)):
        if hasattr(data, "__array__"):
            return native(np.asarray(data), None if wanted is None else numpy_dtype(wanted), copy=True)
        if data is None:
            raise RuntimeError("Could not infer dtype of NoneType")
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    try:
        array = np.array(data)
    except ValueError:
        raise ragged(data) from None
    if array.dtype.kind == "O":
        raise _refused(data)
    if array.dtype.kind in "USV":
        raise ValueError(f"too many dimensions 'str'") if array.ndim else TypeError(f"new(): invalid data type 'str'")
    if wanted is not None:
        if array.dtype.kind == "c" and not wanted.is_complex:
            raise RuntimeError(f"value cannot be converted to type {wanted.name} without overflow: the data are complex")
        return array.astype(numpy_dtype(wanted))
    if array.size == 0 and not isinstance(data, np.generic):
        return array.astype(numpy_dtype(get_default_dtype()))
    if first_is_numpy(data):
        return native(array, None, copy=False)
    kind = array.dtype.kind
    if kind == "f":
        return array.astype(numpy_dtype(get_default_dtype()))
    if kind == "c":
        return array.astype(numpy_dtype(get_default_dtype().to_complex()))
    if kind in "iu":
        if kind == "u":
            raise RuntimeError("Overflow when unpacking long")
        return array.astype(np.int64, copy=False)
    return array


def plain_data(data: Any, name: str) -> Any:
    """Nested sequences with tensors in them replaced by numbers (or lists)."""
    if isinstance(data, Tensor):
        return data._a.item() if data._a.ndim == 0 else data._a.tolist()
    if isinstance(data, (list, tuple)):
        if any(isinstance(item, (Tensor, list, tuple)) for item in data):  # pyright: ignore[reportUnknownVariableType]  # any nested data
            return [plain_data(item, name) for item in data]  # pyright: ignore[reportUnknownVariableType]  # any nested data
    return data


def first_is_numpy(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]  # pyright: ignore[reportUnknownVariableType]  # any nested data
    return isinstance(data, (np.generic, np.ndarray))


def ragged(data: Any) -> Exception:
    """The error for nested lists of unequal lengths, which names the dim."""

    def walk(part: Any, depth: int) -> Exception | None:
        if not isinstance(part, (list, tuple)) or not part:
            return None
        first = len(part[0]) if isinstance(part[0], (list, tuple)) else None  # pyright: ignore[reportUnknownArgumentType]  # any nested data
        for item in part:  # pyright: ignore[reportUnknownVariableType]  # any nested data
            length = len(item) if isinstance(item, (list, tuple)) else None  # pyright: ignore[reportUnknownArgumentType]  # any nested data
            if length != first:
                if first is None or length is None:
                    return TypeError(f"not a sequence: element of dim {depth + 1} is a number where a sequence was expected")
                return ValueError(f"expected sequence of length {first} at dim {depth + 1} (got {length})")
        for item in part:  # pyright: ignore[reportUnknownVariableType]  # any nested data
            found = walk(item, depth + 1)
            if found is not None:
                return found
        return None

    return walk(data, 0) or ValueError("the data are nested unevenly")


def _refused(data: Any) -> Exception:
    item = data
    while isinstance(item, (list, tuple)) and item:
        item = next((part for part in item if not isinstance(part, Number)), item[0])  # pyright: ignore[reportUnknownVariableType]  # any nested data
    if isinstance(item, int):
        return RuntimeError("Overflow when unpacking long")
    return RuntimeError(f"Could not infer dtype of {type(item).__name__}")


def native(array: Array, wanted: np.dtype[Any] | None, *, copy: bool) -> Array:
    """The array in a dtype that tensors have, refusing the others."""
    kind = array.dtype
    if kind not in from_numpy_dtype or not kind.isnative:
        raise TypeError(
            f"can't convert np.ndarray of type {kind}. The only supported types are: float64, float32, float16, complex64, complex128, int64, "
            "int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        )
    return np.array(array, dtype=wanted, copy=True) if copy else array if wanted is None else array.astype(wanted, copy=False)


@function(method=False)
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new leaf with a copy of `data`: numbers, nested sequences, arrays.

    Python floats get the default dtype, Python ints int64; NumPy data keep theirs.
    """
    check_device(device)
    if isinstance(data, Tensor):
        import_warning(data)
    return finish(array_of(data, None if dtype is None else as_dtype(dtype)), requires_grad)


def import_warning(data: Tensor) -> None:
    import warnings  # noqa: PLC0415  rarely needed

    warnings.warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
        "rather than torch.tensor(sourceTensor).",
        UserWarning,
        stacklevel=3,
    )


@function(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory with an array or a tensor of the right dtype."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(as_dtype(dtype))  # pyright: ignore[reportAttributeAccessIssue]  # bound in ops
    if isinstance(data, np.ndarray):
        return finish(native(data, None if dtype is None else numpy_dtype(as_dtype(dtype)), copy=False))
    return finish(array_of(data, None if dtype is None else as_dtype(dtype)))


@function(method=False)
def from_numpy(ndarray: Array) -> Tensor:
    """A tensor that shares the array's memory."""
    if not isinstance(ndarray, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if any(step < 0 for step in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
            "(You can probably work around this by making a copy of your array with array.copy().)"
        )
    out = finish(native(ndarray, None, copy=False))
    out._v = out._v or [0]
    return out


# ---------------------------------------------------------------- filled
def _fill(name: str, make: Any) -> None:
    def filled(
        *size: Any, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **extra: Any
    ) -> Tensor:
        if "size" in extra:
            size = (extra.pop("size"),)
        extra.pop("memory_format", None)
        if extra:
            raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(extra))}'")
        check_device(device)
        shape = check_sizes(as_shape(size))
        return finish(make(shape, _factory_dtype(dtype, get_default_dtype())), requires_grad)

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
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}_like(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        like = np.empty_like(input._a, dtype=_factory_dtype(dtype, input.dtype), subok=False)
        if name != "empty":
            like[...] = make((), like.dtype)
        return finish(like, requires_grad)

    def new_filled(self: Tensor, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
        return filled(*size, dtype=self.dtype if dtype is None else dtype, **rest)

    words = {"zeros": "filled with 0", "ones": "filled with 1", "empty": "whose elements are whatever is in memory"}[name]
    for made, own, doc in (
        (filled, name, f"A tensor of the given size, {words}."),
        (filled_like, f"{name}_like", f"A tensor of the shape and dtype of another, {words}."),
        (new_filled, f"new_{name}", f"A tensor of the given size and of this one's dtype, {words}."),
    ):
        made.__name__ = made.__qualname__ = own
        made.__doc__ = doc
    function(filled, method=False, out=True)
    function(filled_like, method=False)
    function(new_filled, as_function=False)


_fill("zeros", np.zeros)
_fill("ones", np.ones)
_fill("empty", np.empty)


def full_array(shape: tuple[int, ...], value: Any, wanted: Any) -> Array:
    if isinstance(value, Tensor):
        value = value.item()
    kind = numpy_dtype(as_dtype(wanted) if wanted is not None else number_dtype(value))
    if isinstance(value, complex) and kind.kind != "c":
        raise RuntimeError(f"value cannot be converted to type {from_numpy_dtype[kind].name} without overflow")
    return np.full(shape, np.asarray(value).astype(kind), dtype=kind)


@function(method=False, out=True)
def full(
    size: Sequence[int], fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A tensor of the given size with every element `fill_value`; the dtype is the value's unless given."""
    check_device(device)
    return finish(full_array(check_sizes(as_shape((size,))), fill_value, dtype), requires_grad)


@function(method=False)
def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    """A tensor of the shape and dtype of another with every element `fill_value`."""
    check_device(device)
    return finish(full_array(input._a.shape, fill_value, input.dtype if dtype is None else dtype), requires_grad)


@function(as_function=False)
def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given size and of this one's dtype with every element `fill_value`."""
    check_device(device)
    return finish(full_array(check_sizes(as_shape((size,))), fill_value, self.dtype if dtype is None else dtype), requires_grad)


@function(as_function=False)
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of `data` in this tensor's dtype."""
    check_device(device)
    return finish(array_of(data, self.dtype if dtype is None else as_dtype(dtype)), requires_grad)


@function(method=False)
def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor, of the default dtype unless given."""
    check_device(device)
    return finish(full_array((), s, get_default_dtype() if dtype is None else dtype), requires_grad)


# ---------------------------------------------------------------- counted
@function(method=False, out=True)
def arange(*args: Any, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
    """Numbers from `start` (0) to before `end` in steps of `step` (1): int64 where all three are integers."""
    check_device(device)
    start, end, step = _range_arguments(args, named)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if not all(np.isfinite((start, end))):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    integers = all(isinstance(value, (int, np.integer)) for value in (start, end, step))
    kind = _factory_dtype(dtype, int64 if integers else get_default_dtype())
    count = -((start - end) // step) if integers else int(np.ceil((float(end) - float(start)) / float(step)))
    if integers:
        return finish((start + step * np.arange(count, dtype=np.int64)).astype(kind), requires_grad)
    return finish((float(start) + float(step) * np.arange(count, dtype=np.float64)).astype(kind), requires_grad)


def _range_arguments(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any, Any]:
    values = [value.item() if isinstance(value, Tensor) else value for value in args]
    start, end, step = 0, None, 1
    if len(values) == 1 and "end" not in named:
        end = values[0]
    elif values:
        start, end, step = (*values, None, 1)[:3] if len(values) == 1 else (values[0], values[1], values[2] if len(values) > 2 else 1)
    start, end, step = named.pop("start", start), named.pop("end", end), named.pop("step", step)
    if named or end is None or len(args) > 3:
        raise TypeError(f"arange() takes (end), (start, end) or (start, end, step), not {len(args)} positional arguments and {list(named)}")
    return start, end, step


@function(method=False, out=True)
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included."""
    check_device(device)
    first, last = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    steps = as_int(steps, "steps")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    is_complex = isinstance(first, complex) or isinstance(last, complex)
    kind = _factory_dtype(dtype, get_default_dtype().to_complex() if is_complex else get_default_dtype())
    return finish(linear_steps(first, last, steps, kind), requires_grad)


def linear_steps(first: Any, last: Any, steps: int, kind: np.dtype[Any]) -> Array:
    """Steps counted from both ends, in the arithmetic of the result's dtype, as PyTorch does it: symmetric to the last bit."""
    if steps == 0:
        return np.empty(0, kind)
    if steps == 1:
        return np.full(1, first, kind)
    work = kind if kind.kind in "fc" and kind != np.float16 else np.dtype(np.float32)
    low, high = work.type(first), work.type(last)
    step = (high - low) / work.type(steps - 1)
    index = np.arange(steps)
    half = steps // 2
    array = np.empty(steps, work)
    array[:half] = low + step * index[:half].astype(work)
    array[half:] = high - step * (steps - 1 - index[half:]).astype(work)
    return array.astype(kind)


@function(method=False, out=True)
def eye(n: int, m: int | None = None, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """An n x m matrix (m = n unless given) with ones on the diagonal."""
    check_device(device)
    rows, columns = as_int(n, "n"), as_int(n if m is None else m, "m")
    if rows < 0 or columns < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {rows if rows < 0 else columns}")
    return finish(np.eye(rows, columns, dtype=_factory_dtype(dtype, get_default_dtype())), requires_grad)


def legacy_new(cls: type[Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """`Tensor(2, 3)` is uninitialised memory of that size, `Tensor([1, 2])` data in the default dtype."""
    if len(args) == 1 and isinstance(args[0], Tensor):
        out = args[0].detach()  # pyright: ignore[reportAttributeAccessIssue]  # bound in ops
    elif len(args) == 1 and not isinstance(args[0], (int, np.integer)):
        out = finish(array_of(args[0], get_default_dtype()))
    else:
        out = finish(np.zeros(check_sizes(as_shape(args)), numpy_dtype(get_default_dtype())))
    if cls is not Tensor:
        out.__class__ = cls
    return out


rule_helper(
    "zeros",
    lambda shape, like: np.zeros(shape, like.dtype),
    lambda shape, like: wrap(np.zeros(shape, like._a.dtype)),
)

IS_COMPLEX = COMPLEX
LEAF_MARK = LEAF
