"""The table of readers: suffixes, and options that do not apply."""

from pathlib import Path

import pytest

from seqgnn.data import read_signal
from seqgnn.data.io.readers import READERS, find_reader
from seqgnn.data.io.table_format import TableFormat


def test_find_reader_ignores_case_and_names_known_suffixes(monkeypatch):
    assert find_reader(Path("my.CSV")) is READERS[".csv"]
    monkeypatch.setitem(READERS, ".csv.zip", READERS[".npz"])
    assert find_reader(Path("a.b.csv.zip")) is READERS[".npz"]
    with pytest.raises(ValueError, match=r"expected the suffix of the file to be one of '\.csv', .*got '\.cvs'"):
        find_reader(Path("my.cvs"))


def test_reader_refuses_options_that_do_not_apply():
    with pytest.raises(
        ValueError, match=r"read_signal: decimal does not apply to \.npy files; remove it \(got my\.npy"
    ):
        read_signal("my.npy", table_format=TableFormat(decimal=","))
