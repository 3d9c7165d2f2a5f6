"""`backward` and `grad`: what users call, their arguments checked and turned into edges and cotangents."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.engine import run_backward
from ndgrad.autograd.graph import GradientEdge
from ndgrad.autograd.hooks import retain_grad
from ndgrad.base import modes
from ndgrad.base.dtypes import from_numpy_dtype
from ndgrad.base.naming import name_in_program
from ndgrad.base.nesting import nesting, refuse_backward
from ndgrad.base.size import as_size
from ndgrad.base.types import Shape
from ndgrad.core.batching import at_once
from ndgrad.core.cuts import in_words, latest, recent_in_words
from ndgrad.core.node import AccumulateGrad, Node, Port, edge_of, tick
from ndgrad.core.observers import follows_tensors
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.ops import ops as functions


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` with respect to the leaves of their graph to the leaves' `.grad`.

    Parameters
    ----------
    tensors : a tensor or a sequence of tensors.
    grad_tensors : the cotangent of each, of the same shape; may be left out for tensors of one element.
    retain_graph : keep what the graph saved, for another backward; by default the value of `create_graph`.
    create_graph : record the backward itself, for derivatives of higher order.
    inputs : accumulate only into these tensors: one, several, or a dict of them.
    """
    refuse_backward()
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    targets = None
    if inputs is not None:
        targets = list(check_mapping(inputs, "backward").values()) if isinstance(inputs, Mapping) else as_tensors(inputs)
        if not targets:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = as_tensors(tensors)
    pairs = make_roots(roots, grad_tensors, create_graph)
    if retain_graph is None:
        retain_graph = create_graph
    edges = None
    if targets is not None:
        for target in targets:
            if isinstance(target, Tensor):
                retain_grad(target)  # which refuses one that does not require grad
        edges = [input_edge(target, position) for position, target in enumerate(targets)]
    run_backward(pairs, retain_graph=retain_graph, create_graph=create_graph, inputs=edges)


def check_mapping(inputs: Any, name: str) -> dict[Any, Any]:
    """The inputs, if they are exactly a dict."""
    if type(inputs) is not dict:
        raise TypeError(
            f"`inputs` argument to `{name}()` must be a dict, not {type(inputs).__name__}. Other Mapping types are not supported."
        )
    found: dict[Any, Any] = inputs
    return found


class Unreachable(Node):
    """The edge of a view that requires grad only because its base does: nothing leads there."""

    __slots__ = ()

    def __init__(self) -> None:
        self.parents, self.number = (), tick()


def input_edge(target: Any, position: int) -> Any:
    """The edge of a tensor (or of the tensor that a `GradientEdge` stands for) that gradients are wanted for."""
    if isinstance(target, GradientEdge):
        return edge_behind(target)
    if not isinstance(target, Tensor):
        raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(target).__name__} at position {position}")
    edge = edge_of(target)
    if edge is None and target.requires_grad:
        return Unreachable()
    if edge is None:
        raise RuntimeError(
            f"One of the differentiated Tensors does not require grad: the one at position {position}{called(target)}, of shape "
            f"{list(target._a.shape)}{why_cut(target, made=False)}"
        )
    return edge


def edge_behind(given: GradientEdge) -> Any:
    """The engine's form of an edge that users hold: a leaf, a node, or one output of a node."""
    node = given.node
    if isinstance(node, AccumulateGrad):
        return node.variable
    node = node.node_of()
    return node if node.outputs == 1 else Port(node, given.output_nr)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; `.grad` is not touched.

    Parameters
    ----------
    grad_outputs : the cotangent of each output; may be left out for outputs of one element.
    allow_unused : give None for an input that the outputs do not depend on, instead of raising.
    materialize_grads : give zeros for such an input.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    if allow_unused is None:
        allow_unused = materialize_grads
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other parts of the "
            "graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    roots = as_tensors(outputs)
    names: list[Any] | None = None
    if isinstance(inputs, Mapping):
        inputs = check_mapping(inputs, "grad")
        names, targets = list(inputs), list(inputs.values())
    else:
        targets = as_tensors(inputs)
    if not targets:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if retain_graph is None:
        retain_graph = create_graph
    if is_grads_batched:
        return batched(roots, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    edges = [input_edge(target, position) for position, target in enumerate(targets)]
    pairs = make_roots(roots, grad_outputs, create_graph)
    found = run_backward(pairs, retain_graph=retain_graph, create_graph=create_graph, inputs=edges, accumulate=False)
    results: list[Any] = []
    taken = {id(g) for _, g in pairs if isinstance(g, Tensor)}
    for position, (target, value) in enumerate(zip(targets, found, strict=True)):
        if value is not None:
            results.append(distinct(value, taken) if isinstance(value, Tensor) else fresh(value, taken))
            taken.add(id(value))
        elif materialize_grads and isinstance(target, GradientEdge):
            raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
        elif materialize_grads:
            results.append(functions.zeros_like(target))
        elif allow_unused:
            results.append(None)
        else:
            raise RuntimeError(
                f"The differentiated Tensor at index {position} appears to not have been used in the graph. Set allow_unused=True if this "
                f"is the desired behavior. {of_input(target, names, position)}"
            )
    return dict(zip(names, results, strict=True)) if names is not None else tuple(results)


def of_input(target: Any, names: list[Any] | None, position: int) -> str:
    """Which input an error is about, beyond its number."""
    name = "" if names is None else f"Its name is {names[position]!r}. "
    if not isinstance(target, Tensor):
        return name
    own = name_in_program(target)
    return f"{name}Its shape is {list(target._a.shape)}." + (f" The program calls it {own}." if own else "")


def called(target: Tensor) -> str:
    """What the program calls a tensor, in parentheses."""
    own = name_in_program(target)
    return f" ({own})" if own else ""


def fresh(value: Any, taken: set[int]) -> Tensor:
    """A raw gradient as a tensor; one that several inputs received is copied so that the results share no memory.

    `taken` : the identities of what was given and of the results so far.
    """
    return wrap(value.copy() if isinstance(value, np.ndarray) and id(value) in taken else value)


def distinct(value: Tensor, taken: set[int]) -> Tensor:
    """The same for a recorded gradient, which may also be one of the given cotangents itself."""
    return recorded.clone(value) if id(value) in taken else value


def batched(
    roots: list[Any], inputs: Any, grad_outputs: Any, retain_graph: bool, create_graph: bool, allow_unused: bool, materialize_grads: bool
) -> Any:
    """`grad` for each index of the first dim of the cotangents, all at once, the results stacked."""
    if any(isinstance(root, GradientEdge) for root in roots):
        raise RuntimeError("Batched grads are not supported for GradientEdge outputs")
    given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or ())
    if len(given) != len(roots) or not all(isinstance(g, Tensor) and g._a.ndim for g in given):
        raise RuntimeError("grad(): with is_grads_batched=True every output needs a grad_output whose first dim is the batch")
    sizes = {g._a.shape[0] for g in given}
    if len(sizes) != 1:
        raise RuntimeError(
            f"grad(): with is_grads_batched=True the first dims of all grad_outputs must be equal, but they are {sorted(sizes)}"
        )
    for position, (root, g) in enumerate(zip(roots, given, strict=True)):
        if g._a.shape[1:] != root._a.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. The sizes of the "
                "remaining dimensions are expected to match the shape of corresponding output, but a mismatch was detected: "
                f"grad_output[{position}] has a shape of {g.shape} and output[{position}] has a shape of {root.shape}."
            )
    named = isinstance(inputs, Mapping)

    def one(*cotangents: Tensor) -> tuple[Tensor | None, ...]:
        found = grad(roots, inputs, cotangents, retain_graph, create_graph, True, allow_unused, False, materialize_grads)
        return tuple(found.values()) if named else found

    stacked = at_once(one, given)
    return dict(zip(inputs, stacked, strict=True)) if named else tuple(stacked)


def as_tensors(value: Any) -> list[Any]:
    """The one tensor (or edge) that was given, or the several, as a list."""
    return [value] if isinstance(value, (Tensor, GradientEdge)) else list(value)


#: The cotangents that roots of one element have if nothing else is said.
ONES = {np.dtype(kind): kind(1) for kind in (np.float16, np.float32, np.float64)}


def make_roots(roots: Sequence[Any], cotangents: Any, create_graph: bool) -> list[tuple[Any, Any]]:
    """Pairs of a root's edge and its cotangent, checked."""
    given: list[Any] = [None] * len(roots)
    if cotangents is not None:
        given = as_tensors(cotangents) if isinstance(cotangents, (Tensor, Iterable)) else [cotangents]
    if len(given) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    pairs: list[tuple[Any, Any]] = []
    for position, (root, g) in enumerate(zip(roots, given, strict=True)):
        if isinstance(root, GradientEdge):
            edge = edge_behind(root)
            shape, kind = (edge._a if isinstance(edge, Tensor) else edge).shape, (edge._a if isinstance(edge, Tensor) else edge).dtype
        elif isinstance(root, Tensor):
            edge = edge_of(root)
            shape, kind = root._a.shape, root._a.dtype
        else:
            raise AssertionError(f"Expected output to be a torch.Tensor. Element {position} of the tensors is a {type(root).__name__}")
        if g is not None:
            check_cotangent(g, shape, kind, position)
        elif edge is not None:
            check_scalar(edge, shape, kind)
        if edge is None:
            raise RuntimeError(f"element {position} of tensors does not require grad and does not have a grad_fn{why_cut(root)}")
        if create_graph or (g is not None and follows_tensors()):
            value: Any = wrap(np.ones(shape, kind)) if g is None else g
        elif g is None:
            value = np.ones(shape, kind) if shape else kind.type(1)
        else:
            value = g._a
        pairs.append((edge, value))
    return pairs


def check_scalar(edge: Any, shape: Shape, kind: Any) -> None:
    """Refuse a root without a cotangent for which 1 cannot be meant."""
    if math.prod(shape) != 1:
        made = "" if isinstance(edge, Tensor) else f", made by {edge.name()} at {edge.where()}"
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs\nThis one has shape {list(shape)}{made}: "
            "reduce it first (t.sum().backward()) or say which gradient it has (t.backward(torch.ones_like(t)))"
        )
    if kind.kind != "f":
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {from_numpy_dtype[kind]}")


def check_cotangent(g: Any, shape: Shape, kind: Any, position: int) -> None:
    """Refuse a cotangent that does not fit its root."""
    if not isinstance(g, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    if g._a.shape != shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{position}] has a shape of {g.shape} and output[{position}] has a shape of {as_size(shape)}."
        )
    if (g._a.dtype.kind == "c") != (kind.kind == "c"):
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{position}] has a dtype of {g.dtype} and output[{position}] has a dtype of {from_numpy_dtype[kind]}."
        )


def why_cut(tensor: Tensor, made: bool = True) -> str:
    """What is known of why a tensor has no history; whether it was `made` by an operation, or as likely by hand."""
    if tensor._cut and tensor._cut[0] == "requires_grad = False":
        return f": it was frozen by {in_words(tensor._cut)}. Call requires_grad_(True) on it before it is used again"
    if tensor._cut:
        return f": it is the result of {in_words(tensor._cut)}, where its gradient ends"
    if tensor._v is INFERENCE:
        return f": it was made in inference_mode, which records nothing (entered{latest('a block of inference_mode')})"
    if tensor._a.dtype.kind not in "fc":
        return (
            f": it is {tensor.dtype}, and only floating point and complex tensors have gradients. Comparisons, argmax, conversions to "
            "integers and what is computed from their results are constants to autograd"
        )
    text = ": nothing that it was computed from has requires_grad=True, as far as it was recorded"
    advice = ". Set requires_grad=True on the tensors whose gradients are wanted, before they are used"
    if not made:
        text, advice = ". Set requires_grad=True on it before it is used", ""
    if not modes.is_grad_enabled():
        text += f". Gradients are switched off right now, by {(recent_in_words(1) or ['set_grad_enabled(False)'])[0]}"
    ends = recent_in_words(3)
    if not ends:
        return text + advice
    return f"{text}. If it should depend on something that does, look where gradients ended last: " + "; ".join(ends)


def tensor_backward(
    self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Add the gradients of this tensor with respect to the leaves of its graph to their `.grad`; see `autograd.backward`."""
    node = self._node
    if gradient is None and not create_graph and inputs is None and self._view is None and node is not None and node is not LEAF:
        payload = self._a
        if not payload.ndim and payload.dtype in ONES and not nesting.depth:  # the usual case, about which there is nothing to ask
            run_backward(((node, ONES[payload.dtype]),), retain_graph=bool(retain_graph), create_graph=False)
            return
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)
