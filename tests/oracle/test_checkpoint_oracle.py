"""Derivatives of checkpoints, when their functions run again and how far, and checkpoints inside each other, in both libraries."""

import contextlib

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.checkpoints import counted, leaf, lists, near, tools


@program
def first_and_second_derivatives(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x, w = leaf(torch, 0.5, 1.0), leaf(torch, 2.0, 3.0)
    f, calls = counted(lambda x, w: (x.sin() * w).exp())
    out = checkpoint(f, x, w, use_reentrant=False)
    show(out, len(calls))
    first = torch.autograd.grad(out.sum(), (x, w), create_graph=True)
    show(lists(first), len(calls))
    second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, w), create_graph=True)
    show(lists(second), len(calls))
    third = torch.autograd.grad(sum(g.sum() for g in second), (x, w))
    show(lists(third), len(calls))


@program
def keywords_and_structures(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x, y, z = leaf(torch, 1.0), leaf(torch, 2.0), leaf(torch, 3.0)

    def f(pair, *, scale, named):
        return {"sum": pair["x"].exp() * named[0].sin(), "pair": [pair["x"] * scale, None, "text"]}

    out = checkpoint(f, {"x": x}, scale=z, named=(y,), use_reentrant=False)
    show(out["sum"], out["pair"])
    (out["sum"] + out["pair"][0]).sum().backward()
    show(lists([x.grad, y.grad, z.grad]))


@program
def parts_without_gradient(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x = leaf(torch, 1.0, 2.0)

    def f(x):
        kept = x.exp().detach()
        with torch.no_grad():
            silent = x.sin()
        return x * kept, silent, x.exp() * 0 + kept

    a, b, c = checkpoint(f, x, use_reentrant=False)
    show(a, b, c)
    (a + b + c).sum().backward()
    show(x.grad)


@program
def a_region_that_needs_no_gradient(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x = torch.ones(2)
    show(checkpoint(lambda x: x * 2, x, use_reentrant=False))
    y = leaf(torch, 1.0, 2.0)
    with torch.no_grad():
        f, calls = counted(lambda y: y.exp())
        out = checkpoint(f, y, use_reentrant=False)
    show(out, calls)
    attempt(lambda: out.sum().backward())


@program
def backward_several_times(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x = leaf(torch, 0.5)
    f, calls = counted(lambda x: x.sin().exp())
    out = checkpoint(f, x, use_reentrant=False)
    for _ in range(3):
        out.backward(retain_graph=True)
        show(near(x.grad), len(calls))
    out.backward()
    show(near(x.grad), len(calls))
    attempt(lambda: out.backward())
    show(len(calls))


@program
def early_stop(torch, show, attempt):
    c = tools(torch)
    x = leaf(torch, 0.5)
    for stops in (True, False):
        reached = []

        def f(x, reached=reached):
            out = x.sin().exp()
            reached.append("saved")
            return out + 1

        show(stops)
        c.checkpoint(f, x, use_reentrant=False, early_stop=stops).backward()
        show(reached)
        with c.set_checkpoint_early_stop(not stops):
            out = c.checkpoint(f, x, use_reentrant=False, early_stop=stops)
        out.backward()
        show(reached)


@program
def early_stop_and_context_managers_of_the_function(torch, show, attempt):
    events = []

    @contextlib.contextmanager
    def section(name):
        events.append(f"enter {name}")
        try:
            yield
        finally:
            events.append(f"leave {name}")

    def f(x):
        with section("outer"):
            with section("inner"):
                y = x.sin()
            return y.exp() + 1

    x = leaf(torch, 0.5)
    out = tools(torch).checkpoint(f, x, use_reentrant=False)
    out.backward()
    show(events, x.grad)


@program
def early_stop_before_the_last_operation(torch, show, attempt):
    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ran.append("noted")
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    ran = []
    x, w = (torch.arange(4.0, dtype=torch.float64).view(2, 2).requires_grad_() for _ in range(2))
    for function in (
        lambda x, w: Noted.apply(x.exp() @ w),
        lambda x, w: Noted.apply(x).mm(w),
        lambda x, w: Noted.apply((x @ w).exp()),
        lambda x, w: torch.sigmoid(Noted.apply(x)) + Noted.apply(w),
        lambda x, w: Noted.apply(x) * 2 + Noted.apply(w * 3),
    ):
        ran.clear()
        out = tools(torch).checkpoint(function, x, w, use_reentrant=False)
        gradients = torch.autograd.grad(out.sum(), (x, w))
        show(len(ran), lists(gradients))


@program
def nested(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x = leaf(torch, 0.3, 0.6)
    inner, inner_calls = counted(lambda x: x.sin().exp())
    middle, middle_calls = counted(lambda x: checkpoint(inner, x.cos(), use_reentrant=False).sin())
    outer, outer_calls = counted(lambda x: checkpoint(middle, x * x, use_reentrant=False).tanh())
    out = checkpoint(outer, x, use_reentrant=False)
    (g,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    show(near(out), near(g), len(inner_calls), len(middle_calls), len(outer_calls))
    (second,) = torch.autograd.grad(g.sum(), x)
    show(near(second), len(inner_calls), len(middle_calls), len(outer_calls))


@program
def nested_kinds(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    for outer in (False, True):
        for inner in (False, True):
            x = leaf(torch, 0.3, 0.6)
            out = checkpoint(lambda x, inner=inner: checkpoint(torch.sin, x.exp(), use_reentrant=inner).cos(), x, use_reentrant=outer)
            out.sum().backward()
            show(outer, inner, near(x.grad))


@program
def two_in_one(torch, show, attempt):
    checkpoint = tools(torch).checkpoint

    def both(x):
        a = checkpoint(lambda x: x.sin().cos(), x, use_reentrant=False)
        b = checkpoint(lambda x: x.exp().sin(), a, use_reentrant=False)
        return a * b

    x = leaf(torch, 0.3, 0.6)
    out = checkpoint(both, x, use_reentrant=False)
    show(near(torch.autograd.grad(out.sum(), x)[0]))


@program
def backward_inside(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    for retain in (False, True):
        for stops in (False, True):

            def f(x, retain=retain):
                y = x.sin()
                z = y.cos()
                (g,) = torch.autograd.grad(z, x, retain_graph=retain)
                return x.exp() * g, z * 2 if retain else None

            function, calls = counted(f)
            x = leaf(torch, 0.5)
            out, other = checkpoint(function, x, use_reentrant=False, early_stop=stops)
            show(near(out), len(calls))
            (out + (0 if other is None else other)).sum().backward()
            show(near(x.grad), len(calls))


@program
def a_gradient_penalty_inside(torch, show, attempt):
    checkpoint = tools(torch).checkpoint

    def f(x, w):
        y = (x * w).sin()
        (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return y + g.square()

    x, w = leaf(torch, 0.5, 0.7), leaf(torch, 1.5, 2.5)
    show(lists(torch.autograd.grad(f(x, w).sum(), (x, w))))
    out = checkpoint(f, x, w, use_reentrant=False)
    show(lists(torch.autograd.grad(out.sum(), (x, w))))


@program
def partly_used(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x, y = leaf(torch, 0.5), leaf(torch, 0.7)
    f, calls = counted(lambda x, y: (x.sin().exp(), y.cos().exp()))
    a, b = checkpoint(f, x, y, use_reentrant=False)
    show(torch.autograd.grad(a, x)[0].tolist(), len(calls))
    show(torch.autograd.grad(b, y)[0].tolist(), len(calls))
    attempt(lambda: torch.autograd.grad(b, y))
    out = checkpoint(lambda x: (x.exp(), x.sin()), x, use_reentrant=False)[1]
    out.backward(inputs=[x])
    show(x.grad)


@program
def parts_dropped_before_backward(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x = leaf(torch, 0.5)
    f, calls = counted(lambda x: (x.sin().exp(), x.cos().exp(), x.exp().sin()))
    _, kept, _ = checkpoint(f, x, use_reentrant=False)
    _ = None
    kept.backward()
    show(near(x.grad), len(calls))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_programs(function):
    check(function)
