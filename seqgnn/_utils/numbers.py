"""Numbers in text: digits 0 to 9 without underscores, unlike those that Python's `float` and `int` accept."""

import math

LARGEST = 3.4028234663852886e38  # of float32, in which models calculate


def parse_number(text: str) -> float | None:
    """Return the number that a text is; None if it is none.

    Example:
        >>> parse_number("-1.5e3"), parse_number("1_0"), parse_number("٣"), parse_number("two")
        (-1500.0, None, None, None)
    """
    if not is_plain(text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def size_hint(text: str) -> str:
    """Return the reason for which a number is refused if it is its size, as the end of an error message.

    Example:
        >>> size_hint("1e39"), size_hint("1_0"), size_hint("inf")
        (', which float32 cannot hold', '', '')
    """
    number = parse_number(text)
    return ", which float32 cannot hold" if number is not None and LARGEST < abs(number) < math.inf else ""


def is_plain(text: str) -> bool:
    """Return True if a text has neither underscores nor digits of other scripts, which Python reads as numbers."""
    return text.isascii() and "_" not in text


def is_whole(text: str) -> bool:
    """Return True for a whole number without a sign.

    Example:
        >>> is_whole("012"), is_whole("-1"), is_whole("1_0"), is_whole("٣")
        (True, False, False, False)
    """
    return text.isascii() and text.isdecimal()
