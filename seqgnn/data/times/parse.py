"""Timestamps from what files and users have: text, integers, numpy's and pandas' times, datetimes."""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np

from seqgnn._utils.numbers import is_whole
from seqgnn._utils.validation import one_of
from seqgnn.data.times.text import check_all_aware, parse_text
from seqgnn.data.times.timestamps import Times, coarsest

Where = Callable[[int], str]
# For each unit of integers: the first and last value of the years 1980 to 2100, which do not overlap.
EPOCHS = {unit: (315_532_800 * factor, 4_133_980_800 * factor)
          for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))}  # fmt: skip
WRITTEN = {"yyyymmdd": 0, "yyyymmddhh": 2, "yyyymmddhhmm": 4, "yyyymmddhhmmss": 6}  # digits of the time of day
MOST_YEARS = 100_000  # before or after year 0, between which all differences fit 64 bits in microseconds
DIGITS = 100  # of whole numbers; Python refuses to read thousands
INTEGER_UNITS = (*EPOCHS, "D", "Y", "yyyymm", *WRITTEN)
NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)


def parse_times(
    caller: str,
    values: Any,
    *,
    unit: str | None = None,
    day_first: bool | None = None,
    where: Where | None = None,
    increasing: bool = True,
) -> Times:
    """Return timestamps.

    Args:
        caller: name used in error messages.
        values: text (ISO 8601, with or without an offset from UTC; 1/3/2012 if `day_first` or another line says which
            number is the day; 2012Q1), integers (see `unit`), datetime64, datetimes, or a pandas, polars or numpy array
            of these. Times with a zone keep it.
        unit: meaning of integers: seconds ("s"), "ms", "us" or "ns" since 1970, in UTC; days ("D") since 1970; years
            ("Y"); "yyyymm" for 201203, "yyyymmdd", and "yyyymmddhh" to "yyyymmddhhmmss" with the time of day. None: by
            their size, if that is certain.
        day_first: whether 1/3/2012 is the first of March; None: decided by a line with a number above 12.
        where: location of a step in words, with its preposition, for errors: "in line 3 of a.csv"; None: "at step 1".
        increasing: whether each must be later than the one before it.

    Raises:
        ValueError: if a value is no timestamp of the years -100,000 to 100,000, or not later than the one before it;
            if the unit of integers or the order of day and month is not certain; if some times have an offset from UTC
            and others have none.
    """
    where = (lambda step: f"at step {step}") if where is None else where
    times = _parsed(caller, values, unit, day_first, where)
    if times.wall_clock.ndim != 1:
        raise ValueError(f"{caller}: expected one timestamp per step, got shape {times.wall_clock.shape}")
    if (missing := np.isnat(times.wall_clock)).any():
        raise ValueError(f"{caller}: expected a timestamp at every step, got none {where(int(missing.argmax()))}")
    instants = times.instants
    decreasing = np.flatnonzero(instants[1:] <= instants[:-1])
    if increasing and len(decreasing):
        step = int(decreasing[0]) + 1
        now, before = times.wall_clock[step], times.wall_clock[step - 1]
        again = now in times.wall_clock[:step]
        actual = f"{in_words(now)} {'again' if again else f'after {in_words(before)}'} {where(step)}"
        if times.offset is None and again and len(decreasing) == 1 and before - now <= np.timedelta64(1, "h"):
            actual += "; if clocks were set back, times need their offset from UTC, as 2012-11-04 01:00-07:00"
        raise ValueError(f"{caller}: expected increasing timestamps, got {actual}")
    if increasing and len(times) and int(instants[-1].astype(np.int64)) - int(instants[0].astype(np.int64)) >= 2**63:
        first, last = in_words(times.wall_clock[0]), in_words(times.wall_clock[-1])
        raise ValueError(
            f"{caller}: expected timestamps in nanoseconds to be within 292 years, got {first} and {last} "
            f"{where(len(times) - 1)}"
        )
    return times


def in_words(time: np.datetime64) -> str:
    """Return a time as text: "2012-03-01 00:05"."""
    return str(time).replace("T", " ").removesuffix(":00")


def _parsed(caller: str, values: Any, unit: str | None, day_first: bool | None, where: Where) -> Times:
    if isinstance(values, Times):
        return values
    if hasattr(values, "type") and hasattr(values, "to_pandas"):  # pyarrow's arrays, whose numpy has no zone
        values = values.to_pandas()
    if type(getattr(values, "dtype", None)).__name__ == "PeriodDtype":  # pandas' periods, at their start
        values = getattr(values, "dt", values).to_timestamp()
    if (zone := _zone(values)) is not None:
        return _of_zone(caller, values, zone, where)
    if isinstance(values, str | bytes):
        raise ValueError(f"{caller}: expected timestamps as a list or array, got {values!r}")
    if isinstance(values, list) and all(isinstance(item, str) for item in values):
        return _cells(caller, values, unit, day_first, where)
    array = _array(values)
    if array.dtype.kind == "M":
        return _datetimes(caller, array, where)
    if array.dtype.kind in "iu":
        return _integers(caller, array.astype(np.int64), unit, where)
    if array.dtype.kind == "f":
        return _floats(caller, array, unit, where)
    if array.dtype.kind in "SU":
        cells = [cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell) for cell in array.tolist()]
        return _cells(caller, cells, unit, day_first, where)
    if array.dtype.kind == "O" and array.ndim == 1:
        return _objects(caller, array.tolist(), unit, day_first, where)
    actual = f"{type(values).__name__} of {array.dtype}"
    raise ValueError(f"{caller}: expected timestamps as datetime64, text or integers, got {actual} {where(0)}")


def _zone(values: Any) -> Any:
    """Return the time zone of a pandas or polars array; None: without one."""
    dtype = getattr(values, "dtype", None)
    return getattr(dtype, "tz", None) or getattr(dtype, "time_zone", None)


def _of_zone(caller: str, values: Any, zone: Any, where: Where) -> Times:
    import pandas

    if hasattr(values.dtype, "tz"):
        index = pandas.DatetimeIndex(values).tz_convert("UTC")
    else:  # polars: numpy has the times in UTC
        index = pandas.DatetimeIndex(values.to_numpy(), tz="UTC")
    instants = np.asarray(index.tz_localize(None))
    _check_years(caller, _years(instants), where, 1, 9999)  # those of Python's time zones
    index = index.tz_convert(zone if hasattr(values.dtype, "tz") else str(zone))
    wall_clock = np.asarray(index.tz_localize(None))
    times = coarsest(wall_clock)
    return Times(times, (wall_clock - instants).astype(f"m8[{np.datetime_data(times.dtype)[0]}]"), str(index.tz))


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except ValueError:  # ragged
        return np.empty((0, 0), dtype=object)


def _objects(caller: str, items: list[Any], unit: str | None, day_first: bool | None, where: Where) -> Times:
    """Return the times of Python objects, all of one kind."""
    if all(isinstance(item, str | bytes) for item in items):
        cells = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in items]
        return _cells(caller, cells, unit, day_first, where)
    if all(isinstance(item, int | np.integer) and not isinstance(item, bool) for item in items):
        return _integers(caller, np.array(items, dtype=np.int64), unit, where)
    items = [item.to_timestamp() if hasattr(item, "to_timestamp") else item for item in items]  # pandas' periods
    invalid = next((i for i, item in enumerate(items) if not isinstance(item, date | np.datetime64)), None)
    if invalid is not None:
        raise ValueError(f"{caller}: expected a timestamp, got {items[invalid]!r} {where(invalid)}")
    aware = [isinstance(item, datetime) and item.tzinfo is not None for item in items]
    if not any(aware):
        return _datetimes(caller, np.array([np.datetime64(_plain(item)) for item in items]), where)
    check_all_aware(caller, aware, where)
    offsets = np.array([np.timedelta64(item.utcoffset()) for item in items])
    walls = np.array([np.datetime64(_plain(item.replace(tzinfo=None))) for item in items])
    zones = {str(getattr(item.tzinfo, "key", None) or item.tzinfo) for item in items}
    zone = zones.pop() if len(zones) == 1 else None
    walls = coarsest(walls)
    return Times(walls, offsets.astype(f"m8[{np.datetime_data(walls.dtype)[0]}]"), _known_zone(zone))


def _plain(item: Any) -> Any:
    return item.to_datetime64() if hasattr(item, "to_datetime64") else item


def _known_zone(zone: str | None) -> str | None:
    """Return the zone if pandas knows it by this name."""
    import pandas

    try:
        return None if zone is None else str(pandas.Timestamp(0, tz=zone).tz)
    except Exception:  # zones' libraries raise errors of their own
        return None


def _cells(caller: str, cells: list[str], unit: str | None, day_first: bool | None, where: Where) -> Times:
    if cells and all(is_whole(cell.strip()) and len(cell) < DIGITS for cell in cells):
        numbers = [int(cell) for cell in cells]
        if max(numbers) < 2**63:
            return _integers(caller, np.array(numbers), unit, where)
    invalid = next((i for i, cell in enumerate(cells) if NUMBER.fullmatch(cell.strip()) is None), None)
    if invalid is None and cells:
        return _floats(caller, np.array([float(cell) for cell in cells]), unit, where)
    if unit is not None and invalid is not None:
        expected = f"an integer as timestamp, in units of {unit!r}"
        raise ValueError(f"{caller}: expected {expected}, got {cells[invalid]!r} {where(invalid)}")
    walls, offsets = parse_text(caller, cells, day_first, where)
    times = coarsest(walls)
    if offsets is None:
        return Times(times)
    return Times(times, offsets.astype(f"m8[{np.datetime_data(times.dtype)[0]}]"), "UTC" if not offsets.any() else None)


def _floats(caller: str, values: np.ndarray, unit: str | None, where: Where) -> Times:
    """Return times from floats, which hold whole numbers or fractions of seconds."""
    invalid = ~(np.abs(values) < 2**63)
    if invalid.any():
        step = int(invalid.argmax())
        raise ValueError(f"{caller}: expected a timestamp, got {values[step]} {where(step)}")
    if (values == np.rint(values)).all():
        return _integers(caller, values.astype(np.int64), unit, where)
    unit = _unit_by_size(caller, values, where) if unit is None else unit
    if unit not in EPOCHS:
        step = int((values != np.rint(values)).argmax())
        raise ValueError(f"{caller}: expected whole numbers as timestamps, got {values[step]} {where(step)}")
    microseconds = np.rint(values * {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[unit])
    return Times(coarsest(microseconds.astype(np.int64).astype("datetime64[us]")))


def _integers(caller: str, values: np.ndarray, unit: str | None, where: Where) -> Times:
    unit = _unit_by_size(caller, values, where) if unit is None else unit
    one_of(caller, "the unit of timestamps", unit, INTEGER_UNITS)
    if unit in WRITTEN or unit == "yyyymm":
        _check_years(caller, values // 10 ** (WRITTEN.get(unit, -2) + 4), where)
        written = _days(values * 100 + 1) if unit == "yyyymm" else _written(values, WRITTEN[unit])
        if (invalid := np.isnat(written)).any():
            step = int(invalid.argmax())
            raise ValueError(
                f"{caller}: expected a date as {'20120301000000'[: len(unit)]}, got {values[step]} {where(step)}"
            )
        return Times(coarsest(written))
    if unit == "Y":
        _check_years(caller, values, where)
        values = values - 1970
    return _datetimes(caller, values.astype(f"datetime64[{unit}]"), where)


def _datetimes(caller: str, values: np.ndarray, where: Where) -> Times:
    if values.ndim == 1 and np.datetime_data(values.dtype)[0] not in ("ps", "fs", "as"):
        _check_years(caller, _years(values), where)
    return Times(coarsest(values))


def _years(values: np.ndarray) -> np.ndarray:
    """Return the years of datetime64, 1970 for NaT."""
    return np.where(np.isnat(values), 0, values.astype("datetime64[Y]").astype(np.int64)) + 1970


def _check_years(
    caller: str, years: np.ndarray, where: Where, first: int = -MOST_YEARS, last: int = MOST_YEARS
) -> None:
    if (invalid := (years < first) | (years > last)).any():
        step = int(invalid.argmax())
        expected = f"a timestamp of the years {first:,} to {last:,}"
        raise ValueError(f"{caller}: expected {expected}, got the year {years[step]:,} {where(step)}")


def _days(values: np.ndarray) -> np.ndarray:
    """Return the days of integers such as 20120301; NaT for others."""
    years, months, days = values // 10_000, values // 100 % 100, values % 100
    valid = (months >= 1) & (months <= 12) & (days >= 1)
    first = (np.where(valid, (years - 1970) * 12 + months - 1, 0)).astype("datetime64[M]")
    result = first.astype("datetime64[D]") + (days - 1)
    return np.where(valid & (result.astype("datetime64[M]") == first), result, np.datetime64("NaT", "D"))


def _written(values: np.ndarray, digits: int) -> np.ndarray:
    """Return the times of integers such as 201203010005, whose last digits are the time of day; NaT for others."""
    days, clock = _days(values // 10**digits), values % 10**digits * 10 ** (6 - digits)
    hours, minutes, seconds = clock // 10_000, clock // 100 % 100, clock % 100
    valid = (minutes < 60) & (seconds < 60) & (clock <= 240_000)
    times = days.astype("datetime64[s]") + (hours * 3600 + minutes * 60 + seconds)
    return np.where(valid, times, np.datetime64("NaT", "s"))


def _unit_by_size(caller: str, values: np.ndarray, where: Where) -> str:
    """Return the only unit in which all values are times from 1980 to 2100."""
    whole = values.astype(np.int64)
    for unit, digits in WRITTEN.items():  # before seconds, in which 2012030100 is a time of 2033
        years = whole // 10 ** (digits + 4)
        valid = (years >= 1980) & (years <= 2100) & (whole == values) & ~np.isnat(_written(whole, digits))
        if len(values) and valid.all():
            return unit
    for unit, (first, last) in EPOCHS.items():
        if len(values) and first <= values.min() and values.max() < last:
            return unit
    actual = f"the number {values[0]} {where(0)}" if len(values) else "none"
    raise ValueError(
        f"{caller}: expected timestamps whose unit is certain, got {actual}; pass time_unit (--time-unit), one "
        f"of {', '.join(INTEGER_UNITS)}"
    )
