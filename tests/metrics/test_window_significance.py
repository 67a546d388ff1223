"""Differences over test windows: by hand, by all signs, and by another bootstrap."""

import itertools

import numpy as np
import pytest

from seqgnn.metrics.window_significance import over_windows

FOUR = {"lags": 4, "horizon": 1}


def test_over_windows_of_four_windows_equals_hand_values():
    first = [[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 3.0, 4.0]]  # two seeds; the mean is 2, 2, 3, 4
    found = over_windows(first, [[4.0, 4.0, 4.0, 1.0]], [2, 2, 2, 4], **FOUR)
    assert found.mean == pytest.approx((11 - 13) / 10)
    assert (found.better, found.windows, found.interval, found.least) == (3, 4, None, 1 / 8)
    signs = itertools.product([-1, 1], repeat=4)
    assert found.p == np.mean([abs(np.dot(flip, [-2, -2, -1, 3])) >= 2 for flip in signs])
    assert not found.shown


@pytest.mark.parametrize("windows, least, shown", [(4, 1 / 8, False), (5, 1 / 16, False), (7, 1 / 64, True)])
def test_over_windows_smallest_p_depends_on_number_of_windows(windows, least, shown):
    ahead = over_windows([[1.0] * windows], [[2.0] * windows], [3] * windows, **FOUR)
    assert ahead.p == ahead.least == least and ahead.shown == shown and ahead.better == windows


def test_over_windows_of_overlapping_windows_has_no_sign_test():
    found = over_windows([[1.0] * 7], [[2.0] * 7], [3] * 7, lags=4, horizon=2)
    assert found.p is None and found.interval is None and not found.shown and found.better == 7


@pytest.mark.parametrize(
    "windows, lags, horizon, block, interval",
    [
        (9, 1, 1, 3, False),  # too few windows
        (10, 1, 1, 3, True),  # the cube root, rounded up
        (20, 12, 1, 10, False),  # at most half of them, which makes two blocks
        (39, 12, 1, 13, True),
        (38, 12, 1, 13, False),
        (1000, 3, 2, 10, True),
        (1, 4, 1, 1, False),
    ],
)
def test_over_windows_block_length_follows_lags_and_horizon(windows, lags, horizon, block, interval):
    sums = np.random.default_rng(0).random((2, windows))
    found = over_windows(sums[:1].tolist(), sums[1:].tolist(), [1] * windows, lags=lags, horizon=horizon)
    assert found.block == block and (found.interval is not None) == interval


@pytest.mark.parametrize("root", [False, True])
def test_over_windows_interval_equals_bootstrap_by_hand(root):
    random = np.random.default_rng(0)
    counts = random.integers(1, 5, 60)
    first, second = random.gamma(2.0, 1.0, (3, 60)) * counts, random.gamma(2.0, 1.2, (1, 60)) * counts
    found = over_windows(first.tolist(), second.tolist(), counts.tolist(), lags=3, horizon=2, root=root)

    def error(sums, picked):
        means = [row[picked].sum() / counts[picked].sum() for row in sums]
        return np.mean(np.sqrt(means) if root else means)

    everything = np.arange(60)
    assert found.mean == pytest.approx(error(first, everything) - error(second, everything))
    drawn = []
    for _ in range(3000):
        starts = random.integers(0, 60, 12)  # 12 blocks of 5
        picked = np.concatenate([(start + np.arange(5)) % 60 for start in starts])
        drawn.append(error(first, picked) - error(second, picked))
    width = found.interval[1] - found.interval[0]
    assert found.interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.08 * width)
    assert found.shown == (found.interval[1] < 0) and found.p is None


@pytest.mark.parametrize("shift, shown", [(0.5, True), (-0.5, True), (0.0, False)])
def test_over_windows_is_shown_if_its_interval_excludes_zero(shift, shown):
    first, second = np.random.default_rng(0).random((2, 60)) * 0.2
    found = over_windows([(first + 1 + shift).tolist()], [(second + 1).tolist()], [1] * 60, lags=4, horizon=1)
    assert abs(found.mean - shift) < 0.1 and max(map(abs, found.interval)) < 1 and found.shown == shown
    assert found.better == np.sum(first + shift < second)


def test_over_windows_of_exact_forecasts_keeps_their_windows():
    found = over_windows([[1.0, 0.5, 0.0]], [[0.0, 1.0, 0.0]], [1, 1, 1], **FOUR)
    assert (found.windows, found.better, found.mean) == (3, 1, pytest.approx(0.5 / 3))


def test_over_windows_error_of_few_independent_windows_is_their_standard_error():
    first, second = np.random.default_rng(0).random((2, 7))
    found = over_windows([first.tolist()], [second.tolist()], [1] * 7, **FOUR)
    expected = (first - second).std(ddof=1) / np.sqrt(7)
    assert (found.error.standard_error, found.error.df) == (pytest.approx(expected), 6)
    two = over_windows([[1.0, 2.0]], [[2.0, 7.0]], [1, 1], **FOUR).error  # differences -1 and -5
    assert (two.standard_error, two.df) == (pytest.approx(2.0), 1)
    assert over_windows([[1.0]], [[2.0]], [1], **FOUR).error is None
    assert over_windows([[1.0] * 7], [[2.0] * 7], [1] * 7, lags=4, horizon=2).error is None


def test_over_windows_error_of_blocks_has_their_degrees_of_freedom():
    first, second = np.random.default_rng(0).random((2, 60))
    found = over_windows([first.tolist()], [second.tolist()], [1] * 60, lags=4, horizon=1)
    low, high = found.interval
    assert found.error.df == 60 / 5 - 1
    assert found.error.standard_error == pytest.approx((high - low) / 2 / 1.959964 * (12 / 11) ** 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_over_windows_of_sums_that_are_not_finite_raise_value_error(bad):
    for sums in (([[1.0, bad]], [[1.0, 2.0]]), ([[1.0, 2.0]], [[bad, 1.0]])):
        with pytest.raises(ValueError, match="over_windows: expected finite sums, got"):
            over_windows(*sums, [1, 1], **FOUR)


def test_over_windows_ignores_windows_without_observations():
    some = over_windows([[1.0, 0.0, 3.0]], [[2.0, 0.0, 1.0]], [1, 0, 1], **FOUR)
    assert some == over_windows([[1.0, 3.0]], [[2.0, 1.0]], [1, 1], **FOUR) and some.windows == 2


@pytest.mark.parametrize(
    "first, second, counts",
    [([], [[1.0]], [1]), ([[1.0]], [], [1]), ([[1.0, 2.0]], [[1.0]], [1]), ([[1.0]], [[1.0]], [0]),
     ([[1.0]], [[1.0]], [1, 1])],
)  # fmt: skip
def test_over_windows_mismatched_sums_raise_value_error(first, second, counts):
    with pytest.raises(ValueError, match="over_windows: expected sums of each seed over the same windows"):
        over_windows(first, second, counts, **FOUR)
