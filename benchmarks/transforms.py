"""The workloads of transforms: programs of `torch.func` and `torch.autograd.functional`, as in `benchmarks.workloads`."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

Torch = Any
Step = Callable[[], Any]
Values = Callable[[], list[float]]


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def hessian(torch: Torch, of: Callable[[Torch, Any], Any]) -> tuple[Step, Values]:
    x = torch.linspace(-1, 1, 100)
    return (lambda: of(torch, x)), lambda: of(torch, x).flatten().tolist()


def functional_hessian(torch: Torch) -> tuple[Step, Values]:
    return hessian(torch, lambda torch, x: torch.autograd.functional.hessian(rosenbrock, x))


def func_hessian(torch: Torch) -> tuple[Step, Values]:
    compute = torch.func.hessian(rosenbrock)
    return hessian(torch, lambda torch, x: compute(x))


def linear_gradients(torch: Torch) -> tuple[Step, Values]:
    torch.manual_seed(0)
    weight, bias, inputs, targets = torch.randn(10, 20), torch.randn(10), torch.randn(256, 20), torch.randn(256, 10)
    linear = torch.nn.functional.linear

    def loss(weight: Any, x: Any, y: Any) -> Any:
        return ((linear(x, weight, bias) - y) ** 2).sum()

    compute = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    return (lambda: compute(weight, inputs, targets)), lambda: compute(weight, inputs, targets).flatten().tolist()


def mlp_jacobian(torch: Torch, transform: str) -> tuple[Step, Values]:
    torch.manual_seed(0)
    w1, b1, w2, b2 = torch.randn(64, 32) * 0.2, torch.randn(64), torch.randn(32, 64) * 0.1, torch.randn(32)
    linear, tanh, x = torch.nn.functional.linear, torch.tanh, torch.randn(32)
    compute = getattr(torch.func, transform)(lambda x: linear(tanh(linear(x, w1, b1)), w2, b2))
    return (lambda: compute(x)), lambda: compute(x).flatten().tolist()


def per_sample(torch: Torch) -> tuple[Step, Step, Values]:
    """Gradients of a loss by the parameters for each of 64 samples: at once, and in a loop."""
    torch.manual_seed(0)
    sizes = (32, 64, 64, 10)
    parameters = tuple(torch.randn(outs, ins) * ins**-0.5 for ins, outs in pairwise(sizes))
    inputs, labels = torch.randn(64, 32), torch.randint(0, 10, (64,))
    linear, relu, cross_entropy = torch.nn.functional.linear, torch.relu, torch.nn.functional.cross_entropy

    def loss(parameters: Any, x: Any, label: Any) -> Any:
        first, second, third = parameters
        return cross_entropy(linear(relu(linear(relu(linear(x, first)), second)), third), label)

    one = torch.func.grad(loss)
    every = torch.func.vmap(one, in_dims=(None, 0, 0))

    def at_once() -> Any:
        return every(parameters, inputs, labels)

    def in_turn() -> Any:
        return [one(parameters, x, label) for x, label in zip(inputs, labels, strict=True)]

    return at_once, in_turn, lambda: [g.abs().sum().item() for g in at_once()] + [sum(row[2].abs().sum().item() for row in in_turn())]


def chain_both_ways(torch: Torch) -> tuple[Step, Step, Values]:
    """The derivative of a chain of 100 operations on a number: forward, and in reverse."""
    x, one = torch.tensor(0.5), torch.tensor(1.0)

    def chain(x: Any) -> Any:
        for _ in range(50):
            x = torch.sin(x) + 0.5
        return x

    slope = torch.func.grad(chain)

    def forward() -> Any:
        return torch.func.jvp(chain, (x,), (one,))[1]

    return forward, (lambda: slope(x)), lambda: [forward().item(), slope(x).item()]
