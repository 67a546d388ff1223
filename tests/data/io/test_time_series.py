import sys

import numpy as np
import pytest

from seqgnn.data import read_signal
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.io import limits
from seqgnn.data.io.table_format import TableFormat
from tests.support.temporal_graphs import SIGNAL_CSV


def test_read_signal_csv_with_graph_returns_temporal_graph(write):
    graph = read_signal(write(SIGNAL_CSV), write("from,to,weight\na,b,0.5\nc,a,2\n", "edges.csv"))
    assert graph.nodes == ("a", "b", "c") and graph.name == "my"
    assert graph.signal[..., 0].tolist() == [[1, 10, 0], [2, 0, 0], [3, 30, 0]]
    assert graph.mask[..., 0].tolist() == [[True] * 3, [True, False, True], [True] * 3]
    assert graph.timestamps.astype(str).tolist() == [f"2012-03-01T00:{m}:00" for m in ("00", "05", "15")]
    assert graph.edge_index.tolist() == [[0, 2], [1, 0]] and graph.edge_weight.tolist() == [0.5, 2]


@pytest.mark.parametrize("content", ["a;b\n1;2\n3;4\n", "\ufeffa\tb\n1\t2\n3\t4\n\n", "a, b\r\n1, 2\r\n3, 4\r\n"])
def test_read_signal_csv_of_any_dialect_returns_values(write, content):
    graph = read_signal(write(content), name="named")
    assert graph.nodes == ("a", "b") and graph.signal[..., 0].tolist() == [[1, 2], [3, 4]]
    assert graph.mask is None and graph.timestamps is None and graph.name == "named"
    assert graph.edge_index.shape == (2, 0) and graph.edge_weight is None


def test_read_signal_missing_value_sets_the_mask(write):
    graph = read_signal(write(SIGNAL_CSV), missing_value=0, sensors=["c", "a"])
    assert graph.nodes == ("c", "a") and graph.mask[..., 0].tolist() == [[False, True]] * 3
    one = read_signal(write("a\n1\n\nNaN\n4\n"))
    assert one.mask.flatten().tolist() == [True, False, False, True]
    marked = read_signal(write("a,b\n-9999,1\n2,-9999\n"), missing_value=-9999)
    assert marked.signal.flatten().tolist() == [0, 1, 2, 0] and marked.mask.flatten().tolist() == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("a,b\n1,2\n3\n", r"expected 2 values, as in the first line, got 1 in line 3 of .*my\.csv"),
        ("a,b\n1,2\n3,4,5\n", "got 3 in line 3"),
        ("a,b\n1,2\n\n3,4\n", "got 0 in line 3"),
        ("a,b\n1,2\n3,soon\n", r"expected a number or an empty cell, got 'soon' in line 3, column 'b' of"),
        ("a,b\n1,inf\n", "got 'inf' in line 2, column 'b'"),
        ("a,b,a\n1,2,3\n", r"expected distinct sensors, got 'a' as number 1 and 3 of"),
        ("a,,c\n1,2,3\n", "expected a name for every sensor, got none for sensor 2"),
        ("a,b\n", "got one line"),
        ("", "got the empty file"),
        ("time,a\n2012-03-02,1\n2012-03-01,2\n", "got 2012-03-01 00:00 after 2012-03-02 00:00 in line 3"),
        ("time,a\n2012-03-01,1\n2012-03-01,2\n", "increasing timestamps, got 2012-03-01 00:00 again in line 3"),
        (
            "time,a\n2012-03-01,1\nsoon,2\n",
            "a timestamp as 2012-03-01 00:05, got 'soon' in line 3, column 'time'",
        ),
        (
            "time,a\n2012-03-01,1\n03/02/2012,2\n",
            "dates whose day and month are certain, got '03/02/2012' in line 3, column 'time'",
        ),
        ("time,a\n1330,1\n", "whose unit is certain, got the number 1330 in line 2, column 'time'"),
        ("time\n2012-03-01\n", "columns besides the timestamps"),
        ("2012-03-01,1,2\n2012-03-02,3,4\n", "column names in line 1 of .*, got a value, '2012-03-01'"),
        ("64.5,1\n61,2\n", "column names in line 1 of .*, got a value, '64.5'"),
        ('a,b\n1,"2\n', "expected a table, got"),
    ],
)
def test_read_signal_invalid_csv_names_the_place(write, content, match):
    with pytest.raises(ValueError, match=f"read_signal: expected .*{match}|read_signal: {match}"):
        read_signal(write(content))


def test_read_signal_invalid_files_raise_value_error(write, tmp_path):
    with pytest.raises(ValueError, match=r"no\.csv: No such file"):
        read_signal(tmp_path / "no.csv")
    with pytest.raises(ValueError, match=r"expected the suffix of .*my\.xls to be one of '\.csv', .*got '\.xls'"):
        read_signal(tmp_path / "my.xls")
    (tmp_path / "my.csv").write_bytes("a,b\n1,é\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"my\.csv to be UTF-8, got byte 0xe9"):
        read_signal(tmp_path / "my.csv")
    with pytest.raises(ValueError, match=r"the requested sensors in .*, got none called 'd', 'e' among 3"):
        read_signal(write(SIGNAL_CSV), sensors=["a", "d", "e"])


def test_read_signal_npz_and_npy_return_values_or_name_mistakes(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 3, 2))
    times = np.datetime64("2012-03-01") + np.arange(6)
    np.savez(tmp_path / "my.npz", data=values, timestamps=times, nodes=np.array(["a", "b", "c"]))
    graph = read_signal(tmp_path / "my.npz")
    assert graph.num_features == 2 and np.allclose(graph.signal, values) and graph.nodes == ("a", "b", "c")
    assert graph.time.words == "every day"
    np.save(tmp_path / "my.npy", values[..., 0])
    assert np.allclose(read_signal(tmp_path / "my.npy").signal[..., 0], values[..., 0])
    np.savez(tmp_path / "two.npz", one=values, other=values)
    np.savez(tmp_path / "text.npz", data=np.array([["a"]]))
    np.savez(tmp_path / "objects.npz", data=np.array([[None]]))
    np.save(tmp_path / "flat.npy", values[:, 0, 0])
    for name, match in (
        ("two.npz", r"called data, signal or x in .*, got \['one', 'other'\]"),
        ("text.npz", "expected an array of numbers in .*, got data of <U1"),
        ("objects.npz", "without pickled objects"),
        ("flat.npy", r"values \[T, N\] or \[T, N, F\], not empty, got \(6,\)"),
        ("none.npz", "No such file"),
    ):
        with pytest.raises(ValueError, match=match):
            read_signal(tmp_path / name)
    values[2, 1, 1] = np.nan  # a feature is missing where the target is not
    np.save(tmp_path / "my.npy", values)
    graph = read_signal(tmp_path / "my.npy")
    assert graph.mask is None and not graph.known[2, 1, 1] and graph.known.sum() == 35 and graph.signal[2, 1, 1] == 0
    values[2, 1, 0] = np.nan
    np.save(tmp_path / "my.npy", values)
    assert read_signal(tmp_path / "my.npy").mask.sum() == 17


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize(
    ("others", "match"),
    [
        ({"timestamps": np.arange(3)}, "4 timestamps in FILE, one per step, got 3"),
        ({"timestamps": np.array([True] * 4)}, "timestamps as datetime64, text or integers, .*step 0 of FILE"),
        ({"timestamps": np.array([b"\xff"] * 4)}, "a timestamp as .* in step 0 of FILE"),
        ({"timestamps": np.array([b"2011-01", b"2012-01", b"2013-01", b"2013-01"])}, "increasing .*again in step 3 of"),
        ({"nodes": np.array([b"a", b"b"])}, "3 names of sensors in FILE, got 2"),
        ({"nodes": np.array([b"a", b"b", b"a"])}, "distinct sensors in FILE, got 'a' more than once"),
        ({"nodes": np.array([1, np.nan, 2])}, "a name for every node, got nan for node 1 of FILE"),
        ({"features": np.array([b"a", b"b"])}, "1 names of features in FILE, got 2"),
    ],
)  # fmt: skip
def test_errors_of_arrays_name_the_file(tmp_path, suffix, others, match):
    path, arrays = tmp_path / f"my.{suffix}", {"data": np.ones((4, 3, 1))} | others
    if suffix == "npz":
        np.savez(path, **arrays)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    with pytest.raises(ValueError, match=f"read_signal: expected {match.replace('FILE', str(path))}"):
        read_signal(path)


def test_times_of_thousands_of_years_are_read_but_not_filled(write):
    lines = [f"{time},1" for time in ("1000-01-01 00:00:00", "1000-01-01 00:00:01", "9000-01-01 00:00:00")]
    path = write("\n".join(["time,a", *lines]))
    assert len(read_signal(path)) == 3
    with pytest.raises(ValueError, match=f"expected at most .* 9000-01-01 00:00 in {path}$"):
        DataSource(str(path), fill_gaps=True).read()


def test_long_tables_with_few_lines_at_many_steps_are_refused(write, monkeypatch):
    path = write("time,sensor,value\n" + "".join(f"2012-03-{day},{day},1\n" for day in range(10, 20)))
    long = TableFormat(layout="long")
    assert read_signal(path, table_format=long).signal.shape == (10, 10, 1)
    monkeypatch.setattr(limits, "UNPACKED", 0)
    monkeypatch.setattr(limits, "RATIO", 9)
    with pytest.raises(
        ValueError, match=f"1 of 9 steps and sensors in {path}, got 10 for 10 steps x 10 sensors; round"
    ):
        read_signal(path, table_format=long)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "arrays",
    [
        {"data": np.full((4, 3, 3), np.nan)},
        {"data": np.full((4, 3, 1), np.nan), "mean": np.array(1.0), "std": np.array(2.0)},
    ],
)
def test_read_signal_arrays_without_any_value_are_missing(tmp_path, arrays):
    np.savez(tmp_path / "PEMS04.npz", **arrays)
    graph = read_signal(tmp_path / "PEMS04.npz")
    assert graph.mask is not None and not graph.mask.any()


def test_read_signal_target_becomes_the_first_feature(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32)
    np.savez(tmp_path / "my.npz", data=values)
    graph = read_signal(tmp_path / "my.npz", target="1")
    assert np.array_equal(graph.signal, values[..., [1, 0, 2]]) and np.array_equal(graph.targets, values[..., 1:2])
    with pytest.raises(ValueError, match=r"expected target to be one of 0, 1, 2 in .*, got 'speed'"):
        read_signal(tmp_path / "my.npz", target="speed")


def test_read_signal_h5_in_pandas_fixed_format_returns_values(tmp_path):
    h5py = pytest.importorskip("h5py")
    times = np.datetime64("2012-03-01", "ns") + np.arange(3) * np.timedelta64(5, "m")

    def write(name, names, unit="ns", kind="datetime64", key="df"):
        with h5py.File(tmp_path / name, "w") as file:
            group = file.create_group(key)
            group["axis0"] = group["block0_items"] = names
            group["axis1"] = times.astype(f"datetime64[{unit}]").astype(np.int64)
            group["axis1"].attrs["kind"] = np.bytes_(kind)
            group["block0_values"] = np.array([[60.0, 0.0], [61.0, 50.0], [62.0, 51.0]])
        return tmp_path / name

    metr = read_signal(write("metr-la.h5", np.array([b"773869", b"767541"])), missing_value=0)
    assert metr.nodes == ("773869", "767541") and metr.timestamps[1] == np.datetime64("2012-03-01T00:05")
    assert metr.signal[..., 0].tolist() == [[60, 0], [61, 50], [62, 51]] and metr.mask.flatten().tolist()[:3] == [
        1,
        0,
        1,
    ]
    bay = read_signal(write("pems-bay.h5", np.array([400001, 400017]), "us", "datetime64[us]", "speed"))
    assert bay.nodes == ("400001", "400017") and np.array_equal(bay.timestamps, metr.timestamps) and bay.mask is None
    by_size = read_signal(write("index.h5", np.array([b"a", b"b"]), kind="integer"))  # nanoseconds since 1970
    assert np.array_equal(by_size.timestamps, metr.timestamps)
    with h5py.File(tmp_path / "metr-la.h5", "a") as file:
        file["df/block1_values"] = np.zeros(3)
        file["df/block1_items"] = np.array([b"more"])
    with pytest.raises(ValueError, match=r"columns of axis0 in the blocks of .*metr-la\.h5, got another one, 'more'"):
        read_signal(tmp_path / "metr-la.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ValueError, match="expected a readable HDF5 file, got"):
        read_signal(tmp_path / "text.h5")
    with h5py.File(tmp_path / "pems-bay.h5", "a") as file:
        del file["speed/axis0"]
        file["speed"].create_dataset("axis0", (1,), h5py.vlen_dtype(np.uint8))
    with pytest.raises(ValueError, match=r"numbers under names in .*, got pickled objects"):
        read_signal(tmp_path / "pems-bay.h5")


def test_read_signal_parquet_returns_values_or_names_mistakes(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "my.parquet"

    def write(**columns):
        parquet.write_table(pa.table(columns), path)
        return path

    times = pa.array(["2012-03-01T00:00", "2012-03-01T00:05"]).cast(pa.timestamp("ms"))
    graph = read_signal(write(a=[1.0, None], b=[3, 4], time=times))
    assert graph.nodes == ("a", "b") and graph.signal.flatten().tolist() == [1, 3, 0, 4]
    assert graph.mask.flatten().tolist() == [True, True, False, True] and graph.time.words == "every 5 minutes"
    zoned = read_signal(write(time=times.cast(pa.timestamp("s", "America/Los_Angeles")), a=[1.0, 2.0]))
    assert zoned.timestamps[0] == np.datetime64("2012-02-29T16:00")
    for columns, match in (
        ({"a": ["x", "y"]}, "numbers in every column of .*, got 'x' in row 0, column 'a'"),
        ({"a": [1.0, 2.0], "s": times, "t": times}, "one column of timestamps in .*, got 's' and 't'; join"),
        ({"t": times}, "columns besides the timestamps"),
        ({"a": [1.0, 2.0], "t": times[::-1]}, "increasing timestamps"),
    ):
        with pytest.raises(ValueError, match=match):
            read_signal(write(**columns))
    path.write_text("no")
    with pytest.raises(ValueError, match="a readable parquet file, got"):
        read_signal(path)


@pytest.mark.parametrize(("suffix", "module"), [("h5", "h5py"), ("parquet", "pyarrow")])
def test_read_signal_without_package_names_it(tmp_path, monkeypatch, suffix, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=f"{module} is required to read .*pip install {module}"):
        read_signal(tmp_path / f"my.{suffix}")
