"""`Tensor`: an array, the node that made it, its version counter and, for a view, its base. No mathematics.

What the payload alone says, such as the shape, is in `ndgrad.core.attributes`. Methods that compute are bound in `ndgrad.ops`, those of
reverse mode in `ndgrad.autograd`, and copying and pickling in `ndgrad.core`.
"""

from __future__ import annotations

import opcode
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import cpp_name, dtype, names_left_out, type_name
from ndgrad.base.dtypes import dtype as dtype_type
from ndgrad.base.location import NOWHERE, describe, place, tracing
from ndgrad.base.storage import address
from ndgrad.base.types import Array, Payload
from ndgrad.core.attributes import Attributes
from ndgrad.core.batches import CONTROL_FLOW, NO_STORAGE, Batch, batch_of
from ndgrad.core.cuts import Cut, note
from ndgrad.core.printing import batch_text, tensor_text

if TYPE_CHECKING:
    from ndgrad.core.methods import Methods
    from ndgrad.core.node import Node
    from ndgrad.core.views import View
else:
    Methods = object  # the methods that compute are bound in ndgrad.ops

new = object.__new__


class LeafMark:
    """What a leaf that requires grad has instead of a node; edges then lead to the leaf itself."""

    def __repr__(self) -> str:
        return "<leaf>"


LEAF: Any = LeafMark()


class InferenceVersion:
    """Stands in for the version counter of an inference tensor: whoever asks for a version gets the reason why there is none."""

    def __getitem__(self, index: int) -> int:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in computation tracked by "
            "autograd. To work around this, you can make a clone to get a normal tensor and use it in autograd, or use `torch.no_grad()` "
            "instead of `torch.inference_mode()`."
        )


INFERENCE: Any = InferenceVersion()


#: The `grad_dtype` of tensors for which none was chosen.
UNSET: Any = object()


class Tensor(Attributes, Methods):
    """An n-dimensional array that operations on it can be differentiated through.

    Attributes of the implementation
    --------------------------------
    _a : the payload: an ndarray, or a NumPy scalar while nobody has asked for the memory of a 0-d tensor.
    _node : the node or port that made it, `LEAF` for a leaf that requires grad, None where no gradient is recorded.
    _v : the version counter, a one-element list shared by everything that shares the memory; None until somebody needs it
        (a list is the cheapest mutable cell there is). Further elements say who changed it last, and what kind of node was recorded.
    _view : for a view, its base and how it was made (`ndgrad.core.views.View`).
    """

    __slots__ = ("__dict__", "__weakref__", "_a", "_node", "_v", "_view")

    _a: Array  # or a NumPy scalar, which has all the attributes that are read here
    _node: Any
    _v: Any
    _view: View | None

    if TYPE_CHECKING:
        _outdate_views: ClassVar[Callable[[Tensor], None]]  # bound in ndgrad.core
        _backward_hooks: Any  # bound in ndgrad.autograd

    # rarely set, so class attributes stand in until they are
    _grad: Tensor | None = None
    _hooks: Any = None
    _post_accumulate_hooks: Any = None
    _accumulator: Any = None
    _cut: Cut | None = None
    _grad_dtype: Any = UNSET
    _owner: Any = None  # the mark of the transform that differentiates by this leaf

    # NumPy must leave `array * tensor` to the tensor instead of looping over it
    __array_ufunc__: ClassVar[None] = None
    __hash__ = object.__hash__

    # ---------------------------------------------------------------- its place in the graph
    def _refresh(self) -> Any:
        """The node, made anew where the memory of a view has changed under it."""
        view = self._view
        if view is not None and view.seen != self._v[0]:
            view.refresh(self)
        return self._node

    @property
    def requires_grad(self) -> bool:
        node, view = self._node, self._view
        if view is None or view.base._node is not None:
            return view is not None or node is not None
        return node is not None and (node is not LEAF or getattr(view, "own", False))

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise RuntimeError("requires_grad must be a bool")
        node = self._known_node()
        if node is not None and node is not LEAF:
            advice = (
                ""
                if value
                else " If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = "
                "var.detach()."
            )
            raise RuntimeError(
                f"you can only change requires_grad flags of leaf variables.{advice} (This one was computed by {node.name()} at "
                f"{node.where()}.)"
            )
        if value and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError(f"only Tensors of floating point and complex dtype can require gradients; this one is {self.dtype}")
        if self._v is INFERENCE and value and not modes.is_inference_mode_enabled():
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed. Make a clone first: "
                "t.clone().requires_grad_()"
            )
        before, view = self._node is not None, self._view
        self._node = LEAF if value or (view is not None and view.base._node is not None) else None
        if before and not value:
            self._cut = note("requires_grad = False")
        elif value and self._cut:
            del self._cut
        if view is not None:
            view.own = bool(value)
        elif before != bool(value) and self._v is not None and sys.getrefcount(self._v) > 2:
            self._outdate_views()  # somebody else has the version counter: views perhaps

    def _inherits(self) -> bool:
        """Whether this is a view that requires grad as its base does, and that no gradient comes back to: it was made before the
        base did, or in no_grad."""
        return self._node is LEAF and self._view is not None and not getattr(self._view, "own", False)

    @property
    def grad_fn(self) -> Node | None:
        view = self._view
        if view is not None and view.seen != self._v[0]:
            view.refresh(self, always=True)
        node = self._node
        return None if node is None or node is LEAF else node.node_of().face()

    @property
    def output_nr(self) -> int:
        node = self._known_node()
        return 0 if node is None or node is LEAF else node.output_nr

    def _known_node(self) -> Any:
        """The node, made anew where that is allowed: a view that may not be used any more may still be asked."""
        return self._refresh() if self._view is None or self._view.origin == "default" else self._node

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad_dtype(self) -> dtype_type | None:
        """The dtype that `.grad` must have: the tensor's own unless another was set; None if any will do."""
        if not self.is_leaf:
            raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
        return self.dtype if self._grad_dtype is UNSET else self._grad_dtype

    @grad_dtype.setter
    def grad_dtype(self, value: dtype_type | None) -> None:
        if value is not None and not isinstance(value, dtype):
            raise RuntimeError(f"grad_dtype must be a torch.dtype or None, but got {type(value).__name__}")
        if self._grad is not None and value is not None and self._grad.dtype is not value:
            raise RuntimeError(
                f"Cannot set grad_dtype to '{type_name(value)}' because there is already a gradient with dtype "
                f"'{cpp_name(self._grad.dtype)}'. Please clear the gradient (.grad = None) before changing grad_dtype, or ensure the new "
                "grad_dtype matches the existing gradient's dtype."
            )
        if not self.is_leaf:
            raise RuntimeError("grad_dtype can only be set on leaf tensors.")
        self._grad_dtype = value

    @property
    def _version(self) -> int:
        cell = self._v
        if cell is INFERENCE:
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0 if cell is None else cell[0]

    def is_inference(self) -> bool:
        """Whether the tensor was made in inference mode (a view of one counts)."""
        return self._v is INFERENCE

    @property
    def _base(self) -> Tensor | None:
        return None if self._view is None else self._view.base

    def _is_view(self) -> bool:
        return self._view is not None

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and self._known_node() not in (None, LEAF) and not self.retains_grad:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. It stays None: gradients are kept for leaves "
                f"only, and this tensor was computed by {self._node.name()} at {self._node.where()}. Call .retain_grad() on it before "
                "backward() to keep its gradient, or read .grad of the leaf that was meant.",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            self._grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        expected = self.dtype if self._grad_dtype is UNSET else self._grad_dtype
        if expected is not None and value.dtype is not expected:
            raise RuntimeError(
                f"attempting to assign a gradient with dtype '{cpp_name(value.dtype)}' to a tensor with grad_dtype "
                f"'{type_name(expected)}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's dtype). Convert it "
                f"with .to({expected}), or set grad_dtype (None accepts any dtype)."
            )
        if value._a.shape != self._a.shape:
            raise RuntimeError(
                f"attempting to assign a gradient of size '{list(value._a.shape)}' to a tensor of size '{list(self._a.shape)}'. "
                "Please ensure that the gradient and the tensor are the same size."
            )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def retains_grad(self) -> bool:
        node = self._node
        return node is not None and node is not LEAF and node.retains(self)

    # ---------------------------------------------------------------- memory
    def _memory(self) -> Array:
        """The payload as an array whose memory others may share from now on."""
        array = self._a
        if not isinstance(array, (np.ndarray, Batch)):
            array = self._a = np.asarray(array)
        return array

    def data_ptr(self) -> int:
        """The address of the first element; 0 for an empty tensor."""
        memory = self._memory()
        batch = batch_of(memory)
        if batch is not None:
            batch.refuse(NO_STORAGE)
        return address(memory) if memory.size else 0

    def _cell(self) -> list[Any]:
        """The version counter, made on first use."""
        cell: list[Any] | None = self._v
        if cell is None:
            cell = self._v = [0]
        return cell

    @property
    def data(self) -> Tensor:
        memory = self._memory()
        if batch_of(memory) is not None:
            raise RuntimeError("accessing `data` under vmap transform is not allowed: write x.detach()")
        out = wrap(memory)
        out._v = INFERENCE if self._v is INFERENCE else [0]
        if self._node is not None:
            out._cut = note(".data")
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._node is not None and not (value.dtype.is_floating_point or value.dtype.is_complex):
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        memory = value._memory()
        if batch_of(memory) is not None or batch_of(self._a) is not None:
            raise RuntimeError(
                "mutating directly with `.data` under vmap transform is not allowed. Write x.copy_(value), or compute a new tensor and "
                "return it."
            )
        self._a = memory

    def numpy(self, *, force: bool = False) -> Array:
        """The tensor's memory as a NumPy array: no copy, writes show on both sides.

        Raises
        ------
        RuntimeError
            If the tensor requires grad, unless `force`: the array would silently leave the graph.
        """
        if self._refresh() is not None and not force and modes.is_grad_enabled():
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self._node is not None:
            note("numpy()")
        memory = self._memory()
        batch = batch_of(memory)
        if batch is not None:
            batch.refuse(NO_STORAGE)
        return memory

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """The one element as a Python number."""
        if self._a.size != 1:
            raise RuntimeError(f"a Tensor with {self._a.size} elements cannot be converted to Scalar")
        if self._node is not None:
            note("item()")
        return self._a.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        if self._node is not None:
            note("tolist()")
        return self._a.tolist()

    # ---------------------------------------------------------------- Python's protocol
    def __bool__(self) -> bool:
        array: Any = self._a
        if type(array) is Batch:
            array.refuse(CONTROL_FLOW)
        if array.size != 1:
            many = "more than one value" if array.size else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
        return bool(array.item())

    def __float__(self) -> float:
        return float(self._number("double"))

    def __int__(self) -> int:
        return int(self._number("int64_t"))

    def __complex__(self) -> complex:
        return complex(self._number(""))

    def _number(self, real: str) -> Any:
        """The one element; a complex one is refused where a `real` type is wanted, unless its imaginary part is 0."""
        if self._a.size != 1:
            raise ValueError(f"only one element tensors can be converted to Python scalars; this one has shape {list(self._a.shape)}")
        if self._node is not None:
            note("a conversion to a Python number")
        value = self._a.item()
        if real and isinstance(value, complex):
            if value.imag:
                raise RuntimeError(f"value cannot be converted to type {real} without overflow: it is {value}")
            return value.real
        return value

    def __index__(self) -> int:
        if self._a.size != 1 or self._a.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._a.item())

    def __len__(self) -> int:
        if self._a.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._a.shape[0]

    def __format__(self, spec: str) -> str:
        if self._a.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        suffixes: list[str] = []
        try:
            node = self._refresh()
        except RuntimeError:  # a view that may not be used any more
            suffixes.append("grad_fn=<Invalid>")
            node = None
        if node is LEAF:
            suffixes.append("requires_grad=True")
        elif node is not None:
            suffixes.append(f"grad_fn=<{type(node.node_of()).__name__}>")
        suffixes += filter(None, [observer.suffix(self) for observer in modes.current().observers])
        payload: Any = self._a
        if type(payload) is Batch:
            return batch_text(payload, suffixes)
        return tensor_text(
            np.asarray(payload), dtype_name=self.dtype.name, default_names=names_left_out(), suffixes=suffixes, label="tensor"
        )

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__class__), *self.__dict__})


def wrap(payload: Payload, node: Any = None) -> Tensor:
    """A tensor around a payload that nothing else owns."""
    out = new(Tensor)
    out._a = payload
    out._node = node
    out._v = None
    out._view = None
    return out


def mark_modified(tensor: Tensor, name: str) -> None:
    """Count one change of the tensor's memory and, where somebody may care, remember what made it and where."""
    cell = tensor._v
    if cell is None:
        tensor._v = [1]
    elif cell is not INFERENCE:
        cell[0] += 1
        cell[1:4] = (name, *(place() if tracing.on else NOWHERE))


def modified_by(cell: list[Any]) -> str:
    """Who changed the memory last, for an error message; empty if that is not known."""
    if len(cell) <= 3:
        return ""
    name, code, instruction = cell[1:4]
    if code is not None and code.co_code[instruction] == STORE_SUBSCR:
        name = "__setitem__"  # which may have left the writing to an operation of another name
    return f"{name} at {describe(code, instruction)}"


#: What Python runs for `t[key] = value`.
STORE_SUBSCR = opcode.opmap["STORE_SUBSCR"]


#: Types whose instances the fast lanes may take apart: no transform, no override, just a payload and a node.
plain: set[type] = {Tensor}


if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
    # Without a global lock two threads that save a tensor for the first time could each make a version counter, and a later write would go
    # unnoticed by one of them: there a counter is made when it is first looked at, under a lock.
    _slot: Any = vars(Tensor)["_v"]
    _making = threading.RLock()

    class _Counter:
        """The slot `_v`, never empty."""

        def __get__(self, tensor: Tensor | None, owner: Any = None) -> Any:
            if tensor is None:
                return self
            cell = _slot.__get__(tensor)
            if cell is None:
                with _making:
                    cell = _slot.__get__(tensor)
                    if cell is None:
                        cell = [0]
                        _slot.__set__(tensor, cell)
            return cell

        def __set__(self, tensor: Tensor, cell: Any) -> None:
            _slot.__set__(tensor, cell)

    Tensor._v = _Counter()
