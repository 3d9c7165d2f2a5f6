"""The two functions of `torch.autograd._functions`, which older programs call; `Tensor.type` and `Tensor.view` do the same."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ndgrad.autograd.function import Function
from ndgrad.base.location import users_level
from ndgrad.core.tensor import Tensor

__all__ = ["Resize", "Type"]


class Type(Function):
    """Convert a tensor to another type, given as `Tensor.type` takes it."""

    @staticmethod
    def forward(ctx: Any, i: Tensor, dest_type: Any) -> Tensor:
        warnings.warn(
            "`torch.autograd._functions.Type` is deprecated as of PyTorch 2.1, please use `torch.tensor.to(dtype=dtype)` instead.",
            FutureWarning,
            stacklevel=users_level(),
        )
        ctx.input_type = i.type()
        converted: Tensor = i.type(dest_type)
        return converted

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return grad_output.type(ctx.input_type), None


class Resize(Function):
    """Give a tensor another shape of as many elements."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: Any) -> Tensor:
        sizes = tuple(sizes)
        if math.prod(sizes) != tensor.numel():
            wanted, given = ("x".join(map(str, shape)) for shape in (sizes, tensor.size()))
            raise RuntimeError(
                f"requested resize to {wanted} ({math.prod(sizes)} elements in total), but the given tensor has a size of {given} "
                f"({tensor.numel()} elements). autograd's resize can only change the shape of a given tensor, while preserving the number "
                "of elements."
            )
        ctx.input_sizes = tensor.size()
        return tensor.contiguous().view(*sizes)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return grad_output.contiguous().view(ctx.input_sizes), None
