"""Every operation of the table with what it saves packed into NumPy arrays, and inside a checkpoint: the same derivatives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest

from ndgrad.autograd.gradients import grad
from ndgrad.autograd.graph import saved_tensors_hooks
from ndgrad.base.dtypes import complex128, float64
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.testing import op_checks
from ndgrad.testing.cases import Case, cases_of, flatten
from ndgrad.testing.samples import spec_of
from ndgrad.utils.checkpoint import checkpoint
from tests.test_op_table import EVERYWHERE

DIFFERENTIABLE = [name for name in EVERYWHERE if not spec_of(name).constant]


def to_numpy(tensor: Tensor) -> Any:
    return np.array(tensor._a)


def from_numpy(array: Any) -> Tensor:
    return wrap(array.copy())


def hooks() -> AbstractContextManager[Any]:
    return saved_tensors_hooks(to_numpy, from_numpy)


def outputs_of(result: Any) -> list[Tensor]:
    return [out for out in flatten(result) if out._a.dtype.kind in "fc"]


def derivatives(case: Case, call: Callable[[], Any], around: AbstractContextManager[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Values, first gradients and, where there are any, second gradients, for fixed cotangents; `around` is around all three."""
    with around:
        outs = outputs_of(call())
        kept = [out for out in outs if out.requires_grad]
        values = [np.array(out._a) for out in outs]
        if not kept or not case.leaves:
            return values, [], []
        cotangents = [wrap(g).requires_grad_() for g in op_checks.random_like([out._a for out in kept], 1)]
        try:
            first = grad(kept, case.leaves, cotangents, create_graph=True, allow_unused=True)
        except RuntimeError as error:
            assert "not implemented" in str(error), error  # a double backward that PyTorch does not have either
            return values, list(grad(outputs_of(call()), case.leaves, cotangents, allow_unused=True)), []
        bent = [g for g in first if g is not None and g.requires_grad]
        weights = [wrap(g) for g in op_checks.random_like([g._a for g in bent], 2)]
        second = grad(bent, [*case.leaves, *cotangents], weights, allow_unused=True) if bent else ()
        return values, list(first), list(second)


def require_same(case: Case, ours: tuple[list[Any], ...], expected: tuple[list[Any], ...]) -> None:
    for what, found, wanted in zip(("value", "gradient", "second gradient"), ours, expected, strict=True):
        assert len(found) == len(wanted), f"{case}: {what}"
        for x, y in zip(found, wanted, strict=True):
            assert (x is None) == (y is None), f"{case}: {what} {x} {y}"
            if y is not None:
                found_array, array = (np.asarray(getattr(value, "_a", value)) for value in (x, y))
                np.testing.assert_allclose(found_array, array, 1e-12, 1e-13, err_msg=f"{case}: {what}")


def each_case(name: str) -> list[Case]:
    found = cases_of(name, float64)
    if not op_checks.supports_complex(name, spec_of(name)):
        found += cases_of(name, complex128)
    return found


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_packed_into_arrays_and_in_a_checkpoint(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in each_case(name):
            expected = derivatives(case, case.call, nullcontext())
            require_same(case, derivatives(case, case.call, hooks()), expected)
            if case.leaves and case.leaves[0].dtype is float64:
                require_same(case, derivatives(case, lambda case=case: checkpoint(case.call, use_reentrant=False), nullcontext()), expected)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_nothing_is_kept_beside_what_is_packed(name: str) -> None:
    """A node made under hooks holds no array of its own that the operation would save."""
    with warnings.catch_warnings(), hooks():
        warnings.simplefilter("ignore")
        for case in cases_of(name, float64):
            stack = [out._node for out in outputs_of(case.call()) if out._node is not None]
            while stack:
                node = stack.pop()
                node = node.node_of() if hasattr(node, "node_of") else None
                if node is None:
                    continue
                kept = [value for value in (node.saved or ()) if isinstance(value, np.ndarray) and value.ndim]
                kept += [value for value in (node.params or {}).values() if isinstance(value, (np.ndarray, Tensor))]
                assert not kept, f"{case}: {node} keeps {kept}"
                stack.extend(edge for edge in node.parents if edge is not None and not isinstance(edge, Tensor))
