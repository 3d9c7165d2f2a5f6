"""`torch.autograd.graph`: the nodes of the recorded graph, the edges between them, and what may be done with what they save."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ndgrad.autograd.inspection.inventory import graph_size as graph_size
from ndgrad.autograd.inspection.inventory import live_graphs as live_graphs
from ndgrad.autograd.inspection.inventory import peak_memory as peak_memory
from ndgrad.autograd.inspection.inventory import saved_report as saved_report
from ndgrad.autograd.line_tracking import trace_lines as trace_lines
from ndgrad.autograd.multi_grad_hooks import register_multi_grad_hook as register_multi_grad_hook
from ndgrad.autograd.saving import allow_mutation_on_saved_tensors as allow_mutation_on_saved_tensors
from ndgrad.autograd.saving import disable_saved_tensors_hooks as disable_saved_tensors_hooks
from ndgrad.autograd.saving import node_creation_hook as node_creation_hook
from ndgrad.autograd.saving import save_on_cpu as save_on_cpu
from ndgrad.autograd.saving import saved_tensors_hooks as saved_tensors_hooks
from ndgrad.core.node import Node as CoreNode
from ndgrad.core.node import accumulator, edge_of
from ndgrad.core.tensor import Tensor, mark_modified

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "graph_size",
    "increment_version",
    "live_graphs",
    "node_creation_hook",
    "peak_memory",
    "region_activation_memory_budget",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_report",
    "saved_tensors_hooks",
    "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
    "trace_lines",
]


# ---------------------------------------------------------------- nodes
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


# ---------------------------------------------------------------- edges
class GradientEdge(NamedTuple):
    """Where the gradient of a tensor goes: a node and the number of its output; stands for the tensor in `backward` and `grad`."""

    node: Node
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge that stands for a tensor, which may itself be dropped afterwards.

    Raises
    ------
    RuntimeError
        If the tensor does not require grad.
    """
    edge = edge_of(tensor)
    if edge is None and tensor.requires_grad:
        raise AssertionError(
            "Expected gradient function to be set. This is a view that requires grad only because its base does: it was made before that, "
            "or in no_grad, and no gradient comes back to it."
        )
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    if isinstance(edge, Tensor):
        return GradientEdge(accumulator(edge), 0)
    return GradientEdge(edge.node_of().face(), edge.output_nr)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Say that the memory of a tensor (or of each of several) has been changed where ndgrad could not see it, by NumPy for instance."""
    given: Iterable[Tensor] = (tensor,) if isinstance(tensor, Tensor) else tensor
    for changed in given:
        mark_modified(changed, "increment_version")


# ---------------------------------------------------------------- CUDA streams and compiled regions: accepted, or PyTorch's error
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
