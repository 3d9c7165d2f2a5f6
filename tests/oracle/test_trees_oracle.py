"""Trees in both libraries: leaves, structures as they print, paths, and what is refused."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import torch
from torch.utils import _pytree as theirs

import ndgrad
from ndgrad.utils import _pytree as ours
from tests.oracle.both import agree

Point = namedtuple("Point", "x y")
Other = namedtuple("Other", "x y")


def tree_of(library):
    return {
        "b": [1, 2, (3,)],
        "a": Point(1, [2]),
        "o": OrderedDict(z=1, y=2),
        "d": deque([1, 2], maxlen=3),
        "dd": defaultdict(list, a=1),
        "n": None,
        "s": library.ones(1, 2).shape,
        "m": library.max(library.ones(2, 2), 0),
        "e": [],
        "u": (),
        "t": library.ones(1),
    }


CASES = [
    lambda p, lib: repr(p.tree_structure(tree_of(lib))),
    lambda p, lib: p.treespec_pprint(p.tree_structure(tree_of(lib))),
    lambda p, lib: [p.keystr(path) for path, _ in p.tree_leaves_with_path(tree_of(lib))],
    lambda p, lib: [str(leaf) for leaf in p.tree_leaves(tree_of(lib))],
    lambda p, lib: str(p.tree_unflatten(*p.tree_flatten(tree_of(lib)))),
    lambda p, lib: [str(path) for path, _ in p.tree_leaves_with_path(tree_of(lib))],
    lambda p, lib: [getattr(p.tree_structure(tree_of(lib)), name) for name in ("num_leaves", "num_nodes", "num_children", "context")],
    lambda p, lib: p.tree_unflatten([1], p.tree_structure([1, 2])),
    lambda p, lib: p.tree_unflatten([1], 1),
    lambda p, lib: p.tree_unflatten(1, p.tree_structure([1])),
    lambda p, lib: p.tree_map(lambda *all: all, [1, 2], [1, 2, 3]),
    lambda p, lib: p.tree_map(lambda *all: all, [1, 2], (1, 2)),
    lambda p, lib: p.tree_map(lambda *all: all, [1, 2], 3),
    lambda p, lib: p.tree_map(lambda *all: all, [1, 2], [(1, 2), {}]),
    lambda p, lib: p.tree_map(lambda *all: all, {"a": 1}, {"b": 1}),
    lambda p, lib: p.tree_map(lambda *all: all, {"a": 1, "b": 2}, {"b": 1, "a": 2}),
    lambda p, lib: str(p.tree_map(lambda *all: all, OrderedDict(a=1, b=2), {"b": 1, "a": 2})),
    lambda p, lib: str(p.tree_map(lambda *all: all, deque([1]), deque([1], maxlen=3))),
    lambda p, lib: p.tree_map(lambda *all: all, Point(1, 2), Other(3, 4)),
    lambda p, lib: p.tree_map(lambda *all: all, Point(1, 2), (3, 4)),
    lambda p, lib: p.tree_map(lambda *all: all, Point(1, 2), Point(3, 4)),
    lambda p, lib: p.tree_map_only(int, lambda x: x + 1, [1, 2.0, "a"]),
    lambda p, lib: p.tree_map_only((int, float), lambda x: x + 1, [1, 2.0, "a"]),
    lambda p, lib: p.tree_map_only(3, lambda x: x + 1, [1, 2.0, "a"]),
    lambda p, lib: [p.tree_all(bool, [1, 0]), p.tree_any(bool, [1, 0])],
    lambda p, lib: [p.tree_all_only(int, bool, [1, 0.0]), p.tree_any_only(int, bool, [1.0])],
    lambda p, lib: [p._broadcast_to_and_flatten(tree, p.tree_structure([1, (2, 3)])) for tree in (0, [0, 1], (0, 1), [0, (1, None)], [0])],
    lambda p, lib: [p._broadcast_to_and_flatten(tree, p.tree_structure({"a": [1, 2], "b": 3})) for tree in (0, {"a": 0}, {"a": 0, "b": 1})],
    lambda p, lib: p.register_pytree_node(list, lambda x: (x, None), lambda x, context: list(x)),
    lambda p, lib: p.register_dataclass(int),
    lambda p, lib: p.register_constant(object),
    lambda p, lib: p.treespec_tuple([1]),
    lambda p, lib: repr(p.treespec_dict({"b": p.treespec_leaf(), "a": p.treespec_tuple()})),
    lambda p, lib: p.tree_leaves([1], is_leaf=3),
    lambda p, lib: [p.is_namedtuple(Point), p.is_namedtuple((1, 2))],
    lambda p, lib: [p.is_structseq(lib.max(lib.ones(2, 2), 0)), p.is_namedtuple_class(Point)],
    lambda p, lib: [p.tree_is_leaf(1), p.tree_is_leaf([]), p.tree_is_leaf([], lambda tree: True)],
]


def outcome(case, pytree, library):
    try:
        return "result", case(pytree, library)
    except Exception as error:
        return "error", type(error).__name__, str(error).replace("<function namedtuple", "").split(" at 0x")[0]


def test_both_sides_agree():
    for case in CASES:
        expected, found = outcome(case, theirs, torch), outcome(case, ours, ndgrad)
        assert agree(expected, found), f"line {case.__code__.co_firstlineno}\ntorch:  {expected}\nndgrad: {found}"


def test_names_and_key_order():
    assert set(ours.__all__) <= set(theirs.__all__)
    # What is broadcast to a dict goes by the names of its keys, whatever their order. torch takes them in the order of the tree that is
    # broadcast, so that two entries of in_dims change places; `vmap` is right here.
    spec = {"a": [1, 2], "b": 3}
    assert ours._broadcast_to_and_flatten({"b": 0, "a": 1}, ours.tree_structure(spec)) == [1, 1, 0]
    assert theirs._broadcast_to_and_flatten({"b": 0, "a": 1}, theirs.tree_structure(spec)) == [0, 1, 1]
