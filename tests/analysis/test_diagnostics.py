"""Mistakes in the combination of a model and its data are reported."""

import networkx
import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data

from seqgnn import nn as sg
from seqgnn.analysis import diagnose
from seqgnn.data import CharText, ExpressionTrees, Palindromes, SequenceGraph, exponential_hops
from seqgnn.models.encoders import GCNEncoder
from seqgnn.models.sequence_model import NAMES, build

EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
FARTHER = "receptive field: up to {}, but some connected nodes are farther away"


def test_diagnose_reports_graph_problems():
    with pytest.warns(UserWarning, match="K=1 sees no neighbor"):
        layer = sg.GCRN(2, 3, K=1)
    graph = Data(x=torch.zeros(6, 2), edge_index=EDGES, edge_weight=torch.ones(4), num_nodes=6)
    assert diagnose(layer, graph) == [
        "no neighbors: Chebyshev(K=1) of GCRN sees only the node itself",
        "isolated: 2 of 6 nodes have no neighbors",
        "unused: the data has edge_weight, but no layer of the model accepts it",
    ]
    pointwise = "no neighbors: ChebConv(2, 3, K=1, normalization=sym) sees only the node itself"
    assert diagnose(pyg.ChebConv(2, 3, 1), graph)[0] == pointwise
    layer = sg.GCNGRU(2, 3, input_conv=sg.GCN(), hidden_conv=lambda i, o: pyg.ChebConv(i, o, 1))
    assert diagnose(layer, graph)[0] == pointwise.replace("2, 3", "3, 9")
    assert diagnose(pyg.SAGEConv(2, 3), graph) == [
        FARTHER.format("one hop"),
        "isolated: 2 of 6 nodes have no neighbors",
        "unused: the data has edge_weight, but no layer of the model accepts it",
    ]
    attributes = Data(x=torch.zeros(4, 2), edge_index=EDGES, edge_attr=torch.ones(4, 3))
    assert diagnose(sg.GCNLSTM(2, 3, conv=lambda i, o: pyg.GATv2Conv(i, o, edge_dim=3)), attributes) == []
    weighted = Data(x=torch.zeros(4, 2), edge_index=EDGES, edge_weight=torch.ones(4))
    assert diagnose(pyg.GPSConv(2, pyg.GCNConv(2, 2)), weighted) == []  # passed on to its convolution
    unused = "unused: the data has edge_weight, but no layer of the model accepts it"
    assert unused in diagnose(pyg.DirGNNConv(pyg.GCNConv(2, 2)), weighted)


@pytest.mark.parametrize("nodes, edges", [(9, 12), (30, 40), (150, 300), (300, 330)])
def test_diagnose_reports_nodes_beyond_the_receptive_field(nodes, edges):
    graph = torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(nodes))
    distances = networkx.all_pairs_shortest_path_length(networkx.DiGraph(graph.T.tolist()))
    widest = max(max(lengths.values()) for _, lengths in distances)
    for K in range(1, widest + 2):
        lines = diagnose(pyg.SGConv(2, 2, K=K), Data(edge_index=graph, num_nodes=nodes))
        expected = FARTHER.format("one hop" if K == 1 else f"{K} hops")
        assert [line for line in lines if "far" in line] == ([expected] if widest > K else [])


def test_describe_bidirectional_conv_follows_edges_both_ways():
    ring = Data(edge_index=torch.stack([torch.arange(10), torch.arange(1, 11) % 10]), num_nodes=10)
    farther = [FARTHER.format("4 hops")]
    assert diagnose(sg.DiffusionConv(2, 2, K=5), ring) == diagnose(pyg.SGConv(2, 2, K=4), ring) == farther
    assert diagnose(sg.DiffusionConv(2, 2, K=6), ring) == []
    assert diagnose(pyg.DirGNNConv(pyg.TAGConv(2, 2, K=5)), ring) == []


def test_diagnose_graph_without_edges_reports_isolated_nodes():
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    assert diagnose(pyg.SGConv(2, 2), empty) == ["isolated: 3 of 3 nodes have no neighbors"]


def test_diagnose_sees_a_single_pair_beyond_the_receptive_field():
    """Of 66 nodes on a path only the first and the last are 65 edges apart, whatever their numbers."""
    for first in range(66):
        nodes = (torch.arange(66) + first) % 66
        path = Data(edge_index=torch.stack([nodes[:-1], nodes[1:]]), num_nodes=66)
        assert diagnose(pyg.SGConv(2, 2, K=64), path) == [FARTHER.format("64 hops")]
    assert diagnose(pyg.SGConv(2, 2, K=65), path) == []


def test_diagnose_of_data_without_edges_or_hops_that_do_not_fit():
    assert diagnose(pyg.SGConv(2, 2), Data(x=torch.zeros(3, 2))) == []
    assert diagnose(pyg.SGConv(2, 2), SequenceGraph.from_values([1])) == ["isolated: 1 of 1 nodes have no neighbors"]
    samples = [SequenceGraph.from_values([1] * length, hops=(1, 4)) for length in (2, 10)]
    on_path = Batch.from_data_list(samples)  # four hops do not fit into the first; 0, 1, 2, 4, 5 and 8 back are seen
    assert diagnose(build("gcn", num_classes=2, num_tokens=2, num_layers=2, hops=(1, 4)), on_path) == [
        "receptive field: 2 of 9 previous positions"
    ]


def test_diagnose_of_paths_with_loops_counts_hops():
    nodes = torch.arange(6)
    looped = torch.cat([torch.stack([nodes[:-1], nodes[1:]]), torch.stack([nodes, nodes])], dim=1)
    sample = Batch.from_data_list([SequenceGraph(x=torch.zeros(6, dtype=torch.long), edge_index=looped)])
    model = build("gcn", num_classes=2, num_tokens=2, num_layers=2)
    assert diagnose(model, sample) == [FARTHER.format("2 hops")]


def test_describe_large_graph_reports_distances_up_to_a_limit():
    path = torch.stack([torch.arange(99_999), torch.arange(1, 100_000)])
    wide = Data(edge_index=path, num_nodes=100_000)
    farther = [FARTHER.format("2 hops")]
    assert diagnose(pyg.SGConv(2, 2, K=2), wide) == farther
    assert diagnose(pyg.SGConv(2, 2, K=90_000), wide) == []  # beyond the search limit
    star = torch.stack([torch.zeros(99_999, dtype=torch.long), torch.arange(1, 100_000)])
    star = Data(edge_index=torch.cat([star, star.flip(0)], dim=1), num_nodes=100_000)
    assert diagnose(pyg.SGConv(2, 2, K=1), star) != [] == diagnose(pyg.SGConv(2, 2, K=2), star)


def test_diagnose_reports_sequence_problems():
    digits = {"num_classes": 10, "num_tokens": 10}
    assert diagnose(build("gcn", **digits, num_layers=2), Palindromes(20)) == [
        "receptive field: 2 of 18 previous positions"
    ]
    far = Palindromes(20, hops=exponential_hops(20))
    assert diagnose(build("gcn", **digits, length=20), far) == []
    assert diagnose(nn.Sequential(build("gcn", **digits, length=20)), far) == []
    assert diagnose(build("lstm", **digits), Palindromes(20)) == []
    text, both = CharText(length=10), CharText(length=10, directed=False)
    sizes = {"num_classes": text.num_classes, "num_tokens": text.num_tokens, "per_element": True}
    backwards = "future visible: some edges point backwards, but there is one target per position"
    assert backwards in diagnose(build("gcn", **sizes, length=10), both)
    window, wide = (task.draw(2, torch.Generator().manual_seed(0)) for task in (text, both))
    for plain in (nn.LSTM(2, 3), sg.MinLSTM(2, 3)):
        assert diagnose(plain, window) == [] == diagnose(plain, wide)  # which reads no edges
    mixed = nn.ModuleList([nn.LSTM(2, 3), pyg.SAGEConv(2, 3)])
    assert backwards in diagnose(mixed, wide) and backwards not in diagnose(mixed, window)
    assert diagnose(nn.LSTM(2, 3, bidirectional=True), text.draw(2, torch.Generator().manual_seed(0))) == [
        "future visible: LSTM is bidirectional, but there is one target per position"
    ]


RESET = "state reset: each window starts from a zero state; TrainConfig(stateful=True) carries it over"


@pytest.mark.parametrize("options", [{}, {"readout": "mean"}, {"positions": True, "length": 10}])
@pytest.mark.parametrize("name", NAMES)
def test_describe_default_model_on_text_reports_state_reset(name, options):
    text = CharText(length=10)
    sizes = {"num_classes": text.num_classes, "num_tokens": text.num_tokens, "per_element": True, "hops": (1,)}
    model, batch = build(name, **sizes, **options), text.draw(2, torch.Generator().manual_seed(0))
    if not options:
        model(batch, model(batch)[1])
    for part in (model, nn.ModuleList([model])):
        assert (RESET in diagnose(part, text)) == (options == {})
        assert RESET not in diagnose(part, batch) + diagnose(part, Palindromes(10))


@pytest.mark.parametrize(
    "model, stateful",
    [
        (nn.GRU(2, 3), True),
        (nn.LSTMCell(2, 3), True),
        (sg.DCRNN(2, 3, K=2), True),
        (sg.EvolveGCN(2, 3), True),
        (sg.TreeLSTM(2, 3), False),
        (pyg.GatedGraphConv(3, 2), False),
        (GCNEncoder(2, 3, 2, 0.0, directed=True), False),
        (nn.Linear(2, 3), False),
    ],
)
def test_describe_layer_with_a_state_reports_state_reset(model, stateful):
    assert (RESET in diagnose(model, CharText(length=10))) == stateful


def test_describe_expression_trees_reports_hops_not_positions():
    task = ExpressionTrees(7)
    model = build("gcn", num_classes=10, num_tokens=task.num_tokens, num_layers=task.depth)
    assert not any("previous positions" in line for line in diagnose(model, task))
    short = build("gcn", num_classes=10, num_tokens=task.num_tokens, num_layers=1)
    assert diagnose(short, task)[0] == FARTHER.format("one hop")
