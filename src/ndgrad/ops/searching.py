"""Where values belong in a sorted sequence, which of them are members of a set, and what place a flat position is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import bool_, numpy_dtype, promote_types, type_name
from ndgrad.base.shapes import as_shape
from ndgrad.base.types import Shape
from ndgrad.core.batching import BatchLevel
from ndgrad.core.primitive import recorded, result_dtype
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor, unsupported
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import function, nondifferentiable
from ndgrad.ops.joining import stack
from ndgrad.ops.pieces import unbind


def _among_all(level: BatchLevel, mapped: list[bool], boundaries: Any, x: Any, right: bool, int32: bool) -> Any:
    if not mapped[0] and boundaries._a.ndim == 1:
        return recorded.sorted_positions(boundaries, x, right=right, int32=int32)
    boundaries, x = level.every((boundaries, x), mapped)
    flat = batch_rules.flat(x) if boundaries._a.ndim == 2 else x  # one row for all values of an example
    return recorded.reshape_to(recorded.sorted_positions(boundaries, flat, right=right, int32=int32), shape=x._a.shape)


@nondifferentiable(policy="keep", public=False, batch=_among_all)
def sorted_positions(boundaries: Any, x: Any, *, right: bool, int32: bool) -> Any:
    """For each value the position in its (sorted) row of boundaries before which it belongs."""
    side: Any = "right" if right else "left"
    if boundaries.ndim == 1:
        found = np.asarray(np.searchsorted(boundaries, x, side))
    elif not boundaries.size or not x.size:
        found = np.zeros(x.shape, np.int64)
    else:
        rows, values = boundaries.reshape(-1, boundaries.shape[-1]), x.reshape(-1, x.shape[-1])
        found = np.empty(values.shape, np.int64)
        for number, (row, wanted) in enumerate(zip(rows, values, strict=True)):
            found[number] = np.searchsorted(row, wanted, side)
        found = found.reshape(x.shape)
    return found.astype(np.int32 if int32 else np.int64, copy=False)


def _common(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Both in their common dtype; a number becomes a 0-d tensor."""
    tensors = [each if isinstance(each, Tensor) else wrap(np.asarray(each)) for each in (x, y)]
    wanted = promote_types(tensors[0].dtype, tensors[1].dtype)
    return cast(tensors[0], wanted), cast(tensors[1], wanted)


@function(out=True)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """For each value of `input` the position in the (sorted) last dim before which it belongs."""
    if not isinstance(input, (int, float, np.generic)):
        check_tensor(input, "searchsorted", "input", 2)
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
        if right and side == "left":
            raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
        right = side == "right"
    shape = sorted_sequence._a.shape
    given = np.shape(input._a) if isinstance(input, Tensor) else ()
    if not shape:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension")
    if not isinstance(input, Tensor) and len(shape) != 1:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor "
            f"dim({len(shape)}) and input value's dim(0) numel(1)"
        )
    if len(shape) != 1 and shape[:-1] != given[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input "
            f"value tensor must match, but we got boundaries tensor {list(shape)} and input value tensor {list(given)}"
        )
    if sorter is not None:
        if sorter._a.shape != shape:
            raise RuntimeError(
                f"torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor {list(shape)}and got sorter "
                f"tensor {list(sorter._a.shape)}"
            )
        if sorter._a.dtype != np.int64:
            raise RuntimeError(f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {sorter.dtype.name}")
        sorted_sequence = recorded.take_along(sorted_sequence.detach(), sorter, dim=len(shape) - 1, unique=False)
    boundaries, values = _common(sorted_sequence.detach(), input.detach() if isinstance(input, Tensor) else input)
    return sorted_positions(boundaries, values, right=right, int32=out_int32)


@function(out=True)
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """For each value of `input` the number of the bucket, between sorted boundaries, that it falls into."""
    if boundaries.dtype.is_complex or boundaries.dtype is bool_:
        unsupported("searchsorted_out_cpu", boundaries.dtype)
    if boundaries._a.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries._a.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def _members_of_all(level: BatchLevel, mapped: list[bool], x: Any, tests: Any, invert: bool) -> Any:
    if not mapped[1]:
        return recorded.members(x, tests, invert=invert)
    return level.composed(lambda x, tests: ((x.unsqueeze(-1) == tests.reshape(-1)).any(-1)) != invert, (x, tests), mapped)


@nondifferentiable(policy="keep", public=False, batch=_members_of_all)
def members(x: Any, tests: Any, *, invert: bool) -> Any:
    """Which elements of `x` occur among the elements of `tests`."""
    return np.isin(x, tests, invert=invert)


@function(out=True, method=False)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Which of the elements occur among the test elements."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): one of the arguments 'elements' and 'test_elements' must be Tensor")
    common = result_dtype((elements, test_elements))
    if common.is_complex or common is bool_:
        raise RuntimeError(f"Unsupported input type encountered for isin(): {type_name(common)}")
    wanted = numpy_dtype(common)
    pair = [
        cast(each.detach(), common) if isinstance(each, Tensor) else wrap(np.asarray(each).astype(wanted))
        for each in (elements, test_elements)
    ]
    return members(*pair, invert=invert)


@function(method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The place in a tensor of the given shape that each flat position is, one tensor per dim."""
    if not isinstance(indices, Tensor):
        raise TypeError(f"unravel_index(): argument 'indices' must be Tensor, not {type(indices).__name__}")
    if indices._a.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes: Shape = as_shape((shape,), "shape")
    if any(size < 0 for size in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(sizes)}")
    places: list[Tensor] = []
    step = 1
    for size in reversed(sizes):
        places.append(indices // step % size)
        step *= size
    return unbind(stack(places[::-1], -1), -1) if places else ()
