"""What operations the two runs of a checkpoint's function ran, for `checkpoint(debug=True)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndgrad.base.location import Place, describe, place
from ndgrad.core.observers import Observer, forget, observe
from ndgrad.core.tensor import Tensor
from ndgrad.ops.aten import operator


class Trace(Observer):
    """Notes every operation that runs while it is entered; entering it again begins anew."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Place]] = []

    def __enter__(self) -> Trace:
        self.lines = []
        observe(self)
        return self

    def __exit__(self, *details: object) -> None:
        forget(self)

    def done(self, primitive: Any, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], result: Any) -> None:
        given = ", ".join(brief(operand) for operand in operands)
        self.lines.append((f"{operator(primitive)}({given}) -> {brief(result)}", place()))


def brief(value: Any) -> str:
    """An operand or a result in a few words: dtype and shape."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value._a.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(brief, value))})"
    return repr(value)


def first_difference(before: Trace, after: Trace) -> int | None:
    """The first operation that is not the same in both; None if the second run only ended earlier, as it does when it has enough."""
    for index, ((left, _), (right, _)) in enumerate(zip(before.lines, after.lines, strict=False)):
        if left != right:
            return index
    return len(before.lines) if len(after.lines) > len(before.lines) else None


def listed(trace: Trace, title: str, mark: int | None) -> str:
    lines = [
        f"{'>>' if index == mark else '  '} {index + 1:3d}  {text}   at {describe(*where)}"
        for index, (text, where) in enumerate(trace.lines)
    ]
    return f"{title}\n" + "\n".join(lines or ["   none"])


def report(before: Trace, after: Trace) -> str:
    """Both lists of operations, and where they part."""
    mark = first_difference(before, after)
    where = "The operations are the same as far as both runs came." if mark is None else f"They differ from operation {mark + 1} on."
    return (
        " An error happened while unpacking tensors; dumping logs of latest computation\n"
        "because you passed `debug=True` to `torch.utils.checkpoint.checkpoint()`.\n\n"
        f"{listed(before, 'Operations executed during the original forward:', mark)}\n\n"
        f"{listed(after, 'Operations executed during recomputation:', mark)}\n\n"
        f"{where} The error itself is the one that this one was raised from."
    )
