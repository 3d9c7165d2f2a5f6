"""Dropout and its variants: a random mask, drawn from the default generator, times the input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.core.tensor import Tensor
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.creation import finish
from ndgrad.ops.declare import function, general
from ndgrad.ops.random_numbers import drawn_like, drawn_tensor

#: The value of SELU's negative saturation, -lambda * alpha, without its sign.
_SATURATION = 1.7580993408473766


def _dropped(input: Tensor, p: float, train: bool, *, feature: bool = False, alpha: bool = False, in_place: bool = False) -> Tensor:
    check_tensor(input, "dropout", "input", 1)
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")
    if p == 0 or not train or input._a.size == 0:
        return input
    if p == 1:
        zero = finish(np.zeros((), input._a.dtype))
        return input.mul_(zero) if in_place else input.mul(zero)

    def fill(made: Any) -> None:
        made.bernoulli_(1 - p)

    if feature:
        if input._a.ndim < 2:
            raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input; its shape is {list(input._a.shape)}")
        shape = (*input._a.shape[:2], *(1,) * (input._a.ndim - 2))
        noise: Any = drawn_tensor("dropout", shape, input.dtype, None, False, fill)
    else:
        noise = drawn_like(input, input._a.dtype, fill)
    if not alpha:
        noise.div_(1 - p)
        return input.mul_(noise) if in_place else input.mul(noise)
    scale = 1.0 / math.sqrt((_SATURATION * _SATURATION * p + 1) * (1 - p))
    shift = noise.add(-1).mul_(_SATURATION * scale).add_(_SATURATION * scale * p)
    noise.mul_(scale)
    return input.mul_(noise).add_(shift) if in_place else input.mul(noise).add_(shift)


def _declare(name: str, doc: str, **kind: bool) -> None:
    def dropped(input: Tensor, p: float, train: bool) -> Tensor:
        return _dropped(input, p, train, **kind)

    def dropped_in_place(input: Tensor, p: float, train: bool) -> Tensor:
        return _dropped(input, p, train, in_place=True, **kind)

    dropped.__name__, dropped.__doc__ = name, f"With `train`, {doc}."
    dropped_in_place.__name__, dropped_in_place.__doc__ = f"{name}_", f"In place: with `train`, {doc}."
    function(dropped, method=False)
    function(dropped_in_place, method=False)


_declare("dropout", "make each element 0 with probability p and divide the others by 1 - p")
_declare("feature_dropout", "make whole channels 0 with probability p and divide the others by 1 - p", feature=True)
_declare("alpha_dropout", "saturate elements with probability p so that mean and variance stay as they are", alpha=True)
_declare("feature_alpha_dropout", "saturate whole channels with probability p", feature=True, alpha=True)


@general(
    vjp=[lambda xp, g, y, scale: g * y * scale, None],
    jvp=lambda xp, tangents, y, scale: xp.zero_map(y) if tangents[0] is None else tangents[0] * y * scale,
    node_name="NativeDropoutBackward0",
    batch=batch_rules.broadcasting("masked_and_scaled"),
)
def masked_and_scaled(x: Any, y: Any, *, scale: float) -> Any:
    """The elements where the mask is set, times a number."""
    return (x * y * scale).astype(x.dtype, copy=False)


@function(method=False)
def native_dropout(input: Any, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """Dropout and its mask."""
    check_tensor(input, "native_dropout", "input", 1)
    if train is False or input._a.size == 0:
        return input.clone(), finish(np.ones(input._a.shape, bool))
    mask = drawn_like(input, np.dtype(bool), lambda made: made.bernoulli_(1 - p))
    return masked_and_scaled(input, mask, scale=0.0 if p == 1 else 1 / (1 - p)), mask
