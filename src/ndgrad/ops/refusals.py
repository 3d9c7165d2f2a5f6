"""Checks that refuse dtypes an operation is not defined for, in the words that PyTorch's users search for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ndgrad.base.dtypes import from_numpy_dtype, type_name

Check = Callable[[Sequence[Any], Sequence[Any]], None]

#: The dtypes that a letter of `unsupported` stands for, by NumPy's kinds.
_KINDS = {"b": "a bool tensor", "u": "an integer tensor", "i": "an integer tensor", "f": "a floating tensor", "c": "a complex tensor"}


def unsupported(name: str, kinds: str, advice: str = "") -> Check:
    """Refuse payloads of NumPy's dtype kinds `kinds`, naming the kernel as PyTorch does."""

    def check(payloads: Sequence[Any], given: Sequence[Any]) -> None:
        kind = payloads[0].dtype
        if kind.kind in kinds:
            own = from_numpy_dtype[kind]
            raise NotImplementedError(
                f"\"{name}\" not implemented for '{type_name(own)}': it is not defined for {_KINDS[kind.kind]} ({own})"
                + (f"; {advice}" if advice else "; convert it with .to(...) first")
            )

    return check


def forbidden(kinds: str, message: str, error: type[Exception] = RuntimeError) -> Check:
    """Refuse payloads of these kinds with a sentence of the operation's own."""

    def check(payloads: Sequence[Any], given: Sequence[Any]) -> None:
        kind = payloads[0].dtype
        if kind.kind in kinds:
            raise error(f"{message} (The tensor's dtype is {from_numpy_dtype[kind]}.)")

    return check


def holds_complex(x: Any) -> bool:
    """Whether a rule's residual is complex, be it a payload or a tensor."""
    kind: str = getattr(x, "_a", x).dtype.kind
    return kind == "c"


def both(*checks: Check) -> Check:
    """All of the checks, in order."""

    def check(payloads: Sequence[Any], given: Sequence[Any]) -> None:
        for one in checks:
            one(payloads, given)

    return check


def no_derivative(name: str) -> Callable[..., NoReturn]:
    """The rule of an operation that PyTorch records but has no derivative for: an error, not a silent zero."""

    def rule(xp: Any, g: Any) -> NoReturn:
        raise RuntimeError(
            f"derivative for aten::{name} is not implemented; call it on x.detach() where no gradient should flow through it"
        )

    return rule
