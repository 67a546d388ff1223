"""Reader for time series in csv files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import MISSING, check_distinct, numbers, parse_timestamp, read_table
from seqgnn.data.io.table_format import TableFormat

TIMES = {"time", "times", "date", "dates", "datetime", "timestamp", "timestamps"}


def read_csv(path: Path, table_format: TableFormat) -> Columns:
    """Return the content of a csv file: a line per step, a column per sensor and optionally one of timestamps."""
    header, *rows = read_table(CALLER, path, ",;\t" if table_format.decimal == "." else ";\t")
    if not rows:
        raise ValueError(f"{CALLER}: expected a header and lines of values, got one line in {path}")
    timestamps = None
    if header[0].lower() in TIMES or (not _is_value(rows[0][0]) and parse_timestamp(rows[0][0]) is not None):
        if parse_timestamp(header[0]) is not None:
            raise ValueError(f"{CALLER}: expected column names in line 1 of {path}, got a value, {header[0]!r}")
        timestamps = _timestamps([row[0] for row in rows], path)
        header, rows = header[1:], [row[1:] for row in rows]
        if not header:
            raise ValueError(f"{CALLER}: expected columns besides the timestamps, got none in {path}")
    check_distinct(CALLER, header, path)
    if all(map(_is_value, header)) and not all(map(str.isdecimal, header)):
        raise ValueError(f"{CALLER}: expected column names in line 1 of {path}, got a value, {header[0]!r}")
    if table_format.decimal == ",":
        rows = [[cell.replace(",", ".") for cell in row] for row in rows]
    return Columns(numbers(CALLER, rows, header, path, 2), header, timestamps)


def _is_value(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in MISSING
    return True


def _timestamps(cells: Sequence[str], path: Path) -> np.ndarray:
    """Return the timestamps of lines 2 and following."""
    times: list[np.datetime64] = []
    for line, cell in enumerate(cells, start=2):
        if (time := parse_timestamp(cell)) is None:
            raise ValueError(
                f"{CALLER}: expected a timestamp as 2012-03-01 00:05, got {cell!r} in line {line}, column 1 of {path}"
            )
        if times and time <= times[-1]:
            order = "again" if time == times[-1] else f"after {cells[line - 3]!r}"
            actual = f"{cell!r} {order} in line {line} of {path}"
            raise ValueError(f"{CALLER}: expected increasing timestamps, got {actual}")
        times.append(time)
    return np.array(times)
