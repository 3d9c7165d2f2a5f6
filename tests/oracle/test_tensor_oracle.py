"""Programs that use a tensor as a Python object, run by both libraries."""

import copy

import pytest
import torch

import ndgrad
from tests.oracle.both import PROGRAMS, check, program


@program
def the_tensor_as_an_object_01(torch, show, attempt):
    x = torch.ones(2)
    v = x.view(2, 1)
    show(copy.copy(v)._is_view())
    a, b = copy.deepcopy([x, v])
    a.mul_(5)
    show(b)


@program
def the_tensor_as_an_object_02(torch, show, attempt):
    attempt(lambda: bool(torch.ones(2)))
    attempt(lambda: bool(torch.ones(0)))
    attempt(lambda: bool(torch.tensor(2.0)))
    attempt(lambda: bool(torch.tensor([[0]])))
    attempt(lambda: float(torch.ones(2)))
    attempt(lambda: float(torch.ones(1)))
    attempt(lambda: int(torch.tensor(2.7)))
    attempt(lambda: int(torch.tensor(1j)))
    attempt(lambda: float(torch.tensor(1j)))
    attempt(lambda: float(torch.tensor(1 + 0j)))
    attempt(lambda: complex(torch.tensor(2.0)))
    attempt(lambda: [1, 2, 3][torch.tensor(1)])
    attempt(lambda: [1, 2, 3][torch.tensor(1.0)])
    attempt(lambda: [1, 2, 3][torch.tensor([1])])
    attempt(lambda: [1, 2, 3][torch.tensor([1, 1])])
    attempt(lambda: [1, 2, 3][torch.tensor(True)])


@program
def the_tensor_as_an_object_03(torch, show, attempt):
    attempt(lambda: len(torch.ones(3, 2)))
    attempt(lambda: len(torch.tensor(1.0)))
    attempt(lambda: iter(torch.tensor(1.0)))
    attempt(lambda: list(torch.arange(3)))
    attempt(lambda: [t for t in torch.ones(2, 2)])


@program
def the_tensor_as_an_object_04(torch, show, attempt):
    attempt(lambda: f"{torch.tensor(3.14159):.2f}")
    attempt(lambda: f"{torch.tensor(3):d}")
    attempt(lambda: f"{torch.ones(2)}")
    attempt(lambda: f"{torch.ones(2):.2f}")
    attempt(lambda: f"{torch.tensor(3.5)}")
    attempt(lambda: f"{torch.tensor(3.5, requires_grad=True)}")
    attempt(lambda: f"{torch.tensor(3.5, requires_grad=True):.1f}")
    attempt(lambda: "%.2f" % torch.tensor(2.0))  # noqa: UP031  the old operator is what is tested
    attempt(lambda: f"{torch.tensor([3.5])}")
    attempt(lambda: f"{torch.tensor([3.5]):.1f}")


@program
def the_tensor_as_an_object_05(torch, show, attempt):
    x = torch.ones(2)
    attempt(lambda: x.item())
    attempt(lambda: torch.ones(1, 1).item())
    attempt(lambda: torch.tensor(True).item())
    attempt(lambda: torch.ones(2, 2).tolist())
    attempt(lambda: torch.tensor(3).tolist())
    show(hash(x) == hash(x), x in {x: 1})
    attempt(lambda: 1.0 in torch.ones(2))


@program
def the_tensor_as_an_object_06(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    attempt(lambda: x.tolist())
    attempt(lambda: (x * 2).tolist())
    attempt(lambda: x.sum().item())
    y = x * 2

    def f():
        y.requires_grad = False

    attempt(f)

    def f():
        y.requires_grad = True

    attempt(f)

    def f():
        x.requires_grad = 3

    attempt(f)

    def f():
        torch.tensor([1]).requires_grad = True

    attempt(f)
    attempt(lambda: torch.tensor([1]).requires_grad_())
    attempt(lambda: torch.tensor([1], requires_grad=True))
    attempt(lambda: torch.ones(2, dtype=torch.int32, requires_grad=True))
    attempt(lambda: y.requires_grad_(False))
    attempt(lambda: torch.tensor([True]).requires_grad_(False))


@program
def the_tensor_as_an_object_07(torch, show, attempt):
    y = torch.ones(2, requires_grad=True) * 2
    show(y.grad)


@program
def the_tensor_as_an_object_08(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)

    def s(v):

        def f():
            x.data = v

        return f

    attempt(s(3))
    attempt(s(torch.zeros(3)))
    show(x)
    attempt(s(torch.zeros(2, dtype=torch.int64)))
    show(x)
    attempt(s(torch.zeros(2, dtype=torch.float64)))
    show(x.dtype)


@program
def the_tensor_as_an_object_09(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    d = x.data
    show(d.requires_grad, d._version)
    d.mul_(3)
    show(x, x._version, d._version)
    x.data = torch.ones(2) * 7
    show(x, x._version, d)


@program
def the_tensor_as_an_object_10(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    g = x.grad
    (x * 2).sum().backward()
    show(x.grad is g, g, g._version)
    g.mul_(0)
    (x * 2).sum().backward()
    show(x.grad is g, g._version)
    (x * 2).sum().backward(create_graph=True)
    show(x.grad is g)


@program
def the_tensor_as_an_object_11(torch, show, attempt):
    x = torch.ones(3, requires_grad=True)
    show(
        x.is_leaf,
        x.output_nr,
        x.grad_fn,
        x._base,
        x.ndim,
        x.dim(),
        x.numel(),
        x.nelement(),
        x.size(),
        x.size(0),
        x.stride(),
        x.storage_offset(),
        x.element_size(),
        x.nbytes,
        x.itemsize,
        x.is_contiguous(),
        x.device,
        x.layout,
        x.is_cuda,
        x.names if False else 0,
        x.retains_grad,
        x.T.shape if False else 0,
        x.get_device(),
        x.is_signed(),
        x.is_complex(),
        x.is_floating_point(),
    )
    attempt(lambda: x.size(3))
    attempt(lambda: x.size(-4))
    attempt(lambda: torch.tensor(1.0).size(0))
    attempt(lambda: x.stride(5))
    attempt(lambda: x.shape[1])


@program
def the_tensor_as_an_object_12(torch, show, attempt):
    x = torch.ones(3)
    attempt(lambda: x.new_foo)
    x.requires_grad = True
    show(x.requires_grad)
    attempt(lambda: reversed(x))


@program
def the_tensor_as_an_object_13(torch, show, attempt):
    a = torch.zeros(2, 3, requires_grad=True)
    show(a.t().requires_grad, isinstance(a, torch.autograd.Variable), a.t()._base is a, a.t().t()._base is a, a.detach()._base)


@program
def the_tensor_as_an_object_14(torch, show, attempt):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    z = y.view(2, 1)
    show(z.output_nr, z.is_leaf, z.grad_fn.next_functions[0][0].name())
    del x
    y.sum().backward()


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)


def test_in_place_functions_are_those_of_torch():
    missing = {"embedding_renorm_", "i0_", "resize_as_sparse_"}  # operations that ndgrad has in no form
    theirs, ours = ({name for name in vars(lib) if name.endswith("_") and name[0] != "_"} - {"bool_"} for lib in (torch, ndgrad))
    assert ours == theirs - missing
    assert not any(hasattr(ndgrad.Tensor, name) for name in missing)
