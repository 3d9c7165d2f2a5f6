"""What a recorded graph holds: how large it is, what it saved and at which line, and which graphs are alive."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ndgrad.autograd.custom_nodes import CustomNode
from ndgrad.autograd.inspection.naming import Names, names_from
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.location import users_frame
from ndgrad.base.storage import owner_of
from ndgrad.core.freed import Freed
from ndgrad.core.node import AccumulateGrad, Node, Port, edge_of
from ndgrad.core.saved import sources
from ndgrad.core.tensor import LEAF, Tensor

number_of = attrgetter("number")


# ---------------------------------------------------------------- walking
def roots_of(given: Any) -> list[Any]:
    """The edges that tensors, nodes, gradient edges, or a sequence of such lead to: nodes, ports and leaves.

    Raises
    ------
    RuntimeError
        If a tensor has no history.
    """
    several = [given] if isinstance(given, (Tensor, Node)) or hasattr(given, "output_nr") else list(given)
    found: list[Any] = []
    for position, value in enumerate(several):
        if isinstance(value, Tensor):
            edge = edge_of(value)
            if edge is None:
                raise RuntimeError(
                    f"element {position} of tensors does not require grad and does not have a grad_fn: there is no graph behind it. "
                    "Nothing that it was computed from has requires_grad=True, or it was computed in no_grad()."
                )
            found.append(edge)
            continue
        node = getattr(value, "node", value)
        if not isinstance(node, Node):
            raise TypeError(f"expected a tensor, a node or a gradient edge at position {position}, not {type(value).__name__}")
        found.append(node.variable if isinstance(node, AccumulateGrad) else node.node_of())
    return found


def reachable(roots: Iterable[Any]) -> tuple[list[Node], list[Tensor]]:
    """All nodes behind some edges, the oldest first, and all leaves; without recursion, each once."""
    nodes: list[Node] = []
    leaves: list[Tensor] = []
    seen: set[int] = set()
    pending = list(roots)
    while pending:
        edge = pending.pop()
        key = edge.node if type(edge) is Port else edge
        if key is None or id(key) in seen:
            continue
        seen.add(id(key))
        if isinstance(key, Node):
            nodes.append(key)
            pending.extend(reversed(key.parents))
        elif not key._inherits():
            leaves.append(key)
    nodes.sort(key=number_of)
    return nodes, leaves


# ---------------------------------------------------------------- what a node holds
class Held(NamedTuple):
    """One thing that a node keeps: under which name, and an array, a NumPy number, or what a hook packed."""

    name: str
    value: Any


def held_by(node: Node) -> Iterator[Held]:
    """The arrays that a node keeps alive: residuals, arrays among the operation's arguments, tensors on the context of a function."""
    saved = node.saved
    if saved is not None and type(saved) is not Freed:
        residuals = node.residuals
        for index in range(len(saved) // 3):
            value = saved[3 * index]
            if value is not None and not isinstance(value, (bool, int, float, complex, str)):
                yield Held(residuals[index] if index < len(residuals) else f"saved{index}", value)
    if isinstance(node.params, dict):
        yield from arrays_among(node.params)
    if isinstance(node, CustomNode):
        yield from (Held(f"ctx.{name}", value) for name, value in arrays_among(node.state))


#: PyTorch's names of what the rules of a primitive ask for.
_torch_names: dict[Any, dict[str, str]] = {}


def torch_name(node: Node, name: str) -> str:
    """What PyTorch calls something that a node saved: `other` where `node._saved_other` is it."""
    primitive = getattr(type(node), "primitive", None)
    if primitive is None:
        return name
    names = _torch_names.get(primitive)
    if names is None:
        names = _torch_names[primitive] = {source: called for called, source in sources(node).items() if isinstance(source, str)}
    return names.get(name, name)


def arrays_among(values: dict[Any, Any]) -> Iterator[Held]:
    """The tensors and arrays in a dict, and in its lists and tuples."""
    for name, value in values.items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            payload = each._a if isinstance(each, Tensor) else each
            if isinstance(payload, np.ndarray):
                yield Held(str(name), payload)


def buffer_of(value: Any) -> tuple[int, int]:
    """The identity and the size in bytes of the memory that a payload keeps alive; a packed residual counts for nothing."""
    if isinstance(value, np.ndarray):
        owner = owner_of(value)
        return id(owner), owner.nbytes
    return id(value), value.nbytes if isinstance(value, np.generic) else 0


#: A shape and a dtype, or twice None, and bytes.
Form = tuple[tuple[int, ...] | None, Any, int]


def form_of(value: Any) -> Form:
    """The shape, the dtype and the bytes of a payload as far as it has them."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return None, None, 0
    return value.shape, from_numpy_dtype.get(value.dtype, value.dtype), value.nbytes


def leaf_buffers(leaves: Iterable[Tensor]) -> dict[int, Tensor]:
    """The memory that leaves hold whether there is a graph or not."""
    return {buffer_of(leaf._a)[0]: leaf for leaf in leaves}


class GraphSize(NamedTuple):
    """How large a graph is; `bytes` is what it alone keeps alive, each piece of memory counted once and the leaves' own not at all."""

    nodes: int
    leaves: int
    saved: int
    bytes: int


def graph_size(t: Any) -> GraphSize:
    """Count the nodes, leaves and saved tensors of the graph behind a tensor (or several), and the bytes that freeing it would free."""
    return measure(*reachable(roots_of(t)))


def measure(nodes: Iterable[Node], leaves: list[Tensor]) -> GraphSize:
    counted: dict[int, int] = dict.fromkeys(leaf_buffers(leaves), 0)
    count = saved = 0
    for node in nodes:
        count += 1
        for _, value in held_by(node):
            saved += 1
            buffer, size = buffer_of(value)
            counted.setdefault(buffer, size)
    return GraphSize(count, len(leaves), saved, sum(counted.values()))


# ---------------------------------------------------------------- the report
#: How many rows a report prints when it is not asked for more.
ROWS = 40


class SavedRow:
    """One saved tensor.

    Attributes
    ----------
    number : the row's own, as the table shows it.
    op, line : the node's name, and the user's file and line that made it.
    name : what PyTorch calls it: `other` for what is `node._saved_other`.
    shape, dtype, bytes : of the tensor itself; shape and dtype are None for what a hook packed.
    counted : the bytes by which it adds to the total: those of its whole memory if it is the first to hold it and no leaf does.
    leaf : what leaf the memory belongs to, if to any.
    """

    __slots__ = ("bytes", "counted", "dtype", "leaf", "line", "name", "number", "op", "shape", "sharers")

    def __init__(self, number: int, op: str, line: str, name: str, form: Form, counted: int, leaf: str, sharers: list[SavedRow]) -> None:
        self.number, self.op, self.line, self.name = number, op, line, name
        self.shape, self.dtype, self.bytes = form
        self.counted, self.leaf, self.sharers = counted, leaf, sharers

    def __repr__(self) -> str:
        return f"<{self.name} of {self.op} at {self.line}: {self.shape}, {self.dtype}, {self.bytes:,} bytes>"

    @property
    def shared_with(self) -> tuple[SavedRow, ...]:
        """The other rows that hold the same memory."""
        return tuple(row for row in self.sharers if row is not self)


class SavedReport(list[SavedRow]):
    """The rows of a `saved_report`; prints as a table of those that hold most.

    Attributes
    ----------
    total : the bytes that freeing the graph frees, unless somebody else holds the tensors as well.
    of_leaves : the bytes that saved tensors share with leaves, which stay.
    """

    total: int = 0
    of_leaves: int = 0

    def __str__(self) -> str:
        return self.table(ROWS)

    __repr__ = __str__

    def table(self, rows: int | None = None) -> str:
        """All rows as text; or so many, those that add most to the total, and what the others add."""
        shown: list[SavedRow] = self
        if rows is not None and len(self) > rows:
            largest = {row.number for row in sorted(self, key=lambda row: -row.counted)[:rows]}
            shown = [row for row in self if row.number in largest]
        head = ("", "op", "saved", "shape", "dtype", "bytes", "line", "shared with")
        body = [row_cells(row) for row in shown]
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = []
        for cells in (head, *body):
            pairs = enumerate(zip(cells, widths, strict=True))
            lines.append("  ".join(cell.rjust(width) if at in (0, 5) else cell.ljust(width) for at, (cell, width) in pairs).rstrip())
        if len(shown) < len(self):
            rest = self.total - sum(row.counted for row in shown)
            lines.append(f"... {len(self) - len(shown):,} more rows with {amount(rest)} of their own: print(report.table()) shows them")
        count = "1 saved tensor keeps" if len(self) == 1 else f"{len(self):,} saved tensors keep"
        leaves = f"; {amount(self.of_leaves)} more belong to leaves" if self.of_leaves else ""
        return "\n".join([*lines, f"{count} {amount(self.total)} alive{leaves}"])


def row_cells(row: SavedRow) -> tuple[str, ...]:
    others = row.shared_with
    shared = [f"leaf {row.leaf}"] if row.leaf else []
    if others:
        shared.append("row " + ", ".join(str(other.number) for other in others[:3]) + (", ..." if len(others) > 3 else ""))
    shape = "packed" if row.shape is None else str(list(row.shape))
    dtype = "" if row.dtype is None else str(row.dtype).removeprefix("torch.")
    return str(row.number), row.op, row.name, shape, dtype, f"{row.bytes:,}", shorter(row.line), "; ".join(shared)


def saved_report(t: Any, *, names: Any = None) -> SavedReport:
    """List what the graph behind a tensor (or several) has saved: which operation, at which line, how large, and what shares memory.

    Parameters
    ----------
    names : what leaves are called: a dict from names to tensors or an object with `named_parameters`; by default the caller's variables.
    """
    nodes, leaves = reachable(roots_of(t))
    called = names_from(names, users_frame())
    owners = leaf_buffers(leaves)
    report = SavedReport()
    groups: dict[int, list[SavedRow]] = {}
    for node in nodes:
        line = ""
        for name, value in held_by(node):
            line = line or node.where()
            buffer, size = buffer_of(value)
            group = groups.setdefault(buffer, [])
            owner = owners.get(buffer)
            first = not group
            counted = size if first and owner is None else 0
            called_as, of_leaf = torch_name(node, name), leaf_name(owner, called)
            row = SavedRow(len(report) + 1, node.name(), line, called_as, form_of(value), counted, of_leaf, group)
            group.append(row)
            report.append(row)
            report.total += row.counted
            report.of_leaves += size if first and owner is not None else 0
    return report


def leaf_name(leaf: Tensor | None, names: Names) -> str:
    """What a leaf is called, or else its shape."""
    return "" if leaf is None else names.leaf(leaf) or f"of shape {list(leaf._a.shape)}"


def amount(size: int) -> str:
    """A number of bytes for people."""
    value = float(size)
    for unit in ("bytes", "KB", "MB"):
        if value < 1000:
            return f"{size} bytes" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def shorter(line: str) -> str:
    """A place as people write it: the path from the current directory, or only the file's name if it is elsewhere."""
    path, colon, number = line.rpartition(":")
    if not colon or not os.path.isabs(path):
        return line
    here = os.getcwd() + os.sep
    return f"{path.removeprefix(here) if path.startswith(here) else os.path.basename(path)}:{number}"


# ---------------------------------------------------------------- everything that is alive
class LiveGraph(NamedTuple):
    """A graph that is in memory: its newest node and line, its size, and who holds it."""

    op: str
    line: str
    size: GraphSize
    holders: tuple[str, ...]

    def __str__(self) -> str:
        holders = ", ".join(self.holders) or "no tensor"
        return f"{self.op} at {shorter(self.line)}: {self.size.nodes:,} nodes, {amount(self.size.bytes)}; held by {holders}"


def live_graphs() -> list[LiveGraph]:
    """Every graph that is alive, the largest first: one entry for each node that no other node leads to, and the variables that hold it.

    Graphs that share a part count it each.
    """
    objects = gc.get_objects()
    # by type: `isinstance` asks an object that it does not know for its `__class__`, which runs the code of others' lazy objects
    faces_too = [each for each in objects if issubclass(type(each), Node)]
    nodes = [each for each in faces_too if hasattr(each, "parents") and not isinstance(each, AccumulateGrad)]
    tensors = [each for each in objects if issubclass(type(each), Tensor)]
    del objects, faces_too
    inner = {id(edge.node_of()) for node in nodes for edge in node.parents if edge is not None and not isinstance(edge, Tensor)}
    called = names_from(None, users_frame(), outwards=True)
    holders: dict[int, list[str]] = {}
    for tensor in tensors:
        node = tensor._node
        if node is not None and node is not LEAF:
            name = called.leaf(tensor) or f"a tensor of shape {list(tensor._a.shape)}"
            holders.setdefault(id(node.node_of()), []).append(name)
    found: list[LiveGraph] = []
    for node in nodes:
        if id(node) not in inner:
            size = measure(*reachable([node]))
            found.append(LiveGraph(node.name(), node.where(), size, tuple(holders.get(id(node), ()))))
    found.sort(key=lambda graph: (graph.size.bytes, graph.size.nodes), reverse=True)
    return found


# ---------------------------------------------------------------- the most at one time
class Peak:
    """The most memory that a block had at one time beyond what was there before, in bytes; known once the block has ended."""

    bytes: int = 0

    def __str__(self) -> str:
        return amount(self.bytes)


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak of the memory that Python and NumPy allocate in a block, a backward for instance: `with peak_memory() as peak:`.

    It is measured with `tracemalloc`, which makes everything in the block several times slower.
    """
    peak = Peak()
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield peak
    finally:
        peak.bytes = max(0, tracemalloc.get_traced_memory()[1] - before)
        if not was_tracing:
            tracemalloc.stop()
