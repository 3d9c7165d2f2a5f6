"""Gradients made smaller where they are too large. `foreach`, which in PyTorch chooses between kernels, changes nothing here."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable

from ndgrad.autograd.grad_mode import no_grad
from ndgrad.base.location import users_level
from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops
from ndgrad.ops.norms import vector_norm

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


@no_grad()
def get_total_norm(tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The norm of all tensors together, as if they were one vector; with `error_if_nonfinite` it must be a number."""
    order = float(norm_type)
    norms = [vector_norm(tensor, order) for tensor in _listed(tensors)]
    if not norms:
        return ops.tensor(0.0)
    total: Tensor = vector_norm(ops.stack(norms), order)
    if error_if_nonfinite and not ops.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this "
            "error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Multiply the gradients by what brings a total norm that is known already down to `max_norm`; never by more than 1."""
    factor = ops.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    for gradient in _gradients(_listed(parameters)):
        gradient.mul_(factor)


@no_grad()
def clip_grad_norm_(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Make the gradients together no longer than `max_norm`, in place; returns how long they were.

    Parameters
    ----------
    parameters : whose gradients; those that have none are passed over.
    norm_type : the order of the norm; infinity for the largest element.
    error_if_nonfinite : refuse, without a change, gradients that are not finite.
    """
    listed = _listed(parameters)
    if not listed and isinstance(parameters, types.GeneratorType):
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=users_level())
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The older name of `clip_grad_norm_`."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=users_level(),
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clip each element of the gradients to [-clip_value, clip_value], in place."""
    bound = float(clip_value)
    for gradient in _gradients(_listed(parameters)):
        gradient.clamp_(-bound, bound)
