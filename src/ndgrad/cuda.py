"""PyTorch's `torch.cuda` on a machine without a GPU: programs ask whether there is one, and are told that there is not."""

from __future__ import annotations

from typing import Any, NoReturn

from ndgrad.base.devices import check_device


def is_available() -> bool:
    """False: ndgrad computes on the CPU alone."""
    return False


def is_initialized() -> bool:
    """False, always."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator to seed."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no generator to seed."""
    int(seed)


def empty_cache() -> None:
    """Nothing: there is no memory to free."""


def current_device() -> NoReturn:
    """An AssertionError, as in PyTorch without CUDA."""
    _refuse()


def synchronize(device: Any = None) -> NoReturn:
    """An AssertionError, as in PyTorch without CUDA."""
    _refuse()


def _refuse() -> NoReturn:
    check_device("cuda")
    raise AssertionError("unreachable: there is no CUDA here")


__all__ = [
    "current_device", "device_count", "empty_cache", "is_available", "is_initialized", "manual_seed", "manual_seed_all", "synchronize",
]  # fmt: skip
