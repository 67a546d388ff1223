"""Regression metrics against formulas over whole sets."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from seqgnn.metrics import RegressionSums


def test_regression_sums_over_unequal_batches_equal_numpy():
    generator = np.random.default_rng(0)
    prediction, target = generator.normal(size=(2, 1000)).astype(np.float32)
    sums = RegressionSums(0.5)
    for rows in (slice(0, 7), slice(7, 500), slice(500, 1000)):
        sums.add(torch.from_numpy(prediction[rows]), torch.from_numpy(target[rows]))
    result = sums.result()
    errors = prediction.astype(np.float64) - target
    assert result.mse == result.loss == pytest.approx((errors**2).mean(), rel=1e-12)
    assert result.mse_se == pytest.approx((errors**2).std() / math.sqrt(1000), rel=1e-9)
    assert (result.accuracy, result.count) == ((abs(prediction - target) < 0.5).mean(), 1000)


def test_regression_sums_of_equal_errors_have_no_standard_error():
    sums = RegressionSums(0.1)
    sums.add(torch.full((9,), 0.3), torch.zeros(9))
    assert sums.result().mse_se == pytest.approx(0.0, abs=1e-9)


def test_regression_sums_with_nan_are_not_finite():
    sums = RegressionSums(0.1)
    sums.add(torch.tensor([math.nan, 0.0]), torch.zeros(2))
    result = dataclasses.asdict(sums.result())
    assert [name for name, value in result.items() if math.isnan(value)] == ["loss", "mse", "mse_se"]
    assert result["accuracy"] == 0.5


def test_regression_sums_of_an_empty_set_raise():
    with pytest.raises(ValueError, match="RegressionSums: expected at least one target, got an empty set"):
        RegressionSums(0.1).result()
