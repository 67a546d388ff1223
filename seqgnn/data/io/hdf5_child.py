"""A process of its own that reads all of an HDF5 file, since a damaged one can end the process that reads it.

It is run as a script with h5py alone, see `hdf5_series`: its arguments are the file, the limit on the size of its
values, and the path of modules as JSON. It prints what is wrong, if anything is; what a reader reports by itself, such
as a compression that is not installed, is left to that reader.
"""

import contextlib
import json
import sys
from typing import Any

ROWS = 1024  # read at a time where a file has no chunks of its own


def problem_of(path: str, limit: int) -> str:
    """Return in words why a file should not be read; empty if it can be."""
    import h5py

    with contextlib.suppress(ImportError):
        import hdf5plugin as hdf5plugin
    total = 0

    def read(name: str, item: Any) -> str | None:
        nonlocal total
        for key in item.attrs:
            _try(item.attrs.__getitem__, key)
        if not isinstance(item, h5py.Dataset):
            return None
        if item.external or item.is_virtual:
            return f"the values of {name} are in other files"
        if item.shape is not None:
            total += item.size * item.dtype.itemsize
            if total > limit:
                return f"its values take at least {total:,} bytes, more than {limit:,}"
            _try(_read, item)
        return None

    with h5py.File(path, "r") as file:
        return file.visititems(read) or ""


def _read(dataset: Any) -> None:
    if dataset.shape == () or dataset.dtype.hasobject:
        for start in range(0, len(dataset) if dataset.shape else 1, ROWS):
            dataset[start : start + ROWS] if dataset.shape else dataset[()]
    elif dataset.chunks is not None:
        for chunk in dataset.iter_chunks():
            dataset[chunk]


def _try(function: Any, *arguments: Any) -> None:
    with contextlib.suppress(Exception):  # which the reader of the values reports, if it needs them
        function(*arguments)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[3])
    try:
        print(problem_of(sys.argv[1], int(sys.argv[2])))
    except Exception as error:
        print(" ".join(str(error).split())[:200] or type(error).__name__)
