"""Reader for tables in text files, whose errors name the line and column."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

MISSING = {"", "nan", "na", "n/a", "null", "none"}


def read_table(caller: str, path: Path, delimiters: str = ",;\t") -> list[list[str]]:
    """Return the rows of a file with values separated by commas, semicolons or tabs, without surrounding blanks. Row i
    is line i + 1.

    Raises:
        ValueError: if the file cannot be read or is empty, or a line is empty or has a different number of values than
            the first line; the message names the file and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:  # CR CR LF: a line end that was changed twice
            file = io.StringIO(opened.read().replace("\r\r\n", "\n"), newline="")
            first = file.readline()
            delimiter = max(delimiters, key=first.count)
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
    """Return cells as doubles `[rows, columns]`, NaN for missing values ("", "nan", "NA", "null").

    Raises:
        ValueError: if a cell is not a finite number; the message names its line and column.
    """
    values = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        try:
            values[i] = [float(cell) for cell in row]
        except ValueError:
            values[i] = [np.nan if cell.lower() in MISSING else _number(cell) for cell in row]
        invalid = np.flatnonzero(np.isinf(values[i]))
        if len(invalid):
            column = int(invalid[0])
            location = f"line {first_line + i}, column {names[column]!r} of {path}"
            raise ValueError(f"{caller}: expected a number or an empty cell, got {row[column]!r} in {location}")
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.inf


def parse_timestamp(cell: str) -> np.datetime64 | None:
    """Return an ISO 8601 date, or date and time, to the second, in local time; None for other text."""
    try:
        return np.datetime64(datetime.fromisoformat(cell).replace(tzinfo=None), "s")
    except ValueError:
        return None


def check_distinct(caller: str, names: Sequence[str], path: Path, noun: str = "sensor") -> None:
    """Check that columns have distinct, non-empty names.

    Raises:
        ValueError: if a name is missing or repeated; the message names it and its columns.
    """
    columns: dict[str, int] = {}
    for column, name in enumerate(names, start=1):
        if not name:
            raise ValueError(f"{caller}: expected a name for every {noun}, got none for {noun} {column} of {path}")
        if name in columns:
            actual = f"{name!r} as number {columns[name]} and {column} of {path}"
            raise ValueError(f"{caller}: expected distinct {noun}s, got {actual}")
        columns[name] = column
