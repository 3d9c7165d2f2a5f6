"""What PyTorch guarantees of tensors, modes, views and in-place operations, statement by statement, in both libraries."""

import copy
import pickle
import threading
import types
import warnings

import pytest

from tests.oracle.both import PROGRAMS, check, program


def warned(call):
    """The categories and first sentences of what a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [(each.category.__name__, str(each.message).split(". ")[0]) for each in caught]


# ---------------------------------------------------------------- backward and grad
@program
def roots_and_inputs(torch, show, attempt):
    from_edge = torch.autograd.graph.get_gradient_edge
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    out = (x * 3).sum()
    torch.autograd.backward([out, out])
    show(x.grad)
    z = x * y
    attempt(lambda: torch.autograd.grad(from_edge(z.sum()), [x, from_edge(y)]))
    z = x * y
    attempt(lambda: z.sum().backward(inputs=z))
    show(z.grad, y.grad)
    attempt(lambda: torch.autograd.backward((x * y).sum(), inputs={"x": x}))
    attempt(lambda: torch.autograd.backward((x * y).sum(), inputs=[]))
    attempt(lambda: torch.autograd.grad((x * y).sum(), []))
    attempt(lambda: torch.autograd.grad((x * y).sum(), types.MappingProxyType({"x": x})))
    attempt(lambda: torch.autograd.backward((x * y).sum(), inputs=types.MappingProxyType({"x": x})))
    attempt(lambda: torch.autograd.grad((x * y).sum(), {"first": x, "second": y}))
    attempt(lambda: torch.autograd.grad((x * y).sum(), [x, x]))
    attempt(lambda: [g.tolist() for g in torch.autograd.grad(x.sum(), x)])
    attempt(lambda: torch.autograd.grad(x, x, torch.ones(2)))
    attempt(lambda: torch.autograd.grad((x * 2).sum(), [x, y]))
    attempt(lambda: torch.autograd.grad((x * 2).sum(), [x, y], allow_unused=True))
    attempt(lambda: torch.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True))
    attempt(lambda: torch.autograd.grad(x.sum(), [x, y], materialize_grads=True, allow_unused=False))
    attempt(lambda: torch.autograd.grad(x.sum(), [from_edge(x), from_edge(y)], materialize_grads=True))
    attempt(lambda: torch.autograd.grad((x * y), x, torch.eye(2), is_grads_batched=True))
    attempt(lambda: torch.autograd.grad((x * y), x, torch.eye(3), is_grads_batched=True))


@program
def implicit_and_explicit_gradients(torch, show, attempt):
    x = torch.ones(1, 1, requires_grad=True)
    attempt(lambda: (x * 2).backward())
    show(x.grad)
    z = torch.ones(2, requires_grad=True)
    c = torch.ones((), dtype=torch.complex64, requires_grad=True)
    attempt(lambda: (z * 2).backward())
    attempt(lambda: (c * 2).backward())
    attempt(lambda: (z * 2).backward(torch.ones(3)))
    attempt(lambda: (z * 2).sum().backward(torch.ones(1)))
    attempt(lambda: (z * 2).backward(torch.ones(2, dtype=torch.complex64)))
    attempt(lambda: (z * 2).backward(torch.ones(2, dtype=torch.float64)))
    show(z.grad)
    attempt(lambda: torch.ones(2).sum().backward())
    attempt(lambda: torch.autograd.backward([z.sum(), torch.ones(())]))
    attempt(lambda: torch.autograd.grad(torch.ones(()), z))
    attempt(lambda: torch.autograd.grad(z.sum(), torch.ones(2)))


@program
def retaining_follows_create_graph(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = (x**2).sum()
    y.backward(create_graph=True)
    attempt(lambda: y.backward())
    attempt(lambda: y.backward())
    z = (x + 1).sum()
    z.backward()
    z.backward()
    show(x.grad.detach())
    w = (x**2).sum()
    w.backward(retain_graph=True)
    w.backward()
    attempt(lambda: w.backward())
    attempt(lambda: w.grad_fn.next_functions[0][0]._saved_self)


@program
def order_of_nodes(torch, show, attempt):
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    log = []
    a = x * 2
    b = y * 3
    for name, tensor in (("x", x), ("y", y), ("a", a), ("b", b)):
        tensor.register_hook(lambda g, name=name: log.append(name))
    (a + b).sum().backward()
    show(log)

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise ValueError("mine")

    attempt(lambda: Fails.apply(x).sum().backward())

    class Reenters(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            with torch.enable_grad():
                inner = torch.ones(2, requires_grad=True)
                (inner * 5).sum().backward()
            return g * inner.grad

    x.grad = None
    Reenters.apply(x).sum().backward()
    show(x.grad)


# ---------------------------------------------------------------- attributes of tensors
@program
def requires_grad(torch, show, attempt):
    x = torch.ones(2)
    show(x.requires_grad_() is x, x.requires_grad, x.is_leaf)
    y = x * 2
    attempt(lambda: setattr(y, "requires_grad", False))
    attempt(lambda: setattr(y, "requires_grad", True))
    attempt(lambda: y.requires_grad_(False))
    attempt(lambda: y.requires_grad_(True).requires_grad)
    attempt(lambda: setattr(torch.ones(1, dtype=torch.int64), "requires_grad", True))
    attempt(lambda: torch.ones(1, dtype=torch.int64).requires_grad_())
    attempt(lambda: torch.ones(1, dtype=torch.bool).requires_grad_(False).requires_grad)
    attempt(lambda: torch.ones(1, dtype=torch.complex64).requires_grad_().requires_grad)
    attempt(lambda: setattr(x, "requires_grad", "yes"))
    show((torch.ones(2) * 2).is_leaf, y.is_leaf, x.output_nr, y.output_nr)
    outputs = torch.ones(3, requires_grad=True).unbind()
    show([out.output_nr for out in outputs], outputs[0].grad_fn is outputs[1].grad_fn)


@program
def grad_of_a_tensor(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    show(x.grad)
    y = x * 2
    show(warned(lambda: y.grad))
    y.retain_grad()
    show(warned(lambda: y.grad), y.retains_grad, x.retains_grad)
    attempt(lambda: x.retain_grad())
    attempt(lambda: torch.ones(1).retain_grad())
    attempt(lambda: setattr(x, "grad", torch.ones(3)))
    attempt(lambda: setattr(x, "grad", torch.ones(2, dtype=torch.float64)))
    attempt(lambda: setattr(x, "grad", 1.0))
    attempt(lambda: setattr(x, "grad", x))
    y.sum().backward(retain_graph=True)
    first = x.grad
    y.sum().backward(retain_graph=True)
    show(x.grad is first, first)
    x.grad.zero_()
    y.sum().backward(retain_graph=True)
    show(x.grad is first, first)
    y.sum().backward(create_graph=True)
    show(x.grad is first, x.grad, first)
    attempt(lambda: x.grad_dtype)
    attempt(lambda: y.grad_dtype)
    attempt(lambda: setattr(y, "grad_dtype", torch.float64))
    attempt(lambda: setattr(x, "grad_dtype", torch.float64))
    z = torch.ones(2, requires_grad=True)
    z.grad_dtype = torch.float64
    (z * 2).sum().backward()
    show(z.grad, z.grad_dtype)


@program
def layout_of_a_first_gradient(torch, show, attempt):
    for make in (
        lambda: torch.ones(2, 3).t(),
        lambda: torch.ones(4).expand(2, 4),
        lambda: torch.ones(1, 4).expand(3, 4),
        lambda: torch.ones(2, 6)[:, ::2],
        lambda: torch.ones(2, 3, 4).permute(2, 0, 1),
    ):
        x = make().requires_grad_()
        (x * 2).sum().backward()
        show(x.stride(), x.grad.stride())


@program
def versions(torch, show, attempt):
    x = torch.ones(4)
    view, detached, data = x[1:], x.detach(), x.data
    x.add_(1)
    show(x._version, view._version, detached._version, data._version)
    data.add_(1)
    with torch.no_grad():
        view.mul_(2)
    show(x._version, view._version, detached._version, data._version, x)
    show(view._base is x, view[1:]._base is x, detached._base, x.detach()._is_view(), view._is_view())
    w = torch.ones(3, requires_grad=True)
    y = w * 1
    out = (y * y).sum()
    y.data.mul_(10)
    out.backward()
    show(w.grad)
    with torch.inference_mode():
        z = torch.ones(2)
    attempt(lambda: z._version)


@program
def detaching(torch, show, attempt):
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    d = y.detach()
    show(d.requires_grad, d.data_ptr() == y.data_ptr(), d.grad_fn)
    attempt(lambda: (x * 2)[1:].detach_())
    z = x * 2
    show(z.detach_() is z, z.requires_grad, z.is_leaf)
    out = (y * y).sum()
    d.zero_()
    attempt(lambda: out.backward())


@program
def hooks(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    log = []
    y.register_hook(lambda g: log.append(("first", g)) or g * 2)
    y.register_hook(lambda g: log.append(("second", g)))
    torch.autograd.grad(y.sum(), y, retain_graph=True)
    show(log)
    y.sum().backward()
    show(x.grad)
    attempt(lambda: torch.ones(1).register_hook(print))
    y = x * 2
    y.register_hook(lambda g: g[:1])
    attempt(lambda: y.sum().backward())
    log.clear()
    y = x * 2
    y.register_hook(lambda g: log.append(("old", g)))
    y.mul_(3)
    y.register_hook(lambda g: log.append(("new", g)))
    y.sum().backward()
    show(log)
    attempt(lambda: (x * 2).register_post_accumulate_grad_hook(print))
    attempt(lambda: torch.ones(1).register_post_accumulate_grad_hook(print))
    x.grad = None
    log.clear()

    def step(p):
        log.append((p is x, p.grad.tolist(), torch.is_grad_enabled()))
        p.grad = None

    handle = x.register_post_accumulate_grad_hook(step)
    (x * 2).sum().backward()
    show(log, x.grad)
    handle.remove()
    x.register_post_accumulate_grad_hook(lambda p: p)
    (x * 2).sum().backward()
    x.register_post_accumulate_grad_hook(lambda p: p * 2)
    attempt(lambda: (x * 2).sum().backward())


@program
def retained_gradients(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    show(y.grad, x.grad)


@program
def copies_and_numbers(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    attempt(lambda: x.numpy())
    attempt(lambda: (x * 2).numpy())
    attempt(lambda: x.numpy(force=True).tolist())
    with torch.no_grad():
        attempt(lambda: x.numpy().tolist())
    attempt(lambda: (x * 2).sum().item())
    attempt(lambda: x.tolist())
    attempt(lambda: x.item())
    attempt(lambda: copy.deepcopy(x * 2))
    (x * 2).sum().backward()
    for same in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), copy.copy(x)):
        show(same, same.grad is None, same is x)
    show(torch.is_inference(x), x.is_inference())


# ---------------------------------------------------------------- modes
@program
def no_grad_and_enable_grad(torch, show, attempt):
    w = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        show(w * 2, torch.ones(1, requires_grad=True), w[1:].requires_grad, w.view(3).is_leaf)
        with torch.enable_grad():
            show(w * 2)
    seen = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: seen.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
    show(seen)

    @torch.no_grad()
    def produce():
        yield torch.is_grad_enabled()
        yield torch.is_grad_enabled()

    generator = produce()
    show(next(generator), torch.is_grad_enabled(), next(generator))

    class Model:
        @torch.no_grad()
        def call(self):
            return torch.is_grad_enabled()

    @torch.no_grad
    def bare():
        return torch.is_grad_enabled()

    show(Model().call(), bare(), torch.is_grad_enabled())
    show([name for name, _ in warned(lambda: torch.no_grad()(type("Plain", (), {})))])


@program
def set_grad_enabled(torch, show, attempt):
    torch.set_grad_enabled(False)
    show(torch.is_grad_enabled())
    torch.set_grad_enabled(True)
    with torch.set_grad_enabled(False):
        show(torch.is_grad_enabled())
    show(torch.is_grad_enabled())

    @torch.set_grad_enabled(False)
    def decorated():
        return torch.is_grad_enabled()

    show(torch.is_grad_enabled(), decorated(), torch.is_grad_enabled())
    attempt(lambda: torch.set_grad_enabled(1))


@program
def inference_mode(torch, show, attempt):
    w = torch.ones(2, requires_grad=True)
    normal = torch.ones(2)
    with torch.inference_mode():
        made = torch.ones(2)
        view = made[1:]
        outside = normal[1:]
        show(torch.is_inference_mode_enabled(), torch.is_grad_enabled())
        show(made.is_inference(), view.is_inference(), outside.is_inference(), torch.is_inference(made))
        with torch.enable_grad():
            show((w * 2).requires_grad, (w * 2).is_inference())
        made.add_(1)
        with torch.inference_mode(False):
            show(torch.is_inference_mode_enabled(), torch.ones(1).is_inference())
    attempt(lambda: w * made)
    attempt(lambda: made.requires_grad_())
    attempt(lambda: setattr(made, "requires_grad", True))
    attempt(lambda: (made * 2).shape)
    attempt(lambda: w * made.clone())
    attempt(lambda: made._version)
    attempt(lambda: made.add_(1))  # which PyTorch refuses after having done it

    @torch.inference_mode
    def bare():
        return torch.ones(1).is_inference()

    @torch.inference_mode()
    def called():
        return torch.ones(1).is_inference()

    show(bare(), called(), torch.ones(1).is_inference())


@program
def the_mode_of_a_backward(torch, show, attempt):
    seen = []

    class Asks(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            seen.append(torch.is_grad_enabled())
            return g

    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: seen.append(torch.is_grad_enabled()))
    Asks.apply(x).sum().backward()
    Asks.apply(x).sum().backward(create_graph=True)
    y = Asks.apply(x).sum()
    with torch.no_grad():
        y.backward()
        show(torch.is_grad_enabled())
    show(seen)


# ---------------------------------------------------------------- views and writes
@program
def changed_after_it_was_saved(torch, show, attempt):
    x = torch.ones(3, requires_grad=True, dtype=torch.float64)
    a = x + 1
    b = a.exp()
    c = a * a
    a.add_(1)
    attempt(lambda: c.sum().backward())
    attempt(lambda: b.sum().backward())
    b = (x + 1).exp()
    loss = b.sum()
    b.mul_(2)
    attempt(lambda: loss.backward())
    attempt(lambda: b.sum().backward())
    b = x * 2
    b.add_(1)
    attempt(lambda: b.sum().backward())
    b = x.sigmoid()
    out = b * 2
    b.detach().zero_()
    attempt(lambda: out.sum().backward())


@program
def writes_to_leaves(torch, show, attempt):
    x = torch.ones(3, requires_grad=True)
    attempt(lambda: x.add_(1))
    attempt(lambda: x[1:].add_(1))
    attempt(lambda: x.__setitem__(0, 5.0))
    attempt(lambda: x.view(3).zero_())
    with torch.no_grad():
        x.add_(1)
        x[1:].mul_(2)
        x[0] = 7.0
    show(x, x._version)


@program
def writes_through_views_and_bases(torch, show, attempt):
    x = torch.ones(4, requires_grad=True)
    base = x * 2
    first, second = base[:2], base[1:3]
    first.mul_(3)
    show(base, second, base.grad_fn.name(), second.grad_fn.name())
    base.mul_(2)
    show(first, second, first.grad_fn.name())
    base[3] = 0.0
    base.sum().backward()
    show(x.grad)
    z, p = torch.zeros(3), torch.ones(1, requires_grad=True)
    z[0:1] = p * 2
    show(z)
    z.sum().backward()
    show(p.grad)


@program
def writes_that_are_forbidden(torch, show, attempt):
    x = torch.ones(4, requires_grad=True)
    for several in (lambda b: b.unbind(), lambda b: b.split(2), lambda b: b.chunk(2)):
        base = x * 2
        attempt(lambda base=base, several=several: several(base)[0].add_(1))
        base = x * 2
        views = several(base)
        base.add_(1)
        attempt(lambda views=views: views[0].sum())
    base = x * 2
    with torch.no_grad():
        view = base[1:]
    attempt(lambda: view.add_(1))
    base = x * 2
    with torch.no_grad():
        view = base[1:]
    base.add_(1)
    attempt(lambda: view * 2)
    base = torch.ones(4)
    with torch.inference_mode():
        view = base[1:]
    attempt(lambda: view.add_(x[1:]))
    with torch.inference_mode():
        made = torch.ones(4)
    attempt(lambda: made[1:].add_(1))

    class Sees(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[1:]

        @staticmethod
        def backward(ctx, g):
            return torch.nn.functional.pad(g, (1, 0))

    attempt(lambda: Sees.apply(x * 2).add_(1))
    e = torch.ones(1, requires_grad=True) * torch.ones(1)
    attempt(lambda: e.expand(3).add_(1))


@program
def changes_that_autograd_cannot_see(torch, show, attempt):
    x = torch.ones(3, requires_grad=True)
    y = x * 1
    out = (y * y).sum()
    torch.autograd.graph.increment_version(y)
    attempt(lambda: out.backward())
    a, b = torch.ones(1), torch.ones(1)
    torch.autograd.graph.increment_version([a, b])
    show(a._version, b._version)
    index = torch.tensor([0, 0])
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    show(torch.zeros(2).index_put((index,), values, accumulate=True))


# ---------------------------------------------------------------- the messages of custom functions
@program
def custom_functions_that_are_wrong(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)

    def function(forward, **methods):
        members = {"forward": staticmethod(forward), **{name: staticmethod(method) for name, method in methods.items()}}
        return type("F", (torch.autograd.Function,), members)

    def same(ctx, a):
        return a * 1

    attempt(lambda: function(same, backward=lambda ctx, g: (g, g)).apply(x).sum().backward())
    attempt(lambda: function(same, backward=lambda ctx, g: g[:1].expand(3)).apply(x).sum().backward())
    attempt(lambda: function(same, backward=lambda ctx, g: g, vjp=lambda ctx, g: g).apply(x).sum().backward())
    attempt(lambda: function(same).apply(x).sum().backward())
    once = torch.autograd.function.once_differentiable(lambda ctx, g: g * 2)
    out = function(same, backward=once).apply(x)
    (first,) = torch.autograd.grad((out * out).sum(), x, create_graph=True)
    attempt(lambda: first.sum().backward())


@program
def custom_functions_that_nothing_comes_back_to(torch, show, attempt):
    class Nothing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return None

    def asking(materializes, several):
        class Asks(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(materializes)
                return (x.clone(), x * 2) if several else x.clone()

            @staticmethod
            def backward(ctx, *gs):
                show(gs)
                return None if gs[0] is None else sum(gs)

        return Asks

    for materializes in (True, False):
        for several in (True, False):
            function = asking(materializes, several)
            a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)

            def once(function=function, several=several, a=a):
                out = function.apply(a * 2)
                return out[0] * out[1] if several else out

            for create_graph in (False, True):
                Nothing.apply(once()).sum().backward(create_graph=create_graph)
                show(a.grad)
            show(torch.autograd.grad(Nothing.apply(once()).sum() + (b * 2).sum(), [a, b], allow_unused=True))
            show(torch.autograd.grad(Nothing.apply(once()).sum() + (b * 2).sum(), [b]))
            out = function.apply(a * 2)
            out = out[0] if several else out
            count = 2 if several else 1
            out.grad_fn.register_prehook(lambda outs, count=count: (None,) * count)
            out.sum().backward()
            show(a.grad)


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
