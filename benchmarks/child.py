"""One side of one workload, in a process of its own; it answers the lines it is sent with one line of JSON each."""

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.memory import MemoryMeter, give_back
from benchmarks.workloads import WORKLOADS, Memory, Quotient, Step, Timed, Workload

BATCH_SECONDS = 0.005
WARM_UP_SECONDS = 0.15


def main() -> None:
    side, name = sys.argv[1:]
    workload = next(workload for workload in WORKLOADS if workload.name == name)
    torch = importlib.import_module(side)
    answer = prepare(workload, torch)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def prepare(workload: Workload, torch: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    match workload:
        case Timed():
            step, values = workload.program(torch)
            first = values()
            count = batch_size(step)
            return lambda request: {"result": fastest(step, count, request["seconds"]), "values": first}
        case Quotient():
            above, below, values = workload.program(torch)
            first = values()
            counts = batch_size(above), batch_size(below)
            best = [float("inf"), float("inf")]

            def quotient(request: dict[str, Any]) -> dict[str, Any]:
                # The quotient of the two best so far: the best quotient would be that of an unlucky divisor.
                for at, step in enumerate((below, above)):
                    best[at] = min(best[at], fastest(step, counts[1 - at], request["seconds"]))
                return {"result": best[1] / best[0] / workload.over, "values": first}

            return quotient
        case Memory():
            return lambda request: measure_memory(workload, torch)
        case _:
            raise ValueError(f"{workload.name} is not measured by a child process")


def batch_size(step: Step) -> int:
    """Warm up, and find how many steps take long enough for the clock."""
    began = time.perf_counter()
    count = 0
    while (elapsed := time.perf_counter() - began) < WARM_UP_SECONDS or count < 2:
        step()
        count += 1
    return max(1, round(BATCH_SECONDS * count / elapsed))


def fastest(step: Step, count: int, seconds: float) -> float:
    """Seconds per step of the fastest batch. The garbage collector stays on: it is part of what a user pays."""
    best = float("inf")
    batch = range(count)
    clock = time.perf_counter
    end = clock() + seconds
    measured = 0
    while measured < 3 or clock() < end:
        began = clock()
        for _ in batch:
            step()
        best = min(best, (clock() - began) / count)
        measured += 1
    return best


def measure_memory(workload: Memory, torch: Any) -> dict[str, Any]:
    workload.program(torch, 64)().backward()  # what is loaded and allocated once belongs to neither side's tensors
    forward = workload.program(torch, workload.size)
    gc.collect()
    give_back()
    meter = MemoryMeter()
    loss = forward()
    if not workload.backward:
        return {"result": meter.held(), "values": [loss.item()]}
    loss.backward()
    return {"result": meter.peak(), "values": [loss.item()]}


if __name__ == "__main__":
    main()
