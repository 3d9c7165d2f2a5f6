"""`nn.Module`: its members, their names, what is done to all of them, printing and copying."""

import copy
import gc
import pickle
import weakref
from collections import OrderedDict

import pytest

import ndgrad as torch
from ndgrad import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False))
        self.scale = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(()))
        self.scratch = nn.Buffer(torch.ones(1), persistent=False)

    def forward(self, x):
        self.seen += 1
        return self.second(self.first(x)) * self.scale


def names(pairs):
    return [name for name, _ in pairs]


# ---------------------------------------------------------------- members
def test_members_are_found_in_the_order_of_their_registration():
    net = Net()
    assert names(net.named_parameters()) == ["scale", "first.weight", "first.bias", "second.1.weight"]
    assert names(net.named_parameters(recurse=False)) == ["scale"]
    assert names(net.named_parameters("net")) == ["net.scale", "net.first.weight", "net.first.bias", "net.second.1.weight"]
    assert names(net.named_buffers()) == ["seen", "scratch"]
    assert names(net.named_modules()) == ["", "first", "second", "second.0", "second.1"]
    assert names(net.named_children()) == ["first", "second"]
    assert [type(module).__name__ for module in net.modules()] == ["Net", "Linear", "Sequential", "ReLU", "Linear"]


def test_what_is_shared_is_listed_once_unless_all_of_it_is_asked_for():
    net = Net()
    net.third = net.first
    net.copy = net.scale
    assert names(net.named_parameters()) == ["scale", "first.weight", "first.bias", "second.1.weight"]
    everything = names(net.named_parameters(remove_duplicate=False))
    assert {"copy", "third.weight", "third.bias"} < set(everything)
    assert len(list(net.modules(remove_duplicate=False))) == len(list(net.modules())) + 1
    assert names(net.named_children()) == ["first", "second"]


def test_an_attribute_is_a_member_of_one_kind_at_a_time():
    module = nn.Module()
    module.x = 1
    assert module.__dict__["x"] == 1
    module.x = nn.Parameter(torch.ones(1))
    assert "x" not in module.__dict__ and list(module._parameters) == ["x"]
    with pytest.raises(TypeError, match=r"cannot assign 'torch.FloatTensor' as parameter 'x' \(torch.nn.Parameter or None expected\)"):
        module.x = torch.ones(1)
    module.x = None
    assert module.x is None and list(module._parameters) == ["x"]
    del module.x
    module.x = nn.ReLU()
    assert list(module._modules) == ["x"]
    with pytest.raises(TypeError, match="cannot assign 'int' as child module 'x'"):
        module.x = 3
    module.x = nn.Parameter(torch.ones(1))
    assert not module._modules
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'y'"):
        _ = module.y


def test_a_buffer_stays_a_buffer_and_may_be_left_out_of_the_state():
    net = Net()
    net.seen = torch.ones(())
    assert net._buffers["seen"].item() == 1
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'seen'"):
        net.seen = 3
    assert list(net.state_dict()) == ["scale", "seen", "first.weight", "first.bias", "second.1.weight"]
    net.scratch = torch.zeros(1)  # a plain tensor keeps what was said of the name
    assert "scratch" not in net.state_dict()
    net.scratch = nn.Buffer(torch.zeros(1))
    assert "scratch" in net.state_dict()
    assert isinstance(net.scratch, nn.Buffer) and not isinstance(net.seen, nn.Buffer) and type(net.scratch) is torch.Tensor


def test_members_need_the_dicts_that_init_makes():
    class Hasty(nn.Module):
        def __init__(self, value):
            self.value = value
            super().__init__()

    assert Hasty(3).value == 3
    for value, kind in ((nn.ReLU(), "module"), (nn.Parameter(torch.ones(1)), "parameters"), (nn.Buffer(torch.ones(1)), "buffer")):
        with pytest.raises(AttributeError, match=rf"cannot assign {kind} before Module.__init__\(\) call"):
            Hasty(value)


@pytest.mark.parametrize("name", ["a.b", "", "forward"])
def test_names_that_no_member_can_have(name):
    module = nn.Module()
    for register in (module.register_buffer, module.register_parameter, module.add_module):
        with pytest.raises(KeyError):
            register(name, None)
    assert not module._buffers and not module._parameters and not module._modules


def test_members_by_path():
    net = Net()
    assert net.get_submodule("second.1") is net.second[1] and net.get_submodule("") is net
    assert net.get_parameter("second.1.weight") is net.second[1].weight
    assert net.get_buffer("seen") is net.seen
    for call, message in (
        (lambda: net.get_submodule("second.7"), "Sequential has no attribute `7`"),
        (lambda: net.get_submodule("first.weight"), "`weight` is not an nn.Module"),
        (lambda: net.get_parameter("seen"), "`seen` is not an nn.Parameter"),
        (lambda: net.get_buffer("scale"), "`scale` is not a buffer"),
    ):
        with pytest.raises(AttributeError, match=message):
            call()
    net.set_submodule("second.0", nn.Tanh())
    assert isinstance(net.second[0], nn.Tanh)
    with pytest.raises(AttributeError, match="Sequential has no attribute `7`"):
        net.set_submodule("second.7", nn.Tanh(), strict=True)


def test_several_bases_share_the_arguments_of_init():
    class Named:
        def __init__(self, name):
            self.name = name

    class Both(nn.Module, Named):
        call_super_init = True

    assert Both("x").name == "x" and Both(name="y").training
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        nn.Module(3)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'a'"):
        nn.Module(a=3)


def test_registration_can_be_watched_and_changed():
    seen = []

    def watch(module, name, value):
        seen.append(name)

    handles = [
        nn.modules.module.register_module_parameter_registration_hook(watch),
        nn.modules.module.register_module_buffer_registration_hook(watch),
        nn.modules.module.register_module_module_registration_hook(lambda module, name, value: nn.Identity()),
    ]
    try:
        module = nn.Module()
        module.w = nn.Parameter(torch.ones(1))
        module.register_buffer("b", None)
        module.child = nn.ReLU()
    finally:
        for handle in handles:
            handle.remove()
    module.v = nn.Parameter(torch.ones(1))
    assert seen == ["w", "b"] and isinstance(module.child, nn.Identity)


# ---------------------------------------------------------------- done to all
def test_training_mode_reaches_every_module():
    net = Net()
    assert net.eval() is net and not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train(1)


def test_conversion_keeps_the_parameters_and_converts_gradients():
    net = Net()
    net.register_buffer("count", torch.zeros((), dtype=torch.int64))
    before = list(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    assert net.double() is net
    assert all(now is old for now, old in zip(net.parameters(), before, strict=True))
    assert {parameter.dtype for parameter in before} == {torch.float64} == {parameter.grad.dtype for parameter in before}
    assert net.seen.dtype == torch.float64 and net.count.dtype == torch.int64
    assert net(torch.ones(1, 3, dtype=torch.float64)).dtype == torch.float64
    assert net.to(torch.ones(1)).scale.dtype == torch.float32
    with pytest.raises(TypeError, match=r"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.int32"):
        net.to(torch.int32)
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        net.cuda()
    with pytest.raises(RuntimeError, match=r"Torch not compiled with META enabled.* its own weights are not looked at"):
        net.to("meta")
    assert net.type(torch.float64).count.dtype == torch.float64


def test_gradients_are_forgotten_or_zeroed():
    net = Net()
    net(torch.ones(1, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(not parameter.grad.any() for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())
    net.requires_grad_(False)
    assert not net(torch.ones(1, 3)).requires_grad


def test_apply_calls_children_first():
    order = []
    Net().apply(lambda module: order.append(type(module).__name__))
    assert order == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


# ---------------------------------------------------------------- printing and copying
def test_a_module_prints_what_it_consists_of():
    class Noted(Net):
        def extra_repr(self):
            return "one\ntwo"

    inner = (
        "  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (second): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=4, out_features=2, bias=False)\n"
        "  )\n"
    )
    assert repr(Net()) == f"Net(\n{inner})"
    assert repr(Noted()) == f"Noted(\n  one\n  two\n{inner})"
    assert repr(nn.Module()) == "Module()"
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"


def test_members_are_offered_for_completion():
    offered = dir(Net())
    assert {"first", "scale", "seen", "forward", "training"} < set(offered) and offered == sorted(offered)
    assert not any(name.isdigit() for name in dir(nn.Sequential(nn.ReLU())))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_are_equal_and_share_nothing(copied):
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    net.b.weight = net.a.weight
    net.register_forward_hook(_double)
    other = copied(net)
    assert other.b.weight is other.a.weight is not net.a.weight
    x = torch.ones(1, 2)
    assert torch.equal(net(x), other(x))
    with torch.no_grad():
        other.a.weight.zero_()
    assert net.a.weight.all() and isinstance(other.a.weight, nn.Parameter)


def _double(module, args, output):
    return output * 2


def test_a_state_from_before_some_hooks_existed_is_completed():
    module = nn.ReLU()
    state = module.__getstate__()
    for name in ("_forward_hooks_with_kwargs", "_backward_pre_hooks", "_non_persistent_buffers_set"):
        del state[name]
    other = nn.ReLU.__new__(nn.ReLU)
    other.__setstate__(state)
    assert other(torch.tensor([-1.0, 1.0])).tolist() == [0.0, 1.0]


def test_a_module_needs_a_forward():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required "forward" function'):
        nn.Module()(1)


def test_a_module_that_is_no_longer_used_is_freed_at_once():
    gc.disable()
    try:
        net = Net()
        held = weakref.ref(net)
        net(torch.ones(1, 3)).sum().backward()
        del net
        assert held() is None
    finally:
        gc.enable()
