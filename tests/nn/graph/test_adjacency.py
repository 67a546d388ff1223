"""Sparse adjacencies and wrapped tensors as edges and weights."""

import pytest
import torch
from torch_geometric import EdgeIndex

from seqgnn.nn.graph.adjacency import edges_of_adjacency, is_adjacency, unwrap

# Row i holds the edges into node i: 1 -> 0 with weight 2, and 0 -> 2 with weight 3.
DENSE = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", ["to_sparse_coo", "to_sparse_csr", "to_sparse_csc"])
def test_edges_of_adjacency_equal_hand_values(layout):
    adjacency = getattr(DENSE, layout)()
    assert is_adjacency(adjacency) and not is_adjacency(DENSE)
    edges, weight = edges_of_adjacency("Layer", adjacency, None, 3)
    assert sorted(zip(*edges.tolist(), weight.tolist())) == [(0, 2, 3.0), (1, 0, 2.0)]


def test_edges_of_adjacency_integers_become_floating():
    _, weight = edges_of_adjacency("Layer", DENSE.long().to_sparse_coo(), None, None)
    assert weight.dtype == torch.get_default_dtype()


@pytest.mark.parametrize(
    ("edge_weight", "num_nodes", "message"),
    [
        (torch.ones(2), 3, "Layer: expected no edge_weight with a sparse adjacency"),
        (None, 4, r"Layer: expected a sparse adjacency of 4 x 4 nodes, got \(3, 3\)"),
    ],
)
def test_edges_of_adjacency_invalid_arguments_raise(edge_weight, num_nodes, message):
    with pytest.raises(ValueError, match=message):
        edges_of_adjacency("Layer", DENSE.to_sparse_coo(), edge_weight, num_nodes)


def test_unwrap_edge_index_is_a_plain_tensor():
    edges = torch.tensor([[0, 1], [1, 2]])
    assert type(unwrap(EdgeIndex(edges))) is torch.Tensor and torch.equal(unwrap(EdgeIndex(edges)), edges)
    assert unwrap(edges) is edges and unwrap(None) is None
