"""Weights of edges, from weights or from distances."""

import numpy as np

from seqgnn._utils.numbers import LARGEST, size_hint
from seqgnn.data.io.graphs.edge_data import CALLER, EdgeData, meaning
from seqgnn.data.io.graphs.notes import Notes

LARGEST_PLAIN_WEIGHT = 10  # larger values without a name might as well be distances
CHOICES = "pass kind='edges' or kind='distances' (--graph-kind)"


def distinct_edges(data: EdgeData, notes: Notes) -> EdgeData:
    """Return each edge once; one that is repeated with the same value counts once.

    Raises:
        ValueError: if an edge is repeated with a different value.
    """
    indices, values = data.indices, data.values
    assert indices is not None
    if data.are_distinct or not indices.size:
        return data
    keys = indices[0] * (indices[1].max() + 1) + indices[1]
    _, firsts, groups = np.unique(keys, return_index=True, return_inverse=True)
    if len(firsts) == indices.shape[1]:
        return data
    first_edges = firsts[groups.reshape(-1)]
    if values is not None:
        different = ~((values == values[first_edges]) | (np.isnan(values) & np.isnan(values[first_edges])))
        if different.any():
            edge = int(different.argmax())
            first = int(first_edges[edge])
            raise ValueError(
                f"{CALLER}: expected every edge once, got that of {data.place(first)} again in "
                f"{data.location(edge)}, with {values[edge]:g} instead of {values[first]:g}"
            )
    repeated = indices.shape[1] - len(firsts)
    notes.add(f"{data.origin}: edges repeated with the same value, which count once: {repeated}")
    return data.select(np.sort(firsts))


def weigh(data: EdgeData, kind: str | None, threshold: float, notes: Notes) -> tuple[EdgeData, np.ndarray]:
    """Return the edges and their weights.

    Raises:
        ValueError: if a value is not a number or a distance is negative, or the values may be weights or distances.
    """
    values, stated = data.values, meaning(data.heading)
    assert data.indices is not None
    if values is None:
        if kind == "distances":
            raise ValueError(
                f"{CALLER}: expected distances as from,to,distance, got no values of edges in {data.origin}"
            )
        return data, np.ones(data.indices.shape[1])
    if not (is_valid := np.abs(values) <= LARGEST).all():
        edge = int((~is_valid).argmax())
        actual = "none" if np.isnan(values[edge]) else f"{values[edge]:g}"
        hint = size_hint(actual)
        raise ValueError(f"{CALLER}: expected a number for every edge, got {actual} in {data.location(edge)}{hint}")
    if kind in ("edges", "adjacency") and stated == "distances":
        notes.add(f"{data.origin}: {data.heading!r} is not a weight; all weights are 1")
        return data, np.ones(len(values))
    if (kind or stated or _guess(data, values, notes)) != "distances" or not len(values):
        return data, values
    if (values < 0).any():
        actual = f"{values[values < 0][0]:g} in {data.location(int((values < 0).argmax()))}"
        raise ValueError(f"{CALLER}: expected distances of at least 0, got {actual}")
    weights, is_edge = gaussian_kernel(values, threshold, data.origin)
    reason = "" if kind or stated is None else f", as {data.heading!r} says"
    text = (
        f"{data.origin}: distances{reason}; {is_edge.sum()} of {len(values)} edges have a weight of at least "
        f"{threshold:g} (Gaussian kernel, standard deviation {values.std():.6g})"
    )
    if is_edge.all():
        notes.add(text)
    elif is_edge.any():
        notes.add(f"{text}; a threshold of 0 (--threshold) keeps all")
    else:
        notes.warn(f"{text}; pass a smaller threshold (--threshold), or kind='edges' (--graph-kind) for weights of 1")
    return data.select(is_edge), weights[is_edge]


def gaussian_kernel(
    distances: np.ndarray, threshold: float = 0.1, origin: object = "the graph"
) -> tuple[np.ndarray, np.ndarray]:
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
        raise ValueError(f"{CALLER}: expected distances of at least 0, got {distances.min():g} in {origin}")
    if not (sigma := distances.std()) > 0:
        raise ValueError(
            f"{CALLER}: expected at least two different distances, to scale the kernel, got {distances[0]:g} in "
            f"{origin}; kind='edges' (--graph-kind) gives weights of 1"
        )
    weights = np.exp(-np.square(distances / sigma))
    return weights, weights >= threshold


def _guess(data: EdgeData, values: np.ndarray, notes: Notes) -> str:
    """Return the kind of values without a name, after saying so; refuse what may be either."""
    assert data.indices is not None
    name = "values without a name" if data.heading is None else f"values called {data.heading!r}"
    text = f"{name} from {values.min():g} to {values.max():g}" if len(values) else name
    large = len(values) > 0 and bool(max(values.max(), -values.min()) > LARGEST_PLAIN_WEIGHT)
    loops, zeros = data.indices[0] == data.indices[1], values == 0
    if not data.is_matrix and large and loops.any() and np.array_equal(loops, zeros):
        notes.warn(f"{data.origin}: {text} are taken as distances, since nodes have 0 to themselves; {CHOICES}")
        return "distances"
    if large or (not data.is_matrix and zeros.any()):
        choices = CHOICES.replace("edges", "adjacency") if data.is_matrix else CHOICES
        raise ValueError(
            f"{CALLER}: expected weights or distances, got {text} in {data.origin}, which may be either; {choices}"
        )
    if not data.is_matrix and (values != 1).any():
        notes.warn(f"{data.origin}: {text} are taken as weights; {CHOICES} to say what they are")
    return "edges"
