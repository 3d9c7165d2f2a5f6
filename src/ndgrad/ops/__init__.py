"""The table: every operation declared once, by family; and the one place where they become methods of `Tensor`."""

from inspect import unwrap
from types import SimpleNamespace
from typing import Any, cast

from ndgrad.core.protocols import Operations
from ndgrad.core.tensor import Tensor
from ndgrad.ops import (  # noqa: F401  each fills the table as it is imported
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
    masked_writing,
    memory_views,
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
from ndgrad.ops import aten as aten
from ndgrad.ops.data import legacy_new
from ndgrad.ops.declare import table
from ndgrad.ops.operators import python_operators

#: PyTorch makes a function of an in-place method, `torch.exp_`, where the operation takes one tensor and nothing else that is required.
#: These are functions too, although they take more:
FUNCTIONS_TOO = frozenset({"addmv", "clamp_max", "clamp_min", "gcd", "lcm", "ldexp", "threshold", "xlogy"})
#: And these are methods alone, although they take no more:
METHODS_ALONE = frozenset({"absolute", "bitwise_not", "digamma", "erfinv", "lgamma", "logical_not", "sgn", "sign", "tril", "triu"})


def is_function_too(name: str) -> bool:
    """Whether PyTorch has the in-place form of an operation as a function, beside the method."""
    if name in FUNCTIONS_TOO or name in METHODS_ALONE:
        return name in FUNCTIONS_TOO
    body: Any = unwrap(table[name].method)
    required: int = body.__code__.co_argcount - len(body.__defaults__ or ())
    return required == 1


def bind() -> None:
    """Give `Tensor` its methods and operators."""
    for name, entry in table.items():
        if entry.as_method:
            setattr(Tensor, name, entry.method)
        if entry.in_place is not None and entry.as_method:
            setattr(Tensor, name + "_", entry.in_place)
    # the constructor too needs the creation functions
    for name, operator in {**python_operators(), "__new__": staticmethod(legacy_new)}.items():
        setattr(Tensor, name, operator)


def functions(*, hidden: bool = False) -> dict[str, Any]:
    """What `ndgrad` exposes under PyTorch's function names, the in-place ones of `torch.relu_`'s kind included.

    With `hidden`, also what PyTorch keeps elsewhere, such as `gelu` in `nn.functional`.
    """
    entries = {name: entry for name, entry in table.items() if hidden or entry.as_function}
    found: dict[str, Any] = {name: entry.function for name, entry in entries.items()}
    for name, entry in entries.items():
        if entry.in_place is not None and (hidden or is_function_too(name)):
            found.setdefault(name + "_", entry.in_place)
    return found


bind()
ops = cast(Operations, SimpleNamespace(**functions(hidden=True)))
