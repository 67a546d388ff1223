"""The GCN filter: literal operators, hand-worked graphs, PyG, invariances, gradients."""

import pytest
import torch

from seqgnn.nn.graph.filters import GCN
from seqgnn.nn.graph.prepare import as_graph
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

# Computed densely, without this library: 6 nodes, directed, weighted, node 5 isolated.
SIX_NODES = torch.tensor([[0, 0, 1, 2, 3, 2, 2], [1, 2, 3, 3, 1, 3, 4]])
SIX_NODES_WEIGHTS = torch.tensor([0.5, 2.0, 1.5, 1.0, 0.25, 0.75, 3.0], dtype=torch.float64)
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


@pytest.mark.parametrize(("normalization", "expected"), [("sym", SYM), ("rw", RW)])
def test_gcn_filter_operator_equals_literal_values(normalization, expected):
    close(matrix(GCN(normalization), SIX_NODES, SIX_NODES_WEIGHTS, 6), expected)


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


def test_gcn_filter_gradients_pass_gradcheck():
    kinds = [GCN(), GCN("rw"), GCN(improved=True), GCN("rw", add_self_loops=False), GCN(None, add_self_loops=False)]
    x = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    weight = AWKWARD_WEIGHTS.clone().requires_grad_()
    for kind in kinds:

        def signal(x, weight, kind=kind):
            return kind.basis(x, as_graph("test", [kind], AWKWARD, weight, 7))[0]

        assert torch.autograd.gradcheck(signal, (x, weight))
        assert torch.autograd.gradgradcheck(signal, (x, weight))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gcn_filter_on_gpu_equals_cpu(dtype):
    x = signal(5, 3, dtype=dtype)
    graph = GCN().prepare(EDGES, VALUES.abs().to(dtype), 5)
    moved, y = graph.to("cuda"), x.detach().cuda().requires_grad_()
    fresh = GCN().prepare(EDGES.cuda(), VALUES.abs().to("cuda", dtype), 5)
    tolerance = 2 * torch.finfo(dtype).eps * 10
    expected = GCN().basis(x, graph)[0]
    expected.sum().backward()
    for other in (moved, fresh):
        y.grad = None
        (out,) = GCN().basis(y, other)
        out.sum().backward()
        close(out.cpu(), expected, tolerance)
        close(y.grad.cpu(), x.grad, tolerance)
    with pytest.raises(ValueError, match="GCN: expected x on cpu, where the graph is, got cuda:0"):
        GCN().basis(y, graph)
    with pytest.raises(ValueError, match="GCN: expected edge_weight on cuda:0, where edge_index is, got cpu"):
        GCN().prepare(EDGES.cuda(), VALUES)
