"""What the errors of the engine say: PyTorch's first sentence, then the lines of this file where things happened, then what to do."""

import copy
import inspect
import pickle
import types
import warnings

import numpy as np
import pytest

import ndgrad as torch

HERE = __file__


def here(offset=0):
    """`file:line` of the caller's line, as errors write it."""
    return f"{HERE}:{inspect.currentframe().f_back.f_lineno + offset}"


def leaf(*values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def message_of(call, kind=RuntimeError):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


# ---------------------------------------------------------------- roots
def test_implicit_gradient_of_a_tensor_of_several_elements():
    x = leaf(1.0, 2.0)
    y = x * 2
    made = here(-1)
    text = message_of(y.backward)
    assert text.startswith("grad can be implicitly created only for scalar outputs")
    assert "shape [2]" in text
    assert f"MulBackward0 at {made}" in text
    assert ".sum().backward()" in text


def test_implicit_gradient_of_a_complex_number():
    x = torch.tensor(1 + 2j, requires_grad=True)
    text = message_of((x * 2).backward)
    assert text.startswith("grad can be implicitly created only for real scalar outputs but got torch.complex64")


ROOT = "element 0 of tensors does not require grad and does not have a grad_fn"


def test_root_without_history():
    text = message_of(torch.ones(1).backward)
    assert text.startswith(ROOT)
    assert "requires_grad=True" in text


def test_root_cut_by_detach():
    assert "it is the result of detach() at " in message_of(leaf(1.0).detach().backward)


def test_root_of_an_integer_dtype():
    assert message_of(torch.tensor(1).backward) .startswith(
        f"{ROOT}: it is torch.int64, and only floating point and complex tensors have gradients"
    )


def test_root_made_while_gradients_were_off():
    x = leaf(1.0)
    with torch.no_grad():
        y = x * 2
        text = message_of(y.backward)
    assert text.startswith(ROOT)
    assert "switched off right now" in text
    assert "no_grad()" in message_of(y.backward)


def test_root_made_in_inference_mode():
    with torch.inference_mode():
        y = torch.ones(1)
    assert "it was made in inference_mode" in message_of(y.backward)


def test_the_number_of_the_offending_root():
    assert message_of(lambda: torch.autograd.backward([leaf(1.0), torch.ones(1)])).startswith("element 1 of tensors does not require grad")


def test_gradient_of_another_shape():
    x = leaf(1.0, 2.0)
    text = message_of(lambda: x.sum().backward(torch.ones(2)))
    assert text.startswith("Mismatch in shape: grad_output[0] has a shape of torch.Size([2]) and output[0] has a shape of torch.Size([]).")


def test_gradient_of_another_kind_of_number():
    text = message_of(lambda: leaf(1.0).backward(torch.ones(1, dtype=torch.complex128)))
    assert text.startswith(
        "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: grad_output[0]"
    )


def test_gradient_that_is_no_tensor():
    text = message_of(lambda: leaf(1.0).backward(3.0), TypeError)
    assert text.startswith("gradients can be either Tensors or None, but got float")


def test_number_of_gradients():
    x = leaf(1.0)
    assert message_of(lambda: torch.autograd.backward([x, x], [torch.ones(1)])).startswith("got 2 tensors and 1 gradients")


def test_both_names_of_the_same_argument():
    x = leaf(1.0)
    with pytest.warns(FutureWarning, match="`grad_variables` is deprecated"):
        text = message_of(lambda: torch.autograd.backward(x, torch.ones(1), grad_variables=torch.ones(1)))
    assert text.startswith("`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`.")


# ---------------------------------------------------------------- inputs
def test_empty_inputs():
    x = leaf(1.0)
    assert message_of(lambda: x.backward(inputs=[])).startswith("`inputs` argument to `backward()` cannot be empty.")
    assert message_of(lambda: torch.autograd.grad(x, [])).startswith("`inputs` argument to `grad()` cannot be empty.")


def test_inputs_without_history():
    x = leaf(1.0)
    text = message_of(lambda: torch.autograd.grad(x * 2, [x, torch.ones(3)]))
    assert text.startswith("One of the differentiated Tensors does not require grad")
    assert "position 1" in text
    assert "[3]" in text


def test_inputs_of_another_type():
    x = leaf(1.0)
    assert message_of(lambda: torch.autograd.grad(x, [3])).startswith("all inputs have to be Tensors or GradientEdges, but got int")
    with pytest.raises(TypeError, match=r"`inputs` argument to `grad\(\)` must be a dict, not mappingproxy"):
        torch.autograd.grad(x, types.MappingProxyType({"x": x}))


def test_unused_input_by_number_and_name():
    x, y = leaf(1.0), leaf(1.0, 2.0)
    first = (
        "The differentiated Tensor at index 1 appears to not have been used in the graph. Set allow_unused=True if this is the "
        "desired behavior."
    )
    assert message_of(lambda: torch.autograd.grad(x * 2, [x, y])) == f"{first} Its shape is [2]. The program calls it y."
    assert "Its name is 'second'." in message_of(lambda: torch.autograd.grad(x * 2, {"first": x, "second": y}))


def test_contradicting_wishes():
    x = leaf(1.0)
    text = message_of(lambda: torch.autograd.grad(x, x, allow_unused=False, materialize_grads=True), ValueError)
    assert text.startswith("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")


# ---------------------------------------------------------------- used up
def test_second_backward():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    made = here(-1)
    y.backward()
    text = message_of(y.backward)
    assert text.startswith(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved "
        "intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
        "backward through the graph a second time or if you need to access saved tensors after calling backward."
    )
    assert f"MulBackward0, made at {made}" in text
    assert "retain_graph=True" in text.split("\n", 1)[1]
    assert x.grad.tolist() == [2.0, 4.0]


# ---------------------------------------------------------------- changed
CHANGED = "one of the variables needed for gradient computation has been modified by an inplace operation: [torch.DoubleTensor [2]]"


def change_itself(y):
    y.mul_(2)
    return "mul_", here(-1)


def change_through_a_view(y):
    y.view(2, 1).mul_(2)
    return "mul_", here(-1)


def change_through_a_detached_alias(y):
    y.detach().mul_(2)
    return "mul_", here(-1)


def change_without_recording(y):
    with torch.no_grad():
        y.mul_(2)
    return "mul_", here(-1)


def change_by_a_copy(y):
    y.copy_(torch.ones(2, dtype=torch.float64))
    return "copy_", here(-1)


def change_by_an_index(y):
    y[0] = 3.0
    return "", here(-1)


#: What the changed tensor is an output of afterwards, where the change is recorded.
RECORDED = {
    change_itself: "Mul",
    change_through_a_view: "torch::autograd::CopySlices",
    change_by_a_copy: "torch::autograd::CopyBackwards",
    change_by_an_index: "torch::autograd::CopySlices",
}
CHANGES = [value for name, value in list(globals().items()) if name.startswith("change_")]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_saved_result_that_was_changed_names_three_places(change):
    x = leaf(1.0, 2.0)
    y = x.exp()
    saved = here(-1)
    name, changed = change(y)
    text = message_of(y.sum().backward)
    assert text.startswith(f"{CHANGED}, which is output 0 of Exp, is at version 1; expected version 0 instead.")
    assert f"saved by ExpBackward0 at {saved}" in text
    assert f"last changed by {name}" in text
    assert f"_ at {changed}" in text
    assert "clone()" in text
    assert x.grad is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_saved_operand_that_was_changed_names_three_places(change):
    x = leaf(1.0, 2.0)
    y = x + 1
    made = here(-1)
    z = y * y
    saved = here(-1)
    name, changed = change(y)
    text = message_of(z.sum().backward)
    assert text.startswith(f"{CHANGED}, which is output 0 of {RECORDED.get(change, 'Add')}, is at version 1; expected version 0 instead.")
    assert f"made at {made}" in text
    assert f"saved by MulBackward0 at {saved}" in text
    assert f"last changed by {name}" in text
    assert f"_ at {changed}" in text


def test_saved_view_whose_base_was_changed():
    x = leaf(1.0, 2.0)
    y = x + 1
    z = y.view(2).sin()
    y.mul_(2)
    text = message_of(z.sum().backward)
    assert text.startswith(f"{CHANGED}, which is output 0 of AsStrided, is at version 1; expected version 0 instead.")


def test_saved_leaf_that_was_changed():
    x = leaf(1.0, 2.0)
    z = x * x
    with torch.no_grad():
        x.mul_(2)
    text = message_of(z.sum().backward)
    assert text.startswith(f"{CHANGED} is at version 1; expected version 0 instead.")
    assert f"last changed by mul_ at {here(-3)}" in text


def test_changes_that_go_unnoticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.data.mul_(2)
    y.detach().numpy()[0] = 7.0
    y.sum().backward()
    assert x.grad[0].item() == 7.0  # wrong, and nobody could know: that is what .data and NumPy are


def test_a_change_of_what_was_not_saved_is_fine():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y * 3
    y.add_(1)
    z.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


# ---------------------------------------------------------------- writes that are refused
def test_write_to_a_leaf():
    x = leaf(1.0, 2.0)
    text = message_of(lambda: x.mul_(2))
    assert text.startswith("a leaf Variable that requires grad is being used in an in-place operation.")
    assert f"mul_ was called at {here(-2)}" in text
    assert "no_grad()" in text
    assert x._version == 0


def test_write_to_a_view_of_a_leaf():
    x = leaf(1.0, 2.0)
    text = message_of(lambda: x.view(2, 1).mul_(2))
    assert text.startswith("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    assert f"mul_ was called at {here(-2)}" in text
    assert x._version == 0


GIVEN = (
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view "
    "and the inplace"
)


def test_write_to_a_view_made_in_no_grad():
    y = leaf(1.0, 2.0) * 1
    with torch.no_grad():
        v = y.view(2, 1)
    text = message_of(lambda: v.mul_(2))
    assert text.startswith(f"A view was created in no_grad mode and is being modified inplace with grad mode enabled. {GIVEN}")
    w = v.view(1, 2)
    made = here(-1)
    text = message_of(lambda: w.mul_(2))
    assert text.startswith(
        "Output 0 of View is a view of a view which was created in no_grad mode and is being modified inplace with grad mode enabled."
    )
    assert f"ViewBackward0 at {made}" in text


def test_use_of_a_view_made_in_no_grad_after_its_base_was_changed():
    y = leaf(1.0, 2.0) * 1
    with torch.no_grad():
        v = y.view(2, 1)
    y.mul_(2)
    changed = here(-1)
    for use in (lambda: v * 2, lambda: v.grad_fn, lambda: v.sum()):
        text = message_of(use)
        assert text.startswith(
            "A view was created in no_grad mode and its base or another view of its base has been modified inplace with grad mode "
            f"enabled. {GIVEN}"
        )
        assert f"last changed by mul_ at {changed}" in text
    with torch.no_grad():
        assert (v * 2).tolist() == [[4.0], [8.0]]


def test_write_to_a_view_made_in_inference_mode():
    y = leaf(1.0, 2.0) * 1
    with torch.inference_mode():
        v = y.view(2, 1)
    assert message_of(lambda: v.mul_(2)).startswith(
        f"A view was created in inference mode and is being modified inplace in normal mode. {GIVEN}"
    )


def test_write_to_one_of_several_views():
    y = leaf(1.0, 2.0) * 1
    first, second = y.unbind(0)
    text = message_of(lambda: second.mul_(2))
    assert text.startswith(
        "Output 1 of Unbind is a view and is being modified inplace. This view is the output of a function that returns multiple views. "
        "Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place "
        "one."
    )
    y.mul_(2)
    assert message_of(lambda: first * 2).startswith(
        "Output 0 of Unbind is a view and its base or another view of its base has been modified inplace."
    )


def test_write_to_memory_that_several_elements_share():
    wide = torch.ones(1, 2).expand(3, 2)
    for write in (lambda: wide.mul_(2), lambda: wide.copy_(torch.ones(2)), lambda: wide.exp_(), lambda: wide.mul_(torch.ones(3, 2))):
        assert message_of(write).startswith(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    assert wide.tolist() == [[1.0, 1.0]] * 3
    assert wide._version == 0


def test_write_that_reads_what_it_has_just_written():
    square = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    row = torch.arange(4.0)
    for write in (lambda: square.mul_(square.t()), lambda: square.copy_(square.t()), lambda: row[1:].mul_(row[:-1])):
        text = message_of(write)
        assert text.startswith(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
        assert HERE in text
    assert square.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert row.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert square._version == row._version == 0


@pytest.mark.parametrize("recording", [False, True])
def test_writes_that_do_not_fit_leave_everything_as_it_was(recording):
    y = leaf(1.0, 2.0) * 1 if recording else torch.tensor([1.0, 2.0], dtype=torch.float64)
    v = y.view(2, 1)
    node, version = y.grad_fn, y._version
    writes = [
        (
            lambda: y.mul_(torch.ones(3, dtype=torch.float64)),
            "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0",
        ),
        (lambda: y.mul_(torch.ones(3, 2, dtype=torch.float64)), "output with shape [2] doesn't match the broadcast shape [3, 2]"),
        (lambda: y.copy_(torch.ones(3)), "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0"),
        (lambda: y.mul_(1j), "result type ComplexDouble can't be cast to the desired output type Double"),
        (lambda: v.mul_(torch.ones(4, 1, 1)), "output with shape [2, 1] doesn't match the broadcast shape [4, 2, 1]"),
    ]
    for write, first in writes:
        assert message_of(write).startswith(first)
        assert y.tolist() == [1.0, 2.0]
        assert y._version == v._version == version
        assert y.grad_fn is node


def test_write_of_floats_into_integers():
    x = torch.tensor([1, 2])
    assert message_of(lambda: x.mul_(1.5)).startswith("result type Float can't be cast to the desired output type Long")
    assert x.tolist() == [1, 2]
    assert x._version == 0


def test_write_to_read_only_memory():
    array = np.arange(3.0)
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about just that
        x = torch.from_numpy(array)
    assert "read-only" in message_of(lambda: x.mul_(2))


def test_detaching_a_view_in_place():
    x = leaf(1.0, 2.0)
    assert message_of(x.view(2, 1).detach_).startswith("Can't detach views in-place. Use detach() instead.")


# ---------------------------------------------------------------- inference tensors
def test_the_errors_of_inference_tensors():
    x = leaf(1.0, 2.0)
    with torch.inference_mode():
        a = torch.ones(2, dtype=torch.float64)
    assert message_of(lambda: x * a).startswith(
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in computation tracked by "
        "autograd. To work around this, you can make a clone to get a normal tensor and use it in autograd, or use `torch.no_grad()` "
        "instead of `torch.inference_mode()`."
    )
    text = message_of(lambda: a.mul_(2))
    assert text.startswith("Inplace update to inference tensor outside InferenceMode is not allowed.")
    assert HERE in text
    assert a.tolist() == [1.0, 1.0]
    assert message_of(a.requires_grad_).startswith("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
    assert message_of(lambda: a._version).startswith("Inference tensors do not track version counter.")
    assert (x + a).requires_grad  # addition saves neither


# ---------------------------------------------------------------- attributes
def test_requires_grad_of_what_was_computed():
    y = leaf(1.0) * 2
    made = here(-1)
    for change in (lambda: y.requires_grad_(False), lambda: setattr(y, "requires_grad", False)):
        text = message_of(change)
        assert text.startswith(
            "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't "
            "require differentiation use var_no_grad = var.detach()."
        )
        assert f"MulBackward0 at {made}" in text


def test_requires_grad_of_integers():
    wanted = "nly Tensors of floating point and complex dtype can require gradients"
    assert wanted in message_of(lambda: setattr(torch.tensor([1]), "requires_grad", True))
    assert wanted in message_of(lambda: torch.tensor([1], requires_grad=True))
    assert message_of(torch.tensor([1]).requires_grad_).startswith("only Tensors of floating point dtype can require gradients")
    assert message_of(lambda: setattr(torch.ones(1), "requires_grad", 3)) == "requires_grad must be a bool"


def test_grad_of_what_was_computed_warns():
    y = leaf(1.0) * 2
    made = here(-1)
    with pytest.warns(UserWarning, match=r"The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed\.") as caught:
        assert y.grad is None
    assert f"MulBackward0 at {made}" in str(caught[0].message)
    assert caught[0].filename == HERE


def test_grads_that_may_not_be_assigned():
    x = leaf(1.0, 2.0)

    def assign(value):
        x.grad = value

    assert message_of(lambda: assign(3), TypeError).startswith("assigned grad expected to be a Tensor or None but got grad of type")
    assert message_of(lambda: assign(torch.ones(3, dtype=torch.float64))).startswith(
        "attempting to assign a gradient of size '[3]' to a tensor of size '[2]'. Please ensure that the gradient and the tensor "
        "are the same size"
    )
    assert message_of(lambda: assign(torch.ones(2))).startswith(
        "attempting to assign a gradient with dtype 'float' to a tensor with grad_dtype 'Double'"
    )
    assert message_of(lambda: assign(x)).startswith("can't assign Variable as its own grad")
    assert x.grad is None


def test_numpy_of_a_tensor_that_requires_grad():
    assert message_of(leaf(1.0).numpy).startswith("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


def test_deepcopy_of_what_was_computed():
    y = leaf(1.0) * 2
    text = message_of(lambda: copy.deepcopy(y))
    assert text.startswith("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.")
    assert f"MulBackward0 at {here(-3)}" in text
    assert pickle.loads(pickle.dumps(y)).tolist() == [2.0]


# ---------------------------------------------------------------- hooks
def test_hooks_where_there_is_nothing_to_hook():
    plain, computed = torch.ones(1), leaf(1.0) * 2
    assert message_of(lambda: plain.register_hook(print)) == "cannot register a hook on a tensor that doesn't require gradient"
    assert message_of(plain.retain_grad) == "can't retain_grad on Tensor that has requires_grad=False"
    assert (
        message_of(lambda: plain.register_post_accumulate_grad_hook(print))
        == "cannot register a hook on a tensor that doesn't require gradient"
    )
    text = message_of(lambda: computed.register_post_accumulate_grad_hook(print))
    assert text.startswith("post accumulate grad hooks cannot be registered on non-leaf tensors")
    assert HERE in text


@pytest.mark.parametrize(
    ("hook", "kind", "first"),
    [
        (lambda g: g.sum(), RuntimeError, "hook '<lambda>' has changed the size of value"),
        (lambda g: g.float(), RuntimeError, "hook '<lambda>' has changed the type of value (was torch.DoubleTensor got torch.FloatTensor)"),
        (lambda g: 3, TypeError, "expected Variable, but hook returned 'int'"),
    ],
)
def test_hooks_that_return_the_wrong_thing(hook, kind, first):
    x = leaf(1.0, 2.0)
    x.register_hook(hook)
    assert message_of((x * 1).sum().backward, kind).startswith(first)
    assert x.grad is None


@pytest.mark.parametrize(
    ("hook", "kind", "first"),
    [
        (lambda inputs, outputs: inputs[0], TypeError, "expected tuple, but hook returned 'Tensor'"),
        (
            lambda inputs, outputs: (inputs[0], None),
            RuntimeError,
            "hook '<lambda>' has returned an incorrect number of values (got 2, but expected 1)",
        ),
        (lambda inputs, outputs: (3,), TypeError, "expected Variable, but hook returned 'int'"),
        (lambda inputs, outputs: (inputs[0].sum(),), RuntimeError, "hook '<lambda>' has changed the size of value"),
    ],
)
def test_node_hooks_that_return_the_wrong_thing(hook, kind, first):
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.grad_fn.register_hook(hook)
    assert message_of(y.sum().backward, kind).startswith(first)
    assert x.grad is None


def test_post_accumulate_hooks_return_nothing():
    x = leaf(1.0)
    x.register_post_accumulate_grad_hook(lambda param: param * 1)
    assert message_of((x * 1).sum().backward).startswith("Tensor post accumulate grad hooks should return None.")


# ---------------------------------------------------------------- where the lines come from
def test_lines_are_those_of_the_nearest_frame_outside_the_package():
    def helper(x):
        return x.exp()

    x = leaf(1.0, 2.0)
    y = helper(x)
    y.mul_(2)
    text = message_of(y.sum().backward)
    assert f"ExpBackward0 at {HERE}:{helper.__code__.co_firstlineno + 1}" in text


def test_code_that_was_never_in_a_file():
    scope = {"x": leaf(1.0, 2.0)}
    exec(compile("y = x.exp()\ny.mul_(2)", "<typed in>", "exec"), scope)
    text = message_of(scope["y"].sum().backward)
    assert "saved by ExpBackward0 at <typed in>:1" in text
    assert "last changed by mul_ at <typed in>:2" in text
