"""`torch.autograd.profiler`: where the time of a program goes, by operations and by the nodes of its backward.

Unlike PyTorch's, profiles with `with_stack` have the stacks in their events instead of an event for each Python function.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ContextDecorator
from enum import Enum
from typing import Any, ClassVar, NoReturn

from ndgrad.autograd.profiling.chrome_traces import write_trace
from ndgrad.autograd.profiling.events import DeviceType as DeviceType
from ndgrad.autograd.profiling.events import EventList, FunctionEvent, FunctionEventAvg, MemRecordsAcc
from ndgrad.autograd.profiling.recording import USER, Range, Recorder, described, recorders

__all__ = [
    "EnforceUnique", "EventList", "FunctionEvent", "KinetoStepTracker", "MemRecordsAcc", "emit_itt", "emit_nvtx", "load_nvprof",
    "parse_nvprof_trace", "profile", "record_function",
]  # fmt: skip


class ProfilerActivity(Enum):
    """What a profiler may watch; ndgrad has the CPU alone."""

    CPU = 0
    XPU = 1
    CUDA = 2
    HPU = 3
    MTIA = 4
    PrivateUse1 = 5

    def __repr__(self) -> str:
        return f"<ProfilerActivity.{self.name}: {self.value}>"


def kineto_available() -> bool:
    """False: events are recorded by ndgrad itself."""
    return False


class profile:
    """Record what the thread does inside: every operation, every node of a backward, every `record_function`.

    Parameters
    ----------
    enabled : False makes it do nothing, and `with` gives None.
    record_shapes : note shapes and values of arguments, for `key_averages(group_by_input_shape=True)`.
    with_flops : count the operations of matrix products, sums and products of elements.
    profile_memory : count what arrays take: those that operations give back, less those that are freed; see `recording`.
    with_stack : note the lines of the program.
    acc_events : keep the events of earlier cycles of `ndgrad.profiler.profile`.

    The others are PyTorch's, for devices and TorchScript, and change nothing here. A profile is good for one `with`.

    Raises
    ------
    RuntimeError
        On the second `with`, or if it ends on another thread.
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        experimental_config: Any = None,
        acc_events: bool = False,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
        activity_filters: Mapping[Any, Any] | None = None,
    ) -> None:
        self.enabled, self.use_cpu, self.with_modules = enabled, use_cpu, with_modules
        self.record_shapes, self.with_flops = record_shapes or with_flops, with_flops
        self.profile_memory, self.with_stack, self.acc_events = profile_memory, with_stack, acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.use_device: str | None = None
        self.entered = False
        self.trace_id = ""
        self._recorder: Recorder | None = None
        self._finished: Recorder | None = None
        self._events: EventList | None = None
        self._earlier: EventList | None = None
        if not enabled:
            return
        if use_cuda:
            advice = "The attribute `use_cuda` will be deprecated soon, please use ``use_device = 'cuda'`` instead."
            warnings.warn(advice, FutureWarning, stacklevel=2)
            use_device = "cuda"
        if not use_cpu and not use_kineto:
            raise AssertionError("Device-only events supported only with Kineto (use_kineto=True). Only the CPU has events here.")
        if use_device in ("cuda", "xpu", "hpu"):
            device = use_device.upper()
            warnings.warn(f"{device} is not available, disabling {device} profiling", UserWarning, stacklevel=2)
        elif use_device is not None:
            warnings.warn(f"The {use_device} is not a valid device option.", UserWarning, stacklevel=2)
        if not use_cpu:
            raise AssertionError("No activities specified for the profiler. Only the CPU has events here.")
        if post_processing_timeout_s is not None and post_processing_timeout_s < 0:
            raise ValueError(f"post_processing_timeout_s must be non-negative, not {post_processing_timeout_s}")

    # ---------------------------------------------------------------- on and off
    def __enter__(self) -> profile | None:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant. Make a new profile() for each `with`.")
        self._prepare_trace()
        self._start_trace()
        return self

    def __exit__(self, *details: object) -> None:
        if not self.enabled or self._recorder is None:
            return
        self._recorder.stop()
        if self.acc_events and self._finished is not None:
            self._earlier = self.function_events
        self._finished, self._recorder, self._events = self._recorder, None, None

    def _prepare_trace(self) -> None:
        self.entered = True
        self.trace_id = self.custom_trace_id_callback() if self.custom_trace_id_callback else uuid.uuid4().hex.upper()

    def _start_trace(self) -> None:
        self._recorder = Recorder(
            shapes=self.record_shapes, memory=self.profile_memory, stacks=self.with_stack, flops=self.with_flops
        )
        self._recorder.start()

    # ---------------------------------------------------------------- what came of it
    @property
    def function_events(self) -> EventList:
        """All events in the order in which they began; none before the profile has ended."""
        if self._finished is None:
            return EventList(profile_memory=self.profile_memory, with_flops=self.with_flops).built()
        if self._events is None:
            self._events = self._finished.event_list()
            self._events.extend(self._earlier or ())
            self._earlier = None
        return self._events

    def __repr__(self) -> str:
        return f"<unfinished {self._title}>" if self._finished is None else repr(self.function_events)

    def __str__(self) -> str:
        return f"<unfinished {self._title}>" if self._finished is None else str(self.function_events)

    _title = "torch.autograd.profile"

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """Totals for each name; see `EventList.key_averages`."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int | None = 75,
        max_name_column_width: int | None = 55,
        max_shapes_column_width: int | None = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """All events, one row each; see `EventList.table`. `key_averages().table()` is the one that is usually wanted."""
        return self.function_events.table(
            sort_by, row_limit, max_src_column_width, max_name_column_width, max_shapes_column_width, header, top_level_events_only
        )

    def total_average(self) -> FunctionEventAvg:
        """All events together."""
        return self.function_events.total_average()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, in microseconds."""
        return self.function_events.self_cpu_time_total

    def export_chrome_trace(
        self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None, use_python_export: bool = False
    ) -> None:
        """Write the last cycle as a trace for Perfetto or chrome://tracing, compressed if the path ends in .gz."""
        if self._finished is None:
            raise RuntimeError("export_chrome_trace(): the profile has recorded nothing yet. Call it after the `with` block.")
        events = self._finished.event_list() if self.acc_events else self.function_events
        trace = events._trace
        write_trace(path, events, **{**trace, "metadata": {"trace_id": self.trace_id, **trace["metadata"], **(metadata or {})}})

    def export_stacks(self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total") -> None:
        """Write stacks and their times for a flame graph; the profile must have been made with `with_stack=True`."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True. Give it to profile().")
        self.function_events.export_stacks(path, metric)

    def toggle_collection_dynamic(self, enabled: bool, activities: Iterable[ProfilerActivity]) -> None:
        """Stop recording for a while, or go on, if the CPU is among the activities."""
        if self._recorder is not None and ProfilerActivity.CPU in activities:
            self._recorder.pause(not enabled)


class record_function(ContextDecorator):
    """Name a block of the program, or as a decorator a function: what runs in it is shown below that name.

    Where no profiler runs, nothing is recorded.

    Parameters
    ----------
    name : what the profile calls it.
    args : a text that is noted with it.
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self.record: list[tuple[Recorder, Range]] | None = None

    def _recreate_cm(self) -> record_function:
        return record_function(self.name, self.args)  # a decorated function may call itself

    def __enter__(self) -> record_function:
        record: list[tuple[Recorder, Range]] = []
        for recorder in recorders():
            entered = recorder.enter(self.name, USER)
            if recorder.shapes and self.args is not None:
                entered.inputs = [described(self.args)]
            record.append((recorder, entered))
        self.record = record
        return self

    def __exit__(self, *details: object) -> None:
        if self.record is None:
            raise AssertionError("Expected record to be set: __exit__ was called without __enter__")
        for recorder, entered in self.record:
            if entered in recorder.open:
                recorder.close(entered)


# ---------------------------------------------------------------- what belongs to devices that are not here
def _not_here(name: str, what: str) -> NoReturn:
    raise RuntimeError(
        f"{name} is not available here: it speaks to {what}, and ndgrad computes on the CPU in NumPy. Use profile() and its "
        "export_chrome_trace(), which Perfetto opens."
    )


class emit_nvtx:
    """Ranges for NVIDIA's profilers: not available here; entering it is an error unless `enabled` is False."""

    _tool = "NVIDIA's profilers"

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled
        self.entered = False
        self.record_shapes = record_shapes

    def __enter__(self) -> None:
        if self.enabled:
            _not_here(f"{type(self).__name__}()", self._tool)

    def __exit__(self, *details: object) -> None:
        """Nothing."""


class emit_itt(emit_nvtx):
    """Ranges for Intel's VTune: not available here, like `emit_nvtx`."""

    _tool = "Intel's VTune"


def load_nvprof(path: str) -> NoReturn:
    """Not available here: an error that says so."""
    _not_here("load_nvprof()", "the files of NVIDIA's nvprof")


def parse_nvprof_trace(path: str) -> NoReturn:
    """Not available here: an error that says so."""
    _not_here("parse_nvprof_trace()", "the files of NVIDIA's nvprof")


class EnforceUnique:
    """Raises when it sees a key for the second time."""

    def __init__(self) -> None:
        self.seen: set[tuple[Any, ...]] = set()

    def see(self, *key: Any) -> None:
        """Note a key, or raise a RuntimeError if it was seen before."""
        if key in self.seen:
            raise RuntimeError(f"duplicate key: {key}")
        self.seen.add(key)


class KinetoStepTracker:
    """Counts the steps of a program that several parties count: the global step is the largest of their counts."""

    _current_step = 0
    _step_dict: ClassVar[dict[str, int]] = {}

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Let a party count from the global step on."""
        cls._step_dict[requester] = cls._current_step

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Forget a party; returns whether it was known."""
        return cls._step_dict.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """Count a step of a party; returns the global step."""
        if requester not in cls._step_dict:
            cls.init_step_count(requester)
        cls._step_dict[requester] += 1
        newest = max(cls._step_dict.values())
        if newest > cls._current_step + 1:
            counts = f"current_step = {cls._current_step} step dict =  {cls._step_dict}"
            warnings.warn(f"Profiler step count has increased more than 1 - {counts}", UserWarning, stacklevel=2)
        cls._current_step = max(cls._current_step, newest)
        return cls._current_step

    @classmethod
    def current_step(cls) -> int:
        """The global step."""
        return cls._current_step
