"""Programs of `vmap`, run by both libraries: what goes in, what comes out, writing inside, and every error."""

import functools

import pytest

from tests.oracle.both import PROGRAMS, check, program


def counted(torch, *shape, dtype=None):
    """0, 1, 2... in a shape."""
    size = 1
    for each in shape:
        size *= each
    return torch.arange(size, dtype=dtype or torch.float64).reshape(shape)


def refused(show, call):
    """Both refuse, in words of their own: torch's speak of its insides, or of the shapes of all examples."""
    try:
        call()
    except Exception as error:
        show(type(error).__name__)
    else:
        show("nothing raised")


@program
def dims_of_arguments(torch, show, attempt):
    vmap = torch.func.vmap
    x, y = counted(torch, 2, 3), counted(torch, 3, 2)
    show(vmap(lambda a, b: a * b, in_dims=(1, 0))(x, y).tolist())
    show(vmap(lambda a, b: a * b, in_dims=(-1, -2))(x, y).tolist())
    show(vmap(lambda a: a.sum(), in_dims=-2)(x))
    show(vmap(lambda pair: pair[0] + pair[1], in_dims=((0, 1),))((x, y)))
    show(vmap(lambda pair: pair[0] + pair[1], in_dims=([0, 1],))([x, y]))
    show(vmap(lambda d: d["a"] - d["b"], in_dims=({"a": 0, "b": 1},))({"a": x, "b": y}))
    show(vmap(lambda d, c: d["a"] * c, in_dims=({"a": 0, "b": None}, None))({"a": x, "b": y}, x[0]))
    show(vmap(lambda nested: nested[0]["k"][1] * nested[1], in_dims=(({"k": (None, 0)}, None),))(({"k": (x, y)}, 3.0)))
    show(vmap(lambda pair: pair[0] + pair[1], in_dims=(0,))((x, x)))
    show(vmap(lambda a, number, text: a * number if text == "times" else a, in_dims=(0, None, None))(x, 5, "times"))
    show(vmap(lambda a, *, factor: a * factor)(x, factor=2.0))
    show(vmap(lambda a, *, factor: a * factor)(x, factor=x[0]))
    show(vmap(lambda a, b=None: a if b is None else b, in_dims=(0, None))(x, None))
    show(vmap(lambda a, *rest: a + len(rest))(x, x, x))


@program
def dims_of_outputs(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)
    for dim in (0, 1, -1, -2):
        show(vmap(lambda a: a * 2, out_dims=dim)(x))
    show(vmap(lambda a: (a, a.sum(), a.outer(a)), out_dims=(1, 0, -1))(x))
    show(vmap(lambda a: (a, a.sum(), a.outer(a)), out_dims=0)(x))
    show(vmap(lambda a: a * 2, out_dims=(1,))(x))
    shown = vmap(lambda a: {"u": a, "v": (a + 1, [a.sum()])}, out_dims={"u": 1, "v": (0, [0])})(x)
    show(shown["u"], shown["v"][0], shown["v"][1])
    show(list(vmap(lambda a: [a, a], out_dims=[0, 1])(x)))
    show(vmap(lambda a: (a, 3, "text", None), out_dims=(0, None, None, None))(x))
    show(vmap(lambda a: (a, torch.ones(2)), out_dims=(0, None))(x))
    show(vmap(lambda a: torch.ones(2))(x))
    show(vmap(lambda a: torch.tensor(7.0))(x))
    attempt(lambda: vmap(lambda a: (a, a), out_dims=-1)(x))
    attempt(lambda: vmap(lambda a: a.sum(), out_dims=-1)(x))


@program
def errors_of_arguments(torch, show, attempt):
    vmap = torch.func.vmap

    def named(*given):
        return given[0]

    x = counted(torch, 2, 3)
    attempt(lambda: vmap(named)())
    attempt(lambda: vmap(named)(3))
    attempt(lambda: vmap(named)(x, 3.0))
    attempt(lambda: vmap(named)((x, 3.0)))
    attempt(lambda: vmap(named, in_dims=None)(x))
    attempt(lambda: vmap(named, in_dims="0")(x))
    attempt(lambda: vmap(named, in_dims=0.0)(x))
    attempt(lambda: vmap(named, in_dims=[0])(x))
    attempt(lambda: vmap(named, in_dims={"a": 0})(x))
    attempt(lambda: vmap(named, in_dims=(0, 0))(x))
    attempt(lambda: vmap(named, in_dims=((0, 0),))(x))
    attempt(lambda: vmap(named, in_dims=(0,))(x, x))
    attempt(lambda: vmap(named, in_dims=("a",))(x))
    attempt(lambda: vmap(named, in_dims=(0.5,))(x))
    attempt(lambda: vmap(named, in_dims=(x,))(x))
    attempt(lambda: vmap(named, in_dims=(None,))(x))
    attempt(lambda: vmap(named, in_dims=(None, None))(x, 2))
    attempt(lambda: vmap(named, in_dims=2)(x))
    attempt(lambda: vmap(named, in_dims=-3)(x))
    attempt(lambda: vmap(named)(torch.tensor(1.0)))
    attempt(lambda: vmap(named)(x, torch.ones(3)))
    attempt(lambda: vmap(named, in_dims=(0, 1))(x, x))
    attempt(lambda: vmap(named)({"a": x, "b": None}))
    attempt(lambda: vmap(named)(None))
    attempt(lambda: vmap(functools.partial(named, x))())
    attempt(lambda: vmap(functools.partial(named, x), in_dims=5)(x))
    attempt(lambda: vmap(named, (0, 0), 0, "error", chunk_size=2)(x))
    for size in (0, -1):
        attempt(lambda size=size: vmap(named, chunk_size=size)(x))
    for randomness in ("x", None, "Error", 0):
        attempt(lambda randomness=randomness: vmap(named, randomness=randomness)(x))
    attempt(lambda: vmap(None)(x))


@program
def errors_of_outputs(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)

    def named(result):
        def function(a):
            return result(a)

        return function

    attempt(lambda: vmap(named(lambda a: None))(x))
    attempt(lambda: vmap(named(lambda a: 3))(x))
    attempt(lambda: vmap(named(lambda a: (a, "x")))(x))
    attempt(lambda: vmap(named(lambda a: {"k": (a, 2.0)}))(x))
    attempt(lambda: vmap(named(lambda a: a.shape))(x))
    attempt(lambda: vmap(named(lambda a: ()))(x))
    attempt(lambda: vmap(named(lambda a: []))(x))
    attempt(lambda: vmap(named(lambda a: (i for i in (a, a))))(x))
    attempt(lambda: vmap(named(lambda a: {a}))(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims=None)(x))
    attempt(lambda: vmap(named(lambda a: (a, a)), out_dims=(0, None))(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims=(0, 0))(x))
    attempt(lambda: vmap(named(lambda a: (a, a)), out_dims=(0,))(x))
    attempt(lambda: vmap(named(lambda a: (a,)), out_dims=(0, 1))(x))
    attempt(lambda: vmap(named(lambda a: [a, a]), out_dims=(0, 0))(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims={"a": 0})(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims="0")(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims=0.5)(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims=(0.5,))(x))
    attempt(lambda: vmap(named(lambda a: a), out_dims=[0])(x))
    for dim in (2, -3):
        attempt(lambda dim=dim: vmap(named(lambda a: a), out_dims=dim)(x))
    attempt(lambda: vmap(named(lambda a: a.sum()), out_dims=1)(x))


@program
def chunks(torch, show, attempt):
    vmap = torch.func.vmap
    x, y = counted(torch, 5, 3), counted(torch, 2, 5)
    calls = []

    def function(a, b):
        calls.append(tuple(a.shape))
        return a * b.sum(), {"k": b.outer(a)}

    for size in (1, 2, 3, 4, 5, 6):
        found, other = vmap(function, in_dims=(0, 1), out_dims=(1, {"k": -1}), chunk_size=size)(x, y)
        show(len(calls), found.tolist(), other["k"].tolist(), tuple(other["k"].shape))
        calls.clear()
    attempt(lambda: vmap(lambda a: None, chunk_size=2)(x))
    attempt(lambda: vmap(lambda a: a, chunk_size=2, out_dims=5)(x))
    leaf = x.clone().requires_grad_()
    vmap(lambda a: a.pow(3).sum(), chunk_size=2)(leaf).sum().backward()
    show(leaf.grad.tolist())


@program
def few_examples(torch, show, attempt):
    vmap = torch.func.vmap
    for size in (0, 1):
        x = counted(torch, size, 3)
        show(vmap(lambda a: a * 2)(x), vmap(lambda a: a.sum())(x), vmap(lambda a: a.outer(a), out_dims=-1)(x))
        show(vmap(lambda a: a @ torch.ones(3, 2, dtype=torch.float64))(x), vmap(lambda a: torch.stack([a, a]))(x))
        show(vmap(vmap(lambda s: s.sin() * 0))(x), vmap(torch.func.grad(lambda a: a.pow(2).sum()))(x))
        show(vmap(lambda a: torch.ones(2))(x).tolist(), vmap(lambda a: a.clone().add_(1))(x))
    numbers = counted(torch, 3)
    show(vmap(lambda s: s * 2)(numbers), vmap(lambda s: s.reshape(1))(numbers), vmap(lambda s: s.expand(2))(numbers))
    show(vmap(lambda s: s.sum())(numbers), vmap(lambda s: s.unsqueeze(0))(numbers), vmap(lambda s: s.sum(0))(numbers))
    show(vmap(lambda s: s.ndim + s)(numbers), vmap(lambda s: torch.stack([s, s]))(numbers))


@program
def input_returned(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)
    same = vmap(lambda a: a)(x)
    same.mul_(10)
    show(x, same, same is x, same._is_view(), same._base is x)
    moved = vmap(lambda a: a, in_dims=1, out_dims=1)(x)
    moved.add_(1)
    show(x, moved)
    constant = torch.zeros(3)
    spread = vmap(lambda a: constant)(x)
    show(spread, spread.stride())
    leaf = counted(torch, 2, 3).requires_grad_()
    out = vmap(lambda a: a)(leaf)
    show(out.requires_grad, out is leaf)
    out = vmap(lambda a: a.view(3, 1))(leaf)
    out.sum().backward()
    show(leaf.grad)


@program
def nested_three_deep(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3, 4)
    show(vmap(vmap(vmap(lambda s: s * 2 + 1)))(x))
    show(vmap(vmap(vmap(lambda s: s * 2, out_dims=-1), in_dims=0, out_dims=1), in_dims=2)(x))
    y, z = counted(torch, 2), counted(torch, 3)
    show(vmap(lambda a: vmap(lambda b: vmap(lambda c: a * 100 + b * 10 + c)(counted(torch, 4)))(z))(y))
    show(vmap(lambda a, m: vmap(lambda row: row * a)(m))(y, x[:, :, 0]))
    show(vmap(lambda a: vmap(lambda b: a)(z))(y), vmap(lambda a: vmap(lambda b: b)(z))(y))
    attempt(lambda: vmap(lambda a: vmap(lambda b: b, out_dims=None)(z))(y))
    attempt(lambda: vmap(lambda a: vmap(lambda b: b)(a))(y))
    attempt(lambda: vmap(lambda a: vmap(lambda b, c: b + c)(a, torch.ones(5)))(x))
    show(vmap(lambda m: vmap(lambda col: col.cumsum(0), in_dims=1, out_dims=1)(m))(x))


@program
def callables(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)

    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, a):
            return a * self.factor

        def method(self, a, b):
            return a + b * self.factor

    @functools.partial(vmap, in_dims=(0, None))
    def scaled(a, b):
        """Documented."""
        return a * b

    show(scaled(x, 2.0), scaled.__name__, scaled.__doc__)
    show(vmap(Scale(3.0))(x), vmap(Scale(2.0).method)(x, x), vmap(functools.partial(torch.add, x[0]))(x))
    show(vmap(torch.sin)(x) is None, vmap(torch.dot)(x, x), vmap(torch.Tensor.sum)(x))
    show(vmap(functools.partial(torch.mul, other=x[0]))(x))

    @vmap
    def factorial(s):
        return s * 2

    show(factorial(x))

    def recursive(a):
        return a.sum() if a.ndim == 1 else vmap(recursive)(a)

    show(recursive(counted(torch, 2, 2, 2)))
    attempt(lambda: vmap(Scale(2.0).method)(x))
    attempt(lambda: vmap(lambda: x)(x))


@program
def closures(torch, show, attempt):
    vmap, grad = torch.func.vmap, torch.func.grad
    x = counted(torch, 2, 3)
    w = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    show(vmap(lambda a: vmap(lambda row: (row * a).sum())(x))(x))
    show(grad(lambda w: vmap(lambda a: (a * w).pow(2).sum())(x).sum())(w))
    show(vmap(lambda a: grad(lambda w: (a * w).pow(2).sum())(w))(x))
    show(grad(lambda w: vmap(lambda a: grad(lambda v: (v * w).pow(3).sum())(a).sum())(x).sum())(w))
    show(vmap(lambda a: grad(lambda w: vmap(lambda b: (a * w * b).pow(2).sum())(x).sum())(w))(x))
    show(torch.func.jvp(lambda w: vmap(lambda a: (a * w).pow(2).sum())(x), (w,), (torch.ones_like(w),)))
    show(vmap(lambda t: torch.func.jvp(lambda w: (x * w).pow(2).sum(), (w,), (t,))[1])(torch.eye(3, dtype=torch.float64)))
    show(grad(lambda s: vmap(lambda a: a.sum() * s)(x).sum())(torch.tensor(2.0, dtype=torch.float64)))


@program
def writing(torch, show, attempt):
    vmap = torch.func.vmap

    def tried(function, *given, **options):
        """The result, and what the arguments are afterwards."""
        attempt(lambda: vmap(function, **options)(*given))
        show([each.tolist() for each in given], [each._version for each in given])

    def x():
        return counted(torch, 2, 3)

    tried(lambda a: a.add_(1), x())
    tried(lambda a: a.mul_(a), x())
    tried(lambda a: a[0].fill_(9), x())
    tried(lambda a: a[1:].mul_(2), x())
    tried(lambda a: a.add_(1), x(), in_dims=1)
    tried(lambda a: a.add_(1), x(), in_dims=1, out_dims=1)
    show(vmap(lambda a: a.t_())(counted(torch, 2, 2, 3)))  # torch turns the tensor outside, too
    show(vmap(lambda a: a.unsqueeze_(0))(x()), vmap(lambda a: a.squeeze_())(counted(torch, 2, 1)))
    tried(lambda a: a.transpose(0, 1).mul_(2).sum(), counted(torch, 2, 2, 2))
    tried(lambda a: a.view(-1)[0].add_(5), counted(torch, 2, 2, 2))
    tried(lambda a: a.zero_(), x())
    tried(lambda a, b: a.copy_(b), x(), x() * 10)
    tried(lambda a, b: a.add_(b), x(), counted(torch, 2))
    tried(lambda a, b: a.copy_(b), x(), torch.ones(3), in_dims=(0, None))
    tried(lambda a, b: a.copy_(b), torch.ones(3), x(), in_dims=(None, 0))
    tried(lambda a, b: a.add_(1), torch.ones(3), x(), in_dims=(None, 0))
    tried(lambda a, b: a.sin_(), torch.zeros(3), x(), in_dims=(None, 0))
    show(vmap(lambda a: a.clamp_(1, 2))(x()))
    tried(lambda a: a.masked_fill_(a > 1, -1.0), x())
    show(vmap(lambda a, i: a.index_fill_(0, i, -1.0))(x(), torch.tensor([[0, 1], [1, 2]])), vmap(lambda a: a.floor_divide_(2))(x()))
    refused(show, lambda: vmap(lambda a, b: a.add_(b))(x(), counted(torch, 2, 2, 3)))
    refused(show, lambda: vmap(lambda a: a.add_(torch.ones(2, 3)))(x()))
    refused(show, lambda: vmap(lambda a, b: a.add_(b), in_dims=(None, 0))(torch.ones(3), x()))
    tried(lambda a: a.add_(torch.tensor(1.5)), counted(torch, 2, 3, dtype=torch.int64))
    tried(lambda a: a.mul_(2), torch.ones(2, 1).expand(2, 3))


@program
def writing_items(torch, show, attempt):
    vmap = torch.func.vmap

    def setting(key, value):
        def function(a):
            a[key] = value(a) if callable(value) else value
            return a

        return function

    def tried(key, value):
        x = counted(torch, 2, 3)
        attempt(lambda: vmap(setting(key, value))(x))
        show(x)

    tried(0, 5.0)
    tried(slice(1, None), 5.0)
    tried(0, lambda a: a[1] * 10)
    tried(slice(0, 2), lambda a: a[1:].clone())
    tried(..., lambda a: a.flip(0))
    tried([0, 2], 7.0)
    tried(torch.tensor([0, 2]), lambda a: a[:2] * 10)
    tried(torch.tensor([True, False, True]), 0.0)
    tried(5, 1.0)
    tried((0, 0), 1.0)

    def made(make):
        def function(a):
            out = make(a)
            out[0] = a.sum()
            out[1:] = a[1:]
            return out

        return function

    x = counted(torch, 2, 3)
    kind = torch.float64
    for make in (
        torch.zeros_like,
        torch.empty_like,
        lambda a: a.new_zeros(3),
        lambda a: a.new_full((3,), 2.0),
        lambda a: torch.zeros(3, dtype=kind),
        lambda a: x[0].clone(),
        lambda a: a.clone(),
        lambda a: torch.full_like(a, 4.0),
        lambda a: torch.zeros(3, dtype=kind) + 0 * a,
    ):
        attempt(lambda make=make: vmap(made(make))(x))
    captured = torch.zeros(3, dtype=kind)

    def capturing(a):
        captured.add_(a)
        return a

    refused(show, lambda: vmap(capturing)(x))
    show(captured, captured._version)

    def item_of_captured(a):
        captured[0] = a[0]
        return a

    attempt(lambda: vmap(item_of_captured)(x))
    show(captured, captured._version)

    def number_into_captured(a):
        captured.add_(1.0)
        return a + captured

    attempt(lambda: vmap(number_into_captured)(x))
    show(captured, captured._version)


@program
def promotion(torch, show, attempt):
    vmap = torch.func.vmap
    kinds = (torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64, torch.complex64)
    for first in kinds:
        numbers = torch.tensor([0, 1, 1]).to(first)
        for second in kinds:
            vectors = torch.tensor([[1, 0], [0, 1], [1, 1]]).to(second)
            shared = torch.tensor([1, 0]).to(second)
            show(vmap(lambda a, b: a * b)(numbers, vectors), vmap(lambda a, b: a * b, in_dims=(0, None))(numbers, shared))
            show(vmap(lambda a, b: a * b)(numbers, vectors[:, 0]), vmap(torch.where)(numbers.bool(), vectors[:, 0], numbers))
            show(vmap(lambda a, b: torch.cat([a[None], b]))(numbers, vectors))
            attempt(lambda numbers=numbers, vectors=vectors: vmap(lambda a, b: torch.stack([a, b[0]]))(numbers, vectors))
        show(
            vmap(lambda a: a * 2)(numbers),
            vmap(lambda a: a * 2.0)(numbers),
            vmap(lambda a: a.sum())(numbers),
            vmap(lambda a: a == 1)(numbers),
        )
        show(vmap(lambda a: a + torch.tensor(1.0, dtype=torch.float64))(numbers))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
