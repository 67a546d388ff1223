"""Tables of every format: what is time, an index, an id or a sensor, checked against pandas and pyarrow."""

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from seqgnn.data import TemporalGraph, read_signal
from seqgnn.data.io.table_format import TableFormat

NAMES = ["a", "b", "c"]
VALUES = np.arange(12.0).reshape(4, 3)
EVERY_5_MINUTES = pd.date_range("2012-03-01", periods=4, freq="5min")
ZONED = pd.date_range("2012-03-01 08:00", periods=4, freq="h", tz="America/Los_Angeles")
BACK = pd.date_range("2012-11-04", periods=4, freq="h", tz="America/Los_Angeles")
INDICES = {
    "naive": EVERY_5_MINUTES,
    "milliseconds": EVERY_5_MINUTES.as_unit("ms"),
    "nanoseconds": EVERY_5_MINUTES.as_unit("ns"),
    "zone": ZONED,
    "clocks set back": BACK,
    "offset": pd.date_range("2012-03-01 08:00", periods=4, freq="h", tz="-08:00"),
    "months": pd.period_range("2012-03", periods=4, freq="M"),
    "quarters": pd.period_range("2012Q1", periods=4, freq="Q-FEB"),
    "text": pd.Index([str(time) for time in EVERY_5_MINUTES]),
    "dates": pd.Index([datetime.date(2012, 3, day) for day in range(1, 5)]),
    "epoch": pd.Index(EVERY_5_MINUTES.as_unit("us").astype("int64")),
}
EXPECTED = {
    **dict.fromkeys(("milliseconds", "nanoseconds", "text", "epoch"), EVERY_5_MINUTES),
    "months": INDICES["months"].to_timestamp(),
    "quarters": INDICES["quarters"].to_timestamp(),
    "dates": pd.DatetimeIndex(INDICES["dates"]),
}


def frame_of(index=None, names=NAMES, values=VALUES):
    return pd.DataFrame(values, index=index, columns=names)


def write(frame, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        elif path.suffix == ".csv":
            frame.to_csv(path)
        else:
            frame.to_hdf(path, key="df", format=path.stem)
    return path


def assert_reads(graph, times, names=NAMES, values=VALUES):
    assert graph.nodes == tuple(names) and np.array_equal(graph.signal[..., 0], values)
    if times is None:
        assert graph.timestamps is None
        return
    times = pd.DatetimeIndex(times)
    assert np.array_equal(graph.timestamps, np.asarray(times.tz_localize(None)))
    if times.tz is not None:
        assert np.array_equal(graph.time.times.instants, np.asarray(times.tz_convert("UTC").tz_localize(None)))


@pytest.mark.parametrize("name", ["my.csv", "my.parquet", "fixed.h5", "table.h5"])
@pytest.mark.parametrize("kind", INDICES)
def test_read_signal_index_of_pandas_is_time_in_every_format(tmp_path, name, kind):
    for module in ("tables",) if name.endswith("h5") else ():
        pytest.importorskip(module)
    index = INDICES[kind]
    if (name, kind) in (("table.h5", "dates"), ("my.csv", "quarters")):
        pytest.skip("pandas does not write it, or without the month in which the year begins")
    graph = read_signal(write(frame_of(index), tmp_path / name))
    assert_reads(graph, EXPECTED.get(kind, index))


@pytest.mark.parametrize("kind", INDICES)
def test_temporal_graph_of_a_frame_reads_its_index(kind):
    graph = TemporalGraph(frame_of(INDICES[kind]), torch.tensor([[0], [1]]))
    assert_reads(graph, EXPECTED.get(kind, INDICES[kind]))


@pytest.mark.parametrize("name", ["my.csv", "my.parquet", "fixed.h5", "table.h5"])
@pytest.mark.parametrize("index", [None, pd.Index([0, 2, 3, 5]), pd.Index([0, 2, 3, 5], name="index")])
def test_read_signal_index_of_counts_is_no_sensor(tmp_path, name, index):
    assert_reads(read_signal(write(frame_of(index), tmp_path / name)), None)


def test_read_signal_named_index_of_counts_is_no_sensor(tmp_path):
    index = pd.Index([0, 2, 3, 5], name="level")
    for name in ("my.parquet", "fixed.h5", "table.h5"):
        assert_reads(read_signal(write(frame_of(index), tmp_path / name)), None)
    with pytest.raises(ValueError, match="got durations as its index; store dates, or pass time_column"):
        TemporalGraph(frame_of(pd.timedelta_range("0s", periods=4, freq="5min")), torch.tensor([[0], [1]]))
    write(frame_of(pd.timedelta_range("0s", periods=4, freq="5min")), tmp_path / "fixed.h5")
    with pytest.raises(ValueError, match=r"got durations as its index; .* pass time_column \(--time-column\) 'none'"):
        read_signal(tmp_path / "fixed.h5")
    assert_reads(read_signal(tmp_path / "fixed.h5", table_format=TableFormat(time_column="none")), None)


@pytest.mark.parametrize(
    ("heading", "cells", "first"),
    [
        ("ts", [1330560000, 1330560300], "2012-03-01"),
        ("unix", [1330560000000, 1330560300000], "2012-03-01"),
        ("day", [20120301, 20120302], "2012-03-01"),
        ("date", [20120301, 20120302], "2012-03-01"),
        ("year", [2001, 2002], "2001-01-01"),
        ("index", ["2012-03-01", "2012-03-02"], "2012-03-01"),
        ("Unnamed: 0", ["2012-03-01 00:00", "2012-03-01 01:00"], "2012-03-01"),
        ("when", ["2012-03-01T00:00:00Z", "2012-03-01T01:00:00Z"], "2012-03-01"),
        ("index", [0, 1], None),
        ("Unnamed: 0", [0, 1], None),
        ("", [7, 9], None),
        ("step", [5, 6], None),
    ],
)
def test_read_signal_column_of_times_or_counts_is_no_sensor(tmp_path, heading, cells, first):
    table = pd.DataFrame({heading: cells, "a": [1.0, 3.0], "b": [2.0, 4.0]})
    table.to_csv(tmp_path / "my.csv", index=False)
    table.to_parquet(tmp_path / "my.parquet", index=False)
    for graph in (read_signal(tmp_path / "my.csv"), read_signal(tmp_path / "my.parquet"), read_signal(table)):
        assert graph.nodes == ("a", "b") and graph.signal.flatten().tolist() == [1, 2, 3, 4]
        assert (None if graph.timestamps is None else graph.timestamps[0]) == (first and np.datetime64(first))


@pytest.mark.parametrize(
    ("heading", "cells", "match"),
    [
        ("hour", [0, 1], r"got a column 'hour' with 0, 1, ...; pass time_column"),
        ("month", [1, 2], "got a column 'month'"),
        ("week", [7, 3], r"or the sensors to read \(--sensors\)"),
        ("t", [0, 1], "got a column 't' with 0, 1"),
        ("timestamp", [0, 1], "whose unit is certain, got the number 0"),
        ("unique_id", [1, 1], r"column 'unique_id' seems to name sensors; pass layout='long' \(--layout long\)"),
        ("name", ["x", "x"], "column 'name' seems to name sensors"),
    ],
)
def test_read_signal_unclear_column_is_refused_with_a_remedy(tmp_path, heading, cells, match):
    table = pd.DataFrame({heading: cells, "a": [1.0, 3.0], "b": [2.0, 4.0]})
    table.to_csv(tmp_path / "my.csv", index=False)
    table.to_parquet(tmp_path / "my.parquet", index=False)
    for source in (tmp_path / "my.csv", tmp_path / "my.parquet", table):
        with pytest.raises(ValueError, match=match):
            read_signal(source)
    if heading in ("hour", "month", "week"):
        graph = read_signal(tmp_path / "my.csv", sensors=["b", heading])
        assert graph.nodes == ("b", heading) and graph.signal[:, 1, 0].tolist() == cells
        assert read_signal(tmp_path / "my.csv", sensors=["b"]).nodes == ("b",)


def long_frame():
    rows = [("2012-03-02", "002", 4.0, 7), ("2012-03-01", "001", 1.0, 5), ("2012-03-02", "001", 3.0, 6)]
    return pd.DataFrame(rows, columns=["ds", "unique_id", "y", "count"])


@pytest.mark.parametrize("name", ["my.csv", "my.parquet"])
def test_read_signal_long_table_equals_a_pivot_of_pandas(tmp_path, name):
    table = long_frame()
    path = tmp_path / name
    table.to_csv(path, index=False) if name == "my.csv" else table.to_parquet(path, index=False)
    for form in (TableFormat(layout="long"), TableFormat(sensor_column="unique_id"),
                 TableFormat(layout="long", time_column="ds", value_columns=("count", "y"))):  # fmt: skip
        graph = read_signal(path, table_format=form)
        features = form.value_columns or ("y", "count")
        assert graph.features == features and graph.nodes == ("002", "001")
        for i, feature in enumerate(features):
            expected = table.pivot(index="ds", columns="unique_id", values=feature)[["002", "001"]]
            assert np.array_equal(graph.signal[..., i], expected.fillna(0))
        assert graph.timestamps.astype("datetime64[D]").astype(str).tolist() == ["2012-03-01", "2012-03-02"]
        assert graph.mask[..., 0].tolist() == [[False, True], [True, True]]
        assert not graph.known[0, 0, 1] and graph.known.sum() == 7
    with pytest.raises(ValueError, match="column 'unique_id' seems to name sensors"):
        read_signal(path)


def test_read_signal_long_table_of_a_frame_with_two_levels(tmp_path):
    table = long_frame().set_index(["ds", "unique_id"])[["y"]]
    graph = read_signal(table, table_format=TableFormat(layout="long"))
    assert graph.nodes == ("002", "001") and graph.signal.flatten().tolist() == [0, 1, 4, 3]
    with pytest.raises(ValueError, match="seems to name sensors; pass layout='long'"):
        read_signal(table)


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ("ds,id,y\n2012-03-01,a,1\n2012-03-01,a,2\n", {}, "per step and sensor, got those of line 2 again in line 3"),
        ("ds,id,y\n2012-03-01,a,x\n", {}, "expected numbers in every column of .*, got 'x' in line 2, column 'y'"),
        ("ds,x,y\n2012-03-01,1,1\n", {}, r"one column with names of sensors .*pass sensor_column \(--sensor-column\)"),
        ("a,id,y\n1,a,1\n", {}, r"expected a column of times in .*pass time_column \(--time-column\)"),
        ("ds,id,y\n2012-03-01,a,1\n", {"sensor_column": "no"}, "sensor_column to be one of 'id', 'y' in .*, got 'no'"),
        ("ds,id,y\n2012-03-01,a,1\n", {"value_columns": ("no",)}, "value_columns among 'y' in .*, got 'no'"),
        ("ds,id,y\n2012-03-01,a,1\n", {"time_column": "no"}, "time_column to be one of 'ds', 'id', 'y' or 'none'"),
        ("ds,id,y\nsoon,a,1\n", {}, "expected a timestamp .*, got 'soon' in line 2 of"),
        ("ds,id\n2012-03-01,a\n", {}, "expected a column of values"),
    ],
)  # fmt: skip
def test_read_signal_invalid_long_table_names_the_place(tmp_path, content, options, match):
    (tmp_path / "my.csv").write_text(content)
    with pytest.raises(ValueError, match=f"read_signal: .*{match}"):
        read_signal(tmp_path / "my.csv", table_format=TableFormat(layout="long", **options))


@pytest.mark.parametrize("name", ["my.csv", "my.parquet", "fixed.h5", "table.h5"])
@pytest.mark.parametrize("feature_first", [True, False])
def test_read_signal_columns_with_two_names_are_features_of_sensors(tmp_path, name, feature_first):
    pairs = pd.MultiIndex.from_product([["speed", "flow"], ["001", "002"]])
    table = pd.DataFrame(np.arange(16.0).reshape(4, 4), index=EVERY_5_MINUTES, columns=pairs)
    table = table if feature_first else table.swaplevel(axis=1)
    path = write(table, tmp_path / name)
    options = {"header_rows": 2} if name == "my.csv" else {}
    with pytest.raises(ValueError, match=r"which names in the header of .* are features, .*pass value_columns"):
        read_signal(path, table_format=TableFormat(**options))
    graph = read_signal(path, table_format=TableFormat(value_columns=("flow", "speed"), **options))
    assert graph.features == ("flow", "speed") and graph.nodes == ("001", "002")
    level = 0 if feature_first else 1
    for i, feature in enumerate(graph.features):
        assert np.array_equal(graph.signal[..., i], table.xs(feature, axis=1, level=level)[["001", "002"]])
    assert np.array_equal(graph.timestamps, EVERY_5_MINUTES)
    named = table.set_axis(pairs.set_names(["feature", "sensor"]), axis=1) if feature_first else table
    if feature_first:
        graph = read_signal(write(named.rename_axis("time"), tmp_path / name), table_format=TableFormat(**options))
        assert graph.features == ("speed", "flow") and np.array_equal(graph.timestamps, EVERY_5_MINUTES)
    if name == "my.csv":
        with pytest.raises(ValueError, match=r"got also line 2, .*pass header_rows=2 \(--header-rows 2\)"):
            read_signal(path)


@pytest.mark.parametrize("zone", [None, "America/Los_Angeles"])
def test_frames_of_polars_pandas_and_pyarrow_read_alike(zone):
    index = EVERY_5_MINUTES.tz_localize(zone)
    table = frame_of(index).rename_axis("time").reset_index()
    table.loc[1, "b"] = np.nan
    polars = pl.from_pandas(table)
    expected = table[NAMES].fillna(0).to_numpy()
    edges = np.array([[0, 1], [1, 2]])
    for frame in (table, polars, polars.to_arrow()):
        for graph in (TemporalGraph(frame, edges), read_signal(frame)):
            assert_reads(graph, index, values=expected)
            assert graph.mask[..., 0].tolist() == table[NAMES].notna().to_numpy().tolist()
    with pytest.raises(ValueError, match=r"signal \(DataFrame\), got 'x' in row 0, column 'a'"):
        TemporalGraph(pl.DataFrame({"a": ["x", "y"], "b": [1, 2]}), edges)


def test_temporal_graph_of_arrays_equals_that_of_tensors():
    values, edges, mask = VALUES[..., None], np.array([[0, 1], [1, 2]]), np.ones((4, 3), dtype=bool)
    mask[1, 2] = False
    options = {"mask": mask, "targets": VALUES * 2, "positions": VALUES[:3, :2]}
    options["nodes"] = np.array([b"001", b"2", b"3"])
    graph = TemporalGraph(values, edges, np.array([1.0, 0.5]), features=["speed"], **options)
    assert graph.signal.dtype == torch.float32 and graph.signal[..., 0].tolist() == VALUES.tolist()
    assert graph.nodes == ("001", "2", "3") and graph.features == ("speed",) and graph.edge_weight.tolist() == [1, 0.5]
    assert graph.targets[..., 0].tolist() == (VALUES * 2).tolist() and graph.mask.sum() == 11
    flat = TemporalGraph(torch.from_numpy(VALUES), torch.from_numpy(edges))
    assert flat.signal.shape == (4, 3, 1) and flat.signal.dtype == torch.float64
    with pytest.raises(ValueError, match="expected 1 names of features, got 2"):
        TemporalGraph(values, edges, features=["speed", "flow"])
    with pytest.raises(ValueError, match="a name for every node, got None for node 1"):
        TemporalGraph(values, edges, nodes=["a", None, "c"])


def test_read_signal_decimal_commas_are_refused_with_the_option(tmp_path):
    table = pd.DataFrame({"Datum": ["25.03.2023 00:00", "25.03.2023 00:15"], "Z1": [0.5, 0.75], "Z2": [1.5, 1.5]})
    table.to_csv(tmp_path / "meters.csv", sep=";", decimal=",", index=False)
    with pytest.raises(ValueError, match=r"got '0,5' in line 2, column 'Z1' of .*; pass decimal=',' \(--decimal ,\)"):
        read_signal(tmp_path / "meters.csv")
    graph = read_signal(tmp_path / "meters.csv", table_format=TableFormat(decimal=","))
    assert np.array_equal(graph.signal[..., 0].numpy(), table[["Z1", "Z2"]].to_numpy())


def test_read_signal_unnamed_column_of_fractions_is_refused(tmp_path):
    pd.DataFrame(VALUES, index=np.arange(4) + 0.5, columns=NAMES).to_csv(tmp_path / "my.csv")
    with pytest.raises(ValueError, match=r"got a column '' with 0\.5, 1\.5, 2\.5, \.\.\.; pass time_column"):
        read_signal(tmp_path / "my.csv")
    graph = read_signal(tmp_path / "my.csv", sensors=NAMES)
    assert np.array_equal(graph.signal[..., 0].numpy(), VALUES)


def test_read_signal_target_that_is_a_sensor_is_refused_with_the_option(tmp_path):
    pd.DataFrame(VALUES, index=EVERY_5_MINUTES, columns=NAMES).rename_axis("date").to_csv(tmp_path / "my.csv")
    with pytest.raises(ValueError, match=r"got 'b'; it is a sensor: pass sensors \(--sensors b\) to forecast it alone"):
        read_signal(tmp_path / "my.csv", target="b")


@pytest.mark.parametrize("heading, cells", [("MESS_DATUM", 2021060100), ("unix_ts", 1622505600), ("Zeit", 20210601)])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_read_signal_first_column_like_times_under_another_name_is_refused(tmp_path, heading, cells, suffix):
    steps = np.arange(4) * (3600 if heading == "unix_ts" else 1)
    table, path = pd.DataFrame({heading: cells + steps, "a": VALUES[:, 0]}), tmp_path / f"my.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    with pytest.raises(ValueError, match=rf"got a column '{heading}' with {cells}, .*; pass time_column"):
        read_signal(path)
    graph = read_signal(path, table_format=TableFormat(time_column=heading))
    right = pd.date_range("2021-06-01", periods=4, freq="D" if heading == "Zeit" else "h").to_numpy()
    assert graph.nodes == ("a",) and np.array_equal(graph.timestamps, right.astype("M8[s]"))
    assert read_signal(path, table_format=TableFormat(time_column="none")).nodes == (heading, "a")
    assert read_signal(path, sensors=[heading]).nodes == (heading,)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_read_signal_columns_of_text_are_left_out_where_sensors_are_named(tmp_path, suffix):
    table = pd.DataFrame({"time": EVERY_5_MINUTES, "a": VALUES[:, 0], "flag": list("wxyz"), "c": VALUES[:, 2]})
    path = tmp_path / f"my.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    with pytest.raises(ValueError, match=r"got 'w' in .*, column 'flag' of .*; remove the column, or pass the sensors"):
        read_signal(path)
    with pytest.raises(ValueError, match=r"expected numbers in every column of .*, got 'w'"):
        read_signal(path, sensors=["flag"])
    graph = read_signal(path, sensors=["c", "a"])
    assert np.array_equal(graph.signal[..., 0].numpy(), table[["c", "a"]].to_numpy())
    assert np.array_equal(graph.timestamps, EVERY_5_MINUTES.to_numpy().astype("M8[s]"))
