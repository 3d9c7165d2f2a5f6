"""PyTorch's `torch.profiler`: profiles of some steps of a training loop, chosen by a schedule.

>>> with profile(schedule=schedule(wait=1, warmup=1, active=3), on_trace_ready=tensorboard_trace_handler("log")) as prof:
...     for batch in batches:
...         train(batch)
...         prof.step()
"""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, NoReturn

from ndgrad.autograd import profiler as recording
from ndgrad.autograd.profiler import DeviceType as DeviceType
from ndgrad.autograd.profiler import EventList
from ndgrad.autograd.profiler import KinetoStepTracker as KinetoStepTracker
from ndgrad.autograd.profiler import ProfilerActivity as ProfilerActivity
from ndgrad.autograd.profiler import kineto_available as kineto_available
from ndgrad.autograd.profiler import record_function as record_function

__all__ = [
    "DeviceType", "ExecutionTraceObserver", "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function",
    "schedule", "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip

STEP_NAME = "ProfilerStep"


class ProfilerAction(Enum):
    """What a schedule may say of a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3
    DEVICE_STOPPED = 4


RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
Schedule = Callable[[int], ProfilerAction]


def supported_activities() -> set[ProfilerActivity]:
    """The CPU."""
    return {ProfilerActivity.CPU}


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0) -> Schedule:
    """Cycles of `wait` steps without a profile, `warmup` steps that are thrown away, and `active` ones that are recorded.

    Parameters
    ----------
    repeat : how many cycles; 0 for as many as there are steps.
    skip_first : steps before the first cycle.
    skip_first_wait : other than 0, the first cycle does not wait.
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError(
            f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), active={active} (need > 0), "
            f"repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
        )
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", UserWarning, stacklevel=2)
    cycle = wait + warmup + active

    def action_of(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step += (wait if skip_first_wait else 0) - skip_first
        at = step % cycle
        if at < wait or (repeat and step >= repeat * cycle):
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action_of


def every_step(step: int) -> ProfilerAction:
    """The schedule of a profile that was given none."""
    return ProfilerAction.RECORD


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False, use_python_export: bool = False
) -> Callable[[profile], None]:
    """An `on_trace_ready` that writes each cycle's trace into a directory, under a name that TensorBoard looks for."""
    worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"

    def write(prof: profile) -> None:
        try:
            os.makedirs(dir_name, exist_ok=True)
        except OSError as error:
            raise RuntimeError(f"Can't create directory: {dir_name} ({error.strerror})") from error
        ending = ".gz" if use_gzip else ""
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json{ending}"))

    return write


class ExecutionTraceObserver:
    """PyTorch's records of a graph for replay: not available here; making one is an error that says so."""

    def __init__(self) -> None:
        raise RuntimeError(
            "ExecutionTraceObserver is not available here: it records PyTorch's own operators for replay. Use profile() and its "
            "export_chrome_trace()."
        )


_advised: set[str] = set()


def _advise_once(text: str) -> None:
    if text not in _advised:
        _advised.add(text)
        warnings.warn(text, UserWarning, stacklevel=5)


class profile:
    """Record what the thread does inside, in all steps or in those that a schedule chooses; `step()` goes on to the next one.

    Parameters
    ----------
    activities : `[ProfilerActivity.CPU]`; others are accepted, with a warning that they are not there.
    schedule : from the number of a step to a `ProfilerAction`; see `schedule`.
    on_trace_ready : called with the profile when the last step of a cycle is done.
    record_shapes, profile_memory, with_stack, with_flops, acc_events : as of `ndgrad.autograd.profiler.profile`.
    """

    def __init__(
        self,
        *,
        activities: Iterable[Any] | None = None,
        schedule: Schedule | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
    ) -> None:
        chosen: set[ProfilerActivity] = supported_activities() if activities is None else set()
        for item in activities or ():
            chosen.update(each for each in (item if isinstance(item, dict) else (item,)) if isinstance(each, ProfilerActivity))
        if use_cuda is not None:
            warnings.warn("`use_cuda` is deprecated, use `activities` argument instead", FutureWarning, stacklevel=2)
            chosen = chosen | {ProfilerActivity.CUDA} if use_cuda else chosen - {ProfilerActivity.CUDA}
        if not chosen:
            raise AssertionError("No valid profiler activities found. Use activities=[ProfilerActivity.CPU], or leave it out.")
        self.activities = chosen
        self.record_shapes, self.profile_memory, self.with_stack = record_shapes, profile_memory, with_stack
        self.with_flops, self.with_modules, self.acc_events = with_flops, with_modules, acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.post_processing_timeout_s = post_processing_timeout_s
        self.schedule = schedule or every_step
        self.record_steps = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.profiler: recording.profile | None = None
        self.step_num = 0
        self.step_rec_fn: record_function | None = None
        self.current_action = self._planned(0)
        self._running = False
        self._metadata: dict[str, Any] = {}
        KinetoStepTracker.init_step_count(STEP_NAME)

    # ---------------------------------------------------------------- steps
    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()
        KinetoStepTracker.erase_step_count(STEP_NAME)

    def start(self) -> None:
        """Begin with the first step."""
        self._change(ProfilerAction.NONE, self.current_action)
        self._begin_step()

    def stop(self) -> None:
        """End the last step; a cycle that is being recorded is ready."""
        self._end_step()
        self._change(self.current_action, None)

    def step(self) -> None:
        """Say that a step of the program is done and the next one begins."""
        self._end_step()
        planned = self._planned(self.step_num + 1)
        self.step_num += 1
        before, self.current_action = self.current_action, planned
        self._change(before, planned)
        self._begin_step()

    def _planned(self, step: int) -> ProfilerAction:
        action = self.schedule(step)
        if action is ProfilerAction.DEVICE_STOPPED:
            raise ValueError(
                "ProfilerAction.DEVICE_STOPPED is set internally by the profiler and must not be returned by a user-provided schedule"
            )
        return action

    def _begin_step(self) -> None:
        if self.record_steps:
            self.step_rec_fn = record_function(f"{STEP_NAME}#{self.step_num}")
            self.step_rec_fn.__enter__()

    def _end_step(self) -> None:
        if self.step_rec_fn is not None:
            self.step_rec_fn.__exit__(None, None, None)
            self.step_rec_fn = None

    def _change(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        """End what is over, then begin what is to come; None stands for the end of the profile."""
        ready = before is ProfilerAction.RECORD_AND_SAVE or (before is ProfilerAction.RECORD and after is None)
        cut_off = after in (ProfilerAction.NONE, ProfilerAction.WARMUP) and before is ProfilerAction.RECORD
        if cut_off or (before is ProfilerAction.WARMUP and after is ProfilerAction.NONE):
            assert after is not None
            warnings.warn(f"Incorrect schedule: {before.name} followed by {after.name}", UserWarning, stacklevel=4)
        if before is ProfilerAction.WARMUP and after in (ProfilerAction.NONE, None):
            self.start_trace()
            self.stop_trace()
        if ready or cut_off:
            self.stop_trace()
            if ready and self.on_trace_ready is not None:
                self.on_trace_ready(self)
        prepared = before in (ProfilerAction.WARMUP, ProfilerAction.RECORD)
        if after not in (ProfilerAction.NONE, None) and not prepared:
            self.prepare_trace()
        if after in RECORDING and not self._running:
            self.start_trace()

    def prepare_trace(self) -> None:
        """Make ready for another cycle."""
        if self.profiler is not None and not self.acc_events:
            _advise_once(
                "Warning: Profiler clears events at the end of each cycle. Only events from the current cycle will be reported. To keep "
                "events across cycles, set acc_events=True."
            )
        if self.profiler is None or not self.acc_events:
            devices = [name for name in ("CUDA", "XPU", "MTIA", "HPU") if ProfilerActivity[name] in self.activities]
            self.profiler = recording.profile(
                use_kineto=True,
                use_cpu=ProfilerActivity.CPU in self.activities,
                use_device=devices[0].lower() if devices else None,
                record_shapes=self.record_shapes,
                with_flops=self.with_flops,
                profile_memory=self.profile_memory,
                with_stack=self.with_stack,
                with_modules=self.with_modules,
                acc_events=self.acc_events,
                custom_trace_id_callback=self.custom_trace_id_callback,
                post_processing_timeout_s=self.post_processing_timeout_s,
            )
        self.profiler._prepare_trace()

    def start_trace(self) -> None:
        """Begin to record."""
        self._made("starting trace")._start_trace()
        self._running = True

    def stop_trace(self) -> None:
        """End the recording."""
        self._made("stopping trace").__exit__()
        self._running = False

    # ---------------------------------------------------------------- what came of it
    def _made(self, action: str) -> recording.profile:
        if self.profiler is None:
            raise AssertionError(f"Profiler must be initialized before {action}. Call start(), or use `with`.")
        return self.profiler

    def events(self) -> EventList:
        """The events of the last cycle, or with `acc_events` of all of them."""
        return self._made("accessing events").function_events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """Totals for each name; see `EventList.key_averages`."""
        return self._made("getting key averages").key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: str | os.PathLike[str], use_python_export: bool = False) -> None:
        """Write the last cycle as a trace for Perfetto or chrome://tracing, compressed if the path ends in .gz."""
        self._made("exporting chrome trace").export_chrome_trace(path, self._metadata)

    def export_stacks(self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total") -> None:
        """Write stacks and their times for a flame graph; needs `with_stack=True`."""
        self._made("exporting stacks").export_stacks(path, metric)

    def toggle_collection_dynamic(self, enable: bool, activities: Iterable[ProfilerActivity]) -> None:
        """Stop recording for a while, or go on."""
        if self.profiler is not None:
            self.profiler.toggle_collection_dynamic(enable, activities)

    def add_metadata(self, key: str, value: str) -> None:
        """Put a text into the traces that will be written."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put a value, given as JSON, into the traces that will be written."""
        self._metadata[key] = json.loads(value)

    preset_metadata_json = add_metadata_json

    def set_custom_trace_id_callback(self, callback: Callable[[], str]) -> None:
        """Let a function name the traces of the cycles to come."""
        self.custom_trace_id_callback = callback

    def get_trace_id(self) -> str | None:
        """The name of the current cycle's trace."""
        return None if self.profiler is None else self.profiler.trace_id

    def export_memory_timeline(self, path: str, device: str | None = None) -> NoReturn:
        """Not available here: an error that says what to use."""
        raise RuntimeError("export_memory_timeline() is not available here. Use profile_memory=True and export_chrome_trace().")
