"""Indexing and what belongs to it inside torch's `vmap` and ours: values, gradients, and what is refused in which words."""

import warnings

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.sides import array_of, first_sentence

LIBRARIES = (torch, ndgrad)

#: Expressions of one example: x is (3, 4), row (4), at (2) positions up to 2, column (2, 1), place and spot positions, mask (4).
READ = (
    "x[at]",
    "x[:, at]",
    "x[at, at]",
    "x[column, at]",
    "x[place]",
    "x[:, place]",
    "x[place, at]",
    "x[None, at]",
    "x[at, None, at]",
    "x[..., at]",
    "x[at, 1:]",
    "x.index_select(0, at)",
    "x.index_select(1, at)",
    "x.gather(0, column.expand(2, 4))",
    "x.gather(1, column)",
    "T.take_along_dim(x[:2], column, 1)",
    "T.take(x, at)",
    "x.index_add(0, at, x[:2])",
    "x.index_add(1, at, x[:, :2], alpha=2)",
    "x.index_copy(0, at % 2, x[:2])",
    "x.index_fill(1, at, 1.5)",
    "x.index_put((at,), row)",
    "x.index_put((at, at), row[:2], accumulate=True)",
    "x.index_put((column, at), row.sum(), accumulate=True)",
    "x.scatter(0, column.expand(2, 4), x[:2])",
    "x.scatter(1, column, 2.0)",
    "x.scatter_add(1, column.expand(2, 3), x[:2, :3])",
    "x.scatter_reduce(1, column.expand(2, 3), x[:2, :3], 'amax')",
    "x.scatter_reduce(1, column.expand(2, 3), x[:2, :3], 'mean', include_self=False)",
    "x.masked_fill(mask, row.sum())",
    "row.masked_fill(mask, 3.0)",
    "T.where(mask, x, row)",
    "x.put(at, row[:2])",
    "x.roll(1)",
    "x.roll((1, 2), (0, 1))",
    "x.repeat(2, 1, 2)",
    "x.flip(1)",
    "x.diagonal()",
    "x[:, :3].trace()",
    "x[:, :3].diag()",
    "row.diag(1)",
    "T.diag_embed(x)",
    "x.slice_scatter(x[:2], 0, 1)",
    "x[:, :3].diagonal_scatter(row[:3])",
    "T.cdist(x, x[:2] + 1)",
    "T.cdist(x, x[:2] + 1, p=1.0)",
    "T.dist(x, row)",
    "T.linalg.cross(x[:, :2], x[:, 1:3], dim=0)",
    "T.block_diag(x, row)",
    "x.quantile(0.3)",
    "x.quantile(T.tensor([0.3, 0.9], dtype=T.float64), 1)",
    "x.cov()",
    "x.sort(1).values",
    "x.topk(2, 0).values",
    "x.kthvalue(2, 1).values",
    "x.median()",
    "x.cummax(0).values",
    "x.logcumsumexp(1)",
    "x.tril(-1)",
    "x.norm()",
    "x.unfold(1, 2, 1)",
    "x.as_strided((2, 2), (4, 1), 1) if x.is_contiguous() else x[:2, 1:3]",
    "T.cosine_similarity(x, row, dim=1)",
)
#: The same without derivatives.
CONSTANT = (
    "x.argmax()",
    "x.argsort(1)",
    "x.argmax(0)",
    "T.searchsorted(x.sort(1).values, x)",
    "T.bucketize(x, row.sort().values)",
    "T.isin(at, T.tensor([0, 2]))",
    "T.isin(at, at.flip(0) + 1)",
    "T.stack(T.unravel_index(at, (2, 3)))",
    "T.isclose(x, row)",
)


#: What torch 2.13 gets wrong, where ours is what a loop gives -> how. In test_vmap_ops.py these are compared with the loop.
TORCH_IS_WRONG = {
    "x.select_scatter(row, 0, 1)": "the gradient of row is that of every position along the dim",
    "x.index_fill(1, at, row.sum())": "no gradient of the number that is filled in, where x is common to the examples",
    "x[None][place * 0, :, at]": "the number counts as one of the index tensors, which moves their dims to the front",
}


@pytest.mark.parametrize("expression", TORCH_IS_WRONG)
def test_torch_is_wrong(expression):
    """Ours agrees with a loop, and torch does not for some operand."""
    agreed = []
    for library in LIBRARIES:
        for dims in choices(expression):
            given = operands(library)
            names = [name for name in given if name in expression]
            function = eval(f"lambda {', '.join(names)}: {expression}", {"T": library})
            found = evaluate(library, expression, dims)
            tensors = [given[name] if name in dims else given[name][0] for name in names]
            for each in tensors:
                each.requires_grad_(each.is_floating_point())
            rows = [function(*(each[i] if name in dims else each for name, each in zip(names, tensors, strict=True))) for i in range(2)]
            total = (library.stack(rows) * library.tensor(numbers(2, *rows[0].shape))).sum()
            leaves = [each for each in tensors if each.requires_grad]
            looped = [library.stack(rows), *library.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)]
            pairs = [(array_of(one), array_of(other)) for one, other in zip(found, looped, strict=True)]
            agreed.append((library.__name__, all(one.shape == other.shape and np.allclose(one, other) for one, other in pairs)))
    assert all(right for name, right in agreed if name == "ndgrad")
    assert not all(right for name, right in agreed if name == "torch")


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def operands(library):
    return {
        "x": library.tensor(numbers(2, 3, 4)),
        "row": library.tensor(numbers(2, 4)),
        "at": library.tensor([[2, 0], [1, 2]]),
        "column": library.tensor([[[0], [2]], [[1], [1]]]),
        "place": library.tensor([2, 1]),
        "mask": library.tensor([[True, False, False, True], [False, True, False, False]]),
    }


def evaluate(library, expression, dims, grad=True):
    """The value inside `vmap`, and the gradients of a weighted sum of it."""
    given = operands(library)
    names = [name for name in given if name in expression]
    chosen = [given[name] if name in dims else given[name][0] for name in names]
    for each in chosen:
        each.requires_grad_(grad and each.is_floating_point())
    in_dims = tuple(0 if name in dims else None for name in names)
    function = eval(f"lambda {', '.join(names)}: {expression}", {"T": library})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = library.func.vmap(function, in_dims=in_dims)(*chosen)
    if not grad:
        return [found]
    leaves = [each for each in chosen if each.requires_grad]
    weights = library.tensor(numbers(*found.shape))
    return [found, *library.autograd.grad((found * weights).sum(), leaves, allow_unused=True, materialize_grads=True)]


def choices(expression):
    """All operands with examples, and each alone."""
    names = [name for name in operands(torch) if name in expression]
    return [tuple(names), *((name,) for name in names if len(names) > 1)]


CASES = [(expression, dims) for expression in READ for dims in choices(expression)]


@pytest.mark.parametrize(("expression", "dims"), CASES)
def test_values_and_gradients(expression, dims):
    theirs, ours = (evaluate(library, expression, dims) for library in LIBRARIES)
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(array_of(other), array_of(one), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("expression", "dims"), [(expression, dims) for expression in CONSTANT for dims in choices(expression)])
def test_values(expression, dims):
    theirs, ours = (evaluate(library, expression, dims, grad=False)[0] for library in LIBRARIES)
    assert repr(theirs.dtype) == repr(ours.dtype)
    np.testing.assert_array_equal(array_of(ours), array_of(theirs))


#: Functions of a row of 4 numbers, of a pair of positions and of a mask, of which each example has its own; `z` is common to all.
REFUSED = (
    "row.nonzero()",
    "row[mask]",
    "row.masked_select(mask)",
    "row.unique()",
    "row.unique_consecutive()",
    "T.where(mask)",
    "row.clone().index_put((mask,), T.ones(2, dtype=T.float64))",
    "T.equal(row, row)",
    "T.allclose(row, row)",
    "bool(row.sum())",
    "row.sum().item()",
    "row.numpy()",
    "row.tolist()",
    "1.0 in row",
    "row.is_set_to(row)",
    "row.as_strided((2,), (6,))",
    "z.copy_(row)",
    "z.fill_(row.sum())",
    "z.sub_(row)",
    "z.mul_(row)",
    "z.pow_(row)",
    "z.lerp_(row, 0.5)",
    "z.clamp_(row)",
    "z.index_put_((at,), T.ones(2, dtype=T.float64))",
    "z.index_add_(0, at, T.ones(2, dtype=T.float64))",
    "z.index_copy_(0, at, T.ones(2, dtype=T.float64))",
    "z.index_fill_(0, at, 1.0)",
    "z.index_reduce_(0, at, T.ones(2, dtype=T.float64), 'prod')",
    "z.scatter_(0, at, T.ones(2, dtype=T.float64))",
    "z.scatter_add_(0, at, T.ones(2, dtype=T.float64))",
    "z.scatter_reduce_(0, at, T.ones(2, dtype=T.float64), 'sum')",
    "z.put_(at, T.ones(2, dtype=T.float64))",
    "z.masked_fill_(mask, 1.0)",
    "z.masked_scatter_(mask, T.ones(4, dtype=T.float64))",
    "z.__setitem__(at, 1.0)",
    "z.__setitem__(0, row.sum())",
    "z.__setitem__(slice(0, 4), row)",
)


@pytest.mark.parametrize("expression", REFUSED)
def test_refused(expression):
    texts = []
    for library in LIBRARIES:
        scope = {"T": library, "z": library.zeros(4, dtype=library.float64)}
        given = operands(library)
        function = eval(f"lambda row, at, mask: {expression}", scope)
        with warnings.catch_warnings(), pytest.raises(Exception) as caught:
            warnings.simplefilter("ignore")
            library.func.vmap(function)(given["row"], given["at"], given["mask"])
        texts.append((type(caught.value).__name__, first_sentence(str(caught.value).split(" Please try")[0])))
        assert not scope["z"].any()
    assert texts[1][0] == texts[0][0]
    assert texts[1][1].startswith(texts[0][1])
