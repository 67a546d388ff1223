"""Splits in order of time."""

import pytest

from seqgnn.data.transforms.splits import split_range


@pytest.mark.parametrize("count", [31, 517, 2016])
@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.2), (0.16, 0.04, 0.8), (0.5, 0.1, 0.1)])
@pytest.mark.parametrize("gap", [0, 1])
def test_split_range_parts_do_not_overlap(count, shares, gap):
    train, val, test = split_range("it", count, *shares, gap)
    assert train.start == 0 and len(train) == int(shares[0] * count) and len(val) == int(shares[1] * count)
    assert val.start == train.stop + gap and test.start == val.stop + gap
    assert test.stop == count if sum(shares) > 0.99 else len(test) == int(shares[2] * count)


def test_split_range_of_fractions_equals_hand_values():
    # 70 % and 10 % of 25 are 17.5 and 2.5, rounded down; the rest is the test part, but for two gaps.
    assert split_range("it", 25, 0.7, 0.1, 0.2, gap=1) == (range(17), range(18, 20), range(21, 25))
    assert split_range("it", 25, 0.2, 0.2, 0.2) == (range(5), range(5, 10), range(10, 15))


def test_split_range_of_counts_may_leave_a_remainder():
    assert split_range("it", 25, 10, 4, 6, gap=2) == (range(10), range(12, 16), range(18, 24))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((0.5, 2, 0.2), "it: expected train, val and test as three fractions or three counts"),
        ((0.7, 0.2, 0.2), "it: expected parts above 0 with a sum of at most 1"),
        ((8, 0, 2), "it: expected parts above 0 with a sum of at most 10"),
        ((0.9, 0.05, 0.05), "it: expected a non-empty val part"),
        ((5, 3, 2, 1), "it: expected parts and gaps of at most 10 together"),
    ],
)
def test_split_range_invalid_parts_raise_value_error(parts, message):
    with pytest.raises(ValueError, match=message):
        split_range("it", 10, *parts)
