"""Every printed tensor must be, character for character, what torch prints."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.autograd import forward_ad

from ndgrad.core import printing

INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]
COMPLEXES = ["complex64", "complex128"]
DTYPES = ["bool", *INTEGERS, *FLOATS, *COMPLEXES]
SHAPES = [
    (), (1,), (2,), (7,), (40,), (1000,), (1001,), (1, 1), (3, 4), (1, 30), (30, 1), (2, 3, 4), (2, 2, 2, 2), (1, 1, 1, 1, 1),
    (3, 1, 2, 1, 3), (500, 3), (3, 500), (6, 200), (7, 200), (11, 11, 11), (2, 700, 2), (4, 5, 6, 7, 8),
    (1,) * 20, (1,) * 40 + (1100,) + (1,) * 20, (0,), (0, 3), (3, 0), (2, 0, 5),
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"precision": 0},
    {"precision": 1},
    {"precision": 10},
    {"threshold": 0},
    {"threshold": 5, "edgeitems": 1},
    {"threshold": 20, "edgeitems": 2, "linewidth": 30},
    {"threshold": math.inf},
    {"edgeitems": 0},
    {"edgeitems": 0, "threshold": 3},
    {"edgeitems": 500},
    {"linewidth": 1},
    {"linewidth": 20},
    {"linewidth": 200},
    {"sci_mode": True},
    {"sci_mode": False},
    {"sci_mode": True, "precision": 0},
    {"sci_mode": False, "precision": 12, "linewidth": 50},
    {"profile": "short"},
    {"profile": "full"},
    {"profile": "short", "precision": 6, "threshold": 30},
    {"profile": "default"},
]


@contextmanager
def same_options(**options: Any) -> Iterator[None]:
    with torch._tensor_str.printoptions(**options), printing.printoptions(**options):
        yield


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def default_names() -> frozenset[str]:
    default = torch.get_default_dtype()
    default_complex = "complex128" if default == torch.float64 else "complex64"
    return frozenset({name_of(default), default_complex, "int64", "bool"})


def our_text(tensor: torch.Tensor, suffixes: list[str] | None = None, **kwargs: Any) -> str:
    payload = tensor.detach().resolve_conj().resolve_neg().numpy()
    return printing.tensor_text(payload, dtype_name=name_of(tensor.dtype), default_names=default_names(), suffixes=suffixes or [], **kwargs)


def check(tensor: torch.Tensor, suffixes: list[str] | None = None) -> None:
    assert our_text(tensor, suffixes) == repr(tensor)


def magnitudes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 3)


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.integers(-(10 ** rng.integers(1, 6)), 10 ** rng.integers(1, 10), shape), dtype=np.float64)


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    reach = rng.integers(1, 300)
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-reach, reach, shape)


def positive_spread(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    # Straddles each of the three limits beyond which notation becomes scientific.
    return 10.0 ** rng.uniform(*rng.choice([(-5, -3), (-1, 2.1), (6, 9)]), shape)


def specials(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    pool = np.array(
        [0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 1.0, -1.0, 0.5, 1e-4, 1e-5, 1e3, 1e8, 1.5e8, 1e-320, 65504.0, 0.99999]
    )
    return rng.choice(rng.choice(pool, rng.integers(1, 6)), shape)


def limits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    pool = np.array([1.0, 1000.0, 1001.0, 0.001, 0.0001, 0.000099, 1e8, 1e8 + 8, 99999999.0, 9999.99999, 0.00005, 123456.789])
    return rng.choice(rng.choice(pool, rng.integers(1, 4)), shape) * rng.choice([1.0, -1.0], shape)


FLOAT_MAKERS: list[Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = [
    magnitudes, whole_numbers, spread, positive_spread, specials, limits,
]  # fmt: skip


def raw_bits(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Uniformly random bytes: every integer, and for floats mostly huge, tiny, subnormal and NaN of every kind."""
    size = np.dtype(dtype).itemsize * math.prod(shape)
    raw = np.frombuffer(rng.bytes(size), dtype=np.dtype(dtype))
    return raw.reshape(shape).copy()


def random_array(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    if dtype in INTEGERS:
        if rng.random() < 0.4:
            return raw_bits(rng, shape, dtype)
        low, high = max(np.iinfo(dtype).min, -(10 ** int(rng.integers(0, 4)))), min(np.iinfo(dtype).max, 10 ** int(rng.integers(1, 5)))
        return np.asarray(rng.integers(low, high, shape)).astype(dtype)
    if rng.random() < 0.1:
        return raw_bits(rng, shape, dtype)
    if dtype in COMPLEXES:
        out = np.empty(shape, dtype)
        part_dtype = out.real.dtype.name
        out.real, out.imag = random_floats(rng, part_dtype, shape), random_floats(rng, part_dtype, shape)
        return out
    return random_floats(rng, dtype, shape)


def random_floats(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    maker = FLOAT_MAKERS[rng.integers(len(FLOAT_MAKERS))]
    with np.errstate(over="ignore", under="ignore"):
        values = np.asarray(maker(rng, shape)).astype(dtype)
    if rng.random() < 0.2 and values.ndim:
        # A few odd ones among ordinary numbers, often where the summary hides them.
        odd = rng.choice(np.array([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-7, 6e4, 0.25]), shape).astype(dtype)
        values = np.where(rng.random(shape) < rng.choice([0.01, 0.3]), odd, values)
    return values


def random_shape(rng: np.random.Generator) -> tuple[int, ...]:
    ndim = int(rng.integers(0, 6))
    longest = [0, 60, 25, 9, 6, 4][ndim]
    return tuple(int(length) for length in rng.integers(0 if rng.random() < 0.1 else 1, longest + 1, ndim))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_shapes(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng([DTYPES.index(dtype), SHAPES.index(shape)])
    for _ in range(4):
        check(torch.from_numpy(random_array(rng, dtype, shape)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(OPTIONS.index(options))
    with same_options(**options):
        for dtype in DTYPES:
            for shape in [(), (0,), (0, 2), (1,), (9,), (70,), (5, 6), (30, 40), (3, 9, 2), (2, 3, 8, 7)]:
                check(torch.from_numpy(random_array(rng, dtype, shape)))


@pytest.mark.parametrize("seed", range(30))
def test_random_tensors_under_random_options(seed: int) -> None:
    rng = np.random.default_rng([2024, seed])
    for _ in range(100):
        options: dict[str, Any] = {}
        if rng.random() < 0.7:
            options = {
                "precision": int(rng.integers(0, 9)),
                "threshold": int(rng.integers(0, 120)),
                "edgeitems": int(rng.integers(0, 5)),
                "linewidth": int(rng.integers(10, 130)),
                "sci_mode": [None, None, True, False][rng.integers(4)],
            }
        dtype = DTYPES[rng.integers(len(DTYPES))]
        with same_options(**options):
            check(torch.from_numpy(random_array(rng, dtype, random_shape(rng))))


@settings(max_examples=400, deadline=None)
@given(hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_any_array(array: np.ndarray) -> None:
    check(torch.from_numpy(array))


@pytest.mark.parametrize("default", [torch.float16, torch.float32, torch.float64, torch.bfloat16], ids=name_of)
@pytest.mark.parametrize("dtype", DTYPES)
def test_default_dtypes(dtype: str, default: torch.dtype) -> None:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        for shape in [(), (3,), (0,), (2, 0), (20, 20, 20)]:
            check(torch.from_numpy(np.ones(shape, dtype)))
    finally:
        torch.set_default_dtype(previous)


@pytest.mark.parametrize("edgeitems", [0, 3])
def test_suffixes_wrap_where_torch_wraps_them(edgeitems: int) -> None:
    with same_options(edgeitems=edgeitems):
        for count in range(25):
            for dtype in (torch.float32, torch.float64, torch.complex64):
                leaf = torch.arange(count).to(dtype).requires_grad_()
                check(leaf, ["requires_grad=True"])
                check(leaf + 1, ["grad_fn=<AddBackward0>"])
                check(leaf.reshape(1, 1, count), ["grad_fn=<ViewBackward0>"])
            matrix = torch.zeros(count, count + 1, requires_grad=True)
            check(matrix.sum(), ["grad_fn=<SumBackward0>"])
            check(matrix.double().masked_fill(matrix == 0, 1.5), ["grad_fn=<MaskedFillBackward0>"])


@pytest.mark.parametrize("linewidth", range(1, 90, 4))
def test_suffixes_wrap_at_every_line_width(linewidth: int) -> None:
    with same_options(linewidth=linewidth):
        check(torch.arange(6, dtype=torch.float64, requires_grad=True), ["requires_grad=True"])
        check(torch.zeros(2, 3, dtype=torch.float16, requires_grad=True).exp(), ["grad_fn=<ExpBackward0>"])
        check(torch.zeros(2, 0, dtype=torch.float16, requires_grad=True), ["requires_grad=True"])


# Torch compiles its decompositions on first use of forward mode, by a function that it has itself deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_a_suffix_of_several_lines() -> None:
    primal, tangent = torch.rand(3, 3), torch.rand(3, 3)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(primal, tangent)
        assert our_text(primal, [f"tangent={our_text(tangent)}"]) == repr(dual)


def test_the_label_sets_the_indent() -> None:
    class QuiteALongName(torch.Tensor):
        pass

    rng = np.random.default_rng(7)
    for dtype in DTYPES:
        for shape in [(), (60,), (0, 3), (3, 4, 5), (40, 40)]:
            tensor = torch.from_numpy(random_array(rng, dtype, shape))
            assert our_text(tensor, label="QuiteALongName") == repr(tensor.as_subclass(QuiteALongName))


def test_views_print_as_their_numbers() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    large = torch.arange(90_000, dtype=torch.float64).reshape(300, 300)
    z = torch.view_as_complex(torch.arange(12, dtype=torch.float32).reshape(6, 2))
    for view in (
        base.t(),
        base[::2, 1::2],
        base.expand(3, 4, 6),
        large.t(),
        large[:, ::3],
        torch.tensor(2.5).expand(2000),
        z.conj(),
        z.conj().imag,
    ):
        check(view)


def test_bfloat16_held_in_float32_prints_as_bfloat16() -> None:
    rng = np.random.default_rng(11)
    for _ in range(60):
        tensor = torch.from_numpy(random_floats(rng, "float32", random_shape(rng))).to(torch.bfloat16)
        text = printing.tensor_text(tensor.float().numpy(), dtype_name="bfloat16", default_names=default_names(), suffixes=[])
        assert text == repr(tensor)


CALLS: list[dict[str, Any]] = [
    {"precision": 7},
    {"sci_mode": True},
    {"threshold": 12},
    {"edgeitems": 2, "linewidth": 60, "sci_mode": False},
    {"profile": "full"},
    {"profile": "short", "linewidth": 40},
    {"profile": "unheard of"},
    {"profile": "unheard of", "precision": 3},
    {"sci_mode": True, "profile": "default"},
    {},
]


@pytest.mark.parametrize("seed", range(5))
def test_options_evolve_as_in_torch(seed: int) -> None:
    with same_options():
        for index in np.random.default_rng(seed).permutation(len(CALLS)):
            torch.set_printoptions(**CALLS[index])
            printing.set_printoptions(**CALLS[index])
            assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
            assert list(printing.get_printoptions()) == list(torch._tensor_str.get_printoptions())
            with same_options(precision=1, profile="short"):
                assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
            assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
