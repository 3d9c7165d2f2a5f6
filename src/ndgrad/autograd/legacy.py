"""`Variable`, from the time when tensors and what is differentiated were two things, and the engine that hangs on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from ndgrad.base.dtypes import FLOATING, get_default_dtype, numpy_dtype
from ndgrad.core.freed import running
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap


class ImperativeEngine:
    """The engine as an object: what a hook may ask of the backward that called it."""

    def queue_callback(self, callback: Callable[[], Any]) -> None:
        """Call `callback()` once the backward that is running in this thread, the innermost one, is done.

        Raises
        ------
        RuntimeError
            If no backward is running.
        """
        run = running()
        if run is None:
            raise RuntimeError(
                "Final callbacks can only be installed during backward pass. Call queue_callback() in a hook or in the backward of a "
                "custom function."
            )
        if run.callbacks is None:
            run.callbacks = []
        run.callbacks.append(callback)

    def is_checkpoint_valid(self) -> bool:
        """Whether the backward that is running, if one is, goes to all leaves, as reentrant checkpoints need it."""
        run = running()
        return run is None or run.captured is None


class VariableMeta(type):
    """Makes every tensor an instance of `Variable`."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=VariableMeta):
    """The old name of tensors that are differentiated; a call gives a tensor that shares the memory of `data` and has no history.

    Raises
    ------
    TypeError
        If `data` is no tensor.
    RuntimeError
        If it is to require grad and has a dtype that cannot.
    """

    _execution_engine: ClassVar[ImperativeEngine] = ImperativeEngine()

    def __new__(  # type: ignore[misc]  # what is made is a tensor, as in PyTorch
        cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool = False
    ) -> Tensor:
        if volatile:
            warnings.warn(
                "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", UserWarning, stacklevel=2
            )
            if requires_grad:
                raise ValueError("Variable can't be volatile and require_grad at the same time!")
        if data is None:
            out = wrap(np.empty(0, numpy_dtype(get_default_dtype())))
        elif isinstance(data, Tensor):
            out = wrap(data._memory())
            out._v = INFERENCE if data._v is INFERENCE else data._cell()
        else:
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if requires_grad:
            if out.dtype.category < FLOATING:
                raise RuntimeError(
                    f"Only Tensors of floating point and complex dtype can require gradients; the data of this Variable is {out.dtype}"
                )
            out._node = LEAF
        return out


def variable(*args: object, **kwargs: object) -> NoReturn:
    """Always an error: `torch.tensor` makes tensors."""
    raise RuntimeError("torch.autograd.variable(...) is deprecated, use torch.tensor(...) instead")
