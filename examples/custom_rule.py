"""Bessel functions of SciPy's, made differentiable in one line each, in every mode and to any order.

    python examples/custom_rule.py
"""

import scipy.special

import ndgrad as torch
from ndgrad.func import defvjp, grad, jet, jvp, minimize


@defvjp(lambda g, x: -g * bessel1(x))
def bessel0(x):
    return torch.as_tensor(scipy.special.j0(x.numpy()))


@defvjp(lambda g, x, out: g * (bessel0(x) - out / x))
def bessel1(x):
    return torch.as_tensor(scipy.special.j1(x.numpy()))


x = torch.linspace(0.5, 10, 20, dtype=torch.float64)
y, slope, curvature = jet(bessel0, 2)(x)
print("Bessel's equation, x^2 y'' + x y' + x^2 y = 0:", torch.allclose(x**2 * curvature + x * slope + x**2 * y, 0 * x, atol=1e-12))

third, bessel3 = jet(bessel0, 3)(x)[3], torch.from_numpy(scipy.special.jn(3, x.numpy()))
print("third derivative as (3 J1 - J3) / 4:", torch.allclose(third, (3 * bessel1(x) - bessel3) / 4))

_, forward = jvp(bessel0, (x,), (torch.ones_like(x),))  # the jvp is the transpose of the rule
backward = grad(lambda x: bessel0(x).sum())(x)
print("forward and reverse mode agree:", torch.equal(forward, backward))

lowest = minimize(bessel0, torch.tensor(3.0, dtype=torch.float64), method="trust-ncg", tol=1e-10)
print(f"the first minimum is at {lowest.x.item():.6f}, where J1 is zero: {abs(lowest.x.item() - scipy.special.jn_zeros(1, 1)[0]) < 1e-6}")
