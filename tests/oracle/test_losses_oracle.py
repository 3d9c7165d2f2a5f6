"""`nn.functional` and `nn.Parameter` against torch: values, dtypes, node names, gradients, errors, warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.sides import environment, evaluate, first_sentence, same_expression, same_gradients

LIBRARIES = (torch, ndgrad)
REDUCTIONS = ("mean", "sum", "none")
F = "T.nn.functional."


def each_reduction(calls):
    return [f"{F}{call[:-1]}, reduction={how!r})" for call in calls for how in REDUCTIONS]


# ---------------------------------------------------------------- losses of two float tensors: gradients for both
PAIRS = each_reduction(
    [
        *["mse_loss(x, y)", "l1_loss(x, y)", "smooth_l1_loss(x, y)", "smooth_l1_loss(x, y, beta=0.5)", "smooth_l1_loss(x, y, beta=0)"],
        *["huber_loss(x, y)"],
        *["huber_loss(x, y, delta=0.3)", "mse_loss(x, y, weight=w)", "binary_cross_entropy_with_logits(x, y)"],
        *["binary_cross_entropy_with_logits(x, y, weight=k)"],
        *["binary_cross_entropy_with_logits(x, y, pos_weight=k[0])", "binary_cross_entropy_with_logits(x, y, weight=k, pos_weight=k[0])"],
        *["binary_cross_entropy(x.sigmoid(), y.sigmoid())", "binary_cross_entropy(x.sigmoid(), y.sigmoid(), weight=k)"],
        *["poisson_nll_loss(x, y)"],
        *["poisson_nll_loss(x.exp(), y, log_input=False)", "poisson_nll_loss(x, y.exp(), full=True)", "gaussian_nll_loss(x, y, w.exp())"],
        *["gaussian_nll_loss(x, y, w[:, :1].exp(), full=True)", "gaussian_nll_loss(x, y, 0.5)", "margin_ranking_loss(x, y, s)"],
        *["margin_ranking_loss(x, y, s, margin=0.3)"],
        *["hinge_embedding_loss(x, s)", "hinge_embedding_loss(x, s, margin=0.4)", "soft_margin_loss(x, s)"],
        *["cosine_embedding_loss(x, y, s[:, 0])"],
        *["cosine_embedding_loss(x, y, s[:, 0], margin=0.2)", "triplet_margin_loss(x, y, w)"],
        *["triplet_margin_loss(x, y, w, p=1, swap=True)", "kl_div(x, y.exp())"],
        *["kl_div(x, y, log_target=True)", "multilabel_soft_margin_loss(x, p)", "multilabel_soft_margin_loss(x, p, weight=k)"],
        *["cross_entropy(x, y)"],
        *["cross_entropy(x, y, weight=k[0])", "cross_entropy(x, y, label_smoothing=0.1)", "nll_loss(x, c)"],
        *["nll_loss(x, c, weight=k[0])", "nll_loss(x, c, ignore_index=1)"],
        *["cross_entropy(x, c)", "cross_entropy(x, c, weight=k[0])", "cross_entropy(x, c, ignore_index=1)"],
        *["cross_entropy(x, c, weight=k[0], ignore_index=3)"],
        *["cross_entropy(x, c, label_smoothing=0.2)", "cross_entropy(x, c, weight=k[0], label_smoothing=0.2, ignore_index=1)"],
        *["cross_entropy(x, m)"],
    ]
)  # fmt: skip
OTHERS = [
    *["cosine_similarity(x, y)", "cosine_similarity(x, y, 0)", "pairwise_distance(x, y)", "pairwise_distance(x, y, 1, keepdim=True)"],
    *["pairwise_distance(x, y, 3)"],
    *["normalize(x)", "normalize(x, 1, 0)", "normalize(x, 3.0, dim=(0, 1))", "softmin(x, 1)", "softmax(x, 1)", "log_softmax(x, 0)"],
    *["layer_norm(x, (4,))"],
    *["layer_norm(x, (4,), y[0], w[0])", "layer_norm(x, (3, 4), y, w)", "layer_norm(x, [4], y[0])"],
    *["layer_norm(x, (4,), None, w[1], 0.1)", "rms_norm(x, (4,), y[0])"],
    *["linear(x, y)", "linear(x, y, w[:, 0])", "linear(x[0], y, w[:, 0])", "linear(x[0], y)", "linear(x[None], y, w[:, 0])"],
    *["embedding(c, x)", "embedding(c, x, padding_idx=1)"],
    *["embedding(c[None], x, scale_grad_by_freq=True)", "embedding(c, x, padding_idx=-1)", "pad(x, (1, 2))"],
    *["pad(x, (1, 0, 0, 2), value=3.0)", "pad(x, (-1, 2))", "pad(x, (-1, -1, 1, -1))"],
    *["pad(x, (2, 1), mode='reflect')", "pad(x, (2, 1), mode='replicate')", "pad(x, (2, 1), mode='circular')"],
    *["pad(x[None], (2, 1, 1, 0), 'reflect')", "kl_div(x, y.exp(), reduction='batchmean')"],
    *["triplet_margin_with_distance_loss(x, y, w)", "bilinear(x, y, w[None].expand(2, 3, 4).transpose(1, 2).matmul(x), w[:2, 0])"],
    *["relu(x)", "relu6(x * 5)", "elu(x, 0.5)", "selu(x)", "celu(x, 2.0)", "leaky_relu(x, 0.2)", "hardtanh(x, -0.5, 0.7)"],
    *["threshold(x, 0.1, 3.0)", "silu(x)", "mish(x)", "hardswish(x * 3)"],
    *["gelu(x)", "gelu(x, approximate='tanh')", "sigmoid(x)", "tanh(x)", "logsigmoid(x)", "softplus(x, 2, 1)", "softsign(x)"],
    *["tanhshrink(x)", "hardshrink(x)"],
    *["softshrink(x)", "prelu(x, y[0, :1])", "glu(x)", "glu(x, 1)"],
]
#: torch composes these from operations whose nodes are named otherwise.
UNNAMED = (
    *["cosine_embedding", "triplet", "bilinear", "multilabel", "rms_norm", "pad(x[None]", "mode=", "linear(x[None]", "glu("],
    *["label_smoothing", "cross_entropy(x, y", "gaussian", "relu6("],
)

#: The second derivative is one of sgn, which torch gives as a tensor that NumPy cannot see; or torch fails at it.
UNSEEN = ("l1_loss(x, y, r", "pairwise_distance(x, y, 1", "layer_norm(x, (4,), None")


def known(library):
    """Operands that need no gradient: k weights, s signs, c class indices, m some to ignore, p zeros and ones."""
    t = library.tensor
    return {
        "k": t([[0.5, 1.5, 2.0, 1.0]] * 3, dtype=library.float64),
        "s": t([[1.0, -1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, 1.0]], dtype=library.float64),
        "c": t([1, 0, 2]),
        "m": t([1, -100, 3]),
        "p": t([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]], dtype=library.float64),
    }


def _with_known(expression):
    """The expression with the constants written as lookups in what both sides can name."""
    return f"(lambda k, s, c, m, p: {expression})(*CONSTANTS)"


@pytest.fixture(autouse=True)
def constants(monkeypatch):
    """Lets expressions of the comparisons use the constants."""
    from tests.oracle import sides

    def extended(library):
        return {**environment(library), "CONSTANTS": tuple(known(library).values())}

    monkeypatch.setattr(sides, "environment", extended)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("expression", [*PAIRS, *[F + call for call in OTHERS]])
def test_gradients(expression):
    named = not any(part in expression for part in UNNAMED)
    second = not any(part in expression for part in UNSEEN)
    strides = named and "none" not in expression
    same_gradients(_with_known(expression), [(3, 4), (3, 4), (3, 4)], names=named, strides=strides, second=second)


IMAGES = [
    *[("nll_loss(x, T.tensor([[0, 2], [1, 1]]))", (2, 3, 2)), ("cross_entropy(x, T.tensor([[0, 2], [1, -100]]))", (2, 3, 2))],
    *[("cross_entropy(x, T.tensor([[[0, 2]], [[1, 1]]]))", (2, 3, 1, 2))],
    *[("cross_entropy(x, T.tensor([[[[0, 2]]], [[[1, 1]]]]))", (2, 3, 1, 1, 2))],
    *[("cross_entropy(x, T.tensor(1))", (3,)), ("cross_entropy(x, T.tensor([[0, 2], [1, 1]]), label_smoothing=.3)", (2, 3, 2))],
    *[("nll_loss(x, T.tensor([[0, 2], [1, 1]]), weight=T.tensor([1., 2., .5], dtype=T.float64))", (2, 3, 2))],
    *[("cross_entropy(x, x.detach().softmax(1))", (2, 3, 2)), ("cross_entropy(x, x.detach().softmax(0))", (3,))],
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("call", "shape"), IMAGES)
def test_classes_in_dim_one(call, shape, reduction):
    names = "label_smoothing" not in call and "softmax" not in call
    same_gradients(f"{F}{call[:-1]}, reduction={reduction!r})", [shape], names=names)


# ---------------------------------------------------------------- the graph
GRAPHS = {
    "cross_entropy(x, c)": ["NllLossBackward0", "LogSoftmaxBackward0"],
    "mse_loss(x, p)": ["MseLossBackward0"],
    "l1_loss(x, p)": ["MeanBackward0", "AbsBackward0", "SubBackward0"],
    "binary_cross_entropy_with_logits(x, p)": ["BinaryCrossEntropyWithLogitsBackward0"],
    "softmax(x, 1, dtype=T.float32)": ["SoftmaxBackward0", "ToCopyBackward0"],
    "cosine_similarity(x, p)": ["SumBackward1", "MulBackward0", "DivBackward0"],
    "cross_entropy(x[None], c[None, :1].expand(1, 4).clamp(0, 2))": ["NllLoss2DBackward0", "ViewBackward0", "LogSoftmaxBackward0"],
    "linear(x, p, k[0, :3])": ["AddmmBackward0"],
    "linear(x, p)": ["MmBackward0"],
}


@pytest.mark.parametrize(("call", "expected"), GRAPHS.items())
def test_nodes(call, expected):
    for library in LIBRARIES:
        x = library.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
        node = eval(F + call, {"T": library, "x": x, **known(library)}).grad_fn
        found = []
        while node is not None and len(found) < len(expected):
            found.append(node.name())
            node = next((edge for edge, _ in node.next_functions if edge is not None), None)
        assert found == expected, library.__name__


@pytest.mark.parametrize("call", [
    *["cross_entropy(x, c)", "mse_loss(x, p)", "binary_cross_entropy_with_logits(x, p)", "layer_norm(x, (4,))", "embedding(c, x)"],
    *["soft_margin_loss(x, s)"]],
)
def test_nodes_have_as_many_edges(call):
    edges = []
    for library in LIBRARIES:
        x = library.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
        out = eval(F + call, {"T": library, "x": x, **known(library)})
        edges.append([(edge is None, number) for edge, number in out.grad_fn.next_functions])
    assert edges[0] == edges[1]


# ---------------------------------------------------------------- values of every dtype, errors, warnings
EXPRESSIONS = [
    *["mse_loss(r(3, 4), r(4))", "mse_loss(r(3, 4), r(3, 5))", "mse_loss(r(3), r(3), reduction='foo')"],
    *["mse_loss(t([1, 2]), t([1, 2]))", "mse_loss(r(3), r(3, dtype='float64'))"],
    *["mse_loss(r(3), t([1, 2, 3]))", "mse_loss(r(3), r(3), size_average=False)", "mse_loss(r(3), r(3), reduce=False)"],
    *["mse_loss(r(3, dtype='float16'), z(3).half())", "mse_loss(z(0), z(0))"],
    *["mse_loss(r(), r(seed=1))", "l1_loss(r(3), r(3, 1))", "l1_loss(t([1, 2]), t([1, 2]))", "smooth_l1_loss(r(3), r(3), beta=-1)"],
    *["huber_loss(r(3), r(3), delta=0)", "huber_loss(r(3), r(2, 3))"],
    *["nll_loss(r(3, 4), t([1, 2]))", "nll_loss(r(3, 4), t([1, 2, 4]))", "nll_loss(r(3, 4), t([1, 2, -1]))"],
    *["nll_loss(r(3, 4), t([-100, -100, -100]))"],
    *["nll_loss(r(3, 4), t([-100, -100, -100]), reduction='sum')", "nll_loss(r(3, 4), t([1., 2., 3.]))"],
    *["nll_loss(r(3, 4), t([1, 2, 3]).int())", "nll_loss(r(3, 4), t([1, 2, 3]).to(T.uint8))"],
    *["nll_loss(r(3, 4), t([1, 2, 3]), weight=o(3))", "nll_loss(r(3, 4), t([1, 2, 3]), weight=o(4).double())"],
    *["nll_loss(r(3, 4), t([[1, 2, 3]]))", "nll_loss(r(4), t(1))", "nll_loss(r(4), t([1]))"],
    *["nll_loss(t(1.), t(0))", "nll_loss(r(2, 3, 4), z(2, 3).long())", "nll_loss(r(2, 3, 4, 5), z(2, 4, 6).long())"],
    *["nll_loss(r(2, 3, 4, 5, 2), z(2, 4, 5, 3).long())", "nll_loss(z(0, 3), z(0).long())"],
    *["nll_loss(t([[1, 2]]), t([0]))", "nll_loss(r(3, 4), t([1, 2, 3]), weight=T.ones(4, requires_grad=True))"],
    *["nll_loss(r(2, 3), t([0, 2]), ignore_index=2)", "nll_loss(r(3, 4), t([9, 1, 2]), ignore_index=9)"],
    *["cross_entropy(r(3, 4), t([1, 2]))", "cross_entropy(r(3, 4), t([1, 2, 4]))"],
    *["cross_entropy(r(3, 4), t([1, 2, 3]), label_smoothing=2.)", "cross_entropy(r(3, 4), t([1., 2., 3.]))"],
    *["cross_entropy(r(3, 4), r(3, 4), ignore_index=3)", "cross_entropy(r(4), t(1))", "cross_entropy(r(4), r(4))"],
    *["cross_entropy(t([[1, 2]]), t([0]))", "cross_entropy(t(1.), t(0))"],
    *["cross_entropy(r(3, 4), t([[1, 2, 3]]))", "cross_entropy(r(3, 4) * 1000, t([1, 2, 3]))"],
    *["cross_entropy(r(3, 4, dtype='float16'), t([1, 2, 3]))", "cross_entropy(z(0, 3), z(0).long())"],
    *["cross_entropy(r(3, 4), t([1, 2, 3]).int())", "cross_entropy(r(3, 4), t([1, -100, 3]), label_smoothing=.1)"],
    *["cross_entropy(r(3, 4), t([1, 1, 3]), weight=o(4), label_smoothing=.1, ignore_index=1)"],
    *["binary_cross_entropy(r(3), r(3))", "binary_cross_entropy(o(3), o(4))", "binary_cross_entropy(o(3), o(3).double())"],
    *["binary_cross_entropy(o(3), o(3).long())", "binary_cross_entropy(z(3), o(3))"],
    *["binary_cross_entropy(t([0., 1.]), t([0., 1.]))", "binary_cross_entropy(o(3) / 2, r(3))"],
    *["binary_cross_entropy_with_logits(r(3), o(4))", "binary_cross_entropy_with_logits(r(3), o(3).double())"],
    *["binary_cross_entropy_with_logits(r(3), o(3).long())", "binary_cross_entropy_with_logits(t([1, 2]), o(2))"],
    *["binary_cross_entropy_with_logits(r(3, 4), o(3, 4), pos_weight=o(3))"],
    *["binary_cross_entropy_with_logits(r(3, 4), o(3, 4), weight=T.ones(4, requires_grad=True))"],
    *["binary_cross_entropy_with_logits(t([200., -200., 0.]), t([1., 0., .5]), reduction='none')"],
    *["binary_cross_entropy_with_logits(t([200., -200., 0.]), t([0., 1., .5]), reduction='none')"],
    *["binary_cross_entropy_with_logits(r(), t(1.))"],
    *["soft_margin_loss(r(3, 4), T.ones(3, 4, requires_grad=True))", "soft_margin_loss(r(3, 4), o(4))", "kl_div(r(3, 4), r(3, 4))"],
    *["kl_div(r(3, 4), r(4).exp())", "poisson_nll_loss(r(3), r(3), reduction='foo')"],
    *["gaussian_nll_loss(r(3, 4), r(3, 4), -o(3, 4))", "gaussian_nll_loss(r(3, 4), r(3, 4), o(3))"],
    *["gaussian_nll_loss(r(3, 4), r(3, 4), o(2))", "gaussian_nll_loss(r(3), r(3), -1.)"],
    *["margin_ranking_loss(r(3, 4), r(3, 4), o(2, 3, 4))", "margin_ranking_loss(r(3, 4), r(4), o(3))"],
    *["cosine_embedding_loss(r(3, 4), r(3, 4), o(4))", "cosine_embedding_loss(r(3, 4), r(3, 4), o(3, 4))"],
    *["cosine_embedding_loss(r(4), r(4), t(1))", "cosine_similarity(t([1, 2]), t([1, 2]))", "cosine_similarity(r(3, 4), r(5))"],
    *["cosine_similarity(r(4), r(3, 4), -1)", "cosine_similarity(z(2, 3), r(2, 3))"],
    *["triplet_margin_loss(r(3, 4), r(3, 4), r(3, 4), margin=-1)", "triplet_margin_loss(r(3, 4), r(3, 4), r(4))"],
    *["multilabel_soft_margin_loss(r(3, 4), o(3, 3))", "multilabel_soft_margin_loss(r(3, 4), o(4))"],
    *["embedding(t([0, 3]), r(3, 4))", "embedding(t([0., 1.]), r(3, 4))", "embedding(t([0, 1]), r(3, 4), padding_idx=5)"],
    *["embedding(t([0, 1]), r(4))", "embedding(t([[0, 1], [2, 0]]), r(3, 4))"],
    *["embedding(t([0, 1]), r(3, 4), max_norm=0.5)", "embedding(t(1), r(3, 4))", "one_hot(t([0, 2]))", "one_hot(t([0, 2]), 2)"],
    *["one_hot(t([0, -2]))", "one_hot(t([0.]))", "one_hot(z(0).long())", "one_hot(t([[0, 2]]), 4)"],
    *["one_hot(z(0, 2).long(), 3)", "one_hot(t(1), 3)", "layer_norm(r(3, 4), (3,))", "layer_norm(r(3, 4), 4)"],
    *["layer_norm(r(3, 4), (4,), o(3))", "layer_norm(r(3, 4), ())", "layer_norm(r(3, 4).t(), (3,))"],
    *["linear(r(3, 4), r(2, 3))", "pad(r(3, 4), (1, 2, 3))", "pad(r(3, 4), (1, 1, 1, 1, 1, 1))", "pad(r(3, 4), (4, 1), mode='reflect')"],
    *["pad(r(3, 4), (1, 5), mode='circular')", "pad(r(3, 4), (1, 1), mode='foo')"],
    *["pad(t([[1, 2], [3, 4]]), (1, 1), value=9)", "pad(t([True, False]), (1, 0))", "pad(r(3, 4), ())", "normalize(z(2, 3))"],
    *["softplus(t([50., -50., 0.]))", "glu(r(3))", "gelu(r(3), approximate='foo')"],
]


@pytest.mark.parametrize("call", EXPRESSIONS)
def test_expressions(call):
    same_expression(F + call, names="label_smoothing" not in call)


WARNED = [
    *["mse_loss(r(3, 4), r(4))", "l1_loss(r(3), r(3, 1))", "huber_loss(r(3), r(2, 3))", "kl_div(r(3), r(3).exp())", "softmax(r(3, 4))"],
    *["log_softmax(r(3))", "softmin(r(2, 3, 4))", "mse_loss(r(3), r(3), size_average=True)"],
]


@pytest.mark.parametrize("call", WARNED)
def test_warnings(call):
    said = []
    for library in LIBRARIES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            eval(F + call, environment(library))
        said.append([(warning.category, str(warning.message)) for warning in caught])
    assert len(said[1]) == 1
    assert said[1][0][0] is said[0][0][0]
    assert said[1][0][1].startswith(first_sentence(said[0][0][1]))


def test_positions_of_warnings():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ndgrad.nn.functional.mse_loss(ndgrad.zeros(3), ndgrad.zeros(3, 1))
    assert caught[0].filename == __file__


# ---------------------------------------------------------------- special points
POINTS = [
    *["smooth_l1_loss(x, z)", "huber_loss(x, z)", "l1_loss(x, z)", "smooth_l1_loss(x, z, beta=0)"],
    *["hinge_embedding_loss(x, -T.ones_like(x))", "margin_ranking_loss(x, z, T.ones_like(x))"],
    *["binary_cross_entropy_with_logits(x, z)", "cosine_similarity(x[None], z[None])", "normalize(x, dim=0)", "normalize(z * x, dim=0)"],
    *["pairwise_distance(x, z)", "relu(x)", "relu6(x * 6)", "hardtanh(x)"],
    *["soft_margin_loss(x * 100, x.detach().sign())", "kl_div(x, z)", "softplus(x * 30)", "leaky_relu(x)", "elu(x)"],
    *["hardshrink(x, 1.0)", "softshrink(x, 1.0)", "hardswish(x * 3)"],
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("call", POINTS)
def test_gradients_at_kinks(call):
    results = []
    for library in LIBRARIES:
        x = library.tensor([-1.0, 0.0, 1.0], dtype=library.float64, requires_grad=True)
        out = eval(F + call, {"T": library, "x": x, "z": library.zeros(3, dtype=library.float64)})
        results.append(library.autograd.grad(out.sum(), x)[0].tolist())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-15)


def test_binary_cross_entropy_at_its_ends():
    results = []
    for library in LIBRARIES:
        x = library.tensor([0.0, 1.0, 0.0, 1.0, 0.5], dtype=library.float64, requires_grad=True)
        y = library.tensor([0.0, 1.0, 1.0, 0.0, 0.5], dtype=library.float64, requires_grad=True)
        out = library.nn.functional.binary_cross_entropy(x, y, reduction="none")
        results.append([out.tolist(), *(g.tolist() for g in library.autograd.grad(out.sum(), (x, y)))])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_logits_far_from_zero_keep_their_digits():
    """Where torch subtracts two large numbers, the loss is computed so that small values survive."""
    x = ndgrad.tensor([-20.0, 20.0, -90.0])
    out = ndgrad.nn.functional.binary_cross_entropy_with_logits(x, ndgrad.tensor([0.0, 1.0, 0.0]), reduction="none")
    np.testing.assert_allclose(out.numpy(), [math.exp(-20), math.exp(-20), math.exp(-90)], rtol=1e-5)


# ---------------------------------------------------------------- parameters
PARAMETERS = [
    *["T.nn.Parameter(o(2))", "T.nn.Parameter()", "T.nn.Parameter(o(2), requires_grad=False)", "T.nn.Parameter(t([1, 2]), False)"],
    *["T.nn.Parameter(o(2, 2).t())"],
    *["isinstance(T.nn.Parameter(o(2)), T.Tensor)", "isinstance(o(2), T.nn.Parameter)", "T.nn.Parameter(o(2)).is_leaf"],
    *["T.nn.Parameter(t([1, 2]))", "type(T.nn.Parameter(o(2)) * 2) is T.Tensor"],
]


@pytest.mark.parametrize("expression", PARAMETERS)
def test_parameters(expression):
    theirs, ours = evaluate(torch, expression), evaluate(ndgrad, expression)
    assert type(theirs[1]) is type(ours[1])
    if theirs[1] is None:
        assert repr(theirs[0]) == repr(ours[0])
    else:
        assert first_sentence(str(ours[1])).startswith(first_sentence(str(theirs[1])).split(" (")[0])


def test_in_place_activations():
    for name in ("relu", "elu", "selu", "celu", "leaky_relu", "hardtanh", "silu", "mish", "hardswish", "hardsigmoid", "relu6"):
        results = []
        for library in LIBRARIES:
            x = library.tensor([-1.0, 0.5, 2.0], dtype=library.float64, requires_grad=True)
            y = x * 2
            out = getattr(library.nn.functional, name)(y, inplace=True)
            assert out is y
            results.append((y.tolist(), library.autograd.grad(y.sum(), x)[0].tolist()))
        np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-7, err_msg=name)
