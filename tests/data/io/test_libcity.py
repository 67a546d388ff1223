import io
import json
import re

import numpy as np
import pandas
import pytest

from seqgnn.data import read_signal
from seqgnn.data.io import limits
from seqgnn.data.io.graphs import collected_notes

GEO = """geo_id,type,coordinates
773869,Point,"[-118.3, 34.1]"
767541,Point,"[-118.2, 34.0]"
007,Point,"[-118.1, 34.2]"
"""
REL = "rel_id,type,origin_id,destination_id,cost\n0,geo,773869,767541,1000.0\n1,geo,767541,007,3000\n2,geo,007,007,0\n"
TIMES = pandas.date_range("2012-03-01", periods=4, freq="5min")
SPEEDS = pandas.DataFrame(
    {"007": [60.0, 0.0, 61.5, 62.0], "773869": [64.375, 62.625, 64.0, 63.0], "767541": [67.5, 68.5, np.nan, 63.75]},
    index=TIMES,
)


def dyna(frame, **others):
    """Returns the records of a .dyna file in the order of the frame's columns, as LibCity's converters write them."""
    rows = []
    for name in frame:
        for time, value in frame[name].items():
            cells = ["" if np.isnan(value) else value, *(others[key].loc[time, name] for key in others)]
            rows.append([len(rows), "state", f"{time:%Y-%m-%dT%H:%M:%SZ}", name, *cells])
    columns = ["dyna_id", "type", "time", "entity_id", "traffic_speed", *others]
    return pandas.DataFrame(rows, columns=columns).to_csv(index=False)


@pytest.fixture
def put(tmp_path):
    def put(config=None, **contents):
        folder = tmp_path / "METR_LA"
        folder.mkdir(exist_ok=True)
        for suffix, content in ({"geo": GEO, "rel": REL, "dyna": dyna(SPEEDS)} | contents).items():
            if content is not None:
                (folder / f"METR_LA.{suffix}").write_text(content)
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    return put


def observed(graph, feature=0):
    values = graph.signal[..., feature].double().numpy()
    return values if graph.mask is None else np.where(graph.mask[..., 0].numpy(), values, np.nan)


def kernel(distances, threshold=0.1):
    """Returns DCRNN's weights of distances between 773869 -> 767541, 767541 -> 007 and 007 -> 007."""
    weights = np.exp(-((np.array(distances) / np.std(distances)) ** 2))
    pairs = np.array([[0, 1], [1, 2], [2, 2]])
    return pairs[weights >= threshold].T.tolist(), weights[weights >= threshold]


def test_read_libcity_matches_records_to_sensors_by_name(put):
    graph = read_signal(put())
    assert graph.nodes == ("773869", "767541", "007") and graph.name == "METR_LA"
    np.testing.assert_array_equal(observed(graph), SPEEDS[list(graph.nodes)].to_numpy())
    assert graph.timestamps.astype("datetime64[s]").tolist() == TIMES.to_pydatetime().tolist()
    np.testing.assert_allclose(graph.positions, [[-118.3, 34.1], [-118.2, 34.0], [-118.1, 34.2]])
    edges, weights = kernel([1000, 3000, 0])
    assert graph.edge_index.tolist() == edges
    np.testing.assert_allclose(graph.edge_weight, weights, rtol=1e-6)


def test_read_libcity_records_in_any_order_are_sorted(put):
    header, *lines = dyna(SPEEDS).splitlines()
    order = np.random.default_rng(0).permutation(len(lines))
    shuffled = "\n".join(
        [header, *(lines[i] for i in order if "2012-03-01T00:10" not in lines[i] or "007" in lines[i])]
    )
    graph = read_signal(put(dyna=shuffled))
    expected = SPEEDS[list(graph.nodes)].to_numpy().copy()
    expected[2, :2] = np.nan  # records that are not there
    np.testing.assert_array_equal(observed(graph), expected)
    assert [str(time) for time in graph.timestamps] == [f"{time:%Y-%m-%dT%H:%M:%S}" for time in TIMES]


def test_read_libcity_sensors_select_a_subgraph(put):
    graph = read_signal(put(), sensors=["007", "773869"], graph_kind="edges")
    assert graph.nodes == ("007", "773869") and graph.edge_index.tolist() == [[0], [0]]
    assert graph.edge_weight.tolist() == [0] and graph.positions[:, 0].tolist() == pytest.approx([-118.1, -118.3])
    assert graph.signal[:, 0, 0].tolist() == SPEEDS["007"].tolist()


def test_read_libcity_features_follow_config_and_target(put):
    flow = SPEEDS * 10 + 1
    content = dyna(SPEEDS.fillna(1), traffic_flow=flow.fillna(2))
    graph = read_signal(put(dyna=content))
    np.testing.assert_array_equal(observed(graph, 0), SPEEDS.fillna(1)[list(graph.nodes)].to_numpy())
    np.testing.assert_array_equal(observed(graph, 1), flow.fillna(2)[list(graph.nodes)].to_numpy())
    config = {"info": {"data_col": ["traffic_flow"], "data_files": ["METR_LA"], "geo_file": "METR_LA"}}
    only = read_signal(put(config, dyna=content))
    assert only.num_features == 1
    np.testing.assert_array_equal(observed(only), flow.fillna(2)[list(graph.nodes)].to_numpy())
    (put() / "config.json").unlink()
    target = read_signal(put(dyna=content), target="traffic_flow")
    np.testing.assert_array_equal(observed(target), observed(only))


def test_read_libcity_several_files_follow_each_other(put):
    later = SPEEDS.set_axis(TIMES + pandas.Timedelta("20min")) + 1
    folder = put({"info": {"data_files": ["METR_LA", "more"], "geo_file": "METR_LA", "rel_file": "METR_LA"}})
    (folder / "more.dyna").write_text(dyna(later))
    graph = read_signal(folder)
    expected = pandas.concat([SPEEDS, later])
    np.testing.assert_array_equal(observed(graph), expected[list(graph.nodes)].to_numpy())
    assert graph.timestamps.astype("datetime64[s]").tolist() == expected.index.to_pydatetime().tolist()


@pytest.mark.parametrize(
    ("info", "rel", "weights"),
    [
        ({"set_weight_link_or_dist": "link", "weight_col": "cost"}, REL, [1, 1, 1]),  # as in LibCity's PEMSD8
        ({}, re.sub(",[^,\n]*\n", "\n", REL), [1, 1, 1]),
        ({}, REL.replace("cost", "link_weight"), [1000, 3000, 0]),
        ({"weight_col": ["w"]}, "rel_id,type,origin_id,destination_id,x,weight\n", None),
        ({"weight_col": "weight"}, "rel_id,origin_id,destination_id,x,weight\n0,773869,767541,a,0.5\n", [0.5]),
    ],
)
def test_read_libcity_config_decides_weights(put, info, rel, weights):
    folder = put({"info": info}, rel=rel)
    if weights is None:
        with pytest.raises(ValueError, match=r"weight_col of .*config.json, .*one of 'x', 'weight', got 'w'"):
            read_signal(folder)
    else:
        assert read_signal(folder).edge_weight.tolist() == weights


def test_read_libcity_kernel_uses_the_epsilon_of_config(put):
    info = {"weight_col": "w", "calculate_weight_adj": True, "weight_adj_epsilon": 0.5}
    rel = REL.replace("cost", "w")
    graph = read_signal(put({"info": info}, rel=rel))
    edges, weights = kernel([1000, 3000, 0], 0.5)
    assert graph.edge_index.tolist() == edges and len(weights) == 2
    np.testing.assert_allclose(graph.edge_weight, weights, rtol=1e-6)
    edges, weights = kernel([1000, 3000, 0], 0.9)
    mine = read_signal(put({"info": info}, rel=rel), threshold=0.9)
    assert mine.edge_index.tolist() == edges and len(weights) == 1
    assert read_signal(put({"info": info}, rel=None)).edge_index.size(1) == 2  # that of the file before


def test_read_libcity_without_relations_times_or_points(put):
    no_times = pandas.read_csv(io.StringIO(dyna(SPEEDS)), dtype=str).assign(time="")
    graph = read_signal(put(rel=None, geo="geo_id,type,coordinates\n773869,Point,[]\n767541,Point,[]\n007,Point,[]\n",
                            dyna=no_times.to_csv(index=False)))  # fmt: skip
    assert graph.edge_index.size(1) == 0 and graph.timestamps is None and graph.positions is None
    np.testing.assert_array_equal(observed(graph), SPEEDS[list(graph.nodes)].to_numpy())


@pytest.mark.parametrize(
    ("contents", "match"),
    [
        ({"dyna": dyna(SPEEDS).replace("767541", "1")}, r"entities of .*METR_LA.geo, got '1' in line 10 of"),
        ({"dyna": dyna(SPEEDS) + "12,state,2012-03-01T00:00:00Z,007,1\n"}, "one record per .*'007' .*again in line 14"),
        ({"dyna": dyna(SPEEDS).replace("64.375", "soon")}, r"a number .*got 'soon' in line 6, column 'traffic_speed'"),
        ({"dyna": dyna(SPEEDS).replace("2012-03-01T00:05:00Z", "noon")}, "a time as .*, got 'noon' in line 3"),
        ({"dyna": dyna(SPEEDS).replace("64.375", "1e39")}, r"a number .*got '1e\+39' in line 6, column"),
        ({"dyna": dyna(SPEEDS).replace("00:05:00Z", "00:00:00.0Z", 1)}, "increasing .*00:00 again in line 3 of .*dyna"),
        ({"dyna": dyna(SPEEDS).replace("00:05:00Z", "00:05:00+01:00", 1)}, "an offset from UTC .* in line 3 of .*dyna"),
        ({"dyna": dyna(SPEEDS).replace("state", "trajectory")}, "records of type state in .*, got trajectory"),
        ({"dyna": dyna(SPEEDS).replace("entity_id", "location")}, "the column entity_id in .*, got dyna_id, type"),
        ({"dyna": "dyna_id,type,time,entity_id,x\n"}, "records with a column after entity_id"),
        ({"geo": GEO.replace("007", "767541")}, "distinct sensors, got '767541' as number 2 and 3"),
        ({"geo": None}, r"one \.geo file in .*METR_LA, .*got none"),
        ({"dyna": None, "grid": "x"}, r"states of sensors .*cells of a grid \(METR_LA\.grid\), which are not"),
        ({"dyna": None, "od": "x"}, "states of sensors .*pairs of origin and destination"),
        ({"rel": REL.replace("767541,007", "767541,1")}, "relations between the entities of .*, got '1' in line 3 of"),
        ({"rel": REL + "3,geo,773869,767541,7\n"}, "one value for each relation, got 1000 in line 2 and 7 in line 5"),
        ({"rel": REL.replace("3000", "-3")}, "distances of at least 0, got -3 in .*METR_LA.rel"),
        ({"rel": REL.replace("3000", "0").replace("1000.0", "")}, "at least two different .*got 0 in .*LA.rel"),
        ({"rel": REL.replace("3000", "far")}, "numbers in column 'cost' of .*METR_LA.rel, got 'far' in line 3"),
        ({"rel": REL.replace("3000", "inf")}, "a number that float32 holds, got inf in line 3 of .*METR_LA.rel"),
        ({"rel": REL.replace("origin_id", "from")}, "the column origin_id in .*METR_LA.rel, got rel_id, type, from"),
        ({"config": [1]}, r"settings under the name info in .*config.json, got \[1\]"),
        ({"config": {"info": 5}}, "settings under the name info in .*config.json, got 5"),
        ({"config": {"info": {"data_col": 5}}}, "data_col as a name or different names in .*config.json, got 5"),
        ({"config": {"info": {"data_col": ["x", "x"]}}}, "data_col as a name or different names in .*config.json"),
        ({"config": {"info": {"rel_file": "x" * 400}}}, r"names of files, got .*config.json \(File name too long\)"),
        ({"config": {"info": {"rel_file": "METR"}}}, r"METR.rel, the rel_file of .*config.json, got only METR_LA.rel"),
        ({"rel": REL.replace("1000.0", "1,5")}, "5 values, as in the first line, got 6 in line 2 of .*METR_LA.rel"),
        ({"rel": REL.replace("1000.0", "1,5").replace(",3000", "")}, "5 values, as in .*, got 6 in line 2 of .*rel"),
        ({"rel": REL.replace(",1000.0", "").replace("3000", "3,0")}, "5 values, as in .*, got 4 in line 2 of .*rel"),
        ({"rel": REL.replace("3000", "3,1").replace(",0\n", "\n")}, "a table, got .*rel .*5 fields in line 3, saw 6"),
        ({"dyna": dyna(SPEEDS)[:-9]}, "5 values, as in the first line, got 4 in line 13 of .*METR_LA.dyna"),
        ({"geo": GEO.replace("Point", "Po\0nt")}, "text in .*METR_LA.geo, got a zero byte in line 2"),
        ({"geo": GEO + "8,Point\n"}, "3 values, as in the first line, got 2 in line 5 of .*METR_LA.geo"),
        ({"config": {"info": {"geo_file": [5]}}}, r"geo_file as a name or different names in .*config.json, got \[5\]"),
        ({"config": {"info": {"weight_adj_epsilon": "x", "calculate_weight_adj": True}}}, "relations, and settings"),
        ({"rel": REL.replace("cost", "x")}, r"weights or distances in column 'x' of .*; set graph_kind"),
        ({"rel": REL.replace("geo", "usr")}, "relations of type geo in .*, got usr"),
        ({"rel": "origin_id,destination_id,cost,x\n007,007,1,2\n"}, "one property in .* or its name as weight_col"),
    ],
)  # fmt: skip
def test_read_libcity_invalid_files_are_refused_by_line(put, contents, match):
    folder = put(**contents)
    with pytest.raises(ValueError, match=f"expected {match}") as error:
        read_signal(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_read_libcity_files_that_are_not_there_are_named(put):
    with pytest.raises(
        ValueError, match=r"a folder or file that exists, got .*other\.dyna \(No such file or directory\)"
    ):
        read_signal(put() / "other.dyna")


def test_read_libcity_few_records_at_many_steps_are_refused(put, monkeypatch):
    monkeypatch.setattr(limits, "UNPACKED", 8 * 4 * 3)
    monkeypatch.setattr(limits, "RATIO", 2)
    assert len(read_signal(put())) == 4
    monkeypatch.setattr(limits, "UNPACKED", 0)
    monkeypatch.setattr(limits, "RATIO", 1)
    with pytest.raises(
        ValueError, match=r"at least 1 of 1 steps and sensors in .*dyna, got 11 for 4 steps x 3 sensors"
    ):
        read_signal(put(dyna="\n".join(dyna(SPEEDS).splitlines()[:-1])))


def test_read_libcity_notes_say_how_many_relations_are_edges(put):
    with collected_notes() as notes:
        graph = read_signal(put())
    _, weights = kernel([1000.0, 3000.0, 0.0])
    assert graph.edge_index.size(1) == len(weights) == 2
    assert any("'cost' is a distance; 2 of 3 relations have a weight of at least 0.1" in note for note in notes)
