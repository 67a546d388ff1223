"""The best run of a folder, chosen on the validation set."""

from dataclasses import replace

import pytest

from seqgnn.experiments.runs.forecast_config import ForecastBaseline
from seqgnn.experiments.trained.best_forecast import best_forecast
from seqgnn.experiments.trained.forecast import load_record
from tests.support.stored_runs import PROTOCOL, TRAIN, keep, run_of, write_signal


def keep_baselines(source, folder, refit=False):
    return {name: keep(ForecastBaseline("forecast", source.identity(), name, PROTOCOL, refit), source, folder)
            for name in ("persistence", "mean")}  # fmt: skip


def persistence_error(graph, starts):
    """The mean absolute error of repeating the last value, over windows of 3 + 2 steps, by hand."""
    x = graph.targets[..., 0]
    errors = [(x[start + 3 + ahead] - x[start + 2]).abs() for start in starts for ahead in (0, 1)]
    return sum(float(error.sum()) for error in errors) / (len(errors) * x.shape[1])


@pytest.mark.parametrize("refit", [False, True])
def test_best_forecast_scores_baselines_on_validation(tmp_path, refit):
    source = write_signal(tmp_path)
    paths = keep_baselines(source, tmp_path / "runs", refit)
    graph = source.load()
    found = best_forecast(tmp_path, graph)
    # 60 steps in parts of 36, 12 and 12: windows of five steps among steps 36 to 47.
    starts = range(36, 48 - 4)
    assert (found.label, found.seed, found.path) == ("persistence", None, paths["persistence"])
    assert (found.metric, found.runs, found.baselines) == ("mae", 0, 2)
    assert found.score == pytest.approx(persistence_error(graph, starts), rel=1e-6)


def test_best_forecast_of_models_is_the_lowest_validation_error(tmp_path):
    source = write_signal(tmp_path)
    runs = [run_of(source, seed=seed, train=replace(TRAIN, steps=steps, eval_every=2))
            for seed, steps in ((0, 2), (1, 60))]  # fmt: skip
    paths = [keep(run, source, tmp_path / "runs") for run in runs]
    baselines = keep_baselines(source, tmp_path / "runs")
    found = best_forecast(tmp_path, source.load())
    scores = {}
    for path in paths:
        result = load_record(path).result
        scores[path] = min(point.loss for point in result.validation)
    best = min(scores, key=scores.get)
    assert found.runs == 2 and found.baselines == 2
    if found.path not in baselines.values():
        assert (found.path, found.score, found.label) == (best, scores[best], "GCRN")
    else:
        assert found.score < scores[best]
    for path in baselines.values():
        path.unlink()
    found = best_forecast(tmp_path / "runs", source.load(), horizon=2)
    assert (found.path, found.score, found.seed) == (best, scores[best], paths.index(best))


def test_best_forecast_of_several_horizons_or_protocols_raises_value_error(tmp_path):
    source = write_signal(tmp_path)
    keep_baselines(source, tmp_path / "runs")
    longer = replace(PROTOCOL, horizon=3)
    keep(ForecastBaseline("forecast", source.identity(), "mean", longer, False), source, tmp_path / "runs")
    with pytest.raises(ValueError, match=r"expected one horizon in .*, got 2 and 3; pass --horizon"):
        best_forecast(tmp_path, source.load())
    assert best_forecast(tmp_path, source.load(), horizon=3).label == "mean"
    with pytest.raises(ValueError, match=r"forecasters with horizon 5 in .*, got runs with horizons 2 and 3"):
        best_forecast(tmp_path, source.load(), horizon=5)
    other = ForecastBaseline("forecast", source.identity(), "mean", replace(PROTOCOL, lags=4), False)
    keep(other, source, tmp_path / "runs")
    with pytest.raises(ValueError, match=r"expected runs of one time series and protocol in .*, got several"):
        best_forecast(tmp_path, source.load(), horizon=2)
