import hashlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqgnn.data import load_temporal_graph
from seqgnn.data.datasets import catalog as catalog
from seqgnn.data.datasets.sources import SIGNALS
from tests.support.paths import DATA


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Writes a signal's first file, and makes it the catalog's."""
    monkeypatch.setattr(catalog, "_cache", lambda: tmp_path / "cache")
    monkeypatch.delenv("SEQGNN_DATA", raising=False)

    def put(name, *contents):
        files = []
        for file, content in zip(SIGNALS[name].files, contents):
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            path = tmp_path / "cache" / file.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            files.append(replace(file, sha256=hashlib.sha256(content).hexdigest(), url="http://127.0.0.1:9/x"))
        monkeypatch.setitem(SIGNALS, name, replace(SIGNALS[name], files=tuple(files)))
        return tmp_path / "cache"

    return put


def test_load_temporal_graph_chickenpox_reads_nodes_and_weeks(put):
    put("chickenpox", {"FX": [[1, 2], [3, 4], [5, 6]], "edges": [[0, 1], [1, 1]], "node_ids": {"B": 1, "A": 0}})
    graph = load_temporal_graph("chickenpox")
    assert graph.nodes == ("A", "B") and graph.edge_index.tolist() == [[0, 1], [1, 1]] and graph.name == "chickenpox"
    assert graph.signal[..., 0].tolist() == [[1, 2], [3, 4], [5, 6]] and graph.time.words == "every week"
    assert graph.units == "standard deviations"


def test_load_temporal_graph_pedalme_accepts_another_graph_file(put, tmp_path):
    put("pedalme", {"X": [[1, 2], [3, 4]], "edges": [[0, 1], [1, 0]], "weights": [0.5, 0.25]})
    graph = load_temporal_graph("pedalme")
    assert graph.edge_weight.tolist() == [0.5, 0.25] and graph.timestamps is None
    (tmp_path / "mine.csv").write_text("from,to,cost\n0,1,1\n1,0,3\n")
    mine = load_temporal_graph("pedalme", tmp_path / "mine.csv", threshold=0.5)
    assert mine.edge_index.shape == (2, 0)  # exp(-1) and exp(-9)
    assert mine.units == load_temporal_graph("pedalme").units == "log ratios"
    assert load_temporal_graph("pedalme", tmp_path / "mine.csv", graph_kind="edges").edge_weight.tolist() == [1, 1]
    (tmp_path / "mine.csv").write_text("from,to,weight\n0,1,1\n1,0,3\n")
    assert load_temporal_graph("pedalme", tmp_path / "mine.csv", graph_kind="edges").edge_weight.tolist() == [1, 3]
    wrong = "expected only the options graph_kind, graph_nodes and threshold for pedalme, got missing_value, units"
    with pytest.raises(ValueError, match=wrong):
        load_temporal_graph("pedalme", missing_value=0, units="parcels")


def test_load_temporal_graph_covid_orders_graphs_by_day(put):
    mapping = {"edge_index": {"2": [[1, 1]], "0": [[0, 1], [1, 0]], "1": [[0, 0]]}}
    mapping["edge_weight"] = {"1": [1.0], "2": [2.0], "0": [3.0, 4.0]}
    put("england-covid", {"y": [[4, 1], [0, 2], [3, 3]], "edge_mapping": mapping, "time_periods": 3})
    graph = load_temporal_graph("england-covid")
    assert [edges.tolist() for edges in graph.edge_index] == [[[0, 1], [1, 0]], [[0], [0]], [[1], [1]]]
    assert [weights.tolist() for weights in graph.edge_weight] == [[3, 4], [1], [2]]
    assert str(graph.timestamps[2]) == "2020-03-15T00:00:00" and graph.units == "cases"


def test_load_temporal_graph_montevideo_reads_stops_and_links(put):
    stops = [{"bus_stop": 7, "lon": 5, "lat": 6, "y": [1, 2, 3]}, {"bus_stop": 3, "lon": 8, "lat": 9, "y": [4, 5, 6]}]
    put("montevideo-bus", {"nodes": stops, "links": [{"source": 3, "target": 7, "weight": 172.5}]})
    graph = load_temporal_graph("montevideo-bus")
    assert graph.nodes == ("7", "3") and graph.signal[..., 0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert graph.edge_index.tolist() == [[1], [0]] and graph.edge_weight.tolist() == [172.5]
    assert graph.positions.tolist() == [[5, 6], [8, 9]] and graph.time.words == "every hour"
    assert graph.units == "passengers"


def test_load_temporal_graph_metr_la_week_reads_and_checks_files(put, tmp_path):
    positions = b"index,sensor_id,latitude,longitude\n0,b,1,2\n1,a,3,4\n"
    folder = put("metr-la-week", b"a,b\n60,61\n62,63\n", b"1,0.5\n0,1\n", b"unused", positions)
    graph = load_temporal_graph("metr-la-week")
    assert (
        graph.nodes == ("a", "b")
        and graph.edge_weight.tolist() == [1, 0.5, 1]
        and graph.positions.tolist() == [[4, 3], [2, 1]]
    )
    assert str(graph.timestamps[1]) == "2012-03-01T00:05:00" and graph.units == "miles per hour"
    assert catalog.check()["metr-la-week"] == "whole" and catalog.find("metr-la-week").name == "los_speed.csv"
    with pytest.raises(ValueError, match=r"read_plain_pickle: expected a pickle, got .*adj_mx\.pkl"):
        load_temporal_graph("metr-la-week", "adj_mx.pkl")
    path = folder / "metr_la" / "los_adj.csv"
    path.write_bytes(b"1,0\n0,1\n")
    assert catalog.check()["metr-la-week"] == "changed"
    with pytest.raises(
        ValueError, match=r"catalog: expected .*los_adj\.csv to be metr-la-week with SHA-256 .*move it away"
    ):
        load_temporal_graph("metr-la-week")
    path.unlink()
    assert catalog.check()["metr-la-week"] == "missing" and catalog.find("metr-la-week") is None
    with pytest.raises(ValueError, match=r"expected to download metr-la-week from .*, got ConnectionError") as error:
        load_temporal_graph("metr-la-week")
    assert "\n" not in str(error.value) and not path.exists()


def write_h5(path, values, names, first):
    """Writes a table as pandas' fixed format does in METR-LA and PEMS-BAY."""
    h5py = pytest.importorskip("h5py")
    times = np.datetime64(first, "ns") + np.arange(len(values)) * np.timedelta64(5, "m")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group["axis0"] = group["block0_items"] = np.array(names, dtype="S")
        group["axis1"], group["block0_values"] = times.astype(np.int64), values
        group["axis1"].attrs["kind"] = np.bytes_(b"datetime64")


def user_files(put, tmp_path, monkeypatch, name, steps, nodes):
    """Writes made-up files of METR-LA or PEMS-BAY: the h5 as the user's, the graph and positions as the catalog's."""
    names = [str(700_000 + 7 * i) for i in range(nodes)]
    values = np.random.default_rng(0).integers(0, 700, (steps, nodes)) / 10
    matrix = np.eye(nodes, dtype=np.float32)
    matrix[0, 1] = 0.5
    order = names[::-1]  # of the graph, which is matched by name
    indices = {sensor: i for i, sensor in enumerate(order)}
    graph = pickle.dumps([order, indices, matrix[::-1, ::-1].copy()], protocol=2)
    positions = "".join(f"{sensor},34.{i},-118.{i}\n" for i, sensor in enumerate(names)).encode()
    catalog_files = SIGNALS[name].files
    folder = put(name, b"", graph, positions)
    monkeypatch.setitem(SIGNALS, name, replace(SIGNALS[name], files=(catalog_files[0], *SIGNALS[name].files[1:])))
    (folder / catalog_files[0].file).unlink()
    return folder, names, values


@pytest.mark.parametrize(("name", "first"), [("metr-la", "2012-03-01"), ("pems-bay", "2017-01-01")])
def test_load_temporal_graph_full_data_come_from_the_user(put, tmp_path, monkeypatch, name, first):
    _, names, values = user_files(put, tmp_path, monkeypatch, name, 12, 4)
    monkeypatch.setitem(SIGNALS, name, replace(SIGNALS[name], steps=12, nodes=4))
    file = f"{name}.h5"
    with pytest.raises(ValueError, match=rf"catalog: expected {file}, downloaded from https://.*, as .*, got no such"):
        load_temporal_graph(name)
    assert catalog.check()[name] == "missing"
    monkeypatch.setenv("SEQGNN_DATA", str(tmp_path / "downloads"))
    write_h5(tmp_path / "downloads" / file, values, names, first)
    assert catalog.check()[name] == "whole" and catalog.find(name) == tmp_path / "downloads" / file
    graph = load_temporal_graph(name)
    assert graph.nodes == tuple(names) and graph.units == "miles per hour" and graph.name == name
    np.testing.assert_array_equal(graph.signal[..., 0], values.astype(np.float32))
    np.testing.assert_array_equal(np.ones_like(values, bool) if graph.mask is None else graph.mask[..., 0], values != 0)
    assert graph.edge_index.tolist() == [[0, 0, 1, 2, 3], [0, 1, 1, 2, 3]]
    assert graph.edge_weight.tolist() == [1, 0.5, 1, 1, 1] and graph.positions[1].tolist() == pytest.approx(
        [-118.1, 34.1]
    )
    assert str(graph.timestamps[-1]).startswith(f"{first}T00:55")
    (tmp_path / "edges.csv").write_text(f"from,to\n{names[0]},{names[1]}\n")
    other = load_temporal_graph(name, tmp_path / "edges.csv")
    assert other.edge_index.size(1) == 1 and torch.equal(other.signal, graph.signal)
    assert graph.mask is None or torch.equal(other.mask, graph.mask)
    write_h5(tmp_path / "downloads" / file, values[:11], names, first)
    with pytest.raises(
        ValueError, match=rf"expected 12 steps x 4 sensors, as published, in .*{file}, got 11 x 4; read"
    ):
        load_temporal_graph(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first", "last"), [
    ("metr-la", "2012-03-01", "2012-06-27T23:55"), ("pems-bay", "2017-01-01", "2017-06-30T22:55"),
])  # fmt: skip
def test_load_temporal_graph_full_data_have_published_shapes(put, tmp_path, monkeypatch, name, first, last):
    steps, nodes = {"metr-la": (34_272, 207), "pems-bay": (52_116, 325)}[name]
    folder, names, values = user_files(put, tmp_path, monkeypatch, name, steps, nodes)
    write_h5(folder / SIGNALS[name].files[0].file, values, names, first)
    graph = load_temporal_graph(name)
    assert graph.signal.shape == (steps, nodes, 1) and str(graph.timestamps[-1]).startswith(last)
    np.testing.assert_array_equal(graph.signal[..., 0], values.astype(np.float32))
    np.testing.assert_array_equal(graph.mask[..., 0], values != 0)


def test_load_temporal_graph_reads_paths_and_rejects_bad_names(put, tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    assert load_temporal_graph(path, sensors=["b"]).nodes == ("b",)
    assert load_temporal_graph(path).units is None and load_temporal_graph(path, units="°C").units == "°C"
    with pytest.raises(ValueError, match=r"expected name \(or the path of a file\) to be .*did you mean 'chickenpox'"):
        load_temporal_graph("chickenpocks")
    put("chickenpox", {"FX": [], "edges": []})
    with pytest.raises(ValueError, match=r"load_temporal_graph: expected FX, edges, node_ids in .*, got no node_ids"):
        load_temporal_graph("chickenpox")


@pytest.mark.parametrize("name", SIGNALS)
def test_load_temporal_graph_known_files_are_whole(name):
    if catalog.find(name, DATA) is None:
        pytest.skip("the files are not here")
    assert catalog.check(DATA)[name] == "whole"
    files = [file for file in SIGNALS[name].files if file.page is None]
    assert all((DATA / file.file).stat().st_size == file.bytes for file in files)
    graph = load_temporal_graph(name, folder=DATA)
    assert (len(graph), graph.num_nodes) == (SIGNALS[name].steps, SIGNALS[name].nodes)
    assert (graph.mask is None) == (len(files) == len(SIGNALS[name].files))  # the full data have gaps
    assert graph.units == SIGNALS[name].units
    edges = {"chickenpox": 102, "pedalme": 225, "metr-la-week": 2833, "montevideo-bus": 690, "metr-la": 1722}
    edges["pems-bay"] = 2694
    if name == "england-covid":
        assert [edges.size(1) for edges in graph.edge_index[:2]] == [2158, 1743]
    else:
        assert graph.edge_index.size(1) == edges[name]
    if name == "chickenpox":
        assert str(graph.timestamps[-1]) == "2014-12-29T00:00:00" and graph.nodes[4] == "BUDAPEST"
        assert torch.allclose(graph.signal.mean(0), torch.zeros(20, 1), atol=1e-6)  # standardized over all weeks
        assert torch.allclose(graph.signal.std(0, unbiased=False), torch.ones(20, 1), atol=1e-5)
    if name == "pedalme":  # of the last 20 weeks, logarithms of a whole number over that of the week before
        ratios = graph.signal[15:, :, 0].double().cumsum(0).exp()
        counts = torch.arange(1, 200.0)[:, None, None] * ratios
        assert ((counts - counts.round()).abs().amax(1).amin(0) < 1e-3).all()
    if name == "metr-la-week":
        assert graph.positions[0].tolist() == pytest.approx([-118.31829, 34.15497])
        assert load_temporal_graph(name, "adj_mx.pkl", folder=DATA).edge_index.size(1) == 1722
