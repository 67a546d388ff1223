"""Reader for graphs in files: matrices, lists of edges, distances."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import one_of
from seqgnn.data.io.csv_tables import check_distinct, numbers, read_table
from seqgnn.data.io.safe_pickle import read_plain_pickle

CALLER = "read_graph"
KINDS = ("adjacency", "edges", "distances")
STARTS = {"from", "source", "src", "start", "origin"}  # names of the first column of a list
DISTANCES = {"cost", "distance", "dist", "length", "meters"}


def read_graph(
    path: str | PathLike[str], nodes: Sequence[str], *, kind: str | None = None, threshold: float = 0.1
) -> tuple[Tensor, Tensor]:
    r"""Return edges and edge weights of a graph between the given nodes, from a file.

    - A matrix as csv (with or without a header), npy or npz (also of scipy.sparse): a nonzero entry (i, j) is the
      weight of an edge i -> j.
    - A list of edges as csv: from, to and optionally weight, with or without a header of these names. Nodes are given
      by name, or else by index.
    - A list of distances as csv: from, to, distance. The weights are
      :math:`w_{ij} = \exp(-d_{ij}^2 / \sigma^2)`, with :math:`\sigma` the standard deviation of the distances between
      the nodes; weights below `threshold` are not edges (`Diffusion convolutional recurrent neural network
      <https://arxiv.org/abs/1707.01926>`_, Li et al. 2018, appendix E.1). Lines with other nodes are ignored.
    - A pickle of names, their indices and a matrix, such as DCRNN's `adj_mx.pkl`; no code in it is executed.

    Args:
        path: a file `.csv`, `.npy`, `.npz` or `.pkl`.
        nodes: names of the nodes of the time series. A matrix with names is reordered to match them.
        kind: content of a csv file, one of `KINDS`. None: detected. It is a matrix if it has more than three columns,
            or as many columns and rows as there are nodes; distances, if the third column has such a name (cost,
            distance, length); otherwise edges.
        threshold: smallest weight of an edge, for distances; at least 0.

    Shapes:
        edge_index ``[2, E]``, edge_weight ``[E]``.

    Raises:
        ValueError: if the file cannot be read, a matrix does not match the nodes, a node is unknown, a value is not a
            number, or an edge or distance occurs twice.
    """
    path = Path(path)
    suffix = one_of(CALLER, "the suffix of a graph file", path.suffix.lower(), (".csv", ".npy", ".npz", ".pkl"))
    if kind is not None:
        one_of(CALLER, "kind", kind, KINDS)
    if threshold < 0:
        raise ValueError(f"{CALLER}: expected threshold of at least 0, got {threshold}")
    if suffix == ".pkl":
        return _from_matrix(*_read_pickle(path), nodes, path)
    if suffix == ".csv":
        rows = read_table(CALLER, path)
        if kind == "adjacency" or (kind is None and _is_matrix(rows, len(nodes))):
            return _from_matrix(*_table_matrix(rows, path), nodes, path)
        return _from_list(rows, nodes, path, kind, threshold)
    arrays = _arrays(path)
    if "edge_index" in arrays:
        edges = torch.from_numpy(arrays["edge_index"].astype(np.int64))
        weights = arrays.get("edge_weight", np.ones(edges.shape[-1]))
        return edges, torch.from_numpy(weights.astype(np.float32))
    return _from_matrix(None, _matrix(arrays, path), nodes, path)


def _from_matrix(
    names: Sequence[str] | None, matrix: np.ndarray, nodes: Sequence[str], path: Path
) -> tuple[Tensor, Tensor]:
    shape = " x ".join(map(str, matrix.shape))
    if matrix.shape != (len(nodes), len(nodes)):
        raise ValueError(
            f"{CALLER}: expected a matrix between the {len(nodes)} nodes of the signal, got {shape} in {path}"
        )
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0].tolist()
        location = f"row {i + 1}, column {j + 1} of {path}"
        raise ValueError(f"{CALLER}: expected finite weights, got {matrix[i, j]} at {location}")
    if names is not None:
        indices = {name: i for i, name in enumerate(names)}
        missing = [node for node in nodes if node not in indices]
        if missing:
            raise ValueError(f"{CALLER}: expected the nodes of the signal in {path}, got none called {missing[0]!r}")
        order = [indices[node] for node in nodes]
        matrix = matrix[np.ix_(order, order)]
    edges = np.stack(np.nonzero(matrix))
    return torch.from_numpy(edges), torch.from_numpy(matrix[edges[0], edges[1]].astype(np.float32))


def _is_matrix(rows: list[list[str]], num_nodes: int) -> bool:
    width = len(rows[0])
    return width > 3 or (width == num_nodes <= len(rows) <= width + 1 and rows[0][0].lower() not in STARTS)


def _read_pickle(path: Path) -> tuple[list[str], np.ndarray]:
    content = read_plain_pickle(path)
    if not (isinstance(content, list | tuple) and len(content) == 3 and isinstance(content[2], np.ndarray)):
        actual = type(content).__name__
        raise ValueError(f"{CALLER}: expected names, their indices and a matrix in {path}, got {actual}")
    names, _, matrix = content
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names], matrix


def _table_matrix(rows: list[list[str]], path: Path) -> tuple[list[str] | None, np.ndarray]:
    names = None
    if len(rows) == len(rows[0]) + 1:  # a header
        names, rows = rows[0], rows[1:]
        check_distinct(CALLER, names, path, "node")
    elif not rows[0][0]:  # a header and a column of names
        names, rows = rows[0][1:], [row[1:] for row in rows[1:]]
        check_distinct(CALLER, names, path, "node")
    columns = [str(column) for column in range(1, len(rows[0]) + 1)]
    return names, numbers(CALLER, rows, columns, path, 1 if names is None else 2)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"matrix": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{CALLER}: expected arrays, without pickled objects, got {path} ({error})") from error
    return arrays


def _matrix(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    if {"data", "shape", "format"} <= arrays.keys():  # of scipy.sparse.save_npz
        matrix = np.zeros(arrays["shape"])
        layout = arrays["format"].item()
        layout = layout.decode() if isinstance(layout, bytes) else layout
        if one_of(CALLER, f"the format of {path}", layout, ("csr", "csc", "coo")) == "coo":
            indices = arrays["row"], arrays["col"]
        else:
            major = np.repeat(np.arange(len(arrays["indptr"]) - 1), np.diff(arrays["indptr"]))
            indices = (major, arrays["indices"]) if layout == "csr" else (arrays["indices"], major)
        np.add.at(matrix, indices, arrays["data"])
        return matrix
    matrices = [array for array in arrays.values() if array.ndim == 2 and array.dtype.kind in "biuf"]
    if len(matrices) != 1:
        raise ValueError(f"{CALLER}: expected one matrix of numbers in {path}, got {', '.join(arrays)}")
    return matrices[0].astype(np.float64)


def _from_list(
    rows: list[list[str]], nodes: Sequence[str], path: Path, kind: str | None, threshold: float
) -> tuple[Tensor, Tensor]:
    if len(rows[0]) not in (2, 3):
        actual = f"{len(rows)} lines of {len(rows[0])} values in {path}"
        raise ValueError(f"{CALLER}: expected lines from,to or from,to,weight, or a square matrix, got {actual}")
    indices = _node_indices(rows, nodes)
    header = int(_is_header(rows[0], indices))
    last_heading = rows[0][2].lower() if header and len(rows[0]) == 3 else ""
    kind = kind or ("distances" if last_heading in DISTANCES else "edges")
    if kind == "distances" and len(rows[0]) != 3:
        raise ValueError(f"{CALLER}: expected distances as from,to,distance, got two values per line in {path}")
    edge_list, lines = [], []
    for line, row in enumerate(rows[header:], start=1 + header):
        unknown = [cell for cell in row[:2] if cell not in indices]
        if unknown and kind == "edges":
            raise ValueError(
                f"{CALLER}: expected edges between the {len(nodes)} nodes of the signal, got {unknown[0]!r} in "
                f"line {line} of {path}"
            )
        if not unknown:
            edge_list.append((indices[row[0]], indices[row[1]]))
            lines.append(line)
    if not edge_list:
        raise ValueError(f"{CALLER}: expected edges between the {len(nodes)} nodes of the signal, got none in {path}")
    _check_duplicates(edge_list, lines, path)
    edges = np.array(edge_list).T
    if len(rows[0]) == 2:
        return torch.from_numpy(edges), torch.ones(len(edge_list))
    values = np.concatenate(
        [numbers(CALLER, [rows[line - 1][2:]], [rows[0][2] if header else "3"], path, line) for line in lines]
    )[:, 0]
    if np.isnan(values).any():
        line = lines[int(np.isnan(values).argmax())]
        raise ValueError(f"{CALLER}: expected a number for every edge, got none in line {line} of {path}")
    if kind == "distances":
        if (values < 0).any():
            actual = f"{values[values < 0][0]:g} in line {lines[int((values < 0).argmax())]} of {path}"
            raise ValueError(f"{CALLER}: expected distances of at least 0, got {actual}")
        values, is_edge = gaussian_kernel(values, threshold)
        values, edges = values[is_edge], edges[:, is_edge]
    return torch.from_numpy(edges.copy()), torch.from_numpy(values.astype(np.float32))


def gaussian_kernel(distances: np.ndarray, threshold: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the weights :math:`\exp(-d^2 / \sigma^2)`, with the standard deviation of the distances, and True for
    each weight of at least `threshold`.

    Raises:
        ValueError: if a distance is negative or all distances are equal, so that there is no scale.

    Example:
        >>> weights, is_edge = gaussian_kernel(np.array([0.0, 1.0, 2.0, 1.0]))
        >>> weights.round(4).tolist(), is_edge.tolist()
        ([1.0, 0.1353, 0.0003, 0.1353], [True, True, False, True])
    """
    if (distances < 0).any():
        raise ValueError(f"{CALLER}: expected distances of at least 0, got {distances.min()}")
    if not (sigma := distances.std()) > 0:
        raise ValueError(
            f"{CALLER}: expected at least two different distances, to scale the kernel, got {distances[0]}"
        )
    weights = np.exp(-np.square(distances / sigma))
    return weights, weights >= threshold


def _node_indices(rows: list[list[str]], nodes: Sequence[str]) -> dict[str, int]:
    """Return the index of each node by its name in a list: names if any line has one, else indices."""
    names = {name: i for i, name in enumerate(nodes)}
    if any(cell in names for row in rows for cell in row[:2]):
        return names
    return {str(i): i for i in range(len(nodes))}


def _is_header(row: list[str], indices: dict[str, int]) -> bool:
    """Return True if the first line of a list is a header, not an edge, which might be between unknown nodes."""
    if any(cell in indices for cell in row[:2]):
        return False
    return row[0].lower() in STARTS or (len(row) == 3 and not _is_number(row[2]))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_duplicates(edge_list: list[tuple[int, int]], lines: list[int], path: Path) -> None:
    first_lines: dict[tuple[int, int], int] = {}
    for pair, line in zip(edge_list, lines):
        if pair in first_lines:
            raise ValueError(
                f"{CALLER}: expected every edge once, got that of line {first_lines[pair]} again in line {line} of "
                f"{path}"
            )
        first_lines[pair] = line
