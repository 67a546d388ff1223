"""Lists of edges and matrices in csv files: which is which, headers, and the order of rows."""

import logging

import numpy as np
import pandas
import pytest

from seqgnn.data import read_graph

NUMBERS = tuple(map(str, range(5)))
LETTERS = ("a", "b", "c", "d", "e")


def edges_of(graph):
    """Return edges with their weights as a set."""
    edge_index, edge_weight = graph
    return {(i, j, round(float(w), 4)) for (i, j), w in zip(edge_index.T.tolist(), edge_weight)}


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("names", [NUMBERS, LETTERS])
@pytest.mark.parametrize("header", ["", "from,to,weight", "source,target,w", "x,from,to,weight"])
@pytest.mark.parametrize("weights", [(1, 1), (0.5, 0.25)])
def test_read_graph_edge_list_of_few_nodes_is_a_list(write, caplog, size, names, header, weights):
    """Two edges; those of two nodes without a header and weights have the shape of a matrix as well."""
    names = names[:size]
    rows = [(names[0], names[1], weights[0]), (names[1], names[-2], weights[1])]
    lines = [",".join(map(str, row)) for row in rows]
    if header.startswith("x"):
        lines = [f"{number},{line}" for number, line in enumerate(lines)]
    content = "\n".join([header, *lines] if header else lines) + "\n"
    expected = {(0, 1, float(weights[0])), (1, size - 2, float(weights[1]))}
    assert edges_of(read_graph(write(content), names)) == expected
    guesses = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(guesses) == (not header and weights != (1, 1))  # values without a name
    assert all("are taken as weights; pass kind='edges' or kind='distances'" in guess.message for guess in guesses)
    if not header:
        assert edges_of(read_graph(write(content), names, kind="edges")) == expected
    unweighted = "\n".join(line.rsplit(",", 1)[0] for line in ([header, *lines] if header else lines)) + "\n"
    assert edges_of(read_graph(write(unweighted), names)) == {(i, j, 1.0) for i, j, _ in expected}


@pytest.mark.parametrize(
    ("content", "size"),
    [("0,1,1\n1,2,1\n2,0,1\n", 3), ("1,2,1\n2,3,1\n3,1,1\n", 3), ("1,0,0\n0,1,0\n0,0,1\n", 3)],
)
def test_read_graph_table_that_may_be_list_or_matrix_is_refused(write, content, size):
    path, names = write(content), NUMBERS[:size]
    with pytest.raises(ValueError, match=r"list of edges or a matrix, got \d lines of \d values in .*may be either"):
        read_graph(path, names)
    matrix = np.loadtxt(path, delimiter=",")
    entries = {(i, j, matrix[i, j]) for i, j in np.argwhere(matrix).tolist()}
    assert edges_of(read_graph(path, names, kind="adjacency")) == entries
    if "3" in content:
        with pytest.raises(ValueError, match=r"got '3' in line 2 .*if these begin at 1, pass graph_nodes"):
            read_graph(path, names, kind="edges")
    else:
        listed = {(int(row[0]), int(row[1]), float(row[2])) for row in matrix}
        assert edges_of(read_graph(path, names, kind="edges")) == listed
    with pytest.raises(ValueError, match="begin it with a line from,to,distance or with the names"):
        read_graph(path, names, kind="distances")


def test_read_graph_two_columns_are_a_list_with_a_warning(write, caplog):
    path = write("0,1\n1,1\n")
    assert edges_of(read_graph(path, NUMBERS[:2])) == {(0, 1, 1), (1, 1, 1)}
    assert "taken as a list of edges; for a matrix, pass kind='adjacency'" in caplog.text
    assert edges_of(read_graph(path, NUMBERS[:2], kind="adjacency")) == {(0, 1, 1), (1, 0, 1), (1, 1, 1)}
    _, weights = read_graph(write("0,3\n1,0\n"), NUMBERS[:2], kind="distances", threshold=0)
    assert np.allclose(weights, np.exp(-np.square(np.array([0, 3, 1, 0]) / np.std([0, 3, 1, 0]))))


def test_read_graph_table_that_is_the_same_as_list_and_matrix_is_read(write):
    assert edges_of(read_graph(write("0,1\n1,0\n"), NUMBERS[:2])) == {(0, 1, 1), (1, 0, 1)}
    path = write("0,1,0\n1,0,1\n0,1,0\n")  # as a list it would have 0 -> 1 twice, with weights 0 and 0
    with pytest.raises(ValueError, match="may be either"):
        read_graph(path, NUMBERS[:3])
    path = write("0,1,0\n1,0,1\n0,0.5,0\n")
    assert edges_of(read_graph(path, NUMBERS[:3])) == {(0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 0.5)}


def test_read_graph_matrix_rows_in_another_order_than_columns(write, tmp_path):
    names = ["a", "b", "c", "d"]
    frame = pandas.DataFrame(np.random.default_rng(0).integers(0, 3, (4, 4)) / 2, index=names, columns=names)
    expected = {(i, j, frame.iloc[i, j]) for i, j in np.argwhere(frame.to_numpy()).tolist()}
    mixed = frame.loc[["c", "a", "d", "b"], ["b", "d", "a", "c"]]
    for label in (None, "sensor", "sensor_id"):
        mixed.to_csv(tmp_path / "m.csv", index_label=label)
        assert edges_of(read_graph(tmp_path / "m.csv", names)) == expected
    mixed.loc[names].to_csv(tmp_path / "m.csv", header=False)  # names on the left only
    square = frame.loc[mixed.index, mixed.index]
    square.to_csv(tmp_path / "m.csv", header=False)
    assert edges_of(read_graph(tmp_path / "m.csv", names)) == expected
    mixed.rename(index={"a": "e"}).to_csv(tmp_path / "m.csv")
    with pytest.raises(ValueError, match=r"a row for every column of the matrix in .*, got none called 'a'"):
        read_graph(tmp_path / "m.csv", names)
    assert edges_of(read_graph(mixed, names)) == expected  # the frame itself


def test_read_graph_matrix_of_distances_has_no_edge_where_empty(write):
    path = write(",a,b,c\na,0,3,\nb,1,0,2\nc,,,0\n")
    edge_index, edge_weight = read_graph(path, LETTERS[:3], kind="distances", threshold=0)
    distances = np.array([0, 3, 1, 0, 2, 0])
    assert edge_index.tolist() == [[0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 2]]
    assert np.allclose(edge_weight, np.exp(-((distances / distances.std()) ** 2)))
    with pytest.raises(ValueError, match=r"0 might mean no edge, got 0 at row 1, column 2 of .*; use inf or an empty"):
        read_graph(write(",a,b\na,0,0\nb,1,0\n"), LETTERS[:2], kind="distances")


def test_read_graph_large_values_without_a_name_are_refused(write):
    matrix = "0,352.6,0\n1,0,2\n0,0,0\n"
    for content, names, choice in (
        ("a,b,352.6\nb,c,347.2\n", LETTERS, "edges"),
        ("from,to,value\na,b,352.6\nb,c,347.2\n", LETTERS, "edges"),
        ("a,b,0\nb,c,0.5\n", LETTERS, "edges"),
        ("0,352.6,0,0\n1,0,2,0\n0,0,0,1\n0,0,0,0\n", LETTERS[:4], "adjacency"),
        (matrix, LETTERS[:3], "adjacency"),
    ):
        remedy = f"which may be either; pass kind='{choice}' or kind='distances' .--graph-kind"
        with pytest.raises(ValueError, match=f"weights or distances, got values (without|called).*{remedy}"):
            read_graph(write(content), names)
    assert edges_of(read_graph(write(matrix), LETTERS[:3], kind="adjacency")) == {(0, 1, 352.6), (1, 0, 1), (1, 2, 2)}
    assert edges_of(read_graph(write("a,b,352.5\nb,c,347\n"), LETTERS, kind="edges")) == {(0, 1, 352.5), (1, 2, 347)}
    assert edges_of(read_graph(write("from,to,weight\na,b,352.5\n"), LETTERS)) == {(0, 1, 352.5)}


def test_read_graph_distances_with_zeros_on_the_diagonal_are_recognized(write, caplog):
    path = write("a,a,0\nb,b,0\na,b,300\nb,a,200\n")
    _, weights = read_graph(path, LETTERS[:2], threshold=0)
    distances = np.array([0, 0, 300, 200])
    assert np.allclose(weights, np.exp(-((distances / distances.std()) ** 2)))
    (note,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert "from 0 to 300 are taken as distances, since nodes have 0 to themselves" in note


def test_read_graph_list_with_several_values_takes_that_of_the_kind(write):
    path = write("id,from,to,weight,distance,lanes\n1,a,b,0.5,3,2\n2,b,c,1,4,2\n")
    assert edges_of(read_graph(path, LETTERS, kind="edges")) == {(0, 1, 0.5), (1, 2, 1)}
    _, weights = read_graph(path, LETTERS, kind="distances", threshold=0)
    assert np.allclose(weights, np.exp(-np.square(np.array([3, 4]) / 0.5)))
    with pytest.raises(ValueError, match=r"one column of weights or distances, got weight, distance in .*; see kind"):
        read_graph(path, LETTERS)
    with pytest.raises(ValueError, match=r"expected a matrix, got a list with the columns id, from, to, .*pass kind="):
        read_graph(path, LETTERS, kind="adjacency")
    assert edges_of(read_graph(write("to,from,lanes,x\nb,a,2,1\n"), LETTERS)) == {(0, 1, 1)}


def test_read_graph_costs_as_edges_are_weights_of_1(write):
    path = write("from,to,cost\na,b,352.6\nb,c,347.2\n")
    assert edges_of(read_graph(path, LETTERS, kind="edges")) == {(0, 1, 1), (1, 2, 1)}


def test_read_graph_repeated_lines_count_once_if_equal(write):
    path = write("from,to,cost\na,b,1\nb,c,2\na,b,1\nc,a,4\n")
    _, weights = read_graph(path, LETTERS, threshold=0)
    distances = np.array([1, 2, 4])  # the matrix of DCRNN's recipe has each pair once
    assert np.allclose(weights, np.exp(-((distances / distances.std()) ** 2)))
    assert edges_of(read_graph(write("a,b\nb,c\na,b\n"), LETTERS)) == {(0, 1, 1), (1, 2, 1)}
    with pytest.raises(ValueError, match=r"that of line 2 again in line 4 of .*, with 3 instead of 1"):
        read_graph(write("from,to,cost\na,b,1\nb,c,2\na,b,3\n"), LETTERS)
