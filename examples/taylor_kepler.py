"""A planet on its ellipse, integrated by Taylor series of order 16, as ephemerides are: every step costs one short series.

    python examples/taylor_kepler.py
"""

import math

import ndgrad as torch
from ndgrad.func import jet, root

ORDER, STEPS, ECCENTRICITY = 16, 20, 0.3


def motion(state):
    position, velocity = state
    return velocity, -position / (position @ position) ** 1.5


def series(state):
    """The Taylor coefficients of the orbit through a state: x_(n+1) = motion(x)_n / (n + 1)."""
    found = [state]
    for n in range(ORDER):
        slope = jet(motion, n, coefficients=True)(*found)[n]
        found.append(tuple(part / (n + 1) for part in slope))
    return found


def after(state, time):
    """The state some time later: the polynomial of its series, by Horner's rule."""
    coefficients = series(state)
    total = coefficients[-1]
    for terms in reversed(coefficients[:-1]):
        total = tuple(c + time * t for c, t in zip(terms, total, strict=True))
    return total


def exact(time):
    """The position by Kepler's equation, E - e sin E = t."""
    mean = torch.tensor(time, dtype=torch.float64)
    E = root(lambda E: E - ECCENTRICITY * torch.sin(E) - mean)(mean)
    return torch.stack([torch.cos(E) - ECCENTRICITY, math.sqrt(1 - ECCENTRICITY**2) * torch.sin(E)])


def energy(state):
    return (state[1] @ state[1]) / 2 - 1 / state[0].norm()


speed = math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY))
start = (torch.tensor([1 - ECCENTRICITY, 0.0], dtype=torch.float64), torch.tensor([0.0, speed], dtype=torch.float64))
step, state = 2 * math.pi / STEPS, start
for number in range(1, STEPS + 1):
    state = after(state, step)
    if number % (STEPS // 4) == 0:
        error = (state[0] - exact(number * step)).norm().item()
        x, y = (round(value, 4) + 0.0 for value in state[0].tolist())
        print(f"after {number:2} steps: x = {x:7.4f}, y = {y:7.4f}, right to 1e-6: {error < 1e-6}")
print("the energy is -1/2, and stays so to 1e-6:", abs(energy(state).item() + 0.5) < 1e-6)
