"""Two or three features of autograd at once, run by torch and by ndgrad."""

import copy
import pickle
import warnings
from importlib import import_module

import pytest

from tests.oracle.both import PROGRAMS, check, program


def checkpoint_of(torch):
    return import_module(f"{torch.__name__}.utils.checkpoint").checkpoint


@program
def hooks_of_nodes_keep_size_and_type(torch, show, attempt):
    kinds = (torch.float64, torch.float16, torch.complex64, torch.int64)
    for wrong in (*[torch.ones(2, dtype=kind) for kind in kinds], torch.ones(2, 1), torch.ones(1), 3):
        for kind in ("prehook", "hook"):
            x = torch.ones(2, requires_grad=True)
            y = x * 2
            if kind == "hook":
                y.grad_fn.register_hook(lambda inputs, outputs, wrong=wrong: (wrong, None))
            else:
                y.grad_fn.register_prehook(lambda outputs, wrong=wrong: (wrong,))
            try:
                y.sum().backward()
            except (RuntimeError, TypeError) as error:
                show(type(error).__name__, str(error).split(" (")[0].split(":")[0].split(" at ")[0].split("; ")[0])
            show(x.grad)


@program
def hooks_of_nodes_are_told_of_outputs_that_have_gradients(torch, show, attempt):
    def functions(x):
        yield from (x.max(1), x.min(1), x.sort(1), x.topk(1), x.kthvalue(1, 1), x.median(1), x.mode(1), x.cummax(1), x.cummin(1))
        yield from (x.nanmedian(1), x.aminmax(), torch.std_mean(x), x.split(1), x.sum(1, keepdim=True).unbind())

    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    for outputs in functions(x):
        node = outputs[0].grad_fn
        show(node.name(), len(node._input_metadata))
        node.register_prehook(lambda given: show([None if g is None else g.tolist() for g in given]))
        node.register_prehook(lambda given: (given[0] * 2, *given[1:]))
        node.register_hook(lambda found, given: show(len(found), [None if g is None else g.tolist() for g in given]))
        outputs[0].sum().backward()
        show(x.grad)


@program
def hooks_of_nodes_are_told_of_operands_that_have_gradients(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for y in (x**3, x * 3, 2**x, x.fmod(2), x.clamp(0, 5), torch.where(x > 1, x, 1.0), x.masked_fill(x > 1, 5.0), x.cumsum(0)):
        y.grad_fn.register_prehook(lambda given: (given[0] * x,))
        y.grad_fn.register_hook(lambda found, given: show(len(found)))
        y.grad_fn.register_hook(lambda found, given: (found[0] * x, *found[1:]))
        (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        show(g.detach())
        show(torch.autograd.grad(g.sum(), x))


@program
def a_node_whose_gradient_a_prehook_took_away_has_its_hooks_called(torch, show, attempt):
    for several in (False, True):
        x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        y = torch.stack([x * w, x]).unbind() if several else (x * w,)
        y[0].grad_fn.register_prehook(lambda given: (None,) * len(given))
        y[0].grad_fn.register_hook(lambda found, given: show(found, given))
        y[0].register_hook(lambda g: show(g.detach()))
        x.register_hook(lambda g: show("leaf", g))
        (y[0] * y[0] * w).sum().backward()
        show(x.grad, w.grad)


@program
def inference_gradients_are_not_added_to(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.inference_mode():
        x.grad = torch.zeros(2)
    attempt(lambda: (x * x).sum().backward())
    with torch.inference_mode():
        x.grad = torch.zeros(2)
    y = (x * x).sum()
    with torch.inference_mode():
        attempt(lambda: y.backward())
    show(x.grad)


@program
def an_anomaly_inside_checkpoints(torch, show, attempt):
    checkpoint = checkpoint_of(torch)
    x = torch.tensor([0.0, 2.0], requires_grad=True)

    def function(a):
        return torch.where(a > 0, a.sqrt(), a)

    with torch.autograd.detect_anomaly():
        for reentrant in (False, True):
            attempt(lambda reentrant=reentrant: checkpoint(function, x, use_reentrant=reentrant).sum().backward())
            attempt(
                lambda reentrant=reentrant: checkpoint(
                    lambda a: checkpoint(function, a * 1, use_reentrant=reentrant) * 1, x, use_reentrant=reentrant
                )
                .sum()
                .backward()
            )
        attempt(lambda: torch.autograd.grad(checkpoint(function, x, use_reentrant=False).sum(), x, create_graph=True))
    show(x.grad)


@program
def checkpoints_with_hooks_differentiated_three_times(torch, show, attempt):
    x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    calls = []

    def function(a):
        y = a.exp()
        y.register_hook(lambda g: (calls.append("hook"), g * a)[1])
        return y.sin() * y

    y = checkpoint_of(torch)(function, x, use_reentrant=False)
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        show(torch.round(y.detach(), decimals=6), len(calls))


@program
def exceptions_and_then_the_same_tensors(torch, show, attempt):
    a, b, c = (torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(3))
    raising = [True]

    def hook(g):
        if raising[0]:
            raise LookupError("here")

    product = a * b
    product.register_hook(hook)
    total = (product * c).sum()
    attempt(lambda: total.backward())
    show(a.grad, b.grad, c.grad)
    attempt(lambda: total.backward())
    raising[0] = False
    show(torch.autograd.grad(product.sum(), [a, b]))
    attempt(lambda: (product * c).sum().backward())
    show(a.grad, b.grad, c.grad)


@program
def copies_warn_of_hooks(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: g)
    x.register_post_accumulate_grad_hook(lambda leaf: None)
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            way(x)
        show(way.__name__, [str(each.message).split("<")[0] for each in caught])


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
