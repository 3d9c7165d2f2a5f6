"""Hunting a NaN: a loss that is fine, a gradient that is not, and the line that is to blame.

    python examples/hunting_nan.py
    ndgrad run examples/hunting_nan.py

Under ndgrad alone, `with torch.autograd.check_numerics():` around the program also says which value met which, and which side of a
`where` it was; and in `with torch.autograd.zero_times_inf_is_zero():` the side not taken does no harm.
"""

import warnings

import torch


def distances(points, centre):
    """The distance of each point from the centre; 0 for those that lie on it."""
    squares = (points - centre).square().sum(dim=1)
    return torch.where(squares > 0, squares.sqrt(), 0.0)


def safe_distances(points, centre):
    """The same with a harmless operand for the root wherever its result is thrown away."""
    squares = (points - centre).square().sum(dim=1)
    away = squares > 0
    return torch.where(away, torch.where(away, squares, 1.0).sqrt(), 0.0)


points = torch.tensor([[3.0, 4.0], [1.0, 1.0], [0.0, 2.0]])
centre = torch.tensor([1.0, 1.0], requires_grad=True)

loss = distances(points, centre).sum()
loss.backward()
print("the loss is a number:", loss)
print("its gradient is not: ", centre.grad)

# The slope of the root at 0 is infinite. `where` sends it a gradient of 0, and 0 times infinity is nan.
centre.grad = None
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that anomaly detection is slow, and under torch the traceback of the forward
        with torch.autograd.detect_anomaly():
            distances(points, centre).sum().backward()
except RuntimeError as error:
    print("anomaly detection:   ", str(error).splitlines()[0])

# A hook finds out where gradients stop being finite, without anomaly detection.
squares = (points - centre).square().sum(dim=1)
squares.register_hook(lambda grad: print("gradient of squares: ", grad))
torch.where(squares > 0, squares.sqrt(), 0.0).sum().backward()

centre.grad = None
safe_distances(points, centre).sum().backward()
print("mended:              ", centre.grad)
