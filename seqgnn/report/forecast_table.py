"""Forecasts as a table in long format, one row per value, and as a file."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from seqgnn._utils.files import write_atomically
from seqgnn._utils.text import csv_cell
from seqgnn._utils.validation import describe, one_of
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.times.timestamps import Times, offset_in_words

SUFFIXES = (".csv", ".parquet")
Table = dict[str, np.ndarray]


def forecast_table(graph: TemporalGraph, forecast: Tensor, starts: Sequence[int]) -> Table:
    """Return a table of forecasts, ordered by window, step ahead and node.

    Args:
        graph: the time series.
        forecast: forecasts of W windows.
        starts: the first forecast step of each window, at most ``len(graph)``.

    Shapes:
        forecast ``[horizon, W, N, C]``.

    Returns:
        The columns "time", or "step" if there are no timestamps: the forecast time, beyond the end of the time series
        that of its calendar, and with its offset from UTC if it is known; "ahead": the number of steps after the last
        input step; "node"; "target": index of the target; "forecast"; and, if any of it is known, "truth": NaN where
        unknown or not observed.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> import torch
        >>> graph = TemporalGraph(torch.arange(6.0).view(3, 2, 1), torch.tensor([[0], [1]]), nodes=["a", "b"])
        >>> table = forecast_table(graph, torch.tensor([8.0, 9.0]).view(1, 1, 2, 1), [2])
        >>> print(as_csv(table), end="")
        step,ahead,node,target,forecast,truth
        2,1,a,0,8.0,4.0
        2,1,b,0,9.0,5.0
    """
    nodes, targets = graph.num_nodes, graph.num_targets
    if forecast.dim() != 4 or tuple(forecast.shape[1:]) != (len(starts), nodes, targets):
        expected = f"[horizon, {len(starts)}, {nodes}, {targets}]"
        raise ValueError(f"forecast_table: expected forecasts {expected}, got {describe(forecast)}")
    if not all(0 <= start <= len(graph) for start in starts):
        raise ValueError(f"forecast_table: expected starts from 0 to {len(graph)}, got {list(starts)}")
    horizon, windows = forecast.shape[:2]
    ahead = np.arange(horizon)
    steps = np.asarray(starts)[:, None] + ahead  # [W, horizon]

    def column(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (windows, horizon, nodes, targets)).reshape(-1)

    names = np.array([str(node) for node in range(nodes)] if graph.nodes is None else graph.nodes)
    table = {
        "step" if graph.time is None else "time": column(_times(graph, int(steps.max()) + 1)[steps][..., None, None]),
        "ahead": column(1 + ahead[:, None, None]),
        "node": column(names[:, None]),
        "target": column(np.arange(targets)),
        "forecast": forecast.transpose(0, 1).numpy().reshape(-1),
    }
    if (steps < len(graph)).any():
        table["truth"] = column(_truth(graph, horizon)[steps])
    return table


def as_csv(table: Mapping[str, np.ndarray]) -> str:
    """Return the table as CSV with a header; NaN is an empty cell, and names that look like formulas are text."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(_cells(values) for values in table.values())))
    return lines.getvalue()


def write_table(table: Mapping[str, np.ndarray], path: str | PathLike[str]) -> None:
    """Write the table as `.csv` or `.parquet`, atomically: an existing file stays intact if writing fails.

    Raises:
        ValueError: for another suffix, or for parquet without pyarrow.
        OSError: if the file cannot be written, naming it.
    """
    suffix = check_suffix(path)
    write_atomically(path, as_csv(table) if suffix == ".csv" else _parquet(table, path))


def check_suffix(path: str | PathLike[str]) -> str:
    """Return the suffix of a table's file; a ValueError if it is unknown."""
    return one_of("forecast", "the name of a table's file to end", Path(path).suffix.lower(), SUFFIXES)


def _times(graph: TemporalGraph, stop: int) -> np.ndarray:
    """Return the time of each step before `stop`, which may be past the end; as text if offsets from UTC are known."""
    if graph.time is None:
        return np.arange(stop)
    times, ahead = graph.time.times, stop - len(graph)
    if ahead <= 0:
        return _with_offset(times)
    return np.concatenate([_with_offset(times), _with_offset(graph.time.ahead(ahead, "forecast_table")[0])])


def _with_offset(times: Times) -> np.ndarray:
    if times.offset is None:
        return times.wall_clock
    clocks = times.wall_clock.astype(str)
    return np.array([clock + offset_in_words(offset) for clock, offset in zip(clocks, times.offset)])


def _truth(graph: TemporalGraph, horizon: int) -> np.ndarray:
    targets = graph.targets if graph.mask is None else graph.targets.masked_fill(~graph.mask, np.nan)
    return np.pad(targets.numpy(), ((0, horizon), (0, 0), (0, 0)), constant_values=np.nan)


def _cells(values: np.ndarray) -> Iterator[str]:
    """Yield values as text, floats in their shortest exact form."""
    if values.dtype.kind == "U":
        return map(csv_cell, values.tolist())
    return ("" if value != value else str(value) for value in values)


def _parquet(table: Mapping[str, np.ndarray], path: str | PathLike[str]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"write_table: pyarrow is required to write {path} ({error}); pip install pyarrow") from error
    columns = {name: pyarrow.array(values, from_pandas=True) for name, values in table.items()}
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue().to_pybytes()
