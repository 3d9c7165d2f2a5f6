"""Where the samples of each operation are found: its entry, or what its family gives it by default."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ndgrad import linalg
from ndgrad.core.primitive import ELEMENTWISE, KEEP, NONDIFFERENTIABLE
from ndgrad.nn import functional
from ndgrad.ops.declare import Entry, table
from ndgrad.testing.inputs import Maker, Sample, Spec

Make = Callable[[Maker], list[Sample]]


def namespaced() -> dict[str, Callable[..., Any]]:
    """The functions of `nn.functional` and `linalg` by their dotted names, the in-place ones aside."""
    return {
        f"{prefix}.{name}": getattr(module, name)
        for prefix, module in (("nn.functional", functional), ("linalg", linalg))
        for name in module.__all__
        if not name.endswith("_")
    }


def function_of(name: str) -> Callable[..., Any]:
    """What users call under a name of the table or under a dotted one."""
    entry = table.get(name)
    if entry is None:
        return namespaced()[name]
    return entry.function if entry.as_function else entry.method


def spec_of(name: str) -> Spec:
    """What the operation `name` is tested with; a dotted name without an entry shares that of the operation in the table.

    Raises
    ------
    AssertionError
        If there is neither an entry for it (or for another name of the same function) nor a default.
    """
    if name in OPERATIONS:
        return OPERATIONS[name]
    entry = table.get(name.rpartition(".")[2])
    if entry is None:
        raise AssertionError(f"the function {name} has no entry in ndgrad.testing.samples")
    if entry.name in OPERATIONS:
        return OPERATIONS[entry.name]
    for other, spec in OPERATIONS.items():
        if other in table and table[other].method is entry.method:
            return spec
    default = default_spec(entry)
    if default is None:
        raise AssertionError(f"the operation {name} has no entry in ndgrad.testing.samples, and its family gives it no default")
    return default


def stale_entries() -> list[str]:
    """Entries for what is neither an operation of the table nor a function of a public namespace."""
    return sorted(set(OPERATIONS) - set(table) - set(namespaced()))


def default_spec(entry: Entry) -> Spec | None:
    """Samples for an elementwise operation that takes its operands and nothing else."""
    primitive = entry.primitive
    if primitive is None or primitive.family not in (ELEMENTWISE, NONDIFFERENTIABLE) or primitive.policy == KEEP:
        return None
    if primitive.params or primitive.variadic or primitive.outputs != 1 or entry.name in OPERATIONS:
        return None
    count = len(primitive.operands)
    required = [p for p in inspect.signature(entry.method).parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if count > 2 or len(required) not in (count, 1) or len(required) > count:
        return None
    low, high = entry.domain or (-2.0, 2.0)

    def make(m: Maker) -> list[Sample]:
        if count == 1:
            return [Sample(m(2, 3, low=low, high=high)), Sample(m(low=low, high=high))]
        return [
            Sample(m(2, 3, low=low, high=high), m(2, 3, low=low, high=high)),
            Sample(m(2, 1, low=low, high=high), m(3, low=low, high=high)),
            Sample(m(low=low, high=high), m(2, low=low, high=high)),
        ]

    return Spec(make, constant=primitive.family == NONDIFFERENTIABLE or not primitive.differentiable)


OPERATIONS: dict[str, Spec] = {}


def add(**makes: Make) -> None:
    OPERATIONS.update({name: Spec(make) for name, make in makes.items()})


def add_constant(**makes: Make) -> None:
    OPERATIONS.update({name: Spec(make, constant=True) for name, make in makes.items()})


def add_integer(**makes: Make) -> None:
    OPERATIONS.update({name: Spec(make, constant=True, integers=True) for name, make in makes.items()})


def add_random(**makes: Make) -> None:
    OPERATIONS.update({name: Spec(make, random=True) for name, make in makes.items()})


def add_random_constant(**makes: Make) -> None:
    OPERATIONS.update({name: Spec(make, constant=True, random=True) for name, make in makes.items()})


def unary(*names: str, low: float = -2.0, high: float = 2.0) -> None:
    """Operations of one operand that are several primitives behind one name."""
    for name in names:
        OPERATIONS[name] = Spec(lambda m: [Sample(m(2, 3, low=low, high=high)), Sample(m(low=low, high=high)), Sample(m(0, 2))])


def no_more(m: Maker) -> list[Sample]:
    return []


def binary(*names: str, more: Make = no_more) -> None:
    """Operations of two operands, the second of which may be a number; `more` makes further samples."""

    def make(m: Maker) -> list[Sample]:
        return [
            Sample(m(2, 3), m(2, 3)),
            Sample(m(2, 1), m(3)),
            Sample(m(2, 3), 1.5),
            Sample(m(), m(2)),
            *more(m),
        ]

    for name in names:
        OPERATIONS[name] = Spec(make)


def reductions(*names: str) -> None:
    for name in names:
        OPERATIONS[name] = Spec(
            lambda m: [
                Sample(m(2, 3)),
                Sample(m(2, 3), 1),
                Sample(m(2, 3, 2), (0, -1), keepdim=True),
                Sample(m(2, 3), dim=-1, keepdim=True),
            ]
        )
