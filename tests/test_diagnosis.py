"""What errors say beyond PyTorch's sentence: which line, which tensor, which of several causes, and what to write instead."""

import threading

import pytest

import ndgrad as torch
from ndgrad.autograd import graph
from ndgrad.autograd.function import once_differentiable

FILE = __file__


def leaf(*values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def message_of(function, kind=RuntimeError):
    with pytest.raises(kind) as caught:
        function()
    return str(caught.value)


def line_of(function, offset):
    """A line of a function of this file, as errors name it: `offset` lines below its `def`."""
    return f"{FILE}:{function.__code__.co_firstlineno + offset}"


# ---------------------------------------------------------------- a second backward
SECOND = "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed)."


def truncated(w, steps, cut):
    state = torch.zeros(2, dtype=torch.float64)
    for _ in range(steps):
        state = torch.tanh(w @ state + 1)
        loss = (state**2).sum()
        loss.backward()
        if cut:
            state = state.detach()


def test_state_carried_between_iterations_is_told_to_be_detached():
    w = torch.eye(2, dtype=torch.float64).requires_grad_()
    text = message_of(lambda: truncated(w, 3, cut=False))
    assert text.startswith(SECOND)
    step, backward = line_of(truncated, 3), line_of(truncated, 5)
    assert f"MvBackward0 at {step} reads the result of TanhBackward0, of shape [2], made at {step}" in text
    assert f"the backward called at {backward} used them up" in text
    assert ".detach()" in text
    assert "sum" not in text.partition("calling backward.\n")[2].replace("SumBackward0", "")
    truncated(w, 3, cut=True)


def test_two_losses_over_one_graph_are_told_to_be_summed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    first, second = (y * y).sum(), (y * 3).sum()
    first.backward()
    text = message_of(second.backward)
    assert text.startswith(SECOND)
    assert "(loss1 + loss2).backward()" in text
    assert "retain_graph=True to all calls but the last" in text
    assert "detach" not in text


def test_a_second_loss_made_after_the_first_backward_may_be_either():
    x = leaf(1.0, 2.0)
    y = x.exp()
    (y * y).sum().backward()
    second = (y * 3).sum()
    text = message_of(second.backward)
    assert "MulBackward0" in text
    assert "ExpBackward0, of shape [2]" in text
    assert ".detach()" in text
    assert "call backward() once on their sum" in text


def test_the_same_graph_run_again_by_the_same_line():
    loss = leaf(1.0).exp().sum()

    def loop():
        for _ in range(2):
            loss.backward()

    text = message_of(loop)
    assert "nothing was recorded since then" in text
    assert line_of(loop, 2) in text


def test_a_boundary_of_many_edges_is_told_in_part():
    states = [leaf(float(i)).exp() for i in range(5)]
    sum(state.sum() for state in states).backward()
    text = message_of(sum((state * 2).sum() for state in states).backward)
    assert text.count(" reads the result of ExpBackward0") == 3
    assert "and 2 more" in text


def test_a_boundary_is_looked_for_behind_what_saved_nothing_and_among_several_outputs():
    x = leaf(1.0, 2.0)
    a, b = (x.exp() + 1).unbind()
    a.backward()
    text = message_of((b + 1).backward)
    assert "AddBackward0" in text
    assert "reads the result of UnbindBackward0, of shape []" in text


def test_saved_values_that_are_asked_for_too_late():
    y = leaf(1.0).exp()
    y.sum().backward()
    text = message_of(lambda: y.grad_fn._saved_result)
    assert text.startswith(SECOND)
    assert "read them before it" in text


def test_a_recorded_backward_and_one_by_grad_find_the_same():
    y = leaf(1.0).exp()
    loss = (y * y).sum()
    torch.autograd.grad(loss, y)
    for create_graph in (False, True):
        text = message_of(lambda create_graph=create_graph: torch.autograd.grad(loss, y, create_graph=create_graph))
        assert text.startswith(SECOND)
        assert f"{FILE}:" in text


def test_a_thread_that_begins_with_backward_itself():
    loss = leaf(1.0).exp().sum()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    assert message_of(loss.backward).startswith(SECOND)


# ---------------------------------------------------------------- what has no history
ROOT = "element 0 of tensors does not require grad and does not have a grad_fn"


def explanation(root):
    text = message_of(root.backward)
    assert text.startswith(ROOT + ":")
    return text.removeprefix(ROOT)


def forgetting(function):
    """Run in a thread of its own, which remembers nothing of what other tests have cut."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def never_required():
    return explanation(torch.ones(3).sum())


def without_recording():
    x = leaf(1.0)
    with torch.no_grad():
        y = x * 2
    return explanation(y)


def through_detach():
    return explanation((leaf(1.0) * 2).detach())


def through_a_number():
    return explanation(torch.tensor(leaf(1.0).exp().item()))


def through_an_array():
    x = leaf(1.0).exp()
    return explanation(torch.from_numpy(x.numpy(force=True)).sum())


def through_integers():
    return explanation(leaf(1.0, 2.0).argmax())


def through_a_mask():
    return explanation((leaf(1.0) > 0).double())


def in_inference_mode():
    x = leaf(1.0)
    with torch.inference_mode():
        y = x * 2
    return explanation(y)


def frozen():
    x = leaf(1.0)
    x.requires_grad_(False)
    return explanation(x)


def through_a_frozen_one():
    x = leaf(1.0)
    x.requires_grad_(False)
    return explanation((x * 2).sum())


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return g


def differentiated_once():
    x = leaf(1.0)
    (g,) = torch.autograd.grad(Once.apply(x), x, create_graph=True)
    return explanation(g)


@pytest.mark.parametrize(
    ("cause", "offset", "words"),
    [
        (never_required, None, "Set requires_grad=True on the tensors whose gradients are wanted"),
        (without_recording, 2, "where gradients ended last: a block of no_grad() at "),
        (through_detach, 1, "the result of detach() at "),
        (through_a_number, 1, "where gradients ended last: item() at "),
        (through_an_array, 2, "where gradients ended last: numpy() at "),
        (through_integers, None, "it is torch.int64, and only floating point and complex tensors have gradients"),
        (through_a_mask, 1, "the result of a conversion from torch.bool at "),
        (frozen, 2, "it was frozen by requires_grad = False at "),
        (through_a_frozen_one, 2, "where gradients ended last: requires_grad = False at "),
        (differentiated_once, 2, "gradients ended last: Once.backward, which is marked with once_differentiable, at "),
        (in_inference_mode, 2, "it was made in inference_mode, which records nothing (entered at "),
    ],
)
def test_every_cause_has_its_explanation(cause, offset, words):
    text = forgetting(cause)
    place = "" if offset is None else line_of(cause, offset)
    assert words + place in text


def test_all_explanations_differ():
    causes = (never_required, without_recording, through_detach, through_a_number, through_integers, in_inference_mode)
    assert len({forgetting(cause) for cause in causes}) == len(causes)


def test_the_mode_that_is_on_is_named():
    def inside():
        with torch.no_grad():
            return explanation(leaf(1.0) * 2)

    assert f"switched off right now, by a block of no_grad() at {line_of(inside, 1)}" in forgetting(inside)


def test_what_ended_no_gradient_is_not_remembered():
    def constants():
        x = torch.ones(1)
        x.item(), x.numpy(), x.detach(), x.tolist(), float(x)
        return explanation(x)

    assert "ended last" not in forgetting(constants)


def test_a_detached_tensor_that_requires_grad_again_is_no_cause():
    x = leaf(1.0).detach().requires_grad_()
    x.sum().backward()
    assert x.grad.tolist() == [1.0]


# ---------------------------------------------------------------- inputs by their names
class Layer:
    def __init__(self):
        self.weight, self.bias = leaf(1.0, 2.0), leaf(0.0)


def test_unused_inputs_are_called_what_the_program_calls_them():
    class Model:
        def __init__(self):
            self.layers = [Layer(), Layer()]

    model, settings = Model(), {"scale": leaf(3.0), 7: (leaf(4.0),)}
    used, unused = leaf(1.0), leaf(2.0)

    def index_1(target):
        text = message_of(lambda: torch.autograd.grad(used * 2, [used, target]))
        assert "The differentiated Tensor at index 1 appears to not have been used in the graph." in text
        return text.rpartition("The program calls it ")[2]

    target = unused
    assert index_1(unused) == "target."
    del target
    assert "model.layers[1].weight" in message_of(lambda: torch.autograd.grad(used * 2, [used, model.layers[1].weight]))
    assert "settings['scale']" in message_of(lambda: torch.autograd.grad(used * 2, [used, settings["scale"]]))
    assert "settings[7][0]" in message_of(lambda: torch.autograd.grad(used * 2, [used, settings[7][0]]))
    assert "The program calls it" not in message_of(lambda: torch.autograd.grad(used * 2, [used, leaf(1.0)]))


def test_inputs_without_history_are_called_by_name():
    x, constant = leaf(1.0), torch.ones(3)
    text = message_of(lambda: torch.autograd.grad(x * 2, [x, constant]))
    assert text.startswith("One of the differentiated Tensors does not require grad")
    assert "position 1 (constant), of shape [3]" in text


def test_looking_for_a_name_runs_none_of_the_programs_code():
    class Trap:
        def __init__(self):
            self.inner = leaf(1.0)

        def __eq__(self, other):
            raise AssertionError("compared")

        __hash__ = object.__hash__

        @property
        def asked(self):
            raise AssertionError("asked")

    trap, x = Trap(), leaf(1.0)
    assert "trap.inner" in message_of(lambda: torch.autograd.grad(x * 2, trap.inner))


def test_a_program_that_holds_itself_has_names_too():
    x, ring = leaf(1.0), []
    ring.append(ring)
    ring.append(leaf(2.0))
    assert "ring[1]" in message_of(lambda: torch.autograd.grad(x * 2, ring[1]))


# ---------------------------------------------------------------- lines
def made_by_all_kinds_of_operations():
    x = leaf(1.0, 2.0)
    y = x * 2
    y = y.exp()
    y = y.sum()
    y = torch.cumsum(x, 0)
    y[0] = 3.0
    return [y.grad_fn, *(t.grad_fn for t in (x * 2, x.exp(), x.sum(), x.cumsum(0)))]


def test_lines_can_be_left_untracked():
    assert all(node.where().startswith(FILE) for node in made_by_all_kinds_of_operations())
    with graph.trace_lines(False):
        assert all(node.where() == "an unknown line (trace_lines is off)" for node in made_by_all_kinds_of_operations())
        with graph.trace_lines(True):
            assert all(node.where().startswith(FILE) for node in made_by_all_kinds_of_operations())
        assert leaf(1.0).exp().grad_fn.where().startswith("an unknown line")
    assert all(node.where().startswith(FILE) for node in made_by_all_kinds_of_operations())


def test_trace_lines_is_a_function_as_well():
    graph.trace_lines(False)
    try:
        y = leaf(1.0).exp()
        loss = y.sum()
        loss.backward()
        text = message_of(loss.backward)
        y.mul_(2)
        z = y * y
        y.add_(1)
        changed = message_of(z.sum().backward)
    finally:
        graph.trace_lines(True)
    assert text.startswith(SECOND)
    assert FILE not in text
    assert changed.startswith("one of the variables needed for gradient computation has been modified by an inplace operation")
    assert FILE not in changed
    assert leaf(1.0).exp().grad_fn.where().startswith(FILE)


def test_trace_lines_ends_with_an_exception_and_takes_bools_alone():
    with pytest.raises(KeyError), graph.trace_lines(False):
        raise KeyError
    assert leaf(1.0).exp().grad_fn.where().startswith(FILE)
    assert message_of(lambda: graph.trace_lines(1), TypeError) == "trace_lines(): argument 'mode' must be bool, not int"


# ---------------------------------------------------------------- a saved value that was changed
class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x


SAVING = {
    "MulBackward0": lambda y: y * y,
    "PowBackward0": lambda y: y**3,
    "DotBackward0": lambda y: y @ y,
    "SquaredBackward": Squared.apply,
}
CHANGING = {
    "add_": lambda y: y.add_(1),
    "mul_": lambda y: y[1:].mul_(2),
    "sub_": lambda y: y.detach().sub_(1),
    "zero_": lambda y: y.detach().zero_(),
    "__setitem__": lambda y: y.__setitem__(0, 5.0),
    "copy_": lambda y: y.copy_(torch.ones(2)),
    "increment_version": graph.increment_version,
    "add": lambda y: torch.add(torch.ones(2), 1, out=y.detach()),
}


@pytest.mark.parametrize("change", CHANGING)
@pytest.mark.parametrize("save", SAVING)
def test_who_saved_a_value_and_who_changed_it(save, change):
    x = torch.ones(2, requires_grad=True)
    y = x * 1
    z = SAVING[save](y)
    CHANGING[change](y)
    text = message_of(z.sum().backward)
    assert text.startswith("one of the variables needed for gradient computation has been modified by an inplace operation")
    saved, changed = SAVING[save], CHANGING[change]
    where = line_of(saved, 0) if save != "SquaredBackward" else line_of(test_who_saved_a_value_and_who_changed_it, 5)
    assert f"was saved by {save} at {where}" in text
    if change != "increment_version":
        assert f"at {line_of(changed, 0)}." in text
        assert change in text or change == "__setitem__"
    assert "Write the change out of place (y = y + 1 instead of y += 1), or give the in-place operation a copy: y = y.clone()." in text


def test_a_parameter_that_was_stepped_is_not_to_be_written_out_of_place():
    weight = torch.ones(2, requires_grad=True)
    loss = (weight * weight).sum()
    with torch.no_grad():
        weight -= 0.1
    text = message_of(loss.backward)
    assert "It is a leaf, weight, that was changed between its use and the backward" in text
    assert "Call backward() before the step" in text
    assert "out of place" not in text


@pytest.mark.parametrize("value", [0.0, torch.zeros(2)])
def test_an_assignment_to_an_index_is_called_by_its_own_name(value):
    x = torch.ones(2, 2, requires_grad=True)
    y = x * 1
    z = y.exp()
    y[:, 0] = value
    w = y.pow(2)
    y[:, 1] = value
    assert "last changed by __setitem__ at " in message_of(w.sum().backward)
    del z


def test_an_input_that_was_never_asked_is_told_so():
    x, y = leaf(1.0), torch.ones(2)
    text = forgetting(lambda: message_of(lambda: torch.autograd.grad(x, y)))
    assert text.endswith("position 0 (y), of shape [2]. Set requires_grad=True on it before it is used")
    y = leaf(1.0).requires_grad_(False)
    assert "it was frozen by requires_grad = False at " in message_of(lambda: torch.autograd.grad(x, y))
    y.requires_grad_()
    assert "_cut" not in vars(y)


def test_the_node_of_a_tensor_that_is_asked_for_runs_and_finds_its_values_gone():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * torch.tensor([2.0, 3.0])
    y.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward(inputs=[y])
    assert torch.autograd.grad(y.sum(), y)[0].tolist() == [1.0, 1.0]
