"""HDF5 files of pandas: compression, several types, empty and damaged tables, and files of arrays."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from seqgnn.data import read_signal
from seqgnn.data.io import hdf5_series
from seqgnn.data.io.table_format import TableFormat

h5py = pytest.importorskip("h5py")
TIMES = pd.date_range("2012-03-01", periods=800, freq="5min")
VALUES = np.arange(2400.0).reshape(800, 3) % 7


def frame():
    return pd.DataFrame(VALUES, index=TIMES, columns=["001", "2", "c"])


def write(table, path, **options):
    pytest.importorskip("tables")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.to_hdf(path, **{"key": "df", **options})
    return path


@pytest.mark.parametrize("library", ["zlib", "bzip2", "blosc", "blosc:zstd", "blosc2"])
@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_read_hdf5_compressed_equals_the_table(tmp_path, library, layout):
    pytest.importorskip("hdf5plugin")
    graph = read_signal(write(frame(), tmp_path / "my.h5", complib=library, complevel=9, format=layout))
    assert graph.nodes == ("001", "2", "c") and np.array_equal(graph.signal[..., 0], VALUES)
    assert np.array_equal(graph.timestamps, TIMES)


@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_read_hdf5_columns_of_several_types_keep_their_order(tmp_path, layout):
    table = frame().assign(whole=np.arange(800), f=np.float32(0.5), b=VALUES[:, 0] > 3)[["whole", "2", "b", "f", "001"]]
    options = {"data_columns": ["2"]} if layout == "table" else {}
    graph = read_signal(write(table, tmp_path / "my.h5", format=layout, **options))
    assert graph.nodes == tuple(table.columns) and np.array_equal(graph.signal[..., 0], table.to_numpy(dtype=float))


@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_read_hdf5_numbers_as_names_and_series(tmp_path, layout):
    numbered = frame().set_axis([773869, 767541, 1], axis=1)
    assert read_signal(write(numbered, tmp_path / "my.h5", format=layout)).nodes == ("773869", "767541", "1")
    graph = read_signal(write(frame()["c"], tmp_path / "one.h5", format="fixed"))
    assert graph.nodes == ("c",) and np.array_equal(graph.signal[:, 0, 0], VALUES[:, 2])


def test_read_hdf5_of_text_empty_or_several_tables_names_the_reason(tmp_path):
    text = frame().assign(t=[f"x{i}" for i in range(800)])
    for layout, match in (("fixed", "numbers in every column of .*, got text or pickled objects"),
                          ("table", "numbers in every column of .*, got 'x0' in row 0, column 't'")):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            read_signal(write(text, tmp_path / f"{layout}.h5", format=layout))
    with pytest.raises(ValueError, match=r"got an empty table in .*none\.h5"):
        read_signal(write(frame().iloc[:0], tmp_path / "none.h5"))
    path = write(frame(), tmp_path / "two.h5", key="speed", mode="w")
    write(frame() * 2, path, key="flow/all", mode="a")
    with pytest.raises(ValueError, match=r"one table in .*, got \['flow/all', 'speed'\]; pass key \(--key\)"):
        read_signal(path)
    graph = read_signal(path, table_format=TableFormat(key="flow/all"))
    assert np.array_equal(graph.signal[..., 0], VALUES * 2)
    with pytest.raises(ValueError, match=r"key to be one of \['flow/all', 'speed'\] in .*, got 'no'"):
        read_signal(path, table_format=TableFormat(key="no"))
    with h5py.File(path, "a") as file:
        del file["flow"], file["speed/block0_items"]
    with pytest.raises(ValueError, match="expected a whole table of pandas in "):
        read_signal(path)


def test_read_hdf5_of_arrays_equals_npz(tmp_path):
    with h5py.File(tmp_path / "my.h5", "w") as file:
        file["data"], file["nodes"] = VALUES, ["a", "b", "c"]
        file["timestamps"] = [str(time) for time in TIMES]
    graph = read_signal(tmp_path / "my.h5")
    assert graph.nodes == ("a", "b", "c") and np.array_equal(graph.timestamps, TIMES)
    with h5py.File(tmp_path / "no.h5", "w") as file:
        file.create_group("else")
    with pytest.raises(ValueError, match=r"expected a table of pandas or arrays in .*, got \['else'\]"):
        read_signal(tmp_path / "no.h5")


def test_read_hdf5_without_the_filter_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    hdf5_series._register_filters()  # does nothing
    path = write(frame(), tmp_path / "my.h5", complib="blosc", complevel=9)

    def unreadable(*arguments):
        raise OSError("can't open directory")

    monkeypatch.setattr(hdf5_series, "read_fixed", unreadable)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(ValueError, match=r"my\.h5: it is compressed with blosc, .*pip install hdf5plugin"):
        read_signal(path)


def test_read_hdf5_executes_no_pickled_code(tmp_path):
    path = write(frame(), tmp_path / "my.h5", format="table")
    with h5py.File(path, "a") as file:
        file["df"].attrs["info"] = np.bytes_(b"cos\ngetcwd\n(tR.")
    with pytest.raises(ValueError, match=r"pandas' description of the table in .*, got one that cannot be read"):
        read_signal(path)


def test_read_hdf5_index_of_an_unknown_kind_is_refused(tmp_path):
    with h5py.File(tmp_path / "my.h5", "w") as file:
        group = file.create_group("df")
        group["axis0"] = group["block0_items"] = np.array([b"a", b"b", b"c"])
        group["block0_values"] = VALUES
        group["axis1"] = np.arange(len(VALUES))
        group["axis1"].attrs["kind"] = np.bytes_("period")  # pandas has "integer" and a frequency
    with pytest.raises(ValueError, match=r"as axis1 of .*my\.h5, got the kind 'period'; store it again"):
        read_signal(tmp_path / "my.h5")
