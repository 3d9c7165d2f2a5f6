"""PyTorch's `torch.random`: the default generator and its state."""

from __future__ import annotations

from collections.abc import Generator as Iterating
from contextlib import contextmanager
from typing import Any

from ndgrad.ops.random_numbers import default_generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from ndgrad.ops.random_numbers import reseed as seed


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **others: Any) -> Iterating[None]:
    """What is drawn inside leaves the default generator as it was before.

    `devices` and further arguments are PyTorch's for other devices, of which there is none.
    """
    if not enabled:
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
