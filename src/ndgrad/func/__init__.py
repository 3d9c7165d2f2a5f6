"""`torch.func`: functions that transform functions."""

from ndgrad.base.trees import register_pytree_node as register_pytree_node

__all__ = ["register_pytree_node"]
