"""Dropout as functions: whole channels or single elements."""

from __future__ import annotations

import warnings

from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops
from ndgrad.ops.guarding import guarded


def _check(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Make each element 0 with probability p and divide the others by 1 - p; outside of training the input itself."""
    _check(p)
    return ops.dropout_(input, p, training) if inplace else ops.dropout(input, p, training)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Saturate elements at SELU's negative limit with probability p, keeping mean and variance."""
    _check(p)
    return ops.alpha_dropout_(input, p, training) if inplace else ops.alpha_dropout(input, p, training)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels."""
    _check(p)
    return ops.feature_alpha_dropout_(input, p, training) if inplace else ops.feature_alpha_dropout(input, p, training)


def _channels(input: Tensor, p: float, training: bool, inplace: bool, batched: bool) -> Tensor:
    """Dropout of whole channels, of an input that may lack the batch dim."""
    drop = ops.feature_dropout_ if inplace else ops.feature_dropout
    if batched:
        return drop(input, p, training)
    batch = input.unsqueeze_(0) if inplace else input.unsqueeze(0)
    out = drop(batch, p, training)
    return out.squeeze_(0) if inplace else out.squeeze(0)


@guarded
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Make whole channels of (N, C, L) or (C, L) inputs 0 with probability p."""
    _check(p)
    rank = input.dim()
    if rank not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {rank}D input. Note that dropout1d exists to provide channel-wise dropout "
            "on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _channels(input, p, training, inplace, rank == 3)


def _unusual(name: str, rank: int, expected: str) -> None:
    warnings.warn(
        f"{name}: Received a {rank}-D input to {name}, which is deprecated and will result in an error in a future release. "
        f"It drops whole channels of {expected} inputs; write dropout for others.",
        stacklevel=3,
    )


@guarded
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Make whole channels of (N, C, H, W) inputs 0 with probability p; a 3-d input is taken as (N, C, L)."""
    _check(p)
    rank = input.dim()
    if rank not in (3, 4):
        _unusual("dropout2d", rank, "3D or 4D")
    if rank == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - input is "
            "interpreted as shape (N, C, L), where C is the channel dim. Write dropout1d for that.",
            stacklevel=2,
        )
    return _channels(input, p, training, inplace, True)


@guarded
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Make whole channels of (N, C, D, H, W) or (C, D, H, W) inputs 0 with probability p."""
    _check(p)
    rank = input.dim()
    if rank not in (4, 5):
        _unusual("dropout3d", rank, "4D or 5D")
    return _channels(input, p, training, inplace, rank == 5)
