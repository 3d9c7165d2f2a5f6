"""Nodes of the recorded graph, and what they say when something is wrong with what they saved."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

from ndgrad.base.devices import CPU
from ndgrad.base.dtypes import from_numpy_dtype, type_name
from ndgrad.base.location import describe, place_of_call
from ndgrad.base.modes import exceptional
from ndgrad.base.naming import name_in_program
from ndgrad.base.types import Shape
from ndgrad.core.freed import Freed, explain
from ndgrad.core.observers import Observer, announce
from ndgrad.core.packing import Packed, packing_kind
from ndgrad.core.saved import saved_attribute, saved_names
from ndgrad.core.tensor import LEAF, Tensor, modified_by, wrap

#: Creation order of nodes is a topological order of the graph.
tick = itertools.count().__next__


#: Held while what all users of a node or leaf share is made on first use: its hooks, its `AccumulateGrad`.
registration_lock = threading.RLock()


#: The version cell of a residual that nobody can modify, such as a Python number; a tuple, which spares the garbage collector work.
CONSTANT: Any = (0,)


class Extra:
    """The rarely used part of a node: hooks, metadata, tensors that retain their gradient."""

    __slots__ = ("hooks", "metadata", "prehooks", "retain", "tensor_hooks")

    def __init__(self) -> None:
        self.hooks: OrderedDict[int, Any] | None = None
        self.prehooks: OrderedDict[int, Any] | None = None
        self.tensor_hooks: dict[int, OrderedDict[int, Any]] | None = None
        self.retain: dict[int, Any] | None = None
        self.metadata: dict[Any, Any] | None = None


class InputMetadata:
    """What one gradient that a node receives looks like: that of an output of the operation."""

    __slots__ = ("device", "dtype", "shape")

    is_nested_tensor = is_cpp_nested_tensor = False

    def __init__(self, shape: Shape, kind: Any) -> None:
        self.shape = list(shape)
        self.dtype = None if kind is None else from_numpy_dtype[kind]
        self.device = CPU


class Node:
    """One recorded operation; subclasses, one per primitive, know how to pull a cotangent back through it.

    Attributes
    ----------
    parents : one edge per operand: a `Node`, a `Port` of a node with several outputs, a leaf `Tensor`, or None.
    saved : None, a `Freed`, or for each residual a payload, its version cell and the version it had: three entries in a row.
    params : the operation's other arguments, or None.
    shape, dtype : of the output (NumPy's dtype); tuples of them where there are several outputs.
    number : counts nodes in the order of their creation.
    code, lasti : where in the user's program the operation was called; read by `where`.
    """

    __slots__ = ("__dict__", "__weakref__", "code", "dtype", "extra", "lasti", "number", "params", "parents", "saved", "shape")

    parents: tuple[Any, ...]
    saved: Any
    params: dict[str, Any] | None
    shape: Any
    dtype: Any
    number: int
    code: Any
    lasti: int
    extra: Extra | None

    # bound in ndgrad.autograd, because hooks stand above the core
    register_hook: ClassVar[Callable[..., Any]]
    register_prehook: ClassVar[Callable[..., Any]]
    _register_hook_dict: ClassVar[Callable[..., Any]]

    outputs = 1
    output_nr = 0
    #: Whether it is told of outputs that no gradient came back to by None, instead of zeros, even if that is all of them.
    keeps_missing = False
    #: What `name()` says, where that is more than the class's name.
    printed_name: str | None = None
    residuals: tuple[str, ...] = ()
    #: Which operands `next_functions` lists, where some have no derivative; None: all of them.
    shown: tuple[int, ...] | None = None

    # ---------------------------------------------------------------- the protocol of the engine
    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        """Cotangents of the operands from the cotangent of the output, all raw payloads; None for a parent that is None."""
        raise NotImplementedError

    def pull_recorded(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same on tensors, recorded, for derivatives of derivatives."""
        raise NotImplementedError

    # ---------------------------------------------------------------- what users see
    def name(self) -> str:
        """The name under which PyTorch prints this kind of node."""
        return self.printed_name or type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"

    def node_of(self) -> Node:
        """The node that an edge leads to: for an edge that is a node, itself."""
        return self

    def face(self) -> Any:
        """What users see as the node: itself, but for custom functions, whose context it is."""
        return self

    def where(self) -> str:
        """The user's file and line that made the node."""
        return describe(self.code, self.lasti)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        edges = self.parents if self.shown is None else [self.parents[at] for at in self.shown]
        return tuple((None, 0) if edge is None else edge_function(edge) for edge in edges)

    @property
    def metadata(self) -> dict[Any, Any]:
        extra = self.more()
        if extra.metadata is None:
            extra.metadata = {}
        return extra.metadata

    @property
    def _input_metadata(self) -> tuple[InputMetadata, ...]:
        """What each gradient that the node receives looks like."""
        if self.outputs == 1:
            return (InputMetadata(self.shape, self.dtype),)
        return tuple(InputMetadata(self.shape[number], self.dtype[number]) for number in self.shown_outputs())

    def shown_outputs(self) -> Sequence[int]:
        """The outputs that users are told of as the node's, which have gradients: not the indices that `max` gives."""
        if self.outputs == 1:
            return (0,)
        return [number for number, kind in enumerate(self.dtype) if kind is None or kind.kind in "fc"]

    @property
    def requires_grad(self) -> bool:
        return True

    def _sequence_nr(self) -> int:
        return self.number

    def more(self) -> Extra:
        """The rarely used part, made on first use."""
        if self.extra is None:
            with registration_lock:
                if self.extra is None:
                    self.extra = Extra()
        return self.extra

    def retains(self, tensor: Tensor) -> bool:
        """Whether the gradient of this output is kept in its tensor's `.grad`."""
        extra = self.extra
        return extra is not None and extra.retain is not None and tensor.output_nr in extra.retain

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_saved_", "_raw_saved_")):
            return saved_attribute(self, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *saved_names(self)]

    # ---------------------------------------------------------------- residuals
    def check(self) -> Any:
        """The residuals, after making sure that they are there and unchanged."""
        saved = self.saved
        for at in range(0, len(saved), 3):
            if saved[at + 1][0] != saved[at + 2]:
                stale_error(self, at // 3)
        return saved

    def residual_tensor(self, index: int) -> Any:
        """A residual as a tensor with its place in the graph, for recorded backward passes and for `_saved_*`."""
        found = self.tensor_again(index)
        if exceptional and isinstance(found, Tensor):
            announce(Observer.restored, self, index, found)
        return found

    def tensor_again(self, index: int) -> Any:
        """The same, of which no observer is told."""
        payload = self.check()[3 * index]
        name = self.residuals[index]
        if payload is None or not hasattr(payload, "dtype"):
            return payload
        edge: Any
        if name.startswith("out"):
            number = int(name[3:] or 0)
            edge = self if self.outputs == 1 else Port(self, number)
        else:
            edge = self.edge_of(name)
        if type(payload) is Packed:
            return placed(payload.unpacked(), edge)
        if isinstance(edge, Tensor):
            return edge
        out = wrap(payload, edge)
        cell = self.saved[3 * index + 1]
        out._v = None if cell is CONSTANT else cell
        return out

    def unpacked_residual(self, index: int) -> Any:
        """A residual as users see it: numbers are tensors, too; None if the node saves nothing."""
        found = None if self.saved is None else self.residual_tensor(index)
        return wrap(np.asarray(found)) if isinstance(found, (bool, int, float, complex)) else found

    def replace_saved(self, entries: list[Any]) -> None:
        """Take other residuals, some of them packed."""
        self.saved = tuple(entries)
        self.__class__ = packing_kind(type(self))

    def edge_of(self, residual: str) -> Any:
        """The edge of the operand that a residual is the value of."""
        return None


NodeType = TypeVar("NodeType", bound=Node)


def entered(node: NodeType, parents: tuple[Any, ...], output: Tensor, params: dict[str, Any] | None = None) -> NodeType:
    """A node that saves nothing, entered in the graph: the next one in the order of creation, with an output like the given one."""
    node.parents = parents
    node.saved = node.extra = None
    node.params = params
    node.shape, node.dtype = output._a.shape, output._a.dtype
    node.number = tick()
    node.code, node.lasti = place_of_call()
    if exceptional:
        announce(Observer.recorded, node)
    return node


class Unpacked(Node):
    """Between a leaf and what an unpack hook gave for it: another tensor, whose gradient is the leaf's."""

    __slots__ = ()

    printed_name = "UnpackedBackward0"

    def pull(self, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        return (g,)

    pull_recorded = pull


def placed(tensor: Tensor, edge: Any) -> Tensor:
    """A tensor from an unpack hook as the residual that it stands for: the gradient of it goes where the residual's would."""
    if edge is None or tensor is edge:
        return wrap(tensor._a) if edge is None else tensor
    if isinstance(edge, Tensor):
        return wrap(tensor._a, entered(Unpacked(), (edge,), tensor))
    return wrap(tensor._a, edge)


def backward_name(operation: str, overload: int = 0) -> str:
    """What PyTorch calls the node of an operation, such as MulBackward0 for `mul`."""
    return "".join(word.capitalize() for word in operation.strip("_").split("_")) + f"Backward{overload}"


class Port:
    """One output of a node that has several: what the edges to it and the tensors from it hold."""

    __slots__ = ("__weakref__", "node", "output_nr")

    _node = None  # of a leaf it is `LEAF`: what tells the two kinds of edge apart that are no node

    def __init__(self, node: Node, output_nr: int) -> None:
        self.node = node
        self.output_nr = output_nr

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Port) and self.node is other.node and self.output_nr == other.output_nr

    def __hash__(self) -> int:
        return hash((id(self.node), self.output_nr))

    def node_of(self) -> Node:
        return self.node

    def name(self) -> str:
        return self.node.name()

    def where(self) -> str:
        return self.node.where()

    def retains(self, tensor: Tensor) -> bool:
        return self.node.retains(tensor)

    @property
    def shape(self) -> Shape:
        shape: Shape = self.node.shape[self.output_nr]
        return shape

    @property
    def dtype(self) -> Any:
        return self.node.dtype[self.output_nr]


def edge_of(tensor: Tensor) -> Any:
    """Where the gradient of a tensor goes: its node or port, the leaf itself, or None, which it may be for a view that requires grad."""
    view = tensor._view
    if view is not None and view.seen != tensor._v[0]:
        view.refresh(tensor, always=True)
    node = tensor._node
    if node is not LEAF:
        return node
    return None if tensor._inherits() else tensor


def keep_retained(tensor: Tensor, before: Any) -> None:
    """After a change of a tensor's node: if the tensor retains its gradient, it is now the new node's."""
    if before is None or before is LEAF:
        return
    extra = before.node_of().extra
    if extra is None or extra.retain is None:
        return
    holder = extra.retain.get(before.output_nr)
    after = tensor._node
    if holder is None or holder() is not tensor or after is None or after is LEAF:
        return
    del extra.retain[before.output_nr]
    moved = after.node_of().more()
    if moved.retain is None:
        moved.retain = {}
    moved.retain[after.output_nr] = holder


def plain_name(edge: Any) -> str:
    """The name of a node without the suffix that says it is a backward function: what error messages call it."""
    return without_suffix(edge.name())


def without_suffix(name: str) -> str:
    return name.rstrip("0123456789").removesuffix("Backward") if not name.startswith("torch::") else name


def edge_function(edge: Any) -> tuple[Any, int]:
    """An edge as users see it: a node and the number of its output."""
    if isinstance(edge, Tensor):
        return (None, 0) if edge._inherits() else (accumulator(edge), 0)
    return edge.node_of().face(), edge.output_nr


class AccumulateGrad(Node):
    """The node behind a leaf, made when somebody looks at it; the engine itself goes straight to the leaf."""

    __slots__ = ("variable",)

    variable: Tensor

    def _sequence_nr(self) -> int:
        return 2**64 - 1

    printed_name = "torch::autograd::AccumulateGrad"

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.parents = ()
        self.saved = self.params = self.extra = self.code = None
        self.lasti = 0
        self.shape, self.dtype = variable._a.shape, variable._a.dtype
        self.number = 2**63 - 1


def accumulator(leaf: Tensor) -> AccumulateGrad:
    """The `AccumulateGrad` of a leaf: always the same one while anybody holds it or it has hooks."""
    with registration_lock:
        found = leaf._accumulator
        node: AccumulateGrad | None = None if found is None else found()
        if node is None:
            node = AccumulateGrad(leaf)
            leaf._accumulator = weakref.ref(node)
        return node


# ---------------------------------------------------------------- errors
def freed_error(node: Node) -> NoReturn:
    raise RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
        "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you "
        "need to backward through the graph a second time or if you need to access saved tensors after calling backward.\n"
        + explain(node, node.saved)
    )


def stale_error(node: Node, index: int) -> NoReturn:
    """A residual is not what it was when it was saved: changed, or used up."""
    if type(node.saved) is Freed:
        freed_error(node)
    payload, cell, version = node.saved[3 * index : 3 * index + 3]
    kind = f"torch.{type_name(from_numpy_dtype[payload.dtype])}Tensor {list(payload.shape)}"
    name = node.residuals[index] if index < len(node.residuals) else ""
    source = made = ""
    edge = None
    if name.startswith("out"):
        source = f", which is output {int(name[3:] or 0)} of {plain_name(node)},"
    else:
        edge = node.edge_of(name)
        if edge is not None and not isinstance(edge, Tensor):
            source = f", which is {output_now(edge, cell)},"
            made = f", made at {edge.where()},"
    changed = modified_by(cell)
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{kind}]{source} is at version {cell[0]}; expected version {version} instead.\n"
        f"The value{made} was saved by {node.name()} at {node.where()}{changed and ' and last changed by '}{changed}.\n{advice(edge)}"
    )


def advice(edge: Any) -> str:
    """What to write instead of the change of a saved tensor that has this edge."""
    if isinstance(edge, Tensor):
        name = name_in_program(edge)
        return (
            f"It is a leaf{name and f', {name},'} that was changed between its use and the backward, as by the step of an optimizer. Call "
            "backward() before the step; where state is carried on from before an earlier step, cut the graph: state = state.detach()."
        )
    return "Write the change out of place (y = y + 1 instead of y += 1), or give the in-place operation a copy: y = y.clone()."


def output_now(edge: Any, cell: Any) -> str:
    """What a saved tensor is an output of, now that its memory has changed: a view's history is made anew, others' may have moved on."""
    if getattr(getattr(edge.node_of(), "primitive", None), "view", False):
        return "output 0 of AsStrided"
    if len(cell) > 4:
        return f"output 0 of {without_suffix(cell[4].printed_name or cell[4].__name__)}"
    return f"output {edge.output_nr} of {plain_name(edge)}"


