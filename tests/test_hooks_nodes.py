"""Hooks on tensors and nodes, retained gradients, and nodes as users see them."""

import copy
import gc
import pickle
import weakref

import pytest

import ndgrad as torch
from ndgrad.autograd.graph import Node, increment_version, register_multi_grad_hook


def leaf(*values, dtype=torch.float64):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------- hooks
def test_hooks_run_in_order_and_chain():
    x = leaf(1.0)
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.sum().backward()
    assert y.grad.tolist() == [20.0]
    assert x.grad.tolist() == [20.0]


def test_handles_remove_once_and_for_all_and_work_as_contexts():
    x = leaf(1.0)
    handle = x.register_hook(lambda g: g * 10)
    (x * 1).sum().backward()
    handle.remove()
    handle.remove()
    with x.register_hook(lambda g: g * 100):
        (x * 1).sum().backward()
    (x * 1).sum().backward()
    assert x.grad.tolist() == [111.0]


def test_a_hook_may_remove_itself_or_another_while_running():
    x = leaf(1.0)
    calls, handles = [], []

    def once(g):
        calls.append("once")
        for handle in handles:
            handle.remove()

    handles += [x.register_hook(once), x.register_hook(lambda g: calls.append("other"))]
    (x * 1).sum().backward()
    (x * 1).sum().backward()
    assert calls in (["once"], ["once", "other"])


def test_order_of_all_kinds_of_hooks():
    x = leaf(1.0)
    y = x.exp()
    calls = []
    y.grad_fn.register_hook(lambda inputs, outputs: calls.append("node after"))
    y.grad_fn.register_prehook(lambda outputs: calls.append(("node before", y.grad is not None)))
    y.register_hook(lambda g: calls.append("tensor"))
    y.retain_grad()
    behind = y.grad_fn.next_functions[0][0]
    behind.register_prehook(lambda outputs: calls.append(("leaf node before", x.grad is not None)))
    behind.register_hook(lambda inputs, outputs: calls.append(("leaf node after", inputs, len(outputs))))
    x.register_post_accumulate_grad_hook(lambda param: calls.append(("accumulated", param is x, param.grad is not None)))
    x.register_hook(lambda g: calls.append("leaf"))
    y.sum().backward()
    assert calls == [
        "tensor",
        ("node before", True),
        "node after",
        "leaf",
        ("leaf node before", False),
        ("accumulated", True, True),
        ("leaf node after", (), 1),
    ]


def test_node_hooks_replace_gradients():
    x = leaf(1.0)
    y = x * 3
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 10,))
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] + 1, None))
    y.sum().backward()
    assert x.grad.tolist() == [31.0]


def test_hooks_on_an_accumulator_live_as_long_as_the_leaf():
    x = leaf(1.0)
    calls = []
    (x * 1).grad_fn.next_functions[0][0].register_hook(lambda inputs, outputs: calls.append(1))
    gc.collect()
    (x * 2).sum().backward()
    assert calls == [1]


def test_optimizer_in_backward():
    x = leaf(1.0, 2.0)

    def step(param):
        param.mul_(0.5)
        param.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 3).sum().backward()
    assert x.tolist() == [0.5, 1.0]
    assert x.grad is None


def test_hooks_see_the_grad_mode_of_the_backward():
    x = leaf(1.0)
    y = x * x
    modes = []
    y.register_hook(lambda g: modes.append(torch.is_grad_enabled()))
    y.sum().backward(retain_graph=True)
    y.sum().backward(create_graph=True)
    assert modes == [False, True]


def test_backward_inside_a_hook():
    x = leaf(2.0)
    y = x * 3
    inner = []

    def hook(g):
        with torch.enable_grad():
            z = leaf(5.0)
            (z * z).backward()
            inner.append(z.grad.item())

    y.register_hook(hook)
    y.sum().backward()
    assert inner == [10.0]
    assert x.grad.tolist() == [3.0]


def test_nodes_run_newest_first_and_leaves_as_soon_as_they_are_ready():
    order = []
    a = leaf(1.0)
    b = a * 2
    c = b * 3
    d = a * 5
    e = c + d
    for name, tensor in {"a": a, "b": b, "c": c, "d": d, "e": e}.items():
        tensor.register_hook(lambda g, name=name: order.append(name))
    e.sum().backward()
    assert order == ["e", "d", "c", "b", "a"]


# ---------------------------------------------------------------- retain_grad
def test_retained_gradient_follows_the_newest_version():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    z = y * 3
    y.mul_(4)
    assert y.retains_grad
    (y.sum() + z.sum()).backward()
    assert y.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [14.0, 14.0]


def test_retained_gradient_of_a_base_that_is_written_through_a_view():
    x = leaf(1.0, 2.0)
    y = x * 2
    v = y.view(2, 1)
    y.retain_grad()
    v.mul_(4)
    (y.sum() + (v * 3).sum()).backward()
    assert y.grad.tolist() == [4.0, 4.0]
    assert x.grad.tolist() == [32.0, 32.0]


# ---------------------------------------------------------------- nodes
def test_nodes_as_users_see_them():
    x = leaf(1.0, 2.0)
    y = x * x
    node = y.grad_fn
    assert isinstance(node, Node)
    assert node.name() == type(node).__name__ == "MulBackward0"
    assert repr(node) == f"<MulBackward0 object at {id(node):#x}>"
    assert [function.name() for function, _ in node.next_functions] == ["torch::autograd::AccumulateGrad"] * 2
    assert node.next_functions[0][0] is node.next_functions[1][0]
    assert node.next_functions[0][0].variable is x
    assert (y + 1).grad_fn.next_functions == ((node, 0), (None, 0))
    node.metadata["note"] = 1
    assert y.grad_fn.metadata == {"note": 1}
    assert node._saved_self is x
    assert node._saved_other.tolist() == [1.0, 2.0]
    assert (y * 3).grad_fn._saved_other.item() == 3
    assert x.exp().grad_fn._saved_result.grad_fn.name() == "ExpBackward0"
    assert x.pow(2).grad_fn._saved_exponent == 2
    assert x.sum(0).grad_fn._saved_dim == (0,)
    assert [name for name in dir(node) if "saved_" in name] == ["_raw_saved_other", "_raw_saved_self", "_saved_other", "_saved_self"]
    assert not hasattr(x.sum(0).grad_fn, "_raw_saved_dim")
    with pytest.raises(AttributeError, match="'MulBackward0' object has no attribute '_saved_nothing'"):
        _ = node._saved_nothing
    y.sum().backward()
    with pytest.raises(RuntimeError, match="directly access saved tensors after they have already been freed"):
        _ = node._saved_self


def test_increment_version_announces_changes_made_elsewhere():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.detach().numpy()[0] = 5.0
    increment_version([y])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_hooks_of_nodes_may_not_change_size_or_type():
    for wrong in (torch.ones(2, dtype=torch.float32), torch.ones(2, dtype=torch.complex128), torch.ones(1)):
        y = leaf(1.0, 2.0) * 2
        y.grad_fn.register_prehook(lambda outputs, wrong=wrong: (wrong,))
        with pytest.raises(RuntimeError, match=r"has changed the (type|size) of value"):
            y.sum().backward()
        y = leaf(1.0, 2.0) * 2
        y.grad_fn.register_hook(lambda inputs, outputs, wrong=wrong: (wrong, None))
        with pytest.raises(RuntimeError, match=r"has changed the (type|size) of value"):
            y.sum().backward()


def test_hooks_of_nodes_see_only_what_has_a_gradient():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    seen = []
    values, _ = x.max(1)
    values.grad_fn.register_prehook(lambda outputs: (outputs[0] * 3,) if len(outputs) == 1 else seen.append(outputs))
    values.grad_fn.register_hook(lambda inputs, outputs: seen.append((len(inputs), len(outputs))))
    values.sum().backward()
    assert seen == [(1, 1)]
    assert x.grad.tolist() == [[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]]
    assert len(values.grad_fn._input_metadata) == 1
    cube = x**3
    cube.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 0,))
    x.grad = None
    cube.sum().backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_hooks_run_after_a_prehook_has_taken_the_gradient_away():
    x, seen = leaf(1.0, 2.0), []
    y = x * x
    y.grad_fn.register_prehook(lambda outputs: (None,))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append((inputs, outputs)))
    y.sum().backward()
    assert seen == [((None, None), (None,))]
    assert x.grad is None


def test_a_gradient_made_in_inference_mode_is_not_added_to():
    x = leaf(1.0, 2.0)
    with torch.inference_mode():
        x.grad = torch.zeros_like(x)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        (x * x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_a_copy_warns_of_the_hooks_that_it_lacks():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g)
    for way in (copy.copy, pickle.dumps):
        with pytest.warns(UserWarning, match="backward hook .* on tensor will not be serialized"):
            way(x)


def test_a_hook_on_several_tensors_leaves_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y, z = x * 2, (x * 3).split(1)[0]
        register_multi_grad_hook((x, y, z), lambda grads: None)
        (y.sum() + z.sum()).backward()
        gone = [weakref.ref(tensor.grad_fn) for tensor in (y, z)]
        del y, z
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


def test_no_hook_makes_a_gradient_of_none():
    class Silent(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return None

    x = torch.ones(2, requires_grad=True)
    h = x * 2
    h.register_hook(lambda g: torch.ones(2))
    with pytest.raises(RuntimeError, match="can't replace a None gradient with a non-None value"):
        Silent.apply(h).sum().backward()


def test_a_view_retains_its_gradient_after_its_base_has_changed():
    x = torch.ones(4, requires_grad=True)
    base = x * 1
    view = base[:2]
    view.retain_grad()
    base.mul_(3)
    (view * torch.tensor([1.0, 2.0])).sum().backward()
    assert view.grad.tolist() == [1.0, 2.0] and x.grad.tolist() == [3.0, 6.0, 0.0, 0.0]
