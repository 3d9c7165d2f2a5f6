"""`torch.utils.hooks`: the handles of hooks, and a warning for those that are left behind when a tensor is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ndgrad.autograd.handles import RemovableHandle as RemovableHandle
from ndgrad.core.copying import warn_if_has_hooks as warn_if_has_hooks

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

F = TypeVar("F", bound=Callable[..., Any])


def unserializable_hook(f: F) -> F:
    """Mark a hook as one that is not meant to be saved with its tensor, so that `warn_if_has_hooks` does not speak of it."""
    vars(f)["__torch_unserializable__"] = True
    return f
