"""The payload of a tensor inside `vmap`: it has the shape and dtype of one example, and stands for the values of all of them.

Operations ask a payload for its shape and dtype, compute by primitives, and those are run for all examples at once by the level that the
payload belongs to (`ndgrad.core.batching`). Whoever asks for the values themselves gets the reason why they cannot be had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from ndgrad.base.shapes import is_contiguous
from ndgrad.base.types import Shape

if TYPE_CHECKING:
    from ndgrad.core.batching import BatchLevel
    from ndgrad.core.tensor import Tensor

ITEM = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor, please try to rewrite "
    "what you're doing with other operations. Inside vmap a tensor stands for many examples at once, so it has no one value: compute with "
    "tensors (torch.where instead of `if`), or pass the number in with in_dims=None."
)
CONTROL_FLOW = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support that yet. Inside vmap a "
    "tensor stands for many examples at once, and `if`, `while`, `and` and `or` would have to go both ways: write "
    "torch.where(condition, a, b) instead."
)
NO_STORAGE = (
    "Cannot access data pointer of Tensor that doesn't have storage: inside vmap a tensor stands for many examples at once, so it has no "
    "one value. Return it from the function and look at it outside."
)
ESCAPED = (
    "Either your tensor may have escaped from inside a function being vmapped and this is a user error (see "
    "https://pytorch.org/functorch/stable/ux_limitations.html), or another thread uses it. Return it from the function instead "
    "of keeping it."
)


class Flags:
    """The flags of an array, of one example's memory."""

    def __init__(self, batch: Batch) -> None:
        steps = tuple(step // batch.itemsize for step in batch.strides)
        self.c_contiguous = is_contiguous(batch.shape, steps)
        self.f_contiguous = is_contiguous(batch.shape[::-1], steps[::-1])
        self.writeable: bool = batch.value._memory().flags.writeable


class Batch:
    """What a tensor has as its payload inside `vmap`.

    Attributes
    ----------
    value : the tensor of the level below. Its first dim is the examples' if `mapped`; otherwise all examples have it as it is.
    level : the call of `vmap` that it belongs to.
    shape, dtype : those of one example.
    """

    __slots__ = ("dtype", "level", "mapped", "shape", "value")

    __array_priority__ = 1000

    def __init__(self, value: Tensor, level: BatchLevel, mapped: bool) -> None:
        payload = value._a
        self.value = value
        self.level = level
        self.mapped = mapped
        self.shape: Shape = payload.shape[1:] if mapped else payload.shape
        self.dtype = payload.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def strides(self) -> Shape:
        steps: Shape = self.value._memory().strides
        return steps[1:] if self.mapped else steps

    @property
    def flags(self) -> Any:
        """What NumPy would say of the memory of one example."""
        return Flags(self)

    @property
    def base(self) -> None:
        return None

    def copy(self, order: str = "C") -> Batch:
        """The same values in memory of their own."""
        return self.level.copied(self)

    def __setitem__(self, key: Any, payload: Any) -> None:
        """`batch[...] = payload`: the only key there is."""
        self.level.overwrite(self, payload)

    def values(self) -> Any:
        """The array of all examples' values, one more dim in front for each level: for checks that hold for all or for none."""
        return values(self.value._a)

    # ---------------------------------------------------------------- what cannot be had
    def item(self) -> NoReturn:
        self.refuse(ITEM)

    def tolist(self) -> NoReturn:
        self.refuse(NO_STORAGE)

    def __bool__(self) -> bool:
        self.refuse(CONTROL_FLOW)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self.refuse(NO_STORAGE)

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.refuse(NO_STORAGE)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.refuse(NO_STORAGE)

    def refuse(self, message: str) -> NoReturn:
        """Raise the message, or another one where the tensor is used when its `vmap` has ended."""
        raise RuntimeError(message if self.level.is_open() else ESCAPED)


def _no_operator(self: Batch, *others: Any) -> NoReturn:
    self.refuse(NO_STORAGE)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"):
    for _kind in (f"__{_name}__", f"__r{_name}__"):
        setattr(Batch, _kind, _no_operator)
for _name in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "float", "int", "index", "complex", "len", "iter", "getitem"):
    setattr(Batch, f"__{_name}__", _no_operator)


def values(payload: Any) -> Any:
    """The values behind a payload as an array or a NumPy scalar, one more dim in front for each level of `vmap`."""
    return payload.values() if type(payload) is Batch else payload


def detached(payload: Any) -> Any:
    """The same memory, and inside `vmap` nothing that leads anywhere at any level below."""
    return Batch(payload.value.detach(), payload.level, payload.mapped) if type(payload) is Batch else payload


def varies(payload: Any) -> bool:
    """Whether a payload stands for values that differ between the examples of a `vmap`."""
    return type(payload) is Batch and (payload.mapped or varies(payload.value._a))


def asks_for_values(error: Exception) -> bool:
    """Whether an error says that somebody wanted to look at the values of one example."""
    return error.args in ((ITEM,), (CONTROL_FLOW,), (NO_STORAGE,))


def batch_of(payload: Any) -> Batch | None:
    """The payload itself, where it stands for the examples of a `vmap`."""
    return payload if type(payload) is Batch else None


def deepest(payloads: Iterable[Any]) -> Any:
    """The level that was entered last among those that the payloads belong to; None if there is none."""
    found: Any = None
    for payload in payloads:
        if type(payload) is Batch and (found is None or payload.level.depth > found.depth):
            found = payload.level
    return found


def holds(memory: Any, payload: Any) -> bool:
    """Whether a payload can be written into some memory: it does not differ between examples that have the memory in common."""
    level = deepest((payload,))
    if level is None:
        return True
    own = batch_of(memory)
    if own is None or own.level.depth < level.depth:
        return not payload.mapped and holds(memory, payload.value._a)
    if own.level is not level:
        return holds(own.value._a, payload)
    return (own.mapped or not payload.mapped) and holds(own.value._a, payload.value._a)
