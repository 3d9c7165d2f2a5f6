"""Trees of containers: taken apart, put together, compared, and what users register."""

import dataclasses
import pickle
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndgrad as torch
from ndgrad.base import trees
from ndgrad.utils import _pytree as pytree

Point = namedtuple("Point", "x y")


class Pair(NamedTuple):
    first: Any
    second: Any


class Subclass(list):  # type: ignore[type-arg]  # a list of anything
    pass


LEAVES = st.integers() | st.none() | st.text(max_size=2)
CONTAINERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=9).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3).map(OrderedDict)
        | st.lists(inner, max_size=3).map(lambda items: deque(items, maxlen=4))
        | st.tuples(inner, inner).map(lambda two: Point(*two))
        | st.tuples(inner, inner).map(lambda two: Pair(*two))
        | st.dictionaries(st.integers(), inner, max_size=2).map(lambda items: defaultdict(list, items))
    ),
    max_leaves=12,
)


@given(CONTAINERS)
def test_taking_apart_and_putting_together_gives_the_same(tree: Any) -> None:
    leaves, spec = pytree.tree_flatten(tree)
    again = pytree.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    assert spec.num_leaves == len(leaves) and spec.num_nodes >= spec.num_leaves
    assert list(pytree.tree_iter(tree)) == leaves == pytree.tree_leaves(tree)
    assert spec.flatten_up_to(tree) == leaves and pytree.tree_structure(tree) == spec and hash(pytree.tree_structure(tree)) == hash(spec)
    assert pytree._broadcast_to_and_flatten(tree, spec) == leaves
    assert pytree._broadcast_to_and_flatten(7, spec) == [7] * len(leaves)
    assert pickle.loads(pickle.dumps(spec)) == spec
    for path, leaf in pytree.tree_leaves_with_path(tree):
        assert pytree.key_get(tree, path) is leaf
        assert eval(f"tree{pytree.keystr(path)}") is leaf


def test_what_is_a_leaf() -> None:
    for leaf in (1, None, "ab", torch.ones(2), Subclass([1]), {1, 2}, range(3)):
        assert pytree.tree_leaves(leaf) == [leaf] and pytree.tree_structure(leaf).is_leaf()
        assert pytree.tree_is_leaf(leaf)
    assert pytree.tree_leaves([(1, 2), 3], is_leaf=lambda tree: isinstance(tree, tuple)) == [(1, 2), 3]
    assert pytree.tree_leaves((1, 2), is_leaf=lambda tree: True) == [(1, 2)]
    assert pytree.tree_leaves(((), [], {}, 1)) == [1]


def test_results_with_names_and_shapes() -> None:
    found = torch.max(torch.tensor([[1.0, 3.0]]), 1)
    leaves, spec = pytree.tree_flatten(found)
    assert len(leaves) == 2 and repr(spec) == "TreeSpec(max, None, [*,\n  *])"
    again = spec.unflatten(leaves)
    assert type(again) is type(found) and again.values is found.values
    assert pytree.tree_map(lambda size: 2 * size, torch.ones(2, 3).shape) == (4, 6)
    assert pytree.is_structseq(found) and not pytree.is_namedtuple(found)
    assert pytree.is_namedtuple(Point) and pytree.is_namedtuple(Pair(1, 2))


def test_mapping_over_leaves() -> None:
    tree = {"a": [1, 2.0], "b": (3,)}
    assert pytree.tree_map(lambda x: 2 * x, tree) == {"a": [2, 4.0], "b": (6,)}
    assert pytree.tree_map(lambda x, y: (x, y), tree, {"b": ([5],), "a": [0, 1]}) == {"a": [(1, 0), (2.0, 1)], "b": ((3, [5]),)}
    assert pytree.tree_map_only(int, lambda x: -x, tree) == {"a": [-1, 2.0], "b": (-3,)}
    assert pytree.tree_map_only((int, float), lambda x: -x, tree) == {"a": [-1, -2.0], "b": (-3,)}
    assert pytree.tree_map_only(int | str, lambda x: x * 2, [1, "x", 2.0]) == [2, "xx", 2.0]
    assert pytree.tree_map_only(lambda x: x > 2, lambda x: 0, tree) == {"a": [1, 2.0], "b": (0,)}
    seen: list[Any] = []
    assert pytree.tree_map_(seen.append, tree) is tree and seen == [1, 2.0, 3]
    assert pytree.tree_map_only_(float, seen.append, tree) is tree and seen[3:] == [2.0]
    assert pytree.tree_all(bool, tree) and not pytree.tree_any(lambda x: x > 3, tree)
    assert pytree.tree_all_only(float, lambda x: x == 2, tree) and not pytree.tree_any_only(float, lambda x: x == 3, tree)
    sums = pytree.tree_map_with_path(lambda path, x, y: (pytree.keystr(path), x + y), [1, (2,)], [3, (4,)])
    assert sums == [("[0]", 4), (("[1][0]", 6),)]
    assert pytree.arg_tree_leaves([1], (2,), z={"k": 3}) == [1, 2, 3]


@pytest.mark.parametrize(
    ("tree", "other", "message"),
    [
        ([1, 2], [1, 2, 3], "Node arity mismatch; expected 2, but got 3."),
        ([1, 2], (1, 2), "Node type mismatch; expected <class 'list'>, but got <class 'tuple'>."),
        ([1, 2], 3, "Node type mismatch; expected <class 'list'>, but got <class 'int'>."),
        ({"a": 1}, {"b": 1}, r"Node keys mismatch; missing key\(s\): {'a'}; extra key\(s\): {'b'}."),
        (Point(1, 2), Pair(1, 2), "Node context mismatch"),
    ],
)
def test_trees_that_do_not_go_together(tree: Any, other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pytree.tree_map(lambda x, y: x, tree, other)
    assert pytree._broadcast_to_and_flatten(other, pytree.tree_structure(tree)) is None or not isinstance(other, (list, tuple, dict))


def test_wrong_leaves_and_structures() -> None:
    spec = pytree.tree_structure([1, 2])
    with pytest.raises(ValueError, match=r"`leaves` has length 1 but the spec refers to a pytree that holds 2 items \(TreeSpec\(list"):
        pytree.tree_unflatten([1], spec)
    with pytest.raises(TypeError, match="Expected `treespec` to be an instance of PyTreeSpec"):
        pytree.tree_unflatten([1], 1)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(TypeError, match="Argument must be a type, a tuple of types, or a callable"):
        pytree.tree_map_only(3, abs, [1])  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ValueError, match="Expected a tuple of TreeSpec"):
        pytree.treespec_tuple([1])  # type: ignore[list-item]  # what is refused


def test_broadcasting_a_tree_to_another() -> None:
    spec = pytree.tree_structure([1, (2, {"a": 3, "b": 4})])
    assert pytree._broadcast_to_and_flatten([0, (1, None)], spec) == [0, 1, None, None]
    assert pytree._broadcast_to_and_flatten([0, (1, {"b": 5, "a": 6})], spec) == [0, 1, 6, 5]
    assert pytree._broadcast_to_and_flatten([0, (1,)], spec) is None
    assert pytree._broadcast_to_and_flatten([(0,), 1], spec) is None


def test_structures_made_by_hand_and_printed() -> None:
    leaf = pytree.treespec_leaf()
    assert pytree.treespec_dict(a=leaf, b=pytree.treespec_tuple([leaf])) == pytree.tree_structure({"a": 1, "b": (2,)})
    spec = pytree.tree_structure([1, {"a": 2, "b": [3]}])
    assert repr(spec) == "TreeSpec(list, None, [*,\n  TreeSpec(dict, ['a', 'b'], [*,\n    TreeSpec(list, None, [*])])])"
    assert pytree.treespec_pprint(spec) == "[*, {'a': *, 'b': [*]}]"
    assert spec.child(1).context == ["a", "b"] and spec.children()[0].is_leaf() and spec.num_children == 2 and spec.type is list
    assert spec != pytree.tree_structure([1, {"b": 2, "a": [3]}]) and spec != 3


@pytest.fixture
def forgetting() -> Any:
    known = dict(trees.SUPPORTED_NODES)
    yield
    trees.SUPPORTED_NODES.clear()
    trees.SUPPORTED_NODES.update(known)


def test_registered_classes(forgetting: Any) -> None:
    class Ball:
        def __init__(self, radius: Any, name: str) -> None:
            self.radius, self.name = radius, name

    torch.func.register_pytree_node(Ball, lambda ball: ([ball.radius], ball.name), lambda children, name: Ball(*children, name))
    ball = pytree.tree_map(lambda x: x + 1, [Ball((1, 2), "red")])[0]
    assert (ball.radius, ball.name) == ((2, 3), "red")
    assert pytree.tree_structure(Ball(1, "red")) != pytree.tree_structure(Ball(1, "blue"))
    with pytest.raises(ValueError, match="is already registered as pytree node"):
        pytree.register_pytree_node(Ball, lambda ball: ([], None), lambda children, context: None)
    with pytest.raises(ValueError, match="Did not find a flatten_with_keys_fn for type"):
        pytree.tree_flatten_with_path(Ball(1, "red"))


def test_dataclasses_and_constants(forgetting: Any) -> None:
    @dataclasses.dataclass
    class State:
        weight: Any
        bias: Any = None
        step: int = 5

    with pytest.raises(ValueError, match=r"Missing fields in `field_names`: {'step'}"):
        pytree.register_dataclass(State, field_names=["weight", "bias"])
    pytree.register_dataclass(State, drop_field_names=["step"])
    assert pytree.tree_map(lambda x: x + 1, State(1, None, 9)) == State(2, None, 5)
    assert [pytree.keystr(path) for path, _ in pytree.tree_leaves_with_path([State(1, (2,))])] == ["[0].weight", "[0].bias[0]"]
    with pytest.warns(UserWarning, match="already registered"):
        pytree.register_dataclass(State)
    with pytest.raises(ValueError, match="as it is not a dataclass"):
        pytree.register_dataclass(int)

    @dataclasses.dataclass(frozen=True)
    class Setting:
        value: int

    pytree.register_constant(Setting)
    leaves, spec = pytree.tree_flatten([Setting(1), 2])
    assert leaves == [2] and spec.unflatten([3]) == [Setting(1), 3] and spec != pytree.tree_structure([Setting(2), 2])
    with pytest.raises(TypeError, match="non-default `__eq__`"):
        pytree.register_constant(object)
