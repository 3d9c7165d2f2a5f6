"""`ndgrad.viz.graph`: what a user calls, and the drawing that it gives."""

from __future__ import annotations

from pathlib import Path
from types import FrameType
from typing import Any

from ndgrad.autograd.inspection.naming import names_from
from ndgrad.base.location import users_frame
from ndgrad.viz.markup import draw_dot, draw_mermaid
from ndgrad.viz.page import draw_page
from ndgrad.viz.picture import Picture, collect
from ndgrad.viz.text_tree import draw_text
from ndgrad.viz.vector import draw_svg

#: The suffixes of the files that `save` writes, and the methods that make what is in them.
FORMATS = {".txt": "text", ".mmd": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg", ".html": "html"}
#: How many lines of a tree are printed where nobody asked for more, and how many boxes a picture has at most.
LINES, LIMIT = 150, 6000


class Drawing:
    """The graph behind a tensor as it was when `graph` was called, in whatever form; it keeps no tensor and no node alive."""

    def __init__(self, picture: Picture, title: str) -> None:
        self.picture = picture
        self.title = title

    def text(self, lines: int | None = None) -> str:
        """A tree for the terminal, results above what they were computed from; of more than `lines` lines the middle is left out."""
        return draw_text(self.picture, lines)

    def __str__(self) -> str:
        return self.text(LINES)

    def __repr__(self) -> str:
        return f"<drawing of {self.picture.summary}; print it, or .save('graph.html')>"

    def mermaid(self) -> str:
        """The graph in Mermaid's language, which Markdown renderers draw."""
        return draw_mermaid(self.picture)

    def dot(self) -> str:
        """The graph in Graphviz's language."""
        return draw_dot(self.picture)

    def svg(self) -> str:
        """A picture that stands alone."""
        return draw_svg(self.picture, self.title)

    def _repr_svg_(self) -> str:
        return self.svg()

    def html(self) -> str:
        """A page that stands alone, to pan, zoom, search and click in; nothing is loaded from anywhere."""
        return draw_page(self.picture, self.title)

    def save(self, path: Any) -> None:
        """Write a file, in the format that its suffix names.

        Raises
        ------
        ValueError
            If the suffix is none of .txt, .mmd, .dot, .gv, .svg, .html.
        """
        file = Path(path)
        file.write_text(getattr(self, format_of(path))(), encoding="utf-8")

    def refresh(self) -> Drawing:
        """Read the norms of gradients again, after a backward; gives the drawing itself."""
        for box in self.picture.boxes:
            box.read_norms()
        return self


def format_of(path: Any) -> str:
    """The format that a file name asks for."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"cannot tell a format from the name {str(path)!r}: it must end in one of {', '.join(FORMATS)}")
    return FORMATS[suffix]


def graph(
    t_or_tensors: Any,
    *,
    names: Any = None,
    fold: bool = True,
    saved: bool = False,
    limit: int = LIMIT,
    title: str = "",
    frame: FrameType | None = None,
) -> Drawing:
    """Draw the graph behind a tensor, or behind several; nodes and gradient edges will do as well.

    Parameters
    ----------
    names : what tensors are called: a dict from names to tensors, or an object with `named_parameters`; by default the caller's variables.
    fold : draw a block that is repeated (the same operations on the same lines) once, with its count.
    saved : draw saved tensors as boxes of their own; otherwise each operation says how much it saves.
    limit : the most operations to draw; of more the middle is left out.
    frame : whose variables to read instead of the caller's, and those of the frames that called it.
    """
    if limit < 2:
        raise ValueError(f"limit must be at least 2, not {limit}")
    called = names_from(names, users_frame() if frame is None else frame, outwards=frame is not None)
    return Drawing(collect(t_or_tensors, called, fold=fold, limit=limit, saved=saved), title or "Autograd graph")
