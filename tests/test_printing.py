"""Printed tensors against what torch 2.13 printed for the same numbers."""

import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ndgrad.core import printing
from ndgrad.core.printing import get_printoptions, printoptions, set_printoptions, tensor_text

DEFAULT_NAMES = frozenset({"float32", "complex64", "int64", "bool"})

# name, numbers, options, suffixes, text
CASES: list[tuple[str, Any, dict[str, Any], list[str], str]] = [
    (
        "scalar",
        np.float32(1.5),
        {},
        [],
        "tensor(1.5000)",
    ),
    (
        "scalar_int",
        np.int64(-3),
        {},
        [],
        "tensor(-3)",
    ),
    (
        "scalar_complex",
        np.complex64(1 - 0.5j),
        {},
        [],
        "tensor(1.-0.5000j)",
    ),
    (
        "whole_floats",
        np.array([1.0, -2.0, 30.0], np.float32),
        {},
        [],
        "tensor([ 1., -2., 30.])",
    ),
    (
        "mixed_signs",
        np.array([[1.0, -2.5], [3.25, 100.125]], np.float32),
        {},
        [],
        "tensor([[  1.0000,  -2.5000],\n        [  3.2500, 100.1250]])",
    ),
    (
        "non_finite_among_whole",
        np.array([1.0, math.nan, -math.inf, 0.0], np.float32),
        {},
        [],
        "tensor([1., nan, -inf, 0.])",
    ),
    (
        "only_non_finite",
        np.array([math.nan, math.inf, -math.inf, 0.0], np.float32),
        {},
        [],
        "tensor([nan, inf, -inf, 0.])",
    ),
    (
        "negative_zero",
        np.array([-0.0, 0.0, -0.5]),
        {},
        [],
        "tensor([-0.0000,  0.0000, -0.5000], dtype=torch.float64)",
    ),
    (
        "ratio_of_a_thousand",
        np.array([0.001, 1.0]),
        {},
        [],
        "tensor([0.0010, 1.0000], dtype=torch.float64)",
    ),
    (
        "ratio_above_a_thousand",
        np.array([0.001, 1.001, 0.0, math.nan]),
        {},
        [],
        "tensor([1.0000e-03, 1.0010e+00, 0.0000e+00,        nan], dtype=torch.float64)",
    ),
    (
        "up_to_1e8",
        np.array([1e8, 99999999.0]),
        {},
        [],
        "tensor([100000000.,  99999999.], dtype=torch.float64)",
    ),
    (
        "above_1e8",
        np.array([1.5e8, 1.6e8]),
        {},
        [],
        "tensor([1.5000e+08, 1.6000e+08], dtype=torch.float64)",
    ),
    (
        "below_1e-4",
        np.array([-9e-5, 8e-5], np.float32),
        {},
        [],
        "tensor([-9.0000e-05,  8.0000e-05])",
    ),
    (
        "float16_subnormal",
        np.array([6e-8, 65504.0], np.float16),
        {},
        [],
        "tensor([5.9605e-08, 6.5504e+04], dtype=torch.float16)",
    ),
    (
        "bool",
        np.array([True, False]),
        {},
        [],
        "tensor([ True, False])",
    ),
    (
        "uint64",
        np.array([0, 2**64 - 1], np.uint64),
        {},
        [],
        "tensor([                   0, 18446744073709551615], dtype=torch.uint64)",
    ),
    (
        "int8_column",
        np.array([[-128], [7]], np.int8),
        {},
        [],
        "tensor([[-128],\n        [   7]], dtype=torch.int8)",
    ),
    (
        "complex_apart",
        np.array([1.5 - 2j, -1e-6 + 100j, complex(-0.0, -0.0)], np.complex64),
        {},
        [],
        "tensor([ 1.5000e+00-2.j, -1.0000e-06+100.j, -0.0000e+00-0.j])",
    ),
    (
        "complex_non_finite",
        np.array([complex(math.nan, -math.inf), complex(2.5, math.nan)]),
        {},
        [],
        "tensor([   nan-infj, 2.5000+nanj], dtype=torch.complex128)",
    ),
    (
        "empty",
        np.zeros(0, np.float32),
        {},
        [],
        "tensor([])",
    ),
    (
        "empty_matrix",
        np.zeros((0, 3), np.float32),
        {},
        [],
        "tensor([], size=(0, 3))",
    ),
    (
        "empty_int64",
        np.zeros((2, 0), np.int64),
        {},
        [],
        "tensor([], size=(2, 0), dtype=torch.int64)",
    ),
    (
        "empty_complex",
        np.zeros(0, np.complex64),
        {},
        [],
        "tensor([], dtype=torch.complex64)",
    ),
    (
        "wrapped_row",
        np.arange(25, dtype=np.int32),
        {},
        [],
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24], dtype=torch.int32)",
    ),
    (
        "three_axes",
        np.arange(8).reshape(2, 2, 2),
        {},
        [],
        "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])",
    ),
    (
        "four_axes",
        np.arange(4.0, dtype=np.float32).reshape(2, 1, 2, 1),
        {},
        [],
        "tensor([[[[0.],\n          [1.]]],\n\n\n        [[[2.],\n          [3.]]]])",
    ),
    (
        "summary_row",
        np.arange(1001, dtype=np.float32),
        {},
        [],
        "tensor([   0.,    1.,    2.,  ...,  998.,  999., 1000.])",
    ),
    (
        "summary_decides_notation",
        np.where(np.arange(2000) == 1000, 1e30, 0.5),
        {},
        [],
        "tensor([0.5000, 0.5000, 0.5000,  ..., 0.5000, 0.5000, 0.5000],\n       dtype=torch.float64)",
    ),
    (
        "summary_of_three_axes",
        np.arange(2000).reshape(20, 10, 10),
        {},
        [],
        "tensor([[[   0,    1,    2,  ...,    7,    8,    9],\n"
        "         [  10,   11,   12,  ...,   17,   18,   19],\n"
        "         [  20,   21,   22,  ...,   27,   28,   29],\n"
        "         ...,\n"
        "         [  70,   71,   72,  ...,   77,   78,   79],\n"
        "         [  80,   81,   82,  ...,   87,   88,   89],\n"
        "         [  90,   91,   92,  ...,   97,   98,   99]],\n"
        "\n"
        "        [[ 100,  101,  102,  ...,  107,  108,  109],\n"
        "         [ 110,  111,  112,  ...,  117,  118,  119],\n"
        "         [ 120,  121,  122,  ...,  127,  128,  129],\n"
        "         ...,\n"
        "         [ 170,  171,  172,  ...,  177,  178,  179],\n"
        "         [ 180,  181,  182,  ...,  187,  188,  189],\n"
        "         [ 190,  191,  192,  ...,  197,  198,  199]],\n"
        "\n"
        "        [[ 200,  201,  202,  ...,  207,  208,  209],\n"
        "         [ 210,  211,  212,  ...,  217,  218,  219],\n"
        "         [ 220,  221,  222,  ...,  227,  228,  229],\n"
        "         ...,\n"
        "         [ 270,  271,  272,  ...,  277,  278,  279],\n"
        "         [ 280,  281,  282,  ...,  287,  288,  289],\n"
        "         [ 290,  291,  292,  ...,  297,  298,  299]],\n"
        "\n"
        "        ...,\n"
        "\n"
        "        [[1700, 1701, 1702,  ..., 1707, 1708, 1709],\n"
        "         [1710, 1711, 1712,  ..., 1717, 1718, 1719],\n"
        "         [1720, 1721, 1722,  ..., 1727, 1728, 1729],\n"
        "         ...,\n"
        "         [1770, 1771, 1772,  ..., 1777, 1778, 1779],\n"
        "         [1780, 1781, 1782,  ..., 1787, 1788, 1789],\n"
        "         [1790, 1791, 1792,  ..., 1797, 1798, 1799]],\n"
        "\n"
        "        [[1800, 1801, 1802,  ..., 1807, 1808, 1809],\n"
        "         [1810, 1811, 1812,  ..., 1817, 1818, 1819],\n"
        "         [1820, 1821, 1822,  ..., 1827, 1828, 1829],\n"
        "         ...,\n"
        "         [1870, 1871, 1872,  ..., 1877, 1878, 1879],\n"
        "         [1880, 1881, 1882,  ..., 1887, 1888, 1889],\n"
        "         [1890, 1891, 1892,  ..., 1897, 1898, 1899]],\n"
        "\n"
        "        [[1900, 1901, 1902,  ..., 1907, 1908, 1909],\n"
        "         [1910, 1911, 1912,  ..., 1917, 1918, 1919],\n"
        "         [1920, 1921, 1922,  ..., 1927, 1928, 1929],\n"
        "         ...,\n"
        "         [1970, 1971, 1972,  ..., 1977, 1978, 1979],\n"
        "         [1980, 1981, 1982,  ..., 1987, 1988, 1989],\n"
        "         [1990, 1991, 1992,  ..., 1997, 1998, 1999]]])",
    ),
    (
        "summary_of_long_axes_only",
        np.arange(2000).reshape(1000, 2),
        {},
        [],
        "tensor([[   0,    1],\n"
        "        [   2,    3],\n"
        "        [   4,    5],\n"
        "        ...,\n"
        "        [1994, 1995],\n"
        "        [1996, 1997],\n"
        "        [1998, 1999]])",
    ),
    (
        "grad_fn",
        np.zeros(3, np.float32),
        {},
        ["grad_fn=<AddBackward0>"],
        "tensor([0., 0., 0.], grad_fn=<AddBackward0>)",
    ),
    (
        "wrapped_suffix",
        np.full((2, 7), math.log(2)),
        {},
        ["grad_fn=<BinaryCrossEntropyWithLogitsBackward0>"],
        "tensor([[0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931],\n"
        "        [0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931]],\n"
        "       dtype=torch.float64, grad_fn=<BinaryCrossEntropyWithLogitsBackward0>)",
    ),
    (
        "short",
        np.arange(9.0).reshape(3, 3) / 7,
        {"profile": "short", "threshold": 5},
        [],
        "tensor([[0.00, 0.14, 0.29],\n        [0.43, 0.57, 0.71],\n        [0.86, 1.00, 1.14]], dtype=torch.float64)",
    ),
    (
        "precision",
        np.array([math.pi, math.e]),
        {"precision": 10},
        [],
        "tensor([3.1415926536, 2.7182818285], dtype=torch.float64)",
    ),
    (
        "forced_notation",
        np.array([1.0, 0.0, -20.0], np.float32),
        {"sci_mode": True},
        [],
        "tensor([ 1.0000e+00,  0.0000e+00, -2.0000e+01])",
    ),
    (
        "forbidden_notation",
        np.array([1e-6, 1e6], np.float32),
        {"sci_mode": False},
        [],
        "tensor([      0.0000, 1000000.0000])",
    ),
    (
        "no_edges",
        np.zeros((2, 3)),
        {"edgeitems": 0, "threshold": 5},
        [],
        "tensor([...], size=(2, 3), dtype=torch.float64)",
    ),
    (
        "narrow",
        np.arange(6, dtype=np.float32),
        {"linewidth": 20},
        ["requires_grad=True"],
        "tensor([0., 1., 2.,\n        3., 4., 5.],\n       requires_grad=True)",
    ),
]


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    with printoptions():
        set_printoptions(profile="default")
        yield


def text_of(values: Any, suffixes: list[str] | None = None, **kwargs: Any) -> str:
    values = np.asarray(values)
    return tensor_text(values, **{"dtype_name": values.dtype.name, "default_names": DEFAULT_NAMES, "suffixes": suffixes or [], **kwargs})


@pytest.mark.parametrize(("values", "options", "suffixes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_prints_as_torch(values: Any, options: dict[str, Any], suffixes: list[str], expected: str) -> None:
    with printoptions(**options):
        assert text_of(values, suffixes) == expected


def test_the_default_dtype_goes_unsaid() -> None:
    double_names = frozenset({"float64", "complex128", "int64", "bool"})
    assert text_of(np.ones(2), default_names=double_names) == "tensor([1., 1.])"
    assert text_of(np.ones(2, np.complex128), default_names=double_names) == "tensor([1.+0.j, 1.+0.j])"
    assert text_of(np.ones(2, np.float32), default_names=double_names) == "tensor([1., 1.], dtype=torch.float32)"
    assert text_of(np.ones(0), default_names=double_names) == "tensor([])"
    assert text_of(np.ones(0, np.complex128), default_names=double_names) == "tensor([], dtype=torch.complex128)"


def test_suffixes_keep_their_order_after_size_and_dtype() -> None:
    text = text_of(np.zeros((0, 2)), ["requires_grad=True", "tangent=tensor([])"])
    assert text == "tensor([], size=(0, 2), dtype=torch.float64, requires_grad=True,\n       tangent=tensor([]))"
    assert text_of(np.int64(1), ["a=1", "b=2"]) == "tensor(1, a=1, b=2)"


def test_the_label_sets_the_indent() -> None:
    assert text_of(np.arange(4).reshape(2, 2), label="Weights") == "Weights([[0, 1],\n         [2, 3]])"


def test_a_shape_given_apart_from_the_numbers() -> None:
    assert text_of(np.arange(4), shape=(2, 2)) == "tensor([[0, 1],\n        [2, 3]])"
    assert text_of(np.zeros(0, np.float32), shape=(3, 0)) == "tensor([], size=(3, 0))"


def test_only_the_summary_is_looked_at() -> None:
    # Were it not so, these would need far more memory than there is.
    huge = np.broadcast_to(np.float32(0.5), (10**6, 10**6, 10**5))
    block = "[[0.5000, 0.5000, 0.5000,  ..., 0.5000, 0.5000, 0.5000],"
    assert text_of(huge).startswith("tensor([" + block)
    with printoptions(edgeitems=1):
        assert text_of(huge[0]) == ("tensor([[0.5000,  ..., 0.5000],\n        ...,\n        [0.5000,  ..., 0.5000]])")
    assert text_of(np.broadcast_to(np.int64(3), (2, 10**12)), shape=None) == (
        "tensor([[3, 3, 3,  ..., 3, 3, 3],\n        [3, 3, 3,  ..., 3, 3, 3]])"
    )


def test_as_many_axes_as_numpy_allows() -> None:
    assert text_of(np.full((1,) * 64, 7)) == "tensor(" + "[" * 64 + "7" + "]" * 64 + ")"
    with printoptions(threshold=0):
        assert text_of(np.full((1,) * 64, 7)) == "tensor(" + "[" * 64 + "7" + "]" * 64 + ")"


def test_every_kind_of_nan_prints_without_a_warning() -> None:
    signalling = np.array([0x7C01, 0xFC01, 0x7E00], np.uint16).view(np.float16)
    assert text_of(signalling) == "tensor([nan, nan, nan], dtype=torch.float16)"
    signalling = np.array([0x7F800001, 0x3FC00000], np.uint32).view(np.float32)
    assert text_of(signalling) == "tensor([   nan, 1.5000])"


def test_set_printoptions_changes_only_what_it_is_given_but_always_the_notation() -> None:
    set_printoptions(precision=7, sci_mode=True)
    assert get_printoptions() == {"precision": 7, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": True}
    set_printoptions(linewidth=60)
    assert get_printoptions() == {"precision": 7, "threshold": 1000, "edgeitems": 3, "linewidth": 60, "sci_mode": None}


def test_profiles() -> None:
    set_printoptions(profile="short", linewidth=60)
    assert get_printoptions() == {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 60, "sci_mode": None}
    set_printoptions(profile="full")
    assert get_printoptions() == {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
    set_printoptions(profile="unheard of")
    assert get_printoptions()["threshold"] == math.inf
    set_printoptions(profile="default")
    assert get_printoptions() == {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def test_printoptions_restores_after_an_error_and_decorates() -> None:
    before = get_printoptions()
    with pytest.raises(ZeroDivisionError), printoptions(precision=1, sci_mode=True):
        assert text_of(np.float32(12.0)) == "tensor(1.2e+01)"
        raise ZeroDivisionError
    assert get_printoptions() == before

    @printoptions(precision=2)
    def short_text() -> str:
        return text_of(np.float32(0.125))

    assert short_text() == short_text() == "tensor(0.12)"
    assert get_printoptions() == before


def test_the_options_in_force_are_one_object() -> None:
    options = printing.current_options
    with printoptions(precision=9):
        assert printing.current_options is options
        assert options.precision == 9


def test_set_printoptions_takes_torchs_arguments_in_order() -> None:
    assert list(inspect.signature(set_printoptions).parameters) == [
        "precision", "threshold", "edgeitems", "linewidth", "profile", "sci_mode",
    ]  # fmt: skip
