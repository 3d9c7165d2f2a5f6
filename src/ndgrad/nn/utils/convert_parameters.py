"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops
from ndgrad.ops.inspection import typename


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters in one vector, through which gradients flow."""
    found: Tensor = ops.cat([parameter.view(-1) for parameter in parameters])
    return found


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters show pieces of a vector, whose memory they then share, one after the other."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    pieces: list[tuple[Tensor, Tensor]] = []
    start = 0
    for parameter in parameters:
        pieces.append((parameter, vec[start : start + parameter.numel()].view_as(parameter)))
        start += parameter.numel()
    for parameter, piece in pieces:
        parameter.data = piece.data
