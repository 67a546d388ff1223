"""Prepared graphs: copies and moves, several filters, learnable weights, errors."""

import copy
import pickle

import pytest
import torch

from seqgnn.nn.graph.filters import GCN, Identity
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph
from tests.support.sparse_products import (
    AWKWARD,
    AWKWARD_WEIGHTS,
    EDGES,
    VALUES,
    close,
    matrix,
    path,  # noqa: F401
    signal,
)


def test_prepared_graph_moved_pickled_or_copied_is_equal():
    edges = EDGES.clone()
    weight = VALUES.abs()
    graph = GCN().prepare(edges, weight, 5, torch.zeros(5, dtype=torch.long))
    x = signal(5, 2)
    expected = GCN().basis(x, graph)[0]
    for other in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph), graph.to("cpu"), graph.to(x)):
        close(GCN().basis(x, other)[0], expected)
        assert other.num_edges == 7 and other.batch.tolist() == [0] * 5
    single = graph.to(torch.float32)
    assert single.edge_weight.dtype == torch.float32 and graph.edge_weight.dtype == torch.float64
    assert GCN().basis(x.float(), single)[0].dtype == torch.float32
    meta = graph.to("meta")
    assert meta.edge_index.is_meta and meta.batch.is_meta and meta.operators[GCN()][0].values.is_meta
    assert GCN("rw").prepare(edges, num_nodes=5).to("meta").edge_weight is None
    assert repr(graph) == "PreparedGraph(num_nodes=5, num_edges=7, filters=[GCN()])"
    with pytest.raises(AttributeError):
        graph.num_nodes = 6
    with pytest.raises(ValueError, match=r"PreparedGraph: expected a floating dtype, got torch.int64"):
        graph.to(torch.long)
    # Nothing that is kept shares memory with the caller's tensors.
    edges.zero_()
    weight.zero_()
    close(GCN().basis(x, graph)[0], expected)


def test_prepared_graph_serves_several_filters():
    class Layer(GraphPreparer):
        filters = (GCN(), GCN("rw"), Identity())

    graph = Layer().prepare(AWKWARD, AWKWARD_WEIGHTS, 7)
    x = torch.eye(7, dtype=torch.float64)
    for kind in (GCN(), GCN("rw")):
        close(kind.basis(x, graph)[0], matrix(kind, AWKWARD, AWKWARD_WEIGHTS, 7))
    with pytest.raises(ValueError, match=r"Layer: expected a PreparedGraph that was prepared for GCN\(improved=True\)"):
        as_graph("Layer", [GCN(), GCN(improved=True)], graph, None, 7)


def test_prepared_graph_with_learnable_weights_follows_them():
    weight = AWKWARD_WEIGHTS.clone().requires_grad_()
    graph = GCN().prepare(AWKWARD, weight, 7)
    x = torch.randn(7, 2, dtype=torch.float64)
    for _ in range(2):  # a second step must neither fail nor see the weights of the first
        y = GCN().basis(x, graph)[0]
        close(y, matrix(GCN(), AWKWARD, weight.detach().clone(), 7) @ x)
        (grad,) = torch.autograd.grad(y.sum(), weight)
        assert grad.abs().sum() > 0
        with torch.no_grad():
            weight.sub_(0.01 * grad.clamp(-1, 1))
            close(GCN().basis(x, graph)[0], matrix(GCN(), AWKWARD, weight.detach().clone(), 7) @ x)
    current = as_graph("Layer", [GCN()], graph, None, 7)
    assert as_graph("Layer", [GCN()], current, None, 7) is current
    copied = copy.deepcopy(graph)
    close(GCN().basis(x, copied)[0], GCN().basis(x, graph)[0])


def test_prepared_graph_invalid_use_raises_value_error():
    graph = GCN().prepare(AWKWARD, num_nodes=7)
    with pytest.raises(ValueError, match="Layer: expected no edge_weight with a PreparedGraph"):
        as_graph("Layer", [GCN()], graph, torch.ones(9), 7)
    with pytest.raises(ValueError, match="Layer: expected no batch with a PreparedGraph"):
        as_graph("Layer", [GCN()], graph, None, 7, torch.zeros(7, dtype=torch.long))
    with pytest.raises(ValueError, match="Layer: expected a PreparedGraph of 8 nodes, got one of 7"):
        as_graph("Layer", [GCN()], graph, None, 8)
    with pytest.raises(ValueError, match=r"prepared for GCN\(normalization='rw'\), got PreparedGraph\(num_nodes=7"):
        GCN("rw").basis(torch.zeros(7, 1), graph)


def test_prepared_graph_with_learnable_weights_cannot_convert():
    graph = GCN().prepare(AWKWARD, torch.nn.Parameter(AWKWARD_WEIGHTS.clone()), 7)
    assert graph.to(torch.float64) is graph
    with pytest.raises(ValueError, match=r"PreparedGraph\.to: expected fixed edge weights, got ones that require grad"):
        graph.to(torch.float32)
