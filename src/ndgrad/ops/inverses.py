"""Inverses, determinants and solutions of linear systems, for matrices and batches of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import type_name
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.declare import function, general, rule_helper

rule_helper("matmul", np.matmul, lambda x, y: x @ y)
rule_helper("adjoint", lambda x: np.conj(np.swapaxes(x, -1, -2)), lambda x: x.mH)


def first_singular(matrices: Array) -> int | None:
    """The number of the first singular matrix of a batch; None if there is none."""
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    for number, matrix in enumerate(flat):
        try:
            np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            return number
    return None


def invert(matrices: Array) -> Array:
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        number = first_singular(matrices)
        where = "" if matrices.ndim == 2 else f"(Batch element {number}): "
        raise RuntimeError(
            f"linalg.inv: {where}The diagonal element is zero, the inversion could not be completed because the input matrix is singular."
        ) from None


@general(
    vjp=[lambda xp, g, out: -xp.matmul(xp.adjoint(out), xp.matmul(g, xp.adjoint(out)))],
    jvp=lambda xp, tangents, out: -xp.matmul(out, xp.matmul(tangents[0], out)),
    node_name="LinalgInvExBackward0",
    saved={"inverse": "out"},
)
def matrix_inverse(x: Any) -> Any:
    """The inverse of every matrix."""
    return invert(x)


def check_square(input: Any, name: str) -> None:
    check_tensor(input, name, "A", 1)
    if input._a.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions. (It has {input._a.ndim}.)")
    rows, columns = input._a.shape[-2:]
    if rows != columns:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {rows} by {columns} matrices")
    if input._a.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {type_name(input.dtype)}")
    if input._a.dtype == np.float16:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got Half")


def inverse(input: Any, name: str = "linalg.inv") -> Tensor:
    """The inverse of a square matrix, or of each of a batch."""
    check_square(input, name)
    return matrix_inverse(input)


@function(name="inverse", out=True)
def inverse_of(input: Tensor) -> Tensor:
    """The inverse of a square matrix, or of each of a batch."""
    return inverse(input)
