"""Trees of Python's containers with anything at the leaves: taken apart into a list and a `TreeSpec`, and put together again.

Lists, tuples, dicts and their relatives are known; other classes are registered. An instance of a class that is not, and of a subclass of
one that is, is a leaf; only subclasses of named tuples are taken apart as well.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, NamedTuple

from ndgrad.base.return_types import ReturnType
from ndgrad.base.size import Size

#: A tree: a leaf, or a container of trees.
PyTree = Any
#: What a container is beside its children: the keys of a dict.
Context = Any
#: Whether a tree is to be taken for a leaf.
LeafTest = Callable[[Any], bool] | None


class NodeDef(NamedTuple):
    """How the containers of one class are taken apart and put together; `keys` gives what the children are reached by."""

    type: Any
    flatten_fn: Callable[[Any], tuple[Iterable[Any], Context]]
    unflatten_fn: Callable[[Iterable[Any], Context], Any]
    keys: Callable[[Any], Iterable[Any]] | None = None
    #: Two contexts that need not be equal for trees to go together: the lengths to which deques may grow.
    any_context: bool = False


class TreeSpec:
    """The structure of a tree, without its leaves.

    Attributes
    ----------
    type : the class of the outermost container, `collections.namedtuple` for all named tuples; None for a leaf.
    context : what it is beside its children.
    num_leaves, num_nodes, num_children : counts of leaves, of leaves and containers, of the outermost container's children.
    """

    __slots__ = ("_children", "_context", "num_children", "num_leaves", "num_nodes", "type")

    num_leaves: int
    num_nodes: int

    def __init__(self, type: Any, context: Context, children_specs: Iterable[TreeSpec]) -> None:
        children = list(children_specs)
        self.type, self._context, self._children = type, context, children
        self.num_children = len(children)
        self.num_leaves = sum(child.num_leaves for child in children) if type is not None else 1
        self.num_nodes = sum(child.num_nodes for child in children) + 1

    @property
    def context(self) -> Context:
        return self._context

    @property
    def children_specs(self) -> list[TreeSpec]:
        return self._children

    def children(self) -> list[TreeSpec]:
        """The structures of the outermost container's children, in a new list."""
        return list(self._children)

    def child(self, index: int) -> TreeSpec:
        """The structure of one child."""
        return self._children[index]

    def is_leaf(self) -> bool:
        """Whether the tree is a leaf."""
        return self.type is None

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """The tree with this structure and these leaves."""
        if type(leaves) is not list and type(leaves) is not tuple:
            leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds "
                f"{self.num_leaves} items ({self})."
            )
        return build(self, iter(leaves))

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """What another tree has in the places of this one's leaves: trees, perhaps."""
        found: list[PyTree] = []
        collect_up_to(self, tree, found)
        return found

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return self.type is other.type and self._context == other._context and self._children == other._children

    def __hash__(self) -> int:
        context = self._context
        return hash((self.type, repr(context) if isinstance(context, (list, dict)) else context, tuple(self._children)))

    def __repr__(self, indent: int = 0) -> str:
        if self.type is None:
            return "*"
        inside = f",\n{' ' * (indent + 2)}".join(child.__repr__(indent + 2) for child in self._children)
        return f"TreeSpec({self.type.__name__}, {self._context}, [{inside}])"

    def __reduce__(self) -> Any:
        return (LeafSpec, ()) if self.type is None else (TreeSpec, (self.type, self._context, self._children))


class LeafSpec(TreeSpec):
    """The structure of a leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None, ())


LEAF_SPEC = LeafSpec()
#: The structures of tuples of nothing but leaves, by length: arguments are nearly always that.
FLAT = tuple(TreeSpec(tuple, None, [LEAF_SPEC] * count) for count in range(8))


# ---------------------------------------------------------------- what is known of containers
class SequenceKey(NamedTuple):
    """A child reached by its number."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, parent: Any) -> Any:
        """The child of a container."""
        return parent[self.idx]


class MappingKey(NamedTuple):
    """A child reached by its key."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, parent: Any) -> Any:
        """The child of a container."""
        return parent[self.key]


class GetAttrKey(NamedTuple):
    """A child reached by its name."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, parent: Any) -> Any:
        """The child of a container."""
        return getattr(parent, self.name)


def numbers_of(container: Any) -> Iterable[Any]:
    return [SequenceKey(index) for index in range(len(container))]


def keys_of(container: Any) -> Iterable[Any]:
    return [MappingKey(key) for key in container]


def fields_of(container: Any) -> Iterable[Any]:
    return [GetAttrKey(name) for name in container._fields]


def sequence(kind: Any) -> NodeDef:
    return NodeDef(kind, lambda tree: (tree, None), lambda children, context: kind(children), numbers_of)


def mapping(kind: Any) -> NodeDef:
    return NodeDef(
        kind, lambda tree: (list(tree.values()), list(tree)), lambda children, keys: kind(zip(keys, children, strict=True)), keys_of
    )


#: The containers that are known, by class.
SUPPORTED_NODES: dict[Any, NodeDef] = {
    tuple: sequence(tuple),
    list: sequence(list),
    dict: mapping(dict),
    OrderedDict: mapping(OrderedDict),
    defaultdict: NodeDef(
        defaultdict,
        lambda tree: (list(tree.values()), [tree.default_factory, list(tree)]),
        lambda children, context: defaultdict(context[0], zip(context[1], children, strict=True)),
        keys_of,
    ),
    deque: NodeDef(deque, lambda tree: (tree, tree.maxlen), deque, numbers_of, any_context=True),
    namedtuple: NodeDef(namedtuple, lambda tree: (tree, type(tree)), lambda children, kind: kind(*children), fields_of),
    # a shape of anything but ints is none, so it becomes a tuple
    Size: NodeDef(Size, lambda tree: (tree, None), lambda children, context: tuple(children), numbers_of),
}
DICTS = (dict, OrderedDict, defaultdict)


def kind_of(cls: type) -> NodeDef | None:
    """How the instances of a class are taken apart; None for leaves."""
    found = SUPPORTED_NODES.get(cls)
    if found is None and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        if issubclass(cls, ReturnType):
            found = SUPPORTED_NODES[cls] = sequence(cls)
        elif is_namedtuple_class(cls):
            found = SUPPORTED_NODES[namedtuple]
    return found


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[Iterable[Any], Context]],
    unflatten_fn: Callable[[Iterable[Any], Context], Any],
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Callable[[Context], Any] | None = None,
    from_dumpable_context: Callable[[Any], Context] | None = None,
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Context]] | None = None,
) -> None:
    """Let transforms see inside the instances of a class.

    Parameters
    ----------
    flatten_fn : gives the children of an instance, and a context that can be compared: all else that it is made of.
    unflatten_fn : makes an instance from children and context.
    flatten_with_keys_fn : the same as `flatten_fn`, each child in a pair with its key (`SequenceKey`, `MappingKey`, `GetAttrKey`).
    serialized_type_name, to_dumpable_context, from_dumpable_context : accepted, and not needed.

    Raises
    ------
    ValueError
        If the class is known already.

    Examples
    --------
    >>> register_pytree_node(Point, lambda point: ((point.x, point.y), None), lambda children, context: Point(*children))
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls!r} is already registered as pytree node.")
    keys = None if flatten_with_keys_fn is None else lambda tree: [key for key, _ in flatten_with_keys_fn(tree)[0]]
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, keys)


def is_namedtuple_class(cls: type) -> bool:
    """Whether a class was made by `collections.namedtuple` or `typing.NamedTuple`, or is a subclass of one."""
    fields = getattr(cls, "_fields", None)
    return (
        isinstance(cls, type)
        and issubclass(cls, tuple)
        and not issubclass(cls, ReturnType)
        and isinstance(fields, tuple)
        and all(type(field) is str for field in fields)
        and callable(getattr(cls, "_make", None))
        and callable(getattr(cls, "_asdict", None))
    )


# ---------------------------------------------------------------- taking apart and putting together
def tree_flatten(tree: PyTree, is_leaf: LeafTest = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree from left to right, and its structure."""
    if is_leaf is None:
        cls = type(tree)
        if cls is tuple:  # arguments: nearly always a few leaves side by side
            if len(tree) < 8:
                for child in tree:
                    if kind_of(type(child)) is not None:
                        break
                else:
                    return list(tree), FLAT[len(tree)]
        elif kind_of(cls) is None:
            return [tree], LEAF_SPEC
    leaves: list[Any] = []
    return leaves, take_apart(tree, leaves, is_leaf)


def take_apart(tree: PyTree, leaves: list[Any], is_leaf: LeafTest) -> TreeSpec:
    kind = kind_of(type(tree))
    if kind is None or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return LEAF_SPEC
    children, context = kind.flatten_fn(tree)
    return TreeSpec(kind.type, context, [take_apart(child, leaves, is_leaf) for child in children])


def build(spec: TreeSpec, leaves: Iterator[Any]) -> PyTree:
    if spec.type is None:
        return next(leaves)
    children = [next(leaves) if child.type is None else build(child, leaves) for child in spec._children]
    return children if spec.type is list else SUPPORTED_NODES[spec.type].unflatten_fn(children, spec._context)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree with this structure and these leaves."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree: PyTree, is_leaf: LeafTest = None) -> Iterator[Any]:
    """The leaves of a tree, one after the other."""
    kind = kind_of(type(tree))
    if kind is None or (is_leaf is not None and is_leaf(tree)):
        yield tree
    else:
        for child in kind.flatten_fn(tree)[0]:
            yield from tree_iter(child, is_leaf)


def tree_leaves(tree: PyTree, is_leaf: LeafTest = None) -> list[Any]:
    """The leaves of a tree, from left to right."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: PyTree, is_leaf: LeafTest = None) -> TreeSpec:
    """The structure of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_is_leaf(tree: PyTree, is_leaf: LeafTest = None) -> bool:
    """Whether a tree is a leaf."""
    return kind_of(type(tree)) is None or (is_leaf is not None and is_leaf(tree))


# ---------------------------------------------------------------- several trees of one structure
def collect_up_to(spec: TreeSpec, tree: PyTree, found: list[PyTree]) -> None:
    if spec.type is None:
        found.append(tree)
        return
    children = matching_children(spec, tree)
    if isinstance(children, str):
        raise ValueError(children)
    for child, subtree in zip(spec._children, children, strict=True):
        collect_up_to(child, subtree, found)


def matching_children(spec: TreeSpec, tree: PyTree) -> list[PyTree] | str:
    """The children of a tree whose outermost container is like the spec's, in the spec's order; or what is different."""
    kind = kind_of(type(tree))
    if spec.type in DICTS and isinstance(tree, DICTS):
        keys = spec._context[1] if spec.type is defaultdict else spec._context
        if tree.keys() != set(keys):
            missing, extra = set(keys) - tree.keys(), tree.keys() - set(keys)
            said = (f"; missing key(s): {missing}" if missing else "") + (f"; extra key(s): {extra}" if extra else "")
            return f"Node keys mismatch{said}."
        return [tree[key] for key in keys]
    if kind is None or kind.type is not spec.type:
        return f"Node type mismatch; expected {spec.type!r}, but got {type(tree)!r}."
    children, context = kind.flatten_fn(tree)
    children = list(children)
    if len(children) != spec.num_children:
        return f"Node arity mismatch; expected {spec.num_children}, but got {len(children)}."
    if not kind.any_context and context != spec._context:
        return f"Node context mismatch for node type {spec.type!r}; expected {spec._context!r}, but got {context!r}."
    return children


def broadcast_to_and_flatten(tree: PyTree, treespec: TreeSpec, is_leaf: LeafTest = None) -> list[Any] | None:
    """The leaves of a tree that has a leaf for each leaf of a structure, or for a whole part of it; None if it does not fit."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.type is None:
        return None
    children = matching_children(treespec, tree)
    if isinstance(children, str):
        return None
    found: list[Any] = []
    for child, subtree in zip(treespec._children, children, strict=True):
        part = broadcast_to_and_flatten(subtree, child, is_leaf)
        if part is None:
            return None
        found += part
    return found


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: LeafTest = None) -> PyTree:
    """The tree of what a function gives for each leaf, and for what other trees have in its place."""
    leaves, spec = tree_flatten(tree, is_leaf)
    if not rests:
        return build(spec, iter([func(leaf) for leaf in leaves]))
    others = [spec.flatten_up_to(other) for other in rests]
    return build(spec, iter([func(*row) for row in zip(leaves, *others, strict=True)]))


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: LeafTest = None) -> PyTree:
    """Call a function with each leaf, and what other trees have in its place, for what it does; gives the tree back."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


Which = type | tuple[type, ...] | UnionType | Callable[[Any], bool]


def test_of(which: Which) -> Callable[[Any], bool]:
    """The test that types stand for, or the test itself."""
    if isinstance(which, (type, tuple, UnionType)):
        types = which
        return lambda leaf: isinstance(leaf, types)
    if callable(which):
        return which
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def tree_map_only(which: Which, /, func: Callable[[Any], Any], tree: PyTree, is_leaf: LeafTest = None) -> PyTree:
    """`tree_map` of the leaves of some types, or that pass a test; the others stay as they are."""
    test = test_of(which)
    return tree_map(lambda leaf: func(leaf) if test(leaf) else leaf, tree, is_leaf=is_leaf)


def tree_map_only_(which: Which, /, func: Callable[[Any], Any], tree: PyTree, is_leaf: LeafTest = None) -> PyTree:
    """`tree_map_` of the leaves of some types, or that pass a test."""
    tree_map_only(which, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: LeafTest = None) -> bool:
    """Whether all leaves pass a test."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: LeafTest = None) -> bool:
    """Whether some leaf passes a test."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(which: Which, /, pred: Callable[[Any], bool], tree: PyTree, is_leaf: LeafTest = None) -> bool:
    """Whether all leaves of some types pass a test."""
    test = test_of(which)
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if test(leaf))


def tree_any_only(which: Which, /, pred: Callable[[Any], bool], tree: PyTree, is_leaf: LeafTest = None) -> bool:
    """Whether some leaf of some types passes a test."""
    test = test_of(which)
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if test(leaf))


# ---------------------------------------------------------------- the way to a leaf
KeyPath = tuple[Any, ...]


def leaves_with_path(tree: PyTree, path: KeyPath, is_leaf: LeafTest) -> Iterator[tuple[KeyPath, Any]]:
    kind = kind_of(type(tree))
    if kind is None or (is_leaf is not None and is_leaf(tree)):
        yield path, tree
        return
    if kind.keys is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {type(tree)}. Please pass a flatten_with_keys_fn argument to "
            "register_pytree_node."
        )
    for key, child in zip(kind.keys(tree), kind.flatten_fn(tree)[0], strict=True):
        yield from leaves_with_path(child, (*path, key), is_leaf)


def tree_leaves_with_path(tree: PyTree, is_leaf: LeafTest = None) -> list[tuple[KeyPath, Any]]:
    """The leaves of a tree, each in a pair with the keys that lead to it."""
    return list(leaves_with_path(tree, (), is_leaf))


def tree_flatten_with_path(tree: PyTree, is_leaf: LeafTest = None) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """The same, and the structure of the tree."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: LeafTest = None) -> PyTree:
    """`tree_map` of a function whose first argument is the path to the leaf."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(other) for other in rests]
    return spec.unflatten([func(path, leaf, *row) for (path, leaf), *row in zip(found, *others, strict=True)])


def keystr(kp: KeyPath) -> str:
    """A path as it would be written behind the name of the tree: `['weights'][0].x`."""
    return "".join(map(str, kp))


def key_get(obj: PyTree, kp: KeyPath) -> PyTree:
    """What a path leads to."""
    for key in kp:
        obj = key.get(obj)
    return obj


# ---------------------------------------------------------------- structures made by hand
class Star:
    """Stands for a leaf in print."""

    def __repr__(self) -> str:
        return "*"


def treespec_pprint(treespec: TreeSpec) -> str:
    """A structure as a tree with stars for its leaves."""
    return repr(tree_unflatten([Star() for _ in range(treespec.num_leaves)], treespec))


def treespec_leaf() -> TreeSpec:
    """The structure of a leaf."""
    return LEAF_SPEC


def treespec_tuple(iterable: Iterable[TreeSpec] = (), /) -> TreeSpec:
    """The structure of a tuple of these structures."""
    children = list(iterable)
    if any(not isinstance(child, TreeSpec) for child in children):
        raise ValueError(f"Expected a tuple of TreeSpec values, got: {children}.")
    return TreeSpec(tuple, None, children)


def treespec_dict(mapping: Mapping[Any, TreeSpec] | Iterable[tuple[Any, TreeSpec]] = (), /, **kwargs: TreeSpec) -> TreeSpec:
    """The structure of a dict of these structures."""
    children = dict(mapping, **kwargs)
    if any(not isinstance(child, TreeSpec) for child in children.values()):
        raise ValueError(f"Expected a dictionary of TreeSpec values, got: {children}.")
    return TreeSpec(dict, list(children), children.values())
