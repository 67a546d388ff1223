"""The entries of a sparse operator: their order, and the weights of self-loops."""

import torch

from seqgnn.nn.graph.pattern import Pattern
from tests.support.sparse_products import EDGES, VALUES, close


def test_pattern_shape_does_not_depend_on_values():
    pattern = Pattern(EDGES, 5, True, "source_to_target")
    assert pattern.row.numel() == 7 + 5  # the self-loop keeps its place
    row, col, values = pattern.edges(pattern.entry_weights(VALUES, 1.0))
    assert row.tolist() == [4, 2, 1, 3, 4, 2, 0, 1, 2, 3, 4] and col.tolist() == [3, 0, 0, 1, 2, 0, 0, 1, 2, 3, 4]
    close(values, torch.tensor([0.3, -1.7, 0.2, 2.5, 1.1, 0.8, 1.0, 1.0, 0.9, 1.0, 1.0], dtype=torch.float64))


def test_pattern_last_self_loop_has_the_weight_and_gradient():
    edges = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1]])
    weight = torch.tensor([5.0, 1.0, 6.0, 7.0], requires_grad=True)
    entries = Pattern(edges, 2, True, "source_to_target").entry_weights(weight, 1.0)
    assert entries.tolist() == [0.0, 1.0, 0.0, 0.0, 1.0, 7.0]
    entries.sum().backward()
    assert weight.grad.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_pattern_compressed_rows_are_stable_and_of_both_sides():
    pattern = Pattern(torch.tensor([[2, 0, 1, 0], [1, 2, 1, 1]]), 3, False, "source_to_target")
    pointers, columns, order = (part.tolist() for part in pattern.compressed(False))
    assert (pointers, columns, order) == ([0, 0, 3, 4], [2, 1, 0, 0], [0, 2, 3, 1])
    pointers, columns, order = (part.tolist() for part in pattern.compressed(True))
    assert (pointers, columns, order) == ([0, 2, 3, 4], [2, 1, 1, 1], [1, 3, 2, 0])
    assert pattern.compressed(True) is pattern.compressed(True)


def test_pattern_flow_against_the_edges_swaps_rows_and_columns():
    forward, backward = (Pattern(EDGES, 5, False, flow) for flow in ("source_to_target", "target_to_source"))
    assert torch.equal(forward.row, EDGES[1]) and torch.equal(forward.col, EDGES[0])
    assert torch.equal(backward.row, EDGES[0]) and torch.equal(backward.col, EDGES[1])
