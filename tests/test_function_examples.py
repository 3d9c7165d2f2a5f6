"""The custom functions of PyTorch's notes, written anew in both styles: right to second order, by finite differences."""

from __future__ import annotations

from typing import Any

import pytest

import ndgrad as torch
from ndgrad.autograd import Function, gradcheck, gradgradcheck
from ndgrad.autograd.function import once_differentiable


def old_style(name: str, forward: Any, setup: Any, backward: Any) -> Any:
    """The function with a `forward` that takes the context and does what `setup_context` would."""

    def together(ctx: Any, *inputs: Any) -> Any:
        output = forward(*inputs)
        setup(ctx, inputs, output)
        return output

    return type(Function)(name, (Function,), {"forward": staticmethod(together), "backward": staticmethod(backward)})


def new_style(name: str, forward: Any, setup: Any, backward: Any) -> Any:
    """The function with a `forward` that knows no context."""
    members = {"forward": forward, "setup_context": setup, "backward": backward}
    return type(Function)(name, (Function,), {key: staticmethod(value) for key, value in members.items()})


def multiply(x: Any, constant: float) -> Any:
    return x * constant


def multiply_setup(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.set_materialize_grads(False)
    ctx.constant = inputs[1]


def multiply_backward(ctx: Any, g: Any) -> Any:
    return (None, None) if g is None else (g * ctx.constant, None)


def linear(x: Any, weight: Any, bias: Any) -> Any:
    return x.mm(weight.t()) + bias


def linear_setup(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])


def linear_backward(ctx: Any, g: Any) -> Any:
    x, weight = ctx.saved_tensors
    by_x, by_weight, by_bias = ctx.needs_input_grad
    return g.mm(weight) if by_x else None, g.t().mm(x) if by_weight else None, g.sum(0) if by_bias else None


def cube(x: Any) -> Any:
    return x**3, 3 * x**2  # the slope is an output, or a second derivative would miss that it depends on x


def cube_setup(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0], output[1])


def cube_backward(ctx: Any, g: Any, g_slope: Any) -> Any:
    x, slope = ctx.saved_tensors
    return g * slope + g_slope * 6 * x


def exponential(x: Any) -> Any:
    return x.exp()


def exponential_setup(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(output)


def exponential_backward(ctx: Any, g: Any) -> Any:
    return g * ctx.saved_tensors[0]


def sinh(x: Any) -> Any:
    up, down = x.exp(), (-x).exp()
    return (up - down) / 2, up, down


def sinh_setup(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(output[1], output[2])


def sinh_backward(ctx: Any, g: Any, g_up: Any, g_down: Any) -> Any:
    up, down = ctx.saved_tensors
    return g * (up + down) / 2 + g_up * up - g_down * down


def points(*shape: int) -> Any:
    count = torch.Size(shape).numel()
    return (torch.arange(float(count), dtype=torch.float64).reshape(shape) * 0.3 - 0.7).requires_grad_()


EXAMPLES = {
    "MulConstant": ((multiply, multiply_setup, multiply_backward), lambda apply: lambda x: apply(x, 2.5), (points(3),)),
    "Linear": ((linear, linear_setup, linear_backward), lambda apply: apply, (points(2, 3), points(4, 3), points(4))),
    "Cube": ((cube, cube_setup, cube_backward), lambda apply: lambda x: apply(x)[0], (points(3),)),
    "Exp": ((exponential, exponential_setup, exponential_backward), lambda apply: apply, (points(3),)),
    "Sinh": ((sinh, sinh_setup, sinh_backward), lambda apply: lambda x: apply(x)[0], (points(3),)),
}


@pytest.mark.parametrize("style", [old_style, new_style])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_right_to_second_order(name: str, style: Any) -> None:
    parts, called, inputs = EXAMPLES[name]
    function = called(style(name, *parts).apply)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_the_checks_see_an_intermediate_that_is_recomputed_without_its_history() -> None:
    def backward(ctx: Any, g: Any, g_slope: Any) -> Any:
        return g * ctx.saved_tensors[1].detach() + g_slope * 6 * ctx.saved_tensors[0]

    wrong = new_style("Wrong", cube, cube_setup, backward)
    assert gradcheck(lambda x: wrong.apply(x)[0], (points(3),))
    with pytest.raises(RuntimeError):
        gradgradcheck(lambda x: wrong.apply(x)[0] * x, (points(3),))


def test_a_backward_in_numpy_is_differentiable_once() -> None:
    sine = new_style("Sine", sine_forward, sine_setup, once_differentiable(sine_backward))
    x = points(3)
    assert gradcheck(sine.apply, (x,))
    (first,) = torch.autograd.grad(sine.apply(x) @ x, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def sine_forward(x: Any) -> Any:
    return x.sin()


def sine_setup(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0])


def sine_backward(ctx: Any, g: Any) -> Any:
    return torch.from_numpy(g.numpy() * ctx.saved_tensors[0].detach().cos().numpy())
