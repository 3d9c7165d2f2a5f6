"""Every operation of the table through every check that applies to it; the table itself says which operations there are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndgrad
from ndgrad.base.dtypes import complex64, complex128, float32, float64
from ndgrad.core.observers import observing
from ndgrad.core.primitive import NONDIFFERENTIABLE, raw, recorded
from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops
from ndgrad.ops.declare import primitives, table
from ndgrad.testing import op_checks
from ndgrad.testing.cases import Case, Watch, cases_of
from ndgrad.testing.inputs import Maker
from ndgrad.testing.samples import OPERATIONS, namespaced, spec_of, stale_entries

NAMES = sorted(table)
# two names of one function are tested once; that they are the same function is a test of its own
CANONICAL: dict[str, str] = {}
for _name in sorted(table, key=lambda name: (name not in OPERATIONS, table[name].primitive is None or table[name].primitive.name != name)):
    _same = next((other for other in CANONICAL if table[other].method is table[_name].method), None)
    if _same is None:
        CANONICAL[_name] = _name
DISTINCT = sorted(CANONICAL)


def has_spec(name: str) -> bool:
    try:
        spec_of(name)
    except AssertionError:
        return False  # test_every_operation_has_samples reports it
    return True


TESTED = [name for name in DISTINCT if has_spec(name)]
EVERYWHERE = [*TESTED, *(name for name in sorted(namespaced()) if has_spec(name))]


def applies(check: str, *, differentiable: bool = False, names: list[str] = EVERYWHERE) -> list[str]:
    """The operations that a check is for: those of the table and the functions of `nn.functional` and `linalg`."""
    return [
        name
        for name in names
        if check.removesuffix("_complex") not in spec_of(name).except_for
        and not (differentiable and spec_of(name).constant)
        # random numbers of another precision are other numbers, which are compared with torch's one by one
        and not (check.startswith("single_precision") and spec_of(name).random and spec_of(name).constant)
    ]


def complex_or_skip(name: str) -> list[Case]:
    refusal = op_checks.supports_complex(name, spec_of(name))
    if refusal:
        pytest.skip(f"{name} takes no complex numbers: {refusal.splitlines()[0]}")
    return cases_of(name, complex128)


# ---------------------------------------------------------------- the table
@pytest.mark.parametrize("name", [*NAMES, *namespaced()])
def test_every_operation_has_samples(name: str) -> None:
    assert spec_of(name).make is not None


def test_no_entry_of_the_samples_is_stale() -> None:
    assert not stale_entries()


def test_exceptions_name_checks_that_exist() -> None:
    known = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    known |= {"vmap", "vmap_twice", "third"}  # of tests/test_vmap_ops.py and tests/test_nested_transforms.py
    for name, spec in OPERATIONS.items():
        assert set(spec.except_for) <= known, f"{name}: {set(spec.except_for) - known}"


def test_raw_and_recorded_namespaces_have_the_same_names() -> None:
    assert set(vars(raw)) == set(vars(recorded))
    assert set(primitives) <= set(vars(raw))


@pytest.mark.parametrize("name", NAMES)
def test_bound(name: str) -> None:
    """Functions, methods and in-place twins are where the entry says; what is neither is in `ops` alone, for `nn.functional`."""
    entry = table[name]
    if entry.as_method:
        assert getattr(Tensor, name) is entry.method
        assert entry.in_place is None or getattr(Tensor, name + "_") is entry.in_place
    if entry.as_function and not name.startswith("_"):
        assert getattr(ndgrad, name) is entry.function
    assert getattr(ops, name) is entry.function
    assert entry.method.__doc__, f"{name} has no docstring"


#: What takes NumPy arrays for what they are.
TAKE_ARRAYS = frozenset({"as_tensor", "asarray", "from_dlpack", "from_numpy", "is_storage", "is_tensor", "tensor", "typename"})
FUNCTIONS = [name for name in EVERYWHERE if name not in TAKE_ARRAYS and (name not in table or table[name].as_function)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_array_is_no_tensor(name: str) -> None:
    """In place of any operand, a NumPy array is a TypeError, which for the first one says what to write instead."""
    for case in cases_of(name):
        args = case.sample.args
        for position, operand in enumerate(args):
            if isinstance(operand, Tensor) and not (position and operand._a.ndim == 0):
                given = [*args[:position], np.asarray(operand._a), *args[position + 1 :]]
                with warnings.catch_warnings(), pytest.raises(TypeError):
                    warnings.simplefilter("ignore")
                    case.function(*given, **case.sample.kwargs)


@pytest.mark.parametrize("name", ["t", "flatten", "squeeze", "chunk", "gather", "sum", "exp", "add", "matmul", "softmax", "cat", "stack"])
def test_what_to_write_instead_of_an_array(name: str) -> None:
    array = np.ones((2, 2))
    arguments = {"gather": (0, ndgrad.tensor([[0, 1]])), "chunk": (2,), "add": (1,), "matmul": (ndgrad.ones(2, 2),), "softmax": (0,)}
    with pytest.raises(TypeError, match=r"numpy.ndarray; write ndgrad.from_numpy\(array\)|ndarray.*; write ndgrad.from_numpy\(array\)"):
        getattr(ndgrad, name)([array] if name in ("cat", "stack") else array, *arguments.get(name, ()))


# ---------------------------------------------------------------- values
@pytest.mark.parametrize("name", applies("forward"))
def test_forward(name: str) -> None:
    for case in cases_of(name):
        op_checks.check_forward(case, expects_gradient=not spec_of(name).constant and bool(case.leaves))


@pytest.mark.parametrize("name", applies("single_precision"))
def test_single_precision(name: str) -> None:
    op_checks.check_single_precision(name, float32, float64)


@pytest.mark.parametrize("name", applies("single_precision_complex", differentiable=True))
def test_single_precision_complex(name: str) -> None:
    complex_or_skip(name)
    op_checks.check_single_precision(name, complex64, complex128)


@pytest.mark.parametrize("name", applies("noncontiguous"))
def test_noncontiguous(name: str) -> None:
    op_checks.check_noncontiguous(name)


ELEMENTWISE = [name for name in TESTED if op_checks.is_plain_elementwise(table[name])]


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if "shapes" not in spec_of(name).except_for])
def test_shapes(name: str) -> None:
    op_checks.check_shapes(name)


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if "promotion" not in spec_of(name).except_for])
def test_promotion(name: str) -> None:
    op_checks.check_promotion(name)


# ---------------------------------------------------------------- derivatives
@pytest.mark.parametrize("name", applies("vjp", differentiable=True))
def test_vjp(name: str) -> None:
    for case in cases_of(name):
        op_checks.check_vjp(case)


@pytest.mark.parametrize("name", applies("vjp_complex", differentiable=True))
def test_vjp_complex(name: str) -> None:
    for case in complex_or_skip(name):
        op_checks.check_vjp(case)


@pytest.mark.parametrize("name", applies("jvp", differentiable=True))
def test_jvp(name: str) -> None:
    for case in cases_of(name):
        op_checks.check_jvp(case)


@pytest.mark.parametrize("name", applies("jvp_complex", differentiable=True))
def test_jvp_complex(name: str) -> None:
    for case in complex_or_skip(name):
        op_checks.check_jvp(case)


@pytest.mark.parametrize("name", applies("double_backward", differentiable=True))
def test_forward_over_reverse(name: str) -> None:
    for case in cases_of(name):
        op_checks.check_forward_over_reverse(case)


@pytest.mark.parametrize("name", applies("double_backward_complex", differentiable=True))
def test_forward_over_reverse_complex(name: str) -> None:
    for case in complex_or_skip(name):
        op_checks.check_forward_over_reverse(case)


@pytest.mark.parametrize("name", applies("double_backward", differentiable=True))
def test_double_backward(name: str) -> None:
    for case in cases_of(name):
        op_checks.check_double_backward(case)


@pytest.mark.parametrize("name", applies("double_backward_complex", differentiable=True))
def test_double_backward_complex(name: str) -> None:
    for case in complex_or_skip(name):
        op_checks.check_double_backward(case)


#: Primitives that no call of a sample runs: a name, or a part of it -> the reason.
UNREACHED = {
    r"^conj_physical_written$": "belongs to an in-place form alone; run by test_in_place",
    r"_in_memory$|^index_put_(mask|\d)_$": "writes into memory, so it makes way for its twin while somebody watches; run by test_in_place",
    r"^strided_apply$|^singular_change$": "is called by rules only, in derivatives of derivatives and in forward mode",
    r"^singular_bend$": "how the derivative of singular values changes: the double backward of linalg.matrix_norm reaches it",
    r"^normal_of_|^bernoulli_(by_tensor_)?history$": "draws around a tensor, whose gradient is 0 by definition: test_random_history",
}


def test_every_primitive_is_reached_by_a_sample() -> None:
    """What no sample reaches is tested by nothing here."""
    reached: set[str] = set()

    def watch(primitive: Any, *call: Any) -> None:
        reached.add(primitive.name)

    for name in EVERYWHERE:
        for wanted in (float64, complex128):
            if wanted is complex128 and op_checks.supports_complex(name, spec_of(name)):
                continue
            for case in cases_of(name, wanted):
                with observing(Watch(watch)):
                    outs = case.outputs()
                    cotangents = [out.detach() for out in outs]
                    if case.leaves and not spec_of(name).constant:
                        case.pull(cotangents, create_graph=True)
    missing = {name for name in primitives if name not in reached and not any(re.search(part, name) for part in UNREACHED)}
    assert not missing
    for part in UNREACHED:
        assert any(re.search(part, name) and name not in reached for name in primitives), f"{part}: reached after all"


def test_random_history() -> None:
    """Draws around tensors that require grad are recorded, with gradient 0, as PyTorch has them."""
    mean, std = Maker().positive(3), Maker().positive(3)
    for out, leaves in (
        (ndgrad.normal(mean, 0.5), [mean]),
        (ndgrad.normal(0.5, std), [std]),
        (ndgrad.normal(mean, std), [mean, std]),
        (ndgrad.bernoulli(leaf := Maker().unit(3)), [leaf]),
        (ndgrad.zeros(3).bernoulli_(leaf := Maker().unit(3)), [leaf]),
    ):
        for g in ndgrad.autograd.grad(out.sum(), leaves):
            assert g.tolist() == [0.0] * 3


def test_primitives_that_are_differentiable_have_rules() -> None:
    for name, primitive in primitives.items():
        assert primitive.family == NONDIFFERENTIABLE or primitive.differentiable or not primitive.rules, name


# ---------------------------------------------------------------- in place and out=
def twin_of(name: str) -> Callable[..., Any] | None:
    """The in-place form, made with the operation or declared as one of its own."""
    found = table[name].in_place
    return table[name + "_"].method if found is None and name + "_" in table else found


@pytest.mark.parametrize("name", [name for name in applies("in_place", differentiable=True, names=TESTED) if twin_of(name) is not None])
def test_in_place(name: str) -> None:
    found = op_checks.in_place_cases(name)
    assert found, f"{name}: no sample whose result fits into its first argument, so {name}_ is not tested"
    twin = twin_of(name)
    assert twin is not None
    for case in found:
        op_checks.check_in_place(case, twin)


@pytest.mark.parametrize("name", [name for name in applies("out", names=TESTED) if table[name].out])
def test_out(name: str) -> None:
    for case in cases_of(name):
        op_checks.check_out(case, table[name].function)
