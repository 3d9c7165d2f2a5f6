"""Sparse Jacobians and Hessians: patterns are exact, values are those of the dense derivative, and few passes find them."""

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

import ndgrad as torch
from ndgrad.autograd import Function
from ndgrad.func import grad, jvp, sparse_hessian, sparse_jacobian, vjp, vmap

N = 12
MATRIX = np.where(np.random.default_rng(3).random((5, N)) < 0.3, 1.5, 0.0)


def point(*shape, seed=0, dtype=torch.float64):
    """Numbers between 0.2 and 1.2: no derivative of the functions below is 0 there by chance."""
    return torch.tensor(np.random.default_rng([seed, *shape]).random(shape) + 0.2, dtype=dtype)


def dense_jacobian(f, x):
    x = x.detach().clone().requires_grad_()
    y = f(x).reshape(-1)
    rows = [torch.autograd.grad(each, x, retain_graph=True)[0].reshape(-1).tolist() for each in y] if y.requires_grad else []
    return np.array(rows).reshape(len(rows), x.numel()) if rows else np.zeros((y.numel(), x.numel()))


def dense_hessian(f, x):
    return dense_jacobian(lambda x: torch.autograd.grad(f(x), x, create_graph=True)[0], x)


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Rounded(Function):
    """Rounds, and has the derivative of the identity: what its forward does says nothing of its derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, g):
        return g


def burgers(u):
    return u.roll(-1) - 2 * u + u.roll(1) - u * (u.roll(-1) - u.roll(1)) / 2


def brusselator(u):
    """Two substances on a line, one row each; no flux at the ends."""
    laplacian = torch.cat([u[:, 1:2], u[:, 2:], u[:, -2:-1]], dim=1) - 2 * u + torch.cat([u[:, 1:2], u[:, :-1]], dim=1)
    a, b = u
    return torch.stack([1 + a * a * b - 4 * a, 3 * a - a * a * b]) + 0.1 * laplacian


def heat_in_place(u):
    out = torch.zeros_like(u)
    out[1:-1] = u[2:] - 2 * u[1:-1] + u[:-2]
    out[0] = u[0]
    out[-1] = u[-1] * u[0]
    out[2:4].mul_(u[7])
    return out.sin_()


def slope_of_energy(u):
    (slope,) = torch.autograd.grad((u[1:] * u[:-1] ** 2).sum(), u, create_graph=True)
    return slope


def tridiagonal(u):
    left, right = torch.nn.functional.pad(u[:-1], (1, 0)), torch.nn.functional.pad(u[1:], (0, 1))
    return left - 2 * u + right + 0.1 * u.exp() * left


def five_points(u):
    padded = torch.nn.functional.pad(u, (1, 1, 1, 1))
    return padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2] - 4 * u + u**3


FUNCTIONS = {
    "elementwise": lambda x: x.sin() * x.exp() + 2,
    "stencil of slices": lambda x: x[2:] - 2 * x[1:-1] + x[:-2] + x[1:-1].exp(),
    "stencil of rolls": burgers,
    "stencil of pads": tridiagonal,
    "stencil of windows": lambda x: x.unfold(0, 3, 1).prod(1),
    "writes through views": heat_in_place,
    "differences": lambda x: torch.diff(x) ** 2,
    "second differences": lambda x: torch.diff(x, n=2),
    "running sums": lambda x: x.reshape(3, 4).cumsum(1),
    "running products": lambda x: x.reshape(3, 4).cumprod(1),
    "sum": lambda x: (x**2).sum(),
    "sums of rows": lambda x: x.reshape(3, 4).sum(1) * x[:3],
    "mean taken off": lambda x: x - x.reshape(3, 4).mean(0).repeat(3),
    "rows of a norm": lambda x: x.reshape(3, 4).norm(dim=1),
    "softmax": lambda x: torch.softmax(x.reshape(3, 4), 1),
    "variance": lambda x: x.reshape(3, 4).var(0),
    "broadcast": lambda x: x[:3].reshape(3, 1) * x[3:7],
    "constant matrix with zeros": lambda x: torch.tensor(MATRIX) @ x.exp(),
    "zeros in a factor": lambda x: x * torch.tensor(MATRIX[0]),
    "product of matrices": lambda x: x[:6].reshape(2, 3) @ x[6:].reshape(3, 2),
    "blocks": lambda x: torch.bmm(x.reshape(3, 2, 2), x.reshape(3, 2, 2).exp()),
    "einsum": lambda x: torch.einsum("bi,bj->bij", x.reshape(6, 2), x.reshape(6, 2)),
    "cross": lambda x: torch.linalg.cross(x.reshape(4, 3), x.flip(0).reshape(4, 3)),
    "index": lambda x: x[torch.tensor([3, 3, 1, 0])] * x[0],
    "gather": lambda x: x.reshape(3, 4).gather(1, torch.tensor([[0, 0], [1, 3], [2, 0]])),
    "scatter": lambda x: torch.zeros(N, dtype=x.dtype).scatter_add(0, torch.tensor([1, 1, 5]), x[:3] ** 2),
    "index_put": lambda x: (x * 1).index_put((torch.tensor([0, 4]),), x[5] * x[6]),
    "mask": lambda x: x[torch.arange(N) % 3 == 0] * x[1],
    "where, of a constant": lambda x: torch.where(torch.arange(N) % 2 == 0, x**2, x.flip(0)),
    "masked_fill": lambda x: x.masked_fill(torch.arange(N) < 4, 2.0) * x[5],
    "cat and stack": lambda x: torch.cat([x[:3] * x[3:6], torch.stack([x[7], x[0]])]),
    "pieces": lambda x: x.split(5)[1] * x.split(5)[0] + x.unbind()[0],
    "diagonals": lambda x: x[:9].reshape(3, 3).diagonal() * x[:9].reshape(3, 3).tril().sum(1),
    "rearranged": lambda x: x.reshape(3, 2, 2).permute(2, 0, 1).flip(1).transpose(0, 2).reshape(-1) * x,
    "another precision": lambda x: x.float().double() ** 2,
    "sorted": lambda x: x.sort().values * x,
    "greatest of rows": lambda x: x.reshape(3, 4).max(1).values,
    "custom function": lambda x: Cube.apply(x[1:]) * x[0],
    "custom function with another derivative": lambda x: Rounded.apply(x + 1)[::2] * x[:6],
    "gradient": slope_of_energy,
    "detached": lambda x: x * x.flip(0).detach(),
    "no_grad": lambda x: x * without_gradient(x),
    "integers in between": lambda x: x * (x * 10).long(),
    "rounded": lambda x: x.round() + x[0],
    "complex in between": lambda x: torch.view_as_real(torch.complex(x[:6], x[6:]) * torch.view_as_complex(x.flip(0).reshape(6, 2))),
    "inside vmap": lambda x: vmap(lambda row: row[1:] * row[0] ** 2)(x.reshape(3, 4)),
    "writes inside vmap": lambda x: vmap(heat_in_place)(x.reshape(1, N)) * x[0],
    "gradient inside vmap": lambda x: vmap(grad(lambda row: (row[1:] * row[:-1] ** 2).sum()))(x.reshape(3, 4)),
    "jvp": lambda x: jvp(lambda v: v**3, (x,), (x.flip(0),))[1],
    "vjp": lambda x: vjp(lambda v: v[1:] * v[:-1], x)[1](x[1:] ** 2)[0],
    "nothing": lambda x: torch.ones(3, dtype=x.dtype),
    "no output": lambda x: x[:0],
}  # fmt: skip


def without_gradient(x):
    with torch.no_grad():
        return x.flip(0) * 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_pattern_is_exact_and_the_values_are_those_of_the_dense_jacobian(name):
    f, x = FUNCTIONS[name], point(N)
    jacobian = sparse_jacobian(f, check=True)
    for each in (x, x + 0.01):  # found, and kept
        expected = dense_jacobian(f, each)
        found = jacobian(each)
        assert isinstance(found, sparse.csr_array) and found.has_canonical_format
        assert (jacobian.pattern.toarray() == (expected != 0)).all()
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-13)


ENERGIES = {
    "chained Rosenbrock": lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
    "arrow": lambda x: (x[0] * x).sum() + (x**4).sum(),
    "quadratic form": lambda x: 0.5 * (torch.tensor(MATRIX) @ x).square().sum(),
    "sum of squares": lambda x: (x[::2] * x[1::2]).square().sum(),
    "linear": lambda x: (2 * x).sum(),
    "product": lambda x: x[0] * x[1] * x[2] + x[5],
    "blocks": lambda x: torch.bmm(x.reshape(3, 2, 2), x.reshape(3, 2, 2)).sum(),
    "log of a sum": lambda x: x.reshape(3, 4).logsumexp(1).sum(),
    "writes": lambda x: heat_in_place(x).square().sum(),
    "an element": lambda x: x[3:4] ** 3,
    "custom function": lambda x: (Cube.apply(x[1:]) * x[:-1]).sum(),
    "gradient": lambda x: slope_of_energy(x).square().sum(),
    "constant": lambda x: torch.tensor(2.0, dtype=x.dtype),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_the_hessian_is_the_dense_one_and_its_pattern_is_exact(name):
    f, x = ENERGIES[name], point(N, seed=1)
    hessian = sparse_hessian(f, check=True)
    for each in (x, x + 0.01):
        expected = np.zeros((N, N)) if name == "constant" else dense_hessian(f, each)
        found = hessian(each)
        assert (hessian.pattern.toarray() == (np.abs(expected) > 1e-12)).all()
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12, atol=1e-12)
        assert (found != found.T).nnz == 0 or abs(found - found.T).max() < 1e-12


def test_value_and_gradient_come_along():
    x = point(N)
    value, _ = sparse_jacobian(burgers).with_value(x)
    assert (value == burgers(x)).all() and not value.requires_grad
    slope, _ = sparse_hessian(ENERGIES["arrow"]).with_gradient(x)
    np.testing.assert_allclose(slope.numpy(), dense_jacobian(ENERGIES["arrow"], x)[0])


def test_shapes_and_precisions():
    u = point(2, 6)
    found = sparse_jacobian(brusselator)(u)
    np.testing.assert_allclose(found.toarray(), dense_jacobian(brusselator, u), rtol=1e-13)
    single = sparse_jacobian(brusselator)(u.float())
    assert found.dtype == np.float64 and single.dtype == np.float32
    np.testing.assert_allclose(single.toarray(), found.toarray(), rtol=1e-5)
    one = torch.tensor(0.5, dtype=torch.float64)
    assert sparse_jacobian(lambda x: x**2)(one).toarray().tolist() == [[1.0]]
    assert sparse_hessian(lambda x: x**3)(one).toarray().tolist() == [[3.0]]
    assert sparse_jacobian(lambda x: x.exp())(u[:0]).shape == (0, 0)
    grid = point(7, 5)
    np.testing.assert_allclose(sparse_jacobian(five_points)(grid).toarray(), dense_jacobian(five_points, grid), rtol=1e-13)
    assert sparse_jacobian(five_points)(grid.T).shape == (35, 35)  # whatever its strides are


def test_x_is_left_alone():
    x = point(N).requires_grad_()
    before = x.tolist()
    sparse_jacobian(burgers)(x)
    assert x.tolist() == before and x.grad is None
    with torch.no_grad():
        assert sparse_jacobian(burgers)(x).nnz == 3 * N


# ---------------------------------------------------------------- passes
@pytest.mark.parametrize(
    ("f", "passes"),
    [
        (lambda x: x**2, 1),
        (lambda x: x[1:] - x[:-1], 2),
        (FUNCTIONS["stencil of slices"], 3),
        (tridiagonal, 3),
        (burgers, 4),  # a ring whose length is no multiple of 3
        (lambda x: x.sum(), 1),
        (lambda x: x * x[0], 2),  # by columns
        (lambda x: torch.cat([x[:-1] ** 2, x.sum().reshape(1)]), 2),  # by rows
        (lambda x: torch.ones(3, dtype=x.dtype), 0),
    ],
)
def test_a_banded_jacobian_of_200_rows_takes_as_many_passes_as_it_has_diagonals(f, passes):
    jacobian = sparse_jacobian(f)
    found = jacobian(point(200))
    assert jacobian.passes == passes
    np.testing.assert_allclose(found.toarray(), dense_jacobian(f, point(200)), rtol=1e-13)


def test_passes_of_hessians():
    for name, passes in (("chained Rosenbrock", 3), ("arrow", 2), ("linear", 0)):
        hessian = sparse_hessian(ENERGIES[name])
        hessian(point(200))
        assert hessian.passes == passes, name


def test_each_pass_is_one_backward():
    runs = []

    class Counted(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            runs.append(1)
            return g * 1

    jacobian = sparse_jacobian(lambda x: tridiagonal(Counted.apply(x)))
    jacobian(point(200))
    runs.clear()
    jacobian(point(200))
    assert len(runs) == jacobian.passes == 3


@pytest.mark.parametrize("name", ["jacobian", "hessian"])
def test_a_hundred_thousand_rows_without_a_dense_matrix(name):
    """Which would take 80 GB."""
    n = 100_000
    x = point(n)
    if name == "jacobian":
        derivative = sparse_jacobian(tridiagonal)
        found = derivative(x)
        e = x.exp().numpy()
        expected = -2 + 0.1 * e * np.append(0, x.numpy()[:-1])
    else:
        derivative = sparse_hessian(ENERGIES["chained Rosenbrock"])
        found = derivative(x)
        v = x.numpy()
        expected = np.append(1200 * v[:-1] ** 2 - 400 * v[1:] + 2, 0) + np.append(0, np.full(n - 1, 200.0))
    assert derivative.passes == 3 and found.nnz == 3 * n - 2
    np.testing.assert_allclose(found.diagonal(), expected, rtol=1e-12, atol=1e-10)


def test_newton_with_a_sparse_solver():
    """The Bratu problem, u'' + 3 exp(u) = 0 with u = 0 at both ends, has a solution in closed form."""
    n = 2000
    h = 1 / (n + 1)

    def residual(u):
        u = torch.nn.functional.pad(u, (1, 1))
        return (u[2:] - 2 * u[1:-1] + u[:-2]) / h**2 + 3 * u[1:-1].exp()

    jacobian = sparse_jacobian(residual)
    u = torch.zeros(n, dtype=torch.float64)
    for _ in range(6):
        value, matrix = jacobian.with_value(u)
        u = u - torch.from_numpy(spsolve(matrix.tocsc(), value.numpy()))
    theta = 1.0
    for _ in range(200):
        theta = np.sqrt(6) * np.cosh(theta / 4)
    t = np.linspace(0, 1, n + 2)[1:-1]
    exact = -2 * np.log(np.cosh((t - 0.5) * theta / 2) / np.cosh(theta / 4))
    assert np.abs(u.numpy() - exact).max() < 1e-6


# ---------------------------------------------------------------- what is kept
def counted(f):
    def g(x):
        g.calls += 1
        return f(x)

    g.calls = 0
    return g


@pytest.mark.parametrize("f", [tridiagonal, heat_in_place, slope_of_energy, lambda x: x * x[0]])
def test_f_runs_once_for_each_x_and_the_pattern_is_kept(f):
    f = counted(f)
    jacobian = sparse_jacobian(f)
    patterns = []
    for calls in (1, 2, 3):
        jacobian(point(N, seed=calls))
        patterns.append(jacobian.pattern)
        assert f.calls == calls
    assert patterns[0] is patterns[1] is patterns[2]
    jacobian.forget()
    jacobian(point(N))
    assert jacobian.pattern is not patterns[0] and (jacobian.pattern != patterns[0]).nnz == 0


def test_shapes_and_dtypes_have_patterns_of_their_own():
    jacobian = sparse_jacobian(lambda x: x.sum(0))
    assert jacobian(point(4, 2)).shape == (2, 8)
    first = jacobian.pattern
    assert jacobian(point(4, 2, dtype=torch.float32)).dtype == np.float32
    assert jacobian(point(2, 4)).shape == (4, 8)
    jacobian(point(4, 2))
    assert jacobian.pattern is first


def test_another_way_through_an_if_has_another_pattern():
    f = counted(lambda x: x * x.roll(1) if x[0] > 0.5 else x * x.roll(3)[0])
    jacobian = sparse_jacobian(f)
    x = point(N)
    for first in (0.2, 0.9, 0.3, 0.8):
        x[0] = first
        np.testing.assert_allclose(jacobian(x).toarray(), dense_jacobian(f, x), rtol=1e-13)
    f.calls = 0
    jacobian(x)
    assert f.calls == 1  # both are known by now


def test_another_position_has_another_pattern():
    for f in (
        lambda x: x * x[int(10 * x[0])],
        lambda x: x * x[torch.tensor([int(10 * x[0])])],
        lambda x: x * x[(10 * x[:1]).long()],
        lambda x: x * x.max(0).values,
        lambda x: x.sort().values ** 2,
    ):
        jacobian = sparse_jacobian(f, check=True)
        for seed, first in itertools.product((0, 1), (0.2, 0.4)):
            x = point(N, seed=seed)
            x[0] = first
            np.testing.assert_allclose(jacobian(x).toarray(), dense_jacobian(f, x), rtol=1e-13)


def test_either_side_of_a_threshold_has_the_same_pattern():
    for f in (
        lambda x: torch.relu(x - 0.5),
        lambda x: torch.where(x > 0.6, x.flip(0), x),
        lambda x: x.clamp(0.4, 0.6) * x[0],
        lambda x: torch.maximum(x, x.flip(0)),
        lambda x: x.masked_fill(x > 0.5, 0.0),
    ):
        jacobian = sparse_jacobian(f, check=True)
        patterns = []
        for seed in range(3):
            x = point(N, seed=seed)
            np.testing.assert_allclose(jacobian(x).toarray(), dense_jacobian(f, x), rtol=1e-13)
            patterns.append(jacobian.pattern)
        assert patterns[0] is patterns[1] is patterns[2]


def test_a_wrong_pattern_is_found_out():
    def f(x):
        greatest = np.arange(N) == int(np.argmax(x.detach().numpy()))
        return x * torch.from_numpy(greatest * 1.0)

    x = point(N)
    jacobian = sparse_jacobian(f, check=True)
    assert jacobian(x).nnz == 1
    with pytest.raises(RuntimeError, match=r"found at an earlier x does not hold .* column \d+ has an element .* \(1 of 12"):
        jacobian(x.flip(0))
    jacobian.forget()
    assert jacobian(x.flip(0)).nnz == 1


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: sparse_jacobian(lambda x: (x, x))(x), TypeError, r"return one Tensor, but it returned tuple; join them: torch\.cat"),
        (lambda x: sparse_jacobian(lambda x: None)(x), TypeError, "but it returned NoneType"),
        (lambda x: sparse_jacobian(lambda x: x > 0)(x), TypeError, r"it returned one of torch\.bool"),
        (lambda x: sparse_jacobian(lambda x: x * 1j)(x), TypeError, r"torch\.view_as_real\(y\)"),
        (lambda x: sparse_jacobian(lambda x: x)(x * 1j), TypeError, r"complex x is not supported, .* torch\.view_as_real\(x\)"),
        (lambda x: sparse_jacobian(lambda x: x)(x.long()), TypeError, r"floating point dtype, but it is of torch\.int64; write x\.double"),
        (lambda x: sparse_jacobian(lambda x: x)([1.0]), TypeError, r"x must be a Tensor, not list; write torch\.tensor\(x\)"),
        (lambda x: sparse_hessian(lambda x: x)(x), ValueError, r"f must return one element, .* shape \[12\]; sum it first"),
        (lambda x: vmap(sparse_jacobian(lambda x: x))(x.reshape(3, 4)), RuntimeError, "inside vmap there is no sparse matrix"),
        (lambda x: sparse_hessian(lambda x: x).passes, RuntimeError, "passes is not known before the first call"),
    ],
)
def test_errors_say_what_to_write(call, error, message):
    with pytest.raises(error, match=message):
        call(point(N))


@pytest.mark.parametrize("f", [lambda x: x - x.mean(), lambda x: x.cumsum(0), lambda x: x.norm() * x])
def test_a_dense_derivative_of_many_rows_is_refused_before_it_fills_the_memory(f):
    with pytest.raises(RuntimeError, match=r"the derivative is not sparse: .* \[200000\]"):
        sparse_jacobian(f)(point(200_000))
    assert sparse_jacobian(f)(point(200)).nnz in (40_000, 20_100)


def test_an_error_in_f_comes_through_and_leaves_nothing_behind():
    def f(x):
        raise KeyError("in f")

    with pytest.raises(KeyError, match="in f"):
        sparse_jacobian(f)(point(N))
    jacobian = sparse_jacobian(tridiagonal)
    assert jacobian(point(N)).nnz == 3 * N - 2
