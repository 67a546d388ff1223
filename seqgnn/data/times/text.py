"""Timestamps written as text."""

import re
from collections.abc import Callable, Sequence

import numpy as np

OFFSET = re.compile(r"(?<=\d)\s*(?:(Z|UTC)|([+-])(\d\d):?(\d\d)?)$", re.IGNORECASE)
NUMERIC_DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?=$|[ T,])")
QUARTER = re.compile(r"(\d{4})-?Q([1-4])", re.IGNORECASE)
UNIFORM = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[+-]\d\d:\d\d)?)?")
SUFFIX = re.compile(r"[+-]\d\d:\d\d")
ISO = re.compile(r"\d{4}(?:[-/]?\d{1,2}(?:[-/]?\d{1,2})?)?(?:[ T]\d{1,2}(?::?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)?)?)?")
WRITTEN_OUT = re.compile(r"(?=.*\b\d{4}\b).*(?:[A-Za-z]{3}|:)")  # 1 Mar 2012, or a time of day with PM


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
    texts = [cell.strip() for cell in cells]
    matches = [_offset_match(text) for text in texts]
    aware = [match is not None for match in matches]
    check_all_aware(caller, aware, where)
    texts = [text if match is None else text[: match.start()] for text, match in zip(texts, matches)]
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
    have_offset = {SUFFIX.fullmatch(suffix) is not None for suffix in suffixes}
    if len(have_offset) > 1:
        return None
    aware = have_offset.pop()
    walls = pandas.to_datetime([cell[:-6] for cell in cells] if aware else cells, format="ISO8601", errors="coerce")
    if walls.hasnans or walls.tz is not None:
        return None
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
    match = _offset_match(text)
    text = text if match is None else text[: match.start()]
    if NUMERIC_DATE.match(text):
        return not np.isnat(_wall_clock([NUMERIC_DATE.sub(r"\4-01-01", text)])[0])
    return not np.isnat(_wall_clock([text])[0])


def _offset_match(text: str) -> re.Match[str] | None:
    """Return the offset at the end of a text with a time of day; the end of a date, -03-01, is none."""
    match = OFFSET.search(text)
    return match if match is not None and (":" in text[: match.start()] or "T" in text[: match.start()]) else None


def _seconds(match: re.Match[str] | None) -> int:
    if match is None or match[1]:
        return 0
    return (1 if match[2] == "+" else -1) * (3600 * int(match[3]) + 60 * int(match[4] or 0))


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
                "day_first (--day-first) or write 2012-03-01"
            )
    day, month = (1, 3) if day_first else (3, 1)
    texts = list(texts)
    for i, match in dates:
        texts[i] = f"{match[4]}-{int(match[month]):02d}-{int(match[day]):02d}{texts[i][match.end() :]}"
    return texts


def _wall_clock(texts: list[str]) -> np.ndarray:
    """Return the times of texts; NaT where one is none."""
    import pandas

    texts = [QUARTER.sub(lambda m: f"{m[1]}-{3 * int(m[2]) - 2:02d}", text) if "Q" in text.upper() else text
             for text in texts]  # fmt: skip
    iso = [text if ISO.fullmatch(text) else None for text in texts]
    walls = pandas.to_datetime(
        [None if text is None else text.replace("/", "-").replace(",", ".") for text in iso],
        format="ISO8601", errors="coerce",
    )  # fmt: skip
    others = [i for i, text in enumerate(iso) if text is None and WRITTEN_OUT.match(texts[i])]
    result = np.asarray(walls)
    if others:
        parsed = pandas.to_datetime([texts[i] for i in others], format="mixed", errors="coerce")
        result = result.astype("datetime64[ns]" if parsed.unit == "ns" else result.dtype)
        result[others] = np.asarray(parsed)
    return result
