"""The random kernels against torch's CPU generator: the same numbers, and the same state after every call."""

from __future__ import annotations

import numpy as np
import pytest

from ndgrad.kernels import distributions as fill
from ndgrad.kernels.mersenne import Mersenne
from ndgrad.kernels.sampling import multinomial, randperm

torch = pytest.importorskip("torch")

SIZES = [0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 100, 1000, 16383, 16385, 100003]
SEEDS = [0, 1, 42, 2**31, 2**32 + 5, 2**63, 2**64 - 1, -1, -7, -(2**63)]
FLOATS = ["float16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
UNSIGNED = ["uint16", "uint32", "uint64"]


class Pair:
    """An engine and a torch generator that start from the same seed."""

    def __init__(self, seed=0):
        self.ours, self.theirs = Mersenne(seed), torch.Generator().manual_seed(seed)

    def same_state(self):
        np.testing.assert_array_equal(self.ours.get_state(), self.theirs.get_state().numpy())

    def fill(self, name, shape, dtype, *arguments, ulps=0, view=lambda x: x):
        """Compare `name` (ours; torch's method of the same name) on an array of `shape` seen through `view`."""
        ours = view(np.zeros(shape, dtype))
        theirs = view(torch.zeros(shape, dtype=getattr(torch, np.dtype(dtype).name)))
        translated = [torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in arguments]
        assert getattr(fill, name)(self.ours, ours, *arguments) is ours
        getattr(theirs, name)(*translated, generator=self.theirs)
        self.same(ours, theirs.numpy(), ulps)

    def same(self, ours, theirs, ulps=0):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if ours.dtype.kind == "c":
            ours, theirs = np.stack([ours.real, ours.imag]), np.stack([theirs.real, theirs.imag])
        if ulps and ours.size:
            np.testing.assert_array_max_ulp(ours, theirs, ulps)
        else:
            np.testing.assert_array_equal(ours, theirs)
        self.same_state()


def transposed(x):
    return x.T


def every_other(x):
    return x[::2]


def rotated(x):
    return x.transpose(0, 2, 1) if isinstance(x, np.ndarray) else x.permute(0, 2, 1)


# By how many units in the last place the fill in groups of 16 may differ. In single precision ndgrad evaluates what torch
# does on x86 processors with AVX2, to the bit; elsewhere torch takes the logarithm, sine and cosine of the C library.
SINGLE = 0 if torch.backends.cpu.get_cpu_capability().startswith("AVX") else 6
NORMAL_ULPS = {"float16": min(SINGLE, 1), "float32": SINGLE, "float64": 6, "complex64": SINGLE, "complex128": 6}


@pytest.mark.parametrize("seed", SEEDS)
def test_words_and_initial_seed(seed):
    pair = Pair(seed)
    assert pair.ours.initial_seed == pair.theirs.initial_seed()
    pair.same_state()
    ours = pair.ours.random32(1300)
    theirs = torch.empty(1300, dtype=torch.int64).random_(0, 2**27, generator=pair.theirs).numpy()
    np.testing.assert_array_equal(ours & (2**27 - 1), theirs)
    pair.same_state()
    ours = pair.ours.random64(700)
    theirs = torch.empty(700, dtype=torch.int64).random_(-(2**63), None, generator=pair.theirs).numpy()
    np.testing.assert_array_equal(ours.view(np.int64), theirs)
    pair.same_state()


def test_default_seed():
    assert Mersenne().initial_seed == torch.Generator().initial_seed()
    np.testing.assert_array_equal(Mersenne().get_state(), torch.Generator().get_state().numpy())


@pytest.mark.parametrize("draws", [0, 1, 2, 311, 623, 624, 625, 1248, 5000])
def test_states_cross_over(draws):
    pair = Pair(2**40 + 3)
    pair.ours.skip(draws)
    torch.rand(draws, generator=pair.theirs)
    pair.same_state()
    other = torch.Generator()
    other.set_state(torch.from_numpy(pair.ours.get_state()))
    assert other.initial_seed() == 2**40 + 3
    back = Mersenne(9)
    back.set_state(pair.theirs.get_state().numpy())
    assert back.initial_seed == 2**40 + 3
    np.testing.assert_array_equal(back.get_state(), pair.ours.get_state())
    ours = fill.uniform_(back, np.empty(1000))
    np.testing.assert_array_equal(ours, torch.rand(1000, dtype=torch.float64, generator=other).numpy())
    np.testing.assert_array_equal(ours, torch.rand(1000, dtype=torch.float64, generator=pair.theirs).numpy())


def test_spare_normal_crosses_over():
    pair = Pair(5)
    pair.fill("normal_", (3,), "float64")
    assert pair.ours.spare_normal is not None
    other = Mersenne()
    other.set_state(pair.theirs.get_state().numpy())
    pair.ours = other
    pair.fill("normal_", (2,), "float64")
    # The single-precision spare never arises by itself; it has to survive all the same.
    state = pair.ours.get_state()
    state[5048:5052] = np.frombuffer(np.float32(1.25).tobytes(), np.uint8)
    state[5052] = 1
    pair.theirs.set_state(torch.from_numpy(state))
    pair.ours.set_state(state)
    assert pair.ours.spare_float_normal == 1.25
    pair.same_state()
    pair.ours.seed(5)
    pair.theirs.manual_seed(5)
    pair.same_state()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_mixture_keeps_the_position(seed):
    pair = Pair(seed)
    for size in (5, 16, 3, 33, 1, 100, 15, 2):
        pair.fill("uniform_", (size,), "float32")
        pair.fill("normal_", (size,), "float32", ulps=max(SINGLE, 1))
        pair.same(randperm(pair.ours, size), torch.randperm(size, generator=pair.theirs).numpy())
        pair.fill("normal_", (size,), "float64", 0.5, 1.25, ulps=6)
        pair.fill("random_", (size,), "int64", 0, 10)
        pair.fill("bernoulli_", (size,), "float32", 0.4)
        pair.fill("log_normal_", (size,), "float64", ulps=6)
        pair.fill("normal_", (size,), "float16", ulps=1)
        pair.fill("exponential_", (size,), "float32", ulps=1)
        pair.fill("random_", (size,), "int32")
        pair.fill("uniform_", (size,), "float64")
        pair.fill("normal_", (size,), "complex64", ulps=max(SINGLE, 1))


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("size", SIZES)
def test_uniform(size, dtype):
    pair = Pair(7)
    for bounds in ((), (-0.3, 1.1), (0.1, 0.7), (-1.0, 1.0), (-1e-3, 6e4), (-0.0883, 0.0883), (2.5, 2.5), (-4.0, 0.0), (0.0, 3.3)):
        pair.fill("uniform_", (size,), dtype, *bounds)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_of_extreme_width(dtype):
    pair, largest = Pair(8), float(np.finfo(dtype).max)
    tiny = float(np.finfo(dtype).tiny)
    for bounds in ((0.0, largest), (-largest / 3, largest / 2), (-largest, -largest), (tiny, 3 * tiny), (1.0, 1.0 + 1e-3), (1e4, 1e4 + 64)):
        pair.fill("uniform_", (3000,), dtype, *bounds)


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("size", SIZES)
def test_normal(size, dtype):
    pair = Pair(3)
    pair.fill("normal_", (size,), dtype, ulps=NORMAL_ULPS[dtype])
    pair.fill("normal_", (size,), dtype, 0.0, 0.37, ulps=NORMAL_ULPS[dtype])
    pair.fill("normal_", (size,), dtype, 0.0, 0.0)


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("size", [1, 15, 17, 1000, 100003])
def test_normal_with_a_mean(size, dtype):
    # Where the mean cancels the sample, the ulps of the sample are large beside the sum: measure against the mean.
    mean, std = 2.25, 0.77
    pair = Pair(4)
    ours = fill.normal_(pair.ours, np.empty(size, dtype), mean, std)
    theirs = torch.empty(size, dtype=getattr(torch, dtype)).normal_(mean, std, generator=pair.theirs).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=6 * float(np.finfo(dtype).eps) * mean)
    pair.same_state()


def test_serial_normal_is_exact_in_single_precision():
    pair = Pair(6)
    for size in (1, 3, 15, 4, 7):
        pair.fill("normal_", (size,), "float32", 0.3, 1.7, ulps=1)
        pair.fill("normal_", (size,), "float16", 0.3, 1.7)


@pytest.mark.parametrize("name, arguments, dtype", [
    ("uniform_", (), "float32"), ("uniform_", (-1.5, 2.0), "float64"), ("uniform_", (), "complex64"),
    ("normal_", (), "float32"), ("normal_", (1.0, 2.0), "float64"), ("normal_", (), "float16"), ("normal_", (), "complex128"),
    ("bernoulli_", (0.3,), "float32"), ("random_", (0, 100), "int64"), ("exponential_", (2.0,), "float64"),
])  # fmt: skip
@pytest.mark.parametrize("shape, view", [
    ((3, 5), transposed), ((40, 30), transposed), ((40, 3), every_other), ((41,), every_other), ((4, 5, 6), rotated), ((5, 1), transposed),
    ((20, 1), transposed), ((), lambda x: x), ((0, 3), transposed),
])  # fmt: skip
def test_strided_arrays_fill_in_memory_order(name, arguments, dtype, shape, view):
    pair = Pair(12)
    for _ in range(2):
        pair.fill(name, shape, dtype, *arguments, ulps=6 if name in ("normal_", "exponential_") else 0, view=view)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool", *INTEGERS])
@pytest.mark.parametrize("size", SIZES)
def test_bernoulli(size, dtype):
    pair = Pair(13)
    for probability in (0.0, 0.5, 0.3, 0.9, 1.0):
        pair.fill("bernoulli_", (size,), dtype, probability)
    for kind in FLOATS:
        probabilities = np.random.default_rng(0).random(size).astype(kind)
        pair.fill("bernoulli_", (size,), dtype, probabilities)


def test_bernoulli_with_broadcast_and_strided_probabilities():
    pair, rng = Pair(14), np.random.default_rng(1)
    pair.fill("bernoulli_", (40, 30), "float32", np.array(0.25, np.float32))
    pair.fill("bernoulli_", (40, 30), "float32", rng.random((40, 1)))
    pair.fill("bernoulli_", (40, 30), "float32", rng.random((30, 40)), view=transposed)
    probabilities = rng.random((30, 40))
    ours = fill.bernoulli_(pair.ours, np.empty((40, 30)), probabilities.T)
    pair.same(ours, torch.bernoulli(torch.from_numpy(probabilities).T, generator=pair.theirs).numpy())


@pytest.mark.parametrize("size", [1, 10, 16, 1000])
def test_dropout_takes_a_bernoulli_mask(size):
    torch.manual_seed(21)
    theirs = torch.nn.functional.dropout(torch.ones(size), 0.2).numpy()
    ours = fill.bernoulli_(Mersenne(21), np.empty(size, np.float32), 1 - 0.2) / np.float32(1 - 0.2)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, "bool"])
@pytest.mark.parametrize("size", SIZES)
def test_random_in_the_natural_range(size, dtype):
    Pair(15).fill("random_", (size,), dtype)


@pytest.mark.parametrize("bounds", [
    (0, 1), (0, 2), (0, 10), (3, 100), (-128, 127), (-5, 6), (0, 2**15),
    (-(2**31), 2**31 - 1), (0, 2**28 - 1), (0, 2**28), (1, 2**28), (0, 2**30),
    (0, 2**32), (-(2**40), 2**40 + 3), (-(2**63), 2**63 - 1), (0, 2**63 - 1), (-5, None), (0, None), (100, None), (-(2**63), None),
    (-(2**63) + 1, None), (0, 65504), (2**24, 2**25),
    (2**24 + 1, 2**25 + 5), (-(2**25) - 3, 7), (2**53 + 1, 2**60 + 1), (-2050, 2051), (2049, 2053),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [*INTEGERS, *UNSIGNED, *FLOATS, "bool"])
@pytest.mark.filterwarnings("ignore:.*is out of bounds.*:UserWarning")
def test_random_between_bounds(dtype, bounds):
    pair = Pair(16)
    try:
        theirs = torch.empty(2000, dtype=getattr(torch, dtype)).random_(*bounds, generator=pair.theirs)
    except RuntimeError as error:
        with pytest.raises(type(error)):
            fill.random_(pair.ours, np.empty(2000, dtype), *bounds)
        return
    pair.same(fill.random_(pair.ours, np.empty(2000, dtype), *bounds), theirs.numpy())


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", *FLOATS])
@pytest.mark.parametrize("size", [*SIZES, 3, 127, 128, 129, 255, 256, 257, 2049, 2050, 20000, 32768, 32769])
def test_randperm(size, dtype):
    pair = Pair(17)
    try:
        theirs = torch.randperm(size, dtype=getattr(torch, dtype), generator=pair.theirs)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            randperm(pair.ours, size, dtype)
        return
    pair.same(randperm(pair.ours, size, dtype), theirs.numpy())


@pytest.mark.parametrize("name, arguments", [
    ("exponential_", ()), ("exponential_", (0.3,)), ("exponential_", (1e-3,)), ("cauchy_", ()), ("cauchy_", (-0.3, 1.7)),
    ("log_normal_", ()), ("log_normal_", (0.3, 0.7)), ("geometric_", (0.3,)), ("geometric_", (0.999,)),
])  # fmt: skip
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_continuous_distributions(size, dtype, name, arguments):
    if name == "cauchy_" and arguments:
        # The median cancels the sample somewhere; then the ulps of the tangent count for more.
        pair = Pair(18)
        ours = fill.cauchy_(pair.ours, np.empty(size, dtype), *arguments)
        theirs = torch.empty(size, dtype=getattr(torch, dtype)).cauchy_(*arguments, generator=pair.theirs).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=6 * np.finfo(dtype).eps, atol=6 * np.finfo(dtype).eps)
        pair.same_state()
    else:
        Pair(18).fill(name, (size,), dtype, *arguments, ulps=6)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("probability", [0.001, 0.3])
def test_geometric_of_integers_wraps_around(dtype, probability):
    Pair(19).fill("geometric_", (1000,), dtype, probability)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 4), (5, 8), (7, 9)])
def test_normal_elementwise(shape, dtype):
    pair, rng = Pair(20), np.random.default_rng(2)
    mean, std = rng.random(shape).astype(dtype), rng.random(shape).astype(dtype)
    row = rng.random(shape[1]).astype(dtype)
    for means, stds in ((mean, std), (mean, 0.7), (1.5, std), (row, std), (mean, row)):
        ours = fill.normal_elementwise_(pair.ours, np.empty(shape, dtype), means, stds)
        arguments = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in (means, stds)]
        theirs = torch.normal(*arguments, generator=pair.theirs).numpy()
        assert theirs.dtype == ours.dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=8 * np.finfo(dtype).eps)
        pair.same_state()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(7,), (1,), (3, 7), (5, 300), (1000,), (0, 4)])
@pytest.mark.parametrize("count, replacement", [(1, False), (1, True), (5, True), (3, False), (40, True), (200, False)])
def test_multinomial(shape, dtype, count, replacement):
    pair = Pair(22)
    weights = (np.random.default_rng(3).random(shape) + 0.01).astype(dtype)
    try:
        theirs = torch.multinomial(torch.from_numpy(weights), count, replacement, generator=pair.theirs).numpy()
    except RuntimeError:
        with pytest.raises(RuntimeError):
            multinomial(pair.ours, weights, count, replacement)
        return
    before = pair.ours.clone()
    ours = multinomial(pair.ours, weights, count, replacement)
    if dtype == "float16" and not replacement:
        # Half precision makes equal scores, whose order torch leaves to its partial sort.
        scores = weights / fill.exponential_(before, np.empty_like(weights))
        pair.same(np.take_along_axis(scores, ours, -1), np.take_along_axis(scores, theirs, -1))
    else:
        pair.same(ours, theirs)


@pytest.mark.parametrize("name, dtype, arguments", [
    ("uniform_", "float32", (1.0, 0.0)), ("uniform_", "float32", (-3e38, 3e38)), ("uniform_", "float32", (0.0, 1e39)),
    ("uniform_", "float16", (0.0, 6.6e4)), ("uniform_", "float64", (float("nan"), 1.0)),
    ("uniform_", "int64", ()), ("normal_", "int32", ()),
    ("normal_", "float32", (0.0, -1.0)), ("normal_", "float32", (0.0, float("nan"))), ("exponential_", "float32", (0.0,)),
    ("exponential_", "complex64", ()), ("geometric_", "float32", (1.0,)), ("geometric_", "bool", (0.5,)),
    ("cauchy_", "float32", (0.0, 0.0)),
    ("cauchy_", "int64", ()), ("log_normal_", "float32", (0.0, 0.0)), ("log_normal_", "int64", ()), ("bernoulli_", "float32", (1.5,)),
    ("bernoulli_", "float32", (float("nan"),)), ("bernoulli_", "complex64", (0.5,)), ("random_", "uint8", (0, 257)),
    ("random_", "float16", (0, 70000)), ("random_", "int64", (5, 5)), ("random_", "uint64", (-1, 5)), ("random_", "uint16", ()),
    ("random_", "complex64", ()), ("random_", "bool", (0, 3)),
])  # fmt: skip
@pytest.mark.parametrize("size", [0, 3])
def test_both_refuse(name, dtype, arguments, size):
    theirs = torch.empty(size, dtype=getattr(torch, dtype))
    ours = Mersenne(0)
    try:
        getattr(theirs, name)(*arguments)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            getattr(fill, name)(ours, np.empty(size, dtype), *arguments)
        np.testing.assert_array_equal(ours.get_state(), Mersenne(0).get_state())
    else:
        # An empty tensor escapes some of torch's checks; ours look at the arguments alone.
        assert size == 0


def test_both_refuse_a_bad_state():
    good = Mersenne(0).get_state()
    broken = good.copy()
    broken[8:12] = 0
    for state in (good[:5048], np.concatenate([good, good[:8]]), broken):
        with pytest.raises(RuntimeError):
            torch.Generator().set_state(torch.from_numpy(state.copy()))
        with pytest.raises(RuntimeError):
            Mersenne(0).set_state(state)
