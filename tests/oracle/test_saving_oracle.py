"""Programs with hooks for saved tensors, run by both libraries."""

import threading

import pytest

from tests.oracle.both import PROGRAMS, check, program


def leaf(torch, *values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def near(value):
    return None if value is None else [round(number, 10) for number in value.flatten().tolist()]


def lists(values):
    return [near(value) for value in values]


class Notes:
    """A pair of hooks that note what they are called with."""

    def __init__(self, torch):
        self.torch, self.packed, self.unpacked = torch, [], []

    def pack(self, tensor):
        self.packed.append((near(tensor), tensor.requires_grad, tensor.is_leaf, self.torch.is_grad_enabled()))
        return len(self.packed), tensor.detach().clone()

    def unpack(self, packed):
        number, tensor = packed
        self.unpacked.append((number, self.torch.is_grad_enabled()))
        return tensor

    def __call__(self):
        return self.torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack)


@program
def what_hooks_are_called_with(torch, show, attempt):
    notes = Notes(torch)
    x, c = leaf(torch, 1.0, 2.0), torch.tensor([3.0, 4.0], dtype=torch.float64)
    with notes():
        y = x * c
        z = y.exp() * y
        w = z.sum() + x.cos().sum() + (x + 1).sum()
    show(notes.packed, notes.unpacked)
    w.backward(retain_graph=True)
    show(notes.unpacked, x.grad)
    w.backward()
    show(len(notes.packed), len(notes.unpacked), x.grad)
    attempt(lambda: w.backward())


@program
def constants_and_no_grad(torch, show, attempt):
    notes = Notes(torch)
    x = leaf(torch, 1.0, 2.0)
    with notes():
        with torch.no_grad():
            x.exp()
        torch.ones(2).exp()
        x * 2
        x.sum()
    show(notes.packed)


@program
def a_recorded_backward(torch, show, attempt):
    notes = Notes(torch)
    x = leaf(torch, 0.5, 1.0)
    with notes():
        y = x.sin().exp()
    first, before = torch.autograd.grad(y.sum(), x, create_graph=True)[0], len(notes.packed)
    show(near(first), before, [each[1:] for each in notes.unpacked])
    show(lists(torch.autograd.grad(first.sum(), x)))
    with notes():
        y = x.sin().exp()
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    show(near(second), len(notes.packed) > before)
    show(lists(torch.autograd.grad(second.sum(), x)))


@program
def nested(torch, show, attempt):
    outer, inner = Notes(torch), Notes(torch)
    x = leaf(torch, 1.0, 2.0)
    with outer():
        y = x.exp()
        with inner():
            z = y.sin()
        out = z.cos()
    show(outer.packed, inner.packed)
    out.sum().backward()
    show(len(outer.unpacked), len(inner.unpacked), x.grad)


@program
def of_one_thread(torch, show, attempt):
    notes = Notes(torch)
    x = leaf(torch, 1.0, 2.0)
    with notes():
        thread = threading.Thread(target=lambda: x.exp())
        thread.start()
        thread.join()
        show(len(notes.packed))
        x.exp()
    x.sin()
    show(len(notes.packed))


@program
def hooks_that_are_wrong(torch, show, attempt):
    hooks = torch.autograd.graph.saved_tensors_hooks
    x = leaf(torch, 1.0, 2.0)

    def run(pack, unpack):
        with hooks(pack, unpack):
            y = x.exp()
        return torch.autograd.grad(y.sum(), x)

    def fails(value):
        raise KeyError("mine")

    def same(value):
        return value

    attempt(lambda: run(same, lambda t: 5))
    attempt(lambda: run(same, lambda t: None))
    attempt(lambda: run(fails, same))
    attempt(lambda: run(same, fails))
    attempt(lambda: run(lambda t: t.mul_(2), same))
    show(torch.is_grad_enabled(), near(torch.autograd.grad(x.exp().sum(), x)[0]))
    with hooks(lambda t: t.numpy(), lambda t: torch.from_numpy(t)):
        attempt(lambda: x.exp())
    with hooks(lambda t: t.detach().numpy().copy(), lambda t: torch.from_numpy(t)):
        y = x.exp()
    show(lists(torch.autograd.grad(y.sum(), x)))


@program
def changed_dtype(torch, show, attempt):
    x = leaf(torch, 1.0, 2.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().half(), lambda t: t.double()):
        y = x.exp()
    show(lists(torch.autograd.grad(y.sum(), x)))


@program
def gradients_through_unpack(torch, show, attempt):
    """What an unpack hook computes is not differentiated: its value stands for what was saved."""
    x = leaf(torch, 0.5, 1.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach() / 2, lambda t: t * 2):
        y = x.sin() * x
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    show(near(first), lists(torch.autograd.grad(first.sum(), x)))


@program
def in_place_operations(torch, show, attempt):
    notes = Notes(torch)
    x = leaf(torch, 0.5, 1.0)
    with notes():
        y = x * 2
        y.exp_()
        y.mul_(3)
        y.sin_()
        z = y[:1]
        z.mul_(z.detach() + 1)
        y[1:] = x[:1].cos()
    show(len(notes.packed) > 0)
    show(lists(torch.autograd.grad(y.sum(), x)))


@program
def several_outputs(torch, show, attempt):
    notes = Notes(torch)
    x = leaf(torch, 0.5, 3.0, 1.0)
    with notes():
        values, _ = x.sort()
        top = x.max(0)[0]
        parts = x.split(1)
        out = (values * values).sum() + top.exp() + parts[1].sin().sum()
    out.backward()
    show(x.grad)


@program
def raw_saved_tensors(torch, show, attempt):
    x = leaf(torch, 0.5, 1.0)
    y = x.sin()
    raw = y.grad_fn._raw_saved_self
    show(type(raw).__name__, raw.data, raw.unpack_hook, raw.unpack())
    seen = []

    def pack(t):
        seen.append((near(t), t.requires_grad, torch.is_grad_enabled()))
        return t * 2

    raw.register_hooks(pack, lambda t: t / 2)
    show(seen, raw.data, raw.unpack().tolist(), raw.unpack_hook is not None)
    attempt(lambda: raw.register_hooks(pack, lambda t: t))
    show(near(y.grad_fn._saved_self))
    y.sum().backward()
    show(x.grad, raw.data)
    attempt(lambda: raw.unpack())
    attempt(lambda: raw.register_hooks(pack, lambda t: t))
    z = x * 2
    attempt(lambda: z.grad_fn._raw_saved_other.register_hooks(pack, lambda t: t))
    attempt(lambda: z.grad_fn._raw_saved_self.register_hooks(pack, lambda t: t))
    y = (x * 1).sin()
    attempt(lambda: y.grad_fn._raw_saved_self.register_hooks(lambda t: t.add_(1), lambda t: t))
    y = x.sin()
    y.grad_fn._raw_saved_self.register_hooks(lambda t: 1, lambda t: "text")
    attempt(lambda: y.sum().backward())
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t / 2):
        y = x.sin()
    attempt(lambda: y.grad_fn._raw_saved_self.register_hooks(pack, lambda t: t))
    show(near(y.grad_fn._raw_saved_self.data))


@program
def raw_saved_tensors_of_custom_functions(torch, show, attempt):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            out = x * y
            ctx.save_for_backward(x, None, y, out)
            return out

        @staticmethod
        def backward(ctx, g):
            x, nothing, y, out = ctx.saved_tensors
            show(nothing, near(out))
            return g * y, g * x

    x, y = leaf(torch, 0.5, 1.0), leaf(torch, 2.0, 3.0)
    out = Product.apply(x, y)
    raw = out.grad_fn._raw_saved_tensors
    show(len(raw), [type(each).__name__ for each in raw])
    raw[0].register_hooks(lambda t: t.detach() * 10, lambda t: t)
    attempt(lambda: raw[1].register_hooks(lambda t: t, lambda t: t))
    first = torch.autograd.grad(out.sum(), (x, y), create_graph=True)
    show(lists(first), lists(torch.autograd.grad(sum(g.square().sum() for g in first), (x, y))))
    attempt(lambda: len(out.grad_fn._raw_saved_tensors))

    notes = Notes(torch)
    with notes():
        out = Product.apply(x, y)
    show(notes.packed)
    show(lists(torch.autograd.grad(out.sum(), (x, y))), notes.unpacked)


@program
def refused(torch, show, attempt):
    graph = torch.autograd.graph
    x = leaf(torch, 1.0)

    def hooks():
        with graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
            return near(x.exp())

    def inside(*messages):
        if messages:
            with graph.disable_saved_tensors_hooks(messages[0]):
                return inside(*messages[1:])
        return hooks()

    attempt(lambda: inside("one"))
    attempt(lambda: inside("one", "two"))
    attempt(hooks)

    def restored():
        with graph.disable_saved_tensors_hooks("one"):
            with graph.disable_saved_tensors_hooks("two"):
                pass
            hooks()

    attempt(restored)

    def within_hooks():
        with graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t), graph.disable_saved_tensors_hooks("three"):
            pass

    attempt(within_hooks)
    with graph.disable_saved_tensors_hooks("four"):
        show(lists(torch.autograd.grad(x.exp().sum(), x)))
        attempt(lambda: graph.save_on_cpu().__enter__())
        attempt(lambda: graph.allow_mutation_on_saved_tensors().__enter__())
    attempt(hooks)


@program
def on_the_cpu(torch, show, attempt):
    x = leaf(torch, 0.5, 1.0)
    with torch.autograd.graph.save_on_cpu(pin_memory=False):
        y = (x.sin() * x).exp()
        first = torch.autograd.grad(y.sum(), x, create_graph=True)
    show(lists(first), lists(torch.autograd.grad(first[0].sum(), x)))


@program
def mutation_of_values(torch, show, attempt):
    allow = torch.autograd.graph.allow_mutation_on_saved_tensors
    x = leaf(torch, 0.5, 1.0)

    def gradient(function):
        with allow():
            return lists(torch.autograd.grad(function().sum(), x))

    def overwritten(write):
        y = x * 2
        z = y * y
        write(y)
        return z

    def with_base(write):
        base = torch.stack([x, x.sin()])
        z = (base[0] * base[1]).exp() * base.sum(0)
        write(base)
        return z + base[0]

    for write in (
        lambda y: y.add_(1),
        lambda y: y.zero_(),
        lambda y: y.fill_(3),
        lambda y: y[:1].mul_(3),
        lambda y: y.__setitem__(0, 5.0),
        lambda y: y.copy_(x),
        lambda y: y.data.add_(1),
        lambda y: y.detach().add_(1),
        lambda y: y.mul_(y),
        lambda y: y.detach().uniform_(),
        lambda y: torch.add(torch.ones(2), 1, out=y.detach()),
        lambda y: y.view(-1).exp_(),
    ):
        attempt(lambda write=write: gradient(lambda: overwritten(write)))
    # a write of all of the base goes unnoticed by torch where a row other than the first was saved: test_saving has those
    for write in (lambda base: base[0].add_(1), lambda base: base[1].mul_(2)):
        attempt(lambda write=write: gradient(lambda: with_base(write)))


@program
def mutation_by_operations_that_save(torch, show, attempt):
    x = leaf(torch, 0.5, 1.0)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.exp()
        y.mul_(2)
        y.sin_()
        y.exp_()
        y.mul_(y)
        y.sigmoid_()
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        show(near(first), lists(torch.autograd.grad(first.sum(), x)))
        s = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        y = s * 3
        z = y * y
        y.add_(1)
        y.mul_(2)
        show(lists(torch.autograd.grad(z + y, s)))
        constant = torch.ones(2)
        z = x * constant
        constant.zero_()
        show(lists(torch.autograd.grad(z.sum(), x)))
        with torch.no_grad():
            z = x * 1
        z = x * x
        with torch.no_grad():
            x.mul_(2)
        show(lists(torch.autograd.grad(z.sum(), x)))


@program
def mutation_outside(torch, show, attempt):
    allow = torch.autograd.graph.allow_mutation_on_saved_tensors
    x = leaf(torch, 0.5, 1.0)

    def nested():
        with allow(), allow():
            pass

    attempt(nested)
    for write in (False, True):
        with allow():
            y = x * 2
            z = (y * y).sum()
            if write:
                y.add_(1)
        attempt(lambda z=z: torch.autograd.grad(z, x))
    y = x * 2
    z = (y * y).sum()
    with allow():
        y.add_(1)
        attempt(lambda: torch.autograd.grad(z, x))
    with allow():
        y = x * 2
        z = (y * y).sum()
        y.add_(1)
        y.mul_(5)
        show(lists(torch.autograd.grad(z, x, retain_graph=True)), lists(torch.autograd.grad(z, x)))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_programs(function):
    check(function)
