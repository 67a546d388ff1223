import dataclasses
import json

import pytest

from seqgnn.profile.suite import Bench, Row
from seqgnn.report import benchmark as report
from tests.support.benchmark_rows import measured


def case(layer, peer, size, faster):
    part = {"times_faster_than_peer": {"auto": faster} if faster else {}, "times_the_floor": {"auto": 2.0}}
    return {"layer": layer, "peer": peer, "size": size, "same": True, "timed": True, "train": part, "infer": part}


def made(*cases, left_out=()):
    versions = {"torch": "2.0", "torch_geometric_temporal": "0.56"}
    machine = {"cpu": "a processor", "cores": 2, "threads": 1, "system": "Linux"}
    return Bench({"device": "cpu"}, versions, machine, list(cases), list(left_out))


def test_notes_say_how_fast_auto_is_beside_each_kind_of_peer():
    graph, plain = (4, 20, 1, 4, 32), (30, 64, 64, 128)
    found = made(
        case("GCRN", "GConvLSTM", graph, 2.0),
        case("TGCN", "TGCN", graph, 8.0),
        case("GCLSTM", "", graph, None),
        case("GCNLSTM", "two GCNConv", graph, 3.0),
        case("LSTM", "torch.nn.LSTM", plain, 1.0),
        left_out=[Row("GRU", plain, None), Row("RNN", plain, None)],
    )
    lines = report.notes(found)
    assert lines[0] == (
        "auto beside PyTorch Geometric Temporal's layers: training step 4.00 times as fast in the geometric mean, 2.00 "
        "at least; inference 4.00 times as fast in the geometric mean, 2.00 at least."
    )
    assert lines[1].startswith("auto beside two GCNConv of PyG: training step 3.00 times as fast")
    assert lines[2].startswith("auto beside torch.nn's layers: training step 1.00 times as fast")
    assert lines[3] == "No time for T, B, F, H = 30, 64, 64, 128: GRU; RNN."
    assert lines[-2:] == ["cpu a processor, cores 2, threads 1, Linux", "torch 2.0, torch_geometric_temporal 0.56"]


def test_notes_say_what_is_not_installed_and_what_differs():
    other = case("GCRN", "GConvLSTM", (4, 20, 1, 4, 32), 1.0) | {"same": False, "timed": False}
    found = dataclasses.replace(made(other), versions={"torch": "2.0"})
    lines = report.notes(found)
    assert lines[0] == "Not timed, since they do not compute the same: GCRN / GConvLSTM."
    assert "is not installed" in lines[1] and report.INSTALL in lines[1]


def test_table_figure_and_files(tmp_path):
    found = measured()
    assert [column.header for column in report.table(found).columns][-4:] == ["auto", "fused", "reference", "floor"]
    sheet = report.figure(found)
    training, inference = sheet.axes
    assert [panel.get_title() for panel in sheet.axes] == ["training step", "inference"]
    labels = [label.get_text() for label in training.get_yticklabels()]
    assert labels == [
        "T, N, B, F, H = 3, 12, 2, 2, 3",
        "GCNLSTM / two GCNConv",
        "T, B, F, H = 3, 2, 2, 3",
        "GRU / torch.nn.GRU",
    ]
    low, high = training.get_xlim()
    drawn = [case[step]["times_the_floor"] for case in found.cases for step in ("train", "infer")]
    assert training.get_xscale() == "log" and inference.get_xlim() == (low, high)
    assert low < 1 and high > max(max(floors.values()) for floors in drawn)
    first, second = (report.write(found, folder) for folder in (tmp_path, tmp_path))
    assert [path.name for path in first] == ["bench.json", "bench.png", "bench.svg"] and first == second
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["cases"][0]["size"] == [3, 12, 2, 2, 3] and content["config"]["device"] == "cpu"


def test_each_contender_has_a_mark_of_its_own():
    looks = [(mark["marker"], mark["color"]) for _, mark in report.MARKS.values()]
    assert len({color for _, color in looks}) == len(set(looks)) == len(looks)
    assert {marker for marker, _ in looks if [other for other, _ in looks].count(marker) > 1} == {"o"}  # a ring


def test_without_a_row_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="bench: expected rows that were timed, got none; more --seconds may do"):
        report.figure(made())
