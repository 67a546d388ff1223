"""Graphs in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqgnn.data.io.graphs.arrays import as_array, from_arrays, from_matrix, from_sparse
from seqgnn.data.io.graphs.edge_data import CALLER, DISTANCES, EdgeData
from seqgnn.data.io.graphs.matching import Nodes
from seqgnn.data.io.graphs.node_names import node_names
from seqgnn.data.io.graphs.tables import from_table
from seqgnn.data.names import name_of

LABELS = ("name", "label", "id", "sensor_id")  # attributes of nodes that may name them


def from_networkx(graph: Any, nodes: Nodes, kind: str | None, origin: str = "the networkx graph") -> EdgeData:
    """Return the edges of a networkx graph, both directions of undirected ones. Their values are the attribute
    "weight" or one that is named as a distance; attributes of nodes, such as coordinates for drawing, are not read.

    Nodes are named by their keys or, where these are not names of the time series, by an attribute such as "name".
    """
    names = _names(graph, nodes, origin)
    position = {node: i for i, node in enumerate(graph.nodes)}
    edges = [(source, target, attributes) for source, target, attributes in graph.edges(data=True)]
    heading = _heading([attributes for *_, attributes in edges], kind, origin)
    pairs, values, ends = [], [], []
    for source, target, attributes in edges:
        value = 1.0
        if heading is not None:
            value = _value(attributes.get(heading), f"{heading} of edge {source!r} -> {target!r} of {origin}")
        directions = [(source, target)]
        if not graph.is_directed() and source != target:
            directions.append((target, source))
        for first, second in directions:
            pairs.append((position[first], position[second]))
            values.append(value)
            ends.append((first, second))
    return EdgeData(
        origin,
        indices=np.array(pairs, dtype=np.int64).reshape(-1, 2).T,
        names=names,
        size=len(names),
        values=None if heading is None else np.array(values),
        heading=heading,
        place=lambda edge: f"edge {ends[edge][0]!r} -> {ends[edge][1]!r}",
        is_matrix=True,
    )


def from_object(graph: Any, nodes: Nodes, kind: str | None) -> EdgeData:
    """Return the edges of a graph in memory: networkx, scipy.sparse, a frame, PyG's `Data`, a pair of edge_index and
    edge_weight, or a matrix.

    Raises:
        ValueError: for anything else.
    """
    if hasattr(graph, "is_multigraph"):
        return from_networkx(graph, nodes, kind)
    if hasattr(graph, "tocoo"):
        return from_sparse(graph, "the sparse matrix", kind)
    if hasattr(graph, "is_sparse") and (graph.is_sparse or getattr(graph, "is_sparse_csr", False)):
        return from_sparse(_from_torch(graph), "the sparse tensor", kind)
    if hasattr(graph, "columns"):
        return from_table(_rows(graph), "the frame", nodes, kind)
    if getattr(graph, "edge_index", None) is not None:
        keys = ("edge_index", "edge_weight", "edge_attr")
        arrays = {key: value for key in keys if (value := getattr(graph, key, None)) is not None}
        return from_arrays(arrays, type(graph).__name__, kind)
    if isinstance(graph, tuple) and len(graph) == 2:
        arrays = {"edge_index": graph[0]} | ({} if graph[1] is None else {"edge_weight": graph[1]})
        return from_arrays(arrays, "the pair of edge_index and edge_weight", kind)
    if hasattr(graph, "shape") or isinstance(graph, list):
        return from_matrix(as_array(graph), "the array", kind)
    raise ValueError(
        f"{CALLER}: expected a file, a networkx graph, a matrix, a frame, or edge_index and edge_weight, got "
        f"{type(graph).__name__}"
    )


def _from_torch(matrix: Any) -> Any:
    from scipy.sparse import coo_array

    entries = matrix.detach().cpu().to_sparse_coo().coalesce()
    return coo_array((entries.values().numpy(), entries.indices().numpy()), shape=tuple(entries.shape))


def _rows(frame: Any) -> list[list[str]]:
    """Return the cells of a pandas or polars frame as text, with names of rows where it has an index of names."""
    if hasattr(frame, "notna"):
        frame = frame.astype(object).where(frame.notna(), None)
    rows = [["" if cell is None else name_of(cell) for cell in row] for row in frame.to_numpy().tolist()]
    header = [name_of(column) for column in frame.columns]
    index = getattr(frame, "index", None)
    if index is not None and not (index.dtype.kind in "iu" and list(index) == list(range(len(index)))):
        rows = [[name_of(name), *row] for name, row in zip(index, rows)]
        header = ["", *header]
    return [header, *rows]


def _names(graph: Any, nodes: Nodes, origin: str) -> list[str]:
    keys = [name_of(node) for node in graph.nodes]
    known = set(nodes.expected) | set(nodes.series)
    if not known & set(keys):
        for label in LABELS:
            labels = [attributes.get(label) for _, attributes in graph.nodes(data=True)]
            if all(value is not None for value in labels) and known & {name_of(value) for value in labels}:
                return node_names(labels, origin)
    return node_names(keys, origin)


def _heading(attributes: Sequence[dict[Any, Any]], kind: str | None, origin: str) -> str | None:
    """Return the attribute that has the values of edges."""
    present = {name for edge in attributes for name in edge}
    distances = sorted(name for name in present if str(name).lower() in DISTANCES)
    if "weight" in present and not (kind == "distances" and distances):
        return "weight"
    if kind in ("edges", "adjacency") and distances:
        return None
    if len(distances) > 1:
        raise ValueError(f"{CALLER}: expected one distance of edges in {origin}, got {', '.join(distances)}")
    return distances[0] if distances else None


def _value(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{CALLER}: expected a number as {name}, got {value!r}") from None
