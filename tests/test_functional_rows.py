"""The rows of a Jacobian, many at once or one after the other: the same for every operation and for its gradient."""

import numpy as np
import pytest

from ndgrad.autograd import rows
from ndgrad.autograd.gradients import grad
from ndgrad.core.tensor import wrap
from ndgrad.testing.cases import cases_of
from tests.test_op_table import applies

MOST_CASES = 12
#: What functions are mostly made of must not end up in the slow way.
COMMON = ["add", "cat", "clone", "cumsum", "div", "exp", "expand", "gather", "index_select", "matmul", "max", "mean", "mul", "permute"]
COMMON += ["pow", "prod", "reshape", "sin", "softmax", "sort", "sqrt", "stack", "sub", "sum", "tanh", "unsqueeze", "where"]
COMMON += ["nn.functional.linear", "nn.functional.mse_loss"]


def rows_at_once(case, out, leaves, monkeypatch):
    """Whether rows were to be had at once; if so, that they are those one by one."""
    monkeypatch.setattr(rows, "FEW", 1)
    found = rows.batched_rows(out, leaves, 1)
    monkeypatch.setattr(rows, "FEW", 10**9)
    expected = rows.jacobian_rows(out, leaves, False)
    if found is None:
        return False
    for one, other in zip(expected, found, strict=True):
        if one is None or other is None:  # an operand that does not matter may have zeros from one of them
            assert not any(np.any(each) for each in (one, other) if each is not None), str(case)
        else:
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9, err_msg=str(case))
    return True


def real(tensors):
    return [x for x in tensors if x is not None and x.requires_grad and x._a.dtype.kind == "f" and x._a.size]


def leaves_of(case):
    return [wrap(np.array(array)).requires_grad_() for array in case.arrays]


@pytest.mark.parametrize("name", applies("vjp", differentiable=True))
def test_rows_at_once_are_the_rows_one_by_one(name, monkeypatch):
    generator = np.random.default_rng(3)
    for case in list(cases_of(name))[:MOST_CASES]:
        leaves = leaves_of(case)
        for out in real(case.outputs(leaves)):
            rows_at_once(case, out, leaves, monkeypatch)
            cotangent = wrap(np.asarray(generator.standard_normal(out._a.shape), out._a.dtype))
            for gradient in real(grad((out,), leaves, (cotangent,), create_graph=True, allow_unused=True)):
                rows_at_once(case, gradient, leaves, monkeypatch)


@pytest.mark.parametrize("name", COMMON)
def test_common_operations_have_a_rule(name, monkeypatch):
    case = next(iter(cases_of(name)))
    leaves = leaves_of(case)
    for out in real(case.outputs(leaves)):
        assert rows_at_once(case, out, leaves, monkeypatch)
