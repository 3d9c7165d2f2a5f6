"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.func.custom import defjvp as defjvp
from ndgrad.func.custom import defvjp as defvjp
from ndgrad.func.forward import jvp as jvp
from ndgrad.func.implicit_functions import fixed_point as fixed_point
from ndgrad.func.implicit_functions import implicit as implicit
from ndgrad.func.implicit_functions import root as root
from ndgrad.func.linear import linearize as linearize
from ndgrad.func.mapping import vmap as vmap
from ndgrad.func.reverse import grad as grad
from ndgrad.func.reverse import grad_and_value as grad_and_value
from ndgrad.func.reverse import vjp as vjp
from ndgrad.func.taylor import jet as jet

__all__ = [
    "defjvp",
    "defvjp",
    "fixed_point",
    "grad",
    "grad_and_value",
    "implicit",
    "jet",
    "jvp",
    "linearize",
    "register_pytree_node",
    "root",
    "vjp",
    "vmap",
]
