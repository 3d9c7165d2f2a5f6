"""`_saved_*` attributes of nodes: their names, as `dir` lists them, and their values are torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ndgrad
from ndgrad.core.saved import sources
from ndgrad.ops.declare import primitives
from tests.oracle.not_saved import NOT_SAVED, OTHER_VALUE
from tests.oracle.test_opdb_oracle import INFOS, counterpart, flatten, samples_of
from tests.oracle.translation import NoCounterpartError, Outcome, ToOurs, brief, difference

MOST_SAMPLES = 40
#: torch shows negative numbers as they look without a sign.
UNSIGNED = 2**64
#: How torch keeps the end of `x[1:]`.
UNBOUNDED = 2**63 - 1
#: Composites that are made of the same operations in another way, so that only the names are compared.
COMPOSITES = ("einsum", "tensordot")


def pairs_of(ours: Any, theirs: Any) -> list[tuple[Any, Any]]:
    """Nodes of the two graphs that correspond: as far down as both consist of the same operations."""
    waiting = [(ours, theirs)]
    found: list[tuple[Any, Any]] = []
    while waiting:
        mine, wanted = waiting.pop()
        if mine is None or wanted is None or mine.name() != wanted.name():
            continue
        found.append((mine, wanted))
        waiting += zip((f for f, _ in mine.next_functions), (f for f, _ in wanted.next_functions), strict=False)
    return found


def names(node: Any, prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in dir(node) if name.startswith(prefix)}


def signed(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(signed, value))
    return value - UNSIGNED if type(value) is int and value >= UNSIGNED // 2 else value


def same_dims(mine: Any, wanted: Any) -> bool:
    """Whether two dims, or tuples of them, are the same: torch keeps what was given, ours is counted from the front and within the shape.

    For all dims torch may keep None or (), and of a 0-d tensor 0 and -1, where ours has none.
    """
    if isinstance(mine, tuple):
        if wanted in (None, ()):
            return mine == tuple(range(len(mine)))
        return not mine or (len(mine) == len(wanted) and all(map(same_dims, mine, wanted)))
    if mine is None or wanted is None:
        return True
    return mine == wanted or (wanted < 0) != (mine < 0) or wanted == UNBOUNDED


def value_difference(name: str, mine: Any, wanted: Any) -> str:
    wanted = signed(wanted)
    if name == "correction" and wanted is None:
        wanted = 1
    if isinstance(mine, ndgrad.Tensor) and isinstance(wanted, torch.Tensor):
        wanted = wanted.to(getattr(torch, mine.dtype.name))  # ours keeps an operand as the kernel took it, in the common dtype
    if name.startswith(("dim", "start", "end", "index")) and not isinstance(wanted, torch.Tensor) and name != "indices":
        return "" if same_dims(mine, wanted) else f"ours {brief(mine)}, torch's {brief(wanted)}"
    if isinstance(wanted, (int, float, complex)) and type(wanted) is not bool:
        return "" if mine == wanted and not isinstance(mine, ndgrad.Tensor) else f"ours {brief(mine)}, torch's {brief(wanted)}"
    return difference(mine, wanted)


def node_differences(mine: Any, wanted: Any, *, values: bool = True) -> list[str]:
    known = NOT_SAVED.get(wanted.name(), {})
    found: list[str] = []
    for prefix in ("_saved_", "_raw_saved_"):
        own, theirs = names(mine, prefix), names(wanted, prefix)
        found += [f"{prefix}{name} is not in torch" for name in sorted(own - theirs)]
        found += [f"{prefix}{name} is missing" for name in sorted(theirs - own - set(known))]
    common = names(mine, "_saved_") & names(wanted, "_saved_") if values else set()
    for name in sorted(common - set(OTHER_VALUE.get(wanted.name(), {}))):
        text = value_difference(name, getattr(mine, f"_saved_{name}"), getattr(wanted, f"_saved_{name}"))
        if text:
            found.append(f"_saved_{name}: {text}")
    primitive = getattr(getattr(mine, "primitive", None), "name", "")
    return [f"{wanted.name()} ({primitive}): {text}" for text in found]


def differences(name: str) -> list[str]:
    info, function = INFOS[name], counterpart(INFOS[name])
    samples = samples_of(info, torch.float64)
    found: list[str] = []
    for sample in samples[:: max(1, len(samples) // MOST_SAMPLES)]:
        translate = ToOurs()
        try:
            input, args, kwargs = translate(sample.input), translate(tuple(sample.args)), translate(sample.kwargs)
        except NoCounterpartError:
            continue
        theirs = Outcome(info.op, sample.input, *sample.args, **sample.kwargs)
        ours = Outcome(function, input, *args, **kwargs)  # type: ignore[arg-type]  # INFOS are those that have one
        if theirs.error is not None or ours.error is not None:
            continue
        for mine, wanted in zip(flatten(ours.value), flatten(theirs.value), strict=True):
            for at, pair in enumerate(pairs_of(mine.grad_fn, wanted.grad_fn)):
                found += node_differences(
                    *pair, values=at == 0 and name not in COMPOSITES
                )  # composites go different ways to the same result
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("name", [name for name, info in INFOS.items() if info.supports_autograd and torch.float64 in info.dtypes])
def test_saved_attributes(name: str) -> None:
    found = differences(name)
    assert not found, "\n".join(found)


X = "T.arange(1.0, 7.0).reshape(2, 3).requires_grad_()"
EXPRESSIONS = [
    *("x + 1", "x - 1", "2 - x", "x * 2.0", "x * 3", "x * True", "x / 2", "2 / x", "x ** 2", "2 ** x", "x ** x", "-x", "x @ x.t()"),
    *("T.add(x, x, alpha=2)", "T.sub(x, 1, alpha=3)", "x.clamp(min=0)", "x.clamp(max=2.5)", "x.clamp(1, 2)", "x.clamp_min(2)"),
    *("x.clamp_max(2)", "x.sum()", "x.sum(0)", "x.sum(-1, keepdim=True)", "x.mean()", "x.mean(1)", "x.prod()", "x.prod(1)"),
    *("x[0]", "x[:, 1:]", "x[None]", "x[..., 1]", "x[T.tensor([1, 0])]", "x[:, T.tensor([2])]", "x[x > 2]", "x.lerp(x, 0.5)"),
    *("x.expand(4, 2, 3)", "x.view(3, 2)", "x.t()", "x.permute(1, 0)", "x.transpose(0, 1)", "x.unsqueeze(1)", "x[:1].squeeze()"),
    *("x[:1].squeeze(0)", "T.cat([x, x], -1)", "T.stack([x, x])", "x.index_select(1, T.tensor([0]))", "x.max(1).values", "x.max()"),
    *("x.gather(1, T.tensor([[0], [1]]))", "x.var()", "x.std(0)", "x.cumsum(1)", "x.cumprod(0)", "x.sort().values", "x.topk(2).values"),
    *("x.exp()", "x.tanh()", "x.sigmoid()", "x.sqrt()", "x.log()", "x.relu()", "x.softmax(1)", "x.log_softmax(-1)", "x.norm()"),
    *("T.nn.functional.gelu(x)", "T.nn.functional.gelu(x, approximate='tanh')", "T.nn.functional.leaky_relu(x)"),
    *("T.nn.functional.nll_loss(x, T.tensor([0, 2]))", "T.nn.functional.cross_entropy(x, T.tensor([0, 2]))"),
    *("T.nn.functional.mse_loss(x, x.detach() + 1)", "T.nn.functional.mse_loss(x, x.detach() + 1, reduction='sum')"),
    *("T.nn.functional.binary_cross_entropy_with_logits(x, T.ones(2, 3))", "T.nn.functional.layer_norm(x, (3,))"),
    *(
        "T.addmm(x, x @ x.t(), x, alpha=2, beta=3)",
        "T.where(x > 2, x, 0.0)",
        "x.masked_fill(x > 2, 0)",
        "x.split(2, 1)[0]",
        "x.unbind()[0]",
    ),
    *(
        "x.repeat(2, 1)",
        "x.flip(0)",
        "x.roll(1, 0)",
        "x.tril()",
        "x.diagonal()",
        "x.as_strided((2,), (1,))",
        "x.detach().mul(x)",
        "x.unbind()[0]",
    ),
    *("x.double()", "x.clone().mul_(2)", "x.clone().exp_()", "x.clone().relu_()", "T.outer(x[0], x[1])"),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_of_expressions(expression: str) -> None:
    mine, wanted = (eval(expression, {"T": side, "x": eval(X, {"T": side})}) for side in (ndgrad, torch))
    assert mine.grad_fn.name() == wanted.grad_fn.name()
    found = node_differences(mine.grad_fn, wanted.grad_fn)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("attribute", ["_saved_result", "_saved_self", "_saved_nothing", "_raw_saved_dim", "_saved_dim"])
def test_what_is_left_after_a_backward(attribute: str) -> None:
    said: list[Any] = []
    for side in (ndgrad, torch):
        x = eval(X, {"T": side})
        out = x.logsumexp((0, 1))
        node = out.grad_fn
        out.backward()
        outcome = Outcome(getattr, node, attribute)
        said.append((type(outcome.error), str(outcome.error).partition(".")[0].partition(";")[0], outcome.value))
    assert said[0] == said[1]


def test_no_reason_is_stale() -> None:
    """What is said not to be there is not there, in any node of our graphs by that name."""
    kinds = {primitive.Node.__name__: primitive for primitive in primitives.values()}
    missing = set(NOT_SAVED) - set(kinds)
    assert not missing, f"no such nodes: {sorted(missing)}"
    there = [f"{name}._saved_{each}" for name, known in NOT_SAVED.items() for each in known if each in sources(kinds[name].Node)]
    there = [each for each in there if not each.startswith("RreluWithNoiseBackward0._saved_noise")]
    assert not there, f"saved after all: {there}"
