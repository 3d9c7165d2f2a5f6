"""The random kernels by themselves: known numbers of torch's CPU generator, saved states, and the arithmetic they stand on."""

from __future__ import annotations

import hashlib
import threading
from fractions import Fraction

import numpy as np
import pytest

from ndgrad.kernels import distributions as fill
from ndgrad.kernels import sampling
from ndgrad.kernels.fused import fused_multiply_add
from ndgrad.kernels.mersenne import STATE_BYTES, Mersenne
from ndgrad.kernels.sampling import multinomial, randperm


def made(name, shape, dtype, *arguments, seed=42):
    return getattr(fill, name)(Mersenne(seed), np.empty(shape, dtype), *arguments)


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


# Everything called known below was printed by torch 2.13.0 on the CPU, from a generator with seed 42 unless said otherwise.


def test_known_words():
    engine = Mersenne(42)
    assert (engine.random32(4) & (2**27 - 1)).tolist() == [132242534, 65682867, 56755036, 116757774]
    engine.seed(42)
    high, low = Mersenne(42).random32(2).tolist()
    assert engine.random64(1).tolist() == [high << 32 | low]


@pytest.mark.parametrize("seed, expected", [
    (-1, [0.9937993884086609, 0.5713063478469849]),
    (2**64 - 1, [0.9937993884086609, 0.5713063478469849]),
    (2**63, [0.49625658988952637, 0.7682217955589294]),
    (0, [0.49625658988952637, 0.7682217955589294]),
    (2**32 + 42, [0.8822692632675171, 0.9150039553642273]),
])  # fmt: skip
def test_known_seeds(seed, expected):
    assert made("uniform_", 2, np.float32, seed=seed).tolist() == expected
    assert Mersenne(seed).initial_seed == seed % 2**64


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seeds_beyond_64_bits_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        Mersenne(seed)


@pytest.mark.parametrize("dtype, unit, shifted", [
    ("float16", [0.88232421875, 0.9150390625, 0.3828125, 0.95947265625], [0.93505859375, 0.98095703125, 0.2359619140625, 1.04296875]),
    ("float32", [0.8822692632675171, 0.9150039553642273, 0.38286375999450684, 0.9593056440353394],
     [0.9351770281791687, 0.9810056090354919, 0.23600928485393524, 1.0430279970169067]),
    ("float64", [0.05815448596142969, 0.06291016742457756, 0.12358607277440903, 0.05258016436107704],
     [-0.21858371965399842, -0.2119257656055914, -0.12697949811582734, -0.22638776989449214]),
])  # fmt: skip
def test_known_uniforms(dtype, unit, shifted):
    assert made("uniform_", 4, dtype).tolist() == unit
    assert made("uniform_", 4, dtype, -0.3, 1.1).tolist() == shifted


@pytest.mark.parametrize("dtype, five, nineteen", [
    ("float16", [0.336669921875, 0.1287841796875, 0.2344970703125, 0.2303466796875, -1.123046875],
     [1.9267578125, 1.078125, -0.2315673828125, 0.041748046875, 0.85986328125]),
    ("float32", [0.33669036626815796, 0.12880940735340118, 0.23446236550807953, 0.23033303022384644, -1.1228563785552979],
     [1.9269152879714966, 0.3558599054813385, 0.859858512878418, -0.3097267746925354, 0.8034093379974365]),
    ("float64", [0.33669035438385886, 0.1288094051365897, 0.23446236336153173, 0.2303330279146119, -1.1228563767381703],
     [0.2995562877502637, 0.038435238263354446, 0.855215961472287, 0.2494118796915765, -1.526543923410825]),
])  # fmt: skip
def test_known_normals(dtype, five, nineteen):
    np.testing.assert_allclose(made("normal_", 5, dtype), five, rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(made("normal_", 19, dtype)[[0, 8, 15, 16, 18]], nineteen, rtol=8 * np.finfo(dtype).eps)


def test_known_complex_normals():
    real = [0.23807603274492842, 0.1657899270659634, -0.7939793582901169]
    imaginary = [0.09108200385268787, 0.1628700459696524, -0.1317540039561703]
    samples = made("normal_", 3, np.complex128)
    np.testing.assert_allclose(samples.real, real, rtol=1e-14)
    np.testing.assert_allclose(samples.imag, imaginary, rtol=1e-14)


@pytest.mark.parametrize("dtype, bounds, expected", [
    ("int64", (0, 10), [2, 7, 6, 4, 6, 5, 0, 4]),
    ("int64", (0, 2**30), [199900595, 787846414, 127521863, 415968276]),
    ("int64", (), [6909045637428952499, 8314211556539077902, 4279532810384561223, 1819927849474927636]),
    ("uint8", (), [102, 179, 92, 14, 106, 71]),
    ("float32", (), [14801927.0, 15351016.0, 6423145.0]),
])  # fmt: skip
def test_known_integers(dtype, bounds, expected):
    assert made("random_", len(expected), dtype, *bounds).tolist() == expected


def test_known_permutations():
    assert randperm(Mersenne(42), 10).tolist() == [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]
    assert randperm(Mersenne(42), 30000)[[0, 1, 2, 15000, 29998, 29999]].tolist() == [7542, 10109, 19114, 8446, 14793, 1665]


def test_known_bernoullis():
    assert made("bernoulli_", 12, np.float32, 0.3).tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0]
    single = np.full(12, 0.3, np.float32)
    assert made("bernoulli_", 12, np.float32, single).tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("name, arguments, expected", [
    ("exponential_", (2.0,), [0.029957007845401073, 0.03248806439669265, 0.06595838999204529, 0.02700647589534708]),
    ("cauchy_", (0.5, 2.0), [-10.324974593994627, -9.487402160112728, -4.3897486534543475, -11.497278831183117]),
    ("log_normal_", (), [5.330157080559128, 3.517036776692234, 4.34456103815977, 4.3088284931287575]),
    ("geometric_", (0.3,), [8.0, 8.0, 6.0, 9.0]),
])  # fmt: skip
def test_known_continuous_samples(name, arguments, expected):
    np.testing.assert_allclose(made(name, 4, np.float64, *arguments), expected, rtol=1e-14)


def test_known_categories():
    weights = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    assert multinomial(Mersenne(42), weights, 4).tolist() == [3, 1, 2, 0]
    assert multinomial(Mersenne(42), weights, 8, replacement=True).tolist() == [0, 0, 1, 0, 2, 2, 3, 3]
    assert multinomial(Mersenne(42), np.array([[0, 1, 0], [1, 0, 0]], np.float64), 3, replacement=True).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_known_states():
    engine = Mersenne(42)
    fill.normal_(engine, np.empty(3, np.float32))
    assert engine.spare_normal is not None
    assert digest(engine.get_state()) == "465eb69e777fa9219f5c7fe27ddd8c19305fee009fb9ff06a4c8ea775fec0b7d"
    assert digest(Mersenne(2**40 + 7).get_state()) == "08e51d64c2cbb1dc42de09f843c2c55ace6a1c83f2b47789b18239094bf0ba69"


def test_known_single_precision_normals_to_the_bit():
    assert digest(made("normal_", 10007, np.float32, 0.5, 0.3)) == "5e23e2b8ee814bbadc6664da73e544c2a85fe646d9aee2230d57ba48875a5036"
    assert digest(made("normal_", 10007, np.float16)) == "858d09ccbe37cf83219b5446010bc8637cf24804c51e8d88f972521be7c95daf"


def test_a_transposed_view_is_filled_as_its_base():
    expected = [[0.8822692632675171, 0.38286375999450684, 0.3904482126235962], [0.9150039553642273, 0.9593056440353394, 0.600895345211029]]
    assert fill.uniform_(Mersenne(42), np.empty((3, 2), np.float32).T).tolist() == expected


@pytest.mark.parametrize("words", [0, 1, 623, 624, 625, 3000])
@pytest.mark.parametrize("normals", [0, 1, 2])
def test_state_round_trip(words, normals):
    engine = Mersenne(-5)
    engine.skip(words)
    fill.normal_(engine, np.empty(normals))
    state = engine.get_state()
    assert state.dtype == np.uint8 and state.shape == (STATE_BYTES,)
    others = [Mersenne(1), Mersenne(2), engine.clone()]
    others[0].set_state(state)
    others[1].set_state(state.tobytes())
    for other in others:
        assert other.initial_seed == 2**64 - 5
        np.testing.assert_array_equal(other.get_state(), state)
    expected = fill.normal_(engine, np.empty(1001))[::2]
    for other in others:
        np.testing.assert_array_equal(fill.normal_(other, np.empty(1001))[::2], expected)
        np.testing.assert_array_equal(other.get_state(), engine.get_state())


def test_setting_a_bad_state_changes_nothing():
    engine = Mersenne(3)
    before = engine.get_state()
    broken = before.copy()
    broken[12] = 0
    for state in (before[:-1], np.append(before, before[:8]), np.zeros_like(before), broken):
        with pytest.raises(RuntimeError):
            engine.set_state(state)
    np.testing.assert_array_equal(engine.get_state(), before)


def test_seeding_drops_the_spare_normal_and_reseeding_differs():
    engine = Mersenne(3)
    fill.normal_(engine, np.empty(1))
    engine.seed(3)
    assert engine.spare_normal is None
    np.testing.assert_array_equal(engine.get_state(), Mersenne(3).get_state())
    assert engine.reseed() == engine.initial_seed != engine.reseed()


def test_skipping_is_drawing():
    skipped, drawn = Mersenne(1), Mersenne(1)
    skipped.skip(777)
    drawn.words(777)
    np.testing.assert_array_equal(skipped.get_state(), drawn.get_state())


def test_threads_share_one_stream_without_losing_a_word():
    engine, parts = Mersenne(8), []

    def work():
        for _ in range(40):
            parts.append(fill.uniform_(engine, np.empty(20000)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = fill.uniform_(Mersenne(8), np.empty((160, 20000)))
    # Each fill is one piece of the stream, although it is drawn in several blocks.
    assert {part.tobytes() for part in parts} == {row.tobytes() for row in expected}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_multiply_add_rounds_once(dtype):
    rng = np.random.default_rng(0)
    x = rng.random(300).astype(dtype)
    scales = [0.1, 1.4, -3.7, 1e20, 1e-20, *([1e300, 1e-290] if dtype is np.float64 else [])]
    for scale in scales:
        for ratio in (0.3, -0.5, 1.0, -1.0, 1e-7, 1e7):
            scale_, shift = float(dtype(scale)), float(dtype(scale * ratio))
            exact = [Fraction(float(v)) * Fraction(scale_) + Fraction(shift) for v in x]
            result = fused_multiply_add(x, scale_, shift)
            assert result.dtype == dtype
            for value, truth in zip(result, exact, strict=True):
                error = abs(Fraction(float(value)) - truth)
                for side in (-np.inf, np.inf):
                    assert error <= abs(Fraction(float(np.nextafter(value, dtype(side)))) - truth)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_fused_multiply_add_beside_a_tie(dtype, sign):
    # The exact sum is 1 + eps +- eps / 2 less a speck that the next wider rounding loses, to end on the tie and go astray.
    eps = float(np.finfo(dtype).eps)
    x, scale, shift = np.array([1 + eps], dtype), sign * eps / 2 * (1 - eps), 1 + eps
    assert fused_multiply_add(x, scale, shift)[0] == 1 + eps
    assert fused_multiply_add(x, -scale, -shift)[0] == -(1 + eps)


def test_permutations_by_swaps_match_a_loop():
    rng = np.random.default_rng(0)
    for size in [*range(2, 40), 2000]:
        targets = np.array([rng.integers(step, size) for step in range(size - 1)])
        expected = list(range(size))
        for step, target in enumerate(targets):
            expected[step], expected[target] = expected[target], expected[step]
        assert sampling.swapped(targets).tolist() == expected


def test_long_permutations_match_a_loop(monkeypatch):
    monkeypatch.setattr(sampling, "_LONG", 20)
    monkeypatch.setattr(sampling, "_BLOCK", 7)
    for size in (20, 21, 50, 999):
        numbers = Mersenne(6).random64(size).tolist()
        expected = [0] * size
        for step, number in enumerate(numbers):
            expected[step] = expected[number % (step + 1)]
            expected[number % (step + 1)] = step
        assert randperm(Mersenne(6), size).tolist() == expected
        assert sorted(expected) == list(range(size))


@pytest.mark.parametrize("size", [0, 5, 40000])
def test_every_fill_returns_the_array_it_was_given(size):
    for name, dtype, arguments in [
        ("uniform_", np.float16, ()), ("normal_", np.complex64, ()), ("random_", np.int8, ()), ("bernoulli_", np.bool_, (0.2,)),
        ("geometric_", np.uint8, (0.4,)), ("exponential_", np.float32, ()), ("cauchy_", np.float32, ()), ("log_normal_", np.float16, ()),
        ("normal_elementwise_", np.float32, (1.0, np.full(size, 2.0, np.float32))),
    ]:  # fmt: skip
        out = np.zeros(size, dtype)
        assert getattr(fill, name)(Mersenne(0), out, *arguments) is out
        assert size < 40000 or len(np.unique(out)) > 1


def test_snapshots():
    engine, twin = Mersenne(42), Mersenne(42)
    assert engine.snapshot() == engine.snapshot()  # nothing was drawn: the same one
    fresh = engine.snapshot()
    first = engine.words(700).tolist()
    engine.spare_normal = 0.5
    later = engine.snapshot()
    second = engine.words(5).tolist()
    engine.restore(later)
    assert engine.spare_normal == 0.5 and engine.words(5).tolist() == second
    engine.seed(3)
    engine.restore(fresh)
    assert engine.initial_seed == 42 and engine.spare_normal is None
    assert engine.get_state().tolist() == twin.get_state().tolist()
    assert engine.words(700).tolist() == first
    state = engine.get_state()
    here = engine.snapshot()
    engine.words(3)
    engine.set_state(state)
    assert engine.snapshot() is not here
    engine.words(1)
    engine.restore(here)
    assert engine.get_state().tolist() == state.tolist()
    assert engine.clone().words(3).tolist() == engine.words(3).tolist()
