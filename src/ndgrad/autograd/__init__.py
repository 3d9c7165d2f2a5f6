"""`torch.autograd`: reverse mode."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ndgrad.autograd import function as function
from ndgrad.autograd import graph as graph
from ndgrad.autograd.function import Function as Function
from ndgrad.autograd.grad_modes import enable_grad as enable_grad
from ndgrad.autograd.grad_modes import inference_mode as inference_mode
from ndgrad.autograd.grad_modes import no_grad as no_grad
from ndgrad.autograd.grad_modes import set_grad_enabled as set_grad_enabled
from ndgrad.autograd.gradcheck import gradcheck as gradcheck
from ndgrad.autograd.gradcheck import gradgradcheck as gradgradcheck
from ndgrad.autograd.gradients import backward as backward
from ndgrad.autograd.gradients import grad as grad
from ndgrad.autograd.gradients import tensor_backward
from ndgrad.autograd.hooks import (
    node_register_hook,
    node_register_prehook,
    register_hook,
    register_post_accumulate_grad_hook,
    retain_grad,
)
from ndgrad.core.node import Node
from ndgrad.core.tensor import Tensor

Variable = Tensor

for _name, _method in {
    "backward": tensor_backward,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "retain_grad": retain_grad,
}.items():
    setattr(Tensor, _name, _method)
Node.register_hook = node_register_hook
Node.register_prehook = node_register_prehook

if TYPE_CHECKING:
    from ndgrad.autograd import profiler as profiler
    from ndgrad.autograd import profiler_legacy as profiler_legacy
    from ndgrad.autograd import profiler_util as profiler_util
    from ndgrad.autograd.profiler import DeviceType as DeviceType
    from ndgrad.autograd.profiler import ProfilerActivity as ProfilerActivity
    from ndgrad.autograd.profiler import kineto_available as kineto_available
else:

    def __getattr__(name: str) -> Any:
        """The profiler and its names: few programs need it, and its imports take time."""
        if name in ("profiler", "profiler_legacy", "profiler_util"):
            return import_module(f"ndgrad.autograd.{name}")
        if name in ("DeviceType", "ProfilerActivity", "kineto_available"):
            return getattr(import_module("ndgrad.autograd.profiler"), name)
        raise AttributeError(f"module 'ndgrad.autograd' has no attribute {name!r}")
