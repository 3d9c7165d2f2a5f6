"""What is checked of every operation under transforms of transforms: `vmap`, `vjp` and `jvp`, each inside of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.forward import jvp
from ndgrad.func.mapping import vmap
from ndgrad.func.reverse import vjp
from ndgrad.testing.batch_checks import SIZE, examples_of
from ndgrad.testing.cases import Case
from ndgrad.testing.op_checks import inner, random_like, require_close

TIGHT = 1e-8, 1e-9


def as_function(case: Case) -> Callable[..., tuple[Tensor, ...]]:
    """The operation as a function of its leaves."""

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(case.outputs(leaves))

    return function


def examples(case: Case) -> list[Tensor]:
    """For each leaf, examples of it along a first dim."""
    return [wrap(np.stack([np.asarray(each._a) for each in examples_of(leaf)])) for leaf in case.leaves]


def tensors_like(values: Sequence[Tensor], seed: int) -> tuple[Tensor, ...]:
    return tuple(wrap(array) for array in random_like([value._a for value in values], seed))


def each_alone(function: Callable[..., Any], stacked: Sequence[Any], dims: Sequence[int | None]) -> list[list[Any]]:
    """What a function gives for each example in turn, output by output."""
    rows = [
        function(*(x if dim is None else x.select(dim, index).clone() for x, dim in zip(stacked, dims, strict=True)))
        for index in range(SIZE)
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def choices(case: Case) -> list[tuple[int | None, ...]]:
    """Which leaves have examples: all, and each alone; what an operation writes into must have them."""
    count = len(case.leaves)
    every: list[tuple[int | None, ...]] = [(0,) * count]
    if case.mutates:
        return every
    return every + [tuple(0 if other == position else None for other in range(count)) for position in range(count)] if count > 1 else every


def compare(case: Case, what: str, function: Callable[..., Any], stacked: Sequence[Tensor]) -> None:
    """`vmap` of a function against a loop, for every choice."""
    leaves = [leaf.detach() for leaf in case.leaves]
    for dims in choices(case):
        given = [x if dim is not None else leaf for x, dim, leaf in zip(stacked, dims, leaves, strict=True)]
        found = vmap(function, in_dims=tuple(dims), randomness="same" if case.random else "error")(*given)
        for position, (one, rows) in enumerate(zip(found, each_alone(function, given, dims), strict=True)):
            expected = np.stack([np.asarray(row._a) for row in rows])
            require_close(case, f"{what}, output {position}, examples in dims {dims}", one._a, expected, *TIGHT)
            assert not one.requires_grad, f"{case}: {what} requires grad"


def check_vmap_of_derivatives(case: Case, third: bool = True) -> None:
    """`vmap` of `vjp`, of `jvp`, of `jvp` of `vjp`, and of `vjp` of `jvp`, against loops over the examples.

    The last may take third derivatives: a `jvp` that is a transposed `vjp` takes two.
    """
    function = as_function(case)
    leaves = [leaf.detach() for leaf in case.leaves]
    cotangents = tensors_like(function(*leaves), 4)
    tangents = tensors_like(leaves, 3)

    def pulled(*given: Tensor) -> tuple[Tensor, ...]:
        gradients: tuple[Tensor, ...] = vjp(function, *given)[1](cotangents)
        return gradients

    def pushed(*given: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = jvp(function, given, tangents)[1]
        return found

    def bent(*given: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = jvp(pulled, given, tangents)[1]
        return found

    def turned(*given: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = vjp(pushed, *given)[1](cotangents)
        return found

    stacked = examples(case)
    if third:
        compare(case, "vmap of vjp of jvp", turned, stacked)
    compare(case, "vmap of vjp", pulled, stacked)
    compare(case, "vmap of jvp", pushed, stacked)
    compare(case, "vmap of jvp of vjp", bent, stacked)


def check_derivatives_of_vmap(case: Case) -> None:
    """`vjp` and `jvp` of `vmap` against `vmap` of them: examples do not know of each other."""
    function, stacked = as_function(case), examples(case)
    outputs = vmap(function, randomness="same" if case.random else "error")(*stacked)
    cotangents, tangents = tensors_like(outputs, 4), tensors_like(stacked, 3)
    batched = vmap(function, randomness="same" if case.random else "error")
    gradients = vjp(batched, *stacked)[1](cotangents)
    directions = jvp(batched, tuple(stacked), tangents)[1]
    for index in range(SIZE):
        one = [x.select(0, index).clone() for x in stacked]
        expected = vjp(function, *one)[1](tuple(g.select(0, index) for g in cotangents))
        for g, own in zip(gradients, expected, strict=True):
            require_close(case, "vjp of vmap", np.asarray(g._a)[index], own._a, *TIGHT)
        pushed = jvp(function, tuple(one), tuple(t.select(0, index) for t in tangents))[1]
        for t, own in zip(directions, pushed, strict=True):
            require_close(case, "jvp of vmap", np.asarray(t._a)[index], own._a, *TIGHT)


def check_both_orders(case: Case) -> None:
    """The dot-product test, `vjp` of `jvp` against `jvp` of `jvp`, and against `jvp` of `vjp`: one number, computed in three ways."""
    function = as_function(case)
    leaves = tuple(leaf.detach() for leaf in case.leaves)
    values, pull = vjp(function, *leaves)
    cotangents, along, across = tensors_like(values, 4), tensors_like(leaves, 3), tensors_like(leaves, 5)

    def slopes(*given: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = jvp(function, given, along)[1]
        return found

    gradients = pull(cotangents)
    require_close(case, "the dot product", dot(cotangents, slopes(*leaves)), dot(gradients, along), *TIGHT)
    twice = dot(cotangents, jvp(slopes, leaves, across)[1])
    require_close(case, "vjp of jvp", dot(across, vjp(slopes, *leaves)[1](cotangents)), twice, *TIGHT)
    gradients_moved = jvp(lambda *given: vjp(function, *given)[1](cotangents), leaves, across)[1]
    require_close(case, "jvp of vjp", dot(along, gradients_moved), twice, *TIGHT)


def check_vmap_twice(case: Case) -> None:
    """`vmap` of `vmap`: examples along two dims, the outer ones in the last."""
    function = as_function(case)
    randomness = "same" if case.random else "error"
    stacked = [wrap(np.stack([np.asarray(x._a), np.asarray(x.flip(0)._a)], axis=-1)) for x in examples(case)]
    found = vmap(vmap(function, randomness=randomness), in_dims=-1, randomness=randomness)(*stacked)
    for outer in range(2):
        for index in range(SIZE):
            expected = function(*(x.select(-1, outer).select(0, index) for x in stacked))
            for one, own in zip(found, expected, strict=True):
                require_close(case, "vmap of vmap", np.asarray(one._a)[outer, index], own._a, *TIGHT)


def dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> Any:
    return np.asarray(sum(inner(a._a, b._a) for a, b in zip(first, second, strict=True)))
