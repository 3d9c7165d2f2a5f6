"""What samples are made of: `Sample` holds arguments, `Maker` makes tensors for them, `Spec` says what an operation needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ndgrad.base.dtypes import bool_, dtype, float64, int64, numpy_dtype
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.testing.creation import spread


class Sample:
    """The arguments of one call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        shown = [describe(value) for value in self.args] + [f"{name}={describe(value)}" for name, value in self.kwargs.items()]
        return f"({', '.join(shown)})"

    def leaves(self) -> list[Tensor]:
        """The tensors that want a gradient, in order of appearance, each once."""
        found: list[Tensor] = []
        self.map(lambda t: found.append(t) if t.requires_grad and not any(t is other for other in found) else None)
        return found

    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments."""
        found: list[Tensor] = []
        self.map(found.append)
        return found

    def map(self, change: Callable[[Tensor], Any]) -> Sample:
        """The same arguments with every tensor replaced."""
        return Sample(*[map_tensors(v, change) for v in self.args], **{name: map_tensors(v, change) for name, v in self.kwargs.items()})

    def replace(self, old: Sequence[Tensor], new: Sequence[Any]) -> Sample:
        """The same arguments with some tensors replaced by others."""
        by_id = {id(t): value for t, value in zip(old, new, strict=True)}
        return self.map(lambda t: by_id.get(id(t), t))


def map_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        changed = [map_tensors(item, change) for item in value]
        if hasattr(value, "_fields"):
            return type(value)(*changed)
        return type(value)(changed)
    return value


def describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype.name}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(describe(item) for item in value)}]"
    return repr(value)


class Maker:
    """Makes the tensors of a sample; the same seed gives the same values in every dtype and layout.

    Values are rounded to single precision, so that float32 and float64 samples hold the same numbers.
    """

    def __init__(self, dtype: dtype = float64, *, noncontiguous: bool = False, requires_grad: bool = True, seed: int = 0) -> None:
        self.dtype = dtype
        self.noncontiguous = noncontiguous
        self.requires_grad = requires_grad
        self.generator = np.random.default_rng([seed, 20231])

    def __call__(self, *shape: int, low: float = -2.0, high: float = 2.0, grad: bool = True) -> Tensor:
        """Uniform in [low, high); for complex types both parts are."""
        values: Any = self.generator.uniform(low, high, shape)
        imaginary = self.generator.uniform(low, high, shape)
        if self.dtype.is_complex:
            values = values + 1j * imaginary
        return self.data(values, grad=grad)

    def positive(self, *shape: int, grad: bool = True) -> Tensor:
        return self(*shape, low=0.3, high=2.3, grad=grad)

    def unit(self, *shape: int, grad: bool = True) -> Tensor:
        return self(*shape, low=0.1, high=0.9, grad=grad)

    def distinct(self, *shape: int, shift: float = 0.0, grad: bool = True) -> Tensor:
        """No two values closer than 0.3, none nearer to zero than 0.1; with another `shift`, distinct from those without."""
        count = int(np.prod(shape))
        values = (self.generator.permutation(count) - count // 2) * 0.3 + 0.1 + shift
        return self.data(values.reshape(shape), grad=grad)

    def data(self, values: Any, *, grad: bool = True) -> Tensor:
        """Given numbers in the sample's dtype."""
        array = np.asarray(values)
        single = np.complex64 if array.dtype.kind == "c" else np.float32
        kind = numpy_dtype(self.dtype)
        array = array.astype(single)
        array = np.asarray((array if kind.kind == "c" else array.real).astype(kind))
        out = wrap(self._laid_out(array))
        if grad and self.requires_grad and kind.kind in "fc":
            out.requires_grad = True
        return out

    def real(self, *shape: int, low: float = -2.0, high: float = 2.0, grad: bool = True) -> Tensor:
        """Real whatever the sample's dtype."""
        previous, self.dtype = self.dtype, self.dtype.to_real()
        try:
            return self(*shape, low=low, high=high, grad=grad)
        finally:
            self.dtype = previous

    def complex(self, *shape: int, grad: bool = True) -> Tensor:
        """Complex, of the sample's precision."""
        previous, self.dtype = self.dtype, self.dtype.to_complex()
        try:
            return self(*shape, grad=grad)
        finally:
            self.dtype = previous

    def constant(self, *shape: int, low: float = -2.0, high: float = 2.0) -> Tensor:
        """A tensor that wants no gradient."""
        return self(*shape, low=low, high=high, grad=False)

    def integers(self, *shape: int, low: int = 0, high: int = 5) -> Tensor:
        return wrap(self._laid_out(np.asarray(self.generator.integers(low, high, shape))))

    def index(self, values: Any) -> Tensor:
        return wrap(self._laid_out(np.asarray(values, numpy_dtype(int64))))

    def mask(self, *shape: int) -> Tensor:
        """A bool tensor with both values in it, if it has at least two elements."""
        values = self.generator.permutation(np.arange(int(np.prod(shape))) % 2 == 0).reshape(shape)
        return wrap(self._laid_out(values.astype(numpy_dtype(bool_))))

    def _laid_out(self, array: Any) -> Any:
        return spread(array) if self.noncontiguous and array.ndim else array


@dataclass
class Spec:
    """What the generated tests must know about an operation.

    Attributes
    ----------
    make : the samples, made with a `Maker`.
    constant : no gradient flows through the operation.
    random : the operation draws random numbers.
    integers : the operation takes integers (and bools) only.
    warns : the start of a warning that the operation gives each time.
    except_for : checks that do not apply, each with the reason.
    """

    make: Callable[[Maker], list[Sample]]
    constant: bool = False
    random: bool = False
    integers: bool = False
    warns: str = ""
    except_for: dict[str, str] = field(default_factory=dict)
