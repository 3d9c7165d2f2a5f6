"""Threads: no gradient is lost, and modes and hooks belong to their thread. On a Python without a global lock the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import ndgrad as torch
from ndgrad.autograd import Function, grad
from ndgrad.core.node import tick

THREADS = 8


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work(number)` in threads that start together; what one of them raises is raised here."""
    barrier, failures = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def leaf(*values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        ctx.factor = 3.0
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * ctx.factor * x**2


def test_the_tester_sees_what_a_thread_raises() -> None:
    with pytest.raises(AssertionError, match="5"):
        in_threads(refuse_five)


def refuse_five(number: int) -> None:
    assert number != 5, "5"


@pytest.mark.parametrize("shape", [(), (3,)])
def test_eight_threads_with_two_thousand_backwards_each_give_the_exact_sum(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)

    def work(number: int) -> None:
        for _ in range(2000):
            (x * float(number + 1)).sum().backward()

    in_threads(work)
    assert x.grad.reshape(-1).tolist() == [2000.0 * sum(range(1, THREADS + 1))] * max(1, x.numel())
    assert x.grad._version == 2000 * THREADS - 1


def test_several_cotangents_of_one_backward_and_several_leaves() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)

    def work(number: int) -> None:
        for _ in range(200):
            z = x * 2.0 + y
            (z + x + y * z.detach()).sum().backward()

    in_threads(work)
    runs = 200 * THREADS
    assert x.grad.tolist() == [3.0 * runs] * 2
    assert y.grad.tolist() == [6.0 * runs, 9.0 * runs]


def test_a_shared_graph() -> None:
    x = leaf(0.5, -1.0)
    y = (x.sin() * x).sum()
    (once,) = grad(y, x, retain_graph=True)

    def work(number: int) -> None:
        for _ in range(100):
            (found,) = grad(y, x, retain_graph=True)
            assert found.tolist() == once.tolist()
            y.backward(retain_graph=True)

    in_threads(work)
    assert x.grad.tolist() == pytest.approx([100 * THREADS * value for value in once.tolist()], rel=1e-12)


def test_retained_gradients_of_a_shared_graph() -> None:
    x = leaf(1.0, 2.0)
    middle = x * 3.0
    middle.retain_grad()
    y = (middle * 2.0).sum()

    def work(number: int) -> None:
        for _ in range(200):
            y.backward(retain_graph=True)

    in_threads(work)
    assert middle.grad.tolist() == [2.0 * 200 * THREADS] * 2
    assert x.grad.tolist() == [6.0 * 200 * THREADS] * 2


def test_separate_graphs_with_second_derivatives_and_custom_functions() -> None:
    def work(number: int) -> None:
        x = leaf(float(number), 2.0)
        for _ in range(60):
            (first,) = grad((Cube.apply(x) + x * x).sum(), x, create_graph=True)
            (second,) = grad(first.sum(), x)
            assert second.tolist() == [6.0 * number + 2.0, 14.0]

    in_threads(work)


def test_create_graph_into_shared_leaves() -> None:
    x = leaf(2.0)

    def work(number: int) -> None:
        for _ in range(50):
            (x * 3.0).sum().backward(create_graph=True)

    in_threads(work)
    assert x.grad.tolist() == [3.0 * 50 * THREADS]


def test_hooks_and_views_with_writes_in_every_thread() -> None:
    w = leaf(1.0, 2.0, 3.0)
    calls = []
    w.register_hook(lambda g: calls.append(threading.get_ident()))
    w.register_post_accumulate_grad_hook(lambda leaf: calls.append(threading.get_ident()))

    def work(number: int) -> None:
        for _ in range(60):
            own = []
            y = w * 2.0
            y.register_hook(lambda g, own=own: own.append(g))
            y[1:].mul_(3.0)
            y.sum().backward()
            assert [g.tolist() for g in own] == [[1.0, 3.0, 3.0]]

    in_threads(work)
    runs = 60 * THREADS
    assert w.grad.tolist() == [2.0 * runs, 6.0 * runs, 6.0 * runs]
    assert len(calls) == 2 * runs
    assert len(set(calls)) <= THREADS


def test_registering_and_removing_hooks_while_others_run_backward() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    z = y.sum()

    def work(number: int) -> None:
        for _ in range(150):
            if number % 2:
                for each in (x, y):
                    handle = each.register_hook(lambda g: None)
                    handle.remove()
            else:
                z.backward(retain_graph=True)

    in_threads(work)
    assert x.grad.tolist() == [2.0 * 150 * THREADS / 2] * 2


def test_modes_belong_to_their_thread() -> None:
    x = leaf(1.0)

    def work(number: int) -> None:
        for _ in range(300):
            assert torch.is_grad_enabled()
            with torch.set_grad_enabled(number % 2 == 0):
                assert (x * 2.0).requires_grad == (number % 2 == 0)
                with torch.inference_mode(number % 3 == 0):
                    assert (x * 2.0).is_inference() == (number % 3 == 0)
            (x * 2.0).sum().backward()

    in_threads(work)
    assert x.grad.tolist() == [600.0 * THREADS]


def test_numbers_of_nodes_are_unique() -> None:
    found: list[list[int]] = [[] for _ in range(THREADS)]
    in_threads(lambda number: found[number].extend(tick() for _ in range(5000)))
    assert len({each for numbers in found for each in numbers}) == 5000 * THREADS
    assert all(numbers == sorted(numbers) for numbers in found)


def test_a_shared_input_is_saved_by_all_threads_under_one_version() -> None:
    """The version counter of a tensor that no thread has saved yet is made once, or a later write would go unnoticed."""
    for _ in range(100):
        x = torch.ones(2, dtype=torch.float64)
        w = leaf(1.0, 2.0)
        made = []
        in_threads(lambda number, x=x, w=w, made=made: made.append(w * x), 4)
        x.add_(1.0)
        for y in made:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.sum().backward()


class Nested(Function):
    """Differentiates inside of its backward, `depth` calls deep."""

    @staticmethod
    def forward(ctx: Any, x: Any, depth: int) -> Any:
        ctx.save_for_backward(x)
        ctx.depth = depth
        return x * 2.0

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        if not ctx.depth:
            return g * 2.0, None
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            Nested.apply(inner, ctx.depth - 1).backward(g)
        return inner.grad, None


def test_backward_inside_backward_a_hundred_levels_deep_in_every_thread() -> None:
    def work(number: int) -> None:
        x = leaf(1.0, float(number))
        Nested.apply(x, 40 if number else 100).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]
        assert torch.is_grad_enabled()

    in_threads(work, 4)


def test_backward_inside_of_hooks() -> None:
    x, total = leaf(1.0, 2.0), leaf(0.0)

    def hook(g: Any) -> Any:
        with torch.enable_grad():
            (total * g.sum().item()).sum().backward()
        return g * 2.0

    def work(number: int) -> None:
        for _ in range(50):
            y = x * 1.0
            y.register_hook(hook)
            y.grad_fn.register_hook(lambda inputs, outputs: (total * 1.0).sum().backward() if torch.is_grad_enabled() else None)
            y.sum().backward()

    in_threads(work)
    assert x.grad.tolist() == [2.0 * 50 * THREADS] * 2
    assert total.grad.tolist() == [2.0 * 50 * THREADS]
