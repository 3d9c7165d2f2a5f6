"""Finding repeated blocks in a graph: stretches of operations that follow one another with the same inner structure.

Operations stand in the order of their creation, and each is one integer, its kind: what it is, and where its operands come from, counted
backwards from itself. A block that is repeated is then a repetition in a sequence of integers, found for each likely period at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Cost = Callable[[int], tuple[int, ...]]
Alike = Callable[[int, int], bool]

#: How many periods are tried for one stretch, and how far one may be too long.
PERIODS = 24
#: How many operations a fold must save to be worth a frame around it.
LEAST_SAVED = 3


@dataclass(slots=True)
class Block:
    """`count` repetitions of `period` operations, of which those from `start` stand for all.

    `parent` is the number of the block that this one is a part of, or -1; `times` is how often its operations run in all.
    """

    start: int
    period: int
    count: int
    parent: int
    times: int


def find_blocks(kinds: Any, cost: Cost, alike: Alike) -> tuple[list[Block], Any]:
    """The blocks of a sequence of kinds, outer ones before those inside them, and for each operation the one that stands for it.

    Parameters
    ----------
    kinds : an integer array.
    cost : a function of a position: how unlikely it is that a block begins there, as something that can be compared.
    alike : a function of a position and a period: whether the operations before it are one more repetition of those after it, but for what
        comes in from outside; the first time through a loop is often of another kind for that reason alone.
    """
    blocks: list[Block] = []
    stand_in = np.arange(len(kinds))
    pending = [(0, len(kinds), -1, 0)]
    while pending:
        start, stop, parent, depth = pending.pop()
        if stop - start < 2 or depth > 16:
            continue
        taken = repetitions(kinds[start:stop], cost, alike, start)
        for begin, period, count in sorted(taken):
            end = begin + period * count
            stand_in[begin:end] = begin + (np.arange(end - begin) % period)
            times = count * (blocks[parent].times if parent >= 0 else 1)
            blocks.append(Block(begin, period, count, parent, times))
            if period > 1:
                pending.append((begin, begin + period, len(blocks) - 1, depth + 1))
        if taken:  # what stands between the blocks may hold shorter ones
            edges = [start, *(edge for begin, period, count in sorted(taken) for edge in (begin, begin + period * count)), stop]
            pending += [(low, high, parent, depth + 4) for low, high in zip(edges[::2], edges[1::2], strict=True) if high - low > 3]
    while True:
        further = stand_in[stand_in]
        if np.array_equal(further, stand_in):
            return blocks, stand_in
        stand_in = further


def repetitions(kinds: Any, cost: Cost, alike: Alike, offset: int) -> list[tuple[int, int, int]]:
    """Repetitions in a stretch that do not overlap, best first: where each begins, its period and its count."""
    found: list[tuple[int, int, int, int]] = []
    for period in likely_periods(kinds):
        same = np.concatenate(([False], kinds[:-period] == kinds[period:], [False]))
        changes = np.flatnonzero(same[1:] != same[:-1])
        begins, lengths = changes[::2], changes[1::2] - changes[::2]
        counts = lengths // period + 1
        saved = (counts - 1) * period
        for at in np.flatnonzero((saved >= LEAST_SAVED) | ((counts >= 3) & (saved >= 2)))[:10_000]:
            spare = int(lengths[at] - saved[at])
            found.append((int(saved[at]), int(period), int(begins[at]), spare))
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    used = np.zeros(len(kinds), bool)
    taken: list[tuple[int, int, int]] = []
    for saved_here, period, begin, spare in found:
        span = saved_here + period
        if used[begin : begin + span + spare].any():
            continue
        first = offset + begin + period
        costs = [cost(first + move) for move in range(min(spare, period - 1) + 1)]
        begin += costs.index(min(costs))
        if begin >= period and not used[begin - period : begin].any() and alike(offset + begin, period):
            begin -= period
            span += period
        used[begin : begin + span] = True
        taken.append((offset + begin, period, span // period))
    return taken


def likely_periods(kinds: Any) -> list[int]:
    """The commonest distances from one operation to the next of its kind."""
    order = np.argsort(kinds, kind="stable")
    neighbours = kinds[order[1:]] == kinds[order[:-1]]
    distances = (order[1:] - order[:-1])[neighbours]
    if not distances.size:
        return []
    values, counts = np.unique(distances, return_counts=True)
    best = np.argsort(-(counts * values), kind="stable")[:PERIODS]
    return sorted(int(values[at]) for at in best)
