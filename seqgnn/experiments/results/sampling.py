"""The error that the test set gives a difference of two models, or of a model and a baseline."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from seqgnn.experiments.runs.forecast_config import ForecastRun
from seqgnn.experiments.runs.record import BaselineRecord, RunRecord
from seqgnn.metrics.model_differences import SamplingError
from seqgnn.metrics.significance import smoothed_error
from seqgnn.metrics.window_significance import OverWindows, over_windows

Records: TypeAlias = Sequence[RunRecord | BaselineRecord]


def difference_error(first: Records, second: Records, metric: str, size: int) -> SamplingError | None:
    """Return the error that the test set gives the difference of two mean scores; None where it is not known.

    Accuracies and mean squared errors are compared as if each model had a test set of its own, which is conservative:
    models err on the same samples more often than by chance. Seeds do not reduce the error, since they share the test
    set. Forecasts are compared window by window.
    """
    error, other_error = score_error(first, metric), score_error(second, metric)
    if error is not None and other_error is not None:
        return SamplingError(math.hypot(error, other_error))
    over = compare_windows(first, second, metric, size)
    return None if over is None else over.error


def score_error(records: Records, metric: str) -> float | None:
    """Return the standard error that the test set gives the mean score of a model or baseline; None where it is not
    known."""
    if metric == "accuracy":
        return accuracy_error(records)
    if metric != "mse":
        return None
    errors = [record.result.test.values.get("mse_se") for record in records]
    known = [error for error in errors if error is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(errors) else None


def accuracy_error(records: Records) -> float:
    """Return the standard error that the test set gives the mean accuracy of a model or baseline."""
    scores = [score for record in records if (score := record.result.test.values.get("accuracy")) is not None]
    return smoothed_error(math.fsum(scores) / len(scores), records[0].result.test.count)


def compare_windows(first: Records, second: Records, metric: str, size: int) -> OverWindows | None:
    """Return the difference of two forecasters over test windows, for the seeds that both have; None if a run stores
    no errors by window. A baseline is the same for all seeds."""
    tests, other_tests = ({getattr(record.config, "seed", 0): record.result.test for record in row}
                          for row in (first, second))  # fmt: skip
    seeds = [seed for seed in tests if seed in other_tests]
    if second and isinstance(second[0], BaselineRecord):
        seeds, other_tests = list(tests), dict.fromkeys(tests, second[0].result.test)
    config = first[0].config
    windows = [[test.windows for seed in seeds if (test := row[seed]).windows is not None]
               for row in (tests, other_tests)]  # fmt: skip
    if not seeds or not isinstance(config, ForecastRun) or any(len(sums) < len(seeds) for sums in windows):
        return None
    errors, other_errors = (tuple(sums.errors for sums in row) for row in windows)
    return _over_windows(errors, other_errors, windows[0][0].counts, config.protocol.lags, size, metric == "rmse")


@lru_cache(maxsize=512)
def _over_windows(
    first: tuple[tuple[float, ...], ...],
    second: tuple[tuple[float, ...], ...],
    counts: tuple[int, ...],
    lags: int,
    horizon: int,
    root: bool,
) -> OverWindows:
    """Return `over_windows`, once for each pair of forecasters: tables, notes and figures of a comparison share it."""
    return over_windows(first, second, counts, lags=lags, horizon=horizon, root=root)
