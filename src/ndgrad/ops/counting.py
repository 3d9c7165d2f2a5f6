"""Making tensors by counting: ranges, steps, the identity matrix."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ndgrad.base.devices import check_device
from ndgrad.base.dtypes import cpp_name, from_numpy_dtype, get_default_dtype, int64, type_name
from ndgrad.base.shapes import as_int
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor
from ndgrad.ops.creation import deliver, dtype_of_out, factory_dtype, read_number
from ndgrad.ops.declare import function


@function(method=False)
def arange(
    *args: Any,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """Numbers from `start` (0) to before `end` in steps of `step` (1): int64 where all three are integers."""
    check_device(device)
    start, end, step = _range_arguments("arange", args, named)
    integers = all(isinstance(value, int) for value in (start, end, step))
    kind = factory_dtype("arange", dtype, dtype_of_out(out, "arange") if out is not None else int64 if integers else get_default_dtype())
    if kind.kind in "bc":
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{type_name(from_numpy_dtype[kind])}'")
    ends = (int(start), int(end), int(step) or step, True) if kind == np.int64 else (start, end, step, integers)
    count = _count(*ends)
    if kind.kind in "iu":
        if int(step) == 0:
            raise ValueError(f"step must be nonzero: {step} is 0 in {from_numpy_dtype[kind]}")
        numbers = (int(start) + int(step) * np.arange(count, dtype=np.int64)).astype(kind)
    else:
        numbers = (float(start) + float(step) * np.arange(count, dtype=np.float64)).astype(kind)
    if kind == np.float16:  # PyTorch rounds the first of every 16 numbers before it counts on from there
        whole = numbers[: count - count % 16].reshape(-1, 16)
        whole[...] = whole[:, :1].astype(np.float64) + float(step) * np.arange(16)
    return deliver("arange", numbers, out, dtype, requires_grad)


def _count(start: Any, end: Any, step: Any, integers: bool) -> int:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign: from {start} to {end} by {step}")
    return -((start - end) // step) if integers else math.ceil((float(end) - float(start)) / float(step))


def _range_arguments(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any, Any]:
    given = dict(named)
    values = list(args)
    if "end" not in given and len(values) == 1 and "start" not in given:
        given["end"] = values.pop()
    for argument in ("start", "end", "step"):
        if values and argument not in given:
            given[argument] = values.pop(0)
    if values or "end" not in given or set(given) - {"start", "end", "step"}:
        kinds = ", ".join(type(value).__name__ for value in args)
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({kinds}){' and ' + str(sorted(named)) if named else ''}"
        )
    numbers: list[Any] = []
    for position, (argument, default) in enumerate((("start", 0), ("end", None), ("step", 1))):
        value = read_number(name, argument, position + 1 if len(args) > 1 else 1, given.get(argument, default))
        if isinstance(value, complex):
            raise RuntimeError(f"value cannot be converted to type double without overflow: {argument} is {value}")
        numbers.append(int(value) if isinstance(value, bool) else value)
    return numbers[0], numbers[1], numbers[2]


@function(method=False, name="range")
def closed_range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` to `end`, which is included; PyTorch prefers `arange`."""
    check_device(device)
    if end is None:
        raise TypeError('range() missing 1 required positional arguments: "end"')
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with Python's range "
        "builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    first, last, by = (read_number("range", *given) for given in (("start", 1, start), ("end", 2, end), ("step", 3, step)))
    _count(first, last, by, False)
    kind = factory_dtype("range", dtype, dtype_of_out(out, "range") if out is not None else get_default_dtype())
    count = math.floor((float(last) - float(first)) / float(by)) + 1
    return deliver("range", (float(first) + float(by) * np.arange(count)).astype(kind), out, dtype, requires_grad)


@function(method=False)
def linspace(
    start: Any,
    end: Any,
    steps: Any = None,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included."""
    check_device(device)
    first, last, count, kind = _ends("linspace", start, end, steps, dtype, out)
    return deliver("linspace", linear_steps(first, last, count, kind), out, dtype, requires_grad)


@function(method=False)
def logspace(
    start: Any,
    end: Any,
    steps: Any = None,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`base` to the power of `steps` numbers at equal distances from `start` to `end`."""
    check_device(device)
    first, last, count, kind = _ends("logspace", start, end, steps, dtype, out)
    work = np.dtype(np.float64) if kind.kind in "iu" else kind
    exponents = linear_steps(first, last, count, work)
    with np.errstate(all="ignore"):
        powers = np.power(work.type(base), exponents).astype(kind)
    return deliver("logspace", powers, out, dtype, requires_grad)


def _ends(name: str, start: Any, end: Any, steps: Any, given: Any, out: Any) -> tuple[Any, Any, int, np.dtype[Any]]:
    """The arguments of `linspace` and `logspace`, checked."""
    if not hasattr(steps, "__index__"):
        kinds = ", ".join(type(value).__name__ for value in (start, end, steps) if value is not None)
        raise TypeError(f"{name}() received an invalid combination of arguments - got ({kinds}), where 'steps' must be int")
    for argument, value in (("start", start), ("end", end)):
        if isinstance(value, Tensor) and value._a.ndim:
            raise RuntimeError(
                f"{name} only supports 0-dimensional start and end tensors, but got {argument} with {value._a.ndim} dimension(s)."
            )
    first, last = read_number(name, "start", 1, start), read_number(name, "end", 2, end)
    count = steps.__index__()
    if count < 0:
        raise RuntimeError(f"number of steps must be non-negative, not {count}")
    is_complex = isinstance(first, complex) or isinstance(last, complex)
    default = get_default_dtype().to_complex() if is_complex else get_default_dtype()
    kind = factory_dtype(name, given, default if out is None else dtype_of_out(out, name))
    if is_complex and kind.kind != "c":
        names = cpp_name(default), type_name(from_numpy_dtype[kind])
        raise RuntimeError(f"torch.{name}(): inferred dtype {names[0]} can't be safely cast to passed dtype {names[1]}")
    if kind.kind == "b":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
    if kind.kind in "iu":  # PyTorch cuts the ends off first and counts between integers then
        first, last = int(first), int(last)
    return first, last, count, kind


def linear_steps(first: Any, last: Any, steps: int, kind: np.dtype[Any]) -> Array:
    """Steps counted from both ends, in the arithmetic of the result's dtype, as PyTorch does it: symmetric to the last bit."""
    if steps == 0:
        return np.empty(0, kind)
    if steps == 1:
        return np.full(1, first, kind)
    work = kind if kind.kind in "fc" else np.dtype(np.float64)
    low, high = work.type(first), work.type(last)
    step = (high - low) / work.type(steps - 1)
    index = np.arange(steps)
    half = steps // 2
    array = np.empty(steps, work)
    array[:half] = low + step * index[:half].astype(work)
    array[half:] = high - step * (steps - 1 - index[half:]).astype(work)
    return array.astype(kind)


@function(method=False)
def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """An n x m matrix (m = n unless given) with ones on the diagonal."""
    check_device(device)
    sizes: list[int] = []
    for position, (name, value) in enumerate((("n", n), ("m", n if m is None else m)), 1):
        if not hasattr(value, "__index__"):
            raise TypeError(f"eye(): argument '{name}' (position {position}) must be int, not {type(value).__name__}")
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
        sizes.append(as_int(value, name))
    kind = factory_dtype("eye", dtype, get_default_dtype())
    return deliver("eye", np.eye(*sizes, dtype=kind), out, dtype, requires_grad)
