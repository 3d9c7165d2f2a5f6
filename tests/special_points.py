"""The table of special points, run by any library; `python -m tests.special_points` writes docs/CONVENTIONS.md from it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ndgrad

inf, nan = float("inf"), float("nan")


class Row(NamedTuple):
    """A function of `lib` and of leaves, where it is differentiated, and the gradient of its sum by each leaf, as torch 2.13.0 gives it."""

    name: str
    function: Callable[..., Any]
    points: tuple[Any, ...]
    expected: tuple[Any, ...]
    note: str = ""


ROWS = [
    Row("relu(x) at 0", lambda lib, x: lib.relu(x), (0.0,), (0.0,)),
    Row("abs(x) at 0", lambda lib, x: lib.abs(x), (0.0,), (0.0,), "JAX 1, HIPS 0"),
    Row("relu6(x) at 0 and 6", lambda lib, x: lib.nn.functional.relu6(x), ([0.0, 6.0],), ([0.0, 0.0],)),
    Row("hardtanh(x) at -1 and 1", lambda lib, x: lib.nn.functional.hardtanh(x), ([-1.0, 1.0],), ([0.0, 0.0],)),
    Row("clamp(x, 0, 1) at its bounds", lambda lib, x: lib.clamp(x, 0.0, 1.0), ([0.0, 1.0],), ([1.0, 1.0],), "JAX 0.5, HIPS 0"),
    Row("clamp(x, min=0) at 0", lambda lib, x: lib.clamp(x, min=0.0), (0.0,), (1.0,)),
    Row("clamp(x, min=y) at a tie", lambda lib, x, y: lib.clamp(x, min=y), (1.0, 1.0), (1.0, 0.0)),
    Row("fmax(x, y) at a tie", lambda lib, x, y: lib.fmax(x, y), (1.0, 1.0), (1.0, 0.0)),
    Row("maximum(x, y) at a tie", lambda lib, x, y: lib.maximum(x, y), (1.0, 1.0), (0.5, 0.5), "JAX and HIPS the same"),
    Row("minimum(x, y) at a tie", lambda lib, x, y: lib.minimum(x, y), (1.0, 1.0), (0.5, 0.5), "JAX and HIPS the same"),
    Row("amax(x) of (2, 2, 1)", lambda lib, x: x.amax(), ([2.0, 2.0, 1.0],), ([0.5, 0.5, 0.0],)),
    Row("max(x) of (2, 2, 1)", lambda lib, x: x.max(), ([2.0, 2.0, 1.0],), ([0.5, 0.5, 0.0],)),
    Row("max(x, dim) of (2, 2, 1)", lambda lib, x: x.max(0).values, ([2.0, 2.0, 1.0],), ([1.0, 0.0, 0.0],)),
    Row("min(x, dim) of (1, 1, 2)", lambda lib, x: x.min(0).values, ([1.0, 1.0, 2.0],), ([1.0, 0.0, 0.0],)),
    Row("median(x) of (1, 2, 2, 3, 2)", lambda lib, x: x.median(), ([1.0, 2.0, 2.0, 3.0, 2.0],), ([0.0, 1 / 3, 1 / 3, 0.0, 1 / 3],)),
    Row("norm(x) at 0", lambda lib, x: x.norm(), ([0.0, 0.0],), ([0.0, 0.0],), "JAX and HIPS NaN"),
    Row("norm(x, inf) of (1, -1)", lambda lib, x: x.norm(inf), ([1.0, -1.0],), ([0.5, -0.5],), "HIPS (1, -1)"),
    Row("std(x) of a constant", lambda lib, x: x.std(), ([2.0, 2.0],), ([0.0, 0.0],), "JAX and HIPS NaN"),
    Row("var(x) of a constant", lambda lib, x: x.var(), ([2.0, 2.0],), ([0.0, 0.0],)),
    Row("sqrt(x) at 0", lambda lib, x: x.sqrt(), (0.0,), (inf,), "HIPS raises ZeroDivisionError for a Python float"),
    Row("x ** 0.5 at 0", lambda lib, x: x**0.5, (0.0,), (inf,)),
    Row("log(x) at 0", lambda lib, x: x.log(), (0.0,), (inf,)),
    Row("erfinv(x) at 1", lambda lib, x: x.erfinv(), (1.0,), (inf,)),
    Row("x ** 0 at 0", lambda lib, x: x**0, (0.0,), (0.0,)),
    Row("0 ** y by y at 2", lambda lib, y: 0.0**y, (2.0,), (0.0,)),
    Row("hypot(x, y) at (0, 0)", lambda lib, x, y: lib.hypot(x, y), (0.0, 0.0), (nan, nan), "JAX (0.5, 0.5)"),
    Row("xlogy(0, y) at 0, by y", lambda lib, y: lib.xlogy(lib.zeros((), dtype=lib.float64), y), (0.0,), (nan,)),
    Row("logsumexp(x) of (-inf, -inf)", lambda lib, x: x.logsumexp(0), ([-inf, -inf],), ([nan, nan],)),
    Row("logaddexp(x, y) of (-inf, -inf)", lambda lib, x, y: lib.logaddexp(x, y), (-inf, -inf), (nan, nan)),
    Row("prod(x) of (0, 2, 3)", lambda lib, x: x.prod(), ([0.0, 2.0, 3.0],), ([6.0, 0.0, 0.0],), "JAX the same, HIPS NaN"),
    Row("prod(x) of (0, 0, 3)", lambda lib, x: x.prod(), ([0.0, 0.0, 3.0],), ([0.0, 0.0, 0.0],), "JAX the same, HIPS NaN"),
    Row("atan2(x, y) at (0, 0)", lambda lib, x, y: lib.atan2(x, y), (0.0, 0.0), (0.0, 0.0), "HIPS NaN"),
    Row("sinc(x) at 0", lambda lib, x: lib.sinc(x), (0.0,), (0.0,), "HIPS NaN"),
    Row("copysign(x, 1) at 0", lambda lib, x: lib.copysign(x, 1.0), (0.0,), (0.0,)),
    Row("cdist(x, y) of equal points", lambda lib, x, y: lib.cdist(x, y), ([[1.0, 2.0]], [[1.0, 2.0]]), ([[0.0, 0.0]], [[0.0, 0.0]])),
    Row("dist(x, y) of equal points", lambda lib, x, y: lib.dist(x, y), ([1.0, 2.0], [1.0, 2.0]), ([0.0, 0.0], [0.0, 0.0])),
    Row("normalize(x) at 0", lambda lib, x: lib.nn.functional.normalize(x, dim=0), ([0.0, 0.0],), ([1e12, 1e12],), "1 / eps"),
    Row(
        "cosine_similarity(x, (1, 0)) at 0",
        lambda lib, x: lib.nn.functional.cosine_similarity(x, lib.tensor([1.0, 0.0], dtype=lib.float64), dim=0),
        ([0.0, 0.0],),
        ([1e8, 0.0],),
        "1 / eps",
    ),
    Row(
        "where(x > 0, sqrt(x), x) at -1 and 0",
        lambda lib, x: lib.where(x > 0, x.sqrt(), x), ([-1.0, 0.0],), ([nan, nan],), "JAX the same",
    ),
    Row(
        "where(x > 0, log(x), x) at -1 and 0",
        lambda lib, x: lib.where(x > 0, x.log(), x), ([-1.0, 0.0],), ([1.0, nan],), "JAX, HIPS the same",
    ),
    Row(
        "where(x > 0, 1 / x, x) at -1 and 0",
        lambda lib, x: lib.where(x > 0, 1 / x, x), ([-1.0, 0.0],), ([1.0, nan],), "JAX, HIPS the same",
    ),
    Row(
        "relu(x) - relu(-x) at 0",
        lambda lib, x: lib.relu(x) - lib.relu(-x), (0.0,), (0.0,), "1 in truth; jax.nn.relu 0, jnp.maximum and HIPS 1",
    ),
    Row("Re(z * z) at 1+2j", lambda lib, z: (z * z).real, (1 + 2j,), (2 - 4j,), "the conjugate of JAX's"),
    Row("abs(z) at 3+4j", lambda lib, z: z.abs(), (3 + 4j,), (0.6 + 0.8j,)),
    Row("abs(z) at 0", lambda lib, z: z.abs(), (0j,), (0j,)),
    Row("abs(z) ** 2 at 3+4j", lambda lib, z: z.abs() ** 2, (3 + 4j,), (6 + 8j,), "JAX and HIPS 6-8j"),
    Row("Re(x * 1j * 1j) by a real x", lambda lib, x: (x * 1j * 1j).real, (2.0,), (-1.0,), "a real operand gets the real part"),
]  # fmt: skip

#: Points whose operations are not there yet, with what torch gives.
MISSING = [
    ("eigh(a) of equal eigenvalues", "linalg.eigh", "NaN by way of the vectors, finite by way of the values"),
    ("svdvals(a) of equal singular values", "linalg.svdvals", "finite"),
    ("slogdet(a) of a singular matrix", "linalg.slogdet", "inf or -inf"),
    ("det(a) of a singular matrix of rank n - 2", "linalg.det", "0"),
]


def gradients(lib: Any, row: Row) -> list[Any]:
    """The gradients of the row's function by its leaves, as plain lists and numbers."""
    kinds = [lib.complex128 if isinstance(point, complex) else lib.float64 for point in row.points]
    leaves = [lib.tensor(point, dtype=kind, requires_grad=True) for point, kind in zip(row.points, kinds, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row.function(lib, *leaves).sum().backward()
    return [leaf.grad.tolist() for leaf in leaves]


def plain(value: Any) -> str:
    """A number, or a list of numbers, as one would write it by hand."""
    if isinstance(value, list):
        return f"({', '.join(map(plain, value))})"
    if isinstance(value, complex):
        return f"{value.real:.4g}{value.imag:+.4g}j"
    return "NaN" if value != value else f"{value + 0.0:.4g}"


def document() -> str:
    """The text of docs/CONVENTIONS.md."""
    lines = [
        "# Gradients at special points",
        "",
        "Written by `python -m tests.special_points`, which runs each row. PyTorch 2.13.0 gives the same values: `tests/oracle` compares.",
        "",
        "The rule is PyTorch's: the gradient where there is one; else the subgradient of least norm where the function is convex,",
        "the supergradient of least norm where it is concave; else what continuity gives, which may be infinite; NaN where nothing is",
        "right.",
        "Where PyTorch itself departs from that (`clamp` at its bounds), so does ndgrad. Of a complex operand the gradient is the",
        "conjugate one, twice the derivative by the conjugate: a step against it descends.",
        "",
        "| function and point | gradient | elsewhere |",
        "|---|---|---|",
    ]
    for row in ROWS:
        found = "; ".join(plain(value) for value in gradients(ndgrad, row))
        lines.append(f"| `{row.name}` | {found} | {row.note} |")
    lines += ["", "Not there yet, and what PyTorch gives:", ""]
    for name, needs, value in MISSING:
        if hasattr(ndgrad.linalg, needs.removeprefix("linalg.")):
            raise AssertionError(f"{needs} is there now: give it a row")
        lines.append(f"* `{name}` (`{needs}`): {value}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).resolve().parents[1] / "docs" / "CONVENTIONS.md").write_text(document())
