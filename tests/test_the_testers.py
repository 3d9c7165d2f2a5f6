"""The checks of the op table must notice what they are there for: here every rule is wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ndgrad
from ndgrad.base.dtypes import complex64, complex128, float32, float64
from ndgrad.core.primitive import FLOAT, raw, recorded
from ndgrad.ops.declare import elementwise, function, general, linear, multilinear, primitives, rule_helper, table
from ndgrad.testing import assert_close, make_tensor, op_checks, samples
from ndgrad.testing.cases import Case, cases_of
from ndgrad.testing.finite_differences import KinkError
from ndgrad.testing.inputs import Maker, Sample, Spec


@pytest.fixture(autouse=True)
def scratch_table() -> Iterator[None]:
    """What a test declares is gone after it."""
    kept = [(d, dict(d)) for d in (table, primitives, vars(raw), vars(recorded), samples.OPERATIONS)]
    yield
    for now, before in kept:
        now.clear()
        now.update(before)


def one(function: Callable[..., Any], *shape: int, kind: Any = float64) -> Case:
    return Case("wrong", function, Sample(Maker(kind)(*shape or (2, 3))))


def two(function: Callable[..., Any], kind: Any = float64) -> Case:
    m = Maker(kind)
    return Case("wrong", function, Sample(m(2, 3), m(2, 3)))


def refuses(check: Callable[..., None], *args: Any) -> str:
    with pytest.raises((AssertionError, RuntimeError)) as caught:
        check(*args)
    return str(caught.value)


def right(check: Callable[..., None], case: Case) -> None:
    check(case)


ALL = (op_checks.check_vjp, op_checks.check_jvp, op_checks.check_double_backward)


# ---------------------------------------------------------------- right ones pass
@pytest.mark.parametrize("check", ALL)
@pytest.mark.parametrize("kind", [float64, complex128])
def test_right_rules_pass(check: Callable[[Case], None], kind: Any) -> None:
    sine = elementwise(np.sin, name="right_sin", policy=FLOAT, public=False, partials=[lambda xp, g, x: g * xp.cos(x)])
    product = multilinear(
        lambda x, y: x * y, name="right_product", public=False, transposes=[lambda xp, g, y: g * y, lambda xp, g, x: x * g]
    )
    check(one(sine, kind=kind))
    check(two(product, kind))


# ---------------------------------------------------------------- derivatives
@pytest.mark.parametrize("check", ALL[:2])
def test_a_wrong_factor(check: Callable[[Case], None]) -> None:
    wrong = elementwise(np.sin, name="wrong_sin", policy=FLOAT, public=False, partials=[lambda xp, g, x: g * xp.cos(x) * 1.001])
    assert "expected" in refuses(check, one(wrong))


@pytest.mark.parametrize("check", ALL[:2])
def test_the_wrong_residual(check: Callable[[Case], None]) -> None:
    wrong = elementwise(np.exp, name="wrong_exp", policy=FLOAT, public=False, partials=[lambda xp, g, x: g * x])
    refuses(check, one(wrong))


def test_a_missing_conjugate() -> None:
    def times(x: Any, y: Any) -> Any:
        return x * y

    wrong = general(
        times,
        name="wrong_times",
        vjp=[lambda xp, g, y: g * y, lambda xp, g, x: g * x],
        jvp=lambda xp, tangents, x, y: sum(a * b for a, b in ((tangents[0], y), (x, tangents[1])) if a is not None and b is not None),
    )
    right(op_checks.check_vjp, two(wrong))
    refuses(op_checks.check_vjp, two(wrong, complex128))
    right(op_checks.check_jvp, two(wrong, complex128))


def test_a_gradient_that_is_not_spread_again() -> None:
    wrong = linear(lambda x: np.add.reduce(x, axis=None), name="wrong_sum", public=False, transpose=lambda xp, g: g)
    refuses(op_checks.check_vjp, one(wrong))


def test_a_transpose_that_forgets_the_count() -> None:
    wrong = linear(
        lambda x: np.mean(x, axis=-1, keepdims=True),
        name="wrong_mean",
        public=False,
        transpose=lambda xp, g, x_shape: xp.expand_to(g, shape=x_shape),
    )
    refuses(op_checks.check_vjp, one(wrong))
    right(op_checks.check_jvp, one(wrong))  # a linear operation is its own derivative, whatever its transpose says


def test_an_operand_without_a_rule() -> None:
    wrong = elementwise(np.multiply, name="wrong_multiply", public=False, partials=[lambda xp, g, y: g * y, None])
    refuses(op_checks.check_vjp, two(wrong))
    refuses(op_checks.check_jvp, two(wrong))


def test_a_jvp_that_disagrees_with_a_right_vjp() -> None:
    def square_of(x: Any) -> Any:
        return x * x

    wrong = general(square_of, name="wrong_square", vjp=[lambda xp, g, x: 2 * x * xp.conj(g)], jvp=lambda xp, tangents, x: x * tangents[0])
    right(op_checks.check_vjp, one(wrong))
    refuses(op_checks.check_jvp, one(wrong))


def test_a_vjp_is_transposed_where_there_is_no_jvp() -> None:
    def cube_of(x: Any) -> Any:
        return x * x * x

    case = one(general(cube_of, name="transposed_cube", vjp=[lambda xp, g, x: 3 * xp.conj(x * x) * g]))
    right(op_checks.check_jvp, case)
    right(op_checks.check_jvp, one(case.function, kind=complex128))
    refuses(op_checks.check_jvp, one(general(cube_of, name="wrong_cube", vjp=[lambda xp, g, x: 2 * xp.conj(x * x) * g])))


def test_a_second_derivative_that_is_cut() -> None:
    rule_helper("cut_cos", np.cos, lambda x: ndgrad.cos(x).detach())
    wrong = elementwise(np.sin, name="cut_sin", policy=FLOAT, public=False, partials=[lambda xp, g, x: g * xp.cut_cos(x)])
    right(op_checks.check_vjp, one(wrong))
    assert "second derivative" in refuses(op_checks.check_double_backward, one(wrong))


def test_raw_and_recorded_rules_that_disagree() -> None:
    rule_helper("two_faced", np.cos, lambda x: ndgrad.cos(x) * 2)
    wrong = elementwise(np.sin, name="two_faced_sin", policy=FLOAT, public=False, partials=[lambda xp, g, x: g * xp.two_faced(x)])
    assert "under create_graph" in refuses(op_checks.check_double_backward, one(wrong))


def test_samples_at_a_kink_are_refused() -> None:
    case = Case("kink", ndgrad.abs, Sample(ndgrad.tensor([0.0, 1.0], dtype=float64, requires_grad=True)))
    with pytest.raises(KinkError):
        op_checks.check_vjp(case)


# ---------------------------------------------------------------- values
def test_an_operation_that_changes_its_argument() -> None:
    def wrong(x: Any) -> Any:
        x._a[...] = 0
        return x * 2

    assert "an argument was changed" in refuses(lambda case: op_checks.check_forward(case, expects_gradient=True), one(wrong))


def test_an_operation_that_loses_the_gradient() -> None:
    def check(case: Case) -> None:
        op_checks.check_forward(case, expects_gradient=True)

    assert "no output requires grad" in refuses(check, one(lambda x: x.detach() * 2))


def declare(body: Callable[..., Any], make: Callable[[Maker], list[Sample]], **facts: Any) -> str:
    """Put an operation and its samples into the table."""
    function(body, name="wrong", **facts)
    samples.OPERATIONS["wrong"] = Spec(make)
    return "wrong"


def matrices(m: Maker) -> list[Sample]:
    return [Sample(m(2, 3))]


def test_a_result_in_the_wrong_precision() -> None:
    name = declare(lambda x: (x.double() * 2).float() if x.dtype is float64 else x.double(), matrices)
    refuses(op_checks.check_single_precision, name, float32, float64)


def test_a_result_that_is_too_coarse() -> None:
    name = declare(lambda x: x * (1.01 if x.dtype is complex64 else 1), matrices)
    refuses(op_checks.check_single_precision, name, complex64, complex128)


def test_a_kernel_that_reads_memory_it_should_skip() -> None:
    def dense(x: Any) -> Any:
        return np.lib.stride_tricks.as_strided(x, x.shape, (3 * x.itemsize, x.itemsize)) * 1

    wrong = linear(dense, name="wrong_dense", public=False, transpose=lambda xp, g: g)
    assert "non-contiguous" in refuses(op_checks.check_noncontiguous, declare(lambda x: wrong(x), matrices))


def test_a_kernel_that_does_not_broadcast() -> None:
    def wrong_add(x: Any, y: Any) -> Any:
        return x + np.resize(y, np.shape(x)).reshape(np.shape(x))

    elementwise(wrong_add, name="wrong_add", partials=[lambda xp, g: g, lambda xp, g: g])
    refuses(op_checks.check_shapes, "wrong_add")


def test_a_kernel_with_the_wrong_result_type() -> None:
    def wrong_double(x: Any) -> Any:
        return np.multiply(x, 2.0)

    elementwise(wrong_double, name="wrong_double", partials=[lambda xp, g: 2 * g])
    assert "expected" in refuses(op_checks.check_promotion, "wrong_double")


# ---------------------------------------------------------------- in place and out=
def test_a_right_in_place_twin_passes() -> None:
    op_checks.check_in_place(one(ndgrad.sin), ndgrad.Tensor.sin_)


def test_an_in_place_twin_that_forgets_the_version() -> None:
    def wrong(self: Any) -> Any:
        out = ndgrad.sin(self.clone())
        self._a[...] = out._a
        self._node = out._node
        return self

    assert "version" in refuses(op_checks.check_in_place, one(ndgrad.sin), wrong)


def test_an_in_place_twin_that_forgets_the_history() -> None:
    def wrong(self: Any) -> Any:
        with ndgrad.no_grad():
            return self.sin_()

    assert "gradient" in refuses(op_checks.check_in_place, one(ndgrad.sin), wrong)


def test_an_in_place_twin_that_returns_a_copy() -> None:
    assert "return" in refuses(op_checks.check_in_place, one(ndgrad.sin), ndgrad.sin)


def test_an_in_place_twin_with_another_value() -> None:
    assert "in-place result" in refuses(op_checks.check_in_place, one(ndgrad.sin), ndgrad.Tensor.cos_)


def test_an_out_that_is_ignored() -> None:
    refuses(op_checks.check_out, one(ndgrad.sin), lambda input, out=None: ndgrad.sin(input))


def test_an_out_that_loses_a_gradient() -> None:
    def wrong(input: Any, out: Any = None) -> Any:
        return ndgrad.sin(input.detach(), out=out)

    assert "requires grad" in refuses(op_checks.check_out, one(ndgrad.sin), wrong)


# ---------------------------------------------------------------- samples
def test_an_operation_without_samples_is_named() -> None:
    function(lambda x: x, name="forgotten_operation")
    with pytest.raises(AssertionError, match="forgotten_operation"):
        samples.spec_of("forgotten_operation")


def test_a_stale_entry_is_named() -> None:
    samples.OPERATIONS["operation_that_was"] = Spec(matrices)
    assert samples.stale_entries()[-1:] == ["operation_that_was"] or "operation_that_was" in samples.stale_entries()


def test_an_entry_without_samples_is_named() -> None:
    declare(lambda x: x, lambda m: [])
    with pytest.raises(AssertionError, match="wrong"):
        cases_of("wrong")


# ---------------------------------------------------------------- comparison
@pytest.mark.parametrize(
    ("kind", "rtol", "atol"),
    [("float16", 1e-3, 1e-5), ("float32", 1.3e-6, 1e-5), ("float64", 1e-7, 1e-7), ("complex64", 1.3e-6, 1e-5), ("complex128", 1e-7, 1e-7)],
)
def test_assert_close_has_a_tolerance_by_dtype(kind: str, rtol: float, atol: float) -> None:
    dtype = getattr(ndgrad, kind)
    wide = np.array([1.0, 100.0])
    near, far = ndgrad.tensor(wide + 0.5 * (atol + rtol * wide), dtype=dtype), ndgrad.tensor(wide + 3 * (atol + rtol * wide), dtype=dtype)
    assert_close(near, ndgrad.tensor(wide, dtype=dtype))
    with pytest.raises(AssertionError, match=r"Tensor-likes are not close!\n\nMismatched elements: 2 / 2 \(100.0%\)"):
        assert_close(far, ndgrad.tensor(wide, dtype=dtype))


def test_assert_close_compares_attributes_before_values() -> None:
    x = ndgrad.tensor([1.0, 2.0])
    with pytest.raises(AssertionError, match="'shape' do not match"):
        assert_close(x, x.reshape(2, 1))
    with pytest.raises(AssertionError, match="'dtype' do not match"):
        assert_close(x, x.double())
    assert_close(x, x.double(), check_dtype=False)
    y = ndgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(AssertionError, match=r"'stride\(\)' do not match"):
        assert_close(y, y.t().contiguous().t(), check_stride=True)


def test_assert_close_and_nan() -> None:
    x = ndgrad.tensor([float("nan"), float("inf"), 1.0])
    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 3"):
        assert_close(x, x)
    assert_close(x, x, equal_nan=True)
    with pytest.raises(AssertionError):
        assert_close(ndgrad.tensor(float("inf")), ndgrad.tensor(-float("inf")))


def test_assert_close_of_integers_is_exact() -> None:
    with pytest.raises(AssertionError, match="Tensor-likes are not equal!"):
        assert_close(ndgrad.tensor([2**60]), ndgrad.tensor([2**60 + 1]))
    assert_close(ndgrad.tensor([True, False]), ndgrad.tensor([True, False]))


def test_assert_close_of_structures_and_numbers() -> None:
    x = ndgrad.tensor([1.0])
    assert_close({"a": [x, 1.0], "b": None}, {"a": (x, 1.0), "b": None})
    with pytest.raises(AssertionError, match=r"item \['a'\]"):
        assert_close({"a": x}, {"a": x + 1})
    with pytest.raises(AssertionError, match="length of the sequences"):
        assert_close([x], [x, x])
    with pytest.raises(AssertionError, match="keys of the mappings"):
        assert_close({"a": x}, {"b": x})
    with pytest.raises(AssertionError, match=r"Expected 1\.0 but got 1\.1"):
        assert_close(1.1, 1.0)
    with pytest.raises(AssertionError, match=r"types do not match|types\) do not match"):
        assert_close(1, 1.0)
    with pytest.raises(ValueError, match="must both be specified"):
        assert_close(x, x, rtol=1e-3)
    with pytest.raises(AssertionError, match="my words"):
        assert_close(x, x + 1, msg="my words")
    with pytest.raises(AssertionError, match="my words: Tensor-likes"):
        assert_close(x, x + 1, msg=lambda text: f"my words: {text}")


def test_make_tensor() -> None:
    x = make_tensor(50, 4, dtype=float32, low=-1, high=2, requires_grad=True, noncontiguous=True)
    assert x.requires_grad
    assert x.is_leaf
    assert not x.is_contiguous()
    assert x.shape == (50, 4)
    assert -1 <= x.detach().numpy().min() < -0.9
    assert 1.9 < x.detach().numpy().max() < 2
    assert set(make_tensor((100,), dtype=ndgrad.bool).tolist()) == {True, False}
    assert set(make_tensor(500, dtype=ndgrad.uint8).tolist()) == set(range(10))
    assert (make_tensor(500, dtype=ndgrad.int64, exclude_zero=True).numpy() != 0).all()
    values = make_tensor(200, dtype=complex64).numpy()
    assert abs(values.real).max() > 8
    assert abs(values.imag).max() > 8
    with pytest.raises(ValueError, match="requires_grad"):
        make_tensor(2, dtype=ndgrad.int64, requires_grad=True)
    with pytest.raises(ValueError, match="low"):
        make_tensor(2, dtype=float32, low=2, high=1)
