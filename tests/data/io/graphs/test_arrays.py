"""Graphs in npy, npz and scipy.sparse files and in pickles."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from seqgnn.data import read_graph
from tests.support.graph_files import dense

NODES = ("a", "b", "c", "d")
MATRIX = np.array([[1, 0.5, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0.25, 0, 0, 0]])
EDGES = np.array([[0, 1, 2], [1, 2, 3]])


@pytest.fixture
def npz(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "g.npz", **arrays)
        return tmp_path / "g.npz"

    return save


@pytest.mark.parametrize("name", ["edge_weight", "edge_weights", "weight", "weights", "edge_attr"])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float64"])
def test_read_graph_npz_edge_index_with_weights_of_any_name(npz, name, shape, dtype):
    weights = np.array([0.5, 2, 1]).reshape(shape)
    for edges in (EDGES.astype(dtype), EDGES.astype(dtype).T):
        edge_index, edge_weight = read_graph(npz(edge_index=edges, **{name: weights}), NODES)
        assert edge_index.dtype == torch.long and edge_index.tolist() == EDGES.tolist()
        assert edge_weight.dtype == torch.float32 and edge_weight.tolist() == [0.5, 2, 1]


def test_read_graph_npz_edge_index_with_distances_equals_kernel(npz):
    distances = np.array([300.0, 100, 0])
    expected = np.exp(-((distances / distances.std()) ** 2))
    for name, kind in (("distance", None), ("cost", None), ("edge_attr", "distances"), ("weight", "distances")):
        path = npz(edge_index=EDGES, **{name: distances})
        assert np.allclose(read_graph(path, NODES, kind=kind, threshold=0)[1], expected)
    assert read_graph(npz(edge_index=EDGES, cost=distances), NODES, kind="edges")[1].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"values called 'edge_attr' from 0 to 300 in .*; pass kind='edges' or"):
        read_graph(npz(edge_index=EDGES, edge_attr=distances), NODES)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"edge_index": EDGES + 0.5}, "edge_index as whole numbers, got 0.5 in edge 0 of"),
        ({"edge_index": np.where(EDGES == 3, np.nan, EDGES)}, "edge_index as whole numbers, got nan in edge 2 of"),
        ({"edge_index": np.where(EDGES == 3, 1e300, EDGES)}, r"edge_index as whole numbers, got 1e\+300 in edge 2 of"),
        ({"edge_index": EDGES - 1}, "between the 4 nodes of the signal, numbered from 0, got -1 in edge 0 of"),
        ({"edge_index": EDGES + 1}, "numbered from 0, got 4 in edge 2 of .*; if they begin at 1, subtract 1"),
        ({"edge_index": EDGES[0]}, r"expected edge_index \[2, E\] in .*, got \(3,\)"),
        ({"edge_index": np.ones((3, 3), int)}, r"expected edge_index \[2, E\] in .*, got \(3, 3\)"),
        ({"edge_index": EDGES.astype(complex)}, "edge_index as integers in .*, got complex128"),
        ({"edge_index": EDGES.astype(str)}, "edge_index as integers in .*, got <U"),
        ({"edge_index": EDGES > 0}, "edge_index as integers in .*, got bool"),
        ({"edge_weight": [1, np.nan, 1]}, "a number for every edge, got none in edge 1 of"),
        ({"edge_weight": [1, np.inf, 1]}, "a number for every edge, got inf in edge 1 of"),
        ({"edge_weight": [1, 1j, 1]}, "edge_weight as real numbers in .*, got complex128"),
        ({"edge_weight": [1, 2]}, r"edge_weight \[3\], one per edge, in .*, got \(2,\)"),
        ({"edge_attr": np.ones((3, 2))}, r"edge_attr \[3\], one per edge, in .*, got \(3, 2\)"),
        ({"edge_attr": [1, 2, 3], "weight": [1, 1, 1]}, "one array of weights in .*, got (edge_attr, w|weight, e)"),
        ({"edge_index": [[0, 1, 0], [1, 2, 1]], "weight": [1, 2, 3]}, "that of edge 0 again in edge 2 of .*, with 3"),
        ({"cost": [1, -2, 3]}, "distances of at least 0, got -2 in edge 1 of"),
        ({"nodes": ["a", "b", "c"]}, "between the 3 nodes, got 3 in edge 2 of"),
        ({"nodes": ["a", "b", "b", "c"]}, "distinct nodes, got 'b'"),
    ],
)
def test_read_graph_npz_with_invalid_edges_names_the_array(npz, arrays, message):
    with pytest.raises(ValueError, match=f"read_graph: .*{message}"):
        read_graph(npz(**{"edge_index": EDGES} | arrays), NODES)


def test_read_graph_npz_edges_follow_the_names_of_nodes(npz):
    names = np.array([b"d", b"a", b"c", b"b"])
    edge_index, _ = read_graph(npz(edge_index=EDGES, nodes=names), NODES)
    assert edge_index.tolist() == [[3, 0, 2], [0, 2, 1]]
    order = [3, 0, 2, 1]
    for key in ("adj", "adjacency", "A", "anything"):
        path = npz(**{key: MATRIX[np.ix_(order, order)], "node_ids": names, "positions": np.ones(4)})
        assert np.array_equal(dense(read_graph(path, NODES)), MATRIX)
    with pytest.raises(ValueError, match="3 nodes and a matrix of 4 rows"):
        read_graph(npz(adj=MATRIX, nodes=names[:3]), NODES)
    with pytest.raises(ValueError, match=r"names of nodes \[N\] as nodes in .*, got \(1, 4\)"):
        read_graph(npz(adj=MATRIX, nodes=names[None]), NODES)
    path = npz(adj=MATRIX, edge_attr=np.ones((4, 2)))
    assert np.array_equal(dense(read_graph(path, NODES)), MATRIX)
    ids = np.array([400001.0, 400017.0, 400030.0, 400040.0])
    names = ["400001", "400017", "400030", "400040"]
    assert np.array_equal(dense(read_graph(npz(adj=MATRIX, nodes=ids), names)), MATRIX)
    repeated = npz(edge_index=[[0, 1, 0], [1, 2, 1]], edge_weight=[2, 3, 2])
    assert [part.tolist() for part in read_graph(repeated, NODES)] == [[[0, 1], [1, 2]], [2, 3]]


@pytest.mark.parametrize("dtype", ["complex128", "U4", "M8[s]"])
def test_read_graph_matrix_of_other_than_numbers_is_refused(tmp_path, dtype):
    np.save(tmp_path / "m.npy", np.ones((4, 4), dtype=int).astype(dtype))
    with pytest.raises(ValueError, match="expected a matrix of real numbers in"):
        read_graph(tmp_path / "m.npy", NODES)


def test_read_graph_array_of_edges_is_a_list_where_the_kind_says_so(tmp_path):
    np.save(tmp_path / "e.npy", [[0, 1, 352.5], [1, 3, 347]])
    edge_index, edge_weight = read_graph(tmp_path / "e.npy", NODES, kind="edges")
    assert edge_index.tolist() == [[0, 1], [1, 3]] and edge_weight.tolist() == [352.5, 347]
    _, edge_weight = read_graph(tmp_path / "e.npy", NODES, kind="distances", threshold=0)
    assert np.allclose(edge_weight, np.exp(-np.square(np.array([352.5, 347]) / 2.75)))
    with pytest.raises(ValueError, match=r"got 2 x 3 in .*; for a list of edges pass kind='edges'"):
        read_graph(tmp_path / "e.npy", NODES)
    with pytest.raises(ValueError, match=r"edges \[E, 2\] or \[E, 3\], got a matrix of 4 x 4"):
        read_graph(MATRIX, NODES, kind="edges")


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_read_graph_sparse_matrix_of_any_format_equals_scipys(tmp_path, layout, kind):
    matrix = getattr(sparse, f"{layout}_{kind}")(MATRIX)
    assert np.array_equal(dense(read_graph(matrix, NODES)), MATRIX)
    if layout in ("lil", "dok"):
        return
    sparse.save_npz(tmp_path / "s.npz", matrix)
    assert np.array_equal(dense(read_graph(tmp_path / "s.npz", NODES)), MATRIX)
    for protocol in (0, 2, 5):
        (tmp_path / "s.pkl").write_bytes(pickle.dumps((list(NODES), {}, matrix), protocol))
        assert np.array_equal(dense(read_graph(tmp_path / "s.pkl", NODES[::-1])), MATRIX[::-1, ::-1])


def test_read_graph_sparse_entries_given_twice_are_those_of_scipy(tmp_path):
    rows, columns = [0, 1, 0], [1, 2, 1]
    overflowing = sparse.coo_array((np.array([200, 3, 100], dtype=np.uint8), (rows, columns)), shape=(4, 4))
    found = dense(read_graph(overflowing, NODES, kind="adjacency"))
    assert np.array_equal(found, overflowing.astype(float).toarray()) and overflowing.toarray()[0, 1] == 44
    for values in (np.array([True, True, True]), np.array([0.5, 2, 0.25]), np.array([1, 3, 4], dtype=np.uint8)):
        matrix = sparse.coo_array((values, (rows, columns)), shape=(4, 4))
        sparse.save_npz(tmp_path / "s.npz", matrix)
        assert np.array_equal(dense(read_graph(tmp_path / "s.npz", NODES)), matrix.toarray().astype(float))
        assert np.array_equal(dense(read_graph(matrix, NODES)), matrix.toarray().astype(float))
        assert matrix.nnz == 3  # not changed


def test_read_graph_stored_zero_is_an_edge_among_distances_alone():
    matrix = sparse.coo_array((np.array([0.0, 3, 1]), ([0, 0, 2], [0, 1, 3])), shape=(4, 4))
    assert read_graph(matrix, NODES)[0].tolist() == [[0, 2], [1, 3]]
    edge_index, edge_weight = read_graph(matrix, NODES, kind="distances", threshold=0)
    distances = np.array([0.0, 3, 1])
    assert edge_index.tolist() == [[0, 0, 2], [0, 1, 3]]
    assert np.allclose(edge_weight, np.exp(-((distances / distances.std()) ** 2)))
    for layout in ("bsr", "dia"):
        with pytest.raises(ValueError, match=f"in a format that stores only distances, .*, got {layout} in"):
            read_graph(matrix.asformat(layout), NODES, kind="distances")
    with pytest.raises(ValueError, match="a matrix between the nodes of the signal, got 4 x 3"):
        read_graph(sparse.csr_array((4, 3)), NODES)
    with pytest.raises(ValueError, match="a matrix of real numbers in the sparse matrix, got complex128"):
        read_graph(sparse.csr_array(MATRIX * 1j), NODES)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_read_graph_pickle_in_every_published_form(tmp_path, protocol, ends):
    names = ["c", "a", "d", "b"]
    order = [NODES.index(name) for name in names]
    matrix = MATRIX[np.ix_(order, order)]
    indices = {name: i for i, name in enumerate(names)}
    for content, nodes in (
        ((names, indices, matrix.astype(np.float32)), NODES),  # DCRNN
        ([[name.encode() for name in names], {name.encode(): i for name, i in indices.items()}, matrix], NODES),
        ((np.array(names, dtype=object), indices, matrix.tolist()), NODES),
        ((names, {}, np.asmatrix(matrix)), NODES),
        ((names, matrix), NODES),
        ({"adj_mx": matrix, "sensor_ids": np.array(names)}, NODES),
        (matrix, names),  # BasicTS, STID
        (matrix.tolist(), names),
        (np.asfortranarray(matrix), names),
        (([np.int64(i) for i in order], {np.int64(i): n for n, i in enumerate(order)}, matrix), ("0", "1", "2", "3")),
    ):
        path = tmp_path / "adj_mx.pkl"
        path.write_bytes(pickle.dumps(content, protocol).replace(b"\n", ends))
        found = dense(read_graph(path, nodes))
        assert np.array_equal(found, matrix if nodes is names else MATRIX)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((["a", "b"], {}, MATRIX), "got 2 names and a matrix of 4 rows"),
        ((list("abcd"), {"a": 1}, MATRIX), "got 'a' with index 1, which is not its position among the names"),
        ((list("abcd"), {"e": 9}, MATRIX), "got 'e' with index 9"),
        ((list("abcd"), [1, 2], MATRIX), "got list in place of the indices of names"),
        ((list("abcd"), {}, None), "got NoneType in place of the matrix"),
        ((5, {}, MATRIX), "got int in place of the names"),
        ("text", "or a matrix, got str"),
        ([[1, 2], [3]], "expected a matrix between the nodes of the signal|in place of|names and a matrix"),
        (list("abcd"), "expected a matrix between the nodes of the signal, got 4"),
    ],
)
def test_read_graph_pickle_of_other_content_names_it(tmp_path, content, message):
    (tmp_path / "adj_mx.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=f"read_graph: .*({message})"):
        read_graph(tmp_path / "adj_mx.pkl", NODES)


def test_read_graph_damaged_array_files_raise_value_error(tmp_path):
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_array(MATRIX))
    for content in (b"", b"no zip", (tmp_path / "s.npz").read_bytes()[:-40]):
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(ValueError, match="arrays, without pickled objects, got"):
            read_graph(tmp_path / "d.npz", NODES)
