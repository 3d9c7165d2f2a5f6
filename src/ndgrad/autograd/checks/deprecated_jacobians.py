"""Jacobians that `torch.autograd.gradcheck` once gave away, and that published code still asks for; `functional.jacobian` is their heir."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ndgrad.autograd.checks.differences import Function, Moved, as_tuple
from ndgrad.autograd.gradients import grad
from ndgrad.core.tensor import Tensor, wrap


def warn_of_deprecation(name: str) -> None:
    warnings.warn(
        f"`{name}` was part of PyTorch's private API and not meant to be exposed. We are deprecating it and it will be removed in a "
        "future version of PyTorch. If you have a specific use for this or feature request for this to be a stable API, please file us an "
        "issue at https://github.com/pytorch/pytorch/issues/new",
        FutureWarning,
        stacklevel=3,
    )


def check_real(name: str, outputs: tuple[Any, ...], grad_out: float) -> None:
    """Refuse what these functions once could."""
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0. {name} no longer supports values of grad_out != 1.0.")
    if any(out.is_complex() for out in outputs):
        raise ValueError(f"Expected output to be non-complex. {name} no longer supports functions that return complex outputs.")


def requiring_grad(value: Any) -> Iterator[Tensor]:
    """The tensors that require grad, in nested sequences."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from requiring_grad(each)


def get_numerical_jacobian(fn: Function, inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0) -> tuple[Tensor, ...]:
    """The Jacobians of the first output of `fn(inputs)`, by central differences: a row for each element of an input.

    Deprecated. With `target`, by those tensors instead; they may be what `fn` has captured.
    """
    warn_of_deprecation("get_numerical_jacobian")
    check_real("get_numerical_jacobian", (), grad_out)
    several = as_tuple(inputs)

    def packed(*given: Any) -> Any:
        return fn(given)

    outputs = as_tuple(packed(*several))
    check_real("get_numerical_jacobian", outputs, grad_out)
    found: list[Tensor] = []
    for x in requiring_grad(several if target is None else target):
        found.append(get_numerical_jacobian_wrt_specific_input(packed, 0, several, outputs, eps, input=x)[0])
    return tuple(found)


def get_numerical_jacobian_wrt_specific_input(
    fn: Function, input_idx: int, inputs: Any, outputs: Any, eps: float, input: Tensor | None = None, is_forward_ad: bool = False
) -> tuple[Tensor, ...]:
    """The Jacobian of each output of `fn(*inputs)` by one input, by central differences: a row for each element of the input."""
    x = inputs[input_idx] if input is None else input
    if not x.requires_grad:
        raise AssertionError("Expected input to have requires_grad=True")
    moved = Moved(fn, inputs, input_idx, eps)
    moved.memory = x._memory()
    moved.directions = (1, 1j) if x.is_complex() else (1,)
    wanted = [number for number, out in enumerate(outputs) if out._a.dtype.kind in "fc"]
    return tuple(wrap(jacobian) for jacobian in moved.jacobians(wanted, outputs))


def get_analytical_jacobian(
    inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[tuple[Tensor, ...], bool, bool, bool]:
    """The Jacobians of an output by its inputs that require grad, from the engine: a row for each element of an input.

    Deprecated. Returns also whether a second backward gave the same, and whether gradients had the inputs' shapes and their dtypes.
    """
    warn_of_deprecation("get_analytical_jacobian")
    check_real("get_analytical_jacobian", (output,), grad_out)
    targets = list(requiring_grad(inputs))
    runs = [[np.zeros((x._a.size, output._a.size), x._a.dtype) for x in targets] for _ in range(2)]
    same_sizes = same_types = True
    for jacobians in runs:
        for column, row in enumerate(np.eye(output._a.size, dtype=output._a.dtype)):
            cotangent = wrap(row.reshape(output._a.shape).copy())
            gradients = grad(output, targets, cotangent, retain_graph=True, allow_unused=True)
            for x, jacobian, gradient in zip(targets, jacobians, gradients, strict=True):
                if gradient is None:
                    continue
                same_sizes &= gradient._a.shape == x._a.shape
                same_types &= gradient._a.dtype == x._a.dtype
                jacobian[:, column] = np.ravel(gradient._a)
    reentrant = all(not a.size or bool(np.max(np.abs(a - b)) <= nondet_tol) for a, b in zip(*runs, strict=True))
    return tuple(wrap(jacobian) for jacobian in runs[0]), reentrant, same_sizes, same_types
