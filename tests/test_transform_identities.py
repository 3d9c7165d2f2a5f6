"""Symmetry of hessians, linearity, chain and product rule, Euler's theorem, and `vmap`: of random functions made from the op table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import ndgrad as torch
from ndgrad.func import jvp, vmap
from tests.smooth_programs import UNARY, every_step, run, smooth_functions
from tests.transform_identities import IDENTITIES, examples_do_not_know_of_each_other, the_hessian_is_symmetric

few = settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.__name__)
@given(first=smooth_functions(), second=smooth_functions())
@few
def test_random_functions(identity: Callable[..., None], first: list[Any], second: list[Any]) -> None:
    identity(lambda x: run(torch, first, x), lambda x: run(torch, second, x))


@pytest.mark.parametrize("program", every_step(), ids=lambda program: f"{program[0][0]}{program[0][3]}")
def test_each_operation(program: list[Any]) -> None:
    for identity in (the_hessian_is_symmetric, examples_do_not_know_of_each_other):
        identity(lambda x: run(torch, program, x), torch.sin)


def test_the_table_is_there() -> None:
    assert {"sin", "erfinv", "lgamma", "logit", "sinc", "square"} <= set(UNARY)


def test_a_tangent_that_is_written_to_inside_two_vmaps() -> None:
    """The tangent differs between the examples of one level, what is written into it between those of two."""
    x = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)
    units = torch.eye(3, dtype=torch.float64)

    def slope(a: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = jvp(lambda a: a.clone().mul_(a), (a,), (v,))[1]
        return found

    found = vmap(lambda a: vmap(lambda v: slope(a, v))(units))(x)
    assert found.tolist() == (2 * x[:, None] * units).tolist()
    found = vmap(lambda v: vmap(lambda a: slope(a, v))(x))(units)
    assert found.tolist() == (2 * x * units[:, None]).tolist()
