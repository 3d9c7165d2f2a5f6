"""Finding the forward operation whose backward failed or gave NaN: `torch.autograd.anomaly_mode`, for each thread by itself."""

from __future__ import annotations

import threading
import traceback
import warnings
from typing import Any

import numpy as np

from ndgrad.autograd.diagnosis import explain_gradient, note_zeros, payload_of
from ndgrad.base import modes
from ndgrad.base.location import users_frames, users_level
from ndgrad.core.freed import running
from ndgrad.core.node import AccumulateGrad, Node
from ndgrad.core.observers import Observer, forget, observe

__all__ = ["detect_anomaly", "set_detect_anomaly"]

#: Where a node's metadata has the lines that led to it, and the node whose backward made it.
TRACEBACK, PARENT = "traceback_", "parent_"


class _Settings(threading.local):
    check_nan = True


settings = _Settings()


class Anomaly(Observer):
    """Writes down where each node was made; says so when one fails; and takes a NaN for a failure where the thread wants that."""

    def recorded(self, node: Any) -> None:
        """Write down the user's lines, and the node whose backward is making this one."""
        metadata = node.metadata
        metadata[TRACEBACK] = lines_of_the_user()
        here = running()
        node = getattr(here, "node", None)
        if node is not None:
            metadata[PARENT] = node.face()

    def pulled(self, node: Any, g: Any, cotangents: tuple[Any, ...]) -> None:
        """Raise if a gradient is NaN."""
        if not settings.check_nan:
            return
        for position, cotangent in enumerate(map(payload_of, cotangents)):
            bad = None if cotangent is None else np.isnan(cotangent)
            if bad is not None and np.any(bad):
                number = position if node.shown is None else node.shown.index(position)
                raise RuntimeError(
                    f"Function '{node.name()}' returned nan values in its {number}th output.\n"
                    + explain_gradient(node, g, position, cotangent, bad)
                )
        note_zeros(node, g, cotangents)

    def failed(self, node: Any, error: Exception) -> None:
        """Warn with the lines that made the node, and with those of the nodes whose backward it belongs to."""
        metadata = node.metadata
        last = running().node
        if isinstance(node, AccumulateGrad) and last is not None and TRACEBACK in last.metadata:
            metadata.setdefault(TRACEBACK, last.metadata[TRACEBACK])  # made for the first operation on the leaf, which is the last to run
        tell(error, f"Error detected in {node.name()}. ", metadata, "Traceback of forward call that caused the error:\n", node)
        while PARENT in metadata:
            node = metadata[PARENT]
            metadata = node.metadata
            induced = f"\n\nPrevious calculation was induced by {node.name()}. "
            tell(error, induced, metadata, "Traceback of forward call that induced the previous calculation:\n", node)


anomaly = Anomaly()


def lines_of_the_user() -> list[str]:
    """The lines of the user's program that are being run, outermost first."""
    return traceback.StackSummary.extract(reversed(users_frames())).format()


def tell(error: Exception, first: str, metadata: dict[Any, Any], title: str, node: Node) -> None:
    """Warn of what is known of a node that failed; where warnings are errors, note it on the error itself."""
    if TRACEBACK in metadata:
        text = first + title + "".join(metadata[TRACEBACK])
    else:
        text = (
            f"{first}No forward pass information available. Enable detect anomaly during forward pass for more information. All that is "
            f"known is the line: {node.where()}."
        )
    try:
        warnings.warn(text, UserWarning, stacklevel=users_level())
    except UserWarning:
        error.add_note(text.strip())


# ---------------------------------------------------------------- the switches
def is_anomaly_enabled() -> bool:
    """Whether this thread detects anomalies."""
    return anomaly in modes.current().observers


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, where it is on, raises at NaN."""
    return settings.check_nan


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch this thread's detection of anomalies on or off."""
    for position, (name, value) in enumerate((("enabled", enabled), ("check_nan", check_nan)), 1):
        if not isinstance(value, bool):
            raise TypeError(f"set_anomaly_enabled(): argument '{name}' (position {position}) must be bool, not {type(value).__name__}")
    settings.check_nan = check_nan
    if enabled != is_anomaly_enabled():
        (observe if enabled else forget)(anomaly)


class set_detect_anomaly:
    """Switch anomaly detection of this thread on or off: for good, or in a `with` block until its end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.prev, self.prev_check_nan = is_anomaly_enabled(), is_anomaly_check_nan_enabled()
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *details: object) -> None:
        set_anomaly_enabled(self.prev, self.prev_check_nan)


class detect_anomaly:
    """Inside, an error in a backward is preceded by a warning with the traceback of the forward operation, and NaN is such an error.

    Parameters
    ----------
    check_nan : whether a backward that gives NaN raises.

    Other than in PyTorch only the thread that entered is concerned. The error of a NaN says what was computed from what.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.prev, self.prev_check_nan = is_anomaly_enabled(), is_anomaly_check_nan_enabled()
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        set_anomaly_enabled(True, self.check_nan)

    def __exit__(self, *details: object) -> None:
        set_anomaly_enabled(self.prev, self.prev_check_nan)
