"""PyTorch's global switches that change nothing here, kept so that scripts which set them run and read back what they set."""

from __future__ import annotations

from typing import Any, TypedDict

from ndgrad.base.devices import CPU, check_device, device
from ndgrad.base.devices import device as device_type


class _State(TypedDict):
    deterministic: bool
    warn_only: bool
    warn_always: bool
    precision: str


_state: _State = {
    "deterministic": False,
    "warn_only": False,
    "warn_always": False,
    "precision": "highest",
}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted; everything here is deterministic."""
    _state["deterministic"], _state["warn_only"] = bool(mode), bool(mode and warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was last told."""
    return _state["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The `warn_only` that `use_deterministic_algorithms` was last told."""
    return _state["warn_only"]


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 or "default", 1 or "warn", 2 or "error"."""
    modes = {"default": 0, "warn": 1, "error": 2}
    chosen = modes.get(debug_mode, debug_mode) if isinstance(debug_mode, str) else debug_mode
    if chosen not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1 or 2 or one of {list(modes)}, but got {debug_mode}")
    use_deterministic_algorithms(chosen > 0, warn_only=chosen == 1)


def get_deterministic_debug_mode() -> int:
    """What `set_deterministic_debug_mode` was last told, as a number."""
    return 0 if not _state["deterministic"] else 1 if _state["warn_only"] else 2


def get_default_device() -> device:
    """The CPU."""
    return CPU


def set_default_device(device: Any) -> None:
    """The CPU is the only device; any other is an error."""
    check_device(None if device is None else device_type(device))


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was last told; products are always computed in full precision."""
    return _state["precision"]


def set_float32_matmul_precision(precision: str) -> None:
    """ "highest", "high" or "medium"; remembered, nothing else."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"{precision} is not one of 'highest', 'high', 'medium'")
    _state["precision"] = precision


def set_flush_denormal(mode: bool) -> bool:
    """Not supported by NumPy: always False."""
    return False


def set_warn_always(b: bool) -> None:
    """Remembered, nothing else."""
    _state["warn_always"] = bool(b)


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was last told."""
    return _state["warn_always"]


def compiled_with_cxx11_abi() -> bool:
    """Nothing is compiled here; PyTorch's own answer."""
    return True
