"""Checkpoints: what they keep and let go, and what torch does not have, or gets wrong. What both do is compared in tests/oracle."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.core.packing import Packed
from ndgrad.ops import aten
from ndgrad.utils.checkpoint import (
    SAC_IGNORED_OPS,
    CheckpointError,
    CheckpointPolicy,
    GraphExecGroup,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
    set_device_states,
)
from ndgrad.utils.recomputing import Holder

ROWS, WIDTH, BLOCKS = 256, 64, 6


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def weights() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [(torch.randn(WIDTH, WIDTH) / 8).requires_grad_() for _ in range(BLOCKS)]


def block(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return (x @ w).sin().exp().tanh().sigmoid() + x


def stack(x: torch.Tensor, ws: list[torch.Tensor], run: Callable[..., torch.Tensor]) -> torch.Tensor:
    for w in ws:
        x = run(block, x, w)
    return x.mean()


def plainly(function: Any, *args: Any) -> Any:
    return function(*args)


again = partial(checkpoint, use_reentrant=False)
inside_backward = partial(checkpoint, use_reentrant=True)


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def nodes_of(tensor: torch.Tensor) -> list[Any]:
    found: list[Any] = [tensor.grad_fn]
    for node in found:
        found.extend(edge.node_of() for edge in node.parents if hasattr(edge, "node_of") and edge.node_of() not in found)
    return found


# ---------------------------------------------------------------- memory
def test_only_the_inputs_of_blocks_are_kept() -> None:
    ws = weights()
    out = stack(torch.randn(ROWS, WIDTH), ws, again)
    frames = set()
    for node in nodes_of(out):
        for entry in node.saved or ():
            assert not isinstance(entry, np.ndarray) or entry.size == 1, f"{node} keeps {entry.shape}"
            if type(entry) is Packed:
                assert type(entry.value) is Holder
                frames.add(entry.unpack.__self__)  # type: ignore[attr-defined]  # a bound method of the frame
    assert len(frames) == BLOCKS
    for frame in frames:
        assert [tuple(arg.value.shape) for arg in frame.args] == [(ROWS, WIDTH), (WIDTH, WIDTH)]
        assert not frame.recomputed


def allocated(run: Callable[..., torch.Tensor]) -> tuple[int, int]:
    """What a stack of blocks has allocated after its forward pass, and at most in its backward, in whole activations."""
    ws, x = weights(), torch.randn(ROWS, WIDTH)
    stack(x, ws, run).backward()
    gc.collect()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        out = stack(x, ws, run)
        after_forward = tracemalloc.get_traced_memory()[0] - start
        tracemalloc.reset_peak()
        out.backward()
        peak = tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()
    unit = ROWS * WIDTH * 4
    return after_forward // unit, peak // unit


def test_memory_of_a_stack_of_blocks() -> None:
    kept, peak = allocated(plainly)
    assert kept == 5 * BLOCKS - 1  # what matmul, sin, exp, tanh and sigmoid save, but for the input of the first block, which is there
    for run in (again, inside_backward):
        kept_again, peak_again = allocated(run)
        assert kept_again == BLOCKS - 1  # the inputs of the other blocks
        assert peak_again <= BLOCKS + 9 < peak  # beside them one block at a time


def test_recomputed_values_are_let_go_as_they_are_used() -> None:
    """While a node of a region runs, of what was recomputed only that is alive which nodes still to come need."""
    x = leaf(*range(5))
    alive: list[weakref.ref[Any]] = []
    counts: list[int] = []

    def f(x: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            x = x.sin()
            alive.append(weakref.ref(x._a))
            x.register_hook(lambda g: counts.append(sum(ref() is not None for ref in alive[4:])))
        return x

    out = checkpoint(f, x, use_reentrant=False).sum()
    assert not any(ref() is not None for ref in alive[:3])
    out.backward(retain_graph=True)
    assert counts == [0, 2, 1, 0]  # before the first use there is nothing; each use lets go of one
    assert not any(ref() is not None for ref in alive[4:])


def test_what_a_partial_backward_has_not_used_dies_with_it() -> None:
    x, y = leaf(0.5), leaf(0.7)
    alive: list[weakref.ref[Any]] = []

    def f(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = x.reshape(1, 1).sin(), y.reshape(1, 1).sin()
        alive.extend((weakref.ref(a._a), weakref.ref(b._a)))
        return a.exp(), b.exp()

    a, b = again(f, x, y)
    torch.autograd.grad(a, x, retain_graph=True)
    torch.autograd.grad(b, y, retain_graph=True)
    assert len(alive) >= 4 and not any(ref() is not None for ref in alive)


def test_groups_keep_what_their_next_backward_needs_and_no_longer() -> None:
    x = leaf(0.5, 1.0)
    alive: list[weakref.ref[Any]] = []

    def f(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = x.cos(), x.sin()
        alive.extend((weakref.ref(a._a), weakref.ref(b._a)))
        return a.exp().sin(), b.exp().sin()

    a, b = again(f, x)
    with GraphExecGroup():
        a.sum().backward()
        assert len(alive) == 4
        b.sum().backward()
    assert len(alive) == 4 and not any(ref() is not None for ref in alive)


def test_training_leaves_nothing_behind() -> None:
    """Without the garbage collector: no graph, no frame, no array survives an iteration."""
    for run in (again, inside_backward, lambda f, x, w: again(lambda x: again(f, x.cos(), w), x)):
        ws = weights()[:2]
        with no_collector():
            graphs: list[weakref.ref[Any]] = []
            for _ in range(3):
                x = torch.randn(4, WIDTH).requires_grad_()
                out = stack(x, ws, run)
                graphs.extend(map(weakref.ref, nodes_of(out)))
                out.backward()
                del out, x
            assert not [ref() for ref in graphs if ref() is not None]


def test_nothing_survives_an_error() -> None:
    x, times = leaf(0.5, 1.0), [2]

    def f(x: torch.Tensor) -> torch.Tensor:
        for _ in range(times[0]):
            x = x.exp()
        return x

    def fails() -> weakref.ref[Any]:
        times[0] = 2
        out = checkpoint(f, x, use_reentrant=False, debug=True)
        times[0] = 1
        with pytest.raises(CheckpointError):
            out.sum().backward()
        return weakref.ref(out.grad_fn)

    alive = fails()
    gc.collect()
    assert alive() is None
    assert torch.is_grad_enabled() and (x * 2).grad_fn is not None


# ---------------------------------------------------------------- behaviour
def test_a_change_of_what_was_saved_inside_is_refused() -> None:
    """PyTorch hands out the changed value, and the gradient is silently wrong."""

    def f(x: torch.Tensor) -> torch.Tensor:
        y = x.sin()
        z = y.exp()
        w = y * z
        z.mul_(2)
        return w.cos() + z

    out = again(f, leaf(0.5, 1.0))
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as error:
        out.sum().backward()
    assert "was saved inside the checkpoint made at" in str(error.value) and f"mul_ at {__file__}" in str(error.value)


def test_the_function_cannot_catch_the_early_end() -> None:
    x = leaf(0.5)

    def careful(x: torch.Tensor) -> torch.Tensor:
        try:
            return x.sin().exp()
        except Exception:
            raise AssertionError("caught") from None

    again(careful, x).backward()
    assert x.grad is not None


def test_errors_say_where_the_checkpoint_was_made() -> None:
    x, first = leaf(0.5, 1.0), [True]
    line = sys._getframe().f_lineno + 1
    out = again(lambda x: x.sin().exp() if first[0] else x.sin(), x)
    first[0] = False
    with pytest.raises(CheckpointError, match="A different number of tensors was saved") as error:
        out.sum().backward()
    assert f"{__file__}:{line}" in str(error.value) and "debug=True" in str(error.value)
    assert "Number of tensors saved during forward: 2\nNumber of tensors saved during recomputation: 1." in str(error.value)


def test_debug_lists_the_operations_and_where_they_part() -> None:
    x, first = leaf(0.5, 1.0), [True]

    def f(x: torch.Tensor) -> torch.Tensor:
        x = x.sin()
        return x.exp().cos() if first[0] else x.tanh()

    out = checkpoint(f, x, use_reentrant=False, debug=True)
    first[0] = False
    with pytest.raises(CheckpointError) as error:
        out.sum().backward()
    text = str(error.value)
    assert "aten.sin.default(float64[2]) -> float64[2]   at " + __file__ in text
    assert ">>   2  aten.exp.default" in text and ">>   2  aten.tanh.default" in text and "They differ from operation 2 on." in text
    assert isinstance(error.value.__cause__, CheckpointError)
    first[0] = True
    out = checkpoint(f, x, use_reentrant=False, debug=True)
    for _ in range(2):
        out.sum().backward(retain_graph=True)


def test_as_a_decorator() -> None:
    calls: list[int] = []

    @checkpoint(use_reentrant=False, early_stop=False)
    def f(x: torch.Tensor, *, debug: float = 1.0) -> torch.Tensor:
        """Sine, then exponential."""
        calls.append(1)
        return (x * debug).sin().exp()

    x = leaf(0.5, 1.0)
    f(x, debug=2.0).sum().backward()
    assert len(calls) == 2 and f.__name__ == "f" and f.__doc__ == "Sine, then exponential."
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos(2 * x.detach().numpy()) * np.exp(np.sin(2 * x.detach().numpy())))
    for wrong in ({}, {"use_reentrant": True}, {"use_reentrant": False, "other": 1}):
        with pytest.raises(TypeError, match=r"checkpoint\(\) missing 1 required positional argument: 'function'"):
            checkpoint(**wrong)


def test_deep_nesting_and_long_chains() -> None:
    x = leaf(0.5)

    def nest(depth: int, x: torch.Tensor) -> torch.Tensor:
        return x.sin() if depth == 0 else again(partial(nest, depth - 1), x.cos())

    expected = x
    for _ in range(12):
        expected = expected.cos()
    assert torch.equal(*(torch.autograd.grad(out, x)[0] for out in (nest(12, x), expected.sin())))
    y = x
    for _ in range(3000):
        y = again(torch.sin, y)
    y.backward()
    assert 0 < x.grad.item() < 1


def test_threads_have_their_own_switches_and_share_graphs() -> None:
    x = leaf(*range(50))
    out = again(lambda x: (x.sin() * x.cos()).exp().tanh(), x)
    (expected,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
    found: list[torch.Tensor] = []
    ended: list[bool] = []

    def work() -> None:
        reached: list[bool] = []
        again(lambda x: (x.exp(), reached.append(True))[0] * 1, leaf(1.0)).backward()
        ended.append(len(reached) == 1)
        for _ in range(20):
            found.append(torch.autograd.grad(out.sum(), x, retain_graph=True)[0])

    with set_checkpoint_early_stop(False):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ended == [True] * 4
    assert len(found) == 80 and all(torch.equal(g, expected) for g in found)


def test_a_backward_within_a_backward() -> None:
    """A hook may run another backward through the same region, which then computes again for itself."""
    x = leaf(0.5, 1.0)
    inner: list[torch.Tensor] = []
    calls: list[int] = []

    def f(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x.sin().exp().cos()

    out = again(f, x)
    total = out.sum()

    def hook(g: torch.Tensor) -> None:
        handle.remove()
        inner.append(torch.autograd.grad(total, x, retain_graph=True)[0])

    handle = out.register_hook(hook)
    total.backward()
    assert torch.equal(inner[0], x.grad) and len(calls) == 3


def test_segments_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="1 functions cannot be divided into 3 segments"):
        checkpoint_sequential([torch.sin], 3, leaf(0.5), use_reentrant=False)


def test_devices_there_are_not() -> None:
    with pytest.raises(RuntimeError, match="no device 0 of type cuda"):
        set_device_states([0], [torch.zeros(1)])


# ---------------------------------------------------------------- selected operations
def products_in_backward(function: Callable[..., Any], x: torch.Tensor, context_fn: Any) -> int:
    """How many matrix products a backward through a checkpoint computes again."""
    out = checkpoint(function, x, use_reentrant=False, context_fn=context_fn)
    primitive, runs = aten.primitives["mm"], 0
    kernel = primitive.kernel

    def counted(*given: Any) -> Any:
        nonlocal runs
        runs += 1
        return kernel(*given)

    primitive.kernel = counted
    try:
        out.sum().backward()
    finally:
        primitive.kernel = kernel
    return runs


def test_kept_results_are_not_computed_again() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x.mm(x).sin().mm(x).exp()

    x = torch.rand(3, 3, requires_grad=True)
    assert products_in_backward(f, x, partial(create_selective_checkpoint_contexts, [])) == 2
    assert products_in_backward(f, x, partial(create_selective_checkpoint_contexts, [torch.mm])) == 0


def test_policies_may_name_public_functions() -> None:
    seen: list[Any] = []

    def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        assert not ctx.is_recompute and ctx.op_output.grad_fn is None
        seen.append((str(op), len(args), kwargs))
        return CheckpointPolicy.MUST_SAVE if op in (torch.mm, torch.exp) else CheckpointPolicy.PREFER_RECOMPUTE

    x = torch.rand(3, 3, requires_grad=True)
    context_fn = partial(create_selective_checkpoint_contexts, policy)
    checkpoint(lambda x: x.mm(x).exp().sum(0), x, use_reentrant=False, context_fn=context_fn).sum().backward()
    assert [each[:2] for each in seen] == [("aten.mm.default", 2), ("aten.exp.default", 1), ("aten.sum.default", 1)]
    assert seen[2][2]["dims"] == (0,)


def test_kept_results_that_were_changed_name_the_change() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        y = x.mm(x)
        z = y.sin()
        y.add_(1)
        return z.exp()

    x = torch.rand(3, 3, requires_grad=True)
    out = checkpoint(f, x, use_reentrant=False, context_fn=partial(create_selective_checkpoint_contexts, [torch.ops.aten.mm.default]))
    with pytest.raises(RuntimeError, match=r"mutated: the result of aten.mm.default, of shape \[3, 3\], was last changed by") as error:
        out.sum().backward()
    assert f"add_ at {__file__}" in str(error.value)


def test_views_are_never_kept() -> None:
    x = torch.rand(3, 3, requires_grad=True)

    def f(x: torch.Tensor) -> torch.Tensor:
        y = x * 1
        y.t()[0].mul_(2)
        return (y * y).exp()

    (expected,) = torch.autograd.grad(f(x).sum(), x)
    out = checkpoint(f, x, use_reentrant=False, context_fn=partial(create_selective_checkpoint_contexts, lambda *_, **__: True, True))
    (found,) = torch.autograd.grad(out.sum(), x)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-6)


def test_kept_results_leave_random_numbers_where_they_are() -> None:
    """An operation that is not run again would draw no numbers, and those that come later would get its own."""

    def f(x: torch.Tensor) -> torch.Tensor:
        functional = torch.nn.functional
        y = functional.dropout(functional.dropout(x.exp(), 0.5).sin(), 0.5)
        return functional.dropout(y * torch.bernoulli(x.sigmoid()) * torch.normal(x.sigmoid(), 1.0), 0.5)

    x = torch.randn(20, 20, requires_grad=True)
    torch.manual_seed(1)
    (expected,) = torch.autograd.grad(f(x).sum(), x)
    torch.manual_seed(1)
    out = checkpoint(f, x, use_reentrant=False, context_fn=partial(create_selective_checkpoint_contexts, lambda *_, **__: True))
    torch.rand(5)
    assert torch.equal(torch.autograd.grad(out.sum(), x)[0], expected)


def test_operations_as_objects() -> None:
    mm = torch.ops.aten.mm.default
    assert mm == torch.mm and torch.mm == mm and mm != torch.sin and mm != "mm" and mm in [torch.mm] and mm in {torch.mm, 3}
    assert torch.ops.aten.mul.Tensor == torch.ops.aten.mul.Scalar and torch.ops.aten.add.Tensor.name() == "aten::add.Tensor"
    assert repr(mm) == "<OpOverload(op='aten.mm', overload='default')>" and repr(torch.ops.aten.mm) == "<OpOverloadPacket(op='aten.mm')>"
    assert torch.ops.aten._softmax.default == torch.ops.aten.softmax.int and torch.ops.aten.detach.default in SAC_IGNORED_OPS
    assert mm(torch.ones(2, 2), torch.ones(2, 2)).tolist() == torch.ops.aten.mm(torch.ones(2, 2), torch.ones(2, 2)).tolist()
    assert mm.__name__ == "mm.default" and mm.namespace == "aten" and mm.overloadpacket == torch.ops.aten.mm
    with pytest.raises(AttributeError, match="'_OpNamespace' 'aten' object has no attribute 'nothing'"):
        torch.ops.aten.nothing  # noqa: B018  looking it up is what is tested
    for primitive in aten.primitives.values():  # whatever a policy may be given can be looked up
        op = aten.operator(primitive)
        assert getattr(aten, op.packet).default == op


# ---------------------------------------------------------------- importing
def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_as_torch() -> None:
    code = """
import ndgrad
ndgrad.install_as_torch()
import torch
import torch.utils.checkpoint as c
from torch.utils.checkpoint import checkpoint
x = torch.ones(2, requires_grad=True)
checkpoint(torch.sin, x, use_reentrant=False).sum().backward()
print(c is torch.utils.checkpoint, x.grad is not None, all(hasattr(c, name) for name in c.__all__))
"""
    assert python(code) == "True True True"


def test_it_is_imported_when_it_is_needed() -> None:
    code = "import sys, ndgrad; print(any(n.startswith('ndgrad.utils.ch') for n in sys.modules)); print(ndgrad.utils.checkpoint.__name__)"
    assert python(code).split() == ["False", "ndgrad.utils.checkpoint"]
    assert python("import ndgrad; print(ndgrad.ops.aten.mm.default)") == "aten.mm.default"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        torch.utils.nothing  # type: ignore[attr-defined]  # noqa: B018  looking it up is what is tested
