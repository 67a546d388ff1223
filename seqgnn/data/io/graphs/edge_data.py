"""Edges as a file or an object has them, before they are matched with the nodes of a time series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqgnn._utils.validation import one_of

CALLER = "read_graph"
KINDS = ("adjacency", "edges", "distances")
WEIGHTS = {"weight", "weights", "edge_weight", "edge_weights", "w", "similarity"}
DISTANCES = {"cost", "costs", "distance", "distances", "dist", "length", "meters", "metres", "miles", "km"}


@dataclass(frozen=True)
class EdgeData:
    """Edges and their values.

    Attributes:
        origin: the file or object, for messages.
        pairs: `[E, 2]` names, or positions as text, of sources and targets; None for an object with `indices`.
        indices: `[2, E]` positions in `names`, or in the time series if `names` is None.
        names: names of all nodes, in order; None: unknown.
        size: number of nodes, for matrices; None: unknown.
        values: `[E]` weights or distances; None: there are none.
        heading: name of the values in the file; None: they have none.
        place: returns where in the file an edge is, for messages.
        is_matrix: whether the order of edges has no meaning.
        are_distinct: whether no edge can be repeated.
    """

    origin: str
    pairs: Sequence[Sequence[str]] | None = None
    indices: np.ndarray | None = None
    names: Sequence[str] | None = None
    size: int | None = None
    values: np.ndarray | None = None
    heading: str | None = None
    place: Callable[[int], str] = str
    is_matrix: bool = False
    are_distinct: bool = False

    def location(self, edge: int) -> str:
        """Return where an edge is, with the name of the file."""
        return f"{self.place(edge)} of {self.origin}"

    def select(self, edges: np.ndarray) -> "EdgeData":
        """Return the edges of a mask or of indices."""
        positions = np.flatnonzero(edges) if edges.dtype == bool else edges
        return replace(
            self,
            pairs=None if self.pairs is None else [self.pairs[i] for i in positions.tolist()],
            indices=None if self.indices is None else self.indices[:, positions],
            values=None if self.values is None else self.values[positions],
            place=lambda edge: self.place(int(positions[edge])),
        )


def meaning(heading: str | None) -> str | None:
    """Return the kind of values by their name: "edges" for weights, "distances", or None where the name does not say.

    Example:
        >>> meaning("cost"), meaning("weight"), meaning("value")
        ('distances', 'edges', None)
    """
    name = "" if heading is None else heading.strip().lower()
    return "distances" if name in DISTANCES else "edges" if name in WEIGHTS else None


def checked_kind(kind: str | None) -> str | None:
    """Return the kind of a graph, None where it is to be detected."""
    return None if kind is None else one_of(CALLER, "kind", kind, KINDS)


def from_dense(matrix: np.ndarray, origin: str, kind: str | None, names: Sequence[str] | None = None) -> EdgeData:
    """Return the entries of a square matrix: those that are not 0 or, of distances, those that are finite.

    Raises:
        ValueError: if it is not square or a weight is not finite; or if, of distances, a distance between two nodes is
            0, which might mean that there is no edge.
    """
    shape = " x ".join(map(str, matrix.shape))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{CALLER}: expected a matrix between the nodes of the signal, got {shape} in {origin}")
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"{CALLER}: expected a matrix of real numbers in {origin}, got {matrix.dtype}")
    matrix = matrix.astype(np.float64)

    def place(i: int, j: int) -> str:
        return f"row {i + 1}, column {j + 1}"

    if kind == "distances":
        is_edge = np.isfinite(matrix)
        zeros = np.argwhere((matrix == 0) & ~np.eye(len(matrix), dtype=bool))
        if len(zeros):
            i, j = zeros[0].tolist()
            raise ValueError(
                f"{CALLER}: expected distances above 0 between different nodes, since 0 might mean no edge, got 0 at "
                f"{place(i, j)} of {origin}; use inf or an empty cell for no edge, or kind='edges' with a list"
            )
    else:
        if not np.isfinite(matrix).all():
            i, j = np.argwhere(~np.isfinite(matrix))[0].tolist()
            raise ValueError(f"{CALLER}: expected finite weights, got {matrix[i, j]} at {place(i, j)} of {origin}")
        is_edge = matrix != 0
    indices = np.stack(np.nonzero(is_edge))
    return EdgeData(
        origin,
        indices=indices,
        names=names,
        size=len(matrix),
        values=matrix[indices[0], indices[1]],
        place=lambda edge: place(*indices[:, edge].tolist()),
        is_matrix=True,
        are_distinct=True,
    )
