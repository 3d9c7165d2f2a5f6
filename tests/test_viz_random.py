"""Pictures of random programs with loops in loops: everything is there once, nothing overlaps, and no wire is lost."""

from __future__ import annotations

import random
import re
from collections import Counter
from xml.etree import ElementTree

import pytest

import ndgrad as torch
from ndgrad.autograd.graph import graph_size

SVG = "{http://www.w3.org/2000/svg}"


def make_body(choice, depth=0):
    """A list of steps: a loop with a body of its own, or the name of an operation and two numbers."""
    steps = []
    for _ in range(choice.randint(1, 5)):
        if choice.random() < 0.3 and depth < 3:
            steps.append((choice.randint(2, 6), make_body(choice, depth + 1)))
        else:
            steps.append((choice.choice(("layer", "sin", "constant", "split", "multiply")), choice.randint(1, 3), choice.randint(1, 6)))
    return steps


def emit(steps, values, leaves):
    """Run the steps: each appends a value computed from earlier ones."""
    for step in steps:
        if len(step) == 2:
            for _ in range(step[0]):
                emit(step[1], values, leaves)
            continue
        name, near, far = step
        if name == "layer":
            values.append(values[-1] * torch.ones(2, requires_grad=True))
        elif name == "sin":
            values.append(values[-near % len(values)].sin())
        elif name == "constant":
            values.append(values[-1] + leaves[far % len(leaves)])
        elif name == "split":
            first, second = values[-1].unbind(0)
            values.append(torch.stack([first, second * 2]))
        else:
            values.append(values[-near % len(values)] * values[-far % len(values)])


def random_result(seed):
    choice = random.Random(seed)
    leaves = [torch.ones(2, requires_grad=True) for _ in range(choice.randint(1, 4))]
    values = list(leaves)
    emit([*make_body(choice), ("sin", 1, 1)], values, leaves)
    return values[-1]


def rectangles(tree):
    """The places of boxes and chips."""
    found = []
    for group in tree.iter(f"{SVG}g"):
        if {"box", "chip"} & set(group.get("class", "").split()):
            x, y = map(float, re.findall(r"[-\d.]+", group.get("transform")))
            rect = group.find(f"{SVG}rect")
            found.append((x, y, float(rect.get("width")), float(rect.get("height"))))
    return found


@pytest.mark.parametrize("options", [{}, {"limit": 7}, {"saved": True}, {"fold": False, "limit": 60}], ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_a_random_program_is_drawn_whole(seed, options):
    result = random_result(seed)
    size = graph_size(result)
    drawing = torch.viz.graph(result, **options)
    picture = drawing.picture
    assert sum(box.count for box in picture.boxes if box.kind in ("op", "gap")) == size.nodes
    assert sum(box.held for box in picture.boxes) == picture.total == size.bytes
    if not picture.hidden:
        assert sum(box.count for box in picture.boxes if box.kind == "leaf") == size.leaves
    assert all(source < target for source, target in picture.arrows)
    tree = ElementTree.fromstring(drawing.svg())
    wires = Counter((int(each.get("data-s")), int(each.get("data-t"))) for each in tree.iter(f"{SVG}path"))
    assert wires == Counter(picture.arrows + picture.carried)
    placed = rectangles(tree)
    width, height = float(tree.get("width")), float(tree.get("height"))
    for at, (x, y, wide, high) in enumerate(placed):
        assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height
        for left, top, other_wide, other_high in placed[:at]:
            apart = x + wide <= left + 0.2 or left + other_wide <= x + 0.2 or y + high <= top + 0.2 or top + other_high <= y + 0.2
            assert apart, "two boxes overlap"
    assert drawing.text() and drawing.mermaid().count("subgraph") == drawing.dot().count("subgraph")


def test_the_random_programs_have_blocks_in_blocks():
    depths = [max((block.parent for block in torch.viz.graph(random_result(seed)).picture.blocks), default=-2) for seed in range(12)]
    assert sum(depth >= 0 for depth in depths) >= 3
