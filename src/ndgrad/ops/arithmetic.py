"""Elementwise arithmetic: sums, differences, products, quotients and remainders."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.quiet import quiet_run
from ndgrad.core.batches import batch_of
from ndgrad.core.inplace import in_place, ufunc_in_place
from ndgrad.core.primitive import result_dtype
from ndgrad.core.saved import constant, number
from ndgrad.core.tensor import INFERENCE, Tensor, mark_modified, plain, wrap
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.creation import like_payload
from ndgrad.ops.declare import FLOAT, elementwise, function, rule_helper
from ndgrad.ops.refusals import no_derivative, unsupported


def _zeros(g: Tensor) -> Tensor:
    return wrap(np.zeros_like(g._a) if batch_of(g._a) is None else like_payload(g._a, g._a.dtype, value=0))


# the derivative of what is constant between its jumps, whatever `g` holds: nothing leads back from it
rule_helper("zero_map", np.zeros_like, _zeros)


def zero(xp: Any, g: Any) -> Any:
    """The rule of an operand that does not matter, or only where the result jumps."""
    return xp.zero_map(g)


# ---------------------------------------------------------------- sums and differences
def _scale(alpha: Any, kind: np.dtype[Any]) -> Any:
    """`alpha` as a scalar of the dtype, wrapped around where an integer does not fit."""
    return np.asarray(alpha).astype(kind)[()]


def _no_bool_difference(payloads: Any, given: Any) -> None:
    kinds = [isinstance(value, bool) or (isinstance(value, Tensor) and value._a.dtype.kind == "b") for value in given]
    if all(kinds):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
        )
    if any(kinds):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
            "`logical_not()` operator instead."
        )


add_tensors = elementwise(
    np.add,
    name="add_tensors",
    node_name="AddBackward0",
    saved={"alpha": constant(1)},
    public=False,
    on_scalars=operator.add,
    partials=[lambda xp, g: g, lambda xp, g: g],
    doc="x + y.",
)
sub_tensors = elementwise(
    np.subtract,
    name="sub_tensors",
    node_name="SubBackward0",
    saved={"alpha": constant(1)},
    public=False,
    on_scalars=operator.sub,
    check=_no_bool_difference,
    partials=[lambda xp, g: g, lambda xp, g: -g],
    doc="x - y.",
)


@elementwise(
    name="add_scaled",
    node_name="AddBackward0",
    public=False,
    saved={"alpha": "alpha"},
    partials=[lambda xp, g: g, lambda xp, g, alpha: xp.scaled(g, alpha=alpha)],
)
def add_scaled(x: Any, y: Any, *, alpha: Any) -> Any:
    """x + alpha * y."""
    return np.add(x, y * _scale(alpha, y.dtype))


@elementwise(
    name="sub_scaled",
    node_name="SubBackward0",
    saved={"alpha": "alpha"},
    public=False,
    check=_no_bool_difference,
    partials=[lambda xp, g: g, lambda xp, g, alpha: -xp.scaled(g, alpha=alpha)],
)
def sub_scaled(x: Any, y: Any, *, alpha: Any) -> Any:
    """x - alpha * y."""
    return np.subtract(x, y * _scale(alpha, y.dtype))


@elementwise(
    name="scaled",
    policy="keep",
    public=False,
    node_name="MulBackward0",
    saved={"other": "alpha"},
    partials=[lambda xp, g, alpha: xp.scaled(g, alpha=alpha)],
)
def scaled(x: Any, *, alpha: Any) -> Any:
    """The operand times a Python number."""
    return x * alpha


def _rsub(x: Any, y: Any) -> Any:
    return np.subtract(y, x)


def _rsub_node(name: str, *, second: bool) -> Callable[..., Tensor]:
    partials = [lambda xp, g: -g, (lambda xp, g: g) if second else None]
    node = "RsubBackward0" if second else "RsubBackward1"
    saved = {"alpha": constant(1)}
    return elementwise(
        _rsub, name=name, node_name=node, public=False, check=_no_bool_difference, partials=partials, saved=saved, doc="y - x."
    )


rsub_tensors = _rsub_node("rsub_tensors", second=True)
rsub_number = _rsub_node("rsub_number", second=False)


def _check_alpha(name: str, input: Any, other: Any, alpha: Any) -> None:
    """Refuse a factor that the result's dtype cannot hold, and bools where there is nothing to subtract."""
    if not isinstance(alpha, (int, float, complex, np.generic)):
        raise TypeError(f"{name}(): argument 'alpha' must be Number, not {type(alpha).__name__}")
    for value in (input, other):
        if not isinstance(value, (Tensor, int, float, complex, np.generic)):
            return
    wanted = result_dtype((input, other))
    if isinstance(alpha, bool) and wanted.name != "bool":
        raise RuntimeError(f"Boolean alpha only supported for Boolean results. {name}() got alpha={alpha} for {wanted}")
    if isinstance(alpha, float) and wanted.category < 2:
        raise RuntimeError(
            f"For integral input tensors, argument alpha must not be a floating point number. {name}() got alpha={alpha} for {wanted}"
        )
    if isinstance(alpha, complex) and not wanted.is_complex:
        raise RuntimeError(
            f"For non-complex input tensors, argument alpha must not be a complex number. {name}() got alpha={alpha} for {wanted}"
        )


def _scaled_in_place(kernel: Any, lane: Callable[..., Tensor], body: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """`add_` and `sub_`: straight into the memory where nothing is recorded, which is how optimizers call them."""
    simple, general = ufunc_in_place(kernel, lane, name), in_place(body, name)

    def twin(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
        array = self._a
        if type(other) in plain and array.dtype.kind == "f" and other._a.dtype is array.dtype:
            if alpha == 1:
                return simple(self, other)
            mode = modes.current()
            records = mode.grad and (self.requires_grad or other.requires_grad)
            if (
                not records
                and not mode.special
                and type(alpha) in (float, int)
                and type(array) is np.ndarray
                and self._v is not INFERENCE
                and 0 not in array.strides
                and not (modes.exceptional and modes.current().special)
            ):
                try:
                    quiet_run(_accumulate, kernel, array, other._a, alpha)
                except (ValueError, RuntimeError, OverflowError):
                    return general(self, other, alpha=alpha)
                mark_modified(self, name)
                return self
        return general(self, other, alpha=alpha)

    twin.__name__ = twin.__qualname__ = name
    twin.__doc__ = general.__doc__
    return twin


def _accumulate(kernel: Any, array: Any, y: Any, alpha: Any) -> None:
    kernel(array, y * alpha, out=array)


def _add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other."""
    if type(alpha) is int and alpha == 1:
        return add_tensors(input, other)
    _check_alpha("add", input, other, alpha)
    return add_scaled(input, other, alpha=alpha)


def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other."""
    if type(alpha) is int and alpha == 1:
        return sub_tensors(input, other)
    _check_alpha("sub", input, other, alpha)
    return sub_scaled(input, other, alpha=alpha)


add = function(_add, name="add", in_place=_scaled_in_place(np.add, add_tensors, _add, "add_"), out=True, primitive=add_tensors)
sub = function(
    _sub,
    name="sub",
    aliases=("subtract",),
    in_place=_scaled_in_place(np.subtract, sub_tensors, _sub, "sub_"),
    out=True,
    primitive=sub_tensors,
)


@function(method=False, primitive=rsub_tensors)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    check_tensor(input, "rsub", "input", 1)
    if alpha != 1:
        _check_alpha("rsub", input, other, alpha)
        input = scaled(input, alpha=alpha)
    return rsub_tensors(input, other) if isinstance(other, Tensor) else rsub_number(input, other)


# ---------------------------------------------------------------- products and quotients
mul = elementwise(
    np.multiply,
    name="mul",
    aliases=("multiply",),
    on_scalars=operator.mul,
    product=True,
    partials=[lambda xp, g, y: g * y, lambda xp, g, x: g * x],
    doc="x * y, elementwise.",
)
div_true = elementwise(
    np.true_divide,
    name="div_true",
    on_scalars=operator.truediv,
    node_name="DivBackward0",
    public=False,
    policy=FLOAT,
    undoes="mul",
    partials=[lambda xp, g, y: g / y, lambda xp, g, x, y: -g * (x / y / y)],
    doc="x / y, elementwise.",
)


def _check_integer_divisor(y: Any) -> None:
    if y.dtype.kind in "iu" and not np.all(y):
        raise RuntimeError("ZeroDivisionError: an integer was divided by 0; floating tensors give inf or nan instead")


def _floor_quotient(x: Any, y: Any) -> Any:
    _check_integer_divisor(np.asarray(y))
    return np.floor_divide(x, y)


def _trunc_quotient(x: Any, y: Any) -> Any:
    if x.dtype.kind not in "iu":
        return np.trunc(np.true_divide(x, y))
    _check_integer_divisor(y)
    quotient = np.floor_divide(x, y)
    # rounded towards minus infinity, which is one too low where a negative quotient is not exact
    return quotient + ((quotient < 0) & (quotient * y != x)) if x.dtype.kind == "i" else quotient


floor_quotient = elementwise(
    _floor_quotient,
    name="floor_quotient",
    node_name="torch::autograd::NotImplemented",
    public=False,
    check=unsupported("div_floor_cpu", "bc"),
    partials=[no_derivative("floor_divide"), no_derivative("floor_divide")],
    doc="The quotient rounded down.",
)
div_number = elementwise(
    np.true_divide,
    name="div_number",
    node_name="DivBackward1",
    saved={"other": number("y")},
    public=False,
    policy=FLOAT,
    undoes="mul",
    partials=[lambda xp, g, y: g / y],
    doc="x / y of a number y, where it is a step of a composite: PyTorch's `/` between a tensor and a number is `div_true`.",
)
div_floor = elementwise(
    _floor_quotient,
    name="div_floor",
    node_name="DivBackward2",
    public=False,
    check=unsupported("div_floor_cpu", "bc"),
    partials=[zero, zero],
    saved={"rounding_mode": constant("floor")},
    doc="The quotient rounded down.",
)
div_trunc = elementwise(
    _trunc_quotient,
    name="div_trunc",
    node_name="DivBackward2",
    public=False,
    check=unsupported("div_trunc_cpu", "bc"),
    partials=[zero, zero],
    saved={"rounding_mode": constant("trunc")},
    doc="The quotient rounded towards 0.",
)


def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, floating even for integers; with `rounding_mode` "floor" or "trunc" rounded, in the operands' dtype."""
    if rounding_mode is None:
        return div_true(input, other)
    if rounding_mode == "floor":
        return div_floor(input, other)
    if rounding_mode == "trunc":
        return div_trunc(input, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


_div_simple, _div_general = ufunc_in_place(np.true_divide, div_true, "div_"), in_place(_div, "div_")


def _div_in_place(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """In-place version of `div`."""
    return _div_simple(self, other) if rounding_mode is None else _div_general(self, other, rounding_mode=rounding_mode)


div = function(_div, name="div", aliases=("divide",), in_place=_div_in_place, out=True, primitive=div_true)


@function(aliases=(), in_place=ufunc_in_place(np.true_divide, div_true, "true_divide_"), out=True, primitive=div_true)
def true_divide(input: Any, other: Any) -> Tensor:
    """input / other, floating even for integers."""
    return div_true(input, other)


@function(in_place=True, out=True, primitive=floor_quotient)
def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down, in the operands' dtype."""
    return floor_quotient(input, other)


# ---------------------------------------------------------------- remainders
def _remainder(x: Any, y: Any) -> Any:
    _check_integer_divisor(np.asarray(y))
    if x.dtype.kind != "f":
        return np.remainder(x, y)
    rest = np.fmod(x, y)  # a remainder of 0 has the sign of the dividend, which NumPy's own has not
    moved = np.not_equal(rest, 0) & (np.less(rest, 0) != np.less(y, 0))
    return np.where(moved, rest + y, rest)[()] if moved.any() else rest


def _fmod(x: Any, y: Any) -> Any:
    _check_integer_divisor(np.asarray(y))
    return np.fmod(x, y)


def _remainder_primitives(kernel: Any, name: str, quotient: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The remainder by a tensor and the one by a number, which have nodes of their own."""
    title = name.capitalize()

    def by_divisor(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return -g * getattr(xp, quotient)(x, y)

    check = unsupported(f"{name}_cpu", "bc")
    return (
        elementwise(
            kernel, name=f"{name}_tensors", node_name=f"{title}Backward1", public=False, check=check, partials=[lambda xp, g: g, by_divisor]
        ),
        elementwise(kernel, name=f"{name}_number", node_name=f"{title}Backward0", public=False, check=check, partials=[lambda xp, g: g]),
    )


remainder_tensors, remainder_number = _remainder_primitives(_remainder, "remainder", "div_floor")
fmod_tensors, fmod_number = _remainder_primitives(_fmod, "fmod", "div_trunc")


@function(in_place=True, out=True, primitive=remainder_tensors)
def remainder(input: Any, other: Any) -> Tensor:
    """What Python's `%` leaves: the remainder has the sign of the divisor."""
    return (
        remainder_number(input, other) if isinstance(input, Tensor) and not isinstance(other, Tensor) else remainder_tensors(input, other)
    )


@function(in_place=True, out=True, primitive=fmod_tensors)
def fmod(input: Tensor, other: Any) -> Tensor:
    """What C's `fmod` leaves: the remainder has the sign of the dividend."""
    check_tensor(input, "fmod", "input", 1)
    return fmod_tensors(input, other) if isinstance(other, Tensor) else fmod_number(input, other)
