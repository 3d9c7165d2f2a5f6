"""What a tensor inside `vmap` cannot be asked, because it stands for many examples; and values that no example may have."""

import copy
import pickle

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.func import vmap
from ndgrad.nn import functional

ITEM = "vmap: It looks like you're calling .item\\(\\) on a Tensor. We don't support vmap over calling .item\\(\\) on a Tensor"
CONTROL = "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow"
STORAGE = "Cannot access data pointer of Tensor that doesn't have storage"
COPIES = "Cannot access storage of BatchedTensorImpl"


def set_data(x):
    x.data = x + 1
    return x


def set_shared_data(x):
    shared = torch.zeros(2)
    shared.data = x
    return shared


REFUSED = {
    "bool": (lambda x: bool(x[0]), CONTROL),
    "if": (lambda x: x if x.sum() > 0 else -x, CONTROL),
    "and": (lambda x: x[0] and x[1], CONTROL),
    "is_nonzero": (lambda x: x[0].is_nonzero(), CONTROL),
    "item": (lambda x: x[0].item(), ITEM),
    "float": (lambda x: float(x[0]), ITEM),
    "int": (lambda x: int(x[0]), ITEM),
    "complex": (lambda x: complex(x[0]), ITEM),
    "index": (lambda x: [1, 2, 3][x[0].long()], ITEM),
    "range": (lambda x: list(range(x[0].long())), ITEM),
    "format": (lambda x: f"{x[0]:.2f}", ITEM),
    "contains": (lambda x: 1.0 in x, "vmap: It looks like you're"),
    "tensor of elements": (lambda x: torch.tensor([x[0], x[1]]), ITEM),
    "new_tensor of elements": (lambda x: x.new_tensor([x[0], 1.0]), ITEM),
    "scalar_tensor": (lambda x: torch.scalar_tensor(x[0]), ITEM),
    "full": (lambda x: torch.full((2,), x[0]), ITEM),
    "full_like": (lambda x: torch.full_like(x, x[0]), ITEM),
    "new_full": (lambda x: x.new_full((2,), x[0]), ITEM),
    "arange": (lambda x: torch.arange(x[0]), ITEM),
    "tolist": (lambda x: x.tolist(), STORAGE),
    "numpy": (lambda x: x.numpy(), STORAGE),
    "asarray": (lambda x: np.asarray(x), STORAGE),
    "array": (lambda x: np.array(x), STORAGE),
    "data_ptr": (lambda x: x.data_ptr(), STORAGE),
    "dlpack": (lambda x: x.__dlpack__(), STORAGE),
    "apply_": (lambda x: x.apply_(abs), STORAGE),
    "copy": (copy.copy, COPIES),
    "deepcopy": (copy.deepcopy, COPIES),
    "pickle": (pickle.dumps, COPIES),
    "data": (lambda x: x.data, "accessing `data` under vmap transform is not allowed"),
    "set data": (set_data, "mutating directly with `.data` under vmap transform is not allowed"),
    "set shared data": (set_shared_data, "mutating directly with `.data` under vmap transform is not allowed"),
    "equal": (lambda x: torch.equal(x, x), "Batching rule not implemented for aten::equal. We could not generate a fallback"),
    "allclose": (lambda x: torch.allclose(x, x), "vmap over torch.allclose isn't supported yet"),
    "unique": (torch.unique, "vmap: We do not support batching operators that can output dynamic shape"),
    "max_norm": (
        lambda x: functional.embedding(torch.tensor([0, 1]), x.expand(3, 2), max_norm=1.0),
        "vmap: embedding\\(\\) with max_norm changes its weight in place",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    body, message = REFUSED[name]
    x = torch.arange(6.0).reshape(3, 2)
    with pytest.raises(NotImplementedError if message is COPIES else RuntimeError, match=message):
        vmap(body)(x)
    with pytest.raises(NotImplementedError if message is COPIES else RuntimeError, match=message):
        vmap(vmap(body))(x.expand(2, 3, 2))
    assert torch.equal(x, torch.arange(6.0).reshape(3, 2))


def test_what_can_be_asked() -> None:
    seen = []

    def body(x):
        seen.extend([len(x), x.shape, x.dtype, x.numel(), x.dim(), x.stride(), x.is_contiguous(), x.is_floating_point()])
        return torch.stack([*x])

    x = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(vmap(body)(x), x)
    assert seen == [2, torch.Size([2]), torch.float32, 2, 1, (1,), True, True]


def test_printing() -> None:
    texts = []
    vmap(lambda x: texts.extend([repr(x), str(x), f"{x}"]) or x)(torch.arange(6.0).reshape(3, 2))
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].startswith("BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[0., 1.],")


def test_tensors_that_all_examples_share_can_be_asked() -> None:
    shared = torch.ones(2)
    found = vmap(lambda x: x * copy.deepcopy(shared) * shared.data * shared[0].item() * float(shared.tolist()[0]))(torch.ones(3, 2))
    assert torch.equal(found, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("body", "operand", "kind", "message"),
    [
        (lambda x: functional.binary_cross_entropy(x, x), [[0.5], [1.5]], RuntimeError, "all elements of input should be between 0 and 1"),
        (
            lambda x: functional.binary_cross_entropy(torch.tensor([0.5]), x),
            [[0.5], [1.5]],
            RuntimeError,
            "all elements of target should be between 0 and 1",
        ),
        (lambda x: functional.embedding(x, torch.ones(3, 2)), [[0, 1], [2, 3]], IndexError, "index out of range in self"),
        (lambda x: functional.cross_entropy(torch.ones(2, 3), x), [[0, 1], [2, 3]], IndexError, "Target 3 is out of bounds"),
        (lambda x: functional.gaussian_nll_loss(x, x, x), [[1.0], [-1.0]], ValueError, "var has negative entry/entries"),
        (lambda x: torch.bincount(x, minlength=3), [[0, 1], [-1, 2]], RuntimeError, "bincount only supports 1-d non-negative"),
    ],
)
def test_values_of_all_examples_are_checked(body, operand, kind, message) -> None:
    with pytest.raises(kind, match=message):
        vmap(body)(torch.tensor(operand))
    body(torch.tensor(operand[0]))
