"""Every spelling that torch code uses for the same operation, and what torch says to the wrong ones."""

import warnings

import pytest
import torch

import ndgrad
from tests.oracle.sides import same_expression

KEYWORDS = [
    "T.permute(input=r(2, 3), dims=(1, 0))",
    "r(2, 3).permute(dims=(1, 0))",
    "T.swapaxes(input=r(2, 3), axis0=0, axis1=1)",
    "r(2, 3).swapaxes_(axis0=0, axis1=1)",
    "r(2, 3).expand(size=(4, 2, 3))",
    "r(2, 3).repeat(repeats=(2, 3))",
    "T.tile(input=r(2, 3), dims=(2,))",
    "r(2, 3).reshape(shape=(3, 2))",
    "r(2, 3).resize_(size=(3, 2))",
    "r(2).copy_(other=r(2, seed=1))",
    "r(2).copy_(1)",
    "t([1, 2]).copy_(2.5)",
    "t([True, False]).pow(True)",
    "t([True, False]).pow(False)",
    "T.adjoint(t(1.0))",
    "r(2, 3).sum(dim=t(1))",
    "T.norm(r(2, 3), out=T.empty(0))",
    "r(3)[T.newaxis]",
    "t([1, 2]).new([2.5, 3])",
    "T.cuda.is_available()",
    "T.cuda.device_count()",
    "T.cuda.manual_seed_all(3)",
    "T.backends.mps.is_available()",
    "(T.backends.cudnn.deterministic, T.backends.cudnn.benchmark)",
]

REFUSED = [
    "r(2, 3).reshape()",
    "r(2, 3).repeat()",
    "T.add(r(2), r(2), r(2))",
    "r(2).expand_as(1)",
    "r(2).view_as(1)",
    "r(2).type_as(1)",
    "r(2).size('a')",
    "T.dist(r(2), 1)",
    "T.dist(t([True]), t([1.0]))",
    "T.dist(t([True]), t([1]))",
    "T.allclose(r(2), 1)",
    "T.lerp(r(2), t([1, 2]), 0.5)",
    "T.lerp(t([1, 2], dtype=T.int16), r(2), 0.5)",
    "T.lerp(r(2), r(2), r(3))",
    "T.matmul(r(2, 3), t([[1], [2], [3]]))",
    "T.heaviside(r(2), 1)",
    "T.heaviside(r(2, dtype='complex64'), r(2))",
    "T.fmax(r(2, dtype='complex64'), r(2))",
    "T.fmin(r(2), r(2, dtype='complex64'))",
    "T.pow(t([1, 2], dtype=T.uint8), -1)",
    "T.nan_to_num(r(2), nan='a')",
    "T.scatter_add(r(2, 3), 0, t([[0, 1]]), 3.0)",
    "T.can_cast(1, 2)",
    "T.promote_types(1, 2)",
    "T.zeros(2, device='foo')",
    "T.zeros(2, device='cuda')",
    "r(2).cuda()",
    "T.cuda.current_device()",
    "T.cuda.synchronize()",
    "r(2, 3).fill_diagonal_(r(1))",
    "r(2).fill_diagonal_(1)",
    "r(2, 3, 3).fill_diagonal_(1)",
    "r(2, grad=True).apply_(abs)",
    "r(2, 3).sum_to_size(4)",
    "T.index_add(r(2, 3), 0, t([0]), 1)",
    "T.transpose(1.5, 0, 1)",
    "T.flatten([1.0])",
    "T.full((2,), 1.0, out=3)",
    "T.reshape(r(2, 3), (3, 2), foo=1)",
    "T.gather(r(2, 3), 0, [0])",
    "T.index_select(r(2, 3), 0, [0])",
    "T.take(r(2, 3), 0)",
    "r(3, 4, 2).expand(1, 2, 1, 4)",
]

SIGNS_OF_ZERO = [
    "(t([0.0, -0.0, 4.0, -4.0]) % 2.0).tolist()",
    "(t([0.0, -0.0, 4.0, -4.0]) % -2.0).tolist()",
    "(t([1.5, -1.5, float('nan'), float('inf')]) % t([float('inf'), float('inf'), 1.0, 1.0])).tolist()",
    "(t([0, 4]) % -2.5).tolist()",
    "(-4.0 % t([2.0, -2.0, 3.0])).tolist()",
    "T.relu(t([0.0, -0.0, 1.0, -1.0])).tolist()",
    "t([0.0, -0.0, 1.0, -1.0]).clamp(min=0).tolist()",
    "t([0.0, -0.0, 1.0, -1.0]).clamp(max=0).tolist()",
    "t([0.0, -0.0, 1.0, -1.0]).clamp(0, 1).tolist()",
]

LAYOUTS = [
    "z(1, 3, 1).transpose(0, 2).clone()",
    "z(3, 1).t().clone()",
    "z(2, 1, 3).permute(2, 1, 0).flip(0)",
    "z(4, 3, 2).permute(2, 0, 1).tril()",
    "z(4, 3, 2).permute(2, 0, 1).triu()",
    "t([[1, 2], [3, 4], [5, 6]]).t().isnan()",
    "t([[1, 2], [3, 4], [5, 6]]).t().isinf()",
    "t([[1, 2], [3, 4], [5, 6]]).t().isfinite()",
    "t([[1, 2], [3, 4], [5, 6]]).t().isreal()",
]


@pytest.mark.parametrize("expression", KEYWORDS + LAYOUTS)
def test_the_same_result(expression):
    same_expression(expression)


@pytest.mark.parametrize("expression", REFUSED)
def test_the_same_refusal(expression):
    same_expression(expression)


@pytest.mark.parametrize("expression", SIGNS_OF_ZERO)
def test_the_signs_of_zeros(expression):
    """Lists of floats compare equal whatever the signs of zeros, their texts do not."""
    same_expression(f"repr({expression})")


GRADIENTS = [
    "F.cross_entropy(x, t([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))",
    "x.var(1, correction=5)",
    "x.var(1, correction=3)",
    "x.std(1, correction=3)",
    "x.std(1, correction=5)",
    "T.sinc(x * 1e-25)",
]


@pytest.mark.parametrize("expression", GRADIENTS)
def test_gradients_at_special_points(expression):
    same_expression(
        f"[(y, T.autograd.grad(y, x, T.ones_like(y))[0]) for F in [T.nn.functional] for x in [r(2, 3, grad=True)] for y in [{expression}]]"
    )


FACTORIES = ["zeros(2)", "ones(2)", "full((2,), 1.0)", "eye(2)", "linspace(0, 1, 3)", "rand(2)", "randperm(3)", "arange(3)"]


@pytest.mark.parametrize("call", FACTORIES)
def test_what_resizes_its_out_aloud(call):
    """The creation functions resize `out=` without a word, but for arange."""
    heard = []
    for library in (torch, ndgrad):
        library.manual_seed(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = eval(f"library.{call[:-1]}, out=library.empty(5))", {"library": library})
        heard.append((len(caught), tuple(out.shape)))
    assert heard[0] == heard[1]
