"""Reverse mode: backward, grad, higher orders, complex numbers, accumulation and who owns what."""

import pytest

import ndgrad as torch
from ndgrad.autograd import engine, grad
from ndgrad.autograd.graph import GradientEdge, get_gradient_edge
from ndgrad.core.primitive import raw, recorded
from ndgrad.ops.declare import general, primitives


def leaf(*values, dtype=torch.float64):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------- backward and grad
def test_backward_of_a_product_of_functions():
    x = leaf(0.5, 1.5)
    (x.sin() * x.exp()).sum().backward()
    with torch.no_grad():
        expected = x.exp() * (x.sin() + x.cos())
    assert x.grad.tolist() == pytest.approx(expected.tolist(), rel=1e-14)


def test_backward_with_a_gradient_for_each_root():
    x = leaf(1.0, 2.0)
    torch.autograd.backward(
        [x * 3, x * 5], [torch.tensor([1.0, 10.0], dtype=torch.float64), torch.tensor([100.0, 0.0], dtype=torch.float64)]
    )
    assert x.grad.tolist() == [503.0, 30.0]


def test_a_gradient_of_another_float_dtype_is_cast():
    x = leaf(1.0, 2.0)
    (x * 2).backward(torch.ones(2, dtype=torch.float32))
    assert x.grad.dtype is torch.float64


def test_a_root_given_twice_contributes_twice():
    x = leaf(3.0)
    y = x * x
    torch.autograd.backward([y, y])
    assert x.grad.tolist() == [12.0]


def test_a_root_that_is_also_inside_the_graph_of_another_waits_for_it():
    x = leaf(3.0)
    y = x * x
    z = y * y
    order = []
    y.register_hook(lambda g: order.append(g.tolist()))
    torch.autograd.backward([y, z])
    assert order == [[1 + 2 * 9.0]]
    assert x.grad.tolist() == [(1 + 18) * 6.0]


def test_grad_leaves_grad_alone_and_takes_dicts_and_duplicates():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    assert [g.item() for g in grad(z, [x, x, y], retain_graph=True)] == [3.0, 3.0, 2.0]
    found = grad(z, {"first": x, "second": y})
    assert {name: g.item() for name, g in found.items()} == {"first": 3.0, "second": 2.0}
    assert x.grad is None
    assert y.grad is None


def test_duplicate_results_do_not_share_memory():
    x = leaf(2.0, 3.0)
    first, second = grad((x * 2).sum(), [x, x])
    first.mul_(10)
    assert second.tolist() == [2.0, 2.0]
    first, second = grad((x * x).sum(), [x, x], create_graph=True)
    assert first is not second


def test_grad_of_a_leaf_and_of_an_interior_with_respect_to_themselves():
    x = leaf(2.0)
    y = x * 3
    assert grad(x, x)[0].tolist() == [1.0]
    assert grad(y, y)[0].tolist() == [1.0]


def test_grad_of_an_interior_does_not_run_what_is_behind_it():
    x = leaf(2.0)
    y = x.exp()
    ran = []
    y.grad_fn.register_prehook(lambda grads: ran.append("pre"))
    y.register_hook(lambda g: ran.append("tensor"))
    assert grad(y * y, y, retain_graph=True)[0].item() == pytest.approx(2 * y.item())
    assert ran == ["tensor"]


def test_unused_inputs():
    x, y = leaf(2.0), leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="The differentiated Tensor at index 1 appears to not have been used in the graph"):
        grad(x * 2, [x, y])
    assert grad(x * 2, [x, y], allow_unused=True)[1] is None
    assert grad(x * 2, [x, y], materialize_grads=True)[1].tolist() == [0.0, 0.0]


def test_backward_inputs_limits_what_is_accumulated():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    (z * z).backward(inputs=[x, z])
    assert x.grad.tolist() == [36.0]
    assert y.grad is None
    assert z.grad.tolist() == [12.0]


def test_batched_grads_are_the_rows_of_the_jacobian():
    x = leaf(1.0, 2.0)
    y = x * x * torch.tensor([3.0, 5.0], dtype=torch.float64)
    (jacobian,) = grad(y, x, torch.eye(2, dtype=torch.float64), is_grads_batched=True)
    assert jacobian.tolist() == [[6.0, 0.0], [0.0, 20.0]]


def test_gradient_edges_stand_for_tensors():
    x = leaf(2.0)
    y = x * x
    edge, at = get_gradient_edge(y), get_gradient_edge(x)
    assert isinstance(edge, GradientEdge)
    assert edge.node is y.grad_fn
    assert at.node.name() == "torch::autograd::AccumulateGrad"
    z = y.exp()
    (g,) = grad(z, edge)
    del y
    assert g.item() == pytest.approx(z.item())
    assert grad(edge, at)[0].item() == 4.0


# ---------------------------------------------------------------- higher orders and complex numbers
def test_derivatives_of_sine_of_any_order():
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y, expected = x.sin(), [x.cos(), -x.sin(), -x.cos(), x.sin(), x.cos()]
    for value in expected:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value.item(), rel=1e-14)


def test_mixed_second_derivatives_are_symmetric():
    x, y = torch.tensor(0.3, dtype=torch.float64, requires_grad=True), torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    z = (x * y).sin() * y.exp()
    by_x, by_y = grad(z, [x, y], create_graph=True)
    assert grad(by_x, y, retain_graph=True)[0].item() == pytest.approx(grad(by_y, x)[0].item(), rel=1e-14)


def test_create_graph_gives_a_new_grad_each_time():
    x = leaf(3.0)
    (x * x).backward(create_graph=True)
    first = x.grad
    (x * x).backward(create_graph=True)
    assert x.grad is not first
    assert first.tolist() == [6.0]
    assert x.grad.requires_grad
    (second,) = grad(x.grad, x)
    assert second.tolist() == [4.0]


def test_complex_gradients_are_conjugate():
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128, requires_grad=True)
    (z * z).sum().backward(torch.tensor(1 + 0j, dtype=torch.complex128))
    assert z.grad.tolist() == [2 - 4j, 6 + 2j]


def test_real_inputs_of_complex_operations_get_the_real_part():
    x = leaf(1.0, 2.0)
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128, requires_grad=True)
    (x * z).sum().backward(torch.tensor(1 + 2j, dtype=torch.complex128))
    assert x.grad.dtype is torch.float64
    assert x.grad.tolist() == [5.0, 1.0]
    assert z.grad.tolist() == [1 + 2j, 2 + 4j]


# ---------------------------------------------------------------- accumulation
def test_accumulation_is_in_place_and_keeps_the_object():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first
    assert first.tolist() == [5.0, 5.0]
    first.mul_(0)
    (x * 3).sum().backward()
    assert x.grad is first
    assert first.tolist() == [3.0, 3.0]


def test_nothing_is_added_to_an_array_that_repeats_an_element():
    """The sum's cotangent is one element of a gradient of four, seen four times: as many as the memory below it has."""
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = torch.cat([x[:-1] ** 2, x.sum().reshape(1)])
    rows = [grad(each, x, retain_graph=True)[0].tolist() for each in y]
    assert rows == [[2.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 6.0, 0.0], [1.0, 1.0, 1.0, 1.0]]


def test_a_grad_with_shared_or_read_only_memory_is_replaced_not_corrupted():
    x = leaf(1.0, 2.0)
    shared = torch.ones(1, dtype=torch.float64).expand(2)
    x.grad = shared
    (x * torch.tensor([1.0, 10.0], dtype=torch.float64)).sum().backward()
    assert x.grad.tolist() == [2.0, 11.0]


def test_layout_of_a_new_grad_is_that_of_a_dense_leaf():
    x = torch.ones(2, 3, dtype=torch.float64).t().requires_grad_()
    (x * torch.ones(3, 2, dtype=torch.float64)).sum().backward()
    assert x.grad.stride() == (1, 3)
    x.grad = None
    (x * x).sum().backward(create_graph=True)
    assert x.grad.stride() == (1, 3)
    wide = torch.ones(4, 1, dtype=torch.float64).expand(4, 3).requires_grad_()
    (wide * wide).sum().backward()
    assert wide.grad.stride() == (3, 1)


def owners():
    """Programs after which `x.grad` could share memory with something, and that something."""
    g = torch.ones(2, dtype=torch.float64)

    def gradient_argument(x):
        x.backward(g)
        return g

    def through_a_clone(x):
        x.clone().backward(g)
        return g

    def through_a_view(x):
        x.view(2, 1).view(2).backward(g)
        return g

    def another_leaf(x):
        y = leaf(1.0, 2.0)
        (x + y).sum().backward()
        return y.grad

    def a_leaf_behind_a_view(x):
        y = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
        (x.view(2, 1) + y).sum().backward()
        return y.grad

    def a_saved_value(x):
        y = torch.tensor([5.0, 7.0], dtype=torch.float64)
        (x * y).sum().backward()
        return y

    def hook_argument(x):
        kept = []
        x.register_hook(lambda grad: kept.append(grad))
        (x * 2).sum().backward()
        return kept[0]

    def interior_hook_argument(x):
        kept = []
        y = x + 0
        y.register_hook(lambda grad: kept.append(grad))
        (y * 2).sum().backward()
        return kept[0]

    def hook_result(x):
        kept = torch.tensor([5.0, 7.0], dtype=torch.float64)
        x.register_hook(lambda grad: kept)
        (x * 2).sum().backward()
        return kept

    def node_hook_argument(x):
        kept = []
        y = x.exp()
        y.grad_fn.register_hook(lambda inputs, outputs: kept.append(inputs[0]))
        (y * 2).sum().backward()
        return kept[0]

    def retained(x):
        y = x + 0
        y.retain_grad()
        (y * 2).sum().backward()
        return y.grad

    def result_of_grad(x):
        y = x + 0
        (kept,) = grad((y * 2).sum(), y, retain_graph=True)
        (y * 2).sum().backward()
        return kept

    return [value for value in locals().values() if callable(value)]


@pytest.mark.parametrize("program", owners(), ids=lambda program: program.__name__)
def test_grad_shares_memory_with_nothing(program):
    x = leaf(1.0, 2.0)
    other = program(x)
    before = other.tolist()
    x.grad.mul_(100)
    assert other.tolist() == before


def test_the_results_of_grad_share_memory_with_nothing():
    x = leaf(1.0, 2.0)
    y = x.view(2, 1)
    g = torch.ones(2, 1, dtype=torch.float64)
    by_y, by_x = grad([y, x.view(2, 1)], [y, x], [g, g])
    by_x.mul_(100)
    assert by_y.tolist() == [[1.0], [1.0]]
    by_y.mul_(7)
    assert g.tolist() == [[1.0], [1.0]]


def test_an_expanded_gradient_is_never_added_to_in_place():
    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    y = x * 5
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    total = y.sum(0)
    loss = (total * a + total * a * a).sum() + (y * torch.tensor([[1.0, 0, 0], [0, 0, 1.0]], dtype=torch.float64)).sum()
    loss.backward()
    assert x.grad.tolist() == [[15.0, 30.0, 60.0], [10.0, 30.0, 65.0]]


def test_a_joint_rule_may_return_one_array_for_two_operands(monkeypatch):
    for names in (primitives, vars(raw), vars(recorded)):  # what is declared here is forgotten again, lest other tests find it
        monkeypatch.setitem(names, "_sum_for_this_test", None)
    primitives.pop("_sum_for_this_test")

    @general(joint=lambda xp, g, needs: (lambda both: (both, both))(g * 2.0), name="_sum_for_this_test", public=False)
    def sum_of_two(x, y):
        return 2.0 * (x + y)

    x, y = leaf(1.0, 2.0), leaf(1.0, 2.0)
    a, b = x * 1, y * 1
    (a * 10 + sum_of_two(a, b)).sum().backward()  # the two run in the other order
    assert x.grad.tolist() == [12.0, 12.0]
    assert y.grad.tolist() == [2.0, 2.0]


def test_only_nodes_that_saved_something_complain_about_a_second_backward():
    x = leaf(1.0, 2.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    with pytest.raises(RuntimeError, match=r"^Trying to backward through the graph a second time"):
        z.backward()


def test_a_sum_of_cotangents_is_made_in_the_memory_of_the_first(monkeypatch):
    """Nobody else holds what a rule has just made, so further cotangents are added to it, and the leaf keeps it as its gradient."""
    counts = []

    def references(array):
        counts.append(count(array) - 1)  # one for this function's own parameter
        return counts[-1]

    count = engine.references
    monkeypatch.setattr(engine, "references", references)
    x = leaf(1.0, 2.0, 3.0)
    (x.exp() + x.sin() * 2 + x * x.cos()).sum().backward()
    assert counts == [engine.ALONE_IN_ONE] * 3 + [engine.ALONE]
    counts.clear()
    leaf(1.0, 2.0).exp().sum().backward()
    assert counts == [engine.ALONE_IN_LOOP]


def test_a_hook_changes_what_grad_gives_only_where_the_node_does_not_run_itself():
    """So it is in PyTorch, where the gradient of a node that runs as well is taken before its hooks."""
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    t = x + 1
    t.register_hook(lambda g: g * 2)
    (alone,) = torch.autograd.grad((t * 3).sum(), [t])
    by_x, by_t = torch.autograd.grad((t * 3).sum(), [x, t])
    t.retain_grad()
    torch.autograd.grad((t * 3).sum(), [t])
    assert t.grad.tolist() == [6.0, 6.0]
    assert (alone.tolist(), by_t.tolist(), by_x.tolist()) == ([6.0, 6.0], [3.0, 3.0], [6.0, 6.0])


def test_the_graph_is_kept_when_its_backward_is_recorded():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x**3).sum()
    y.backward(create_graph=True)
    y.backward(create_graph=True)
    assert x.grad.tolist() == [6.0, 24.0]
    y.backward(create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_gradients_that_are_to_be_materialized_may_be_unused():
    x, unused = torch.tensor(2.0, requires_grad=True), torch.ones(2, requires_grad=True)
    g, zeros = torch.autograd.grad(x * x, [x, unused], materialize_grads=True)
    assert g.item() == 4.0 and zeros.tolist() == [0.0, 0.0]


def test_a_view_learns_that_its_base_requires_grad_and_a_fresh_tensor_has_none_to_tell() -> None:
    x = torch.randn(3, requires_grad=True) * 2
    base = x.detach()
    view = base[0]
    base.requires_grad_()
    assert view.requires_grad
    assert x.detach().requires_grad_()[0].grad_fn is not None
    assert x.detach().requires_grad_()._cut is None
    with torch.no_grad():
        kept = [x.detach()]
    part = kept[0][1:]
    kept[0].requires_grad_()
    assert part.requires_grad
