"""torch's own sample inputs (`op_db`) through torch and through ndgrad: values, dtypes, shapes, gradients, errors, methods, in-place twins.

Of each operation and dtype at most `LIMITS[dtype]` samples are taken, spread evenly over those that torch generates.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch

import ndgrad
from ndgrad.ops.declare import table
from tests.oracle.not_compared import DIFFERENT, ERRORS_DIFFERENT, NOT_COMPARED
from tests.oracle.test_without_samples_oracle import CASES
from tests.oracle.translation import NoCounterpartError, Outcome, ToOurs, array, brief, difference, first_sentence, show

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

LIMITS = {torch.float64: 250, torch.float32: 30, torch.complex128: 100, torch.int64: 50, torch.bool: 25}
ERROR_LIMIT = 40
#: Results whose values are whatever was in memory.
UNINITIALISED = re.compile(r"(new_)?empty(_like|_strided|_permuted)?$")


def full_name(info: Any) -> str:
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name


def counterpart(info: Any) -> Callable[..., Any] | None:
    """Our function of the same name, of a name that torch lists as its alias, or a call of our method where torch has only that."""
    if isinstance(info.op, FunctionType) and info.op.__module__.startswith("torch.testing._internal."):
        return rebound(info)
    return next((found for name in (info.name, *(alias.name for alias in info.aliases)) if (found := named(name)) is not None), None)


def named(name: str) -> Callable[..., Any] | None:
    found: Any = ndgrad
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not None and not isinstance(found, ndgrad.dtype):
        return found
    if name.startswith("nn.functional."):
        entry = table.get(name.removeprefix("nn.functional."))
        return entry.function if entry is not None and entry.as_function else None
    attribute = getattr(ndgrad.Tensor, name, None)
    if isinstance(attribute, property):
        return lambda input: getattr(input, name)
    return None if attribute is None else lambda input, *args, **kwargs: getattr(input, name)(*args, **kwargs)


def rebound(info: Any) -> Callable[..., Any] | None:
    """op_db wraps some functions, to reorder their arguments for instance: the same wrapper around ours."""
    if named(info.name) is None:
        return None
    op = info.op
    names = {**op.__globals__, "torch": ndgrad, "wrapper_set_seed": with_seed}
    return FunctionType(op.__code__, names, op.__name__, op.__defaults__, op.__closure__)


def with_seed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What op_db calls random functions through: the same numbers every time, and on both sides."""
    ndgrad.manual_seed(42)
    return function(*args, **kwargs)


INFOS = {full_name(info): info for info in op_db if counterpart(info) is not None and info.name not in NOT_COMPARED}
CALLS = [pytest.param(name, kind, id=f"{name}-{str(kind).removeprefix('torch.')}") for name, info in INFOS.items() for kind in LIMITS]


def seed() -> None:
    """Make torch draw the same numbers again; torch.manual_seed also formats a stack trace for each kind of device there is not."""
    torch.default_generator.manual_seed(0)


def samples_of(info: Any, kind: torch.dtype) -> list[Any]:
    """Some of torch's samples; the same ones every time."""
    seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradients = info.supports_autograd and (kind.is_floating_point or kind.is_complex)
        # not info.sample_inputs, which walks the whole stack each time to look for a unittest.TestCase
        found = list(info.sample_inputs_func(info, "cpu", kind, gradients))
    limit = LIMITS[kind]
    if len(found) <= limit:
        return found
    return [found[round(i * (len(found) - 1) / (limit - 1))] for i in range(limit)]


def flatten(value: Any) -> list[Any]:
    if isinstance(value, (torch.Tensor, ndgrad.Tensor)):
        return [value]
    return [one for item in value for one in flatten(item)] if isinstance(value, (list, tuple)) else []


# ---------------------------------------------------------------- one sample
def compare(info: Any, function: Callable[..., Any], sample: Any) -> str:
    """Empty, or what is different."""
    translate = ToOurs()
    try:
        input, args, kwargs = translate(sample.input), translate(tuple(sample.args)), translate(sample.kwargs)
    except NoCounterpartError:
        return ""
    theirs = Outcome(info.op, sample.input, *sample.args, **sample.kwargs)
    ours = Outcome(function, input, *args, **kwargs)
    return compare_outcomes(info, ours, theirs, translate)


def compare_outcomes(info: Any, ours: Outcome, theirs: Outcome, translate: ToOurs) -> str:
    if theirs.error is not None:
        return "" if ours.error is not None else f"torch raises {theirs.said()}, ours gives {brief(ours.value)}"
    if ours.error is not None:
        return f"ours raises {type(ours.error).__name__}: {str(ours.error)[:220]}"
    if any(category is RuntimeWarning for category in ours.warned):
        return "ours lets a RuntimeWarning of NumPy out"
    if ours.warned and not theirs.warned:
        return f"ours warns ({ours.warned[0].__name__}), torch does not"
    if any(str(value.dtype) in ("torch.bfloat16", "torch.complex32") for value in flatten(theirs.value)):
        return ""
    try:
        if UNINITIALISED.match(info.name):
            same = tuple(ours.value.shape) == tuple(theirs.value.shape) and str(ours.value.dtype) == str(theirs.value.dtype)
            return "" if same else f"ours {brief(ours.value)}, torch's {brief(theirs.value)}"
        return difference(ours.value, theirs.value) or compare_gradients(ours.value, theirs.value, translate.leaves())
    except NoCounterpartError:
        return ""


def compare_gradients(ours: Any, theirs: Any, leaves: list[tuple[torch.Tensor, ndgrad.Tensor]]) -> str:
    pairs = list(zip(flatten(ours), flatten(theirs), strict=True))
    for x, y in pairs:
        if x.requires_grad != y.requires_grad:
            return f"requires_grad: ours {x.requires_grad}, torch's {y.requires_grad}"
    pairs = [(x, y) for x, y in pairs if y.requires_grad]
    if not pairs or not leaves:
        return ""
    for x, y in pairs:
        if (x.grad_fn is None) != (y.grad_fn is None):
            return f"grad_fn: ours {x.grad_fn}, torch's {y.grad_fn}"
    generator = np.random.default_rng(5)
    cotangents: list[Any] = []
    for _, y in pairs:
        g: Any = generator.uniform(-1, 1, tuple(y.shape))
        if y.dtype.is_complex:
            g = g + 1j * generator.uniform(-1, 1, tuple(y.shape))
        cotangents.append(np.asarray(g).astype(array(y).dtype))
    expected = Outcome(
        torch.autograd.grad,
        [y for _, y in pairs],
        [leaf for leaf, _ in leaves],
        [torch.from_numpy(g) for g in cotangents],
        allow_unused=True,
    )
    found = Outcome(
        ndgrad.autograd.grad,
        [x for x, _ in pairs],
        [leaf for _, leaf in leaves],
        [ndgrad.from_numpy(g) for g in cotangents],
        allow_unused=True,
    )
    if expected.error is not None:
        return "" if found.error is not None else f"torch's backward raises {expected.said()}, ours does not"
    if found.error is not None:
        return f"our backward raises {type(found.error).__name__}: {str(found.error)[:220]}"
    if found.warned and not expected.warned:
        return f"our backward warns ({found.warned[0].__name__})"
    for position, (mine, wanted) in enumerate(zip(found.value, expected.value, strict=True)):
        if wanted is None or mine is None:
            values = [value for value in (mine, wanted) if value is not None]
            if values and bool((values[0] != 0).any()):
                return f"gradient {position}: {'ours' if mine is None else 'torch'} has none"
            continue
        text = difference(mine, wanted)
        if text:
            return f"gradient {position}: {text}"
    return ""


# ---------------------------------------------------------------- the tests
def excused(name: str, text: str) -> bool:
    """Whether this difference is a known one, with its reason in `not_compared`."""
    return any(re.search(pattern, text) for pattern in DIFFERENT.get(name, {}))


def differences(name: str, kind: torch.dtype) -> list[str]:
    """All unexcused differences of one operation and dtype, with their samples."""
    info = INFOS[name]
    function: Any = counterpart(info)
    found: list[str] = []
    for sample in samples_of(info, kind):
        text = compare(info, function, sample)
        if text and not excused(name, f"{show(sample)}: {text}"):
            found.append(f"{name}{show(sample)}: {text}")
    return found


def refusal_differences(name: str, kind: torch.dtype) -> list[str]:
    """For a dtype that torch does not take: ours must not take it either, and with the same type of exception."""
    info = INFOS[name]
    base = next((k for k in LIMITS if k in info.dtypes), None)
    if base is None:
        return []
    function: Any = counterpart(info)
    for sample in samples_of(info, base)[:3]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # casting complex values to real ones
            changed = sample.transform(lambda t: t.detach().to(kind) if isinstance(t, torch.Tensor) and t.dtype == base else t)
        theirs = Outcome(info.op, changed.input, *changed.args, **changed.kwargs)
        translate = ToOurs()
        ours = Outcome(
            lambda translate=translate, changed=changed: function(
                translate(changed.input), *translate(tuple(changed.args)), **translate(changed.kwargs)
            )
        )
        if theirs.error is None or isinstance(ours.error, NoCounterpartError):
            continue
        text = ""
        if ours.error is None:
            text = f"torch raises {theirs.said()}, ours gives {brief(ours.value)}"
        elif not isinstance(ours.error, type(theirs.error)) and not isinstance(theirs.error, type(ours.error)):
            text = f"torch raises {theirs.said()}, ours {ours.said()}"
        if text and not excused(name, f"{show(changed)}: {text}"):
            return [f"{name}{show(changed)}: {text}"]
    return []


@pytest.mark.parametrize(("name", "kind"), CALLS)
def test_samples(name: str, kind: torch.dtype) -> None:
    found = differences(name, kind) if kind in INFOS[name].dtypes else refusal_differences(name, kind)
    assert not found, "\n".join(found)


def variant_differences(name: str) -> list[str]:
    """The method and the in-place twin on a few samples."""
    info = INFOS[name]
    found: list[str] = []
    kind = next((kind for kind in LIMITS if kind in info.dtypes), None)
    if kind is None:
        return found
    for sample in samples_of(info, kind)[:: max(1, LIMITS[kind] // 5)]:
        for variant, in_place in ((info.method_variant, False), (info.inplace_variant, True)):
            text = compare_variant(info, sample, variant, in_place=in_place) if variant is not None else ""
            if text and not excused(name, f"{show(sample)}: {text}"):
                found.append(f"{name}{show(sample)}: {'in-place' if in_place else 'method'}: {text}")
    return found


def compare_variant(info: Any, sample: Any, variant: Any, *, in_place: bool) -> str:
    if not isinstance(sample.input, torch.Tensor) or (in_place and sample.broadcasts_input):
        return ""
    attribute = getattr(variant, "__name__", info.name + ("_" if in_place else ""))
    if not callable(getattr(torch.Tensor, attribute, None)):
        return ""
    if not hasattr(ndgrad.Tensor, attribute):
        return f"Tensor.{attribute} is missing"
    translate = ToOurs()
    try:
        input, args, kwargs = translate(sample.input), translate(tuple(sample.args)), translate(sample.kwargs)
    except NoCounterpartError:
        return ""
    torch.manual_seed(42)
    ndgrad.manual_seed(42)
    target, original = (input.clone(), sample.input.clone()) if in_place else (input, sample.input)
    theirs = Outcome(getattr(original, attribute), *sample.args, **sample.kwargs)
    if theirs.error is not None and in_place:
        return ""  # a result that does not fit; what is said then is compared in the tests of the engine
    return compare_outcomes(info, Outcome(getattr(target, attribute), *args, **kwargs), theirs, translate)


@pytest.mark.parametrize("name", INFOS)
def test_method_and_in_place(name: str) -> None:
    found = variant_differences(name)
    assert not found, "\n".join(found)


def error_differences(name: str) -> list[str]:
    """What torch refuses, we refuse with the same type and the same first sentence."""
    info = INFOS[name]
    function: Any = counterpart(info)
    found: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed()
        inputs = list(info.error_inputs_func(info, "cpu"))
    for error_input in inputs[:ERROR_LIMIT]:
        sample = error_input.sample_input
        translate = ToOurs()
        try:
            input, args, kwargs = translate(sample.input), translate(tuple(sample.args)), translate(sample.kwargs)
        except NoCounterpartError:
            continue
        if info.name.startswith("__") and not isinstance(sample.input, torch.Tensor):
            continue  # Python never calls an operator's method on a foreign object
        theirs = Outcome(info.op, sample.input, *sample.args, **sample.kwargs)
        if theirs.error is None:
            continue  # torch refuses it elsewhere only (on another device, in another variant)
        ours = Outcome(function, input, *args, **kwargs)
        text = error_difference(ours, theirs, error_input.error_regex)
        if text and not any(re.search(pattern, text) for pattern in ERRORS_DIFFERENT.get(name, {})):
            found.append(f"{name}{show(sample)}: {text}")
    return found


PARSER = re.compile(
    r"invalid combination of arguments|argument '.*' \(position|missing \d+ required|unexpected keyword|must be .*, not|takes .* argument"
)


def error_difference(ours: Outcome, theirs: Outcome, pattern: str) -> str:
    if ours.error is None:
        return f"torch raises {theirs.said()}, ours gives {brief(ours.value)}"
    if not isinstance(ours.error, type(theirs.error)):
        return f"torch raises {theirs.said()}, ours {ours.said()}"
    message, expected = str(ours.error), str(theirs.error)
    if PARSER.search(expected):
        return ""  # the argument parser's wording depends on overloads that Python functions do not have
    same = first_sentence(message).startswith(first_sentence(expected)) or (pattern and re.search(pattern, message))
    return "" if same else f"torch says: {first_sentence(expected)} -- ours: {first_sentence(message)}"


@pytest.mark.parametrize("name", [name for name, info in INFOS.items() if info.error_inputs_func is not None])
def test_errors(name: str) -> None:
    found = error_differences(name)
    assert not found, "\n".join(found)


# ---------------------------------------------------------------- coverage
def covered() -> set[str]:
    """The names of our table that op_db has samples for, in-place forms and other names of the same function included."""
    names: set[str] = set()
    for info in INFOS.values():
        for name in (info.name, *(alias.name for alias in info.aliases)):
            last = name.removeprefix("nn.functional.").removeprefix("linalg.").removeprefix("special.")
            names.update((last, last + "_") if info.inplace_variant is not None else (last,))
    functions = {id(table[name].method) for name in names if name in table}
    return {name for name, entry in table.items() if id(entry.method) in functions}


def test_every_operation_is_compared_or_has_a_reason() -> None:
    missing = sorted(set(table) - covered() - set(CASES) - set(NOT_COMPARED))
    assert not missing, f"neither op_db nor test_without_samples_oracle nor NOT_COMPARED knows of {missing}"


def test_no_reason_is_stale() -> None:
    stale = [name for name in NOT_COMPARED if name not in table and not any(info.name == name and counterpart(info) for info in op_db)]
    assert not stale, f"not in ndgrad: {stale}"
    assert set(CASES) <= set(table), f"not in the table: {sorted(set(CASES) - set(table))}"
    compared = (covered() | set(CASES)) & set(NOT_COMPARED)
    assert not compared, f"compared after all: {sorted(compared)}"
    for known in (DIFFERENT, ERRORS_DIFFERENT):
        assert set(known) <= set(INFOS), f"not compared: {sorted(set(known) - set(INFOS))}"
