"""Tables in text files, read cell by cell, so that what is wrong can be named by line and column."""

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

MISSING = {"", "nan", "na", "n/a", "null", "none"}


def read_table(caller: str, path: Path) -> list[list[str]]:
    """The rows of a file of values parted by commas, semicolons or tabs, stripped of blanks; line i + 1 is row i.

    Raises:
        ValueError: naming the file, if it cannot be read or is empty, and the line that is empty or has another number
            of values than the first one.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter, strict=True)]
    except OSError as error:
        raise ValueError(f"{caller}: expected a readable file, got {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{caller}: expected {path} to be UTF-8, got byte 0x{error.object[error.start]:02x}") from None
    except csv.Error as error:
        raise ValueError(f"{caller}: expected a table, got {path}: {error}") from error
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise ValueError(f"{caller}: expected a table, got the empty file {path}")
    width = len(rows[0])
    for line, row in enumerate(rows, start=1):
        row = rows[line - 1] = row or [""] * (width == 1)  # an empty line of one column is one missing value
        if len(row) != width:
            raise ValueError(
                f"{caller}: expected {width} values, as in the first line, got {len(row)} in line {line} of {path}"
            )
    return rows


def numbers(
    caller: str, rows: Sequence[Sequence[str]], names: Sequence[str], path: Path, first_line: int
) -> np.ndarray:
    """Cells as doubles `[rows, columns]`, NaN where there is nothing ("", "nan", "NA", "null").

    Raises:
        ValueError: naming the line and column of a cell that is no finite number.
    """
    values = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        try:
            values[i] = [float(cell) for cell in row]
        except ValueError:
            values[i] = [np.nan if cell.lower() in MISSING else _number(cell) for cell in row]
        wrong = np.flatnonzero(np.isinf(values[i]))
        if len(wrong):
            column = int(wrong[0])
            where = f"line {first_line + i}, column {names[column]!r} of {path}"
            raise ValueError(f"{caller}: expected a number or nothing, got {row[column]!r} in {where}")
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.inf


def moment(cell: str) -> np.datetime64 | None:
    """A date, or a date and time, in ISO 8601, to the second, as the clock shows it there; None for anything else."""
    try:
        return np.datetime64(datetime.fromisoformat(cell).replace(tzinfo=None), "s")
    except ValueError:
        return None


def check_distinct(caller: str, names: Sequence[str], path: Path, what: str = "sensor") -> None:
    """Checks that columns have names, each its own.

    Raises:
        ValueError: naming the column without one, or the name that is there twice, and its columns.
    """
    columns: dict[str, int] = {}
    for column, name in enumerate(names, start=1):
        if not name:
            raise ValueError(f"{caller}: expected a name for every {what}, got none for {what} {column} of {path}")
        if name in columns:
            found = f"{name!r} as number {columns[name]} and {column} of {path}"
            raise ValueError(f"{caller}: expected distinct {what}s, got {found}")
        columns[name] = column
