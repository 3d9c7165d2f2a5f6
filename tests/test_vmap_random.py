"""Random numbers inside `vmap`: an error, the same for all examples, or different ones; nested calls decide each for itself."""

import itertools

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.func import vmap
from ndgrad.nn import functional, init

ERROR = "vmap: called random operation while in randomness error mode"
UNBATCHED = "vmap: Cannot ask for different inplace randomness on an unbatched tensor"
OUT = "vmap: We do not support calling out variants of random operations inside of vmap"

#: What draws a tensor of one example's shape, and what draws the same numbers for a tensor of any shape outside of vmap.
DRAWS = {
    "rand": (lambda x: torch.rand(4), lambda shape: torch.rand(shape)),
    "randn": (lambda x: torch.randn(4), lambda shape: torch.randn(shape)),
    "randint": (lambda x: torch.randint(10, (4,)), lambda shape: torch.randint(10, shape)),
    "rand_like": (torch.rand_like, lambda shape: torch.rand(shape)),
    "randn_like": (torch.randn_like, lambda shape: torch.randn(shape)),
    "randint_like": (lambda x: torch.randint_like(x, 10), lambda shape: torch.randint(10, shape).float()),
    "normal": (lambda x: torch.normal(1.0, 2.0, (4,)), lambda shape: torch.normal(1.0, 2.0, shape)),
    "normal_": (lambda x: torch.zeros_like(x).normal_(), lambda shape: torch.randn(shape)),
    "uniform_": (lambda x: torch.zeros_like(x).uniform_(1, 3), lambda shape: torch.empty(shape).uniform_(1, 3)),
    "random_": (lambda x: torch.zeros_like(x).random_(0, 10), lambda shape: torch.empty(shape).random_(0, 10)),
    "exponential_": (lambda x: torch.zeros_like(x).exponential_(), lambda shape: torch.empty(shape).exponential_()),
    "cauchy_": (lambda x: torch.zeros_like(x).cauchy_(), lambda shape: torch.empty(shape).cauchy_()),
    "log_normal_": (lambda x: torch.zeros_like(x).log_normal_(), lambda shape: torch.empty(shape).log_normal_()),
    "geometric_": (lambda x: torch.zeros_like(x).geometric_(0.4), lambda shape: torch.empty(shape).geometric_(0.4)),
    "bernoulli_": (lambda x: torch.zeros_like(x).bernoulli_(0.4), lambda shape: torch.empty(shape).bernoulli_(0.4)),
    "bernoulli": (lambda x: torch.bernoulli(torch.full((4,), 0.4)), lambda shape: torch.bernoulli(torch.full(shape, 0.4))),
    "normal_of": (lambda x: torch.normal(torch.ones(4), 2.0), lambda shape: torch.normal(torch.ones(shape), 2.0)),
    "dropout": (lambda x: functional.dropout(torch.ones_like(x)), lambda shape: functional.dropout(torch.ones(shape))),
    "dropout_": (lambda x: torch.dropout_(torch.ones_like(x), 0.5, True), lambda shape: functional.dropout(torch.ones(shape))),
    "native_dropout": (lambda x: torch.native_dropout(x + 1, 0.5, True)[0], lambda shape: functional.dropout(torch.ones(shape))),
    "alpha_dropout": (
        lambda x: functional.alpha_dropout(torch.ones_like(x), training=True),
        lambda shape: functional.alpha_dropout(torch.ones(shape), training=True),
    ),
    "dropout1d": (
        lambda x: functional.dropout1d(torch.ones_like(x)[:, None])[:, 0],
        lambda shape: functional.dropout(torch.ones(shape)),
    ),
    "gumbel_softmax": (
        lambda x: functional.gumbel_softmax(torch.zeros_like(x)),
        lambda shape: functional.gumbel_softmax(torch.zeros(shape)),
    ),
    "rrelu": (
        lambda x: functional.rrelu(x - 1, training=True),
        lambda shape: functional.rrelu(torch.full(shape, -1.0), training=True),
    ),
    "multinomial": (
        lambda x: torch.multinomial(torch.ones(9), 4, replacement=True),
        lambda shape: torch.multinomial(torch.ones((*shape[:-1], 9)).reshape(-1, 9), 4, replacement=True).reshape(shape),
    ),
    "kaiming": (
        lambda x: init.kaiming_uniform_(x.new_empty(2, 2)).reshape(4),
        lambda shape: torch.stack([init.kaiming_uniform_(torch.empty(2, 2)).reshape(4) for _ in np.ndindex(shape[:-1])]).reshape(shape),
    ),
}
MODES = ("same", "different")


def seeded(function, *args):
    torch.manual_seed(0)
    return function(*args).numpy()


def expected(draw, modes, sizes):
    """The numbers of the levels that are different, drawn at once, and again for each example of the others."""
    own = tuple(size for mode, size in zip(modes, sizes, strict=True) if mode == "different")
    drawn = seeded(draw, (*own, 4))
    front = tuple(size if mode == "different" else 1 for mode, size in zip(modes, sizes, strict=True))
    return np.broadcast_to(drawn.reshape(*front, 4), (*sizes, 4))


@pytest.mark.parametrize("name", DRAWS)
def test_no_random_numbers_unless_it_is_said_how(name: str) -> None:
    with pytest.raises(RuntimeError, match=ERROR):
        vmap(DRAWS[name][0])(torch.zeros(3, 4))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", DRAWS)
def test_one_level(name: str, mode: str) -> None:
    body, draw = DRAWS[name]
    found = seeded(vmap(body, randomness=mode), torch.zeros(3, 4))
    np.testing.assert_array_equal(found, expected(draw, [mode], [3]))


@pytest.mark.parametrize("modes", [*itertools.product(MODES, repeat=2)], ids="-".join)
@pytest.mark.parametrize("name", DRAWS)
def test_two_levels(name: str, modes: tuple[str, str]) -> None:
    body, draw = DRAWS[name]
    found = seeded(vmap(vmap(body, randomness=modes[1]), randomness=modes[0]), torch.zeros(2, 3, 4))
    np.testing.assert_array_equal(found, expected(draw, modes, [2, 3]))


@pytest.mark.parametrize("modes", [("error", "different"), ("different", "error"), ("same", "error"), ("error", "same")], ids="-".join)
def test_every_level_must_allow_them(modes: tuple[str, str]) -> None:
    with pytest.raises(RuntimeError, match=ERROR):
        vmap(vmap(torch.randn_like, randomness=modes[1]), randomness=modes[0])(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("mode", MODES)
def test_numbers_differ_although_nothing_else_does(mode: str) -> None:
    # of an unmapped operand, too
    found = seeded(vmap(lambda x: functional.dropout(torch.ones(50)), randomness=mode), torch.zeros(3))
    assert (found == found[0]).all() == (mode == "same")


@pytest.mark.parametrize("mode", MODES)
def test_permutations(mode: str) -> None:
    found = seeded(vmap(lambda x: torch.randperm(20), randomness=mode), torch.zeros(3))
    assert (np.sort(found) == np.arange(20)).all()
    assert (found == found[0]).all() == (mode == "same")
    torch.manual_seed(0)
    np.testing.assert_array_equal(found[0], torch.randperm(20).numpy())


def test_different_examples_draw_by_their_own_parameters() -> None:
    p = torch.rand(3, 40)
    torch.manual_seed(1)
    found = vmap(torch.bernoulli, randomness="different")(p)
    torch.manual_seed(1)
    assert torch.equal(found, torch.bernoulli(p))
    torch.manual_seed(1)
    found = vmap(torch.normal, in_dims=(0, None), randomness="different")(p, torch.arange(40.0))
    torch.manual_seed(1)
    assert torch.equal(found, torch.normal(p, torch.arange(40.0).expand(3, 40)))
    torch.manual_seed(1)
    found = vmap(lambda weights: torch.multinomial(weights, 5), randomness="different")(p)
    torch.manual_seed(1)
    assert torch.equal(found, torch.multinomial(p, 5))
    torch.manual_seed(1)
    found = vmap(lambda each: torch.zeros_like(each).bernoulli_(each), randomness="different")(p)
    torch.manual_seed(1)
    assert torch.equal(found, torch.bernoulli(p))


@pytest.mark.parametrize("draw", [torch.bernoulli, lambda p: torch.normal(p, 1.0), lambda p: torch.multinomial(p, 5)])
def test_same_numbers_for_different_parameters_come_from_the_same_state(draw) -> None:
    p = torch.rand(3, 40)
    found = seeded(vmap(draw, randomness="same"), p)
    for row, probabilities in zip(found, p, strict=True):
        np.testing.assert_array_equal(row, seeded(draw, probabilities))
    # what is drawn next is what one example left behind
    torch.manual_seed(0)
    vmap(draw, randomness="same")(p)
    after = torch.rand(1).item()
    torch.manual_seed(0)
    draw(p[2])
    assert after == torch.rand(1).item()


def test_the_probabilities_of_all_examples_are_checked() -> None:
    with pytest.raises(RuntimeError, match="Expected p_in >= 0 && p_in <= 1"):
        vmap(torch.bernoulli, randomness="different")(torch.tensor([[0.5], [1.5]]))
    with pytest.raises(RuntimeError, match="expects all elements of std >= 0"):
        vmap(lambda std: torch.normal(0.0, std), randomness="same")(torch.tensor([1.0, -1.0]))
    with pytest.raises(RuntimeError, match="invalid multinomial distribution"):
        vmap(lambda weights: torch.multinomial(weights, 1), randomness="different")(torch.tensor([[0.5, 1], [0, 0]]))


@pytest.mark.parametrize("fill", ["normal_", "uniform_", "bernoulli_", "exponential_"])
def test_filling_what_all_examples_share(fill: str) -> None:
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match=UNBATCHED):
        vmap(lambda x: getattr(shared, fill)() + x, randomness="different")(torch.zeros(3, 4))
    assert not shared.any()
    found = seeded(vmap(lambda x: getattr(shared, fill)() + x, randomness="same"), torch.zeros(3, 4))
    np.testing.assert_array_equal(found, np.broadcast_to(shared.numpy(), (3, 4)))
    with pytest.raises(RuntimeError, match=UNBATCHED):  # mapped, but not by the level that is to be different
        vmap(lambda x: vmap(lambda y: getattr(torch.zeros_like(x), fill)(), randomness="different")(torch.zeros(2)), randomness="same")(
            torch.zeros(3, 4)
        )


def test_filling_by_probabilities_that_differ() -> None:
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="is not possible because there exists a Tensor `other` in extra_args"):
        vmap(lambda p: shared.bernoulli_(p), randomness="same")(torch.ones(3, 4))
    assert not shared.any()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.randn(3, out=torch.zeros(3)),
        lambda: torch.randint(3, (3,), out=torch.zeros(3).long()),
        lambda: torch.randperm(3, out=torch.zeros(3).long()),
        lambda: torch.normal(torch.zeros(3), 1.0, out=torch.zeros(3)),
    ],
)
def test_out(draw) -> None:
    with pytest.raises(RuntimeError, match=OUT):
        vmap(lambda x: draw(), randomness="different")(torch.zeros(3))


def test_no_numbers_no_error() -> None:
    x = torch.ones(3, 4)
    assert torch.equal(vmap(lambda one: functional.dropout(one, training=False))(x), x)
    assert torch.equal(vmap(lambda one: functional.dropout(one, 0.0))(x), x)
    assert torch.equal(vmap(lambda one: functional.dropout(one, 1.0))(x), 0 * x)
    assert torch.equal(vmap(functional.rrelu)(x), x)


def test_generators_and_seeds() -> None:
    generator = torch.Generator().manual_seed(5)
    found = vmap(lambda x: torch.randn(2, generator=generator), randomness="different")(torch.zeros(3))
    assert torch.equal(found, torch.randn(3, 2, generator=generator.manual_seed(5)))

    def seeding(x):
        torch.manual_seed(7)
        return torch.rand_like(x)

    found = vmap(seeding, randomness="different")(torch.zeros(3, 2))
    torch.manual_seed(7)
    assert torch.equal(found, torch.rand(3, 2))


def test_initialisations_that_look_at_what_they_drew() -> None:
    x = torch.zeros(3, 4, 2)
    found = vmap(lambda one: init.trunc_normal_(one.clone(), a=-0.5, b=0.5), randomness="different")(x)
    assert (found.abs() <= 0.5).all() and len({*found.reshape(-1).tolist()}) == found.numel()
    found = vmap(lambda one: init.orthogonal_(one.clone()), randomness="different")(x)
    np.testing.assert_allclose((found.mT @ found).numpy(), np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-6)
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("mode", MODES)
def test_gradients_through_a_mask(mode: str) -> None:
    x = torch.ones(3, 20, requires_grad=True)
    out = vmap(lambda one: functional.dropout(one * 2), randomness=mode)(x)
    (found,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(found, out.detach())


def test_what_was_overwritten_has_no_gradient() -> None:
    x = torch.ones(3, 4, requires_grad=True)
    out = vmap(lambda one: (one * 2).normal_() * one, randomness="different")(x)
    (found,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(found, out.detach())


def test_nothing_changes_outside() -> None:
    torch.manual_seed(3)
    first = torch.randn(5)
    vmap(lambda x: x * 2, randomness="different")(first)
    torch.manual_seed(3)
    assert torch.equal(torch.randn(5), first)
