"""Losses and their derivatives: the reduction is part of the kernel, as it is part of PyTorch's nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Array

NONE, MEAN, SUM = "none", "mean", "sum"
_total = np.add.reduce
# NumPy takes 0.4 microseconds to make an array of a Python number, which shows on small operands
_FEW = 64  # elements, up to which one slow ufunc is faster than five fast ones
_ZERO, _HALF, _NEGATIVE = ({np.dtype(kind): np.full((), number, kind) for kind in "efd"} for number in (0, 0.5, -1))


def reduced(values: Any, reduction: str) -> Any:
    """The elements, their sum or their mean."""
    if reduction == NONE:
        return values
    if values.dtype.char == "e":
        return reduced(values.astype(np.float32), reduction).astype(np.float16)
    total = _total(values, axis=None)
    return total / values.size if reduction == MEAN else total


# ---------------------------------------------------------------- of differences
def squared_error(x: Any, y: Any, reduction: str) -> Any:
    away = x - y
    return reduced(away * away, reduction)


def smooth_absolute_error(x: Any, y: Any, beta: float, reduction: str) -> Any:
    away = np.abs(x - y)
    return reduced(np.where(away < beta, away * away * (0.5 / beta), away - 0.5 * beta), reduction)


def huber(x: Any, y: Any, delta: float, reduction: str) -> Any:
    away = np.abs(x - y)
    return reduced(np.where(away < delta, away * away * 0.5, delta * (away - 0.5 * delta)), reduction)


# ---------------------------------------------------------------- of logits and probabilities
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), exact at both ends."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def logits_cross_entropy(x: Any, y: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    """-(y log s(x) + (1 - y) log(1 - s(x))) with s the logistic function."""
    if pos_weight is None and x.size <= _FEW:
        zero = _ZERO[x.dtype]
        # max(x, 0) - x y, but inf where an infinite logit is on the wrong side
        out = (np.heaviside(x, zero) - y) * x + np.logaddexp(zero, np.copysign(x, _NEGATIVE[x.dtype]))  # of -|x|, in one call
    elif pos_weight is None:
        out = np.subtract(np.greater(x, _ZERO[x.dtype]), y)  # fast on many elements
        out *= x
        out += np.log1p(np.exp(-np.abs(x)))
    else:
        out = (1 - y) * x + ((pos_weight - 1) * y + 1) * softplus(-x)
    if weight is not None:
        out = out * weight
    return reduced(out, reduction)


def logits_cross_entropy_slope(g: Any, x: Any, y: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    """Its cotangent for `x`."""
    if reduction == MEAN:
        g = g / x.size
    if weight is not None:
        g = g * weight
    half = _HALF[x.dtype]
    slope = np.tanh(x * half)  # the logistic function is (1 + tanh(x / 2)) / 2, and never overflows that way
    slope *= half
    slope += half
    if pos_weight is None:
        slope = slope - y
    else:
        positive = pos_weight * y
        slope = (positive + 1 - y) * slope - positive
    return slope * g


def probability_cross_entropy(x: Any, y: Any, weight: Any, reduction: str) -> Any:
    """-(y log x + (1 - y) log(1 - x)), with logarithms cut off at -100."""
    out = (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100)
    return reduced(out if weight is None else out * weight, reduction)


def soft_margin(x: Any, y: Any, reduction: str) -> Any:
    return reduced(softplus(-y * x), reduction)


# ---------------------------------------------------------------- negative log likelihood
def _chosen(classes: int, target: Array, ignore: int) -> tuple[Array | None, Array]:
    """Which targets are not to be ignored (None: all of them), and the targets with the ignored ones as 0."""
    if 0 <= ignore < classes or not target.size or target.view(np.uint64).max() >= classes:
        kept = target != ignore
        target = np.where(kept, target, 0)
        wrong = (target < 0) | (target >= classes)
        if wrong.any():
            raise IndexError(f"Target {target[wrong][0]} is out of bounds.")
        if not kept.all():
            return kept, target
    return None, target


def _at(target: Array, rank: int) -> tuple[Any, ...]:
    """The index of each target's element in scores whose classes are dim 1 (dim 0 of a vector)."""
    if rank == 1:
        return (target,)
    if rank == 2:
        return np.arange(target.shape[0]), target
    others = np.ogrid[tuple(slice(n) for n in target.shape)]
    return (others[0], target, *others[1:])


def _as_int64(target: Any) -> Array:
    return np.asarray(target, np.int64)


def negative_log_likelihood(x: Array, target: Array, weight: Array | None, reduction: str, ignore: int) -> Any:
    """-weight[t] * x[t], summed over the sum of weights for a mean."""
    kept, target = _chosen(x.shape[0 if x.ndim == 1 else 1], _as_int64(target), ignore)
    picked = x[_at(target, x.ndim)]
    if weight is None and kept is None:
        if reduction == NONE:
            return -picked
        total = -_total(picked, axis=None, dtype=np.float32 if x.dtype.char == "e" else None)
        return (total / target.size if reduction == MEAN else total).astype(x.dtype)
    weights = _weights(weight, kept, target, x.dtype)
    picked = np.where(weights == 0, x.dtype.type(0), -picked * weights)
    if reduction == NONE:
        return picked
    total = _total(picked, axis=None)
    return total / _total(weights, axis=None) if reduction == MEAN else total


def _weights(weight: Array | None, kept: Array | None, target: Array, dtype: Any) -> Array:
    weights = np.ones(target.shape, dtype) if weight is None else weight[target]
    return weights if kept is None else weights * kept


def likelihood_adjoint(g: Any, target: Array, weight: Array | None, shape: tuple[int, ...], reduction: str, ignore: int) -> Array:
    """The cotangent of the scores."""
    rank = len(shape)
    kept, target = _chosen(shape[0 if rank == 1 else 1], _as_int64(target), ignore)
    out = np.zeros(shape, g.dtype)
    if weight is None and kept is None:
        out[_at(target, rank)] = -(g / target.size if reduction == MEAN else g)
        return out
    weights = _weights(weight, kept, target, g.dtype)
    if reduction == MEAN:
        g = g / _total(weights, axis=None)
    out[_at(target, rank)] = np.where(weights == 0, g.dtype.type(0), -g * weights)
    return out
