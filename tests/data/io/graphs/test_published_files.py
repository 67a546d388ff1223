"""The graph files of published data sets equal the authors' numbers; each has a small file of the same form as well."""

import csv
import io
import pickle
import re

import numpy as np
import pytest

from seqgnn.data import read_graph
from seqgnn.data.io.safe_pickle import read_plain_pickle
from tests.support.paths import DATA

TRAFFIC = DATA / "traffic"


def published(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs {name} under $SEQGNN_DATA")
    return path


def recipe(rows, ids, threshold=0.1):
    """Return the adjacency matrix by DCRNN's recipe, gen_adj_mx.py: the last distance of a pair counts."""
    index = {name: i for i, name in enumerate(ids)}
    distances = np.full((len(ids), len(ids)), np.inf)
    for source, target, distance in rows:
        if source in index and target in index:
            distances[index[source], index[target]] = float(distance)
    matrix = np.exp(-np.square(distances / distances[~np.isinf(distances)].std()))
    matrix[matrix < threshold] = 0
    return matrix


def rows_of(path, header=True):
    text = re.sub("\r+\n", "\n", path.read_bytes().decode())
    return list(csv.reader(io.StringIO(text)))[header:]


def dense(graph, n):
    edge_index, edge_weight = graph
    matrix = np.zeros((n, n))
    matrix[tuple(edge_index)] = edge_weight
    return matrix


@pytest.mark.parametrize(("name", "count", "edges", "weighted"), [("PEMS04", 307, 340, 209), ("PEMS08", 170, 277, 137)])
def test_read_graph_pems_distances_equal_dcrnns_recipe(name, count, edges, weighted):
    path = published(f"traffic/{name}_distance.csv")
    nodes = list(map(str, range(count)))
    matrix = recipe(rows_of(path), nodes)
    assert np.count_nonzero(matrix) == weighted
    assert np.allclose(dense(read_graph(path, nodes), count), matrix, atol=1e-7)
    edge_index, edge_weight = read_graph(path, nodes, kind="edges")
    assert edge_index.size(1) == edges and (edge_weight == 1).all()
    assert {tuple(pair) for pair in edge_index.T.tolist()} == {(int(i), int(j)) for i, j, _ in rows_of(path)}
    edge_index, edge_weight = read_graph(path, nodes, threshold=0)
    assert edge_index.size(1) == edges
    assert np.allclose(dense((edge_index, edge_weight), count), recipe(rows_of(path), nodes, threshold=0), atol=1e-7)


def test_read_graph_pems03_distances_follow_the_ids():
    path, ids = published("traffic/PEMS03_distance.csv"), published("traffic/PEMS03_ids.txt")
    names = ids.read_text().split()
    rows = rows_of(path)
    assert len(rows) == 547 and len(names) == 358
    for nodes, options in ((list(map(str, range(358))), {"graph_nodes": ids}), (names, {})):
        edge_index, _ = read_graph(path, nodes, kind="edges", **options)
        assert edge_index.T.tolist() == [[names.index(i), names.index(j)] for i, j, _ in rows]
        assert np.allclose(dense(read_graph(path, nodes, **options), 358), recipe(rows, names), atol=1e-7)
    with pytest.raises(ValueError, match=r"got '317842' in line 2 of .*; pass graph_nodes"):
        read_graph(path, list(map(str, range(358))))


def test_read_graph_pems_bay_distances_equal_the_authors_matrix(caplog):
    path, locations = published("traffic/distances_bay_2017.csv"), published("traffic/graph_sensor_locations_bay.csv")
    ids, _, matrix = pickle.loads(published("traffic/adj_mx_bay.pkl").read_bytes(), encoding="latin1")
    assert [row[0] for row in rows_of(locations, header=False)] == ids and np.count_nonzero(matrix) == 2694
    for options in ({"kind": "distances"}, {}):  # without a kind they are recognized by the zeros on the diagonal
        assert abs(dense(read_graph(path, ids, **options), 325) - matrix).max() < 1e-7
        assert ("are taken as distances" in caplog.text) is (not options)
    assert np.array_equal(dense(read_graph(published("traffic/adj_mx_bay.pkl"), ids), 325), matrix)
    part = dense(read_graph(published("traffic/adj_mx_bay.pkl"), ids[40:60]), 20)
    assert np.array_equal(part, matrix[40:60, 40:60])
    part = dense(read_graph(path, ids[40:60], kind="distances", graph_nodes=ids), 20)
    assert abs(part - matrix[40:60, 40:60]).max() < 1e-7
    twenty = read_graph(path, ids[40:60], kind="distances", graph_nodes=ids[40:60])
    assert np.allclose(dense(twenty, 20), recipe(rows_of(path, header=False), ids[40:60]), atol=1e-7)


def test_read_graph_metr_la_matrix_with_windows_line_ends_is_equal(tmp_path):
    path, ids = published("metr_la/adj_mx.pkl"), published("metr_la/graph_sensor_ids.txt")
    names = ids.read_text().strip().split(",")
    stored, _, matrix = pickle.loads(path.read_bytes(), encoding="latin1")
    assert stored == names
    assert np.array_equal(dense(read_graph(path, names), 207), matrix)
    assert np.array_equal(dense(read_graph(path, list(map(str, range(207))), graph_nodes=ids), 207), matrix)
    (tmp_path / "adj_mx.pkl").write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert np.array_equal(dense(read_graph(tmp_path / "adj_mx.pkl", names), 207), matrix)
    assert np.array_equal(read_plain_pickle(tmp_path / "adj_mx.pkl")[2], matrix)


def test_read_graph_small_files_of_published_forms_equal_the_recipe(write):
    pems08 = "from,to,cost\r\n9,3,310.6\r\n3,6,330.9\r\n0,9,42.5\r\n9,3,310.6\r\n"
    pems03 = "from,to,distance\r\r\n317842,318711,0.872\r\r\n318721,317842,1.322\r\r\n318711,318711,0.0\r\r\n"
    bay = "400001,400001,0.0\n400017,400017,0.0\n400001,400017,5108.4\n400017,400030,2401.1\n400030,400030,0.0\n"
    numbers, ids = list(map(str, range(10))), ["318711", "317842", "318721"]
    for content, nodes, options in (
        (pems08, numbers, {}),
        (pems03, ids, {}),
        (pems03, ["0", "1", "2"], {"graph_nodes": ids}),
        (bay, ["400030", "400001", "400017"], {}),
        (bay, ["400030", "400001", "400017"], {"kind": "distances"}),
    ):
        path = write(content)
        matrix = recipe(rows_of(path, header=content is not bay), options.get("graph_nodes", nodes), 0.01)
        assert np.allclose(dense(read_graph(path, nodes, threshold=0.01, **options), len(nodes)), matrix, atol=1e-7)
    edge_index, edge_weight = read_graph(write(pems08), numbers, kind="edges")
    assert edge_index.tolist() == [[9, 3, 0], [3, 6, 9]] and edge_weight.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"that of line 2 again in line 5 of .*, with 310 instead of 310\.6"):
        read_graph(write(pems08.removesuffix(".6\r\n") + "\r\n"), numbers)
