"""`torch.autograd.function`: operations whose derivative the user writes."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar, cast

from ndgrad.autograd.custom_calls import bind_defaults, call_function, positional
from ndgrad.autograd.custom_nodes import CustomNode, Face, delay_error
from ndgrad.base import modes
from ndgrad.base.nesting import refuse_old_function
from ndgrad.core.cuts import note
from ndgrad.core.tensor import Tensor

__all__ = [
    "BackwardCFunction",
    "Function",
    "FunctionCtx",
    "FunctionMeta",
    "InplaceFunction",
    "NestedIOFunction",
    "once_differentiable",
]

F = TypeVar("F", bound=Callable[..., Any])
_next_id = itertools.count().__next__


class FunctionCtx:
    """What `forward` and `setup_context` may say to the graph through `ctx`; any other attribute is theirs."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors until backward, where `ctx.saved_tensors` has them, unchanged and with their places in the graph."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`."""
        if not all(tensor is None or isinstance(tensor, Tensor) for tensor in tensors):
            raise AssertionError(
                "save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes on ctx."
            )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs `forward` has changed in place; it must return them."""
        self.dirty_tensors = args

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Has no effect: shared memory is seen without."""
        warnings.warn(
            "`mark_shared_storage` is deprecated. Tensors with shared storages are automatically tracked.", FutureWarning, stacklevel=2
        )

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which outputs never require grad; backward is given zeros for them."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward is given zeros (the default) or None for outputs that no gradient came back to."""
        self.materialize_grads = value


class BackwardCFunction(Face, FunctionCtx):
    """The base of the classes of `ctx`, which is also the `grad_fn` of the outputs."""

    _forward_cls: Any

    def _backward_of_user(self) -> Callable[..., Any]:
        cls = self._forward_cls
        if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one of them."
            )
        chosen: Callable[..., Any] = cls.vjp if cls.vjp is not Function.vjp else cls.backward
        return chosen

    def apply(self, *args: Any) -> Any:
        """Call the user's `backward` or `vjp` with the gradients of the outputs."""
        if getattr(self._forward_cls, "boxed_grads_call", False):
            args = (list(args),)
        return self._backward_of_user()(self, *args)

    def apply_jvp(self, *args: Any) -> Any:
        """Call the user's `jvp` with the tangents of the inputs."""
        return self._forward_cls.jvp(self, *args)


class FunctionMeta(type):
    """Makes, with each function, the class of its contexts and the class of its nodes, both named `<Name>Backward`."""

    _backward_cls: type[BackwardCFunction]
    _node_cls: type[CustomNode]

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        own = {"_forward_cls": cls, "_autograd_function_id": _next_id()}
        cls._backward_cls = type(f"{name}Backward", (BackwardCFunction,), own)
        node = {"__slots__": (), "__module__": __name__, "face_class": cls._backward_cls}
        cls._node_cls = type(f"{name}Backward", (CustomNode,), node)
        super().__init__(name, bases, members)


class Function(FunctionCtx, metaclass=FunctionMeta):
    """Base class of operations with a derivative of one's own: override `forward` and `backward`, and call `apply`.

    Examples
    --------
    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x**2
    """

    _batched_forward: ClassVar[Any]  # bound in ndgrad.autograd

    #: Whether a rule for `vmap` follows from the other methods, which then consist of tensor operations only.
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{self.__class__} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on "
            "the class itself. Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function with static "
            "forward method. (The class itself is called: MyFunction.apply(x).)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: `forward(ctx, *inputs)`, or `forward(*inputs)` where `setup_context` is overridden."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save on `ctx` what backward will need, after `forward`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the inputs, one each (None where there is none), from those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangents of the outputs from those of the inputs."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """The outputs for a whole batch, and which of their dims is the batch."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the function: `forward` without recording it, and then, if an input requires grad, record the call as one node."""
        has_setup = cls.setup_context is not Function.setup_context
        if has_setup:
            args, kwargs = bind_defaults(cls.forward, args, kwargs)
        else:
            refuse_old_function(cls.__name__)
        return call_function(cls, positional(cls.forward, args, kwargs, not has_setup), has_setup)


def once_differentiable(fn: F) -> F:
    """Decorate a `backward` that cannot be differentiated itself: trying to is then an error, not a wrong result."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        previous = modes.set_mode("grad", False)
        try:
            outputs = fn(ctx, *args, **kwargs)
        finally:
            modes.set_mode("grad", previous)
        if previous:
            note(f"{fn.__qualname__}, which is marked with once_differentiable,")
        if not modes.is_grad_enabled() or not any(isinstance(arg, Tensor) and arg.requires_grad for arg in args):
            return outputs
        found = delay_error(outputs if isinstance(outputs, tuple) else (outputs,))
        return found if isinstance(outputs, tuple) else found[0]

    return cast(F, wrapper)


class InplaceFunction(Function):
    """An old name for functions that work in place; use `Function` and `ctx.mark_dirty`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


def flat_tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from flat_tensors(each)
    elif isinstance(value, dict):
        yield from flat_tensors(list(value.values()))
    elif value is not None:
        raise ValueError(
            f"Auto nesting doesn't know how to process an input object of type {type(value).__name__}. Accepted types: Tensors, or "
            "lists/tuples of them"
        )


class NestedIOFunction(Function):
    """An old base of functions of nested tuples; use `Function`."""

    def save_for_backward(self, *args: Any) -> None:
        """Keep the tensors in nested tuples until backward."""
        self.to_save = tuple(flat_tensors(args))
        self._to_save_nested = args

    def mark_dirty(self, *args: Any, **kwargs: Any) -> None:
        """Say which inputs, in nested tuples, were changed in place."""
        self.dirty_tensors = tuple(flat_tensors((args, kwargs)))

    def mark_non_differentiable(self, *args: Any, **kwargs: Any) -> None:
        """Say which outputs, in nested tuples, never require grad."""
        self.non_differentiable = tuple(flat_tensors((args, kwargs)))

    def forward_extended(self, *input: Any) -> Any:
        """To be overridden: computes the outputs."""
        raise NotImplementedError

    def backward_extended(self, *grad_output: Any) -> Any:
        """To be overridden: computes the gradients of the inputs."""
        raise NotImplementedError
