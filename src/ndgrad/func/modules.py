"""Modules as functions of their parameters: `functional_call`, `stack_module_state`, `replace_all_batch_norm_modules_`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndgrad.core.tensor import Tensor
from ndgrad.nn.modules.batchnorm import _BatchNorm
from ndgrad.nn.utils.stateless import call_with
from ndgrad.ops import ops as functions


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers than its own.

    Parameters
    ----------
    parameter_and_buffer_dicts : tensors by their names, as `named_parameters` gives them; or several such dicts with different names.
    args, kwargs : what the module is called with; a single argument need not be put into a tuple.
    tie_weights : whether a tensor of the module that has several names is replaced under all of them.
    strict : whether all parameters and buffers must be given, and nothing else.

    Examples
    --------
    >>> per_sample = vmap(grad(lambda params, x, y: loss(functional_call(model, params, x), y)), (None, 0, 0))
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        given = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, (list, tuple)):
        if not all(isinstance(each, dict) for each in parameter_and_buffer_dicts):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        names = [name for each in parameter_and_buffer_dicts for name in each]
        twice = list(dict.fromkeys(name for name in names if names.count(name) > 1))
        if twice:
            raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        given = {name: value for each in parameter_and_buffer_dicts for name, value in each.items()}
    else:
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(parameter_and_buffer_dicts)}"
        )
    return call_with(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several models of one class, each stacked in a new first dim, for `vmap` over the models."""
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(model.training != models[0].training for model in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(model) is not type(models[0]) for model in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    members = [[dict(model.named_parameters()) for model in models], [dict(model.named_buffers()) for model in models]]
    parameters, buffers = ({name: stacked_leaf([each[name] for each in of_all], name) for name in of_all[0]} for of_all in members)
    return parameters, buffers


def stacked_leaf(tensors: Sequence[Tensor], name: str) -> Tensor:
    """Tensors stacked, as a leaf that requires grad if they do."""
    required = {tensor.requires_grad for tensor in tensors}
    if len(required) != 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    stacked: Tensor = functions.stack([tensor.detach() for tensor in tensors])
    return stacked.requires_grad_() if required.pop() else stacked


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Let the batch norms of a module use the statistics of each batch, and keep none: `vmap` cannot update them in place."""
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
