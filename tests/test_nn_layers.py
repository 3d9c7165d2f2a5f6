"""Layers, losses and `nn.utils`: values against closed forms, and training that works."""

import math

import numpy as np
import pytest

import ndgrad as torch
from ndgrad import nn
from ndgrad.autograd import forward_ad, gradcheck, gradgradcheck


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_the_modules_of_torch_are_there_under_their_names():
    assert nn.Linear is nn.modules.Linear is nn.modules.linear.Linear
    assert set(nn.modules.__all__) <= set(nn.__all__) <= set(dir(nn))


# ---------------------------------------------------------------- linear maps
def test_linear_is_the_product_with_its_weight():
    layer = nn.Linear(3, 2, dtype=torch.float64)
    x = numbers(4, 5, 3)
    assert np.allclose(layer(x).detach().numpy(), x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
    assert layer.weight.abs().max() <= 1 / math.sqrt(3)
    assert repr(nn.Linear(3, 2, bias=False)) == "Linear(in_features=3, out_features=2, bias=False)"


def test_linear_uses_whatever_stands_in_the_place_of_its_parameters():
    layer = nn.Linear(2, 1)
    del layer.weight
    layer.weight = torch.tensor([[1.0, 2.0]])
    layer.bias = None
    assert layer(torch.tensor([3.0, 4.0])).item() == 11.0


def test_bilinear_is_a_form_for_each_output():
    layer = nn.Bilinear(2, 3, 4, dtype=torch.float64)
    x, y = numbers(5, 2), numbers(5, 3, seed=1)
    expected = np.einsum("bi,kij,bj->bk", x, layer.weight.detach(), y) + layer.bias.detach().numpy()
    assert np.allclose(layer(x, y).detach(), expected)
    with pytest.raises(ValueError, match="in1_features must be > 0"):
        nn.Bilinear(0, 1, 1)


# ---------------------------------------------------------------- normalisation
def test_batch_norm_normalises_and_remembers():
    norm = nn.BatchNorm1d(3, dtype=torch.float64)
    x = numbers(8, 3, 5) * 3 + 1
    out = norm(x)
    assert torch.allclose(out.mean((0, 2)), torch.zeros(3).double()) and torch.allclose(
        out.var((0, 2), correction=0), torch.ones(3).double(), atol=1e-4
    )
    assert torch.allclose(norm.running_mean, 0.1 * x.mean((0, 2))) and torch.allclose(norm.running_var, 0.9 + 0.1 * x.var((0, 2)))
    norm.eval()
    expected = (x - norm.running_mean[:, None]) / (norm.running_var[:, None] + 1e-5).sqrt()
    native = torch.batch_norm(x, None, None, norm.running_mean, norm.running_var, False, 0.1, 1e-5, False)
    assert torch.allclose(norm(x), expected) and torch.equal(norm(x), native) and norm.num_batches_tracked == 1
    norm.reset_running_stats()
    assert norm.running_mean.tolist() == [0, 0, 0] and norm.running_var.tolist() == [1, 1, 1] and norm.num_batches_tracked == 0


def test_batch_norm_without_momentum_is_the_mean_over_batches():
    norm = nn.BatchNorm1d(2, momentum=None, dtype=torch.float64)
    batches = [numbers(6, 2, seed=seed) for seed in range(3)]
    for batch in batches:
        norm(batch)
    assert torch.allclose(norm.running_mean, sum(batch.mean(0) for batch in batches) / 3)


def test_batch_norm_without_statistics_uses_the_batch_always():
    norm = nn.BatchNorm1d(2, track_running_stats=False, affine=False, dtype=torch.float64).eval()
    assert torch.allclose(norm(numbers(6, 2)).mean(0), torch.zeros(2).double()) and not norm.state_dict()


@pytest.mark.parametrize("training", [True, False])
def test_derivatives_of_batch_norm(training):
    weight, bias = (numbers(2, seed=seed).requires_grad_() for seed in (1, 2))

    def normalised(x, weight, bias):
        mean, variance = torch.zeros(2).double(), torch.full((2,), 2.0).double()
        return nn.functional.batch_norm(x, mean, variance, weight, bias, training)

    x = numbers(4, 2, 3).requires_grad_()
    assert gradcheck(normalised, (x, weight, bias), check_forward_ad=True)
    assert gradgradcheck(normalised, (x, weight, bias))


def test_batch_norm_counts_no_batch_that_it_refuses():
    norm = nn.BatchNorm1d(2)
    for wrong, message in (
        (torch.ones(1, 2), r"Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 2\]\)"),
        (torch.ones(3), r"expected 2D or 3D input \(got 1D input\)"),
    ):
        with pytest.raises(ValueError, match=message):
            norm(wrong)
    with pytest.raises(RuntimeError, match="running_mean should contain 3 elements not 2"):
        norm(torch.ones(4, 3))
    assert norm.num_batches_tracked == 0 and norm.running_mean.tolist() == [0, 0]


def test_batch_norm_of_many_batches_at_once():
    x = numbers(4, 6, 2)
    norm = nn.BatchNorm1d(2, track_running_stats=False, dtype=torch.float64)
    assert torch.allclose(torch.func.vmap(norm)(x), torch.stack([norm(batch) for batch in x]))
    norm = nn.BatchNorm1d(2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="Batch norm got a batched tensor as input while the running_mean or running_var"):
        torch.func.vmap(norm)(x)
    assert norm.num_batches_tracked == 0 and norm.running_mean.tolist() == [0, 0]
    norm.eval()
    assert torch.allclose(torch.func.vmap(norm)(x), norm(x.view(24, 2)).view(4, 6, 2))


def test_batch_norm_of_half_precision():
    x = numbers(6, 2)
    norm = nn.BatchNorm1d(2)
    assert norm(x.half()).dtype == torch.float16
    assert torch.allclose(norm.eval()(x.half()).float(), norm(x.float()), atol=1e-2)


def test_layer_and_rms_norm():
    x = numbers(4, 3, 2)
    layer, rms = nn.LayerNorm((3, 2), dtype=torch.float64), nn.RMSNorm(2, dtype=torch.float64)
    assert torch.allclose(layer(x).mean((1, 2)), torch.zeros(4).double())
    assert torch.allclose(rms(x).square().mean(-1), torch.ones(4, 3).double(), atol=1e-6)
    assert list(nn.LayerNorm(2, bias=False).state_dict()) == ["weight"] and not nn.LayerNorm(2, elementwise_affine=False).state_dict()


# ---------------------------------------------------------------- dropout, embeddings, shapes
@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_dropout_depends_on_training_mode(kind):
    torch.manual_seed(0)
    module, x = kind(0.5), torch.ones(4, 8, 8)
    assert not torch.equal(module(x), x) and torch.equal(module.eval()(x), x)
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got 2"):
        kind(2)


def test_an_embedding_looks_up_rows_and_leaves_the_padding_alone():
    table = nn.Embedding(4, 3, padding_idx=-1)
    assert table.padding_idx == 3 and not table.weight[3].any() and table.weight[:3].all()
    out = table(torch.tensor([[0, 3], [0, 1]]))
    assert out.shape == (2, 2, 3)
    out.sum().backward()
    assert table.weight.grad[:, 0].tolist() == [2, 1, 0, 0]
    given = nn.Embedding.from_pretrained(torch.eye(3))
    assert given(torch.tensor(1)).tolist() == [0, 1, 0] and not given.weight.requires_grad
    with pytest.raises(AssertionError, match="Padding_idx must be within num_embeddings"):
        nn.Embedding(3, 2, padding_idx=3)


def test_flattening_there_and_back():
    x = numbers(2, 3, 4)
    flat = nn.Flatten()(x)
    assert flat.shape == (2, 12) and torch.equal(nn.Unflatten(1, (3, 4))(flat), x)
    with pytest.raises(TypeError, match="unflattened_size must be tuple of ints, but found element of type float at pos 0"):
        nn.Unflatten(1, (2.0,))


def test_padding():
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    shown = {
        nn.ZeroPad1d(1): [0, 1, 2, 3, 0],
        nn.ConstantPad1d((2, 0), 9): [9, 9, 1, 2, 3],
        nn.ReflectionPad1d(2): [3, 2, 1, 2, 3, 2, 1],
        nn.ReplicationPad1d((1, 2)): [1, 1, 2, 3, 3, 3],
        nn.CircularPad1d(1): [3, 1, 2, 3, 1],
    }
    for module, expected in shown.items():
        assert module(x)[0, 0].tolist() == expected
    with pytest.raises(ValueError, match=r"expected 3D or 4D input \(got 2D input\)"):
        nn.CircularPad2d(1)(torch.ones(2, 2))


def test_softmax_over_channels():
    out = nn.Softmax2d()(numbers(2, 3, 4, 5))
    assert torch.allclose(out.sum(1), torch.ones(2, 4, 5).double())
    with pytest.raises(ValueError, match="Softmax2d: expected input to be 3D or 4D, got 1D instead"):
        nn.Softmax2d()(torch.ones(3))


# ---------------------------------------------------------------- losses
def test_losses_reduce_as_they_are_told():
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])
    assert nn.MSELoss()(x, y).item() == 2.5 and nn.MSELoss(reduction="sum")(x, y).item() == 5
    assert nn.L1Loss(reduction="none")(x, y).tolist() == [1, 2]
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated, please use reduction='sum' instead"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    for kind in (nn.TripletMarginLoss, nn.TripletMarginWithDistanceLoss):
        with pytest.raises(ValueError, match=f"{kind.__name__}: expected margin to be greater than 0, got 0 instead"):
            kind(margin=0)
    with pytest.raises(TypeError, match="delta must be a float or int, got: <class 'str'>"):
        nn.HuberLoss(delta="1")


def test_weights_of_losses_are_buffers():
    loss = nn.CrossEntropyLoss(torch.tensor([1.0, 3.0]))
    assert loss.double().weight.dtype == torch.float64 and list(loss.state_dict()) == ["weight"]
    scores, target = torch.zeros(2, 2).double(), torch.tensor([0, 1])
    assert loss(scores, target).item() == pytest.approx(math.log(2))


# ---------------------------------------------------------------- utilities
def test_clipping_keeps_the_direction():
    leaf = torch.zeros(2, requires_grad=True)
    leaf.grad = torch.tensor([3.0, 4.0])
    assert nn.utils.clip_grad_norm_(leaf, 1.0).item() == 5
    assert leaf.grad.tolist() == pytest.approx([0.6, 0.8], abs=1e-6)
    assert nn.utils.clip_grad_norm_([leaf], 100.0, math.inf).item() == pytest.approx(0.8)
    nn.utils.clip_grad_value_([leaf], 0.7)
    assert leaf.grad.tolist() == pytest.approx([0.6, 0.7], abs=1e-6)
    leaf.grad[0] = math.nan
    before = leaf.grad.clone()
    with pytest.raises(RuntimeError, match=r"The total norm of order 2.0 for gradients from `parameters` is non-finite"):
        nn.utils.clip_grad_norm_(leaf, 1.0, error_if_nonfinite=True)
    assert np.array_equal(leaf.grad, before, equal_nan=True)
    with pytest.warns(UserWarning, match="`parameters` is an empty generator, no gradient clipping will occur"):
        nn.utils.clip_grad_norm_((each for each in ()), 1.0)


def test_parameters_as_one_vector():
    net = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (6,) and vector.requires_grad
    values = torch.arange(6.0)
    nn.utils.vector_to_parameters(values, net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3]] and net.bias.tolist() == [4, 5]
    values[0] = 9
    assert net.weight[0, 0] == 9
    with pytest.raises(RuntimeError):
        nn.utils.vector_to_parameters(torch.zeros(5), net.parameters())
    assert net.weight[0, 0] == 9


# ---------------------------------------------------------------- together
def test_a_network_learns_exclusive_or():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    x, y = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.0], [1], [1], [0]])
    loss_function = nn.BCEWithLogitsLoss()
    for _ in range(300):
        loss = loss_function(net(x), y)
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.5 * parameter.grad
    assert loss.item() < 0.05 and torch.equal(net(x) > 0, y > 0.5)


def test_forward_mode_passes_through_modules():
    net = nn.Sequential(nn.Linear(2, 3, dtype=torch.float64), nn.SiLU(), nn.LayerNorm(3, dtype=torch.float64))
    x, direction = numbers(4, 2), numbers(4, 2, seed=1)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(net(forward_ad.make_dual(x, direction))).tangent
    step = 1e-6
    expected = (net(x + step * direction) - net(x - step * direction)) / (2 * step)
    assert torch.allclose(tangent, expected, atol=1e-7)
