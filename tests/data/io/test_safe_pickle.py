"""Pickles of names, numbers and arrays, without code."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from seqgnn.data import read_graph
from seqgnn.data.io.safe_pickle import read_plain_pickle


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
