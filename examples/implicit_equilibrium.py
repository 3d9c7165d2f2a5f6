"""The pH of vinegar, and how it depends on what is in the bottle: derivatives of the solution of an equation.

    python examples/implicit_equilibrium.py
"""

import ndgrad as torch
from ndgrad.func import grad, jvp, root

WATER = 1e-14


def charge(log_h, concentration, acidity):
    """What is left of the charges of a weak acid in water; zero in equilibrium, with h the concentration of H+."""
    h = 10**log_h
    return h - WATER / h - concentration * acidity / (acidity + h)


def acid_ph(concentration, acidity):
    guess = torch.tensor(-4.0, dtype=torch.float64)
    return -root(charge)(guess, concentration, acidity)


concentration = torch.tensor(0.1, dtype=torch.float64)
acidity = torch.tensor(10**-4.76, dtype=torch.float64)
ph = acid_ph(concentration, acidity)
print(f"pH of 0.1 mol/l: {ph.item():.4f}")

by_concentration, by_acidity = grad(acid_ph, (0, 1))(concentration, acidity)
print(f"per mol/l more acid: {by_concentration.item():.4f}; per 10% more acid: {0.1 * (concentration * by_concentration).item():.4f}")

# By hand: h solves a cubic, h^3 + K h^2 - (W + c K) h - K W = 0, which is differentiated by c.
h, c, K = 10 ** -ph.item(), concentration.item(), acidity.item()
by_hand = K * h / (3 * h**2 + 2 * K * h - (WATER + c * K)) * -1 / (h * 2.302585092994046)
print("the same by hand:", abs(by_concentration.item() / by_hand - 1) < 1e-9)

bend = grad(grad(acid_ph))(concentration, acidity)
forward = jvp(lambda c: grad(acid_ph)(c, acidity), (concentration,), (torch.ones_like(concentration),))[1]
print(f"second derivative: {bend.item():.4f}, in forward mode the same: {abs(forward.item() / bend.item() - 1) < 1e-9}")

# Which acid is in a bottle of pH 3? The other way round, by a solver around a solver.
wanted = torch.tensor(3.0, dtype=torch.float64)
log_k = root(lambda log_k: acid_ph(concentration, 10**log_k) - wanted)(torch.tensor(-4.0, dtype=torch.float64))
print(f"pH 3 needs pK = {-log_k.item():.4f}")
