"""Reductions, extremes, scans, sorting and softmaxes against torch: values, dtypes, strides, node names, gradients, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.sides import same_expression, same_gradients

X = "r(3, 4)"
DTYPES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64", "complex64"]
SHAPES = ["3, 4", "", "5", "0", "0, 3", "3, 0", "1", "2, 3, 4"]


# ---------------------------------------------------------------- every form of every reduction
FORMS = {
    "sum": [
        *["", "0", "-1", "0, True", "(0,)", "[0, -1]", "()", "dim=0", "axis=0", "axis=-1, keepdims=True", "keepdim=True, dim=-1"],
        *["dim=None"],
    ],
    "nansum": ["", "0", "-1, True", "[0, -1]"],
    "mean": ["", "0", "-1", "0, True", "[0, -1]", "()", "axis=0", "dim=-1, keepdim=True", "dtype=T.float64", "0, dtype=T.float32"],
    "nanmean": ["", "0", "-1, True"],
    "prod": ["", "0", "-1", "0, True", "dtype=T.float64", "0, dtype=T.int64"],
    "amax": ["", "0", "-1", "0, True", "(0, -1)", "()"],
    "amin": ["", "0", "-1", "0, True", "(0, -1)"],
    "argmax": ["", "0", "-1", "0, True", "keepdim=True"],
    "argmin": ["", "0", "-1", "0, True", "keepdim=True"],
    "max": ["", "0", "-1", "0, True", "dim=0, keepdim=True"],
    "min": ["", "0", "-1", "0, True"],
    "all": ["", "0", "-1, True", "(0, -1)"],
    "any": ["", "0", "-1, True", "(0, -1)"],
    "count_nonzero": ["", "0", "-1", "(0, -1)"],
    "var": [
        *["", "0", "-1, True", "0, False, True", "False", "unbiased=False", "dim=0, correction=0", "correction=2"],
        *["dim=-1, keepdim=True", "[]"],
    ],
    "std": ["", "0", "-1, False", "True", "unbiased=True", "dim=0, correction=0, keepdim=True"],
    "logsumexp": ["0", "-1", "0, True", "(0, -1)"],
    "softmax": ["0", "-1", "dim=0, dtype=T.float64", "1"],
    "log_softmax": ["0", "-1", "dim=0, dtype=T.float64", "1"],
    "cumsum": ["0", "-1", "dim=0", "0, dtype=T.float64"],
    "cumprod": ["0", "-1", "dim=0", "0, dtype=T.float64"],
    "logcumsumexp": ["0", "-1"],
    "cummax": ["0", "-1"],
    "cummin": ["0", "-1"],
    "sort": ["", "0", "-1", "0, True", "descending=True", "stable=True, dim=0", "dim=-1, descending=True, stable=True"],
    "argsort": ["", "0", "-1, True", "descending=True, stable=True", "stable=True"],
    "msort": [""],
    "median": ["", "0", "-1, True"],
    "nanmedian": ["", "0", "-1, True"],
    "mode": ["", "0", "-1, True"],
    "norm": [
        *["", "1", "0", "T.inf", "-T.inf", "3", "2.5", "0.5", "-1", "1.5", "'fro'", "2, 0", "2, -1, True", "dim=(0, -1)", "p=1, dim=0"],
        *["dtype=T.float64"],
    ],
    "diff": ["", "2", "dim=0", "0", "7"],
}
FORMS["min"] += ["dim=0"]


def random(dtype, shape):
    """An expression for numbers of the dtype, with ties where it is an integer type."""
    if "0" in shape:
        return f"z({shape})"
    if dtype in ("float16", "float32", "float64", "complex64"):
        return f"r({shape}{', ' if shape else ''}dtype={dtype!r})"
    return f"(r({shape}) * 2).abs().to(T.{dtype})"


CALLS = [(name, arguments) for name, forms in FORMS.items() for arguments in forms]


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_forms(name, arguments):
    """On every dtype, and for float32 on every shape: the same result, or the same error."""
    loose = {"rtol": 2e-3, "atol": 2e-3}
    for dtype in DTYPES:
        same_expression(f"{random(dtype, '3, 4')}.{name}({arguments})", **(loose if dtype == "float16" else {}))
    for shape in SHAPES:
        same_expression(f"{random('float32', shape)}.{name}({arguments})")
        same_expression(f"T.{name}({random('float32', shape)}{', ' if arguments else ''}{arguments})")
    same_expression(f"r(3, 4, 2).permute(2, 0, 1).{name}({arguments})", strides=name in ("sum", "mean", "amax", "var"))


@pytest.mark.parametrize("name", [
    *["sum", "mean", "prod", "var", "softmax", "max", "argmax", "cumsum", "sort", "median", "logsumexp", "norm", "all"]],
)
@pytest.mark.parametrize("dim", ["2", "-3", "'a'", "1.5"])
def test_wrong_dims(name, dim):
    theirs, ours = (_error(library, f"r(3, 4).{name}(dim={dim})") for library in (torch, ndgrad))
    assert type(theirs) is type(ours), (theirs, ours)
    if isinstance(theirs, IndexError):
        assert str(theirs) == str(ours)


def _error(library, expression):
    from tests.oracle.sides import evaluate

    value, error = evaluate(library, expression)
    assert error is not None, value
    return error


EXPRESSIONS = [
    *["T.aminmax(r(3, 4))", "T.aminmax(r(3, 4), dim=0)", "T.aminmax(r(3, 4), dim=1, keepdim=True)", "T.aminmax(z(0))"],
    *["T.aminmax(z(0, 3), dim=0)"],
    *["T.aminmax(r(3, dtype='complex64'))", "T.max(r(3, 4), r(4))", "T.min(r(3), other=r(3, 1))", "T.max(r(3), T.arange(3))"],
    *["r(3, 4).max(r(4))"],
    *["T.var_mean(r(3, 4))", "T.var_mean(r(3, 4), 0)", "T.std_mean(r(3, 4), 1, False)"],
    *["T.std_mean(r(3, 4), [0, 1], keepdim=True, correction=0)"],
    *["T.var_mean(r(3, dtype='complex64'))", "T.var_mean(t([1, 2]))", "T.dist(r(3), r(3, seed=1))", "T.dist(r(3, 4), r(4), 1)"],
    *["T.dist(r(3), r(3, seed=1), T.inf)", "T.dist(r(3, dtype='complex64'), r(3), 3)", "T.dist(r(3), r(4))"],
    *["r(3, 4).topk(2)", "r(3, 4).topk(2, 0, False)", "r(3, 4).topk(5)", "r(3, 4).topk(-1)", "r().topk(1)", "r(3, 4).topk(0)"],
    *["r(3, 40).topk(3)"],
    *["r(3, 40).topk(3, largest=False)", "r(40, 3).topk(2, 0)", "t([1, 5, 3]).topk(2)", "r(3, 4).topk(2, 5)"],
    *["r(3, dtype='complex64').topk(1)"],
    *["r(3, 4).kthvalue(2)", "r(3, 4).kthvalue(2, 0, True)", "r(3, 4).kthvalue(0)", "r(3, 4).kthvalue(5)", "r().kthvalue(1)"],
    *["z(0).kthvalue(1)"],
    *["z(0).mode()", "z(0).median()", "z(0, 3).median(0)", "z(0, 3).median(1)", "t([True, False]).median()"],
    *["t([1., T.nan, 3.]).median(0)"],
    *["t([1., T.nan, 3., 2.]).nanmedian()", "t([1., T.nan, 3., 2.]).nanmedian(0)", "t([T.nan, T.nan]).nanmedian(0)"],
    *["t([1., T.nan, 3.]).median()"],
    *["t([1., T.nan, 3., 2.]).sort()", "t([1., T.nan, 3., 2.]).sort(descending=True)", "t([1., T.nan, 3., 2.]).topk(2)"],
    *["r(3, dtype='complex64').sort()"],
    *["t([1., T.nan, 3., T.nan]).max(0)", "t([1., T.nan, 3., T.nan]).min(0)", "t([1., T.nan]).max()", "t([1., T.nan]).amin()"],
    *["t([1., T.nan]).argmax()"],
    *["t([1., T.nan, 3., T.nan, 1., 5.]).cummax(0)", "t([1., 3., 3., 2., 5.]).cummax(0)", "t([1., 3., 1., 1., 5.]).cummin(0)"],
    *["t([1., 3., 3., 1., 5.]).mode()", "t([3., 3., 1., 1., 5., 1.]).mode()", "t([1, 1, 2, 2, 2, 3, 3, 3]).sort(descending=True)"],
    *["t([1, 3, 3, 1, 3]).sort(stable=True)", "t([[2, 1], [1, 2]]).sort(0)", "t([True, False, True]).sort()"],
    *["t([True, False, True]).argsort()"],
    *["r(3, 4).quantile(.5)", "r(3, 4).quantile(.3, 0)", "r(3, 4).quantile(.3, 1, True)", "r(3, 4).quantile(t([.1, .5]), 1)"],
    *["r(2, 3, 4).quantile(t([.1, .5]), 1)"],
    *["r(2, 3, 4).quantile(t([.1, .5, .9]), 0, True)", "r(3, 4).quantile(t([.1, .5]))", "r(3, 4).quantile(t([.1]), keepdim=True)"],
    *["r(5).quantile(0.)", "r(5).quantile(1.)"],
    *[f"r(3, 4).quantile(.37, 1, interpolation={how!r})" for how in ("linear", "lower", "higher", "midpoint", "nearest", "other")],
    *["r(3, 4).quantile(1.5)", "r(3, 4).quantile(t([.5, 2.]))", "t([1, 2]).quantile(.5)"],
    *["r(3).quantile(T.tensor(.5, dtype=T.float64))", "z(0).quantile(.5)"],
    *["t([1., T.nan, 3.]).quantile(.5)", "t([1., T.nan, 3.]).nanquantile(.5)", "t([[1., T.nan], [2., 3.]]).nanquantile(.5, 1)"],
    *["t([T.nan, T.nan]).nanquantile(.5)"],
    *["r().quantile(.5)", "r().quantile(.5, 0)", "r(3).quantile(1)"],
    *["T.unique(t([3, 1, 2, 1]))", "T.unique(t([3, 1, 2, 1]), return_inverse=True, return_counts=True)"],
    *["T.unique(t([[3, 1], [3, 1], [1, 2]]), dim=0, return_inverse=True)"],
    *["T.unique(t([[3, 1, 3], [3, 1, 3]]), dim=1, return_counts=True)", "T.unique(t([T.nan, 1., T.nan]))", "T.unique(z(0))"],
    *["T.unique(t([[1., 2.], [2., 1.]]), return_inverse=True)"],
    *["T.unique(t([True, False, True]), return_counts=True)"],
    *["T.unique_consecutive(t([3, 3, 1, 2, 2, 1]), return_inverse=True, return_counts=True)"],
    *["T.unique_consecutive(t([[1, 1], [2, 2]]))"],
    *["T.unique_consecutive(t([[3, 3], [3, 3], [1, 2]]), dim=0, return_counts=True)", "t([1, 1, 2]).unique(return_counts=True)"],
    *["T.unique_consecutive(z(0))"],
    *["T.bincount(t([1, 2, 2]))", "T.bincount(t([1, 2, 2]), t([.5, 1., 2.]), 6)", "T.bincount(t([-1]))", "T.bincount(t([1.]))"],
    *["T.bincount(t([[1]]))", "T.bincount(z(0).long())"],
    *["T.bincount(t([1, 2]), t([1, 2]))", "T.bincount(t([1, 2]), t([1.]))", "T.bincount(t([1, 2]), minlength=-1)"],
    *["T.histc(t([1., 2., 1.]), 4, 0, 3)", "T.histc(t([1., 2., 1.]), bins=4)", "T.histc(t([1, 2]))", "T.histc(r(50), 7)"],
    *["T.histc(t([1.]), bins=0)", "T.histc(t([1.]), 4, 3, 0)"],
    *["T.histc(t([1., 1.]), 4)", "T.histc(t([1., T.nan, 2.]), 4, 0, 3)", "T.histc(t([1., T.inf]), 4)", "r(4, 5).histc(3, -1, 1)"],
    *["T.diff(t([True, False, False]))", "T.diff(r(2, 3), prepend=r(2, 1))", "T.diff(r(2, 3), append=r(2, 2), dim=1)", "T.diff(r())"],
    *["T.diff(r(3), n=-1)", "T.diff(r(2, 3), prepend=r(2))"],
    *["T.cov(r(3, 5))", "T.cov(r(3, 5), correction=0)", "T.cov(r(5))", "T.cov(r(3, 5), fweights=t([1, 2, 1, 1, 3]))"],
    *["T.cov(r(3, 5), aweights=r(5).abs())", "T.cov(r(3, 5, dtype='complex64'))"],
    *["T.cov(r(2, 3, 4))", "T.cov(r(3, 5), fweights=t([1, 2]))", "T.corrcoef(r(3, 5))", "T.corrcoef(r(5))"],
    *["T.corrcoef(r(3, 5, dtype='complex64'))", "T.corrcoef(r(2, 3, 4))"],
    *["T.trapezoid(r(3, 4))", "T.trapezoid(r(3, 4), dim=0)", "T.trapezoid(r(3, 4), dx=2.)", "T.trapezoid(r(3, 4), r(4))"],
    *["T.trapezoid(r(3, 4), r(3, 4))", "T.trapz(r(3))", "T.trapezoid(t([1, 2, 3]))"],
    *["T.cumulative_trapezoid(r(3, 4))", "T.cumulative_trapezoid(r(3, 4), r(4))", "T.cumulative_trapezoid(r(3, 4), dx=.5, dim=0)"],
    *["T.trapezoid(r(3, 1))", "T.trapezoid(r(3), r(4))"],
    *[f"T.linalg.vector_norm(r(3, 4), {p})" for p in (0, 1, 2, 3, -1, 0.5, 1.5, "T.inf", "-T.inf")],
    *["T.linalg.vector_norm(r(3, 4), 3, (0, 1), True)", "T.linalg.vector_norm(r(3, 4), dim=1)", "T.linalg.vector_norm(t([1, 2]))"],
    *["T.linalg.vector_norm(r(3, dtype='complex64'))"],
    *["T.linalg.norm(r(3, 4))", "T.linalg.norm(r(4), 1)", "T.linalg.norm(r(3, 4), 'fro')", "T.linalg.norm(r(3, 4), 1)"],
    *["T.linalg.norm(r(3, 4), -1)", "T.linalg.norm(r(3, 4), T.inf)"],
    *["T.linalg.norm(r(2, 3, 4), T.inf, (0, 2))", "T.linalg.norm(r(2, 3, 4), 1, (2, 0), True)"],
    *["T.linalg.norm(r(2, 3, 4), -T.inf, (-1, -2))", "T.linalg.norm(r(3, 4), 0)", "T.linalg.norm(r(3, 4), 3)"],
    *["T.linalg.norm(r(2, 3, 4), 2)", "T.linalg.norm(r(3, 4), 2, 1)", "T.linalg.matrix_norm(r(2, 3, 4))", "T.linalg.matrix_norm(r(3))"],
    *["T.linalg.matrix_norm(r(3, 4), 'foo')", "T.norm(r(3, 4), 'foo')"],
    *["z(2, 0).norm(T.inf)", "z(2, 0).norm(-1)", "z(0, 2).norm(-T.inf, 0)", "z(2, 0).norm(T.inf, 0)", "z(0).sum()", "z(0).mean()"],
    *["z(0).prod()", "z(0).var()"],
    *["T.sum(r(3), dtype=T.int64)", "T.sum(t([1.5, 2.5]), dtype=T.int32)", "t([300], dtype=T.int16).sum()"],
    *["t([1, 2]).sum(dtype=T.float16)", "r(3).sum(dtype=T.complex64)"],
    *["T.sum(t([200, 100], dtype=T.uint8))", "r(3, dtype='complex64').sum(dtype=T.float32)", "T.mean(t([1, 2]))", "T.mean(t([True]))"],
    *["T.mean(r(3), dtype=T.int64)"],
    *["t([[-T.inf, -T.inf], [0., -T.inf]]).softmax(1)", "t([[-T.inf, -T.inf], [0., -T.inf]]).log_softmax(1)"],
    *["t([[-T.inf, -T.inf], [0., T.inf]]).logsumexp(1)", "t([T.inf, 1.]).softmax(0)"],
    *["(r(50) * 100).softmax(0)", "(r(50) * 100).log_softmax(0)", "(r(50) * 1000).logsumexp(0)", "(r(50) * 100).logcumsumexp(0)"],
    *["r(70, 70).cumsum(0)", "r(70, 70).cumprod(0)", "r(70, 70).cummax(0)"],
    *["r(3).cumsum_(0)", "r(3).cumprod_(0)", "r(3, 4).t().cumsum(0)", "r(3, 4).t().softmax(0)", "r(3, 4).t().sort(0)"],
    *["r(3, 4)[:, ::2].sum(1)", "r(2, 3, 4).transpose(0, 2).sum(0)"],
    *["T.sum(r(3, 4), 1, out=T.empty(3))", "T.max(r(3, 4), 1, out=(T.empty(3), T.empty(3, dtype=T.int64)))"],
    *["T.softmax(r(3), 0, out=T.empty(3))", "T.sort(r(3), out=(z(3), z(3).long()))"],
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression):
    same_expression(expression, strides="permute" not in expression and "quantile" not in expression, rtol=3e-5, atol=3e-6)


# ---------------------------------------------------------------- gradients
GRADIENTS = [
    *[f"x.{name}({arguments})" for name in ("sum", "mean", "prod", "amax", "logsumexp") for arguments in ("0", "1, True", "-1")],
    *[f"x.{name}()" for name in ("sum", "mean", "prod", "max", "min", "amax", "amin", "median")],
    *[f"x.{name}()" for name in ("nanmedian", "var", "std", "norm", "nansum", "nanmean")],
    *["x.sum((0, 1), True)", "x.nansum(1)", "x.nanmean(0)", "x.amin((0, 1))", "x.var(0)", "x.var(1, False, True)", "x.std(0)"],
    *["x.std(correction=0)", "x.std(1, keepdim=True)"],
    *["T.var_mean(x)[0]", "T.var_mean(x, 0)[1]", "T.std_mean(x, 1)[0]", "T.std_mean(x)[1]", "sum(T.var_mean(x, 1))"],
    *["sum(T.std_mean(x, 0))", "sum(T.aminmax(x))", "T.aminmax(x, dim=1)[0]"],
    *["x.max(1)[0]", "x.min(0, True)[0]", "x.median(1)[0]", "x.nanmedian(0)[0]", "x.mode(1)[0]", "x.kthvalue(2)[0]"],
    *["x.kthvalue(2, 0, True)[0]", "x.topk(2)[0]", "x.topk(2, 0, False)[0]"],
    *["x.sort()[0]", "x.sort(0, True)[0]", "x.sort(stable=True)[0]", "T.msort(x)", "x.cumsum(0)", "x.cumsum(1)", "x.cumprod(0)"],
    *["x.cumprod(1)", "x.cummax(0)[0]", "x.cummin(1)[0]"],
    *["x.logcumsumexp(0)", "x.logcumsumexp(1)", "x.softmax(0)", "x.softmax(1)", "x.log_softmax(0)", "x.log_softmax(1)"],
    *["x.softmax(1, T.float64)", "x.logsumexp((0, 1))"],
    *[f"x.norm({p})" for p in (0, 0.5, 1, 1.5, 2, 3, 4.5, -1, "T.inf", "-T.inf")],
    *[f"x.norm({p}, 1)" for p in (0, 0.5, 1, 1.5, 2, 3, "T.inf")],
    *["T.linalg.norm(x, 1)", "T.linalg.norm(x, T.inf)", "T.linalg.norm(x, 'fro')", "T.linalg.norm(x, -1, (1, 0), True)"],
]
COMPLEX = [
    *["x.sum()", "x.sum(0)", "x.mean()", "x.mean(1, True)", "x.prod()", "x.prod(1)", "x.cumsum(1)", "x.cumprod(0)", "x.logsumexp(1)"],
    *["x.logcumsumexp(1)"],
    *["T.var_mean(x)[1]", "T.std_mean(x, 0)[1]"],
    *[f"x.{form}.to(T.complex128)" for form in ("var()", "std(1)", "norm()", "norm(1)", "norm(3, 1)", "norm(1.5)")],
    *[f"x.{form}.to(T.complex128)" for form in ("norm(T.inf)", "norm(0.5, 0)")],
]
# a second derivative of these would be one of sgn, which torch gives as a tensor of zeros that NumPy cannot see
PIECEWISE = ("(1)", "(1, 1)", "T.inf)", "T.inf, 1)", "norm(x, 1)", "norm(x, -1, (1, 0), True)", "(x, y, 1)")


OF_NUMBERS = [f"x.{name}(0)" for name in ("sum", "prod", "cumsum", "cumprod", "softmax", "log_softmax")]
OF_NUMBERS += ["x.sort()[0]", "x.norm()", "x.max()"]


@pytest.mark.parametrize("expression", GRADIENTS)
def test_gradients(expression):
    second = not ("norm" in expression and expression.endswith(PIECEWISE))
    same_gradients(expression, [(3, 4)], second=second)
    if not any(part in expression for part in (", 1", "(1", "linalg", "(0, 1)", "=1")):
        same_gradients(expression, [(5,)], second=second)
    if expression in OF_NUMBERS:
        same_gradients(expression, [()])


@pytest.mark.parametrize("expression", COMPLEX)
def test_complex_gradients(expression):
    same_gradients(expression, [(3, 4)], "complex128", second="norm(1)" not in expression and "inf" not in expression)


@pytest.mark.parametrize("expression", [
    *["T.dist(x, y)", "T.dist(x, y, 1)", "T.dist(x, y, 3)", "T.dist(x, y, T.inf)", "T.max(x, y)", "T.min(x, y)"]],
)
def test_gradients_of_two(expression):
    second = not expression.endswith(PIECEWISE)
    same_gradients(expression, [(3, 4), (3, 4)], second=second)
    same_gradients(expression, [(3, 4), (4,)], second=second)


COMPOSED = [
    *["x.quantile(.3)", "x.quantile(.3, 0, True)", "x.nanquantile(.7, 1)", "x.quantile(.37, 1, interpolation='lower')", "T.diff(x)"],
    *["T.diff(x, 2, 0)", "T.cov(x)", "T.corrcoef(x)"],
    *["T.trapezoid(x)", "T.trapezoid(x, dx=2., dim=0)", "T.cumulative_trapezoid(x)"],
]


@pytest.mark.parametrize("expression", COMPOSED)
def test_gradients_of_compositions(expression):
    same_gradients(expression, [(3, 4)], names=False, strides=False)


# ---------------------------------------------------------------- special points
POINTS = {
    "one zero": [2.0, 0.0, 3.0],
    "two zeros": [0.0, 2.0, 0.0],
    "three zeros": [0.0, 0.0, 0.0],
    "a tie": [1.0, 2.0, 2.0],
    "all equal": [2.0, 2.0, 2.0],
    "negative": [-1.0, 0.0, 1.0],
    "minus infinity": [-math.inf, 0.0, 1.0],
    "nan": [1.0, math.nan, 2.0],
    "one": [3.0],
}
AT_POINTS = [
    *["x.prod()", "x.prod(0)", "x.cumprod(0)", "x.max()", "x.min()", "x.amax()", "x.amin(0)", "x.max(0)[0]", "x.min(0)[0]"],
    *["sum(T.aminmax(x))", "x.median()", "x.median(0)[0]"],
    *["x.std(correction=0)", "x.std(0, correction=0)", "x.var(correction=0)", "T.std_mean(x, correction=0)[0]", "x.norm()", "x.norm(1)"],
    *["x.norm(T.inf)", "x.norm(-T.inf)", "x.norm(3)"],
    *["x.norm(1.5)", "x.norm(2, 0)", "T.dist(x, x.detach())", "x.logsumexp(0)", "x.softmax(0)", "x.log_softmax(0)", "x.cummax(0)[0]"],
    *["x.cummin(0)[0]", "x.nansum()", "x.sort()[0]"],
    *["x.mode()[0]", "T.max(x, x.detach())", "x.topk(1)[0]", "x.logcumsumexp(0)", "x.nanmedian()", "x.nanmean()"],
]


@pytest.mark.parametrize("expression", AT_POINTS)
def test_gradients_at_special_points(expression):
    for where, numbers in POINTS.items():
        results = []
        for library in (torch, ndgrad):
            x = library.tensor(numbers, dtype=library.float64, requires_grad=True)
            out = eval(expression, {"T": library, "x": x})
            seeds = library.tensor(np.arange(1.0, out.numel() + 1).reshape(tuple(out.shape)), dtype=library.float64)
            (g,) = library.autograd.grad(out, x, seeds)
            results.append(g.tolist())
        if where == "minus infinity" and expression in ("x.logcumsumexp(0)", "x.cumprod(0)"):
            continue  # inf * 0 in one order of the factors and not in another
        if where == "nan":
            continue  # a nan operand may have any gradient: that it does not raise is all there is to test
        np.testing.assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-15, err_msg=f"{expression} at {where}")


@pytest.mark.parametrize("numbers", [[2.0, 0.0, 3.0], [0.0, 2.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
@pytest.mark.parametrize("expression", ["x.prod()", "x.prod(0)", "x.cumprod(0)"])
def test_products_of_zeros_have_second_derivatives(expression, numbers):
    results = []
    for library in (torch, ndgrad):
        x = library.tensor(numbers, dtype=library.float64, requires_grad=True)
        out = eval(expression, {"T": library, "x": x})
        (g,) = library.autograd.grad(out.sum(), x, create_graph=True)
        (second,) = library.autograd.grad((g * library.arange(1.0, len(numbers) + 1).to(library.float64)).sum(), x)
        results.append((g.tolist(), second.tolist()))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


# ---------------------------------------------------------------- what is printed
@pytest.mark.parametrize(
    "expression",
    ["r(3, 4).max(1)", "r(3, 4).min(0)", "r(3).sort()", "r(3).topk(2)", "r(3, 4).median(1)", "r(3).mode()", "r(3).kthvalue(1)",
     "r(3).cummax(0)", "T.aminmax(r(3))",
     "r(3, grad=True).max(0)", "r(3).nanmedian(0)", "r(3).cummin(0)"],
)  # fmt: skip
def test_named_results_print_alike(expression):
    from tests.oracle.sides import environment

    theirs, ours = (eval(expression, environment(library)) for library in (torch, ndgrad))
    assert repr(theirs) == repr(ours)
    assert type(theirs).__name__ == type(ours).__name__
    assert theirs.n_fields == ours.n_fields
    assert isinstance(ours, tuple)


def test_warnings_of_too_few_elements():
    for library in (torch, ndgrad):
        with pytest.warns(UserWarning, match=r"^std\(\): degrees of freedom is <= 0\. Correction should be strictly less than"):
            assert math.isnan(library.tensor([1.0]).std().item())
        with pytest.warns(UserWarning, match=r"^var\(\): degrees of freedom is <= 0"):
            assert math.isinf(library.tensor([1.0, 2.0]).var(correction=3).item())
