"""`torch.utils.hooks`: the handles of hooks, what catches the gradients of a module, and a warning for hooks that are left behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ndgrad.autograd.function import Function
from ndgrad.autograd.handles import RemovableHandle as RemovableHandle
from ndgrad.base.location import users_level
from ndgrad.base.modes import is_grad_enabled
from ndgrad.core.copying import warn_if_has_hooks as warn_if_has_hooks
from ndgrad.core.tensor import Tensor

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

F = TypeVar("F", bound=Callable[..., Any])


def unserializable_hook(f: F) -> F:
    """Mark a hook as one that is not meant to be saved with its tensor, so that `warn_if_has_hooks` does not speak of it."""
    vars(f)["__torch_unserializable__"] = True
    return f


class BackwardHookFunction(Function):
    """Hands tensors on as they are: a node in the graph through which the gradients of all of them pass together."""

    @staticmethod
    def forward(ctx: Any, *args: Tensor) -> tuple[Tensor, ...]:
        """The tensors themselves."""
        ctx.mark_non_differentiable(*[tensor for tensor in args if not tensor.requires_grad])
        return args

    @staticmethod
    def backward(ctx: Any, *args: Any) -> Any:
        """The gradients themselves."""
        return args


class BackwardHook:
    """One call of a module whose backward somebody watches: nodes on both sides of it catch its gradients.

    Parameters
    ----------
    module : what the hooks are given first.
    user_hooks : called with the gradients of inputs and outputs once both are known.
    user_pre_hooks : called with the gradients of the outputs.
    """

    def __init__(
        self, module: Any, user_hooks: Sequence[Callable[..., Any]], user_pre_hooks: Sequence[Callable[..., Any]]
    ) -> None:
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs: Any = None
        self.n_outputs = self.n_inputs = -1
        #: Which of the inputs and outputs are tensors; None where no gradients can be caught.
        self.output_tensors_index: list[int] | None = None
        self.input_tensors_index: list[int] | None = None

    def setup_input_hook(self, args: Any) -> Any:
        """The arguments of forward, such that their gradients come by here."""
        self.n_inputs = len(args)
        out, self.input_tensors_index = self._through_node(args, self._after_inputs)
        return out

    def setup_output_hook(self, args: Any) -> Any:
        """The result of forward, such that its gradients come by here."""
        results = args if isinstance(args, tuple) else (args,)
        self.n_outputs = len(results)
        out, self.output_tensors_index = self._through_node(results, self._after_outputs)
        return out if isinstance(args, tuple) else out[0]

    def _through_node(self, values: Any, hook: Callable[..., Any]) -> tuple[Any, list[int] | None]:
        """The values with their tensors led through one node, which has the hook, and the places of the tensors."""
        places = [place for place, value in enumerate(values) if isinstance(value, Tensor)]
        if not is_grad_enabled() or not any(values[place].requires_grad for place in places):
            return values, None
        led = BackwardHookFunction.apply(*[values[place] for place in places])
        node = next(tensor.grad_fn for tensor in led if tensor.grad_fn is not None)
        node.register_hook(hook)
        found = list(values)
        for place, tensor in zip(places, led, strict=True):
            found[place] = tensor
        return (tuple(found) if type(values) is tuple else type(values)(*found)), places

    def _after_outputs(self, _: Any, grads: Any) -> Any:
        """The gradients of the outputs have arrived."""
        assert self.output_tensors_index is not None
        self.grad_outputs = _spread(self.output_tensors_index, grads, self.n_outputs)
        for hook in self.user_pre_hooks:
            changed = hook(self.module, self.grad_outputs)
            if changed is None:
                continue
            if len(changed) != self.n_outputs:
                raise RuntimeError(
                    f"Backward pre hook returned an invalid number of grad_output, got {len(changed)}, but expected {self.n_outputs}"
                )
            self.grad_outputs = changed
        passed_on = self.grad_outputs
        if self.input_tensors_index is None:  # nothing will arrive at the inputs
            self._without_inputs()
        return tuple(passed_on[place] for place in self.output_tensors_index)

    def _without_inputs(self) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs require gradients. "
            "It is given None for each of them.",
            stacklevel=users_level(),
        )
        nothing = (None,) * self.n_inputs
        for hook in self.user_hooks:
            changed = hook(self.module, nothing, self.grad_outputs)
            if changed is not None and not (isinstance(changed, tuple) and all(value is None for value in changed)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None for all gradients."
                )
        self.grad_outputs = None

    def _after_inputs(self, grads: Any, _: Any) -> Any:
        """The gradients of the inputs have arrived."""
        if self.grad_outputs is None:
            return None  # by a way that does not lead through the outputs, as in a second backward
        assert self.input_tensors_index is not None
        found = _spread(self.input_tensors_index, grads, self.n_inputs)
        for hook in self.user_hooks:
            changed = hook(self.module, found, self.grad_outputs)
            if changed is None:
                continue
            if len(changed) != self.n_inputs:
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(changed)}, but expected {self.n_inputs}"
                )
            found = changed
        self.grad_outputs = None
        return tuple(found[place] for place in self.input_tensors_index)


def _spread(places: list[int], values: Any, count: int) -> tuple[Any, ...]:
    """The values in their places among `count`, None elsewhere."""
    found: list[Any] = [None] * count
    for place, value in zip(places, values, strict=True):
        found[place] = value
    return tuple(found)
