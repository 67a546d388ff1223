"""Nodes of a graph matched with those of a time series: by name, by position only where there are no names."""

import logging
import pickle

import numpy as np
import pytest

from seqgnn.data import read_graph, read_signal

NAMES = ("a", "b", "c", "d")
NUMBERS = ("0", "1", "2", "3")


def pairs(graph):
    return list(map(tuple, graph[0].T.tolist()))


@pytest.mark.parametrize("nodes", [NAMES, NUMBERS])
@pytest.mark.parametrize("header", ["", "from,to,cost\n", "from,to,weight\n"])
def test_read_graph_list_numbered_from_1_is_refused(write, nodes, header):
    path = write(f"{header}1,2,10\n2,3,20\n3,4,30\n4,1,5\n")
    remedy = "numbers begin at 0 .* and end at 3 .*: if these begin at 1, pass graph_nodes"
    for kind in (None, "edges", "distances"):
        with pytest.raises(ValueError, match=f"the 4 nodes of the signal, got '4' in line [34] of .*; {remedy}"):
            read_graph(path, nodes, kind=kind)
    found = read_graph(path, nodes, kind="distances", threshold=0, graph_nodes=["1", "2", "3", "4"])
    assert pairs(found) == [(0, 1), (1, 2), (2, 3), (3, 0)]


@pytest.mark.parametrize("kind", ["edges", "distances"])
@pytest.mark.parametrize("cell", ["e", "4", "-1", "001", "1.5"])
def test_read_graph_list_with_unknown_node_is_refused_for_every_kind(write, kind, cell):
    other = "a" if cell == "e" else "0"
    path = write(f"from,to,cost\n{other},{other},1\n{other},{cell},2\n")
    with pytest.raises(ValueError, match=f"between the 4 nodes of the signal, got '{cell}' in line 3 of "):
        read_graph(path, NAMES, kind=kind)


def test_read_graph_list_without_node_0_is_refused_by_position(write, caplog):
    path = write("from,to\n1,2\n2,3\n")
    with pytest.raises(ValueError, match="no edge has node 0, so that its numbers might begin at 1; if so, pass graph"):
        read_graph(path, NAMES)
    assert pairs(read_graph(path, NAMES, graph_nodes=NUMBERS)) == [(1, 2), (2, 3)]
    assert pairs(read_graph(path, NAMES, graph_nodes=["1", "2", "3", "4"])) == [(0, 1), (1, 2)]
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]
    assert pairs(read_graph(path, NUMBERS)) == [(1, 2), (2, 3)]  # these numbers are the names
    assert "no edge has node 0, so that its numbers might begin at 1" in caplog.text


def test_read_graph_names_are_text_and_matched_before_positions(write):
    path = write("from,to\n001,1\n1,2.0\n")
    assert pairs(read_graph(path, ("001", "1", "2"))) == [(0, 1), (1, 2)]
    with pytest.raises(ValueError, match="got '001' in line 2"):
        read_graph(path, ("0", "1", "2"))
    assert pairs(read_graph(write("from,to\n2,0\n1,2\n"), ("2", "1", "0"))) == [(0, 2), (1, 0)]
    with pytest.raises(ValueError, match="got '0' in line 2"):  # the name 2 is there, so that 0 is no position
        read_graph(write("from,to\n0,2\n"), ("2", "3", "4"))
    assert pairs(read_graph(write("0,1.0\n1e0,2.0\n", "f.csv"), NAMES)) == [(0, 1), (1, 2)]
    assert pairs(read_graph(write("from,to\nx,y\n"), (b"x", b"y"))) == [(0, 1)]


def test_read_graph_with_listed_nodes_equals_dcrnns_recipe(write, tmp_path):
    """Edges of other nodes are left out before the standard deviation is computed, as in gen_adj_mx.py."""
    ids = ["773869", "767541", "767542"]
    rows = [(773869, 773869, 0.0), (773869, 767541, 300.0), (1, 767542, 9e5), (767542, 773869, 150.5), (2, 3, 7.0)]
    path = write("from,to,cost\n" + "".join(f"{i},{j},{d}\n" for i, j, d in rows))
    matrix = np.full((3, 3), np.inf)
    for i, j, distance in rows:
        if str(i) in ids and str(j) in ids:
            matrix[ids.index(str(i)), ids.index(str(j))] = distance
    weights = np.exp(-np.square(matrix / matrix[np.isfinite(matrix)].std()))
    for name, content in (("ids.txt", ",".join(ids)), ("lines.txt", "\r\n".join(ids) + "\r\n")):
        (tmp_path / name).write_bytes(content.encode())
        edge_index, edge_weight = read_graph(path, ids, threshold=0, graph_nodes=tmp_path / name)
        assert np.allclose(edge_weight, weights[tuple(edge_index)]) and len(edge_weight) == 3
    with pytest.raises(ValueError, match=r"pass graph_nodes .--graph-nodes. with the nodes of the graph, to leave out"):
        read_graph(path, ids)
    part = read_graph(path, ids[:2], threshold=0, graph_nodes=ids)  # the kernel is that of all three
    assert pairs(part) == [(0, 0), (0, 1)] and np.allclose(part[1], weights[[0, 0], [0, 1]])


def test_read_graph_named_matrix_may_have_more_nodes(tmp_path):
    matrix = np.arange(16.0).reshape(4, 4) / 8
    content = (list(NAMES), {name: i for i, name in enumerate(NAMES)}, matrix)
    (tmp_path / "adj_mx.pkl").write_bytes(pickle.dumps(content))
    np.savez(tmp_path / "a.npz", adj=matrix, nodes=np.array(NAMES))
    for name in ("adj_mx.pkl", "a.npz"):
        edge_index, edge_weight = read_graph(tmp_path / name, ["d", "b"])
        assert np.array_equal(edge_weight, matrix[np.ix_([3, 1], [3, 1])][tuple(edge_index)]) and len(edge_weight) == 4
        with pytest.raises(ValueError, match=r"the nodes of the signal in .*, got none called 'e'"):
            read_graph(tmp_path / name, ["d", "e"])
        with pytest.raises(ValueError, match="got none called '0'; the time series has no names: pass graph_nodes"):
            read_graph(tmp_path / name, NUMBERS)
        edge_index, edge_weight = read_graph(tmp_path / name, NUMBERS, graph_nodes=["b", "d", "c", "a"])
        order = [1, 3, 2, 0]
        assert np.array_equal(edge_weight, matrix[np.ix_(order, order)][tuple(edge_index)])
        with pytest.raises(ValueError, match=r"the nodes of graph_nodes in .*, got none of 'x'"):
            read_graph(tmp_path / name, NUMBERS, graph_nodes=["b", "d", "c", "x"])


def test_read_signal_of_chosen_sensors_has_their_part_of_the_graph(write, tmp_path):
    series = write("a,b,c,d\n1,2,3,4\n5,6,7,8\n", "signal.csv")
    edges = write("from,to,cost\na,b,1\nb,c,5\nc,d,2\nd,a,3\n", "edges.csv")
    weights = np.exp(-np.square(np.array([1, 5, 2, 3]) / np.std([1, 5, 2, 3])))
    graph = read_signal(series, edges, sensors=["d", "c"], threshold=0)
    assert graph.edge_index.tolist() == [[1], [0]] and graph.edge_weight.tolist() == pytest.approx([weights[2]])
    matrix = np.arange(16).reshape(4, 4) / 2
    np.save(tmp_path / "m.npy", matrix)
    graph = read_signal(series, tmp_path / "m.npy", sensors=["d", "c"])
    assert np.array_equal(graph.edge_weight, matrix[[3, 3, 2, 2], [3, 2, 3, 2]])
    np.save(tmp_path / "m.npy", matrix[:2, :2])  # of the chosen sensors, in their order
    graph = read_signal(series, tmp_path / "m.npy", sensors=["d", "c"])
    assert graph.edge_index.tolist() == [[0, 1, 1], [1, 0, 1]] and graph.edge_weight.tolist() == [0.5, 2, 2.5]
    np.save(tmp_path / "m.npy", matrix[:3, :3])
    with pytest.raises(ValueError, match="a matrix between the 4 nodes of the signal, got 3 x 3"):
        read_signal(series, tmp_path / "m.npy", sensors=["d", "c"])


def test_read_signal_options_of_a_graph_need_one(write):
    path = write("a,b\n1,2\n3,4\n")
    for name, value in (("graph_kind", "edges"), ("graph_nodes", ["a", "b"])):
        with pytest.raises(ValueError, match=rf"expected a graph .--graph. with {name}, got none for .*my.csv"):
            read_signal(path, **{name: value})


def test_read_signal_without_names_takes_those_of_graph_nodes(write, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    edges = write("from,to,distance\r\r\n313,412,0.5\r\r\n412,412,0\r\r\n", "edges.csv")
    ids = write("412\r\n313\r\n", "ids.txt")
    graph = read_signal(tmp_path / "x.npy", edges, graph_nodes=ids, threshold=0)
    assert graph.nodes == ("412", "313") and graph.edge_index.tolist() == [[1, 0], [0, 0]]
    assert graph.edge_weight.tolist() == pytest.approx([np.exp(-((0.5 / 0.25) ** 2)), 1])
    with pytest.raises(ValueError, match=r"a name in .*ids.txt for each of the 2 sensors of .*x.npy, .*, got 1"):
        read_signal(tmp_path / "x.npy", edges, graph_nodes=write("412\n", "ids.txt"))
    with pytest.raises(ValueError, match="expected distinct nodes, got '412'"):
        read_signal(tmp_path / "x.npy", edges, graph_nodes=["412", "412"])
    for content, message in (("a,b\nc,d\n", "one name of a node per line of .*, got 'a,b'"), ("", "got an empty file")):
        with pytest.raises(ValueError, match=message):
            read_signal(tmp_path / "x.npy", edges, graph_nodes=write(content, "ids.txt"))
    with pytest.raises(ValueError, match=r"a readable file of names, got .*none.txt: No such file"):
        read_signal(tmp_path / "x.npy", edges, graph_nodes=tmp_path / "none.txt")
