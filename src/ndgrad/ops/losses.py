"""Losses that are one operation each, with the reduction inside, as PyTorch's nodes have it. `nn.functional` exposes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.types import Shape
from ndgrad.core.batches import values
from ndgrad.core.batching import BatchLevel, lined_up
from ndgrad.core.saved import constant, no_tensor
from ndgrad.core.tensor import wrap
from ndgrad.kernels import losses as kernels
from ndgrad.kernels.losses import MEAN, NONE
from ndgrad.ops import batch_rules
from ndgrad.ops.declare import elementwise, general, recorded, rule_helper


def _scaled_back(g: Any, reduction: str, shape: Any) -> Any:
    """The cotangent of each element before the reduction."""
    if reduction != MEAN:
        return g
    count = 1
    for size in shape:
        count *= size
    return g / count


def _pair(needs: Any, cotangent: Any) -> tuple[Any, Any]:
    """What a loss of a difference gives its two operands."""
    return cotangent if needs[0] else None, -cotangent if needs[1] else None


# ---------------------------------------------------------------- of differences
def _squared_back(xp: Any, g: Any, needs: Any, x: Any, y: Any, reduction: str) -> Any:
    away = x - y
    return _pair(needs, away * (_scaled_back(g, reduction, away.shape) * 2))


@general(
    joint=_squared_back, policy="promote", node_name="MseLossBackward0", saved={"target": "y"}, batch=batch_rules.of_each("squared_error")
)
def squared_error(x: Any, y: Any, *, reduction: str) -> Any:
    """(x - y)^2."""
    return kernels.squared_error(x, y, reduction)


def _smooth_back(xp: Any, g: Any, needs: Any, x: Any, y: Any, beta: float, reduction: str) -> Any:
    away = x - y
    outside = xp.abs(away) >= beta
    slope = xp.where(outside, xp.sgn(away), away / beta)
    return _pair(needs, slope * _scaled_back(g, reduction, away.shape))


@general(
    joint=_smooth_back,
    policy="promote",
    node_name="SmoothL1LossBackward0",
    saved={"target": "y"},
    batch=batch_rules.of_each("smooth_absolute_error"),
)
def smooth_absolute_error(x: Any, y: Any, *, beta: float, reduction: str) -> Any:
    """|x - y| - beta / 2, and a parabola where that is less than beta / 2."""
    return kernels.smooth_absolute_error(x, y, beta, reduction)


def _huber_back(xp: Any, g: Any, needs: Any, x: Any, y: Any, delta: float, reduction: str) -> Any:
    away = x - y
    outside = xp.abs(away) >= delta
    slope = xp.where(outside, xp.sgn(away) * delta, away)
    return _pair(needs, slope * _scaled_back(g, reduction, away.shape))


@general(
    joint=_huber_back, policy="promote", node_name="HuberLossBackward0", saved={"target": "y"}, batch=batch_rules.of_each("huber_error")
)
def huber_error(x: Any, y: Any, *, delta: float, reduction: str) -> Any:
    """A parabola up to a distance of delta, a line beyond."""
    return kernels.huber(x, y, delta, reduction)


# ---------------------------------------------------------------- of logits and probabilities
def _logistic(x: Any) -> Any:
    return np.tanh(x * 0.5) * 0.5 + 0.5


@elementwise(public=False, partials=[lambda xp, g, out: g * (out * (1 - out))])
def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return _logistic(x)


@elementwise(public=False, partials=[lambda xp, g, x: g * xp.logistic(x)])
def log_one_plus_exp(x: Any) -> Any:
    """log(1 + exp(x))."""
    return kernels.softplus(x)


def _logits_slope(g: Any, x: Any, y: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    g = _scaled_back(g, reduction, x.shape)
    if weight is not None:
        g = g * weight
    slope = recorded.logistic(x)
    if pos_weight is None:
        return (slope - y) * g
    positive = pos_weight * y
    return ((positive + 1 - y) * slope - positive) * g


rule_helper("logits_slope", kernels.logits_cross_entropy_slope, _logits_slope)


def _weighted_back(g: Any, x: Any, weight: Any, reduction: str) -> Any:
    g = _scaled_back(g, reduction, x.shape)
    return g if weight is None else g * weight


def _logits_back(xp: Any, g: Any, x: Any, y: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    return xp.logits_slope(g, x, y, weight, pos_weight, reduction)


def _logits_target_back(xp: Any, g: Any, x: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    g = _weighted_back(g, x, weight, reduction)
    return -(x * g) if pos_weight is None else ((pos_weight - 1) * xp.log_one_plus_exp(-x) - x) * g


@general(
    vjp=[_logits_back, _logits_target_back],
    policy="promote",
    node_name="BinaryCrossEntropyWithLogitsBackward0",
    saved={"target": "y"},
    batch=batch_rules.of_each("logits_cross_entropy"),
)
def logits_cross_entropy(x: Any, y: Any, weight: Any, pos_weight: Any, *, reduction: str) -> Any:
    """The cross entropy of a logit and a probability."""
    return kernels.logits_cross_entropy(x, y, weight, pos_weight, reduction)


#: What the product of the two probabilities counts as at least: PyTorch's number, which is rounded to float32.
_LEAST = float(np.float32(1e-12))


@general(
    vjp=[
        lambda xp, g, x, y: xp.logits_slope(g, x, y, None, None, MEAN),
        lambda xp, g, x: -(x * _scaled_back(g, MEAN, x.shape)),
    ],
    policy="promote",
    public=False,
    batch=batch_rules.of_each("logits_cross_entropy", None, None, reduction=MEAN),
    node_name="BinaryCrossEntropyWithLogitsBackward0",
    saved={"target": "y", "weight": no_tensor, "pos_weight": no_tensor, "reduction": constant(1)},
)
def mean_logits_cross_entropy(x: Any, y: Any) -> Any:
    """The usual case of the above: without parameters it has a fast lane."""
    return kernels.logits_cross_entropy(x, y, None, None, MEAN)


def _probability_back(xp: Any, g: Any, x: Any, y: Any, weight: Any, reduction: str) -> Any:
    spread = (1 - x) * x
    return (x - y) * _weighted_back(g, x, weight, reduction) / xp.where(spread < _LEAST, _LEAST, spread)


def _probability_target_back(xp: Any, g: Any, x: Any, weight: Any, reduction: str) -> Any:
    return (xp.log(1 - x) - xp.log(x)) * _weighted_back(g, x, weight, reduction)


@general(
    vjp=[_probability_back, _probability_target_back],
    policy="promote",
    node_name="BinaryCrossEntropyBackward0",
    saved={"target": "y"},
    batch=batch_rules.of_each("probability_cross_entropy"),
)
def probability_cross_entropy(x: Any, y: Any, weight: Any, *, reduction: str) -> Any:
    """The cross entropy of two probabilities."""
    return kernels.probability_cross_entropy(x, y, weight, reduction)


@general(
    vjp=[lambda xp, g, x, y, reduction: -(y * xp.logistic(-(y * x))) * _scaled_back(g, reduction, x.shape)],
    policy="promote",
    node_name="SoftMarginLossBackward0",
    saved={"target": "y"},
    batch=batch_rules.of_each("soft_margin"),
)
def soft_margin(x: Any, y: Any, *, reduction: str) -> Any:
    """log(1 + exp(-x y))."""
    return kernels.soft_margin(x, y, reduction)


# ---------------------------------------------------------------- negative log likelihood
def _likelihood_back(xp: Any, g: Any, target: Any, weight: Any, x_shape: Any, reduction: str, ignore_index: int) -> Any:
    return xp.likelihood_adjoint(g, target, weight, shape=x_shape, reduction=reduction, ignore_index=ignore_index)


def _adjoint_back(xp: Any, g: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> Any:
    return xp.likelihood(g, target, weight, reduction=reduction, ignore_index=ignore_index)


def _rows(x: Any, rank: int) -> Any:
    """The rows of all examples as those of one: scores or targets with `rank` dims for an example."""
    if rank == 0:
        return x
    shape = x._a.shape
    return recorded.reshape_to(x, shape=(shape[0] * shape[1], *shape[2:]))


def _likelihoods(scores: Any, target: Any, weight: Any, ignore_index: int) -> Any:
    """Of rows, unreduced."""
    operation = recorded.likelihood if scores._a.ndim == 2 else recorded.likelihood_of_images
    return operation(scores, target, weight, reduction=NONE, ignore_index=ignore_index)


def _weights_of(level: BatchLevel, weight: Any, mapped: bool, labels: Any, shape: Shape, dtype: Any, ignore_index: int) -> Any:
    """The weight of each target, for scores of this shape with the examples in front: 0 where it is to be ignored."""
    vector = len(shape) == 2
    classes = shape[1 if vector else 2]
    if weight is None:
        weight = wrap(np.ones(classes, dtype))
    elif mapped and not vector:
        weight = recorded.expand_to(recorded.unsqueeze_dim(weight, dim=1), shape=(*shape[:2], classes))
        weight = _rows(weight, 1)
    rows = (shape[0], classes) if vector else (shape[0] * shape[1], *shape[2:])
    for _ in rows[2:]:
        weight = recorded.unsqueeze_dim(weight, dim=weight._a.ndim)
    before = modes.set_mode("grad", False)
    try:
        return -_likelihoods(recorded.expand_to(weight, shape=rows), labels, None, ignore_index)
    finally:
        modes.set_mode("grad", before)


def _counts_all(weight: Any, labels: Any, ignore_index: int) -> bool:
    """Whether each target counts as one, in whichever example."""
    return weight is None and not np.any(values(labels._a) == ignore_index)


def _each_likelihood(level: BatchLevel, mapped: list[bool], x: Any, target: Any, weight: Any, *, reduction: str, ignore_index: int) -> Any:
    x, target = level.every((x, target), mapped[:2])
    shape = x._a.shape
    scores, labels = _rows(x, len(shape) - 2), _rows(target, len(shape) - 2)
    out = _likelihoods(scores, labels, None if mapped[2] else weight, ignore_index)
    plain = _counts_all(weight, labels, ignore_index)
    if mapped[2] or (reduction == MEAN and not plain):
        weights = _weights_of(level, weight, mapped[2], labels, shape, x._a.dtype, ignore_index)
    if mapped[2]:
        out = recorded.masked_keep(out * weights, weights != 0)
    if reduction == NONE:
        return recorded.reshape_to(out, shape=target._a.shape)
    whole = (shape[0], math.prod(target._a.shape[1:]))
    total = recorded.sum_dims(recorded.reshape_to(out, shape=whole), dims=(1,))
    if plain and reduction == MEAN:
        return total / whole[1]
    return total / recorded.sum_dims(recorded.reshape_to(weights, shape=whole), dims=(1,)) if reduction == MEAN else total


def _each_adjoint(
    level: BatchLevel, mapped: list[bool], x: Any, target: Any, weight: Any, *, shape: Shape, reduction: str, ignore_index: int
) -> Any:
    g, target = level.every((x, target), mapped[:2])
    whole = (level.size, *shape)
    labels = _rows(target, len(shape) - 1)
    plain = _counts_all(weight, labels, ignore_index)
    if mapped[2] or (reduction == MEAN and not plain):
        weights = _weights_of(level, weight, mapped[2], labels, whole, g._a.dtype, ignore_index)
    if plain and reduction == MEAN:
        g = g / math.prod(target._a.shape[1:])
    elif reduction == MEAN:
        sums = recorded.sum_dims(recorded.reshape_to(weights, shape=(level.size, math.prod(target._a.shape[1:]))), dims=(1,))
        g = g / sums
    if reduction != NONE:
        g = recorded.expand_to(lined_up(g, target._a.ndim - 1), shape=target._a.shape)
    g = recorded.reshape_to(g, shape=labels._a.shape)
    if mapped[2]:
        g = recorded.masked_keep(g * weights, weights != 0)
    rows = whole if len(shape) == 1 else (level.size * shape[0], *shape[1:])
    out = recorded.likelihood_adjoint(g, labels, None if mapped[2] else weight, shape=rows, reduction=NONE, ignore_index=ignore_index)
    return recorded.reshape_to(out, shape=whole)


@general(vjp=[_likelihood_back], node_name="NllLossBackward0", batch=_each_likelihood, saved={"self_sym_sizes": None})
def likelihood(x: Any, target: Any, weight: Any, *, reduction: str, ignore_index: int) -> Any:
    """Minus the scores of the target classes; the scores are a vector or rows."""
    return kernels.negative_log_likelihood(x, target, weight, reduction, ignore_index)


@general(vjp=[_likelihood_back], node_name="NllLoss2DBackward0", batch=_each_likelihood, saved={"self_sym_sizes": None})
def likelihood_of_images(x: Any, target: Any, weight: Any, *, reduction: str, ignore_index: int) -> Any:
    """The same where the classes are dim 1 of three or more."""
    return kernels.negative_log_likelihood(x, target, weight, reduction, ignore_index)


@general(vjp=[_adjoint_back], batch=_each_adjoint)
def likelihood_adjoint(x: Any, target: Any, weight: Any, *, shape: Any, reduction: str, ignore_index: int) -> Any:
    """Zeros with minus the cotangent at the target classes."""
    return kernels.likelihood_adjoint(x, target, weight, shape, reduction, ignore_index)
