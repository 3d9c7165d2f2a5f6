"""From torch's objects to ndgrad's and back to arrays, for tests that call both with the same arguments."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import ndgrad


class NoCounterpartError(Exception):
    """An argument that ndgrad has no equivalent of, such as a bfloat16 tensor."""


#: NumPy's arrays have no more.
MOST_DIMS = 64


class ToOurs:
    """Translates arguments; a tensor that occurs twice stays one tensor."""

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[torch.Tensor, ndgrad.Tensor]] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in self.tensors:
                self.tensors[id(value)] = (value, tensor(value))
            return self.tensors[id(value)][1]
        if isinstance(value, torch.dtype):
            return dtype(value)
        if isinstance(value, torch.device):
            return ndgrad.device(str(value))
        if isinstance(value, torch.Size):
            return ndgrad.Size(value)
        if isinstance(value, (torch.memory_format, torch.layout)):
            name = str(value).removeprefix("torch.")
            if not hasattr(ndgrad, name):
                raise NoCounterpartError(name)
            return getattr(ndgrad, name)
        if isinstance(value, (torch.Generator, torch.nn.Module)):
            raise NoCounterpartError(type(value).__name__)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self, value))
        if isinstance(value, (list, tuple)):
            return type(value)(map(self, value))
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        return value

    def leaves(self) -> list[tuple[torch.Tensor, ndgrad.Tensor]]:
        return [pair for pair in self.tensors.values() if pair[0].requires_grad]


def dtype(kind: torch.dtype) -> Any:
    name = str(kind).removeprefix("torch.")
    found = getattr(ndgrad, name, None)
    if found is None or found.numpy is None:
        raise NoCounterpartError(name)
    return found


def array(value: torch.Tensor) -> Any:
    """A copy with the order of dims in memory kept."""
    dtype(value.dtype)
    if value.layout is not torch.strided or value.ndim > MOST_DIMS:
        raise NoCounterpartError(f"{value.layout}, {value.ndim} dims")
    return np.array(value.numpy(force=True), order="K", copy=True)


def laid_out(value: torch.Tensor) -> Any:
    """A copy of all of the tensor's memory, seen with its strides from its offset."""
    values = array(value)
    if value.is_conj() or value.is_neg() or value._is_zerotensor() or value.numel() == 0:
        return values
    size = value.untyped_storage().nbytes() // value.element_size()
    if value.storage_offset() + sum((n - 1) * step for n, step in zip(value.shape, value.stride(), strict=True)) >= size:
        raise NoCounterpartError("a tensor beyond its memory, left behind by a resize that torch refused")
    memory = array(value.detach().as_strided((size,), (1,), 0))
    width = value.element_size()
    return np.ndarray(values.shape, memory.dtype, memory, value.storage_offset() * width, [step * width for step in value.stride()])


def tensor(value: torch.Tensor) -> ndgrad.Tensor:
    out = ndgrad.from_numpy(laid_out(value))
    if value.requires_grad:
        out.requires_grad = True
    return out


class Outcome:
    """What a call did: its value or its exception, and the warnings it gave."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.value: Any = None
        self.error: Exception | None = None
        before = torch.is_warn_always_enabled()
        torch.set_warn_always(True)  # some of torch's warnings come once per process otherwise
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self.value = function(*args, **kwargs)
            except Exception as error:
                self.error = error
            finally:
                torch.set_warn_always(before)
        self.warned = [warning.category for warning in caught]

    def said(self) -> str:
        return (
            f"{type(self.error).__name__}: {first_sentence(str(self.error))}"
            if self.error is not None
            else f"a result ({brief(self.value)})"
        )


def first_sentence(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    return re.split(r"(?<=[a-z)\]'\"0-9])\. ", line)[0].strip().rstrip(".")


def brief(value: Any) -> str:
    if isinstance(value, (torch.Tensor, ndgrad.Tensor)):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(brief(item) for item in value)})"
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def show(sample: Any) -> str:
    parts = [brief(sample.input), *map(brief, sample.args), *(f"{name}={brief(item)}" for name, item in sample.kwargs.items())]
    return f"({', '.join(parts)})"


#: rtol, atol. The kernels differ from torch's, so the last few bits do.
TOLERANCES = {
    torch.float16: (2e-3, 2e-3),
    torch.float32: (2e-5, 2e-5),
    torch.complex64: (2e-5, 2e-5),
    torch.float64: (1e-9, 1e-9),
    torch.complex128: (1e-9, 1e-9),
}


def difference(ours: Any, theirs: Any) -> str:
    """Empty if two results agree, else in what they differ."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, ndgrad.Tensor):
            return f"ours is {type(ours).__name__}, torch's a Tensor"
        if tuple(ours.shape) != tuple(theirs.shape):
            return f"shape: ours {list(ours.shape)}, torch's {list(theirs.shape)}"
        if str(ours.dtype) != str(theirs.dtype):
            return f"dtype: ours {ours.dtype}, torch's {theirs.dtype}"
        return value_difference(np.asarray(ours.detach()._a), array(theirs), *TOLERANCES.get(theirs.dtype, (0, 0)))
    if isinstance(theirs, (list, tuple)):
        if not isinstance(ours, (list, tuple)) or len(ours) != len(theirs):
            return f"ours is {brief(ours)}, torch's {brief(theirs)}"
        names = getattr(theirs, "_fields", None) or tuple(
            name for name in dir(theirs) if "torch.return_types" in str(type(theirs)) and name[0] != "_"
        )
        missing = [
            name
            for name in names
            if name not in ("count", "index", "n_fields", "n_sequence_fields", "n_unnamed_fields") and not hasattr(ours, name)
        ]
        if missing:
            return f"the result lacks the field {missing[0]} of torch's {type(theirs).__name__}"
        found = [(position, difference(mine, wanted)) for position, (mine, wanted) in enumerate(zip(ours, theirs, strict=True))]
        return next((f"[{position}] {text}" for position, text in found if text), "")
    if isinstance(theirs, float):
        return value_difference(np.asarray(ours), np.asarray(theirs), 1e-9, 1e-9)
    if isinstance(theirs, (torch.dtype, torch.Size)):
        return "" if str(theirs) == str(ours) else f"ours {ours}, torch's {theirs}"
    return "" if ours == theirs else f"ours {brief(ours)}, torch's {brief(theirs)}"


def value_difference(ours: Any, theirs: Any, rtol: float, atol: float) -> str:
    scale = float(np.max(np.abs(theirs[np.isfinite(theirs)]), initial=0)) if theirs.dtype.kind in "fc" else 0.0
    with np.errstate(all="ignore"):
        if theirs.dtype.kind in "fc":
            least = 1.0 if rtol > 1e-6 else 1e-3
            close = np.isclose(ours, theirs, rtol=rtol, atol=atol * min(max(scale, least), 1e3), equal_nan=True)
            if theirs.dtype.kind == "c":  # infinities and nans of complex numbers need not agree in the other part
                close |= ~np.isfinite(ours) & ~np.isfinite(theirs)
        else:
            close = ours == theirs
    if np.all(close):
        return ""
    at = tuple(int(i) for i in np.argwhere(~close)[0]) if ours.ndim else ()
    return f"value at {list(at)}: ours {ours[at]}, torch's {theirs[at]} ({int((~close).sum())} of {close.size} differ)"
