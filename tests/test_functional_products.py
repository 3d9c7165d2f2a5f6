"""`autograd.functional`'s products of vectors with Jacobians and Hessians: closed forms, identities, what they refuse and leave alone."""

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd import functional as F

RNG = np.random.default_rng(5)
A = torch.from_numpy(RNG.standard_normal((2, 3)))
B = torch.from_numpy(RNG.standard_normal((3, 3)))


def numbers(*shape):
    return torch.from_numpy(np.asarray(RNG.standard_normal(shape)))


def curved(x):
    """A map from three numbers to two, whose Jacobian is A diag(cos(x))."""
    return A @ x.sin()


def valley(x):
    """A function whose Hessian is diag(6 x) + B + B'."""
    return (x**3).sum() + x @ B @ x


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- closed forms
def test_vjp_and_jvp_of_a_known_jacobian():
    x, u, v = numbers(3), numbers(2), numbers(3)
    known = A.numpy() * np.cos(x.numpy())
    out, pulled = F.vjp(curved, x, u)
    close(out, A.numpy() @ np.sin(x.numpy()))
    close(pulled, known.T @ u.numpy())
    out, pushed = F.jvp(curved, x, v)
    close(out, A.numpy() @ np.sin(x.numpy()))
    close(pushed, known @ v.numpy())


def test_hvp_and_vhp_of_a_known_hessian():
    x, v = numbers(3), numbers(3)
    known = np.diag(6 * x.numpy()) + B.numpy() + B.numpy().T
    for product in (F.hvp, F.vhp):
        out, found = product(valley, x, v)
        close(out, (x.numpy() ** 3).sum() + x.numpy() @ B.numpy() @ x.numpy())
        close(found, known @ v.numpy())


def test_dot_products_agree():
    x, u, v = numbers(3), numbers(2), numbers(3)
    assert float(u @ F.jvp(curved, x, v)[1]) == pytest.approx(float(F.vjp(curved, x, u)[1] @ v), rel=1e-12)


def test_chain_rule():
    x, v = numbers(3), numbers(3)
    inner, tangent = F.jvp(torch.exp, x, v)
    close(F.jvp(lambda x: curved(x.exp()), x, v)[1], F.jvp(curved, inner, tangent)[1])


def test_jvp_against_differences():
    x, v = numbers(3), numbers(3)
    step = 1e-6
    close(F.jvp(curved, x, v)[1], (curved(x + step * v) - curved(x - step * v)) / (2 * step), 1e-8)


def test_complex_numbers_in_the_convention_of_the_engine():
    z = torch.tensor([1 + 2j, -0.5j])
    v = torch.tensor([1j, 2 + 1j])
    assert F.vjp(lambda z: z * z, z, v)[1].tolist() == (2 * z.conj() * v).tolist()
    close(F.vjp(lambda z: (z.abs() ** 2).sum(), z)[1], 2 * z.numpy(), 1e-6)


def test_tuples_in_and_out():
    x, y = numbers(2), numbers(2)
    outs, pulled = F.vjp(lambda x, y: (x * y, x.sum()), (x, y), (y, torch.tensor(2.0, dtype=torch.float64)))
    assert isinstance(outs, tuple)
    assert isinstance(pulled, tuple)
    close(pulled[0], y.numpy() ** 2 + 2)
    close(pulled[1], x.numpy() * y.numpy())
    outs, pushed = F.jvp(lambda x: (x * 3,), x, y)
    assert len(outs) == len(pushed) == 1
    close(pushed[0], 3 * y.numpy())


def test_v_may_be_left_out_where_it_can_only_be_one():
    x = torch.tensor([2.0])
    assert F.vjp(lambda x: x**2, x)[1].tolist() == [4.0]
    assert F.jvp(lambda x: x**2 * torch.ones(2), x)[1].tolist() == [4.0, 4.0]
    assert F.hvp(lambda x: x**3, x)[1].tolist() == F.vhp(lambda x: x**3, x)[1].tolist() == [12.0]


# ---------------------------------------------------------------- what is differentiated, and what is left alone
def test_a_closure_stays_constant_even_if_it_is_the_input():
    x = torch.tensor(3.0, requires_grad=True)
    assert F.vjp(lambda y: y * x, x)[1].item() == 3.0
    assert F.vjp(lambda y: y * x, x, create_graph=True)[1].item() == 3.0


@pytest.mark.parametrize("product", [F.vjp, F.jvp, F.hvp, F.vhp])
def test_inputs_are_as_they_were(product):
    x = torch.tensor([2.0], requires_grad=True)
    plain = torch.tensor([2.0])
    product(lambda x, y: (x * y) ** 2, (x, plain), None if product is F.vjp else (x, plain))
    assert x.grad is None
    assert x.requires_grad
    assert x.is_leaf
    assert not plain.requires_grad
    assert plain._version == x._version == 0


@pytest.mark.parametrize("product", [F.vjp, F.jvp, F.hvp, F.vhp])
def test_results_have_history_only_if_asked_for(product):
    x = torch.tensor([2.0], requires_grad=True)
    for result in product(lambda x: x**3, x):
        assert not result.requires_grad
    out, result = product(lambda x: x**3, x, create_graph=True)
    assert torch.autograd.grad(out.sum(), x, retain_graph=True)[0].item() == 12.0
    assert torch.autograd.grad(result.sum(), x)[0].item() == (12.0 if product in (F.vjp, F.jvp) else 6.0)
    for result in product(lambda x: x**3, x.detach(), create_graph=True):
        assert result.requires_grad  # of the tensor that the function was given


def test_v_is_differentiated_if_it_requires_grad():
    x, v = numbers(3), numbers(3).requires_grad_()
    _, product = F.vhp(valley, x, v, create_graph=True)
    rows = [torch.autograd.grad(out, v, retain_graph=True)[0].numpy() for out in product]
    close(rows, np.diag(6 * x.numpy()) + B.numpy() + B.numpy().T)


def test_grad_mode_is_restored_when_the_function_raises():
    def failing(x):
        raise KeyError("inside")

    for product in (F.vjp, F.jvp, F.hvp, F.vhp):
        with torch.no_grad():
            with pytest.raises(KeyError, match="inside"):
                product(failing, torch.ones(1))
            assert not torch.is_grad_enabled()
        assert torch.is_grad_enabled()


def test_the_function_is_recorded_in_no_grad():
    with torch.no_grad():
        assert F.vjp(lambda x: x**2, torch.tensor(3.0))[1].item() == 6.0
        assert F.vjp(lambda x: x**2, torch.tensor(3.0, requires_grad=True), create_graph=True)[1].requires_grad


def test_zeros_where_nothing_depends():
    x, y = torch.ones(2), torch.ones(3)
    assert F.vjp(lambda x, y: x.sum(), (x, y))[1][1].tolist() == [0.0] * 3
    assert F.jvp(lambda x: (x * 2, torch.ones(2)), x, x)[1][1].tolist() == [0.0] * 2
    assert F.vhp(lambda x: x.sum(), x, x)[1].tolist() == [0.0] * 2
    assert F.hvp(lambda x: torch.ones(()), x, x)[1].tolist() == [0.0] * 2


# ---------------------------------------------------------------- what is refused
W = torch.tensor([2.0, 3.0], requires_grad=True)
ONE = torch.ones(2)

STRICT = {
    "Output 0 of the user-provided function does not require gradients": lambda: F.vjp(lambda x: ONE, ONE, ONE, strict=True),
    "Output 1 of the user-provided function does not": lambda: F.jvp(lambda x: (x, ONE), ONE, ONE, strict=True),
    "The output of the user-provided function is independent of input 1": lambda: F.vjp(lambda x, y: x * 2, (ONE, ONE), ONE, strict=True),
    "The output of the user-provided function is independent of input 0": lambda: F.jvp(lambda x: W * 2, ONE, ONE, strict=True),
    "The gradient with respect to the input is independent of entry 1 in the grad_outputs": lambda: F.jvp(
        lambda x: (x * 2, W * 2), ONE, ONE, strict=True
    ),
    "The jacobian of the user-provided function is independent of input 0. This is not allowed in strict mode when create_graph": (
        lambda: F.vjp(lambda x: x * 2, ONE, ONE, create_graph=True, strict=True)
    ),
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input 0 is independent": (
        lambda: F.vhp(lambda x: x.sum(), ONE, ONE, strict=True)
    ),
    "The jacobian of the user-provided function is independent of input 0. This is not allowed in strict mode.": (
        lambda: F.vhp(lambda x: (x * W).sum(), ONE, ONE, strict=True)
    ),
    "The hessian of the user-provided function is independent of entry 1 in the grad_jacobian": lambda: F.hvp(
        lambda x, y: (x**3).sum() + (y * W).sum(), (ONE, ONE), (ONE, ONE), strict=True
    ),
    "The hessian of the user-provided function is independent of input 0": lambda: F.vhp(
        lambda x: (x * x).sum(), ONE, ONE, create_graph=True, strict=True
    ),
}


@pytest.mark.parametrize("text", STRICT)
def test_strict_refusals(text):
    with pytest.raises(RuntimeError) as caught:
        STRICT[text]()
    assert str(caught.value).startswith(text)
    assert "strict mode" in str(caught.value)


@pytest.mark.parametrize("product", [F.vjp, F.jvp, F.hvp, F.vhp])
def test_strict_lets_through_what_depends(product):
    relaxed = product(lambda x: (x**4).sum(), ONE, None if product is F.vjp else ONE)
    for create_graph in (False, True):
        found = product(lambda x: (x**4).sum(), ONE, None if product is F.vjp else ONE, create_graph=create_graph, strict=True)
        assert [x.tolist() for x in found] == [x.tolist() for x in relaxed]


def test_other_refusals():
    for call, kind, text in (
        (lambda: F.vjp(lambda x: x, [ONE]), TypeError, "The inputs given to vjp must be either a Tensor or a tuple of Tensors"),
        (lambda: F.jvp(lambda x: x, ONE, [ONE]), TypeError, "The v given to jvp must be either .* the given v has type <class 'list'>"),
        (lambda: F.hvp(lambda x: [x], ONE, ONE), TypeError, "The outputs of the user-provided function given to hvp must be either"),
        (lambda: F.vjp(lambda x: x, ONE), RuntimeError, "The vector v can only be None if the user-provided function returns a single"),
        (lambda: F.jvp(lambda x: x, ONE), RuntimeError, "The vector v can only be None if the input to the user-provided function is a"),
        (lambda: F.vjp(lambda x: x, ONE, (ONE, ONE)), RuntimeError, "The given v should contain a single Tensor"),
        (lambda: F.jvp(torch.mul, (ONE, ONE), ONE), RuntimeError, "v is a tuple of invalid length: should be 2 but got 1"),
        (lambda: F.vjp(lambda x: x, ONE, ONE[:1]), RuntimeError, r"^v has invalid size: should be torch.Size\(\[2\]\) but got"),
        (lambda: F.jvp(torch.mul, (ONE, ONE), (ONE, ONE[:1])), RuntimeError, r"^Entry 1 in v has invalid size"),
        (lambda: F.vhp(lambda x: x, ONE, ONE), RuntimeError, "The Tensor returned by the function given to vhp should contain a single"),
        (lambda: F.hvp(lambda x: (x,), ONE, ONE), RuntimeError, "The function given to hvp should return a single Tensor"),
        (lambda: F.vjp(lambda x: x, torch.tensor([1])), RuntimeError, "only Tensors of floating point dtype can require gradients"),
    ):
        with pytest.raises(kind, match=text):
            call()
