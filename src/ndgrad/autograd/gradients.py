"""`backward` and `grad`: what users call, their arguments checked and turned into edges and cotangents."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.engine import run_backward
from ndgrad.core.node import edge_of
from ndgrad.core.tensor import LEAF, Tensor, wrap


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
    inputs : accumulate only into these tensors.
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use `grad_tensors`.")
        grad_tensors = grad_variables
    targets = None
    if inputs is not None:
        targets = as_tensors(inputs)
        if not targets:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = as_tensors(tensors)
    pairs = make_roots(roots, grad_tensors, create_graph, is_grad=False)
    if retain_graph is None:
        retain_graph = create_graph
    edges = None
    if targets is not None:
        edges = []
        for position, target in enumerate(targets):
            node = target._refresh()
            if node is None:
                raise RuntimeError(f"One of the differentiated Tensors does not require grad (inputs[{position}])")
            if node is not LEAF:
                extra = node.node_of().more()
                if extra.retain is None:
                    extra.retain = {}
                extra.retain.setdefault(node.output_nr, weakref.ref(target))
            edges.append(edge_of(target))
    run_backward(pairs, retain_graph=retain_graph, create_graph=create_graph, inputs=edges)


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
    roots = as_tensors(outputs)
    names = list(inputs) if type(inputs) is dict else None
    targets = as_tensors(list(inputs.values()) if type(inputs) is dict else inputs)
    if retain_graph is None:
        retain_graph = create_graph
    edges: list[Any] = []
    for position, target in enumerate(targets):
        if not isinstance(target, Tensor):
            raise TypeError(f"grad(): inputs[{position}] must be a Tensor, not {type(target).__name__}")
        if target._refresh() is None and not target.requires_grad:
            raise RuntimeError(f"One of the differentiated Tensors does not require grad (inputs[{position}], shape {list(target.shape)})")
        edges.append(edge_of(target))
    pairs = make_roots(roots, grad_outputs, create_graph, is_grad=True)
    found = run_backward(pairs, retain_graph=retain_graph, create_graph=create_graph, inputs=edges, accumulate=False)
    results: list[Any] = []
    for position, (target, value) in enumerate(zip(targets, found, strict=True)):
        if value is None:
            if materialize_grads:
                results.append(wrap(np.zeros(target._a.shape, target._a.dtype)))
                continue
            if not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {position} appears to not have been used in the graph. Set allow_unused=True if this "
                    f"is the desired behavior. (Its shape is {list(target.shape)}.)"
                )
            results.append(None)
        else:
            results.append(value if create_graph else fresh(value, found, position))
    return dict(zip(names, results, strict=True)) if names is not None else tuple(results)


def fresh(value: Any, all_values: list[Any], position: int) -> Tensor:
    """A raw gradient as a tensor; one that several inputs received is copied so that the results share no memory."""
    if isinstance(value, np.ndarray) and any(value is other for other in all_values[:position]):
        value = value.copy()
    return wrap(value)


def as_tensors(value: Any) -> list[Any]:
    if isinstance(value, Tensor):
        return [value]
    return list(value)


def make_roots(roots: Sequence[Any], cotangents: Any, create_graph: bool, *, is_grad: bool) -> list[tuple[Any, Any]]:
    """Pairs of a root's edge and its cotangent, checked."""
    if cotangents is None:
        given: list[Any] = [None] * len(roots)
    else:
        given = [cotangents] if isinstance(cotangents, Tensor) else list(cotangents)
        if len(given) != len(roots):
            raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    pairs: list[tuple[Any, Any]] = []
    for position, (root, g) in enumerate(zip(roots, given, strict=True)):
        if not isinstance(root, Tensor):
            raise TypeError(f"element {position} of tensors must be a Tensor, not {type(root).__name__}")
        node = root._refresh()
        if g is None:
            if node is not None and root._a.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs; this one has shape {list(root._a.shape)}: "
                    "reduce it first (t.sum().backward()) or say which gradient it has (t.backward(torch.ones_like(t)))"
                )
            if node is not None and root._a.dtype.kind != "f":
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {root.dtype}")
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        else:
            if g._a.shape != root._a.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{position}] has a shape of {g.shape} and output[{position}] has a shape of {root.shape}."
                )
            if g.dtype.is_complex != root.dtype.is_complex:
                raise RuntimeError(
                    f"For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
                    f"grad_output[{position}] has a dtype of {g.dtype} and output[{position}] has a dtype of {root.dtype}."
                )
        if node is None:
            raise RuntimeError(f"element {position} of tensors does not require grad and does not have a grad_fn" + why_cut(root))
        if create_graph:
            value: Any = wrap(np.ones_like(root._a)) if g is None else g
        elif g is None:
            value = root._a.dtype.type(1) if root._a.ndim == 0 else np.ones_like(root._a)
        else:
            value = g._a
        pairs.append((edge_of(root), value))
    return pairs


def why_cut(root: Tensor) -> str:
    """What is known of why a tensor has no history."""
    return f": it {root._cut}" if root._cut else ""


def tensor_backward(
    self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Add the gradients of this tensor with respect to the leaves of its graph to their `.grad`; see `autograd.backward`."""
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)
