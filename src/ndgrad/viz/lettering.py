"""What boxes say in the SVG, and how wide that is: there is no font to ask, so widths are those of a common sans-serif, rounded up."""

from __future__ import annotations

from ndgrad.autograd.inspection.inventory import amount
from ndgrad.viz.picture import Box

#: Widths of characters, in parts of the font's size.
WIDTHS = dict.fromkeys("iljI.,:;'|!", 0.3) | dict.fromkeys("ftr()[]/- ", 0.38) | dict.fromkeys("mwMW@%", 0.92)
TIMES = "\u00d7"
TITLE, SMALL = 13.0, 11.0
#: How much wider the bold letters of a title are, in the widest of the usual fonts.
BOLD = 1.12
LINE = 15.0
#: The longest line that a box shows; what is longer is in its title and in the page's panel.
LONGEST = 40


def width_of(text: str, size: float) -> float:
    """About how wide a line is, in pixels."""
    return size * sum(WIDTHS.get(character, 0.7 if character.isupper() else 0.58) for character in text)


def cut(text: str) -> str:
    """A text with its middle left out if it is too long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[1 - LONGEST // 2 :]}"


def title_of(box: Box) -> tuple[str, str]:
    """The first line: what the result is called, if anything, and the operation; or the leaf."""
    if box.kind == "op":
        return cut(box.name), cut(box.title)
    return cut(box.title), f"{TIMES}{box.count}" if box.kind == "leaf" and box.count > 1 else ""


def lines_of(box: Box) -> list[str]:
    """The lines below the first."""
    found: list[str] = []
    if box.shape:
        found.append(f"{box.shape} {box.dtype}".strip().replace(" x ", TIMES))
    notes: list[str] = []
    if box.kind == "saved":
        notes += box.saved
    if box.freed:
        notes.append("freed")
    elif box.held:
        notes.append(f"saves {amount(box.held)}")
    if box.where:
        notes.append(box.where.rpartition("/")[2])
    if notes:
        found.append(" · ".join(notes))
    if box.norm:
        found.append(f"‖grad‖ {box.norm}")
    return [cut(line) for line in found]


def size_of_box(box: Box) -> tuple[float, float]:
    """The width and the height of a box."""
    first, second = title_of(box)
    lines = lines_of(box)
    title = width_of(f"{first}  {second}" if first and second else first + second, TITLE * BOLD)
    widest = max([title, *(width_of(line, SMALL) for line in lines)])
    return max(72.0, widest + 22), 27.0 + LINE * len(lines)


def chip_text(box: Box) -> str:
    return cut(box.name or box.title)


def size_of_chip(box: Box) -> tuple[float, float]:
    """The width and the height of a chip that stands for a box."""
    return width_of(chip_text(box), SMALL) + 26, 20.0
