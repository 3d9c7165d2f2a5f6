"""Losses that compare vectors or scores with each other, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.base.size import as_size
from ndgrad.core.inplace import write_out
from ndgrad.core.tensor import Tensor
from ndgrad.nn.functional.reducing import read_reduction, reduced
from ndgrad.ops.declare import recorded
from ndgrad.ops.guarding import guarded
from ndgrad.ops.norms import cosine_similarity, pairwise_distance, vector_norm

__all__ = [
    "cosine_embedding_loss", "cosine_similarity", "hinge_embedding_loss", "margin_ranking_loss", "normalize", "pairwise_distance",
    "triplet_margin_loss", "triplet_margin_with_distance_loss",
]


@guarded
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """The vectors along `dim` divided by their p-norm, or by `eps` where that is more."""
    size: Any = vector_norm(input, p, dim, True)
    result = input / size.clamp_min(eps).expand_as(input)
    return result if out is None else write_out(out, result, "normalize")


@guarded
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """A distance where the target is 1, what it lacks to `margin` where the target is -1."""
    how = read_reduction(reduction, size_average, reduce)
    if input._a.dtype.kind not in "fc":
        margin = int(margin)  # PyTorch computes in the dtype of the input
    short = recorded.where(target != 1, (margin - input).clamp_min(0), 0)
    return reduced(short + recorded.where(target != -1, input, 0), how)


@guarded
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """What the first score lacks to exceed the second (target 1), or the second to exceed the first (-1), by `margin`."""
    how = read_reduction(reduction, size_average, reduce)
    if not input1._a.ndim == input2._a.ndim == target._a.ndim:
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {as_size(input1._a.shape)}, "
            f"input2: {as_size(input2._a.shape)}, target: {as_size(target._a.shape)} "
        )
    return reduced((-target * (input1 - input2) + margin).clamp_min(0), how)


@guarded
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 less the cosine of the two vectors where the target is 1, the cosine above `margin` where it is -1."""
    how = read_reduction(reduction, size_average, reduce)
    if target._a.ndim > 1:
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported (the target has shape {list(target._a.shape)})")
    if not input1._a.ndim == input2._a.ndim == target._a.ndim + 1:
        raise RuntimeError(
            f"{target._a.ndim}D target tensor expects {target._a.ndim + 1}D input tensors, but found inputs with sizes "
            f"{list(input1._a.shape)} and {list(input2._a.shape)}."
        )
    dim = target._a.ndim
    # the square of each length, kept off 0 by the smallest amount that shows
    tiny = 1e-12
    along = (input1 * input2).sum(dim)
    cosine = along / (((input1 * input1).sum(dim) + tiny) * ((input2 * input2).sum(dim) + tiny)).sqrt()
    loss = recorded.where(target == 1, 1 - cosine, 0.0) + recorded.where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return reduced(loss, how)


def _check_ranks(anchor: Tensor, positive: Tensor, negative: Tensor) -> None:
    ranks = (anchor._a.ndim, positive._a.ndim, negative._a.ndim)
    if len(set(ranks)) != 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs"
        )


@guarded
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """How much nearer than the negative, by `margin`, the positive should be to the anchor."""
    how = read_reduction(reduction, size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_ranks(anchor, positive, negative)
    near: Any = pairwise_distance(anchor, positive, p, eps)
    far: Any = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = recorded.minimum_tensors(far, pairwise_distance(positive, negative, p, eps))
    return reduced((margin + near - far).clamp_min(0), how)


@guarded
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """The same with a distance of one's own."""
    how = read_reduction(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_ranks(anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    near: Any = distance(anchor, positive)
    far: Any = distance(anchor, negative)
    if swap:
        far = recorded.minimum_tensors(far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), how)
