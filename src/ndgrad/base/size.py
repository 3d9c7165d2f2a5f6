"""`Size`: the shape of a tensor, a tuple that prints and counts as PyTorch's does."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, SupportsIndex, overload


class Size(tuple[int, ...]):
    """A tuple of ints, with `numel`. Slices and sums of sizes are sizes."""

    __slots__ = ()

    def __new__(cls, sizes: Iterable[Any] = ()) -> Size:
        values = tuple(sizes)
        for position, value in enumerate(values):
            if type(value) is not int:
                values = tuple(_as_int(v, i) for i, v in enumerate(values[position:], position))
                values = tuple(sizes)[:position] + values if position else values
                break
        return tuple.__new__(cls, values)

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(repr, self))}])"

    __str__ = __repr__

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> Size: ...
    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return tuple.__new__(Size, found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(Size, tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Any:
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(Size, tuple.__add__(other, self))

    def __mul__(self, other: SupportsIndex) -> Size:
        return tuple.__new__(Size, tuple.__mul__(self, other))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[type[Size], tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)


def _as_int(value: Any, position: int) -> int:
    index = getattr(value, "__index__", None)
    if index is None:
        raise TypeError(f"torch.Size() takes an iterable of 'int' (item {position} is '{type(value).__name__}')")
    return int(index())


def as_size(shape: tuple[int, ...]) -> Size:
    """A `Size` from a shape that is known to be a tuple of ints: no checks."""
    return tuple.__new__(Size, shape)
