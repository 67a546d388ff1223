import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seqgnn.data import TemporalGraph
from seqgnn.metrics import forecast_loss
from seqgnn.models import EncoderDecoder, Forecaster, GraphEncoder, build_forecaster
from seqgnn.models.forecasters import NAMES, NODEWISE, STATIC
from seqgnn.nn import GCNLSTM, LSTM, DCRNNForecaster, scheduled_sampling

EDGES = torch.tensor([[0, 1, 2, 3, 0, 3], [1, 2, 0, 1, 3, 3]])  # directed, with a self-loop; node 4 is isolated
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 3.0, 0.25, 1.5], dtype=torch.float64)
LAGS, HORIZON, NODES = 4, 3, 5
PLAIN: dict = {}
FULL = {"residual": True, "skip": True, "neighbors": True, "dropout": 0.2}
CASES = [(name, options) for name in NAMES for options in (PLAIN, FULL)]
IDS = [f"{name}{'-full' if options else ''}" for name, options in CASES]
each_model = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)


def series(steps=20, features=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, NODES, features, dtype=torch.float64, generator=generator)


def windows(edges=EDGES, weights=WEIGHTS, signal=None, mask=None):
    graph = TemporalGraph(series() if signal is None else signal, edges, weights, mask=mask)
    return graph.windows(LAGS, HORIZON)


def changing(steps=20):
    kept = [[0, 1, 2, 3, 4, 5], [0, 2, 3], [1, 5], [4]]
    chosen = [kept[step % 4] for step in range(steps)]
    return [EDGES[:, edges] for edges in chosen], [WEIGHTS[edges] for edges in chosen]


def build(name, options=PLAIN, **others):
    torch.manual_seed(0)
    options = options | others
    if options.get("skip") and name != "linear":
        options = {"num_layers": 2} | options
    model = build_forecaster(name, in_channels=2, hidden=6, lags=LAGS, horizon=HORIZON, **options).double()
    with torch.no_grad():  # biases that start at zero hide what they do
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@each_model
def test_windows_together_are_windows_apart(name, options):
    model, every = build(name, options), windows()
    together, state = model(every.batch([3, 0, 11]))
    assert together.shape == (HORIZON, 3, NODES, 1) and together.dtype == torch.float64 and state is None
    for b, index in enumerate((3, 0, 11)):
        torch.testing.assert_close(model(every[index])[0][:, 0], together[:, b], rtol=1e-10, atol=1e-12)


@each_model
def test_nodes_can_be_permuted(name, options):
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = windows(order.argsort()[EDGES], signal=series()[:, order])
    model = build(name, options)
    expected = model(windows().batch([2, 5]))[0][:, :, order]
    torch.testing.assert_close(model(turned.batch([2, 5]))[0], expected, rtol=1e-10, atol=1e-12)


@each_model
def test_the_future_does_not_leak(name, options):
    changed = series()
    changed[9 + LAGS :] += 10.0
    model = build(name, options)
    first, second = (model(windows(signal=signal).batch(range(10)))[0] for signal in (series(), changed))
    assert torch.equal(first, second)


@each_model
def test_the_past_is_heard_to_its_first_step(name, options):
    model = build(name, options)
    batch = windows().batch([0])
    x = batch.x.clone().requires_grad_()
    model(replace(batch, x=x))[0].square().sum().backward()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all() or name == "evolve-gcn"  # whose weights run on, but not its nodes


@pytest.mark.parametrize("name", NAMES)
def test_only_neighbors_are_heard(name):
    for options in (PLAIN, {"neighbors": True}):
        model, batch = build(name, options), windows().batch([0])
        x = batch.x.clone()
        x[:, :, 3] += 1.0
        moved = (model(replace(batch, x=x))[0] - model(batch)[0]).abs().amax((0, 1, 3)) > 1e-12
        deaf = name in NODEWISE and not options
        assert moved.tolist()[3] and moved.tolist()[1] == (not deaf)  # 3 -> 1
        assert not moved[4]


@each_model
def test_a_graph_a_step(name, options):
    model = build(name, options)
    every = windows(*changing())
    if name in STATIC:
        with pytest.raises(ValueError, match="gcn: expected one graph for all steps, got 4, one per step"):
            model(every.batch([0]))
        return
    together = model(every.batch([3, 0, 11]))[0]
    for b, index in enumerate((3, 0, 11)):
        torch.testing.assert_close(model(every[index])[0][:, 0], together[:, b], rtol=1e-10, atol=1e-12)
    same = windows([EDGES] * 20, [WEIGHTS] * 20)
    torch.testing.assert_close(model(same.batch([3, 0]))[0], model(windows().batch([3, 0]))[0], rtol=1e-10, atol=1e-12)
    deaf = name in NODEWISE and not options
    assert torch.allclose(together, model(windows().batch([3, 0, 11]))[0]) == deaf


@each_model
def test_a_prepared_graph_is_the_graph(name, options):
    model, batch = build(name, options), windows().batch([1, 2])
    graph = model.prepare(EDGES, WEIGHTS, NODES)
    prepared = replace(batch, edge_index=graph, edge_weight=None)
    assert torch.equal(model(prepared)[0], model(batch)[0])


@each_model
def test_copies_are_the_model(name, options, tmp_path):
    model, batch = build(name, options), windows().batch([1, 2])
    expected = model(batch)[0]
    other = build(name, options)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(model.state_dict())
    for copied in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(batch)[0], expected)
    assert model.num_parameters == sum(p.numel() for p in model.parameters())
    assert "Forecaster" in repr(model) or "EncoderDecoder" in repr(model)


@each_model
def test_every_weight_learns(name, options):
    model, batch = build(name, options).train(), windows().batch(range(8))
    forecast_loss(model(batch)[0], batch.y, kind="mse").backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("targets", [1, 2])
def test_the_parts_add_up(targets):
    """LSTM per node + last value + skip over own past and neighbors, once more in numpy."""
    torch.manual_seed(0)
    options = {"residual": True, "skip": True, "neighbors": True, "out_channels": targets}
    model = Forecaster(LSTM(4, 6), in_channels=2, lags=LAGS, horizon=HORIZON, **options).double()
    signal = series()
    matrix = np.zeros((NODES, NODES))
    for source, target, weight in zip(*EDGES.tolist(), WEIGHTS.tolist()):
        matrix[target, source] += weight / WEIGHTS[EDGES[1] == target].sum().item()
    graph = TemporalGraph(signal, EDGES, WEIGHTS, targets=signal[..., :targets])
    forecast = model(graph.windows(LAGS, HORIZON).batch([2, 7]))[0].detach().numpy()
    plain = nn.LSTM(4, 6).double()
    plain.load_state_dict(model.encoder.layer.state_dict())
    weights = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    for b, start in enumerate((2, 7)):
        past = signal[start : start + LAGS].numpy()
        past = np.concatenate([past, np.stack([matrix @ step for step in past])], axis=-1)
        for node in range(NODES):
            h = plain(torch.from_numpy(past[:, node]))[0][-1].detach().numpy()
            answer = weights["head.weight"] @ h + weights["head.bias"]
            answer += weights["skip.weight"] @ past[:, node].ravel() + weights["skip.bias"]
            expected = answer.reshape(HORIZON, targets) + past[-1, node, :targets]
            np.testing.assert_allclose(forecast[:, b, node], expected, rtol=1e-10)


def test_an_untrained_correction_of_nothing_is_persistence():
    model = build("gcrn", residual=True)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    batch = windows().batch([0, 4])
    assert torch.equal(model(batch)[0], batch.x[-1:, ..., :1].expand(HORIZON, -1, -1, -1))


def test_dropout_is_drawn_in_training_alone():
    model, batch = build("gcn-lstm", dropout=0.5, num_layers=2), windows().batch([0])
    assert torch.equal(model(batch)[0], model(batch)[0])
    model.train()
    assert not torch.equal(model(batch)[0], model(batch)[0])


def test_any_layer_will_do():
    batch = windows().batch([0, 1])
    both = Forecaster(GCNLSTM(2, 3, bidirectional=True), in_channels=2, lags=LAGS).double()
    assert both(batch)[0].shape == (1, 2, NODES, 1) and both.head.in_features == 6
    small = Forecaster(nn.LSTM(2, 6, proj_size=2), in_channels=2, lags=LAGS).double()
    assert small(batch)[0].shape == (1, 2, NODES, 1) and small.head.in_features == 2
    torch.manual_seed(0)
    one = Forecaster(GraphEncoder(GCNLSTM(2, 3)), in_channels=2, lags=LAGS).double()
    torch.manual_seed(0)
    other = Forecaster(GCNLSTM(2, 3), in_channels=2, lags=LAGS).double()
    assert torch.equal(one(batch)[0], other(batch)[0])


def test_the_decoder_is_fed_the_truth_as_often_as_scheduled_and_steps_are_counted():
    model = build("dcrnn-forecaster", sampling_decay=2.0)
    batch = windows().batch(range(6))
    other = replace(batch, y=batch.y + 5.0)
    assert torch.equal(model(batch)[0], model(other)[0]) and int(model.steps) == 0  # evaluation does not look
    model.train()
    expected = copy.deepcopy(model.encoder)
    for step in range(3):
        torch.manual_seed(step)
        forecast = model(batch)[0]
        torch.manual_seed(step)
        truth = scheduled_sampling(step, 2.0)
        again = expected(batch.x, EDGES, WEIGHTS, targets=batch.y, truth=truth)
        assert torch.equal(forecast, again)
    assert int(model.steps) == 3 and int(model.state_dict()["steps"]) == 3


def test_the_decoder_is_fed_what_it_should_have_added():
    mask = torch.rand(20, NODES, generator=torch.Generator().manual_seed(0)) > 0.3
    model = build("dcrnn-forecaster", residual=True, sampling_decay=1e9).train()  # the truth, as good as always
    batch = windows(mask=mask).batch(range(6))
    correction = torch.where(batch.mask, batch.y - batch.x[-1:, ..., :1], 0)
    added = model.encoder(batch.x, EDGES, WEIGHTS, targets=correction, truth=1.0)
    torch.testing.assert_close(model(batch)[0], batch.x[-1:, ..., :1] + added)


def test_without_scheduled_sampling_training_does_not_look_at_the_truth():
    model, batch = build("dcrnn-forecaster", sampling_decay=None).train(), windows().batch([0])
    assert torch.equal(model(batch)[0], model(replace(batch, y=batch.y + 5.0))[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_wave_that_travels_along_a_ring_is_learned(name):
    nodes = torch.arange(12)
    signal = torch.sin(0.5 * torch.arange(120.0)[:, None] - 2 * torch.pi * nodes / 12)[..., None]
    graph = TemporalGraph(signal, torch.stack([nodes, (nodes + 1) % 12]))
    train, test = graph.steps(0, 90).windows(4, 2), graph.steps(90, 120).windows(4, 2)
    torch.manual_seed(0)
    model = build_forecaster(name, in_channels=1, hidden=8, lags=4, horizon=2, skip=name == "evolve-gcn")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batch = train.batch(range(len(train)))
    for _ in range(150):
        optimizer.zero_grad()
        forecast_loss(model(batch)[0], batch.y, kind="mse").backward()
        optimizer.step()
    seen = test.batch(range(len(test)))
    assert forecast_loss(model.eval()(seen)[0], seen.y, kind="mse").item() < 0.02


def test_bad_options_are_named():
    def make(name="gcrn", **options):
        build_forecaster(name, **{"in_channels": 2, "lags": LAGS} | options)

    with pytest.raises(ValueError, match=r"model to be one of 'linear', .* did you mean 'gcrn'"):
        make("gcrm")
    for option in ("in_channels", "out_channels", "hidden", "lags", "horizon", "num_layers", "K"):
        with pytest.raises(ValueError, match=f"{option} to be an integer of at least 1, got 0"):
            make(**{option: 0})
    with pytest.raises(ValueError, match=r"dropout in \[0, 1\), got 1"):
        make(dropout=1)
    with pytest.raises(ValueError, match="'linear' has one layer, got num_layers=2"):
        make("linear", num_layers=2)
    with pytest.raises(ValueError, match="residual=True needs the targets among the features, got in_channels=2 for 3"):
        make(out_channels=3, residual=True)
    with pytest.raises(ValueError, match="decay > 0"):
        make("dcrnn-forecaster", sampling_decay=0)
    with pytest.raises(ValueError, match="a layer or skip=True, got neither"):
        Forecaster(None, in_channels=1, lags=2)
    with pytest.raises(ValueError, match="a layer with 4 input channels, got 2"):
        Forecaster(GCNLSTM(2, 3), in_channels=2, lags=2, neighbors=True)
    for option in ("in_channels", "out_channels", "lags", "horizon"):
        with pytest.raises(ValueError, match=f"Forecaster: expected {option} to be an integer of at least 1, got 0"):
            Forecaster(None, **{"in_channels": 1, "lags": 2, "skip": True} | {option: 0})
    with pytest.raises(ValueError, match=r"Forecaster: expected dropout in \[0, 1\), got -0.1"):
        Forecaster(None, in_channels=1, lags=2, skip=True, dropout=-0.1)
    with pytest.raises(ValueError, match="a layer with horizon=2 and out_channels=1, got 3 and 1"):
        EncoderDecoder(DCRNNForecaster(1, 4, horizon=3, K=2), in_channels=1, lags=2, horizon=2)


def test_bad_batches_are_named():
    model, batch = build("gcrn", FULL), windows().batch([0])
    for x in (batch.x[1:], batch.x[..., :1], batch.x[:, 0]):
        with pytest.raises(ValueError, match=r"Forecaster: expected x of shape \[4, B, N, 2\], got shape"):
            model(replace(batch, x=x))
    with pytest.raises(ValueError, match=r"expected x of torch.float64, as the weights are, got torch.float32"):
        model(replace(batch, x=batch.x.float()))
    with pytest.raises(ValueError, match="expected 4 graphs, one per step, got 3 graphs and 4 weights"):
        model(replace(batch, edge_index=[EDGES] * 3, edge_weight=[WEIGHTS] * 4))
    with pytest.raises(ValueError, match="expected a PreparedGraph that was prepared for"):
        other = build("gcn-lstm").prepare(EDGES, WEIGHTS, NODES)
        model(replace(batch, edge_index=other, edge_weight=None))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "linear"])
@pytest.mark.parametrize("skip", [False, True])
def test_any_forecaster_comes_near_a_number_of_parameters(name, skip):
    options = {"in_channels": 2, "lags": 6, "horizon": 3, "skip": skip}
    model = build_forecaster(name, **options, parameters=20000)
    assert abs(model.num_parameters - 20000) <= 0.047 * 20000
    near = [build_forecaster(name, **options, hidden=model.encoder.hidden_channels + more) for more in (-1, 0, 1)]
    counts = [other.num_parameters for other in near]
    assert counts[1] == model.num_parameters == min(counts, key=lambda count: abs(count - 20000))


def test_what_has_one_size_takes_no_number_of_parameters():
    with pytest.raises(ValueError, match="is not supported by 'linear'"):
        build_forecaster("linear", in_channels=1, lags=4, parameters=100)
