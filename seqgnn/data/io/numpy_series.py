"""Reader for time series in npz and npy files."""

from pathlib import Path

import numpy as np

from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.table_format import TableFormat


def read_numpy(path: Path, table_format: TableFormat) -> Columns:
    """Return the arrays of a file, without pickled objects."""
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
