"""Layers without state of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndgrad.base.dtypes import finfo, int32, int64, type_name
from ndgrad.core.batches import batch_of, values
from ndgrad.core.inplace import check_target
from ndgrad.core.observers import Observer, announce
from ndgrad.core.tensor import Tensor, mark_modified
from ndgrad.ops import ops
from ndgrad.ops.arguments import check_tensor, unsupported
from ndgrad.ops.creation import boxed, levels_of
from ndgrad.ops.guarding import guarded
from ndgrad.ops.layers import embedding_rows, layer_norm_last


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`, for an `input` of shape (..., in) and a `weight` of shape (out, in)."""
    if not isinstance(input, Tensor) or not isinstance(weight, Tensor):
        check_tensor(input, "linear", "input", 1)
        check_tensor(weight, "linear", "weight", 2)
    x: Any = input
    turned: Any = ops.t(weight)
    rank = x._a.ndim
    if bias is None:
        return ops.matmul(input, turned)
    if rank == 2:
        return ops.addmm(bias, input, turned)
    if rank > 2 and weight._a.ndim == 2 and x.is_contiguous():
        lead = x._a.shape[:-1]
        flat = ops.addmm(bias, x.view(-1, x._a.shape[-1]), turned)
        return flat.view(*lead, weight._a.shape[0])
    return ops.matmul(input, turned) + bias


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that `input` names.

    Parameters
    ----------
    padding_idx : a row that receives no gradient.
    max_norm : rows that are looked up and longer than this, by their `norm_type`-norm, are first shortened in place.
    scale_grad_by_freq : divide a row's gradient by how often the row is looked up.
    sparse : gradients are dense here, so True is an error.
    """
    check_tensor(input, "embedding", "indices", 1)
    check_tensor(weight, "embedding", "weight", 2)
    if sparse:
        raise NotImplementedError("embedding(): ndgrad has no sparse tensors; leave sparse=False")
    if weight._a.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, not of shape {list(weight._a.shape)}")
    if input.dtype not in (int64, int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"torch.{type_name(input.dtype)}Tensor instead (while checking arguments for embedding)"
        )
    rows = weight._a.shape[0]
    padding = -1
    if padding_idx is not None:
        assert -rows <= padding_idx < rows, "Padding_idx must be within num_embeddings"
        padding = padding_idx + rows if padding_idx < 0 else padding_idx
    index = values(input._a)
    if index.size and (index.min() < 0 or index.max() >= rows):
        raise IndexError(f"index out of range in self: indices from {index.min()} to {index.max()}, but {rows} rows")
    if max_norm is not None:
        if batch_of(weight._a) is not None or batch_of(input._a) is not None:
            raise RuntimeError(
                "vmap: embedding() with max_norm changes its weight in place, which is not supported inside vmap; shorten the rows before: "
                "torch.renorm(weight, 2, 0, max_norm)"
            )
        _shorten(weight, index, max_norm, norm_type)
    return embedding_rows(weight, input, padding_idx=padding, scale=bool(scale_grad_by_freq))


def _shorten(weight: Tensor, index: Any, max_norm: float, norm_type: float) -> None:
    check_target(weight, "embedding_renorm_")
    rows = np.unique(index)
    picked = weight._a[rows]
    size = np.linalg.norm(picked, norm_type, axis=1, keepdims=True)
    announce(Observer.overwrites, weight)
    weight._a[rows] = np.where(size > max_norm, picked * (max_norm / (size + 1e-7)), picked).astype(picked.dtype)
    mark_modified(weight, "embedding_renorm_")


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """For each class index a row of zeros with a 1 in the place of the class; -1 classes: one more than the largest."""
    check_tensor(tensor, "one_hot", "tensor", 1)
    if tensor.dtype is not int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor. (This one is {tensor.dtype}.)")
    index = np.asarray(values(tensor._a))
    levels = levels_of(tensor._a)
    if levels and num_classes <= 0:
        raise RuntimeError(
            "When vmap-ing torch.nn.functional.one_hot, please provide an explicit positive num_classes argument: the largest class may "
            "differ between the examples."
        )
    if index.size == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return boxed(np.zeros((*index.shape, num_classes), np.int64), levels)
    if index.min() < 0:
        raise RuntimeError(f"Class values must be non-negative. (The smallest is {index.min()}.)")
    if num_classes == -1:
        num_classes = int(index.max()) + 1
    elif num_classes < 1:
        raise RuntimeError(f"num_classes should be positive, not {num_classes}")
    elif index.max() >= num_classes:
        raise RuntimeError(f"Class values must be smaller than num_classes. (The largest is {index.max()}, num_classes {num_classes}.)")
    out = np.zeros((*index.shape, num_classes), np.int64)
    np.put_along_axis(out, index[..., None], 1, -1)
    return boxed(out, levels)


def _check_normalized(function: str, input: Tensor, normalized_shape: Any, **given: Tensor | None) -> tuple[int, ...]:
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(
            f"{function}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(normalized_shape).__name__}"
        )
    wanted = tuple(int(size) for size in normalized_shape)
    if not wanted:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []"
        )
    for name, value in given.items():
        if value is not None and value._a.shape != wanted:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {list(value._a.shape)} and "
                f"normalized_shape = {list(wanted)}"
            )
    if input._a.shape[-len(wanted) :] != wanted:
        raise RuntimeError(
            f"Given normalized_shape={list(wanted)}, expected input with shape [*, {', '.join(map(str, wanted))}], but got input of size"
            f"{list(input._a.shape)}"
        )
    return wanted


@guarded
def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-05
) -> Tensor:
    """Mean 0 and variance 1 over the last dims, which have `normalized_shape`; then times `weight` plus `bias`."""
    check_tensor(input, "layer_norm", "input", 1)
    wanted = _check_normalized("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    if input._a.dtype.kind != "f":
        unsupported("LayerNormKernelImpl", input.dtype)
    return layer_norm_last(input, weight, bias, count=len(wanted), eps=eps)


@guarded
def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """The elements over the root of their mean square over the last dims; then times `weight`."""
    check_tensor(input, "rms_norm", "input", 1)
    wanted = _check_normalized("rms_norm", input, normalized_shape, weight=weight)
    if input._a.dtype.kind not in "fc":
        unsupported("rms_norm", input.dtype)
    dims = tuple(range(-len(wanted), 0))
    small = finfo(input.dtype).eps if eps is None else eps
    out = input * ((input * input).mean(dims, True) + small).rsqrt()
    return out if weight is None else out * weight
