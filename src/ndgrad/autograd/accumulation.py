"""What arrives at the end of an edge: cotangents fitted to what they belong to, and gradients added to leaves."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.shapes import expands, is_dense
from ndgrad.base.types import Payload, Shape
from ndgrad.core.node import Node
from ndgrad.core.primitive import raw, recorded
from ndgrad.core.tensor import INFERENCE, UNSET, Tensor, wrap

ndarray = np.ndarray


# ---------------------------------------------------------------- cotangents
def fit(edge: Any, g: Payload, shape: Shape, dtype: Any) -> Payload:
    """A raw cotangent in the shape and dtype of what it belongs to: broadcast dims summed, the real part of a complex one."""
    if g.shape != shape:
        if not expands(shape, g.shape):
            refuse_shape(edge, g.shape, shape)
        g = raw.sum_to(g, shape=shape)
    if g.dtype != dtype:
        if g.dtype.kind == "c" and dtype.kind != "c":
            g = g.real
        g = g.astype(dtype)
    return g


def fit_recorded(edge: Any, g: Tensor) -> Tensor:
    """The same for a cotangent that is a tensor, recorded."""
    payload = edge._a if isinstance(edge, Tensor) else edge
    shape, dtype = payload.shape, payload.dtype
    if g._a.shape != shape:
        if not expands(shape, g._a.shape):
            refuse_shape(edge, g._a.shape, shape)
        g = recorded.sum_to(g, shape=shape)
    if g._a.dtype != dtype:
        if g._a.dtype.kind == "c" and dtype.kind != "c":
            g = recorded.real(g)
        g = recorded.to_dtype(g, dtype=from_numpy_dtype[dtype])
    return g


def refuse_shape(edge: Any, given: Shape, shape: Shape) -> NoReturn:
    receiver = "a leaf" if isinstance(edge, Tensor) else f"{edge.name()} (made at {edge.where()})"
    raise RuntimeError(f"{receiver} got a gradient of shape {list(given)} but expected shape compatible with {list(shape)}")


def fill_missing(node: Node, g: list[Any], create_graph: bool) -> list[Any]:
    """Zeros for the outputs that no gradient came back from, where the node wants them filled in."""
    if node.keeps_missing:
        return g
    filled: list[Any] = []
    for value, shape, dtype in zip(g, node.shape, node.dtype, strict=True):
        if value is None and dtype.kind in "fc":
            zeros = np.zeros(shape, dtype)
            value = wrap(zeros) if create_graph else zeros
        filled.append(value)
    return filled


# ---------------------------------------------------------------- leaves
class Layouts(threading.local):
    """Whether the first gradient of a leaf must have the leaf's layout, for each thread."""

    enforced = True


layouts = Layouts()
#: What a version counter remembers of a change that no line of the user's program made.
BY_BACKWARD = ("backward()", None, 0)


def accumulate_raw(leaf: Tensor, g: Payload, mine: bool) -> None:
    """Add to `.grad`: in place if there is one, else with memory that no other tensor has, laid out like the leaf."""
    grad = leaf._grad
    if grad is not None:
        memory, cell = grad._a, grad._v
        if cell is INFERENCE and not modes.current().inference:
            refuse_inference()
        if type(memory) is ndarray and memory.dtype is g.dtype and can_be_added_to(memory):
            np.add(memory, g, out=memory)
        else:
            total = memory + g
            grad._a = total if total.dtype is memory.dtype else total.astype(memory.dtype)
        if cell is None:
            grad._v = [1, *BY_BACKWARD]
        elif cell is not INFERENCE:
            cell[0] += 1
            if len(cell) != 4 or cell[1] is not BY_BACKWARD[0]:
                cell[1:] = BY_BACKWARD
        return
    wanted = leaf._grad_dtype
    if wanted is not UNSET and wanted is not None and g.dtype != wanted.numpy:
        g, mine = g.astype(wanted.numpy), True
    if isinstance(g, np.ndarray) and g.ndim:
        like = leaf._a
        dense = like.flags.c_contiguous or like.flags.f_contiguous or is_dense(like.shape, like.strides, like.itemsize)
        strides = like.strides if dense else None
        fits = g.strides == strides if dense and like.dtype == g.dtype else g.flags.c_contiguous
        if not mine or (not fits and layouts.enforced):
            kept = np.empty_like(like, dtype=g.dtype, subok=False) if dense else np.empty(g.shape, g.dtype)
            kept[...] = g
            g = kept
    elif isinstance(g, np.ndarray) and not mine:
        g = g.copy()
    leaf._grad = wrap(g)


def refuse_inference() -> NoReturn:
    raise RuntimeError(
        "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a normal tensor before doing "
        "inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details. (A backward adds to a `.grad` that was made in "
        "inference_mode; set it to None or to a clone.)"
    )


def can_be_added_to(memory: Any) -> bool:
    """Whether each element of an array has memory of its own that may be written to."""
    flags = memory.flags
    return flags.writeable and (flags.c_contiguous or 0 not in memory.strides)


def accumulate_recorded(leaf: Tensor, g: Tensor) -> None:
    """With `create_graph`, `.grad` becomes a new tensor that knows its history."""
    grad: Any = leaf._grad
    if grad is not None:
        leaf._grad = grad + g if modes.is_grad_enabled() else grad.add_(g)
        return
    if is_dense(leaf._a.shape, leaf._a.strides, leaf._a.itemsize):
        copy: Any = wrap(np.empty_like(leaf._a, dtype=g._a.dtype, subok=False))
        leaf._grad = copy.copy_(g)
    else:
        leaf._grad = recorded.clone_strided(g, order="C")
