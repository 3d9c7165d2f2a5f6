"""Bounds: `clamp` and its relatives, by numbers and by tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import get_default_dtype
from ndgrad.core.inplace import in_place
from ndgrad.core.primitive import result_dtype
from ndgrad.core.saved import Names, no_tensor
from ndgrad.core.tensor import Tensor
from ndgrad.kernels.scalars import scalar_of
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import Operation, elementwise, function
from ndgrad.ops.refusals import both, forbidden, unsupported

_only_ordered = forbidden("c", "clamp is not supported for complex types", NotImplementedError)


# ---------------------------------------------------------------- numbers as bounds
def _clip(x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        low = scalar_of(low, x.dtype)
    if high is not None:
        high = scalar_of(high, x.dtype)
    if low is None:
        return np.minimum(high, x)  # one of the bounds is always there
    if high is None:
        # NumPy's clip is three times as fast as its maximum, but only with two bounds
        return np.clip(x, low, np.inf) if x.dtype.kind == "f" and x.size > 1000 else np.maximum(low, x)  # -0 stays -0
    return np.clip(x, low, high) if x.size > 1000 else np.minimum(high, np.maximum(low, x))


def _inside(xp: Any, g: Any, x: Any, low: Any, high: Any) -> Any:
    """The bounds belong to the inside."""
    if low is None:
        return xp.masked_keep(g, xp.le(x, high))
    if high is None:
        return xp.masked_keep(g, xp.ge(x, low))
    return xp.masked_keep(g, xp.logical_and(xp.ge(x, low), xp.le(x, high)))


def _by_numbers(name: str, node_name: str, saved: Names) -> Operation:
    def kernel(x: Any, *, low: Any, high: Any) -> Any:
        return _clip(x, low, high)

    facts: dict[str, Any] = {"policy": "keep", "public": False, "check": _only_ordered, "saved": saved}
    return elementwise(kernel, name=name, node_name=node_name, partials=[_inside], **facts)


clamp_numbers = _by_numbers("clamp_numbers", "ClampBackward1", {"min": "low", "max": "high"})
clamp_min_number = _by_numbers("clamp_min_number", "ClampMinBackward0", {"min": "low", "high": None})
clamp_max_number = _by_numbers("clamp_max_number", "ClampMaxBackward0", {"max": "high", "low": None})


# ---------------------------------------------------------------- tensors as bounds
def _lower(name: str, node_name: str, saved: Names) -> Operation:
    return elementwise(
        np.maximum,
        name=name,
        node_name=node_name,
        public=False,
        check=_only_ordered,
        saved=saved,
        partials=[lambda xp, g, x, y: xp.masked_keep(g, xp.ge(x, y)), lambda xp, g, x, y: xp.masked_keep(g, xp.lt(x, y))],
    )


def _upper(name: str, node_name: str, saved: Names) -> Operation:
    return elementwise(
        np.minimum,
        name=name,
        node_name=node_name,
        public=False,
        check=_only_ordered,
        saved=saved,
        partials=[lambda xp, g, x, y: xp.masked_keep(g, xp.le(x, y)), lambda xp, g, x, y: xp.masked_keep(g, xp.gt(x, y))],
    )


clamp_min_tensor = _lower("clamp_min_tensor", "ClampMinBackward1", {"min": "y"})
clamp_max_tensor = _upper("clamp_max_tensor", "ClampMaxBackward1", {"max": "y"})
clamp_from = _lower("clamp_from", "ClampBackward0", {"min": "y", "max": no_tensor})
clamp_to = _upper("clamp_to", "ClampBackward0", {"min": no_tensor, "max": "y"})


@elementwise(
    name="clamp_between",
    node_name="ClampBackward0",
    saved={"min": "y", "max": "z"},
    public=False,
    check=both(_only_ordered, unsupported("clamp_cpu", "b")),
    partials=[
        lambda xp, g, x, y, z: xp.masked_keep(g, xp.logical_and(xp.ge(x, y), xp.le(x, z))),
        lambda xp, g, x, y, z: xp.masked_keep(g, xp.logical_and(xp.lt(x, y), xp.lt(y, z))),
        lambda xp, g, x, y, z: xp.masked_keep(g, xp.logical_or(xp.gt(x, z), xp.lt(z, y))),
    ],
)
def clamp_between(x: Any, y: Any, z: Any) -> Any:
    """`x` bounded by `y` from below and then by `z` from above."""
    return np.minimum(np.maximum(x, y), z)


# ---------------------------------------------------------------- public names
def _check_bound(name: str, argument: str, value: Any) -> None:
    if not isinstance(value, (Tensor, int, float, complex, np.generic)):
        raise TypeError(f"{name}(): argument '{argument}' must be Number or Tensor, not {type(value).__name__}")


def _promoted(input: Tensor, *bounds: Any) -> Tensor:
    """The input in the dtype that its bounds, Python numbers, ask for."""
    if input._a.dtype.kind == "f" and all(type(bound) in (float, int, type(None)) for bound in bounds):
        return input
    wanted = result_dtype((input, *bounds))
    return cast(input, wanted if not wanted.is_floating_point or input.dtype.is_floating_point else get_default_dtype())


def _clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Every element bounded by `min` and `max`, numbers or tensors; where they cross, `max`."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    for argument, value in (("min", min), ("max", max)):
        if value is not None:
            _check_bound("clamp", argument, value)
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return clamp_numbers(_promoted(input, min, max), low=min, high=max)
    if (min is not None and not isinstance(min, Tensor)) or (max is not None and not isinstance(max, Tensor)):
        raise TypeError(
            f"clamp() received an invalid combination of arguments - got ({type(min).__name__}, {type(max).__name__}), but both bounds "
            "must be numbers or both tensors"
        )
    if max is None:
        return clamp_from(input, min)
    return clamp_to(input, max) if min is None else clamp_between(input, min, max)


clamp = function(_clamp, name="clamp", aliases=("clip",), in_place=in_place(_clamp, "clamp_"), out=True, primitive=clamp_numbers)


@function(in_place=True, out=True, primitive=clamp_min_number)
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Every element or `min`, whichever is larger."""
    check_tensor(input, "clamp_min", "input", 1)
    _check_bound("clamp_min", "min", min)
    return clamp_min_tensor(input, min) if isinstance(min, Tensor) else clamp_min_number(_promoted(input, min), low=min, high=None)


@function(in_place=True, out=True, primitive=clamp_max_number)
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Every element or `max`, whichever is smaller."""
    check_tensor(input, "clamp_max", "input", 1)
    _check_bound("clamp_max", "max", max)
    return clamp_max_tensor(input, max) if isinstance(max, Tensor) else clamp_max_number(_promoted(input, max), low=None, high=max)
