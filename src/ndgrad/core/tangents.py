"""Pushing tangents forward through one primitive, by the rules it was declared with. No operation is named here.

An elementwise rule is the local derivative itself, so it serves as it is; a linear primitive is its own derivative; a
multilinear one is differentiated operand by operand. What is left brings a `jvp`, or is transposed by the caller
(`ndgrad.autograd.transposition`), because that takes the reverse engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.core.primitive import ELEMENTWISE, LINEAR, MULTILINEAR, NONDIFFERENTIABLE, Primitive, output_number, raw, recorded
from ndgrad.core.tensor import Tensor

#: `(primitive, operands, tangents, params, out) -> tangents of the outputs`, for a primitive that has a vjp only.
Transposition = Callable[[Primitive, Sequence[Any], Sequence[Any], dict[str, Any], Any], Any]


def push(
    primitive: Primitive,
    operands: Sequence[Any],
    tangents: Sequence[Any],
    params: dict[str, Any],
    out: Any,
    transposition: Transposition | None = None,
) -> Any:
    """The tangent of each output (a tuple where there are several) of one call; None where it is zero.

    Parameters
    ----------
    operands : what the kernel was given, in the dtypes it was given it in: payloads, or tensors to have the push recorded.
    tangents : one for each operand, shaped like it; None stands for zero.
    out : what came out, of the same sort as the operands.
    transposition : called for a primitive of the general family that has no jvp.
    """
    several = primitive.outputs != 1
    outs: Sequence[Any] = out if several else (out,)
    known = [None if rule is None else tangent for rule, tangent in zip(rules_of(primitive, len(operands)), tangents, strict=True)]
    if primitive.family == NONDIFFERENTIABLE or all(tangent is None for tangent in known):
        return (None,) * len(outs) if several else None
    xp = recorded if isinstance(outs[0], Tensor) else raw
    known = [None if t is None else in_dtype(xp, t, x) for t, x in zip(known, operands, strict=True)]
    if xp is recorded:
        pushed = _push(xp, primitive, operands, known, params, out, transposition)
    else:
        with np.errstate(all="ignore"):
            pushed = _push(xp, primitive, operands, known, params, out, transposition)
    results: Sequence[Any] = pushed if several else (pushed,)
    fitted = tuple(None if t is None else in_dtype(xp, in_shape(xp, t, y.shape), y) for t, y in zip(results, outs, strict=True))
    return fitted if several else fitted[0]


def _push(
    xp: Any,
    primitive: Primitive,
    operands: Sequence[Any],
    tangents: Sequence[Any],
    params: dict[str, Any],
    out: Any,
    transposition: Transposition | None,
) -> Any:
    call = primitive.kernel if xp is raw else primitive
    if primitive.family == LINEAR:
        return call(tangents[0], **params)
    if primitive.family == ELEMENTWISE:
        terms = [
            in_shape(xp, rule(xp, tangent, *arguments(primitive, rule, 2, operands, params, out)), out.shape)
            for rule, tangent in zip(primitive.rules, tangents, strict=True)
            if rule is not None and tangent is not None
        ]
        return total(terms)
    if primitive.family == MULTILINEAR:
        terms = [
            call(*operands[:position], tangent, *operands[position + 1 :], **params)
            for position, tangent in enumerate(tangents)
            if tangent is not None
        ]
        return total(terms)
    if primitive.jvp is not None:
        return primitive.jvp(xp, list(tangents), *arguments(primitive, primitive.jvp, 2, operands, params, out))
    if transposition is None:
        raise NotImplementedError(f"{primitive.name} has no jvp, and nothing was given to transpose its vjp with")
    return transposition(primitive, operands, tangents, params, out)


def rules_of(primitive: Primitive, count: int) -> Sequence[Any]:
    """For each operand something that is None where the operand has no derivative."""
    return (primitive.joint,) * count if primitive.joint is not None else primitive.rules


def total(terms: Sequence[Any]) -> Any:
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found


def in_dtype(xp: Any, t: Any, like: Any) -> Any:
    """A tangent in the dtype of what it belongs to: a real one of a complex value gets an imaginary part."""
    dtype = like.dtype if xp is recorded else from_numpy_dtype[like.dtype]
    return t if t.dtype == like.dtype else xp.to_dtype(t, dtype=dtype)


def in_shape(xp: Any, t: Any, shape: Any) -> Any:
    """A tangent broadcast to the shape of an output, to which an operand of another shape has contributed."""
    return t if t.shape == shape else xp.expand_to(t, shape=tuple(shape))


@cache
def names_of(rule: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a rule's parameters."""
    return tuple(signature(rule).parameters)


Source = tuple[str, Any, str]


@cache
def sources_of(primitive: Primitive, rule: Callable[..., Any], first: int) -> tuple[Source, ...]:
    """Where what a rule asks for comes from, by the names of its parameters from the position `first` on."""
    return tuple(source_of(primitive, name) for name in names_of(rule)[first:])


def source_of(primitive: Primitive, name: str) -> Source:
    """A parameter (before an operand of the same name), an operand, an output, or a fact of an operand: what, which one, and its name."""
    if name in primitive.params:
        return "param", primitive.defaults.get(name), name
    if name in primitive.operands:
        return "operands" if primitive.variadic else "operand", primitive.operands.index(name), name
    if name == "out":
        return "out", None, name
    number = output_number(name)
    if number is not None:
        return "output", number, name
    operand, _, what = name.rpartition("_")
    return "facts" if primitive.variadic else "fact", primitive.operands.index(operand), what


def arguments(
    primitive: Primitive, rule: Callable[..., Any], first: int, operands: Sequence[Any], params: dict[str, Any], out: Any
) -> list[Any]:
    """What a rule asks for, from its parameter at the position `first` on."""
    found: list[Any] = []
    for kind, which, name in sources_of(primitive, rule, first):
        if kind == "operand":
            found.append(operands[which])
        elif kind == "out":
            found.append(out)
        elif kind == "param":
            found.append(params.get(name, which))
        elif kind == "fact":
            found.append(fact(operands[which], name))
        elif kind == "output":
            found.append(out[which])
        else:
            found.append(operands if kind == "operands" else tuple(fact(x, name) for x in operands))
    return found


def fact(x: Any, what: str) -> Any:
    """The shape or NumPy's dtype of an operand, as `record` notes them for rules."""
    payload = x._a if isinstance(x, Tensor) else x
    return getattr(payload if hasattr(payload, "dtype") else np.asarray(payload), what)
