"""The gradient of every sample by itself, for all samples at once, and what that is for: a step of training that keeps samples private.

    python examples/per_sample_gradients.py
    ndgrad run examples/per_sample_gradients.py
"""

from time import perf_counter

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap

torch.manual_seed(0)
SAMPLES, CLASSES, LARGEST_NORM, NOISE, RATE = 64, 5, 1.0, 0.5, 0.5
network = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, CLASSES))
parameters = {name: value.detach() for name, value in network.named_parameters()}
inputs, targets = torch.randn(SAMPLES, 20), torch.randint(CLASSES, (SAMPLES,))


def loss(weights, sample, target):
    """The loss of one sample: nothing here knows of batches."""
    return F.cross_entropy(functional_call(network, weights, (sample,)), target)


def one_by_one():
    """The loop that this does away with."""
    each = [torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters())) for x, y in zip(inputs, targets, strict=True)]
    return {name: torch.stack(gradients) for name, gradients in zip(parameters, zip(*each, strict=True), strict=True)}


def seconds(function):
    start = perf_counter()
    function()
    return perf_counter() - start


every = vmap(grad(loss), in_dims=(None, 0, 0))  # weights in common, samples and targets along dim 0
gradients, looped = every(parameters, inputs, targets), one_by_one()
for name, gradient in gradients.items():
    print(f"{name:8} {list(gradient.shape)!s:12} like the loop's: {torch.allclose(gradient, looped[name], atol=1e-6)}")
expected = network(inputs).detach().softmax(1) - F.one_hot(targets, CLASSES)
print("on the last bias, probabilities minus targets:", torch.allclose(gradients["4.bias"], expected, atol=1e-6))
ratio = min(seconds(one_by_one) for _ in range(5)) / min(seconds(lambda: every(parameters, inputs, targets)) for _ in range(5))
print(f"the loop takes {ratio:.1f} times as long")

# No sample may move the weights by more than a bound, and noise as large as that bound hides whether it was there at all.
norms = sum(gradient.flatten(1).square().sum(1) for gradient in gradients.values()).sqrt()
shares = (LARGEST_NORM / norms).clamp(max=1.0)
clipped = {name: torch.einsum("s,s...->s...", shares, gradient) for name, gradient in gradients.items()}
clipped_norms = sum(gradient.flatten(1).square().sum(1) for gradient in clipped.values()).sqrt()
print(f"norms from {norms.min().item():.3f} to {norms.max().item():.3f}, clipped to at most {clipped_norms.max().item():.3f}")
private = {name: (part.sum(0) + NOISE * LARGEST_NORM * torch.randn(part.shape[1:])) / SAMPLES for name, part in clipped.items()}
after = {name: value - RATE * private[name] for name, value in parameters.items()}
every_loss = vmap(loss, in_dims=(None, 0, 0))
print(f"mean loss {every_loss(parameters, inputs, targets).mean().item():.4f}", end=", ")
print(f"after a private step {every_loss(after, inputs, targets).mean().item():.4f}")
