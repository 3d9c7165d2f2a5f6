"""`linearize`: the derivative of a function at a point as a linear function, of which the function itself is evaluated once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.base.trees import tree_flatten, tree_leaves, tree_unflatten
from ndgrad.core.tensor import Tensor
from ndgrad.func.arguments import check_floating
from ndgrad.func.recordings import Recording


def differentiated(func: Callable[..., Any], primals: tuple[Any, ...]) -> Recording:
    """A function recorded at primals that can have tangents."""
    for leaf in tree_leaves(primals):
        check_floating(leaf, "primal")
    return Recording(func, primals)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The outputs of `func` at `primals`, and the function that pushes tangents forward from there, as often as it is called.

    `func` is evaluated once, and its derivative is recorded once, when it is first used; each call of the linear function then costs one
    pass over the recording.

    Examples
    --------
    >>> y, push = linearize(torch.sin, x)
    >>> slope = push(torch.ones_like(x))
    """
    recorded = differentiated(func, primals)

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
