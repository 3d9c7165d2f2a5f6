"""When two libraries agree on what a random program showed: rounding is allowed for, and an error may have another of two reasons."""

import re

import numpy as np


def first_sentence(message):
    return message.split("\n")[0].split(". ")[0]


#: The errors that are about the graph; any other is one operation's own business.
REASONS = {
    "no_grad view": "created in (no_grad|inference) mode",
    "one of several views": "is a view and (is being|its base or another view of its base has been) modified",
    "changed": "modified by an inplace operation",
    "used up": "a second time",
    "view of a leaf": "a view of a leaf Variable",
    "leaf": "a leaf Variable",
    "no history": "does not require grad",
    "nothing to retain": "retain_grad",
    "view detached": "detach views in-place",
}


def reason(sentence):
    return next((name for name, pattern in REASONS.items() if re.search(pattern, sentence)), None)


def agrees(theirs, ours):
    """Equality, with rounding allowed for floats; of two errors, the same type and the same reason."""
    if isinstance(theirs, tuple) and isinstance(ours, tuple) and len(theirs) == len(ours) == 3 and isinstance(theirs[2], str):
        reasons = reason(theirs[2]), reason(ours[2])
        if None in reasons:  # where there are two reasons to refuse, which one is found first does not matter
            return theirs[0] == ours[0] and isinstance(ours[2], str) and (theirs[1] == ours[1] or reasons != (None, None))
        # a saved view that is out of date has also been changed
        return theirs[:2] == ours[:2] and (reasons[0] == reasons[1] or (theirs[0] == "backward" and reasons[1] == "changed"))
    if isinstance(theirs, np.ndarray):
        return (
            isinstance(ours, np.ndarray) and theirs.shape == ours.shape and np.allclose(theirs, ours, rtol=1e-9, atol=1e-12, equal_nan=True)
        )
    if isinstance(theirs, (tuple, list)):
        return isinstance(ours, (tuple, list)) and len(theirs) == len(ours) and all(map(agrees, theirs, ours))
    return theirs == ours
