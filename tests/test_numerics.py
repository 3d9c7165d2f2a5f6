"""check_numerics, which raises at the first NaN or infinity, and zero_times_inf_is_zero."""

import math
import sys
import threading

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd import NumericsError, check_numerics, zero_times_inf_is_zero
from ndgrad.base import modes

inf, nan = math.inf, math.nan


@pytest.fixture(autouse=True)
def _nothing_is_left_on():
    yield
    assert not modes.exceptional


def leaf(*values, dtype=torch.float64):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


def line_here():
    return sys._getframe(1).f_lineno


def number_of(call, **which):
    with check_numerics(**which), pytest.raises(NumericsError) as raised:
        call()
    return raised.value


# ---------------------------------------------------------------- forward
def test_a_forward_operation_is_named_with_line_index_and_operands():
    x = leaf(1.0, 2.0, 0.0, 0.0)
    with check_numerics(), pytest.raises(NumericsError) as raised:
        x.log()
    line = line_here() - 1
    error = raised.value
    assert isinstance(error, FloatingPointError)
    assert (error.op, error.index, error.line) == ("log", (2,), f"{__file__}:{line}")
    assert error.node.name() == "LogBackward0"
    assert str(error) == f"log() gave -inf at index [2] of shape [4] (2 of 4 elements), called at {__file__}:{line}. There: input = 0.0."


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_every_floating_dtype_is_checked(dtype):
    x = torch.tensor([1.0, 0.0], dtype=dtype)
    assert number_of(lambda: x / x).index == (1,)


@pytest.mark.parametrize(
    ("op", "call", "index", "there"),
    [
        ("div", lambda: torch.ones(2, 1) / torch.tensor([1.0, 0.0]), (0, 1), "input = 1.0, other = 0.0"),
        ("reciprocal", lambda: 1 / torch.zeros(()), (), "input = 0.0"),
        ("pow", lambda: torch.tensor([-1.0, -4.0]) ** 0.5, (0,), "input = -1.0, other = 0.5"),
        ("mul", lambda: torch.full((2, 2), 1e30) * 1e30, (0, 0), "input = 1e+30, other = 1e+30"),
        ("exp", lambda: torch.tensor([[1.0, 1000.0]]).exp(), (0, 1), "input = 1000.0"),
        ("sum", lambda: (torch.ones(3) * 3e38).sum(), (), "input = a tensor of shape [3] with values from 3"),
        ("log", lambda: torch.zeros(2).log_(), (0,), "input = 0.0"),
        ("mm", lambda: torch.full((2, 2), 3e38).mm(torch.ones(2, 2)), (0, 0), "other = a tensor of shape [2, 2] with values"),
        ("softmax", lambda: torch.full((2, 3), -inf).softmax(1), (0, 0), "input = -inf"),
    ],
)
def test_results_of_operations(op, call, index, there):
    error = number_of(call)
    assert (error.op, error.index) == (op, index)
    assert there in str(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.full((2,), inf) + 1,
        lambda: torch.tensor([nan, 1.0]) * 2,
        lambda: torch.tensor([nan, 1.0]).sum(),
        lambda: torch.zeros(2, 2).masked_fill(torch.eye(2).bool(), -inf).softmax(1),
        lambda: torch.zeros(2, 2).masked_fill_(torch.eye(2).bool(), -inf).exp(),
        lambda: torch.full((3, 3), -inf).triu(1),
        lambda: torch.where(torch.tensor([True, False]), torch.ones(2), -inf),
        lambda: torch.zeros(2).fill_(inf),
        lambda: torch.zeros(2).copy_(torch.full((2,), inf)),
        lambda: torch.empty(100),
        lambda: torch.empty_like(torch.zeros(100)),
        lambda: torch.ones(2) * inf,
        lambda: torch.ones(2).clamp(max=inf),
        lambda: torch.from_numpy(np.array([nan])).clone(),
        lambda: torch.cat([torch.full((2,), inf), torch.ones(2)]),
        lambda: torch.stack([torch.full((2,), nan), torch.ones(2)]).mean(),
        lambda: torch.tensor([3]) // 2,
    ],
)
def test_what_the_program_wrote_or_already_had_is_not_new(call):
    with check_numerics():
        call()


def test_a_nan_made_of_an_infinity_is_new():
    error = number_of(lambda: torch.full((2,), inf) - torch.full((2,), inf))
    assert (error.op, error.index) == ("sub", (0,))


def test_only_new_elements_count():
    error = number_of(lambda: torch.tensor([nan, 1.0, 0.0]).log())
    assert error.index == (2,)
    assert "1 of 3 elements" in str(error)


def test_nan_and_inf_can_be_chosen():
    x = torch.tensor([0.0, -1.0])
    assert number_of(lambda: x.log(), inf=False).index == (1,)
    assert number_of(lambda: x.log(), nan=False).index == (0,)
    with check_numerics(nan=False, inf=False):
        x.log()
    with check_numerics(forward=False):
        x.log()


def test_an_inplace_operation_that_raises_changes_nothing():
    x = torch.tensor([1.0, 0.0])
    version = x._version
    assert number_of(lambda: x.log_()).op == "log"
    assert number_of(lambda: torch.log(x, out=x)).op == "log"
    assert x.tolist() == [1.0, 0.0]
    assert x._version == version


def test_operations_inside_a_custom_function_are_checked():
    class Logarithm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.log()

        @staticmethod
        def backward(ctx, g):
            return g

    assert number_of(lambda: Logarithm.apply(leaf(0.0))).op == "log"


def test_it_may_be_a_decorator_and_be_nested():
    @check_numerics(inf=False)
    def run(x):
        with check_numerics(nan=False, forward=False):
            return x.log()

    assert run(torch.zeros(1)).tolist() == [-inf]
    with pytest.raises(NumericsError):
        run(-torch.ones(1))


def test_it_belongs_to_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.zeros(1).log().item()))
    with check_numerics():
        thread.start()
        thread.join()
    assert found == [-inf]


# ---------------------------------------------------------------- backward
def test_the_side_of_where_not_taken_is_found_in_a_backward():
    x = leaf(-1.0, 0.0, 4.0)
    y = x.sqrt()
    made = line_here() - 1
    z, chosen = torch.where(x > 0, y, x), line_here()
    error = number_of(lambda: z.sum().backward())
    assert (error.op, error.index, error.line) == ("sqrt", (0,), f"{__file__}:{made}")
    assert error.node is y.grad_fn
    assert "The gradient was exactly 0 at 2 positions where sqrt's derivative is nan" in str(error)
    assert f"the side of `where` not taken, line {chosen} of {__file__}" in str(error)
    assert x.grad is None


def test_log_of_0_times_0_is_found_in_forward_and_in_backward():
    x = leaf(1.0, 0.0)
    forward = number_of(lambda: x.log() * 0)
    assert (forward.op, forward.index, forward.line) == ("log", (1,), f"{__file__}:{line_here() - 1}")
    backward = number_of(lambda: (x.log() * 0).sum().backward(), forward=False)
    assert (backward.op, backward.index, backward.line) == ("log", (1,), f"{__file__}:{line_here() - 1}")
    assert "log's derivative is inf: `mul` made it 0" in str(backward)


@pytest.mark.parametrize("made", [lambda x: torch.softmax(x, 0), lambda x: x * 0])
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_a_gradient_that_was_infinite_before_is_said_to_be(made):
    y = made(leaf(0.0, 1.0))
    said = r"returned nan values(.|\n)*came in was inf (.|\n)*check_numerics\(\) stops where the first infinity arises"
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=said):
        y.backward(torch.tensor([inf, 1.0], dtype=y.dtype))


def test_the_place_in_a_gradient_is_told_once():
    x = leaf(0.0, 4.0)
    error = number_of(lambda: torch.where(x > 0, x.sqrt(), x).sum().backward())
    assert str(error).count("at index [0] of shape [2]") == 1
    assert str(error).startswith("SqrtBackward0 gave nan.\n")


def test_an_infinite_gradient_is_found_where_it_arises():
    x = leaf(0.0, 1.0)
    y = (x * 1).sqrt().exp() * 2
    error = number_of(lambda: y.sum().backward(retain_graph=True))
    assert (error.op, error.index) == ("sqrt", (0,))
    assert "The derivative of sqrt is inf there." in str(error)
    assert number_of(lambda: torch.autograd.grad(y.sum(), x, create_graph=True)).op == "sqrt"
    with check_numerics(backward=False):
        y.sum().backward()
    assert x.grad[0].item() == inf


def test_a_gradient_that_the_caller_gave_is_not_new():
    x = leaf(1.0, 1.0)
    with check_numerics():
        (x * 2).backward(torch.tensor([nan, inf]).double())
        (x * 2).sum().backward(torch.tensor(inf).double())


def test_a_sum_of_gradients_that_overflows_is_found():
    x = leaf(1.0, 1.0, dtype=torch.float32)
    y = x * 1
    called = line_here() - 1
    big = torch.full((2,), 3e38)
    error = number_of(lambda: (y * big + y * big).sum().backward(), forward=False)
    assert (error.op, error.index, error.line) == ("sum of gradients", (0,), f"{__file__}:{called}")
    assert "the gradient of output 0 of mul" in str(error)
    error = number_of(lambda: (x * big + x * big).sum().backward(), forward=False)
    assert "the gradient of a leaf of shape [2] is inf" in str(error)
    error = number_of(lambda: ((x * 1).expand(2, 2) * big).sum().backward(), forward=False)
    assert error.index == (0,)
    error = number_of(lambda: ((x * 1) * big.expand(2, 2)).sum().backward(), forward=False)
    assert error.op == "sum of gradients"


def test_a_backward_with_several_outputs_is_checked():
    x = leaf(0.0, 1.0)
    first, second = x.sqrt().unbind()
    assert number_of(lambda: (first * 0 + second).backward()).op == "sqrt"


def test_a_custom_backward_is_checked():
    class Spoiling(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g / torch.zeros_like(g)

    error = number_of(lambda: Spoiling.apply(leaf(1.0)).sum().backward())
    assert (error.op, error.index) == ("Spoiling", (0,))
    assert error.node.name() == "SpoilingBackward"


def test_second_derivatives_are_checked():
    x = leaf(0.0)
    (g,) = torch.autograd.grad((x**1.5).sum(), x, create_graph=True)
    error = number_of(lambda: g.sum().backward())
    assert error.op == "pow"
    assert error.index == (0,)


def test_an_ordinary_training_step_passes():
    torch.manual_seed(0)
    weight = torch.randn(8, 4, requires_grad=True)
    with check_numerics():
        for _ in range(3):
            scores = torch.randn(5, 8) @ weight
            mask = torch.ones(5, 4).triu(1).bool()[:, :4]
            attention = scores.masked_fill(mask, -inf).softmax(1)
            loss = torch.nn.functional.cross_entropy(attention, torch.tensor([0, 1, 2, 3, 0]))
            loss.backward()
            with torch.no_grad():
                weight -= 0.1 * weight.grad
                weight.grad = None


# ---------------------------------------------------------------- 0 times infinity
CHOICES = {
    "sqrt": (lambda x: x.sqrt(), [-1.0, 0.0]),
    "log": (lambda x: x.log(), [-1.0, 0.0]),
    "div": (lambda x: x / x.abs(), [0.0]),
    "reciprocal": (lambda x: 1 / x, [0.0]),
    "pow": (lambda x: x**0.5, [-1.0, 0.0]),
    "pow of tensors": (lambda x: x**x, [-1.0, 0.0]),
    "asin": (lambda x: (x * 0.25).asin() / (x - x.detach() + 1), [-8.0]),
    "a chain": (lambda x: (x.sqrt() + 1).log() / x, [-1.0, 0.0]),
    "norm": (lambda x: (x * x).sqrt() * x.rsqrt(), [-1.0, 0.0]),
}


@pytest.mark.parametrize(("call", "outside"), CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_of_0_stays_0(call, outside, dtype):
    """Derivatives up to the third: those of the side taken, as they would be had the other never been computed."""
    values = [*outside, 2.0]
    taken = torch.tensor([False] * len(outside) + [True])
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    alone = torch.tensor([2.0], dtype=dtype, requires_grad=True)
    with zero_times_inf_is_zero():
        y, wanted = torch.where(taken, call(x), x), call(alone)
        raw = torch.autograd.grad(y.sum(), x, retain_graph=True)[0]
        for order in range(3):
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            (wanted,) = torch.autograd.grad(wanted.sum(), alone, create_graph=True)
            expected = [float(order == 0)] * len(outside) + wanted.tolist()
            np.testing.assert_allclose(y.tolist(), expected, rtol=1e-5)
            if order == 0:
                assert raw.tolist() == y.tolist()


def test_without_it_the_gradient_is_nan_and_the_diagnosis_says_why():
    def gradient():
        x = torch.tensor(-1.0, requires_grad=True)
        torch.where(x > 0, torch.sqrt(x), x).backward()
        return x.grad.item()

    assert math.isnan(gradient())
    error = number_of(gradient, forward=False)
    assert "the side of `where` not taken" in str(error)
    with zero_times_inf_is_zero():
        assert gradient() == 1.0
    assert math.isnan(gradient())


def test_the_graph_may_have_been_recorded_outside():
    x = leaf(0.0)
    y = (x.sqrt() * 0).sum()
    with zero_times_inf_is_zero(), check_numerics():
        y.backward()
    assert x.grad.tolist() == [0.0]


def test_a_gradient_that_is_not_0_is_left_alone():
    x = leaf(-1.0, 0.0, 4.0)
    with zero_times_inf_is_zero():
        x.sqrt().sum().backward()
    assert x.grad[0].isnan().item()
    assert x.grad[1:].tolist() == [inf, 0.25]


def test_other_operations_keep_a_gradient_that_is_0_everywhere():
    x = leaf(2.0, 2.0)
    with zero_times_inf_is_zero():
        torch.where(torch.tensor(False), x.std(), x[0]).backward()
    assert x.grad.tolist() == [1.0, 0.0]


def test_scalars_and_broadcast_operands():
    x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    y = leaf(1.0, 2.0)
    column = torch.tensor([[0.0], [1.0]], dtype=torch.float64, requires_grad=True)
    with zero_times_inf_is_zero():
        torch.where(torch.tensor(True), y, y / x).sum().backward()
        assert (x.grad.item(), y.grad.tolist()) == (0.0, [1.0, 1.0])
        torch.where(torch.tensor([[True], [False]]), y, y / column).sum().backward()
    assert column.grad.tolist() == [[0.0], [-3.0]]
    assert y.grad.tolist() == [3.0, 3.0]
