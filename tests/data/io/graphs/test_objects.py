"""Graphs in memory and in GraphML files."""

import networkx
import numpy as np
import pandas
import polars
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch_geometric.data import Data

from seqgnn.data import load_temporal_graph, read_graph
from tests.support.graph_files import dense

NODES = ("a", "b", "c", "d")


def labeled(kind, labels):
    graph = kind()
    for source, target, weight in ((1, 2, 0.5), (2, 3, 2.0), (0, 0, 1.0)):
        graph.add_edge(labels[source], labels[target], weight=weight)
    return graph


@pytest.mark.parametrize("kind", [networkx.Graph, networkx.DiGraph, networkx.MultiGraph, networkx.MultiDiGraph])
def test_read_graph_networkx_equals_its_adjacency_matrix(tmp_path, kind):
    graph = labeled(kind, "dbca")
    graph.add_node("x")
    expected = networkx.to_numpy_array(graph, nodelist=NODES)
    assert np.array_equal(dense(read_graph(graph, NODES)), expected)
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    assert np.array_equal(dense(read_graph(tmp_path / "g.graphml", NODES)), expected)
    with pytest.raises(ValueError, match="the nodes of the signal in the networkx graph, got none called 'e'"):
        read_graph(graph, ("a", "e"))


def test_read_graph_networkx_of_numbers_is_in_order_of_names():
    graph = networkx.DiGraph([(2, 0), (1, 2), (3, 3)])
    expected = networkx.to_numpy_array(graph, nodelist=range(4))
    assert np.array_equal(dense(read_graph(graph, ("0", "1", "2", "3"))), expected)
    with pytest.raises(ValueError, match="got none called 'a'"):
        read_graph(graph, NODES)
    renamed = read_graph(graph, NODES, graph_nodes=["0", "1", "2", "3"])
    assert np.array_equal(dense(renamed), expected)
    with pytest.raises(ValueError, match="distinct nodes, got '1'"):
        read_graph(networkx.Graph([(1, "1")]), NODES)


def test_read_graph_networkx_lengths_are_distances_and_coordinates_nothing(tmp_path):
    lengths = {("a", "b"): 300.0, ("b", "c"): 100.0, ("c", "d"): 0.0}
    graph = networkx.DiGraph()
    for number, node in enumerate(NODES):
        graph.add_node(node, x=1.5 * number, y=2.5, pos="1,2")
    for (source, target), length in lengths.items():
        graph.add_edge(source, target, length=length)
    values = np.array(list(lengths.values()))
    expected = np.exp(-((values / values.std()) ** 2))
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    for source in (graph, tmp_path / "g.graphml"):
        edge_index, edge_weight = read_graph(source, NODES, threshold=0)
        assert edge_index.tolist() == [[0, 1, 2], [1, 2, 3]] and np.allclose(edge_weight, expected)
        assert read_graph(source, NODES, kind="edges")[1].tolist() == [1, 1, 1]
    graph.add_edge("d", "a")
    with pytest.raises(ValueError, match="a number as length of edge 'd' -> 'a' of the networkx graph, got None"):
        read_graph(graph, NODES)
    (tmp_path / "signal.csv").write_text("a,b,c,d\n1,2,3,4\n5,6,7,8\n")
    graph.remove_edge("d", "a")
    loaded = load_temporal_graph(tmp_path / "signal.csv", graph, threshold=0)
    assert loaded.num_features == 1 and loaded.positions is None and np.allclose(loaded.edge_weight, expected)


def test_read_graph_networkx_parallel_edges_count_once_if_equal():
    graph = networkx.MultiDiGraph()
    graph.add_edge("a", "b", weight=2)
    graph.add_edge("a", "b", weight=2)
    assert dense(read_graph(graph, NODES[:2]), 2).tolist() == [[0, 2], [0, 0]]
    graph.add_edge("a", "b", weight=3)
    with pytest.raises(ValueError, match=r"every edge once, got that of edge 'a' -> 'b' again .*, with 3 instead of 2"):
        read_graph(graph, NODES[:2])


def test_read_graph_graphml_nodes_may_be_named_by_an_attribute(tmp_path):
    graph = networkx.DiGraph([("n0", "n1"), ("n1", "n2")])  # as igraph writes them
    networkx.set_node_attributes(graph, {"n0": "c", "n1": "a", "n2": "b"}, "name")
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    assert read_graph(tmp_path / "g.graphml", NODES[:3])[0].tolist() == [[0, 2], [1, 0]]
    for content, message in (("<graphml", "expected a GraphML file, got .*"), ("<a/>", "expected a GraphML file, got")):
        (tmp_path / "g.graphml").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_graph(tmp_path / "g.graphml", NODES)
    with pytest.raises(ValueError, match=r"a readable file, got .*none.graphml: No such file"):
        read_graph(tmp_path / "none.graphml", NODES)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_read_graph_other_objects_equal_the_matrix():
    matrix = np.array([[1, 0.5, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0.25, 0, 0, 0]])
    frame = pandas.DataFrame(matrix, index=NODES, columns=NODES)
    edges = np.argwhere(matrix)
    weights = matrix[tuple(edges.T)]
    listed = {"from": [NODES[i] for i in edges[:, 0]], "to": [NODES[i] for i in edges[:, 1]], "weight": weights}
    edge_index, edge_weight = torch.from_numpy(edges.T), torch.from_numpy(weights)
    for graph in (
        matrix, matrix.tolist(), torch.from_numpy(matrix), torch.from_numpy(matrix).to_sparse(),
        torch.from_numpy(matrix).to_sparse_csr(), frame, frame.loc[["c", "a", "d", "b"], ["b", "d", "a", "c"]],
        polars.DataFrame(dict(zip(NODES, matrix.T))), pandas.DataFrame(listed), polars.DataFrame(listed),
        pandas.DataFrame(matrix, columns=NODES), (edge_index, edge_weight), (edges.T, weights),
        Data(edge_index=edge_index, edge_weight=edge_weight),
        Data(edge_index=edge_index, edge_attr=edge_weight[:, None]),
    ):  # fmt: skip
        assert np.array_equal(dense(read_graph(graph, NODES)), matrix), graph
    assert read_graph((edge_index, None), NODES)[1].tolist() == [1, 1, 1, 1]
    missing = pandas.DataFrame({"from": ["a", "b"], "to": ["b", "c"], "weight": pandas.array([1, None], dtype="Int64")})
    for frame in (missing, polars.DataFrame({"from": ["a", "b"], "to": ["b", "c"], "weight": [1, None]})):
        with pytest.raises(ValueError, match="a number for every edge, got none in line 3 of the frame"):
            read_graph(frame, NODES)
    with pytest.raises(ValueError, match="a matrix between the nodes of the signal, got 0 in the array"):
        read_graph([[1, 2], [3]], NODES)
    for other in (5, None, {"a": 1}):
        with pytest.raises(ValueError, match=f"expected a file, a networkx graph, .*, got {type(other).__name__}"):
            read_graph(other, NODES)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text("abc019", min_size=1, max_size=4), min_size=4, max_size=6, unique=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_read_graph_of_a_random_graph_is_equal_in_every_format(tmp_path, names, seed):
    rng = np.random.default_rng(seed)
    n, order = len(names), rng.permutation(len(names))
    matrix = np.where(rng.random((n, n)) < 0.5, rng.integers(1, 8, (n, n)) / 4, 0)
    mixed, labels = matrix[np.ix_(order, order)], [names[i] for i in order]
    edges = np.argwhere(mixed)
    frame = pandas.DataFrame(mixed, index=labels, columns=labels)
    graph = networkx.from_pandas_adjacency(frame, create_using=networkx.DiGraph)
    frame.to_csv(tmp_path / "m.csv")
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    np.savez(tmp_path / "m.npz", adj=mixed, nodes=labels)
    np.savez(tmp_path / "e.npz", edge_index=edges.T, edge_weight=mixed[tuple(edges.T)], nodes=labels)
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_array(matrix))
    networkx.to_pandas_edgelist(graph, "from", "to").to_csv(tmp_path / "l.csv", index=False)
    sources = [frame, graph, *(tmp_path / name for name in ("m.csv", "g.graphml", "m.npz", "e.npz", "s.npz"))]
    if len(edges):
        sources.append(tmp_path / "l.csv")
    for source in sources:
        assert np.array_equal(dense(read_graph(source, names), n), matrix), source
