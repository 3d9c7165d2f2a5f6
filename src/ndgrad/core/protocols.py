"""How type checkers see operations, which are functions that declarations make at import time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ndgrad.core.primitive import Primitive
    from ndgrad.core.tensor import Tensor


class Operation(Protocol):
    """What a declaration gives back: the operation as a function on tensors."""

    primitive: Primitive

    def __call__(self, *operands: Any, **params: Any) -> Tensor: ...


class SeveralOutputs(Protocol):
    """The same with a tuple of tensors as its result."""

    primitive: Primitive

    def __call__(self, *operands: Any, **params: Any) -> tuple[Tensor, ...]: ...


class Operations(Protocol):
    """A namespace of functions on tensors."""

    def __getattr__(self, name: str) -> Callable[..., Tensor]: ...
