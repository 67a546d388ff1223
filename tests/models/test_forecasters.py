import copy
import pickle
from dataclasses import replace

import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.metrics import forecast_loss
from seqgnn.models import EncoderDecoder, Forecaster, build_forecaster
from seqgnn.models.forecasters import NAMES, NODEWISE, STATIC, uses_neighbors
from seqgnn.nn import GCNLSTM, DCRNNForecaster
from tests.support.forecasters import EDGES, HORIZON, LAGS, NODES, PLAIN, WEIGHTS, build, changing, series, windows

FULL = {"residual": True, "skip": True, "neighbors": True, "dropout": 0.2}
CASES = [(name, options) for name in NAMES for options in (PLAIN, FULL)]
IDS = [f"{name}{'-full' if options else ''}" for name, options in CASES]
each_model = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)


@each_model
def test_batched_windows_equal_single_ones(name, options):
    model, every = build(name, options), windows()
    together, state = model(every.batch([3, 0, 11]))
    assert together.shape == (HORIZON, 3, NODES, 1) and together.dtype == torch.float64 and state is None
    for b, index in enumerate((3, 0, 11)):
        torch.testing.assert_close(model(every[index])[0][:, 0], together[:, b], rtol=1e-10, atol=1e-12)


@each_model
def test_forecaster_is_node_permutation_equivariant(name, options):
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = windows(order.argsort()[EDGES], signal=series()[:, order])
    model = build(name, options)
    expected = model(windows().batch([2, 5]))[0][:, :, order]
    torch.testing.assert_close(model(turned.batch([2, 5]))[0], expected, rtol=1e-10, atol=1e-12)


@each_model
def test_forecaster_ignores_future_values(name, options):
    changed = series()
    changed[9 + LAGS :] += 10.0
    model = build(name, options)
    first, second = (model(windows(signal=signal).batch(range(10)))[0] for signal in (series(), changed))
    assert torch.equal(first, second)


@each_model
def test_forecast_depends_on_every_lag(name, options):
    model = build(name, options)
    batch = windows().batch([0])
    x = batch.x.clone().requires_grad_()
    model(replace(batch, x=x))[0].square().sum().backward()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all() or name == "evolve-gcn"  # whose weights run on, but not its nodes


@pytest.mark.parametrize("name", NAMES)
def test_forecast_depends_on_neighbors_only(name):
    for options in (PLAIN, {"neighbors": True}):
        model, batch = build(name, options), windows().batch([0])
        x = batch.x.clone()
        x[:, :, 3] += 1.0
        moved = (model(replace(batch, x=x))[0] - model(batch)[0]).abs().amax((0, 1, 3)) > 1e-12
        ignores_neighbors = name in NODEWISE and not options
        assert moved.tolist()[3] and moved.tolist()[1] == (not ignores_neighbors)  # 3 -> 1
        assert not moved[4]


@each_model
def test_graph_per_step(name, options):
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
    ignores_neighbors = name in NODEWISE and not options
    assert torch.allclose(together, model(windows().batch([3, 0, 11]))[0]) == ignores_neighbors


@each_model
def test_prepared_graph_gives_the_same_forecast(name, options):
    model, batch = build(name, options), windows().batch([1, 2])
    graph = model.prepare(EDGES, WEIGHTS, NODES)
    prepared = replace(batch, edge_index=graph, edge_weight=None)
    assert torch.equal(model(prepared)[0], model(batch)[0])


@each_model
def test_copies_give_the_same_forecast(name, options, tmp_path):
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
def test_every_weight_has_a_gradient(name, options):
    model, batch = build(name, options).train(), windows().batch(range(8))
    forecast_loss(model(batch)[0], batch.y, kind="mse").backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_wave_along_a_ring_is_learned(name):
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


def test_wrong_options_are_rejected():
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


@pytest.mark.parametrize("name", [name for name in NAMES if name != "linear"])
@pytest.mark.parametrize("skip", [False, True])
def test_parameters_are_matched(name, skip):
    options = {"in_channels": 2, "lags": 6, "horizon": 3, "skip": skip}
    model = build_forecaster(name, **options, parameters=20000)
    assert abs(model.num_parameters - 20000) <= 0.047 * 20000
    near = [build_forecaster(name, **options, hidden=model.encoder.hidden_channels + more) for more in (-1, 0, 1)]
    counts = [other.num_parameters for other in near]
    assert counts[1] == model.num_parameters == min(counts, key=lambda count: abs(count - 20000))


def test_linear_rejects_parameters():
    with pytest.raises(ValueError, match="is not supported by 'linear'"):
        build_forecaster("linear", in_channels=1, lags=4, parameters=100)


@pytest.mark.parametrize("name", NAMES)
def test_uses_neighbors_is_true_with_graph_filter_or_option(name):
    assert uses_neighbors(name) == (name not in ("linear", "lstm", "gru"))
    assert uses_neighbors(name, neighbors=True)
    one_term = name in ("gcrn", "gcrn-gru", "dcrnn", "dcrnn-forecaster")
    assert uses_neighbors(name, K=1) == (uses_neighbors(name) and not one_term)
