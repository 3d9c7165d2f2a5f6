"""What reductions, scans and losses share in reading their arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar, cast

from ndgrad.base.dtypes import as_dtype, dtype, numpy_dtype, type_name
from ndgrad.base.shapes import wrap_dim, wrap_dims
from ndgrad.base.types import Shape
from ndgrad.core.tensor import Tensor
from ndgrad.ops.guarding import advice, refuse, type_of

Function = TypeVar("Function", bound=Callable[..., Any])


def torch_arguments(body: Function) -> Function:
    """Let a function take NumPy's `axis` and `keepdims` for `dim` and `keepdim`, and say so when it is given no tensor."""

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            if "axis" in kwargs:
                kwargs["dim"] = kwargs.pop("axis")
            if "keepdims" in kwargs:
                kwargs["keepdim"] = kwargs.pop("keepdims")
        try:
            return body(*args, **kwargs)
        except (AttributeError, ValueError, RuntimeError):
            refuse(body, args, kwargs)
            raise

    call.__dict__["guards"] = True
    return cast(Function, call)  # it takes what the body takes, and two names more


def check_tensor(value: Any, function: str, argument: str, position: int) -> None:
    """Refuse anything but a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{function}(): argument '{argument}' (position {position}) must be Tensor, not {type_of(value)}{advice(value)}")


def one_dim(dim: Any, rank: int, function: str) -> int:
    """One dim counted from the front; for a 0-d tensor 0."""
    if type(dim) is not int:
        if isinstance(dim, (bool, float, str, list, tuple)) or getattr(dim, "__index__", None) is None:
            wrong(function, "dim", "int", dim)
        dim = int(dim)
    return wrap_dim(dim, rank)


def dims_of(dim: Any, rank: int, function: str) -> tuple[int, ...]:
    """The dims to reduce, counted from the front: all of them for None or an empty list; none for a 0-d tensor."""
    if type(dim) is int:
        axis = wrap_dim(dim, rank)
        return (axis,) if rank else ()
    if dim is None:
        return tuple(range(rank))
    if isinstance(dim, (str, float)) or (isinstance(dim, Tensor) and dim._a.ndim):
        wrong(function, "dim", "tuple of ints", dim)
    if isinstance(dim, Tensor):
        dim = dim.__index__()
    elif isinstance(dim, Iterable):
        dims: list[Any] = list(dim)  # any iterable of dims
        if not dims:
            return tuple(range(rank))
        for one in dims:
            if getattr(one, "__index__", None) is None:
                wrong(function, "dim", "tuple of ints", dims)
        dim = dims
    wrapped = wrap_dims(dim, rank)
    return wrapped if rank else ()


def wrong(function: str, argument: str, expected: str, value: Any) -> NoReturn:
    raise TypeError(
        f"{function}() received an invalid combination of arguments - argument '{argument}' must be {expected}, "
        f"not {type(value).__name__} ({value!r})"
    )


def kept_shape(shape: Shape, dims: Iterable[int]) -> Shape:
    """The shape with the reduced dims as 1."""
    sizes = list(shape)
    for dim in dims:
        sizes[dim] = 1
    return tuple(sizes)


def unsupported(kernel: str, given: dtype) -> NoReturn:
    """PyTorch's error for a dtype that an operation has no kernel for."""
    raise NotImplementedError(f'"{kernel}" not implemented for \'{type_name(given)}\'; convert the tensor with .to(...) first')


def numpy_of(wanted: Any) -> Any:
    """NumPy's dtype for one of ours, None for None."""
    return None if wanted is None else numpy_dtype(as_dtype(wanted))


def check_nonempty(shape: Shape, dims: Iterable[int], function: str, *, colon: str = "():") -> None:
    """Refuse to reduce a dim of size 0, for operations without an identity."""
    for dim in dims:
        if shape[dim] == 0:
            raise IndexError(f"{function}{colon} Expected reduction dim {dim} to have non-zero size.")
