"""Samples of reductions, products, sorting, counting and statistics."""

from __future__ import annotations

import numpy as np

from ndgrad.base.dtypes import float64
from ndgrad.core.tensor import Tensor
from ndgrad.testing.inputs import Maker, Sample, Spec
from ndgrad.testing.samples.registry import (
    OPERATIONS,
    add,
    add_constant,
    reductions,
)


def regular(m: Maker, *batch: int) -> Tensor:
    """Matrices that are well away from singular."""
    values = m.generator.uniform(-1, 1, (*batch, 3, 3)) + 3 * np.eye(3)
    return m.data(values + 0.5j * m.generator.uniform(-1, 1, values.shape) if m.dtype.is_complex else values)


# ---------------------------------------------------------------- reductions
reductions("sum", "mean", "nansum", "nanmean")
add(
    prod=lambda m: [
        Sample(m.data([[0.0, 2, 3], [1.5, 0, 0]]), 1),
        Sample(m.data([2.0, 0, 3])),
        Sample(m(2, 3)),
        Sample(m(2, 3), 1),
        Sample(m(2, 3), 0, keepdim=True),
        Sample(m()),
    ],
    std=lambda m: [
        Sample(m.real(2, 3)),
        Sample(m.real(2, 3), 1),
        Sample(m.real(2, 3), (0, 1), correction=0),
        Sample(m.real(3), unbiased=False),
    ],
    var=lambda m: [Sample(m(2, 3)), Sample(m(2, 3), 1), Sample(m(2, 3), (0, 1), correction=0, keepdim=True), Sample(m(3), unbiased=False)],
    var_mean=lambda m: [Sample(m(2, 3)), Sample(m(2, 3), 1)],
    std_mean=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 1)],
    norm=lambda m: [
        Sample(m(2, 3)),
        Sample(m(2, 3), 2, 1),
        *(Sample(m.data([[1.0, -2.5, 3.25], [0.5, 4.0, -1.5]]), p, dim=1, keepdim=True) for p in (1, 3, 0.5, float("inf"), -float("inf"))),
    ],
    logsumexp=lambda m: [Sample(m(2, 3), 1), Sample(m(2, 3), (0, 1)), Sample(m(2, 3), -1, keepdim=True)],
    softmax=lambda m: [Sample(m.real(2, 3), 1), Sample(m.real(2, 3), 0), Sample(m.real(2, 3), -1, dtype=float64)],
    log_softmax=lambda m: [Sample(m.real(2, 3), 1), Sample(m.real(2, 3), 0)],
    cumsum=lambda m: [Sample(m(2, 3), 1), Sample(m(2, 3), 0), Sample(m(), 0)],
    cumprod=lambda m: [Sample(m.data([[0.5, 0, 3], [1.5, 0, 0]]), 1), Sample(m(2, 3), 1), Sample(m(4), 0), Sample(m(), 0)],
    logcumsumexp=lambda m: [Sample(m.real(2, 3), 1), Sample(m.real(4), 0)],
    **{
        name: lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(2, 3), 1), Sample(m.distinct(2, 3), 0, keepdim=True)]
        for name in ("max", "min")
    },
    **{
        name: lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(2, 3), 1), Sample(m.distinct(2, 3), (0, 1), True)]
        for name in ("amax", "amin")
    },
    aminmax=lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(2, 3), dim=1)],
    median=lambda m: [Sample(m.distinct(3, 3)), Sample(m.distinct(2, 3), 1)],
    nanmedian=lambda m: [Sample(m.distinct(3, 3)), Sample(m.distinct(2, 3), 1)],
    cummax=lambda m: [Sample(m.distinct(2, 4), 1)],
    cummin=lambda m: [Sample(m.distinct(2, 4), 1)],
    trace=lambda m: [Sample(m(3, 3)), Sample(m(2, 3))],
)
add_constant(
    **{name: lambda m: [Sample(m.mask(2, 3)), Sample(m.mask(2, 3), 1), Sample(m(2, 3), 0, keepdim=True)] for name in ("all", "any")},
    **{
        name: lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(2, 3), 1), Sample(m.distinct(2, 3), 0, True)]
        for name in ("argmax", "argmin")
    },
    count_nonzero=lambda m: [Sample(m(2, 3)), Sample(m(2, 3), 1)],
)

# ---------------------------------------------------------------- products
add(
    matmul=lambda m: [
        *(Sample(m(*x), m(*y)) for x, y in (((2, 3), (3, 2)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 2, 3), (3, 2)))),
        *(Sample(m(*x), m(*y)) for x, y in (((2, 2, 3), (2, 3, 2)), ((3,), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 1)), ((0, 3), (3, 2)))),
    ],
    mm=lambda m: [Sample(m(2, 3), m(3, 2)), Sample(m(2, 0), m(0, 2))],
    bmm=lambda m: [Sample(m(2, 2, 3), m(2, 3, 1))],
    mv=lambda m: [Sample(m(2, 3), m(3))],
    dot=lambda m: [Sample(m(3), m(3)), Sample(m(0), m(0))],
    vdot=lambda m: [Sample(m(3), m(3))],
    inner=lambda m: [Sample(m(3), m(3)), Sample(m(2, 3), m(2, 3))],
    outer=lambda m: [Sample(m(2), m(3))],
    addmm=lambda m: [Sample(m(2, 2), m(2, 3), m(3, 2)), Sample(m(2), m(2, 3), m(3, 2), beta=0.5, alpha=1.5)],
    addmv=lambda m: [Sample(m(2), m(2, 3), m(3)), Sample(m(2), m(2, 3), m(3), beta=0.5, alpha=1.5)],
    addbmm=lambda m: [Sample(m(2, 2), m(2, 2, 3), m(2, 3, 2)), Sample(m(2, 2), m(2, 2, 3), m(2, 3, 2), beta=0.5, alpha=1.5)],
    baddbmm=lambda m: [Sample(m(2, 2, 2), m(2, 2, 3), m(2, 3, 2)), Sample(m(2, 2, 2), m(2, 2, 3), m(2, 3, 2), beta=0.5, alpha=1.5)],
    addr=lambda m: [Sample(m(2, 3), m(2), m(3)), Sample(m(2, 3), m(2), m(3), beta=0.5, alpha=1.5)],
    einsum=lambda m: [
        Sample("ij,jk->ik", m(2, 3), m(3, 2)),
        Sample("ii->i", m(3, 3)),
        Sample("bij,bjk,k->bi", m(2, 2, 3), m(2, 3, 2), m(2)),
    ],
    tensordot=lambda m: [Sample(m(2, 3), m(3, 2), 1), Sample(m(2, 3), m(3, 2), ([0, 1], [1, 0]))],
    kron=lambda m: [Sample(m(2, 2), m(1, 3))],
    cross=lambda m: [Sample(m(2, 3), m(2, 3), dim=1), Sample(m(3, 2), m(3, 2), dim=0)],
    bilinear=lambda m: [Sample(m(2, 3), m(2, 2), m(2, 3, 2)), Sample(m(2, 3), m(2, 2), m(1, 3, 2), m(1))],
    matrix_power=lambda m: [Sample(m(2, 2), n) for n in (1, 3, -2)],
    inverse=lambda m: [Sample(regular(m)), Sample(regular(m, 2))],
    block_diag=lambda m: [Sample(m(2, 2), m(1, 3), m(2))],
)
OPERATIONS["chain_matmul"] = Spec(
    lambda m: [Sample(m(2, 3), m(3, 2), m(2, 1))],
    warns="torch.chain_matmul is deprecated",
    except_for={"out": "the warning, which the test of its own checks, is an error here"},
)

# ---------------------------------------------------------------- sorting, counting, statistics
add(
    sort=lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(3, 2), 0, True), Sample(m.distinct(4), stable=True)],
    msort=lambda m: [Sample(m.distinct(3, 2))],
    topk=lambda m: [Sample(m.distinct(2, 4), 2), Sample(m.distinct(4, 2), 3, 0, False), Sample(m.distinct(5), 2, sorted=True)],
    kthvalue=lambda m: [Sample(m.distinct(2, 4), 2), Sample(m.distinct(4, 2), 3, 0, True)],
    mode=lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(3, 2), 0, True)],
    **{
        name: lambda m: [
            Sample(m.distinct(2, 4), 0.3),
            Sample(m.distinct(2, 4), m.real(2, low=0.1, high=0.9, grad=False), dim=1, keepdim=True),
            *(Sample(m.distinct(5), 0.4, interpolation=how) for how in ("lower", "higher", "nearest", "midpoint")),
        ]
        for name in ("quantile", "nanquantile")
    },
    cov=lambda m: [Sample(m(2, 4)), Sample(m(5), correction=0), Sample(m(2, 3), fweights=m.index([1, 2, 3]))],
    corrcoef=lambda m: [Sample(m(2, 4))],
    diff=lambda m: [Sample(m(5)), Sample(m(2, 4), 2), Sample(m(3, 2), 1, 0, m(1, 2), m(2, 2)), Sample(m.mask(4))],
    dist=lambda m: [Sample(m(2, 3), m(2, 3)), Sample(m(2, 3), m(3), 3), Sample(m(4), m(4), 1)],
    cosine_similarity=lambda m: [Sample(m.real(2, 3), m.real(2, 3)), Sample(m.real(2, 3), m.real(3), dim=0)],
    cdist=lambda m: [
        Sample(m.real(2, 3), m.real(4, 3)),
        Sample(m.real(2, 2, 3), m.real(3, 3), 1.0),
        Sample(m.real(2, 3), m.real(2, 3), p=3.0),
    ],
    pairwise_distance=lambda m: [Sample(m(2, 3), m(2, 3)), Sample(m(2, 3), m(3), 3.0, keepdim=True)],
    cartesian_prod=lambda m: [Sample(m(2), m(3)), Sample(m(2))],
    combinations=lambda m: [Sample(m(4)), Sample(m(3), 2, with_replacement=True)],
)
add_constant(
    argsort=lambda m: [Sample(m.distinct(2, 3)), Sample(m.distinct(3, 2), 0, True), Sample(m.distinct(4), stable=True)],
    allclose=lambda m: [Sample(m(2, 3), m(2, 3)), Sample(m(2), m(2), 1e-3, 10.0)],
    isclose=lambda m: [Sample(m(2, 3), m(3)), Sample(m(2), m(2), atol=1.0)],
    equal=lambda m: [Sample(m(2, 3), m(2, 3)), Sample(m(2), m(3))],
    isin=lambda m: [Sample(m.index([1, 2, 3]), m.index([2])), Sample(m.index([1, 2]), 2, invert=True)],
    bucketize=lambda m: [
        Sample(m.constant(2, 3), m.data([-1.0, 0, 1], grad=False)),
        Sample(m.constant(3), m.data([0.0, 1], grad=False), right=True),
    ],
    searchsorted=lambda m: [
        Sample(m.data([-1.0, 0, 1], grad=False), m.constant(2, 3)),
        Sample(m.data([0.0, 1], grad=False), 0.5, side="right"),
    ],
    unravel_index=lambda m: [Sample(m.index([3, 5]), (2, 3))],
    **{name: lambda m: [Sample(3, 4), Sample(2, 3, 1)] for name in ("tril_indices", "triu_indices")},
    unique=lambda m: [Sample(m.index([3, 1, 3, 2])), Sample(m.constant(4), return_inverse=True, return_counts=True)],
    unique_consecutive=lambda m: [Sample(m.index([3, 3, 1, 3])), Sample(m.constant(4), return_inverse=True, return_counts=True)],
    histc=lambda m: [Sample(m.constant(6), 4), Sample(m.constant(6), 3, -1, 1)],
)
OPERATIONS["bincount"] = Spec(
    lambda m: [Sample(m.index([0, 3, 3])), Sample(m.index([0, 2]), m.constant(2), minlength=5)],
    constant=True,
    except_for={"single_precision": "weights in single precision are added up in double, as torch does"},
)
add(
    **{
        name: lambda m: [Sample(m(4)), Sample(m(2, 4), m(4)), Sample(m(4, 2), dx=0.5, dim=0)]
        for name in ("trapezoid", "trapz", "cumulative_trapezoid")
    },
    vander=lambda m: [Sample(m(3)), Sample(m(3), 2, increasing=True)],
    unsafe_chunk=lambda m: [Sample(m(5, 2), 2)],
    unsafe_split=lambda m: [Sample(m(5, 2), 2)],
    unsafe_split_with_sizes=lambda m: [Sample(m(5, 2), [2, 3])],
)
add_constant(nonzero_static=lambda m: [Sample(m.mask(2, 3), size=2), Sample(m.mask(3), size=4, fill_value=-7)])
