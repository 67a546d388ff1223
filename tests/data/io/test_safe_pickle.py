"""Pickles of names, numbers and arrays, without code."""

import datetime
import os
import pickle
import subprocess
import sys
import warnings
import zoneinfo
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from seqgnn.data import read_graph
from seqgnn.data.io.pickle_stand_ins import Placeholder, SparseArrays
from seqgnn.data.io.safe_pickle import read_attribute, read_plain_pickle


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_read_graph_pickle_with_code_is_rejected_and_not_run(tmp_path):
    path, made = tmp_path / "adj_mx.pkl", tmp_path / "made"
    for bad, asked in (
        (Runs(os.system, f"touch {made}"), f"{os.system.__module__}.system"),
        (Runs(eval, f"open({str(made)!r}, 'w')"), "builtins.eval"),
        (Runs(Path, "x"), r"pathlib.*Path"),
    ):
        path.write_bytes(pickle.dumps([["a"], {}, bad]))
        with pytest.raises(ValueError, match=f"names, got a pickle that requests {asked}, which was not executed"):
            read_graph(path, ["a"])
        assert not made.exists()
    for content in (b"", b"no pickle", pickle.dumps([1, 2])[:-3]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="read_plain_pickle: expected a pickle, got"):
            read_graph(path, ["a"])
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"names, their indices and a matrix in .*, got dict"):
        read_graph(path, ["a"])
    with pytest.raises(ValueError, match=r"none\.pkl: No such file"):
        read_graph(tmp_path / "none.pkl", ["a"])


@pytest.mark.parametrize("protocol", range(6))
def test_read_plain_pickle_of_numbers_and_arrays_is_equal(tmp_path, protocol):
    content = [{"a": 1, "b": 2}, ("é", None, b"\x00\xff", 2.5, True)]
    arrays = [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.float32(1.5)]
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps([*content, *arrays], protocol))
    found = read_plain_pickle(tmp_path / "plain.pkl")
    assert found[:2] == content and found[4] == 1.5
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(found[2:4], arrays))


def test_read_plain_pickle_of_objects_names_what_it_requests(tmp_path):
    (tmp_path / "objects.pkl").write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(ValueError, match=r"got a pickle that requests pathlib.*Path, which was not executed"):
        read_plain_pickle(tmp_path / "objects.pkl")


def test_read_plain_pickle_of_sparse_matrices_has_their_arrays(tmp_path):
    matrix = np.array([[1, 0, 2, 0], [0, 0, 0, 0], [0, 3.5, 0, 0], [0, 0, 0, 0]])
    for layout in ("csr", "csc", "coo", "bsr", "dia"):
        for kind in ("matrix", "array"):
            content = getattr(sparse, f"{layout}_{kind}")(matrix)
            for protocol in (0, 2, 5):
                (tmp_path / "m.pkl").write_bytes(pickle.dumps(content, protocol))
                found = read_plain_pickle(tmp_path / "m.pkl")
                assert isinstance(found, SparseArrays) and (found.layout, found.shape) == (layout, (4, 4))
                assert np.array_equal(found.data, content.data)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps([OrderedDict(a=1), defaultdict(list, {2: [3]})], 0))
    assert read_plain_pickle(tmp_path / "m.pkl") == [{"a": 1}, {2: [3]}]


@pytest.mark.parametrize("end", [b"\r\n", b"\r\r\n"])
def test_read_plain_pickle_with_changed_line_ends_is_equal(tmp_path, end):
    content = [["a", "b\r\n"], {"a": 1}, np.array([[1.5, 0.0], [13.0, 10.0]])]
    for protocol in range(4):
        changed = pickle.dumps(content, protocol).replace(b"\n", b"\r\n")
        (tmp_path / "m.pkl").write_bytes(changed if end == b"\r\n" else changed.replace(b"\n", b"\r\n"))
        names, indices, matrix = read_plain_pickle(tmp_path / "m.pkl")
        assert (names, indices) == tuple(content[:2]) and np.array_equal(matrix, content[2])
    two = pickle.dumps(["\r\n", b"\r\n"], 2)
    (tmp_path / "m.pkl").write_bytes(two)
    assert read_plain_pickle(tmp_path / "m.pkl") == pickle.loads(two)


def test_read_plain_pickle_of_python_2_numpy_numbers_is_equal(tmp_path):
    """Bytes that Python 2.7 with numpy 1.16 writes: `pickle.dumps([np.int64(2), np.float64(0.5)], 0)`."""
    content = (
        b"(lp0\ncnumpy.core.multiarray\nscalar\np1\n(cnumpy\ndtype\np2\n(S'i8'\np3\nI0\nI1\ntp4\nRp5\n(I3\nS'<'\np6\n"
        b"NNNI-1\nI-1\nI0\ntp7\nbS'\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\np8\ntp9\nRp10\nag1\n(g2\n(S'f8'\nI0\nI1\n"
        b"tRp11\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbS'\\x00\\x00\\x00\\x00\\x00\\x00\\xe0?'\ntRa."
    )
    path = tmp_path / "py2.pkl"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's deprecated name of its core
        assert pickle.loads(content, encoding="latin1") == [2, 0.5]
    assert read_plain_pickle(path) == [2, 0.5] and isinstance(read_plain_pickle(path)[0], np.int64)


def test_read_attribute_calls_nothing_but_offsets():
    attribute = {"zone": datetime.timezone(datetime.timedelta(hours=-8)), "names": ["a", "b"], "path": Path("a")}
    read = read_attribute(pickle.dumps(attribute))
    assert read["zone"] == attribute["zone"] and read["names"] == ["a", "b"]
    assert isinstance(read["path"], Placeholder) and read["path"].arguments == ("a",)
    zone = read_attribute(pickle.dumps(zoneinfo.ZoneInfo("America/Los_Angeles"), protocol=0))
    assert isinstance(zone, Placeholder) and zone.arguments[0] == "America/Los_Angeles"
    assert read_attribute(b"America/Los_Angeles") == "America/Los_Angeles" and read_attribute(np.int64(3)) == 3


def forged_array(shape, dtype, content):
    """Return an object whose pickle is that of an array with these parts, which need not fit."""

    class Forged:
        def __reduce__(self):
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, shape, dtype, False, content)

    return Forged()


FORGED = {
    "too few bytes": (forged_array((3, 3), np.dtype("f8"), bytes(8)), r"an array \[3, 3\] of float64 in 8 bytes"),
    "too many bytes": (forged_array((1, 1), np.dtype("f8"), bytes(16)), r"an array \[1, 1\] of float64 in 16 bytes"),
    "text as shape": (forged_array(("3", 3), np.dtype("f8"), bytes(72)), r"an array of shape \('3', 3\)"),
    "negative shape": (forged_array((-1, -8), np.dtype("u1"), bytes(8)), r"an array of shape \(-1, -8\)"),
    "text as bytes": (forged_array((1, 1), np.dtype("f8"), [1.0]), r"an array \[1, 1\] of float64 in list"),
    "times": (np.zeros((3, 3), "M8[s]"), r"requests numpy.dtype\('M8'\), neither of numbers nor of text"),
    "records": (np.zeros((3, 3), [("a", "f8")]), r"requests numpy.dtype\('V8'\), neither of numbers nor of text"),
    "objects": (np.array([[1, None], [None, 1]], dtype=object), "requests an array of objects"),
    "an array's class": (np.ndarray, "requests ndarray"),
    "a dtype": (np.dtype("f8"), "requests _Dtype"),
}


@pytest.mark.parametrize("name", FORGED)
def test_read_plain_pickle_of_forged_arrays_is_refused(name, tmp_path):
    content, message = FORGED[name]
    path = tmp_path / "adj_mx.pkl"
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps([["a", "b", "c"], {}, content], protocol))
        with pytest.raises(ValueError, match=rf"read_plain_pickle: expected .*adj_mx\.pkl.*{message}"):
            read_graph(path, ["a", "b", "c"])


def test_read_plain_pickle_ignores_states_but_the_order_of_bytes(tmp_path):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(np.arange(3, dtype=">i4"), 2))
    assert read_plain_pickle(path).tolist() == [0, 1, 2]

    class Forged:
        def __reduce__(self):
            return sparse.csr_matrix, (), {"layout": "other", "_shape": (1, 1), "data": [1.0], "more": 1}

    path.write_bytes(pickle.dumps(Forged(), 2))
    found = read_plain_pickle(path)
    assert found.layout == "csr" and set(vars(found)) == {"_shape", "data"}


def test_read_plain_pickle_of_names_as_objects_is_a_list(tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(np.array(["a", "b"], dtype=object), 2))
    assert read_plain_pickle(tmp_path / "m.pkl") == ["a", "b"]


def test_read_plain_pickle_of_repeated_lists_is_limited(tmp_path):
    row = [0.5] * 100
    (tmp_path / "m.pkl").write_bytes(pickle.dumps([row, row]))
    assert read_plain_pickle(tmp_path / "m.pkl") == [row, row]
    (tmp_path / "m.pkl").write_bytes(pickle.dumps([row] * 1000))
    with pytest.raises(ValueError, match="more objects than its bytes can describe"):
        read_plain_pickle(tmp_path / "m.pkl")


def test_cli_refuses_forged_pickles_with_exit_code_2(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    for i, (content, _) in enumerate(FORGED.values()):
        (tmp_path / f"{i}.pkl").write_bytes(pickle.dumps([["a", "b", "c"], {}, content], 2))
    script = (
        "import pathlib\nfrom seqgnn.cli.main import main\nfor path in sorted(pathlib.Path().glob('*.pkl')):\n"
        " try: main(['data', 'check', 'x.csv', '--graph', str(path)])\n except SystemExit as error: print(error.code)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["2"] * len(FORGED) and len(result.stderr.splitlines()) == len(FORGED)
