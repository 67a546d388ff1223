"""The one rule that says, for tables of every format, what a column is: times, an index, or a sensor."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqgnn.data.io.table_format import NO_TIMES, TableFormat
from seqgnn.data.times import is_timestamp, parse_times

TIMES = {
    *("time", "times", "date", "dates", "datetime", "datetimes", "date_time", "timestamp", "timestamps", "time_stamp"),
    *("ts", "ds", "unix", "unixtime", "unix_time", "epoch", "utc", "period"),
}
PARTS_OF_TIMES = {  # times only if their numbers are; otherwise perhaps features of a calendar
    *("year", "quarter", "month", "week", "day", "hour", "minute", "second", "weekday", "dayofweek", "day_of_week"),
    *("hour_of_day", "time_of_day", "minute_of_day", "day_of_year", "dayofyear"),
}
COUNTERS = {"step", "t", "i", "n"}  # perhaps an index if they count from step to step
INDICES = {"", "index", "idx", "row", "rowid", "row_id", "level_0", "unnamed:_0", "__index_level_0__"}
UNNAMED = {"", "unnamed:_0", "__index_level_0__"}  # the index of a table, as pandas writes it without a name
SENSORS = {
    *(
        "unique_id",
        "sensor",
        "sensor_id",
        "sensorid",
        "sensors",
        "station",
        "station_id",
        "node",
        "node_id",
        "detector",
    ),
    *("detector_id", "item_id", "series_id", "series", "location_id", "site", "site_id", "id", "segment_id"),
}
OPTIONS = "pass time_column (--time-column) with its name or 'none', or the sensors to read (--sensors)"


@dataclass
class Column:
    """A column of a table.

    Attributes:
        name: its name, as text.
        cells: its values: text, numbers or times, `[T]`.
        is_index: whether the file says that it is the index of the table.
    """

    name: str
    cells: Any
    is_index: bool = False

    @property
    def kind(self) -> str:
        """One of "time", "duration", "text" and "number"."""
        dtype = str(self.cells.dtype)
        if dtype.startswith(("datetime64", "period", "<M8", ">M8")):
            return "time"
        if dtype.startswith(("timedelta64", "<m8", ">m8")):
            return "duration"
        if self.cells.dtype.kind in "biufc" and not dtype.startswith("category"):
            return "number"
        first = self.first
        return "time" if hasattr(first, "isoformat") and hasattr(first, "year") else "text"

    @property
    def first(self) -> Any:
        """The first cell that is not missing; None: all are."""
        for start in range(0, len(self.cells), 100):
            for cell in np.asarray(self.cells[start : start + 100], dtype=object):
                if cell is not None and cell == cell and cell != "":
                    return cell
        return None

    @property
    def numbers(self) -> np.ndarray:
        """The cells as doubles, NaN where missing."""
        to_numpy = getattr(self.cells, "to_numpy", None)
        if to_numpy is None:
            return np.asarray(self.cells, dtype=np.float64)
        return to_numpy(dtype=np.float64, na_value=np.nan)


@dataclass
class Roles:
    """What the columns of a table are.

    Attributes:
        times: the column of times; None: none.
        unit: unit of times that are whole numbers; None: unknown.
        others: the columns that are neither times nor an index.
        doubt: error message about a column that may be no sensor; None: all are certain.
    """

    times: Column | None
    unit: str | None
    others: list[Column]
    doubt: str | None = None


def find_roles(caller: str, label: Any, columns: Sequence[Column], table_format: TableFormat) -> Roles:
    """Return what the columns are, by their types, content and names.

    Raises:
        ValueError: if `time_column` is not among them, or several columns have times.
    """
    chosen = table_format.time_column
    if chosen not in (None, NO_TIMES) and chosen not in [column.name for column in columns]:
        raise ValueError(
            f"{caller}: expected time_column to be one of {listed([column.name for column in columns])} or 'none' in "
            f"{label}, got {chosen!r}"
        )
    times: list[tuple[Column, str | None]] = []
    others: list[Column] = []
    doubt = None
    for column in columns:
        role, unit = _role(column)
        if chosen is not None and role == "time" and column.name != chosen:
            role = "none" if column.kind != "number" or column.is_index else "sensor"
        if column.name == chosen:
            times.append((column, unit if role == "time" else None))
        elif role == "time":
            times.append((column, unit))
        elif role == "durations" and chosen is None:
            raise ValueError(
                f"{caller}: expected times in {label}, got durations as its index; store dates, or pass time_column "
                "(--time-column) 'none'"
            )
        elif role == "doubt" and chosen != NO_TIMES:
            doubt = (
                doubt
                or f"{caller}: expected sensors, times or an index in {label}, got {_described(column)}; {OPTIONS}"
            )
            others.append(column)
        elif role in ("sensor", "doubt"):
            others.append(column)
    if len(times) > 1:
        names = f"{times[0][0].name!r} and {times[1][0].name!r}"
        remedy = f"join a date and its time of day in one column, or {OPTIONS}"
        raise ValueError(f"{caller}: expected one column of timestamps in {label}, got {names}; {remedy}")
    if not times and chosen is None and doubt is None and columns and _may_be_times(columns[0]):
        doubt = f"{caller}: expected sensors, times or an index in {label}, got {_described(columns[0])}; {OPTIONS}"
    column_and_unit = times[0] if times else (None, None)
    return Roles(column_and_unit[0], column_and_unit[1], others, doubt)


def _role(column: Column) -> tuple[str, str | None]:
    """Return "time" (with the unit of whole numbers, if the name says it), "index", "sensor" or "doubt"."""
    name, kind = normalized(column.name), column.kind
    if kind == "time":
        return "time", None
    if kind == "duration" and column.is_index:
        return "durations", None
    if kind == "text":
        is_time = name in TIMES or column.is_index or (isinstance(column.first, str) and is_timestamp(column.first))
        return ("time" if is_time else "sensor"), None
    if kind != "number":
        return "sensor", None
    if name in TIMES:
        return "time", None
    known = name in PARTS_OF_TIMES | INDICES | COUNTERS or column.is_index
    if not known and name not in SENSORS:
        return "sensor", None
    values = column.numbers
    if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        return ("doubt" if column.is_index or name in UNNAMED else "sensor"), None
    increasing = bool((np.diff(values) > 0).all())
    if name == "year" and increasing and values[0] >= 1000 and values[-1] < 3000:
        return "time", "Y"
    if increasing and name not in SENSORS and _are_times(values):
        return "time", None
    if name in COUNTERS and not column.is_index:
        counts = bool((np.diff(values) == 1).all())
        return ("sensor" if not counts else "index" if name == "step" else "doubt"), None
    return ("index" if column.is_index or (name in INDICES and increasing) else "doubt"), None


def _may_be_times(column: Column) -> bool:
    """Return True for a first column with another name that has whole numbers like times, at equal steps mostly."""
    if column.kind != "number" or normalized(column.name) in SENSORS:
        return False
    values = column.numbers
    if len(values) < 3 or not np.isfinite(values).all() or (values != np.rint(values)).any():
        return False
    steps = np.diff(values)
    return bool((steps > 0).all() and np.mean(steps == np.median(steps)) >= 0.5) and _are_times(values)


def _are_times(values: np.ndarray) -> bool:
    """Return True for whole numbers that are times for certain."""
    if not len(values) or values[0] < 10_000_000:  # before the first date as 19700101
        return False
    try:
        parse_times("", values.astype(np.int64))
    except ValueError:
        return False
    return True


def normalized(name: str) -> str:
    """Return a name in lower case with underscores.

    Example:
        >>> normalized(" Time-Stamp")
        'time_stamp'
    """
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def has_decimal_comma(cell: str) -> bool:
    """Return True for a number such as 1,5.

    Example:
        >>> has_decimal_comma("-1,25"), has_decimal_comma("1.5"), has_decimal_comma("1,000,000")
        (True, False, False)
    """
    return re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", cell.strip(), re.ASCII) is not None


def _described(column: Column) -> str:
    cells = ", ".join(f"{cell:.0f}" if cell.is_integer() else f"{cell:g}" for cell in column.numbers[:3].tolist())
    return f"{'the index' if column.is_index else 'a column'} {column.name!r} with {cells}, ..."


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first names in quotes."""
    suffix = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + suffix


def counts_lines(column: Column) -> bool:
    """Return True for the numbers of lines, 0, 1, 2, ... or from 1, which name no sensors."""
    if column.kind != "number" or len(column.cells) < 2:
        return False
    values = column.numbers
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())


def looks_long(roles: Roles) -> Column | None:
    """Return the column that seems to name the sensor of each line; None: there is none."""
    for column in roles.others:
        if (isinstance(column.first, str) and has_decimal_comma(column.first)) or counts_lines(column):
            continue
        if column.kind == "text" or normalized(column.name) in SENSORS:
            cells = np.asarray(column.cells, dtype=object)
            if normalized(column.name) in SENSORS or len(set(cells[:1000].tolist())) < len(cells[:1000]):
                return column
    return None
