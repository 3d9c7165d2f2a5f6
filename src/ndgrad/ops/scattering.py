"""Writing by position: along a dim, into the flat tensor; each out of place and in place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.dtypes import bool_, type_name
from ndgrad.base.shapes import wrap_dim
from ndgrad.base.types import Shape
from ndgrad.core.batches import values
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels import indexing, scattering
from ndgrad.kernels.striding import dense_copy
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor, unsupported
from ndgrad.ops.assigning import number_in, write_in_memory
from ndgrad.ops.declare import function, general
from ndgrad.ops.gathering import flat_positions, in_range, integers
from ndgrad.ops.shape import expand_to


def pair(body: Any, *, batch: Any, **facts: Any) -> tuple[Any, Any]:
    """Two primitives with the same rules: one writes into a copy of its first operand, the other into its memory."""

    @functools.wraps(body)
    def on_copy(x: Any, *operands: Any, **params: Any) -> Any:
        return body(dense_copy(x), *operands, **params)

    name = body.__name__
    return general(on_copy, name=name, batch=batch, **facts), general(body, name=f"{name}_in_memory", **facts)


def run(pair: tuple[Any, Any], in_place: bool, name: str, target: Tensor, operands: tuple[Any, ...], **params: Any) -> Tensor:
    return write_in_memory(target, name, pair[1], pair[0], operands, **params) if in_place else pair[0](target, *operands, **params)


def twins(body: Callable[..., Tensor], name: str) -> None:
    """Expose `body(in_place, input, ...)` as `name` and `name_`."""

    def plain(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return body(False, input, *args, **kwargs)

    def in_place(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return body(True, input, *args, **kwargs)

    plain.__name__, in_place.__name__ = name, f"{name}_"
    plain.__doc__, in_place.__doc__ = body.__doc__, f"In-place version of `{name}`."
    function(plain, out=name in OUT)
    function(in_place, as_function=False)


OUT = ("scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy")


# ---------------------------------------------------------------- along a dim
def _read_back(xp: Any, g: Any, index: Any, dim: int, shape: Shape) -> Any:
    """What comes back to the values of a scatter, of which those beyond the index were not used."""
    found = xp.gather_along(g, index, dim=dim)
    return found if found.shape == shape else xp.pad_corner(found, shape=shape)


def _scatter_values(x: Any, src: Any, index: Any, *, dim: int) -> Any:
    """`src` written at the places that an index names along a dim."""
    scattering.scatter(x, index, src, dim)
    return x


def _scatter_number(x: Any, index: Any, *, dim: int, value: Any) -> Any:
    """A number written at the places that an index names along a dim."""
    scattering.scatter(x, index, value, dim)
    return x


def _scatter_sum(x: Any, src: Any, index: Any, *, dim: int) -> Any:
    """`src` added at the places that an index names along a dim."""
    scattering.scatter_add(x, index, src, dim)
    return x


_scatter_values_pair = pair(
    _scatter_values,
    vjp=[
        lambda xp, g, index, dim: xp._scatter_number(g, index, dim=dim, value=0),
        lambda xp, g, index, dim, src_shape: _read_back(xp, g, index, dim, src_shape),
        None,
    ],
    node_name="ScatterBackward0",
    batch=batch_rules.along("_scatter_values"),
)
_scatter_number_pair = pair(
    _scatter_number,
    vjp=[lambda xp, g, index, dim: xp._scatter_number(g, index, dim=dim, value=0), None],
    jvp=lambda xp, tangents, index, dim: xp._scatter_number(tangents[0], index, dim=dim, value=0),
    node_name="ScatterBackward1",
    batch=batch_rules.along("_scatter_number"),
)
_scatter_sum_pair = pair(
    _scatter_sum,
    vjp=[lambda xp, g: g, lambda xp, g, index, dim, src_shape: _read_back(xp, g, index, dim, src_shape), None],
    node_name="ScatterAddBackward0",
    batch=batch_rules.along("_scatter_sum"),
)


def _check_scatter(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor | None) -> int:
    shape = input._a.shape
    axis = wrap_dim(dim, len(shape))
    index = integers(index, "scatter(): Expected dtype int32/int64 for index; got {}")
    if src is not None and src._a.dtype != input._a.dtype:
        raise RuntimeError(f"scatter(): Expected self.dtype to be equal to src.dtype, got {input.dtype} and {src.dtype}")
    own = index._a.shape
    if not index._a.size:
        return axis
    if max(len(own), 1) != max(len(shape), 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as self tensor: {list(own)} and {list(shape)}")
    given = None if src is None else src._a.shape
    if given is not None and max(len(given), 1) != max(len(own), 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as src tensor: {list(own)} and {list(given)}")
    fits = all(have <= room for other, (have, room) in enumerate(zip(own, shape or (1,), strict=False)) if other != axis)
    if not fits or (given is not None and any(have > room for have, room in zip(own, given or (1,), strict=False))):
        raise RuntimeError(
            f"Expected index {list(own)} to be no larger than self {list(shape)} apart from dimension {axis}"
            + ("" if given is None else f" and to be no larger size than src {list(given)}")
        )
    in_range(index._a, axis, shape[axis] if shape else 1)
    return axis


def _scatter(
    in_place: bool, input: Tensor, dim: int, index: Tensor, src: Any = None, value: Any = None, *, reduce: str | None = None
) -> Tensor:
    """The elements of `src`, or a number, written at the places that an index names along a dim."""
    given = value if src is None else src
    name = "scatter_" if in_place else "scatter"
    tensor = given if isinstance(given, Tensor) else None
    if reduce is not None and reduce not in ("add", "multiply"):
        raise RuntimeError(f"reduce argument must be either add or multiply. (It was {reduce}.)")
    axis = _check_scatter(name, input, dim, index, tensor)
    if tensor is None:
        number = number_in(given, input)
        if reduce is None:
            return run(_scatter_number_pair, in_place, name, input, (index,), dim=axis, value=number)
        tensor = expand_to(wrap(np.asarray(number)), shape=index._a.shape)
    if reduce is None:
        return run(_scatter_values_pair, in_place, name, input, (tensor, index), dim=axis)
    if reduce == "add":
        return run(_scatter_sum_pair, in_place, name, input, (tensor, index), dim=axis)
    return run(_reduce_pair, in_place, name, input, (tensor, index), dim=axis, reduce="prod", include_self=True)


def _scatter_add(in_place: bool, input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """The elements of `src` added at the places that an index names along a dim."""
    check_tensor(src, "scatter_add", "src", 4)
    axis = _check_scatter("scatter_add", input, dim, index, src)
    return run(_scatter_sum_pair, in_place, "scatter_add_", input, (src, index), dim=axis)


# ---------------------------------------------------------------- reductions along a dim
def _scatter_combine(x: Any, src: Any, index: Any, *, dim: int, reduce: str, include_self: bool) -> Any:
    """`src` combined with what is at the places that an index names along a dim."""
    scattering.scatter_reduce(x, index, src, dim, reduce, include_self)
    return x


def _reduce_back(
    xp: Any,
    g: Any,
    needs: Any,
    x: Any,
    src: Any,
    index: Any,
    out: Any,
    dim: int,
    reduce: str,
    include_self: bool,
    index_shape: Shape,
    src_shape: Shape,
) -> tuple[Any, ...]:
    """Cotangents of what was there and of what came in."""
    if src_shape != index_shape:
        src = xp.cut_corner(src, shape=index_shape)
    if not index_shape or 0 in index_shape:
        index_shape = tuple(index_shape)

    def read(t: Any) -> Any:
        return xp.gather_along(t, index, dim=dim)

    def add(t: Any, values: Any) -> Any:
        return xp._scatter_sum(t, values, index, dim=dim)

    if reduce == "sum":
        for_x, for_src = g, read(g)
    elif reduce == "mean":
        count = add(xp.ones_of(g) if include_self else xp.zeros_of(g), xp.ones_of(src))
        share = g / xp.where(count == 0, xp.ones_of(count), count)
        for_x, for_src = share, read(share)
    elif reduce == "prod":
        conj = xp.conj
        without_zero = xp.where(x == 0, xp.ones_of(x), x)
        product = xp._scatter_combine(without_zero, src, index, dim=dim, reduce="prod", include_self=include_self)
        for_x = g * conj(product / without_zero)
        zero = src == 0
        zeros = read(add(xp.zeros_of(x), xp.where(zero, xp.ones_of(src), xp.zeros_of(src))))
        single = zero & (zeros == 1)
        rest = xp._scatter_combine(x, xp.where(single, xp.ones_of(src), src), index, dim=dim, reduce="prod", include_self=include_self)
        for_src = xp.where(single, read(g * conj(rest)), read(g * conj(out)) / conj(xp.where(zero, xp.ones_of(src), src)))
    else:
        mine = xp.where(x == out, xp.ones_of(x), xp.zeros_of(x))
        theirs = xp.where(src == read(out), xp.ones_of(src), xp.zeros_of(src))
        share = g / add(mine, theirs)
        for_x, for_src = mine * share, theirs * read(share)
    if not include_self:
        for_x = xp._scatter_number(for_x, index, dim=dim, value=0)
    if src_shape != index_shape:
        for_src = xp.pad_corner(for_src, shape=src_shape)
    return (for_x if needs[0] else None, for_src if needs[1] else None, None)


def _index_combine(x: Any, src: Any, index: Any, *, dim: int, reduce: str, include_self: bool) -> Any:
    """The slices of `src` combined with those at positions of a dim."""
    scattering.scatter_reduce(x, index, src, dim, reduce, include_self)
    return x


_reduce_pair = pair(_scatter_combine, joint=_reduce_back, node_name="ScatterReduceBackward0", batch=batch_rules.along("_scatter_combine"))
_index_reduce_pair = pair(
    _index_combine,
    joint=_reduce_back,
    node_name="IndexReduceBackward0",
    saved={"source": "src", "index": None},
    batch=batch_rules.along("_index_combine"),
)


def _scatter_reduce(
    in_place: bool, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The elements of `src` combined at the places that an index names along a dim."""
    check_tensor(src, "scatter_reduce", "src", 4)
    axis = _check_scatter("scatter_reduce", input, dim, index, src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if (reduce in ("amax", "amin") and input.dtype.is_complex) or (reduce == "mean" and input.dtype is bool_):
        unsupported(f"scatter_gather_tensor_cpu_reduce_{reduce}", input.dtype)
    return run(_reduce_pair, in_place, "scatter_reduce_", input, (src, index), dim=axis, reduce=reduce, include_self=include_self)


def _index_reduce(
    in_place: bool, input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The slices of `source` combined with those that a vector of positions names."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    if input.dtype.is_complex or input.dtype is bool_:
        unsupported("index_func_", input.dtype)
    axis = _check_rows("index_reduce", input, dim, index, source)
    shape = source._a.shape
    column = index.reshape(tuple(-1 if other == axis else 1 for other in range(len(shape))))
    whole = expand_to(column, shape=shape)
    return run(_index_reduce_pair, in_place, "index_reduce_", input, (source, whole), dim=axis, reduce=reduce, include_self=include_self)


# ---------------------------------------------------------------- slices along a dim
def _index_add_rows(x: Any, source: Any, index: Any, *, dim: int, alpha: Any) -> Any:
    """The slices of `source`, times `alpha`, added at positions of a dim."""
    values = source if alpha == 1 else (source * alpha).astype(x.dtype, copy=False)
    indexing.add_at_dim(scattering.with_dim(x), np.reshape(index, -1), scattering.with_dim(values), dim)
    return x


def _index_copy_rows(x: Any, source: Any, index: Any, *, dim: int) -> Any:
    """The slices of `source` written at positions of a dim."""
    scattering.with_dim(x)[(slice(None),) * dim + (np.reshape(index, -1),)] = source
    return x


def _index_fill_number(x: Any, index: Any, *, dim: int, value: Any) -> Any:
    """A number written at positions of a dim."""
    scattering.with_dim(x)[(slice(None),) * dim + (np.reshape(index, -1),)] = value
    return x


def _index_fill_tensor(x: Any, value: Any, index: Any, *, dim: int) -> Any:
    """The one element of a tensor written at positions of a dim."""
    return _index_fill_number(x, index, dim=dim, value=value)


def _emptied(xp: Any, g: Any, index: Any, dim: int) -> Any:
    return xp._index_fill_number(g, index, dim=dim, value=0)


def _filled_back(xp: Any, g: Any, index: Any, dim: int) -> Any:
    # summed where something was written, not over the positions: one that is named twice counts once
    kept = _emptied(xp, xp.ones_of(g), index, dim)
    return xp.sum_to(xp.where(xp.eq(kept, 0), g, 0), shape=())


def _rows_put(xp: Any, x: Any, source: Any, index: Any, dim: int, accumulate: bool) -> Any:
    """The rule of what writes slices: the same by index tensors."""
    given = x if x.ndim else x.reshape(1)
    return xp.index_put_1(given, source, index.reshape(-1), dims=(dim,), accumulate=accumulate).reshape(x.shape)


def _rows_added(xp: Any, x: Any, source: Any, index: Any, dim: int, alpha: Any) -> Any:
    return _rows_put(xp, x, source if alpha == 1 else (source * alpha).to(x.dtype), index, dim, True)


def _rows_filled(xp: Any, x: Any, value: Any, index: Any, dim: int) -> Any:
    # by a mask, because a position that is named twice counts once in the gradient
    hit = xp._index_fill_number(wrap(np.zeros(x.shape, np.bool_)), index, dim=dim, value=True)
    return xp.where(hit, value, x)


_index_add_pair = pair(
    _index_add_rows,
    vjp=[lambda xp, g: g, lambda xp, g, index, dim, alpha: xp.select_rows(g, index, dim=dim) * alpha, None],
    node_name="IndexAddBackward0",
    batch=batch_rules.composed(_rows_added),
)
_index_copy_pair = pair(
    _index_copy_rows,
    vjp=[_emptied, lambda xp, g, index, dim: xp.select_rows(g, index, dim=dim), None],
    node_name="IndexCopyBackward0",
    batch=batch_rules.composed(lambda xp, x, source, index, dim: _rows_put(xp, x, source, index, dim, False)),
)
_index_fill_pair = pair(
    _index_fill_number,
    vjp=[_emptied, None],
    jvp=lambda xp, tangents, index, dim: _emptied(xp, tangents[0], index, dim),
    node_name="IndexFillBackward0",
    batch=batch_rules.composed(lambda xp, x, index, dim, value: _rows_put(xp, x, wrap(np.asarray(value, x._a.dtype)), index, dim, False)),
)
_index_fill_tensor_pair = pair(
    _index_fill_tensor,
    vjp=[_emptied, _filled_back, None],
    node_name="IndexFillBackward1",
    batch=batch_rules.composed(_rows_filled),
)


def _check_rows(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> int:
    check_tensor(index, name, "index", 3)
    check_tensor(source, name, "source", 4)
    shape, given = input._a.shape, source._a.shape
    axis = wrap_dim(dim, len(shape))
    count = index._a.size
    if index._a.ndim > 1:
        raise IndexError(
            f"{name}_(): Index is supposed to be a vector, but got dim: {index._a.ndim} with type: {type_name(index.dtype)} "
            f"and size: {list(index._a.shape)}"
        )
    integers(index, f"{name}_(): Expected dtype int32/int64 for index but got: {{}}")
    if source._a.dtype != input._a.dtype:
        raise RuntimeError(
            f"{name}_(): self ({type_name(input.dtype)}) and source ({type_name(source.dtype)}) must have the same scalar type"
        )
    if count != (given[axis] if given and axis < len(given) else 1):
        size = given[axis] if given and axis < len(given) else 1
        raise RuntimeError(f"{name}_(): Number of indices ({count}) should be equal to source.size(dim): ({size}), for dim: {axis}")
    if (len(given) != len(shape) and given and shape) or any(
        have != want for other, (have, want) in enumerate(zip(given, shape, strict=False)) if other != axis
    ):
        raise RuntimeError(
            f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {list(shape)} "
            f"source.shape = {list(given)}"
        )
    in_range(index._a, axis, shape[axis] if shape else 1)
    return axis


def _index_add(in_place: bool, input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """The slices of `source`, times `alpha`, added to those that a vector of positions names."""
    axis = _check_rows("index_add", input, dim, index, source)
    return run(_index_add_pair, in_place, "index_add_", input, (source, index), dim=axis, alpha=alpha)


def _index_copy(in_place: bool, input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The slices of `source` in place of those that a vector of positions names."""
    check_tensor(index, "index_copy", "index", 3)
    check_tensor(source, "index_copy", "source", 4)
    shape, given = input._a.shape, source._a.shape
    axis = wrap_dim(dim, len(shape))
    count = index._a.size
    if index._a.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index._a.ndim})")
    if not given and count != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {count})")
    if len(given) != len(shape) and given and shape:
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match. "
            f"Source dimensionality ({len(given)}), destination dimensionality ({len(shape)})"
        )
    integers(index, "index_copy_(): Expected a long tensor for index, but got {}", only_long=True)
    if source._a.dtype != input._a.dtype:
        names = type_name(input.dtype), type_name(source.dtype)
        raise RuntimeError(
            f"index_copy_(): self and source expected to have the same dtype, but got (self) {names[0]} and (source) {names[1]}"
        )
    mine, theirs = ((*each[:axis], *each[axis + 1 :]) for each in (shape, given))
    if mine != theirs and given:
        raise RuntimeError(
            f"index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: {' '.join(map(str, mine))} at "
            f"dimension {axis} and source slice shape: {' '.join(map(str, theirs))} at dimension {axis if theirs else 0}."
        )
    if given and count != given[axis]:
        raise IndexError(f"index_copy_(): Number of indices ({count}) should be equal to source.size(dim) ({given[axis]})")
    size = shape[axis] if shape else 1
    in_range(index._a, axis, size, "index_copy_(): index {} is out of bounds for dimension {} with size {}", IndexError)
    return run(_index_copy_pair, in_place, "index_copy_", input, (source, index), dim=axis)


def _index_fill(in_place: bool, input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """One number in place of the slices that a vector of positions names."""
    shape = input._a.shape
    axis = wrap_dim(dim, len(shape))
    integers(index, "index_fill_(): Expected dtype int64 for index.", IndexError, only_long=True)
    if index._a.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._a.ndim} dimension(s).")
        value = value if value._a.dtype == input._a.dtype else value.to(input.dtype)
    elif isinstance(value, complex) and input._a.dtype.kind != "c":
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    indexing.check_index(np.asarray(values(index._a)), shape[axis] if shape else 1, axis)
    if isinstance(value, Tensor):
        return run(_index_fill_tensor_pair, in_place, "index_fill_", input, (value, index), dim=axis)
    return run(_index_fill_pair, in_place, "index_fill_", input, (index,), dim=axis, value=number_in(value, input))


# ---------------------------------------------------------------- into the flat tensor
def _put_flat(x: Any, source: Any, index: Any, *, accumulate: bool) -> Any:
    """The elements of `source` written, or added, at positions of the flat tensor."""
    index, values = np.reshape(index, -1), np.reshape(source, -1)
    if not accumulate:
        x.flat[index] = values
    elif x.flags.c_contiguous:
        indexing.add_at_dim(x.reshape(-1), index, values, 0)
    else:
        out = np.zeros(x.size, x.dtype)
        indexing.add_at_dim(out, index, values, 0)
        x += out.reshape(x.shape)
    return x


def _put_kept(xp: Any, g: Any, index: Any, accumulate: bool) -> Any:
    return g if accumulate else xp._put_flat(g, xp.zeros_shaped(g, shape=index.shape), index, accumulate=False)


def _put_by_index(xp: Any, x: Any, source: Any, index: Any, accumulate: bool) -> Any:
    flat = xp.index_put_1(x.reshape(-1), source.reshape(-1), index.reshape(-1), dims=(0,), accumulate=accumulate)
    return flat.reshape(x.shape)


_put_pair = pair(
    _put_flat,
    vjp=[_put_kept, lambda xp, g, index, source_shape: xp.reshape_to(xp.take_flat(g, index), shape=source_shape), None],
    node_name="PutBackward0",
    batch=batch_rules.composed(_put_by_index),
)


def _put(in_place: bool, input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """The elements of `source` written, or added, at positions of the flat tensor."""
    check_tensor(source, "put", "source", 3)
    integers(index, "put_(): Expected a long tensor for index, but got {}", only_long=True)
    if source._a.dtype != input._a.dtype:
        names = type_name(input.dtype), type_name(source.dtype)
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {names[0]} and source.dtype = {names[1]}"
        )
    if index._a.size != source._a.size:
        raise IndexError(
            f"put_(): Expected source and index to have the same number of elements, but got source.numel() = {source._a.size}, "
            f"index.numel() = {index._a.size}"
        )
    flat_positions(input, index)
    return run(_put_pair, in_place, "put_", input, (source, index), accumulate=accumulate)


for _body, _name in (
    *((_scatter, "scatter"), (_scatter_add, "scatter_add"), (_scatter_reduce, "scatter_reduce"), (_index_reduce, "index_reduce")),
    *((_index_add, "index_add"), (_index_copy, "index_copy"), (_index_fill, "index_fill"), (_put, "put")),
):
    twins(_body, _name)
