"""What a comparison shows of itself."""

import pandas
import pytest

from seqgnn.experiments.results.views import LINES, seed_rows
from tests.support.comparisons import changed, example, grid, run

EVIL = "<script>alert(1)</script> & \"'"


def test_repr_fits_on_a_screen_with_the_best_first():
    lines = repr(example()).splitlines()
    assert lines[0].startswith("<Comparison recall: test accuracy, 2 models, ")
    assert lines[0].endswith(", 6 finished runs, 1 failed>")
    assert [line.split()[3] for line in lines[1:]] == ["LSTM", "GCN", "bigram", "chance"] * 2
    assert "0.750 ± 0.354" in lines[1] and "(baseline)" in lines[3] and "(1 failed)" in lines[6]
    many = repr(grid({f"model {i}": [0.5] for i in range(50)})).splitlines()
    assert len(many) == LINES + 2 and many[-1] == f"  and {50 - LINES} more; see rows() and to_dataframe()"


def test_repr_of_losses_has_the_smallest_first():
    lines = repr(grid({"LSTM": [0.9], "GCN": [0.2]}, task="text", metric="loss")).splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["GCN", "LSTM"]


def test_repr_html_escapes_labels():
    shown = grid({EVIL: [0.5]})._repr_html_()
    assert "<script" not in shown and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;&#x27;" in shown


def test_to_dataframe_has_a_row_per_run_and_baseline():
    comparison = example()
    comparison.runs["LSTM", 4, 1] = run(1.0, seed=1, validation=[(10, 0.9), (20, 0.995), (30, 1.0)])
    frame = comparison.to_dataframe()
    assert list(frame.columns) == [
        "model", "kind", "size", "seed", "accuracy", "loss", "targets", "steps", "best_step", "stopped",
        "solved_step", "seconds", "parameters",
    ]  # fmt: skip
    assert len(frame) == 6 + 4 and frame.seed[frame.kind == "baseline"].isna().all()
    means = frame[frame.kind == "model"].groupby(["model", "size"]).accuracy.mean()
    assert means.to_dict() == {(row.model, row.size): row.mean("accuracy") for row in comparison.rows() if row.seeds and
                               row.kind == "model"}  # fmt: skip
    assert frame.solved_step[frame.seed == 1].dropna().tolist() == [20.0]
    assert frame.dtypes[["seed", "accuracy", "steps"]].tolist() == [float] * 3


def test_to_dataframe_of_values_that_are_not_finite_or_of_no_runs_has_nan():
    comparison = grid({"LSTM": [0.5]})
    comparison.runs["LSTM", 5, 0] = changed(comparison.runs["LSTM", 5, 0], values={"accuracy": None, "loss": 1.0})
    assert comparison.to_dataframe().accuracy.isna().all()
    comparison.runs.clear()
    assert isinstance(comparison.to_dataframe(), pandas.DataFrame) and comparison.to_dataframe().empty


def test_seed_rows_without_target_accuracy_have_no_solved_step():
    comparison = example((4,))
    comparison.runs["LSTM", 4, 0] = run(1.0, validation=[(10, 1.0)])
    assert seed_rows(comparison)[0]["solved_step"] == 10
    for key, record in comparison.runs.items():
        comparison.runs[key] = changed(record, target_accuracy=None)
    assert {row["solved_step"] for row in seed_rows(comparison)} == {None}


@pytest.mark.parametrize("value", [0.994999, 0.995])
def test_seed_rows_solve_at_the_target_itself(value):
    comparison = grid({"LSTM": [0.5]})
    comparison.runs["LSTM", 5, 0] = run(0.5, validation=[(10, value)])
    assert (seed_rows(comparison)[0]["solved_step"] == 10) == (value >= 0.995)
