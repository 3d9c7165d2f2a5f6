"""The engine of reverse mode: count what each node waits for, then run nodes, the newest ready one first.

Numbers of nodes are a topological order, so there is no recursion and a chain of a million operations is fine. An ordinary
backward moves raw payloads; with `create_graph` the same loop moves tensors, and what the rules do is recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from ndgrad.autograd.hooks import after_accumulation, after_node, before_leaf, before_node
from ndgrad.base import modes
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.types import Payload, Shape
from ndgrad.core.node import Node, Port
from ndgrad.core.primitive import raw, recorded
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, mark_modified, wrap

#: Held while a gradient is added to a leaf, so that threads that share a leaf lose nothing.
accumulation_lock = threading.RLock()


def run_backward(
    roots: Sequence[tuple[Any, Any]],
    *,
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Any] | None = None,
    accumulate: bool = True,
) -> list[Any]:
    """Send cotangents from the roots through the graph.

    Parameters
    ----------
    roots : pairs of an edge and its cotangent: a payload, or with `create_graph` a tensor.
    inputs : edges; only what leads to them runs. None stands for all leaves.
    accumulate : whether gradients are added to `.grad`; otherwise they are returned, one for each of `inputs`.
    """
    captured: dict[tuple[Any, int], Any] | None = None
    if inputs is not None:
        captured = dict.fromkeys(((_key(edge), edge.output_nr) for edge in inputs), None)
    previous = modes.set_mode("grad", create_graph)
    try:
        with np.errstate(all="ignore"):
            _Run(retain_graph, create_graph, captured, accumulate).go(roots)
    finally:
        modes.set_mode("grad", previous)
    if captured is None or inputs is None:
        return []
    return [captured[_key(edge), edge.output_nr] for edge in inputs]


def _key(edge: Any) -> Any:
    return edge.node if type(edge) is Port else edge


class _Run:
    """One traversal: what each node still waits for, and the cotangents that have arrived."""

    def __init__(self, retain_graph: bool, create_graph: bool, captured: dict[tuple[Any, int], Any] | None, accumulate: bool) -> None:
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.captured = captured
        self.accumulate = accumulate
        self.waiting: dict[Any, int] = {}
        self.pending: dict[Any, Any] = {}
        # nodes whose pending cotangent is referred to by nobody else, so that it may be added to in place and kept
        self.owned: set[Any] = set()
        self.needed: set[Any] | None = None
        self.ready: list[tuple[int, Node]] = []

    def go(self, roots: Sequence[tuple[Any, Any]]) -> None:
        self.count(roots)
        for edge, g in roots:
            self.deliver(edge, g, False, root=True)
        for edge, _ in roots:
            key = _key(edge)
            if self.waiting.get(key) == 0 and key in self.pending:
                self.waiting[key] = -1
                self.start(key)
        ready, pending, waiting, owned = self.ready, self.pending, self.waiting, self.owned
        create_graph, retain_graph, needed = self.create_graph, self.retain_graph, self.needed
        while ready:
            node = heappop(ready)[1]
            g = pending.pop(node)
            mine = node in owned
            owned.discard(node)
            if node.outputs != 1:
                g = fill_missing(node, g, create_graph)
            extra = node.extra
            if extra is not None:
                changed = before_node(node, g, create_graph)
                mine = mine and changed is g
                g = changed
            if self.captured is not None and not self.capture(node, g):
                continue
            parents = node.parents
            if needed is not None:
                parents = tuple(edge if edge is not None and _key(edge) in needed else None for edge in parents)
            cotangents = node.pull_recorded(g, parents) if create_graph else node.pull(g, parents)
            if extra is not None:
                cotangents = after_node(node, cotangents, g, create_graph)
            if not retain_graph:
                node.release()
            alone = len(parents) == 1 and mine and extra is None
            for edge, cotangent in zip(parents, cotangents, strict=False):
                if edge is None:
                    continue
                if cotangent is not None:
                    self.deliver(edge, cotangent, alone or (cotangent is not g and not create_graph and is_fresh(cotangent, g)))
                key = edge.node if type(edge) is Port else edge
                count = waiting[key] = waiting[key] - 1
                if count == 0:
                    self.start(key)

    def count(self, roots: Sequence[tuple[Any, Any]]) -> None:
        """Find what is reachable and how many cotangents each node and leaf will receive."""
        waiting = self.waiting
        stack: list[Node] = []
        for edge, _ in roots:
            key = _key(edge)
            if key not in waiting:
                waiting[key] = 0
                if isinstance(key, Node):
                    stack.append(key)
        if self.captured is not None:
            self.prune(stack)
            return
        while stack:
            for edge in stack.pop().parents:
                if edge is None:
                    continue
                key = edge.node if type(edge) is Port else edge
                count = waiting.get(key)
                if count is None:
                    waiting[key] = 1
                    if isinstance(key, Node):
                        stack.append(key)
                else:
                    waiting[key] = count + 1

    def prune(self, stack: list[Node]) -> None:
        """The same where only some inputs matter: nodes that lead to none of them do not run."""
        captured: Any = self.captured
        targets = {key for key, _ in captured}
        lowest = min((target.number if isinstance(target, Node) else -1 for target in targets), default=-1)
        found: set[Node] = set(stack)
        while stack:
            for edge in stack.pop().parents:
                key = _key(edge)
                if isinstance(key, Node) and key not in found and key.number >= lowest:
                    found.add(key)
                    stack.append(key)
        needed: set[Any] = set(targets)
        leads: set[Any] = set()
        for node in sorted(found, key=lambda node: node.number):
            if any(edge is not None and _key(edge) in needed for edge in node.parents):
                needed.add(node)
                leads.add(node)
        self.leads = leads
        self.needed = needed
        waiting = self.waiting
        for node in leads:
            for edge in node.parents:
                key = _key(edge)
                if key is not None and key in needed:
                    waiting[key] = waiting.get(key, 0) + 1

    def start(self, key: Any) -> None:
        """All cotangents of a node or leaf have arrived (or none will come)."""
        if isinstance(key, Node):
            if key in self.pending:
                if self.needed is None or key in self.needed:
                    heappush(self.ready, (-key.number, key))
            else:
                self.skip(key)
        elif key in self.pending:
            self.finish_leaf(key)

    def skip(self, node: Node) -> None:
        """Nothing arrived at a node, because those it waited for had no gradient for it: tell those that wait for it in turn."""
        stack = [node]
        while stack:
            for edge in stack.pop().parents:
                key = _key(edge)
                if key is None or key not in self.waiting or (self.needed is not None and key not in self.needed):
                    continue
                self.waiting[key] -= 1
                if self.waiting[key] == 0:
                    if isinstance(key, Node) and key not in self.pending:
                        stack.append(key)
                    else:
                        self.start(key)

    def deliver(self, edge: Any, g: Any, mine: bool, root: bool = False) -> None:
        """Add a cotangent to what has arrived at the end of an edge, in the shape and dtype that belong there."""
        if self.create_graph:
            g = fit_recorded(edge, g)
        else:
            payload = edge._a if isinstance(edge, Tensor) else edge
            if g.shape != payload.shape or g.dtype is not payload.dtype:
                fitted = fit(edge, g, payload.shape, payload.dtype)
                mine = mine or (fitted is not g and is_fresh(fitted, g))
                g = fitted
        pending = self.pending
        if type(edge) is Port:
            node = edge.node
            slots = pending.get(node)
            if slots is None:
                slots = pending[node] = [None] * len(node.shape)
            had = slots[edge.output_nr]
            slots[edge.output_nr] = g if had is None else had + g
            return
        had = pending.get(edge)
        if had is None:
            pending[edge] = g
            if mine:
                self.owned.add(edge)
        elif edge in self.owned and type(had) is np.ndarray:
            np.add(had, g, out=had)
        else:
            pending[edge] = had + g
            if not self.create_graph:
                self.owned.add(edge)

    def capture(self, node: Node, g: Any) -> bool:
        """Keep the cotangent of a node that is asked for; returns whether the node itself must run."""
        captured: Any = self.captured
        for number in range(len(g) if node.outputs != 1 else 1):
            if (node, number) in captured:
                value = g[number] if node.outputs != 1 else g
                if self.accumulate:
                    accumulate_interior(node, number, value, self.create_graph)
                else:
                    captured[node, number] = value
        return node in self.leads

    def finish_leaf(self, leaf: Tensor) -> None:
        g = self.pending.pop(leaf)
        mine = leaf in self.owned
        self.owned.discard(leaf)
        if leaf._hooks is not None:
            changed = before_leaf(leaf, g, self.create_graph)
            mine = mine and changed is g
            g = changed
        if self.captured is not None:
            if (leaf, 0) not in self.captured:
                return
            if not self.accumulate:
                self.captured[leaf, 0] = g
                return
        with accumulation_lock:
            if self.create_graph:
                accumulate_recorded(leaf, g)
            else:
                accumulate_raw(leaf, g, mine)
        if leaf._post_accumulate_hooks is not None or leaf._accumulator is not None:
            after_accumulation(leaf, g, self.create_graph)


# ---------------------------------------------------------------- cotangents
def is_fresh(cotangent: Payload, g: Any) -> bool:
    """Whether a rule's result has memory of its own. A rule is linear in `g`, so the only memory it could share is that of `g`."""
    return cotangent is not g and getattr(cotangent, "base", None) is None


def fit(edge: Any, g: Payload, shape: Shape, dtype: Any) -> Payload:
    """A raw cotangent in the shape and dtype of what it belongs to: broadcast dims summed, the real part of a complex one."""
    if g.shape != shape:
        if not expands(shape, g.shape):
            raise RuntimeError(f"{_describe(edge)} got a gradient of shape {list(g.shape)} but expected shape compatible with {list(shape)}")
        g = raw.sum_to(g, shape=shape)
    if g.dtype != dtype:
        if g.dtype.kind == "c" and dtype.kind != "c":
            g = g.real
        g = g.astype(dtype)
    return g


def fit_recorded(edge: Any, g: Tensor) -> Tensor:
    payload = edge._a if isinstance(edge, Tensor) else edge
    shape, dtype = payload.shape, payload.dtype
    if g._a.shape != shape:
        if not expands(shape, g._a.shape):
            raise RuntimeError(f"{_describe(edge)} got a gradient of shape {list(g._a.shape)} but expected shape compatible with {list(shape)}")
        g = recorded.sum_to(g, shape=shape)
    if g._a.dtype != dtype:
        if g._a.dtype.kind == "c" and dtype.kind != "c":
            g = recorded.real(g)
        g = recorded.to_dtype(g, dtype=from_numpy_dtype[dtype])
    return g


def expands(shape: Shape, to: Shape) -> bool:
    """Whether a tensor of shape `shape` broadcasts to `to`."""
    lead = len(to) - len(shape)
    return lead >= 0 and all(size in (1, wide) for size, wide in zip(shape, to[lead:], strict=True))


def _describe(edge: Any) -> str:
    return "a leaf" if isinstance(edge, Tensor) else f"{edge.name()} (made at {edge.where()})"


def fill_missing(node: Node, g: list[Any], create_graph: bool) -> list[Any]:
    """Zeros for the outputs that no gradient came back from, where the node wants them filled in."""
    if getattr(node, "keeps_missing", False):
        return g
    filled: list[Any] = []
    for value, shape, dtype in zip(g, node.shape, node.dtype, strict=True):
        if value is None and dtype.kind in "fc":
            zeros = np.zeros(shape, dtype)
            value = wrap(zeros) if create_graph else zeros
        filled.append(value)
    return filled


# ---------------------------------------------------------------- leaves
def accumulate_raw(leaf: Tensor, g: Payload, mine: bool) -> None:
    """Add to `.grad`: in place if there is one, else with memory that no other tensor has, laid out like the leaf."""
    grad = leaf._grad
    if grad is not None:
        memory = grad._a
        if isinstance(memory, np.ndarray) and memory.flags.writeable and memory.dtype == g.dtype:
            np.add(memory, g, out=memory)
        else:
            grad._a = memory + g
        if grad._v is not INFERENCE:
            mark_modified(grad, "backward")
        return
    wanted = leaf.grad_dtype
    if wanted is not None and wanted.numpy is not None and g.dtype != wanted.numpy:
        g, mine = g.astype(wanted.numpy), True
    if isinstance(g, np.ndarray) and g.ndim:
        like = leaf._a
        dense = like.flags.c_contiguous or like.flags.f_contiguous or is_dense(like)
        strides = like.strides if dense else None
        if not mine or (g.strides != strides if dense and like.dtype == g.dtype else not g.flags.c_contiguous):
            kept = np.empty_like(like, dtype=g.dtype, subok=False) if dense else np.empty(g.shape, g.dtype)
            kept[...] = g
            g = kept
    elif isinstance(g, np.ndarray) and not mine:
        g = g.copy()
    leaf._grad = wrap(g)


def is_dense(array: Any) -> bool:
    """Whether some order of the dims makes the memory contiguous."""
    expected = array.itemsize
    for stride, size in sorted(zip(array.strides, array.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def accumulate_recorded(leaf: Tensor, g: Tensor) -> None:
    """With `create_graph`, `.grad` becomes a new tensor that knows its history."""
    grad = leaf._grad
    leaf._grad = recorded.clone(g) if grad is None else grad + g  # pyright: ignore[reportOperatorIssue]  # bound in ops


def accumulate_interior(node: Node, number: int, g: Any, create_graph: bool) -> None:
    """`backward(inputs=[t])` where `t` is not a leaf: its gradient goes to `t.grad`, if `t` is still there."""
    holder = None if node.extra is None or node.extra.retain is None else node.extra.retain.get(number)
    tensor = None if holder is None else holder()
    if tensor is None:
        return
    if create_graph:
        accumulate_recorded(tensor, g)
    else:
        accumulate_raw(tensor, g, False)


def is_leaf_edge(tensor: Tensor) -> bool:
    return tensor._node is LEAF
