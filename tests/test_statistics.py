"""Intervals and tests over seeds, beside scipy's other functions and formulas from the papers."""

import itertools

import numpy as np
import pytest
from scipy import stats

from seqgnn.statistics import differences, holm, sign_flip, summary


def test_the_t_interval_is_scipys():
    scores = [0.91, 0.83, 0.97, 0.88]
    found = summary(scores)
    expected = stats.t.interval(0.95, 3, np.mean(scores), stats.sem(scores))
    assert found.t == pytest.approx(expected) and found.seeds == 4
    low, high = found.bootstrap
    assert min(scores) <= low < found.mean < high <= max(scores)
    assert high - low < found.t[1] - found.t[0]


def test_one_score_has_no_interval_and_equal_ones_a_point():
    assert summary([0.5]).t is None and summary([0.5]).bootstrap is None
    assert summary([0.5, 0.5]).bootstrap == (0.5, 0.5) and summary([0.5, 0.5]).t == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least one"):
        summary([])


@pytest.mark.parametrize("values", [[0.3, 0.1, -0.2, 0.4, 0.05], [1.0] * 6, [-0.5, 0.5]])
def test_signs_are_flipped_in_all_ways(values):
    means = [np.dot(signs, values) for signs in itertools.product([-1, 1], repeat=len(values))]
    expected = np.mean(np.abs(means) >= abs(sum(values)) - 1e-12)
    assert sign_flip(values) == pytest.approx(expected)


def test_no_difference_at_all():
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0


def test_holm_keeps_the_order_and_never_falls():
    assert holm([0.04, 0.001, 0.5]) == pytest.approx([0.08, 0.003, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_pairs_are_corrected_for_their_number_and_said_in_words():
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
    assert str(pairs["A", "B"]).startswith("A and B: differ (+0.3") and "p = 0.023 of 8 seeds" in str(pairs["A", "B"])
    assert str(pairs["A", "C"]).startswith("A and C: no difference shown (")
