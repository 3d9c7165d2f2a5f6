"""One expression, evaluated by torch and by ndgrad: values, dtypes, strides, node names, gradients and errors must agree."""

from __future__ import annotations

import re
import warnings

import numpy as np
import torch

import ndgrad

#: Expressions name the library T; z, o, r make zeros, ones and (the same) random numbers.


def environment(library):
    def random(*shape, dtype="float32", grad=False, seed=0):
        numbers = np.random.default_rng(seed + sum(shape)).standard_normal((2, *shape))
        array = numbers[0] + 1j * numbers[1] if dtype.startswith("complex") else numbers[0]
        made = library.from_numpy(np.asarray(array).astype(dtype).reshape(shape))
        return made.requires_grad_() if grad else made

    return {"T": library, "np": np, "z": library.zeros, "o": library.ones, "r": random, "t": library.tensor}


def evaluate(library, expression):
    """What the expression gives: a value, or the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(expression, environment(library)), None
        except Exception as error:
            return None, error


def array_of(value):
    value = value.detach()
    return value.resolve_conj().resolve_neg().numpy(force=True) if isinstance(value, torch.Tensor) else value.numpy()


def kind_of(tensor):
    return repr(tensor.dtype).removeprefix("torch.")


def first_sentence(text):
    line = text.strip().split("\n")[0].split(", but expected one of")[0]  # the overloads that follow are C++
    return re.split(r"(?<=[a-z\])])\. ", line)[0].rstrip(". ")


def same_value(theirs, ours, rtol=1e-5, atol=1e-6, strides=True, names=True, where=""):
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, ndgrad.Tensor), f"{where}: {ours!r} is no tensor"
        assert repr(theirs.dtype) == repr(ours.dtype), where
        assert tuple(theirs.shape) == tuple(ours.shape), where
        assert theirs.requires_grad == ours.requires_grad, where
        np.testing.assert_allclose(array_of(theirs), array_of(ours), rtol=rtol, atol=atol, err_msg=where)
        if strides:
            assert theirs.stride() == ours.stride(), where
        if names and theirs.grad_fn is not None:
            assert theirs.grad_fn.name().split("::")[-1] == ours.grad_fn.name().split("::")[-1], where
    elif isinstance(theirs, (tuple, list)):
        assert len(theirs) == len(ours), where
        for x, y in zip(theirs, ours, strict=True):
            same_value(x, y, rtol, atol, strides, names, where)
    elif isinstance(theirs, np.ndarray):
        assert theirs.dtype == ours.dtype, where
        np.testing.assert_array_equal(theirs, ours)
    elif isinstance(theirs, float):
        np.testing.assert_allclose(theirs, ours, rtol=rtol, atol=atol, err_msg=where)
    elif type(theirs).__module__.startswith("torch") or isinstance(theirs, type):
        assert repr(theirs) == repr(ours) or isinstance(theirs, type), where
    else:
        assert theirs == ours, where


def same_expression(expression, **how):
    """Both sides give the same, or raise the same type with the same first sentence."""
    theirs, their_error = evaluate(torch, expression)
    ours, our_error = evaluate(ndgrad, expression)
    if their_error is not None:
        assert our_error is not None, f"torch raises {their_error!r}, ndgrad gives {ours!r}"
        assert type(our_error) is type(their_error), f"torch: {their_error!r}; ndgrad: {our_error!r}"
        expected = first_sentence(str(their_error))
        assert str(our_error).startswith(expected), f"torch: {expected}\nndgrad: {our_error}"
        return
    if our_error is not None:
        raise AssertionError(f"torch gives {theirs!r}, ndgrad raises {our_error!r}") from our_error
    same_value(theirs, ours, where=expression, **how)


def same_gradients(expression, shapes, dtype="float64", second=True, seed=0, names=True, strides=True):
    """`expression` in the tensors x, y, w of the given shapes: value, first gradients (raw and recorded), second gradients."""
    rng = np.random.default_rng(seed)

    def numbers(shape, kind=dtype):
        real = rng.standard_normal(shape)
        return np.asarray(real + 1j * rng.standard_normal(shape) if "complex" in kind else real).astype(kind)

    arrays = [numbers(shape) for shape in shapes]
    sides = []
    for library in (torch, ndgrad):
        leaves = [library.from_numpy(array.copy()).requires_grad_() for array in arrays]
        scope = {**environment(library), **dict(zip("xyw", leaves, strict=False)), "leaves": leaves}
        sides.append((library, leaves, scope, eval(expression, scope)))
    same_value(sides[0][3], sides[1][3], 1e-10, 1e-11, strides, names, expression)
    seed_of = numbers(tuple(sides[0][3].shape), kind_of(sides[0][3]))
    found = []
    for library, leaves, scope, out in sides:
        g = library.from_numpy(seed_of.copy()).requires_grad_()
        recorded = library.autograd.grad(out, leaves, g, create_graph=True, allow_unused=True)
        raw = library.autograd.grad(eval(expression, scope), leaves, g, allow_unused=True)
        found.append((recorded, raw, g))
    for kind in (0, 1):
        _same_arrays(found[0][kind], found[1][kind], f"{expression}: {'raw' if kind else 'recorded'} gradient")
    if not second or not any(x is not None and x.requires_grad for x in found[0][0]):
        return
    weights = [None if x is None else numbers(tuple(x.shape), kind_of(x)) for x in found[0][0]]
    seconds = []
    for (library, leaves, _, _), (recorded, _, g) in zip(sides, found, strict=True):
        pairs = [(x, library.from_numpy(h)) for x, h in zip(recorded, weights, strict=True) if x is not None and x.requires_grad]
        outs, given = zip(*pairs, strict=True)
        seconds.append(library.autograd.grad(outs, [*leaves, g], given, allow_unused=True))
    _same_arrays(*seconds, f"{expression}: second gradient")


def _same_arrays(theirs, ours, where):
    for position, (x, y) in enumerate(zip(theirs, ours, strict=True)):
        if x is None or y is None:  # an unused operand is None on one side where the other may say zero
            for value in (x, y):
                assert value is None or not np.any(array_of(value)), f"{where} {position}"
            continue
        assert repr(x.dtype) == repr(y.dtype), where
        np.testing.assert_allclose(array_of(x), array_of(y), rtol=1e-8, atol=1e-9, err_msg=f"{where} {position}")
