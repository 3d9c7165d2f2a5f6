"""A function recorded at a point: what reverse mode, `linearize` and Jacobians are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from ndgrad.autograd.gradients import grad as gradients
from ndgrad.autograd.transposition import zero_cotangent
from ndgrad.base import modes
from ndgrad.base.trees import tree_flatten, tree_unflatten
from ndgrad.core.tensor import Tensor
from ndgrad.func.handles import Call, Mark, passing, tangents_recorded
from ndgrad.ops import ops as functions

#: Says of a backward that it is not for gradients, so hooks on gradients have no part in it: a tangent is computed by two of them.
TRANSPOSING = "transposing"


class Recording:
    """One run of a function, to be pulled and pushed through any number of times.

    Attributes
    ----------
    leaves, spec : the tensors of the primals, and how they are arranged.
    outputs, output_spec : the leaves of what the function returned, as they were recorded, and how they are arranged.
    values : the outputs, released.
    """

    def __init__(self, func: Callable[..., Any], primals: tuple[Any, ...]) -> None:
        self.leaves, self.spec = tree_flatten(primals)
        with Call() as call:
            self.handles = [call.fresh(leaf) for leaf in self.leaves]
            self.outputs, self.output_spec = tree_flatten(func(*tree_unflatten(self.handles, self.spec)))
        self.call = call
        self.values = [call.released(y) if isinstance(y, Tensor) else y for y in self.outputs]
        self.reached = [y for y in self.outputs if isinstance(y, Tensor) and y.requires_grad]
        self.leads_outside = call.must_record(self.reached)

    def records(self, given: Sequence[Any]) -> bool:
        """Whether a pass is to be recorded: where it can lead anywhere, by its graph or by what it is given."""
        if not modes.is_grad_enabled():
            return False
        return self.leads_outside or any(isinstance(g, Tensor) and g.requires_grad for g in given) or tangents_recorded()

    def pull(self, cotangents: Sequence[Any], retain_graph: bool = True, create_graph: bool | None = None) -> list[Tensor]:
        """The cotangents of the primals from those of all outputs."""
        if create_graph is None:
            create_graph = self.records(cotangents)
        found = call_gradients(self.call.mark, self.outputs, self.handles, cotangents, retain_graph, create_graph)
        return [self.call.released(g) for g in found] if modes.is_grad_enabled() else found

    @cached_property
    def transpose(self) -> tuple[list[Any], list[tuple[int, Tensor]]]:
        """A vjp done once, at cotangents that do not matter because it is linear in them: leaves, and what came out for which primal."""
        dummies: list[Any] = [zero_cotangent(y) for y in self.reached]
        for dummy in dummies:
            dummy._owner = self.call.mark
        if not dummies or not self.handles:
            return dummies, []
        previous = modes.set_mode("grad", True), modes.set_mode("inference", False)
        try:
            with passing(TRANSPOSING):
                found = gradients(self.reached, self.handles, dummies, True, True, allow_unused=True)
        finally:
            modes.set_mode("grad", previous[0])
            modes.set_mode("inference", previous[1])
        return dummies, [(at, c) for at, c in enumerate(found) if c is not None and c.requires_grad]

    def push(self, tangents: Sequence[Tensor]) -> list[Any]:
        """The tangents of all outputs from those of the primals: the vjp of the vjp."""
        dummies, pulled = self.transpose
        if pulled:
            roots, given = [c for _, c in pulled], [tangents[at] for at, _ in pulled]
            with passing(TRANSPOSING):
                found = iter(gradients(roots, dummies, given, True, self.records(tangents), materialize_grads=True))
        else:
            found = map(functions.zeros_like, dummies)
        pushed: list[Any] = []
        for y in self.outputs:
            if not isinstance(y, Tensor):
                pushed.append(y)
            else:
                pushed.append(self.call.released(next(found)) if y.requires_grad else functions.zeros_like(y))
        return pushed


def call_gradients(
    mark: Mark,
    outputs: Sequence[Tensor],
    handles: Sequence[Tensor],
    cotangents: Sequence[Any] | None,
    retain_graph: bool,
    create_graph: bool,
) -> list[Tensor]:
    """The gradients by handles of the call with that mark; zeros where the outputs do not depend on one."""
    if not handles:
        return []
    pairs = list(zip(outputs, cotangents or [None] * len(outputs), strict=True))
    pairs = [(output, g) for output, g in pairs if output.requires_grad]
    if not pairs:
        return [functions.zeros_like(handle) for handle in handles]
    given = None if cotangents is None else [g for _, g in pairs]
    with passing(mark):
        return list(gradients([y for y, _ in pairs], handles, given, retain_graph or create_graph, create_graph, materialize_grads=True))
