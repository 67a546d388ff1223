"""Reader for time series in HDF5 files of pandas."""

from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import check_distinct
from seqgnn.data.io.table_format import TableFormat


def read_hdf5(path: Path, table_format: TableFormat) -> Columns:
    """Return the table of a file that pandas wrote."""
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
