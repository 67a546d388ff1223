"""The one reader for pickles: of arrays, lists and names in files, and of attributes that PyTables pickles.

No class or function of a pickle is imported or called. Stand-ins take their place, which keep the names, numbers and
bytes that they are called with; arrays are made of these afterwards, after their sizes are compared with the bytes.
"""

import datetime
import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS_AND_TEXT = r"b1|i[1248]|u[1248]|f2|f4|f8|c8|c16|[SU][1-9]\d{0,6}"  # names of dtypes
OBJECTS = ("O", "O4", "O8")  # whose arrays become lists
REPEATS = 10  # objects per byte, for those that a pickle refers to several times
OTHER_OPCODES = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}


class SparseArrays:
    """The arrays of a pickled matrix of scipy.sparse, as attributes, without its code.

    Attributes:
        layout: "csr", "csc", "coo", "bsr" or "dia".
    """

    layout = ""
    PARTS = ("data", "row", "col", "coords", "indices", "indptr", "offsets", "shape", "_shape")

    def __setstate__(self, state: Any) -> None:
        state = state[0] if isinstance(state, tuple) else state
        self.__dict__ = {name: value for name, value in state.items() if name in self.PARTS}

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        rows, columns = vars(self).get("_shape") or vars(self)["shape"]
        return int(rows), int(columns)


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

    def __setstate__(self, state: Any) -> None:
        """Ignore the state: no attribute is set."""


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
    except _ForbiddenGlobal as forbidden:
        raise ValueError(
            f"read_plain_pickle: expected {path} to contain only arrays, lists and names, got a pickle that requests "
            f"{forbidden}, which was not executed"
        ) from None
    except Exception as error:  # damaged pickles may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"read_plain_pickle: expected a pickle, got {path} ({reason})") from error


class _ForbiddenGlobal(Exception):
    pass


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
            raise _ForbiddenGlobal(f"an object from elsewhere ({opcode.name})")
        if opcode.name in MEMO and not 0 <= int(argument) <= len(content):
            raise ValueError(f"object number {argument} in a pickle of {len(content)} bytes")


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, encoding: str, other: Callable[[str, str], Any]) -> None:
        super().__init__(io.BytesIO(content), encoding=encoding)
        self.other = other

    def find_class(self, module: str, name: str) -> Any:
        return _STAND_INS.get((module, name)) or self.other(module, name)


def _forbidden(module: str, name: str) -> Any:
    raise _ForbiddenGlobal(f"{module}.{name}")


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
        if isinstance(value, _Array):
            content = value.content()
            return self.convert(content) if isinstance(content, list) else content
        if isinstance(value, SparseArrays):
            value.__dict__ = self.convert(vars(value))
        elif isinstance(value, Placeholder):
            value.arguments = self.convert(value.arguments)
        elif not isinstance(value, _LEAVES):
            raise _ForbiddenGlobal(getattr(value, "__name__", type(value).__name__))
        return value


_LEAVES = (bool, int, float, complex, str, bytes, bytearray, np.generic, np.ndarray, type(None), datetime.tzinfo,
           datetime.timedelta)  # fmt: skip


class _Name:
    """A class that a pickle only names."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


class _Dtype:
    """A dtype by its name; of its state, only the order of bytes is read."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if text not in OBJECTS and not (isinstance(text, str) and re.fullmatch(NUMBERS_AND_TEXT, text, re.ASCII)):
            raise _ForbiddenGlobal(f"numpy.dtype({text!r}), neither of numbers nor of text")
        self.name, self.order = text, "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"the order of bytes {order!r}")
        self.order = order

    def of(self, content: Any, shape: Any, order: str) -> np.ndarray:
        """Return the array of some bytes; Python 2 pickles them as text."""
        if isinstance(content, str):
            content = content.encode("latin1")
        if self.name in OBJECTS:
            raise _ForbiddenGlobal("an array of objects")
        dtype = np.dtype(self.order + self.name)
        if not (isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)):
            raise ValueError(f"an array of shape {shape!r}")
        if not isinstance(content, bytes | bytearray) or math.prod(shape) * dtype.itemsize != len(content):
            size = f"{len(content)} bytes" if isinstance(content, bytes | bytearray) else type(content).__name__
            raise ValueError(f"an array {list(shape)} of {dtype} in {size}")
        return np.frombuffer(bytearray(content), dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _dtype(value: Any) -> _Dtype:
    if not isinstance(value, _Dtype):
        raise ValueError(f"{type(value).__name__} in place of a dtype")
    return value


class _Array:
    """An array before it is made of the bytes in its state."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)[-4:]  # without the version in front

    def content(self) -> np.ndarray | list[Any]:
        """Return the array, or the list of its objects, such as names."""
        shape, dtype, is_fortran, content = self.state
        if isinstance(content, list) and _dtype(dtype).name in OBJECTS and shape == (len(content),):
            return content
        return _dtype(dtype).of(content, shape, "F" if is_fortran else "C")


def _reconstruct(kind: Any, *_: Any) -> Any:
    """Return an object of a Python 2 class as protocols 0 and 1 pickle it."""
    if not (isinstance(kind, type) and issubclass(kind, SparseArrays)):
        raise _ForbiddenGlobal(f"copy_reg._reconstructor of {getattr(kind, '__name__', kind)}")
    return kind()


def _scalar(dtype: Any, content: Any) -> Any:
    return _dtype(dtype).of(content, (1,), "C")[0]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _dtype(dtype).of(content, shape, order)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Return bytes as Python 3 pickles them in protocols up to 2."""
    if encoding != "latin1":
        raise _ForbiddenGlobal(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Return empty bytes as these protocols pickle them."""
    return b""


def _dictionary(*arguments: Any) -> dict[Any, Any]:
    """Return a dictionary for one that has a default or an order; Python 2 passes the items of the latter here."""
    return dict(arguments[0]) if arguments and isinstance(arguments[0], list) else {}


def _timedelta(*counts: int) -> datetime.timedelta:
    return datetime.timedelta(*map(int, counts))


def _timezone(offset: datetime.timedelta, *name: str) -> datetime.timezone:
    return datetime.timezone(offset, *map(str, name))


_LAYOUTS = {layout: type(f"{layout.title()}Arrays", (SparseArrays,), {"layout": layout})
            for layout in ("csr", "csc", "coo", "bsr", "dia")}  # fmt: skip
_STAND_INS: Mapping[tuple[str, str], Any] = {
    **{
        (f"scipy.sparse.{prefix}{layout}", f"{layout}_{suffix}"): kind
        for layout, kind in _LAYOUTS.items()
        for prefix in ("", "_")
        for suffix in ("matrix", "array")
    },
    **{(module, name): _Name(name) for module in ("builtins", "__builtin__") for name in ("list", "object")},
    ("collections", "defaultdict"): _dictionary,
    ("collections", "OrderedDict"): _dictionary,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("numpy", "matrix"): _Name("matrix"),
    ("numpy.matrixlib.defmatrix", "matrix"): _Name("matrix"),
    ("numpy", "ndarray"): _Name("ndarray"),
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
    ("datetime", "timedelta"): _timedelta,
    ("datetime", "timezone"): _timezone,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", lambda *_: _Array()),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
