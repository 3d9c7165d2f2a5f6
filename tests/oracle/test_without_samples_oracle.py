"""Operations that torch's `op_db` has no samples for: the same few lines are run with torch and with ndgrad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.translation import Outcome, difference

M = [[1.5, -2.0, 0.25], [3.0, 4.5, -6.0]]


def leaf(xp: Any, data: Any = M, dtype: str = "float64") -> Any:
    return xp.tensor(data, dtype=getattr(xp, dtype), requires_grad=True)


def with_gradient(xp: Any, out: Any, *leaves: Any) -> Any:
    """The value and the gradients of a weighted sum of it."""
    weights = xp.tensor(np.linspace(-1, 1, out.numel()).reshape(tuple(out.shape)), dtype=out.dtype)
    (out * weights).sum().backward()
    return out.detach(), *(t.grad for t in leaves)


def copied(xp: Any) -> Any:
    x, y = leaf(xp), leaf(xp, [1.0, 2.0, 3.0], "float32")
    return *with_gradient(xp, (x * 2).copy_(y), x, y), xp.ones(2).copy_(xp.tensor([3, 4]))


def detached(xp: Any) -> Any:
    x = leaf(xp)
    y = x * 2
    z = y.detach()
    z.add_(1)
    return z, y.detach(), z.requires_grad, z.is_leaf, y._version, z._version


def detached_in_place(xp: Any) -> Any:
    y = leaf(xp) * 2
    return y.detach_() is y, y.requires_grad, y.is_leaf


def set_memory(xp: Any) -> Any:
    x, y = xp.zeros(2), xp.tensor(M)
    x.set_(y)
    y[0, 0] = 100
    return x


def set_item(xp: Any) -> Any:
    x, v = leaf(xp), leaf(xp, [7.0, 8.0])
    y = x * 1
    y[:, 1] = v
    y[1] = 3
    y[xp.tensor([[True, False, True], [False, False, False]])] = v[0]
    return with_gradient(xp, y, x, v)


def iterated(xp: Any) -> Any:
    x = leaf(xp)
    first, second = x
    return with_gradient(xp, first * second + next(reversed(list(x))), x)


def reversed_rows(xp: Any) -> Any:
    x = leaf(xp)
    return with_gradient(xp, reversed(x), x)


def dropped(name: str, *shape: int) -> Callable[[Any], Any]:
    def run(xp: Any) -> Any:
        xp.manual_seed(3)
        x = leaf(xp, np.linspace(1, 2, int(np.prod(shape))).reshape(shape), "float32")
        out = getattr(xp, name)(x * 1, 0.4, True)
        out = out[0] if isinstance(out, tuple) else out
        return with_gradient(xp, out, x)

    return run


def drawn(name: str, *args: Any, dtype: str = "float32") -> Callable[[Any], Any]:
    def run(xp: Any) -> Any:
        xp.manual_seed(5)
        return getattr(xp.zeros(3, 7, dtype=getattr(xp, dtype)), name)(*args)

    return run


def seeded(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def inner(xp: Any) -> Any:
        xp.manual_seed(11)
        return run(xp)

    return inner


def state_kept(xp: Any) -> Any:
    xp.manual_seed(1)
    state = xp.get_rng_state()
    first = xp.rand(3)
    xp.set_rng_state(state)
    return first, xp.rand(3), state


def ranged(xp: Any) -> Any:
    return xp.range(1, 4), xp.range(0.0, 1.0, 0.3)


def predicates(name: str) -> Callable[[Any], Any]:
    def run(xp: Any) -> Any:
        values = [xp.tensor(M), xp.tensor([1, 2]), xp.tensor([1 + 2j]), xp.tensor(True), xp.tensor([1], dtype=xp.uint8)]
        return [getattr(xp, name)(value) for value in values]

    return run


CASES: dict[str, Callable[[Any], Any]] = {
    "__contains__": lambda xp: [value in xp.tensor(M) for value in (1.5, 7, xp.tensor(4.5))],
    "__iter__": iterated,
    "__reversed__": reversed_rows,
    "__setitem__": set_item,
    "__dlpack__": lambda xp: xp.from_dlpack(xp.tensor(M)),
    "__dlpack_device__": lambda xp: tuple(int(part) for part in xp.tensor(M).__dlpack_device__()),
    "as_tensor": lambda xp: [xp.as_tensor(M), xp.as_tensor([1, 2], dtype=xp.float64), xp.as_tensor(np.arange(3, dtype=np.int16))],
    "asarray": lambda xp: [xp.asarray(M), xp.asarray(np.arange(3.0)), xp.asarray([1, 2], dtype=xp.float32)],
    "bartlett_window": lambda xp: [xp.bartlett_window(n, periodic) for n in (0, 1, 2, 7) for periodic in (True, False)],
    "blackman_window": lambda xp: [xp.blackman_window(n, periodic) for n in (0, 1, 2, 7) for periodic in (True, False)],
    "hamming_window": lambda xp: [xp.hamming_window(n, periodic, 0.6, 0.4) for n in (0, 1, 2, 7) for periodic in (True, False)],
    "hann_window": lambda xp: [xp.hann_window(n, periodic, dtype=xp.float64) for n in (0, 1, 2, 7) for periodic in (True, False)],
    "kaiser_window": lambda xp: [xp.kaiser_window(n, periodic, 7.0, dtype=xp.float64) for n in (0, 1, 2, 7) for periodic in (True, False)],
    "bernoulli_": drawn("bernoulli_", 0.3),
    "cauchy_": drawn("cauchy_", 0.5, 2.0, dtype="float64"),
    "exponential_": drawn("exponential_", 1.5, dtype="float64"),
    "geometric_": drawn("geometric_", 0.3, dtype="float64"),
    "log_normal_": drawn("log_normal_", 0.1, 0.5, dtype="float64"),
    "normal_": drawn("normal_", 0.1, 0.5),
    "random_": drawn("random_", -5, 9, dtype="int64"),
    "uniform_": drawn("uniform_", -1, 2),
    "copy_": copied,
    "detach": detached,
    "detach_": detached_in_place,
    "dropout": dropped("dropout", 4, 5),
    "dropout_": dropped("dropout_", 4, 5),
    "alpha_dropout": dropped("alpha_dropout", 4, 5),
    "alpha_dropout_": dropped("alpha_dropout_", 4, 5),
    "feature_dropout": dropped("feature_dropout", 2, 3, 4),
    "feature_dropout_": dropped("feature_dropout_", 2, 3, 4),
    "feature_alpha_dropout": dropped("feature_alpha_dropout", 2, 3, 4),
    "feature_alpha_dropout_": dropped("feature_alpha_dropout_", 2, 3, 4),
    "native_dropout": dropped("native_dropout", 4, 5),
    "from_dlpack": lambda xp: xp.from_dlpack(np.arange(4.0)),
    "from_numpy": lambda xp: xp.from_numpy(np.arange(6, dtype=np.int16).reshape(2, 3).T),
    "frombuffer": lambda xp: [
        xp.frombuffer(bytearray(range(16)), dtype=xp.int32, offset=4, count=2),
        xp.frombuffer(bytearray(8), dtype=xp.float64),
    ],
    "get_rng_state": state_kept,
    "set_rng_state": state_kept,
    "initial_seed": seeded(lambda xp: xp.initial_seed()),
    "manual_seed": seeded(lambda xp: xp.rand(5)),
    "is_complex": predicates("is_complex"),
    "is_floating_point": predicates("is_floating_point"),
    "is_signed": predicates("is_signed"),
    "is_conj": predicates("is_conj"),
    "is_neg": predicates("is_neg"),
    "is_inference": predicates("is_inference"),
    "is_tensor": lambda xp: [xp.is_tensor(value) for value in (xp.zeros(1), 1.0, None, np.zeros(1))],
    "is_storage": lambda xp: [xp.is_storage(value) for value in (xp.zeros(1), 1.0)],
    "is_nonzero": lambda xp: [xp.is_nonzero(xp.tensor(value)) for value in (0.0, [[2]], True)],
    "is_same_size": lambda xp: [xp.is_same_size(xp.zeros(2), xp.ones(2)), xp.is_same_size(xp.zeros(2), xp.zeros(2, 1))],
    "is_set_to": lambda xp: [(lambda x: x.is_set_to(x[:]))(xp.zeros(2)), xp.zeros(2).is_set_to(xp.zeros(2))],
    "new_tensor": lambda xp: [xp.zeros(1, dtype=xp.float64).new_tensor([1, 2.5]), xp.zeros(1).new_tensor(3)],
    "numel": predicates("numel"),
    "rand": seeded(lambda xp: [xp.rand(3, 4), xp.rand((17,), dtype=xp.float64), xp.rand(())]),
    "randperm": seeded(lambda xp: [xp.randperm(n) for n in (0, 1, 9)]),
    "range": ranged,
    "requires_grad_": lambda xp: [xp.zeros(2).requires_grad_().requires_grad, leaf(xp).requires_grad_(False).requires_grad],
    "result_type": lambda xp: [
        str(xp.result_type(x, y)) for x in (xp.tensor([1]), xp.tensor(1.0), 2) for y in (xp.tensor([1], dtype=xp.uint8), 2.5)
    ],
    "seed": lambda xp: [type(xp.seed()), xp.seed() == xp.initial_seed()],
    "set_": set_memory,
    "tensor": lambda xp: [xp.tensor(value) for value in (M, 1, True, 2.5, 1 + 2j, [], [[1, 2.5]], np.float32(1), np.arange(3))],
    "type": lambda xp: [xp.tensor(M).type(), xp.tensor(M).type(xp.int64), xp.tensor([1, 2]).type("torch.DoubleTensor")],
    "type_as": lambda xp: with_gradient(xp, (x := leaf(xp)).type_as(xp.zeros(1)), x),
    "typename": lambda xp: [xp.typename(value) for value in (xp.zeros(1), 3, [])],
    "unsafe_split_with_sizes": lambda xp: xp.unsafe_split_with_sizes(xp.tensor(M), [1, 2], 1),
    "vander": lambda xp: [xp.vander(xp.tensor([1.0, 2, 3])), xp.vander(xp.tensor([2, 3]), 4, True), xp.vander(xp.ones(2), 0)],
    "apply_": lambda xp: [xp.tensor(M).t().apply_(abs), xp.tensor([1, 2]).apply_(lambda n: n * n)],
    "map_": lambda xp: [xp.tensor(M).map_(xp.tensor([1.0, 2, 3]), lambda x, y: x * y)],
    "new": lambda xp: [xp.tensor([1, 2]).new([2.0, 3]), xp.tensor(M).new(2, 3).shape, xp.tensor(M).new((1, 2)), xp.tensor(M).new().shape],
    "share_memory_": lambda xp: xp.tensor(M).share_memory_(),
    "get_device": lambda xp: xp.get_device(xp.tensor(M)),
    "fill_diagonal_": lambda xp: [
        with_gradient(xp, ((x := leaf(xp, np.ones(shape))) * 1).fill_diagonal_(7, wrap), x)
        for shape in ((3, 3), (2, 4), (5, 2), (7, 3), (2, 2, 2))
        for wrap in (False, True)
    ],
    "chain_matmul": lambda xp: xp.chain_matmul(xp.tensor(M), xp.tensor(M).t(), xp.tensor(M)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_lines_give_the_same(name: str) -> None:
    ours, theirs = Outcome(CASES[name], ndgrad), Outcome(CASES[name], torch)
    assert theirs.error is None, f"torch raises {theirs.said()}"
    assert ours.error is None, f"ours raises {ours.said()}"
    assert not difference(ours.value, theirs.value)
    assert len(ours.warned) == len(theirs.warned), f"ours warns {ours.warned}, torch {theirs.warned}"
