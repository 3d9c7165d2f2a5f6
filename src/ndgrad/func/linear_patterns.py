"""Which elements a linear map takes to which, read off the map itself.

A map whose every output is one input is known after a few runs: it is given ones, and then ones only where a binary digit of the
position is 1; an output is the input whose digits are those for which it came out unchanged. Where outputs are sums, either the
transposed map is of that kind, or the map is once all inputs are 0 but every second, or fourth, or one along some dims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from ndgrad.base.types import Array, Shape

#: Takes an array of the map's shape and gives one of any shape, whose elements are read in row-major order.
Apply = Callable[[Array], Any]
#: Outputs and the inputs that they depend on.
Entries = tuple[Array, Array]
#: Every how many-th element of a dim is given to a map at once, beside each element alone.
PERIODS = (1, 2, 4)
#: How many elements may be given to a map in all its runs.
MOST = 2 * 10**10


class NotSparse(ValueError):
    """Elements depend on each other in more ways than can be found out one by one."""


def entries(push: Apply | None, shape: Shape, pull: Apply | None, out_shape: Shape) -> Entries:
    """The outputs and inputs that belong together in a linear map.

    Parameters
    ----------
    push : the map, of arrays of `shape`. It must not take two elements to one with coefficients that cancel for every probe.
    pull : the transposed map, of arrays of `out_shape`. One of the two may be None.
    """
    tried = list(combs(push, shape, False)) + list(combs(pull, out_shape, True))
    for runs, transposed, periods in sorted(tried):
        if runs * max(math.prod(shape), math.prod(out_shape)) > MOST:
            raise NotSparse(f"too many elements ({runs:,} of them) depend on others")
        apply: Any = pull if transposed else push
        found = probed(apply, out_shape if transposed else shape, periods)
        if found is not None:
            return found[::-1] if transposed else found
    raise ValueError("a linear map needs a push or a pull")


def combs(apply: Apply | None, shape: Shape, transposed: bool) -> Iterator[tuple[int, bool, tuple[int, ...]]]:
    """The ways to give a map its inputs: how many runs each takes, which of the two maps it is for, and the period along each dim."""
    if apply is not None:
        for periods in product(*[sorted({min(period, max(size, 1)) for period in (*PERIODS, size)}) for size in shape]):
            yield math.prod(periods), transposed, periods


def probed(apply: Apply, shape: Shape, periods: Sequence[int]) -> Entries | None:
    """What goes where; None if an output depends on several of the inputs that are given at once."""
    positions = np.arange(math.prod(shape)).reshape(shape)
    outs: list[Array] = [np.zeros(0, np.int64)]
    sources: list[Array] = [np.zeros(0, np.int64)]
    if positions.size:
        for offsets in product(*map(range, periods)):
            chosen = np.zeros(shape, bool)
            chosen[tuple(slice(offset, None, period) for offset, period in zip(offsets, periods, strict=True))] = True
            found = single_sources(apply, chosen, positions)
            if found is None:
                return None
            outs.append(found[0])
            sources.append(found[1])
    return np.concatenate(outs), np.concatenate(sources)


def single_sources(apply: Apply, chosen: Array, positions: Array) -> Entries | None:
    """The same for one choice of inputs, all the others being 0."""

    def run(values: Array) -> Array:
        return np.asarray(apply(values.astype(np.float64))).reshape(-1)

    whole = run(chosen)
    there = whole != 0
    if np.count_nonzero(chosen) == 1:
        outs = np.flatnonzero(there)
        return outs, np.full(len(outs), positions[chosen][0])
    sources = np.zeros(whole.shape, np.int64)
    for bit in range(int(positions[chosen].max()).bit_length()):
        part = chosen & (positions >> bit & 1 == 1)
        if part.any():
            got = run(part)
            has = got != 0
            if not np.array_equal(got[has], whole[has]) or (has & ~there).any():
                return None
            sources[has] |= 1 << bit
    # Where coefficients have one sign, the digits are proof. Where they have both, sums may cancel; not with these weights as well.
    weights = 1 + positions * 7919 % 1021
    if not np.allclose(run(np.where(chosen, weights, 0)), whole * weights.reshape(-1)[sources], rtol=1e-5, atol=0):
        return None
    outs = np.flatnonzero(there)
    return outs, sources[outs]
