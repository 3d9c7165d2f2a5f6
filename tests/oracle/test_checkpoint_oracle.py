"""Programs with checkpoints, run by both libraries."""

import contextlib
import importlib

import pytest

from tests.oracle.both import PROGRAMS, check, program


def tools(torch):
    return importlib.import_module(f"{torch.__name__}.utils.checkpoint")


def leaf(torch, *values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def counted(function):
    """The function, and a list that grows by one with each call of it."""
    calls = []

    def call(*args, **kwargs):
        calls.append(len(calls))
        return function(*args, **kwargs)

    return call, calls


def near(value):
    """The numbers of a tensor, but for the last digits, in which sums of the same numbers may differ."""
    return None if value is None else [round(number, 10) for number in value.flatten().tolist()]


def lists(values):
    return [near(value) for value in values]


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


@program
def random_numbers(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    for reentrant in (False, True):
        for preserves in (True, False):
            drawn = []

            def f(x, drawn=drawn):
                drawn.append(torch.rand(2).tolist())
                return x.exp() * torch.rand(2, dtype=torch.float64)

            torch.manual_seed(5)
            x = leaf(torch, 0.5, 1.0)
            out = checkpoint(f, x, use_reentrant=reentrant, preserve_rng_state=preserves)
            between = torch.rand(1).item()
            out.sum().backward()
            show(drawn[0] == drawn[1], between, torch.rand(1).item(), near(x.grad))


@program
def other_numbers_of_tensors(torch, show, attempt):
    c = tools(torch)
    x = leaf(torch, 0.5, 1.0)
    for first, second in ((2, 1), (1, 2)):
        for stops in (True, False):
            times = [first]

            def f(x, times=times):
                for _ in range(times[0]):
                    x = x.exp()
                return x + 1

            out = c.checkpoint(f, x, use_reentrant=False, early_stop=stops)
            times[0] = second
            attempt(lambda out=out: near(torch.autograd.grad(out.sum(), x)[0]))
    show(issubclass(c.CheckpointError, RuntimeError))


@program
def other_tensors(torch, show, attempt):
    c = tools(torch)
    shorter, single, same = (lambda x: x[:1]), (lambda x: x.float()), (lambda x: x)
    # that a value of another shape cannot stand for what was saved is seen by ndgrad even without the check, and not by torch
    for checks, changes in (("default", (shorter, single, same)), ("none", (single, same)), ("strict", (same,))):
        for changed in changes:
            change = [lambda x: x]

            def f(x, change=change):
                return change[0](x.sin()).exp().sum()

            def run(f=f, checks=checks, change=change, changed=changed):
                x = leaf(torch, 0.5, 1.0)
                out = c.checkpoint(f, x, use_reentrant=False, determinism_check=checks)
                change[0] = changed
                out.backward()
                return x.grad.shape

            attempt(run)


@program
def what_metadata_errors_say(torch, show, attempt):
    c = tools(torch)
    shape = [2]
    x = leaf(torch, 0.5, 1.0)
    out = c.checkpoint(lambda x: x[: shape[0]].exp().sum(), x, use_reentrant=False)
    shape[0] = 1
    try:
        out.backward()
    except c.CheckpointError as error:
        show(*str(error).split("\n")[:4])


@program
def debug_switched_for_all(torch, show, attempt):
    # the one program with debug=True: torch's log of it and pytest's do not go together twice
    c = tools(torch)
    x = leaf(torch, 0.5, 1.0)
    for enabled in (True, False, None):
        for debug in (True, False):
            count = [2]

            def f(x, count=count):
                for _ in range(count[0]):
                    x = x.exp()
                return x

            with c.set_checkpoint_debug_enabled(enabled):
                out = c.checkpoint(f, x, use_reentrant=False, debug=debug)
            count[0] = 1
            attempt(lambda out=out: out.sum().backward())
    attempt(lambda: c.checkpoint(f, x, use_reentrant=False, debug=True, context_fn=lambda: c.noop_context_fn()))


@program
def contexts(torch, show, attempt):
    c = tools(torch)
    x = leaf(torch, 0.5, 1.0)
    events = []

    @contextlib.contextmanager
    def noted(name):
        events.append(f"enter {name}")
        try:
            yield
        finally:
            events.append(f"leave {name}")

    out = c.checkpoint(torch.exp, x, use_reentrant=False, context_fn=lambda: (noted("forward"), noted("again")))
    show(events)
    out.sum().backward()
    show(events)
    with torch.no_grad():
        c.checkpoint(torch.exp, x, use_reentrant=False, context_fn=lambda: (noted("forward"), noted("again")))
    show(events)
    attempt(lambda: c.checkpoint(torch.exp, x, use_reentrant=True, context_fn=lambda: (noted("forward"), noted("again"))))
    attempt(lambda: c.checkpoint(torch.exp, x, use_reentrant=True, debug=True))


@program
def failing_functions(torch, show, attempt):
    c = tools(torch)
    x = leaf(torch, 0.5, 1.0)

    def fails(x):
        raise KeyError("mine")

    attempt(lambda: c.checkpoint(fails, x, use_reentrant=False))
    attempt(lambda: c.checkpoint(fails, x, use_reentrant=True))
    swallows = contextlib.suppress
    attempt(lambda: c.checkpoint(fails, x, use_reentrant=False, context_fn=lambda: (swallows(KeyError), contextlib.nullcontext())))
    fine = [True]

    def later(x):
        if not fine[0]:
            raise KeyError("later")
        return x.exp()

    out = c.checkpoint(later, x, use_reentrant=False)
    fine[0] = False
    attempt(lambda: out.sum().backward())
    show(torch.is_grad_enabled(), (x * 2).grad_fn)
    fine[0] = True
    out = c.checkpoint(later, x, use_reentrant=False)
    out.sum().backward()
    show(x.grad)


@program
def under_hooks_of_the_user(torch, show, attempt):
    c = tools(torch)
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        return t.detach()

    def unpack(t):
        unpacked.append(t.tolist())
        return t

    x, y = leaf(torch, 0.5, 1.0), leaf(torch, 2.0, 3.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        out = c.checkpoint(lambda x, y, n: (x.sin() * y).exp() * n, x, y, 2, use_reentrant=False) * y
    show(packed, unpacked)
    out.sum().backward()
    show(packed, unpacked, x.grad, y.grad)

    def inside(x):
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            y = x.exp()
        return y.sin()

    x = leaf(torch, 0.5, 1.0)
    packed.clear()
    unpacked.clear()
    out = c.checkpoint(inside, x, use_reentrant=False)
    out.sum().backward()
    show(packed, unpacked, x.grad)
    with torch.autograd.graph.disable_saved_tensors_hooks("no hooks here"):
        attempt(lambda: c.checkpoint(torch.exp, x, use_reentrant=False))


@program
def custom_functions_inside(torch, show, attempt):
    checkpoint = tools(torch).checkpoint

    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, twice):
            out = x.exp()
            ctx.save_for_backward(x, out)
            ctx.twice = twice
            return out

        @staticmethod
        def backward(ctx, g):
            x, out = ctx.saved_tensors
            if ctx.twice:
                x, out = ctx.saved_tensors
            return g * out + 0 * x, None

    for twice in (False, True):
        x = leaf(torch, 0.5, 1.0)
        out = checkpoint(lambda x, twice=twice: Exp.apply(x.sin(), twice), x, use_reentrant=False)
        attempt(lambda out=out: out.sum().backward())
        show(x.grad)


@program
def inputs_changed_in_place(torch, show, attempt):
    checkpoint = tools(torch).checkpoint
    x = leaf(torch, 0.5, 1.0)
    y = x * 2
    out = checkpoint(torch.exp, y, use_reentrant=False)
    y.add_(1)
    attempt(lambda: out.sum().backward())
    y = x * 2
    out = checkpoint(torch.exp, y, use_reentrant=True)
    y.add_(1)
    attempt(lambda: out.sum().backward())


@program
def in_place_inside(torch, show, attempt):
    checkpoint = tools(torch).checkpoint

    def f(x):
        y = x.sin()
        y.exp_()
        y.mul_(2)
        z = torch.zeros(4, dtype=torch.float64)
        z[:2] = y
        z[2:] = x.cos()
        return z * z

    x = leaf(torch, 0.5, 1.0)
    show(near(torch.autograd.grad(f(x).sum(), x)[0]))
    for stops in (True, False):
        out = checkpoint(f, x, use_reentrant=False, early_stop=stops)
        show(near(torch.autograd.grad(out.sum(), x)[0]))


@program
def groups(torch, show, attempt):
    c = tools(torch)
    f, calls = counted(lambda x: (x.sin().exp(), x.cos().exp()))
    x = leaf(torch, 0.5)
    a, b = c.checkpoint(f, x, use_reentrant=False)
    with c.GraphExecGroup():
        a.backward()
        b.backward()
    show(near(x.grad), len(calls))
    a, b = c.checkpoint(f, x, use_reentrant=False)
    with c.GraphExecGroup():
        a.backward(retain_graph=True)
        attempt(lambda: a.backward())
    a.backward()
    show(near(x.grad), len(calls))

    def nests():
        with c.GraphExecGroup(), c.GraphExecGroup():
            pass

    try:
        nests()
    except RuntimeError as error:
        show(str(error).split(". ")[0])
    with c.GraphExecGroup():
        pass


@program
def looking_at_saved_tensors(torch, show, attempt):
    x = leaf(torch, 0.5)
    f, calls = counted(lambda x: x.sin().exp())
    out = tools(torch).checkpoint(f, x, use_reentrant=False)
    show(out.grad_fn._saved_result, len(calls))
    show(out.grad_fn._saved_result, len(calls))
    out.backward()
    show(x.grad, len(calls))


@program
def hooks_of_tensors_inside(torch, show, attempt):
    seen = []

    def f(x):
        y = x.sin()
        y.register_hook(lambda g: seen.append(g.tolist()))
        return y.exp()

    x = leaf(torch, 0.5)
    out = tools(torch).checkpoint(f, x, use_reentrant=False)
    out.backward()
    show(seen, x.grad)


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_programs(function):
    check(function)
