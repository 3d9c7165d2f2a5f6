"""Programs with selective checkpoints, run by both libraries."""

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.checkpoints import lists, near, tools


def policy_of(torch, *kept):
    """A policy that keeps the results of the operations of these names."""
    c = tools(torch)

    def policy(context, op, *args, **kwargs):
        return c.CheckpointPolicy.MUST_SAVE if op in kept else c.CheckpointPolicy.PREFER_RECOMPUTE

    return policy


def mixed(x, w):
    return (x.mm(w).sin().mm(w).exp() * x).cos()


def matrices(torch):
    x = (torch.arange(4.0, dtype=torch.float64).view(2, 2) / 5).requires_grad_()
    w = (torch.arange(4.0, dtype=torch.float64).view(2, 2) / 7 + 0.1).requires_grad_()
    return x, w


@program
def selected_results_are_kept(torch, show, attempt):
    c, aten = tools(torch), torch.ops.aten
    x, w = matrices(torch)
    show(lists(torch.autograd.grad(mixed(x, w).sum(), (x, w))))
    seen = []

    def everything(context, op, *args, **kwargs):
        seen.append((str(op).split(".")[1], context.is_recompute, context.op_output.requires_grad))
        return c.CheckpointPolicy.MUST_SAVE

    for what in (
        policy_of(torch, aten.mm.default),
        [aten.mm.default, aten.sin.default],
        [aten.exp.default],
        everything,
        lambda *_, **__: False,
        lambda *_, **__: True,
        lambda *_, **__: c.CheckpointPolicy.MUST_CPU_OFFLOAD,
    ):
        out = c.checkpoint(
            mixed, x, w, use_reentrant=False, context_fn=lambda what=what: c.create_selective_checkpoint_contexts(what)
        )
        show(lists(torch.autograd.grad(out.sum(), (x, w))))
    show(seen)


@program
def selected_results_twice(torch, show, attempt):
    c, aten = tools(torch), torch.ops.aten
    x, w = matrices(torch)
    for kept in ([aten.mm.default], []):
        out = c.checkpoint(mixed, x, w, use_reentrant=False, context_fn=lambda kept=kept: c.create_selective_checkpoint_contexts(kept))
        out.sum().backward(retain_graph=True)
        attempt(lambda out=out: out.sum().backward())


@program
def selected_results_changed(torch, show, attempt):
    c, aten = tools(torch), torch.ops.aten

    def f(x, w):
        y = x.mm(w)
        z = y.sin()
        y.add_(1)
        return z.exp()

    for allowed in (False, True):
        x, w = matrices(torch)

        def contexts(allowed=allowed):
            return c.create_selective_checkpoint_contexts([aten.mm.default], allow_cache_entry_mutation=allowed)

        out = c.checkpoint(f, x, w, use_reentrant=False, context_fn=contexts)
        if allowed:
            show(out)
        else:
            attempt(lambda out=out: out.sum().backward())


@program
def selected_results_of_another_run(torch, show, attempt):
    c, aten = tools(torch), torch.ops.aten
    x, w = matrices(torch)
    other = [0]

    def f(x, w):
        y = x.mm(w)
        if other[0] == 1:
            y = y.cos()
        if other[0] == 2:
            y = y.mm(w)
        return y.exp().sin()

    for stops in (True, False):
        for change in (1, 2):
            other[0] = 0
            out = c.checkpoint(
                f, x, w, use_reentrant=False, early_stop=stops, context_fn=lambda: c.create_selective_checkpoint_contexts([aten.mm.default])
            )
            other[0] = change
            attempt(lambda out=out: out.sum().backward())


@program
def wrong_policies(torch, show, attempt):
    c, aten = tools(torch), torch.ops.aten
    attempt(lambda: c.create_selective_checkpoint_contexts(3))
    for wrong in (aten.mm, "mm"):
        try:
            c.create_selective_checkpoint_contexts([wrong])
        except ValueError as error:
            show(str(error).split(" of type ")[0], str(error).split("Please")[1:])
    attempt(lambda: torch.ops.aten.no_such_operation)
    show(aten.mm.default == aten.mm.default, aten.mm.default == aten.sin.default, str(aten.mm.default), aten.mm.default.name())
    show(aten.mm.default in {aten.mm.default}, aten.mm.default.overloadpacket == aten.mm, str(aten.mm), aten.mm.default)
    show(near(aten.sin.default(torch.ones(1, dtype=torch.float64))), aten.detach.default in c.SAC_IGNORED_OPS)


@program
def selected_and_nested(torch, show, attempt):
    c, aten = tools(torch), torch.ops.aten
    x, w = matrices(torch)

    def contexts():
        return c.create_selective_checkpoint_contexts([aten.mm.default])

    def outer(x, w):
        y = c.checkpoint(mixed, x, w, use_reentrant=False, context_fn=contexts)
        return y.mm(w).sin()

    out = c.checkpoint(outer, x, w, use_reentrant=False)
    show(lists(torch.autograd.grad(out.sum(), (x, w))))
    show(lists(torch.autograd.grad(outer(x, w).sum(), (x, w))))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_programs(function):
    check(function)
