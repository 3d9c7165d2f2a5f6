"""Each transform by itself: its arguments, trees in and out, and what it refuses."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import ndgrad as torch
from ndgrad.func import functionalize, grad, grad_and_value, jvp, linearize, vjp
from ndgrad.utils.checkpoint import checkpoint

X = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
Y = torch.tensor([4.0, 5.0, 6.0], dtype=torch.float64)


class Pair(NamedTuple):
    first: Any
    second: Any


# ---------------------------------------------------------------- arguments
def test_argnums() -> None:
    def f(x: Any, y: Any, scale: float = 1.0) -> Any:
        return (x * x * y).sum() * scale

    by_x, by_y = 2 * X * Y, X * X
    assert torch.equal(grad(f)(X, Y), by_x) and torch.equal(grad(f, argnums=1)(X, Y), by_y) and torch.equal(grad(f, -2)(X, Y), by_x)
    both = grad(f, argnums=(1, 0))(X, Y)
    assert type(both) is tuple and torch.equal(both[0], by_y) and torch.equal(both[1], by_x)
    assert type(grad(f, argnums=(0,))(X, Y)) is tuple and torch.equal(grad(f)(X, Y, scale=3.0), 3 * by_x)
    assert torch.equal(grad(lambda x, options: f(x, options["y"], options["scale"]))(X, {"y": Y, "scale": 2.0}), 2 * by_x)
    for argnums, message in (
        (2, "Got argnum=2, but only 2 positional inputs"),
        (-3, "Got argnum=-3, but only 2 positional inputs"),
        ((), "argnums must be non-empty"),
        ((0, -2), r"argnums elements must be unique, got \(0, 0\)"),
        ([0], "argnums must be int or Tuple"),
        ((0, "x"), "argnum must be int, got: <class 'str'>"),
    ):
        with pytest.raises(RuntimeError, match=message):
            grad(f, argnums)(X, Y)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(RuntimeError, match="only 0 positional inputs"):
        grad(f)(x=X, y=Y)


def test_values_and_aux() -> None:
    gradient, value = grad_and_value(lambda x: x.pow(2).sum())(X)
    assert torch.equal(gradient, 2 * X) and value.item() == 14 and not value.requires_grad
    gradient, aux = grad(lambda x: (x.sum(), [x * 2, {"x": x}]), has_aux=True)(X)
    assert torch.equal(gradient, torch.ones_like(X)) and torch.equal(aux[0], 2 * X) and aux[1]["x"] is X
    gradient, (value, aux) = grad_and_value(lambda x: (x.sum(), x), has_aux=True)(X)
    assert value.item() == 6 and aux is X
    _, pull, aux = vjp(lambda x: (x * x, x + 1), X, has_aux=True)
    assert torch.equal(aux, X + 1) and torch.equal(pull(Y)[0], 2 * X * Y)
    _, t, aux = jvp(lambda x: (x * x, x + 1), (X,), (Y,), has_aux=True)
    assert torch.equal(aux, X + 1) and torch.equal(t, 2 * X * Y)
    for transformed in (grad(lambda x: x.sum(), has_aux=True), grad(lambda x: (x.sum(), x, x), has_aux=True)):
        with pytest.raises(RuntimeError, match="should be a tuple: "):
            transformed(X)
    for call in (
        lambda: grad(lambda x: (x.sum(), 3), has_aux=True)(X),
        lambda: vjp(lambda x: (x, 3), X, has_aux=True),
        lambda: jvp(lambda x: (x, 3), (X,), (X,), has_aux=True),
    ):
        with pytest.raises(RuntimeError, match="Expected tensors, got unsupported type <class 'int'>"):
            call()


def test_trees() -> None:
    tree = {"a": X, "b": [Y, (X + Y,)]}

    def f(tree: Any) -> Any:
        return (tree["a"] * tree["b"][0]).sum() + tree["b"][1][0].pow(2).sum()

    found = grad(f)(tree)
    assert list(found) == ["a", "b"] and torch.equal(found["a"], Y) and torch.equal(found["b"][0], X)
    assert torch.equal(found["b"][1][0], 2 * (X + Y))
    assert grad(lambda tree: X.sum())({}) == {}

    def g(x: Any, pair: Any) -> Any:
        return {"sum": x + pair.first, "parts": [x * pair.second, pair]}

    outputs, pull = vjp(g, X, Pair(X, Y))
    assert torch.equal(outputs["sum"], 2 * X) and outputs["parts"][1].second is Y
    by_x, by_pair = pull({"sum": X, "parts": [Y, Pair(X, X)]})
    assert torch.equal(by_x, X + Y * Y) and torch.equal(by_pair.first, 2 * X) and torch.equal(by_pair.second, Y * X + X)
    for push in (lambda *tangents: jvp(g, (X, Pair(X, Y)), tangents)[1], linearize(g, X, Pair(X, Y))[1]):
        tangents = push(Y, Pair(X, Y))
        assert torch.equal(tangents["sum"], X + Y) and torch.equal(tangents["parts"][0], Y * Y + X * Y)
        assert type(tangents["parts"][1]) is Pair and torch.equal(tangents["parts"][1].second, Y)


def test_what_does_not_depend_has_zeros() -> None:
    _, by_y = grad(lambda x, y: x.sum(), argnums=(0, 1))(X, Y)
    assert torch.equal(by_y, torch.zeros_like(Y)) and torch.equal(grad(lambda x: torch.tensor(1.0))(X), torch.zeros_like(X))
    assert torch.equal(grad(lambda x: (x > 0).sum())(X), torch.zeros_like(X))
    assert torch.equal(vjp(lambda x: (X, x), X)[1]((Y, Y))[0], Y)
    _, (constant, index, same) = jvp(lambda x: (X, x.argmax(), x), (X,), (Y,))
    assert torch.equal(constant, torch.zeros_like(X)) and index.dtype is torch.int64 and index.item() == 0 and torch.equal(same, Y)
    _, push = linearize(lambda x: (X, x.argmax(), x * 1, 3), X)
    constant, index, same, three = push(Y)
    assert torch.equal(constant, torch.zeros_like(X)) and index.item() == 0 and torch.equal(same, Y) and three == 3
    with pytest.raises(RuntimeError, match="The output of f is independent of the inputs"):
        jvp(lambda x: X, (X,), (Y,), strict=True)
    assert linearize(lambda: X)[1]().tolist() == [0, 0, 0] and vjp(lambda: X)[1](X) == ()


def test_functions_keep_their_names() -> None:
    def rosenbrock(x: Any) -> Any:
        """A banana."""
        return x.sum()

    assert grad(rosenbrock).__name__ == "rosenbrock" and grad_and_value(rosenbrock).__doc__ == "A banana."


# ---------------------------------------------------------------- linear functions
def test_linear_functions_can_be_called_again() -> None:
    runs = []

    def f(x: Any, y: Any) -> Any:
        runs.append(1)
        return torch.exp(x) * y, x.sum()

    outputs, push = linearize(f, X, Y)
    _, pull = vjp(f, X, Y)
    assert len(runs) == 2
    for scale in (1.0, -2.0):
        t = push(scale * X, Y)
        assert torch.allclose(t[0], torch.exp(X) * (scale * X * Y + Y)) and t[1].item() == 6 * scale
        g = pull((scale * X, torch.tensor(scale, dtype=torch.float64)))
        assert torch.allclose(g[0], scale * (torch.exp(X) * X * Y + 1)) and torch.allclose(g[1], scale * X * torch.exp(X))
    assert len(runs) == 2 and not outputs[0].requires_grad
    _, pull = vjp(torch.sin, X)
    pull(X, retain_graph=False)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        pull(X)


def test_complex_numbers() -> None:
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128)
    t = torch.tensor([2 - 1j, 1j], dtype=torch.complex128)
    f: Callable[[Any], Any] = lambda z: z.conj() * z * z  # noqa: E731  one expression
    expected = t.conj() * z * z + 2 * z.conj() * z * t
    assert torch.allclose(jvp(f, (z,), (t,))[1], expected) and torch.allclose(linearize(f, z)[1](t), expected)
    assert torch.allclose(grad(lambda z: (z.abs() ** 2).sum())(z), 2 * z)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for real scalar outputs"):
        grad(lambda z: z.sum())(z)


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: grad(torch.sin)(X), RuntimeError, "Expected .* to return a scalar Tensor, got tensor with 1 dims"),
        (lambda: grad(lambda x: 3)(X), RuntimeError, "to return a Tensor, got <class 'int'>"),
        (lambda: grad(lambda x: (x.sum(),))(X), RuntimeError, "to return a Tensor, got <class 'tuple'>"),
        (lambda: grad(lambda x: x)(3.0), ValueError, "Thing passed to transform API must be Tensor, got <class 'float'>"),
        (lambda: grad(lambda x: x)(torch.tensor(1)), RuntimeError, "only Tensors of floating point dtype can require gradients"),
        (lambda: vjp(lambda x: 3, X), RuntimeError, "to return only tensors, got unsupported type <class 'int'>"),
        (lambda: vjp(lambda x: None, X), RuntimeError, r"non-empty output \(got output = \[None\]\)"),
        (lambda: vjp(lambda x: (), X), RuntimeError, r"non-empty output \(got output = \[\]\)"),
        (lambda: vjp(lambda x: x > 0, X), RuntimeError, "All outputs of f must be floating-point or complex Tensors"),
        (lambda: vjp(lambda x: (x, {"a": x}), X)[1]((X, X)), RuntimeError, r"cotangents: \(\*, \*\), primal output: \(\*, {'a': \*}\)"),
        (lambda: vjp(torch.sin, X)[1](X[0]), RuntimeError, r"Mismatch in shape: grad_output\[0\] has a shape of torch.Size\(\[\]\)"),
        (lambda: vjp(torch.sin, X)[1](2.0), TypeError, "gradients can be either Tensors or None, but got float"),
        (lambda: jvp(torch.sin, X, X), RuntimeError, "Expected primals to be a tuple. E.g. it should be valid"),
        (lambda: jvp(torch.sin, (X,), (X, X)), RuntimeError, "to have the same python structure"),
        (lambda: jvp(lambda: X, (), ()), RuntimeError, "Expected primals to contain at least one Tensor"),
        (lambda: jvp(torch.mul, (X, 3.0), (X, 1.0)), RuntimeError, "to only contain Tensors, got <class 'float'>"),
        (lambda: jvp(torch.sin, (X,), (X[0],)), RuntimeError, r"Tensor is of size \[3\] while the given forward gradient is of size \[\]"),
        (lambda: jvp(lambda x: x, (X.long(),), (X,)), ValueError, "Expected primal to be floating point or complex"),
        (lambda: jvp(lambda x: x, (X,), (X.long(),)), ValueError, "Expected tangent to be floating point or complex"),
        (lambda: jvp(lambda x: (x, 3), (X,), (X,)), RuntimeError, "to return only tensors, got unsupported type <class 'int'>"),
        (lambda: linearize(torch.sin, X)[1](X[0]), RuntimeError, r"tangent:0 with shape torch.Size\(\[\]\) in flattened pytree doesn't"),
        (lambda: linearize(torch.sin, X)[1](X.float()), RuntimeError, "tangent:0 with dtype torch.float32 in flattened pytree doesn't"),
        (lambda: linearize(torch.sin, X)[1](X, X), RuntimeError, "Expected the tangents TreeSpec"),
        (lambda: linearize(torch.sin, X)[1](2.0), TypeError, "must be a Tensor, not float"),
        (lambda: linearize(torch.sin, 2.0), TypeError, "Expected primal to be a Tensor, but got: float"),
        (lambda: linearize(torch.sin, X.long()), ValueError, "Expected primal to be floating point or complex"),
    ],
)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
    grad(lambda x: x.sum())(X).requires_grad_()  # no transform is left behind


class Old(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


INSIDE: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "grad": lambda f: grad(lambda x: f(x).sum())(X),
    "vjp": lambda f: vjp(f, X),
    "jvp": lambda f: jvp(f, (X,), (X,)),
    "linearize": lambda f: linearize(f, X),
    "functionalize": lambda f: functionalize(f)(X),
}


@pytest.mark.parametrize("transform", INSIDE)
def test_what_is_not_done_inside_a_transform(transform: str) -> None:
    w = X.clone().requires_grad_()
    for act, message in (
        (lambda x: (w * 2).sum().backward(), r"backward\(\) called inside a functorch transform"),
        (lambda x: torch.autograd.backward([w.sum()]), r"backward\(\) called inside a functorch transform"),
        (lambda x: (w * 2).retain_grad(), r"call Tensor.retain_grad\(\) inside of a function being transformed"),
        (lambda x: torch.ones(3).requires_grad_(), r"call Tensor.requires_grad_\(\) \(or perhaps using torch.autograd.functional"),
        (Old.apply, "it must override the setup_context staticmethod"),
    ):
        with pytest.raises(RuntimeError, match=message):
            INSIDE[transform](act)
    assert w.grad is None
    y = w * 2
    y.retain_grad()
    Old.apply(y).sum().backward()
    assert w.grad is not None and y.grad is not None


def test_other_threads_are_not_inside() -> None:
    w = X.clone().requires_grad_()

    def f(x: Any) -> Any:
        other = threading.Thread(target=lambda: w.sum().backward())
        other.start()
        other.join()
        return x.sum()

    grad(f)(X)
    assert w.grad is not None and w.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("transform", ["grad", "vjp", "linearize"])
def test_arguments_are_not_changed_in_place(transform: str) -> None:
    x = X.clone()

    for f in (lambda y: y.mul_(2), lambda y: y[:1].mul_(2)):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
            INSIDE[transform](f)
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
            grad(lambda y, f=f: grad(lambda z: f(z).sum())(y).sum())(x)
    assert x.tolist() == [1, 2, 3]


def test_tangents_are_written_to_as_their_tensors_are() -> None:
    x, t = X.clone(), Y.clone()
    y, s = jvp(lambda x: x.mul_(2), (x,), (t,))
    assert y.tolist() == x.tolist() == [2, 4, 6] and s.tolist() == t.tolist() == [8, 10, 12]


def test_modes_are_as_they_were() -> None:
    def switching(x: Any) -> Any:
        torch.set_grad_enabled(False)
        return x.sum()

    grad(switching)(X)
    assert torch.is_grad_enabled()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            seen = []
            grad(lambda x, seen=seen: (seen.append(torch.is_grad_enabled()), x.sum())[1])(X)
            assert seen == [True] and not torch.is_grad_enabled()
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    with pytest.raises(KeyError), torch.no_grad():
        grad(lambda x: {}["missing"])(X)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("transform", [*INSIDE, "second", "mixed", "linear", "hooks"])
def test_nothing_waits_for_a_garbage_collection(transform: str) -> None:
    w = X.clone().requires_grad_()

    def work() -> None:
        if transform == "second":
            grad(lambda x: grad(lambda y: (y**3 * x).sum())(x).sum())(X)
        elif transform == "mixed":
            grad_and_value(lambda x: (torch.sin(x) * w).sum())(X)
        elif transform == "linear":
            linearize(torch.sin, X)[1](Y)
            vjp(torch.sin, X)[1](Y)
        elif transform == "hooks":
            grad(lambda x: (x.register_hook(lambda g: g * 2), (x * x).sum())[1])(X)
        else:
            INSIDE[transform](lambda x: torch.sin(x) * x)

    def alive() -> int:
        return sum(issubclass(type(thing), (torch.Tensor, torch.autograd.graph.Node)) for thing in gc.get_objects())

    for _ in range(3):
        work()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            work()
        assert alive() == before
    finally:
        gc.enable()


def test_checkpoints_and_hooks_work_inside() -> None:
    f = lambda x: checkpoint(lambda y: torch.sin(y) * y, x, use_reentrant=False).sum()  # noqa: E731  one expression
    expected = torch.cos(X) * X + torch.sin(X)
    assert torch.allclose(grad(f)(X), expected)
    with torch.autograd.graph.save_on_cpu():
        assert torch.allclose(grad(lambda x: (torch.sin(x) * x).sum())(X), expected)
    doubling = lambda x: (x.register_hook(lambda g: 2 * g), (x * x).sum())[1]  # noqa: E731  one expression
    assert torch.equal(grad(doubling)(X), 4 * X)
