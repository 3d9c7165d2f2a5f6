"""Transforms inside transforms: every order of reverse and forward mode, three deep, against closed forms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

import ndgrad as torch
from ndgrad.autograd import forward_ad
from ndgrad.func import grad, grad_and_value, hessian, jacrev, jvp, linearize, vjp, vmap

Scalar = Callable[[Any], Any]


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def by_grad(f: Scalar) -> Scalar:
    return grad(f)


def by_vjp(f: Scalar) -> Scalar:
    def derivative(x: Any) -> Any:
        y, pull = vjp(f, x)
        return pull(torch.ones_like(y))[0]

    return derivative


def by_jvp(f: Scalar) -> Scalar:
    return lambda x: jvp(f, (x,), (torch.ones_like(x),))[1]


def by_linearize(f: Scalar) -> Scalar:
    return lambda x: linearize(f, x)[1](torch.ones_like(x))


def by_autograd(f: Scalar) -> Scalar:
    def derivative(x: Any) -> Any:
        x = x.detach().requires_grad_() if not x.requires_grad else x
        return torch.autograd.grad(f(x), x, create_graph=True)[0]

    return derivative


def by_duals(f: Scalar) -> Scalar:
    def derivative(x: Any) -> Any:
        with forward_ad.dual_level():
            found = forward_ad.unpack_dual(f(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
            assert found is not None
            return found

    return derivative


WAYS = {"grad": by_grad, "vjp": by_vjp, "jvp": by_jvp, "linearize": by_linearize}
THREE = list(itertools.product(WAYS, repeat=3))


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(x: Any) -> Any:
        return x * x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        (x,) = ctx.saved_tensors
        return t * 3 * x * x


def written(x: Any) -> Any:
    y = x * 1
    y.mul_(x)
    y[...] = y.clone() * x
    return y * x


def joined(x: Any) -> Any:
    buffer = torch.zeros(3, dtype=torch.float64)
    buffer[0] = x * x
    buffer[1:] += x
    return buffer.prod()


#: Functions of one number, and their third derivatives.
FUNCTIONS: dict[str, tuple[Scalar, Callable[[float], float]]] = {
    "sin": (torch.sin, lambda x: -math.cos(x)),
    "exp of 2x": (lambda x: torch.exp(2 * x), lambda x: 8 * math.exp(2 * x)),
    "power": (lambda x: x**5, lambda x: 60 * x * x),
    "quotient": (lambda x: 1 / x, lambda x: -6 / x**4),
    "custom": (lambda x: Cube.apply(x) * x, lambda x: 24 * x),
    "in place": (written, lambda x: 24 * x),
    "writes": (joined, lambda x: 24 * x),
    "matrix": (lambda x: torch.linalg.det(torch.stack([x, x * x, x * x, x]).reshape(2, 2)), lambda x: -24 * x),
    "sum": (lambda x: (x * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).pow(4).sum(), lambda x: 24 * 98 * x),
}


@pytest.mark.parametrize("way", THREE, ids="-".join)
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "matrix" or hasattr(torch.linalg, "det")])
def test_third_derivatives(name: str, way: tuple[str, ...]) -> None:
    f, expected = FUNCTIONS[name]
    for each in way:
        f = WAYS[each](f)
    for x in (0.7, -1.3):
        found = f(number(x))
        assert found.item() == pytest.approx(expected(x), rel=1e-12)
        assert not found.requires_grad and found.grad_fn is None


@pytest.mark.parametrize("way", THREE, ids="-".join)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference"])
def test_third_derivatives_where_nothing_is_recorded(way: tuple[str, ...], mode: Any) -> None:
    f, expected = FUNCTIONS["power"]
    for each in way:
        f = WAYS[each](f)
    with mode():
        found = f(number(0.7))
        assert not torch.is_grad_enabled()
    assert found.item() == pytest.approx(expected(0.7), rel=1e-12) and not found.requires_grad


@pytest.mark.parametrize("outer", WAYS)
@pytest.mark.parametrize("inner", WAYS)
def test_no_perturbation_is_confused(outer: str, inner: str) -> None:
    """d/dx [x * d/dy (x + y)] is 1, not 2; and d/dx [x * d/dy (x * y)] is 2 x."""
    for y in (2.0, None):
        f = WAYS[outer](lambda x, y=y: x * WAYS[inner](lambda z: x + z)(x if y is None else number(y)))
        assert f(number(3.0)).item() == 1
        f = WAYS[outer](lambda x, y=y: x * WAYS[inner](lambda z: x * z)(x if y is None else number(y)))
        assert f(number(3.0)).item() == 6


@pytest.mark.parametrize("way", THREE, ids="-".join)
def test_three_variables_one_inside_the_other(way: tuple[str, ...]) -> None:
    """d/dx (x^2 d/dy (x y^2 d/dz (x y z^3))) at z = y and y = x."""
    outer, middle, inner = (WAYS[each] for each in way)

    def of_y(x: Any, y: Any) -> Any:
        return x * y**2 * inner(lambda z: x * y * z**3)(y)  # 3 x^2 y^5

    f = outer(lambda x: x**2 * middle(lambda y: of_y(x, y))(x))  # x^2 * 15 x^6
    assert f(number(1.1)).item() == pytest.approx(120 * 1.1**7, rel=1e-12)


@pytest.mark.parametrize("way", list(itertools.product(WAYS, repeat=2)), ids="-".join)
def test_captured_tensors_get_gradients(way: tuple[str, ...]) -> None:
    w = number(2.0).requires_grad_()
    f = WAYS[way[0]](WAYS[way[1]](lambda x: w**2 * x**3))
    found = f(number(1.5))
    assert found.requires_grad and found.item() == pytest.approx(36)
    (slope,) = torch.autograd.grad(found, w, create_graph=True)
    assert slope.item() == pytest.approx(36)
    assert torch.autograd.grad(slope, w)[0].item() == pytest.approx(18)
    found = f(number(1.5))
    found.backward()
    assert w.grad is not None and w.grad.item() == pytest.approx(36)
    with torch.no_grad():
        assert not f(number(1.5)).requires_grad


@pytest.mark.parametrize("way", list(itertools.product(WAYS, repeat=2)), ids="-".join)
def test_arguments_that_require_grad(way: tuple[str, ...]) -> None:
    x = number(0.5).requires_grad_()
    found = WAYS[way[0]](WAYS[way[1]](lambda y: y**4))(x)
    (slope,) = torch.autograd.grad(found, x)
    assert slope.item() == pytest.approx(12) and x.grad is None
    y = x * 2
    found = WAYS[way[0]](WAYS[way[1]](lambda z: z**4 * y))(y)
    assert torch.autograd.grad(found, x)[0].item() == pytest.approx(36 * 2)


@pytest.mark.parametrize("inner", WAYS)
def test_transforms_inside_what_users_write(inner: str) -> None:
    f = WAYS[inner](lambda x: x**4)
    assert by_autograd(f)(number(0.5)).item() == pytest.approx(12 * 0.25)
    assert by_duals(f)(number(0.5)).item() == pytest.approx(12 * 0.25)
    assert by_duals(WAYS[inner](lambda x: x**5))(number(0.5)).item() == pytest.approx(20 * 0.125)


@pytest.mark.parametrize("outer", WAYS)
def test_what_users_write_inside_transforms(outer: str) -> None:
    def with_grad(x: Any) -> Any:
        x = x * 1
        if not x.requires_grad:
            x.requires_grad = True
        return torch.autograd.grad(x**4, x, create_graph=True)[0]

    assert WAYS[outer](with_grad)(number(0.5)).item() == pytest.approx(3)
    assert WAYS[outer](by_duals(lambda x: x**4))(number(0.5)).item() == pytest.approx(3)
    if outer in ("grad", "vjp", "linearize"):  # recorded without create_graph: a constant
        constant = lambda x: torch.autograd.grad(x**4, x)[0] * x  # noqa: E731  one expression
        assert WAYS[outer](constant)(number(0.5)).item() == pytest.approx(0.5)


@pytest.mark.parametrize("outer", WAYS)
@pytest.mark.parametrize("inner", WAYS)
def test_what_no_grad_inside_means(outer: str, inner: str) -> None:
    """Reverse mode does not see what is done in no_grad, forward mode does."""
    recording = outer != "jvp"

    def f(x: Any) -> Any:
        with torch.no_grad():
            c = WAYS[inner](lambda y: y**3)(x)
        return c * x

    assert WAYS[outer](f)(number(2.0)).item() == pytest.approx(12 if recording else 36)


@pytest.mark.parametrize("way", THREE, ids="-".join)
def test_tangents_that_are_differentiated(way: tuple[str, ...]) -> None:
    """The tangent, and the cotangent, are what an outer transform differentiates by: there they are linear."""
    outer, _, inner = way
    slope = WAYS[outer](lambda t: jvp(WAYS[inner](lambda x: x**3), (number(2.0),), (t * t,))[1])(number(5.0))
    assert slope.item() == pytest.approx(12 * 10)
    slope = WAYS[outer](lambda t: vjp(WAYS[inner](lambda x: x**3), number(2.0))[1](t * t)[0])(number(5.0))
    assert slope.item() == pytest.approx(12 * 10)
    slope = WAYS[outer](lambda t: linearize(WAYS[inner](lambda x: x**3), number(2.0))[1](t * t))(number(5.0))
    assert slope.item() == pytest.approx(12 * 10)


@pytest.mark.parametrize("outer", WAYS)
def test_linear_functions_used_elsewhere_than_they_were_made(outer: str) -> None:
    x = number(2.0)
    _, pull = vjp(lambda y: y**3, x)
    _, push = linearize(lambda y: y**3, x)
    for linear in (lambda t: pull(t)[0], push):
        assert WAYS[outer](lambda t, linear=linear: linear(t) * t)(number(5.0)).item() == pytest.approx(12 * 10)
        t = number(5.0).requires_grad_()
        assert torch.autograd.grad(linear(t), t)[0].item() == pytest.approx(12)
        with torch.no_grad():
            assert not linear(t).requires_grad

    def leaving(y: Any) -> Any:
        _, pull = vjp(lambda z: z**3 * y, y)
        _, push = linearize(lambda z: z**3 * y, y)
        return pull(torch.ones_like(y))[0] + push(torch.ones_like(y))

    assert WAYS[outer](leaving)(x).item() == pytest.approx(2 * 9 * 4)


def test_values_and_aux_lead_outside_as_well() -> None:
    w = number(3.0).requires_grad_()
    gradient, (value, aux) = grad_and_value(lambda x: (w * x, {"twice": 2 * x, "w": w * w}), has_aux=True)(number(2.0))
    assert gradient.requires_grad and value.requires_grad and not aux["twice"].requires_grad
    assert torch.autograd.grad(value, w)[0].item() == 2 and torch.autograd.grad(aux["w"], w)[0].item() == 6
    assert torch.autograd.grad(gradient, w)[0].item() == 1

    def total(y: Any) -> Any:
        gradient, (value, aux) = grad_and_value(lambda x: (y * x**2, x * y), has_aux=True)(y)
        return gradient + value + aux  # 2 y^2 + y^3 + y^2

    for way in WAYS.values():
        assert way(total)(number(2.0)).item() == pytest.approx(6 * 2 + 3 * 4)


def test_what_is_left_behind_is_dead() -> None:
    """A result with a history outside is not kept from being released by handles of transforms that are over."""
    found = grad(lambda x: grad(lambda y: (x * y) ** 2)(number(3.0)))(number(2.0))
    assert found.item() == 2 * 2 * 3 * 2 and not found.requires_grad
    assert grad(lambda x: vjp(lambda y: (x * y) ** 2, number(3.0))[1](x)[0])(number(2.0)).item() == 3 * 2 * 4 * 3


@pytest.mark.parametrize("argnums", [0, (0, 1)])
def test_a_gradient_that_is_zero_has_room_for_each_example(argnums: Any) -> None:
    """Whether nothing depends on the argument or something else does: what differs between examples can be added to it."""

    def f(row: Any) -> Any:
        found = grad(lambda a, b: b.sum(), argnums)(row, row)
        g = found[0] if isinstance(argnums, tuple) else found
        g += row
        return g

    rows = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(vmap(f)(rows), rows)


def test_hooks_belong_to_the_call_inside_which_they_were_registered() -> None:
    """A transform around it runs over the same nodes, for derivatives of what the hook made of the gradient, not for the hook."""

    def hooked(x: Any) -> Any:
        y = x * 2
        if y.requires_grad:  # not in forward mode
            y.register_hook(lambda g: 3 * g)
            y.grad_fn.register_prehook(lambda gs: (2 * gs[0],))
            y.grad_fn.register_hook(lambda given, arrived: tuple(g if g is None else g * 5 for g in given))
        return y * x

    x = number(1.5)
    assert grad(hooked)(x).item() == 2 * 30 * 1.5 + 2 * 1.5
    assert vjp(hooked, x)[1](number(1.0))[0].item() == 2 * 30 * 1.5 + 2 * 1.5
    for name, way in WAYS.items():
        assert way(grad(hooked))(x).item() == 62, name
    assert hessian(hooked)(x).item() == 62
    assert linearize(hooked, x)[1](number(1.0)).item() == 6  # a tangent, though it is computed by backward passes
    w = number(2.0).requires_grad_()
    calls: list[Any] = []
    grad(lambda x: (w.register_hook(calls.append), w * x * x)[1])(x).backward()
    assert len(calls) == 1  # on a tensor from outside, it is one for the outside


def test_a_jacobian_inside_forward_mode_keeps_no_history() -> None:
    x = torch.tensor([1.0, 2.0])
    for f in (jacrev(lambda a: a**2), hessian(lambda a: (a**3).sum()), jacrev(lambda a: a**2, chunk_size=1)):
        assert not any(result.requires_grad for result in jvp(f, (x,), (x,)))
    w = number(3.0).requires_grad_()
    value, tangent = jvp(jacrev(lambda a: w * a**2), (x,), (x,))
    assert torch.autograd.grad(value.sum(), w, retain_graph=True)[0].item() == 6 and torch.autograd.grad(tangent.sum(), w)[0].item() == 6
