"""Reductions, scans and sorting by closed forms: what the comparison with torch covers, where torch is not installed."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import ndgrad
from ndgrad.kernels import ordering, scans
from ndgrad.kernels.softmaxes import log_softmax, softmax


def leaf(numbers):
    return ndgrad.tensor(numbers, dtype=ndgrad.float64, requires_grad=True)


def gradient(out, x):
    return ndgrad.autograd.grad(out.sum() if out.ndim else out, x)[0].tolist()


# ---------------------------------------------------------------- values
def test_sums_of_integers_are_int64():
    for kind in (ndgrad.uint8, ndgrad.int32, ndgrad.bool):
        out = ndgrad.ones(300, dtype=kind).sum()
        assert out.dtype is ndgrad.int64
        assert out.item() == 300


def test_dims_in_every_form():
    x = ndgrad.arange(24.0).reshape(2, 3, 4)
    expected = np.arange(24.0).reshape(2, 3, 4)
    assert x.sum((0, -1)).tolist() == expected.sum((0, 2)).tolist()
    assert x.sum(axis=1, keepdims=True).tolist() == expected.sum(1, keepdims=True).tolist()
    assert x.sum(()).item() == 276
    assert x.mean([1]).tolist() == expected.mean(1).tolist()
    with pytest.raises(IndexError, match=r"^Dimension out of range \(expected to be in range of \[-3, 2\], but got 3\)"):
        x.sum(3)
    with pytest.raises(RuntimeError, match="appears multiple times"):
        x.sum((0, 0))
    with pytest.raises(TypeError, match="invalid combination"):
        x.sum("a")


def test_an_array_is_no_tensor():
    with pytest.raises(TypeError, match=r"^sum\(\): argument 'input' \(position 1\) must be Tensor, not numpy.ndarray.*from_numpy"):
        ndgrad.sum(np.ones(3))


def test_long_sums_keep_their_digits():
    x = ndgrad.full((1_000_000,), 0.1)
    assert x.sum().item() == pytest.approx(100_000, rel=1e-6)
    assert x.cumsum(0)[-1].item() == pytest.approx(100_000, rel=1e-6)
    assert x.half()[:60_000].mean().item() == pytest.approx(0.1, rel=1e-3)


def test_variance_of_large_numbers():
    x = ndgrad.tensor([1e8 + 1, 1e8 + 2, 1e8 + 3], dtype=ndgrad.float64)
    assert x.var().item() == 1
    assert x.var(correction=0).item() == pytest.approx(2 / 3)
    assert [part.item() for part in ndgrad.std_mean(x)] == [1, 1e8 + 2]


def test_named_results():
    out = ndgrad.tensor([[1.0, 3.0], [4.0, 2.0]]).max(1)
    assert repr(out) == "torch.return_types.max(\nvalues=tensor([3., 4.]),\nindices=tensor([1, 0]))"
    values, positions = out
    assert out.values is values
    assert out.indices is positions
    assert type(out)([values, positions]) == out
    with pytest.raises(TypeError, match="takes a 2-sequence"):
        type(out)([values])
    again = pickle.loads(pickle.dumps(out))
    assert type(again) is type(out)
    assert again.indices.tolist() == [1, 0]


def test_softmax_of_extremes():
    assert softmax(np.array([1000.0, 0.0]), 0).tolist() == [1, 0]
    assert log_softmax(np.array([-1000.0, 0.0]), 0).tolist() == [-1000, 0]
    assert all(math.isnan(value) for value in ndgrad.tensor([-math.inf, -math.inf]).softmax(0).tolist())
    assert ndgrad.tensor([-math.inf, -math.inf]).logsumexp(0).item() == -math.inf
    # more columns than BLAS is given
    wide = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    np.testing.assert_allclose(softmax(wide, 1).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 70), (70, 3), (4, 5, 80)])
@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums(shape, reverse):
    x = np.random.default_rng(0).standard_normal(shape)
    for axis in range(len(shape)):
        expected = np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)
        np.testing.assert_allclose(scans.running(np.add, x, axis, reverse=reverse), expected, rtol=1e-12, atol=1e-12)


def test_recurrence():
    h, a = np.array([1.0, 2.0, 3.0]), np.array([9.0, 0.5, 2.0])
    assert scans.recurrence(h, a, 0).tolist() == [1, 2.5, 8]
    assert scans.recurrence(h, a, 0, reverse=True).tolist() == [1 + 9 * 3.5, 3.5, 3]
    assert scans.shifted(h, 0, 1).tolist() == [0, 1, 2]
    assert scans.shifted(h, 0, -1).tolist() == [2, 3, 0]


def test_sorting_is_stable_both_ways():
    x = np.array([2.0, 1.0, 2.0, np.nan, 1.0])
    assert ordering.stable_order(x, 0, False).tolist() == [1, 4, 0, 2, 3]
    assert ordering.stable_order(x, 0, True).tolist() == [3, 0, 2, 1, 4]


@pytest.mark.parametrize("largest", [True, False])
def test_the_first_few_of_many(largest):
    x = np.random.default_rng(0).permutation(1000).astype(np.float64).reshape(2, 500)
    values, positions = ordering.top(x, 3, 1, largest)
    expected = np.sort(x, 1)[:, ::-1][:, :3] if largest else np.sort(x, 1)[:, :3]
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(np.take_along_axis(x, positions, 1), expected)


def test_medians_modes_and_ranks():
    assert ndgrad.tensor([4.0, 1.0, 3.0, 2.0]).median().item() == 2
    assert math.isnan(ndgrad.tensor([1.0, math.nan]).median().item())
    assert ndgrad.tensor([1.0, math.nan, 3.0]).nanmedian().item() == 1
    assert [part.item() for part in ndgrad.tensor([3, 1, 3, 1, 2]).mode()] == [1, 3]
    assert [part.item() for part in ndgrad.tensor([30, 10, 20]).kthvalue(2)] == [20, 2]
    assert ndgrad.tensor([1.0, 2.0, 3.0, 4.0]).quantile(0.5).item() == 2.5
    assert ndgrad.tensor([1.0, math.nan, 3.0]).nanquantile(0.5).item() == 2


def test_unique_bincount_histc():
    values, places, counts = ndgrad.unique(ndgrad.tensor([3, 1, 2, 1]), return_inverse=True, return_counts=True)
    assert (values.tolist(), places.tolist(), counts.tolist()) == ([1, 2, 3], [2, 0, 1, 0], [2, 1, 1])
    assert ndgrad.unique_consecutive(ndgrad.tensor([1, 1, 2, 1])).tolist() == [1, 2, 1]
    assert ndgrad.bincount(ndgrad.tensor([1, 2, 2])).tolist() == [0, 1, 2]
    assert ndgrad.histc(ndgrad.tensor([1.0, 2.0, 1.0]), 4, 0, 3).tolist() == [0, 2, 1, 0]


def test_integrals_and_differences():
    x = ndgrad.tensor([0.0, 1.0, 3.0])
    assert ndgrad.trapezoid(x).item() == 2.5
    assert ndgrad.trapezoid(x, ndgrad.tensor([0.0, 2.0, 3.0])).item() == 3
    assert ndgrad.cumulative_trapezoid(x, dx=2).tolist() == [1, 5]
    assert ndgrad.diff(x, 2).tolist() == [1]
    assert ndgrad.diff(ndgrad.tensor([True, False, False])).tolist() == [True, False]


# ---------------------------------------------------------------- gradients where it matters
CASES = [
    ("prod", [2.0, 0.0, 3.0], [0, 6, 0]),
    ("prod", [0.0, 0.0, 3.0], [0, 0, 0]),
    ("max", [1.0, 2.0, 2.0], [0, 0.5, 0.5]),
    ("amax", [2.0, 2.0, 2.0], [1 / 3] * 3),
    ("min", [1.0, 2.0, 1.0], [0.5, 0, 0.5]),
    ("median", [2.0, 2.0, 5.0], [0.5, 0.5, 0]),
    ("std", [3.0, 3.0, 3.0], [0, 0, 0]),
    ("norm", [0.0, 0.0], [0, 0]),
    ("norm", [3.0, 4.0], [0.6, 0.8]),
    ("nansum", [1.0, math.nan], [1, 0]),
    ("mean", [1.0, 2.0, 3.0, 4.0], [0.25] * 4),
    ("var", [1.0, 3.0], [-2, 2]),
]


@pytest.mark.parametrize(("name", "numbers", "expected"), CASES)
def test_gradients_at_special_points(name, numbers, expected):
    x = leaf(numbers)
    assert gradient(getattr(x, name)(), x) == pytest.approx(expected)


def test_the_first_of_equal_ones_gets_the_gradient_along_a_dim():
    x = leaf([[1.0, 2.0, 2.0], [3.0, 3.0, 1.0]])
    assert gradient(x.max(1)[0], x) == [[0, 1, 0], [1, 0, 0]]
    assert gradient(x.min(0, True)[0], x) == [[1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("numbers", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
def test_second_derivatives_of_products(numbers):
    """d2(xyz) / dx dy = z, zeros or not."""
    x = leaf(numbers)
    (g,) = ndgrad.autograd.grad(x.prod(), x, create_graph=True)
    p, q, r = numbers
    expected = [[0, r, q], [r, 0, p], [q, p, 0]]
    rows = [ndgrad.autograd.grad(g[at], x, retain_graph=True)[0].tolist() for at in range(3)]
    np.testing.assert_allclose(rows, expected)


def test_third_derivative_of_a_cumulative_product_with_a_zero():
    x = leaf([2.0, 0.0, 3.0])
    out = x.cumprod(0).sum()  # x + xy + xyz
    for position in (0, 1, 2):
        (g,) = ndgrad.autograd.grad(out, x, create_graph=True)
        out = g[position]
    assert out.item() == 1


def test_sorted_gradients_go_home():
    x = leaf([3.0, 1.0, 2.0])
    weights = ndgrad.tensor([10.0, 20.0, 30.0], dtype=ndgrad.float64)
    assert gradient(x.sort()[0] * weights, x) == [30, 10, 20]
    assert gradient(x.topk(2)[0] * weights[:2], x) == [10, 0, 20]
    assert gradient(x.cummax(0)[0] * weights, x) == [60, 0, 0]


def test_an_in_place_scan_of_a_result():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2
    assert y.cumsum_(0) is y
    assert y.tolist() == [2, 6, 12]
    assert gradient(y, x) == [6, 4, 2]


def test_results_do_not_share_memory_with_a_copy():
    x = ndgrad.ones(3)
    for out in (x.sum(()), x[:1].sum(0), x.cumsum(0), ndgrad.tensor(1.0).cumsum(0), ndgrad.tensor(1.0).max(0)[0], x.sort()[0]):
        before = out.tolist()
        copy.deepcopy(out).add_(1)
        out.add_(1)
        assert x.tolist() == [1, 1, 1]
        assert out.tolist() != before


@pytest.mark.parametrize("out", [lambda: ndgrad.empty(0), lambda: (ndgrad.empty(0),), lambda: (ndgrad.empty(0),) * 3])
def test_as_many_outs_as_results(out):
    with pytest.raises(TypeError, match="argument 'out' must be a tuple of 2 Tensors"):
        ndgrad.max(ndgrad.ones(2, 3), 0, out=out())
