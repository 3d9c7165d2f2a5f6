"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.func.forward import jvp as jvp
from ndgrad.func.jacobians import hessian as hessian
from ndgrad.func.jacobians import jacfwd as jacfwd
from ndgrad.func.jacobians import jacrev as jacrev
from ndgrad.func.linear import linearize as linearize
from ndgrad.func.mapping import vmap as vmap
from ndgrad.func.modules import functional_call as functional_call
from ndgrad.func.modules import replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_
from ndgrad.func.modules import stack_module_state as stack_module_state
from ndgrad.func.mutations import debug_unwrap as debug_unwrap
from ndgrad.func.mutations import functionalize as functionalize
from ndgrad.func.rearranging import rearrange as rearrange
from ndgrad.func.reverse import grad as grad
from ndgrad.func.reverse import grad_and_value as grad_and_value
from ndgrad.func.reverse import vjp as vjp
from ndgrad.func.sparse import sparse_hessian as sparse_hessian
from ndgrad.func.sparse import sparse_jacobian as sparse_jacobian
from ndgrad.func.taylor import jet as jet

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jet",
    "jvp",
    "linearize",
    "rearrange",
    "register_pytree_node",
    "replace_all_batch_norm_modules_",
    "sparse_hessian",
    "sparse_jacobian",
    "stack_module_state",
    "vjp",
    "vmap",
]
