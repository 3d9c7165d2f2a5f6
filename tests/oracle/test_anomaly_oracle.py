"""Anomaly detection and the log of a backward, run by both libraries: errors, warnings with their tracebacks, metadata.

PyTorch's anomaly detection is one switch of the process, ndgrad's one of each thread; one thread cannot tell.
"""

import logging
import re
import warnings

import pytest
import torch as their_torch

from tests.oracle.both import PROGRAMS, check, program

LIBRARY_FRAME = re.compile(r'  File "[^"]*/(?:site-packages/torch|src/ndgrad)/[^"]*".*\n(?:    .*\n)?')


def heard(call):
    """The outcome of a call and the warnings on the way, without frames of the library and without what only one of them says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = ("result", call())
        except Exception as error:
            outcome = ("error", type(error).__name__, str(error).split("\n")[0].split(". ")[0].rstrip("."))
    texts = []
    for warning in caught:
        text = str(warning.message).split(" (Triggered internally")[0].split(" All that is known")[0]
        texts.append((warning.category.__name__, LIBRARY_FRAME.sub("", text)))
    return outcome, texts


def failing(torch, kind=KeyError):
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise kind("of the user")

    return Failing


def leaf(torch, *values):
    return torch.tensor(list(values), requires_grad=True)


@program
def nan_from_the_side_not_taken(torch, show, attempt):
    def run():
        with torch.autograd.detect_anomaly():
            x = leaf(torch, -1.0, 4.0)
            y = torch.where(x > 0, x.sqrt(), x)
            y.sum().backward()

    show(heard(run))


@program
def nan_of_many_operations(torch, show, attempt):
    def gradient(call):
        with torch.autograd.detect_anomaly():
            x = leaf(torch, 0.0, 2.0)
            return torch.autograd.grad(call(x).sum(), x, torch.zeros(()))

    calls = [
        lambda x: x.log(),
        lambda x: x.sqrt(),
        lambda x: x.rsqrt(),
        lambda x: x.pow(0.5),
        lambda x: 1 / x,
        lambda x: x / x,
        lambda x: x.detach() / x,
        lambda x: x / x.detach(),
        lambda x: x.acos() * 0,
        lambda x: x * torch.tensor(float("inf")),
        lambda x: torch.where(x > 0, x.log(), x),
        lambda x: x.expand(3, 2).log(),
        lambda x: x.clone().log_(),
        lambda x: x[0:1].log(),
        lambda x: x.exp(),
    ]
    for call in calls:
        show(heard(lambda call=call: gradient(call)))


@program
def nan_that_came_in(torch, show, attempt):
    def run(*, check_nan):
        with torch.autograd.detect_anomaly(check_nan):
            x = leaf(torch, 4.0)
            (x * 2).backward(torch.tensor([float("nan")]))
            return str(x.grad)

    show(heard(lambda: run(check_nan=True)))
    show(heard(lambda: run(check_nan=False)))


@program
def nan_in_a_second_derivative(torch, show, attempt):
    def run():
        with torch.autograd.detect_anomaly():
            x = leaf(torch, 0.0)
            y = (x**1.5).sum()
            (g,) = torch.autograd.grad(y, x, create_graph=True)
            torch.autograd.grad((g * 0).sum(), x)

    show(heard(run))


@program
def nan_in_a_third_derivative(torch, show, attempt):
    def run():
        with torch.autograd.detect_anomaly():
            x = leaf(torch, 0.0)
            g = x**2.5
            for _ in range(2):
                (g,) = torch.autograd.grad(g.sum(), x, create_graph=True)
            torch.autograd.grad((g * 0).sum(), x)

    show(heard(run))


@program
def errors_of_users(torch, show, attempt):
    for kind in (KeyError, RuntimeError, ValueError, StopIteration):

        def run(kind=kind):
            with torch.autograd.detect_anomaly():
                x = leaf(torch, 1.0)
                failing(torch, kind).apply(x).sum().backward()

        show(heard(run))


@program
def errors_of_hooks(torch, show, attempt):
    def register_on_node(x, y):
        y.grad_fn.register_hook(lambda inputs, outputs: 1 / 0)

    def register_before_node(x, y):
        y.grad_fn.register_prehook(lambda outputs: 1 / 0)

    for register in (
        lambda x, y: x.register_hook(lambda g: 1 / 0),
        lambda x, y: y.register_hook(lambda g: 1 / 0),
        lambda x, y: x.register_post_accumulate_grad_hook(lambda leaf: 1 / 0),
        register_on_node,
        register_before_node,
    ):

        def run(register=register):
            with torch.autograd.detect_anomaly():
                x = leaf(torch, 1.0)
                y = x * 2
                register(x, y)
                y.sum().backward()

        show(heard(run))


@program
def nan_is_looked_for_after_the_hooks(torch, show, attempt):
    def run(value, number):
        with torch.autograd.detect_anomaly():
            x = leaf(torch, value)
            y = x.sqrt()
            y.grad_fn.register_hook(lambda inputs, outputs: (torch.tensor([number]),))
            y.backward()
            return x.grad.tolist()

    show(heard(lambda: run(-1.0, 0.5)))
    show(heard(lambda: run(4.0, float("nan"))))


@program
def forward_before_the_mode(torch, show, attempt):
    def run():
        y = failing(torch).apply(leaf(torch, 1.0)).sum()
        with torch.autograd.detect_anomaly():
            y.backward()

    show(heard(run))


@program
def forward_in_the_mode_and_backward_after_it(torch, show, attempt):
    def run():
        with torch.autograd.detect_anomaly():
            y = failing(torch).apply(leaf(torch, 1.0)).sum()
        y.backward()

    show(heard(run))


@program
def errors_of_the_engine(torch, show, attempt):
    def twice():
        with torch.autograd.detect_anomaly():
            x = leaf(torch, 4.0)
            y = (x * x).sum()
            y.backward()
            y.backward()

    def stale():
        with torch.autograd.detect_anomaly():
            x = leaf(torch, 4.0)
            y = x.exp()
            z = y * y
            y.add_(1)
            z.sum().backward()

    for call in (twice, stale):
        (kind, name, message), texts = heard(call)
        show(kind, name, message.split(", which is")[0], texts)


@program
def custom_function_that_gives_nan(torch, show, attempt):
    class Spoiling(torch.autograd.Function):
        @staticmethod
        def forward(ctx, number, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return None, g, g * float("nan")

    def run():
        with torch.autograd.detect_anomaly():
            Spoiling.apply(3, leaf(torch, 1.0), leaf(torch, 2.0)).sum().backward()

    show(heard(run))


@program
def a_backward_in_a_backward(torch, show, attempt):
    class Nested(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                inner = x.detach().requires_grad_()
                (found,) = torch.autograd.grad((inner.log() * 0).sum(), inner)
            return found

    def run():
        with torch.autograd.detect_anomaly():
            Nested.apply(leaf(torch, 0.0)).sum().backward()

    show(heard(run))


@program
def metadata(torch, show, attempt):
    with torch.autograd.detect_anomaly(check_nan=False):
        x = leaf(torch, 1.0, 2.0)
        y = x * 2
        view = y[0]
        view.mul_(2)
        parts = (x * 3).unbind()
        z = failing(torch).apply(x)
        for node in (y.grad_fn, view.grad_fn, parts[0].grad_fn, z.grad_fn):
            lines = node.metadata["traceback_"]
            assert all(type(each) is str and each.endswith("\n") for each in lines)
            show(type(node).__name__, type(lines).__name__, LIBRARY_FRAME.sub("", "".join(lines)), sorted(node.metadata))
        power = (x**3).sum()
        (g,) = torch.autograd.grad(power, x, create_graph=True)
        show(sorted(g.grad_fn.metadata), type(g.grad_fn.metadata["parent_"]).__name__)
        show(g.grad_fn.metadata["parent_"] is power.grad_fn.next_functions[0][0])
        g.grad_fn.metadata["mine"] = 1
        show(sorted(g.grad_fn.metadata))
    show((x * 2).grad_fn.metadata)


@program
def switches(torch, show, attempt):
    def state():
        show(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())

    detect_anomaly, set_detect_anomaly = torch.autograd.detect_anomaly, torch.autograd.set_detect_anomaly
    state()
    try:
        switched = set_detect_anomaly(True)
        state()
        with switched:
            state()
        state()
        with set_detect_anomaly(True, check_nan=False):
            state()
            with set_detect_anomaly(False):
                state()
            state()
            with detect_anomaly(check_nan=True):
                state()
            state()
        state()
        early = detect_anomaly(check_nan=False)
        set_detect_anomaly(True)
        with early:
            state()
        state()
        set_detect_anomaly(False, False)
        state()
        set_detect_anomaly(mode=True)
        state()
        torch.set_anomaly_enabled(False)
        state()
        show(heard(lambda: torch.set_anomaly_enabled(1)))
        show(heard(lambda: torch.set_anomaly_enabled(True, None)))
        show(heard(lambda: set_detect_anomaly("yes")))
        state()
        show(heard(lambda: detect_anomaly("yes").__enter__()))
        try:
            with detect_anomaly():
                raise KeyError
        except KeyError:
            state()
        show(torch.autograd.anomaly_mode.__all__)
    finally:
        torch.set_anomaly_enabled(False)


# ---------------------------------------------------------------- the log
@program
def log_of_a_backward(torch, show, attempt):
    lines = []

    class Keeping(logging.Handler):
        def emit(self, record):
            text = re.sub(r" at 0x[0-9a-f]+", "", record.getMessage())
            lines.append((record.name, record.levelname, text))

    logger = logging.getLogger("torch.autograd.graph")
    handler, level, propagates = Keeping(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False

    def shown():
        show(list(lines))
        lines.clear()

    x = torch.ones(2, 3, requires_grad=True)
    try:
        logger.setLevel(logging.INFO)
        (x * 2).sum().backward()
        shown()
        logger.setLevel(logging.DEBUG)
        (x * 2).sum().backward()
        shown()
        first, _ = torch.ones(4, dtype=torch.float64, requires_grad=True).chunk(2)
        (first * x[0, 0].double()).sum().backward()
        shown()
        torch.autograd.grad((x * x).sum(), x, create_graph=True)
        shown()
        y = x.exp()
        torch.autograd.grad((y * 2).sum(), y)
        shown()
        y.sum().backward(inputs=[y])
        shown()
        y = torch.ones(2, dtype=torch.complex64, requires_grad=True)
        (y.abs() * 2).sum().backward()
        shown()
        y = failing(torch).apply(x)
        attempt(lambda: y.sum().backward())
        shown()
        logger.setLevel(logging.WARNING)
        (x * 2).sum().backward()
        shown()
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        logger.propagate = propagates


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    try:
        check(function)
    finally:
        their_torch.set_anomaly_enabled(False)
