"""`Tensor` as a Python object: conversions, protocols, attributes, copies, pickles, NumPy."""

import copy
import io
import pickle

import numpy as np
import pytest

import ndgrad as torch


# ---------------------------------------------------------------- conversions
@pytest.mark.parametrize(
    ("value", "expected"), [(2.0, True), (0.0, False), ([[0]], False), ([True], True), (1j, True), (float("nan"), True)]
)
def test_bool(value, expected):
    assert bool(torch.tensor(value)) is expected


@pytest.mark.parametrize(("shape", "words"), [((2,), "more than one value"), ((0,), "no values"), ((2, 0), "no values")])
def test_bool_of_other_than_one_element(shape, words):
    with pytest.raises(RuntimeError, match=f"^Boolean value of Tensor with {words} is ambiguous"):
        bool(torch.ones(shape))


def test_numbers():
    assert float(torch.tensor([2.5])) == 2.5
    assert type(float(torch.tensor(2))) is float
    assert int(torch.tensor(2.7)) == 2
    assert complex(torch.tensor(2.0)) == 2 + 0j
    assert float(torch.tensor(3 + 0j)) == 3.0
    assert torch.tensor([[7]]).item() == 7
    assert type(torch.tensor(True).item()) is bool
    assert type(torch.tensor(1.5, dtype=torch.float16).item()) is float
    assert torch.tensor(1 + 2j).item() == 1 + 2j


def test_numbers_from_other_than_one_element():
    for convert in (float, int, complex):
        with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
            convert(torch.ones(2))
    with pytest.raises(RuntimeError, match=r"^a Tensor with 2 elements cannot be converted to Scalar"):
        torch.ones(2).item()
    for convert, name in ((float, "double"), (int, "int64_t")):
        with pytest.raises(RuntimeError, match=f"value cannot be converted to type {name} without overflow"):
            convert(torch.tensor(1j))


def test_index():
    letters = "abc"
    assert letters[torch.tensor(1)] == "b"
    assert letters[torch.tensor([2])] == "c"
    assert list(range(torch.tensor(3))) == [0, 1, 2]
    for wrong in (torch.tensor(1.0), torch.tensor([1, 1])):
        with pytest.raises(TypeError, match="only integer tensors of a single element can be converted to an index"):
            letters[wrong]


def test_len_and_iteration():
    assert len(torch.ones(3, 2)) == 3
    with pytest.raises(TypeError, match=r"^len\(\) of a 0-d tensor"):
        len(torch.tensor(1.0))
    rows = list(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert [row.tolist() for row in rows] == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(torch.tensor(1.0))


def test_iterating_is_differentiable():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    total = 0
    for weight, value in enumerate(x):
        total = total + weight * value
    total.backward()
    assert x.grad.tolist() == [0.0, 1.0, 2.0]


def test_membership():
    assert 1.0 in torch.tensor([1.0, 2.0])
    assert 5.0 not in torch.tensor([1.0, 2.0])


def test_format():
    assert f"{torch.tensor(3.14159):.2f}" == "3.14"
    assert f"{torch.tensor(3):03d}" == "003"
    assert f"{torch.tensor(3.5, requires_grad=True):.1f}" == "3.5"
    assert f"{torch.tensor([3.5])}" == "tensor([3.5000])"
    assert "%.1f" % torch.tensor(2.0) == "2.0"  # noqa: UP031  the old operator is what is tested
    with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor.__format__"):
        format(torch.tensor([3.5]), ".1f")


def test_tolist():
    assert torch.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert torch.tensor(3).tolist() == 3
    assert torch.ones(0, 3).tolist() == []


def test_hash_and_identity():
    x, y = torch.ones(2), torch.ones(2)
    assert hash(x) == hash(x)
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y, x}) == 2


# ---------------------------------------------------------------- attributes
def test_attributes_of_a_leaf():
    x = torch.ones(2, 3, requires_grad=True)
    assert (x.is_leaf, x.requires_grad, x.grad_fn, x.grad, x.output_nr, x._version, x._base) == (True, True, None, None, 0, 0, None)
    assert (x.ndim, x.dim(), x.numel(), x.nelement(), x.size(), x.size(-1), x.stride(), x.stride(0)) == (2, 2, 6, 6, (2, 3), 3, (3, 1), 3)
    assert (x.element_size(), x.itemsize, x.nbytes, x.storage_offset()) == (4, 4, 24, 0)
    assert (x.is_cuda, x.is_cpu, x.get_device(), str(x.device), str(x.layout)) == (False, True, -1, "cpu", "torch.strided")
    assert (x.is_floating_point(), x.is_complex(), x.is_signed(), x.is_contiguous(), x.t().is_contiguous()) == (
        True,
        False,
        True,
        True,
        False,
    )
    assert x.data_ptr() == x.view(-1).data_ptr() == x.detach().data_ptr()


def test_storage_offsets_of_views():
    a = torch.arange(12.0).view(3, 4)
    assert a[1].storage_offset() == 4
    assert a[1:, 2:].storage_offset() == 6
    assert a[1:, 2:].t()[1].storage_offset() == 7
    assert a.expand(2, 3, 4)[1, 2].storage_offset() == 8


def test_dims_out_of_range():
    x = torch.ones(2, 3)
    for call in (lambda: x.size(2), lambda: x.size(-3), lambda: x.stride(5)):
        with pytest.raises(IndexError, match=r"^Dimension out of range \(expected to be in range of \[-2, 1\], but got "):
            call()
    with pytest.raises(IndexError, match="tensor has no dimensions"):
        torch.tensor(1.0).size(0)


@pytest.mark.parametrize("name", ["grad_fn", "is_leaf", "shape", "dtype", "device", "_base", "_version", "output_nr"])
def test_read_only_attributes(name):
    with pytest.raises(AttributeError, match=name):
        setattr(torch.ones(1), name, 3)


def test_attributes_of_ones_own():
    x = torch.ones(1)
    x.note = "mine"
    assert x.note == "mine"
    assert "note" in dir(x)
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nothing'"):
        _ = x.nothing


def test_requires_grad_can_be_switched_on_leaves():
    x = torch.ones(2)
    x.requires_grad = True
    assert (x * 2).requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert torch.tensor([1]).requires_grad_(False).requires_grad is False
    y = x * 2
    assert y.requires_grad_() is y


def test_results_that_need_no_gradient_are_leaves():
    assert (torch.ones(2) * 2).is_leaf
    assert torch.ones(2, requires_grad=True).detach().is_leaf
    assert not (torch.ones(2, requires_grad=True) * 2).is_leaf


def test_grad_can_be_set_and_deleted():
    x = torch.ones(2, requires_grad=True)
    g = torch.tensor([3.0, 4.0])
    x.grad = g
    assert x.grad is g
    (x * 2).sum().backward()
    assert g.tolist() == [5.0, 6.0]
    del x.grad
    assert x.grad is None
    x.grad = g
    x.grad = None
    assert x.grad is None


def test_grad_dtype():
    x = torch.ones(2, requires_grad=True)
    assert x.grad_dtype is torch.float32
    x.grad_dtype = torch.float64
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert x.grad.dtype is torch.float64
    assert x.grad.tolist() == [4.0, 4.0]
    with pytest.raises(RuntimeError, match=r"^Cannot set grad_dtype to"):
        x.grad_dtype = torch.float32
    with pytest.raises(RuntimeError, match=r"^grad_dtype can only be accessed on leaf tensors\."):
        _ = (x * 2).grad_dtype
    with pytest.raises(RuntimeError, match=r"^grad_dtype can only be set on leaf tensors\."):
        (x * 2).grad_dtype = None
    z = torch.ones(2, requires_grad=True)
    z.grad_dtype = None
    z.grad = torch.ones(2, dtype=torch.float64)
    assert z.grad.dtype is torch.float64


def test_data_replaces_the_memory():
    x = torch.ones(2, requires_grad=True)
    d = x.data
    assert not d.requires_grad
    d.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    assert x._version == 0
    x.data = torch.zeros(3)
    assert x.shape == (3,)
    assert x.requires_grad
    assert d.tolist() == [3.0, 3.0]
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got int"):
        x.data = 3
    with pytest.raises(RuntimeError, match="must be floating point or complex dtype"):
        x.data = torch.zeros(2, dtype=torch.int64)
    assert x.shape == (3,)


# ---------------------------------------------------------------- copies and pickles
def test_copy_is_a_leaf_over_the_same_memory():
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    x.note = "mine"
    y = copy.copy(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    assert (y.requires_grad, y.is_leaf, y.grad, y.note, y._is_view()) == (True, True, None, "mine", False)
    with torch.no_grad():
        y.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    assert x._version == 0
    assert copy.copy(x * 2).is_leaf


def test_deepcopy():
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    x.note = ["mine"]
    y = copy.deepcopy(x)
    assert y.tolist() == [1.0, 1.0]
    assert y.data_ptr() != x.data_ptr()
    assert y.requires_grad
    assert y.grad.tolist() == [2.0, 2.0]
    assert y.grad is not x.grad
    assert y.note == ["mine"]
    assert y.note is not x.note
    first, second = copy.deepcopy([x, x])
    assert first is second


def test_deepcopies_of_tensors_that_share_memory_share_theirs():
    a = torch.arange(6.0)
    family = [a, a.view(2, 3), a.view(2, 3).t(), a[1:3], a.view(1, 6).expand(2, 6)]
    copies = copy.deepcopy(family)
    copies[0].mul_(10)
    for original, copied in zip(family, copies, strict=True):
        assert copied.tolist() == (original * 10).tolist()
        assert copied.stride() == original.stride()
    assert a.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_pickle():
    x = torch.arange(6.0).view(2, 3).t().requires_grad_()
    x.note = "mine"
    x.grad = torch.ones(3, 2)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        buffer = io.BytesIO()
        pickle.dump(x, buffer, protocol)
        buffer.seek(0)
        y = pickle.load(buffer)
        assert y.tolist() == x.tolist()
        assert y.requires_grad
        assert y.grad is None
        assert y.note == "mine"
        with torch.no_grad():
            y.mul_(2)
        assert x.tolist()[0] == [0.0, 3.0]
    z = pickle.loads(pickle.dumps(x * 2))
    assert z.is_leaf
    assert z.requires_grad


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", "complex64", "complex128"])
def test_pickle_keeps_dtypes(dtype):
    x = torch.ones(2, 0, 3).to(getattr(torch, dtype))
    y = pickle.loads(pickle.dumps(x))
    assert y.dtype is x.dtype
    assert y.shape == (2, 0, 3)
    assert pickle.loads(pickle.dumps(x.dtype)) is x.dtype


# ---------------------------------------------------------------- NumPy
def test_numpy_shares_memory():
    x = torch.zeros(2, dtype=torch.float64)
    array = x.numpy()
    array[0] = 5.0
    x.mul_(2)
    assert array.tolist() == x.tolist() == [10.0, 0.0]
    s = torch.tensor(1.0)
    s.numpy()[...] = 7.0
    assert s.item() == 7.0
    assert np.asarray(x).tolist() == [10.0, 0.0]
    assert np.array(x) is not array
    assert np.asarray(x, dtype=np.float32).dtype == np.float32


def test_numpy_arrays_are_no_operands():
    x = torch.ones(2)
    for call in (lambda: np.ones(2) * x, lambda: x * np.ones(2), lambda: np.ones(2) + x):
        with pytest.raises(TypeError, match="from_numpy"):
            call()


def test_numpy_numbers_are_numbers():
    x = torch.ones(2)
    assert (x * np.float64(2.0)).dtype is torch.float32
    assert (np.float64(2.0) * x).tolist() == [2.0, 2.0]
    assert (x + np.int64(3)).tolist() == [4.0, 4.0]


def test_zero_dimensional_results_get_memory_when_they_are_asked_for_it():
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    v = y.view(1)
    assert v.data_ptr() == y.data_ptr()
    y.mul_(2)
    assert v.tolist() == [12.0]
    d = y.detach()
    y.mul_(2)
    assert d.item() == 24.0
