"""Products with something added: `addmm` and its relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import cpp_name, from_numpy_dtype, type_name
from ndgrad.base.shapes import check_expandable
from ndgrad.core.primitive import raw, result_dtype
from ndgrad.core.pulls import Rule
from ndgrad.core.tensor import Tensor
from ndgrad.ops import batch_rules
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import Operation, function, general
from ndgrad.ops.products import check_bmm, check_mv, check_tensors, check_vectors, no_bool


# ---------------------------------------------------------------- beta * input + alpha * (x @ y)
def _scaled(value: Any, factor: Any) -> Any:
    return value if factor == 1 else value * factor


def _conjugate(number: Any) -> Any:
    return number.conjugate() if isinstance(number, complex) else number


def _sum_of_product(name: str, node_name: str, multiply: Rule, left: Rule, right: Rule, factors: tuple[str, str]) -> Operation:
    """The primitive `beta * x + alpha * multiply(y, z)`.

    `left` and `right` are the adjoints of the product in y and z, and `factors` what PyTorch calls those two.
    """

    def kernel(x: Any, y: Any, z: Any, *, beta: Any, alpha: Any) -> Any:
        out = multiply(raw, y, z)
        if out.dtype.kind not in "fc":
            beta, alpha = (out.dtype.type(number) for number in (beta, alpha))
        if alpha != 1:
            out = (out * alpha).astype(out.dtype, copy=False)
        if beta == 0:  # what is not added may be nan
            return out
        return np.add(out, x if beta == 1 else x * beta, dtype=out.dtype)

    def tangent(xp: Any, tangents: Any, y: Any, z: Any, beta: Any, alpha: Any) -> Any:
        x_t, y_t, z_t = tangents
        product = xp.plus(None if y_t is None else multiply(xp, y_t, z), None if z_t is None else multiply(xp, y, z_t))
        return xp.plus(None if x_t is None else _scaled(x_t, beta), None if product is None else _scaled(product, alpha))

    def composition(xp: Any, x: Any, y: Any, z: Any, beta: Any, alpha: Any) -> Any:
        product = _scaled(multiply(xp, y, z), alpha)
        return product if beta == 0 else _scaled(x, beta) + product

    kernel.__name__ = name
    return general(
        vjp=[
            lambda xp, g, beta: _scaled(g, _conjugate(beta)),
            lambda xp, g, z, alpha: _scaled(left(xp, g, xp.conj(z)), _conjugate(alpha)),
            lambda xp, g, y, alpha: _scaled(right(xp, g, xp.conj(y)), _conjugate(alpha)),
        ],
        jvp=tangent,
        node_name=node_name,
        saved=dict(zip(factors, "yz", strict=True)),
        batch=batch_rules.composed(composition),
    )(kernel)


def _flip(xp: Any, x: Any) -> Any:
    return xp.transpose_dims(x, dim0=1, dim1=2)


def _over(xp: Any, g: Any, like: Any) -> Any:
    """The cotangent of a sum over the batch: the same for each of its matrices."""
    return xp.expand_to(g, shape=(like.shape[0], *g.shape))


_addmm = _sum_of_product(
    "addmm_scaled",
    "AddmmBackward0",
    lambda xp, y, z: xp.mm(y, z),
    lambda xp, g, z: xp.mm(g, xp.t_matrix(z)),
    lambda xp, g, y: xp.mm(xp.t_matrix(y), g),
    ("mat1", "mat2"),
)
_addmv = _sum_of_product(
    "addmv_scaled",
    "AddmvBackward0",
    lambda xp, y, z: xp.mv(y, z),
    lambda xp, g, z: xp.reshape_to(g, shape=(*g.shape, 1)) * z,
    lambda xp, g, y: xp.mv(xp.t_matrix(y), g),
    ("mat", "vec"),
)
_addr = _sum_of_product(
    "addr_scaled",
    "AddrBackward0",
    lambda xp, y, z: xp.reshape_to(y, shape=(*y.shape, 1)) * z,
    lambda xp, g, z: xp.mv(g, z),
    lambda xp, g, y: xp.mv(xp.t_matrix(g), y),
    ("vec1", "vec2"),
)
_baddbmm = _sum_of_product(
    "baddbmm_scaled",
    "BaddbmmBackward0",
    lambda xp, y, z: xp.bmm(y, z),
    lambda xp, g, z: xp.bmm(g, _flip(xp, z)),
    lambda xp, g, y: xp.bmm(_flip(xp, y), g),
    ("batch1", "batch2"),
)
_addbmm = _sum_of_product(
    "addbmm_scaled",
    "AddbmmBackward0",
    lambda xp, y, z: xp.sum_dims(xp.bmm(y, z), dims=(0,), keepdim=False),
    lambda xp, g, z: xp.bmm(_over(xp, g, z), _flip(xp, z)),
    lambda xp, g, y: xp.bmm(_flip(xp, y), _over(xp, g, y)),
    ("batch1", "batch2"),
)


def _check_start(input: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse what cannot be broadcast to the product it is added to."""
    given = input._a.shape
    if len(given) > len(shape):
        kind = f"torch.{type_name(input.dtype)}Tensor"
        raise RuntimeError(
            f"expand({kind}{{{list(given)}}}, size={list(shape)}): the number of sizes provided ({len(shape)}) must be greater or equal to "
            f"the number of dimensions in the tensor ({len(given)})"
        )
    check_expandable(given, shape)


def _check_factors(function: str, kind: Any, **factors: Any) -> None:
    for name, value in factors.items():
        if not isinstance(value, (int, float, complex, np.generic)):
            raise TypeError(f"{function}(): argument '{name}' must be Number, not {type(value).__name__}")
        if isinstance(value, complex) and kind.kind != "c":
            raise RuntimeError(
                f"value cannot be converted to type {from_numpy_dtype[kind].name.replace('float32', 'float').replace('float64', 'double')} "
                f"without overflow: argument '{name}' of {function} is {value}"
            )


@function(in_place=True, out=True, primitive=_addmm)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)`; `input` is broadcast, and ignored where `beta` is 0."""
    check_tensors("addmm", input=input, mat1=mat1, mat2=mat2)
    for name, matrix in (("mat1", mat1), ("mat2", mat2)):
        if matrix._a.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {matrix._a.ndim}-D tensor")
    (rows, inner), (given, columns) = mat1._a.shape, mat2._a.shape
    if inner != given:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{inner} and {given}x{columns})")
    _check_start(input, (rows, columns))
    kind = input._a.dtype
    if mat2._a.dtype != kind:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {type_name(input.dtype)} and {type_name(mat2.dtype)}")
    if mat1._a.dtype != kind:
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {type_name(mat1.dtype)} and {type_name(mat2.dtype)}; convert one of them "
            "with .to(dtype)"
        )
    no_bool(mat1, "addmm_impl_cpu_")
    if beta != 1 or alpha != 1:
        _check_factors("addmm", kind, beta=beta, alpha=alpha)
    return _addmm(input, mat1, mat2, beta=beta, alpha=alpha)


@function(in_place=True, out=True, primitive=_addmv)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat @ vec)`."""
    check_tensors("addmv", input=input, mat=mat, vec=vec)
    if mat._a.ndim != 2 or vec._a.ndim != 1 or input._a.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input._a.ndim}, {mat._a.ndim}, {vec._a.ndim}")
    check_mv(mat, vec, input)
    _check_factors("addmv", input._a.dtype, beta=beta, alpha=alpha)
    return _addmv(input, mat, vec, beta=beta, alpha=alpha)


@function(in_place=True, out=True, primitive=_addr)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`, in the operands' common dtype."""
    check_tensors("addr", input=input, vec1=vec1, vec2=vec2)
    check_vectors("addr", vec1=vec1, vec2=vec2)
    _check_start(input, (vec1._a.size, vec2._a.size))
    wanted = result_dtype((input, vec1, vec2))
    start, x, y = (cast(tensor, wanted) for tensor in (input, vec1, vec2))
    _check_factors("addr", start._a.dtype, beta=beta, alpha=alpha)
    return _addr(start, x, y, beta=beta, alpha=alpha)


@function(in_place=True, out=True, primitive=_baddbmm)
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * bmm(batch1, batch2)`."""
    check_tensors("baddbmm", input=input, batch1=batch1, batch2=batch2)
    if batch1._a.ndim == batch2._a.ndim == 3 and not input._a.dtype == batch1._a.dtype == batch2._a.dtype:
        names = (cpp_name(tensor.dtype) for tensor in (input, batch1, batch2))
        raise RuntimeError("Input dtypes must be the same, got: input {}, batch1: {}, batch2: {}".format(*names))
    check_bmm(batch1, batch2)
    _check_start(input, (*batch1._a.shape[:2], batch2._a.shape[2]))
    _check_factors("baddbmm", input._a.dtype, beta=beta, alpha=alpha)
    return _baddbmm(input, batch1, batch2, beta=beta, alpha=alpha)


@function(in_place=True, out=True, primitive=_addbmm)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * bmm(batch1, batch2).sum(0)`."""
    check_tensors("addbmm", input=input, batch1=batch1, batch2=batch2)
    for name, batch in (("batch1", batch1), ("batch2", batch2)):
        if batch._a.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    (count, rows, inner), (other, given, columns) = batch1._a.shape, batch2._a.shape
    if count != other:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {count} and {other}")
    if inner != given:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({rows}x{inner} and {given}x{columns})")
    _check_start(input, (rows, columns))
    check_bmm(batch1, batch2)
    if input._a.dtype != batch1._a.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {type_name(input.dtype)} and {type_name(batch1.dtype)}")
    _check_factors("addbmm", input._a.dtype, beta=beta, alpha=alpha)
    return _addbmm(input, batch1, batch2, beta=beta, alpha=alpha)
