"""Forward mode in both libraries: duals, what operations do to their tangents, and both orders of forward over and under reverse."""

import pytest

from tests.oracle.both import PROGRAMS, agree, program, run


def dual_of(lib, *, requires_grad=True):
    forward = lib.autograd.forward_ad
    x = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=requires_grad)
    return forward, x, forward.make_dual(x, lib.tensor([1.0, 0.5], dtype=lib.float64))


def rounded(tensor, digits=10):
    """Elements without the last digits, in which two ways of computing the same may differ."""
    return [complex(round(part.real, digits), round(part.imag, digits)) for part in tensor.flatten().tolist()]


@program
def levels(lib, show, attempt):
    forward = lib.autograd.forward_ad
    x = lib.ones(2)
    show(forward._current_level)
    attempt(lambda: forward.make_dual(x, x))
    attempt(lambda: forward.exit_dual_level())
    show(forward.unpack_dual(x).tangent)
    show(forward.enter_dual_level(), forward._current_level)
    attempt(lambda: forward.enter_dual_level())
    attempt(lambda: forward.exit_dual_level(level=4))
    dual = forward.make_dual(x, x)
    show(forward.unpack_dual(dual).tangent)
    forward.exit_dual_level()
    show(forward._current_level, forward.unpack_dual(dual).tangent)
    with forward.dual_level() as level:
        show(level, forward.unpack_dual(dual).tangent, forward.unpack_dual(dual).primal.tolist())
    show(sorted(forward.__all__), forward.UnpackedDualTensor._fields)


@program
def which_tangents_are_written_to(lib, show, attempt):
    forward = lib.autograd.forward_ad
    parts = {
        "whole": lambda: lib.ones(3),
        "row": lambda: lib.ones(2, 3)[1],
        "column": lambda: lib.ones(3, 2)[:, 0],
        "steps": lambda: lib.ones(6)[::2],
        "half": lambda: lib.ones(6)[3:],
        "third": lambda: lib.ones(9)[:3],
        "doubles": lambda: lib.ones(6, dtype=lib.float64)[3:],
    }
    for name, part in parts.items():
        for other, tangent_of in parts.items():
            if (name == "doubles") != (other == "doubles"):
                continue
            x, t = part(), tangent_of()
            with forward.dual_level():
                forward.make_dual(x, t).mul_(2)
            show(name, other, x.tolist(), t.tolist())
            x, t = part(), tangent_of()
            lib.func.jvp(lambda x: x.mul_(2).sum(), (x,), (t,))
            show(name, other, x.tolist(), t.tolist())
    x = lib.ones(2, 3)[1]
    with forward.dual_level():
        forward.make_dual(x, x).mul_(2)
    show(x.tolist())


@program
def what_a_dual_is_made_of(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, x, dual = dual_of(lib)
        v = lib.ones(2, dtype=lib.float64)
        show(dual, dual._is_view(), dual._base is x, dual.is_leaf)
        show(forward.unpack_dual(dual).primal._is_view(), forward.unpack_dual(forward.make_dual(x, v)).tangent is v)
        for tensor, tangent in (
            (dual, v),
            (lib.tensor([1, 2]), v),
            (x, lib.tensor([1, 2])),
            (x, v[:1]),
            (x, lib.ones(2, 1)),
            (x, lib.ones(())),
        ):
            attempt(lambda tensor=tensor, tangent=tangent: forward.make_dual(tensor, tangent))
        attempt(lambda: forward.make_dual(x, v, level=3))
        show(forward.unpack_dual(forward.make_dual(x, v.float())).tangent)
        matrix = lib.arange(6.0).reshape(2, 3)
        show(forward.unpack_dual(forward.make_dual(matrix.t(), lib.ones(3, 2))).tangent.stride())
        show(forward.unpack_dual(forward.make_dual(matrix, matrix.t().clone().t())).tangent.stride())
        empty = lib.ones(0, 3)
        show(forward.unpack_dual(forward.make_dual(empty, empty).sin()).tangent)


@program
def operations(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, _x, dual = dual_of(lib, requires_grad=False)
        other = lib.tensor([[3.0, -1.0], [0.5, 2.0]], dtype=lib.float64)
        for function in (
            lambda: dual.sin(),
            lambda: dual * other,
            lambda: 2 / dual,
            lambda: dual @ other,
            lambda: dual.sum(),
            lambda: dual.prod(0),
            lambda: dual.max(),
            lambda: dual.softmax(0),
            lambda: lib.cat([dual, other[0], dual * 2]),
            lambda: lib.where(dual > 1.5, dual, dual * dual),
            lambda: dual.unsqueeze(0).expand(3, 2).t(),
            lambda: dual.float(),
            lambda: dual.to(lib.complex128),
            lambda: dual.flip(0).cumsum(0),
            lambda: dual[lib.tensor([1, 1, 0])],
            lambda: lib.nn.functional.mse_loss(dual, other[1]),
        ):
            out, tangent = forward.unpack_dual(function())
            show(out.dtype, tangent.dtype, out.shape, rounded(tangent), rounded(out))
        for function in (lambda: dual > 1, lambda: dual.detach(), lambda: dual.data, lambda: dual.int(), lambda: dual.argmax()):
            show(forward.unpack_dual(function()).tangent)
        for part in (*dual.unbind(), *dual.split(1), *lib.broadcast_tensors(dual, other)):
            show(forward.unpack_dual(part).tangent)


@program
def modes(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, _x, dual = dual_of(lib)
        with lib.no_grad():
            show(forward.unpack_dual(dual * 3))
        with lib.inference_mode():
            show(forward.unpack_dual(dual * 3).tangent)
        show(forward.unpack_dual(dual.requires_grad_()).tangent)


@program
def in_place(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, _x, dual = dual_of(lib, requires_grad=False)

        def tangent(tensor):
            found = forward.unpack_dual(tensor).tangent
            return None if found is None else found.tolist()

        z = dual.clone()
        kept = tangent(z)
        z.mul_(3)
        show(kept, tangent(z), tangent(dual))
        z[0] = 0
        show(tangent(z))
        z.exp_()
        show(tangent(z))
        z.copy_(lib.ones(2))
        show(tangent(z))
        w = lib.zeros(2, dtype=lib.float64)
        w[0] = dual[1]
        show(w.tolist(), tangent(w))
        w = lib.zeros(2, dtype=lib.float64)
        view = w.view(2, 1)
        view.copy_(dual.unsqueeze(1))
        show(tangent(w), tangent(view))
        a = dual.clone()
        b = a.view(2, 1)
        b.mul_(2)
        show(tangent(a), tangent(b))
        a.add_(dual)
        show(tangent(a), tangent(b))
        a.zero_()
        show(tangent(a), tangent(b))
        m = lib.stack([dual, dual * 2])
        m.t_()
        show(m.tolist(), tangent(m))
        m.masked_fill_(lib.tensor([[True, False], [False, False]]), 0.0)
        show(tangent(m))
        m.index_put_((lib.tensor([0]),), dual)
        show(tangent(m))
        v = lib.ones(2, dtype=lib.float64)
        direct = forward.make_dual(lib.ones(2, dtype=lib.float64), v)
        direct.mul_(4)
        show(v.tolist())


@program
def with_reverse(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, x, dual = dual_of(lib)
        y = (dual * dual).sin() * dual.exp()
        show(forward.unpack_dual(y).primal.tolist())
        for target in (x, dual):
            (g,) = lib.autograd.grad(y.sum(), target, retain_graph=True)
            show(g.tolist(), g.requires_grad, forward.unpack_dual(g).tangent.tolist())
        (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        show(forward.unpack_dual(g).tangent.tolist())
        (third,) = lib.autograd.grad(forward.unpack_dual(g).tangent.sum(), x, retain_graph=True)
        show(third.tolist())
        (mixed,) = lib.autograd.grad(forward.unpack_dual(y).tangent.sum(), x, retain_graph=True)
        show(mixed.tolist())
        y.sum().backward()
        show(x.grad.tolist())
    direction = lib.tensor([1.0, 0.5], requires_grad=True)
    with lib.autograd.forward_ad.dual_level():
        y = forward.make_dual(lib.tensor([1.0, 2.0]), direction).sin()
        forward.unpack_dual(y).tangent.sum().backward()
    show([round(part, 5) for part in direction.grad.tolist()])


@program
def complex_numbers(lib, show, attempt):
    forward = lib.autograd.forward_ad
    with forward.dual_level():
        z = forward.make_dual(lib.tensor([1 + 2j, -0.5j]), lib.tensor([1j, 2.0 + 0j]))
        parts = (lambda: z.real, lambda: z.exp().imag, lambda: lib.view_as_real(z))
        for function in (lambda: z * z, lambda: z.abs(), lambda: z.conj(), *parts):
            show(rounded(forward.unpack_dual(function()).tangent, 4))


def functions(lib):
    class Product(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_forward(x, y)
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

        @staticmethod
        def jvp(ctx, x_t, y_t):
            x, y = ctx.saved_tensors
            return x_t * y + x * y_t

    return Product


@program
def custom_functions(lib, show, attempt):
    Product = functions(lib)
    with lib.autograd.forward_ad.dual_level():
        forward, x, dual = dual_of(lib)
        out = Product.apply(dual, dual)
        show(forward.unpack_dual(out).tangent.tolist())
        (g,) = lib.autograd.grad(out.sum(), x, retain_graph=True)
        show(forward.unpack_dual(g).tangent.tolist())
        (g,) = lib.autograd.grad(forward.unpack_dual(out).tangent.sum(), x)
        show(g.tolist())
        show(forward.unpack_dual(Product.apply(x, x)).tangent)

        class WithoutJvp(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

        attempt(lambda: WithoutJvp.apply(dual))
        show(WithoutJvp.apply(x).tolist())
        results = (lambda t: (t, t), lambda t: 3, lambda t: t[:1], lambda t: t.double())
        for result in results:

            class Given(lib.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    return x * 2

                @staticmethod
                def jvp(ctx, t, result=result):
                    return result(t)

            attempt(lambda Given=Given: forward.unpack_dual(Given.apply(dual)).tangent)


@program
def what_jvp_is_given(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, x, dual = dual_of(lib)
        for materialize in (True, False):

            class Several(lib.autograd.Function):
                @staticmethod
                def forward(ctx, x, number, y, materialize=materialize):
                    ctx.set_materialize_grads(materialize)
                    return x * number, x + y

                @staticmethod
                def jvp(ctx, x_t, number_t, y_t):
                    show("jvp", x_t.tolist(), number_t, None if y_t is None else y_t.tolist(), lib.is_grad_enabled())
                    return x_t * 2, x_t

            show([forward.unpack_dual(out).tangent.tolist() for out in Several.apply(dual, 2, x)])


@program
def views_and_writes_of_custom_functions(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        forward, _x, dual = dual_of(lib, requires_grad=False)

        def make(forward_of, jvp_of):
            class Made(lib.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    return forward_of(ctx, x)

                @staticmethod
                def jvp(ctx, t):
                    return jvp_of(t)

            return Made

        def doubled(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        for forward_of, jvp_of in (
            (lambda ctx, x: x.view(2, 1), lambda t: t.view(2, 1)),
            (lambda ctx, x: x.view(2, 1), lambda t: t.clone().view(2, 1)),
            (lambda ctx, x: x, lambda t: t.view_as(t)),
            (lambda ctx, x: x, lambda t: t.clone()),
            (doubled, lambda t: t.mul_(2)),
            (doubled, lambda t: t * 2),
        ):
            attempt(lambda f=forward_of, j=jvp_of: forward.unpack_dual(make(f, j).apply(dual.clone())).tangent.tolist())


@program
def printed(lib, show, attempt):
    with lib.autograd.forward_ad.dual_level():
        _forward, _x, dual = dual_of(lib, requires_grad=False)
        show(repr(dual), repr(dual.float() * 2), dual.tolist())
    show(repr(dual))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_programs(function):
    import torch

    import ndgrad

    theirs, ours = run(function, torch), run(function, ndgrad)
    assert len(theirs) == len(ours), (theirs, ours)
    for one, other in zip(theirs, ours, strict=True):
        assert agree(one, other), f"torch: {one}\nndgrad: {other}"
