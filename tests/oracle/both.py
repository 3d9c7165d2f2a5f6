"""Running one program under torch and under ndgrad, and comparing what each of them showed."""

import warnings

import torch

import ndgrad

PROGRAMS = {}


def program(function):
    """Register a program: a function of the library, of `show(*values)` and of `attempt(call)`, which shows a result or an error."""
    PROGRAMS.setdefault(function.__module__, []).append(function)
    return function


def run(function, lib):
    """What the program showed, as plain Python values."""
    shown = []

    def show(*values):
        shown.append(tuple(plain(value) for value in values))

    def attempt(call):
        try:
            shown.append(("result", plain(call())))
        except Exception as error:
            shown.append(("error", type(error).__name__, str(error)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(lib, show, attempt)
        except Exception as error:
            shown.append(("error", type(error).__name__, str(error)))
        finally:
            lib.set_grad_enabled(True)
    return shown


def plain(value):
    if isinstance(value, (torch.Tensor, ndgrad.Tensor)):
        node = value.grad_fn
        name = None if node is None else node.name()
        return value.tolist(), tuple(value.shape), tuple(value.stride()), str(value.dtype), value.requires_grad, name
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    if isinstance(value, (int, float, complex, str, type(None))):
        return value
    return repr(value).split(" at 0x")[0]


def agree(theirs, ours):
    """Equality; of errors, the same type and the same first sentence."""
    if theirs == ours:
        return True
    if theirs[0] == ours[0] == "error":
        return theirs[1] == ours[1] and ours[2].startswith(theirs[2].split("\n")[0].split(". ")[0].rstrip("."))
    return False


def check(function):
    theirs, ours = run(function, torch), run(function, ndgrad)
    assert theirs, "a program that shows nothing tests nothing"
    assert len(theirs) == len(ours), f"torch:  {theirs}\nndgrad: {ours}"
    for expected, found in zip(theirs, ours, strict=True):
        assert agree(expected, found), f"torch:  {expected}\nndgrad: {found}"
