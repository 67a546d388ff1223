import json
import os
import pickle

import numpy as np
import pytest

from seqgnn.data import read_signal

T, N = 40, 3
FLOW = np.random.default_rng(0).uniform(10, 400, size=(T, N)).round(2)
FLOW[3, 1] = FLOW[17, 0] = 0  # the mark of missing values
TIME_OF_DAY = np.arange(T) % 288 / 288
DAY_OF_WEEK = (np.arange(T) // 288) % 7 / 7
ADJACENCY = np.array([[1, 0.5, 0], [0, 1, 0.25], [0, 0, 1]], dtype=np.float32)
DCRNN = [["b", "a", "007"], {"b": 0, "a": 1, "007": 2}, ADJACENCY]


def with_times(values):
    """Returns values `[T, N, C]` with BasicTS' features of time, which are equal at all nodes."""
    times = [np.broadcast_to(times[:, None, None], (T, N, 1)) for times in (TIME_OF_DAY, DAY_OF_WEEK)]
    return np.concatenate([values, *times], axis=-1)


def dump(content, path, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def check(graph, *, num_features=3, flow=FLOW):
    assert graph.signal.shape == (T, N, num_features) and graph.timestamps is None
    np.testing.assert_array_equal(graph.signal[..., 0], flow.astype(np.float32))
    if num_features > 1:
        np.testing.assert_allclose(graph.signal[:, 2, 1], TIME_OF_DAY, rtol=1e-6)
        np.testing.assert_allclose(graph.signal[:, 0, 2], DAY_OF_WEEK, rtol=1e-6)


def arrays(folder, values=FLOW, sizes=(24, 8, 8), **changes):
    """Writes the layout of BasicTS 1."""
    folder.mkdir(exist_ok=True)
    times = np.stack([TIME_OF_DAY, DAY_OF_WEEK], axis=-1)
    for part, start, stop in zip(("train", "val", "test"), np.cumsum((0, *sizes)), np.cumsum(sizes)):
        np.save(folder / f"{part}_data.npy", values[start:stop].astype(np.float32))
        np.save(folder / f"{part}_timestamps.npy", times[start:stop].astype(np.float32))
    meta = {
        "name": "PEMS08",
        "domain": "traffic flow",
        "frequency (minutes)": 5,
        "shape": list(values.shape),
        "timestamps_shape": list(times.shape),
        "timestamps_description": ["time of day", "day of week"],
        "num_time_steps": T,
        "num_vars": N,
        "has_graph": True,
        "regular_settings": {"train_val_test_ratio": [0.6, 0.2, 0.2], "null_val": 0.0},
    }
    (folder / "meta.json").write_text(json.dumps(meta | changes, indent=4))
    return folder


def memmap(folder, values, **changes):
    """Writes the layout of BasicTS 0.4, with numpy's memmap as its scripts do."""
    folder.mkdir(exist_ok=True)
    array = np.memmap(folder / "data.dat", dtype="float32", mode="w+", shape=values.shape)
    array[:] = values
    array.flush()
    desc = {
        "name": "PEMS08",
        "shape": list(values.shape),
        "feature_description": ["traffic flow", "time of day", "day of week"],
        "regular_settings": {"INPUT_LEN": 12, "NULL_VAL": 0.0},
    }
    (folder / "desc.json").write_text(json.dumps(desc | changes))
    return folder


def pickles(folder, name, scaler, values):
    folder.mkdir(exist_ok=True)
    key = "raw_data" if name == "data" else "processed_data"
    dump({key: values}, folder / f"{name}.pkl")
    dump(scaler, folder / f"scaler{name.removeprefix('data')}.pkl")
    dump({"train": [(0, 12, 24)], "valid": [], "test": []}, folder / f"index{name.removeprefix('data')}.pkl")
    return folder


def test_read_basicts_arrays_of_version_1(tmp_path):
    graph = read_signal(arrays(tmp_path / "PEMS08"))
    check(graph)
    assert graph.name == "PEMS08" and graph.edge_index.size(1) == 0 and graph.nodes == ("0", "1", "2")
    np.testing.assert_array_equal(graph.mask[..., 0], FLOW != 0)
    assert read_signal(tmp_path / "PEMS08", missing_value=float("nan")).mask is None
    later = read_signal(tmp_path / "PEMS08", target="time of day", sensors=["2"])
    assert later.mask is None and later.num_nodes == 1
    np.testing.assert_allclose(later.targets.flatten(), TIME_OF_DAY, rtol=1e-6)


def test_read_basicts_arrays_without_timestamps(tmp_path):
    folder = arrays(tmp_path / "ETTh1", regular_settings={"null_val": float("nan")})
    for part in ("train", "val", "test"):
        os.remove(folder / f"{part}_timestamps.npy")
    graph = read_signal(folder)
    check(graph, num_features=1)
    assert graph.mask is None


@pytest.mark.parametrize("path", [".", "data.dat"])
def test_read_basicts_memmap_of_version_0_4(tmp_path, path):
    folder = memmap(tmp_path / "PEMS08", with_times(FLOW[..., None]))
    graph = read_signal(folder / path)
    check(graph)
    np.testing.assert_array_equal(graph.mask[..., 0], FLOW != 0)


@pytest.mark.parametrize("name", ["data", "data_in12_out12", "data_in_12_out_12_rescale_True"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_read_basicts_pickles_return_units(tmp_path, name, dtype):
    mean, std = FLOW[:30].mean(), FLOW[:30].std()  # of the training part
    values = with_times(((FLOW - mean) / std)[..., None]).astype(dtype)
    scaler = {"func": "re_standard_transform", "args": {"mean": mean, "std": std}}
    folder = pickles(tmp_path / "PEMS08", name, scaler, values)
    exact = dtype == np.float64
    graph = read_signal(folder, missing_value=0)
    if exact:
        check(graph)
    np.testing.assert_allclose(graph.signal[..., 0], FLOW, atol=1e-4)
    np.testing.assert_array_equal(graph.mask[..., 0], FLOW != 0)  # zeros are zeros again
    np.testing.assert_allclose(graph.signal[:, 1, 1], TIME_OF_DAY, rtol=1e-6)
    file = folder / f"{name}.pkl"
    np.testing.assert_array_equal(read_signal(file, missing_value=0).signal, graph.signal)


def test_read_basicts_pickles_of_each_channel_or_range(tmp_path):
    mean, std = FLOW[:30, :, None].mean(0, keepdims=True), FLOW[:30, :, None].std(0, keepdims=True)
    scaler = {"func": "re_standard_transform", "args": {"mean": mean, "std": std}}
    values = with_times((FLOW[..., None] - mean) / std)
    check(read_signal(pickles(tmp_path / "a", "data_in_96_out_96_rescale_False", scaler, values)))
    low, high = FLOW[:30].min(), FLOW[:30].max()
    scaler = {"func": "re_min_max_transform", "args": {"min_value": low, "max_value": high}}
    values = with_times(2 * ((FLOW[..., None] - low) / (high - low)) - 1)
    check(read_signal(pickles(tmp_path / "b", "data_in12_out12", scaler, values)))


def test_read_basicts_pickles_undo_every_scaled_channel(tmp_path):
    channels = np.stack([FLOW, FLOW / 1000, FLOW / 4 + 20], axis=-1)
    mean, std = channels[..., 0].mean(), channels[..., 0].std()
    scaler = {"func": "re_standard_transform", "args": {"mean": mean, "std": std}}
    graph = read_signal(pickles(tmp_path / "a", "data_in12_out12", scaler, with_times((channels - mean) / std)))
    assert graph.num_features == 5
    np.testing.assert_allclose(graph.signal[..., :3], channels, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(graph.signal[:, 0, 3], TIME_OF_DAY, rtol=1e-6)


def test_read_basicts_graph_and_names_come_from_adj_mx(tmp_path):
    folder = arrays(tmp_path / "METR-LA")
    dump(DCRNN, folder / "adj_mx.pkl", protocol=2)
    graph = read_signal(folder)
    assert graph.nodes == ("b", "a", "007")
    np.testing.assert_array_equal(graph.edge_index, np.stack(np.nonzero(ADJACENCY)))
    np.testing.assert_array_equal(graph.edge_weight, ADJACENCY[np.nonzero(ADJACENCY)])
    part = read_signal(folder, sensors=["007", "b"])
    np.testing.assert_array_equal(part.signal[..., 0], FLOW[:, [2, 0]].astype(np.float32))
    assert part.edge_index.tolist() == [[1, 0], [1, 0]]  # self-loops alone


@pytest.mark.parametrize("matrix", [ADJACENCY, ADJACENCY.tolist()])
def test_read_basicts_graph_may_be_a_bare_matrix(tmp_path, matrix):
    folder = memmap(tmp_path / "PEMS08", with_times(FLOW[..., None]))
    dump(matrix, folder / "adj_mx.pkl")
    graph = read_signal(folder, sensors=["1", "2"])
    assert graph.nodes == ("1", "2") and graph.edge_index.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert graph.edge_weight.tolist() == [1, 0.25, 1]


class Sneaky:
    def __reduce__(self):
        return (os.system, ("true",))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda folder: (folder / "data.dat").write_bytes(b"\\0" * 40), r"3\] = 360 numbers .*, got 20"),
        (lambda folder: (folder / "desc.json").write_text('{"shape": [1, 2]}'), r"the shape \[T, N, F\] in"),
        (lambda folder: (folder / "desc.json").write_text("{"), r"JSON in .*desc\.json"),
        (lambda folder: (folder / "desc.json").write_text("[]"), "names and values in"),
        (lambda folder: edit(folder / "desc.json", shape=[True, 3, 1]), r"the shape .* in .*desc\.json"),
        (lambda folder: edit(folder / "desc.json", shape=[2**32, 2**32, 1]), r"1\] = 18446744073709551616 numbers"),
        (lambda folder: edit(folder / "desc.json", regular_settings=5), r"a number as null_val .*desc\.json"),
        (lambda folder: edit(folder / "desc.json", regular_settings={"null_val": "x"}), "null_val .*could not"),
        (lambda folder: edit(folder / "desc.json", feature_description=["a"] * 3), "distinct features in .*'a' more"),
        (lambda folder: dump((5, {}, ADJACENCY), folder / "adj_mx.pkl"), r"adj_mx\.pkl, .*int in place of"),
        (lambda folder: dump(([None, 1, 2], {}, ADJACENCY), folder / "adj_mx.pkl"), r"got None for node 0 of .*adj_mx"),
        (lambda folder: (folder / "data.dat").unlink(), r"a readable file, got .*data\.dat: No such file"),
        (lambda folder: (folder / "desc.json").unlink(), "a folder of LibCity .* or BasicTS .*got the folder"),
    ],
)  # fmt: skip
def test_read_basicts_invalid_memmap_is_refused(tmp_path, change, match):
    folder = memmap(tmp_path / "x", with_times(FLOW[..., None]))
    change(folder)
    with pytest.raises(ValueError, match=f"expected .*{match}") as error:
        read_signal(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_read_basicts_invalid_arrays_are_refused(tmp_path):
    folder = arrays(tmp_path / "x", shape=[T, N + 1])
    with pytest.raises(ValueError, match=r"data of the shape in .*meta\.json, \[40, 4\], got \[40, 3\]"):
        read_signal(folder)
    arrays(tmp_path / "x")
    np.save(folder / "val_timestamps.npy", np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"timestamps \[40, F\] as data in .*, got \[35, 2\]"):
        read_signal(folder)
    np.save(folder / "val_data.npy", np.zeros((3, 2)))
    with pytest.raises(
        ValueError, match=r"the shape in train_data\.npy, \[.*, 3\] but .* in .*val_data\.npy, got \[3, 2\]"
    ):
        read_signal(folder)
    edit(folder / "meta.json", shape=5)
    arrays(tmp_path / "y", shape=5)
    with pytest.raises(ValueError, match=r"data of the shape in .*y.meta\.json, 5, got"):
        read_signal(tmp_path / "y")
    (folder / "test_data.npy").unlink()
    with pytest.raises(ValueError, match=r"an array, got .*test_data\.npy"):
        read_signal(folder)


def test_read_basicts_invalid_pickles_are_refused(tmp_path):
    scaler = {"func": "re_standard_transform", "args": {"mean": 1.0, "std": 2.0}}
    values = with_times(FLOW[..., None])
    folder = pickles(tmp_path / "x", "data_in12_out12", scaler, values)
    dump({"func": "f", "args": {"scale": 1}}, folder / "scaler_in12_out12.pkl")
    with pytest.raises(ValueError, match=r"mean and std in .*scaler_in12_out12\.pkl, got scale"):
        read_signal(folder)
    dump({"func": "f", "args": {"mean": np.zeros(7), "std": 1.0}}, folder / "scaler_in12_out12.pkl")
    with pytest.raises(ValueError, match=r"one mean, or 3 for the nodes, in .*, got \[7\]"):
        read_signal(folder)
    (folder / "scaler_in12_out12.pkl").unlink()
    with pytest.raises(ValueError, match=r"scaler_in12_out12\.pkl next to .*, whose values are standardized, got none"):
        read_signal(folder)
    pickles(folder, "data_in96_out12", scaler, values)
    with pytest.raises(
        ValueError, match=r"one file data_in\*_out\*.pkl in .*, got data_in12_out12\.pkl, data_in96.*; pass its path"
    ):
        read_signal(folder)
    dump({"processed_data": Sneaky()}, folder / "data_in12_out12.pkl")
    with pytest.raises(ValueError, match=r"requests posix\.system, which was not executed"):
        read_signal(folder / "data_in12_out12.pkl")
    dump([values], folder / "data_in12_out12.pkl")
    with pytest.raises(ValueError, match=r"processed_data \[T, N, F\] in .*, got list"):
        read_signal(folder / "data_in12_out12.pkl")
