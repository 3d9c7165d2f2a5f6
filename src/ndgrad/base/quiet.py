"""Computing without NumPy's floating-point warnings.

A kernel must not warn about overflow or division by zero, and the user's `np.seterr` is not ours to change: kernels run in a context
of their own in which NumPy is silent. Entering it costs a tenth of what `np.errstate` does.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

_quiet_context = contextvars.copy_context()
_quiet_context.run(np.seterr, all="ignore")
quiet_run: Callable[..., Any] = _quiet_context.run

# NumPy keeps its error state in a context variable; the quiet context shows which one and what it holds.
_error_state, _silence = next(((v, s) for v, s in _quiet_context.items() if "extobj" in v.name), (None, None))
begin_quiet: Callable[[], Any]
end_quiet: Callable[[Any], None]
if _error_state is not None:
    begin_quiet, end_quiet = partial(_error_state.set, _silence), _error_state.reset
else:  # a NumPy that keeps its error state elsewhere

    def begin_quiet() -> Any:
        """Silence NumPy in this context; what is returned goes to `end_quiet`."""
        state = np.errstate(all="ignore")
        state.__enter__()
        return state

    def end_quiet(token: Any) -> None:
        """Give NumPy back the voice it had."""
        token.__exit__(None, None, None)


if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
    # Without a global lock two threads could enter the shared context at once; what is set in the thread's own context is its own.

    def quiet_run(kernel: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a kernel with NumPy silent."""
        token = begin_quiet()
        try:
            return kernel(*args, **kwargs)
        finally:
            end_quiet(token)


class Quiet:
    """`np.errstate(all="ignore")` for code that is more than one kernel, at a tenth of the price."""

    __slots__ = ("token",)

    def __enter__(self) -> None:
        self.token = begin_quiet()

    def __exit__(self, *details: object) -> None:
        end_quiet(self.token)


def run_quietly(kernel: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a kernel with NumPy's floating-point warnings off, in any thread and however deeply nested."""
    try:
        return quiet_run(kernel, *args, **kwargs)
    except RuntimeError as error:
        if "already entered" not in str(error):
            raise
    with Quiet():  # another thread, or a frame below us, is inside the shared context
        return kernel(*args, **kwargs)
