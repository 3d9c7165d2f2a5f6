"""How a tensor reads when printed, byte for byte as torch prints it.

The text is built from the inside out: every number that will be shown becomes a *cell*, the cells of the last axis are
joined into a row, the rows into blocks, and so on outwards. Only shown numbers are ever looked at, so a tensor of a
billion elements prints as fast as one of a thousand.
"""

import math
import textwrap
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class PrintOptions:
    """What `set_printoptions` sets; a `sci_mode` of None lets the numbers decide."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


#: The options in force. One instance for the life of the process, changed in place.
current_options = PrintOptions()

_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print from now on.

    Parameters
    ----------
    precision : digits after the point of a number that is not whole.
    threshold : a tensor with more elements than this prints only its edges.
    edgeitems : how many entries each such edge has, along every axis.
    linewidth : columns before a row or a suffix moves to a new line.
    profile : ``'default'``, ``'short'`` or ``'full'``, applied before the arguments above; other names are ignored.
    sci_mode : force (True) or forbid (False) scientific notation. Unlike the others, leaving it out resets it to None.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    start = current_options if profile is None else _PROFILES.get(profile, current_options)
    for name, value in given.items():
        setattr(current_options, name, getattr(start, name) if value is None else value)
    current_options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """Return the options in force, as keyword arguments for `set_printoptions`."""
    return asdict(current_options)


@contextmanager
def printoptions(**kwargs: Any) -> Generator[None, None, None]:
    """Apply `set_printoptions(**kwargs)` inside a ``with`` block or decorated function, and restore the options after it."""
    saved = PrintOptions(**get_printoptions())
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        for field in fields(saved):
            setattr(current_options, field.name, getattr(saved, field.name))


def tensor_text(
    payload: Array,
    *,
    dtype_name: str,
    default_names: frozenset[str],
    suffixes: list[str],
    label: str = "tensor",
    shape: tuple[int, ...] | None = None,
) -> str:
    """Return the full text of a tensor, such as ``tensor([1., 2.], requires_grad=True)``.

    Parameters
    ----------
    payload : the numbers.
    dtype_name : what follows ``dtype=torch.`` where the dtype is worth printing.
    default_names : dtypes not worth printing: the default ones, float and complex, and those that the numbers give away.
    suffixes : further parts, already formatted, that go after the size and the dtype.
    label : what stands before the opening parenthesis.
    shape : a shape to print the payload in, if not its own.
    """
    values = np.asarray(payload) if shape is None else np.asarray(payload).reshape(shape)
    prefix = label + "("
    parts: list[str] = []
    if values.size == 0:
        contents = "[]"
        size_is_unclear = values.ndim != 1
        # Without a single number nothing tells an int from a bool or a complex: only the default float goes unsaid.
        dtype_is_clear = dtype_name in default_names and _is_float_name(dtype_name)
    else:
        contents = _contents(values, len(prefix))
        size_is_unclear = current_options.edgeitems == 0
        dtype_is_clear = dtype_name in default_names
    if size_is_unclear:
        parts.append(f"size={values.shape}")
    if not dtype_is_clear:
        parts.append(f"dtype=torch.{dtype_name}")
    return _with_suffixes(prefix + contents, parts + suffixes, len(prefix))


def _is_float_name(dtype_name: str) -> bool:
    return dtype_name.startswith(("float", "bfloat"))


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Append the suffixes and the closing parenthesis, starting a new line before each suffix that would not fit."""
    # torch reserves two columns on the line that holds numbers, and none on the lines after it.
    column = len(text) - (text.rfind("\n") + 1) + 2
    pieces = [text]
    for suffix in suffixes:
        if column + 2 + len(suffix) > current_options.linewidth:
            pieces.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
        else:
            pieces.append(", " + suffix)
            column += 2 + len(suffix)
    return "".join(pieces) + ")"


def _contents(values: Array, indent: int) -> str:
    """Return the bracketed numbers of a non-empty array whose first bracket stands in column `indent`."""
    edge = current_options.edgeitems
    elided = [False] * values.ndim
    if values.size > current_options.threshold and values.ndim:
        if edge <= 0:
            return "[...]"
        elided = [length > 2 * edge for length in values.shape]
        values = _edges(values, edge)

    blocks, cell_width = _cells(values.reshape(-1))
    last = values.ndim - 1
    for axis in reversed(range(values.ndim)):
        # The bracket of this axis stands in column `indent + axis`; what it holds starts one further.
        inner_indent = indent + axis + 1
        separator = "," + "\n" * (last - axis) + " " * inner_indent
        length = values.shape[axis]
        outer_blocks: list[str] = []
        for start in range(0, len(blocks), length):
            group = blocks[start : start + length]
            if elided[axis]:
                # The extra space is torch's, and only rows of numbers have it.
                group.insert(edge, " ..." if axis == last else "...")
            joined = _row(group, cell_width, inner_indent) if axis == last else separator.join(group)
            outer_blocks.append("[" + joined + "]")
        blocks = outer_blocks
    return blocks[0]


def _row(cells: list[str], cell_width: int, indent: int) -> str:
    """Join the cells of one row, which starts in column `indent`, into as many lines as it needs."""
    # torch counts from the column of the bracket, one before the first cell.
    per_line = max(1, math.floor((current_options.linewidth - (indent - 1)) / (cell_width + len(", "))))
    lines = [", ".join(cells[start : start + per_line]) for start in range(0, len(cells), per_line)]
    return (",\n" + " " * indent).join(lines)


def _edges(values: Array, edge: int) -> Array:
    """Keep the first and the last `edge` entries along every axis that has more than twice as many."""
    # Axes of length one are left out while indexing: NumPy indexes by fewer arrays than torch has axes.
    kept: list[Array] = []
    for length in values.shape:
        if length > 1:
            positions: Array = np.arange(min(length, 2 * edge), dtype=np.intp)
            positions[edge:] += length - positions.size
            kept.append(positions)
    kept_shape = [min(length, 2 * edge) for length in values.shape]
    corners: Array = values.squeeze()[np.ix_(*kept)].reshape(kept_shape)
    return corners


def _cells(values: Array) -> tuple[list[str], int]:
    """Return the text of each number of a flat array, aligned, and the width that a row should allow for each."""
    if values.dtype.kind == "c":
        real_texts, real_width = _number_texts(values.real)
        imaginary_texts, imaginary_width = _number_texts(values.imag)
        signed = (text if text.startswith("-") else "+" + text for text in imaginary_texts)
        cells = [real.rjust(real_width) + imaginary + "j" for real, imaginary in zip(real_texts, signed, strict=True)]
        return cells, real_width + imaginary_width + len("j")
    texts, width = _number_texts(values)
    return [text.rjust(width) for text in texts], width


def _number_texts(values: Array) -> tuple[list[str], int]:
    """Return the text of each real number of a flat array, not yet aligned, and the width to align them to.

    Zeros and non-finite floats take no part in choosing the notation or the width, so their text may be the wider.
    """
    numbers: list[Any] = values.tolist()
    if values.dtype.kind != "f":
        texts = [str(number) for number in numbers]
        return texts, max(map(len, texts), default=1)

    # Python's floats are doubles, in which every quantity below is exact or, like the ratio, as torch computes it.
    counted = [math.isfinite(number) and number != 0 for number in numbers]
    magnitudes = [abs(number) for number, counts in zip(numbers, counted, strict=True) if counts]
    whole = all(magnitude.is_integer() for magnitude in magnitudes)
    scientific = bool(magnitudes) and _is_scientific(min(magnitudes), max(magnitudes))
    if scientific:
        texts = [f"{number:.{current_options.precision}e}" for number in numbers]
    elif whole:
        texts = [f"{number:.0f}." if math.isfinite(number) else str(number) for number in numbers]
    else:
        texts = [f"{number:.{current_options.precision}f}" for number in numbers]
    widths = (len(text) for text, counts in zip(texts, counted, strict=True) if counts)
    return texts, max(widths, default=1)


def _is_scientific(smallest: float, largest: float) -> bool:
    if current_options.sci_mode is not None:
        return current_options.sci_mode
    return largest / smallest > 1e3 or largest > 1e8 or smallest < 1e-4


def batch_text(batch: Any, suffixes: Sequence[str]) -> str:
    """The text of a tensor that stands for many examples: all of them."""
    inner = textwrap.indent(repr(batch.value), "    ")
    dim = f", bdim={0 if batch.mapped else None}"
    return f"BatchedTensor(lvl={batch.level.depth}{dim}, value=\n{inner}\n{''.join(', ' + suffix for suffix in suffixes)})"
