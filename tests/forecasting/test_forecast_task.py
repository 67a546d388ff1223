"""Forecasting as a task: what is cut where, scaled by what, and scored in which units."""

import math

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.data.task import Sealed
from seqgnn.forecasting import Forecasting, Protocol, build_forecaster
from seqgnn.training import TrainConfig, evaluate, fit

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


def waves(steps=120, scale=10.0):
    t = torch.arange(steps, dtype=torch.float64)[:, None]
    phase = torch.tensor([0.0, 0.7, 2.0], dtype=torch.float64)
    return TemporalGraph(
        (scale * (3 + torch.sin(t / 5 + phase)))[..., None].float(),
        EDGES,
        timestamps=np.datetime64("2024-01-01T00", "s") + np.arange(steps) * np.timedelta64(1, "h"),
    )


@pytest.mark.parametrize(
    "by, split, expected",
    [
        ("steps", (0.5, 0.25, 0.25), [(0, 55), (60, 85), (90, 115)]),
        ("t-gcn", (0.5, 0.25, 0.25), [(0, 54), (60, 84), (90, 114)]),
        ("windows", (57, 28, 30), [(0, 56), (57, 84), (85, 115)]),  # one less each: their future is another's
        ("steps", (60, 20, 30), [(0, 55), (60, 75), (80, 105)]),
    ],
)
def test_parts_begin_and_end_where_the_protocol_says(by, split, expected):
    task = Forecasting(waves(), Protocol(lags=4, horizon=2, split=split, by=by))
    parts = task.train_windows, task.validation_windows, task.test_windows
    assert [(part.starts.start, part.starts.stop) for part in parts] == expected
    assert task.refit_windows.starts == range(expected[0][0], expected[1][1])


def test_scaling_knows_the_training_part_alone():
    graph, protocol = waves(), Protocol(lags=4, horizon=2, split=(0.5, 0.25, 0.25))
    changed = graph.signal.clone()
    changed[60:] = 1e6
    one, other = (Forecasting(TemporalGraph(x, EDGES), protocol) for x in (graph.signal, changed))
    batch, same = (task.draw(8, torch.Generator().manual_seed(0)) for task in (one, other))
    assert torch.equal(batch.x, same.x) and torch.equal(batch.y, same.y)
    seen = graph.signal[:60]
    assert one.scaler.offset.item() == pytest.approx(seen.mean().item())
    assert one.scaler.scale.item() == pytest.approx(seen.std(correction=0).item())


def test_what_was_not_observed_scales_neither_inputs_nor_targets():
    graph = waves()
    mask = torch.rand(120, 3, generator=torch.Generator().manual_seed(0)) > 0.3
    signal = graph.signal.masked_fill(~mask[..., None], 0.0)
    task = Forecasting(TemporalGraph(signal, EDGES, mask=mask), Protocol(lags=4, horizon=1, split=(0.5, 0.25, 0.25)))
    batch = task.test_windows.batch([3])
    start = task.test_windows.starts[3]
    assert torch.allclose(task.scaler.inverse(batch.x[:, 0]), signal[start : start + 4], atol=1e-4)
    assert task.scaler.offset.item() == pytest.approx(signal[:60][mask[:60]].mean().item(), rel=1e-5)


def test_scores_are_in_the_units_of_the_signal():
    graph = waves()
    task = Forecasting(graph, Protocol(lags=4, horizon=2, split=(0.5, 0.25, 0.25), metric="rmse"))
    model = build_forecaster("lstm", in_channels=1, hidden=4, lags=4, horizon=2)
    found = evaluate(model, task.test(7), objective=task.objective)
    errors = []
    for start in task.test_windows.starts:
        batch = task.test_windows.batch([task.test_windows.starts.index(start)])
        with torch.no_grad():
            forecast = task.scaler.inverse(model(batch)[0])
        errors.append(forecast[:, 0] - graph.signal[start + 4 : start + 6])
    error = torch.stack(errors).double()
    assert found.loss == found.scores.rmse == pytest.approx(error.square().mean().sqrt().item(), rel=1e-5)
    assert found.scores.mae == pytest.approx(error.abs().mean().item(), rel=1e-5)
    assert found.count == error.numel() and found.accuracy is None
    again = evaluate(model, task.test(64), objective=task.objective)
    assert again.loss == pytest.approx(found.loss, rel=1e-6)  # however it is cut


def test_it_is_learnt_and_selected_on_validation_with_the_test_part_closed():
    task = Sealed(Forecasting(waves(), Protocol(lags=6, horizon=2, split=(0.5, 0.25, 0.25))))
    with pytest.raises(ValueError, match="expected no look at the test set"):
        task.test(8)
    with pytest.raises(ValueError, match="expected no look at the test set"):
        len(task.test_windows)
    torch.manual_seed(0)
    model = build_forecaster("gcrn", in_channels=1, hidden=8, lags=6, horizon=2, skip=True)
    config = TrainConfig(steps=60, lr=1e-2, optimizer="adam", eval_every=20, select="loss", batch_size=32)
    found = fit(model, task, config, seed=0)
    assert [point.accuracy for point in found.validation] == [None] * 3
    assert found.best_step == min(found.validation, key=lambda point: point.loss).step
    assert all(math.isnan(value) for value in found.accuracies)
    opened = task.open()
    assert evaluate(model, opened.test(32), objective=opened.objective).loss < 1.5  # the waves are 10 high


def test_batches_hold_different_windows_and_all_of_them_at_most():
    task = Forecasting(waves(), Protocol(lags=4, horizon=2, split=(0.5, 0.25, 0.25)))
    batch = task.draw(20, torch.Generator().manual_seed(0))
    assert len(batch.start.unique()) == 20 and batch.start.max() < 55
    assert task.draw(500, torch.Generator()).start.tolist() == list(range(55))
    refitted = task.refitting().draw(500, torch.Generator())
    assert refitted.start.tolist() == list(range(85))


def test_the_calendar_is_read_and_not_scaled():
    task = Forecasting(waves(), Protocol(lags=4, horizon=1, calendar=("time-of-day",)))
    assert task.in_channels == 3 and task.out_channels == 1
    assert task.graph.signal[..., 1:].abs().max() <= 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"by": "step"}, "Protocol: expected by to be .*did you mean 'steps'"),
        ({"loss": "l1"}, "Protocol: expected loss to be one of"),
        ({"lags": 0}, "Protocol: expected lags"),
        ({"lags": 30}, "expected more than 32 steps for the validation part, got 12 of 120"),
        ({"lags": 4, "split": (0.6, 0.6, 0.2)}, "sum of at most 1"),
        ({"lags": 4, "by": "windows", "split": (200, 1, 1)}, "sum of at most"),
    ],
)
def test_bad_protocols_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Forecasting(waves(), Protocol(**options))
