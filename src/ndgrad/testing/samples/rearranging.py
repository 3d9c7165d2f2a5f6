"""Samples of operations on shapes, and of indexing."""

from __future__ import annotations

import math
import operator

from ndgrad.core.tensor import Tensor
from ndgrad.testing.inputs import Maker, Sample
from ndgrad.testing.samples.registry import (
    OPERATIONS,
    add,
    add_constant,
)

# ---------------------------------------------------------------- shapes
add(
    reshape=lambda m: [Sample(m(2, 3), (3, 2)), Sample(m(2, 3), -1), Sample(m(1), ()), Sample(m(0, 3), (3, 0))],
    reshape_as=lambda m: [Sample(m(2, 3), m.constant(3, 2))],
    view=lambda m: [Sample(m(2, 3).clone(), (2, 3)), Sample(m(2, 1, 3), 2, 3, 1)],
    view_as=lambda m: [Sample(m(2, 3), m.constant(2, 1, 3))],
    transpose=lambda m: [Sample(m(2, 3, 1), 0, 1), Sample(m(2, 3), -1, 0), Sample(m(), 0, -1)],
    swapaxes=lambda m: [Sample(m(2, 3, 1), 0, 1), Sample(m(2, 3), -1, 0), Sample(m(), 0, -1)],
    t=lambda m: [Sample(m(2, 3)), Sample(m(3))],
    adjoint=lambda m: [Sample(m(2, 3)), Sample(m(2, 2, 3))],
    expand=lambda m: [Sample(m(2, 1), 2, 3), Sample(m(3), (2, -1)), Sample(m(), 2, 2)],
    expand_as=lambda m: [Sample(m(2, 1), m.constant(2, 3))],
    broadcast_to=lambda m: [Sample(m(2, 1), (4, 2, 3))],
    broadcast_tensors=lambda m: [Sample(m(2, 1), m(3))],
    flatten=lambda m: [Sample(m(2, 3, 2)), Sample(m(2, 3, 2), 1), Sample(m())],
    unflatten=lambda m: [Sample(m(2, 6), 1, (3, 2)), Sample(m(6), 0, (-1, 2))],
    ravel=lambda m: [Sample(m(2, 3))],
    permute=lambda m: [Sample(m(2, 3, 1), (2, 0, 1)), Sample(m(2, 3), (-1, 0))],
    movedim=lambda m: [Sample(m(2, 3, 1), 0, 2), Sample(m(2, 3, 1), (0, 1), (1, 2))],
    squeeze=lambda m: [Sample(m(2, 1, 3, 1)), Sample(m(2, 1, 3), 1), Sample(m(2, 1, 1), (1, 2)), Sample(m(2, 3), 0)],
    unsqueeze=lambda m: [Sample(m(2, 3), 1), Sample(m(), 0), Sample(m(2), -1)],
    **{f"atleast_{n}d": lambda m: [Sample(m()), Sample(m(2)), Sample(m(2, 3))] for n in (1, 2, 3)},
    narrow=lambda m: [Sample(m(2, 4), 1, 1, 2), Sample(m(4), 0, -3, 2)],
    narrow_copy=lambda m: [Sample(m(2, 4), 1, 1, 2), Sample(m(4), 0, -3, 2)],
    select=lambda m: [Sample(m(2, 3), 1, 2), Sample(m(2, 3), 0, -1)],
    diagonal=lambda m: [Sample(m(3, 3)), Sample(m(2, 3, 4), 1, 0, 2), Sample(m(3, 2), offset=-1)],
    diag=lambda m: [Sample(m(3)), Sample(m(3, 3)), Sample(m(2), 1)],
    diag_embed=lambda m: [Sample(m(2, 3)), Sample(m(3), offset=1), Sample(m(2, 3), 0, 0, 2)],
    diagflat=lambda m: [Sample(m(3)), Sample(m(2, 2), 1)],
    tril=lambda m: [Sample(m(3, 3)), Sample(m(2, 3), 1)],
    triu=lambda m: [Sample(m(3, 3)), Sample(m(2, 3), -1)],
    flip=lambda m: [Sample(m(2, 3), (0,)), Sample(m(2, 3), (0, 1))],
    fliplr=lambda m: [Sample(m(2, 3))],
    flipud=lambda m: [Sample(m(2, 3))],
    roll=lambda m: [Sample(m(2, 3), 1), Sample(m(2, 3), (1, -1), (0, 1))],
    rot90=lambda m: [Sample(m(2, 3)), Sample(m(2, 3), 2, (0, 1))],
    repeat=lambda m: [Sample(m(2, 3), 2, 1), Sample(m(3), (2, 2))],
    tile=lambda m: [Sample(m(2, 3), (2,)), Sample(m(3), (2, 2))],
    repeat_interleave=lambda m: [Sample(m(2, 3), 2), Sample(m(2, 3), 2, 1), Sample(m(2, 3), m.index([1, 2]), 0)],
    split=lambda m: [Sample(m(5, 2), 2), Sample(m(2, 4), [1, 3], 1)],
    chunk=lambda m: [Sample(m(5, 2), 2), Sample(m(2, 4), 3, 1)],
    tensor_split=lambda m: [Sample(m(5, 2), 2), Sample(m(5), (1, 3))],
    unbind=lambda m: [Sample(m(2, 3)), Sample(m(2, 3), 1)],
    unfold=lambda m: [Sample(m(5), 0, 2, 1), Sample(m(2, 4), 1, 2, 2)],
    cat=lambda m: [Sample([m(2, 3), m(1, 3)]), Sample((m(2, 1), m(2, 2)), 1), Sample([m(2), m(0)])],
    stack=lambda m: [Sample([m(2, 3), m(2, 3)]), Sample([m(2), m(2)], 1)],
    hstack=lambda m: [Sample([m(2), m(3)]), Sample([m(2, 1), m(2, 2)])],
    vstack=lambda m: [Sample([m(3), m(3)]), Sample([m(1, 3), m(2, 3)])],
    dstack=lambda m: [Sample([m(2, 3), m(2, 3)])],
    column_stack=lambda m: [Sample([m(2), m(2, 3)])],
    meshgrid=lambda m: [Sample(m(2), m(3), indexing="ij"), Sample(m(2), m(3), indexing="xy")],
)
add(
    as_strided=lambda m: [Sample(m(6).clone(), (2, 2), (3, 1), 1), Sample(m(4).clone(), (3, 2), (1, 1))],
    split_with_sizes=lambda m: [Sample(m(5, 2), [2, 3]), Sample(m(2, 4), [1, 3], 1)],
    hsplit=lambda m: [Sample(m(2, 4), 2), Sample(m(4), (1, 3))],
    vsplit=lambda m: [Sample(m(4, 2), 2)],
    dsplit=lambda m: [Sample(m(1, 2, 4), (1, 3))],
)
add(
    __reversed__=lambda m: [Sample(m(2, 3))],
    select_scatter=lambda m: [Sample(m(2, 3), m(3), 0, 1)],
    diagonal_scatter=lambda m: [Sample(m(3, 3), m(3)), Sample(m(2, 3), m(2), 1)],
    slice_scatter=lambda m: [Sample(m(4, 2), m(2, 2), 0, 1, 3), Sample(m(2, 4), m(2, 2), 1, 0, 4, 2)],
    # in place, but shape and strides change, not the elements
    **{name: lambda m: [Sample(m(2, 3), 0, 1)] for name in ("transpose_", "swapaxes_", "swapdims_")},
    t_=lambda m: [Sample(m(2, 3))],
    squeeze_=lambda m: [Sample(m(2, 1, 3)), Sample(m(2, 1), 1)],
    unsqueeze_=lambda m: [Sample(m(2, 3), 1)],
    as_strided_=lambda m: [Sample(m(6), (2, 2), (3, 1), 1)],
)
for _name in ("transpose", "swapaxes", "t", "squeeze", "unsqueeze", "as_strided"):
    OPERATIONS[_name].except_for["in_place"] = f"{_name}_ changes the shape of its target, not its elements: tested by itself"
add_constant(
    resize_=lambda m: [Sample(m.constant(2, 3), 3, 2)],
    resize_as_=lambda m: [Sample(m.constant(2, 3), m.constant(6))],
    set_=lambda m: [Sample(m.constant(2), m.constant(3))],
)
add(
    sum_to_size=lambda m: [Sample(m(2, 3), 1, 3), Sample(m(2, 3, 1), (3, 1)), Sample(m(2), 2), Sample(m(2, 3), ())],
    fill_diagonal_=lambda m: [Sample(m(3, 3), 1.5), Sample(m(5, 2), 0.5, True), Sample(m(5, 2), 0.5), Sample(m(2, 2, 2), 2)],
    share_memory_=lambda m: [Sample(m(2, 3))],
)
add_constant(
    new=lambda m: [Sample(m(2), [1.0, 2.0])],
    get_device=lambda m: [Sample(m(2))],
    apply_=lambda m: [Sample(m.constant(2, 3), math.exp)],
    map_=lambda m: [Sample(m.constant(2, 3), m.constant(2, 3), operator.mul)],
)
add_constant(broadcast_shapes=lambda m: [Sample((2, 1), (3,))])

# ---------------------------------------------------------------- indexing


def _at(m: Maker) -> Tensor:
    """Positions along a dim of size 3."""
    return m.index([[0, 2, 1], [1, 0, 2]])


add(
    __getitem__=lambda m: [
        *(Sample(m(3, 4), key) for key in (1, slice(0, 2), (slice(None), -1), (..., None, 0), (None, slice(1, None, 2)))),
        Sample(m(3, 4), (m.index([0, 2, 2]), m.index([1, 3, 1]))),
        Sample(m(3, 4), (slice(None), m.index([[0, 1], [3, 3]]))),
        Sample(m(2, 3, 2), (m.index([0, 1]), slice(None), m.index([1, 0]))),
        Sample(m(2, 3, 2), (m.index([0, 1, 1]), m.index([2, 0, 0]), m.index([1, 0, 0]))),
        Sample(m(2, 2, 2, 2), (m.index([0, 1]), m.index([1]), m.index([1, 0]), m.index([[0], [1]]))),
        Sample(m(3), ...),
        Sample(m(3, 4), m.mask(3, 4)),
        Sample(m(3, 4), m.mask(3)),
        Sample(m(3, 4), ([0, 2],)),
    ],
    __setitem__=lambda m: [
        *(Sample(m(3, 4), key, m(4)) for key in (1, slice(0, 2), ..., (m.index([0, 2]), slice(None)))),
        Sample(m(3, 4), (m.index([0, 2]), m.index([1, 3])), m(2)),
        Sample(m(3, 4), m.mask(3, 4), m()),
        Sample(m(3, 4), (slice(None), 2), 1.5),
    ],
    __iter__=lambda m: [Sample(m(2, 3))],
    gather=lambda m: [Sample(m(3, 3), 0, _at(m)), Sample(m(2, 4), 1, m.index([[3, 3], [0, 1]])), Sample(m(), 0, m.index(0))],
    **{
        name: lambda m: [Sample(m(3, 3), 0, _at(m), m(2, 3)), Sample(m(2, 4), 1, m.index([[3], [0]]), 1.5)]
        for name in ("scatter", "scatter_")
    },
    **{
        name: lambda m: [Sample(m(3, 3), 0, _at(m), m(2, 3)), Sample(m(3), 0, m.index([1, 1]), m(2))]
        for name in ("scatter_add", "scatter_add_")
    },
    **{
        name: lambda m: [
            *(Sample(m.distinct(3, 3), 0, _at(m), m.distinct(2, 3, shift=0.1), how) for how in ("sum", "prod", "mean", "amax", "amin")),
            Sample(m.distinct(3), 0, m.index([1, 1]), m.distinct(2, shift=0.1), "mean", include_self=False),
            Sample(m.distinct(3), 0, m.index([0, 2]), m.distinct(3, shift=0.1), "prod"),
        ]
        for name in ("scatter_reduce", "scatter_reduce_")
    },
    index_select=lambda m: [Sample(m(3, 4), 0, m.index([2, 0, 2])), Sample(m(3, 4), 1, m.index([1]))],
    **{
        name: lambda m: [Sample(m(3, 2), 0, m.index([2, 0, 2]), m(3, 2)), Sample(m(2, 3), 1, m.index([1]), m(2, 1), alpha=0.5)]
        for name in ("index_add", "index_add_")
    },
    **{name: lambda m: [Sample(m(3, 2), 0, m.index([2, 0]), m(2, 2))] for name in ("index_copy", "index_copy_")},
    **{
        name: lambda m: [Sample(m(3, 2), 0, m.index([2, 0]), 1.5), Sample(m(3, 2), 1, m.index([1]), m())]
        for name in ("index_fill", "index_fill_")
    },
    **{
        name: lambda m: [
            Sample(m(3, 4), (m.index([0, 2]), m.index([1, 3])), m(2)),
            Sample(m(3, 4), (m.index([0, 0]), m.index([1, 1])), m(2), True),
            Sample(m(2, 3, 2), (m.index([0, 1]), m.index([2, 0]), m.index([1, 0])), m(2)),
            Sample(m(2, 2, 2, 2), (m.index([0, 1]), m.index([1]), m.index([1, 0]), m.index([[0], [1]])), m(2, 2)),
            Sample(m(3, 2), [m.index([2, 0])], m(2, 2)),
        ]
        for name in ("index_put", "index_put_")
    },
    **{
        name: lambda m: [
            Sample(m.distinct(3, 2), 0, m.index([2, 0, 2]), m.distinct(3, 2, shift=0.1), how) for how in ("prod", "mean", "amax", "amin")
        ]
        for name in ("index_reduce", "index_reduce_")
    },
    masked_select=lambda m: [Sample(m(2, 3), m.mask(2, 3)), Sample(m(2, 3), m.mask(3)), Sample(m(3), m.mask(2, 3))],
    masked_fill_=lambda m: [Sample(m(2, 3), m.mask(3), 1.5), Sample(m(2, 3), m.mask(2, 3), m())],
    **{
        name: lambda m: [Sample(m(2, 3), m.mask(2, 3), m(5)), Sample(m(2, 3), m.mask(3), m(2, 3))]
        for name in ("masked_scatter", "masked_scatter_")
    },
    take=lambda m: [Sample(m(2, 3), m.index([5, 0, 0])), Sample(m(2, 3), m.index([[1], [-1]]))],
    **{
        name: lambda m: [Sample(m(2, 3), m.index([5, 0]), m(2)), Sample(m(2, 3), m.index([5, 0, 0]), m(3), True)]
        for name in ("put", "put_")
    },
    take_along_dim=lambda m: [Sample(m(3, 3), _at(m), 0), Sample(m(2, 2), m.index([3, 0]))],
)
add_constant(
    __contains__=lambda m: [Sample(m(3), 1.5)],
    nonzero=lambda m: [Sample(m(2, 3)), Sample(m.mask(2, 3)), Sample(m.mask(4), as_tuple=True)],
    argwhere=lambda m: [Sample(m(2, 3)), Sample(m.mask(2, 3))],
)
