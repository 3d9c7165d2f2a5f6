"""Runs workloads: a child process per side, the two sides in turn, round after round."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workloads import Import, Memory, Quotient, Timed, Workload

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# The first two choose kernels that slow a current NumPy by half, and leave torch alone; the third would have every import of a checkout
# compile it anew, which no installed package does.
DROPPED_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")

RELATIVE_TOLERANCE = 2e-4
ABSOLUTE_TOLERANCE = 1e-6
# Resident memory is counted in pages, and allocators round up.
MEMORY_TOLERANCE = 1.02
# Worker threads spin for a while after their last task, on the cores that the other side is about to use.
THREADS_SETTLE_SECONDS = 0.25
NOISY_SPREAD = 1.25

TIME_IMPORT = "import time; began = time.perf_counter(); import {side}; print(time.perf_counter() - began)"


@dataclass(frozen=True)
class Settings:
    sides: tuple[str, ...]
    threads: int
    rounds: int
    seconds: float

    def environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in DROPPED_VARIABLES}
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(self.threads)))
        paths = [str(ROOT), str(ROOT / "src"), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        return environment


@dataclass
class Row:
    """What was measured of one workload: per side, the result of every round (seconds, bytes or a quotient)."""

    workload: Workload
    rounds: dict[str, list[float]]
    same_values: bool | None = None

    def best(self, side: str) -> float | None:
        results = self.rounds.get(side)
        if not results:
            return None
        return results[-1] if isinstance(self.workload, Quotient) else min(results)

    @property
    def ratio(self) -> float | None:
        """torch's best divided by ndgrad's; a quotient of two quotients would mean nothing."""
        ours, theirs = self.best("ndgrad"), self.best("torch")
        if ours is None or theirs is None or isinstance(self.workload, Quotient):
            return None
        return theirs / ours

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where it takes a side that was not measured."""
        ours, ratio = self.best("ndgrad"), self.ratio
        match self.workload:
            case Timed(target=target):
                return None if ratio is None else ratio >= target
            case Memory():
                return None if ratio is None else ratio * MEMORY_TOLERANCE >= 1.0
            case Quotient(target=target) | Import(target=target):
                return None if ours is None else ours <= target

    @property
    def noisy(self) -> bool:
        """Whether the typical round of a side was much slower than its best."""
        if isinstance(self.workload, Quotient):  # each of its rounds improves on the one before
            return False
        return any(sorted(results)[len(results) // 2] > NOISY_SPREAD * min(results) for results in self.rounds.values() if results)


def measure(workload: Workload, settings: Settings) -> Row:
    if isinstance(workload, Import):
        return measure_import(workload, settings)
    row = Row(workload, {side: [] for side in settings.sides})
    values: dict[str, list[float]] = {}
    with ExitStack() as stack:
        children = {side: stack.enter_context(Child(side, workload, settings)) for side in settings.sides}
        # Memory does not vary from round to round, and a second round in the same process would not start from nothing.
        rounds = 1 if isinstance(workload, Memory) else settings.rounds
        for number in range(rounds):
            for side in settings.sides if number % 2 == 0 else settings.sides[::-1]:
                if settings.threads > 1:
                    time.sleep(THREADS_SETTLE_SECONDS)
                reply = children[side].ask({"seconds": settings.seconds})
                row.rounds[side].append(reply["result"])
                values[side] = reply["values"]
    if len(values) == 2:
        row.same_values = close(*values.values())
    return row


def measure_import(workload: Import, settings: Settings) -> Row:
    row = Row(workload, {side: [] for side in settings.sides})
    for _ in range(settings.rounds):
        for side in settings.sides:
            command = [sys.executable, "-c", TIME_IMPORT.format(side=side)]
            output = subprocess.run(command, env=settings.environment(), cwd=ROOT, check=True, capture_output=True, text=True).stdout
            row.rounds[side].append(float(output))
    return row


class Child:
    """The process of one side of one workload. It sleeps while it is not asked."""

    def __init__(self, side: str, workload: Workload, settings: Settings) -> None:
        self.what = f"{workload.name} on {side}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", side, workload.name],
            env=settings.environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the child process has no pipes")
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise WorkloadFailed(f"{self.what} failed; its error is shown above")
        return json.loads(reply)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *unused: object) -> None:
        self.process.communicate()  # closes its standard input, at which it ends


class WorkloadFailed(Exception):
    """A child process ended before it answered."""


def close(ours: list[float], theirs: list[float]) -> bool:
    return len(ours) == len(theirs) and all(
        abs(x - y) <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * max(abs(x), abs(y)) for x, y in zip(ours, theirs, strict=True)
    )
