"""Custom functions inside `vmap`: by their `vmap` static method, or, with `generate_vmap_rule`, by running their methods on examples.

A generated rule is a custom function of the level below. Its forward runs the user's forward inside the level, on one example; its
backward and its jvp open the level again for the user's. So the function can be differentiated inside and outside of the `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ndgrad.autograd.function import Function
from ndgrad.base.shapes import expands
from ndgrad.base.trees import broadcast_to_and_flatten, tree_flatten, tree_unflatten
from ndgrad.core.batching import BatchLevel
from ndgrad.core.observers import observing
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import Tensor

MORE = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


class VmapInfo(NamedTuple):
    """What the `vmap` static method of a custom function is told: the number of examples, and what is to be done about random numbers."""

    batch_size: int
    randomness: str


def batched_forward(function: Any, level: BatchLevel, args: Sequence[Any], has_setup: bool) -> Any:
    """What `function.forward` would give for one example, computed for all: tensors of the level."""
    name, overridden = function.__name__, function.vmap is not Function.vmap
    if not has_setup:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override the "
            f"setup_context staticmethod. {MORE} (The function is {name}: give it forward(*inputs) and setup_context(ctx, inputs, output).)"
        )
    if function.generate_vmap_rule and overridden:
        raise RuntimeError(
            f"You tried to vmap over {name}, but it has both generate_vmap_rule=True and an overridden vmap staticmethod. Please set "
            f"generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid ambiguity. {MORE}"
        )
    if not function.generate_vmap_rule and not overridden:
        raise RuntimeError(
            f"You tried to vmap over {name}, but it does not have vmap support. Please override and implement the vmap staticmethod or set "
            f"generate_vmap_rule=True. {MORE}"
        )
    leaves, spec = tree_flatten(tuple(args))
    pairs = [level.unbox(leaf) for leaf in leaves]
    given, flags = tree_unflatten([value for value, _ in pairs], spec), [flag for _, flag in pairs]
    with level.below():
        if True not in flags:
            return boxed(level, function.apply(*given), False)
        if overridden:
            dims = tree_unflatten([0 if flag else None for flag in flags], spec)
            return from_user(level, function.vmap(VmapInfo(level.size, level.randomness), dims, *given))
        values = [level.unbox(value) for value in args]
        mapped = tuple(flag for _, flag in values)
        return boxed(level, generated(function).apply(level.size, level.randomness, mapped, *(value for value, _ in values)), True)


def boxed(level: BatchLevel, result: Any, mapped: bool) -> Any:
    if isinstance(result, tuple):
        return tuple(level.box(value, mapped) if isinstance(value, Tensor) else value for value in result)
    return level.box(result, mapped) if isinstance(result, Tensor) else result


def from_user(level: BatchLevel, given: Any) -> Any:
    """The outputs of a `vmap` static method as tensors of the level."""
    if not isinstance(given, tuple) or len(given) != 2:
        what = f"{len(given)} returns" if isinstance(given, tuple) else f"a {type(given)}"
        raise RuntimeError(
            "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure compatible with the output. "
            f"Got {what} instead"
        )
    outputs, out_dims = given
    leaves, spec = tree_flatten(outputs)
    dims = broadcast_to_and_flatten(out_dims, spec)
    if dims is None:
        raise RuntimeError(
            "The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims) tuple. Expected out_dims="
            f"{out_dims} to be compatible with the structure of `output`. out_dims has structure {tree_flatten(out_dims)[1]} but output "
            f"has structure {spec}. {MORE}"
        )
    found: list[Any] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        found.append(leaf if not isinstance(leaf, Tensor) else level.box(leaf, False) if dim is None else level.box(leaf.movedim(dim, 0)))
    return tree_unflatten(found, spec)


# ---------------------------------------------------------------- generated rules
class ExampleContext:
    """The context that the user's methods see: it keeps tensors of all examples, and shows those of one.

    Other attributes are the user's own.
    """

    def __init__(self, context: Any, level: BatchLevel) -> None:
        self._context, self._level = context, level

    def _lowered(self, tensors: Sequence[Any]) -> tuple[list[Any], tuple[bool, ...]]:
        pairs = [self._level.unbox(each) for each in tensors]
        return [value for value, _ in pairs], tuple(flag for _, flag in pairs)

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for backward and jvp."""
        values, self._context.mapped_saved = self._lowered(tensors)
        self._context.save_for_backward(*values)

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for jvp."""
        values, self._context.mapped_for_forward = self._lowered(tensors)
        self._context.save_for_forward(*values)

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs never require grad."""
        self._context.mark_non_differentiable(*self._lowered(tensors)[0])

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs were changed in place."""
        self._context.mark_dirty(*self._lowered(tensors)[0])

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward is given zeros for outputs that no gradient came back to."""
        self._context.set_materialize_grads(value)

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """Which inputs a gradient is wanted of."""
        needs: tuple[bool, ...] = self._context.needs_input_grad
        return needs[LEADING:]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved, as one example sees it."""
        context = self._context
        values = context.saved_tensors
        flags = (
            getattr(context, "mapped_for_forward", None)
            if len(getattr(context, "mapped_saved", ())) != len(values)
            else context.mapped_saved
        )
        return tuple(
            self._level.box(value, flag) if isinstance(value, Tensor) else value for value, flag in zip(values, flags or (), strict=True)
        )


#: How many arguments a generated function has before the user's: the number of examples, randomness, which arguments are mapped.
LEADING = 3


def generated(function: Any) -> Any:
    """The custom function of the level below that stands for one of examples, made once."""
    found = vars(function).get("_vmapped")
    if found is None:
        found = function._vmapped = generate(function)
    return found


def generate(function: Any) -> Any:
    """Make it."""

    def inside(context: Any, run: Callable[[ExampleContext, BatchLevel], Any]) -> tuple[Any, ...]:
        """Call the user's method with a level opened for it."""
        level = BatchLevel(context.size, context.randomness)
        with observing(level):
            user = ExampleContext(context, level)
            vars(user).update(context.of_user)
            found = run(user, level)
            return tuple(found) if isinstance(found, tuple) else (found,)

    def forward(size: int, randomness: str, mapped: tuple[bool, ...], *args: Any) -> Any:
        level = BatchLevel(size, randomness)
        with observing(level):
            result = function.forward(*level.boxes(args, mapped))
        return tuple(map(level.all_of, result)) if isinstance(result, tuple) else level.all_of(result)

    def setup_context(context: Any, inputs: Any, output: Any) -> None:
        size, randomness, mapped, *args = inputs
        context.size, context.randomness, context.mapped = size, randomness, mapped
        level = BatchLevel(size, randomness)
        with observing(level):
            user = ExampleContext(context, level)
            function.setup_context(user, tuple(level.boxes(args, mapped)), boxed(level, output, True))
        context.shapes = tuple(x._a.shape[flag:] if isinstance(x, Tensor) else None for x, flag in zip(args, mapped, strict=True))
        context.of_user = {name: value for name, value in vars(user).items() if name not in ("_context", "_level")}

    def backward(context: Any, *cotangents: Any) -> Any:
        def run(user: ExampleContext, level: BatchLevel) -> Any:
            given = [None if g is None else level.box(g) for g in cotangents]
            call = function.vjp if function.vjp is not Function.vjp else function.backward
            found = call(user, *given)
            found = found if isinstance(found, tuple) else (found,)
            if len(found) != len(context.mapped):
                raise RuntimeError(
                    f"function {function.__name__}Backward returned an incorrect number of gradients (expected {len(context.mapped)}, got "
                    f"{len(found)})."
                )
            with level.below():
                return tuple(
                    gathered(level, g, flag, shape, f"{function.__name__}Backward returned an invalid gradient at index {index}")
                    for index, (g, flag, shape) in enumerate(zip(found, context.mapped, context.shapes, strict=True))
                )

        return (None,) * LEADING + inside(context, run)

    def jvp(context: Any, *tangents: Any) -> Any:
        def run(user: ExampleContext, level: BatchLevel) -> Any:
            flags = [isinstance(t, Tensor) and flag for t, flag in zip(tangents[LEADING:], context.mapped, strict=True)]
            found = function.jvp(user, *level.boxes(tangents[LEADING:], flags))
            with level.below():
                found = found if isinstance(found, tuple) else (found,)
                return tuple(level.all_of(t) if isinstance(t, Tensor) else t for t in found)

        found = inside(context, run)
        return found if len(found) != 1 else found[0]

    members: dict[str, Any] = {"forward": forward, "setup_context": setup_context, "backward": backward, "jvp": jvp}
    found: dict[str, Any] = {name: staticmethod(method) for name, method in members.items()}
    return type(f"Vmapped{function.__name__}", (Function,), {**found, "generate_vmap_rule": True})  # for a vmap around this one


def gathered(level: BatchLevel, g: Any, mapped: bool, shape: Any, refusal: str) -> Any:
    """The gradient of an argument for all examples: their sum, where they have it in common."""
    if not isinstance(g, Tensor):
        return g
    value, has_examples = level.unbox(g)
    own = value._a.shape[has_examples:]
    if own != shape:
        if shape is None or not expands(shape, own):
            raise RuntimeError(f"Function {refusal} - got {list(own)} but expected shape compatible with {list(shape or ())}")
        with level.inside():
            value, has_examples = level.unbox(recorded.sum_to(g, shape=shape))
    if mapped == has_examples:
        return value
    return level.spread(value) if mapped else value.sum(0)
