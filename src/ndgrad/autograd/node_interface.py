"""`torch.autograd.graph.Node`: what all nodes of the graph have in common, for `isinstance`, and for classes that are taken for one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from ndgrad.core.node import Node as CoreNode

if TYPE_CHECKING:
    Node = CoreNode
else:

    class Node(ABC):
        """A node of the graph; nodes themselves have no abstract base, which would make each of their classes slower to make."""

        @abstractmethod
        def name(self) -> str:
            """The name under which PyTorch prints this kind of node."""

        @property
        @abstractmethod
        def next_functions(self) -> tuple[tuple[Any, int], ...]:
            """The nodes that the gradients of the operands go to, each with the number of its output."""

        @abstractmethod
        def metadata(self) -> dict[Any, Any]:
            """A dict of the user's own, which stays with the node."""

        @property
        @abstractmethod
        def _input_metadata(self) -> tuple[Any, ...]:
            """Shape, dtype and device of each gradient that the node receives."""

        @abstractmethod
        def _sequence_nr(self) -> int:
            """The number of the node in the order of creation."""

        @abstractmethod
        def register_hook(self, fn: Any) -> Any:
            """Call `fn(grad_inputs, grad_outputs)` after the node has run."""

        @abstractmethod
        def register_prehook(self, fn: Any) -> Any:
            """Call `fn(grad_outputs)` before the node runs."""

        @abstractmethod
        def _register_hook_dict(self, tensor: Any) -> None:
            """Call the hooks in a tensor's `_backward_hooks` before the node runs."""

    Node.register(CoreNode)
