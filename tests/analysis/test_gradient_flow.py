"""Gradients over time compared with the equations, perturbed state by state, and with finite differences."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torch_geometric.data import Batch

from seqgnn import nn as sg
from seqgnn.analysis import bptt_gradients, gradient_flow, influence
from seqgnn.data import Adding, CharText, Palindromes, SequenceGraph, path_graph, sequence_batch, to_padded
from seqgnn.models.sequence_model import FAMILIES, NAMES, WINDOWED, build
from tests.support import oracles

DIGITS = {"num_classes": 10, "num_tokens": 10}
RECURRENT = [name for name in NAMES if name not in ("gcn", "gcn-residual")]


def model_of(name, seed=0, **options):
    torch.manual_seed(seed)
    return build(name, **{**DIGITS, "hidden": 5, "init": "xavier", **options}).double()


def batch_of(length=8, size=4):
    return Palindromes(length).draw(size, torch.Generator().manual_seed(0))


def step(kind, gates, h, c, dh, dc):
    """Return one step from the pre-activations of input and state, with dh and dc added to the new state."""
    g, u = gates
    if kind == "rnn":
        return torch.tanh(g + u) + dh, c
    size = h.shape[-1]
    g, u = (part.split(size, dim=-1) for part in (g, u))
    if kind == "mingru":
        z = 1 / (1 + torch.exp(-g[0]))
        return (1 - z) * h + z * g[1] + dh, c
    if kind == "minlstm":
        f, i = (1 / (1 + torch.exp(-g[k])) for k in (0, 1))
        return (f * h + i * g[2]) / (f + i) + dh, c
    if kind == "gru":
        r, z = (1 / (1 + torch.exp(-g[k] - u[k])) for k in (0, 1))
        return (1 - z) * torch.tanh(g[2] + r * u[2]) + z * h + dh, c
    i, f, o = (1 / (1 + torch.exp(-g[k] - u[k])) for k in (0, 1, 3))
    c = f * c + i * torch.tanh(g[2] + u[2]) + dc
    return o * torch.tanh(c) + dh, c


def loss_of(model, batch, dh, dc, kind):
    """Return the loss with dh and dc ``[layers, T, B, (k,) H]`` added to the states."""
    layer = model.encoder.lstm.layer if hasattr(model.encoder, "lstm") else model.encoder.layer
    x = one_hot(to_padded(batch)[0], 10).double()
    P = torch.eye(1, dtype=torch.float64)
    if hasattr(model.encoder, "gcn"):
        x = to_padded(batch, model.encoder.gcn(one_hot(batch.x, 10).double(), batch)[0])[0]
    if hasattr(model.encoder, "window"):
        k = model.encoder.window
        P = oracles.gcn_operator(path_graph(k), None, k)
        x = torch.cat([x.new_zeros(k - 1, *x.shape[1:]), x]).unfold(0, k, 1).movedim(-1, 2)
    else:
        x = x.unsqueeze(2)
    dh, dc = (d if d.dim() == 5 else d.unsqueeze(3) for d in (dh, dc))
    for number, (layer_dh, layer_dc) in enumerate(zip(dh, dc)):
        w_ih, b_ih = (getattr(layer, f"{name}_ih_l{number}") for name in ("weight", "bias"))
        none = w_ih.new_zeros(len(w_ih), model.head.in_features), torch.zeros_like(b_ih)  # of the minimal layers
        w_hh, b_hh = (getattr(layer, f"{name}_hh_l{number}", zero) for name, zero in zip(("weight", "bias"), none))
        h = c = torch.zeros_like(layer_dh[0])
        outputs = []
        for x_t, dh_t, dc_t in zip(x, layer_dh, layer_dc):
            gates = (P @ x_t @ w_ih.T + b_ih, P @ h @ w_hh.T + b_hh)
            h, c = step(kind, gates, h, c, dh_t, dc_t)
            outputs.append(h)
        x = torch.stack(outputs)
    return cross_entropy(x[-1, :, -1] @ model.head.weight.T + model.head.bias, batch.y)


def expected_gradients(model, batch, kind, shape):
    dh, dc = (torch.zeros(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = loss_of(model, batch, dh, dc, kind)
    found = torch.autograd.grad(loss, (dh, dc), allow_unused=True)
    return loss, [torch.zeros(shape, dtype=torch.float64) if g is None else g for g in found]


CASES = [("rnn", "rnn", 1), ("lstm", "lstm", 1), ("gru", "gru", 1), ("lstm", "lstm", 2), ("gru", "gru", 2)]
CASES += [("gcn+lstm", "lstm", 2), ("gcn-in-lstm", "lstm", 2)]
CASES += [("mingru", "mingru", 2), ("minlstm", "minlstm", 2), ("gcn-in-mingru", "mingru", 2)]


@pytest.mark.parametrize("name, kind, layers", CASES)
def test_gradient_flow_norms_equal_those_of_the_equations(name, kind, layers):
    model, batch = model_of(name, num_layers=layers), batch_of()
    shape = (layers, 7, 4, 4, 5) if name in WINDOWED else (layers, 7, 4, 5)
    loss, (h, c) = expected_gradients(model, batch, kind, shape)
    h, c = h.flatten(3), c.flatten(3)
    first, second = gradient_flow(model, batch), gradient_flow(model, batch, reduce="mean-of-norms")
    assert first.loss == pytest.approx(loss.item(), rel=1e-12) and first.reduce == "norm-of-mean"
    oracles.close(first.h, h.mean(2).norm(dim=2))
    oracles.close(second.h, h.norm(dim=3).mean(2))
    if kind == "lstm":
        oracles.close(first.c, c.mean(2).norm(dim=2))
        oracles.close(second.c, c.norm(dim=3).mean(2))
    else:
        assert first.c is None and second.c is None


@pytest.mark.parametrize("name, kind, layers", CASES)
def test_expected_gradients_equal_central_differences(name, kind, layers):
    model, batch = model_of(name, num_layers=layers), batch_of()
    shape = (layers, 7, 4, 4, 5) if name in WINDOWED else (layers, 7, 4, 5)
    loss, gradients = expected_gradients(model, batch, kind, shape)
    oracles.close(loss, cross_entropy(model(batch)[0], batch.y))
    generator = torch.Generator().manual_seed(1)
    for which in (0, 1) if kind == "lstm" else (0,):
        for _ in range(6):
            index = tuple(int(torch.randint(size, (1,), generator=generator)) for size in shape)
            sides = []
            for change in (1e-5, -1e-5):
                moved = [torch.zeros(shape, dtype=torch.float64) for _ in range(2)]
                moved[which][index] = change
                with torch.no_grad():
                    sides.append(loss_of(model, batch, *moved, kind))
            difference = (sides[0] - sides[1]) / 2e-5
            assert float(difference) == pytest.approx(float(gradients[which][index]), rel=1e-5, abs=1e-11)


def test_gradient_flow_of_h_equals_chain_rule():
    # For one sequence and one step, dL/dW_hx = diag(1 - h²) dL/dh x^T with x one-hot, which gives dL/dh.
    model = model_of("rnn", hidden=6)
    batch = sequence_batch(torch.tensor([[3]]), torch.tensor([1]), path_graph(1))
    layer, x = model.encoder.layer, one_hot(torch.tensor([[3]]), 10).double()
    weights = (layer.weight_ih_l0, layer.weight_hh_l0, model.head.weight, layer.bias_ih_l0 + layer.bias_hh_l0)
    written = bptt_gradients(x, batch.y, *weights, model.head.bias)["W_hx"]
    h = torch.tanh(x[0, 0] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0)
    oracles.close(gradient_flow(model, batch).h[0, 0], (written[:, 3] / (1 - h**2)).norm())


def test_gradient_flow_of_steps_sums_to_weight_gradient():
    # dL/dW_hh of the RNN is the sum of diag(1 - h_t²) dL/dh_t h_(t-1)^T; with H = 1 and B = 1 norms are the gradients.
    model = model_of("rnn", hidden=1)
    model.encoder.layer.weight_hh_l0.data.abs_()  # so that all dL/dh_t have the sign of the last
    batch = batch_of(9, 1)
    layer, x = model.encoder.layer, one_hot(to_padded(batch)[0], 10).double()
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    written = bptt_gradients(
        x, batch.y, layer.weight_ih_l0, layer.weight_hh_l0, model.head.weight, bias, model.head.bias
    )
    h = layer(x)[0].flatten()
    flow = gradient_flow(model, batch).h[0]
    before = torch.cat([h.new_zeros(1), h[:-1]])
    oracles.close(((1 - h**2) * flow * before).sum().abs(), written["W_hh"].abs().squeeze())


def test_gradient_flow_opposite_gradients_cancel_in_norm_of_mean():
    model = model_of("lstm", forget_bias=1.0)
    batch = sequence_batch(torch.tensor([[1, 2], [1, 2]]), torch.tensor([0, 1]), path_graph(2))
    model.head.weight.data[1] = -model.head.weight.data[0]
    model.head.weight.data[2:] = 0
    model.head.bias.data.zero_()
    first, second = (gradient_flow(model, batch, reduce=reduce) for reduce in ("norm-of-mean", "mean-of-norms"))
    assert bool((first.h < 0.5 * second.h).all())


@pytest.mark.parametrize("name", RECURRENT)
def test_gradient_flow_of_ragged_batch_equals_single_sequences(name):
    model = model_of(name)
    samples = [SequenceGraph.from_values(range(length), y=1) for length in (7, 3)]
    together = gradient_flow(model, Batch.from_data_list(samples), reduce="mean-of-norms")
    alone = [gradient_flow(model, Batch.from_data_list([sample])) for sample in samples]
    for part in ("h", "c") if together.c is not None else ("h",):
        rows = [torch.nn.functional.pad(getattr(flow, part), (0, 7 - getattr(flow, part).size(1))) for flow in alone]
        oracles.close(getattr(together, part), sum(rows) / 4)


def test_gradient_flow_of_single_sequence_equals_batch_of_one():
    model, sample = model_of("lstm"), SequenceGraph.from_values(range(5), y=1)
    oracles.close(gradient_flow(model, sample).h, gradient_flow(model, Batch.from_data_list([sample])).h)


@pytest.mark.parametrize("name", RECURRENT)
def test_gradient_flow_does_not_change_the_model(name):
    plain = {"weight_dropout": 0.3} if "weight_dropout" in FAMILIES[name].supports else {}
    model = model_of(name, num_layers=2, dropout=0.5, **plain)
    model.head.eval()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    randomness = torch.random.get_rng_state()
    first = gradient_flow(model, batch_of())
    assert torch.equal(torch.random.get_rng_state(), randomness)
    assert modes == [module.training for module in model.modules()]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    batch = batch_of()
    with torch.inference_mode():
        second = gradient_flow(model, batch)
    oracles.close(second.h, first.h)


def test_gradient_flow_of_every_engine_is_equal():
    model = model_of("lstm")
    expected = gradient_flow(model, batch_of()).h
    for engine in ("native", "reference"):
        model.encoder.layer.engine = engine
        oracles.close(gradient_flow(model, batch_of()).h, expected)
        assert model.encoder.layer.engine == engine


def test_gradient_flow_float32_norms_do_not_underflow():
    model = model_of("rnn", hidden=16).float()
    model.encoder.layer.weight_hh_l0.data *= 0.3
    norms = gradient_flow(model, batch_of(60)).h[0]
    assert bool((norms > 0).all()) and float(norms[0]) < 1e-25


def test_gradient_flow_float64_squares_do_not_underflow():
    # One unit close to zero: dL/dh_t is 0.25 times that of the next step; squares underflow below 1e-162.
    model = model_of("rnn", hidden=1)
    layer = model.encoder.layer
    for weight in (layer.weight_ih_l0, layer.bias_ih_l0, layer.bias_hh_l0):
        weight.data.zero_()
    layer.weight_hh_l0.data.fill_(0.25)
    flow = gradient_flow(model, batch_of(500, 2))
    expected = flow.h[0, -1] * 0.25 ** torch.arange(498, -1, -1).double()
    assert float(flow.h[0, 0]) < 1e-295
    torch.testing.assert_close(flow.h[0], expected, rtol=1e-12, atol=0)
    second = gradient_flow(model, batch_of(500, 2), reduce="mean-of-norms").h[0]
    torch.testing.assert_close(second, second[-1] * expected / expected[-1], rtol=1e-12, atol=0)
    norms = influence(model_of("rnn", hidden=1, init="torch"), batch_of(500, 2))
    assert bool((norms > 0).all())
    single = gradient_flow(model.float(), batch_of(500, 2)).h[0]  # in the dtype of the model
    assert float(single[0]) == 0 and float(single[-1]) > 0


def test_gradient_flow_with_head_of_zeros_is_zero():
    model = model_of("lstm")
    model.head.weight.data.zero_()
    flow = gradient_flow(model, batch_of())
    assert not bool(flow.h.any()) and not bool(flow.c.any())
    assert not bool(influence(model, batch_of()).any())


def test_gradient_flow_with_target_per_token_has_norm_per_token():
    text = CharText(length=6)
    sizes = {"num_classes": text.num_classes, "num_tokens": text.num_tokens}
    model = build("gru", **sizes, per_element=True, hidden=4).double()
    batch = text.draw(3, torch.Generator().manual_seed(0))
    flow = gradient_flow(model, batch)
    assert flow.h.shape == (1, 6) and flow.loss == pytest.approx(cross_entropy(model(batch)[0], batch.y).item())


class CustomModel(nn.Module):
    """A user-defined model around a layer."""

    def __init__(self, layer, rows=lambda x: x[:, -1]):
        super().__init__()
        self.layer, self.rows = layer, rows

    def forward(self, batch, state=None):
        x = one_hot(to_padded(batch)[0], 10).float()
        return self.rows(self.layer(x)[0].transpose(0, 1)), None


def test_gradient_flow_after_the_step_of_the_prediction_is_zero():
    torch.manual_seed(0)
    flow = gradient_flow(CustomModel(sg.RNN(10, 10), lambda x: x[:, 2]), batch_of(8))
    assert (flow.h[0] > 0).tolist() == [True] * 3 + [False] * 4


class Ignored(nn.Module):
    """Two layers, of which the outputs of the first have no effect."""

    def __init__(self):
        super().__init__()
        self.first, self.second = sg.RNN(10, 10), sg.RNN(10, 10)

    def forward(self, x):
        self.first(x)
        return self.second(x)


def test_gradient_flow_of_states_without_effect_is_zero():
    torch.manual_seed(0)
    flow = gradient_flow(CustomModel(Ignored()), batch_of(8))
    assert not flow.h[0].any() and (flow.h[1] > 0).all()


def test_gradient_flow_bidirectional_is_in_order_of_time():
    flow = gradient_flow(CustomModel(sg.RNN(10, 5, bidirectional=True)), batch_of())
    assert flow.h.shape == (2, 7)
    assert bool((flow.h[0] > 0).all()) and flow.h[1].tolist()[:-1] == [0] * 6 and float(flow.h[1, -1]) > 0


@pytest.mark.parametrize(
    "model, message",
    [
        (model_of("gcn", num_layers=2, init=None), "a recurrent layer of seqgnn.nn over time, .*got one without"),
        (CustomModel(nn.LSTM(10, 5)), "a recurrent layer of seqgnn.nn over time"),
        (CustomModel(sg.LSTM(10, 5), lambda x: torch.zeros(4, 10)), "a loss that depends on the states, got one that"),
        (CustomModel(sg.LSTM(10, 5), lambda x: torch.zeros(4, 10).requires_grad_()), "a loss that depends on the"),
        (
            CustomModel(sg.LSTM(10, 5, batch_first=True)),
            "a state for each of 4 sequences, got states of \\[7\\] rows over \\[4\\]",
        ),
        (CustomModel(sg.RNN(10, 5), lambda x: x[:2, -1]), "2 targets, one for each row of logits, got 4"),
        (CustomModel(sg.RNN(10, 10), lambda x: x[:, 2] / 0), "finite gradients, got NaN or infinite values at 3 of 7"),
        (CustomModel(sg.RNN(10, 10), lambda x: x[:, -1] / 0), "finite gradients, got NaN or infinite values at 7 of 7"),
    ],
)
def test_gradient_flow_invalid_model_raises_value_error(model, message):
    with pytest.raises(ValueError, match=f"gradient_flow: expected (a model with )?{message}"):
        gradient_flow(model, batch_of(8))


def test_gradient_flow_of_real_valued_targets_is_that_of_the_squared_error():
    """The state of the last step is the input of the head, so that its gradient is known."""
    task = Adding(6)
    torch.manual_seed(0)
    model, batch = build("gru", task, hidden=5).double(), task.draw(4, torch.Generator().manual_seed(0))
    batch.x = batch.x.double()
    flow = gradient_flow(model, batch)
    with torch.no_grad():
        error = model(batch)[0].squeeze(-1) - batch.y.double()
    assert flow.loss == pytest.approx((error**2).mean().item(), rel=1e-12)
    mean_gradient = (2 * error[:, None] / 4 * model.head.weight).mean(0)
    assert flow.h[0, -1].item() == pytest.approx(mean_gradient.norm().item(), rel=1e-10)
    wide = build("gru", num_classes=2, num_features=2, hidden=5).double()
    with pytest.raises(ValueError, match=r"expected predictions \[4, 1\] for real-valued targets, got \(4, 2\)"):
        gradient_flow(wide, batch)


def test_gradient_flow_invalid_reduce_or_targets_raise():
    with pytest.raises(ValueError, match=r"expected reduce to be one of .*did you mean 'norm-of-mean'"):
        gradient_flow(model_of("rnn"), batch_of(), reduce="norm-of-means")
    batch = batch_of()
    for target, got in ((-1, "-1 to"), (10, ". to 10")):
        batch.y = batch_of().y.clone()
        batch.y[2] = target
        with pytest.raises(ValueError, match=f"expected targets between 0 and 9, got {got}"):
            gradient_flow(model_of("rnn"), batch)
    batch.y = None
    with pytest.raises(ValueError, match="expected 4 targets, one for each row of logits, got none"):
        gradient_flow(model_of("rnn"), batch)


@pytest.mark.gpu
@pytest.mark.parametrize("name", RECURRENT)
def test_gradient_flow_on_gpu_equals_cpu(name):
    model, batch = model_of(name), batch_of()
    expected = gradient_flow(model, batch)
    found = gradient_flow(model.cuda(), batch.to("cuda"))
    oracles.close(found.h.cpu(), expected.h)
