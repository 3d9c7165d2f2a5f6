"""Arithmetic on shapes and dims: pure tuples, PyTorch's rules, PyTorch's errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from ndgrad.base.types import Shape


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that all of `shapes` broadcast to.

    Raises
    ------
    RuntimeError
        Naming the first dimension, from the last, where two sizes differ and neither is 1.
    """
    out: list[int] = list(shapes[0]) if shapes else []
    for shape in shapes[1:]:
        rank = max(len(out), len(shape))
        x = [1] * (rank - len(out)) + out
        y = [1] * (rank - len(shape)) + list(shape)
        for axis in range(rank - 1, -1, -1):
            if x[axis] != y[axis] and x[axis] != 1 and y[axis] != 1:
                raise RuntimeError(
                    f"The size of tensor a ({x[axis]}) must match the size of tensor b ({y[axis]}) at non-singleton dimension {axis}"
                    f"; the shapes given are {list(as_list(shapes))}"
                )
        out = [q if p == 1 else p for p, q in zip(x, y, strict=True)]
    return tuple(out)


def expands(shape: Shape, to: Shape) -> bool:
    """Whether a tensor of shape `shape` broadcasts to `to`."""
    lead = len(to) - len(shape)
    return lead >= 0 and all(size in (1, wide) for size, wide in zip(shape, to[lead:], strict=True))


def check_expandable(shape: Shape, to: Sequence[int]) -> None:
    """Refuse to widen a dim of another size than 1; -1 leaves a dim as it is. Whether `to` has enough dims is for the caller to see."""
    lead = len(to) - len(shape)
    for axis in range(len(to) - 1, max(lead, 0) - 1, -1):
        if shape[axis - lead] not in (1, to[axis]) and to[axis] != -1:
            raise RuntimeError(
                f"The expanded size of the tensor ({to[axis]}) must match the existing size ({shape[axis - lead]}) at non-singleton "
                f"dimension {axis}.  Target sizes: {list(to)}.  Tensor sizes: {list(shape)}"
            )


def as_list(shapes: Iterable[Sequence[int]]) -> Iterable[list[int]]:
    return (list(shape) for shape in shapes)


def wrap_dim(dim: object, rank: int, *, scalar: bool = True) -> int:
    """A dim counted from the front. A 0-d tensor has the dims 0 and -1 where `scalar`."""
    if type(dim) is not int:
        dim = as_int(dim, "dim")
    size = rank if rank > 0 or not scalar else 1
    if -size <= dim < size:
        return dim + size if dim < 0 else dim
    if size == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")


def wrap_dims(dims: Any, rank: int) -> tuple[int, ...]:
    """Dims counted from the front, each at most once; None stands for all of them."""
    if dims is None:
        return tuple(range(rank))
    if type(dims) is int or not isinstance(dims, Iterable):
        return (wrap_dim(dims, rank),)
    wrapped = tuple(wrap_dim(dim, rank) for dim in dims)
    for position, dim in enumerate(wrapped):
        if dim in wrapped[:position]:
            raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return wrapped


def as_int(value: Any, name: str) -> int:
    """An int from anything that is one (`__index__`), never from a float or a bool-like string."""
    index = getattr(value, "__index__", None)
    if index is None:
        raise TypeError(f"argument '{name}' must be int, not {type(value).__name__}")
    return int(index())


def as_shape(sizes: Sequence[Any], name: str = "size") -> Shape:
    """The shape meant by `f(2, 3)`, `f((2, 3))` or `f([2, 3])`, given the tuple of positional arguments."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    return tuple([value if type(value) is int else as_int(value, name) for value in sizes])


def sizes_given(function: str, name: str, positional: Sequence[Any], named: Any) -> Shape:
    """The shape meant by `f(2, 3)`, `f((2, 3))` or `f(name=(2, 3))`, where `named` is None if the keyword was not used."""
    if positional:
        if named is not None:
            raise TypeError(f"{function}() got multiple values for argument '{name}'")
        return as_shape(positional, name)
    if named is None:
        raise TypeError(f'{function}() missing 1 required positional arguments: "{name}"')
    return as_shape((named,), name)


def check_sizes(shape: Shape) -> Shape:
    """Refuse negative sizes."""
    for value in shape:
        if value < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {value}: {list(shape)}")
    return shape


def infer_shape(shape: Shape, count: int) -> Shape:
    """Replace the one -1 in `shape` so that it holds `count` elements."""
    known, unknown = 1, None
    for axis, value in enumerate(shape):
        if value == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = axis
        elif value < 0:
            raise RuntimeError(f"invalid shape dimension {value} at index {axis} of shape {list(shape)}")
        else:
            known *= value
    if unknown is None:
        if known != count:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
        return shape
    if known == 0:
        if count == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 can be any value"
                " and is ambiguous"
            )
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    if count % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return (*shape[:unknown], count // known, *shape[unknown + 1 :])


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """Row-major strides, in elements, as PyTorch gives them (a size of 0 counts as 1)."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)


def is_contiguous(shape: Shape, strides: tuple[int, ...]) -> bool:
    """Whether the strides (in elements) are row-major, sizes of 1 aside."""
    if 0 in shape:
        return True
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def is_dense(shape: Shape, strides: tuple[int, ...], step: int = 1) -> bool:
    """Whether the elements, `step` apart, fill their memory without gaps and without overlap, in some order of the dims."""
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1):
        if stride != step:
            return False
        step *= size
    return True


def view_strides(shape: Shape, strides: tuple[int, ...], new: Shape) -> tuple[int, ...] | None:
    """Strides with which the same memory has the shape `new`, or None where only a copy can have it."""
    if prod(shape) == 0:
        return strides if shape == new else contiguous_strides(new)
    if not shape:
        return (1,) * len(new)
    found = [0] * len(new)
    axis = len(new) - 1
    chunk_base, size, view = strides[-1], 1, 1
    for dim in range(len(shape) - 1, -1, -1):
        size *= shape[dim]
        # dims whose memory follows on from each other form one chunk, which the new dims must divide exactly
        if dim == 0 or (shape[dim - 1] != 1 and strides[dim - 1] != size * chunk_base):
            while axis >= 0 and (view < size or new[axis] == 1):
                found[axis] = view * chunk_base
                view *= new[axis]
                axis -= 1
            if view != size:
                return None
            if dim > 0:
                chunk_base, size, view = strides[dim - 1], 1, 1
    return tuple(found) if axis == -1 else None
