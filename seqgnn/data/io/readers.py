"""The readers of time series by the suffix of the file; a new format is a module of its own and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seqgnn._utils.validation import one_of
from seqgnn.data.io.array_files import reading
from seqgnn.data.io.basicts import is_basicts, read_basicts
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_series import read_csv
from seqgnn.data.io.hdf5_series import read_hdf5
from seqgnn.data.io.libcity import is_libcity, read_libcity
from seqgnn.data.io.numpy_series import read_numpy
from seqgnn.data.io.parquet_series import read_parquet
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.io.traffic_arrays import read_npz
from seqgnn.data.io.tsf import read_tsf


@dataclass(frozen=True)
class Reader:
    """A reader of files with one suffix.

    Attributes:
        read: returns the content of a file.
        options: fields of `TableFormat` that it uses; others are refused.
    """

    read: Callable[[Path, TableFormat], Columns]
    options: tuple[str, ...] = ()

    def __call__(self, path: Path, table_format: TableFormat) -> Columns:
        """Return the content of a file.

        Raises:
            ValueError: if the file is invalid or an option does not apply to it.
        """
        if unused := [name for name in table_format.changed() if name not in self.options]:
            raise ValueError(f"{CALLER}: {unused[0]} does not apply to {path.suffix} files; remove it (got {path})")
        whole = f"a whole {path.suffix} file" if path.is_file() else "a whole folder of data"
        with reading(CALLER, path, whole if path.exists() else "a folder or file that exists"):
            return self.read(path, table_format)


TIMES = ("time_column", "time_unit", "day_first")
TABLE = ("layout", "sensor_column", "value_columns", *TIMES)
READERS: dict[str, Reader] = {
    ".csv": Reader(read_csv, (*TABLE, "header_rows", "decimal")),
    ".csv.gz": Reader(read_csv, (*TABLE, "header_rows", "decimal")),
    ".tsv": Reader(read_csv, (*TABLE, "header_rows", "decimal")),
    ".tsv.gz": Reader(read_csv, (*TABLE, "header_rows", "decimal")),
    ".parquet": Reader(read_parquet, TABLE),
    ".npz": Reader(read_npz, TIMES),
    ".npy": Reader(read_numpy),
    ".h5": Reader(read_hdf5, (*TABLE, "key")),
    ".hdf5": Reader(read_hdf5, (*TABLE, "key")),
    ".tsf": Reader(read_tsf),
    ".dyna": Reader(read_libcity),
    ".dat": Reader(read_basicts),
    ".pkl": Reader(read_basicts),
}

OTHER_TABLES = {".xlsx", ".xls", ".ods", ".feather", ".arrow", ".orc", ".mat", ".nc", ".zip", ".bz2", ".xz", ".zst"}

FOLDERS: tuple[tuple[Callable[[Path], bool], Reader], ...] = (
    (is_libcity, Reader(read_libcity)),
    (is_basicts, Reader(read_basicts)),
)


def find_reader(path: Path) -> Reader:
    """Return the reader of a folder, or of a file, whose suffix may have two parts, such as ".csv.gz".

    Raises:
        ValueError: if there is none for its suffix or its content; the message names those that there are.
    """
    if path.is_dir():
        if (reader := _folder_reader(path)) is None:
            expected = "a file, or a folder of LibCity (.geo, .dyna) or BasicTS (meta.json, desc.json or data_in*.pkl)"
            raise ValueError(f"{CALLER}: expected {expected}, got the folder {path}")
        return reader
    suffixes = [suffix.lower() for suffix in path.suffixes]
    double = "".join(suffixes[-2:])
    if double not in READERS and (suffix := suffix_of(path)) in OTHER_TABLES:
        expected = f"the suffix of {path} to be one of {', '.join(map(repr, READERS))}"
        raise ValueError(f"{CALLER}: expected {expected}, got {suffix!r}; convert it to csv or parquet")
    return READERS[double if double in READERS else one_of(CALLER, f"the suffix of {path}", suffix_of(path), READERS)]


def is_time_series(path: Path) -> bool:
    """Return True if there is a reader for a file or folder, or it is a table of a format that has none."""
    if path.is_dir():
        return _folder_reader(path) is not None
    return suffix_of(path) in READERS.keys() | OTHER_TABLES or "".join(path.suffixes[-2:]).lower() in READERS


def _folder_reader(path: Path) -> Reader | None:
    return next((reader for fits, reader in FOLDERS if fits(path)), None)


def suffix_of(path: Path) -> str:
    """Return the last suffix of a path in lower case."""
    return path.suffix.lower()
