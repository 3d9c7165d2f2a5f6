"""`jvp`: functions differentiated in forward mode, nested in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.autograd.duals import SIZE, Level
from ndgrad.autograd.following import Follower
from ndgrad.base import modes
from ndgrad.base.nesting import Inside
from ndgrad.base.trees import tree_flatten, tree_unflatten
from ndgrad.core.observers import Observer, announce, forget, observe, unchanged
from ndgrad.core.tensor import INFERENCE, Tensor, wrap
from ndgrad.func.arguments import WithAux, check_floating, map_aux, tensor_outputs
from ndgrad.ops import ops as functions

NAME = "jvp(f, primals, tangents)"


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """The outputs of `func` at `primals`, and how they change when the primals move along `tangents`.

    Parameters
    ----------
    primals : a tuple of the arguments, trees of tensors.
    tangents : of the same structure and shapes.
    strict : refuse an output that does not depend on the primals, instead of giving it the tangent zero.
    has_aux : whether `func` returns a pair (outputs, aux); the result then ends with aux.

    Examples
    --------
    >>> y, slope = jvp(torch.sin, (x,), (torch.ones_like(x),))
    """
    leaves, spec = tree_flatten(primals)
    given, given_spec = tree_flatten(tangents)
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{NAME}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    if spec != given_spec:
        raise RuntimeError(
            f"{NAME}: Expected primals and tangents to have the same python structure. For example, if primals is a tuple of 3 tensors, "
            f"tangents also must be. Got primals with structure {spec} and tangents with structure {given_spec}"
        )
    check_tensors(leaves, "primals")
    check_tensors(given, "tangents")
    evaluated = WithAux(func, has_aux, NAME)
    level = Level()
    with Pushing(level):
        duals = [dual(level, x, t) for x, t in zip(leaves, given, strict=True)]
        outputs, output_spec = tensor_outputs(evaluated(*tree_unflatten(duals, spec)), NAME)
        found = [level.tangent(output) for output in outputs]
    if strict and None in found:
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed with strict=True."
        )
    pushed = [functions.zeros_like(output) if tangent is None else tangent for output, tangent in zip(outputs, found, strict=True)]
    pair = tree_unflatten(outputs, output_spec), tree_unflatten(pushed, output_spec)
    return (*pair, map_aux(unchanged, evaluated.aux)) if has_aux else pair


def check_tensors(leaves: list[Any], what: str) -> None:
    if not leaves:
        raise RuntimeError(f"{NAME}: Expected {what} to contain at least one Tensor.")
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"{NAME}: Expected {what} to only contain Tensors, got {type(leaf)}")


class Pushing(Inside):
    """While a follower watches the function that is differentiated forward. In inference mode it would see nothing, so that is left."""

    def __init__(self, level: Follower[Any]) -> None:
        self.level = level

    def __enter__(self) -> Pushing:
        super().__enter__()
        self.inference = modes.is_inference_mode_enabled()
        if self.inference:
            modes.set_mode("inference", False)
        observe(self.level)
        return self

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        forget(self.level)
        self.level.clear()
        if self.inference:
            modes.set_mode("inference", True)


def dual(level: Level, tensor: Tensor, tangent: Tensor) -> Tensor:
    """A view of a primal that carries its tangent."""
    check_floating(tensor, "primal")
    check_floating(tangent, "tangent")
    if tensor._a.shape != tangent._a.shape:
        raise RuntimeError(SIZE.format(list(tensor._a.shape), list(tangent._a.shape)))
    return level.dual(ordinary(tensor), ordinary(tangent))


def ordinary(tensor: Tensor) -> Tensor:
    """A tensor that can take part in recorded operations: one made in inference mode as another one with its memory."""
    if tensor._v is not INFERENCE:
        return tensor
    other = wrap(tensor._a)
    announce(Observer.continues, tensor, other, ordinary)
    return other
