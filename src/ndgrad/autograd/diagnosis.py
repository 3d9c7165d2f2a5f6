"""Where a NaN or an infinity is in an array, what it was computed from, and how it came about."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.location import line_of
from ndgrad.base.quiet import Quiet
from ndgrad.base.shapes import expands
from ndgrad.base.types import Shape
from ndgrad.core.batches import Batch
from ndgrad.core.batches import values as all_values
from ndgrad.core.freed import running
from ndgrad.core.node import Node, Port, plain_name
from ndgrad.core.packing import Packed
from ndgrad.core.primitive import ELEMENTWISE, MULTILINEAR, Primitive
from ndgrad.core.tensor import Tensor
from ndgrad.ops.aten import primitive_name
from ndgrad.ops.declare import table

Index = tuple[int, ...]
#: What error messages call the parameters of a kernel.
TITLES = {"x": "input", "y": "other", "out": "the result"}
#: What to do about a gradient that was infinite before: anomaly mode looks for NaN alone.
STOPS = "autograd.check_numerics() stops where the first infinity arises."


def payload_of(value: Any) -> Any:
    """The numbers of a tensor, inside `vmap` those of all examples; anything else as it is."""
    return all_values(value._a if isinstance(value, Tensor) else value)


def payloads_of(node: Node, g: Any) -> list[Any]:
    """The same of the gradients of a node's outputs, however many it has."""
    return [payload_of(each) for each in ([g] if node.outputs == 1 else g)]


def first_place(bad: Any) -> Index:
    """The index of the first True."""
    found = np.unravel_index(int(np.argmax(bad)), np.shape(bad))
    return tuple(int(each) for each in found)


def place_text(bad: Any) -> str:
    """Where the first of the bad elements is, and how many there are of how many."""
    shape = np.shape(bad)
    if not shape:
        return ""
    count, size = int(np.count_nonzero(bad)), int(np.size(bad))
    return f" at index {list(first_place(bad))} of shape {list(shape)} ({count} of {size} elements)"


def value_at(value: Any, index: Index, shape: Shape) -> str | None:
    """The element of an operand that goes with the element at an index of something of this shape; None if that cannot be said."""
    if isinstance(value, (bool, int, float, complex)):
        return str(value)
    found = all_values(value)
    if not isinstance(found, (np.ndarray, np.generic)) or not expands(found.shape, shape):
        return None
    array: Any = found
    if type(value) is Batch and array.ndim != len(shape):
        return None  # its dims are the examples' and others, which have nothing in common with those of the index
    own = index[len(index) - array.ndim :]
    return str(array[tuple(0 if size == 1 else at for at, size in zip(own, array.shape, strict=True))])


def operation(node: Node) -> str:
    """What the operation is called that a node is the backward of."""
    primitive = getattr(node, "primitive", None)
    return plain_name(node) if primitive is None else title(primitive)


def title(primitive: Primitive) -> str:
    """What an operation is called: by its function, or if that is none of its own, as PyTorch calls it."""
    own = primitive.title in table and primitive.name.startswith(primitive.title)
    return primitive.title if own else primitive_name(primitive)


def line(node: Node) -> str:
    """The line of the user's program that made a node."""
    return "an unknown line" if node.code is None else f"line {line_of(node.code, node.lasti)} of {node.code.co_filename}"


def is_elementwise(node: Node) -> bool:
    """Whether each element of the cotangents depends on the element at the same place of the gradient alone."""
    primitive = getattr(node, "primitive", None)
    masks = primitive is not None and primitive.node_name.startswith("MaskedFill")
    return primitive is not None and (primitive.family == ELEMENTWISE or masks) and node.outputs == 1


def listed(values: list[str]) -> str:
    return f" There: {', '.join(values)}." if values else ""


# ---------------------------------------------------------------- in a backward
def note_zeros(node: Node, g: Any, cotangents: tuple[Any, ...]) -> None:
    """Remember in which places this node was the one that made the gradient 0, for the sake of the nodes that run after it."""
    primitive = getattr(node, "primitive", None)
    here = running()
    if primitive is None or here is None or node.outputs != 1:
        return
    came = payload_of(g) != 0
    chooses = is_elementwise(node)
    if not chooses and (primitive.family == MULTILINEAR or not np.all(came)):
        return
    for position, cotangent in enumerate(map(payload_of, cotangents)):
        if cotangent is not None and cotangent.dtype.kind in "fc":
            zeros = cotangent == 0
            if chooses:
                zeros = zeros & came if zeros.shape == came.shape else False
            if np.any(zeros):
                here.notes[node, position] = zeros


def zero_maker(node: Node, index: Index) -> str | None:
    """Which operation above a node sent it a 0: the nearest one that was noted, by a way on which an index keeps its meaning."""
    here = running()
    if here is None:
        return None
    consumers: dict[Node, list[tuple[Node, int]]] = {}
    for each in here.order:
        for position, edge in enumerate(each.parents):
            behind = edge.node if type(edge) is Port else edge
            if isinstance(behind, Node):
                consumers.setdefault(behind, []).append((each, position))
    queue = [node]
    for each in queue:  # which grows as we go
        for above, position in consumers.get(each, ()):
            zeros = here.notes.get((above, position))
            if zeros is not None and zeros.shape == node.shape and zeros[index]:
                name = operation(above)
                if name == "where":
                    return f"the side of `where` not taken, {line(above)}"
                return f"`{name}` made it 0, {line(above)}"
            if is_elementwise(above) and above.shape == node.shape and above not in queue:
                queue.append(above)
    return None


def saved_values(node: Any) -> Any:
    """What a node of a primitive saved, three entries for each residual: as it was just unpacked, where there are hooks for that."""
    here = running()
    if here is not None and here.unpacked[0] is node:
        return here.unpacked[1]
    return node.saved if isinstance(node.saved, (tuple, list)) else ()


def slope(node: Any, g: Any, position: int) -> Any:
    """The local derivative of an elementwise operation with respect to one operand, in all places; None if it is not known any more."""
    parents = tuple(edge if number == position else None for number, edge in enumerate(node.parents))
    values = [all_values(value) for value in saved_values(node)]
    if any(type(value) is Packed for value in values):
        return None
    with Quiet():
        return node.pull_values(values, np.ones_like(g)[()], parents)[position]


def explain_gradient(node: Node, g: Any, position: int, cotangent: Any, bad: Any) -> str:
    """What there is to say about the bad elements of a cotangent that a node has given: where, from what, and by which accident."""
    g, name = payload_of(g), operation(node)
    index, shape = first_place(bad), np.shape(bad)
    value = cotangent[index]
    text = f"It is the backward of {name}, called in {line(node)}: the gradient of its operand {position} is {value}{place_text(bad)}."
    primitive: Any = getattr(node, "primitive", None)
    alike = node.outputs == 1 and g.shape == shape and (primitive is None or primitive.family != MULTILINEAR)
    values: list[str] = []
    if alike or is_elementwise(node):
        came = value_at(g, index, shape)
        values += [f"incoming gradient = {came}"] if came is not None else []
    saved = saved_values(node) if primitive is not None else ()
    for residual, payload in zip(node.residuals, saved[::3], strict=False):
        own = residual == primitive.operands[min(position, len(primitive.operands) - 1)] or (alike and residual == "out")
        known = value_at(payload, index, shape) if own or is_elementwise(node) else None
        if known is not None:
            values.append(f"{TITLES.get(residual, residual)} = {known}")
    text += listed(values)
    if node.outputs != 1:
        return text
    if is_elementwise(node) and g.shape == shape:
        return text + explain_element(node, g, position, bad, index)
    if not np.any(g):
        return f"{text}\nThe gradient that came in was exactly 0 everywhere, and the derivative of {name} is not finite here."
    infinite = np.isinf(g)
    if np.any(infinite):
        return f"{text}\nThe gradient that came in was {g[first_place(infinite)]}{place_text(infinite)}. {STOPS}"
    return text


def explain_element(node: Node, g: Any, position: int, bad: Any, index: Index) -> str:
    """The accident of an elementwise operation: a 0 that met an infinity, or what was bad before."""
    name = operation(node)
    if g[index] != g[index]:
        return "\nThe gradient that came in was already nan there."
    factor = slope(node, g, position)
    if factor is None or factor.shape != g.shape:
        return ""
    here, came = factor[index], g[index]
    if came == 0 and not np.isfinite(here):
        count = int(np.count_nonzero((g == 0) & bad))
        maker = zero_maker(node, index)
        text = f"\nThe gradient was exactly 0 at {count} position{'s' * (count != 1)} where {name}'s derivative is {abs(here)}"
        return (
            f"{text}{': ' + maker if maker else ''}. 0 times that is nan. Give {name} a harmless operand where its result is "
            "not used (x = where(used, x, 1) before it), or run the backward in autograd.zero_times_inf_is_zero()."
        )
    if not np.isfinite(here):
        return f"\nThe derivative of {name} is {here} there."
    if not np.isfinite(came):
        return f"\nThe gradient that came in was {came} there, and the derivative of {name} is {here}. {STOPS}"
    return ""
