"""Forecasts of whole test parts, and their errors, against numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from seqgnn.analysis.forecast_errors import calendar_groups, collect_forecasts
from seqgnn.models import build_forecaster
from seqgnn.models.baselines.forecasting import fit_baseline
from seqgnn.tasks import Forecasting, Protocol
from tests.support.forecasts import (
    EDGES,
    HORIZON,
    LAGS,
    FunctionModel,
    collected,
    errors_by_loop,
    town_graph,
    with_edges,
)


@pytest.fixture(scope="module")
def example():
    return collected()


def test_forecasts_have_units_and_share_memory_with_targets(example):
    task, models, forecasts = example
    graph = town_graph()
    windows = len(task.test_windows)
    assert forecasts.of("GCRN")[1].shape == forecasts.truth.shape == (windows, HORIZON, 5, 1)
    for window, start in enumerate(task.test_windows.starts):
        future = slice(start + LAGS, start + LAGS + HORIZON)
        seen = graph.mask[future]
        assert torch.equal(forecasts.mask[window], seen)
        assert torch.equal(forecasts.truth[window][seen], graph.signal[future][seen])
        assert (forecasts.times[window] == graph.timestamps[future]).all()
    assert forecasts.truth.untyped_storage().nbytes() <= 4 * 5 * len(graph)
    assert all(model.training for seeds in models.values() for model in seeds)
    assert not forecasts.of("LSTM")[0].requires_grad


def test_errors_by_step_node_and_hour_equal_numpy(example):
    task, models, forecasts = example
    _, hours, group = calendar_groups(forecasts)
    for label, seeds in models.items():
        for seed, model in enumerate(seeds):
            error = errors_by_loop(task, model)
            assert forecasts.by_step(label)[seed].numpy() == pytest.approx(np.nanmean(error, (0, 2)), rel=1e-5)
            assert forecasts.by_node(label)[seed].numpy() == pytest.approx(np.nanmean(error, (0, 1)), rel=1e-5)
            assert forecasts.by_node(label, 2)[seed].numpy() == pytest.approx(np.nanmean(error[:, 1], 0), rel=1e-5)
            by_hour = [[] for _ in range(24)]
            for window, start in enumerate(task.test_windows.starts):
                for step in range(HORIZON):
                    by_hour[(start + LAGS + step) % 24] += list(error[window, step])
            expected = [np.nanmean(values) if values else np.nan for values in by_hour]
            found = forecasts.by_group(label, group, len(hours))[seed].numpy()
            assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize(
    "every, what, groups",
    [
        (np.timedelta64(6, "h"), "hour of the day", {0, 6, 12, 18}),
        (np.timedelta64(1, "D"), "day of the week", set(range(7))),
        (np.timedelta64(7, "D"), "month of the year", set(range(12))),
    ],
)
def test_calendar_groups_depend_on_the_period(every, what, groups):
    _, _, forecasts = collected(seeds=1, steps=400, every=every, mask=False)
    found, names, group = calendar_groups(forecasts)
    assert found == what and set(group.flatten().tolist()) == groups
    moment = forecasts.times[5, 1].astype(object)
    number = {
        "hour of the day": moment.hour,
        "day of the week": moment.weekday(),
        "month of the year": moment.month - 1,
    }
    assert group[5, 1] == number[what]
    weekday = {"day of the week": moment.strftime("%a"), "month of the year": moment.strftime("%b")}
    assert names[group[5, 1]] == weekday.get(what, str(moment.hour))


def test_graph_per_step_has_the_edges_of_all_steps():
    graphs = [EDGES[:, step % 2 : step % 2 + 2] for step in range(200)]
    task = Forecasting(with_edges(town_graph(), graphs), Protocol(lags=LAGS, horizon=HORIZON))
    model = build_forecaster("lstm", in_channels=1, hidden=2, lags=LAGS, horizon=HORIZON)
    assert collect_forecasts(task, {"LSTM": [model]}).edges.tolist() == EDGES[:, :3].tolist()


def test_graph_per_step_leaves_out_the_edges_of_targets_alone():
    """A window reads the graphs of its lags; of the last one, the horizon follows."""
    graphs = [EDGES[:, :2]] * (200 - HORIZON - 1) + [EDGES[:, 1:3]] + [EDGES[:, 3:5]] * HORIZON
    task = Forecasting(with_edges(town_graph(), graphs), Protocol(lags=LAGS, horizon=HORIZON))
    model = build_forecaster("lstm", in_channels=1, hidden=2, lags=LAGS, horizon=HORIZON)
    assert collect_forecasts(task, {"LSTM": [model]}).edges.tolist() == EDGES[:, :3].tolist()


def test_nodes_and_steps_ahead_by_name_and_number(example):
    _, _, forecasts = example
    assert [forecasts.node(name) for name in forecasts.nodes] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"one of 5 nodes, got 'sooth'; did you mean 'south'\?$"):
        forecasts.node("sooth")
    with pytest.raises(ValueError, match=r"one of 5 nodes, got 'xyz'; the first is 'north'$"):
        forecasts.node("xyz")
    assert [forecasts.ahead(step) for step in (1, HORIZON)] == [0, HORIZON - 1]
    with pytest.raises(ValueError, match="a step ahead from 1 to 3, got 4"):
        forecasts.ahead(HORIZON + 1)
    with pytest.raises(ValueError, match="the step ahead to be an integer of at least 1, got 0"):
        forecasts.ahead(0)


def test_nodes_without_names_are_numbered():
    _, _, forecasts = collected(seeds=1, nodes=None)
    assert forecasts.nodes == ("0", "1", "2", "3", "4") and forecasts.node("3") == 3
    assert collected(seeds=1)[2].nodes == ("north", "east", "south", "west", "middle")


def test_calendar_groups_without_times_or_a_season_raise_value_error(example):
    _, _, forecasts = example
    for missing in ({"times": None}, {"calendar": None}, {"times": None, "calendar": None}):
        with pytest.raises(ValueError, match="expected timestamps for errors by hour, day or month, got none"):
            calendar_groups(replace(forecasts, **missing))
    _, _, yearly = collected(seeds=1, every=np.timedelta64(800, "D"), mask=False)
    with pytest.raises(ValueError, match="expected several steps a year for errors by month, got steps every 800 days"):
        calendar_groups(yearly)


def test_forecasts_are_those_of_evaluation_mode():
    task = Forecasting(town_graph(), Protocol(lags=LAGS, horizon=HORIZON))
    model = FunctionModel(lambda y: torch.nn.functional.dropout(y, 0.5, model.training)).train()
    found = collect_forecasts(task, {"mine": [model]})
    seen = found.truth[found.mask]
    torch.testing.assert_close(found.of("mine")[0][found.mask], seen, rtol=1e-4, atol=1e-4)
    assert model.training


def test_wrong_models_and_labels_are_rejected(example):
    task, models, _ = example
    baseline = fit_baseline("persistence", task.train_windows)
    with pytest.raises(ValueError, match="expected at least one model with at least one seed"):
        collect_forecasts(task, {})
    with pytest.raises(ValueError, match="expected at least one model with at least one seed"):
        collect_forecasts(task, {"LSTM": []})
    with pytest.raises(ValueError, match="expected at least one model with at least one seed"):
        collect_forecasts(task, {"LSTM": models["LSTM"], "GCRN": []})
    with pytest.raises(ValueError, match="different labels for models and baselines, got 'LSTM' twice"):
        collect_forecasts(task, models, {"LSTM": baseline})
    with pytest.raises(ValueError, match=r"expected mine to forecast \(3, 34, 5, 1\), got \(3, 34, 1, 1\)"):
        collect_forecasts(task, {"mine": [FunctionModel(lambda y: y[:, :, :1])]})
    with pytest.raises(ValueError, match="expected finite forecasts of mine"):
        collect_forecasts(task, {"mine": [FunctionModel(lambda y: y / 0)]})
