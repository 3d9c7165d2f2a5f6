"""`gradcheck` and `gradgradcheck`: right gradients pass, each kind of wrong one is found, and kinks are called kinks."""

import re
import subprocess
import sys

import pytest

import ndgrad as torch
from ndgrad.autograd import gradcheck, gradgradcheck
from ndgrad.autograd.checks.derivative_checks import check_zero_tangents
from ndgrad.autograd.gradcheck import GradcheckError

MODES = pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])


def leaf(*values, dtype=torch.float64):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


def hooked(function, hook):
    """The function with a backward that is what the hook makes of the right one."""

    def wrong(*inputs):
        out = function(*inputs)
        out.register_hook(lambda g: None if g is None else hook(g))
        return out

    return wrong


def message(function, inputs, check=gradcheck, **options):
    with pytest.raises(GradcheckError) as caught:
        check(function, inputs, **options)
    return str(caught.value)


# ---------------------------------------------------------------- names
def test_the_function_hides_the_module_of_its_name():
    import ndgrad.autograd.gradcheck  # must not put the module in the function's place

    assert ndgrad.autograd.gradcheck is gradcheck and callable(gradcheck)
    assert sys.modules["ndgrad.autograd.gradcheck"].GradcheckError is GradcheckError
    assert issubclass(GradcheckError, RuntimeError)


def test_the_names_hold_for_programs_that_import_torch():
    program = """
import ndgrad
ndgrad.install_as_torch()
from torch.autograd.gradcheck import GradcheckError, gradgradcheck
import torch.autograd.gradcheck
assert torch.autograd.gradcheck(torch.sin, torch.ones(2, dtype=torch.float64, requires_grad=True))
assert torch.autograd.gradgradcheck is gradgradcheck
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---------------------------------------------------------------- right gradients
@MODES
@pytest.mark.parametrize(
    "function",
    [torch.sin, lambda x: x.prod(), lambda x: (x * 2, x.exp().sum()), lambda x: x.max(0), lambda x: (x > 1, x * x), lambda x: [x]],
)
def test_right_gradients_pass(function, fast_mode):
    x = leaf(0.5, 1.5, -2.0)
    assert gradcheck(function, x, fast_mode=fast_mode) is True
    assert gradgradcheck(function, [x], fast_mode=fast_mode) is True
    assert x.tolist() == [0.5, 1.5, -2.0] and x._version == 0 and x.grad is None


@MODES
@pytest.mark.parametrize(
    "function", [torch.exp, lambda z: z.abs(), lambda z: z.conj() * z.real, torch.view_as_real, lambda z: (z * z, z.angle())]
)
def test_right_complex_gradients_pass(function, fast_mode):
    z = leaf(1 + 2j, -0.5 + 1j, dtype=torch.complex128)
    assert gradcheck(function, z, fast_mode=fast_mode)
    assert gradgradcheck(function, z, fast_mode=fast_mode)


def test_inputs_may_be_of_any_kind_and_may_be_captured():
    x, n = leaf(1.0, 2.0), torch.tensor([1, 2])
    assert gradcheck(lambda scale, y, k, z: scale * y * k * z, (3.0, x, n, torch.ones(2, dtype=torch.float64)))
    assert gradcheck(lambda y: x * x, x)
    scalar = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert gradcheck(torch.exp, scalar)
    assert gradcheck(lambda y: y * y, torch.zeros(0, 2, dtype=torch.float64, requires_grad=True), fast_mode=True)


def test_noncontiguous_inputs_and_cotangents():
    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).t().requires_grad_()
    assert gradcheck(lambda x: x.sin() @ x.t(), x)
    assert gradgradcheck(lambda x: x.sin(), x, gen_non_contig_grad_outputs=True)
    assert gradgradcheck(lambda x: x.sin(), x, torch.ones(3, 2, dtype=torch.float64))


def test_outputs_before_the_differentiable_one_are_counted():
    assert gradcheck(lambda x: (torch.tensor([1]), torch.ones(2), x * x), leaf(1.0, 2.0))
    assert gradcheck(lambda x: (torch.tensor([1]), torch.ones(2), x * x), leaf(1.0, 2.0), fast_mode=True)


def test_inputs_are_put_back_when_the_function_raises():
    x = leaf(1.0)

    def fails(x):
        if x.item() > 1:
            raise KeyError("moved")
        return x * 1

    with pytest.raises(KeyError):
        gradcheck(fails, x)
    assert x.item() == 1.0


# ---------------------------------------------------------------- wrong gradients
@MODES
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_a_wrong_factor_is_found(dtype, fast_mode):
    wrong = hooked(lambda x: x * x, lambda g: g * 1.01)
    x = leaf(1.0, 2.0, dtype=dtype)
    text = message(wrong, x, fast_mode=fast_mode)
    begins = "While considering the imaginary part of complex outputs only, " if dtype.is_complex else ""
    assert text.startswith(begins + "Jacobian mismatch for output 0 with respect to input 0,\nnumerical:")
    assert "\nanalytical:" in text
    value = "(2+0j)" if dtype.is_complex else "2.0"
    assert f"No kink, but a difference of 0.04, the largest, at element [1] of input 0, whose value is {value}, for element [1]" in text
    assert gradcheck(wrong, x, fast_mode=fast_mode, raise_exception=False) is False
    assert gradcheck(wrong, x, fast_mode=fast_mode, rtol=0.02)
    assert gradcheck(wrong, x, fast_mode=fast_mode, atol=0.1)


@MODES
def test_the_tolerance_is_that_of_each_element(fast_mode):
    x = torch.ones(20, dtype=torch.float64, requires_grad=True)
    wrong = hooked(lambda x: x.sum() * torch.ones(30, dtype=torch.float64), lambda g: g * 1.01)
    assert gradcheck(wrong, x, atol=0.011, rtol=0, fast_mode=fast_mode)
    assert "mismatch" in message(wrong, x, atol=0.009, rtol=0, fast_mode=fast_mode)


def test_only_the_wrong_one_of_several_is_named():
    text = message(lambda n, x, y: (x * 1, hooked(lambda a, b: a * b, lambda g: -g)(x, y.detach()) + y), (1, leaf(1.0), leaf(3.0)))
    assert text.startswith("Jacobian mismatch for output 1 with respect to input 0,")
    assert "of input 0 (argument 1 of the function)" in text


def test_both_jacobians_are_printed():
    text = message(hooked(lambda x: 3 * x, lambda g: 2 * g), leaf(1.0, 2.0))
    assert "numerical:tensor([[3.0000, 0.0000],\n        [0.0000, 3.0000]], dtype=torch.float64)" in text
    assert "analytical:tensor([[6., 0.],\n        [0., 6.]], dtype=torch.float64)" in text


@MODES
def test_a_missing_gradient_is_found(fast_mode):
    assert "expected to be zero" in message(lambda x: x.detach() * 2, leaf(1.0), fast_mode=fast_mode)
    assert "Jacobian mismatch" in message(lambda x: x.detach() * x, leaf(1.0), fast_mode=fast_mode)
    assert gradcheck(lambda x: x.detach().round(), leaf(1.2), fast_mode=fast_mode)


@MODES
def test_a_wrong_second_derivative_is_found(fast_mode):
    # right once, but its factor is no part of the graph
    def forgetful(x):
        return hooked(lambda x: x * 1, lambda g: g * 3 * x.detach() ** 2)(x) + (x**3 - x).detach()

    x = leaf(1.0, 2.0)
    assert gradcheck(forgetful, x, fast_mode=fast_mode)
    assert gradgradcheck(forgetful, x, fast_mode=fast_mode, raise_exception=False) is False


@MODES
def test_a_backward_that_changes_from_run_to_run_is_found(fast_mode):
    runs = []

    def drifting(g):
        runs.append(1)
        return g * (1 + 1e-9 * len(runs))

    wrong = hooked(lambda x: x * 1, drifting)
    assert message(wrong, leaf(1.0), fast_mode=fast_mode).startswith("Backward is not reentrant")
    assert gradcheck(wrong, leaf(1.0), fast_mode=fast_mode, nondet_tol=1e-6)


@MODES
def test_a_backward_that_ignores_a_cotangent_of_zeros_is_found(fast_mode):
    def affine(size):
        return hooked(lambda x: x * 1, lambda g: g if g.any() else torch.full_like(g, size))

    assert message(affine(1.0), leaf(1.0), fast_mode=fast_mode) == "backward not multiplied by grad_output"
    assert message(affine(1e-12), leaf(1.0), fast_mode=fast_mode) == "backward not multiplied by grad_output"
    assert gradcheck(affine(1e-12), leaf(1.0), fast_mode=fast_mode, masked=True, check_undefined_grad=False)


@pytest.mark.parametrize("raising", [True, False])
def test_a_backward_that_cannot_do_without_one_output_is_found(raising):
    arrived = []

    def needs_the_other(g):
        if g is None:
            return None
        alone, arrived[:] = not arrived and not g.any(), []
        if alone and raising:
            raise RuntimeError("where is the other one?")
        return g + 1 if alone else g

    def function(x):
        arrived.clear()
        first = x * 1
        first.register_hook(needs_the_other)
        second = x * 2
        second.register_hook(lambda g: None if g is None else arrived.append(g))
        return first, second

    x = leaf(1.0)
    text = message(function, x)
    assert text.startswith("Expected backward function to handle" if raising else "Expected all input grads to be undefined or zero")
    assert ("where is the other one?" in text) is raising
    assert gradcheck(function, x, check_undefined_grad=False)


def test_batches_are_compared_with_their_members():
    assert gradcheck(lambda x, y: (x * x, x.exp().sum() * y), (leaf(1.0, 2.0), leaf(3.0)), check_batched_grad=True)
    runs = []

    def later(g):
        runs.append(1)
        return g * 2 if len(runs) > 4 else g

    # two runs for the Jacobian, two for the members; what follows is the batch
    wrong = hooked(lambda x: x * 1, later)
    assert message(wrong, leaf(1.0), check_batched_grad=True).startswith("For output 0 and input 0:")


# ---------------------------------------------------------------- arguments
def test_inputs_that_cannot_be_checked():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(torch.sin, torch.ones(2))
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(torch.sin, leaf(1.0).expand(3))
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision") as caught:
        gradcheck(lambda x: x * 1, leaf(1.0, dtype=torch.float32), eps=1e-2, atol=1e-2)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "value"), [("shape", lambda x: x[x > 1]), ("dtype", lambda x: x.to(torch.float64 if x[0] > 1 else torch.float32))]
)
def test_outputs_that_depend_on_the_values(name, value):
    with pytest.raises(AssertionError, match=f"same {name} when inputs are perturbed"):
        gradcheck(value, leaf(1.0, 2.0))


def test_arguments_that_contradict_each_other():
    x = leaf(1.0)
    for options in ({"check_backward_ad": False}, {"check_batched_forward_grad": True}):
        with pytest.raises(AssertionError):
            gradcheck(torch.sin, x, **options)
    for options in ({"check_rev_over_rev": False}, {"check_rev_over_rev": False, "check_fwd_over_rev": True}):
        with pytest.raises(AssertionError):
            gradgradcheck(torch.sin, x, **options)


@MODES
def test_forward_mode_is_checked(fast_mode):
    x, z = leaf(0.5, 1.5), torch.tensor([0.3 + 0.1j, -1.0 + 2.0j], dtype=torch.complex128, requires_grad=True)
    for function in (torch.sin, lambda x: (x * x, x.sum())):
        assert gradcheck(function, x, check_forward_ad=True, fast_mode=fast_mode)
        assert gradcheck(function, x, check_forward_ad=True, check_backward_ad=False, fast_mode=fast_mode)
    for function in (torch.exp, torch.abs, lambda z: z * z.conj()):
        assert gradcheck(function, z, check_forward_ad=True, fast_mode=fast_mode)
        assert gradgradcheck(function, z, check_fwd_over_rev=True, fast_mode=fast_mode)
    assert gradgradcheck(torch.tanh, x, check_fwd_over_rev=True, check_rev_over_rev=False, check_undefined_grad=False, fast_mode=fast_mode)


class WrongForward(torch.autograd.Function):
    """The square, whose `jvp` is wrong."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return g * 2 * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * 3 * ctx.saved_tensors[0]


class AffineForward(WrongForward):
    """One whose `jvp` is not linear."""

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * 2 * ctx.saved_tensors[0] + 1


@MODES
def test_a_wrong_forward_mode_is_found(fast_mode):
    x = leaf(0.5, 1.5)
    with pytest.raises(GradcheckError, match="Jacobian computed with forward mode mismatch for output 0 with respect to input 0"):
        gradcheck(WrongForward.apply, x, check_forward_ad=True, fast_mode=fast_mode)
    assert gradcheck(WrongForward.apply, x, fast_mode=fast_mode)
    assert not gradcheck(AffineForward.apply, x, check_forward_ad=True, fast_mode=fast_mode, raise_exception=False)


class Scaled(torch.autograd.Function):
    """The identity, whose derivatives are multiplied by what a function makes of them."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.scale(g), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return tangent * ctx.scale(tangent)


FORWARD_BATCHES = {"check_forward_ad": True, "check_backward_ad": False, "check_batched_forward_grad": True}


def test_batches_of_tangents_are_compared_with_their_members():
    x, y = leaf(1.0, 2.0), leaf(3.0)
    assert gradcheck(lambda x, y: (x * x, x.exp().sum() * y, x.detach()), (x, y), check_forward_ad=True, check_batched_forward_grad=True)
    assert gradcheck(lambda x, n: x.view(2, 1).t() * n, (x, 3.0), **FORWARD_BATCHES)
    assert gradcheck(lambda x: torch.complex(x, x * 2) * 1j, x, **FORWARD_BATCHES)
    runs = []

    def later(tangent):
        runs.append(1)
        return 2.0 if len(runs) > 5 else 1.0

    # two runs for the Jacobian, one with zeros, two for the members; what follows is the batch
    wrong = message(lambda x: Scaled.apply(x, later), x, **FORWARD_BATCHES)
    assert wrong.startswith("For output 0 and input 0:")
    assert len(runs) == 6


@pytest.mark.parametrize("options", [FORWARD_BATCHES, {"check_batched_grad": True}], ids=["forward", "backward"])
def test_what_goes_wrong_in_a_batch_is_a_failed_check(options):
    def number(g):
        return 1.0 if g.sum().item() > -100 else 0.0

    assert gradcheck(lambda x: Scaled.apply(x, number), leaf(1.0), **{**options, **dict.fromkeys(list(options)[-1:], False)})
    assert message(lambda x: Scaled.apply(x, number), leaf(1.0), **options).startswith("While computing batched gradients, got: vmap: It")


def test_tangents_of_zeros_must_give_zeros():
    with pytest.raises(GradcheckError, match="undefined or zero"):
        check_zero_tangents(AffineForward.apply, (leaf(0.5),))


# ---------------------------------------------------------------- kinks
def with_gradient(function, gradient):
    """The values of a function with a constant for its gradient."""
    return lambda x: hooked(lambda x: x * 1, lambda g: g * gradient)(x) + (function(x) - x).detach()


@MODES
@pytest.mark.parametrize(
    ("function", "gradient", "slopes"),
    [(torch.relu, 0.0, "0 and 1"), (torch.abs, 0.25, "-1 and 1"), (torch.relu, 1.0, "0 and 1"), (torch.abs, -1.0, "-1 and 1")],
)
def test_a_gradient_at_a_kink_is_told_from_a_wrong_one(function, gradient, slopes, fast_mode):
    x = leaf(0.0)
    text = message(with_gradient(function, gradient), x, fast_mode=fast_mode)
    assert (
        "A kink at element [0] of input 0, whose value is 0.0, for element [0] of output 0: "
        f"one-sided slopes are {slopes}; the gradient {gradient:g} lies between them." in text
    )
    assert "kinks=True" in text
    assert gradcheck(with_gradient(function, gradient), x, fast_mode=fast_mode, kinks=True)


@MODES
@pytest.mark.parametrize("gradient", [1.1, -0.1, 7.0])
def test_a_gradient_outside_the_slopes_is_wrong_at_a_kink_too(gradient, fast_mode):
    text = message(with_gradient(torch.relu, gradient), leaf(0.0), kinks=True, fast_mode=fast_mode)
    assert f"one-sided slopes are 0 and 1; the gradient {gradient:g} does not lie between them." in text
    assert "kinks=True" not in text


@MODES
def test_kinks_excuse_nothing_where_the_function_is_smooth(fast_mode):
    # relu(x) - relu(-x) is x, whatever the rules make of it at 0
    text = message(lambda x: torch.relu(x) - torch.relu(-x), leaf(0.0, 1.0), kinks=True, fast_mode=fast_mode)
    assert "No kink, but a difference of 1, the largest, at element [0] of input 0" in text
    # a right kink beside a wrong gradient
    wrong = with_gradient(torch.relu, torch.tensor([0.0, 3.0], dtype=torch.float64))
    text = message(wrong, leaf(0.0, 1.0), kinks=True, fast_mode=fast_mode)
    assert "No kink, but a difference of 2, the largest, at element [1]" in text and "A kink at element [0]" in text
    # strong curvature, whose one-sided slopes differ much: -0.1 and 0.1
    assert "No kink" in message(with_gradient(lambda x: 1e5 * x * x, 0.05), leaf(0.0), kinks=True, fast_mode=fast_mode)


def test_kinks_excuse_no_jump_and_no_vertical_tangent():
    for function in (torch.ceil, lambda x: x.abs().sqrt() * (x > 0)):
        assert "A jump or a vertical tangent at element [0]" in message(with_gradient(function, 0.0), leaf(0.0), kinks=True)
    assert "Not a finite number: gradient (nan+0j)" in message(with_gradient(torch.relu, torch.nan), leaf(0.0), kinks=True)


def test_a_kink_beside_the_point_is_not_at_it():
    x = leaf(-3e-7, 4.5e-7)
    assert message(torch.relu, x, kinks=True).count("The function is not smooth within a step of element") == 2
    assert gradcheck(torch.relu, x, eps=1e-7)


def test_kinks_of_complex_inputs_are_judged_axis_by_axis():
    z = leaf(0j, dtype=torch.complex128)

    def bent(wrong):
        # bent along the real axis, straight along the imaginary one
        return lambda z: torch.relu(z.real) + hooked(lambda y: y * 1, lambda g: g * wrong)(z.imag)

    text = message(bent(1.0), z)
    assert re.search(r"A kink at .* whose value is 0j, .*slopes along the real axis are 0 and 1; the gradient 0 lies between them", text)
    assert gradcheck(bent(1.0), z, kinks=True)
    assert "No kink" in message(bent(2.0), z, kinks=True)


def test_the_gradient_of_a_gradient_jumps_at_a_kink():
    x = leaf(0.0)
    assert "A jump" in message(torch.relu, x, gradgradcheck, kinks=True)
    assert "A kink" in message(lambda x: x * torch.relu(x), x, gradgradcheck)
    assert gradgradcheck(lambda x: x * torch.relu(x), x, kinks=True)


def test_long_lists_of_kinks_are_cut():
    text = message(torch.relu, torch.zeros(20, dtype=torch.float64, requires_grad=True))
    assert text.count("A kink at") == 5 and "(15 more like these.)" in text
