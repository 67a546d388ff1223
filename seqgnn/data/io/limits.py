"""The limit on what a compressed file may unpack to."""

from pathlib import Path
from typing import Any

UNPACKED = 2**30  # bytes that every file may unpack to
RATIO = 100  # a file may also unpack to this multiple of its size; measured values reach a tenth of it


def unpacked_limit(size: int) -> int:
    """Return the number of bytes that a file of `size` bytes may unpack to.

    Example:
        >>> unpacked_limit(1000), unpacked_limit(10**9)
        (1073741824, 100000000000)
    """
    return max(UNPACKED, RATIO * size)


def check_cells(caller: str, label: Any, records: int, shape: tuple[int, int, int]) -> None:
    """Check that records, each of a step and a sensor, are enough for the cells `[T, N, F]` that they are placed in.

    Raises:
        ValueError: if the cells take more than `unpacked_limit` of the memory of the records.
    """
    steps, sensors, features = shape
    if 8 * steps * sensors * features > unpacked_limit(8 * records * features):
        raise ValueError(
            f"{caller}: expected a record for at least 1 of {RATIO} steps and sensors in {label}, got {records:,} for "
            f"{steps:,} steps x {sensors:,} sensors; round the times to common steps"
        )


def check_unpacked(caller: str, path: Path, unpacked: int) -> None:
    """Check that a file does not unpack to more than `unpacked_limit`.

    Raises:
        ValueError: if it does.
    """
    if unpacked > unpacked_limit(path.stat().st_size):
        raise ValueError(
            f"{caller}: expected at most {UNPACKED:,} bytes, or {RATIO} times the size of the file, when unpacked, got "
            f"at least {unpacked:,} in {path}; if they are right, store it without compression"
        )
