"""The handwritten digits: reading them from the package, and drawing them in a terminal."""

import gzip
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

SIDE = 8
BRIGHTEST = 16

# A cell of the terminal is about twice as high as wide; 14 by 8 of them are nearly a square.
COLUMNS, LINES = 14, 8

# Index: 8 for the upper left quarter, 4 upper right, 2 lower left, 1 lower right.
QUARTERS = " ▗▖▄▝▐▞▟▘▚▌▙▀▜▛█"
SHADES = " .:*#"
INK = 7.0

PixelArray = np.ndarray[Any, np.dtype[Any]]


def load_digits() -> tuple[PixelArray, PixelArray]:
    """The 1,797 images, float32 of shape (1797, 8, 8) from 0 to 16, and what they show, int64."""
    packed = resources.files("ndgrad.cli.data").joinpath("digits.csv.gz").read_bytes()
    lines = gzip.decompress(packed).decode("ascii").splitlines()
    table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, SIDE, SIDE).astype(np.float32), table[:, -1].astype(np.int64)


def draw_digit(image: PixelArray, *, unicode: bool) -> list[str]:
    """The lines of one digit, `COLUMNS` characters wide: its outline in quarter blocks, or shades of ASCII."""
    if not unicode:
        picture = enlarge(image, LINES, COLUMNS) * (len(SHADES) / (BRIGHTEST + 1))
        return ["".join(SHADES[int(shade)] for shade in line) for line in picture]
    inked = (enlarge(image, 2 * LINES, 2 * COLUMNS) > INK).astype(int)
    index = 8 * inked[::2, ::2] + 4 * inked[::2, 1::2] + 2 * inked[1::2, ::2] + inked[1::2, 1::2]
    return ["".join(QUARTERS[quarter] for quarter in line) for line in index]


def enlarge(image: PixelArray, height: int, width: int) -> PixelArray:
    return interpolation(len(image), height) @ image.astype(np.float64) @ interpolation(image.shape[1], width).T


def interpolation(old: int, new: int) -> PixelArray:
    """The matrix that takes `old` samples to `new` ones by linear interpolation between the centres."""
    centres = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    weights: PixelArray = np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(old)))
    return weights


def side_by_side(images: Sequence[PixelArray], captions: Sequence[str], *, unicode: bool) -> str:
    """A row of digits with a caption under each."""
    drawn = [draw_digit(image, unicode=unicode) for image in images]
    lines = [" ".join(parts) for parts in zip(*drawn, strict=True)]
    lines.append(" ".join(caption.center(COLUMNS) for caption in captions))
    return "\n".join(("  " + line).rstrip() for line in lines)
