"""The hydrogen atom by variational Monte Carlo: `laplacian` and `grad` of a wave function, for all walkers at once.

    python examples/local_energy.py
"""

import ndgrad as torch
from ndgrad.func import grad, hessian_diag, laplacian, vmap

torch.manual_seed(0)
WALKERS = 4000


def log_wave(walker, decay):
    """The logarithm of the trial wave function exp(-decay r), whose energy is decay^2 / 2 - decay; decay = 1 is the ground state."""
    return -decay * walker.norm()


def local_energy(walker, decay):
    """(H psi) / psi, with the Laplacian of psi told by that of its logarithm."""
    slope = grad(log_wave)(walker, decay)
    curvature = laplacian(log_wave)(walker, decay)
    return -0.5 * (curvature + (slope * slope).sum()) - 1 / walker.norm()


def walkers(decay):
    """Points distributed as psi^2: the radius as a sum of three exponential times, in a random direction."""
    radius = torch.empty(WALKERS, 3, dtype=torch.float64).exponential_(2 * decay).sum(1, keepdim=True)
    direction = torch.randn(WALKERS, 3, dtype=torch.float64)
    return radius * direction / direction.norm(dim=1, keepdim=True)


for decay in (0.7, 0.9, 1.0, 1.2):
    energies = vmap(local_energy, in_dims=(0, None))(walkers(decay), decay)
    exact, error = decay**2 / 2 - decay, energies.std().item() / WALKERS**0.5
    close = abs(energies.mean().item() - exact) <= 4 * error + 1e-12
    mean, spread = energies.mean().item(), energies.std().item()
    print(f"decay {decay}: energy {mean:.3f}, exact {exact:.3f}, within four errors: {close}, spread {spread:.3f}")

# In the ground state every walker has the same energy; and the Laplacian is the sum of the Hessian's diagonal.
sample = walkers(1.0)
same = vmap(lambda walker: laplacian(log_wave)(walker, 1.0) - hessian_diag(log_wave)(walker, 1.0).sum())(sample)
print("the Laplacian is the sum of the diagonal:", same.abs().max().item() < 1e-12)
scaled = vmap(lambda walker: laplacian(log_wave)(walker, 1.0) * walker.norm())(sample)
print("and -2 / r for exp(-r):", (scaled + 2).abs().max().item() < 1e-12)
