"""Moving a module's tensors to another dtype (or device, of which there is one)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

from ndgrad.autograd.grad_mode import no_grad
from ndgrad.base.dtypes import bfloat16, float16, float32, float64
from ndgrad.core.tensor import Tensor
from ndgrad.nn.modules.traversal import Traversal
from ndgrad.ops import ops
from ndgrad.ops.conversion import parse_to


def _is_floating(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


class Conversions(Traversal):
    """The part of `Module` that replaces the memory of its tensors. Parameters stay the objects that an optimizer knows."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the value of each parameter, its gradient and each buffer by what `fn` makes of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            gradient = parameter.grad
            with no_grad():
                value = fn(parameter)
                for_gradient = None if gradient is None else fn(gradient)
            parameter.data = value
            if gradient is not None and for_gradient is not None:
                gradient.data = for_gradient
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert parameters and buffers to a dtype, those that are floating point or complex; in place, and returns the module.

        `to(dtype)`, `to(device, dtype)` and `to(tensor)` are understood; the CPU is the only device.
        """
        if "copy" in kwargs:
            raise RuntimeError(".to() does not accept copy argument")
        wanted, _, _ = parse_to(args, dict(kwargs))
        if wanted is not None:
            if not (wanted.is_floating_point or wanted.is_complex):
                raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={wanted}")
            if wanted.is_complex:
                warnings.warn(
                    "Complex modules are a new feature under active development whose design may change, and some modules might not work "
                    "as expected when using complex tensors as parameters or buffers.",
                    stacklevel=2,
                )
        return self._apply(lambda tensor: tensor.to(wanted) if wanted is not None and _is_floating(tensor) else tensor)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self) -> Self:
        """Convert floating point parameters and buffers to float32."""
        return self._apply(lambda tensor: tensor.to(float32) if tensor.is_floating_point() else tensor)

    def double(self) -> Self:
        """Convert floating point parameters and buffers to float64."""
        return self._apply(lambda tensor: tensor.to(float64) if tensor.is_floating_point() else tensor)

    def half(self) -> Self:
        """Convert floating point parameters and buffers to float16."""
        return self._apply(lambda tensor: tensor.to(float16) if tensor.is_floating_point() else tensor)

    def bfloat16(self) -> Self:
        """There is no storage for bfloat16 here: an error, unless the module has no floating point tensors."""
        return self._apply(lambda tensor: tensor.to(bfloat16) if tensor.is_floating_point() else tensor)

    def cpu(self) -> Self:
        """The module itself: there is no other device."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device: Any = None) -> Self:
        """There is no CUDA device here: an error, unless the module has no tensors."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def xpu(self, device: Any = None) -> Self:
        """There is no such device here: an error, unless the module has no tensors."""
        return self._apply(lambda tensor: tensor.to("xpu"))

    def ipu(self, device: Any = None) -> Self:
        """There is no such device here: an error, unless the module has no tensors."""
        return self._apply(lambda tensor: tensor.to("ipu"))

    def mtia(self, device: Any = None) -> Self:
        """There is no such device here: an error, unless the module has no tensors."""
        return self._apply(lambda tensor: tensor.to("mtia"))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give all parameters and buffers new memory, whose values are not set."""
        return self._apply(lambda tensor: ops.empty_like(tensor, device=device), recurse)

    def share_memory(self) -> Self:
        """The module itself: threads share its memory as it is, and for processes there is nothing to prepare."""
        return self._apply(lambda tensor: tensor.share_memory_())
