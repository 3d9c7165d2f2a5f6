"""func.root, fixed_point and implicit against closed forms, in both modes, nested, for many unknowns and inside vmap."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg

import ndgrad as torch
from ndgrad.func import fixed_point, grad, implicit, jet, jvp, root, vjp, vmap


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


square_root = root(lambda x, a: x * x - a)


def test_the_square_root_in_every_mode_and_to_the_fourth_derivative():
    a, one = number(2.0), number(1.0)

    def f(a):
        return square_root(number(1.0), a)

    derivatives = [math.prod(0.5 - k for k in range(n)) * 2 ** (0.5 - n) for n in range(5)]
    for name, order, found in (
        ("value", 0, f(a)),
        ("grad", 1, grad(f)(a)),
        ("jvp", 1, jvp(f, (a,), (one,))[1]),
        ("grad of grad", 2, grad(grad(f))(a)),
        ("jvp of grad", 2, jvp(grad(f), (a,), (one,))[1]),
        ("grad of jvp", 2, grad(lambda a: jvp(f, (a,), (one,))[1])(a)),
        ("jvp of jvp", 2, jvp(lambda a: jvp(f, (a,), (one,))[1], (a,), (one,))[1]),
        ("jet", 3, jet(f, 3)(a)[3]),
        ("grad four times", 4, grad(grad(grad(grad(f))))(a)),
    ):
        assert found.item() == pytest.approx(derivatives[order], rel=1e-10), name


def kepler(E, mean, eccentricity):
    return E - eccentricity * torch.sin(E) - mean


def test_keplers_equation():
    mean, e = number(0.8), number(0.6)

    def anomaly(mean, e):
        return root(kepler)(mean, mean, e)

    E = anomaly(mean, e).item()
    assert E - 0.6 * math.sin(E) == pytest.approx(0.8, abs=1e-15)
    slope = 1 / (1 - 0.6 * math.cos(E))
    by_mean, by_e = grad(anomaly, (0, 1))(mean, e)
    assert by_mean.item() == pytest.approx(slope) and by_e.item() == pytest.approx(math.sin(E) * slope)
    second = grad(grad(anomaly))(mean, e)
    assert second.item() == pytest.approx(-0.6 * math.sin(E) * slope**3)
    mixed = grad(lambda e: grad(anomaly)(mean, e))(e)
    assert mixed.item() == pytest.approx(slope**2 * (math.cos(E) - 0.6 * math.sin(E) ** 2 * slope))


def test_ordinary_recording():
    a = number(2.0).requires_grad_()
    x = square_root(number(1.0), a)
    (slope,) = torch.autograd.grad(x, a, create_graph=True)
    slope.backward()
    assert slope.item() == pytest.approx(0.5 / math.sqrt(2)) and a.grad.item() == pytest.approx(-0.25 * 2**-1.5)
    x0 = number(1.0).requires_grad_()
    assert not square_root(x0, number(2.0)).requires_grad
    assert torch.autograd.gradcheck(lambda a: square_root(number(1.0), a), (a,))


def layer(x, W, b):
    return torch.tanh(W @ x + b)


def test_an_implicit_layer():
    generator = np.random.default_rng(1)
    W, b = torch.from_numpy(generator.normal(size=(4, 4)) * 0.3), torch.from_numpy(generator.normal(size=4))
    x0 = torch.zeros(4, dtype=torch.float64)

    def loss(W, b, solve):
        return (solve(x0, W, b) ** 3).sum()

    def unrolled(x, W, b):
        for _ in range(200):
            x = layer(x, W, b)
        return x

    expected = grad(lambda W, b: loss(W, b, unrolled), (0, 1))(W, b)
    for solve in (fixed_point(layer), root(lambda x, W, b: layer(x, W, b) - x)):
        assert torch.allclose(solve(x0, W, b), unrolled(x0, W, b), rtol=1e-13)
        for ours, theirs in zip(grad(lambda W, b, solve=solve: loss(W, b, solve), (0, 1))(W, b), expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-10)
        _, pull = vjp(lambda b, solve=solve: solve(x0, W, b), b)
        direction, g = vector(1.0, -2.0, 0.5, 3.0), vector(0.3, 0.1, -1.0, 2.0)
        pushed = jvp(lambda b, solve=solve: solve(x0, W, b), (b,), (direction,))[1]
        assert (pushed @ g).item() == pytest.approx((pull(g)[0] @ direction).item())
    second = grad(lambda b: (grad(lambda b: loss(W, b, fixed_point(layer)))(b) * direction).sum())(b)
    other = grad(lambda b: (grad(lambda b: loss(W, b, unrolled))(b) * direction).sum())(b)
    assert torch.allclose(second, other, rtol=1e-9)


def test_trees_of_unknowns_and_parameters():
    def equations(x, parameters, label):
        assert label == "circle and line"
        return {"circle": x["p"] ** 2 + x["q"][0] ** 2 - parameters["r"] ** 2, "line": [x["q"][0] - parameters["slope"][0] * x["p"]]}

    def rearranged(x, parameters, label):
        found = equations(x, parameters, label)
        return {"p": found["circle"], "q": found["line"]}

    solve = root(rearranged)
    x0 = {"p": number(1.0), "q": [number(1.0)]}
    parameters = {"r": number(2.0), "slope": (number(0.5),)}
    x = solve(x0, parameters, "circle and line")
    assert x["p"].item() == pytest.approx(2 / math.sqrt(1.25)) and x["q"][0].item() == pytest.approx(1 / math.sqrt(1.25))
    gradient = grad(lambda p: solve(x0, p, "circle and line")["p"])(parameters)
    assert gradient["r"].item() == pytest.approx(1 / math.sqrt(1.25))
    assert gradient["slope"][0].item() == pytest.approx(-2 * 0.5 * 1.25**-1.5)
    with pytest.raises(RuntimeError, match="one equation for each unknown"):
        root(equations)(x0, parameters, "circle and line")
    with pytest.raises(RuntimeError, match=r"x has \[2\], and f\(x, \*theta\) has \[1\]"):
        root(lambda x: x[:1])(vector(1.0, 2.0))


def test_many_unknowns_without_a_matrix():
    """A boundary value problem, u'' = a u^3 with 900 unknowns: the derivative is a sparse matrix that nobody writes down."""
    n = 900
    scale = float(n + 1)

    def equation(u, a, right):
        padded = torch.cat([torch.zeros(1, dtype=torch.float64), u, right.reshape(1)])
        return padded[2:] - 2 * padded[1:-1] + padded[:-2] - a * u**3 / scale**2

    diagonals = [np.ones(n - 1), -2 * np.ones(n), np.ones(n - 1)]
    laplacian = scipy.sparse.linalg.splu(scipy.sparse.diags(diagonals, [-1, 0, 1], format="csc"))
    preconditioner = scipy.sparse.linalg.LinearOperator((n, n), matvec=laplacian.solve)

    def linear_solver(linear, b):
        operator = scipy.sparse.linalg.LinearOperator((n, n), matvec=lambda v: linear(torch.from_numpy(v)).numpy(), dtype=float)
        v, failed = scipy.sparse.linalg.gmres(operator, b.numpy(), M=preconditioner, rtol=1e-9)
        assert not failed
        return torch.from_numpy(v)

    u0, a, right = torch.linspace(0, 1, n + 2, dtype=torch.float64)[1:-1], number(1.0), number(1.0)
    middle = root(equation, linear_solver=linear_solver)

    def f(a):
        return middle(u0, a, right)[n // 2]

    slope, step = grad(f)(a).item(), 1e-3
    assert slope == pytest.approx((f(a + step) - f(a - step)).item() / (2 * step), rel=1e-5)
    assert jvp(f, (a,), (number(1.0),))[1].item() == pytest.approx(slope, rel=1e-6)


def test_gmres_where_nothing_else_is_given():
    n = 700
    shift = torch.arange(n, dtype=torch.float64) / n

    def equation(x, a):
        return x + 0.2 * torch.sin(torch.roll(x, 1)) - a * shift

    x = root(equation)(shift, number(1.0))
    assert equation(x, number(1.0)).abs().max().item() < 1e-12
    slope = grad(lambda a: root(equation)(shift, a).sum())(number(1.0)).item()
    matrix = np.eye(n) + np.roll(np.diag(0.2 * np.cos(x.numpy())), 1, axis=0)
    assert slope == pytest.approx(np.linalg.solve(matrix, shift.numpy()).sum(), rel=1e-8)


def test_a_solver_of_ones_own():
    @implicit(lambda x, a: x**3 + x - a)
    def solve(a):
        """The real root of a cubic."""
        return torch.tensor(scipy.optimize.brentq(lambda x: x**3 + x - a.item(), -9, 9, xtol=1e-15), dtype=torch.float64)

    x = solve(number(2.0))
    assert x.item() == pytest.approx(1) and solve.__doc__ == "The real root of a cubic."
    assert grad(solve)(number(2.0)).item() == pytest.approx(1 / 4)
    assert grad(grad(solve))(number(2.0)).item() == pytest.approx(-6 / 4**3)

    def by_brentq(residual, x0):
        return torch.tensor(scipy.optimize.brentq(lambda x: residual(number(x)).item(), 0, 9, xtol=1e-15), dtype=torch.float64)

    assert grad(lambda a: root(lambda x, a: x * x - a, solver=by_brentq)(number(0.0), a))(number(4.0)).item() == pytest.approx(0.25)


def test_inside_vmap():
    a = vector(1.0, 2.0, 4.0)
    assert torch.allclose(vmap(lambda a: square_root(number(1.0), a))(a), torch.sqrt(a))
    assert torch.allclose(vmap(square_root)(a, a), torch.sqrt(a))
    assert torch.allclose(vmap(grad(lambda a: square_root(number(1.0), a)))(a), 0.5 / torch.sqrt(a))
    assert torch.allclose(grad(lambda a: vmap(lambda a: square_root(number(1.0), a))(a).sum())(a), 0.5 / torch.sqrt(a))
    assert torch.allclose(vmap(grad(grad(lambda a: square_root(number(1.0), a))))(a), -0.25 * a**-1.5)


def test_single_precision_and_complex_numbers():
    x = square_root(torch.tensor(1.0), torch.tensor(2.0))
    assert x.dtype is torch.float32 and x.item() == pytest.approx(math.sqrt(2), rel=1e-6)
    z = square_root(torch.tensor(1.0 + 1.0j, dtype=torch.complex128), torch.tensor(-4.0 + 0j, dtype=torch.complex128))
    assert z.item() == pytest.approx(2j)


# ---------------------------------------------------------------- what goes wrong
def test_no_convergence():
    with pytest.raises(RuntimeError, match=r"Newton's method has not found a root; the largest residual is"):
        root(lambda x, a: x * x + a)(number(1.0), number(2.0))
    with pytest.raises(RuntimeError, match=r"without coming to rest; .* find the same point with root"):
        fixed_point(lambda x, a: a * x + 1)(number(1.0), number(2.0))


def test_a_double_root_has_no_derivative():
    def f(a):
        return root(lambda x, a: x * x - a, solver=lambda residual, x0: x0 * 0)(number(1.0), a)

    with pytest.raises(RuntimeError, match="derivative of the equation by its 1 unknowns is singular"):
        grad(f)(number(0.0))


def test_unknowns_that_are_no_numbers():
    with pytest.raises(TypeError, match="x0 must give floating point or complex tensors"):
        square_root(torch.tensor(1), number(2.0))
    with pytest.raises(RuntimeError, match="solver= gave"):
        root(lambda x, a: x - a, solver=lambda residual, x0: (x0, x0))(number(1.0), number(2.0))
