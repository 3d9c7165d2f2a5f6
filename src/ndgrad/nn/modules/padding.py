"""Padding as modules, for the last one, two or three dims: a number, or two for each dim from the last one on."""

from __future__ import annotations

from typing import Any, ClassVar

from ndgrad.core.tensor import Tensor
from ndgrad.nn import functional as F
from ndgrad.nn.modules.module import Module
from ndgrad.nn.modules.utils import _ntuple

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """What all of them have; a subclass says over how many dims it pads, and how."""

    __constants__: ClassVar[list[str]] = ["padding"]
    _dims: ClassVar[int]
    _mode: ClassVar[str]
    padding: tuple[int, ...]

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._dims)(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    __constants__: ClassVar[list[str]] = ["padding", "value"]
    value: float

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` before and after the last dim."""

    _dims = 1


class ConstantPad2d(_ConstantPad):
    """`value` around the last two dims."""

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """`value` around the last three dims."""

    _dims = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Zeros before and after the last dim."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Zeros around the last two dims."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Zeros around the last three dims."""


class _ReflectionPad(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """The last dim continued by its mirror image at both ends."""

    _dims = 1


class ReflectionPad2d(_ReflectionPad):
    """The last two dims continued by their mirror images at both ends."""

    _dims = 2


class ReflectionPad3d(_ReflectionPad):
    """The last three dims continued by their mirror images at both ends."""

    _dims = 3


class _ReplicationPad(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """The elements at the ends of the last dim repeated."""

    _dims = 1


class ReplicationPad2d(_ReplicationPad):
    """The elements at the ends of the last two dims repeated."""

    _dims = 2


class ReplicationPad3d(_ReplicationPad):
    """The elements at the ends of the last three dims repeated."""

    _dims = 3


class _CircularPad(_Pad):
    _mode = "circular"

    def _check_input_dim(self, input: Tensor) -> None:
        rank = self._dims + 1
        if input.dim() not in (rank, rank + 1):
            raise ValueError(f"expected {rank}D or {rank + 1}D input (got {input.dim()}D input)")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """The last dim continued by its other end."""

    _dims = 1


class CircularPad2d(_CircularPad):
    """The last two dims continued by their other ends."""

    _dims = 2


class CircularPad3d(_CircularPad):
    """The last three dims continued by their other ends."""

    _dims = 3
