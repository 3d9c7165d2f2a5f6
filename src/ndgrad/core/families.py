"""The fast lanes: what `+`, `*`, `exp` and their like run through when nothing about the call is unusual.

A lane is one Python frame: type checks, the kernel, one tensor, one node when a gradient is wanted. Whatever it does not
recognise (another dtype, a subclass, a special mode, an error) it hands to `apply`, which knows everything.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.location import inside, place
from ndgrad.base.modes import exceptional
from ndgrad.core.node import CONSTANT, tick
from ndgrad.core.primitive import Primitive, apply, quiet_run
from ndgrad.core.tensor import LEAF, Tensor, new, plain

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
caller = sys._getframe  # pyright: ignore[reportPrivateUsage]  # the only way to see a caller


def unary_lane(primitive: Primitive) -> Callable[..., Tensor]:
    """The public function of an elementwise primitive of one operand and no parameters."""
    kernel, Backward, run = primitive.kernel, primitive.Node, quiet_run
    saves_x, saves_out = "x" in primitive.residuals, "out" in primitive.residuals
    differentiable = primitive.differentiable
    if (saves_x and saves_out) or primitive.facts:
        return lambda input: apply(primitive, (input,), {})  # rare enough not to deserve a lane

    def lane(input: Tensor) -> Tensor:
        records = differentiable
        if exceptional:
            mode = exceptional.get(get_ident())
            if mode is not None:
                if mode.special:
                    return apply(primitive, (input,), {})
                records = False
        if type(input) not in plain:
            return apply(primitive, (input,), {})
        x = input._a
        kind = x.dtype
        if kind is not float32 and kind is not float64:
            return apply(primitive, (input,), {})
        view = input._view
        if view is not None and view.seen != input._v[0]:
            view.refresh(input)
        try:
            out = run(kernel, x)
        except RuntimeError:
            return apply(primitive, (input,), {})
        result = new(Tensor)
        result._a = out
        result._v = result._view = None
        edge = input._node
        if edge is None or not records:
            result._node = None
            return result
        result._node = node = Backward()
        node.parents = (input if edge is LEAF else edge,)
        if saves_x:
            cell = input._v
            if cell is None:
                cell = input._v = [0]
            node.saved = (x, cell, cell[0])
        elif saves_out:
            result._v = cell = [0]
            node.saved = (out, cell, 0)
        else:
            node.saved = None
        node.params = node.extra = None
        node.shape = out.shape
        node.dtype = kind
        node.number = tick()
        frame = caller(1)
        code = frame.f_code
        if inside.get(code.co_filename) is False:
            node.code = code
            node.lasti = frame.f_lasti
        else:
            node.code, node.lasti = place()
        return result

    return lane


def binary_lane(primitive: Primitive, *, operator: bool = False) -> Callable[..., Any]:
    """The public function of an elementwise or multilinear primitive of two operands and no parameters.

    With `operator`, an operand of a foreign type yields NotImplemented, as Python's operators want it.
    """
    kernel, Backward, run = primitive.kernel, primitive.Node, quiet_run
    differentiable = primitive.differentiable
    takes_numbers = primitive.policy != "keep"
    # which of (x, y, out) each residual is, and whether it is wanted when only x, only y or both need a gradient
    sources = tuple({"x": 0, "y": 1, "out": 2}[name] for name in primitive.residuals)
    if primitive.facts or len(sources) > 3:
        raise TypeError(f"{primitive.name} cannot have a fast lane: its rules need more than its operands and output")
    wanted = {mask: tuple(zip(sources, primitive.wanted(mask), strict=True)) for mask in (1, 2, 3)}
    foreign = _operator_fallback(primitive) if operator else lambda x, y: apply(primitive, (x, y), {})

    def lane(input: Tensor, other: Any) -> Any:
        records = differentiable
        if exceptional:
            mode = exceptional.get(get_ident())
            if mode is not None:
                if mode.special:
                    return foreign(input, other)
                records = False
        if type(input) not in plain:
            return foreign(input, other)
        x = input._a
        kind = x.dtype
        if kind is not float32 and kind is not float64:
            return foreign(input, other)
        view = input._view
        if view is not None and view.seen != input._v[0]:
            view.refresh(input)
        edge = input._node
        if type(other) in plain:
            y = other._a
            if y.dtype is not kind:
                return foreign(input, other)
            view = other._view
            if view is not None and view.seen != other._v[0]:
                view.refresh(other)
            other_edge = other._node
        elif takes_numbers and (type(other) is float or type(other) is int):
            y = other
            other_edge = None
        else:
            return foreign(input, other)
        try:
            out = run(kernel, x, y)
        except (ValueError, RuntimeError, OverflowError):
            return foreign(input, other)
        result = new(Tensor)
        result._a = out
        result._v = result._view = None
        if not records or (edge is None and other_edge is None):
            result._node = None
            return result
        result._node = node = Backward()
        if edge is LEAF:
            edge = input
        if other_edge is LEAF:
            other_edge = other
        node.parents = (edge, other_edge)
        node.saved = None
        if sources:
            saved: list[Any] = []
            for source, want in wanted[(edge is not None) + 2 * (other_edge is not None)]:
                if not want:
                    saved += (None, CONSTANT, 0)
                    continue
                if source == 0:
                    holder, payload = input, x
                elif source == 2:
                    holder, payload = result, out
                elif y is other:
                    saved += (y, CONSTANT, 0)
                    continue
                else:
                    holder, payload = other, y
                cell = holder._v
                if cell is None:
                    cell = holder._v = [0]
                saved += (payload, cell, cell[0])
            node.saved = saved
        node.params = node.extra = None
        node.shape = out.shape
        node.dtype = kind
        node.number = tick()
        frame = caller(1)
        code = frame.f_code
        if inside.get(code.co_filename) is False:
            node.code = code
            node.lasti = frame.f_lasti
        else:
            node.code, node.lasti = place()
        return result

    return lane


def _operator_fallback(primitive: Primitive) -> Callable[[Any, Any], Any]:
    def foreign(x: Any, y: Any) -> Any:
        if isinstance(y, (Tensor, int, float, complex, np.generic, np.ndarray)):
            return apply(primitive, (x, y), {})
        return NotImplemented

    return foreign
