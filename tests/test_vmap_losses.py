"""Losses and layers inside `vmap` whose weights and targets differ between the examples too: values, gradients, gradients of gradients."""

import itertools
import warnings

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.func import grad, vmap
from ndgrad.nn import functional

SIZE = 3
numbers = np.random.default_rng(0)


def uniform(*shape):
    return torch.tensor(numbers.uniform(0.1, 0.9, (SIZE, *shape)))


def labels(high, *shape, ignored=False):
    made = torch.tensor(numbers.integers(0, high, (SIZE, *shape)))
    if ignored:
        made.view(-1)[1] = -100
    return made


CASES = {}
for how in ("none", "mean", "sum"):
    for shape, target in (((5,), ()), ((4, 5), (4,)), ((2, 5, 3), (2, 3)), ((2, 5, 3, 2), (2, 3, 2))):
        for smoothing, ignored in itertools.product((0.0, 0.1), (False, True)):
            CASES[f"cross entropy {how} {shape} {smoothing} {ignored}"] = (
                (uniform(*shape), labels(5, *target, ignored=ignored), uniform(5)),
                lambda x, y, w, how=how, smoothing=smoothing: functional.cross_entropy(x, y, w, reduction=how, label_smoothing=smoothing),
            )
    for kind in ("weight", "pos_weight"):
        CASES[f"logits {how} {kind}"] = (
            (uniform(2, 4), uniform(2, 4), uniform(4)),
            lambda x, y, w, how=how, kind=kind: functional.binary_cross_entropy_with_logits(x, y, reduction=how, **{kind: w}),
        )
    CASES[f"probabilities {how}"] = (
        (uniform(2, 4), uniform(2, 4), uniform(4)),
        lambda x, y, w, how=how: functional.binary_cross_entropy(x, y, w, reduction=how),
    )
for padding, scale in itertools.product((None, 1), (False, True)):
    CASES[f"embedding {padding} {scale}"] = (
        (uniform(5, 3), labels(5, 2, 4)),
        lambda w, i, padding=padding, scale=scale: functional.embedding(i, w, padding_idx=padding, scale_grad_by_freq=scale),
    )
CASES["layer norm"] = ((uniform(2, 4), uniform(4), uniform(4)), lambda x, w, b: functional.layer_norm(x, (4,), w, b))
CASES["pad"] = ((uniform(2, 4),), lambda x: functional.pad(x, (1, 2, -1, 3), value=2.0))


def number(body):
    return lambda *operands: (lambda out: (out * out.sin()).sum())(body(*operands))


def steepness(body):
    first = grad(number(body))
    return grad(lambda *operands: first(*operands).square().sum())


@pytest.mark.parametrize("name", CASES)
def test_as_one_example_after_the_other(name: str) -> None:
    operands, body = CASES[name]
    for mapped in itertools.product((True, False), repeat=len(operands)):
        if not any(mapped):
            continue
        given = [each if flag else each[0] for each, flag in zip(operands, mapped, strict=True)]
        for function in (body, grad(number(body)), steepness(body)):
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # no loop
                found = vmap(function, tuple(0 if flag else None for flag in mapped))(*given)
            rows = [function(*(x[index] if flag else x for x, flag in zip(given, mapped, strict=True))).numpy() for index in range(SIZE)]
            np.testing.assert_allclose(found.numpy(), np.stack(rows), rtol=1e-9, atol=1e-12)
