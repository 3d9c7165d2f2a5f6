"""The SVG, which stands alone and is also what the page shows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from ndgrad.viz.lettering import LINE, TIMES, chip_text, lines_of, title_of
from ndgrad.viz.markup import heat
from ndgrad.viz.picture import Box, Picture
from ndgrad.viz.scene import Placed, Point, Scene, Stretch, make_scene

STYLE = Path(__file__).with_name("picture.css")
RADIUS = 8.0


def draw_svg(picture: Picture, title: str) -> str:
    """The picture as a document of its own, light or dark as the reader's system is."""
    scene = make_scene(picture)
    size = f'width="{scene.width:.0f}" height="{scene.height:.0f}"'
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ndgrad" {size} viewBox="0 0 {scene.width:.0f} {scene.height:.0f}" '
        f'role="img" aria-label={quoteattr(f"{title}: {picture.summary}")}>\n<title>{escape(title)}</title>\n<style>{style}</style>\n'
        f'<rect class="paper" width="100%" height="100%"/>\n{inner_svg(picture, scene)}\n</svg>\n'
    )


def inner_svg(picture: Picture, scene: Scene) -> str:
    """What is inside the svg element."""
    out: list[str] = ['<g class="frames">']
    frames = sorted(scene.frames, key=lambda frame: -frame.width * frame.height)
    for frame in frames:
        block = picture.blocks[frame.block]
        box = f'x="{frame.x:.1f}" y="{frame.y:.1f}" width="{frame.width:.1f}" height="{frame.height:.1f}"'
        out.append(f"<g><title>{block.period} operations, repeated {block.count} times</title><rect {box} rx='12'/>")
        out.append(f'<text x="{frame.x + 12:.1f}" y="{frame.y + 19:.1f}">{TIMES}{block.count}</text></g>')
    out.append('</g>\n<g class="wires">')
    for wire in scene.wires:
        kind = " carried" if wire.carried else {"saved": " saves", "leaf": " leafy"}.get(picture.boxes[wire.source].kind, "")
        out.append(f'<path class="wire{kind}" data-s="{wire.source}" data-t="{wire.target}" d="{path_data(wire.stretches)}"/>')
    out.append('</g>\n<g class="boxes">')
    shades = heat(picture)
    for placed in sorted(scene.placed, key=lambda placed: (placed.box, placed.chip, placed.y)):
        out.append(box_svg(picture.boxes[placed.box], placed, shades[placed.box]))
    out.append("</g>")
    return "\n".join(out)


def box_svg(box: Box, placed: Placed, shade: int) -> str:
    """One box or chip."""
    place = f'transform="translate({placed.x:.1f} {placed.y:.1f})"'
    width, height = placed.width, placed.height
    if placed.chip:
        again = placed.chip == "carried"
        title = f"{box.label}, of an earlier repetition" if again else f"to {box.label}"
        return (
            f'<g class="chip{" again" if again else ""}" data-n="{placed.box}" {place}><title>{escape(title)}</title>'
            f'<rect width="{width:.1f}" height="{height:.1f}" rx="10"/>'
            f'<text x="{width / 2:.1f}" y="14" text-anchor="middle">{"↺" if again else "↳"} {escape(chip_text(box))}</text></g>'
        )
    kind = f"op h{shade}" if box.kind == "op" else box.kind
    first, second = title_of(box)
    shown = f'<tspan class="name">{escape(first)}</tspan>' if first else ""
    if second:
        space = ' dx="5"' if first else ""
        shown += f'<tspan class="what"{space}>{escape(second)}</tspan>'
    radius = 13 if box.kind == "leaf" else 6
    text = [f'<text class="head" x="{width / 2:.1f}" y="18" text-anchor="middle">{shown}</text>']
    for number, line in enumerate(lines_of(box), 1):
        text.append(f'<text x="{width / 2:.1f}" y="{18 + LINE * number:.0f}" text-anchor="middle">{escape(line)}</text>')
    return (
        f'<g id="n{placed.box}" class="box {kind}{" root" if box.root else ""}" data-n="{placed.box}" {place}>'
        f"<title>{escape(tooltip(box))}</title>"
        f'<rect width="{width:.1f}" height="{height:.1f}" rx="{radius}"/>{"".join(text)}</g>'
    )


def tooltip(box: Box) -> str:
    """What is shown where the pointer rests, and read aloud."""
    parts = [box.label, box.full, f"{box.shape} {box.dtype}", box.path, *(f"saves {line}" for line in box.saved)]
    if box.norm:
        parts.append(f"norm of the gradient: {box.norm}")
    return "\n".join(part for part in parts if part.strip())


# ---------------------------------------------------------------- paths
def path_data(stretches: list[Stretch]) -> str:
    """The `d` of a wire."""
    out: list[str] = []
    at: Point | None = None
    for stretch in stretches:
        points = stretch.points
        if not points:
            continue
        if at is None:
            out.append(f"M{points[0][0]:.1f} {points[0][1]:.1f}")
        elif at != points[0]:
            out.append(link(at, points[0]))
        if stretch.bent:
            out.append(bent_line(points))
        else:
            out += [link(before, after) for before, after in pairwise(points) if before != after]
        at = points[-1]
    return "".join(out)


def link(start: Point, end: Point) -> str:
    """A curve that begins and ends upright, or a line where it is upright throughout."""
    if abs(start[0] - end[0]) < 0.5:
        return f"V{end[1]:.1f}"
    middle = (start[1] + end[1]) / 2
    return f"C{start[0]:.1f} {middle:.1f} {end[0]:.1f} {middle:.1f} {end[0]:.1f} {end[1]:.1f}"


def bent_line(points: list[Point]) -> str:
    """Straight lines with rounded corners."""
    out: list[str] = []
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = towards(corner, before), towards(corner, after)
        out.append(f"L{enter[0]:.1f} {enter[1]:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}")
    return "".join(out) + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def towards(start: Point, end: Point) -> Point:
    """The point a little way from one to another."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(abs(dx), abs(dy), 1e-9)
    part = min(RADIUS, length / 2) / length
    return start[0] + dx * part, start[1] + dy * part
