"""Graphs, operators and comparisons for tests of the sparse product, on both of its paths."""

import pytest
import torch
from torch_geometric.nn import GCNConv

from seqgnn.nn.graph import operator as operators

# Directed and weighted, with a self-loop; node 4 is a sink.
EDGES = torch.tensor([[3, 0, 2, 0, 1, 2, 0], [4, 2, 2, 1, 3, 4, 2]])
VALUES = torch.tensor([0.3, -1.7, 0.9, 0.2, 2.5, 1.1, 0.8], dtype=torch.float64)
# Directed, weighted, unsorted; source 0, sink 4, isolated 6, self-loops (two at node 2), a duplicate edge.
AWKWARD = torch.tensor([[3, 0, 2, 0, 1, 2, 5, 2, 0], [4, 2, 2, 1, 3, 5, 4, 2, 2]])
AWKWARD_WEIGHTS = torch.tensor([0.3, 1.7, 0.9, 0.2, 2.5, 1.1, 0.6, 0.4, 0.8], dtype=torch.float64)
# A star around node 0, with edges both ways.
STAR = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])


@pytest.fixture(autouse=True, params=["csr", "gather"])
def path(request, monkeypatch):
    """In a module that imports this, every test runs on both paths of the product."""
    monkeypatch.setattr(operators, "SMALL_PRODUCT", 0 if request.param == "csr" else 2048)
    torch.manual_seed(0)


def matrix(kind, edge_index, edge_weight=None, num_nodes=None):
    """The operator of a filter as a dense matrix: what it makes of the unit vectors."""
    graph = kind.prepare(edge_index, edge_weight, num_nodes)
    return kind.basis(torch.eye(graph.num_nodes, dtype=torch.float64), graph)[0]


def signal(*shape, dtype=torch.float64, requires_grad=True):
    return torch.randn(*shape, dtype=dtype, requires_grad=requires_grad)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=tolerance, atol=tolerance)


def pyg_like(conv):
    """PyG's GCNConv with the same weights."""
    equivalent = GCNConv(conv.in_channels, conv.out_channels)
    equivalent.load_state_dict(conv.state_dict())
    return equivalent
