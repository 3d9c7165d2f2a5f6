"""Normalisation over the batch, with running statistics."""

from __future__ import annotations

import math

from ndgrad.autograd.grad_mode import no_grad
from ndgrad.base.dtypes import float16, float32
from ndgrad.core.batches import holds
from ndgrad.core.tensor import Tensor
from ndgrad.nn.functional.reducing import no_gradient
from ndgrad.ops.arguments import check_tensor, unsupported
from ndgrad.ops.declare import recorded
from ndgrad.ops.guarding import guarded


@guarded
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 of each channel (dim 1) over all other dims; then times `weight` plus `bias`.

    Parameters
    ----------
    running_mean, running_var : the statistics to use, unless `training`; in training they are moved by `momentum` towards those of the
        input, in place.
    """
    check_tensor(input, "batch_norm", "input", 1)
    shape = input._a.shape
    others = math.prod(shape[:1] + shape[2:])
    if training:
        if others == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    _check_statistics(input, training, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if training and not all(running is None or holds(running._a, input._a) for running in (running_mean, running_var)):
        raise RuntimeError(
            "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in place, were not "
            "batched.\nIf you are using a module and do not need eval mode, please set `track_running_stats` to be False. Otherwise give "
            "each example of vmap statistics of its own, or call eval() on the module."
        )
    no_gradient("native_batch_norm", running_mean=running_mean, running_var=running_var)
    x = input.to(float32) if input.dtype is float16 else input
    dims = tuple(dim for dim in range(len(shape)) if dim != 1)
    column = (-1, *(1,) * (len(shape) - 2))
    if training:
        variance, mean = recorded.var_mean_dims(x, dims=dims, correction=0, keepdim=True)
        if others:
            with no_grad():
                _move(running_mean, mean, momentum)
                _move(running_var, variance.detach() * (others / (others - 1)), momentum)  # without bias, unlike the one that divides
    else:
        assert running_mean is not None
        assert running_var is not None
        mean, variance = running_mean.view(column), running_var.view(column)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight.view(column)
    out = (x - mean) * scale
    if bias is not None:
        out = out + bias.view(column)
    return out.to(input.dtype) if out.dtype is not input.dtype else out


def _check_statistics(input: Tensor, training: bool, **given: Tensor | None) -> None:
    shape = input._a.shape
    channels = shape[1] if len(shape) > 1 else 0
    for name, value in given.items():
        if value is None:
            if name.startswith("running") and not training:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
            continue
        if value._a.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {value._a.size}")
    if input._a.dtype.kind != "f":
        unsupported("batch_norm", input.dtype)
    kinds = {value.dtype for value in given.values() if value is not None}
    if not (kinds <= {input.dtype} or (input.dtype is float16 and kinds == {float32})):
        raise RuntimeError(
            f"mixed dtype (CPU): all inputs must share same datatype. The input is {input.dtype}, the others are "
            f"{', '.join(sorted(map(str, kinds)))}"
        )


def _move(running: Tensor | None, found: Tensor, momentum: float) -> None:
    """Move running statistics towards what was found in this batch."""
    if running is not None:
        value = found.detach().view(-1)
        running.lerp_(value if value.dtype is running.dtype else value.to(running.dtype), momentum)
