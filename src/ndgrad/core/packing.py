"""Residuals that a user packs: the hooks of `autograd.graph.saved_tensors_hooks` and of `SavedTensor.register_hooks`.

A packed residual stands in a node's `saved` where otherwise its payload would, and the node is of a class that unpacks it: a subclass
of its own class, so that nodes without hooks are not asked whether they have any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.base import modes
from ndgrad.core.freed import Freed, running
from ndgrad.core.tensor import Tensor, wrap


class Packed:
    """What a pack hook made of a residual, and the hook that undoes it."""

    __slots__ = ("dtype", "shape", "unpack", "value")

    def __init__(self, value: Any, unpack: Callable[[Any], Any], payload: Any) -> None:
        self.value, self.unpack = value, unpack
        self.shape, self.dtype = payload.shape, payload.dtype

    def unpacked(self) -> Tensor:
        """The residual, as the unpack hook gives it."""
        found = self.unpack(self.value)
        if not isinstance(found, Tensor):
            name = f"{'numpy.' * (type(found).__module__ == 'numpy')}{type(found).__name__}"
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {name}")
        if found._a.shape != self.shape:
            raise RuntimeError(
                f"a saved tensor of shape {list(self.shape)} came back from its unpack hook with shape {list(found._a.shape)}"
            )
        return found


def packed(tensor: Tensor, cell: Any, hooks: tuple[Any, Any]) -> tuple[Packed, Any, int]:
    """The three entries in `saved` for a tensor that goes through a pack hook.

    The version is checked if the hook gave back the tensor itself; of anything else it is not known what a change would mean.
    """
    pack, unpack = hooks
    own = tensor._cell()
    version = own[0]
    recording = modes.set_mode("grad", False)
    try:
        value = pack(tensor)
    finally:
        modes.set_mode("grad", recording)
    if own[0] != version:
        raise RuntimeError(
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by "
            f"in-place operations as this can lead to unexpected side-effects. (The hook is {getattr(pack, '__name__', pack)}.) Return a "
            "changed copy instead: t * 2, not t.mul_(2)."
        )
    entry = Packed(value, unpack, tensor._a)
    return (entry, cell, cell[0]) if value is tensor else (entry, (0,), 0)


def pack_residuals(node: Any, operands: Any, result: Any, hooks: tuple[Any, Any]) -> None:
    """Pack all tensors that an operation has just saved: the live ones, once each."""
    if not node.saved:
        return
    kept = list(node.saved)
    outputs = result if isinstance(result, tuple) else (result,)
    for index, (is_output, position) in enumerate(node.primitive.sources):
        payload, cell = kept[3 * index : 3 * index + 2]
        tensor = outputs[position] if is_output else operands[position]
        if payload is None or not isinstance(tensor, Tensor):
            continue  # not saved after all, or a Python number
        if tensor._a is not payload:  # the operand in the dtype of the computation
            tensor = wrap(payload, tensor._node)
        kept[3 * index : 3 * index + 3] = packed(tensor, cell, hooks)
    node.saved = tuple(kept)
    node.__class__ = packing_kind(type(node))


packing_kinds: dict[Any, Any] = {}


def packing_kind(kind: Any) -> Any:
    """The class of a node of this kind that has packed residuals."""
    found = packing_kinds.get(kind)
    if found is None:
        found = type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, "pull": pull_packed})
        packing_kinds[kind] = packing_kinds[found] = found
    return found


def pull_packed(self: Any, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
    """Run the rules of a node on payloads, some of which have to be unpacked."""
    values = [value.unpacked()._a if type(value) is Packed else value for value in self.check()]
    run = running()
    if run is not None and run.observers:
        run.unpacked = self, values  # what observers may want to know cannot always be unpacked once more
    found: tuple[Any, ...] = self.pull_values(values, g, parents)
    return found


def without_history(tensor: Tensor) -> Tensor:
    """The same memory and version counter, and nothing that leads anywhere."""
    out = wrap(tensor._a)
    out._v = tensor._cell()
    return out


class SavedTensor:
    """One residual of a node: `node._raw_saved_self` where `node._saved_self` is the tensor."""

    __slots__ = ("_fixed", "_index", "_node")

    def __init__(self, node: Any, index: int | None, fixed: Any = None) -> None:
        self._node, self._index, self._fixed = node, index, fixed

    def _entry(self) -> Any:
        """What stands in the node's `saved`; None for what is put together when it is asked for."""
        return None if self._index is None or self._node.saved is None else self._node.check()[3 * self._index]

    def _freed(self) -> bool:
        return type(self._node.saved) is Freed

    @property
    def data(self) -> Any:
        """What the pack hook made of the tensor; where there is no hook, the tensor, an output without its history; None once freed."""
        if self._freed():
            return None
        entry = self._entry()
        if type(entry) is Packed:
            return entry.value
        tensor = self.unpack()
        of_output = self._index is not None and self._node.residuals[self._index].startswith("out")
        return without_history(tensor) if of_output and isinstance(tensor, Tensor) else tensor

    @property
    def unpack_hook(self) -> Any:
        """The hook that turns `data` into the tensor; None where there is none."""
        entry = None if self._freed() else self._entry()
        return entry.unpack if type(entry) is Packed else None

    def unpack(self) -> Any:
        """The tensor, with its place in the graph."""
        return self._fixed if self._index is None else self._node.unpacked_residual(self._index)

    def register_hooks(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        """Pack this tensor now, and unpack it whenever it is needed.

        Raises
        ------
        RuntimeError
            If the tensor has hooks, is None, has been freed, or if the pack hook changes it.
        """
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise TypeError(f"register_hooks(): incompatible function arguments. Both must be functions, not {type(hook).__name__}")
        if self._freed():
            raise RuntimeError(
                "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the graph are freed when "
                "you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second "
                "time or if you need to access saved tensors after calling backward."
            )
        entry = self._entry()
        if type(entry) is Packed:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks is allowed at a "
                "time."
            )
        tensor = self.unpack()
        if tensor is None:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        if self._index is None:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor that ndgrad does not keep: it is put together from others when it is asked for. "
                f"{self._node.name()} keeps {', '.join(self._node.residuals) or 'no tensor'}."
            )
        node = self._node.node_of()
        detached = without_history(tensor)
        kept = list(node.saved)
        at = 3 * self._index
        kept[at : at + 3] = packed(detached, kept[at + 1], (pack_hook, unpack_hook))
        node.replace_saved(kept)
