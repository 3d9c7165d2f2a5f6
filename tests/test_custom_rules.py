"""func.defvjp and func.defjvp: either rule alone gives everything, in every transform."""

import gc
import math
import weakref

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.func import defjvp, defvjp, grad, jet, jvp, vmap


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def opaque(function, *tensors):
    """A NumPy function of tensors, for all that autograd can see of it."""
    if any(type(t._a).__name__ == "Batch" for t in tensors):  # examples of vmap have no arrays
        return {np.sin: torch.sin, np.multiply: torch.mul}[function](*tensors)
    return torch.from_numpy(np.array(function(*(t.numpy() for t in tensors))))


@defvjp(lambda g, x: g * torch.cos(x))
def sin_by_vjp(x):
    return opaque(np.sin, x)


@defjvp(lambda t, x: t * torch.cos(x))
def sin_by_jvp(x):
    return opaque(np.sin, x)


@defjvp(lambda t, x: t * torch.cos(x))
@defvjp(lambda g, x: g * torch.cos(x))
def sin_by_both(x):
    return opaque(np.sin, x)


@defvjp(lambda g, x, y: (g * y, g * x))
def product_by_vjp(x, y):
    return opaque(np.multiply, x, y)


@defjvp(lambda t, x, y: t[0] * y + x * t[1])
def product_by_jvp(x, y):
    return opaque(np.multiply, x, y)


SINES = pytest.mark.parametrize("f", [sin_by_vjp, sin_by_jvp, sin_by_both], ids=["vjp", "jvp", "both"])
PRODUCTS = pytest.mark.parametrize("f", [product_by_vjp, product_by_jvp], ids=["vjp", "jvp"])


@SINES
def test_derivatives_of_any_order_in_either_mode(f):
    x, one = number(0.7), number(1.0)
    s, c = math.sin(0.7), math.cos(0.7)
    for name, (found, expected) in {
        "value": (f(x), s),
        "grad": (grad(f)(x), c),
        "jvp": (jvp(f, (x,), (one,))[1], c),
        "grad of grad": (grad(grad(f))(x), -s),
        "grad of grad of grad": (grad(grad(grad(f)))(x), -c),
        "jvp of grad": (jvp(grad(f), (x,), (one,))[1], -s),
        "grad of jvp": (grad(lambda x: jvp(f, (x,), (one,))[1])(x), -s),
        "jvp of jvp": (jvp(lambda x: jvp(f, (x,), (one,))[1], (x,), (one,))[1], -s),
        "jet": (jet(lambda x: f(x) * x, 3)(x)[3], -3 * s - 0.7 * c),
        "jet of grad": (jet(grad(f), 2)(x)[2], -c),
    }.items():
        assert found.item() == pytest.approx(expected, rel=1e-12), name


@SINES
def test_an_ordinary_backward(f):
    x = vector(0.3, 0.8).requires_grad_()
    y = f(x)
    assert type(y.grad_fn).__name__ == f"{f.__name__}Backward"
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.sin(2 * np.array([0.3, 0.8])), rtol=1e-14)
    assert torch.autograd.gradcheck(f, (x,)) and torch.autograd.gradgradcheck(f, (x,))
    with torch.no_grad():
        assert not f(x).requires_grad


@SINES
def test_under_vmap(f):
    x = vector(0.3, 0.8, 1.1)
    assert torch.allclose(vmap(f)(x), torch.sin(x))
    assert torch.allclose(vmap(grad(f))(x), torch.cos(x))
    assert torch.allclose(vmap(grad(grad(f)))(x), -torch.sin(x))
    assert torch.allclose(grad(lambda x: vmap(f)(x).sum())(x), torch.cos(x))
    assert torch.allclose(jvp(vmap(f), (x,), (torch.ones_like(x),))[1], torch.cos(x))
    assert torch.allclose(grad(lambda x: vmap(grad(f))(x).sum())(x), -torch.sin(x))


def test_under_vmap_a_function_that_leaves_for_numpy_is_run_for_each_example():
    @defvjp(lambda g, x, y: (g * torch.cos(x) * y, g * torch.sin(x)))
    def wave(x, y):
        seen.append(x.shape)
        return torch.as_tensor(np.sin(x.numpy()) * y.numpy())

    seen = []
    x, y = vector(0.3, 0.8, 1.1), number(2.0)
    assert torch.allclose(vmap(wave, in_dims=(0, None))(x, y), 2 * torch.sin(x)) and set(seen) == {()}
    assert torch.allclose(vmap(grad(wave), in_dims=(0, None))(x, y), 2 * torch.cos(x))
    assert torch.allclose(vmap(grad(grad(wave)), in_dims=(0, None))(x, y), -2 * torch.sin(x))
    assert torch.allclose(grad(lambda y: vmap(wave, in_dims=(0, None))(x, y).sum())(y), torch.sin(x).sum())
    assert torch.allclose(jvp(vmap(lambda x: wave(x, y)), (x,), (torch.ones_like(x),))[1], 2 * torch.cos(x))
    pairs = vmap(vmap(wave, in_dims=(None, 0)), in_dims=(0, None))(x, vector(1.0, 5.0))
    assert torch.allclose(pairs, torch.sin(x)[:, None] * vector(1.0, 5.0))
    with pytest.raises(RuntimeError, match="inside vmap a tensor stands for many examples at once"):
        vmap(wave, in_dims=(0, None))(x[:0], y)


def test_under_vmap_other_errors_are_the_users():
    @defvjp(lambda g: g)
    def failing(x):
        calls.append(x)
        raise RuntimeError("my own")

    calls = []
    with pytest.raises(RuntimeError, match=r"^my own$"):
        vmap(failing)(vector(1.0, 2.0))
    assert len(calls) == 1


@PRODUCTS
def test_several_arguments_and_broadcasting(f):
    x, y = vector(1.0, 2.0, 3.0), number(2.0)
    by_x, by_y = grad(lambda x, y: f(x, y).sum(), (0, 1))(x, y)
    assert by_x.tolist() == [2, 2, 2] and by_y.item() == 6
    assert grad(lambda x: f(x, x).sum())(x).tolist() == [2, 4, 6]
    assert grad(lambda y: f(x, y).sum())(y).item() == 6
    assert jvp(lambda y: f(x, y), (y,), (number(1.0),))[1].tolist() == [1, 2, 3]
    rows = vmap(f, in_dims=(0, None))(x, y)
    assert rows.tolist() == [2, 4, 6]
    assert grad(lambda y: vmap(f, in_dims=(0, None))(x, y).sum())(y).item() == 6


def test_only_what_the_rule_asks_for_is_kept():
    @defvjp(lambda g, y: (g * y, None))
    def scaled(x, y):
        return x.detach() * y.detach()

    x, y = vector(1.0, 2.0).requires_grad_(), vector(3.0, 4.0)
    held = weakref.ref(x._memory())
    out = scaled(x * 1, y)
    inner = weakref.ref(out.grad_fn.next_functions[0][0])
    assert inner() is not None
    out.sum().backward()
    assert x.grad.tolist() == [3, 4]
    del x, out
    gc.collect()
    assert held() is None


def test_a_residual_that_was_written_to_is_noticed():
    x = vector(1.0, 2.0).requires_grad_()
    y = x * 1
    out = sin_by_vjp(y)
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@defvjp(lambda g, parameters, x: ({"w": g["y"] * x, "b": g["y"]}, g["y"] * parameters["w"]))
def affine(parameters, x, *, scale=1.0, label=None):
    return {"y": parameters["w"] * x + parameters["b"], "count": torch.tensor(len(x))}


def test_trees_and_keyword_arguments():
    parameters, x = {"w": vector(2.0, 3.0), "b": vector(0.5, 1.0)}, vector(5.0, 7.0)
    gradient, by_x = grad(lambda p, x: affine(p, x=x, label="a")["y"].sum(), (0, 1))(parameters, x)
    assert gradient["w"].tolist() == [5, 7] and gradient["b"].tolist() == [1, 1] and by_x.tolist() == [2, 3]
    pushed = jvp(lambda x: affine(parameters, x)["y"], (x,), (vector(1.0, 2.0),))[1]
    assert pushed.tolist() == [2, 6]
    assert affine(parameters, x)["count"].item() == 2

    @defvjp(lambda g, x, n: g * n * x ** (n - 1))
    def power(x, n=2):
        return x.detach() ** n

    assert grad(power)(number(3.0)).item() == 6
    assert grad(lambda x: power(x, n=3))(number(3.0)).item() == 27


def test_several_outputs():
    @defvjp(lambda g, out: g[0] * out[1] - g[1] * out[0])
    def both(x):
        return torch.sin(x.detach()), torch.cos(x.detach())

    x = vector(0.3, 0.8)
    assert torch.allclose(grad(lambda x: both(x)[1].sum())(x), -torch.sin(x))
    assert torch.allclose(jvp(both, (x,), (torch.ones_like(x),))[1][0], torch.cos(x))
    assert torch.allclose(jet(lambda x: both(x)[0], 4)(x)[4], torch.sin(x))
    assert torch.allclose(vmap(grad(lambda x: both(x)[0]))(x), torch.cos(x))


def test_a_result_that_shares_memory_is_a_copy():
    @defvjp(lambda g: g)
    def same(x):
        return x

    x = vector(1.0, 2.0).requires_grad_()
    y = same(x)
    y.sum().backward()
    assert x.grad.tolist() == [1, 1] and y.data_ptr() != x.data_ptr()


def test_methods_and_names():
    class Scale:
        factor = 3.0

        @defvjp(lambda g, self: g * self.factor)
        def __call__(self, x):
            """Three times x."""
            return x.detach() * self.factor

    assert grad(Scale())(number(2.0)).item() == 3
    assert Scale.__call__.__doc__ == "Three times x."


# ---------------------------------------------------------------- mistakes
def test_a_rule_that_asks_for_what_there_is_not():
    with pytest.raises(TypeError, match=r"asks for 'z', which is no parameter of f\(x, y\), nor 'out'"):

        @defvjp(lambda g, z: g)
        def f(x, y):
            return x

    with pytest.raises(TypeError, match="takes nothing"):
        defjvp(lambda: None)(torch.sin)


@pytest.mark.parametrize(
    "rule, message",
    [
        (lambda g: g, "returned a Tensor, and must return a tuple of 2 cotangents: one for each of x, y"),
        (lambda g: (g, g, g), "returned a tuple of 3, and must return a tuple of 2"),
        (lambda g: (g, (g, g)), "for the cotangent of y a tree"),
        (lambda g: (g, 1.0), "the cotangent of y by the rule of f is a float"),
        (lambda g: (g[:1], g), r"a cotangent of shape \[1\] for a tensor of shape \[2\]"),
    ],
)
def test_a_wrong_number_or_shape(rule, message):
    @defvjp(rule)
    def f(x, y):
        return x.detach() + y.detach()

    with pytest.raises(RuntimeError, match=message):
        grad(lambda x: f(x, x).sum())(vector(1.0, 2.0))


def test_a_wrong_tangent():
    @defjvp(lambda t: (t, t))
    def f(x):
        return x.detach() * 1

    with pytest.raises(RuntimeError, match="returned for the tangent of the output a tree"):
        jvp(f, (number(1.0),), (number(1.0),))
