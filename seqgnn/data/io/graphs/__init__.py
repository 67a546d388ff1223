"""Readers for graphs: matrices, lists of edges and of distances, in files and in memory."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import one_of
from seqgnn.data.io.array_files import reading
from seqgnn.data.io.csv_tables import read_table
from seqgnn.data.io.graphs.arrays import read_arrays, read_pickle
from seqgnn.data.io.graphs.edge_data import CALLER, DISTANCES, KINDS, EdgeData, checked_kind
from seqgnn.data.io.graphs.graphml import read_graphml
from seqgnn.data.io.graphs.matching import Nodes, match, positions_of
from seqgnn.data.io.graphs.node_names import GraphNodes, read_names
from seqgnn.data.io.graphs.notes import Notes, collected_notes
from seqgnn.data.io.graphs.objects import from_object
from seqgnn.data.io.graphs.tables import from_table
from seqgnn.data.io.graphs.weights import distinct_edges, gaussian_kernel, weigh
from seqgnn.data.names import name_of

__all__ = [
    "CALLER",
    "DISTANCES",
    "KINDS",
    "GraphNodes",
    "collected_notes",
    "gaussian_kernel",
    "read_graph",
    "read_names",
    "read_subgraph",
]


def read_graph(
    graph: Any,
    nodes: Sequence[str],
    *,
    kind: str | None = None,
    threshold: float = 0.1,
    graph_nodes: GraphNodes | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return edges and edge weights of a graph between the given nodes, from a file or an object.

    - A matrix: csv (with or without names above and on the left, in any order), npy, npz (the names of its nodes may be
      an array `nodes`), scipy.sparse or a pickle. A nonzero entry (i, j) is the weight of an edge i -> j.
    - A list of edges: csv with from, to and optionally weight, with or without a header of these names; or npz with
      `edge_index [2, E]` and optionally `edge_weight`.
    - A list of distances: the same with a third column called cost, distance or length, or an array of such a name. The
      weights are :math:`w_{ij} = \exp(-d_{ij}^2 / \sigma^2)`, with :math:`\sigma` the standard deviation of the
      distances; weights below `threshold` are not edges (`Diffusion convolutional recurrent neural network
      <https://arxiv.org/abs/1707.01926>`_, Li et al. 2018, appendix E.1).
    - A pickle of names, their indices and a matrix, such as DCRNN's `adj_mx.pkl`, or of a matrix alone; no code in it
      is executed.
    - GraphML, and any networkx graph; undirected edges have both directions.

    Nodes are matched by name. Where neither the graph nor `graph_nodes` names them, they are positions, from 0. A graph
    whose nodes are all named may have more nodes than the time series; they are left out after the kernel is computed.
    An edge that is repeated with the same value counts once. A weight of 0 in a matrix is no edge, unlike a distance of
    0 in a list or a stored one in a sparse matrix.

    What was read is logged under the name "seqgnn.data", which `seqgnn data check` shows; guesses are warnings there.

    Args:
        graph: a file `.csv`, `.npy`, `.npz`, `.pkl` or `.graphml`; or a networkx graph, a matrix of numpy, torch or
            scipy, a frame of pandas or polars, PyG's `Data`, or a pair of edge_index and edge_weight.
        nodes: names of the nodes of the time series.
        kind: content of the graph, one of `KINDS`; "edges" gives a list of distances weights of 1. None: detected by
            names and shape; what may be either is refused.
        threshold: smallest weight of an edge, for distances; at least 0.
        graph_nodes: names of the nodes of the graph, in order, or a file with one per line. Edges of other nodes are
            left out before the kernel is computed. If none of them is a node of the time series, they name its nodes in
            order. None: the names in the file, or those of the time series.

    Shapes:
        edge_index ``[2, E]``, edge_weight ``[E]``.

    Raises:
        ValueError: if the graph cannot be read or may be of several kinds, a matrix does not match the nodes, a node is
            unknown, a value is not a number, or an edge or distance is repeated with a different value.

    Example:
        >>> import networkx
        >>> edge_index, edge_weight = read_graph(networkx.path_graph(["b", "a", "c"]), ["a", "b", "c"])
        >>> edge_index.tolist()
        [[0, 0, 1, 2], [1, 2, 0, 0]]
    """
    return read_subgraph(graph, nodes, kind=kind, threshold=threshold, graph_nodes=graph_nodes)


def read_subgraph(
    graph: Any,
    nodes: Sequence[str],
    among: Sequence[str] | None = None,
    *,
    kind: str | None = None,
    threshold: float = 0.1,
    graph_nodes: GraphNodes | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the part of a graph between some nodes of a time series.

    Args:
        graph, kind, threshold, graph_nodes: see `read_graph`.
        nodes: names of these nodes.
        among: names of all nodes of the time series; None: `nodes`.
    """
    kind = checked_kind(kind)
    if not threshold >= 0:
        raise ValueError(f"{CALLER}: expected threshold of at least 0, got {threshold}")
    listed, source = (None, "") if graph_nodes is None else read_names(graph_nodes)
    series = list(map(name_of, nodes))
    known = Nodes(series, series if among is None else list(map(name_of, among)), listed, source)
    notes = Notes(CALLER)
    data, names = match(_read(graph, known, kind), known, notes)
    data, weights = weigh(distinct_edges(data, notes), kind, threshold, notes)
    return _between_nodes(data, weights, positions_of(names, known, data.origin, notes))


def _read(graph: Any, nodes: Nodes, kind: str | None) -> EdgeData:
    if not isinstance(graph, str | PathLike):
        return from_object(graph, nodes, kind)
    path = Path(graph)
    suffixes = (".csv", ".npy", ".npz", ".pkl", ".graphml")
    suffix = one_of(CALLER, f"the suffix of the graph file {path}", path.suffix.lower(), suffixes)
    with reading(CALLER, path, f"a whole {suffix} file"):
        if suffix == ".csv":
            return from_table(read_table(CALLER, path), str(path), nodes, kind)
        if suffix == ".graphml":
            return read_graphml(path, nodes, kind)
        return read_pickle(path, kind) if suffix == ".pkl" else read_arrays(path, kind)


def _between_nodes(data: EdgeData, weights: np.ndarray, positions: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the edges between nodes of the time series, those of matrices row by row."""
    assert data.indices is not None
    if data.are_distinct and np.array_equal(positions, np.arange(len(positions))):  # row by row already
        return torch.from_numpy(np.ascontiguousarray(data.indices)), torch.from_numpy(weights.astype(np.float32))
    edges = positions[data.indices]
    order = np.flatnonzero((edges >= 0).all(0))
    if data.is_matrix:
        order = order[np.lexsort((edges[1, order], edges[0, order]))]
    edges = np.ascontiguousarray(edges[:, order])
    return torch.from_numpy(edges), torch.from_numpy(weights[order].astype(np.float32))
