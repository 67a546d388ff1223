"""How a table of time series is written."""

from dataclasses import dataclass, fields

from seqgnn._utils.validation import one_of

LAYOUTS = ("wide", "long")
NO_TIMES = "none"


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """How a table of time series is written.

    Args:
        layout: "wide" (a line per step, a column per sensor) or "long" (a line per step and sensor, with columns of
            times, names of sensors and values); None: long if sensor_column or value_columns are given.
        time_column: name of the column of times, or "none" if no column has times; None: found by its content and name.
        sensor_column: long layout: name of the column of sensors; None: found by its content and name.
        value_columns: long layout: names of the columns of values, a feature each; None: all other columns.
        header_rows: number of lines with names at the top of a CSV file, 0 to 2; two for a feature of a sensor; None:
            one.
        decimal: decimal mark of numbers in text, "." or ",".
        day_first: whether the date 1/3/2012 is the first of March; None: decided by a date with a number above 12.
        time_unit: unit of times that are whole numbers: "s", "ms", "us", "ns" or "D" since 1970, "Y" or "yyyymmdd";
            None: by their size, if that is certain.
        key: name of the table in an HDF5 file; None: the only one.

    Raises:
        ValueError: if a value is invalid.
    """

    layout: str | None = None
    time_column: str | None = None
    sensor_column: str | None = None
    value_columns: tuple[str, ...] | None = None
    header_rows: int | None = None
    decimal: str = "."
    day_first: bool | None = None
    time_unit: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.value_columns, list):
            object.__setattr__(self, "value_columns", tuple(self.value_columns))
        if self.layout is not None:
            one_of("TableFormat", "layout", self.layout, LAYOUTS)
        one_of("TableFormat", "decimal", self.decimal, (".", ","))
        if self.header_rows not in (None, 0, 1, 2):
            raise ValueError(f"TableFormat: expected header_rows to be 0, 1 or 2, got {self.header_rows!r}")
        if self.layout == "wide" and (self.sensor_column is not None or self.value_columns is not None):
            raise ValueError("TableFormat: sensor_column and value_columns are for layout='long', got layout='wide'")

    @property
    def is_long(self) -> bool:
        """True if the table has a line per step and sensor."""
        return self.layout == "long" or self.sensor_column is not None or self.value_columns is not None

    def changed(self) -> list[str]:
        """Return the names of the fields whose values are not the default.

        Example:
            >>> TableFormat(decimal=",").changed()
            ['decimal']
        """
        return [item.name for item in fields(TableFormat) if getattr(self, item.name) != item.default]
