"""Reader for BasicTS' folders, in the layouts of its versions 0.1 to 1.1."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io.array_files import read_arrays, read_json, reading
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.graphs import read_graph
from seqgnn.data.io.graphs.node_names import node_names
from seqgnn.data.io.graphs.notes import Notes
from seqgnn.data.io.safe_pickle import read_plain_pickle
from seqgnn.data.io.standardized import undo_scaling
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.io.traffic_arrays import published_times

PARTS = ("train", "val", "test")


def is_basicts(path: Path) -> bool:
    """Return True for a folder in one of the layouts of BasicTS."""
    if not path.is_dir():
        return False
    has_arrays = (path / "meta.json").exists() and any(path.glob("*_data.npy"))
    return has_arrays or (path / "desc.json").exists() or bool(_pickles(path))


def read_basicts(path: Path, table_format: TableFormat) -> Columns:
    """Return the time series of a BasicTS folder, with the graph in its `adj_mx.pkl`.

    - Version 1: `meta.json`, and `train_data.npy`, `val_data.npy` and `test_data.npy`, which follow each other. Their
      `..._timestamps.npy` (time of day, day of week) become features of every node.
    - Versions 0.4 and 0.5: `desc.json` and `data.dat`, float32 `[T, N, F]`.
    - Before 0.4: `data_in12_out12.pkl` with standardized values, and `scaler_in12_out12.pkl`, with which they are
      returned in their own units. No code in the pickles is executed.

    The first feature is the target. `null_val` of the json file marks missing values. The files have no dates; METR-LA,
    PEMS03, PEMS04 and PEMS08 have those of `published_times`. Nodes are named as in `adj_mx.pkl` if it has names.

    Args:
        path: folder, or one of its files of data.

    Raises:
        ValueError: if a file is missing or has another shape than the json file says.
    """
    path.stat()  # an error if there is none
    folder = path if path.is_dir() else path.parent
    if path.suffix == ".pkl":
        return _with_graph(*_read_pickles(path), {}, folder)
    if (folder / "meta.json").exists():
        return _with_graph(*_read_arrays(folder), _read_json(folder / "meta.json"), folder)
    if (folder / "desc.json").exists():
        return _with_graph(*_read_memmap(folder), _read_json(folder / "desc.json"), folder)
    pickles = _pickles(folder)
    if len(pickles) != 1:
        actual = ", ".join(file.name for file in pickles) or "none"
        expected = f"meta.json, desc.json or one file data_in*_out*.pkl in {folder}"
        raise ValueError(f"{CALLER}: expected {expected}, got {actual}{'; pass its path' if pickles else ''}")
    return _with_graph(*_read_pickles(pickles[0]), {}, folder)


def _pickles(folder: Path) -> list[Path]:
    return sorted([*folder.glob("data_in*_out*.pkl"), *folder.glob("data.pkl")])


def _with_graph(
    values: np.ndarray, features: Sequence[str] | None, description: dict[str, Any], folder: Path
) -> Columns:
    missing_value = _null_value(description, folder)
    adjacency, nodes = folder / "adj_mx.pkl", None
    if adjacency.exists():
        content = read_plain_pickle(adjacency)
        is_named = isinstance(content, list | tuple) and len(content) == 3 and isinstance(content[1], dict)
        if is_named and np.shape(content[0]) == values.shape[1:2]:
            nodes = node_names(content[0], f"{adjacency}")
    if missing_value is not None:
        Notes(CALLER).add(f"{missing_value:g} means missing in {folder}, by its json file")
    names = nodes or list(map(str, range(values.shape[1])))
    return Columns(
        values,
        nodes,
        published_times(str(description.get("name") or folder.resolve().name), *values.shape[:2]),
        features,
        missing_value=missing_value,
        graph=partial(_read_adjacency, adjacency, names) if adjacency.exists() else None,
    )


def _null_value(description: dict[str, Any], folder: Path) -> float | None:
    file = next((file for name in ("meta.json", "desc.json") if (file := folder / name).exists()), folder)
    with reading(CALLER, file, "a number as null_val of regular_settings"):
        settings = description.get("regular_settings") or {}
        null = settings.get("null_val", settings.get("NULL_VAL"))
        return None if null is None or np.isnan(float(null)) else float(null)


def _read_adjacency(path: Path, nodes: Sequence[str], kind: str | None, threshold: float) -> Any:
    return read_graph(path, nodes, kind=kind, threshold=threshold)


def _read_json(path: Path) -> dict[str, Any]:
    content = read_json(CALLER, path)
    if not isinstance(content, dict):
        raise ValueError(f"{CALLER}: expected names and values in {path}, got {type(content).__name__}")
    return content


def _read_arrays(folder: Path) -> tuple[np.ndarray, list[str] | None]:
    description = _read_json(folder / "meta.json")
    values = _joined([folder / f"{part}_data.npy" for part in PARTS])
    _check_shape(values.shape, description, folder / "meta.json")
    values = values[..., None] if values.ndim == 2 else values
    features = [str(description.get("domain") or "value")] if values.shape[-1] == 1 else None
    if not all((folder / f"{part}_timestamps.npy").exists() for part in PARTS):
        return values, features
    times = _joined([folder / f"{part}_timestamps.npy" for part in PARTS])
    if times.ndim != 2 or len(times) != len(values):
        raise ValueError(
            f"{CALLER}: expected timestamps [{len(values)}, F] as data in {folder}, got {list(times.shape)}"
        )
    described = description.get("timestamps_description")
    if features is not None and isinstance(described, list) and len(described) == times.shape[1]:
        features = [*features, *map(str, described)]
    else:
        features = None
    tiled = np.broadcast_to(times[:, None].astype(values.dtype), (*values.shape[:2], times.shape[1]))
    return np.concatenate([values, tiled], axis=-1), features


def _read_memmap(folder: Path) -> tuple[np.ndarray, list[str] | None]:
    description, path = _read_json(folder / "desc.json"), folder / "data.dat"
    shape = description.get("shape")
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)):
        raise ValueError(f"{CALLER}: expected the shape [T, N, F] in {folder / 'desc.json'}, got {shape}")
    try:
        values = np.fromfile(path, dtype="<f4")
    except OSError as error:
        raise ValueError(f"{CALLER}: expected a readable file, got {path}: {error.strerror}") from error
    if values.size != math.prod(shape):
        expected = f"{shape} = {math.prod(shape)} numbers (float32), as in desc.json,"
        raise ValueError(f"{CALLER}: expected {expected} in {path}, got {values.size}")
    features = description.get("feature_description")
    named = isinstance(features, list) and len(features) == shape[2]
    return values.reshape(shape), list(map(str, features)) if named and features else None


def _read_pickles(path: Path) -> tuple[np.ndarray, None]:
    content = read_plain_pickle(path)
    key = "processed_data" if isinstance(content, dict) and "processed_data" in content else "raw_data"
    values = content.get(key) if isinstance(content, dict) else None
    if not isinstance(values, np.ndarray) or values.ndim != 3 or values.dtype.kind != "f":
        raise ValueError(f"{CALLER}: expected processed_data [T, N, F] in {path}, got {_shape(content)}")
    scaler_path = path.with_name(f"scaler{path.name.removeprefix('data')}")
    if not scaler_path.exists():
        raise ValueError(
            f"{CALLER}: expected {scaler_path.name} next to {path}, whose values are standardized, got none"
        )
    scaler = read_plain_pickle(scaler_path)
    arguments = scaler.get("args") if isinstance(scaler, dict) else None
    if not isinstance(arguments, dict):
        raise ValueError(f"{CALLER}: expected func and args in {scaler_path}, got {_shape(scaler)}")
    # every feature of the file was scaled, then those of time, which are equal at all nodes, were appended
    is_time = [bool((values[..., i] == values[:, :1, i]).all()) for i in range(values.shape[-1])]
    num_scaled = max(is_time.index(True) if any(is_time) else len(is_time), 1)
    return undo_scaling(values, arguments, num_scaled, scaler_path), None


def _joined(paths: Sequence[Path]) -> np.ndarray:
    """Return the arrays of files, which follow each other.

    Raises:
        ValueError: if they are of different shapes.
    """
    arrays = list(map(_load, paths))
    for path, array in zip(paths, arrays):
        if array.shape[1:] != arrays[0].shape[1:] or not array.ndim:
            expected = f"an array of the shape in {paths[0].name}, {list(arrays[0].shape)} but for the first size,"
            raise ValueError(f"{CALLER}: expected {expected} in {path}, got {list(array.shape)}")
    return np.concatenate(arrays)


def _load(path: Path) -> np.ndarray:
    arrays = read_arrays(CALLER, path, "an array")
    if set(arrays) != {"data"} or arrays["data"].dtype.kind not in "biuf":
        raise ValueError(f"{CALLER}: expected an array of numbers in {path}, got {_shape(arrays.get('data', arrays))}")
    return arrays["data"]


def _check_shape(shape: tuple[int, ...], description: dict[str, Any], path: Path) -> None:
    expected = description.get("shape")
    if len(shape) not in (2, 3) or (expected is not None and list(shape) != expected):
        raise ValueError(f"{CALLER}: expected data of the shape in {path}, {expected}, got {list(shape)}")


def _shape(content: Any) -> str:
    if isinstance(content, np.ndarray):
        return f"{content.dtype} {list(content.shape)}"
    return (
        f"{type(content).__name__} of {', '.join(map(str, content))}"
        if isinstance(content, dict)
        else type(content).__name__
    )
