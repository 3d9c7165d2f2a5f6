"""The table: every operation declared once, by family; and the one place where they become methods of `Tensor`."""

from types import SimpleNamespace
from typing import Any

from ndgrad.core.tensor import Tensor
from ndgrad.ops import (
    activations,
    adapting,
    arithmetic,
    assigning,
    binary,
    clamping,
    comparison,
    complex_numbers,
    contractions,
    conversion,
    counting,
    creation,
    data,
    distances,
    dropouts,
    einsums,
    extremes,
    filling,
    frequencies,
    gathering,
    indexing,
    inspection,
    inverses,
    joining,
    layers,
    losses,
    moments,
    norms,
    pieces,
    powers,
    products,
    random_fills,
    random_numbers,
    rearranging,
    reductions,
    rounding,
    scans,
    scattering,
    searching,
    shape,
    softmaxes,
    sorting,
    sums_of_products,
    unary,
    windows,
)
from ndgrad.ops.data import legacy_new
from ndgrad.ops.declare import table
from ndgrad.ops.operators import python_operators

FAMILIES = (
    activations,
    adapting,
    arithmetic,
    assigning,
    binary,
    clamping,
    comparison,
    complex_numbers,
    contractions,
    conversion,
    counting,
    creation,
    data,
    distances,
    dropouts,
    einsums,
    extremes,
    filling,
    frequencies,
    gathering,
    indexing,
    inspection,
    inverses,
    joining,
    layers,
    losses,
    moments,
    norms,
    pieces,
    powers,
    products,
    random_fills,
    random_numbers,
    rearranging,
    reductions,
    rounding,
    scans,
    scattering,
    searching,
    shape,
    softmaxes,
    sorting,
    sums_of_products,
    unary,
    windows,
)


def bind() -> None:
    """Give `Tensor` its methods and operators."""
    for name, entry in table.items():
        if entry.as_method:
            setattr(Tensor, name, entry.method)
        if entry.in_place is not None and entry.as_method:
            setattr(Tensor, name + "_", entry.in_place)
    for name, operator in python_operators().items():
        setattr(Tensor, name, operator)
    Tensor.__new__ = staticmethod(legacy_new)  # pyright: ignore[reportAttributeAccessIssue]  # the constructor needs the creation functions


def functions(*, hidden: bool = False) -> dict[str, Any]:
    """What `ndgrad` exposes under PyTorch's function names, the in-place ones of `torch.relu_`'s kind included.

    With `hidden`, also what PyTorch keeps elsewhere, such as `gelu` in `nn.functional`.
    """
    entries = {name: entry for name, entry in table.items() if hidden or entry.as_function}
    found: dict[str, Any] = {name: entry.function for name, entry in entries.items()}
    for name, entry in entries.items():
        if entry.in_place is not None:
            found.setdefault(name + "_", entry.in_place)
    return found


bind()
ops = SimpleNamespace(**functions(hidden=True))
