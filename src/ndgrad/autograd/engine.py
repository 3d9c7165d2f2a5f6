"""The engine of reverse mode: collect the reachable nodes, sort them by number, walk down.

Numbers of nodes are a topological order, so there is no recursion and a chain of a million operations is fine. An ordinary
backward moves raw payloads; with `create_graph` the same loop moves tensors, and what the rules do is recorded.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from operator import attrgetter
from typing import Any

import numpy as np

from ndgrad.autograd.accumulation import accumulate_raw, accumulate_recorded, fill_missing, fit, fit_recorded
from ndgrad.autograd.execution_log import execution_log, is_logged
from ndgrad.autograd.hooks import accumulation_lock, after_accumulation, after_node, before_accumulation, before_leaf, before_node
from ndgrad.base import modes
from ndgrad.base.location import NOWHERE, caller, outside, place_of_call, tracing
from ndgrad.base.quiet import begin_quiet, end_quiet
from ndgrad.base.references import references
from ndgrad.core.freed import Freed, traversals
from ndgrad.core.node import Node, Port, accumulator, freed_error, tick
from ndgrad.core.observers import follows_tensors, observed_pull, observing
from ndgrad.core.tensor import LEAF, Tensor, new, wrap

ndarray = np.ndarray
next_task = count().__next__
number_of = attrgetter("number")


def is_ours(array: Any, alone: int) -> bool:
    """Whether an array with memory of its own, or a view of all of such an array, is referred to by the caller and nobody else.

    Then it may be written to and kept, whoever made it. `alone` says what the caller has: ALONE, a variable; ALONE_IN_ONE, a variable
    and an entry of one container; ALONE_IN_LOOP, the variable of a loop over `zip`, and an entry of what it runs over.
    """
    if references(array) != alone:
        return False
    base = array.base
    if base is None:
        return True
    if type(base) is not ndarray or base.base is not None or base.size != array.size:
        return False
    flags = array.flags
    return references(base) == BASE_ALONE and flags.writeable and flags.forc  # what repeats an element has many places for one


def _counts() -> tuple[int, int, int, int]:
    """What `is_ours` counts for an array that is alone; measured, because Python versions differ in which references they count."""

    def count(array: Any, alone: int) -> int:
        return references(array)

    def count_base(array: Any, alone: int) -> int:
        base = array.base
        return references(base)

    in_loop, several = 0, (np.empty(2),)
    for _, array in zip((None,), several, strict=False):
        in_loop = count(array, 0)
    array = several[0]
    in_one = count(array, 0)
    del several
    view = np.empty(2).reshape(2, 1)
    return count(array, 0), in_one, in_loop, count_base(view, 0)


ALONE, ALONE_IN_ONE, ALONE_IN_LOOP, BASE_ALONE = _counts()


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
    roots : pairs of an edge and its cotangent: a payload, or with `create_graph` (and where tensors are followed) a tensor.
    inputs : edges; only what leads to them runs. None stands for all leaves.
    accumulate : whether gradients are added to `.grad`; otherwise they are returned, one for each of `inputs`.
    """
    if "logging" in sys.modules and is_logged():
        with observing(execution_log):
            return run_backward(roots, retain_graph=retain_graph, create_graph=create_graph, inputs=inputs, accumulate=accumulate)
    captured: dict[tuple[Any, int], Any] | None = None
    if inputs is not None:
        captured = dict.fromkeys(((_key(edge), edge.output_nr) for edge in inputs), None)
    # restored without a call of Python code, so that not even a KeyboardInterrupt can leave the thread in the wrong mode
    thread = get_ident()
    outside = modes.exceptional.get(thread)
    quiet: Any = None
    try:
        if outside is None and not create_graph:
            modes.exceptional[thread] = modes.not_recording
        else:
            modes.set_mode("grad", create_graph)
        quiet = begin_quiet()
        observers: tuple[Any, ...] = () if outside is None else outside.observers
        tensors = create_graph
        if observers and not create_graph and follows_tensors():
            tensors, roots = True, [(edge, g if isinstance(g, Tensor) else wrap(g)) for edge, g in roots]
        run = (ObservedRun if observers else Run)(roots, retain_graph, tensors, captured, accumulate, observers)
        run.go()
        if run.callbacks is not None:
            run.call_back()
    finally:
        if outside is None:
            modes.exceptional.pop(thread, None)
        else:
            modes.exceptional[thread] = outside
        if quiet is not None:
            end_quiet(quiet)
    if captured is None or inputs is None:
        return []
    return [captured[_key(edge), edge.output_nr] for edge in inputs]


def leave_freed() -> Freed:
    """What the nodes that a traversal frees are left with: it says when and where that was."""
    freed = new(Freed)
    freed.newest = tick()
    try:
        frame = caller(4)  # the user's, if this function was called by `Run.go`, and that by way of `tensor_backward`
        code = frame.f_code
        if code.co_filename in outside and tracing.on:
            freed.code, freed.lasti = code, frame.f_lasti
            return freed
    except ValueError:  # a thread that began with `backward` itself has fewer frames
        freed.code, freed.lasti = NOWHERE
        return freed
    freed.code, freed.lasti = place_of_call(3)
    return freed


def _key(edge: Any) -> Any:
    return edge.node if type(edge) is Port else edge


class Run:
    """One traversal: the cotangents that have arrived, and how many each leaf still waits for."""

    __slots__ = (
        "__weakref__",
        "accumulate",
        "callbacks",
        "captured",
        "create_graph",
        "leads",
        "leaves",
        "needed",
        "observers",
        "order",
        "pending",
        "retain_graph",
        "roots",
        "running",
        "targets",
        "task",
    )

    #: With `inputs`: those themselves, the nodes that lead to them, and both together.
    targets: set[Any]
    leads: set[Any]
    needed: set[Any] | None
    #: The nodes that run, once they are known.
    order: Sequence[Node]
    #: What `queue_callback` was given, to be called at the end.
    callbacks: list[Callable[[], Any]] | None
    #: The same nodes for looking one up, and the traversal's number, once somebody asks.
    running: frozenset[Node] | None
    task: int | None

    def __init__(
        self,
        roots: Sequence[tuple[Any, Any]],
        retain_graph: bool,
        create_graph: bool,
        captured: dict[tuple[Any, int], Any] | None,
        accumulate: bool,
        observers: tuple[Any, ...],
    ) -> None:
        self.roots = roots
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.captured = captured
        self.accumulate = accumulate
        self.observers = observers
        self.needed = self.callbacks = self.running = self.task = None
        self.pending: dict[Any, Any] = {}
        self.leaves: dict[Any, int] = {}

    def go(self) -> None:
        roots = self.roots
        self.order = self.collect(roots)
        for edge, g in roots:
            self.deliver(edge, g)
        pending, leaves, captured, needed = self.pending, self.leaves, self.captured, self.needed
        create_graph = self.create_graph
        special = True if self.observers else create_graph
        freed = None if self.retain_graph else leave_freed()
        arrived: Any = None
        for node in self.in_turn():
            g = pending.pop(node, None)
            if g is None:
                if not node.keeps_missing:
                    self.pass_by(node, node.extra)
                    continue
                g = None if node.outputs == 1 else [None] * node.outputs  # a custom function is called nevertheless
            extra = node.extra
            if captured is not None:
                runs = self.runs(node)
                if not runs and extra is not None:
                    g = before_node(node, g, create_graph, False)
                if g is not None:  # of a node that runs as well, PyTorch gives what had arrived before the hooks
                    self.capture(node, g)
                if not runs:
                    continue
                if type(node.saved) is Freed and not node.keeps_missing:
                    freed_error(node)  # also where none of its operands is asked for
            if extra is not None:
                g = before_node(node, g, create_graph)
                if (g is None or (node.outputs != 1 and all(value is None for value in g))) and not node.keeps_missing:
                    after_node(node, (None,) * len(node.parents), g, create_graph)  # a hook has taken the gradient away
                    self.pass_by(node)
                    continue
            if node.outputs != 1:  # what nothing came back from is zero to the rule, and None to who asks
                arrived, g = g, fill_missing(node, g, create_graph)
            parents = node.parents
            if needed is not None:
                parents = tuple(edge if edge is not None and _key(edge) in needed else None for edge in parents)
            cotangents = self.pull_specially(node, g, arrived, parents) if special else node.pull(g, parents)
            if extra is not None and extra.hooks:
                cotangents = after_node(node, cotangents, g if node.outputs == 1 else arrived, create_graph)
                for observer in self.observers:
                    observer.pulled(node, g, cotangents)
            if freed is not None and node.saved is not None:
                node.saved = freed
            g = arrived = None  # so that a rule which hands it on hands it over
            for edge, cotangent in zip(parents, cotangents, strict=False):
                if edge is None:
                    continue
                # what `deliver` does, for the commonest cases: the first cotangent of a node with one output, the only one of a leaf
                # that nobody watches, and one more scalar for a leaf
                if not special and cotangent is not None and type(edge) is not Port:
                    had = pending.get(edge)
                    left = leaves.get(edge)
                    if left is None:
                        if had is None and cotangent.shape == edge.shape and cotangent.dtype is edge.dtype:
                            pending[edge] = cotangent
                            continue
                    elif had is not None:
                        if left > 1 and type(had) is type(cotangent) is not ndarray:
                            leaves[edge] = left - 1
                            pending[edge] = had + cotangent
                            continue
                    elif (
                        left == 1
                        and edge._node is LEAF
                        and edge._hooks is None
                        and edge._post_accumulate_hooks is None
                        and edge._accumulator is None
                        and edge._view is None
                        and captured is None
                    ):
                        payload = edge._a
                        if cotangent.shape == payload.shape and cotangent.dtype is payload.dtype:
                            leaves[edge] = 0
                            mine = type(cotangent) is ndarray and is_ours(cotangent, ALONE_IN_LOOP)
                            with accumulation_lock:
                                accumulate_raw(edge, cotangent, mine)
                            continue
                    had = None  # or `deliver` would find that it is not the only one who holds it
                self.deliver(edge, cotangent)
            cotangents, cotangent = (), None  # nor do they hold what the next node would have to itself

    def pull_specially(self, node: Node, g: Any, arrived: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        """Run a node whose derivation is recorded, or that is observed."""
        pull = partial(node.pull_recorded if self.create_graph else node.pull, g, parents)
        if not self.observers:
            return pull()
        for observer in self.observers:
            observer.started(node, g if node.outputs == 1 else arrived)
        cotangents = observed_pull(self.observers, node, g, pull)
        if node.extra is None or not node.extra.hooks:
            for observer in self.observers:
                observer.pulled(node, g, cotangents)
        return cotangents

    @property
    def task_id(self) -> int:
        """A number that tells traversals apart."""
        if self.task is None:
            self.task = next_task()
        return self.task

    def will_reach(self, edge: Any) -> bool:
        """Whether the gradient of what an edge stands for will be computed."""
        key = _key(edge)
        if self.needed is not None:
            return key in self.needed
        if isinstance(key, Tensor):
            return key in self.leaves
        if self.running is None:
            self.running = frozenset(self.order)
        return key in self.running

    def call_back(self) -> None:
        """Call what was queued during this traversal, and what that queues in turn."""
        callbacks: Any = self.callbacks
        for callback in callbacks:  # which may grow as we go
            callback()

    def in_turn(self) -> Iterable[Node]:
        """The nodes, one after the other."""
        return self.order

    def collect(self, roots: Sequence[tuple[Any, Any]]) -> list[Node]:
        """What is reachable: the nodes, in the order in which they will run, and in `leaves` how many cotangents each leaf will get."""
        leaves = self.leaves
        found: list[Node] = []
        seen: set[Node] = set()
        for edge, _ in roots:
            key = edge.node if type(edge) is Port else edge
            if not isinstance(key, Node):
                leaves[key] = leaves.get(key, 0) + 1
            elif key not in seen:
                seen.add(key)
                found.append(key)
        if self.captured is not None:
            return self.collect_leading(found, seen)
        for node in found:  # which grows as we go
            for edge in node.parents:
                if edge is None:
                    continue
                if isinstance(edge, Node):
                    if edge not in seen:
                        seen.add(edge)
                        found.append(edge)
                elif type(edge) is not Port:
                    leaves[edge] = leaves.get(edge, 0) + 1
                elif edge.node not in seen:
                    seen.add(edge.node)
                    found.append(edge.node)
        found.sort(key=number_of, reverse=True)
        return found

    def collect_leading(self, found: list[Node], seen: set[Node]) -> list[Node]:
        """The same where only some inputs matter: nodes that lead to none of them do not run."""
        captured: Any = self.captured
        targets = self.targets = {key for key, _ in captured}
        lowest = min((target.number if isinstance(target, Node) else -1 for target in targets), default=-1)
        for node in found:
            for edge in node.parents:
                key = _key(edge)
                if isinstance(key, Node) and key not in seen and key.number >= lowest:
                    seen.add(key)
                    found.append(key)
        found.sort(key=number_of)
        needed: set[Any] = set(targets)
        leads: set[Any] = set()
        leaves = self.leaves
        for node in found:
            for edge in node.parents:
                key = _key(edge)
                if key is not None and key in needed:
                    leads.add(node)
                    if not isinstance(key, Node):
                        leaves[key] = leaves.get(key, 0) + 1
            if node in leads:
                needed.add(node)
        self.leads, self.needed = leads, needed
        return [node for node in reversed(found) if node in needed]

    def pass_by(self, node: Node, extra: Any = None) -> None:
        """Nothing arrived at a node, because those above it had no gradient for it: hooks get None, leaves need not wait for it."""
        runs = self.needed is None or self.runs(node)
        nothing: Any = None if node.outputs == 1 else [None] * node.outputs
        if extra is not None:
            before_node(node, nothing, self.create_graph, runs)
            if extra.hooks and runs:
                after_node(node, (None,) * len(node.parents), nothing, self.create_graph)
        if self.needed is not None and node not in self.leads:
            return
        for edge in node.parents:
            if isinstance(edge, Tensor) and edge in self.leaves:
                self.deliver(edge, None)

    def deliver(self, edge: Any, g: Any) -> None:
        """Add a cotangent, if there is one, to what has arrived at the end of an edge; finish a leaf that waits for no more."""
        if g is not None:
            self.add(edge, g)
            del g  # so that what the leaf gets may turn out to be nobody else's
        if isinstance(edge, Tensor):
            left = self.leaves[edge] = self.leaves[edge] - 1
            if left == 0:
                self.finish_leaf(edge)

    def add(self, edge: Any, g: Any) -> None:
        """Add a cotangent to what has arrived, in the shape and dtype that belong there."""
        if self.create_graph:
            g = fit_recorded(edge, g)
        else:
            payload = edge._a if isinstance(edge, Tensor) else edge
            if g.shape != payload.shape or g.dtype is not payload.dtype:
                g = fit(edge, g, payload.shape, payload.dtype)
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
        elif type(had) is ndarray and is_ours(had, ALONE_IN_ONE):
            np.add(had, g, out=had)
        else:
            pending[edge] = had + g

    def runs(self, node: Node) -> bool:
        """Whether a node runs although only some inputs matter: for `backward`, those that are asked for do as well."""
        return self.accumulate or node in self.leads

    def capture(self, node: Node, g: Any) -> None:
        """Keep the cotangent of a node if it is asked for."""
        captured: Any = self.captured
        if not self.accumulate and node in self.targets:  # `backward` retains it instead
            for number in range(len(g) if node.outputs != 1 else 1):
                kept = g[number] if node.outputs != 1 else g
                if (node, number) in captured and kept is not None:
                    captured[node, number] = kept.copy(order="K") if type(kept) is ndarray else kept

    def finish_leaf(self, leaf: Tensor) -> None:
        """Run the hooks of a leaf whose gradient, None if there is none, is complete; add it to `.grad` or keep it as a result."""
        g = self.pending.pop(leaf, None)
        if leaf._inherits():
            return
        if leaf._hooks is not None:
            g = before_leaf(leaf, g, self.create_graph)
        if self.captured is not None:
            if (leaf, 0) not in self.captured:
                return
            if not self.accumulate:
                if type(g) is ndarray and not is_ours(g, ALONE):
                    g = g.copy(order="K")
                self.captured[leaf, 0] = g
                return
        if leaf._node is None:
            return  # it no longer requires grad
        for observer in self.observers:
            observer.accumulating(leaf, g)
        if leaf._accumulator is not None:
            g = before_accumulation(leaf, g, self.create_graph)
        mine = type(g) is ndarray and is_ours(g, ALONE)
        if g is not None:
            with accumulation_lock:
                if self.create_graph:
                    accumulate_recorded(leaf, g)
                else:
                    accumulate_raw(leaf, g, mine)
        if leaf._post_accumulate_hooks is not None or leaf._accumulator is not None:
            after_accumulation(leaf, g, self.create_graph)
        for observer in self.observers:
            observer.accumulated(leaf, g)


class ObservedRun(Run):
    """The same where observers want to know whose turn it is, and with whom an error came up."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.starts = {_key(edge) for edge, _ in self.roots}
        self.node: Node | None = None
        self.unfinished: Tensor | None = None
        self.notes: dict[Any, Any] = {}  # of the observers
        self.unpacked: tuple[Any, Any] = (None, ())

    def go(self) -> None:
        try:
            super().go()
        except Exception as error:
            failed = self.node if self.unfinished is None else accumulator(self.unfinished)
            for observer in self.observers if failed is not None else ():
                observer.failed(failed, error)
            raise

    def in_turn(self) -> Iterable[Node]:
        for node in self.order:
            self.node = node
            yield node

    def finish_leaf(self, leaf: Tensor) -> None:
        self.unfinished = leaf
        super().finish_leaf(leaf)
        self.unfinished = None


traversals.update(function.__code__ for function in (Run.go, Run.call_back, ObservedRun.go))
