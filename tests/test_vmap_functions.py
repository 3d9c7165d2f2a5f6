"""Custom functions inside `vmap`: the `vmap` static method and generated rules, differentiated inside and outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad import Tensor, autograd
from ndgrad.func import grad, jvp, vmap


def rows(*shape: int) -> Tensor:
    return torch.arange(1.0, 1.0 + np.prod(shape), dtype=torch.float64).reshape(shape) * 0.25


def same(found: Tensor, expected: Tensor) -> None:
    assert tuple(found.shape) == tuple(expected.shape)
    np.testing.assert_allclose(np.asarray(found.tolist()), np.asarray(expected.tolist()), rtol=1e-12)


class Formula(autograd.Function):
    """sin(x) y^2, with everything that a context can do."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, power: int) -> tuple[Tensor, Tensor]:
        return x.sin() * y**power, (x > 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, y, ctx.power = inputs
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, _: Any) -> Any:
        x, y = ctx.saved_tensors
        if g is None:
            return None, None, None
        gx = g * x.cos() * y**ctx.power if ctx.needs_input_grad[0] else None
        gy = g * x.sin() * ctx.power * y ** (ctx.power - 1) if ctx.needs_input_grad[1] else None
        return gx, gy, None

    @staticmethod
    def jvp(ctx: Any, tx: Tensor | None, ty: Tensor | None, _: Any) -> Any:
        x, y = ctx.saved_tensors
        moved = torch.zeros_like(x * y)
        if tx is not None:
            moved = moved + tx * x.cos() * y**ctx.power
        if ty is not None:
            moved = moved + ty * x.sin() * ctx.power * y ** (ctx.power - 1)
        return moved, None


class Generated(Formula):
    generate_vmap_rule = True


class Written(Formula):
    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, y: Tensor, power: int) -> Any:
        assert info.batch_size in (2, 3) and info.randomness == "error"
        x, y = (each if dim is None else each.movedim(dim, 0) for each, dim in zip((x, y), in_dims, strict=False))
        return Written.apply(x, y, power), (0, 0)


def plain(x: Tensor, y: Tensor) -> Tensor:
    return x.sin() * y**2


DIMS = [(0, 0), (0, None), (None, 0), (1, 0), (-1, -1)]


@pytest.fixture(params=[Generated, Written], ids=lambda made: made.__name__)
def custom(request: pytest.FixtureRequest) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: request.param.apply(x, y, 2)[0]  # type: ignore[no-any-return]  # of whatever class it is


@pytest.mark.parametrize("dims", DIMS)
def test_in_every_nesting(custom: Callable[[Tensor, Tensor], Tensor], dims: Any) -> None:
    """What holds of the same formula written out holds of the custom function."""
    given = tuple(rows(3) if dim is None else rows(2, 3).movedim(0, dim) for dim in dims)
    tangents = tuple(torch.ones_like(each) * 0.5 for each in given)

    def total(f: Any) -> Any:
        return lambda x, y: (f(x, y) * rows(3)).sum()

    def around(f: Any) -> Any:
        return lambda x, y: vmap(total(f), dims)(x, y).pow(2).sum()

    def bent(f: Any) -> Any:
        return lambda x, y: grad(total(f))(x, y).pow(2).sum() + grad(total(f), 1)(x, y).sum()

    nestings: list[Callable[[Any], Any]] = [
        lambda f: vmap(f, dims)(*given),
        lambda f: vmap(grad(total(f)), dims)(*given),
        lambda f: vmap(grad(total(f), 1), dims)(*given),
        lambda f: grad(around(f))(*given),
        lambda f: grad(around(f), 1)(*given),
        lambda f: vmap(grad(bent(f)), dims)(*given),
        lambda f: grad(lambda x, y: vmap(bent(f), dims)(x, y).sum(), 1)(*given),
        lambda f: jvp(vmap(f, dims), given, tangents)[1],
        lambda f: vmap(lambda x, y: jvp(f, (x, y), (rows(3), rows(3)))[1], dims)(*given),
        lambda f: vmap(lambda x, y: jvp(lambda x: f(x, y), (x,), (rows(3),))[1], dims)(*given),
        lambda f: jvp(grad(around(f)), given, tangents)[1],
        lambda f: vmap(lambda x, y: jvp(grad(total(f)), (x, y), (rows(3), rows(3)))[1], dims)(*given),
    ]
    for nesting in nestings:
        same(nesting(custom), nesting(plain))


def test_nested_twice(custom: Callable[[Tensor, Tensor], Tensor], request: pytest.FixtureRequest) -> None:
    z = rows(2, 3, 3)
    cases: list[Any] = [((0, 0), (0, 0), (z, z))]
    if "Generated" in request.node.name:  # the rule written above does not line up dims
        cases += [((0, None), (None, 0), (z[0], z[:, 0])), ((None, 0), (0, None), (z[:, 0], z[0]))]
    for inner, outer, given in cases:
        for wrap in (lambda f: f, lambda f: grad(lambda x, y: f(x, y).sum()), lambda f: grad(lambda x, y: f(x, y).pow(2).sum(), 1)):
            both = [vmap(vmap(wrap(f), inner), outer)(*given) for f in (custom, plain)]
            same(*both)
    leaf = z.clone().requires_grad_()
    gradients = [autograd.grad(vmap(vmap(f))(leaf, leaf).sum(), leaf)[0] for f in (custom, plain)]
    same(*gradients)


def test_what_is_marked() -> None:
    x = rows(2, 3).requires_grad_()
    for made in (Generated, Written):
        value, mask = vmap(lambda a, made=made: made.apply(a, a, 2))(x)
        assert value.requires_grad and not mask.requires_grad and mask.dtype is torch.bool


def test_tensors_in_containers_are_told_by_their_dims() -> None:
    seen: list[Any] = []

    class Pairs(autograd.Function):
        @staticmethod
        def forward(x: Tensor, pair: Any) -> Tensor:
            return x * pair["k"][0]

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Tensor, pair: Any) -> Any:
            seen.append(in_dims)
            return x * pair["k"][0], 0

    x = rows(2, 3)
    same(vmap(lambda a: Pairs.apply(a, {"k": (a, None)}))(x), x * x)
    assert seen == [(0, {"k": (0, None)})]


def returning(result: Any, **members: Any) -> Any:
    found = {
        "forward": lambda x: x * 2,
        "setup_context": lambda ctx, inputs, output: None,
        "backward": lambda ctx, g: g * 2,
        "vmap": lambda info, in_dims, x: result(x),
    }
    made = {key: staticmethod(value) for key, value in found.items()}
    return type(autograd.Function)("Made", (autograd.Function,), {**made, **members})


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (returning(lambda x: x), "to have two returns"),
        (returning(lambda x: (x * 1, 0, 0)), "Got 3 returns instead"),
        (returning(lambda x: (x * 1, (0, 0))), r"returned an incompatible \(output, out_dims\) tuple. Expected out_dims=\(0, 0\)"),
        (returning(None, generate_vmap_rule=True), "both generate_vmap_rule=True and an overridden vmap staticmethod"),
        (returning(None, vmap=autograd.Function.vmap), "does not have vmap support"),
    ],
)
def test_errors(function: Any, match: str) -> None:
    for transformed in (vmap(function.apply), vmap(grad(lambda a: function.apply(a).sum())), vmap(lambda a: vmap(function.apply)(a[None]))):
        with pytest.raises(RuntimeError, match=match):
            transformed(rows(2, 3))


def test_a_gradient_of_another_shape() -> None:
    wrong = returning(
        None, vmap=autograd.Function.vmap, generate_vmap_rule=True, backward=staticmethod(lambda ctx, g: torch.ones(7, dtype=g.dtype))
    )
    with pytest.raises(RuntimeError, match=r"MadeBackward returned an invalid gradient at index 0 - got \[7\] but expected shape"):
        grad(lambda x: vmap(wrong.apply)(x).sum())(rows(2, 3))
