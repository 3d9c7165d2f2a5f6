"""no_grad, enable_grad, set_grad_enabled and inference_mode: blocks, decorators, generators, nesting, threads, inference tensors."""

import threading

import pytest

import ndgrad as torch

SWITCHES = {"no_grad": (torch.no_grad, False), "enable_grad": (torch.enable_grad, True)}


@pytest.fixture(autouse=True)
def modes_are_left_as_they_were():
    yield
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.fixture
def x():
    return torch.tensor([1.0, 2.0], requires_grad=True)


# ---------------------------------------------------------------- blocks
def test_blocks_nest_and_end_with_what_was_before():
    with torch.no_grad():
        assert not torch.is_grad_enabled()
        with torch.enable_grad():
            assert torch.is_grad_enabled()
            with torch.set_grad_enabled(False):
                assert not torch.is_grad_enabled()
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()


def test_one_object_may_be_entered_again():
    block = torch.no_grad()
    with block:
        with block:
            assert not torch.is_grad_enabled()
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)])
def test_an_exception_ends_a_block(block):
    with pytest.raises(KeyError), block():
        raise KeyError
    assert torch.is_grad_enabled()


def test_nothing_is_recorded_in_no_grad(x):
    with torch.no_grad():
        y = x * 2
        assert not y.requires_grad
        assert y.grad_fn is None
        with torch.enable_grad():
            assert (x * 2).requires_grad
        made = torch.ones(2, requires_grad=True)
    assert made.requires_grad
    assert made.is_leaf


def test_set_grad_enabled_works_when_it_is_called():
    torch.set_grad_enabled(False)
    try:
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert torch.is_grad_enabled()


def test_set_grad_enabled_takes_bools_alone():
    for value in (0, "yes", None):
        with pytest.raises(TypeError, match=r"set_grad_enabled\(\): argument 'enabled' \(position 1\) must be bool, not "):
            torch.set_grad_enabled(value)


def test_backward_works_in_no_grad(x):
    y = (x * x).sum()
    with torch.no_grad():
        y.backward()
        assert not torch.is_grad_enabled()
    assert x.grad.tolist() == [2.0, 4.0]
    assert not x.grad.requires_grad


def test_numpy_in_no_grad(x):
    with torch.no_grad():
        assert x.numpy().tolist() == [1.0, 2.0]
    assert x.numpy(force=True).tolist() == [1.0, 2.0]


# ---------------------------------------------------------------- decorators
@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("called", [False, True])
def test_decorated_functions(name, called, x):
    switch, value = SWITCHES[name]

    def body(scale, *, shift=0.0):
        """Doc."""
        assert torch.is_grad_enabled() is value
        return x * scale + shift

    decorated = (switch() if called else switch)(body)
    assert decorated.__name__ == "body"
    assert decorated.__doc__ == "Doc."
    with torch.set_grad_enabled(not value):
        y = decorated(2.0, shift=1.0)
    assert y.tolist() == [3.0, 5.0]
    assert y.requires_grad is value


def test_decorating_with_set_grad_enabled_changes_nothing_outside(x):
    @torch.set_grad_enabled(False)
    def body():
        return (x * 2).requires_grad

    assert torch.is_grad_enabled()
    assert body() is False
    assert torch.is_grad_enabled()


def test_decorated_methods(x):
    class Model:
        @torch.no_grad()
        def predict(self, value):
            return value * 2

    assert not Model().predict(x).requires_grad


def test_decorated_functions_may_recurse():
    @torch.no_grad()
    def depth(n):
        assert not torch.is_grad_enabled()
        return n if n == 0 else 1 + depth(n - 1)

    assert depth(5) == 5


@pytest.mark.parametrize("called", [False, True])
def test_decorating_with_inference_mode(called, x):
    def body():
        return x * 2

    decorated = (torch.inference_mode() if called else torch.inference_mode)(body)
    assert decorated().is_inference()


# ---------------------------------------------------------------- generators
def test_generators_have_the_mode_only_while_they_run():
    @torch.no_grad()
    def numbers():
        for number in range(3):
            assert not torch.is_grad_enabled()
            yield number

    for number in numbers():
        assert torch.is_grad_enabled(), number


def test_everything_that_can_be_done_to_a_generator():
    seen = []

    @torch.no_grad()
    def conversation():
        try:
            seen.append((yield torch.is_grad_enabled()))
            try:
                yield torch.is_grad_enabled()
            except ValueError as error:
                seen.append(str(error))
            yield torch.is_grad_enabled()
        finally:
            seen.append(torch.is_grad_enabled())
        return "done"

    talk = conversation()
    assert next(talk) is False
    assert torch.is_grad_enabled()
    assert talk.send("sent") is False
    assert talk.throw(ValueError("thrown")) is False
    with pytest.raises(StopIteration) as end:
        next(talk)
    assert end.value.value == "done"
    assert seen == ["sent", "thrown", False]

    seen.clear()
    talk = conversation()
    next(talk)
    talk.close()
    assert seen == [False]


# ---------------------------------------------------------------- threads
def test_modes_belong_to_one_thread(x):
    found = {}

    def work():
        found["starts"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        torch.set_grad_enabled(False)
        found["recorded"] = (x * 2).requires_grad

    for block in (torch.no_grad, torch.inference_mode):
        with block():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert found == {"starts": (True, False), "recorded": False}
    assert torch.is_grad_enabled()
    # thread numbers are used again: the mode that a thread left behind must not meet its successor
    for _ in range(20):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found["starts"] == (True, False)


# ---------------------------------------------------------------- views taken in no_grad
def test_views_of_parameters_taken_in_no_grad_still_require_grad(x):
    with torch.no_grad():
        v = x.view(2, 1)
        assert v.requires_grad
        assert v.is_leaf
        assert v.grad_fn is None
        assert v._base is x
    # the view is no tensor of its own: it neither gets a gradient nor passes one on
    (v * 2).sum().backward()
    assert x.grad is None
    assert v.grad is None
    with torch.no_grad():
        v.mul_(3)
    assert x.tolist() == [3.0, 6.0]
    assert "grad_fn=<Invalid>" in repr(v)


# ---------------------------------------------------------------- inference mode
def test_tensors_made_in_inference_mode(x):
    with torch.inference_mode():
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
        made, computed = torch.ones(2), x * 2
        assert made.is_inference()
        assert made.view(2, 1).is_inference()
        assert computed.is_inference()
        assert not computed.requires_grad
        made.mul_(2)
    assert made.tolist() == [2.0, 2.0]
    assert not made.clone().is_inference()
    assert made.view(2, 1).is_inference()
    assert made.detach().is_inference()
    assert not (made * 2).is_inference()
    assert (x + made).requires_grad


def test_normal_tensors_in_inference_mode(x):
    n = torch.ones(2)
    with torch.inference_mode():
        v = x.view(2, 1)
        assert not v.is_inference()
        assert v.requires_grad
        n.mul_(2)
        x.mul_(2)
    assert n._version == x._version == 1
    assert not n.is_inference()


def test_enable_grad_does_not_undo_inference_mode(x):
    with torch.inference_mode(), torch.enable_grad():
        assert torch.is_grad_enabled()
        y = x * 2
        assert y.is_inference()
        assert not y.requires_grad


def test_inference_mode_can_be_left_inside():
    with torch.inference_mode():
        with torch.inference_mode(False):
            assert torch.is_grad_enabled()
            assert not torch.ones(2).is_inference()
        assert torch.ones(2).is_inference()
        with torch.inference_mode(mode=True):
            assert torch.is_inference_mode_enabled()


def test_leaves_made_in_inference_mode():
    with torch.inference_mode():
        q = torch.ones(2, requires_grad=True)
        assert q.requires_grad
        assert not (q * 2).requires_grad
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        q * q
    assert (q + 2).requires_grad


def test_a_function_decorated_with_inference_mode_off_is_outside_of_it():
    @torch.inference_mode(False)
    def outside():
        return torch.ones(1).is_inference(), torch.is_inference_mode_enabled()

    with torch.inference_mode():
        assert outside() == (False, False) and torch.is_inference_mode_enabled()
