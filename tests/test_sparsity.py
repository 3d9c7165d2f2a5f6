"""Sparsity patterns of every operation and of random programs, what linear maps tell, and colourings of random patterns."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse

import ndgrad as torch
from ndgrad.core.observers import observing
from ndgrad.func.bilinear_patterns import bilinear_entries, labels_of
from ndgrad.func.colouring import column_colours, decompressed, decompressed_symmetric, number_of, star_colours
from ndgrad.func.linear_patterns import entries
from ndgrad.func.sparsity import Tracker, scattered
from ndgrad.testing.cases import Case, cases_of
from tests.programs import EXAMPLES, Machine, instructions
from tests.test_op_table import EVERYWHERE


def tracking(leaves: Any) -> Tracker:
    """A tracker for which the elements of all the leaves, one leaf after the other, are x."""
    sizes = [leaf.numel() for leaf in leaves]
    tracker = Tracker(sum(sizes))
    for leaf, size, end in zip(leaves, sizes, np.cumsum(sizes), strict=True):
        tracker.learn(leaf, scattered(np.arange(size), np.arange(end - size, end), size, sum(sizes)))
    return tracker


def as_dense(tracker: Tracker, tensor: Any) -> Any:
    pattern = tracker.pattern(tensor)
    return np.zeros((tensor.numel(), tracker.width), bool) if pattern is None else pattern.toarray()


def jacobian(y: Any, leaves: Any) -> Any:
    """The dense one, by one backward for each element of y."""
    rows = []
    for at in range(y.numel()):
        g = torch.zeros(y.numel(), dtype=y.dtype)
        g[at] = 1 + 1j if y.is_complex() else 1
        row = torch.autograd.grad(y, leaves, g.reshape(y.shape), retain_graph=True, materialize_grads=True)
        rows.append(np.concatenate([each.detach().numpy().reshape(-1) for each in row]))
    return np.array(rows).reshape(y.numel(), sum(leaf.numel() for leaf in leaves))


# ---------------------------------------------------------------- operations
def followed_cases(name: str) -> list[Case]:
    found = []
    for case in cases_of(name)[:6]:
        if case.leaves and not case.random and all(leaf.is_floating_point() for leaf in case.leaves):
            outs = [out for out in case.outputs() if out.requires_grad]
            if outs and sum(out.numel() for out in outs) <= 200:
                found.append(case)
    return found


#: Where the samples lie on one side of a threshold, have a zero factor, or a derivative that cancels: of these the pattern says more.
MORE = {
    "amax", "amin", "aminmax", "clamp", "clamp_max", "clamp_min", "corrcoef", "cosine_similarity", "cumprod", "detach_", "fmax", "fmin",
    "hardshrink", "hardtanh", "index_reduce", "index_reduce_", "linalg.matrix_norm", "linalg.norm", "linalg.vector_norm", "max", "maximum",
    "median", "min", "minimum", "nanmedian", "nn.functional.cosine_similarity", "nn.functional.hardshrink", "nn.functional.hardtanh",
    "nn.functional.hinge_embedding_loss", "nn.functional.margin_ranking_loss", "nn.functional.prelu", "nn.functional.relu6",
    "nn.functional.softshrink", "nn.functional.threshold", "nn.functional.triplet_margin_loss",
    "nn.functional.triplet_margin_with_distance_loss", "norm", "prelu", "prod", "relu6", "scatter_reduce", "scatter_reduce_", "softshrink",
    "threshold",
}  # fmt: skip


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_pattern_of_an_operation_is_that_of_its_jacobian(name: str) -> None:
    for case in followed_cases(name):
        tracker = tracking(case.leaves)
        with observing(tracker):
            outs = [out for out in case.outputs() if out.requires_grad]
        for out in outs:
            found, expected = as_dense(tracker, out), jacobian(out, case.leaves) != 0
            assert (found >= expected).all(), case
            assert name in MORE or (found == expected).all(), case


def test_no_operation_stands_on_the_list_in_vain() -> None:
    assert set(EVERYWHERE) >= MORE


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_pattern_of_a_backward_holds_for_the_hessian(name: str) -> None:
    for case in followed_cases(name)[:2]:
        tracker = tracking(case.leaves)
        with observing(tracker):
            outs = [out for out in case.outputs() if out.requires_grad and not out.is_complex()]
            total = sum(((out * out).cumsum(0) if out.ndim else out * out).sum() for out in outs)
            if not outs:
                continue
            slopes = torch.autograd.grad(total, case.leaves, create_graph=True, materialize_grads=True)
        for slope in slopes:
            if slope.requires_grad:
                assert (as_dense(tracker, slope) >= (jacobian(slope, case.leaves) != 0)).all(), case


# ---------------------------------------------------------------- programs
def run(program: Any) -> None:
    """Follow a program of views, writes and backwards, and compare with the Jacobian of every tensor in it."""
    machine = Machine(torch)
    tracker = tracking(machine.leaves)
    try:
        with observing(tracker):
            machine.tensors[4] = machine.leaves[0] * 1.0
            for instruction in program:
                machine.run(instruction)
    finally:
        torch.set_grad_enabled(True)
    for tensor in machine.tensors:
        if tensor.requires_grad:
            with observing(tracker):
                found = as_dense(tracker, tensor)
            try:
                expected = jacobian(tensor, machine.leaves) != 0
            except RuntimeError:
                continue  # its graph has been freed, or what it saved overwritten
            assert (found >= expected).all()


@pytest.mark.parametrize("program", EXAMPLES)
def test_programs_that_are_seldom_drawn(program: Any) -> None:
    run(program)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate, Phase.shrink])
@given(instructions())
def test_the_patterns_of_random_programs_hold(program: Any) -> None:
    run(program)


# ---------------------------------------------------------------- linear maps
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(0, 12), st.sampled_from([0.05, 0.2, 0.6, 1.0]), st.booleans(), st.booleans())
def test_the_pattern_of_a_linear_map_is_read_off_it(seed: int, outs: int, size: int, density: float, signs: bool, both: bool) -> None:
    generator = np.random.default_rng(seed)
    matrix = np.where(generator.random((outs, size)) < density, generator.uniform(0.5, 2, (outs, size)), 0)
    if signs:
        matrix *= generator.choice([-1, 1], matrix.shape)
    rows, columns = entries(lambda t: matrix @ t, (size,), (lambda g: matrix.T @ g) if both else None, (outs,))
    found = np.zeros(matrix.shape, int)
    np.add.at(found, (rows, columns), 1)
    assert (found == (matrix != 0)).all()


@pytest.mark.parametrize(
    ("row", "size"), [([1, -1], 9), ([1, -2, 1], 9), ([1, -3, 3, -1], 9), ([1, -1, -1, 1], 8), ([0.5, 0, -0.5], 33), ([1] * 9, 9)]
)
def test_coefficients_that_cancel_do_not_deceive(row: list[float], size: int) -> None:
    matrix = np.array([np.convolve(np.eye(size)[at], row[::-1], "valid") for at in range(size)]).T
    rows, columns = entries(lambda t: matrix @ t, (size,), lambda g: matrix.T @ g, (len(matrix),))
    found = np.zeros(matrix.shape, bool)
    found[rows, columns] = True
    assert (found == (matrix != 0)).all()


def test_a_rearrangement_takes_few_runs() -> None:
    runs = []

    def push(t: Any) -> Any:
        runs.append(1)
        return np.roll(t, 5)[::3]

    rows, columns = entries(push, (100_000,), None, (33_334,))
    assert (np.sort(rows) == np.arange(33_334)).all() and (columns == (rows * 3 - 5) % 100_000).all()
    assert len(runs) <= 20


@pytest.mark.parametrize(
    ("equation", "shape", "other"),
    [
        ("ij,jk->ik", (3, 4), (4, 5)),
        ("ij,ki->kj", (3, 4), (3, 3)),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
        ("i,i->", (5,), (5,)),
        ("ij,j->i", (4, 4), (4,)),
        ("j,ij->i", (4,), (1, 4)),
        ("ij,jk->ik", (1, 4), (4, 1)),
        ("i,j->ij", (3,), (2,)),
    ],
)
def test_the_pattern_of_a_product_follows_from_a_small_one(equation: str, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    def apply(x: Any, y: Any) -> Any:
        return np.einsum(equation, x, y)

    y = np.random.default_rng(0).random(other) * (np.random.default_rng(1).random(other) < 0.5)
    labels = labels_of(apply, shape, other)
    assert labels is not None
    outs, sources = bilinear_entries(labels, shape, y != 0, apply(np.ones(shape), y).shape)
    columns = [apply(each.reshape(shape), y).reshape(-1) for each in np.eye(int(np.prod(shape)))]
    expected = np.array(columns).T != 0
    found = np.zeros(expected.shape, bool)
    found[outs, sources] = True
    assert (found == expected).all()


def test_what_is_no_sum_of_products_is_not_taken_for_one() -> None:
    assert labels_of(np.cross, (5, 3), (5, 3)) is None
    assert labels_of(np.convolve, (4,), (3,)) is None
    assert labels_of(lambda x, y: 2 * x * y, (4,), (4,)) is None
    assert labels_of(lambda x, y: np.stack([x * y, x * y]), (4,), (4,)) is None
    assert labels_of(np.multiply, (0,), (0,)) is None


# ---------------------------------------------------------------- colourings
@st.composite
def patterns(draw: Any, symmetric: bool = False) -> Any:
    height = draw(st.integers(0, 14))
    width = height if symmetric else draw(st.integers(0, 14))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = generator.random((height, width)) < draw(st.sampled_from([0.05, 0.15, 0.3, 0.6, 1.0]))
    if symmetric:
        found |= found.T
        if draw(st.booleans()):
            found |= np.eye(height, dtype=bool)
    return found


def products_of(matrix: Any, colours: Any) -> Any:
    """For each colour the product with the vector that is 1 where the colour is."""
    return np.array([matrix @ (colours == number) for number in range(number_of(colours))]).reshape(-1, len(matrix))


@settings(max_examples=300, deadline=None)
@given(patterns(), st.integers(0, 99))
def test_columns_of_one_colour_never_meet_and_all_is_recovered(pattern: Any, seed: int) -> None:
    matrix = np.where(pattern, np.random.default_rng(seed).integers(1, 1000, pattern.shape), 0)
    csr = sparse.csr_array(pattern)
    colours = column_colours(csr)
    for number in range(number_of(colours)):
        assert pattern[:, colours == number].sum(1).max(initial=0) == 1  # each colour is there, and never twice in a row
    assert ((colours >= 0) == pattern.any(0)).all()
    assert number_of(colours) >= pattern.sum(1).max(initial=0)
    values = decompressed(csr, colours, products_of(matrix, colours)) if csr.nnz else []
    assert (values == matrix[pattern]).all()


@settings(max_examples=300, deadline=None)
@given(patterns(symmetric=True), st.integers(0, 99))
def test_a_symmetric_matrix_is_recovered_from_a_star_colouring(pattern: Any, seed: int) -> None:
    matrix = np.where(pattern, np.random.default_rng(seed).integers(1, 1000, pattern.shape), 0)
    matrix = np.triu(matrix) + np.triu(matrix, 1).T
    csr = sparse.csr_array(pattern)
    colours = star_colours(csr)
    assert number_of(colours) <= number_of(column_colours(csr))
    if csr.nnz:
        assert (decompressed_symmetric(csr, colours, products_of(matrix, colours)) == matrix[pattern]).all()


def banded(size: int, width: int, ring: bool = False) -> Any:
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return sparse.csr_array((np.minimum(distance, size - distance) if ring else distance) <= width)


def test_how_many_colours_well_known_patterns_take() -> None:
    for width in (0, 1, 2, 3):
        assert number_of(column_colours(banded(200, width))) == 2 * width + 1
        assert number_of(star_colours(banded(200, width))) <= 2 * width + 1
    assert number_of(column_colours(banded(201, 1, ring=True))) == 3
    assert number_of(column_colours(banded(200, 1, ring=True))) == 4
    arrow = np.eye(200, dtype=bool)
    arrow[0] = arrow[:, 0] = True
    assert number_of(column_colours(sparse.csr_array(arrow))) == 200
    assert number_of(star_colours(sparse.csr_array(arrow))) == 2
    blocks = sparse.csr_array(np.kron(np.eye(50), np.ones((4, 4))).astype(bool))
    assert number_of(column_colours(blocks)) == number_of(star_colours(blocks)) == 4
    grid = sparse.csr_array(sparse.kron(banded(20, 1).astype(int), sparse.eye_array(20)) + sparse.kron(sparse.eye_array(20), banded(20, 1)))
    assert number_of(column_colours(grid.astype(bool))) <= 8 and number_of(star_colours(grid.astype(bool))) <= 7
