"""`jacrev`, `jacfwd` and `hessian`: all derivatives of all outputs, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ndgrad.autograd.rows import unit_vectors
from ndgrad.base.trees import TreeSpec, tree_flatten, tree_leaves, tree_unflatten
from ndgrad.core.observers import unchanged
from ndgrad.core.tensor import Tensor
from ndgrad.func.arguments import (
    Argnums,
    WithAux,
    check_floating,
    map_aux,
    named_after,
    positions,
    tensor_outputs,
    with_replaced,
)
from ndgrad.func.forward import NAME, jvp
from ndgrad.func.mapping import vmap
from ndgrad.func.recordings import Recording
from ndgrad.func.reverse import VJP, check_differentiable
from ndgrad.ops import ops as functions


def blocks(rows: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The parts of the first dim that belong to each tensor, with its shape in place of that dim."""
    ends = np.cumsum([0, *(tensor.numel() for tensor in tensors)]).tolist()
    inner = rows._a.shape[1:]
    if len(tensors) == 1:
        return [rows.reshape((*tensors[0]._a.shape, *inner))]
    parts = zip(pairwise(ends), tensors, strict=True)
    return [rows.narrow(0, start, stop - start).reshape((*tensor._a.shape, *inner)) for (start, stop), tensor in parts]


def check_real(tensors: Sequence[Tensor], name: str, what: str) -> None:
    for number, tensor in enumerate(tensors):
        if tensor._a.dtype.kind == "c":
            raise RuntimeError(f"{name}: Expected all {what} to be real but received complex tensor at flattened input idx: {number}")


def of_trees(table: Sequence[Sequence[Tensor]], outer: TreeSpec, inner: TreeSpec) -> Any:
    """A tree of trees, from one list for each leaf of the outer one."""
    return tree_unflatten([tree_unflatten(row, inner) for row in table], outer)


class Chosen(WithAux):
    """A function of some of its arguments only, which a transform differentiates by."""

    def __init__(self, func: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], has_aux: bool, name: str) -> None:
        super().__init__(func, has_aux, name)
        self.args = args
        self.where = positions(argnums, len(args))
        self.primals = tuple(args[at] for at in self.where)
        self.leaves, self.spec = tree_flatten(self.primals[0] if isinstance(argnums, int) else self.primals)

    def __call__(self, *primals: Any) -> Any:
        return super().__call__(*with_replaced(self.args, self.where, primals))


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """The function that computes the Jacobian of `func` in reverse mode, which is cheaper where there are fewer outputs than inputs.

    Parameters
    ----------
    argnums : which positional arguments to differentiate by: a number, or a tuple of them.
    has_aux : whether `func` returns a pair (outputs, aux), and the new function (Jacobian, aux).
    chunk_size : at most this many rows at a time; None for all at once. With 1, `vmap` is not used.

    Returns
    -------
    For each output, in a tree like the outputs, a tree like the arguments, of tensors of shape (shape of output) + (shape of argument).
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @named_after(func)
    def wrapper(*args: Any) -> Any:
        chosen = Chosen(func, argnums, args, has_aux, VJP)
        recorded = Recording(chosen, chosen.primals)
        outputs = recorded.outputs
        check_differentiable(outputs)
        check_real(chosen.leaves, "jacrev", "inputs")
        check_real(outputs, "jacrev", "outputs")
        columns = [recorded.call.released(rows) for rows in pulled_rows(recorded, chunk_size)]
        by_leaf = [blocks(rows, outputs) for rows in columns]
        table = [[of_output[number] for of_output in by_leaf] for number in range(len(outputs))]
        jacobian = of_trees(table, recorded.output_spec, chosen.spec)
        return (jacobian, map_aux(recorded.call.released, chosen.aux)) if has_aux else jacobian

    return wrapper


def pulled_rows(recorded: Recording, chunk_size: int | None) -> list[Tensor]:
    """The gradients of every element of the outputs, in a new first dim, by each primal."""
    outputs = recorded.outputs
    count = sum(output.numel() for output in outputs)
    size = count if chunk_size is None else min(chunk_size, count)
    if size <= 1 and count:
        rows = [recorded.pull([t.select(0, 0) for t in unit_vectors(outputs, at, at + 1)]) for at in range(count)]
        if count == 1:
            return [g.unsqueeze(0) for g in rows[0]]
        return [functions.stack(column) for column in zip(*rows, strict=True)]
    if not count or not recorded.handles:
        return [functions.zeros(0, *leaf.shape, dtype=leaf.dtype) for leaf in recorded.leaves]
    pull = vmap(lambda *cotangents: tuple(recorded.pull(cotangents)))
    chunks = [pull(*unit_vectors(outputs, start, min(start + size, count))) for start in range(0, count, size)]
    return list(chunks[0]) if len(chunks) == 1 else [functions.cat(column) for column in zip(*chunks, strict=True)]


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable[..., Any]:
    """The function that computes the Jacobian of `func` in forward mode, which is cheaper where there are fewer inputs than outputs.

    Parameters
    ----------
    argnums, has_aux : as `jacrev` takes them, and what comes out is the same.
    randomness : what `vmap` is to do about random numbers in `func`: "error", "same" or "different".
    """

    @named_after(func)
    def wrapper(*args: Any) -> Any:
        chosen = Chosen(func, argnums, args, has_aux, NAME)
        leaves, spec = tree_flatten(chosen.primals)
        check_real([leaf for leaf in leaves if isinstance(leaf, Tensor)], "jacfwd", "inputs")
        structures: list[TreeSpec] = []

        def push(*tangents: Tensor) -> Any:
            result = jvp(chosen, chosen.primals, tree_unflatten(tangents, spec))
            outputs, output_spec = tensor_outputs(result[1], chosen.name)
            check_real(outputs, "jacfwd", "outputs")
            structures.append(output_spec)
            return (tuple(outputs), map_aux(unchanged, chosen.aux)) if has_aux else (tuple(outputs),)

        count = sum(leaf.numel() for leaf in leaves)
        basis = unit_vectors(leaves, 0, count)
        if count == 1:
            pushed, *aux = push(*[t.select(0, 0) for t in basis])
            pushed = [t.unsqueeze(0) for t in pushed]
        else:
            pushed, *aux = vmap(push, randomness=randomness, out_dims=(0, None) if has_aux else 0)(*basis)
        by_output = [blocks(columns, leaves) for columns in pushed]
        table = [
            [part.permute((*range(leaf.dim(), part.dim()), *range(leaf.dim()))) for part, leaf in zip(parts, leaves, strict=True)]
            for parts in by_output
        ]
        jacobian = of_trees(table, structures[0], chosen.spec)
        return (jacobian, aux[0]) if has_aux else jacobian

    return wrapper


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that computes the second derivatives of `func`: for each output, argument and argument one tensor."""
    evaluate = jacrev(jacrev(func, argnums), argnums)  # reverse over reverse: what is run for many at a time is the last pass alone

    @named_after(func)
    def wrapper(*args: Any) -> Any:
        leaves = tree_leaves([args[at] for at in positions(argnums, len(args))])
        for leaf in leaves:
            check_floating(leaf, "primal")
        check_real(leaves, "jacfwd", "inputs")
        return evaluate(*args)

    return wrapper
