"""ndgrad: PyTorch's automatic differentiation on NumPy. `import ndgrad as torch`."""

from typing import Any

from ndgrad import autograd as autograd
from ndgrad.autograd import enable_grad as enable_grad
from ndgrad.autograd import inference_mode as inference_mode
from ndgrad.autograd import no_grad as no_grad
from ndgrad.autograd import set_grad_enabled as set_grad_enabled
from ndgrad.base.devices import contiguous_format as contiguous_format
from ndgrad.base.devices import device as device
from ndgrad.base.devices import layout as layout
from ndgrad.base.devices import memory_format as memory_format
from ndgrad.base.devices import preserve_format as preserve_format
from ndgrad.base.devices import strided as strided
from ndgrad.base.dtypes import bfloat16 as bfloat16
from ndgrad.base.dtypes import bool_ as bool  # noqa: A004  torch's own name
from ndgrad.base.dtypes import can_cast as can_cast
from ndgrad.base.dtypes import complex32 as complex32
from ndgrad.base.dtypes import complex32 as chalf
from ndgrad.base.dtypes import complex64 as cfloat
from ndgrad.base.dtypes import complex64 as complex64
from ndgrad.base.dtypes import complex128 as cdouble
from ndgrad.base.dtypes import complex128 as complex128
from ndgrad.base.dtypes import dtype as dtype
from ndgrad.base.dtypes import finfo as finfo
from ndgrad.base.dtypes import float16 as float16
from ndgrad.base.dtypes import float16 as half
from ndgrad.base.dtypes import float32 as float  # noqa: A004  torch's own name
from ndgrad.base.dtypes import float32 as float32
from ndgrad.base.dtypes import float64 as double
from ndgrad.base.dtypes import float64 as float64
from ndgrad.base.dtypes import get_default_dtype as get_default_dtype
from ndgrad.base.dtypes import iinfo as iinfo
from ndgrad.base.dtypes import int8 as int8
from ndgrad.base.dtypes import int16 as int16
from ndgrad.base.dtypes import int16 as short
from ndgrad.base.dtypes import int32 as int  # noqa: A004  torch's own name
from ndgrad.base.dtypes import int32 as int32
from ndgrad.base.dtypes import int64 as int64
from ndgrad.base.dtypes import int64 as long
from ndgrad.base.dtypes import promote_types as promote_types
from ndgrad.base.dtypes import set_default_dtype as set_default_dtype
from ndgrad.base.dtypes import uint8 as uint8
from ndgrad.base.dtypes import uint16 as uint16
from ndgrad.base.dtypes import uint32 as uint32
from ndgrad.base.dtypes import uint64 as uint64
from ndgrad.base.memory import configure as _configure_memory
from ndgrad.base.memory import keep_freed_memory as keep_freed_memory
from ndgrad.base.modes import is_grad_enabled as is_grad_enabled
from ndgrad.base.modes import is_inference_mode_enabled as is_inference_mode_enabled
from ndgrad.base.size import Size as Size
from ndgrad.core.printing import set_printoptions as set_printoptions
from ndgrad.core.tensor import Tensor as Tensor
from ndgrad.ops import functions as _functions

__version__ = "0.1.0"

_configure_memory()
globals().update(_functions())


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'ndgrad' has no attribute '{name}'")
