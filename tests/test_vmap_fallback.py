"""What has no batching rule: run for one example after the other, right in every nesting, with one warning. And containers of users."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import ndgrad as torch
from ndgrad.autograd import gradgradcheck
from ndgrad.core import batching
from ndgrad.func import grad, hessian, jacfwd, jacrev, jvp, register_pytree_node, vjp, vmap
from ndgrad.ops.declare import primitives

ROWS = torch.tensor([[0.3, -1.2, 2.0], [1.5, 0.4, -0.7]], dtype=torch.float64)


def without_rule(patch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        patch.setattr(primitives[name], "batch", lambda *operands, **params: NotImplemented)
    patch.setattr(batching, "warned", set())


def test_a_loop_gives_what_a_rule_gives_and_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return (x.mv(torch.ones(3, dtype=torch.float64)) if x.dim() == 2 else torch.sort(x.sin()).values.cumprod(0)).sum()

    ways: list[Any] = [f, grad(f), jacfwd(f), hessian(f), lambda x: jvp(grad(f), (x,), (x,))[1]]
    expected = [vmap(way)(ROWS) for way in ways]
    around = grad(lambda rows: vmap(f)(rows).sum())(ROWS)
    without_rule(monkeypatch, "sort_along", "sort_stable", "recurrence", "cumprod_along")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [vmap(way)(ROWS) for way in ways]
        also = grad(lambda rows: vmap(f)(rows).sum())(ROWS)
        nested = vmap(vmap(grad(f)))(ROWS[None])[0]
    slow = [str(each.message) for each in caught]
    assert any("performance drop" in text and "batching rule for sort" in text for text in slow)
    assert len(slow) == len(set(slow)) <= 4  # one for each operation
    for one, other in zip([*found, also, nested], [*expected, around, expected[1]], strict=True):
        assert torch.allclose(one, other)


def test_without_examples_there_is_nothing_to_loop_over(monkeypatch: pytest.MonkeyPatch) -> None:
    without_rule(monkeypatch, "cumprod_along")
    with pytest.warns(UserWarning, match="performance drop"), pytest.raises(RuntimeError, match="without examples"):
        vmap(lambda x: x.cumprod(0))(ROWS[:0])


class Point:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


def test_containers_of_users_travel_through_transforms() -> None:
    register_pytree_node(Point, lambda point: ((point.x, point.y), None), lambda children, context: Point(*children))

    def f(point: Point) -> Any:
        return (point.x * point.y**2).sum()

    at = Point(ROWS[0], ROWS[1])
    by = grad(f)(at)
    assert isinstance(by, Point) and torch.allclose(by.x, at.y**2) and torch.allclose(by.y, 2 * at.x * at.y)
    assert torch.allclose(jvp(f, (at,), (Point(at.y, at.x),))[1], (at.y**3 + 2 * at.x**2 * at.y).sum())
    _, pull = vjp(lambda x: Point(x * 2, x**2), ROWS[0])
    assert torch.allclose(pull(Point(ROWS[1], ROWS[1]))[0], 2 * ROWS[1] + 2 * ROWS[0] * ROWS[1])
    jacobian = jacrev(lambda point: Point(point.x + point.y, point.x))(at)
    assert torch.equal(jacobian.x.y, torch.eye(3, dtype=torch.float64)) and not jacobian.y.y.any()
    rows = vmap(lambda point: Point(point.x.sum(), point.y))(Point(ROWS, ROWS))
    assert isinstance(rows, Point) and torch.allclose(rows.x, ROWS.sum(1))
    assert torch.allclose(vmap(f, in_dims=(Point(0, None),))(Point(ROWS, ROWS[0])), (ROWS * ROWS[0] ** 2).sum(1))


def test_second_derivatives_of_batches_are_checked() -> None:
    x = ROWS.clone().requires_grad_()
    assert gradgradcheck(lambda x: (x.sin() * x).sum(1), (x,), check_batched_grad=True)
