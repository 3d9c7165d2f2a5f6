"""Programs of grad modes, hooks and nodes, run by both libraries."""

import copy

import pytest

from tests.oracle.both import PROGRAMS, check, program


@program
def modes_hooks_and_nodes_01(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    n = torch.ones(2)
    with torch.inference_mode():
        v = x.view(2, 1)
        show(v.is_inference(), v.requires_grad, v.is_leaf, v.grad_fn)
        y = x * 2
        show(y.requires_grad, y.is_inference())
        with torch.enable_grad():
            z = x * 2
            show(z.requires_grad, z.is_inference(), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
            vv = x.view(2, 1)
            show(vv.requires_grad, vv.is_inference(), vv.grad_fn)
        n.mul_(2)
        show(n._version, n.is_inference())
        w = n.view(2, 1)
        attempt(lambda: x.mul_(2))
        q = torch.ones(2, requires_grad=True)
        show(q.requires_grad)
        attempt(lambda: (q * 2).requires_grad)
        with torch.inference_mode(False):
            r = torch.ones(2)
            show(r.is_inference(), torch.is_grad_enabled())
    attempt(lambda: v.mul_(2))
    attempt(lambda: w.mul_(x.view(2, 1)))
    attempt(lambda: vv.mul_(2))
    attempt(lambda: q * 2)
    attempt(lambda: q + 2)
    show(x._version)


@program
def modes_hooks_and_nodes_02(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        a = torch.ones(2)
    attempt(lambda: x * a)
    y = x * 1
    attempt(lambda: y.mul_(a))
    attempt(lambda: y.copy_(a))
    show(y)
    attempt(lambda: a.copy_(x))
    attempt(lambda: x.exp() * a)
    with torch.no_grad():
        attempt(lambda: x * a)
        attempt(lambda: a.mul_(2))


@program
def modes_hooks_and_nodes_03(torch, show, attempt):
    @torch.no_grad()
    def f(x):
        return (x * 2).requires_grad

    @torch.no_grad
    def g(x):
        return (x * 2).requires_grad

    @torch.enable_grad()
    def h(x):
        return (x * 2).requires_grad

    @torch.inference_mode
    def i(x):
        return (x * 2).is_inference()

    @torch.inference_mode()
    def j(x):
        return (x * 2).is_inference()

    @torch.set_grad_enabled(False)
    def k(x):
        return (x * 2).requires_grad

    x = torch.ones(2, requires_grad=True)
    show(f(x), g(x), h(x), i(x), j(x), k(x), torch.is_grad_enabled(), f.__name__)
    with torch.no_grad():
        show(f(x), h(x), k(x), torch.is_grad_enabled())
    show(torch.is_grad_enabled())


@program
def modes_hooks_and_nodes_04(torch, show, attempt):
    @torch.no_grad()
    def gen():
        r = []
        try:
            got = yield torch.is_grad_enabled()
            r.append(got)
            try:
                yield torch.is_grad_enabled()
            except ValueError as e:
                r.append(str(e))
            yield r
        finally:
            r.append(torch.is_grad_enabled())
        return 5

    it = gen()
    show(next(it))
    show(torch.is_grad_enabled())
    show(it.send(7))
    show(it.throw(ValueError("q")))
    try:
        next(it)
    except StopIteration as s:
        show(s.value)
    show(torch.is_grad_enabled())
    it = gen()
    next(it)
    it.close()
    show(torch.is_grad_enabled())


@program
def modes_hooks_and_nodes_05(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        y = x * 2
        attempt(lambda: y.sum().backward())
        t = torch.ones(2, requires_grad=True)
        show(t.requires_grad, t.is_leaf)
    attempt(lambda: x.detach().sum().backward())


@program
def modes_hooks_and_nodes_06(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = (x * 2).sum()
    with torch.no_grad():
        y.backward()
    show(x.grad, x.grad.requires_grad)
    with torch.no_grad():
        show(x.numpy().tolist())
    attempt(lambda: x.numpy())
    show(x.numpy(force=True).tolist())


@program
def modes_hooks_and_nodes_07(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append(torch.is_grad_enabled()))
    y.sum().backward(retain_graph=True)
    y.sum().backward(create_graph=True)
    show(seen)


@program
def modes_hooks_and_nodes_08(torch, show, attempt):
    x = torch.ones(2, requires_grad=True) * 1
    h = x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 2)
    x.retain_grad()
    x.sum().backward()
    show(x.grad)
    h.remove()
    h.remove()
    x.sum().backward()
    show(x.grad)
    with x.register_hook(lambda g: g * 100):
        x.sum().backward()
    x.sum().backward()
    show(x.grad)


@program
def modes_hooks_and_nodes_09(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    attempt(lambda: torch.ones(2).register_hook(print))
    attempt(lambda: torch.ones(2).retain_grad())
    attempt(lambda: torch.ones(2).register_post_accumulate_grad_hook(print))
    attempt(lambda: (x * 2).register_post_accumulate_grad_hook(print))
    x.register_hook(lambda g: g.sum())
    attempt(lambda: x.sum().backward())


@program
def modes_hooks_and_nodes_10(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: 3)
    attempt(lambda: x.sum().backward())


@program
def modes_hooks_and_nodes_11(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: g.double())
    attempt(lambda: x.sum().backward())
    show(x.grad)


@program
def modes_hooks_and_nodes_12(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)

    def bad(g):
        raise KeyError("hey")

    x.register_hook(bad)
    attempt(lambda: x.sum().backward())
    show(torch.is_grad_enabled())


@program
def modes_hooks_and_nodes_13(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda p: 3)
    attempt(lambda: x.sum().backward())


@program
def modes_hooks_and_nodes_14(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    s = []

    def h(p):
        s.append((p is x, p.grad.tolist(), torch.is_grad_enabled()))
        p.grad = None

    x.register_post_accumulate_grad_hook(h)
    (x * 3).sum().backward()
    show(s, x.grad)


@program
def modes_hooks_and_nodes_15(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    s = []
    n = y.grad_fn
    n.register_prehook(lambda gs: s.append(("pre", len(gs))))
    n.register_hook(lambda gi, go: s.append(("post", len(gi), len(go), gi[1] is None)))
    y.register_hook(lambda g: s.append("t"))
    y.retain_grad()
    y.sum().backward()
    show(s)


@program
def modes_hooks_and_nodes_16(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    n = y.grad_fn
    n.register_prehook(lambda gs: (gs[0] * 10,))
    n.register_hook(lambda gi, go: (gi[0] + 1, None))
    y.sum().backward()
    show(x.grad)


@program
def modes_hooks_and_nodes_17(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    n = y.grad_fn
    n.register_hook(lambda gi, go: (gi[0] + 1, None))
    attempt(lambda: y.sum().backward())
    show(x.grad)


@program
def modes_hooks_and_nodes_18(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    n = y.grad_fn
    n.register_hook(lambda gi, go: gi[0] + 1)
    attempt(lambda: y.sum().backward())
    show(x.grad)


@program
def modes_hooks_and_nodes_19(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    n = y.grad_fn
    n.register_prehook(lambda go: go[0] + 1)
    attempt(lambda: y.sum().backward())
    show(x.grad)


@program
def modes_hooks_and_nodes_20(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    s = []
    a = y.grad_fn.next_functions[0][0]
    show(a.name(), a.variable is x, a.next_functions)
    a.register_prehook(lambda go: s.append(("pre", len(go))))
    a.register_hook(lambda gi, go: s.append(("post", len(gi), len(go))))
    x.register_hook(lambda g: s.append("t"))
    x.register_post_accumulate_grad_hook(lambda p: s.append("acc"))
    y.sum().backward()
    show(s)


@program
def modes_hooks_and_nodes_21(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    s = []
    y.grad_fn.next_functions[0][0].register_hook(lambda gi, go: s.append(("post", len(gi), len(go))))
    y.sum().backward()
    show(s)


@program
def modes_hooks_and_nodes_22(torch, show, attempt):
    o = []
    a = torch.ones(1, requires_grad=True)
    b = a * 2
    c = b * 3
    d = a * 5
    e = c + d
    for n, t in dict(a=a, b=b, c=c, d=d, e=e).items():
        t.register_hook(lambda g, n=n: o.append(n))
    e.backward()
    show(o)


@program
def modes_hooks_and_nodes_23(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    s = []
    y.register_hook(lambda g: s.append("y"))
    torch.autograd.grad(y.sum(), [y])
    show(s)


@program
def modes_hooks_and_nodes_24(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: g * 7)
    show(torch.autograd.grad((x * 2).sum(), [x]))
    s = []
    x.register_post_accumulate_grad_hook(lambda p: s.append(1))
    torch.autograd.grad((x * 2).sum(), [x])
    show(s)


@program
def inference_tensors_elsewhere(torch, show, attempt):
    with torch.inference_mode():
        a = torch.ones(2)
    show(copy.copy(a).is_inference(), copy.deepcopy(a).is_inference(), a.view(2, 1).is_inference())
    attempt(lambda: torch.autograd.graph.increment_version(a))
    attempt(lambda: a._version)
    attempt(lambda: repr(torch.set_grad_enabled(True)))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
