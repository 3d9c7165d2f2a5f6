"""Generators and random functions: known numbers (those that PyTorch prints), states, histories and refusals."""

import copy
import pickle
import threading

import numpy as np
import pytest

import ndgrad as nd

SEEDED = [
    (lambda: nd.rand(3), [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]),
    (lambda: nd.randn(5, 3).flatten()[:4], [0.3643381893634796, 0.13439632952213287, 0.16421625018119812, 0.3057610094547272]),
    (lambda: nd.randint(0, 10, (6,)), [5, 2, 9, 1, 8, 8]),
    (lambda: nd.randperm(6), [3, 2, 0, 4, 5, 1]),
    (lambda: nd.bernoulli(nd.full((8,), 0.5)), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    (lambda: nd.normal(nd.arange(3.0), 1.0), [0.16043701767921448, 0.3140815496444702, 0.4948582649230957]),
    (lambda: nd.multinomial(nd.arange(1.0, 6), 3), [4, 3, 0]),
    (lambda: nd.nn.functional.dropout(nd.ones(8), 0.5), [2.0, 0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 2.0]),
]


def test_known_numbers():
    """One sequence from one seed, so that every function must also leave the generator where PyTorch's leaves it."""
    nd.manual_seed(0)
    for draw, expected in SEEDED:
        np.testing.assert_allclose(draw().tolist(), expected, rtol=1e-6)


def test_seeds():
    assert nd.manual_seed(5) is nd.default_generator
    assert nd.initial_seed() == nd.random.initial_seed() == 5
    assert nd.Generator().initial_seed() == 67280421310721
    assert nd.Generator().manual_seed(-1).initial_seed() == 2**64 - 1
    assert nd.seed() == nd.initial_seed() != nd.seed()
    with pytest.raises(ValueError, match="Overflow"):
        nd.manual_seed(2**64)
    with pytest.raises(RuntimeError, match="expected a long"):
        nd.Generator().manual_seed(1.5)


def test_states():
    nd.manual_seed(1)
    nd.randn(3)
    state = nd.get_rng_state()
    first = nd.rand(4)
    nd.set_rng_state(state)
    assert nd.equal(first, nd.rand(4))
    generator = nd.Generator().manual_seed(3)
    twins = [generator.clone_state(), pickle.loads(pickle.dumps(generator)), copy.deepcopy(generator)]
    expected = nd.rand(3, generator=generator)
    for twin in twins:
        assert nd.equal(expected, nd.rand(3, generator=twin))
    for wrong, error in ((nd.zeros(3), TypeError), (nd.zeros(3, dtype=nd.uint8), RuntimeError), (3, TypeError)):
        with pytest.raises(error):
            generator.set_state(wrong)


def test_fork():
    nd.manual_seed(2)
    before = nd.get_rng_state()
    with nd.random.fork_rng():
        nd.manual_seed(99)
        nd.rand(3)
    assert nd.equal(before, nd.get_rng_state())
    with pytest.raises(ValueError, match="inside"), nd.random.fork_rng():
        nd.rand(3)
        raise ValueError("inside")
    assert nd.equal(before, nd.get_rng_state())


def test_fills_erase_the_history():
    x = nd.ones(4).requires_grad_()
    y = x * 2
    y.uniform_()
    assert y.grad_fn.name() == "UniformBackward0" and y._version == 1
    y.sum().backward()
    assert x.grad.tolist() == [0.0] * 4


def test_fills_through_views_keep_the_rest():
    x = nd.ones(4).requires_grad_()
    y = x * 2
    y[:2].normal_()
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 2.0, 2.0]


def test_a_saved_value_that_is_filled_is_noticed():
    x = nd.ones(3).requires_grad_()
    y = x.exp()
    y.random_(5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
        x.exp()  # never reached: the gradient of exp needs what was overwritten
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.normal_()
    with nd.no_grad():
        assert x.normal_() is x and x._version == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.uniform_(2, 1), RuntimeError, "found from=2 > to=1"),
        (lambda x: x.normal_(0, -1), RuntimeError, "normal expects std >= 0.0, but found std -1"),
        (lambda x: x.bernoulli_(2), RuntimeError, "expects p to be in"),
        (lambda x: x.bernoulli_(nd.full((2,), 1.5)), RuntimeError, "Expected p_in"),
        (lambda x: x.exponential_(0), RuntimeError, "lambda > 0.0"),
        (lambda x: x.geometric_(1), RuntimeError, r"p to be in \(0, 1\)"),
        (lambda x: x.cauchy_(0, -1), RuntimeError, "sigma > 0.0"),
        (lambda x: x.log_normal_(0, 0), RuntimeError, "std > 0.0"),
        (lambda x: x.random_(5, 2), RuntimeError, "from=5 >= to=2"),
        (lambda x: x.int().uniform_(), NotImplementedError, "check_uniform_bounds"),
        (lambda x: nd.zeros(1).expand(3).uniform_(), RuntimeError, "single memory location"),
        (lambda x: nd.randint(5, 3, (2,)), RuntimeError, "from=5 >= to=3"),
        (lambda x: nd.randperm(300, dtype=nd.uint8), RuntimeError, "without overflow"),
        (lambda x: nd.multinomial(nd.zeros(3), 1), RuntimeError, "sum of probabilities <= 0"),
        (lambda x: nd.nn.functional.dropout(x, 2.0), ValueError, "between 0 and 1"),
    ],
)
def test_what_is_refused_draws_and_writes_nothing(call, error, message):
    nd.manual_seed(0)
    before, x = nd.get_rng_state(), nd.ones(2)
    with pytest.raises(error, match=message):
        call(x)
    assert nd.equal(before, nd.get_rng_state())
    assert x.tolist() == [1.0, 1.0] and x._version == 0


def test_dropout_scales_and_passes_gradients_of_what_it_keeps():
    nd.manual_seed(0)
    x = nd.ones(1000).requires_grad_()
    y = nd.nn.functional.dropout(x, 0.25)
    kept = y.detach() != 0
    assert 650 < int(kept.sum()) < 850
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept.numpy(), 1 / 0.75, 0), rtol=1e-6)
    assert nd.nn.functional.dropout(x, 0.5, training=False) is x
    whole = nd.nn.functional.dropout2d(nd.ones(4, 5, 3, 3), 0.5)
    assert all(len(set(channel.flatten().tolist())) == 1 for sample in whole for channel in sample)


def test_moments():
    nd.manual_seed(0)
    x = nd.randn(200_000)
    assert abs(float(x.mean())) < 0.01 and abs(float((x * x).mean()) - 1) < 0.02
    u = nd.rand(200_000, dtype=nd.float64)
    assert abs(float(u.mean()) - 0.5) < 0.005 and 0 <= float(u.min()) < float(u.max()) < 1


def test_threads_share_the_generator():
    nd.manual_seed(0)
    serial = sorted(nd.rand(4000).tolist())
    nd.manual_seed(0)
    found = []
    workers = [threading.Thread(target=lambda: found.extend(nd.rand(1000).tolist())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == serial


def test_initialisers():
    nd.manual_seed(0)
    w = nd.empty(50, 30).requires_grad_()
    init = nd.nn.init
    assert init.xavier_uniform_(w) is w and w.is_leaf and w.requires_grad
    assert float(w.detach().abs().max()) <= (6 / 80) ** 0.5
    init.orthogonal_(w)
    np.testing.assert_allclose((w.t() @ w).detach().numpy(), np.eye(30), atol=1e-5)
    init.trunc_normal_(w, std=1.0, a=-0.5, b=0.5)
    assert float(w.detach().abs().max()) <= 0.5
    init.trunc_normal_(w, std=1.0, a=1.9, b=2.5)
    assert float(w.detach().min()) >= 1.9 and float(w.detach().max()) <= 2.5
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.kaiming_normal_(nd.empty(3))
