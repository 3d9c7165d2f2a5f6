"""`x[...]` and `x[...] = v` inside `vmap`, where the tensor, the indices, the value or all of them differ between the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndgrad as torch
from ndgrad import Tensor
from ndgrad.func import vmap

SIZE = 3


class Scene:
    """A tensor, a key and a value, made by chance; each tensor among them may have the examples' dim in front."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = tuple(self.rng.integers(2, 5, self.rng.integers(1, 5)).tolist())
        self.tensors: list[Tensor] = []
        self.mapped: list[bool] = []
        self.x = self.add(self.rng.standard_normal, self.shape)
        self.common = tuple(self.rng.integers(1, 3, self.rng.integers(1, 3)).tolist())
        front = int(self.rng.integers(1, len(self.shape) + 1))
        self.key: list[Any] = [self.item(size) for size in self.shape[:front]]
        if self.rng.integers(3) == 0:
            last = int(self.rng.integers(front, len(self.shape) + 1))
            self.key += [..., *(self.item(size) for size in self.shape[last:])]
        if True not in self.mapped:
            self.tensors[0], self.mapped[0] = torch.tensor(self.rng.standard_normal((SIZE, *self.shape))), True

    def add(self, make: Any, shape: tuple[int, ...]) -> int:
        """The number of a new tensor."""
        differs = bool(self.rng.integers(2))
        self.tensors.append(torch.tensor(np.asarray(make((SIZE, *shape) if differs else shape))))
        self.mapped.append(differs)
        return len(self.tensors) - 1

    def item(self, size: int) -> Any:
        kind = self.rng.choice(["int", "slice", "all", "tensor", "tensor", "number"])
        if kind == "int":
            return int(self.rng.integers(-size, size))
        if kind == "slice":
            return slice(int(self.rng.integers(0, size)), None, int(self.rng.integers(1, 3)))
        if kind == "all":
            return slice(None)
        shape = () if kind == "number" else self.common[int(self.rng.integers(len(self.common))) :]
        return [self.add(lambda wanted: self.rng.integers(-size, size, wanted), shape)]

    def keyed(self, tensors: Any) -> tuple[Any, ...]:
        return tuple(tensors[item[0]] if isinstance(item, list) else item for item in self.key)

    def dims(self) -> tuple[int | None, ...]:
        return tuple(0 if flag else None for flag in self.mapped)

    def examples(self) -> list[list[Tensor]]:
        return [[each[i] if flag else each for each, flag in zip(self.tensors, self.mapped, strict=True)] for i in range(SIZE)]


def require(found: Tensor, rows: list[Tensor]) -> None:
    np.testing.assert_allclose(found.numpy(force=True), torch.stack(rows).numpy(force=True), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(150))
def test_read(seed: int) -> None:
    scene = Scene(seed)
    x = scene.tensors[0].requires_grad_()
    found = vmap(lambda *tensors: tensors[0][scene.keyed(tensors)], in_dims=scene.dims())(*scene.tensors)
    weights = torch.tensor(scene.rng.standard_normal(found.shape))
    (g,) = torch.autograd.grad((found * weights).sum(), x)
    rows = [tensors[0][scene.keyed(tensors)] for tensors in scene.examples()]
    require(found, rows)
    (expected,) = torch.autograd.grad((torch.stack(rows) * weights).sum(), x)
    np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(150))
def test_write(seed: int) -> None:
    """Positions that are named twice would leave open which value stays, so what is written is one number for each example."""
    scene = Scene(1000 + seed)
    value = scene.add(scene.rng.standard_normal, ())
    both = [scene.tensors[0].requires_grad_(), scene.tensors[value].requires_grad_()]

    def write(*tensors: Tensor) -> Tensor:
        target = tensors[0] + 0 * sum(each.sum() for each in tensors)  # differs between examples if anything does
        target[scene.keyed(tensors)] = tensors[value]
        return target

    found = vmap(write, in_dims=scene.dims())(*scene.tensors)
    rows = [write(*tensors) for tensors in scene.examples()]
    require(found, rows)
    weights = torch.tensor(scene.rng.standard_normal(found.shape))
    ours = torch.autograd.grad((found * weights).sum(), both)
    for g, expected in zip(ours, torch.autograd.grad((torch.stack(rows) * weights).sum(), both), strict=True):
        np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(150))
def test_write_a_tensor(seed: int) -> None:
    """Values of the shape of what is named, at positions that are named once."""
    scene = Scene(2000 + seed)
    shape = scene.examples()[0][0][scene.keyed(scene.examples()[0])].shape
    value = scene.add(scene.rng.standard_normal, tuple(shape)[int(scene.rng.integers(2)) if len(shape) else 0 :])

    def write(*tensors: Tensor) -> Tensor:
        target = tensors[0] + 0 * sum(each.sum() for each in tensors)
        target[scene.keyed(tensors)] = tensors[value]
        return target

    try:
        rows = [write(*tensors) for tensors in scene.examples()]
    except RuntimeError:
        with pytest.raises(RuntimeError):
            vmap(write, in_dims=scene.dims())(*scene.tensors)
        return
    places = [torch.zeros(scene.shape) for _ in range(SIZE)]
    for count, tensors in zip(places, scene.examples(), strict=True):
        key = scene.keyed(tensors)
        indices = torch.arange(count.numel()).reshape(scene.shape)[key].reshape(-1)
        count.view(-1).index_add_(0, indices, torch.ones(len(indices)))
    found = vmap(write, in_dims=scene.dims())(*scene.tensors)
    for ours, expected, count in zip(found, rows, places, strict=True):
        once = (count <= 1).numpy()
        np.testing.assert_allclose(ours.numpy(force=True)[once], expected.numpy(force=True)[once], rtol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_accumulate(seed: int) -> None:
    scene = Scene(3000 + seed)
    indices = [item[0] for item in scene.key if isinstance(item, list)][: len(scene.shape)]
    if not indices:
        indices = [scene.add(lambda wanted: scene.rng.integers(0, 2, wanted), (2,))]
    value = scene.add(scene.rng.standard_normal, ())

    def put(*tensors: Tensor) -> Tensor:
        chosen = [tensors[number] % size for number, size in zip(indices, scene.shape, strict=False)]
        return tensors[0].index_put(tuple(chosen), tensors[value], accumulate=True)

    found = vmap(put, in_dims=scene.dims())(*scene.tensors)
    require(found, [put(*tensors) for tensors in scene.examples()])


# ---------------------------------------------------------------- several levels
def test_nested() -> None:
    """The outer examples have tensors of their own, the inner ones indices."""
    x = torch.arange(24.0).reshape(2, 3, 4).requires_grad_()
    rows, columns = torch.tensor([[0, 2], [1, 1], [2, 0]]), torch.tensor([3, 1, 0])
    found = vmap(lambda matrix: vmap(lambda row, column: matrix[row, column] + matrix[:, column].sum())(rows, columns))(x)
    expected = torch.stack([torch.stack([m[r, c] + m[:, c].sum() for r, c in zip(rows, columns, strict=True)]) for m in x])
    assert found.tolist() == expected.tolist()
    ours, theirs = (torch.autograd.grad(each.square().sum(), x)[0] for each in (found, expected))
    assert ours.tolist() == theirs.tolist()


def test_write_nested() -> None:
    def write(row: Tensor, place: Tensor) -> Tensor:
        target = row.clone()
        target[place] = row.sum()
        return target

    x, places = torch.arange(12.0).reshape(3, 4), torch.tensor([0, 3])
    found = vmap(lambda row: vmap(lambda place: write(row + 0 * place, place))(places))(x)
    assert found.tolist() == [[write(row, place).tolist() for place in places] for row in x]


# ---------------------------------------------------------------- masks
def test_where_a_mask_differs() -> None:
    """What is written there must not depend on how many places there are."""
    x, mask = torch.tensor([[1.0, -2.0, 3.0], [-1.0, -2.0, -3.0]]), torch.tensor([[True, False, True], [False, True, True]])

    def write(row: Tensor, where: Tensor) -> Tensor:
        row = row.clone()
        row[where] = row.sum()
        return row

    found = vmap(write)(x, mask)
    assert found.tolist() == [[2.0, -2.0, 2.0], [-1.0, -6.0, -6.0]]
    assert vmap(lambda row: row.clone().index_put((row > 0,), torch.tensor(7.0)))(x).tolist() == [[7.0, -2.0, 7.0], [-1.0, -2.0, -3.0]]
    with pytest.raises(RuntimeError, match=r"vmap: We do not support .*indexing with a boolean mask.*torch.where"):
        vmap(lambda row, where: row.clone().index_put((where,), torch.ones(2)))(x, mask)


def test_rows_where_a_mask_differs() -> None:
    x, mask = torch.arange(12.0).reshape(2, 3, 2), torch.tensor([[True, False, True], [False, True, True]])

    def write(matrix: Tensor, rows: Tensor) -> Tensor:
        matrix = matrix.clone()
        matrix[rows] = torch.tensor([[-1.0, -2.0]])
        return matrix

    assert vmap(write)(x, mask).tolist() == torch.stack([write(*each) for each in zip(x, mask, strict=True)]).tolist()


def test_a_mask_in_common() -> None:
    x, mask = torch.arange(6.0).reshape(2, 3), torch.tensor([True, False, True])
    assert vmap(lambda row: row[mask])(x).tolist() == [[0.0, 2.0], [3.0, 5.0]]
    assert vmap(lambda row: row.masked_select(mask))(x).tolist() == [[0.0, 2.0], [3.0, 5.0]]
    assert vmap(lambda row: row.clone().index_put((mask,), row[:2]))(x).tolist() == [[0.0, 1.0, 1.0], [3.0, 4.0, 4.0]]


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize("value", [torch.tensor([0.0, 1.0]), torch.ones(2, 4)])
def test_write_into_what_is_in_common(value: Tensor) -> None:
    target = torch.zeros(4)
    with pytest.raises(RuntimeError, match=r"^vmap: inplace arithmetic"):
        vmap(lambda v: target.copy_(v))(value)
    with pytest.raises(RuntimeError, match=r"^vmap: (fill_|inplace arithmetic)\(self"):
        vmap(lambda v: target.__setitem__(slice(None), v))(value)
    with pytest.raises(RuntimeError, match=r"^vmap: index_put_\(self"):
        vmap(lambda i: target.__setitem__(i, 1.0))(torch.tensor([0, 1]))
    assert target.tolist() == [0.0] * 4


def test_positions_out_of_range_of_one_example() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(IndexError, match=r"index 3 is out of bounds for dimension 0 with size 3"):
        vmap(lambda row, i: row[i])(x, torch.tensor([0, 3]))
    with pytest.raises(IndexError, match=r"index -4 is out of bounds for dimension 0 with size 3"):
        vmap(lambda row, i: row.clone().index_put((i,), torch.tensor(1.0)))(x, torch.tensor([[0], [-4]]))
    with pytest.raises(RuntimeError, match=r"index 3 is out of bounds for dimension 0 with size 3"):
        vmap(lambda row, i: row.gather(0, i))(x, torch.tensor([[0], [3]]))
    with pytest.raises(IndexError, match=r"index out of range in self"):
        vmap(lambda row, i: row.index_select(0, i))(x, torch.tensor([[0], [3]]))


# ---------------------------------------------------------------- as many results as told
def test_lengths_that_agree() -> None:
    repeats, x = torch.tensor([[1, 2, 0], [0, 0, 3]]), torch.arange(6.0).reshape(2, 3)
    assert vmap(lambda row, times: row.repeat_interleave(times))(x, repeats).tolist() == [[0.0, 1.0, 1.0], [5.0, 5.0, 5.0]]
    numbers = torch.tensor([[0, 2, 2], [1, 1, 2]])
    assert vmap(torch.bincount)(numbers).tolist() == [[1, 0, 2], [0, 2, 1]]
    assert vmap(lambda row: torch.bincount(row, minlength=4))(numbers).tolist() == [[1, 0, 2, 0], [0, 2, 1, 0]]
    with pytest.raises(RuntimeError, match=r"^vmap: We do not support .* aten::bincount\. .*minlength=5"):
        vmap(torch.bincount)(torch.tensor([[0, 1], [1, 4]]))
    with pytest.raises(RuntimeError, match=r"^vmap: We do not support .* aten::repeat_interleave"):
        vmap(lambda row, times: row.repeat_interleave(times))(x, torch.tensor([[1, 2, 0], [0, 0, 2]]))


def test_nonzero_static() -> None:
    x = torch.tensor([[[0.0, 1.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]]])
    for size in (0, 1, 2, 5):
        found = vmap(lambda matrix, size=size: torch.nonzero_static(matrix, size=size))(x)
        assert found.tolist() == [torch.nonzero_static(matrix, size=size).tolist() for matrix in x]


def test_histc() -> None:
    x = torch.tensor([[0.0, 1.0, 2.0, 4.0], [3.0, 3.0, 3.0, 3.0]])
    for limits in ((0, 0), (1, 3)):
        found = vmap(lambda row, limits=limits: torch.histc(row, 4, *limits))(x)
        assert found.tolist() == [torch.histc(row, 4, *limits).tolist() for row in x]


def test_narrow_from_a_tensor() -> None:
    x, starts = torch.arange(8.0).reshape(2, 4), torch.tensor([1, -4])
    assert vmap(lambda row, start: row.narrow(0, start, 2))(x, starts).tolist() == [[1.0, 2.0], [4.0, 5.0]]
    with pytest.raises(RuntimeError, match=r"start \(3\) \+ length \(2\) exceeds dimension size \(4\)"):
        vmap(lambda row, start: row.narrow(0, start, 2))(x, torch.tensor([1, 3]))


def test_as_strided() -> None:
    x = torch.arange(12.0).reshape(2, 6).requires_grad_()
    found = vmap(lambda row: row.as_strided((2, 2), (3, 1), 1))(x)
    assert found.tolist() == [[[1.0, 2.0], [4.0, 5.0]], [[7.0, 8.0], [10.0, 11.0]]]
    (g,) = torch.autograd.grad(found.sum(), x)
    assert g.tolist() == [[0.0, 1.0, 1.0, 0.0, 1.0, 1.0]] * 2
    with pytest.raises(RuntimeError, match=r"^result = tensor.as_strided\(\[2\], \[6\], 0\) can access .*range \[0, 7\].*range \[0, 6\]"):
        vmap(lambda row: row.as_strided((2,), (6,)))(x)


def test_no_examples() -> None:
    """Shapes come out right where there is nothing to compute."""
    x, places = torch.zeros(0, 3, 2), torch.zeros(0, 4, dtype=torch.int64)
    assert vmap(lambda matrix, at: matrix[at])(x, places).shape == (0, 4, 2)
    assert vmap(lambda matrix, at: matrix[:, at % 2])(x, places).shape == (0, 3, 4)
    assert vmap(lambda matrix, at: matrix.index_fill(0, at, 1.0))(x, places).shape == (0, 3, 2)
    assert vmap(lambda matrix: matrix.sort(0).values)(x).shape == (0, 3, 2)
