"""What of `torch.autograd.graph` concerns CUDA streams and compiled regions: accepted, or refused with PyTorch's error."""

from __future__ import annotations

from typing import NoReturn


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Warn where a gradient is accumulated on another CUDA stream than its own; there are no streams here, and nothing to warn of."""
    _check_bool(enabled)


def set_override_stale_capture_stream(enabled: bool) -> None:
    """Forget the CUDA stream that a graph was captured on; there are no streams here, and nothing to forget."""
    _check_bool(enabled)


def _check_bool(enabled: object) -> None:
    if not isinstance(enabled, bool):
        raise RuntimeError(f"enabled must be a bool, but got {type(enabled).__name__}")


def region_activation_memory_budget(budget: float) -> NoReturn:
    """How much of what is recomputed otherwise may be saved, between 0 and 1, in a compiled region; an error anywhere else."""
    name = "torch.autograd.graph.region_activation_memory_budget"
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise TypeError(f"{name}: expects a float, got {type(budget).__name__}")
    if not 0.0 <= budget <= 1.0:
        raise ValueError(f"{name}: must be in [0, 1], got {budget}")
    raise RuntimeError(
        f"{name} can only be used inside a torch.compile region; it has no effect in eager mode. Use checkpoints to save less."
    )
