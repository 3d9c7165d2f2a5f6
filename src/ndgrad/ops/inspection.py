"""Questions about tensors and dtypes that PyTorch answers with functions."""

from __future__ import annotations

from typing import Any

from ndgrad.base.dtypes import dtype
from ndgrad.core.primitive import result_dtype
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.conversion import LEGACY_NAMES
from ndgrad.ops.declare import function


@function(method=False)
def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of the result of arithmetic with the two, each a tensor or a number."""
    return result_dtype((tensor1, tensor2))


@function(method=False)
def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floating-point numbers."""
    check_tensor(input, "is_floating_point", "input", 1)
    return input.is_floating_point()


@function(method=False)
def is_complex(input: Tensor) -> bool:
    """Whether the elements are complex numbers."""
    check_tensor(input, "is_complex", "input", 1)
    return input.is_complex()


@function(method=False)
def is_signed(input: Tensor) -> bool:
    """Whether the elements may be negative."""
    check_tensor(input, "is_signed", "input", 1)
    return input.is_signed()


@function(method=False)
def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    check_tensor(input, "is_inference", "input", 1)
    return input.is_inference()


@function
def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero."""
    check_tensor(input, "is_nonzero", "input", 1)
    return bool(input)


@function(method=False)
def numel(input: Tensor) -> int:
    """The number of elements."""
    check_tensor(input, "numel", "input", 1)
    return input._a.size


@function(method=False)
def typename(obj: Any) -> str:
    """The name of a tensor's legacy type, or of any other object's type."""
    if isinstance(obj, Tensor):
        return f"torch.{LEGACY_NAMES[obj.dtype]}"
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", None)
    if named is Tensor:
        return "torch.Tensor"
    return named.__qualname__ if module in (None, "builtins") else f"{module}.{named.__qualname__}"


@function(method=False)
def is_storage(obj: Any) -> bool:
    """Whether `obj` is a PyTorch storage; there are none here."""
    return False
