"""The backward that each thread is running, for whoever is called by one and has to know which it is."""

from __future__ import annotations

from typing import Any

#: Of each thread the innermost backward, an object of the engine's; its `captured` is None if it goes to all leaves.
running: dict[int, Any] = {}
