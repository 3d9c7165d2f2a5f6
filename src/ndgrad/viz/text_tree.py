"""The tree for the terminal.

Results stand above what they were computed from. The operand with the most behind it goes on in the same column and the others branch
off to the right, so that a chain stays straight however long it is and the indentation grows with the logarithm of the graph. What is
used several times is drawn in full below the first operation that used it, and has a number by which the others point to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ndgrad.autograd.inspection.inventory import amount
from ndgrad.viz.picture import Box, Picture

SYMBOLS = {"op": "●", "leaf": "○", "saved": "▪", "gap": "⋮"}


@dataclass(slots=True)
class Line:
    """One line: a box, or a `reference` to one that is drawn elsewhere (→) or comes from an earlier repetition (↺)."""

    box: Box
    at: int
    indent: str
    reference: str


def draw_text(picture: Picture, lines: int | None) -> str:
    """The tree; of more than `lines` lines the middle is left out."""
    order, numbers = tree_lines(picture)
    title = picture.summary
    skipped = 0
    head: list[Line] = order
    tail: list[Line] = []
    if lines is not None and len(order) > lines:
        head, tail = order[: lines - lines // 3], order[len(order) - lines // 3 :]
        skipped = len(order) - len(head) - len(tail)
    shown = head + tail
    depth = max((len(enclosing(picture, line.box)) for line in shown), default=0)
    width = max((len(f"x{block.count}") for block in picture.blocks), default=0) + 1
    cells: list[tuple[str, ...]] = []
    before: list[int] = []
    named: set[int] = set()
    for line in shown:
        frames = enclosing(picture, line.box) if not line.reference else before
        cells.append((gutter(picture, frames, named, width, depth) + line.indent + describe(line, numbers), *columns(line)))
        before = frames
    widths = [max((len(row[at]) for row in cells), default=0) for at in range(5)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    if skipped:
        rows.insert(len(head), f"  ... {skipped:,} more lines ...")
    return "\n".join([title, *rows])


def tree_lines(picture: Picture) -> tuple[list[Line], dict[int, int]]:
    """The lines from the top to the bottom, and the numbers of the boxes that several others use."""
    count = len(picture.boxes)
    operands: list[list[int]] = [[] for _ in range(count)]
    parent = [-1] * count
    uses = [0] * count
    for source, target in picture.arrows:
        operands[target].append(source)
        uses[source] += 1
        if parent[source] < 0 or target < parent[source]:
            parent[source] = target
    size = [1] * count
    for at in range(count):  # sources come first, so each is complete when its turn comes
        if parent[at] >= 0:
            size[parent[at]] += size[at]
    again: dict[int, list[int]] = {}
    for source, target in picture.carried:
        again.setdefault(target, []).append(source)
    lines: list[Line] = []
    drawn: list[int] = []
    # a stack of: the box, the column of its line, what stands before its line, and whether it is only pointed to
    stack: list[tuple[int, str, str, str]] = [(at, "", "", "") for at in range(count) if not uses[at]]
    stack.sort(key=lambda entry: entry[0])
    while stack:
        at, column, before, reference = stack.pop()
        lines.append(Line(picture.boxes[at], at, before, reference))
        if reference:
            continue
        drawn.append(at)
        own = [each for each in operands[at] if parent[each] == at]
        trunk = max(own, key=lambda each: (size[each], each), default=-1)
        if trunk >= 0 and picture.boxes[trunk].kind not in ("op", "gap") and len(operands[at]) > 1:
            trunk = -1  # leaves alone are branches alike
        branches = [each for each in operands[at] if each != trunk]
        entries: list[tuple[int, str, str, str]] = []
        pointed = [(each, "↺") for each in again.get(at, ())] + [(each, "→" if parent[each] != at else "") for each in branches]
        for position, (each, how) in enumerate(pointed):
            last = trunk < 0 and position == len(pointed) - 1
            below = column + ("   " if last else "│  ")
            entries.append((each, below, column + ("└─ " if last else "├─ "), how))
        if trunk >= 0:
            entries.append((trunk, column, column, ""))
        stack += reversed(entries)
    shared = [at for at in drawn if uses[at] > 1]
    return lines, {at: number for number, at in enumerate(shared, 1)}


def enclosing(picture: Picture, box: Box) -> list[int]:
    """The blocks around a box, the outermost first."""
    found: list[int] = []
    block = box.block
    while block >= 0:
        found.append(block)
        block = picture.blocks[block].parent
    return found[::-1]


def gutter(picture: Picture, frames: list[int], named: set[int], width: int, depth: int) -> str:
    """The frames of repeated blocks at the left margin; the first line of each says how often it runs."""
    cells: list[str] = []
    for level in range(depth):
        if level >= len(frames):
            cells.append(" " * (width + 2))
        elif frames[level] in named:
            cells.append(" " * width + "┃ ")
        else:
            named.add(frames[level])
            cells.append(f"x{picture.blocks[frames[level]].count}".ljust(width) + "┃ ")
    return "".join(cells)


def describe(line: Line, numbers: dict[int, int]) -> str:
    box, number = line.box, numbers.get(line.at)
    if line.reference:
        return f"{line.reference} {box.label}" + (f" #{number}" if number else "")
    several = f" x{box.count}" if box.kind == "leaf" and box.count > 1 else ""
    return f"{SYMBOLS[box.kind]} {box.label}{several}" + (f" #{number}" if number else "")


def columns(line: Line) -> tuple[str, str, str, str]:
    """What stands beside the tree: form, memory, gradient, place."""
    box = line.box
    if line.reference or box.kind == "gap":
        return "", "", "", ""
    held = "freed" if box.freed else f"saves {amount(box.held)}" if box.held else ", ".join(box.saved) if box.kind == "saved" else ""
    return f"{box.shape} {box.dtype}", held, f"|grad| {box.norm}" if box.norm else "", box.where
