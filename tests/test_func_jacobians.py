"""Jacobians and Hessians: closed forms, both modes against each other, trees, chunks, nesting."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.func import grad, hessian, jacfwd, jacrev, jvp, vmap

X = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
M = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
BOTH = {"jacrev": jacrev, "jacfwd": jacfwd}


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("name", BOTH)
def test_shapes_and_values(name: str) -> None:
    jacobian: Callable[..., Any] = BOTH[name]
    assert torch.equal(jacobian(lambda x: x**3)(X), torch.diag(3 * X**2))
    assert torch.equal(jacobian(lambda x: M @ x)(X), M)
    assert torch.equal(jacobian(lambda x: (x**2).sum())(X), 2 * X)
    s = torch.tensor(2.0, dtype=torch.float64)
    assert jacobian(lambda s: s**3)(s).item() == 12 and torch.equal(jacobian(lambda s: s**3 * X)(s), 12 * X)
    found = jacobian(lambda m: m @ m.t())(M)
    i, j, k, c = np.indices((2, 2, 2, 3))
    m = M.numpy()
    np.testing.assert_allclose(found.numpy(), (i == k) * m[j, c] + (j == k) * m[i, c])
    assert jacobian(lambda x: x)(torch.ones(0)).shape == (0, 0) and jacobian(lambda x: x[:0])(X).shape == (0, 3)
    assert torch.equal(jacobian(lambda x: X)(X), torch.zeros(3, 3, dtype=torch.float64))
    assert jacobian(lambda x: x).__name__ == "<lambda>"


@pytest.mark.parametrize("name", BOTH)
def test_trees_and_argnums(name: str) -> None:
    jacobian: Callable[..., Any] = BOTH[name]
    y = torch.tensor([4.0, 5.0], dtype=torch.float64)

    def f(x: Any, tree: Any) -> Any:
        return {"a": x * tree["y"].sum(), "b": (tree["y"] ** 2, [x.sum()])}

    by_x, by_tree = jacobian(f, argnums=(0, 1))(X, {"y": y})["b"][0]
    assert torch.equal(by_x, torch.zeros(2, 3, dtype=torch.float64)) and torch.equal(by_tree["y"], torch.diag(2 * y))
    found = jacobian(f)(X, {"y": y})
    assert torch.equal(found["a"], 9 * torch.eye(3, dtype=torch.float64)) and torch.equal(found["b"][1][0], torch.ones_like(X))
    (only,) = jacobian(f, (1,))(X, {"y": y})["a"]
    assert torch.equal(only["y"], X[:, None].expand(3, 2))
    assert torch.equal(jacobian(f, -1)(X, {"y": y})["a"]["y"], only["y"])
    found, aux = jacobian(lambda x: (x * 2, {"sum": x.sum()}), has_aux=True)(X)
    assert torch.equal(found, 2 * torch.eye(3, dtype=torch.float64)) and aux["sum"].item() == 2 and not aux["sum"].requires_grad


@pytest.mark.parametrize("name", [*BOTH, "hessian"])
def test_refusals(name: str) -> None:
    jacobian: Any = {**BOTH, "hessian": hessian}[name]
    z = X[:2] * (1 + 1j)
    for call, message in (
        (lambda: jacobian(lambda x: x * x, argnums=2)(X), "Got argnum=2, but only 1 positional inputs"),
        (lambda: jacobian(lambda x: x * x, argnums=())(X), "argnums must be non-empty"),
        (lambda: jacobian(lambda z: z * z)(z), "Expected all inputs to be real but received complex tensor at flattened input idx: 0"),
        (lambda: jacobian(lambda x: x * 1j)(X), "Expected all outputs to be real but received complex tensor"),
        (lambda: jacobian(lambda x: 3)(X), "to return only tensors, got unsupported type <class 'int'>"),
        (lambda: jacobian(lambda x: None)(X), "to be a function that has non-empty output"),
    ):
        with pytest.raises(RuntimeError, match=message):
            call()
    with pytest.raises((RuntimeError, ValueError), match="floating point"):
        jacobian(lambda x: x * 2.0)(X.long())
    if name == "hessian":
        return
    with pytest.raises(RuntimeError, match="should be a tuple: "):
        jacobian(lambda x: x, has_aux=True)(X)
    with pytest.raises(RuntimeError, match="Expected tensors, got unsupported type"):
        jacobian(lambda x: (x, 3), has_aux=True)(X)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 100])
def test_chunks(chunk_size: int) -> None:
    f = lambda x: (x**3, (M @ x).reshape(2, 1))  # noqa: E731  one expression
    for one, other in zip(jacrev(f, chunk_size=chunk_size)(X), jacrev(f)(X), strict=True):
        assert torch.equal(one, other)
    if chunk_size == 1:  # no vmap: what would be refused in it works
        assert torch.equal(
            jacrev(lambda x: torch.stack([x[0] * float(x[0].detach()), x[1]]), chunk_size=1)(X)[0], torch.tensor([1.0, 0, 0])
        )
    with pytest.raises(ValueError, match="`chunk_size` should be greater than 0"):
        jacrev(f, chunk_size=0)


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(BOTH, repeat=2)))
def test_second_derivatives_in_every_order(outer: str, inner: str) -> None:
    first, second = BOTH[inner], BOTH[outer]
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)
    n = np.arange(4)
    expected = np.zeros((5, 5))
    v = x.numpy()
    expected[n, n] += 1200 * v[:-1] ** 2 - 400 * v[1:] + 2
    expected[n + 1, n + 1] += 200
    expected[n, n + 1] = expected[n + 1, n] = -400 * v[:-1]
    np.testing.assert_allclose(second(first(rosenbrock))(x).numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(hessian(rosenbrock)(x).numpy(), expected, atol=1e-10)
    found = second(first(lambda x: x**3 * x.sum()))(X)
    total = X.sum().item()
    i, j, k = np.indices((3, 3, 3))
    a = X.numpy()
    formula = (i == j) * (i == k) * 6 * a[i] * total + 3 * a[i] ** 2 * ((i == j).astype(float) + (i == k))
    np.testing.assert_allclose(found.numpy(), formula, atol=1e-12)
    np.testing.assert_allclose(hessian(lambda x: x**3 * x.sum())(X).numpy(), formula, atol=1e-12)


def test_operations_whose_forward_rule_is_transposed() -> None:
    """Inside a vmap inside a jvp they record what is common to all examples, and the jvp has to find it again."""
    expected = torch.tensor([[0.0, 3, -2], [3, 0, 1], [-2, 1, 0]], dtype=torch.float64)
    for f in (lambda x: x.prod(), lambda x: x.prod(0), lambda x: x.cumprod(0)[2], lambda x: x[0] * x[1] * x[2]):
        for outer, inner in itertools.product(BOTH.values(), repeat=2):
            assert torch.allclose(outer(inner(f))(X), expected)
            assert torch.allclose(vmap(outer(inner(f)))(torch.stack([X, X]))[1], expected)


def test_hessians_of_trees() -> None:
    y = torch.tensor([4.0, 5.0], dtype=torch.float64)
    found = hessian(lambda tree: (tree["x"] ** 2).sum() * tree["y"].prod())({"x": X, "y": y})
    assert torch.equal(found["x"]["x"], 40 * torch.eye(3, dtype=torch.float64))
    assert torch.equal(found["x"]["y"], 2 * X[:, None] * y.flip(0)) and torch.equal(found["y"]["x"], found["x"]["y"].t())
    ((by_both, _), _) = hessian(lambda x, y: x.prod() * y.sum(), argnums=(0, 1))(X, y)
    assert torch.equal(by_both, 9 * torch.tensor([[0.0, 3, -2], [3, 0, 1], [-2, 1, 0]]))


@pytest.mark.parametrize("name", BOTH)
def test_inside_other_transforms(name: str) -> None:
    jacobian: Callable[..., Any] = BOTH[name]
    points = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    expected = torch.stack([torch.diag(3 * x**2) for x in points])
    assert torch.equal(vmap(jacobian(lambda x: x**3))(points), expected)
    assert torch.equal(jvp(jacobian(lambda x: x**3), (X,), (X,))[1], torch.diag(6 * X**2))
    assert torch.allclose(grad(lambda x: jacobian(lambda y: y**3 * x)(x).sum())(X), 9 * X**2)
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    found = jacobian(lambda x: w**2 * x**2)(X)
    assert torch.autograd.grad(found.sum(), w)[0].item() == pytest.approx(2 * 2 * 2 * X.sum().item())
    with torch.no_grad():
        assert not jacobian(lambda x: w * x)(X).requires_grad
    assert torch.equal(vmap(hessian(lambda x: (x**3).sum()))(points), torch.stack([torch.diag(6 * x) for x in points]))
    leaf = X.clone().requires_grad_()
    third = torch.autograd.grad(hessian(lambda x: (x**4).sum())(leaf).sum(), leaf)[0]
    assert torch.allclose(third, 24 * X)


def test_random_functions_in_both_modes() -> None:
    torch.manual_seed(0)
    for _ in range(5):
        a, b = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
        f = lambda x, a=a, b=b: torch.softmax(b @ torch.tanh(a @ x), 0).cumsum(0)[::2]  # noqa: E731  one expression
        x = torch.randn(3, dtype=torch.float64)
        assert torch.allclose(jacrev(f)(x), jacfwd(f)(x))
        assert torch.allclose(jacfwd(jacfwd(f))(x), jacrev(jacrev(f))(x)) and torch.allclose(hessian(f)(x), jacfwd(jacrev(f))(x))
