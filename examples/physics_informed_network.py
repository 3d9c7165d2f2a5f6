"""A network that learns the motion of a damped oscillator from its differential equation alone (a physics-informed network).

    python examples/physics_informed_network.py
    ndgrad run examples/physics_informed_network.py
"""

import math

import torch
from torch.func import functional_call, grad, jacrev, vmap

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
DAMPING, FREQUENCY, END = 0.3, 2.0, 6.0
network = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
parameters = {name: value.detach() for name, value in network.named_parameters()}


def position(weights, time):
    """A motion that starts at 1 without speed, whatever the weights are; the network does the rest."""
    return 1 + time**2 * functional_call(network, weights, (time.reshape(1) - END / 2,)).squeeze()


def residual(weights, time):
    """What the equation x'' + 2 d x' + w^2 x = 0 leaves over at one time: derivatives by the time are gradients of the network."""
    speed = grad(position, argnums=1)
    acceleration = grad(speed, argnums=1)
    return acceleration(weights, time) + 2 * DAMPING * speed(weights, time) + FREQUENCY**2 * position(weights, time)


def exact(time):
    rate = math.sqrt(FREQUENCY**2 - DAMPING**2)
    return torch.exp(-DAMPING * time) * (torch.cos(rate * time) + DAMPING / rate * torch.sin(rate * time))


times = torch.linspace(0, END, 60)
residuals = vmap(residual, in_dims=(None, 0))  # at all times at once
jacobian = jacrev(residuals)  # a third derivative: by the weights, of what has second derivatives by the time
left, damping = residuals(parameters, times), 1e-1
for step in range(41):
    if step % 10 == 0:
        print(f"step {step:2}: mean squared residual {left.square().mean().item():.1e}")
    # Levenberg and Marquardt's step: least squares of the linearised residuals, with less damping for as long as that succeeds.
    matrix = torch.cat([part.reshape(len(times), -1) for part in jacobian(parameters, times).values()], dim=1)
    normal = matrix.T @ matrix
    for _ in range(8):
        change = torch.linalg.inv(normal + damping * torch.eye(len(normal))) @ (matrix.T @ left)
        parts = change.split([value.numel() for value in parameters.values()])
        tried = {name: value - part.reshape(value.shape) for (name, value), part in zip(parameters.items(), parts, strict=True)}
        new = residuals(tried, times)
        if new.square().sum() < left.square().sum():
            parameters, left, damping = tried, new, damping / 10
            break
        damping *= 4

between = torch.linspace(0, END, 500)
error = (vmap(position, in_dims=(None, 0))(parameters, between) - exact(between)).abs().max()
print("largest error against the closed form below 1e-3:", (error < 1e-3).item())
