"""What machine this is, and whether anything else is using it."""

import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path

BUSY_CORES = 0.15


class ProcessorUse:
    """Processor time used on the machine and by our own processes, since this was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.total, self.own = all_processors(), own_processes()

    def others(self) -> float | None:
        """How many cores, on average, other programs used; None where the system does not say."""
        total = all_processors()
        if total is None or self.total is None:
            return None
        seconds = max(time.monotonic() - self.began, 1e-9)
        return max(0.0, (total - self.total) - (own_processes() - self.own)) / seconds


def all_processors() -> float | None:
    """Seconds that all processors together were not idle (stolen time too: another guest had the core then)."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_processes() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def busy_warning(use: ProcessorUse, when: str) -> str | None:
    others = use.others()
    if others is None:
        load = os.getloadavg()[0]
        return f"the load average is {load:.2f} {when}: the ratios may mean nothing" if load > 0.5 else None
    return f"other programs used {others:.2f} cores {when}: the ratios may mean nothing" if others > BUSY_CORES else None


def describe(sides: list[str], threads: int) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "processor": processor_name(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "threads": threads,
    }
    for package in ("numpy", *sides):
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            facts[package] = "from the source tree"
    return facts


def processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
