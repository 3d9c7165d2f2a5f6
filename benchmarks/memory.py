"""How much resident memory this process takes, and took at most, since a moment."""

import ctypes
import re
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


class MemoryMeter:
    """Counts bytes from the moment it is made.

    On Linux the peak is reset then; elsewhere it is the peak of the whole life of the process, so that a peak before
    that moment can only make the growth look smaller, and only resident memory at its highest is known.
    """

    def __init__(self) -> None:
        self.exact = STATUS.exists()
        if self.exact:
            CLEAR.write_text("5")  # the kernel's code for "reset VmHWM to VmRSS"
        self.before = self.resident()

    def held(self) -> int:
        """What is in use: memory that the C library keeps for later use belongs to no tensor, and is given back first."""
        give_back()
        return self.resident() - self.before

    def peak(self) -> int:
        return (self.status("VmHWM") if self.exact else highest()) - self.before

    def resident(self) -> int:
        return self.status("VmRSS") if self.exact else highest()

    def status(self, field: str) -> int:
        found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        if found is None:
            raise RuntimeError(f"{STATUS} has no line for {field}")
        return int(found[1]) * 1024


def give_back() -> None:
    """Return freed memory to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


def highest() -> int:
    value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value if sys.platform == "darwin" else value * 1024
