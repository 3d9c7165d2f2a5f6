"""Several tensors made one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import get_default_dtype, numpy_dtype
from ndgrad.base.shapes import wrap_dim
from ndgrad.base.types import Shape
from ndgrad.core.batching import BatchLevel
from ndgrad.core.primitive import PROMOTE, recorded
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops.declare import function, general
from ndgrad.ops.shape import atleast_1d, atleast_2d, atleast_3d


# ---------------------------------------------------------------- cat
def _cat_back(xp: Any, g: Any, needs: Any, tensors_shape: Any, dim: int) -> tuple[Any, ...]:
    parts: list[Any] = []
    start = 0
    for need, shape in zip(needs, tensors_shape, strict=True):
        if len(shape) != g.ndim:  # an empty vector, which cat passes over
            parts.append(
                xp.reshape_to(xp.slice_range(xp.reshape_to(g, shape=(-1,)), dim=0, start=0, stop=0, step=1), shape=(0,)) if need else None
            )
            continue
        stop = start + shape[dim]
        parts.append(xp.slice_range(g, dim=dim, start=start, stop=stop, step=1) if need else None)
        start = stop
    return tuple(parts)


@general(
    joint=_cat_back,
    variadic=True,
    policy=PROMOTE,
    node_name="CatBackward0",
    public=False,
    batch=lambda level, mapped, tensors, dim: recorded.cat_tensors(level.every(tensors, mapped), dim=dim + 1),
)
def cat_tensors(tensors: Any, *, dim: int) -> Any:
    """The tensors one after another along a dim; empty vectors are passed over."""
    rank = max([part.ndim for part in tensors])
    parts = [part for part in tensors if part.ndim == rank] if rank != 1 else tensors
    shape = list(parts[0].shape)
    shape[dim] = sum([part.shape[dim] for part in parts])
    return np.concatenate(parts, axis=dim, out=np.empty(shape, parts[0].dtype))


def _sequence(tensors: Any, name: str) -> tuple[Tensor, ...]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}")
    given = tuple(tensors)
    for position, tensor in enumerate(given):
        if not isinstance(tensor, Tensor):
            message = f"expected Tensor as element {position} in argument 0, but got {type(tensor).__name__} (in {name})"
            if isinstance(tensor, np.ndarray):
                message += "; write ndgrad.from_numpy(array) to use the array's memory as a tensor"
            raise TypeError(message)
    return given


@function(aliases=("concat", "concatenate"), method=False, out=True)
def cat(tensors: Any, dim: int = 0, *, axis: int | None = None) -> Tensor:
    """The tensors one after another along a dim."""
    given = _sequence(tensors, "cat")
    return _cat(given, dim if axis is None else axis)


def _cat(given: tuple[Tensor, ...], dim: int) -> Tensor:
    if not given:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    shapes = [tensor._a.shape for tensor in given]
    if shapes[0] and shapes[0] != (0,) and shapes.count(shapes[0]) == len(shapes):
        return cat_tensors(given, dim=wrap_dim(dim, len(shapes[0])))
    for position, shape in enumerate(shapes):
        if not shape:
            raise RuntimeError(f"zero-dimensional tensor (at position {position}) cannot be concatenated")
    counted = [(position, shape) for position, shape in enumerate(shapes) if shape != (0,)]
    if not counted:
        return cat_tensors(given, dim=wrap_dim(dim, 1))
    _, first = counted[0]
    axis = wrap_dim(dim, len(first))
    for position, shape in counted:
        if len(shape) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
        for other, (have, want) in enumerate(zip(shape, first, strict=True)):
            if other != axis and have != want:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {want} but got size {have} for tensor number "
                    f"{position} in the list."
                )
    return cat_tensors(given, dim=axis)


# ---------------------------------------------------------------- stack
def _stack_back(xp: Any, g: Any, needs: Any, dim: int) -> tuple[Any, ...]:
    return tuple(xp.select_index(g, dim=dim, index=position) if need else None for position, need in enumerate(needs))


@general(
    joint=_stack_back,
    variadic=True,
    policy=PROMOTE,
    node_name="StackBackward0",
    public=False,
    batch=lambda level, mapped, tensors, dim: recorded.stack_tensors(level.every(tensors, mapped), dim=dim + 1),
)
def stack_tensors(tensors: Any, *, dim: int) -> Any:
    """Tensors of one shape along a new dim."""
    shape = np.shape(tensors[0])
    out = np.empty((*shape[:dim], len(tensors), *shape[dim:]), tensors[0].dtype)
    lead: tuple[Any, ...] = (slice(None),) * dim
    for position, part in enumerate(tensors):
        out[(*lead, position)] = part
    return out


@function(method=False, out=True)
def stack(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dim."""
    given = _sequence(tensors, "stack")
    if not given:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = given[0]._a.shape
    axis = wrap_dim(dim, len(shape) + 1)
    for position, tensor in enumerate(given):
        if tensor._a.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and {list(tensor._a.shape)} at "
                f"entry {position}"
            )
    return stack_tensors(given, dim=axis)


# ---------------------------------------------------------------- along a named direction
def _directed(name: str, at_least: Any, dim: int, what: str, aliases: tuple[str, ...] = ()) -> Any:
    def directed(tensors: Any) -> Tensor:
        given = _sequence(tensors, name)
        if not given:
            raise RuntimeError(f"{name} expects a non-empty TensorList")
        raised = at_least(given)
        return _cat(raised, 0 if name == "hstack" and raised[0]._a.ndim == 1 else dim)

    directed.__name__ = name
    directed.__doc__ = f"The tensors joined {what}."
    return function(directed, method=False, out=True, aliases=aliases)


hstack = _directed("hstack", atleast_1d, 1, "side by side: along dim 1, vectors along dim 0")
vstack = _directed("vstack", atleast_2d, 0, "on top of each other: along dim 0, after vectors became rows", ("row_stack",))
dstack = _directed("dstack", atleast_3d, 2, "behind each other: along dim 2")


@function(method=False, out=True)
def column_stack(tensors: Any) -> Tensor:
    """Vectors as columns, and matrices, side by side."""
    given = _sequence(tensors, "column_stack")
    if not given:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    columns = tuple(tensor.reshape(tensor._a.size, 1) if tensor._a.ndim <= 1 else tensor for tensor in given)
    return _cat(columns, 1)


# ---------------------------------------------------------------- matrices along the diagonal
def _block_back(xp: Any, g: Any, needs: Any, tensors_shape: Any) -> tuple[Any, ...]:
    parts: list[Any] = []
    row = column = 0
    for need, shape in zip(needs, tensors_shape, strict=True):
        rows, columns = _matrix_shape(shape)
        part = None
        if need:
            part = xp.slice_range(g, dim=0, start=row, stop=row + rows, step=1)
            part = xp.reshape_to(xp.slice_range(part, dim=1, start=column, stop=column + columns, step=1), shape=shape)
        parts.append(part)
        row, column = row + rows, column + columns
    return tuple(parts)


def _matrix_shape(shape: Shape) -> tuple[int, int]:
    return (1, 1) if not shape else (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _blocks(level: BatchLevel, mapped: list[bool], tensors: Any) -> Any:
    kind = tensors[0]._a.dtype
    shapes = [_matrix_shape(part._a.shape[flag:]) for part, flag in zip(tensors, mapped, strict=True)]
    width = sum(columns for _, columns in shapes)
    rows: list[Any] = []
    left = 0
    for part, (height, columns) in zip(level.every(tensors, mapped), shapes, strict=True):
        beside = [wrap(np.zeros((level.size, height, empty), kind)) for empty in (left, width - left - columns)]
        block = recorded.reshape_to(part, shape=(level.size, height, columns))
        rows.append(recorded.cat_tensors([beside[0], block, beside[1]], dim=2))
        left += columns
    return recorded.cat_tensors(rows, dim=1)


@general(joint=_block_back, variadic=True, policy=PROMOTE, node_name="BlockDiagBackward0", public=False, batch=_blocks)
def block_diagonal(tensors: Any) -> Any:
    """Zeros with the matrices along the diagonal."""
    shapes = [_matrix_shape(np.shape(part)) for part in tensors]
    out = np.zeros((sum(rows for rows, _ in shapes), sum(columns for _, columns in shapes)), tensors[0].dtype)
    row = column = 0
    for part, (rows, columns) in zip(tensors, shapes, strict=True):
        out[row : row + rows, column : column + columns] = part
        row, column = row + rows, column + columns
    return out


@function(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """Zeros with the matrices along the diagonal; vectors count as rows."""
    given = _sequence(tensors, "block_diag")
    if not given:
        return wrap(np.zeros((1, 0), numpy_dtype(get_default_dtype())))
    for position, tensor in enumerate(given):
        if tensor._a.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {position} has {tensor._a.ndim} dimensions"
            )
    return block_diagonal(given)
