"""How many threads NumPy's matrix products use: a setting of the OpenBLAS library that NumPy's wheels bring along."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_PREFIXES, _SUFFIXES = ("scipy_openblas_", "openblas_"), ("64_", "")
_requested: dict[str, int] = {}


@cache
def _openblas(action: str) -> Any:
    """The library's function `set_num_threads` or `get_num_threads`; None where NumPy calls another BLAS, or one of the system's."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):  # where wheels for Linux and Windows, and for macOS, have it
        for path in folder.glob("*openblas*"):
            try:
                library = ctypes.CDLL(str(path))  # loaded already: this only finds it
            except OSError:
                continue
            for prefix in _PREFIXES:
                for suffix in _SUFFIXES:
                    function = getattr(library, f"{prefix}{action}{suffix}", None)
                    if function is not None:
                        return function
    return None


def get_num_threads() -> int:
    """The number of threads that matrix products may use; what was last asked for, or the number of cores, where BLAS does not say."""
    count = _openblas("get_num_threads")
    return int(count()) if count is not None else _requested.get("threads", os.cpu_count() or 1)


def set_num_threads(num: int) -> None:
    """Limit the threads that matrix products use; other operations use one. The setting belongs to the process, not to ndgrad alone.

    It is remembered and nothing else where NumPy's BLAS is not the OpenBLAS of its wheels.
    """
    _requested["threads"] = positive(num, "set_num_threads")
    limit = _openblas("set_num_threads")
    if limit is not None:
        limit(num)


def get_num_interop_threads() -> int:
    """The number last given to `set_num_interop_threads`: nothing here runs operations beside each other."""
    return _requested.get("interop", os.cpu_count() or 1)


def set_num_interop_threads(num: int) -> None:
    """Remembered, nothing else."""
    _requested["interop"] = positive(num, "set_num_interop_threads")


def positive(num: Any, name: str) -> int:
    if isinstance(num, bool) or not isinstance(num, int):
        raise TypeError(f"{name} expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError(f"{name} expects a positive integer, not {num}")
    return num
