"""Graphs in arrays: npy, npz and scipy.sparse files, pickles, and arrays, matrices and frames in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from seqgnn.data.io import array_files
from seqgnn.data.io.graphs.edge_data import CALLER, DISTANCES, WEIGHTS, EdgeData, from_dense
from seqgnn.data.io.graphs.node_names import node_names
from seqgnn.data.io.pickle_stand_ins import SparseArrays
from seqgnn.data.io.safe_pickle import read_plain_pickle
from seqgnn.data.names import name_of

VALUES = (*sorted(WEIGHTS), "edge_attr", *sorted(DISTANCES))
NAMES = ("nodes", "node_names", "node_ids", "sensor_ids", "names", "ids")
LAYOUTS = ("csr", "csc", "coo", "bsr", "dia")
MATRICES = ("adj", "adj_mx", "adjacency", "adjacency_matrix", "a", "matrix")


def read_arrays(path: Path, kind: str | None) -> EdgeData:
    """Return the edges of an npy or npz file, also of scipy.sparse."""
    arrays = array_files.read_arrays(CALLER, path)
    if {"shape", "format"} <= arrays.keys():
        return from_sparse(_saved_sparse(arrays, str(path)), str(path), kind)
    return from_arrays(arrays, str(path), kind)


def read_pickle(path: Path, kind: str | None) -> EdgeData:
    """Return the edges of a pickle: names, their indices and a matrix, as DCRNN writes them, or a matrix alone."""
    content, origin = read_plain_pickle(path), str(path)
    names = indices = None
    if isinstance(content, list | tuple) and len(content) in (2, 3) and not _is_rows(content):
        names, *rest, content = content
        indices = rest[0] if rest else None
        if not isinstance(names, Sequence | np.ndarray) or isinstance(names, str | bytes):
            raise _unexpected(origin, f"{type(names).__name__} in place of the names")
        names = node_names(list(names), origin)
        if isinstance(indices, Mapping) and indices:
            _check_indices(names, indices, origin)
        elif indices is not None and not isinstance(indices, Mapping):
            raise _unexpected(origin, f"{type(indices).__name__} in place of the indices of names")
    if isinstance(content, Mapping):
        arrays = {str(key): as_array(value) for key, value in content.items()}
        if not any(array.ndim == 2 for array in arrays.values()):
            raise _unexpected(origin, type(content).__name__)
        return from_arrays(arrays, origin, kind)
    if isinstance(content, SparseArrays):
        with array_files.reading(CALLER, path, "a matrix of scipy.sparse"):
            matrix = _sparse(content.layout, vars(content), content.shape, origin)
        return replace(from_sparse(matrix, origin, kind), names=names)
    if not isinstance(content, np.ndarray | list | tuple):
        raise _unexpected(origin, f"{type(content).__name__}{' in place of the matrix' if names else ''}")
    data = from_matrix(as_array(content), origin, kind)
    if names is not None and data.size != len(names):
        raise _unexpected(origin, f"{len(names)} names and a matrix of {data.size} rows")
    return replace(data, names=names)


def from_arrays(arrays: Mapping[str, Any], origin: str, kind: str | None) -> EdgeData:
    """Return the edges of arrays by their names: `edge_index` and values, or a matrix; and perhaps names of nodes."""
    if edges := [key for key in arrays if key.lower() == "edge_index"]:
        data = _from_edge_index(arrays[edges[0]], arrays, origin)
    else:
        data = from_matrix(_matrix(arrays, origin), origin, kind)
    named = [key for key in arrays if key.lower() in NAMES]
    if not named:
        return data
    if (shape := np.shape(arrays[named[0]])) != (np.size(arrays[named[0]]),):
        raise ValueError(f"{CALLER}: expected names of nodes [N] as {named[0]} in {origin}, got {shape}")
    names = node_names(np.asarray(arrays[named[0]]).tolist(), origin)
    if data.size is not None and data.size != len(names):
        raise _unexpected(origin, f"{len(names)} {named[0]} and a matrix of {data.size} rows")
    if data.size is None:
        assert data.indices is not None
        outside = (data.indices < 0) | (data.indices >= len(names))
        if outside.any():
            end, edge = np.argwhere(outside)[0].tolist()
            actual = f"{data.indices[end, edge]} in {data.location(edge)}"
            raise ValueError(f"{CALLER}: expected edges between the {len(names)} {named[0]}, got {actual}")
    return replace(data, names=names)


def from_matrix(matrix: np.ndarray, origin: str, kind: str | None) -> EdgeData:
    """Return the edges of a square matrix, or of a list `[E, 2]` or `[E, 3]` where the kind says so."""
    matrix = np.asarray(matrix)
    is_list = matrix.ndim == 2 and matrix.shape[1] in (2, 3) and matrix.shape[0] != matrix.shape[1]
    if kind == "edges" or (kind == "distances" and is_list):
        if matrix.ndim != 2 or matrix.shape[1] not in (2, 3):
            shape = " x ".join(map(str, matrix.shape))
            raise ValueError(f"{CALLER}: expected edges [E, 2] or [E, 3], got a matrix of {shape} in {origin}")
        values = {"": matrix[:, 2]} if matrix.shape[1] == 3 else {}
        edge_values, _ = _values(values, matrix.shape[0], origin)
        return replace(_from_edge_index(matrix[:, :2].T, {}, origin), values=edge_values)
    if is_list and kind is None:
        shape = " x ".join(map(str, matrix.shape))
        raise ValueError(
            f"{CALLER}: expected a matrix between the nodes of the signal, got {shape} in {origin}; for a list of "
            "edges pass kind='edges' or kind='distances' (--graph-kind)"
        )
    return from_dense(matrix, origin, kind)


def from_sparse(matrix: Any, origin: str, kind: str | None) -> EdgeData:
    """Return the entries of a matrix of scipy.sparse. Repeated weights are added, as scipy does, repeated booleans are
    one edge, and a stored 0 is an edge only among distances.

    Raises:
        ValueError: if it is not square, or has distances in a format that also stores zeros for missing entries.
    """
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = " x ".join(map(str, matrix.shape))
        raise ValueError(f"{CALLER}: expected a matrix between the nodes of the signal, got {shape} in {origin}")
    if kind == "distances" and matrix.format in ("bsr", "dia"):
        raise ValueError(
            f"{CALLER}: expected distances in a format that stores only distances, such as coo or csr, got "
            f"{matrix.format} in {origin}, which stores zeros for missing entries too"
        )
    entries = matrix.tocoo(copy=True)
    if entries.dtype.kind not in "biuf":
        raise ValueError(f"{CALLER}: expected a matrix of real numbers in {origin}, got {entries.dtype}")
    if entries.dtype.kind != "b":
        entries = entries.astype(np.float64)  # before adding, since small integers would overflow
    if kind != "distances":
        entries.sum_duplicates()
    indices = np.stack([entries.row, entries.col]).astype(np.int64)
    values = entries.data.astype(np.float64)
    data = EdgeData(
        origin,
        indices=indices,
        size=matrix.shape[0],
        values=values,
        place=lambda edge: f"row {indices[0, edge] + 1}, column {indices[1, edge] + 1}",
        is_matrix=True,
    )
    return data if kind == "distances" else data.select(values != 0)


def _saved_sparse(arrays: Mapping[str, np.ndarray], origin: str) -> Any:
    """Return the matrix that `scipy.sparse.save_npz` has saved as these arrays."""
    layout, shape = arrays["format"], arrays["shape"]
    name = name_of(layout) if layout.ndim == 0 else ""
    if name not in LAYOUTS or shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise _unexpected(origin, f"the format {name!r} and a shape {shape.tolist()}")
    return _sparse(name, arrays, tuple(shape.tolist()), origin)


def _sparse(layout: str, fields: Mapping[str, Any], shape: tuple[int, int], origin: str) -> Any:
    """Return the matrix of scipy.sparse that has these arrays, after checking all indices."""
    from scipy import sparse

    try:
        if layout == "coo":
            row, column = fields["coords"] if "coords" in fields else (fields["row"], fields["col"])
            return sparse.coo_array((fields["data"], (_indices(row), _indices(column))), shape=shape)
        names = ("offsets",) if layout == "dia" else ("indices", "indptr")
        parts = (fields["data"], *(_indices(fields[name]) for name in names))
        matrix = getattr(sparse, f"{layout}_array")(parts, shape=shape)
        if layout != "dia":
            matrix.check_format(full_check=True)
        return matrix
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise _unexpected(origin, f"a damaged {layout} matrix ({reason})") from error


def _indices(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(f"indices of {array.dtype} {list(array.shape)}")
    return array


def _from_edge_index(edges: Any, arrays: Mapping[str, Any], origin: str) -> EdgeData:
    edges = as_array(edges)
    if edges.dtype.kind not in "biuf":
        raise ValueError(f"{CALLER}: expected edge_index as integers in {origin}, got {edges.dtype}")
    if edges.ndim == 2 and edges.shape[0] != 2 and edges.shape[1] == 2:
        edges = edges.T
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(f"{CALLER}: expected edge_index [2, E] in {origin}, got {edges.shape}")
    if edges.dtype.kind == "b":
        raise ValueError(f"{CALLER}: expected edge_index as integers in {origin}, got bool")
    fractions = ~np.isfinite(edges) | (edges != np.floor(edges)) | (np.abs(edges) >= 2**53)
    if fractions.any():
        end, edge = np.argwhere(fractions)[0].tolist()
        actual = f"{edges[end, edge]} in edge {edge} of {origin}"
        raise ValueError(f"{CALLER}: expected edge_index as whole numbers, got {actual}")
    values, heading = _values(
        {key: value for key, value in arrays.items() if key.lower() in VALUES}, edges.shape[1], origin
    )
    return EdgeData(
        origin,
        indices=edges.astype(np.int64),
        values=values,
        heading=heading,
        place=lambda edge: f"edge {edge}",
    )


def _values(arrays: Mapping[str, Any], num_edges: int, origin: str) -> tuple[np.ndarray | None, str | None]:
    """Return the values of edges, `[E]` or `[E, 1]`, and their name."""
    if not arrays:
        return None, None
    found = []
    for name, values in arrays.items():
        label = name or "the third column"
        array = as_array(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{CALLER}: expected {label} as real numbers in {origin}, got {array.dtype}")
        if array.shape not in ((num_edges,), (num_edges, 1)):
            raise ValueError(f"{CALLER}: expected {label} [{num_edges}], one per edge, in {origin}, got {array.shape}")
        found.append(array.reshape(-1).astype(np.float64))
    if any(not np.array_equal(found[0], values, equal_nan=True) for values in found[1:]):
        raise ValueError(f"{CALLER}: expected one array of weights in {origin}, got {', '.join(arrays)}")
    return found[0], next(iter(arrays)) or None


def _matrix(arrays: Mapping[str, Any], origin: str) -> np.ndarray:
    matrices = {key: array for key, value in arrays.items() if (array := as_array(value)).ndim == 2}
    named = [key for key in matrices if key.lower() in MATRICES]
    keys = named if len(named) == 1 else list(matrices)
    if len(keys) != 1:
        raise ValueError(f"{CALLER}: expected one matrix of numbers in {origin}, got {', '.join(arrays)}")
    return matrices[keys[0]]


def as_array(values: Any) -> np.ndarray:
    """Return numbers as an array, an empty one for rows of different lengths."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        return np.empty(0, dtype=object)


def _is_rows(content: Sequence[Any]) -> bool:
    """Return True for rows of numbers, which are a matrix, unlike names followed by a matrix."""
    lengths = {len(row) if isinstance(row, list | tuple) else -1 for row in content}
    cells = [cell for row in content for cell in row] if -1 not in lengths else []
    return lengths == {len(content)} and all(isinstance(cell, int | float | np.number) for cell in cells)


def _check_indices(names: list[str], indices: Mapping[Any, Any], origin: str) -> None:
    for name, index in indices.items():
        text = name_of(name)
        if not (isinstance(index, int | np.integer) and 0 <= index < len(names) and names[index] == text):
            raise _unexpected(origin, f"{text!r} with index {index!r}, which is not its position among the names")


def _unexpected(origin: str, actual: str) -> ValueError:
    return ValueError(f"{CALLER}: expected names, their indices and a matrix in {origin}, or a matrix, got {actual}")
