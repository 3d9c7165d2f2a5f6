"""Promotion against torch: every pair of dtypes, as arrays, as 0-d tensors and against Python's numbers."""

import itertools

import pytest
import torch

import ndgrad

NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
WIDE = {"uint16", "uint32", "uint64"}
NUMBERS = [True, 3, 2.5, 1j]


def outcome(compute):
    """The name of the dtype, or the error's type and first words."""
    try:
        return repr(compute())
    except (RuntimeError, TypeError) as error:
        return type(error).__name__, str(error)[:60]


def operand(library, what, shape):
    return what if not isinstance(what, str) else library.zeros(shape, dtype=getattr(library, what))


CASES = [
    *[(x, y, shapes) for x, y in itertools.product(NAMES, NAMES) for shapes in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ()))],
    *[(x, number, (shape, ())) for x in NAMES for number in NUMBERS for shape in ((2,), ())],
    *[(number, y, ((), shape)) for y in NAMES for number in NUMBERS for shape in ((2,), ())],
]


@pytest.mark.filterwarnings("ignore:ComplexHalf support:UserWarning")
@pytest.mark.parametrize("default", ["float32", "float64"])
@pytest.mark.parametrize("operation", ["result_type", "add", "mul", "true_divide"])
def test_every_pair(operation, default):
    wrong = []
    for library in (torch, ndgrad):
        library.set_default_dtype(getattr(library, default))
    try:
        for x, y, shapes in CASES:
            if operation != "result_type" and (not isinstance(x, str) or {x, y} & WIDE):
                continue  # the functions want a tensor first, and torch has no arithmetic for the wide unsigned types
            found = []
            for library in (torch, ndgrad):
                first, second = operand(library, x, shapes[0]), operand(library, y, shapes[1])
                if operation == "result_type":
                    found.append(outcome(lambda library=library, first=first, second=second: library.result_type(first, second)))
                else:
                    call = getattr(library, operation)
                    found.append(outcome(lambda call=call, first=first, second=second: call(first, second).dtype))
            if operation != "result_type" and (found[0] == "torch.complex32" or "ComplexHalf" in found[0][1]):
                found[0] = found[1] if found[1][0] == "TypeError" else "a TypeError: NumPy has no such type"
            if found[0] != found[1]:
                wrong.append((x, y, shapes, *found))
    finally:
        for library in (torch, ndgrad):
            library.set_default_dtype(library.float32)
    assert not wrong, "\n".join(map(str, wrong[:40]))


@pytest.mark.parametrize("name", ["promote_types", "can_cast"])
def test_tables(name):
    for x, y in itertools.product([*NAMES, "bfloat16"], repeat=2):
        sides = [outcome(lambda lib=lib, x=x, y=y: getattr(lib, name)(getattr(lib, x), getattr(lib, y))) for lib in (torch, ndgrad)]
        assert sides[0] == sides[1], (x, y)
