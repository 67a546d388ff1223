"""Reader for tables in text files, whose errors name the line and column."""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn._utils.numbers import LARGEST, is_whole, parse_number, size_hint
from seqgnn.data.io.limits import check_unpacked

MISSING = {"", "nan", "na", "n/a", "null", "none"}
EXACT = 2**53  # doubles hold all whole numbers up to this one
CHUNK = 2**24  # bytes unpacked at a time


def read_text(caller: str, path: Path) -> bytes:
    """Return the content of a text file in UTF-8 without its byte order mark, unpacked if it is a .gz file.

    Lines may end with carriage returns before the line feed, also several.

    Raises:
        ValueError: if it cannot be read, or unpacks to more than `limits.unpacked_limit`.
    """
    try:
        content = _unpack(caller, path) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{caller}: expected a readable file, got {path}: {reason}") from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, which is reported as such
        line = content.count(b"\n", 0, content.find(b"\0")) + 1
        raise ValueError(f"{caller}: expected text in {path}, got a zero byte in line {line}")
    while content[: content.find(b"\n") + 1].endswith(b"\r\r\n"):  # as then in all lines
        content = content.replace(b"\r\r\n", b"\r\n")
    return content


def _unpack(caller: str, path: Path) -> bytes:
    chunks, size = [], 0
    with gzip.open(path) as file:
        while chunk := file.read(CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            check_unpacked(caller, path, size)
    return b"".join(chunks)


def read_table(caller: str, path: Path, delimiters: str = ",;\t") -> list[list[str]]:
    """Return the rows of a file with values separated by commas, semicolons or tabs, without surrounding blanks. Row i
    is line i + 1.

    Raises:
        ValueError: if the file cannot be read or is empty, or a line is empty or has a different number of values than
            the first line; the message names the file and line.
    """
    return rows_of(caller, path, read_text(caller, path), delimiters)


def rows_of(caller: str, path: Path, content: bytes, delimiters: str = ",;\t") -> list[list[str]]:
    """Return the rows of the content of a file, as `read_table`."""
    try:
        text = content.decode("utf-8")
        delimiter = find_delimiter(text.partition("\n")[0], delimiters)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [[cell.strip() for cell in row] for row in reader]
    except UnicodeDecodeError as error:
        byte = f"0x{error.object[error.start]:02x}"
        raise ValueError(f"{caller}: expected {path} to be UTF-8, got byte {byte}; save it as UTF-8") from None
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


def find_delimiter(line: str, delimiters: str = ",;\t") -> str:
    """Return the most frequent delimiter of a line."""
    return max(delimiters, key=line.count)


def is_number(cell: str) -> bool:
    """Return True for a number or a missing value.

    Example:
        >>> is_number("1e-3"), is_number("NA"), is_number("1_000"), is_number("two")
        (True, True, False, False)
    """
    return cell.lower() in MISSING or parse_number(cell) is not None


def numbers(
    caller: str,
    rows: Sequence[Sequence[str]],
    names: Sequence[str],
    path: Path,
    first_line: int,
    decimal: str = ".",
) -> np.ndarray:
    """Return cells as doubles `[rows, columns]`, NaN for missing values ("", "nan", "NA", "null").

    Raises:
        ValueError: if a cell is not a number of the range of float32, or a whole number that doubles cannot hold; the
            message names its line and column.
    """
    values = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            text = cell.replace(",", ".") if decimal == "," else cell
            number = np.nan if cell.lower() in MISSING else parse_number(text)
            values[i, j] = np.inf if number is None else number
        invalid = np.flatnonzero(np.abs(values[i]) > LARGEST)
        if len(invalid):
            column = int(invalid[0])
            cell, location = row[column], f"line {first_line + i}, column {names[column]!r} of {path}"
            hint = size_hint(cell)
            if decimal != "," and "," in cell and parse_number(cell.replace(",", ".")) is not None:
                hint = "; pass decimal=',' (--decimal ,)"
            raise ValueError(f"{caller}: expected a number or an empty cell, got {cell!r} in {location}{hint}")
        for j in np.flatnonzero(np.abs(values[i]) >= EXACT).tolist():
            if is_whole(row[j].lstrip("+-")) and int(row[j]) != float(values[i, j]):
                location = f"line {first_line + i}, column {names[j]!r} of {path}"
                raise ValueError(f"{caller}: expected a number that float64 holds, got {row[j]} in {location}")
    return values


def check_distinct(caller: str, names: Sequence[str], path: Any, noun: str = "sensor") -> None:
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
