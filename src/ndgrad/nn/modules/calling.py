"""Calling a module, and the hooks around it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ndgrad.base.location import users_level
from ndgrad.core.tensor import Tensor
from ndgrad.nn.modules.members import Members
from ndgrad.nn.modules.states import _WrappedHook
from ndgrad.utils.hooks import BackwardHook, RemovableHandle

Hooks = OrderedDict[int, Callable[..., Any]]

# Hooks of every module there is.
_global_backward_pre_hooks: Hooks = OrderedDict()
_global_backward_hooks: Hooks = OrderedDict()
_global_forward_pre_hooks: Hooks = OrderedDict()
_global_forward_hooks: Hooks = OrderedDict()
_global_forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
_global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()

#: The ids of all of them, so that a call has one dict to look at.
_global_hooks: OrderedDict[int, bool] = OrderedDict()


class _GlobalKind:
    """Whether the global backward hooks are full ones; None while there are none."""

    full: bool | None = None


def _add_global(hooks: Hooks, hook: Callable[..., Any], *marks: OrderedDict[int, bool]) -> RemovableHandle:
    marks = (_global_hooks, *marks)
    handle = RemovableHandle(hooks, extra_dict=list(marks))
    hooks[handle.id] = hook
    for each in marks:
        each[handle.id] = True
    return handle


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module; arguments that it returns take the place of those."""
    return _add_global(_global_forward_pre_hooks, hook)


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module; an output that it returns takes the place of that.

    Parameters
    ----------
    with_kwargs : call `hook(module, args, kwargs, output)`.
    always_call : also after a forward that has raised.
    """
    marks = [_global_forward_hooks_with_kwargs] * with_kwargs + [_global_forward_hooks_always_called] * always_call
    return _add_global(_global_forward_hooks, hook, *marks)


def _set_global_kind(full: bool) -> None:
    if _GlobalKind.full is (not full):
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please use only one of them."
        )
    _GlobalKind.full = full


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """The older, less reliable form of `register_module_full_backward_hook`."""
    _set_global_kind(False)
    return _add_global(_global_backward_hooks, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_outputs)` when the gradients of the outputs of any module are known; what it returns replaces them."""
    return _add_global(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_inputs, grad_outputs)` when those of any module are known; what it returns replaces the former."""
    _set_global_kind(True)
    return _add_global(_global_backward_hooks, hook)


class Calls(Members):
    """The part of `Module` that calls forward, and whoever wants to see or change what goes in and comes out."""

    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks or _global_hooks:
            return _HookedCall(self, args, kwargs).run()
        return self.forward(*args, **kwargs)

    # ---------------------------------------------------------------- registering
    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; arguments that it returns take the place of those.

        Parameters
        ----------
        prepend : before the hooks that are there already.
        with_kwargs : call `hook(module, args, kwargs)`, which may return both.
        """
        marks = [self._forward_pre_hooks_with_kwargs] * with_kwargs
        return self._add_hook(self._forward_pre_hooks, hook, prepend, *marks)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; an output that it returns takes the place of that.

        Parameters
        ----------
        prepend : before the hooks that are there already.
        with_kwargs : call `hook(module, args, kwargs, output)`.
        always_call : also after a forward that has raised.
        """
        marks = [self._forward_hooks_with_kwargs] * with_kwargs + [self._forward_hooks_always_called] * always_call
        return self._add_hook(self._forward_hooks, hook, prepend, *marks)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_outputs)` when the gradients of the outputs are known; what it returns replaces them."""
        return self._add_hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_inputs, grad_outputs)` when both are known; what it returns replaces the former."""
        self._set_kind(True)
        return self._add_hook(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The older form of `register_full_backward_hook`: `grad_inputs` are those of the last operation of the forward alone."""
        self._set_kind(False)
        return self._add_hook(self._backward_hooks, hook, False)

    def _set_kind(self, full: bool) -> None:
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only one of them."
            )
        self._is_full_backward_hook = full

    def _add_hook(self, hooks: Hooks, hook: Callable[..., Any], prepend: bool, *marks: OrderedDict[int, bool]) -> RemovableHandle:
        handle = RemovableHandle(hooks, extra_dict=list(marks))
        hooks[handle.id] = hook
        for each in marks:
            each[handle.id] = True
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle

    def _get_backward_hooks(self) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
        """The full hooks and the others, global ones first."""
        found: dict[bool, list[Callable[..., Any]]] = {True: [], False: []}
        if _GlobalKind.full is not None:
            found[_GlobalKind.full] += _global_backward_hooks.values()
        if self._is_full_backward_hook is not None:
            found[self._is_full_backward_hook] += self._backward_hooks.values()
        return found[True], found[False]

    def _get_backward_pre_hooks(self) -> list[Callable[..., Any]]:
        return [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]


class _HookedCall:
    """One call of a module that has hooks."""

    def __init__(self, module: Calls, args: Any, kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self.called: set[int] = set()

    def run(self) -> Any:
        try:
            return self.steps()
        except Exception:  # any: hooks that are always to be called are called, and then it is raised on
            self.call_the_others()
            raise

    def steps(self) -> Any:
        """Hooks before, forward, hooks after, with what catches gradients in between."""
        module = self.module
        full, others = module._get_backward_hooks()
        before = module._get_backward_pre_hooks()
        self.pre_hooks()
        catching = BackwardHook(module, full, before) if full or before else None
        if catching is not None:
            self.args = catching.setup_input_hook(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for hook_id, hook, is_global in self.forward_hooks():
            self.called.add(hook_id)
            replaced = self.call(hook_id, hook, is_global)
            if replaced is not None:
                self.result = replaced
        if catching is not None:
            if not isinstance(self.result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                    f"{type(self.result)}",
                    stacklevel=users_level(),
                )
            self.result = catching.setup_output_hook(self.result)
        if others:
            self.hook_last_node(others)
        return self.result

    def pre_hooks(self) -> None:
        own = self.module._forward_pre_hooks
        for hook_id, hook in (*_global_forward_pre_hooks.items(), *own.items()):
            if hook_id in self.module._forward_pre_hooks_with_kwargs:
                changed = hook(self.module, self.args, self.kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
                self.args, self.kwargs = changed
            else:
                changed = hook(self.module, self.args)
                if changed is not None:
                    self.args = changed if isinstance(changed, tuple) else (changed,)

    def forward_hooks(self) -> list[tuple[int, Callable[..., Any], bool]]:
        """All of them with their ids, and whether they are global."""
        own = self.module._forward_hooks
        return [(*item, True) for item in _global_forward_hooks.items()] + [(*item, False) for item in own.items()]

    def call(self, hook_id: int, hook: Callable[..., Any], is_global: bool) -> Any:
        marked = _global_forward_hooks_with_kwargs if is_global else self.module._forward_hooks_with_kwargs
        if hook_id in marked:
            return hook(self.module, self.args, self.kwargs, self.result)
        return hook(self.module, self.args, self.result)

    def call_the_others(self) -> None:
        """After an error: call the hooks that are always called and have not been yet. An error of theirs must not hide the first one."""
        for hook_id, hook, is_global in self.forward_hooks():
            always = _global_forward_hooks_always_called if is_global else self.module._forward_hooks_always_called
            if hook_id not in always or hook_id in self.called:
                continue
            try:
                replaced = self.call(hook_id, hook, is_global)
            except Exception as error:  # any: another error is on its way, which it must not hide
                warnings.warn(
                    f"{'global ' if is_global else ''}module forward hook with ``always_call=True`` raised an exception that was silenced "
                    f"as another error was raised in forward: {error}",
                    stacklevel=users_level(),
                )
            else:
                if replaced is not None:
                    self.result = replaced

    # ---------------------------------------------------------------- the older backward hooks
    def hook_last_node(self, hooks: list[Callable[..., Any]]) -> None:
        """Hang hooks on the node that made the output."""
        found = self.result
        while not isinstance(found, Tensor):
            found = next(value for value in found.values() if isinstance(value, Tensor)) if isinstance(found, dict) else found[0]
        node = found.grad_fn
        if node is None:
            return
        for hook in hooks:
            node.register_hook(_WrappedHook(hook, self.module))
        self.warn_of_other_nodes(node)

    def warn_of_other_nodes(self, node: Any) -> None:
        """The older hooks see one node; say so where there are more."""
        result, args = self.result, self.args
        lacking = "This hook will be missing some"
        advice = "is deprecated and will be removed in future versions."
        if not isinstance(result, Tensor) and not (isinstance(result, tuple) and all(isinstance(value, Tensor) for value in result)):
            self.deprecated(
                "Using non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors "
                f"{advice} {lacking} of the grad_output. Please use register_full_backward_hook to get the documented behavior."
            )
            return
        results = (result,) if isinstance(result, Tensor) else result
        if not all(isinstance(value, Tensor) for value in args):
            self.deprecated(
                "Using non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of Tensors "
                f"{advice} {lacking} of the grad_input. Please use register_full_backward_hook to get the documented behavior."
            )
            return
        nodes = {value.grad_fn for value in results if value.grad_fn is not None}
        if len(nodes) != 1 or node not in nodes:
            self.deprecated(
                f"Using a non-full backward hook when outputs are generated by different autograd Nodes {advice} {lacking} grad_output. "
                "Please use register_full_backward_hook to get the documented behavior."
            )
            return
        of_inputs = {value.grad_fn for value in args if value.grad_fn is not None}
        before = {following for following, _ in node.next_functions}
        if of_inputs != before:
            self.deprecated(
                f"Using a non-full backward hook when the forward contains multiple autograd Nodes {advice} {lacking} grad_input. Please "
                "use register_full_backward_hook to get the documented behavior."
            )

    def deprecated(self, message: str) -> None:
        warnings.warn(message, FutureWarning, stacklevel=users_level())
