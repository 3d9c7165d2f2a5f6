"""Window functions of signal processing, and Vandermonde matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndgrad.base.devices import check_device
from ndgrad.base.dtypes import as_dtype, from_numpy_dtype, get_default_dtype, int64, numpy_dtype, type_name
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.conversion import cast
from ndgrad.ops.creation import finish
from ndgrad.ops.declare import function
from ndgrad.ops.joining import cat


def _checked(name: str, length: Any, dtype: Any, device: Any) -> tuple[int, np.dtype[Any]]:
    check_device(device)
    if not hasattr(length, "__index__"):
        raise TypeError(f"{name}(): argument 'window_length' (position 1) must be int, not {type(length).__name__}")
    kind = numpy_dtype(get_default_dtype() if dtype is None else as_dtype(dtype))
    if kind.kind not in "fc":
        raise RuntimeError(f"{name} expects floating point dtypes, got: {type_name(from_numpy_dtype[kind])}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    return int(length), kind


def _steps(length: int, periodic: bool, kind: np.dtype[Any], scale: float) -> Array:
    """0, 1, ... times a factor, rounded to the window's dtype as PyTorch's own steps are."""
    end = length if periodic else length - 1
    return (np.arange(length) * (scale / end)).astype(kind)


def _window(name: str, length: Any, periodic: bool, dtype: Any, device: Any, requires_grad: bool, shape: Any) -> Tensor:
    count, kind = _checked(name, length, dtype, device)
    array = np.ones(count, kind) if count < 2 else np.asarray(shape(count, kind)).astype(kind, copy=False)
    return finish(array, requires_grad)


def _cosines(count: int, kind: np.dtype[Any], periodic: bool, *weights: float) -> Array:
    """The sum of cosines with alternating signs."""
    work = np.dtype(np.float32) if kind == np.float16 else kind
    angles = np.arange(count, dtype=work) * work.type(2 * np.pi / (count if periodic else count - 1))
    return sum(
        (work.type(weight) * np.cos(angles * number) * (-1) ** number for number, weight in enumerate(weights)), np.zeros(count, work)
    )


@function(method=False)
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A raised cosine that begins (and, unless periodic, ends) at 0."""
    return _window(
        "hann_window", window_length, periodic, dtype, device, requires_grad, lambda n, kind: _cosines(n, kind, periodic, 0.5, 0.5)
    )


@function(method=False)
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`alpha - beta * cos`, which does not reach 0."""
    return _window(
        "hamming_window", window_length, periodic, dtype, device, requires_grad, lambda n, kind: _cosines(n, kind, periodic, alpha, beta)
    )


@function(method=False)
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Blackman's sum of two cosines."""
    return _window(
        "blackman_window",
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
        lambda n, kind: _cosines(n, kind, periodic, 0.42, 0.5, 0.08),
    )


@function(method=False)
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A triangle."""

    def triangle(count: int, kind: np.dtype[Any]) -> Array:
        rising = _steps(count, periodic, kind, 2.0)
        half = (count if periodic else count - 1) // 2 + 1
        rising[half:] = kind.type(2) - rising[half:]
        return rising

    return _window("bartlett_window", window_length, periodic, dtype, device, requires_grad, triangle)


@function(method=False)
def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Kaiser's window: a Bessel function of an ellipse, narrower the larger `beta` is."""

    def bessel(count: int, kind: np.dtype[Any]) -> Array:
        ratio = np.arange(count) * (2.0 / (count if periodic else count - 1)) - 1.0
        return np.i0(beta * np.sqrt(np.maximum(1 - ratio * ratio, 0))) / np.i0(beta)

    return _window("kaiser_window", window_length, periodic, dtype, device, requires_grad, bessel)


@function(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of the powers of a vector's elements, the highest first unless `increasing`."""
    check_tensor(x, "vander", "x", 1)
    if x._a.ndim != 1:
        raise RuntimeError(f"x must be a one-dimensional tensor. Its shape is {list(x._a.shape)}.")
    count = x._a.size if N is None else N
    if count < 0:
        raise RuntimeError(f"N must be non-negative. It is {count}.")
    if x.dtype.category < 2:
        x = cast(x, int64)
    powers = x.new_ones((x._a.size, min(count, 1)))
    if count > 1:
        # PyTorch takes the running product in place, where its backward then misses the values it saved
        powers = cat([powers, x.unsqueeze(1).expand(-1, count - 1).cumprod(1)], 1)
    return powers if increasing else powers.flip(1)
