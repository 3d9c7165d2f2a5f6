"""Elementwise functions of two and three operands beyond arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndgrad.base.dtypes import FLOATING, cpp_name
from ndgrad.base.quiet import quiet_run
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.core.inplace import in_place
from ndgrad.core.primitive import operand_error
from ndgrad.core.tensor import Tensor, mark_modified
from ndgrad.kernels.scalars import integer_kernel
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.arithmetic import zero
from ndgrad.ops.declare import FLOAT, Operation, elementwise, function, nondifferentiable
from ndgrad.ops.filling import writes_silently
from ndgrad.ops.refusals import forbidden, no_derivative, unsupported


# ---------------------------------------------------------------- the larger and the smaller
def _tensor_only(primitive: Operation, name: str, aliases: tuple[str, ...] = (), **facts: Any) -> Any:
    """The public function of a primitive that takes tensors alone, no Python numbers."""

    def call(input: Tensor, other: Any) -> Tensor:
        for position, value in enumerate((input, other)):
            if not isinstance(value, Tensor):  # users pass anything
                operand_error(primitive.primitive, position, value)
        return primitive(input, other)

    call.__name__, call.__doc__ = name, primitive.__doc__
    return function(call, name=name, aliases=aliases, out=True, primitive=primitive, **facts)


def _extreme(ufunc: Any, name: str, wins: str) -> Any:
    """`maximum` and `minimum`: a tie is shared, and what is neither above nor below (nan) goes to both."""
    loses = {"ge": "le", "le": "ge"}[wins]

    def partial(not_above: str) -> Any:
        def rule(xp: Any, g: Any, x: Any, y: Any) -> Any:
            alone = xp.logical_not(getattr(xp, not_above)(x, y))
            return xp.masked_keep(g, alone) + xp.masked_keep(g * 0.5, xp.eq(x, y))

        return rule

    primitive = elementwise(
        ufunc,
        name=f"{name}_tensors",
        node_name=f"{name.capitalize()}Backward0",
        public=False,
        check=forbidden("c", f"{name} not implemented for complex tensors."),
        partials=[partial(loses), partial(wins)],
        doc=f"The {'larger' if wins == 'ge' else 'smaller'} of two elements; nan if one is nan.",
    )
    return _tensor_only(primitive, name)


def _numeric_extreme(ufunc: Any, name: str, wins: str) -> Any:
    """`fmax` and `fmin`: a number beats nan, and a tie goes to the first."""

    def first(xp: Any, x: Any, y: Any) -> Any:
        return xp.logical_or(getattr(xp, wins)(x, y), xp.isnan(y))

    primitive = elementwise(
        ufunc,
        name=f"{name}_tensors",
        node_name=f"{name.capitalize()}Backward0",
        public=False,
        check=forbidden("c", f"{name} not implemented for complex tensors."),
        partials=[
            lambda xp, g, x, y: xp.masked_keep(g, first(xp, x, y)),
            lambda xp, g, x, y: xp.masked_keep(g, xp.logical_not(first(xp, x, y))),
        ],
        doc=f"The {'larger' if wins == 'ge' else 'smaller'} of two elements; of a number and nan the number.",
    )
    return _tensor_only(primitive, name)


maximum = _extreme(np.maximum, "maximum", "ge")
minimum = _extreme(np.minimum, "minimum", "le")
fmax = _numeric_extreme(np.fmax, "fmax", "ge")
fmin = _numeric_extreme(np.fmin, "fmin", "le")


# ---------------------------------------------------------------- geometry
def _by_copysign(xp: Any, g: Any, x: Any, out: Any) -> Any:
    return xp.masked_keep(g * (out / x), xp.ne(x, 0))


_no_complex_copysign = unsupported("copysign_cpu", "c")
copysign_tensors = elementwise(
    np.copysign,
    name="copysign_tensors",
    node_name="CopysignBackward0",
    policy=FLOAT,
    public=False,
    check=_no_complex_copysign,
    partials=[_by_copysign, zero],
)
copysign_number = elementwise(
    np.copysign,
    name="copysign_number",
    node_name="CopysignBackward1",
    policy=FLOAT,
    public=False,
    check=_no_complex_copysign,
    partials=[_by_copysign],
)


@function(in_place=True, out=True, primitive=copysign_tensors)
def copysign(input: Tensor, other: Any) -> Tensor:
    """The size of `input` with the sign of `other`."""
    check_tensor(input, "copysign", "input", 1)
    return copysign_tensors(input, other) if isinstance(other, Tensor) else copysign_number(input, other)


hypot_tensors = elementwise(
    np.hypot,
    name="hypot_tensors",
    node_name="HypotBackward0",
    public=False,
    check=unsupported("hypot_cpu", "buic"),
    partials=[lambda xp, g, x, out: g * (x / out), lambda xp, g, y, out: g * (y / out)],
    doc="The hypotenuse sqrt(x * x + y * y), without overflow on the way.",
)
hypot = _tensor_only(hypot_tensors, "hypot", in_place=True)


def _angle_rule(sign: int) -> Any:
    def slope(xp: Any, g: Any, other: Any, x: Any, y: Any) -> Any:
        square = x * x + y * y
        return xp.masked_keep(g * (other / square if sign > 0 else -other / square), xp.ne(square, 0))

    if sign > 0:
        return lambda xp, g, x, y: slope(xp, g, y, x, y)
    return lambda xp, g, x, y: slope(xp, g, x, x, y)


atan2_tensors = elementwise(
    np.arctan2,
    name="atan2_tensors",
    node_name="Atan2Backward0",
    policy=FLOAT,
    public=False,
    check=unsupported("atan2_cpu", "c"),
    partials=[_angle_rule(1), _angle_rule(-1)],
    doc="The angle of the point (other, input) with the first axis, in (-pi, pi].",
)
atan2 = _tensor_only(atan2_tensors, "atan2", ("arctan2",), in_place=True)


# ---------------------------------------------------------------- logarithms of sums
def _logaddexp(x: Any, y: Any) -> Any:
    if x.dtype.kind != "c":
        return np.logaddexp(x, y)
    swap = x.real < y.real
    high, low = np.where(swap, y, x), np.where(swap, x, y)
    return high + np.log1p(np.exp(low - high))


logaddexp_tensors = elementwise(
    _logaddexp,
    name="logaddexp_tensors",
    node_name="LogaddexpBackward0",
    public=False,
    check=unsupported("logaddexp_cpu", "bui"),
    partials=[lambda xp, g, x, y: g / (xp.exp(y - x) + 1), lambda xp, g, x, y: g / (xp.exp(x - y) + 1)],
    doc="log(exp(x) + exp(y)), without overflow on the way.",
)
logaddexp2_tensors = elementwise(
    np.logaddexp2,
    name="logaddexp2_tensors",
    node_name="Logaddexp2Backward0",
    public=False,
    check=unsupported("logaddexp2_cpu", "buic"),
    partials=[lambda xp, g, x, y: g / (xp.exp2(y - x) + 1), lambda xp, g, x, y: g / (xp.exp2(x - y) + 1)],
    doc="log2(2 ** x + 2 ** y), without overflow on the way.",
)
logaddexp = _tensor_only(logaddexp_tensors, "logaddexp")
logaddexp2 = _tensor_only(logaddexp2_tensors, "logaddexp2")


def _xlogy(x: Any, y: Any) -> Any:
    product = np.where(x == 0, 0, x * np.log(y))
    return np.where(np.isnan(y), y, product).astype(np.result_type(x, y))


def _by_xlogy_factor(xp: Any, g: Any, x: Any, y: Any) -> Any:
    dead = xp.logical_and(xp.eq(x, 0), xp.le(y, 0))
    return xp.masked_keep(g * xp.log(y), xp.logical_not(dead))


def _by_xlogy_factor_of_number(xp: Any, g: Any, x: Any, y: Any) -> Any:
    number = y.item() if hasattr(y, "item") else y
    if number > 0:
        return g * math.log(number)
    return xp.where(xp.eq(x, 0), 0, g * (-math.inf if number == 0 else math.nan))


def _by_xlogy_argument(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return g * (x / y)


def _xlogy_node(name: str, node: str, partials: list[Any]) -> Operation:
    check = unsupported("xlogy_cpu", "c")
    return elementwise(_xlogy, name=name, node_name=node, policy=FLOAT, public=False, check=check, partials=partials)


xlogy_tensors = _xlogy_node("xlogy_tensors", "XlogyBackward0", [_by_xlogy_factor, _by_xlogy_argument])
xlogy_of_number = _xlogy_node("xlogy_of_number", "XlogyBackward1", [None, _by_xlogy_argument])
xlogy_number = _xlogy_node("xlogy_number", "XlogyBackward2", [_by_xlogy_factor_of_number])


@function(in_place=True, out=True, primitive=xlogy_tensors)
def xlogy(input: Any, other: Any) -> Tensor:
    """input * log(other), and 0 where input is 0; either may be a number."""
    if not isinstance(input, Tensor):
        return xlogy_of_number(input, other)
    return xlogy_tensors(input, other) if isinstance(other, Tensor) else xlogy_number(input, other)


# ---------------------------------------------------------------- interpolation, products and quotients added
def _lerp(x: Any, y: Any, weight: Any) -> Any:
    # from the nearer end, so that both ends are met exactly
    difference = y - x
    return np.where(np.abs(weight) < 0.5, x + weight * difference, y - difference * (1 - weight)).astype(x.dtype)


def _lerp_number(x: Any, y: Any, weight: Any) -> Any:
    difference = y - x
    return x + difference * weight if np.abs(weight) < 0.5 else y - difference * (1 - weight)


@elementwise(
    name="lerp_number",
    node_name="LerpBackward0",
    policy="keep",
    public=False,
    partials=[lambda xp, g, weight: g * (1 - weight), lambda xp, g, weight: g * weight],
    check=unsupported("lerp_kernel_scalar", "bui"),
)
def lerp_number(x: Any, y: Any, *, weight: Any) -> Any:
    return _lerp_number(x, y, weight)


@elementwise(
    name="lerp_tensors",
    node_name="LerpBackward1",
    saved={"end": "y", "weight": "z"},
    policy="keep",
    public=False,
    partials=[lambda xp, g, z: g * (1 - z), lambda xp, g, z: g * z, lambda xp, g, x, y: g * (y - x)],
    check=unsupported("lerp_kernel_tensor", "bui"),
)
def lerp_tensors(x: Any, y: Any, z: Any) -> Any:
    return _lerp(x, y, z)


@function(in_place=True, out=True, primitive=lerp_tensors)
def lerp(input: Tensor, end: Any, weight: Any) -> Tensor:
    """input + weight * (end - input)."""
    check_tensor(end, "lerp", "end", 2)
    if not isinstance(weight, (int, float, complex, np.number)):
        check_tensor(weight, "lerp", "weight", 3)
    for name, value in (("end", end), ("weight", weight)):
        if isinstance(value, Tensor) and value.dtype is not input.dtype and not (name == "weight" and value._a.ndim == 0):
            kinds = [cpp_name(tensor.dtype) for tensor in (input, value)]
            raise RuntimeError(
                f"expected dtype {kinds[0]} for `{name}` but got dtype {kinds[1]}; lerp does not promote, convert one of them"
            )
    broadcast_shapes(input._a.shape, end._a.shape, *((weight._a.shape,) if isinstance(weight, Tensor) else ()))
    return lerp_tensors(input, end, weight) if isinstance(weight, Tensor) else lerp_number(input, end, weight=weight)


# ---------------------------------------------------------------- products and quotients added
def _scalar(value: Any, kind: np.dtype[Any]) -> Any:
    return np.asarray(value).astype(kind)[()]


@elementwise(
    name="addcmul_tensors",
    node_name="AddcmulBackward0",
    saved={"tensor1": "y", "tensor2": "z"},
    public=False,
    check=unsupported("addcmul_cpu_out", "b"),
    partials=[lambda xp, g: g, lambda xp, g, z, value: g * (z * value), lambda xp, g, y, value: g * (y * value)],
)
def addcmul_tensors(x: Any, y: Any, z: Any, *, value: Any) -> Any:
    """x + value * y * z."""
    product = np.multiply(y, z)
    return x + (product if type(value) is int and value == 1 else product * _scalar(value, x.dtype))


@elementwise(
    name="addcdiv_tensors",
    node_name="AddcdivBackward0",
    saved={"tensor1": "y", "tensor2": "z"},
    public=False,
    partials=[lambda xp, g: g, lambda xp, g, z, value: g * (value / z), lambda xp, g, y, z, value: -g * (y / z / z * value)],
)
def addcdiv_tensors(x: Any, y: Any, z: Any, *, value: Any) -> Any:
    """x + value * y / z."""
    quotient = np.true_divide(y, z)
    return x + (quotient if type(value) is int and value == 1 else quotient * _scalar(value, x.dtype))


def _check_three(name: str, input: Any, tensor1: Any, tensor2: Any, value: Any) -> None:
    for position, (own, given) in enumerate((("input", input), ("tensor1", tensor1), ("tensor2", tensor2))):
        if not isinstance(given, Tensor):
            kind = "numpy.ndarray" if isinstance(given, np.ndarray) else type(given).__name__
            raise TypeError(f"{name}(): argument '{own}' (position {position + 1}) must be Tensor, not {kind}")
    if not isinstance(value, (int, float, complex, np.generic)):
        raise TypeError(f"{name}(): argument 'value' must be Number, not {type(value).__name__}")


def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2."""
    _check_three("addcmul", input, tensor1, tensor2, value)
    return addcmul_tensors(input, tensor1, tensor2, value=value)


def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2."""
    _check_three("addcdiv", input, tensor1, tensor2, value)
    if tensor1.dtype.category < FLOATING and tensor2.dtype.category < FLOATING:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of "
            f"tensor1 and tensor2. They are {tensor1.dtype} and {tensor2.dtype}: convert one of them to a floating type, or add "
            "value * torch.div(tensor1, tensor2, rounding_mode='trunc') for the quotient of integers."
        )
    return addcdiv_tensors(input, tensor1, tensor2, value=value)


def _three_in_place(kernel: Any, body: Any, name: str) -> Any:
    """Straight into the memory where nothing is recorded, which is how optimizers call it."""
    general = in_place(body, name)

    def accumulate(array: Any, y: Any, z: Any, value: Any) -> None:
        step = kernel(y, z)
        if value != 1:
            step = np.multiply(step, value, out=step) if isinstance(step, np.ndarray) else step * value
        np.add(array, step, out=array)

    def twin(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        if writes_silently(self, tensor1, tensor2) and type(value) in (float, int):
            try:
                quiet_run(accumulate, self._a, tensor1._a, tensor2._a, value)
            except (ValueError, RuntimeError, OverflowError):
                return general(self, tensor1, tensor2, value=value)
            mark_modified(self, name)
            return self
        return general(self, tensor1, tensor2, value=value)

    twin.__name__ = twin.__qualname__ = name
    twin.__doc__ = general.__doc__
    return twin


addcmul = function(
    _addcmul, name="addcmul", in_place=_three_in_place(np.multiply, _addcmul, "addcmul_"), out=True, primitive=addcmul_tensors
)
addcdiv = function(
    _addcdiv, name="addcdiv", in_place=_three_in_place(np.true_divide, _addcdiv, "addcdiv_"), out=True, primitive=addcdiv_tensors
)


# ---------------------------------------------------------------- steps, neighbours, powers of two, integers
def _heaviside(x: Any, y: Any) -> Any:
    return np.where(np.equal(x, 0), y, np.greater(x, 0)).astype(x.dtype)


heaviside_tensors = elementwise(
    _heaviside,
    name="heaviside_tensors",
    node_name="torch::autograd::NotImplemented",
    policy="keep",
    public=False,
    partials=[no_derivative("heaviside"), no_derivative("heaviside")],
)


@function(in_place=True, out=True, primitive=heaviside_tensors)
def heaviside(input: Tensor, values: Any) -> Tensor:
    """0 for negative elements, 1 for positive ones, and `values` at 0."""
    check_tensor(input, "heaviside", "input", 1)
    check_tensor(values, "heaviside", "values", 2)
    if input.dtype.is_complex or values.dtype.is_complex:
        raise RuntimeError(f"heaviside is not yet implemented for complex tensors. They are {input.dtype} and {values.dtype}.")
    if input.dtype is not values.dtype:
        raise RuntimeError(
            f"heaviside is not yet implemented for tensors with different dtypes. The input is {input.dtype}, values are {values.dtype}."
        )
    return heaviside_tensors(input, values)


nextafter_tensors = elementwise(
    np.nextafter,
    name="nextafter_tensors",
    node_name="NextafterBackward0",
    public=False,
    check=unsupported("nextafter_cpu", "buic"),
    partials=[lambda xp, g, x, y: xp.masked_keep(g, xp.ne(x, y)), zero],
    doc="The next number of the dtype after input, towards other.",
)
nextafter = _tensor_only(nextafter_tensors, "nextafter", in_place=True)


def _ldexp(x: Any, y: Any) -> Any:
    return x * (np.exp2(y) if y.dtype.kind == "f" else np.exp(y * math.log(2)))


ldexp_tensors = elementwise(
    _ldexp,
    name="ldexp_tensors",
    node_name="LdexpBackward0",
    policy=FLOAT,
    public=False,
    partials=[lambda xp, g, y: g * xp.exp2(y), lambda xp, g, out: g * (out * math.log(2))],
    doc="input * 2 ** other.",
)
ldexp = _tensor_only(ldexp_tensors, "ldexp", in_place=True)

gcd = _tensor_only(
    nondifferentiable(
        integer_kernel(np.gcd), name="gcd_tensors", public=False, check=unsupported("gcd_cpu", "bfc"), doc="The greatest common divisor."
    ),
    "gcd",
    in_place=True,
)
lcm = _tensor_only(
    nondifferentiable(
        integer_kernel(np.lcm), name="lcm_tensors", public=False, check=unsupported("lcm_cpu", "bfc"), doc="The least common multiple."
    ),
    "lcm",
    in_place=True,
)
