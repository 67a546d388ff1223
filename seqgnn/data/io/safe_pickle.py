"""Readers for pickles of arrays, lists and names that execute no code."""

import datetime
import io
import pickle
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np


class SparseArrays:
    """The arrays of a pickled matrix of scipy.sparse, as attributes, without its code.

    Attributes:
        layout: "csr", "csc", "coo", "bsr" or "dia".
    """

    layout = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        rows, columns = vars(self).get("_shape") or vars(self)["shape"]
        return int(rows), int(columns)


def read_plain_pickle(path: str | PathLike[str]) -> Any:
    """Return the content of a pickle of numpy arrays, numbers, strings, lists, tuples and dictionaries, also from
    Python 2. Matrices of scipy.sparse are returned as `SparseArrays`.

    Line ends that were changed to CRLF, as git and text editors do on Windows, are changed back.

    Raises:
        ValueError: if the file cannot be read, is not a pickle, or contains anything else, which is named and not
            executed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"read_plain_pickle: expected a readable file, got {path}: {error.strerror}") from error
    failure: ValueError | None = None
    for version in _versions(content):
        try:
            return _load(version, path)
        except ValueError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _versions(content: bytes) -> Iterator[bytes]:
    """Yield the content, and with the line ends it had before each was changed to CRLF.

    In a text pickle (protocol 0) line ends separate values and never occur in one, so that changing them back is
    certain. In a binary one they may occur, and only a pickle that cannot be read otherwise is changed back.
    """
    changed = content
    while b"\n" in changed and changed.count(b"\r\n") == changed.count(b"\n"):
        changed = changed.replace(b"\r\n", b"\n")
    is_text = not content.startswith(b"\x80")
    yield changed if is_text else content
    if changed != content:
        yield content if is_text else changed


def _load(content: bytes, path: Path) -> Any:
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except _ForbiddenGlobal as forbidden:
        raise ValueError(
            f"read_plain_pickle: expected {path} to contain only arrays, lists and names, got a pickle that requests "
            f"{forbidden}, which was not executed"
        ) from None
    except Exception as error:  # damaged pickles may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
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


def _scalar(dtype: np.dtype, content: bytes | str) -> Any:
    """Return a number; Python 2 pickles its bytes as text."""
    content = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(content, dtype=dtype)[0]


def _dictionary(*arguments: Any) -> dict[Any, Any]:
    """Return a dictionary for one that has a default or an order; Python 2 passes the items of the latter here."""
    return dict(arguments[0]) if arguments and isinstance(arguments[0], list) else {}


def _reconstruct(kind: type, base: type, state: Any) -> Any:
    """Return an object of a Python 2 class as protocols 0 and 1 pickle it."""
    if not (isinstance(kind, type) and issubclass(kind, SparseArrays)):
        raise _ForbiddenGlobal(f"copy_reg._reconstructor of {kind}")
    return kind()


def _empty_array(subtype: type, shape: tuple[int, ...], typecode: Any) -> np.ndarray:
    return np.ndarray.__new__(np.ndarray, shape, typecode)


_LAYOUTS = {layout: type(f"{layout.title()}Arrays", (SparseArrays,), {"layout": layout})
            for layout in ("csr", "csc", "coo", "bsr", "dia")}  # fmt: skip
_ALLOWED: dict[tuple[str, str], Any] = {
    **{
        (f"scipy.sparse.{prefix}{layout}", f"{layout}_{suffix}"): kind
        for layout, kind in _LAYOUTS.items()
        for prefix in ("", "_")
        for suffix in ("matrix", "array")
    },
    ("collections", "defaultdict"): _dictionary,
    ("collections", "OrderedDict"): _dictionary,
    ("builtins", "list"): list,
    ("__builtin__", "list"): list,
    ("builtins", "object"): object,
    ("__builtin__", "object"): object,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("numpy", "matrix"): np.ndarray,
    ("numpy.matrixlib.defmatrix", "matrix"): np.ndarray,
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


class Placeholder:
    """What a pickled attribute would have called, and with which arguments.

    Attributes:
        name: name of the class or function.
        arguments: arguments of the last call.
    """

    name = ""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __call__(self, *arguments: Any) -> "Placeholder":
        return type(self)(*arguments)


def read_attribute(value: Any) -> Any:
    """Return an attribute of an HDF5 file that PyTables may have pickled, with a `Placeholder` for each object other
    than lists, dictionaries, text, numbers and datetime's offsets; bytes that are no pickle are text."""
    if not isinstance(value, bytes):
        return value.item() if isinstance(value, np.generic) else value
    try:
        return _AttributeUnpickler(io.BytesIO(value), encoding="utf-8").load()
    except Exception:  # plain text, or damaged
        return value.decode("utf-8", errors="replace")


class _AttributeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("datetime", "timezone"), ("datetime", "timedelta")):
            return getattr(datetime, name)
        return type(name, (Placeholder,), {"name": name})
