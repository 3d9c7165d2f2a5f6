"""A profile as a file for Perfetto and chrome://tracing: slices, arrows from forward to backward, and memory."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FLOW = "fwdbwd"
BACKWARD = 1  # the scope of the events that run a node


def slice_of(event: Any, origin: float, number: int) -> dict[str, Any]:
    """An event as a complete slice; times in microseconds."""
    args: dict[str, Any] = {"External id": event.id, "Ev Idx": number}
    if event.sequence_nr >= 0:
        args["Sequence number"] = event.sequence_nr
        args["Fwd thread id"] = event.fwd_thread
    if event.structured_input_shapes:
        args["Input Dims"] = event.structured_input_shapes
        args["Input Strides"] = event.structured_input_strides
        args["Input type"] = event.input_dtypes
        args["Concrete Inputs"] = ["" if value is None else str(value) for value in event.concrete_inputs]
    if event.flops:
        args["flops"] = event.flops
    if event.cpu_memory_usage:
        args["Bytes"] = event.cpu_memory_usage
    if event.stack:
        args["Call stack"] = ";".join(reversed(event.stack))
    return {
        "ph": "X",
        "cat": event.activity_type or "cpu_op",
        "name": event.trace_name,
        "pid": os.getpid(),
        "tid": event.thread,
        "ts": round(origin + event.time_range.start, 3),
        "dur": round(event.time_range.elapsed_us(), 3),
        "args": args,
    }


def flows(events: Sequence[Any], origin: float) -> list[dict[str, Any]]:
    """The arrows: from the forward operation that made a node to each event that ran it."""
    made: dict[tuple[int, int], Any] = {}
    for event in events:
        if event.scope != BACKWARD and event.sequence_nr >= 0 and not event.fwd_thread:
            made.setdefault((event.sequence_nr, event.thread), event)
    arrows: list[dict[str, Any]] = []
    for event in events:
        start = made.get((event.sequence_nr, event.fwd_thread)) if event.scope == BACKWARD else None
        if start is None:
            continue
        same = {"id": len(arrows) // 2 + 1, "pid": os.getpid(), "cat": FLOW, "name": FLOW}
        arrows.append({"ph": "s", "tid": start.thread, "ts": round(origin + start.time_range.start, 3), **same})
        arrows.append({"ph": "f", "tid": event.thread, "ts": round(origin + event.time_range.start, 3), "bp": "e", **same})
    return arrows


def memory_marks(records: Iterable[tuple[float, int, int]], origin: float) -> list[dict[str, Any]]:
    """What was allocated and freed, with the sum so far: `records` are (microseconds, thread, bytes)."""
    marks: list[dict[str, Any]] = []
    total = 0
    for moment, thread, size in sorted(records):
        total += size
        args = {"Bytes": size, "Total Allocated": total, "Device Type": 0, "Device Id": -1}
        place = {"pid": os.getpid(), "tid": thread, "ts": round(origin + moment, 3)}
        marks.append({"ph": "i", "s": "t", "cat": "cpu_instant_event", "name": "[memory]", "args": args, **place})
    return marks


def names_of(threads: Mapping[int, str]) -> list[dict[str, Any]]:
    """What the viewer calls the process and its threads."""
    process = {"ph": "M", "name": "process_name", "pid": os.getpid(), "tid": 0, "ts": 0, "args": {"name": "python"}}
    return [process] + [
        {"ph": "M", "name": "thread_name", "pid": os.getpid(), "tid": thread, "ts": 0, "args": {"name": f"thread {thread} ({name})"}}
        for thread, name in threads.items()
    ]


def write_trace(
    path: str | os.PathLike[str],
    events: Sequence[Any],
    *,
    origin: float = 0.0,
    records: Iterable[tuple[float, int, int]] = (),
    threads: Mapping[int, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write events as a trace, compressed where the path ends in .gz.

    Parameters
    ----------
    origin : what the events' times count from, in microseconds.
    records : memory, as `memory_marks` takes it.
    metadata : further entries beside the events.
    """
    shown = [event for event in events if event.trace_name is not None]
    slices = [slice_of(event, origin, number) for number, event in enumerate(shown)]
    trace = {
        "schemaVersion": 1,
        "deviceProperties": [],
        **(metadata or {}),
        "displayTimeUnit": "ms",
        "traceName": os.fspath(path),
        "traceEvents": [*names_of(threads or {}), *slices, *flows(shown, origin), *memory_marks(records, origin)],
    }
    text = json.dumps(trace).encode()
    Path(path).write_bytes(gzip.compress(text) if os.fspath(path).endswith(".gz") else text)
