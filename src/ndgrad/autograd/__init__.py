"""`torch.autograd`: reverse and forward mode."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ndgrad.autograd import anomaly_mode as anomaly_mode
from ndgrad.autograd import forward_ad as forward_ad
from ndgrad.autograd import function as function
from ndgrad.autograd import functional as functional
from ndgrad.autograd import grad_mode as grad_mode
from ndgrad.autograd import graph as graph
from ndgrad.autograd.anomaly_mode import detect_anomaly as detect_anomaly
from ndgrad.autograd.anomaly_mode import set_detect_anomaly as set_detect_anomaly
from ndgrad.autograd.custom_batching import batched_forward
from ndgrad.autograd.function import Function as Function
from ndgrad.autograd.function import NestedIOFunction as NestedIOFunction
from ndgrad.autograd.grad_mode import _force_original_view_tracking as _force_original_view_tracking
from ndgrad.autograd.grad_mode import _unsafe_preserve_version_counter as _unsafe_preserve_version_counter
from ndgrad.autograd.grad_mode import enable_grad as enable_grad
from ndgrad.autograd.grad_mode import enforce_grad_layout_policy as enforce_grad_layout_policy
from ndgrad.autograd.grad_mode import inference_mode as inference_mode
from ndgrad.autograd.grad_mode import is_multithreading_enabled as is_multithreading_enabled
from ndgrad.autograd.grad_mode import is_view_replay_enabled as is_view_replay_enabled
from ndgrad.autograd.grad_mode import no_grad as no_grad
from ndgrad.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from ndgrad.autograd.grad_mode import set_multithreading_enabled as set_multithreading_enabled
from ndgrad.autograd.gradcheck import gradcheck as gradcheck
from ndgrad.autograd.gradcheck import gradgradcheck as gradgradcheck
from ndgrad.autograd.gradients import backward as backward
from ndgrad.autograd.gradients import grad as grad
from ndgrad.autograd.gradients import tensor_backward
from ndgrad.autograd.hooks import (
    backward_hooks,
    node_register_hook,
    node_register_hook_dict,
    node_register_prehook,
    register_hook,
    register_post_accumulate_grad_hook,
    retain_grad,
    set_backward_hooks,
)
from ndgrad.autograd.numerics import NumericsError as NumericsError
from ndgrad.autograd.numerics import check_numerics as check_numerics
from ndgrad.autograd.numerics import zero_times_inf_is_zero as zero_times_inf_is_zero
from ndgrad.autograd.variable import Variable as Variable
from ndgrad.autograd.variable import variable as variable
from ndgrad.core.node import Node
from ndgrad.core.packing import SavedTensor as SavedTensor
from ndgrad.core.tensor import Tensor

__all__ = [
    "Function",
    "NestedIOFunction",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "enforce_grad_layout_policy",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
    "variable",
]

for _name, _method in {
    "backward": tensor_backward,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "retain_grad": retain_grad,
    "_backward_hooks": property(backward_hooks, set_backward_hooks),
}.items():
    setattr(Tensor, _name, _method)
Function._batched_forward = classmethod(batched_forward)
Node.register_hook = node_register_hook
Node.register_prehook = node_register_prehook
Node._register_hook_dict = node_register_hook_dict

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
