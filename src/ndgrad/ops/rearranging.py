"""Copies with the elements in another order, repeated, or partly cleared; grids; and changing a tensor's own shape."""

from __future__ import annotations

import itertools
import warnings
from typing import Any, NoReturn

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import as_dtype, int64, numpy_dtype, type_name
from ndgrad.base.modes import exceptional
from ndgrad.base.shapes import as_int, check_sizes, sizes_given, wrap_dim, wrap_dims
from ndgrad.base.storage import address, owner_of
from ndgrad.base.types import Shape
from ndgrad.core.batches import batch_of, values
from ndgrad.core.batching import BatchLevel
from ndgrad.core.inplace import check_recorded, check_target
from ndgrad.core.node import Node
from ndgrad.core.observers import Observer, announce
from ndgrad.core.tensor import LEAF, Tensor, mark_modified, wrap
from ndgrad.kernels.striding import dense_empty, strided
from ndgrad.ops import batch_rules, pieces
from ndgrad.ops import shape as shapes
from ndgrad.ops.arguments import wrong
from ndgrad.ops.conversion import clone_strided
from ndgrad.ops.creation import finish
from ndgrad.ops.declare import function, general, linear, recorded
from ndgrad.ops.gathering import index_select, masked_select
from ndgrad.ops.joining import stack
from ndgrad.ops.memory_views import as_strided
from ndgrad.ops.shape import expand_to, unsqueeze_dim, view_as_shape


# ---------------------------------------------------------------- other orders
@linear(transpose=lambda xp, g, dims: xp.flip_dims(g, dims=dims), node_name="FlipBackward0", saved={"dims": "dims"})
def flip_dims(x: Any, *, dims: tuple[int, ...]) -> Any:
    """Some dims backwards."""
    if not x.ndim:
        return np.array(x)
    out = dense_empty(x)
    out[...] = np.flip(x, dims)
    return out


@function
def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """Some dims backwards, as a copy."""
    return flip_dims(input, dims=wrap_dims(sizes_given("flip", "dims", args, dims), input._a.ndim))


@function
def fliplr(input: Tensor) -> Tensor:
    """Dim 1 backwards, as a copy."""
    if input._a.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip_dims(input, dims=(1,))


@function
def flipud(input: Tensor) -> Tensor:
    """Dim 0 backwards, as a copy."""
    if input._a.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip_dims(input, dims=(0,))


@function(name="__reversed__", as_function=False)
def reverse(self: Tensor) -> Tensor:
    """The first dim backwards, as a copy."""
    return flip_dims(self, dims=(0,)) if self._a.ndim else self


def _roll_examples(level: BatchLevel, mapped: list[bool], x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    if dims:
        return recorded.roll_dims(x, shifts=shifts, dims=tuple(dim + 1 for dim in dims))
    return recorded.reshape_to(recorded.roll_dims(batch_rules.flat(x), shifts=shifts, dims=(1,)), shape=x._a.shape)


@linear(
    transpose=lambda xp, g, shifts, dims: xp.roll_dims(g, shifts=tuple(-shift for shift in shifts), dims=dims),
    node_name="RollBackward0",
    saved={"dims": "dims"},
    batch=_roll_examples,
)
def roll_dims(x: Any, *, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    """Elements shifted along dims, or (without dims) along the flat tensor; what leaves at one end comes in at the other."""
    return np.roll(x, shifts, dims) if dims else np.roll(x, shifts[0])


@function
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements shifted along dims; what leaves at one end comes in at the other."""
    by = tuple(shifts) if isinstance(shifts, (list, tuple)) else (as_int(shifts, "shifts"),)
    along = tuple(dims) if isinstance(dims, (list, tuple)) else (as_int(dims, "dims"),)
    if not by:
        raise RuntimeError("`shifts` required")
    if len(by) != len(along) and not (not along and len(by) == 1):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}")
    wrapped = tuple(wrap_dim(dim, input._a.ndim, scalar=False) for dim in along)
    return roll_dims(input, shifts=by, dims=wrapped if input._a.ndim else ())


@linear(transpose=lambda xp, g, k, dims: xp.rotate(g, k=-k, dims=dims), node_name="Rot90Backward0", saved={"dims": "dims"})
def rotate(x: Any, *, k: int, dims: tuple[int, int]) -> Any:
    """Quarter turns in the plane of two dims."""
    first, second = dims
    turns = k % 4
    if turns == 0:
        return x.copy(order="K")
    if turns == 2:
        return np.flip(x, dims).copy(order="K")
    # as a transposed view of a flipped copy, which is how PyTorch lays it out
    return np.swapaxes(np.flip(x, second if turns == 1 else first).copy(order="K"), first, second)


@function
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Quarter turns in the plane of two dims, as a copy."""
    plane, rank = tuple(dims), input._a.ndim
    if len(plane) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(plane)}")
    if rank < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {rank}")
    first, second = (wrap_dim(dim, rank) for dim in plane)
    if first == second:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {plane[0]} and dim1 = {plane[1]}")
    return rotate(input, k=k, dims=(first, second))


# ---------------------------------------------------------------- repetition
def _unrepeated(xp: Any, g: Any, x_shape: Shape, repeats: Shape) -> Any:
    lead = len(repeats) - len(x_shape)
    if 0 in repeats:
        return xp.zeros_shaped(g, shape=x_shape)
    split: list[int] = list(repeats[:lead])
    for times, size in zip(repeats[lead:], x_shape, strict=True):
        split += (times, size)
    dims = (*range(lead), *range(lead, len(split), 2))
    return xp.sum_dims(xp.reshape_to(g, shape=tuple(split)), dims=dims, keepdim=False) if dims else g


def _repeat_examples(level: BatchLevel, mapped: list[bool], x: Any, repeats: Shape) -> Any:
    return recorded.repeat_dims(batch_rules.viewed(x, len(repeats)), repeats=(1, *repeats))


@linear(transpose=_unrepeated, node_name="RepeatBackward0", batch=_repeat_examples)
def repeat_dims(x: Any, *, repeats: Shape) -> Any:
    """The tensor several times along each dim."""
    return np.ascontiguousarray(np.tile(x, repeats)) if repeats else np.array(x)


@function(as_function=False)
def repeat(self: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    """The tensor several times along each dim, as a copy."""
    times = sizes_given("repeat", "repeats", args, repeats)
    rank = self._a.ndim
    if len(times) < rank:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    lead = len(times) - rank
    check_sizes(tuple(count * size for count, size in zip(times, (1,) * lead + self._a.shape, strict=True)))
    return repeat_dims(self, repeats=times)


@function
def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The tensor several times along each of the last dims, as a copy."""
    times = sizes_given("tile", "dims", args, dims)
    return repeat(input, (*(1,) * (input._a.ndim - len(times)), *times))


@function
def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each element, or each slice of a dim, several times in a row."""
    if repeats is None:
        input, repeats = wrap(np.arange(input._a.size)), input
    if not isinstance(repeats, (int, Tensor)):
        raise TypeError(f"repeat_interleave(): argument 'repeats' must be int or Tensor, not {type(repeats).__name__}")
    if isinstance(repeats, Tensor):
        if repeats._a.ndim > 1:
            raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
        if repeats._a.dtype not in (np.int64, np.int32):
            raise NotImplementedError(
                f"\"repeat_interleave_cpu\" not implemented for '{type_name(repeats.dtype)}'; repeats must be int64 or int32"
            )
    if dim is None:
        if isinstance(repeats, int):
            _check_repeats(repeats, output_size, input._a.size)
            column = unsqueeze_dim(shapes.flatten(input), dim=1)
            wide = expand_to(column, shape=(input._a.size, repeats))
            return view_as_shape(clone_strided(wide, order="C"), shape=(input._a.size * repeats,))
        input, dim = shapes.flatten(input), 0
    shape = input._a.shape
    axis = wrap_dim(dim, len(shape), scalar=False)
    if isinstance(repeats, Tensor) and batch_of(repeats._a) is not None:
        return _repeated_as_told(input, repeats, axis, output_size)
    if isinstance(repeats, int) or not repeats._a.ndim:
        each = int(repeats if isinstance(repeats, int) else repeats._a)
        _check_repeats(each, output_size, shape[axis])
        if isinstance(repeats, int):
            wide = expand_to(unsqueeze_dim(input, dim=axis + 1), shape=(*shape[: axis + 1], each, *shape[axis + 1 :]))
            return view_as_shape(clone_strided(wide, order="C"), shape=(*shape[:axis], shape[axis] * each, *shape[axis + 1 :]))
        counts = np.full(shape[axis], each)
    else:
        counts = np.asarray(repeats._a)
        if counts.size == 1 != shape[axis]:
            counts = np.full(shape[axis], int(counts[0]))
        if counts.size != shape[axis]:
            raise RuntimeError(
                f"repeats must have the same size as input along dim, but got repeats.size(0) = {counts.size} and "
                f"input.size({axis}) = {shape[axis]}"
            )
        if counts.size and counts.min() < 0:
            raise RuntimeError("repeats can not be negative")
        if output_size is not None and output_size != counts.sum():
            raise RuntimeError(f"allocated size does not match required size: output_size is {output_size}, repeats sum to {counts.sum()}")
    return index_select(input, axis, wrap(np.repeat(np.arange(shape[axis]), counts)))


def _repeated_as_told(input: Tensor, repeats: Tensor, axis: int, output_size: int | None) -> Tensor:
    """`repeat_interleave` where the numbers differ between the examples of a `vmap`, but not their sums."""
    size = input._a.shape[axis]
    if repeats._a.size not in (1, size):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats._a.size} and "
            f"input.size({axis}) = {size}"
        )
    counts = repeats.expand(size)
    known = values(counts._a)
    if known.size and known.min() < 0:
        raise RuntimeError("repeats can not be negative")
    totals = np.unique(known.sum(-1))
    if totals.size > 1:
        batch_rules.refuse_dynamic("repeat_interleave", "repeat as often for each of them, in sum")
    total = int(totals.max(initial=0))
    if output_size is not None and output_size != total:
        raise RuntimeError(f"allocated size does not match required size: output_size is {output_size}, repeats sum to {total}")
    ends = counts.to(int64).cumsum(0)
    return recorded.index_1(input, recorded.sorted_positions(ends, wrap(np.arange(total)), right=True, int32=False), dims=(axis,))


def _check_repeats(each: int, output_size: int | None, size: int) -> None:
    if each < 0:
        raise RuntimeError(f"Repeats must be non-negative; got {each}")
    if output_size is not None and output_size != each * size:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {each * size} but got {output_size}")


# ---------------------------------------------------------------- triangles
@linear(transpose=lambda xp, g, diagonal: xp.lower_triangle(g, diagonal=diagonal), node_name="TrilBackward0")
def lower_triangle(x: Any, *, diagonal: int) -> Any:
    """Matrices with zeros above a diagonal."""
    return np.ascontiguousarray(np.tril(x, diagonal))


@linear(transpose=lambda xp, g, diagonal: xp.upper_triangle(g, diagonal=diagonal), node_name="TriuBackward0")
def upper_triangle(x: Any, *, diagonal: int) -> Any:
    """Matrices with zeros below a diagonal."""
    return np.ascontiguousarray(np.triu(x, diagonal))


@function(in_place=True, out=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Matrices with zeros above a diagonal."""
    return lower_triangle(_matrix(input, "tril"), diagonal=_whole("tril", diagonal))


@function(in_place=True, out=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Matrices with zeros below a diagonal."""
    return upper_triangle(_matrix(input, "triu"), diagonal=_whole("triu", diagonal))


def _whole(name: str, diagonal: Any) -> int:
    if not hasattr(diagonal, "__index__"):
        wrong(name, "diagonal", "int", diagonal)
    return as_int(diagonal, "diagonal")


def _matrix(input: Tensor, name: str) -> Tensor:
    if input._a.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return input


def _triangle_indices(name: str, find: Any) -> Any:
    def indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, layout: Any = None, device: Any = None) -> Tensor:
        for what, value in (("row", row), ("col", col)):
            if value < 0:
                raise RuntimeError(f"{what} must be non-negative, got{value}")
        wanted = int64 if dtype is None else as_dtype(dtype)
        return finish(np.array(find(row, offset, col)).astype(numpy_dtype(wanted)))

    indices.__name__ = name
    indices.__doc__ = "Rows and columns of a triangle of a matrix, row by row."
    return function(indices, method=False)


tril_indices = _triangle_indices("tril_indices", np.tril_indices)
triu_indices = _triangle_indices("triu_indices", np.triu_indices)


# ---------------------------------------------------------------- grids
def _list(tensors: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors


@function(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Each vector expanded over the grid that all of them span."""
    given = _list(tensors)
    if indexing is None:
        indexing = "ij"
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument. It is 'ij' here.",
            UserWarning,
            stacklevel=2,
        )
    if not given:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for tensor in given:
        if tensor._a.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: a tensor of shape {list(tensor._a.shape)}"
            )
        if tensor._a.dtype != given[0]._a.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swapped = indexing == "xy" and len(given) >= 2
    if swapped:
        given = (given[1], given[0], *given[2:])
    grid = tuple(tensor._a.size for tensor in given)
    parts = [
        expand_to(view_as_shape(tensor, shape=tuple(tensor._a.size if other == axis else 1 for other in range(len(given)))), shape=grid)
        for axis, tensor in enumerate(given)
    ]
    if swapped:
        parts[:2] = parts[1::-1]
    return tuple(parts)


def _vectors(given: tuple[Tensor, ...]) -> None:
    for tensor in given:
        if tensor._a.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(tensor._a.shape)}")


@function(method=False)
def cartesian_prod(*tensors: Any) -> Tensor:
    """All tuples with one element from each vector, one per row."""
    given = _list(tensors)
    _vectors(given)
    if len(given) == 1:
        return given[0]
    return stack([shapes.flatten(part) for part in meshgrid(*given, indexing="ij")], 1)


@function
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector, in order, one per row."""
    _vectors((input,))
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return finish(np.empty(0, input._a.dtype))
    count = input._a.size
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    mask = np.zeros((count,) * r, np.bool_)
    rows = np.array(list(choose(range(count), r)), np.int64).reshape(-1, r)
    mask[tuple(rows.T)] = True
    return stack([masked_select(part, wrap(mask)) for part in meshgrid(*(input,) * r, indexing="ij")], 1)


# ---------------------------------------------------------------- a part replaced
def _check_part(have: Shape, want: Shape) -> None:
    if have != want:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(have)}, slice size = {list(want)}")


@general(
    vjp=[
        lambda xp, g, dim, start, stop, step, src_shape: xp.slice_replaced(
            g, xp.zeros_shaped(g, shape=src_shape), dim=dim, start=start, stop=stop, step=step
        ),
        lambda xp, g, dim, start, stop, step: xp.slice_range(g, dim=dim, start=start, stop=stop, step=step),
    ],
    node_name="SliceScatterBackward0",
    saved={"end": "stop"},
    batch=batch_rules.shifting("slice_replaced"),
)
def slice_replaced(x: Any, src: Any, *, dim: int, start: int, stop: int, step: int) -> Any:
    """A copy of `x` with `src` in a range of a dim."""
    out = np.array(x, order="C")
    out[(slice(None),) * dim + (slice(start, stop, step),)] = src
    return out


@general(
    vjp=[
        lambda xp, g, dim, index, src_shape: xp.position_replaced(g, xp.zeros_shaped(g, shape=src_shape), dim=dim, index=index),
        lambda xp, g, dim, index: xp.select_index(g, dim=dim, index=index),
    ],
    node_name="SelectScatterBackward0",
    batch=batch_rules.shifting("position_replaced"),
)
def position_replaced(x: Any, src: Any, *, dim: int, index: int) -> Any:
    """A copy of `x` with `src` at one position of a dim."""
    out = np.array(x, order="C")
    out[(slice(None),) * dim + (index,)] = src
    return out


@general(
    vjp=[
        lambda xp, g, offset, dim1, dim2, src_shape: xp.diagonal_replaced(
            g, xp.zeros_shaped(g, shape=src_shape), offset=offset, dim1=dim1, dim2=dim2
        ),
        lambda xp, g, offset, dim1, dim2: xp.diagonal_view(g, offset=offset, dim1=dim1, dim2=dim2),
    ],
    node_name="DiagonalScatterBackward0",
    batch=batch_rules.shifting("diagonal_replaced"),
)
def diagonal_replaced(x: Any, src: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    """A copy of `x` with `src` on a diagonal."""
    out = np.array(x, order="C")
    pieces.diagonal_view.primitive.kernel(out, offset=offset, dim1=dim1, dim2=dim2)[...] = src
    return out


@function
def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """A copy with `src` in a range of a dim."""
    shape = input._a.shape
    axis = wrap_dim(dim, len(shape))
    first, last = pieces.range_of(start, end, shape[axis])
    _check_part(src._a.shape, (*shape[:axis], -(-(last - first) // step), *shape[axis + 1 :]))
    return slice_replaced(input, _cast_like(src, input), dim=axis, start=first, stop=last, step=step)


@function
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with `src` at one position of a dim."""
    part = pieces.select(input.detach(), dim, index)
    _check_part(src._a.shape, part._a.shape)
    axis = wrap_dim(dim, input._a.ndim)
    return position_replaced(input, _cast_like(src, input), dim=axis, index=index % input._a.shape[axis])


@function
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy with `src` on a diagonal."""
    part = pieces.diagonal(input.detach(), offset, dim1, dim2)
    _check_part(src._a.shape, part._a.shape)
    rank = input._a.ndim
    return diagonal_replaced(input, _cast_like(src, input), offset=offset, dim1=wrap_dim(dim1, rank), dim2=wrap_dim(dim2, rank))


def _cast_like(src: Tensor, input: Tensor) -> Tensor:
    return src.to(input.dtype)


# ---------------------------------------------------------------- a tensor that changes its own shape
_in_place_classes: dict[tuple[type[Node], int], type[Node]] = {}


def _in_place_class(kind: type[Node], overloads: int) -> type[Node]:
    """The node class of an in-place operation that PyTorch counts after the overloads of the other: `TBackward1` after `TBackward0`."""
    found = _in_place_classes.get((kind, overloads))
    if found is None:
        name = f"{kind.__name__[:-1]}{int(kind.__name__[-1]) + overloads}"
        found = _in_place_classes[kind, overloads] = type(name, (kind,), {"__slots__": (), "__module__": kind.__module__})
    return found


def _becomes(target: Tensor, name: str, overloads: int, view_of: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Let a tensor become a view of itself: same memory, other shape, with what led there in its history."""
    check_target(target, name)
    recording = modes.is_grad_enabled() and target.requires_grad
    if recording:
        check_recorded(target, name)
    out = view_of(target, *args, **kwargs)
    if target._view is not None:
        target._view = out._view
    target._a = out._a
    if recording and out._node is not LEAF and out is not target:
        target._node = out._node
        target._node.__class__ = _in_place_class(type(out._node), overloads)
    mark_modified(target, name)
    if exceptional:
        announce(Observer.stands_in, out, target)
    if target._view is not None:
        target._view.seen = target._v[0]
    return target


def _becoming(name: str, view_of: Any, *aliases: str, overloads: int = 1) -> None:
    for each in (name, *aliases):

        def changed(self: Tensor, *args: Any, _name: str = each, **kwargs: Any) -> Tensor:
            return _becomes(self, _name, overloads, view_of, *args, **kwargs)

        changed.__name__, changed.__doc__ = each, f"Make the tensor itself what `{each.rstrip('_')}` gives."
        function(changed, as_function=each == "as_strided_")  # the only one of them that PyTorch has as a function


_becoming("t_", shapes.t)
_becoming("transpose_", shapes.transpose, "swapdims_")
_becoming("swapaxes_", shapes.swapaxes)
_becoming("squeeze_", shapes.squeeze, overloads=3)
_becoming("unsqueeze_", shapes.unsqueeze)
_becoming("as_strided_", as_strided)


def _refuse_storage(name: str, instead: str) -> NoReturn:
    raise RuntimeError(
        f"vmap: {name}(...) is not supported. Inside vmap a tensor shares the storage of all examples and cannot change it for one: write "
        f"{instead}."
    )


@function(as_function=False)
def resize_(self: Tensor, *args: Any, size: Any = None, memory_format: Any = None) -> Tensor:
    """Give the tensor another shape, row-major, over its memory, or over more memory where that is too small."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    check_target(self, "resize_")
    shape = check_sizes(sizes_given("resize_", "size", args, size))
    memory = self._memory()
    if batch_of(memory) is not None and memory.shape != shape:
        _refuse_storage("resize_", "reshape() for as many elements, narrow() for fewer, torch.nn.functional.pad() for more")
    owner = owner_of(memory)
    if memory.shape == shape:
        return self
    offset = address(memory) - address(owner)
    needed = int(np.prod(shape, dtype=np.int64)) * memory.itemsize
    if offset + needed <= owner.nbytes and (owner.flags.c_contiguous or owner.flags.f_contiguous):
        self._a = np.ndarray(shape, memory.dtype, owner, offset)
    else:
        out = np.zeros(shape, memory.dtype)
        kept = np.ndarray((min((owner.nbytes - offset) // memory.itemsize, out.size),), memory.dtype, owner, offset)
        out.reshape(-1)[: kept.size] = kept
        self._a = out
    mark_modified(self, "resize_")
    return self


@function
def resize_as_(self: Tensor, tensor: Tensor, memory_format: Any = None) -> Tensor:
    """Give the tensor the shape of another."""
    return resize_(self, tensor._a.shape)


@function(as_function=False)
def set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """Let the tensor share the memory, the shape and the strides of another; without one, let it be empty."""
    if source is not None and not isinstance(source, Tensor):
        raise TypeError(f"set_(): argument 'source' must be Tensor, not {type(source).__name__}")
    if source is not None and source._a.dtype != self._a.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {type_name(source.dtype).lower()} to a tensor of type {type_name(self.dtype).lower()}"
        )
    if batch_of(self._a) is not None or (source is not None and batch_of(source._a) is not None):
        _refuse_storage("set_", "copy_() to write the values of the source, or use the source itself")
    check_target(self, "set_")
    if modes.is_grad_enabled() and self.requires_grad:
        check_recorded(self, "set_")
    if source is None:
        self._a = np.empty(0, self._a.dtype)
    else:
        memory = source._memory()
        self._a = strided(memory, memory.shape, memory.strides)
    mark_modified(self, "set_")
    return self
