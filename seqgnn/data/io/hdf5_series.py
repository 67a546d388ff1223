"""Reader for time series in HDF5 files of pandas, in its fixed and its table format, and in HDF5 files of arrays."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io import hdf5_child
from seqgnn.data.io.array_files import reading
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.frames import columns_of
from seqgnn.data.io.hdf5_pandas import read_fixed, read_table_format
from seqgnn.data.io.limits import unpacked_limit
from seqgnn.data.io.numpy_series import columns_of_arrays
from seqgnn.data.io.table_format import TableFormat

SECONDS = 60  # for the smallest file to be read in
BYTES_PER_SECOND = 10_000_000


def read_hdf5(path: Path, table_format: TableFormat) -> Columns:
    """Return the table of an HDF5 file, without pickled objects."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{CALLER}: h5py is required to read {path} ({error}); pip install h5py") from error
    _register_filters()
    _check_in_child(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{CALLER}: expected a readable HDF5 file, got {path} ({reason})") from error
    with file, reading(CALLER, path, "a whole HDF5 file"):
        name, group = _table(file, path, table_format)
        try:
            if name is None:
                return columns_of_arrays(path, _arrays(file), table_format)
            read = read_table_format if "table" in group else read_fixed
            return columns_of(CALLER, path, read(group, path), table_format)
        except OSError as error:
            raise ValueError(f"{CALLER}: cannot read {path}: {_reason(group, error)}") from error
        except KeyError as error:
            raise ValueError(f"{CALLER}: expected a whole table of pandas in {path}, got none of {error}") from error


def _check_in_child(path: Path) -> None:
    """Read all of a file in a process of its own, which may end or hang where the file is damaged.

    Raises:
        ValueError: if it does, or the file unpacks to more than `unpacked_limit`.
    """
    if not sys.executable or not path.is_file():
        return
    size = path.stat().st_size
    seconds = SECONDS + size / BYTES_PER_SECOND
    command = [sys.executable, "-I", hdf5_child.__file__, str(path), str(unpacked_limit(size)), json.dumps(sys.path)]
    try:
        result = subprocess.run(command, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{CALLER}: expected a readable HDF5 file, got {path}, which was not read in {seconds:.0f} s"
        ) from None
    if result.returncode:
        actual = f"{path}, which ended the process that read it (exit code {result.returncode})"
        raise ValueError(f"{CALLER}: expected a whole HDF5 file, got {actual}")
    if problem := result.stdout.decode(errors="replace").strip():
        raise ValueError(f"{CALLER}: expected a readable HDF5 file, got {path} ({problem})")


def _register_filters() -> None:
    """Let h5py read the compressions of PyTables, if hdf5plugin is installed."""
    try:
        import hdf5plugin as hdf5plugin
    except ImportError:
        return


def _table(file: Any, path: Path, table_format: TableFormat) -> tuple[str | None, Any]:
    """Return name and group of the table; no name and the file if it has arrays alone."""
    import h5py

    tables: dict[str, Any] = {}

    def add(name: str, item: Any) -> None:
        is_table = isinstance(item, h5py.Group) and (
            "pandas_type" in item.attrs or any(key in item for key in ("block0_values", "axis0"))
        )
        if is_table and not any(name.startswith(f"{outer}/") for outer in tables):
            tables[name] = item

    file.visititems(add)
    key = table_format.key
    if key is not None:
        if key.strip("/") not in tables:
            raise ValueError(f"{CALLER}: expected key to be one of {sorted(tables)} in {path}, got {key!r}")
        return key.strip("/"), tables[key.strip("/")]
    if len(tables) > 1:
        raise ValueError(
            f"{CALLER}: expected one table in {path}, got {sorted(tables)}; pass key (--key) with its name"
        )
    if not tables and not _arrays(file):
        raise ValueError(f"{CALLER}: expected a table of pandas or arrays in {path}, got {sorted(file) or 'nothing'}")
    return next(iter(tables.items()), (None, file))


def _arrays(file: Any) -> dict[str, np.ndarray]:
    import h5py

    datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    return {name: item[()] for name, item in datasets.items() if item.dtype.kind != "O"} | {
        name: np.array(item.asstr()[()], dtype=str)
        for name, item in datasets.items()
        if h5py.check_string_dtype(item.dtype) is not None and item.dtype.kind == "O"
    }


def _reason(group: Any, error: OSError) -> str:
    """Return why data cannot be read: the compression that this h5py does not know, if that is why."""
    import h5py

    unknown: set[str] = set()

    def add(_: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        plist = item.id.get_create_plist()
        for i in range(plist.get_nfilters()):
            code, _, _, name = plist.get_filter(i)
            if not h5py.h5z.filter_avail(code):
                unknown.add(name.decode() or str(code))

    group.visititems(add)
    if not unknown:
        return str(error).splitlines()[0]
    return (
        f"it is compressed with {', '.join(sorted(unknown))}, which h5py reads with hdf5plugin; pip install hdf5plugin"
    )
