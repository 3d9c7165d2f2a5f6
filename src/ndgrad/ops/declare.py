"""How an operation is declared: once, with its family; its function, method and in-place twin follow.

    tan = elementwise(np.tan, policy=FLOAT, partials=[lambda xp, g, out: g * (1 + out * out)], domain=(-1.3, 1.3))

declares a primitive whose kernel is a ufunc; with a kernel of its own, the same call decorates a function:

    @linear(transpose=lambda xp, g, x_shape: xp.expand(g, shape=x_shape))
    def sum_all(x): ...

`function` exposes what is not one primitive, or whose arguments need reading first (`dim=None`, `keepdim`, overloads).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from inspect import unwrap
from typing import Any, TypedDict, TypeVar, Unpack, cast, overload

import numpy as np

from ndgrad.core.families import binary_lane, single_lane, unary_lane
from ndgrad.core.inplace import in_place as make_in_place
from ndgrad.core.inplace import ufunc_in_place, write_out
from ndgrad.core.primitive import (
    ELEMENTWISE,
    FLOAT,
    GENERAL,
    KEEP,
    LINEAR,
    MULTILINEAR,
    NONDIFFERENTIABLE,
    PROMOTE,
    Primitive,
    apply,
    raw,
    recorded,
)
from ndgrad.core.protocols import Operation, SeveralOutputs
from ndgrad.core.pulls import Rule
from ndgrad.ops.guarding import guarded, tensor_parameters

__all__ = [
    "FLOAT",
    "GENERAL",
    "KEEP",
    "PROMOTE",
    "Entry",
    "Operation",
    "elementwise",
    "function",
    "general",
    "linear",
    "multilinear",
    "nondifferentiable",
    "recorded",
    "rule_helper",
    "several_outputs",
    "table",
]

Function = Callable[..., Any]
Declarer = Callable[[Function], Operation]
F = TypeVar("F", bound=Function)
Result = TypeVar("Result")


class Entry:
    """One public name: its function, and whether it is a function, a method, or both."""

    __slots__ = ("as_function", "as_method", "domain", "function", "in_place", "method", "name", "out", "primitive")

    def __init__(
        self,
        name: str,
        function: Function,
        *,
        method: Function | None = None,
        primitive: Primitive | None = None,
        as_function: bool = True,
        as_method: bool = True,
        in_place: Function | None = None,
        out: bool = False,
        domain: tuple[float, float] | None = None,
    ) -> None:
        self.name = name
        self.method = method or function  # methods take no `out=`, so they are spared its price; lanes read it themselves
        self.function = with_out(function, name) if out and not hasattr(function, "lane") else function
        self.primitive = primitive
        self.as_function, self.as_method = as_function, as_method
        self.in_place = in_place
        self.out = out
        self.domain = domain


#: Every public operation by name; read once, when `ndgrad.ops` binds them.
table: dict[str, Entry] = {}
#: Every primitive by name, public or not.
primitives: dict[str, Primitive] = {}
#: The names that rules know besides primitives.
helpers: set[str] = set()


def _declare(
    kernel: Function | None,
    family: str,
    *,
    name: str | None = None,
    public: bool | None = None,
    aliases: Sequence[str] = (),
    method: bool = True,
    in_place: bool = True,
    zero_in_place: bool = False,
    out: bool = True,
    domain: tuple[float, float] | None = None,
    doc: str = "",
    numbers: str = "either",
    **facts: Any,
) -> Any:
    """Make the primitive; where its signature is all a user may pass, make the public names as well.

    With `zero_in_place` the in-place twin has a derivative although the operation has none: zero, for all operands.
    """

    def declare(body: Function) -> Any:
        primitive = Primitive(body, family, name=name or body.__name__, **facts)
        own = primitive.name
        if own in primitives:
            raise TypeError(f"the primitive {own} is declared twice")
        primitives[own] = primitive
        lanes = not primitive.params and not primitive.variadic and primitive.outputs == 1 and primitive.policy != KEEP
        exposed = lanes if public is None else public
        call: Any
        if len(primitive.operands) == 1 and lanes:
            call = unary_lane(primitive, takes_out=out)
        elif len(primitive.operands) == 2 and (lanes or (family == MULTILINEAR and not primitive.params)):
            call = binary_lane(primitive, numbers=numbers)
        elif len(primitive.operands) == 1 and primitive.policy == KEEP and not primitive.variadic and primitive.outputs == 1:
            call = single_lane(primitive)
        else:
            call = _general_call(primitive)
        call.__name__ = call.__qualname__ = own
        call.__doc__ = doc or body.__doc__
        call.primitive = primitive
        primitive.call = call
        setattr(raw, own, primitive.kernel)
        setattr(recorded, own, completed(call, primitive.defaults) if primitive.defaults else call)
        if exposed:
            twin = None
            if in_place:
                twin_of: Any = make_in_place
                if isinstance(body, np.ufunc):
                    twin_of = functools.partial(ufunc_in_place, body, takes_numbers=numbers != "none")
                twin = twin_of(call, own + "_", zero=zero_in_place)
            _expose((own, *aliases), call, primitive=primitive, as_method=method, in_place=twin, out=out, domain=domain)
        return call

    return declare if kernel is None else declare(kernel)


def completed(call: Function, defaults: dict[str, Any]) -> Function:
    """An operation as rules call it, who may leave out parameters: its node needs them all."""

    def complete(*operands: Any, **params: Any) -> Any:
        return call(*operands, **{**defaults, **params})

    return complete


def several_outputs(operation: Operation) -> SeveralOutputs:
    """The operation itself, as type checkers should see one with several outputs."""
    return cast(SeveralOutputs, operation)


def _general_call(primitive: Primitive) -> Function:
    def call(*operands: Any, **params: Any) -> Any:
        return apply(primitive, operands, params)

    return call


def _expose(names: Sequence[str], function: Function, *, in_place: Function | None, **facts: Any) -> None:
    for name in names:
        if name in table:
            raise TypeError(f"the operation {name} is declared twice")
        table[name] = Entry(name, function, in_place=in_place, **facts)
    unwrap(function).__qualname__ = names[0]  # Python's own complaints about arguments name the function by it


@overload
def elementwise(kernel: Function, **facts: Any) -> Operation: ...
@overload
def elementwise(kernel: None = None, **facts: Any) -> Declarer: ...
def elementwise(kernel: Any = None, *, partials: Sequence[Rule | None] = (), policy: str = PROMOTE, **facts: Any) -> Any:
    """An operation on each element. `partials`: per operand, the map from `g` to `g` times the local derivative.

    The same map serves backward (conjugated for complex numbers) and forward mode; broadcast dims are summed by the engine.
    """
    return _declare(kernel, ELEMENTWISE, rules=partials, policy=policy, **facts)


@overload
def linear(kernel: Function, *, transpose: Rule, **facts: Any) -> Operation: ...
@overload
def linear(kernel: None = None, *, transpose: Rule, **facts: Any) -> Declarer: ...
def linear(kernel: Any = None, *, transpose: Rule, policy: str = KEEP, **facts: Any) -> Any:
    """A linear map of its one operand, over the reals and the complex numbers alike. `transpose`: its transpose."""
    return _declare(kernel, LINEAR, rules=[transpose], policy=policy, **facts)


@overload
def multilinear(kernel: Function, *, transposes: Sequence[Rule], **facts: Any) -> Operation: ...
@overload
def multilinear(kernel: None = None, *, transposes: Sequence[Rule], **facts: Any) -> Declarer: ...
def multilinear(kernel: Any = None, *, transposes: Sequence[Rule], policy: str = KEEP, **facts: Any) -> Any:
    """Linear in each operand while the others are held. `transposes`: per operand, the transpose (without conjugates)."""
    return _declare(kernel, MULTILINEAR, rules=transposes, policy=policy, **facts)


@overload
def general(kernel: Function, **facts: Any) -> Operation: ...
@overload
def general(kernel: None = None, **facts: Any) -> Declarer: ...
def general(kernel: Any = None, *, vjp: Sequence[Rule | None] = (), policy: str = KEEP, **facts: Any) -> Any:
    """Anything else. `vjp`: per operand, its cotangent (conjugates included); or `joint=`, one function for all of them."""
    return _declare(kernel, GENERAL, rules=vjp, policy=policy, **facts)


@overload
def nondifferentiable(kernel: Function, **facts: Any) -> Operation: ...
@overload
def nondifferentiable(kernel: None = None, **facts: Any) -> Declarer: ...
def nondifferentiable(kernel: Any = None, *, policy: str = PROMOTE, **facts: Any) -> Any:
    """No derivative, or zero everywhere: comparisons, rounding to integers, positions."""
    return _declare(kernel, NONDIFFERENTIABLE, policy=policy, **facts)


class Facts(TypedDict, total=False):
    """What `function` can be told."""

    name: str | None
    aliases: Sequence[str]
    as_function: bool
    method: bool
    in_place: bool | Function
    copies: bool
    out: bool
    primitive: Function | None
    domain: tuple[float, float] | None


@overload
def function(body: F, **facts: Unpack[Facts]) -> F: ...
@overload
def function(body: None = None, **facts: Unpack[Facts]) -> Callable[[F], F]: ...
def function(
    body: Function | None = None,
    *,
    name: str | None = None,
    aliases: Sequence[str] = (),
    as_function: bool = True,
    method: bool = True,
    in_place: bool | Function = False,
    copies: bool = False,
    out: bool = False,
    primitive: Function | None = None,
    domain: tuple[float, float] | None = None,
) -> Any:
    """Expose a Python function as an operation.

    Parameters
    ----------
    in_place : make a twin `name_` as well, or this one.
    copies : the function is made of several recorded operations, so the twin must compute from a copy of its target.
    out : the function form takes `out=`.
    primitive : the declared primitive that the function comes down to, if it is one.
    """

    def declare(body: Function) -> Function:
        own = name or body.__name__
        twin = in_place if callable(in_place) else make_in_place(body, own + "_", copies=copies) if in_place else None
        found = getattr(primitive, "primitive", None)
        if found is not None and found.title == found.name:
            found.title = own
        names = (own, *aliases)
        # a method's first operand is a tensor by nature: only those with more of them need the guard, and pay its price
        needs = tensor_parameters(body)
        checked = guarded(body) if needs and not hasattr(body, "guards") else body
        called = checked if len(needs) > 1 else body
        facts: dict[str, Any] = {"primitive": found, "as_function": as_function, "as_method": method, "out": out, "domain": domain}
        _expose(names, checked, method=called, in_place=twin, **facts)
        return body

    return declare if body is None else declare(body)


def rule_helper(name: str, on_raw: Function, on_recorded: Function) -> None:
    """Give rules a name that is not a primitive: one function for payloads, one for tensors."""
    if name in helpers:
        raise TypeError(f"the helper {name} is declared twice")
    helpers.add(name)
    setattr(raw, name, on_raw)
    setattr(recorded, name, on_recorded)


def check_outs(out: Any, count: int, name: str) -> None:
    """Refuse an `out=` that is not as many tensors as the operation has results."""
    if not isinstance(out, (tuple, list)) or len(out) != count:  # users pass anything
        kind: type[Any] = out.__class__
        raise TypeError(
            f"{name}() received an invalid combination of arguments - argument 'out' must be a tuple of {count} Tensors, "
            f"not {kind.__name__}"
        )


def with_out(function: Callable[..., Result], name: str) -> Callable[..., Result]:
    """Add PyTorch's `out=`: the result is written into a given tensor, which is resized to fit."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        result: Any = function(*args, **kwargs)
        if out is None:
            return result
        if isinstance(result, tuple):
            check_outs(out, len(result), name)
            for target, value in zip(out, result, strict=True):
                write_out(target, value, name)
            return type(result)(*out) if hasattr(result, "_fields") else tuple(out)  # a namedtuple
        return write_out(out, result, name)

    return call
