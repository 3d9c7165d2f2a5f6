"""Forward mode: what is not in the comparison with PyTorch, and what a level leaves behind."""

import gc
import threading
import weakref

import pytest

import ndgrad as torch
from ndgrad.autograd import forward_ad
from ndgrad.autograd.duals import Level
from ndgrad.core.observers import observing


def tangent(tensor):
    return forward_ad.unpack_dual(tensor).tangent


def seeded():
    return forward_ad.make_dual(torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1.0, 0.5], dtype=torch.float64))


def test_a_derivative_along_a_direction():
    with forward_ad.dual_level():
        y = seeded() ** 3
        assert y.tolist() == [1.0, 8.0] and tangent(y).tolist() == [3.0, 6.0]


def test_tangents_are_forgotten_with_their_tensors_and_with_the_level():
    with forward_ad.dual_level():
        level = forward_ad.current_level()
        dual = seeded()
        held = weakref.ref(tangent(dual))
        for _ in range(50):
            dual.sin()
        assert len(level.tangents) == 1
        del dual
        assert held() is None and not level.tangents
        dual = seeded().requires_grad_()
        out = dual.exp()
        assert len(level.residuals) == 1
    assert held() is None and not level.tangents and not level.residuals and tangent(out) is None
    gc.collect()


def test_a_level_belongs_to_its_thread():
    found = []

    def other():
        found.append((forward_ad._current_level, tangent(dual)))
        with forward_ad.dual_level():
            found.append((forward_ad._current_level, tangent(dual), tangent(seeded() * 2).tolist()))

    with forward_ad.dual_level():
        dual = seeded()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert tangent(dual * 2).tolist() == [2.0, 1.0]
    assert found == [(-1, None), (0, None, [2.0, 1.0])]


def test_an_error_ends_the_level():
    with pytest.raises(ZeroDivisionError), forward_ad.dual_level():
        raise ZeroDivisionError
    assert forward_ad._current_level == -1


def test_levels_inside_each_other_do_not_mix():
    """d/dx [x * d/dy (x + y)] is 1, and the third derivative of a fifth power needs three levels."""
    outer, inner = Level(), Level()
    x, y = torch.tensor(2.0), torch.tensor(3.0)
    with observing(outer):
        outer.set_tangent(x, torch.tensor(1.0))
        with observing(inner):
            inner.set_tangent(y, torch.tensor(1.0))
            slope = inner.tangent(x + y)
        assert outer.tangent(slope) is None or outer.tangent(slope).item() == 0.0
        assert outer.tangent(x * slope).item() == 1.0

    def along(function):
        def derivative(x):
            level = Level()
            with observing(level):
                x = x.view_as(x)
                level.set_tangent(x, torch.ones_like(x))
                return level.tangent(function(x))

        return derivative

    assert along(along(along(lambda x: x**5)))(torch.tensor(2.0)).item() == 240.0


def test_a_view_taken_before_its_base_has_a_tangent():
    with forward_ad.dual_level():
        base = torch.zeros(2, dtype=torch.float64)
        view = base[:1]
        view.copy_(seeded()[:1])
        assert tangent(base).tolist() == [1.0, 0.0] and tangent(view).tolist() == [1.0]
        base.mul_(3)
        assert tangent(base).tolist() == [3.0, 0.0] and tangent(view).tolist() == [3.0]


def test_what_was_saved_has_the_tangent_that_it_had():
    x = torch.tensor([1.5, 2.5], dtype=torch.float64, requires_grad=True)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.tensor([1.0, 0.5], dtype=torch.float64))
        for function in (torch.digamma, lambda x: x.clone().digamma_()):
            (g,) = torch.autograd.grad(function(dual).sum(), dual)
            assert torch.allclose(tangent(g), torch.polygamma(2, x) * torch.tensor([1.0, 0.5]))


def test_gradients_of_a_backward_in_a_level_are_recorded_only_if_asked_for():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with forward_ad.dual_level():
        y = (forward_ad.make_dual(x, torch.ones(2)) ** 2).sum()
        y.backward(retain_graph=True)
        first = x.grad
        y.backward()
        assert x.grad is first and x.grad.tolist() == [4.0, 8.0] and not x.grad.requires_grad


def test_what_is_no_tensor_is_refused():
    with forward_ad.dual_level():
        with pytest.raises(TypeError, match="expected tangent to be a Tensor, but got float"):
            forward_ad.make_dual(torch.ones(2), 1.0)
        with pytest.raises(TypeError, match="expected a Tensor, but got int"):
            forward_ad.unpack_dual(3)


def test_a_jvp_may_leave_a_tangent_out():
    class First(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def jvp(ctx, t):
            return t * 2, None

    with forward_ad.dual_level():
        first, second = First.apply(seeded())
        assert tangent(first).tolist() == [2.0, 1.0] and tangent(second) is None


def test_a_profile_and_anomaly_mode_go_with_a_level():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.profiler.profile() as profile, forward_ad.dual_level(), torch.autograd.graph.save_on_cpu():
        y = forward_ad.make_dual(x, torch.ones(2)).sin()
        y.sum().backward()
        assert torch.allclose(tangent(y), x.cos())
    assert any(event.name == "aten::sin" for event in profile.function_events)


def test_what_is_overwritten_with_a_constant_has_tangent_zero():
    with forward_ad.dual_level():
        x = seeded().clone()
        view = x[1:]
        view.fill_(5.0)
        assert tangent(x).tolist() == [1.0, 0.0] and tangent(view).tolist() == [0.0]
        assert tangent(x.normal_()).tolist() == [0.0, 0.0] and tangent(view).tolist() == [0.0]


def test_what_is_saved_for_jvp_is_not_what_backward_finds():
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(factor)
            ctx.save_for_forward(x, factor)
            return x * factor

        @staticmethod
        def backward(ctx, g):
            (factor,) = ctx.saved_tensors
            return g * factor, None

        @staticmethod
        def jvp(ctx, x_t, factor_t):
            x, factor = ctx.saved_tensors
            return x_t * factor + x * factor_t

    x, factor = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0])
    with forward_ad.dual_level():
        y = Scaled.apply(forward_ad.make_dual(x, torch.ones(2)), factor)
        assert tangent(y).tolist() == [3.0, 4.0]
        y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]


def test_a_view_made_before_its_base_was_written_to_moves_with_it():
    base = torch.zeros(4, dtype=torch.float64)
    early, other, cut = base[:2], base[1:3], base.detach()[:2]
    with forward_ad.dual_level():
        early.copy_(seeded())
        assert tangent(base).tolist() == [1.0, 0.5, 0.0, 0.0] and tangent(base[:2]).tolist() == [1.0, 0.5]
        assert tangent(other).tolist() == [0.5, 0.0] and tangent(other * 2).tolist() == [1.0, 0.0]
        assert tangent(cut) is None
        other.mul_(2)
        assert tangent(early).tolist() == [1.0, 1.0]


def test_a_tangent_that_is_part_of_something_is_not_written_to():
    """PyTorch writes to a tangent of the same layout, memory included; rows of a matrix of directions must stay as they are."""
    directions = torch.ones(2, 3)
    x = torch.tensor([1.0, 2.0, 3.0])
    value, t = torch.func.jvp(lambda x: x.clone().mul_(x) + x.mul_(2), (x,), (directions[1],))
    assert value.tolist() == [3.0, 8.0, 15.0] and t.tolist() == [4.0, 6.0, 8.0] and x.tolist() == [2.0, 4.0, 6.0]
    assert directions.tolist() == [[1.0] * 3] * 2
    t = torch.ones(3)
    with forward_ad.dual_level():
        forward_ad.make_dual(directions[1], t).mul_(2)
    assert t.tolist() == [1.0] * 3
