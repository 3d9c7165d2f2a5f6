"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.func.custom import defjvp as defjvp
from ndgrad.func.custom import defvjp as defvjp
from ndgrad.func.forward import jvp as jvp
from ndgrad.func.linear import linearize as linearize
from ndgrad.func.mapping import vmap as vmap
from ndgrad.func.reverse import grad as grad
from ndgrad.func.reverse import grad_and_value as grad_and_value
from ndgrad.func.reverse import vjp as vjp
from ndgrad.func.taylor import jet as jet

__all__ = ["defjvp", "defvjp", "grad", "grad_and_value", "jet", "jvp", "linearize", "register_pytree_node", "vjp", "vmap"]
