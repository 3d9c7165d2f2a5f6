"""Every node that a backward runs, in the log that PyTorch writes it to."""

from __future__ import annotations

import sys
from typing import Any

from ndgrad.base import modes
from ndgrad.core.node import accumulator
from ndgrad.core.observers import Observer

#: The logger's name: programs and PyTorch's documentation set the level of this one.
NAME = "torch.autograd.graph"
DEBUG = 10


class ExecutionLog(Observer):
    """Writes a line for each node that is about to run, and for each leaf that has got its gradient."""

    #: The logger, looked up when it is first asked for its level.
    logger: Any = None

    def started(self, node: Any, g: Any) -> None:
        self.write(node.face(), [g] if node.outputs == 1 else g)

    def accumulated(self, leaf: Any, g: Any) -> None:
        self.write(accumulator(leaf), [g])

    def write(self, node: Any, cotangents: list[Any]) -> None:
        self.logger.debug(f"Executing: {node} with grad_outputs: [{','.join(map(abbreviated, cotangents))}]")


execution_log = ExecutionLog()


def is_logged() -> bool:
    """Whether the logger is at DEBUG; if nobody has imported `logging`, it is not, and ndgrad does without that import, too."""
    if execution_log.logger is None:
        execution_log.logger = sys.modules["logging"].getLogger(NAME)
    above = logger = execution_log.logger
    while not above.level and above.parent is not None:  # what `getEffectiveLevel` does, at a third of its price
        above = above.parent
    return above.level <= DEBUG and logger.isEnabledFor(DEBUG) and execution_log not in modes.current().observers


def abbreviated(g: Any) -> str:
    """The dtype and shape of a cotangent, as in f32[2, 3]."""
    if g is None:
        return "None"
    name = g.dtype.name
    return f"{name[0]}{name.lstrip('abcdefghijklmnopqrstuvwxyz')}[{', '.join(map(str, g.shape))}]"
