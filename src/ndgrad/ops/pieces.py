"""Views of a part of a tensor: selected positions, ranges, chunks, windows, diagonals; and what undoes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.shapes import as_int, as_shape, wrap_dim
from ndgrad.base.storage import element_strides
from ndgrad.base.types import Shape
from ndgrad.core.batches import batch_of, values
from ndgrad.core.saved import constant, operand_shape
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels.striding import laid_out, strided
from ndgrad.ops.declare import function, linear, recorded, several_outputs

ALL = slice(None)


# ---------------------------------------------------------------- one position, a range
@linear(
    transpose=lambda xp, g, x_shape, dim, index: xp.select_backward(g, shape=x_shape, dim=dim, index=index),
    view=True,
    node_name="SelectBackward0",
)
def select_index(x: Any, *, dim: int, index: int) -> Any:
    """The part of a tensor at one position of a dim, without that dim."""
    x = laid_out(x)
    return x[index, ...] if not dim else x[(ALL,) * dim + (index, ...)]


@linear(transpose=lambda xp, g, dim, index: xp.select_index(g, dim=dim, index=index), node_name="SelectBackwardBackward0")
def select_backward(x: Any, *, shape: Shape, dim: int, index: int) -> Any:
    """Zeros of `shape` with `x` at one position of a dim."""
    out = np.zeros(shape, x.dtype)
    out[(ALL,) * dim + (index,)] = x
    return out


@linear(
    transpose=lambda xp, g, x_shape, dim, start, stop, step: xp.slice_backward(
        g, shape=x_shape, dim=dim, start=start, stop=stop, step=step
    ),
    view=True,
    node_name="SliceBackward0",
    saved={"end": "stop"},
)
def slice_range(x: Any, *, dim: int, start: int, stop: int, step: int = 1) -> Any:
    """The positions from `start` up to `stop` of a dim."""
    if not x.size:
        x = laid_out(x)
    if stop > start:
        return x[start:stop:step] if not dim else x[(ALL,) * dim + (slice(start, stop, step),)]
    # NumPy forgets where an empty slice began
    strides = tuple(s * x.itemsize for s in element_strides(x))
    shape = (*x.shape[:dim], 0, *x.shape[dim + 1 :])
    if not x.size:
        start = 0
    return strided(x, shape, (*strides[:dim], strides[dim] * step, *strides[dim + 1 :]), start * strides[dim])


@linear(
    transpose=lambda xp, g, dim, start, stop, step: xp.slice_range(g, dim=dim, start=start, stop=stop, step=step),
    node_name="SliceBackwardBackward0",
)
def slice_backward(x: Any, *, shape: Shape, dim: int, start: int, stop: int, step: int = 1) -> Any:
    """Zeros of `shape` with `x` in a range of a dim."""
    out = np.zeros(shape, x.dtype)
    out[(ALL,) * dim + (slice(start, stop, step),)] = x
    return out


def selected(tensor: Tensor, dim: int, index: int) -> Tensor:
    """`select` for a dim that is known to exist; checks the index."""
    size = tensor._a.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return select_index(tensor, dim=dim, index=index + size if index < 0 else index)


@function
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The part at one position of a dim, without that dim: a view."""
    shape = input._a.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = wrap_dim(dim, len(shape))
    position = as_int(index, "index")
    if not -shape[axis] <= position < shape[axis]:
        raise IndexError(f"select(): index {position} out of range for tensor of size {list(shape)} at dimension {axis}")
    return selected(input, axis, position)


@function
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` positions of a dim from `start`: a view."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if isinstance(start, Tensor) and (start._a.ndim or start._a.dtype.kind not in "iu"):
        raise RuntimeError(f"start must be an 0-dim integral Tensor. It has shape {list(start._a.shape)} and {start.dtype}.")
    axis = wrap_dim(dim, len(shape))
    size = shape[axis]
    if isinstance(start, Tensor) and batch_of(start._a) is not None:
        return _narrowed_as_told(input, axis, start, length)
    begin = as_int(start.item() if isinstance(start, Tensor) else start, "start")
    if not -size <= begin <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {begin})")
    if begin < 0:
        begin += size
    if begin + length > size:
        raise RuntimeError(f"start ({begin}) + length ({length}) exceeds dimension size ({size}).")
    return slice_range(input, dim=axis, start=begin, stop=begin + length, step=1)


def _narrowed_as_told(input: Tensor, axis: int, start: Tensor, length: int) -> Tensor:
    """`narrow` from a place that differs between the examples of a `vmap`: a copy."""
    size, known = input._a.shape[axis], values(start._a)
    if known.size and (known.min() < -size or known.max() > size):
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}])")
    begin = recorded.where(start < 0, start + size, start)
    if known.size and values(begin._a).max() + length > size:
        raise RuntimeError(f"start ({values(begin._a).max()}) + length ({length}) exceeds dimension size ({size}).")
    return recorded.index_1(input, begin + wrap(np.arange(length)), dims=(axis,))


@function(out=True)
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` positions of a dim from `start`: a copy."""
    return recorded.clone(narrow(input, dim, start, length))


def range_of(start: Any, stop: Any, size: int) -> tuple[int, int]:
    """The bounds of a slice, counted from the front and cut to the size."""
    first = 0 if start is None else start + size if start < 0 else start
    last = size if stop is None else stop + size if stop < 0 else stop
    first = min(max(first, 0), size)
    return first, min(max(last, first), size)


# ---------------------------------------------------------------- several views at once
def _joined(xp: Any, g: Any, dim: int) -> Any:
    return xp.cat_tensors(g, dim=dim)


@several_outputs
@linear(
    transpose=_joined, view=True, outputs=0, node_name="SplitBackward0", saved={"split_size": "split_size", "self_sym_sizes": operand_shape}
)
def split_evenly(x: Any, *, split_size: int, dim: int) -> Any:
    """Chunks of one size, the last one perhaps smaller."""
    size = x.shape[dim]
    starts = range(0, size, split_size) if size else range(1)
    return [_range(x, dim, start, min(start + split_size, size)) for start in starts]


@several_outputs
@linear(
    transpose=_joined,
    view=True,
    outputs=0,
    node_name="SplitWithSizesBackward0",
    saved={"split_sizes": "sizes", "self_sym_sizes": operand_shape},
)
def split_sizes(x: Any, *, sizes: tuple[int, ...], dim: int) -> Any:
    """Chunks of the given sizes."""
    parts: list[Any] = []
    start = 0
    for size in sizes:
        parts.append(_range(x, dim, start, start + size))
        start += size
    return parts


@several_outputs
@linear(
    transpose=_joined,
    outputs=0,
    node_name="UnsafeSplitBackward0",
    saved={"split_size": lambda node: (*node.params["sizes"], 0)[0], "self_sym_sizes": operand_shape},
)
def split_unsafely(x: Any, *, sizes: tuple[int, ...], dim: int) -> Any:
    """Chunks that share memory with `x` although nobody keeps track of it."""
    return split_sizes.primitive.kernel(x, sizes=sizes, dim=dim)


def _range(x: Any, dim: int, start: int, stop: int) -> Any:
    return slice_range.primitive.kernel(x, dim=dim, start=start, stop=stop)


@several_outputs
@linear(transpose=lambda xp, g, dim: xp.stack_tensors(g, dim=dim), view=True, outputs=0, node_name="UnbindBackward0")
def unbind_dim(x: Any, *, dim: int) -> Any:
    """The parts at every position of a dim, without that dim."""
    lead = (ALL,) * dim
    x = laid_out(x)
    return [x[(*lead, index, ...)] for index in range(x.shape[dim])]


def _split(tensor: Tensor, split_size: Any, dim: int, name: str = "split") -> tuple[Tensor, ...]:
    shape = tensor._a.shape
    if not shape:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    axis = wrap_dim(dim, len(shape))
    if isinstance(split_size, (list, tuple)):
        sizes = as_shape((split_size,), "split_size")
        if any(size < 0 for size in sizes):
            raise RuntimeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={list(sizes)}")
        if sum(sizes) != shape[axis]:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {shape[axis]} (input tensor's size at dimension {axis}), "
                f"but got split_sizes={list(sizes)}"
            )
        return split_sizes(tensor, sizes=sizes, dim=axis) if sizes else ()
    each = as_int(split_size, "split_size")
    if each < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={each}")
    if not each and shape[axis]:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {shape[axis]}")
    return split_evenly(tensor, split_size=each, dim=axis)


@function(name="split")
def split(tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> tuple[Tensor, ...]:
    """Chunks of one size, or of a list of sizes: views."""
    return _split(tensor, split_size if split_size_or_sections is None else split_size_or_sections, dim)


@function
def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Chunks of the given sizes: views."""
    return _split(input, list(split_sizes), dim, "split_with_sizes")


@function
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` chunks of equal size, the last one perhaps smaller: views."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    axis = wrap_dim(dim, len(shape))
    each = -(-shape[axis] // chunks)
    if not each:
        return split_sizes(input, sizes=(0,) * chunks, dim=axis)
    return split_evenly(input, split_size=each, dim=axis)


def _untracked(name: str, views: Any) -> None:
    def split(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        sizes = tuple(part._a.shape[dim] for part in views(input.detach(), *args, **kwargs))
        return split_unsafely(input, sizes=sizes, dim=wrap_dim(dim, input._a.ndim)) if sizes else ()

    split.__name__, split.__doc__ = name, f"What `{views.__name__}` gives, but not tracked as views: changing them in place is unsafe."
    function(split)


_untracked("unsafe_split", split)
_untracked("unsafe_chunk", chunk)
_untracked("unsafe_split_with_sizes", split_with_sizes)


@function
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The parts at every position of a dim, without that dim: views."""
    if not input._a.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    axis = wrap_dim(dim, input._a.ndim)
    return unbind_dim(input, dim=axis) if input._a.shape[axis] else ()


@function
def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Tensor, ...]:
    """Nearly equal chunks, or chunks that end at the given indices: views."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    axis = wrap_dim(dim, len(shape))
    size = shape[axis]
    given = next(value for value in (indices_or_sections, indices, sections) if value is not None)
    if isinstance(given, Tensor):
        if given._a.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, "
                f"but got a tensor with {given._a.ndim} dims"
            )
        given = given.tolist()
    if isinstance(given, (list, tuple)):
        cuts = as_shape((given,), "indices")
    else:
        sections = as_int(given, "sections")
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        each, longer = divmod(size, sections)
        cuts = tuple(i * each + min(i, longer) for i in range(1, sections))
    parts: list[Tensor] = []
    start = 0
    for cut in (*cuts, size):
        first, last = range_of(start, cut, size)
        parts.append(slice_range(input, dim=axis, start=first, stop=last, step=1))
        start = cut
    return tuple(parts)


def _directed(name: str, rank: int, dim: int) -> Any:
    def directed(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> tuple[Tensor, ...]:
        have = input._a.ndim
        if have < rank:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {rank} dimension, but got a tensor with {have} dimensions!")
        axis = 0 if name == "hsplit" and have == 1 else dim
        given = next(value for value in (indices_or_sections, indices, sections) if value is not None)
        if isinstance(given, int) and (given <= 0 or input._a.shape[axis] % given):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the dimension {input._a.shape[axis]} is not "
                f"divisible by the split_size {given}!"
            )
        return tensor_split(input, given, axis)

    directed.__name__ = name
    directed.__doc__ = f"Chunks along dim {dim}: views."
    return directed


hsplit = function(_directed("hsplit", 1, 1))
vsplit = function(_directed("vsplit", 2, 0))
dsplit = function(_directed("dsplit", 3, 2))


# ---------------------------------------------------------------- windows
def _unfolded(xp: Any, g: Any, x_shape: Shape, dim: int, size: int, step: int) -> Any:
    return xp.unfold_backward(g, shape=x_shape, dim=dim, size=size, step=step)


@linear(transpose=_unfolded, view=True, node_name="UnfoldBackward0", saved={"dimension": "dim"})
def unfold_windows(x: Any, *, dim: int, size: int, step: int) -> Any:
    """Windows of `size` positions of a dim, `step` apart, in a new last dim."""
    if not x.ndim:
        return strided(x, (size,), (x.itemsize,))
    count = (x.shape[dim] - size) // step + 1
    strides = tuple(s * x.itemsize for s in element_strides(x))
    return strided(
        x, (*x.shape[:dim], count, *x.shape[dim + 1 :], size), (*strides[:dim], strides[dim] * step, *strides[dim + 1 :], strides[dim])
    )


@linear(
    transpose=lambda xp, g, dim, size, step: xp.unfold_windows(g, dim=dim, size=size, step=step),
    node_name="UnfoldBackwardBackward0",
    name="unfold_backward",
)
def unfold_backward(x: Any, *, shape: Shape, dim: int, size: int, step: int) -> Any:
    """Zeros of `shape` to which the windows are added."""
    out = np.zeros(shape, x.dtype)
    if not shape:
        return out + (x.sum() if size else 0)
    count = x.shape[dim]
    lead = (ALL,) * dim
    for at in range(size):
        out[(*lead, slice(at, at + (count - 1) * step + 1, step))] += x[..., at]
    return out


@function(as_function=False)
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` positions of a dim, `step` apart, in a new last dim: a view."""
    shape = self._a.shape
    axis = wrap_dim(dimension, len(shape))
    have = shape[axis] if shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > have:
        raise RuntimeError(f"maximum size for tensor at dimension {axis} is {have} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return unfold_windows(self, dim=axis, size=size, step=step)


# ---------------------------------------------------------------- diagonals
def _diagonal_range(shape: Shape, offset: int, dim1: int, dim2: int) -> int:
    rows, columns = shape[dim1], shape[dim2]
    return max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)


@linear(
    transpose=lambda xp, g, x_shape, offset, dim1, dim2: xp.diagonal_backward(g, shape=x_shape, offset=offset, dim1=dim1, dim2=dim2),
    view=True,
    node_name="DiagonalBackward0",
)
def diagonal_view(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    """A diagonal of two dims, as the last dim."""
    length = _diagonal_range(x.shape, offset, dim1, dim2)
    steps = tuple(s * x.itemsize for s in element_strides(x))
    others = [dim for dim in range(x.ndim) if dim not in (dim1, dim2)]
    shape = (*(x.shape[dim] for dim in others), length)
    strides = (*(steps[dim] for dim in others), steps[dim1] + steps[dim2])
    begin = (steps[dim2] * offset if offset >= 0 else -offset * steps[dim1]) if length and x.size else 0
    return strided(x, shape, strides, begin)


@linear(
    transpose=lambda xp, g, offset, dim1, dim2: xp.diagonal_view(g, offset=offset, dim1=dim1, dim2=dim2),
    node_name="DiagonalBackwardBackward0",
)
def diagonal_backward(x: Any, *, shape: Shape, offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of `shape` with `x` on a diagonal."""
    out = np.zeros(shape, x.dtype)
    diagonal_view.primitive.kernel(out, offset=offset, dim1=dim1, dim2=dim2)[...] = x
    return out


@linear(
    transpose=lambda xp, g, x_shape, offset: xp.diagonal_backward(g, shape=x_shape, offset=offset, dim1=0, dim2=1),
    node_name="DiagonalBackward0_copy",
    saved={"dim1": constant(0), "dim2": constant(1)},
    batch=lambda level, mapped, x, offset: recorded.clone(recorded.diagonal_view(x, offset=offset, dim1=1, dim2=2)),
)
def diagonal_copy(x: Any, *, offset: int) -> Any:
    """A copy of a diagonal of a matrix."""
    return np.array(diagonal_view.primitive.kernel(x, offset=offset, dim1=0, dim2=1), order="C")


@linear(
    transpose=lambda xp, g, offset, dim1, dim2: xp.diagonal_view(g, offset=offset, dim1=dim1, dim2=dim2), node_name="DiagEmbedBackward0"
)
def embed_diagonal(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    """Zeros with the last dim on a diagonal of two new dims."""
    side = x.shape[-1] + abs(offset)
    shape = list(x.shape[:-1])
    for dim in sorted((dim1, dim2)):
        shape.insert(dim, side)
    out = np.zeros(shape, x.dtype)
    diagonal_view.primitive.kernel(out, offset=offset, dim1=dim1, dim2=dim2)[...] = x
    return out


def _two_dims(dim1: int, dim2: int, rank: int) -> tuple[int, int]:
    first, second = wrap_dim(dim1, rank, scalar=False), wrap_dim(dim2, rank, scalar=False)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


@function
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A diagonal of two dims, as the last dim: a view."""
    first, second = _two_dims(dim1, dim2, input._a.ndim)
    return diagonal_view(input, offset=offset, dim1=first, dim2=second)


@function
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros with the last dim on a diagonal of two new dims."""
    if not input._a.ndim:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got -2)")
    first, second = _two_dims(dim1, dim2, input._a.ndim + 1)
    return embed_diagonal(input, offset=offset, dim1=first, dim2=second)


@function(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with the vector on a diagonal, or a diagonal of the matrix, as a copy."""
    rank = input._a.ndim
    if rank not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {rank}D")
    if rank == 1:
        return embed_diagonal(input, offset=diagonal, dim1=0, dim2=1)
    return diagonal_copy(input, offset=diagonal)


@function
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements on a diagonal."""
    return embed_diagonal(input.reshape(-1), offset=offset, dim1=0, dim2=1)
