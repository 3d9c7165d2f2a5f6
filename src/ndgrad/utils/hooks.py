"""`torch.utils.hooks`: the handles of hooks, and a warning for those that are left behind when a tensor is saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from ndgrad.autograd.handles import RemovableHandle as RemovableHandle
from ndgrad.core.tensor import Tensor

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

F = TypeVar("F", bound=Callable[..., Any])


def unserializable_hook(f: F) -> F:
    """Mark a hook as one that is not meant to be saved with its tensor, so that `warn_if_has_hooks` does not speak of it."""
    vars(f)["__torch_unserializable__"] = True
    return f


def warn_if_has_hooks(tensor: Tensor) -> None:
    """Warn for each hook of a tensor, unless marked, that it is not saved with the tensor."""
    for hook in tuple((tensor._backward_hooks or {}).values()):
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate the function with "
                "@torch.utils.hooks.unserializable_hook to suppress this warning",
                UserWarning,
                stacklevel=2,
            )
