"""Mermaid and DOT: the picture as text for other programs to lay out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ndgrad.autograd.inspection.inventory import amount
from ndgrad.viz.picture import Box, Picture

#: From which share of all saved memory on a box has the next stronger colour.
SHARES = (0.02, 0.06, 0.12, 0.25)
#: Fills for operations by the memory that they hold, from none to the most; the same as in the SVG.
HEAT = ("#f6f7f9", "#fff4d1", "#ffe09a", "#fdbf6f", "#f78f5c", "#e9573f")


def heat(picture: Picture) -> list[int]:
    """For each box a step from 0 to 5: its share of the memory that the graph has saved."""
    total = max(1, picture.total)
    return [bisect_right(SHARES, box.held / total) + 1 if box.held else 0 for box in picture.boxes]


def box_lines(box: Box) -> list[str]:
    """What a box says, line by line."""
    count = f" x{box.count}" if box.kind == "leaf" and box.count > 1 else ""
    lines = [box.label + count]
    if box.shape:
        lines.append(f"{box.shape} {box.dtype}".strip())
    if box.kind == "saved":
        lines += box.saved
    notes = ["saved tensors freed"] if box.freed else [f"saves {amount(box.held)}"] if box.held else []
    if box.norm:
        notes.append(f"|grad| {box.norm}")
    if box.where:
        notes.append(box.where)
    return [*lines, *notes]


def nested(picture: Picture) -> Iterator[tuple[int, str, int]]:
    """The boxes in the order of their blocks: (depth, "open", block), (depth, "box", position) and (depth, "close", block)."""
    inside: dict[int, list[int]] = {}
    for at, box in enumerate(picture.boxes):
        inside.setdefault(box.block, []).append(at)
    below: dict[int, list[int]] = {}
    for number, block in enumerate(picture.blocks):
        below.setdefault(block.parent, []).append(number)
    stack: list[tuple[int, str, int]] = [(0, "open", -1)]
    while stack:
        depth, what, number = stack.pop()
        if number >= 0 or what != "open":
            yield depth, what, number
        if what == "open":
            entries = [(depth + 1, "box", at) for at in inside.get(number, ())]
            entries += [(depth + 1, "open", block) for block in below.get(number, ()) if holds(picture, block, inside, below)]
            if number >= 0:
                entries.append((depth, "close", number))
            stack += reversed(entries)


def holds(picture: Picture, number: int, inside: dict[int, list[int]], below: dict[int, list[int]]) -> bool:
    """Whether a block has boxes, which it has not where all of it was left out."""
    pending = [number]
    while pending:
        block = pending.pop()
        if block in inside:
            return True
        pending += below.get(block, ())
    return False


# ---------------------------------------------------------------- Mermaid
def draw_mermaid(picture: Picture) -> str:
    """The picture in Mermaid's language, for Markdown."""
    out = ["flowchart TD"]
    shades = heat(picture)
    for depth, what, at in nested(picture):
        margin = "    " * depth
        if what == "open":
            out.append(f'{margin}subgraph b{at} ["x{picture.blocks[at].count}"]')
        elif what == "close":
            out.append(f"{margin}end")
        else:
            box = picture.boxes[at]
            text = "<br/>".join(mermaid_text(line) for line in box_lines(box))
            left, right = {"leaf": ('(["', '"])'), "saved": ('[/"', '"/]'), "gap": ('{{"', '"}}')}.get(box.kind, ('["', '"]'))
            style = box.kind if box.kind != "op" else f"heat{shades[at]}"
            out.append(f"{margin}n{at}{left}{text}{right}:::{style}")
    for source, target in picture.arrows:
        line = "-.->" if picture.boxes[source].kind == "saved" else "-->"
        out.append(f"    n{source} {line} n{target}")
    out += [f"    n{source} -. next .-> n{target}" for source, target in picture.carried]
    used = {"leaf", *(f"heat{shade}" for shade in shades)}
    out.append("    classDef leaf fill:#dcefe6,stroke:#3f8f6b,color:#12241c")
    out += [f"    classDef {kind} fill:#ffffff,stroke:#8b95a5,color:#1c2430" for kind in ("saved", "gap")]
    out += [f"    classDef heat{step} fill:{fill},stroke:#8b95a5,color:#1c2430" for step, fill in enumerate(HEAT) if f"heat{step}" in used]
    return "\n".join(out) + "\n"


def mermaid_text(line: str) -> str:
    for character, entity in (("&", "&amp;"), ('"', "#quot;"), ("<", "&lt;"), (">", "&gt;"), ("*", "#42;"), ("_", "#95;"), ("|", "#124;")):
        line = line.replace(character, entity)
    return line


# ---------------------------------------------------------------- DOT
def draw_dot(picture: Picture) -> str:
    """The picture in Graphviz's language."""
    out = ["digraph ndgrad {", '    node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11, color="#8b95a5"];']
    out.append('    edge [color="#8b95a5", arrowsize=0.7];')
    shades = heat(picture)
    for depth, what, at in nested(picture):
        margin = "    " * depth
        if what == "open":
            out.append(f"{margin}subgraph cluster_{at} {{")
            out.append(f'{margin}    label="x{picture.blocks[at].count}"; style="rounded,dashed"; color="#5b6b84"; fontname="Helvetica";')
        elif what == "close":
            out.append(f"{margin}}}")
        else:
            box = picture.boxes[at]
            text = "\\n".join(dot_text(line) for line in box_lines(box))
            more = {"leaf": ', fillcolor="#dcefe6", shape=ellipse', "saved": ', fillcolor="#ffffff", shape=note, style=filled'}
            fill = more.get(box.kind, f', fillcolor="{HEAT[shades[at]]}"')
            out.append(f'{margin}n{at} [label="{text}", tooltip="{dot_text(box.full)}"{fill}{", penwidth=2" if box.root else ""}];')
    for source, target in picture.arrows:
        out.append(f"    n{source} -> n{target}{' [style=dashed]' if picture.boxes[source].kind == 'saved' else ''};")
    for source, target in picture.carried:
        out.append(f'    n{source} -> n{target} [style=dashed, constraint=false, label="next", fontsize=9];')
    return "\n".join([*out, "}"]) + "\n"


def dot_text(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"', '\\"')
