"""Placing the boxes of a graph without cycles in layers, so that arrows point downwards and are short, straight, and cross seldom.

Sugiyama's method: layers by longest path, a dummy box wherever an arrow passes through a layer, the order in each layer by barycentres,
and coordinates by moving boxes towards their neighbours. Within a layer the last step has an exact solution: the positions nearest to the
wished ones that keep the boxes apart are a monotone regression.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: For each box those that it is linked to in one direction, with weights, and how far to the right of the other's middle its own must be
#: for the link to be straight.
Links = list[list[tuple[int, int, float]]]
#: What a pixel of that counts beside a place in the order.
PIXEL = 1e-4

SPACE_BETWEEN, SPACE_BESIDE_DUMMY, SPACE_BELOW = 22.0, 14.0, 34.0
SWEEPS, MOVES = 6, 8


@dataclass(slots=True)
class Arrangement:
    """Where boxes are (their centres), the layers from top to bottom, and for each arrow the points that it passes."""

    x: list[float]
    y: list[float]
    layer: list[int]
    layers: list[list[int]]
    tops: list[float]
    heights: list[float]
    routes: list[list[int]]
    sizes: list[tuple[float, float]]


def layer_numbers(
    count: int, arrows: Sequence[tuple[int, int]], leaves: set[int], top: set[int], bottom: set[int]
) -> tuple[list[int], set[int]]:
    """The layer of each box, arrows pointing from lower numbers to higher ones, and which boxes are `light`.

    Light are leaves and what is made of one leaf alone: they stand directly above what uses them, instead of at the top. The boxes of
    `top` and `bottom` stand in the first and in the last layer.
    """
    layer = [0] * count
    light = set(leaves)
    incoming: list[list[int]] = [[] for _ in range(count)]
    outgoing: list[list[int]] = [[] for _ in range(count)]
    for source, target in arrows:
        incoming[target].append(source)
        outgoing[source].append(target)
    start = 1 if top else 0
    for at in range(count):
        if at not in top:
            layer[at] = max((layer[source] + 1 for source in incoming[at]), default=start)
        if len(incoming[at]) == 1 and incoming[at][0] in light:
            light.add(at)
    for at in reversed(range(count)):
        if at in light and outgoing[at]:
            layer[at] = max(layer[at], min(layer[target] for target in outgoing[at]) - 1)
    last = max((number for at, number in enumerate(layer) if at not in bottom), default=0) + 1
    for at in bottom:
        layer[at] = last
    return layer, light


def arrange(
    sizes: Sequence[tuple[float, float]],
    arrows: Sequence[tuple[int, int]],
    layer: Sequence[int],
    light: set[int],
    ports: Sequence[tuple[float, float]],
) -> Arrangement:
    """Coordinates for boxes of given sizes whose layers are known.

    Arrows from `light` boxes give way to the others; `ports` says how far from the middle of its boxes each arrow begins and ends.
    """
    sizes = list(sizes)
    real = len(sizes)
    layer = list(layer)
    routes: list[list[int]] = []
    above: Links = [[] for _ in sizes]
    below: Links = [[] for _ in sizes]
    for (source, target), (leaving, arriving) in zip(arrows, ports, strict=True):
        route = [source]
        weight = 1 if source in light else 2
        for between in range(layer[source] + 1, layer[target]):
            sizes.append((0.0, 0.0))
            layer.append(between)
            above.append([])
            below.append([])
            route.append(len(sizes) - 1)
        route.append(target)
        routes.append(route)
        weight += 2 * (len(route) > 2)
        for before, after in pairwise(route):
            shift = (arriving if after == target else 0.0) - (leaving if before == source else 0.0)
            above[after].append((before, weight, -shift))
            below[before].append((after, weight, shift))
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for at, number in enumerate(layer):
        layers[number].append(at)
    order_layers(layers, above, below)
    x = place_across(layers, above, below, sizes, real)
    heights = [max((sizes[at][1] for at in row), default=0.0) for row in layers]
    slant = [0.0] * len(layers)
    for source, links in enumerate(below):
        for target, _, shift in links:
            slant[layer[source]] = max(slant[layer[source]], abs(x[source] - x[target] - shift))
    tops: list[float] = []
    depth = 0.0
    for height, widest in zip(heights, slant, strict=True):  # far to the side needs room to turn
        tops.append(depth)
        depth += height + SPACE_BELOW + min(60.0, widest / 10)
    y: list[float] = []
    for at, number in enumerate(layer):
        spare = heights[number] - sizes[at][1]
        # beside something tall, leaves stand at the bottom, near what uses them, and the others at the top
        part = 0.5 if spare < sizes[at][1] else 1.0 if at in light else 0.0
        y.append(tops[number] + spare * part + sizes[at][1] / 2)
    return Arrangement(x, y, layer, layers, tops, heights, routes, sizes)


# ---------------------------------------------------------------- the order in each layer
def order_layers(layers: list[list[int]], above: Links, below: Links) -> None:
    """Reorder each layer in place so that few arrows cross."""
    position = [0.0] * len(above)
    for row in layers:
        for index, at in enumerate(row):
            position[at] = float(index)
    best, fewest = [list(row) for row in layers], crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for row in layers if down else reversed(layers):
            neighbours = above if down else below
            wished = {at: mean([position[other] + PIXEL * shift for other, _, shift in neighbours[at]], position[at]) for at in row}
            row.sort(key=wished.__getitem__)
            for index, at in enumerate(row):
                position[at] = float(index)
        now = crossings(layers, below)
        if now < fewest:
            best, fewest = [list(row) for row in layers], now
    for row, kept in zip(layers, best, strict=True):
        row[:] = kept


def mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def crossings(layers: list[list[int]], below: Links) -> int:
    """How many pairs of arrows cross."""
    total = 0
    for row, following in pairwise(layers):
        position = {at: index for index, at in enumerate(following)}
        seen: list[float] = []
        for at in row:
            targets = [position[target] + PIXEL * shift for target, _, shift in below[at]]
            total += sum(len(seen) - bisect_right(seen, target) for target in targets)
            for target in targets:
                insort(seen, target)
    return total


# ---------------------------------------------------------------- coordinates in each layer
def place_across(layers: list[list[int]], above: Links, below: Links, sizes: Sequence[tuple[float, float]], real: int) -> list[float]:
    """The horizontal positions of the centres."""
    x = [0.0] * len(sizes)
    gaps: list[list[float]] = []
    for row in layers:
        gaps.append([apart(before, after, sizes, real) for before, after in pairwise(row)])
        at_x = -sum(gaps[-1]) / 2
        for index, at in enumerate(row):
            x[at] = at_x
            at_x += gaps[-1][index] if index < len(gaps[-1]) else 0.0
    heavy = [any(weight > 1 for _, weight, _ in above[at] + below[at]) for at in range(len(sizes))]
    for move in range(MOVES):
        down = move % 2 == 0
        settling = move == MOVES - 1  # only leaves and the like still move, to what uses them
        for number in range(len(layers)) if down else reversed(range(len(layers))):
            row = layers[number]
            wished: list[float] = []
            weights: list[float] = []
            for at in row:
                near = (above[at] or below[at]) if down else (below[at] or above[at])
                heaviest = max((weight for _, weight, _ in near), default=0)
                chosen = [x[other] + shift for other, weight, shift in near if weight >= min(heaviest, 2)]
                wished.append(x[at] if settling and heavy[at] else mean(chosen, x[at]))
                weights.append(1000.0 if settling and heavy[at] else 1.0 + 300.0 * max(heaviest - 1, 0))
            for at, value in zip(row, nearest_apart(wished, gaps[number], weights), strict=True):
                x[at] = value
    return x


def apart(before: int, after: int, sizes: Sequence[tuple[float, float]], real: int) -> float:
    space = SPACE_BESIDE_DUMMY if before >= real or after >= real else SPACE_BETWEEN
    return (sizes[before][0] + sizes[after][0]) / 2 + space


def nearest_apart(wished: Sequence[float], gaps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The positions nearest to the wished ones, in the sense of weighted squares, that keep the order and the gaps."""
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    pools: list[tuple[float, float, int]] = []  # weight, weighted mean, how many: pool adjacent violators
    for value, offset, weight in zip(wished, offsets, weights, strict=True):
        pool = (weight, value - offset, 1)
        while pools and pools[-1][1] > pool[1]:
            last = pools.pop()
            heavy = last[0] + pool[0]
            pool = (heavy, (last[0] * last[1] + pool[0] * pool[1]) / heavy, last[2] + pool[2])
        pools.append(pool)
    found: list[float] = []
    for _, value, count in pools:
        found += [value + offsets[len(found) + step] for step in range(count)]
    return found
