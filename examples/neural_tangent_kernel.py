"""The neural tangent kernel of a network: how much a step of training on one input changes its output at another.

    python examples/neural_tangent_kernel.py
    ndgrad run examples/neural_tangent_kernel.py
"""

import numpy as np
import torch
from torch.func import functional_call, jacrev, jvp, vjp, vmap

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
INPUTS, OUTPUTS = 8, 2
network = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Tanh(), torch.nn.Linear(64, OUTPUTS))
parameters = {name: value.detach() for name, value in network.named_parameters()}
points, others = torch.randn(INPUTS, 3), torch.randn(5, 3)


def output(weights, point):
    return functional_call(network, weights, (point,))


def kernel_by_jacobians(these, those):
    """J(x) J(y)^T for all pairs: quick, but every Jacobian is held in memory."""
    jacobians = vmap(jacrev(output), in_dims=(None, 0))
    left, right = jacobians(parameters, these), jacobians(parameters, those)
    return sum(torch.einsum("xaw,ybw->xyab", left[name].flatten(2), right[name].flatten(2)) for name in parameters)


def kernel_by_products(these, those):
    """The same from vjp and jvp: J(x) (J(y)^T v) for every unit vector v, and no Jacobian anywhere."""

    def of_pair(x, y):
        _, pull = vjp(lambda weights: output(weights, y), parameters)
        columns = vmap(lambda v: jvp(lambda weights: output(weights, x), (parameters,), pull(v))[1], out_dims=1)
        return columns(torch.eye(OUTPUTS))

    return vmap(vmap(of_pair, in_dims=(None, 0)), in_dims=(0, None))(these, those)


for those in others, points:
    kernel, by_products = kernel_by_jacobians(points, those), kernel_by_products(points, those)
    print(f"kernel: {list(kernel.shape)}, the same from products: {torch.allclose(kernel, by_products, rtol=1e-10)}")
matrix = kernel.permute(0, 2, 1, 3).reshape(INPUTS * OUTPUTS, INPUTS * OUTPUTS)
eigenvalues = np.linalg.eigvalsh(matrix.numpy())
print("symmetric:", torch.allclose(matrix, matrix.T, rtol=1e-12), " smallest eigenvalue positive:", bool(eigenvalues[0] > 0))
print(f"largest eigenvalue {eigenvalues[-1]:.4f}, trace {matrix.trace().item():.4f}")

# What the kernel is for: a small step down the squared error moves outputs by -rate * K * errors, and the rest is of second order.
targets = torch.sin(points[:, :OUTPUTS])
outputs_of = vmap(output, in_dims=(None, 0))
outputs, pull = vjp(lambda weights: outputs_of(weights, points), parameters)
(gradient,) = pull(outputs - targets)
for rate in (1e-3, 1e-4):
    stepped = {name: value - rate * gradient[name] for name, value in parameters.items()}
    change = outputs_of(stepped, points) - outputs
    share = (change + rate * torch.einsum("xyab,yb->xa", kernel, outputs - targets)).norm() / change.norm()
    print(f"step {rate:.0e}: outputs change by {change.norm().item():.3e}, unforeseen {share.item():.1e} of it")
