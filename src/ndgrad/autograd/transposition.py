"""The jvp of a primitive that has a vjp only: a vjp is linear in its cotangent, so differentiating it gives its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.accumulation import fit_recorded
from ndgrad.autograd.gradients import grad
from ndgrad.base import modes
from ndgrad.core.batching import at_innermost
from ndgrad.core.primitive import Primitive, recorded
from ndgrad.core.tangents import arguments, push
from ndgrad.core.tensor import Tensor, wrap


def push_any(primitive: Primitive, operands: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any], out: Any) -> Any:
    """`core.tangents.push` for every primitive, with a jvp or without."""
    return push(primitive, operands, tangents, params, out, transposed)


def transposed(primitive: Primitive, operands: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any], out: Any) -> Any:
    """The tangents of the outputs, out of the vjp: with g -> vjp(g) = J* g, the vjp of that map at the tangents is J t.

    Payloads give payloads; tensors give tensors whose history leads to the operands and to the tangents.
    """
    several = primitive.outputs != 1
    outs: Sequence[Any] = out if several else (out,)
    as_payloads = not isinstance(outs[0], Tensor)
    if as_payloads:
        operands = [as_tensor(x) for x in operands]
        tangents = [as_tensor(t) for t in tangents]
        outs = [as_tensor(y) for y in outs]
        out = outs if several else outs[0]
    previous = modes.set_mode("grad", True)
    try:
        dummies = [zero_cotangent(y) for y in outs]
        cotangents = pull(primitive, operands, tangents, params, out, dummies if several else dummies[0])
        pairs = [
            (fit_recorded(x, c), t) for x, c, t in zip(operands, cotangents, tangents, strict=False) if t is not None and c is not None
        ]
        pairs = [(c, t) for c, t in pairs if c.requires_grad]
        wanted = [dummy for dummy in dummies if dummy is not None]
        found: Sequence[Any] = (None,) * len(wanted)
        if pairs:
            found = grad([c for c, _ in pairs], wanted, [t for _, t in pairs], allow_unused=True, create_graph=previous and not as_payloads)
    finally:
        modes.set_mode("grad", previous)
    remaining = iter(found)
    results = tuple(None if dummy is None else next(remaining) for dummy in dummies)
    if as_payloads:
        results = tuple(None if t is None else t._a for t in results)
    return results if several else results[0]


def pull(primitive: Primitive, operands: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any], out: Any, g: Any) -> Sequence[Any]:
    """The cotangents of the operands that have a tangent, recorded."""
    needs = tuple(t is not None for t in tangents)
    if primitive.joint is not None:
        cotangents: Sequence[Any] = primitive.joint(recorded, g, needs, *arguments(primitive, primitive.joint, 3, operands, params, out))
        return cotangents
    return [
        rule(recorded, g, *arguments(primitive, rule, 2, operands, params, out)) if need and rule is not None else None
        for rule, need in zip(primitive.rules, needs, strict=True)
    ]


def as_tensor(x: Any) -> Any:
    payload: Any = x
    return wrap(payload) if isinstance(x, (np.ndarray, np.generic)) else x


def zero_cotangent(y: Tensor) -> Tensor | None:
    """A leaf to differentiate by, shaped like an output; its value does not matter. None for an output without derivative."""
    if y._a.dtype.kind not in "fc":
        return None
    dummy = at_innermost(wrap(np.zeros(y._a.shape, y._a.dtype)))
    dummy.requires_grad = True
    return dummy
