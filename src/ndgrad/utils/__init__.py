"""`torch.utils`: what is built on autograd and is no mathematics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ndgrad.utils import hooks as hooks

if TYPE_CHECKING:
    from ndgrad.utils import _pytree as _pytree
    from ndgrad.utils import checkpoint as checkpoint

#: Loaded when somebody asks for them: most programs never do.
LAZY = ("_pytree", "checkpoint")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:  # type checkers would take it for a promise that every name exists
        if name in LAZY:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
