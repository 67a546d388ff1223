"""Scores of forecasts: against the values of the series themselves, in every unit."""

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.models import build_forecaster
from seqgnn.models.baselines.forecasting import fit_baseline
from seqgnn.tasks import Forecasting, Protocol
from seqgnn.training.loop import TrainConfig, evaluate, fit

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


def counts(steps=240, factor=1.0, dtype=torch.float32):
    """Hourly whole numbers of three nodes, a fifth of them 0, times a factor, as a csv file would have them."""
    rng = np.random.default_rng(1)
    level = 300 + 260 * np.sin(np.arange(steps)[:, None] / 24 * 2 * np.pi + np.arange(3))
    values = np.maximum(0, np.round(level + 60 * rng.normal(size=(steps, 3)) - 100)) * factor
    times = np.datetime64("2024-01-01T00", "s") + np.arange(steps) * np.timedelta64(1, "h")
    return TemporalGraph(torch.from_numpy(values)[..., None].to(dtype), EDGES, timestamps=times)


def evaluation_of(task, forecast):
    """Scores of forecasts in the units of the series, over all test windows."""
    sums = task.objective.sums()
    scale, offset = task.objective.scaler.scale, task.objective.scaler.offset
    for batch in task.test(7):
        task.objective.add(sums, (forecast(batch) - offset) / scale, batch)
    return sums.result()


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e-3, 1e6])
@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_forecasting_truths_are_the_values_of_the_series(factor, scale):
    graph = counts(factor=factor)
    task = Forecasting(graph, Protocol(lags=4, horizon=3, scale=scale))
    for batch in task.test(7):
        steps = batch.start + 4 + torch.arange(3)[:, None]
        assert torch.equal(task.objective.truth(batch), graph.targets[steps])
    truth = np.stack(
        [graph.targets[start + 4 : start + 7, :, 0].double().numpy() for start in task.test_windows.starts]
    )
    assert (truth == 0).mean() > 0.1
    found = evaluation_of(task, lambda batch: torch.full(batch.y.shape, 250.0 * factor, dtype=torch.float64)).scores
    error = np.abs(250 * factor - truth)
    assert found.mape == pytest.approx((error[truth != 0] / truth[truth != 0]).mean(), rel=1e-12)
    assert found.mape_count == (truth != 0).sum() and found.count == truth.size
    assert found.wape == pytest.approx(error.sum() / truth.sum(), rel=1e-12)
    assert found.smape == pytest.approx((2 * error / (truth + 250 * factor)).mean(), rel=1e-12)


def test_forecasting_float64_series_are_scored_to_the_last_digit():
    graph = counts(dtype=torch.float64)
    values = graph.signal + 123_456_789
    task = Forecasting(TemporalGraph(values, EDGES, timestamps=graph.timestamps), Protocol(lags=4, horizon=1))
    batch = next(iter(task.test(7)))
    assert batch.x.dtype == batch.y.dtype == torch.float32
    assert torch.equal(task.objective.truth(batch)[0], values[batch.start + 4])
    exact = evaluation_of(task, lambda batch: values[batch.start + 4][None] + 0.25).scores
    assert exact.mae == pytest.approx(0.25, abs=1e-7)
    unscaled = task.unscaled()
    persistence = fit_baseline("persistence", unscaled.train_windows)
    found = evaluation_of(unscaled, persistence).scores
    rows = values[192:, :, 0].numpy()  # the last fifth, whose first four steps are only read
    assert found.mae == np.abs(np.diff(rows, axis=0))[3:].mean() and found.count == 44 * 3


def test_forecasting_unscaled_baselines_repeat_values_exactly():
    values = torch.tensor([0.1, 0.7, 12345.678, 0.3]).repeat(60)[:, None, None].expand(-1, 2, -1)
    times = np.datetime64("2024-01-01T00", "s") + np.arange(240) * np.timedelta64(6, "h")
    task = Forecasting(TemporalGraph(values, EDGES[:, :1], timestamps=times), Protocol(lags=3, horizon=2))
    unscaled = task.unscaled()
    assert torch.equal(unscaled.test_windows.batch([5]).x[:, 0], values[task.test_windows.starts[5] :][:3])
    seasonal = fit_baseline("seasonal", unscaled.train_windows, period=4)
    assert evaluation_of(unscaled, seasonal).loss == 0.0
    assert [unscaled.train_windows.starts, unscaled.test_windows.starts] == [
        task.train_windows.starts, task.test_windows.starts]  # fmt: skip


@pytest.mark.parametrize("timestamps, season", [(True, 24), (False, 1)])
def test_forecasting_mase_equals_numpy(timestamps, season):
    whole = counts()
    mask = torch.rand(240, 3, generator=torch.Generator().manual_seed(0)) > 0.2
    graph = TemporalGraph(whole.signal, EDGES, mask=mask, timestamps=whole.timestamps if timestamps else None)
    task = Forecasting(graph, Protocol(lags=4, horizon=2, split=(0.5, 0.25, 0.25), metric="mase"))
    assert task.season == season
    values = np.where(mask, whole.signal[..., 0].double(), np.nan)
    train = values[:120]
    unit = np.nanmean(np.abs(train[season:] - train[:-season]), axis=0)
    errors = [np.abs(250 - values[start + 4 : start + 6]) / unit for start in task.test_windows.starts]
    found = evaluation_of(task, lambda batch: torch.full(batch.y.shape, 250.0, dtype=torch.float64))
    assert found.loss == found.scores.mase == pytest.approx(np.nanmean(errors), rel=1e-12)
    assert found.season == season and found.scores.mase_count == np.isfinite(errors).sum() == found.count
    step = found.scores.by_step[1]
    assert step.mase == pytest.approx(np.nanmean([error[1] for error in errors]), rel=1e-12)


def test_forecasting_mase_without_a_season_in_training_is_of_one_step():
    graph = counts(60)
    task = Forecasting(graph, Protocol(lags=2, horizon=1, split=(20, 20, 20)))
    assert task.season == 1  # the training part is shorter than a day
    unit = np.abs(np.diff(graph.signal[:20, :, 0].double().numpy(), axis=0)).mean(0)
    np.testing.assert_allclose(task.objective.naive_error[:, 0], unit, rtol=1e-12)


def test_forecasting_metric_undefined_in_a_part_raises_value_error():
    signal = counts().signal.clone()
    signal[192:] = 0
    for metric in ("mape", "wape"):
        message = f"targets other than 0 in the test part for the metric '{metric}', got none in steps 196 to 239; take"
        with pytest.raises(ValueError, match=message):
            Forecasting(TemporalGraph(signal, EDGES), Protocol(lags=4, horizon=2, metric=metric))
    signal[:168] = 5
    with pytest.raises(
        ValueError, match="nodes that change in the training part in the validation part for the metric"
    ):
        Forecasting(TemporalGraph(signal, EDGES), Protocol(lags=4, horizon=2, metric="mase"))
    assert Forecasting(TemporalGraph(signal, EDGES), Protocol(lags=4, horizon=2, metric="smape")).season == 1


@pytest.mark.parametrize("metric", ["mape", "wape", "smape", "mase"])
def test_fit_selects_by_relative_metrics(metric):
    task = Forecasting(counts(), Protocol(lags=4, horizon=1, metric=metric))
    torch.manual_seed(0)
    model = build_forecaster("linear", task)
    config = TrainConfig(steps=20, lr=1e-2, optimizer="adam", eval_every=5, monitor="loss")
    found = fit(model, task, config, seed=0)
    assert found.best_step == min(found.validation, key=lambda point: point.loss).step
    result = evaluate(model, task.validation(64), objective=task.objective)
    assert result.loss == getattr(result.scores, metric) == min(point.loss for point in found.validation)
    assert sum(result.windows.errors) / sum(result.windows.counts) == pytest.approx(result.loss, rel=1e-12)


def test_fit_names_step_sample_and_node_of_inputs_that_are_not_finite(monkeypatch):
    task = Forecasting(counts(), Protocol(lags=4, horizon=1))
    draw, drawn = task.draw, []

    def broken(batch_size, generator):
        drawn.append(draw(batch_size, generator))
        if len(drawn) == 3:
            drawn[-1].x[2, 1, 0] = torch.inf
        return drawn[-1]

    monkeypatch.setattr(task, "draw", broken)
    model = build_forecaster("gcrn", in_channels=1, hidden=2, lags=4, horizon=1)
    message = r"got 1 NaN .*, the first inf at time step 2 of sample 1, node 0 \(step 3\)$"
    with pytest.raises(ValueError, match=message):
        fit(model, task, TrainConfig(steps=4, batch_size=8, monitor="loss"), seed=0)
