import gzip

import numpy as np
import pandas
import pytest

from seqgnn.data import read_signal
from seqgnn.data.io.traffic_arrays import published_times

RNG = np.random.default_rng(0)
STEPS, SENSORS = 30, 4
CHANNELS = np.stack(
    [
        RNG.integers(0, 600, (STEPS, SENSORS)).astype(float),  # vehicles in 5 minutes
        RNG.uniform(0, 0.4, (STEPS, SENSORS)).round(4),  # occupied share of time
        RNG.uniform(20, 75, (STEPS, SENSORS)).round(1),  # miles per hour
    ],
    axis=-1,
)


@pytest.mark.parametrize(("target", "channel"), [(None, 0), ("flow", 0), ("occupancy", 1), ("speed", 2)])
def test_read_npz_pems_channels_have_names(tmp_path, target, channel):
    np.savez_compressed(tmp_path / "PEMS08.npz", data=CHANNELS)
    graph = read_signal(tmp_path / "PEMS08.npz", target=target)
    np.testing.assert_array_equal(graph.targets[..., 0], CHANNELS[..., channel].astype(np.float32))
    assert graph.num_features == 3 and graph.nodes == ("0", "1", "2", "3") and graph.timestamps is None
    with pytest.raises(ValueError, match=r"target to be one of .*flow.*occupancy.*speed.*, got 'velocity'"):
        read_signal(tmp_path / "PEMS08.npz", target="velocity")


@pytest.mark.parametrize(("steps", "sensors", "name", "first", "last"), [
    (16_992, 307, "pems_04", "2018-01-01", "2018-02-28 23:55"),
    (17_856, 170, "PEMSD8", "2016-07-01", "2016-08-31 23:55"),
])  # fmt: skip
def test_read_npz_pems_is_known_by_its_published_size(tmp_path, steps, sensors, name, first, last):
    values = np.zeros((steps, sensors, 3), dtype=np.float32)
    values[..., 2] = 65.5
    np.savez_compressed(tmp_path / f"{name}.npz", data=values)
    graph = read_signal(tmp_path / f"{name}.npz", target="speed")
    assert (graph.targets == 65.5).all()
    expected = pandas.date_range(first, last, freq="5min")
    assert graph.timestamps.astype("datetime64[s]").tolist() == expected.to_pydatetime().tolist()
    (tmp_path / f"{name}.npz").rename(tmp_path / "data.npz")  # without a name, the size tells the channels alone
    graph = read_signal(tmp_path / "data.npz", target="speed")
    assert graph.features == ("speed", "flow", "occupancy") and graph.timestamps is None


@pytest.mark.parametrize(
    ("name", "steps", "sensors", "first", "last"),
    [
        ("PEMS03", 26_208, 358, "2018-09-01", "2018-11-30 23:55"),
        ("METR-LA", 34_272, 207, "2012-03-01", "2012-06-27 23:55"),
        ("PEMS07", 28_224, 883, None, None),
        ("PEMS04", 16_991, 307, None, None),
        ("PEMS08", 16_992, 307, None, None),
        ("PEMS043", 26_208, 358, None, None),
        ("PEMS-BAY", 52_116, 325, None, None),
    ],
)
def test_published_times_need_name_and_size(name, steps, sensors, first, last):
    times = published_times(name, steps, sensors)
    if first is None:
        assert times is None
    else:
        assert times.tolist() == pandas.date_range(first, last, freq="5min").to_pydatetime().tolist()


def test_read_npz_other_arrays_have_no_channel_names(tmp_path):
    np.savez(tmp_path / "mine.npz", data=CHANNELS)
    np.savez(tmp_path / "pems.npz", data=CHANNELS[..., [0, 2, 1]])  # another order: speeds are no occupancy
    for name in ("mine", "pems"):
        with pytest.raises(ValueError, match=r"target to be one of .*0.*1.*2.*, got 'speed'"):
            read_signal(tmp_path / f"{name}.npz", target="speed")
        assert read_signal(tmp_path / f"{name}.npz", target="2").num_features == 3
    np.savez(tmp_path / "PEMS03.npz", data=CHANNELS[..., :1])
    assert read_signal(tmp_path / "PEMS03.npz", target="flow").num_features == 1


@pytest.mark.parametrize("per_node", [False, True])
def test_read_npz_history_of_largest_returns_units(tmp_path, per_node):
    flow, times = CHANNELS[..., 0], np.broadcast_to(np.arange(STEPS)[:, None] / STEPS, (STEPS, SENSORS))
    part = flow[:20]
    mean, std = (part.mean(0), part.std(0)) if per_node else (part.mean(), part.std())
    data = np.stack([(flow - mean) / std, times], axis=-1)
    np.savez_compressed(tmp_path / "his.npz", data=data, mean=mean, std=std)
    graph = read_signal(tmp_path / "his.npz", missing_value=0)
    np.testing.assert_array_equal(graph.signal[..., 0], flow.astype(np.float32))
    np.testing.assert_allclose(graph.signal[..., 1], times, rtol=1e-6)
    assert graph.mask is None or (~graph.mask[..., 0].numpy() == (flow == 0)).all()


def test_read_npz_mean_and_std_of_raw_values_change_nothing(tmp_path):
    flow = CHANNELS[..., :1]
    np.savez(tmp_path / "raw.npz", data=flow, mean=flow.mean(), std=flow.std())
    np.testing.assert_array_equal(read_signal(tmp_path / "raw.npz").signal, flow.astype(np.float32))
    np.savez(tmp_path / "unclear.npz", data=flow, mean=0.1, std=1.2)
    with pytest.raises(ValueError, match=r"either standardized or in their own units in .*, got mean 0\.1 .*save data"):
        read_signal(tmp_path / "unclear.npz")


ETT = """date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT
2016-07-01 00:00:00,5.827000141143799,2.009,1.5989999771118164,0.462,4.203,1.34,30.5310001373291
2016-07-01 01:00:00,5.692999839782715,2.076,1.4919999837875366,0.426,4.142,1.371,27.78700065612793
2016-07-01 02:00:00,5.1570000648498535,1.741,1.279000043869018,0.355,3.777,1.218,27.78700065612793
"""


@pytest.mark.parametrize("name", ["ETTh1.csv", "ETTh1.csv.gz"])
def test_read_csv_of_ett_makes_columns_sensors(write, name):
    content = ETT.encode()
    path = write(gzip.compress(content) if name.endswith(".gz") else content, name)
    graph, frame = read_signal(path), pandas.read_csv(path, index_col="date", parse_dates=True)
    assert graph.nodes == tuple(frame.columns) and graph.nodes[-1] == "OT"
    np.testing.assert_array_equal(graph.signal[..., 0], frame.to_numpy().astype(np.float32))
    assert graph.timestamps.astype("datetime64[s]").tolist() == frame.index.to_pydatetime().tolist()
    assert graph.name == "ETTh1" and graph.num_features == 1
    only = read_signal(path, sensors=["OT"])
    np.testing.assert_array_equal(only.signal[:, 0, 0], frame["OT"].to_numpy().astype(np.float32))
