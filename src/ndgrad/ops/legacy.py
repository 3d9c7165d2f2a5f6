"""`FloatTensor`, `LongTensor` and the other constructors that are named after a dtype."""

from __future__ import annotations

from typing import Any

from ndgrad.base.dtypes import as_dtype, dtype, set_default_dtype
from ndgrad.core.tensor import Tensor
from ndgrad.ops.conversion import LEGACY_NAMES
from ndgrad.ops.data import legacy_tensor


class LegacyType(type):
    """The type of those constructors: what they make are plain tensors, recognised by their dtype."""

    dtype: dtype
    is_cuda = is_sparse = False

    def __call__(cls, *args: Any, device: Any = None, **named: Any) -> Tensor:
        return legacy_tensor(Tensor, cls.dtype, args, named, device, strict=True)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype


def legacy_types() -> dict[str, LegacyType]:
    """All of them by name."""
    made: dict[str, LegacyType] = {}
    for kind, name in LEGACY_NAMES.items():
        if not kind.is_complex:
            made[name] = LegacyType(name, (), {"__module__": "torch", "dtype": kind, "__doc__": f"Makes tensors of {kind}."})
    return made


def set_default_tensor_type(t: Any) -> None:
    """Choose the dtype of floating tensors made without one, by a constructor or its name."""
    if isinstance(t, str):
        t = legacy_types().get(t.removeprefix("torch."), t)
    if not isinstance(t, LegacyType):
        raise TypeError(f"invalid type object: {t!r} is none of the tensor types")
    set_default_dtype(as_dtype(t.dtype))
