"""`torch.autograd.gradcheck`: hidden behind the function of its name, yet `from ndgrad.autograd.gradcheck import GradcheckError` works."""

from ndgrad.autograd.derivative_checks import gradcheck as gradcheck
from ndgrad.autograd.derivative_checks import gradgradcheck as gradgradcheck
from ndgrad.autograd.jacobian_checks import GradcheckError as GradcheckError

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
