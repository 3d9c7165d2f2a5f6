"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.func.forward import jvp as jvp
from ndgrad.func.linear import linearize as linearize
from ndgrad.func.mapping import vmap as vmap
from ndgrad.func.reverse import grad as grad
from ndgrad.func.reverse import grad_and_value as grad_and_value
from ndgrad.func.reverse import vjp as vjp

__all__ = ["grad", "grad_and_value", "jvp", "linearize", "register_pytree_node", "vjp", "vmap"]
