"""Hooks for saved tensors, mutation of what is saved, and hooks on nodes as they are made: what torch does not have, or gets wrong."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd import graph
from ndgrad.utils.checkpoint import checkpoint


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ---------------------------------------------------------------- hooks
def test_a_change_of_what_a_hook_returned_itself_is_noticed() -> None:
    x = leaf(0.5, 1.0)
    for context in (graph.saved_tensors_hooks(lambda t: t, lambda t: t), graph.save_on_cpu()):
        with context:
            y = x * 2
            z = y * y
        y.add_(1)
        with pytest.raises(RuntimeError, match=r"by an inplace operation: \[torch.DoubleTensor \[2\]\], which is output 0 of Add, is at"):
            z.sum().backward()


def test_another_shape_from_an_unpack_hook_is_refused() -> None:
    x = leaf(0.5, 1.0)
    with graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t[:1]):
        y = x.exp()
    with pytest.raises(RuntimeError, match=r"saved tensor of shape \[2\] came back from its unpack hook with shape \[1\]"):
        y.sum().backward()


def test_hooks_are_functions() -> None:
    for pair in ((1, abs), (abs, None)):
        with pytest.raises(TypeError, match="must be a function, not"), graph.saved_tensors_hooks(*pair):  # type: ignore[arg-type]  # wrong on purpose
            raise AssertionError("entered")
        with pytest.raises(TypeError, match="Both must be functions, not"):
            leaf(1.0).exp().grad_fn._raw_saved_result.register_hooks(*pair)
    assert (leaf(1.0) * 2).grad_fn is not None


def test_hooks_can_be_entered_again() -> None:
    packed: list[int] = []
    hooks = graph.saved_tensors_hooks(lambda t: (packed.append(1), t.detach())[1], lambda t: t)
    x = leaf(1.0)
    with hooks:
        with hooks:
            x.exp()
        x.exp()
    x.exp()
    assert len(packed) == 2


def test_what_is_packed_is_not_kept() -> None:
    x = leaf(*range(80))
    with graph.saved_tensors_hooks(lambda t: t.detach().numpy().astype(np.float32), lambda a: torch.from_numpy(a).double()):
        y = x.exp()
    memory = weakref.ref(y._a)
    out = y.sum()
    del y
    assert memory() is None
    out.backward()
    np.testing.assert_allclose(x.grad.numpy()[:5], np.exp(np.arange(5.0)), 1e-6)


def test_packing_without_a_reference_cycle() -> None:
    x = leaf(0.5, 1.0)
    with no_collector():
        for context in (graph.save_on_cpu, lambda: graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t)):
            with context():
                out = (x.exp().sigmoid() * x.tanh()).sqrt()
            alive = weakref.ref(out.grad_fn)
            del out
            assert alive() is None
        with graph.allow_mutation_on_saved_tensors():
            out = x.exp().sigmoid()
            alive = weakref.ref(out.grad_fn)
            del out
            assert alive() is None


def test_hooks_belong_to_a_thread() -> None:
    packed: list[str] = []
    entered, done = threading.Event(), threading.Event()

    def work() -> None:
        with graph.saved_tensors_hooks(lambda t: (packed.append("thread"), t.detach())[1], lambda t: t):
            entered.set()
            done.wait(10)
            leaf(1.0).exp()

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(10)
    leaf(1.0).exp()
    assert not packed
    done.set()
    thread.join()
    assert packed == ["thread"]


def test_raw_data_of_outputs_leads_nowhere() -> None:
    y = leaf(0.5).exp()
    raw = y.grad_fn._raw_saved_result
    assert raw.data.grad_fn is None and raw.data.item() == y.item()
    assert raw.unpack().grad_fn is y.grad_fn


# ---------------------------------------------------------------- mutation
WRITES: list[Callable[[torch.Tensor], Any]] = [
    lambda base: base[0].add_(1),
    lambda base: base[1].mul_(2),
    lambda base: base.exp_(),
    lambda base: base.view(-1)[1:3].zero_(),
    lambda base: base.t().sin_(),
    lambda base: base.detach().fill_(7),
    lambda base: base.detach().zero_(),
    lambda base: base.data.add_(torch.ones(2, 2, dtype=torch.float64), alpha=3),
    lambda base: base.detach().addcmul_(torch.ones_like(base), torch.ones_like(base)),
    lambda base: base.detach().normal_(),
    lambda base: base.detach().apply_(lambda value: value + 1),
    lambda base: base.detach().map_(torch.ones(2, 2, dtype=torch.float64), lambda value, other: value + other),
    lambda base: base.detach().index_fill_(0, torch.tensor([1]), 5.0),
    lambda base: base.detach().masked_fill_(torch.tensor([[True, False], [False, True]]), 5.0),
    lambda base: base.detach().__setitem__((slice(None), 1), 4.0),
    lambda base: base.detach().copy_(torch.zeros(2, 2)),
    lambda base: torch.add(torch.ones(2, 2), 1, out=base.detach()),
    lambda base: base.detach().resize_(4).mul_(3),
    lambda base: torch.sort(torch.ones(2, 2, dtype=torch.float64), out=(base.detach(), torch.empty(0, dtype=torch.int64))),
]


@pytest.mark.parametrize("number", range(len(WRITES)))
def test_whatever_writes_leaves_what_was_saved(number: int) -> None:
    x = leaf(0.5, 1.0)

    def saved(base: torch.Tensor) -> torch.Tensor:
        return (base[0] * base[1]).exp() * base.sum(0) + base.t()[1].sin()

    expected = torch.autograd.grad(saved(torch.stack([x, x.sin()])).sum(), x)[0]
    with graph.allow_mutation_on_saved_tensors():
        base = torch.stack([x, x.sin()])
        out = saved(base)
        before = base.detach().clone()
        WRITES[number](base)
        assert not np.array_equal(before.numpy(), base.detach().numpy())
        found = torch.autograd.grad(out.sum(), x)[0]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-12)


def test_only_what_is_overwritten_is_copied() -> None:
    x = leaf(0.5, 1.0)
    with graph.allow_mutation_on_saved_tensors() as mutations:
        y, z = x * 2, x * 3
        out = y * y + z * z
        y.add_(1)
        kept = out.grad_fn.next_functions[1][0]._raw_saved_self.data.tensor
        assert np.shares_memory(kept.numpy(), z.detach().numpy())
        copied = out.grad_fn.next_functions[0][0]._raw_saved_self.data.tensor
        assert not np.shares_memory(copied.numpy(), y.detach().numpy())
    assert copied is not None and not mutations.handles


def test_all_is_let_go_at_the_end_of_the_block() -> None:
    x = leaf(0.5, 1.0)
    with graph.allow_mutation_on_saved_tensors():
        y = x.clone()
        out = (y * y).sum()
        y.add_(1)
        z = x.clone()
        other = (z * z).sum()
        memory = weakref.ref(z._a)
        del z
    for lost in (out, other):
        with pytest.raises(AssertionError, match="Trying to backward outside of the 'allow_mutation_on_saved_tensors' contextin"):
            lost.backward()
    assert memory() is None


def test_a_failing_block_ends_it_as_well() -> None:
    with pytest.raises(KeyError), graph.allow_mutation_on_saved_tensors():
        raise KeyError
    with graph.allow_mutation_on_saved_tensors():
        y = leaf(1.0).clone()
    y.add_(1)


# ---------------------------------------------------------------- nodes as they are made
def names_during(function: Callable[[], Any]) -> list[str]:
    names: list[str] = []
    with graph.node_creation_hook(lambda node: names.append(node.name())):
        function()
    return names


def test_nodes_are_announced_as_they_are_made() -> None:
    x = leaf(0.5, 1.0)
    assert names_during(lambda: (x.sin() * x).exp().sum()) == ["SinBackward0", "MulBackward0", "ExpBackward0", "SumBackward0"]
    assert names_during(lambda: x.detach().sin()) == []
    with torch.no_grad():
        assert names_during(lambda: x.sin()) == []
    assert x.sin().grad_fn is not None


def test_announced_nodes_are_complete() -> None:
    x = leaf(0.5, 1.0)
    seen: list[Any] = []

    def hook(node: Any) -> None:
        node.metadata["number"] = len(seen)
        seen.append((node, node.next_functions[0][0], isinstance(node, graph.Node)))

    with graph.node_creation_hook(hook):
        y = x.sin().exp()
    (sin, before_sin, is_node), (exp, before_exp, _) = seen
    assert exp is y.grad_fn and before_exp is sin and is_node
    assert before_sin.variable is x
    assert y.grad_fn.metadata == {"number": 1}
    assert sin._saved_self is x


def test_nodes_of_a_recorded_backward() -> None:
    x = leaf(0.5, 1.0)
    y = x.sin().sum()
    assert "MulBackward0" in names_during(lambda: torch.autograd.grad(y, x, create_graph=True))
    y = x.sin().sum()
    assert names_during(lambda: torch.autograd.grad(y, x)) == []


def test_nodes_of_views_and_in_place_operations() -> None:
    x = leaf(0.5, 1.0)

    def run() -> None:
        y = x * 1
        v = y[:1]
        v.mul_(2)
        v.sin()

    names = names_during(run)
    assert names[:3] == ["MulBackward0", "SliceBackward0", "MulBackward0"]
    assert "torch::autograd::CopySlices" in names and names[-1] == "SinBackward0"


def test_nodes_of_custom_functions() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.factor = 2
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
            return g * ctx.factor

    factors: list[int] = []
    with graph.node_creation_hook(lambda node: factors.append(node.factor)):
        Twice.apply(leaf(1.0))
    assert factors == [2]


def test_nodes_of_a_checkpoint_are_announced_again() -> None:
    for stops, again in ((True, ["SinBackward0"]), (False, ["SinBackward0", "ExpBackward0"])):
        x, outs = leaf(0.5, 1.0), list[torch.Tensor]()

        def run(stops: bool = stops, x: torch.Tensor = x, outs: list[torch.Tensor] = outs) -> None:
            outs.append(checkpoint(lambda x: x.sin().exp(), x, use_reentrant=False, early_stop=stops))

        assert names_during(run) == ["SinBackward0", "ExpBackward0"]
        assert names_during(outs[0].sum().backward) == again


def test_creation_hooks_nest_and_belong_to_a_thread() -> None:
    x = leaf(0.5, 1.0)
    events: list[str] = []
    with graph.node_creation_hook(lambda node: events.append(f"outer {node.name()}")):
        with graph.node_creation_hook(lambda node: events.append(f"inner {node.name()}")):
            x.sin()
        thread = threading.Thread(target=lambda: x.exp())
        thread.start()
        thread.join()
    assert events == ["outer SinBackward0", "inner SinBackward0"]


def test_creation_hooks_that_are_wrong() -> None:
    x = leaf(0.5, 1.0)
    with pytest.raises(RuntimeError, match="must return None"), graph.node_creation_hook(lambda node: 5):  # type: ignore[arg-type,return-value]  # wrong on purpose
        x.sin()
    with pytest.raises(TypeError, match="must be a function"), graph.node_creation_hook(5):  # type: ignore[arg-type]  # wrong on purpose
        raise AssertionError("entered")
    with graph.node_creation_hook(lambda node: (x.exp(), None)[1]):  # its own operations are not announced to it
        x.sin()
    assert names_during(lambda: x.sin()) == ["SinBackward0"]


def test_nothing_is_recorded_while_a_tensor_is_packed():
    x = torch.ones(2, requires_grad=True)
    modes = []

    def pack(tensor):
        modes.append((torch.is_grad_enabled(), (tensor * 2).requires_grad))
        return tensor

    with graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        x.exp()
    assert modes == [(False, False)] and torch.is_grad_enabled()


def test_hooks_that_are_disabled_are_refused_with_the_message():
    with graph.disable_saved_tensors_hooks("not here"):
        with pytest.raises(RuntimeError, match=r"^not here$"), graph.saved_tensors_hooks(id, id):
            pass
        with graph.disable_saved_tensors_hooks("nor here"):
            pass
        with pytest.raises(RuntimeError, match=r"^not here$"), graph.save_on_cpu():
            pass
    with graph.save_on_cpu(), pytest.raises(RuntimeError, match=r"^too late$"), graph.disable_saved_tensors_hooks("too late"):
        pass
