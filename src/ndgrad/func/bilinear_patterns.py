"""Which elements a bilinear map takes to which, for the sums of products that `einsum` writes: found out where no dim is greater than 3.

Matrix products are of that kind. What their dims have to do with each other does not depend on sizes, so it is seen in a small product, and
the pattern of a large one follows from the places of the other operand that are not 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np

from ndgrad.base.types import Array, Shape
from ndgrad.func.linear_patterns import Entries

#: For each dim of an operand, of the other one and of the output a number: dims that run together have the same.
Labels = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

#: The greatest size of a dim with which a map is tried; cross products need 3, and are then seen not to be of that kind.
LARGEST = 3


def labels_of(apply: Callable[[Array, Array], Any], shape: Shape, other_shape: Shape) -> Labels | None:
    """The labels of a bilinear map of arrays of two shapes; None if it is not of that kind."""
    small, small_other = (tuple(min(size, LARGEST) for size in each) for each in (shape, other_shape))
    if 0 in small or 0 in small_other:
        return None
    triples = []
    try:
        for at, to in product(np.ndindex(*small), np.ndindex(*small_other)):
            values, others = np.zeros(small), np.zeros(small_other)
            values[at] = others[to] = 1
            out = np.asarray(apply(values, others))
            if not ((out == 0) | (out == 1)).all():
                return None
            triples += [(*at, *to, *map(int, place)) for place in np.argwhere(out)]
    except (ValueError, IndexError, RuntimeError):
        return None  # it needs dims of some other size
    if not triples:
        return None
    sizes = (*small, *small_other, *out.shape)
    seen = np.array(triples).reshape(len(triples), len(sizes))
    names = list(range(len(sizes)))
    for one, two in combinations(range(len(sizes)), 2):
        if sizes[one] == sizes[two] > 1 and (seen[:, one] == seen[:, two]).all():
            names[two] = names[one]
    if len(triples) != math.prod(sizes[name] for name in set(names)):
        return None  # not all that agree are there
    first, second = len(small), len(small) + len(small_other)
    if any(name >= second and size > 1 for name, size in zip(names[second:], out.shape, strict=True)):
        return None  # an output that repeats itself
    return tuple(names[:first]), tuple(names[first:second]), tuple(names[second:])


def bilinear_entries(labels: Labels, shape: Shape, there: Array, out_shape: Shape) -> Entries:
    """The outputs and inputs that belong together, where the other operand is not 0 in the places that are `there`."""
    own, other, out = labels
    places = np.nonzero(there)
    sizes = dict(zip(own, shape, strict=True))
    free = [name for name in sizes if name not in other]
    count = math.prod(sizes[name] for name in free)
    index: dict[int, Array] = {name: place[:, None] for name, place in zip(other, places, strict=True)}
    for name, place in zip(free, np.unravel_index(np.arange(count), [sizes[name] for name in free]) if free else (), strict=True):
        index[name] = place[None, :]

    def flat(names: tuple[int, ...], shape: Shape) -> Array:
        total = np.zeros((np.count_nonzero(there), count), np.int64)
        for name, size in zip(names, shape, strict=True):
            total = total * size + index.get(name, 0)  # of a dim of size 1
        return total.reshape(-1)

    return flat(out, out_shape), flat(own, shape)
