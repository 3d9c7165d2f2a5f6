"""The recorder behind the profilers: an observer that notes when each operation and each node of a backward began and ended.

Memory is counted by the sizes of the arrays that operations give back, and weak references say when such an array is freed; an array that
shares another's memory is not counted. What a kernel needs only while it runs is not seen. `tracemalloc` would see that, and every Python
object besides, and makes each of their allocations several times slower.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from math import prod
from time import perf_counter_ns
from typing import Any

import numpy as np

from ndgrad.autograd.profiling.chrome_traces import BACKWARD
from ndgrad.autograd.profiling.events import MEMORY_EVENT_NAME, EventList, FunctionEvent
from ndgrad.base import modes
from ndgrad.base.dtypes import cpp_name, from_numpy_dtype
from ndgrad.base.location import users_frames
from ndgrad.base.storage import owner_of
from ndgrad.core.observers import Observer, forget, observe
from ndgrad.core.tensor import Tensor
from ndgrad.ops.aten import operator

FUNCTION, USER = 0, 7  # scopes, besides BACKWARD
ACCUMULATE = "torch::autograd::AccumulateGrad"
ENGINE = "autograd::engine::evaluate_function: "
STEP = "ProfilerStep#"


class Range:
    """Something that began and, once it is closed, ended; in nanoseconds."""

    __slots__ = (
        "allocated", "end", "flops", "fwd_thread", "inputs", "known", "name", "number", "params", "parent", "scope", "size",
        "stack", "start",
    )  # fmt: skip

    def __init__(self, name: str, parent: Range | None, scope: int) -> None:
        self.name, self.parent, self.scope = name, parent, scope
        self.number = -1
        self.fwd_thread = self.flops = self.size = self.end = 0
        self.inputs: list[Any] = []
        self.params: dict[str, Any] = {}
        self.stack: list[str] = []
        self.allocated: list[Watched] = []
        self.known: tuple[Any, ...] = ()  # while it runs: memory that is not new
        self.start = perf_counter_ns()


class Watched(weakref.ref[Any]):
    """A weak reference to what owns memory, which knows how much."""

    __slots__ = ("key", "size")

    key: int
    size: int


class _Files(dict[str, str]):
    """File name -> the same without the directory that modules are imported from."""

    def __missing__(self, name: str) -> str:
        roots = [root + os.sep for root in sys.path if root and name.startswith(root + os.sep)]
        found = self[name] = name[len(max(roots, key=len, default="")) :]
        return found


files = _Files()


def user_stack() -> list[str]:
    """The frames of the user's program, the innermost first, as `file(line): function`."""
    return [f"{files[frame.f_code.co_filename]}({line}): {frame.f_code.co_name}" for frame, line in users_frames()]


def described(value: Any) -> tuple[Any, Any, str, Any]:
    """Shape, strides, type and value of an argument; the value of a tensor is left out."""
    if isinstance(value, Tensor):
        return list(value._a.shape), [step // value._a.itemsize for step in value._a.strides], cpp_name(value.dtype), None
    if isinstance(value, (np.ndarray, np.generic)):
        return list(value.shape), [step // value.itemsize for step in value.strides], cpp_name(from_numpy_dtype[value.dtype]), None
    if isinstance(value, (tuple, list)) and value and all(isinstance(each, Tensor) for each in value):
        shapes, strides, _, _ = zip(*map(described, value), strict=True)
        return list(shapes), list(strides), "TensorList", None
    return [], [], "" if value is None else "Scalar", value


def count_flops(name: str, inputs: Sequence[Any]) -> int:
    """Multiplications and additions of matrix products, and elements of sums and products, as PyTorch counts them."""
    shapes: list[list[int]] = [shape for shape, _, kind, _ in inputs if kind not in ("", "Scalar", "TensorList")]
    operation = name.removeprefix("aten::")
    if operation in ("add", "mul") and shapes:
        return prod(shapes[0])
    if operation in ("addmm", "baddbmm"):
        shapes = shapes[1:]
    elif operation not in ("mm", "bmm", "matmul"):
        return 0
    if len(shapes) != 2 or not shapes[0]:
        return 0
    left, right = shapes
    return 2 * prod(left) * (right[-1] if len(right) > 1 else 1)


class Recorder(Observer):
    """Notes what happens on the thread that starts it.

    Parameters
    ----------
    shapes, memory, stacks, flops : what else to note of each operation.
    """

    def __init__(self, *, shapes: bool = False, memory: bool = False, stacks: bool = False, flops: bool = False) -> None:
        self.shapes, self.memory, self.stacks, self.flops = shapes or flops, memory, stacks, flops
        self.detailed = self.shapes or stacks
        self.ranges: list[Range] = []
        self.open: list[Range] = []
        self.made: set[int] = set()  # the numbers of the nodes that were seen when they were made
        self.writing: dict[int, tuple[int, int, int]] = {}
        self.live: dict[int, Watched] = {}
        self.records: list[tuple[int, int, int, bool]] = []  # moment, thread, bytes, whether inside a range
        self.off = True
        self.thread = 0
        self.thread_name = ""
        self.begin = self.end = 0
        self.clock = 0  # the time of day less that of `perf_counter_ns`

    # ---------------------------------------------------------------- on and off
    def start(self) -> None:
        """Begin to watch this thread."""
        self.thread, self.thread_name = threading.get_native_id(), threading.current_thread().name
        self.pause(False)
        self.clock = time.time_ns() - perf_counter_ns()
        self.begin = perf_counter_ns()

    def stop(self) -> None:
        """End what is still open, and watch no more; only on the thread of `start`."""
        if threading.get_native_id() != self.thread:
            raise RuntimeError(
                f"The profiler was started on the thread {self.thread_name!r} and must be stopped there, not on "
                f"{threading.current_thread().name!r}: it watches one thread alone."
            )
        if self.open:
            self.close(self.open[0])
        self.end = perf_counter_ns()
        self.pause(True)
        self.live.clear()
        self.writing.clear()
        for each in self.ranges:
            each.allocated = []  # their callbacks are of no use any more

    def pause(self, off: bool) -> None:
        """Look away, or look again."""
        self.off = off
        forget(self)
        if not off:
            observe(self)

    # ---------------------------------------------------------------- ranges
    def enter(self, name: str, scope: int, operands: Sequence[Any] | None = None, params: dict[str, Any] | None = None) -> Range:
        """Begin a range inside those that are open; what there is to note of its operands is not counted as its time."""
        entered = Range(name, self.open[-1] if self.open else None, scope)
        if self.detailed and operands is not None:
            self.note(entered, operands, params)
        self.ranges.append(entered)
        self.open.append(entered)
        entered.start = perf_counter_ns()
        return entered

    def note(self, entered: Range, operands: Sequence[Any], params: dict[str, Any] | None) -> None:
        """Shapes, flops and stack, as far as they are wanted."""
        if self.shapes:
            entered.inputs = [described(value) for value in operands]
            entered.params = params or {}
        if self.flops and entered.scope == FUNCTION:
            entered.flops = count_flops(entered.name, entered.inputs)
        if self.stacks and entered.scope != BACKWARD:  # those get their forward operation's
            entered.stack = user_stack()

    def close(self, closed: Range) -> None:
        """End a range, and those inside it that an error has left open."""
        now = perf_counter_ns()
        while closed.end == 0:
            last = self.open.pop()
            last.end = now
            self.writing.pop(len(self.open) + 1, None)

    # ---------------------------------------------------------------- what an observer sees
    def run(self, primitive: Any, operands: Sequence[Any], params: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Begin an operation, which `done` ends: making its node belongs to it."""
        if self.off:  # a hook has stopped the recorder, and the backward around it has brought it back
            self.pause(True)
            return compute()
        shown = (operands,) if primitive.variadic else operands
        entered = self.enter(operator(primitive).name(), FUNCTION, shown, params)
        try:
            return compute()
        except BaseException:
            self.close(entered)
            raise

    def done(self, primitive: Any, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        """End an operation."""
        if not self.open:
            return  # the recorder was started or stopped while the operation ran
        entered = self.open[-1]
        if self.memory and not primitive.view:
            for each in result if isinstance(result, tuple) else (result,):
                self.allocate(entered, each, payloads)
        self.close(entered)

    def recorded(self, node: Any) -> None:
        """Tie what runs to the node that it made."""
        self.made.add(node.number)
        if self.open and self.open[-1].scope == FUNCTION and self.open[-1].number < 0:
            self.open[-1].number = node.number

    def call(self, function: Any, args: Sequence[Any], compute: Callable[[], Any]) -> Any:
        """Record a custom function, by its name."""
        if self.off:
            return compute()
        entered = self.enter(function.__name__, FUNCTION, args)
        try:
            return compute()
        finally:
            self.close(entered)

    def pull(self, node: Any, g: Any, compute: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Record a node's run: two ranges, as PyTorch has them, the engine's and the node's."""
        if self.off:
            return compute()  # the backward that runs knows the recorder still
        name = node.name()
        number, fwd_thread = node.number, self.thread if node.number in self.made else 0
        arrived = tuple(g) if isinstance(g, (tuple, list)) else (g,)
        outer = self.enter(ENGINE + name, FUNCTION)
        outer.number, outer.fwd_thread = number, fwd_thread
        inner = self.enter(name, BACKWARD, arrived)
        inner.number, inner.fwd_thread = number, fwd_thread
        try:
            cotangents = compute()
            if self.memory:
                known = [each._a if isinstance(each, Tensor) else each for each in arrived]
                for each in cotangents:
                    self.allocate(inner, each, known)
            return cotangents
        finally:
            self.close(outer)

    def accumulating(self, leaf: Any, g: Any) -> None:
        """Begin the two ranges of a leaf."""
        if self.off:
            return
        self.enter(ENGINE + ACCUMULATE, FUNCTION)
        inner = self.enter(ACCUMULATE, BACKWARD, (g,))
        if self.memory and leaf._grad is not None:
            inner.known = (leaf._grad._a,)

    def accumulated(self, leaf: Any, g: Any) -> None:
        """End them."""
        if not self.open or self.open[-1].name != ACCUMULATE:
            return  # a hook has stopped or started the recorder
        inner = self.open[-1]
        known, inner.known = inner.known, ()
        if self.memory and leaf._grad is not None:
            self.allocate(inner, leaf._grad, known)
        if inner.parent is not None:
            self.close(inner.parent)

    def writes(self, tensor: Any) -> None:
        """Remember what has run before an in-place operation."""
        if not self.off:
            self.writing[len(self.open)] = (id(tensor), perf_counter_ns(), len(self.ranges))

    def written(self, tensor: Any, name: str, out: Any) -> None:
        """Make one range of an in-place operation and of what it was computed by."""
        target, start, first = self.writing.pop(len(self.open), (0, 0, 0))
        if target != id(tensor):
            return
        above = self.open[-1] if self.open else None
        direct = [each for each in self.ranges[first:] if each.parent is above]
        if len(direct) == 1 and direct[0].scope == FUNCTION:  # the operation itself, out of place
            written = direct[0]
            written.name, written.flops = f"aten::{name}", 0
        else:
            written = Range(f"aten::{name}", above, FUNCTION)
            if self.detailed:
                self.note(written, (tensor,), None)
            for each in direct:
                each.parent = written
            self.ranges.insert(first, written)
        written.start, written.end = start, perf_counter_ns()
        for each in self.ranges[first:]:
            for watched in each.allocated:  # the result, which has moved into the tensor's own memory
                if self.live.get(watched.key) is watched:
                    del self.live[watched.key]
                    written.size -= watched.size
                    self.records.append((written.end, self.thread, -watched.size, True))

    # ---------------------------------------------------------------- memory
    def allocate(self, entered: Range, result: Any, known: Sequence[Any]) -> None:
        """Count the memory of a result, unless it is that of an array which is known already."""
        payload = result._a if isinstance(result, Tensor) else result
        if isinstance(payload, np.ndarray):
            owner: Any = owner_of(payload)
            if not owner.flags.owndata or any(owner is owner_of(each) for each in known if isinstance(each, np.ndarray)):
                return
        elif isinstance(result, Tensor):
            owner = result  # a 0-d tensor whose memory is a NumPy scalar, which nothing can refer to weakly
        else:
            return
        if id(owner) in self.live:
            return
        watched = Watched(owner, self.freed)
        watched.key, watched.size = id(owner), payload.nbytes
        self.live[watched.key] = watched
        entered.allocated.append(watched)
        entered.size += watched.size
        self.records.append((perf_counter_ns(), self.thread, watched.size, True))

    def freed(self, watched: Watched) -> None:
        """Count memory that is gone; called when its owner dies, on whatever thread."""
        if self.live.get(watched.key) is not watched:
            return
        del self.live[watched.key]
        thread = threading.get_native_id()
        within = thread == self.thread and bool(self.open)
        if within:
            self.open[-1].size -= watched.size
        self.records.append((perf_counter_ns(), thread, -watched.size, within))

    # ---------------------------------------------------------------- events
    def events(self) -> Iterator[FunctionEvent]:
        """What was noted, as events whose tree is still to be built."""
        totals = {id(each): each.size for each in self.ranges}
        for each in reversed(self.ranges):
            if each.parent is not None:
                totals[id(each.parent)] += totals[id(each)]
        for number, each in enumerate(self.ranges, 1):
            shapes = [shape for shape, _, _, _ in each.inputs]
            yield FunctionEvent(
                number,
                "ProfilerStep*" if each.name.startswith(STEP) else each.name,
                self.thread,
                (each.start - self.begin) / 1000,
                (each.end - self.begin) / 1000,
                trace_name=each.name,
                fwd_thread=each.fwd_thread,
                input_shapes=[[] if kind == "TensorList" else shape for shape, _, kind, _ in each.inputs],
                stack=each.stack,
                scope=each.scope,
                cpu_memory_usage=totals[id(each)],
                sequence_nr=each.number,
                flops=each.flops,
                concrete_inputs=[value for _, _, _, value in each.inputs],
                kwinputs=each.params,
                is_user_annotation=each.scope == USER,
                activity_type="user_annotation" if each.scope == USER else "cpu_op",
                structured_input_shapes=shapes,
                structured_input_strides=[strides for _, strides, _, _ in each.inputs],
                input_dtypes=[kind for _, _, kind, _ in each.inputs],
            )
        for moment, thread, size, within in self.records:
            if not within:
                at = (moment - self.begin) / 1000
                yield FunctionEvent(
                    len(self.ranges), MEMORY_EVENT_NAME, thread, at, at, fwd_thread=0, input_shapes=[], stack=[], flops=0,
                    cpu_memory_usage=size,
                )  # fmt: skip

    def event_list(self) -> EventList:
        """The events in the order in which they began, with their tree."""
        found = sorted(self.events(), key=lambda event: (event.time_range.start, -event.time_range.end))
        events = EventList(found, profile_memory=self.memory, with_flops=self.flops).built()
        events._trace = {
            "origin": self.begin / 1000,
            "records": [((moment - self.begin) / 1000, thread, size) for moment, thread, size, _ in self.records],
            "threads": {self.thread: self.thread_name},
            "metadata": {"baseTimeNanoseconds": self.clock},
        }
        return events


def recorders() -> list[Recorder]:
    """Those that watch this thread."""
    if not modes.exceptional:
        return []
    return [each for each in modes.current().observers if isinstance(each, Recorder)]
