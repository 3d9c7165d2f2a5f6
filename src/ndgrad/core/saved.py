"""`node._saved_self` and its like: what a node saved, under the names that PyTorch gives it.

Nothing here runs while operations are recorded: names are looked up when somebody asks a node for an attribute or for its `dir`.

What a rule asks for has a name by default (`NAMES`, or its own). Where PyTorch calls it otherwise, the operation's declaration says so:
`saved={"exponent": "y"}` maps PyTorch's name to that of a residual, parameter or fact; to None, if PyTorch has no such name; or to
a function of the node, for what has to be put together first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ndgrad.core.packing import SavedTensor

#: PyTorch's name of what a rule asks for: a residual's, parameter's or fact's name, or None, or a function of the node.
Names = Mapping[str, str | Callable[[Any], Any] | None]

NAMES = {"x": "self", "y": "other", "out": "result", "out0": "result0", "out1": "result1", "x_shape": "self_sym_sizes", "dims": "dim"}
#: PyTorch keeps the reduction of a loss as a number.
REDUCTIONS = ("none", "mean", "sum")
RAW, PLAIN = "_raw_saved_", "_saved_"


def constant(value: Any) -> Callable[[Any], Any]:
    """What PyTorch keeps although it is the same in every node of the operation."""
    return lambda node: value


def number(name: str) -> Callable[[Any], Any]:
    """An operand that was a Python number, as that number; others come back as tensors."""
    return lambda node: node.check()[3 * node.residuals.index(name)] if node.saved is not None else None


def operand_shape(node: Any) -> tuple[int, ...]:
    """The shape of the first operand, from the node that it came from or from the leaf that it is."""
    edge = node.parents[0]
    shape: tuple[int, ...] = edge.shape
    return tuple(shape)


class Tensors:
    """What PyTorch keeps as a tensor, or a tuple of them, and ndgrad puts together when asked."""

    __slots__ = ("made",)

    def __init__(self, made: Callable[[Any], Any]) -> None:
        self.made = made

    def __call__(self, node: Any) -> Any:
        return self.made(node)


#: An optional tensor that the operation never has.
no_tensor = Tensors(constant(None))


def sources(node: Any) -> dict[str, Any]:
    """Where the value of each of the node's `_saved_` attributes comes from, by PyTorch's name without the prefix."""
    primitive = getattr(node, "primitive", None)
    if primitive is None:
        return {}
    used = dict.fromkeys(name for plan in primitive.plans for _, name in plan)
    renamed = {source for source in primitive.saved.values() if isinstance(source, str)}
    found: dict[str, Any] = {}
    for name in used:
        operand, _, fact = name.rpartition("_")
        if fact == "dtype" or (fact == "shape" and operand in primitive.operands and (name != "x_shape" or "x" in used)):
            continue  # PyTorch does not list dtypes, and no sizes of what it has anyway
        if name not in renamed:
            found[NAMES.get(name, name)] = name
    found.update(primitive.saved)
    return {name: source for name, source in found.items() if source is not None}


def is_tensor(node: Any, source: Any) -> bool:
    """Whether an attribute is a saved tensor, of which there is a raw form."""
    return isinstance(source, Tensors) or source in node.residuals


def saved_names(node: Any) -> list[str]:
    """All `_saved_` and `_raw_saved_` attributes of a node."""
    found = sources(node)
    return [PLAIN + name for name in found] + [RAW + name for name, source in found.items() if is_tensor(node, source)]


def saved_attribute(node: Any, name: str) -> Any:
    """The value of a `_saved_` or `_raw_saved_` attribute of a node."""
    raw = name.startswith(RAW)
    source = sources(node).get(name.removeprefix(RAW if raw else PLAIN))
    if source is None or (raw and not is_tensor(node, source)):
        listed = [each for each in saved_names(node) if each.startswith(PLAIN)]
        hint = f"; it has {', '.join(listed)}" if listed else ""
        raise AttributeError(f"'{type(node).__name__}' object has no attribute '{name}'{hint}")
    if callable(source):
        return SavedTensor(node, None, source(node)) if raw else source(node)
    if source in node.residuals:
        index = node.residuals.index(source)
        if raw:
            return SavedTensor(node, index)
        return node.unpacked_residual(index)
    value = known(node, source)
    return REDUCTIONS.index(value) if source == "reduction" else value


def known(node: Any, name: str) -> Any:
    """A parameter or fact of a node."""
    return node.params[name] if node.params and name in node.params else node.primitive.defaults[name]
