"""Views, writes through views and through bases, version counters, and the histories that follow from them."""

import random

import pytest

import ndgrad as torch
from ndgrad.autograd import grad


@pytest.fixture
def x():
    return torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)


def tensor(*values):
    return torch.tensor(list(values), dtype=torch.float64)


# ---------------------------------------------------------------- what views are
def test_the_base_is_always_the_root():
    a = torch.arange(6.0)
    v = a.view(2, 3)
    w = v.t()[1:]
    assert v._base is a
    assert w._base is a
    assert w._is_view()
    assert not a._is_view()
    assert a._base is None


def test_detach_shares_memory_and_version_but_is_no_view(x):
    d = (x * 1).detach()
    assert d._base is None
    assert not d._is_view()
    y = x * 1
    d = y.detach()
    d.mul_(2)
    assert y.tolist() == [2.0, 4.0, 6.0, 8.0]
    assert y._version == d._version == 1
    assert not d.requires_grad


def test_data_shares_memory_alone(x):
    y = x * 1
    y.data.mul_(2)
    assert y.tolist() == [2.0, 4.0, 6.0, 8.0]
    assert y._version == 0
    assert y.data._version == 0


def test_versions_are_shared_and_count_every_write(x):
    y = x * 1
    v = y.view(2, 2)
    row = v[0]
    y.mul_(2)
    v.mul_(2)
    row.mul_(2)
    with torch.no_grad():
        y.mul_(2)
    y.copy_(y)
    assert y._version == v._version == row._version == 5
    assert (y * 2)._version == 0


def test_identity_and_arithmetic_between_assignments(x):
    y = x * 1
    same = y
    y *= 2
    assert y is same
    assert y.grad_fn.name() == "MulBackward0"


# ---------------------------------------------------------------- gradients through writes
def test_write_to_the_base_reaches_views(x):
    y = x * 1
    v = y.view(2, 2)
    before = v.grad_fn
    y.mul_(3)
    assert v.tolist() == [[3.0, 6.0], [9.0, 12.0]]
    assert before.name() == "ViewBackward0"
    assert v.grad_fn.name() == "AsStridedBackward0"
    assert v.grad_fn is v.grad_fn
    (v * v).sum().backward()
    assert x.grad.tolist() == [18.0 * value for value in (1, 2, 3, 4)]


def test_write_through_a_view_reaches_the_base_and_its_other_views(x):
    y = x * 1
    v, w = y[:2], y.view(2, 2)
    v.mul_(10)
    assert y.tolist() == [10.0, 20.0, 3.0, 4.0]
    assert y.grad_fn.name() == "torch::autograd::CopySlices"
    assert w.grad_fn.name() == v.grad_fn.name() == "AsStridedBackward0"
    (y * y).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [200.0, 400.0, 6.0, 8.0]
    x.grad = None
    (w * w).sum().backward()
    assert x.grad.tolist() == [200.0, 400.0, 6.0, 8.0]


def test_write_through_a_view_of_a_view(x):
    y = x * 1
    v = y.view(2, 2).t()[1]  # elements 1 and 3
    v.mul_(tensor(5.0, 7.0))
    assert y.tolist() == [1.0, 10.0, 3.0, 28.0]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 5.0, 1.0, 7.0]


def test_overwritten_elements_pass_no_gradient(x):
    y = x * 1
    y[1:3].zero_()
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0, 8.0]


def test_a_tensor_overwritten_with_a_constant_still_requires_grad(x):
    for write, name in [
        (lambda y: y.zero_(), "ZeroBackward0"),
        (lambda y: y.copy_(torch.ones(4)), "torch::autograd::CopyBackwards"),
    ]:
        y = x * 1
        write(y)
        assert y.requires_grad
        assert y.grad_fn.name() == name
        x.grad = None
        (y * 5).sum().backward()
        assert x.grad.tolist() == [0.0] * 4


def test_a_constant_base_takes_part_once_a_differentiable_value_is_written(x):
    base = torch.zeros(2, 4, dtype=torch.float64)
    other = base.view(-1)
    base[0].copy_(x * 3)
    assert base.requires_grad
    assert other.requires_grad
    (base * 2).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [6.0] * 4
    x.grad = None
    (other * other).sum().backward()
    assert x.grad.tolist() == [18.0 * value for value in (1, 2, 3, 4)]


def test_write_through_many_views_in_turn(x):
    y = x * 1
    for index in range(4):
        y[index : index + 1].mul_(float(index + 2))
    (y * tensor(1.0, 10.0, 100.0, 1000.0)).sum().backward()
    assert x.grad.tolist() == [2.0, 30.0, 400.0, 5000.0]


def test_a_zero_dimensional_base(x):
    s = (x * 1).sum()
    v = s.view(1)
    v.mul_(3)
    (s * s).backward()
    assert x.grad.tolist() == [2 * 30.0 * 3] * 4


def test_bases_that_are_not_row_major(x):
    y = (x.view(2, 2).t() * 1).t()  # y's memory has its dims in the other order
    base = y if y._base is None else y._base
    flat = base.t().reshape(-1) if not base.is_contiguous() else base.view(-1)
    row = base[1]
    row.mul_(10)
    assert flat is not None
    base.sum().backward()
    assert sorted(x.grad.tolist()) == [1.0, 1.0, 10.0, 10.0]


@pytest.mark.parametrize(
    "outer", [lambda y: y.sum(), lambda y: (y.view(2, 2).t() * torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)).sum()]
)
def test_gradients_of_any_layout_go_through_copy_slices(x, outer):
    y = x * 1
    v = y.view(2, 2)
    v[0].mul_(10)
    y.view(4)[3:].mul_(5)
    (g,) = grad(outer(y), x, retain_graph=True)
    (recorded,) = grad(outer(y), x, create_graph=True)
    assert g.tolist() == recorded.tolist()


def test_double_backward_through_copy_slices(x):
    y = x * 1
    y[:2].mul_(x[2:])
    (g,) = grad((y * y).sum(), x, create_graph=True)
    # y = (x0 x2, x1 x3, x2, x3)
    with torch.no_grad():
        a, b, c, d = x.tolist()
    assert g.tolist() == [2 * a * c * c, 2 * b * d * d, 2 * c * a * a + 2 * c, 2 * d * b * b + 2 * d]
    (h,) = grad(g.sum(), x)
    assert h.tolist() == [2 * c * c + 4 * a * c, 2 * d * d + 4 * b * d, 4 * a * c + 2 * a * a + 2, 4 * b * d + 2 * b * b + 2]


# ---------------------------------------------------------------- what is saved
def test_residuals_of_an_in_place_operation_are_of_the_right_moment(x):
    y = x * 1
    y.sin_()  # saves the old value
    y.exp_()  # saves the new one
    y.sum().backward()
    expected = x.detach().sin().exp() * x.detach().cos()
    assert x.grad.tolist() == pytest.approx(expected.tolist())


def test_a_tensor_multiplied_by_itself_in_place(x):
    y = x * 1
    y.mul_(y)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0, 8.0]


def test_a_residual_converted_to_another_dtype_is_not_reached_by_the_write():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    factor = tensor(3.0, 5.0).requires_grad_()
    y = x * 1
    y.mul_(factor)
    assert y.dtype is torch.float32
    assert y.grad_fn.name() == "MulBackward0"
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 5.0]
    assert factor.grad.tolist() == [1.0, 2.0]
    assert factor.grad.dtype is torch.float64


def test_the_result_of_an_in_place_operation_is_watched_too(x):
    y = x * 1
    y.exp_()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="is at version 2; expected version 1 instead"):
        y.sum().backward()


# ---------------------------------------------------------------- detaching and modes
def test_detach_in_place(x):
    y = x * 2
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad


def test_writes_in_no_grad_change_values_alone(x):
    y = x * 2
    node = y.grad_fn
    with torch.no_grad():
        y.mul_(10)
        y.view(2, 2)[0].zero_()
    assert y.grad_fn is node
    assert y.tolist() == [0.0, 0.0, 60.0, 80.0]
    y.sum().backward()
    assert x.grad.tolist() == [2.0] * 4


def test_parameters_are_updated_in_no_grad(x):
    (x * x).sum().backward()
    with torch.no_grad():
        x -= 0.5 * x.grad
        x.view(2, 2)[0] += 1.0
    assert x.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert x.is_leaf
    assert x.requires_grad


def test_several_views_of_a_constant_may_be_written():
    a = torch.arange(4.0)
    first, second = a.split(2)
    second.mul_(10)
    first.copy_(second)
    assert a.tolist() == [20.0, 30.0, 20.0, 30.0]


def test_expanded_memory_may_be_filled_with_one_number():
    a = torch.ones(1, 2)
    wide = a.expand(3, 2)
    wide.zero_()
    assert a.tolist() == [[0.0, 0.0]]
    wide.fill_(2.0)
    assert a.tolist() == [[2.0, 2.0]]


# ---------------------------------------------------------------- random programs against a tape that knows no views
@pytest.mark.parametrize("seed", range(40))
def test_random_writes_have_the_gradients_of_finite_differences(seed):
    draw = random.Random(seed)
    plan = [
        (draw.choice(["row", "column", "flat", "step", "base"]), draw.choice(["mul", "sin", "add", "zero"]), draw.random())
        for _ in range(6)
    ]

    def run(leaf):
        y = leaf * 1.0
        total = 0.0
        for where, what, number in plan:
            square = y.view(2, 2)
            target = {"row": square[0], "column": square.t()[1], "flat": square.view(-1), "step": y[::2], "base": y}[where]
            if what == "mul":
                target.mul_(0.5 + number)
            elif what == "sin":
                target.sin_()
            elif what == "add":
                target.add_(leaf[: target.numel()].reshape(target.shape) if target.numel() <= 4 else leaf)
            else:
                target[:1].zero_()
            kept = square.clone()  # which is saved here, while y is going to change
            total = total + (kept * kept).sum() * number
        return total

    start = [0.3, -0.2, 0.7, 0.1]
    leaf = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    (found,) = grad(run(leaf), leaf)
    for index in range(4):
        up, down = list(start), list(start)
        up[index] += 1e-6
        down[index] -= 1e-6
        slope = (run(torch.tensor(up, dtype=torch.float64)).item() - run(torch.tensor(down, dtype=torch.float64)).item()) / 2e-6
        assert found[index].item() == pytest.approx(slope, rel=1e-6, abs=1e-7)
