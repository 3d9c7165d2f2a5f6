"""`torch.utils`: what is built on autograd and is no mathematics."""

from ndgrad.utils import hooks as hooks
