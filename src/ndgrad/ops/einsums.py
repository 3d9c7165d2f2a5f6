"""`einsum`: sums of products in index notation, contracted pair by pair through batched matrix products."""

from __future__ import annotations

import string
from collections.abc import Sequence
from math import prod
from typing import Any

from ndgrad.base.shapes import broadcast_shapes
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.declare import function
from ndgrad.ops.products import bmm_tensors

LETTERS = string.ascii_uppercase + string.ascii_lowercase
ELLIPSIS = "..."

#: The subscripts of one operand: letters, and at most one ELLIPSIS.
Subscripts = list[str]


@function(method=False)
def einsum(*args: Any) -> Tensor:
    """A sum of products, written as `einsum("bij,bjk->bik", x, y)` or, with lists of numbers, `einsum(x, [0, 1], y, [1, 2], [0, 2])`.

    A letter in several places stands for the same index; letters that the part behind the arrow lacks are summed over. Without an
    arrow the letters that occur once, in alphabetical order, are the output. `...` stands for dims that broadcast.
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
        )
    if isinstance(args[0], str):
        given: Any = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        operands = list(given)
        inputs, output = _parse(args[0], len(operands))
    else:
        operands = list(args[::2] if len(args) % 2 == 0 else args[:-1:2])
        inputs = [_numbered(subscripts) for subscripts in args[1::2]]
        output = _numbered(args[-1]) if len(args) % 2 else None
    for position, operand in enumerate(operands):
        check_tensor(operand, "einsum", "operands", position + 1)
    return _contract(operands, inputs, output)


# ---------------------------------------------------------------- notation
def _parse(equation: str, count: int) -> tuple[list[Subscripts], Subscripts | None]:
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) > count:
        raise RuntimeError(f"einsum(): fewer operands were provided than specified in the equation ({count} for '{equation}')")
    if len(terms) < count:
        raise RuntimeError(f"einsum(): more operands were provided than specified in the equation ({count} for '{equation}')")
    inputs: list[Subscripts] = []
    start = 0
    for number, term in enumerate(terms):
        inputs.append(_letters(term, start, f"operand {number}"))
        start += len(term) + 1
    return inputs, _letters(right, len(left) + 2, "the output") if arrow else None


def _letters(term: str, start: int, owner: str) -> Subscripts:
    found: Subscripts = []
    position = 0
    while position < len(term):
        letter = term[position]
        if letter == ".":
            if ELLIPSIS in found:
                raise RuntimeError(f"einsum(): found '.' for {owner} for which an ellipsis was already found")
            if term[position : position + 3] != ELLIPSIS:
                raise RuntimeError(f"einsum(): found '.' for {owner} that is not part of any ellipsis")
            found.append(ELLIPSIS)
            position += 3
            continue
        if letter in LETTERS:
            found.append(letter)
        elif letter != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + position} in the equation string, subscripts must be in [a-zA-Z]"
            )
        position += 1
    return found


def _numbered(subscripts: Sequence[Any]) -> Subscripts:
    found: Subscripts = []
    for subscript in subscripts:
        if subscript is Ellipsis:
            found.append(ELLIPSIS)
        elif not 0 <= subscript < 52:
            raise ValueError(f"einsum(): subscript in subscript list is not within the valid range [0, 52) (it is {subscript})")
        else:
            found.append(LETTERS[subscript])
    return found


# ---------------------------------------------------------------- shapes
def _check_operands(operands: Sequence[Tensor], inputs: Sequence[Subscripts]) -> tuple[int, ...]:
    """Check every operand against its subscripts and all of them against each other; the shape that the ellipses stand for."""
    sizes: dict[str, int] = {}
    covered: tuple[int, ...] = ()
    for number, (operand, subscripts) in enumerate(zip(operands, inputs, strict=True)):
        shape = operand._a.shape
        letters = len(subscripts) - (ELLIPSIS in subscripts)
        if ELLIPSIS not in subscripts and letters != len(shape):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({letters}) does not match the number of dimensions ({len(shape)}) "
                f"for operand {number} and no ellipsis was given"
            )
        if letters > len(shape):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({letters}) is more than the number of dimensions ({len(shape)}) for "
                f"operand {number}"
            )
        own: dict[str, int] = {}
        axis = 0
        for subscript in subscripts:
            if subscript == ELLIPSIS:
                wide = shape[axis : axis + len(shape) - letters]
                covered = _broadcast_ellipsis(covered, wide, number, axis)
                axis += len(wide)
                continue
            size = shape[axis]
            axis += 1
            if own.setdefault(subscript, size) != size:
                raise RuntimeError(
                    f"einsum(): subscript {subscript} is repeated for operand {number} but the sizes don't match, {size} != "
                    f"{own[subscript]}"
                )
            known = sizes.setdefault(subscript, size)
            if known != size and 1 not in (known, size):
                raise RuntimeError(
                    f"einsum(): subscript {subscript} has size {size} for operand {number} which does not broadcast with previously seen "
                    f"size {known}"
                )
            sizes[subscript] = max(known, size) if 0 not in (known, size) else 0
    return covered


def _broadcast_ellipsis(covered: tuple[int, ...], wide: tuple[int, ...], number: int, first: int) -> tuple[int, ...]:
    lead = max(len(covered), len(wide))
    x, y = (1,) * (lead - len(covered)) + covered, (1,) * (lead - len(wide)) + wide
    for axis, (known, size) in enumerate(zip(x, y, strict=True)):
        if known != size and 1 not in (known, size):
            raise RuntimeError(
                f"einsum(): dimension {first + axis - (lead - len(wide))} covered by ellipsis in operand {number}has size {size} which "
                f"does not broadcast with previously seen ellipsis with size {known} for the respective dimension"
            )
    return broadcast_shapes(covered, wide)


def _implied(inputs: Sequence[Subscripts]) -> Subscripts:
    """The output where no arrow is given: the ellipsis, then the letters that occur once."""
    letters = [subscript for subscripts in inputs for subscript in subscripts]
    once = sorted(letter for letter in set(letters) if letter != ELLIPSIS and letters.count(letter) == 1)
    return [ELLIPSIS] * (ELLIPSIS in letters) + once


# ---------------------------------------------------------------- contraction
def _contract(operands: list[Any], inputs: list[Subscripts], output: Subscripts | None) -> Tensor:
    covered = _check_operands(operands, inputs)
    if output is None:
        output = _implied(inputs)
    else:
        _check_output(output, inputs)
    hidden = [f".{axis}" for axis in range(len(covered))] if ELLIPSIS in output else []
    summed = [] if ELLIPSIS in output else [f".{axis}" for axis in range(len(covered))]
    wanted = [dim for subscript in output for dim in (hidden if subscript == ELLIPSIS else [subscript])]
    dims: list[list[str]] = []
    for number, subscripts in enumerate(inputs):
        operand = operands[number]
        count = operand._a.ndim - (len(subscripts) - 1)
        names = (hidden or summed)[len(covered) - count :] if ELLIPSIS in subscripts else []
        labels = [dim for subscript in subscripts for dim in (names if subscript == ELLIPSIS else [subscript])]
        operands[number], labels = _diagonals(operand, labels)
        dims.append(labels)
    result, labels = operands[0], dims[0]
    for number in range(1, len(operands)):
        later = {dim for names in dims[number + 1 :] for dim in names}
        keep = [dim for dim in wanted + sorted(later) if dim in labels or dim in dims[number]]
        keep = list(dict.fromkeys(keep))
        result, labels = _pair(result, labels, operands[number], dims[number], keep)
    if len(operands) == 1:
        result = result.permute(tuple(range(result._a.ndim)))  # never the operand itself
    return _settle(result, labels, wanted)


def _check_output(output: Subscripts, inputs: Sequence[Subscripts]) -> None:
    known = {subscript for subscripts in inputs for subscript in subscripts}
    for position, subscript in enumerate(output):
        if subscript != ELLIPSIS and subscript in output[:position]:
            raise RuntimeError(f"einsum(): output subscript {subscript} appears more than once in the output")
        if subscript not in known and subscript != ELLIPSIS:
            raise RuntimeError(f"einsum(): output subscript {subscript} does not appear in the equation for any input operand")


def _diagonals(operand: Any, labels: list[str]) -> tuple[Any, list[str]]:
    """Take the diagonal over dims with the same letter."""
    labels = list(labels)
    for letter in dict.fromkeys(labels):
        while labels.count(letter) > 1:
            first = labels.index(letter)
            second = labels.index(letter, first + 1)
            operand = operand.diagonal(0, first, second).movedim(-1, first)
            del labels[second]
    return operand, labels


def _pair(x: Any, of_x: list[str], y: Any, of_y: list[str], keep: list[str]) -> tuple[Any, list[str]]:
    """Multiply two operands and sum over the dims that nothing behind them needs."""
    sizes_x, sizes_y = dict(zip(of_x, x._a.shape, strict=True)), dict(zip(of_y, y._a.shape, strict=True))
    # a dim that only one operand has, or has with more than one element, and that nobody needs, is summed there at once
    summed = any(dim not in keep and (dim not in of_y or dim not in of_x) for dim in (*of_x, *of_y))
    for dim in [dim for dim in of_x if dim not in keep and sizes_y.get(dim, 1) == 1]:
        x, of_x = x.sum(of_x.index(dim), keepdim=dim in sizes_y), of_x if dim in sizes_y else [d for d in of_x if d != dim]
    for dim in [dim for dim in of_y if dim not in keep and sizes_x.get(dim, 1) == 1 and sizes_y[dim] != 1]:
        y, of_y = y.sum(of_y.index(dim), keepdim=dim in sizes_x), of_y if dim in sizes_x else [d for d in of_y if d != dim]
    of_y_alone = [dim for dim in of_y if dim not in keep and dim not in of_x]
    for dim in of_y_alone:
        y, of_y = y.squeeze(of_y.index(dim)), [d for d in of_y if d != dim]
    sizes_x, sizes_y = dict(zip(of_x, x._a.shape, strict=True)), dict(zip(of_y, y._a.shape, strict=True))
    contracted = [dim for dim in of_x if dim not in keep]
    if not contracted:
        # nothing to sum: an ordinary product of broadcast operands
        out = _arranged(x, of_x, keep) * _arranged(y, of_y, keep)
        return (out.view(out.shape) if summed else out), keep
    batch = [dim for dim in keep if sizes_x.get(dim, 1) != 1 and sizes_y.get(dim, 1) != 1]
    rows = [dim for dim in keep if dim not in batch and dim in sizes_x and (sizes_x[dim] != 1 or dim not in sizes_y or sizes_y[dim] == 1)]
    columns = [dim for dim in keep if dim not in batch and dim not in rows]
    x = _grouped(x, of_x, sizes_x, (batch, rows, contracted))
    y = _grouped(y, of_y, sizes_y, (batch, contracted, columns))
    sizes = [(sizes_x if dim not in columns else sizes_y)[dim] for dim in (*batch, *rows, *columns)]
    out = bmm_tensors(x, y).view(sizes)
    order = [*batch, *rows, *columns]
    if order != keep:
        out = out.permute([order.index(dim) for dim in keep])
        out = out.view(out.shape)  # so that the node has the name it has in PyTorch
    return out, keep


def _arranged(x: Tensor, labels: list[str], wanted: list[str]) -> Tensor:
    """The operand with its dims in the order of `wanted`, and dims of size 1 for those it lacks."""
    missing = [dim for dim in wanted if dim not in labels]
    if missing:
        x = x[(..., *(None for _ in missing))]
    labels = [*labels, *missing]
    return x if labels == wanted else x.permute([labels.index(dim) for dim in wanted])


def _grouped(x: Any, labels: list[str], sizes: dict[str, int], groups: tuple[list[str], ...]) -> Any:
    """The operand as a batch of matrices: its dims permuted into three groups, each of which becomes one dim.

    A dim that the operand has with size 1 outside of the groups broadcasts, so it is dropped.
    """
    wanted = [dim for group in groups for dim in group]
    for dim in [dim for dim in labels if dim not in wanted]:
        x, labels = x.squeeze(labels.index(dim)), [d for d in labels if d != dim]
    order = [labels.index(dim) for dim in wanted]
    if order != sorted(order):
        x = x.permute(order)
    return x.reshape([prod(sizes[dim] for dim in group) for group in groups])


def _settle(result: Tensor, labels: list[str], wanted: list[str]) -> Tensor:
    """Sum what is left to sum, and bring the dims into the order of the output."""
    left = [labels.index(dim) for dim in labels if dim not in wanted]
    kept = [dim for dim in labels if dim in wanted]
    if left:
        result = result.sum(left)
    return _arranged(result, kept, wanted) if kept != wanted else result
