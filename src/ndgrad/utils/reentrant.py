"""Checkpoints by a custom function, whose backward runs the function again and a backward of its own through that."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ndgrad.autograd.function import Function
from ndgrad.autograd.grad_mode import enable_grad, no_grad
from ndgrad.autograd.gradients import backward
from ndgrad.core.freed import running
from ndgrad.core.tensor import LEAF, Tensor
from ndgrad.ops import ops
from ndgrad.ops.random_numbers import default_generator


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same values, tensors among them without their history but requiring grad where they did."""
    if not isinstance(inputs, tuple):
        kind: type[Any] = inputs.__class__  # users pass anything
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {kind.__name__}")
    return tuple(leaf_like(value) if isinstance(value, Tensor) else value for value in inputs)


def leaf_like(tensor: Tensor) -> Tensor:
    out = ops.detach(tensor)
    if tensor.requires_grad:
        out._node = LEAF  # new, so it has no views that `requires_grad_` would look for
    return out


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among the inputs requires grad: a reentrant checkpoint then has no gradients."""
    if not any(value.requires_grad for value in inputs if isinstance(value, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", UserWarning, stacklevel=2)


class CheckpointFunction(Function):
    """The custom function: `CheckpointFunction.apply(function, preserve_rng_state, *args)`."""

    @staticmethod
    def forward(ctx: Any, run_function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        """Run the function without recording, and keep its arguments."""
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.state = default_generator.engine.snapshot() if preserve_rng_state else None
        ctx.inputs = tuple(None if isinstance(value, Tensor) else value for value in args)
        ctx.positions = [at for at, value in enumerate(args) if isinstance(value, Tensor)]
        ctx.save_for_backward(*(args[at] for at in ctx.positions))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *args: Any) -> Any:
        """Run the function again, recorded, and go back through it."""
        run = running()
        if run is None or run.captured is not None:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter to "
                ".backward(). To resolve this error, you can either set use_reentrant=False, or call .backward() without passing the "
                "`inputs` argument."
            )
        inputs = list(ctx.inputs)
        for at, tensor in zip(ctx.positions, ctx.saved_tensors, strict=True):
            inputs[at] = tensor
        leaves = detach_variable(tuple(inputs))
        with default_generator.engine.drawing_from(ctx.state), enable_grad():
            outputs = ctx.run_function(*leaves)
        given = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(out, g) for out, g in zip(given, args, strict=False) if isinstance(out, Tensor) and out.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([out for out, _ in pairs], [g for _, g in pairs])
        return None, None, *(leaf.grad if isinstance(leaf, Tensor) else None for leaf in leaves)
