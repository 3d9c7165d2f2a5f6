"""Random functions made from the op table, in nestings of transforms, run by torch and by ndgrad."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

import ndgrad
from tests.smooth_programs import SIZE, UNARY, constant, every_step, run, smooth_functions

few = settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


class Side:
    """A program in one library."""

    def __init__(self, lib: Any, program: list[Any]) -> None:
        self.lib, self.func, self.program = lib, lib.func, program
        self.x, self.v, self.w = (constant(lib, SIZE, start=start) for start in (0.3, 4.0, 5.5))
        self.xs = constant(lib, 4, SIZE, start=1.0)
        self.units = lib.eye(SIZE, dtype=lib.float64)

    def f(self, x: Any) -> Any:
        return run(self.lib, self.program, x)

    def total(self, x: Any) -> Any:
        return (self.f(x) * self.w).sum()

    def push(self, function: Callable[[Any], Any], x: Any, v: Any) -> Any:
        return self.func.jvp(function, (x,), (v,))[1]

    def forward(self, function: Callable[[Any], Any], x: Any) -> Any:
        return self.func.vmap(lambda v: self.push(function, x, v), out_dims=-1)(self.units)

    def reverse(self, function: Callable[[Any], Any], x: Any) -> Any:
        y, pull = self.func.vjp(function, x)
        return self.func.vmap(lambda g: pull(g)[0])(self.units.reshape(SIZE, *y.shape) if y.ndim == 1 else self.units)

    def leaf(self) -> Any:
        return self.xs.clone().requires_grad_()


def with_hooks(side: Side) -> Any:
    x = side.leaf()
    x.register_hook(lambda g: g * 2)
    side.func.vmap(side.total)(x).sum().backward()
    return x.grad


def recorded_around(side: Side) -> Any:
    x = side.leaf()
    g = side.func.vmap(side.func.grad(side.total))(x)
    return side.lib.autograd.grad((g * g).sum(), x)[0]


def in_batches(side: Side) -> Any:
    x = side.x.clone().requires_grad_()
    (g,) = side.lib.autograd.grad(side.f(x), x, side.units, is_grads_batched=True, create_graph=True)
    return side.lib.autograd.grad((g * g).sum(), x)[0]


def shared(side: Side) -> Any:
    def loss(w: Any) -> Any:
        return side.func.vmap(lambda x: side.total(x * w) * w.sum())(side.xs).sum()

    return side.push(side.func.grad(loss), side.x, side.v)


NESTINGS: dict[str, Callable[[Side], Any]] = {
    "vmap": lambda s: s.func.vmap(s.f, out_dims=1)(s.xs),
    "vmap of vmap": lambda s: s.func.vmap(s.func.vmap(s.f), in_dims=1)(s.lib.stack([s.xs, s.xs * 0.5])),
    "vmap in chunks": lambda s: s.func.vmap(s.f, chunk_size=3)(s.xs),
    "vmap of grad": lambda s: s.func.vmap(s.func.grad(s.total))(s.xs),
    "grad of vmap": lambda s: s.func.grad(lambda x: s.func.vmap(s.total)(x).sum())(s.xs),
    "vmap of jvp": lambda s: s.func.vmap(lambda x: s.push(s.f, x, s.v))(s.xs),
    "jvp of vmap": lambda s: s.push(s.func.vmap(s.f), s.xs, s.xs.flip(0)),
    "vmap of jvp of grad": lambda s: s.func.vmap(lambda x: s.push(s.func.grad(s.total), x, s.v))(s.xs),
    "vmap of grad of grad": lambda s: s.func.vmap(s.func.grad(lambda x: (s.func.grad(s.total)(x) * s.v).sum()))(s.xs),
    "forward jacobian": lambda s: s.forward(s.f, s.x),
    "jacobians of examples": lambda s: s.func.vmap(lambda x: s.forward(s.f, x))(s.xs),
    "hessian, forward over reverse": lambda s: s.forward(s.func.grad(s.total), s.x),
    "hessian, forward over forward": lambda s: s.forward(lambda x: s.forward(s.total, x), s.x),
    "hessian, reverse over forward": lambda s: s.reverse(lambda x: s.forward(s.total, x), s.x),
    "hessians of examples": lambda s: s.func.vmap(lambda x: s.forward(s.func.grad(s.total), x))(s.xs),
    "third derivative": lambda s: s.push(lambda x: s.forward(s.func.grad(s.total), x), s.x, s.v),
    "with hooks": with_hooks,
    "recorded around": recorded_around,
    "gradients in batches": in_batches,
    "what examples share": shared,
}


def compare(name: str, program: list[Any]) -> None:
    """Where torch has no rule, or a wrong one, for a step, it raises: then there is nothing to compare."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = NESTINGS[name](Side(torch, program))
            theirs = torch.zeros(theirs.shape, dtype=theirs.dtype) + theirs  # zeros without memory get some
        except (RuntimeError, NotImplementedError) as error:
            assert any(text in str(error) for text in LACKS), error
            return
        ours = NESTINGS[name](Side(ndgrad, program))
    assert tuple(theirs.shape) == tuple(ours.shape)
    np.testing.assert_allclose(np.asarray(ours.tolist()), np.asarray(theirs.tolist()), rtol=1e-6, atol=1e-8, err_msg=f"{name} of {program}")


#: What torch says of what it has not got.
LACKS = (
    "not implemented", "not possible", "does not support", "don't support", "not currently support", "vmap: It looks like", "forward AD",
)  # fmt: skip


@pytest.mark.parametrize("name", NESTINGS)
@given(program=smooth_functions())
@few
def test_random_functions(name: str, program: list[Any]) -> None:
    compare(name, program)


@pytest.mark.parametrize("program", every_step(), ids=lambda program: f"{program[0][0]}{program[0][3]}")
def test_each_operation(program: list[Any]) -> None:
    for name in ("vmap", "hessian, forward over reverse", "hessian, forward over forward", "what examples share", "gradients in batches"):
        compare(name, program)


def test_torch_has_the_operations() -> None:
    assert all(hasattr(torch, name) for name in UNARY)
