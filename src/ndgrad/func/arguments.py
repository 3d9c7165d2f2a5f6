"""What transforms ask of arguments and results: which to differentiate by, trees of nothing but tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ndgrad.base.trees import TreeSpec, tree_flatten, tree_iter, tree_map
from ndgrad.core.tensor import Tensor

Argnums = int | tuple[int, ...]


def positions(argnums: Any, count: int) -> tuple[int, ...]:
    """The positions among `count` arguments that `argnums` names."""
    if isinstance(argnums, int):
        return (position(argnums, count),)
    if not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    if not argnums:
        raise RuntimeError("argnums must be non-empty: it names the arguments to differentiate by")
    found = tuple(position(argnum, count) for argnum in argnums)
    if len(set(found)) != len(found):
        raise RuntimeError(f"argnums elements must be unique, got {found}")
    return found


def position(argnum: Any, count: int) -> int:
    if not isinstance(argnum, int):
        raise RuntimeError(f"argnum must be int, got: {type(argnum)}")
    if not -count <= argnum < count:
        raise RuntimeError(f"Got argnum={argnum}, but only {count} positional inputs. It counts no keyword arguments.")
    return int(argnum) % count


def with_replaced(args: tuple[Any, ...], where: tuple[int, ...], values: Any) -> tuple[Any, ...]:
    """The arguments with others in some places."""
    replaced = list(args)
    for at, value in zip(where, values, strict=True):
        replaced[at] = value
    return tuple(replaced)


def value_and_aux(result: Any, name: str) -> tuple[Any, Any]:
    """The two parts of what a function with `has_aux` returned."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


class WithAux:
    """A function that returns a pair (value, aux) if `has_aux`, as one that returns the value; `aux` is that of the latest call."""

    def __init__(self, func: Callable[..., Any], has_aux: bool, name: str) -> None:
        self.func, self.has_aux, self.name = func, has_aux, name
        self.aux: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.func(*args, **kwargs)
        if self.has_aux:
            result, self.aux = value_and_aux(result, self.name)
        return result


def map_aux(function: Callable[[Tensor], Tensor], aux: Any) -> Any:
    """An aux with each of its tensors changed; it may have nothing else at its leaves."""
    for leaf in tree_iter(aux):
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")
    return tree_map(function, aux)


def tensor_outputs(output: Any, name: str) -> tuple[list[Tensor], TreeSpec]:
    """The leaves of what a function returned, of which there must be some, all of them tensors; and its structure."""
    leaves, spec = tree_flatten(output)
    if not leaves or (len(leaves) == 1 and leaves[0] is None):
        raise RuntimeError(f"{name}: Expected f to be a function that has non-empty output (got output = {leaves})")
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"{name}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}")
    return leaves, spec


def check_floating(value: Any, name: str) -> None:
    """Refuse what can have no tangent."""
    if not isinstance(value, Tensor):
        raise TypeError(f"Expected {name} to be a Tensor, but got: {type(value).__name__}")
    if value._a.dtype.kind not in "fc":
        raise ValueError(f"Expected {name} to be floating point or complex, but got: {value.dtype}")


def named_after(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a transformed function the name and the documentation of the original, as far as that has them."""
    return functools.wraps(function, updated=())
