"""Copies of a tensor by Python's means: `copy.copy`, `copy.deepcopy` and `pickle`; bound to `Tensor` in `ndgrad.core`."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from ndgrad.base.location import users_level
from ndgrad.base.storage import address, owner_of
from ndgrad.base.types import Array
from ndgrad.core.batches import batch_of
from ndgrad.core.tensor import LEAF, Tensor, wrap


def remade(cls: type[Tensor], array: Array, requires_grad: bool) -> Tensor:
    """A leaf of the given class; pickles name this function."""
    out = wrap(array, LEAF if requires_grad else None)
    out.__class__ = cls
    return out


def warn_if_has_hooks(tensor: Tensor) -> None:
    """Warn for each hook of a tensor, unless marked, that it is not saved with the tensor."""
    for hook in tuple((tensor._backward_hooks or {}).values()):
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate the function with "
                "@torch.utils.hooks.unserializable_hook to suppress this warning",
                UserWarning,
                stacklevel=users_level(),
            )


def _refuse_batched(tensor: Tensor) -> None:
    if batch_of(tensor._a) is not None:
        raise NotImplementedError(
            "Cannot access storage of BatchedTensorImpl: inside vmap a tensor stands for many examples at once, and has no memory that "
            "could be copied or pickled. Write x.clone() for a copy."
        )


def shallow_copy(self: Tensor) -> Tensor:
    """A leaf of its own over the same memory, as if it had been pickled."""
    _refuse_batched(self)
    warn_if_has_hooks(self)
    out = remade(self.__class__, self._memory(), self.requires_grad)
    out.__dict__.update({name: value for name, value in self.__dict__.items() if name not in ("_grad", "_accumulator")})
    return out


def deep_copy(self: Tensor, memo: dict[Any, Any]) -> Tensor:
    """A leaf with memory of its own; tensors that shared memory share the copy of it too."""
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
            "(A module may hold such a tensor where it computes one parameter from others.) "
            f"This one was computed by {self._node.name()} at {self._node.where()}; write t.detach().clone() for a copy of its value."
        )
    found: Tensor | None = memo.get(id(self))
    if found is not None:
        return found
    _refuse_batched(self)
    out = memo[id(self)] = remade(self.__class__, deep_copy_of_memory(self._memory(), memo), self.requires_grad)
    if self._grad is not None:
        out._grad = copy.deepcopy(self._grad, memo)
    for name, value in self.__dict__.items():
        if name not in ("_grad", "_accumulator", "_hooks", "_post_accumulate_hooks"):
            out.__dict__[name] = copy.deepcopy(value, memo)
    return out


def deep_copy_of_memory(source: Array, memo: dict[Any, Any]) -> Array:
    """A copy of the array, seen in one copy of its owner however many arrays are seen in that."""
    owner = owner_of(source)
    if not np.shares_memory(owner.ravel(order="K"), owner):
        return source.copy(order="K")
    key = ("memory", id(owner))
    copied: Array | None = memo.get(key)
    if copied is None:
        copied = memo[key] = owner.copy(order="K")
    if owner is source:
        return copied
    return np.ndarray(source.shape, source.dtype, copied.ravel(order="K").data, address(source) - address(owner), source.strides)


def reduce(self: Tensor, protocol: Any) -> Any:
    """What a pickle holds: class, value, `requires_grad`, and the attributes that the user has given the tensor."""
    _refuse_batched(self)
    warn_if_has_hooks(self)
    state = {name: value for name, value in self.__dict__.items() if not name.startswith("_") and name != "grad_dtype"}
    return remade, (self.__class__, np.asarray(self._a), self.requires_grad), state or None


def set_state(self: Tensor, state: dict[str, Any]) -> None:
    """Give a tensor that comes out of a pickle its attributes."""
    self.__dict__.update(state)
