"""Operations of your own: a derivative that is written by hand, in both styles, and how to test it.

    python examples/custom_functions.py
    ndgrad run examples/custom_functions.py
"""

import torch
from torch.autograd import Function, gradcheck, gradgradcheck


class Swish(Function):
    """x * sigmoid(x), which saves x alone and not the sigmoid as well."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * (s + x * s * (1 - s))


class ClampedStep(Function):
    """Rounds in the forward; in the backward it passes gradients straight through, but none beyond the limit."""

    @staticmethod
    def forward(x, limit):
        return x.clamp(-limit, limit).round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.limit = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= ctx.limit), None  # one for each argument; the limit has none


class Wrong(Swish):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)  # the second term of the product rule is missing


x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
print(Swish.apply(x))
print("first and second derivatives:", gradcheck(Swish.apply, x), gradgradcheck(Swish.apply, x))
ClampedStep.apply(x, 2.0).sum().backward()
print("through the step:", x.grad)
try:
    gradcheck(Wrong.apply, x)
except RuntimeError as error:
    print(f"{type(error).__name__}: {str(error).splitlines()[0]}")
