"""A chemical reaction that makes patterns (the Brusselator), stepped implicitly: each step solves 7,200 equations by Newton's method.

    python examples/sparse_newton.py
"""

import scipy.sparse
import scipy.sparse.linalg

import ndgrad as torch
from ndgrad.func import sparse_jacobian

n, feed, conversion = 60, 1.0, 2.2
spread = torch.tensor([0.5, 5.0], dtype=torch.float64).reshape(2, 1, 1)
torch.manual_seed(0)


def rate(state):
    """How fast the two substances (one grid each, without borders) change, by reaction and by diffusion to the four neighbours."""
    a, b = state
    reaction = torch.stack([feed - (conversion + 1) * a + a * a * b, conversion * a - a * a * b])
    neighbours = state.roll(1, 1) + state.roll(-1, 1) + state.roll(1, 2) + state.roll(-1, 2)
    return reaction + spread * (neighbours - 4 * state)


def implicit_step(jacobian, state, dt):
    """The state for which `next - state = dt * rate(next)`, and how many iterations that took."""
    following = state.clone()
    for iteration in range(1, 11):
        slope, matrix = jacobian.with_value(following)
        residual = following - state - dt * slope
        if residual.abs().max() < 1e-10:
            return following, iteration - 1
        newton = scipy.sparse.eye_array(matrix.shape[0]) - dt * matrix
        change = scipy.sparse.linalg.spsolve(newton.tocsc(), residual.reshape(-1).numpy())
        following = following - torch.from_numpy(change).reshape(2, n, n)
    raise RuntimeError("Newton's method does not converge; take smaller steps")


equilibrium = torch.tensor([feed, conversion / feed], dtype=torch.float64).reshape(2, 1, 1)
state = equilibrium + 0.01 * torch.randn(2, n, n, dtype=torch.float64)
jacobian = sparse_jacobian(rate)
for step in range(1, 5):
    state, iterations = implicit_step(jacobian, state, 1.0)
    print(f"time {step}: {iterations} iterations, largest deviation from equilibrium {(state - equilibrium).abs().max().item():.4f}")

matrix = jacobian(state)
print(f"Jacobian: {matrix.shape[0]} x {matrix.shape[1]} with {matrix.nnz} elements, by {jacobian.passes} passes")

# Every derivative along a direction is the matrix times that direction.
direction = torch.randn(2, n, n, dtype=torch.float64)
with torch.autograd.forward_ad.dual_level():
    tangent = torch.autograd.forward_ad.unpack_dual(rate(torch.autograd.forward_ad.make_dual(state, direction))).tangent
product = torch.from_numpy(matrix @ direction.reshape(-1).numpy()).reshape(2, n, n)
print("largest difference from forward mode below 1e-12:", ((product - tangent).abs().max() < 1e-12).item())
