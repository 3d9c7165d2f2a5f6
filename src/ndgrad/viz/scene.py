"""Where everything in the SVG is: boxes, frames around repeated blocks, and wires.

A block is arranged by itself and is one box to what is around it, with a port at its edge for each value that goes in or out. A wire that
would be very long ends in a chip instead, which bears the name of the box that it comes from. A picture much taller than wide is cut into
columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt

from ndgrad.viz.layering import Arrangement, arrange, layer_numbers
from ndgrad.viz.lettering import size_of_box, size_of_chip
from ndgrad.viz.picture import Picture

Point = tuple[float, float]
#: Over how many layers a wire may run before it becomes a chip: from a leaf, and from anything else.
FAR_LEAF, FAR = 4, 30
PADDING, HEADER, MARGIN, GUTTER, LANE = 16.0, 26.0, 24.0, 30.0, 9.0


@dataclass(slots=True)
class Placed:
    """A box of the picture, or a chip that stands for it ("chip" or "carried", otherwise ""), with its upper left corner."""

    box: int
    chip: str
    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Stretch:
    """A part of a wire: a curve downwards through its points or, in the gutter between two columns, a line with corners."""

    bent: bool
    points: list[Point]


@dataclass(slots=True)
class Wire:
    """A wire between two boxes."""

    source: int
    target: int
    stretches: list[Stretch]
    carried: bool = False


@dataclass(slots=True)
class Frame:
    """The frame of a repeated block."""

    block: int
    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Scene:
    """Everything placed, in pixels."""

    placed: list[Placed] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


@dataclass(slots=True)
class Entry:
    """What is arranged on one level: a "box", a "block", a "chip", a chip for what an earlier repetition "carried" here, or an "in" or
    "out" port; `of` is the box or the block."""

    what: str
    of: int
    size: tuple[float, float] = (0.0, 0.0)
    x: float = 0.0
    y: float = 0.0


class Level:
    """The inside of a block, or the whole picture (block -1)."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.entries: list[Entry] = []
        self.index: dict[tuple[str, int], int] = {}
        #: Arrows between entries, with the box that the value comes from.
        self.arrows: dict[tuple[int, int, int], None] = {}
        #: For each arrow the entries that it visits, once it is arranged.
        self.routes: dict[tuple[int, int, int], list[int]] = {}
        self.arrangement: Arrangement | None = None
        self.chips: dict[tuple[int, int, int], int] = {}
        self.size = (0.0, 0.0)

    def entry(self, what: str, of: int) -> int:
        key = (what, of)
        found = self.index.get(key)
        if found is None:
            found = self.index[key] = len(self.entries)
            self.entries.append(Entry(what, of))
        return found


def make_scene(picture: Picture) -> Scene:
    """Place everything."""
    levels = make_levels(picture)
    for block in sorted(levels, reverse=True):  # inner blocks come after outer ones
        arrange_level(picture, levels, levels[block])
    scene = Scene()
    put_level(picture, levels, levels[-1], MARGIN, MARGIN, scene)
    return scene


def path_of(picture: Picture, block: int) -> list[int]:
    """The levels from the whole picture to a block."""
    found: list[int] = []
    while block >= 0:
        found.append(block)
        block = picture.blocks[block].parent
    return [-1, *reversed(found)]


def make_levels(picture: Picture) -> dict[int, Level]:
    """The levels with their entries, sources first, and their arrows."""
    levels: dict[int, Level] = {-1: Level(-1)}
    for source, target in picture.arrows:  # what comes in stands before all else
        source_path = path_of(picture, picture.boxes[source].block)
        target_path = path_of(picture, picture.boxes[target].block)
        for block in target_path[shared_length(source_path, target_path) :]:
            levels.setdefault(block, Level(block)).entry("in", source)
    for source, target in picture.carried:
        block = picture.boxes[target].block
        levels.setdefault(block, Level(block)).entry("carried", source)
    order = sorted(range(len(picture.boxes)), key=lambda at: (picture.boxes[at].kind in ("op", "gap"), at))
    for at in order:
        path = path_of(picture, picture.boxes[at].block)
        if picture.boxes[at].kind in ("op", "gap"):
            for outer, inner in pairwise(path):
                levels.setdefault(outer, Level(outer)).entry("block", inner)
        levels.setdefault(path[-1], Level(path[-1])).entry("box", at)
    for source, target in picture.arrows:
        for level, first, last in steps(picture, levels, source, target):
            level.arrows[first, last, source] = None
    for source, target in picture.carried:
        level = levels[picture.boxes[target].block]
        level.arrows[level.entry("carried", source), level.entry("box", target), source] = None
    return levels


def steps(picture: Picture, levels: dict[int, Level], source: int, target: int) -> list[tuple[Level, int, int]]:
    """The way from one box to another: on each level that it passes, the entries that it leads from and to."""
    source_path = path_of(picture, picture.boxes[source].block)
    target_path = path_of(picture, picture.boxes[target].block)
    common = shared_length(source_path, target_path)

    def end(path: list[int], depth: int, box: int) -> int:
        level = levels[path[depth]]
        return level.entry("box", box) if depth == len(path) - 1 else level.entry("block", path[depth + 1])

    found: list[tuple[Level, int, int]] = []
    for depth in reversed(range(common, len(source_path))):
        level = levels[source_path[depth]]
        found.append((level, end(source_path, depth, source), level.entry("out", source)))
    found.append((levels[source_path[common - 1]], end(source_path, common - 1, source), end(target_path, common - 1, target)))
    for depth in range(common, len(target_path)):
        level = levels[target_path[depth]]
        found.append((level, level.entry("in", source), end(target_path, depth, target)))
    return found


def shared_length(first: list[int], second: list[int]) -> int:
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return count


def arrange_level(picture: Picture, levels: dict[int, Level], level: Level) -> None:
    """Give the entries of a level sizes and places."""
    entries = level.entries
    for entry in entries:
        if entry.what == "box":
            entry.size = size_of_box(picture.boxes[entry.of])
        elif entry.what == "block":
            entry.size = levels[entry.of].size
        elif entry.what == "carried":
            entry.size = size_of_chip(picture.boxes[entry.of])
    leaves = {at for at, entry in enumerate(entries) if entry.what == "carried"}
    leaves |= {at for at, entry in enumerate(entries) if entry.what == "box" and picture.boxes[entry.of].kind in ("leaf", "saved")}
    top = {at for at, entry in enumerate(entries) if entry.what == "in"}
    bottom = {at for at, entry in enumerate(entries) if entry.what == "out"}
    arrows = list(level.arrows)
    layer, light = layer_numbers(len(entries), [arrow[:2] for arrow in arrows], leaves, top, bottom)
    kept: list[tuple[int, int]] = []
    ports: list[tuple[float, float]] = []
    for arrow in arrows:
        first, last, source = arrow
        if layer[last] - layer[first] > (FAR_LEAF if first in light else FAR) and first not in top:
            level.chips[arrow] = len(entries)
            light.add(len(entries))
            kept.append((len(entries), last))
            layer.append(layer[last] - 1)
            what = "carried" if entries[first].what == "carried" else "chip"
            entries.append(Entry(what, source, size_of_chip(picture.boxes[source])))
        else:
            kept.append((first, last))
        leaving = port(levels, entries[kept[-1][0]], "out", source)
        ports.append((leaving, port(levels, entries[last], "in", source)))
    found = level.arrangement = arrange([entry.size for entry in entries], kept, layer, light, ports)
    level.routes = dict(zip(arrows, found.routes, strict=True))
    left = min((found.x[at] - found.sizes[at][0] / 2 for at in range(len(found.x))), default=0.0)
    right = max((found.x[at] + found.sizes[at][0] / 2 for at in range(len(found.x))), default=0.0)
    pad = PADDING if level.block >= 0 else 0.0
    head = (8.0 if top else HEADER) if level.block >= 0 else 0.0
    found.x = [x - left + pad for x in found.x]
    found.y = [y + head for y in found.y]
    found.tops = [y + head for y in found.tops]
    for at, entry in enumerate(entries):
        entry.x, entry.y = found.x[at], found.y[at]
    height = (found.tops[-1] + found.heights[-1] if found.tops else 0.0) + (pad if not bottom else 0.0)
    level.size = (max(right - left + 2 * pad, 90.0 if level.block >= 0 else 0.0), height)


def port(levels: dict[int, Level], entry: Entry, what: str, source: int) -> float:
    """How far from the middle of an entry a value goes in or out: not at all, but for blocks."""
    if entry.what != "block":
        return 0.0
    inner = levels[entry.of]
    return inner.entries[inner.index[what, source]].x - inner.size[0] / 2


# ---------------------------------------------------------------- columns
@dataclass(slots=True)
class Column:
    """Some layers of the picture, moved to where they stand."""

    first: int
    last: int
    dx: float
    dy: float
    right: float
    bottom: float


def columns_of(found: Arrangement, left: float, top: float) -> list[Column]:
    """The layers cut into columns, where there are so many that the picture would be a thread."""
    count = len(found.layers)
    extents: list[tuple[float, float]] = []
    for row in found.layers:
        low = min((found.x[at] - found.sizes[at][0] / 2 for at in row), default=0.0)
        extents.append((low, max((found.x[at] + found.sizes[at][0] / 2 for at in row), default=0.0)))
    width = 1.15 * max((high - low for low, high in extents), default=0.0) + 60
    height = found.tops[-1] + found.heights[-1] if count else 0.0
    number = 1 if height < 3200 or height < 5 * width else max(1, round(sqrt(1.7 * height / width)))
    through = [0] * count
    for route in found.routes:
        for at in route[:-1]:
            through[found.layer[at]] += 1
    cuts: list[int] = []
    begin = 0
    for part in range(1, number):
        wished = next((at for at in range(begin, count) if found.tops[at] >= height * part / number), count)
        reach = max(2, (count // number) // 8)
        choices = range(max(begin + 1, wished - reach), min(count - 1, wished + reach))
        if choices:
            begin = min(choices, key=lambda at: (through[at - 1], abs(at - wished)))
            cuts.append(begin)
    result: list[Column] = []
    at_x = left
    for first, last in zip([0, *cuts], [*cuts, count], strict=True):
        low = min((extents[at][0] for at in range(first, last)), default=0.0)
        high = max((extents[at][1] for at in range(first, last)), default=0.0)
        lanes = through[last - 1] if last < count else 0
        dy = top - (found.tops[first] if count else 0.0)
        right = at_x + high - low
        result.append(Column(first, last, at_x - low, dy, right, (found.tops[last - 1] + found.heights[last - 1] if count else 0.0) + dy))
        at_x = right + GUTTER + LANE * lanes + GUTTER
    return result


# ---------------------------------------------------------------- from levels to the scene
#: The parts of a wire on one level, by the block of the level, the entries at its ends, and the box that it comes from.
Strung = dict[tuple[int, int, int, int], list[Stretch]]


def put_level(picture: Picture, levels: dict[int, Level], root: Level, left: float, top: float, scene: Scene) -> None:
    """Put a level and those inside it where they belong, and string the wires."""
    found = root.arrangement
    assert found is not None
    columns = columns_of(found, left, top + (LANE * 4 if len(found.layers) > 60 else 0.0))
    pending: list[tuple[Level, list[Column]]] = [(root, columns)]
    strung: Strung = {}
    while pending:
        level, own = pending.pop()
        arrangement = level.arrangement
        assert arrangement is not None
        column_at = [0] * len(arrangement.layers)
        for number, column in enumerate(own):
            for at in range(column.first, column.last):
                column_at[at] = number
        for at, entry in enumerate(level.entries):
            column = own[column_at[arrangement.layer[at]]]
            x, y = entry.x + column.dx - entry.size[0] / 2, entry.y + column.dy - entry.size[1] / 2
            if entry.what in ("box", "chip", "carried"):
                scene.placed.append(Placed(entry.of, "" if entry.what == "box" else entry.what, x, y, *entry.size))
            elif entry.what == "block":
                scene.frames.append(Frame(entry.of, x, y, *entry.size))
                inner = levels[entry.of]
                pending.append((inner, [Column(0, len(inner.arrangement.layers) if inner.arrangement else 0, x, y, 0.0, 0.0)]))
        string(levels, level, own, column_at, strung)
    for source, target in picture.arrows:
        way = steps(picture, levels, source, target)
        pieces = [strung[level.block, first, last, source] for level, first, last in way]
        scene.wires.append(Wire(source, target, [stretch for piece in pieces for stretch in piece]))
    for source, target in picture.carried:
        level = levels[picture.boxes[target].block]
        key = (level.block, level.entry("carried", source), level.entry("box", target), source)
        scene.wires.append(Wire(source, target, strung[key], carried=True))
    scene.width = columns[-1].right + MARGIN if columns else 2 * MARGIN
    scene.height = max((column.bottom for column in columns), default=0.0) + MARGIN + (LANE * 4 if len(columns) > 1 else 0.0)


def string(levels: dict[int, Level], level: Level, columns: list[Column], column_at: list[int], strung: Strung) -> None:
    """The points of the arrows of one level."""
    found = level.arrangement
    assert found is not None
    ends = landing_places(level)
    lanes: dict[int, int] = {}
    for arrow, route in level.routes.items():
        first, last, source = arrow
        stretches = [Stretch(False, [])]
        for step, at in enumerate(route):
            layer = found.layer[at]
            number = column_at[layer]
            column = columns[number]
            x, height = found.x[at], found.sizes[at][1]
            row_top = found.tops[layer] + column.dy
            row_bottom = row_top + found.heights[layer]
            if step == 0:
                x += port(levels, level.entries[at], "out", source)
                points = [(x + column.dx, found.y[at] + column.dy + height / 2), (x + column.dx, row_bottom)]
            elif step == len(route) - 1:
                x += port(levels, level.entries[at], "in", source) or ends.get(arrow, 0.0)
                points = [(x + column.dx, row_top), (x + column.dx, found.y[at] + column.dy - height / 2)]
            else:
                points = [(x + column.dx, row_top), (x + column.dx, row_bottom)]
            before = column_at[found.layer[route[step - 1]]] if step else number
            if before != number:
                lane = lanes[before] = lanes.get(before, -1) + 1
                stretches.append(Stretch(True, around(stretches[-1].points[-1], points[0], columns[before], lane)))
                stretches.append(Stretch(False, []))
            stretches[-1].points += points
        strung[level.block, first, last, source] = stretches


def landing_places(level: Level) -> dict[tuple[int, int, int], float]:
    """For arrows that end at the same box, how far from its middle each ends."""
    found = level.arrangement
    assert found is not None
    arriving: dict[int, list[tuple[float, tuple[int, int, int]]]] = {}
    for arrow, route in level.routes.items():
        arriving.setdefault(arrow[1], []).append((found.x[route[-2]], arrow))
    places: dict[tuple[int, int, int], float] = {}
    for last, several in arriving.items():
        step = min(16.0, 0.5 * level.entries[last].size[0] / max(1, len(several) - 1))
        several.sort()
        straight = [index for index, (x, _) in enumerate(several) if abs(x - found.x[last]) < 1]
        middle = straight[0] if straight else (len(several) - 1) / 2
        if middle * step > level.entries[last].size[0] / 2 - 8 or (len(several) - 1 - middle) * step > level.entries[last].size[0] / 2 - 8:
            middle = (len(several) - 1) / 2
        for index, (_, arrow) in enumerate(several):
            places[arrow] = (index - middle) * step
    return places


def around(start: Point, end: Point, column: Column, lane: int) -> list[Point]:
    """From the bottom of a column up through the gutter beside it to the top of the next."""
    shift = LANE * lane
    gutter = column.right + GUTTER / 2 + shift + 6
    low, high = start[1] + 14 + shift, end[1] - 14 - shift
    return [start, (start[0], low), (gutter, low), (gutter, high), (end[0], high), end]
