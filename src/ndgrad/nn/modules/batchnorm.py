"""Batch normalisation."""

from __future__ import annotations

from typing import Any, ClassVar

from ndgrad.base.dtypes import int64
from ndgrad.core.tensor import Tensor
from ndgrad.nn import functional as F
from ndgrad.nn import init
from ndgrad.nn.modules.module import Module
from ndgrad.nn.parameter import Parameter
from ndgrad.ops import ops

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _BatchNorm(Module):
    """Mean 0 and variance 1 of each channel over the batch in training, by running statistics otherwise.

    Parameters
    ----------
    num_features : how many channels there are, in dim 1.
    eps : added to the variance.
    momentum : how far running statistics move towards those of each batch; None for the mean over all batches.
    affine : whether the result is multiplied by a `weight` and, with `bias`, added to one.
    track_running_stats : whether there are running statistics; without, those of the batch are used always.
    """

    _version = 2
    __constants__: ClassVar[list[str]] = ["track_running_stats", "momentum", "eps", "num_features", "affine"]
    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    #: The ranks that an input may have, and what they are called.
    _ranks: ClassVar[tuple[int, ...]] = ()
    _expected: ClassVar[str] = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            value = Parameter(ops.empty(num_features, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, value)
        if track_running_stats:
            self.register_buffer("running_mean", ops.zeros(num_features, device=device, dtype=dtype))
            self.register_buffer("running_var", ops.ones(num_features, device=device, dtype=dtype))
            self.register_buffer("num_batches_tracked", ops.tensor(0, dtype=int64, device=device))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget all batches, and set weights to 1 and biases to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._ranks:
            raise ValueError(f"expected {self._expected} input (got {input.dim()}D input)")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        tracks = self.training and self.track_running_stats
        batches = self.num_batches_tracked if tracks else None
        factor = 0.0 if self.momentum is None else self.momentum
        if batches is not None and self.momentum is None:
            factor = 1.0 / (batches.item() + 1)
        mean, variance = self.running_mean, self.running_var
        of_batch = self.training or (mean is None and variance is None)
        if self.training and not tracks:
            mean = variance = None
        out = F.batch_norm(input, mean, variance, self.weight, self.bias, of_batch, factor, self.eps)
        if batches is not None:
            batches.add_(1)
        return out

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + "num_batches_tracked"
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            batches = self.num_batches_tracked  # the first version did not count them
            state_dict[key] = ops.tensor(0, dtype=int64) if batches is None else batches
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"For inputs of shape (N, C) or (N, C, L). {_BatchNorm.__doc__}"
    _ranks, _expected = (2, 3), "2D or 3D"


class BatchNorm2d(_BatchNorm):
    __doc__ = f"For inputs of shape (N, C, H, W). {_BatchNorm.__doc__}"
    _ranks, _expected = (4,), "4D"


class BatchNorm3d(_BatchNorm):
    __doc__ = f"For inputs of shape (N, C, D, H, W). {_BatchNorm.__doc__}"
    _ranks, _expected = (5,), "5D"
