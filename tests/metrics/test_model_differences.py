"""Differences between models: against scipy's t test and signs by hand, and how often they are shown by chance."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from seqgnn.metrics.model_differences import SamplingError, _flip_interval, differences, differences_from, half_width


def by_seed(values):
    return dict(enumerate(values))


def test_differences_of_few_seeds_equal_the_paired_t_test():
    a, b = [0.91, 0.83, 0.97, 0.88], [0.80, 0.81, 0.83, 0.79]
    (pair,) = differences({"A": by_seed(a), "B": by_seed(b)})
    test = stats.ttest_rel(a, b)
    assert pair.p == pytest.approx(test.pvalue) == pair.corrected and pair.test == "t" and not pair.test_set
    assert pair.interval == pytest.approx(tuple(test.confidence_interval(0.95))) == pair.joint
    assert str(pair) == (
        f"A and B: no significant difference (+0.090, uncorrected 95% interval {pair.interval[0]:+.3f} to "
        f"{pair.interval[1]:+.3f}; corrected p = {test.pvalue:.3f} by t, 4 seeds)"
    ).replace("no significant difference", "differ" if test.pvalue < 0.05 else "no significant difference")


def test_differences_include_the_error_of_the_test_set():
    a, b, error = [0.9, 0.8, 1.0], [0.5, 0.6, 0.7], SamplingError(0.05)
    (pair,) = differences({"A": by_seed(a), "B": by_seed(b)}, lambda *_: error)
    half = math.hypot(stats.t.isf(0.025, 2) * 0.1 / math.sqrt(3), stats.norm.isf(0.025) * 0.05)
    assert pair.interval == pytest.approx((0.3 - half, 0.3 + half)) and pair.test_set
    tail = pair.p / 2
    half = math.hypot(stats.t.isf(tail, 2) * 0.1 / math.sqrt(3), stats.norm.isf(tail) * 0.05)
    assert half == pytest.approx(0.3)  # the interval at this p just includes zero


def test_differences_of_one_seed_have_the_error_of_the_test_set_alone():
    scores = {"A": {0: 0.9}, "B": {0: 0.5}}
    assert differences(scores) == []
    (pair,) = differences(scores, lambda *_: SamplingError(0.2))
    assert pair.p == pytest.approx(2 * stats.norm.sf(2)) and pair.seeds == 1 and pair.shown
    (pair,) = differences(scores, lambda *_: SamplingError(0.2, df=3))
    assert pair.p == pytest.approx(2 * stats.t.sf(2, 3)) and not pair.shown
    assert differences({"A": {0: 0.9}, "B": {1: 0.5}}, lambda *_: SamplingError(0.2)) == []


def test_differences_without_any_spread_are_certain():
    (pair,) = differences({"A": {0: 1.0, 1: 1.0}, "B": {0: 0.5, 1: 0.5}})
    assert pair.p < 1e-15 and pair.interval == (0.5, 0.5)
    (pair,) = differences({"A": {0: 1.0, 1: 1.0}, "B": {0: 1.0, 1: 1.0}})
    assert pair.p == 1 and not pair.shown


def test_differences_are_corrected_by_holm_and_those_from_the_best_by_bonferroni():
    scores = {"A": by_seed([0.9, 0.8, 1.0]), "B": by_seed([0.5, 0.6, 0.7]), "C": by_seed([0.85, 0.9, 0.7])}
    scores["D"] = {5: 1.0}
    pairs = {(pair.first, pair.second): pair for pair in differences(scores)}
    assert set(pairs) == set(itertools.combinations("ABC", 2))
    smallest = min(pairs.values(), key=lambda pair: pair.p)
    assert smallest.corrected == pytest.approx(3 * smallest.p)
    best = differences_from("A", scores)
    assert [pair.second for pair in best] == ["B", "C"]
    assert [pair.corrected for pair in best] == pytest.approx([min(1, 2 * pair.p) for pair in best])
    half = stats.t.isf(0.025 / 2, 2) * 0.1 / math.sqrt(3)
    assert best[0].joint == pytest.approx((0.3 - half, 0.3 + half))


@pytest.mark.parametrize("others", [1, 2, 5])
def test_sign_flips_follow_once_they_can_be_significant(others):
    for seeds in range(2, 12):
        a = [0.9 + 0.01 * seed for seed in range(seeds)]
        scores = {"A": by_seed(a)} | {f"B{n}": by_seed([0.5] * seeds) for n in range(others)}
        pairs = differences_from("A", scores)
        flips = seeds >= 6 and others * 2 / 2**seeds < 0.05
        assert {pair.test for pair in pairs} == {"t and sign flips" if flips else "t"}
        assert all(pair.shown for pair in pairs if seeds > 2)  # more seeds never give less
        if flips:
            assert pairs[0].p == 2 / 2**seeds and pairs[0].least == others * 2 / 2**seeds


def test_sign_flips_ignore_seeds_without_a_difference():
    tied = differences({"A": by_seed([1.0] + [2.0] * 5), "B": by_seed([1.0] * 6)})[0]
    assert tied.test == "t"  # five nonzero differences give at least 2 / 2^5
    assert differences({"A": by_seed([1.0] + [2.0] * 6), "B": by_seed([1.0] * 7)})[0].test == "t and sign flips"


@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_interval_has_the_differences_that_are_not_rejected(seed):
    values = np.random.default_rng(seed).standard_normal(8) * 0.1 + 0.1
    signs = np.array(list(itertools.product([-1, 1], repeat=8)))

    def p(shift):
        return (abs((signs * (values - shift)).mean(1)) >= abs((values - shift).mean()) - 1e-12).mean()

    low, high = _flip_interval(values.tolist(), 0.05)
    width = high - low
    for inside, outside in ((low + 1e-6 * width, low - 1e-6 * width), (high - 1e-6 * width, high + 1e-6 * width)):
        assert p(inside) > 0.05 >= p(outside)
    (pair,) = differences({"A": by_seed(values), "B": by_seed([0.0] * 8)})
    test = stats.ttest_1samp(values, 0)
    assert pair.test == "t and sign flips" and pair.p == pytest.approx(max(p(0.0), test.pvalue))
    interval = test.confidence_interval(0.95)
    assert pair.interval == pytest.approx((min(low, interval.low), max(high, interval.high)))
    assert (pair.p < 0.05) == (not pair.interval[0] <= 0 <= pair.interval[1])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_sign_flip_interval_of_six_values_reaches_from_the_smallest_to_the_largest(scale):
    # p is at most 5% only where all six signs are equal: for differences beyond all values.
    values = [scale * value for value in (5.0, -1.0, -1.2, -0.9, -1.1, -0.5)]
    assert _flip_interval(values, 0.05) == pytest.approx((-1.2 * scale, 5.0 * scale))


def test_differences_ask_for_the_error_of_first_and_second():
    labels = []

    def error(first, second):
        labels.append((first, second))
        return None

    scores = {"A": by_seed([0.9, 0.8]), "B": by_seed([0.5, 0.6]), "C": by_seed([0.7, 0.7])}
    assert [(pair.first, pair.second) for pair in differences(scores, error)] == labels
    labels.clear()
    assert [(pair.first, pair.second) for pair in differences_from("B", scores, error)] == labels
    assert labels == [("B", "A"), ("B", "C")]


def test_sign_flips_do_not_replace_the_error_of_the_test_set():
    scores = {"A": by_seed([0.9] * 8), "B": by_seed([0.8] * 8)}
    (pair,) = differences(scores, lambda *_: SamplingError(0.1))
    assert pair.test == "t and sign flips" and pair.p == pytest.approx(2 * stats.norm.sf(1))


def test_sign_flips_of_equal_differences_have_an_interval():
    (pair,) = differences({"A": by_seed([0.5] * 6), "B": by_seed([0.25] * 6)})
    assert pair.test == "t and sign flips" and pair.interval == pytest.approx((0.25, 0.25)) and pair.shown


def test_difference_turned_negates_mean_and_intervals():
    pair = differences({"A": {0: 1e-4, 1: 2e-4}, "B": {0: 0.0, 1: 0.0}})[0]
    assert "+0.00015, uncorrected 95% interval -0.00049 to +0.001" in str(pair)
    assert pair.turned().interval == (-pair.interval[1], -pair.interval[0]) and pair.turned().turned() == pair
    assert (pair.turned().first, pair.turned().second, pair.turned().mean) == ("B", "A", -pair.mean)
    assert pair.turned().joint == (-pair.joint[1], -pair.joint[0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_differences_that_are_not_finite_raise_value_error(bad):
    for scores in ({0: 1.0, 1: bad}, {0: bad}):
        with pytest.raises(ValueError, match="differences: expected finite scores, got"):
            differences({"A": scores, "B": {0: 0.0, 1: 0.0}}, lambda *_: SamplingError(0.1))


def share_shown(models, seeds, draw, error, repetitions=400):
    """Return how often equal models differ: a model from the best at all, and the first model, which is truly best."""
    any_shown = first_shown = 0
    for repetition in range(repetitions):
        random = np.random.default_rng(repetition)
        scores = {str(model): by_seed(draw(random, seeds)) for model in range(models)}
        best = max(scores, key=lambda label: sum(scores[label].values()))
        shown = {pair.second for pair in differences_from(best, scores, lambda *_: error) if pair.shown}
        any_shown += bool(shown)
        first_shown += "0" in shown
    return any_shown / repetitions, first_shown / repetitions


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_equal_models_with_normal_scores_rarely_differ(seeds):
    test_error = 0.5  # of each model, next to a spread of 1 over seeds

    def draw(random, seeds):
        return random.standard_normal(seeds) + test_error * random.standard_normal()

    any_shown, first_shown = share_shown(4, seeds, draw, SamplingError(test_error * math.sqrt(2)))
    # Three in 400 standard errors: 0.026 around the promised 2.5%, 0.03 around 7%, the largest share for four models.
    assert first_shown <= 0.025 + 0.024 and any_shown <= 0.07 + 0.04
    assert half_width([SamplingError(0.0)], 0.025) == 0
