"""Samples of operations that copy, convert and create."""

from __future__ import annotations

from ndgrad.base.dtypes import float32, float64
from ndgrad.ops.declare import table
from ndgrad.testing.inputs import Sample, Spec
from ndgrad.testing.samples.registry import (
    OPERATIONS,
    add,
    add_constant,
    add_random,
    add_random_constant,
)

# ---------------------------------------------------------------- copies and conversions
add(
    clone=lambda m: [Sample(m(2, 3)), Sample(m()), Sample(m(0, 2))],
    contiguous=lambda m: [Sample(m(2, 3)), Sample(m(2, 3).t())],
    double=lambda m: [Sample(m.real(2, 3))],
    cdouble=lambda m: [Sample(m(2, 3))],
    to=lambda m: [Sample(m(2, 3), m(1).dtype), Sample(m(3), m(1).dtype, copy=True)],
    type_as=lambda m: [Sample(m(2), m.constant(3))],
    type=lambda m: [Sample(m(2), m(1).dtype)],
    conj=lambda m: [Sample(m(2, 3))],
    copy_=lambda m: [Sample(m(2, 3), m(3)), Sample(m(2), m())],
)
add_constant(
    **{name: lambda m: [Sample(m.real(2, 3, low=0, high=5, grad=False))] for name in ("bool", "byte", "char", "short", "int", "long")},
    detach=lambda m: [Sample(m(2, 3))],
    detach_=lambda m: [Sample(m(2, 3))],
    is_same_size=lambda m: [Sample(m(2), m(3))],
    is_set_to=lambda m: [Sample(m(2), m(2))],
    is_tensor=lambda m: [Sample(m(2)), Sample(2)],
    requires_grad_=lambda m: [Sample(m.constant(2), False)],
)
_NARROW = "the result is too narrow for finite differences"
for _name in ("float", "half", "cfloat"):
    OPERATIONS[_name] = Spec(
        lambda m: [Sample(m.real(2, 3))],
        except_for={"vjp": _NARROW, "jvp": _NARROW, "double_backward": _NARROW, "single_precision": _NARROW},
    )

# ---------------------------------------------------------------- complex numbers
add(
    complex=lambda m: [Sample(m.real(2, 3), m.real(2, 3)), Sample(m.real(2, 1), m.real(3))],
    polar=lambda m: [Sample(m.real(2, 3, low=0.3, high=2), m.real(2, 3))],
    **{
        name: lambda m: [Sample(m.complex(2, 3)), Sample(m.complex())]
        for name in ("real", "imag", "conj_physical", "resolve_conj", "resolve_neg", "view_as_real")
    },
    view_as_complex=lambda m: [Sample(m.data([[0.5, 1], [2, -1]]) if m.dtype.is_complex else m(3, 2).clone())],
)
add_constant(
    **{
        name: lambda m: [Sample(m(2, 3)), Sample(m.complex(2)), Sample(m.mask(2))]
        for name in ("is_complex", "is_conj", "is_floating_point", "is_inference", "is_neg", "is_signed", "numel")
    },
    is_nonzero=lambda m: [Sample(m(1)), Sample(m.mask())],
    is_storage=lambda m: [Sample(m(1)), Sample(2)],
    result_type=lambda m: [Sample(m(2), m.index([1])), Sample(m.index(1), 2.5)],
    typename=lambda m: [Sample(m(1)), Sample([])],
)
# ---------------------------------------------------------------- creation
add_constant(
    arange=lambda m: [Sample(5), Sample(1.0, 2.0, 0.3), Sample(5, 0, -2, dtype=float32)],
    as_tensor=lambda m: [Sample([1.0, 2.0]), Sample(2, dtype=float64)],
    eye=lambda m: [Sample(3), Sample(2, 3)],
    full=lambda m: [Sample((2, 3), 1.5), Sample((), 2)],
    from_numpy=lambda m: [Sample(m.constant(3)._memory())],
    linspace=lambda m: [Sample(0, 1, 5), Sample(-2.0, 3.0, 1)],
    scalar_tensor=lambda m: [Sample(1.5)],
    asarray=lambda m: [Sample([1.0, 2.0]), Sample(m.constant(2), copy=True)],
    from_dlpack=lambda m: [Sample(m.constant(3))],
    frombuffer=lambda m: [Sample(bytearray(range(16)), dtype=float64)],
    empty_permuted=lambda m: [Sample((0, 3), (1, 0))],
    empty_strided=lambda m: [Sample((0, 3), (1, 2))],
    new_empty_strided=lambda m: [Sample(m.constant(2), (0, 3), (1, 2))],
    logspace=lambda m: [Sample(0, 2, 5), Sample(1.0, -1.0, 3, base=2.0)],
    **{
        name: lambda m: [Sample(5), Sample(4, False)]
        for name in ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window")
    },
    __dlpack__=lambda m: [Sample(m.constant(3))],
    __dlpack_device__=lambda m: [Sample(m.constant(3))],
    tensor=lambda m: [Sample([[1.0, 2.0]]), Sample(3)],
    **{name: lambda m: [Sample(2, 3), Sample((0, 2)), Sample(())] for name in ("ones", "zeros")},
    **{name: lambda m: [Sample(m(2, 3)), Sample(m())] for name in ("ones_like", "zeros_like")},
    **{name: lambda m: [Sample(m(2), (2, 3))] for name in ("new_ones", "new_zeros")},
    full_like=lambda m: [Sample(m(2, 3), 1.5)],
    new_full=lambda m: [Sample(m(2), (2, 3), 1.5)],
    new_tensor=lambda m: [Sample(m(2), [1.0, 2.0])],
    empty=lambda m: [Sample(0, 3)],
    empty_like=lambda m: [Sample(m(0, 3))],
    new_empty=lambda m: [Sample(m(2), (0, 3))],
)
OPERATIONS["range"] = Spec(lambda m: [Sample(1, 4), Sample(0.0, 1.0, 0.3)], constant=True, warns="torch.range is deprecated")

# ---------------------------------------------------------------- random numbers
add_random_constant(
    **{name: lambda m: [Sample(2, 3), Sample((17,), dtype=float64), Sample(())] for name in ("rand", "randn")},
    **{name: lambda m: [Sample(m.constant(2, 3))] for name in ("rand_like", "randn_like")},
    randint=lambda m: [Sample(5, (2, 3)), Sample(-3, 4, (17,))],
    randint_like=lambda m: [Sample(m.constant(2, 3), 5)],
    randperm=lambda m: [Sample(7)],
    normal=lambda m: [Sample(0.5, 2.0, (2, 3)), Sample(m.real(2, 3, grad=False), 0.5), Sample(0.0, m.real(3, low=0.1, high=1, grad=False))],
    multinomial=lambda m: [Sample(m.real(4, low=0.1, high=1, grad=False), 2), Sample(m.real(2, 3, low=0.1, high=1, grad=False), 5, True)],
    bernoulli=lambda m: [Sample(m.real(2, 3, low=0, high=1, grad=False)), Sample(m.real(3, grad=False), 0.3)],
)
# what they write over had a gradient, which is zero from then on
add_random(
    bernoulli_=lambda m: [Sample(m(2, 3)), Sample(m(3), 0.3), Sample(m.real(3), m.real(3, low=0.1, high=0.9, grad=False))],
    geometric_=lambda m: [Sample(m.real(2, 3), 0.3)],
    random_=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 7), Sample(m.real(2, 3), -3, 9)],
    **{
        name: lambda m: [Sample(m.real(2, 3)), Sample(m.real(17))]
        for name in ("cauchy_", "exponential_", "log_normal_", "normal_", "uniform_")
    },
)
for _name in ("bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_", "uniform_"):
    OPERATIONS[_name].except_for["single_precision"] = (
        "random numbers of another precision are other numbers, which are compared with torch"
    )
add_constant(
    manual_seed=lambda m: [Sample(7)],
    seed=lambda m: [Sample()],
    initial_seed=lambda m: [Sample()],
    get_rng_state=lambda m: [Sample()],
    set_rng_state=lambda m: [Sample(table["get_rng_state"].function())],
)
