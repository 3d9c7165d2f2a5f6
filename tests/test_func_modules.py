"""Modules as functions of their parameters, patterns of dims, and functions whose mutations are held back."""

from __future__ import annotations

from typing import Any

import pytest

import ndgrad as torch
from ndgrad import nn
from ndgrad.func import (
    debug_unwrap,
    functional_call,
    functionalize,
    grad,
    jvp,
    rearrange,
    replace_all_batch_norm_modules_,
    stack_module_state,
)
from ndgrad.nn.utils import stateless


class Affine(nn.Module):
    """With weights that have two names, and a buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.again = self.first
        self.scale = nn.Parameter(torch.ones(3))
        self.tied = self.scale
        self.register_buffer("count", torch.tensor(0.0))

    def forward(self, x: Any, shift: float = 0.0) -> Any:
        self.count = self.count + 1
        return self.again(self.first(x)) * self.scale + self.tied + shift


X = torch.tensor([1.0, 2.0, 3.0])


def test_other_parameters_are_used_and_the_own_come_back() -> None:
    model = nn.Linear(3, 2)
    own = dict(model.named_parameters())
    given = {"weight": torch.ones(2, 3), "bias": torch.tensor([1.0, 2.0])}
    for found in (functional_call(model, given, X), functional_call(model, given, (X,)), functional_call(model, given, None, {"input": X})):
        assert found.tolist() == [7, 8]
    assert functional_call(model, [{"weight": given["weight"]}, {"bias": given["bias"]}], X).tolist() == [7, 8]
    without: dict[str, Any] = {**given, "bias": None}
    assert functional_call(model, without, X).tolist() == [6, 6]
    assert all(model.get_parameter(name) is tensor for name, tensor in own.items()) and list(model._parameters) == ["weight", "bias"]
    with pytest.warns(FutureWarning, match="drop-in replacement"):
        assert stateless.functional_call(model, given, X).tolist() == [7, 8]


def test_tied_weights_go_together() -> None:
    model = Affine()
    doubled = {"scale": 2 * torch.ones(3), "first.weight": torch.zeros(3, 3), "first.bias": X}
    assert functional_call(model, doubled, X).tolist() == (2 * X + 2).tolist()
    assert functional_call(model, doubled, X, {"shift": 1.0}).tolist() == (2 * X + 3).tolist()
    apart = {**doubled, "tied": torch.zeros(3), "again.weight": torch.zeros(3, 3), "again.bias": torch.ones(3)}
    assert functional_call(model, apart, X, tie_weights=False).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match=r"got multiple values for keys \['scale', 'tied'\], which are tied"):
        functional_call(model, {"scale": X, "tied": X + 1}, X)
    assert functional_call(model, {"scale": X, "tied": X}, X).shape == (3,)


def test_buffers_that_are_assigned_are_found_in_the_dict() -> None:
    model = Affine()
    given = {"count": torch.tensor(5.0)}
    functional_call(model, given, X)
    assert given["count"].item() == 6 and model.count.item() == 0
    functional_call(model, {}, X)
    assert model.count.item() == 1


def test_strictness_and_what_is_refused() -> None:
    model = nn.Linear(3, 2)
    own = dict(model.named_parameters())
    assert functional_call(model, {**own, "other": X}, X).shape == (2,) and not hasattr(model, "other")
    for given, message in (
        ({**own, "z": X}, r"Error\(s\) in reparametrizing for Linear:\n\tUnexpected key\(s\): 'z'."),
        ({"weight": own["weight"]}, r"\n\tMissing key\(s\): 'bias'."),
    ):
        with pytest.raises(RuntimeError, match=message):
            functional_call(model, given, X, strict=True)
    with pytest.raises(TypeError, match="3 is not an instance of torch"):
        functional_call(model, {"weight": 3}, X)  # type: ignore[dict-item]  # what is refused
    with pytest.raises(AttributeError, match="Linear has no attribute `a`"):
        functional_call(model, {"a.b": X}, X)
    with pytest.raises(ValueError, match="appeared in multiple dictionaries"):
        functional_call(model, [own, own], X)
    for wrong in (3, [3]):
        with pytest.raises(ValueError, match="Expected"):
            functional_call(model, wrong, X)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(TypeError):
        functional_call(model, {"weight": torch.ones(2, 3)})
    assert model.weight is own["weight"]


def test_gradients_of_a_module_by_its_parameters() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    params = {name: p.detach() for name, p in model.named_parameters()}
    found = grad(lambda params: functional_call(model, params, X).pow(2).sum())(params)
    model(X).pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.allclose(found[name], parameter.grad)


def test_states_of_several_models() -> None:
    models = [Affine() for _ in range(4)]
    parameters, buffers = stack_module_state(models)
    assert parameters["first.weight"].shape == (4, 3, 3) and parameters["first.weight"].is_leaf and parameters["scale"].requires_grad
    assert torch.equal(parameters["first.bias"][2], models[2].first.bias) and buffers["count"].shape == (4,)
    with pytest.raises(RuntimeError, match="Expected at least one model, got 0"):
        stack_module_state([])
    with pytest.raises(RuntimeError, match="same training/eval mode"):
        stack_module_state([Affine().eval(), Affine()])
    with pytest.raises(RuntimeError, match="of the same class"):
        stack_module_state([Affine(), nn.Linear(3, 3)])
    models[0].scale.requires_grad_(False)
    with pytest.raises(RuntimeError, match="Expected scale from each model to have the same"):
        stack_module_state(models)


def test_batch_norms_without_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3), nn.Tanh()))
    assert replace_all_batch_norm_modules_(model) is model
    norm: Any = model[0]
    assert norm.running_mean is None and norm.running_var is None and not norm.track_running_stats and not dict(model.named_buffers())
    assert torch.func.vmap(model, randomness="error")(torch.randn(2, 4, 3)).shape == (2, 4, 3)


# ---------------------------------------------------------------- rearrange
T = torch.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("pattern", "axes", "expected"),
    [
        ("a b c -> c b a", {}, T.permute(2, 1, 0)),
        ("a b c->(a b) c", {}, T.reshape(6, 4)),
        ("a b (c d) -> d a c b", {"d": 2}, T.reshape(2, 3, 2, 2).permute(3, 0, 2, 1)),
        ("a ... -> ... a", {}, T.permute(1, 2, 0)),
        ("... c -> (...) c", {}, T.reshape(6, 4)),
        ("a ... -> 1 a (...) ()", {}, T.reshape(1, 2, 12, 1)),
        ("... b c -> b ... c", {}, T.permute(1, 0, 2)),
        ("a b c -> c (b a)", {}, T.permute(2, 1, 0).reshape(4, 6)),
    ],
)
def test_patterns(pattern: str, axes: dict[str, int], expected: torch.Tensor) -> None:
    assert torch.equal(rearrange(T, pattern, **axes), expected)
    assert torch.equal(grad(lambda x: (rearrange(x, pattern, **axes) * expected).sum())(T), T)
    assert torch.equal(jvp(lambda x: rearrange(x, pattern, **axes), (T,), (T,))[1], expected)


def test_patterns_make_views_and_stack_lists() -> None:
    assert rearrange(T, "a b (c d) -> d c a b", c=2)._base is T._base
    assert torch.equal(rearrange([T, T + 1], "x a b c -> a x b c"), torch.stack([T, T + 1], 1))
    assert rearrange(torch.tensor(1.0), " -> 1").shape == (1,) and rearrange(torch.ones(1, 3), "1 a -> a").shape == (3,)


@pytest.mark.parametrize(
    ("pattern", "axes", "message"),
    [
        ("a b c", {}, "Pattern must contain a single '->' separator"),
        ("a b c -> a b", {}, "Identifiers only on one side of rearrange expression"),
        ("a b -> b a", {}, r"Number of dimensions in pattern \(2\) must be equal to the number of dimensions in the tensor \(3\)"),
        ("a b c d ... -> ... a b c d", {}, r"Number of dimensions in pattern \(4\) must be less than or equal to"),
        ("a a c -> a c", {}, "Indexing expression contains duplicate dimension 'a'"),
        ("a b (c d) -> a b c d", {}, "cannot infer the sizes of two dimensions at once"),
        ("a b (c d) -> a b c d", {"c": 3}, "inferred dimension does not evenly fit into larger dimension"),
        ("a b c -> a b c", {"a": 3}, "Dimension sizes to do not match"),
        ("a b c -> a b c", {"z": 3}, "Identifiers not found in rearrange expression: {'z'}"),
        ("a b ((c d)) -> a b c d", {}, "Axis composition is one-level"),
        ("a b (c d -> a b c d", {}, "Imbalanced parentheses in expression"),
        ("a b c) -> a b c", {}, "Brackets are not balanced"),
        ("a ... ... -> a ...", {}, "only one ellipsis for tensor"),
        ("a .. c -> a c", {}, "Expression may contain dots only inside ellipsis"),
        ("(a ...) c -> a c", {}, "Ellipsis is parenthesis in the left side is not allowed"),
        ("a b c -> ... a b c", {}, "Ellipsis found in right side, but not left side"),
        ("a 3 c -> a c", {}, "rearrange only supports unnamed axes of size 1"),
        ("a 1 c -> a c", {}, "an axis of size 1 stands in the pattern where the tensor has a dim of size 3"),
        ("_a b c -> b c _a", {}, "Invalid axis identifier: _a"),
        ("1a b c -> b c 1a", {}, "Invalid axis identifier: 1a"),
        ("a! b c -> b c a", {}, "Unknown character '!'"),
    ],
)
def test_patterns_that_are_refused(pattern: str, axes: dict[str, int], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        rearrange(T, pattern, **axes)
    assert type(caught.value).__name__ in ("ValueError", "DimensionBindError")


# ---------------------------------------------------------------- functionalize
def test_mutations_come_at_the_end() -> None:
    x, y = X.clone(), X.clone()

    def f(x: Any, other: Any) -> Any:
        x.mul_(2)
        other["y"][0].add_(x[2])
        assert y.tolist() == [1, 2, 3]
        return x, other["y"].view(3, 1), other["y"]

    first, view, second = functionalize(f)(x, other={"y": y})
    assert x.tolist() == [2, 4, 6] and y.tolist() == [7, 2, 3] and x._version == y._version == 1
    assert first.tolist() == x.tolist() and first is not x and second.tolist() == view.flatten().tolist() == y.tolist()

    def fails(x: Any) -> Any:
        x.zero_()
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        functionalize(fails)(x)
    assert x.tolist() == [2, 4, 6] and x._version == 1


def test_what_is_returned_unchanged_shares_memory() -> None:
    x = X.clone()
    same, view = functionalize(lambda x: (x, x[1:]))(x)
    assert same is x and view._base is x and x._version == 0
    view = functionalize(lambda x: x[1:], remove="mutations_and_views")(x)
    assert view._base is None and view.tolist() == [2, 3]
    one, two = functionalize(lambda x, y: (x.mul_(2), y))(x, x)
    assert one.tolist() == two.tolist() == x.tolist() == [2, 4, 6]
    assert functionalize(lambda x: (x * 2, 3, None, "s"))(x)[1:] == (3, None, "s")
    with pytest.raises(RuntimeError, match=r"received invalid argument for remove=views\. Valid options are"):
        functionalize(lambda x: x, remove="views")


def test_mutations_are_differentiated() -> None:
    assert grad(lambda x: functionalize(lambda y: y.mul_(y).sum())(x * 1))(X).tolist() == [2, 4, 6]
    assert functionalize(grad(lambda x: (x * 1).mul_(x).sum()))(X).tolist() == [2, 4, 6]
    assert jvp(functionalize(lambda x: (x * 1).mul_(x)), (X,), (X,))[1].tolist() == [2, 8, 18]
    x = X.clone().requires_grad_()
    y = x * 1
    functionalize(lambda y: y.mul_(x))(y)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 4, 6]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        functionalize(lambda x: x.mul_(2))(x)


def test_looking_at_values_inside() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(debug_unwrap(x * 2))
        return x.sum()

    grad(f)(X)
    assert seen[0].tolist() == [2, 4, 6] and not seen[0].requires_grad
    w = X.clone().requires_grad_()
    assert debug_unwrap(w) is w and debug_unwrap(X) is X
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        debug_unwrap(3)  # type: ignore[arg-type]  # what is refused
