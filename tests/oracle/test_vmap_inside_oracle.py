"""Programs of what a function sees inside `vmap`, run by both libraries: values that it cannot have, other threads, random numbers."""

import threading

import pytest

from tests.oracle.both import PROGRAMS, check, program
from tests.oracle.test_vmap_oracle import counted, refused


@program
def control_flow(torch, show, attempt):
    vmap = torch.func.vmap
    x, numbers = counted(torch, 2, 3), torch.tensor([1, 2])
    attempt(lambda: vmap(lambda a: a if a.sum() > 0 else -a)(x))
    attempt(lambda: vmap(lambda a: a if a.any() else -a)(x))
    attempt(lambda: vmap(lambda a: not a.sum())(x))
    attempt(lambda: vmap(lambda s: s and 1)(numbers))
    attempt(lambda: vmap(lambda s: s.item())(numbers))
    attempt(lambda: vmap(lambda s: float(s))(numbers))
    attempt(lambda: vmap(lambda s: int(s))(numbers))
    attempt(lambda: vmap(lambda s: complex(s))(numbers))
    attempt(lambda: vmap(lambda s: s.tolist())(numbers))
    attempt(lambda: vmap(lambda s: s.numpy())(numbers))
    attempt(lambda: vmap(lambda s: range(s))(numbers))
    attempt(lambda: vmap(lambda s: [1, 2, 3][s])(numbers))
    attempt(lambda: vmap(lambda s: x[0][:s])(numbers))
    attempt(lambda: vmap(lambda s: torch.zeros(s))(numbers))
    attempt(lambda: vmap(lambda s: torch.arange(s))(numbers))
    attempt(lambda: vmap(lambda s: x.sum(s))(numbers))
    attempt(lambda: vmap(lambda s: torch.tensor([s, s]))(numbers))
    attempt(lambda: vmap(lambda s: f"{s:d}")(numbers))
    attempt(lambda: vmap(lambda a: a[a > 1])(x))
    attempt(lambda: vmap(lambda a: a.nonzero())(x))
    attempt(lambda: vmap(lambda a: a.masked_select(a > 1))(x))
    attempt(lambda: vmap(lambda a: torch.unique(a))(x))
    attempt(lambda: vmap(lambda a: torch.equal(a, a))(x))
    attempt(lambda: vmap(lambda a: torch.allclose(a, a))(x))
    attempt(lambda: vmap(lambda a: 3 in a)(x))
    attempt(lambda: vmap(lambda a: max(a))(x))
    attempt(lambda: vmap(lambda a: sorted(a))(x))
    refused(show, lambda: vmap(lambda a: a.repeat_interleave(a.long()))(x))
    attempt(lambda: vmap(lambda a: hash(a) == id(a))(x))
    show(vmap(lambda a: sum(a))(x), vmap(lambda a: torch.stack(list(a)))(x), vmap(lambda a: a[len(a) - 1])(x))
    show(vmap(lambda a: torch.where(a > 1, a, -a))(x))


@program
def what_a_tensor_inside_says(torch, show, attempt):
    vmap = torch.func.vmap

    def look(a):
        show(tuple(a.shape), a.ndim, a.dim(), a.numel(), len(a), str(a.dtype), a.stride(), a.size(0), a.is_contiguous(), a.is_leaf)
        show(a.requires_grad, a.grad_fn is None, a.is_floating_point(), a.is_complex(), a._version, a.storage_offset(), a.element_size())
        show(a.transpose(0, 1).stride(), a.T.is_contiguous(), a[0].shape, a.is_inference(), a._is_view(), type(a).__name__)
        return a

    vmap(look)(counted(torch, 2, 2, 3))
    vmap(vmap(look))(counted(torch, 1, 2, 2, 3))
    vmap(look)(counted(torch, 2, 2, 3).requires_grad_())


@program
def printing(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)

    def shown(a):
        show(repr(a))
        return a.sum()

    vmap(shown)(x)
    vmap(shown)(x.clone().requires_grad_())
    vmap(vmap(shown))(counted(torch, 2, 2, 2))
    vmap(lambda a: shown(a > 1))(x)
    vmap(lambda a: vmap(lambda b: shown(a) + b)(x))(x)
    vmap(lambda a: f"{a}" and a)(x)
    vmap(lambda a: shown(torch.ones(2)) + a)(x)
    kept = []
    vmap(lambda a: kept.append(a) or a)(x)
    attempt(lambda: repr(kept[0]))


@program
def escaped_tensors(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)
    kept = []

    def keeping(a):
        kept.append(a)
        return a * 1

    vmap(keeping)(x)
    refused(show, lambda: kept[0] + 1)
    refused(show, lambda: kept[0].sum())
    refused(show, lambda: kept[0].add_(1))
    refused(show, lambda: torch.stack([kept[0], kept[0]]))
    refused(show, lambda: kept[0][0])
    refused(show, lambda: x + kept[0])
    attempt(lambda: (tuple(kept[0].shape), str(kept[0].dtype), kept[0].ndim))
    show(x)

    def generator(a):
        yield a * 2
        yield a * 3

    late = []
    vmap(lambda a: late.append(generator(a)) or a)(x)
    refused(show, lambda: next(late[0]))
    show(vmap(lambda a: sum(generator(a)))(x))


@program
def other_threads(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 2, 3)

    def elsewhere(function):
        results = []

        def body():
            try:
                results.append(function())
            except Exception as error:
                results.append(type(error).__name__)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return results[0]

    def inside(a):
        show(elsewhere(lambda: a * 2))
        show(elsewhere(lambda: vmap(lambda b: b * 2)(x)))
        show(elsewhere(lambda: torch.ones(2) + 1))
        return a

    vmap(inside)(x)


@program
def exceptions_inside(torch, show, attempt):
    vmap, grad = torch.func.vmap, torch.func.grad
    x = counted(torch, 2, 3)

    def failing(a):
        raise KeyError("mine")

    for function in (
        vmap(failing),
        vmap(vmap(failing)),
        vmap(grad(failing)),
        grad(lambda a: vmap(failing)(a).sum()),
        vmap(failing, chunk_size=1),
    ):
        attempt(lambda function=function: function(x))
        show(x * 2, torch.is_grad_enabled(), vmap(lambda a: a + 1)(x))
    refused(show, lambda: vmap(lambda a: a.reshape(7))(x))
    refused(show, lambda: vmap(lambda a: a @ torch.ones(5, dtype=torch.float64))(x))
    attempt(lambda: vmap(lambda a: a + torch.ones(2))(x))
    attempt(lambda: vmap(lambda a: a.sum(1))(x))
    attempt(lambda: vmap(lambda a: a.sum(-2))(x))
    attempt(lambda: vmap(lambda a: a.transpose(0, 1))(x))
    attempt(lambda: vmap(lambda a: a[5])(x))
    attempt(lambda: vmap(lambda a: a[0, 0])(x))
    refused(show, lambda: vmap(lambda a: a.view(2))(x))
    refused(show, lambda: vmap(lambda a: torch.cat([a, a[0]]))(x))
    attempt(lambda: vmap(lambda a: a.sum()[0])(x))
    show(x.sum())


@program
def random_numbers(torch, show, attempt):
    vmap = torch.func.vmap
    x = counted(torch, 4, 3)

    def differ(found):
        return len({tuple(row) if isinstance(row, list) else row for row in found.tolist()})

    for draw in (torch.randn, torch.rand):

        def draws(a, draw=draw):
            return draw(3)

        attempt(lambda draws=draws: vmap(draws)(x))
        attempt(lambda draws=draws: vmap(draws, randomness="error")(x))
        show(differ(vmap(draws, randomness="same")(x)), differ(vmap(draws, randomness="different")(x)))
        for size in (1, 2, 3):
            torch.manual_seed(0)
            show(differ(vmap(draws, randomness="different", chunk_size=size)(x)))
            show(differ(vmap(draws, randomness="same", chunk_size=size)(x)))
    torch.manual_seed(3)
    same = vmap(lambda a: torch.randn(3), randomness="same")(x)
    torch.manual_seed(3)
    show(torch.equal(same[0], torch.randn(3)))
    torch.manual_seed(3)
    different = vmap(lambda a: torch.randn(3), randomness="different")(x)
    torch.manual_seed(3)
    show(torch.equal(different, torch.randn(4, 3)))
    for randomness in ("error", "same", "different"):
        attempt(lambda randomness=randomness: differ(vmap(lambda a: torch.rand_like(a), randomness=randomness)(x)))
        if randomness != "same":  # which torch has not built
            attempt(lambda randomness=randomness: differ(vmap(lambda a: a.clone().normal_(), randomness=randomness)(x)))
            attempt(lambda randomness=randomness: differ(vmap(lambda a: torch.bernoulli(a * 0), randomness=randomness)(x)))
        attempt(lambda randomness=randomness: differ(vmap(lambda a: torch.nn.functional.dropout(a + 1), randomness=randomness)(x)) > 1)
        attempt(lambda randomness=randomness: differ(vmap(lambda a: torch.randperm(20), randomness=randomness)(x)))
    attempt(lambda: differ(vmap(vmap(lambda s: torch.randn(()), randomness="different"), randomness="same")(x)))
    attempt(lambda: differ(vmap(vmap(lambda s: torch.randn(()), randomness="same"), randomness="different")(x)))
    attempt(lambda: differ(vmap(vmap(lambda s: torch.randn(()), randomness="error"), randomness="different")(x)))
    attempt(lambda: differ(vmap(vmap(lambda s: torch.randn(()), randomness="different"), randomness="error")(x)))


@pytest.mark.parametrize("function", PROGRAMS[__name__], ids=lambda function: function.__name__)
def test_program(function):
    check(function)
