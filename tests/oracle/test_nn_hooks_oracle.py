"""Hooks of modules, and containers: each program is run under torch and under ndgrad, and shows the same."""

import copy
import warnings
from collections import OrderedDict

import pytest

from tests.oracle.both import PROGRAMS, check, program


def layer(lib, rows=2, columns=2):
    made = lib.nn.Linear(columns, rows)
    with lib.no_grad():
        made.weight.copy_(lib.arange(1.0, rows * columns + 1).reshape(rows, columns))
        made.bias.copy_(lib.ones(rows))
    return made


def scaled(lib):
    class Scaled(lib.nn.Module):
        def forward(self, x, *more, scale=2.0):
            return x * scale

    return Scaled()


# ---------------------------------------------------------------- forward
@program
def forward_hooks(lib, show, attempt):
    m = layer(lib)
    first = m.register_forward_hook(lambda module, args, output: show("first", module is m, args, output))
    m.register_forward_hook(lambda module, args, output: output * 10)
    m.register_forward_hook(lambda module, args, output: show("after", output))
    m.register_forward_hook(lambda module, args, output: show("before all"), prepend=True)
    m.register_forward_pre_hook(lambda module, args: show("pre", args))
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)
    m.register_forward_pre_hook(lambda module, args: (args[0] + 1,), prepend=True)
    show(m(lib.ones(1, 2)))
    first.remove()
    first.remove()
    show(m(lib.ones(1, 2)))
    show(len(m._forward_hooks), len(m._forward_pre_hooks))


@program
def hooks_with_keywords(lib, show, attempt):
    m = scaled(lib)
    m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"scale": kwargs.get("scale", 1) + 1}), with_kwargs=True)
    handle = m.register_forward_hook(lambda module, args, kwargs, output: output + kwargs["scale"], with_kwargs=True)
    show(m(lib.ones(2), scale=5.0), m(lib.ones(2)))
    handle.remove()
    show(len(m._forward_hooks_with_kwargs), len(m._forward_pre_hooks_with_kwargs))
    wrong = m.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    attempt(lambda: m(lib.ones(2)))
    wrong.remove()
    show(m(lib.ones(2)))


@program
def hooks_that_are_always_called(lib, show, attempt):
    class Broken(lib.nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    m = Broken()
    m.register_forward_hook(lambda module, args, output: show("not called"))
    m.register_forward_hook(lambda module, args, output: show("always", output), always_call=True)
    m.register_forward_hook(lambda module, args, kwargs, output: show("with", kwargs), always_call=True, with_kwargs=True)

    def fails(module, args, output):
        raise RuntimeError("in the hook")

    m.register_forward_hook(fails, always_call=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attempt(lambda: m(1))
    show([str(each.message) for each in caught])
    good = scaled(lib)
    good.register_forward_hook(lambda module, args, output: show("once"), always_call=True)
    good.register_forward_hook(fails)
    attempt(lambda: good(lib.ones(1)))


@program
def global_hooks(lib, show, attempt):
    hooks = lib.nn.modules.module
    m = lib.nn.Sequential(layer(lib), lib.nn.ReLU())
    handles = [
        hooks.register_module_forward_pre_hook(lambda module, args: show("pre", type(module).__name__)),
        hooks.register_module_forward_hook(lambda module, args, output: show("post", type(module).__name__, output)),
        hooks.register_module_forward_hook(lambda module, args, kwargs, output: show("kwargs", kwargs), with_kwargs=True),
        hooks.register_module_full_backward_pre_hook(lambda module, outs: show("backward pre", type(module).__name__, outs)),
        hooks.register_module_full_backward_hook(lambda module, ins, outs: show("backward", type(module).__name__, ins, outs)),
    ]
    try:
        x = lib.ones(1, 2, requires_grad=True)
        m.register_forward_hook(lambda module, args, output: show("own"))
        m(x).sum().backward()
        show(x.grad)
    finally:
        for handle in handles:
            handle.remove()
    show(m(lib.ones(1, 2)))
    attempt(lambda: hooks.register_module_backward_hook(lambda *args: None))


# ---------------------------------------------------------------- backward
@program
def full_backward_hooks(lib, show, attempt):
    m = layer(lib)
    m.register_full_backward_hook(lambda module, ins, outs: show("hook", module is m, ins, outs))
    m.register_full_backward_hook(lambda module, ins, outs: (ins[0] * 2,))
    m.register_full_backward_hook(lambda module, ins, outs: show("last", ins))
    m.register_full_backward_hook(lambda module, ins, outs: show("first"), prepend=True)
    m.register_full_backward_pre_hook(lambda module, outs: show("pre", outs))
    m.register_full_backward_pre_hook(lambda module, outs: (outs[0] * 3,))
    x = lib.ones(1, 2, requires_grad=True)
    out = m(x)
    show(out, out.grad_fn.name())
    out.sum().backward()
    show(x.grad, m.weight.grad)
    attempt(lambda: m.register_backward_hook(lambda *args: None))


@program
def gradients_of_gradients_pass_by(lib, show, attempt):
    m = layer(lib)
    m.register_full_backward_hook(lambda module, ins, outs: show("hook", ins, outs))
    x = lib.ones(1, 2, requires_grad=True)
    (g,) = lib.autograd.grad(m(x).square().sum(), x, create_graph=True)
    show(g)
    g.sum().backward()
    show(x.grad, m.weight.grad)


@program
def several_inputs_and_outputs(lib, show, attempt):
    class Several(lib.nn.Module):
        def forward(self, x, number, y):
            return x * number, "text", y.detach(), x + y

    m = Several()
    m.register_full_backward_hook(lambda module, ins, outs: show("hook", ins, outs))
    m.register_full_backward_pre_hook(lambda module, outs: show("pre", outs))
    x, y = lib.ones(2, requires_grad=True), lib.ones(2)
    outs = m(x, 3.0, y)
    show(outs)
    outs[0].sum().backward()
    show(x.grad)
    again = m(x, 3.0, y)
    (again[0].sum() + again[3].sum()).backward()
    show(x.grad)


@program
def hooks_that_return_the_wrong_thing(lib, show, attempt):
    for result in ((), (None, None), [None]):
        m = scaled(lib)
        m.register_full_backward_hook(lambda module, ins, outs, result=result: result)
        x = lib.ones(2, requires_grad=True)
        attempt(lambda m=m, x=x: m(x).sum().backward())
        show(x.grad)
        m = scaled(lib)
        m.register_full_backward_pre_hook(lambda module, outs, result=result: result)
        attempt(lambda m=m, x=x: m(x).sum().backward())


@program
def no_input_that_requires_grad(lib, show, attempt):
    m = layer(lib)
    m.register_full_backward_hook(lambda module, ins, outs: show("hook", ins, outs))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m(lib.ones(1, 2)).sum().backward()
    show([str(each.message).split(". ")[0] for each in caught], m.bias.grad)
    m.register_full_backward_hook(lambda module, ins, outs: (outs[0],))
    attempt(lambda: m(lib.ones(1, 2)).sum().backward())
    with lib.no_grad():
        show(m(lib.ones(1, 2, requires_grad=True)))


@program
def an_output_that_is_no_tensor(lib, show, attempt):
    class Named(lib.nn.Module):
        def forward(self, x):
            return {"out": x * 2}

    m = Named()
    m.register_full_backward_hook(lambda module, ins, outs: show("hook"))
    x = lib.ones(2, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attempt(lambda: m(x)["out"].sum().backward())
    show([str(each.message).split(" received")[0] for each in caught], x.grad)


@program
def in_place_after_a_hooked_module(lib, show, attempt):
    m = scaled(lib)
    m.register_full_backward_hook(lambda module, ins, outs: None)
    attempt(lambda: m(lib.ones(2, requires_grad=True)).add_(1))
    m = scaled(lib)
    m.register_full_backward_hook(lambda module, ins, outs: show("hook", ins))
    a = lib.ones(2, requires_grad=True)
    x = a * 1
    y = m(x)
    x.add_(1)
    y.sum().backward()
    show(a.grad)


@program
def the_older_hooks(lib, show, attempt):
    class Two(lib.nn.Module):
        def forward(self, x):
            return (x * 2) * 3, x * x

    def caught_messages(call):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        show([each.category.__name__ + str(each.message).split(". ")[0] for each in caught])

    for module in (lib.nn.LeakyReLU(0.5), Two(), lib.nn.Sequential(lib.nn.LeakyReLU(0.5), lib.nn.ReLU())):
        module.register_backward_hook(lambda inner, ins, outs, module=module: show(inner is module, ins, outs))
        x = lib.ones(2, requires_grad=True)

        def run(module=module, x=x):
            out = module(x)
            (out[0] if isinstance(out, tuple) else out).sum().backward()

        caught_messages(run)
        show(x.grad)
        attempt(lambda module=module: module.register_full_backward_hook(lambda *args: None))


@program
def hooks_are_copied_with_the_module(lib, show, attempt):
    m = scaled(lib)
    m.register_forward_hook(lambda module, args, output: output + 1)
    other = copy.deepcopy(m)
    show(other(lib.ones(1)), len(other._forward_hooks))
    nothing = lib.nn.ReLU()
    show(nothing._is_full_backward_hook, nothing._get_backward_hooks(), nothing._get_backward_pre_hooks())


# ---------------------------------------------------------------- containers
@program
def sequential(lib, show, attempt):
    nn = lib.nn
    s = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.SELU())
    show(s, s[0], s[-1], s[1:], s[::-1], len(s), list(s), s + s, s * 2, 2 * s)
    for call in (lambda: s[3], lambda: s[-4], lambda: s["0"], lambda: s + 3, lambda: s(1, 2), lambda: s.insert(9, nn.ReLU())):
        attempt(call)
    s.append(nn.GELU()).insert(0, nn.Identity())
    del s[1:3]
    s[0] = nn.ELU()
    s.extend([nn.ReLU(), nn.ReLU()])
    show(s, s.pop(-1), s)
    s *= 2
    s += nn.Sequential(nn.CELU())
    show(s)
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    show(named, named.a, named[:1])
    named.append(nn.SELU())
    named[0] = nn.ELU()
    show(named)
    del named[0]
    show(named)
    attempt(lambda: nn.Sequential(3))
    show(nn.Sequential(), nn.Sequential()(3))


@program
def module_list(lib, show, attempt):
    nn = lib.nn
    m = nn.ModuleList([nn.ReLU(), nn.Linear(1, 2), nn.Linear(1, 2)])
    show(m, m[0], m[-1], m[1:], len(m), list(m), m + nn.ModuleList([nn.Tanh()]), [name for name, _ in m.named_parameters()])
    m.append(nn.SELU()).extend([nn.ReLU(), nn.ReLU()])
    m.insert(1, nn.ELU())
    m[0] = nn.GELU()
    del m[2]
    del m[-2:]
    show(m, m.pop(1), m)
    m += [nn.CELU()]
    show(m, nn.ModuleList(), nn.ModuleList([None, nn.ReLU()]))
    for call in (lambda: m[9], lambda: nn.ModuleList(3), lambda: nn.ModuleList([3]), lambda: m(1), lambda: m["0"]):
        attempt(call)
    nested = nn.ModuleList([nn.Sequential(nn.Linear(1, 1)) for _ in range(2)] + [nn.ReLU()])
    show(nested)


@program
def module_dict(lib, show, attempt):
    nn = lib.nn
    m = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Linear(1, 1)})
    show(m, m["a"], list(m), "a" in m, "z" in m, len(m), list(m.keys()), list(m.values()), list(m.items()))
    m["c"] = nn.Tanh()
    m.update([("d", nn.SELU()), ["a", nn.ELU()]])
    m.update(nn.ModuleDict({"e": nn.GELU()}))
    del m["b"]
    show(m, m.pop("d"), m)
    attempt(lambda: m["z"])
    attempt(lambda: m.pop("z"))
    for given in ([1], [(1, 2, 3)], 3, {"x": 3}, {"a.b": nn.ReLU()}):
        attempt(lambda given=given: nn.ModuleDict(given))
    m.clear()
    show(m)


@program
def parameter_list(lib, show, attempt):
    nn = lib.nn
    p = nn.ParameterList([lib.ones(1), nn.Parameter(lib.zeros(2, 3), requires_grad=False), 3])
    show(p, p[0], p[-1], p[1:], len(p), list(p), list(p.state_dict()), [name for name, _ in p.named_parameters()])
    p.append(lib.ones(2)).extend([lib.zeros(()), "x"])
    p[0] = lib.zeros(4)
    p += nn.ParameterList([lib.ones(1)])
    show(p)
    for call in (lambda: p[9], lambda: p(1), lambda: nn.ParameterList(3), lambda: p.__setitem__(0, 5), lambda: p["0"]):
        attempt(call)
    show(copy.deepcopy(p), nn.ParameterList())


@program
def parameter_dict(lib, show, attempt):
    nn = lib.nn
    p = nn.ParameterDict({"b": lib.ones(1), "a": nn.Parameter(lib.zeros(2, 3)), "c": 3})
    show(p, p["a"], list(p), "a" in p, len(p), list(p.keys()), list(p.items()), list(p.values()), list(reversed(p)), list(p.state_dict()))
    show(p.get("z"), p.get("z", 4), p.get("c"), p.setdefault("c", 5), p.setdefault("d", lib.ones(1)))
    show(p.copy(), p.fromkeys("xy", lib.ones(1)))
    show(p | nn.ParameterDict({"z": lib.ones(1)}), p.pop("a"), p.popitem(), p)
    p |= nn.ParameterDict({"q": lib.ones(1)})
    p.update(OrderedDict([("y", lib.ones(1)), ("x", lib.ones(1))]))
    p.update({"w": lib.ones(1), "v": lib.ones(1)})
    p.update([("u", lib.ones(1))])
    p.other = lib.ones(1)
    show(p)
    for call in (lambda: p["zz"], lambda: p.pop("zz"), lambda: p(1), lambda: nn.ParameterDict({3: 1}), lambda: nn.ParameterDict(3)):
        attempt(call)
    for given in ([1], [(1, 2, 3)], {"a.b": lib.ones(1)}, {"keys": lib.ones(1)}):
        attempt(lambda given=given: nn.ParameterDict(given))
    del p["q"]
    show(p)
    p.clear()
    show(p)
    attempt(p.popitem)


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
