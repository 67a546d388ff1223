"""Forecasting as a task: splits, scaling, missing inputs, and units of scores."""

import math

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph, read_signal
from seqgnn.data.datasets.data_source import content_hash
from seqgnn.data.transforms.scaler import Scaler
from seqgnn.models import build_forecaster
from seqgnn.models.baselines.forecasting import fit_baseline
from seqgnn.tasks import Forecasting, Protocol
from seqgnn.tasks.base import HeldOutTask
from seqgnn.training.loop import TrainConfig, evaluate, fit

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
        ("windows", (57, 28, 30), [(0, 56), (57, 84), (85, 115)]),  # one less each, since targets must not overlap
        ("steps", (60, 20, 30), [(0, 55), (60, 75), (80, 105)]),
    ],
)
def test_forecasting_parts_start_and_end_as_in_the_protocol(by, split, expected):
    task = Forecasting(waves(), Protocol(lags=4, horizon=2, split=split, split_by=by))
    parts = task.train_windows, task.validation_windows, task.test_windows
    assert [(part.starts.start, part.starts.stop) for part in parts] == expected
    assert task.refit_windows.starts == range(expected[0][0], expected[1][1])


def test_forecasting_scaler_is_fitted_on_training_part_only():
    graph, protocol = waves(), Protocol(lags=4, horizon=2, split=(0.5, 0.25, 0.25))
    changed = graph.signal.clone()
    changed[60:] = 1e6
    one, other = (Forecasting(TemporalGraph(x, EDGES), protocol) for x in (graph.signal, changed))
    batch, same = (task.draw(8, torch.Generator().manual_seed(0)) for task in (one, other))
    assert torch.equal(batch.x, same.x) and torch.equal(batch.y, same.y)
    seen = graph.signal[:60]
    assert one.scaler.offset.item() == pytest.approx(seen.mean().item())
    assert one.scaler.scale.item() == pytest.approx(seen.std(correction=0).item())


GAPS = {"lags": 4, "horizon": 2, "split": (0.5, 0.25, 0.25)}  # parts begin at steps 0, 60 and 90


def gaps(graph=None, per_feature=False):
    """Waves of which three tenths are missing, long stretches of some nodes among them, with 0 in their place."""
    graph = waves() if graph is None else graph
    shape = graph.targets.shape if per_feature else (*graph.targets.shape[:2], 1)
    mask = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.3).expand(graph.targets.shape).clone()
    mask[:7, 0], mask[52:97, 1] = False, False  # before the first; from training into the test part
    signal = graph.signal.clone()
    signal[..., : graph.num_targets].masked_fill_(~mask, 0.0)
    return TemporalGraph(signal, EDGES, mask=mask, targets=signal[..., : graph.num_targets])


def filled_by_hand(graph, train=60, per="all"):
    """Return the inputs that are the targets' own past, `[T, N, C]`, step by step."""
    values = np.where(graph.mask, graph.targets.double(), np.nan)
    last = np.broadcast_to(np.nanmean(values[:train], axis=0 if per == "node" else (0, 1)), values.shape[1:])
    found = []
    for row in values:
        last = np.where(np.isnan(row), last, row)
        found.append(last)
    return np.stack(found)


def test_forecasting_masked_values_do_not_change_the_scaler():
    graph = gaps()
    task = Forecasting(graph, Protocol(**GAPS))
    batch = task.test_windows.batch([3])
    start = task.test_windows.starts[3]
    seen = graph.mask[start : start + 4]
    assert torch.allclose(task.scaler.inverse(batch.x[:, 0])[seen], graph.signal[start : start + 4][seen], atol=1e-4)
    assert task.scaler.offset.item() == pytest.approx(graph.signal[:60][graph.mask[:60]].mean().item(), rel=1e-5)


@pytest.mark.parametrize("per", ["all", "node"])
@pytest.mark.parametrize("scale", ["standard", "max", "minmax", "none"])
def test_forecasting_masked_inputs_are_last_observed_values(scale, per):
    graph = gaps()
    task = Forecasting(graph, Protocol(**GAPS, scale=scale, scale_per=per))
    expected = filled_by_hand(graph, per=per)
    scaled = (expected - task.scaler.offset.numpy()) / task.scaler.scale.numpy()
    np.testing.assert_allclose(task.graph.signal, scaled, rtol=1e-4, atol=1e-5)
    parts = task.train_windows, task.validation_windows, task.test_windows, task.refit_windows
    for batch in (part.batch(range(len(part))) for part in parts):
        steps = batch.start + torch.arange(4)[:, None]
        np.testing.assert_allclose(batch.x, scaled[steps.numpy()], rtol=1e-4, atol=1e-5)
        assert torch.equal(batch.mask, graph.mask[batch.start + torch.arange(4, 6)[:, None]])  # scored as ever


def test_forecasting_masked_inputs_equal_hand_values():
    values = torch.tensor([0.0, 0, 2, 4, 0, 6, 0, 0, 0, 9, 1, 1])[:, None, None]
    graph = TemporalGraph(values, torch.empty(2, 0, dtype=torch.long), mask=values[..., 0] > 0)
    task = Forecasting(graph, Protocol(lags=1, horizon=1, split=(6, 4, 2), scale="none"))
    assert task.graph.signal.flatten().tolist() == [4, 4, 2, 4, 4, 6, 6, 6, 6, 9, 1, 1]  # 4 is the mean of 2, 4, 6
    model = build_forecaster("linear", in_channels=1, lags=1, residual=True)
    torch.nn.init.zeros_(model.skip.weight), torch.nn.init.zeros_(model.skip.bias)
    assert model(task.validation_windows.batch([1]))[0].item() == 6  # of the last value, three steps before


def test_forecasting_each_feature_is_filled_by_its_mask():
    both = torch.cat([waves().signal, waves(scale=2.0).signal.flip(1), torch.arange(360.0).view(120, 3, 1)], dim=-1)
    graph = gaps(TemporalGraph(both, EDGES, targets=both[..., :2]), per_feature=True)
    assert not torch.equal(graph.mask[..., 0], graph.mask[..., 1])
    task = Forecasting(graph, Protocol(**GAPS, scale="none"))
    np.testing.assert_allclose(task.graph.signal[..., :2], filled_by_hand(graph), rtol=1e-5)
    assert torch.equal(task.graph.signal[..., 2], both[..., 2])
    other = TemporalGraph(both, EDGES, targets=both[..., :1] + 1, mask=graph.mask[..., :1])  # its past is not read
    assert torch.equal(Forecasting(other, Protocol(**GAPS, scale="none")).graph.signal, both)


def test_forecasting_covariate_is_filled_only_where_nan(tmp_path):
    graph = gaps()
    feature = torch.arange(1.0, 361.0).view(120, 3, 1)
    gone = ~graph.mask & (torch.arange(120)[:, None, None] % 2 == 0)  # elsewhere it is known, though the target is not
    values = torch.cat([graph.signal.masked_fill(~graph.mask, np.nan), feature.masked_fill(gone, np.nan)], dim=-1)
    np.save(tmp_path / "both.npy", values)
    given, read = TemporalGraph(values, EDGES, mask=graph.mask), read_signal(tmp_path / "both.npy")
    expected = filled_by_hand(TemporalGraph(feature, EDGES, mask=~gone))
    for whole in (given, read):
        task = Forecasting(whole, Protocol(**GAPS, scale="none"))
        np.testing.assert_allclose(task.graph.signal[..., :1], filled_by_hand(graph), rtol=1e-5)
        np.testing.assert_allclose(task.graph.signal[..., 1:], expected, rtol=1e-5)
    scaled = Forecasting(given, Protocol(**GAPS)).graph.signal[..., 1:]
    train = feature[:60][~gone[:60]]
    np.testing.assert_allclose(scaled, (expected - train.mean().item()) / train.std(correction=0).item(), atol=1e-4)
    assert content_hash(read) == content_hash(read_signal(tmp_path / "both.npy"))
    zeros = TemporalGraph(values.nan_to_num(0), EDGES, mask=graph.mask)
    assert content_hash(zeros) != content_hash(given)  # there 0 is a value


def test_forecasting_filled_gaps_repeat_the_last_step():
    both = torch.cat([waves().signal, waves(scale=2.0).signal + 1], dim=-1)
    keep = torch.tensor([step for step in range(120) if step not in (5, 6, 61, 100)])
    graph = TemporalGraph(both[keep], EDGES, timestamps=waves().timestamps[keep]).fill_gaps()
    for whole in (graph, graph.to("cpu"), graph.with_calendar(("time-of-day",))):
        found = Forecasting(whole, Protocol(**GAPS, scale="none")).graph.signal[..., :2]
        for step, last in ((5, 4), (6, 4), (61, 60), (100, 99), (7, 7)):
            assert torch.equal(found[step], both[last])


def test_forecasting_training_data_ignore_later_values():
    one = gaps()
    signal, mask = one.signal.clone(), one.mask.clone()
    signal[60:], mask[60:] = 1e6, ~mask[60:]
    tasks = [Forecasting(graph, Protocol(**GAPS)) for graph in (one, TemporalGraph(signal, EDGES, mask=mask))]
    first, second = (task.draw(500, torch.Generator()) for task in tasks)
    assert torch.equal(first.x, second.x) and torch.equal(first.y, second.y) and torch.equal(first.mask, second.mask)
    ridges = [fit_baseline("ar", task.train_windows, strengths=(0.1,)).weight for task in tasks]
    assert torch.equal(*ridges)


@pytest.mark.parametrize("now", [60, 75, 89, 93, 96, 118])
def test_forecasting_inputs_ignore_later_values(now):
    one = gaps()
    signal, mask = one.signal.clone(), one.mask.clone()
    signal[now + 1 :], mask[now + 1 :] = -7.0, ~mask[now + 1 :]
    before, after = (Forecasting(graph, Protocol(**GAPS)) for graph in (one, TemporalGraph(signal, EDGES, mask=mask)))
    assert torch.equal(before.graph.signal[: now + 1], after.graph.signal[: now + 1])
    assert not torch.equal(before.graph.signal, after.graph.signal)


def test_forecasting_without_mask_only_scales_the_series(monkeypatch):
    graph = waves()
    whole = TemporalGraph(graph.signal, EDGES, mask=torch.ones(120, 3, dtype=torch.bool))
    expected = Scaler.fit(graph.signal[:60]).transform(graph.signal)
    assert torch.equal(Forecasting(whole, Protocol(**GAPS)).graph.signal, expected)
    monkeypatch.setattr("seqgnn.tasks.forecasting.carry_forward", None)
    assert torch.equal(Forecasting(graph, Protocol(**GAPS)).graph.signal, expected)


@pytest.mark.parametrize("graph", [waves(), gaps()], ids=["whole", "masked"])
def test_forecasting_windows_are_views_of_one_tensor(graph):
    task = Forecasting(graph, Protocol(**GAPS))
    held = task.graph.signal.untyped_storage()
    assert held.nbytes() == graph.signal.untyped_storage().nbytes() == 120 * 3 * 4
    for part in (task.train_windows, task.validation_windows, task.test_windows, task.refit_windows):
        assert part[3].x.untyped_storage().data_ptr() == held.data_ptr()


def test_forecasting_scores_are_in_original_units():
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


def test_fit_on_held_out_task_selects_on_validation_only():
    task = HeldOutTask(Forecasting(waves(), Protocol(lags=6, horizon=2, split=(0.5, 0.25, 0.25))))
    with pytest.raises(ValueError, match=r"expected no use of the test set before open\(\)"):
        task.test(8)
    with pytest.raises(ValueError, match=r"expected no use of the test set before open\(\)"):
        len(task.test_windows)
    torch.manual_seed(0)
    model = build_forecaster("gcrn", in_channels=1, hidden=8, lags=6, horizon=2, skip=True)
    config = TrainConfig(steps=60, lr=1e-2, optimizer="adam", eval_every=20, monitor="loss", batch_size=32)
    found = fit(model, task, config, seed=0)
    assert [point.accuracy for point in found.validation] == [None] * 3
    assert found.best_step == min(found.validation, key=lambda point: point.loss).step
    assert all(math.isnan(value) for value in found.accuracies)
    opened = task.open()
    assert evaluate(model, opened.test(32), objective=opened.objective).loss < 1.5  # the waves are 10 high


def test_forecasting_draw_has_distinct_windows():
    task = Forecasting(waves(), Protocol(lags=4, horizon=2, split=(0.5, 0.25, 0.25)))
    batch = task.draw(20, torch.Generator().manual_seed(0))
    assert len(batch.start.unique()) == 20 and batch.start.max() < 55
    assert task.draw(500, torch.Generator()).start.tolist() == list(range(55))
    refitted = task.refitting().draw(500, torch.Generator())
    assert refitted.start.tolist() == list(range(85))


def test_forecasting_calendar_features_are_not_scaled():
    task = Forecasting(waves(), Protocol(lags=4, horizon=1, calendar=("time-of-day",)))
    assert task.in_channels == 3 and task.out_channels == 1
    assert task.graph.signal[..., 1:].abs().max() <= 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split_by": "step"}, "Protocol: expected split_by to be .*did you mean 'steps'"),
        ({"loss": "l1"}, "Protocol: expected loss to be one of"),
        ({"lags": 0}, "Protocol: expected lags"),
        ({"lags": 30}, "expected more than 32 steps for the validation part, got 12 of 120"),
        ({"lags": 4, "split": (0.6, 0.6, 0.2)}, "sum of at most 1"),
        ({"lags": 4, "split_by": "windows", "split": (200, 1, 1)}, "sum of at most"),
    ],
)
def test_forecasting_invalid_protocol_raises_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        Forecasting(waves(), Protocol(**options))


@pytest.mark.parametrize(
    "by, part, hidden, steps",
    [
        ("steps", "training", (4, 60), "4 to 59"),
        ("steps", "validation", (64, 90), "64 to 89"),
        ("steps", "test", (94, 120), "94 to 119"),
        ("t-gcn", "test", (94, 119), "94 to 118"),
        ("windows", "validation", (61, 89), "61 to 88"),
    ],
)
def test_forecasting_unobserved_part_raises_value_error(by, part, hidden, steps):
    mask, protocol = torch.ones(120, 3, dtype=torch.bool), Protocol(**GAPS, split_by=by)
    mask[slice(*hidden)] = False
    with pytest.raises(ValueError, match=f"in the {part} part, got none in steps {steps}$"):
        Forecasting(TemporalGraph(waves().signal, EDGES, mask=mask), protocol)
    mask[hidden[1] - 1, 2] = True
    assert Forecasting(TemporalGraph(waves().signal, EDGES, mask=mask), protocol).graph.mask is not None
