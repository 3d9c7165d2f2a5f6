"""`torch.autograd.forward_ad`: tensors that carry a tangent, which every operation pushes forward."""

from __future__ import annotations

from typing import Any, NamedTuple

from ndgrad.autograd.duals import SIZE, Level
from ndgrad.base import modes
from ndgrad.core.observers import forget, observe
from ndgrad.core.tensor import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class DualLevel(Level):
    """The one level that a thread may have here; `func.jvp` can be nested."""


def current_level() -> DualLevel | None:
    """The level that this thread is in."""
    for observer in modes.current().observers:
        if isinstance(observer, DualLevel):
            return observer
    return None


def __getattr__(name: str) -> Any:
    if name == "_current_level":  # of this thread; in PyTorch it is a global of the process
        return -1 if current_level() is None else 0
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` gives: the value, and its tangent or None."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Begin forward mode in this thread, and give the number of the level, 0."""
    if current_level() is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    observe(DualLevel())
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End forward mode in this thread: all tangents are forgotten."""
    found = current_level()
    if level is not None and (found is None or level != 0):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. This is not supported.")
    if found is None:
        raise RuntimeError("Dual level must be a positive number.")
    found.clear()
    forget(found)


class dual_level:
    """Forward mode inside a `with` block.

    Examples
    --------
    >>> with dual_level():
    ...     y = make_dual(x, direction) ** 2
    ...     slope = unpack_dual(y).tangent
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *details: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of a tensor that carries a tangent.

    Parameters
    ----------
    tensor, tangent : floating point or complex, of the same shape. The tangent is copied only if it is not laid out as the tensor is.

    Raises
    ------
    RuntimeError
        Outside a level, or if the tensor has a tangent.
    """
    found = current_level()
    if found is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first. "
            "Write: with torch.autograd.forward_ad.dual_level(): ..."
        )
    for value, name in ((tensor, "primal"), (tangent, "tangent")):
        if not isinstance(value, Tensor):
            raise TypeError(f"make_dual(): expected {name} to be a Tensor, but got {type(value).__name__}")
        if value._a.dtype.kind not in "fc":
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {value.dtype}")
    if level not in (None, 0):
        raise RuntimeError(f"Invalid level given to _make_dual: {level}. There is one level, 0.")
    if found.tangent(tensor) is not None:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not supported."
        )
    if tensor._a.shape != tangent._a.shape:
        raise RuntimeError(SIZE.format(list(tensor._a.shape), list(tangent._a.shape)))
    return found.dual(tensor, tangent)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """A tensor without its tangent, and the tangent: None if it has none, or outside a level."""
    found = current_level()
    if found is None:
        return UnpackedDualTensor(tensor, None)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"unpack_dual(): expected a Tensor, but got {type(tensor).__name__}")
    with found.below():
        primal = tensor.view_as(tensor)
    return UnpackedDualTensor(primal, found.tangent(tensor))
