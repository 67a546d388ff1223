"""Time series in tables of pandas, polars and other packages; other readers make such a table of their file."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from seqgnn.data.io.column_numbers import check_numbers, numbers_of
from seqgnn.data.io.column_roles import SENSORS, Column, Roles, find_roles, looks_long, normalized
from seqgnn.data.io.columns import Columns
from seqgnn.data.io.csv_tables import check_distinct
from seqgnn.data.io.long_tables import pivot
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.names import name_of, names_of
from seqgnn.data.times import is_timestamp

FEATURES = {"feature", "features", "channel", "channels", "variable", "variables", "measure", "metric", "field"}


def is_frame(value: Any) -> bool:
    """Return True for a table or series of pandas, polars, pyarrow or another package that narwhals supports."""
    if not (hasattr(value, "columns") or hasattr(value, "to_frame")):
        return False
    import narwhals

    return isinstance(
        narwhals.from_native(value, pass_through=True, allow_series=True), narwhals.DataFrame | narwhals.Series
    )


def read_frame(caller: str, label: Any, frame: Any, table_format: TableFormat | None = None) -> Columns:
    """Return the content of a table of any package.

    Args:
        caller: name used in error messages.
        label: what the table is called there.
        frame: table or series of pandas, polars, pyarrow or another package that narwhals supports.
        table_format: how it is written; None: found by types, content and names.
    """
    return columns_of(caller, label, as_pandas(frame), table_format or TableFormat())


def as_pandas(frame: Any) -> Any:
    """Return a table as one of pandas, with times and their zones, and text as objects."""
    import narwhals
    import pandas

    if isinstance(frame, pandas.Series):
        return frame.to_frame()
    if isinstance(frame, pandas.DataFrame):
        return frame
    table = narwhals.from_native(frame, allow_series=True, eager_only=True)
    if isinstance(table, narwhals.Series):
        table = table.to_frame()
    columns: dict[int, Any] = {}
    for i, name in enumerate(table.columns):
        series = table[name]
        dtype = series.dtype
        if isinstance(dtype, narwhals.Datetime) and dtype.time_zone:
            columns[i] = pandas.Series(
                pandas.DatetimeIndex(series.to_numpy()).tz_localize("UTC").tz_convert(dtype.time_zone)
            )
        elif isinstance(dtype, narwhals.Decimal):
            columns[i] = pandas.Series(series.cast(narwhals.Float64()).to_numpy())
        elif dtype.is_numeric() or dtype.is_temporal():
            columns[i] = pandas.Series(series.to_numpy())
        else:
            columns[i] = pandas.Series(series.to_list(), dtype=object if dtype != narwhals.Boolean() else None)
    result = pandas.DataFrame(columns)
    result.columns = pandas.Index(table.columns, dtype=object)
    return result


def columns_of(
    caller: str,
    label: Any,
    frame: Any,
    table_format: TableFormat,
    line: Callable[[int], str] | None = None,
) -> Columns:
    """Return the content of a table of pandas.

    Args:
        caller, label, table_format: as for `read_frame`.
        frame: the table.
        line: returns the location of a row in words; None: its number.

    Raises:
        ValueError: if columns are no numbers, names are missing or repeated, or it is not certain what a column is.
    """
    if frame.columns.nlevels > 2:
        raise ValueError(f"{caller}: expected at most two rows of column names in {label}, got {frame.columns.nlevels}")
    line = (lambda row: f"row {row}") if line is None else line
    columns = _index(frame, label)
    if frame.columns.nlevels == 2:
        return _two_levels(caller, label, frame, columns, table_format, line)
    names = names_of(caller, frame.columns, "column", label)
    check_distinct(caller, names[names[:1] == [""] :], label)  # pandas leaves the first one of its index empty
    columns += [Column(name, frame.iloc[:, i]) for i, name in enumerate(names)]
    roles = find_roles(caller, label, columns, table_format)
    if table_format.is_long:
        return pivot(caller, label, roles, table_format, line)
    _check_not_long(caller, label, roles, table_format)
    roles = _numbers_only(caller, label, roles, line)
    _check_wide(caller, label, roles, line)
    sensors = [column.name for column in roles.others]
    if all(map(is_timestamp, sensors)) and len(sensors) > 1:
        raise ValueError(f"{caller}: expected a line per step, got times as names of columns in {label}; transpose it")
    times, where = _times(roles, label, line)
    values = numbers_of(caller, label, roles.others)
    return Columns(values, sensors, times, where=where, unit=roles.unit, doubt=roles.doubt)


def _index(frame: Any, label: Any) -> list[Column]:
    """Return the levels of the index of a table, unless it only counts the rows."""
    index = frame.index
    if index.nlevels > 1:
        names = [f"level_{i}" if name is None else name_of(name) for i, name in enumerate(index.names)]
        return [Column(name, index.get_level_values(i)) for i, name in enumerate(names)]
    counts = index.name is None and type(index).__name__ == "RangeIndex"
    return [] if counts else [Column("" if index.name is None else name_of(index.name), index, is_index=True)]


def _times(roles: Roles, label: Any, line: Callable[[int], str]) -> tuple[Any, Callable[[int], str]]:
    """Return timestamps and their locations."""
    if roles.times is None:
        return None, line
    column = roles.times
    place = f"column {column.name!r}" if column.name else "the index"
    cells = column.cells.array if hasattr(column.cells, "array") else column.cells
    if column.kind == "text":
        cells = ["" if cell is None or cell != cell else cell for cell in np.asarray(cells, dtype=object).tolist()]
    return cells, lambda row: f"{line(row)}, {place} of {label}"


def _check_not_long(caller: str, label: Any, roles: Roles, table_format: TableFormat) -> None:
    if table_format.layout is None and (sensor := looks_long(roles)) is not None:
        raise ValueError(
            f"{caller}: expected a column per sensor in {label}, got a table with a line per sensor and step: column "
            f"{sensor.name!r} seems to name sensors; pass layout='long' (--layout long), or 'wide' if it is a sensor"
        )


def _numbers_only(caller: str, label: Any, roles: Roles, line: Callable[[int], str]) -> Roles:
    """Return the roles without columns of text, such as marks of quality; the first one is a doubt."""
    text = [column for column in roles.others if column.kind != "number" and column.first is not None]
    if not text or len(text) == len(roles.others):
        return roles
    doubt = roles.doubt
    try:
        check_numbers(caller, text[0], label, line)
    except ValueError as error:
        doubt = doubt or f"{error}; remove the column, or pass the sensors to read (--sensors)"
    others = [column for column in roles.others if all(column is not other for other in text)]
    return replace(roles, others=others, doubt=doubt)


def _check_wide(caller: str, label: Any, roles: Roles, line: Callable[[int], str]) -> None:
    """Check that a table has a column of numbers per sensor."""
    for column in roles.others:
        if column.kind != "number":
            check_numbers(caller, column, label, line)
    if not roles.others:
        raise ValueError(f"{caller}: expected columns besides the timestamps in {label}, got none")
    if not len(roles.others[0].cells):
        raise ValueError(f"{caller}: expected columns of numbers, not empty, got no rows in {label}")


def _two_levels(
    caller: str, label: Any, frame: Any, index: list[Column], table_format: TableFormat, line: Callable[[int], str]
) -> Columns:
    """Return the content of a table whose columns have two names, of a sensor and of a feature in either order."""
    pairs: dict[tuple[str, ...], Column] = {}
    for i, label_pair in enumerate(frame.columns):
        pair = tuple(names_of(caller, label_pair, "column", label))
        column = Column(" ".join(filter(None, pair)), frame.iloc[:, i])
        if "" in pair:
            index = [*index, column]
        elif pair in pairs:
            raise ValueError(f"{caller}: expected distinct columns, got {pair} again in {label}")
        else:
            pairs[pair] = column
    if not pairs:
        raise ValueError(f"{caller}: expected columns of a sensor and a feature in {label}, got none")
    roles = find_roles(caller, label, index, table_format)
    if roles.others:
        actual = f"{roles.others[0].name!r}"
        raise ValueError(f"{caller}: expected two names for every column besides times in {label}, got {actual}")
    level = _feature_level(caller, label, frame, list(pairs), table_format)
    features = list(table_format.value_columns or dict.fromkeys(pair[level] for pair in pairs))
    sensors = list(dict.fromkeys(pair[1 - level] for pair in pairs))
    layers = []
    for feature in features:
        columns = []
        for sensor in sensors:
            if (pair := (feature, sensor) if level == 0 else (sensor, feature)) not in pairs:
                raise ValueError(f"{caller}: expected {feature!r} of every sensor in {label}, got none of {sensor!r}")
            columns.append(pairs[pair])
        _check_wide(caller, label, Roles(None, None, columns), line)
        layers.append(numbers_of(caller, label, columns))
    times, where = _times(roles, label, line)
    values = np.stack(layers, axis=2)
    return Columns(values, sensors, times, features, where, unit=roles.unit, doubt=roles.doubt)


def _feature_level(caller: str, label: Any, frame: Any, pairs: list[tuple[str, ...]], table_format: TableFormat) -> int:
    """Return which of two names of a column is that of a feature."""
    names = [set(level) for level in zip(*pairs)]
    if table_format.value_columns is not None:
        for level in (0, 1):
            if names[level] >= set(table_format.value_columns):
                return level
        missing = next(name for name in table_format.value_columns if name not in names[0] | names[1])
        raise ValueError(f"{caller}: expected features {table_format.value_columns} in {label}, got no {missing!r}")
    for level, heading in enumerate(frame.columns.names):
        heading = "" if heading is None else normalized(name_of(heading))
        if heading in FEATURES or heading in SENSORS:
            return level if heading in FEATURES else 1 - level
    if 1 in (len(names[0]), len(names[1])) and len(names[0]) != len(names[1]):
        return 0 if len(names[0]) == 1 else 1
    first, second = (", ".join(sorted(level)[:4]) for level in names)
    raise ValueError(
        f"{caller}: expected to know which names in the header of {label} are features, got {first} and {second}; pass "
        "value_columns (--value-columns), the target first"
    )
