"""Every differentiable operation under transforms of transforms (`ndgrad.testing.nesting_checks`)."""

from __future__ import annotations

import pytest

from ndgrad.testing import nesting_checks
from ndgrad.testing.cases import Case, cases_of
from ndgrad.testing.samples import spec_of
from tests.test_op_table import applies

NAMES = applies("vjp", differentiable=True)
BATCHED = [name for name in NAMES if "vmap" not in spec_of(name).except_for]


def cases_to_differentiate(name: str) -> list[Case]:
    """The samples with something to differentiate by."""
    return [case for case in cases_of(name) if case.leaves]


@pytest.mark.parametrize("name", BATCHED)
def test_vmap_of_derivatives(name: str) -> None:
    for case in cases_to_differentiate(name):
        nesting_checks.check_vmap_of_derivatives(case, "third" not in spec_of(name).except_for)


@pytest.mark.parametrize("name", BATCHED)
def test_derivatives_of_vmap(name: str) -> None:
    for case in cases_to_differentiate(name):
        nesting_checks.check_derivatives_of_vmap(case)


@pytest.mark.parametrize("name", [name for name in NAMES if "third" not in spec_of(name).except_for])
def test_both_orders(name: str) -> None:
    for case in cases_to_differentiate(name):
        nesting_checks.check_both_orders(case)


@pytest.mark.parametrize("name", [name for name in BATCHED if "vmap_twice" not in spec_of(name).except_for])
def test_vmap_twice(name: str) -> None:
    for case in cases_to_differentiate(name):
        nesting_checks.check_vmap_twice(case)
