"""Sparsity patterns: which elements of every tensor depend on which elements of x, followed through a program as it runs.

What an operation does to the index sets follows from its family, and for a general operation from its rule: the rule is a program as
well, linear in the cotangent, so it is followed in its turn. The pattern is *structural*: it holds for any values that the same program
may meet, and has an element that happens to be 0 at this x, or because terms cancel (`x - x`). Numbers that do not depend on x are taken at
their value, so a constant 0 cuts. Two things are not exact:

* A derivative that is 0 on one side of a threshold (`relu`, `clamp`, both branches of a `where` whose condition depends on x) counts as
  depending, so that the pattern holds on either side.
* An operation whose rule leads back to the operation itself by way of values (the singular values of a matrix) has a dense block.

Positions that depend on x (`sort`, `max`, a computed index) are taken as they are at this x, and `local` says that there were some.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ndgrad.autograd.following import Follower
from ndgrad.autograd.gradients import grad
from ndgrad.autograd.transposition import push_any
from ndgrad.base import modes
from ndgrad.base.quiet import run_quietly
from ndgrad.base.types import Array
from ndgrad.core.batches import batch_of
from ndgrad.core.observers import observing, unobserved
from ndgrad.core.primitive import ELEMENTWISE, LINEAR, MULTILINEAR, NONDIFFERENTIABLE, Primitive, raw, recorded
from ndgrad.core.tangents import arguments, sources_of
from ndgrad.core.tensor import LEAF, Tensor, wrap
from ndgrad.core.views import Steps, replay_steps
from ndgrad.func.bilinear_patterns import LARGEST, Labels, bilinear_entries, labels_of
from ndgrad.func.linear_patterns import Apply, NotSparse, entries

#: A sparse boolean array of SciPy: a row for each element of a tensor, a column for each element of x. None: all of it is 0.
Pattern = Any


class Known(NamedTuple):
    """What is known of a tensor that was computed from x, at one version of its memory."""

    pattern: Pattern
    version: int


class Applied(NamedTuple):
    """One call of a primitive: its operands as given, what the kernel saw of them, and what came out."""

    primitive: Primitive
    operands: Sequence[Any]
    payloads: Sequence[Any]
    params: dict[str, Any]
    outs: tuple[Tensor, ...]

    def results(self) -> Any:
        """The payloads of the outputs as rules take them."""
        found = tuple(out._a for out in self.outs)
        return found[0] if self.primitive.outputs == 1 else found


class Tracker(Follower[Known]):
    """Knows the patterns of the tensors that were computed from x while it watched.

    Parameters
    ----------
    width : the number of elements of x.
    above : who follows the operation whose rule this one is to follow.
    through : the primitives whose rules are being followed.
    trusting : whether a tensor of which nothing is known is a constant; otherwise its values count as depending on x.
    recording : whether what is computed while nothing is recorded has no derivative.
    """

    def __init__(
        self,
        width: int,
        above: Tracker | None = None,
        through: tuple[Primitive, ...] = (),
        *,
        trusting: bool = True,
        recording: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.recording = recording
        self.through = through
        self.trusting = trusting
        #: The arrays of what was computed from x: a detached tensor, or one that came by way of NumPy, is known by its memory.
        self.arrays: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary() if above is None else above.arrays
        #: What is known of linear and of bilinear primitives.
        self.linear: dict[Any, list[Pattern]] = {} if above is None else above.linear
        self.labels: dict[str, Labels | None] = {} if above is None else above.labels
        #: Whether positions were taken as they are at this x.
        self.local = False

    # ---------------------------------------------------------------- what is known of tensors
    def track(self, tensor: Tensor) -> None:
        """Follow what is computed from this tensor."""
        self.learn(tensor, identity(self.width))

    def learn(self, tensor: Tensor, pattern: Pattern) -> None:
        self.follow(tensor, Known(pattern, version_of(tensor)))

    def follow(self, tensor: Tensor, known: Known) -> None:
        super().follow(tensor, known)
        array = tensor._a
        if isinstance(array, np.ndarray):
            self.arrays[id(array)] = array

    def find(self, tensor: Any) -> Known | None:
        """What is known of a tensor; a view of memory that has changed since is looked up anew in its base."""
        if not isinstance(tensor, Tensor):
            return None
        found = super().find(tensor)
        view = tensor._view
        if view is None or (found is not None and found.version == version_of(tensor)):
            return found
        base = self.find(view.base)
        if base is None:
            return found
        pattern = None if base.pattern is None else base.pattern[places(view.base, view.steps).reshape(-1)]
        self.learn(tensor, pattern)
        return Known(pattern, version_of(tensor))

    def pattern(self, tensor: Any) -> Pattern:
        """The pattern of a tensor; None for one that has no derivative."""
        found = self.find(tensor)
        return None if found is None else found.pattern

    def depends(self, value: Any) -> bool:
        """Whether the values of an operand may change with x, differentiably or not."""
        if not isinstance(value, Tensor):
            return False
        if not self.trusting or self.find(value) is not None:
            return True
        array: Any = value._a
        while isinstance(array, np.ndarray):
            if self.arrays.get(id(array)) is array:
                return True
            array = array.base
        return False

    # ---------------------------------------------------------------- what happens
    def done(self, primitive: Primitive, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        if not any(self.depends(value) for value in operands):
            return
        call = Applied(primitive, operands, payloads, params, result if isinstance(result, tuple) else (result,))
        patterns: Sequence[Pattern] = [None] * len(call.outs)
        if modes.is_grad_enabled() or not self.recording:
            with unobserved():
                patterns = self.propagated(call)
        for out, pattern in zip(call.outs, patterns, strict=True):
            self.learn(out, pattern if out._a.dtype.kind in "fc" else None)
        self.note_residuals(primitive, operands, call.outs)

    def of_residual(self, source: Any) -> Known | None:
        return Known(self.pattern(source), version_of(source)) if self.depends(source) else None

    def has_history(self) -> bool:
        return False

    def stands_in(self, tensor: Any, stand_in: Any) -> None:
        own = super().find(tensor)
        # a tensor that becomes a view of itself, in place, is no longer what that view was made of
        becomes = own is not None and tensor._view is not None and tensor._view.base is stand_in
        known = own if becomes else self.find(tensor)
        if known is not None:
            self.learn(stand_in, known.pattern)

    def continues(self, tensor: Any, other: Any, change: Callable[[Any], Any]) -> None:
        self.stands_in(tensor, other)

    def written(self, tensor: Any, name: str, out: Any) -> None:
        if batch_of(tensor._a) is not None:
            return  # inside `vmap` the tensor of all examples has been written to, and announced
        base, at = tensor, None
        if tensor._view is not None:
            base, at = tensor._view.base, places(tensor._view.base, tensor._view.steps).reshape(-1)
        old, new = self.find(base), self.find(out)
        if old is None and new is None:
            return
        pattern = None if old is None else old.pattern
        if pattern is not None and (modes.is_grad_enabled() or not self.recording):  # where nothing is recorded, the old history stays
            kept = np.ones(base._a.size, bool)
            kept[slice(None) if at is None else at] = False
            stays = np.flatnonzero(kept)
            pattern = scattered(stays, stays, len(kept), len(kept)) @ pattern
        if new is not None and new.pattern is not None:
            placed = new.pattern if at is None else scattered(at, np.arange(len(at)), base._a.size, len(at)) @ new.pattern
            pattern = union(pattern, placed)
        self.learn(base, pattern)

    def called(self, function: Any, context: Any, args: Sequence[Any], inner: Any, result: Any) -> None:
        """Follow the backward of a custom function, of which its forward says nothing."""
        followed = [value for value in args if isinstance(value, Tensor) and self.pattern(value) is not None]
        if not any(self.depends(value) for value in args):
            return
        for out in result if isinstance(result, tuple) else (result,):
            if not isinstance(out, Tensor):
                continue
            pattern = None
            if followed and out._node is not None and out._node is not LEAF:
                tracker = Tracker(out._a.size, self, self.through, trusting=False)
                g = wrap(np.ones(out._a.shape, out._a.dtype))
                tracker.track(g)
                with unobserved(), observing(tracker):
                    cotangents = grad(out, followed, g, retain_graph=True, allow_unused=True)
                for value, cotangent in zip(followed, cotangents, strict=True):
                    through = tracker.pattern(cotangent)
                    pattern = pattern if through is None else union(pattern, through.T.tocsr() @ self.pattern(value))
                self.local = self.local or tracker.local
            self.learn(out, pattern)

    # ---------------------------------------------------------------- one operation
    def propagated(self, call: Applied) -> list[Pattern]:
        """The patterns of the outputs."""
        found: list[Pattern] = [None] * len(call.outs)
        if call.primitive.family == NONDIFFERENTIABLE:
            return found
        for position, value in enumerate(call.operands):
            pattern = self.pattern(value)
            if pattern is not None:
                for number, through in enumerate(self.partial(call, position)):
                    if through is not None:
                        found[number] = union(found[number], pattern if through is SAME else composed(call, through, pattern))
        return found

    def partial(self, call: Applied, position: int) -> Sequence[Pattern]:
        """For each output, which of its elements depend on which elements of one operand."""
        primitive = call.primitive
        if primitive.family == ELEMENTWISE:
            return (self.elementwise(call, position),)
        if primitive.family == LINEAR:
            payload = call.payloads[0]
            key = primitive, np.shape(payload), getattr(payload, "strides", None), repr(call.params)
            if key not in self.linear:
                self.linear[key] = measured(call, 0, *linear_maps(call))
            return self.linear[key]
        if primitive.family == MULTILINEAR:
            if len(call.operands) == 2:
                found = self.bilinear(call, position)
                if found is not None:
                    return (found,)
            return measured(call, position, *self.multilinear_maps(call, position))
        return self.general(call, position)

    def elementwise(self, call: Applied, position: int) -> Pattern:
        rule = call.primitive.rules[position]
        if rule is None:
            return None
        out, x = call.outs[0]._a, call.payloads[position]
        kept = None
        if not any(depends for _, depends in self.residuals_of(call, rule, 2)):
            g = np.ones(out.shape, out.dtype)
            slope = run_quietly(rule, raw, g, *arguments(call.primitive, rule, 2, call.payloads, call.params, out))
            kept = None if slope is g else np.broadcast_to(slope, out.shape).reshape(-1) != 0
        if np.shape(x) == out.shape and (kept is None or kept.all()):
            return SAME
        sources = spread(np.shape(x), out.shape)
        rows = np.arange(out.size) if kept is None else np.flatnonzero(kept)
        return scattered(rows, sources[rows], out.size, np.size(x))

    def bilinear(self, call: Applied, position: int) -> Pattern:
        """The pattern of a product, if it is one that `einsum` could write."""
        primitive = call.primitive
        x, y = call.payloads[position], call.payloads[1 - position]
        key = primitive, position, np.minimum(np.shape(x), LARGEST).tolist(), np.minimum(np.shape(y), LARGEST).tolist(), call.params
        if repr(key) not in self.labels:

            def apply(values: Array, others: Array) -> Any:
                return primitive.kernel(*((values, others) if position == 0 else (others, values)), **call.params)

            self.labels[repr(key)] = run_quietly(labels_of, apply, np.shape(x), np.shape(y))
        labels = self.labels[repr(key)]
        if labels is None:
            return None
        there = np.ones(np.shape(y), bool) if self.depends(call.operands[1 - position]) else np.asarray(y) != 0
        out = call.outs[0]._a
        free = [size for name, size in zip(labels[0], np.shape(x), strict=True) if name not in labels[1]]
        check_count(call, int(np.count_nonzero(there)) * math.prod(free))
        outs, sources = bilinear_entries(labels, np.shape(x), there, out.shape)
        return scattered(outs, sources, out.size, np.size(x))

    def multilinear_maps(self, call: Applied, position: int) -> tuple[Apply, Apply]:
        """The map of one operand, others being 1 where they depend on x, and otherwise where they are not 0."""
        primitive = call.primitive
        others = [
            np.ones(np.shape(payload)) if self.depends(value) else (np.asarray(payload) != 0).astype(np.float64)
            for value, payload in zip(call.operands, call.payloads, strict=True)
        ]
        rule: Any = primitive.rules[position]
        given = arguments(primitive, rule, 2, others, call.params, None)

        def push(t: Array) -> Any:
            return primitive.kernel(*others[:position], t, *others[position + 1 :], **call.params)

        return push, lambda g: rule(raw, g, *given)

    def residuals_of(self, call: Applied, rule: Any, first: int) -> list[tuple[Any, bool]]:
        """The values that a rule takes, and whether each depends on x."""
        found: list[tuple[Any, bool]] = []
        for kind, which, _ in sources_of(call.primitive, rule, first):
            if kind == "operand":
                found.append((call.payloads[which], self.depends(call.operands[which])))
            elif kind == "operands":
                found += [(payload, self.depends(x)) for x, payload in zip(call.operands, call.payloads, strict=True)]
            elif kind in ("out", "output"):
                found.append((call.outs[which or 0]._a, True))
        return found

    def general(self, call: Applied, position: int) -> Sequence[Pattern]:
        primitive = call.primitive
        rule: Any = primitive.joint or primitive.rules[position]
        if rule is None:
            return [None] * len(call.outs)
        residuals = self.residuals_of(call, rule, 3 if primitive.joint else 2)
        values = any(np.asarray(value).dtype.kind in "fc" for value, _ in residuals if value is not None)
        masks = any(np.asarray(value).dtype.kind == "b" for value, depends in residuals if depends)
        if (values or masks) and primitive not in self.through:
            return [self.by_rule(call, position, rule, number) for number in range(len(call.outs))]
        if values and any(depends for _, depends in residuals):
            return [dense(out._a.size, np.size(call.payloads[position])) for out in call.outs]
        self.local = self.local or any(depends for _, depends in residuals)
        return measured(call, position, *general_maps(call, position, rule))

    def by_rule(self, call: Applied, position: int, rule: Any, number: int) -> Pattern:
        """What one output depends on, found by following its cotangent through the rule."""
        primitive, out = call.primitive, call.outs[number]._a
        if out.dtype.kind not in "fc":
            return None
        tracker = Tracker(out.size, self, (*self.through, primitive), trusting=self.trusting)
        g = wrap(np.ones(out.shape, out.dtype))
        tracker.track(g)
        operands = [tracker.standing_for(self, x, payload) for x, payload in zip(call.operands, call.payloads, strict=True)]
        outs = tuple(tracker.standing_for(self, each, each._a) for each in call.outs)
        several = primitive.outputs != 1
        gs: Any = [zeros_like(each) for each in call.outs] if several else g
        if several:
            gs[number] = g
        given = arguments(primitive, rule, 3 if primitive.joint else 2, operands, call.params, outs if several else outs[0])
        previous = modes.set_mode("grad", False)
        try:
            with observing(tracker):
                if primitive.joint is not None:
                    cotangent = rule(recorded, gs, tuple(at == position for at in range(len(operands))), *given)[position]
                else:
                    cotangent = rule(recorded, gs, *given)
        finally:
            modes.set_mode("grad", previous)
        self.local = self.local or tracker.local
        pattern = None if cotangent is None else tracker.pattern(cotangent)
        if pattern is None:
            return None
        shape = np.shape(call.payloads[position])
        if cotangent._a.shape != shape:  # the engine sums what was broadcast
            size = cotangent._a.size
            pattern = scattered(spread(shape, cotangent._a.shape), np.arange(size), np.size(call.payloads[position]), size) @ pattern
        return pattern.T.tocsr()

    def standing_for(self, above: Tracker, value: Any, payload: Any) -> Any:
        """A tensor with the payload that a kernel saw, of which this tracker knows no more than whether it depends on x."""
        if not isinstance(payload, (np.ndarray, np.generic)):
            return payload
        given: Any = payload
        tensor = wrap(given)
        if above.depends(value):
            self.learn(tensor, None)
        return tensor


# ---------------------------------------------------------------- maps
#: In place of the pattern of a map that takes each element to itself.
SAME = "same"


def measured(call: Applied, position: int, push: Apply | None, pull: Apply) -> list[Pattern]:
    """The pattern of a linear map for each output; `push` gives the elements of all outputs in a row, `pull` is for one output."""
    payload, out = call.payloads[position], call.outs[0]._a
    shape, alone = np.shape(payload), len(call.outs) == 1
    probe = None if push is None else scaled(push, payload), scaled(pull, out) if alone else None
    try:
        outs, sources = run_quietly(entries, probe[0], shape, probe[1], out.shape)
    except NotSparse as error:
        raise RuntimeError(f"the derivative is not sparse: {error} in {call.primitive.title}, of a tensor of shape {list(shape)}") from None
    sizes = [out._a.size for out in call.outs]
    whole = scattered(outs, sources, sum(sizes), np.size(payload))
    if alone:
        return [whole]
    ends = np.cumsum(sizes)
    return [whole[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def scaled(apply: Apply, like: Any) -> Apply:
    """A map of complex numbers as one of real numbers that are in both parts, so that either of them shows."""
    return (lambda values: apply((1 + 1j) * values)) if np.asarray(like).dtype.kind == "c" else apply


def linear_maps(call: Applied) -> tuple[Apply | None, Apply]:
    """A linear primitive and its transpose; the latter alone for a view that is tied to memory laid out as no new array is."""
    primitive, payload = call.primitive, call.payloads[0]
    rule: Any = primitive.rules[0]

    def push(t: Array) -> Any:
        laid_out = np.empty_like(payload, dtype=t.dtype, subok=False)
        laid_out[...] = t
        return in_a_row(primitive.kernel(laid_out, **call.params))

    given = arguments(primitive, rule, 2, call.payloads, call.params, None)
    try:
        push(np.zeros(np.shape(payload)))
    except ValueError:
        return None, lambda g: rule(raw, g, *given)
    return push, lambda g: rule(raw, g, *given)


def general_maps(call: Applied, position: int, rule: Any) -> tuple[Apply, Apply]:
    """The maps of tangents and of cotangents, of an operation whose rule takes no values but positions and constants."""
    primitive = call.primitive
    results = call.results()
    shape = np.shape(call.payloads[position])
    given = arguments(primitive, rule, 3 if primitive.joint else 2, call.payloads, call.params, results)
    needs = tuple(at == position for at in range(len(call.operands)))

    def push(t: Array) -> Any:
        tangents = [t if need else None for need in needs]
        found = push_any(primitive, call.payloads, tangents, call.params, results)
        each = found if isinstance(found, tuple) else (found,)
        return in_a_row(tuple(np.zeros(out._a.shape) if got is None else got for got, out in zip(each, call.outs, strict=True)))

    def pull(g: Array) -> Any:
        g = g.astype(call.outs[0]._a.dtype)
        found = rule(raw, g, needs, *given)[position] if primitive.joint is not None else rule(raw, g, *given)
        if found is None:
            return np.zeros(shape)
        return found if found.shape == shape else raw.sum_to(found, shape=shape)

    return push, pull


def in_a_row(found: Any) -> Any:
    return np.concatenate([np.reshape(each, -1) for each in found]) if isinstance(found, (tuple, list)) else found


# ---------------------------------------------------------------- patterns
def scattered(rows: Array, columns: Array, height: int, width: int) -> Pattern:
    """The pattern that has these elements."""
    from scipy import sparse

    return sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(height, width))


def identity(size: int) -> Pattern:
    return scattered(np.arange(size), np.arange(size), size, size)


def empty(height: int, width: int) -> Pattern:
    return scattered(np.arange(0), np.arange(0), height, width)


def dense(height: int, width: int) -> Pattern:
    return scattered(np.repeat(np.arange(height), width), np.tile(np.arange(width), height), height, width)


#: More elements than this are no sparse matrix: indices and values of each take 12 bytes.
MOST = 3 * 10**8


def composed(call: Applied, through: Pattern, pattern: Pattern) -> Pattern:
    """The pattern of what depends on something by `through` that depends on x by `pattern`."""
    check_count(call, int((through.astype(np.int64) @ np.diff(pattern.indptr).astype(np.int64)).sum()))
    return through @ pattern


def check_count(call: Applied, count: int) -> None:
    """Refuse what would fill the memory."""
    if count > MOST:
        raise RuntimeError(
            f"the derivative is not sparse: what {call.primitive.title} gives, of shape {list(call.outs[0]._a.shape)}, depends on x in up "
            f"to {count:,} ways. If that is so, use jacrev, jacfwd or products with vectors (vjp, jvp) instead."
        )


def union(first: Pattern, second: Pattern) -> Pattern:
    return second if first is None or first is second else first + second


def spread(shape: Any, out_shape: Any) -> Array:
    """For each element of the broadcast shape the element of the narrower one that it came from."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.broadcast_to(np.arange(size).reshape(shape), out_shape).reshape(-1)


def places(base: Tensor, steps: Steps) -> Array:
    """The elements of a base that a view of it shows."""
    memory = base._memory()
    numbers = np.empty_like(memory, dtype=np.int64, subok=False)
    numbers[...] = np.arange(memory.size).reshape(memory.shape)
    return np.asarray(replay_steps(numbers, steps))


def version_of(tensor: Tensor) -> int:
    cell = tensor._v
    return cell[0] if isinstance(cell, list) else 0


def zeros_like(tensor: Tensor) -> Tensor | None:
    return wrap(np.zeros(tensor._a.shape, tensor._a.dtype)) if tensor._a.dtype.kind in "fc" else None
