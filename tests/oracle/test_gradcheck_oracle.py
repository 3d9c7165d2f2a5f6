"""`gradcheck` and `gradgradcheck` in both libraries: the same verdicts, exceptions and first sentences, the same Jacobians printed."""

import itertools
import re
import warnings

import pytest

from tests.oracle.both import PROGRAMS, check, program


def leaf(torch, *values, dtype="float64"):
    return torch.tensor(list(values), dtype=getattr(torch, dtype), requires_grad=True)


def hooked(function, hook):
    def wrong(*inputs):
        out = function(*inputs)
        out.register_hook(lambda g: None if g is None else hook(g))  # torch calls hooks also where no gradient came
        return out

    return wrong


def unsigned_zeros(text):
    """A printed matrix in which it does not matter whether a zero is a negative one."""
    text = re.sub(r"(?<![0-9.])-(?=0\.0*(?![0-9]))", "", text)
    return re.sub(r"(?<=[0-9.])-(?=0\.0*j)", "+", text).split()


def judge(torch, show, check, function, inputs, **options):
    """Show a verdict, or the error's type and first sentence; of mismatches in slow mode also both Jacobians."""
    for fast_mode in (False, True):
        torch.manual_seed(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                show(check(function, inputs, fast_mode=fast_mode, **options))
            except Exception as error:
                text = str(error)
                show(type(error).__name__, re.split(r"\n|(?<=[a-z])\. ", text)[0])
                if not fast_mode and "mismatch" in text:
                    start = text.index("numerical:")
                    show(unsigned_zeros(text[start : text.index(")\n", text.index("analytical:"))]))
            show([re.split(r"(?<=[a-z])\. ", str(warning.message))[0] for warning in caught if "Input #" in str(warning.message)])


FUNCTIONS = {
    "product": lambda torch: lambda x: x * x,
    "sum": lambda torch: lambda x: (x * x).sum(),
    "several": lambda torch: lambda x: (x * 2, x.exp(), x.detach().long()),
    "max": lambda torch: lambda x: x.abs().max(0),
    "half detached": lambda torch: lambda x: x.detach() * x,
    "detached": lambda torch: lambda x: x.detach() * 2,
    "twice": lambda torch: hooked(lambda x: x * x, lambda g: 2 * g),
    "a little": lambda torch: hooked(lambda x: x * x, lambda g: 1.0005 * g),
    "negative": lambda torch: lambda x: (x * 1, hooked(lambda x: x * 3, lambda g: -g)(x)),
    "conjugate": lambda torch: hooked(lambda x: x * x, lambda g: g.conj() * 1),
    "affine": lambda torch: hooked(lambda x: x * 1, lambda g: g if g.any() else torch.ones_like(g)),
    "drift": lambda torch: drifting(),
    "shape": lambda torch: lambda x: x[x.abs() > abs(x.detach()[0]).item()],
    "the absolute value": lambda torch: lambda x: x.abs(),
    "no tensor": lambda torch: lambda x: (x * 1, None),
    "real": lambda torch: lambda x: torch.view_as_real(x * (1 + 1j)),
}


def drifting():
    runs = itertools.count()
    return hooked(lambda x: x * 1, lambda g: g * (1 + 1e-9 * next(runs)))


@program
def verdicts_of_real_functions(torch, show, attempt):
    for name, make in FUNCTIONS.items():
        for values in ((1.0, -2.0), (0.0, 3.0)):
            show(name, values)
            judge(torch, show, torch.autograd.gradcheck, make(torch), leaf(torch, *values))
            judge(torch, show, torch.autograd.gradcheck, make(torch), leaf(torch, *values), raise_exception=False)


@program
def verdicts_of_complex_functions(torch, show, attempt):
    for name, make in FUNCTIONS.items():
        if name not in ("max", "several", "shape"):  # which take no complex numbers
            show(name)
            judge(torch, show, torch.autograd.gradcheck, make(torch), leaf(torch, 1 + 2j, 3 - 1j, dtype="complex128"))


@program
def verdicts_of_second_derivatives(torch, show, attempt):
    for name, make in FUNCTIONS.items():
        if name not in ("drift", "detached"):  # without differentiable outputs torch passes the wrong arguments
            show(name)
            judge(torch, show, torch.autograd.gradgradcheck, make(torch), leaf(torch, 1.0, 2.0), raise_exception=False)

    def forgetful(x):
        return hooked(lambda x: x * 1, lambda g: g * 3 * x.detach() ** 2)(x) + (x**3 - x).detach()

    judge(torch, show, torch.autograd.gradcheck, forgetful, leaf(torch, 1.0, 2.0))
    for cotangent in (leaf(torch, 1.0, 1.0), torch.ones(2, dtype=torch.float64)):
        judge(torch, show, lambda f, x, c=cotangent, **how: torch.autograd.gradgradcheck(f, x, c, **how), forgetful, leaf(torch, 1.0, 2.0))


@program
def tolerances(torch, show, attempt):
    wrong = hooked(lambda x: x * x, lambda g: 1.01 * g)
    x = leaf(torch, 1.0, 2.0)
    for options in ({}, {"rtol": 0.02}, {"atol": 0.03}, {"atol": 0.1}, {"eps": 1e-3, "rtol": 0.009}, {"eps": 1e-3, "rtol": 0.011}):
        judge(torch, show, torch.autograd.gradcheck, wrong, x, **options)
    for tolerance in (0.0, 1e-12, 1e-6):
        judge(torch, show, torch.autograd.gradcheck, drifting(), x, nondet_tol=tolerance)
    slight = hooked(lambda x: x * 1, lambda g: g if g.any() else torch.full_like(g, 1e-12))
    for masked in (None, False, True):
        judge(torch, show, torch.autograd.gradcheck, slight, x, masked=masked, check_undefined_grad=False)


@program
def inputs(torch, show, attempt):
    x = leaf(torch, 1.0, 2.0)
    for given in (
        torch.ones(2), 3.0, (), x.detach(), x.expand(3, 2), leaf(torch, 1.0).expand(1), leaf(torch, 1.0, 2.0, dtype="float32"),
        leaf(torch, 1j, dtype="complex64"), [x], (x,), leaf(torch, 1.0) * 2,
    ):  # fmt: skip
        judge(torch, show, torch.autograd.gradcheck, lambda *x: x[0] * 1, given)
    judge(torch, show, torch.autograd.gradcheck, lambda n, y, z: n * y * z, (2.0, x, torch.ones(2, dtype=torch.float64)))
    judge(torch, show, torch.autograd.gradcheck, lambda n, y, z: n * y.detach() * z, (2.0, x, leaf(torch, 1.0)))
    show(x, x.grad)


@program
def arguments(torch, show, attempt):
    x = leaf(torch, 1.0)
    for options in (
        {"check_backward_ad": False}, {"check_batched_forward_grad": True},
        {"check_backward_ad": False, "check_batched_grad": True, "check_forward_ad": True},
    ):  # fmt: skip
        attempt(lambda options=options: torch.autograd.gradcheck(torch.sin, x, **options))
    for options in (
        {"check_rev_over_rev": False}, {"check_rev_over_rev": False, "check_fwd_over_rev": True},
        {"check_rev_over_rev": False, "check_fwd_over_rev": True, "check_undefined_grad": False, "check_batched_grad": True},
    ):  # fmt: skip
        attempt(lambda options=options: torch.autograd.gradgradcheck(torch.sin, x, **options))
    attempt(lambda: torch.autograd.gradcheck(torch.sin, x, check_batched_grad=True, check_grad_dtypes=True))
    attempt(lambda: torch.autograd.gradgradcheck(torch.sin, x, gen_non_contig_grad_outputs=True, check_batched_grad=True))
    attempt(lambda: torch.autograd.gradcheck(torch.sin))
    attempt(lambda: callable(torch.autograd.gradcheck))


@program
def batches(torch, show, attempt):
    class Scaled(torch.autograd.Function):
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

    def judged(*args, **options):
        try:
            return torch.autograd.gradcheck(*args, **options)
        except RuntimeError as error:  # what follows are the words of two generations of vmap
            return type(error).__name__, str(error).split("got:")[0]

    x, y = leaf(torch, 1.0, 2.0), leaf(torch, 3.0)
    checks = ({"check_batched_grad": True}, {"check_forward_ad": True, "check_batched_forward_grad": True})
    for options in checks:
        for scale in (lambda g: 1.0, lambda g: 1.0 if g.sum().item() > -100 else 0.0, lambda g: 1.0 if g.sum() > -100 else 0.0):
            show(judged(lambda x, scale=scale: Scaled.apply(x, scale), x, **options))
        show(judged(lambda x, y: (x * y, x.sum()), (x, y), **options))
        show(judged(lambda n, x: n * x.t(), (2.0, leaf(torch, 1.0).view(1, 1).detach().requires_grad_()), **options))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_both_libraries_show_the_same(function):
    check(function)
