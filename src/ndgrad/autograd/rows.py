"""The rows of a Jacobian: one graph run backward for every element of its result.

Many rows are one batched backward. For a few, and where an operation has no batching rule, runs are repeated; what they have in common,
which nodes run and in what order, is found once. A graph in which somebody could see how it is run - by hooks, observers, custom
functions, packed residuals - is left to the engine.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ndgrad.autograd.accumulation import fill_missing, fit
from ndgrad.autograd.engine import Run
from ndgrad.autograd.execution_log import is_logged
from ndgrad.autograd.gradients import check_scalar, grad
from ndgrad.base import modes
from ndgrad.base.quiet import Quiet
from ndgrad.base.types import Array, Payload
from ndgrad.core.batching import BatchLevel, at_once
from ndgrad.core.freed import Freed
from ndgrad.core.node import Node, Port, edge_of
from ndgrad.core.packing import pull_packed
from ndgrad.core.primitive import Primitive
from ndgrad.core.tensor import Tensor, wrap

#: From how many rows on a batched backward takes less time, and how many elements it may have of any one cotangent.
FEW, AT_ONCE = 16, 1 << 21

Pull = Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]


def jacobian_rows(out: Tensor, inputs: Sequence[Tensor], create_graph: bool) -> list[Any]:
    """The derivatives of a tensor that requires grad by each input, a row for each of its elements. The graph is kept.

    They are an array; or None where there is no derivative; or a list of tensors, None for those rows that have none.
    """
    payload = out._a
    edge = edge_of(out)
    check_scalar(edge, (), payload.dtype)
    plan = None if create_graph else Plan.of(edge, inputs)
    if plan is not None:
        found = batched_rows(out, inputs, plan.widest) if payload.size >= FEW else None
        return plan.fill(payload, inputs) if found is None else found
    rows = [
        grad((out,), tuple(inputs), (wrap(unit),), retain_graph=True, create_graph=create_graph, allow_unused=True)
        for unit in units(payload)
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def unit_vectors(tensors: Sequence[Tensor], start: int, stop: int) -> list[Tensor]:
    """For each tensor its part of the unit vectors with the numbers from `start` to `stop`, in the space of all elements together."""
    found: list[Tensor] = []
    first = 0
    for tensor in tensors:
        payload = tensor._a
        found.append(wrap(np.eye(stop - start, payload.size, start - first, dtype=payload.dtype).reshape(stop - start, *payload.shape)))
        first += payload.size
    return found


class NoRule(Exception):
    """An operation that could be run for one row after the other only."""


class Rows(BatchLevel):
    """One batched backward."""

    def one_by_one(self, primitive: Primitive, values: list[Any], mapped: list[bool], params: dict[str, Any]) -> NoReturn:
        raise NoRule


def batched_rows(out: Tensor, inputs: Sequence[Tensor], widest: int) -> list[Array | None] | None:
    """The rows by batched backwards of as many as keep memory small; None where they cannot be had, or not several at once."""
    payload = out._a
    together = min(payload.size, AT_ONCE // max(widest, 1))
    if together < FEW:
        return None
    found: list[Any] = [None] * len(inputs)
    for start in range(0, payload.size, together):
        count = min(together, payload.size - start)
        (basis,) = unit_vectors((out,), start, start + count)
        try:
            chunk = at_once(partial(rows_of, out, inputs), (basis,), Rows)
        except NoRule:
            return None
        for position, (rows, x) in enumerate(zip(chunk, inputs, strict=True)):
            if rows is None:
                continue
            if found[position] is None:
                found[position] = np.zeros((payload.size, *x._a.shape), x._a.dtype)
            found[position][start : start + count] = rows._a
    return found


def rows_of(out: Tensor, inputs: Sequence[Tensor], cotangent: Tensor) -> tuple[Tensor | None, ...]:
    found: tuple[Tensor | None, ...] = grad((out,), tuple(inputs), (cotangent,), retain_graph=True, allow_unused=True)
    return found


def units(payload: Payload) -> Iterator[Any]:
    """Arrays like the given one in which one element is 1 and all others are 0."""
    for index in range(payload.size):
        unit = np.zeros(payload.shape, payload.dtype)
        unit.reshape(-1)[index] = 1
        yield unit


class Arrival(NamedTuple):
    """Where one of a node's cotangents goes: a slot, the number of the output if the receiver has several, and how it must look."""

    slot: int
    number: int | None
    edge: Any
    shape: Any
    dtype: Any


class Plan:
    """A backward from one root to some leaves, ready to be run many times.

    Attributes
    ----------
    steps : of each node, in the order in which they run: itself, its pull, the edges that matter, its slot, where its cotangents go.
    first : where the cotangent of the root goes.
    size : the number of slots; there is one for each node and each leaf.
    targets : the slots of the inputs.
    widest : how many elements the largest of the cotangents has.
    """

    __slots__ = ("first", "size", "steps", "targets", "widest")

    def __init__(self, root: Any, nodes: Sequence[Node], needed: set[Any], inputs: Sequence[Tensor]) -> None:
        slots: dict[Any, int] = {}
        for key in (*nodes, *inputs):
            slots.setdefault(key, len(slots))

        def arrival(edge: Any) -> Arrival | None:
            key = edge.node if type(edge) is Port else edge
            if key is None or key not in needed:
                return None
            payload = edge._a if isinstance(edge, Tensor) else edge
            return Arrival(slots[key], edge.output_nr if type(edge) is Port else None, edge, payload.shape, payload.dtype)

        self.steps: list[tuple[Node, Pull, tuple[Any, ...], int, list[Arrival | None]]] = []
        for node in nodes:
            arrivals = [arrival(edge) for edge in node.parents]
            parents = tuple(edge if there is not None else None for edge, there in zip(node.parents, arrivals, strict=True))
            self.steps.append((node, node.pull, parents, slots[node], arrivals))
        self.first = arrival(root)
        self.size = len(slots)
        self.targets = [slots[x] for x in inputs]
        shapes = [there.shape for _, _, _, _, arrivals in self.steps for there in arrivals if there is not None]
        self.widest = max(map(math.prod, [*shapes, () if self.first is None else self.first.shape]))

    @classmethod
    def of(cls, root: Any, inputs: Sequence[Tensor]) -> Plan | None:
        """The plan; None where only the engine does all that has to be done."""
        mode = modes.current()
        if mode.observers or mode.inference or ("logging" in sys.modules and is_logged()):
            return None
        if not inputs or not all(edge_of(x) is x and x._hooks is None and x._accumulator is None for x in inputs):
            return None
        run = Run(((root, None),), True, False, dict.fromkeys((x, 0) for x in inputs), False, ())
        nodes = run.collect(run.roots)
        return cls(root, nodes, run.needed or set(), inputs) if all(map(is_plain, nodes)) else None

    def fill(self, payload: Payload, inputs: Sequence[Tensor]) -> list[Array | None]:
        """The derivatives of each element of the root by the inputs; None for an input that it does not depend on."""
        found: list[Any] = [None] * len(inputs)
        previous = modes.set_mode("grad", False)
        try:
            with Quiet():
                for index, unit in enumerate(units(payload)):
                    slots = self.run(unit if payload.ndim else unit[()])
                    for position, slot in enumerate(self.targets):
                        g = slots[slot]
                        if g is None:
                            continue
                        if found[position] is None:
                            found[position] = np.zeros((payload.size, *inputs[position]._a.shape), inputs[position]._a.dtype)
                        found[position][index] = g
        finally:
            modes.set_mode("grad", previous)
        return found

    def run(self, cotangent: Payload) -> list[Any]:
        """What arrives in all slots."""
        slots: list[Any] = [None] * self.size
        add(slots, self.first, cotangent)
        for node, pull, parents, slot, arrivals in self.steps:
            g = slots[slot]
            if g is None:
                continue
            if node.outputs != 1:
                g = fill_missing(node, g, False)
            for there, found in zip(arrivals, pull(g, parents), strict=False):
                if there is None or found is None:
                    continue
                at, number, _, shape, dtype = there
                if number is None and found.shape == shape and found.dtype is dtype:  # what `add` does, for the commonest case
                    had = slots[at]
                    slots[at] = found if had is None else had + found
                else:
                    add(slots, there, found)
        return slots


def add(slots: list[Any], there: Arrival | None, g: Payload) -> None:
    """Add a cotangent to what has arrived, in the shape and dtype that belong there."""
    if there is None:
        return
    slot, number, edge, shape, dtype = there
    if g.shape != shape or g.dtype is not dtype:
        g = fit(edge, g, shape, dtype)
    had = slots[slot]
    if number is not None:
        if had is None:
            had = slots[slot] = [None] * len(edge.node.shape)
        had[number] = g if had[number] is None else had[number] + g
    else:
        slots[slot] = g if had is None else had + g


def is_plain(node: Node) -> bool:
    """Whether running a node is nothing but its rule: no hook, no code of the user, nothing packed or freed."""
    return node.extra is None and not node.keeps_missing and type(node.saved) is not Freed and type(node).pull is not pull_packed
