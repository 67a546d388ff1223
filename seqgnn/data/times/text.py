"""Timestamps written as text."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from seqgnn.data.times.written import in_iso

ZONE = re.compile(
    r"\s*(?:(?P<utc>Z|UTC|GMT)|(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>0\d|1[0-5]):?(?P<minutes>[0-5]\d)?"
    r"|(?:UTC|GMT)(?P<sign1>[+-])(?P<hours1>\d))(?:\s*\([^()]*\))?$",
    re.IGNORECASE,
)
TIME_AT_END = re.compile(
    r"(?:\d:\d\d(?::\d\d)?(?:[.,]\d+)?|T\d\d(?:\d\d){0,2}(?:[.,]\d+)?|\d\s*[ap]\.?m\.?)$", re.IGNORECASE
)
NUMERIC_DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?=$|[ T,])")
UNIFORM = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")
SUFFIX = re.compile(r"[+-](?:0\d|1[0-5]):[0-5]\d")
ISO = re.compile(r"\d{4}(?:[-/]?\d{1,2}(?:[-/]?\d{1,2})?)?(?:[ T]\d{1,2}(?::?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)?)?)?")
COMMON = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{4}(?: \d{1,2}:\d\d(?::\d\d)?)?")  # needs nothing but the order
MIDNIGHT = re.compile(r"(?<=[ T])24(?=(?::?00){1,2}(?:[.,]0+)?$)")  # the end of a day


def parse_text(
    caller: str, cells: list[str], day_first: bool | None, where: Callable[[int], str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the clock's times, and their offsets from UTC if all cells have one (None: if no cell has one).

    Raises:
        ValueError: if a cell is no timestamp, the order of day and month is not certain, or only some cells have an
            offset.
    """
    if (times := _uniform(cells)) is not None:
        return times
    texts = ["" if _has_other_digits(cell) else cell.strip() for cell in cells]
    matches = [_offset_match(text) for text in texts]
    aware = [match is not None for match in matches]
    check_all_aware(caller, aware, where)
    texts = [text if match is None else text[: match.start()] for text, match in zip(texts, matches)]
    texts = [text if ISO.fullmatch(text) or COMMON.fullmatch(text) else in_iso(text) for text in texts]
    texts = _year_first(caller, texts, day_first, where)
    walls = _wall_clock(texts)
    if (invalid := np.isnat(walls)).any():
        step = int(invalid.argmax())
        raise ValueError(f"{caller}: expected a timestamp as 2012-03-01 00:05, got {cells[step]!r} {where(step)}")
    if not any(aware):
        return walls, None
    return walls, np.array([_seconds(match) for match in matches], dtype="timedelta64[s]")


def _uniform(cells: list[str]) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return the times of text in one common form, which pandas reads at once; None for other text."""
    import pandas

    if not cells or not UNIFORM.fullmatch(cells[0]):
        return None
    suffixes = {cell[-6:] for cell in cells}
    in_utc = {suffix[-1] == "Z" for suffix in suffixes}
    have_offset = {SUFFIX.fullmatch(suffix) is not None for suffix in suffixes}
    if len(in_utc) > 1 or len(have_offset) > 1:
        return None
    aware = have_offset.pop()
    texts = [cell[:-6] for cell in cells] if aware else [cell[:-1] for cell in cells] if in_utc == {True} else cells
    try:
        walls = pandas.to_datetime(texts, format="ISO8601", errors="coerce")
    except ValueError:  # some have an offset
        return None
    if walls.hasnans or walls.tz is not None:
        return None
    if in_utc == {True}:
        return np.asarray(walls), np.zeros(len(cells), dtype="timedelta64[s]")
    if not aware:
        return np.asarray(walls), None
    seconds = {suffix: int(suffix[0] + "1") * (3600 * int(suffix[1:3]) + 60 * int(suffix[4:])) for suffix in suffixes}
    return np.asarray(walls), np.array([seconds[cell[-6:]] for cell in cells], dtype="timedelta64[s]")


def check_all_aware(caller: str, aware: Sequence[bool], where: Callable[[int], str]) -> None:
    """Check that all timestamps have an offset from UTC, or none has one.

    Raises:
        ValueError: otherwise; the message names one with and one without.
    """
    if any(aware) and not all(aware):
        one, other = where(aware.index(True)), where(aware.index(False))
        raise ValueError(
            f"{caller}: expected an offset from UTC in every timestamp or in none, got one {one} and none {other}"
        )


def is_timestamp(cell: str) -> bool:
    """Return True for text with a date that is no plain number.

    Example:
        >>> is_timestamp("2012-03-01 00:05"), is_timestamp("1/3/2012"), is_timestamp("2012"), is_timestamp("abc")
        (True, True, False, False)
    """
    text = cell.strip()
    if not any(map(str.isdecimal, text)) or text.replace(".", "", 1).lstrip("+-").isdecimal():
        return False
    if _has_other_digits(text):
        return False
    match = _offset_match(text)
    text = in_iso(text if match is None else text[: match.start()])
    if NUMERIC_DATE.match(text):
        return not np.isnat(_wall_clock([NUMERIC_DATE.sub(r"\4-01-01", text)])[0])
    return not np.isnat(_wall_clock([text])[0])


def _has_other_digits(text: str) -> bool:
    """Return True for digits of other scripts, which regular expressions and `int` read as well."""
    return not text.isascii() and any(character.isdecimal() and not character.isascii() for character in text)


def _offset_match(text: str) -> re.Match[str] | None:
    """Return the offset after a time of day at the end of a text; the end of a date, -03-01, is none."""
    if text[-1:].isdecimal() and not {"+", "-"} & set(text[-6:]):
        return None
    match = ZONE.search(text)
    return match if match is not None and TIME_AT_END.search(text, 0, match.start()) else None


def _seconds(match: re.Match[str] | None) -> int:
    if match is None or match["utc"]:
        return 0
    hours = int(match["hours"] or match["hours1"])
    return (1 if "+" in (match["sign"], match["sign1"]) else -1) * (3600 * hours + 60 * int(match["minutes"] or 0))


def _year_first(caller: str, texts: list[str], day_first: bool | None, where: Callable[[int], str]) -> list[str]:
    """Return texts such as 1/3/2012 with the year, month and day in order."""
    dates = [(i, match) for i, text in enumerate(texts) if (match := NUMERIC_DATE.match(text))]
    if not dates:
        return texts
    if day_first is None:
        if any(int(match[1]) > 12 or match[2] == "." for _, match in dates):
            day_first = True
        elif any(int(match[3]) > 12 for _, match in dates):
            day_first = False
        else:
            step, match = dates[0]
            raise ValueError(
                f"{caller}: expected dates whose day and month are certain, got {match[0]!r} {where(step)}; pass "
                "day_first (--day-first, or --no-day-first for the month) or write 2012-03-01"
            )
    day, month = (1, 3) if day_first else (3, 1)
    texts = list(texts)
    for i, match in dates:
        texts[i] = f"{match[4]}-{int(match[month]):02d}-{int(match[day]):02d}{texts[i][match.end() :]}"
    return texts


def _wall_clock(texts: list[str]) -> np.ndarray:
    """Return the times of texts in ISO 8601; NaT where one is none."""
    import pandas

    ends = [MIDNIGHT.search(text) is not None for text in texts]
    iso = [MIDNIGHT.sub("00", text) if end else text for text, end in zip(texts, ends)] if any(ends) else texts
    walls = pandas.to_datetime(
        [text.replace("/", "-").replace(",", ".") if ISO.fullmatch(text) else None for text in iso],
        format="ISO8601", errors="coerce",
    )  # fmt: skip
    return np.asarray(walls) + np.array(ends, dtype="timedelta64[D]")
