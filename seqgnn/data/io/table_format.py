"""How a table of time series is written."""

from dataclasses import dataclass, fields

from seqgnn._utils.validation import one_of


@dataclass(frozen=True)
class TableFormat:
    """How a table of time series is written.

    Args:
        decimal: decimal mark of numbers in text, "." or ",".

    Raises:
        ValueError: if a value is invalid.
    """

    decimal: str = "."

    def __post_init__(self) -> None:
        one_of("TableFormat", "decimal", self.decimal, (".", ","))

    def changed(self) -> list[str]:
        """Return the names of the fields whose values are not the default.

        Example:
            >>> TableFormat(decimal=",").changed()
            ['decimal']
        """
        return [item.name for item in fields(self) if getattr(self, item.name) != item.default]
