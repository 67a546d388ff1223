"""Errors of the test set, by hand."""

import math

import numpy as np
import pytest

from seqgnn.experiments.results.sampling import accuracy_error, compare_windows, difference_error, score_error
from tests.support import window_errors
from tests.support.comparisons import changed, grid


def test_accuracy_error_is_that_of_the_mean_smoothed():
    comparison = grid({"A": [0.4, 0.6], "B": [1.0]}, {"chance": 0.1}, count=98)
    assert accuracy_error(comparison.of("A", 5)) == pytest.approx(0.05)
    assert accuracy_error(comparison.of("B", 5)) == pytest.approx(math.sqrt(0.99 * 0.01 / 100))
    error = difference_error(comparison.of("A", 5), [comparison.baselines["chance", 5]], "accuracy", 5)
    share = (9.8 + 1) / 100
    assert error.standard_error == pytest.approx(math.sqrt(0.05**2 + share * (1 - share) / 100))
    assert error.df == math.inf
    assert difference_error(comparison.of("A", 5), comparison.of("B", 5), "loss", 5) is None


def test_score_error_of_squared_errors_is_that_of_the_test_set():
    comparison = grid({"A": [0.2, 0.4], "B": [0.1]}, {"constant": 0.5}, task="adding", metric="mse")
    assert score_error(comparison.of("A", 5), "mse") is None  # not stored
    stored = [changed(run, values={"mse": 0.3, "mse_se": error})
              for run, error in zip((*comparison.of("A", 5), *comparison.of("B", 5)), (0.02, 0.04, 0.04))]  # fmt: skip
    assert score_error(stored[:2], "mse") == pytest.approx(0.03)
    assert score_error(stored, "loss") is None
    assert difference_error(stored[:2], stored[2:], "mse", 5).standard_error == pytest.approx(0.05)
    assert difference_error(stored[:2], comparison.of("B", 5), "mse", 5) is None


def test_difference_error_of_forecasts_is_that_over_common_seeds_and_windows():
    first, second = np.random.default_rng(0).random((2, 2, 7))
    comparison = window_errors.comparison({"LSTM": first.tolist(), "GRU": second.tolist()}, {"ar": [0.5] * 7})
    runs, others = comparison.of("LSTM", 1), comparison.of("GRU", 1)
    error = difference_error(runs, others, "mse", 1)
    paired = (first - second).mean(0) / 2
    assert (error.standard_error, error.df) == (pytest.approx(paired.std(ddof=1) / math.sqrt(7)), 6)
    one = compare_windows(runs, others[1:], "mse", 1)
    assert one.mean == pytest.approx((first - second)[1].mean() / 2)
    baseline = compare_windows(runs, [comparison.baselines["ar", 1]], "mse", 1)
    assert baseline.mean == pytest.approx(first.mean() / 2 - 0.25)
    assert compare_windows(runs, [changed(others[0], windows=None), others[1]], "mse", 1) is None
    assert compare_windows(runs[:1], others[1:], "mse", 1) is None
