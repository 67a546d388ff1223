"""Damaged files of every format are refused in one line that names the file."""

import gzip
import io
import pickle

import numpy as np
import pandas
import pytest
from scipy import sparse

from seqgnn.data import read_graph, read_signal
from seqgnn.data.io.array_files import read_arrays

TIMES = pandas.date_range("2012-03-01", periods=6, freq="h", name="time")
FRAME = pandas.DataFrame(np.random.default_rng(0).random((6, 3)), index=TIMES, columns=list("abc"))
MATRIX = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])


def content(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def hdf5(form: str, tmp_path) -> bytes:
    FRAME.to_hdf(tmp_path / "whole.h5", key="signal", format=form)
    return (tmp_path / "whole.h5").read_bytes()


SIGNALS = {
    "csv.gz": lambda _: gzip.compress(FRAME.to_csv().encode(), mtime=0),
    "npz": lambda _: content(lambda file: np.savez_compressed(file, data=FRAME.to_numpy(), nodes=list("abc"))),
    "npy": lambda _: content(lambda file: np.save(file, FRAME.to_numpy())),
    "parquet": lambda _: content(FRAME.to_parquet),
    "fixed.h5": lambda tmp_path: hdf5("fixed", tmp_path),
    "table.h5": lambda tmp_path: hdf5("table", tmp_path),
}
GRAPHS = {
    "npz": content(lambda file: np.savez(file, edge_index=[[0, 1], [1, 2]], edge_weight=[1.0, 2.0])),
    "sparse.npz": content(lambda file: sparse.save_npz(file, sparse.csr_matrix(MATRIX))),
    "npy": content(lambda file: np.save(file, MATRIX)),
    "pkl": pickle.dumps((list("abc"), {}, MATRIX)),
}


def damaged(whole: bytes, seed: int) -> bytes:
    """Return a file that is cut off, or has a few changed, missing or additional bytes."""
    generator = np.random.default_rng(seed)
    place = int(generator.integers(len(whole)))
    middle = generator.integers(0, 256, int(generator.integers(1, 9)), dtype=np.uint8).tobytes()
    start, end = whole[:place], whole[place + len(middle) :]
    return [start, start + middle + end, start + middle + whole[place:], start + end][seed % 4]


@pytest.mark.parametrize("name", SIGNALS)
def test_damaged_time_series_are_read_or_refused_in_one_line(name, tmp_path):
    whole, path = SIGNALS[name](tmp_path), tmp_path / name
    for seed in range(40):
        path.write_bytes(damaged(whole, seed))
        try:
            read_signal(path)
        except ValueError as error:
            assert str(error).startswith(("read_signal: ", "TemporalGraph: ")) and "\n" not in str(error)


@pytest.mark.parametrize("name", GRAPHS)
def test_damaged_graphs_are_read_or_refused_in_one_line(name, tmp_path):
    path = tmp_path / name
    for seed in range(40):
        path.write_bytes(damaged(GRAPHS[name], seed))
        try:
            read_graph(path, ["a", "b", "c"])
        except ValueError as error:
            assert str(error).startswith(("read_graph: ", "read_plain_pickle: ")) and "\n" not in str(error)


def test_read_arrays_names_the_file(tmp_path):
    np.savez(tmp_path / "a.npz", x=MATRIX)
    np.save(tmp_path / "a.npy", MATRIX)
    assert np.array_equal(read_arrays("test", tmp_path / "a.npz")["x"], MATRIX)
    assert np.array_equal(read_arrays("test", tmp_path / "a.npy")["data"], MATRIX)
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"test: expected arrays, without pickled objects, got .*b\.npz \(File is not"):
        read_arrays("test", tmp_path / "b.npz")
