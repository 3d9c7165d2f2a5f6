"""An ensemble of networks as one: their weights stacked, one call for all, and what they disagree about is what they have not seen.

    python examples/model_ensembling.py
    ndgrad run examples/model_ensembling.py
"""

import copy

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
MODELS, POINTS, RATE = 6, 40, 0.05


def new_network():
    return torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))


networks = [new_network() for _ in range(MODELS)]
weights, buffers = stack_module_state(networks)
skeleton = copy.deepcopy(networks[0])  # says how to compute; whose weights it has does not matter
print("stacked:", {name: list(value.shape) for name, value in weights.items() if name.startswith("2")})


def output(model_weights, model_buffers, inputs):
    return functional_call(skeleton, (model_weights, model_buffers), (inputs,))


same_batch, other_batches = torch.randn(POINTS, 1), torch.randn(MODELS, POINTS, 1)
for name, in_dims, inputs in ("the same batch", (0, 0, None), same_batch), ("other batches", (0, 0, 0), other_batches):
    together = vmap(output, in_dims=in_dims)(weights, buffers, inputs)
    looped = torch.stack([network(inputs if inputs is same_batch else inputs[at]) for at, network in enumerate(networks)])
    print(f"{name}: {list(together.shape)}, like the loop's: {torch.allclose(together, looped)}")


def loss(model_weights, model_buffers, inputs, targets):
    return (output(model_weights, model_buffers, inputs) - targets).square().mean()


# Each learns from points of its own between -2 and 2, and all take their step at once.
inputs = torch.rand(MODELS, POINTS, 1) * 4 - 2
targets = torch.sin(2 * inputs) + 0.1 * torch.randn(inputs.shape)
weights = {name: value.detach() for name, value in weights.items()}
step = vmap(grad_and_value(loss))
for number in range(401):
    gradients, losses = step(weights, buffers, inputs, targets)
    weights = {name: value - RATE * gradients[name] for name, value in weights.items()}
    if number % 200 == 0:
        print(f"step {number:3}: losses", " ".join(f"{each:.3f}" for each in losses.tolist()))

where = torch.tensor([[-1.0], [0.0], [1.0], [4.0], [8.0]])
answers = vmap(output, in_dims=(0, 0, None))(weights, buffers, where).squeeze(2)
for x, mean, spread in zip(where[:, 0].tolist(), answers.mean(0).tolist(), answers.std(0).tolist(), strict=True):
    print(f"at {x:4.1f}: {mean:6.2f} +- {spread:.2f}")
