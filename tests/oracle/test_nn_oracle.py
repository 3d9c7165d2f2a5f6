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

OURS = {name: kind for name, kind in vars(ndgrad.nn.modules).items() if inspect.isclass(kind) and issubclass(kind, ndgrad.nn.Module)}
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


# ---------------------------------------------------------------- modules without samples
class Given:
    """Arguments, kept as torch's samples keep them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


class Sample:
    def __init__(self, constructor: Given, *inputs: torch.Tensor) -> None:
        self.constructor_input, self.forward_input = constructor, Given(*inputs)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


DROPOUTS = [
    Sample(constructor, random(2, 3, *rest))
    for rest in ((4,), (4, 5), (4, 5, 2))
    for constructor in (Given(), Given(0.2), Given(p=0.0), Given(1.0))
]
TRIPLETS = [random(4, 3), random(4, 3) + 1, random(4, 3) * 2]
SAMPLES: dict[str, list[Sample]] = {
    "Dropout": DROPOUTS,
    "AlphaDropout": DROPOUTS,
    "FeatureAlphaDropout": DROPOUTS,
    "Dropout1d": [Sample(Given(), random(2, 3, 4)), Sample(Given(0.3), random(3, 4))],
    "Dropout2d": [Sample(Given(), random(2, 3, 4, 5)), Sample(Given(0.3), random(4, 2, 3, 1))],
    "Dropout3d": [Sample(Given(), random(2, 3, 4, 5, 2)), Sample(Given(0.3), random(3, 4, 5, 2))],
    "RReLU": [Sample(Given(), random(3, 4)), Sample(Given(0.2, 0.3), random(5))],
    # in float32, because torch's sixth is a float32 number even for float64
    "Hardsigmoid": [Sample(Given(), random(3, 4).detach().float().requires_grad_()), Sample(Given(inplace=False), random(2).float())],
    "Identity": [Sample(Given(), random(3)), Sample(Given(3, unused=True), random(2, 2))],
    "Flatten": [Sample(Given(), random(2, 3, 4)), Sample(Given(0, 1), random(2, 3, 4)), Sample(Given(end_dim=-2), random(2, 3, 4, 5))],
    "Unflatten": [Sample(Given(1, (2, 3)), random(4, 6)), Sample(Given(-1, [3, -1]), random(2, 6))],
    "CosineSimilarity": [Sample(Given(), random(3, 4), random(3, 4)), Sample(Given(0, eps=1e-3), random(3, 4), random(3, 4))],
    "PairwiseDistance": [
        Sample(Given(), random(3, 4), random(4, 4)[:3]),
        Sample(Given(1.0, keepdim=True), random(3, 4), random(1, 4)),
        Sample(Given(3.0, 1e-3), random(4), random(3, 4)),
    ],
    "TripletMarginLoss": [Sample(Given(), *TRIPLETS), Sample(Given(0.5, p=1.0, swap=True, reduction="none"), *TRIPLETS)],
    "TripletMarginWithDistanceLoss": [
        Sample(Given(), *TRIPLETS),
        Sample(Given(distance_function=lambda x, y: ((x - y) * (x - y)).sum(-1), swap=True, margin=2.0), *TRIPLETS),
    ],
}
#: What holds other modules is compared in test_nn_hooks_oracle.py, and their base in test_nn_module_oracle.py.
HOLDERS = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"}


def test_all_of_them_have_samples_here():
    assert set(SAMPLES) | HOLDERS == WITHOUT_SAMPLES


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", SAMPLES)
def test_own_samples(kind: str, training: bool) -> None:
    for sample in SAMPLES[kind]:
        compare(kind, sample, training, torch.float64)


# ---------------------------------------------------------------- what users see of the classes
@pytest.mark.parametrize("kind", OURS)
def test_signatures(kind: str) -> None:
    ours, theirs = OURS[kind], getattr(torch.nn, kind)
    for name in {"__init__", "forward", *(name for name in vars(theirs) if name[0] != "_" and inspect.isfunction(vars(theirs)[name]))}:
        if name == "compile":
            continue
        expected, found = (inspect.signature(getattr(cls, name)).parameters for cls in (theirs, ours))
        assert list(found) == list(expected), name
        for parameter in expected:
            assert found[parameter].kind == expected[parameter].kind, f"{name}: {parameter}"
            assert found[parameter].default == expected[parameter].default, f"{name}: {parameter}"


def test_repr_of_unusual_arguments():
    for expression in (
        "Linear(3, 4, bias=False)", "BatchNorm1d(3, momentum=None)", "BatchNorm2d(3, affine=False)", "BatchNorm3d(3, bias=False)",
        "LayerNorm(3, bias=False)", "LayerNorm((2, 3), elementwise_affine=False)", "Hardswish(True)", "Hardsigmoid(True)", "ReLU(True)",
        "ReLU6(True)", "Hardtanh(-2, 3, True)", "ELU(2.0, True)", "Threshold(1, 2, True)", "RReLU(inplace=True)", "Mish(True)",
        "Embedding(3, 4, -1, 2.0, 1.0, True, True)", "ConstantPad1d((1, 2), 3.5)", "ZeroPad2d(1)", "LogSoftmax()", "PReLU(3)",
        "CrossEntropyLoss(label_smoothing=0.1)", "TripletMarginLoss()", "Dropout(0.1, True)", "Unflatten(1, (2, 3))", "Softplus(2)",
    ):  # fmt: skip
        theirs, ours = (eval(f"nn.{expression}", {"nn": library.nn}) for library in (torch, ndgrad))
        assert repr(ours) == repr(theirs)
        assert plain_attributes(ours) == plain_attributes(theirs)
