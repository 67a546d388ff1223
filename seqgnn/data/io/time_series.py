"""Reader for time series: csv, npz, npy, parquet, and the h5 files of METR-LA and PEMS-BAY."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqgnn._utils.validation import one_of
from seqgnn.data.io.csv_tables import MISSING, check_distinct, numbers, parse_timestamp, read_table
from seqgnn.data.io.graphs import read_graph
from seqgnn.data.io.positions import read_positions
from seqgnn.data.temporal_graph import TemporalGraph

CALLER = "read_signal"
FilePath = str | PathLike[str]
TIMES = {"time", "times", "date", "dates", "datetime", "timestamp", "timestamps"}


@dataclass
class Columns:
    """Content of a file: values `[T, N]` or `[T, N, F]`, NaN where missing, and optionally names and timestamps."""

    values: np.ndarray
    nodes: Sequence[str] | None = None
    timestamps: np.ndarray | None = None


def read_signal(
    path: FilePath,
    graph: FilePath | None = None,
    *,
    graph_kind: str | None = None,
    threshold: float = 0.1,
    positions: FilePath | None = None,
    sensors: Sequence[str] | None = None,
    missing_value: float | None = None,
    name: str | None = None,
    units: str | None = None,
) -> TemporalGraph:
    """Return a time series from a file, with its graph from another file.

    - `.csv`: one column per sensor with a header of names, one line per step. The first column may have timestamps
      (ISO 8601, local time). Values are separated by commas, semicolons or tabs. Empty cells and "nan" are missing.
    - `.parquet`: the same, with at most one column of timestamps at any position.
    - `.npz`, `.npy`: `[T, N]` or `[T, N, F]`; in an npz it is named `data`, `signal` or `x`, or is the only array, and
      there may also be `timestamps [T]` and `nodes [N]`.
    - `.h5`, `.hdf5`: a table of one type in pandas' fixed format, such as METR-LA and PEMS-BAY.

    Missing values are 0 in the signal and False in the mask.

    Args:
        path: file of the time series.
        graph, graph_kind, threshold: file for `read_graph`, and its options. None: no edges.
        positions: file for `read_positions`.
        sensors: names of the sensors to read, in this order; None: all.
        missing_value: value that means missing, such as 0 in METR-LA and PEMS-BAY. With several features, only in the
            first one, which is the target.
        name: name of the data set; None: that of the file.
        units: units of the values, in words; None: unknown.

    Raises:
        ValueError: if lines have different lengths, a value is not a number, timestamps do not increase, a sensor is
            missing or repeated, or a graph has another size; the message names the file and line, column or sensor.
    """
    path = Path(path)
    readers = {".csv": _csv, ".npz": _numpy, ".npy": _numpy, ".parquet": _parquet, ".h5": _h5, ".hdf5": _h5}
    columns = readers[one_of(CALLER, "the suffix of the file", path.suffix.lower(), readers)](path)
    values = columns.values
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or not values.size:
        shape = columns.values.shape
        raise ValueError(f"{CALLER}: expected values [T, N] or [T, N, F], not empty, got {shape} in {path}")
    nodes = list(map(str, range(values.shape[1])) if columns.nodes is None else columns.nodes)
    if sensors is not None:
        values, nodes = _select(values, nodes, sensors, path)
    mask = np.isfinite(values[..., 0])
    if missing_value is not None:
        mask &= values[..., 0] != missing_value
    values = np.array(values, dtype=np.float32)
    values[..., 0][~mask] = 0
    edges, weights = torch.empty(2, 0, dtype=torch.long), None
    if graph is not None:
        edges, weights = read_graph(graph, nodes, kind=graph_kind, threshold=threshold)
    return TemporalGraph(
        torch.from_numpy(values),
        edges,
        weights,
        mask=None if mask.all() else torch.from_numpy(mask),
        timestamps=columns.timestamps,
        nodes=nodes,
        positions=None if positions is None else read_positions(positions, nodes),
        name=path.stem if name is None else name,
        units=units,
    )


def _select(values: np.ndarray, nodes: list[str], sensors: Sequence[str], path: Path) -> tuple[np.ndarray, list[str]]:
    missing = [sensor for sensor in sensors if sensor not in nodes]
    if missing:
        actual = f"none called {', '.join(map(repr, missing))} among {len(nodes)}"
        raise ValueError(f"{CALLER}: expected the requested sensors in {path}, got {actual}")
    return values[:, [nodes.index(sensor) for sensor in sensors]], list(sensors)


def _csv(path: Path) -> Columns:
    header, *rows = read_table(CALLER, path)
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


def _numpy(path: Path) -> Columns:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"data": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{CALLER}: expected arrays, without pickled objects, got {path} ({error})") from error
    names = [key for key in ("data", "signal", "x") if key in arrays] or (list(arrays) if len(arrays) == 1 else [])
    if not names:
        actual = list(arrays)
        raise ValueError(f"{CALLER}: expected an array of numbers called data, signal or x in {path}, got {actual}")
    if (kind := arrays[names[0]].dtype).kind not in "biuf":
        raise ValueError(f"{CALLER}: expected an array of numbers in {path}, got {names[0]} of {kind}")
    nodes = arrays.get("nodes")
    return Columns(arrays[names[0]], None if nodes is None else list(map(str, nodes)), arrays.get("timestamps"))


def _parquet(path: Path) -> Columns:
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{CALLER}: pyarrow is required to read {path} ({error}); pip install pyarrow") from error
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(f"{CALLER}: expected a readable parquet file, got {path} ({error})") from error
    timestamps, names, values = None, [], []
    for name, column in zip(table.column_names, table.columns):
        if pyarrow.types.is_timestamp(column.type) or pyarrow.types.is_date(column.type):
            if timestamps is not None:
                raise ValueError(f"{CALLER}: expected one column of timestamps in {path}, got also {name!r}")
            if getattr(column.type, "tz", None):
                column = pyarrow.compute.local_timestamp(column)
            timestamps = column.to_numpy().astype("datetime64[s]")
        elif pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type):
            names.append(name)
            values.append(column.to_numpy().astype(np.float64))
        else:
            raise ValueError(f"{CALLER}: expected numbers in every column of {path}, got {column.type} in {name!r}")
    check_distinct(CALLER, names, path)
    if not values or not len(values[0]):
        raise ValueError(f"{CALLER}: expected columns of numbers, not empty, got {table.column_names} in {path}")
    return Columns(np.stack(values, axis=1), names, timestamps)


def _h5(path: Path) -> Columns:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{CALLER}: h5py is required to read {path} ({error}); pip install h5py") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{CALLER}: expected a readable HDF5 file, got {path} ({error})") from error
    with file:
        tables = [group for group in file.values() if isinstance(group, h5py.Group) and "block0_values" in group]
        if len(tables) != 1 or "block1_values" in tables[0]:
            raise ValueError(
                f"{CALLER}: expected one table of numbers in pandas' fixed format (axis0, axis1, block0_values) in "
                f"{path}, got {sorted(file)}"
            )
        group = tables[0]
        if group["block0_values"].dtype.kind not in "biuf" or group["axis0"].dtype.kind not in "SUiu":
            raise ValueError(f"{CALLER}: expected numbers under names in {path}, got pickled objects")
        names = [item.decode() if isinstance(item, bytes) else str(item) for item in group["block0_items"][:].tolist()]
        check_distinct(CALLER, names, path)
        return Columns(group["block0_values"][:], names, _axis_times(group["axis1"], path))


def _axis_times(axis: Any, path: Path) -> np.ndarray | None:
    kind = axis.attrs.get("kind", b"datetime64")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if not kind.startswith("datetime64"):
        return None
    unit = kind.removeprefix("datetime64").strip("[]") or "ns"
    return axis[:].astype(f"datetime64[{unit}]").astype("datetime64[s]")
