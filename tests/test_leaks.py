"""Nothing is left behind: not after a garbage collection, whatever the program did, nor without one after an ordinary training loop."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ndgrad as torch
from ndgrad.autograd import Function, grad
from ndgrad.autograd.graph import Node

SIZE = 2000  # elements, 16 kB: one array that stays is seen among what Python itself allocates
RUNS = 12
#: What Python's own free lists may take; an array that each run leaves behind takes four times as much.
LITTLE = 8 * SIZE * RUNS / 4

SCENARIOS: list[Callable[[], None]] = []


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    SCENARIOS.append(function)
    return function


def leaf() -> Any:
    return torch.ones(SIZE, dtype=torch.float64, requires_grad=True)


def live() -> int:
    """How many tensors and nodes there are; by type alone, for to ask a foreign object may run its code."""
    return sum(issubclass(type(thing), (torch.Tensor, Node)) for thing in gc.get_objects())


def growth(work: Callable[[], None], collect: bool = True) -> tuple[int, int]:
    """Tensors and nodes, and bytes, that some runs leave behind."""
    tracemalloc.start()  # first, for what Python keeps to use again would count once it is replaced
    try:
        for _ in range(3):
            work()
        gc.collect()
        if not collect:
            gc.disable()
        # a full collection has emptied the interpreter's lists of free tuples and floats, which fill up again as they are given back
        for _ in range(1 if collect else 500):
            work()
        if collect:
            gc.collect()
        objects, memory = live(), tracemalloc.get_traced_memory()[0]
        for _ in range(RUNS):
            work()
        if collect:
            gc.collect()
        return live() - objects, tracemalloc.get_traced_memory()[0] - memory
    finally:
        tracemalloc.stop()
        gc.enable()


@scenario
def create_graph_with_grad_left_set() -> None:
    x = leaf()
    (x * x).sum().backward(create_graph=True)


@scenario
def create_graph_and_a_second_backward() -> None:
    x = leaf()
    (x.exp() * x).sum().backward(create_graph=True)
    x.grad.sum().backward()


@scenario
def grad_with_create_graph() -> None:
    x = leaf()
    (first,) = grad((x * x * x).sum(), x, create_graph=True)
    grad(first.sum(), x)


@scenario
def a_hook_that_knows_its_own_tensor_without_backward() -> None:
    y = leaf().exp()
    y.register_hook(lambda g: g * y)


@scenario
def a_hook_that_knows_its_own_tensor_with_backward() -> None:
    y = leaf().exp()
    y.register_hook(lambda g: g * y)
    y.sum().backward()


@scenario
def a_hook_on_a_leaf_that_knows_the_leaf_and_the_loss() -> None:
    x = leaf()
    loss = (x * x).sum()
    x.register_hook(lambda g: g * x.detach() + loss.detach())
    x.register_post_accumulate_grad_hook(lambda leaf: [loss, x].clear())
    loss.backward()


@scenario
def hooks_of_nodes_that_know_the_node() -> None:
    y = leaf().sin()
    node = y.grad_fn
    node.register_hook(lambda inputs, outputs: [node, y].clear())
    node.register_prehook(lambda outputs: [node, y].clear())
    node.metadata["tensor"] = y
    y.sum().backward(retain_graph=True)


class KeepsItsOutput(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.y = x.exp()
        ctx.x = x
        return ctx.y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.y


@scenario
def a_custom_function_that_keeps_its_output_on_the_context() -> None:
    KeepsItsOutput.apply(leaf())


@scenario
def a_custom_function_that_keeps_its_output_with_backward() -> None:
    KeepsItsOutput.apply(leaf()).sum().backward()


@scenario
def a_graph_kept_by_retain_graph_and_retained_gradients() -> None:
    y = leaf() * 2.0
    y.retain_grad()
    (y * y).sum().backward(retain_graph=True)


@scenario
def a_tensor_that_holds_itself() -> None:
    y = leaf().exp()
    y.own = y
    y.grad_fn.metadata["graph"] = y.grad_fn


@scenario
def views_and_writes_that_never_ran_backward() -> None:
    base = leaf() * 1.0
    part = base[1:]
    part.mul_(2.0)
    base.view(2, -1).exp_()


@scenario
def an_error_in_backward() -> None:
    y = leaf().exp()
    y.mul_(2.0)
    try:
        y.sum().backward()
    except RuntimeError as error:
        assert "inplace" in str(error)


@pytest.mark.parametrize("work", SCENARIOS, ids=lambda work: work.__name__)
def test_nothing_grows_after_a_collection(work: Callable[[], None]) -> None:
    objects, memory = growth(work)
    assert objects <= 0
    assert memory < LITTLE


class Scale(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, factor: float) -> Any:
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        assert ctx.saved_tensors[0].shape == g.shape
        return g * ctx.factor, None


class Training:
    """A step of an ordinary training loop, with all that usually goes on in one."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.inputs = torch.randn(SIZE // 10, 10)
        self.weights = [torch.randn(10, 10, requires_grad=True), torch.randn(10, requires_grad=True)]
        self.norms: list[float] = []
        for weight in self.weights:
            weight.register_hook(lambda g: g.clamp(-1.0, 1.0))
            weight.register_post_accumulate_grad_hook(lambda leaf: self.norms.append(leaf.grad.norm().item()))

    def __call__(self) -> None:
        matrix, bias = self.weights
        hidden = (self.inputs @ matrix + bias).relu() * 1.0
        hidden[:, 0].mul_(0.5)
        hidden.retain_grad()
        hidden.register_hook(lambda g: g * 1.0)
        out = Scale.apply(hidden.t().reshape(10, -1).transpose(0, 1), 0.1)
        first, second = out.chunk(2, 1)
        loss = (first * second).sum() + torch.nn.functional.mse_loss(hidden, self.inputs)
        loss.backward()
        with torch.no_grad():
            for weight in self.weights:
                weight.sub_(weight.grad, alpha=0.01)
                weight.grad = None
        self.norms.clear()


def test_a_training_loop_needs_no_garbage_collector() -> None:
    objects, memory = growth(Training(), collect=False)
    assert objects <= 0
    assert memory < LITTLE


# ---------------------------------------------------------------- the tester
@pytest.fixture
def kept() -> Iterator[list[Any]]:
    things: list[Any] = []
    yield things
    things.clear()


def test_a_tensor_that_is_kept_is_seen(kept: list[Any]) -> None:
    objects, memory = growth(lambda: kept.append(leaf().exp()))
    assert objects == 3 * RUNS  # the leaf, the result and the node
    assert memory > 2 * 8 * SIZE * (RUNS - 1)


def test_an_array_that_is_kept_is_seen(kept: list[Any]) -> None:
    objects, memory = growth(lambda: kept.append(leaf().detach().numpy()))
    assert objects == 0
    assert memory > 8 * SIZE * (RUNS - 1)


def test_a_cycle_is_seen_where_nothing_collects(kept: list[Any]) -> None:
    def work() -> None:
        y = leaf().exp()
        y.own = y

    assert growth(work, collect=False)[0] == 3 * RUNS
    assert growth(work)[0] <= 0
