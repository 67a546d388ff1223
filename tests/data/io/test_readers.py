"""The table of readers: suffixes, and options that do not apply."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from seqgnn.data import load_temporal_graph, read_signal
from seqgnn.data.io.readers import READERS, find_reader, is_time_series
from seqgnn.data.io.table_format import TableFormat


def test_find_reader_ignores_case_and_names_known_suffixes(monkeypatch):
    assert find_reader(Path("my.CSV")) is READERS[".csv"]
    monkeypatch.setitem(READERS, ".csv.zip", READERS[".npz"])
    assert find_reader(Path("a.b.csv.zip")) is READERS[".npz"]
    with pytest.raises(ValueError, match=r"expected the suffix of my\.cvs to be one of '\.csv', .*got '\.cvs'"):
        find_reader(Path("my.cvs"))


def test_tables_of_other_programs_are_refused_with_a_remedy(tmp_path):
    (tmp_path / "meters.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"got '\.xlsx'; convert it to csv or parquet"):
        read_signal(tmp_path / "meters.xlsx")
    assert is_time_series(tmp_path / "meters.xlsx")  # so that `seqgnn data check` does not read it as a text


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_tsv_is_read_as_pandas_reads_it(tmp_path, suffix):
    table = pandas.DataFrame({"time": pandas.date_range("2020", periods=4), "a": [1.5, 2, 3, 4], "b": [5, 6, 7, 8.25]})
    table.to_csv(tmp_path / f"my{suffix}", sep="\t", index=False)
    graph = read_signal(tmp_path / f"my{suffix}")
    assert np.array_equal(graph.signal[..., 0].numpy(), table[["a", "b"]].to_numpy())
    assert np.array_equal(graph.timestamps, table["time"].to_numpy().astype("M8[s]"))


@pytest.mark.parametrize("read", [read_signal, load_temporal_graph])
def test_arrays_and_tables_in_memory_are_read(read):
    values = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    for series in (values, torch.from_numpy(values).requires_grad_()):
        assert np.array_equal(read(series).signal.numpy(), values)
    graph = read(pandas.DataFrame(values[..., 0], columns=["a", "b", "c"]), np.eye(3))
    assert np.array_equal(graph.signal[..., 0].numpy(), values[..., 0]) and graph.nodes == ("a", "b", "c")
    assert graph.edge_index.tolist() == [[0, 1, 2], [0, 1, 2]]
    with pytest.raises(ValueError, match=r"read_signal: expected a path, a table .* or torch, got list"):
        read(values.tolist())


def test_reader_refuses_options_that_do_not_apply():
    with pytest.raises(
        ValueError, match=r"read_signal: decimal does not apply to \.npy files; remove it \(got my\.npy"
    ):
        read_signal("my.npy", table_format=TableFormat(decimal=","))
