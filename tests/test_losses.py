"""Losses, layers and parameters by closed forms."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import ndgrad
from ndgrad.nn import functional as F


def leaf(numbers):
    return ndgrad.tensor(numbers, dtype=ndgrad.float64, requires_grad=True)


def gradient(out, x):
    return ndgrad.autograd.grad(out, x)[0].tolist()


# ---------------------------------------------------------------- losses
def test_cross_entropy_of_equal_logits():
    x = leaf([[0.0, 0.0], [0.0, 0.0]])
    loss = F.cross_entropy(x, ndgrad.tensor([0, 1]))
    assert loss.item() == pytest.approx(math.log(2))
    assert gradient(loss, x) == [[-0.25, 0.25], [0.25, -0.25]]
    assert loss.grad_fn.name() == "NllLossBackward0"
    assert [edge.name() for edge, _ in F.cross_entropy(x, ndgrad.tensor([0, 1])).grad_fn.next_functions] == ["LogSoftmaxBackward0"]


def test_ignored_and_weighted_targets():
    x = leaf([[1.0, 2.0], [3.0, 5.0], [0.0, 7.0]])
    target = ndgrad.tensor([0, -100, 1])
    weight = ndgrad.tensor([3.0, 1.0], dtype=ndgrad.float64)
    assert F.nll_loss(x, target).item() == -(1 + 7) / 2
    loss = F.nll_loss(x, target, weight)
    assert loss.item() == -(3 * 1 + 7) / 4
    assert gradient(loss, x) == [[-0.75, 0], [0, 0], [0, -0.25]]
    assert math.isnan(F.nll_loss(x, ndgrad.tensor([-100] * 3)).item())
    assert F.nll_loss(x, target, reduction="none").tolist() == [-1, 0, -7]


@pytest.mark.parametrize("wrong", [2, -1, 10**12])
def test_a_class_that_does_not_exist(wrong):
    with pytest.raises(IndexError, match=rf"^Target {wrong} is out of bounds\."):
        F.cross_entropy(ndgrad.zeros(2, 2), ndgrad.tensor([0, wrong]))


def test_binary_cross_entropy_with_logits():
    x = leaf([0.0, 0.0])
    loss = F.binary_cross_entropy_with_logits(x, ndgrad.tensor([0.0, 1.0], dtype=ndgrad.float64))
    assert loss.item() == pytest.approx(math.log(2))
    assert gradient(loss, x) == [0.25, -0.25]
    far = leaf([800.0, -800.0])
    loss = F.binary_cross_entropy_with_logits(far, ndgrad.tensor([0.0, 1.0], dtype=ndgrad.float64), reduction="sum")
    assert loss.item() == 1600
    assert gradient(loss, far) == [1, -1]


def test_losses_of_differences():
    x, y = leaf([0.0, 3.0]), leaf([0.5, 0.0])
    assert F.mse_loss(x, y).item() == (0.25 + 9) / 2
    assert F.l1_loss(x, y, reduction="sum").item() == 3.5
    assert F.smooth_l1_loss(x, y, reduction="none").tolist() == [0.125, 2.5]
    assert F.huber_loss(x, y, delta=2.0, reduction="none").tolist() == [0.125, 4]
    loss = F.mse_loss(x, y)
    assert [g.tolist() for g in ndgrad.autograd.grad(loss, (x, y))] == [[-0.5, 3], [0.5, -3]]


def test_a_target_of_another_shape_is_warned_of():
    with pytest.warns(UserWarning, match=r"^Using a target size \(torch.Size\(\[2, 1\]\)\) that is different to the input size"):
        assert F.mse_loss(ndgrad.tensor([1.0, 2.0]), ndgrad.tensor([[0.0], [1.0]]), reduction="sum").item() == 1 + 4 + 0 + 1


def test_second_derivatives():
    x = leaf([[0.3, -0.2, 0.5]])
    (g,) = ndgrad.autograd.grad(F.cross_entropy(x, ndgrad.tensor([1])), x, create_graph=True)
    rows = np.array([ndgrad.autograd.grad(g[0, i], x, retain_graph=True)[0].numpy()[0] for i in range(3)])
    p = np.exp(x.detach().numpy()[0])
    p /= p.sum()
    np.testing.assert_allclose(rows, np.diag(p) - np.outer(p, p), rtol=1e-12)


def test_gradients_are_not_asked_of_weights():
    with pytest.raises(RuntimeError, match="is not differentiable with respect to argument 'weight'"):
        F.nll_loss(ndgrad.zeros(1, 2), ndgrad.tensor([0]), ndgrad.ones(2, requires_grad=True))


def test_reductions_are_checked():
    with pytest.raises(ValueError, match=r"^avg is not a valid value for reduction"):
        F.mse_loss(ndgrad.zeros(2), ndgrad.zeros(2), reduction="avg")


# ---------------------------------------------------------------- layers
def test_embedding():
    weight = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    out = F.embedding(ndgrad.tensor([0, 2, 0]), weight, padding_idx=2)
    assert out.tolist() == [[1, 2], [5, 6], [1, 2]]
    assert gradient(out.sum(), weight) == [[2, 2], [0, 0], [0, 0]]
    out = F.embedding(ndgrad.tensor([0, 2, 0]), weight, scale_grad_by_freq=True)
    assert gradient(out.sum(), weight) == [[1, 1], [0, 0], [1, 1]]


def test_embedding_of_many_rows():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 50, 3000)
    weight = leaf(rng.standard_normal((50, 8)))
    g = rng.standard_normal((3000, 8))
    (found,) = ndgrad.autograd.grad(F.embedding(ndgrad.from_numpy(index), weight), weight, ndgrad.from_numpy(g))
    expected = np.zeros((50, 8))
    np.add.at(expected, index, g)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_layer_norm():
    x = leaf([[1.0, 3.0], [2.0, 8.0]])
    out = F.layer_norm(x, (2,), eps=0.0)
    assert out.tolist() == [[-1, 1], [-1, 1]]
    np.testing.assert_allclose(gradient((out * out).sum(), x), 0, atol=1e-12)
    assert F.layer_norm(x, (2,), ndgrad.full((2,), 2.0).double(), ndgrad.ones(2).double(), 0.0).tolist() == [[-1, 3], [-1, 3]]


def test_linear_and_one_hot():
    x, weight, bias = leaf([[1.0, 2.0]]), leaf([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), leaf([0.5, 0.5, 0.5])
    out = F.linear(x, weight, bias)
    assert out.tolist() == [[1.5, 2.5, 3.5]]
    assert out.grad_fn.name() == "AddmmBackward0"
    assert F.linear(x[0], weight, bias).tolist() == [1.5, 2.5, 3.5]
    assert F.one_hot(ndgrad.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]


PADDED = {"constant": [0, 0, 1, 2, 3, 0], "reflect": [3, 2, 1, 2, 3, 2], "replicate": [1, 1, 1, 2, 3, 3], "circular": [2, 3, 1, 2, 3, 1]}


@pytest.mark.parametrize(("mode", "expected"), PADDED.items())
def test_pad(mode, expected):
    x = leaf([[1.0, 2.0, 3.0]])
    out = F.pad(x, (2, 1), mode=mode)
    assert out.tolist() == [expected]
    counts = [expected.count(value) for value in (1, 2, 3)]
    assert gradient(out.sum(), x) == [counts]


def test_padding_may_be_negative():
    x = leaf([[1.0, 2.0, 3.0]])
    out = F.pad(x, (-1, 1, 0, 1), value=9)
    assert out.tolist() == [[2, 3, 9], [9, 9, 9]]
    assert gradient(out.sum(), x) == [[0, 1, 1]]


def test_vectors_of_length_zero():
    x = leaf([[0.0, 0.0]])
    assert F.normalize(x).tolist() == [[0, 0]]
    assert gradient(F.normalize(x).sum(), x) == [[1e12, 1e12]]
    assert F.cosine_similarity(x, ndgrad.ones(1, 2).double()).tolist() == [0]


# ---------------------------------------------------------------- parameters
def test_parameters():
    data = ndgrad.ones(2)
    p = ndgrad.nn.Parameter(data)
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert p.is_leaf
    assert p.requires_grad
    assert isinstance(p, ndgrad.Tensor)
    assert isinstance(p, ndgrad.nn.Parameter)
    assert not isinstance(data, ndgrad.nn.Parameter)
    assert type(p * 2) is ndgrad.Tensor
    with ndgrad.no_grad():
        p.add_(1)
    assert data.tolist() == [2, 2]
    (p * 3).sum().backward()
    assert p.grad.tolist() == [3, 3]


def test_any_tensor_can_pose_as_a_parameter():
    x = ndgrad.ones(2)
    x._is_param = True
    assert isinstance(x, ndgrad.nn.Parameter)


def test_copies_of_parameters():
    p = ndgrad.nn.Parameter(ndgrad.tensor([1.0, 2.0]), requires_grad=False)
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(other) is ndgrad.nn.Parameter
        assert other.tolist() == [1, 2]
        assert not other.requires_grad
        other.add_(1)
        assert p.tolist() == [1, 2]
    pair = [p, p]
    copied = copy.deepcopy(pair)
    assert copied[0] is copied[1]


def test_only_tensors_make_parameters():
    with pytest.raises(RuntimeError, match=r"^Only Tensors of floating point and complex dtype can require gradients"):
        ndgrad.nn.Parameter(ndgrad.tensor([1, 2]))
    with pytest.raises(TypeError, match="from_numpy"):
        ndgrad.nn.Parameter(np.ones(2))
    assert ndgrad.nn.Parameter().tolist() == []


def test_the_gradient_of_relu_is_the_same_on_large_arrays():
    x = ndgrad.linspace(-1, 1, (1 << 18) + 5, dtype=ndgrad.float64)
    x[7], x[8] = ndgrad.nan, 0.0
    x = ndgrad.stack([x, -x]).t()  # column-major
    leaf = x.clone().requires_grad_()
    weights = ndgrad.linspace(-2, 3, x.numel(), dtype=ndgrad.float64).view(x.shape)
    weights[3, 1] = ndgrad.inf
    ndgrad.relu(leaf).backward(weights)
    assert ndgrad.equal(leaf.grad, ndgrad.where(x <= 0, 0.0, weights))


def test_smoothed_labels_of_which_some_are_ignored_in_float32():
    scores = ndgrad.zeros(3, 4, requires_grad=True)
    loss = F.cross_entropy(scores, ndgrad.tensor([0, 2, 1]), ignore_index=2, label_smoothing=0.4)
    assert loss.item() == pytest.approx(math.log(4))
    loss.backward()
    assert scores.grad[1].tolist() == [0, 0, 0, 0]
    assert scores.grad[0].tolist() == pytest.approx([(0.25 - 0.7) / 2, 0.075, 0.075, 0.075])
