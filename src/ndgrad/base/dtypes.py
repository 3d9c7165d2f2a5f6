"""The dtypes as PyTorch's objects, their limits, and PyTorch's promotion rules as one table.

NumPy's own promotion differs (int + float32 is float64 there, and 0-d arrays count as arrays), so no operation relies on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


class dtype:
    """The type of a tensor's elements, for instance `float32`; one object per type, compared by identity."""

    __slots__ = ("category", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "numpy", "rank")

    def __init__(self, name: str, category: int, rank: int, itemsize: int, numpy: np.dtype[Any] | None) -> None:
        self.name = name
        self.category = category  # 0 bool, 1 integer, 2 floating, 3 complex: the categories of promotion
        self.rank = rank
        self.itemsize = itemsize
        self.numpy = numpy
        self.is_floating_point = category == FLOATING
        self.is_complex = category == COMPLEX
        self.is_signed = category >= FLOATING or name.startswith("int")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _by_name, (self.name,)

    def to_real(self) -> dtype:
        """The floating type of the real part."""
        return _real.get(self, self)

    def to_complex(self) -> dtype:
        """The complex type with parts of this type."""
        return _complex.get(self, complex64 if self.category < FLOATING else self)


BOOL, INTEGER, FLOATING, COMPLEX = range(4)

bool_ = dtype("bool", BOOL, 0, 1, np.dtype(np.bool_))
uint8 = dtype("uint8", INTEGER, 1, 1, np.dtype(np.uint8))
int8 = dtype("int8", INTEGER, 2, 1, np.dtype(np.int8))
int16 = dtype("int16", INTEGER, 3, 2, np.dtype(np.int16))
int32 = dtype("int32", INTEGER, 4, 4, np.dtype(np.int32))
int64 = dtype("int64", INTEGER, 5, 8, np.dtype(np.int64))
uint16 = dtype("uint16", INTEGER, -1, 2, np.dtype(np.uint16))
uint32 = dtype("uint32", INTEGER, -1, 4, np.dtype(np.uint32))
uint64 = dtype("uint64", INTEGER, -1, 8, np.dtype(np.uint64))
float16 = dtype("float16", FLOATING, 1, 2, np.dtype(np.float16))
bfloat16 = dtype("bfloat16", FLOATING, 2, 2, None)
float32 = dtype("float32", FLOATING, 3, 4, np.dtype(np.float32))
float64 = dtype("float64", FLOATING, 4, 8, np.dtype(np.float64))
complex32 = dtype("complex32", COMPLEX, 1, 4, None)
complex64 = dtype("complex64", COMPLEX, 3, 8, np.dtype(np.complex64))
complex128 = dtype("complex128", COMPLEX, 4, 16, np.dtype(np.complex128))

ALL: tuple[dtype, ...] = (
    *(bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64),
    *(float16, bfloat16, float32, float64, complex32, complex64, complex128),
)


#: A type's two names in PyTorch's messages: PyTorch's own most of the time, C++'s in some. By name, because NumPy's dtypes have one too:
#: an operation that was given an array may be in the middle of its own complaint before it is seen that the array is no tensor.
_NAMES_IN_MESSAGES = {
    "bool": ("Bool", "bool"),
    "uint8": ("Byte", "unsigned char"),
    "int8": ("Char", "signed char"),
    "int16": ("Short", "short int"),
    "int32": ("Int", "int"),
    "int64": ("Long", "long int"),
    "uint16": ("UInt16", "short unsigned int"),
    "uint32": ("UInt32", "unsigned int"),
    "uint64": ("UInt64", "long unsigned int"),
    "float16": ("Half", "c10::Half"),
    "bfloat16": ("BFloat16", "c10::BFloat16"),
    "float32": ("Float", "float"),
    "float64": ("Double", "double"),
    "complex32": ("ComplexHalf", "c10::complex<c10::Half>"),
    "complex64": ("ComplexFloat", "c10::complex<float>"),
    "complex128": ("ComplexDouble", "c10::complex<double>"),
}


def type_name(given: dtype) -> str:
    """A dtype as most of PyTorch's messages call it: Long for int64."""
    return _NAMES_IN_MESSAGES[given.name][0]


def cpp_name(given: dtype) -> str:
    """A dtype as those of PyTorch's messages call it that let C++ speak: long int for int64."""
    return _NAMES_IN_MESSAGES[given.name][1]


def _by_name(name: str) -> dtype:
    return next(t for t in ALL if t.name == name)


_real = {complex32: float16, complex64: float32, complex128: float64}
_complex = {float16: complex32, bfloat16: complex64, float32: complex64, float64: complex128}

#: NumPy's dtype -> ours. Only native byte order: anything else is refused where it comes in.
from_numpy_dtype: dict[Any, dtype] = {t.numpy: t for t in ALL if t.numpy is not None}


def numpy_dtype(wanted: dtype) -> np.dtype[Any]:
    """The NumPy dtype that stores ours; bfloat16 and complex32 have none."""
    found = wanted.numpy
    if found is None:
        raise TypeError(f"ndgrad has no storage for {wanted}: NumPy has no such type; use torch.float32 or torch.float16 instead")
    return found


def as_dtype(wanted: Any) -> dtype:
    """One of our dtypes from ours, or from Python's `float`, `int`, `bool`, `complex`, which PyTorch accepts too."""
    if type(wanted) is dtype:
        return wanted
    if wanted is float:
        return float64
    if wanted is int:
        return int64
    if wanted is bool:
        return bool_
    if wanted is complex:
        return complex128
    name = wanted.__name__ if isinstance(wanted, type) else type(wanted).__name__
    raise TypeError(f"argument 'dtype' must be torch.dtype, not {name}")


# ---------------------------------------------------------------- promotion
def _promote(x: dtype, y: dtype) -> dtype | None:
    if x is y:
        return x
    if x.rank < 0 or y.rank < 0:  # the wide unsigned integers promote to a floating type and to nothing else
        other = y if x.rank < 0 else x
        return other if other.category == FLOATING else None
    low, high = (x, y) if x.category <= y.category else (y, x)
    if low.category != high.category:
        if high is complex32 and low in (bfloat16, float32):
            return complex64
        return complex128 if high.category == COMPLEX and low is float64 else high
    if {x, y} == {float16, bfloat16}:
        return float32
    if low.category == INTEGER and {x, y} == {uint8, int8}:
        return int16
    return x if x.rank > y.rank else y


_TABLE: dict[tuple[dtype, dtype], dtype | None] = {(x, y): _promote(x, y) for x in ALL for y in ALL}


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type, by PyTorch's table, that can stand for both."""
    found = _TABLE.get((type1, type2))
    if found is None:
        if type(type1) is not dtype or type(type2) is not dtype:
            wrong = "'type1' (position 1)" if type(type1) is not dtype else "'type2' (position 2)"
            given = type1 if type(type1) is not dtype else type2
            raise TypeError(f"promote_types(): argument {wrong} must be torch.dtype, not {given.__class__.__name__}")
        raise RuntimeError(
            f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {type1.name} and {type2.name}; convert one "
            "of them with .to(...) first"
        )
    return found


def combine(dims: dtype | None, zero_dim: dtype | None, numbers: dtype | None) -> dtype:
    """Result type from what the arrays, the 0-d tensors and the Python numbers promote to, each weaker than the one before."""
    found = _combine_categories(dims, _combine_categories(zero_dim, numbers))
    assert found is not None
    return found


def _combine_categories(higher: dtype | None, lower: dtype | None) -> dtype | None:
    if higher is None or lower is None:
        return higher or lower
    if higher.is_complex:
        return higher
    if higher.is_floating_point:
        return higher.to_complex() if lower.is_complex else higher
    if higher.rank < 0 and lower.is_complex:  # within a category there is no such promotion, across categories there is
        return lower
    if higher is bool_ or lower.category >= FLOATING:
        return promote_types(higher, lower)
    return higher


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether PyTorch's casting rules let a result of type `from_` be written into a tensor of type `to`."""
    for position, (name, given) in enumerate((("from_", from_), ("to", to)), 1):
        if type(given) is not dtype:
            raise TypeError(f"can_cast(): argument '{name}' (position {position}) must be torch.dtype, not {given.__class__.__name__}")
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and to.category < FLOATING:
        return False
    return not (from_.category == INTEGER and to is bool_)


# ---------------------------------------------------------------- defaults
_default: list[dtype] = [float32]


def get_default_dtype() -> dtype:
    """The dtype of floating tensors made without one."""
    return _default[0]


def set_default_dtype(d: Any) -> None:
    """Choose the dtype of floating tensors made without one; complex ones follow it."""
    chosen = as_dtype(d)
    if not chosen.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, not {chosen}")
    numpy_dtype(chosen)
    _default[0] = chosen


def number_dtype(number: Any) -> dtype:
    """The dtype that a Python (or NumPy) number stands for in promotion."""
    if isinstance(number, (bool, np.bool_)):
        return bool_
    if isinstance(number, (int, np.integer)):
        return int64
    if isinstance(number, (float, np.floating)):
        return _default[0]
    if isinstance(number, (complex, np.complexfloating)):
        return _default[0].to_complex()
    advice = "; write ndgrad.from_numpy(array) to use a numpy.ndarray's memory as a tensor" if isinstance(number, np.ndarray) else ""
    raise TypeError(f"a number was expected, not {type(number).__name__}{advice}")


def names_left_out() -> frozenset[str]:
    """The dtypes that a printed tensor does not name."""
    return frozenset((_default[0].name, _default[0].to_complex().name, "int64", "bool"))


# ---------------------------------------------------------------- limits
_FINFO_BFLOAT16 = {"bits": 16, "eps": 2.0**-7, "max": 3.3895313892515355e38, "tiny": 2.0**-126, "resolution": 0.01}


class finfo:
    """Limits of a floating type (of the parts of a complex one): bits, eps, max, min, tiny, smallest_normal, resolution."""

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: dtype | None = None) -> None:
        given = _default[0] if type is None else type
        if not (given.is_floating_point or given.is_complex):
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{given}'")
        real = given.to_real()
        limits: dict[str, Any] = _FINFO_BFLOAT16
        if real is not bfloat16:
            found = np.finfo(numpy_dtype(real))
            names = ("bits", "eps", "max", "tiny", "resolution")
            limits = {name: getattr(found, name) for name in names}
        self.bits = int(limits["bits"])
        self.eps, self.max, self.tiny = float(limits["eps"]), float(limits["max"]), float(limits["tiny"])
        self.resolution = float(str(limits["resolution"]))
        self.min, self.smallest_normal, self.dtype = -self.max, self.tiny, real.name

    def __repr__(self) -> str:
        names: Iterable[str] = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{name}={getattr(self, name):.6g}' for name in names)}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


class iinfo:
    """Limits of an integer type: bits, min, max."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: dtype) -> None:
        if type.category > INTEGER:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        if type is bool_:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        limits = np.iinfo(numpy_dtype(type))
        self.bits, self.min, self.max, self.dtype = int(limits.bits), int(limits.min), int(limits.max), type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)
