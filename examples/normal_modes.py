"""The fastest vibrations of a chain of masses: the Hessian of its energy as an operator, which ARPACK is given without a matrix.

    python examples/normal_modes.py
"""

import math

import numpy as np
from scipy.sparse.linalg import cg, eigsh

import ndgrad as torch
from ndgrad.func import hvp, jacobian_product

MASSES = 500


def energy(displacement):
    """Springs between neighbours and to the walls at both ends, a little stiffer when they are stretched."""
    wall = torch.zeros(1, dtype=torch.float64)
    stretch = torch.cat([displacement, wall]) - torch.cat([wall, displacement])
    return (stretch**2 / 2 + stretch**4 / 4).sum()


rest = torch.zeros(MASSES, dtype=torch.float64)
stiffness = hvp(energy, rest)
squares = eigsh(stiffness, k=4, which="LM", return_eigenvectors=False, maxiter=5000)
exact = [4 * math.sin(mode * math.pi / (2 * (MASSES + 1))) ** 2 for mode in range(MASSES, MASSES - 4, -1)]
for found, wanted in zip(sorted(squares)[::-1], exact, strict=True):
    print(f"frequency {math.sqrt(found):.6f}, exact {math.sqrt(wanted):.6f}")

# A constant force in the middle: the response solves stiffness @ x = force, by products alone. It is a triangle.
force = np.zeros(MASSES)
force[MASSES // 2] = 1.0
response, failed = cg(stiffness, force, rtol=1e-10, maxiter=5000)
middle = MASSES // 2 + 1
print("converged:", failed == 0, " deflection", f"{response.max():.4f}, exact {middle * (MASSES + 1 - middle) / (MASSES + 1):.4f}")

# How the forces change with the displacements is minus the stiffness.
forces = jacobian_product(lambda x: -torch.func.grad(energy)(x), rest)
vector = np.random.default_rng(0).standard_normal(MASSES)
print("the forces' Jacobian is minus the Hessian:", np.allclose(forces.matvec(vector), -stiffness.matvec(vector)))
print("and symmetric:", np.allclose(forces.rmatvec(vector), forces.matvec(vector)))
