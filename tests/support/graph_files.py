"""Graphs that were read, as matrices."""

import numpy as np


def dense(graph, n=4):
    """Return edges and their weights as a matrix; each edge is there once."""
    edge_index, edge_weight = graph
    matrix = np.zeros((n, n))
    matrix[tuple(edge_index)] = edge_weight
    assert np.count_nonzero(matrix) == len(edge_weight)
    return matrix
