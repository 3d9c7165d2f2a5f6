"""Programs of autograd and `vmap` together, run by both libraries: modes, hooks, `grad` inside, batched gradients."""

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.test_vmap_oracle import refused


def leaf(torch, *values, grad=True):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=grad)


def rows(torch, count=2, width=3, grad=False):
    return torch.arange(1.0, 1.0 + count * width, dtype=torch.float64).reshape(count, width).requires_grad_(grad)


def numbers(values):
    """Tensors without their strides, in which gradients may differ."""
    return [value if value is None else (value.tolist(), tuple(value.shape), str(value.dtype), value.requires_grad) for value in values]


def jacobian(torch, function):
    """By rows, in reverse mode."""

    def wrapper(x, *rest):
        y, pull = torch.func.vjp(lambda x: function(x, *rest), x)
        units = torch.eye(y.numel(), dtype=torch.float64).reshape(y.numel(), *y.shape)
        return torch.func.vmap(lambda g: pull(g)[0])(units).reshape(*y.shape, *x.shape)

    return wrapper


@program
def recording_around(torch, show, attempt):
    vmap = torch.func.vmap
    x, w = rows(torch, grad=True), leaf(torch, 1.0, 2.0, 3.0)
    out = vmap(lambda a: (a * w).pow(2).sum())(x)
    show(out.requires_grad, out.is_leaf)
    show(numbers(torch.autograd.grad(out.sum(), [x, w], create_graph=True)))
    gx, gw = torch.autograd.grad(vmap(lambda a: (a * w).pow(2).sum())(x).sum(), [x, w], create_graph=True)
    show(numbers(torch.autograd.grad(gx.sum() + gw.sum(), [x, w])))
    with torch.no_grad():
        show(vmap(lambda a: (a * w).sum())(x).requires_grad)
        show(vmap(torch.func.grad(lambda a: (a * w).pow(2).sum()))(x))
        with torch.enable_grad():
            show(vmap(lambda a: (a * w).sum())(x).requires_grad)
    with torch.inference_mode():
        found = vmap(lambda a: (a * w).sum())(x)
        show(found.requires_grad, found.is_inference())
        show(vmap(torch.func.grad(lambda a: (a * w).pow(2).sum()))(x).tolist())
    show(vmap(lambda a: (a * w).sum())(x.detach()).requires_grad)
    show(vmap(lambda a: a.long())(x).requires_grad, vmap(lambda a: a > 2)(x).requires_grad, vmap(lambda a: torch.ones(2))(x).requires_grad)


@program
def modes_inside(torch, show, attempt):
    vmap = torch.func.vmap
    x = rows(torch, grad=True)

    def unrecorded(a):
        with torch.no_grad():
            b = a * 2
        return a * 3, b, a.detach(), a.detach() * a

    show([(each.requires_grad, each.tolist()) for each in vmap(unrecorded)(x)])

    def recorded(a):
        with torch.enable_grad():
            return a * 2

    with torch.no_grad():
        show(vmap(recorded)(x).requires_grad)

    def switching(a):
        torch.set_grad_enabled(False)
        out = a * 2
        torch.set_grad_enabled(True)
        return out, a * 3

    show([each.requires_grad for each in vmap(switching)(x)])
    show(torch.is_grad_enabled())

    def in_inference(a):
        with torch.inference_mode():
            return a * 2

    attempt(lambda: vmap(in_inference)(rows(torch)).tolist())
    show(vmap(torch.func.grad(lambda a: (a * a.detach()).sum()))(x.detach()))

    def partly(a):
        with torch.no_grad():
            c = a.pow(2)
        return (c * a).sum()

    show(vmap(torch.func.grad(partly))(x.detach()))
    with torch.no_grad():
        show(vmap(torch.func.grad(partly))(x.detach()))


@program
def refused_inside(torch, show, attempt):
    vmap = torch.func.vmap
    x = rows(torch, grad=True)
    w = leaf(torch, 1.0, 2.0, 3.0)
    attempt(lambda: vmap(lambda a: a.requires_grad_())(x.detach()))
    attempt(lambda: vmap(lambda a: a.sum().backward())(x))
    attempt(lambda: vmap(lambda a: torch.autograd.backward(a.sum()))(x))
    attempt(lambda: vmap(lambda a: (a * w).sum().backward())(x.detach()))
    attempt(lambda: vmap(lambda a: w.sum().backward())(x.detach()))
    attempt(lambda: vmap(lambda a: (a * 2).retain_grad())(x))
    attempt(lambda: vmap(lambda a: (torch.ones(3).requires_grad_(), a)[1])(x.detach()))
    attempt(lambda: vmap(lambda a: (torch.ones(3, requires_grad=True), a)[1])(x.detach()))
    attempt(lambda: vmap(lambda a: (setattr(a, "requires_grad", True), a)[1])(x.detach()))
    attempt(lambda: vmap(lambda a: (a.requires_grad_(False), a)[1])(x.detach()))
    show(w.grad, x.grad)


@program
def grad_inside(torch, show, attempt):
    vmap = torch.func.vmap
    x = rows(torch, grad=True)
    w = leaf(torch, 1.0, 2.0, 3.0)
    attempt(lambda: vmap(lambda a: torch.autograd.grad((a * w).sum(), w)[0])(x.detach()))
    attempt(lambda: vmap(lambda a: torch.autograd.grad((w * w).sum(), w)[0] * a)(x.detach()))
    attempt(lambda: vmap(lambda a: torch.autograd.grad((w * w), w, a)[0])(x.detach()))
    attempt(lambda: vmap(lambda a: torch.autograd.grad((w * w), w, a, create_graph=True)[0])(x.detach()).tolist())
    y = w.pow(3)
    attempt(lambda: vmap(lambda g: torch.autograd.grad(y, w, g, retain_graph=True)[0])(torch.eye(3, dtype=torch.float64)))
    attempt(lambda: vmap(lambda g: torch.autograd.grad(y, w, g)[0])(torch.eye(3, dtype=torch.float64)))
    attempt(lambda: vmap(lambda g: torch.autograd.grad(y, w, g)[0])(torch.eye(3, dtype=torch.float64)))


@program
def hooks_on_captured(torch, show, attempt):
    vmap = torch.func.vmap
    seen = []
    w = leaf(torch, 1.0, 2.0, 3.0)
    w.register_hook(lambda g: seen.append(("w", g.tolist())))
    v = w * 2
    v.register_hook(lambda g: seen.append(("v", g.tolist())) or g * 10)
    x = rows(torch)
    vmap(lambda a: (a * v).sum())(x).sum().backward()
    show(seen, w.grad)
    out = vmap(lambda a: (a * w).sum())(x)
    out.register_hook(lambda g: g * 2)
    out.retain_grad()
    out.sum().backward()
    show(seen, w.grad, out.grad)

    def inside(a):
        b = a * 2
        b.register_hook(lambda g: seen.append(tuple(g.shape)) or g * 3)
        return b.sum()

    seen.clear()
    show(vmap(torch.func.grad(inside))(x).tolist(), seen)
    seen.clear()
    attempt(lambda: vmap(inside)(x))
    leafy = rows(torch, grad=True)
    attempt(lambda: vmap(inside)(leafy).sum().backward())
    show(leafy.grad, len(seen))


@program
def saved_hooks(torch, show, attempt):
    vmap = torch.func.vmap
    packed, unpacked = [], []

    def pack(t):
        packed.append(tuple(t.shape))
        return t

    def unpack(t):
        unpacked.append(tuple(t.shape))
        return t

    w, x = leaf(torch, 1.0, 2.0, 3.0), rows(torch)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        out = vmap(lambda a: (a * w).sin().sum())(x)
    out.sum().backward()
    show(len(packed) > 0, len(unpacked) > 0, [round(each, 6) for each in w.grad.tolist()])


@program
def checkpoints(torch, show, attempt):
    vmap = torch.func.vmap
    from_utils = torch.utils.checkpoint.checkpoint
    w, x = leaf(torch, 1.0, 2.0, 3.0), rows(torch)
    out = from_utils(lambda w: vmap(lambda a: (a * w).pow(3).sum())(x), w, use_reentrant=False)
    out.sum().backward()
    show(w.grad.tolist())
    attempt(lambda: vmap(lambda a: from_utils(lambda b: (b * w).pow(3).sum(), a, use_reentrant=False))(x).tolist())


@program
def anomaly_and_profiles(torch, show, attempt):
    vmap, grad = torch.func.vmap, torch.func.grad
    x = rows(torch, grad=True)
    with torch.autograd.detect_anomaly():
        out = vmap(lambda a: (a * 2).pow(2).sum())(x)
        out.sum().backward()
        show(x.grad)
        attempt(lambda: vmap(grad(lambda a: (a * 0).sqrt().sum()))(x.detach()).tolist())
        attempt(lambda: vmap(lambda a: (a * 0).sqrt().sum())(x).sum().backward())


@program
def batched_gradients(torch, show, attempt):
    grad = torch.autograd.grad
    eye = torch.eye(3, dtype=torch.float64)
    x = leaf(torch, 1.0, 2.0, 3.0)

    def view(x):
        return x.view(3, 1).expand(3, 2).sum(1) * x

    def written(x):
        y = x * 2
        y[0] = x[1] * x[2]
        y[1:].mul_(x[0])
        return y

    def through_slices(x):
        out = torch.zeros(3, dtype=torch.float64)
        out[:2] = x[1:] * x[0]
        out[2:].add_(x[:1])
        return out

    def indexed(x):
        return x[torch.tensor([0, 0, 2])] * x.flip(0)

    for function in (view, written, through_slices, indexed, lambda x: x.clone(), lambda x: x * 1, lambda x: x.cumsum(0) * x):
        show(numbers(grad(function(x), x, eye, is_grads_batched=True)))
        (first,) = grad(function(x), x, eye, is_grads_batched=True, create_graph=True)
        show(first.tolist(), first.requires_grad)
        if first.requires_grad:
            show(numbers(grad(first.pow(2).sum(), x, allow_unused=True)))
            show(numbers(grad(first.reshape(-1), x, torch.eye(9, dtype=torch.float64), is_grads_batched=True, allow_unused=True)))
    y = x.pow(2)
    other = leaf(torch, 1.0)
    attempt(lambda: grad(y, [x, other], eye, is_grads_batched=True, retain_graph=True))
    show(numbers(grad(y, [x, other], eye, is_grads_batched=True, retain_graph=True, allow_unused=True)))
    attempt(lambda: numbers(grad(y, [x, other], eye, is_grads_batched=True, retain_graph=True, materialize_grads=True)))
    attempt(lambda: grad(y, x, is_grads_batched=True, retain_graph=True))
    attempt(lambda: grad(y, x, torch.ones(3, dtype=torch.float64), is_grads_batched=True, retain_graph=True))
    attempt(lambda: grad(y, x, torch.ones(2, 4, dtype=torch.float64), is_grads_batched=True, retain_graph=True))
    attempt(lambda: grad(y, x, torch.tensor(1.0, dtype=torch.float64), is_grads_batched=True, retain_graph=True))
    attempt(lambda: grad([y, y.sum()], x, [eye, torch.ones(2, dtype=torch.float64)], is_grads_batched=True, retain_graph=True))
    attempt(lambda: numbers(grad([y, y.sum()], x, [eye, torch.arange(3.0, dtype=torch.float64)], is_grads_batched=True, retain_graph=True)))
    attempt(lambda: grad([y, y.sum()], x, [eye, None], is_grads_batched=True, retain_graph=True))
    attempt(lambda: grad(y, x, eye.float(), is_grads_batched=True, retain_graph=True)[0].dtype)
    attempt(lambda: grad(y, x, torch.zeros(0, 3, dtype=torch.float64), is_grads_batched=True, retain_graph=True))
    attempt(lambda: numbers(grad(y, {"k": x}, eye, is_grads_batched=True, retain_graph=True)))
    attempt(lambda: numbers(grad(y, x, eye, is_grads_batched=True)))
    attempt(lambda: grad(y, x, eye, is_grads_batched=True))


@program
def batched_gradients_and_hooks(torch, show, attempt):
    eye = torch.eye(2, dtype=torch.float64)
    seen = []
    x = leaf(torch, 1.0, 2.0)
    y = x * 3
    y.register_hook(lambda g: seen.append(("y", tuple(g.shape))) or g * 2)
    x.register_hook(lambda g: seen.append(("x", tuple(g.shape))))
    z = y * y
    z.register_hook(lambda g: seen.append(("z", tuple(g.shape))))
    z.grad_fn.register_hook(lambda given, got: seen.append(("node", len(given), len(got))))
    z.grad_fn.register_prehook(lambda got: seen.append(("pre", len(got))))
    show(numbers(torch.autograd.grad(z, x, eye, is_grads_batched=True)), seen)
    seen.clear()
    y = x * 3
    y.retain_grad()
    attempt(lambda: numbers(torch.autograd.grad(y * 2, x, eye, is_grads_batched=True)))
    show(y.grad is None)
    y = x * 3
    y.register_hook(lambda g: g.sum() if g.sum() > 0 else None)
    refused(show, lambda: torch.autograd.grad(y * 2, x, eye, is_grads_batched=True))


@program
def batched_gradients_of_custom_functions(torch, show, attempt):
    eye = torch.eye(2, dtype=torch.float64)

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    class Modern(torch.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x * y, x + y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            return g * y + h, g * x + h

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 2

    class Branching(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2 if g.sum() > 0 else g

    x, y = leaf(torch, 1.0, 2.0), leaf(torch, 3.0, 5.0)
    attempt(lambda: numbers(torch.autograd.grad(Square.apply(x), x, eye, is_grads_batched=True)))
    attempt(lambda: numbers(torch.autograd.grad(Square.apply(x).sin() * 0, x, eye, is_grads_batched=True, create_graph=True)))
    (first,) = torch.autograd.grad(Square.apply(x), x, eye, is_grads_batched=True, create_graph=True)
    attempt(lambda: numbers(torch.autograd.grad(first.sum(), x)))
    attempt(lambda: numbers(torch.autograd.grad(Modern.apply(x, y), [x, y], [eye, eye], is_grads_batched=True)))
    attempt(lambda: numbers(torch.autograd.grad(Modern.apply(x, y)[0], [x, y], eye, is_grads_batched=True)))
    attempt(lambda: numbers(torch.autograd.grad(Once.apply(x), x, eye, is_grads_batched=True)))
    refused(show, lambda: torch.autograd.grad(Branching.apply(x), x, eye, is_grads_batched=True))


@program
def second_derivatives_by_batches(torch, show, attempt):
    eye = torch.eye(3, dtype=torch.float64)
    x = leaf(torch, 1.0, 2.0, 3.0)

    def rosenbrock(x):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    (g,) = torch.autograd.grad(rosenbrock(x), x, create_graph=True)
    show(numbers(torch.autograd.grad(g, x, eye, is_grads_batched=True, retain_graph=True)))
    (h,) = torch.autograd.grad(g, x, eye, is_grads_batched=True, create_graph=True)
    show(numbers(torch.autograd.grad(h.reshape(-1), x, torch.eye(9, dtype=torch.float64), is_grads_batched=True)))


@program
def transforms_and_leaves(torch, show, attempt):
    func = torch.func
    x = rows(torch, grad=True)
    w = leaf(torch, 1.0, 2.0, 3.0)

    def loss(w, a):
        return (w * a).pow(3).sum()

    found = func.vmap(func.grad(loss), in_dims=(None, 0))(w, x)
    show(found.tolist(), found.requires_grad)
    show(numbers(torch.autograd.grad(found.sum(), [w, x])))
    found = func.vmap(jacobian(torch, lambda w, a: jacobian(torch, lambda w: loss(w, a))(w)), in_dims=(None, 0))(w, x)
    show(found.tolist(), found.requires_grad)
    show(numbers(torch.autograd.grad(found.sum(), [w, x])))
    found = func.grad(lambda w: func.vmap(loss, in_dims=(None, 0))(w, x).sum())(w)
    show(numbers(torch.autograd.grad(found.sum(), [w, x])))
    out, pull = func.vjp(lambda w: func.vmap(loss, in_dims=(None, 0))(w, x), w)
    pulled = func.vmap(pull)(torch.eye(2, dtype=torch.float64))[0]
    show(out.requires_grad, pulled.tolist(), pulled.requires_grad)
    show(numbers(torch.autograd.grad(pulled.sum(), [w, x])))
    show(numbers(func.jvp(lambda w: func.vmap(func.grad(loss), in_dims=(None, 0))(w, x), (w,), (torch.ones_like(w),))))
    show(jacobian(torch, func.grad(lambda w: func.vmap(loss, in_dims=(None, 0))(w, x).sum()))(w).tolist())


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
