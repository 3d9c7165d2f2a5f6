"""The identities of transforms must notice what they are there for: here batching and levels are wrong on purpose, one place at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ndgrad as torch
from ndgrad.autograd.duals import Level
from ndgrad.autograd.following import Follower
from ndgrad.core import batching
from ndgrad.core.batching import BatchLevel
from ndgrad.core.primitive import Primitive
from ndgrad.func import mapping
from ndgrad.func.handles import Call
from ndgrad.ops.declare import primitives
from tests.smooth_programs import BINARY, SHAPED, UNARY, run, spread, written
from tests.transform_identities import IDENTITIES, check_all

Patch = Callable[[pytest.MonkeyPatch], None]

#: A function that uses an operation of each sort, so that nothing that is wrong goes unnoticed for want of examples.
EVERYTHING = [
    ("unary", -1, -1, UNARY.index("sin")),
    ("binary", -1, -2, 6),
    ("binary", -1, -2, BINARY.index(written)),
    ("binary", -1, -3, BINARY.index(spread)),
    ("shaped", -1, -1, 1),
    ("shaped", -2, -1, 6),
    ("binary", -1, -2, 8),
    ("shaped", -1, -1, len(SHAPED) - 1),
]


def dims_that_are_not_lined_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batching, "lined_up", lambda value, rank: value)


def dims_that_are_not_shifted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchLevel, "shifted", lambda self, params: params)


def shared_tensors_that_are_doubled(patch: pytest.MonkeyPatch) -> None:
    right = BatchLevel.spread
    patch.setattr(BatchLevel, "spread", lambda self, value: right(self, value).mul(2.0))


def outputs_that_lose_their_history(patch: pytest.MonkeyPatch) -> None:
    right = mapping.unboxed_leaves
    patch.setattr(mapping, "unboxed_leaves", lambda *given: [leaf.detach() for leaf in right(*given)])


def a_batching_rule_of_another_operation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(primitives["sin"], "batch", lambda level, mapped, x: torch.cos(x))


def a_write_that_only_the_value_sees(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Level, "written", lambda self, tensor, name, out: None)


def backwards_that_are_never_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Call, "must_record", lambda self, outputs: False)


def saved_tensors_without_tangents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Follower, "restored", lambda self, node, index, tensor: None)


def constants_that_a_level_does_not_take_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchLevel, "constant", lambda self, value: value)


def tangents_of_linear_operations_that_are_halved(patch: pytest.MonkeyPatch) -> None:
    right = Level.done

    def done(self: Level, primitive: Primitive, operands: Any, payloads: Any, params: Any, result: Any) -> None:
        right(self, primitive, operands, payloads, params, result)
        if primitive.name.startswith("cumsum") and self.tangent(result) is not None:
            self.set_tangent(result, self.tangent(result) * 0.5)  # type: ignore[operator]  # which is not None

    patch.setattr(Level, "done", done)


def perturbations_that_are_confused(patch: pytest.MonkeyPatch) -> None:
    """A level that watches while its own tangents are pushed, as if there were no levels."""

    def below(self: Level) -> Any:
        return Watching()

    patch.setattr(Level, "below", below)


class Watching:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: object) -> None:
        pass


def fails(program: list[Any]) -> bool:
    try:
        check_all(program, [("shaped", -1, -1, 10), ("binary", -1, -2, 1)])
    except (AssertionError, RuntimeError, IndexError, RecursionError, TypeError, ValueError):
        return True
    return False


WRONG: list[Patch] = [
    dims_that_are_not_lined_up,
    dims_that_are_not_shifted,
    shared_tensors_that_are_doubled,
    outputs_that_lose_their_history,
    a_batching_rule_of_another_operation,
    a_write_that_only_the_value_sees,
    backwards_that_are_never_recorded,
    saved_tensors_without_tangents,
    constants_that_a_level_does_not_take_over,
    tangents_of_linear_operations_that_are_halved,
    perturbations_that_are_confused,
]


def test_what_is_right_passes() -> None:
    assert len(IDENTITIES) == 6
    check_all(EVERYTHING, [("shaped", -1, -1, 10), ("binary", -1, -2, 1)])
    assert run(torch, EVERYTHING, torch.ones(3, dtype=torch.float64)).isfinite().all()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_what_is_wrong_is_noticed(wrong: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch)
    assert fails(EVERYTHING)
