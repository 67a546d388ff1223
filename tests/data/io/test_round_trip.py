"""A random frame, written by pandas or numpy in every format, is read with the same times, names and values."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas
import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgnn.data import TemporalGraph, read_signal

FREQUENCIES = ("5min", "h", "D", "B", "MS", "ME", "QS", "1500ms", "100ms")
FORMATS = ("a.csv", "a.csv.gz", "a.parquet", "a.npz", "fixed.h5", "table.h5", "pandas", "polars")
ZONES = (None, "America/Los_Angeles", "UTC", "Asia/Kolkata")
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True).map("s_{}".format),
    st.integers(0, 999).map("{:03d}".format),
    st.sampled_from(["Straße 1", "a b", "402214", "x,y", 'a "b"']),
)
VALUES = st.one_of(
    st.floats(-1e6, 1e6, width=32).map(float), st.just(float("nan")), st.integers(-1000, 1000).map(float)
)


@st.composite
def frames(draw) -> pandas.DataFrame:
    """Return a frame of at least two steps and two sensors, of which the first value is observed."""
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    steps = draw(st.integers(2, 12))
    start = draw(st.datetimes(pandas.Timestamp("1990-01-01"), pandas.Timestamp("2030-01-01"))).replace(microsecond=0)
    zone = draw(st.sampled_from(ZONES))
    frequency = draw(st.sampled_from(FREQUENCIES))
    index = pandas.date_range(start, periods=steps, freq=frequency, name="time")
    if zone is not None:
        index = index.tz_localize("UTC").tz_convert(zone)
    values = draw(st.lists(VALUES, min_size=steps * len(names), max_size=steps * len(names)))
    values[0] = 1.5
    return pandas.DataFrame(np.array(values).reshape(steps, -1), index=index, columns=names)


def write(frame: pandas.DataFrame, path: Path) -> Path:
    if path.name.endswith(".csv"):
        frame.to_csv(path)
    elif path.name.endswith(".csv.gz"):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            frame.to_csv(file)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".npz":
        times = np.array([time.isoformat() for time in frame.index])
        np.savez(path, data=frame.to_numpy(), timestamps=times, nodes=np.array(frame.columns.tolist()))
    else:
        frame.to_hdf(path, key="signal", format=path.stem)
    return path


@pytest.mark.filterwarnings("ignore::tables.NaturalNameWarning")
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_frames_are_read_back_from_every_format(name, frame, tmp_path):
    if name == "pandas":
        graph = TemporalGraph(frame, np.empty((2, 0), dtype=np.int64))
    elif name == "polars":
        graph = TemporalGraph(polars.from_pandas(frame.reset_index()), np.empty((2, 0), dtype=np.int64))
    else:
        graph = read_signal(write(frame, tmp_path / name))
    observed = frame.notna().to_numpy()
    assert graph.nodes == tuple(frame.columns)
    assert np.array_equal(graph.signal[..., 0].double().numpy(), frame.fillna(0.0).to_numpy())
    assert np.array_equal(observed, np.ones_like(observed) if graph.mask is None else graph.mask[..., 0].numpy())
    clock = np.asarray(frame.index.tz_localize(None)).astype("datetime64[ms]")
    assert np.array_equal(graph.timestamps.astype("datetime64[ms]"), clock)
    if frame.index.tz is not None:
        instants = np.asarray(frame.index.tz_convert("UTC").tz_localize(None)).astype("datetime64[ms]")
        assert np.array_equal(graph.time.times.instants.astype("datetime64[ms]"), instants)


PICKLED_ZONES = {  # what pandas 2 wrote: zones of pytz, which is neither needed nor imported
    "America/Los_Angeles": b"cpytz\n_p\n(VAmerica/Los_Angeles\nI-28380\nI0\nVLMT\ntR",
    "UTC": b"cpytz\n_UTC\n(tR",
    "UTC-08:00": b"cpytz\n_FixedOffset\n(I-480\ntR",
}


@pytest.mark.parametrize("zone", PICKLED_ZONES)
def test_tables_of_pandas_2_are_read_with_their_zone(zone, tmp_path):
    index = pandas.date_range("2012-03-01 16:00", periods=3, freq="h", name="time")
    frame = pandas.DataFrame({"a": [0.0, 1.0, 2.0]}, index=index)
    frame.to_hdf(tmp_path / "a.h5", key="signal", format="table")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        info = b"(dp0\nVindex\n(dp1\nVtz\n" + PICKLED_ZONES[zone] + b"sVindex_name\nVtime\nss."
        file["signal"].attrs["info"] = np.bytes_(info)
    graph = read_signal(tmp_path / "a.h5")
    clock = index.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    assert np.array_equal(graph.timestamps, np.asarray(clock).astype("datetime64[s]"))
    assert np.array_equal(graph.time.times.instants, np.asarray(index).astype("datetime64[s]"))
