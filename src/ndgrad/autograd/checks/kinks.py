"""Where a gradient is not the central difference: whether the point is a kink, and whether the gradient lies between its two slopes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ndgrad.autograd.checks.differences import Moved
from ndgrad.base.types import Array

#: A difference of one-sided slopes that comes from curvature halves with the step, that of a kink stays, that of a jump doubles.
CURVED, STAYS, GROWS = (0.45, 0.55), 0.7, 1.25
#: How many units in the last place the rounding of a few operations may take.
ROUNDING = 16
#: How many elements a message lists.
LISTED = 5


class Finding(NamedTuple):
    """Whether all that differs are kinks with a gradient between the one-sided slopes, and what there is to say about it."""

    between: bool
    note: str


def examine(
    moved: Moved, number: int, names: tuple[str, str], analytical: Array, numerical: Array, rtol: float, atol: float
) -> Finding:
    """Look at each element where the Jacobians of one output differ, by steps to one side only.

    `number` is that of the output, `names` are what messages call the input and the output.
    """
    between: list[str] = []
    outside: list[str] = []
    worst, elsewhere = -1.0, ""
    with np.errstate(all="ignore"):
        here = moved.here()[number]
        differing = ~np.isclose(analytical, numerical, rtol, atol)
        for row in np.flatnonzero(differing.any(axis=1)):
            index = tuple(int(i) for i in np.unravel_index(row, moved.memory.shape))
            sides = [OneSided(moved, number, index, direction, here, rtol, atol) for direction in moved.directions]
            for column in np.flatnonzero(differing[row]):
                gradient, slope = complex(analytical[row, column]), complex(numerical[row, column])
                place = describe_place(moved, names, index, here, int(column))
                verdicts = [side.judge(int(column), gradient, slope) for side in sides if not side.is_right(gradient, slope)]
                for verdict in verdicts:
                    if verdict is not None:
                        (between if verdict.between else outside).append(verdict.note.format(place=place))
                size = abs(gradient - slope) if np.isfinite(gradient - slope) else np.inf
                if (not verdicts or None in verdicts) and size > worst:
                    worst = size
                    elsewhere = f"No kink, but a difference of {size:.6g}, the largest, at {place}."
                    if size == np.inf:
                        elsewhere = f"Not a finite number: gradient {gradient}, difference quotient {slope}, at {place}."
    lines = [*outside, *between]
    if len(lines) > LISTED:
        lines[LISTED:] = [f"({len(lines) - LISTED} more like these.)"]
    if elsewhere:
        lines.insert(0, elsewhere)
    elif between and not outside:
        lines.append("gradcheck(..., kinks=True) accepts a gradient that lies between the one-sided slopes.")
    return Finding(bool(between) and not outside and not elsewhere, "".join(f"{line}\n" for line in lines))


class OneSided:
    """The slopes of one output to the left and to the right of one element of an input, along one axis of it."""

    def __init__(
        self, moved: Moved, number: int, index: tuple[int, ...], direction: complex, here: Array, rtol: float, atol: float
    ) -> None:
        self.direction, self.rtol, self.atol = direction, rtol, atol
        self.of_complex = len(moved.directions) > 1
        step = moved.eps / 2
        wide = self.slopes(moved, number, index, here, moved.eps)
        self.left, self.right = self.slopes(moved, number, index, here, step)  # what is closest
        self.jump, self.wide_jump = np.abs(self.right - self.left), np.abs(wide[1] - wide[0])
        steepest = np.maximum(np.abs(self.left), np.abs(self.right))
        precision = max(np.finfo(moved.memory.dtype).eps, np.finfo(here.dtype).eps)
        noise = ROUNDING * precision * (np.abs(np.ravel(here)) + np.abs(moved.memory[index]) * steepest) / step
        self.tolerance = atol + rtol * steepest
        self.noticed = self.wide_jump > self.tolerance + noise

    def slopes(self, moved: Moved, number: int, index: tuple[int, ...], here: Array, step: float) -> tuple[Array, Array]:
        behind, ahead = (moved.at(index, sign * step * self.direction)[number] for sign in (-1, 1))
        return np.ravel(here - behind) / step, np.ravel(ahead - here) / step

    def part(self, value: complex) -> float:
        return value.real if self.direction == 1 else value.imag

    def is_right(self, gradient: complex, slope: complex) -> bool:
        """Whether this part of a gradient is not the one that differs."""
        return abs(self.part(gradient) - self.part(slope)) <= (self.atol + self.rtol * abs(slope)) / 2

    def judge(self, column: int, gradient: complex, slope: complex) -> Finding | None:
        """Whether this part of a gradient lies between the slopes, and a sentence with a gap for the place; None where there is no kink."""
        ratio = self.jump[column] / self.wide_jump[column]
        if not self.noticed[column] or not np.isfinite(ratio + gradient) or CURVED[0] < ratio < CURVED[1]:
            return None
        left, right, mine = float(self.left[column]), float(self.right[column]), self.part(gradient)
        if ratio < STAYS:  # the point itself is smooth, so that nothing excuses it, but the difference quotient is no derivative
            return Finding(False, "The function is not smooth within a step of {place}: try a smaller eps.")
        if ratio > GROWS:
            grown = f"one-sided slopes grow as the step shrinks, to {plain(left)} and {plain(right)}"
            return Finding(False, f"A jump or a vertical tangent at {{place}}: {grown}.")
        tolerance = self.tolerance[column]
        lies = bool(min(left, right) - tolerance <= mine <= max(left, right) + tolerance)
        axis = "" if not self.of_complex else " along the real axis" if self.direction == 1 else " along the imaginary axis"
        said = f"the gradient {plain(mine)} {'lies' if lies else 'does not lie'} between them"
        return Finding(lies, f"A kink at {{place}}: one-sided slopes{axis} are {plain(left)} and {plain(right)}; {said}.")


def plain(value: float) -> str:
    """A slope as people write it: 1, not 1.0000000000287557, and 0, not -3e-11."""
    return f"{round(value, 7) + 0.0:.6g}"


def describe_place(moved: Moved, names: tuple[str, str], index: tuple[int, ...], here: Array, column: int) -> str:
    of_output = [int(i) for i in np.unravel_index(column, here.shape)]
    value = moved.memory[index].item()
    return f"element {list(index)} of {names[0]}, whose value is {value}, for element {of_output} of {names[1]}"
