import csv
import io
import math
from contextlib import redirect_stdout
from dataclasses import replace

import pytest

from seqgnn._utils.files import NotWritten
from seqgnn.experiments import Comparison
from seqgnn.report import tables as report
from tests.support.comparisons import example, run


def text_of(comparison):
    with redirect_stdout(io.StringIO()) as printed:
        report.show(comparison)
    return printed.getvalue()


def test_show_table_has_scores_failures_and_notes():
    lines = text_of(example()).splitlines()
    lstm = next(line for line in lines if "│ LSTM" in line)
    assert [cell.strip() for cell in lstm.strip("│ ").split("│")] == [
        "4", "LSTM", "0.750 ± 0.354", "1 of 2 solved", "40", "2.0", "100", "", "", "all"
    ]  # fmt: skip
    gcn = [line for line in lines if "GCN " in line and "│" in line]
    assert "0.250 (1 failed)" in gcn[0] and "all" in gcn[0]
    # Two layers of hops 1 and 2 have a receptive field of 4 steps back.
    assert "failed" not in gcn[1] and gcn[1].strip("│ ").endswith("4")
    text = "\n".join(lines)
    matched = "Parameter counts are not matched: the largest model has 2.50 times as many parameters as the smallest."
    assert matched in text
    assert "FAILED: GCN, T = 4, seed 1: ValueError: no luck" in text
    assert "their weight is chosen on the validation set" in text
    assert "mean ± sd over 1 to 2 seeds" in text


def test_show_of_losses_names_text_and_matched_parameters():
    comparison = replace(example((30,), "loss"), task="text", data_id="verse.txt (0123)", matched=True)
    text = text_of(comparison)
    assert "text: test loss (nats)" in text and "Text: verse.txt (0123)." in text
    assert "Parameter counts are matched" in text
    lstm = next(line for line in text.splitlines() if "│ LSTM" in line)
    assert "1.000 ± 0.000" in lstm and "0.750 ± 0.354" in lstm


def test_show_of_failed_comparison_prints_a_table(tmp_path):
    comparison = Comparison("recall", "accuracy", ("LSTM",), (4,), (0,), failures={("LSTM", 4, 0): "ValueError: x"})
    assert "(1 failed)" in text_of(comparison) and "one seed" in text_of(comparison)
    assert [path.name for path in report.write(comparison, tmp_path)] == ["recall.csv"]


def test_to_csv_contains_the_rows():
    comparison = example()
    rows = list(csv.DictReader(io.StringIO(report.to_csv("recall", [row.as_dict() for row in comparison.rows()]))))
    assert [(row["size"], row["model"], row["kind"]) for row in rows][:4] == [
        ("4", "LSTM", "model"), ("4", "GCN", "model"), ("4", "chance", "baseline"), ("4", "bigram", "baseline")
    ]  # fmt: skip
    assert float(rows[0]["accuracy"]) == 0.75 and float(rows[0]["accuracy_sd"]) == math.sqrt(0.125)
    assert rows[0]["solved"] == "1" and rows[0]["receptive_field"] == "" and rows[1]["receptive_field"] == "4"
    assert rows[1]["accuracy_sd"] == "" and rows[1]["failed"] == "1"
    assert all(row["task"] == "recall" for row in rows)


def test_write_saves_pairs_in_a_separate_file(tmp_path):
    comparison = example(sizes=(4,))
    (row,) = report.pairs(comparison)  # of the first seed, with the error of the test set
    assert (row["seeds"], row["accuracy_difference"], row["test"]) == (1, 0.25, "t")
    assert report.pairs(example(sizes=(4,), metric="loss")) == []
    comparison.runs["GCN", 4, 1] = run(0.5, model="gcn", seed=1)
    assert report.write(comparison, tmp_path)[1].name == "recall-pairs.csv"
    (row,) = csv.DictReader(io.StringIO((tmp_path / "recall-pairs.csv").read_text()))
    assert (row["task"], row["size"], row["first"], row["second"], row["seeds"]) == (
        "recall",
        "4",
        "LSTM",
        "GCN",
        "2",
    )
    assert (row["shown"], float(row["accuracy_difference"])) == ("False", 0.375)
    # Differences 1/4 and 1/2, so 0.375 ± 12.706 / 8 over seeds; the test set has ten targets, smoothed by two.
    shares = [(10 * mean + 1) / 12 for mean in (0.75, 0.375)]
    test_set = 1.959964 * math.sqrt(sum(share * (1 - share) / 12 for share in shares))
    assert float(row["low"]) == pytest.approx(0.375 - math.hypot(12.7062 / 8, test_set), abs=1e-4)


@pytest.mark.parametrize(("lengths", "metric"), [((4, 20), "accuracy"), ((30,), "accuracy"), ((30,), "loss")])
def test_write_saves_identical_csv_and_figures_twice(tmp_path, lengths, metric):
    comparison = example(lengths, metric)
    paths = report.write(comparison, tmp_path / "new")
    names = ["recall.csv", "recall-scores.png", "recall-scores.svg", "recall-curves.png", "recall-curves.svg"]
    if metric == "accuracy":  # the pairs of single seeds, whose test set is known
        assert paths.pop(1).name == "recall-pairs.csv"
    assert [path.name for path in paths] == names
    assert paths[1].read_bytes()[:8] == paths[3].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert all("<svg" in path.read_text() for path in (paths[2], paths[4]))
    again = report.write(comparison, tmp_path / "again")
    again = [path for path in again if path.name in names]
    assert [path.read_bytes() for path in paths[::2]] == [path.read_bytes() for path in again[::2]]


def test_write_unwritable_files_are_named_and_the_rest_written(tmp_path):
    for name in ("recall.csv", "recall-curves.svg"):
        (tmp_path / name).mkdir()
    (tmp_path / "recall-scores.png").write_text("old")
    with pytest.raises(NotWritten, match=r"got .*recall\.csv \(Is a directory\), .*curves\.svg \(Is a") as found:
        report.write(example(), tmp_path)
    names = ["recall-pairs.csv", "recall-scores.png", "recall-scores.svg", "recall-curves.png"]
    assert [path.name for path in found.value.written] == names
    assert all(path.stat().st_size > 3 for path in found.value.written)
    assert found.value.lost == [f"{tmp_path / name} (Is a directory)" for name in ("recall.csv", "recall-curves.svg")]


def test_write_into_a_file_raises_value_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"report: expected a writable folder, got .*file"):
        report.write(example(), tmp_path / "file")


def test_to_csv_writes_formulas_as_text():
    rows = [{"model": "=1+1", "accuracy": -0.5}, {"model": "-5", "accuracy": 0.5}, {"model": "@a", "accuracy": None}]
    assert report.to_csv("+task", rows) == "task,model,accuracy\n'+task,'=1+1,-0.5\n'+task,-5,0.5\n'+task,'@a,\n"
