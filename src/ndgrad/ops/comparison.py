"""Comparisons, logic and bits, and the choice between two tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import bool_, numpy_dtype, type_name, uint8
from ndgrad.base.quiet import run_quietly
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.core.batches import batch_of
from ndgrad.core.batching import BatchLevel, aligned
from ndgrad.core.primitive import operand_error, result_dtype
from ndgrad.core.tensor import Tensor, plain, wrap
from ndgrad.kernels.masking import choose
from ndgrad.kernels.masking import masked_keep as keep
from ndgrad.kernels.scalars import integer_kernel
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.conversion import cast
from ndgrad.ops.declare import elementwise, function, nondifferentiable, rule_helper, table
from ndgrad.ops.refusals import unsupported


# ---------------------------------------------------------------- comparisons
def _no_order(name: str) -> Any:
    return unsupported(f"{name}_cpu", "c", "complex numbers have no order; compare .abs() or .real")


def _compare(ufunc: Any, name: str, symbol: str, *aliases: str, ordered: bool = True) -> Any:
    # what a comparison writes in place is a number, and PyTorch gives it the derivative 0
    check = _no_order(name) if ordered else None
    return nondifferentiable(
        ufunc, name=name, aliases=aliases, numbers="second", check=check, zero_in_place=True, doc=f"x {symbol} y, elementwise."
    )


eq = _compare(np.equal, "eq", "==", ordered=False)
ne = _compare(np.not_equal, "ne", "!=", "not_equal", ordered=False)
lt = _compare(np.less, "lt", "<", "less")
le = _compare(np.less_equal, "le", "<=", "less_equal")
gt = _compare(np.greater, "gt", ">", "greater")
ge = _compare(np.greater_equal, "ge", ">=", "greater_equal")


# ---------------------------------------------------------------- bits
def _invert(x: Any) -> Any:
    _check_bits(x)
    return np.bitwise_not(x)


bitwise_not = nondifferentiable(_invert, name="bitwise_not", check=unsupported("bitwise_not_cpu", "fc"), doc="~x, elementwise.")
bitwise_and = nondifferentiable(
    integer_kernel(np.bitwise_and), name="bitwise_and", check=unsupported("bitwise_and_cpu", "fc"), doc="x & y, elementwise."
)
bitwise_or = nondifferentiable(
    integer_kernel(np.bitwise_or), name="bitwise_or", check=unsupported("bitwise_or_cpu", "fc"), doc="x | y, elementwise."
)
bitwise_xor = nondifferentiable(
    integer_kernel(np.bitwise_xor), name="bitwise_xor", check=unsupported("bitwise_xor_cpu", "fc"), doc="x ^ y, elementwise."
)


def _check_bits(x: Any) -> None:
    if x.dtype.kind in "fc":
        raise RuntimeError(f"bits are for integers, not for {x.dtype}")


def _out_of_width(y: Any) -> Any:
    return (y < 0) | (y >= 8 * y.dtype.itemsize)


@nondifferentiable(check=unsupported("lshift_cpu", "bfc"))
def bitwise_left_shift(x: Any, y: Any) -> Any:
    """x << y, elementwise; 0 where the shift is negative or leaves no bit."""
    _check_bits(x)
    # a signed type has one bit less to shift into
    width = 8 * x.dtype.itemsize - (x.dtype.kind == "i")
    return np.where((y < 0) | (y >= width), 0, np.left_shift(x, y)).astype(x.dtype)


@nondifferentiable(check=unsupported("rshift_cpu", "bfc"))
def bitwise_right_shift(x: Any, y: Any) -> Any:
    """x >> y, elementwise, keeping the sign; what a shift by all the bits leaves where the shift is out of range."""
    _check_bits(x)
    last = 8 * x.dtype.itemsize - 1
    if x.dtype.kind == "u":
        return np.where(_out_of_width(y), 0, np.right_shift(x, np.minimum(y, last))).astype(x.dtype)
    return np.right_shift(x, np.where(_out_of_width(y), last, y).astype(x.dtype))


# ---------------------------------------------------------------- choosing
@elementwise(
    name="masked_keep",
    policy="keep",
    public=False,
    node_name="MulBackward0",
    partials=[lambda xp, g, mask: xp.masked_keep(g, mask)],
)
def masked_keep(x: Any, mask: Any) -> Any:
    """`x` where the mask holds, else 0."""
    return keep(x, mask)


@elementwise(
    name="where_tensors",
    policy="keep",
    public=False,
    node_name="WhereBackward0",
    partials=[
        None,
        lambda xp, g, condition: xp.masked_keep(g, condition),
        lambda xp, g, condition: xp.masked_keep(g, xp.logical_not(condition)),
    ],
)
def where_tensors(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, else `y`, which have the same dtype."""
    try:
        return choose(condition, x, y)
    except ValueError:
        broadcast_shapes(condition.shape, x.shape, y.shape)
        raise


def _where(condition: Any, x: Any, y: Any) -> Tensor:
    """The choice between operands of any dtypes, which may be numbers."""
    if type(x) in plain and type(y) in plain and x._a.dtype is y._a.dtype:
        return where_tensors(condition, x, y)
    wanted = result_dtype((x, y))
    x, y = (
        cast(value, wanted) if isinstance(value, Tensor) else wrap(np.asarray(value).astype(numpy_dtype(wanted))[()]) for value in (x, y)
    )
    return where_tensors(condition, x, y)


rule_helper("where", choose, _where)


@function(out=True, primitive=where_tensors)
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, else `other`; with the condition alone, the positions where it holds."""
    if not isinstance(condition, Tensor):
        operand_error(where_tensors.primitive, 0, condition)
    if input is None and other is None:
        return table["nonzero"].method(condition, as_tuple=True)
    for position, value in ((1, input), (2, other)):
        if not isinstance(value, (Tensor, int, float, complex, np.generic)):
            operand_error(where_tensors.primitive, position, value)
    if condition.dtype not in (bool_, uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {type_name(condition.dtype)}; "
            "write condition != 0 or condition.bool()"
        )
    if condition.dtype is uint8:
        condition = cast(condition, bool_)
    return _where(condition, input, other)


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor where the condition holds, else `other`."""
    chosen: Tensor = where(condition, self, other)
    return chosen


# the one method whose operands stand in another order
table["where"].method = where_method


# ---------------------------------------------------------------- logic
def _logical(ufunc: Any, name: str, doc: str) -> Any:
    return nondifferentiable(ufunc, name=name, numbers="none", doc=doc)


logical_not = _logical(np.logical_not, "logical_not", "Whether each element is 0.")
logical_and = _logical(np.logical_and, "logical_and", "Whether both elements are not 0.")
logical_or = _logical(np.logical_or, "logical_or", "Whether one of the elements is not 0.")
logical_xor = _logical(np.logical_xor, "logical_xor", "Whether just one of the elements is not 0.")


# ---------------------------------------------------------------- equality of whole tensors
@function
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements."""
    check_tensor(input, "equal", "input", 1)
    check_tensor(other, "equal", "other", 2)
    x, y = input._a, other._a
    if batch_of(x) is not None or batch_of(y) is not None:
        raise RuntimeError(
            "Batching rule not implemented for aten::equal. We could not generate a fallback. Inside vmap each example has an answer of "
            "its own: write (a == b).all(), which is a tensor."
        )
    return x.shape == y.shape and bool(np.all(run_quietly(np.equal, x, y)))


def _close_of_all(level: BatchLevel, mapped: list[bool], x: Any, y: Any, **params: Any) -> Any:
    return aligned(close, [x, y], mapped, params)


@nondifferentiable(name="close", public=False, policy="keep", batch=_close_of_all)
def close(x: Any, y: Any, *, rtol: float, atol: float, equal_nan: bool) -> Any:
    """Whether |x - y| <= atol + rtol * |y|."""
    same = np.equal(x, y)
    if equal_nan:
        same = same | ((x != x) & (y != y))
    if x.dtype.kind in "biu" and rtol == 0 and atol == 0:
        return same
    if x.dtype.kind in "biu":
        x, y = x.astype(np.float64), y.astype(np.float64)
    error = np.abs(x - y)
    return same | (np.isfinite(error) & (error <= atol + rtol * np.abs(y)))


@function
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether elements are equal up to `atol + rtol * |other|`."""
    check_tensor(input, "isclose", "input", 1)
    check_tensor(other, "isclose", "other", 2)
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"{type_name(input.dtype)} did not match {type_name(other.dtype)}; convert one of the tensors with .to(...)"
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    return close(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


@function
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are equal up to `atol + rtol * |other|`."""
    check_tensor(input, "allclose", "input", 1)
    check_tensor(other, "allclose", "other", 2)
    if batch_of(input._a) is not None or batch_of(other._a) is not None:
        raise RuntimeError(
            "vmap over torch.allclose isn't supported yet. Inside vmap each example has an answer of its own: write "
            "torch.isclose(a, b).all(), which is a tensor."
        )
    return bool(np.all(isclose(input, other, rtol, atol, equal_nan)._a))
