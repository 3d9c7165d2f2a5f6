"""`grad`, `grad_and_value` and `vjp`: functions differentiated in reverse mode, nested in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ndgrad.base.trees import TreeSpec, tree_flatten, tree_unflatten, treespec_pprint
from ndgrad.core.tensor import Tensor
from ndgrad.func.arguments import Argnums, WithAux, map_aux, named_after, positions, tensor_outputs, with_replaced
from ndgrad.func.handles import Call
from ndgrad.func.recordings import Recording, call_gradients

GRAD = "grad_and_value(f)(*args)"
VJP = "vjp(f, *primals)"


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
        evaluated = WithAux(func, has_aux, GRAD)
        with Call() as call:
            handles = [call.fresh(leaf) for leaf in leaves]
            value = evaluated(*with_replaced(args, where, tree_unflatten(handles, spec)), **kwargs)
            if not isinstance(value, Tensor):
                raise RuntimeError(f"{GRAD}: Expected f(*args) to return a Tensor, got {type(value)}")
            if value.dim():
                raise RuntimeError(
                    f"{GRAD}: Expected f(*args) to return a scalar Tensor, got tensor with {value.dim()} dims. Maybe you wanted to use the "
                    "vjp or jacrev APIs instead?"
                )
            found = call_gradients(call.mark, [value], handles, None, False, call.must_record([value]))
        found = [call.released(g) for g in found]
        gradient = tree_unflatten(found, spec)
        value = call.released(value)
        if isinstance(argnums, int):
            (gradient,) = gradient
        return gradient, (value, map_aux(call.released, evaluated.aux)) if has_aux else value

    return wrapper


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
    evaluated = WithAux(func, has_aux, VJP)
    recorded = Recording(evaluated, primals)
    check_differentiable(recorded.outputs)
    values = tree_unflatten(recorded.values, recorded.output_spec)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        """Pull cotangents back: one for each output, in a tree like the outputs."""
        given, given_spec = tree_flatten(cotangents)
        check_structure(given_spec, recorded.output_spec)
        return tree_unflatten(recorded.pull(given, retain_graph, create_graph), recorded.spec)

    return (values, vjp_fn, map_aux(recorded.call.released, evaluated.aux)) if has_aux else (values, vjp_fn)


def check_differentiable(outputs: Sequence[Any]) -> None:
    """Refuse what a function returned, unless gradients of all of it can be had."""
    for output in tensor_outputs(outputs, VJP)[0]:
        if output._a.dtype.kind not in "fc":
            raise RuntimeError(
                f"vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype {output.dtype}. "
                "Return others as aux, with has_aux=True."
            )


def check_structure(cotangents: TreeSpec, outputs: TreeSpec) -> None:
    if cotangents != outputs:
        raise RuntimeError(
            "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. cotangents: "
            f"{treespec_pprint(cotangents)}, primal output: {treespec_pprint(outputs)}"
        )
