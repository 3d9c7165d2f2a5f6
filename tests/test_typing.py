"""A user's program under a type checker: mypy reads this file, and here it runs to show that the types are true."""

from typing import Any, assert_type

import ndgrad as torch
import ndgrad.nn.functional as F
from ndgrad import Tensor


def check(value: Any, kind: type) -> None:
    assert isinstance(value, kind)


def test_operators_give_tensors() -> None:
    x = torch.tensor(2.0)
    for value in (
        assert_type(x * 2, Tensor),
        assert_type(2 * x, Tensor),
        assert_type(1 - x / 2.0, Tensor),
        assert_type(x**2, Tensor),
        assert_type(2.0**x, Tensor),
        assert_type(-abs(x), Tensor),
        assert_type(x == 2, Tensor),
        assert_type(x > 3, Tensor),
        assert_type((x > 1) & ~(x > 3), Tensor),
        assert_type(x[None] @ x[..., None], Tensor),
    ):
        check(value, Tensor)
    x += 1
    x *= x
    check(assert_type(x, Tensor), Tensor)


def test_functions_and_methods_give_what_they_say() -> None:
    x = torch.arange(6).float().reshape(2, 3)
    check(assert_type(torch.sin(x).sum(0, keepdim=True).T, Tensor), Tensor)
    check(assert_type(torch.add(x, 1, alpha=2, out=torch.empty(2, 3)), Tensor), Tensor)
    check(assert_type(torch.linalg.vector_norm(x, dim=1), Tensor), Tensor)
    check(assert_type(F.softmax(x, dim=1), Tensor), Tensor)
    check(assert_type(x.chunk(2), tuple[Tensor, ...]), tuple)
    for row in x:
        check(assert_type(row.real, Tensor), Tensor)
    check(assert_type(x.is_contiguous(), bool), bool)
    check(assert_type(x.dtype, torch.dtype), torch.dtype)
    check(assert_type(torch.FloatTensor([1.0]), Tensor), Tensor)
    x[0] = x[x > 2].mean()
    x.real = x.add_(1).clamp(max=2)


def test_the_graph() -> None:
    x = torch.ones(3, requires_grad=True)
    handle = x.register_hook(lambda g: g * 2)
    (x * x).sum().backward()
    handle.remove()
    assert x.grad is not None
    check(assert_type(x.grad, Tensor), Tensor)
    node = (x * 2).grad_fn
    assert node is not None
    node.register_prehook(lambda gradients: None).remove()
    check(assert_type(torch.nn.Parameter(x) * 2, Tensor), Tensor)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        self.scale = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.relu(self.layers(x)) * self.scale


def test_modules() -> None:
    net = Net()
    check(assert_type(net.train().double().float(), Net), Net)
    for parameter in net.parameters():
        check(assert_type(parameter, torch.nn.Parameter), torch.nn.Parameter)
    for name, buffer in net.named_buffers():
        assert_type(name, str)
        assert_type(buffer, Tensor)
    check(assert_type(net.layers[:1], torch.nn.Sequential), torch.nn.Sequential)
    net.register_forward_hook(lambda module, args, output: None).remove()
    check(net(torch.ones(1, 2)), Tensor)
    check(assert_type(torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0), Tensor), Tensor)


@torch.no_grad()
def doubled(x: Tensor) -> Tensor:
    return x * 2


def test_decorated_functions_keep_their_types() -> None:
    with torch.no_grad(), torch.enable_grad():
        check(assert_type(doubled(torch.ones(2)), Tensor), Tensor)


def test_what_is_not_there_is_an_error() -> None:
    # if the checker believed in these names, it would say that the comments have no use
    errors = []
    try:
        torch.jit.script(doubled)  # type: ignore[attr-defined]  # not in ndgrad
    except AttributeError as error:
        errors.append(str(error))
    try:
        torch.ones(1).cosine()  # type: ignore[attr-defined]  # no such method
    except AttributeError as error:
        errors.append(str(error))
    assert len(errors) == 2
