"""Reader for one of LibCity's atomic files, a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def read_atomic_table(caller: str, path: Path, columns: Sequence[str]) -> "pandas.DataFrame":
    """Return a table whose ids and times are text, without the numbers of its lines.

    Raises:
        ValueError: if it cannot be read or a column is missing.
    """
    import pandas

    texts = ("geo_id", "entity_id", "origin_id", "destination_id", "time", "type", "coordinates")
    try:
        header = pandas.read_csv(path, nrows=0, encoding="utf-8-sig").columns
        table = pandas.read_csv(
            path,
            usecols=[name for name in header if name not in ("dyna_id", "rel_id")],
            dtype=dict.fromkeys(texts, str),  # "category" would read ids as numbers, without their leading zeros
            keep_default_na=False,
            na_values={name: ["", "NA", "NaN", "nan", "null", "None"] for name in header if name not in texts},
            encoding="utf-8-sig",
            skipinitialspace=True,
        )
    except (OSError, ValueError, LookupError) as error:  # pandas' errors are ValueErrors
        raise ValueError(f"{caller}: expected a table, got {path} ({' '.join(str(error).split())})") from error
    if missing := [name for name in columns if name not in header]:
        actual = ", ".join(map(str, header))
        raise ValueError(f"{caller}: expected the column {missing[0]} in {path}, got {actual}")
    return table
