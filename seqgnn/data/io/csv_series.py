"""Reader for time series in csv files."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn._utils.numbers import LARGEST, is_whole, size_hint
from seqgnn.data.io.column_roles import (
    COUNTERS,
    INDICES,
    PARTS_OF_TIMES,
    SENSORS,
    TIMES,
    Column,
    counts_lines,
    normalized,
)
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import (
    EXACT,
    MISSING,
    find_delimiter,
    is_number,
    numbers,
    read_text,
    rows_of,
)
from seqgnn.data.io.frames import columns_of
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.times import is_timestamp

NA_VALUES = sorted({spelling for word in MISSING for spelling in (word, word.upper(), word.title())} | {"NaN", "N/a"})
KEPT_AS_TEXT = TIMES | PARTS_OF_TIMES | INDICES | COUNTERS | SENSORS
SAMPLE = 10_000  # bytes that show whether blanks follow delimiters; if later ones do, the slower parser reads them
TOP = 6  # lines from which the header and the types of columns are known


def read_csv(path: Path, table_format: TableFormat) -> Columns:
    """Return the content of a csv file.

    The parser of pandas reads it. Where that fails, or might hide a mistake, a slower one reads it again, which names
    the line and column of the mistake.
    """
    content = read_text(CALLER, path)
    if content.endswith((b"\n\n", b"\n\r\n")):
        content = content.rstrip(b"\r\n")
    delimiters = ",;\t" if table_format.decimal == "." else ";\t"
    top = _top(content, path, delimiters)
    header_rows, lines = _header(top, path, table_format)
    names = _names(top, header_rows)
    kinds = _text_columns(top[lines:], [" ".join(filter(None, name)) for name in names], table_format)
    delimiter = find_delimiter(content[: content.find(b"\n")].decode(errors="replace"), delimiters)
    columns = _parse(content, delimiter, lines, kinds, table_format.decimal)
    if columns is None:
        rows = rows_of(CALLER, path, content, delimiters)[lines:]
        columns = _columns(rows, [" ".join(filter(None, name)) for name in names], kinds, path, lines, table_format)
    if table_format.header_rows is None and all(is_whole(cell) for cell in top[0]):
        _check_header(top[0], columns, path)
    return columns_of(
        CALLER,
        path,
        _frame(columns, names, table_format, path, lines),
        table_format,
        lambda row: f"line {row + 1 + lines}",
    )


def _top(content: bytes, path: Path, delimiters: str) -> list[list[str]]:
    """Return the first lines of a file."""
    end = -1
    for _ in range(TOP):
        end = content.find(b"\n", end + 1)
        if end < 0:
            break
    try:
        return rows_of(CALLER, path, content if end < 0 else content[:end], delimiters)
    except ValueError:  # a mistake, or a line end within quotes
        return rows_of(CALLER, path, content, delimiters)


def _header(top: list[list[str]], path: Path, table_format: TableFormat) -> tuple[int, int]:
    """Return the number of lines with names of columns, and of all lines before the first step."""
    first = top[0]
    count = table_format.header_rows
    if count is None:
        has_names = not all(is_number(cell) or is_timestamp(cell) for cell in first)
        if not has_names and not all(is_whole(cell) for cell in first[first[0] == "" :]):
            raise ValueError(
                f"{CALLER}: expected column names in line 1 of {path}, got a value, {first[0]!r}; pass header_rows=0 "
                "(--header-rows 0) if it has no names"
            )
        if _has_second_header(top):
            raise ValueError(
                f"{CALLER}: expected one line of column names in {path}, got also line 2, {_shown(top[1])}; pass "
                "header_rows=2 (--header-rows 2)"
            )
        count = 1
    lines = count
    if count == 2 and len(top) > 2 and not _is_cell(top[2][0]) and not any(top[2][1:]):
        lines = 3  # pandas writes the name of the index in a line of its own
    if len(top) <= lines:
        raise ValueError(f"{CALLER}: expected a header and lines of values, got one line in {path}")
    return count, lines


def _has_second_header(top: list[list[str]]) -> bool:
    if len(top) < 3 or len(top[0]) < 2:
        return False
    second, third = top[1], top[2]
    if _is_cell(second[0]) and second[0]:
        return False
    only_names = not any(is_number(cell) for cell in second[1:]) and any(is_number(cell) for cell in third[1:])
    is_index_name = bool(third[0]) and not _is_cell(third[0]) and not any(third[1:])
    return only_names or is_index_name or (_is_cell(third[0]) and bool(third[0]))


def _is_cell(cell: str) -> bool:
    """Return True for a number, a missing value or a time."""
    return is_number(cell) or is_timestamp(cell)


def _shown(row: list[str]) -> str:
    return ", ".join(map(repr, row[:3])) + (", ..." if len(row) > 3 else "")


def _names(top: list[list[str]], header_rows: int) -> list[tuple[str, ...]]:
    """Return the names of each column, one for each line of the header."""
    if header_rows == 0:
        has_times = is_timestamp(top[0][0])
        names = list(map(str, range(len(top[0]) - has_times)))
        return [(name,) for name in (["time", *names] if has_times else names)]
    return list(zip(*top[:header_rows]))


def _text_columns(top: list[list[str]], names: list[str], table_format: TableFormat) -> list[bool]:
    """Return True for each column that is read as text at first: those not of numbers, and those that may be times, an
    index or names of sensors, whose leading zeros count."""
    chosen = (table_format.time_column, table_format.sensor_column)
    return [
        name in chosen
        or normalized(name) in KEPT_AS_TEXT
        or not all(is_number(cell.replace(",", ".") if table_format.decimal == "," else cell) for cell in cells[:1])
        for name, cells in zip(names, zip(*top))
    ]


def _parse(content: bytes, delimiter: str, lines: int, is_text: list[bool], decimal: str) -> list[Any] | None:
    """Return the columns as pandas reads them; None if it fails or its result may be wrong."""
    import pandas

    width = len(is_text)
    body = -1
    for _ in range(lines):
        body = content.find(b"\n", body + 1)
    if content.find(b'"', max(body, 0)) >= 0:
        return None
    exact = {} if int(pandas.__version__.partition(".")[0]) > 2 else {"float_precision": "round_trip"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            frame = pandas.read_csv(
                io.BytesIO(content),
                sep=delimiter,
                header=None,
                names=range(width),
                index_col=False,
                skiprows=lines,
                dtype={i: object for i, text in enumerate(is_text) if text},  # float64 would take thrice the time
                na_values={i: NA_VALUES for i, text in enumerate(is_text) if not text},
                keep_default_na=False,
                skip_blank_lines=False,
                skipinitialspace=f"{delimiter} ".encode() in content[:SAMPLE],  # a fifth of the time; seldom needed
                decimal=decimal,
                **exact,
            )
    except (ValueError, Warning):
        return None
    columns = [frame[i] for i in range(width)]
    if any(not text and column.dtype.kind not in "iuf" for text, column in zip(is_text, columns)):
        return None
    last = columns[-1]
    may_be_short = (last.isna() | (last == "")).any() if is_text[-1] else last.isna().any()
    if may_be_short and content.count(delimiter.encode()) != (len(frame) + lines) * (width - 1):
        return None
    if any(not text and not _is_within(column.to_numpy()) for text, column in zip(is_text, columns)):
        return None
    return [_stripped(column) if text else column for text, column in zip(is_text, columns)]


def _is_within(values: np.ndarray) -> bool:
    """Return True if doubles hold all whole numbers of the size of the values."""
    largest, smallest = np.fmax.reduce(values), np.fmin.reduce(values)
    return bool(np.isnan(largest) or (largest < EXACT and smallest > -EXACT))


def _stripped(column: Any) -> Any:
    import pandas

    return pandas.Series([cell.strip() for cell in column.tolist()], dtype=object)


def _columns(
    rows: list[list[str]], names: list[str], is_text: list[bool], path: Path, lines: int, table_format: TableFormat
) -> list[Any]:
    """Return the columns of rows of cells."""
    import pandas

    places = [i for i, text in enumerate(is_text) if not text]
    cells = [[row[i] for i in places] for row in rows]
    values = numbers(CALLER, cells, [names[i] for i in places], path, lines + 1, table_format.decimal)
    by_place = dict(zip(places, values.T))
    return [pandas.Series(by_place[i] if i in by_place else [row[i] for row in rows]) for i in range(len(is_text))]


def _check_header(header: list[str], columns: list[Any], path: Path) -> None:
    """Check that whole numbers in the first line are names, not the values of a step.

    They are names for certain if values have fractions or are far smaller.

    Raises:
        ValueError: otherwise.
    """
    if any(len(cell) > 1 and cell.startswith("0") for cell in header):
        return
    largest = 0.0
    for column in columns:
        values = column.to_numpy(dtype=np.float64)
        values = values[~np.isnan(values)]
        if (values[:1000] != np.rint(values[:1000])).any() or (values != np.rint(values)).any():
            return
        largest = max(largest, np.abs(values).max(initial=0))
    if len(set(header)) < len(header) or min(map(int, header)) <= 10 * largest:
        raise ValueError(
            f"{CALLER}: expected column names in line 1 of {path}, got whole numbers as in the other lines, "
            f"{_shown(header)}; pass header_rows=1 (--header-rows 1) if they are names, or 0 if they are values"
        )


def _frame(
    columns: list[Any], names: list[tuple[str, ...]], table_format: TableFormat, path: Path, first_row: int
) -> Any:
    """Return the columns as a table of pandas, those that were read as text but are numbers as numbers."""
    import pandas

    typed = []
    for name, column in zip(names, columns):
        heading = normalized(" ".join(filter(None, name)))
        if column.dtype.kind not in "iuf" and _is_numeric(heading, name[0], column, table_format):
            decimal = column.str.replace(",", ".") if table_format.decimal == "," else column
            numbers_of_column = pandas.to_numeric(decimal.where(~decimal.str.lower().isin(MISSING)), errors="coerce")
            if (too_large := numbers_of_column.abs().to_numpy() > LARGEST).any():
                row = int(too_large.argmax())
                place = f"line {row + 1 + first_row}, column {' '.join(filter(None, name))!r} of {path}"
                hint = size_hint(decimal.iloc[row])
                raise ValueError(
                    f"{CALLER}: expected a number or an empty cell, got {column.iloc[row]!r} in {place}{hint}"
                )
            column = numbers_of_column
        typed.append(column)
    frame = pandas.DataFrame(dict(enumerate(typed)), copy=False)
    if len(names[0]) == 2:
        has_index = typed[0].dtype == object or not (names[0][0] and names[0][1])
        frame = frame.set_index(0) if has_index else frame
        frame.index.name = next(filter(None, names[0]), None) if has_index else None
        frame.columns = pandas.MultiIndex.from_tuples(names[has_index:], names=names[0] if has_index else None)
        return frame
    frame.columns = pandas.Index([name for (name,) in names], dtype=object)
    return frame


def _is_numeric(heading: str, name: str, column: Any, table_format: TableFormat) -> bool:
    """Return True for a column of text that has numbers alone, and neither times nor names of sensors."""
    if name == table_format.sensor_column or (heading in SENSORS and table_format.is_long):
        return False
    if not all(map(is_number, column[:1].str.replace(",", ".") if table_format.decimal == "," else column[:1])):
        return False
    cells = column[column != ""]
    if heading in TIMES | SENSORS and table_format.layout != "wide" and all(map(is_whole, cells)):
        return heading in SENSORS and counts_lines(Column(name, column.astype(np.float64)))
    return bool(len(cells)) and all(
        map(is_number, cells.str.replace(",", ".") if table_format.decimal == "," else cells)
    )
