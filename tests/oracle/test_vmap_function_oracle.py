"""Programs of custom functions inside `vmap`, run by both libraries: the `vmap` static method, generated rules, every error."""

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.test_vmap_autograd_oracle import jacobian
from tests.oracle.test_vmap_oracle import refused


def numbers(values):
    values = values if isinstance(values, (tuple, list)) else (values,)
    return [value if value is None else (value.tolist(), tuple(value.shape), str(value.dtype), value.requires_grad) for value in values]


def rows(torch, count=2, width=3):
    return torch.arange(1.0, 1.0 + count * width, dtype=torch.float64).reshape(count, width)


def made(torch, name="Custom", **members):
    """A custom function; its methods static."""
    found = {key: staticmethod(value) if callable(value) else value for key, value in members.items()}
    return type(torch.autograd.Function)(name, (torch.autograd.Function,), found)


def saving(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def product_backward(ctx, g):
    x, y = ctx.saved_tensors
    return g * y, g * x


def product_jvp(ctx, tx, ty):
    x, y = ctx.saved_tensors
    return tx * y + x * ty


def both_saved(ctx, inputs, output):
    ctx.save_for_backward(*inputs)
    ctx.save_for_forward(*inputs)


def generated_product(torch):
    return made(
        torch,
        "Product",
        forward=lambda x, y: x * y,
        setup_context=both_saved,
        backward=product_backward,
        jvp=product_jvp,
        generate_vmap_rule=True,
    )


def written_product(torch, show=lambda *values: None):
    def vmap(info, in_dims, x, y):
        show(type(info).__name__, info.batch_size, info.randomness, in_dims)
        x = x.movedim(in_dims[0], 0) if in_dims[0] is not None else x
        y = y.movedim(in_dims[1], 0) if in_dims[1] is not None else y
        return function.apply(x, y), 0

    function = made(
        torch, "Product", forward=lambda x, y: x * y, setup_context=both_saved, backward=product_backward, jvp=product_jvp, vmap=vmap
    )
    return function


def uses(torch, function, show, attempt):
    """A function of two vectors in all transforms."""
    func = torch.func
    x, y = rows(torch), rows(torch).flip(1)
    ones = torch.ones(3, dtype=torch.float64)
    for dims, given in (((0, 0), (x, y)), ((0, None), (x, y[0])), ((None, 0), (x[0], y)), ((1, 1), (x.T.contiguous(), y.T))):
        attempt(lambda dims=dims, given=given: numbers(func.vmap(function.apply, in_dims=dims)(*given)))

        def total(a, b):
            return (function.apply(a, b) * ones.cumsum(0)).sum()

        attempt(lambda dims=dims, given=given: numbers(func.vmap(func.grad(total, argnums=(0, 1)), in_dims=dims)(*given)))
        attempt(
            lambda dims=dims, given=given: numbers(
                func.grad(lambda a, b: func.vmap(total, in_dims=dims)(a, b).sum(), argnums=(0, 1))(*given)
            )
        )
        attempt(
            lambda dims=dims, given=given: numbers(
                func.vmap(func.grad(lambda a, b: func.grad(total)(a, b).pow(2).sum(), argnums=(0, 1)), in_dims=dims)(*given)
            )
        )
        attempt(
            lambda dims=dims, given=given: numbers(
                func.grad(lambda a, b: func.vmap(func.grad(total), in_dims=dims)(a, b).pow(2).sum(), argnums=(0, 1))(*given)
            )
        )
        attempt(
            lambda dims=dims, given=given: numbers(func.vmap(lambda a, b: func.jvp(total, (a, b), (ones, ones))[1], in_dims=dims)(*given))
        )
        attempt(
            lambda dims=dims, given=given: numbers(
                func.vmap(lambda a, b: func.jvp(lambda a: total(a, b), (a,), (ones,))[1], in_dims=dims)(*given)
            )
        )
        attempt(
            lambda dims=dims, given=given: numbers(
                func.jvp(func.vmap(total, in_dims=dims), given, tuple(torch.ones_like(each) for each in given))[1]
            )
        )
        leaves = [each.clone().requires_grad_() for each in given]
        attempt(lambda dims=dims, leaves=leaves: numbers(torch.autograd.grad(func.vmap(total, in_dims=dims)(*leaves).sum(), leaves)))
        attempt(
            lambda dims=dims, leaves=leaves: numbers(
                torch.autograd.grad(
                    torch.autograd.grad(func.vmap(total, in_dims=dims)(*leaves).pow(2).sum(), leaves, create_graph=True)[0].sum(), leaves
                )
            )
        )
    z = torch.arange(12.0, dtype=torch.float64).reshape(2, 2, 3)
    attempt(lambda: numbers(func.vmap(func.vmap(function.apply))(z, z + 1)))
    attempt(lambda: numbers(func.vmap(func.vmap(function.apply, in_dims=(0, None)), in_dims=(0, None))(z, z[0, 0])))
    attempt(lambda: numbers(func.vmap(func.vmap(function.apply, in_dims=(None, 0)), in_dims=(0, None))(z[0], z[1])))
    attempt(
        lambda: numbers(
            func.vmap(
                func.vmap(func.grad(lambda a, b: function.apply(a, b).pow(2).sum(), argnums=(0, 1)), in_dims=(None, 0)), in_dims=(0, None)
            )(z[0], z[1])
        )
    )
    attempt(lambda: numbers(jacobian(torch, function.apply)(x[0], y[0])))
    attempt(lambda: numbers(jacobian(torch, func.grad(lambda a: function.apply(a, a).pow(2).sum()))(x[0])))


@program
def generated_rule(torch, show, attempt):
    uses(torch, generated_product(torch), show, attempt)


@program
def written_rule(torch, show, attempt):
    uses(torch, written_product(torch), show, attempt)
    x = rows(torch)
    told = written_product(torch, show)
    torch.func.vmap(told.apply)(x, x)
    torch.func.vmap(told.apply, in_dims=(0, None), randomness="same")(x, x[0])
    torch.func.vmap(told.apply, randomness="different")(x, x)
    torch.func.vmap(lambda a: told.apply(x[0], x[1]) * a)(x)
    torch.func.vmap(torch.func.vmap(told.apply), in_dims=(0, None))(x.reshape(2, 3, 1), x.T)


@program
def several_outputs_and_numbers(torch, show, attempt):
    def vmap(info, in_dims, x, power, extra):
        show(in_dims, power, extra)
        return (function.apply(x.movedim(in_dims[0], -1), power, extra)), (-1, -1)

    def setup(ctx, inputs, output):
        ctx.power = inputs[1]
        ctx.save_for_backward(inputs[0])

    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        return g * ctx.power * x ** (ctx.power - 1) + 2 * h, None, None

    function = made(torch, forward=lambda x, power, extra: (x**power, x * 2), setup_context=setup, backward=backward, vmap=vmap)
    x = rows(torch)
    show(numbers(torch.func.vmap(lambda a: function.apply(a, 3, {"k": "v"}))(x)))
    show(numbers(torch.func.vmap(torch.func.grad(lambda a: function.apply(a, 3, None)[0].sum()))(x)))
    show(numbers(torch.func.vmap(torch.func.vmap(lambda a: function.apply(a, 2, None)))(x)))
    show(numbers(torch.func.grad(lambda x: torch.func.vmap(lambda a: function.apply(a, 3, None)[0].sum())(x).sum())(x)))


def returning(torch, result, **members):
    members.setdefault("forward", lambda x: x * 2)
    members.setdefault("setup_context", saving)
    members.setdefault("backward", lambda ctx, g: g * 2)
    return made(torch, vmap=lambda info, in_dims, x: result(x), **members)


@program
def errors(torch, show, attempt):
    func = torch.func
    x = rows(torch)
    plain = made(torch, "Plain", forward=lambda x: x * 2, setup_context=saving, backward=lambda ctx, g: g * 2)
    old = made(torch, "Old", forward=lambda ctx, x: x * 2, backward=lambda ctx, g: g * 2)
    old_generated = made(torch, "Old", forward=lambda ctx, x: x * 2, backward=lambda ctx, g: g * 2, generate_vmap_rule=True)
    double = returning(torch, lambda x: (x * 1, 0), generate_vmap_rule=True)
    for function in (plain, old, old_generated, double):
        attempt(lambda function=function: func.vmap(function.apply)(x))
        attempt(lambda function=function: func.vmap(func.grad(lambda a: function.apply(a).sum()))(x))
        attempt(lambda function=function: func.grad(lambda a: function.apply(a).sum())(x[0]))
    for result in (lambda x: x, lambda x: (x * 1, 0, 1), lambda x: None, lambda x: (x,), lambda x: [x, 0]):
        attempt(lambda result=result: func.vmap(returning(torch, result).apply)(x))
    for result in (
        lambda x: (x * 1, (0, 0)),
        lambda x: ((x * 1, x * 2), (0,)),
        lambda x: ((x * 1, x * 2), 0),
        lambda x: (x * 1, None),
        lambda x: (x * 1, 1),
        lambda x: (x * 1, -1),
    ):
        attempt(lambda result=result: numbers(func.vmap(returning(torch, result).apply)(x)))
    for result in (lambda x: (x * 1, 5), lambda x: (x[0], 0), lambda x: (x * 1, (0,)), lambda x: ((x,), 0), lambda x: ((x, 3), (0, None))):
        attempt(lambda result=result: numbers(func.vmap(returning(torch, result).apply)(x)))
    wrong = made(torch, "Wrong", forward=lambda x, y: x * y, setup_context=saving, backward=lambda ctx, g: g, generate_vmap_rule=True)
    refused(show, lambda: func.vmap(func.grad(lambda a: wrong.apply(a, a).sum()))(x))
    refused(show, lambda: func.grad(lambda b: func.vmap(lambda a: wrong.apply(a, a).sum())(b).sum())(x))
    shape = made(
        torch, "Shape", forward=lambda x: x * 2, setup_context=saving, backward=lambda ctx, g: torch.ones(7), generate_vmap_rule=True
    )
    refused(show, lambda: func.vmap(func.grad(lambda a: shape.apply(a).sum()))(x))
    refused(show, lambda: func.grad(lambda b: func.vmap(lambda a: shape.apply(a).sum())(b).sum())(x))
    no_backward = made(torch, "No", forward=lambda x: x * 2, setup_context=saving, generate_vmap_rule=True)
    attempt(lambda: func.vmap(no_backward.apply)(x))
    attempt(lambda: func.vmap(func.grad(lambda a: no_backward.apply(a).sum()))(x))
    attempt(lambda: func.grad(lambda b: func.vmap(no_backward.apply)(b).sum())(x))
    attempt(lambda: func.vmap(lambda a: func.jvp(no_backward.apply, (a,), (a,))[1])(x))

    def branching(x):
        return x * 2 if x.sum() > 0 else x

    attempt(lambda: func.vmap(made(torch, forward=branching, setup_context=saving, generate_vmap_rule=True).apply)(x))

    def reading(x):
        return torch.from_numpy(x.numpy() * 2)

    attempt(lambda: func.vmap(made(torch, forward=reading, setup_context=saving, generate_vmap_rule=True).apply)(x))


@program
def the_context_of_a_generated_rule(torch, show, attempt):
    func = torch.func
    x = rows(torch)

    def setup(ctx, inputs, output):
        a, _, factor = inputs
        ctx.save_for_backward(a, output[0])
        ctx.factor = factor
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.shape = tuple(a.shape)
        ctx.kept = {"text": "kept"}

    def backward(ctx, g, h, k):
        a, product = ctx.saved_tensors
        show(ctx.needs_input_grad, g is None, h is None, k is None, ctx.shape, tuple(a.shape), tuple(product.shape), ctx.factor, ctx.kept)
        ga = gb = None
        if g is not None:
            ga = g * ctx.factor if ctx.needs_input_grad[0] else None
            gb = g * a if ctx.needs_input_grad[1] else None
        if k is not None:
            ga = (ga if ga is not None else 0) + k
        return ga, gb, None

    function = made(
        torch,
        forward=lambda a, b, factor: (a * factor + a * b, a > 2, a.clone()),
        setup_context=setup,
        backward=backward,
        generate_vmap_rule=True,
    )
    show(numbers(func.vmap(lambda a: function.apply(a, a * 2, 3.0))(x)))
    leaf = x.clone().requires_grad_()
    out = func.vmap(lambda a: function.apply(a, x[0], 3.0))(leaf)
    show([each.requires_grad for each in out])
    show(numbers(torch.autograd.grad(out[0].sum(), leaf, retain_graph=True)))
    show(numbers(torch.autograd.grad(out[2].sum(), leaf, retain_graph=True)))
    attempt(lambda: numbers(torch.autograd.grad(out[0].sum() + out[2].sum(), leaf)))
    attempt(lambda: numbers(func.vmap(func.grad(lambda a: function.apply(a, x[0], 3.0)[0].sum()))(x)))
    attempt(lambda: numbers(func.vmap(func.grad(lambda a: function.apply(x[0], a, 3.0)[0].sum()))(x)))
    attempt(lambda: numbers(func.vmap(func.grad(lambda a: function.apply(a, a, 3.0)[2].sum()))(x)))
    b = x[0].clone().requires_grad_()
    out = func.vmap(lambda a: function.apply(a, b, 3.0))(x)
    attempt(lambda: numbers(torch.autograd.grad(out[0].sum(), b)))


@program
def shared_arguments(torch, show, attempt):
    func = torch.func
    function = generated_product(torch)
    x, w = rows(torch), rows(torch)[0].requires_grad_()
    out = func.vmap(lambda a: function.apply(a, w))(x)
    show(numbers(torch.autograd.grad(out.sum(), w)))
    out = func.vmap(lambda a: function.apply(w, w) * a)(x)
    show(numbers(torch.autograd.grad(out.sum(), w)))
    out = func.vmap(lambda a: function.apply(a.sum(), w))(x)
    attempt(lambda: numbers(torch.autograd.grad(out.sum(), w)))
    (g,) = torch.autograd.grad(func.vmap(lambda a: function.apply(a, w).pow(2).sum())(x).sum(), w, create_graph=True)
    show(numbers(torch.autograd.grad(g.sum(), w)))
    show(numbers(jacobian(torch, lambda w: func.vmap(function.apply, in_dims=(0, None))(x, w))(w.detach())))
    show(numbers(jacobian(torch, func.grad(lambda w: func.vmap(lambda a: function.apply(a, w).pow(2).sum())(x).sum()))(w.detach())))


@program
def writing_in_place(torch, show, attempt):
    func = torch.func

    def forward(x):
        return x.mul_(2)

    def dirty(ctx, inputs, output):
        ctx.mark_dirty(*inputs)

    function = made(torch, forward=forward, setup_context=dirty, backward=lambda ctx, g: g * 2, generate_vmap_rule=True)
    x = rows(torch)
    attempt(lambda: numbers(func.vmap(lambda a: function.apply(a))(x)))
    show(x)
    x = rows(torch)
    attempt(lambda: numbers(func.vmap(lambda a: function.apply(a.clone()))(x)))
    attempt(lambda: numbers(func.vmap(func.grad(lambda a: function.apply(a.clone()).pow(2).sum()))(x)))
    attempt(lambda: numbers(func.grad(lambda x: func.vmap(lambda a: function.apply(a.clone()))(x).pow(2).sum())(x)))
    show(x)


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
