"""A critic with a gradient penalty (WGAN-GP): its loss contains a gradient, so that training differentiates twice.

    python examples/gradient_penalty.py
    ndgrad run examples/gradient_penalty.py
"""

import math

import torch
import torch.nn.functional as F

torch.manual_seed(0)


def layer(inputs, outputs):
    weight = torch.nn.init.kaiming_uniform_(torch.empty(outputs, inputs), a=math.sqrt(5))
    return weight.requires_grad_(), torch.zeros(outputs, requires_grad=True)


layers = [layer(2, 32), layer(32, 32), layer(32, 1)]
parameters = [parameter for pair in layers for parameter in pair]


def critic(points):
    for weight, bias in layers[:-1]:
        points = F.leaky_relu(F.linear(points, weight, bias), 0.2)
    return F.linear(points, *layers[-1])


def gradient_penalty(real, fake):
    """How far the slope of the critic is from 1, at points on the way from real to fake ones."""
    share = torch.rand(len(real), 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    score = critic(between)
    # create_graph records the gradient like everything else: what is made of it can be differentiated again.
    (slope,) = torch.autograd.grad(score, between, torch.ones_like(score), create_graph=True)
    return (slope.norm(2, dim=1) - 1).square().mean()


for step in range(151):
    real = torch.randn(64, 2) * 0.3 + torch.tensor([1.0, -1.0])
    fake = torch.randn(64, 2)
    penalty = gradient_penalty(real, fake)
    distance = critic(real).mean() - critic(fake).mean()
    for parameter in parameters:
        parameter.grad = None
    (10 * penalty - distance).backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter -= 0.01 * parameter.grad
    if step % 50 == 0:
        print(f"step {step:3}: distance {distance.item():6.3f}, penalty {penalty.item():.3f}")

# A bias of the last layer moves all scores alike, so the penalty says nothing of it.
unused = torch.autograd.grad(gradient_penalty(real, fake), layers[-1], allow_unused=True)
print("the penalty depends on the last weight:", unused[0] is not None, "and on the last bias:", unused[1] is not None)
