"""The attributes of a tensor: what its payload alone says of it, whoever made it and whatever is recorded."""

from __future__ import annotations

from typing import Any, Self

from ndgrad.base.devices import CPU, check_device, device, layout, strided
from ndgrad.base.dtypes import dtype, from_numpy_dtype
from ndgrad.base.shapes import is_contiguous, wrap_dim
from ndgrad.base.size import Size, as_size
from ndgrad.base.storage import address, element_strides, owner_of
from ndgrad.base.types import Array


class Attributes:
    """The part of `Tensor` that asks for nothing but the payload."""

    __slots__ = ()

    _a: Array

    @property
    def shape(self) -> Size:
        return as_size(self._a.shape)

    @property
    def dtype(self) -> dtype:
        return from_numpy_dtype[self._a.dtype]

    @property
    def device(self) -> device:
        return CPU

    @property
    def layout(self) -> layout:
        return strided

    @property
    def ndim(self) -> int:
        return self._a.ndim

    def dim(self) -> int:
        """The number of dimensions."""
        return self._a.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._a.size

    nelement = numel

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return as_size(self._a.shape)
        shape = self._a.shape
        if not hasattr(dim, "__index__"):
            raise TypeError(f"size(): argument 'dim' (position 1) must be int, not {type(dim).__name__}")
        if not -len(shape) <= dim < len(shape):
            bounds = f"[{-max(len(shape), 1)}, {max(len(shape), 1) - 1}]"
            if not shape:
                raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
            raise IndexError(f"Dimension out of range (expected to be in range of {bounds}, but got {dim})")
        return shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        """The steps in memory, in elements, from one index to the next of each dimension."""
        strides = element_strides(self._a)
        return strides if dim is None else strides[wrap_dim(dim, len(strides))]

    def storage_offset(self) -> int:
        """The position of the first element in the memory that the tensor is a view of, in elements."""
        array = self._a
        owner = owner_of(array)
        return 0 if owner is array else (address(array) - address(owner)) // array.itemsize

    def element_size(self) -> int:
        """Bytes per element."""
        return self._a.itemsize

    @property
    def itemsize(self) -> int:
        return self._a.itemsize

    @property
    def nbytes(self) -> int:
        return self._a.size * self._a.itemsize

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements stand in memory in row-major order."""
        array = self._a
        if array.ndim == 0 or (array.flags.c_contiguous and array.size):
            return True
        return is_contiguous(array.shape, tuple(step // array.itemsize for step in array.strides))

    def is_floating_point(self) -> bool:
        """Whether the elements are floating point numbers."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the elements can be negative."""
        return self.dtype.is_signed

    is_cuda = is_mps = is_sparse = is_quantized = is_meta = is_mkldnn = is_nested = False
    is_cpu = True
    names = property(lambda self: (None,) * self._a.ndim)

    # ---------------------------------------------------------------- devices, of which there is one
    def get_device(self) -> int:
        """The number of the device; -1 stands for the CPU."""
        return -1

    def cpu(self, memory_format: Any = None) -> Self:
        """The tensor itself: there is no other device."""
        return self

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Self:
        """There is no CUDA device here; always an error."""
        check_device("cuda" if device is None else device)
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the memory is pinned for another device: never."""
        return False

    def pin_memory(self, device: Any = None) -> Self:
        """The tensor itself: memory is pinned only for the sake of other devices."""
        return self
