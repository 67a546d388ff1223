"""Reader for time series in parquet files."""

from pathlib import Path

import numpy as np

from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import check_distinct
from seqgnn.data.io.table_format import TableFormat


def read_parquet(path: Path, table_format: TableFormat) -> Columns:
    """Return the columns of a parquet file: one per sensor, and at most one of timestamps."""
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
