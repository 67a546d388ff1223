"""Time series in long tables, with a line per step and sensor."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seqgnn.data.io.column_numbers import check_numbers, exact_numbers
from seqgnn.data.io.column_roles import SENSORS, Column, Roles, listed, normalized
from seqgnn.data.io.columns import Columns
from seqgnn.data.io.limits import check_cells
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.names import name_of
from seqgnn.data.times import parse_times

REMEDY = "pass sensor_column (--sensor-column) and value_columns (--value-columns)"


def pivot(caller: str, label: Any, roles: Roles, table_format: TableFormat, line: Callable[[int], str]) -> Columns:
    """Return the content of a long table: steps in order of time, sensors in order of their first line. A step and
    sensor without a line is missing.

    Raises:
        ValueError: if it is not certain which column is which, or a step and sensor has two lines.
    """
    if roles.times is None:
        actual = listed([column.name for column in roles.others])
        raise ValueError(
            f"{caller}: expected a column of times in {label}, got {actual}; pass time_column (--time-column)"
        )
    sensor = _sensor_column(caller, label, roles.others, table_format)
    features = _value_columns(caller, label, [column for column in roles.others if column is not sensor], table_format)
    for feature in features:
        if feature.kind != "number":
            check_numbers(caller, feature, label, line)
    if not len(sensor.cells):
        raise ValueError(f"{caller}: expected lines of values, got none in {label}")
    nodes, node_codes = _sensors(caller, label, sensor, line)
    cells, step_codes, first_rows = _steps(caller, label, roles, table_format, line)
    _check_once(caller, label, node_codes, step_codes, len(nodes), line)
    shape = (len(cells), len(nodes), len(features))
    check_cells(caller, label, len(step_codes), shape)
    values = np.full(shape, np.nan)
    for i, feature in enumerate(features):
        values[step_codes, node_codes, i] = exact_numbers(caller, label, feature)
    names = [feature.name for feature in features]

    def where(step: int) -> str:
        return f"{line(int(first_rows[step]))}, column {roles.times.name!r} of {label}"  # type: ignore[union-attr]

    return Columns(values, nodes, cells, names, where, unit=roles.unit)


def _sensor_column(caller: str, label: Any, columns: Sequence[Column], table_format: TableFormat) -> Column:
    names = [column.name for column in columns]
    if (chosen := table_format.sensor_column) is not None:
        if chosen not in names:
            raise ValueError(
                f"{caller}: expected sensor_column to be one of {listed(names)} in {label}, got {chosen!r}"
            )
        return columns[names.index(chosen)]
    values = table_format.value_columns or ()
    columns = [column for column in columns if column.name not in values]
    candidates = [column for column in columns if normalized(column.name) in SENSORS]
    candidates = candidates or [column for column in columns if column.kind == "text"]
    if len(candidates) != 1:
        raise ValueError(
            f"{caller}: expected one column with names of sensors in {label}, got {listed(names)}; {REMEDY}"
        )
    return candidates[0]


def _value_columns(caller: str, label: Any, columns: list[Column], table_format: TableFormat) -> list[Column]:
    by_name = {column.name: column for column in columns}
    for name in table_format.value_columns or ():
        if name not in by_name:
            raise ValueError(f"{caller}: expected value_columns among {listed(list(by_name))} in {label}, got {name!r}")
    if table_format.value_columns:
        return [by_name[name] for name in table_format.value_columns]
    if not columns:
        raise ValueError(f"{caller}: expected a column of values in {label}, got none")
    return columns


def _sensors(caller: str, label: Any, column: Column, line: Callable[[int], str]) -> tuple[list[str], np.ndarray]:
    """Return names of sensors in the order of their first line, and the number of the sensor of each line."""
    import pandas

    codes, unique = pandas.factorize(column.cells)
    if (codes < 0).any():
        raise ValueError(
            f"{caller}: expected the name of a sensor in {line(int((codes < 0).argmax()))} of {label}, got none"
        )
    cells = list(unique)
    if column.kind == "number" and all(float(cell).is_integer() for cell in cells):
        cells = list(map(int, cells))
    return [name_of(cell) for cell in cells], codes


def _steps(
    caller: str, label: Any, roles: Roles, table_format: TableFormat, line: Callable[[int], str]
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return distinct times in order, the number of the step of each line, and the first line of each step."""
    import pandas

    assert roles.times is not None
    codes, unique = pandas.factorize(roles.times.cells)
    if (codes < 0).any():
        raise ValueError(f"{caller}: expected a timestamp in {line(int((codes < 0).argmax()))} of {label}, got none")
    first_rows = np.full(len(unique), len(codes))
    np.minimum.at(first_rows, codes, np.arange(len(codes)))
    times = parse_times(
        caller,
        unique,
        unit=table_format.time_unit or roles.unit,
        day_first=table_format.day_first,
        where=lambda i: f"in {line(int(first_rows[i]))} of {label}",
        increasing=False,
    )
    _, positions, steps = np.unique(times.instants, return_index=True, return_inverse=True)
    return times[positions], steps[codes], first_rows[positions]


def _check_once(
    caller: str, label: Any, nodes: np.ndarray, steps: np.ndarray, num_nodes: int, line: Callable[[int], str]
) -> None:
    cells = steps.astype(np.int64) * num_nodes + nodes
    order = np.argsort(cells, kind="stable")
    again = np.flatnonzero(np.diff(cells[order]) == 0)
    if len(again):
        first, second = sorted(order[again[0] : again[0] + 2].tolist())
        actual = f"those of {line(first)} again in {line(second)} of {label}"
        raise ValueError(f"{caller}: expected one line per step and sensor, got {actual}")
