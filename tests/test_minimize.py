"""func.minimize against known minima, and what SciPy is given."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import ndgrad as torch
from ndgrad.func import hessian, minimize


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def bowl(x):
    """Convex, which dogleg wants, with its minimum where Rosenbrock's is."""
    return torch.cosh(x - 1).sum() + ((x[1:] - x[:-1]) ** 4).sum() - len(x)


FIRST = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", None]
SECOND = ["Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "dogleg", "trust-constr"]


@pytest.mark.parametrize("method", FIRST + SECOND)
def test_rosenbrock(method):
    f = bowl if method == "dogleg" else rosenbrock
    options = {"maxfun": 5000} if method == "TNC" else {"maxiter": 1000}
    result = minimize(f, vector(-1.2, 1.0, 0.5), method=method, tol=1e-6 if method in SECOND else 1e-12, options=options)
    assert torch.allclose(result.x, torch.ones(3, dtype=torch.float64), atol=2e-4)
    assert result.x.dtype is torch.float64 and result.fun < 1e-8
    if method != "trust-constr":
        assert result.jac.shape == (3,) and result.jac.abs().max().item() < 1e-2


@pytest.mark.parametrize("method", ["Nelder-Mead", "COBYQA"])
def test_methods_without_derivatives(method):
    result = minimize(rosenbrock, vector(-1.0, 1.0), method=method, tol=1e-9, options={"maxiter": 2000})
    assert torch.allclose(result.x, torch.ones(2, dtype=torch.float64), atol=1e-4)


@pytest.mark.parametrize("method", SECOND)
@pytest.mark.parametrize("form", ["product", "dense", "sparse"])
def test_forms_of_the_hessian(method, form):
    if method in ("trust-exact", "dogleg") and form != "dense":
        with pytest.raises(ValueError, match=f"the method {method} factorizes the Hessian"):
            minimize(rosenbrock, vector(0.9, 0.9, 0.9), method=method, hessian=form)
        return
    result = minimize(bowl if method == "dogleg" else rosenbrock, vector(0.9, 0.9, 0.9), method=method, hessian=form, tol=1e-6)
    assert torch.allclose(result.x, torch.ones(3, dtype=torch.float64), atol=1e-4)


def test_many_unknowns_with_a_sparse_hessian():
    n = 2000
    result = minimize(rosenbrock, torch.full((n,), 0.9, dtype=torch.float64), method="trust-ncg", hessian="sparse", tol=1e-8)
    assert result.success and torch.allclose(result.x, torch.ones(n, dtype=torch.float64), atol=1e-6)


def test_the_function_runs_once_for_value_and_gradient():
    points = []

    def f(x):
        points.append(tuple(x.tolist()))
        return (x * x).sum()

    result = minimize(f, vector(3.0, 4.0), method="BFGS")
    assert result.x.tolist() == pytest.approx([0, 0], abs=1e-8)
    assert len(points) == result.nfev == len(set(points))


def test_trees_and_further_arguments():
    A = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)

    def f(p, A, shift):
        v = p["v"] - shift
        return v @ A @ v + (p["s"][0] - 3).square().sum()

    x0 = {"v": torch.zeros(2, dtype=torch.float64), "s": [torch.zeros(2, 2)]}
    result = minimize(f, x0, (A, 1.5), method="trust-ncg", tol=1e-9)
    assert result.x["v"].tolist() == pytest.approx([1.5, 1.5])
    assert result.x["s"][0].shape == (2, 2) and result.x["s"][0].dtype is torch.float32
    assert torch.allclose(result.x["s"][0], torch.full((2, 2), 3.0))
    assert result.jac["v"].shape == (2,)
    assert minimize(lambda x, a: (x - a) ** 2, torch.tensor(0.0), 2.0).x.item() == pytest.approx(2)


def test_bounds():
    target = vector(2.0, -3.0)

    def f(x):
        return (x - target).square().sum()

    for bounds in (
        [(0, 1), (-1, None)],
        (vector(0.0, -1.0), vector(1.0, 9.0)),
        scipy.optimize.Bounds([0, -1], [1, np.inf]),
    ):
        assert minimize(f, torch.zeros(2, dtype=torch.float64), bounds=bounds).x.tolist() == pytest.approx([1, -1])
    assert minimize(f, torch.zeros(2, dtype=torch.float64), bounds=(-1, 1)).x.tolist() == pytest.approx([1, -1])

    def g(p):
        return (p["a"] - 2).square().sum() + (p["b"] + 3).square()

    x0 = {"a": torch.zeros(3, dtype=torch.float64), "b": torch.tensor(0.0, dtype=torch.float64)}
    found = minimize(g, x0, bounds={"a": (0, vector(1.0, 1.5, 9.0)), "b": (-1, None)}).x
    assert found["a"].tolist() == pytest.approx([1, 1.5, 2], abs=1e-6) and found["b"].item() == pytest.approx(-1)
    with pytest.raises(ValueError, match="a pair \\(low, high\\) for each leaf"):
        minimize(g, x0, bounds={"a": 1, "b": (-1, None)})


def on_circle(x):
    return (x * x).sum() - 2


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_constraints(method):
    """The smallest sum on a circle of radius sqrt 2 and above a line."""
    x0, f = vector(-0.5, -1.5), lambda x: x.sum()
    result = minimize(f, x0, method=method, constraints={"type": "eq", "fun": on_circle}, tol=1e-10)
    assert result.x.tolist() == pytest.approx([-1, -1], abs=1e-5)
    nonlinear = scipy.optimize.NonlinearConstraint(on_circle, 0, 0)
    above = scipy.optimize.LinearConstraint(np.array([[0.0, 1.0]]), -0.5, np.inf)
    result = minimize(f, vector(-1.0, -0.2), method=method, constraints=[nonlinear, above], tol=1e-10)
    assert result.x.tolist() == pytest.approx([-np.sqrt(1.75), -0.5], abs=1e-5)
    several = {"type": "ineq", "fun": lambda x, low: torch.stack([x[0] - low, x[1] + 0.25]), "args": (0.5,)}
    assert minimize(f, vector(1.0, 1.0), method=method, constraints=several).x.tolist() == pytest.approx([0.5, -0.25], abs=1e-3)


def test_callback_and_methods_of_ones_own():
    seen = []

    def callback(x):
        seen.append(x)
        if len(seen) == 3:
            raise StopIteration

    minimize(rosenbrock, vector(-1.0, 1.0), method="BFGS", callback=callback)
    assert len(seen) == 3 and isinstance(seen[0], torch.Tensor) and seen[0].shape == (2,)

    def newton(fun, x0, jac, hessp, **others):
        matrix = np.stack([hessp(x0, column) for column in np.eye(len(x0))])
        x = x0 - np.linalg.solve(matrix, jac(x0))
        return scipy.optimize.OptimizeResult(x=x, fun=fun(x))

    found = minimize(lambda x: (x * x).sum() + x[0] * x[1] - x[0], vector(5.0, 6.0), method=newton).x
    assert found.tolist() == pytest.approx([2 / 3, -1 / 3])


def test_parameters_outside_are_left_alone():
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x0 = vector(1.0, 2.0).requires_grad_()
    result = minimize(lambda x: scale * (x - 1).square().sum(), x0, method="trust-ncg", tol=1e-10)
    assert result.x.tolist() == pytest.approx([1, 1]) and scale.grad is None and x0.grad is None and x0.tolist() == [1, 2]


def test_uncertainties_of_a_fit():
    """The inverse Hessian of a least-squares fit of a line is known."""
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    y = 2 * t + 1 + 0.1 * torch.sin(40 * t)

    def misfit(p):
        return 0.5 * ((p[0] * t + p[1] - y) / 0.1).square().sum()

    result = minimize(misfit, torch.zeros(2, dtype=torch.float64), method="trust-exact")
    design = np.stack([t.numpy(), np.ones(11)], axis=1)
    np.testing.assert_allclose(result.x.numpy(), np.linalg.lstsq(design, y.numpy(), rcond=None)[0], rtol=1e-9)
    np.testing.assert_allclose(hessian(misfit)(result.x).numpy(), design.T @ design / 0.01, rtol=1e-12)


def test_mistakes():
    with pytest.raises(ValueError, match="hessian= must be one of 'auto', 'product', 'dense', 'sparse', None, and is 'full'"):
        minimize(rosenbrock, vector(1.0, 2.0), hessian="full")
    with pytest.raises(ValueError, match=r"a tensor of no dims, a scalar, and returned one of shape \[2\]"):
        minimize(lambda x: x * x, vector(1.0, 2.0))
    with pytest.raises(ValueError, match="returned one a float"):
        minimize(lambda x: 1.0, vector(1.0, 2.0))
    with pytest.raises(ValueError, match="x0 must be real"):
        minimize(rosenbrock, vector(1.0, 2.0) + 0j)
    with pytest.raises(ValueError, match="x0 has no elements"):
        minimize(rosenbrock, [])
    with pytest.raises(ValueError, match="Unknown solver"):
        minimize(rosenbrock, vector(1.0, 2.0), method="simplex")
