"""Python's operators on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.core.families import as_operator, binary_lane
from ndgrad.core.tensor import Tensor
from ndgrad.ops.declare import primitives, table
from ndgrad.ops.products import operand_product


def _lane(name: str) -> Callable[..., Any]:
    """An operator that is exactly one primitive of two operands."""
    return binary_lane(primitives[name], operator=True)


def _number_lane(name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that Python calls for a number on the left: a primitive of its own for those, the general function for the rest."""
    return binary_lane(primitives[name], operator=True, ranks=(-1, -1), otherwise=otherwise)  # no tensor has -1 dims


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that Python calls when the tensor stands on the right."""
    return as_operator(lambda self, other: function(other, self))


def _inverted(bitwise_not: Callable[..., Any]) -> Callable[..., Any]:
    def operator(self: Tensor) -> Any:
        if self._a.dtype.kind in "fc":
            raise TypeError(f"~ (operator.invert) is only implemented on integer and Boolean-type tensors, not on {self.dtype}")
        return bitwise_not(self)

    return operator


def python_operators() -> dict[str, Callable[..., Any]]:
    """All of them by their Python names; called once the table is complete."""
    reciprocal = table["reciprocal"].method
    found: dict[str, Callable[..., Any]] = {
        "__add__": _lane("add_tensors"),
        "__radd__": _lane("add_tensors"),
        "__sub__": _lane("sub_tensors"),
        "__mul__": _lane("mul"),
        "__rmul__": _lane("mul"),
        "__truediv__": _lane("div_true"),
        "__matmul__": binary_lane(primitives["mm"], operator=True, ranks=(2, 2), otherwise=operand_product),
        "__rmatmul__": _swapped(operand_product),
        "__rsub__": _number_lane("rsub_number", table["rsub"].method),
        "__rtruediv__": as_operator(lambda self, other: reciprocal(self) * other),
        "__rpow__": _number_lane("pow_of_number", lambda exponent, base: table["pow"].method(base, exponent)),
        "__rfloordiv__": _swapped(table["floor_divide"].method),
        "__rmod__": _swapped(table["remainder"].method),
        "__neg__": table["neg"].method,
        "__pos__": table["positive"].method,
        "__abs__": table["abs"].method,
        "__invert__": _inverted(table["bitwise_not"].method),
    }
    plain = {
        "__pow__": "pow", "__floordiv__": "floor_divide", "__mod__": "remainder",
        "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge",
        "__and__": "bitwise_and", "__or__": "bitwise_or", "__xor__": "bitwise_xor",
        "__lshift__": "bitwise_left_shift", "__rshift__": "bitwise_right_shift",
    }
    for dunder, name in plain.items():
        found[dunder] = as_operator(table[name].method)
    for dunder, name in (("__rand__", "bitwise_and"), ("__ror__", "bitwise_or"), ("__rxor__", "bitwise_xor")):
        found[dunder] = as_operator(table[name].method)
    for dunder, name in (("__rlshift__", "bitwise_left_shift"), ("__rrshift__", "bitwise_right_shift")):
        found[dunder] = _swapped(table[name].method)
    in_place = {
        "__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div", "__ipow__": "pow",
        "__ifloordiv__": "floor_divide", "__imod__": "remainder", "__iand__": "bitwise_and", "__ior__": "bitwise_or",
        "__ixor__": "bitwise_xor", "__ilshift__": "bitwise_left_shift", "__irshift__": "bitwise_right_shift",
    }
    for dunder, name in in_place.items():
        twin = table[name].in_place
        assert twin is not None, name
        found[dunder] = twin
    return found
