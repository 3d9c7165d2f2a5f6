"""Random numbers inside `vmap`: each call of it says whether its examples get numbers of their own.

A level that is "different" adds its dim to what is drawn, one that is "same" does not, and all that is to be drawn is drawn at once, as a
tensor of that shape would be outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ndgrad.base.quiet import run_quietly
from ndgrad.base.types import Array, Shape
from ndgrad.core.batches import values
from ndgrad.core.batching import BatchLevel, batch_levels
from ndgrad.core.tensor import Tensor
from ndgrad.kernels.mersenne import Mersenne
from ndgrad.ops.creation import boxed, levels_of


def random_levels() -> list[BatchLevel]:
    """The calls of `vmap` that random numbers are drawn in; an error if one of them does not allow that."""
    levels = batch_levels()
    for level in levels:
        if level.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness "
                "flags on vmap or perform the randomness operation out of vmap. For example, vmap(f, randomness='different') draws other "
                "numbers for each example."
            )
    return levels


def with_own_numbers(levels: Sequence[BatchLevel]) -> list[BatchLevel]:
    """Those whose examples get different numbers."""
    return [level for level in levels if level.randomness == "different"]


def sizes_of(levels: Sequence[BatchLevel]) -> Shape:
    return tuple(level.size for level in levels)


def refuse_out(name: str) -> NoReturn:
    raise RuntimeError(
        "vmap: We do not support calling out variants of random operations inside of vmap. Please use non-out variants as a workaround: "
        f"write `x = {name}(...)` instead of {name}(..., out=x)."
    )


def check_fillable(levels: Sequence[BatchLevel], payload: Any) -> None:
    """Refuse a target that has no room for the numbers of each example."""
    mapped = levels_of(payload)
    if any(level not in mapped for level in with_own_numbers(levels)):
        raise RuntimeError(
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same randomness. If this is "
            "necessary for your usage, make the tensor with zeros_like(x) or x.new_empty(...) of a tensor that is vmapped over, or draw a "
            "new one, as torch.randn does."
        )


def drawn_examples(
    levels: Sequence[BatchLevel],
    shape: Shape,
    kind: np.dtype[Any],
    engine: Mersenne,
    draw: Callable[..., Any],
    operands: Sequence[Tensor] = (),
) -> Tensor:
    """A tensor of this shape for one example, filled by `draw(memory, *arrays)`.

    `memory` and the operands' arrays have dims of further examples in front. Examples that are to get the "same" numbers although the
    operands differ between them draw from the same state of the generator.
    """
    payloads = [operand._a for operand in operands]
    mapped = [levels_of(payload) for payload in payloads]
    found = [level for level in levels if level.randomness == "different" or any(level in each for each in mapped)]
    arrays = [_aligned(payload, own, found, len(shape)) for payload, own in zip(payloads, mapped, strict=True)]
    memory = np.empty((*sizes_of(found), *shape), kind)
    common = [level.randomness == "same" for level in found]
    if True not in common:
        run_quietly(draw, memory, *arrays)
        return boxed(memory, found)
    start = engine.snapshot()
    for index in np.ndindex(*(size if same else 1 for size, same in zip(memory.shape, common, strict=False))):
        engine.restore(start)
        part = np.empty_like(memory[_part(index, common, memory)])
        run_quietly(draw, part, *(array[_part(index, common, array)] for array in arrays))
        memory[_part(index, common, memory)] = part
    return boxed(memory, found)


def _aligned(payload: Any, own: Sequence[BatchLevel], levels: Sequence[BatchLevel], rank: int) -> Array:
    """The values behind a payload, with a dim for each of the levels and as many for one example."""
    array = np.asarray(values(payload))
    shape = array.shape[len(own) :]
    front = (level.size if level in own else 1 for level in levels)
    return array.reshape(*front, *(1,) * (rank - len(shape)), *shape)


def _part(index: Shape, common: Sequence[bool], array: Array) -> tuple[Any, ...]:
    """The key for the examples of one index in the levels whose numbers are the same."""
    where = zip(index, common, array.shape, strict=False)
    return tuple((number if size != 1 else 0) if same else slice(None) for number, same, size in where)
