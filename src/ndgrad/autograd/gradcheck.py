"""`torch.autograd.gradcheck`: hidden behind the function of its name, yet `from ndgrad.autograd.gradcheck import GradcheckError` works."""

from ndgrad.autograd.checks.deprecated_jacobians import get_analytical_jacobian as get_analytical_jacobian
from ndgrad.autograd.checks.deprecated_jacobians import get_numerical_jacobian as get_numerical_jacobian
from ndgrad.autograd.checks.deprecated_jacobians import (
    get_numerical_jacobian_wrt_specific_input as get_numerical_jacobian_wrt_specific_input,
)
from ndgrad.autograd.checks.derivative_checks import gradcheck as gradcheck
from ndgrad.autograd.checks.derivative_checks import gradgradcheck as gradgradcheck
from ndgrad.autograd.checks.jacobian_checks import GradcheckError as GradcheckError

__all__ = [
    "GradcheckError",
    "get_analytical_jacobian",
    "get_numerical_jacobian",
    "get_numerical_jacobian_wrt_specific_input",
    "gradcheck",
    "gradgradcheck",
]
