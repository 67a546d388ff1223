"""The leading difference of comparisons whose scores are known, against scipy's paired t test."""

import math

import pytest
from scipy import stats

from seqgnn.experiments.results.leading_difference import leading_difference
from tests.support.comparisons import grid


def of_scipy(first, second):
    """Return the mean and the width of the 95% interval."""
    low, high = stats.ttest_rel(first, second).confidence_interval(0.95)
    return pytest.approx((low + high) / 2), pytest.approx(high - low)


def test_leading_difference_is_between_the_two_best_means():
    scores = {"worst": [0.1, 0.2, 0.3], "second": [0.4, 0.45, 0.65], "best": [0.5, 0.7, 0.6]}
    lead = leading_difference(grid(scores, {"chance": 0.1}), 5)
    assert (lead.first, lead.second, lead.seeds) == ("best", "second", 3)
    assert (lead.mean, lead.width) == of_scipy(scores["best"], scores["second"])
    lead = leading_difference(grid(scores, {"chance": 0.1}, metric="loss"), 5)
    assert (lead.first, lead.second) == ("worst", "second") and lead.mean == pytest.approx(-0.3)
    assert lead.width == of_scipy(scores["worst"], scores["second"])[1]


def test_leading_difference_of_a_single_model_is_from_the_best_baseline():
    scores = [0.5, 0.7, 0.6]
    lead = leading_difference(grid({"A": scores}, {"chance": 0.1, "majority": 0.2}), 5)
    assert (lead.first, lead.second, lead.seeds) == ("A", "majority", 3)
    assert (lead.mean, lead.width) == of_scipy(scores, [0.2] * 3)


def test_leading_difference_without_two_models_or_a_baseline_is_none():
    assert leading_difference(grid({"A": [0.5, 0.7]}), 5) is None
    assert leading_difference(grid({"A": [0.5, 0.7]}, {"chance": 0.1}), 6) is None


def test_leading_difference_pairs_common_seeds():
    comparison = grid({"A": [0.5, 0.8, 0.6, 0.9], "B": [0.4, 0.45, 0.65, 0.2]})
    del comparison.runs["A", 5, 0], comparison.runs["B", 5, 3]
    lead = leading_difference(comparison, 5)
    assert (lead.mean, lead.width) == of_scipy([0.8, 0.6], [0.45, 0.65]) and lead.seeds == 2
    del comparison.runs["B", 5, 1]
    lead = leading_difference(comparison, 5)
    assert (lead.mean, lead.width, lead.seeds) == (pytest.approx(0.6 - 0.65), math.inf, 1)
    del comparison.runs["A", 5, 2]
    lead = leading_difference(comparison, 5)
    assert math.isnan(lead.mean) and (lead.width, lead.seeds) == (math.inf, 0)
