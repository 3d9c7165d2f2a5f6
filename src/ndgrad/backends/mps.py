"""PyTorch's `torch.backends.mps`: whether there is a GPU by Apple that can be used."""


def is_available() -> bool:
    """False: ndgrad computes on the CPU alone."""
    return False


def is_built() -> bool:
    """False: ndgrad computes on the CPU alone."""
    return False


__all__ = ["is_available", "is_built"]
