"""Programs of views and in-place writes, run by both libraries."""

import pytest

from tests.oracle.both import PROGRAMS, check, program


@program
def views_and_writes_01(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        v = x.view(2, 1)
    show(v.requires_grad, v.is_leaf, v.grad_fn, v._is_view())
    (v * 2).sum().backward()
    show(v.grad, x.grad)


@program
def views_and_writes_02(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        v = x.view(2, 1)
    attempt(lambda: v.mul_(2))


@program
def views_and_writes_03(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    with torch.no_grad():
        v = y.view(2, 1)
    show(v.requires_grad, v.is_leaf, v.grad_fn)
    attempt(lambda: v.mul_(2))


@program
def views_and_writes_04(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    with torch.no_grad():
        v = y.view(2, 1)
    y.mul_(2)
    attempt(lambda: v.grad_fn)
    attempt(lambda: v * 2)
    attempt(lambda: v.requires_grad)
    with torch.no_grad():
        attempt(lambda: v * 2)
        attempt(lambda: v.grad_fn)


@program
def views_and_writes_05(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    with torch.no_grad():
        v = y.view(2, 1)
        y.mul_(2)
    attempt(lambda: v.grad_fn)
    attempt(lambda: (v * 2).grad_fn)
    show(y._version, v._version)


@program
def views_and_writes_06(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    with torch.no_grad():
        v = y.view(2, 1)
    w = v.view(1, 2)
    show(w.requires_grad, w.is_leaf, w.grad_fn)
    attempt(lambda: w.mul_(2))
    y.mul_(2)
    attempt(lambda: w * 2)


@program
def views_and_writes_07(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    w = y.view(1, 2)
    with torch.no_grad():
        v = w.view(2, 1)
    attempt(lambda: v.mul_(2))


@program
def views_and_writes_08(torch, show, attempt):
    b = torch.zeros(2)
    with torch.no_grad():
        v = b.view(2, 1)
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    attempt(lambda: v.copy_(p.view(2, 1)))
    attempt(lambda: b.copy_(p))
    attempt(lambda: v * 2)


@program
def views_and_writes_09(torch, show, attempt):
    b = torch.zeros(2)
    v = b.view(2, 1)
    d = b.detach()
    d.mul_(2)
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    show(d._version, b._version, v._version, d._base, d._is_view(), v._base is b, b.data._version)
    v.copy_((p * 2).view(2, 1))
    show(b, v, v.requires_grad, d.requires_grad, b.grad_fn.next_functions[0])
    (b * b).sum().backward()
    show(p.grad)


@program
def views_and_writes_10(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    v = y.view(2, 1)
    w = v.view(1, 2)
    w.mul_(3)
    show(y, v, w)
    (y * y + v.view(2) + w.view(2)).sum().backward()
    show(x.grad)


@program
def views_and_writes_11(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    attempt(lambda: x.mul_(2))
    attempt(lambda: x.view(2, 1).mul_(2))
    show(x, x._version)
    with torch.no_grad():
        x.mul_(2)
        x.view(2, 1).mul_(2)
    show(x, x._version)


@program
def views_and_writes_12(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    attempt(lambda: x.copy_(torch.ones(3)))
    y = x * 1
    attempt(lambda: y.copy_(torch.ones(3)))
    attempt(lambda: y.mul_(torch.ones(3)))
    attempt(lambda: y.mul_(torch.ones(3, 2)))
    show(y, y._version)


@program
def views_and_writes_13(torch, show, attempt):
    x = torch.tensor([1, 2])
    attempt(lambda: x.mul_(1.5))
    attempt(lambda: x.mul_(torch.tensor(1.5)))
    show(x, x._version)
    x.copy_(torch.tensor([1.7, 2.9]))
    show(x)


@program
def views_and_writes_14(torch, show, attempt):
    x = torch.tensor([1.0, 2.0]).expand(3, 2)
    attempt(lambda: x.mul_(2))
    attempt(lambda: x.copy_(torch.ones(2)))


@program
def views_and_writes_15(torch, show, attempt):
    x = torch.arange(9.0).view(3, 3)
    attempt(lambda: x.mul_(x.t()))
    attempt(lambda: x.copy_(x.t()))
    show(x, x._version)
    attempt(lambda: x.mul_(x))


@program
def views_and_writes_16(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y * y
    y.mul_(2)
    attempt(lambda: z.sum().backward())


@program
def views_and_writes_17(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    z = x * x
    with torch.no_grad():
        x.mul_(2)
    attempt(lambda: z.sum().backward())


@program
def views_and_writes_18(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    y.mul_(2)
    attempt(lambda: y.sum().backward())
    y = x.exp()
    y.view(2, 1).mul_(2)
    attempt(lambda: y.sum().backward())
    y = x.exp()
    y.detach().mul_(2)
    attempt(lambda: y.sum().backward())
    y = x.exp()
    y.data.mul_(2)
    y.sum().backward()
    show(x.grad.shape)


@program
def views_and_writes_19(torch, show, attempt):
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 1
    v = y.view(1)
    v.mul_(3)
    (y * y).backward()
    show(x.grad, y)


@program
def views_and_writes_20(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    y.mul_(2)
    y.exp_()
    y.sin_()
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_21(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    y.mul_(torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True))
    show(y)
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_22(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    v = y.view(2, 1)
    v.mul_(torch.tensor([[2.0], [3.0]], dtype=torch.float64, requires_grad=True))
    show(v, y)
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_23(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    y.detach_()
    show(y)
    v = x.view(2)
    attempt(lambda: v.detach_())


@program
def views_and_writes_24(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    v = y.view(2, 1)
    y.detach_()
    show(v.requires_grad, y.requires_grad)
    attempt(lambda: v.mul_(2))
    show(y, v)


@program
def views_and_writes_25(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    v = y.view(2, 1)
    w = y.transpose(0, 0)
    v.mul_(x.view(2, 1))
    show(v, w, y)
    (g,) = torch.autograd.grad((y * w).sum(), x, create_graph=True)
    show(g)
    (h,) = torch.autograd.grad((g * g).sum(), x)
    show(h)


@program
def views_and_writes_26(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 1).view(2, 1)
    v = y.view(1, 2)
    y.mul_(2)
    show(y, v, y._base is v._base)
    (y.view(2) * v).sum().backward()
    show(x.grad)


@program
def views_and_writes_27(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    v = y.expand(2, 2)
    y.mul_(2)
    show(v)
    v.sum().backward()
    show(x.grad)


@program
def views_and_writes_28(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    attempt(lambda: y.expand(2, 2).mul_(2))
    show(y)


@program
def views_and_writes_29(torch, show, attempt):
    x = torch.tensor([1.0, 2.0])
    x.requires_grad_()
    y = x * 1
    show(y._version)
    y.copy_(y)
    show(y._version)
    y = x * 1
    y.copy_(torch.tensor([5.0, 6.0]))
    show(y)
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_30(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.zeros(2)
    y.copy_(x)
    show(y)
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_31(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.zeros(2, 2)
    y.copy_(x)
    show(y)
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_32(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.zeros(2, 2, dtype=torch.float64)
    y.copy_(x)
    show(y)
    y.sum().backward()
    show(x.grad)


@program
def views_and_writes_33(torch, show, attempt):
    y = torch.zeros(2, dtype=torch.int64)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    attempt(lambda: y.copy_(x))
    show(y)


@program
def a_base_that_requires_grad_after_its_view(torch, show, attempt):
    base = torch.zeros(4)
    v = base[1:3]
    attempt(lambda: base.requires_grad_())
    show(v.requires_grad, v.is_leaf, v.grad_fn)
    attempt(lambda: v * 2)
    attempt(lambda: (v * 2).grad_fn.next_functions)
    attempt(lambda: v.numpy())
    attempt(lambda: v.mul_(2))
    attempt(lambda: torch.exp(v))
    attempt(lambda: v.view(2, 1))
    attempt(lambda: torch.cat([v, v]))
    attempt(lambda: v.unbind())
    attempt(lambda: v.sum().backward())
    attempt(lambda: (v * base[1:3]).sum().backward())
    show(v.grad, base.grad)
    attempt(lambda: torch.autograd.grad(v.sum(), v))
    attempt(lambda: torch.autograd.grad(v.sum(), [v, base], allow_unused=True))
    attempt(lambda: v.backward(torch.ones(2)))
    attempt(lambda: torch.autograd.graph.get_gradient_edge(v))
    attempt(lambda: v.sum().backward(inputs=[v]))
    attempt(lambda: v.retain_grad())
    attempt(lambda: v)


@program
def a_base_that_no_longer_requires_grad(torch, show, attempt):
    base = torch.zeros(4)
    v = base[1:3]
    attempt(lambda: base.requires_grad_())
    u = v * 2
    attempt(lambda: base.requires_grad_(False))
    show(u, v.requires_grad, (v * 2).requires_grad)
    attempt(lambda: u.sum().backward())
    attempt(lambda: v.add_(1))
    show(v, base)


@program
def a_base_that_changed_before_it_required_grad(torch, show, attempt):
    base = torch.zeros(4)
    v = base[1:3]
    w = base[0:2]
    attempt(lambda: base.add_(1))
    show(v + 1)
    attempt(lambda: base.requires_grad_())
    show(v.grad_fn, v.is_leaf)
    attempt(lambda: w.requires_grad)
    attempt(lambda: (v * w * 2).sum().backward())
    show(base.grad)


@program
def a_view_that_was_asked_itself(torch, show, attempt):
    base = torch.zeros(4)
    v = base[1:3]
    attempt(lambda: v.requires_grad_())
    show(base.requires_grad, v.is_leaf)
    attempt(lambda: v.mul_(2))
    attempt(lambda: base.add_(3))
    show(v, v.grad_fn)
    attempt(lambda: (v * v).sum().backward())
    show(v.grad, base.requires_grad)
    attempt(lambda: v.requires_grad_(False))
    show(v, v * 2)
    attempt(lambda: base.add_(torch.ones(4, requires_grad=True)))
    show(v, v * 2)


@program
def a_view_asked_for_its_own_gradient_after_its_base(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        v = x.view(2, 1)
    show((v * 2).grad_fn.next_functions)
    attempt(lambda: v.requires_grad_())
    show([type(node).__name__ for node, _ in (v * 2).grad_fn.next_functions])
    attempt(lambda: (v * 2).sum().backward())
    show(v.grad, x.grad)
    attempt(lambda: v.requires_grad_(False))
    show(v, v * 2)
    attempt(lambda: (v * 2).sum().backward())
    show(v.grad, x.grad)
    attempt(lambda: x.requires_grad_(False))
    show(v, v * 2)


@program
def a_view_taken_in_no_grad_is_out_of_reach(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        v = x.view(2, 1)
    attempt(lambda: torch.autograd.grad((v * 2).sum(), v))
    attempt(lambda: torch.autograd.grad((v * 2).sum(), v, allow_unused=True))
    attempt(lambda: v.backward(torch.ones(2, 1)))
    called = []
    show(v.register_hook(called.append) is not None)
    attempt(lambda: (v * 2).sum().backward())
    attempt(lambda: (v * 2).sum().backward(inputs=[v]))
    show(called, v.grad, x.grad)


@program
def comparisons_in_place(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    attempt(lambda: y.lt_(1.5))
    attempt(lambda: y.grad_fn.next_functions)
    attempt(lambda: y.sum().backward())
    show(x.grad)
    y = torch.zeros(2)
    attempt(lambda: y.ge_(x))
    attempt(lambda: y.not_equal_(x * 2))
    attempt(lambda: len(y.grad_fn.next_functions))
    attempt(lambda: y.sum().backward())
    show(x.grad)
    b = torch.zeros(2, 2, dtype=torch.float64)
    attempt(lambda: b[0].gt_(x))
    show(b)
    attempt(lambda: torch.autograd.grad(b.sum(), x, create_graph=True))
    attempt(lambda: x.eq_(x))
    with torch.no_grad():
        show(torch.zeros(2).le_(x))
    z = torch.zeros(2, 2).less_(torch.tensor(1.0, requires_grad=True))
    show(z)
    attempt(lambda: z.sum().backward())


@program
def writing_by_index_into_a_leaf(torch, show, attempt):
    x = torch.ones(3, requires_grad=True)
    for key in (0, slice(0, 1), None, slice(None), ..., [0], torch.tensor([True, False, False]), (0,), ()):
        attempt(lambda key=key: x.__setitem__(key, 2))
    show(x._version)
    a = (x * 1).chunk(2)[0]
    attempt(lambda: a.__setitem__(0, 1))
    attempt(lambda: a.__setitem__(..., 1))
    attempt(lambda: a.__setitem__([0], 1))
    show(a._version)


@program
def changing_the_own_shape(torch, show, attempt):
    x = torch.ones(2, 3, requires_grad=True)
    y = x * 1
    attempt(lambda: y.t_())
    attempt(lambda: y.transpose_(0, 1))
    attempt(lambda: y.unsqueeze_(0))
    attempt(lambda: y.squeeze_(0))
    attempt(lambda: y.squeeze_())
    attempt(lambda: y.swapaxes_(0, 1))
    attempt(lambda: y.as_strided_((2, 2), (1, 3)))
    attempt(lambda: y.sum().backward())
    show(x.grad, y._version)
    v = (x * 1).view(6)
    attempt(lambda: v.unsqueeze_(0))
    attempt(lambda: v.mul_(2))
    attempt(lambda: v.squeeze_())
    show(v.grad_fn, v._base)


@program
def what_has_no_derivative(torch, show, attempt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    attempt(lambda: torch.heaviside(x, x))
    attempt(lambda: x // 2)
    attempt(lambda: (x * 1).floor_divide_(x))
    attempt(lambda: torch.heaviside(x, x).sum().backward())


@program
def a_view_from_no_grad_that_may_not_be_used(torch, show, attempt):
    b = torch.zeros(4)
    with torch.no_grad():
        v = b.view(-1)
    attempt(lambda: v.mul_(0.25))
    attempt(lambda: v.exp_())
    attempt(lambda: b.requires_grad_())
    attempt(lambda: v.grad_fn)
    attempt(lambda: v.grad_fn)
    attempt(lambda: v * 2)
    show(v.requires_grad_().requires_grad)
    attempt(lambda: v.grad_fn)


@program
def a_view_recorded_while_its_base_required_grad(torch, show, attempt):
    b = torch.zeros(4, requires_grad=True)
    v = b[1:]
    attempt(lambda: b.requires_grad_(False))
    show(v, v.requires_grad)
    attempt(lambda: (v * v).sum().backward())
    show(b.grad)


@program
def a_comparison_with_a_view_from_no_grad(torch, show, attempt):
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        v = x.view(3)
    y = torch.zeros(3)
    attempt(lambda: y.ge_(v))
    attempt(lambda: y.grad_fn.next_functions)
    attempt(lambda: y.sum().backward())
    show(x.grad, v.grad)


@program
def what_may_be_asked_of_a_view_out_of_date(torch, show, attempt):
    y = torch.zeros(4, requires_grad=True) * 2
    with torch.no_grad():
        u = y.view(-1)
    v = y.split(2)[1]
    attempt(lambda: y.mul_(0.25))
    for view in (u, v):
        for name in ("is_leaf", "grad_fn", "output_nr", "requires_grad", "retains_grad", "grad", "_version", "shape"):
            attempt(lambda view=view, name=name: getattr(view, name))
            with torch.no_grad():
                attempt(lambda view=view, name=name: getattr(view, name))
        attempt(view.retain_grad)


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
