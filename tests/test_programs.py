"""Random programs never give a silently wrong gradient: each value is right, each gradient is right, or ndgrad refuses."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.program_check import check
from tests.programs import EXAMPLES, instructions


@pytest.mark.parametrize("program", EXAMPLES)
def test_programs_that_are_seldom_drawn(program: Any) -> None:
    check(program)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate, Phase.shrink])
@given(instructions())
def test_random_programs_agree_with_a_functional_reference(program: Any) -> None:
    check(program)
