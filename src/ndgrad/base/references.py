"""How many references an object has, where Python counts them: what nobody else has may be written to, and nobody has to be told of it."""

from __future__ import annotations

import sys


def _uncounted(value: object) -> int:
    return sys.maxsize


#: The references of an object, those of the call included; on a Python that does not count, more than any that is alone.
references = getattr(sys, "getrefcount", _uncounted)
