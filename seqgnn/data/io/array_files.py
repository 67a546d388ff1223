"""Readers for npy and npz files, and for what libraries raise when a file is damaged."""

import io
import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from seqgnn.data.io.limits import check_unpacked

KINDS = "biufcSUMm"  # of arrays: numbers, text and times
MEMBERS = 10_000  # most arrays in a file
READERS = ("read_signal: ", "read_graph: ", "read_positions: ", "read_plain_pickle: ")


@contextmanager
def reading(caller: str, path: Path, expected: str) -> Iterator[None]:
    """Turn whatever libraries raise for a damaged file into an error of one line, which names the file.

    Raises:
        ValueError: for any exception; errors of `caller` and of readers are left as they are.
    """
    try:
        yield
    except Exception as error:  # zlib.error, struct.error, BadZipFile and others have no base class in common
        if isinstance(error, ValueError) and str(error).startswith((f"{caller}: ", *READERS)):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())[:200]
        raise ValueError(f"{caller}: expected {expected}, got {path} ({reason or type(error).__name__})") from error


def read_json(caller: str, path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{caller}: expected JSON in {path}, got {error}") from error


def read_arrays(caller: str, path: Path, expected: str = "arrays, without pickled objects") -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name, or the one of an npy file as "data", without pickled objects.

    Sizes are compared with the bytes that are there before memory is allocated, and checksums are verified.

    Raises:
        ValueError: if the file is damaged, has pickled objects, or unpacks to more than `limits.unpacked_limit`.
    """
    with reading(caller, path, expected), path.open("rb") as file:
        is_archive = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        file.seek(0)
        if not is_archive:
            return {"data": _read_array(file, path.stat().st_size)}
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            check_unpacked(caller, path, sum(member.file_size for member in members))
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(set(names)) < len(names) or len(names) > MEMBERS:
                raise ValueError("names of arrays are repeated" if len(names) <= MEMBERS else f"{len(names)} arrays")
            return {name: _read_member(archive, member) for name, member in zip(names, members)}


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        array = _read_array(file, member.file_size)
        if file.read(1):  # the end of a member has its checksum
            raise ValueError(f"{member.filename} has bytes after its array")
    return array


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """Return the array of npy's content of `size` bytes."""
    start = io.BytesIO(file.read(12))
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the npy format")
    length = 10 + int.from_bytes(start.getvalue()[8:10], "little")
    if version == (2, 0):
        length = 12 + int.from_bytes(start.getvalue()[8:12], "little")
    header = io.BytesIO(start.getvalue() + file.read(max(length - 12, 0)))
    header.seek(8)
    read_header: Any = np.lib.format.read_array_header_1_0
    read_header = np.lib.format.read_array_header_2_0 if version == (2, 0) else read_header
    shape, is_fortran, dtype = read_header(header)
    if dtype.hasobject:
        raise ValueError(f"an array of {dtype}, which are pickled")
    if dtype.kind not in KINDS or dtype.itemsize == 0:
        raise ValueError(f"an array of {dtype}")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or length + count * dtype.itemsize != size:
        raise ValueError(f"an array {list(shape)} of {dtype} in {size - length} bytes")
    array = np.empty(count, dtype=dtype)
    view = array.view(np.uint8).data.cast("B") if count else memoryview(b"")
    read = 0
    while read < len(view):
        if not (part := file.readinto(view[read : read + 2**24])):  # type: ignore[attr-defined]
            raise EOFError(f"it ends after {read} of {len(view)} bytes of an array")
        read += part
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)
