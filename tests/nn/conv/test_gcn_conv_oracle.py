"""The GCN operator and GCNConv against a dense oracle that shares no code with them."""

import json

import pytest
import torch

from seqgnn.nn import GCNConv
from tests.support import oracles
from tests.support.paths import FIXTURE

NUMBERS = json.loads(FIXTURE.read_text())


def fixture_graph():
    weight = torch.tensor(NUMBERS["edge_weight"], dtype=torch.float64)
    return torch.tensor(NUMBERS["edge_index"]), weight, 6


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_oracle_gcn_operator_equals_published_values(normalization):
    operator = oracles.gcn_operator(*fixture_graph(), normalization)
    oracles.close(operator, torch.tensor(NUMBERS["operators"][f"gcn {normalization}"], dtype=torch.float64))


def test_oracle_gcn_operator_equals_hand_values():
    # 0 -> 1 with weight 3, loops of weight 2 and then 5 at node 1: in-degrees 1 and 8.
    edge_index = torch.tensor([[1, 0, 1], [1, 1, 1]])
    weight = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "sym"),
        torch.tensor([[1, 0], [3 / 8**0.5, 5 / 8]], dtype=torch.float64),
    )
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "rw", improved=True),
        torch.tensor([[1, 0], [3 / 8, 5 / 8]], dtype=torch.float64),
    )
    # Without added loops those that are there add up, and node 0 has degree 0.
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "sym", self_loops=False),
        torch.tensor([[0, 0], [0, 7 / 10]], dtype=torch.float64),
    )
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "rw", self_loops=False),
        torch.tensor([[0, 0], [3 / 10, 7 / 10]], dtype=torch.float64),
    )


# The library

F, H, B = 3, 4, 2


def compare(conv, x, graph, operator_options, *, prepare=False):
    """Output and all gradients of a GCNConv, against the oracle with the same weights."""
    edge_index, edge_weight, num_nodes = graph
    oracle_x, oracle_weight = oracles.leaf(x), oracles.leaf(conv.lin.weight)
    oracle_bias = None if conv.bias is None else oracles.leaf(conv.bias)
    oracle_edge_weight = None if edge_weight is None else oracles.leaf(edge_weight)
    operator = oracles.gcn_operator(edge_index, oracle_edge_weight, num_nodes, **operator_options)
    expected = oracles.gcn_conv(oracle_x, operator, oracle_weight, oracle_bias)

    x = oracles.leaf(x)
    if prepare:
        output = conv(x, conv.prepare(edge_index, edge_weight, num_nodes))
    else:
        edge_weight = None if edge_weight is None else oracles.leaf(edge_weight)
        output = conv(x, edge_index, edge_weight)
    oracles.close(output, expected)

    w = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (output * w).sum().backward()
    (expected * w).sum().backward()
    oracles.close(x.grad, oracle_x.grad)
    oracles.close(conv.lin.weight.grad, oracle_weight.grad)
    if conv.bias is not None:
        oracles.close(conv.bias.grad, oracle_bias.grad)
    if edge_weight is not None and not prepare:
        oracles.close(oracles.gradient(edge_weight), oracles.gradient(oracle_edge_weight))


def draw_conv(in_channels=F, out_channels=H, **options):
    torch.manual_seed(4)
    conv = GCNConv(in_channels, out_channels, **options).double()
    if conv.bias is not None:
        torch.nn.init.normal_(conv.bias)
    return conv


def draw_x(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_gcn_conv_operator_equals_literal_values(normalization):
    conv = GCNConv(6, 6, bias=False, normalization=normalization).double()
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(6))
    edge_index, edge_weight, _ = fixture_graph()
    expected = torch.tensor(NUMBERS["operators"][f"gcn {normalization}"], dtype=torch.float64)
    oracles.close(conv(torch.eye(6, dtype=torch.float64), edge_index, edge_weight), expected)


@pytest.mark.parametrize("options", [{}, {"improved": True}, {"add_self_loops": False}], ids=str)
@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("prepare", [False, True])
def test_gcn_conv_equals_oracle(options, normalization, weighted, prepare):
    edge_index, edge_weight, num_nodes = oracles.tricky_graph()
    wanted = {"normalization": normalization, "improved": options.get("improved", False)}
    wanted["self_loops"] = options.get("add_self_loops", True)
    graph = edge_index, edge_weight if weighted else None, num_nodes
    compare(draw_conv(normalization=normalization, **options), draw_x(num_nodes, F), graph, wanted, prepare=prepare)


@pytest.mark.parametrize("widths", [(2, 5), (5, 2)], ids=str)
@pytest.mark.parametrize("prepare", [False, True])
def test_gcn_conv_batched_features_equal_oracle(widths, prepare):
    graph = oracles.tricky_graph()
    compare(draw_conv(*widths), draw_x(B, graph[2], widths[0]), graph, {}, prepare=prepare)


def test_gcn_conv_without_normalization_equals_oracle():
    graph = oracles.tricky_graph()
    wanted = {"normalization": None, "self_loops": False}
    compare(draw_conv(normalize=False, bias=False), draw_x(graph[2], F), graph, wanted)


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_gcn_conv_target_to_source_equals_oracle(normalization):
    edge_index, edge_weight, num_nodes = oracles.tricky_graph()
    conv = draw_conv(normalization=normalization, flow="target_to_source")
    x = draw_x(num_nodes, F)
    operator = oracles.gcn_operator(edge_index.flip(0), edge_weight, num_nodes, normalization)
    oracles.close(conv(x, edge_index, edge_weight), oracles.gcn_conv(x, operator, conv.lin.weight, conv.bias))


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_gcn_conv_last_of_several_self_loops_counts(normalization):
    edge_index, edge_weight, num_nodes = oracles.tricky_graph()
    edge_index = torch.cat([torch.tensor([[2, 3], [2, 3]]), edge_index, torch.tensor([[3, 2], [3, 2]])], dim=1)
    edge_weight = torch.cat([torch.tensor([0.8, 1.7]), edge_weight, torch.tensor([0.35, 2.2])]).double()
    x, graph = draw_x(num_nodes, F), (edge_index, edge_weight, num_nodes)
    for prepare in (False, True):
        conv = draw_conv(normalization=normalization)
        compare(conv, x, graph, {"normalization": normalization}, prepare=prepare)


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_gcn_conv_without_edges_is_linear(normalization):
    graph = torch.empty(2, 0, dtype=torch.long), torch.empty(0, dtype=torch.float64), 4
    compare(draw_conv(normalization=normalization), draw_x(4, F), graph, {"normalization": normalization})


def test_gcn_conv_cache_distinguishes_layers_sizes_and_contents():
    """What is kept from one call must not answer another."""
    edge_index, edge_weight, num_nodes = oracles.tricky_graph()
    edge_index, edge_weight = edge_index.clone(), edge_weight.clone()
    variants = [
        ({}, {}),
        ({"normalization": "rw"}, {"normalization": "rw"}),
        ({"improved": True}, {"improved": True}),
        ({"add_self_loops": False}, {"self_loops": False}),
        ({"normalize": False}, {"normalization": None, "self_loops": False}),
    ]
    convs = [(draw_conv(**options), wanted) for options, wanted in variants]
    turned = draw_conv(flow="target_to_source")

    def check():
        for weight in (edge_weight, None, edge_weight):
            for nodes in (num_nodes, num_nodes + 2, num_nodes):
                x = draw_x(nodes, F)
                for conv, wanted in convs:
                    operator = oracles.gcn_operator(edge_index, weight, nodes, **wanted)
                    expected = oracles.gcn_conv(x, operator, conv.lin.weight, conv.bias)
                    oracles.close(conv(x, edge_index, weight), expected)
                operator = oracles.gcn_operator(edge_index.flip(0), weight, nodes)
                expected = oracles.gcn_conv(x, operator, turned.lin.weight, turned.bias)
                oracles.close(turned(x, edge_index, weight), expected)

    check()
    edge_weight.mul_(torch.linspace(0.5, 2, len(edge_weight), dtype=torch.float64))
    check()
    edge_index[:, 3] = torch.tensor([5, 6])
    check()
