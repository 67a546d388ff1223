import dataclasses
import json

import pytest

from seqgnn.profile.cases import engines_of
from seqgnn.profile.suite import Bench, Row
from seqgnn.report import benchmark as report
from tests.support.benchmark_rows import measured


def case(layer, reference, size, faster):
    part = {"speedup": {"auto": faster} if faster else {}, "times_lower_bound": {"auto": 2.0}}
    row = {"layer": layer, "reference_layer": reference, "size": size, "same": True, "timed": True}
    return row | {"train": part, "infer": part}


def made(*cases, left_out=()):
    versions = {"torch": "2.0", "torch_geometric_temporal": "0.56"}
    machine = {"cpu": "a processor", "cores": 2, "threads": 1, "system": "Linux"}
    return Bench({"device": "cpu"}, versions, machine, list(cases), list(left_out))


def test_notes_have_speedups_over_each_kind_of_reference_layer():
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
        "auto compared with PyTorch Geometric Temporal's layers: training step 4.00 times as fast (geometric mean; "
        "minimum 2.00); inference 4.00 times as fast (geometric mean; minimum 2.00)."
    )
    assert lines[1].startswith("auto compared with two GCNConv of PyG: training step 3.00 times as fast")
    assert lines[2].startswith("auto compared with torch.nn's layers: training step 1.00 times as fast")
    assert lines[3] == "Skipped for lack of time, T, B, F, H = 30, 64, 64, 128: GRU; RNN."
    assert lines[-2:] == ["cpu a processor, cores 2, threads 1, Linux", "torch 2.0, torch_geometric_temporal 0.56"]


def test_notes_name_missing_packages_and_different_outputs():
    other = case("GCRN", "GConvLSTM", (4, 20, 1, 4, 32), 1.0) | {"same": False, "timed": False}
    found = dataclasses.replace(made(other), versions={"torch": "2.0"})
    lines = report.notes(found)
    assert lines[0] == "Not timed, since their outputs differ: GCRN / GConvLSTM."
    assert "is not installed" in lines[1] and report.INSTALL in lines[1]


def test_table_figure_and_files_contain_every_case(tmp_path):
    found = measured()
    headers = [column.header for column in report.table(found).columns]
    engines = engines_of("cpu")
    assert headers[-len(engines) - 1 :] == [*engines, "lower bound"]
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
    drawn = [case[step]["times_lower_bound"] for case in found.cases for step in ("train", "infer")]
    assert training.get_xscale() == "log" and inference.get_xlim() == (low, high)
    assert low < 1 and high > max(max(bounds.values()) for bounds in drawn)
    first, second = (report.write(found, folder) for folder in (tmp_path, tmp_path))
    assert [path.name for path in first] == ["bench.json", "bench.png", "bench.svg"] and first == second
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["cases"][0]["size"] == [3, 12, 2, 2, 3] and content["config"]["device"] == "cpu"


def test_marks_differ_between_candidates():
    looks = [(mark["marker"], mark["color"]) for _, mark in report.MARKS.values()]
    assert len({color for _, color in looks}) == len(set(looks)) == len(looks)
    assert {marker for marker, _ in looks if [other for other, _ in looks].count(marker) > 1} == {"o"}  # a ring


def test_figure_without_timed_rows_raises_value_error():
    with pytest.raises(ValueError, match="bench: no layer was timed; increase --seconds"):
        report.figure(made())
