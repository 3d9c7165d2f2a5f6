"""Forward mode for the commonest operations: what a lane is to recording, this is to pushing tangents.

It serves where one level of forward mode is all that watches a thread, and one or two plain tensors of one dtype that nobody differentiates
in reverse go through an elementwise or multilinear operation. Rule and kernel run on payloads. Whatever else there may be is left to
`apply` and `Level.done`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ndgrad.base.quiet import quiet_run
from ndgrad.core.families import as_constant
from ndgrad.core.primitive import ELEMENTWISE, KEEP, MULTILINEAR, Primitive, raw
from ndgrad.core.tangents import sources_of
from ndgrad.core.tensor import plain, wrap

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
ndarray = np.ndarray

#: `(tangent, payloads of the operands, payload of the output, parameters)`: the tangent of the output.
Push = Callable[[Any, Sequence[Any], Any, dict[str, Any]], Any]


@cache
def pushes_of(primitive: Primitive) -> tuple[Push | None, ...] | None:
    """For each operand the function that pushes its tangent, None where it has none; None for an operation that is left to others."""
    if primitive.outputs != 1 or primitive.view or primitive.variadic or primitive.joint or len(primitive.operands) > 2:
        return None
    if primitive.family == MULTILINEAR and not primitive.params:
        return tuple(multilinear_push(primitive.kernel, position) for position in range(len(primitive.operands)))
    if primitive.family != ELEMENTWISE or primitive.policy == KEEP:
        return None
    found: list[Push | None] = []
    for rule in primitive.rules:
        sources = () if rule is None else sources_of(primitive, rule, 2)
        if any(kind not in ("operand", "out", "param") for kind, _, _ in sources):
            return None
        found.append(None if rule is None else elementwise_push(rule, sources))
    return tuple(found)


def multilinear_push(kernel: Callable[..., Any], position: int) -> Push:
    if position:
        return lambda t, payloads, out, params: kernel(payloads[0], t)
    return lambda t, payloads, out, params: kernel(t, payloads[1])


def elementwise_push(rule: Callable[..., Any], sources: Sequence[tuple[str, Any, str]]) -> Push:
    """The rule with its arguments found; the usual signatures without a loop."""
    if not sources:
        return lambda t, payloads, out, params: rule(raw, t)
    if len(sources) == 1:
        ((kind, which, name),) = sources
        if kind == "operand":
            return lambda t, payloads, out, params: rule(raw, t, payloads[which])
        if kind == "out":
            return lambda t, payloads, out, params: rule(raw, t, out)
        return lambda t, payloads, out, params: rule(raw, t, params.get(name, which))

    def push(t: Any, payloads: Sequence[Any], out: Any, params: dict[str, Any]) -> Any:
        values = [
            payloads[which] if kind == "operand" else out if kind == "out" else params.get(name, which) for kind, which, name in sources
        ]
        return rule(raw, t, *values)

    return push


def push_quickly(followed: dict[int, Any], primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """The output of an operation and its tangent (None for zero); NotImplemented for a case that is left to others."""
    pushes = pushes_of(primitive)
    if pushes is None:
        return NotImplemented
    payloads: list[Any] = []
    tangents: list[Any] = []
    kind = shape = None
    for value in operands:
        if type(value) in plain:
            payload: Any = value._a
            if value._node is not None or (value._view is not None and value._view.seen != value._v[0]):
                return NotImplemented
            own = payload.dtype
            if kind is None:
                kind = own
                if own is not float32 and own is not float64:
                    return NotImplemented
            elif own is not kind:
                return NotImplemented
            found = followed.get(id(value))
            if found is None:
                tangents.append(None)
            else:
                tangent = found[1]
                t = tangent._a
                if tangent._node is not None or t.dtype is not kind or (type(t) is not ndarray and not isinstance(t, np.generic)):
                    return NotImplemented
                tangents.append(t)
            payloads.append(payload)
        elif (type(value) is float or type(value) is int) and kind is not None and primitive.policy != KEEP:
            payloads.append(as_constant(value, kind) if type(payloads[0]) is ndarray else value)
            tangents.append(None)
        else:
            return NotImplemented
    kernel = primitive.kernel
    if type(payloads[0]) is not ndarray and primitive.on_scalars is not None:
        kernel = primitive.on_scalars
    try:
        out = quiet_run(kernel, *payloads, **params)
        pushed = None
        for t, push in zip(tangents, pushes, strict=True):
            if t is not None and push is not None:
                term = quiet_run(push, t, payloads, out, params)
                pushed = term if pushed is None else pushed + term
    except (ValueError, RuntimeError, OverflowError):
        return NotImplemented  # which says what is wrong
    shape = out.shape
    if pushed is not None and (pushed.shape != shape or pushed.dtype is not out.dtype):
        return NotImplemented
    return wrap(out), pushed
