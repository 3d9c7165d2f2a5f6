"""PyTorch's `torch.backends.cudnn`: its flags can be set and read; without a GPU nothing heeds them."""

enabled = True
deterministic = False
benchmark = False


def is_available() -> bool:
    """False: there is no cuDNN."""
    return False


def version() -> None:
    """None: there is no cuDNN."""


__all__ = ["benchmark", "deterministic", "enabled", "is_available", "version"]
