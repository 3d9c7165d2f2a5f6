"""`torch.autograd.variable`: hidden behind the function of its name, yet `from ndgrad.autograd.variable import Variable` works."""

from ndgrad.autograd.legacy import Variable as Variable
from ndgrad.autograd.legacy import VariableMeta as VariableMeta
from ndgrad.autograd.legacy import variable as variable

__all__ = ["Variable", "VariableMeta"]
