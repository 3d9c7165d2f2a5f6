"""Edges where a kernel or an argument could differ from torch: signs of zeros, infinite logits, refusals, dtypes, node names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ndgrad
from tests.oracle.translation import Outcome, difference

LOGITS = "T.nn.functional.binary_cross_entropy_with_logits"
HUBER = "T.nn.functional.huber_loss"
P = "T.full((2,), 0.5, requires_grad=True)"
LEAF = "T.zeros(2, requires_grad=True)"
PAIR = "T.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])"
SIGNS = "T.tensor([1.0, -1.0])"

CASES = [
    *(f"{LOGITS}(T.tensor([{x}]), T.tensor([{y}]))" for x in ("T.inf", "T.nan", "3e38", "-3e38") for y in (0.0, 0.5, 1.0)),
    *(f"{LOGITS}(T.full(({size},), {x}), T.zeros({size}))" for x in ("T.inf", "-T.inf", "-90.0") for size in (1, 64, 100)),
    *(f"{LOGITS}(T.tensor({x}), T.tensor({y}))" for x, y in (("T.inf", 0.0), ("T.inf", 1.0), ("-T.inf", 0.0))),
    *(f"1 / T.nn.functional.{name}(T.tensor(-0.0))" for name in ("elu", "selu", "celu", "relu")),
    *(f"1 / T.nn.functional.{name}(T.full(({size},), -0.0))" for name in ("elu", "selu") for size in (7, 64, 5000)),
    *(f"T.nn.functional.{name}(T.tensor([T.nan, T.inf, -T.inf]))" for name in ("elu", "selu", "celu")),
    *("1 / T.tensor(-0.0).erfinv()", "T.tensor([-1.0, 1.0, 2.0]).erfinv()", "T.tensor([1.0, 0, 2]).norm(0)", "T.ones(2, 3).norm(0, 0)"),
    f"{HUBER}(T.tensor([1.0, 2]), T.tensor([3.0, 5], dtype=T.float64))",
    f"{HUBER}(T.tensor([1.0, 2]).half(), T.tensor([3.0, 5]), reduction='none')",
    f"{HUBER}(T.tensor([1.0, 2], dtype=T.float64), T.tensor([3.0, 5]), reduction='sum')",
    *("T.isnan(T.ones(2), out=T.empty(2))", "T.relu(T.ones(2), out=T.empty(2))", "T.isfinite(T.ones(2), out=T.empty(2))"),
    *("T.zeros(2).copy_(2)", "T.zeros(1, 1, 2).squeeze_(0, 1)", "T.zeros(1, 1, 2).squeeze(0, 1)", "T.zeros(1, 1, 2).squeeze_((0, 1))"),
    *("T.tensor(1.0).unflatten(0, (1,))", "T.ones(3).unflatten(1, (1, 3))"),
    *(f"T.zeros(2).logical_{name}_({value})" for name in ("and", "or", "xor") for value in (2, True, "T.ones(2)")),
    *(f"T.ones(2, 2).{name}(0.3)" for name in ("tril", "tril_", "triu", "triu_")),
    *(f"{LEAF}.clone().{call}.grad_fn.name()" for call in ("polygamma_(1)", "polygamma(1)", "conj_physical_()", "bernoulli_(0.5)")),
    "T.zeros(2, requires_grad=True, dtype=T.complex64).clone().conj_physical_().grad_fn.name()",
    *(f"T.zeros(2).bernoulli_({P}).grad_fn.name()", f"{LEAF}.clone().bernoulli_({P}).grad_fn.name()"),
    f"[p := {P}, T.zeros(2).bernoulli_(p).sum().backward(), p.grad][2]",
    f"{LEAF}.bernoulli_({P})",
    *("T.arange(6).reshape(2, 3).narrow_copy(1, 1, 2)", "T.narrow_copy(T.arange(6), 0, 4, 3)", "T.narrow_copy(T.arange(6), 0, -2, 2)"),
    *(f"T.layer_norm({PAIR}, (3,), T.ones(3), T.zeros(3))", f"T.rms_norm({PAIR}, (3,))"),
    *("T.embedding(T.eye(3), T.tensor([2, 0]))", f"T.kl_div({PAIR}, {PAIR}.exp())", f"T.kl_div({PAIR}, {PAIR}, 2, log_target=True)"),
    *(f"T.binary_cross_entropy_with_logits({PAIR}, {PAIR}.sigmoid(), reduction={how})" for how in (0, 1, 2)),
    f"T.cosine_embedding_loss({PAIR}, {PAIR} + 1, {SIGNS})",
    f"T.binary_cross_entropy_with_logits({PAIR}, {PAIR}.sigmoid())",
    f"T.hinge_embedding_loss({PAIR}, {PAIR}.sign())",
    f"T.hinge_embedding_loss({PAIR}, {PAIR}.sign(), 1.0, 2)",
    f"T.margin_ranking_loss({PAIR}[:, 0], {PAIR}[:, 1], {SIGNS}, 0.5)",
    f"T.poisson_nll_loss({PAIR}, {PAIR}.exp(), True, False, 1e-8, 1)",
    f"T.triplet_margin_loss({PAIR}, {PAIR} + 1, {PAIR} - 2)",
    *(f"T.special.{name}(T.tensor([0.25, 0.5]))" for name in ("digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln")),
    *(f"T.special.{name}(T.tensor([0.25, 0.5]))" for name in ("log1p", "logit", "psi", "round", "sinc")),
    *(f"T.special.{name}({PAIR}, 1)" for name in ("log_softmax", "logsumexp", "softmax")),
    *("T.special.polygamma(1, T.ones(2))", "T.special.xlogy(T.ones(2), T.tensor([2.0, 3.0]))", "T.special.erf(T.ones(2), out=T.empty(0))"),
    *(f"T.linalg.vecdot({PAIR}, {PAIR} * 2)", f"T.linalg.vecdot({PAIR} * 1j, {PAIR} * 2j, dim=0)", f"T.linalg.matmul({PAIR}, {PAIR}.t())"),
    *("T.linalg.diagonal(T.arange(8).reshape(2, 2, 2))", "T.linalg.diagonal(T.arange(8).reshape(2, 2, 2), offset=1, dim1=0)"),
]


@pytest.mark.parametrize("expression", CASES)
def test_edge(expression: str) -> None:
    ours, theirs = (Outcome(evaluate, expression, side) for side in (ndgrad, torch))
    if theirs.error is not None:
        assert type(ours.error) is type(theirs.error), f"torch says {theirs.said()}, ours {ours.said()}"
        return
    assert ours.error is None, ours.said()
    assert not difference(ours.value, theirs.value)


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("target", [0.5, 1.0])
def test_a_logit_of_minus_infinity_on_the_wrong_side(size: int, target: float) -> None:
    """The loss is infinite as it is on the other side, where torch subtracts one infinity from another."""
    logits, targets = ndgrad.full((size,), -ndgrad.inf), ndgrad.full((size,), target)
    assert ndgrad.nn.functional.binary_cross_entropy_with_logits(logits, targets).item() == ndgrad.inf


def evaluate(expression: str, side: Any) -> Any:
    side.manual_seed(0)
    return eval(expression, {"T": side})
