"""The engine of reverse mode: count what each node waits for, then run nodes, the newest ready one first.

Numbers of nodes are a topological order, so there is no recursion and a chain of a million operations is fine. An ordinary
backward moves raw payloads; with `create_graph` the same loop moves tensors, and what the rules do is recorded.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from ndgrad.autograd.hooks import after_accumulation, after_node, before_accumulation, before_leaf, before_node
from ndgrad.base import modes
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.shapes import is_dense
from ndgrad.base.types import Payload, Shape
from ndgrad.core.node import Node, Port
from ndgrad.core.primitive import Quiet, raw, recorded
from ndgrad.core.tensor import INFERENCE, LEAF, UNSET, Tensor, wrap

ndarray = np.ndarray
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
    # restored without a call of Python code, so that not even a KeyboardInterrupt can leave the thread in the wrong mode
    thread = get_ident()
    outside = modes.exceptional.get(thread)
    try:
        if outside is None and not create_graph:
            modes.exceptional[thread] = modes.not_recording
        else:
            modes.set_mode("grad", create_graph)
        with Quiet():
            _Run(retain_graph, create_graph, captured, accumulate).go(roots)
    finally:
        if outside is None:
            modes.exceptional.pop(thread, None)
        else:
            modes.exceptional[thread] = outside
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
                self.waiting[key] = -1  # a root that is given twice starts once
                self.start(key)
        ready, pending, waiting, owned = self.ready, self.pending, self.waiting, self.owned
        create_graph, retain_graph, needed = self.create_graph, self.retain_graph, self.needed
        arrived: Any = None
        while ready:
            node = heappop(ready)[1]
            g = pending.pop(node)
            mine = node in owned
            extra = node.extra
            if extra is not None:
                g = before_node(node, g, create_graph, self.captured is None or self.runs(node))
                mine = False  # whoever saw it may have kept it
                if g is None or (node.outputs != 1 and all(value is None for value in g)):
                    self.skip(node)  # a hook has taken the gradient away
                    continue
            if self.captured is not None:
                if not self.capture(node, g):
                    continue
                mine = mine and node not in self.targets  # else it is handed out as it is
            if node.outputs != 1:  # what nothing came back from is zero to the rule, and None to who asks
                arrived, g = g, fill_missing(node, g, create_graph)
            parents = node.parents
            if needed is not None:
                parents = tuple(edge if edge is not None and _key(edge) in needed else None for edge in parents)
            cotangents = node.pull_recorded(g, parents) if create_graph else node.pull(g, parents)
            hooked = extra is not None and extra.hooks
            if hooked:
                cotangents = after_node(node, cotangents, g if node.outputs == 1 else arrived, create_graph)
            if not retain_graph and node.saved is not None:
                node.release()
            alone = mine and len(parents) == 1 and not is_expanded(cotangents[0], g)
            for edge, cotangent in zip(parents, cotangents, strict=False):
                if edge is None:
                    continue
                key = edge.node if type(edge) is Port else edge
                count = waiting[key] - 1
                waiting[key] = count
                if cotangent is not None:
                    own = type(cotangent) is ndarray and not hooked and (alone or (cotangent is not g and cotangent.base is None))
                    if not create_graph:
                        # what `deliver` and `start` do, for the commonest cases: a further scalar, the first cotangent of a node
                        # with one output, and the only one of a leaf that nobody watches
                        had = pending.get(edge)
                        if had is not None:
                            if type(had) is type(cotangent) is not ndarray and type(edge) is not Port:
                                pending[edge] = had + cotangent
                                if count == 0:
                                    self.start(key)
                                continue
                        elif isinstance(edge, Node):
                            if cotangent.shape == edge.shape and cotangent.dtype is edge.dtype:
                                pending[edge] = cotangent
                                if own:
                                    owned.add(edge)
                                if count == 0:
                                    heappush(ready, (-edge.number, edge))
                                continue
                        elif count == 0 and self.captured is None and is_unwatched(edge):
                            payload = edge._a
                            if cotangent.shape == payload.shape and cotangent.dtype is payload.dtype:
                                with accumulation_lock:
                                    accumulate_raw(edge, cotangent, own)
                                continue
                    self.deliver(edge, cotangent, own)
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
        targets = self.targets = {key for key, _ in captured}
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

    def runs(self, node: Node) -> bool:
        """Whether a node runs although only some inputs matter: for `backward`, those that are asked for do as well."""
        return self.accumulate or node in self.leads

    def capture(self, node: Node, g: Any) -> bool:
        """Keep the cotangent of a node that is asked for; returns whether the node itself must run."""
        captured: Any = self.captured
        if not self.accumulate and node in self.targets:  # `backward` retains it instead
            for number in range(len(g) if node.outputs != 1 else 1):
                value = g[number] if node.outputs != 1 else g
                if (node, number) in captured and value is not None:
                    captured[node, number] = self.handed_out(value, False)
        return self.runs(node)

    def handed_out(self, g: Any, mine: bool) -> Any:
        """A cotangent as a result: memory that nothing else refers to."""
        return g if mine or self.create_graph or not isinstance(g, np.ndarray) else g.copy(order="K")

    def finish_leaf(self, leaf: Tensor) -> None:
        """Run the hooks of a leaf whose gradient is complete, and add it to `.grad` or keep it as a result."""
        g = self.pending.pop(leaf)
        if leaf._inherits():
            return
        mine = leaf in self.owned
        self.owned.discard(leaf)
        if leaf._hooks is not None:
            g = before_leaf(leaf, g, self.create_graph)
            mine = False  # a hook may have kept it
        if self.captured is not None:
            if (leaf, 0) not in self.captured:
                return
            if not self.accumulate:
                self.captured[leaf, 0] = self.handed_out(g, mine)
                return
        if leaf._node is None:
            return  # it no longer requires grad
        if leaf._accumulator is not None:
            changed = before_accumulation(leaf, g, self.create_graph)
            mine = mine and changed is g
            g = changed
        with accumulation_lock:
            if self.create_graph:
                accumulate_recorded(leaf, g)
            else:
                accumulate_raw(leaf, g, mine)
        if leaf._post_accumulate_hooks is not None or leaf._accumulator is not None:
            after_accumulation(leaf, g, self.create_graph)


def is_unwatched(edge: Any) -> bool:
    """Whether an edge is a leaf to whose `.grad` a gradient can be added without further ado."""
    return (
        edge._node is LEAF
        and edge._hooks is None
        and edge._post_accumulate_hooks is None
        and edge._accumulator is None
        and edge._view is None
    )


# ---------------------------------------------------------------- cotangents
def is_fresh(cotangent: Payload, g: Any) -> bool:
    """Whether a rule's result has memory of its own. A rule is linear in `g`, so the only memory it could share is that of `g`."""
    return cotangent is not g and getattr(cotangent, "base", None) is None


def is_expanded(cotangent: Payload, g: Any) -> bool:
    """Whether a rule's result is a view of `g` in which elements occur more than once, so that it cannot be added to in place."""
    return cotangent is not None and cotangent is not g and cotangent.size > g.size


def fit(edge: Any, g: Payload, shape: Shape, dtype: Any) -> Payload:
    """A raw cotangent in the shape and dtype of what it belongs to: broadcast dims summed, the real part of a complex one."""
    if g.shape != shape:
        if not expands(shape, g.shape):
            raise RuntimeError(f"{_describe(edge)} got a gradient of shape {list(g.shape)} but expected shape compatible with "
                f"{list(shape)}")
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
            raise RuntimeError(f"{_describe(edge)} got a gradient of shape {list(g._a.shape)} but expected shape compatible with "
                f"{list(shape)}")
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
        if type(memory) is np.ndarray and memory.dtype is g.dtype and can_be_added_to(memory):
            np.add(memory, g, out=memory)
        else:
            total = memory + g
            grad._a = total if total.dtype == memory.dtype else total.astype(memory.dtype)
        cell = grad._v
        if cell is None:
            grad._v = [1]
        elif cell is not INFERENCE:
            cell[0] += 1
            cell[1:] = ("backward()", None, 0)
        return
    wanted = leaf._grad_dtype
    if wanted is not UNSET and wanted is not None and g.dtype != wanted.numpy:
        g, mine = g.astype(wanted.numpy), True
    if isinstance(g, np.ndarray) and g.ndim:
        like = leaf._a
        dense = like.flags.c_contiguous or like.flags.f_contiguous or is_dense(like.shape, like.strides, like.itemsize)
        strides = like.strides if dense else None
        if not mine or (g.strides != strides if dense and like.dtype == g.dtype else not g.flags.c_contiguous):
            kept = np.empty_like(like, dtype=g.dtype, subok=False) if dense else np.empty(g.shape, g.dtype)
            kept[...] = g
            g = kept
    elif isinstance(g, np.ndarray) and not mine:
        g = g.copy()
    leaf._grad = wrap(g)


def can_be_added_to(memory: Any) -> bool:
    """Whether each element of an array has memory of its own that may be written to."""
    flags = memory.flags
    return flags.writeable and (flags.c_contiguous or 0 not in memory.strides)


def accumulate_recorded(leaf: Tensor, g: Tensor) -> None:
    """With `create_graph`, `.grad` becomes a new tensor that knows its history."""
    grad: Any = leaf._grad
    if grad is not None:
        leaf._grad = grad + g
        return
    if is_dense(leaf._a.shape, leaf._a.strides, leaf._a.itemsize):
        copy: Any = wrap(np.empty_like(leaf._a, dtype=g._a.dtype, subok=False))
        leaf._grad = copy.copy_(g)
    else:
        leaf._grad = recorded.clone_strided(g, order="C")
