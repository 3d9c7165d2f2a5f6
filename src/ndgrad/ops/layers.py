"""What layers of networks are made of: embeddings, normalisation over the last dims, padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Shape
from ndgrad.core.saved import constant
from ndgrad.core.tensor import wrap
from ndgrad.kernels.indexing import add_rows
from ndgrad.ops.declare import general, rule_helper


# ---------------------------------------------------------------- embeddings
def _embedding_back(xp: Any, g: Any, y: Any, x_shape: Shape, padding_idx: int, scale: bool) -> Any:
    return xp.embedding_adjoint(g, y, rows=x_shape[0], padding_idx=padding_idx, scale=scale)


@general(
    vjp=[_embedding_back],
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


rule_helper("embedding_factors", _factors, lambda y, like, padding_idx, scale: wrap(_factors(y._a, like._a, padding_idx, scale)))


@general(vjp=[_adjoint_back])
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


@general(
    joint=_layer_norm_back,
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
    saved={"pads": None},
)
def pad_constant(x: Any, *, pads: tuple[tuple[int, int], ...], value: Any) -> Any:
    """The elements with `value` before and after along each dim; a negative amount takes elements away."""
    out = np.full([size + before + after for size, (before, after) in zip(x.shape, pads, strict=True)], value, x.dtype)
    source = tuple(slice(max(-before, 0), size - max(-after, 0)) for size, (before, after) in zip(x.shape, pads, strict=True))
    target = tuple(slice(max(before, 0), size - max(after, 0)) for size, (before, after) in zip(out.shape, pads, strict=True))
    out[target] = x[source]
    return out
