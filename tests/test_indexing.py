"""Indexing, gathering and scattering, against NumPy and against values worked out by hand."""

import numpy as np
import pytest

import ndgrad


def numbers(*shape):
    return ndgrad.from_numpy(np.arange(1.0, np.prod(shape) + 1).reshape(shape)).requires_grad_()


KEYS = [
    (0,), (-1,), (slice(1, 3),), (slice(None), 2), (Ellipsis, 1), (None, 0), (slice(None, None, 2), slice(1, None)),
    (np.array([2, 0, 2]),), (slice(None), np.array([1, 1])), (np.array([[0, 1], [2, 2]]),), (np.array([0, 2]), np.array([3, 1])),
    (np.array([0, 1]), slice(None, 2)), (np.arange(12).reshape(3, 4) % 3 == 0,), (np.array([True, False, True]),),
    (np.array([[0], [2]]), np.array([1, 3])),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reading_is_numpys_and_the_gradient_counts_how_often_each_element_was_read(key):
    x = numbers(3, 4)
    out = x[tuple(ndgrad.from_numpy(part) if isinstance(part, np.ndarray) else part for part in key)]
    array = x.detach().numpy()
    np.testing.assert_array_equal(out.detach().numpy(), array[key])
    weights = np.arange(1.0, out.numel() + 1).reshape(tuple(out.shape))
    out.backward(ndgrad.from_numpy(np.asarray(weights)))
    expected = np.zeros((3, 4))
    np.add.at(expected, key, weights)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_writing_is_numpys_and_cuts_the_old_values_off(key):
    x = numbers(3, 4)
    y = x * 1
    y[tuple(ndgrad.from_numpy(part) if isinstance(part, np.ndarray) else part for part in key)] = -5
    expected = x.detach().numpy().copy()
    expected[key] = -5
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    kept = np.ones((3, 4))
    kept[key] = 0
    np.testing.assert_array_equal(x.grad.numpy(), kept)


def test_basic_indices_are_views_and_index_tensors_copies():
    x = ndgrad.zeros(3, 4)
    for part in (x[0], x[1:], x[:, 1], x[...], x[None], x[:, ::2]):
        assert part._base is x
        part += 1
    assert x.tolist() == [[4, 4, 4, 3]] * 3
    copy = x[ndgrad.tensor([0, 1])]
    copy.zero_()
    assert copy._base is None
    assert x[0, 0] == 4


def test_the_result_dims_of_separated_index_tensors_come_first():
    x = ndgrad.zeros(2, 3, 4)
    i = ndgrad.tensor([0, 1, 1, 0, 1])
    assert x[i, :, i].shape == (5, 3)
    assert x[:, i, i].shape == (2, 5)
    assert x[0, :, i].shape == (3, 5)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
        ((0, 0, 0), IndexError, "too many indices for tensor of dimension 2"),
        (1.5, IndexError, "only integers, slices"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (ndgrad.tensor([7]), IndexError, "index 7 is out of bounds for dimension 0 with size 3"),
        (ndgrad.tensor([1.0]), IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
        (ndgrad.tensor([True, False]), IndexError, r"The shape of the mask \[2\] at index 0 does not match"),
        ((ndgrad.tensor([0, 1]), ndgrad.tensor([0, 1, 2])), IndexError, "indexing tensors could not be broadcast together with shapes"),
    ],
)
def test_wrong_keys_are_refused_when_read_and_when_written(key, error, message):
    x = ndgrad.zeros(3, 4)
    with pytest.raises(error, match=message):
        x[key]
    with pytest.raises(error, match=message):
        x[key] = 1
    assert x._version == 0


def test_assigning_a_part_of_a_tensor_to_another_part_is_refused_where_they_overlap():
    x = ndgrad.arange(4.0)
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        x[1:] = x[:-1]
    x[1:] = x[:-1].clone()
    assert x.tolist() == [0, 0, 1, 2]


def test_gather_and_scatter_undo_each_other():
    x, index = numbers(2, 3), ndgrad.tensor([[2, 0, 1], [1, 2, 0]])
    gathered = x.gather(1, index)
    assert gathered.tolist() == [[3, 1, 2], [5, 6, 4]]
    back = ndgrad.zeros(2, 3, dtype=ndgrad.float64).scatter(1, index, gathered)
    assert back.tolist() == x.tolist()
    (gradient,) = ndgrad.autograd.grad((back * back).sum(), x)
    assert gradient.tolist() == (2 * x).tolist()


def test_values_beyond_the_index_of_a_scatter_get_no_gradient():
    src = numbers(2, 3)
    ndgrad.zeros(2, 3, dtype=ndgrad.float64).scatter_add(0, ndgrad.tensor([[0, 1]]), src).sum().backward()
    assert src.grad.tolist() == [[1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_has_the_derivative_of_finite_differences(reduce, include_self):
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((3, 4)), rng.standard_normal((2, 4))]
    index, weights = ndgrad.tensor([[0, 2, 1, 0], [0, 0, 1, 2]]), rng.standard_normal((3, 4))

    def loss(x, src):
        return (x.scatter_reduce(0, index, src, reduce, include_self=include_self) * ndgrad.from_numpy(weights)).sum()

    leaves = [ndgrad.from_numpy(array.copy()).requires_grad_() for array in arrays]
    gradients = ndgrad.autograd.grad(loss(*leaves), leaves)
    for number, gradient in enumerate(gradients):
        for place in np.ndindex(arrays[number].shape):
            values = []
            for step in (1e-6, -1e-6):
                moved = [array.copy() for array in arrays]
                moved[number][place] += step
                values.append(loss(*map(ndgrad.from_numpy, moved)).item())
            assert gradient[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


def test_masks():
    x, mask = numbers(2, 2), ndgrad.tensor([[True, False], [False, True]])
    filled = x.masked_fill(mask, float("inf"))
    assert filled.tolist() == [[float("inf"), 2], [3, float("inf")]]
    (gradient,) = ndgrad.autograd.grad(filled.sum(), x)
    assert gradient.tolist() == [[0, 1], [1, 0]]
    assert x.masked_select(mask).tolist() == [1, 4]
    assert x.detach().masked_scatter(mask, ndgrad.tensor([9.0, 8.0], dtype=ndgrad.float64)).tolist() == [[9, 2], [3, 8]]
    assert x.detach().masked_fill(mask, 0).isfinite().all()


def test_positions():
    x = ndgrad.tensor([[0, 3], [5, 0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]]
    assert [part.tolist() for part in x.nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert x.nonzero_static(size=3).tolist() == [[0, 1], [1, 0], [-1, -1]]
    assert [part.tolist() for part in ndgrad.unravel_index(ndgrad.tensor([5, 7]), (3, 4))] == [[1, 1], [1, 3]]


def test_searching():
    edges = ndgrad.tensor([1, 3, 5])
    assert ndgrad.searchsorted(edges, ndgrad.tensor([1, 2, 6])).tolist() == [0, 1, 3]
    assert ndgrad.bucketize(ndgrad.tensor([1, 2, 6]), edges, right=True).tolist() == [1, 1, 3]
    rows = ndgrad.tensor([[1, 3], [2, 4]])
    assert ndgrad.searchsorted(rows, ndgrad.tensor([[2, 3], [2, 5]])).tolist() == [[1, 1], [0, 2]]
    assert ndgrad.searchsorted(ndgrad.tensor([5, 1, 3]), 3, sorter=ndgrad.tensor([1, 2, 0])).item() == 1
    assert ndgrad.isin(edges, ndgrad.tensor([5, 1])).tolist() == [True, False, True]


def test_rows_add_up_the_same_in_the_quick_kernels_and_in_the_plain_one():
    rng = np.random.default_rng(1)
    for width in (1, 4):
        for kind in (np.float32, np.float64, np.complex64):
            index, rows = rng.integers(0, 50, 3000), rng.standard_normal((3000, width)).astype(kind)
            x = ndgrad.zeros(50, width, dtype=ndgrad.from_numpy(rows).dtype)
            expected = np.zeros((50, width), np.complex128)
            np.add.at(expected, index, rows)
            np.testing.assert_allclose(
                x.index_add(0, ndgrad.from_numpy(index), ndgrad.from_numpy(rows)).numpy(), expected, rtol=1e-4, atol=1e-4
            )


def test_membership_and_iteration():
    x = numbers(2, 2)
    assert 3.0 in x
    assert 7 not in x
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert reversed(x.detach()).tolist() == [[3, 4], [1, 2]]
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(x[0, 0])


def test_a_mask_is_a_tensor():
    with pytest.raises(TypeError, match=r"masked_fill\(\): argument 'mask' \(position 2\) must be Tensor, not int"):
        ndgrad.masked_fill(ndgrad.ones(2), 1, 2.0)
