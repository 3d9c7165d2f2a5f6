"""Making tensors: dtypes, layouts, shared memory, refusals."""

import warnings

import numpy as np
import pytest

import ndgrad as nd


@pytest.mark.parametrize(
    ("data", "dtype", "values"),
    [
        (3, nd.int64, 3),
        (2.5, nd.float32, 2.5),
        (True, nd.bool, True),
        ([1, 2.5], nd.float32, [1.0, 2.5]),
        ([1, 2j], nd.complex64, [1 + 0j, 2j]),
        ([[1, 2], [3, 4]], nd.int64, [[1, 2], [3, 4]]),
        (np.float64(3), nd.float64, 3.0),
        ([np.float32(1), 2], nd.float32, [1.0, 2.0]),
        ([np.arange(2), np.arange(2)], nd.int64, [[0, 1], [0, 1]]),
        (range(3), nd.int64, [0, 1, 2]),
        ([], nd.float32, []),
        (2**63 - 1, nd.int64, 2**63 - 1),
    ],
)
def test_tensor(data, dtype, values):
    made = nd.tensor(data)
    assert made.dtype is dtype
    assert made.tolist() == values


def test_tensors_among_the_data_count_with_their_dtype():
    made = nd.tensor([nd.tensor(1), nd.tensor(2.5, dtype=nd.float64)])
    assert made.dtype is nd.float64 and made.tolist() == [1.0, 2.5]


def test_the_default_dtype_is_used():
    nd.set_default_dtype(nd.float64)
    try:
        assert nd.tensor(1.5).dtype is nd.float64
        assert nd.tensor(1j).dtype is nd.complex128
        assert nd.zeros(2).dtype is nd.arange(1.0).dtype is nd.linspace(0, 1, 3).dtype is nd.float64
    finally:
        nd.set_default_dtype(nd.float32)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nd.tensor([[1, 2], [3]]), ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)"),
        (lambda: nd.tensor([[1], 2]), TypeError, "not a sequence"),
        (lambda: nd.tensor([1, None]), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: nd.tensor(2**63), ValueError, "Overflow when unpacking long long"),
        (lambda: nd.tensor([300], dtype=nd.uint8), RuntimeError, "value cannot be converted to type uint8 without overflow"),
        (lambda: nd.tensor([1, 2], requires_grad=True), RuntimeError, "Only Tensors of floating point and complex dtype"),
        (lambda: nd.tensor(np.array(["a"])), TypeError, "can't convert np.ndarray of type numpy.str_"),
        (lambda: nd.zeros(2, -1), RuntimeError, "Dimension size must be non-negative"),
        (lambda: nd.zeros(2.5), TypeError, "must be tuple of ints, not float"),
        (lambda: nd.zeros(2, wrong=1), TypeError, "unexpected keyword argument 'wrong'"),
        (lambda: nd.full((2,), 1j, dtype=nd.float32), RuntimeError, "without overflow"),
        (lambda: nd.arange(0, 1, 0), RuntimeError, "step must be nonzero"),
        (lambda: nd.arange(0, 1, -1), RuntimeError, "upper bound and lower bound inconsistent"),
        (lambda: nd.from_numpy([1]), TypeError, r"expected np.ndarray \(got list\)"),
        (lambda: nd.from_numpy(np.ones(3)[::-1]), ValueError, "negative"),
        (lambda: nd.zeros(2, device="cuda"), Exception, "CUDA"),
        (lambda: nd.imag(nd.zeros(2)), RuntimeError, "imag is not implemented"),
        (lambda: nd.view_as_complex(nd.zeros(3, 3)), RuntimeError, "last dimension of size 2"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_shares_memory_and_what_does_not():
    array = np.ones(3)
    shared, copied, as_given = nd.from_numpy(array), nd.tensor(array), nd.as_tensor(array)
    array[0] = 5
    assert shared[0] == 5 and as_given[0] == 5 and copied[0] == 1
    same = nd.as_tensor(shared)
    assert same is shared
    buffer = bytearray(8)
    words = nd.frombuffer(buffer, dtype=nd.int32)
    words[1] = 7
    assert buffer[4] == 7
    other = nd.from_dlpack(array)
    other[1] = 9
    assert array[1] == 9
    np.from_dlpack(shared)  # and the other way round


def test_layouts_follow_the_model():
    model = nd.zeros(2, 3, 4).permute(2, 0, 1)
    assert nd.ones_like(model).stride() == model.stride()
    assert nd.ones_like(model, memory_format=nd.contiguous_format).stride() == (6, 3, 1)
    assert nd.zeros_like(nd.zeros(2, 1).expand(2, 3)).stride() == (3, 1)


def test_out_receives_the_result_in_its_own_dtype():
    out = nd.zeros(3, dtype=nd.float64)
    assert nd.arange(3, out=out) is out and out.tolist() == [0.0, 1.0, 2.0] and out._version == 1
    nd.ones(2, out=out)
    assert out.tolist() == [1.0, 1.0]
    with pytest.warns(UserWarning, match="resized"):
        nd.arange(3, out=out)
    assert out.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RuntimeError, match="does not match dtype of out"):
        nd.ones(2, dtype=nd.int64, out=out)


def test_steps():
    assert nd.arange(1, 2, 0.25).tolist() == [1.0, 1.25, 1.5, 1.75]
    assert nd.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert nd.linspace(0, 10, 5, dtype=nd.int64).tolist() == [0, 2, 5, 7, 10]
    values = nd.linspace(-1, 1, 7)
    assert (values == -values.flip(0)).all()
    assert nd.logspace(0, 3, 4).tolist() == [1.0, 10.0, 100.0, 1000.0]


def test_range_warns():
    with pytest.warns(UserWarning, match="deprecated"):
        assert nd.range(1, 3).tolist() == [1.0, 2.0, 3.0]


def test_legacy_constructors():
    assert nd.LongTensor([1, 2]).dtype is nd.int64
    assert nd.FloatTensor(2, 3).shape == (2, 3)
    assert isinstance(nd.zeros(2), nd.FloatTensor) and not isinstance(nd.zeros(2), nd.LongTensor)
    assert nd.Tensor([1, 2]).dtype is nd.float32


def test_copying_a_tensor_with_tensor_warns():
    with pytest.warns(UserWarning, match="clone"):
        nd.tensor(nd.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nd.as_tensor(nd.ones(2))


def test_writes_through_the_parts_of_a_complex_tensor():
    x = nd.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    y = x * 1
    y.real = y.imag * 3
    y.imag[0] = 0.0
    assert y.detach().tolist() == [6 + 0j, -3 - 1j]
    y.real.sum().backward()
    # the new real parts are 3 times the old imaginary ones, so the gradient is 3j
    assert x.grad.tolist() == [3j, 3j]


def test_conjugation():
    x = nd.tensor([1 + 2j])
    assert x.conj().tolist() == [1 - 2j] and x.resolve_conj().tolist() == [1 + 2j] and not x.is_conj()
    assert nd.view_as_complex(nd.view_as_real(x)).tolist() == x.tolist()
    assert nd.polar(nd.tensor([2.0]), nd.tensor([0.0])).tolist() == [2 + 0j]


def test_the_number_of_threads_is_what_was_asked_for():
    before = nd.get_num_threads()
    try:
        nd.set_num_threads(1)
        assert nd.get_num_threads() == 1
        big = nd.ones(300, 300)
        assert (big @ big)[0, 0].item() == 300
    finally:
        nd.set_num_threads(before)
    assert nd.get_num_threads() == before


def test_settings_are_read_back():
    nd.use_deterministic_algorithms(True)
    assert nd.are_deterministic_algorithms_enabled() and nd.get_deterministic_debug_mode() == 2
    nd.use_deterministic_algorithms(False)
    with pytest.raises(RuntimeError, match="positive integer"):
        nd.set_num_threads(0)
    assert nd.get_default_device() == nd.device("cpu")
