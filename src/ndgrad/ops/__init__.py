"""The table: every operation declared once, by family; and the one place where they become methods of `Tensor`."""

from types import SimpleNamespace
from typing import Any

from ndgrad.core.tensor import Tensor
from ndgrad.ops import arithmetic, complex_numbers, conversion, creation, reductions, shape, unary
from ndgrad.ops.creation import legacy_new
from ndgrad.ops.declare import table
from ndgrad.ops.operators import operators

FAMILIES = (arithmetic, complex_numbers, conversion, creation, reductions, shape, unary)


def bind() -> None:
    """Give `Tensor` its methods and operators."""
    for name, entry in table.items():
        if entry.as_method:
            setattr(Tensor, name, entry.method)
        if entry.in_place is not None:
            setattr(Tensor, name + "_", entry.in_place)
    for name, operator in operators().items():
        setattr(Tensor, name, operator)
    Tensor.__new__ = staticmethod(legacy_new)  # pyright: ignore[reportAttributeAccessIssue]  # the constructor needs the creation functions


def functions() -> dict[str, Any]:
    """What `ndgrad` exposes under PyTorch's function names, the in-place ones of `torch.relu_`'s kind included."""
    found: dict[str, Any] = {name: entry.function for name, entry in table.items() if entry.as_function}
    for name, entry in table.items():
        if entry.as_function and entry.in_place is not None:
            found.setdefault(name + "_", entry.in_place)
    return found


bind()
ops = SimpleNamespace(**functions())
