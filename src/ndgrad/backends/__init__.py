"""PyTorch's `torch.backends`: the switches that training scripts set before they begin, and which change nothing here."""

from ndgrad.backends import cudnn as cudnn
from ndgrad.backends import mps as mps

__all__ = ["cudnn", "mps"]
