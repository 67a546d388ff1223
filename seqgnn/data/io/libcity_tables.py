"""Reader for one of LibCity's atomic files, a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqgnn.data.io.csv_tables import read_text

if TYPE_CHECKING:
    import pandas


def read_atomic_table(caller: str, path: Path, columns: Sequence[str]) -> "pandas.DataFrame":
    """Return a table whose ids and times are text, without the numbers of its lines.

    Raises:
        ValueError: if it cannot be read, a column is missing, or a line has another number of values than the first.
    """
    import pandas

    texts = ("geo_id", "entity_id", "origin_id", "destination_id", "time", "type", "coordinates")
    content = read_text(caller, path)
    try:
        header = pandas.read_csv(io.BytesIO(content), nrows=0).columns
        _check_widths(caller, path, content, len(header))
        table = pandas.read_csv(
            io.BytesIO(content),
            dtype=dict.fromkeys(texts, str),  # "category" would read ids as numbers, without their leading zeros
            keep_default_na=False,
            na_values={name: ["", "NA", "NaN", "nan", "null", "None"] for name in header if name not in texts},
            skipinitialspace=True,
        )
    except (OSError, ValueError, LookupError) as error:  # pandas' errors are ValueErrors
        if str(error).startswith(f"{caller}: "):
            raise
        raise ValueError(f"{caller}: expected a table, got {path} ({' '.join(str(error).split())})") from error
    if missing := [name for name in columns if name not in header]:
        actual = ", ".join(map(str, header))
        raise ValueError(f"{caller}: expected the column {missing[0]} in {path}, got {actual}")
    return table.drop(columns=["dyna_id", "rel_id"], errors="ignore")


def _check_widths(caller: str, path: Path, content: bytes, width: int) -> None:
    """Check that no line has fewer values than the first, which pandas would fill up; it refuses more by itself.

    Raises:
        ValueError: otherwise.
    """
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    total, first = content.count(b","), b"".join(content.split(b"\n", 2)[1:2])
    if b'"' not in content and total == lines * (width - 1) and first.count(b",") == width - 1:
        return  # fewer in one line would be more in another; more in the first one would be taken for an index
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""), skipinitialspace=True)
    for row in reader:
        if row and len(row) != width:
            raise ValueError(
                f"{caller}: expected {width} values, as in the first line, got {len(row)} in line {reader.line_num} "
                f"of {path}"
            )
