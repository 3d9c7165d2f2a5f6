"""What a profile is made of: events, averages of events, and lists of them."""

from __future__ import annotations

import bisect
import enum
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ndgrad.autograd.profiling.chrome_traces import BACKWARD, write_trace
from ndgrad.autograd.profiling.event_tables import build_table, format_time

DeviceType = enum.Enum(
    "DeviceType",
    "CPU CUDA MKLDNN OPENGL OPENCL IDEEP HIP FPGA MAIA XLA Vulkan Metal XPU MPS Meta HPU VE Lazy IPU MTIA PrivateUse1",
    start=0,
)
MEMORY_EVENT_NAME = "[memory]"


class Interval:
    """From `start` to `end`, in microseconds."""

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        """The length of the interval."""
        return self.end - self.start


class Kernel(NamedTuple):
    """A kernel on a device, which an event has started; there are none here."""

    name: str
    device: int
    duration: float


class EventMetadata(NamedTuple):
    """What a tracer of devices would know of an event: PyTorch's fields, for programs that make or read such records."""

    registers_per_thread: int | None = None
    shared_memory: int | None = None
    grid: list[int] | None = None
    block: list[int] | None = None
    priority: int | None = None
    blocks_per_sm: float | None = None
    warps_per_sm: float | None = None
    occupancy: dict[str, Any] | None = None
    est_occupancy_pct: float | None = None
    queued: int | None = None
    graph_id: int | None = None
    graph_node_id: int | None = None
    stream: int | None = None
    context: int | None = None
    channel: int | None = None
    channel_type: int | None = None
    bytes: int | None = None
    bandwidth_gb_s: float | None = None
    collective_name: str | None = None
    dtype: str | None = None
    in_msg_nelems: int | None = None
    out_msg_nelems: int | None = None
    in_split_size: str | None = None
    out_split_size: str | None = None
    global_rank_start: int | None = None
    global_rank_stride: int | None = None
    group_size: int | None = None
    process_group_name: str | None = None
    process_group_desc: str | None = None
    group_ranks: str | None = None
    rank: int | None = None
    src_rank: int | None = None
    dst_rank: int | None = None
    seq: int | None = None
    is_async: bool | None = None


def _written(attribute: str) -> Any:
    return property(lambda self: format_time(getattr(self, attribute)), doc=f"`{attribute}` with its unit.")


class FormattedTimesMixin:
    """Averages and texts of times, for classes that have `count` and the totals."""

    count: int
    cpu_time_total: Any
    device_time_total: Any

    cpu_time_str = _written("cpu_time")
    device_time_str = _written("device_time")
    cpu_time_total_str = _written("cpu_time_total")
    device_time_total_str = _written("device_time_total")
    self_cpu_time_total_str = _written("self_cpu_time_total")
    self_device_time_total_str = _written("self_device_time_total")

    @property
    def cpu_time(self) -> float:
        """The mean time of a call, in microseconds."""
        return float(self.cpu_time_total) / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """The mean time of a call on a device."""
        return float(self.device_time_total) / self.count if self.count else 0.0

    @property
    def cuda_time(self) -> float:
        """The old name of `device_time`."""
        warnings.warn("`cuda_time` is deprecated, please use `device_time` instead.", FutureWarning, stacklevel=2)
        return self.device_time


class FunctionEvent(FormattedTimesMixin):
    """One run of an operation, of a node of the graph, or of a block that the user has named.

    Attributes
    ----------
    name, trace_name : what averages are taken over; what a trace calls it (None: it is not shown there).
    time_range : its interval, in microseconds since the profile began.
    thread, fwd_thread : where it ran; for the run of a node, where the node was made (0 if that was not seen).
    sequence_nr : the number of the node that it made or ran, -1 without one: what ties backward to forward.
    scope : 0 for operations, 1 for the run of a node, 7 for blocks of the user's.
    input_shapes, concrete_inputs, kwinputs : shapes of tensors ([] for others), values of others, parameters; with `record_shapes`.
    stack : frames of the user's program, the innermost first, with `with_stack`; those of a node are its forward operation's.
    cpu_memory_usage : bytes that were allocated and not freed again while it ran.
    """

    def __init__(
        self,
        id: int,
        name: str,
        thread: int,
        start_us: float,
        end_us: float,
        overload_name: str = "",
        fwd_thread: int | None = None,
        input_shapes: Any = None,
        stack: list[str] | None = None,
        scope: int = 0,
        use_device: str | None = None,
        cpu_memory_usage: int = 0,
        device_memory_usage: int = 0,
        is_async: bool = False,
        is_remote: bool = False,
        sequence_nr: int = -1,
        node_id: int = -1,
        device_type: DeviceType = DeviceType.CPU,
        device_index: int = 0,
        device_resource_id: int | None = None,
        is_legacy: bool = False,
        flops: int | None = None,
        trace_name: str | None = None,
        concrete_inputs: list[Any] | None = None,
        kwinputs: dict[str, Any] | None = None,
        is_user_annotation: bool = False,
        activity_type: str | None = None,
        structured_input_shapes: list[Any] | None = None,
        structured_input_strides: list[Any] | None = None,
        input_dtypes: list[str] | None = None,
    ) -> None:
        self.id, self.name, self.trace_name, self.overload_name = id, name, trace_name, overload_name
        self.node_id = node_id
        self.time_range = Interval(start_us, end_us)
        self.thread, self.fwd_thread = thread, fwd_thread
        self.kernels: list[Kernel] = []
        self.count = 1
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None
        self.input_shapes, self.concrete_inputs, self.kwinputs = input_shapes, concrete_inputs, kwinputs
        self.structured_input_shapes, self.structured_input_strides = structured_input_shapes, structured_input_strides
        self.input_dtypes = input_dtypes
        self.stack, self.scope, self.sequence_nr, self.flops = stack, scope, sequence_nr, flops
        self.use_device, self.device_type, self.device_index = use_device, device_type, device_index
        self.device_resource_id = thread if device_resource_id is None else device_resource_id
        self.cpu_memory_usage, self.device_memory_usage = cpu_memory_usage, device_memory_usage
        self.is_async, self.is_remote, self.is_legacy = is_async, is_remote, is_legacy
        self.is_user_annotation, self.activity_type = is_user_annotation, activity_type
        self.event_metadata: EventMetadata | None = None
        self.self_cpu_percent: Any = -1
        self.total_cpu_percent: Any = -1
        self.total_device_percent: Any = -1

    @property
    def key(self) -> str:
        """What events are averaged over."""
        return self.name

    def append_kernel(self, name: str, device: int, duration: float) -> None:
        """Add a kernel that ran on a device."""
        self._check(self)
        self.kernels.append(Kernel(name, device, duration))

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """Add an event that ran inside this one, and inside none of its other children."""
        self._check(self, child)
        self.cpu_children.append(child)

    def set_cpu_parent(self, parent: FunctionEvent) -> None:
        """Say which event this one ran in."""
        self._check(self, parent)
        self.cpu_parent = parent

    @staticmethod
    def _check(*events: Any) -> None:
        for event in events:
            if not isinstance(event, FunctionEvent):
                raise AssertionError(f"Expected a FunctionEvent, not {type(event).__name__}")
            if event.device_type is not DeviceType.CPU:
                raise AssertionError(f"Expected device_type to be CPU, not {event.device_type.name}")

    @property
    def cpu_time_total(self) -> float:
        """How long it ran, in microseconds."""
        return self.time_range.elapsed_us() if self.device_type is DeviceType.CPU else 0

    @property
    def self_cpu_time_total(self) -> float:
        """The same without its children."""
        if self.is_async or self.device_type is not DeviceType.CPU:
            return 0
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        """The bytes that are not its children's."""
        if self.is_async or self.device_type is not DeviceType.CPU:
            return 0
        return self.cpu_memory_usage - sum(child.cpu_memory_usage for child in self.cpu_children)

    @property
    def device_time_total(self) -> float:
        """The time of the kernels that it started on a device, those of its children included."""
        if self.is_async or not self.use_device:
            return 0
        if self.device_type is not DeviceType.CPU:
            return self.time_range.elapsed_us()
        return sum(kernel.duration for kernel in self.kernels) + sum(child.device_time_total for child in self.cpu_children)

    @property
    def self_device_time_total(self) -> float:
        """The same without its children."""
        if self.is_async or not self.use_device:
            return 0
        return self.device_time_total - sum(child.device_time_total for child in self.cpu_children)

    @property
    def self_device_memory_usage(self) -> int:
        """Memory of a device that is not its children's."""
        if self.is_async or self.device_type is not DeviceType.CPU:
            return 0
        return self.device_memory_usage - sum(child.device_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        device = self.use_device
        return (
            f"<FunctionEvent id={self.id} name={self.name} overload_name={self.overload_name} device_type={self.device_type} "
            f"node_id={self.node_id} cpu_time={self.cpu_time_str} start_us={self.time_range.start} end_us={self.time_range.end} "
            f"cpu_children={[child.id for child in self.cpu_children]} {device}_time={self.device_time_str} name={self.name} "
            f"thread={self.thread} input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} "
            f"{device}_memory_usage={self.device_memory_usage} is_async={self.is_async} is_remote={self.is_remote} "
            f"seq_nr={self.sequence_nr} is_legacy={self.is_legacy}>"
        )


#: What the average of events takes from the first of them.
_TAKEN = (
    "key", "node_id", "is_async", "is_remote", "cpu_parent", "cpu_children", "overload_name", "input_shapes", "stack", "scope",
    "device_type", "is_legacy", "use_device", "is_user_annotation",
)  # fmt: skip
#: And what it adds up.
_ADDED = (
    "cpu_time_total", "device_time_total", "self_cpu_time_total", "self_device_time_total", "cpu_memory_usage", "device_memory_usage",
    "self_cpu_memory_usage", "self_device_memory_usage", "count",
)  # fmt: skip


class FunctionEventAvg(FormattedTimesMixin):
    """All events of one key together: totals, from which `cpu_time` gives the mean of a call."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.count = 0
        self.node_id = 0
        self.is_async = self.is_remote = self.is_legacy = self.is_user_annotation = False
        self.use_device: str | None = None
        self.cpu_time_total: float = 0
        self.device_time_total: float = 0
        self.self_cpu_time_total: float = 0
        self.self_device_time_total: float = 0
        self.input_shapes: Any = None
        self.overload_name: str | None = None
        self.stack: list[str] | None = None
        self.scope: int | None = None
        self.cpu_memory_usage = self.device_memory_usage = 0
        self.self_cpu_memory_usage = self.self_device_memory_usage = 0
        self.cpu_children: list[FunctionEvent] | None = None
        self.cpu_parent: FunctionEvent | None = None
        self.device_type: DeviceType = DeviceType.CPU
        self.flops = 0

    def add(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Take one more event, or average of events, of the same key."""
        if not isinstance(other, (FunctionEvent, FunctionEventAvg)):
            raise AssertionError(f"Expected other to be a FunctionEvent or FunctionEventAvg, not {type(other).__name__}")
        if self.key is None:
            for name in _TAKEN:
                setattr(self, name, getattr(other, name))
        if other.key != self.key:
            raise AssertionError(f"Expected keys to match, but got {other.key} vs {self.key}")
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.flops += other.flops or 0
        return self

    __iadd__ = add

    def __repr__(self) -> str:
        device = self.use_device or "cuda"
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} cpu_time={self.cpu_time_str}  "
            f"self_{device}_time={self.self_device_time_total_str} {device}_time={self.device_time_str} "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} "
            f"{device}_memory_usage={self.device_memory_usage}>"
        )


class StringTable(dict[str, str]):
    """Names as they are shown; those of Python need no other form."""

    def __missing__(self, key: str) -> str:
        self[key] = key
        return key


class MemRecordsAcc:
    """Finds the records of memory that lie in an interval; a record is a sequence whose first element has `start_ns()`."""

    def __init__(self, mem_records: Sequence[Any]) -> None:
        self._records = sorted(mem_records, key=lambda record: record[0].start_ns())
        self._starts = [record[0].start_ns() for record in self._records]

    def in_interval(self, start_ns: int, end_ns: int) -> Iterator[Any]:
        """The records from `start_ns` to `end_ns`, both included."""
        first, last = bisect.bisect_left(self._starts, start_ns), bisect.bisect_right(self._starts, end_ns)
        return iter(self._records[first:last])


class EventList(list[Any]):
    """Events, or averages of them, and what can be made of them: averages, tables, files."""

    #: What a trace needs besides the events; see `write_trace`.
    _trace: dict[str, Any]

    def __init__(
        self, events: Iterable[Any] = (), *, use_device: str | None = None, profile_memory: bool = False, with_flops: bool = False
    ) -> None:
        super().__init__(events)
        self._use_device, self._profile_memory, self._with_flops = use_device, profile_memory, with_flops
        self._tree_built = False
        self._trace = {}

    def __str__(self) -> str:
        return self.table()

    # ---------------------------------------------------------------- the tree
    def built(self) -> EventList:
        """The list itself, its tree built."""
        self._build_tree()
        return self

    def _build_tree(self) -> None:
        """Find each event's parent by the intervals, and give the runs of nodes the stacks of their forward operations."""
        self._populate_cpu_children()
        self._remove_dup_nodes()
        self._set_backward_stacktraces()
        self._tree_built = True

    def _populate_cpu_children(self) -> None:
        open_on: dict[tuple[int, int], list[FunctionEvent]] = {}
        for event in sorted(self, key=lambda each: (each.time_range.start, -each.time_range.end)):
            if event.is_async or event.device_type is not DeviceType.CPU:
                continue
            around = open_on.setdefault((event.thread, event.node_id), [])
            while around and not (event.time_range.start < around[-1].time_range.end >= event.time_range.end):
                around.pop()
            if around:
                around[-1].append_cpu_child(event)
                event.set_cpu_parent(around[-1])
            around.append(event)

    def _remove_dup_nodes(self) -> None:
        """Drop an event that is its parent's only child and has its name, such as a block named twice."""
        dropped: set[int] = set()
        for event in reversed(self):
            parent = event.cpu_parent
            if parent is not None and parent.name == event.name and len(parent.cpu_children) == 1:
                parent.cpu_children = event.cpu_children
                parent.kernels = event.kernels
                for child in event.cpu_children:
                    child.cpu_parent = parent
                dropped.add(id(event))
        if dropped:
            self[:] = [event for event in self if id(event) not in dropped]

    def _set_backward_stacktraces(self) -> None:
        stacks: dict[tuple[int, int], list[str]] = {}
        runs: list[tuple[FunctionEvent, FunctionEvent]] = []
        for event in self:
            above: FunctionEvent | None = event
            while above is not None and above.scope != BACKWARD:
                above = above.cpu_parent
            if above is not None:
                runs.append((event, above))
            elif event.stack and not event.fwd_thread:
                stacks.setdefault((event.sequence_nr, event.thread), event.stack)
        for event, run in runs:
            event.stack = stacks.get((run.sequence_nr, run.fwd_thread or 0), [])

    # ---------------------------------------------------------------- sums and averages
    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, none counted twice, in microseconds."""
        return float(sum(event.self_cpu_time_total for event in self))

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """One `FunctionEventAvg` for each name, or for each name with the same shapes, or with the same `group_by_stack_n` frames."""
        if not self._tree_built:
            raise AssertionError("Expected tree to be built before calling key_averages: these are averages, or no profile's events")
        groups: dict[tuple[Any, ...], FunctionEventAvg] = {}
        for event in self:
            key: tuple[Any, ...] = (event.key, event.node_id, event.device_type, event.is_legacy, event.is_user_annotation)
            key += (
                event.overload_name if group_by_overload_name else "",
                str(event.input_shapes) if group_by_input_shapes else "",
                tuple(event.stack[:group_by_stack_n]) if event.stack else (),
            )
            groups.setdefault(key, FunctionEventAvg()).add(event)
        averages = EventList(
            groups.values(), use_device=self._use_device, profile_memory=self._profile_memory, with_flops=self._with_flops
        )
        for average in averages:
            average.stack = (average.stack or [])[:group_by_stack_n]
            if not group_by_input_shapes:
                average.input_shapes = ""
            if not group_by_overload_name:
                average.overload_name = ""
        return averages

    def total_average(self) -> FunctionEventAvg:
        """All events together, under the key "Total"."""
        total = FunctionEventAvg()
        for event in self:
            total.key = None
            total.add(event)
        total.key = "Total"
        return total

    # ---------------------------------------------------------------- what users look at
    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int | None = 75,
        max_name_column_width: int | None = 55,
        max_shapes_column_width: int | None = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The events as a table.

        Parameters
        ----------
        sort_by : the attribute whose largest values come first, such as `self_cpu_time_total`; without it, the order in which they began.
        row_limit : how many rows; -1 for all.
        top_level_events_only : leave out what ran inside another event.
        time_unit : s, ms or us for all times.
        """
        return build_table(
            self,
            sort_by=sort_by,
            row_limit=row_limit,
            max_src_column_width=max_src_column_width,
            max_name_column_width=max_name_column_width,
            max_shapes_column_width=max_shapes_column_width,
            header=header,
            profile_memory=self._profile_memory,
            with_flops=self._with_flops,
            top_level_events_only=top_level_events_only,
            time_unit=time_unit,
        )

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a trace that Perfetto and chrome://tracing open."""
        write_trace(path, self, **self._trace)

    def supported_export_stacks_metrics(self) -> list[str]:
        """What `export_stacks` can weigh stacks with."""
        return [f"self_{device}_time_total" for device in ("cpu", "cuda", "xpu", "privateuse1")]

    def export_stacks(self, path: str | os.PathLike[str], metric: str) -> None:
        """Write the stacks with their microseconds, one a line, as tools that draw flame graphs read them."""
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()}, not {metric!r}")
        attribute = metric if metric == "self_cpu_time_total" else "self_device_time_total"
        plain = str.maketrans(" ;\t\n", "____")
        lines: list[str] = []
        for event in self:
            weight = int(getattr(event, attribute))
            if event.stack and weight > 0:
                lines.append(";".join(entry.translate(plain) for entry in reversed(event.stack)) + f" {weight}\n")
        Path(path).write_text("".join(lines))
