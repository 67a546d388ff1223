"""Reader for time series in parquet files."""

from pathlib import Path

from seqgnn.data.io.array_files import reading
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import check_distinct
from seqgnn.data.io.frames import columns_of
from seqgnn.data.io.limits import check_unpacked
from seqgnn.data.io.table_format import TableFormat


def read_parquet(path: Path, table_format: TableFormat) -> Columns:
    """Return the content of a parquet file; the index of pandas, if the file names one, is no sensor."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{CALLER}: pyarrow is required to read {path} ({error}); pip install pyarrow") from error
    with reading(CALLER, path, "a readable parquet file"):
        file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)  # of pages that have one
        metadata = file.metadata
        stored = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        check_unpacked(CALLER, path, max(stored, 8 * metadata.num_rows * metadata.num_columns))
        table = file.read()
        names = table.column_names
        check_distinct(CALLER, names[names[:1] == [""] :], path, "column")
        decimals = [pyarrow.types.is_decimal(kind) for kind in table.schema.types]
        for i, name in enumerate(names):
            if decimals[i]:
                table = table.set_column(i, name, table.column(i).cast(pyarrow.float64()))
        frame = table.to_pandas(date_as_object=False)
    return columns_of(CALLER, path, frame, table_format)
