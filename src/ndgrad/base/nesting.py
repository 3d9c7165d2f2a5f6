"""How many transforms of functions (`ndgrad.func`) this thread is inside, and what is refused there."""

from __future__ import annotations

import threading
from typing import Any


class Nesting(threading.local):
    """What transforms of this thread are doing.

    Attributes
    ----------
    depth : the number of transformed functions that are running, each inside the one before.
    call : the innermost call of those that are differentiated in reverse (`func.handles.Call`).
    passing : the mark of the call whose own backward is running, or what else a transform runs one for; None if it is the user's.
    """

    depth = 0
    call: Any = None
    passing: Any = None


nesting = Nesting()

class Inside:
    """While a transformed function runs."""

    def __enter__(self) -> Any:
        nesting.depth += 1
        return self

    def __exit__(self, *details: object) -> None:
        nesting.depth -= 1


INSTEAD = (
    "inside of a function being transformed by a functorch transform. This is unsupported, please attempt to use the functorch transforms "
    "(e.g. grad, vjp, jacrev, jacfwd, hessian) or call"
)


def refuse_backward() -> None:
    """Raise if a transform is running: gradients are its result there, and go into no `.grad`."""
    if nesting.depth:
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use functorch.grad or functorch.vjp instead or "
            "call backward() outside of functorch transforms. (Inside, torch.autograd.grad works, too.)"
        )


def refuse_retain_grad() -> None:
    """Raise if a transform is running."""
    if nesting.depth:
        raise RuntimeError(
            f"You are attempting to call Tensor.retain_grad() {INSTEAD} retain_grad() outside of a function being transformed instead."
        )


def refuse_requires_grad() -> None:
    """Raise if a transform is running: it has its own way of telling what to differentiate by."""
    if nesting.depth:
        raise RuntimeError(
            "You are attempting to call Tensor.requires_grad_() (or perhaps using torch.autograd.functional.* APIs) "
            f"{INSTEAD} requires_grad_() outside of a function being transformed instead."
        )


def refuse_old_function(name: str) -> None:
    """Raise if a transform is running: for a custom function without `setup_context`."""
    if nesting.depth:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override the "
            "setup_context staticmethod. For more details, please see https://pytorch.org/docs/main/notes/extending.func.html\n"
            f"Write {name}.forward(*inputs) without ctx, and save what backward needs in {name}.setup_context(ctx, inputs, output)."
        )
