"""`autograd.functional` in both libraries: a table of functions and inputs, each with every combination of flags; results or errors."""

import inspect
import itertools
import warnings

import numpy as np
import pytest
import torch

import ndgrad
from tests.oracle.sides import first_sentence, same_value

KINDS = {"f": "float64", "g": "float32", "c": "complex128", "i": "int64"}


def numbers(lib, kind, *shape, requires_grad=False, seed=0):
    rng = np.random.default_rng(seed + len(shape))
    array = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if kind == "c" else 0.0)
    array = np.asarray(10 * array if kind == "i" else array).astype(KINDS[kind])
    made = lib.from_numpy(array)
    return made.requires_grad_() if requires_grad and kind != "i" else made


class Captured:
    """Tensors that a function may close over."""

    def __init__(self, lib):
        self.lib = lib
        self.w = lib.tensor([2.0, -1.0, 0.5], dtype=lib.float64, requires_grad=True)


#: Name: the function, of what it closes over and of the inputs; the inputs, by kind and shape, as a tuple or alone.
CASES = {
    "square": (lambda k, x: x**2, [("f", 3)], False),
    "cubes": (lambda k, x: (x**3).sum(), [("f", 3)], False),
    "cubes in a tuple": (lambda k, x: (x**3).sum(), [("f", 3)], True),
    "cubes of one element": (lambda k, x: (x**3).sum().view(1, 1), [("f", 2, 2)], False),
    "one element": (lambda k, x: x.exp(), [("f", 1)], False),
    "no dims": (lambda k, x: x.sin() * x, [("f",)], False),
    "products": (lambda k, x, y: (x * x * y).sum() * y, [("f", 3), ("f",)], True),
    "products as two": (lambda k, x, y: ((x * y).sum(), x + y), [("f", 2), ("f", 2)], True),
    "a tuple of one": (lambda k, x: (x * 2,), [("f", 2)], False),
    "matrix": (lambda k, x, y: x @ y, [("f", 2, 3), ("f", 3, 2)], True),
    "noncontiguous": (lambda k, x: (x.t().tanh(), x.t().sum(0)), [("f", 2, 3)], False),
    "identity": (lambda k, x: x, [("f", 3)], False),
    "linear": (lambda k, x: (x * 3).sum(), [("f", 3)], False),
    "quadratic": (lambda k, x: (x * x).sum(), [("f", 3)], False),
    "bilinear": (lambda k, x, y: (x * y).sum(), [("f", 3), ("f", 3)], True),
    "unused": (lambda k, x, y: (x**3).sum(), [("f", 3), ("f", 2)], True),
    "one unused by one": (lambda k, x, y: ((x**2).sum(), (x * y).sum()), [("f", 2), ("f", 2)], True),
    "constant": (lambda k, x: k.lib.ones(()), [("f", 3)], False),
    "constants": (lambda k, x: (x * 2, k.lib.ones(2)), [("f", 2)], False),
    "detached": (lambda k, x: x.detach() * 2, [("f", 2)], False),
    "depends on the closure": (lambda k, x: (x**2, k.w * 2), [("f", 3)], False),
    "linear by the closure": (lambda k, x: (k.w * x).sum(), [("f", 3)], False),
    "one linear by the closure": (lambda k, x, y: (x**3).sum() + (k.w * y).sum(), [("f", 3), ("f", 3)], True),
    "only the closure": (lambda k, x: k.w.sum(), [("f", 3)], False),
    "floats": (lambda k, x: (x**3).sum(), [("g", 3)], False),
    "floats to doubles": (lambda k, x: x.double() ** 2, [("g", 2)], False),
    "mixed": (lambda k, x, y: (x * y).sum(), [("g", 2), ("f", 2)], True),
    "complex": (lambda k, x: x * x * 1j, [("c", 2)], False),
    "complex to real": (lambda k, x: (x.abs() ** 2).sum(), [("c", 2)], False),
    "real to complex": (lambda k, x: x * (1 + 2j), [("f", 2)], False),
    "complex sum": (lambda k, x: (x**3).sum(), [("c", 2)], False),
    "integers": (lambda k, x: x.sum(), [("i", 2)], False),
    "to integers": (lambda k, x: x.long(), [("f", 2)], False),
    "empty": (lambda k, x: x * 2, [("f", 0, 2)], False),
    "empty output": (lambda k, x: x[:0] * 2, [("f", 3)], False),
    "empty and full": (lambda k, x: (x[:0] * 2, x * x), [("f", 3)], False),
    "in place": (lambda k, x: x.mul_(2).sum(), [("f", 3)], False),
    "a copy in place": (lambda k, x: x.clone().mul_(x).sum(), [("f", 3)], False),
    "several outputs": (lambda k, x: x.view(2, 2).max(0).values * x.unbind()[1], [("f", 4)], False),
    "no output": (lambda k, x: (), [("f", 3)], False),
    "no input": (lambda k: k.w * 2, [], True),
    "a list": (lambda k, x: [x, x], [("f", 3)], False),
    "a number": (lambda k, x: 1.0, [("f", 3)], False),
    "a tensor and a number": (lambda k, x: (x, 1.0), [("f", 3)], False),
}
#: In forward mode PyTorch says "The outputs given to None must be either a Tensor or a tuple of Tensors".
NAMELESS = {"a list", "a number", "a tensor and a number"}


def outcome(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(), None
        except Exception as error:
            return None, error


def detached(value):
    return tuple(map(detached, value)) if isinstance(value, (tuple, list)) else value.detach()


def agree_on(make, where, recorded=True):
    """Both sides give the same, or raise the same type with the same first sentence."""
    theirs, their_error = outcome(make(torch))
    ours, our_error = outcome(make(ndgrad))
    if their_error is None:
        if our_error is not None:
            raise AssertionError(f"{where}: torch gives {theirs}, ndgrad raises {our_error!r}") from our_error
        if not recorded:
            theirs, ours = detached(theirs), detached(ours)
        same_value(theirs, ours, 1e-10, 1e-11, strides=False, names=False, where=where)
        return
    assert our_error is not None, f"{where}: torch raises {their_error!r}, ndgrad gives {ours}"
    assert type(our_error) is type(their_error), f"{where}\ntorch:  {their_error!r}\nndgrad: {our_error!r}"
    assert str(our_error).startswith(first_sentence(str(their_error))), f"{where}\ntorch:  {their_error}\nndgrad: {our_error}"


def inputs_of(lib, case, requires_grad):
    _, kinds, is_tuple = CASES[case]
    made = tuple(numbers(lib, kind, *shape, requires_grad=requires_grad, seed=i) for i, (kind, *shape) in enumerate(kinds))
    return made if is_tuple else made[0]


def function_of(lib, case):
    captured = Captured(lib)
    return lambda *inputs: CASES[case][0](captured, *inputs)


def vector(lib, like, create_graph):
    def one(position, x):
        kind = next(key for key, name in KINDS.items() if str(x.dtype) == f"torch.{name}")
        return numbers(lib, kind, *x.shape, requires_grad=create_graph, seed=7 + position)

    return tuple(one(i, x) for i, x in enumerate(like)) if isinstance(like, tuple) else one(0, like)


# ---------------------------------------------------------------- products with a vector
@pytest.mark.parametrize("name", ["vjp", "jvp", "vhp", "hvp"])
@pytest.mark.parametrize("case", CASES)
def test_products(case, name):
    for create_graph, strict, requires_grad, with_v in itertools.product((False, True), repeat=4):
        for of_inputs in (False, True) if with_v else (True,):

            def make(lib, flags=(create_graph, strict), requires_grad=requires_grad, with_v=with_v, of_inputs=of_inputs):
                func, inputs = function_of(lib, case), inputs_of(lib, case, requires_grad)
                v = None
                if with_v:
                    like = (
                        inputs if of_inputs else func(*(x.detach().clone() for x in (inputs if isinstance(inputs, tuple) else (inputs,))))
                    )
                    v = vector(lib, like, flags[0])
                return lambda: getattr(lib.autograd.functional, name)(func, inputs, v, *flags)

            made = outcome(lambda make=make: make(torch))[0]
            if made is not None:  # else the function returned what no vector can be like
                agree_on(make, f"{name} {create_graph=} {strict=} {requires_grad=} {with_v=} {of_inputs=}")


# ---------------------------------------------------------------- matrices
@pytest.mark.parametrize("name", ["jacobian", "hessian"])
@pytest.mark.parametrize("case", CASES)
def test_matrices(case, name):
    strategy_name = "strategy" if name == "jacobian" else "outer_jacobian_strategy"
    for create_graph, strict, vectorize, requires_grad, forward in itertools.product((False, True), repeat=5):
        strategy = "forward-mode" if forward else "reverse-mode"
        if forward and vectorize and case in NAMELESS and name == "jacobian":
            continue
        flags = {"create_graph": create_graph, "strict": strict, "vectorize": vectorize, strategy_name: strategy}

        def make(lib, flags=flags, requires_grad=requires_grad):
            func, inputs = function_of(lib, case), inputs_of(lib, case, requires_grad)
            return lambda: getattr(lib.autograd.functional, name)(func, inputs, **flags)

        # PyTorch's tangent of x * 2 has history, because it adds x * 0
        agree_on(make, f"{name} {flags} {requires_grad=}", recorded=not forward)


# ---------------------------------------------------------------- what the table does not have
WRONG_CALLS = {
    "a list of inputs": lambda lib, F, x: F.jacobian(lambda x, y: x, [x, x]),
    "a number among inputs": lambda lib, F, x: F.hessian(lambda x, y: x, (x, 1.0)),
    "a list as v": lambda lib, F, x: F.vjp(lambda x: x * 2, x, [x]),
    "v of another size": lambda lib, F, x: F.vjp(lambda x: x * 2, x, x[:2]),
    "an entry of v of another size": lambda lib, F, x: F.jvp(lambda x, y: x * y, (x, x), (x, x[:2])),
    "too many entries of v": lambda lib, F, x: F.vhp(lambda x: x.sum(), x, (x, x)),
    "too few entries of v": lambda lib, F, x: F.hvp(lambda x, y: (x * y).sum(), (x, x), x),
    "complex v of real outputs": lambda lib, F, x: F.vjp(lambda x: x * 2, x, x * 1j),
    "real v of complex outputs": lambda lib, F, x: F.vjp(lambda x: x * 2j, x, x),
    "no v for several outputs": lambda lib, F, x: F.vjp(lambda x: (x[0], x[1]), x),
    "no v for several inputs": lambda lib, F, x: F.jvp(lambda x, y: x * y, (x[0], x[1])),
    "strategy of a jacobian": lambda lib, F, x: F.jacobian(lambda x: x, x, strategy="sideways"),
    "strategy of a hessian": lambda lib, F, x: F.hessian(lambda x: x.sum(), x, outer_jacobian_strategy="sideways"),
    "no function": lambda lib, F, x: F.jacobian(3, x),
    "the wrong number of arguments": lambda lib, F, x: F.vjp(len, (x, x)),
    "an error of the function": lambda lib, F, x: F.hessian(lambda x: {}["key"], x),
    "forward mode within forward mode": lambda lib, F, x: within_level(
        lib, lambda: F.jacobian(lambda x: x * 2, x, vectorize=True, strategy="forward-mode")
    ),
    "a graph that is used up": lambda lib, F, x: F.jacobian(lambda x: x * used_up(x), x),
}


def within_level(lib, call):
    with lib.autograd.forward_ad.dual_level():
        return call()


def used_up(x):
    y = x.exp()
    y.sum().backward()
    return y


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_wrong_calls(case):
    def make(lib):
        return lambda: WRONG_CALLS[case](lib, lib.autograd.functional, lib.tensor([1.0, 2.0, 3.0]))

    assert outcome(make(torch))[1] is not None
    agree_on(make, case)


def test_signatures():
    ours, theirs = ndgrad.autograd.functional, torch.autograd.functional
    assert sorted(ours.__all__) == sorted(theirs.__all__)
    for name in theirs.__all__:
        mine, other = (inspect.signature(getattr(module, name)).parameters.values() for module in (ours, theirs))
        assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in other]


CHAINED = {
    "hessian of a jvp": lambda lib, F, x, v: F.hessian(lambda x: F.jvp(torch_like(lib), x, v, create_graph=True)[1].sum(), x),
    "jacobian of a vhp": lambda lib, F, x, v: F.jacobian(
        lambda x: F.vhp(lambda x: torch_like(lib)(x).sum(), x, v, create_graph=True)[1], x
    ),
    "jacobian of an hvp by v": lambda lib, F, x, v: F.jacobian(
        lambda v: F.hvp(lambda x: torch_like(lib)(x).sum(), x, v, create_graph=True)[1], v
    ),
    "jacobian of a jacobian of a jacobian": lambda lib, F, x, v: F.jacobian(
        lambda x: F.jacobian(lambda x: F.jacobian(torch_like(lib), x, create_graph=True), x, create_graph=True), x
    ),
    "forward over forward over reverse": lambda lib, F, x, v: F.jacobian(
        lambda x: F.hessian(lambda x: torch_like(lib)(x).sum(), x, create_graph=True), x, vectorize=True
    ),
    "gradient of a hessian": lambda lib, F, x, v: gradient_of(
        lib, x, lambda x: F.hessian(lambda x: torch_like(lib)(x).sum(), x, create_graph=True)
    ),
    "gradient of a vjp": lambda lib, F, x, v: gradient_of(lib, x, lambda x: F.vjp(torch_like(lib), x, v, create_graph=True)[1]),
    "in no_grad": lambda lib, F, x, v: in_no_grad(lib, lambda: F.hessian(lambda x: torch_like(lib)(x).sum(), x, create_graph=True)),
}


def torch_like(lib):
    return lambda x: x.sin() * x.flip(0) ** 3 + lib.cumsum(x, 0)


def gradient_of(lib, x, function):
    x.requires_grad_()
    return lib.autograd.grad((function(x) ** 2).sum(), x)


def in_no_grad(lib, call):
    with lib.no_grad():
        return call(), lib.is_grad_enabled()


@pytest.mark.parametrize("case", CHAINED)
def test_one_in_another(case):
    def make(lib):
        x, v = lib.tensor([0.3, -1.0, 0.7], dtype=lib.float64), lib.tensor([1.0, 0.5, -2.0], dtype=lib.float64)
        return lambda: CHAINED[case](lib, lib.autograd.functional, x, v)

    assert outcome(make(torch))[1] is None
    agree_on(make, case)


def hooks_on(lib, log):
    """A function whose graph somebody watches."""

    def function(x):
        y = x * x
        y.register_hook(lambda g: log.append(g.tolist()))
        return y.cumsum(0)

    return function


@pytest.mark.parametrize("flags", [{}, {"create_graph": True}])
def test_hooks_of_the_function_see_every_row(flags):
    logs = []
    for lib in (torch, ndgrad):
        log = []
        x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        log.append(lib.autograd.functional.jacobian(hooks_on(lib, log), x, **flags).tolist())
        logs.append(log)
    assert logs[0] == logs[1]
    assert len(logs[0]) == 4


def test_custom_functions_that_return_none_now_and_then():
    found = []
    for lib in (torch, ndgrad):

        class Sometimes(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, g):
                return g * 2 if g[0] else None

        x = lib.tensor([1.0, 2.0])
        jacobian, function = lib.autograd.functional.jacobian, Sometimes.apply
        found.append((jacobian(function, x).tolist(), *outcome_text(lambda j=jacobian, f=function, x=x: j(f, x, strict=True))))
    assert found[0][:2] == found[1][:2]
    assert found[1][2].startswith(first_sentence(found[0][2]))


def outcome_text(call):
    error = outcome(call)[1]
    return type(error).__name__, str(error)
