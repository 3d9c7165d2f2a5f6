"""`vmap` and what else belongs to autograd: modes, detached tensors, hooks, checkpoints, observers, gradients in batches."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad import Tensor, autograd
from ndgrad.base import modes
from ndgrad.func import grad, jvp, vjp, vmap
from ndgrad.utils.checkpoint import checkpoint


def rows(count: int = 2, width: int = 3) -> Tensor:
    return torch.arange(1.0, 1.0 + count * width, dtype=torch.float64).reshape(count, width)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(
        np.asarray(found.tolist()), np.asarray(expected.tolist() if isinstance(expected, Tensor) else expected), rtol=1e-12
    )


@pytest.fixture(autouse=True)
def modes_are_left_as_they_were() -> Any:
    yield
    assert not modes.exceptional


# ---------------------------------------------------------------- detach
def forget_in_place(a: Tensor) -> Tensor:
    b = a * 1
    b.detach_()
    return b


@pytest.mark.parametrize("forget", [lambda a: a.detach(), forget_in_place], ids=["detach", "detach_"])
@pytest.mark.parametrize("depth", [1, 2])
def test_detached_inside_is_detached_outside(forget: Callable[[Tensor], Tensor], depth: int) -> None:
    """Gradients that are recorded outside end there as well, and tangents."""
    x = rows().requires_grad_()

    def batched(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return vmap(function) if depth == 1 else vmap(vmap(function))

    assert not batched(forget)(x).requires_grad
    (g,) = autograd.grad(batched(lambda a: forget(a) * a)(x).sum(), x)
    same(g, x)
    same(grad(lambda x: batched(lambda a: forget(a) * a)(x).sum())(x.detach()), x)
    same(grad(lambda x: grad(lambda x: batched(lambda a: forget(a) * a * a)(x).sum())(x).sum())(x.detach()), 2 * x.detach())
    same(jvp(batched(lambda a: forget(a) * a), (x.detach(),), (torch.ones_like(x),))[1], x)
    same(vmap(grad(lambda a: (forget(a) * a).sum()))(x.detach()), x)


def test_a_detached_tensor_shares_memory() -> None:
    x = rows()

    def function(a: Tensor) -> Tensor:
        b = a * 2
        b.detach().add_(1)
        return b

    same(vmap(function)(x), 2 * x + 1)


def test_a_detached_captured_tensor() -> None:
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    (g,) = autograd.grad(vmap(lambda a: w.detach() * a * w)(rows()).sum(), w)
    same(g, rows().sum(0))


# ---------------------------------------------------------------- modes
def test_no_grad_inside_and_around() -> None:
    x = rows().requires_grad_()

    def partly(a: Tensor) -> Tensor:
        with torch.no_grad():
            c = a.pow(2)
        return c * a

    same(autograd.grad(vmap(partly)(x).sum(), x)[0], x.detach() ** 2)
    same(vmap(grad(lambda a: partly(a).sum()))(x.detach()), x.detach() ** 2)
    with torch.no_grad():
        assert not vmap(partly)(x).requires_grad
        same(vmap(grad(lambda a: partly(a).sum()))(x), x.detach() ** 2)
    with torch.inference_mode():
        assert vmap(partly)(x).is_inference()
        same(vmap(grad(lambda a: a.pow(2).sum()))(x), 2 * x.detach())


@pytest.mark.parametrize(
    "transform",
    [vmap, lambda f: vmap(vmap(f)), lambda f: vmap(grad(f)), lambda f: grad(lambda x: vmap(f)(x).sum()), lambda f: vmap(f, chunk_size=1)],
)
def test_an_exception_leaves_nothing_behind(transform: Callable[..., Any]) -> None:
    def failing(a: Tensor) -> Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        transform(failing)(rows())
    assert not modes.exceptional and torch.is_grad_enabled()
    same(vmap(lambda a: a + 1)(rows()), rows() + 1)


def test_a_thread_started_inside_has_no_vmap() -> None:
    found: list[Any] = []

    def inside(a: Tensor) -> Tensor:
        def body() -> None:
            found.append(modes.current().observers)
            try:
                found.append(a * 2)
            except RuntimeError as error:
                found.append(str(error))

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return a

    vmap(inside)(rows())
    assert found[0] == () and "may have escaped" in found[1]


# ---------------------------------------------------------------- what stays alive
def test_no_tensor_of_an_ended_vmap_stays_alive() -> None:
    seen: list[Any] = []

    def function(a: Tensor) -> Tensor:
        b = a * 2
        seen.extend([weakref.ref(a), weakref.ref(b), weakref.ref(b._a.value)])
        return (b * b).sum()

    gc.collect()
    gc.disable()
    try:
        for transformed in (vmap(function), vmap(grad(function)), grad(lambda x: vmap(function)(x).sum())):
            seen.clear()
            transformed(rows())
            assert [reference() for reference in seen] == [None] * 3
        seen.clear()
        jvp(vmap(function), (rows(),), (rows(),))
        assert [reference() for reference in seen] == [None] * 3
        with pytest.raises(KeyError):
            vmap(lambda a: (function(a), {}["x"]))(rows())
    finally:
        gc.enable()
    gc.collect()
    assert [reference() for reference in seen] == [None] * len(seen)


def test_a_graph_outside_keeps_only_what_it_saved() -> None:
    seen: list[Any] = []

    def function(a: Tensor) -> Tensor:
        seen.append(weakref.ref(a))
        return a.sin()

    x = rows().requires_grad_()
    out = vmap(function)(x)
    assert seen[0]() is None
    out.sum().backward()
    assert isinstance(x.grad, Tensor)
    same(x.grad, x.detach().cos())


# ---------------------------------------------------------------- saved tensors, checkpoints
def test_a_stale_saved_tensor_is_noticed() -> None:
    def function(a: Tensor) -> Tensor:
        b = a * 2
        c = b * b
        b[0].mul_(3)
        return c.sum()

    for transformed in (vmap(grad(function)), grad(lambda x: vmap(function)(x).sum()), vmap(vmap(grad(lambda s: function(s.reshape(1)))))):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            transformed(rows())


def test_saved_tensors_that_may_be_changed() -> None:
    """`allow_mutation_on_saved_tensors` keeps what was saved, at whatever level it is written to."""

    def function(a: Tensor) -> Tensor:
        b = a * 2
        c = b * b
        b.mul_(3)
        b[0] = 7.0
        return c.sum()

    x = rows()
    with autograd.graph.allow_mutation_on_saved_tensors():
        same(vmap(grad(function))(x), 8 * x)
        same(grad(lambda x: vmap(function)(x).sum())(x), 8 * x)
        same(vmap(lambda a: vmap(grad(lambda s: function(s.reshape(1))))(a))(x), 8 * x)
        leaf = x.clone().requires_grad_()
        same(autograd.grad(vmap(function)(leaf).sum(), leaf)[0], 8 * x)


def test_hooks_of_saved_tensors() -> None:
    packed: list[Any] = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tuple(tensor.shape))
        return tensor

    x = rows()
    with autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        same(vmap(grad(lambda a: (a * a).sum()))(x), 2 * x)
    assert (3,) in packed

    def inside(a: Tensor) -> Tensor:
        with autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor * 2):
            return (a * a).sum()

    same(vmap(grad(inside))(x), 4 * x)
    leaf = x.clone().requires_grad_()
    g = vmap(grad(lambda a: inside(a) * a.sum()))(leaf)  # and by the hook's results gradients pass on
    assert g.requires_grad


def test_checkpoints() -> None:
    w, x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True), rows()
    expected = autograd.grad(vmap(lambda a: (a * w).pow(3).sum())(x).sum(), w)[0]
    around = checkpoint(lambda w: vmap(lambda a: (a * w).pow(3).sum())(x), w, use_reentrant=False)
    same(autograd.grad(around.sum(), w)[0], expected)
    same(grad(lambda w: checkpoint(lambda w: vmap(lambda a: (a * w).pow(3).sum())(x), w, use_reentrant=False).sum())(w.detach()), expected)
    inside = vmap(grad(lambda a: checkpoint(lambda a: (a.sin() * a).sum(), a, use_reentrant=False)))
    same(inside(x), x.cos() * x + x.sin())


# ---------------------------------------------------------------- hooks
def test_hooks_see_one_example_inside_and_all_outside() -> None:
    seen: list[Any] = []

    def function(a: Tensor) -> Tensor:
        b = a * 2
        b.register_hook(lambda g: seen.append(tuple(g.shape)) or g * 10)
        return b.sum()

    x = rows()
    same(vmap(grad(function))(x), torch.full((2, 3), 20.0))
    assert seen == [(3,)]
    v = torch.ones(3, dtype=torch.float64, requires_grad=True)
    w = v * 1
    w.register_hook(lambda g: seen.append(tuple(g.shape)) or g * 10)
    same(autograd.grad(vmap(lambda a: (a * w).sum())(x).sum(), v)[0], 10 * x.sum(0))
    assert seen == [(3,)] * 2


# ---------------------------------------------------------------- observers
def bad(a: Tensor) -> Tensor:
    return (a * 0).sqrt().sum()


def chosen(a: Tensor) -> Tensor:
    return torch.where(a > 3, a, (3 - a).sqrt()).sum()


@pytest.mark.parametrize("context", [autograd.detect_anomaly, autograd.check_numerics])
def test_bad_numbers_are_found_inside(context: Callable[[], Any]) -> None:
    x = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with context():
            same(vmap(grad(lambda a: (a * a).sum()))(x), 2 * x)
            for transformed in (vmap(grad(bad)), vmap(vmap(grad(bad))), grad(lambda x: vmap(bad)(x).sum())):
                with pytest.raises((RuntimeError, FloatingPointError), match=r"of shape \[2, 3\] \(6 of 6 elements\)"):
                    transformed(x)

        def inside(a: Tensor) -> Tensor:
            with context():
                g: Tensor = grad(bad)(a)
                return g

        with pytest.raises((RuntimeError, FloatingPointError), match="It is the backward of"):
            vmap(inside)(x)
    assert vmap(grad(bad))(x).isnan().all()


def test_bad_results_are_found_inside() -> None:
    def inside(a: Tensor) -> Tensor:
        with autograd.check_numerics():
            return (a - 1).log()

    for transformed in (vmap(inside), vmap(vmap(inside))):
        with pytest.raises(FloatingPointError, match=r"log\(\) gave -inf at index \[0, 0\] .* input = 0.0"):
            transformed(rows())
    same(vmap(inside)(rows() + 1), rows().log())


def test_the_accident_is_explained() -> None:
    with autograd.check_numerics(forward=False), pytest.raises(FloatingPointError, match=r"exactly 0 at 1 position where sqrt's"):
        vmap(grad(lambda a: torch.where(a > 2, a, (3 - a).abs().sqrt()).sum()))(rows())


def test_zero_times_infinity_inside() -> None:
    """Where an example's gradient is 0 it stays 0, whatever those of the others are."""
    x = rows()
    expected = torch.where(x > 3, torch.ones(()), -0.5 / (3 - x).sqrt()).tolist()
    expected[0][2] = 0.0 if np.isnan(expected[0][2]) else expected[0][2]
    for transformed in (vmap(grad(chosen)), vmap(vmap(grad(chosen))), grad(lambda x: vmap(chosen)(x).sum())):
        with autograd.zero_times_inf_is_zero():
            found = transformed(x)
        assert found[1].tolist() == [1.0] * 3
        same(found[0, :2], expected[0][:2])


def test_the_profiler_and_created_nodes() -> None:
    names: list[str] = []
    with autograd.profiler.profile() as profile, autograd.graph.node_creation_hook(lambda node: names.append(node.name())):
        vmap(grad(lambda a: (a * a).sum()))(rows())
    assert names == ["MulBackward0", "SumBackward0"]
    assert "aten::mul" in {event.name for event in profile.function_events}


# ---------------------------------------------------------------- batches of gradients
def functions() -> dict[str, Callable[[Tensor], Tensor]]:
    def written(x: Tensor) -> Tensor:
        y = x * 2
        y[0] = x[1] * x[2]
        y[1:].mul_(x[0])
        return y

    def slices(x: Tensor) -> Tensor:
        out = torch.zeros(3, dtype=torch.float64)
        out[:2] = x[1:] * x[0]
        out[2:].add_(x[:1])
        return out

    class Cube(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return 3 * ctx.saved_tensors[0] ** 2 * g

    return {
        "view": lambda x: x.view(3, 1).expand(3, 2).sum(1) * x,
        "written": written,
        "slices": slices,
        "indexed": lambda x: x[torch.tensor([0, 0, 2])] * x.flip(0),
        "custom": lambda x: Cube.apply(x).sin(),
        "scan": lambda x: x.cumsum(0) * x,
        "checkpoint": lambda x: checkpoint(lambda x: x.sin() * x, x, use_reentrant=False),
        "product": lambda x: (x.outer(x) @ x).tanh(),
    }


@pytest.mark.parametrize("name", functions())
def test_gradients_in_batches(name: str) -> None:
    function = functions()[name]
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    units = torch.eye(3, dtype=torch.float64)
    expected = torch.stack([autograd.grad(function(x), x, unit)[0] for unit in units])
    same(autograd.grad(function(x), x, units, is_grads_batched=True)[0], expected)
    (first,) = autograd.grad(function(x), x, units, is_grads_batched=True, create_graph=True)
    same(first.detach(), expected)
    one_by_one = torch.stack([autograd.grad(function(x), x, unit, create_graph=True)[0] for unit in units])
    both = [autograd.grad(each.pow(2).sum(), x)[0] for each in (first, one_by_one)]
    same(*both)
    if name == "checkpoint":
        return
    (first,) = autograd.grad(function(x), x, units, is_grads_batched=True, create_graph=True)
    (second,) = autograd.grad(first.reshape(-1), x, torch.eye(9, dtype=torch.float64), is_grads_batched=True)
    again = torch.stack([autograd.grad(function(x), x, unit, create_graph=True)[0] for unit in units]).reshape(-1)
    same(second, torch.stack([autograd.grad(each, x, retain_graph=True)[0] for each in again]))


def test_a_pullback_in_batches() -> None:
    x = rows()[0]
    y, pull = vjp(lambda x: x.sin() * x.sum(), x)
    units = torch.eye(3, dtype=torch.float64)
    same(vmap(pull)(units)[0], torch.stack([pull(unit)[0] for unit in units]))
    assert not y.requires_grad


def test_anomaly_mode_knows_the_line_of_a_node_made_inside() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with autograd.detect_anomaly(), pytest.raises(RuntimeError, match="returned nan values"):
            vmap(grad(bad))(rows())
    text = "".join(str(each.message) for each in caught)
    assert "Traceback of forward call that caused the error" in text and "(a * 0).sqrt().sum()" in text
