"""`x[...]` and `x[...] = value`: basic indices become views one by one, index tensors are looked up together at the end."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.types import Shape
from ndgrad.core.batches import batch_of, values
from ndgrad.core.saved import Names, Tensors, constant
from ndgrad.core.tensor import Tensor, plain, wrap
from ndgrad.kernels import indexing as kernels
from ndgrad.kernels.striding import dense_copy
from ndgrad.ops import index_rules
from ndgrad.ops.data import array_of
from ndgrad.ops.declare import Operation, function, general, rule_helper
from ndgrad.ops.pieces import range_of, selected, slice_range, unbind
from ndgrad.ops.shape import alias, expand_to, unsqueeze_dim

int64 = np.dtype(np.int64)

rule_helper("zero_of", lambda g: np.zeros((), g.dtype), lambda g: wrap(np.zeros((), g._a.dtype)))
rule_helper("zeros_of", np.zeros_like, lambda g: wrap(np.zeros(g._a.shape, g._a.dtype)))
rule_helper("ones_of", np.ones_like, lambda g: wrap(np.ones(g._a.shape, g._a.dtype)))
rule_helper(
    "broadcast_mask", lambda mask, *, shape: np.broadcast_to(mask, shape), lambda mask, *, shape: expand_to(mask, shape=tuple(shape))
)
rule_helper("zeros_shaped", lambda g, *, shape: np.zeros(shape, g.dtype), lambda g, *, shape: wrap(np.zeros(shape, g._a.dtype)))


def _indices(node: Any) -> tuple[Any, ...]:
    """The index tensors of a node as PyTorch keeps them: None for a dim before the last of them that has none."""
    dims = node.params["dims"]
    found: list[Any] = [None] * (dims[-1] + 1)
    for dim, name in zip(dims, (name for name in node.residuals if name.startswith("index")), strict=True):
        found[dim] = node.residual_tensor(node.residuals.index(name))
    return tuple(found)


def _mask(node: Any) -> tuple[Any, ...]:
    return (*(None,) * node.params["dim"], node.residual_tensor(node.residuals.index("mask")))


_MASK: Names = {"indices": Tensors(_mask), "mask": None, "dim": None}


# ---------------------------------------------------------------- primitives: one mask
@general(
    vjp=[lambda xp, g, mask, x_shape, dim: xp.index_mask_backward(g, mask, shape=x_shape, dim=dim), None],
    jvp=lambda xp, tangents, mask, dim: xp.index_mask(tangents[0], mask, dim=dim),
    node_name="IndexBackward0",
    saved=_MASK,
    batch=index_rules.reading_mask,
)
def index_mask(x: Any, mask: Any, *, dim: int) -> Any:
    """The elements where a mask over the dims from `dim` on holds."""
    return kernels.look_up_mask(x, mask, dim)


@general(
    vjp=[lambda xp, g, mask, dim: xp.index_mask(g, mask, dim=dim), None],
    jvp=lambda xp, tangents, mask, shape, dim: xp.index_mask_backward(tangents[0], mask, shape=shape, dim=dim),
    node_name="IndexPutBackward0",
    batch=index_rules.adding_mask,
)
def index_mask_backward(x: Any, mask: Any, *, shape: Shape, dim: int) -> Any:
    """Zeros of `shape` with `x` where the mask holds."""
    out = np.zeros(shape, x.dtype)
    out[(slice(None),) * dim + (mask,)] = x
    return out


@general(
    vjp=[
        lambda xp, g, mask, dim: xp.index_put_mask(g, xp.zero_of(g), mask, dim=dim),
        lambda xp, g, mask, dim: xp.index_mask(g, mask, dim=dim),
        None,
    ],
    node_name="IndexPutBackward0",
    saved={**_MASK, "accumulate": constant(False)},
    batch=index_rules.writing_mask,
)
def index_put_mask(x: Any, value: Any, mask: Any, *, dim: int) -> Any:
    """A copy of `x` with `value` where the mask holds."""
    return _put_mask(dense_copy(x), value, mask, dim=dim)


def _put_mask(x: Any, value: Any, mask: Any, *, dim: int) -> Any:
    """`value` written into `x` where the mask holds."""
    x[(slice(None),) * dim + (mask,)] = value
    return x


index_put_mask_ = general(
    _put_mask,
    name="index_put_mask_",
    vjp=index_put_mask.primitive.rules,
    node_name="IndexPutBackward0",
    saved=index_put_mask.primitive.saved,
)


# ---------------------------------------------------------------- primitives: several index tensors
def _with_operands(body: Any, name: str, operands: tuple[str, ...], params: tuple[str, ...]) -> Any:
    """Give a function that takes `*indices` a signature with as many operands as one call has."""
    kind = inspect.Parameter
    parameters = [kind(each, kind.POSITIONAL_OR_KEYWORD) for each in operands] + [kind(each, kind.KEYWORD_ONLY) for each in params]
    body.__signature__ = inspect.Signature(parameters)
    body.__name__ = name
    return body


_many: dict[int, tuple[Operation, Operation, Operation, Operation]] = {}


def index_primitives(count: int) -> tuple[Operation, Operation, Operation, Operation]:
    """For a number of index tensors: reading, its transpose, writing, and writing straight into the operand's memory."""
    found = _many.get(count)
    if found is None:
        found = _many[count] = _declare(count)
    return found


def _declare(count: int) -> tuple[Operation, Operation, Operation, Operation]:
    names = tuple(f"index{i}" for i in range(count))
    no_rules = (None,) * count
    read_name, back_name, write_name = f"index_{count}", f"index_{count}_backward", f"index_put_{count}"

    saved: Names = {"indices": Tensors(_indices), "dim": None, **dict.fromkeys(names)}

    def rule(body: Any, *arguments: str) -> Any:
        return _with_operands(body, "rule", arguments, ())

    def read(x: Any, *indices: Any, dims: tuple[int, ...]) -> Any:
        return kernels.take(x, indices[0], dims[0]) if len(dims) == 1 else kernels.look_up(x, indices, dims)

    def back(x: Any, *indices: Any, shape: Shape, dims: tuple[int, ...]) -> Any:
        out = np.zeros(shape, x.dtype)
        kernels.add_at_dims(out, indices, x, dims)
        return out

    def put(x: Any, value: Any, *indices: Any, dims: tuple[int, ...], accumulate: bool) -> Any:
        return put_into(dense_copy(x), value, *indices, dims=dims, accumulate=accumulate)

    def put_into(x: Any, value: Any, *indices: Any, dims: tuple[int, ...], accumulate: bool) -> Any:
        if accumulate:
            kernels.add_at_dims(x, indices, value, dims)
        else:
            x[kernels.key_of(x.ndim, dims, indices)] = value
        return x

    reading = general(
        _with_operands(read, read_name, ("x", *names), ("dims",)),
        vjp=[
            rule(
                lambda xp, g, shape, dims, *indices: getattr(xp, back_name)(g, *indices, shape=shape, dims=dims),
                *("xp", "g", "x_shape", "dims", *names),
            ),
            *no_rules,
        ],
        jvp=rule(
            lambda xp, tangents, dims, *indices: getattr(xp, read_name)(tangents[0], *indices, dims=dims), "xp", "tangents", "dims", *names
        ),
        node_name="IndexBackward0",
        saved=saved,
        batch=index_rules.reading(index_primitives),
    )
    backward = general(
        _with_operands(back, back_name, ("x", *names), ("shape", "dims")),
        vjp=[rule(lambda xp, g, dims, *indices: getattr(xp, read_name)(g, *indices, dims=dims), "xp", "g", "dims", *names), *no_rules],
        jvp=rule(
            lambda xp, tangents, shape, dims, *indices: getattr(xp, back_name)(tangents[0], *indices, shape=shape, dims=dims),
            *("xp", "tangents", "shape", "dims", *names),
        ),
        node_name="IndexPutBackward0",
        batch=index_rules.adding(index_primitives),
    )

    def kept(xp: Any, g: Any, dims: tuple[int, ...], accumulate: bool, *indices: Any) -> Any:
        return g if accumulate else getattr(xp, write_name)(g, xp.zero_of(g), *indices, dims=dims, accumulate=False)

    def written(xp: Any, g: Any, dims: tuple[int, ...], *indices: Any) -> Any:
        return getattr(xp, read_name)(g, *indices, dims=dims)

    rules = [rule(kept, "xp", "g", "dims", "accumulate", *names), rule(written, "xp", "g", "dims", *names), *no_rules]

    def push(xp: Any, tangents: Any, dims: tuple[int, ...], accumulate: bool, x_shape: Shape, *indices: Any) -> Any:
        base, value = tangents[:2]
        if base is None:
            base = xp.zeros_shaped(value, shape=x_shape)
        if value is None:
            if accumulate:
                return base
            value = xp.zero_of(base)
        return getattr(xp, write_name)(base, value, *indices, dims=dims, accumulate=accumulate)

    jvp = rule(push, "xp", "tangents", "dims", "accumulate", "x_shape", *names)
    operands, params = ("x", "value", *names), ("dims", "accumulate")
    writing = general(
        _with_operands(put, write_name, operands, params),
        vjp=rules,
        jvp=jvp,
        node_name="IndexPutBackward0",
        saved=saved,
        batch=index_rules.writing(index_primitives),
    )
    in_memory = general(
        _with_operands(put_into, f"{write_name}_", operands, params), vjp=rules, jvp=jvp, node_name="IndexPutBackward0", saved=saved
    )
    return reading, backward, writing, in_memory


for _count in range(1, 5):
    index_primitives(_count)


# ---------------------------------------------------------------- reading the key
def _refused(item: Any) -> NoReturn:
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        f"(got {qualified_name(type(item))})"
    )


def qualified_name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _items(key: Any) -> tuple[Any, ...]:
    """The key as a tuple of indices; a list that holds more than numbers is one too."""
    if isinstance(key, tuple):
        return key
    if (
        isinstance(key, list)
        and len(key) < 32
        and any(isinstance(item, (Tensor, list, tuple, np.ndarray, slice)) or item is None or item is ... for item in key)
    ):
        return tuple(key)
    return (key,)


def _as_index(item: Any) -> Any:
    """An index as an int, a bool, a slice, None, Ellipsis, or a tensor of int64, int32 or bool (without dims, of any integer dtype)."""
    kind = type(item)
    if kind in (int, slice, bool) or item is None or item is ...:
        return item
    if isinstance(item, Tensor):
        return checked_index(item)
    if isinstance(item, (np.bool_, str, bytes)):
        if isinstance(item, np.bool_):
            _refused(item)
        raise TypeError(f"new(): invalid data type '{kind.__name__}'")
    if isinstance(item, np.ndarray):
        return checked_index(wrap(np.array(item)))
    if isinstance(item, (list, tuple, range)):
        array = array_of(item if isinstance(item, (list, tuple)) else list(item), None)
        return checked_index(wrap(array.astype(np.int64) if not array.size else array))
    if hasattr(item, "__index__"):
        return int(item.__index__())
    if hasattr(item, "__array__"):
        return checked_index(wrap(np.array(item)))
    return _refused(item)


def checked_index(tensor: Tensor) -> Tensor:
    """A tensor that may be an index, of int64, int32 or bool."""
    kind = tensor._a.dtype
    if kind.kind == "b" or kind in (np.int64, np.int32) or (kind.kind == "i" and not tensor._a.ndim):
        return tensor
    if kind == np.uint8:
        if tensor._a.ndim:
            warnings.warn(
                "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.", UserWarning, stacklevel=4
            )
        return wrap(np.asarray(tensor._a).astype(np.bool_))
    raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors; got {tensor.dtype}")


def bounds(item: slice, size: int) -> tuple[int, int, int]:
    """Start, stop and step of a slice, counted from the front."""
    start, stop, step = (_slice_part(part) for part in (item.start, item.stop, item.step))
    step = 1 if step is None else step
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError(f"step must be greater than zero; a step of {step} would need flip()")
    first, last = range_of(start, stop, size)
    return first, last, step


def takes_all(item: slice, step: int, size: int) -> bool:
    """Whether a slice is one that PyTorch leaves out: it takes everything, and does not count from the end."""
    return step == 1 and item.start in (None, 0) and (item.stop is None or item.stop >= size)


def _slice_part(part: Any) -> int | None:
    if part is None or type(part) is int:
        return part
    if hasattr(part, "__index__"):
        return int(part.__index__())
    raise TypeError("slice indices must be integers or None or have an __index__ method")


Advanced = list[tuple[int, Tensor]]


def apply_basic(tensor: Tensor, key: Any, writes: bool = False) -> tuple[Tensor, Advanced]:
    """The view that the basic indices make, and the index tensors with the dims of that view that they are for.

    An index without dims that differs between the examples of a `vmap` makes no view: what it names is read at once, or, for who
    writes, it is one of the index tensors.
    """
    items = [_as_index(item) for item in _items(key)]
    rank = tensor._a.ndim
    used = 0
    for item in items:
        if isinstance(item, Tensor):
            used += item._a.ndim if item._a.dtype.kind == "b" else 1
        elif item is not None and item is not ... and type(item) is not bool:
            used += 1
    if used > rank:
        if not rank and len(items) == 1 and type(items[0]) is not slice:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to "
                "a number"
            )
        if not rank and len(items) == 1:
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    advanced: Advanced = []
    dim = 0
    for item in items:
        if type(item) is int:
            tensor = selected(tensor, dim, item)
        elif type(item) is slice:
            start, stop, step = bounds(item, tensor._a.shape[dim])
            if not takes_all(item, step, tensor._a.shape[dim]):
                tensor = slice_range(tensor, dim=dim, start=start, stop=stop, step=step)
            dim += 1
        elif item is None:
            tensor = unsqueeze_dim(tensor, dim=dim)
            dim += 1
        elif item is ...:
            dim += rank - used
            used = rank  # a second ellipsis stands for nothing
        elif isinstance(item, bool):
            tensor = unsqueeze_dim(tensor, dim=dim)
            advanced.append((dim, _position(item)))
            dim += 1
        elif item._a.ndim == 0 and batch_of(item._a) is not None:
            if item._a.dtype.kind == "b":
                index_rules.refuse_mask()
            if writes:
                advanced.append((dim, item))
                dim += 1
            else:
                tensor = look_up(tensor, [(dim, item)])
        elif item._a.ndim == 0:
            if item._a.dtype.kind == "b":
                tensor = unsqueeze_dim(tensor, dim=dim)
                advanced.append((dim, _position(bool(item._a))))
                dim += 1
            else:
                tensor = selected(tensor, dim, int(item._a))
        else:
            advanced.append((dim, item))
            dim += item._a.ndim if item._a.dtype.kind == "b" else 1
    return tensor, advanced


def _position(flag: bool) -> Tensor:
    """The index of a bool scalar into the dim that was made for it."""
    return wrap(np.zeros(int(flag), np.int64))


def check_mask(mask: Any, shape: Shape, dim: int) -> None:
    for axis, size in enumerate(mask.shape):
        if shape[dim + axis] != size:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {axis} does not match the shape of the indexed tensor {list(shape)} "
                f"at index {dim + axis}"
            )


def resolve(shape: Shape, advanced: Advanced) -> tuple[tuple[int, ...], list[Tensor]]:
    """Index tensors only: masks become the positions where they hold. Dims and tensors, one for each."""
    dims: list[int] = []
    indices: list[Tensor] = []
    for dim, index in advanced:
        payload = index._a
        if payload.dtype.kind == "b":
            check_mask(payload, shape, dim)
            if index_rules.differs(index):
                index_rules.refuse_mask()
            for axis, positions in enumerate(np.nonzero(values(payload))):
                dims.append(dim + axis)
                indices.append(wrap(positions))
        else:
            dims.append(dim)
            indices.append(index)
    shapes = [index._a.shape for index in indices]
    if len(indices) > 1:
        try:
            broadcast_shapes(*shapes)
        except RuntimeError:
            listed = ", ".join(str(list(each)) for each in shapes)
            raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}") from None
    return tuple(dims), indices


def check_positions(shape: Shape, dims: tuple[int, ...], indices: list[Tensor]) -> None:
    """Refuse positions out of range."""
    for dim, index in zip(dims, indices, strict=True):
        kernels.check_index(np.asarray(values(index._a)), shape[dim], dim)


def lone_mask(advanced: Advanced) -> bool:
    return len(advanced) == 1 and advanced[0][1]._a.dtype.kind == "b"


def check_not_empty(shape: Shape, dims: tuple[int, ...], indices: list[Tensor]) -> None:
    """Refuse to look anything up along a dim of size 0: NumPy would not notice."""
    if 0 in shape and any(shape[dim] == 0 for dim in dims) and 0 not in (index._a.size for index in indices):
        check_positions(shape, dims, indices)


def look_up(tensor: Tensor, advanced: Advanced) -> Tensor:
    """What the index tensors name of a tensor."""
    shape = tensor._a.shape
    lone = len(advanced) == 1
    if lone and advanced[0][1]._a.dtype.kind == "b":
        dim, mask = advanced[0]
        check_mask(mask._a, shape, dim)
        return index_mask(tensor, mask, dim=dim)
    dims, indices = ((advanced[0][0],), [advanced[0][1]]) if lone else resolve(shape, advanced)
    check_not_empty(shape, dims, indices)
    try:
        return index_primitives(len(dims))[0](tensor, *indices, dims=dims)
    except IndexError:
        check_positions(shape, dims, indices)
        raise


def get_item(self: Tensor, key: Any) -> Tensor:
    """`self[key]`: a view where the key has only ints, slices, None and Ellipsis; else a copy."""
    kind = type(key)
    if kind is int:
        if self._a.ndim:
            return selected(self, 0, key)
    elif kind is slice and self._a.ndim:
        start, stop, step = bounds(key, self._a.shape[0])
        return slice_range(self, dim=0, start=start, stop=stop, step=step)
    elif kind in plain and key._a.dtype is int64 and key._a.ndim and self._a.ndim:
        return look_up(self, [(0, key)])
    tensor, advanced = apply_basic(self, key)
    if advanced:
        return look_up(tensor, advanced)
    return alias(self) if tensor is self else tensor


function(get_item, name="__getitem__", as_function=False)


@function(name="__iter__", as_function=False)
def iterate(self: Tensor) -> Iterator[Tensor]:
    """The parts along the first dim."""
    if not self._a.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self, 0))


@function(name="__contains__", as_function=False)
def contains(self: Tensor, element: Any) -> bool:
    """Whether any element equals a number or an element of a tensor."""
    if not isinstance(element, (Tensor, int, float, complex, np.generic)):
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")
    other = element._a if isinstance(element, Tensor) else element
    if batch_of(self._a) is not None or batch_of(other) is not None:
        return bool((self == element).any().item())  # which says why it cannot be had
    return bool(np.any(self._a == other))
