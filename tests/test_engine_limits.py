"""What the engine bears: depth, threads, interruptions, and memory that has to be given back."""

import gc
import signal
import threading
import weakref

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd import grad
from ndgrad.autograd.engine import ALONE, ALONE_IN_ONE, is_ours
from ndgrad.autograd.graph import Node


def leaf(*values, dtype=torch.float64):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------- depth
def test_a_chain_of_a_million_operations():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y


def test_two_runs_give_the_same_bits():
    def run():
        torch.manual_seed(3)
        w, b = torch.randn(40, 30, requires_grad=True), torch.randn(30, requires_grad=True)
        x = torch.randn(50, 40)
        h = (x @ w + b).tanh()
        for _ in range(20):
            h = (h * h.softmax(1) + h.roll(1, 0)).sin()
        h[:, ::2].mul_(0.5)
        loss = h.index_select(0, torch.tensor([1, 1, 4, 1])).logsumexp(1).sum() + (h @ h.t()).mean()
        (first,) = grad(loss, w, create_graph=True)
        (first.pow(2).sum() + loss).backward()
        return [t.detach().numpy().tobytes() for t in (loss, first, w.grad, b.grad)]

    assert run() == run()


def test_long_chains_of_views_and_of_writes():
    x = torch.ones(4, dtype=torch.float64, requires_grad=True)
    base = x * 1
    v = base
    for _ in range(8_000):
        v = v.view(2, 2).view(4)
    v.mul_(3)
    for _ in range(8_000):
        base.mul_(1.0)
    v.sum().backward()
    assert x.grad.tolist() == [3.0] * 4
    del v, base


def test_a_long_chain_that_never_ran_is_freed():
    x = leaf(1.0)
    y = x
    for _ in range(300_000):
        y = y.exp()
    watch = weakref.ref(y.grad_fn)
    del y
    assert watch() is None


def test_long_chain_with_create_graph():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    (g,) = grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [1.0]


# ---------------------------------------------------------------- threads and interruptions
def test_threads_on_leaves_of_their_own():
    found = {}

    def work(number):
        x = torch.tensor([float(number)], dtype=torch.float64, requires_grad=True)
        for _ in range(50):
            (x * x).sum().backward()
        found[number] = x.grad.item()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: 100.0 * number for number in range(8)}


@pytest.mark.parametrize("size", [1, 20_000])
def test_threads_on_a_shared_leaf_lose_nothing(size):
    x = torch.ones(size, dtype=torch.float64, requires_grad=True)
    failures = []

    def work():
        try:
            for _ in range(40):
                (x * 2.0).sum().backward()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert x.grad.sum().item() == 2.0 * 40 * 8 * size


def test_threads_on_a_shared_graph():
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    threads = [threading.Thread(target=y.backward, kwargs={"retain_graph": True}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (once,) = grad(y, x)
    assert x.grad.tolist() == pytest.approx([8 * value for value in once.tolist()])


@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyError, ZeroDivisionError])
@pytest.mark.parametrize("place", ["leaf", "interior", "before node", "after node", "accumulated"])
def test_an_exception_of_a_hook_keeps_its_type_and_leaves_everything_usable(error, place):
    x = leaf(1.0, 2.0)
    y = x.exp()

    def hook(*arguments):
        raise error("stop")

    register = {
        "leaf": x.register_hook,
        "interior": y.register_hook,
        "before node": y.grad_fn.register_prehook,
        "after node": y.grad_fn.register_hook,
        "accumulated": x.register_post_accumulate_grad_hook,
    }
    handle = register[place](hook)
    with pytest.raises(error, match="stop"):
        y.sum().backward()
    assert torch.is_grad_enabled()
    handle.remove()
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    with torch.no_grad():
        with pytest.raises(RuntimeError):
            x.sum().backward()
        assert not torch.is_grad_enabled()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
def test_an_interruption_at_any_moment_leaves_the_modes_and_the_gradients_whole():
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for attempt in range(150):
            y = x
            for _ in range(300):
                y = y * 1.0
            root = y.sum()
            x.grad = None
            try:
                signal.setitimer(signal.ITIMER_REAL, 5e-5 + attempt * 5e-6)
                try:
                    root.backward()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert torch.is_grad_enabled()
            assert x.grad is None or x.grad.tolist() == [1.0, 1.0, 1.0]
            x.grad = None
            (x * 2).sum().backward()
            assert x.grad.tolist() == [2.0, 2.0, 2.0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > 10


# ---------------------------------------------------------------- memory
def live_objects():
    kinds = (torch.Tensor, Node)
    # the type alone: asking a foreign object for its __class__ may run its code
    return sum(issubclass(type(thing), kinds) for thing in gc.get_objects())


def train(w, b, x, steps):
    for _ in range(steps):
        hidden = (x * w + b).sin()
        hidden.mul_(2.0)
        flat = hidden.view(-1)
        flat.mul_(0.5)
        (flat * flat).sum().backward()
        with torch.no_grad():
            for parameter in (w, b):
                parameter.add_(parameter.grad * -0.01)
                parameter.grad = None


def test_a_training_loop_makes_no_reference_cycles():
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    x = torch.ones(4, 3, dtype=torch.float64)
    train(w, b, x, 2)
    gc.collect()
    gc.disable()
    try:
        before = live_objects()
        train(w, b, x, 20)
        assert live_objects() <= before  # fewer, where something of an earlier test has gone meanwhile
    finally:
        gc.enable()


def test_an_abandoned_graph_is_freed_at_once():
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x.exp()
        v = y.view(2, 1)
        v.mul_(2)
        z = (y * v.view(2)).sum()
        watched = [weakref.ref(thing) for thing in (y, v, y.grad_fn, v.grad_fn, z.grad_fn)]
        del y, v, z
        assert [reference() for reference in watched] == [None] * 5
    finally:
        gc.enable()


def test_create_graph_leaves_nothing_behind_after_a_collection():
    x = leaf(1.0, 2.0)

    def work():
        (x.exp() * x).sum().backward(create_graph=True)
        (x.grad * x.grad).sum().backward()
        x.grad = None

    work()
    gc.collect()
    before = live_objects()
    for _ in range(20):
        work()
    gc.collect()
    assert live_objects() <= before  # fewer, where something of an earlier test has gone meanwhile


def test_a_backward_frees_what_was_saved_as_it_goes():
    x = leaf(1.0, 2.0)
    y = x.exp()
    watch = weakref.ref(y)
    z = (y * y).sum()
    del y
    z.backward()
    assert watch() is None
    assert z.grad_fn is not None


# ---------------------------------------------------------------- who may write to a cotangent
def test_an_array_is_ours_only_while_nobody_else_refers_to_its_memory():
    fresh = np.empty((2, 3))
    assert is_ours(fresh, ALONE)
    kept = (fresh,)
    assert not is_ours(fresh, ALONE)
    assert is_ours(fresh, ALONE_IN_ONE)
    del kept
    view = fresh.T
    assert not is_ours(fresh, ALONE)
    assert not is_ours(view, ALONE)  # `fresh` still looks at the same memory
    del fresh
    assert is_ours(view, ALONE)
    part = np.empty(6)[:3]
    assert not is_ours(part, ALONE)  # it would keep the rest alive
    wide = np.broadcast_to(np.empty(1), (1,))
    assert not is_ours(wide, ALONE)  # it may not be written to


@pytest.mark.parametrize(
    "operation", [lambda a: a + a, lambda a: a.view(2, 2) + a.view(2, 2), lambda a: torch.cat([a, a]), lambda a: -a.t()]
)
def test_no_gradient_shares_memory_with_another_or_with_what_was_given(operation):
    a = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    b = a * 1.0
    given = []
    b.register_hook(given.append)
    out = operation(b)
    root = torch.ones_like(out)
    out.backward(root, retain_graph=True)
    first = a.grad
    assert not np.shares_memory(first.numpy(), root.numpy())
    assert not np.shares_memory(first.numpy(), given[0].numpy())
    before = given[0].clone()
    out.backward(root)
    assert torch.equal(given[0], before)
    assert torch.equal(root, torch.ones_like(out))
