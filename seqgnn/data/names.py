"""Names of nodes and features as text."""

from collections.abc import Iterable
from typing import Any


def name_of(value: Any) -> str:
    """Return a name as text: bytes are decoded, whole numbers have no decimal point, leading zeros stay.

    Example:
        >>> name_of(b"773869"), name_of("001"), name_of(400001.0)
        ('773869', '001', '400001')
    """
    if hasattr(value, "item"):  # scalars of numpy and torch
        value = value.item()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin1")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def names_of(caller: str, values: Iterable[Any], noun: str = "node", origin: Any = None) -> list[str]:
    """Return names as text.

    Args:
        caller, noun, origin: what the error message says: who calls, what is named, and where (None: unknown).

    Raises:
        ValueError: if a name is missing (None or NaN).
    """
    names = []
    for i, value in enumerate(values):
        if value is None or value != value:
            where = "" if origin is None else f" of {origin}"
            raise ValueError(f"{caller}: expected a name for every {noun}, got {value} for {noun} {i}{where}")
        names.append(name_of(value))
    return names
