"""Every operation of the table inside `vmap`, against a loop over the examples: values, gradients and tangents."""

from __future__ import annotations

import warnings

import pytest

from ndgrad.base.dtypes import complex128
from ndgrad.core import batching
from ndgrad.testing import batch_checks, op_checks
from ndgrad.testing.cases import cases_of
from ndgrad.testing.samples import spec_of
from tests.test_op_table import EVERYWHERE, applies

#: Operations that say something of memory, whose strides are others where the examples stand in the last dim.
OF_MEMORY = frozenset({"as_strided", "as_strided_", "view_as_complex"})
REFUSED = [name for name in EVERYWHERE if "vmap" in spec_of(name).except_for]
#: What takes a tensor that is not a number of numbers: the bytes of a random generator.
NO_EXAMPLES = frozenset({"set_rng_state"})
TRIED = [name for name in applies("vmap") if name not in NO_EXAMPLES]
#: Operations that take complex numbers.
COMPLEX = [name for name in TRIED if not op_checks.supports_complex(name, spec_of(name)) and not spec_of(name).random]
DIFFERENTIABLE = [name for name in applies("vmap", differentiable=True) if not {"vjp", "jvp"} & set(spec_of(name).except_for)]

#: Primitives that `vmap` runs for one example after the other -> why.
LOOPS: dict[str, str] = {}


@pytest.fixture(autouse=True)
def loops_warn_anew() -> None:
    batching.warned.clear()


def in_front(count: int) -> list[tuple[int | None, ...]]:
    return [(0,) * count]


@pytest.mark.parametrize("name", TRIED)
def test_values(name: str) -> None:
    for case in cases_of(name):
        batch_checks.check_vmap(case, in_front(len(case.sample.tensors())) if name in OF_MEMORY else None)


@pytest.mark.parametrize("name", COMPLEX)
def test_values_complex(name: str) -> None:
    for case in cases_of(name, complex128):
        batch_checks.check_vmap(case, in_front(len(case.sample.tensors())) if name in OF_MEMORY else None)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """What cannot be done is said so in torch's words; what can be done with the same operation is right."""
    refused = [batch_checks.check_vmap_refused(case) for case in cases_of(name)]
    assert any(refused), f"{name} works inside vmap after all"


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_around(name: str) -> None:
    for case in cases_of(name):
        if case.leaves:
            batch_checks.check_vmap_derivatives(case)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name in COMPLEX])
def test_derivatives_around_complex(name: str) -> None:
    for case in cases_of(name, complex128):
        if case.leaves:
            batch_checks.check_vmap_derivatives(case)


def test_no_primitive_falls_back_to_a_loop() -> None:
    """But those that have a reason."""
    found: set[str] = set()
    for name in TRIED:
        for case in cases_of(name):
            batching.warned.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batch_checks.check_vmap(case, in_front(len(case.sample.tensors())))
            found |= batching.warned
    assert found == set(LOOPS)
