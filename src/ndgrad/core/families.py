"""The fast lanes: what `+`, `*`, `exp` and their like run through when nothing about the call is unusual.

A lane is one Python frame: type checks, the kernel, one tensor, one node when a gradient is wanted. Whatever it does not
recognise (another dtype, a subclass, a special mode, an error) it hands to `apply`, which knows everything.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base.location import caller, outside, place_of_call
from ndgrad.base.modes import exceptional
from ndgrad.base.quiet import quiet_run
from ndgrad.core.inplace import write_out
from ndgrad.core.node import CONSTANT, tick
from ndgrad.core.primitive import Primitive, operand_error
from ndgrad.core.primitive import apply as apply_any
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, new, plain
from ndgrad.core.views import View

ndarray = np.ndarray
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
apply: Callable[..., Tensor] = apply_any  # every primitive in a lane has one output


def unary_lane(primitive: Primitive, *, takes_out: bool = True) -> Callable[..., Tensor]:
    """The public function of an elementwise primitive of one operand and no parameters, with `out=` where `takes_out`."""
    kernel, Backward, run = primitive.kernel, primitive.Node, quiet_run
    saves_x, saves_out = "x" in primitive.residuals, "out" in primitive.residuals
    differentiable = primitive.differentiable
    scalar_kernel = primitive.on_scalars or kernel
    lean = not (saves_x and saves_out) and not primitive.facts  # the others are rare enough to leave to `apply`

    def lane(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if out is not None:
            if not takes_out:
                raise TypeError(f"{primitive.title}() got an unexpected keyword argument 'out'")
            return write_out(out, lane(input), primitive.name)
        records = differentiable
        if exceptional:
            mode = exceptional.get(get_ident())
            if mode is not None:
                if mode.special:
                    return apply(primitive, (input,), {})
                records = False
        if type(input) not in plain or not lean:
            return apply(primitive, (input,), {})
        x = input._a
        kind = x.dtype
        if kind is not float32 and kind is not float64:
            return apply(primitive, (input,), {})
        view = input._view
        if view is not None and view.seen != input._v[0]:
            view.refresh(input)
        try:
            y = run(kernel if type(x) is ndarray else scalar_kernel, x)
        except RuntimeError:
            return apply(primitive, (input,), {})
        result = new(Tensor)
        result._a = y
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
            node.saved = (y, cell, 0)
        else:
            node.saved = None
        node.params = node.extra = None
        node.shape = y.shape
        node.dtype = kind
        node.number = tick()
        frame = caller(1)
        code = frame.f_code
        if code.co_filename in outside:
            node.code = code
            node.lasti = frame.f_lasti
        else:
            node.code, node.lasti = place_of_call(2)
        return result

    vars(lane)["lane"] = True
    return lane


def binary_lane(
    primitive: Primitive,
    *,
    operator: bool = False,
    ranks: tuple[int, int] | None = None,
    otherwise: Callable[..., Any] | None = None,
    numbers: str = "either",
) -> Callable[..., Tensor]:
    """The public function of an elementwise or multilinear primitive of two operands and no parameters.

    Parameters
    ----------
    operator : an operand of a foreign type yields NotImplemented, as Python's operators want it.
    ranks : the numbers of dims for which the primitive is meant; operands with others are not for the lane.
    otherwise : what takes over from the lane, instead of `apply`.
    numbers : which operand may be a Python number: "either", the "second", or "none".
    """
    kernel, Backward, run = primitive.kernel, primitive.Node, quiet_run
    differentiable = primitive.differentiable
    scalar_kernel = primitive.on_scalars or kernel
    takes_numbers = primitive.policy != "keep" and numbers != "none"
    # which of (x, y, out) each residual is, and whether it is wanted when only x, only y or both need a gradient
    sources = tuple({"x": 0, "y": 1, "out": 2}[name] for name in primitive.residuals)
    if primitive.facts or len(sources) > 3:
        raise TypeError(f"{primitive.name} cannot have a fast lane: its rules need more than its operands and output")
    # a product: each operand's rule needs the other operand, and nothing else
    crosswise = sources == (1, 0) and primitive.wanted(1) == (True, False) and primitive.wanted(2) == (False, True)
    wanted = {mask: tuple(zip(sources, primitive.wanted(mask), strict=True)) for mask in (1, 2, 3)}
    general = otherwise or _door(primitive, numbers)
    foreign = as_operator(general) if operator else general

    def lane(input: Tensor, other: Any, *, out: Tensor | None = None) -> Any:
        if out is not None:
            return write_out(out, lane(input, other), primitive.name)
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
            if y.dtype is not kind or (ranks is not None and (x.ndim, y.ndim) != ranks):
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
            if type(x) is not ndarray:
                z = run(scalar_kernel, x, y)
            elif y is not other:
                z = run(kernel, x, y)
            else:
                constant = constants[kind].get(y)
                z = run(kernel, x, as_constant(y, kind) if constant is None else constant)
        except (ValueError, RuntimeError, OverflowError):
            return foreign(input, other)
        result = new(Tensor)
        result._a = z
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
        if crosswise:
            kept, cell, version = None, CONSTANT, 0
            if edge is not None:
                kept = y
                if y is not other:
                    cell = other._v
                    if cell is None:
                        cell = other._v = [0]
                    version = cell[0]
            if other_edge is None:
                node.saved = (kept, cell, version, None, CONSTANT, 0)
            else:
                own = input._v
                if own is None:
                    own = input._v = [0]
                node.saved = (kept, cell, version, x, own, own[0])
        elif sources:
            saved: list[Any] = []
            for source, want in wanted[(edge is not None) + 2 * (other_edge is not None)]:
                if not want:
                    saved += (None, CONSTANT, 0)
                    continue
                if source == 0:
                    holder, payload = input, x
                elif source == 2:
                    holder, payload = result, z
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
        node.shape = z.shape
        node.dtype = kind
        node.number = tick()
        frame = caller(1)
        code = frame.f_code
        if code.co_filename in outside:
            node.code = code
            node.lasti = frame.f_lasti
        else:
            node.code, node.lasti = place_of_call(2)
        return result

    vars(lane)["lane"] = True
    return lane


def single_lane(primitive: Primitive) -> Callable[..., Tensor]:
    """A primitive of one operand with parameters, taken as it is: views, rearrangements, reductions."""
    kernel, Backward, run = primitive.kernel, primitive.Node, quiet_run
    differentiable, is_view = primitive.differentiable, primitive.view
    saves_x, saves_out = "x" in primitive.residuals, "out" in primitive.residuals
    lean = primitive.residuals in ((), ("x",), ("out",)) and all(fact in ("x_shape", "x_dtype") for fact in primitive.facts)
    wants_shape, wants_dtype, checks = "x_shape" in primitive.facts, "x_dtype" in primitive.facts, primitive.check is not None

    def lane(input: Tensor, **params: Any) -> Tensor:
        records = differentiable
        if exceptional:
            mode = exceptional.get(get_ident())
            if mode is not None:
                if mode.special:
                    return apply(primitive, (input,), params)
                records = False
        if type(input) not in plain or not lean:
            return apply(primitive, (input,), params)
        x = input._a
        if checks and x.dtype is not float32 and x.dtype is not float64:
            return apply(primitive, (input,), params)
        if is_view and type(x) is not ndarray:
            x = input._memory()
        view = input._view
        cell = input._v
        if view is not None and view.seen != cell[0]:
            view.refresh(input)
        try:
            y = run(kernel, x, **params)
        except (ValueError, IndexError, RuntimeError):
            return apply(primitive, (input,), params)  # which says what is wrong
        result = new(Tensor)
        result._a = y
        result._v = result._view = result._node = None
        if is_view:
            if cell is INFERENCE:
                result._v = cell
            else:
                if cell is None:
                    cell = input._v = [0]
                result._v = cell
                result._view = View.made(input, (primitive, params), cell[0], records)
        edge = input._node
        if edge is None:
            return result
        kind = y.dtype
        if not records or kind.kind not in "fc":
            if is_view and not records:
                result._node = LEAF  # a view of a parameter taken in no_grad still requires grad
            return result
        node = primitive.ComplexNode() if kind.kind == "c" or x.dtype.kind == "c" else Backward()
        result._node = node
        node.parents = (input if edge is LEAF else edge,)
        node.saved = None
        if saves_x:
            if cell is None:
                cell = input._v = [0]
            node.saved = (x, cell, cell[0])
        elif saves_out:
            cell = result._v
            if cell is None:
                result._v = cell = [0]
            node.saved = (y, cell, cell[0])
        if wants_shape:
            params = {**params, "x_shape": x.shape}
        if wants_dtype:
            params = {**params, "x_dtype": x.dtype}
        node.params = params
        node.extra = None
        node.shape = y.shape
        node.dtype = kind
        node.number = tick()
        frame = caller(1)
        code = frame.f_code
        if code.co_filename in outside:
            node.code = code
            node.lasti = frame.f_lasti
        else:
            node.code, node.lasti = place_of_call(2)
        return result

    return lane


#: Python numbers as 0-d arrays: a ufunc takes those twice as fast. Small, and emptied when full.
constants: dict[Any, dict[float, Any]] = {float32: {}, float64: {}}


def as_constant(number: float, kind: Any) -> Any:
    """A Python number as a 0-d array of the dtype, remembered; a number that the dtype cannot hold raises OverflowError."""
    array = np.asarray(kind.type(number))
    if number:  # 0.0 and -0.0 are one key
        known = constants[kind]
        if len(known) > 256:
            known.clear()
        known[number] = array
    return array


def _door(primitive: Primitive, numbers: str) -> Callable[[Any, Any], Any]:
    """`apply`, after refusing a number where a tensor must be."""

    def door(x: Any, y: Any) -> Any:
        if numbers != "either" and not isinstance(x, Tensor):
            operand_error(primitive, 0, x)
        if numbers == "none" and not isinstance(y, Tensor):
            operand_error(primitive, 1, y)
        return apply(primitive, (x, y), {})

    return door


#: What Python's operators take beside tensors; operands of other types are left to their own operators.
OPERANDS = (Tensor, int, float, complex, np.generic, np.ndarray)


def as_operator(general: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of two operands as one of Python's operators."""

    def operator(x: Any, y: Any) -> Any:
        return general(x, y) if isinstance(y, OPERANDS) else NotImplemented

    return operator
