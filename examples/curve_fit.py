"""Counts of a decaying source above a background, fitted by maximum likelihood; the Hessian tells the uncertainties.

    python examples/curve_fit.py
"""

import ndgrad as torch
from ndgrad.func import hessian, minimize

torch.manual_seed(1)
time = torch.linspace(0, 10, 41, dtype=torch.float64)
TRUTH = {"activity": 200.0, "lifetime": 2.0, "background": 10.0}


def expected(p):
    return p["activity"] * torch.exp(-time / p["lifetime"]) + p["background"]


counts = (expected(TRUTH) + expected(TRUTH).sqrt() * torch.randn(41, dtype=torch.float64)).round()


def misfit(p):
    """Minus the logarithm of Poisson's likelihood."""
    rate = expected(p)
    return (rate - counts * torch.log(rate)).sum()


start = {name: torch.tensor(value, dtype=torch.float64) for name, value in (("activity", 50.0), ("lifetime", 5.0), ("background", 1.0))}
fit = minimize(misfit, start, method="trust-constr", hessian="dense", bounds={name: (1e-3, None) for name in start}, tol=1e-10)
names = list(fit.x)

# The inverse of the Hessian at the minimum is the covariance of the parameters.
second = hessian(misfit)(fit.x)
covariance = torch.linalg.inv(torch.stack([torch.stack([second[a][b] for b in names]) for a in names]))
for name, variance in zip(names, covariance.diagonal(), strict=True):
    value, error = fit.x[name].item(), variance.sqrt().item()
    print(f"{name:10} = {value:6.2f} +- {error:5.2f}, {abs(value - TRUTH[name]) / error:.1f} sigma from the truth")

rate = expected(fit.x)
print("as many counts expected as seen:", abs(rate.sum() - counts.sum()).item() < 1e-3)
fisher = sum((torch.exp(-time / fit.x["lifetime"]) ** 2 / rate).tolist())
print("the curvature by the activity is Fisher's, to 10%:", abs(second["activity"]["activity"].item() / fisher - 1) < 0.1)
