"""`torch.autograd`: reverse mode."""

from ndgrad.autograd import anomaly_mode as anomaly_mode
from ndgrad.autograd import function as function
from ndgrad.autograd import graph as graph
from ndgrad.autograd.anomaly_mode import detect_anomaly as detect_anomaly
from ndgrad.autograd.anomaly_mode import set_detect_anomaly as set_detect_anomaly
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
from ndgrad.autograd.numerics import NumericsError as NumericsError
from ndgrad.autograd.numerics import check_numerics as check_numerics
from ndgrad.autograd.numerics import zero_times_inf_is_zero as zero_times_inf_is_zero
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
