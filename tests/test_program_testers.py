"""The property test of programs must notice what it is there for: here the engine is wrong on purpose, in one place at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import ndgrad
from ndgrad.autograd import engine, hooks
from ndgrad.core import inplace, pulls, views
from ndgrad.core.node import Node
from ndgrad.core.primitive import Primitive
from ndgrad.core.tensor import Tensor
from tests.program_check import check
from tests.programs import EXAMPLES, instructions

few = settings(
    deadline=None, database=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
Patch = Callable[[pytest.MonkeyPatch], None]


def no_version_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pulls, "stale_error", lambda node, index: None)
    patch.setattr(Node, "check", lambda self: self.saved)


def a_view_whose_transpose_is_wrong(patch: pytest.MonkeyPatch) -> None:
    right = Primitive.transpose_raw
    patch.setattr(Primitive, "transpose_raw", lambda self, g, arguments: right(self, g, arguments) * 2)


def a_write_through_a_view_that_keeps_the_old_gradient(patch: pytest.MonkeyPatch) -> None:
    def pull(self: Any, g: Any, parents: Any) -> Any:
        base, written = parents
        return g if base is not None else None, None if written is None else views.replay_steps(g, self.params["steps"])

    patch.setattr(views.CopySlices, "pull", pull)


def views_that_do_not_notice_a_write(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(views.View, "refresh", lambda self, tensor, always=False: None)


def writes_that_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inplace, "mark_modified", lambda target, name: None)


def writes_that_forget_the_base(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inplace, "write_through", lambda view, written: None)


def overwriting_that_keeps_the_history(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inplace, "erasure", lambda target, name, edges, overload=0: edges[0])


def retained_gradients_that_stay_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inplace, "keep_retained", lambda tensor, before: None)
    patch.setattr(views, "keep_retained", lambda tensor, before: None)


def hooks_whose_result_is_ignored(patch: pytest.MonkeyPatch) -> None:
    right = hooks.run_tensor_hooks

    def ignored(found: Any, g: Any, create_graph: bool) -> Any:
        right(found, g, create_graph)
        return g

    patch.setattr(hooks, "run_tensor_hooks", ignored)


def a_detach_that_keeps_the_history(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tensor, "detach", lambda self: self.view_as(self))


def a_gradient_that_is_handed_on_while_others_look_at_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "is_ours", lambda array, alone: array.flags.writeable)


def a_cotangent_that_replaces_what_had_arrived(patch: pytest.MonkeyPatch) -> None:
    def add(self: Any, edge: Any, g: Any) -> None:
        self.pending[edge] = g

    patch.setattr(engine.Run, "add", add)


FAULTS: list[Patch] = [
    no_version_check,
    a_view_whose_transpose_is_wrong,
    a_write_through_a_view_that_keeps_the_old_gradient,
    views_that_do_not_notice_a_write,
    writes_that_are_not_counted,
    writes_that_forget_the_base,
    overwriting_that_keeps_the_history,
    retained_gradients_that_stay_behind,
    hooks_whose_result_is_ignored,
    a_detach_that_keeps_the_history,
    a_gradient_that_is_handed_on_while_others_look_at_it,
    a_cotangent_that_replaces_what_had_arrived,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_engine_is_found(fault: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(few, max_examples=400)
    @given(instructions())
    def random_programs(program: Any) -> None:
        check(program)

    fault(monkeypatch)
    with pytest.raises(AssertionError, match="instruction"):
        for program in EXAMPLES:
            check(program)
        random_programs()


def test_programs_get_somewhere() -> None:
    outcomes: Counter[str] = Counter()

    @settings(few, max_examples=300)
    @given(instructions())
    def random_programs(program: Any) -> None:
        outcomes.update(check(program))

    random_programs()
    for kind in ("view", "write", "compute", "pieces", "detach", "mode", "step", "backward", "grad", "grad recorded"):
        assert outcomes[kind] > 30, outcomes
    for kind in ("used up", "view of a leaf", "one of several views"):
        assert outcomes[kind] > 2, outcomes
    assert ndgrad.is_grad_enabled()
    assert np.geterr()["divide"] == "warn"
