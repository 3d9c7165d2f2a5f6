"""Operations that reduce dims: sums, means, products, norms, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.shapes import wrap_dims
from ndgrad.core.tensor import Tensor
from ndgrad.ops.conversion import cast
from ndgrad.base.dtypes import as_dtype, int64, FLOATING
from ndgrad.ops.declare import function, linear

_reduce_add = np.add.reduce


@linear(transpose=lambda xp, g, x_shape: xp.expand_to(g, shape=x_shape), node_name="SumBackward0")
def sum_all(x: Any) -> Any:
    """The sum of all elements."""
    return _reduce_add(x, axis=None)


@linear(transpose=lambda xp, g, x_shape, dims, keepdim: xp.expand_to(xp.restore_dims(g, x_shape, dims, keepdim), shape=x_shape), node_name="SumBackward1")
def sum_dims(x: Any, *, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """The sum over some dims."""
    return _reduce_add(x, axis=dims, keepdims=keepdim) if x.ndim else np.asarray(x)


@function(out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of the elements, over all dims or over `dim`; integers and bools are summed as int64."""
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    elif input.dtype.category < FLOATING and input.dtype is not int64:
        input = cast(input, int64)
    if dim is None and not keepdim:
        return sum_all(input)
    dims = wrap_dims(None if dim is None or dim == () else dim, input._a.ndim)
    return sum_dims(input, dims=dims, keepdim=keepdim)
