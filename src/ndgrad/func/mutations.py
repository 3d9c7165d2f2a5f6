"""`functionalize`: a function that changes its arguments in place, run on copies; and `debug_unwrap`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.base.nesting import Inside, nesting
from ndgrad.base.trees import tree_map, tree_map_only
from ndgrad.core.batches import Batch
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.core.views import replay_steps
from ndgrad.func.arguments import named_after

MUTATIONS, VIEWS = "mutations", "mutations_and_views"


def functionalize(func: Callable[..., Any], *, remove: str = MUTATIONS) -> Callable[..., Any]:
    """The function that does what `func` does, but changes its arguments only at the end, all at once, and not at all if it raises.

    Parameters
    ----------
    remove : "mutations", or "mutations_and_views": what is returned then shares no memory with the arguments.
    """
    if remove not in (MUTATIONS, VIEWS):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': arguments are changed at the end.\n"
            "     remove='mutations_and_views': besides, what is returned shares no memory with them.\n"
        )

    @named_after(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        copies: dict[int, tuple[Tensor, Tensor]] = {}

        def copied(tensor: Tensor) -> Tensor:
            if id(tensor) not in copies:
                copies[id(tensor)] = (tensor, tensor.clone())
            return copies[id(tensor)][1]

        def returned(value: Any) -> Any:
            """What shares the memory of a copy that was not changed shares that of the argument instead."""
            if not isinstance(value, Tensor):
                return value
            for original, copy in copies.values():
                if id(original) in changed:
                    continue
                if value is copy:
                    return original
                if value._view is not None and value._view.base is copy:
                    view: Tensor = replay_steps(original, value._view.steps)
                    return view.clone() if remove == VIEWS else view
            return value

        with Inside():
            args, kwargs = tree_map_only(Tensor, copied, (args, kwargs))
            result = func(*args, **kwargs)
        changed = {key for key, (_, copy) in copies.items() if copy._version}
        for key in changed:
            original, copy = copies[key]
            original.copy_(copy)
        return tree_map(returned, result)

    return wrapped


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """Inside a transform, the value of a tensor without what the transform knows of it, to look at; outside, the tensor itself.

    Parameters
    ----------
    recurse : whether the values of all transforms' examples are wanted, one more dim in front for each `vmap`, or those of one level less.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"debug_unwrap(): argument 'tensor' must be Tensor, not {type(tensor).__name__}")
    payload: Any = tensor._a
    while type(payload) is Batch:
        tensor = payload.value
        payload = tensor._a
        if not recurse:
            return tensor
    return wrap(payload) if nesting.depth and tensor.requires_grad else tensor
