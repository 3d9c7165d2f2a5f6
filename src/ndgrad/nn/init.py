"""PyTorch's `torch.nn.init`: the usual first values of parameters, written in place and never recorded."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ndgrad.autograd import no_grad
from ndgrad.core.batches import values
from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops
from ndgrad.ops.creation import boxed, levels_of

Filler = TypeVar("Filler", bound=Callable[..., Any])


def _unrecorded(fill: Filler) -> Filler:
    return no_grad()(fill)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which values grow back what a nonlinearity takes from their variance."""
    if nonlinearity in ("linear", "sigmoid", *(f"conv{n}d" for n in (1, 2, 3)), *(f"conv_transpose{n}d" for n in (1, 2, 3))):
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


@_unrecorded
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform from `a` to `b`."""
    return tensor.uniform_(a, b, generator=generator)


@_unrecorded
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal."""
    return tensor.normal_(mean, std, generator=generator)


@_unrecorded
def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None) -> Tensor:
    """Normal, with values outside of [a, b] left out."""

    def below(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be incorrect.", stacklevel=2
        )
    if below((b - mean) / std) - below((a - mean) / std) > 0.3:
        return _normal_redrawn(tensor, mean, std, a, b, generator)
    return _uniform_accepted(tensor, mean, std, a, b, generator)


def _normal_redrawn(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Tensor:
    """Draw normal numbers anew wherever they fall outside, which is not often."""
    low, high = tensor.new_tensor([a, b]).tolist()
    drawn = tensor.normal_(mean, std, generator=generator)
    while np.any(values((outside := (drawn < low) | (drawn > high))._a)):  # of whatever example, inside vmap
        drawn = ops.where(outside, ops.empty_like(drawn).normal_(mean, std, generator=generator), drawn)
    return tensor if drawn is tensor else tensor.copy_(drawn)


def _uniform_accepted(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Tensor:
    """Draw uniform numbers and accept each with a probability in proportion to the density, for intervals far from the mean."""
    highest = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2

    def refused(values: Tensor) -> Tensor:
        logarithm = values.sub(mean).div_(std).pow_(2).mul_(-0.5).sub_(highest)
        return ops.empty_like(values).uniform_(generator=generator).log_().gt(logarithm)

    drawn = tensor.uniform_(a, b, generator=generator)
    waiting = refused(drawn)
    while np.any(values(waiting._a)):
        again = ops.empty_like(tensor).uniform_(a, b, generator=generator)
        drawn = ops.where(waiting, again, drawn)
        waiting = ops.where(waiting, refused(again), waiting)
    return tensor if drawn is tensor else tensor.copy_(drawn)


@_unrecorded
def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


@_unrecorded
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndimension() != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported; this one has {tensor.ndimension()}")
    return tensor.copy_(tensor.new_tensor(np.eye(*tensor.shape)))


@_unrecorded
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Kernels of convolutions that hand their input channels on unchanged."""
    rank = tensor.ndimension()
    if rank not in (3, 4, 5):
        raise ValueError(f"Only tensors with 3, 4, or 5 dimensions are supported; this one has {rank}")
    sizes = tensor.size()
    if sizes[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = sizes[0] // groups
    tensor.zero_()
    centre = tuple(size // 2 for size in sizes[2:])
    for group in range(groups):
        for channel in range(min(per_group, sizes[1])):
            tensor[(group * per_group + channel, channel, *centre)] = 1
    return tensor


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output depends on, and how many outputs an input acts on."""
    if tensor.dim() < 2:
        raise ValueError(f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions; this one has {tensor.dim()}")
    field = math.prod(tensor.shape[2:])
    return tensor.size(1) * field, tensor.size(0) * field


_calculate_fan_in_and_fan_out = _fans  # a private name of PyTorch's that many scripts use


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Glorot and Bengio's uniform values, which keep variances both ways (2010)."""
    fan_in, fan_out = _fans(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Glorot and Bengio's normal values."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _is_empty(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Tensor:
    """He and others' uniform values for rectified units (2015)."""
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Tensor:
    """He and others' normal values."""
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@_unrecorded
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """A random matrix with orthonormal rows or columns, whichever are fewer."""
    if tensor.ndimension() < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported; this one has {tensor.ndimension()}")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.size(0)
    flat = tensor.new_empty((rows, tensor.numel() // rows)).normal_(0, 1, generator=generator)
    matrices = values(flat._a)
    wide = rows < flat.size(1)
    orthonormal, triangle = np.linalg.qr(matrices.swapaxes(-1, -2) if wide else matrices)
    orthonormal *= np.sign(np.diagonal(triangle, axis1=-2, axis2=-1))[..., None, :]  # without it, the distribution would not be uniform
    result = boxed(np.ascontiguousarray(orthonormal.swapaxes(-1, -2) if wide else orthonormal), levels_of(flat._a))
    return tensor.copy_(result.reshape(tensor.shape)).mul_(gain)


@_unrecorded
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with a part of each column 0."""
    if tensor.ndimension() != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported; this one has {tensor.ndimension()}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        tensor[ops.randperm(rows)[:zeros], column] = 0
    return tensor
