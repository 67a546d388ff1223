"""The preparation of graphs: what is built once, which changes are noticed, the number of nodes, errors."""

import gc
import threading
import weakref

import pytest
import torch
from torch.autograd import forward_ad

from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.graph.filters import GCN
from seqgnn.nn.graph.prepare import as_graph
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from tests.support.sparse_products import EDGES, VALUES, close, path, signal  # noqa: F401


def built(edge_index, edge_weight=None, num_nodes=5, kind=GCN()):  # noqa: B008
    return as_graph("Layer", [kind], edge_index, edge_weight, num_nodes).operators[kind][0]


def test_as_graph_same_tensors_are_built_once():
    edges, weight = EDGES.clone(), VALUES.abs()
    first, weighted = built(edges), built(edges, weight)
    assert built(edges) is first and built(edges, weight) is weighted
    assert first.pattern is weighted.pattern
    assert built(edges, num_nodes=6) is not first
    assert built(edges, kind=GCN("rw")) is not first and built(edges, kind=GCN("rw")).pattern is first.pattern
    assert built(edges.clone()) is not first and built(edges, weight.clone()) is not weighted


def test_as_graph_in_place_changes_are_noticed():
    edges, weight = EDGES.clone(), VALUES.abs()
    first, x = built(edges, weight), torch.eye(5, dtype=torch.float64)
    weight.mul_(torch.arange(1, 8))
    second = built(edges, weight)
    assert second is not first and second.pattern is first.pattern
    close(second @ x, built(edges, weight.clone()) @ x)
    edges[0, 0] = 0
    third = built(edges, weight)
    assert third.pattern is not first.pattern
    close(third @ x, built(edges.clone(), weight.clone()) @ x)
    edges[0, 0] = 9
    with pytest.raises(ValueError, match=r"Layer: expected node indices in 0..4 .* got 0..9"):
        built(edges, weight)


def test_as_graph_shrunk_storage_is_noticed():
    edges, x = EDGES.clone(), torch.eye(5, dtype=torch.float64)
    built(edges, None)
    edges.data = edges.data[:, :3]
    close(built(edges, None) @ x, built(EDGES[:, :3].clone(), None) @ x)
    edges.data = EDGES[:, :2].clone()
    built(edges, None)
    edges.data = edges.data.t()
    close(built(edges, None) @ x, built(EDGES[:, :2].t().clone(), None) @ x)


def test_as_graph_learnable_weights_are_not_cached():
    edges, weight = EDGES.clone(), VALUES.abs().requires_grad_()
    first, second = built(edges, weight), built(edges, weight)
    assert first is not second and first.pattern is second.pattern
    with torch.no_grad():
        assert built(edges, weight) is not built(edges, weight)
    assert built(edges, weight * 1) is not first


def test_as_graph_cache_is_freed_with_its_tensors():
    edges, weight = EDGES.clone(), VALUES.abs()
    alive = weakref.ref(built(edges, weight)), weakref.ref(built(edges).pattern)
    kept = len(tensor_cache._entries)
    assert all(ref() is not None for ref in alive)
    del weight
    gc.collect()
    assert alive[0]() is None and alive[1]() is not None
    del edges
    gc.collect()
    assert alive[1]() is None
    assert len(tensor_cache._entries) < kept


def test_as_graph_inference_tensors_are_not_cached():
    edges = EDGES.clone()
    with torch.inference_mode():
        first = built(edges)
        assert built(edges) is first
        inside = EDGES.clone()
        assert built(inside) is not built(inside)
        edges[0, 0] = 0
        assert built(edges) is not first  # changes are noticed
    assert built(inside) is not built(inside)


def test_as_graph_changed_forward_tangents_are_followed():
    weight, along = torch.rand(7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
    filter, x = GCN(None, add_self_loops=False), signal(5, 2)

    def derivative(weight):
        (y,) = filter.basis(x, as_graph("GCN", [filter], EDGES, weight, 5))
        return forward_ad.unpack_dual(y).tangent

    with forward_ad.dual_level():
        dual = forward_ad.make_dual(weight, along)
        assert not derivative(dual).any()
        along[0] = 1  # from 3 to 4
        assert torch.equal(derivative(dual)[4], x[3])


def test_as_graph_from_many_threads_is_equal():
    edges, results = EDGES.clone(), []
    x = torch.eye(5, dtype=torch.float64)
    threads = [threading.Thread(target=lambda: results.append(built(edges) @ x)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for result in results:
        close(result, results[0])


def test_prepare_num_nodes_follows_from_batch_or_indices():
    edge_index = torch.tensor([[0, 1], [1, 2]])
    assert GCN().prepare(edge_index).num_nodes == 3
    assert GCN().prepare(edge_index, batch=torch.tensor([0, 0, 0, 1])).num_nodes == 4
    graph = GCN().prepare(edge_index, num_nodes=5, batch=torch.zeros(5, dtype=torch.long))
    assert graph.num_nodes == 5 and graph.batch.numel() == 5 and graph.num_edges == 2
    assert as_graph("Layer", [GCN()], graph, None, None) is graph


WORD = torch.long
BAD = [
    ({"edge_index": torch.zeros(3, 4, dtype=WORD)}, r"expected edge_index of shape \[2, E\], got \(3, 4\)"),
    ({"edge_index": torch.zeros(4, dtype=WORD)}, r"expected edge_index of shape \[2, E\], got \(4,\)"),
    ({"edge_index": [[0], [1]]}, r"expected edge_index to be a dense tensor of shape \[2, E\], got list"),
    ({"edge_index": torch.ones(2, 3).to_sparse()}, r"expected a sparse adjacency of 2 x 2 nodes, got \(2, 3\)"),
    ({"edge_index": torch.zeros(2, 1)}, "expected edge_index of dtype torch.int64, got torch.float32"),
    ({"edge_index": torch.tensor([[0], [7]]), "num_nodes": 7}, r"node indices in 0..6 \(num_nodes=7\), got 0..7"),
    ({"edge_index": torch.tensor([[0], [-1]]), "num_nodes": 7}, r"node indices in 0..6 .* got -1..0"),
    ({"edge_index": torch.tensor([[0], [3]]), "batch": torch.zeros(2, dtype=WORD)}, "node indices in 0..1"),
    ({"num_nodes": -1}, "expected num_nodes to be an integer of at least 0, got -1"),
    ({"edge_weight": torch.ones(3)}, r"expected edge_weight of shape \[2\], got \(3,\)"),
    ({"edge_weight": torch.ones(2, 2)}, r"expected edge_weight of shape \[2\], got \(2, 2\)"),
    ({"edge_weight": torch.ones(2, dtype=WORD)}, "expected edge_weight of a floating dtype, got torch.int64"),
    ({"edge_weight": torch.tensor([1.0, float("nan")])}, "expected finite edge_weight, got nan or inf"),
    ({"edge_weight": torch.tensor([1.0, float("inf")])}, "expected finite edge_weight, got nan or inf"),
    ({"edge_weight": torch.tensor([1.0, -2.0])}, "expected degrees >= 0 under the square root .* got -1"),
    ({"edge_weight": torch.ones(2, device="meta")}, "expected edge_weight on cpu, where edge_index is, got meta"),
    ({"num_nodes": 3, "batch": torch.zeros(2, dtype=WORD)}, r"expected batch of shape \[3\], got \(2,\)"),
    ({"num_nodes": 3, "batch": torch.zeros(3)}, "expected batch of dtype torch.int64, got torch.float32"),
    ({"edge_index": PreparedGraph(torch.empty(2, 0), None, 1, None)}, "expected edge_index to prepare"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_prepare_invalid_graphs_raise_value_error(bad, message):
    arguments = {"edge_index": torch.tensor([[0, 1], [1, 2]]), **bad}
    with pytest.raises(ValueError, match=f"GCN: .*{message}"):
        GCN().prepare(**arguments)
