"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.func.checks import check_grad as check_grad
from ndgrad.func.custom import defjvp as defjvp
from ndgrad.func.custom import defvjp as defvjp
from ndgrad.func.forward import jvp as jvp
from ndgrad.func.implicit_functions import fixed_point as fixed_point
from ndgrad.func.implicit_functions import implicit as implicit
from ndgrad.func.implicit_functions import root as root
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
from ndgrad.func.optimization import minimize as minimize
from ndgrad.func.products import hessian_diag as hessian_diag
from ndgrad.func.products import hvp as hvp
from ndgrad.func.products import jacobian_product as jacobian_product
from ndgrad.func.products import laplacian as laplacian
from ndgrad.func.rearranging import rearrange as rearrange
from ndgrad.func.reverse import grad as grad
from ndgrad.func.reverse import grad_and_value as grad_and_value
from ndgrad.func.reverse import vjp as vjp
from ndgrad.func.sparse import sparse_hessian as sparse_hessian
from ndgrad.func.sparse import sparse_jacobian as sparse_jacobian
from ndgrad.func.taylor import jet as jet

__all__ = [
    "check_grad",
    "debug_unwrap",
    "defjvp",
    "defvjp",
    "fixed_point",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "hessian_diag",
    "hvp",
    "implicit",
    "jacfwd",
    "jacobian_product",
    "jacrev",
    "jet",
    "jvp",
    "laplacian",
    "linearize",
    "minimize",
    "rearrange",
    "register_pytree_node",
    "replace_all_batch_norm_modules_",
    "root",
    "sparse_hessian",
    "sparse_jacobian",
    "stack_module_state",
    "vjp",
    "vmap",
]
