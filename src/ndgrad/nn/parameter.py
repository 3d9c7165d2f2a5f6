"""`Parameter`, a leaf that is meant to be trained, and `Buffer`, a tensor of a module that is not."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ndgrad.core.tensor import LEAF, Tensor, plain, wrap


class _ParameterType(type):
    """Makes every tensor with a true `_is_param` an instance of `Parameter`, whatever its class."""

    def __instancecheck__(cls, instance: object) -> bool:
        if super().__instancecheck__(instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and bool(getattr(instance, "_is_param", False))


class Parameter(Tensor, metaclass=_ParameterType):
    """A tensor that is a parameter of a model. It shares the memory of `data`; gradients do not flow back to that.

    Parameters
    ----------
    data : the values; an empty tensor if left out.
    requires_grad : whether gradients are wanted.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            out = wrap(np.empty(0, np.float32))
        elif isinstance(data, Tensor):
            out = wrap(data._memory())
            if requires_grad and out._a.dtype.kind not in "fc":
                raise RuntimeError(f"Only Tensors of floating point and complex dtype can require gradients (this one is {data.dtype})")
            if data._v is not None:
                out._v = data._v if not isinstance(data._v, list) else [0]
        else:
            kind = "numpy.ndarray; write ndgrad.from_numpy(array) first" if isinstance(data, np.ndarray) else type(data).__name__
            raise TypeError(f"Parameter(): argument 'data' (position 1) must be Tensor, not {kind}")
        out._node = LEAF if requires_grad else None
        out.__class__ = cls
        return cast(Parameter, out)  # its class has just been changed

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything is done in `__new__`."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        found: Parameter | None = memo.get(id(self))
        if found is None:
            copied: Any = wrap(self._memory().copy(order="K"), LEAF if self._node is not None else None)
            copied.__class__ = type(self)
            found = memo[id(self)] = copied
        return found

    def __repr__(self, *, tensor_contents: str | None = None) -> str:  # type: ignore[override]  # mypy hides the names of its parameters
        return "Parameter containing:\n" + super().__repr__(tensor_contents=tensor_contents)  # type: ignore[call-arg]  # likewise


# results of operations on parameters are plain tensors, so the fast lanes may take parameters apart
plain.add(Parameter)


class _BufferType(type):
    """Makes every tensor with a true `_is_buffer` an instance of `Buffer`: there are no others."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and bool(getattr(instance, "_is_buffer", False))


class Buffer(Tensor, metaclass=_BufferType):
    """Marks a tensor that, assigned to an attribute of a module, becomes a buffer of it. What it makes is a plain tensor.

    Parameters
    ----------
    data : the values, whose memory is shared; an empty tensor if left out.
    persistent : whether the buffer is part of the module's `state_dict`.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        out: Any = wrap(np.empty(0, np.float32)) if data is None else data.detach().requires_grad_(data.requires_grad)
        out.persistent = persistent
        out._is_buffer = True
        return out
