import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from seqgnn.data import read_graph
from seqgnn.data.io.graphs import gaussian_kernel
from seqgnn.data.io.safe_pickle import read_plain_pickle

NODES = ("a", "b", "c", "d")
MATRIX = np.array([[1, 0.5, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0.25, 0, 0, 0]])


def dense(edges, weights, n=4):
    matrix = np.zeros((n, n))
    for i, j, w in zip(*edges.tolist(), weights.tolist()):
        matrix[i, j] += w
    return matrix


def text(matrix):
    return "".join(",".join(f"{value:g}" for value in row) + "\n" for row in matrix)


def test_read_graph_matrix_files_equal_the_matrix(write, tmp_path):
    assert np.array_equal(dense(*read_graph(write(text(MATRIX)), NODES)), MATRIX)
    order = [2, 0, 3, 1]
    names = ",".join(NODES[i] for i in order)
    moved = MATRIX[np.ix_(order, order)]
    assert np.array_equal(dense(*read_graph(write(f"{names}\n{text(moved)}"), NODES)), MATRIX)
    lines = "".join(f"{NODES[i]},{line}\n" for i, line in zip(order, text(moved).splitlines()))
    assert np.array_equal(dense(*read_graph(write(f",{names}\n{lines}"), NODES)), MATRIX)
    np.save(tmp_path / "m.npy", MATRIX)
    np.savez(tmp_path / "m.npz", adjacency=MATRIX, about=np.array("text"))
    for name in ("m.npy", "m.npz"):
        assert np.array_equal(dense(*read_graph(tmp_path / name, NODES)), MATRIX)
    for layout in (sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix):
        sparse.save_npz(tmp_path / "s.npz", layout(MATRIX))
        assert np.array_equal(dense(*read_graph(tmp_path / "s.npz", NODES)), MATRIX)
    np.savez(tmp_path / "e.npz", edge_index=np.array([[0, 1], [1, 2]]))
    edges, weights = read_graph(tmp_path / "e.npz", NODES)
    assert edges.tolist() == [[0, 1], [1, 2]] and weights.tolist() == [1, 1]
    three = read_graph(write("1,0,0\n0,1,0\n0,0.5,1\n"), NODES[:3])
    assert dense(*three, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0.5, 1]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("from,to\na,b\nd,a\n", ([[0, 3], [1, 0]], [1, 1])),
        ("a,b,0.5\nd,a,2\n", ([[0, 3], [1, 0]], [0.5, 2])),
        ("0,1\n3,0\n", ([[0, 3], [1, 0]], [1, 1])),
        ("from,to,weight\na,b,1\nb,c,2\nd,d,3\n", ([[0, 1, 3], [1, 2, 3]], [1, 2, 3])),
    ],
)
def test_read_graph_edge_lists_return_edges_and_weights(write, content, expected):
    edges, weights = read_graph(write(content), NODES)
    assert (edges.tolist(), weights.tolist()) == expected and weights.dtype == torch.float32


def test_read_graph_edge_list_matches_names_before_indices(write):
    edges, _ = read_graph(write("from,to\n2,0\n1,2\n"), ("2", "1", "0"))
    assert edges.tolist() == [[0, 1], [2, 0]]


def test_read_graph_distances_equal_kernel_by_hand(write):
    path = write("from,to,cost\na,b,3\nb,a,1\nc,d,2\nz,a,50\n")  # z is no node; the others' variance is 2 / 3
    edges, weights = read_graph(path, NODES, threshold=0.01, graph_nodes=NODES)
    assert edges.tolist() == [[1], [0]]  # exp(-1 * 3 / 2), exp(-4 * 3 / 2) and exp(-9 * 3 / 2)
    assert weights.item() == pytest.approx(0.22313016)
    edges, weights = read_graph(path, NODES, threshold=0, graph_nodes=NODES)
    assert edges.tolist() == [[0, 1, 2], [1, 0, 3]]
    assert weights.tolist() == pytest.approx([1.3709591e-06, 0.22313016, 0.0024787522])
    assert torch.equal(read_graph(write("a,b,3\nb,a,1\nc,d,2\n"), NODES, kind="distances", threshold=0)[1], weights)


def test_gaussian_kernel_equals_that_of_dcrnn():
    distances = np.random.default_rng(0).uniform(0, 8000, 300)
    weights, kept = gaussian_kernel(distances)
    sigma = np.sqrt(np.mean((distances - distances.mean()) ** 2))
    assert np.allclose(weights, [np.exp(-((d / sigma) ** 2)) for d in distances]) and (kept == (weights >= 0.1)).all()


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ("1,0,0,0,0\n" * 5, {}, "a matrix between the 4 nodes of the signal, got 5 x 5"),
        ("1,0,0,0\n" * 3, {}, "got 3 x 4"),
        ("a,b,c,e\n" + text(MATRIX), {}, "the nodes of the signal in .*, got none called 'd'"),
        ("a,b,c,a\n" + text(MATRIX), {}, "distinct nodes, got 'a'"),
        ("1,0,0,0\n0,1,x,0\n0,0,1,0\n0,0,0,1\n", {}, "got 'x' in line 2, column '3'"),
        ("1,0,0,0\n0,1,,0\n0,0,1,0\n0,0,0,1\n", {}, "finite weights, got nan at row 2, column 3"),
        ("from,to\na,b\nb,e\n", {}, "between the 4 nodes of the signal, got 'e' in line 3"),
        ("x,y\na,b\n", {}, "between the 4 nodes of the signal, got 'x' in line 1"),
        ("a,y,1\na,b,1\n", {}, "between the 4 nodes of the signal, got 'y' in line 1"),
        ("0,1\n1,4\n", {}, "between the 4 nodes of the signal, got '4' in line 2"),
        ("from,to,weight\na,b,1\na,b,2\n", {}, "every edge once, got that of line 2 again in line 3"),
        ("from,to,weight\na,b,much\n", {}, "got 'much' in line 2, column 'weight'"),
        ("from,to,weight\na,b,\n", {}, "a number for every edge, got none in line 2"),
        ("a\nb\n", {}, "lines from,to or from,to,weight, or a square matrix, got 2 lines of 1"),
        ("from,to\na,b\n", {"kind": "distances"}, "distances as from,to,distance"),
        ("from,to,cost\nx,y,1\n", {}, "between the 4 nodes of the signal, got 'x' in line 2 .*pass graph_nodes"),
        ("from,to,cost\n", {}, "between the 4 nodes of the signal, got none in"),
        ("from,to,cost\na,b,1\nb,a,-1\n", {}, "distances of at least 0, got -1 in line 3 of"),
        ("from,to,cost\na,b,1\nb,a,1\n", {}, "two different distances"),
        ("from,to\na,b\n", {"kind": "edge"}, "expected kind to be one of 'adjacency', .*did you mean 'edges'"),
        ("from,to\na,b\n", {"threshold": -1}, "threshold of at least 0"),
    ],
)
def test_read_graph_invalid_csv_names_the_mistake(write, content, options, match):
    with pytest.raises(ValueError, match=f"read_graph: .*{match}"):
        read_graph(write(content), NODES, **options)


@pytest.mark.filterwarnings("error")
def test_read_graph_without_any_distance_has_no_edges(tmp_path):
    np.savez(tmp_path / "edges.npz", edge_index=np.zeros((2, 0), int), distance=np.zeros(0))
    np.save(tmp_path / "matrix.npy", np.full((4, 4), np.nan))
    for path in (tmp_path / "edges.npz", tmp_path / "matrix.npy"):
        edges, weights = read_graph(path, NODES, kind="distances")
        assert edges.shape == (2, 0) and weights.shape == (0,)


def test_read_graph_names_that_are_missing_name_the_file(tmp_path):
    np.savez(tmp_path / "g.npz", adj=np.eye(4), nodes=np.array([1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match=r"a name for every node, got nan for node 1 of .*g\.npz"):
        read_graph(tmp_path / "g.npz", NODES)


def test_read_graph_invalid_files_raise_value_error(tmp_path):
    with pytest.raises(ValueError, match=r"the suffix of the graph file .*g\.gml to be one of '\.csv', .*got '\.gml'"):
        read_graph(tmp_path / "g.gml", NODES)
    np.savez(tmp_path / "two.npz", one=MATRIX, other=MATRIX)
    with pytest.raises(ValueError, match=r"one matrix of numbers in .*, got one, other"):
        read_graph(tmp_path / "two.npz", NODES)
    np.save(tmp_path / "objects.npy", np.array([[None]]))
    for name in ("objects.npy", "none.npy"):
        with pytest.raises(ValueError, match="arrays, without pickled objects, got"):
            read_graph(tmp_path / name, NODES)


@pytest.mark.parametrize("protocol", range(6))
def test_read_graph_pickle_of_arrays_equals_the_matrix(tmp_path, protocol):
    path = tmp_path / "adj_mx.pkl"
    names = ["c", "a", "d", "b"]
    order = [NODES.index(name) for name in names]
    matrix = np.asfortranarray(MATRIX[np.ix_(order, order)].astype(np.float32))
    path.write_bytes(pickle.dumps([names, {name: i for i, name in enumerate(names)}, matrix], protocol))
    assert np.array_equal(dense(*read_graph(path, NODES)), MATRIX)
    content = [np.float64(2.5), matrix[:0], np.arange(3), (b"\xff", b"", "é", None, {1: 2.5})]
    path.write_bytes(pickle.dumps(content, protocol))
    number, empty, integers, rest = read_plain_pickle(path)
    assert number == 2.5 and empty.shape == (0, 4) and integers.tolist() == [0, 1, 2] and rest == content[3]
