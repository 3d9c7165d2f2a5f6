"""How `vmap` runs an operation: for all examples at once, by the operation's batching rule, on tensors of the level below.

The rule of an elementwise operation is to line up the dims; an operation with dims or shapes among its parameters is told others; a
declaration says in its `batch` what else is to be done. What has no rule is run for one example after the other, with a warning.
A level is an observer. Whoever watches and has entered after it (the levels of forward mode inside the function) sees the operation on
one example; who has entered before sees what it comes down to. Gradients are recorded likewise: of the examples' tensors that are
differentiated inside, and of the tensors below that are differentiated outside.
"""

from __future__ import annotations

import warnings
from _thread import get_ident
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ndgrad.base import modes
from ndgrad.core.batches import ESCAPED, Batch, batch_of, deepest
from ndgrad.core.observers import Observer, observed_run, observing
from ndgrad.core.packing import pack_residuals
from ndgrad.core.primitive import (
    ELEMENTWISE,
    KEEP,
    NONDIFFERENTIABLE,
    Primitive,
    computing_dtype,
    output,
    record,
    recorded,
)
from ndgrad.core.tensor import INFERENCE, Tensor, wrap

#: Parameters that name dims, counted from the front, or the shape of a result: one more dim in front shifts them all.
DIMS = frozenset({"dim", "dim0", "dim1", "dim2"})
SEVERAL_DIMS = frozenset({"dims"})
SHAPES = frozenset({"shape"})


class BatchLevel(Observer):
    """One call of `vmap`.

    Parameters
    ----------
    size : how many examples there are.
    randomness : whether random numbers are "different" for each example, the "same" for all, or an "error".
    """

    follows_tensors = batches = True

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.size = size
        self.randomness = randomness
        self.thread = get_ident()
        self.depth = 1 + sum(isinstance(each, BatchLevel) for each in modes.current().observers)

    def is_open(self) -> bool:
        return self in modes.current().observers

    # ---------------------------------------------------------------- tensors
    def box(self, value: Tensor, mapped: bool = True) -> Tensor:
        """A tensor that stands for one example of `value`, whose first dim is the examples'."""
        payload: Any = Batch(value, self, mapped)
        return wrap(payload)

    def owned(self, tensor: Tensor) -> Batch | None:
        """The tensor's payload, if it is one of this level."""
        batch = batch_of(tensor._a)
        return batch if batch is not None and batch.level is self else None

    def boxes(self, values: Iterable[Any], mapped: Iterable[bool]) -> list[Any]:
        """The same of several values of which some are `mapped`; the others stay as they are."""
        return [self.box(value) if flag else value for value, flag in zip(values, mapped, strict=True)]

    def unbox(self, value: Any) -> tuple[Any, bool]:
        """The tensor of the level below that a tensor stands for, and whether its first dim is the examples'; anything else as it is."""
        payload: Any = value._a if isinstance(value, Tensor) else None
        return (payload.value, payload.mapped) if type(payload) is Batch and payload.level is self else (value, False)

    def above(self) -> tuple[Observer, ...]:
        """Those who have entered after this level."""
        observers: tuple[Observer, ...] = modes.current().observers
        return observers[observers.index(self) + 1 :]

    def spread(self, value: Tensor) -> Tensor:
        """A tensor that all examples have, once for each of them: a view."""
        return recorded.expand_to(value, shape=(self.size, *value._a.shape))

    def copied(self, batch: Batch) -> Batch:
        with self.below():
            return Batch(batch.value.clone(), self, batch.mapped)

    def overwrite(self, batch: Batch, payload: Any) -> None:
        """Write into the memory of the level below."""
        with self.below():
            value = payload.value if type(payload) is Batch and payload.level is self else wrap(payload)
            if batch.mapped and type(payload) is Batch and payload.level is self and payload.mapped:
                value = lined_up(value, batch.ndim)
            batch.value.copy_(value)

    # ---------------------------------------------------------------- operations
    def apply(self, primitive: Primitive, given: Any, payloads: list[Any], params: dict[str, Any], mode: modes.Modes) -> Any:
        """What `ndgrad.core.primitive.apply` does, where a tensor of this level is among the operands and none of a deeper one."""
        observers = mode.observers
        if observers[-1] is self:
            inner: tuple[Observer, ...] = ()
        elif self in observers:
            inner = observers[observers.index(self) + 1 :]
        else:
            raise RuntimeError(ESCAPED)
        operands: list[Any] = given
        if primitive.policy != KEEP and mixed(payloads):
            operands = self.converted(primitive, given, mode)
            payloads = [x._a if isinstance(x, Tensor) else x for x in operands]
        compute: Callable[[], Any] = partial(self.compute, primitive, operands, params, mode)
        computed = observed_run(inner, primitive, given, params, compute) if inner else compute()
        node = None
        if mode.grad and not mode.inference and primitive.differentiable and any(self.tracks(x) for x in given):
            if any(observer.follows_tensors for observer in observers[: observers.index(self)]):
                operands = [self.constant(x) for x in operands]
                payloads = [x._a if isinstance(x, Tensor) else x for x in operands]
            node = record(primitive, operands, payloads, params, computed)
        result: Any
        if primitive.outputs == 1:
            result = output(primitive, given, params, computed, node, mode, None)
        else:
            result = tuple(output(primitive, given, params, one, node, mode, number) for number, one in enumerate(computed))
        if node is not None and type(mode.saved_hooks) is tuple:
            pack_residuals(node, given, result, mode.saved_hooks)
        if node is not None:
            for observer in observers:
                if not observer.follows_tensors or observer in inner:
                    observer.recorded(node)
        for observer in inner:
            observer.done(primitive, given, payloads, params, result)
        return result

    def constant(self, value: Any) -> Any:
        """A tensor of the levels below as one of this level: what a node saves of it is then known to those who follow it there."""
        if not isinstance(value, Tensor) or self.owned(value) is not None:
            return value
        boxed = self.box(value, False)
        boxed._v = value._v if value._v is INFERENCE else value._cell()
        return boxed

    def tracks(self, value: Any) -> bool:
        """Whether this level records what is computed from a value, besides the levels below."""
        return isinstance(value, Tensor) and value._node is not None and self.owned(value) is not None

    def descend(self, mode: modes.Modes) -> None:
        """Let only those watch who entered before this level. `mode` are the thread's switches, to be put back by the caller."""
        lowered = mode.observed_by(mode.observers.index(self))
        if lowered.special or not lowered.grad:
            modes.exceptional[self.thread] = lowered
        else:
            del modes.exceptional[self.thread]

    def converted(self, primitive: Primitive, given: Any, mode: modes.Modes) -> list[Any]:
        """The operands in their common dtype by the shapes of single examples: those of all examples might give another."""
        wanted = computing_dtype(primitive, given)
        found: list[Any] = []
        self.descend(mode)
        try:
            for value in given:
                if not isinstance(value, Tensor) or value.dtype is wanted:
                    found.append(value)
                    continue
                batch = self.owned(value)
                if batch is not None:
                    found.append(self.box(recorded.to_dtype(batch.value, dtype=wanted), batch.mapped))
                else:
                    found.append(recorded.to_dtype(value, dtype=wanted))
        finally:
            modes.exceptional[self.thread] = mode
        return found

    def compute(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any], mode: modes.Modes) -> Any:
        """The payloads of the results for all examples."""
        values: list[Any] = []
        mapped: list[bool] = []
        for x in operands:
            value, flag = self.unbox(x)
            values.append(value)
            mapped.append(flag)
        some = True in mapped
        self.descend(mode)
        try:
            result = self.by_rule(primitive, values, mapped, params) if some else call(primitive, values, params)
        finally:
            modes.exceptional[self.thread] = mode
        if primitive.outputs == 1:
            return Batch(result, self, some)
        return tuple([Batch(one, self, some) for one in result])

    def by_rule(self, primitive: Primitive, values: list[Any], mapped: list[bool], params: dict[str, Any]) -> Any:
        """Run a primitive with at least one operand that differs between examples; the results have the examples' dim in front."""
        params = {**primitive.defaults, **params}  # lanes count on getting all of them
        if primitive.batch is not None:
            result = primitive.batch(self, mapped, *([values] if primitive.variadic else values), **params)
            if result is not NotImplemented:
                return result
        elif primitive.family in (ELEMENTWISE, NONDIFFERENTIABLE) and primitive.policy != KEEP:
            return aligned(primitive.call, values, mapped, params)
        elif len(values) == 1 and not primitive.variadic:
            if values[0]._a.ndim == 1 and names_dims(params) and SHAPES.isdisjoint(params):  # of a number
                return self.as_vector(primitive, values[0], params)
            return primitive.call(*values, **self.shifted(params))
        elif primitive.family == ELEMENTWISE:
            return aligned(primitive.call, values, mapped, params)
        return self.one_by_one(primitive, values, mapped, params)

    def shifted(self, params: dict[str, Any]) -> dict[str, Any]:
        """Parameters for an operand with one more dim in front."""
        found = dict(params)
        for name, value in params.items():
            if name in DIMS:
                found[name] = shifted_dim(value)
            elif name in SEVERAL_DIMS:
                found[name] = tuple(shifted_dim(dim) for dim in value)
            elif name in SHAPES:
                found[name] = (self.size, *value)
        return found

    def as_vector(self, primitive: Primitive, value: Tensor, params: dict[str, Any]) -> Any:
        """Run an operation along a dim for examples that are numbers."""
        column = recorded.unsqueeze_dim(value, dim=1)
        result = primitive(column, **self.shifted(params))
        shape = (self.size,)
        return (
            tuple(recorded.reshape_to(one, shape=shape) for one in result)
            if primitive.outputs != 1
            else recorded.reshape_to(result, shape=shape)
        )

    def composed(self, function: Callable[..., Any], operands: Sequence[Any], mapped: Sequence[bool]) -> Any:
        """What a function of single examples gives for all of them: the rule of an operation that can be said by others."""
        with self.inside():
            result = function(*self.boxes(operands, mapped))
        return tuple(self.all_of(one) for one in result) if isinstance(result, tuple) else self.all_of(result)

    def all_of(self, tensor: Tensor) -> Tensor:
        """The tensor of the level below with all examples."""
        value, mapped = self.unbox(tensor)
        return value if mapped else self.spread(value)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """From below: as it was when this level had just been entered."""
        outer = modes.current().observers
        modes.set_mode("observers", (*outer, self))
        try:
            yield
        finally:
            modes.set_mode("observers", outer)

    def every(self, values: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
        """All operands with the examples' dim in front."""
        return [value if flag or not isinstance(value, Tensor) else self.spread(value) for value, flag in zip(values, mapped, strict=True)]

    def one_by_one(self, primitive: Primitive, values: list[Any], mapped: list[bool], params: dict[str, Any]) -> Any:
        """Run a primitive for one example after the other."""
        if primitive.name not in warned:
            warned.add(primitive.name)
            warnings.warn(
                f"There is a performance drop because we have not yet implemented the batching rule for {primitive.title}. vmap runs it "
                "for one example after the other.",
                UserWarning,
                stacklevel=2,
            )
        if not self.size:
            raise RuntimeError(f"vmap: {primitive.title} has no batching rule, and without examples there is nothing to run it for")
        rows = [
            call(primitive, [x.select(0, index) if flag else x for x, flag in zip(values, mapped, strict=True)], params)
            for index in range(self.size)
        ]
        if primitive.outputs == 1:
            return recorded.stack_tensors(rows, dim=0)
        return tuple(recorded.stack_tensors(list(column), dim=0) for column in zip(*rows, strict=True))


def at_once(
    function: Callable[..., Sequence[Tensor | None]], tensors: Sequence[Tensor], kind: type[BatchLevel] = BatchLevel
) -> list[Any]:
    """What a function gives for each index of the first dim of all the tensors, computed for all of them together; None stays None."""
    level = kind(tensors[0]._a.shape[0])
    with observing(level):
        found = function(*map(level.box, tensors))
    return [None if x is None else level.all_of(x) for x in found]


#: The primitives that a warning has said to be slow.
warned: set[str] = set()


def call(primitive: Primitive, values: list[Any], params: dict[str, Any]) -> Any:
    return primitive.call(values, **params) if primitive.variadic else primitive.call(*values, **params)


def names_dims(params: dict[str, Any]) -> bool:
    """Whether parameters say along which dims an operation goes."""
    return not DIMS.isdisjoint(params) or any(params.get(name) for name in SEVERAL_DIMS)


def shifted_dim(dim: int) -> int:
    return dim + 1 if dim >= 0 else dim


def lined_up(value: Tensor, rank: int) -> Tensor:
    """A tensor with dims of size 1 behind the examples' dim, so that an example has `rank` dims and broadcasts as it would alone."""
    shape = value._a.shape
    missing = rank + 1 - len(shape)
    return recorded.reshape_to(value, shape=(shape[0], *(1,) * missing, *shape[1:])) if missing else value


def aligned(function: Callable[..., Any], values: list[Any], mapped: list[bool], params: dict[str, Any]) -> Any:
    """The rule of whatever broadcasts."""
    if len(values) == 1:
        return function(*values, **params)
    ranks = [x._a.ndim - flag if isinstance(x, Tensor) else 0 for x, flag in zip(values, mapped, strict=True)]
    rank = max(ranks)
    for position, own in enumerate(ranks):
        if own != rank and mapped[position]:
            values[position] = lined_up(values[position], rank)
    return function(*values, **params)


def mixed(payloads: list[Any]) -> bool:
    """Whether tensors of several dtypes are among the operands."""
    first: Any = None
    for payload in payloads:
        kind = getattr(payload, "dtype", None)
        if kind is not None and kind is not first:
            if first is not None:
                return True
            first = kind
    return False


def widened(tensor: Tensor, payload: Any) -> Tensor:
    """A tensor with memory for whatever differs, at any level, between the examples of a payload that is to be written into it."""
    level = deepest((tensor._a, payload))
    if level is None:
        return tensor
    value, mapped = level.unbox(tensor)
    batch = batch_of(payload)
    own = batch if batch is not None and batch.level is level else None
    with level.below():
        value = widened(value, payload if own is None else own.value._a)
        if own is not None and own.mapped and not mapped:
            value, mapped = level.spread(value).clone(), True
    boxed: Tensor = level.box(value, mapped)
    return boxed


def at_innermost(tensor: Tensor) -> Tensor:
    """A tensor as one of the innermost level, if there is one: what is computed of it is then recorded for single examples."""
    levels = batch_levels()
    return levels[-1].box(tensor, False) if levels and levels[-1].owned(tensor) is None else tensor


def batch_levels() -> list[BatchLevel]:
    """This thread's calls of `vmap`, the innermost last."""
    return [each for each in modes.current().observers if isinstance(each, BatchLevel)] if modes.exceptional else []
