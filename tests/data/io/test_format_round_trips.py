"""Random tables, written into the formats of other collections by numpy and pandas, and read back."""

import json

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgnn.data import read_signal

NAMES = st.text("abcXYZ0123456789_-. é", min_size=1, max_size=8).map(str.strip).filter(lambda name: name)
NUMBERS = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))
STEPS = ["4s", "min", "10min", "30min", "h", "D", "7D", "MS", "ME", "QS", "YS"]
WORDS = ["4_seconds", "minutely", "10_minutes", "half_hourly", "hourly", "daily", "weekly", "monthly", "monthly",
         "quarterly", "yearly"]  # fmt: skip


@st.composite
def frames(draw):
    """Draws a frame with a column per sensor, at times of a frequency, and the frequency in words."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    index = draw(st.integers(0, len(STEPS) - 1))
    start = pandas.Timestamp("1999-12-31") + pandas.Timedelta(days=draw(st.integers(0, 800)))
    times = pandas.date_range(start, periods=draw(st.integers(2, 7)), freq=STEPS[index])
    rows = draw(st.lists(st.lists(NUMBERS, min_size=len(names), max_size=len(names)), min_size=len(times),
                         max_size=len(times)))  # fmt: skip
    return pandas.DataFrame(rows, index=times, columns=names), WORDS[index]


def write_tsf(frame, word, path):
    lines = [f"{name}:{frame.index[0]:%Y-%m-%d %H-%M-%S}:" + ",".join("?" if np.isnan(x) else repr(x) for x in values)
             for name, values in frame.items()]  # fmt: skip
    head = f"@attribute series_name string\n@attribute start_timestamp date\n@frequency {word}\n@data\n"
    path = path / "x.tsf"
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def write_libcity(frame, _, path):
    records = frame.melt(ignore_index=False, var_name="entity_id", value_name="speed").reset_index(names="time")
    records = records.sample(frac=1, random_state=0).assign(type="state", dyna_id=range(len(records)))
    records["time"] = records["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    columns = ["dyna_id", "type", "time", "entity_id", "speed"]
    records.to_csv(path / "x.dyna", index=False, columns=columns)
    pandas.DataFrame({"geo_id": list(frame), "type": "Point", "coordinates": "[]"}).to_csv(path / "x.geo", index=False)
    return path


def write_basicts(frame, _, path):
    for part, rows in zip(("train", "val", "test"), (slice(0, 1), slice(1, 2), slice(2, None))):
        np.save(path / f"{part}_data.npy", frame.to_numpy()[rows].astype(np.float32))
    (path / "meta.json").write_text(json.dumps({"shape": list(frame.shape), "domain": "x"}))
    return path


@pytest.mark.parametrize("write", [write_tsf, write_libcity, write_basicts])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=frames())
def test_format_round_trip_keeps_times_names_and_values(tmp_path_factory, write, drawn):
    frame, word = drawn
    graph = read_signal(write(frame, word, tmp_path_factory.mktemp("x")))
    values = graph.signal[..., 0].double().numpy()
    values = values if graph.mask is None else np.where(graph.mask[..., 0].numpy(), values, np.nan)
    np.testing.assert_array_equal(values, frame.to_numpy())
    if write is not write_basicts:  # which keeps neither names nor times
        assert graph.nodes == tuple(frame.columns)
        assert graph.timestamps.astype("datetime64[s]").tolist() == frame.index.to_pydatetime().tolist()
