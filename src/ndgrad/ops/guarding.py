"""What an operation says when it is given something else than the tensors that it works on.

Operations read their operands without asking what they are, which is quick and right nearly always. Only when that has gone
wrong is it asked which argument was to blame.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import unwrap
from typing import Any, TypeVar, cast

import numpy as np

from ndgrad.core.tensor import Tensor

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
_VARIADIC = 4  # the flag of code objects with `*args`


def tensor_parameters(body: Function) -> list[str]:
    """The parameters that are annotated as tensors, and `*tensors`."""
    inner: Any = unwrap(body)
    code = inner.__code__
    found = [name for name in code.co_varnames[: code.co_argcount] if inner.__annotations__.get(name) == "Tensor"]
    return [*found, "tensors"] if _rest_of(code) == "tensors" else found


def _rest_of(code: Any) -> str | None:
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code.co_flags & _VARIADIC else None


def guarded(body: F) -> F:
    """The function, which names the argument that is to blame where a wrong type has led to some other error."""

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **kwargs)
        except (AttributeError, ValueError, RuntimeError):
            refuse(body, args, kwargs)
            raise

    return cast(F, call)


def refuse(body: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise for the first argument that is no tensor where one is needed, or a NumPy array where none is."""
    inner: Any = unwrap(body)
    code, annotations = inner.__code__, inner.__annotations__
    names = code.co_varnames[: code.co_argcount]
    given = dict(zip(names, args, strict=False)) | kwargs
    for position, name in enumerate(names, 1):
        if name not in given:
            continue
        value, wanted = given[name], str(annotations.get(name, "Any"))
        tensor_wanted = wanted == "Tensor"
        if (tensor_wanted and not isinstance(value, Tensor)) or isinstance(value, np.ndarray):
            kind = "Tensor" if tensor_wanted or "Any" in wanted or "Tensor" in wanted else wanted
            where = f"{inner.__qualname__}(): argument '{name}' (position {position})"
            raise TypeError(f"{where} must be {kind}, not {type_of(value)}{advice(value)}") from None
    if _rest_of(code) == "tensors":
        rest = args[len(names) :]
        for position, value in enumerate(rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest):
            if not isinstance(value, Tensor):
                raise TypeError(f"expected Tensor as element {position} in argument 0, but got {type_of(value)}{advice(value)}") from None


def type_of(value: Any) -> str:
    """The name of a value's type as PyTorch's messages have it."""
    return "numpy.ndarray" if isinstance(value, np.ndarray) else type(value).__name__


def advice(value: Any) -> str:
    """What to write instead of a NumPy array."""
    return "; write ndgrad.from_numpy(array) to use the array's memory as a tensor" if isinstance(value, np.ndarray) else ""
