"""Derivatives of the singular values of matrices, of first and second order."""

from __future__ import annotations

from typing import Any

import numpy as np


def _adjoint(x: Any) -> Any:
    return np.swapaxes(x, -1, -2).conj()


def singular_values(x: Any) -> Any:
    """The singular values of matrices, largest first."""
    if x.size == 0:
        return np.zeros((*x.shape[:-2], min(x.shape[-2:])), x.real.dtype)
    return np.linalg.svd(x, compute_uv=False)


def singular_change(change: Any, matrices: Any) -> Any:
    """How the singular values change with the matrices: `Re(u_i^H change v_i)`."""
    if matrices.size == 0:
        return np.zeros((*matrices.shape[:-2], min(matrices.shape[-2:])), matrices.real.dtype)
    left, _, right = np.linalg.svd(matrices, full_matrices=False)
    return (np.matmul(_adjoint(left), change) * right.conj()).sum(-1).real


def singular_adjoint(weights: Any, matrices: Any) -> Any:
    """The transpose of that: `U diag(weights) V^H`."""
    if matrices.size == 0:
        return np.zeros_like(matrices)
    left, _, right = np.linalg.svd(matrices, full_matrices=False)
    return np.matmul(left * weights[..., None, :], right)


def singular_bend(weights: Any, change: Any, matrices: Any) -> Any:
    """The gradient, with respect to the matrices, of `sum(weights * singular_change(change, matrices))`.

    That is the cotangent which a singular value decomposition has for the cotangents `change V diag(weights)` of U and
    `change^H U diag(weights)` of V (J. Townsend, "Differentiating the singular value decomposition", 2016). It is not finite where
    singular values are equal.
    """
    if matrices.size == 0:
        return np.zeros_like(matrices)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    scale, row, column = weights[..., None, :], values[..., None, :], values[..., :, None]
    turned = np.matmul(np.matmul(_adjoint(left), change), _adjoint(right))
    by_left, by_right = turned * scale, _adjoint(turned) * scale
    gaps = row * row - column * column
    on_diagonal = np.eye(values.shape[-1], dtype=bool)
    gaps = np.where(on_diagonal, 1, gaps)
    inner = (by_left - _adjoint(by_left)) / gaps * row + column * ((by_right - _adjoint(by_right)) / gaps)
    if np.iscomplexobj(inner):
        inner = inner + np.where(on_diagonal, 1j * by_left.imag / row, 0)
    found = np.matmul(np.matmul(left, inner), right)
    rows, columns = matrices.shape[-2:]
    if rows > columns:
        beside = np.matmul(change, _adjoint(right)) * scale
        found = found + np.matmul((beside - np.matmul(left, np.matmul(_adjoint(left), beside))) / row, right)
    elif columns > rows:
        beside = _adjoint(np.matmul(_adjoint(change), left) * scale)
        found = found + np.matmul(left / row, beside - np.matmul(np.matmul(beside, _adjoint(right)), right))
    return found
