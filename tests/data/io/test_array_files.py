"""Damaged files of every format are refused in one line that names the file."""

import gzip
import io
import pickle
import zipfile

import h5py
import numpy as np
import pandas
import pyarrow.parquet
import pytest
from scipy import sparse

from seqgnn.data import read_graph, read_signal
from seqgnn.data.io import hdf5_child, hdf5_series, limits
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


def npy(shape: str, content: bytes) -> bytes:
    """Return the content of an npy file whose header may not fit its bytes."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize("shape", ["(2, 3)", "(2, 1)", "(-1, -2)", "(1000000, 1000000)", "(2, 0)"])
def test_read_arrays_compares_sizes_with_bytes(shape, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy("(1, 2)", bytes(16)))
    assert read_arrays("test", path)["data"].shape == (1, 2)
    path.write_bytes(npy(shape, bytes(24)))
    with pytest.raises(ValueError, match=r"got .*a\.npy \(an array \[.*\] of float64 in 24 bytes\)"):
        read_arrays("test", path)


def test_read_arrays_refuses_other_content(tmp_path):
    path = tmp_path / "a.npz"
    for array, reason in (
        (np.array([{}], dtype=object), "of object, which are pickled"),
        (np.zeros(2, [("a", "f8")]), r"version|an array of \[\('a', '<f8'\)\]"),
    ):
        np.savez(path, x=array)
        with pytest.raises(ValueError, match=reason):
            read_arrays("test", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy("(1,)", bytes(8)) + b"more")
    with pytest.raises(ValueError, match=r"an array \[1\] of float64 in 12 bytes"):
        read_arrays("test", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.txt", "text")
    with pytest.raises(ValueError, match=r"a\.npz \(.*magic"):
        read_arrays("test", path)


def test_read_arrays_verifies_checksums(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(6.0))
    content = bytearray(path.read_bytes())
    content[content.index(np.arange(6.0).tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_arrays("test", path)


def test_read_arrays_keeps_order_and_types(tmp_path):
    arrays = {"f": np.asfortranarray(MATRIX), "s": np.array(5.0), "t": TIMES.to_numpy(), "n": np.array(["a", "bc"]),
              "e": np.empty((0, 3)), "b": np.array([True])}  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_arrays("test", tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[name], array) and found[name].dtype == array.dtype
                   for name, array in arrays.items())  # fmt: skip


@pytest.mark.parametrize("suffix", ["parquet", "h5"])
def test_files_with_checksums_of_values_are_refused_if_these_differ(tmp_path, suffix):
    path, values = tmp_path / f"my.{suffix}", np.arange(100.0)
    if suffix == "parquet":
        table = pyarrow.table({"a": values})
        pyarrow.parquet.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=values[:, None], fletcher32=True, chunks=(100, 1))
    assert read_signal(path).signal[:, 0, 0].tolist() == values.tolist()
    content = path.read_bytes()
    path.write_bytes(content.replace(np.float64(50).tobytes(), np.float64(51).tobytes()))
    with pytest.raises(ValueError, match=f"read_signal: expected .*{path}"):
        read_signal(path)


@pytest.mark.parametrize("name", ["csv.gz", "npz", "parquet", "fixed.h5"])
def test_content_that_unpacks_to_too_much_is_refused(name, tmp_path, monkeypatch):
    whole, path = SIGNALS[name](tmp_path), tmp_path / f"my.{name}"
    path.write_bytes(whole)
    assert read_signal(path).num_nodes == 3
    monkeypatch.setattr(limits, "UNPACKED", 20)
    monkeypatch.setattr(limits, "RATIO", 0)
    with pytest.raises(ValueError, match=r"read_signal: expected .*(at most 20 bytes|values take at least)"):
        read_signal(path)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os; os._exit(9)", r"ended the process that read it \(exit code 9\)"),
        ("import time; time.sleep(60)", "was not read in 0 s"),
        ("print('the reason')", r"\(the reason\)"),
    ],
)
def test_hdf5_file_that_ends_its_reader_is_refused(script, reason, tmp_path, monkeypatch):
    FRAME.to_hdf(tmp_path / "my.h5", key="signal")
    (tmp_path / "child.py").write_text(script)
    monkeypatch.setattr(hdf5_child, "__file__", str(tmp_path / "child.py"))
    monkeypatch.setattr(hdf5_series, "SECONDS", 0.4 if "sleep" in script else 60)
    with pytest.raises(ValueError, match=rf"read_signal: expected .*my\.h5.*{reason}"):
        read_signal(tmp_path / "my.h5")


def test_hdf5_values_in_other_files_are_refused(tmp_path):
    (tmp_path / "other").write_bytes(bytes(48))
    with h5py.File(tmp_path / "my.h5", "w") as file:
        file.create_dataset("data", (3, 2), "f8", external=[(str(tmp_path / "other"), 0, 48)])
    with pytest.raises(ValueError, match=r"my\.h5 \(the values of data are in other files\)"):
        read_signal(tmp_path / "my.h5")


@pytest.mark.parametrize("name", ["nodes", "timestamps", "features"])
def test_names_and_times_of_npz_are_lists(name, tmp_path):
    for array in (np.array("ab"), np.array(2), np.array([["a", "b"]])):
        np.savez(tmp_path / "my.npz", data=np.ones((3, 2)), **{name: array})
        with pytest.raises(ValueError, match=rf"read_signal: expected {name} as a list in .*my\.npz, got the shape"):
            read_signal(tmp_path / "my.npz")


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr"])
def test_sparse_npz_with_indices_out_of_range_is_refused(layout, tmp_path):
    path = tmp_path / "m.npz"
    sparse.save_npz(path, getattr(sparse, f"{layout}_matrix")(MATRIX))
    arrays = dict(np.load(path))
    name = "row" if layout == "coo" else "indices"
    assert read_graph(path, ["a", "b", "c"])[0].shape == (2, 5)
    for change in (lambda x: x - 1, lambda x: x + 3, lambda x: x + 0.5, lambda x: x.astype(str)):
        np.savez(path, **(arrays | {name: change(arrays[name])}))
        with pytest.raises(ValueError, match=rf"read_graph: .*m\.npz.*a damaged {layout} matrix"):
            read_graph(path, ["a", "b", "c"])
    np.savez(path, **{key: value for key, value in arrays.items() if key != name})
    with pytest.raises(ValueError, match=f"a damaged {layout} matrix .no '{name}'"):
        read_graph(path, ["a", "b", "c"])
