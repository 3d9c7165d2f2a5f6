"""Programs with reentrant checkpoints, with checkpoints in sequence, and with what is around checkpoints, run by both libraries."""

import warnings

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.checkpoints import counted, leaf, near, tools


@program
def the_default_kind(torch, show, attempt):
    c = tools(torch)
    x = leaf(torch, 0.5, 1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = c.checkpoint(torch.exp, x)
        seq = c.checkpoint_sequential([torch.exp, torch.sin], 2, x)
    show([(str(each.message), each.category.__name__) for each in caught])
    show(out.grad_fn.name(), seq)
    attempt(lambda: c.checkpoint())
    attempt(lambda: c.checkpoint(torch.exp, x, use_reentrant=True, wrong=1, other=2))
    attempt(lambda: c.checkpoint(torch.exp, x, use_reentrant=False, wrong=1))


@program
def reentrant(torch, show, attempt):
    c = tools(torch)
    x, w = leaf(torch, 0.5, 1.0), leaf(torch, 2.0, 3.0)
    f, calls = counted(lambda x, w, n: (x.sin() * w, w.exp() * n))
    a, b = c.checkpoint(f, x, w, 2, use_reentrant=True)
    show(a, b, len(calls))
    show(a.grad_fn.name(), a.grad_fn.next_functions)
    (a.sum() + b.sum()).backward()
    show(x.grad, w.grad, len(calls))
    a, b = c.checkpoint(f, x, w, 2, use_reentrant=True)
    attempt(lambda: torch.autograd.grad(a.sum(), x))
    attempt(lambda: a.sum().backward(inputs=[x]))
    attempt(lambda: a.sum().backward(create_graph=True))


@program
def reentrant_without_gradients(torch, show, attempt):
    c = tools(torch)
    x, plain = leaf(torch, 0.5, 1.0), torch.ones(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        show(c.checkpoint(lambda p: p * x, plain, use_reentrant=True))
    show([(str(each.message), each.category.__name__) for each in caught])
    out = c.checkpoint(lambda x: x.detach() * 2, x, use_reentrant=True)
    show(out)
    attempt(lambda: out.sum().backward())
    out = c.checkpoint(lambda x: (x.detach() * 2, x.exp(), 5), x, use_reentrant=True)
    (out[0].sum() + out[1].sum()).backward()
    show(out, x.grad)
    show(c.checkpoint(lambda pair: pair[0] * 2, [x], use_reentrant=True))


@program
def in_sequence(torch, show, attempt):
    c = tools(torch)
    for reentrant in (False, True):
        for segments in (1, 2, 3, 5):
            stages, calls = zip(*(counted(f) for f in (torch.sin, torch.exp, torch.cos, torch.tanh, torch.sigmoid)), strict=True)
            x = leaf(torch, 0.5, 1.0)
            out = c.checkpoint_sequential(list(stages), segments, x, use_reentrant=reentrant)
            out.sum().backward()
            show(near(out), near(x.grad), [len(each) for each in calls])
    attempt(lambda: c.checkpoint_sequential([torch.sin], 2, x, use_reentrant=False))
    attempt(lambda: c.checkpoint_sequential([torch.sin], 1, x, use_reentrant=False, wrong=1))


@program
def helpers(torch, show, attempt):
    c = tools(torch)
    x = leaf(torch, 0.5, 1.0)
    y, number, plain = c.detach_variable((x * 2, 3, torch.ones(1)))
    show(y, y.is_leaf, number, plain)
    attempt(lambda: c.detach_variable([x]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        c.check_backward_validity([1, torch.ones(1)])
        c.check_backward_validity([1, x])
    show([str(each.message) for each in caught])
    show(c.get_device_states(x, 1), c.set_device_states([], []))
    show(c.DefaultDeviceType.get_device_type())
    show(len(c.noop_context_fn()), [each.name for each in c.CheckpointPolicy])
    show(sorted(c.__all__))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_programs(function):
    check(function)
