"""Tensors made inside `vmap`: beside a tensor that is vmapped over they have memory for every example, otherwise one for all."""

import pytest

import ndgrad as torch
from ndgrad.func import vmap
from ndgrad.nn import functional

SHARED = "vmap: inplace arithmetic\\(self, \\*extra_args\\) is not possible because there exists a Tensor `other`"

BESIDE = {
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "empty_like": torch.empty_like,
    "full_like": lambda x: torch.full_like(x, 3.0),
    "new_zeros": lambda x: x.new_zeros(2),
    "new_ones": lambda x: x.new_ones(2),
    "new_empty": lambda x: x.new_empty((2,)),
    "new_full": lambda x: x.new_full((2,), 3.0),
    "new_empty_strided": lambda x: x.new_empty_strided((2,), (3,)),
    "clone": torch.clone,
}


@pytest.mark.parametrize("name", BESIDE)
def test_room_for_every_example(name: str) -> None:
    x = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(vmap(lambda one: BESIDE[name](one).copy_(one * 2))(x), x * 2)
    assert torch.equal(vmap(lambda one: BESIDE[name](one).copy_(one * 2), in_dims=1, out_dims=1)(x.mT.reshape(2, 3)), x.mT * 2)


@pytest.mark.parametrize("name", BESIDE)
def test_room_for_every_example_of_both_levels(name: str) -> None:
    x = torch.arange(12.0).reshape(2, 3, 2)
    assert torch.equal(vmap(vmap(lambda one: BESIDE[name](one).copy_(one * 2)))(x), x * 2)
    # mapped by the outer call alone
    y = torch.arange(4.0).reshape(2, 2)
    with pytest.raises(RuntimeError, match=SHARED):
        vmap(lambda outer: vmap(lambda inner: BESIDE[name](outer).copy_(inner))(torch.ones(3, 2)))(y)
    found = vmap(lambda outer: vmap(lambda inner: BESIDE[name](outer).copy_(outer) + inner)(torch.ones(3, 2)))(y)
    assert torch.equal(found, (y + 1)[:, None].expand(2, 3, 2))


@pytest.mark.parametrize(
    ("name", "value"), [("zeros_like", 0), ("ones_like", 1), ("full_like", 3), ("new_zeros", 0), ("new_ones", 1), ("new_full", 3)]
)
def test_values(name: str, value: int) -> None:
    found = vmap(BESIDE[name])(torch.arange(6.0).reshape(3, 2))
    assert torch.equal(found, torch.full((3, 2), float(value)))


def test_dtypes_and_gradients() -> None:
    x = torch.arange(6.0).reshape(3, 2)
    assert vmap(lambda one: torch.zeros_like(one, dtype=torch.int64))(x).dtype is torch.int64
    assert vmap(lambda one: one.new_ones(4, dtype=torch.bool))(x).dtype is torch.bool
    made = vmap(lambda one: torch.ones_like(one, memory_format=torch.contiguous_format))(x.mT)
    assert made.is_contiguous()
    y = x.clone().requires_grad_()
    out = vmap(lambda one: torch.zeros_like(one).add_(one * one))(y)
    (found,) = torch.autograd.grad(out.sum(), y)
    assert torch.equal(found, 2 * x)


@pytest.mark.parametrize("make", [lambda: torch.zeros(2), lambda: torch.ones(2), lambda: torch.tensor([1.0, 2.0]), lambda: torch.empty(2)])
def test_one_for_all(make) -> None:
    x = torch.arange(6.0).reshape(3, 2)
    with pytest.raises(RuntimeError, match=SHARED):
        vmap(lambda one: make().copy_(one))(x)
    with pytest.raises(RuntimeError, match=SHARED):
        vmap(lambda one: one.new_tensor([1.0, 2.0]).copy_(one))(x)
    assert vmap(lambda one: make().zero_() + one)(x).tolist() == x.tolist()


def test_data_that_are_the_same() -> None:
    x = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(vmap(lambda one: torch.tensor([1.0, 2.0]) * one)(x), x * torch.tensor([1.0, 2.0]))
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        copied = vmap(lambda one: torch.tensor(one, dtype=torch.float64).add_(1))(x)
    assert torch.equal(copied, x.double() + 1)
    assert torch.equal(x, torch.arange(6.0).reshape(3, 2))
    assert torch.equal(vmap(lambda one: torch.eye(2) @ one)(x), x)
    assert torch.equal(vmap(lambda one: torch.as_tensor(one))(x), x)
    assert torch.equal(vmap(lambda one: torch.asarray(one))(x), x)
    assert torch.equal(vmap(lambda one: torch.full((2,), one.shape[0]) + one)(x), x + 2)


def test_one_hot() -> None:
    labels = torch.tensor([[0, 2], [1, 1], [2, 0]])
    assert torch.equal(vmap(lambda one: functional.one_hot(one, 3))(labels), functional.one_hot(labels, 3))
    assert torch.equal(vmap(vmap(lambda one: functional.one_hot(one, 4)))(labels), functional.one_hot(labels, 4))
    with pytest.raises(RuntimeError, match="please provide an explicit positive num_classes argument"):
        vmap(functional.one_hot)(labels)
    with pytest.raises(RuntimeError, match="Class values must be smaller than num_classes"):
        vmap(lambda one: functional.one_hot(one, 2))(labels)
