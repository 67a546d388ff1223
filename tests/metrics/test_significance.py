"""Intervals and tests over seeds, against scipy's other functions and formulas from the papers."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from seqgnn.metrics import significance as statistics
from seqgnn.metrics.significance import (
    block_bootstrap,
    differences,
    holm,
    mean_sd,
    paired_difference,
    sign_flip,
    summary,
)


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


def test_differences_are_holm_corrected_and_printed():
    seeds = range(8)
    scores = {
        "A": {seed: 0.9 + 0.001 * seed for seed in seeds},
        "B": {seed: 0.5 + 0.002 * seed for seed in seeds},
        "C": {seed: 0.9 + 0.001 * seed + (0.01 if seed % 2 else -0.01) for seed in seeds},
        "D": {0: 0.1},
    }
    pairs = {(pair.first, pair.second): pair for pair in differences(scores)}
    assert set(pairs) == {("A", "B"), ("A", "C"), ("B", "C")}
    assert pairs["A", "B"].shown and pairs["A", "B"].corrected == pytest.approx(3 * 2 / 2**8)
    assert not pairs["A", "C"].shown
    assert str(pairs["A", "B"]).startswith("A and B: differ (+0.3") and "p = 0.023, 8 seeds" in str(pairs["A", "B"])
    assert str(pairs["A", "C"]).startswith("A and C: no significant difference (")


def test_differences_of_few_seeds_are_not_testable():
    few = {seed: 0.5 + 0.01 * seed for seed in range(3)}
    many = {seed: 0.9 + 0.01 * seed**2 for seed in range(8)}
    pairs = {(p.first, p.second): p for p in differences({"A": many, "B": few, "C": {n: 1 - n / 100 for n in many}})}
    assert pairs["A", "B"].least == 0.5 and not pairs["A", "B"].testable
    assert pairs["A", "C"].least == 3 * 2 / 2**8 and pairs["A", "C"].testable
    tied = differences({"A": {n: 1.0 + (n > 0) for n in range(6)}, "B": dict.fromkeys(range(6), 1.0)})[0]
    assert tied.least == tied.p == 2 / 2**5 and not tied.testable  # zeros have no sign


def test_pair_turned_negates_interval_and_prints_small_values():
    pair = differences({"A": {0: 1e-4, 1: 2e-4}, "B": {0: 0.0, 1: 0.0}})[0]
    assert "+0.00015, uncorrected 95% interval -0.00049 to +0.001" in str(pair)
    assert pair.turned().interval == (-pair.interval[1], -pair.interval[0]) and pair.turned().turned() == pair


def test_sign_flip_holm_and_differences_reject_nan():
    with pytest.raises(ValueError, match="sign_flip: expected finite differences, got"):
        sign_flip([1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="expected finite differences"):
        differences({"A": {0: 1.0, 1: np.inf}, "B": {0: 0.0, 1: 0.0}})
    with pytest.raises(ValueError, match=r"holm: expected p-values in \[0, 1\], got"):
        holm([0.01, np.nan])
    assert sign_flip([0.3]) == 1.0


def mean_of(sums):
    return sums[0] / sums[1]


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

    block_bootstrap([[1.0, 10.0, 100.0, 1000.0]], 3, keep)
    assert set(seen[0][0]) == {111.0, 1110.0, 1101.0, 1011.0}  # one block, from each place on
    assert block_bootstrap([[1.0, 3.0] * 20, [1.0] * 40], 2, mean_of) == (2.0, 2.0)


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
