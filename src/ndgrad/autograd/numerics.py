"""Catching the first NaN or infinity where it arises, and making 0 times infinity 0 in a backward."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from typing import Any, NoReturn

import numpy as np

from ndgrad.autograd.diagnosis import (
    TITLES,
    explain_gradient,
    first_place,
    is_elementwise,
    line,
    listed,
    note_zeros,
    operation,
    payload_of,
    payloads_of,
    place_text,
    title,
    value_at,
)
from ndgrad.base.location import describe, place
from ndgrad.core.batches import batch_of
from ndgrad.core.freed import running
from ndgrad.core.node import Node
from ndgrad.core.observers import Observer, forget, observe
from ndgrad.core.primitive import ELEMENTWISE, MULTILINEAR, Primitive
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops import ops as functions

Test = Callable[[Any], Any]


class NumericsError(FloatingPointError):
    """What `check_numerics` raises.

    Attributes
    ----------
    op : the name of the operation, in a backward of the one whose backward it was.
    line : the user's `file:line` that called the operation.
    index : where the first bad element is, in the result or in the gradient.
    node : the node of the operation; None if it was not recorded.
    """

    def __init__(self, message: str, op: str, line: str, index: tuple[int, ...], node: Any) -> None:
        super().__init__(message)
        self.op, self.line, self.index, self.node = op, line, index, node


class Watching(ContextDecorator):
    """An observer that watches for the time of a `with` block, or of a decorated function."""

    observer: Observer

    def __enter__(self) -> None:
        observe(self.observer)

    def __exit__(self, *details: object) -> None:
        forget(self.observer)


class check_numerics(Watching):
    """Raise at the operation that is the first to give a NaN or an infinity, and say what it was computed from.

    Parameters
    ----------
    nan, inf : which numbers are bad.
    forward : whether results of operations are checked.
    backward : whether gradients are.

    Only what is new is bad: not an element whose operand had it already, nor an infinity that the program wrote itself, as a number
    (`masked_fill(mask, -inf)`) or as a constant (`full(size, inf)`). Only the thread that entered is concerned.

    Raises
    ------
    NumericsError
        A FloatingPointError that knows `op`, `line`, `index` and `node`. An in-place operation that raises has changed nothing.
    """

    def __init__(self, nan: bool = True, inf: bool = True, forward: bool = True, backward: bool = True) -> None:
        tests: list[Test] = []
        if nan:
            tests.append(np.isnan)
        if inf:
            tests.append(np.isinf)
        self.observer = Checks(tests, forward, backward)


class Checks(Observer):
    """The checks of one `check_numerics`."""

    def __init__(self, tests: list[Test], forward: bool, backward: bool) -> None:
        self.tests, self.forward, self.backward = tests, forward, backward

    def done(self, primitive: Any, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        if not self.forward or running() is not None:
            return
        for tensor in result if isinstance(result, tuple) else (result,):
            value = payload_of(tensor)
            if value.dtype.kind not in "fc" or np.all(np.isfinite(value)):
                continue
            for test in self.tests:
                bad = new(test, value, [*payloads, *params.values()], primitive.family == ELEMENTWISE)
                if np.any(bad):
                    refuse_result(primitive, tensor, bad, payloads)

    def started(self, node: Any, g: Any) -> None:
        if self.backward:
            self.check_sum(node, [each for each in payloads_of(node, g) if each is not None])

    def accumulated(self, leaf: Any, g: Any) -> None:
        if self.backward:
            self.check_sum(leaf, [payload_of(g)])

    def pulled(self, node: Any, g: Any, cotangents: tuple[Any, ...]) -> None:
        if not self.backward:
            return
        came = payloads_of(node, g)
        for position, cotangent in enumerate(map(payload_of, cotangents)):
            if cotangent is None or np.all(np.isfinite(cotangent)):
                continue
            for test in self.tests:
                bad = new(test, cotangent, came, is_elementwise(node))
                if np.any(bad):
                    refuse_gradient(node, g, position, cotangent, bad)
            running().notes[self] = True  # it came in with a root, or is not looked for
        note_zeros(node, g, cotangents)

    def check_sum(self, edge: Any, came: list[Any]) -> None:
        """Refuse a gradient that became bad on the way from finite ones: as their sum, over broadcast dims or of several uses."""
        here = running()
        if self in here.notes or all(np.all(np.isfinite(each)) for each in came):
            return
        if edge in here.starts:
            here.notes[self] = True
            return
        for number, each in enumerate(came):
            for test in self.tests:
                bad = test(each)
                if np.any(bad):
                    refuse_sum(edge, number, each, bad)


def new(test: Test, value: Any, sources: Iterable[Any], elementwise: bool) -> Any:
    """In which places a value is bad while nothing that it was made of is, in that place or, if not elementwise, anywhere."""
    bad = test(value)
    for source in map(payload_of, sources):
        if isinstance(source, (list, tuple)):
            bad = bad & new(test, value, source, elementwise)
        elif isinstance(source, (float, complex)) or (isinstance(source, (np.ndarray, np.generic)) and source.dtype.kind in "fc"):
            had = test(source)
            if np.any(had):
                bad = bad & ~(had if elementwise and np.shape(source) == np.shape(value) else np.ones_like(bad))
    return bad


def refuse_result(primitive: Primitive, result: Tensor, bad: Any, payloads: list[Any]) -> NoReturn:
    """Say which result is bad and what its operands were there."""
    index, shape, called = first_place(bad), np.shape(bad), describe(*place())
    values: list[str] = []
    for name, payload in zip(primitive.operands, payloads, strict=False):
        known = None if primitive.family == MULTILINEAR else value_at(payload, index, shape)
        if known is None and isinstance(payload, np.ndarray):
            spread = f" with values from {np.min(payload)} to {np.max(payload)}" if payload.size else ""
            known = f"a tensor of shape {list(payload.shape)}{spread}"
        if known is not None:
            values.append(f"{TITLES.get(name, name)} = {known}")
    name = title(primitive)
    raise NumericsError(
        f"{name}() gave {payload_of(result)[index]}{place_text(bad)}, called at {called}.{listed(values)}",
        name,
        called,
        index,
        result.grad_fn,
    )


def refuse_gradient(node: Node, g: Any, position: int, cotangent: Any, bad: Any) -> NoReturn:
    """Say which gradient is bad and how it came about."""
    raise NumericsError(
        f"{node.name()} gave {cotangent[first_place(bad)]}.\n{explain_gradient(node, g, position, cotangent, bad)}",
        operation(node),
        node.where(),
        first_place(bad),
        node.face(),
    )


def refuse_sum(edge: Any, number: int, g: Any, bad: Any) -> NoReturn:
    """Say of which tensor the gradients that came back have a bad sum."""
    leaf = isinstance(edge, Tensor)
    whose = f"a leaf of shape {list(edge._a.shape)}" if leaf else f"output {number} of {operation(edge)}, called in {line(edge)}"
    raise NumericsError(
        f"the gradient of {whose} is {g[first_place(bad)]}{place_text(bad)}. It is the sum of what came back from several uses, or over "
        "broadcast dims, and all of that was finite.",
        "sum of gradients",
        "an unknown line" if leaf else edge.where(),
        first_place(bad),
        None if leaf else edge.face(),
    )


# ---------------------------------------------------------------- 0 times infinity
class zero_times_inf_is_zero(Watching):
    """In a backward inside, a gradient of exactly 0 stays 0 where the derivative that it meets is infinite or NaN.

    So `where(x > 0, x.sqrt(), x)` has the gradient of the side taken. It hides a NaN that is meant as well, such as that of `sqrt(0) * 0`.
    Holds for elementwise operations in each element, for others where all of the gradient is 0; with `create_graph`, too.
    """

    def __init__(self) -> None:
        self.observer = zeros_stay


class ZerosStay(Observer):
    """Puts 0 in place of the NaN that a gradient of 0 has become."""

    def pull(self, node: Any, g: Any, compute: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        cotangents = compute()
        if any(batch_of(each._a if isinstance(each, Tensor) else each) is not None for each in cotangents):
            return tuple(None if each is None else kept_zero_of_examples(each, node, g) for each in cotangents)
        came = payloads_of(node, g)
        zero: Any = came[0] == 0 if is_elementwise(node) else None
        if zero is None or np.all(zero):
            zero = not any(np.any(each) for each in came if each is not None)
        if not np.any(zero):
            return cotangents
        return tuple(None if each is None else kept_zero(each, zero) for each in cotangents)


def kept_zero(cotangent: Any, zero: Any) -> Any:
    """A cotangent, raw or recorded, with 0 where it is NaN although what it was made of is 0."""
    value = payload_of(cotangent)
    bad = np.isnan(value) & zero if np.ndim(zero) == 0 or np.shape(zero) == value.shape else False
    if not np.any(bad):
        return cotangent
    if isinstance(cotangent, Tensor):
        return functions.masked_fill(cotangent, functions.from_numpy(np.asarray(bad)), 0)
    return np.where(bad, value.dtype.type(0), value)[()]


def kept_zero_of_examples(cotangent: Any, node: Any, g: Any) -> Any:
    """The same inside `vmap`, where each example has zeros of its own."""
    found = cotangent if isinstance(cotangent, Tensor) else wrap(cotangent)
    came = [each if isinstance(each, Tensor) else wrap(each) for each in ([g] if node.outputs == 1 else g) if each is not None]
    if is_elementwise(node) and came[0]._a.shape == found._a.shape:
        zero = came[0] == 0
    else:
        zero = functools.reduce(operator.and_, [(each == 0).all() for each in came])
    kept = functions.masked_fill(found, functions.isnan(found) & zero, 0)
    return kept if isinstance(cotangent, Tensor) else kept._a


zeros_stay = ZerosStay()
