"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.func.vmap import vmap as vmap

__all__ = ["register_pytree_node", "vmap"]
