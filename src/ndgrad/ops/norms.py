"""Norms of vectors and matrices, and distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import FLOATING, as_dtype, bool_, dtype, type_name
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.core.batches import batch_of
from ndgrad.core.primitive import result_dtype
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels import spectral
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor, dims_of, kept_shape, one_dim, torch_arguments
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import function, general, recorded
from ndgrad.ops.reductions import reduce_add, row_major

Dims = tuple[int, ...]


# ---------------------------------------------------------------- kernel and rule


def vector_norm_of(x: Any, p: float, dims: Dims | None, keepdim: bool) -> Any:
    """The p-norm over some axes."""
    if x.dtype.char == "e":
        return vector_norm_of(x.astype(np.float32), p, dims, keepdim).astype(np.float16)
    if p == 2:
        square = x.real * x.real + x.imag * x.imag if x.dtype.kind == "c" else x * x
        return np.sqrt(reduce_add(square, dims, keepdim))
    if p == 0:
        return reduce_add((x != 0).astype(x.real.dtype), dims, keepdim)
    size = np.abs(x)
    if p == 1:
        return reduce_add(size, dims, keepdim)
    if math.isinf(p):
        if size.size == 0 and p > 0:
            size = size.sum(axis=dims, keepdims=True)
        reduce: Any = (np.maximum if p > 0 else np.minimum).reduce
        return row_major(reduce(size, axis=dims, keepdims=keepdim), x)
    return np.power(reduce_add(np.power(size, size.dtype.type(p)), dims, keepdim), size.dtype.type(1 / p))


def norm_back(xp: Any, g: Any, x: Any, out: Any, p: float, dims: Dims) -> Any:
    """The cotangent of `x`, given `g` and the norm with the dims kept. Where the norm has no derivative, 0 or an equal share."""
    if p == 2:
        return x * xp.div_or_zero(g, out)
    if p == 0:
        return xp.zeros_of(x)
    if p == 1:
        return xp.sgn(x) * g
    size = xp.abs(x)
    if math.isinf(p):
        mask = (size == out) | ((size != size) & (out != out))
        return xp.sgn(x) * (mask * (g / xp.count_true(mask, dims, g)))
    if p < 1:
        return xp.sgn(x) * xp.masked_keep(size ** (p - 1), x != 0) * g * out ** (1 - p)
    if p < 2:
        return xp.sgn(x) * size ** (p - 1) * xp.div_or_zero(g, out ** (p - 1))
    return x * size ** (p - 2) * xp.div_or_zero(g, out ** (p - 1))


def _vector_norm_back(xp: Any, g: Any, x: Any, out: Any, x_shape: Any, p: float, dims: Dims, keepdim: bool) -> Any:
    g, out = (xp.restore_dims(value, x_shape, dims, keepdim) for value in (g, out))
    return norm_back(xp, g, x, out, p, dims)


@general(vjp=[_vector_norm_back], node_name="LinalgVectorNormBackward0", saved={"ord": "p"})
def vector_norm_dims(x: Any, *, p: float, dims: Dims, keepdim: bool = False) -> Any:
    """The p-norm over some dims."""
    return vector_norm_of(x, p, dims, keepdim)


@general(vjp=[_vector_norm_back], node_name="NormBackward1")
def norm_dims(x: Any, *, p: float, dims: Dims, keepdim: bool = False) -> Any:
    """The same under the name that PyTorch gives it inside of distances."""
    return vector_norm_of(x, p, dims, keepdim)


def _dist_back(xp: Any, g: Any, needs: Any, x: Any, y: Any, out: Any, p: float) -> Any:
    away = x - y
    cotangent = norm_back(xp, g, away, out, p, tuple(range(len(away.shape))))
    return cotangent if needs[0] else None, -cotangent if needs[1] else None


def _dist_by_norm(xp: Any, x: Any, y: Any, p: float) -> Any:
    away = x - y
    return xp.norm_dims(away, p=p, dims=tuple(range(away.ndim)), keepdim=False)


@general(joint=_dist_back, policy="promote", node_name="DistBackward0", batch=batch_rules.composed(_dist_by_norm))
def dist_all(x: Any, y: Any, *, p: float) -> Any:
    """The p-norm of x - y."""
    return vector_norm_of(x - y, p, None, False)


# ---------------------------------------------------------------- vectors
def as_order(p: Any) -> float:
    """The order of a norm as a number."""
    return float(p.item() if isinstance(p, Tensor) else p)


def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """The vector norm of order `ord` over `dim`, or over all elements; complex elements count by their size."""
    kind = x.dtype
    if kind.category < FLOATING:
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {type_name(kind)}")
    p = as_order(ord)
    if dtype is not None:
        wanted = as_dtype(dtype)
        if kind.is_complex != wanted.is_complex:
            which = "complex" if kind.is_complex else "real"
            raise RuntimeError(f"linalg.vector_norm: dtype should be {which} for {which} inputs, but got {type_name(wanted)}")
        x = cast(x, wanted)
    shape = x._a.shape
    dims = dims_of(dim, len(shape), "linalg.vector_norm")
    if x._a.size == 0 and (p < 0 or p == math.inf):
        name = str(int(p)) if p.is_integer() else str(p)
        if dim is None or len(dims) == len(shape):
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {name} norm on an empty tensor because the operation does not have an identity"
            )
        for axis in dims:
            if shape[axis] == 0:
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {name} norm on the dimension {axis}because this dimension is empty and the "
                    "operation does not have an identity"
                )
    return vector_norm_dims(x, p=p, dims=dims, keepdim=keepdim)


# ---------------------------------------------------------------- matrices
def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """The norm of order `ord` of matrices: 'fro', 'nuc', 1, -1, 2, -2, inf or -inf."""
    if isinstance(dim, int) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim if isinstance(dim, int) else ' '.join(map(str, dim))}")
    if A.dtype.category < FLOATING:
        raise RuntimeError(f"linalg.matrix_norm: Expected a floating point or complex tensor as input. Got {type_name(A.dtype)}")
    if A._a.ndim < 2:
        raise RuntimeError(f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions. It has shape {list(A._a.shape)}")
    rows, columns = dims_of(tuple(dim), A._a.ndim, "linalg.matrix_norm")
    if dtype is not None:
        return matrix_norm(cast(A, as_dtype(dtype)), ord, dim, keepdim)
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if isinstance(ord, str) and ord != "nuc":
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord == "nuc" or abs(ord) == 2:
        return _singular_norm(A, ord, rows, columns, keepdim)
    if abs(ord) != 1 and not math.isinf(ord):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord:g} not supported.")
    # the sums run along the rows for order 1 and along the columns for infinity; then the extreme of the sums is taken
    summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm_dims(A, p=1.0, dims=(summed,), keepdim=keepdim)
    axis = other - 1 if not keepdim and other > summed else other
    extreme = recorded.amax_dims if ord > 0 else recorded.amin_dims
    return extreme(sums, dims=(axis,), keepdim=keepdim)


def _singular_norm(A: Tensor, ord: Any, rows: int, columns: int, keepdim: bool) -> Tensor:
    """The sum of the singular values, or the largest or smallest of them."""
    others = [axis for axis in range(A._a.ndim) if axis not in (rows, columns)]
    values = singular_values(recorded.permute_dims(A, dims=(*others, rows, columns)))
    last = (values._a.ndim - 1,)
    if ord == "nuc":
        out = recorded.sum_dims(values, dims=last, keepdim=False)
    else:
        name = "amax" if ord > 0 else "amin"
        if values._a.shape[-1] == 0:
            raise IndexError(f"{name}(): Expected reduction dim -1 to have non-zero size. The matrices have shape {list(A._a.shape)}.")
        out = (recorded.amax_dims if ord > 0 else recorded.amin_dims)(values, dims=last, keepdim=False)
    return recorded.reshape_to(out, shape=kept_shape(A._a.shape, (rows, columns))) if keepdim else out


singular_values = general(
    spectral.singular_values,
    name="singular_values",
    vjp=[lambda xp, g, x: xp.singular_adjoint(g, x)],
    jvp=lambda xp, tangents, x: xp.singular_change(tangents[0], x),
    node_name="LinalgSvdBackward0",
    saved={"self": None},
)


@general(
    vjp=[lambda xp, g, y: xp.singular_adjoint(g, y), lambda xp, g, x, y: xp.singular_bend(g, x, y)],
    batch=batch_rules.same("singular_change"),
)
def singular_change(x: Any, y: Any) -> Any:
    """How the singular values of `y` change when `y` changes by `x`."""
    return spectral.singular_change(x, y)


@general(
    vjp=[lambda xp, g, y: xp.singular_change(g, y), lambda xp, g, x, y: xp.singular_bend(x, g, y)],
    batch=batch_rules.same("singular_adjoint"),
)
def singular_adjoint(x: Any, y: Any) -> Any:
    """The matrices whose inner product with a change of `y` is that of `x` with the change of its singular values."""
    return spectral.singular_adjoint(x, y)


def _no_third_derivative(xp: Any, g: Any) -> Any:
    raise RuntimeError("singular values have no third derivative here; norms of order 2, -2 and 'nuc' can be differentiated twice")


# a second derivative is symmetric: what a change of `y` does to it is what `y` itself was
@general(
    vjp=[_no_third_derivative, lambda xp, g, x, z: xp.singular_bend(x, g, z), _no_third_derivative],
    batch=batch_rules.same("singular_bend"),
)
def singular_bend(x: Any, y: Any, z: Any) -> Any:
    """How `singular_adjoint(x, z)` changes when `z` changes by `y`."""
    return spectral.singular_bend(x, y, z)


def any_norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """A vector norm, or a matrix norm where `ord` and the number of dims call for one."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    rank = A._a.ndim
    count = (1 if isinstance(dim, int) else len(dim)) if dim is not None else None
    if dim is None and rank not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got " + f"{rank}D.")
    if isinstance(ord, str) or count == 2 or (count is None and rank == 2):
        return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


# ---------------------------------------------------------------- the older functions
@function(out=True)
@torch_arguments
def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: dtype | None = None) -> Tensor:
    """The norm of order `p` over `dim`, or over all elements; 'fro' is the 2-norm."""
    if isinstance(p, str):
        if p == "fro":
            p = 2
        else:
            axes = (0, 1) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
            return matrix_norm(input, p, axes, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype)


@function(primitive=dist_all)
@torch_arguments
def dist(input: Tensor, other: Tensor, p: Any = 2) -> Tensor:
    """The p-norm of the difference."""
    check_tensor(input, "dist", "input", 1)
    check_tensor(other, "dist", "other", 2)
    broadcast_shapes(input._a.shape, other._a.shape)
    wanted = result_dtype((input, other))
    if wanted is bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
        )
    if bool_ in (input.dtype, other.dtype):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
            "`logical_not()` operator instead."
        )
    if wanted.category < FLOATING:
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex. Got {type_name(wanted)} instead.")
    return dist_all(input, other, p=as_order(p))


# ---------------------------------------------------------------- rows compared
@function(method=False)
@torch_arguments
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm, over the last dim, of the difference plus `eps`."""
    broadcast_shapes(x1._a.shape, x2._a.shape)
    away = x1 - x2 + eps
    rank = away._a.ndim
    return norm_dims(away, p=as_order(p), dims=(rank - 1,) if rank else (), keepdim=keepdim)


@function(method=False)
@torch_arguments
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`; norms count as at least `eps`."""
    wanted = result_dtype((x1, x2))
    if not wanted.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {type_name(wanted)}")
    shape = broadcast_shapes(x1._a.shape, x2._a.shape)
    x, y = (value if value._a.shape == shape else recorded.expand_to(value, shape=shape) for value in (cast(x1, wanted), cast(x2, wanted)))
    axis = one_dim(dim, len(shape), "cosine_similarity")
    dims = (axis,) if shape else ()
    return recorded.sum_dims(x / _norm_of_at_least(x, dims, eps) * (y / _norm_of_at_least(y, dims, eps)), dims=dims, keepdim=False)


def _norm_of_at_least(x: Tensor, dims: Dims, eps: float) -> Any:
    """The norm, raised to `eps` where it is less, with the gradient of the norm itself."""
    size: Any = vector_norm_dims(x, p=2.0, dims=dims, keepdim=True)
    if batch_of(size._a) is not None:
        return size + (eps - size.detach()).clamp(min=0)
    short = np.maximum(size._a.dtype.type(eps) - size._a, 0)
    return size + wrap(short) if short.any() else size
