"""English text: lists, counts, ranges and numbers."""

import math

import pytest

from seqgnn._utils.text import count, listed, number, span


@pytest.mark.parametrize(
    ("names", "most", "text"),
    [
        (["a"], None, "a"),
        (["a", "b"], None, "a and b"),
        (["a", "b", "c"], None, "a, b and c"),
        (["a", "b, c"], None, "a; and b, c"),
        (["a", "b", "c"], 3, "a, b and c"),
        (["a", "b", "c", "d", "e"], 3, "a, b and 3 others"),
    ],
)
def test_listed_joins_names_and_counts_the_others(names, most, text):
    assert listed(names, most) == text


def test_count_of_one_is_a_word_without_plural():
    assert [count(n, "run") for n in (0, 1, 2)] == ["0 runs", "one run", "2 runs"]


def test_span_of_equal_numbers_is_the_number():
    assert (span([7]), span([1200, 1200]), span([3, 12000, 5])) == ("7", "1,200", "3 to 12,000")


def test_number_without_a_finite_value_is_a_dash():
    assert [number(value, 2) for value in (None, math.nan, math.inf)] == ["–"] * 3
    assert (number(0), number(12345), number(-1234.567, 2)) == ("0", "12,345", "-1,234.57")
