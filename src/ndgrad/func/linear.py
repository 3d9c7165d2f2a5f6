"""`linearize`: the derivative of a function at a point as a linear function, of which the function itself is evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ndgrad.autograd.gradients import grad as gradients
from ndgrad.base import modes
from ndgrad.base.trees import tree_flatten, tree_unflatten
from ndgrad.core.batching import at_innermost
from ndgrad.core.tensor import LEAF, Tensor, wrap
from ndgrad.func.arguments import check_floating
from ndgrad.func.handles import Call
from ndgrad.func.reverse import call_gradients, differentiable_outputs, records, zeros_like


class Linearization:
    """A function recorded at a point, to be pulled and pushed through any number of times.

    Attributes
    ----------
    outputs : the leaves of what the function returned, as they were recorded.
    values : the same, released.
    """

    def __init__(self, func: Callable[..., Any], primals: tuple[Any, ...], *, reverse: bool = False) -> None:
        self.leaves, self.spec = tree_flatten(primals)
        if not reverse:
            for leaf in self.leaves:
                check_floating(leaf, "primal")
        with Call() as call:
            self.handles = [call.fresh(leaf) for leaf in self.leaves]
            result = func(*tree_unflatten(self.handles, self.spec))
            outputs, self.output_spec = differentiable_outputs(result) if reverse else tree_flatten(result)
            self.outputs: list[Any] = outputs
        self.call = call
        self.values = [call.released(y) if isinstance(y, Tensor) else y for y in self.outputs]
        self.reached = [y for y in self.outputs if isinstance(y, Tensor) and y.requires_grad]
        self.leads_outside = call.must_record(self.reached)

    def pull(self, cotangents: Sequence[Tensor]) -> list[Tensor]:
        """The cotangents of the primals from those of all outputs."""
        found = call_gradients(self.call, self.outputs, self.handles, cotangents, True, records(self.leads_outside, cotangents))
        return [self.call.released(g) for g in found]

    @cached_property
    def transpose(self) -> tuple[list[Tensor], list[tuple[int, Tensor]]]:
        """A vjp done once, at cotangents that do not matter because it is linear in them: leaves, and what came out for which primal."""
        dummies = [at_innermost(wrap(np.zeros(y._a.shape, y._a.dtype))) for y in self.reached]
        for dummy in dummies:
            dummy._node = LEAF
            dummy._owner = self.call.mark
        if not dummies or not self.handles:
            return dummies, []
        previous = modes.set_mode("grad", True), modes.set_mode("inference", False)
        try:
            found = gradients(self.reached, self.handles, dummies, True, True, allow_unused=True)
        finally:
            modes.set_mode("grad", previous[0])
            modes.set_mode("inference", previous[1])
        return dummies, [(at, c) for at, c in enumerate(found) if c is not None and c.requires_grad]

    def push(self, tangents: Sequence[Tensor]) -> list[Any]:
        """The tangents of all outputs from those of the primals: the vjp of the vjp."""
        dummies, pulled = self.transpose
        create = records(self.leads_outside, tangents)
        if pulled:
            roots, given = [c for _, c in pulled], [tangents[at] for at, _ in pulled]
            found = iter(gradients(roots, dummies, given, True, create, materialize_grads=True))
        else:
            found = iter([zeros_like(dummy) for dummy in dummies])
        pushed: list[Any] = []
        for y in self.outputs:
            if not isinstance(y, Tensor):
                pushed.append(y)
            else:
                pushed.append(self.call.released(next(found)) if y.requires_grad else zeros_like(y))
        return pushed


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The outputs of `func` at `primals`, and the function that pushes tangents forward from there, as often as it is called.

    `func` is evaluated once, and its derivative is recorded once, when it is first used; each call of the linear function then costs one
    pass over the recording.

    Examples
    --------
    >>> y, push = linearize(torch.sin, x)
    >>> slope = push(torch.ones_like(x))
    """
    recorded = Linearization(func, primals)

    def jvp_fn(*tangents: Any) -> Any:
        """Push tangents forward: one for each primal, of the same structure, shape and dtype."""
        given, spec = tree_flatten(tangents)
        if spec != recorded.spec:
            raise RuntimeError(f"Expected the tangents {spec} to have the same argspec as the primals {recorded.spec}")
        for number, (tangent, primal) in enumerate(zip(given, recorded.leaves, strict=True)):
            if not isinstance(tangent, Tensor):
                raise TypeError(f"tangent:{number} in flattened pytree must be a Tensor, not {type(tangent).__name__}")
            for what in ("shape", "dtype"):
                own, other = getattr(tangent, what), getattr(primal, what)
                if own != other:
                    raise RuntimeError(
                        f"tangent:{number} with {what} {own} in flattened pytree doesn't match the {what} {other} of the "
                        "corresponding primal."
                    )
        return tree_unflatten(recorded.push(given), recorded.output_spec)

    return tree_unflatten(recorded.values, recorded.output_spec), jvp_fn
