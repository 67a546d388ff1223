"""Reader for Monash's .tsf files, in which every line is one series with its own first time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqgnn._utils.numbers import LARGEST, is_plain, parse_number, size_hint
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import MISSING, check_distinct
from seqgnn.data.io.graphs.notes import Notes
from seqgnn.data.io.limits import unpacked_limit
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.times.parse import in_words

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 7 * 86_400}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
ADVERBS = {"secondly": "second", "minutely": "minute", "hourly": "hour", "daily": "day", "weekly": "week",
           "monthly": "month", "quarterly": "quarter", "yearly": "year"}  # fmt: skip
START = re.compile(r"(\d{4}(?:-\d\d){0,2})(?: +(\d\d(?:-\d\d){0,2}))?", re.ASCII)


@dataclass(frozen=True)
class _Series:
    """One line of the data: a name, the first time and the values, NaN where missing."""

    name: str
    start: np.datetime64 | None
    values: np.ndarray
    line: int


@dataclass(frozen=True)
class _Header:
    """The lines before the data: names and types of the attributes, and the frequency in words."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    frequency: str | None

    @property
    def name_column(self) -> int | None:
        """Index of the attribute that names the series; None if there is none."""
        texts = [i for i, kind in enumerate(self.types) if kind != "date"]
        return self.names.index("series_name") if "series_name" in self.names else texts[0] if texts else None


def read_tsf(path: Path, table_format: TableFormat) -> Columns:
    """Return the series of a .tsf file as sensors, each at its own times.

    Series that start or end at different times are placed on one calendar, and the steps before the first and after
    the last value of a series are missing. Without start times all series must have the same length.

    Raises:
        ValueError: if the file is not in this format, series of different lengths have no start times, or start times
            do not fit the frequency or are so far apart that the calendar would take more than `unpacked_limit`; the
            message names the file and line.
    """
    header, series = _parse(path)
    check_distinct(CALLER, [item.name for item in series], path)
    starts = [item.start for item in series if item.start is not None]
    if starts:
        offsets, timestamps = _place(header, series, starts, path)
    else:
        _check_equal_lengths(series, path)
        offsets, timestamps = np.zeros(len(series), dtype=np.int64), None
    steps = max(int(offset) + len(item.values) for offset, item in zip(offsets, series))
    if any(len(item.values) < steps for item in series):
        Notes(CALLER).add(f"series of {path} start or end at different times; they are missing before and after")
    values = np.full((steps, len(series)), np.nan)
    for column, (offset, item) in enumerate(zip(offsets, series)):
        values[offset : offset + len(item.values), column] = item.values
    return Columns(
        values,
        None if header.name_column is None else [item.name for item in series],
        timestamps,
    )


def _parse(path: Path) -> tuple[_Header, list[_Series]]:
    names: list[str] = []
    types: list[str] = []
    frequency, header, series = None, None, []
    for number, text in enumerate(_text(path).splitlines(), start=1):
        text, location = text.strip(), f"line {number} of {path}"
        if not text or text.startswith("#"):
            continue
        if header is not None:
            series.append(_parse_series(text, header, number, path))
            continue
        if not text.startswith("@"):
            raise ValueError(f"{CALLER}: expected @data before the series, got {_short(text)!r} in {location}")
        key, *words = text.split()
        if key.lower() == "@attribute":
            if len(words) != 2 or words[1] not in ("string", "numeric", "date"):
                expected = "@attribute NAME TYPE, with type string, numeric or date"
                raise ValueError(f"{CALLER}: expected {expected}, got {_short(text)!r} in {location}")
            names.append(words[0])
            types.append(words[1])
        elif key.lower() == "@frequency":
            frequency = " ".join(words)
        elif key.lower() == "@data":
            if types.count("date") > 1:
                dates = ", ".join(name for name, kind in zip(names, types) if kind == "date")
                raise ValueError(f"{CALLER}: expected one attribute of type date, got {dates} in {path}")
            header = _Header(tuple(names), tuple(types), frequency)
    if not series:
        raise ValueError(f"{CALLER}: expected series after a line @data, got none in {path}")
    assert header is not None
    return header, series


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{CALLER}: expected a readable file, got {path}: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")  # the encoding of the archive's files


def _parse_series(text: str, header: _Header, number: int, path: Path) -> _Series:
    location = f"line {number} of {path}"
    *attributes, cells = text.split(":")
    if len(attributes) != len(header.names):
        expected = ":".join([*header.names, "values"])
        raise ValueError(f"{CALLER}: expected {expected}, got {len(attributes) + 1} parts in {location}")
    name = attributes[header.name_column] if header.name_column is not None else f"line {number}"
    start = None
    if "date" in header.types:
        cell = attributes[header.types.index("date")]
        if (start := _parse_start(cell)) is None:
            raise ValueError(f"{CALLER}: expected a start time as 2012-03-01 00-05-00, got {cell!r} in {location}")
    numbers = cells.split(",")
    if not cells.strip():
        raise ValueError(f"{CALLER}: expected values of series {name!r}, got none in {location}")
    try:
        if not is_plain(cells):
            raise ValueError
        values = np.array(list(map(float, cells.replace("?", "nan").split(","))))
    except ValueError:
        values = np.array([_parse_cell(cell) for cell in numbers])
    if len(invalid := np.flatnonzero(np.abs(values) > LARGEST)):
        place = f"value {invalid[0] + 1} of series {name!r} in {location}"
        cell = numbers[invalid[0]]
        raise ValueError(f"{CALLER}: expected a number or ?, got {cell!r} as {place}{size_hint(cell)}")
    return _Series(name, start, values, number)


def _parse_cell(cell: str) -> float:
    """Return a number, NaN if it is missing and infinity for other text."""
    if cell.strip() == "?" or cell.strip().lower() in MISSING:
        return np.nan
    number = parse_number(cell)
    return np.inf if number is None else number


def _parse_start(cell: str) -> np.datetime64 | None:
    if (match := START.fullmatch(cell.strip())) is None:
        return None
    date, clock = match.groups()
    try:
        return np.datetime64(f"{date}T{clock.replace('-', ':')}" if clock else date, "s")
    except ValueError:
        return None


def _check_equal_lengths(series: Sequence[_Series], path: Path) -> None:
    first = series[0]
    for item in series:
        if len(item.values) != len(first.values):
            raise ValueError(
                f"{CALLER}: expected series of one length, or an attribute of type date with their start times, got "
                f"{len(first.values)} values of {first.name!r} and {len(item.values)} of {item.name!r} in line "
                f"{item.line} of {path}"
            )


def _parse_frequency(text: str | None, path: Path) -> tuple[str, int]:
    """Return the unit of a frequency, "second" or "month", and the number of units of a step."""
    known = f"such as {', '.join(ADVERBS)}, half_hourly, 10_minutes"
    if text is None:
        raise ValueError(
            f"{CALLER}: expected a line @frequency, {known}, to place the series after their start times, got none in "
            f"{path}; add it"
        )
    match = re.fullmatch(r"(?:(half|[1-9]\d{0,8})[_ ])?(\w+)", text.strip().lower(), re.ASCII)
    number, name = (None, "") if match is None else match.groups()
    name = ADVERBS.get(name, name.removesuffix("s"))
    for unit, sizes in (("second", SECONDS), ("month", MONTHS)):
        size = sizes.get(name, 0)
        count = size // 2 if number == "half" else size * int(number or 1)
        if count and (number != "half" or size % 2 == 0):
            return unit, count
    raise ValueError(f"{CALLER}: expected @frequency in words, {known}, got {text!r} in {path}")


def _place(
    header: _Header, series: Sequence[_Series], starts: Sequence[np.datetime64], path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step at which each series starts, and the times of all steps."""
    unit, count = _parse_frequency(header.frequency, path)
    times = np.array(starts)
    first = int(times.argmin())
    if unit == "second":
        distances = (times - times[first]).astype(np.int64)
        is_odd = distances % count != 0
    else:
        months = times.astype("datetime64[M]")
        distances = (months - months[first]).astype(np.int64)
        days, clocks = _days_and_clocks(times)
        is_odd = (distances % count != 0) | (days != days[first]) | (clocks != clocks[first])
    if is_odd.any():
        odd = series[int(is_odd.argmax())]
        raise ValueError(
            f"{CALLER}: expected start times that fit the frequency {header.frequency}, got {times[first]} of "
            f"{series[first].name!r} and {odd.start} of {odd.name!r} in line {odd.line} of {path}; series without "
            "common steps need files of their own"
        )
    offsets = distances // count
    number = max(int(offset) + len(item.values) for offset, item in zip(offsets, series))
    if 8 * number * len(series) > unpacked_limit(path.stat().st_size):
        last = int(times.argmax())
        actual = f"{series[last].name!r} at {in_words(times[last])} in line {series[last].line} of {path}"
        raise ValueError(
            f"{CALLER}: expected start times that are near each other, got {series[first].name!r} at "
            f"{in_words(times[first])} and {actual}, which are {number:,} steps of the frequency {header.frequency}; "
            "correct them, or put such series in separate files"
        )
    steps = np.arange(number) * count
    if unit == "second":
        return offsets, times[first] + steps
    return offsets, _monthly(months[first] + steps, days[first], clocks[first])


def _days_and_clocks(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the day of the month, 31 for each if all are the last of their months, and the time of day."""
    dates = times.astype("datetime64[D]")
    days = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
    tomorrow = dates + 1
    if (tomorrow == tomorrow.astype("datetime64[M]")).all():
        days = np.full_like(days, 31)
    return days, times - dates


def _monthly(months: np.ndarray, day: int, clock: np.timedelta64) -> np.ndarray:
    """Return the times at a day of each month, or at its last day if it is shorter."""
    lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    return months.astype("datetime64[D]") + (np.minimum(day, lengths) - 1) + clock


def _short(text: str, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
