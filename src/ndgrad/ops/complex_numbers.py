"""Complex tensors: parts, conjugates, and the views between a complex tensor and pairs of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.core.tensor import Tensor
from ndgrad.ops.declare import function, general

# These maps are linear over the reals only, so their adjoints are written out instead of derived.


def _conjugate(x: Any) -> Any:
    return np.conjugate(x) if x.dtype.kind == "c" else x


@general(vjp=[lambda xp, g: xp.conj(g)], node_name="ConjBackward0", jvp=lambda xp, tangents: xp.conj(tangents[0]))
def conj(x: Any) -> Any:
    """The complex conjugate; a real operand as it is."""
    return _conjugate(x)


@general(vjp=[lambda xp, g: xp.to_complex(g)], node_name="RealBackward0", view=True, jvp=lambda xp, tangents: xp.real(tangents[0]))
def real(x: Any) -> Any:
    """The real part, a view."""
    return x.real


@general(vjp=[lambda xp, g: xp.mul(xp.to_complex(g), 1j)], node_name="ImagBackward0", view=True, jvp=lambda xp, tangents: xp.imag(tangents[0]))
def imag(x: Any) -> Any:
    """The imaginary part, a view."""
    return x.imag


@general(vjp=[lambda xp, g: xp.real(g)], node_name="ToCopyBackward0", jvp=lambda xp, tangents: xp.to_complex(tangents[0]))
def to_complex(x: Any) -> Any:
    """A real operand as a complex one with imaginary part 0."""
    return x.astype(np.complex64 if x.dtype == np.float32 else np.complex128)


@function(name="conj", aliases=("resolve_conj",))
def conj_tensor(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return conj(input) if input.dtype.is_complex else input
