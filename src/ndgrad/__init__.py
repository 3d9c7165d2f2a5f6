"""ndgrad: PyTorch's automatic differentiation on NumPy. `import ndgrad as torch`."""

from importlib import import_module as _import_module
from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi
from typing import TYPE_CHECKING, Any

from ndgrad import autograd as autograd
from ndgrad import backends as backends
from ndgrad import cuda as cuda
from ndgrad import linalg as linalg
from ndgrad import nn as nn
from ndgrad import random as random
from ndgrad import special as special
from ndgrad import utils as utils
from ndgrad.autograd import enable_grad as enable_grad
from ndgrad.autograd import inference_mode as inference_mode
from ndgrad.autograd import no_grad as no_grad
from ndgrad.autograd import set_grad_enabled as set_grad_enabled
from ndgrad.autograd.anomaly_mode import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from ndgrad.autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
from ndgrad.autograd.anomaly_mode import set_anomaly_enabled as set_anomaly_enabled
from ndgrad.base import return_types as return_types
from ndgrad.base.devices import contiguous_format as contiguous_format
from ndgrad.base.devices import device as device
from ndgrad.base.devices import layout as layout
from ndgrad.base.devices import memory_format as memory_format
from ndgrad.base.devices import preserve_format as preserve_format
from ndgrad.base.devices import strided as strided
from ndgrad.base.dtypes import bfloat16 as bfloat16
from ndgrad.base.dtypes import bool_ as bool_
from ndgrad.base.dtypes import can_cast as can_cast
from ndgrad.base.dtypes import complex32 as complex32
from ndgrad.base.dtypes import complex64 as complex64
from ndgrad.base.dtypes import complex128 as complex128
from ndgrad.base.dtypes import dtype as dtype
from ndgrad.base.dtypes import finfo as finfo
from ndgrad.base.dtypes import float16 as float16
from ndgrad.base.dtypes import float32 as float32
from ndgrad.base.dtypes import float64 as float64
from ndgrad.base.dtypes import get_default_dtype as get_default_dtype
from ndgrad.base.dtypes import iinfo as iinfo
from ndgrad.base.dtypes import int8 as int8
from ndgrad.base.dtypes import int16 as int16
from ndgrad.base.dtypes import int32 as int32
from ndgrad.base.dtypes import int64 as int64
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
from ndgrad.base.settings import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from ndgrad.base.settings import compiled_with_cxx11_abi as compiled_with_cxx11_abi
from ndgrad.base.settings import get_default_device as get_default_device
from ndgrad.base.settings import get_deterministic_debug_mode as get_deterministic_debug_mode
from ndgrad.base.settings import get_float32_matmul_precision as get_float32_matmul_precision
from ndgrad.base.settings import is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled
from ndgrad.base.settings import is_warn_always_enabled as is_warn_always_enabled
from ndgrad.base.settings import set_default_device as set_default_device
from ndgrad.base.settings import set_deterministic_debug_mode as set_deterministic_debug_mode
from ndgrad.base.settings import set_float32_matmul_precision as set_float32_matmul_precision
from ndgrad.base.settings import set_flush_denormal as set_flush_denormal
from ndgrad.base.settings import set_warn_always as set_warn_always
from ndgrad.base.settings import use_deterministic_algorithms as use_deterministic_algorithms
from ndgrad.base.size import Size as Size
from ndgrad.base.threads import get_num_interop_threads as get_num_interop_threads
from ndgrad.base.threads import get_num_threads as get_num_threads
from ndgrad.base.threads import set_num_interop_threads as set_num_interop_threads
from ndgrad.base.threads import set_num_threads as set_num_threads
from ndgrad.compat import install_as_torch as install_as_torch
from ndgrad.core.printing import set_printoptions as set_printoptions
from ndgrad.core.tensor import Tensor as Tensor
from ndgrad.nn.functional.native import batch_norm as batch_norm
from ndgrad.nn.functional.native import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from ndgrad.nn.functional.native import cosine_embedding_loss as cosine_embedding_loss
from ndgrad.nn.functional.native import embedding as embedding
from ndgrad.nn.functional.native import hinge_embedding_loss as hinge_embedding_loss
from ndgrad.nn.functional.native import kl_div as kl_div
from ndgrad.nn.functional.native import layer_norm as layer_norm
from ndgrad.nn.functional.native import margin_ranking_loss as margin_ranking_loss
from ndgrad.nn.functional.native import poisson_nll_loss as poisson_nll_loss
from ndgrad.nn.functional.native import rms_norm as rms_norm
from ndgrad.nn.functional.native import triplet_margin_loss as triplet_margin_loss
from ndgrad.ops import functions as _functions
from ndgrad.ops.legacy import legacy_types as _legacy_types
from ndgrad.ops.legacy import set_default_tensor_type as set_default_tensor_type
from ndgrad.ops.random_numbers import Generator as Generator
from ndgrad.ops.random_numbers import default_generator as default_generator

# torch's other names of the dtypes; from here on `bool`, `int` and `float` are not Python's
bool = bool_
chalf = complex32
cfloat = complex64
cdouble = complex128
half = float16
float = float32
double = float64
short = int16
int = int32
long = int64

newaxis = None

__version__ = "0.1.0"

_configure_memory()

#: Modules that are imported when somebody asks for them.
_LATER = frozenset({"func", "profiler", "viz"})

if TYPE_CHECKING:
    from ndgrad import func as func
    from ndgrad import profiler as profiler
    from ndgrad import viz as viz
    from ndgrad.func import vmap as vmap
    from ndgrad.functions import *  # noqa: F403  the names that the table gives, written down for type checkers
else:
    globals().update(_functions())
    globals().update(_legacy_types())

    def __getattr__(name: str) -> Any:  # type checkers would take it for a promise that every name exists
        if name in _LATER:
            return _import_module(f"ndgrad.{name}")
        if name == "vmap":
            return _import_module("ndgrad.func").vmap
        raise AttributeError(f"module 'ndgrad' has no attribute '{name}'")
