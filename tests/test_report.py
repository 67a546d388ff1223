import csv
import io
import math
from contextlib import redirect_stdout
from dataclasses import replace

import pytest

from seqgnn import report
from seqgnn.comparison import Comparison, Row, compare
from seqgnn.metrics import running_mean


def run(accuracy, loss=1.0, model="lstm", steps=30, parameters=100, stopped="steps", seed=0):
    return {
        "config": {
            "model": model,
            "readout": "last",
            "num_layers": 2,
            "hops": [1, 2],
            "seed": seed,
            "train": {"stop_at": 0.995},
        },
        "result": {
            "test": {"accuracy": accuracy, "loss": loss, "count": 10},
            "steps": steps,
            "stopped": stopped,
            "parameters": parameters,
            "losses": [2.0 - 0.01 * step for step in range(steps)],
            "accuracies": [step / steps for step in range(steps)],
            "validation": [],
        },
        "measured": {"seconds": 2.0},
    }


def example(lengths=(4, 20), metric="accuracy"):
    """Two models with two seeds and two baselines, all figures known."""
    comparison = Comparison("recall", metric, ("LSTM", "GCN"), lengths, (0, 1))
    for length in lengths:
        comparison.runs |= {
            ("LSTM", length, 0): run(0.5),
            ("LSTM", length, 1): run(1.0, steps=50, stopped="solved", seed=1),
            ("GCN", length, 0): run(0.25, model="gcn", parameters=250),
        }
        comparison.baselines |= {("chance", length): run(0.1), ("bigram", length): run(0.2)}
    comparison.failures["GCN", lengths[0], 1] = "ValueError: no luck"
    return comparison


def text_of(comparison):
    with redirect_stdout(io.StringIO()) as printed:
        report.show(comparison)
    return printed.getvalue()


def test_table():
    lines = text_of(example()).splitlines()
    lstm = next(line for line in lines if "LSTM" in line)
    assert [cell.strip() for cell in lstm.strip("│ ").split("│")] == [
        "4", "LSTM", "0.750 ± 0.354", "40", "2.0", "100", "", "", "all"
    ]  # fmt: skip
    gcn = [line for line in lines if "GCN " in line and "│" in line]
    assert "0.250 (1 failed)" in gcn[0] and "all" in gcn[0]  # two rounds of hops 1 and 2 hear 4 back
    assert "failed" not in gcn[1] and gcn[1].strip("│ ").endswith("4")
    text = "\n".join(lines)
    assert "Not matched in parameters: the largest model has 2.50 times the smallest's." in text
    assert "FAILED: GCN, T=4, seed 1: ValueError: no luck" in text
    assert "weight chosen on validation" in text
    assert "mean ± sd over 2 seeds" in text


def test_table_of_losses_names_the_text_and_says_when_models_are_matched():
    comparison = replace(example((30,), "loss"), text="verse.txt (0123)", matched=True)
    text = text_of(comparison)
    assert "recall: test loss (nats)" in text and "Text: verse.txt (0123)." in text
    assert "Matched in parameters" in text
    lstm = next(line for line in text.splitlines() if "LSTM" in line)
    assert "1.000 ± 0.000" in lstm and "0.750 ± 0.354" in lstm


def test_a_comparison_in_which_everything_failed_still_has_a_table(tmp_path):
    comparison = Comparison("recall", "accuracy", ("LSTM",), (4,), (0,), failures={("LSTM", 4, 0): "ValueError: x"})
    assert "(1 failed)" in text_of(comparison) and "one seed" in text_of(comparison)
    assert [path.name for path in report.write(comparison, tmp_path)] == ["recall.csv"]


def test_csv_holds_the_rows():
    comparison = example()
    rows = list(csv.DictReader(io.StringIO(report.to_csv("recall", comparison.rows()))))
    assert [(row["length"], row["model"], row["kind"]) for row in rows][:4] == [
        ("4", "LSTM", "model"), ("4", "GCN", "model"), ("4", "chance", "baseline"), ("4", "bigram", "baseline")
    ]  # fmt: skip
    assert float(rows[0]["accuracy"]) == 0.75 and float(rows[0]["accuracy_sd"]) == math.sqrt(0.125)
    assert rows[0]["solved"] == "1" and rows[0]["reach"] == "" and rows[1]["reach"] == "4"
    assert rows[1]["accuracy_sd"] == "" and rows[1]["failed"] == "1"
    assert all(row["task"] == "recall" for row in rows)


def test_pairs_stand_in_a_file_of_their_own(tmp_path):
    comparison = example(lengths=(4,))
    assert report.pairs(comparison) == [] and not (tmp_path / "recall-pairs.csv").exists()
    comparison.runs["GCN", 4, 1] = run(0.5, model="gcn", seed=1)
    assert report.write(comparison, tmp_path)[1].name == "recall-pairs.csv"
    (row,) = csv.DictReader(io.StringIO((tmp_path / "recall-pairs.csv").read_text()))
    assert (row["task"], row["length"], row["first"], row["second"], row["seeds"]) == (
        "recall",
        "4",
        "LSTM",
        "GCN",
        "2",
    )
    assert (row["shown"], float(row["accuracy_difference"]), float(row["p"])) == ("False", 0.375, 0.5)


@pytest.mark.parametrize(("lengths", "metric"), [((4, 20), "accuracy"), ((30,), "accuracy"), ((30,), "loss")])
def test_files_are_there_and_the_same_twice(tmp_path, lengths, metric):
    comparison = example(lengths, metric)
    paths = report.write(comparison, tmp_path / "new")
    names = ["recall.csv", "recall-scores.png", "recall-scores.svg", "recall-curves.png", "recall-curves.svg"]
    assert [path.name for path in paths] == names
    assert paths[1].read_bytes()[:8] == paths[3].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert all("<svg" in path.read_text() for path in (paths[2], paths[4]))
    again = report.write(comparison, tmp_path / "again")
    assert [path.read_bytes() for path in paths[::2]] == [path.read_bytes() for path in again[::2]]


def test_scores_figure_draws_means_spreads_and_chance():
    figure = report.scores_figure(example())
    panel = figure.axes[0]
    lines = [line.get_ydata() for line in panel.lines]
    assert any(list(y) == [0.75, 0.75] for y in lines)
    assert any(list(y) == [0.25, 0.25] for y in lines)
    assert any(list(y) == [0.1, 0.1] for y in lines)
    spreads = [segment for collection in panel.collections for segment in collection.get_segments()]
    # 0.75 - 0.354 and no more than 1
    assert any(list(segment[:, 1]) == pytest.approx([0.75 - math.sqrt(0.125), 1.0]) for segment in spreads)
    assert any(sorted(y) == [0.5, 1.0] for y in lines)  # the seeds themselves
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["4", "20"]


def test_curves_figure_draws_a_running_mean_of_21_for_each_seed():
    panels = report.curves_figure(example()).axes
    assert len(panels) == 2
    curves = [list(line.get_ydata()) for line in panels[0].lines]
    assert running_mean([step / 30 for step in range(30)]) in curves
    assert running_mean([step / 50 for step in range(50)]) in curves


def test_a_model_has_the_same_colour_everywhere():
    rows = ["lstm", *(Row(f"mine {i}", "rnn", lr=0.001 * i) for i in (1, 2))]
    comparison = compare("recall", models=rows, lengths=[3], seeds=[0], steps=1, hidden=4, progress=False)
    alone = replace(comparison, labels=("LSTM",))
    assert report.style_of("LSTM", comparison) == report.style_of("LSTM", alone)
    styles = [report.style_of(label, comparison) for label in comparison.labels]
    assert len(set(styles)) == 3
    recipes = replace(comparison, labels=("LSTM", "LSTM, chrono", "LSTM, forget bias 1"))
    chrono, bias = (report.style_of(label, recipes) for label in recipes.labels[1:])
    assert chrono[0] == bias[0] == styles[0][0] and len({chrono, bias, styles[0]}) == 3
    assert report.scores_figure(comparison).axes and report.curves_figure(comparison).axes
    hybrid = replace(comparison, labels=("GCN, then LSTM, chrono", "GCN, deep"))
    then, deep = (report.style_of(label, hybrid) for label in hybrid.labels)
    assert then[0] == report.STYLES["GCN, then LSTM"][0] and deep[0] == report.STYLES["GCN"][0]
