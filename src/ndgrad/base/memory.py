"""Keep freed memory in the process, so that large temporaries do not fault their pages in anew at every operation.

glibc hands blocks above 128 KiB back to the system as soon as they are freed; an operation on a large array then spends
most of its time in page faults. Raising two malloc thresholds, for the whole process, cures it. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_TRIM, _LARGEST_MMAP = 2**31 - 1, 2**30
_GLIBC_DEFAULT = 128 * 1024


def keep_freed_memory(enabled: bool = True) -> bool:
    """Turn the reuse of freed memory on or off; returns whether this C library can do it.

    The setting belongs to the process, not to ndgrad alone. `NDGRAD_KEEP_MEMORY=0` in the environment keeps ndgrad
    from turning it on when it is imported.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    mmap, trim = (_LARGEST_MMAP, _LARGEST_TRIM) if enabled else (_GLIBC_DEFAULT, _GLIBC_DEFAULT)
    return bool(mallopt(_M_MMAP_THRESHOLD, mmap)) and bool(mallopt(_M_TRIM_THRESHOLD, trim))


def configure() -> None:
    """Apply the default at import, unless the environment forbids it."""
    if os.environ.get("NDGRAD_KEEP_MEMORY", "1") != "0" and hasattr(os, "confstr"):
        try:
            glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
        except (ValueError, OSError):
            glibc = False
        if glibc:
            keep_freed_memory()
