"""`Module`, call by call: each program is run under torch and under ndgrad, and shows the same."""

import copy
import pickle
from collections import OrderedDict

import pytest

from tests.oracle.both import PROGRAMS, check, program


def make(lib):
    """A module with a bit of everything, of which all values are known."""
    nn = lib.nn

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(lib.arange(6.0).reshape(2, 3))
            self.register_parameter("bias", None)
            self.register_buffer("count", lib.zeros((), dtype=lib.int64))

        def forward(self, x, scale=1):
            return x @ self.weight.t() * scale

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.note = "a note"
            self.scale = nn.Parameter(lib.ones(2, dtype=lib.float64))
            self.inner = Inner()
            self.empty = None
            self.rest = nn.Sequential(nn.Tanh(), Inner2(lib), nn.ReLU())
            self.again = self.inner
            self.register_buffer("hidden", lib.ones(1), persistent=False)
            self.register_buffer("nothing", None)
            self.register_module("reserved", None)

        def forward(self, x):
            return self.rest(self.inner(x)) * self.scale

    return Outer()


def Inner2(lib):
    layer = lib.nn.Linear(2, 2, bias=False)
    with lib.no_grad():
        layer.weight.copy_(lib.eye(2))
    return layer


@program
def walking(lib, show, attempt):
    m = make(lib)
    show(m, m.inner, list(m._parameters), list(m._buffers), list(m._modules), m._non_persistent_buffers_set)
    for duplicates in (True, False):
        for recurse in (True, False):
            show([name for name, _ in m.named_parameters("p", recurse, duplicates)])
            show([name for name, _ in m.named_buffers("p", recurse, duplicates)])
        show([name for name, _ in m.named_modules(prefix="m", remove_duplicate=duplicates)])
        show([type(each).__name__ for each in m.modules(remove_duplicate=duplicates)])
    show([name for name, _ in m.named_children()], len(list(m.children())))
    show(list(m.parameters()), list(m.buffers()))
    show([name for name in dir(m) if name in ("scale", "inner", "hidden", "note", "0", "forward")])
    seen = {m.inner}
    show([name for name, _ in m.named_modules(seen)])


@program
def paths(lib, show, attempt):
    m = make(lib)
    for path in ("", "inner", "rest.1", "rest.9", "scale", "note", "empty", "rest..1", "inner.weight"):
        attempt(lambda path=path: type(m.get_submodule(path)).__name__)
        attempt(lambda path=path: m.get_parameter(path))
        attempt(lambda path=path: m.get_buffer(path))
    for path in ("inner.weight", "inner.bias", "inner.count", "hidden", "rest.1.weight", "nothing"):
        attempt(lambda path=path: m.get_parameter(path))
        attempt(lambda path=path: m.get_buffer(path))
    for path in ("", "rest.0", "rest.7", "scale", "new", "rest.new.x", "reserved"):
        attempt(lambda path=path: m.set_submodule(path, lib.nn.Sigmoid()))
        attempt(lambda path=path: m.set_submodule(path, lib.nn.Sigmoid(), strict=True))
    attempt(lambda: m.set_submodule("inner", 3))
    show(m)


@program
def attributes(lib, show, attempt):
    nn = lib.nn
    values = {
        "parameter": lambda: nn.Parameter(lib.ones(1)),
        "tensor": lambda: lib.ones(1),
        "buffer": lambda: nn.Buffer(lib.ones(1)),
        "hidden buffer": lambda: nn.Buffer(lib.ones(1), persistent=False),
        "module": lambda: nn.ReLU(),
        "number": lambda: 3,
        "none": lambda: None,
    }
    for first, make_first in values.items():
        for second, make_second in values.items():
            m = nn.Module()
            m.x = make_first()

            def assign(m=m, make_second=make_second):
                m.x = make_second()

            try:
                assign()
            except Exception as error:
                text = str(error).replace("ndgrad.nn", "torch.nn")
                show(first, second, type(error).__name__, text)
            show(first, second, list(m._parameters), list(m._buffers), list(m._modules), "x" in m.__dict__, m._non_persistent_buffers_set)
            attempt(lambda m=m: delattr(m, "x"))
            attempt(lambda m=m: m.x)


@program
def registering(lib, show, attempt):
    nn = lib.nn
    for name in ("x", "weight", "a.b", "", "forward", 3, None):
        m = nn.Linear(1, 1)
        attempt(lambda m=m, name=name: m.register_parameter(name, nn.Parameter(lib.ones(1))))
        attempt(lambda m=m, name=name: m.register_buffer(name, lib.ones(1)))
        attempt(lambda m=m, name=name: m.add_module(name, nn.ReLU()))
        show(list(m._parameters), list(m._buffers), list(m._modules))
    m = nn.Module()
    for value in (3, lib.ones(1), "text"):
        attempt(lambda value=value: m.register_parameter("p", value))
        attempt(lambda value=value: m.register_buffer("b", value))
        attempt(lambda value=value: m.add_module("m", value))
    computed = nn.Parameter(lib.ones(1)) * 2
    computed._is_param = True
    attempt(lambda: m.register_parameter("p", computed))
    m.register_buffer("t", lib.ones(1), persistent=False)
    m.register_buffer("t", lib.zeros(1))
    show(m._non_persistent_buffers_set, m.t)

    class Older(nn.Module):
        def register_buffer(self, name, tensor):
            super().register_buffer(name, tensor)

    older = Older()
    older.b = nn.Buffer(lib.ones(1))
    show(list(older._buffers))
    attempt(lambda: setattr(older, "c", nn.Buffer(lib.ones(1), persistent=False)))


@program
def state(lib, show, attempt):
    m = make(lib)
    saved = m.state_dict()
    show(list(saved), list(saved._metadata), [dict(each) for each in saved._metadata.values()])
    show(list(m.state_dict(prefix="net.")), list(m.state_dict(prefix="net.")._metadata))
    show([value.requires_grad for value in saved.values()], [value.requires_grad for value in m.state_dict(keep_vars=True).values()])
    show(saved["scale"].data_ptr() == m.scale.data_ptr(), m.state_dict(keep_vars=True)["scale"] is m.scale)
    plain = m.state_dict(destination={}, prefix="p")
    show(type(plain).__name__, list(plain))
    other = make(lib)
    with lib.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    show(m.load_state_dict(other.state_dict()), m.scale, m.inner.weight)
    del saved["scale"], saved["rest.1.weight"]
    saved["extra"] = lib.ones(1)
    saved["inner.more"] = lib.ones(1)
    saved["nobody.x"] = lib.ones(1)
    saved["inner.weight"] = lib.ones(3)
    saved["inner.count"] = 7
    attempt(lambda: m.load_state_dict(saved))
    attempt(lambda: m.load_state_dict(saved, strict=False))
    del saved["inner.weight"], saved["inner.count"]
    show(m.load_state_dict(saved, strict=False))
    attempt(lambda: m.load_state_dict([1]))
    attempt(lambda: m.load_state_dict({}))
    attempt(lambda: lib.nn.Linear(2, 2).load_state_dict({"weight": lib.ones(2, 2, dtype=lib.float64), "bias": lib.ones(1, 2)}))


@program
def what_fits_is_loaded_even_if_the_rest_does_not(lib, show, attempt):
    layer = lib.nn.Linear(2, 1)
    attempt(lambda: layer.load_state_dict({"weight": lib.ones(1, 2), "bias": lib.ones(3)}))
    show(layer.weight)


@program
def assigning_state(lib, show, attempt):
    layer = lib.nn.Linear(2, 1)
    layer.weight.requires_grad_(False)
    given = {"weight": lib.ones(1, 2, dtype=lib.float64), "bias": lib.nn.Parameter(lib.zeros(1), requires_grad=False)}
    show(layer.load_state_dict(given, assign=True))
    show(layer.weight, layer.bias, layer.bias is given["bias"], layer.weight is given["weight"], type(layer.weight).__name__)
    norm = lib.nn.BatchNorm1d(2)
    norm.load_state_dict({**norm.state_dict(), "running_mean": lib.ones(2, dtype=lib.float64)}, assign=True)
    show(norm.running_mean)


@program
def older_state(lib, show, attempt):
    norm = lib.nn.BatchNorm1d(2)
    saved = norm.state_dict()
    del saved["num_batches_tracked"]
    attempt(lambda: norm.load_state_dict(saved))
    saved._metadata[""]["version"] = 1
    attempt(lambda: norm.load_state_dict(saved))
    attempt(lambda: norm.load_state_dict({"num_batches_tracked": lib.tensor([3])}, strict=False))
    show(norm.num_batches_tracked)


@program
def extra_state(lib, show, attempt):
    class Extra(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.word = "first"

        def get_extra_state(self):
            return self.word

        def set_extra_state(self, state):
            self.word = state

    m = lib.nn.Sequential(Extra(), lib.nn.ReLU())
    saved = m.state_dict()
    show(dict(saved))
    saved["0._extra_state"] = "second"
    show(m.load_state_dict(saved), m[0].word)
    attempt(lambda: m.load_state_dict({}))
    attempt(lambda: lib.nn.ReLU().load_state_dict({"_extra_state": 1}))
    attempt(lambda: lib.nn.ReLU().get_extra_state())
    attempt(lambda: lib.nn.ReLU().set_extra_state(1))


@program
def state_hooks(lib, show, attempt):
    m = make(lib)

    def told(*what):
        def hook(*args):
            show(*what, len(args), *(each for each in args if isinstance(each, (str, bool))))

        return hook

    def shorten(module, state, prefix, metadata):
        return OrderedDict((key, value) for key, value in state.items() if "weight" in key)

    m.inner.register_state_dict_pre_hook(told("pre"))
    m.inner.register_state_dict_post_hook(told("post"))
    removed = m.inner.register_state_dict_post_hook(told("never"))
    removed.remove()
    m.register_load_state_dict_pre_hook(told("load pre"))
    m._register_load_state_dict_pre_hook(told("load pre without module"))
    m.inner.register_load_state_dict_post_hook(told("load post"))
    m.load_state_dict(m.state_dict())
    handle = m._register_state_dict_hook(shorten)
    show(list(m.state_dict()))
    handle.remove()

    def forgiving(module, incompatible):
        incompatible.missing_keys.clear()

    m.register_load_state_dict_post_hook(forgiving)
    show(m.load_state_dict({}))
    other = make(lib)
    other.register_load_state_dict_post_hook(lambda module, incompatible: incompatible)
    attempt(lambda: other.load_state_dict(other.state_dict()))
    third = make(lib)
    third.register_state_dict_post_hook(shorten)
    attempt(third.state_dict)
    attempt(lambda: third._register_state_dict_hook(shorten))


@program
def modes_and_conversion(lib, show, attempt):
    m = make(lib)
    m.eval()
    show([module.training for module in m.modules()])
    m.inner.train()
    show([module.training for module in m.modules()])
    attempt(lambda: m.train(1))
    m(lib.ones(1, 3)).sum().backward()
    identities = [id(parameter) for parameter in m.parameters()]
    for convert in ("double", "half", "float"):
        getattr(m, convert)()
        show([parameter.dtype for parameter in m.parameters()], [parameter.grad.dtype for parameter in m.parameters()])
        show([buffer.dtype for buffer in m.buffers()])
    m.to(lib.float64)
    m.to("cpu")
    m.to(lib.device("cpu"), lib.float32, non_blocking=True)
    m.to(device="cpu", dtype=lib.float64)
    m.to(lib.ones(1))
    show([parameter.dtype for parameter in m.parameters()], identities == [id(parameter) for parameter in m.parameters()])
    attempt(lambda: m.to(lib.int64))
    attempt(lambda: m.to(copy=True))
    attempt(lambda: type(m.cuda()).__name__)
    show(lib.nn.ReLU().cuda(), lib.nn.ReLU().xpu(), lib.nn.ReLU().mtia())
    attempt(lambda: m.type(lib.float64).inner.count)
    m.to(lib.complex64)
    show([parameter.dtype for parameter in m.parameters()])
    show([tuple(parameter.shape) for parameter in m.to_empty(device="cpu").parameters()])
    m.requires_grad_(False)
    show([parameter.requires_grad for parameter in m.parameters()])
    order = []
    m.apply(lambda module: order.append(type(module).__name__))
    show(order, m.share_memory() is m)


@program
def zeroing(lib, show, attempt):
    m = make(lib)
    loss = m(lib.ones(1, 3)).square().sum()
    loss.backward(create_graph=True)
    m.zero_grad(set_to_none=False)
    show([(parameter.grad, parameter.grad.grad_fn is None) for parameter in m.parameters()])
    m.zero_grad()
    show([parameter.grad for parameter in m.parameters()])


@program
def copies(lib, show, attempt):
    m = make(lib)
    m.rest[1].weight = m.inner.weight
    other = copy.deepcopy(m)
    show(other, other.again is other.inner, other.rest[1].weight is other.inner.weight, other.inner.weight is m.inner.weight)
    shallow = copy.copy(m)
    show(shallow.inner is m.inner, shallow._parameters is m._parameters)
    layer = pickle.loads(pickle.dumps(lib.nn.Sequential(lib.nn.Flatten(), lib.nn.Softmax(1))))
    show(layer, layer(lib.ones(2, 2)))
    state = lib.nn.Softmax(0).__getstate__()
    del state["dim"], state["_forward_pre_hooks"]
    old = lib.nn.Softmax.__new__(lib.nn.Softmax)
    old.__setstate__(state)
    show(old)


@program
def construction(lib, show, attempt):
    nn = lib.nn
    for call in (lambda: nn.Module(3), lambda: nn.Module(a=3), lambda: nn.Tanh(3), lambda: nn.Module()(3), lambda: nn.ReLU()()):
        attempt(call)

    class Early(nn.Module):
        def __init__(self, value):
            self.x = value

    for value in (3, nn.Parameter(lib.ones(1)), nn.Buffer(lib.ones(1)), nn.ReLU()):
        attempt(lambda value=value: Early(value).x)
    attempt(lambda: Early(1).y)
    attempt(lambda: Early(1).register_buffer("b", None))
    attempt(lambda: Early(1).register_parameter("p", None))
    show(nn.Parameter(lib.ones(2)), nn.Parameter(), isinstance(nn.Buffer(lib.ones(1)), nn.Buffer), isinstance(lib.ones(1), nn.Buffer))
    show(nn.Buffer(lib.ones(1), persistent=False).persistent, nn.Buffer(), type(nn.Buffer()).__name__)


@program
def vectors(lib, show, attempt):
    utils, nn = lib.nn.utils, lib.nn
    m = make(lib).float()
    vector = utils.parameters_to_vector(m.parameters())
    show(vector, vector.grad_fn.name())
    utils.vector_to_parameters(lib.arange(12.0), m.parameters())
    show(list(m.parameters()))
    shared = lib.zeros(12)
    utils.vector_to_parameters(shared, m.parameters())
    shared[0] = 5
    show(m.scale)
    attempt(lambda: utils.parameters_to_vector([]))
    attempt(lambda: utils.vector_to_parameters(3, m.parameters()))
    attempt(lambda: utils.vector_to_parameters(lib.zeros(2), [nn.Parameter(lib.ones(3))]))


@program
def clipping(lib, show, attempt):
    utils = lib.nn.utils

    def rounded(tensor):  # the last bit of a power may differ
        return None if tensor is None else [round(value, 4) for value in tensor.reshape(-1).tolist()]

    def leaves(*gradients):
        made = []
        for gradient in gradients:
            leaf = lib.zeros(len(gradient), requires_grad=True)
            leaf.grad = lib.tensor(gradient)
            made.append(leaf)
        return [*made, lib.zeros(2, requires_grad=True)]

    for order in (2, 1, float("inf"), 0, 3.5, "inf"):
        for limit in (1.0, 100):
            some = leaves([3.0, -4.0], [12.0])
            show(rounded(utils.clip_grad_norm_(some, limit, order)), [rounded(leaf.grad) for leaf in some])
        show(rounded(utils.get_total_norm([lib.tensor([3.0]), lib.tensor([4.0, 0.0])], order)))
    one = leaves([3.0, 4.0])[0]
    show(utils.clip_grad_norm_(one, 1.0, foreach=True), one.grad)
    utils.clip_grads_with_norm_(one, 1.0, lib.tensor(10.0))
    show(one.grad)
    utils.clip_grad_value_(one, 0.07)
    show(one.grad)
    utils.clip_grad_value_(leaf for leaf in [one])
    broken = leaves([float("nan"), 1.0])
    attempt(lambda: utils.clip_grad_norm_(broken, 1.0, error_if_nonfinite=True))
    attempt(lambda: utils.clip_grad_norm_(broken, 1.0).isnan())
    show(utils.clip_grad_norm_([], 1.0), utils.get_total_norm([]), utils.clip_grad_norm_(iter([]), 1.0))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
