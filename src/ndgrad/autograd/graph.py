"""`torch.autograd.graph`: the nodes of the recorded graph and the edges between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ndgrad.autograd.device_settings import region_activation_memory_budget as region_activation_memory_budget
from ndgrad.autograd.device_settings import set_override_stale_capture_stream as set_override_stale_capture_stream
from ndgrad.autograd.device_settings import set_warn_on_accumulate_grad_stream_mismatch as set_warn_on_accumulate_grad_stream_mismatch
from ndgrad.autograd.inventory import graph_size as graph_size
from ndgrad.autograd.inventory import live_graphs as live_graphs
from ndgrad.autograd.inventory import saved_report as saved_report
from ndgrad.autograd.line_tracking import trace_lines as trace_lines
from ndgrad.autograd.multi_grad_hooks import register_multi_grad_hook as register_multi_grad_hook
from ndgrad.autograd.node_interface import Node as Node
from ndgrad.autograd.saving import allow_mutation_on_saved_tensors as allow_mutation_on_saved_tensors
from ndgrad.autograd.saving import disable_saved_tensors_hooks as disable_saved_tensors_hooks
from ndgrad.autograd.saving import node_creation_hook as node_creation_hook
from ndgrad.autograd.saving import save_on_cpu as save_on_cpu
from ndgrad.autograd.saving import saved_tensors_hooks as saved_tensors_hooks
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
    "region_activation_memory_budget",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_report",
    "saved_tensors_hooks",
    "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
    "trace_lines",
]


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
