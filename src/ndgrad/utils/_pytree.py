"""`torch.utils._pytree`: trees of containers, taken apart and put together (`ndgrad.base.trees`)."""

from __future__ import annotations

import dataclasses
import warnings
from collections import namedtuple
from typing import Any

from ndgrad.base.return_types import ReturnType
from ndgrad.base.trees import SUPPORTED_NODES as SUPPORTED_NODES
from ndgrad.base.trees import Context as Context
from ndgrad.base.trees import GetAttrKey as GetAttrKey
from ndgrad.base.trees import KeyPath as KeyPath
from ndgrad.base.trees import LeafSpec as LeafSpec
from ndgrad.base.trees import MappingKey as MappingKey
from ndgrad.base.trees import NodeDef as NodeDef
from ndgrad.base.trees import PyTree as PyTree
from ndgrad.base.trees import SequenceKey as SequenceKey
from ndgrad.base.trees import TreeSpec as TreeSpec
from ndgrad.base.trees import broadcast_to_and_flatten
from ndgrad.base.trees import is_namedtuple_class as is_namedtuple_class
from ndgrad.base.trees import key_get as key_get
from ndgrad.base.trees import keystr as keystr
from ndgrad.base.trees import register_pytree_node as register_pytree_node
from ndgrad.base.trees import tree_all as tree_all
from ndgrad.base.trees import tree_all_only as tree_all_only
from ndgrad.base.trees import tree_any as tree_any
from ndgrad.base.trees import tree_any_only as tree_any_only
from ndgrad.base.trees import tree_flatten as tree_flatten
from ndgrad.base.trees import tree_flatten_with_path as tree_flatten_with_path
from ndgrad.base.trees import tree_is_leaf as tree_is_leaf
from ndgrad.base.trees import tree_iter as tree_iter
from ndgrad.base.trees import tree_leaves as tree_leaves
from ndgrad.base.trees import tree_leaves_with_path as tree_leaves_with_path
from ndgrad.base.trees import tree_map as tree_map
from ndgrad.base.trees import tree_map_ as tree_map_
from ndgrad.base.trees import tree_map_only as tree_map_only
from ndgrad.base.trees import tree_map_only_ as tree_map_only_
from ndgrad.base.trees import tree_map_with_path as tree_map_with_path
from ndgrad.base.trees import tree_structure as tree_structure
from ndgrad.base.trees import tree_unflatten as tree_unflatten
from ndgrad.base.trees import treespec_dict as treespec_dict
from ndgrad.base.trees import treespec_leaf as treespec_leaf
from ndgrad.base.trees import treespec_pprint as treespec_pprint
from ndgrad.base.trees import treespec_tuple as treespec_tuple

PyTreeSpec = TreeSpec
_broadcast_to_and_flatten = broadcast_to_and_flatten

__all__ = [
    "Context",
    "LeafSpec",
    "PyTree",
    "PyTreeSpec",
    "TreeSpec",
    "is_namedtuple",
    "is_namedtuple_class",
    "is_namedtuple_instance",
    "is_structseq",
    "is_structseq_class",
    "is_structseq_instance",
    "key_get",
    "keystr",
    "register_pytree_node",
    "tree_all",
    "tree_all_only",
    "tree_any",
    "tree_any_only",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_is_leaf",
    "tree_iter",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_only_",
    "tree_map_with_path",
    "tree_structure",
    "tree_unflatten",
    "treespec_pprint",
]


def is_namedtuple_instance(obj: object) -> bool:
    """Whether this is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj: object) -> bool:
    """Whether this is a named tuple, or a class of them."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_class(cls: type) -> bool:
    """Whether a class is one of `torch.return_types`."""
    return isinstance(cls, type) and issubclass(cls, ReturnType)


def is_structseq_instance(obj: object) -> bool:
    """Whether this is what an operation with named results returned."""
    return isinstance(obj, ReturnType)


def is_structseq(obj: object) -> bool:
    """Whether this is what an operation with named results returns, or its class."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def register_dataclass(
    cls: type,
    *,
    field_names: list[str] | None = None,
    drop_field_names: list[str] | None = None,
    serialized_type_name: str | None = None,
) -> None:
    """Let transforms see inside the instances of a dataclass.

    Parameters
    ----------
    field_names : the fields that are children; by default all that `__init__` takes.
    drop_field_names : fields that are left at their defaults when an instance is made anew.
    serialized_type_name : accepted, and not needed.
    """
    dropped = drop_field_names or []
    if not dataclasses.is_dataclass(cls):
        if field_names is None:
            raise ValueError(f"field_names must be specified with a list of all fields used to initialize {cls}, as it is not a dataclass.")
    else:
        known = {field.name for field in dataclasses.fields(cls) if field.init}
        if field_names is None:
            field_names = [field.name for field in dataclasses.fields(cls) if field.init and field.name not in dropped]
        missing, unexpected = known - {*field_names, *dropped}, set(field_names) - known
        if missing or unexpected:
            raise ValueError(
                "field_names does not include all dataclass fields.\n"
                + (f"Missing fields in `field_names`: {missing}. Add them, or name them in `drop_field_names`.\n" if missing else "")
                + (f"Unexpected fields in `field_names`: {unexpected}. These are no fields that `__init__` takes.\n" if unexpected else "")
            )
    if cls in SUPPORTED_NODES:
        warnings.warn(f"{cls!r} is already registered as pytree node. Overwriting the previous registration.", UserWarning, stacklevel=2)
    names = list(field_names)

    def present(obj: Any) -> tuple[list[str], list[str]]:
        """The names of children, and of fields that are None, which are no leaves."""
        return [name for name in names if getattr(obj, name) is not None], [name for name in names if getattr(obj, name) is None]

    def flatten(obj: Any) -> tuple[list[Any], Context]:
        kept, empty = present(obj)
        return [getattr(obj, name) for name in kept], [kept, empty]

    def unflatten(children: Any, context: Context) -> Any:
        kept, empty = context
        return cls(**dict(zip(kept, children, strict=True)), **dict.fromkeys(empty))

    SUPPORTED_NODES[cls] = NodeDef(cls, flatten, unflatten, lambda obj: [GetAttrKey(name) for name in present(obj)[0]])


@dataclasses.dataclass(frozen=True)
class ConstantNode:
    """The context of a constant: the constant itself."""

    value: Any


def register_constant(cls: type) -> None:
    """Take the instances of a class for part of the structure of trees: containers without children, told apart by `==`."""
    if getattr(cls, "__eq__", None) is object.__eq__:
        raise TypeError("register_constant(cls) expects `cls` to have a non-default `__eq__` implementation.")
    if cls.__hash__ is None:
        raise TypeError("register_constant(cls) expects `cls` to have a non-default `__hash__` implementation.")
    SUPPORTED_NODES[cls] = NodeDef(cls, lambda obj: ((), ConstantNode(obj)), lambda children, context: context.value, lambda obj: ())


def _register_namedtuple(cls: type, *, serialized_type_name: str) -> None:
    """Nothing to do: all named tuples are known."""
    if not is_namedtuple_class(cls):
        raise TypeError(f"{cls!r} is not a class made by {namedtuple.__module__}.{namedtuple.__name__}")


def arg_tree_leaves(*args: PyTree, **kwargs: PyTree) -> list[Any]:
    """The leaves of the arguments of a call."""
    return [leaf for arg in (*args, *kwargs.values()) for leaf in tree_iter(arg)]
