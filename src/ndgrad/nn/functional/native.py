"""Losses and layers under the names and signatures that they have in PyTorch's `torch`: the reduction of a loss is a number there."""

from __future__ import annotations

from collections.abc import Sequence

from ndgrad.core.saved import REDUCTIONS
from ndgrad.core.tensor import Tensor
from ndgrad.nn.functional import classification, comparisons, layers, normalization, regression

#: PyTorch documents the mean, and reads its own default as 0.
UNREDUCED = REDUCTIONS.index("none")

rms_norm = layers.rms_norm


def _named(reduction: int) -> str:
    if reduction not in range(len(REDUCTIONS)):
        raise ValueError(f"the reduction {reduction!r} is none of 0 (none), 1 (mean) and 2 (sum); torch.nn.functional takes their names")
    return REDUCTIONS[reduction]


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:
    """Mean 0 and variance 1 over the last dims, which have `normalized_shape`; then times `weight` plus `bias`."""
    return layers.layer_norm(input, normalized_shape, weight, bias, eps)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Mean 0 and variance 1 of each channel over all other dims; then times `weight` plus `bias`."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """The rows of `weight` that `indices` names; a negative `padding_idx` stands for no row at all."""
    return layers.embedding(indices, weight, None if padding_idx < 0 else padding_idx, None, 2.0, scale_grad_by_freq, sparse)


def kl_div(input: Tensor, target: Tensor, reduction: int = UNREDUCED, *, log_target: bool = False) -> Tensor:
    """The divergence of log-probabilities `input` from `target` (probabilities, or their logarithms with `log_target`)."""
    values = classification.kl_div(input, target, reduction="none", log_target=log_target)
    how = _named(reduction)
    return values if how == "none" else values.mean() if how == "mean" else values.sum()


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = UNREDUCED
) -> Tensor:
    """The cross entropy of logits and the probabilities in `target`."""
    return classification.binary_cross_entropy_with_logits(input, target, weight, reduction=_named(reduction), pos_weight=pos_weight)


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = UNREDUCED) -> Tensor:
    """1 less the cosine of the two vectors where the target is 1, the cosine above `margin` where it is -1."""
    return comparisons.cosine_embedding_loss(input1, input2, target, margin, reduction=_named(reduction))


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = UNREDUCED) -> Tensor:
    """A distance where the target is 1, what it lacks to `margin` where the target is -1."""
    return comparisons.hinge_embedding_loss(input, target, margin, reduction=_named(reduction))


def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = UNREDUCED) -> Tensor:
    """What the first score lacks to exceed the second (target 1), or the second to exceed the first (-1), by `margin`."""
    return comparisons.margin_ranking_loss(input1, input2, target, margin, reduction=_named(reduction))


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """The negative log likelihood of counts under a Poisson distribution whose rate (or its logarithm) is `input`."""
    return regression.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_named(reduction))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    reduction: int = UNREDUCED,
) -> Tensor:
    """What the distance to the negative example lacks to exceed that to the positive one by `margin`."""
    return comparisons.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_named(reduction))
