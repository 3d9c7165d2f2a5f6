"""PyTorch's `torch.linalg`, as far as it is here: norms, products, inverses and what is computed with them."""

from __future__ import annotations

from ndgrad.base.dtypes import FLOATING
from ndgrad.core.tensor import Tensor
from ndgrad.ops.contractions import linalg_cross as _cross
from ndgrad.ops.contractions import matrix_power as _matrix_power
from ndgrad.ops.contractions import multi_dot as _multi_dot
from ndgrad.ops.declare import table as _table
from ndgrad.ops.declare import with_out
from ndgrad.ops.guarding import guarded
from ndgrad.ops.inverses import inverse as _inverse
from ndgrad.ops.norms import any_norm
from ndgrad.ops.norms import matrix_norm as _matrix_norm
from ndgrad.ops.norms import vector_norm as _vector_norm
from ndgrad.ops.pieces import diagonal as _diagonal

vector_norm = with_out(guarded(_vector_norm), "linalg_vector_norm")
matrix_norm = with_out(guarded(_matrix_norm), "linalg_matrix_norm")
norm = with_out(guarded(any_norm), "linalg_norm")
cross = with_out(guarded(_cross), "linalg_cross")
inv = with_out(guarded(_inverse), "linalg_inv")
matrix_power = with_out(guarded(_matrix_power), "linalg_matrix_power")
multi_dot = with_out(guarded(_multi_dot), "linalg_multi_dot")

matmul = _table["matmul"].function


@guarded
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A diagonal of two dims, the last ones unless told otherwise, as the last dim: a view."""
    return _diagonal(A, offset, dim1, dim2)


def _vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum over a dim of the products of the conjugates of the elements of `x` with those of `y`."""
    if x.dtype.category < FLOATING:
        raise RuntimeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {x.dtype}")
    return (x.conj() * y).sum(dim)


vecdot = with_out(guarded(_vecdot), "linalg_vecdot")


__all__ = ["cross", "diagonal", "inv", "matmul", "matrix_norm", "matrix_power", "multi_dot", "norm", "vecdot", "vector_norm"]
