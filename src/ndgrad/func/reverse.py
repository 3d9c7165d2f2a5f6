"""`grad`, `grad_and_value` and `vjp`: functions differentiated in reverse mode, nested in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ndgrad.autograd.gradients import grad as gradients
from ndgrad.base import modes
from ndgrad.base.trees import TreeSpec, tree_flatten, tree_unflatten, treespec_pprint
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.arguments import Argnums, map_aux, named_after, positions, tensor_outputs, value_and_aux, with_replaced
from ndgrad.func.handles import Call, tangents_recorded
from ndgrad.ops import ops as functions

NAME = "grad_and_value(f)(*args)"


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that computes the gradient of `func`, which returns a tensor of no dims.

    Parameters
    ----------
    argnums : which positional arguments to differentiate by: a number, or a tuple of them for a tuple of gradients. An argument may be a
        tree of tensors, and its gradient is one then.
    has_aux : whether `func` returns a pair (value, aux), and the new function (gradient, aux).

    Examples
    --------
    >>> curvature = grad(grad(torch.sin))
    """
    evaluate = grad_and_value(func, argnums, has_aux)

    @named_after(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = evaluate(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., tuple[Any, Any]]:
    """The function that computes a pair: the gradient of `func` as `grad` does, and its value, or (value, aux)."""

    @named_after(func)
    def wrapper(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        where = positions(argnums, len(args))
        leaves, spec = tree_flatten(tuple(args[at] for at in where))
        with Call() as call:
            handles = [call.fresh(leaf) for leaf in leaves]
            value = func(*with_replaced(args, where, tree_unflatten(handles, spec)), **kwargs)
            aux = None
            if has_aux:
                value, aux = value_and_aux(value, NAME)
            if not isinstance(value, Tensor):
                raise RuntimeError(f"{NAME}: Expected f(*args) to return a Tensor, got {type(value)}")
            if value.dim():
                raise RuntimeError(
                    f"{NAME}: Expected f(*args) to return a scalar Tensor, got tensor with {value.dim()} dims. Maybe you wanted to use the "
                    "vjp or jacrev APIs instead?"
                )
            found = call_gradients(call, [value], handles, None, False, None)
        found = [call.released(g) for g in found]
        gradient = tree_unflatten(found, spec)
        value = call.released(value)
        if isinstance(argnums, int):
            (gradient,) = gradient
        return gradient, (value, map_aux(call.released, aux)) if has_aux else value

    return wrapper


def call_gradients(
    call: Call,
    outputs: Sequence[Tensor],
    handles: Sequence[Tensor],
    cotangents: Sequence[Any] | None,
    retain_graph: bool,
    create_graph: bool | None,
) -> list[Tensor]:
    """The gradients by handles, recorded if they can lead anywhere: there is more in their graph than handles of this call."""
    if not handles:
        return []
    pairs = list(zip(outputs, cotangents or [None] * len(outputs), strict=True))
    pairs = [(output, g) for output, g in pairs if output.requires_grad]
    if not pairs:
        return [zeros_like(handle) for handle in handles]
    roots = [output for output, _ in pairs]
    given = None if cotangents is None else [g for _, g in pairs]
    if create_graph is None:
        create_graph = call.must_record(roots)
    return list(gradients(roots, handles, given, retain_graph or create_graph, create_graph, materialize_grads=True))


def zeros_like(tensor: Tensor) -> Tensor:
    """Zeros like a tensor, without its history."""
    zeros: Tensor = functions.zeros_like(wrap(tensor._a))
    return zeros


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The outputs of `func` at `primals`, and the function that pulls cotangents back through it, as often as it is called.

    Returns
    -------
    (outputs, vjp_fn) or, with `has_aux`, (outputs, vjp_fn, aux). `vjp_fn(cotangents)` takes a tree like the outputs and gives a
    tuple of one tree for each primal.

    Examples
    --------
    >>> y, pull = vjp(torch.sin, x)
    >>> (g,) = pull(torch.ones_like(y))
    """
    name = "vjp(f, *primals)"
    leaves, spec = tree_flatten(primals)
    with Call() as call:
        handles = [call.fresh(leaf) for leaf in leaves]
        result = func(*tree_unflatten(handles, spec))
        aux = None
        if has_aux:
            result, aux = value_and_aux(result, name)
        outputs, output_spec = differentiable_outputs(result)
    leads_outside = call.must_record(outputs)
    values = tree_unflatten([call.released(output) for output in outputs], output_spec)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        """Pull cotangents back: one for each output, in a tree like the outputs."""
        given, given_spec = tree_flatten(cotangents)
        check_structure(given_spec, output_spec)
        if create_graph is None:
            create_graph = records(leads_outside, given)
        found = call_gradients(call, outputs, handles, given, retain_graph, create_graph)
        if not modes.is_grad_enabled():
            return tree_unflatten(found, spec)
        return tree_unflatten([call.released(g) for g in found], spec)

    return (values, vjp_fn, map_aux(call.released, aux)) if has_aux else (values, vjp_fn)


def differentiable_outputs(result: Any) -> tuple[list[Tensor], TreeSpec]:
    """The leaves and the structure of what a function returned, if gradients of all of them can be had."""
    outputs, spec = tensor_outputs(result, "vjp(f, *primals)")
    for output in outputs:
        if output._a.dtype.kind not in "fc":
            raise RuntimeError(
                f"vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype {output.dtype}. "
                "Return others as aux, with has_aux=True."
            )
    return outputs, spec


def records(leads_outside: bool, given: Sequence[Any]) -> bool:
    """Whether a backward is to be recorded: where it can lead anywhere, by its graph or by what it is given."""
    if not modes.is_grad_enabled():
        return False
    return leads_outside or any(isinstance(g, Tensor) and g.requires_grad for g in given) or tangents_recorded()


def check_structure(cotangents: TreeSpec, outputs: TreeSpec) -> None:
    if cotangents != outputs:
        raise RuntimeError(
            "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. cotangents: "
            f"{treespec_pprint(cotangents)}, primal output: {treespec_pprint(outputs)}"
        )
