"""What the losses share: reading `reduction`, comparing shapes, reducing."""

from __future__ import annotations

import warnings
from typing import Any

from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.size import as_size
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.declare import recorded


def read_reduction(reduction: str, size_average: bool | None = None, reduce: bool | None = None, *, others: tuple[str, ...] = ()) -> str:
    """The reduction meant by the arguments, `size_average` and `reduce` being PyTorch's older way to say it."""
    if size_average is not None or reduce is not None:
        average, reduces = size_average is not False, reduce is not False
        meant = ("mean" if average else "sum") if reduces else "none"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", UserWarning, stacklevel=3
        )
        return meant
    if reduction not in ("none", "mean", "sum") and reduction not in others:
        raise ValueError(f"{reduction} is not a valid value for reduction; it must be one of none, mean, sum")
    return reduction


def reduced(values: Tensor, reduction: str) -> Tensor:
    """The elements, their mean or their sum, as recorded operations."""
    if reduction == "mean":
        return values.mean()
    return values.sum() if reduction == "sum" else values


def matched(function: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Both operands in their common shape, with PyTorch's warning where they do not have it."""
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        check_tensor(input, function, "input", 1)
        check_tensor(target, function, "target", 2)
    x, y = input._a.shape, target._a.shape
    if x == y:
        return input, target
    warnings.warn(
        f"Using a target size ({as_size(y)}) that is different to the input size ({as_size(x)}). This will likely lead to incorrect "
        "results due to broadcasting. Please ensure they have the same size.",
        UserWarning,
        stacklevel=3,
    )
    shape = broadcast_shapes(x, y)
    if x != shape:
        input = recorded.expand_to(input, shape=shape)
    return input, target if y == shape else recorded.expand_to(target, shape=shape)


def no_gradient(function: str, **arguments: Tensor | None) -> None:
    """Refuse gradients for arguments that PyTorch has no derivative for."""
    for name, value in arguments.items():
        if value is not None and value.requires_grad:
            raise RuntimeError(
                f"The function '{function}' is not differentiable with respect to argument '{name}'. This input cannot have "
                "requires_grad True."
            )
