"""Custom functions: what can be said without torch."""

import gc
import weakref

import pytest

import ndgrad as torch
from ndgrad.autograd import Function
from ndgrad.autograd.function import InplaceFunction, NestedIOFunction, once_differentiable


def leaf(*values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Stashing(Function):
    """Computes a tensor in forward and keeps it where the graph does not see it."""

    @staticmethod
    def forward(ctx, x):
        ctx.double = x * 2
        return ctx.double**2 * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.double**2


def test_derivatives_of_every_order():
    x = leaf(2.0)
    y = Cube.apply(x)
    found = [y.item()]
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.item())
    assert found == [8.0, 12.0, 12.0, 6.0]


def test_the_tensor_is_printed_with_the_name_of_the_function():
    y = Cube.apply(leaf(2.0))
    assert repr(y) == "tensor([8.], dtype=torch.float64, grad_fn=<CubeBackward>)"
    assert repr(y.grad_fn).startswith("<torch.autograd.function.CubeBackward object at 0x")


def test_a_stashed_intermediate_serves_the_first_derivative():
    x = leaf(6.0)
    assert torch.autograd.grad(Stashing.apply(x).sum(), x)[0].item() == 432.0
    (first,) = torch.autograd.grad(Stashing.apply(x).sum(), x, create_graph=True)
    assert first.item() == 432.0


def test_a_stashed_intermediate_cannot_be_differentiated_through():
    x = leaf(6.0)
    (first,) = torch.autograd.grad(Stashing.apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"ctx\.double of Stashing was computed inside its forward.*save_for_backward"):
        torch.autograd.grad(first.sum(), x)
    y = Stashing.apply(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert not y.grad_fn.double.requires_grad  # outside of a backward it is what it was
    with pytest.raises(RuntimeError, match=r"ctx\.double"):
        (first * 1).sum().backward()


def test_what_was_not_computed_inside_may_be_stashed():
    constant = torch.tensor([5.0], dtype=torch.float64)

    class Scaled(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x, ctx.constant, ctx.mask, ctx.size = x, constant, x > 0, 3.0
            return x**2 * constant

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.x * ctx.constant * ctx.mask

    x = leaf(3.0)
    (first,) = torch.autograd.grad(Scaled.apply(x).sum(), x, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].item() == 10.0


def test_a_stashed_view_of_an_input_cannot_be_differentiated_through():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.transposed = x.t()
            return x.mm(y)

        @staticmethod
        def backward(ctx, g):
            return None, ctx.transposed.mm(g)

    x, y = torch.ones(2, 2, requires_grad=True), torch.ones(2, 2, requires_grad=True)
    (first,) = torch.autograd.grad(Product.apply(x, y).sum(), y, create_graph=True)
    with pytest.raises(RuntimeError, match=r"ctx\.transposed"):
        first.sum().backward()


def keeping(store, load):
    """A function that is 2 x**3 and in whose backward `load` is to give 2 x; and its second derivative at 6, for 72."""

    class Keeping(Function):
        @staticmethod
        def forward(ctx, x):
            store(ctx, x)
            return 2 * x**3

        @staticmethod
        def backward(ctx, g):
            return 1.5 * g * load(ctx) ** 2

    x = leaf(6.0)
    y = Keeping.apply(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert first.item() == 216.0
    return y.grad_fn, lambda: torch.autograd.grad(first.sum(), x)[0].item()


def in_list(ctx, x):
    ctx.parts = [x, x * 2]


def in_tuple(ctx, x):
    ctx.parts = (x * 3, x * 2)


def in_dict(ctx, x):
    ctx.parts = {"other": None, 1: x * 2}


@pytest.mark.parametrize("store", [in_list, in_tuple, in_dict])
def test_a_stash_in_a_container_cannot_be_differentiated_through(store):
    node, second = keeping(store, lambda ctx: ctx.parts[1])
    assert not node.parts[1].requires_grad  # outside of a backward it is what it was
    with pytest.raises(RuntimeError, match=r"ctx\.parts\[1\] of Keeping was computed inside its forward"):
        second()


def test_a_container_that_backward_changes_keeps_its_changes():
    def load(ctx):
        ctx.parts.append("seen")
        return ctx.parts.pop(0)

    node, second = keeping(lambda ctx, x: setattr(ctx, "parts", [x * 2]), load)
    assert node.parts == ["seen"]
    with pytest.raises(RuntimeError, match=r"ctx\.parts\[0\]"):
        second()


CONSTANT = torch.tensor([2.0], dtype=torch.float64)
CONSTANTS = [torch.tensor([2.0], dtype=torch.float64)]
PAIR = (torch.tensor([2.0], dtype=torch.float64), 3)


def test_a_container_may_have_inputs_and_what_others_hold():
    def load(ctx):
        return ctx.kept[0] * ctx.constants[0] * ctx.pair[0] * ctx.own["constant"] / 4

    def store(ctx, x):
        ctx.kept, ctx.constants, ctx.pair, ctx.own = (x,), CONSTANTS, PAIR, {"constant": CONSTANT}

    _, second = keeping(store, load)
    assert second() == 72.0


class Squaring(Function):
    """Saves its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x


class Exponential(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        result = torch.exp(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, g):
        (result,) = ctx.saved_tensors
        return g * result


class HyperbolicSine(Function):
    """Saves intermediate results, which are outputs for that reason."""

    @staticmethod
    def forward(ctx, x):
        grown, shrunk = torch.exp(x), torch.exp(-x)
        ctx.save_for_backward(grown, shrunk)
        return (grown - shrunk) / 2, grown, shrunk

    @staticmethod
    def backward(ctx, g, g_grown, g_shrunk):
        grown, shrunk = ctx.saved_tensors
        return g * (grown + shrunk) / 2 + g_grown * grown - g_shrunk * shrunk


@pytest.mark.parametrize("function", [Squaring, Exponential, HyperbolicSine])
def test_what_is_saved_as_the_documentation_says_can_be_differentiated_twice(function):
    def first(x):
        found = function.apply(x)
        return found[0] if isinstance(found, tuple) else found

    assert torch.autograd.gradcheck(first, leaf(0.5, -1.0))
    assert torch.autograd.gradgradcheck(first, leaf(0.5, -1.0))


def test_backward_is_told_what_this_call_needs():
    seen = []

    class Product(Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            seen.append(ctx.needs_input_grad)
            return x * y * factor

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g, None, g

    x, y = leaf(1.0), leaf(2.0)
    out = Product.apply(x, 2, y)
    torch.autograd.grad(out.sum(), y, retain_graph=True)
    out.sum().backward()
    assert seen == [(True, False, True), (False, False, True), (True, False, True)]
    assert out.grad_fn.needs_input_grad == (True, False, True)


def test_a_call_leaves_no_reference_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf(2.0)
        y = Cube.apply(x)
        y.sum().backward()
        gone = [weakref.ref(y), weakref.ref(y._node), weakref.ref(y.grad_fn)]
        del y
        assert [each() for each in gone] == [None, None, None]
        y = Stashing.apply(x)
        gone = weakref.ref(y._node)
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_saved_tensors_are_freed_by_backward():
    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    z = torch.ones(2)
    y = Saves.apply(leaf(1.0, 2.0) * 1)
    saved = weakref.ref(y.grad_fn.saved_tensors[0])
    y.sum().backward()
    assert saved() is None
    assert not Saves.apply(z).requires_grad


def test_the_users_attributes_may_have_the_names_of_the_engines():
    names = ["shape", "dtype", "saved", "params", "parents", "number", "extra", "code", "lasti", "outputs", "state", "needs", "residuals"]

    class Named(Function):
        @staticmethod
        def forward(ctx, x):
            assert not any(hasattr(ctx, name) for name in names)
            for name in names:
                setattr(ctx, name, name)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            assert [getattr(ctx, name) for name in names] == names
            return 2 * g + 3 * h

    x = leaf(1.0)
    y, z = Named.apply(x)
    (y + z).sum().backward()
    assert x.grad.item() == 5.0


def test_numpy_inside():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x.detach().numpy()
            return torch.from_numpy(x.numpy() * 2)

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return torch.from_numpy(g.numpy() * 2)

    x = leaf(1.0, 2.0)
    Sine.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_errors_keep_their_type_and_the_mode_is_restored():
    class Boom(Exception):
        pass

    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise Boom

    y = Fails.apply(leaf(1.0))
    with pytest.raises(Boom):
        y.sum().backward()
    assert torch.is_grad_enabled()
    assert y.grad_fn.needs_input_grad == (True,)


def test_hooks_on_the_node_and_deep_chains():
    x = leaf(1.0)
    y, calls = x, []
    for _ in range(3000):
        y = Cube.apply(y)
    y.grad_fn.register_prehook(lambda given: calls.append("before"))
    y.grad_fn.register_hook(lambda inputs, given: calls.append("after"))
    y.sum().backward()
    assert calls == ["before", "after"]


def test_old_bases_warn_when_instantiated():
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        assert InplaceFunction(True).inplace
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        nested = NestedIOFunction()
    x = leaf(1.0)
    nested.save_for_backward((x, [x, None]))
    assert nested.to_save == (x, x)
    with pytest.raises(ValueError, match="Auto nesting"):
        nested.mark_dirty(3)
    with pytest.raises(NotImplementedError):
        nested.forward_extended(x)


def test_a_backward_that_can_be_differentiated_once():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 3 * ctx.saved_tensors[0] ** 2

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (g,) = torch.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    assert g.tolist() == [3.0, 12.0]
    weight = torch.ones(2, requires_grad=True)
    (g,) = torch.autograd.grad((Cube.apply(x) * weight).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function that was marked with @once_differentiable"):
        g.sum().backward()
