"""Every module that both sides have, on torch's own samples: first values, printing, state, results, gradients."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.translation import NoCounterpartError, ToOurs, array, difference

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

OURS = {name: kind for name, kind in vars(ndgrad.nn).items() if inspect.isclass(kind) and issubclass(kind, ndgrad.nn.Module)}
INFOS = [info for info in module_db if info.name.removeprefix("nn.") in OURS]
#: Modules that torch has no samples of; tests below make some.
WITHOUT_SAMPLES = {
    "AlphaDropout", "CosineSimilarity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout", "Flatten", "Hardsigmoid",
    "Identity", "Module", "ModuleDict", "ModuleList", "PairwiseDistance", "ParameterDict", "ParameterList", "RReLU", "Sequential",
    "TripletMarginLoss", "TripletMarginWithDistanceLoss", "Unflatten",
}  # fmt: skip


def test_every_module_is_compared():
    assert set(OURS) - {info.name.removeprefix("nn.") for info in INFOS} == WITHOUT_SAMPLES


def same(ours: Any, theirs: Any, where: str) -> None:
    text = difference(ours, theirs)
    assert not text, f"{where}: {text}"


def same_state(ours: Any, theirs: Any, where: str) -> None:
    """Equal to the last bit: both were drawn from the same random numbers."""
    assert list(ours) == list(theirs), where
    for name, value in theirs.items():
        assert str(ours[name].dtype) == str(value.dtype) and tuple(ours[name].shape) == tuple(value.shape), f"{where}: {name}"
        np.testing.assert_array_equal(ours[name].numpy(), array(value), err_msg=f"{where}: {name}")
    assert dict(ours._metadata) == dict(theirs._metadata), where


def plain_attributes(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name[0] != "_" and isinstance(value, (bool, int, float, str, tuple))}


def compare(kind: str, sample: Any, training: bool, dtype: torch.dtype) -> None:
    translate = ToOurs()
    given = sample.constructor_input
    args, kwargs = translate(given.args), translate(given.kwargs)
    torch.manual_seed(0)
    ndgrad.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*given.args, **given.kwargs)
    ours = OURS[kind](*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert plain_attributes(ours) == plain_attributes(theirs)
    assert getattr(ours, "__constants__", None) == getattr(theirs, "__constants__", None) or kind in ("BCEWithLogitsLoss", "GELU")
    same_state(ours.state_dict(), theirs.state_dict(), "first values")
    theirs.to(dtype).train(training)
    ours.to(translate(dtype)).train(training)
    call = sample.forward_input
    for turn in (1, 2):  # running statistics, and whatever else a call may leave behind
        translate = ToOurs()
        torch.manual_seed(turn)
        ndgrad.manual_seed(turn)
        ours_out = ours(*translate(call.args), **translate(call.kwargs))
        theirs_out = theirs(*call.args, **call.kwargs)
        same(ours_out, theirs_out, f"result {turn}")
        assert ours_out.requires_grad == theirs_out.requires_grad
    for name, value in theirs.state_dict().items():
        same(ours.state_dict()[name], value, name)
    if theirs_out.requires_grad:
        compare_gradients(ours_out, theirs_out, [*translate.leaves(), *zip(theirs.parameters(), ours.parameters(), strict=True)])


def compare_gradients(ours: Any, theirs: Any, leaves: list[tuple[torch.Tensor, ndgrad.Tensor]]) -> None:
    torch.manual_seed(5)
    weight = torch.rand_like(theirs)
    pairs = [(x, y) for x, y in leaves if x.requires_grad]
    first = torch.autograd.grad(theirs, [x for x, _ in pairs], weight, create_graph=True, allow_unused=True)
    found = ndgrad.autograd.grad(ours, [y for _, y in pairs], ndgrad.from_numpy(weight.numpy()), create_graph=True, allow_unused=True)
    for position, (x, y) in enumerate(zip(first, found, strict=True)):
        assert (x is None) == (y is None)
        if x is not None:
            same(y, x, f"gradient {position}")
    again = [(x, y) for x, y in zip(first, found, strict=True) if x is not None and x.requires_grad and y.requires_grad]
    if not again:
        return
    total = sum((x * x).sum() for x, _ in again)
    ours_total = sum((y * y).sum() for _, y in again)
    second = torch.autograd.grad(total, [x for x, _ in pairs], allow_unused=True)
    ours_second = ndgrad.autograd.grad(ours_total, [y for _, y in pairs], allow_unused=True)
    for position, (x, y) in enumerate(zip(second, ours_second, strict=True)):
        for value in (x, y):  # None on one side may be zeros on the other
            if x is None or y is None:
                assert value is None or not value.any(), f"second gradient {position}"
        if x is not None and y is not None:
            same(y, x, f"second gradient {position}")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("info", INFOS, ids=[info.name for info in INFOS])
def test_samples(info: Any, dtype: torch.dtype, training: bool) -> None:
    torch.manual_seed(1)
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training):
            try:
                compare(info.name.removeprefix("nn."), sample, training, dtype)
            except NoCounterpartError:
                continue
            except AssertionError as error:
                raise AssertionError(f"{sample.desc or sample.constructor_input}: {error}") from error
            compared += 1
    assert compared
