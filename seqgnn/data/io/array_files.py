"""Readers for npy and npz files, and for what libraries raise when a file is damaged."""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

DAMAGE = (
    OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, RuntimeError, ArithmeticError, MemoryError,
    SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def reading(caller: str, path: Path, expected: str) -> Iterator[None]:
    """Turn what libraries raise for a damaged file into an error of one line, which names the file.

    Raises:
        ValueError: for any of `DAMAGE`; errors of `caller` are left as they are.
    """
    try:
        yield
    except DAMAGE as error:
        if str(error).startswith(f"{caller}: "):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{caller}: expected {expected}, got {path} ({reason})") from error


def read_arrays(caller: str, path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name, or the one of an npy file as "data", without pickled objects.

    Raises:
        ValueError: if the file is damaged or has pickled objects.
    """
    with reading(caller, path, "arrays, without pickled objects"), path.open("rb") as file:  # numpy may leave it open
        loaded = np.load(file, allow_pickle=False)
        return {"data": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
