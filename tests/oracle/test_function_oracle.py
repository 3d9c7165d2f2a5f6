"""Programs of custom functions, run by both libraries."""

import gc

import pytest

from tests.oracle.both import PROGRAMS, check, program


def made(torch, forward, backward=None, setup=None, name="Custom", **members):
    """A function class from functions."""
    members["forward"] = staticmethod(forward)
    if backward is not None:
        members["backward"] = staticmethod(backward)
    if setup is not None:
        members["setup_context"] = staticmethod(setup)
    return type(torch.autograd.Function)(name, (torch.autograd.Function,), members)


def numbers(values):
    """Tensors without their strides, in which the gradients of a sum differ."""
    return [value if value is None else (value.tolist(), str(value.dtype), value.requires_grad) for value in values]


def leaf(torch, *values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


@program
def cube_differentiated_three_times(torch, show, attempt):
    class MyCube(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**3, 3 * x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            (x,) = inputs
            _, slope = output
            ctx.save_for_backward(x, slope)

        @staticmethod
        def backward(ctx, g, g_slope):
            x, slope = ctx.saved_tensors
            return g * slope + g_slope * 6 * x

    x = leaf(torch, 1.0, 2.0)
    y, slope = MyCube.apply(x)
    show(y, slope, y.grad_fn, y.grad_fn.next_functions, slope.output_nr)
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        show(y.tolist())


@program
def linear_function(torch, show, attempt):
    class LinearFunction(torch.autograd.Function):
        @staticmethod
        def forward(input, weight, bias=None):
            out = input.mm(weight.t())
            return out if bias is None else out + bias

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            input, weight, bias = ctx.saved_tensors
            found = [None, None, None]
            show(ctx.needs_input_grad)
            if ctx.needs_input_grad[0]:
                found[0] = g.mm(weight)
            if ctx.needs_input_grad[1]:
                found[1] = g.t().mm(input)
            if bias is not None and ctx.needs_input_grad[2]:
                found[2] = g.sum(0)
            return tuple(found)

    input = torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
    weight = torch.arange(8.0, dtype=torch.float64).reshape(4, 2).requires_grad_()
    for bias in (None, leaf(torch, 1.0, 2.0, 3.0, 4.0)):
        out = LinearFunction.apply(input, weight, bias)
        show(out, out.grad_fn.next_functions)
        show([g.tolist() for g in torch.autograd.grad(out.pow(2).sum(), [weight] + [bias] * (bias is not None))])
    show(LinearFunction.apply(input, bias=bias, weight=weight).grad_fn.next_functions)


@program
def exp_saves_its_output(torch, show, attempt):
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            result = x.exp()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx, g):
            (result,) = ctx.saved_tensors
            show(result)
            return g * result

    x = leaf(torch, 0.0, 1.0)
    y = Exp.apply(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    show(first)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    show(second)
    y = Exp.apply(x)
    y.mul_(2)
    attempt(lambda: y.sum().backward())


@program
def sinh_both_ways(torch, show, attempt):
    def recompute(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.exp() + (-x).exp()) / 2

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x.exp() - (-x).exp()) / 2

    def returning(x):
        up, down = x.exp(), (-x).exp()
        return (up - down) / 2, up, down

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*output[1:])

    def from_outputs(ctx, g, g_up, g_down):
        up, down = ctx.saved_tensors
        return g * (up + down) / 2 + g_up * up - g_down * down

    x = leaf(torch, 0.5, -1.0)
    for y in (made(torch, forward, recompute).apply(x), made(torch, returning, from_outputs, setup).apply(x)[0]):
        for _ in range(3):
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            show([round(value, 10) for value in y.tolist()])


@program
def in_place(torch, show, attempt):
    def forward(ctx, x):
        x.add_(1)
        ctx.mark_dirty(x)
        return x

    Add = made(torch, forward, lambda ctx, g: g * 3, name="Add")
    x = leaf(torch, 1.0, 2.0)
    y = x.clone()
    z = Add.apply(y)
    show(z is y, y, y._version, y.grad_fn.next_functions)
    show(torch.autograd.grad(y.sum(), x))
    y = x.clone()
    product = y * y
    Add.apply(y)
    attempt(lambda: product.sum().backward())
    base = x * 1
    part = base[:1]
    y = Add.apply(part)
    show(y is part, part, base, torch.autograd.grad((base * torch.tensor([2.0, 5.0])).sum(), x))
    attempt(lambda: Add.apply(leaf(torch, 1.0)))
    attempt(lambda: Add.apply(x[:1]))
    constant = torch.zeros(2)
    show(Add.apply(constant) is constant, constant)
    with torch.no_grad():
        y = leaf(torch, 1.0)
        show(Add.apply(y), y)

    def two(ctx, x):
        x.add_(1)
        ctx.mark_dirty(x)
        return x, x * 2

    Two = made(torch, two, lambda ctx, g, h: g + h)
    attempt(lambda: Two.apply((x * 1)[:1]))
    attempt(lambda: Two.apply(x * 1))
    Unreturned = made(torch, lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1], lambda ctx, g: g)
    attempt(lambda: Unreturned.apply(x * 1))
    attempt(lambda: made(torch, lambda ctx, x: (ctx.mark_dirty(3), x * 2)[1], lambda ctx, g: g).apply(x))
    attempt(lambda: made(torch, lambda ctx, x: (ctx.mark_non_differentiable(3), x * 2)[1], lambda ctx, g: g).apply(x))


@program
def views_and_inputs_returned(torch, show, attempt):
    Same = made(torch, lambda ctx, x: x, lambda ctx, g: g * 5, name="Same")
    x = leaf(torch, 1.0, 2.0)
    y = Same.apply(x)
    show(y, y is x, y._is_view(), y._base is x, torch.autograd.grad(y.sum(), x))
    attempt(lambda: y.add_(1))
    w = x * 1
    y = Same.apply(w)
    w.mul_(2)
    attempt(lambda: y * 1)
    n = torch.ones(2)
    y = Same.apply(n)
    show(y, y is n, y._is_view())
    attempt(lambda: y.add_(1))
    with torch.no_grad():
        y = Same.apply(x)
        show(y, y is x, y._is_view())
    Column = made(torch, lambda ctx, x: x.view(2, 1), lambda ctx, g: g.view(2), name="Column")
    y = Column.apply(x * 1)
    show(y, y._is_view())
    attempt(lambda: y.add_(1))
    attempt(lambda: y.exp())
    Columns = made(torch, lambda ctx, x: (x.view(2, 1), x * 2), lambda ctx, g, h: g.view(2) + h, name="Columns")
    y, z = Columns.apply(x * 1)
    attempt(lambda: y.add_(1))
    attempt(lambda: z.add_(1))
    saved = made(torch, lambda x: x, lambda ctx, g: g, lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    attempt(lambda: saved.apply(x))


@program
def outputs_of_all_kinds(torch, show, attempt):
    def forward(ctx, x):
        fixed = x * 3
        ctx.mark_non_differentiable(fixed)
        return x * 2, fixed, x.sort()[1], 7, None, "text", [x * 2]

    def backward(ctx, *given):
        show(numbers(given))
        return given[0]

    x = leaf(torch, 2.0, 1.0)
    outs = made(torch, forward, backward).apply(x)
    show(outs)
    show(numbers(torch.autograd.grad(outs[0].sum(), x)))
    show(made(torch, lambda ctx, x: [x * 2], backward).apply(x))

    def bare(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    outs = made(torch, bare, lambda ctx, *given: (show(numbers(given)), given[0])[1]).apply(x)
    show(numbers(torch.autograd.grad(outs[1].sum(), x, allow_unused=True)))
    show(numbers(torch.autograd.grad(outs[0].sum(), x, allow_unused=True)))
    show(made(torch, lambda ctx, x: (ctx.mark_non_differentiable(x), x)[1], backward).apply(x))
    outs = made(torch, lambda ctx, x: (x * 2, x * 3), lambda ctx, g, h: g * 10 + h).apply(x)
    outs[1].retain_grad()
    outs[0].register_hook(lambda g: g * 7)
    outs[0].grad_fn.register_prehook(lambda given: show("before", numbers(given)))
    outs[0].grad_fn.register_hook(lambda inputs, given: show("after", numbers(inputs), numbers(given)))
    (outs[0] + outs[1]).sum().backward()
    show(x.grad, outs[1].grad)


@program
def gradients_that_do_not_fit(torch, show, attempt):
    x = leaf(torch, 1.0, 2.0)
    one, two = torch.ones(1), torch.ones(2)
    wide = torch.ones(4, 2)
    complex_numbers = torch.ones(2, dtype=torch.complex128)
    returned = [
        (two, two), (two, None, None), (two, None, two), (), None, (3,), 3, "ab", [two], one, torch.ones(3), wide,
        torch.ones(2, dtype=torch.int64), torch.ones(2, dtype=torch.float16), complex_numbers,
    ]  # fmt: skip
    for value in returned:
        Fixed = made(torch, lambda ctx, x: x * 2, lambda ctx, g, value=value: value, name="Fixed")
        attempt(lambda Fixed=Fixed: torch.autograd.grad(Fixed.apply(x), x, two.double()))
        attempt(lambda Fixed=Fixed: torch.autograd.grad(Fixed.apply(x), x, two.double(), create_graph=True))
    Two = made(torch, lambda ctx, x, c: x * 2, lambda ctx, g: (two, wide), name="Two")
    attempt(lambda: Two.apply(x, 3).sum().backward())
    attempt(lambda: torch.autograd.grad(Two.apply(x, one).sum(), x))
    z = complex_numbers.clone().requires_grad_()
    for value in (two, two.long(), complex_numbers):
        Fixed = made(torch, lambda ctx, z: z * 2, lambda ctx, g, value=value: value, name="Fixed")
        attempt(lambda Fixed=Fixed: torch.autograd.grad(Fixed.apply(z), z, complex_numbers))


@program
def what_is_missing_or_misused(torch, show, attempt):
    Function = torch.autograd.Function
    x = leaf(torch, 1.0, 2.0)
    double = lambda ctx, x: x * 2  # noqa: E731  # as a function of its own it would be longer than what it does
    attempt(lambda: made(torch, double).apply(x).sum().backward())
    attempt(lambda: type(Function)("Empty", (Function,), {}).apply(x))
    attempt(lambda: made(torch, double, lambda ctx, g: g, vjp=staticmethod(lambda ctx, g: g)).apply(x).sum().backward())
    attempt(lambda: torch.autograd.grad(made(torch, double, vjp=staticmethod(lambda ctx, g: g * 3)).apply(x).sum(), x))
    attempt(lambda: made(torch, double)()(x))
    attempt(lambda: made(torch, lambda ctx, x: (ctx.save_for_backward(x, 3), x * 2)[1]).apply(x))
    attempt(lambda: made(torch, lambda ctx, x: (ctx.save_for_backward(x, 3), x * 2)[1]).apply(torch.ones(2)))
    attempt(lambda: made(torch, lambda ctx, x: (ctx.save_for_forward(x, 3), x * 2)[1]).apply(x))
    attempt(lambda: Function.vmap(None, None))
    attempt(lambda: Function.jvp(None))
    attempt(lambda: Function.setup_context(None, (), None))
    attempt(lambda: Function.vjp(None))
    attempt(lambda: made(torch, lambda ctx, x: {}["key"]).apply(x))
    show(torch.is_grad_enabled())
    attempt(lambda: made(torch, double, lambda ctx, g: {}["key"]).apply(x).sum().backward())
    show(torch.is_grad_enabled())
    boxed = made(torch, double, lambda ctx, given: (type(given).__name__, given[0])[1], boxed_grads_call=True)
    show(numbers(torch.autograd.grad(boxed.apply(x).sum(), x)))
    twice = lambda ctx, g: (ctx.saved_tensors, ctx.saved_tensors, g)[2]  # noqa: E731  # the same
    saving = lambda ctx, x: (ctx.save_for_backward(x), x * 2)[1]  # noqa: E731  # the same
    attempt(lambda: made(torch, saving, twice, clear_saved_tensors_on_access=True).apply(x).sum().backward())
    Default = made(torch, lambda ctx, x, b=1, c=2: (show(x, b, c), x * 2)[1], lambda ctx, *g: (g[0], None, None), name="Default")
    attempt(lambda: Default.apply(x, b=5))
    attempt(lambda: Default.apply(b=x, x=torch.ones(2)))
    attempt(lambda: Default.apply(x, c=5))
    attempt(lambda: Default.apply(x, x=x))
    attempt(lambda: Default.apply(x, d=x))
    node = Default.apply(x).grad_fn
    attempt(lambda: node.missing)
    attempt(lambda: node(x))


@program
def the_context_is_the_node(torch, show, attempt):
    def forward(ctx, x):
        ctx.shape, ctx.dtype, ctx.saved, ctx.number, ctx.parents = x.shape, x.dtype, "saved", 5, "parents"
        show(x.requires_grad, (x * 2).requires_grad, torch.is_grad_enabled(), ctx.needs_input_grad, ctx.saved_tensors)
        ctx.save_for_backward(x, None)
        show(ctx.saved_tensors)
        return x * 2

    def backward(ctx, g):
        show(ctx.shape, ctx.saved, ctx.number, ctx.parents, ctx.saved_tensors[0] is x, ctx.saved_tensors[1], torch.is_grad_enabled())
        ctx.number += 1
        return g * 2

    x = leaf(torch, 1.0, 2.0)
    y = made(torch, forward, backward).apply(x)
    node = y.grad_fn
    show(repr(node).split(" at ")[0])
    show(node is y.grad_fn, node.name(), isinstance(node, torch.autograd.graph.Node), node.requires_grad, node.metadata)
    show((y * 1).grad_fn.next_functions[0][0] is node)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    show(node.number, node.shape, x.grad)
    attempt(lambda: node.saved_tensors)
    attempt(lambda: y.sum().backward())
    z = made(torch, lambda ctx, x: x * 2, lambda ctx, g: g).apply(x)
    z.sum().backward()
    attempt(lambda: z.sum().backward())  # nothing was saved
    edge = torch.autograd.graph.get_gradient_edge(y)
    show(edge.node is node, edge.output_nr)
    w = x * 1
    y = made(torch, lambda ctx, x: (ctx.save_for_backward(x), x * 2)[1], lambda ctx, g: g * ctx.saved_tensors[0]).apply(w)
    w.add_(1)
    attempt(lambda: y.sum().backward())
    show(torch.autograd.grad(torch.autograd.graph.get_gradient_edge(z), x, torch.ones(2, dtype=torch.float64)))


@program
def once_differentiable(torch, show, attempt):
    once = torch.autograd.function.once_differentiable
    x, g = leaf(torch, 1.0, 2.0), leaf(torch, 1.0, 1.0)
    Once = made(torch, lambda ctx, x: x * 2, once(lambda ctx, g: g * 2), name="Once")
    show(torch.autograd.grad(Once.apply(x).sum(), x, create_graph=True))
    (first,) = torch.autograd.grad(Once.apply(x), x, g, create_graph=True)
    show(first)
    attempt(lambda: torch.autograd.grad(first.sum(), g))
    attempt(lambda: first.sum().backward())
    Two = made(torch, lambda ctx, x, y: x * y, once(lambda ctx, g: (g * 2, None)), name="Two")
    (first,) = torch.autograd.grad(Two.apply(x, g), x, g, create_graph=True)
    attempt(lambda: first.sum().backward())


@program
def backward_inside_backward(torch, show, attempt):
    def forward(ctx, x):
        with torch.enable_grad():
            ctx.inner = x.detach().requires_grad_()
            ctx.out = ctx.inner**3
        return ctx.out.detach()

    def backward(ctx, g):
        ctx.out.backward(g, retain_graph=True)
        return ctx.inner.grad

    x = leaf(torch, 1.0, 2.0)
    y = made(torch, forward, backward).apply(x * 1)
    y.sum().backward()
    show(x.grad)


@program
def stashed_inputs_and_outputs(torch, show, attempt):
    def forward(ctx, x):
        ctx.x = x
        ctx.out = x.exp()
        return ctx.out

    def backward(ctx, g):
        show(ctx.x is x, ctx.out.grad_fn)
        return g * ctx.out + g * 0 * ctx.x

    x = leaf(torch, 0.0, 1.0)
    (first,) = torch.autograd.grad(made(torch, forward, backward).apply(x).sum(), x, create_graph=True)
    show(first, torch.autograd.grad(first.sum(), x))
    gc.collect()


@program
def constant_factor_without_materialized_gradients(torch, show, attempt):
    def setup(ctx, inputs, output):
        ctx.set_materialize_grads(False)
        ctx.constant = inputs[1]

    def backward(ctx, *given):
        show(numbers(given))
        g = next((g for g in given if g is not None), None)
        return (None, None) if g is None else (g * ctx.constant, None)

    x = leaf(torch, 1.0, -2.0)
    (first,) = torch.autograd.grad(made(torch, lambda x, c: x * c, backward, setup).apply(x, 2.5).sum(), x, create_graph=True)
    show(first)
    two = made(torch, lambda x, c: (x * c, x * c), backward, setup).apply(x, 3.0)
    show(numbers(torch.autograd.grad(two[1].sum(), x)))
    nothing = torch.autograd.graph.get_gradient_edge(two[0])
    show(nothing.output_nr)


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_custom_functions(function):
    check(function)
