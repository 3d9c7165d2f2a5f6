"""The names of `torch.autograd` that are no operations, and what of them PyTorch cannot show or does not do."""

import gc
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict

import pytest

import ndgrad as torch
from ndgrad.autograd import _functions, graph
from ndgrad.autograd.gradcheck import GradcheckError, get_numerical_jacobian_wrt_specific_input
from ndgrad.autograd.multi_grad_hooks import current_graph_task_id
from ndgrad.autograd.variable import Variable
from ndgrad.utils.hooks import RemovableHandle, unserializable_hook, warn_if_has_hooks


def leaf(*values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def test_every_name_of_all_is_there():
    for module in (torch.autograd, graph, torch.autograd.grad_mode, torch.autograd.function):
        assert module.__all__
        for name in module.__all__:
            assert hasattr(module, name)


# ---------------------------------------------------------------- Variable
def test_every_tensor_is_a_variable():
    assert isinstance(torch.ones(1), Variable)
    assert not isinstance([1.0], Variable)
    assert torch.autograd.Variable is Variable


def test_a_variable_is_a_tensor_without_history_over_the_same_memory():
    x = leaf(1.0, 2.0)
    made = Variable(x * 2, requires_grad=True)
    assert type(made) is torch.Tensor
    assert made.is_leaf
    (made * 3).sum().backward()
    assert made.grad.tolist() == [3.0, 3.0]
    assert x.grad is None
    with torch.no_grad():
        Variable(x).mul_(2)
    assert x.tolist() == [2.0, 4.0]
    assert x._version == 1


def test_what_no_variable_can_be_made_of():
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        Variable([1.0])
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"):
        Variable(torch.ones(1, dtype=torch.int64), requires_grad=True)
    with pytest.raises(RuntimeError, match=r"use torch\.tensor"):
        torch.autograd.variable(1.0)
    with pytest.warns(UserWarning, match="volatile was removed"):
        Variable(torch.ones(1), volatile=True)


# ---------------------------------------------------------------- callbacks
def test_callbacks_run_once_at_the_end_of_the_backward_that_queued_them():
    engine, log, x = Variable._execution_engine, [], leaf(1.0)
    handle = x.register_hook(lambda g: engine.queue_callback(lambda: log.append(x.grad.item())))
    (x * 2).sum().backward()
    assert log == [2.0]
    handle.remove()
    (x * 2).sum().backward()
    assert log == [2.0]
    with pytest.raises(RuntimeError, match="Final callbacks can only be installed during backward pass"):
        engine.queue_callback(lambda: None)


def test_callbacks_belong_to_the_backward_of_their_thread():
    engine, log, inside, go_on = Variable._execution_engine, [], threading.Event(), threading.Event()

    def wait(g):
        inside.set()
        go_on.wait(10)
        engine.queue_callback(lambda: log.append(threading.get_ident()))

    x = leaf(1.0)
    x.register_hook(wait)
    thread = threading.Thread(target=(x * 2).sum().backward)
    thread.start()
    assert inside.wait(10)
    try:
        with pytest.raises(RuntimeError, match="Final callbacks"):
            engine.queue_callback(lambda: None)
    finally:
        go_on.set()
        thread.join()
    assert log == [thread.ident]


def test_backwards_have_numbers_of_their_own():
    numbers, x = [], leaf(1.0)

    def hook(g):
        numbers.append(current_graph_task_id())
        if len(numbers) == 1:
            with torch.enable_grad():
                (x * 3).sum().backward()
            numbers.append(current_graph_task_id())

    x.register_hook(hook)
    assert current_graph_task_id() == -1
    (x * 2).sum().backward()
    assert numbers[0] == numbers[2] != numbers[1]
    assert current_graph_task_id() == -1


def test_only_a_backward_to_all_leaves_lets_reentrant_checkpoints_run():
    engine, log, x = Variable._execution_engine, [], leaf(1.0)
    x.register_hook(lambda g: log.append(engine.is_checkpoint_valid()))
    (x * 2).sum().backward()
    (x * 2).sum().backward(inputs=x)
    torch.autograd.grad((x * 2).sum(), x)
    assert log == [True, False, False]


# ---------------------------------------------------------------- handles
def test_a_handle_keeps_neither_hooks_nor_tensors_alive():
    class Hook:
        def __call__(self, g):
            return None

    x, hook = leaf(1.0), Hook()
    gone = weakref.ref(hook), weakref.ref(x)
    handle = x.register_hook(hook)
    del x, hook
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    handle.remove()


def test_handles_made_by_many_threads_differ():
    hooks, ids = OrderedDict(), []
    threads = [threading.Thread(target=lambda: ids.extend([RemovableHandle(hooks).id for _ in range(500)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 4000


def test_a_warning_for_hooks_that_are_not_saved():
    x = leaf(1.0)
    x.register_hook(unserializable_hook(lambda g: None))
    warn_if_has_hooks(x)
    x.register_hook(lambda g: None)
    with pytest.warns(UserWarning, match="will not be serialized"):
        warn_if_has_hooks(x)


def test_the_modules_of_published_code_can_be_imported_by_their_names():
    code = """
import ndgrad
ndgrad.install_as_torch()
import torch.utils.hooks as hooks
import torch.autograd.gradcheck, torch.autograd.variable
from torch.autograd import Variable
from torch.autograd.grad_mode import no_grad, set_multithreading_enabled
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.autograd.graph import Node, register_multi_grad_hook
from torch.utils.hooks import RemovableHandle
x = torch.ones(1, requires_grad=True)
assert isinstance(x.register_hook(print), RemovableHandle)
assert torch.autograd.gradcheck is gradcheck and not isinstance(torch.autograd.variable, type(torch))
assert isinstance((x * 2).grad_fn, Node) and Variable is torch.autograd.Variable
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- nodes
def test_a_class_can_be_registered_as_a_node():
    class Foreign:
        pass

    assert not isinstance(Foreign(), graph.Node)
    graph.Node.register(Foreign)
    assert isinstance(Foreign(), graph.Node)
    assert isinstance(leaf(1.0).exp().grad_fn, graph.Node)
    with pytest.raises(TypeError, match="abstract"):
        graph.Node()


def test_what_a_node_receives():
    x = torch.ones(4, 3, requires_grad=True)
    (meta,) = x.sum(0).grad_fn._input_metadata
    assert (meta.shape, meta.dtype, meta.device) == ([3], torch.float32, torch.device("cpu"))
    assert len(x.unbind()[0].grad_fn._input_metadata) == 4


# ---------------------------------------------------------------- hooks of several tensors
def test_grad_with_respect_to_leaves_counts_for_hooks_of_several_tensors():
    a, b = leaf(1.0), leaf(2.0)
    c, log = a * b, []
    graph.register_multi_grad_hook((a, b, c), lambda grads: log.append([None if g is None else g.item() for g in grads]))
    torch.autograd.grad(c, a, retain_graph=True)  # where PyTorch raises
    torch.autograd.grad(c, [a, b])
    assert log == [[2.0, None, 1.0], [2.0, 1.0, 1.0]]


def test_a_root_counts_for_hooks_of_several_tensors():
    x, log = leaf(1.0, 2.0), []
    a, b = x.unbind()
    graph.register_multi_grad_hook((a, b), log.append)
    a.backward()  # where PyTorch never calls the hook
    assert [g if g is None else g.item() for g in log[0]] == [1.0, None]


def test_gradients_of_a_backward_that_failed_are_not_kept():
    a, b = leaf(1.0), leaf(2.0)
    kept, log = [], []

    def fails(g):
        kept.append(weakref.ref(g))
        raise ValueError

    c = a * 1
    handles = [graph.register_multi_grad_hook((a, b), log.append), c.register_hook(fails)]
    with pytest.raises(ValueError):
        (b * 2 + c).sum().backward()
    gc.collect()
    assert log == []
    assert kept[0]() is None
    handles[1].remove()
    (b * 2 + a).sum().backward()
    assert [g.item() for g in log[0]] == [1.0, 2.0]


def test_hooks_of_several_tensors_in_many_threads():
    x, y = leaf(1.0), leaf(2.0)
    both, first, lock = [], [], threading.Lock()

    def note(grads):
        with lock:
            both.append([g.item() for g in grads])

    graph.register_multi_grad_hook((x, y), note)
    graph.register_multi_grad_hook((x, y), lambda g: first.append(g.item()), mode="any")

    def run(factor):
        for _ in range(50):
            ((x + y) * factor).sum().backward()

    threads = [threading.Thread(target=run, args=(float(factor),)) for factor in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sorted(float(factor) for factor in range(1, 9) for _ in range(50))
    assert sorted(both) == [[factor, factor] for factor in expected]
    assert sorted(first) == expected


# ---------------------------------------------------------------- the rest
def test_switches_are_of_one_thread():
    found = []
    with torch.autograd.set_multithreading_enabled(False), torch.autograd._force_original_view_tracking(True):
        thread = threading.Thread(
            target=lambda: found.extend([torch.autograd.is_multithreading_enabled(), torch.autograd.is_view_replay_enabled()])
        )
        thread.start()
        thread.join()
        assert (torch.autograd.is_multithreading_enabled(), torch.autograd.is_view_replay_enabled()) == (False, True)
    assert found == [True, False]


def test_a_replayed_view_is_made_anew_in_no_grad_too():
    with torch.autograd._force_original_view_tracking(True):
        base = leaf(1.0, 2.0, 3.0) * 1
        view = base[1:]
    base.mul_(2)
    with torch.no_grad():
        assert view.grad_fn.name() == "SliceBackward0"


def test_a_region_outside_of_compiled_code_is_an_error():
    with pytest.raises(RuntimeError, match="has no effect in eager mode"):
        graph.region_activation_memory_budget(0.5)


def test_a_jacobian_by_differences_wants_an_input_that_requires_grad():
    x = torch.ones(2, dtype=torch.float64)
    with pytest.raises(AssertionError, match="Expected input to have requires_grad=True"):
        get_numerical_jacobian_wrt_specific_input(lambda a: a * 2, 0, (x,), (x * 2,), 1e-6)
    assert issubclass(GradcheckError, RuntimeError)


def test_the_old_functions_for_shapes_and_types():
    x = torch.ones(2, 3, requires_grad=True)
    _functions.Resize.apply(x, (3, 2)).sum().backward()
    assert x.grad.tolist() == [[1.0] * 3] * 2
    with pytest.raises(RuntimeError, match=r"requested resize to 4 \(4 elements in total\)"):
        _functions.Resize.apply(x, (4,))
    with pytest.warns(FutureWarning, match="deprecated"):
        assert _functions.Type.apply(x, torch.float64).dtype is torch.float64
