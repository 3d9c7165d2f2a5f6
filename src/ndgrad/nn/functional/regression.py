"""Losses for numbers."""

from __future__ import annotations

import math

from ndgrad.base import modes
from ndgrad.core.batches import values
from ndgrad.core.primitive import result_dtype
from ndgrad.core.tensor import Tensor
from ndgrad.nn.functional.reducing import matched, read_reduction, reduced
from ndgrad.ops import ops
from ndgrad.ops.arguments import unsupported
from ndgrad.ops.declare import recorded
from ndgrad.ops.guarding import guarded
from ndgrad.ops.losses import huber_error, smooth_absolute_error, squared_error


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared error `(input - target)^2`, times `weight` where given; its mean, sum or neither."""
    how = reduction if reduction == "mean" and size_average is None and reduce is None else read_reduction(reduction, size_average, reduce)
    if not isinstance(target, Tensor) or not isinstance(input, Tensor) or input._a.shape != target._a.shape:
        input, target = matched("mse_loss", input, target)
    _check_float("mse_cpu", input, target)
    if weight is None:
        return squared_error(input, target, reduction=how)
    return _weighted("mse_loss", squared_error(input, target, reduction="none"), weight, how)


def _check_float(kernel: str, input: Tensor, target: Tensor) -> None:
    if input._a.dtype.kind != "f" or target._a.dtype.kind != "f":
        common = result_dtype((input, target))
        if not common.is_floating_point:
            unsupported(kernel, common)


def _weighted(function: str, values: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Weighted elements; their mean is over the sum of the weights."""
    if weight._a.shape != values._a.shape:
        raise ValueError(f"Weights and input must have the same size. ({function}: {list(weight._a.shape)} and {list(values._a.shape)})")
    weighted = values * weight
    return weighted.sum() / weight.sum() if reduction == "mean" else reduced(weighted, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute error `|input - target|`, times `weight` where given; its mean, sum or neither."""
    how = read_reduction(reduction, size_average, reduce)
    x, y = matched("l1_loss", input, target)
    values = (x - y).abs()
    return reduced(values, how) if weight is None else _weighted("l1_loss", values, weight, how)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Squared error over `2 * beta` up to a distance of `beta`, absolute error less `beta / 2` beyond."""
    how = read_reduction(reduction, size_average, reduce)
    x, y = matched("smooth_l1_loss", input, target)
    if beta == 0:
        return reduced((x - y).abs(), how)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta. (beta is {beta})")
    _check_float("smooth_l1_cpu", x, y)
    return smooth_absolute_error(x, y, beta=float(beta), reduction=how)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Half the squared error up to a distance of `delta`, a line beyond; times `weight` where given."""
    how = read_reduction(reduction)
    x, y = matched("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta. (delta is {delta})")
    _check_float("huber_cpu", x, y)
    if y.dtype is not x.dtype and x.dtype.is_floating_point:
        y = y.to(x.dtype)  # unlike PyTorch's other losses, this one has the dtype of its input
    if weight is None:
        return huber_error(x, y, delta=float(delta), reduction=how)
    return _weighted("huber_loss", huber_error(x, y, delta=float(delta), reduction="none"), weight, how)


@guarded
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under a Poisson distribution whose rate (or its logarithm) is `input`."""
    how = read_reduction(reduction, size_average, reduce)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:  # Stirling's formula for log(target!)
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + recorded.where(target <= 1, 0.0, stirling)
    return reduced(loss, how)


@guarded
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """The negative log likelihood of `target` under normal distributions with mean `input` and variance `var`."""
    if not isinstance(var, Tensor):
        if isinstance(var, bool) or not isinstance(var, (int, float)):
            raise TypeError(f"var must be a tensor or a number, not {type(var).__name__}")
        if var < 0:
            raise ValueError(f"var has negative entry/entries: {var}")
        var = var * input.new_ones(input._a.shape)
    elif (values(var._a) < 0).any():
        raise ValueError("var has negative entry/entries")
    given, own = var._a.shape, input._a.shape
    if given != own:
        if own[:-1] == given:
            var = recorded.reshape_to(var, shape=(*given, 1))
        elif len(own) != len(given) or any(y not in (x, 1) for x, y in zip(own, given, strict=True)):
            raise ValueError(f"var is of incorrect size: {list(given)}, for an input of {list(own)}")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid: reduction must be one of none, mean, sum")
    var = ops.clone(var)
    # small variances are raised without touching the gradient
    previous = modes.set_mode("grad", False)
    try:
        var.clamp_(min=eps)
    finally:
        modes.set_mode("grad", previous)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
