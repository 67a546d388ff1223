import networkx
import pytest
import torch
from torch_geometric.utils import is_undirected

from seqgnn.data import grid, karate_club, path, six_node_graph, tree


def edges(data):
    return {frozenset(edge) for edge in data.edge_index.t().tolist()}


def test_six_node_graph_equals_known_adjacency():
    graph = six_node_graph()
    adjacency = torch.zeros(6, 6)
    adjacency[tuple(graph.edge_index)] = 1
    assert adjacency.tolist() == [
        [0, 1, 0, 0, 1, 1],
        [1, 0, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 1, 1, 0, 0, 1],
        [1, 0, 0, 0, 0, 1],
        [1, 0, 0, 1, 1, 0],
    ]
    assert graph.names == list("ABCDEF") and torch.equal(graph.x, torch.eye(6))


def test_karate_club_equals_networkx():
    club, known = karate_club(), networkx.karate_club_graph()
    assert edges(club) == {frozenset(edge) for edge in known.edges}
    assert club.edge_index.shape == (2, 156) and torch.equal(club.x, torch.eye(34))
    assert club.y.tolist() == [int(known.nodes[i]["club"] == "Officer") for i in range(34)]
    assert club.y[club.train_mask].tolist() == [0, 1] and club.train_mask.nonzero().flatten().tolist() == [0, 33]
    club.validate()


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (path(6), networkx.path_graph(6)),
        (path(1), networkx.path_graph(1)),
        (tree(2, 3), networkx.balanced_tree(2, 3)),
        (tree(3, 2), networkx.balanced_tree(3, 2)),
        (tree(1, 4), networkx.path_graph(5)),
        (tree(2, 0), networkx.path_graph(1)),
        (grid(3, 4), networkx.convert_node_labels_to_integers(networkx.grid_2d_graph(3, 4), ordering="sorted")),
        (grid(1, 5), networkx.path_graph(5)),
    ],
)
def test_path_tree_and_grid_equal_networkx_graphs(data, known):
    assert data.num_nodes == known.number_of_nodes()
    assert edges(data) == {frozenset(edge) for edge in known.edges}
    assert data.num_edges == 2 * known.number_of_edges() and is_undirected(data.edge_index, num_nodes=data.num_nodes)
    assert data.edge_index.t().tolist() == sorted(data.edge_index.t().tolist())
    data.validate()


def test_grid_pos_is_column_and_row():
    assert grid(2, 3).pos.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: path(0), "path_graph: expected length to be an integer of at least 1, got 0"),
        (lambda: tree(0, 2), "tree: expected branching to be an integer of at least 1, got 0"),
        (lambda: tree(2, -1), "tree: expected height to be an integer of at least 0, got -1"),
        (lambda: grid(0, 2), "grid: expected rows to be an integer of at least 1, got 0"),
        (lambda: grid(2, 1.5), "grid: expected columns to be an integer of at least 1, got 1.5"),
    ],
)
def test_toy_graphs_invalid_sizes_raise_value_error(call, match):
    with pytest.raises(ValueError, match=match):
        call()
