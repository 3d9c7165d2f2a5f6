"""`defvjp` and `defjvp`: functions with derivatives of one's own.

A rule's first parameter is what it maps, and the names of the others say what it is given beside: parameters of the function, or `out`.

* `rule(g, ...)` of `defvjp` maps the cotangent of the output, a tree like it, to those of the arguments that hold tensors: a tuple with
  one for each, a tree like the argument or None for zero; or just that of the only one.
* `rule(t, ...)` of `defjvp` maps the tangents of the arguments that hold tensors, a tuple or that of the only one, to that of the output.

Either follows from the other by transposition; a function may be given both. Rules written with operations of ndgrad can be differentiated
again. The function itself may do what it likes, and of its other tensors, those that it is not given as arguments, nothing is known.
Inside `vmap`, one that asks for values (for NumPy, say) is run for one example after the other.

A call becomes one operation, made for it: its operands are the tensors among the arguments, and what it is told beside, its `RuledCall`,
has the function, the rules and all that is no tensor. So whatever treats operations treats these: recording, forward and Taylor mode,
`vmap`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from ndgrad.autograd.gradients import grad as gradients
from ndgrad.base import modes
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.trees import TreeSpec, tree_flatten, tree_unflatten
from ndgrad.core.batches import asks_for_values, batch_of, deepest
from ndgrad.core.primitive import GENERAL, Primitive, raw, recorded
from ndgrad.core.tensor import LEAF, Tensor, wrap
from ndgrad.func.arguments import named_after, tensor_outputs

Function = Callable[..., Any]


def defvjp(rule: Function) -> Callable[[Function], Function]:
    """A decorator that gives a function its vjp, `rule(g, names of what it needs)`; its jvp follows.

    Examples
    --------
    >>> @defvjp(lambda g, x, y: (g * y, g * x))
    ... def product(x, y):
    ...     return torch.from_numpy(x.numpy() * y.numpy())
    """
    return lambda function: ruled(function, vjp=rule)


def defjvp(rule: Function) -> Callable[[Function], Function]:
    """A decorator that gives a function its jvp, `rule(t, names of what it needs)`; its vjp follows.

    Examples
    --------
    >>> @defjvp(lambda t, out: t * out)
    ... def exponential(x):
    ...     return torch.from_numpy(numpy.exp(x.numpy()))
    """
    return lambda function: ruled(function, jvp=rule)


def ruled(function: Function, *, vjp: Function | None = None, jvp: Function | None = None) -> Function:
    """The function with rules, besides those that it has."""
    known: Rules | None = getattr(function, "rules", None)
    if known is not None:
        function, vjp, jvp = known.function, vjp or known.vjp, jvp or known.jvp
    rules = Rules(function, vjp, jvp)

    @named_after(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return rules(args, kwargs)

    vars(wrapper)["rules"] = rules
    return wrapper


#: Shapes and dtypes, which keep no array alive.
Likenesses = list[tuple[Any, Any]]


def likenesses(tensors: Sequence[Tensor]) -> Likenesses:
    return [(x.shape, x._a.dtype) for x in tensors]


class Rules:
    """A function and its rules."""

    def __init__(self, function: Function, vjp: Function | None, jvp: Function | None) -> None:
        self.function, self.vjp, self.jvp = function, vjp, jvp
        self.name = getattr(function, "__name__", repr(function))
        self.signature = inspect.signature(function)
        self.asked = {rule: self.names(rule, kind) for rule, kind in ((vjp, "defvjp"), (jvp, "defjvp")) if rule is not None}

    def names(self, rule: Function, kind: str) -> tuple[str, ...]:
        """What a rule asks for, its parameters from the second on."""
        names = tuple(inspect.signature(rule).parameters)
        if not names:
            raise TypeError(f"{kind}: the rule of {self.name} takes nothing, and its first parameter is what it is to map")
        for name in names[1:]:
            if name != "out" and name not in self.signature.parameters:
                raise TypeError(
                    f"{kind}: the rule of {self.name} asks for '{name}', which is no parameter of {self.name}{self.signature}, nor 'out'"
                )
        return names[1:]

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        leaves: list[Any] = []
        for value in bound.arguments.values():
            leaves += tree_flatten(value)[0]
        call = FunctionCall(self, bound)
        return call.output(call(*[leaf for leaf in leaves if isinstance(leaf, Tensor)]))


class RuledCall:
    """One call on tensors: `run`, `pull` and `push` take and give lists of tensors; `pull` and `push` find None where they did not ask."""

    name: str
    #: For the vjp and the jvp which operands they ask for, and whether for the outputs; None where there is no such rule.
    pulls: tuple[tuple[int, ...], bool] | None
    pushes: tuple[tuple[int, ...], bool] | None
    results: list[Tensor]
    #: The shapes and dtypes of the operands and of the outputs.
    given_like: Likenesses
    like: Likenesses

    def run(self, xs: Sequence[Tensor]) -> list[Tensor]:
        """To be overridden: the outputs."""
        raise NotImplementedError

    def pull(self, gs: Sequence[Any], xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        """To be overridden: the cotangents of the operands from those of the outputs."""
        raise NotImplementedError

    def push(self, ts: Sequence[Any], xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        """To be overridden: the tangents of the outputs from those of the operands."""
        raise NotImplementedError

    def __call__(self, *xs: Tensor) -> tuple[Tensor, ...]:
        previous = modes.set_mode("grad", False)
        try:
            inside = [wrap(x._a) for x in xs]
            self.results = [apart(y, inside) for y in self.run(inside)]
        finally:
            modes.set_mode("grad", previous)
        if not xs:
            return tuple(self.results)
        primitive = operation(self.name, len(xs), len(self.results), self.pulls, self.pushes)
        self.given_like, self.like = likenesses(xs), likenesses(self.results)
        found = primitive(*xs, call=self)
        self.results = []
        return found if isinstance(found, tuple) else (found,)


def apart(y: Tensor, xs: Sequence[Tensor]) -> Tensor:
    """An output that shares no memory with an input."""
    array: Any = y._a
    shares = isinstance(array, np.ndarray) and any(isinstance(x._a, np.ndarray) and np.may_share_memory(array, x._a) for x in xs)
    return wrap(array.copy()) if shares else y


class FunctionCall(RuledCall):
    """A call of the user's function."""

    def __init__(self, rules: Rules, bound: inspect.BoundArguments) -> None:
        self.rules, self.name = rules, rules.name
        self.bound = bound
        #: For each parameter its structure, its leaves, and the numbers that its tensors have among all.
        self.parts: dict[str, tuple[TreeSpec, list[Any], list[int]]] = {}
        count = 0
        for name, value in bound.arguments.items():
            leaves, spec = tree_flatten(value)
            own = sum(isinstance(leaf, Tensor) for leaf in leaves)
            kept = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            places = iter(range(count, count + own))
            self.parts[name] = spec, kept, [next(places) if isinstance(leaf, Tensor) else -1 for leaf in leaves]
            count += own
        self.bound.arguments.clear()  # nothing is kept alive but what the rules ask for
        #: The names of the parameters that hold tensors.
        self.moving = [name for name, (_, _, places) in self.parts.items() if any(place >= 0 for place in places)]
        self.out_spec: Any = None
        self.pulls, self.pushes = self.asked(rules.vjp), self.asked(rules.jvp)

    def asked(self, rule: Function | None) -> tuple[tuple[int, ...], bool] | None:
        if rule is None:
            return None
        names = self.rules.asked[rule]
        return tuple(place for name in names if name != "out" for place in self.parts[name][2] if place >= 0), "out" in names

    def argument(self, name: str, xs: Sequence[Any]) -> Any:
        spec, leaves, places = self.parts[name]
        return tree_unflatten([leaf if place < 0 else xs[place] for leaf, place in zip(leaves, places, strict=True)], spec)

    def output(self, leaves: Sequence[Tensor]) -> Any:
        return tree_unflatten(leaves, self.out_spec)

    def run(self, xs: Sequence[Tensor]) -> list[Tensor]:
        try:
            return self.evaluated(xs)
        except RuntimeError as error:
            level = deepest(x._a for x in xs)
            if not asks_for_values(error) or level is None or not level.size:
                raise
        return list(example_by_example(lambda xs: tuple(self.evaluated(xs)), xs))

    def evaluated(self, xs: Sequence[Tensor]) -> list[Tensor]:
        self.bound.arguments.update({name: self.argument(name, xs) for name in self.parts})
        try:
            output = self.rules.function(*self.bound.args, **self.bound.kwargs)
        finally:
            self.bound.arguments.clear()
        leaves, self.out_spec = tensor_outputs(output, self.name)
        return leaves

    def given(self, rule: Function, xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        return [self.output(outs) if name == "out" else self.argument(name, xs) for name in self.rules.asked[rule]]

    def pull(self, gs: Sequence[Any], xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        rule: Any = self.rules.vjp
        found = rule(self.output(gs), *self.given(rule, xs, outs))
        count = len(self.moving)
        if count == 1 and not (isinstance(found, tuple) and len(found) == 1):
            found = (found,)
        if not isinstance(found, tuple) or len(found) != count:
            got = f"a tuple of {len(found)}" if isinstance(found, tuple) else f"a {type(found).__name__}"
            raise RuntimeError(
                f"defvjp: the rule of {self.name} returned {got}, and must return a tuple of {count} cotangents: one for each of "
                f"{', '.join(self.moving)}, None for zero"
            )
        cotangents: list[Any] = []
        for name, g in zip(self.moving, found, strict=True):
            spec, _, places = self.parts[name]
            leaves = [None] * len(places) if g is None else self.flattened(g, spec, f"the cotangent of {name}", "defvjp")
            cotangents += [leaf for leaf, place in zip(leaves, places, strict=True) if place >= 0]
        return cotangents

    def push(self, ts: Sequence[Any], xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        rule: Any = self.rules.jvp
        tangents = []
        for name in self.moving:
            spec, _, places = self.parts[name]
            tangents.append(tree_unflatten([None if place < 0 else ts[place] for place in places], spec))
        found = rule(tangents[0] if len(tangents) == 1 else tuple(tangents), *self.given(rule, xs, outs))
        return self.flattened(found, self.out_spec, "the tangent of the output", "defjvp")

    def flattened(self, found: Any, spec: TreeSpec, what: str, kind: str) -> list[Any]:
        leaves, given = tree_flatten(found)
        if given != spec:
            raise RuntimeError(f"{kind}: the rule of {self.name} returned for {what} a tree {given}, and must return one like {spec}")
        for leaf in leaves:
            if leaf is not None and not isinstance(leaf, Tensor):
                raise RuntimeError(f"{kind}: {what} by the rule of {self.name} is a {type(leaf).__name__}, and must be a Tensor or None")
        return leaves


class BatchedCall(RuledCall):
    """The call for all examples of a `vmap`, on tensors of the level below."""

    def __init__(self, call: RuledCall, level: Any, mapped: Sequence[bool]) -> None:
        self.call, self.level, self.mapped, self.name = call, level, list(mapped), call.name
        self.pulls, self.pushes = call.pulls, call.pushes

    def run(self, xs: Sequence[Tensor]) -> list[Tensor]:
        return list(self.level.composed(lambda *xs: tuple(self.call.run(xs)), xs, self.mapped))

    def pull(self, gs: Sequence[Any], xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        def pull(*values: Any) -> tuple[Tensor, ...]:
            gs, xs, outs = values[:first], values[first:second], values[second:]
            found = self.call.pull(gs, xs, outs)
            found_at[:] = [at for at, c in enumerate(found) if c is not None]
            return tuple(c for c in found if c is not None)

        first, second = len(gs), len(gs) + len(xs)
        found_at: list[int] = []
        flags = [g is not None for g in gs] + [flag and x is not None for flag, x in zip(self.mapped, xs, strict=True)]
        cotangents = self.level.composed(pull, [*gs, *xs, *outs], flags + [y is not None for y in outs])
        by_place = dict(zip(found_at, cotangents, strict=True))
        return [by_place.get(at) for at in range(len(xs))]

    def push(self, ts: Sequence[Any], xs: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        def push(*values: Any) -> tuple[Tensor, ...]:
            ts, xs, outs = values[:count], values[count : 2 * count], values[2 * count :]
            found = self.call.push(ts, xs, outs)
            found_at[:] = [at for at, t in enumerate(found) if t is not None]
            return tuple(t for t in found if t is not None)

        count = len(xs)
        found_at: list[int] = []
        flags = [flag and t is not None for flag, t in zip(self.mapped, ts, strict=True)]
        flags += [flag and x is not None for flag, x in zip(self.mapped, xs, strict=True)]
        tangents = self.level.composed(push, [*ts, *xs, *outs], flags + [y is not None for y in outs])
        by_place = dict(zip(found_at, tangents, strict=True))
        return [by_place.get(at) for at in range(len(outs))]


def example_by_example(function: Callable[[Sequence[Tensor]], tuple[Tensor, ...]], xs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The results of a function that looks at values, inside `vmap` for one example after the other."""
    payloads = [x._a for x in xs]
    if all(batch_of(payload) is None for payload in payloads):
        return function(xs)
    level = deepest(payloads)
    pairs = [level.unbox(x) for x in xs]
    with level.below():
        rows: list[Sequence[Tensor]] = []
        for index in range(level.size):
            rows.append(example_by_example(function, [value.select(0, index) if mapped else value for value, mapped in pairs]))
        columns = [recorded.stack_tensors(list(column), dim=0) for column in zip(*rows, strict=True)]
    return tuple(level.box(column) for column in columns)


# ---------------------------------------------------------------- the operation
Asked = tuple[tuple[int, ...], bool] | None


@cache
def operation(name: str, operands: int, outputs: int, pulls: Asked, pushes: Asked) -> Primitive:
    """The primitive of calls with these numbers of tensors, whose rules ask for these."""
    names = [f"x{at}" for at in range(operands)]
    out_names = ["out"] if outputs == 1 else [f"out{at}" for at in range(outputs)]

    def wanted(asked: Asked) -> list[str]:
        places, outs = asked or ((), False)
        return [*(names[at] for at in sorted(set(places))), *(out_names if outs else []), "call"]

    def sorted_out(asked: Asked, values: Sequence[Any]) -> tuple[list[Any], list[Any], RuledCall]:
        """What a rule was given: by operand, by output, and the call."""
        known = dict(zip(wanted(asked), values, strict=True))
        return [known.get(each) for each in names], [known.get(each) for each in out_names], known["call"]

    def kernel(*xs: Any, call: RuledCall) -> Any:
        payloads = tuple(y._a for y in call.results)
        return payloads if outputs != 1 else payloads[0]

    def joint(xp: Any, g: Any, needs: tuple[bool, ...], *values: Any) -> tuple[Any, ...]:
        xs, outs, call = sorted_out(pulls or pushes, values)
        given = list(g) if outputs != 1 else [g]
        if xp is raw:
            given, xs, outs = ([None if v is None else wrap(v) for v in each] for each in (given, xs, outs))
        gs = [zeros_for(like) if c is None else c for c, like in zip(given, call.like, strict=True)]
        if pulls is None:
            return tuple(as_given(xp, c) for c in transposed(call, gs, needs, xs, outs, xp is not raw))
        found = call.pull(gs, xs, outs)
        check_shapes(found, call)
        return tuple(as_given(xp, c) if need else None for c, need in zip(found, needs, strict=True))

    def jvp(xp: Any, tangents: list[Any], *values: Any) -> Any:
        xs, outs, call = sorted_out(pushes, values)
        if xp is raw:
            tangents, xs, outs = ([None if v is None else wrap(v) for v in each] for each in (tangents, xs, outs))
        ts = [zeros_for(like) if t is None else t for t, like in zip(tangents, call.given_like, strict=True)]
        found = tuple(as_given(xp, t) for t in call.push(ts, xs, outs))
        return found if outputs != 1 else found[0]

    def batch(level: Any, mapped: Sequence[bool], *values: Any, call: RuledCall) -> Any:
        found = BatchedCall(call, level, mapped)(*values)
        return found if outputs != 1 else found[0]

    signed(kernel, names, ["call"])
    signed(joint, ["xp", "g", "needs", *wanted(pulls or pushes)])
    signed(jvp, ["xp", "tangents", *wanted(pushes)])
    rules: dict[str, Any] = {"joint": joint, "jvp": None if pushes is None else jvp, "batch": batch}
    return Primitive(kernel, GENERAL, name=name, outputs=outputs, node_name=f"{name}Backward", **rules)


def as_given(xp: Any, value: Tensor | None) -> Any:
    return value._a if xp is raw and value is not None else value


def signed(function: Any, positional: Sequence[str], named: Sequence[str] = ()) -> None:
    """Tell those who read signatures the names of a function's parameters."""
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in positional]
    function.__signature__ = Signature([*parameters, *(Parameter(name, Parameter.KEYWORD_ONLY) for name in named)])


def zeros_for(like: tuple[Any, Any]) -> Tensor | None:
    """Zeros of a shape and dtype; None for a dtype without derivatives."""
    return wrap(np.zeros(*like)) if like[1].kind in "fc" else None


def check_shapes(cotangents: Sequence[Tensor | None], call: RuledCall) -> None:
    """Refuse a cotangent that has not the shape of its operand, and cannot be summed to it either."""
    for c, (shape, _) in zip(cotangents, call.given_like, strict=True):
        if c is None or c.shape == shape:
            continue
        try:
            fits = broadcast_shapes(tuple(c.shape), tuple(shape)) == tuple(c.shape)
        except RuntimeError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"defvjp: the rule of {call.name} returned a cotangent of shape {list(c.shape)} for a tensor of shape {list(shape)}; it "
                "must have the shape of the tensor, or one that the tensor broadcasts to"
            )


def transposed(call: RuledCall, gs: list[Any], needs: Sequence[bool], xs: list[Any], outs: list[Any], recorded: bool) -> list[Any]:
    """The cotangents out of the jvp, which is linear in the tangents: the vjp of that linear map."""
    previous = modes.set_mode("grad", True)
    try:
        ts = [wrap(np.zeros(shape, dtype), LEAF) if dtype.kind in "fc" else None for shape, dtype in call.given_like]
        pairs = [(t, g) for t, g in zip(call.push(ts, xs, outs), gs, strict=True) if t is not None and g is not None and t.requires_grad]
        wanted = [t for t, need in zip(ts, needs, strict=True) if need and t is not None]
        found: Any = (None,) * len(wanted)
        if pairs and wanted:
            create = recorded and previous
            found = gradients([t for t, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True, create_graph=create)
    finally:
        modes.set_mode("grad", previous)
    remaining = iter(found)
    return [next(remaining) if need and t is not None else None for t, need in zip(ts, needs, strict=True)]
