"""Views that give the same memory another shape or another order of dims."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

from ndgrad.base.dtypes import as_dtype, dtype, from_numpy_dtype, numpy_dtype, type_name
from ndgrad.base.shapes import as_int, as_shape, check_expandable, infer_shape, sizes_given, view_strides, wrap_dim, wrap_dims
from ndgrad.base.shapes import broadcast_shapes as common_shape
from ndgrad.base.size import Size, as_size
from ndgrad.base.storage import element_strides
from ndgrad.base.types import Array, Shape
from ndgrad.core.batching import BatchLevel
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import INFERENCE, Tensor, wrap
from ndgrad.kernels.striding import laid_out, strided
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.conversion import LEGACY_NAMES, clone_strided
from ndgrad.ops.declare import function, linear


# ---------------------------------------------------------------- sums that undo broadcasting
def _sum_examples_to(level: BatchLevel, mapped: list[bool], x: Tensor, shape: Shape) -> Tensor:
    wide = (1,) * (x._a.ndim - 1 - len(shape)) + shape
    return reshape_to(recorded.sum_to(x, shape=(level.size, *wide)), shape=(level.size, *shape))


def _expand_examples(level: BatchLevel, mapped: list[bool], x: Tensor, shape: Shape) -> Tensor:
    return recorded.expand_to(batch_rules.viewed(x, len(shape)), shape=(level.size, *shape))


@linear(transpose=lambda xp, g, x_shape: xp.expand_to(g, shape=x_shape), node_name="SumBackward1", batch=_sum_examples_to)
def sum_to(x: Any, *, shape: Shape) -> Any:
    """Sum the dims that broadcasting `shape` to the operand's shape has added or widened."""
    lead = x.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, size in enumerate(shape) if size == 1 != x.shape[lead + i]))
    return np.add.reduce(x, axis=axes, keepdims=True).reshape(shape) if axes else np.reshape(x, shape)


@linear(transpose=lambda xp, g, x_shape: xp.sum_to(g, shape=x_shape), view=True, node_name="ExpandBackward0", batch=_expand_examples)
def expand_to(x: Any, *, shape: Shape) -> Any:
    """Broadcast to `shape`, without copying."""
    x = laid_out(x)
    lead = len(shape) - x.ndim
    strides = (0,) * lead + tuple(
        0 if size == 1 != wide else step for size, wide, step in zip(x.shape, shape[lead:], x.strides, strict=True)
    )
    return strided(x, shape, strides)


# ---------------------------------------------------------------- one shape to another
@linear(transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape), view=True, node_name="ViewBackward0")
def view_as_shape(x: Any, *, shape: Shape) -> Any:
    """Another shape over the same memory, which must allow it."""
    if x.flags.c_contiguous and x.size and 1 not in x.shape:
        return x.reshape(shape)
    strides = view_strides(x.shape, element_strides(x), shape)
    if strides is None:
        raise ValueError(f"memory with strides {x.strides} cannot be seen in the shape {shape}")
    width = x.itemsize
    return strided(x, shape, tuple(step * width for step in strides))


alias_as_shape = linear(
    view_as_shape.primitive.kernel,
    name="alias_as_shape",
    transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape),
    view=True,
    node_name="ReshapeAliasBackward0",
)


@linear(transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape), node_name="UnsafeViewBackward0")
def reshape_to(x: Any, *, shape: Shape) -> Any:
    """Another shape, as a view or a copy: for rules, which do not care."""
    return np.reshape(x, shape)


@linear(
    transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape),
    view=True,
    node_name="SqueezeBackward0",
    batch=lambda level, mapped, x: recorded.squeeze_dims(x, dims=tuple(dim for dim, size in enumerate(x._a.shape) if dim and size == 1)),
)
def squeeze_all(x: Any) -> Any:
    """Without any dims of size 1."""
    return np.squeeze(laid_out(x))


@linear(
    transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape),
    view=True,
    node_name="SqueezeBackward1",
    saved={"dim": "dim"},
    batch=lambda level, mapped, x, dim: recorded.squeeze_dims(x, dims=(dim + 1,) if x._a.ndim > 1 else ()),
)
def squeeze_dim(x: Any, *, dim: int) -> Any:
    """Without one dim, if its size is 1."""
    x = laid_out(x)
    return np.squeeze(x, dim) if x.ndim and x.shape[dim] == 1 else x[...]


@linear(
    transpose=lambda xp, g, x_shape: xp.reshape_to(g, shape=x_shape),
    view=True,
    node_name="SqueezeBackward2",
    saved={"dim": "dims"},
    batch=lambda level, mapped, x, dims: recorded.squeeze_dims(x, dims=tuple(dim + 1 for dim in dims) if x._a.ndim > 1 else ()),
)
def squeeze_dims(x: Any, *, dims: tuple[int, ...]) -> Any:
    """Without those of `dims` whose size is 1."""
    x = laid_out(x)
    return np.squeeze(x, tuple(dim for dim in dims if x.ndim and x.shape[dim] == 1))


@linear(
    transpose=lambda xp, g, dim: xp.squeeze_dim(g, dim=dim),
    view=True,
    node_name="UnsqueezeBackward0",
    batch=lambda level, mapped, x, dim: recorded.unsqueeze_dim(x, dim=dim + 1),
)
def unsqueeze_dim(x: Any, *, dim: int) -> Any:
    """A new dim of size 1."""
    x = laid_out(x)
    step = x.shape[dim] * x.strides[dim] if dim < x.ndim else x.itemsize
    return strided(x, (*x.shape[:dim], 1, *x.shape[dim:]), (*x.strides[:dim], step, *x.strides[dim:]))


@linear(transpose=lambda xp, g: g, view=True, node_name="AliasBackward0")
def alias(x: Any) -> Any:
    """The same memory in the same shape."""
    return laid_out(x)[...]


# ---------------------------------------------------------------- the order of dims
@linear(
    transpose=lambda xp, g, dim0, dim1: xp.transpose_dims(g, dim0=dim0, dim1=dim1),
    view=True,
    node_name="TransposeBackward0",
    batch=lambda level, mapped, x, dim0, dim1: (
        recorded.transpose_dims(x, dim0=dim0 + 1, dim1=dim1 + 1) if x._a.ndim > 1 else recorded.alias(x)
    ),
)
def transpose_dims(x: Any, *, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    return laid_out(x).swapaxes(dim0, dim1) if x.ndim else x[...]


@linear(
    transpose=lambda xp, g: xp.t_matrix(g),
    view=True,
    node_name="TBackward0",
    batch=lambda level, mapped, x: recorded.transpose_dims(x, dim0=1, dim1=2) if x._a.ndim == 3 else recorded.alias(x),
)
def t_matrix(x: Any) -> Any:
    """A matrix transposed."""
    return laid_out(x).T


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    found = [0] * len(dims)
    for position, dim in enumerate(dims):
        found[dim] = position
    return tuple(found)


@linear(
    transpose=lambda xp, g, dims: xp.permute_dims(g, dims=_inverse(dims)),
    view=True,
    node_name="PermuteBackward0",
    saved={"dims": "dims"},
    batch=lambda level, mapped, x, dims: recorded.permute_dims(x, dims=(0, *(dim + 1 for dim in dims))),
)
def permute_dims(x: Any, *, dims: tuple[int, ...]) -> Any:
    """The dims in another order."""
    return laid_out(x).transpose(dims)


@function
def permute(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The dims in another order: a view."""
    rank = input._a.ndim
    wanted = sizes_given("permute", "dims", args, dims)
    if len(wanted) != rank:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions "
            f"i.e. input.dim() = {rank} is not equal to len(dims) = {len(wanted)}"
        )
    wrapped = tuple(wrap_dim(dim, rank) for dim in wanted)
    if len(set(wrapped)) != rank:
        raise RuntimeError(f"permute(): duplicate dims are not allowed. (dims={list(wanted)})")
    return permute_dims(input, dims=wrapped)


@function(aliases=("swapdims",))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dims exchanged: a view."""
    rank = input._a.ndim
    return transpose_dims(input, dim0=wrap_dim(dim0, rank), dim1=wrap_dim(dim1, rank))


@function
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` with NumPy's names."""
    return transpose(input, axis0, axis1)


@function
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or a number as it is."""
    if input._a.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._a.ndim}D")
    return t_matrix(input)


def _reversed_dims(self: Tensor) -> Tensor:
    """All dims in reverse order: a view."""
    if self._a.ndim not in (0, 2):
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw an error in a "
            "future release. Consider `x.mT` to transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to "
            f"reverse the dimensions of a tensor. This one has {self._a.ndim} dims.",
            UserWarning,
            stacklevel=2,
        )
    return permute_dims(self, dims=tuple(range(self._a.ndim))[::-1])


def _matrix_transposed(self: Tensor) -> Tensor:
    """The last two dims exchanged: a view."""
    rank = self._a.ndim
    if not rank:
        return self
    if rank < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {rank}-D tensor.")
    return transpose_dims(self, dim0=rank - 2, dim1=rank - 1)


@function
def adjoint(input: Tensor) -> Tensor:
    """The last two dims exchanged and the elements conjugated."""
    if input._a.ndim == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return _conjugated(_matrix_transposed(input))


def _conjugate_transposed(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix."""
    rank = self._a.ndim
    if rank not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {rank}-D tensor.")
    return _conjugated(_matrix_transposed(self) if rank else self)


def _adjoint(self: Tensor) -> Tensor:
    """The last two dims exchanged and the elements conjugated."""
    return adjoint(self)


def _conjugated(tensor: Tensor) -> Tensor:
    return tensor.conj() if tensor.dtype.is_complex else tensor


# properties, which cannot be bound through the table
for _name, _read in (("T", _reversed_dims), ("mT", _matrix_transposed), ("H", _conjugate_transposed), ("mH", _adjoint)):
    setattr(Tensor, _name, property(_read))


@function(aliases=("moveaxis",))
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Some dims moved to other places, the rest keeping their order: a view."""
    rank = input._a.ndim
    single = isinstance(source, (list, tuple)), isinstance(destination, (list, tuple))
    come = tuple(source) if single[0] else (source,)
    go = tuple(destination) if single[1] else (destination,)
    if len(come) != len(go):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(come)} dims) should contain the same number of dims as "
            f"destination ({list(go)} dims)"
        )
    sources = tuple(wrap_dim(dim, rank) for dim in come)
    targets = tuple(wrap_dim(dim, rank) for dim in go)
    for role, dims, given in (("source", sources, come), ("destination", targets, go)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{role}` ({list(given)})")
    if not rank:
        return alias(input)
    order = [-1] * rank
    for come_from, go_to in zip(sources, targets, strict=True):
        order[go_to] = come_from
    rest = iter(dim for dim in range(rank) if dim not in sources)
    return permute_dims(input, dims=tuple(next(rest) if dim < 0 else dim for dim in order))


# ---------------------------------------------------------------- reshaping
def _reinterpreted(x: Array, wanted: np.dtype[Any]) -> Array:
    """The same bytes as elements of another dtype."""
    wide, narrow = x.itemsize, wanted.itemsize
    if wide == narrow:
        return x.view(wanted)
    names = f"{type_name(from_numpy_dtype[x.dtype])} as {type_name(from_numpy_dtype[wanted])} (different element sizes)"
    if not x.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 to view {names}")
    strides, shape = element_strides(x), list(x.shape)
    ratio = narrow // wide
    if ratio > 1 and shape[-1] % ratio:
        raise RuntimeError(f"self.size(-1) must be divisible by {ratio} to view {names}, but got {shape[-1]}")
    if strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 to view {names}, but got {strides[-1]}")
    if narrow > wide:
        for axis, step in enumerate(strides[:-1]):
            if step % ratio:
                raise RuntimeError(f"self.stride({axis}) must be divisible by {ratio} to view {names}, but got {step}")
        shape[-1] //= ratio
    else:
        shape[-1] *= wide // narrow
    return strided(x, tuple(shape), (*x.strides[:-1], narrow), dtype=wanted)


@function(as_function=False)
def view(self: Tensor, *shape: Any, **named: Any) -> Tensor:
    """Another shape over the same memory, or another dtype over the same bytes."""
    if named:
        unexpected = named.keys() - {"dtype", "size"}
        if unexpected:
            raise TypeError(f"view() received an invalid combination of arguments - got the unknown keyword '{unexpected.pop()}'")
        shape = (named["dtype"] if "dtype" in named else named["size"],)
    if len(shape) == 1 and isinstance(shape[0], (dtype, type)):
        wanted = as_dtype(shape[0])
        if wanted is self.dtype:
            return self
        out = wrap(_reinterpreted(self._memory(), numpy_dtype(wanted)))  # no gradient flows through bytes
        out._v = self._v if self._v is INFERENCE else self._cell()
        return out
    if not shape:
        raise TypeError("view() received an invalid combination of arguments - got (), but expected a size or a dtype")
    return _view(self, infer_shape(as_shape(shape, "size"), self._a.size))


@function
def reshape(input: Tensor, *args: Any, shape: Any = None) -> Tensor:
    """Another shape: a view where the memory allows it, else a copy."""
    wanted = as_shape(args, "shape") if shape is None and args else sizes_given("reshape", "shape", args, shape)
    return _reshape(input, infer_shape(wanted, input._a.size))


def _can_view(array: Any, shape: Shape) -> bool:
    return not array.ndim or array.flags.c_contiguous or view_strides(array.shape, element_strides(array), shape) is not None


def _view(tensor: Tensor, shape: Shape) -> Tensor:
    array = tensor._a
    if not _can_view(array, shape):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous "
            f"subspaces). Use .reshape(...) instead. The tensor has shape {list(array.shape)} and strides {list(element_strides(array))}; "
            f"{list(shape)} was asked for."
        )
    return view_as_shape(tensor, shape=shape)


def _reshape(tensor: Tensor, shape: Shape) -> Tensor:
    if tensor.is_contiguous():
        return view_as_shape(tensor, shape=shape)
    if not _can_view(tensor._a, shape):
        return reshape_to(clone_strided(tensor, order="C"), shape=shape)
    return alias_as_shape(tensor, shape=shape)


@function(as_function=False)
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """The same memory in the shape of another tensor."""
    check_tensor(other, "view_as", "other", 1)
    return _view(self, infer_shape(other._a.shape, self._a.size))


@function(as_function=False)
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """The elements in the shape of another tensor."""
    check_tensor(other, "reshape_as", "other", 1)
    return _reshape(self, infer_shape(other._a.shape, self._a.size))


@function
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dims from `start_dim` to `end_dim` made one."""
    shape = input._a.shape
    first, last = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if first > last:
        raise RuntimeError(f"flatten() has invalid args: start_dim cannot come after end_dim (start_dim={start_dim}, end_dim={end_dim})")
    if not shape:
        return _reshape(input, (1,))
    if first == last:
        return input
    return _reshape(input, (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]))


@function
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dim split into several, whose sizes must multiply to its own; one of them may be -1."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError(f"unflatten got an unexpected error: Dimension specified as {dim} but tensor has no dimensions")
    axis = wrap_dim(dim, len(shape))
    wanted = as_shape((sizes,) if isinstance(sizes, (list, tuple)) else sizes, "sizes")
    if not wanted:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        inner = infer_shape(wanted, shape[axis])
    except RuntimeError as error:
        if "invalid for input of size" not in str(error):
            raise
        raise RuntimeError(
            f"unflatten: Provided sizes {list(wanted)} don't multiply up to the size of dim {axis} ({shape[axis]}) in the input tensor"
        ) from None
    return _view(input, (*shape[:axis], *inner, *shape[axis + 1 :]))


@function
def ravel(input: Tensor) -> Tensor:
    """All elements in one dim: a view where the memory is row-major, else a copy."""
    return view_as_shape(input if input.is_contiguous() else clone_strided(input, order="C"), shape=(input._a.size,))


# ---------------------------------------------------------------- dims of size 1
@function
def squeeze(input: Tensor, dim: Any = None, *dims: int) -> Tensor:
    """Without dims of size 1: all of them, one, or several, given one by one or as a tuple."""
    if dims:
        dim = (dim, *dims)
    if dim is None:
        return squeeze_all(input)
    rank = input._a.ndim
    if isinstance(dim, (tuple, list)):
        return squeeze_dims(input, dims=wrap_dims(dim, rank))
    return squeeze_dim(input, dim=wrap_dim(dim, rank))


@function
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dim of size 1 before `dim`: a view."""
    return unsqueeze_dim(input, dim=wrap_dim(dim, input._a.ndim + 1))


def _atleast(rank: int) -> Any:
    def one(tensor: Tensor) -> Tensor:
        have = tensor._a.ndim
        if have >= rank:
            return tensor
        if not have:
            return _reshape(tensor, (1,) * rank)
        out = unsqueeze_dim(tensor, dim=0) if have == 1 else tensor
        return unsqueeze_dim(out, dim=2) if rank == 3 else out

    def atleast(*tensors: Any) -> Any:
        if len(tensors) == 1:
            if isinstance(tensors[0], Tensor):
                return one(tensors[0])
            tensors = tuple(tensors[0])
        return tuple(one(tensor) for tensor in tensors)

    atleast.__name__ = f"atleast_{rank}d"
    atleast.__doc__ = f"The tensor, or each of several, with dims of size 1 added until it has {rank}."
    return atleast


atleast_1d = function(_atleast(1), method=False)
atleast_2d = function(_atleast(2), method=False)
atleast_3d = function(_atleast(3), method=False)


# ---------------------------------------------------------------- broadcasting
@function(as_function=False)
def expand(self: Tensor, *args: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Dims of size 1 widened, and new dims in front, without copying; -1 leaves a dim as it is."""
    wanted = as_shape(args) if size is None else sizes_given("expand", "size", args, size)
    shape = self._a.shape
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.{LEGACY_NAMES[self.dtype]}{{{list(shape)}}}, size={list(wanted)}): the number of sizes provided ({len(wanted)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    check_expandable(shape, wanted)
    if -1 in wanted:
        if -1 in wanted[:lead]:
            axis = max(axis for axis in range(lead) if wanted[axis] == -1)
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {axis}; sizes: {list(wanted)}"
            )
        kept = [own if width == -1 else width for own, width in zip(shape, wanted[lead:], strict=True)]
        wanted = (*wanted[:lead], *kept)
    return expand_to(self, shape=wanted)


@function
def broadcast_to(input: Tensor, *args: Any, size: Any = None) -> Tensor:
    """The tensor expanded to a shape."""
    return expand(input, *sizes_given("broadcast_to", "size", args, size))


@function(as_function=False)
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor expanded to the shape of another."""
    check_tensor(other, "expand_as", "other", 1)
    return expand(self, *other._a.shape)


@function(method=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that all of the shapes broadcast to."""
    found: list[int] = []
    for position, given in enumerate(shapes):
        shape = as_shape((given,) if isinstance(given, (list, tuple)) else (as_int(given, "shapes"),))
        for width in shape:
            if width < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({width}): ({width})")
        found = [1] * (len(shape) - len(found)) + found
        for back in range(1, len(shape) + 1):
            width, own = shape[-back], found[-back]
            if width not in (1, own) and own != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {width} at {-back}! Mismatching argument at index {position} had "
                    f"{shape}; but expected shape should be broadcastable to {found}"
                )
            if own == 1:
                found[-back] = width
    return as_size(tuple(found))


@function(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape; those that have it already, as they are."""
    given: tuple[Tensor, ...] = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = common_shape(*(tensor._a.shape for tensor in given))
    return tuple(tensor if tensor._a.shape == shape else expand_to(tensor, shape=shape) for tensor in given)
