"""Views, joining and rearranging, against NumPy and against values worked out by hand."""

import numpy as np
import pytest

import ndgrad


def numbers(*shape):
    return ndgrad.from_numpy(np.arange(1.0, np.prod(shape) + 1).reshape(shape)).requires_grad_()


VIEWS = [
    (lambda x: x.view(4, 6), (4, 6), (6, 1)),
    (lambda x: x.permute(2, 0, 1), (4, 2, 3), (1, 12, 4)),
    (lambda x: x.transpose(0, -1), (4, 3, 2), (1, 4, 12)),
    (lambda x: x.mT, (2, 4, 3), (12, 1, 4)),
    (lambda x: x.movedim(0, 2), (3, 4, 2), (4, 1, 12)),
    (lambda x: x.unsqueeze(1), (2, 1, 3, 4), (12, 12, 4, 1)),
    (lambda x: x.unsqueeze(-1), (2, 3, 4, 1), (12, 4, 1, 1)),
    (lambda x: x[:1].squeeze(0), (3, 4), (4, 1)),
    (lambda x: x.flatten(1), (2, 12), (12, 1)),
    (lambda x: x.unflatten(2, (2, -1)), (2, 3, 2, 2), (12, 4, 2, 1)),
    (lambda x: x.expand(5, -1, -1, -1), (5, 2, 3, 4), (0, 12, 4, 1)),
    (lambda x: x.select(1, 2), (2, 4), (12, 1)),
    (lambda x: x.narrow(2, 1, 2), (2, 3, 2), (12, 4, 1)),
    (lambda x: x.unfold(2, 2, 1), (2, 3, 3, 2), (12, 4, 1, 1)),
    (lambda x: x.diagonal(1, 1, 2), (2, 3), (12, 5)),
    (lambda x: x.chunk(2, 2)[1], (2, 3, 2), (12, 4, 1)),
    (lambda x: x.unbind(1)[0], (2, 4), (12, 1)),
    (lambda x: x.tensor_split(3, 2)[0], (2, 3, 2), (12, 4, 1)),
    (lambda x: x.as_strided((2, 2), (3, 1), 5), (2, 2), (3, 1)),
    (lambda x: x[:, :, ::3], (2, 3, 2), (12, 4, 3)),
    (lambda x: x[1:1], (0, 3, 4), (12, 4, 1)),
]


@pytest.mark.parametrize(("make", "shape", "strides"), VIEWS)
def test_views_share_the_memory(make, shape, strides):
    x = numbers(2, 3, 4).detach()
    out = make(x)
    assert (out.shape, out.stride()) == (shape, strides)
    assert out._base is x
    if out.numel():
        first = out[(0,) * out.ndim].item()
        assert x.view(-1)[out.storage_offset()] == first
        assert out.data_ptr() == x.data_ptr() + 8 * out.storage_offset()
        out.detach()[(0,) * out.ndim] = -7
        assert x.view(-1)[out.storage_offset()] == -7


@pytest.mark.parametrize(("make", "shape", "strides"), VIEWS)
def test_views_are_linear_so_their_transpose_passes_the_dot_product_test(make, shape, strides):
    rng = np.random.default_rng(0)
    x = ndgrad.from_numpy(rng.standard_normal((2, 3, 4))).requires_grad_()
    out = make(x)
    weights = ndgrad.from_numpy(rng.standard_normal(tuple(out.shape)))
    (back,) = ndgrad.autograd.grad(out, x, weights)
    assert (back * x).sum().item() == pytest.approx((out * weights).sum().item())


def test_reshape_copies_only_where_it_must():
    x = numbers(2, 3)
    assert x.reshape(3, 2)._base is x
    copied = x.t().reshape(6)
    assert copied._base is None
    assert copied.tolist() == [1, 4, 2, 5, 3, 6]
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.t().view(6)
    with pytest.raises(RuntimeError, match=r"shape '\[4\]' is invalid for input of size 6"):
        x.reshape(4)


def test_another_dtype_over_the_same_bytes():
    x = ndgrad.tensor([1.0, 2.0])
    bits = x.view(ndgrad.int32)
    assert bits.tolist() == [0x3F800000, 0x40000000]
    bits[0] = 0x40400000
    assert x.tolist() == [3, 2]
    assert x._version == 1
    assert x.view(ndgrad.complex64).tolist() == [3 + 2j]
    with pytest.raises(RuntimeError, match=r"self.size\(-1\) must be divisible by 2"):
        x[:1].view(ndgrad.float64)


def test_joining():
    x, y = numbers(2, 2), numbers(1, 2)
    out = ndgrad.cat([x, y, x[:0]])
    assert out.tolist() == [[1, 2], [3, 4], [1, 2]]
    (out * ndgrad.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    assert x.grad.tolist() == [[1, 1], [2, 2]]
    assert y.grad.tolist() == [[3, 3]]
    assert ndgrad.cat([ndgrad.tensor([1]), ndgrad.tensor([0.5])]).dtype is ndgrad.float32
    assert ndgrad.stack([y[0], y[0] * 2], 1).tolist() == [[1, 2], [2, 4]]
    assert ndgrad.hstack([y, y]).tolist() == [[1, 2, 1, 2]]
    assert ndgrad.vstack([y[0], y[0]]).tolist() == [[1, 2], [1, 2]]
    assert ndgrad.column_stack([y[0], y[0]]).tolist() == [[1, 1], [2, 2]]
    assert ndgrad.dstack([y, y]).tolist() == [[[1, 1], [2, 2]]]
    assert ndgrad.block_diag(x, y[0, 0]).tolist() == [[1, 2, 0], [3, 4, 0], [0, 0, 1]]
    with pytest.raises(RuntimeError, match="Sizes of tensors must match except in dimension 0"):
        ndgrad.cat([x, x[:, :1]])
    with pytest.raises(TypeError, match=r"from_numpy"):
        ndgrad.cat([x, np.ones((1, 2))])


REARRANGED = [
    (lambda x: x.flip(0), lambda a: a[::-1]),
    (lambda x: x.flip(0, 1), lambda a: a[::-1, ::-1]),
    (lambda x: x.roll(1), lambda a: np.roll(a, 1)),
    (lambda x: x.roll((1, -2), (0, 1)), lambda a: np.roll(a, (1, -2), (0, 1))),
    (lambda x: x.rot90(), np.rot90),
    (lambda x: x.rot90(3), lambda a: np.rot90(a, 3)),
    (lambda x: x.repeat(2, 1, 2), lambda a: np.tile(a, (2, 1, 2))),
    (lambda x: x.tile(2), lambda a: np.tile(a, 2)),
    (lambda x: x[:1].broadcast_to(2, *x.shape), lambda a: np.broadcast_to(a[:1], (2, *a.shape))),
    (lambda x: x[:1].broadcast_to(size=x.shape), lambda a: np.broadcast_to(a[:1], a.shape)),
    (lambda x: x.repeat_interleave(3, 1), lambda a: np.repeat(a, 3, 1)),
    (lambda x: x.repeat_interleave(2), lambda a: np.repeat(a, 2)),
    (lambda x: x.repeat_interleave(ndgrad.tensor([2, 0, 1]), 0), lambda a: np.repeat(a, [2, 0, 1], 0)),
    (lambda x: x.tril(1), lambda a: np.tril(a, 1)),
    (lambda x: x.triu(-1), lambda a: np.triu(a, -1)),
    (lambda x: x.diag(1), lambda a: np.diag(a, 1)),
    (lambda x: x[0].diag(-1), lambda a: np.diag(a[0], -1)),
    (lambda x: ndgrad.diagflat(x), lambda a: np.diagflat(a)),
    (lambda x: ndgrad.diag_embed(x), lambda a: np.stack([np.diag(row) for row in a])),
    (lambda x: ndgrad.meshgrid(x[0], x[1], indexing="ij")[1], lambda a: np.meshgrid(a[0], a[1], indexing="ij")[1]),
    (lambda x: ndgrad.meshgrid(x[0], x[1][:2], indexing="xy")[0], lambda a: np.meshgrid(a[0], a[1][:2], indexing="xy")[0]),
    (lambda x: ndgrad.combinations(x[0]), lambda a: a[0][[[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]]),
    (lambda x: ndgrad.cartesian_prod(x[0, :2], x[1, :2]), lambda a: np.array([[i, j] for i in a[0, :2] for j in a[1, :2]])),
    (lambda x: x.slice_scatter(x[:1] * 2, 0, 1, 2), lambda a: np.stack([a[0], 2 * a[0], a[2]])),
    (lambda x: x.select_scatter(x[0] * 2, 0, -1), lambda a: np.stack([a[0], a[1], 2 * a[0]])),
]


@pytest.mark.parametrize(("ours", "numpys"), REARRANGED)
def test_rearranging_is_numpys_and_its_transpose_passes_the_dot_product_test(ours, numpys):
    rng = np.random.default_rng(0)
    array = rng.standard_normal((3, 4))
    x = ndgrad.from_numpy(array).requires_grad_()
    out = ours(x)
    np.testing.assert_array_equal(out.detach().numpy(), numpys(array))
    weights = ndgrad.from_numpy(rng.standard_normal(tuple(out.shape)))
    (back,) = ndgrad.autograd.grad(out, x, weights)
    assert (back * x).sum().item() == pytest.approx((out * weights).sum().item())


def test_triangle_indices_and_shapes():
    assert ndgrad.tril_indices(2, 3).tolist() == [[0, 1, 1], [0, 0, 1]]
    assert ndgrad.triu_indices(2, 3, 1).tolist() == [[0, 0, 1], [1, 2, 2]]
    assert ndgrad.broadcast_shapes((2, 1), 3) == (2, 3)
    assert [t.shape for t in ndgrad.broadcast_tensors(ndgrad.zeros(2, 1), ndgrad.zeros(3))] == [(2, 3), (2, 3)]
    assert [ndgrad.atleast_3d(ndgrad.zeros(shape)).shape for shape in ((), (2,), (2, 3))] == [(1, 1, 1), (1, 2, 1), (2, 3, 1)]


def test_a_tensor_becomes_a_view_of_itself():
    x = numbers(2, 3)
    y = x * 1
    assert y.t_() is y
    assert y.shape == (3, 2)
    (y * ndgrad.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=ndgrad.float64)).sum().backward()
    assert x.grad.tolist() == [[1, 3, 5], [2, 4, 6]]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.t_()
    z = ndgrad.arange(6.0)
    assert z.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert z.resize_(6).tolist() == [0, 1, 2, 3, 4, 5]
    other = ndgrad.zeros(0).set_(z)
    other[0] = 9
    assert z[0] == 9


def test_several_views_at_once_may_not_be_changed_where_history_is_kept():
    x = numbers(4)
    for parts in ((x * 1).split(2), (x * 1).chunk(2), (x * 1).unbind()):
        with pytest.raises(RuntimeError, match="is the output of a function that returns multiple views"):
            parts[0].mul_(2)


def test_clones_keep_the_order_of_dims():
    x = ndgrad.zeros(2, 3, 4)
    assert x.permute(2, 0, 1).clone().stride() == (1, 12, 4)
    assert x[:, ::2].clone().stride() == (8, 4, 1)
    assert x[0].expand(5, 3, 4).clone().stride() == (12, 4, 1)
    assert x.permute(2, 0, 1).contiguous().stride() == (6, 3, 1)
