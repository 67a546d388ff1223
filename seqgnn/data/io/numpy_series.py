"""Reader for time series in npz and npy files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io.array_files import read_arrays
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.table_format import NO_TIMES, TableFormat
from seqgnn.data.names import names_of

VALUES = ("data", "signal", "x", "values")
TIMES = ("timestamps", "timestamp", "times", "time", "dates", "datetime", "index")
NODES = ("nodes", "node_ids", "sensors", "sensor_ids", "ids", "columns")
FEATURES = ("features", "channels")


def read_numpy(path: Path, table_format: TableFormat) -> Columns:
    """Return the arrays of a file, without pickled objects."""
    return columns_of_arrays(path, read_arrays(CALLER, path), table_format)


def columns_of_arrays(path: Any, arrays: Mapping[str, np.ndarray], table_format: TableFormat) -> Columns:
    """Return the content of a file of arrays: values and, by their names, timestamps, nodes and features.

    Raises:
        ValueError: if there is no array of numbers with one of the names, or two for the same.
    """
    names = [key for key in VALUES if key in arrays] or (list(arrays) if len(arrays) == 1 else [])
    if not names:
        actual = list(arrays)
        raise ValueError(f"{CALLER}: expected an array of numbers called data, signal or x in {path}, got {actual}")
    values = arrays[names[0]]
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{CALLER}: expected an array of numbers in {path}, got {names[0]} of {values.dtype}")
    chosen = table_format.time_column
    if chosen not in (None, NO_TIMES) and chosen not in arrays:
        raise ValueError(f"{CALLER}: expected time_column to be one of {list(arrays)} in {path}, got {chosen!r}")
    time_names = TIMES if chosen is None else () if chosen == NO_TIMES else (chosen,)
    timestamps, nodes, features = (_one(path, arrays, keys) for keys in (time_names, NODES, FEATURES))
    return Columns(
        values,
        None if nodes is None else names_of(CALLER, nodes.tolist(), origin=path),
        timestamps,
        None if features is None else names_of(CALLER, features.tolist(), "feature", path),
        lambda step: f"step {step} of {path}",
    )


def _one(path: Path, arrays: Mapping[str, np.ndarray], keys: tuple[str, ...]) -> np.ndarray | None:
    """Return the array with one of the names; None: there is none."""
    present = [key for key in keys if key in arrays]
    if len(present) > 1:
        raise ValueError(f"{CALLER}: expected one of the arrays {', '.join(present)} in {path}, got {len(present)}")
    if present and (shape := arrays[present[0]].shape) != (arrays[present[0]].size,):
        raise ValueError(f"{CALLER}: expected {present[0]} as a list in {path}, got the shape {list(shape)}")
    return arrays[present[0]] if present else None
