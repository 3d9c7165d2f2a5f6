"""What a picture shows, as plain data: boxes, arrows between them, and the blocks that stand for their repetitions."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ndgrad.autograd.inspection.inventory import (
    Held,
    amount,
    buffer_of,
    form_of,
    held_by,
    leaf_buffers,
    reachable,
    roots_of,
    shorter,
    torch_name,
)
from ndgrad.autograd.inspection.naming import Names
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.core.freed import Freed
from ndgrad.core.node import Node, Port, without_suffix
from ndgrad.core.tensor import Tensor
from ndgrad.viz.folding import Block, find_blocks


@dataclass(eq=False, slots=True)
class Box:
    """One node of the picture: an operation, a leaf, a saved tensor, or a gap that stands for what was left out.

    Attributes
    ----------
    kind : "op", "leaf", "saved" or "gap".
    title : the operation in short, or what a leaf is called.
    name : what the caller calls the result, if anything.
    full : the name of the node as PyTorch prints it.
    held : the bytes that it keeps alive, in all its repetitions, each piece of memory counted where it is first held.
    saved : one line for each saved tensor (of the first repetition).
    count : how many nodes or leaves it stands for.
    block : the number of the innermost block that it is in, or -1.
    norms : the smallest and the largest norm of the gradients that are there.
    """

    kind: str
    title: str
    name: str = ""
    full: str = ""
    shape: str = ""
    dtype: str = ""
    where: str = ""
    path: str = ""
    held: int = 0
    saved: list[str] = field(default_factory=list)
    freed: bool = False
    count: int = 1
    block: int = -1
    root: bool = False
    norms: tuple[float, float] | None = None
    #: What norms are read from: functions that give a leaf, or a tensor that retains its gradient, or None if it is gone.
    watched: list[Callable[[], Any]] = field(default_factory=list, repr=False)

    @property
    def norm(self) -> str:
        """The norms for people."""
        if self.norms is None:
            return ""
        low, high = (f"{value:.3g}" for value in self.norms)
        return low if low == high else f"{low} to {high}"

    @property
    def label(self) -> str:
        return f"{self.name} = {self.title}" if self.name and self.kind == "op" else self.title

    def read_norms(self) -> None:
        """Look again for gradients."""
        found: list[float] = []
        for watched in self.watched:
            tensor = watched()
            gradient = None if tensor is None else tensor._grad
            if gradient is not None:
                found.append(float(np.linalg.norm(np.asarray(gradient._a).ravel())))
        self.norms = (min(found), max(found)) if found else None


@dataclass(eq=False, slots=True)
class Picture:
    """The boxes, sources before what is computed from them, and arrows as pairs of their positions.

    `carried` are the arrows from one repetition of a block to the next, and `hidden` is how many operations were left out.
    """

    boxes: list[Box]
    arrows: list[tuple[int, int]]
    carried: list[tuple[int, int]]
    blocks: list[Block]
    nodes: int
    leaves: int
    total: int
    hidden: int = 0

    @property
    def summary(self) -> str:
        """The size of the whole graph, for people."""
        parts = [f"{self.nodes:,} node{'s' * (self.nodes != 1)}", f"{self.leaves:,} lea{'f' if self.leaves == 1 else 'ves'}"]
        return ", ".join([*parts, f"{amount(self.total)} saved"])


def collect(given: Any, names: Names, *, fold: bool, limit: int, saved: bool) -> Picture:
    """The picture of the graph behind tensors; nothing of it keeps an array alive."""
    roots = roots_of(given)
    nodes, leaves = reachable(roots)
    return Collector(roots, nodes, leaves, names).collect(fold, limit, saved)


class Collector:
    """Turns nodes into boxes; positions of nodes count from the oldest, those of leaves in the order in which they were found."""

    def __init__(self, roots: list[Any], nodes: list[Node], leaves: list[Tensor], names: Names) -> None:
        self.nodes, self.leaves, self.names = nodes, leaves, names
        self.at = {id(node): index for index, node in enumerate(nodes)}
        self.leaf_at = {id(leaf): index for index, leaf in enumerate(leaves)}
        self.roots = {id(edge.node) if type(edge) is Port else id(edge) for edge in roots}
        #: For each node its operands: the position of a node, or -1 - that of a leaf; what requires no grad is not there.
        self.operands: list[list[int]] = [[self.position(edge) for edge in node.parents if self.known(edge)] for node in nodes]
        self.boxes: list[Box] = []
        self.owners = leaf_buffers(leaves)
        self.saved_places: dict[int, int] = {}
        self.counted: set[int] = set(self.owners)

    def known(self, edge: Any) -> bool:
        return edge is not None and (not isinstance(edge, Tensor) or id(edge) in self.leaf_at)

    def position(self, edge: Any) -> int:
        return -1 - self.leaf_at[id(edge)] if isinstance(edge, Tensor) else self.at[id(edge.node_of())]

    # ---------------------------------------------------------------- folding
    def kinds(self) -> Any:
        """An integer for each node: equal ones are the same operation on operands of the same kinds from the same places."""
        users: dict[tuple[int, Any, int], int] = {}
        for node, operands in zip(self.nodes, self.operands, strict=True):
            for operand in operands:
                use = (operand, node.code, node.lasti)
                users[use] = users.get(use, 0) + 1
        table: dict[Any, int] = {}
        found = np.empty(len(self.nodes), np.int64)
        leaves = self.leaves
        for index, (node, operands) in enumerate(zip(self.nodes, self.operands, strict=True)):
            sources: list[Any] = []
            for operand in operands:
                if operand < 0:
                    leaf = leaves[-1 - operand]
                    sources.append((leaf._a.shape, leaf._a.dtype))
                else:  # what many operations of one line use stays where it is while they move on
                    fixed = users[operand, node.code, node.lasti] > 2
                    sources.append(-1 - operand if fixed else index - operand)
            key = (*operation_of(node), tuple(sources))
            found[index] = table.setdefault(key, len(table))
        return found

    def beginning(self, at: int) -> tuple[int, ...]:
        """How unlikely it is that a block begins at a position: one does where few values cross, and where the program jumps far back."""
        crossing = {operand for operands in self.operands[at : at + 200] for operand in operands if 0 <= operand < at}
        before, after = self.nodes[at - 1], self.nodes[at]
        return len(crossing), after.lasti - before.lasti if before.code is after.code else 0

    def alike(self, begin: int, period: int) -> bool:
        """Whether the nodes before a position are those after it once more, but for operands that come from before it."""
        for later in range(begin, begin + period):
            first, second = self.nodes[later - period], self.nodes[later]
            if operation_of(first) != operation_of(second) or len(first.parents) != len(second.parents):
                return False
            for before, after in zip(first.parents, second.parents, strict=True):
                source = self.position(after) if self.known(after) else None
                if source is not None and 0 <= source < begin:
                    continue
                other = self.position(before) if self.known(before) else None
                if source is None or other is None:
                    if source is not other:
                        return False
                elif source >= 0:
                    if other != source - period:
                        return False
                elif other >= 0 or before._a.shape != after._a.shape:
                    return False
        return True

    # ---------------------------------------------------------------- the picture
    def collect(self, fold: bool, limit: int, saved: bool) -> Picture:
        count = len(self.nodes)
        blocks: list[Block] = []
        stand_in = np.arange(count)
        if fold and count > 3:
            blocks, stand_in = find_blocks(self.kinds(), self.beginning, self.alike)
        shown = np.unique(stand_in).tolist()
        left_out: set[int] = set()
        if len(shown) > limit:
            first = limit // 2
            left_out = set(shown[first : len(shown) - (limit - first)])
        block_of = blocks_of(blocks, count)
        leaf_stand_in, leaf_counts = self.fold_leaves(stand_in)

        place: dict[int, int] = {}  # of nodes and (negative) leaves that have a box, its position
        members: dict[int, list[Node]] = {}
        held: dict[int, int] = {}
        stands = stand_in.tolist()
        for index, node in enumerate(self.nodes):
            chief = stands[index]
            if chief not in left_out:
                members.setdefault(chief, []).append(node)
            for _, value in held_by(node):
                buffer, size = buffer_of(value)
                if buffer not in self.counted:
                    self.counted.add(buffer)
                    held[chief] = held.get(chief, 0) + size
        arrows: dict[tuple[int, int], None] = {}
        carried: dict[tuple[int, int], None] = {}
        gap = -1
        hidden = sum(chief in left_out for chief in stands) if left_out else 0
        for chief in shown:
            if chief in left_out:
                if gap < 0:
                    inside = block_around(blocks, min(left_out), max(left_out))
                    text = f"{hidden:,} more"
                    gap = self.put(Box("gap", text, full=f"{text} operations, not drawn", count=hidden, block=inside))
                    self.boxes[gap].held = sum(held.get(each, 0) for each in left_out)
                place[chief] = gap
                continue
            for operand in self.operands[chief]:
                key = operand if operand >= 0 else -1 - leaf_stand_in[-1 - operand]
                if key < 0 and key not in place:
                    place[key] = self.put(self.leaf_box(leaf_counts[-1 - key]))
            kept = self.saved_boxes(self.nodes[chief]) if saved else []
            place[chief] = self.put(self.node_box(members[chief], held.get(chief, 0), block_of[chief]))
            arrows.update(dict.fromkeys((box, place[chief]) for box in kept))
        for index, operands in enumerate(self.operands):
            target = place[stands[index]]
            for operand in operands:
                chief = stands[operand] if operand >= 0 else -1 - leaf_stand_in[-1 - operand]
                source = place.get(chief)
                if source is None or source == target == gap:
                    continue
                own = block_of[stands[index]]
                shifted = chief >= 0 and own >= 0 and block_of[chief] == own and index - operand != stands[index] - chief
                (carried if shifted or source >= target else arrows)[source, target] = None
        for index, leaf in enumerate(self.leaves):
            if id(leaf) in self.roots and leaf_stand_in[index] < 0:  # a root that nothing was computed from
                place[-1 - index] = self.put(self.leaf_box([leaf]))
                self.boxes[-1].root = True
            elif id(leaf) in self.roots and (at := place.get(-1 - leaf_stand_in[index])) is not None:
                self.boxes[at].root = True
        found = sorted(arrows, key=lambda arrow: (arrow[1], arrow[0]))
        self.frame_leaves(found, blocks)
        return Picture(self.boxes, found, sorted(carried), blocks, count, len(self.leaves), sum(held.values()), hidden)

    def put(self, box: Box) -> int:
        box.read_norms()
        self.boxes.append(box)
        return len(self.boxes) - 1

    def fold_leaves(self, stand_in: Any) -> tuple[list[int], dict[int, list[Tensor]]]:
        """For each leaf the one that stands for it, and whom each stands for: those that are the same operand of repeated operations."""
        chiefs = [-1] * len(self.leaves)
        members: dict[int, list[Tensor]] = {}
        slots: dict[tuple[int, int], int] = {}
        stands = stand_in.tolist()
        for index, operands in enumerate(self.operands):
            for slot, operand in enumerate(operands):
                leaf = -1 - operand
                if operand < 0 and chiefs[leaf] < 0:
                    chief = chiefs[leaf] = slots.setdefault((stands[index], slot), leaf)
                    members.setdefault(chief, []).append(self.leaves[leaf])
        return chiefs, members

    def frame_leaves(self, arrows: list[tuple[int, int]], blocks: list[Block]) -> None:
        """Put leaves and saved tensors that are used in one block only into it, if there are as many of them as it has repetitions."""
        users: dict[int, set[int]] = {}
        for source, target in arrows:
            if self.boxes[source].kind in ("leaf", "saved"):
                users.setdefault(source, set()).add(self.boxes[target].block)
        for source, found in users.items():
            block = found.pop() if len(found) == 1 else -1
            while block >= 0 and self.boxes[source].kind == "leaf" and blocks[block].times != self.boxes[source].count:
                block = blocks[block].parent
            self.boxes[source].block = block

    # ---------------------------------------------------------------- boxes
    def leaf_box(self, members: list[Tensor]) -> Box:
        leaf = members[0]
        called = [self.names.leaf(each, several=len(members) > 1) for each in members]
        title = common_name([name for name in called if name])
        shape, dtype = describe_form(leaf._a.shape, leaf._a.dtype)
        box = Box("leaf", title or "leaf", full="torch::autograd::AccumulateGrad", shape=shape, dtype=dtype, count=len(members))
        box.watched = [weak(each) for each in members]
        return box

    def node_box(self, members: list[Node], held: int, block: int) -> Box:
        node = members[-1]  # the first time through a loop may lack an operand
        full = node.name()
        many = node.outputs != 1
        shape, dtype = describe_forms(node.shape, node.dtype) if many else describe_form(node.shape, node.dtype)
        name = next((found for found in map(self.result_name, reversed(members)) if found), "")
        path = node.where()
        box = Box("op", short_title(full), name, full, shape, dtype, shorter(path), path, held, count=len(members), block=block)
        box.saved = [self.saved_line(Held(torch_name(node, each.name), each.value)) for each in held_by(node)]
        box.freed = type(node.saved) is Freed
        box.root = any(id(each) in self.roots for each in members)
        for each in members:
            if each.extra is not None and each.extra.retain:
                box.watched += each.extra.retain.values()
        return box

    def result_name(self, node: Node) -> str:
        """What the caller calls the output, or those of several that have a name."""
        count = 1 if node.outputs == 1 else len(node.shape)
        found = [name for number in range(count) if (name := self.names.result(node, number))]
        return ", ".join(found[:4])

    def saved_line(self, held: Held) -> str:
        """A saved tensor in a line: its name, form, size, and whose memory it is if not its own."""
        shape, dtype, size = form_of(held.value)
        if shape is None:
            return f"{held.name}: packed"
        buffer, _ = buffer_of(held.value)
        owner = self.owners.get(buffer)
        whose = "" if owner is None else f", memory of {self.names.leaf(owner) or 'a leaf'}"
        return f"{held.name}: {by(shape) or 'scalar'} {str(dtype).removeprefix('torch.')}, {amount(size)}{whose}"

    def saved_boxes(self, node: Node) -> list[int]:
        """Boxes for what a node saved; an array that several nodes saved has one, and equal arrays have one each."""
        found: list[int] = []
        places = self.saved_places
        for held in held_by(node):
            key = id(held.value)
            if key not in places:
                shape, dtype, size = form_of(held.value)
                form = "packed" if shape is None else by(shape) or "scalar"
                name = torch_name(node, held.name)
                box = Box("saved", name, full=f"saved as {name}", shape=form, dtype=str(dtype or "").removeprefix("torch."), held=0)
                box.saved = [amount(size)]
                places[key] = self.put(box)
            found.append(places[key])
        return found


def blocks_of(blocks: list[Block], count: int) -> list[int]:
    """For each node the number of the innermost block that it is in."""
    found = np.full(count, -1)
    for number, block in enumerate(blocks):
        found[block.start : block.start + block.period] = number
    return found.tolist()


def block_around(blocks: list[Block], first: int, last: int) -> int:
    """The innermost block that has both of two positions."""
    around = [at for at, block in enumerate(blocks) if block.start <= first and last < block.start + block.period]
    return min(around, key=lambda at: blocks[at].period, default=-1)


def operation_of(node: Node) -> tuple[Any, ...]:
    """What a node does, and where in the program, without its operands."""
    return type(node), node.printed_name, node.shape, node.dtype, node.code, node.lasti


def weak(tensor: Tensor) -> Callable[[], Any]:
    return weakref.ref(tensor)


def short_title(full: str) -> str:
    """The operation in short: AddmmBackward0 is Addmm."""
    return without_suffix(full) if not full.startswith("torch::") else full.rpartition(":")[2]


def by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def describe_form(shape: Any, dtype: Any) -> tuple[str, str]:
    """A shape and a dtype as a picture shows them."""
    kind = from_numpy_dtype.get(dtype, dtype) if dtype is not None else ""
    return by(shape) or "scalar", str(kind).removeprefix("torch.")


def describe_forms(shapes: Any, dtypes: Any) -> tuple[str, str]:
    """The same for several outputs."""
    forms = [describe_form(*form) for form in zip(shapes, dtypes, strict=True)]
    different = list(dict.fromkeys(shape for shape, _ in forms))
    shown = " and ".join(different[:3]) + (" ..." if len(different) > 3 else "")
    return f"{len(forms)} outputs of {shown}", ", ".join(dict.fromkeys(dtype for _, dtype in forms))


def common_name(names: list[str]) -> str:
    """One name for several: the parts in which they differ are a star."""
    if len(names) < 2:
        return names[0] if names else ""
    first, last = names[0], names[-1]
    before = 0
    while before < min(len(first), len(last)) and first[before] == last[before]:
        before += 1
    after = 0
    while after < min(len(first), len(last)) - before and first[-1 - after] == last[-1 - after]:
        after += 1
    while after and first[-after].isdigit():
        after -= 1
    while before and first[before - 1].isdigit():
        before -= 1
    found = f"{first[:before]}*{first[len(first) - after :]}"
    return found if before or after else f"{first}, ..."
