"""The nodes of custom functions, and the contexts that users know them by.

For users the context of a custom function is the node: `out.grad_fn` has what `forward` put on `ctx`. But users may call their
attributes `shape` or `saved`, which mean something else to the engine. So there are two objects, the node in the graph and its face,
the context. They share the user's attributes, one dict; the face holds the node, and the node only refers weakly to the face, which is
made anew when somebody asks for it. So a custom function leaves no reference cycle behind.
"""

from __future__ import annotations

import sys
import weakref
from _thread import get_ident
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from ndgrad.base import modes
from ndgrad.base.location import place_of_call
from ndgrad.base.shapes import expands
from ndgrad.core.freed import Freed
from ndgrad.core.node import InputMetadata, Node, Port, edge_of, freed_error, placed, tick
from ndgrad.core.packing import Packed, SavedTensor, packed
from ndgrad.core.tensor import LEAF, Tensor, wrap

#: A place on a context: the name of an attribute; and the key of an entry, if the attribute is a list, tuple or dict.
Place = tuple[Any, ...]
#: While a backward runs: for its thread and node, which inputs this call needs gradients of.
needed_now: dict[tuple[int, Node], tuple[bool, ...]] = {}


class Residuals(tuple[Any, ...]):
    """A node's `saved` as the engine knows it, and for each residual what it is: a tensor, the number of an output, or None."""

    tensors: tuple[Any, ...] = ()


class CustomNode(Node):
    """One call of a custom function in the graph; subclasses, one per function, are made with the function.

    Attributes
    ----------
    state : what the user has put on the context.
    needs : for each argument of the call, whether it is a tensor that requires grad.
    positions : for each parent, the position of its argument.
    formats : for each output, its shape and dtype; None where it is no tensor.
    stashed : where in `state` tensors are that forward has computed.
    """

    __slots__ = ("cleared", "formats", "holder", "materializes", "needs", "outputs", "positions", "stashed", "state")

    face_class: ClassVar[type[Face]]
    keeps_missing = True  # for the engine: it is not told which outputs are tensors

    def __init__(self, needs: tuple[bool, ...], positions: tuple[int, ...], parents: tuple[Any, ...]) -> None:
        self.needs, self.positions, self.parents = needs, positions, parents
        self.state: dict[str, Any] = {}
        self.formats: tuple[Any, ...] = ()
        self.stashed: tuple[Place, ...] = ()
        self.materializes = True
        self.holder: Any = None
        self.cleared = False
        self.outputs = 1
        self.saved = self.params = self.extra = None
        self.shape, self.dtype = (), None
        self.number = tick()
        self.code, self.lasti = place_of_call()

    def face(self) -> Any:
        """The context of this call, which users see as the node."""
        found: Any = None if self.holder is None else self.holder()
        if found is None:
            found = object.__new__(self.face_class)
            found.__dict__ = self.state
            found._node = self
            self.holder = weakref.ref(found)
        return found

    def shown_outputs(self) -> Sequence[int]:
        """All of them, also what is no tensor."""
        return range(self.outputs)

    def edge(self, number: int) -> Any:
        """What a tensor that is this output has as its node."""
        return self if self.outputs == 1 else Port(self, number)

    # ---------------------------------------------------------------- the protocol of the engine
    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        """Run the user's backward without recording it."""
        given = (g,) if self.outputs == 1 else tuple(g)
        found = self.call([None if value is None else wrap(value) for value in given], parents)
        return tuple(None if value is None else value._a for value in found)

    def pull_recorded(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        """Run it recorded, with a guard before everything on the context that was computed in forward."""
        guards = [guard for at in self.stashed for guard in guarded(self, at)]
        try:
            return tuple(self.call([g] if self.outputs == 1 else list(g), parents))
        finally:
            for holder, key, guard, stashed in reversed(guards):
                if find(holder, key) is guard:
                    holder[key] = stashed

    def call(self, given: list[Any], parents: tuple[Any, ...]) -> list[Any]:
        """Run the user's backward on tensors, one for each output, and check what it returns."""
        if self.materializes:
            for number, (value, form) in enumerate(zip(given, self.formats, strict=True)):
                if value is None and form is not None:
                    given[number] = wrap(np.zeros(*form))
        needs = [False] * len(self.needs)
        for position, edge in zip(self.positions, parents, strict=True):
            needs[position] = edge is not None
        key = get_ident(), self
        before = needed_now.get(key)
        needed_now[key] = tuple(needs)
        try:
            results = self.face().apply(*given)
        finally:
            if before is None:
                del needed_now[key]
            else:
                needed_now[key] = before
        return self.fitting(results if isinstance(results, tuple) else (results,))

    def fitting(self, results: tuple[Any, ...]) -> list[Any]:
        """The results, one for each parent, if their number, their types and their shapes are right."""
        expected, name = len(self.needs), type(self).__name__
        if len(results) != expected and (len(results) < expected or any(value is not None for value in results[expected:])):
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {expected}, got {len(results)}). Its backward "
                "returns one for each argument of its forward, None where there is none to return."
            )
        for position in range(expected):
            value = results[position]
            if value is not None and position not in self.positions:
                raise RuntimeError(
                    f"function {name} returned a gradient different than None at position {position + 1}, but the corresponding forward "
                    "input was not a Variable"
                )
            if value is not None and not isinstance(value, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(value).__name__}) from {name} as gradient {position}")
        found: list[Any] = []
        for index, edge in enumerate(self.parents):
            value = results[self.positions[index]]
            if value is not None and edge is not None:
                check_gradient(name, index, value, edge)
            found.append(value)  # also where nobody needs it: hooks of the node are shown it
        return found

    # ---------------------------------------------------------------- residuals
    def save(self, tensors: Iterable[Any]) -> None:
        """Keep tensors for backward. An output of this node is kept as its number, or the node would hold itself."""
        entries: list[Any] = []
        kept: list[Any] = []
        hooks = modes.current().saved_hooks
        for index, tensor in enumerate(tensors):
            if tensor is None:
                entries += (None, (0,), 0)
                kept.append(None)
                continue
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {index} is of type {type(tensor).__name__}. What is no "
                    "tensor can be an attribute of ctx."
                )
            node, cell = tensor._node, tensor._cell()
            entries += (tensor._a, cell, cell[0])
            own = node is self or (type(node) is Port and node.node is self)
            kept.append(node.output_nr if own else tensor)
            if type(hooks) is tuple:
                self.pack(entries, kept, tensor, hooks)
        self.saved = Residuals(entries)
        self.saved.tensors = tuple(kept)

    def pack(self, entries: list[Any], kept: list[Any], tensor: Tensor, hooks: tuple[Any, Any]) -> None:
        """Let a pack hook have the tensor that was entered last, of which only the place in the graph is kept."""
        entries[-3:] = packed(tensor, entries[-2], hooks)
        if kept[-1] is tensor:
            kept[-1] = edge_of(tensor)

    def replace_saved(self, entries: list[Any]) -> None:
        """Take other residuals, some of them packed."""
        kept = [
            edge_of(tensor) if type(entry) is Packed and isinstance(tensor, Tensor) else tensor
            for entry, tensor in zip(entries[::3], self.saved.tensors, strict=True)
        ]
        self.saved = Residuals(entries)
        self.saved.tensors = tuple(kept)

    def unpack(self) -> tuple[Any, ...]:
        """The saved tensors, unchanged and with their places in the graph."""
        if self.saved is None:
            return ()
        saved = self.check()
        return tuple(self.residual_tensor(index) for index in range(len(saved) // 3))

    def tensor_again(self, index: int) -> Any:
        """One of them: an input itself, or the output as a new tensor."""
        payload, cell, _ = self.saved[3 * index : 3 * index + 3]
        kept = self.saved.tensors[index]
        if type(payload) is Packed:
            return placed(payload.unpacked(), self.edge(kept) if isinstance(kept, int) else kept)
        if not isinstance(kept, int):
            return kept
        out = wrap(payload, self.edge(kept))
        out._v = cell
        return out

    @property
    def residuals(self) -> tuple[str, ...]:  # type: ignore[override]  # here they differ from call to call
        tensors = getattr(self.saved, "tensors", ())
        return tuple(f"out{kept}" if isinstance(kept, int) else f"saved{index}" for index, kept in enumerate(tensors))

    def edge_of(self, residual: str) -> Any:
        """Where a saved tensor comes from, now."""
        kept = self.saved.tensors[int(residual.removeprefix("saved"))]
        return kept if not isinstance(kept, Tensor) or kept._node in (None, LEAF) else kept._node


def check_gradient(name: str, index: int, value: Tensor, edge: Any) -> None:
    """Refuse a gradient that cannot be summed to the shape of its input, or whose kind of number is not the input's."""
    payload = edge._a if isinstance(edge, Tensor) else edge
    if value._a.shape != payload.shape and not expands(payload.shape, value._a.shape):
        raise RuntimeError(
            f"Function {name} returned an invalid gradient at index {index} - got {list(value._a.shape)} but expected shape compatible "
            f"with {list(payload.shape)}"
        )
    if value._a.dtype.kind != "f" and (value._a.dtype.kind == "c") != (payload.dtype.kind == "c"):
        raise RuntimeError(
            "Expected isFloatingType(grad.scalar_type()) || (input_is_complex == grad_is_complex) to be true, but got false. "
            f"Function {name} returned {value.dtype} at index {index} for an input of dtype {payload.dtype}."
        )


# ---------------------------------------------------------------- what was computed in forward and stashed on the context
class ComputedInside(Node):
    """Stands behind a stashed tensor while a backward is recorded: the way from there to the inputs was never recorded."""

    __slots__ = ("attribute", "function")

    attribute: str
    function: str

    def pull(self, g: Any, parents: tuple[Any, ...]) -> NoReturn:
        raise RuntimeError(
            f"ctx.{self.attribute} of {self.function} was computed inside its forward, which records nothing, and its backward used it, so "
            "a derivative of that backward would leave out how it depends on the inputs. To differentiate twice, save the inputs with "
            f"ctx.save_for_backward and compute {self.attribute} from them in backward, or return it as one more output and save that; if "
            "it does not depend on the inputs, pass it to ctx.save_for_backward; or decorate backward with @once_differentiable."
        )

    pull_recorded = pull


def computed_inside(node: CustomNode, attribute: str, value: Tensor) -> Tensor:
    """The same memory, such that it cannot be differentiated through by mistake."""
    behind = ComputedInside()
    behind.parents = node.parents
    behind.saved = behind.params = behind.extra = None
    behind.shape, behind.dtype = value._a.shape, value._a.dtype
    behind.number = tick()
    behind.code, behind.lasti = node.code, node.lasti
    behind.attribute, behind.function = attribute, type(node).__name__.removesuffix("Backward")
    out = wrap(value._a, behind)
    out._v = value._v
    return out


def guarded(node: CustomNode, at: Place) -> list[tuple[Any, Any, Any, Any]]:
    """Put a guard before a stashed tensor: the dict or list that now holds it, the key there, the guard, and what it stands before."""
    name, *keys = at
    holder: Any = node.state
    value = find(holder, name)
    label, key = str(name), name
    for inner in keys:
        label, holder, key = f"{name}[{inner!r}]", value, inner
        value = find(value, inner)
    if not isinstance(value, Tensor):
        return []
    guard: Any = computed_inside(node, label, value)
    if type(holder) is tuple:
        guard = tuple(guard if number == key else each for number, each in enumerate(holder))
        holder, key, value = node.state, name, holder
    holder[key] = guard
    return [(holder, key, guard, value)]


def find(holder: Any, key: Any) -> Any:
    """An entry of a dict, list or tuple, whatever has become of it; None if it is gone."""
    try:
        return holder[key]
    except (LookupError, TypeError):
        return None


def entries(container: Any) -> Iterable[tuple[Any, Any]]:
    return container.items() if type(container) is dict else enumerate(container)


def held_alone(container: Any) -> list[tuple[Any, int]]:
    """How many references each entry of a dict, list or tuple has that might be a tensor, or a container of some."""
    counts: list[tuple[Any, int]] = []
    for key, value in entries(container):
        if not isinstance(value, (int, float, str)):
            counts.append((key, sys.getrefcount(value)))
    return counts


#: What `held_alone` counts for an object that only the container holds; nothing where references are not counted.
ALONE: dict[type, int] = {}
if hasattr(sys, "getrefcount"):
    ALONE = {kind: held_alone(kind([object()]))[0][1] for kind in (list, tuple)}
    ALONE[dict] = held_alone({"measured": object()})[0][1]


def stashed_places(state: dict[str, Any]) -> tuple[Place, ...]:
    """Where on a context tensors are that were computed in forward: nobody else holds them, now that it has returned, and they have no
    history. They may be attributes, or in a list, tuple or dict that nobody else holds."""
    found: list[Place] = []
    for name in alone_in(state):
        value = state[name]
        if is_stashed(value):
            found.append((name,))
        elif type(value) in ALONE:
            found += [(name, key) for key in alone_in(value) if is_stashed(value[key])]
    return tuple(found)


def alone_in(container: Any) -> list[Any]:
    """The keys of what nobody else holds."""
    alone = ALONE.get(type(container))
    return [] if alone is None else [key for key, count in held_alone(container) if count == alone]


def is_stashed(value: Any) -> bool:
    """Whether a value that nobody else holds is a tensor computed in forward."""
    return isinstance(value, Tensor) and value._a.dtype.kind in "fc" and (value._node is None or value._inherits())


# ---------------------------------------------------------------- the face of a node
class Unset:
    """Hides an attribute of the engine's nodes from users of a context, who may have one of that name themselves."""

    def __get__(self, instance: object, owner: type | None = None) -> NoReturn:
        raise AttributeError


class Face(Node):
    """A node of a custom function as users see it: their attributes, and the node's hooks, edges and saved tensors."""

    __slots__ = ("_node",)

    _node: CustomNode

    def node_of(self) -> Node:
        """The node in the graph."""
        return self._node

    def name(self) -> str:
        """The name of the function with "Backward" after it."""
        return type(self).__name__

    def clears_saved_tensors(self) -> bool:
        """Whether the saved tensors are let go when they are first asked for."""
        return bool(getattr(getattr(type(self), "_forward_cls", None), "clear_saved_tensors_on_access", False))

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{type(self).__name__} object at {id(self):#x}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def where(self) -> str:
        """The user's file and line that called the function."""
        return self._node.where()

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return self._node.next_functions

    @property
    def metadata(self) -> dict[Any, Any]:
        return self._node.metadata

    def _sequence_nr(self) -> int:
        return self._node.number

    @property
    def _input_metadata(self) -> tuple[InputMetadata, ...]:
        return tuple(InputMetadata(*(form or ((), None))) for form in self._node.formats)

    def register_hook(self, fn: Any) -> Any:
        """Call `fn(grad_inputs, grad_outputs)` after the node has run; a tuple that it returns replaces the former."""
        return self._node.register_hook(fn)

    def register_prehook(self, fn: Any) -> Any:
        """Call `fn(grad_outputs)` before the node runs; a tuple that it returns replaces them."""
        return self._node.register_prehook(fn)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        node = self._node
        if "saved_for_forward" in node.state:
            kept: tuple[Any, ...] = node.state["saved_for_forward"]
            return kept
        if type(node.saved) is Freed:
            freed_error(node)
        if node.saved == () and node.cleared:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the autograd.Function. Either "
                f"access saved_tensors only once in {self.name()}, or leave clear_saved_tensors_on_access False."
            )
        found = node.unpack()
        if node.saved is not None and self.clears_saved_tensors():
            node.saved, node.cleared = Residuals(), True
        return found

    @property
    def _raw_saved_tensors(self) -> tuple[SavedTensor, ...]:
        node = self._node
        return () if node.saved is None else tuple(SavedTensor(node, index) for index in range(len(node.check()) // 3))

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        node = self._node
        return needed_now.get((get_ident(), node), node.needs)


for _name in (*Node.__slots__, "outputs", "residuals", "shown"):
    if not _name.startswith("__"):
        setattr(Face, _name, Unset())


# ---------------------------------------------------------------- once_differentiable
class DelayedError(Node):
    """Behind the results of a backward that may be differentiated once: differentiating them is the error."""

    __slots__ = ("outputs",)

    printed_name = "torch::autograd::Error"
    keeps_missing = True

    def pull(self, g: Any, parents: tuple[Any, ...]) -> NoReturn:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    pull_recorded = pull


DelayedError.__name__ = DelayedError.__qualname__ = "Error"


def delay_error(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same tensors, none of which can be differentiated."""
    node = DelayedError()
    node.outputs = len(values)
    node.parents = tuple(None if value is None else wrap(value._a, LEAF) for value in values)
    node.saved = node.params = node.extra = None
    node.number = tick()
    node.code, node.lasti = place_of_call()
    forms = [((), None) if value is None else (value._a.shape, value._a.dtype) for value in values]
    node.shape, node.dtype = forms[0] if len(forms) == 1 else tuple(zip(*forms, strict=True)) or ((), ())
    return tuple(
        None if value is None else wrap(value._a, node if len(values) == 1 else Port(node, number)) for number, value in enumerate(values)
    )
