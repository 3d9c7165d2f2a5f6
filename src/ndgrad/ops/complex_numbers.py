"""Complex tensors: parts, conjugates, and the views between a complex tensor and pairs of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.dtypes import type_name
from ndgrad.core.inplace import in_place
from ndgrad.core.tensor import Tensor
from ndgrad.kernels.striding import strided
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.declare import function, general, rule_helper

# These maps are linear over the reals only, so their adjoints are written out instead of derived.


def _conjugate(x: Any) -> Any:
    return np.conjugate(x) if x.dtype.kind == "c" else x


@general(vjp=[lambda xp, g: xp.conj(g)], node_name="ConjBackward0", jvp=lambda xp, tangents: xp.conj(tangents[0]))
def conj(x: Any) -> Any:
    """The complex conjugate; a real operand as it is."""
    return _conjugate(x)


@general(
    vjp=[lambda xp, g: xp.conj(g)],
    name="conj_physical_out",
    node_name="ConjPhysicalBackward0",
    jvp=lambda xp, tangents: xp.conj(tangents[0]),
)
def conj_computed(x: Any) -> Any:
    """The complex conjugate, of a real operand a copy."""
    return np.conjugate(x)


# A part is a view; PyTorch makes it by selecting from the pairs of parts, hence the name of the node.
@general(vjp=[lambda xp, g: xp.to_complex(g)], node_name="SelectBackward0", view=True, jvp=lambda xp, tangents: xp.real(tangents[0]))
def real(x: Any) -> Any:
    """The real part, a view."""
    return x.real


@general(
    vjp=[lambda xp, g: xp.mul(xp.to_complex(g), 1j)], node_name="SelectBackward0", view=True, jvp=lambda xp, tangents: xp.imag(tangents[0])
)
def imag(x: Any) -> Any:
    """The imaginary part, a view."""
    return x.imag


@general(vjp=[lambda xp, g: xp.real(g)], node_name="ToCopyBackward0", jvp=lambda xp, tangents: xp.to_complex(tangents[0]))
def to_complex(x: Any) -> Any:
    """A real operand as a complex one with imaginary part 0."""
    return x.astype(np.complex64 if x.dtype == np.float32 else np.complex128)


@general(vjp=[lambda xp, g: xp.pairs(g)], node_name="ViewAsComplexBackward0", jvp=lambda xp, tangents: xp.complex_of_pairs(tangents[0]))
def complex_of_pairs(x: Any) -> Any:
    """Pairs of real numbers in the last dim as complex numbers, in memory of their own."""
    return np.ascontiguousarray(x).view(np.complex64 if x.dtype == np.float32 else np.complex128)[..., 0]


@general(
    vjp=[lambda xp, g: xp.complex_of_pairs(g)], node_name="ViewAsRealBackward0", view=True, jvp=lambda xp, tangents: xp.pairs(tangents[0])
)
def pairs(x: Any) -> Any:
    """Complex numbers as pairs of real ones in a new last dim, a view."""
    parts = x.real
    return strided(parts, (*parts.shape, 2), (*parts.strides, parts.itemsize))


@general(
    vjp=[lambda xp, g: xp.pairs(g)],
    node_name="ViewAsComplexBackward0",
    view=True,
    jvp=lambda xp, tangents: xp.complex_of_pairs(tangents[0]),
)
def unpaired(x: Any) -> Any:
    """Pairs of real numbers in the last dim as complex numbers, a view."""
    return x.view(np.complex64 if x.dtype == np.float32 else np.complex128)[..., 0]


def _complex_tangent(xp: Any, tangents: Any) -> Any:
    x_t, y_t = tangents
    parts = None if x_t is None else xp.to_complex(x_t), None if y_t is None else xp.mul(xp.to_complex(y_t), 1j)
    return xp.plus(*parts)


@general(
    vjp=[lambda xp, g: xp.real(g), lambda xp, g: xp.imag(g)],
    node_name="ComplexBackward0",
    jvp=_complex_tangent,
    batch=batch_rules.broadcasting("complex_of_parts"),
)
def complex_of_parts(x: Any, y: Any) -> Any:
    """x + 1j * y, exact for infinite parts too."""
    out = np.empty(np.broadcast_shapes(x.shape, y.shape), np.complex64 if x.dtype == np.float32 else np.complex128)
    out.real, out.imag = x, y
    return out


def _polar_tangent(xp: Any, tangents: Any, y: Any, out: Any) -> Any:
    r_t, angle_t = tangents
    radial = None if r_t is None else xp.complex_of_parts(r_t * xp.cos(y), r_t * xp.sin(y))
    return xp.plus(radial, None if angle_t is None else xp.mul(out * xp.to_complex(angle_t), 1j))


@general(
    vjp=[lambda xp, g, out: xp.real(xp.conj(g) * xp.sgn(out)), lambda xp, g, out: xp.real(xp.mul(xp.conj(g) * out, 1j))],
    node_name="PolarBackward0",
    batch=batch_rules.broadcasting("polar_of_parts"),
    jvp=_polar_tangent,
)
def polar_of_parts(x: Any, y: Any) -> Any:
    """The complex numbers of absolute value x and angle y."""
    return complex_of_parts.primitive.kernel(x * np.cos(y), x * np.sin(y))


# ---------------------------------------------------------------- the public functions
@function(name="conj")
def conj_tensor(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    check_tensor(input, "conj", "input", 1)
    return conj(input) if input._a.dtype.kind == "c" else input


rule_helper("conj", _conjugate, conj_tensor)  # in rules, nothing is recorded for real operands


_conj_written = general(
    np.conjugate,
    name="conj_physical_written",
    vjp=[lambda xp, g: xp.conj(g)],
    node_name="ConjPhysicalBackward1",
    jvp=lambda xp, tangents: xp.conj(tangents[0]),
    public=False,
)


@function(in_place=in_place(_conj_written, "conj_physical_"), out=True)
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate, computed at once; a real tensor itself."""
    check_tensor(input, "conj_physical", "input", 1)
    return conj_computed(input) if input._a.dtype.kind == "c" else input


@function(aliases=("resolve_neg",))
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: here conjugation and negation are never put off."""
    check_tensor(input, "resolve_conj", "input", 1)
    return input


@function(aliases=("is_neg",))
def is_conj(input: Tensor) -> bool:
    """Whether a conjugation (or a change of sign) is still to be carried out; here that is never so."""
    check_tensor(input, "is_conj", "input", 1)
    return False


@function(name="real", method=False)
def real_part(input: Tensor) -> Tensor:
    """The real part, a view; a real tensor itself."""
    check_tensor(input, "real", "input", 1)
    return real(input) if input._a.dtype.kind == "c" else input


@function(name="imag", method=False)
def imaginary_part(input: Tensor) -> Tensor:
    """The imaginary part of a complex tensor, a view."""
    check_tensor(input, "imag", "input", 1)
    if input._a.dtype.kind != "c":
        raise RuntimeError(f"imag is not implemented for tensors with non-complex dtypes. This one is {input.dtype}.")
    return imag(input)


def _set_part(part: Any) -> Any:
    def write(self: Tensor, value: Any) -> None:
        part(self).copy_(value) if isinstance(value, Tensor) else part(self).fill_(value)

    return write


# properties, which cannot be bound through the table
for _name, _part, _doc in (("real", real_part, "The real part"), ("imag", imaginary_part, "The imaginary part")):
    setattr(Tensor, _name, property(_part, _set_part(_part), doc=f"{_doc}, a view that can be written to."))


@function
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers in a new last dim: a view."""
    check_tensor(input, "view_as_real", "input", 1)
    if input._a.dtype.kind != "c":
        raise RuntimeError(f"view_as_real is only supported for complex tensors; this one is {input.dtype}")
    return pairs(input)


@function
def view_as_complex(input: Tensor) -> Tensor:
    """Pairs of real numbers in the last dim as complex numbers: a view."""
    check_tensor(input, "view_as_complex", "input", 1)
    array = input._memory()
    if array.dtype not in (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{type_name(input.dtype)}"
        )
    if array.dtype == np.float16:
        raise TypeError("ndgrad has no storage for torch.complex32: NumPy has no such type; convert the tensor with .float() first")
    if array.ndim == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if array.shape[-1] != 2:
        raise RuntimeError(f"Tensor must have a last dimension of size 2; its shape is {list(array.shape)}")
    strides = [step // array.itemsize for step in array.strides]
    if strides[-1] != 1:
        raise RuntimeError(f"Tensor must have a last dimension with stride 1; its strides are {strides}")
    if any(step % 2 for step in strides[:-1]):
        raise RuntimeError(f"Tensor must have a stride divisible by 2 for all but last dimension; its strides are {strides}")
    if input.storage_offset() % 2:
        raise RuntimeError(f"Tensor must have a storage_offset divisible by 2; it is {input.storage_offset()}")
    return unpaired(input)


def _check_parts(name: str, first: str, second: str, x: Any, y: Any) -> None:
    check_tensor(x, name, first, 1)
    check_tensor(y, name, second, 2)
    names = type_name(x.dtype), type_name(y.dtype)
    if x._a.dtype.kind != "f" or y._a.dtype.kind != "f":
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {names[0]} and {names[1]}")
    if x._a.dtype != y._a.dtype:
        raise RuntimeError(f"Expected object of scalar type {names[0]} but got scalar type {names[1]} for second argument")
    if x._a.dtype == np.float16:
        raise TypeError("ndgrad has no storage for torch.complex32: NumPy has no such type; convert the parts with .float() first")


@function(name="complex", method=False, out=True)
def complex_tensor(real: Tensor, imag: Tensor) -> Tensor:
    """The complex tensor with the given parts."""
    _check_parts("complex", "real", "imag", real, imag)
    return complex_of_parts(real, imag)


@function(method=False, out=True)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """The complex tensor with the given absolute values and angles."""
    _check_parts("polar", "abs", "angle", abs, angle)
    return polar_of_parts(abs, angle)
