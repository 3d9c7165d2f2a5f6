"""Powers and roots."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import complex128, float64, type_name
from ndgrad.core.inplace import in_place
from ndgrad.core.primitive import result_dtype
from ndgrad.core.saved import number
from ndgrad.core.tangents import total
from ndgrad.core.tensor import Tensor
from ndgrad.kernels.powers import power, power_of_arrays, power_of_number
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import FLOAT, elementwise, function
from ndgrad.ops.refusals import holds_complex, unsupported


def _number(y: Any) -> Any:
    return y if type(y) in (int, float, complex) else y.item()


def _by_base(xp: Any, g: Any, x: Any, y: Any) -> Any:
    """`y * x ** (y - 1)`, and 0 for the exponent 0 whatever the base."""
    exponent = _number(y)
    if exponent == 0:
        return xp.zero_map(g)
    if exponent == 2:
        return g * (x * 2)
    return g * (xp.pow_number(x, exponent - 1) * exponent)


def _by_base_tensor(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return xp.masked_keep(g * (y * xp.pow_tensors(x, y - 1)), xp.ne(y, 0))


def _by_exponent(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    """`out * log(x)`, and 0 where the base is 0 and the exponent is not negative."""
    sizes = xp.real(y) if holds_complex(y) else y
    dead = xp.logical_and(xp.eq(x, 0), xp.ge(sizes, 0))
    return xp.masked_keep(g * (out * xp.log(x)), xp.logical_not(dead))


def _by_exponent_of_number(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    """The same where the base is the number `y`."""
    base = _number(y)
    if base == 0:
        sizes = xp.real(x) if holds_complex(x) else x
        return xp.masked_keep(g * (out * -math.inf), xp.logical_not(xp.ge(sizes, 0)))
    if isinstance(base, complex):
        return g * (out * cmath.log(base))
    return g * (out * (math.log(base) if base > 0 else math.nan))


def _has_zero(x: Any) -> bool:
    return not isinstance(x._a, (np.ndarray, np.generic)) or not np.all(x._a)


# the rules above lead from power to lower power, without end; by its own quotient with the base a power leads to itself
def _rate_of_power(xp: Any, tangents: Any, x: Any, y: Any, out: Any) -> Any:
    exponent = _number(y)
    return None if exponent in (0, 1, 2, 3) or _has_zero(x) else tangents[0] * (out / x * exponent)


def _rate_of_power_of_tensors(xp: Any, tangents: Any, x: Any, y: Any, out: Any) -> Any:
    if _has_zero(x):
        return None
    by_base, by_exponent = tangents
    terms = [] if by_base is None else [by_base * (out * y / x)]
    return total([*terms, by_exponent * (out * xp.log(x))] if by_exponent is not None else terms)


_check = unsupported("pow", "b")


def _check_number(payloads: Any, given: Any) -> None:
    x = payloads[0]
    if isinstance(given[1], bool):
        return  # the exponents 0 and 1 are defined for bools as well
    _check(payloads, given)
    if x.dtype.kind in "iu" and isinstance(given[1], int) and given[1] < 0:
        raise RuntimeError(
            f"Integers to negative integer powers are not allowed. The exponent is {given[1]}; convert the base to float first"
        )


pow_number = elementwise(
    power,
    name="pow_number",
    node_name="PowBackward0",
    saved={"exponent": number("y"), "other": None},
    public=False,
    check=_check_number,
    partials=[_by_base],
    rate=_rate_of_power,
)
pow_tensors = elementwise(
    power_of_arrays,
    name="pow_tensors",
    node_name="PowBackward1",
    saved={"exponent": "y"},
    public=False,
    check=_check,
    partials=[_by_base_tensor, _by_exponent],
    rate=_rate_of_power_of_tensors,
)
pow_of_number = elementwise(
    power_of_number,
    name="pow_of_number",
    node_name="PowBackward2",
    saved={"self": number("y"), "exponent": "x", "other": None},
    public=False,
    check=_check,
    partials=[_by_exponent_of_number],
)


@function(in_place=True, out=True, primitive=pow_tensors)
def pow(input: Any, exponent: Any) -> Tensor:
    """input to the power of exponent; either may be a number."""
    if not isinstance(exponent, Tensor):
        return pow_number(input, exponent)
    return pow_tensors(input, exponent) if isinstance(input, Tensor) else pow_of_number(exponent, input)


def _power_dtype(*values: Any) -> Any:
    return complex128 if result_dtype(values).is_complex else float64


def _float_power(input: Any, exponent: Any) -> Tensor:
    """The power in double precision, real or complex."""
    wanted = _power_dtype(input, exponent)
    values = [cast(value, wanted) if isinstance(value, Tensor) else value for value in (input, exponent)]
    return pow(*values)


_float_power_in_place = in_place(_float_power, "float_power_")


def _checked_float_power_in_place(self: Tensor, exponent: Any) -> Tensor:
    """In-place version of `float_power`: the tensor must be in double precision already."""
    wanted = _power_dtype(self, exponent)
    if self.dtype is not wanted:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {type_name(self.dtype)} but the operation's result requires dtype "
            f"{type_name(wanted)}; convert the base first"
        )
    return _float_power_in_place(self, exponent)


float_power = function(_float_power, name="float_power", in_place=_checked_float_power_in_place, out=True)


@function(in_place=True, out=True, primitive=pow_number)
def square(input: Tensor) -> Tensor:
    """The square of every element."""
    return pow_number(input, 2)


sqrt = elementwise(np.sqrt, policy=FLOAT, partials=[lambda xp, g, out: g / (out * 2)], domain=(0.2, 3), doc="The square root.")
reciprocal = elementwise(
    np.reciprocal, policy=FLOAT, partials=[lambda xp, g, out: -g * (out * out)], domain=(0.3, 3), doc="1 / x of every element."
)


@elementwise(policy=FLOAT, partials=[lambda xp, g, out: g * (out * out * out) * -0.5], domain=(0.3, 3))
def rsqrt(x: Any) -> Any:
    """1 / sqrt(x) of every element."""
    return np.reciprocal(np.sqrt(x))
