"""Names for the types that annotations use everywhere."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
#: What a tensor holds: an array, or an immutable NumPy scalar for a 0-d tensor whose memory nobody has asked for.
Payload = Array
ArrayLike = npt.ArrayLike
Shape = tuple[int, ...]
