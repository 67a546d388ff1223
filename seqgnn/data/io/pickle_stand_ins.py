"""Stand-ins for the classes and functions that a pickle of arrays and names refers to."""

import datetime
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

NUMBERS_AND_TEXT = r"b1|i[1248]|u[1248]|f2|f4|f8|c8|c16|[SU][1-9]\d{0,6}"  # names of dtypes
OBJECTS = ("O", "O4", "O8")  # whose arrays become lists


class ForbiddenGlobal(Exception):
    """Raised for a class or function that a pickle may not refer to, with its name."""


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


class _Name:
    """A class that a pickle only names."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


class _Dtype:
    """A dtype by its name; of its state, only the order of bytes is read."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if text not in OBJECTS and not (isinstance(text, str) and re.fullmatch(NUMBERS_AND_TEXT, text, re.ASCII)):
            raise ForbiddenGlobal(f"numpy.dtype({text!r}), neither of numbers nor of text")
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
            raise ForbiddenGlobal("an array of objects")
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


class PickledArray:
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
        raise ForbiddenGlobal(f"copy_reg._reconstructor of {getattr(kind, '__name__', kind)}")
    return kind()


def _scalar(dtype: Any, content: Any) -> Any:
    return _dtype(dtype).of(content, (1,), "C")[0]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _dtype(dtype).of(content, shape, order)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Return bytes as Python 3 pickles them in protocols up to 2."""
    if encoding != "latin1":
        raise ForbiddenGlobal(f"_codecs.encode with {encoding!r}")
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
STAND_INS: Mapping[tuple[str, str], Any] = {
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
            ("multiarray", "_reconstruct", lambda *_: PickledArray()),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
