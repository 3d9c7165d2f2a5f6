"""Elementwise operations where torch is not at hand: closed forms, special points, dtypes, memory, errors."""

import math

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.core.primitive import raw
from ndgrad.kernels.masking import choose, masked_keep
from ndgrad.kernels.powers import power
from ndgrad.kernels.scalars import scalar_of
from ndgrad.nn import functional as F

NAN, INF = math.nan, math.inf


def gradient(function, *points, dtype=torch.float64):
    leaves = [torch.tensor(point, dtype=torch.complex128 if isinstance(point, complex) else dtype, requires_grad=True) for point in points]
    out = function(*leaves)
    grads = torch.autograd.grad(out.sum(), leaves, allow_unused=True)
    return tuple(None if g is None else g.item() for g in grads)


# ---------------------------------------------------------------- special points
@pytest.mark.parametrize(
    ("function", "points", "expected"),
    [
        (torch.relu, [0.0], (0,)),
        (torch.relu, [NAN], (1,)),
        (torch.abs, [0.0], (0,)),
        (torch.abs, [3 + 4j], (0.6 + 0.8j,)),
        (torch.abs, [0j], (0,)),
        (lambda x: torch.clamp(x, 0, 1), [0.0], (1,)),
        (lambda x: torch.clamp(x, 0, 1), [1.0], (1,)),
        (lambda x: torch.clamp(x, 0, 1), [1.5], (0,)),
        (lambda x, y: torch.clamp(x, min=y), [1.0, 1.0], (1, 0)),
        (torch.maximum, [1.0, 1.0], (0.5, 0.5)),
        (torch.minimum, [1.0, 1.0], (0.5, 0.5)),
        (torch.fmax, [1.0, 1.0], (1, 0)),
        (torch.fmax, [NAN, 1.0], (0, 1)),
        (torch.sqrt, [0.0], (INF,)),
        (lambda x: x**0.5, [0.0], (INF,)),
        (lambda x: x**0, [0.0], (0,)),
        (lambda y: 0**y, [0.0], (0,)),
        (torch.pow, [0.0, 0.0], (0, 0)),
        (torch.pow, [0.0, 2.0], (0, 0)),
        (torch.log, [0.0], (INF,)),
        (torch.erfinv, [1.0], (INF,)),
        (torch.hypot, [0.0, 0.0], (NAN, NAN)),
        (torch.atan2, [0.0, 0.0], (0, 0)),
        (torch.xlogy, [0.0, 0.0], (0, NAN)),
        (torch.logaddexp, [-INF, -INF], (NAN, NAN)),
        (torch.sinc, [0.0], (0,)),
        (torch.copysign, [0.0, -1.0], (0, 0)),
        (F.hardtanh, [1.0], (0,)),
        (F.relu6, [6.0], (0,)),
        (lambda x: torch.where(x > 0, torch.sqrt(x), x), [-1.0], (NAN,)),
        (lambda x: torch.where(x > 0, torch.log(x), x), [-1.0], (1,)),
        (lambda x: torch.where(x > 0, 1 / x, x), [-1.0], (1,)),
        (lambda x: torch.relu(x) - torch.relu(-x), [0.0], (0,)),
    ],
)
def test_gradients_at_special_points(function, points, expected):
    assert gradient(function, *points) == pytest.approx(expected, nan_ok=True, abs=1e-15)


# ---------------------------------------------------------------- kernels
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64, np.complex64])
@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (0, 2)])
def test_masks_keep_exactly_and_leave_nothing(kind, shape):
    rng = np.random.default_rng(0)
    g = (rng.standard_normal(shape) * 9).astype(kind)
    mask = rng.random(shape) > 0.5
    np.testing.assert_array_equal(masked_keep(g, mask), np.where(mask, g, kind(0)))
    other = (rng.standard_normal(shape) * 9).astype(kind)
    np.testing.assert_array_equal(choose(mask, g, other), np.where(mask, g, other))
    assert choose(mask, g, 0).dtype == choose(mask, 1, g).dtype == kind


def test_masks_broadcast_and_drop_nan():
    g = np.array([[NAN], [INF], [2.0]], np.float32)
    mask = np.array([True, False])
    np.testing.assert_array_equal(masked_keep(g, mask), [[NAN, 0], [INF, 0], [2, 0]])
    np.testing.assert_array_equal(choose(mask, g, np.float32(7)), [[NAN, 7], [INF, 7], [2, 7]])
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(masked_keep(transposed, mask), transposed * mask)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 5, -1, -2, -3, 0.5, -0.5, 1.5])
def test_powers(exponent):
    x = np.array([0.25, 1.5, 3.0])
    np.testing.assert_allclose(power(x, exponent), [value**exponent for value in x], rtol=1e-14)
    assert power(x.astype(np.float32), exponent).dtype == np.float32
    assert not np.shares_memory(power(x, exponent), x)


def test_integer_powers():
    assert torch.pow(torch.tensor([1, -1, -1, 2, 0]), torch.tensor([-3, -3, -2, -1, -1])).tolist() == [1, -1, 1, 0, 0]
    with pytest.raises(RuntimeError, match="Integers to negative integer powers are not allowed"):
        torch.tensor([2]) ** -1


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [(255, np.uint8, 255), (-1, np.uint8, 255), (2.7, np.int8, 2), (2, np.float16, 2), (1e6, np.float16, INF), (3 + 0j, np.float32, 3)],
)
def test_numbers_that_fit(value, kind, fits):
    with np.errstate(over="ignore"):
        assert scalar_of(value, np.dtype(kind)) == fits


@pytest.mark.parametrize(("value", "kind"), [(256, np.uint8), (-256, np.uint8), (NAN, np.int32), (1j, np.float32), (1e300, np.float32)])
def test_numbers_that_do_not_fit(value, kind):
    with pytest.raises(RuntimeError, match=r"value cannot be converted to type .* without overflow"):
        scalar_of(value, np.dtype(kind))


@pytest.mark.parametrize("layout", ["C", "F", "strided", "scalar"])
@pytest.mark.parametrize("name", ["erf", "gelu_exact", "gelu_tanh", "silu_of", "sigmoid"])
def test_blocked_kernels_do_not_depend_on_the_layout(name, layout):
    x = np.linspace(-6, 6, 310 * 300).reshape(310, 300).astype(np.float32)
    expected = np.array([getattr(raw, name)(value) for value in x.ravel()[::4001]])
    if layout == "scalar":
        assert expected.dtype == np.float32
        return
    given = {"C": x, "F": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=1)[:, ::2]}[layout]
    out = getattr(raw, name)(given)
    assert out.shape == x.shape
    assert out.flags.f_contiguous == (layout == "F")
    np.testing.assert_allclose(np.ascontiguousarray(out).ravel()[::4001], expected, rtol=2e-6, atol=1e-7)


def test_erf_in_single_precision():
    points = np.array([0, 1e-30, 1e-3, 0.1, 0.5, 1.0, 2.0, 3.0, 4.5, 100.0, INF], np.float32)
    exact = np.array([math.erf(point) for point in points.astype(float)])
    for sign in (1, -1):
        found = torch.erf(torch.from_numpy(sign * points)).numpy()
        assert np.all(np.abs(found - sign * exact) <= 3 * np.spacing(exact.astype(np.float32)))
    assert math.isnan(torch.erf(torch.tensor(NAN)).item())


# ---------------------------------------------------------------- memory
def test_the_input_survives():
    x = torch.linspace(-2, 2, 2001)
    before = x.numpy().copy()
    for function in (torch.relu, torch.sigmoid, torch.erf, F.gelu, F.silu, torch.square, torch.positive, torch.floor, lambda x: x**1):
        function(x)
        np.testing.assert_array_equal(x.numpy(), before)


@pytest.mark.parametrize(
    "write",
    [
        lambda x, y: x.add_(y, alpha=-0.5),
        lambda x, y: x.sub_(y, alpha=0.5),
        lambda x, y: x.addcmul_(y, y, value=2),
        lambda x, y: x.addcdiv_(y, y, value=2),
        lambda x, y: x.zero_(),
        lambda x, y: x.fill_(2.5),
        lambda x, y: x.mul_(y),
        lambda x, y: x.div_(2),
        lambda x, y: x.lerp_(y, 0.25),
    ],
)
def test_writes_stay_in_place_and_are_counted(write):
    y = torch.tensor([1.0, 2.0, 4.0])
    x = torch.tensor([8.0, 4.0, 2.0])
    memory, version = x.data_ptr(), x._version
    leaf = torch.tensor([8.0, 4.0, 2.0], requires_grad=True)
    expected = write(leaf.clone(), y)
    assert write(x, y) is x
    assert (x.data_ptr(), x._version) == (memory, version + 1)
    assert x.tolist() == expected.tolist()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        write(leaf, y)
    assert leaf.tolist() == [8.0, 4.0, 2.0]
    with torch.no_grad():
        write(leaf, y)
    assert leaf.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(torch.ones(3), alpha=2),
        lambda x: x.mul_(2),
        lambda x: x.exp_(),
        lambda x: x.addcmul_(torch.ones(3), torch.ones(3)),
    ],
)
def test_expanded_tensors_are_not_written_to(write):
    base = torch.ones(1)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"):
        write(base.expand(3))
    assert base.tolist() == [1.0]


# ---------------------------------------------------------------- dtypes and errors
def test_numbers_wrap_around_in_small_integers():
    x = torch.tensor([44, 2], dtype=torch.uint8)
    assert (x + 300).tolist() == [88, 46]
    assert (x == 300).tolist() == [True, False]
    assert (x - 3).tolist() == [41, 255]
    assert (x << 9).tolist() == [0, 0]


def test_integer_division():
    x, y = torch.tensor([-8, 7, -6]), torch.tensor([3, -3, 3])
    assert (x // y).tolist() == [-3, -3, -2]
    assert torch.div(x, y, rounding_mode="trunc").tolist() == [-2, -2, -2]
    assert (x % y).tolist() == [1, -2, 0]
    assert torch.fmod(x, y).tolist() == [-2, 1, 0]
    assert (x / 2).dtype is torch.float32
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        x // 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.tensor([True]) - torch.tensor([True]), RuntimeError, r"^Subtraction, the `-` operator, with two bool tensors"),
        (lambda: torch.tensor([True]) - 1, RuntimeError, r"^Subtraction, the `-` operator, with a bool tensor"),
        (lambda: -torch.tensor([True]), RuntimeError, r"^Negation, the `-` operator, on a bool tensor is not supported"),
        (lambda: torch.tensor([1j]) < 1, NotImplementedError, r"^\"lt_cpu\" not implemented for 'ComplexFloat'"),
        (lambda: torch.tensor([1.5]) & 1, NotImplementedError, r"^\"bitwise_and_cpu\" not implemented for 'Float'"),
        (lambda: ~torch.tensor([1.5]), TypeError, r"^~ \(operator.invert\) is only implemented on integer"),
        (lambda: torch.ones(2) + torch.ones(3), RuntimeError, r"^The size of tensor a \(2\) must match the size of tensor b \(3\)"),
        (lambda: torch.add(torch.ones(2), "a"), TypeError, r"^add\(\): argument 'other' \(position 2\) must be Tensor, not str"),
        (lambda: torch.add(torch.ones(2), np.ones(2)), TypeError, r"must be Tensor, not numpy.ndarray.*from_numpy"),
        (lambda: torch.maximum(torch.ones(2), 1), TypeError, r"^maximum\(\): argument 'other' \(position 2\) must be Tensor, not int"),
        (lambda: torch.clamp(torch.ones(2)), RuntimeError, r"^torch.clamp: At least one of 'min' or 'max' must not be None"),
        (lambda: torch.where(torch.ones(2), 1, 2), RuntimeError, r"^where expected condition to be a boolean tensor"),
        (
            lambda: torch.lerp(torch.ones(2), torch.ones(2).double(), 0.5),
            RuntimeError,
            r"^expected dtype float for `end` but got dtype double",
        ),
        (lambda: torch.isclose(torch.ones(2), torch.ones(2).int()), RuntimeError, r"^Float did not match Int"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_comparisons_with_foreign_types_are_python_s():
    x = torch.ones(2)
    assert (x == None) is False  # noqa: E711  the operator is what is tested
    assert (x != "a") is True
    with pytest.raises(TypeError, match="not supported between instances"):
        x < None  # noqa: B015  it raises


def test_training_mode_of_rrelu():
    torch.manual_seed(3)
    x = torch.tensor([-1.0, 2.0, -3.0, -4.0], requires_grad=True)
    out = F.rrelu(x, 0.1, 0.3, training=True)
    slopes = (out / x).detach().numpy()
    assert slopes[1] == 1
    assert np.all((slopes[[0, 2, 3]] >= 0.1) & (slopes[[0, 2, 3]] <= 0.3))
    out.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6)
