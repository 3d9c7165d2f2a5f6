"""The workloads: programs written with torch's API alone, so that the same code runs on both sides.

A timed workload takes the module (ndgrad or torch) and returns the step to time and a function that gives numbers
to compare; a memory workload returns its forward pass, whose result holds the graph, and the bytes of its inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import transforms

Torch = Any
Step = Callable[[], Any]
Values = Callable[[], list[float]]
TimedProgram = Callable[[Torch], tuple[Step, Values]]
Forward = Callable[[], Any]
MemoryProgram = Callable[[Torch, int], Forward]


@dataclass(frozen=True)
class Timed:
    """Time of one step; torch's time divided by ours must reach ``target``."""

    name: str
    title: str
    target: float
    program: TimedProgram


@dataclass(frozen=True)
class Quotient:
    """Time of one step divided by that of another of the same library, and by ``over``; must not exceed ``target``."""

    name: str
    title: str
    target: float
    program: Callable[[Torch], tuple[Step, Step, Values]]
    over: float = 1.0


@dataclass(frozen=True)
class Memory:
    """Memory that a forward pass (and a backward pass too, if ``backward``) takes on top of its inputs; must not exceed torch's."""

    name: str
    title: str
    program: MemoryProgram
    size: int
    backward: bool


@dataclass(frozen=True)
class Import:
    """Seconds that ``import`` takes in a fresh process; must not exceed ``target``."""

    name: str
    title: str
    target: float


Workload = Timed | Quotient | Memory | Import

HUNDRED = range(100)


def add_small(torch: Torch, recording: bool) -> tuple[Step, Values]:
    torch.manual_seed(0)
    a, b = torch.randn(3, requires_grad=recording), torch.randn(3)

    def step() -> None:
        for _ in HUNDRED:
            a + b

    return step, lambda: (a + b).tolist()


def scale_small(torch: Torch) -> tuple[Step, Values]:
    torch.manual_seed(0)
    a = torch.randn(3, requires_grad=True)

    def step() -> None:
        for _ in HUNDRED:
            a * 2.0

    return step, lambda: (a * 2.0).tolist()


def matmul_small(torch: Torch) -> tuple[Step, Values]:
    torch.manual_seed(0)
    a, b = torch.randn(4, 4, requires_grad=True), torch.randn(4, 4)

    def step() -> None:
        for _ in HUNDRED:
            a @ b

    return step, lambda: (a @ b).flatten().tolist()


def tutorial_step(torch: Torch) -> tuple[Step, Values]:
    torch.manual_seed(0)
    x, y = torch.ones(5), torch.zeros(3)
    w, b = torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)
    w.grad, b.grad = torch.zeros(5, 3), torch.zeros(3)
    loss_function = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> Any:
        w.grad.zero_()
        b.grad.zero_()
        z = torch.matmul(x, w) + b
        loss = loss_function(z, y)
        loss.backward()
        return loss

    return step, lambda: [step().item(), *w.grad.flatten().tolist(), *b.grad.tolist()]


def scalar_products(torch: Torch, count: int) -> tuple[Step, Values]:
    v = torch.tensor(1.5, requires_grad=True)
    times = range(count)

    def step() -> Any:
        v.grad = None
        h = v
        for _ in times:
            h = h * 0.999
        h.backward()
        return h

    return step, lambda: [step().item(), v.grad.item()]


def long_and_short(torch: Torch) -> tuple[Step, Step, Values]:
    long, _ = scalar_products(torch, 100_000)
    short, values = scalar_products(torch, 1_000)
    return long, short, values


def scalar_sines(torch: Torch) -> tuple[Step, Values]:
    v = torch.tensor(0.3, requires_grad=True)
    sin, times = torch.sin, range(500)

    def step() -> Any:
        v.grad = None
        h = v
        for _ in times:
            h = sin(h) + v
        h.backward()
        return h

    return step, lambda: [step().item(), v.grad.item()]


def gelu(torch: Torch) -> tuple[Step, Values]:
    torch.manual_seed(0)
    x = torch.randn(1_000_000, requires_grad=True)

    def step() -> Any:
        x.grad = None
        y = 0.5 * x * (1.0 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))
        total = y.sum()
        total.backward()
        return total

    return step, lambda: [step().item(), x.grad.mean().item(), *x.grad[:5].tolist()]


def six_elementwise(torch: Torch, size: int, backward: bool) -> tuple[Step, Values]:
    torch.manual_seed(0)
    a, b = torch.rand(size, requires_grad=True), torch.rand(size, requires_grad=True)
    gradient = torch.ones(size)

    def forward() -> Any:
        h = a * b
        h = h + a
        h = h * b
        h = h + b
        h = h * a
        return h + a

    def step() -> Any:
        a.grad = b.grad = None
        h = forward()
        h.backward(gradient)
        return h

    def values() -> list[float]:
        h = step()
        return [h.mean().item(), a.grad.mean().item(), b.grad.mean().item(), *h[:3].tolist(), *a.grad[-3:].tolist()]

    return (step if backward else forward), values


def mlp_parameters(torch: Torch) -> list[Any]:
    torch.manual_seed(0)
    parameters = []
    for inputs, outputs in ((784, 256), (256, 256), (256, 10)):
        parameters += [(torch.randn(inputs, outputs) * inputs**-0.5).requires_grad_(), torch.zeros(outputs, requires_grad=True)]
    return parameters


def mlp_step(torch: Torch) -> tuple[Step, Values]:
    parameters = mlp_parameters(torch)
    w1, b1, w2, b2, w3, b3 = parameters
    x, labels = torch.randn(64, 784), torch.randint(0, 10, (64,))
    relu, cross_entropy = torch.relu, torch.nn.functional.cross_entropy

    def step() -> Any:
        hidden = relu(x @ w1 + b1)
        hidden = relu(hidden @ w2 + b2)
        loss = cross_entropy(hidden @ w3 + b3, labels)
        loss.backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 0.01 * parameter.grad
                parameter.grad = None
        return loss

    return step, lambda: [step().item(), step().item(), w1.mean().item(), b3.tolist()[0]]


def filled(torch: Torch, *shape: int) -> Any:
    """Numbers in [0, 1) made without a temporary: what setting up frees would be reused, and hide what is measured."""
    return torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))


def mlp_forward(torch: Torch, batch: int) -> Forward:
    w1, b1, w2, b2, w3, b3 = mlp_parameters(torch)
    x, labels = filled(torch, batch, 784), torch.from_numpy(np.arange(batch) % 10)

    def forward() -> Any:
        hidden = torch.relu(x @ w1 + b1)
        hidden = torch.relu(hidden @ w2 + b2)
        return torch.nn.functional.cross_entropy(hidden @ w3 + b3, labels)

    return forward


def twelve_elementwise(torch: Torch, size: int) -> Forward:
    x = filled(torch, size).requires_grad_()

    def forward() -> Any:
        h = x * 1.5
        h = h + 0.25
        h = torch.sin(h)
        h = h * x
        h = torch.tanh(h)
        h = h - 0.125
        h = torch.exp(h)
        h = h + x
        h = torch.sqrt(h)
        h = torch.sigmoid(h)
        h = h / 3.0
        h = h * h
        return h.sum()

    return forward


def elementwise_rows() -> list[Workload]:
    rows: list[Workload] = []
    for size in (30_000, 300_000, 3_000_000):
        for backward in (False, True):
            what = "and backward" if backward else "recording"
            rows.append(
                Timed(
                    name=f"elementwise_{size}_{'backward' if backward else 'forward'}",
                    title=f"6 x add and mul on {size:,} float32, {what}",
                    target=1.0,
                    program=lambda torch, size=size, backward=backward: six_elementwise(torch, size, backward),
                )
            )
    return rows


WORKLOADS: list[Workload] = [
    Timed("add_no_grad", "100 x a + b, 3 floats, no grad", 1.0, lambda torch: add_small(torch, recording=False)),
    Timed("add_recording", "100 x a + b, 3 floats, recording", 1.1, lambda torch: add_small(torch, recording=True)),
    Timed("scale_recording", "100 x a * 2.0, 3 floats, recording", 1.5, scale_small),
    Timed("matmul_recording", "100 x a @ b, 4 x 4, recording", 1.2, matmul_small),
    Timed("tutorial", "tutorial: zero, matmul, add, BCE, backward", 1.8, tutorial_step),
    Timed("scalar_products", "1000 x h = h * 0.999, 0-d, and backward", 2.0, lambda torch: scalar_products(torch, 1000)),
    Timed("scalar_sines", "500 x h = sin(h) + v, 0-d, and backward", 1.5, scalar_sines),
    Timed("gelu", "tanh-GELU, 1,000,000 float32, and backward", 1.8, gelu),
    *elementwise_rows(),
    Timed("mlp", "MLP 784-256-256-10, batch 64, SGD step", 1.2, mlp_step),
    Quotient("linearity", "per node: 100,000-node chain / 1,000-node", 1.5, long_and_short, over=100),
    Timed("functional_hessian", "autograd.functional.hessian of Rosenbrock, n = 100", 3.0, transforms.functional_hessian),
    Timed("func_hessian", "func.hessian of Rosenbrock, n = 100", 1.0, transforms.func_hessian),
    Timed("vmap_grad", "vmap(grad(loss)), linear 20 -> 10, batch 256", 0.8, transforms.linear_gradients),
    Timed("jacrev", "jacrev of an MLP 32-64-32", 0.8, lambda torch: transforms.mlp_jacobian(torch, "jacrev")),
    Timed("jacfwd", "jacfwd of an MLP 32-64-32", 0.8, lambda torch: transforms.mlp_jacobian(torch, "jacfwd")),
    Quotient("per_sample", "per-sample gradients, MLP, batch 64: vmap / loop", 0.1, transforms.per_sample),
    Quotient("chain_both_ways", "derivative of 100 ops: forward / reverse", 1.0, transforms.chain_both_ways),
    Memory("memory_mlp_saved", "memory: MLP, batch 32,768, saved", mlp_forward, 32_768, backward=False),
    Memory("memory_mlp_peak", "memory: MLP, batch 32,768, peak of a step", mlp_forward, 32_768, backward=True),
    Memory("memory_chain_saved", "memory: 12 ops on 10M float32, saved", twelve_elementwise, 10_000_000, backward=False),
    Memory("memory_chain_peak", "memory: 12 ops on 10M float32, peak", twelve_elementwise, 10_000_000, backward=True),
    Import("import", "import in a fresh process", 0.15),
]
