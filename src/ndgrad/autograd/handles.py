"""The handle that a registration of a hook gives back."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Self

#: What hooks are kept in: in the order of registration, and unlike a dict it can be referred to weakly.
Hooks = OrderedDict[int, Any]
_counting = threading.Lock()


class RemovableHandle:
    """Removes a hook: by `remove()`, any number of times, or at the end of a `with` block.

    Parameters
    ----------
    hooks_dict : where the hook is, under the handle's `id`; referred to weakly.
    extra_dict : another such dict or a list of them, from which the `id` is removed as well.
    """

    id: int
    next_id: ClassVar[int] = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.hooks_dict_ref: Callable[[], Any] = weakref.ref(hooks_dict)
        with _counting:
            self.id = RemovableHandle.next_id
            RemovableHandle.next_id += 1
        several = extra_dict if isinstance(extra_dict, list) else [] if extra_dict is None else [extra_dict]
        self.extra_dict_ref: tuple[Callable[[], Any], ...] = tuple(weakref.ref(each) for each in several)

    def remove(self) -> None:
        """Remove the hook, if it is still there."""
        for find in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = find()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.remove()

    def __getstate__(self) -> Any:
        # without the dicts: a handle from elsewhere has no hook to remove here
        return None, self.id, ()

    def __setstate__(self, state: Any) -> None:
        hooks, self.id, *extra = state
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(each) for each in extra[0] or ()) if extra else ()
        with _counting:
            RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)
