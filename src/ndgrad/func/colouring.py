"""Colourings of sparsity patterns: which columns may be asked for in one product, because no row has elements in two of them.

Both colourings are greedy and cost as many steps as the pattern has elements. Sets of colours are the bits of Python integers, so that
the first free colour is found in one operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.types import Array

#: After how many trials that gave no fewer colours a colouring is good enough.
PATIENCE = 2


def column_colours(pattern: Any) -> Array:
    """A colour for each column of a sparse matrix, such that no row has two columns of one colour.

    Columns are taken in their own order, with those first that meet the most others, and then anew, colour by colour in another order,
    which never takes more colours and often fewer. The best of these colourings is given.
    """
    by_column = pattern.tocsc()
    counts = np.diff(pattern.indptr)
    least = int(counts.max(initial=1))  # fewer than the fullest row has, there cannot be
    best = greedy_columns(by_column, np.arange(pattern.shape[1]))
    shuffle = np.random.default_rng(0)
    ranks = -(by_column.T.astype(np.int64) @ (counts - 1))
    vain = 0
    while number_of(best) > least and vain < PATIENCE:
        other = greedy_columns(by_column, np.argsort(ranks, kind="stable"))
        vain = 0 if number_of(other) < number_of(best) else vain + 1
        best = other if number_of(other) <= number_of(best) else best
        ranks = shuffle.permutation(number_of(best))[best]
    return best


def greedy_columns(by_column: Any, order: Array) -> Array:
    """Give each column in turn the first colour that no row of it has used; -1 to one without elements."""
    colours = np.full(by_column.shape[1], -1, np.int64)
    used = [0] * by_column.shape[0]  # by each row
    ends, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    for column in order.tolist():
        mine = rows[ends[column] : ends[column + 1]]
        if not mine:
            continue
        forbidden = 0
        for row in mine:
            forbidden |= used[row]
        bit = ~forbidden & (forbidden + 1)
        for row in mine:
            used[row] |= bit
        colours[column] = bit.bit_length() - 1
    return colours


def star_colours(pattern: Any) -> Array:
    """A colour for each row and column of a symmetric pattern, from whose products both triangles can be read.

    Neighbours differ, and every path of four has three colours (a star colouring). Of two elements a[i, j] and a[j, i] at least one is then
    alone in its product. Those with the most neighbours come first; `column_colours` is given where it needs no more colours.
    """
    size = pattern.shape[0]
    ends, neighbours = pattern.indptr.tolist(), pattern.indices.tolist()
    colours = [-1] * size
    seen = [0] * size  # the colours of the neighbours of each
    hubs = [0] * size  # the colours of those neighbours that have another neighbour of the same colour as this one
    first: list[dict[int, int]] = [{} for _ in range(size)]  # for each, by colour, its first neighbour of that colour
    for vertex in np.argsort(-np.diff(pattern.indptr), kind="stable").tolist():
        if ends[vertex] == ends[vertex + 1]:
            break  # those without elements are the last
        mine = [other for other in neighbours[ends[vertex] : ends[vertex + 1]] if other != vertex]
        forbidden = 0
        for other in mine:
            # the neighbours of what has no colour yet get different ones, so that it ends no path of two colours
            forbidden |= seen[other] if colours[other] < 0 else hubs[other] | 1 << colours[other]
        bit = ~forbidden & (forbidden + 1)
        colour = colours[vertex] = bit.bit_length() - 1
        for other in mine:
            if not seen[other] & bit:
                seen[other] |= bit
                first[other][colour] = vertex
            elif colours[other] >= 0:
                hub = 1 << colours[other]
                hubs[vertex] |= hub
                hubs[first[other][colour]] |= hub
    found = np.array(colours, np.int64)
    plain = column_colours(pattern)
    return plain if number_of(plain) <= number_of(found) else found


def number_of(colours: Array) -> int:
    """How many colours there are."""
    return int(colours.max(initial=-1)) + 1


def decompressed(pattern: Any, colours: Array, products: Array) -> Array:
    """The values of a pattern's elements, row by row, for a column colouring.

    `products` has for each colour the product with the vector that is 1 where the colour is.
    """
    values: Array = products[colours[pattern.indices], rows_of(pattern)]
    return values


def decompressed_symmetric(pattern: Any, colours: Array, products: Array) -> Array:
    """The same for a symmetric matrix and a star colouring: where an element is not alone in its product, its mirror image is."""
    rows, columns = rows_of(pattern), pattern.indices.astype(np.int64)
    count = number_of(colours)
    _, which, times = np.unique(rows * count + colours[columns], return_inverse=True, return_counts=True)
    alone = times[which] == 1
    values: Array = np.where(alone, products[colours[columns], rows], products[colours[rows], columns])
    return values


def rows_of(pattern: Any) -> Array:
    """The row of each element of a CSR matrix."""
    rows: Array = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    return rows
