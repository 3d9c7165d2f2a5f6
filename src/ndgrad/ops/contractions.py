"""Products made of other products, and those of fixed small form: outer, inner, Kronecker, cross, chains, powers, traces."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ndgrad.base.dtypes import INTEGER, cpp_name, int64, type_name
from ndgrad.base.shapes import broadcast_shapes, wrap_dim, wrap_dims
from ndgrad.core.batching import BatchLevel
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops import batch_rules
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import function, linear, multilinear, recorded, rule_helper
from ndgrad.ops.inverses import inverse
from ndgrad.ops.products import check_dot, check_tensors, check_vectors, dot, matmul, mm_tensors, no_bool
from ndgrad.ops.shape import reshape_to, view_as_shape

rule_helper(
    "identity",
    lambda shape, like: np.eye(*shape, dtype=like.dtype),
    lambda shape, like: wrap(np.eye(*shape, dtype=like._a.dtype)),
)


def _traces(level: BatchLevel, mapped: list[bool], x: Any) -> Any:
    return recorded.sum_dims(recorded.diagonal_view(x, offset=0, dim1=1, dim2=2), dims=(1,), keepdim=False)


@linear(transpose=lambda xp, g, x_shape: xp.identity(x_shape, g) * g, node_name="TraceBackward0", batch=_traces)
def trace_matrix(x: Any) -> Any:
    """The sum of a matrix's diagonal."""
    return np.trace(x, dtype=x.dtype)


@multilinear(
    transposes=[lambda xp, g, y, dim: xp.cross_along(y, g, dim=dim), lambda xp, g, x, dim: xp.cross_along(g, x, dim=dim)],
    node_name="LinalgCrossBackward0",
    batch=batch_rules.same("cross_along"),
)
def cross_along(x: Any, y: Any, *, dim: int) -> Any:
    """The cross products of the vectors of three elements along a dim, which counts from the end."""
    return np.ascontiguousarray(np.cross(x, y, axis=dim))


# ---------------------------------------------------------------- vectors
@function(aliases=("ger",), out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The matrix of all products of the elements of two vectors."""
    check_tensors("outer", input=input, vec2=vec2)
    check_vectors("outer", self=input, vec2=vec2)
    column = (
        view_as_shape(input, shape=(input._a.size, 1)) if input._a.flags.c_contiguous else reshape_to(input, shape=(input._a.size, 1))
    )
    return column * vec2


@function(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The products of the last dims of two tensors, for all pairs of their other dims."""
    check_tensors("inner", input=input, other=other)
    if input._a.ndim == 0 or other._a.ndim == 0:
        return input * other
    if input._a.shape[-1] != other._a.shape[-1]:
        shapes = f"{list(input._a.shape)} and {list(other._a.shape)}"
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {shapes}")
    return tensordot(input, other, [[-1], [-1]])


@function(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross products of vectors of three elements along `dim`, by default the first dim of size 3."""
    check_tensors("cross", input=input, other=other)
    if dim is None:
        _check_same_rank(input, other)
        dim = next((axis for axis, size in enumerate(input._a.shape) if size == 3), None)
        if dim is None:
            raise RuntimeError(f"no dimension of size 3 in input; its shape is {list(input._a.shape)}")
        warnings.warn(
            "Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim explicitly or simply use "
            "torch.linalg.cross.\n"
            "The default value of dim will change to agree with that of linalg.cross in a future release.",
            UserWarning,
            stacklevel=2,
        )
    return linalg_cross(input, other, dim=dim)


def _check_same_rank(x: Tensor, y: Tensor) -> None:
    if x._a.ndim != y._a.ndim:
        shapes = f"{list(x._a.shape)} and {list(y._a.shape)}"
        raise RuntimeError(f"linalg.cross: inputs must have the same number of dimensions. (They are of shapes {shapes}.)")


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross products of vectors of three elements along `dim`."""
    _check_same_rank(input, other)
    rank = input._a.ndim
    axis = wrap_dim(dim, rank)
    sizes = input._a.shape[axis] if rank else 1, other._a.shape[axis] if rank else 1
    if sizes != (3, 3):
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {sizes[0]} and {sizes[1]}")
    broadcast_shapes(input._a.shape, other._a.shape)
    if input._a.dtype != other._a.dtype:
        raise RuntimeError(f"expected scalar type {type_name(input.dtype)} but found {type_name(other.dtype)}")
    no_bool(input, "cross")
    return cross_along(input, other, dim=axis - rank)


# ---------------------------------------------------------------- matrices
@function
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    check_tensors("trace", input=input)
    if input._a.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._a.ndim}")
    no_bool(input, "trace")
    return trace_matrix(cast(input, int64) if input.dtype.category == INTEGER else input)


@function(out=True)
def kron(input: Any, other: Any) -> Tensor:
    """The Kronecker product: a block of `other` for every element of `input`."""
    check_tensors("kron", input=input, other=other)
    rank = max(input._a.ndim, other._a.ndim)
    shape_x, shape_y = ((1,) * (rank - tensor._a.ndim) + tensor._a.shape for tensor in (input, other))
    spread_x = tuple(size for axis in shape_x for size in (axis, 1))
    spread_y = tuple(size for axis in shape_y for size in (1, axis))
    blocks = reshape_to(input, shape=spread_x) * reshape_to(other, shape=spread_y)
    return reshape_to(blocks, shape=tuple(p * q for p, q in zip(shape_x, shape_y, strict=True)))


@function(method=False, out=True)
def tensordot(a: Any, b: Any, dims: Any = 2) -> Tensor:
    """Contract dims of two tensors: the last `dims` of `a` with the first of `b`, or two lists of dims pairwise."""
    check_tensors("tensordot", a=a, b=b)
    shape_a, shape_b = a._a.shape, b._a.shape
    of_a, of_b = _contracted(dims, len(shape_a), len(shape_b))
    if len(of_a) != len(of_b):
        raise RuntimeError(f"both dimension lists should have same length; they are {list(of_a)} and {list(of_b)}")
    if a._a.dtype != b._a.dtype:
        raise RuntimeError(f"both inputs should have same dtype; they are {a.dtype} and {b.dtype}")
    axes_a, axes_b = wrap_dims(of_a, len(shape_a)), wrap_dims(of_b, len(shape_b))
    for i, j, given_i, given_j in zip(axes_a, axes_b, of_a, of_b, strict=True):
        # a size of 1 stands for any size: the other operand is summed
        if shape_b[j] == 1 != shape_a[i]:
            a = a.sum(i, keepdim=True)
        elif shape_a[i] == 1 != shape_b[j]:
            b = b.sum(j, keepdim=True)
        elif shape_a[i] != shape_b[j]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {shape_a[i]} in dim {given_i} and second has size {shape_b[j]} "
                f"in dim {given_j}"
            )
    shape_a, shape_b = a._a.shape, b._a.shape
    kept_a = [axis for axis in range(len(shape_a)) if axis not in axes_a]
    kept_b = [axis for axis in range(len(shape_b)) if axis not in axes_b]
    out_shape = [shape_a[axis] for axis in kept_a] + [shape_b[axis] for axis in kept_b]
    inner_size = prod(shape_a[axis] for axis in axes_a)
    x, y = a.permute(*kept_a, *axes_a), b.permute(*axes_b, *kept_b)
    if not out_shape:
        x, y = x.reshape(-1), y.reshape(-1)
        check_dot(x, y)
        return dot(x, y).reshape(())
    x, y = x.reshape(prod(shape_a[axis] for axis in kept_a), inner_size), y.reshape(inner_size, prod(shape_b[axis] for axis in kept_b))
    return mm_tensors(x, y).reshape(out_shape)


def _contracted(dims: Any, rank_a: int, rank_b: int) -> tuple[Sequence[int], Sequence[int]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (tuple, list)):
        first, second = dims  # two lists, or two ints
        if isinstance(first, int):
            return [first], [second]
        return tuple(first), tuple(second)
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > min(rank_a, rank_b):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return tuple(range(-dims, 0)), tuple(range(dims))


# ---------------------------------------------------------------- chains and powers
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices, of which the first and the last may be vectors, in the cheapest order."""
    chain = list(tensors)
    if len(chain) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(chain)}")
    shape: list[int] = []
    for position, end in ((0, (1, -1)), (len(chain) - 1, (-1, 1))):
        rank = chain[position]._a.ndim
        if rank not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {'last' if position else 'first'} tensor must be 1D or 2D but got {rank}D")
        if rank == 1:
            chain[position] = chain[position].reshape(*end)
        else:
            shape.append(chain[position]._a.shape[1 if position else 0])
    for position in range(1, len(chain)):
        x, y = chain[position - 1 : position + 1]
        if y._a.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {position} must be 2D but got {y._a.ndim}D")
        if y._a.dtype != chain[0]._a.dtype:
            names = f"tensor 0 is {cpp_name(chain[0].dtype)} and tensor {position} {cpp_name(y.dtype)}"
            raise RuntimeError(f"multi_dot(): all tensors must have be the same dtype but {names}")
        if x._a.shape[1] != y._a.shape[0]:
            shapes = f"{list(tensors[position - 1]._a.shape)} and {list(tensors[position]._a.shape)}"
            raise RuntimeError(f"multi_dot(): tensors {position - 1} and {position} with shapes {shapes} cannot be multiplied")
    sizes = [tensor._a.shape[0] for tensor in chain] + [chain[-1]._a.shape[1]]
    splits = _cheapest_splits(sizes)

    def multiply(first: int, last: int) -> Tensor:
        if first == last:
            return chain[first]
        split = splits[first, last]
        return mm_tensors(multiply(first, split), multiply(split + 1, last))

    out = multiply(0, len(chain) - 1)
    return out.view(*shape) if shape else out.view(())


def _cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each part of the chain so that the number of multiplications is least (Cormen et al., matrix chains)."""
    count = len(sizes) - 1
    costs = {(i, i): 0 for i in range(count)}
    splits: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            options = [
                (costs[first, split] + costs[split + 1, last] + sizes[first] * sizes[split + 1] * sizes[last + 1], split)
                for split in range(first, last)
            ]
            costs[first, last], splits[first, last] = min(options)
    return splits


@function(method=False, out=True)
def chain_matmul(*matrices: Any) -> Tensor:
    """The product of several matrices in the cheapest order; PyTorch prefers `linalg.multi_dot`."""
    warnings.warn(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use torch.linalg.multi_dot instead, which "
        "accepts a list of two or more tensors rather than multiple parameters.",
        UserWarning,
        stacklevel=2,
    )
    check_tensors("chain_matmul", **{f"matrices[{position}]": matrix for position, matrix in enumerate(matrices)})
    for matrix in matrices:
        if matrix._a.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {matrix._a.ndim}, expected 2 instead.")
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


@function(out=True)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """A square matrix (or a batch of them) multiplied with itself `n` times; the inverse, for a negative `n`."""
    check_tensors("matrix_power", input=input)
    if not hasattr(n, "__index__"):
        raise TypeError(f"matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    shape = input._a.shape
    if len(shape) < 2:
        raise RuntimeError(f"linalg.matrix_power: The input tensor A must have at least 2 dimensions. (It has {len(shape)}.)")
    if shape[-1] != shape[-2]:
        raise RuntimeError(f"linalg.matrix_power: A must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} matrices")
    if n == 0:
        return input.clone().copy_(wrap(np.broadcast_to(np.eye(shape[-1], dtype=input._a.dtype), shape)))
    if n == 1:
        return input.clone()
    if n < 0:
        input = inverse(input, "linalg.inv")
        n = -n
    if n == 1:
        return input
    if n == 2:
        return matmul(input, input)
    if n == 3:
        return matmul(matmul(input, input), input)
    square, out = input, None
    while n > 0:
        if n % 2:
            out = square if out is None else matmul(out, square)
        n //= 2
        if n:
            square = matmul(square, square)
    assert out is not None
    return out


@function(method=False)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input1 @ weight[k] @ input2 + bias[k]` for every k, over the last dims of both inputs."""
    check_tensors("bilinear", input1=input1, input2=input2, weight=weight, **({} if bias is None else {"bias": bias}))
    shape_x, shape_y, shape_w = input1._a.shape, input2._a.shape, weight._a.shape
    if len(shape_x) != len(shape_y):
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {len(shape_x)} and {len(shape_y)}")
    for axis in range(len(shape_x) - 1):
        if shape_x[axis] != shape_y[axis]:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {axis}: got {shape_x[axis]} and {shape_y[axis]}")
    for number, shape in ((1, shape_x), (2, shape_y)):
        if shape[-1] != shape_w[number]:
            raise RuntimeError(f"bilinear(): input{number} size does not match weight size: got {shape[-1]} but expected {shape_w[number]}")
    if bias is not None and bias._a.shape != shape_w[:1]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {bias._a.shape[0]} but expected {shape_w[0]}")
    rows = prod(shape_x[:-1])
    x, y = input1.reshape(rows, shape_x[-1]), input2.reshape(rows, shape_y[-1])
    # rows times all of the weight at once, then each row's matrix times its second vector
    half = mm_tensors(x, weight.permute(1, 0, 2).reshape(shape_w[1], -1)).reshape(rows, shape_w[0], shape_w[2])
    out = matmul(half, y.unsqueeze(-1)).squeeze(-1).reshape(*shape_x[:-1], shape_w[0])
    return out if bias is None else out + bias
