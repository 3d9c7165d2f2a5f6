"""`vmap`: a function of one example becomes one of many, run once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from ndgrad.base.nesting import Inside
from ndgrad.base.trees import TreeSpec, broadcast_to_and_flatten, tree_flatten, tree_leaves, tree_unflatten
from ndgrad.core.batching import BatchLevel
from ndgrad.core.observers import observing
from ndgrad.core.tensor import Tensor
from ndgrad.ops import ops

RANDOMNESS = ("error", "different", "same")


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None) -> Any:
    """The function of a batch that a function of one example stands for; loops become operations on one more dim.

    Parameters
    ----------
    func : takes and gives tensors, in containers of any kind.
    in_dims : for each positional argument (or its parts) the dim in which the examples stand; None if all have it in common. Keyword
        arguments are passed on as they are.
    out_dims : for each output the dim in which the examples are put; None for outputs that do not differ.
    randomness : whether random numbers are an "error", "different" for each example, or the "same".
    chunk_size : at most this many examples at a time; None for all at once.

    Raises
    ------
    ValueError
        If dims do not fit the arguments or outputs, or sizes differ.
    RuntimeError
        Inside the function, for what depends on the value of one example: `.item()`, `if x > 0`, results of unknown shape.
    """
    check_randomness(randomness)
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        check_out_dims(out_dims, func)
        size, dims, leaves, spec = read_inputs(in_dims, args, func)

        def run(size: int, leaves: list[Any]) -> Any:
            """Call the function once, for all examples."""
            level = BatchLevel(size, randomness)
            moved = [leaf if dim is None else leaf.movedim(dim, 0) if dim else leaf for leaf, dim in zip(leaves, dims, strict=True)]
            with Inside(), observing(level):
                result = func(*tree_unflatten(level.boxes(moved, [dim is not None for dim in dims]), spec), **kwargs)
            return unboxed(level, result, out_dims, func)

        if chunk_size is None or chunk_size >= size:
            return run(size, leaves)
        return run_by_chunks(run, chunk_size, size, dims, leaves, out_dims, randomness)

    return wrapped


def run_by_chunks(
    run: Callable[[int, list[Any]], Any],
    chunk_size: int,
    size: int,
    dims: list[int | None],
    leaves: list[Any],
    out_dims: Any,
    randomness: str,
) -> Any:
    """Run for some examples at a time, and join the results."""
    state = ops.get_rng_state() if randomness == "same" else None
    results: list[list[Any]] = []
    structure: Any = None
    for start in range(0, size, chunk_size):
        count = min(chunk_size, size - start)
        if state is not None:
            ops.set_rng_state(state)
        part = [leaf if dim is None else leaf.narrow(dim, start, count) for leaf, dim in zip(leaves, dims, strict=True)]
        flat, structure = tree_flatten(run(count, part))
        results.append(flat)
    places = broadcast_to_and_flatten(out_dims, structure)
    if places is None:
        raise AssertionError("out_dims that fitted each chunk fit them all")
    joined = [chunks[0] if dim is None else ops.cat(chunks, dim) for chunks, dim in zip(zip(*results, strict=True), places, strict=True)]
    return tree_unflatten(joined, structure)


# ---------------------------------------------------------------- what goes in
def check_randomness(randomness: str) -> None:
    if randomness not in RANDOMNESS:
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")


def name_of(func: Any) -> str:
    """What errors call a function."""
    if hasattr(func, "__name__"):
        return str(func.__name__)
    return f"functools.partial({name_of(func.func)}, ...)" if isinstance(func, functools.partial) else repr(func)


def read_inputs(in_dims: Any, args: tuple[Any, ...], func: Any) -> tuple[int, list[int | None], list[Any], TreeSpec]:
    """The number of examples; for each leaf of the arguments its dim, from the front; the leaves; their structure."""
    where = f"vmap({name_of(func)}, in_dims={in_dims}, ...)(<inputs>): "
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{where}expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name_of(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function "
            "with no inputs. The latter is unsupported. (Keyword arguments are not counted.)"
        )
    leaves, spec = tree_flatten(args)
    given = broadcast_to_and_flatten(in_dims, spec)
    if given is None:
        raise ValueError(
            f"{where}in_dims is not compatible with the structure of `inputs`. in_dims has structure {tree_flatten(in_dims)[1]} but inputs "
            f"has structure {spec}."
        )
    dims = [checked_dim(leaf, dim, where) for leaf, dim in zip(leaves, given, strict=True)]
    sizes = [leaf._a.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(size != sizes[0] for size in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return sizes[0], dims, leaves, spec


def checked_dim(leaf: Any, dim: Any, where: str) -> int | None:
    """A dim counted from the front."""
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(f"{where}Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"{where}Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over non-Tensor arguments, please "
            "use None as the respective in_dim"
        )
    rank = leaf._a.ndim
    if not -rank <= dim < rank:
        raise ValueError(
            f"{where}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {rank} so expected in_dim to satisfy "
            f"-{rank} <= in_dim < {rank}."
        )
    return dim % rank


# ---------------------------------------------------------------- what comes out
def check_out_dims(out_dims: Any, func: Any) -> None:
    for dim in tree_leaves(out_dims):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(
                f"vmap({name_of(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of ints "
                "representing where in the outputs the vmapped dimension should appear."
            )


def unboxed(level: BatchLevel, result: Any, out_dims: Any, func: Any) -> Any:
    """The results with all examples, in the dims where they are wanted."""
    leaves, spec = tree_flatten(result)
    if isinstance(result, Tensor) and isinstance(out_dims, tuple) and len(out_dims) == 1:
        out_dims = out_dims[0]
    dims = broadcast_to_and_flatten(out_dims, spec)
    if dims is None or (isinstance(result, Tensor) and not isinstance(out_dims, (int, type(None)))):
        raise ValueError(
            f"vmap({name_of(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`. "
            f"out_dims has structure {tree_flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    return tree_unflatten(unboxed_leaves(level, leaves, dims, func), spec)


def unboxed_leaves(level: BatchLevel, leaves: list[Any], dims: Iterable[int | None], func: Any) -> list[Any]:
    name = name_of(func)
    found: list[Any] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if not isinstance(leaf, Tensor):
            if dim is not None:
                refuse_output(name, leaf)
            found.append(leaf)
            continue
        value, mapped = level.unbox(leaf)
        if dim is None:
            if mapped:
                raise ValueError(
                    f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None: this output differs between examples"
                )
            found.append(value)
            continue
        value = value if mapped else level.spread(value)
        rank = value._a.ndim
        if not -rank <= dim < rank:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim}) (out_dims of vmap)")
        found.append(value.movedim(0, dim) if dim else value)
    return found


def refuse_output(name: str, leaf: Any) -> NoReturn:
    raise ValueError(
        f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set out_dims= to None for output?"
    )
