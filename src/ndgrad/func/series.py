"""Truncated power series of tensors, followed through every operation: what Taylor mode is made of.

A program computes y from x, and x moves with a time t: x = x0 + x1 t + x2 t^2 + ... An expansion knows the coefficients of what moves. It
is an observer, as a level of forward mode is, and asks of an operation nothing but the rule that forward mode has for it:

* where the derivative does not move (linear maps, sums, products with a constant), it maps the coefficients one by one;
* a product is Cauchy's, and a quotient undoes it;
* anything else says by its rule what dy/dt is, in terms of x, dx/dt and y. The rule is run once, on tensors, under the eyes of the same
  expansion. So dy/dt becomes a series itself, and y_n = (dy/dt)_(n-1) / n.

A rule may name its own output (tanh' = 1 - tanh^2) or need itself further down (sin' = cos, cos' = -sin). So the series inside a rule are
lazy: coefficient n asks for those below n only, and of operations that are alike on the same operands the later ones are the first. That
makes the cost of an operation quadratic in the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from ndgrad.autograd.following import Follower, in_dtype_of
from ndgrad.autograd.transposition import push_any
from ndgrad.base import modes
from ndgrad.core.batches import holds
from ndgrad.core.batching import widened
from ndgrad.core.observers import Observer
from ndgrad.core.primitive import LINEAR, NONDIFFERENTIABLE, Primitive, recorded
from ndgrad.core.tangents import arguments, sources_of, total
from ndgrad.core.tensor import Tensor
from ndgrad.core.views import replay_steps
from ndgrad.ops import ops as functions

#: A coefficient; None stands for zero.
Coefficient = Tensor | None
Rule = Callable[[int], Coefficient]


class Series:
    """The coefficients of a power series from the first on, each worked out when it is asked for; the tensor itself is the zeroth."""

    __slots__ = ("coefficients", "rate", "rule")

    def __init__(self, rule: Rule) -> None:
        self.coefficients: list[Coefficient] = [None]
        self.rule: Rule | None = rule
        #: The derivative by the time, made when a rule asks for it.
        self.rate: Tensor | None = None

    def __getitem__(self, n: int) -> Coefficient:
        while len(self.coefficients) <= n and self.rule is not None:
            self.coefficients.append(self.rule(len(self.coefficients)))
        return self.coefficients[n]

    def complete(self, order: int) -> None:
        """Work out all coefficients, and let go of what they are made of."""
        if self.rule is not None:
            self[order]
        self.rule = self.rate = None


def given_series(coefficients: Sequence[Coefficient], order: int) -> Series:
    """The series with these coefficients, of which the first belongs to t; zeros follow."""
    series = Series(lambda n: coefficients[n - 1] if n <= len(coefficients) else None)
    series.complete(order)
    return series


class Expansion(Follower[Series]):
    """Knows the power series of tensors up to an order, and works out those of whatever is computed of them."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order
        #: While an operation is being expanded: what its rule has computed so far, by operation and operands.
        self.inside: dict[Any, tuple[Any, list[Series]]] | None = None
        self.outer: tuple[Observer, ...] = ()
        #: How often the memory of a base has been written to, and for views how often it had been when their series was found.
        self.rewritten: dict[int, tuple[Tensor, int]] = {}
        self.seen: dict[int, int] = {}

    @contextmanager
    def among(self, observers: tuple[Observer, ...]) -> Iterator[None]:
        """While these observers watch."""
        previous = modes.set_mode("observers", observers)
        try:
            yield
        finally:
            modes.set_mode("observers", previous)

    def start(self, tensor: Tensor, coefficients: Sequence[Coefficient]) -> Tensor:
        """A copy of a tensor that moves with these coefficients; what else uses the tensor does not move."""
        with self.below():
            moving: Tensor = tensor.clone()
        self.follow(moving, given_series(coefficients, self.order))
        return moving

    # ---------------------------------------------------------------- operations
    def done(self, primitive: Primitive, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        outs: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
        if primitive.family == NONDIFFERENTIABLE or all(self.find(x) is None for x in operands):
            return
        if not any(out._a.dtype.kind in "fc" for out in outs):
            return
        if self.inside is not None:
            self.expand_lazily(primitive, operands, payloads, params, outs)
        else:
            observers = modes.current().observers
            self.inside, self.outer = {}, observers[: observers.index(self)]
            try:
                with self.among(self.outer):
                    found = self.series_of(primitive, operands, payloads, params, outs)
                    self.follow_all(outs, found)  # rules may ask for the outputs, whose series are not there yet
                    for n in range(1, self.order + 1):
                        for series in found:
                            series[n]
                    for series in found:
                        series.complete(self.order)
            finally:
                self.inside = None
        self.note_residuals(primitive, operands, outs)

    def follow_all(self, outs: tuple[Any, ...], found: list[Series]) -> None:
        for out, series in zip(outs, found, strict=True):
            if out._a.dtype.kind in "fc":
                self.follow(out, series)

    def expand_lazily(self, primitive: Primitive, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], outs: Any) -> None:
        """The series of an operation inside a rule: that of one like it, if there has been one."""
        assert self.inside is not None
        key = (primitive, *map(identity, operands), *((name, identity(value)) for name, value in params.items()))
        known = self.inside.get(key)
        if known is None:
            with self.among(self.outer):
                series = self.series_of(primitive, operands, payloads, params, outs)
            known = self.inside[key] = (operands, params), series  # an identity means an object only as long as that is there
        self.follow_all(outs, known[1])

    def series_of(
        self, primitive: Primitive, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], outs: tuple[Any, ...]
    ) -> list[Series]:
        """A series for each output of an operation, none of whose coefficients is worked out yet."""
        with self.among((*self.outer, self)):
            given = [in_dtype_of(x, payload) for x, payload in zip(operands, payloads, strict=True)]
        moving = [self.find(x) for x in given]
        if is_steady(primitive, moving):
            return steady(primitive, given, moving, params, outs)
        if primitive.product:
            return [product(primitive, given, moving, params)]
        if primitive.undoes is not None:
            return [quotient(primitive, given, moving, outs[0])]
        return self.integrated(primitive, given, moving, params, outs)

    def integrated(
        self, primitive: Primitive, given: Sequence[Any], moving: Sequence[Series | None], params: dict[str, Any], outs: tuple[Any, ...]
    ) -> list[Series]:
        """Out of the series of the rates, which the operation's rule gives."""

        @cache
        def rates() -> Sequence[Coefficient]:
            with self.among((*self.outer, self)):
                tangents = [None if series is None else self.rate_of(x, series) for x, series in zip(given, moving, strict=True)]
                out = outs if primitive.outputs != 1 else outs[0]
                pushed = None
                if primitive.rate is not None:
                    pushed = primitive.rate(recorded, tangents, *arguments(primitive, primitive.rate, 2, given, params, out))
                if pushed is None:
                    pushed = push_any(primitive, given, tangents, params, out)
            return pushed if primitive.outputs != 1 else (pushed,)

        def coefficient(number: int, n: int) -> Coefficient:
            rate = rates()[number]
            if rate is None:
                return None
            series = self.find(rate)
            of_rate = rate if n == 1 else None if series is None else series[n - 1]
            return None if of_rate is None else of_rate / n

        return [Series(partial(coefficient, number)) for number in range(len(outs))]

    def rate_of(self, x: Tensor, series: Series) -> Tensor:
        """dx/dt as a tensor of its own, with its series."""
        if series.rate is None:
            with self.among(self.outer):
                first = series[1]
                series.rate = functions.zeros_like(x) if first is None else first.view_as(first)
            self.follow(series.rate, Series(partial(derivative, series)))
        return series.rate

    # ---------------------------------------------------------------- views and writes
    def find(self, tensor: Any) -> Series | None:
        if self.rewritten and isinstance(tensor, Tensor) and tensor._view is not None:
            self.look_at_base(tensor)
        return super().find(tensor)

    def look_at_base(self, view: Tensor) -> None:
        """Give a view the series of its part of its base, where that has been written to since anybody looked."""
        record: Any = view._view
        count = self.rewritten.get(id(record.base), (None, 0))[1]
        if self.seen.get(id(view), 0) == count:
            return
        self.seen[id(view)] = count
        whole = super().find(record.base)
        if whole is not None:
            parts = [None if c is None else replay_steps(c, record.steps) for c in whole.coefficients[1:]]
            self.follow(view, given_series(parts, self.order))

    def written(self, tensor: Any, name: str, out: Any) -> None:
        view = tensor._view
        base = tensor if view is None else view.base
        new, whole = self.find(out), super().find(base)
        if new is None and whole is None:
            return
        with self.below():
            found = [
                rewritten(tensor, None if whole is None else whole[n], None if new is None else new[n]) for n in range(1, self.order + 1)
            ]
        self.follow(base, given_series(found, self.order))
        self.rewritten[id(base)] = base, self.rewritten.get(id(base), (None, 0))[1] + 1

    def stands_in(self, tensor: Any, stand_in: Any) -> None:
        series = self.find(tensor)
        if series is not None:
            self.follow(stand_in, series)

    def continues(self, tensor: Any, other: Any, change: Callable[[Any], Any]) -> None:
        series = self.find(tensor)
        if series is not None:
            series.complete(self.order)
            changed = [None if c is None else change(c) for c in series.coefficients[1:]]
            self.follow(other, given_series(changed, self.order))

    def has_history(self) -> bool:
        return any(c is not None and c.requires_grad for _, series in self.followed.values() for c in series.coefficients)

    def called(self, function: Any, context: Any, args: Sequence[Any], inner: Any, result: Any) -> None:
        """Refuse a custom function: nobody can tell what it has computed for its derivative, and how that moves."""
        if any(self.find(value) is not None for value in args):
            raise NotImplementedError(
                f"jet: the custom Function {function.__name__} has derivatives of first order only. Write it with operations of ndgrad, or "
                "give it its derivative with func.defjvp or func.defvjp."
            )


def derivative(series: Series, n: int) -> Coefficient:
    """A coefficient of the derivative of a series."""
    following = series[n + 1]
    return None if following is None else following * (n + 1)


def rewritten(tensor: Tensor, before: Coefficient, part: Coefficient) -> Coefficient:
    """The coefficient of the base of a tensor after the tensor has been written to; a new one, for others may have the old one."""
    view = tensor._view
    if view is None and (part is None or (part.shape == tensor.shape and part.dtype == tensor.dtype)):
        return part
    if part is None and before is None:
        return None
    base = tensor if view is None else view.base
    changed = functions.zeros_like(base) if before is None else before.clone()
    if part is not None and not holds(changed._a, part._a):
        changed = widened(changed, part._a)
    target = changed if view is None else replay_steps(changed, view.steps)
    if part is None:
        target.zero_()
    else:
        target.copy_(part)
    return changed


def identity(value: Any) -> Any:
    """What tells operands and parameters apart: numbers and their like by value, all else by identity."""
    return (value.__class__, value) if isinstance(value, (int, float, complex, str, tuple)) else id(value)


# ---------------------------------------------------------------- the rules
def is_steady(primitive: Primitive, moving: Sequence[Series | None]) -> bool:
    """Whether the derivative stays the same while these operands move: no rule of theirs asks for anything that moves."""
    if primitive.family == LINEAR:
        return True
    movers = {position for position, series in enumerate(moving) if series is not None}
    if primitive.product:
        return len(movers) == 1
    if primitive.jvp is not None:
        asked = sources_of(primitive, primitive.jvp, 2)
    elif primitive.joint is not None:
        asked = sources_of(primitive, primitive.joint, 3)
    else:
        asked = tuple(source for at in movers if (rule := primitive.rules[at]) is not None for source in sources_of(primitive, rule, 2))
    return not any(kind in ("out", "output", "operands") or (kind == "operand" and which in movers) for kind, which, _ in asked)


def steady(
    primitive: Primitive, given: Sequence[Any], moving: Sequence[Series | None], params: dict[str, Any], outs: tuple[Any, ...]
) -> list[Series]:
    """Each coefficient pushed as a tangent is."""
    several = primitive.outputs != 1

    @cache
    def pushed(n: int) -> Any:
        coefficients = [None if series is None else series[n] for series in moving]
        if all(c is None for c in coefficients):
            return (None,) * len(outs)
        found = push_any(primitive, given, coefficients, params, outs if several else outs[0])
        return found if several else (found,)

    def coefficient(number: int, n: int) -> Coefficient:
        found: Coefficient = pushed(n)[number]
        return found

    return [Series(partial(coefficient, number)) for number in range(len(outs))]


def product(primitive: Primitive, given: Sequence[Any], moving: Sequence[Series | None], params: dict[str, Any]) -> Series:
    """Cauchy's product, of two factors or more."""

    def splits(at: int, n: int) -> Iterator[list[Any]]:
        """The ways to take from the factors from `at` on coefficients whose orders sum up to n, none of them zero."""
        if at == len(given):
            if n == 0:
                yield []
            return
        series = moving[at]
        for own in range(n + 1) if series is not None else (0,):
            factor = given[at] if own == 0 else series[own] if series is not None else None
            if factor is not None:
                for others in splits(at + 1, n - own):
                    yield [factor, *others]

    def coefficient(n: int) -> Coefficient:
        terms = [primitive(*factors, **params) for factors in splits(0, n)]
        return total(terms) if terms else None

    return Series(coefficient)


def quotient(primitive: Primitive, given: Sequence[Any], moving: Sequence[Series | None], out: Tensor) -> Series:
    """What gives x when it is multiplied by y."""
    numerator, denominator = moving
    multiply = getattr(recorded, primitive.undoes or "")
    assert denominator is not None

    def coefficient(n: int) -> Coefficient:
        rest = None if numerator is None else numerator[n]
        for own in range(n):
            before, factor = out if own == 0 else series[own], denominator[n - own]
            if before is not None and factor is not None:
                term = multiply(before, factor)
                rest = -term if rest is None else rest - term
        return None if rest is None else primitive(rest, given[1])

    series = Series(coefficient)
    return series
