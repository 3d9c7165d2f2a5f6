"""Hooks of modules, in both directions, and of their state."""

import gc
import pickle
import weakref

import pytest

import ndgrad as torch
from ndgrad import nn
from ndgrad.nn.modules import module as modules
from ndgrad.utils.hooks import BackwardHook


class Double(nn.Module):
    def forward(self, x, *, extra=0.0):
        return x * 2 + extra


@pytest.fixture
def x():
    return torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)


# ---------------------------------------------------------------- forward
def test_hooks_before_and_after_forward_may_change_what_they_are_given(x):
    module, order = Double(), []
    module.register_forward_pre_hook(lambda module, args: order.append("pre"))
    module.register_forward_pre_hook(lambda module, args: args[0] + 1)
    module.register_forward_hook(lambda module, args, output: order.append(args[0].tolist()))
    module.register_forward_hook(lambda module, args, output: output * 10)
    assert module(x).tolist() == [40.0, 60.0]
    assert order == ["pre", [2.0, 3.0]]


def test_hooks_with_keywords(x):
    module = Double()
    module.register_forward_pre_hook(lambda module, args, kwargs: (args, {"extra": kwargs["extra"] + 1}), with_kwargs=True)
    handle = module.register_forward_hook(lambda module, args, kwargs, output: output + kwargs["extra"], with_kwargs=True)
    assert module(x, extra=1.0).tolist() == [6.0, 8.0]
    handle.remove()
    assert module(x, extra=1.0).tolist() == [4.0, 6.0] and not module._forward_hooks_with_kwargs
    module.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"forward pre-hook must return None or a tuple of \(new_args, new_kwargs\)"):
        module(x, extra=1.0)


def test_a_hook_that_is_prepended_comes_first(x):
    module, order = Double(), []
    for number in (1, 2):
        module.register_forward_hook(lambda *args, number=number: order.append(number), prepend=True)
    module(x)
    assert order == [2, 1]


def test_hooks_that_are_always_called_see_an_error_once_and_do_not_hide_it(x):
    module, order = Double(), []
    module.register_forward_hook(lambda *args: order.append("always"), always_call=True)
    module.register_forward_hook(lambda *args: order.append("only if right"))
    with pytest.raises(TypeError, match="unexpected keyword"):
        module(x, unknown=1)
    assert order == ["always"]

    def fail(*args):
        raise ValueError("in the hook")

    module.register_forward_hook(fail, always_call=True)
    with (
        pytest.warns(UserWarning, match="raised an exception that was silenced as another error was raised in forward: in the hook"),
        pytest.raises(TypeError, match="unexpected keyword"),
    ):
        module(x, unknown=1)
    with pytest.raises(ValueError, match="in the hook"):
        module(x)


def test_hooks_of_all_modules_come_first_and_can_be_removed(x):
    order = []
    net = nn.Sequential(Double())
    net[0].register_forward_hook(lambda *args: order.append("own"))
    handles = [
        modules.register_module_forward_pre_hook(lambda module, args: order.append(type(module).__name__)),
        modules.register_module_forward_hook(lambda module, args, output: order.append("all")),
    ]
    try:
        net(x)
    finally:
        for handle in handles:
            handle.remove()
    assert order == ["Sequential", "Double", "all", "own", "all"]
    net(x)
    assert order[5:] == ["own"]


# ---------------------------------------------------------------- backward
def test_full_backward_hooks_see_and_replace_gradients(x):
    module, seen = Double(), []
    module.register_full_backward_pre_hook(lambda module, outs: (outs[0] * 3,))
    module.register_full_backward_hook(lambda module, ins, outs: seen.append((ins[0].tolist(), outs[0].tolist())))
    module.register_full_backward_hook(lambda module, ins, outs: (ins[0] + 1,))
    module(x).sum().backward()
    assert seen == [([6.0, 6.0], [3.0, 3.0])] and x.grad.tolist() == [7.0, 7.0]


def test_a_full_backward_hook_spans_the_whole_module(x):
    seen = []
    net = nn.Sequential(Double(), nn.Tanh(), Double())
    net.register_full_backward_hook(lambda module, ins, outs: seen.append((ins[0], outs[0])))
    net(x).sum().backward()
    assert torch.allclose(seen[0][0], 4 / torch.cosh(2 * x.detach()) ** 2) and seen[0][1].tolist() == [1.0, 1.0]
    assert torch.equal(x.grad, seen[0][0])


def test_second_derivatives_pass_through_hooked_modules(x):
    module, calls = nn.Tanh(), []
    module.register_full_backward_hook(lambda *args: calls.append(1))
    (first,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    t = torch.tanh(x.detach())
    assert torch.allclose(second, -2 * t * (1 - t * t)) and calls


def test_a_backward_hook_must_return_as_many_gradients_as_there_are_inputs(x):
    module = Double()
    module.register_full_backward_hook(lambda module, ins, outs: (None, None))
    with pytest.raises(RuntimeError, match="Backward hook returned an invalid number of grad_input, got 2, but expected 1"):
        module(x).sum().backward()
    module = Double()
    module.register_full_backward_pre_hook(lambda module, outs: ())
    with pytest.raises(RuntimeError, match="Backward pre hook returned an invalid number of grad_output, got 0, but expected 1"):
        module(x).sum().backward()


def test_without_an_input_that_requires_grad_the_hook_fires_at_the_output():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda module, ins, outs: seen.append((ins, outs[0].tolist())))
    with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed with respect to module outputs"):
        layer(torch.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])] and layer.bias.grad.tolist() == [1.0]


def test_both_kinds_of_backward_hooks_do_not_mix():
    module = Double()
    module.register_full_backward_hook(lambda *args: None)
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks on a single Module"):
        module.register_backward_hook(lambda *args: None)
    assert len(module._backward_hooks) == 1


def test_the_older_hook_hangs_on_the_last_node(x):
    net, seen = nn.Sequential(Double(), nn.ReLU()), []
    net.register_backward_hook(lambda module, ins, outs: seen.append(ins[0].tolist()))
    with pytest.warns(FutureWarning, match="the forward contains multiple autograd Nodes"):
        out = net(x)
    out.sum().backward()
    assert seen == [[1.0, 1.0]] and x.grad.tolist() == [2.0, 2.0]


def test_backward_hook_alone(x):
    seen = []
    catching = BackwardHook("the module", [lambda module, ins, outs: seen.append((module, ins, outs))], [])
    first, word = catching.setup_input_hook((x, "word"))
    out = catching.setup_output_hook(first * 3)
    out.sum().backward()
    assert word == "word" and seen[0][0] == "the module" and seen[0][1][0].tolist() == [3.0, 3.0] and seen[0][1][1] is None


def test_hooked_modules_leave_no_garbage(x):
    module = Double()
    module.register_full_backward_hook(lambda *args: None)
    gc.disable()
    try:
        out = module(x)
        held = weakref.ref(out)
        out.sum().backward()
        del out
        assert held() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- state
def note_keys(module, state_dict, prefix, *rest):
    module.keys = [key for key in state_dict if key.startswith(prefix)]


def test_hooks_before_loading_know_their_module_and_are_pickled_with_it():
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    net[0].register_load_state_dict_pre_hook(note_keys)
    other = pickle.loads(pickle.dumps(net))
    other.load_state_dict(net.state_dict())
    assert other[0].keys == ["0.weight", "0.bias"] and not hasattr(net[0], "keys")


def test_hooks_around_the_state():
    layer, order = nn.Linear(1, 1), []
    layer.register_state_dict_pre_hook(lambda module, prefix, keep_vars: order.append(prefix))
    layer.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update({prefix + "more": metadata["version"]}))
    net = nn.Sequential(layer)
    assert list(net.state_dict()) == ["0.weight", "0.bias", "0.more"] and order == ["0."]
    net.register_load_state_dict_post_hook(lambda module, keys: keys.unexpected_keys.clear())
    assert repr(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    layer.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(AssertionError, match="are not expected to return new values"):
        net.load_state_dict(net.state_dict())
