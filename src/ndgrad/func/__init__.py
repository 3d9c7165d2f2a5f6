"""`torch.func`: functions that transform functions."""

from ndgrad.func.sparse import sparse_hessian as sparse_hessian
from ndgrad.func.sparse import sparse_jacobian as sparse_jacobian

__all__ = ["sparse_hessian", "sparse_jacobian"]
