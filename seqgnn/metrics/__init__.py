"""Metrics over whole sets, and significance tests over seeds and over test windows.

Training losses are in :mod:`seqgnn.tasks`.
"""

from seqgnn.metrics.classification import ClassificationSums, Evaluation
from seqgnn.metrics.forecasting import ForecastScores, ForecastSums, forecast_loss, naive_error
from seqgnn.metrics.model_differences import differences
from seqgnn.metrics.regression import RegressionEvaluation, RegressionSums
from seqgnn.metrics.significance import holm, mean_sd, paired_difference, sign_flip, summary
from seqgnn.metrics.window_significance import OverWindows, over_windows

__all__ = [
    "ClassificationSums",
    "Evaluation",
    "ForecastScores",
    "ForecastSums",
    "OverWindows",
    "RegressionEvaluation",
    "RegressionSums",
    "differences",
    "forecast_loss",
    "holm",
    "mean_sd",
    "naive_error",
    "over_windows",
    "paired_difference",
    "sign_flip",
    "summary",
]
