"""Samples of the functions of `nn.functional` and `linalg`: losses, layers, and wrappers that take more than the operation in the table."""

from __future__ import annotations

from ndgrad.testing.inputs import Maker, Sample, Spec
from ndgrad.testing.samples.reducing import regular
from ndgrad.testing.samples.registry import OPERATIONS, Make


def _functional(**makes: Make) -> None:
    OPERATIONS.update({f"nn.functional.{name}": Spec(make) for name, make in makes.items()})


def _linalg(**makes: Make) -> None:
    OPERATIONS.update({f"linalg.{name}": Spec(make) for name, make in makes.items()})


def _regression(**options: object) -> Make:
    """Inputs and targets, every reduction."""
    return lambda m: [
        Sample(m.real(2, 3), m.real(2, 3), **options),
        *(Sample(m.real(4), m.real(4), reduction=how, **options) for how in ("sum", "none")),
    ]


def _classes(m: Maker) -> list[Sample]:
    """Scores of classes: of one sample, of a batch, of images; weights, and a class to leave out."""
    weight = m.real(3, low=0.3, high=1.5, grad=False)
    return [
        Sample(m.real(3), m.index(1)),
        Sample(m.real(4, 3), m.index([0, 2, 1, 2]), weight=weight),
        Sample(m.real(4, 3), m.index([0, 2, 1, 2]), weight=weight, reduction="none", ignore_index=2),
        Sample(m.real(2, 3, 2, 2), m.index([[[0, 1], [2, 1]], [[1, 1], [0, 2]]]), reduction="sum"),
    ]


def _signs(m: Maker, *shape: int) -> object:
    return m.data(m.generator.choice([-1.0, 1.0], shape).tolist(), grad=False)


# ---------------------------------------------------------------- losses
_functional(
    mse_loss=_regression(),
    l1_loss=_regression(),
    smooth_l1_loss=lambda m: [*_regression()(m), *_regression(beta=0.7)(m)],
    huber_loss=lambda m: [*_regression()(m), *_regression(delta=0.7)(m)],
    nll_loss=_classes,
    cross_entropy=lambda m: [
        *_classes(m),
        Sample(m.real(4, 3), m.index([0, 2, 1, 2]), label_smoothing=0.2),
        Sample(m.real(4, 3), m.real(4, 3, low=0.1, high=1)),
        Sample(m.real(4, 3), m.real(4, 3, low=0.1, high=1), weight=m.real(3, low=0.3, high=1.5, grad=False), reduction="sum"),
    ],
    binary_cross_entropy=lambda m: [
        Sample(m.real(2, 3, low=0.1, high=0.9), m.real(2, 3, low=0.1, high=0.9)),
        Sample(m.real(4, low=0.1, high=0.9), m.real(4, low=0, high=1), weight=m.real(4, low=0.3, high=1, grad=False), reduction="sum"),
    ],
    binary_cross_entropy_with_logits=lambda m: [
        Sample(m.real(2, 3), m.real(2, 3, low=0, high=1)),
        Sample(m.real(2, 3), m.real(2, 3, low=0, high=1), pos_weight=m.real(3, low=0.3, high=2, grad=False), reduction="none"),
        Sample(m.real(4), m.real(4, low=0, high=1), weight=m.real(4, low=0.3, high=1, grad=False), reduction="sum"),
    ],
    kl_div=lambda m: [
        Sample(m.real(2, 3), m.real(2, 3, low=0.1, high=1), reduction="batchmean"),
        Sample(m.real(2, 3), m.real(2, 3), reduction="sum", log_target=True),
    ],
    poisson_nll_loss=lambda m: [
        Sample(m.real(2, 3), m.real(2, 3, low=0.3, high=2)),
        Sample(m.real(4, low=0.3, high=2), m.real(4, low=1.2, high=4), log_input=False, full=True, reduction="sum"),
    ],
    gaussian_nll_loss=lambda m: [
        Sample(m.real(2, 3), m.real(2, 3), m.real(2, 3, low=0.3, high=2)),
        Sample(m.real(2, 3), m.real(2, 3), m.real(2, 1, low=0.3, high=2), full=True, reduction="sum"),
    ],
    soft_margin_loss=lambda m: [Sample(m.real(2, 3), _signs(m, 2, 3)), Sample(m.real(4), _signs(m, 4), reduction="none")],
    multilabel_soft_margin_loss=lambda m: [Sample(m.real(2, 3), m.real(2, 3, low=0, high=1, grad=False))],
    hinge_embedding_loss=lambda m: [Sample(m.real(2, 3), _signs(m, 2, 3)), Sample(m.real(4), _signs(m, 4), margin=0.7, reduction="sum")],
    margin_ranking_loss=lambda m: [Sample(m.real(4), m.real(4), _signs(m, 4)), Sample(m.real(4), m.real(4), _signs(m, 4), margin=0.7)],
    cosine_embedding_loss=lambda m: [
        Sample(m.real(4, 3), m.real(4, 3), _signs(m, 4)),
        Sample(m.real(4, 3), m.real(4, 3), _signs(m, 4), margin=-0.6, reduction="sum"),
    ],
    triplet_margin_loss=lambda m: [
        Sample(m.real(3, 4), m.real(3, 4), m.real(3, 4)),
        Sample(m.real(3, 4), m.real(3, 4), m.real(3, 4), margin=2.0, p=3.0, swap=True, reduction="sum"),
    ],
    triplet_margin_with_distance_loss=lambda m: [
        Sample(m.real(3, 4), m.real(3, 4), m.real(3, 4), margin=2.0),
        Sample(m.real(3, 4), m.real(3, 4), m.real(3, 4), distance_function=lambda x, y: ((x - y) * (x - y)).sum(-1), swap=True),
    ],
)
# ---------------------------------------------------------------- layers and activations
_functional(
    linear=lambda m: [Sample(m(2, 3), m(4, 3), m(4)), Sample(m(2, 2, 3), m(4, 3)), Sample(m(3), m(3))],
    embedding=lambda m: [
        Sample(m.index([[0, 2], [2, 3]]), m.real(4, 3)),
        Sample(m.index([1, 1, 0]), m.real(4, 3), padding_idx=3),
    ],
    layer_norm=lambda m: [
        Sample(m.real(2, 4), (4,)),
        Sample(m.real(2, 2, 3), (2, 3), m.real(2, 3), m.real(2, 3)),
        Sample(m.real(2, 4), (4,), m.real(4), None, 0.1),
    ],
    batch_norm=lambda m: [
        Sample(m.real(4, 2), None, None, None, None, True),
        Sample(m.real(2, 3, 2), None, None, m.real(3), m.real(3), True, 0.1, 0.1),
        Sample(m.real(2, 3), m.real(3, grad=False), m.real(3, low=0.5, high=2, grad=False), m.real(3), m.real(3)),
        Sample(m.real(1, 2, 2), m.real(2, grad=False), m.real(2, low=0.5, high=2, grad=False), None, m.real(2), False, 0.1, 0.5),
    ],
    rms_norm=lambda m: [Sample(m.real(2, 4), (4,)), Sample(m.real(2, 2, 3), (2, 3), m.real(2, 3), 0.1)],
    normalize=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 3.0, 0), Sample(m.real(4), 1.0, 0)],
    pad=lambda m: [
        Sample(m(2, 3), (1, 2)),
        Sample(m(2, 3), (1, -1, 0, 2), "constant", 1.5),
        *(Sample(m(1, 2, 4), (2, 1), how) for how in ("reflect", "replicate", "circular")),
        *(Sample(m(1, 1, 3, 3), (1, 1, 2, 0), how) for how in ("reflect", "replicate", "circular")),
    ],
    glu=lambda m: [Sample(m.real(2, 4)), Sample(m.real(4, 3), 0)],
    gelu=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), approximate="tanh"), Sample(m.real())],
    elu=lambda m: [Sample(m.real(2, 3)), Sample(m.real(2, 3), 0.7)],
    softmin=lambda m: [Sample(m.real(2, 3), 1), Sample(m.real(4), 0)],
    softmax=lambda m: [Sample(m.real(2, 3), 1), Sample(m.real(4), 0)],
    log_softmax=lambda m: [Sample(m.real(2, 3), 1), Sample(m.real(4), 0)],
)
OPERATIONS["nn.functional.one_hot"] = Spec(lambda m: [Sample(m.index([0, 2])), Sample(m.index([[1], [0]]), 4)], constant=True)


def _channels(rank: int) -> Spec:
    """Samples for dropping whole channels of `rank` dims."""
    return Spec(lambda m: [Sample(m.real(2, 3, *(2,) * rank), 0.4, train) for train in (True, False)], random=True)


for _rank in (1, 2, 3):
    OPERATIONS[f"nn.functional.dropout{_rank}d"] = _channels(_rank)
OPERATIONS["nn.functional.gumbel_softmax"] = Spec(
    lambda m: [Sample(m.real(2, 3), 0.8)],
    random=True,
    except_for={"single_precision": "it draws in the precision of its input, and other numbers in each"},
)
# ---------------------------------------------------------------- linalg
_linalg(
    norm=lambda m: [
        Sample(m(2, 3)),
        Sample(m(4), 3),
        Sample(m(2, 3), "fro"),
        Sample(m.distinct(2, 3), 1, (0, 1)),
        Sample(m(2, 3), 2, 1, True),
    ],
    vector_norm=lambda m: [Sample(m(2, 3)), *(Sample(m.distinct(2, 3), p, 1) for p in (1, 3, 0.5, float("inf"), -float("inf")))],
    matrix_norm=lambda m: [Sample(m(2, 3)), *(Sample(m(2, 3), p) for p in (1, -1, float("inf"), -float("inf"), 2, -2, "nuc"))],
    inv=lambda m: [Sample(regular(m)), Sample(regular(m, 2))],
    multi_dot=lambda m: [Sample([m(2, 3), m(3, 2), m(2, 1)]), Sample([m(3), m(3, 2)])],
    cross=lambda m: [Sample(m(2, 3), m(2, 3)), Sample(m(3, 2), m(3, 2), dim=0)],
    diagonal=lambda m: [Sample(m(2, 3, 3)), Sample(m(2, 3, 4), offset=1, dim1=0, dim2=2)],
    vecdot=lambda m: [Sample(m(2, 3), m(2, 3)), Sample(m(3, 2), m(3, 1), dim=0)],
)
