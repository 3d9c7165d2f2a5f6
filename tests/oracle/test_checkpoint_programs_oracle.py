"""Checkpoints of programs with random numbers, hooks, custom functions, in-place operations, and errors, in both libraries."""

import contextlib

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.checkpoints import counted, leaf, near, tools


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
