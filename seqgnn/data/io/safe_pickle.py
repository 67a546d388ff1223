"""The one reader for pickles: of arrays, lists and names in files, and of attributes that PyTables pickles.

No class or function of a pickle is imported or called. Stand-ins take their place, which keep the names, numbers and
bytes that they are called with; arrays are made of these afterwards, after their sizes are compared with the bytes.
"""

import datetime
import io
import pickle
import pickletools
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io.pickle_stand_ins import STAND_INS, ForbiddenGlobal, PickledArray, Placeholder, SparseArrays

REPEATS = 10  # objects per byte, for those that a pickle refers to several times
OTHER_OPCODES = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}


def read_plain_pickle(path: str | PathLike[str]) -> Any:
    """Return the content of a pickle of numpy arrays, numbers, strings, lists, tuples and dictionaries, also from
    Python 2. Matrices of scipy.sparse are returned as `SparseArrays`, and arrays `[N]` of objects, such as names, as
    lists.

    Line ends that were changed to CRLF, as git and text editors do on Windows, are changed back.

    Raises:
        ValueError: if the file cannot be read, is not a pickle, has arrays whose sizes differ from their bytes, or
            contains anything else, which is named and not executed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"read_plain_pickle: expected a readable file, got {path}: {error.strerror}") from error
    failure: ValueError | None = None
    for version in _versions(content):
        try:
            return _read(version, path)
        except ValueError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def read_attribute(value: Any) -> Any:
    """Return an attribute of an HDF5 file that PyTables may have pickled, with a `Placeholder` for each object other
    than lists, dictionaries, text, numbers and datetime's offsets; bytes that are no pickle are text."""
    if not isinstance(value, bytes):
        return value.item() if isinstance(value, np.generic) else value
    try:
        return _load(value, "utf-8", _placeholder)
    except Exception:  # plain text, or damaged
        return value.decode("utf-8", errors="replace")


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


def _read(content: bytes, path: Path) -> Any:
    try:
        return _load(content, "latin1", _forbidden)
    except ForbiddenGlobal as forbidden:
        raise ValueError(
            f"read_plain_pickle: expected {path} to contain only arrays, lists and names, got a pickle that requests "
            f"{forbidden}, which was not executed"
        ) from None
    except Exception as error:  # damaged pickles may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"read_plain_pickle: expected a pickle, got {path} ({reason})") from error


def _load(content: bytes, encoding: str, other: Callable[[str, str], Any]) -> Any:
    """Return the content of a pickle.

    Args:
        other: called with module and name of a global without a stand-in; returns one, or raises an error.
    """
    _check_opcodes(content)
    loaded = _Unpickler(content, encoding, other).load()
    return _Converter(REPEATS * len(content)).convert(loaded)


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}


def _check_opcodes(content: bytes) -> None:
    """Check that a pickle is whole, and that no length or number in it is larger than the pickle itself.

    Raises:
        ValueError: otherwise.
    """
    file = io.BytesIO(content)
    while (code := file.read(1)) != pickle.STOP:
        opcode = _OPCODES.get(code.decode("latin1"))
        if opcode is None:
            raise ValueError(f"no instruction {code!r}" if code else "it is cut off")
        if opcode.name == "STRING":  # of Python 2; pickletools reads only ASCII there
            file.readline()
            continue
        argument: Any = None if opcode.arg is None else opcode.arg.reader(file)
        if opcode.name in OTHER_OPCODES:
            raise ForbiddenGlobal(f"an object from elsewhere ({opcode.name})")
        if opcode.name in MEMO and not 0 <= int(argument) <= len(content):
            raise ValueError(f"object number {argument} in a pickle of {len(content)} bytes")


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, encoding: str, other: Callable[[str, str], Any]) -> None:
        super().__init__(io.BytesIO(content), encoding=encoding)
        self.other = other

    def find_class(self, module: str, name: str) -> Any:
        return STAND_INS.get((module, name)) or self.other(module, name)


def _forbidden(module: str, name: str) -> Any:
    raise ForbiddenGlobal(f"{module}.{name}")


def _placeholder(module: str, name: str) -> Any:
    return type(name, (Placeholder,), {"name": name})


class _Converter:
    """Conversion of what a pickle was read as to arrays, lists, tuples, dictionaries, numbers and text.

    Args:
        most: most objects that may be converted, since those that occur several times could become too many.
    """

    def __init__(self, most: int) -> None:
        self.left = most

    def convert(self, value: Any) -> Any:
        """Return a value without stand-ins for arrays."""
        self.left -= 1
        if self.left < 0:
            raise ValueError("more objects than its bytes can describe")
        if isinstance(value, list | tuple):
            return type(value)([self.convert(item) for item in value])
        if isinstance(value, dict):
            return {self.convert(key): self.convert(item) for key, item in value.items()}
        if isinstance(value, PickledArray):
            content = value.content()
            return self.convert(content) if isinstance(content, list) else content
        if isinstance(value, SparseArrays):
            value.__dict__ = self.convert(vars(value))
        elif isinstance(value, Placeholder):
            value.arguments = self.convert(value.arguments)
        elif not isinstance(value, _LEAVES):
            raise ForbiddenGlobal(getattr(value, "__name__", type(value).__name__))
        return value


_LEAVES = (bool, int, float, complex, str, bytes, bytearray, np.generic, np.ndarray, type(None), datetime.tzinfo,
           datetime.timedelta)  # fmt: skip
