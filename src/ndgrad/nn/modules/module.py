"""`Module`, the base of everything that has parameters and a forward, and the hooks of all modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

from ndgrad.nn.modules.calling import Calls as _Calls
from ndgrad.nn.modules.calling import _global_backward_hooks as _global_backward_hooks
from ndgrad.nn.modules.calling import _global_backward_pre_hooks as _global_backward_pre_hooks
from ndgrad.nn.modules.calling import _global_forward_hooks as _global_forward_hooks
from ndgrad.nn.modules.calling import _global_forward_pre_hooks as _global_forward_pre_hooks
from ndgrad.nn.modules.calling import register_module_backward_hook as register_module_backward_hook
from ndgrad.nn.modules.calling import register_module_forward_hook as register_module_forward_hook
from ndgrad.nn.modules.calling import register_module_forward_pre_hook as register_module_forward_pre_hook
from ndgrad.nn.modules.calling import register_module_full_backward_hook as register_module_full_backward_hook
from ndgrad.nn.modules.calling import register_module_full_backward_pre_hook as register_module_full_backward_pre_hook
from ndgrad.nn.modules.conversion import Conversions as _Conversions
from ndgrad.nn.modules.members import register_module_buffer_registration_hook as register_module_buffer_registration_hook
from ndgrad.nn.modules.members import register_module_module_registration_hook as register_module_module_registration_hook
from ndgrad.nn.modules.members import register_module_parameter_registration_hook as register_module_parameter_registration_hook
from ndgrad.nn.modules.states import States as _States
from ndgrad.nn.modules.states import _IncompatibleKeys as _IncompatibleKeys

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

#: What a module that was pickled before they existed may lack.
_LATER: dict[str, Callable[[], Any]] = {
    "_forward_pre_hooks": OrderedDict,
    "_forward_pre_hooks_with_kwargs": OrderedDict,
    "_forward_hooks_with_kwargs": OrderedDict,
    "_forward_hooks_always_called": OrderedDict,
    "_state_dict_hooks": OrderedDict,
    "_state_dict_pre_hooks": OrderedDict,
    "_load_state_dict_pre_hooks": OrderedDict,
    "_load_state_dict_post_hooks": OrderedDict,
    "_non_persistent_buffers_set": set,
    "_is_full_backward_hook": lambda: None,
    "_backward_pre_hooks": OrderedDict,
}


def _addindent(s_: str, numSpaces: int) -> str:
    """The text with all lines but the first moved to the right."""
    return s_.replace("\n", "\n" + " " * numSpaces)


def _forward_unimplemented(self: Module, *input: Any) -> NoReturn:
    """What the module computes: every subclass has its own."""
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module(_Calls, _States, _Conversions):
    """Base class of networks and their layers: subclasses give their members in `__init__`, after `super().__init__()`, and a `forward`.

    Parameters, buffers and submodules that are assigned to attributes are registered under the attribute's name.

    Examples
    --------
    >>> class Affine(Module):
    ...     def __init__(self, size):
    ...         super().__init__()
    ...         self.scale = Parameter(ops.ones(size))
    ...         self.shift = Parameter(ops.zeros(size))
    ...
    ...     def forward(self, x):
    ...         return x * self.scale + self.shift
    """

    forward: Callable[..., Any] = _forward_unimplemented

    # ---------------------------------------------------------------- printing
    def extra_repr(self) -> str:
        """Override, to say more of a module where it is printed."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_addindent(repr(module), 2)}" for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        inner = "\n  ".join([*lines, *children])
        return f"{self._get_name()}(\n  {inner}\n)" if inner else f"{self._get_name()}()"

    # ---------------------------------------------------------------- copying
    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, make in _LATER.items():
            if name not in self.__dict__:
                self.__dict__[name] = make()
