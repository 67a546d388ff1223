"""One run of a forecaster: everything that determines it, and what it leaves."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.runs import result as run_module
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.result import RunControl
from seqgnn.tasks import Protocol
from seqgnn.training.loop import TrainConfig

PROTOCOL = Protocol(lags=3, horizon=2, split=(0.6, 0.2, 0.2))
TRAIN = TrainConfig(steps=12, batch_size=8, optimizer="adam", lr=1e-2, eval_every=4, monitor="loss")


@pytest.fixture
def source(signal_files):
    return DataSource(*map(str, signal_files))


def run_of(source, **changes):
    run = ForecastRun(
        "forecast", source.identity(), "gcrn", 4, 1, 2, True, True, False, 0.0, PROTOCOL, False, 0, "cpu", TRAIN
    )
    return replace(run, **changes)


def test_forecast_run_is_deterministic_and_json_serializable(source):
    run = run_of(source)
    assert ForecastRun.from_dict(json.loads(json.dumps(asdict(run)))) == run
    first, second = (run.perform(source) for _ in range(2))
    assert first.result == second.result and first.result["best_step"] in (4, 8, 12)
    assert json.loads(json.dumps(first.result, allow_nan=False))["validation"][0]["accuracy"] is None
    assert {"mae", "rmse", "mape", "mse", "count", "by_step", "loss"} <= set(first.result["test"])
    assert len(first.result["test"]["by_step"]) == 2 and first.result["test"]["loss"] == first.result["test"]["mae"]
    assert run.estimate(source) > 0


def write_counts(folder, factor):
    """Hourly counts of which a fifth are 0, times a factor; the values, and the source of the file."""
    rng = np.random.default_rng(0)
    values = np.maximum(0, np.round(300 * rng.normal(size=(120, 3)).cumsum(0) + 500)) * factor
    hours = np.datetime64("2024-01-01T00") + np.arange(120)
    lines = ["time,a,b,c", *(f"{hour},{a!r},{b!r},{c!r}" for hour, (a, b, c) in zip(hours, values.tolist()))]
    (folder / f"{factor}.csv").write_text("\n".join(lines) + "\n")
    (folder / "edges.csv").write_text("from,to\na,b\nb,c\n")
    return values, DataSource(str(folder / f"{factor}.csv"), str(folder / "edges.csv"))


def test_forecast_relative_scores_do_not_depend_on_the_units_of_the_file(tmp_path):
    tests = []
    for factor in (1.0, 1000.0, 0.001):
        values, source = write_counts(tmp_path, factor)
        baseline = ForecastBaseline("forecast", source.identity(), "persistence", PROTOCOL, False)
        tests.append(
            (baseline.perform(source).result["test"], run_of(source).perform(source).result["test"])
        )
        truth = np.stack([values[start : start + 2] for start in range(99, 119)])
        last = np.stack([values[start - 1 : start] for start in range(99, 119)])
        error, found = np.abs(last - truth), tests[-1][0]
        assert 0.05 < (truth == 0).mean() < 0.9
        assert found["mape"] == pytest.approx((error[truth > 0] / truth[truth > 0]).mean(), rel=1e-6)
        assert found["mape_count"] == (truth > 0).sum() and found["mae"] == pytest.approx(error.mean(), rel=1e-6)
        assert found["wape"] == pytest.approx(error.sum() / truth.sum(), rel=1e-6)
        unit = np.abs(values[24:72] - values[:48]).mean(0)  # a day earlier, in the first 60% of 120 hours
        assert found["mase"] == pytest.approx((error / unit).mean(), rel=1e-6) and found["mase_season"] == 24
    for name in ("mape", "wape", "smape", "mase", "mape_count"):
        for test in zip(*tests):
            assert [scores[name] for scores in test[1:]] == pytest.approx([test[0][name]] * 2, rel=1e-4), name


@pytest.mark.parametrize("metric", ["mae", "rmse", "mape", "wape", "smape", "mase"])
def test_forecast_run_stores_errors_of_each_test_window(source, metric):
    protocol = replace(PROTOCOL, metric=metric)
    runs = run_of(source, protocol=protocol), ForecastBaseline("forecast", source.identity(), "ar", protocol, False)
    for run in runs:
        test = json.loads(json.dumps(run.perform(source).result))["test"]
        errors, counts = test["windows"]["errors"], test["windows"]["counts"]
        assert counts == [6] * 12 and sum(counts) == test["count"]  # 2 steps at 3 nodes; 16 steps hold 12 windows
        mean = sum(errors) / sum(counts)
        assert test[metric] == pytest.approx(mean**0.5 if metric == "rmse" else mean, rel=1e-6)


def test_forecast_run_refit_takes_the_best_number_of_steps(source, tmp_path):
    seen = []
    run = run_of(source, refit=True)
    outcome = run.perform(source, RunControl(lambda step, *_: seen.append(step), tmp_path / "run", save_every=0))
    assert seen == [*range(1, 13), *range(1, outcome.result["best_step"] + 1)]
    plain = run_of(source).perform(source)
    assert outcome.result["validation"] == plain.result["validation"]
    assert outcome.result["weights_sha256"] != plain.result["weights_sha256"]


def test_forecast_run_refit_ignores_other_stopping_criteria(source, monkeypatch):
    seen = []
    fit = run_module.fit
    monkeypatch.setattr(run_module, "fit", lambda *given, **named: seen.append(given[2]) or fit(*given, **named))
    train = replace(TRAIN, min_steps=100, patience=3, max_seconds=60.0)
    run_of(source, refit=True, train=train).perform(source)
    first, again = seen
    assert (first.min_steps, first.patience, first.max_seconds) == (100, 3, 60.0)
    assert (again.min_steps, again.patience, again.max_seconds, again.monitor) == (None, None, None, "last")


@pytest.mark.parametrize("part", [".", "refit"])
def test_forecast_run_damaged_checkpoint_raises_value_error(source, tmp_path, part):
    (tmp_path / "run" / part).mkdir(parents=True)
    (tmp_path / "run" / part / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"last.safetensors.*; move it away, and the run starts again"):
        run_of(source, refit=True).perform(source, RunControl(folder=tmp_path / "run"))


def test_forecast_run_interrupted_resumes_to_equal_result(source, tmp_path):
    run = run_of(source, refit=True)
    whole = run.perform(source)

    class Stop(Exception):
        pass

    for after in (7, 15):
        taken = []

        def count(*_):
            taken.append(1)  # noqa: B023 (used at once)
            if len(taken) == after:  # noqa: B023
                raise Stop

        with pytest.raises(Stop):
            run.perform(source, RunControl(count, tmp_path / str(after), save_every=0))
        gone_on = []
        again = run.perform(source, RunControl(lambda *_: gone_on.append(1), tmp_path / str(after), save_every=0))  # noqa: B023
        assert again.result == whole.result
        assert len(gone_on) <= 12 + whole.result["best_step"] - after + 1


@pytest.mark.parametrize("name", ["persistence", "mean", "ar", "ar-node", "ar-graph", "seasonal"])
def test_forecast_baseline_scores_as_many_values_as_a_run(source, name):
    period = 4 if name == "seasonal" else None
    run = ForecastBaseline("forecast", source.identity(), name, PROTOCOL, True, period)
    result = run.perform(source).result
    assert result["test"]["count"] == run_of(source).perform(source).result["test"]["count"]
    assert (result["strength"] is not None) == name.startswith("ar")


def test_forecast_run_of_changed_data_raises_value_error(source):
    run = run_of(source)
    text = source.identity()
    path = source.data
    with open(path, "a") as file:
        file.write("1,2,3\n")
    assert source.identity() != text
    with pytest.raises(ValueError, match="it was changed after the comparison began"):
        run.perform(source)


def test_forecast_run_from_dict_of_other_config_raises():
    with pytest.raises(ValueError, match="ForecastRun: expected the configuration of a run"):
        ForecastRun.from_dict({"task": "forecast"})
