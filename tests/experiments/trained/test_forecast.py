"""Forecasts of a stored run, compared with numpy and with the scores of the run."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.runs.forecast_config import ForecastBaseline
from seqgnn.experiments.trained.forecast import (
    _in_channels,
    forecast,
    forecast_test,
    load_forecaster,
    load_record,
    refit_baseline,
)
from seqgnn.models.forecasters import NAMES
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.checkpoint import write_checkpoint
from tests.support.stored_runs import PROTOCOL, keep, run_of, write_signal


class Given:
    """A signal that is in no file."""

    data, path = "given", Path("given")
    identity = DataSource.identity

    def __init__(self, graph):
        self.graph = graph

    def load(self):
        return self.graph


@pytest.fixture
def source(tmp_path):
    return write_signal(tmp_path)


def test_load_forecaster_of_json_or_safetensors_is_equal(source, tmp_path):
    path = keep(run_of(source), source, tmp_path / "runs")
    model, run = load_forecaster(path)
    again, _ = load_forecaster(str(path.with_suffix(".safetensors")))
    assert run.config.data_id == source.identity() and not model.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))


@pytest.mark.parametrize("missing", [[], [(0, 0), (1, 0), (2, 0), (49, 2), (50, 2), (57, 1), (58, 1), (59, 1)]])
def test_forecast_of_linear_model_equals_numpy(tmp_path, missing):
    source = write_signal(tmp_path, missing=missing)
    path = keep(run_of(source, model="linear", residual=True), source, tmp_path / "runs")
    model, run = load_forecaster(path)
    with open(source.data) as file:
        values = np.array([[cell or "nan" for cell in row[1:]] for row in list(csv.reader(file))[1:]], dtype=np.float64)
    mean, spread = np.nanmean(values[:36]), np.nanstd(values[:36])  # the first 60% of 60 steps
    for step, node in missing:
        values[step, node] = mean if step < 3 else values[step - 1, node]
    weight, bias = (part.detach().double().numpy() for part in (model.skip.weight, model.skip.bias))
    for start in (60, 3, 51):
        scaled = (values[start - 3 : start] - mean) / spread
        expected = (weight @ scaled + bias[:, None] + scaled[-1]) * spread + mean
        found = forecast(model, run, source.load(), None if start == 60 else start)
        assert found.shape == (2, 3, 1)
        np.testing.assert_allclose(found[..., 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"refit": True}, {"model": "dcrnn-forecaster"}, {"model": "lstm"}])
def test_forecast_test_equals_scores_of_the_run(source, tmp_path, changes):
    model, run = load_forecaster(keep(run_of(source, **changes), source, tmp_path / "runs"))
    model.train()
    graph = source.load()
    values, starts, scores = forecast_test(model, run, graph, batch_size=4)
    assert model.training
    assert values.shape == (2, 8, 3, 1) and starts == range(51, 59)  # steps 48 to 59, of which 3 are read before
    test = run.result.test
    assert scores.count == test.count == 48
    assert (scores.mae, scores.rmse) == pytest.approx((test.values["mae"], test.values["rmse"]), rel=1e-6)
    truth = torch.stack([graph.targets[start : start + 2] for start in starts], dim=1)
    assert (values - truth).abs().mean().item() == pytest.approx(test.values["mae"], rel=1e-5)
    for start in (starts[0], starts[-1]):
        assert torch.allclose(forecast(model, run, graph, start), values[:, start - 51], atol=1e-6)


@pytest.mark.parametrize(
    "protocol",
    [
        PROTOCOL,
        replace(PROTOCOL, split_by="windows", gap=1),
        replace(PROTOCOL, split_by="t-gcn"),
        replace(PROTOCOL, split=(0.5, 0.2, 0.2)),
        replace(PROTOCOL, split=(30, 10, 15), gap=2),
        replace(PROTOCOL, split_by="windows", split=(20, 10, 10)),
        replace(PROTOCOL, calendar=("day-of-week",), scale_per="node", scale="minmax"),
    ],
    ids=["steps", "windows", "t-gcn", "a rest", "counts", "counts of windows", "calendar"],
)
@pytest.mark.parametrize("missing", [[], [(50, 1), (57, 0)]], ids=["whole", "missing"])
def test_forecast_of_extended_series_equals_that_of_original(tmp_path, protocol, missing):
    before = write_signal(tmp_path, missing=missing)
    longer = write_signal(tmp_path, 75, "longer.csv", [*missing, (70, 2)])
    model, run = load_forecaster(keep(run_of(before, protocol=protocol), before, tmp_path / "runs"))
    values, starts, scores = forecast_test(model, run, before.load())
    again, same_starts, same_scores = forecast_test(model, run, longer.load())
    assert torch.equal(values, again) and starts == same_starts and scores == same_scores
    assert scores.mae == pytest.approx(run.result.test.values["mae"], rel=1e-6)
    assert torch.equal(forecast(model, run, before.load()), forecast(model, run, longer.load(), 60))
    assert not torch.equal(forecast(model, run, before.load()), forecast(model, run, longer.load()))


@pytest.mark.parametrize("name", NAMES)
def test_in_channels_are_inferred_from_weights(source, name):
    class Sizes:
        in_channels, out_channels = 5, 1

    for neighbors in (False, True):
        run = run_of(source, model=name, neighbors=neighbors)
        assert _in_channels(run, run.build(Sizes).state_dict()) == 5


def test_forecast_with_features_and_graph_per_step_equals_run(tmp_path):
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(70, 4, 2, generator=generator)
    edges = [torch.tensor([[step % 4, 1], [2, 3]]) for step in range(70)]
    whole = TemporalGraph(signal, edges)
    source = Given(whole.steps(0, 60))
    model, run = load_forecaster(keep(run_of(source, K=3), source, tmp_path / "runs"))
    assert model.in_channels == 2
    _, _, scores = forecast_test(model, run, whole)
    assert scores.mae == pytest.approx(run.result.test.values["mae"], rel=1e-6)
    assert torch.equal(forecast(model, run, whole, 60), forecast(model, run, source.load()))
    other = TemporalGraph(signal, [edges[0], *edges[2:], edges[0]])
    with pytest.raises(ValueError, match="with the same nodes and edges"):
        forecast(model, run, other)


def test_load_forecaster_of_invalid_run_raises_value_error(source, tmp_path):
    folder = tmp_path / "runs"
    path = keep(run_of(source), source, folder)
    weights = path.with_suffix(".safetensors")
    with pytest.raises(ValueError, match=r"expected a run's \.json or \.safetensors, got .*runs"):
        load_forecaster(folder)
    with pytest.raises(ValueError, match=r"expected a readable file, got .*none\.json"):
        load_forecaster(folder / "none.json")
    baseline = ForecastBaseline("forecast", source.identity(), "mean", PROTOCOL, False)
    with pytest.raises(ValueError, match=r"expected a run of a forecaster in .*, got the baseline 'mean'"):
        load_forecaster(keep(baseline, source, folder))
    text = tmp_path / "best.safetensors"
    write_checkpoint(text, {"w": torch.ones(1)}, {"model": {}, "vocabulary": {}})
    with pytest.raises(ValueError, match=r"weights of a forecaster in .*best\.safetensors, got a sequence mod"):
        load_forecaster(text)
    write_checkpoint(tmp_path / "alone.safetensors", {"w": torch.ones(1)}, {"config": {}})
    with pytest.raises(ValueError, match=r"got no alone\.json in its folder"):
        load_forecaster(tmp_path / "alone.safetensors")
    other = keep(run_of(source, seed=1), source, folder)
    whole = weights.read_bytes()
    weights.write_bytes(other.with_suffix(".safetensors").read_bytes())
    with pytest.raises(ValueError, match="are not those of the run"):
        load_forecaster(path)
    weights.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match="got a damaged file"):
        load_forecaster(path)
    weights.unlink()
    with pytest.raises(ValueError, match=r"expected a readable file, got .*\.safetensors"):
        load_forecaster(path)
    path.write_text(path.read_text().replace('"hidden":4', '"hidden":5'))
    with pytest.raises(ValueError, match=r"was changed after it was written \(sha256\)"):
        load_forecaster(path)


BASELINES = ("persistence", "mean", "mean-node", "seasonal", "ar", "ar-node", "ar-graph")


def keep_baseline(source, name, folder, refit=False, protocol=PROTOCOL):
    period = 7 if name == "seasonal" else None
    return keep(ForecastBaseline("forecast", source.identity(), name, protocol, refit, period), source, folder)


def table_of(source):
    with open(source.data) as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[cell or "nan" for cell in row[1:]] for row in rows], dtype=np.float64)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("missing", [[], [(40, 2), (50, 1), (57, 0)]], ids=["whole", "missing"])
@pytest.mark.parametrize("refit", [False, True])
def test_forecast_test_of_baseline_equals_scores_of_the_run(tmp_path, name, missing, refit):
    source, longer = write_signal(tmp_path, missing=missing), write_signal(tmp_path, 75, "longer.csv", missing)
    run = load_record(keep_baseline(source, name, tmp_path / "runs", refit))
    test = run.result.test
    for graph in (source.load(), longer.load()):
        values, starts, scores = forecast_test(refit_baseline(run, graph), run, graph, batch_size=5)
        assert values.shape == (2, 8, 3, 1) and starts == range(51, 59) and scores.count == test.count
        for metric in ("mae", "rmse", "mape", "wape", "smape", "mase"):
            assert getattr(scores, metric) == pytest.approx(test.values[metric], rel=1e-9), metric
        truth = np.stack([table_of(source)[start : start + 2] for start in starts], axis=1)
        error = np.abs(values[..., 0].double().numpy() - truth)
        assert np.nanmean(error) == pytest.approx(test.values["mae"], rel=1e-6)


@pytest.mark.parametrize("steps", [60, 75])
def test_forecast_of_naive_baselines_equals_numpy(tmp_path, steps):
    source, longer = write_signal(tmp_path), write_signal(tmp_path, steps, "longer.csv")
    values, graph = table_of(longer), longer.load()
    for name, rows in {"persistence": [-1, -1], "seasonal": [-7, -6]}.items():
        run = load_record(keep_baseline(source, name, tmp_path / "runs"))
        model = refit_baseline(run, graph)
        for start in (steps, 55):
            found = forecast(model, run, graph, None if start == steps else start)[..., 0].numpy()
            np.testing.assert_array_equal(found, values[:start][rows].astype(np.float32))
    # the first and the second step ahead of the 32 windows in the first 60% of 60 steps
    means = np.stack([values[3:35], values[4:36]])
    for name, expected in {"mean": means.mean((1, 2))[:, None], "mean-node": means.mean(1)}.items():
        run = load_record(keep_baseline(source, name, tmp_path / "runs"))
        found = forecast(refit_baseline(run, graph), run, graph)[..., 0].numpy()
        np.testing.assert_allclose(found, np.broadcast_to(expected, (2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["ar", "ar-node", "ar-graph"])
def test_forecast_of_autoregression_equals_least_squares(tmp_path, name):
    source = write_signal(tmp_path)
    run, graph = load_record(keep_baseline(source, name, tmp_path / "runs")), source.load()
    model = refit_baseline(run, graph)
    assert model.strength == run.result.strength and model.num_parameters == run.result.parameters
    values = table_of(source)
    mean, spread = values[:36].mean(), values[:36].std()
    scaled = (values - mean) / spread
    around = np.stack([np.zeros(60), scaled[:, 0], scaled[:, 1]], axis=1)  # edges a -> b -> c, of weight 1

    def features(start):
        """Lags of each node, of its neighbors' mean, and 1, `[N, P]`."""
        parts = [scaled[start : start + 3].T, *([around[start : start + 3].T] if name == "ar-graph" else [])]
        return np.concatenate([*parts, np.ones((3, 1))], axis=1)

    x = np.stack([features(start) for start in range(32)])
    y = np.stack([scaled[start + 3 : start + 5].T for start in range(32)])
    groups = [[0], [1], [2]] if name == "ar-node" else [[0, 1, 2]]
    expected = np.empty((3, 2))
    for nodes in groups:
        inputs, outputs = x[:, nodes].reshape(-1, x.shape[-1]), y[:, nodes].reshape(-1, 2)
        penalty = np.diag(run.result.strength * len(inputs) * inputs.var(0))
        weight = np.linalg.pinv(inputs.T @ inputs + penalty, rcond=1e-12) @ inputs.T @ outputs
        expected[nodes] = features(57)[nodes] @ weight
    found = forecast(model, run, graph)[..., 0].numpy()
    np.testing.assert_allclose(found, (expected * spread + mean).T, rtol=1e-4, atol=1e-4)


def test_forecast_of_baseline_of_other_series_raises_value_error(source, tmp_path):
    run = load_record(keep_baseline(source, "persistence", tmp_path / "runs"))
    graph = source.load()
    changed = graph.signal.clone()
    changed[7, 1] += 1
    with pytest.raises(ValueError, match=r"forecast: expected the time series signal \(\w{16}\) that the run"):
        refit_baseline(run, TemporalGraph(changed, graph.edge_index, graph.edge_weight))
    with pytest.raises(ValueError, match="expected at least 3 steps to read, got 2"):
        refit_baseline(run, graph.steps(0, 2))
    with pytest.raises(ValueError, match="got the baseline 'persistence'; use load_record and refit_baseline"):
        load_forecaster(next((tmp_path / "runs").glob("*.json")))


def test_load_forecaster_of_another_task_raises_value_error(tmp_path):
    from tests.support.comparisons import run_grid

    run_grid("recall", models=["rnn"], sizes=[4], seeds=[0], steps=2, hidden=4, out=tmp_path, progress=False)
    path = next(path for path in tmp_path.glob("runs/*.json") if path.with_suffix(".safetensors").exists())
    for each in (path, path.with_suffix(".safetensors")):
        with pytest.raises(ValueError, match=r"expected a run of a forecaster in .*\.json, got a run of 'recall'"):
            load_forecaster(each)


def test_load_forecaster_mismatched_weights_raise_value_error(source, tmp_path, monkeypatch):
    from seqgnn.experiments.runs import forecast_config as runs

    path = keep(run_of(source), source, tmp_path / "runs")
    make = runs.build_forecaster
    monkeypatch.setattr(runs, "build_forecaster", lambda name, **options: make(name, **options | {"hidden": 7}))
    with pytest.raises(ValueError, match="load_forecaster: expected the weights of gcrn in"):
        load_forecaster(path)


def test_forecast_of_other_series_raises_value_error(source, tmp_path):
    model, run = load_forecaster(keep(run_of(source), source, tmp_path / "runs"))
    graph = source.load()
    wrong = r"forecast: expected the time series signal \(\w{16}\) that the run was trained on, .*, got TemporalGraph"
    changed = graph.signal.clone()
    changed[7, 1] += 1
    for other in (
        graph.steps(1, 60),
        graph.steps(0, 59),
        graph.steps(0, 4),
        TemporalGraph(changed, graph.edge_index, graph.edge_weight),
        TemporalGraph(graph.signal[:, :2], graph.edge_index[:, :1], graph.edge_weight[:1]),
        TemporalGraph(graph.signal, graph.edge_index[:, :1], graph.edge_weight[:1]),
    ):
        for ask in (forecast, forecast_test):
            with pytest.raises(ValueError, match=wrong):
                ask(model, run, other)
    hours = np.datetime64("2012-03-01T00", "h") + np.delete(np.arange(61), 30)
    gaps = TemporalGraph(changed, graph.edge_index, graph.edge_weight, timestamps=hours)
    with pytest.raises(ValueError, match="; pass the options of the comparison, such as --fill-gaps"):
        forecast(model, run, gaps)
    with pytest.raises(ValueError, match=r"expected a time series \[T, N, 1\], as in training, got \(60, 3, 2\)"):
        forecast(model, run, TemporalGraph(graph.signal.expand(-1, -1, 2), graph.edge_index, graph.edge_weight))
    with pytest.raises(ValueError, match="expected at least 3 steps to read, got 2"):
        forecast(model, run, graph.steps(0, 2))
    with pytest.raises(ValueError, match="expected start to be an integer of at least 3, got 2"):
        forecast(model, run, graph, 2)
    with pytest.raises(ValueError, match="expected start to be at most 60, the number of steps, got 61"):
        forecast(model, run, graph, 61)


def test_forecast_with_calendar_needs_timestamps(tmp_path):
    protocol = Protocol(lags=3, horizon=2, split=(0.6, 0.2, 0.2), calendar=("day-of-week",))
    source = write_signal(tmp_path)
    model, run = load_forecaster(keep(run_of(source, protocol=protocol), source, tmp_path / "runs"))
    assert model.in_channels == 3
    with pytest.raises(ValueError, match="expected timestamps for calendar features"):
        forecast(model, run, write_signal(tmp_path, times=False).load())
