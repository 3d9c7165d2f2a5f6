"""Products against torch: values, strides, node names, first and second gradients, errors."""

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.sides import same_expression, same_gradients

MATMULS = [
    *[((5,), (5, 3)), ((3, 5), (5,)), ((3, 5), (5, 4)), ((5,), (5,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (4,)), ((2, 3, 4), (2, 4, 5))],
    *[
        ((4,), (2, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((7, 2, 3, 4), (2, 4, 5)),
        ((7, 1, 3, 4), (2, 4, 5)),
        ((1, 3, 4), (4, 5)),
        ((2, 3, 4), (1, 4, 5)),
    ],
    *[((0, 3), (3, 4)), ((2, 0), (0, 4)), ((0, 3, 4), (4, 5)), ((2, 3, 0), (2, 0, 2)), ((3, 1, 2, 4), (4,)), ((4,), (3, 1, 4, 2))],
]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shapes", MATMULS)
def test_matmul(shapes, dtype):
    same_gradients("T.matmul(x, y)", shapes, dtype)
    for index in (0, 1):  # PyTorch takes other ways where only one operand needs a gradient
        known = f"r({', '.join(map(str, shapes[1 - index]))}, dtype={dtype!r})"
        same_gradients(f"T.matmul({known}, x)" if index else f"T.matmul(x, {known})", [shapes[index]], dtype)


GRADIENTS = [
    *[
        ("T.mm(x, y)", [(2, 3), (3, 4)]),
        ("T.mm(x.t(), y.t())", [(3, 2), (4, 3)]),
        ("T.mv(x, y)", [(2, 3), (3,)]),
        ("T.dot(x, y)", [(3,), (3,)]),
    ],
    *[("T.vdot(x, y)", [(3,), (3,)]), ("T.bmm(x, y)", [(2, 3, 4), (2, 4, 5)]), ("T.outer(x, y)", [(2,), (3,)]), ("x.ger(y)", [(2,), (3,)])],
    *[("x @ x", [(3, 3)]), ("x @ x.t()", [(2, 3)]), ("x.mT @ y", [(2, 3, 4), (2, 3, 5)]), ("x.matmul(y).sum()", [(2, 3), (3,)])],
    *[
        ("T.kron(x, y)", [(2, 3), (4, 5)]),
        ("T.kron(x, y)", [(3,), (2, 2)]),
        ("T.kron(x, y)", [(2, 1, 3), (2, 2)]),
        ("T.trace(x)", [(3, 4)]),
    ],
    *[("T.inner(x, y)", shapes) for shapes in ([(2,), (2,)], [(2, 3), (4, 3)], [(2, 5, 3), (4, 3)], [(3,), (4, 3)], [(), (4, 3)])],
    *[
        ("T.tensordot(x, y)", [(2, 3, 4), (3, 4, 5)]),
        ("T.tensordot(x, y, 0)", [(2, 3), (4, 5)]),
        ("T.tensordot(x, y, 1)", [(2, 3), (1, 5)]),
    ],
    *[("T.tensordot(x, y, 1)", [(2, 1), (3, 5)]), ("T.tensordot(x, y, ([1, 0], [0, 2]))", [(2, 3, 4), (3, 5, 2)])],
    *[("T.tensordot(x, y, dims=([0], [1]))", [(2, 3), (4, 2)]), ("T.tensordot(x, y, 2)", [(2, 3), (2, 3)])],
    *[(f"T.matrix_power(x, {n})", [shape]) for n in (0, 1, 2, 3, 4, 5, 7) for shape in ((3, 3), (2, 3, 3))],
    *[("T.cross(x, y)", [(3, 3), (3, 3)]), ("T.cross(x, y)", [(3, 2), (3, 2)]), ("T.cross(x, y, dim=1)", [(2, 3), (1, 3)])],
    *[("T.chain_matmul(*leaves)", [(2, 3), (3, 4), (4, 5), (5, 2)]), ("T.linalg.multi_dot(leaves)", [(2, 3), (3, 4), (4, 5)])],
    *[("T.linalg.multi_dot(leaves)", shapes) for shapes in ([(3,), (3, 4), (4,)], [(3,), (3, 4)], [(2, 3), (3,)], [(3,), (3,)])],
]
SUMS = {
    "addmm": [(2, 4), (2, 3), (3, 4)],
    "addmv": [(2,), (2, 3), (3,)],
    "addr": [(2, 3), (2,), (3,)],
    "baddbmm": [(2, 3, 4), (2, 3, 5), (2, 5, 4)],
    "addbmm": [(3, 4), (2, 3, 5), (2, 5, 4)],
}
FACTORS = ["", ", beta=0.5, alpha=2", ", beta=0", ", alpha=0", ", beta=0, alpha=0", ", beta=2, alpha=1"]
GRADIENTS += [(f"T.{name}(x, y, w{factors})", shapes) for name, shapes in SUMS.items() for factors in FACTORS]
GRADIENTS += [(f"T.{name}(x, y, w)", [(1,), *shapes[1:]]) for name, shapes in SUMS.items() if name != "addmv"]


@pytest.mark.filterwarnings("ignore:.*(without specifying the dim|chain_matmul).*:UserWarning")
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("expression", "shapes"), GRADIENTS)
def test_gradients(expression, shapes, dtype):
    same_gradients(expression, shapes, dtype)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("n", [-1, -2, -3])
def test_negative_powers(n, dtype):
    # LAPACK is called with the transpose in torch, so that its inverse has other strides
    same_gradients(f"T.matrix_power(x, {n})", [(2, 3, 3)], dtype, strides=False)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_inverse(dtype):
    same_gradients("T.inverse(x)", [(2, 3, 3)], dtype, strides=False)
    same_gradients("T.linalg.inv(x)", [(3, 3)], dtype, strides=False)


@pytest.mark.parametrize("shapes", [[(3, 2), (3, 4), (5, 2, 4)], [(2, 3, 2), (2, 3, 4), (5, 2, 4)]])
def test_bilinear(shapes):
    same_gradients("T.bilinear(x, y, w, None)", shapes, names=False)


EQUATIONS = [
    *[("ij,jk->ik", (2, 3), (3, 4)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)), ("ji", (2, 3)), ("i,j", (2,), (3,))],
    *[
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
        ("...ij,...jk", (2, 3, 4), (2, 4, 5)),
        ("...ij,...jk", (7, 1, 3, 4), (2, 4, 5)),
        ("ij->", (2, 3)),
    ],
    *[("i,i->i", (3,), (3,)), ("ij,ij->ij", (2, 3), (2, 3)), ("ij,jk,kl", (2, 3), (3, 4), (4, 5)), ("i,i", (3,), (3,))],
    *[("ij,jk,kl->li", (2, 3), (3, 4), (4, 5)), ("ij,ij->j", (2, 1), (2, 3)), ("ij,ij->j", (2, 3), (1, 3)), ("ij,ij->i", (2, 3), (2, 1))],
    *[("ij,ij", (2, 1), (2, 3)), ("ij,k->i", (2, 3), (4,)), ("iij->j", (3, 3, 2)), ("iji->j", (3, 2, 3)), ("iijj", (2, 2, 3, 3))],
    *[("ab,b,a", (2, 3), (3,), (2,)), ("...i->...", (2, 3, 4)), ("i...->i", (2, 3, 4)), ("...->...", (2, 3)), ("ij->i...", (2, 3))],
    *[
        ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
        ("nij,nkl->nikjl", (2, 3, 4), (2, 3, 2)),
        (",ij", (), (2, 3)),
        ("ij,jj->i", (2, 3), (3, 3)),
    ],
    *[("bij,jk->bik", (2, 3, 4), (4, 5)), ("bi,bj->bij", (2, 3), (2, 4)), ("abc,cd,de->abe", (2, 3, 4), (4, 5), (5, 6))],
    *[("a...b,b...->a...", (2, 3, 4), (4, 3)), ("aB,Bc", (2, 3), (3, 4)), ("ij , jk -> ik", (2, 3), (3, 4)), ("i->", (0,)), ("->", ())],
    *[
        ("ij,jk", (2, 0), (0, 3)),
        ("...,...->...", (2, 3), (3,)),
        ("ik,jkl,il->ij", (2, 3), (4, 3, 5), (2, 5)),
        ("a,b,c->cab", (2,), (3,), (4,)),
    ],
    *[
        ("ij,ij->", (2, 3), (2, 3)),
        ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
        ("...ij->...ji", (2, 3, 4)),
        ("i,ij,j->", (2,), (2, 3), (3,)),
    ],
]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("case", EQUATIONS)
def test_einsum(case, dtype):
    equation, *shapes = case
    same_gradients(f"T.einsum({equation!r}, *leaves)", shapes, dtype)


def test_einsum_orders_memory_as_it_computes():
    same_gradients("T.einsum('ij,jk->ki', x, y)", [(2, 3), (3, 4)], strides=False)


EXPRESSIONS = [
    *["T.mm(z(2,3),z(4,5))", "T.mm(z(2),z(2,3))", "T.mm(z(2,3),z(3))", "T.mm(z(2,3),z(3,4).double())", "T.mm(z(2,3).bool(),z(3,2).bool())"],
    *["T.mm(r(2,3),mat2=r(3,4))", "T.mm(o(2,3).int(),o(3,4).int())", "T.mm(o(2,3).half(),o(3,4).half())", "T.mm(r(2,3),r(3,4),out=z(2,4))"],
    *["T.mm(o(2,3).to(T.uint8)*100,o(3,4).to(T.uint8))", "T.mm(z(2,3).int(),z(3,4))", "T.mm(z(2,3).double(),z(3,4).cfloat())"],
    *["T.matmul(z(2,3),z(4,5))", "T.matmul(z(2),z(3))", "T.matmul(z(2),z(3,4))", "T.matmul(z(2,3),z(4))", "T.matmul(z(2,3),z(3).double())"],
    *["T.matmul(z(3),z(3).double())", "T.matmul(z(3),z(3,2).double())", "T.matmul(z(2,2,3),z(3,2).double())", "T.matmul(z(()),z(2))"],
    *["T.matmul(z(2,2,3),z(2,3,2).double())", "T.matmul(z(2,2,3),z(2,3,2).int())", "T.matmul(z(2,2,3),z(4,2))", "T.matmul(z(2),z(()))"],
    *[
        "T.matmul(z(2,2,3),z(2,4,2))",
        "T.matmul(z(2,2,3),z(5,3,2))",
        "T.matmul(z(2,2,3),z(4))",
        "T.matmul(z(4),z(2,3,2))",
        "T.matmul(z(2,2),3)",
    ],
    *[
        "T.matmul(z(2,2),[3])",
        "z(2,2)@3",
        "z(2,2)@[3]",
        "3@z(2,2)",
        "T.matmul(z(2,2),np.zeros((2,2)))",
        "T.matmul(z(2,2).bool(),z(2,2).bool())",
    ],
    *["T.matmul(z(2).bool(),z(2).bool())", "T.matmul(z(2,2).bool(),z(2).bool())", "T.matmul(z(1,2,2).bool(),z(1,2,2).bool())"],
    *["T.matmul(o(2,2).long(),o(2).long())", "T.matmul(o(3,2,2).short(),o(2).short())", "T.matmul(r(2,3),r(3,2),out=z(2,2))"],
    *["T.dot(z(2,2),z(2))", "T.dot(z(2),z(3))", "T.dot(z(2),z(2).double())", "T.dot(z(2).bool(),z(2).bool())", "T.dot(z(0),z(0))"],
    *[
        "T.vdot(z(2),z(3))",
        "T.vdot(z(2,2),z(2,2))",
        "T.vdot(r(3,dtype='complex64'),r(3,dtype='complex64',seed=1))",
        "T.dot(o(2).int(),o(2).int())",
    ],
    *[
        "T.mv(z(2,3),z(2))",
        "T.mv(z(2),z(2))",
        "T.mv(z(2,3),z(3,1))",
        "T.mv(z(2,3),z(3).double())",
        "T.mv(z(2,3).int(),z(3).int())",
        "T.mv(z(0,3),z(3))",
    ],
    *[
        "T.bmm(z(2,3),z(2,3))",
        "T.bmm(z(2,3,4),z(2,3))",
        "T.bmm(z(2,3,4),z(3,4,5))",
        "T.bmm(z(2,3,4),z(2,3,4))",
        "T.bmm(z(2,3,4),z(2,4,4).double())",
    ],
    *[
        "T.outer(z(2,2),z(3))",
        "T.outer(z(2),z(3,3))",
        "T.outer(z(2),z(3).double())",
        "T.outer(z(2).int(),z(3).double())",
        "T.outer(o(2).bool(),o(3).bool())",
    ],
    *["T.inner(z(2),z(3))", "T.inner(z(2,3),z(3,4))", "T.inner(z(2),z(2).double())", "T.inner(o(2).int(),o(2).int())"],
    *["T.addmm(z(2,2),z(2,3),z(3,4))", "T.addmm(z(2,4),z(2,3),z(4,4))", "T.addmm(z(3,4),z(2,3),z(3,4))", "T.addmm(z(()),z(2,3),z(3,4))"],
    *[
        "T.addmm(z(4).double(),z(2,3),z(3,4))",
        "T.addmm(z(4),z(2,3),z(3,4).double())",
        "T.addmm(z(2,4),z(2),z(3,4))",
        "T.addmm(z(2,4),z(2,3),z(3,4),beta=1j)",
    ],
    *[
        "T.addmm(z(1,2,4),z(2,3),z(3,4))",
        "T.addmm(o(2,4).int(),o(2,3).int(),o(3,4).int(),alpha=.5)",
        "T.addmm(o(2,4).int(),o(2,3).int(),o(3,4).int(),beta=.5)",
    ],
    *["r(2,4).addmm_(r(2,3),r(3,4),beta=.5)", "T.addmm(o(2,4)*float('nan'),r(2,3),r(3,4),beta=0)"],
    *[
        "T.addmv(z(3),z(2,3),z(3))",
        "T.addmv(z(2),z(2,3),z(4))",
        "T.addmv(z(2),z(2,3),z(3,1))",
        "T.addmv(z(2).double(),z(2,3),z(3))",
        "T.addmv(z(1),o(2,3),o(3))",
    ],
    *[
        "T.addmv(o(()),o(2,3),o(3))",
        "T.addr(z(2,2),z(2),z(3))",
        "T.addr(z(2,3),z(2,1),z(3))",
        "T.addr(z(2,3).double(),z(2),z(3))",
        "T.addr(z(3),z(2),z(3))",
    ],
    *["T.addr(o(2,3).int(),o(2).int(),o(3).int())", "T.addr(o(2,3).bool(),o(2).bool(),o(3).bool())", "o(2,3).addr_(o(2),o(3),alpha=2)"],
    *[
        "T.baddbmm(z(2,3,4),z(2,3,5),z(2,6,4))",
        "T.baddbmm(z(2,3,3),z(2,3,5),z(2,5,4))",
        "T.baddbmm(z(4),z(2,3,5),z(2,5,4))",
        "T.baddbmm(z(4).double(),z(2,3,5),z(2,5,4))",
    ],
    *[
        "T.baddbmm(z(4),z(3,5),z(2,5,4))",
        "T.addbmm(z(3,4),z(2,3,5),z(2,6,4))",
        "T.addbmm(z(4),z(2,3,5),z(2,5,4))",
        "T.addbmm(z(3,3),z(2,3,5),z(2,5,4))",
    ],
    *[
        "T.addbmm(z(3,4),z(2,3,5),z(3,5,4))",
        "T.addbmm(z(4),z(3,5),z(2,5,4))",
        "T.trace(z(2))",
        "T.trace(z(2,2,2))",
        "T.trace(z(2,3).bool())",
    ],
    *["T.trace(o(2,3).int())", "T.trace(o(2,3).to(T.uint8)*200)", "T.trace(z(0,0))"],
    *[
        "T.cross(z(3),z(4))",
        "T.cross(z(2,2),z(2,2))",
        "T.linalg.cross(z(2,2),z(2,2))",
        "T.cross(z(2,3),z(2,3),dim=0)",
        "T.cross(z(2,3),z(3))",
    ],
    *[
        "T.linalg.cross(z(2,3),z(3))",
        "T.linalg.cross(z(2,3),z(1,3))",
        "T.cross(z(2,3),z(1,3).int())",
        "T.linalg.cross(r(2,3),r(2,3,seed=1))",
    ],
    *["T.kron(z(2),z(2,2).int())", "T.kron(z(()),z(2,2))", "T.kron(o(2).bool(),o(2).bool())", "T.kron(o(2).int(),o(2))"],
    *[
        "T.tensordot(z(2,3),z(4,5),1)",
        "T.tensordot(z(2,3),z(4,5),3)",
        "T.tensordot(z(2,3),z(3,5),([1],[0,1]))",
        "T.tensordot(z(2,3),z(3,5),-1)",
    ],
    *[
        "T.tensordot(z(2,3),z(3,5).double(),1)",
        "T.tensordot(r(2,3),r(3,5),t(1))",
        "T.tensordot(r(2,3),r(3,5),([1],[0]))",
        "T.tensordot(r(2,3),r(3,5),([5],[0]))",
    ],
    *[
        "T.matrix_power(z(2,3),2)",
        "T.matrix_power(z(2),2)",
        "T.matrix_power(o(2,2).int(),2)",
        "T.matrix_power(z(2,2).int(),-1)",
        "T.matrix_power(z(2,2),2.0)",
    ],
    *[
        "T.linalg.multi_dot([z(2,3)])",
        "T.linalg.multi_dot([z(2,3),z(4,3)])",
        "T.linalg.multi_dot([z(3,2),z(2,2,2),z(4)])",
        "T.linalg.multi_dot([z(3,2),z(2,2).double()])",
    ],
    *["T.chain_matmul(z(2,3))", "T.chain_matmul(z(2,3),z(4,3))", "T.chain_matmul(z(2,3),z(3))"],
    *[
        "T.cdist(z(2),z(2))",
        "T.cdist(z(2,3),z(2,4))",
        "T.cdist(z(2,3),z(2,3),p=-1)",
        "T.cdist(z(2,3),z(2,3).double())",
        "T.cdist(z(2,3).int(),z(2,3).int())",
    ],
    *["T.cdist(z(0,3),z(2,3))", "T.cdist(z(5,2,3),z(4,2,3))", "T.cdist(z(2,3),z(2,3),compute_mode='x')", "T.cdist(z(2,0),z(3,0))"],
    *[
        "T.einsum('ij,jk',z(2,3))",
        "T.einsum('ij,jk',z(2,3),z(4,5))",
        "T.einsum('ij->k',z(2,3))",
        "T.einsum('ij->ii',z(2,3))",
        "T.einsum('i.j',z(2,3))",
    ],
    *[
        "T.einsum('ijk',z(2,3))",
        "T.einsum('i',z(2,3))",
        "T.einsum('ij,jk->ik',z(2,3),z(3,4).double())",
        "T.einsum('i1',z(2,3))",
        "T.einsum('ii',z(2,3))",
    ],
    *[
        "T.einsum('...,...',z(2,3),z(4,3))",
        "T.einsum('ij')",
        "T.einsum('ij-> i j ->',z(2,3))",
        "T.einsum('i-j',z(2,3))",
        "T.einsum('ij,ij',o(2,3).int(),o(2,3).int())",
    ],
    *[
        "T.einsum('...ij...',z(2,3))",
        "T.einsum('ij,jk,',z(2,3),z(3,4))",
        "T.einsum('ij,jk,->ik',r(2,3),r(3,4),r())",
        "T.einsum('ij',z(2,3),z(2))",
    ],
    *[
        "T.einsum(r(2,3),[0,1],r(3,4),[1,2])",
        "T.einsum(r(2,3),[0,...],r(3,4),[1,...])",
        "T.einsum(z(2,3),[0,60])",
        "T.einsum('ijk...',z(2,3))",
    ],
    *[
        "T.einsum(r(2,3),[0,...],r(4,3),[1,...],[1,0,...])",
        "T.einsum('ij,jk->ik',[r(2,3),r(3,4)])",
        "T.einsum('ij, jk -> ik',r(2,3),r(3,4))",
        "T.einsum('i..',z(2,3))",
    ],
    *["T.bilinear(z(3,2),z(3,4),z(5,2,5),None)", "T.bilinear(z(3,2),z(2,4),z(5,2,4),None)", "T.bilinear(z(3,2),z(3,4),z(5,2,4),z(4))"],
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression):
    same_expression(expression, strides="half" not in expression)


CDISTS = [
    (shapes, p)
    for shapes in ([(3, 2), (4, 2)], [(2, 3, 2), (2, 4, 2)], [(2, 1, 3, 2), (5, 4, 2)])
    for p in (0, 0.5, 1, 1.5, 2, 3, float("inf"))
]


@pytest.mark.parametrize(("shapes", "p"), CDISTS)
def test_cdist(shapes, p):
    same_gradients(f"T.cdist(x, y, p=T.{p})" if p == float("inf") else f"T.cdist(x, y, p={p})", shapes, second=False, names=False)


def test_cdist_of_equal_points_has_gradient_zero():
    for p in (1, 1.5, 2, 3):
        same_gradients(f"T.cdist(x, x[:2], p={p}).sum()", [(3, 2)], second=False)


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist", "use_mm_for_euclid_dist_if_necessary"])
def test_cdist_modes(mode):
    same_gradients(f"T.cdist(x, y, compute_mode={mode!r})", [(30, 4), (5, 4)], second=False, names=False)


@pytest.mark.parametrize("order", ["nuc", 2, -2])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 5), (2, 3, 4)])
@pytest.mark.parametrize("complex_numbers", [False, True])
def test_second_derivatives_of_norms_by_singular_values(order, shape, complex_numbers):
    draws = np.random.default_rng(0).normal(size=(4, *shape))
    matrices, weights = (draws[0] + 1j * draws[1], draws[2] + 1j * draws[3]) if complex_numbers else draws[:2]
    found = []
    for side in (torch, ndgrad):
        x = side.tensor(matrices, requires_grad=True)
        (gradient,) = side.autograd.grad((side.linalg.matrix_norm(x, order) ** 2).sum(), x, create_graph=True)
        inner = (gradient * side.tensor(weights).conj()).sum()
        (second,) = side.autograd.grad(inner.real if complex_numbers else inner, x)
        found.append(second.numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-10)
