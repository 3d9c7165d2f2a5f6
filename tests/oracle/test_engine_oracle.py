"""Programs of backward, grad, accumulation, higher orders and complex numbers, run by both libraries."""

import warnings

import pytest

from tests.oracle.both import PROGRAMS, check, program


@program
def backward_and_grad_01(torch, show, attempt):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a = torch.tensor([1.0, 2.0, 3.0])
    s = x * 2
    e = s.expand(2, 3)
    loss = (e * a + e * a * a).sum() + (s * a).sum()
    loss.backward()
    show(x.grad)


@program
def backward_and_grad_02(torch, show, attempt):
    x = torch.ones(2, 3, requires_grad=True)
    s = x.sum(0)
    a = torch.tensor([1.0, 2.0, 3.0])
    y = x * 5
    loss = (s * a + s * a * a).sum() + (y * 2).sum()
    loss.backward()
    show(x.grad)


@program
def backward_and_grad_03(torch, show, attempt):
    x = torch.ones(2, 3, requires_grad=True) * 1
    x.retain_grad()
    s = x.sum(0)
    a = torch.tensor([1.0, 2.0, 3.0])
    loss = (x * a).sum() + (s * a + s * a * a).sum()
    loss.backward()
    show(x.grad)


@program
def backward_and_grad_04(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    b = x * 3
    b.sum().backward(inputs=[b])
    show(b.grad, x.grad, b.retains_grad)


@program
def backward_and_grad_05(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    b = x * 3
    b.sum().backward(inputs=[b, x])
    show(b.grad, x.grad)


@program
def backward_and_grad_06(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    b = x * 3
    b.retain_grad()
    b.sum().backward(inputs=[b])
    show(b.grad)


@program
def backward_and_grad_07(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    b = x.view(2)
    x * 1
    r = torch.autograd.grad((b * 2).sum() + (x * 3).sum(), [b, x])
    show(r)
    r[1].mul_(100)
    show(r[0])


@program
def backward_and_grad_08(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    g = torch.ones(2)
    x.clone().backward(g)
    x.grad.mul_(5)
    show(g)


@program
def backward_and_grad_09(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    g = torch.ones(2)
    x.backward(g)
    x.grad.mul_(5)
    show(g)


@program
def backward_and_grad_10(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = torch.ones(2, requires_grad=True)
    (x + y).sum().backward()
    x.grad.mul_(5)
    show(y.grad)


@program
def backward_and_grad_11(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    kept = []
    x.register_hook(lambda g: kept.append(g))
    (x * 2).sum().backward()
    x.grad.mul_(5)
    show(kept[0])


@program
def backward_and_grad_12(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    kept = []
    y.register_hook(lambda g: kept.append(g))
    (y * 3).sum().backward()
    x.grad.mul_(5)
    show(kept[0])


@program
def backward_and_grad_13(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x + 0
    kept = []
    y.register_hook(lambda g: kept.append(g))
    (y + 0).sum().backward()
    x.grad.mul_(5)
    show(kept[0])


@program
def backward_and_grad_14(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x + 0
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.sum().backward()
    show(y.grad, x.grad)


@program
def backward_and_grad_15(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * x
    y.sum().backward(create_graph=True)
    show(x.grad)


@program
def backward_and_grad_16(torch, show, attempt):
    x = torch.ones(3, 2, requires_grad=True)
    y = x * x
    y.sum().backward(create_graph=True)
    show(x.grad)
    x.grad.sum().backward()
    show(x.grad)


@program
def backward_and_grad_17(torch, show, attempt):
    torch.ones(2, 3).t().clone().requires_grad_()
    xx = torch.ones(2, 3).t().requires_grad_()
    (xx * xx).sum().backward()
    show(xx.grad)


@program
def backward_and_grad_18(torch, show, attempt):
    xx = torch.ones(2, 3).t().requires_grad_()
    (xx * xx).sum().backward(create_graph=True)
    show(xx.grad)


@program
def backward_and_grad_19(torch, show, attempt):
    xx = torch.ones(1, 1).expand(4, 1).requires_grad_()
    (xx * xx).sum().backward()
    show(xx.grad)


@program
def backward_and_grad_20(torch, show, attempt):
    xx = torch.ones(2, 1).expand(2, 3).requires_grad_()
    (xx * xx).sum().backward(create_graph=True)
    show(xx.grad)


@program
def backward_and_grad_21(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    show(torch.autograd.grad(y, y, torch.ones(2) * 3))


@program
def backward_and_grad_22(torch, show, attempt):
    x = torch.tensor(3.0, requires_grad=True)
    show(torch.autograd.grad(x, x))
    show(torch.autograd.grad([x, x], [x, x]))


@program
def backward_and_grad_23(torch, show, attempt):
    x = torch.tensor(3.0, requires_grad=True)
    o = x * x
    torch.autograd.backward([o, o])
    show(x.grad)
    attempt(lambda: o.backward())


@program
def backward_and_grad_24(torch, show, attempt):
    x = torch.tensor(3.0, requires_grad=True)
    y = torch.tensor(1.0, requires_grad=True)
    attempt(lambda: torch.autograd.grad(x * 2, [x, y]))
    show(torch.autograd.grad(x * 2, [x, y], allow_unused=True))
    show(torch.autograd.grad(x * 2, [x, y], materialize_grads=True))
    attempt(lambda: torch.autograd.grad(x * 2, [x, y], allow_unused=False, materialize_grads=True))


@program
def backward_and_grad_25(torch, show, attempt):
    x = torch.tensor(3.0, requires_grad=True)
    show(list(torch.autograd.grad(x * 2, {"a": x}).items()))


@program
def backward_and_grad_26(torch, show, attempt):
    x = torch.tensor(3.0, requires_grad=True)
    attempt(lambda: torch.autograd.grad(x * 2, []))
    attempt(lambda: torch.autograd.grad([], [x]))
    attempt(lambda: torch.autograd.backward([]))
    attempt(lambda: (x * 2).backward(inputs=[]))


@program
def backward_and_grad_27(torch, show, attempt):
    x = torch.tensor([3.0, 1.0], requires_grad=True)
    y = x * x
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    show(x.grad)
    attempt(lambda: y.sum().backward())


@program
def backward_and_grad_28(torch, show, attempt):
    x = torch.tensor([3.0, 1.0], requires_grad=True)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    show(x.grad)


@program
def backward_and_grad_29(torch, show, attempt):
    x = torch.tensor([3.0, 1.0], requires_grad=True)
    y = (x * x).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    show(g)
    (h,) = torch.autograd.grad((g * g).sum(), x, create_graph=True)
    show(h)
    show(torch.autograd.grad(h.sum(), x))


@program
def backward_and_grad_30(torch, show, attempt):
    x = torch.tensor([3.0, 1.0], requires_grad=True)
    y = (x.sin() * x.exp()).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
    (k,) = torch.autograd.grad(h.sum(), x)
    show(h.shape, k.grad_fn)


@program
def backward_and_grad_31(torch, show, attempt):
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    y = (z * z).sum()
    y.backward(torch.tensor(1.0 + 0j))
    show(z.grad)


@program
def backward_and_grad_32(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    y = (z * x).sum()
    y.backward(torch.tensor(1.0 + 2j))
    show(z.grad, x.grad)


@program
def backward_and_grad_33(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    w = y * 3
    y.retain_grad()
    w.sum().backward()
    show(y.grad, y.retains_grad, x.retains_grad)
    y.mul_(2)
    show(y.retains_grad)


@program
def backward_and_grad_34(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    w = y * 3
    y.mul_(4)
    (y.sum() + w.sum()).backward()
    show(y.grad, x.grad)


@program
def backward_and_grad_35(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    w = y + 3
    y.mul_(4)
    (y.sum() + w.sum()).backward()
    show(y.grad, x.grad)


@program
def backward_and_grad_36(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    v = y.view(2, 1)
    v.retain_grad()
    y.mul_(4)
    (y.sum() + v.sum()).backward()
    show(v.grad, x.grad, v.retains_grad)


@program
def backward_and_grad_37(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    v = y.view(2, 1)
    v.retain_grad()
    v.mul_(4)
    (y.sum() + (v * 3).sum()).backward()
    show(v.grad, x.grad, v.retains_grad)


@program
def backward_and_grad_38(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    v = y.view(2, 1)
    y.retain_grad()
    v.mul_(4)
    (y.sum() + (v * 3).sum()).backward()
    show(y.grad, x.grad, y.retains_grad)


@program
def backward_and_grad_39(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.view(2)
    y.retain_grad()
    (y * 2).sum().backward()
    (y * 2).sum().backward()
    show(y.grad, x.grad)


@program
def arguments_of_backward_and_grad(torch, show, attempt):
    a = torch.tensor(1.0, requires_grad=True)
    y = a * a
    e = torch.autograd.graph.get_gradient_edge(y)
    attempt(lambda: torch.autograd.grad([3], a))
    attempt(lambda: torch.autograd.grad([None], a))
    attempt(lambda: torch.autograd.backward([y, 1]))
    attempt(lambda: torch.autograd.grad(y, e, materialize_grads=True, retain_graph=True))
    attempt(lambda: torch.autograd.grad(a * 2, e, materialize_grads=True))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.autograd.grad(y, a, only_inputs=False, retain_graph=True)
        torch.autograd.backward(y, grad_variables=[torch.tensor(2.0)])
    show([(each.category.__name__, str(each.message)[:40]) for each in caught])
    show(a.grad)


@program
def the_dtype_of_a_gradient(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    for kind in ("float16", "float64", "complex64", "int64", "bool"):
        attempt(lambda kind=kind: setattr(x, "grad", torch.ones(2).to(getattr(torch, kind))))
    attempt(lambda: x.requires_grad_(1))
    attempt(lambda: setattr(x, "grad_dtype", 3))
    x.grad_dtype = torch.float64
    attempt(lambda: (x * 2).sum().backward())
    show(x.grad)
    attempt(lambda: setattr(x, "grad_dtype", torch.float16))
    x.grad = None
    x.grad_dtype = None
    x.grad = kept = torch.ones(2, dtype=torch.float16)
    attempt(lambda: (x * 2).sum().backward())
    show(x.grad, x.grad is kept)


@program
def an_output_that_nothing_came_back_to(torch, show, attempt):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a, b = x.unbind()[:2]
    log = []
    show(a.register_hook(lambda g: log.append(("a", g))) is None, b.register_hook(lambda g: log.append(("b", g))) is None)
    show(a.grad_fn.register_prehook(lambda outs: log.append([g is None for g in outs])) is None)
    show(a.grad_fn.register_hook(lambda ins, outs: log.append(([g is None for g in outs], ins))) is None)
    attempt(lambda: b.retain_grad())
    attempt(lambda: (a * 2).backward())
    show(log, b.grad, x.grad)
    attempt(lambda: torch.autograd.grad(a * 2, [b, x], allow_unused=True))
    attempt(lambda: torch.autograd.grad(a * 2, [b, x], materialize_grads=True))
    attempt(lambda: torch.autograd.grad(a * 2, [b, x]))
    attempt(lambda: (a * 2).backward(inputs=[b]))
    show(b.grad)
    show(b.register_hook(lambda g: torch.ones(())) is None)
    attempt(lambda: (a * 2).backward())


@program
def hooks_that_take_gradients_away(torch, show, attempt):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a = x.unbind()[0]
    show(a.grad_fn.register_prehook(lambda outs: (None, None, None)) is None)
    attempt(lambda: (a * 2).backward())
    show(x.grad)
    y = x * 2
    show(y.grad_fn.register_prehook(lambda outs: (None,)) is None)
    attempt(lambda: (y.sum() + x.sum()).backward())
    show(x.grad)
    y = x * 2
    show(y.grad_fn.register_hook(lambda ins, outs: (None, None)) is None)
    attempt(lambda: (y.sum() + x.sum()).backward())
    show(x.grad)
    a = x.unbind()[0]
    show(a.grad_fn.register_prehook(lambda outs: (outs[0], torch.tensor(5.0), outs[2])) is None)
    attempt(lambda: (a * 2).backward())


@program
def what_the_modified_value_is_an_output_of(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for change in (
        lambda y: y.add_(1),
        lambda y: y[:1].sin_(),
        lambda y: y.add_(1).exp_(),
        lambda y: y.detach().add_(1),
        lambda y: y.copy_(x),
        lambda y: y.zero_().detach().add_(1),
    ):
        y = x * 2
        z = y * y
        v = y[:1]
        w = v * v
        change(y)
        attempt(lambda z=z: z.sum().backward())
        attempt(lambda w=w: w.sum().backward())
        attempt(lambda z=z: z.grad_fn._saved_self)
        t = (x * 2).sum()
        u = t * t
        t.mul_(3)
        attempt(lambda u=u: u.backward())


@program
def a_leaf_that_no_longer_requires_grad(torch, show, attempt):
    b = torch.ones(4, requires_grad=True)
    log = []
    show(b.register_hook(log.append) is None)
    y = (b * b).sum()
    z = b[1:].sum()
    attempt(lambda: b.requires_grad_(False))
    attempt(lambda: y.backward(retain_graph=True))
    attempt(lambda: z.backward())
    show(b.grad, log)
    attempt(lambda: b.requires_grad_())
    attempt(lambda: y.backward())
    show(b.grad)


@program
def nothing_leads_back_from_a_zero_derivative(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    for write in (lambda y: y.fill_(3), lambda y: y.zero_(), lambda y: y.copy_(torch.ones(2)), lambda y: y.floor_(), lambda y: y.gt_(1)):
        y = x * 2
        write(y)
        show(torch.autograd.grad((y * y).sum(), x, create_graph=True))


@program
def hooks_on_what_is_asked_for(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    for asked in ("t", "xt", "tx", "x"):
        t = x + 1
        t.retain_grad()
        t.register_hook(lambda g: show("hook", g.tolist()))
        t.register_hook(lambda g: g * 2)
        t.grad_fn.register_prehook(lambda given: (given[0] * 5,))
        found = torch.autograd.grad((t * 3).sum(), [{"x": x, "t": t}[name] for name in asked])
        show(asked, [g.tolist() for g in found], t.grad)
    p, q = (x * 1).unbind(0)
    p.register_hook(lambda g: g * 2)
    show([g.tolist() for g in torch.autograd.grad((p * 3 + q), [p, q, x], allow_unused=True)])
    attempt(lambda: (x * 2).sum().backward(inputs=[torch.ones(2)]))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
