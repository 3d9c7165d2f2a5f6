"""Checkpoints without reentrant backward: what a region saves is dropped, and computed again when a backward asks for it.

A checkpoint is a pair of hooks for saved tensors. In the forward pass the pack hook puts a `Holder`, which is nothing but a position, in
the place of a tensor. When the first of them is unpacked, the function runs once more, on the inputs that the `Frame` keeps, with a pack
hook that collects what is saved this time; the n-th tensor of the second run stands for the n-th holder of the first.

* Of nested checkpoints only the innermost sees what is saved, and its inputs are saved tensors of the one around it. So nesting needs no
  code: to run an inner function again its inputs are unpacked, which runs the outer one again.
* What was computed again (`Recomputation`) belongs to one backward and dies with it, and each tensor of it belongs to one use. So every
  backward through a retained graph computes anew, and nothing outlives the use it was computed for.
* The second run stops with the last tensor that a holder waits for.
* A backward inside of the function, in the forward pass, finds holders as well and makes the function run again, as far as it had come. Its
  holders die with it; a later run counts their positions and keeps nothing for them.
* Nothing refers back: nodes hold holders and the frame, the frame holds the inputs and only weak references to holders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

from ndgrad.autograd.grad_mode import enable_grad
from ndgrad.autograd.saving import refuse_change, saved_tensors_hooks, unchanged
from ndgrad.base import modes
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.location import describe, place
from ndgrad.base.size import as_size
from ndgrad.core.freed import running
from ndgrad.core.node import edge_of, placed
from ndgrad.core.observers import Observer, observing
from ndgrad.core.packing import Packed, packed, without_history
from ndgrad.core.tensor import Tensor
from ndgrad.ops.random_numbers import default_generator
from ndgrad.utils.tracing import Trace, report

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


class CheckpointError(RuntimeError):
    """The function of a checkpoint did not do in its second run what it did in the first."""


class Enough(BaseException):
    """Ends a second run that has computed all that is needed; no `except Exception` of the function's may stop it."""


class GraphExecGroup:
    """Calls of backward inside share what checkpoints compute again, which then runs once for all of them.

    They may not need the same saved tensor, even with `retain_graph`. Not to be nested; of no effect on reentrant checkpoints.
    """

    def __enter__(self) -> GraphExecGroup:
        if settings.group is not None:
            raise RuntimeError(f"GraphExecGroup contexts cannot be nested. Already inside group {settings.group}")
        settings.group = self
        return self

    def __exit__(self, *details: object) -> None:
        settings.group = None


class Settings(threading.local):
    """What holds for all checkpoints of a thread: the group of backward calls, and what overrides arguments of `checkpoint`."""

    group: GraphExecGroup | None = None
    debug: bool | None = None
    early_stop: bool | None = None


settings = Settings()


def noop_context_fn() -> Contexts:
    """Contexts that do nothing, for the run of the forward pass and for the one that computes again."""
    return nullcontext(), nullcontext()


class Holder:
    """Stands in a node for the tensor that the node saved: the n-th of its region."""

    __slots__ = ("__weakref__", "index")

    def __init__(self, index: int) -> None:
        self.index = index


#: In place of a tensor that was computed again and has been used.
TAKEN: Any = object()


class Recomputation:
    """What one run collects for one backward: tensors by position, with the version that each had when it was saved."""

    def __init__(self) -> None:
        self.count = 0
        self.found: dict[int, Any] = {}
        self.surplus = False


class Task:
    """A reason to compute again that is no backward: somebody reads `_saved_` attributes of a node."""


def current_task() -> Any:
    """What recomputed tensors belong to: the group of backward calls, the backward that is running, or just this request."""
    return settings.group or running() or Task()


class Input:
    """A tensor that a region was given: kept as a node would keep it, through the hooks of a checkpoint around it."""

    def __init__(self, tensor: Tensor) -> None:
        hooks, cell = modes.current().saved_hooks, tensor._cell()
        self.value: Any = tensor
        self.cell: Any = cell
        self.version, self.edge = cell[0], edge_of(tensor)
        if type(hooks) is tuple:
            self.value, self.cell, self.version = packed(tensor, cell, hooks)

    def unpacked(self) -> Tensor:
        """The tensor, with its place in the graph."""
        tensor = self.value
        if self.cell[0] != self.version:
            given = tensor.value if type(tensor) is Packed else tensor
            refuse_change(given, self.edge, self.cell, self.version, "was given to a checkpoint")
        found: Tensor = placed(tensor.unpacked(), self.edge) if type(tensor) is Packed else tensor
        return found


class Foresight(Observer):
    """Collects what an operation will save of its operands before its kernel runs, where that is all that the second run is still for.

    A region often ends in its largest matrix product, whose value nobody needs again.
    """

    def __init__(self, holders: Sequence[Any], recomputation: Recomputation, collect: Callable[[Tensor], Tensor]) -> None:
        self.holders, self.recomputation, self.collect = holders, recomputation, collect

    def run(self, primitive: Any, operands: Sequence[Any], params: dict[str, Any], compute: Callable[[], Any]) -> Any:
        missing = len(self.holders) - self.recomputation.count
        if missing <= len(primitive.residuals):
            mode = modes.current()
            if mode.grad and type(mode.saved_hooks) is tuple and mode.saved_hooks[0] is self.collect:
                found = operands_to_save(primitive, operands)
                if len(found) >= missing:
                    for tensor in found:
                        self.collect(tensor)  # the last one that is needed ends the run
        return compute()


def operands_to_save(primitive: Any, operands: Sequence[Any]) -> list[Tensor]:
    """The operands that a call is going to save, as far as they come before any output; none where they will be converted first."""
    tensors = [value for value in operands if isinstance(value, Tensor)]
    kinds = {tensor._a.dtype for tensor in tensors}
    if primitive.variadic or len(kinds) != 1 or next(iter(kinds)).kind not in "fc":
        return []
    mask = 0
    for position, value in enumerate(operands):
        if isinstance(value, Tensor) and value._node is not None and (primitive.joint or primitive.rules[position] is not None):
            mask |= 1 << position
    found: list[Tensor] = []
    if mask and primitive.differentiable:
        for (is_output, position), wanted in zip(primitive.sources, primitive.wanted(mask), strict=True):
            if wanted and is_output:
                break
            if wanted and isinstance(operands[position], Tensor):
                found.append(operands[position])
    return found


Form = tuple[tuple[int, ...], Any]


def form_of(tensor: Tensor) -> Form | None:
    """What must be the same of the first and the second run's tensor."""
    return tensor._a.shape, tensor._a.dtype


def no_form(tensor: Tensor) -> Form | None:
    """For `determinism_check="none"`."""
    return None


FORMS: dict[str, Callable[[Tensor], Form | None]] = {"default": form_of, "none": no_form}


class Frame:
    """One call of `checkpoint`: how to run its function again, and which holders wait for what it saves.

    Attributes
    ----------
    holders : weak references, one for each tensor that the first run saved.
    completed : whether the first run has come to its end.
    recomputed : for each backward that has needed it, what was computed again.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: AbstractContextManager[Any],
        form: Callable[[Tensor], Form | None],
        early_stop: bool,
        state: tuple[Any, ...] | None,
        traces: tuple[Trace, Trace] | None,
    ) -> None:
        self.function, self.context, self.kwargs = function, context, kwargs
        self.args = [Input(arg) if isinstance(arg, Tensor) else arg for arg in args]
        self.form, self.early_stop, self.state, self.traces = form, early_stop, state, traces
        self.holders: list[ref[Holder]] = []
        self.forms: list[Form | None] = []
        self.completed = False
        self.recomputed: WeakKeyDictionary[Any, Recomputation] = WeakKeyDictionary()
        self.place = place()

    def pack(self, tensor: Tensor) -> Holder:
        """Let a tensor go, but for its position among those that are saved."""
        holder = Holder(len(self.holders))
        self.holders.append(ref(holder))
        self.forms.append(self.form(tensor))
        return holder

    def unpack(self, holder: Holder) -> Tensor:
        """The tensor that a holder stands for, computed again unless that was done for an earlier one of the same backward."""
        try:
            return self.unpacked(holder)
        except CheckpointError as error:
            if self.traces is None:
                raise
            raise CheckpointError(report(*self.traces)) from error

    def unpacked(self, holder: Holder) -> Tensor:
        task = current_task()
        recomputation = self.recomputed.get(task)
        if recomputation is None or holder.index not in recomputation.found:
            recomputation = self.run_again()
            self.recomputed[task] = recomputation
        entry = recomputation.found[holder.index]
        if entry is TAKEN:
            extra = ""
            if settings.group is not None:
                extra = (
                    "Performing two backward calls that overlap (i.e. require the same saved activation in order to compute gradients) is "
                    "not allowed while under the torch.utils.checkpoint.GraphExecGroup context. "
                )
            raise CheckpointError(
                f"torch.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. {extra}If you are calling "
                "ctx.saved_tensors in backward, make sure to do so only once: keep what it gives in a variable."
            )
        recomputation.found[holder.index] = TAKEN
        tensor, cell, version = entry
        if cell[0] != version:
            refuse_change(tensor, None, cell, version, f"was saved inside the checkpoint made at {describe(*self.place)}")
        found: Tensor = tensor
        return found

    def run_again(self) -> Recomputation:
        """Run the function once more, as far as is needed, and check that it saved what it had saved before."""
        args = [arg.unpacked() if type(arg) is Input else arg for arg in self.args]
        recomputation = Recomputation()

        def collect(tensor: Tensor) -> Tensor:
            return self.collect(recomputation, tensor)

        with (
            default_generator.engine.drawing_from(self.state),
            suppress(Enough),
            saved_tensors_hooks(collect, unchanged),
            enable_grad(),
            self.context,
            self.foresight(recomputation, collect),
        ):
            self.function(*args, **self.kwargs)
        self.check(recomputation)
        return recomputation

    def foresight(self, recomputation: Recomputation, collect: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """What ends the run before an operation of which only operands are still needed."""
        return observing(Foresight(self.holders, recomputation, collect)) if self.early_stop else nullcontext()

    def collect(self, recomputation: Recomputation, tensor: Tensor) -> Tensor:
        """The pack hook of the second run; what it returns serves those who run a backward inside of the function."""
        index = recomputation.count
        recomputation.count += 1
        out, cell = without_history(tensor), tensor._cell()
        if index >= len(self.holders):
            if self.completed:
                raise CheckpointError(
                    "torch.utils.checkpoint: trying to save more tensors during recomputation than during the original forward pass.\n"
                    f"Number of tensors saved during forward: {len(self.holders)}\n{self.advice()}"
                )
            recomputation.surplus = True  # a backward inside of the function: it goes on where the first run has not come yet
            return out
        if self.holders[index]() is not None:
            recomputation.found[index] = out, cell, cell[0]
        if self.early_stop and recomputation.count == len(self.holders):
            raise Enough
        return out

    def check(self, recomputation: Recomputation) -> None:
        """Refuse a second run that saved fewer tensors than the first, or others."""
        if recomputation.surplus:
            return
        if recomputation.count != len(self.holders):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.holders)}\n"
                f"Number of tensors saved during recomputation: {recomputation.count}.\n{self.advice()}"
            )
        lines: list[str] = []
        for index, (tensor, _, _) in recomputation.found.items():
            before, after = self.forms[index], self.form(tensor)
            if before != after and before is not None and after is not None:
                lines.append(f"tensor at position {index}:\nsaved metadata: {shown(before)}\nrecomputed metadata: {shown(after)}\n")
        if lines:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during the forward "
                "pass.\n"
                f"{''.join(lines)}.\n{self.advice()}"
            )

    def advice(self) -> str:
        tip = (
            ""
            if self.traces
            else " Pass debug=True to checkpoint, or use set_checkpoint_debug_enabled(True), to see all operations of both runs."
        )
        return (
            f"The checkpoint was made at {describe(*self.place)}. Its function must do the same thing whenever it is called: look for what "
            f"it reads that has changed since, such as a global variable, a counter, a mode, or a random number not of ndgrad's.{tip}"
        )


def shown(form: Form) -> str:
    shape, kind = form
    return f"{{'shape': {as_size(shape)}, 'dtype': {from_numpy_dtype[kind]}, 'device': device(type='cpu')}}"


#: What a function has given as long as it has given nothing.
NOTHING: Any = object()


def checkpoint_by_hooks(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context_fn: Callable[[], Contexts],
    determinism_check: str,
    debug: bool,
    early_stop: bool,
    preserve_rng_state: bool,
) -> Any:
    """Run a function such that nothing of what it saves is kept."""
    traces: tuple[Trace, Trace] | None = None
    if debug if settings.debug is None else settings.debug:
        if context_fn is not noop_context_fn:
            raise ValueError("debug=True is incompatible with non-default context_fn")
        traces = Trace(), Trace()
    if determinism_check not in FORMS:
        raise ValueError(f"determinism_check should be one of {list(FORMS)}, but got {determinism_check}")
    forward_context, recompute_context = traces or context_fn()
    if not modes.is_grad_enabled():
        return function(*args, **kwargs)
    frame = Frame(
        function,
        args,
        kwargs,
        recompute_context,
        FORMS[determinism_check],
        early_stop if settings.early_stop is None else settings.early_stop,
        default_generator.engine.snapshot() if preserve_rng_state else None,
        traces,
    )
    result: Any = NOTHING
    with saved_tensors_hooks(frame.pack, frame.unpack), forward_context:
        result = function(*args, **kwargs)
    if result is NOTHING:
        raise RuntimeError(
            "torch.utils.checkpoint: the forward context provided by context_fn suppressed an exception raised during the checkpointed "
            "forward. This is not supported because checkpoint cannot return a value for a failed forward."
        )
    frame.completed = True
    return result
