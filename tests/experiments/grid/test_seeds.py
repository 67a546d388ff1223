"""Seeds that are drawn until the leading difference is precise: the rule, and its error rate."""

import numpy as np
import pytest
from scipy import stats

from seqgnn.experiments.grid.seeds import AutoSeeds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_seeds": 2}, "AutoSeeds: expected max_seeds to be an integer of at least 3, got 2"),
        ({"interval_width": 0.0}, "expected interval_width to be a number above 0, got 0.0"),
        ({"interval_width": float("nan")}, "expected interval_width to be a number above 0, got nan"),
        ({"interval_width": "0.1"}, "expected interval_width to be a number above 0, got '0.1'"),
        ({"budget": True}, "expected budget to be a number above 0, got True"),
        ({"budget": float("inf")}, "expected budget to be a number above 0, got inf"),
    ],
)
def test_auto_seeds_invalid_values_raise_value_error(values, message):
    with pytest.raises(ValueError, match=message):
        AutoSeeds(**values)


def test_auto_seeds_in_words_state_width_limit_and_budget():
    assert AutoSeeds().in_words == (
        "one more at a time until the 95% interval of the leading difference is at most 0.05 (accuracy) or 2% of the "
        "best baseline (loss, error) wide; at most 20 seeds"
    )
    assert AutoSeeds(0.1, max_seeds=7, budget=60).in_words == (
        "one more at a time until the 95% interval of the leading difference is at most 0.1 wide; at most 7 seeds, "
        "and none after 60 s"
    )


def test_auto_seeds_limit_depends_on_the_metric_alone():
    assert AutoSeeds().limit(True, 0.1) == AutoSeeds().limit(True, None) == 0.05
    assert AutoSeeds().limit(False, 3.0) == pytest.approx(0.06) and AutoSeeds().limit(False, None) is None
    assert AutoSeeds(interval_width=0.5).limit(True, None) == AutoSeeds(interval_width=0.5).limit(False, 3.0) == 0.5


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8, 1.2])
def test_stopping_by_width_keeps_false_positives_near_the_level(ratio):
    """Two equal models with normal scores, whose differences have `ratio` widths as their standard deviation: the
    fraction of comparisons whose final 95% interval excludes zero. docs/comparisons.md has the same figures."""
    rule, repetitions = AutoSeeds(interval_width=0.05), 4000
    drawn = np.random.default_rng(0).normal(0, ratio * 0.05, (repetitions, rule.max_seeds))
    running, excludes_zero = np.ones(repetitions, dtype=bool), np.zeros(repetitions, dtype=bool)
    for seeds in range(len(rule.first), rule.max_seeds + 1):
        half = stats.t.ppf(0.975, seeds - 1) * drawn[:, :seeds].std(1, ddof=1) / np.sqrt(seeds)
        precise = 2 * half <= rule.limit(True, None)
        ends = running & (precise | (seeds == rule.max_seeds))
        excludes_zero[ends] = (np.abs(drawn[:, :seeds].mean(1)) > half)[ends]
        running &= ~ends
    assert 0.035 < excludes_zero.mean() < 0.115
