"""Comparisons of forecasters with known errors in each test window."""

from seqgnn.experiments import Comparison, ForecasterSpec
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.record import (
    BaselineRecord,
    BaselineResult,
    HeldOutScores,
    Measured,
    RunRecord,
    TrainingResult,
)
from seqgnn.metrics.forecasting import WindowSums
from seqgnn.tasks import Protocol
from seqgnn.training.config import TrainConfig

ROWS = {"LSTM": "lstm", "GRU": "gru", "GCRN": "gcrn"}


def record(errors, model="lstm", seed=0, lags=4, metric="mse"):
    mean = sum(errors) / (2 * len(errors))
    score = mean**0.5 if metric == "rmse" else mean
    config = ForecastRun(
        "forecast", "signal (0123)", model, 4, 1, 2, False, True, False, 0.0, Protocol(lags=lags), False, seed, "cpu",
        TrainConfig(),
    )  # fmt: skip
    windows = WindowSums(tuple(errors), (2,) * len(errors))
    scores = dict.fromkeys(("mae", "rmse", "mse", "mape", "loss"), score)
    result = TrainingResult(HeldOutScores(scores, 2 * len(errors), windows=windows), 1, 1, "steps", 10, (1.0,), ())
    return RunRecord(config, ForecasterSpec(model, model), result, Measured(1.0))


def comparison(errors, baselines, metric="mse"):
    """One step ahead; by label the sums of squares of each seed, window by window."""
    found = Comparison("forecast", metric, tuple(errors), (1,), tuple(range(len(next(iter(errors.values()))))))
    for label, seeds in errors.items():
        for seed, sums in enumerate(seeds):
            found.runs[label, 1, seed] = record(sums, ROWS[label], seed, metric=metric)
    for name, sums in baselines.items():
        scores = record(sums, metric=metric).result.test
        config = ForecastBaseline("forecast", "signal (0123)", name, Protocol(), False)
        found.baselines[name, 1] = BaselineRecord(config, BaselineResult(scores), Measured(1.0))
    return found


WEEKS = {
    "LSTM": [[4.0, 4.0, 4.0, 4.0], [4.0, 4.0, 4.0, 6.0]],
    "GRU": [[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0]],
    "GCRN": [[3.0, 3.0, 3.0, 7.0], [3.0, 3.0, 3.0, 5.0]],
}
MEANS = {"mean": [9.0, 9.0, 9.0, 9.0], "ar": [4.0, 4.0, 4.0, 8.0]}
