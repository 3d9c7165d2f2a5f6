"""Products against NumPy, their derivatives against finite differences, their errors, and what memory BLAS is handed."""

import numpy as np
import pytest

import ndgrad as nd

RNG = np.random.default_rng(0)


def numbers(*shape, kind="float64"):
    real = RNG.standard_normal(shape)
    return (real + 1j * RNG.standard_normal(shape) if kind.startswith("complex") else real).astype(kind)


def leaves(*arrays):
    return [nd.from_numpy(array.copy()).requires_grad_() for array in arrays]


def slope(function, arrays, position, direction, step=1e-6):
    """The derivative along a direction by central differences."""
    moved = [[a + sign * step * direction if i == position else a for i, a in enumerate(arrays)] for sign in (1, -1)]
    high, low = (function(*(nd.from_numpy(a) for a in m)).numpy() for m in moved)
    return (high - low) / (2 * step)


CASES = [
    (nd.matmul, [(3, 4), (4, 5)]),
    (nd.matmul, [(4,), (4, 5)]),
    (nd.matmul, [(3, 4), (4,)]),
    (nd.matmul, [(4,), (4,)]),
    (nd.matmul, [(2, 1, 3, 4), (5, 4, 2)]),
    (nd.matmul, [(3, 4), (2, 4, 5)]),
    (nd.mm, [(2, 3), (3, 4)]),
    (nd.mv, [(2, 3), (3,)]),
    (nd.dot, [(3,), (3,)]),
    (nd.bmm, [(2, 3, 4), (2, 4, 2)]),
    (nd.outer, [(2,), (3,)]),
    (nd.inner, [(2, 3), (4, 3)]),
    (nd.kron, [(2, 2), (1, 3)]),
    (nd.tensordot, [(2, 3, 4), (3, 4, 2)]),
    (nd.trace, [(3, 4)]),
    (lambda x: nd.matrix_power(x, 5), [(3, 3)]),
    (lambda x: nd.matrix_power(x, -2), [(3, 3)]),
    (lambda x, y: nd.cross(x, y, dim=-1), [(2, 3), (1, 3)]),
    (lambda x, y, z: nd.addmm(x, y, z, beta=0.5, alpha=2), [(4,), (2, 3), (3, 4)]),
    (lambda x, y, z: nd.addmv(x, y, z, beta=0.5, alpha=2), [(2,), (2, 3), (3,)]),
    (lambda x, y, z: nd.addr(x, y, z, beta=0.5, alpha=2), [(2, 3), (2,), (3,)]),
    (lambda x, y, z: nd.baddbmm(x, y, z, beta=0.5, alpha=2), [(3, 1), (2, 3, 2), (2, 2, 4)]),
    (lambda x, y, z: nd.addbmm(x, y, z, beta=0.5, alpha=2), [(3, 4), (2, 3, 2), (2, 2, 4)]),
    (lambda x, y: nd.einsum("bij,bkj->bik", x, y), [(2, 3, 4), (2, 5, 4)]),
    (lambda x, y, z: nd.einsum("i,ij,jk->k", x, y, z), [(2,), (2, 3), (3, 4)]),
    (lambda x: nd.einsum("...ii->...", x), [(2, 3, 3)]),
    (lambda x, y: nd.cdist(x, y), [(3, 2), (4, 2)]),
    (lambda x, y: nd.cdist(x, y, p=3.0), [(3, 2), (4, 2)]),
]


@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_derivatives(function, shapes):
    arrays = [numbers(*shape) for shape in shapes]
    operands = leaves(*arrays)
    out = function(*operands)
    weight = numbers(*out.shape)
    grads = nd.autograd.grad(out, operands, nd.from_numpy(weight), create_graph=True)
    for position, (array, grad) in enumerate(zip(arrays, grads, strict=True)):
        direction = numbers(*array.shape)
        expected = np.sum(weight * slope(function, arrays, position, direction))
        np.testing.assert_allclose(np.sum(grad.detach().numpy() * direction), expected, rtol=1e-5, atol=1e-7)
    # second derivatives: the same check on the gradient's own inner product with a fixed direction
    direction = nd.from_numpy(numbers(*arrays[0].shape))

    def along(*values):
        values = [value.detach().requires_grad_() for value in values]
        return (nd.autograd.grad(function(*values), values[0], nd.from_numpy(weight))[0] * direction).sum()

    product = (grads[0] * direction).sum()
    if not product.requires_grad:
        return  # the function is linear
    second = nd.autograd.grad(product, operands, allow_unused=True)
    for position, (array, grad) in enumerate(zip(arrays, second, strict=True)):
        way = numbers(*array.shape)
        found = 0.0 if grad is None else np.sum(grad.numpy() * way)
        np.testing.assert_allclose(found, slope(along, arrays, position, way), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64", "complex128", "int64", "int32", "uint8"])
def test_values(kind):
    x = (numbers(3, 4) * 4).astype(kind) if kind[0] != "c" else numbers(3, 4, kind=kind)
    y = (numbers(4, 5) * 4).astype(kind) if kind[0] != "c" else numbers(4, 5, kind=kind)
    out = nd.matmul(nd.from_numpy(x), nd.from_numpy(y))
    assert out.dtype is nd.from_numpy(x).dtype
    np.testing.assert_allclose(out.numpy(), x @ y, rtol=2e-2 if kind == "float16" else 1e-5)


def test_the_gradient_of_a_complex_product_is_conjugated():
    x, y = leaves(numbers(2, 3, kind="complex128"), numbers(3, 2, kind="complex128"))
    g = nd.from_numpy(numbers(2, 2, kind="complex128"))
    found = nd.autograd.grad(x @ y, (x, y), g)
    np.testing.assert_allclose(found[0].numpy(), g.numpy() @ y.detach().numpy().conj().T)
    np.testing.assert_allclose(found[1].numpy(), x.detach().numpy().conj().T @ g.numpy())


def test_names_of_nodes():
    w, b = nd.ones(5, 3).requires_grad_(), nd.ones(2, 5, 3).requires_grad_()
    names = {
        "MmBackward0": nd.ones(2, 5) @ w,
        "MvBackward0": w @ nd.ones(3),
        "SqueezeBackward4": nd.matmul(nd.ones(5), w),
        "DotBackward0": w[0] @ nd.ones(3),
        "UnsafeViewBackward0": nd.ones(2, 4, 5) @ b,
        "BmmBackward0": nd.bmm(nd.ones(2, 4, 5), b),
        "AddmmBackward0": nd.addmm(nd.ones(3), nd.ones(2, 5), w),
    }
    for name, out in names.items():
        assert out.grad_fn.name() == name
    assert nd.matmul(nd.ones(5), w).grad_fn.next_functions[0][0].name() == "MmBackward0"


def test_only_what_is_needed_is_saved():
    w = nd.ones(5, 3).requires_grad_()
    node = (nd.ones(2, 5) @ w).grad_fn
    assert node._saved_self is not None
    assert node.saved[3 * node.residuals.index("y")] is None


def test_a_changed_operand_is_noticed():
    x, w = nd.ones(5), nd.ones(5, 3).requires_grad_()
    out = nd.matmul(x, w)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_transposed_operands_are_not_copied():
    x = nd.from_numpy(np.asfortranarray(numbers(4, 3)))
    y = nd.from_numpy(numbers(4, 2)).requires_grad_()
    out = x.t() @ y
    assert np.shares_memory(out.grad_fn._saved_self.numpy(), x.numpy())


def test_beta_zero_ignores_what_is_added():
    out = nd.addmm(nd.full((2, 2), float("nan")), nd.ones(2, 3), nd.ones(3, 2), beta=0)
    assert out.tolist() == [[3.0, 3.0], [3.0, 3.0]]


ERRORS = [
    (lambda: nd.mm(nd.zeros(2, 3), nd.zeros(4, 5)), RuntimeError, r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"),
    (lambda: nd.zeros(2, 3) @ nd.zeros(3, 4).double(), RuntimeError, "expected m1 and m2 to have the same dtype, but got: float != double"),
    (lambda: nd.nn.Linear(3, 4)(nd.zeros(2, 3).double()), RuntimeError, "mat1 and mat2 must have the same dtype, but got Double and Float"),
    (lambda: nd.dot(nd.zeros(2), nd.zeros(3)), RuntimeError, "inconsistent tensor size"),
    (lambda: nd.zeros(2, 2) @ 3, TypeError, "unsupported operand type"),
    (lambda: nd.zeros(2, 2) @ np.zeros((2, 2)), TypeError, "from_numpy"),
    (lambda: nd.matmul(nd.zeros(()), nd.zeros(2)), RuntimeError, "both arguments to matmul need to be at least 1D"),
    (lambda: nd.einsum("ij,jk", nd.zeros(2, 3), nd.zeros(4, 5)), RuntimeError, "does not broadcast"),
    (lambda: nd.matrix_power(nd.zeros(2, 2), -1), RuntimeError, "singular"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_an_in_place_product_that_raises_changes_nothing():
    x = nd.ones(2, 3)
    with pytest.raises(RuntimeError):
        x.addmm_(nd.ones(2, 4), nd.ones(5, 3))
    assert x.tolist() == [[1.0] * 3] * 2 and x._version == 0


def test_chains_are_multiplied_in_the_cheapest_order():
    sizes = [(10, 100), (100, 5), (5, 50)]
    x, y, z = (nd.from_numpy(numbers(*size)).requires_grad_() for size in sizes)
    out = nd.linalg.multi_dot([x, y, z])
    first = out.grad_fn.next_functions[0][0].next_functions[0][0]
    assert first.name() == "MmBackward0" and first.shape == (10, 5)
    np.testing.assert_allclose(out.detach().numpy(), x.detach().numpy() @ y.detach().numpy() @ z.detach().numpy())
