"""`torch.autograd.grad_mode`: the switches of recording and of the engine under the name of PyTorch's module."""

from ndgrad.autograd.engine_switches import _force_original_view_tracking as _force_original_view_tracking
from ndgrad.autograd.engine_switches import _unsafe_preserve_version_counter as _unsafe_preserve_version_counter
from ndgrad.autograd.engine_switches import enforce_grad_layout_policy as enforce_grad_layout_policy
from ndgrad.autograd.engine_switches import set_multithreading_enabled as set_multithreading_enabled
from ndgrad.autograd.grad_modes import enable_grad as enable_grad
from ndgrad.autograd.grad_modes import inference_mode as inference_mode
from ndgrad.autograd.grad_modes import no_grad as no_grad
from ndgrad.autograd.grad_modes import set_grad_enabled as set_grad_enabled

__all__ = ["enable_grad", "enforce_grad_layout_policy", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]
