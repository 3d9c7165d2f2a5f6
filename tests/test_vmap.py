"""`vmap` itself: which dims go in and come out, chunks, nesting, views and writing inside, values that cannot be had."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import ndgrad as torch
from ndgrad import Tensor
from ndgrad.func import grad, vmap


def counted(*shape: int, dtype: Any = torch.float64) -> Tensor:
    return torch.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)


def same(found: Tensor, expected: Any) -> None:
    wanted = expected if isinstance(expected, Tensor) else torch.tensor(expected, dtype=found.dtype)
    assert tuple(found.shape) == tuple(wanted.shape)
    np.testing.assert_allclose(np.asarray(found.tolist()), np.asarray(wanted.tolist()), rtol=1e-12)


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


# ---------------------------------------------------------------- dims
@pytest.mark.parametrize("dim", range(-3, 3))
@pytest.mark.parametrize("out", range(-3, 3))
def test_any_dim_in_and_out(dim: int, out: int) -> None:
    x = counted(2, 3, 4)
    found = vmap(lambda a: a.sin() * a, in_dims=dim, out_dims=out)(x)
    same(found, (x.sin() * x).movedim(dim, out))


def test_dims_of_trees() -> None:
    x, y = counted(2, 3), counted(3, 2)
    same(vmap(lambda p: p.first + p.second, in_dims=(Pair(0, 1),))(Pair(x, y)), x + y.T)  # type: ignore[arg-type]  # dims in its place
    same(vmap(lambda d: d["a"] * d["b"][0], in_dims=({"a": 1, "b": [None]},))({"a": y, "b": [5.0]}), y.T * 5)
    same(vmap(lambda d: d["a"] + 1)(OrderedDict(a=x)), x + 1)
    found = vmap(lambda a: Pair(a, {"k": (a.sum(), a.outer(a))}), out_dims=Pair(1, {"k": (0, -1)}))(x)  # type: ignore[arg-type]  # as above
    assert isinstance(found, Pair)
    same(found.first, x.T)
    same(found.second["k"][1], torch.stack([a.outer(a) for a in x], -1))


def test_what_is_not_vmapped_is_passed_on() -> None:
    x, marker = counted(2, 3), object()
    seen: list[Any] = []

    def function(a: Tensor, b: Any, *, c: Any = None) -> tuple[Tensor, Any]:
        seen.append((b, c))
        return a, b

    found = vmap(function, in_dims=(0, None), out_dims=(0, None))(x, marker, c=x)
    assert found[1] is marker and seen == [(marker, x)]


def test_an_output_that_all_examples_share() -> None:
    shared = counted(3)
    x = counted(2, 3)
    assert vmap(lambda a: (a, shared), out_dims=(0, None))(x)[1] is shared
    for out in (0, 1, -1):
        same(vmap(lambda a: shared, out_dims=out)(x), torch.stack([shared, shared], out))
    same(vmap(lambda a: torch.tensor(7.0, dtype=torch.float64))(x), [7.0, 7.0])
    same(vmap(lambda a: vmap(lambda b: a, out_dims=None)(x))(x), x)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_chunks_give_what_all_at_once_gives(size: int) -> None:
    x, y = counted(5, 3), counted(2, 5)

    def function(a: Tensor, b: Tensor) -> Any:
        return a * b.sum(), {"k": b.outer(a)}, 3

    dims: Any = (1, {"k": -1}, None)
    found, expected = (vmap(function, (0, 1), dims, chunk_size=chunk)(x, y) for chunk in (size, None))
    same(found[0], expected[0])
    same(found[1]["k"], expected[1]["k"])
    assert found[2] == 3
    same(grad(lambda x: vmap(lambda a: a.pow(3).sum(), chunk_size=size)(x).sum())(x), 3 * x**2)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_random_numbers_in_chunks(size: int) -> None:
    x = counted(4, 3)
    for randomness, count in (("same", 1), ("different", 4)):
        found = vmap(lambda a: torch.randn(3), randomness=randomness, chunk_size=size)(x)
        assert len({tuple(row) for row in found.tolist()}) == count


@pytest.mark.parametrize("size", [0, 1])
def test_few_examples(size: int) -> None:
    x = counted(size, 3)
    same(vmap(lambda a: a @ counted(3, 2))(x), x @ counted(3, 2))
    same(vmap(grad(lambda a: a.pow(2).sum()))(x), 2 * x)
    assert tuple(vmap(vmap(lambda s: s.outer(s) if s.ndim else s.expand(2)))(x).shape) == (size, 3, 2)
    assert tuple(vmap(lambda a: torch.ones(2), out_dims=1)(x).shape) == (2, size)


def test_the_input_itself() -> None:
    x = counted(2, 3)
    vmap(lambda a: a)(x).add_(1)
    same(x, counted(2, 3) + 1)
    same(vmap(lambda a: a, in_dims=1, out_dims=1)(x), x)


# ---------------------------------------------------------------- callables
def test_anything_that_can_be_called() -> None:
    x = counted(2, 3)

    class Scale:
        def __call__(self, a: Tensor) -> Tensor:
            return a * 3

        def method(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    same(vmap(Scale())(x), 3 * x)
    same(vmap(Scale().method)(x, x), 2 * x)
    same(vmap(functools.partial(torch.mul, other=x[0]))(x), x * x[0])
    same(vmap(torch.dot)(x, x), (x * x).sum(1))
    same(vmap(Tensor.sum)(x), x.sum(1))

    @functools.partial(vmap, in_dims=(0, None))
    def scaled(a: Tensor, b: float) -> Tensor:
        """Documented."""
        return a * b

    same(scaled(x, 2.0), 2 * x)
    assert scaled.__name__ == "scaled" and scaled.__doc__ == "Documented."

    def recursive(a: Tensor) -> Tensor:
        return a.sum() if a.ndim == 1 else vmap(recursive)(a)

    same(recursive(counted(2, 2, 2, 2)), counted(2, 2, 2, 2).sum(-1))


def test_three_deep() -> None:
    x, y, z = counted(2), counted(3), counted(4)
    found = vmap(lambda a: vmap(lambda b: vmap(lambda c: a * 100 + b * 10 + c)(z))(y))(x)
    same(found, x[:, None, None] * 100 + y[:, None] * 10 + z)
    found = vmap(vmap(vmap(lambda s: s * 2, out_dims=-1), in_dims=0, out_dims=1), in_dims=2)(counted(2, 3, 4))
    assert tuple(found.shape) == (4, 3, 2)
    same(found, 2 * counted(2, 3, 4).permute(2, 1, 0))


def test_generators_and_containers_inside() -> None:
    x = counted(2, 3)

    def doubled(a: Tensor) -> Any:
        for part in a:
            yield part * 2

    same(vmap(lambda a: sum(doubled(a)))(x), 2 * x.sum(1))  # type: ignore[arg-type,return-value]  # sum() of tensors
    same(vmap(lambda a: torch.stack([part for part in reversed(a)]))(x), x.flip(1))
    kept: list[Any] = []
    vmap(lambda a: kept.append(doubled(a)) or a)(x)
    with pytest.raises(RuntimeError, match="may have escaped"):
        next(kept[0])


# ---------------------------------------------------------------- writing
def writes() -> dict[str, Callable[[Tensor], Any]]:
    return {
        "add": lambda a: a.add_(1),
        "item": lambda a: a.__setitem__(0, 5.0),
        "slice": lambda a: a[1:].mul_(2),
        "row": lambda a: a.__setitem__(0, a[1] * 10),
        "transposed": lambda a: a.T[0].copy_(a[:, 1] * 3),
        "diagonal": lambda a: a.diagonal().zero_(),
        "flat": lambda a: a.T[::2].neg_(),
        "list": lambda a: a.__setitem__([0, 1], 7.0),
        "mask": lambda a: a.masked_fill_(a > 4, -1.0),
        "column": lambda a: a.__setitem__((slice(None), 0), a[:, 1]),
        "number": lambda a: a[0, 0].add_(a[1, 1]),
        "expanded": lambda a: a.unsqueeze(0).squeeze(0).add_(a[:1].clone()),
        "unbound": lambda a: a.narrow(0, 1, 1).unsqueeze(0).mul_(a[0]),
    }


@pytest.mark.parametrize("name", writes())
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_writing_into_an_example(name: str, dim: int) -> None:
    """It shows outside, as do the same writes into the examples one by one; and is differentiated."""
    write = writes()[name]
    x = counted(3, 3, 3)
    expected = x.clone()
    for index in range(3):
        write(expected.select(dim, index))
    written = x.clone()

    def function(a: Tensor) -> Tensor:
        write(a)
        return a

    vmap(function, in_dims=dim)(written)
    same(written, expected)

    def copied(a: Tensor) -> Tensor:
        b = a * 1
        write(b)
        return b.sin()

    def one_by_one(x: Tensor) -> Tensor:
        return torch.stack([copied(x.select(dim, index)) for index in range(3)]).sum()

    same(grad(lambda x: vmap(copied, in_dims=dim)(x).sum())(x), grad(one_by_one)(x))
    same(vmap(grad(lambda a: copied(a).sum()), in_dims=dim, out_dims=dim)(x), grad(one_by_one)(x))


def test_a_captured_tensor_cannot_take_what_differs() -> None:
    captured = torch.zeros(3, dtype=torch.float64)
    x = counted(2, 3)
    for write in (
        lambda a: captured.add_(a),
        lambda a: captured.copy_(a),
        lambda a: captured.__setitem__(0, a[0]),
        lambda a: captured[1:].mul_(a[1:]),
        lambda a: captured.masked_fill_(a > 0, 1.0),
        lambda a: captured.index_fill_(0, (a[:1] > 1).long(), 1.0),
        lambda a: torch.add(a, 1, out=captured),
    ):
        with pytest.raises(RuntimeError, match="not possible because there exists a Tensor"):
            vmap(lambda a, write=write: write(a))(x)
        assert captured.tolist() == [0.0] * 3 and captured._version == 0
    vmap(lambda a: captured.add_(1) * a)(x)
    assert captured.tolist() == [1.0] * 3

    def inner(a: Tensor) -> Tensor:
        vmap(lambda b: a.add_(b))(x)
        return a

    with pytest.raises(RuntimeError, match="not possible because there exists a Tensor"):
        vmap(inner)(x)
    same(x, counted(2, 3))


@pytest.mark.parametrize(
    "make", [torch.zeros_like, lambda a: a.new_zeros(3), lambda a: a.clone() * 0, lambda a: a.new_full((3,), 0.0), torch.empty_like]
)
def test_memory_made_inside_takes_what_differs(make: Callable[[Tensor], Tensor]) -> None:
    def function(a: Tensor) -> Tensor:
        out = make(a)
        out[0] = a.sum()
        out[1:] = a[1:]
        return out

    x = counted(2, 3)
    same(vmap(function)(x), torch.cat([x.sum(1, keepdim=True), x[:, 1:]], 1))
    same(grad(lambda x: vmap(function)(x).pow(2).sum())(x), 2 * x * torch.tensor([0.0, 1, 1]) + 2 * x.sum(1, keepdim=True))


# ---------------------------------------------------------------- dtypes
KINDS = [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64, torch.complex64]


@pytest.mark.parametrize("first", KINDS, ids=str)
@pytest.mark.parametrize("second", KINDS, ids=str)
def test_numbers_and_vectors_promote_as_single_examples_do(first: Any, second: Any) -> None:
    numbers, vectors = torch.tensor([0, 1, 1]).to(first), torch.tensor([[1, 0], [0, 1], [1, 1]]).to(second)
    for function in (
        lambda a, b: a * b,
        lambda a, b: torch.where(b.bool(), a, b),
        lambda a, b: torch.zeros_like(a + b).copy_(a),
        lambda a, b: torch.cat([a[None], b]),
        lambda a, b: a == b,
        lambda a, b: a + b.sum(),
    ):
        expected = torch.stack([function(a, b) for a, b in zip(numbers, vectors, strict=True)])
        for found in (
            vmap(function)(numbers, vectors),
            vmap(vmap(function))(numbers[None], vectors[None])[0],
            vmap(lambda a, function=function: vmap(functools.partial(function, a))(vectors))(numbers).diagonal().movedim(-1, 0),
        ):
            assert found.dtype is expected.dtype
            assert found.tolist() == expected.tolist()


# ---------------------------------------------------------------- values
REFUSED: list[tuple[Callable[[Tensor], Any], str]] = [
    (lambda a: a.sum().item(), r"calling \.item\(\)"),
    (lambda a: float(a.sum()), r"calling \.item\(\)"),
    (lambda a: int(a.sum()), r"calling \.item\(\)"),
    (lambda a: range(a[0].long()), r"calling \.item\(\)"),
    (lambda a: f"{a[0]:.2f}", r"calling \.item\(\)"),
    (lambda a: a.tolist(), "data pointer|calling"),
    (lambda a: a.numpy(), "data pointer"),
    (lambda a: np.asarray(a), "data pointer"),
    (lambda a: a if a.sum() > 0 else -a, "data-dependent control flow"),
    (lambda a: a.any() and a, "data-dependent control flow"),
    (lambda a: not a.sum(), "data-dependent control flow"),
    (lambda a: 3 in a, r"calling \.item\(\)"),
    (lambda a: max(a), "data-dependent control flow"),
    (lambda a: sorted(a), "data-dependent control flow"),
    (lambda a: a[a > 1], "dynamic shape"),
    (lambda a: a.nonzero(), "dynamic shape"),
    (lambda a: a.unique(), "dynamic shape"),
    (lambda a: torch.zeros(a[0].long()), r"calling \.item\(\)"),
    (lambda a: a.requires_grad_(), "requires_grad_"),
    (lambda a: a.sum().backward(), "backward"),
]


@pytest.mark.parametrize(("function", "match"), REFUSED)
@pytest.mark.parametrize("depth", [1, 2])
def test_what_depends_on_one_example_is_refused(function: Callable[[Tensor], Any], match: str, depth: int) -> None:
    x = counted(2, 3) if depth == 1 else counted(2, 2, 3)
    transformed = vmap(function) if depth == 1 else vmap(vmap(function))
    with pytest.raises(RuntimeError, match=match):
        transformed(x)
    same(x, counted(*x.shape))
    assert not x.requires_grad


def test_an_escaped_tensor_says_so() -> None:
    kept: list[Any] = []
    x = counted(2, 3)
    vmap(lambda a: kept.append(a) or a)(x)
    for use in (
        lambda a: a + 1,
        lambda a: a.sum(),
        lambda a: a[0],
        lambda a: a.add_(1),
        lambda a: torch.stack([a, a]),
        lambda a: x + a,
        lambda a: vmap(lambda b: b + a)(x),
        lambda a: vmap(lambda b: a)(x),
        lambda a: grad(lambda b: b.sum())(a),
        lambda a: torch.autograd.grad(a.sum(), a),
    ):
        with pytest.raises(RuntimeError, match="may have escaped"):
            use(kept[0])
    assert tuple(kept[0].shape) == (3,) and kept[0].dtype is torch.float64 and "BatchedTensor(lvl=1" in repr(kept[0])
    same(x, counted(2, 3))


def test_printing() -> None:
    x = counted(2, 2)
    seen: list[str] = []
    vmap(vmap(lambda s: seen.append(repr(s)) or s))(x)
    assert seen == [
        "BatchedTensor(lvl=2, bdim=0, value=\n    BatchedTensor(lvl=1, bdim=0, value=\n        tensor([[0., 1.],\n"
        "                [2., 3.]], dtype=torch.float64)\n    )\n)"
    ]
