"""Elementwise operations against torch: argument forms, dtypes, special points, node names, in-place twins, errors."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special

import ndgrad
from tests.oracle.sides import array_of, evaluate, same_expression, same_gradients, same_value

F = "T.nn.functional."
DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128"]

# ---------------------------------------------------------------- smooth points: values, node names, first and second gradients
ANYWHERE = [
    *["x + 2", "x - 2", "2 - x", "x * 2", "x / 2", "-x", "+x", "x % 0.75", "T.rsub(x, 3, alpha=2)", "x.add(2, alpha=3)"],
    *["x.sub(2, alpha=3)", "x ** 2", "x ** 3", "x ** 4", "x ** 5", "x ** 1", "x ** 0", "x ** 2.0", "T.square(x)", "2 ** x", "2.5 ** x"],
    *["1 ** x", "T.pow(x, 2)", "x.exp()", "x.exp2()", "x.expm1()", "x.sin()", "x.cos()", "x.tan()", "x.sinh()", "x.cosh()", "x.tanh()"],
    *["x.asinh()", "x.atan()", "x.sinc()", "x.erf()", "x.erfc()", "x.deg2rad()", "x.rad2deg()", "x.floor()", "x.ceil()", "x.round()"],
    *["x.trunc()", "x.fix()", "x.round(decimals=1)", "x.round(decimals=-1)", "x.frac()", "x.sign()", "x.sgn()", "x.abs()", "x.angle()"],
    *["x.nan_to_num()", "x.clamp(-0.5, 0.5)", "x.clamp(0)", "x.clamp(max=0.25)", "x.clip(-1, 1)", "x.clamp_min(0.1)", "x.clamp_max(0.1)"],
    *["x.clamp(1, -1)", "T.fmod(x, 0.75)", "T.copysign(x, -1.0)", "T.lerp(x, x * 2, 0.3)", "T.where(x > 0, x, 2)"],
    *["T.where(x > 0, 1.5, x)", "x.positive()", "T.div(x, 0.3, rounding_mode='floor')", "T.div(x, 0.3, rounding_mode='trunc')"],
    *["T.xlogy(x, 2)", "T.fill(x, 2.0)", "x.relu()", "x.sigmoid()", F + "relu6(x)", F + "gelu(x)", F + "gelu(x, approximate='tanh')"],
    *[F + "silu(x)", F + "softplus(x)", F + "softplus(x, 3, 1)", F + "elu(x)", F + "elu(x, 0.7)", "T.selu(x)", "T.celu(x, 0.5)"],
    *[F + "leaky_relu(x)", F + "leaky_relu(x, 0.3)", F + "leaky_relu(x, -0.3)", F + "leaky_relu(x, 2.0)", F + "hardtanh(x)"],
    *[F + "hardtanh(x, -0.2, 0.7)", F + "hardswish(x * 4)", F + "mish(x)", F + "logsigmoid(x)", F + "softsign(x)", F + "tanhshrink(x)"],
    *[F + "softshrink(x, 0.3)", F + "hardshrink(x)", "x.hardshrink(0.3)", "T.threshold(x, 0.1, 7.0)", F + "rrelu(x)"],
    *[F + "rrelu(x, 0.1, 0.4)"],
]
POSITIVE = [
    *["x.log()", "x.log2()", "x.log10()", "x.log1p()", "x.sqrt()", "x.rsqrt()", "x.reciprocal()", "2 / x", "x ** 0.5", "x ** -0.5"],
    *["x ** -1", "x ** -2", "x ** -3", "x ** 2.5", "x ** 1.7", "x.lgamma()", "x.digamma()", "T.xlogy(2, x)", "(x + 1).acosh()"],
    *["x.pow(0.3)"],
]
INSIDE = [
    *["x.asin()", "x.acos()", "x.atanh()", "x.erfinv()", "T.arcsin(x)", "T.logit(x / 4 + 0.5)", "T.logit(x / 4 + 0.5, 0.3)"],
]


@pytest.mark.parametrize("expression", ANYWHERE)
def test_one_operand(expression):
    same_gradients(expression, [(3, 5)])


@pytest.mark.parametrize("expression", POSITIVE)
def test_one_positive_operand(expression):
    same_gradients(expression.replace("x", "(x.exp() + 0.1)").replace("(x.exp() + 0.1)logy", "xlogy"), [(3, 4)])


@pytest.mark.parametrize("expression", INSIDE)
def test_one_operand_inside_the_unit_interval(expression):
    same_gradients(expression.replace("x", "(x.tanh() * 0.9)"), [(3, 4)])


TWO = [
    *["x + y", "x - y", "x * y", "x / y", "T.add(x, y, alpha=2)", "T.sub(x, y, alpha=-0.5)", "T.rsub(x, y)", "T.rsub(x, y, alpha=2)"],
    *["x % y", "T.fmod(x, y)", "T.div(x, y, rounding_mode='floor')", "T.div(x, y, rounding_mode='trunc')", "(x.abs() + 0.1) ** y"],
    *["T.atan2(x, y)", "T.hypot(x, y)", "T.copysign(x, y)", "T.logaddexp(x, y)", "T.logaddexp2(x, y)", "T.xlogy(x, y.exp())"],
    *["T.maximum(x, y)", "T.minimum(x, y)", "T.fmax(x, y)", "T.fmin(x, y)", "T.ldexp(x, y)", "T.where(x > y, x, y)", "x.where(x < y, y)"],
    *["x.clamp(y)", "x.clamp(max=y)", "x.clamp_min(y)", "x.clamp_max(y)", "x.clamp(y, y + 0.5)", "T.lerp(x, y, 0.3)"],
    *["T.lerp(x, y, 0.8)", "T.lerp(x, y, y)", "T.addcmul(x, y, y)", "T.addcmul(x, y, x, value=0.3)", "T.addcdiv(x, y, y + 7)"],
    *["T.addcdiv(x, y, x, value=2)"],
]


@pytest.mark.parametrize("shapes", [[(3, 4), (3, 4)], [(3, 4), (4,)], [(3, 1), (2, 1, 4)], [(), (3,)], [(2,), ()], [(0, 3), (3,)]])
@pytest.mark.parametrize("expression", TWO)
def test_two_operands_of_all_broadcast_shapes(expression, shapes):
    same_gradients(expression, shapes)


@pytest.mark.parametrize("channels", [1, 3])
def test_prelu(channels):
    same_gradients(F + "prelu(x, y)", [(2, 3, 4), (channels,)])


# ---------------------------------------------------------------- complex numbers
COMPLEX = [
    *["x + 2j", "x - y", "x * y", "x / y", "2 / x", "2 - x", "-x", "x ** 2", "x ** 3", "x ** -1", "x ** 0.5", "x ** 2.5"],
    *["x ** (1 + 2j)", "x ** y", "2 ** x", "(1 + 1j) ** x", "x.exp()", "x.exp2()", "x.expm1()", "x.log()", "x.log2()", "x.log10()"],
    *["x.log1p()", "x.sin()", "x.cos()", "x.tan()", "x.asin()", "x.acos()", "x.atan()", "x.sinh()", "x.cosh()", "x.tanh()", "x.asinh()"],
    *["x.acosh()", "x.atanh()", "x.sqrt()", "x.rsqrt()", "x.reciprocal()", "x.square()", "x.abs() + 0j", "x.angle() + 0j", "x.sgn()"],
    *["x.sinc()", "x.sigmoid()", "T.logaddexp(x, y)", "T.add(x, y, alpha=2j)", "T.sub(x, y, alpha=1 - 1j)", "T.lerp(x, y, 0.3)"],
    *["T.lerp(x, y, 0.2 + 0.1j)", "T.addcmul(x, y, y, value=2j)", "T.addcdiv(x, y, y, value=1j)", "T.where(x.abs() > 1, x, y)"],
    *["T.float_power(x, 2)", "x.clone().mul_(y)", "x.clone().zero_() + x"],
]


@pytest.mark.parametrize("expression", COMPLEX)
def test_complex_numbers(expression):
    # torch has formulas of its own for the second derivatives of abs, angle and sgn, equal but for rounding
    same_gradients(expression, [(2, 3), (2, 3)], "complex128")


@pytest.mark.parametrize("expression", ["(x * 2j + 1).abs()", "(x + y * 1j).abs()", "(x * 1j).abs()", "(1j * x).exp().abs() + x"])
def test_real_tensors_in_complex_operations(expression):
    same_gradients(expression, [(3,), (3,)])


# ---------------------------------------------------------------- special points
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 6.0, 20.0, 21.0, math.inf, -math.inf, math.nan]
AT_SPECIAL = [
    *["x.relu()", "x.abs()", "x.sgn()", "x.sign()", "x.sqrt()", "x.rsqrt()", "x.reciprocal()", "x.log()", "x.log1p()", "x ** 0"],
    *["x ** 1", "x ** 2", "x ** 3", "x ** -1", "x ** -2", "x ** 0.5", "x ** -0.5", "x ** 1.5", "0 ** x", "1 ** x", "2 ** x", "(-2) ** x"],
    *["x.sinc()", "x.erf()", "x.erfc()", "x.erfinv()", "x.lgamma()", "x.digamma()", "x.logit()", "x.logit(0.1)", "x.exp()", "x.expm1()"],
    *["x.tanh()", "x.sigmoid()", "x.asin()", "x.acos()", "x.atan()", "x.acosh()", "x.atanh()", "x.asinh()", "x.sinh()", "x.cosh()"],
    *["x.angle()", "x.floor()", "x.round()", "x.trunc()", "x.frac()", "x.nan_to_num()", "x.nan_to_num(1, 2, 3)", "x.clamp(0, 1)"],
    *["x.clamp(-1)", "x.clamp(max=2)", "x.clamp_min(0)", "x.clamp_max(0.5)", "x.clip(2, 1)", "x % 2", "x % -0.5", "T.fmod(x, 2)"],
    *["x / 0", "0 / x", "T.copysign(x, -1)", "T.xlogy(x, 0)", "T.xlogy(x, 2)", "T.xlogy(0, x)", "T.xlogy(2, x)"],
    *["x.clamp(T.tensor(float('nan')))", F + "relu6(x)", F + "hardtanh(x)", F + "hardswish(x)", F + "hardsigmoid(x)"],
    *[F + "softshrink(x)", F + "hardshrink(x)", F + "elu(x)", F + "celu(x, 2)", F + "selu(x)", F + "leaky_relu(x)"],
    *[F + "leaky_relu(x, 0)", F + "softplus(x)", F + "mish(x)", F + "silu(x)", F + "gelu(x)", F + "gelu(x, approximate='tanh')"],
    *[F + "logsigmoid(x)", F + "softsign(x)", F + "tanhshrink(x)", "T.threshold(x, 0, 1)", F + "rrelu(x)"],
    *[F + "prelu(x, T.tensor([0.5], dtype=T.float64))"],
]
# what torch computes in another order: the value or gradient is then inf where ours is nan or the other way round
AT_SPECIAL_TWO = [
    *["T.maximum(x, y)", "T.minimum(x, y)", "T.fmax(x, y)", "T.fmin(x, y)", "x.clamp(min=y)", "x.clamp(max=y)", "x.clamp(y, y)"],
    *["T.hypot(x, y)", "T.atan2(x, y)", "T.xlogy(x, y)", "T.logaddexp(x, y)", "T.copysign(x, y)", "x ** y", "x * y", "x / y"],
    *["T.div(x, y, rounding_mode='trunc')", "T.div(x, y, rounding_mode='floor')", "T.where(x > y, x, y)", "x + y", "x - y"],
]


def _at(expression, dtype, **points):
    """Values and first gradients (raw and recorded) at the given points on both sides."""
    results = []
    for library in (torch, ndgrad):
        leaves = {name: library.tensor(values, dtype=getattr(library, dtype), requires_grad=True) for name, values in points.items()}
        out = eval(expression, {"T": library, **leaves})
        for create in (False, True):
            grads = library.autograd.grad(out.sum(), list(leaves.values()), create_graph=create, retain_graph=True, allow_unused=True)
            results.append([array_of(out), *(np.zeros(1) if g is None else array_of(g) for g in grads)])
    return results


@pytest.mark.parametrize("expression", AT_SPECIAL)
def test_special_points_of_one_operand(expression):
    poles = [x not in (-1, -3, -math.inf) for x in SPECIAL]
    raw, recorded, our_raw, our_recorded = _at(expression, "float64", x=SPECIAL)
    for theirs, ours in ((raw, our_raw), (recorded, our_recorded)):
        for x, y, what in zip(theirs, ours, ("value", "gradient"), strict=True):
            if expression == "x.digamma()" and what == "gradient":
                # at its poles torch's trigamma is 1e32 and the like, and nan at minus infinity; ours is inf
                x, y = x[poles], y[poles]
            if expression == "x.logit(0.1)" and theirs is recorded:
                x, y = x[:-1], y[:-1]  # at nan torch's raw gradient is nan, as ours, and its recorded one 0
            # torch keeps 1 / 6 in single precision
            rtol = 1e-7 if "hardsigmoid" in expression else 1e-9
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-12, err_msg=f"{what} of {expression} at {SPECIAL}")


@pytest.mark.parametrize("expression", AT_SPECIAL_TWO)
def test_special_points_of_two_operands(expression):
    pairs = list(itertools.product(SPECIAL, SPECIAL))
    raw, recorded, our_raw, our_recorded = _at(expression, "float64", x=[x for x, _ in pairs], y=[y for _, y in pairs])
    for theirs, ours in ((raw, our_raw), (recorded, our_recorded)):
        for x, y, what in zip(theirs, ours, ("value", "gradient of x", "gradient of y"), strict=True):
            bad = [(pair, a, b) for pair, a, b in zip(pairs, x, y, strict=True) if not np.isclose(a, b, rtol=1e-9, equal_nan=True)]
            assert not bad, f"{what} of {expression} differs at {bad}"


COMPLEX_POINTS = [0j, 1 + 0j, -1 + 0j, 1j, -1j, 3 + 4j]


@pytest.mark.parametrize(
    "expression", ["x.abs()", "x.sgn()", "x.angle()", "x.sinc()", "x ** 0", "x ** 2", "x.sqrt()", "x.square()", "x * 0"]
)
def test_special_points_of_complex_numbers(expression):
    for point in COMPLEX_POINTS:
        if point == 0 and expression == "x.sqrt()":
            continue  # infinite in both, in different complex directions
        found = _at(f"(({expression}) * (2 - 1j)).abs() + ({expression}).angle()", "complex128", x=[point])
        for x, y in zip(found[0], found[2], strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12, err_msg=f"{expression} at {point}")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "expression", ["x.relu()", "x.clamp(0, 1)", F + "hardtanh(x)", F + "leaky_relu(x)", F + "hardshrink(x)", "T.where(x > 0, x, 0 * x)"]
)
def test_an_inactive_gradient_contaminates_nothing(expression, value):
    for library in (torch, ndgrad):
        x = library.tensor([-2.0, -0.1, 0.4, 2.0], requires_grad=True)
        out = eval(expression, {"T": library, "x": x})
        (g,) = library.autograd.grad(out, x, library.full((4,), value))
        if library is torch:
            expected = g.numpy()
    np.testing.assert_array_equal(g.numpy(), expected)


# ---------------------------------------------------------------- dtypes
ONE_DTYPE = [
    *["-x", "x.abs()", "x.sign()", "x.sgn()", "x.exp()", "x.exp2()", "x.log1p()", "x.sqrt()", "x.rsqrt()", "x.reciprocal()"],
    *["x.square()", "x.sin()", "x.tanh()", "x.asinh()", "x.erf()", "x.erfinv()", "x.lgamma()", "x.sinc()", "x.sigmoid()", "x.relu()"],
    *["x.floor()", "x.ceil()", "x.trunc()", "x.round()", "x.frac()", "x.nan_to_num()", "x.isnan()", "x.isinf()", "x.isfinite()"],
    *["x.isposinf()", "x.isneginf()", "x.isreal()", "x.signbit()", "x.logical_not()", "x.bitwise_not()", "x.angle()", "x.deg2rad()"],
    *["x.positive()", "x ** 2", "x ** 3", "x ** 0.5", "2 ** x", "2.0 ** x", "x + 1", "x + 1.5", "x + True", "x - 1", "1 - x", "x * 2.5"],
    *["x / 2", "2 / x", "x // 1", "x % 3", "x % 2.5", "x == 1", "x < 1.5", "x >= 0", "x & 1", "x | 3", "x ^ 2", "x << 1", "x >> 1"],
    *["1 << x", "x & True", "x.clamp(0, 1)", "x.clamp(0.5)", "x.clamp_max(1)", "T.where(x != 0, x, 1)", "T.where(x != 0, x, 1.5)"],
    *["x.logit()", "T.float_power(x, 2)", "T.copysign(x, -1)", "T.xlogy(x, 2)", "T.fmod(x, 2)", "T.div(x, 2, rounding_mode='floor')"],
    *["T.div(x, 2, rounding_mode='trunc')", "~x", "abs(x)", "x.expm1()", "x.digamma()", "x.round(decimals=1)", "T.fill(x, 1)"],
    *["x.hardshrink()", F + "gelu(x)", F + "silu(x)", F + "elu(x)", F + "leaky_relu(x)", F + "hardtanh(x)", F + "relu6(x)"],
    *[F + "softplus(x)", F + "mish(x)", F + "hardswish(x)", F + "hardsigmoid(x)", F + "logsigmoid(x)", F + "softsign(x)"],
    *[F + "tanhshrink(x)", F + "softshrink(x)", F + "hardshrink(x)", "T.threshold(x, 1, 2)", "T.celu(x)", "T.selu(x)"],
]


def _numbers(dtype):
    return f"T.tensor([0, 1, 1, 0, 1] if '{dtype}' == 'bool' else [0, 1, 2, 5, 3], dtype=T.{dtype})"


def _same(expression, dtype):
    coarse = {"float16": (2e-3, 2e-3), "float32": (2e-6, 1e-6), "complex64": (1e-5, 1e-6)}.get(dtype, (2e-6, 1e-6))
    theirs, their_error = evaluate(torch, expression)
    ours, our_error = evaluate(ndgrad, expression)
    if their_error is not None:
        assert our_error is not None, f"{expression}: torch raises {their_error!r}, ndgrad gives {ours!r}"
        assert isinstance(our_error, RuntimeError if isinstance(their_error, NotImplementedError) else type(their_error)), (
            f"{expression}: torch: {their_error!r}; ndgrad: {our_error!r}"
        )
        return
    if our_error is not None:
        raise AssertionError(f"{expression}: torch gives {theirs!r}, ndgrad raises {our_error!r}") from our_error
    same_value(theirs, ours, *coarse, where=expression)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("expression", ONE_DTYPE)
def test_every_dtype_of_one_operand(expression, dtype):
    _same(expression.replace("x", "¤").replace("e¤p", "exp").replace("¤logy", "xlogy").replace("¤", _numbers(dtype)), dtype)


TWO_DTYPES = [
    *["x + y", "x - y", "x * y", "x / y", "x ** y", "x // y", "x % y", "T.fmod(x, y)", "x == y", "x < y", "x & y", "x << y", "x >> y"],
    *["T.maximum(x, y)", "T.fmin(x, y)", "T.atan2(x, y)", "T.hypot(x, y)", "T.copysign(x, y)", "T.logaddexp(x, y)", "T.ldexp(x, y)"],
    *["T.where(x != 0, x, y)", "T.xlogy(x, y)", "T.heaviside(x, y)", "T.gcd(x, y)", "T.lcm(x, y)", "T.logical_xor(x, y)", "x.clamp(y)"],
    *["x.add_(y)", "x.mul_(y)", "x.div_(y)", "x.sub_(y)", "x.pow_(y)", "x.eq_(y)", "x.logical_and_(y)", "T.lerp(x, y, 0.5)"],
    *["T.isclose(x, y)", "T.addcmul(x, y, y)", "T.addcdiv(x, y, y)", "T.nextafter(x, y)", "T.float_power(x, y)", "T.add(x, y, alpha=2)"],
    *["T.equal(x, y)"],
]


@pytest.mark.parametrize("dtypes", list(itertools.product(DTYPES, DTYPES)))
def test_every_pair_of_dtypes(dtypes):
    failures = []
    for expression in TWO_DTYPES:
        if "ldexp" in expression and ("float16" in dtypes or dtypes[1] == "bool"):
            continue  # torch refuses some of these, such as bool exponents of floating tensors but not of integers
        first, second = (
            _numbers(dtypes[0]),
            _numbers(dtypes[1]).replace("[0, 1, 2, 5, 3]", "[1, 2, 1, 3, 2]").replace("[0, 1, 1, 0, 1]", "[1, 1, 1, 1, 1]"),
        )
        text = (
            expression.replace("ma¤", "max").replace("x", "¤").replace("ma¤imum", "maximum").replace("¤logy", "xlogy").replace("¤or", "xor")
        )
        text = (
            text.replace("lde¤p", "ldexp").replace("logadde¤p", "logaddexp").replace("ne¤t", "next").replace("y)", "¢)").replace(" y", " ¢")
        )
        text = text.replace("(y", "(¢").replace("¤", first).replace("¢", second)
        try:
            _same(text, "float16" if "float16" in dtypes else dtypes[0])
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)


# ---------------------------------------------------------------- forms of arguments and errors
FORMS = [
    *["T.add(2, r(3))", "T.mul(2, r(3))", "T.sub(2, r(3))", "T.div(2, r(3))", "T.eq(r(3), 1)", "r(3).eq(r(3))"],
    *["T.add(r(3), r(3), alpha=2)", "T.add(input=r(3), other=2)", "T.clamp(r(3), min=0)", "T.clamp(r(3), max=0)"],
    *["T.clamp(input=r(3), min=-1, max=1)", "r(3).clamp(None, 1)", "T.where(r(3) > 0, 1, 2)", "T.where(r(3) > 0, 1.0, 2)"],
    *["T.where(r(2, 1) > 0, r(3), r(1))", "T.where(t([1, 0], dtype=T.uint8), r(2), 0)", "T.allclose(r(3), r(3))", "T.equal(r(3), r(3))"],
    *["T.equal(r(3), r(4))", "T.isclose(t([1.0, float('nan')]), t([1.0, float('nan')]), equal_nan=True)", "T.not_equal(r(3), 0)"],
    *["T.greater(r(3), 0)", "T.less_equal(r(3), 0)", "T.true_divide(t([1, 2]), 2)", "T.divide(r(3), 2)", "T.subtract(r(3), 1)"],
    *["T.multiply(r(3), 2)", "T.absolute(r(3))", "T.negative(r(3))", "T.clip(r(3), 0, 1)", "T.arctan2(r(3), r(3))", "T.fix(r(3))"],
    *["T.exp(r(3), out=z(3))", "T.add(r(3), 1, out=z(3))", "T.clamp(r(3), 0, out=z(3))", "t([1], dtype=T.uint8) + 300"],
    *["t([44], dtype=T.uint8) == 300", "t([1], dtype=T.uint8) - 2", "t([1, 2]) ** t([-1, -1])", "t([-1]) ** t([-3])"],
    *["t([-8, 7]) // t([3, -3])", "T.div(t([-8, 7]), t([3, -3]), rounding_mode='trunc')", "T.fmod(t([-8, 7]), 3)", "t([-8, 7]) % 3"],
    *["t([1, 2]) << t([65, -1])", "t([-4, 4]) >> t([65, -1])", "t([2, 3], dtype=T.int32) << t([31, 32], dtype=T.int32)"],
    *["t([1, 2], dtype=T.uint8) << 9", "t([200], dtype=T.uint8) >> 1", "t(True) & t(1)", "t(3) // t(2.5)", "2.5 // t(2)"],
    *["2 % t([3, 5])", "r(3, 4).t() + 1", "r(3, 4).t() * r(3, 4).t()", "r(3, 4).t().exp()", "r(3, 4).t().sigmoid()"],
    *["r(2, 3, 4).transpose(0, 2).relu()", F + "silu(r(70, 300).t())", "T.erf(r(70, 300).t())", "T.sigmoid(r(70, 300).t())"],
    *[F + "silu(r(70, 300)[::2, ::3])", "r(3).float_power(2)", "r(3, dtype='float64').float_power_(2)", "r(3).pow_(2)", "r(3).sub_(1)"],
    *["r(3).sub_(r(3), alpha=0.5)", "r(3).add_(r(3), alpha=0.5)", "r(3).addcmul_(r(3), r(3), value=0.5)"],
    *["r(3).addcdiv_(r(3), r(3), value=0.5)", "r(3).lerp_(r(3), 0.1)", "t([5, 7]).div_(2, rounding_mode='floor')", "r(3).clamp_(0, 1)"],
    *["r(3).clamp_min_(0)", "r(3).zero_()", "r(3).fill_(2)", "r(3).fill_(t(2))", "z(1, dtype=T.uint8).fill_(-1)"],
    *["z(1, dtype=T.int8).fill_(2.7)", "z(1, dtype=T.int8).fill_(t(300))", "z(2, dtype=T.bool).fill_(2.5)", "r(3).abs_()", "r(3).neg_()"],
    *["r(3).sqrt_()", "r(3).relu_()", "r(3).sigmoid_()", "r(3).copysign_(-1)", "r(3).eq_(r(3))", "r(3).logical_not_()"],
    *["r(3).nan_to_num_()", "r(3).round_(decimals=1)", "r(3).xlogy_(2)", "r(3).hypot_(r(3))", "r(3).true_divide_(2)"],
    *["r(3).floor_divide_(2)", "T.relu_(r(3))", "T.exp_(r(3))", "T.selu_(r(3))", "T.zero_(r(3))", "T.fill_(r(3), 1)", F + "elu_(r(3))"],
    *[F + "leaky_relu_(r(3), 0.2)", "T.threshold_(r(3), 0, 1)", "T.celu_(r(3))", "T.clamp(t([1, 2]), 0.5)", "T.clamp(t([True]), 0, 1)"],
    *["t([1], dtype=T.uint8).clamp(-1, 1)", "T.digamma(t([0.0, -0.0, -1.0]))", "T.heaviside(t([float('nan'), 0, -1, 1]), t(5.0))"],
    *["T.polygamma(1, r(5).exp())", "T.polygamma(2, r(5).exp())", "r(5).exp().polygamma(1)", F + "hardsigmoid(r(5))"],
    *["T.lcm(t([-4, 0]), t([6, 6]))", "T.gcd(t([-4, 0]), t([6, 6]))", "T.round(t([0.5, 1.5, -0.5]))"],
    *["T.round(t([123.456]), decimals=-1)"],
]


@pytest.mark.parametrize("expression", FORMS)
def test_forms(expression):
    same_expression(expression, rtol=2e-6, atol=1e-7)


ERRORS = [
    *["t([True]) - t([True])", "t([True]) - t([1])", "1 - t([True])", "t([True]) - 1", "t([1]) - True", "-t([True])", "+t([True])"],
    *["t([1j]) < t([1j])", "t([1j]) >= 1", "t([1j]).clamp(0)", "t([1j]).floor()", "T.maximum(t([1j]), t([1j]))", "t([1j]).sign()"],
    *["t([1]) // 0", "t([1]) % 0", "T.fmod(t([1]), 0)", "t([1]) ** -1", "r(3) & 1", "r(3) << 1", "~r(3)", "abs(t([True]))"],
    *["r(2) + r(3)", "r(2) - r(3)", "T.where(r(2) > 0, r(3), 0)", "r(2) == r(3)", "T.where(r(2), r(2), r(2))"],
    *["T.where(t([1, 2]), r(2), r(2))", "T.div(r(3), 2, rounding_mode='up')", "T.clamp(r(3))", "T.isclose(r(3), t([1, 2, 3]))"],
    *["T.isclose(r(3), r(3), rtol=-1)", "T.allclose(r(3), r(3, dtype='float64'))", "T.lerp(r(3), r(3, dtype='float64'), 0.5)"],
    *["t([1]).add(t([1]), alpha=2.5)", "r(3).add(r(3), alpha=2j)", "T.heaviside(r(3), r(3, dtype='float64'))", "t([True]).relu()"],
    *["t([1j]).abs_()", "t([1]).add_(2.5)", "t([1]).div_(2)", "t([1]).mul_(r(1))", "r(3).add_(r(2, 3))", "r(1).expand(3).add_(1)"],
    *["r(1).expand(3).zero_()", "r(1).expand(3).addcmul_(r(3), r(3))", "r(1).expand(3).add_(r(3), alpha=0.5)", "r(1).expand(3).fill_(1)"],
    *["z(1, dtype=T.uint8).fill_(300)", "z(1).fill_(1j)", "z(1).fill_(1e300)", "z(1, dtype=T.int8).fill_(float('nan'))"],
    *["r(3).fill_(r(3))", "t([1], dtype=T.uint8).clamp(0, 300)", "r(3).float_power_(2)", "r(3) ** 'a'", "r(3) + 'a'", "r(3) + None"],
    *["r(3) < None", "T.sin('a')", "T.sin(2)", "T.add(r(3), 'a')", "r(3) + [1]", "r(3, grad=True).add_(1)", "r(3, grad=True).zero_()"],
    *["r(3, grad=True).fill_(1)", "r(3, grad=True).mul_(2)", "r(3, grad=True).relu_()", "T.exp(r(3, grad=True), out=z(3))"],
    *[F + "gelu(r(3), approximate='x')", F + "celu(r(3), 0)", F + "hardtanh(r(3), 1, -1)", F + "softshrink(r(3), -1)"],
    *[F + "prelu(r(2, 3), r(2))", F + "rrelu(r(3), 1, 0)", "T.isposinf(t([1j]))", "T.signbit(t([1j]))", "T.polygamma(-1, r(3))"],
    *["T.gcd(t([1]), 3)", "T.maximum(r(3), 2)", "T.equal(r(3), 2)", "T.sign(t([1j]))", "T.logit(t([1j]))", "t([1.5]) | 1"],
    *["T.hypot(t([1]), t([1]))", "T.autograd.grad((r(3, grad=True) // 2).sum(), [r(3)])"],
]


@pytest.mark.parametrize("expression", ERRORS)
def test_errors(expression):
    same_expression(expression)


@pytest.mark.parametrize("expression", ["x.floor_divide(2)", "T.heaviside(x, x)", "x // 0.7"])
def test_what_has_no_derivative_says_so(expression):
    for library in (torch, ndgrad):
        x = library.tensor([1.0, 2.0], requires_grad=True)
        out = eval(expression, {"T": library, "x": x})
        with pytest.raises(RuntimeError, match=r"derivative for aten::\w+ is not implemented"):
            out.sum().backward()


# ---------------------------------------------------------------- in place, recorded
IN_PLACE = [
    *["add_(y)", "add_(2)", "add_(y, alpha=3)", "sub_(y)", "mul_(y)", "mul_(3)", "div_(y)", "div_(y, rounding_mode='floor')", "pow_(2)"],
    *["pow_(y)", "addcmul_(y, y)", "addcdiv_(y, y, value=2)", "lerp_(y, 0.3)", "exp_()", "sin_()", "tanh_()", "sigmoid_()", "relu_()"],
    *["sqrt_()", "abs_()", "clamp_(0, 1)", "clamp_min_(0.3)", "neg_()", "reciprocal_()", "floor_()", "round_()", "zero_()", "fill_(2.0)"],
    *["square_()", "erf_()", "atan2_(y)", "hypot_(y)", "copysign_(y)", "xlogy_(y)", "remainder_(y)", "fmod_(y)", "ldexp_(y)"],
    *["nan_to_num_()", "logit_(0.1)", "sgn_()", "rsqrt_()", "log_()", "expm1_()", "frac_()", "trunc_()", "float_power_(2)"],
]


@pytest.mark.parametrize("call", IN_PLACE)
def test_in_place(call):
    results = []
    for library in (torch, ndgrad):
        x = library.tensor([[0.2, 0.7, 1.3], [0.4, 2.1, 0.9]], dtype=library.float64, requires_grad=True)
        y = library.tensor([0.6, 1.1, 0.5], dtype=library.float64, requires_grad=True)
        target = x * 1
        version = target._version
        found = eval(f"target.{call}", {"target": target, "y": y})
        assert found is target
        assert target._version == version + 1
        grads = library.autograd.grad((target * target + target).sum(), [x, y], allow_unused=True)
        results.append((target.grad_fn.name(), array_of(target), *(None if g is None else array_of(g) for g in grads)))
    assert results[0][0] == results[1][0]
    for theirs, ours in zip(results[0][1:], results[1][1:], strict=True):
        assert (theirs is None) == (ours is None)
        if theirs is not None:
            np.testing.assert_allclose(theirs, ours, rtol=1e-12)


# ---------------------------------------------------------------- single precision
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["erf", "sigmoid", "gelu", "gelu_tanh", "silu", "cube", "inverse_square"])
def test_accuracy(name, dtype):
    """A few units in the last place; in the left tails of GELU, where torch has no correct place left, a few of the operand's."""
    points = np.concatenate([np.linspace(-12, 12, 4001), np.geomspace(1e-10, 1, 501), -np.geomspace(1e-10, 1, 501)]).astype(dtype)
    functions = {
        "erf": lambda T, x: T.erf(x),
        "sigmoid": lambda T, x: T.sigmoid(x),
        "gelu": lambda T, x: T.nn.functional.gelu(x),
        "gelu_tanh": lambda T, x: T.nn.functional.gelu(x, approximate="tanh"),
        "silu": lambda T, x: T.nn.functional.silu(x),
        "cube": lambda T, x: x**3,
        "inverse_square": lambda T, x: x**-2,
    }
    points = points[points != 0]
    x = points.astype(np.longdouble)
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    exact = {
        "erf": lambda: special.erf(points.astype(np.float64)),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "gelu": lambda: x * special.ndtr(points.astype(np.float64)),
        "gelu_tanh": lambda: x / (1 + np.exp(-2 * inner)),
        "silu": lambda: x / (1 + np.exp(-x)),
        "cube": lambda: x**3,
        "inverse_square": lambda: x**-2,
    }[name]()
    ours = functions[name](ndgrad, ndgrad.from_numpy(points)).numpy()
    epsilon = np.finfo(dtype).eps
    allowed = 4 * epsilon * np.abs(exact) + np.where((points < -1) & ("gelu" in name), 4 * epsilon * np.abs(x), 0)
    wrong = np.abs(ours - exact) > allowed + np.finfo(dtype).tiny
    assert not wrong.any(), [
        (point, float(value), got) for point, value, got in zip(points[wrong], exact[wrong], ours[wrong], strict=True)
    ][:5]


def test_aliases_are_where_torch_has_them():
    names = [
        "absolute",
        "negative",
        "multiply",
        "divide",
        "subtract",
        "true_divide",
        "clip",
        "fix",
        "arcsin",
        "arccos",
        "arctan",
        "arctan2",
        "arcsinh",
        "arccosh",
        "arctanh",
        "greater",
        "less",
    ]
    names += ["greater_equal", "less_equal", "not_equal"]
    for name in names:
        assert hasattr(ndgrad, name), name
        assert hasattr(ndgrad.Tensor, name), name
        assert hasattr(ndgrad.Tensor, name + "_") == hasattr(torch.Tensor, name + "_"), name


def test_twins_are_where_torch_has_them():
    from ndgrad.ops import activations, arithmetic, binary, clamping, comparison, filling, powers, rounding, unary
    from ndgrad.ops.declare import table

    modules = (activations, arithmetic, binary, clamping, comparison, filling, powers, rounding, unary)
    own = {value for module in modules for value in vars(module).values() if callable(value)}
    for name, entry in table.items():
        if entry.method not in own and entry.function not in own:
            continue
        assert hasattr(ndgrad.Tensor, name) == hasattr(torch.Tensor, name), name
        assert hasattr(ndgrad, name) == hasattr(torch, name), name
        if not name.endswith("_"):
            assert hasattr(ndgrad.Tensor, name + "_") == hasattr(torch.Tensor, name + "_"), name + "_"
