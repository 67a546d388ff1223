"""The graph filters: literal operators, hand-worked graphs, invariances, learnable weights, errors."""

import copy
import pickle

import pytest
import torch

from seqgnn.nn.graph import operator as operators
from seqgnn.nn.graph.filters import GCN, Identity
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph
from seqgnn.nn.graph.prepared_graph import PreparedGraph

# Computed densely, without this library: 6 nodes, directed, weighted, a self-loop and an isolated node.
EDGES = torch.tensor([[0, 0, 1, 2, 3, 2, 2], [1, 2, 3, 3, 1, 3, 4]])
WEIGHTS = torch.tensor([0.5, 2.0, 1.5, 1.0, 0.25, 0.75, 3.0], dtype=torch.float64)
SYM = [
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.3779644730092272, 0.5714285714285713, 0.0, 0.09166984970282112, 0.0, 0.0],
    [1.1547005383792517, 0.0, 0.3333333333333334, 0.0, 0.0, 0.0],
    [0.0, 0.5500190982169267, 0.49009802940980346, 0.23529411764705882, 0.0, 0.0],
    [0.0, 0.0, 0.8660254037844388, 0.0, 0.25, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
]
RW = [
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.2857142857142857, 0.5714285714285714, 0.0, 0.14285714285714285, 0.0, 0.0],
    [0.6666666666666666, 0.0, 0.3333333333333333, 0.0, 0.0, 0.0],
    [0.0, 0.3529411764705882, 0.4117647058823529, 0.23529411764705882, 0.0, 0.0],
    [0.0, 0.0, 0.75, 0.0, 0.25, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
]
# Directed, weighted, unsorted; source 0, sink 4, isolated 6, self-loops (two at node 2), a duplicate edge.
AWKWARD = torch.tensor([[3, 0, 2, 0, 1, 2, 5, 2, 0], [4, 2, 2, 1, 3, 5, 4, 2, 2]])
AWKWARD_WEIGHTS = torch.tensor([0.3, 1.7, 0.9, 0.2, 2.5, 1.1, 0.6, 0.4, 0.8], dtype=torch.float64)


@pytest.fixture(autouse=True, params=["csr", "gather"])
def path(request, monkeypatch):
    """Everything here holds on both paths of the product."""
    monkeypatch.setattr(operators, "SMALL_PRODUCT", 0 if request.param == "csr" else 2048)
    torch.manual_seed(0)


def matrix(kind, edge_index, edge_weight=None, num_nodes=None):
    """The operator as a dense matrix: what it makes of the unit vectors."""
    graph = kind.prepare(edge_index, edge_weight, num_nodes)
    return kind.basis(torch.eye(graph.num_nodes, dtype=torch.float64), graph)[0]


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("normalization", "expected"), [("sym", SYM), ("rw", RW)])
def test_gcn_filter_operator_equals_literal_values(normalization, expected):
    close(matrix(GCN(normalization), EDGES, WEIGHTS, 6), expected)


def test_gcn_filter_of_two_nodes_equals_hand_values():
    # 0 -> 1 with weight 3, so d = (1, 4); improved: d = (2, 5).
    edge_index, weight = torch.tensor([[0], [1]]), torch.tensor([3.0], dtype=torch.float64)
    close(matrix(GCN(), edge_index, weight), [[1, 0], [3 / 2, 1 / 4]])
    close(matrix(GCN("rw"), edge_index, weight), [[1, 0], [3 / 4, 1 / 4]])
    close(matrix(GCN(improved=True), edge_index, weight), [[1, 0], [3 / 10**0.5, 2 / 5]])
    close(matrix(GCN("rw", improved=True), edge_index, weight), [[1, 0], [3 / 5, 2 / 5]])
    close(matrix(GCN(None, add_self_loops=False), edge_index, weight), [[0, 0], [3, 0]])
    close(matrix(GCN(None), edge_index, weight), [[1, 0], [3, 1]])
    close(matrix(GCN("rw", flow="target_to_source"), edge_index, weight), [[1 / 4, 3 / 4], [0, 1]])


def test_gcn_filter_degree_zero_gives_a_zero_row():
    edge_index = torch.tensor([[0], [1]])
    close(matrix(GCN(add_self_loops=False), edge_index, num_nodes=3), torch.zeros(3, 3))
    close(matrix(GCN("rw", add_self_loops=False), edge_index, num_nodes=3), [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    opposite = torch.tensor([1.0, -1.0], dtype=torch.float64)
    twice = torch.tensor([[0, 2], [1, 1]])
    close(matrix(GCN("rw", add_self_loops=False), twice, opposite), torch.zeros(3, 3))


def test_gcn_filter_degree_zero_gives_finite_gradients():
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    for normalization in ("sym", "rw"):
        kind = GCN(normalization, add_self_loops=False)
        graph = kind.prepare(torch.tensor([[0, 1], [1, 1]]), weight, 3)
        (grad,) = torch.autograd.grad(kind.basis(torch.ones(3, 2, dtype=torch.float64), graph)[0].sum(), weight)
        assert grad.isfinite().all()


@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("add_self_loops", [False, True])
@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gcn_filter_sym_equals_gcn_norm_of_pyg(improved, add_self_loops, flow, weighted):
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

    # PyG forgets `improved` where no weights are given, so it gets ones.
    weight, ones = AWKWARD_WEIGHTS if weighted else None, torch.ones(9, dtype=torch.float64)
    edges, values = gcn_norm(AWKWARD, ones if weight is None else weight, 7, improved, add_self_loops, flow)
    source, target = edges if flow == "source_to_target" else edges.flip(0)
    expected = torch.zeros(7, 7, dtype=torch.float64).index_put_((target, source), values, accumulate=True)
    close(matrix(GCN("sym", improved, add_self_loops, flow), AWKWARD, weight, 7), expected)


def test_gcn_filter_rw_rows_sum_to_one_and_sym_rows_do_not():
    close(matrix(GCN("rw"), AWKWARD, AWKWARD_WEIGHTS, 7).sum(1), torch.ones(7))
    assert (matrix(GCN("sym"), AWKWARD, AWKWARD_WEIGHTS, 7).sum(1) - 1).abs().max() > 0.1


@pytest.mark.parametrize("kind", [GCN(), GCN("rw"), GCN(improved=True), GCN(None, add_self_loops=False)])
def test_gcn_filter_is_invariant_to_edge_and_node_order(kind):
    plain = torch.tensor([[0, 1, 1, 3, 0], [1, 2, 3, 2, 2]])
    weight = torch.tensor([0.5, 2.0, 1.0, 0.7, 1.3], dtype=torch.float64)
    expected = matrix(kind, plain, weight, 4)
    close(matrix(kind, plain, None, 4), matrix(kind, plain, torch.ones(5, dtype=torch.float64), 4))
    halves = torch.cat([plain, plain], 1), torch.cat([weight / 4, weight * 3 / 4])
    close(matrix(kind, *halves, 4), expected)
    order = torch.tensor([3, 0, 4, 1, 2])
    close(matrix(kind, plain[:, order], weight[order], 4), expected)
    new = torch.tensor([2, 0, 3, 1])  # node i is called new[i]
    close(matrix(kind, new[plain], weight, 4)[new][:, new], expected)
    close(matrix(kind, plain.int(), weight, 4), expected)
    pair = matrix(kind, torch.cat([plain, plain + 4], 1), torch.cat([weight, weight]), 8)
    close(pair, torch.block_diag(expected, expected))


def test_gcn_filter_without_edges_is_the_identity():
    empty = torch.empty(2, 0, dtype=torch.long)
    for kind in (GCN(), GCN("rw"), GCN(improved=True)):
        close(matrix(kind, empty, num_nodes=3), torch.eye(3))
        close(matrix(kind, empty, torch.empty(0, dtype=torch.float64), num_nodes=3), torch.eye(3))
    close(matrix(GCN(add_self_loops=False), empty, num_nodes=3), torch.zeros(3, 3))


@pytest.mark.parametrize("shape", [(7, 2), (3, 7, 2), (4, 3, 7, 2)])
def test_gcn_filter_leading_dimensions_use_one_graph(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    graph = GCN().prepare(AWKWARD, AWKWARD_WEIGHTS, 7)
    dense = matrix(GCN(), AWKWARD, AWKWARD_WEIGHTS, 7)
    (y,) = GCN().basis(x, graph)
    close(y, dense @ x)
    up = torch.randn_like(y)
    close(torch.autograd.grad(y, x, up)[0], dense.T @ up)


def test_identity_filter_returns_x_and_accepts_any_graph():
    x = torch.randn(3, 7, 2)
    for kind in (Identity(), GCN()):
        assert Identity().basis(x, kind.prepare(AWKWARD, num_nodes=7))[0] is x
    graph = GCN().prepare(AWKWARD, num_nodes=7)
    assert as_graph("Layer", [Identity(), GCN()], graph, None, 7) is graph


def test_filters_are_comparable_hashable_and_picklable():
    assert GCN() == GCN("sym", False) and hash(GCN()) == hash(GCN("sym"))
    assert GCN() != GCN("rw") and Identity() == Identity() and Identity() != GCN()
    assert GCN().num_terms == Identity().num_terms == 1
    assert repr(Identity()) == "Identity()" and repr(GCN()) == "GCN()"
    shown = "GCN(normalization='rw', improved=True, add_self_loops=False, flow='target_to_source')"
    assert repr(GCN("rw", True, False, "target_to_source")) == shown
    for kind in (Identity(), GCN("rw")):
        assert pickle.loads(pickle.dumps(kind)) == copy.deepcopy(kind) == kind
    with pytest.raises(AttributeError):
        GCN().improved = True


def test_prepared_graph_serves_several_filters():
    class Layer(GraphPreparer):
        filters = (GCN(), GCN("rw"), Identity())

    graph = Layer().prepare(AWKWARD, AWKWARD_WEIGHTS, 7)
    x = torch.eye(7, dtype=torch.float64)
    for kind in (GCN(), GCN("rw")):
        close(kind.basis(x, graph)[0], matrix(kind, AWKWARD, AWKWARD_WEIGHTS, 7))
    with pytest.raises(ValueError, match=r"Layer: expected a PreparedGraph that was prepared for GCN\(improved=True\)"):
        as_graph("Layer", [GCN(), GCN(improved=True)], graph, None, 7)


def test_gcn_filter_gradients_pass_gradcheck():
    kinds = [GCN(), GCN("rw"), GCN(improved=True), GCN("rw", add_self_loops=False), GCN(None, add_self_loops=False)]
    x = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    weight = AWKWARD_WEIGHTS.clone().requires_grad_()
    for kind in kinds:

        def signal(x, weight, kind=kind):
            return kind.basis(x, as_graph("test", [kind], AWKWARD, weight, 7))[0]

        assert torch.autograd.gradcheck(signal, (x, weight))
        assert torch.autograd.gradgradcheck(signal, (x, weight))


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
    ({"num_nodes": -1}, "expected num_nodes of at least 0, got -1"),
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


def test_filter_invalid_features_or_options_raise_value_error():
    graph = GCN().prepare(AWKWARD, num_nodes=7)
    for kind in (GCN(), Identity()):
        name = type(kind).__name__
        with pytest.raises(ValueError, match=rf"{name}: expected x of shape \[..., 7, F\], got \(6, 2\)"):
            kind.basis(torch.zeros(6, 2), graph)
        with pytest.raises(ValueError, match=rf"{name}: expected x of shape \[..., 7, F\], got \(7,\)"):
            kind.basis(torch.zeros(7), graph)
        with pytest.raises(ValueError, match=f"{name}: expected x of a floating dtype, got torch.int64"):
            kind.basis(torch.zeros(7, 2, dtype=torch.long), graph)
        with pytest.raises(ValueError, match=f"{name}: expected x on cpu, where the graph is, got meta"):
            kind.basis(torch.zeros(7, 2, device="meta"), graph)
    with pytest.raises(ValueError, match="normalization to be one of 'sym', 'rw', got 'syn'; did you mean 'sym'"):
        GCN("syn")
    with pytest.raises(ValueError, match="GCN: expected flow to be one of"):
        GCN(flow="up")


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
