"""The numbers in columns of tables."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seqgnn.data.io.column_roles import Column, has_decimal_comma
from seqgnn.data.io.csv_tables import is_number

EXACT = 2**53  # doubles hold all whole numbers up to this one


def check_numbers(caller: str, column: Column, label: Any, line: Callable[[int], str]) -> None:
    """Check that a column has numbers or is empty.

    Raises:
        ValueError: otherwise; the message names the first cell that is no number.
    """
    if column.kind == "text" and column.first is None:
        return
    cells = np.asarray(column.cells, dtype=object)
    present = [i for i, cell in enumerate(cells) if cell is not None and cell == cell and cell != ""]
    row = next((i for i in present if not (isinstance(cells[i], str) and is_number(cells[i]))), present[0])
    location = f"{line(row)}, column {column.name!r} of {label}"
    hint = ""
    if isinstance(cells[row], str) and has_decimal_comma(cells[row]):
        hint = "; pass decimal=',' (--decimal ,)" if ".csv" in str(label) or ".tsv" in str(label) else hint
    raise ValueError(f"{caller}: expected numbers in every column of {label}, got {cells[row]!r} in {location}{hint}")


def numbers_of(caller: str, label: Any, columns: Sequence[Column]) -> np.ndarray:
    """Return the cells of columns of numbers as `[T, N]`."""
    dtypes = {column.cells.dtype for column in columns}
    only = next(iter(dtypes)) if len(dtypes) == 1 else None
    is_single = isinstance(only, np.dtype) and only in (np.float32, np.float16)
    dtype = np.float32 if is_single else np.float64
    values = np.empty((len(columns), len(columns[0].cells)), dtype=dtype)  # by column, since those of pandas are
    for i, column in enumerate(columns):
        values[i] = exact_numbers(caller, label, column)
    return values.T


def exact_numbers(caller: str, label: Any, column: Column) -> np.ndarray:
    """Return the numbers of a column as floats.

    Raises:
        ValueError: if they are complex, or whole numbers that doubles cannot hold.
    """
    cells = column.cells
    if column.kind == "text":
        return np.full(len(cells), np.nan)
    if cells.dtype.kind == "c":
        raise ValueError(f"{caller}: expected real numbers in column {column.name!r} of {label}, got {cells.dtype}")
    values = np.asarray(cells) if cells.dtype in (np.float32, np.float16) else column.numbers
    if cells.dtype.kind in "iu" and len(values) and np.nanmax(np.abs(values)) >= EXACT:
        whole = np.asarray(cells.dropna() if hasattr(cells, "dropna") else cells)
        with np.errstate(invalid="ignore"):  # the largest ones are rounded to one that has no integer
            is_rounded = whole.astype(np.float64).astype(whole.dtype) != whole
        if is_rounded.any():
            location = f"column {column.name!r} of {label}"
            raise ValueError(
                f"{caller}: expected numbers that float64 holds exactly, got whole ones above 2**53 in {location}"
            )
    return values
