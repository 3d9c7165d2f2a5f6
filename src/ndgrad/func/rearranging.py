"""`rearrange`: reshaping and permuting, written as a pattern: `rearrange(x, "batch (head dim) -> batch head dim", head=8)`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops as functions

ELLIPSIS = "…"


class DimensionBindError(Exception):
    """Sizes of axes that do not fit the tensor."""


class Side:
    """One side of a pattern: for each dim of the tensor the axes that it is made of, the first one slowest; none for a dim of size 1."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self.dims: list[list[str] | str] = []
        self.ellipsis = False
        #: Whether the ellipsis is in parentheses, that is, part of one dim.
        self.packed = False
        if "." in text:
            if "..." not in text:
                raise ValueError("Expression may contain dots only inside ellipsis (...)")
            if text.count("...") != 1 or text.count(".") != 3:
                raise ValueError("Expression may contain dots only inside ellipsis (...); only one ellipsis for tensor ")
            text = text.replace("...", ELLIPSIS)
            self.ellipsis = True
        group: list[str] | None = None
        word = ""
        for character in text + " ":
            if character not in "() ":
                if not (character.isalnum() or character in ("_", ELLIPSIS)):
                    raise ValueError(f"Unknown character {character!r}")
                word += character
                continue
            if word:
                self.add(word, group)
                word = ""
            if character == "(":
                if group is not None:
                    raise ValueError("Axis composition is one-level (brackets inside brackets not allowed)")
                group = []
            elif character == ")":
                if group is None:
                    raise ValueError("Brackets are not balanced")
                self.dims.append(group)
                group = None
        if group is not None:
            raise ValueError(f"Imbalanced parentheses in expression: {text!r}")

    def add(self, word: str, group: list[str] | None) -> None:
        if word in self.names:
            raise ValueError(f"Indexing expression contains duplicate dimension '{word}'")
        if word == ELLIPSIS:
            self.packed = group is not None
            self.names.add(word)
            (self.dims if group is None else group).append(word)
            return
        if word.isdecimal():
            if int(word) != 1:
                raise ValueError("rearrange only supports unnamed axes of size 1")
            if group is None:
                self.dims.append([])
            return
        if not word.isidentifier():
            raise ValueError(f"Invalid axis identifier: {word}\nnot a valid python identifier")
        if word[0] == "_" or word[-1] == "_":
            raise ValueError(f"Invalid axis identifier: {word}\naxis name should should not start or end with underscore")
        self.names.add(word)
        if group is None:
            self.dims.append([word])
        else:
            group.append(word)

    def spread(self, others: list[str]) -> list[list[str]]:
        """The dims with the names of those that the ellipsis stands for in its place."""
        found: list[list[str]] = []
        for dim in self.dims:
            if dim == ELLIPSIS:
                found += [[name] for name in others]
            else:
                found.append([each for name in dim for each in (others if name == ELLIPSIS else [name])])
        return found


def parse(pattern: str, axes: dict[str, Any]) -> tuple[Side, Side]:
    """Both sides of a pattern, if they have the same axes."""
    parts = re.split("->", pattern)
    if len(parts) != 2:
        raise ValueError("Pattern must contain a single '->' separator")
    left, right = Side(parts[0]), Side(parts[1])
    if right.ellipsis and not left.ellipsis:
        raise ValueError(f"Ellipsis found in right side, but not left side of a pattern {pattern}")
    if left.packed:
        raise ValueError(f"Ellipsis is parenthesis in the left side is not allowed: {pattern}")
    if left.names != right.names:
        raise ValueError(f"Identifiers only on one side of rearrange expression (should be on both): {left.names ^ right.names}")
    unknown = axes.keys() - left.names
    if unknown:
        raise ValueError(f"Identifiers not found in rearrange expression: {unknown}")
    return left, right


def sizes_of(shape: Sequence[int], dims: list[list[str]], axes: dict[str, Any]) -> dict[str, int]:
    """The size of each axis, from those that are given and from the shape of the tensor."""
    sizes = {name: int(size) for name, size in axes.items()}
    for size, names in zip(shape, dims, strict=True):
        if not names and size != 1:
            raise DimensionBindError(f"an axis of size 1 stands in the pattern where the tensor has a dim of size {size}")
        unknown = [name for name in names if name not in sizes]
        known = math.prod(sizes[name] for name in names if name in sizes)
        if len(unknown) > 1:
            raise DimensionBindError(f"cannot infer the sizes of two dimensions at once {unknown[0]} and {unknown[1]}: give one by keyword")
        if unknown:
            if known <= 0 or size % known:
                shown = tuple(sizes.get(name, "?") for name in names)
                raise DimensionBindError(f"inferred dimension does not evenly fit into larger dimension: {size} vs {shown}")
            sizes[unknown[0]] = size // known
        elif known != size:
            raise DimensionBindError(
                f"Dimension sizes to do not match ({size} != {known}) when matching dimension pack ({', '.join(names)})"
            )
    return sizes


def rearrange(tensor: Tensor | list[Tensor] | tuple[Tensor, ...], pattern: str, **axes_lengths: int) -> Tensor:
    """Change the order and the grouping of dims; a view where there can be one.

    Parameters
    ----------
    tensor : or several of one shape, stacked in a first dim.
    pattern : `"dims before -> dims after"`: each dim a name, `1`, or names in parentheses, whose product it is; `...` stands for any dims.
    axes_lengths : sizes of axes that cannot be told from the shape.

    Examples
    --------
    >>> rearrange(images, "b c (h s) (w t) -> b (h w) (s t c)", s=8, t=8)
    """
    if not isinstance(tensor, Tensor):
        tensor = functions.stack(tensor)
    left, right = parse(pattern, axes_lengths)
    rank = tensor.dim()
    fixed = len(left.dims) - left.ellipsis
    if fixed > rank or (fixed < rank and not left.ellipsis):
        fits = "less than or equal to" if left.ellipsis else "equal to"
        raise ValueError(f"Number of dimensions in pattern ({fixed}) must be {fits} the number of dimensions in the tensor ({rank})")
    others = [f"{ELLIPSIS}{number}" for number in range(rank - fixed)]
    before, after = left.spread(others), right.spread(others)
    sizes = sizes_of(tensor.shape, before, axes_lengths)
    flat = [name for names in before for name in names]
    order = [flat.index(name) for names in after for name in names]
    split = tensor.reshape([sizes[name] for name in flat])
    return split.permute(order).reshape([math.prod(sizes[name] for name in names) for names in after])
