"""Random numbers inside `vmap`, number for number as PyTorch draws them, and the errors where it refuses."""

import itertools
import warnings

import numpy as np
import pytest
import torch

import ndgrad
import ndgrad.func
import ndgrad.nn

DRAWS = {
    "rand": lambda T, x: T.rand(20),
    "randn": lambda T, x: T.randn(2),
    "randint": lambda T, x: T.randint(10, (2,)),
    "randperm": lambda T, x: T.randperm(5),
    "rand_like": lambda T, x: T.rand_like(x),
    "randn_like": lambda T, x: T.randn_like(x),
    "randint_like": lambda T, x: T.randint_like(x, 10),
    "normal of mean": lambda T, x: T.normal(x, 1.0),
    "normal of std": lambda T, x: T.normal(0.0, x + 1),
    "normal of both": lambda T, x: T.normal(T.zeros(2), x + 1),
    "normal, all alike": lambda T, x: T.normal(T.zeros(2), T.ones(2)),
    "normal of size": lambda T, x: T.normal(0.0, 1.0, (2,)),
    "normal_": lambda T, x: x.clone().normal_(),
    "normal_, all alike": lambda T, x: T.zeros(2).normal_(),
    "uniform_": lambda T, x: T.empty_like(x).uniform_(1, 2),
    "exponential_": lambda T, x: T.zeros_like(x).exponential_(),
    "cauchy_": lambda T, x: T.zeros_like(x).cauchy_(),
    "random_": lambda T, x: T.zeros_like(x).random_(0, 10),
    "geometric_": lambda T, x: T.zeros_like(x).geometric_(0.5),
    "bernoulli": lambda T, x: T.bernoulli(x + 0.5),
    "bernoulli, all alike": lambda T, x: T.bernoulli(T.full((2,), 0.5)),
    "bernoulli_ of tensor": lambda T, x: T.zeros_like(x).bernoulli_(T.tensor([0.5, 0.4])),
    "multinomial": lambda T, x: T.multinomial(x + 0.5, 3, replacement=True),
    "multinomial without replacement": lambda T, x: T.multinomial(x + 0.5, 2),
    "multinomial, all alike": lambda T, x: T.multinomial(T.ones(9), 3),
    "dropout": lambda T, x: T.nn.functional.dropout(x + 1),
    "dropout, all alike": lambda T, x: T.nn.functional.dropout(T.ones(2)),
    "dropout_": lambda T, x: T.dropout_(x + 1, 0.5, True),
    "dropout_, all alike": lambda T, x: T.dropout_(T.ones(2), 0.5, True),
    "dropout, evaluating": lambda T, x: T.nn.functional.dropout(x + 1, training=False),
    "dropout of nothing": lambda T, x: T.nn.functional.dropout(x + 1, 0.0),
    "dropout of all": lambda T, x: T.nn.functional.dropout(x + 1, 1.0),
    "native_dropout": lambda T, x: T.native_dropout(x + 1, 0.5, True)[0],
    "alpha_dropout": lambda T, x: T.nn.functional.alpha_dropout(x + 1, training=True),
    "dropout1d": lambda T, x: T.nn.functional.dropout1d(x[:, None] + 1),
    "gumbel_softmax": lambda T, x: T.nn.functional.gumbel_softmax(x),
    "generator": lambda T, x: T.randn(2, generator=T.Generator().manual_seed(1)),
    "xavier": lambda T, x: T.nn.init.xavier_uniform_(x.new_empty(2, 2)),
    "xavier, all alike": lambda T, x: T.nn.init.xavier_uniform_(T.empty(2, 2)),
    "orthogonal": lambda T, x: T.nn.init.orthogonal_(T.zeros_like(x)[None]),
    "out": lambda T, x: T.randn(2, out=T.zeros(2)),
}
MODES = ("error", "same", "different")
#: What ndgrad can do and PyTorch cannot: draw from one state for each example, and fill what another level is mapped over.
ONLY_HERE = (
    "Vmap does not currently support same randomness with a batched tensor input",
    "vmap: Cannot ask for different inplace randomness",
)
#: PyTorch's process ends there.
CRASHES = frozenset({"native_dropout"})


def outcome(library, body):
    library.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return body(library).numpy(), None
        except RuntimeError as error:
            return None, error


def compare(body, allowed=()):
    theirs, refused = outcome(torch, body)
    ours, error = outcome(ndgrad, body)
    if refused is None:
        assert error is None, error
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    elif error is None:
        assert str(refused).startswith(tuple(allowed)), refused
    else:
        first = str(refused).split(". ")[0]
        assert str(error).startswith((first, "vmap: called random operation while in randomness error mode")), (refused, error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DRAWS)
def test_one_level(name, mode):
    compare(lambda T: T.func.vmap(lambda x: DRAWS[name](T, x), randomness=mode)(T.zeros(3, 2)), ONLY_HERE[:1])


@pytest.mark.parametrize("modes", [*itertools.product(MODES, repeat=2)], ids="-".join)
@pytest.mark.parametrize("name", [name for name in DRAWS if name not in CRASHES])
def test_two_levels(name, modes):
    def body(T):
        inner = T.func.vmap(lambda x: DRAWS[name](T, x), randomness=modes[1])
        return T.func.vmap(inner, randomness=modes[0])(T.zeros(2, 3, 2))

    compare(body, ONLY_HERE)


@pytest.mark.parametrize("mapped", ["outer", "inner"])
@pytest.mark.parametrize("modes", [*itertools.product(MODES, repeat=2)], ids="-".join)
@pytest.mark.parametrize("name", ["randn_like", "normal_", "bernoulli", "multinomial", "dropout", "dropout_", "gumbel_softmax"])
def test_mapped_by_one_of_two_levels(name, modes, mapped):
    def body(T):
        def nested(x):
            return T.func.vmap(lambda y: DRAWS[name](T, x if mapped == "outer" else y), randomness=modes[1])(T.zeros(3, 2))

        return T.func.vmap(nested, randomness=modes[0])(T.zeros(2, 2))

    compare(body, ONLY_HERE)


@pytest.mark.parametrize("name", ["randn_like", "normal_", "rand_like", "exponential_"])
def test_examples_in_the_last_dim(name):
    compare(lambda T: T.func.vmap(lambda x: DRAWS[name](T, x), in_dims=1, randomness="different")(T.zeros(2, 3)))
