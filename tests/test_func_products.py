"""Operators that multiply with derivatives, diagonals of Hessians, and the check against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.func import check_grad, grad, hessian, hessian_diag, hvp, jacfwd, jacobian_product, laplacian, linearize, vmap

X = torch.linspace(-1, 1, 6, dtype=torch.float64)
Y = torch.tensor([1.0, -2.0], dtype=torch.float64)


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def curve(x: Any) -> Any:
    return torch.stack([x.prod(), (x**3).sum(), torch.sin(x[0] * x[1]), x[2]])


# ---------------------------------------------------------------- operators
def test_products_with_a_jacobian() -> None:
    runs = []
    J = jacobian_product(lambda x: (runs.append(1), curve(x))[1], X)
    matrix = jacfwd(curve)(X)
    assert J.shape == (4, 6) and J.dtype == np.float64 and torch.equal(J.value, curve(X)) and repr(J) == "<4x6 Operator of float64>"
    for seed in range(3):
        torch.manual_seed(seed)
        t, g = torch.randn(6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
        assert torch.allclose(J(t), matrix @ t) and torch.allclose(J.transpose(g), g @ matrix)
        np.testing.assert_allclose(J.matvec(t.numpy()), (matrix @ t).numpy(), atol=1e-14)
        np.testing.assert_allclose(J.rmatvec(g.numpy()), (g @ matrix).numpy(), atol=1e-14)
    np.testing.assert_allclose(J.matmat(np.eye(6)), matrix.numpy(), atol=1e-14)
    assert runs == [1]


def test_products_of_trees() -> None:
    def f(tree: Any, scale: Any) -> Any:
        return {"a": tree["x"] * scale, "b": [(tree["x"] ** 2).sum()]}

    x, s = torch.tensor([1.0, 2.0, 3.0]), torch.tensor(2.0, dtype=torch.float64)
    J = jacobian_product(f, {"x": x}, s)
    assert J.shape == (4, 4) and J.dtype == np.float64
    found = J({"x": torch.ones(3)}, torch.tensor(1.0, dtype=torch.float64))
    assert found["a"].tolist() == [3, 4, 5] and found["b"][0].item() == 12
    by_tree, by_scale = J.transpose({"a": torch.ones(3, dtype=J.value["a"].dtype), "b": [torch.tensor(1.0)]})
    assert by_tree["x"].tolist() == [4, 6, 8] and by_scale.item() == 6
    matrix = np.array([[2, 0, 0, 1], [0, 2, 0, 2], [0, 0, 2, 3], [2, 4, 6, 0.0]])
    np.testing.assert_allclose(np.column_stack([J.matvec(e) for e in np.eye(4)]), matrix)
    np.testing.assert_allclose(np.column_stack([J.rmatvec(e) for e in np.eye(4)]), matrix.T)
    np.testing.assert_allclose(J.matmat(np.eye(4)), matrix)
    for wrong in ((torch.ones(3), s), ({"x": torch.ones(2)}, s), ({"x": 1.0}, s)):
        with pytest.raises(ValueError, match="the operator takes a"):
            J(*wrong)
    with pytest.raises(ValueError, match="Expected output to be floating point"):
        jacobian_product(lambda x: x > 0, X)


def test_products_with_a_hessian() -> None:
    H = hvp(rosenbrock, X)
    matrix = hessian(rosenbrock)(X)
    assert H.shape == (6, 6) and torch.allclose(H.value, grad(rosenbrock)(X)) and repr(H) == "<6x6 Hessian of float64>"
    for seed in range(3):
        torch.manual_seed(seed)
        t = torch.randn(6, dtype=torch.float64)
        assert torch.allclose(H(t), matrix @ t) and torch.allclose(H.transpose(t), matrix @ t)
        np.testing.assert_allclose(H.matvec(t.numpy()), (matrix @ t).numpy())
    np.testing.assert_allclose(H.matmat(np.eye(6)), matrix.numpy(), atol=1e-12)
    pair = hvp(lambda x, y: (x**2).sum() * y.prod(), X, Y)
    by_x, by_y = pair(torch.ones_like(X), torch.zeros_like(Y))
    assert torch.allclose(by_x, torch.full_like(X, -4)) and torch.allclose(by_y, 2 * X.sum() * Y.flip(0))


def test_operators_multiply_flat_vectors_and_matrices() -> None:
    torch.manual_seed(0)
    J, matrix = jacobian_product(curve, X), jacfwd(curve)(X)
    t, columns = torch.randn(6, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    assert torch.allclose(J @ t, matrix @ t) and torch.allclose(J @ columns, matrix @ columns)
    for array in (t.numpy(), columns.numpy()):
        found = J @ array
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, matrix.numpy() @ array, atol=1e-14)
    assert torch.allclose(grad(lambda t: (J @ t).sum())(t), matrix.sum(0))
    tree = hvp(lambda p: (p["a"] ** 2).sum() * p["b"].prod(), {"a": torch.ones(2, 1), "b": Y})
    #     by a: -4, 0;  by a and b: 2 a (-2, 1);  by b and a: the same;  by b: 0 and 2 beside each other
    expected = torch.tensor([[-4, 0, -4, 2], [0, -4, -4, 2], [-4, -4, 0, 2], [2, 2, 2, 0.0]])
    assert torch.allclose(tree @ torch.eye(4), expected.double()) and (tree @ torch.ones(4)).tolist() == [-6, -6, -6, 6]
    for wrong in (torch.ones(5), torch.ones(6, 2, 2), np.ones((3, 6)), 2.0):
        with pytest.raises(ValueError, match="other must be a vector of 6 elements or a matrix with so many rows"):
            J @ wrong


def test_products_with_what_needs_no_other_history() -> None:
    w = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    H = hvp(lambda x: w * (x**4).sum(), X)
    found = H(torch.ones_like(X))
    assert torch.allclose(torch.autograd.grad(found.sum(), w)[0], 12 * (X**2).sum())
    assert torch.allclose(vmap(hvp(rosenbrock, X))(torch.eye(6, dtype=torch.float64)), hessian(rosenbrock)(X))


def test_scipy_takes_them() -> None:
    linalg = pytest.importorskip("scipy.sparse.linalg")
    torch.manual_seed(0)
    A = torch.randn(30, 8, dtype=torch.float64)
    b = torch.randn(30, dtype=torch.float64)
    J = jacobian_product(lambda x: torch.tanh(A @ x) - b, torch.zeros(8, dtype=torch.float64))
    found = linalg.lsqr(J, -J.value.numpy(), atol=1e-12, btol=1e-12)[0]
    np.testing.assert_allclose(found, np.linalg.lstsq(A.numpy(), b.numpy(), rcond=None)[0], atol=1e-8)
    H = hvp(rosenbrock, X)
    dense = hessian(rosenbrock)(X).numpy()
    np.testing.assert_allclose(linalg.eigsh(H, k=1, which="SA")[0][0], np.linalg.eigvalsh(dense)[0])
    shifted = H.aslinearoperator() + linalg.aslinearoperator(1000 * np.eye(6))
    solution, flag = linalg.cg(shifted, np.ones(6), rtol=1e-10)
    assert flag == 0
    np.testing.assert_allclose(solution, np.linalg.solve(dense + 1000 * np.eye(6), np.ones(6)), rtol=1e-7)


# ---------------------------------------------------------------- diagonals
def test_diagonals_of_hessians() -> None:
    assert torch.allclose(hessian_diag(rosenbrock)(X), hessian(rosenbrock)(X).diagonal())
    found = hessian_diag(lambda x, tree: (x**3).sum() * tree["a"].prod() + (tree["b"][0] ** 4).sum(), argnums=1)(Y, {"a": X, "b": [Y]})
    assert torch.allclose(found["a"], torch.zeros_like(X), atol=1e-12) and torch.allclose(found["b"][0], 12 * Y**2)
    assert hessian_diag(lambda x: x**3)(torch.tensor(2.0)).item() == 12
    assert hessian_diag(lambda x: x.sum())(torch.zeros(0)).shape == (0,)
    x = X.clone().requires_grad_()
    third = torch.autograd.grad(hessian_diag(lambda x: (x**4).sum())(x).sum(), x)[0]
    assert torch.allclose(third, 24 * X)


def test_laplacians() -> None:
    """Of harmonic functions they are 0; in three dims that of |x|^n is n (n + 1) |x|^(n-2)."""
    point = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    assert laplacian(lambda x: 1 / x.norm())(point).item() == pytest.approx(0, abs=1e-12)
    assert laplacian(lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2)(point).item() == pytest.approx(0, abs=1e-12)
    assert laplacian(lambda x: x.norm() ** 5)(point).item() == pytest.approx(30 * 1.3**3)
    points = torch.stack([point, 2 * point])
    assert torch.allclose(vmap(laplacian(lambda x: (x**4).sum()))(points), 12 * (points**2).sum(1))


# ---------------------------------------------------------------- the check
class Wrong(torch.autograd.Function):
    """A cube whose derivatives are those of a square in one of the modes."""

    mode = "reverse"

    @staticmethod
    def forward(x: Any) -> Any:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * (2 * x if Wrong.mode == "reverse" else 3 * x**2)

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        (x,) = ctx.saved_tensors
        return t * (2 * x if Wrong.mode == "forward" else 3 * x**2)


class WithoutJvp(torch.autograd.Function):
    @staticmethod
    def forward(x: Any) -> Any:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * g * x**2


def test_right_derivatives_pass() -> None:
    assert 0 <= check_grad(curve, X) < 1e-8
    assert check_grad(lambda tree, n: {"a": tree["x"] ** n, "b": tree["i"]}, {"x": X, "i": torch.tensor([1])}, 3) < 1e-7
    assert check_grad(lambda z: torch.exp(z) * z.conj(), X[:3] * (1 + 2j)) < 1e-8
    assert check_grad(lambda x: torch.tanh(x) @ x, torch.linspace(-1, 1, 5)) < 1e-2
    assert check_grad(WithoutJvp.apply, X) < 1e-8


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_wrong_derivatives_do_not(mode: str) -> None:
    Wrong.mode = mode
    with pytest.raises(AssertionError, match=rf"in {mode} mode the derivative by argument 1\['x'\] along a random direction is"):
        check_grad(lambda y, tree: y.sum() + Wrong.apply(tree["x"]).sum(), Y, {"x": X})
    with pytest.raises(AssertionError, match="by argument 0 along"):
        check_grad(lambda x: x.detach() * 2, X)


def test_what_cannot_be_checked() -> None:
    with pytest.raises(ValueError, match="there is no floating point or complex tensor among the arguments"):
        check_grad(lambda x: x, torch.tensor([1]), 3.0)
    with pytest.raises(RuntimeError, match="to return only tensors"):
        check_grad(lambda x: (x, 3), X)


def test_functions_are_evaluated_once_however_often_their_derivatives_are_used() -> None:
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return (x**3).sum() + x.prod()

    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    _, push = linearize(f, x)
    assert all(push(t).item() == pytest.approx(grad_by_hand(x) @ t.numpy()) for t in torch.eye(3, dtype=torch.float64))
    assert len(calls) == 1
    operator = hvp(f, x)
    for t in torch.eye(3, dtype=torch.float64):
        operator(t)
        operator.matvec(t.numpy())
    assert len(calls) == 2


def grad_by_hand(x: Any) -> Any:
    values = x.numpy()
    return 3 * values**2 + values.prod() / values
