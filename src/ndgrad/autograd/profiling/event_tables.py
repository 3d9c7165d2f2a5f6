"""The table of a profile: PyTorch's columns, widths and units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

WIDTH = 12  # of a column of numbers
GAP = "  "
FLOPS_UNITS = ("FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs")


def format_time(microseconds: float, unit: str | None = None) -> str:
    """A time in the given unit (s, ms or us), or in the one that suits it."""
    if unit not in ("s", "ms", "us"):
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    return f"{microseconds / {'s': 1e6, 'ms': 1e3, 'us': 1.0}[unit]:.3f}{unit}"


def format_share(part: float, total: float) -> str:
    """A part of a total in percent; NaN where there is no total."""
    return f"{100.0 * part / total:.2f}%" if total else "NaN"


def format_memory(size: int) -> str:
    """A number of bytes, which may be negative, in the unit that suits it."""
    for unit, bytes_of in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(size) >= bytes_of:
            return f"{size / bytes_of:.2f} {unit}"
    return f"{size} B"


def shortened(name: str, width: int | None) -> str:
    return name[: width - 3] + "..." if width is not None and len(name) >= width - 3 else name


def last_part(path: str, width: int) -> str:
    """A place in a program, cut at the left: the line and the function matter most."""
    if len(path) <= width:
        return path
    cut = path[-width:]
    return "..." + cut[3:] if width > 3 else cut


class Column:
    """One column: its header, its width, and the cell of an event."""

    def __init__(self, header: str, cell: Callable[[Any], object], width: int = WIDTH, align: str = ">") -> None:
        self.header, self.cell, self.width, self.align = header, cell, width, align

    def written(self, value: object) -> str:
        return f"{value!s:{self.align}{self.width}}" + GAP


def sort_events(events: Sequence[Any], sort_by: str) -> list[Any]:
    """The events with the largest value of an attribute first. PyTorch's names of times on a GPU stand for those of any device."""
    attribute = sort_by
    for device in ("cuda", "xpu", "privateuse1"):
        attribute = attribute.replace(device, "device")
    try:
        return sorted(events, key=lambda event: getattr(event, attribute), reverse=True)
    except AttributeError:
        keys = "cpu_time, cpu_time_total, self_cpu_time_total, cpu_memory_usage, self_cpu_memory_usage or count"
        raise AttributeError(
            f"'{type(events[0]).__name__}' object has no attribute '{attribute}'. sort_by='{sort_by}' was given; use {keys}."
        ) from None


def limited(text: Sequence[str], widest: int | None) -> int:
    """The width of a column of these texts."""
    width = max(map(len, text)) + 4
    return width if widest is None else min(width, widest)


def columns_of(
    events: Sequence[Any],
    total: float,
    *,
    max_src_column_width: int | None,
    max_name_column_width: int | None,
    max_shapes_column_width: int | None,
    profile_memory: bool,
    with_flops: bool,
    time_unit: str | None,
) -> list[Column]:
    """The columns that these events fill; that of the source, if there is one, has more lines than one and is told apart by its header."""
    name_width = limited([event.key for event in events], max_name_column_width)
    columns = [Column("Name", lambda event: shortened(event.key, max_name_column_width), name_width)]
    if any(event.overload_name for event in events):
        columns.append(Column("Overload Name", lambda event: shortened(event.overload_name, max_name_column_width), name_width))
    columns += [
        Column("Self CPU %", lambda event: format_share(event.self_cpu_time_total, total)),
        Column("Self CPU", lambda event: format_time(event.self_cpu_time_total, time_unit)),
        Column("CPU total %", lambda event: 0 if event.is_async else format_share(event.cpu_time_total, total)),
        Column("CPU total", lambda event: format_time(event.cpu_time_total, time_unit)),
        Column("CPU time avg", lambda event: format_time(event.cpu_time, time_unit)),
    ]
    if profile_memory:
        columns.append(Column("CPU Mem", lambda event: format_memory(event.cpu_memory_usage)))
        columns.append(Column("Self CPU Mem", lambda event: format_memory(event.self_cpu_memory_usage)))
    columns.append(Column("# of Calls", lambda event: event.count))
    if any(event.node_id != -1 for event in events):
        columns.append(Column("Node ID", lambda event: event.node_id))
    if any(event.input_shapes for event in events):
        width = limited([str(event.input_shapes) for event in events], max_shapes_column_width)
        columns.append(Column("Input Shapes", lambda event: str(event.input_shapes)[:width], width))
    stacks = [event.stack for event in events if event.stack]
    if stacks:
        src_width = limited([entry for stack in stacks for entry in stack], max_src_column_width)
        columns.append(Column(SOURCE, lambda event: last_part(event.stack[0], src_width) if event.stack else "", src_width, "<"))
    counted = [event.flops for event in events if event.flops] if with_flops else []
    if counted:
        thousands = max(0, min(int(math.log10(min(counted)) / 3), len(FLOPS_UNITS) - 1))
        columns.append(
            Column(
                f"Total {FLOPS_UNITS[thousands]}", lambda event: f"{event.flops / 1000.0**thousands:8.3f}" if event.flops else "--"
            )
        )
    return columns


SOURCE = "Source Location"


def build_table(
    events: Sequence[Any],
    *,
    sort_by: str | None = None,
    row_limit: int = 100,
    header: str | None = None,
    top_level_events_only: bool = False,
    time_unit: str | None = None,
    **layout: Any,
) -> str:
    """The table of events, or of averages of them: one row each, the sum of their own times below. Empty without events."""
    if not events:
        return ""
    if sort_by is not None:
        events = sort_events(events, sort_by)
    total = sum(event.self_cpu_time_total for event in events)
    columns = columns_of(events, total, time_unit=time_unit, **layout)
    rule = "".join("-" * column.width + GAP for column in columns)
    heavy = "=" * (len(rule) - len(GAP))
    lines = [] if header is None else [heavy, header]
    if top_level_events_only:
        lines += [heavy, "This report only display top-level ops statistics"]
        events = [event for event in events if event.cpu_parent is None]
    lines += [rule, "".join(column.written(column.header) for column in columns), rule]
    for event in events if row_limit < 0 else events[:row_limit]:
        event.self_cpu_percent = format_share(event.self_cpu_time_total, total)
        event.total_cpu_percent = 0 if event.is_async else format_share(event.cpu_time_total, total)
        lines.append("".join(column.written(column.cell(event)) for column in columns))
        lines += stack_lines(columns, event)
    return "\n".join([*lines, rule, f"Self CPU time total: {format_time(total, time_unit)}", ""])


def stack_lines(columns: Sequence[Column], event: Any) -> list[str]:
    """The rest of an event's stack, a frame a line, and an empty line below it."""
    if all(column.header != SOURCE for column in columns):
        return []
    lines: list[str] = []
    for entry in [*event.stack[1:], ""] if event.stack else [""]:
        cells = (column.written(last_part(entry, column.width) if column.header == SOURCE else "") for column in columns)
        lines.append("".join(cells))
    return lines
