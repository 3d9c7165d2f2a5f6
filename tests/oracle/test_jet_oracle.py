"""Derivatives of high order against mpmath, which computes them by finite differences of a hundred digits."""

import mpmath
import pytest

import ndgrad as torch
from ndgrad.func import jet

FUNCTIONS = {
    "tanh(x^2)": (lambda x: torch.tanh(x**2), lambda x: mpmath.tanh(x**2)),
    "exp(sin x) / (1 + log(1 + x^2))": (
        lambda x: torch.exp(torch.sin(x)) / (1 + torch.log(1 + x * x)),
        lambda x: mpmath.exp(mpmath.sin(x)) / (1 + mpmath.log(1 + x * x)),
    ),
    "lgamma": (torch.lgamma, mpmath.loggamma),
    "erfinv(x / 2)": (lambda x: torch.erfinv(x / 2), lambda x: mpmath.erfinv(x / 2)),
    "sin(x)^2.5": (lambda x: torch.sin(x) ** 2.5, lambda x: mpmath.sin(x) ** 2.5),
    "gelu": (torch.nn.functional.gelu, lambda x: x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2),
    "softplus": (torch.nn.functional.softplus, lambda x: mpmath.log(1 + mpmath.exp(x))),
    "tan": (torch.tan, mpmath.tan),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_twenty_derivatives(name):
    ours, theirs = FUNCTIONS[name]
    with mpmath.workdps(100):
        expected = [float(c * mpmath.factorial(n)) for n, c in enumerate(mpmath.taylor(theirs, mpmath.mpf(0.7), 20))]
    found = jet(ours, 20)(torch.tensor(0.7, dtype=torch.float64))
    assert [float(y) for y in found] == pytest.approx(expected, rel=1e-8)
