"""Taylor mode: closed forms, exact recurrences, nested transforms, and every operation of the table against nested forward mode."""

import decimal
import math
import time
from contextlib import ExitStack
from decimal import Decimal

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd.duals import Level
from ndgrad.core.observers import Observer, observing
from ndgrad.core.tensor import wrap
from ndgrad.func import grad, jet, jvp, vmap
from ndgrad.func.series import Expansion, given_series
from ndgrad.testing.cases import cases_of
from ndgrad.testing.op_checks import random_like, require_close, supports_complex
from ndgrad.testing.samples import spec_of
from tests.test_op_table import EVERYWHERE


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def values(found):
    return [float(y) for y in found]


def falling(exponent, n):
    """exponent * (exponent - 1) * ... of n factors."""
    return math.prod(exponent - k for k in range(n))


# ---------------------------------------------------------------- closed forms
X = 0.7
RUNGE_POLE = 0.2j
CLOSED = {
    "sin": (torch.sin, lambda n: math.sin(X + n * math.pi / 2)),
    "cos": (torch.cos, lambda n: math.cos(X + n * math.pi / 2)),
    "exp": (lambda x: torch.exp(-2 * x), lambda n: (-2) ** n * math.exp(-2 * X)),
    "sinh": (torch.sinh, lambda n: math.cosh(X) if n % 2 else math.sinh(X)),
    "log": (torch.log, lambda n: math.log(X) if n == 0 else (-1) ** (n - 1) * math.factorial(n - 1) / X**n),
    "log1p": (torch.log1p, lambda n: math.log1p(X) if n == 0 else (-1) ** (n - 1) * math.factorial(n - 1) / (1 + X) ** n),
    "reciprocal": (torch.reciprocal, lambda n: (-1) ** n * math.factorial(n) / X ** (n + 1)),
    "sqrt": (torch.sqrt, lambda n: falling(0.5, n) * X ** (0.5 - n)),
    "rsqrt": (torch.rsqrt, lambda n: falling(-0.5, n) * X ** (-0.5 - n)),
    "power": (lambda x: x**2.5, lambda n: falling(2.5, n) * X ** (2.5 - n)),
    "cube": (lambda x: x**3, lambda n: falling(3, n) * X ** (3 - n)),
    "exponential": (lambda x: 3**x, lambda n: math.log(3) ** n * 3**X),
    # 1 / (1 + 25 x^2) is the imaginary part of -0.2 / (x - 0.2i)^-1 and so on
    "runge": (lambda x: 1 / (1 + 25 * x * x), lambda n: (-1) ** n * math.factorial(n) * (1 / (X - RUNGE_POLE) ** (n + 1)).imag / 5),
    "atan": (torch.atan, lambda n: math.atan(X) if n == 0 else (-1) ** (n - 1) * math.factorial(n - 1) * (1 / (X - 1j) ** n).imag),
    "product": (lambda x: x * x * torch.exp(x), lambda n: (X * X + 2 * n * X + n * (n - 1)) * math.exp(X)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_twenty_derivatives(name):
    f, expected = CLOSED[name]
    assert values(jet(f, 20)(number(X))) == pytest.approx([expected(n) for n in range(21)], rel=1e-10, abs=1e-300)


def convolution(a, b, n):
    return sum(a[k] * b[n - k] for k in range(n + 1))


def exact(function, order):
    """The derivatives at 7/10 by the recurrences of textbooks, to 60 digits."""
    with decimal.localcontext() as context:
        context.prec = 60
        x = [Decimal("0.7"), Decimal(1), *[Decimal(0)] * order]
        coefficients = function(x, order)
        return [float(c * math.factorial(n)) for n, c in enumerate(coefficients)]


def exact_tanh_of_square(x, order):
    u = [convolution(x, x, n) for n in range(order + 1)]
    both = (2 * u[0]).exp()
    y = [(both - 1) / (both + 1)]
    for n in range(order):
        square = [convolution(y, y, k) for k in range(n + 1)]
        slope = [(1 if k == 0 else 0) - square[k] for k in range(n + 1)]
        y.append(sum(slope[n - k] * (k + 1) * u[k + 1] for k in range(n + 1)) / (n + 1))
    return y


def exact_power_of_itself(x, order):
    log = [x[0].ln()] + [Decimal((-1) ** (n - 1)) / n / x[0] ** n for n in range(1, order + 1)]
    exponent = [convolution(x, log, n) for n in range(order + 1)]
    y = [exponent[0].exp()]
    for n in range(order):
        y.append(sum(y[n - k] * (k + 1) * exponent[k + 1] for k in range(n + 1)) / (n + 1))
    return y


@pytest.mark.parametrize(
    "f, expected", [(lambda x: torch.tanh(x**2), exact_tanh_of_square), (lambda x: x**x, exact_power_of_itself)], ids=["tanh(x^2)", "x^x"]
)
def test_against_exact_recurrences(f, expected):
    assert values(jet(f, 20)(number(0.7))) == pytest.approx(exact(expected, 20), rel=1e-10)


def test_erf_has_hermite_polynomials():
    found = values(jet(torch.erf, 12)(number(X)))
    hermite = np.polynomial.hermite.Hermite.basis
    expected = [2 / math.sqrt(math.pi) * (-1) ** n * hermite(n)(X) * math.exp(-X * X) for n in range(12)]
    assert found[1:] == pytest.approx(expected, rel=1e-12)


def test_digamma_at_one_has_zeta_values():
    zeta = {n: sum(k**-n for k in range(1, 200)) + 199.5 ** (1 - n) / (n - 1) for n in range(4, 12)}
    found = jet(torch.digamma, 11, coefficients=True)(number(1.0))
    for n in range(4, 12):
        assert found[n - 1].item() == pytest.approx((-1) ** n * zeta[n], rel=1e-9)


def test_at_zero_where_powers_vanish():
    assert values(jet(lambda x: x**3 + x**2, 4)(number(0.0))) == [0, 0, 2, 6, 0]
    assert values(jet(lambda x: x**7 / 7, 8)(number(0.0))) == [0, 0, 0, 0, 0, 0, 0, 720, 0]
    two = torch.tensor([0.0, 2.0], dtype=torch.float64)
    assert jet(lambda x: x**two, 3)(torch.zeros(2, dtype=torch.float64))[2].tolist() == [0, 2]
    assert values(jet(torch.sinc, 0)(number(0.0))) == [1]


# ---------------------------------------------------------------- cost
def operations(f, order):
    class Count(Observer):
        count = 0

        def done(self, *call):
            Count.count += 1

    with observing(Count()):
        jet(f, order)(number(X))
    return Count.count


PROGRAMS = {
    "tanh": lambda x: torch.tanh(x**2),
    "sin": lambda x: torch.exp(torch.sin(x * x)),
    "quotient": lambda x: torch.sin(x) / (1 + torch.exp(x)),
    "nested": lambda x: torch.sqrt(1 + torch.log(1 + x * x)),
    "power": lambda x: torch.sin(x) ** 2.5,
    "power of a tensor": lambda x: x**x,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_cost_is_quadratic_in_the_order(name):
    few, many = operations(PROGRAMS[name], 16), operations(PROGRAMS[name], 64)
    assert many < 16 * 1.3 * few


def test_the_twentieth_derivative_takes_milliseconds():
    f, x = jet(PROGRAMS["tanh"], 20), number(X)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        f(x)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2


# ---------------------------------------------------------------- signature
def test_along_a_direction_and_along_a_curve():
    x, v = torch.tensor([0.3, 0.8], dtype=torch.float64), torch.tensor([2.0, -1.0], dtype=torch.float64)
    matrix = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
    form = jet(lambda x: x @ matrix @ x, 3)(x, v)
    assert values(form) == pytest.approx(values([x @ matrix @ x, v @ (matrix + matrix.T) @ x, 2 * v @ matrix @ v, 0]))
    curve = jet(torch.exp, 3)(number(X), number(2.0), number(3.0), number(5.0))
    # Faa di Bruno: f' x''' + 3 f'' x' x'' + f''' x'^3
    assert values(curve) == pytest.approx([math.exp(X) * factor for factor in (1, 2, 3 + 4, 5 + 3 * 2 * 3 + 8)])
    halved = jet(torch.exp, 3, coefficients=True)(number(X), number(2.0), number(3.0 / 2), number(5.0 / 6))
    assert [c.item() * math.factorial(n) for n, c in enumerate(halved)] == pytest.approx(values(curve))


def test_trees():
    def f(arguments):
        return {"softmax": torch.softmax(arguments["a"], 0), "sums": [arguments["a"].cumsum(0) * arguments["b"][0]]}

    a, b = torch.tensor([0.3, 0.8], dtype=torch.float64), number(0.5)
    found = jet(f, 2)({"a": a, "b": (b,)}, {"a": torch.ones_like(a), "b": (number(2.0),)})
    assert len(found) == 3 and found[2]["sums"][0].tolist() == [4.0, 8.0]
    assert torch.allclose(found[1]["softmax"], torch.zeros_like(a), atol=1e-15)
    with pytest.raises(ValueError, match="has the structure of x"):
        jet(f, 2)({"a": a, "b": (b,)}, {"a": a})


def test_what_is_refused():
    with pytest.raises(ValueError, match="not negative, and this one is -1"):
        jet(torch.sin, -1)
    with pytest.raises(ValueError, match=r"floating point or complex, but got: torch\.int64"):
        jet(torch.sin, 1)(torch.tensor(1))
    with pytest.raises(TypeError, match="Expected x to be a Tensor, but got: float"):
        jet(torch.sin, 1)(1.0)
    with pytest.raises(ValueError, match=r"Got \[2\] for a tensor of shape \[\]"):
        jet(torch.sin, 1)(number(1.0), torch.ones(2, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="only tensors"):
        jet(lambda x: 1.0, 1)(number(1.0))

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

    with pytest.raises(NotImplementedError, match="the custom Function Cube"):
        jet(Cube.apply, 2)(number(1.0))


def test_constants_and_results_that_are_no_numbers():
    x = number(2.0)
    assert values(jet(lambda x: number(3.0), 2)(x)) == [3, 0, 0]
    value, slope = jet(lambda x: x > 1, 1)(x)
    assert value.item() is True and slope.item() is False
    assert values(jet(lambda x: x.detach() * x, 2)(x)) == [4, 2, 0]


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-5), (torch.complex128, 1e-13)])
def test_dtypes(dtype, rtol):
    x = torch.tensor(0.5, dtype=dtype)
    for n, y in enumerate(jet(torch.exp, 6)(x)):
        assert y.dtype is dtype and complex(y) == pytest.approx(math.exp(0.5), rel=rtol), n


def test_modes():
    with torch.inference_mode():
        assert values(jet(torch.exp, 2)(number(0.0))) == [1, 1, 1]
    with torch.no_grad():
        found = jet(torch.exp, 2)(number(0.0).requires_grad_())
    assert not any(y.requires_grad for y in found)


# ---------------------------------------------------------------- programs
def test_views_and_writes():
    def f(x):
        y = torch.zeros(3, dtype=torch.float64)
        view, early = y[1:], y[:1]
        view.copy_(x * x)
        early += x[0]
        view.mul_(x)
        kept = y.clone()
        view[0] = 0
        y.add_(early.clone())
        return y, kept, view, early

    x = torch.tensor([0.3, 0.8], dtype=torch.float64)
    y, kept, view, early = zip(*jet(f, 3)(x), strict=True)

    def expected(*polynomials):
        return [[p.deriv(n)(0.0) if n else p(0.0) for p in polynomials] for n in range(4)]

    a, b = np.polynomial.Polynomial([0.3, 1]), np.polynomial.Polynomial([0.8, 1])
    for found, polynomials in (
        (kept, (a, a**3, b**3)),
        (y, (2 * a, a, b**3 + a)),
        (view, (a, b**3 + a)),
        (early, (2 * a,)),
    ):
        np.testing.assert_allclose([t.tolist() for t in found], expected(*polynomials), rtol=1e-14, atol=1e-14)
    assert x.tolist() == [0.3, 0.8]


def test_an_argument_that_is_written_to_is_a_copy():
    x = torch.tensor([0.5, 2.0], dtype=torch.float64)
    found = jet(lambda y: y.mul_(y), 2)(x)
    assert [t.tolist() for t in found] == [[0.25, 4.0], [1.0, 4.0], [2.0, 2.0]] and x.tolist() == [0.5, 2.0]


# ---------------------------------------------------------------- nesting
def f(x):
    return torch.exp(torch.sin(x)) * x**3


def test_nested_with_other_transforms():
    x = number(X)
    third = jet(f, 3)(x)[3].item()
    one = torch.ones_like(x)
    for name, found in {
        "grad of jet": grad(lambda x: jet(f, 2)(x)[2])(x),
        "jet of grad": jet(grad(f), 2)(x)[2],
        "jvp of jet": jvp(lambda x: jet(f, 2)(x)[2], (x,), (one,))[1],
        "jet of jvp": jet(lambda x: jvp(f, (x,), (one,))[1], 2)(x)[2],
        "jet of jet": jet(lambda x: jet(f, 1)(x)[1], 2)(x)[2],
        "grad of grad of jet": grad(grad(lambda x: jet(f, 1)(x)[1]))(x),
        "grad of grad of grad": grad(grad(grad(f)))(x),
    }.items():
        assert found.item() == pytest.approx(third, rel=1e-12), name


def test_perturbations_are_not_confused():
    x = number(X)
    assert values(jet(lambda x: x * jet(lambda y: x + y, 1)(x)[1], 2)(x)) == [X, 1, 0]
    assert values(jet(lambda y: x * y, 2)(x)) == [X * X, X, 0]


def test_under_vmap():
    x = torch.tensor([0.3, 0.8, 1.1], dtype=torch.float64)
    together = jet(f, 4)(x)
    for n, mapped in enumerate(vmap(jet(f, 4))(x)):
        assert torch.allclose(mapped, together[n], rtol=1e-13)


def test_the_coefficients_can_be_trained():
    """Derivatives of derivatives by parameters, in reverse."""
    x, w = torch.tensor([0.3, 0.8], dtype=torch.float64), number(2.0).requires_grad_()
    third = jet(lambda x: torch.sin(w * x), 3)(x)[3]
    (found,) = torch.autograd.grad(third.sum(), w)
    expected = (-3 * w**2 * torch.cos(w * x) + w**3 * x * torch.sin(w * x)).sum()
    assert found.item() == pytest.approx(expected.item())
    (through,) = torch.autograd.grad(jet(grad(lambda x: torch.sin(w * x).sum()), 2)(x)[2].sum(), w)
    assert through.item() == pytest.approx(expected.item())


# ---------------------------------------------------------------- every operation
ORDER = 3
NAMES = [name for name in EVERYWHERE if not spec_of(name).constant]


def moving(case):
    return [wrap(np.array(array)) for array in case.arrays]


def by_nested_levels(case, directions):
    levels, leaves = [Level() for _ in range(ORDER)], moving(case)
    with ExitStack() as stack:
        for level in levels:
            stack.enter_context(observing(level))
            for leaf, direction in zip(leaves, directions, strict=True):
                level.set_tangent(leaf, wrap(np.array(direction)))
        outs = case.outputs(leaves)
        found = [outs]
        for level in reversed(levels):
            found.append([None if y is None else level.tangent(y) for y in found[-1]])
    return [[np.zeros(y.shape) if t is None else t._a for y, t in zip(outs, terms, strict=True)] for terms in found]


def by_series(case, directions):
    expansion, leaves = Expansion(ORDER), moving(case)
    for leaf, direction in zip(leaves, directions, strict=True):
        expansion.follow(leaf, given_series([wrap(np.array(direction))], ORDER))
    with observing(expansion):
        outs = case.outputs(leaves)
    found = [[y._a for y in outs]]
    for n in range(1, ORDER + 1):
        terms = [None if (series := expansion.find(y)) is None else series[n] for y in outs]
        found.append([np.zeros(y.shape) if t is None else t._a * math.factorial(n) for y, t in zip(outs, terms, strict=True)])
    return found


def check_operation(case):
    directions = random_like(case.arrays, 3)
    try:
        expected = by_nested_levels(case, directions)
    except RuntimeError as error:
        with pytest.raises(RuntimeError, match=str(error)[:40]):
            by_series(case, directions)
        return
    for n, (ours, theirs) in enumerate(zip(by_series(case, directions), expected, strict=True)):
        for y, known in zip(ours, theirs, strict=True):
            require_close(case, f"derivative {n}", y, known, 1e-8, 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_against_nested_forward_mode(name):
    for case in cases_of(name):
        check_operation(case)


@pytest.mark.parametrize("name", [name for name in NAMES if not supports_complex(name, spec_of(name))])
def test_an_operation_on_complex_numbers(name):
    for case in cases_of(name, torch.complex128):
        check_operation(case)
