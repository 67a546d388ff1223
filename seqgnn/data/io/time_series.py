"""Reader for time series: csv, npz, npy, parquet, and the h5 files of METR-LA and PEMS-BAY."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.numbers import LARGEST
from seqgnn.data.io.columns import CALLER, Columns, FilePath
from seqgnn.data.io.frames import is_frame, read_frame
from seqgnn.data.io.graphs import GraphNodes, read_names, read_subgraph
from seqgnn.data.io.numpy_series import columns_of_arrays
from seqgnn.data.io.positions import read_positions
from seqgnn.data.io.readers import find_reader
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.names import names_of
from seqgnn.data.precision import float32_or_64
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.times import Times, parse_times


def read_signal(
    path: Any,
    graph: Any = None,
    *,
    graph_kind: str | None = None,
    threshold: float = 0.1,
    graph_nodes: GraphNodes | None = None,
    positions: FilePath | None = None,
    sensors: Sequence[str] | None = None,
    target: str | None = None,
    missing_value: float | None = None,
    table_format: TableFormat | None = None,
    name: str | None = None,
    units: str | None = None,
) -> TemporalGraph:
    """Return a time series from a file, with its graph from another file; or from tables and arrays in memory.

    - `.csv`, `.tsv`, also as `.gz`: one column per sensor with a header of names and one line per step; or, as
      `table_format` says, one line per step and sensor. One column may have timestamps. Values are separated by commas,
      semicolons or tabs. Empty cells and "nan" are missing.
    - `.parquet`: the same.
    - `.npz`, `.npy`: `[T, N]` or `[T, N, F]`; in an npz it is named `data`, `signal` or `x`, or is the only array, and
      there may also be `timestamps [T]` and `nodes [N]`.
    - `.h5`, `.hdf5`: a table of pandas in fixed or table format, such as METR-LA and PEMS-BAY.
    - A folder of LibCity (`.geo`, `.rel`, `.dyna`) or BasicTS (`meta.json`, `desc.json`, or `data_in*.pkl` with its
      scaler), with its graph.
    - `.tsf`: a file of the Monash archive. Series are placed on one calendar by their start times and the frequency of
      the file; "?" and steps before the first or after the last value of a series are missing.

    Missing values are 0 in the signal and False in the mask.

    Args:
        path: file or folder of the time series; or a table of pandas or polars, or an array `[T, N]` or `[T, N, F]`.
        graph, graph_kind, threshold: file or object for `read_graph`, and its options. None: the graph of the folder,
            or no edges. With `sensors`, the part of the graph between them.
        graph_nodes: names of the nodes of the graph, or their file, see `read_graph`; also the names of the sensors if
            the file has none. None: those of the graph's file or of the time series.
        positions: file for `read_positions`; None: the positions of the folder, or none.
        sensors: names of the sensors to read, in this order; None: all.
        target: name of the feature to forecast, or its number from 0 if features have no names; it becomes the first
            one. None: the first one.
        missing_value: value that means missing, such as 0 in METR-LA and PEMS-BAY. With several features, only in the
            first one, which is the target. None: the value that the file names, or none; NaN: none.
        table_format: how a table is written; None: as described above.
        name: name of the data set; None: that of the file.
        units: units of the values, in words; None: unknown.

    Raises:
        ValueError: if lines have different lengths, a value is not a number, timestamps do not increase, a sensor is
            missing or repeated, or a graph has another size; the message names the file and line, column or sensor.
    """
    table_format = TableFormat() if table_format is None else table_format
    if is_frame(path):
        label: Any = f"the {type(path).__name__}"
        columns = read_frame(CALLER, label, path, table_format)
    elif isinstance(path, np.ndarray | Tensor):
        label = f"the {type(path).__name__}"
        array = path.detach().cpu().numpy() if isinstance(path, Tensor) else path
        columns = columns_of_arrays(label, {"data": array}, table_format)
    elif not isinstance(path, str | PathLike):
        expected = "a path, a table of pandas or polars, or an array of numpy or torch"
        raise ValueError(f"{CALLER}: expected {expected}, got {type(path).__name__}")
    else:
        label = path = Path(path)
        columns = find_reader(path)(path, table_format)
    values = columns.values
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or not values.size:
        shape = columns.values.shape
        raise ValueError(f"{CALLER}: expected values [T, N] or [T, N, F], not empty, got {shape} in {label}")
    _check_counts(columns, values.shape, label)
    nodes = list(map(str, range(values.shape[1])) if columns.nodes is None else columns.nodes)
    if columns.nodes is None and graph_nodes is not None:
        nodes = _listed_names(graph_nodes, len(nodes), label)
    all_nodes = nodes
    chosen = list(range(len(nodes))) if sensors is None else _indices(nodes, sensors, columns.doubt, label)
    if sensors is not None:
        values, nodes = values[:, chosen], [nodes[i] for i in chosen]
    elif columns.doubt is not None:
        raise ValueError(columns.doubt)
    features = None if columns.features is None else list(columns.features)
    if missing_value is None and target in (None, (features or ["0"])[0]):
        missing_value = columns.missing_value
    if target is not None:
        values, features = _target_first(values, features, target, nodes, label)
    _check_range(values, columns, label)
    values, mask = _observed(values, missing_value)
    edges, weights = torch.empty(2, 0, dtype=torch.long), None
    if graph is not None:
        edges, weights = read_subgraph(
            graph, nodes, all_nodes, kind=graph_kind, threshold=threshold, graph_nodes=graph_nodes
        )
    elif columns.graph is not None:
        edges, weights = _subgraph(*columns.graph(graph_kind, threshold), chosen)
    elif graph_kind is not None or (graph_nodes is not None and columns.nodes is not None):
        option = "graph_nodes" if graph_kind is None else "graph_kind"
        raise ValueError(f"{CALLER}: expected a graph (--graph) with {option}, got none for {label}")
    places = None if columns.positions is None else torch.from_numpy(columns.positions[chosen].astype(np.float32))
    return TemporalGraph(
        torch.from_numpy(values),
        edges,
        weights,
        mask=None if mask.all() else torch.from_numpy(mask),
        timestamps=_times(columns, table_format, label),
        nodes=nodes,
        features=features,
        positions=places if positions is None else read_positions(positions, nodes),
        name=_name(label) if name is None and isinstance(label, Path) else name,
        units=units,
    )


def _name(path: Path) -> str:
    """Return the name of a folder, or of a file without its suffixes."""
    return path.resolve().name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem


def _listed_names(graph_nodes: GraphNodes, count: int, label: Any) -> list[str]:
    names, source = read_names(graph_nodes)
    if len(names) != count:
        expected = f"a name in {source} for each of the {count} sensors of {label}, which has no names"
        raise ValueError(f"{CALLER}: expected {expected}, got {len(names)}")
    return names


def _check_counts(columns: Columns, shape: tuple[int, ...], label: Any) -> None:
    """Check that there is a name for each sensor and each feature, all of them different, and a time for each step.

    Raises:
        ValueError: otherwise.
    """
    for noun, names, count in (("sensor", columns.nodes, shape[1]), ("feature", columns.features, shape[2])):
        if names is not None and len(names) != count:
            raise ValueError(f"{CALLER}: expected {count} names of {noun}s in {label}, got {len(names)}")
        if names is not None and len(set(names)) < count:
            repeated = next(name for i, name in enumerate(names) if name in names[:i])
            raise ValueError(f"{CALLER}: expected distinct {noun}s in {label}, got {repeated!r} more than once")
    if columns.timestamps is not None and len(columns.timestamps) != shape[0]:
        actual = len(columns.timestamps)
        raise ValueError(f"{CALLER}: expected {shape[0]} timestamps in {label}, one per step, got {actual}")


def _times(columns: Columns, table_format: TableFormat, label: Any) -> Times | None:
    if columns.timestamps is None:
        return None
    unit, location = table_format.time_unit or columns.unit, columns.where

    def where(step: int) -> str:
        return f"at step {step} of {label}" if location is None else f"in {location(step)}"

    return parse_times(CALLER, columns.timestamps, unit=unit, day_first=table_format.day_first, where=where)


def _observed(values: np.ndarray, missing_value: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return values in the type in which they are stored, 0 where missing, and True where the target was observed."""
    mask, target = np.isfinite(values[..., 0]), values[..., 0]
    if missing_value is not None:
        marked = target == (values.dtype.type(missing_value) if values.dtype.kind == "f" else missing_value)
        if marked.any():
            mask &= ~marked
            values = np.array(values, dtype=None if values.dtype.kind == "f" else np.float64)
            values[..., 0][marked] = np.nan
    stored = float32_or_64(values)
    if not mask.all():
        stored = stored.copy() if np.may_share_memory(stored, values) else stored
        stored[..., 0][~mask] = 0
    return stored, mask


def _check_range(values: np.ndarray, columns: Columns, label: Any) -> None:
    """Check that all values are within the range of float32, in which models calculate.

    Raises:
        ValueError: otherwise; infinite ones are missing, as in pandas.
    """
    if values.dtype.kind not in "f" or values.dtype.itemsize < 8:
        return
    largest, smallest = np.fmax.reduce(values, axis=None), np.fmin.reduce(values, axis=None)
    if not (largest > LARGEST or smallest < -LARGEST):
        return
    too_large = np.isfinite(values) & (np.abs(values) > LARGEST)
    if too_large.any():
        step, node, feature = np.argwhere(too_large)[0].tolist()
        name = node if columns.nodes is None else repr(columns.nodes[node])
        actual = f"{values[step, node, feature]:g} at step {step} of sensor {name}"
        raise ValueError(f"{CALLER}: expected numbers that float32 holds in {label}, got {actual}")


def _target_first(
    values: np.ndarray, features: list[str] | None, target: str, nodes: Sequence[str], label: Any
) -> tuple[np.ndarray, list[str] | None]:
    names = list(map(str, range(values.shape[2])) if features is None else features)
    if target not in names:
        hint = f"; it is a sensor: pass sensors (--sensors {target}) to forecast it alone" if target in nodes else ""
        expected = f"target to be one of {', '.join(names)} in {label}"
        raise ValueError(f"{CALLER}: expected {expected}, got {target!r}{hint}")
    first = names.index(target)
    order = [first, *(i for i in range(len(names)) if i != first)]
    return values[..., order], None if features is None else [features[i] for i in order]


def _indices(nodes: list[str], sensors: Sequence[str], doubt: str | None, label: Any) -> list[int]:
    sensors = names_of(CALLER, sensors, "sensor")
    missing = [sensor for sensor in sensors if sensor not in nodes]
    if missing:
        if doubt is not None and f"column {missing[0]!r}" in doubt:
            raise ValueError(doubt)
        actual = f"none called {', '.join(map(repr, missing))} among {len(nodes)}"
        raise ValueError(f"{CALLER}: expected the requested sensors in {label}, got {actual}")
    return [nodes.index(sensor) for sensor in sensors]


def _subgraph(edges: Tensor, weights: Tensor, nodes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the edges between some nodes, numbered in their order."""
    size = max([*nodes, int(edges.max()) if edges.numel() else 0]) + 1
    numbers = torch.full((size,), -1)
    numbers[torch.tensor(nodes)] = torch.arange(len(nodes))
    edges = numbers[edges]
    is_inside = (edges >= 0).all(0)
    return edges[:, is_inside], weights[is_inside]
