"""Pickles of names, numbers and arrays, without code."""

import datetime
import os
import pickle
import warnings
import zoneinfo
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from seqgnn.data import read_graph
from seqgnn.data.io.safe_pickle import Placeholder, SparseArrays, read_attribute, read_plain_pickle


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
