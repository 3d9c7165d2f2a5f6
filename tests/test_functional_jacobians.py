"""`autograd.functional.jacobian` and `hessian`: closed forms, every way of computing the same, who watches, and what is refused."""

import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest

import ndgrad as torch
from ndgrad.autograd import forward_ad, graph, rows
from ndgrad.autograd import functional as F
from ndgrad.autograd.rows import Plan
from ndgrad.autograd.variable import Variable
from ndgrad.func import vmap

RNG = np.random.default_rng(11)
WAYS = [{}, {"create_graph": True}, {"vectorize": True}, {"vectorize": True, "create_graph": True}]
FORWARD = {"vectorize": True, "strategy": "forward-mode"}
FORWARD_OVER_REVERSE = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}


def numbers(*shape):
    return torch.from_numpy(np.asarray(RNG.standard_normal(shape)))


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(expected), rtol=tolerance, atol=tolerance)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def hessian_of_rosenbrock(x):
    size = len(x)
    found = np.zeros((size, size))
    inner = np.arange(size - 1)
    found[inner, inner] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    found[inner + 1, inner + 1] += 200
    found[inner, inner + 1] = found[inner + 1, inner] = -400 * x[:-1]
    return found


# ---------------------------------------------------------------- closed forms
@pytest.mark.parametrize("way", [*WAYS, FORWARD], ids=str)
def test_jacobian_of_a_linear_map_is_its_matrix(way):
    a = numbers(4, 3)
    close(F.jacobian(lambda x: a @ x, numbers(3), **way), a.numpy())


@pytest.mark.parametrize("way", [*WAYS, FORWARD], ids=str)
def test_jacobian_of_a_matrix_function_has_four_dims(way):
    x = numbers(2, 2)
    expected = np.einsum("ik,jl->ijkl", np.eye(2), x.numpy().T) + np.einsum("ik,jl->ijkl", x.numpy(), np.eye(2))
    close(F.jacobian(lambda x: x @ x, x, **way), expected)


@pytest.mark.parametrize("way", [*WAYS, FORWARD_OVER_REVERSE], ids=str)
def test_hessian_of_rosenbrock(way):
    x = numbers(12)
    close(F.hessian(rosenbrock, x, **way), hessian_of_rosenbrock(x.numpy()), 1e-11)


@pytest.mark.parametrize("way", [*WAYS, FORWARD_OVER_REVERSE], ids=str)
def test_hessians_are_symmetric(way):
    x, y = numbers(3), numbers(2, 2)
    (xx, xy), (yx, yy) = F.hessian(lambda x, y: (x.exp().sum() * y.sin().prod()).tanh() + (y @ y).diagonal().sum() * x[0], (x, y), **way)
    close(xx, xx.detach().numpy().T)
    close(yy.reshape(4, 4), yy.detach().numpy().reshape(4, 4).T)
    close(xy.reshape(3, 4), yx.detach().numpy().reshape(4, 3).T)
    assert xy.shape == (3, 2, 2)
    assert yx.shape == (2, 2, 3)


def test_hessian_of_one_element_of_any_shape():
    x = numbers(3)
    close(F.hessian(lambda x: (x**3).sum().view(1, 1, 1), x), np.diag(6 * x.numpy()))


def test_chain_rule():
    x, a = numbers(3), numbers(3, 3)

    def outer(x):
        return (a @ x).tanh()

    inner = torch.sin
    close(F.jacobian(lambda x: outer(inner(x)), x), F.jacobian(outer, inner(x)).numpy() @ F.jacobian(inner, x).numpy())


def test_homogeneous_functions_obey_euler():
    x = numbers(4)
    close(F.jacobian(lambda x: x**3 / x.norm(), x) @ x, 2 * (x**3 / x.norm()).numpy())


def test_hessian_times_a_vector_is_vhp_and_hvp():
    x, v = numbers(5), numbers(5)
    product = (F.hessian(rosenbrock, x) @ v).numpy()
    close(F.vhp(rosenbrock, x, v)[1], product, 1e-10)
    close(F.hvp(rosenbrock, x, v)[1], product, 1e-10)


# ---------------------------------------------------------------- shapes, dtypes, nesting
@pytest.mark.parametrize("way", [*WAYS, FORWARD], ids=str)
def test_nesting_follows_outputs_and_inputs(way):
    x, y = numbers(2), numbers(3)
    both = F.jacobian(lambda x, y: (x.sum() * y, x), (x, y), **way)
    assert [[tuple(block.shape) for block in row] for row in both] == [[(3, 2), (3, 3)], [(2, 2), (2, 3)]]
    assert [type(row) for row in (both, *both)] == [tuple] * 3
    assert [tuple(block.shape) for block in F.jacobian(lambda x: (x.sum(), x), x, **way)] == [(2,), (2, 2)]
    assert [tuple(block.shape) for block in F.jacobian(lambda x, y: x.sum() * y, (x, y), **way)] == [(3, 2), (3, 3)]
    assert F.jacobian(lambda x, y: (x.sum() * y,), (x, y), **way)[0][1].shape == (3, 3)


@pytest.mark.parametrize("way", [*WAYS, FORWARD], ids=str)
def test_scalars_and_what_lies_askew_in_memory(way):
    assert F.jacobian(lambda x: x**2, torch.tensor(3.0), **way).item() == 6.0
    x = numbers(2, 3)
    close(F.jacobian(lambda x: x.t(), x.t(), **way), np.einsum("ik,jl->ijlk", np.eye(2), np.eye(3)))
    close(F.jacobian(lambda x: x.flip(0), x[:, ::2], **way).reshape(4, 4), np.kron(np.eye(2)[::-1], np.eye(2)))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_rows_have_the_dtype_of_the_input(way):
    assert F.jacobian(lambda x: x.double() * 2, torch.ones(2), **way).dtype == torch.float32
    assert F.jacobian(lambda x: x.float() * 2, numbers(2), **way).dtype == torch.float64
    assert F.jacobian(lambda x: x.abs(), torch.tensor([3 + 4j]), **way).tolist() == [[pytest.approx(0.6 + 0.8j)]]


def test_complex_outputs_need_vectorize():
    z = torch.tensor([1 + 2j, -1j])
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for real scalar outputs but got"):
        F.jacobian(lambda z: z * z, z)
    assert F.jacobian(lambda z: z * z, z, vectorize=True).tolist() == torch.diag(2 * z.conj()).tolist()
    assert F.jacobian(lambda z: z * z, z, **FORWARD).tolist() == torch.diag(2 * z).tolist()


def test_nothing_to_differentiate():
    empty = torch.zeros(0, 2)
    with pytest.raises(RuntimeError, match="stack expects a non-empty TensorList"):
        F.jacobian(lambda x: x, empty)
    assert F.jacobian(lambda x: x * 2, empty, **FORWARD).shape == (0, 2, 0, 2)
    assert F.jacobian(lambda x: x.sum(), empty).shape == (0, 2)
    assert F.jacobian(lambda x: x.sum(), empty, **FORWARD).shape == (0, 2)
    assert [block.shape for block in F.jacobian(lambda x: (x[:0], x), torch.ones(2), vectorize=True)] == [(0, 2), (2, 2)]
    for nothing in (lambda: F.jacobian(lambda: torch.ones(2), ()), lambda: F.jacobian(lambda x: (), torch.ones(2))):
        with pytest.raises(IndexError, match="tuple index out of range"):
            nothing()


@pytest.mark.parametrize("way", [*WAYS, FORWARD], ids=str)
def test_zeros_where_nothing_depends(way):
    x, y = torch.ones(2), torch.ones(3)
    rows = F.jacobian(lambda x, y: (torch.ones(2), x.detach(), y * 2, (x * 2).long()), (x, y), **way)
    assert [[block.any().item() for block in row] for row in rows] == [[False] * 2, [False] * 2, [False, True], [False] * 2]


# ---------------------------------------------------------------- every way is the same
def several(x):
    """Nodes with several outputs, broadcasting, operands used twice, and a constant."""
    top, bottom = x.chunk(2)
    values = torch.stack(x.view(2, -1).unbind(1), 1)
    return torch.cat([(top * bottom).cumsum(0), values.prod(0) * x.sum(), x.unbind()[0].view(1), x * torch.ones(3, 1).sum()])


def by_engine(function, x, monkeypatch):
    """The Jacobian without a plan."""
    with monkeypatch.context() as patch:
        patch.setattr(Plan, "of", classmethod(lambda cls, *args: None))
        return F.jacobian(function, x)


@pytest.mark.parametrize("size", [2, 6, 40])
def test_few_rows_many_rows_and_the_engine_agree(size, monkeypatch):
    x = numbers(size)
    expected = by_engine(several, x, monkeypatch).numpy()
    for way in WAYS:
        close(F.jacobian(several, x, **way), expected)
    monkeypatch.setattr(rows, "FEW", 1)
    close(F.jacobian(several, x), expected)
    monkeypatch.setattr(rows, "AT_ONCE", 5 * size)  # several batches, the last of them smaller
    close(F.jacobian(several, x), expected)
    monkeypatch.setattr(rows, "FEW", 1000)
    close(F.jacobian(several, x), expected)


def test_many_rows_of_the_input_itself_and_of_what_does_not_depend():
    x, y = numbers(20), numbers(3)
    by_x, by_y = F.jacobian(lambda x, y: x, (x, y))
    assert by_x.tolist() == np.eye(20).tolist()
    assert not by_y.any()
    assert F.jacobian(lambda x: x.view(4, 5), x).shape == (4, 5, 20)


def test_operations_without_a_batching_rule_run_row_by_row(monkeypatch):
    x = numbers(20)
    expected = F.jacobian(lambda x: x.cumsum(0).sin(), x).numpy()
    calls = []

    def without_rule(self, primitive, values, mapped, params):
        calls.append(primitive.name)
        raise rows.NoRule

    monkeypatch.setattr(rows.Rows, "by_rule", without_rule)
    close(F.jacobian(lambda x: x.cumsum(0).sin(), x), expected)
    assert len(calls) == 1
    assert torch.is_grad_enabled()
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(rows.Rows, "by_rule", rows.Rows.one_by_one)
        close(F.jacobian(lambda x: x.cumsum(0).sin(), x), expected)


def test_results_share_no_memory():
    x = numbers(2)
    first, second = F.jacobian(lambda x, y: x + y, (x, x))
    first.zero_()
    assert second.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    for block in F.jacobian(lambda x: (x, x), x):
        block.zero_()
    assert x.all()


def test_a_function_may_write_over_what_it_has_computed():
    x = numbers(3)
    close(F.jacobian(lambda x: x.clone().mul_(x), x), np.diag(2 * x.numpy()))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        F.jacobian(lambda x: written_over(x.exp()), x)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        F.jacobian(lambda x: x.mul_(2), x)


def written_over(y):
    z = y * y
    y.zero_()
    return z


# ---------------------------------------------------------------- who watches sees every row
def test_hooks_run_for_each_row():
    seen = []

    def function(x):
        y = x * x
        y.register_hook(lambda g: seen.append(g.tolist()))
        return y

    F.jacobian(function, torch.ones(3))
    assert seen == np.eye(3).tolist()


def test_hooks_of_the_input_run_and_may_change_rows():
    def function(x):
        x.register_hook(lambda g: g * 10)
        return x * 2

    assert F.jacobian(function, torch.ones(2)).tolist() == [[20.0, 0.0], [0.0, 20.0]]


def test_custom_functions_and_packed_residuals():
    calls = []

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            calls.append(g.tolist())
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = numbers(2)
    close(F.jacobian(Square.apply, x), np.diag(2 * x.numpy()))
    assert calls == np.eye(2).tolist()
    unpacked = []
    with graph.saved_tensors_hooks(lambda t: t, lambda t: unpacked.append(1) or t):
        close(F.jacobian(lambda x: x.exp(), x), np.diag(np.exp(x.numpy())))
    assert len(unpacked) == 2


def test_anomaly_mode_names_the_row_that_fails():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        watched = torch.autograd.detect_anomaly()
    with watched, pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values"):
        F.jacobian(lambda x: x.sqrt(), torch.tensor([4.0, -1.0]))


def test_numpy_is_silent():
    assert F.jacobian(lambda x: x.sqrt(), torch.zeros(1)).tolist() == [[float("inf")]]


def test_modes_are_restored_when_a_row_fails():
    with torch.no_grad():
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            F.jacobian(lambda x: written_over(x.exp()), numbers(2))
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


# ---------------------------------------------------------------- history
def test_what_create_graph_is_for():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for vectorize in (False, True):
        jacobian = F.jacobian(lambda x: x**3, x, create_graph=True, vectorize=vectorize)
        assert torch.autograd.grad(jacobian.sum(), x)[0].tolist() == [6.0, 12.0]
        hessian = F.hessian(lambda x: (x**4).sum(), x, create_graph=True, vectorize=vectorize)
        assert torch.autograd.grad(hessian.sum(), x)[0].tolist() == [24.0, 48.0]
    for vectorize in (False, True):
        assert not F.jacobian(lambda x: x**3, x, vectorize=vectorize).requires_grad
    assert x.grad is None


def test_a_closure_stays_constant_even_if_it_is_the_input():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for way in (*WAYS, FORWARD):
        assert F.jacobian(lambda y: y * x, x, **way).tolist() == [[1.0, 0.0], [0.0, 2.0]]


def test_third_derivatives():
    x = numbers(2)
    third = F.jacobian(lambda x: F.hessian(lambda x: (x**4).sum(), x, create_graph=True), x)
    expected = np.zeros((2, 2, 2))
    expected[[0, 1], [0, 1], [0, 1]] = 24 * x.numpy()
    close(third, expected)


# ---------------------------------------------------------------- what is refused
def test_strict_refusals():
    one, w = torch.ones(2), torch.tensor([2.0, 3.0], requires_grad=True)
    for call, text in (
        (lambda: F.jacobian(lambda x: one, one, strict=True), "Output 0 of the user-provided function does not require gradients"),
        (lambda: F.jacobian(lambda x: w * 2, one, strict=True), "Output 0 of the user-provided function is independent of input 0"),
        (
            lambda: F.jacobian(lambda x, y: (x * y, x * 2), (one, one), strict=True),
            "Output 1 of the user-provided function is independent of input 1",
        ),
        (
            lambda: F.jacobian(lambda x: x * 2, one, strict=True, create_graph=True),
            "The jacobian of the user-provided function is independent of input 0. This is not allowed in strict mode when create_graph",
        ),
        (
            lambda: F.hessian(lambda x: x.sum(), one, strict=True),
            "While computing the hessian, found that the jacobian of the user-provided function with respect to input 0 is independent",
        ),
        (
            lambda: F.jacobian(lambda x: x, one, strict=True, vectorize=True),
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together",
        ),
        (
            lambda: F.jacobian(lambda x: x, one, strict=True, **FORWARD),
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported together',
        ),
    ):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert str(caught.value).startswith(text)


@pytest.mark.parametrize(("create_graph", "vectorize"), list(itertools.product((False, True), repeat=2)))
def test_flags_that_do_not_go_together(create_graph, vectorize):
    if create_graph or not vectorize:
        with pytest.raises(NotImplementedError):
            F.jacobian(lambda x: x, torch.ones(2), create_graph=create_graph, vectorize=vectorize, strategy="forward-mode")
        with pytest.raises(NotImplementedError):
            F.hessian(torch.sum, torch.ones(2), create_graph=create_graph, vectorize=vectorize, outer_jacobian_strategy="forward-mode")
    with pytest.raises(AssertionError, match="Expected strategy to be either"):
        F.jacobian(lambda x: x, torch.ones(2), create_graph=create_graph, vectorize=vectorize, strategy="sideways")
    with pytest.raises(AssertionError, match="Expected strategy to be either"):
        F.hessian(torch.sum, torch.ones(2), create_graph=create_graph, vectorize=vectorize, outer_jacobian_strategy="sideways")


def test_functions_that_return_something_else():
    for call, kind, text in (
        (lambda: F.jacobian(lambda x: [x], torch.ones(2)), TypeError, "given to jacobian must be either a Tensor or a tuple of Tensors"),
        (lambda: F.jacobian(lambda x: (x, 1), torch.ones(2), **FORWARD), TypeError, "value at index 1 has type <class 'int'>"),
        (lambda: F.hessian(lambda x: x, torch.ones(2)), RuntimeError, "should contain a single element"),
        (lambda: F.hessian(lambda x: (x.sum(),), torch.ones(2)), RuntimeError, "should return a single Tensor"),
        (lambda: F.hessian(torch.sum, torch.ones(2, dtype=torch.int64)), RuntimeError, "only Tensors of floating point dtype"),
        (lambda: F.jacobian(torch.sum, torch.ones(2).long(), **FORWARD), ValueError, "Expected primal to be floating point or complex"),
    ):
        with pytest.raises(kind, match=text):
            call()


def test_it_can_be_imported_as_torch():
    program = (
        "import ndgrad; ndgrad.install_as_torch(); import torch.autograd.functional as F; from torch.autograd.functional import hessian; "
        "import torch; print(F.jacobian(lambda x: x * 2, torch.ones(1)).item(), hessian is torch.autograd.functional.hessian)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2.0", "True"]


def test_a_variable_is_an_input_like_any_other():
    assert F.jacobian(lambda x: x**2, Variable(torch.ones(1))).tolist() == [[2.0]]


# ---------------------------------------------------------------- within other transforms
def test_within_vmap():
    x = numbers(5, 3)
    one_by_one = np.stack([F.jacobian(lambda x: x.sin() * x.sum(), row).numpy() for row in x])
    close(vmap(lambda x: F.jacobian(lambda x: x.sin() * x.sum(), x))(x), one_by_one)
    close(vmap(lambda x: F.jacobian(lambda x: x.sin() * x.sum(), x, vectorize=True))(x), one_by_one)
    close(vmap(lambda x: F.hessian(rosenbrock, x))(x), np.stack([hessian_of_rosenbrock(row.numpy()) for row in x]), 1e-11)
    products = np.stack([F.vhp(rosenbrock, row, row)[1].numpy() for row in x])
    close(vmap(lambda x: F.vhp(rosenbrock, x, x)[1])(x), products, 1e-11)
    close(vmap(lambda x: F.hvp(rosenbrock, x, x)[1])(x), products, 1e-11)


def test_within_forward_mode():
    x, v = numbers(4).requires_grad_(), numbers(4)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, v)
        tangent = forward_ad.unpack_dual(F.jacobian(lambda x: x**3, dual, create_graph=True)).tangent
    close(tangent, np.diag(6 * x.detach().numpy() * v.numpy()))


def test_inside_a_transform_what_would_end_its_gradient_is_refused() -> None:
    x = torch.tensor([1.0, 2.0])

    def slopes(x, create_graph):
        return torch.autograd.functional.jacobian(lambda y: y**3, x, create_graph=create_graph).sum()

    with pytest.raises(RuntimeError, match=r"or perhaps using torch.autograd.functional.\* APIs"):
        torch.func.grad(slopes)(x, False)
    assert torch.func.grad(slopes)(x, True).tolist() == [6.0, 12.0]
    assert torch.func.grad(lambda w: w * slopes(x, False))(torch.tensor(2.0)).item() == 15.0  # constant, and so it should be
    assert torch.vmap(lambda row: torch.autograd.functional.jacobian(torch.sin, row))(x[None]).shape == (1, 2, 2)
