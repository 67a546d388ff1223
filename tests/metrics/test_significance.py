"""Intervals and tests over seeds, against scipy's other functions and formulas from the papers."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from seqgnn.metrics import significance as statistics
from seqgnn.metrics.significance import (
    block_bootstrap,
    holm,
    least_p,
    mean_sd,
    p_value,
    paired_difference,
    sampling_error,
    seeds_needed,
    sign_flip,
    signed,
    smoothed_error,
    summary,
)


def mean_of(sums):
    return sums[0] / sums[1]


def test_summary_t_interval_equals_scipy():
    scores = [0.91, 0.83, 0.97, 0.88]
    found = summary(scores)
    expected = stats.t.interval(0.95, 3, np.mean(scores), stats.sem(scores))
    assert found.t == pytest.approx(expected) and found.seeds == 4
    low, high = found.bootstrap
    assert min(scores) <= low < found.mean < high <= max(scores)
    assert high - low < found.t[1] - found.t[0]


def test_summary_of_one_score_has_no_interval():
    assert summary([0.5]).t is None and summary([0.5]).bootstrap is None
    assert summary([0.5, 0.5]).bootstrap == (0.5, 0.5) and summary([0.5, 0.5]).t == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least one"):
        summary([])


@pytest.mark.parametrize("values", [[0.3, 0.1, -0.2, 0.4, 0.05], [1.0] * 6, [-0.5, 0.5]])
def test_sign_flip_equals_enumeration_of_all_signs(values):
    means = [np.dot(signs, values) for signs in itertools.product([-1, 1], repeat=len(values))]
    expected = np.mean(np.abs(means) >= abs(sum(values)) - 1e-12)
    assert sign_flip(values) == pytest.approx(expected)


def test_sign_flip_of_zeros_is_one():
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0


def test_holm_equals_hand_values_in_given_order():
    assert holm([0.04, 0.001, 0.5]) == pytest.approx([0.08, 0.003, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


BAD = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "call",
    [
        lambda bad: sign_flip([1.0, bad, 2.0]),
        lambda bad: holm([0.01, bad]),
        lambda bad: mean_sd([1.0, bad]),
        lambda bad: mean_sd([bad]),
        lambda bad: summary([bad]),
        lambda bad: summary([0.5, bad, 0.5]),
        lambda bad: paired_difference([1.0, bad], [0.0, 0.0]),
        lambda bad: paired_difference([0.0, 0.0], [1.0, bad]),
        lambda bad: paired_difference([1.0, 2.0], [0.0, 0.0], level=bad),
        lambda bad: sampling_error(bad, 10),
        lambda bad: sampling_error(0.5, bad),
        lambda bad: smoothed_error(bad, 10),
        lambda bad: smoothed_error(0.5, bad),
        lambda bad: block_bootstrap([[1.0, bad, 1.0]], 1, mean_of),
        lambda bad: seeds_needed(bad),
    ],
)
def test_values_that_are_not_finite_raise_value_error(call, bad):
    with pytest.raises(ValueError, match=": expected"):
        call(bad)


@pytest.mark.parametrize("models", [1, 0, -3, 2.0, True, "4", None])
def test_seeds_needed_of_no_number_of_models_raises_value_error(models):
    with pytest.raises(ValueError, match="seeds_needed: expected a number of models of at least 2, got"):
        seeds_needed(models)


def test_seeds_needed_is_the_first_number_that_can_be_significant():
    for models in range(2, 30):
        seeds = seeds_needed(models)
        assert (models - 1) * 2 / 2**seeds < 0.05 <= (models - 1) * 2 / 2 ** (seeds - 1)


def test_sign_flip_of_few_or_equal_values_is_one():
    assert sign_flip([0.3]) == 1.0 and sign_flip([0.0, 0.0]) == 1.0


def test_sign_flip_of_many_values_equals_random_signs():
    values = np.random.default_rng(3).standard_normal(20) + 0.4
    test = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0)
    assert sign_flip(values.tolist()) == pytest.approx(test.pvalue, abs=0.01)


def test_sign_flip_of_many_equal_values_is_one_of_ten_thousand():
    assert sign_flip([0.2] * 20) == pytest.approx(1 / 10_000)  # none of the random assignments has equal signs


@pytest.mark.parametrize("p, text", [(0.00095, "< 0.001"), (0.001, "= 0.001"), (0.9996, "= 1.000")])
def test_p_value_below_one_in_a_thousand_is_a_bound(p, text):
    assert p_value(p) == text


@pytest.mark.parametrize("value, text", [(0.00051, "+0.001"), (-0.0005, "-0.001"), (0.00049, "+0.00049")])
def test_signed_has_three_decimals_unless_all_would_be_zeros(value, text):
    assert signed(value) == text


def test_least_p_is_that_of_the_two_assignments_with_equal_signs():
    assert [least_p(seeds) for seeds in (0, 1, 2, 6)] == [1.0, 1.0, 2 / 4, 2 / 64]
    assert all(least_p(seeds) == sign_flip([1.0] * seeds) for seeds in range(1, 8))


def test_sampling_errors_equal_binomial_values():
    assert sampling_error(0.9, 100) == pytest.approx(0.03)
    assert smoothed_error(1.0, 98) == pytest.approx(math.sqrt(0.99 * 0.01 / 100))
    assert smoothed_error(0.0, 98) == pytest.approx(smoothed_error(1.0, 98))
    with pytest.raises(ValueError, match=r"got 1\.1 and 5"):
        smoothed_error(1.1, 5)
    with pytest.raises(ValueError, match=r"got 0\.5 and 0"):
        sampling_error(0.5, 0)


def test_block_bootstrap_of_block_one_equals_scipy_bootstrap():
    values = np.random.default_rng(0).standard_normal(40)
    found = block_bootstrap([values, np.ones(40)], 1, mean_of)
    of_scipy = stats.bootstrap((values,), np.mean, method="percentile", random_state=np.random.default_rng(1))
    assert found == pytest.approx(tuple(of_scipy.confidence_interval), abs=0.02)
    assert found == block_bootstrap([values, np.ones(40)], 1, mean_of)  # seeded


def test_block_bootstrap_resamples_circular_blocks():
    seen = []

    def keep(sums):
        seen.append(sums)
        return sums[0]

    block_bootstrap([[1.0, 10.0, 100.0, 1000.0]], 2, keep)
    blocks = (11.0, 110.0, 1100.0, 1001.0)  # from each place on
    assert set(seen[0][0]) == {first + second for first in blocks for second in blocks}
    assert block_bootstrap([[1.0, 3.0] * 20, [1.0] * 40], 2, mean_of) == (2.0, 2.0)


@pytest.mark.parametrize("windows, block", [(59, 20), (10, 3), (7, 7), (12, 4), (5, 1)])
def test_block_bootstrap_resamples_as_many_values_as_there_are(monkeypatch, windows, block):
    """As arch's `CircularBlockBootstrap` does: ceil(n / block) blocks, of which the last is cut."""
    values = np.random.default_rng(1).standard_normal(windows)
    starts = np.random.default_rng(0).integers(windows, size=(statistics.RESAMPLES, -(-windows // block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(len(starts), -1)[:, :windows] % windows
    low, high = np.quantile(values[places].mean(1), [0.025, 0.975])
    assert block_bootstrap([values, np.ones(windows)], block, mean_of) == pytest.approx((low, high))


@pytest.mark.parametrize("block, least, most", [(1, 0.6, 0.8), (12, 0.86, 0.97)])
def test_block_bootstrap_longer_blocks_cover_mean_more_often(monkeypatch, block, least, most):
    monkeypatch.setattr(statistics, "RESAMPLES", 299)
    random, held = np.random.default_rng(0), 0
    for _ in range(300):
        noise = random.standard_normal(400)
        values = [0.0]
        for shock in noise:
            values.append(0.5 * values[-1] + shock)
        low, high = block_bootstrap([values[101:], [1.0] * 300], block, mean_of)
        held += low <= 0 <= high
    assert least < held / 300 < most


@pytest.mark.parametrize("series, block", [([[1.0, 2.0]], 3), ([[1.0, 2.0]], 0), ([1.0, 2.0], 1), ([[1.0, np.nan]], 1)])
def test_block_bootstrap_invalid_arguments_raise_value_error(series, block):
    with pytest.raises(ValueError, match=r"block_bootstrap: expected finite series \[K, n\] and a block from 1 to n"):
        block_bootstrap(series, block, mean_of)


def test_mean_sd_equals_mean_and_sample_standard_deviation():
    assert mean_sd([2.0, 4.0]) == (3.0, pytest.approx(math.sqrt(2)))
    mean, sd = mean_sd([0.25])
    assert mean == 0.25 and math.isnan(sd)
    with pytest.raises(ValueError, match="at least one value"):
        mean_sd([])


def test_paired_difference_interval_equals_student_t():
    # differences 1, 2, 3: mean 2, sd 1; t(0.975, 2 degrees of freedom) = 4.302653
    mean, half = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least 2 scores"):
        paired_difference([1.0], [1.0])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5])
def test_paired_difference_level_outside_of_zero_and_one_raises_value_error(level):
    with pytest.raises(ValueError, match=r"paired_difference: expected level in \(0, 1\), got"):
        paired_difference([1.0, 2.0], [1.0, 1.0], level)
