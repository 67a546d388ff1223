"""Reader for pickles of arrays, lists and names that executes no code."""

import pickle
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np


def read_plain_pickle(path: str | PathLike[str]) -> Any:
    """Return the content of a pickle of numpy arrays, numbers, strings, lists, tuples and dictionaries, also from
    Python 2.

    Raises:
        ValueError: if the file cannot be read, is not a pickle, or contains anything else, which is named and not
            executed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except _ForbiddenGlobal as forbidden:
        raise ValueError(
            f"read_plain_pickle: expected {path} to contain only arrays, lists and names, got a pickle that requests "
            f"{forbidden}, which was not executed"
        ) from None
    except OSError as error:
        raise ValueError(
            f"read_plain_pickle: expected a readable file, got {path}: {error.strerror}"
        ) from error
    except Exception as error:  # damaged pickles may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"read_plain_pickle: expected a pickle, got {path} ({reason})") from error


class _ForbiddenGlobal(Exception):
    pass


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Return bytes as Python 3 pickles them in protocols up to 2."""
    if encoding != "latin1":
        raise _ForbiddenGlobal(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Return empty bytes as these protocols pickle them."""
    return b""


def _from_buffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype, content: bytes) -> Any:
    return np.frombuffer(content, dtype=dtype)[0]


def _empty_array(subtype: type, shape: tuple[int, ...], typecode: Any) -> np.ndarray:
    return np.ndarray.__new__(np.ndarray, shape, typecode)


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _ForbiddenGlobal(f"{module}.{name}")
        return _ALLOWED[module, name]
