"""Anomaly detection: what it says beyond PyTorch, that it belongs to one thread, and the log of a backward."""

import gc
import logging
import re
import subprocess
import sys
import threading
import warnings
import weakref

import pytest

import ndgrad as torch
from ndgrad.base import modes
from ndgrad.core.freed import running
from ndgrad.core.observers import Observer, observing


@pytest.fixture(autouse=True)
def _nothing_is_left_on():
    yield
    assert not torch.is_anomaly_enabled()
    assert torch.is_anomaly_check_nan_enabled()
    assert not modes.exceptional
    assert running() is None


@pytest.fixture
def detecting():
    """Anomaly detection, without its warning that it is on."""
    with torch.autograd.set_detect_anomaly(True):
        yield


def leaf(*values, dtype=torch.float64):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


def line_here():
    return sys._getframe(1).f_lineno


def anomaly_of(call, kind=RuntimeError):
    """The error of a call and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(kind) as raised:
            call()
    assert all(warning.filename == __file__ for warning in caught)
    return raised.value, [str(warning.message) for warning in caught]


# ---------------------------------------------------------------- what the error says
@pytest.mark.usefixtures("detecting")
def test_the_error_names_line_place_values_and_the_side_of_where_not_taken():
    x = leaf(4.0, 0.0, 0.0)
    y, made = x.sqrt(), line_here()
    z, chosen = torch.where(x > 0, y, x), line_here()
    error, (warning,) = anomaly_of(lambda: z.sum().backward())
    assert type(error) is RuntimeError
    text = str(error)
    assert text.startswith("Function 'SqrtBackward0' returned nan values in its 0th output.\n")
    assert f"called in line {made} of {__file__}" in text
    assert "nan at index [1] of shape [3] (2 of 3 elements)" in text
    assert "incoming gradient = 0.0, the result = 0.0" in text
    assert "The gradient was exactly 0 at 2 positions where sqrt's derivative is inf" in text
    assert f"the side of `where` not taken, line {chosen} of {__file__}" in text
    assert warning.startswith("Error detected in SqrtBackward0. Traceback of forward call that caused the error:\n")
    assert f'File "{__file__}", line {made}, in test_the_error_names' in warning
    assert "y, made = x.sqrt(), line_here()" in warning
    assert x.grad is None


@pytest.mark.usefixtures("detecting")
def test_the_maker_of_the_zero_is_found_through_elementwise_operations():
    x = leaf(0.0, 1.0)
    error, _ = anomaly_of(lambda: torch.where(x > 0, x.sqrt().exp() * 3 + 1, x).sum().backward())
    assert "the side of `where` not taken" in str(error)


@pytest.mark.usefixtures("detecting")
@pytest.mark.parametrize(
    ("call", "maker"),
    [
        (lambda y: y * torch.tensor([0.0, 1.0]).double(), "`mul` made it 0"),
        (lambda y: y.masked_fill(torch.tensor([True, False]), 2.0), "`masked_fill` made it 0"),
        (lambda y: y[1:], "`slice` made it 0"),
        (lambda y: y[torch.tensor([False, True])], "`index` made it 0"),
        (lambda y: y.clamp(min=1.0), "`clamp` made it 0"),
    ],
)
def test_whatever_made_the_zero_is_named(call, maker):
    x = leaf(0.0, 1.0)
    error, _ = anomaly_of(lambda: call(x.sqrt()).sum().backward())
    assert f"where sqrt's derivative is inf: {maker}, line " in str(error)


@pytest.mark.usefixtures("detecting")
def test_a_zero_that_the_caller_gave_has_no_maker():
    x = leaf(0.0)
    error, _ = anomaly_of(lambda: x.log().backward(torch.zeros(1).double()))
    assert "The gradient was exactly 0 at 1 position where log's derivative is inf. 0 times that is nan." in str(error)


@pytest.mark.usefixtures("detecting")
def test_other_causes_are_told_apart():
    x = leaf(-1.0)
    error, _ = anomaly_of(lambda: x.sqrt().backward())
    assert "The derivative of sqrt is nan there." in str(error)
    error, _ = anomaly_of(lambda: (x * 2).backward(torch.tensor([torch.nan]).double()))
    assert "The gradient that came in was already nan there." in str(error)
    zero = leaf(0.0)
    error, _ = anomaly_of(lambda: (zero * zero.detach()).backward(torch.tensor([torch.inf]).double()))
    assert "The gradient that came in was inf there, and the derivative of mul is 0.0." in str(error)


@pytest.mark.usefixtures("detecting")
def test_operands_that_were_broadcast_are_read_in_the_right_place():
    x, y = leaf(1.0, 0.0), leaf(3.0, 4.0, 5.0)
    weights = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double()
    error, _ = anomaly_of(lambda: (y.reshape(3, 1) / x * weights).sum().backward())
    assert "at index [1, 1] of shape [3, 2] (1 of 6 elements). There: incoming gradient = 0.0, other = 0.0" in str(error)


@pytest.mark.usefixtures("detecting")
def test_with_create_graph_the_same_is_said():
    x = leaf(0.0, 4.0)
    error, _ = anomaly_of(lambda: torch.autograd.grad(torch.where(x > 0, x.sqrt(), x).sum(), x, create_graph=True))
    assert "the side of `where` not taken" in str(error)


@pytest.mark.usefixtures("detecting")
def test_second_derivatives_lead_back_to_the_first_forward():
    x = leaf(0.0)
    y, forward = x**1.5, line_here()
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    backward = line_here() - 1
    error, texts = anomaly_of(lambda: (g * 0).sum().backward())
    assert "Function 'PowBackward0' returned nan values in its 0th output." in str(error)
    assert len(texts) == 2
    assert f"line {backward}, in" in texts[0]
    assert texts[1].startswith("\n\nPrevious calculation was induced by PowBackward0. Traceback of forward call that induced")
    assert f"line {forward}, in" in texts[1]


@pytest.mark.usefixtures("detecting")
def test_inplace_operations_and_views_are_found_by_their_line():
    x = leaf(0.0, 1.0)
    y = x * 1
    y[:1].sqrt_()
    written = line_here() - 1
    error, (warning,) = anomaly_of(lambda: (y * torch.tensor([0.0, 1.0]).double()).sum().backward())
    assert f"line {written} of {__file__}" in str(error)
    assert f"line {written}, in test_inplace_operations" in warning


# ---------------------------------------------------------------- errors of users
def test_where_warnings_are_errors_the_error_keeps_its_type_and_carries_the_traceback():
    class Own(Exception):
        pass

    def fail(g):
        raise Own("mine")

    with torch.autograd.set_detect_anomaly(True):
        x = leaf(1.0)
        y = x * 2
        y.register_hook(fail)
    with torch.autograd.set_detect_anomaly(True, check_nan=False), pytest.raises(Own, match="mine") as raised:
        y.sum().backward()
    (note,) = raised.value.__notes__
    assert note.startswith("Error detected in MulBackward0. Traceback of forward call")
    assert "y = x * 2" in note


def test_without_a_traceback_the_line_is_known_all_the_same():
    x = leaf(-1.0)
    y = x.sqrt()
    made = line_here() - 1
    with torch.autograd.set_detect_anomaly(True):
        _, (warning,) = anomaly_of(lambda: y.sum().backward())
    assert "No forward pass information available. Enable detect anomaly during forward pass for more information." in warning
    assert f"{__file__}:{made}" in warning


def test_a_failed_backward_leaves_the_thread_as_it_was():
    x = leaf(-1.0)
    with torch.autograd.set_detect_anomaly(True):
        anomaly_of(lambda: x.sqrt().sum().backward())
        assert torch.is_grad_enabled()
        (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0]


# ---------------------------------------------------------------- threads and other observers
def test_the_mode_belongs_to_a_thread():
    seen = []

    def other():
        seen.append(torch.is_anomaly_enabled())
        x = leaf(0.0)
        x.sqrt().backward(torch.zeros(1).double())
        seen.append(x.grad.isnan().item())
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        seen.append(torch.is_anomaly_enabled())

    with torch.autograd.set_detect_anomaly(True):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert torch.is_anomaly_check_nan_enabled()
    assert seen == [False, True, True]


def test_a_switch_inside_another_observer_outlives_it():
    with observing(Observer()):
        torch.autograd.set_detect_anomaly(True)
    assert torch.is_anomaly_enabled()
    with observing(Observer()):
        torch.autograd.set_detect_anomaly(False)
        assert not torch.is_anomaly_enabled()
    assert not torch.is_anomaly_enabled()


def test_the_warning_on_entry_points_to_the_user():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled. This mode will increase the runtime") as caught:
        torch.autograd.detect_anomaly()
    assert caught[0].filename == __file__


@pytest.mark.usefixtures("detecting")
def test_metadata_makes_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        g.sum().backward()
        node = weakref.ref(g.grad_fn)
        assert node().metadata["parent_"].metadata["traceback_"]
        del g
        assert node() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- the log
def test_the_log_says_what_runs(caplog):
    x = torch.ones(2, 3, requires_grad=True)
    with caplog.at_level(logging.DEBUG, logger="torch.autograd.graph"):
        (x * 2).sum().backward()
    said = [re.sub(r"object at 0x[0-9a-f]+", "...", message) for message in caplog.messages]
    assert said == [
        "Executing: <SumBackward0 ...> with grad_outputs: [f32[]]",
        "Executing: <MulBackward0 ...> with grad_outputs: [f32[2, 3]]",
        "Executing: <AccumulateGrad ...> with grad_outputs: [f32[2, 3]]",
    ]


def test_the_level_of_a_logger_above_counts():
    code = """
import logging, sys, ndgrad
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
x = ndgrad.ones(2, requires_grad=True)
x.exp().sum().backward()
logging.getLogger("torch").setLevel(logging.DEBUG)
x.sin().sum().backward()
logging.getLogger("torch").setLevel(logging.WARNING)
x.cos().sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.findall(r"Executing: <(\w+)", done.stdout) == ["SumBackward0", "SinBackward0", "AccumulateGrad"]


def test_ndgrad_does_not_import_logging():
    code = """
import sys, ndgrad
x = ndgrad.ones(2, requires_grad=True)
x.exp().sum().backward()
assert "logging" not in sys.modules
import logging
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(name)s %(message)s")
x.exp().sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("torch.autograd.graph Executing: <") == 3


def test_a_nan_is_explained_where_saved_values_can_be_had_once_only():
    from_the_side = "The gradient was exactly 0 at 1 position where sqrt's derivative is inf: the side of `where` not taken"

    def function(a):
        return torch.where(a > 0, a.sqrt(), a)

    def taken_once(tensor):
        return [tensor.detach().clone()]

    for watch, kind in ((torch.autograd.detect_anomaly, RuntimeError), (torch.autograd.check_numerics, FloatingPointError)):
        x = torch.tensor([0.0, 2.0], requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with watch():
                y = torch.utils.checkpoint.checkpoint(lambda a: function(a) * 1, x, use_reentrant=False)
                with pytest.raises(kind, match=from_the_side):
                    y.sum().backward()
                with torch.autograd.graph.saved_tensors_hooks(taken_once, lambda box: box.pop()):
                    y = function(x)
                with pytest.raises(kind, match=from_the_side):
                    y.sum().backward()
                y = torch.utils.checkpoint.checkpoint(function, x, use_reentrant=False)
                with pytest.raises(kind, match="nan"):
                    torch.autograd.grad(y.sum(), x, create_graph=True)
