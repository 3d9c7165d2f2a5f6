"""What layers of networks are made of: embeddings, normalisation over the last dims, padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Shape
from ndgrad.core.batches import batch_of
from ndgrad.core.batching import BatchLevel, lined_up
from ndgrad.core.saved import constant
from ndgrad.core.tensor import wrap
from ndgrad.kernels.indexing import add_rows
from ndgrad.ops.declare import general, recorded, rule_helper


# ---------------------------------------------------------------- embeddings
def _embedding_back(xp: Any, g: Any, y: Any, x_shape: Shape, padding_idx: int, scale: bool) -> Any:
    return xp.embedding_adjoint(g, y, rows=x_shape[0], padding_idx=padding_idx, scale=scale)


def _in_one_table(y: Any, rows: int) -> Any:
    """Indices into the tables of all examples, where they stand below each other."""
    size = y._a.shape[0]
    return y + wrap((np.arange(size, dtype=y._a.dtype) * rows).reshape(size, *(1,) * (y._a.ndim - 1)))


def _each_embedding(level: BatchLevel, mapped: list[bool], x: Any, y: Any, *, padding_idx: int, scale: bool) -> Any:
    if not mapped[0] and not scale:  # which counts in each example for itself
        return recorded.embedding_rows(x, y, padding_idx=padding_idx, scale=False)
    x, y = level.every((x, y), mapped)
    size, rows, width = x._a.shape
    table = recorded.reshape_to(x, shape=(size * rows, width))
    out = recorded.embedding_rows(table, _in_one_table(y, rows), padding_idx=-1, scale=scale)
    if padding_idx < 0:
        return out
    return recorded.where(recorded.unsqueeze_dim(y == padding_idx, dim=y._a.ndim), out.detach(), out)  # no gradient for the padding


@general(
    vjp=[_embedding_back],
    batch=_each_embedding,
    node_name="EmbeddingBackward0",
    saved={
        "indices": "y",
        "scale_grad_by_freq": "scale",
        "sparse": constant(False),
        "weight_sym_argsize_0": lambda node: node.params["x_shape"][0],
        "self_sym_sizes": None,
    },
)
def embedding_rows(x: Any, y: Any, *, padding_idx: int, scale: bool) -> Any:
    """The rows of `x` that `y` names."""
    return np.take(x, y, 0)


def _adjoint_back(xp: Any, g: Any, y: Any, padding_idx: int, scale: bool) -> Any:
    return xp.mul(xp.embedding_rows(g, y, padding_idx=-1, scale=False), xp.embedding_factors(y, g, padding_idx, scale))


def _factors(y: Any, like: Any, padding_idx: int, scale: bool) -> Any:
    """What each row's cotangent counts: nothing for the padding, and with `scale` the less the more often a row occurs."""
    factors = (y != padding_idx).astype(like.dtype)
    if scale and y.size:
        factors /= np.bincount(y.reshape(-1))[y]
    return factors[..., None]


def _recorded_factors(y: Any, like: Any, padding_idx: int, scale: bool) -> Any:
    if batch_of(y._a) is None:
        return wrap(_factors(y._a, like._a, padding_idx, scale))
    factors = recorded.to_dtype(y != padding_idx, dtype=like.dtype)
    if scale:
        flat = recorded.reshape_to(y, shape=(y._a.size,))
        alike = recorded.unsqueeze_dim(flat, dim=0) == recorded.unsqueeze_dim(flat, dim=1)
        often = recorded.sum_dims(recorded.to_dtype(alike, dtype=like.dtype), dims=(0,))
        factors = factors / recorded.reshape_to(often, shape=y._a.shape)
    return recorded.unsqueeze_dim(factors, dim=y._a.ndim)


rule_helper("embedding_factors", _factors, _recorded_factors)


def _each_adjoint(level: BatchLevel, mapped: list[bool], x: Any, y: Any, *, rows: int, padding_idx: int, scale: bool) -> Any:
    """The tables of all examples as one."""
    x, y = level.every((x, y), mapped)
    if padding_idx >= 0:
        x = recorded.masked_keep(x, recorded.unsqueeze_dim(y != padding_idx, dim=y._a.ndim))
    out = recorded.embedding_adjoint(x, _in_one_table(y, rows), rows=level.size * rows, padding_idx=-1, scale=scale)
    return recorded.reshape_to(out, shape=(level.size, rows, out._a.shape[1]))


@general(vjp=[_adjoint_back], batch=_each_adjoint)
def embedding_adjoint(x: Any, y: Any, *, rows: int, padding_idx: int, scale: bool) -> Any:
    """Zeros with the elements of `x` added to the rows that `y` names."""
    out = np.zeros((rows, x.shape[-1]), x.dtype)
    if padding_idx >= 0 or scale:
        x = x * _factors(y, x, padding_idx, scale)
    add_rows(out, np.asarray(y).reshape(-1), x.reshape(-1, x.shape[-1]))
    return out


# ---------------------------------------------------------------- normalisation over the last dims
def _normalised(xp: Any, x: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """The elements less their mean over their deviation, and one over the deviation."""
    away = x - xp.mean_dims(x, dims=dims, keepdim=True)
    rate = xp.rsqrt(xp.mean_dims(away * away, dims=dims, keepdim=True) + eps)
    return away * rate, rate


def _layer_norm_back(xp: Any, g: Any, needs: Any, x: Any, weight: Any, x_shape: Shape, count: int, eps: float) -> Any:
    rank = len(x_shape)
    dims = tuple(range(rank - count, rank))
    lead = tuple(range(rank - count))
    unit, rate = _normalised(xp, x, dims, eps)
    for_x = for_weight = for_bias = None
    if needs[0]:
        inner = g if weight is None else g * weight
        middle = xp.mean_dims(inner, dims=dims, keepdim=True)
        along = xp.mean_dims(inner * unit, dims=dims, keepdim=True)
        for_x = (inner - middle - unit * along) * rate
    if needs[1]:
        for_weight = xp.sum_dims(g * unit, dims=lead, keepdim=False) if lead else g * unit
    if needs[2]:
        for_bias = xp.sum_dims(g, dims=lead, keepdim=False) if lead else g
    return for_x, for_weight, for_bias


def _each_layer_norm(level: BatchLevel, mapped: list[bool], x: Any, weight: Any, bias: Any, *, count: int, eps: float) -> Any:
    rank = x._a.ndim - mapped[0]
    x = x if mapped[0] else level.spread(x)
    if not mapped[1] and not mapped[2]:
        return recorded.layer_norm_last(x, weight, bias, count=count, eps=eps)
    out = recorded.layer_norm_last(x, None, None, count=count, eps=eps)
    if weight is not None:
        out = out * (lined_up(weight, rank) if mapped[1] else weight)
    return out if bias is None else out + (lined_up(bias, rank) if mapped[2] else bias)


@general(
    joint=_layer_norm_back,
    batch=_each_layer_norm,
    node_name="NativeLayerNormBackward0",
    saved={"input": "x", "normalized_shape": lambda node: node.params["x_shape"][-node.params["count"] :], "count": None, "eps": None},
)
def layer_norm_last(x: Any, weight: Any, bias: Any, *, count: int, eps: float) -> Any:
    """Mean 0 and variance 1 over the last `count` dims, then times the weight plus the bias."""
    if x.dtype.char == "e":
        wide = [None if value is None else value.astype(np.float32) for value in (x, weight, bias)]
        return _layer_norm(wide[0], wide[1], wide[2], count, eps).astype(np.float16)
    return _layer_norm(x, weight, bias, count, eps)


def _layer_norm(x: Any, weight: Any, bias: Any, count: int, eps: float) -> Any:
    axes = tuple(range(x.ndim - count, x.ndim))
    total = 1
    for size in x.shape[x.ndim - count :]:
        total *= size
    add = np.add.reduce
    out = np.subtract(x, add(x, axis=axes, keepdims=True) / total, order="C")
    variance = add(out * out, axis=axes, keepdims=True) / total
    out /= np.sqrt(variance + eps)
    if weight is not None:
        out *= weight
    if bias is not None:
        out += bias
    return out


# ---------------------------------------------------------------- gates
def _gated_back(xp: Any, g: Any, x: Any, x_shape: Shape, dim: int) -> Any:
    half = x_shape[dim] // 2
    first = xp.slice_range(x, dim=dim, start=0, stop=half, step=1)
    gate = xp.logistic(xp.slice_range(x, dim=dim, start=half, stop=2 * half, step=1))
    through = g * gate
    return xp.cat_tensors([through, through * first * (1 - gate)], dim=dim)


@general(vjp=[_gated_back], node_name="GluBackward0")
def gated_halves(x: Any, *, dim: int) -> Any:
    """The first half of a dim times the logistic function of the second."""
    first, second = np.split(x, 2, dim)
    gate = np.tanh(second * 0.5)
    gate *= 0.5
    gate += 0.5
    return np.multiply(first, gate, order="C")


# ---------------------------------------------------------------- padding
@general(
    vjp=[lambda xp, g, pads: xp.pad_constant(g, pads=tuple((-before, -after) for before, after in pads), value=0)],
    jvp=lambda xp, tangents, pads: xp.pad_constant(tangents[0], pads=pads, value=0),
    node_name="ConstantPadNdBackward0",
    batch=lambda level, mapped, x, pads, value: recorded.pad_constant(x, pads=((0, 0), *pads), value=value),
    saved={"pads": None},
)
def pad_constant(x: Any, *, pads: tuple[tuple[int, int], ...], value: Any) -> Any:
    """The elements with `value` before and after along each dim; a negative amount takes elements away."""
    out = np.full([size + before + after for size, (before, after) in zip(x.shape, pads, strict=True)], value, x.dtype)
    source = tuple(slice(max(-before, 0), size - max(-after, 0)) for size, (before, after) in zip(x.shape, pads, strict=True))
    target = tuple(slice(max(before, 0), size - max(after, 0)) for size, (before, after) in zip(out.shape, pads, strict=True))
    out[target] = x[source]
    return out
