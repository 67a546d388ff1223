"""English text: lists of names, counts and formatted numbers."""

import math
from collections.abc import Sequence
from typing import Any

from seqgnn._utils.numbers import parse_number


def listed(names: Sequence[str], most: int | None = None) -> str:
    """Return a list of names in words, at most `most` of them.

    Example:
        >>> listed(["RNN", "GCN, one hop"]), listed(["a", "b", "c", "d"], most=3)
        ('RNN; and GCN, one hop', 'a, b and 2 others')
    """
    if most is not None and len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} others"]
    if len(names) == 1:
        return names[0]
    if any("," in name for name in names):
        return "; ".join(names[:-1]) + "; and " + names[-1]
    return ", ".join(names[:-1]) + " and " + names[-1]


def count(number: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> count(1, "seed"), count(2, "seed")
        ('one seed', '2 seeds')
    """
    return f"{number if number != 1 else 'one'} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> duration(45.2), duration(300), duration(9000)
        ('45 s', '5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def span(numbers: Sequence[int]) -> str:
    """Return the range of some numbers, or the number if they are equal.

    Example:
        >>> span([3, 3]), span([3, 2])
        ('3', '2 to 3')
    """
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def csv_cell(value: Any) -> Any:
    """Return a cell of a csv file. An apostrophe precedes text that a spreadsheet would calculate, since it begins with
    =, +, - or @; numbers stay as they are, also those in text.

    Example:
        >>> csv_cell("=1+1"), csv_cell("@a"), csv_cell("-5"), csv_cell(-5.0), csv_cell("I-5 north")
        ("'=1+1", "'@a", '-5', -5.0, 'I-5 north')
    """
    is_formula = isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@"))
    return f"'{value}" if is_formula and parse_number(value.strip()) is None else value


def number(value: Any, digits: int = 0) -> str:
    """Return a number with thousands separators, or a dash if it is missing.

    Example:
        >>> number(1234.56, 1), number(None)
        ('1,234.6', '–')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:,.{digits}f}"
