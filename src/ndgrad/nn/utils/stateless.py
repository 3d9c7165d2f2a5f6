"""Calling a module with other parameters and buffers than its own, which come back when the call is over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ndgrad.core.tensor import Tensor

__all__ = ["functional_call"]

MISSING: Any = object()


class Member:
    """The place of one parameter, buffer or attribute, by its dotted name."""

    def __init__(self, module: Any, name: str) -> None:
        *path, self.name = name.split(".")
        for part in path:
            inner = module._modules.get(part, MISSING)
            if inner is MISSING:
                inner = module.__dict__.get(part, MISSING)
            if inner is MISSING:
                raise AttributeError(f"{module._get_name()} has no attribute `{part}` (in the name {name!r})")
            module = inner
        self.holder = next((each for each in (module._parameters, module._buffers) if self.name in each), module.__dict__)

    def swap(self, value: Any) -> Any:
        """Put a value there, or nothing, and give back what was there."""
        before = self.holder.get(self.name, MISSING)
        if value is MISSING:
            self.holder.pop(self.name, None)
        else:
            self.holder[self.name] = value
        return before


def names_of_same(module: Any) -> dict[int, list[str]]:
    """The names of each parameter and buffer: a tensor that has several is tied."""
    found: dict[int, list[str]] = {}
    for members in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)):
        for name, tensor in members:
            found.setdefault(id(tensor), []).append(name)
    return found


def with_tied(names: dict[int, list[str]], given: dict[str, Any]) -> dict[str, Any]:
    """The given values, for all names of the tensors that they replace."""
    replaced = dict(given)
    for group in names.values():
        known = [name for name in group if name in given]
        if len({id(given[name]) for name in known}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(known)}, which are tied. Consider using tie_weights=False"
            )
        if known:
            replaced.update(dict.fromkeys(group, given[known[0]]))
    return replaced


def check_names(module: Any, names: dict[int, list[str]], replaced: dict[str, Any]) -> None:
    """Refuse names that are none, and a member that is not replaced."""
    wanted = {name for group in names.values() for name in group}
    problems = [
        f"\n\t{kind} key(s): {', '.join(map(repr, sorted(found)))}."
        for kind, found in (("Unexpected", replaced.keys() - wanted), ("Missing", wanted - replaced.keys()))
        if found
    ]
    if problems:
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:{''.join(problems)}")


@contextmanager
def replacing(module: Any, given: dict[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    """While a module has other parameters and buffers. What is assigned to them meanwhile is found in `given` afterwards."""
    names = names_of_same(module) if tie_weights or strict else {}
    replaced = with_tied(names, given) if tie_weights else given
    if strict:
        check_names(module, names, replaced)
    for value in replaced.values():
        if not isinstance(value, Tensor) and value is not None:
            raise TypeError(f"{value!r} is not an instance of torch.Tensor")
    members = {name: Member(module, name) for name in replaced}
    own = {name: member.swap(replaced[name]) for name, member in members.items()}
    try:
        yield
    finally:
        for name, member in members.items():
            last = member.swap(own[name])
            if name in given and last is not MISSING:
                given[name] = last


def call_with(
    module: Any, given: dict[str, Any], args: Any = None, kwargs: dict[str, Any] | None = None, *, tie_weights: bool, strict: bool
) -> Any:
    """Call a module while it has other parameters and buffers; one argument need not be put into a tuple."""
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with replacing(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


def functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """An old name of `torch.func.functional_call`."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future version of PyTorch. "
        "Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return call_with(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
