"""Learning to learn (MAML): initial weights from which few steps on ten points are enough for any sine wave.

    python examples/maml_regression.py
    ndgrad run examples/maml_regression.py
"""

import math

import torch
from torch.func import functional_call, grad, vmap

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
TASKS, POINTS, INNER_RATE, RATE = 16, 10, 0.03, 0.01
network = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))


def loss(weights, inputs, targets):
    return (functional_call(network, weights, (inputs,)) - targets).square().mean()


def adapted(weights, inputs, targets, steps=1):
    """The weights after a few steps of descent on one task: a function like any other, so it has a gradient itself."""
    for _ in range(steps):
        slopes = grad(loss)(weights, inputs, targets)
        weights = {name: value - INNER_RATE * slopes[name] for name, value in weights.items()}
    return weights


def mean_loss_after(weights, tasks, steps=1):
    """How well many tasks are learnt, each with weights of its own, from some points and judged by others."""

    def of_one(seen, seen_targets, unseen, unseen_targets):
        return loss(adapted(weights, seen, seen_targets, steps), unseen, unseen_targets)

    return vmap(of_one)(*tasks).mean()


def draw_tasks(count):
    amplitude, phase = 0.1 + 4.9 * torch.rand(count, 1, 1), math.pi * torch.rand(count, 1, 1)
    seen, unseen = (10 * torch.rand(count, POINTS, 1) - 5 for _ in range(2))
    return seen, amplitude * torch.sin(seen + phase), unseen, amplitude * torch.sin(unseen + phase)


weights = {name: value.detach() for name, value in network.named_parameters()}
means, squares = ({name: torch.zeros_like(value) for name, value in weights.items()} for _ in range(2))
new_tasks = draw_tasks(100)


print("loss on new waves after 0, 1 and 10 steps:", *(f"{mean_loss_after(weights, new_tasks, count).item():.2f}" for count in (0, 1, 10)))
for step in range(1, 201):
    gradients = grad(mean_loss_after)(weights, draw_tasks(TASKS))  # a gradient through gradients
    for name, slope in gradients.items():  # Adam
        means[name] = 0.9 * means[name] + 0.1 * slope
        squares[name] = 0.99 * squares[name] + 0.01 * slope**2
        size = RATE * means[name] / (1 - 0.9**step)
        weights[name] = weights[name] - size / ((squares[name] / (1 - 0.99**step)).sqrt() + 1e-8)
print("and after learning to learn:", *(f"{mean_loss_after(weights, new_tasks, count).item():.2f}" for count in (0, 1, 10)))
