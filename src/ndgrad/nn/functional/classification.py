"""Losses for classes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ndgrad.base.dtypes import FLOATING, int64, type_name, uint8
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.size import as_size
from ndgrad.core.batches import values
from ndgrad.core.tensor import Tensor
from ndgrad.nn.functional.reducing import no_gradient, read_reduction, reduced
from ndgrad.ops.arguments import check_tensor, unsupported
from ndgrad.ops.arithmetic import div_number
from ndgrad.ops.declare import recorded
from ndgrad.ops.guarding import guarded
from ndgrad.ops.losses import (
    likelihood,
    likelihood_of_images,
    logits_cross_entropy,
    mean_logits_cross_entropy,
    probability_cross_entropy,
    soft_margin,
)
from ndgrad.ops.softmaxes import log_softmax, log_softmax_along


# ---------------------------------------------------------------- class indices
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability, in `input`, of each target class.

    Parameters
    ----------
    input : log-probabilities of shape (classes), (batch, classes) or (batch, classes, ...).
    target : class indices: the shape of `input` without the classes.
    weight : a factor for each class; the mean is then over the sum of the factors.
    ignore_index : targets that count for nothing.
    """
    how = read_reduction(reduction, size_average, reduce)
    check_tensor(input, "nll_loss", "input", 1)
    check_tensor(target, "nll_loss", "target", 2)
    return _negative_log_likelihood(input, target, weight, how, ignore_index)


def _negative_log_likelihood(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int) -> Tensor:
    shape, wanted = input._a.shape, target._a.shape
    rank = len(shape)
    kind = target._a.dtype
    if rank != 2 or len(wanted) != 1 or shape[0] != wanted[0] or (kind.char != "l" and target.dtype is not int64):
        _check_target(shape, wanted, target)
    if input._a.dtype.kind != "f":
        unsupported("nll_loss_out_frame", input.dtype)
    if weight is not None:
        _check_weight(weight, shape[0 if rank == 1 else 1], input)
    if rank <= 2:
        if rank == 1 and wanted:
            target = recorded.reshape_to(target, shape=())
        return likelihood(input, target, weight, reduction=reduction, ignore_index=ignore_index)
    if rank == 4:
        return likelihood_of_images(input, target, weight, reduction=reduction, ignore_index=ignore_index)
    # as PyTorch does, other ranks are folded into images of height 1
    area = int(np.prod(shape[2:]))
    folded, places = input.reshape(shape[0], shape[1], 1, area), target.reshape(shape[0], 1, area)
    out = likelihood_of_images(folded, places, weight, reduction=reduction, ignore_index=ignore_index)
    return out.reshape(wanted) if reduction == "none" else out


def _check_target(shape: tuple[int, ...], wanted: tuple[int, ...], target: Tensor) -> None:
    rank = len(shape)
    if rank < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {rank})")
    if rank != 1 and shape[0] != wanted[:1][0] if wanted else rank != 1:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size ({wanted[0] if wanted else 1}).")
    if rank == 1:
        if len(wanted) > 1 or wanted not in ((), (1,)):
            raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {list(wanted)}")
    elif rank == 2:
        if len(wanted) != 1:
            raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported; the target has shape {list(wanted)}")
    else:
        expected = [shape[0], *shape[2:]]
        if rank == 4 and len(wanted) == 3 and list(wanted) != expected:
            raise RuntimeError(f"size mismatch (got input: {list(shape)} , target: {list(wanted)}; the target should be {expected})")
        if list(wanted) != expected:
            raise RuntimeError(f"Expected target size {expected}, got {list(wanted)}")
    if target.dtype not in (int64, uint8):
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {type_name(target.dtype)}; write target.long() if these are class indices"
        )


def _check_weight(weight: Tensor, classes: int, input: Tensor) -> None:
    check_tensor(weight, "cross_entropy", "weight", 3)
    if weight._a.ndim != 1 or weight._a.size != classes:
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: "
            f"{list(weight._a.shape)}"
        )
    if weight._a.dtype != input._a.dtype:
        raise RuntimeError(f"expected scalar type {type_name(input.dtype)} but found {type_name(weight.dtype)} (the weight's)")
    no_gradient("nll_loss_forward", weight=weight)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy of logits and classes (their indices, or the probability of each).

    Parameters
    ----------
    input : logits of shape (classes), (batch, classes) or (batch, classes, ...).
    target : class indices of the shape of `input` without the classes, or probabilities of the shape of `input`.
    weight : a factor for each class.
    ignore_index : class indices that count for nothing.
    label_smoothing : how much of the target, from 0 to 1, is spread evenly over the classes.
    """
    how = reduction if reduction == "mean" and size_average is None and reduce is None else read_reduction(reduction, size_average, reduce)
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        check_tensor(input, "cross_entropy_loss", "input", 1)
        check_tensor(target, "cross_entropy_loss", "target", 2)
    array = input._a
    if array.shape == target._a.shape:
        return _probability_targets(input, target, weight, how, ignore_index, label_smoothing)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    dim = 0 if array.ndim == 1 else 1
    if array.dtype.kind != "f":
        unsupported("log_softmax_lastdim_kernel_impl" if array.ndim <= 2 else "log_softmax_kernel_impl", input.dtype)
    if array.ndim == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    scores = log_softmax_along(input, dim=dim)
    if label_smoothing > 0:
        return _smoothed(scores, target, weight, how, ignore_index, label_smoothing)
    return _negative_log_likelihood(scores, target, weight, how, ignore_index)


def _probability_targets(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int, label_smoothing: float
) -> Tensor:
    if target.dtype.category < FLOATING:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {type_name(target.dtype)}; "
            "class indices have no dim for the classes"
        )
    if ignore_index >= 0:
        raise RuntimeError(f"ignore_index is not supported for floating point target (it is {ignore_index})")
    dim = 0 if input._a.ndim == 1 else 1
    classes = input._a.shape[dim] if input._a.ndim else 1
    if weight is not None:
        check_tensor(weight, "cross_entropy", "weight", 3)
    if weight is not None and (weight._a.ndim != 1 or weight._a.size != classes):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
            f"shape: {list(weight._a.shape)}"
        )
    scores = log_softmax(input, dim)
    if label_smoothing > 0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    products = scores * target
    if weight is not None:
        products = products * _per_class(weight, input._a.ndim, dim)
    if reduction == "mean":
        return div_number(-products.sum(), input._a.size / max(classes, 1))
    return -products.sum() if reduction == "sum" else -products.sum(dim)


def _per_class(weight: Tensor, rank: int, dim: int) -> Tensor:
    return recorded.reshape_to(weight, shape=tuple(-1 if axis == dim else 1 for axis in range(rank)))


def _smoothed(scores: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int, label_smoothing: float) -> Tensor:
    """A part of the loss on the target class, the rest evenly on all classes."""
    rank = scores._a.ndim
    dim = 0 if rank == 1 else 1
    hard = _negative_log_likelihood(scores, target, weight, reduction, ignore_index)
    even = -(scores if weight is None else scores * _per_class(weight, rank, dim)).sum(dim)
    kept = recorded.reshape_to(target, shape=even._a.shape) != ignore_index
    if not np.all(values(kept._a)):
        even = recorded.masked_keep(even, kept)
    if reduction == "mean":
        even = even.sum() / _total_weight(scores, target, weight, ignore_index)
    elif reduction == "sum":
        even = even.sum()
    classes = scores._a.shape[dim]
    return hard * (1 - label_smoothing) + even * (label_smoothing / classes)


def _total_weight(scores: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """The sum of the weights of the target classes: what the loss would be if each score were minus its weight."""
    rank = scores._a.ndim
    dim = 0 if rank == 1 else 1
    each = scores.new_ones(scores._a.shape[dim]) if weight is None else weight.detach()
    rows = recorded.expand_to(_per_class(-each, rank, dim), shape=scores._a.shape)
    return _negative_log_likelihood(rows, target, None, "sum", ignore_index)


# ---------------------------------------------------------------- yes or no
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The cross entropy of logits and the probabilities in `target`.

    `weight` multiplies the losses, `pos_weight` those of the positive answers; both broadcast.
    """
    how = reduction if reduction == "mean" and size_average is None and reduce is None else read_reduction(reduction, size_average, reduce)
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        check_tensor(input, "binary_cross_entropy_with_logits", "input", 1)
        check_tensor(target, "binary_cross_entropy_with_logits", "target", 2)
    x, y = input._a, target._a
    if x.shape != y.shape:
        raise ValueError(f"Target size ({as_size(y.shape)}) must be the same as input size ({as_size(x.shape)})")
    if x.dtype is not y.dtype or x.dtype.kind != "f":
        if x.dtype.kind != "f":
            unsupported("log_sigmoid_cpu", input.dtype)
        if y.dtype.kind != "f":
            raise RuntimeError(
                f"result type {type_name(input.dtype)} can't be cast to the desired output type {type_name(target.dtype)}; "
                "the target must be floating: write target.float()"
            )
    if weight is not None or pos_weight is not None:
        no_gradient("binary_cross_entropy_with_logits", weight=weight, pos_weight=pos_weight)
        if pos_weight is not None:
            check_tensor(pos_weight, "binary_cross_entropy_with_logits", "pos_weight", 7)
            broadcast_shapes(pos_weight._a.shape, x.shape)
        if weight is not None:
            check_tensor(weight, "binary_cross_entropy_with_logits", "weight", 3)
            broadcast_shapes(x.shape, weight._a.shape)
    elif how == "mean":
        return mean_logits_cross_entropy(input, target)
    return logits_cross_entropy(input, target, weight, pos_weight, reduction=how)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The cross entropy of the probabilities in `input` and in `target`, times `weight`; logarithms are cut off at -100."""
    how = read_reduction(reduction, size_average, reduce)
    check_tensor(input, "binary_cross_entropy", "input", 1)
    check_tensor(target, "binary_cross_entropy", "target", 2)
    if weight is not None:
        check_tensor(weight, "binary_cross_entropy", "weight", 3)
    x, y = input._a, target._a
    if x.shape != y.shape:
        raise ValueError(
            f"Using a target size ({as_size(y.shape)}) that is different to the input size ({as_size(x.shape)}) is deprecated. "
            "Please ensure they have the same size."
        )
    if x.dtype.kind != "f":
        unsupported("binary_cross_entropy", input.dtype)
    for given in (target, weight):
        if given is not None and given._a.dtype != x.dtype:
            raise RuntimeError(f"Found dtype {type_name(given.dtype)} but expected {type_name(input.dtype)}")
    if weight is not None:
        no_gradient("binary_cross_entropy", weight=weight)
        if broadcast_shapes(x.shape, weight._a.shape) != x.shape:
            raise RuntimeError(f"weight of shape {list(weight._a.shape)} does not broadcast to the input's {list(x.shape)}")
    x, y = values(x), values(y)
    if not ((x >= 0) & (x <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    if not ((y >= 0) & (y <= 1)).all():
        raise RuntimeError("all elements of target should be between 0 and 1")
    return probability_cross_entropy(input, target, weight, reduction=how)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(-target * input)), for targets of 1 and -1."""
    how = read_reduction(reduction, size_average, reduce)
    check_tensor(input, "soft_margin_loss", "input", 1)
    check_tensor(target, "soft_margin_loss", "target", 2)
    no_gradient("soft_margin_loss", target=target)
    if input._a.dtype.kind not in "fc":
        if input._a.dtype.kind == "b":
            raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. Write .float() to compute with numbers.")
        raise RuntimeError(f"result type Float can't be cast to the desired output type {type_name(input.dtype)}; write input.float()")
    shape = broadcast_shapes(input._a.shape, target._a.shape)
    if shape != input._a.shape:
        input = recorded.expand_to(input, shape=shape)
    return soft_margin(input, target, reduction=how)


@guarded
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of logits, averaged over the classes in the last dim."""
    how = read_reduction(reduction, size_average, reduce)
    broadcast_shapes(target._a.shape, input._a.shape)
    if input._a.dtype.kind != "f":
        unsupported("log_sigmoid_cpu", input.dtype)
    # both logarithms of the logistic function, each exact where it is small
    loss = target * recorded.log_one_plus_exp(-input) + (1 - target) * recorded.log_one_plus_exp(input)
    if weight is not None:
        loss = loss * weight
    last = loss._a.ndim - 1
    return reduced(loss.sum(last) / loss._a.shape[last], how)


# ---------------------------------------------------------------- distributions
@guarded
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The divergence of log-probabilities `input` from `target` (probabilities, or their logarithms with `log_target`)."""
    how = read_reduction(reduction, size_average, reduce, others=("batchmean",))
    if how == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            UserWarning,
            stacklevel=2,
        )
    for given in (input, target):
        if given._a.dtype.kind != "f":
            kind = "Complex" if given._a.dtype.kind == "c" else "Integral"
            raise RuntimeError(f"kl_div: {kind} inputs not supported. (They are {input.dtype} and {target.dtype}.)")
    loss = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if how == "batchmean":
        return loss.sum() / input._a.shape[0] if input._a.ndim else loss.sum()
    return reduced(loss, how)
