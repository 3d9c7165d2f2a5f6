"""Rows of results as text, Markdown and JSON."""

from collections.abc import Callable
from typing import Any

from benchmarks.runner import Row
from benchmarks.workloads import Import, Memory, Quotient, Timed

HEADINGS = ("workload", "ndgrad", "torch", "torch / ndgrad", "target", "")
WIDTHS = (50, 10, 10, 14, 8, 0)
MARKERS = ("<!-- speed:begin -->", "<!-- speed:end -->")


def cells(row: Row) -> tuple[str, ...]:
    show = unit_of(row)
    ours, theirs, ratio = row.best("ndgrad"), row.best("torch"), row.ratio
    return (
        row.workload.title,
        "-" if ours is None else show(ours),
        "-" if theirs is None else show(theirs),
        "" if ratio is None else f"{ratio:.2f}",
        target_text(row),
        verdict(row),
    )


def verdict(row: Row) -> str:
    words = []
    if row.met is not None:
        words.append("met" if row.met else "MISSED")
    if row.noisy:
        words.append("(noisy)")
    if row.same_values is False:
        words.append("VALUES DIFFER")
    return " ".join(words)


def target_text(row: Row) -> str:
    match row.workload:
        case Timed(target=target):
            return f">= {target}"
        case Memory():
            return ">= 1.0"
        case Quotient(target=target):
            return f"<= {target}"
        case Import(target=target):
            return f"<= {target} s"


def unit_of(row: Row) -> Callable[[float], str]:
    match row.workload:
        case Memory():
            return lambda value: f"{value / 1e6:.1f} MB"
        case Quotient():
            return lambda value: f"{value:.2f}"
        case _:
            return duration


def duration(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def text_line(parts: tuple[str, ...]) -> str:
    padded = [part.rjust(width) for part, width in zip(parts, WIDTHS, strict=True)]
    return "  ".join([parts[0].ljust(WIDTHS[0]), *padded[1:]]).rstrip()


def markdown(rows: list[Row], facts: dict[str, Any]) -> str:
    """The table between the markers that the README keeps for it."""
    lines = [
        MARKERS[0],
        "| workload | ndgrad | torch | torch / ndgrad | target |",
        "|---|---:|---:|---:|---|",
    ]
    for row in rows:
        title, ours, theirs, ratio, target, word = cells(row)
        lines.append(f"| {title} | {ours} | {theirs} | {ratio} | {target}{', ' + word if word else ''} |")
    lines += ["", f"Measured by `python -m benchmarks --markdown`: {fact_line(facts)}.", MARKERS[1]]
    return "\n".join(lines)


def fact_line(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {facts[name]}" for name in ("python", "numpy", "ndgrad", "torch") if name in facts)
    threads = f"{facts['threads']} thread{'' if facts['threads'] == 1 else 's'} a side"
    return f"{facts['processor']} ({facts['cores']} cores), {threads}, {versions}"


def as_json(rows: list[Row], facts: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    return {
        "machine": facts,
        "warnings": warnings,
        "rows": [
            {
                "name": row.workload.name,
                "title": row.workload.title,
                "kind": type(row.workload).__name__.lower(),
                "unit": {"Memory": "bytes", "Quotient": "quotient"}.get(type(row.workload).__name__, "seconds"),
                "rounds": row.rounds,
                "best": {side: row.best(side) for side in row.rounds},
                "ratio": row.ratio,
                "target": target_text(row),
                "met": row.met,
                "noisy": row.noisy,
                "same_values": row.same_values,
            }
            for row in rows
        ],
    }
