"""`torch.nn.utils`: what is done with modules and parameters from outside."""

from ndgrad.nn.utils import stateless as stateless
